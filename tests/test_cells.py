"""Cells: each digit to its own cell, the printed frame gone, an empty cell empty."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift.forms.field.cells import Cell, cells_of_field, views_of_digit

Gray = npt.NDArray[np.uint8]
CELL, MARGIN = 50, 9
FRAME = (MARGIN, MARGIN, MARGIN + 3 * CELL, MARGIN + CELL)


def field(digits: Gray, text: str, *, frame: bool = False, shift: int = 0) -> Gray:
    """Ink of three cells: a digit in each, `_` for none; frame: its printed lines, `shift` pixels off."""
    ink = np.zeros((CELL + 2 * MARGIN, 3 * CELL + 2 * MARGIN), np.uint8)
    for i, symbol in enumerate(text):
        if symbol != "_":
            x, y = MARGIN + i * CELL + 11, MARGIN + 10
            ink[y : y + 28, x : x + 28] = digits[int(symbol)]
    if frame:
        x0, y0, x1, y1 = (edge + shift for edge in FRAME)
        cv2.rectangle(ink, (x0, y0), (x1, y1), (255,), 2)
        for wall in (x0 + CELL, x0 + 2 * CELL):
            cv2.line(ink, (wall, y0), (wall, y1), (255,), 2)
    return ink


def shows(cell: Cell, digit: Gray) -> bool:
    """Whether one of the cell's views is the digit, pixel by pixel."""
    x, y, w, h = cv2.boundingRect((digit > 0).view(np.uint8))
    return any(np.array_equal(view, digit[y : y + h, x : x + w]) for view in cell.views)


@given(st.text("0123456789_", min_size=3, max_size=3))
def test_each_digit_is_in_its_own_cell(drawn_digits: Gray, text: str) -> None:
    cells = cells_of_field(field(drawn_digits, text), 3, FRAME, printed=False)
    for symbol, cell in zip(text, cells, strict=True):
        assert bool(cell.views) == (symbol != "_")
        assert symbol == "_" or shows(cell, drawn_digits[int(symbol)])


@pytest.mark.parametrize("shift", [-3, 0, 3])
@given(text=st.text("0123456789_", min_size=3, max_size=3))
def test_the_printed_frame_is_no_ink(drawn_digits: Gray, text: str, shift: int) -> None:
    cells = cells_of_field(field(drawn_digits, text, frame=True, shift=shift), 3, FRAME, printed=True)
    for symbol, cell in zip(text, cells, strict=True):
        assert bool(cell.views) == (symbol != "_")
        assert symbol == "_" or shows(cell, drawn_digits[int(symbol)])


def test_the_ink_that_was_given_is_left_as_it_is(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "123", frame=True)
    before = ink.copy()
    cells_of_field(ink, 3, FRAME, printed=True)
    assert np.array_equal(ink, before)


def test_a_digit_that_crosses_a_wall_stays_whole(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "___", frame=True)
    cv2.line(ink, (MARGIN + 15, MARGIN + 12), (MARGIN + CELL + 6, MARGIN + 38), (255,), 4)
    first, second, _ = cells_of_field(ink, 3, FRAME, printed=True)
    assert first.views[0].shape[1] > CELL - 15 + 2
    assert not second.views


def test_digits_joined_across_a_wall_are_parted(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "88_")
    ink[MARGIN + 24 : MARGIN + 27, MARGIN + 25 : MARGIN + CELL + 25] = 255
    first, second, third = cells_of_field(ink, 3, FRAME, printed=False)
    assert first.views and second.views and not third.views
    assert max(view.shape[1] for view in (*first.views, *second.views)) < 1.2 * CELL


def test_a_dash_is_flat_and_a_digit_is_not(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "_12")
    cv2.line(ink, (MARGIN + 10, MARGIN + 25), (MARGIN + 40, MARGIN + 24), (255,), 3)
    assert [cell.flat for cell in cells_of_field(ink, 3, FRAME, printed=False)] == [True, False, False]


def test_the_rim_of_a_stamp_over_a_digit_is_no_dash(drawn_digits: Gray) -> None:
    """What is flat and larger than the digit in its cell lies on it; the digit is read all the same."""
    ink = field(drawn_digits, "111")
    cv2.line(ink, (MARGIN + CELL + 1, MARGIN + 5), (MARGIN + 2 * CELL - 2, MARGIN + 7), (255,), 5)
    cell = cells_of_field(ink, 3, FRAME, printed=False)[1]
    assert (cell.flat, cell.mark) == (False, 0.0)


def test_a_speck_is_no_ink(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "___")
    ink[MARGIN + 25 : MARGIN + 28, MARGIN + 25 : MARGIN + 28] = 255
    assert not any(cell.views for cell in cells_of_field(ink, 3, FRAME, printed=False))


