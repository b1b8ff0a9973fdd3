"""Test digits among training pictures are found; other digits are left alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets.overlap import nearest_correlation, threshold_between

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
