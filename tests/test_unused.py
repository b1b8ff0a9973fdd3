"""Cells that are not used are filled with marks; what is written beside them stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift import Reader
from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.field.cells import likeness
from inkshift.forms.page.strokes import strokes_through
from inkshift.forms.registration.registered import RegisteredPage

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


def job(cells: list[Gray], level: int = 70) -> cutout.FieldJob:
    """A field of printed cells that hold these."""
    h, w = SIDE + 2 * MARGIN, SIDE * len(cells) + 2 * MARGIN
    page = np.full((h, w), 240, np.uint8)
    for k, cell in enumerate(cells):
        part = page[MARGIN : MARGIN + SIDE, MARGIN + k * SIDE : MARGIN + (k + 1) * SIDE]
        part[:] = (240 - cell.astype(float) * (240 - level) / 255).astype(np.uint8)
        cv2.line(page, (MARGIN + k * SIDE, MARGIN), (MARGIN + k * SIDE, h - MARGIN), (120,), 1)
    cv2.rectangle(page, (MARGIN, MARGIN), (w - MARGIN, h - MARGIN), (120,), 1)
    frame = (MARGIN, MARGIN, w - MARGIN, h - MARGIN)
    return cutout.FieldJob("f", "cells", page, inks.darkness(page), frame, len(cells), printed=True)


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


def column(count: int, text: str, digits: Gray) -> tuple[Gray, list[tuple[float, float, float, float]]]:
    """A page with a column of printed boxes, the same number in each, and the boxes as x, y, width, height."""
    boxes = [(40.0, 30.0 + 50 * k, 90.0, 40.0) for k in range(count)]
    page = np.full((60 + 50 * count, 180), 245, np.uint8)
    for x, y, w, h in np.array(boxes, int):
        cv2.rectangle(page, (x, y), (x + w, y + h), (80,), 1)
        for k, digit in enumerate(text):
            part = page[y + 6 : y + 34, x + 8 + 26 * k : x + 36 + 26 * k]
            np.minimum(part, 245 - np.asarray(digits[int(digit)] * 0.7, np.uint8), out=part)
    return page, boxes


@given(st.integers(0, 4), st.integers(2, 4), st.integers(10, 35), st.integers(55, 80), st.integers(2, 4))
def test_a_diagonal_passes_the_boxes_that_it_goes_through(
    drawn_digits: Gray, first: int, passes: int, left: int, right: int, pen: int
) -> None:
    page, boxes = column(9, "", drawn_digits)
    ends = (40 + left, 30 + 50 * first), (40 + right, 30 + 50 * (first + passes) - 10)
    cv2.line(page, *ends, (90,), pen, cv2.LINE_AA)
    found = strokes_through(RegisteredPage(page, np.eye(3), 1.0, 0), inks.darkness(page, 60), boxes)
    assert found.tolist() == [first <= k < first + passes for k in range(9)]


@pytest.mark.parametrize("text", ["111", "777", "47", "1"])
def test_numbers_one_above_the_other_are_no_stroke(drawn_digits: Gray, text: str) -> None:
    page, boxes = column(6, text, drawn_digits)
    assert not strokes_through(RegisteredPage(page, np.eye(3), 1.0, 0), inks.darkness(page, 60), boxes).any()


def test_printed_lines_are_no_stroke_of_a_pen(drawn_digits: Gray) -> None:
    page, boxes = column(6, "", drawn_digits)
    cv2.line(page, (85, 10), (86, len(page) - 10), (80,), 2)
    assert not strokes_through(RegisteredPage(page, np.eye(3), 1.0, 0), inks.darkness(page, 60), boxes).any()
    assert not strokes_through(RegisteredPage(page, np.eye(3), 1.0, 0), inks.darkness(page, 60), boxes[:1]).any()


@pytest.mark.parametrize("text", ["425", "780", "936"])
def test_digits_far_paler_than_the_ink_of_their_page_are_no_blanks(
    reader: Reader, drawn_digits: Gray, text: str
) -> None:
    (field,) = reader._by_digits([job([drawn(d, drawn_digits) for d in text], level=200)], 160.0)
    assert field.state != "blank" and field.confidence < 0.8


def test_bands_of_a_safety_print_are_no_pale_digits(reader: Reader, drawn_digits: Gray) -> None:
    bands = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(bands, (0, SIDE), (SIDE, 0), (255,), 16, cv2.LINE_AA)
    (field,) = reader._by_digits([job([bands, bands, bands], level=205)], 160.0)
    assert field.state == "blank" and field.confidence > 0.9


def struck_in_its_cell(text: str, at: int, digits: Gray) -> cutout.FieldJob:
    """A number in printed cells, a straight stroke through the digit of one."""
    cells = [drawn(symbol, digits) for symbol in text]
    inked = np.flatnonzero((cells[at] > 100).any(0))
    x0, x1 = max(int(inked[0]) - 9, 1), min(int(inked[-1]) + 9, SIDE - 2)
    cv2.line(cells[at], (x0, SIDE // 2 + 3), (x1, SIDE // 2 - 4), (255,), 3, cv2.LINE_AA)
    return job(cells)


@pytest.mark.parametrize(("text", "at"), [("838", 1), ("5620", 2), ("203", 0), ("96", 1), ("6385", 1)])
@pytest.mark.parametrize("kind", ["cells", "number"])
def test_a_digit_that_was_taken_back_in_its_cell_is_no_digit_for_certain(
    reader: Reader, drawn_digits: Gray, text: str, at: int, kind: str
) -> None:
    struck = struck_in_its_cell(text, at, drawn_digits)
    field = reader.read_field(struck) if kind == "cells" else Reader(read_as="number").read_page(struck.crop).fields[0]
    assert field.confidence < 0.9 or field.written[at] == "X"


@pytest.mark.parametrize("text", ["838", "1234", "6385"])
def test_digits_in_printed_cells_stay_sure(reader: Reader, drawn_digits: Gray, text: str) -> None:
    whole = job([drawn(symbol, drawn_digits) for symbol in text])
    for field in (reader.read_field(whole), Reader(read_as="number").read_page(whole.crop).fields[0]):
        assert field.value == text and field.confidence > 0.8
