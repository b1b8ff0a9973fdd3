"""Cells that are not used are filled with marks; what is written beside them stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift import Reader
from inkshift.forms import fields
from inkshift.forms import ink as inks
from inkshift.forms.cells import likeness

Gray = npt.NDArray[np.uint8]
SIDE, MARGIN = 44, 8


@pytest.fixture(scope="module")
def reader(shipped_model: str) -> Reader:
    return Reader(read_as="digit")


def drawn(symbol: str, digits: Gray, off: int = 0) -> Gray:
    """(SIDE, SIDE): a digit, or a mark by its name, light on black."""
    cell = np.zeros((SIDE, SIDE), np.uint8)
    middle = SIDE // 2
    if symbol.isdigit():
        cell[:] = cv2.resize(digits[int(symbol)], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    elif symbol == "wave":
        x = np.linspace(-15, 15, 40)
        points = np.stack([middle + x, middle + off + 5 * np.sin(x / 15 * np.pi)], 1)
        cv2.polylines(cell, [np.rint(points * 8).astype(np.int32)], False, (255,), 3, cv2.LINE_AA, 3)
    elif symbol == "dot":
        cv2.circle(cell, (middle + off, middle), 4, (255,), -1, cv2.LINE_AA)
    else:
        high, wide = {"slash": (13, 11), "steep": (14, 9), "dash": (1, 10)}[symbol]
        cv2.line(cell, (middle - wide, middle + high + off), (middle + wide, middle - high), (255,), 3, cv2.LINE_AA)
    return cell


def job(cells: list[Gray], level: int = 70) -> fields.Job:
    """A field of printed cells that hold these."""
    h, w = SIDE + 2 * MARGIN, SIDE * len(cells) + 2 * MARGIN
    page = np.full((h, w), 240, np.uint8)
    for k, cell in enumerate(cells):
        part = page[MARGIN : MARGIN + SIDE, MARGIN + k * SIDE : MARGIN + (k + 1) * SIDE]
        part[:] = (240 - cell.astype(float) * (240 - level) / 255).astype(np.uint8)
        cv2.line(page, (MARGIN + k * SIDE, MARGIN), (MARGIN + k * SIDE, h - MARGIN), (120,), 1)
    cv2.rectangle(page, (MARGIN, MARGIN), (w - MARGIN, h - MARGIN), (120,), 1)
    frame = (MARGIN, MARGIN, w - MARGIN, h - MARGIN)
    return fields.Job("f", "cells", page, inks.darkness(page), frame, len(cells), printed=True)


@pytest.mark.parametrize("mark", ["wave", "dot", "slash", "dash"])
def test_marks_before_a_digit_are_no_digits(reader: Reader, drawn_digits: Gray, mark: str) -> None:
    cells = [drawn(mark, drawn_digits), drawn(mark, drawn_digits, 1), drawn("7", drawn_digits)]
    (field,) = reader._by_digits([job(cells)], 160.0)
    assert (field.written, field.value) == ("XX7", "7")


@pytest.mark.parametrize("text", ["007", "447", "112", "700"])
def test_digits_that_are_alike_stay_digits(reader: Reader, drawn_digits: Gray, text: str) -> None:
    (field,) = reader._by_digits([job([drawn(d, drawn_digits) for d in text])], 160.0)
    assert field.written == text


def test_a_steep_slash_that_may_be_a_1_is_for_a_person(reader: Reader, drawn_digits: Gray) -> None:
    (field,) = reader._by_digits([job([drawn("steep", drawn_digits), drawn("7", drawn_digits)])], 160.0)
    assert field.confidence < 0.7


def test_likeness_tells_the_same_mark_from_another(drawn_digits: Gray) -> None:
    wave, again, dash = (
        drawn(*args) for args in (("wave", drawn_digits), ("wave", drawn_digits, 2), ("slash", drawn_digits))
    )
    assert likeness(wave, again) > 0.8 > likeness(wave, dash)
    assert likeness(wave, np.zeros_like(wave)) == 0
