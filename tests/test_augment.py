"""Drawn and damaged training pictures: their shapes, and that a seed settles them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets.synth import augment, crops
from inkshift.reframe import parse

Gray = npt.NDArray[np.uint8]
Rng = np.random.Generator
FRAME = parse("trim|square|margin(0.2)|resize(28)|center_mass")
seeds = st.integers(0, 2**32)


def drawn(digit: Gray, seed: int) -> Gray:
    rng = np.random.default_rng(seed)
    return augment.ink(augment.bend(augment.distance_map(digit), rng), rng)


@given(st.integers(0, 9), seeds)
def test_a_redrawn_digit_is_a_picture_with_ink(drawn_digits: Gray, digit: int, seed: int) -> None:
    picture = drawn(drawn_digits[digit], seed)
    assert picture.shape == (64, 64) and picture.dtype == np.uint8 and picture.max() > 120


STEPS: dict[str, Callable[[Gray, Rng], Gray]] = {
    "ink": lambda picture, rng: augment.ink(augment.distance_map(picture), rng),
    "bend": lambda picture, rng: augment.ink(augment.bend(augment.distance_map(picture), rng), rng),
    "rescan": augment.rescan,
    "damage": lambda picture, rng: augment.damage(picture, lambda: picture, rng),
    "pair": lambda picture, rng: augment.pair(picture, picture, rng),
    "crossing": lambda picture, rng: augment.ink(augment.crossing(rng), rng),
    "mark": lambda picture, rng: augment.mark(rng),
}


@pytest.mark.parametrize("name", STEPS)
@given(digit=st.integers(0, 9), seed=seeds)
def test_each_step_gives_bytes_and_repeats_itself(drawn_digits: Gray, name: str, digit: int, seed: int) -> None:
    picture = drawn(drawn_digits[digit], seed)
    before = picture.copy()
    one, two = (STEPS[name](picture, np.random.default_rng(seed)) for _ in range(2))
    assert one.ndim == 2 and one.dtype == np.uint8 and min(one.shape) >= 4
    assert np.array_equal(one, two)
    assert np.array_equal(picture, before)


@given(st.integers(0, 9))
def test_no_bending_leaves_the_map_as_it_is(drawn_digits: Gray, digit: int) -> None:
    field = augment.distance_map(drawn_digits[digit])
    still = augment.bend(field, np.random.default_rng(0), strength=0)
    assert np.abs(still - field)[2:-2, 2:-2].max() < 1e-3


@given(st.integers(0, 9))
def test_a_distance_map_is_positive_in_the_stroke_and_packs_well(drawn_digits: Gray, digit: int) -> None:
    field = augment.distance_map(drawn_digits[digit])
    assert field.shape == (64, 64) and field.dtype == np.float32
    _, _, w, h = cv2.boundingRect((field > 0).view(np.uint8))
    assert abs(max(w, h) - 40) <= 2
    near = np.abs(field) < 20
    assert np.abs(augment.unpack(augment.pack(field)) - field)[near].max() <= 1 / 12 + 1e-6


@given(st.integers(0, 9), seeds)
def test_a_fragment_is_smaller_than_its_digit(drawn_digits: Gray, digit: int, seed: int) -> None:
    picture = drawn(drawn_digits[digit], seed)
    part = augment.fragment(picture, np.random.default_rng(seed))
    assert part is None or (part.any() and part.size < picture.size)


@given(seeds)
def test_shapes_of_other_hands_are_only_given_to_some_digits(drawn_digits: Gray, seed: int) -> None:
    for digit in (2, 3, 4, 5, 6):
        field = augment.distance_map(drawn_digits[digit])
        assert augment.regional(digit, field, np.random.default_rng(seed)) is field


def test_some_rings_are_left_open() -> None:
    """Of a 0 that encloses paper some drawings do not, and no other ink is lost than a piece at its head."""
    turn = np.linspace(0, 2 * np.pi, 40)
    field = augment.strokes([0.5 + np.stack([0.3 * np.sin(turn), -0.5 * np.cos(turn)], 1)], 2.0)

    def holes(map_: npt.NDArray[np.float32]) -> int:
        return int(cv2.connectedComponents((map_ <= 0).astype(np.uint8), connectivity=4)[0]) - 2

    others = [augment.regional(0, field, np.random.default_rng(seed)) for seed in range(60)]
    opened = [each for each in others if each is not field]
    assert holes(field) == 1 and 3 <= len(opened) <= 20
    assert sum(holes(each) == 0 for each in opened) > len(opened) / 2
    assert all((each[40:] == field[40:]).all() and ((each > 0) <= (field > 0)).all() for each in opened)


@pytest.fixture(scope="module")
def pool(drawn_digits: Gray) -> crops.Pool:
    letters = np.zeros((2, 28, 28), np.uint8)
    for image, letter in zip(letters, "EX", strict=True):
        cv2.putText(image, letter, (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,), 2, cv2.LINE_AA)
    return crops.make_pool(drawn_digits, np.arange(10), letters[:1], letters[1:])


def test_an_epoch_follows_from_its_seed(pool: crops.Pool) -> None:
    images, labels = crops.epoch(pool, 60, (1, 0), FRAME)
    again, labels_again = crops.epoch(pool, 60, (1, 0), FRAME)
    other, _ = crops.epoch(pool, 60, (1, 1), FRAME)
    assert images.shape == (60, 28, 28) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.array_equal(images, again) and np.array_equal(labels, labels_again)
    assert not np.array_equal(images, other)


def test_an_epoch_has_all_classes(pool: crops.Pool) -> None:
    _, labels = crops.epoch(pool, 600, (0,), FRAME)
    assert set(labels.tolist()) == set(range(len(crops.CLASSES)))
