"""Lines at the ends of a number: a border of a table is no digit, a 1 is one, and what may be either is doubted."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift import Reader
from inkshift.forms.cut import borders, cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.field.ends import left_by_ends
from inkshift.forms.reading import CellReading
from test_numbers import written

Gray = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="number")


def inside(page: Gray, at_left: bool, beyond: int, thick: int, ink: int) -> Gray:
    """A page with an upright border beside its number and `beyond` pixels of paper behind that."""
    h, w = page.shape
    wide = np.hstack([page, np.full((h, beyond), 245, np.uint8)])
    cv2.line(wide, (w, -2), (w, h + 2), (ink,), thick)
    return np.ascontiguousarray(wide if not at_left else np.hstack([wide[:, w:][:, ::-1], wide[:, :w]]))


def with_one(text: str, seed: int, high: float, lean: float, first: bool) -> Gray:
    """A number with a straight 1 so many times as high as its digits at an end, which fills the picture's height."""
    page = written(text, seed)
    inked = np.flatnonzero((page < 160).any(1))
    y0, y1 = int(inked[0]), int(inked[-1])
    room = round((high - 1) * (y1 - y0) / 2)
    page = cv2.copyMakeBorder(page, room, room, 30, 30, cv2.BORDER_CONSTANT, value=(245,))[y0 : y1 + 2 * room + 1]
    x, over = (22 if first else page.shape[1] - 22), lean * len(page) / 2
    cv2.line(page, (round(x + over), 1), (round(x - over), len(page) - 2), (45,), 3, cv2.LINE_AA)
    return np.asarray(page, np.uint8)


@given(st.booleans(), st.integers(8, 60), st.integers(70, 170), st.sampled_from(["402", "38", "2796"]))
def test_a_border_inside_a_crop_goes_before_anything_reads_it(at_left: bool, beyond: int, ink: int, text: str) -> None:
    page = inside(written(text, 3), at_left, beyond, 1, ink)
    job = cutout.as_job(page, "n", "number", (1, 8))
    upright = (job.dark > inks.FAINTEST).mean(0) > 0.9
    assert not upright.any() and job.ends == (None, None)
    digits = (written(text, 3) < 120).sum()
    assert 0.97 * digits < (job.dark > 245 - 120).sum() <= digits


@pytest.mark.parametrize("text", ["0", "000", "84", "375"])
@pytest.mark.parametrize("at_left", [False, True])
def test_a_number_beside_a_border_is_read_without_it(reader: Reader, text: str, at_left: bool) -> None:
    page = written(text, 5)
    field = reader.read_page(inside(page, at_left, 30, 2, 110)).fields[0]
    assert field.value == reader.read_page(page).fields[0].value == text


@given(st.floats(1.0, 1.12), st.floats(0.0, 0.12), st.booleans(), st.sampled_from(["40", "7", "382"]))
def test_a_straight_one_that_fills_the_height_of_its_crop_stays(
    high: float, lean: float, first: bool, text: str
) -> None:
    page = with_one(text, 4, high, lean, first)
    job = cutout.as_job(page, "n", "number", (1, 8))
    assert (job.dark > 60).sum() == (inks.darkness(page) > 60).sum()