def test_a_stroke_that_is_broken_into_specks_is_ink_and_dust_is_none(drawn_digits: Gray) -> None:
    """A thin pen on a scan of one bit: no piece of the digit is as large as a speck."""
    ink = field(drawn_digits, "_8_")
    places = np.random.default_rng(3).integers(MARGIN + 8, MARGIN + CELL - 8, (12, 2))
    ink[places[:, 0], places[:, 1]] = 255
    cell = slice(MARGIN + CELL, MARGIN + 2 * CELL)
    ink[::3, cell] = 0
    ink[:, cell][:, ::4] = 0
    assert [bool(cell.views) for cell in cells_of_field(ink, 3, FRAME, printed=False)] == [False, True, False]


@pytest.mark.parametrize("thing", ["finger", "wire"])
def test_what_lies_on_a_page_is_no_part_of_the_digit_beside_it(drawn_digits: Gray, thing: str) -> None:
    ink, width = field(drawn_digits, "_0_", frame=True), 9
    middle = MARGIN + CELL // 2 + CELL
    if thing == "finger":
        cv2.circle(ink, (middle - 14, MARGIN + CELL + 10), 20, (255,), -1)
    else:
        cv2.line(ink, (MARGIN + 2 * CELL - 4, 0), (MARGIN + 2 * CELL - 8, MARGIN + 14), (255,), width)
    _, cell, last = cells_of_field(ink, 3, FRAME, printed=True)
    assert shows(cell, drawn_digits[0]) and len(cell.views) == 1 and cell.mark == 0
    assert not last.views


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 60))), st.integers(1, 5), st.booleans())
def test_any_ink_has_as_many_cells_as_asked_for(mask: npt.NDArray[np.bool_], count: int, printed: bool) -> None:
    h, w = mask.shape
    cells = cells_of_field(mask.astype(np.uint8) * 255, count, (0, 0, w, h), printed)
    assert len(cells) == count
    for cell in cells:
        assert len(cell.views) == len(cell.weights)
        assert all(view.any() for view in cell.views)
        assert all(0 <= weight <= 1 for weight in cell.weights)


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_views_of_a_picture_show_ink(mask: npt.NDArray[np.bool_]) -> None:
    views = views_of_digit(mask.astype(np.uint8) * 255)
    assert bool(views) == bool(mask.any())
    assert all(view.any() for view in views)


def test_one_view_of_a_digit_is_free_of_its_neighbour(drawn_digits: Gray) -> None:
    picture = np.zeros((32, 44), np.uint8)
    picture[2:30, 8:36] = drawn_digits[5]
    picture[4:28, 41:44] = 255
    cell = Cell((0, 0, 44, 32), views_of_digit(picture), ())
    assert shows(cell, drawn_digits[5])


def test_a_line_through_all_cells_crosses_them_out(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "___", frame=True)
    cv2.line(ink, (MARGIN + 8, MARGIN + 42), (MARGIN + 3 * CELL - 8, MARGIN + 8), (255,), 3)
    cells = cells_of_field(ink, 3, FRAME, printed=True)
    assert [cell.flat for cell in cells] == [True, True, True]


def test_two_digits_in_one_cell_are_noticed(drawn_digits: Gray) -> None:
    ink = field(drawn_digits, "___")
    for start in (CELL + 12, CELL + 32):
        cv2.line(ink, (MARGIN + start, MARGIN + 10), (MARGIN + start + 4, MARGIN + 38), (255,), 3)
    assert [cell.over > 0.5 for cell in cells_of_field(ink, 3, FRAME, printed=False)] == [False, True, False]
    plain = cells_of_field(field(drawn_digits, "471"), 3, FRAME, printed=False)
    assert not any(cell.over for cell in plain)


@pytest.mark.parametrize(("text", "noticed"), [("_57", True), ("157", False)])
def test_a_digit_that_reaches_in_from_beside_is_noticed_where_it_finds_an_empty_cell(
    drawn_digits: Gray, text: str, noticed: bool
) -> None:
    ink = np.pad(field(drawn_digits, text), ((0, 0), (30, 0)))
    cv2.ellipse(ink, (MARGIN + 28, MARGIN + 25), (12, 16), 0, 0, 360, (255,), 3)
    frame = (FRAME[0] + 30, FRAME[1], FRAME[2] + 30, FRAME[3])
    cells = cells_of_field(ink, 3, frame, printed=False)
    assert [cell.over > 0.5 for cell in cells] == [noticed, False, False]


@pytest.mark.parametrize("mark", ["x", "dot", "dash", "slash", "wave"])
def test_the_form_of_a_mark_says_that_its_cell_is_unused(mark: str) -> None:
    ink = np.zeros((60, 50), np.uint8)
    if mark == "x":
        cv2.line(ink, (12, 12), (40, 48), (255,), 3)
        cv2.line(ink, (12, 48), (40, 12), (255,), 3)
    if mark == "dot":
        cv2.circle(ink, (25, 30), 5, (255,), -1)
    if mark == "dash":
        cv2.line(ink, (10, 30), (40, 29), (255,), 3)
    if mark == "slash":
        cv2.line(ink, (8, 50), (42, 10), (255,), 3)
    if mark == "wave":
        across = np.arange(8, 43)
        points = np.stack([across, 30 + 6 * np.sin((across - 8) * 2 * np.pi / 34)], 1)
        cv2.polylines(ink, [np.rint(points).astype(np.int32)], False, (255,), 3)
    (cell,) = cells_of_field(ink, 1, (0, 0, 50, 60), printed=False)
    assert cell.mark > 0.5


