"""Printed cells in a crop without a template: found by their lines, and read cell by cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets.formats import read_ragged
from inkshift.forms.cut.grid import printed_cells
from inkshift.forms.cut.ink import darkness
from inkshift.forms.reader import Reader

Gray = npt.NDArray[np.uint8]


def boxes(text: str, wide: int = 40, high: int = 50, line: int = 2, margin: int = 4, gray: int = 60) -> Gray:
    """A row of printed cells, one character in each; a space leaves one empty, an X crosses it out."""
    image = np.full((high + 2 * margin, wide * len(text) + 2 * margin), 245, np.uint8)
    for k, symbol in enumerate(text):
        x = margin + k * wide
        cv2.rectangle(image, (x, margin), (x + wide, margin + high), (gray,), line)
        if symbol.isdigit():
            at = (x + wide // 2 - 10, margin + high // 2 + 11)
            cv2.putText(image, symbol, at, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (30,), 3, cv2.LINE_AA)
        elif symbol == "X":
            cv2.line(image, (x + 10, margin + 12), (x + wide - 10, margin + high - 12), (30,), 3, cv2.LINE_AA)
            cv2.line(image, (x + wide - 10, margin + 12), (x + 10, margin + high - 12), (30,), 3, cv2.LINE_AA)
    return image


@given(
    text=st.text("0123456789X ", min_size=2, max_size=8),
    wide=st.integers(34, 60),
    line=st.integers(1, 3),
    margin=st.integers(3, 6),
    gray=st.integers(30, 170),
)
def test_cells_are_found_and_counted(text: str, wide: int, line: int, margin: int, gray: int) -> None:
    found = printed_cells(darkness(boxes(text, wide, line=line, margin=margin, gray=gray)))
    assert found is not None
    (left, top, right, bottom), count = found
    assert count == len(text)
    assert abs(left - margin) <= line and abs(right - margin - wide * count) <= line
    assert abs(top - margin) <= line and abs(bottom - margin - 50) <= line


@given(text=st.text("0123456789", min_size=2, max_size=8), texture=st.booleans(), seed=st.integers(0, 99))
def test_a_number_without_cells_has_none(text: str, texture: bool, seed: int) -> None:
    image = np.full((60, 30 * len(text) + 30), 235, np.uint8)
    if texture:
        image -= np.random.default_rng(seed).integers(0, 70, image.shape).astype(np.uint8)
    cv2.putText(image, text, (15, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (40,), 3, cv2.LINE_AA)
    assert printed_cells(darkness(image)) is None
    cv2.rectangle(image, (2, 2), (image.shape[1] - 3, 57), (40,), 2)
    assert printed_cells(darkness(image)) is None, "one box around the whole number"


def test_a_picture_too_small_for_cells_has_none() -> None:
    assert printed_cells(np.zeros((8, 30), np.uint8)) is None
    assert printed_cells(np.zeros((60, 20), np.uint8)) is None


@pytest.mark.parametrize(
    ("text", "value"), [("X57", "57"), ("105", "105"), (" 44", "44"), ("XX3", "3"), ("1289", "1289")]
)
def test_crossed_out_and_empty_cells_are_no_digits(text: str, value: str) -> None:
    for model in ("", "digits"):
        reading = Reader(read_as="number", model=model).read_page(boxes(text)).fields[0]
        assert reading.value == value, model or "numbers"


def test_amounts_on_cheques_are_not_taken_for_cells(shared_data) -> None:  # type: ignore[no-untyped-def]
    pictures, _ = read_ragged(shared_data / "orand_car_a" / "numbers.npz")
    assert not [k for k, picture in enumerate(pictures) if printed_cells(darkness(picture))]
