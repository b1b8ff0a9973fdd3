"""What `make bench-peers` counts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import peers
import peers_metrics
import peers_worker
from inkshift.models.metrics import edit_distance
from peers_metrics import Read, accepted_share, beside, calibration_error

digits = st.text("0123", max_size=6)
readings = st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [("", "", 0), ("120", "120", 0), ("120", "20", 1), ("120", "1720", 1), ("120", "170", 1), ("12", "", 2)]
    + [("123", "231", 2), ("7000", "0007", 2)],
)
def test_edit_distance_counts_insertions_deletions_and_replacements(a: str, b: str, edits: int) -> None:
    assert edit_distance(a, b) == edits


@given(digits, digits, digits)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_accepted_share_is_the_largest_whose_error_is_allowed() -> None:
    sure = [0.9, 0.8, 0.7, 0.6, 0.5]
    right = [True, False, True, True, True]
    assert accepted_share(sure, right, 0.0) == 0.2
    assert accepted_share(sure, right, 0.25) == 1.0
    assert accepted_share(sure, right, 0.2) == 1.0
    assert accepted_share(sure[:4], right[:4], 0.2) == 0.25
    assert accepted_share([0.9], [False], 0.02) == 0.0


def test_readings_of_one_confidence_are_accepted_together() -> None:
    assert accepted_share([1.0, 1.0, 1.0, 0.5], [True, True, False, True], 0.02) == 0.0
    assert accepted_share([1.0, 1.0, 0.5, 0.5], [True, True, True, False], 0.02) == 0.5


def test_calibration_error_by_hand() -> None:
    assert calibration_error([0.9, 0.9, 0.5, 0.5], [True, True, True, False], bins=2) == pytest.approx(0.05)
    assert calibration_error([1.0, 0.0], [False, True]) == 1.0
    assert calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert calibration_error([0.2, 0.8], [True, False], bins=1) == pytest.approx(0.0)


@given(readings, st.randoms(use_true_random=False))
def test_trust_measures_do_not_depend_on_the_order_of_readings(
    pairs: list[tuple[float, bool]], shuffler: random.Random
) -> None:
    mixed = pairs.copy()
    shuffler.shuffle(mixed)
    for error in (0.0, 0.02, 0.5):
        share = accepted_share(*zip(*pairs, strict=True), error)
        assert accepted_share(*zip(*mixed, strict=True), error) == share
        assert 0 <= share <= 1
    gap = calibration_error(*zip(*pairs, strict=True))
    assert calibration_error(*zip(*mixed, strict=True)) == pytest.approx(gap)
    assert 0 <= gap <= 1


@given(readings)
def test_what_is_accepted_has_at_most_the_error_allowed(pairs: list[tuple[float, bool]]) -> None:
    sure, right = zip(*pairs, strict=True)
    count = round(accepted_share(sure, right, 0.25) * len(pairs))
    accepted = sorted(pairs, key=lambda pair: -pair[0])[:count]
    assert sum(not hit for _, hit in accepted) <= 0.25 * count
    assert accepted_share(sure, right, 1.0) == 1.0


def test_one_number_a_picture_stands_beside_its_label() -> None:
    assert beside(["120"], [("170", 0.5)], image=3) == [Read("120", "170", 0.5, 3)]
    assert beside([""], [("", 0.9)]) == [Read("", "", 0.9)]
    assert beside(["12"], []) == [Read("12", "", 0.0)]


def test_a_row_too_many_or_too_few_costs_one_number() -> None:
    labels = ["161", "069", "000", "001"]
    extra = [("192", 0.7), *((label, 0.9) for label in labels)]
    assert [one.label == one.text for one in beside(labels, extra)] == [False, True, True, True, True]
    missed = [(label, 0.9) for label in labels if label != "069"]
    assert [(one.label, one.text) for one in beside(labels, missed) if one.label != one.text] == [("069", "")]


def test_measures_of_a_set() -> None:
    read = [Read("120", "120", 0.9), Read("45", "46", 0.8), Read("", "", 0.7), Read("7", "", 0.1)]
    got = peers_metrics.measure(read)
    assert (got.n, got.right) == (4, 2)
    assert got.character_errors == pytest.approx(2 / 6)
    assert got.accepted == (0.25, 0.25)
    assert got.interval[0] < 0.5 < got.interval[1]


def test_greedy_decoding_joins_repeats_and_drops_blanks() -> None:
    steps = np.full((6, 11), 0.01, np.float32)
    for step, column in enumerate([0, 5, 5, 0, 5, 1]):
        steps[step, column] = 0.9
    text, confidence = peers_worker.greedy(steps)
    assert text == "440"
    assert confidence == pytest.approx(0.9**6)


def test_pictures_reach_a_reader_as_they_are(tmp_path: Path) -> None:
    images = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((4, 5, 3), 7, np.uint8)]
    peers.pack(tmp_path / "pictures.npz", images)
    for image, loaded in zip(images, peers_worker.load(str(tmp_path / "pictures.npz")), strict=True):
        np.testing.assert_array_equal(loaded, image)