def test_a_low_and_wide_two_is_no_wave() -> None:
    ink = np.zeros((60, 50), np.uint8)
    points = np.array([(9, 24), (15, 19), (26, 19), (31, 24), (24, 31), (12, 38), (8, 40), (44, 40)], np.int32)
    cv2.polylines(ink, [points], False, (255,), 3)
    (cell,) = cells_of_field(ink, 1, (0, 0, 50, 60), printed=False)
    assert cell.mark == 0


def test_a_low_and_wide_seven_is_no_dash() -> None:
    ink = np.zeros((60, 50), np.uint8)
    cv2.polylines(ink, [np.array([(8, 24), (42, 24), (41, 42)], np.int32)], False, (255,), 3)
    (cell,) = cells_of_field(ink, 1, (0, 0, 50, 60), printed=False)
    assert cell.mark == 0


@pytest.mark.parametrize(("wide", "high"), [(15, 14), (19, 15)])
def test_a_blob_may_be_a_digit_whose_loop_ran_full(wide: int, high: int) -> None:
    ink = np.zeros((60, 50), np.uint8)
    cv2.ellipse(ink, (25, 24), (wide // 2, high // 2), 0, 0, 360, (255,), -1)
    (cell,) = cells_of_field(ink, 1, (0, 0, 50, 60), printed=False)
    assert cell.mark == 0


@given(st.integers(0, 9))
def test_a_digit_has_no_mark_s_form(drawn_digits: Gray, digit: int) -> None:
    ink = cv2.resize(drawn_digits[digit], (56, 56), interpolation=cv2.INTER_LINEAR)
    (cell,) = cells_of_field(np.asarray(ink, np.uint8), 1, (0, 0, 56, 56), printed=False)
    assert cell.mark == 0


@pytest.mark.parametrize("ends", [((6, 31), (52, 28)), ((10, 50), (48, 8))])
@pytest.mark.parametrize("digit", [2, 3, 5, 6, 8, 9])
def test_a_line_that_goes_beyond_a_digit_on_both_sides_strikes_it_out(
    drawn_digits: Gray, digit: int, ends: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    ink = np.asarray(cv2.resize(drawn_digits[digit], (56, 56), interpolation=cv2.INTER_LINEAR), np.uint8)
    cv2.line(ink, *ends, (255,), 3)
    (cell,) = cells_of_field(ink, 1, (0, 0, 56, 56), printed=False)
    assert cell.mark > 0.2


@pytest.mark.parametrize("bar", [(20, 40), (24, 44)])
def test_the_bar_of_a_seven_strikes_nothing_out(bar: tuple[int, int]) -> None:
    ink = np.zeros((60, 56), np.uint8)
    cv2.polylines(ink, [np.array([(14, 10), (44, 10), (26, 52)], np.int32)], False, (255,), 3)
    cv2.line(ink, (bar[0], 32), (bar[1], 31), (255,), 3)
    (cell,) = cells_of_field(ink, 1, (0, 0, 56, 60), printed=False)
    assert cell.mark == 0


@pytest.mark.parametrize("high", [8, 14, 20])
@pytest.mark.parametrize("hanging", [False, True])
@pytest.mark.parametrize("text", ["_7_", "___", "112", "__8"])
def test_the_teeth_of_a_comb_are_no_ones(drawn_digits: Gray, text: str, hanging: bool, high: int) -> None:
    ink = field(drawn_digits, text)
    x0, y0, x1, y1 = FRAME
    cv2.polylines(ink, [np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0)])], False, (255,), 2)
    for wall in (x0 + CELL, x0 + 2 * CELL):
        cv2.line(ink, (wall, y0 if hanging else y1), (wall, y0 + high if hanging else y1 - high), (255,), 2)
    for symbol, cell in zip(text, cells_of_field(ink, 3, FRAME, printed=True), strict=True):
        assert bool(cell.views) == (symbol != "_")
        assert symbol == "_" or shows(cell, drawn_digits[int(symbol)])


@pytest.mark.parametrize("apart", [5, 7, 9])
def test_a_frame_of_dots_that_no_template_names_is_no_mark(drawn_digits: Gray, apart: int) -> None:
    ink = field(drawn_digits, "__5")
    x0, y0, x1, y1 = FRAME
    for x in range(x0, x1 + 1, apart):
        for y in (y0 + 1, y1 - 2):
            cv2.circle(ink, (x, y), 1, (255,), -1)
    for wall in range(x0, x1 + 1, CELL):
        for y in range(y0, y1 + 1, apart):
            cv2.circle(ink, (wall, y), 1, (255,), -1)
    first, second, last = cells_of_field(ink, 3, FRAME, printed=False)
    assert not first.views and not second.views and shows(last, drawn_digits[5])