@pytest.mark.parametrize("text", ["36", "72", "80"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("high", [1.0, 1.15, 1.3])
def test_a_high_one_at_an_end_is_never_lost_in_silence(reader: Reader, text: str, first: bool, high: float) -> None:
    field = reader.read_page(with_one(text, 6, high, 0.04, first)).fields[0]
    assert field.value == ("1" + text if first else text + "1") or field.confidence < 0.9


def ruled(text: str, corner: bool, level: int) -> tuple[Gray, int]:
    """A number and, as dark as it and where a 1 may stand, an upright stroke that fills the picture's height; a level
    line below ends at it if `corner`, or goes on. With the place of the stroke."""
    page = cv2.copyMakeBorder(written(text, 5), 0, 6, 30, 0, cv2.BORDER_CONSTANT, value=(245,))
    h, w = page.shape
    wide = np.hstack([page, np.full((h, 60), 245, np.uint8)])
    cv2.line(wide, (w, -2), (w, h + 2), (60,), 2)
    cv2.line(wide, (0, h - 4), (w if corner else w + 60, h - 4), (level,), 1)
    return wide, w


@given(st.sampled_from(["402", "38", "2796"]), st.integers(70, 170))
def test_a_line_at_which_a_level_one_ends_is_a_border(text: str, level: int) -> None:
    def border(corner: bool) -> borders.Upright:
        page, place = ruled(text, corner, level)
        dark = inks.darkness(page)
        found = borders.upright_lines(dark, borders.from_edges(dark, upright=False))[1]
        assert found is not None and abs(found.place - place) <= 2
        return found

    assert border(True).border > max(borders.BORDER, border(False).border)
    assert (border(True).measured[4:], border(False).measured[4:]) == ((1, 0), (0, 0))


@pytest.mark.parametrize("text", ["03", "22", "858"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("high", [1.1, 1.3])
@pytest.mark.parametrize("at_foot", [False, True])
def test_a_one_on_lined_paper_is_never_lost_in_silence(
    reader: Reader, text: str, first: bool, high: float, at_foot: bool
) -> None:
    page = with_one(text, 6, high, 0.04, first)
    y = len(page) - 2 if at_foot else 1
    cv2.line(page, (0, y), (page.shape[1], y), (150,), 1)
    field = reader.read_page(np.ascontiguousarray(page[:, 18:-18])).fields[0]
    assert field.value == ("1" + text if first else text + "1") or field.confidence < 0.9


@pytest.mark.parametrize("high", [1.1, 1.2])
@pytest.mark.parametrize("rules", [("foot",), ("head", "foot")])
@pytest.mark.parametrize("over", [0, 3])
def test_a_high_one_at_which_rules_end_is_never_lost_in_silence(
    reader: Reader, high: float, rules: tuple[str, ...], over: int
) -> None:
    for text in ("03", "46", "2796"):
        page = with_one(text, 6, high, 0.02, False)
        for rule in rules:
            y = 1 if rule == "head" else len(page) - 2
            cv2.line(page, (0, y), (page.shape[1] - 22 + over, y), (120,), 1)
        field = reader.read_page(page).fields[0]
        assert field.value == text + "1" or field.confidence < 0.9


def test_columns_of_two_numbers_have_no_border_between_them() -> None:
    left, right = written("87", 3), written("45", 5)
    high = max(len(left), len(right))
    both = [cv2.copyMakeBorder(p, 0, high - len(p), 0, 0, cv2.BORDER_CONSTANT, value=(245,)) for p in (left, right)]
    page = np.hstack([both[0], np.full((high, 20), 245, np.uint8), both[1]])
    cv2.line(page, (left.shape[1] + 10, 0), (left.shape[1] + 10, high), (110,), 2)
    dark = inks.darkness(page)
    assert not any(borders.upright_lines(dark, np.zeros(dark.shape, bool)))


@given(st.floats(0, 1), st.sampled_from("17"))
def test_what_may_be_a_border_or_a_one_costs_as_it_is_read(sure: float, digit: str) -> None:
    ink, box = np.zeros((40, 60), np.uint8), (40, 5, 60, 35)
    read = [CellReading("5", 0.9, (5, 5, 25, 35)), CellReading(digit, 0.9, box)]
    left = left_by_ends((None, (50.0, sure)), ink, read)
    surer = left_by_ends((None, (50.0, min(sure + 0.2, 1.0))), ink, read)
    assert 0 <= left <= 1 and (surer <= left if digit == "1" else surer >= left)


def test_a_stroke_that_is_not_read_costs_and_one_that_is_does_not() -> None:
    ink = np.zeros((40, 60), np.uint8)
    cv2.ellipse(ink, (15, 20), (8, 14), 0, 0, 360, (255,), 3)
    cv2.line(ink, (48, 5), (46, 35), (255,), 3)
    zero, one = CellReading("0", 0.9, (5, 5, 25, 35)), CellReading("1", 0.9, (40, 5, 55, 35))
    assert left_by_ends((None, None), ink, [zero, one]) == 1
    assert left_by_ends((None, None), ink, [zero]) < 0.5
