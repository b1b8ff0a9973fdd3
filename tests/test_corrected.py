"""A number that was struck out and the one that stands in its place are both reported."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift import Reader
from inkshift.forms.field.struck import struck_odds
from test_numbers import written

Gray = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="number")


def struck(text: str, seed: int) -> Gray:
    page = written(text, seed)
    middle = len(page) // 2
    for off in (-3, 4):
        cv2.line(page, (1, middle + off), (page.shape[1] - 2, middle + off - 2), (45,), 2, cv2.LINE_AA)
    return page


def placed(old: Gray, new: Gray, above: bool) -> Gray:
    """Both numbers in one picture: the new one beside the old one, or above it."""
    (h, w), (high, wide) = old.shape, new.shape
    page = np.full((h + high + 30, max(w, wide) + 40), 245, np.uint8) if above else None
    if page is None:
        page = np.full((max(h, high) + 20, w + wide + 60), 245, np.uint8)
        page[10 : 10 + h, 15 : 15 + w], page[10 : 10 + high, 45 + w : 45 + w + wide] = old, new
    else:
        page[10 : 10 + high, 20 : 20 + wide], page[20 + high : 20 + high + h, 20 : 20 + w] = new, old
    return page


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize(("old", "new"), [("472", "385"), ("30", "94")])
def test_both_numbers_are_reported(reader: Reader, old: str, new: str, above: bool) -> None:
    field = reader.read_page(placed(struck(old, 3), written(new, 5), above)).fields[0]
    assert "struck" in field.marks and field.confidence < 0.7
    texts = [candidate.written for candidate in field.candidates]
    assert new in texts and "X" in texts
    assert sum(candidate.probability for candidate in field.candidates) <= 1.001


def test_two_numbers_that_stand_are_not_corrected(reader: Reader) -> None:
    field = reader.read_page(placed(written("472", 3), written("385", 5), False)).fields[0]
    assert "struck" not in field.marks


def test_the_flag_and_the_foot_of_a_wide_5_are_no_strike() -> None:
    ink = np.zeros((60, 140), np.uint8)
    for ends in (((78, 22), (112, 20)), ((78, 22), (70, 31)), ((70, 31), (84, 38)), ((84, 38), (78, 46))):
        cv2.line(ink, *ends, (255,), 5, cv2.LINE_AA)
    cv2.line(ink, (82, 44), (52, 42), (255,), 5, cv2.LINE_AA)
    through = ink.copy()
    cv2.line(through, (40, 34), (125, 32), (255,), 4, cv2.LINE_AA)
    assert struck_odds(ink) < 1.5 < struck_odds(through)
