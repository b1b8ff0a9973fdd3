"""Test digits among training pictures are found; other digits are left alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets import catalog, overlap
from inkshift.datasets.overlap import FLOOR, aligned, nearest_correlation, threshold_between, twins

Images = npt.NDArray[np.uint8]


def noise(count: int, seed: int) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 12), dtype=np.uint8)


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_it_is_the_highest_correlation_with_any_other(seed: int, block: int) -> None:
    a, b = noise(9, seed), noise(7, seed + 1)
    expected = np.corrcoef(a.reshape(9, -1), b.reshape(7, -1))[:9, 9:].max(1)
    assert nearest_correlation(a, b, block) == pytest.approx(expected, abs=1e-5)


def test_a_picture_in_another_dress_is_found() -> None:
    others = noise(20, 1)
    fainter = (others[[3, 11]] * 0.5 + 40).astype(np.uint8)
    found = nearest_correlation(np.concatenate([fainter, noise(5, 2)]), others)
    assert (found[:2] > 0.99).all() and (found[2:] < 0.9).all()


def test_an_empty_picture_matches_nothing() -> None:
    assert nearest_correlation(np.zeros((1, 12, 12), np.uint8), noise(5, 0)) == pytest.approx([0], abs=1e-6)
    assert nearest_correlation(np.zeros((0, 12, 12), np.uint8), noise(5, 0)).shape == (0,)


def test_the_threshold_comes_from_pairs_with_different_labels() -> None:
    images, labels = noise(10, 4), np.arange(10)
    same = threshold_between(images, labels, images, labels)
    assert same < 0.9
    swapped = threshold_between(images, labels, images, np.roll(labels, 1))
    assert swapped == pytest.approx(1, abs=1e-3)


def smear(image: Images) -> Images:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.6), np.uint8)


def smeared(images: Images) -> Images:
    return np.stack([smear(image) for image in images])


def scribbles(count: int, seed: int) -> Images:
    """(count, 28, 28): each a line through six random points, light on black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        cv2.polylines(image, [rng.integers(5, 23, (6, 2)).astype(np.int32)], False, (255,), 2, cv2.LINE_AA)
    return images


def redressed(images: Images, zoom: float, dx: float) -> Images:
    """Smaller or larger, moved and blurred, as another data set would have cut them out."""
    matrix = np.array([[zoom, 0, 13.5 * (1 - zoom) + dx], [0, zoom, 13.5 * (1 - zoom)]])
    return np.stack([cv2.warpAffine(smear(image), matrix, (28, 28)) for image in images])


@given(st.floats(0.75, 1.1), st.floats(-1.5, 1.5))
def test_twins_are_found_however_they_were_cut_out(zoom: float, dx: float) -> None:
    images, others = scribbles(30, 1), scribbles(40, 2)
    others[[7, 21, 33]] = redressed(images[[4, 0, 29]], zoom, dx)
    found = twins(images, others)
    assert found.rows.tolist() == [0, 4, 29] and found.partners.tolist() == [21, 7, 33]
    assert (found.correlation >= FLOOR).all()


def test_writing_that_shares_nothing_has_no_twins() -> None:
    assert len(twins(scribbles(200, 3), scribbles(200, 4))) == 0


def test_plain_strokes_that_all_look_alike_are_not_twins() -> None:
    bars = np.zeros((60, 28, 28), np.uint8)
    bars[:, 4:24, 12:16] = np.random.default_rng(0).integers(150, 256, (60, 20, 4))
    assert nearest_correlation(bars[:30], bars[30:]).min() > 0.95
    assert len(twins(bars[:30], bars[30:])) == 0


def test_twins_have_the_same_label() -> None:
    images = scribbles(20, 5)
    labels = np.array([str(i % 10) for i in range(20)])
    wrong = labels.copy()
    wrong[3] = "x"
    found = twins(images, smeared(images), labels, wrong)
    assert found.rows.tolist() == [i for i in range(20) if i != 3]
    assert len(twins(images, smeared(images))) == 20


def test_a_picture_that_is_there_twice_is_still_a_twin() -> None:
    images, others = scribbles(20, 6), scribbles(20, 7)
    others[[2, 9]] = smear(images[5])
    images[8] = images[5]
    found = twins(images, others)
    assert found.rows.tolist() == [5, 8] and found.partners.tolist() == [2, 2]


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = scribbles(50, 8), scribbles(70, 9)
    others[10:40] = smeared(images[:30])
    whole = twins(images, others)
    monkeypatch.setattr(overlap, "_BLOCK", 7)
    parts = twins(images, others)
    assert parts.rows.tolist() == whole.rows.tolist() == list(range(30))
    assert parts.partners.tolist() == whole.partners.tolist()
    assert parts.correlation == pytest.approx(whole.correlation, abs=1e-5)


@pytest.mark.parametrize(("many", "few"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_has_no_twins(many: int, few: int) -> None:
    assert len(twins(scribbles(many, 1), scribbles(few, 1))) == 0


def test_blank_pictures_are_no_twins() -> None:
    blank = np.zeros((3, 28, 28), np.uint8)
    assert len(twins(blank, blank)) == 0
    assert not aligned(blank).any()


def test_mnist_and_nist_share_digits_but_mnist_train_and_test_do_not(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKSHIFT_DATA", str(shared_data))
    nist, train, test = (
        catalog.load(name, split)  # type: ignore[arg-type]
        for name, split in (("nist_emnist", "test"), ("mnist", "train"), ("mnist", "test"))
    )
    digits = np.flatnonzero(np.char.isdigit(nist.labels))[:1000]
    others, other_labels = np.asarray(train.images)[:15000], train.labels[:15000]
    shared = twins(np.asarray(nist.images)[digits], others, nist.labels[digits], other_labels)
    apart = twins(np.asarray(test.images)[:1000], others, test.labels[:1000], other_labels)
    assert len(shared) > 20 > 4 > len(apart)
