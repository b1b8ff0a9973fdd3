"""What stands beside digits is named, and a number that it may change is less sure."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift import Reader
from inkshift.forms.field import signs
from test_numbers import written

Gray = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="number")


def beside(left: Gray, right: Gray, apart: int) -> Gray:
    """Two numbers in one picture, `apart` pixels of paper between them."""
    high = max(len(left), len(right))
    parts = [left, np.full((high, apart), 245, np.uint8), right]
    return np.hstack([cv2.copyMakeBorder(p, 0, high - len(p), 0, 0, cv2.BORDER_CONSTANT, value=(245,)) for p in parts])


def marked(mark: str) -> Gray:
    """12 and 50, half a digit apart as the digits of one number may be, with a mark between them."""
    left, right = written("12", 3)[:, :-13], written("50", 5)[:, 13:]
    page = beside(left, right, 14)
    x, foot = left.shape[1] + 7, (len(page) + 40) // 2
    if mark == "point":
        cv2.circle(page, (x, foot - 6), 2, (45,), -1, cv2.LINE_AA)
    if mark == "comma":
        cv2.line(page, (x + 2, foot - 6), (x - 2, foot + 4), (45,), 3, cv2.LINE_AA)
    if mark == "dash":
        cv2.line(page, (x - 7, len(page) // 2), (x + 7, len(page) // 2 - 1), (45,), 3, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("mark", ["point", "comma", "dash"])
def test_a_mark_between_digits_is_named_and_costs_certainty(reader: Reader, mark: str) -> None:
    plain, field = (reader.read_page(marked(one)).fields[0] for one in ("", mark))
    assert plain.marks == () and mark in field.marks
    assert field.value == plain.value == "1250" and field.confidence < 0.6 < plain.confidence
    assert sum(c.probability for c in field.candidates) <= 0.6


@pytest.mark.parametrize("apart", [60, 200])
def test_numbers_of_two_columns_are_not_one_for_certain(reader: Reader, apart: int) -> None:
    field = reader.read_page(beside(written("87", 3), written("451", 5), apart)).fields[0]
    assert field.marks == ("gap",) and field.confidence < 0.6


def test_a_rule_between_two_numbers_parts_them(reader: Reader) -> None:
    left = written("87", 3)
    page = beside(left, written("451", 5), 26)
    cv2.line(page, (left.shape[1] + 13, -2), (left.shape[1] + 13, len(page) + 2), (110,), 1)
    assert reader.read_page(page).fields[0].confidence < 0.7


@given(st.integers(1, 3), st.floats(0.05, 0.9))
def test_numbers_that_are_written_wide_apart_are_whole(seed: int, gap: float) -> None:
    page = written("30462", seed, gap=gap)
    found = signs.find_signs(np.asarray(245 - page, np.uint8) * (page < 160))
    assert "gap" not in signs.names(found)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_any_ink_has_a_share_that_is_left(ink: Gray) -> None:
    assert 0 <= signs.doubt(signs.find_signs(ink)) <= 1


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_what_stands_behind_a_number_or_parts_thousands_costs_less(places: list[int]) -> None:
    def comma(behind: int) -> signs.Sign:
        return signs.Sign(signs.COMMA, 1.0, 1, behind)

    assert signs.doubt((comma(0), signs.Sign(signs.DASH, 1.0, 3, 0))) == 1
    thousands = tuple(comma(3 * k) for k in sorted(set(places), reverse=True))
    decimals = tuple(comma(2) for _ in thousands)
    assert signs.doubt(decimals) < signs.doubt(thousands) or len({*places}) != max(places)


def test_a_recogniser_that_knows_a_sign_tells_where_it_stands() -> None:
    known = {signs.COMMA, signs.DASH}
    gaps = (signs.Sign(signs.GAP, 0.8, 1, 4), signs.Sign(signs.GAP, 0.8, 3, 1))
    ink = (*gaps, signs.Sign(signs.POINT, 0.9, 2, 2), signs.Sign(signs.DASH, 0.9, 1, 3))
    seen = (signs.Sign(signs.COMMA, 0.97, 1, 3),)
    found = signs.agreed(ink, seen, known)
    sure = {(sign.name, sign.before, sign.behind) for sign in found if sign.probability > 0.5}
    # The first gap is the room of the comma that was seen there.
    assert sure == {(signs.GAP, 3, 1), (signs.POINT, 1, 3)}
    assert signs.doubt(tuple(sign for sign in found if sign.name != signs.GAP)) > 0.85 > signs.doubt(ink[2:])
    assert set(signs.agreed(ink, (), set())) == set(ink)


def test_what_a_recogniser_does_not_see_is_hardly_a_sign() -> None:
    ink = (signs.Sign(signs.COMMA, 0.95, 2, 1), signs.Sign(signs.DASH, 0.95, 1, 2))
    assert signs.doubt(signs.agreed(ink, (), {signs.COMMA, signs.DASH})) > 0.85 > signs.doubt(ink)


def test_specks_that_a_recogniser_takes_for_no_sign_cost_no_more_than_one_of_them() -> None:
    """Grain looks like points in many places; like no point in one of them, to who would see a point."""
    specks = tuple(signs.Sign(signs.POINT, 0.6 + 0.03 * k, k, 12 - k) for k in range(1, 12))
    many, one = (signs.doubt(signs.agreed(ink, (), {signs.COMMA})) for ink in (specks, specks[-1:]))
    assert many == one > 0.9 and signs.doubt(specks) < 0.1


@pytest.mark.parametrize("text", ["48", "307", "9152"])
@pytest.mark.parametrize("lines", [(0.5,), (0.42, 0.6)])
def test_a_number_struck_out_is_crossed_out_or_doubted_and_keeps_what_it_was(
    reader: Reader, text: str, lines: tuple[float, ...]
) -> None:
    page = written(text, 7)
    inked = np.flatnonzero((page < 160).any(0))
    for share in lines:
        y = round(share * len(page))
        cv2.line(page, (int(inked[0]) - 7, y), (int(inked[-1]) + 7, y + 1), (50,), 2, cv2.LINE_AA)
    field = reader.read_page(page).fields[0]
    assert field.state == "crossed-out" or field.confidence < 0.8
    assert any(c.written not in ("X", "_") for c in field.candidates)


def test_whole_numbers_are_not_crossed_out(reader: Reader) -> None:
    read = [reader.read_page(written(text, seed)).fields[0] for seed, text in enumerate(["5", "27", "7", "1000", "84"])]
    assert all(field.state == "written" for field in read)


@pytest.mark.parametrize("sides", [(), (0,), (2, 3), (0, 1, 2, 3)])
def test_an_empty_picture_is_blank_for_certain(reader: Reader, sides: tuple[int, ...]) -> None:
    page = np.random.default_rng(2).normal(240, 1.5, (60, 170)).astype(np.uint8)
    for side in sides:
        page = np.ascontiguousarray(np.rot90(page, side))
        page[3:5] = 60
        page = np.ascontiguousarray(np.rot90(page, -side))
    field = reader.read_page(page).fields[0]
    assert field.state == "blank" and field.confidence >= 0.95


def test_what_has_a_stroke_in_it_is_not_blank_for_certain(reader: Reader) -> None:
    page = np.full((60, 170), 240, np.uint8)
    cv2.line(page, (50, 30), (95, 28), (70,), 3, cv2.LINE_AA)
    field = reader.read_page(page).fields[0]
    assert field.state == "crossed-out" or field.confidence < 0.5


def test_what_was_struck_out_is_read(reader: Reader) -> None:
    texts = ["8500", "216", "7236", "682", "320", "2662", "38", "394"]
    found = []
    for seed, text in enumerate(texts):
        page = written(text, seed)
        inked = np.flatnonzero((page < 160).any(0))
        y = len(page) // 2
        cv2.line(page, (int(inked[0]) - 7, y), (int(inked[-1]) + 7, y + 1), (50,), 2, cv2.LINE_AA)
        field = reader.read_page(page).fields[0]
        assert field.state == "crossed-out"
        found.append(field.candidates[1].written == text)
    assert sum(found) >= 6


def test_a_rule_from_top_to_bottom_does_not_hide_the_gap_that_it_stands_in() -> None:
    ink = np.zeros((80, 200), np.uint8)
    for x, digit in ((20, "4"), (50, "7"), (130, "3")):
        cv2.putText(ink, digit, (x, 55), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255,), 3)
    cv2.line(ink, (105, 0), (105, 79), (255,), 2)
    (gap,) = [sign for sign in signs.find_signs(ink) if sign.name == "gap"]
    assert gap.probability > 0.8 and (gap.before, gap.behind) == (2, 1)


def bracketed(digits: str, bow: int, both_ways: bool) -> Gray:
    """Ink of digits between two bows, the second one the other way round or not."""
    ink = np.zeros((110, 100 + 40 * len(digits)), np.uint8)
    for k, digit in enumerate(digits):
        cv2.putText(ink, digit, (45 + 40 * k, 75), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255,), 3)
    down = np.linspace(-1, 1, 15)
    for x, way in ((28, 1), (ink.shape[1] - 28, -1 if both_ways else 1)):
        points = np.stack([x + way * bow * (down**2 - 0.5), 57 + 24 * down], 1)
        cv2.polylines(ink, [np.rint(points).astype(np.int32)], False, (255,), 3)
    return ink


@pytest.mark.parametrize("digits", ["7", "350", "1240"])
@pytest.mark.parametrize("bow", [6, 9, 14])
def test_brackets_around_a_number_are_seen(digits: str, bow: int) -> None:
    named = [sign.name for sign in signs.find_signs(bracketed(digits, bow, both_ways=True))]
    assert "brackets" in named
    assert signs.doubt(signs.find_signs(bracketed(digits, bow, both_ways=True))) < 0.6


@pytest.mark.parametrize(("bow", "both_ways"), [(12, False), (0, True), (2, True)])
def test_ones_around_a_number_are_no_brackets(bow: int, both_ways: bool) -> None:
    assert "brackets" not in [s.name for s in signs.find_signs(bracketed("35", bow, both_ways))]


@pytest.mark.parametrize("texts", [("12", "40"), ("7", "358"), ("36", "8"), ("903", "25")])
@pytest.mark.parametrize("apart", [22, 28, 40])
def test_two_numbers_less_than_a_digit_apart_are_not_one_for_certain(
    reader: Reader, texts: tuple[str, str], apart: int
) -> None:
    """A gap is judged by the others of its number."""
    left, right = (written(text, seed, gap=0.1) for seed, text in zip((3, 5), texts, strict=True))
    field = reader.read_page(beside(left[:, :-12], right[:, 12:], apart)).fields[0]
    assert field.confidence < 0.9


@given(st.lists(st.floats(0.02, 0.3), min_size=1, max_size=6), st.floats(0.85, 1.2))
def test_a_gap_is_told_from_its_neighbours_however_many_there_are(gaps: list[float], wide: float) -> None:
    """One that is far wider than the others parts two numbers; where all are as wide, none does for certain."""

    def named(widths: list[float]) -> int:
        ink, x = np.zeros((60, round(50 * (sum(widths) + len(widths) + 2))), np.uint8), 10
        for width in [*widths, 0.0]:
            cv2.rectangle(ink, (x, 10), (x + 19, 50), (255,), 3)
            x += 20 + round(42 * width) + 3
        return sum(sign.name == "gap" and sign.probability > 0.5 for sign in signs.find_signs(ink))

    assert named([*gaps, max(gaps) + wide]) == 1
    assert named([wide] * (len(gaps) + 1)) == 0


def closing(mark: str, first: bool = False) -> Gray:
    """350 with a mark behind it, or before it."""
    number = written("350", 3)
    page = np.full((len(number), number.shape[1] + 70), 245, np.uint8)
    page[:, 70 * first : 70 * first + number.shape[1]] = number
    x, y = (12 if first else number.shape[1]), len(page) // 2
    if "/" in mark:
        cv2.line(page, (x + 16, 6), (x, len(page) - 8), (45,), 3, cv2.LINE_AA)
        x += 22
    cv2.line(page, (x, y), (x + 26, y - 1), (45,), 3, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("mark", ["-", "/-"])
def test_what_closes_an_amount_is_named_and_costs_nothing(reader: Reader, mark: str) -> None:
    field = reader.read_page(closing(mark)).fields[0]
    assert field.value == "350" and field.confidence > 0.9 and "dash" in field.marks


def test_a_dash_before_a_number_that_is_never_negative_costs(reader: Reader) -> None:
    field = reader.read_page(closing("-", first=True)).fields[0]
    assert field.value == "350" and field.confidence < 0.6 and "dash" in field.marks


@pytest.mark.parametrize("touching", [False, True])
@pytest.mark.parametrize("long", [90, 200])
def test_a_stroke_too_long_for_a_minus_fills_the_room_before_a_number(
    reader: Reader, long: int, touching: bool
) -> None:
    number = written("350", 3)
    first = int(np.flatnonzero((number < 160).any(0))[0])
    page = np.hstack([np.full((len(number), long), 245, np.uint8), number])
    y = len(page) // 2
    cv2.line(page, (10, y + 1), (long + (first + 2 if touching else first - 8), y), (45,), 3, cv2.LINE_AA)
    field = reader.read_page(page).fields[0]
    assert field.value == "350" and field.confidence > 0.7 and "dash" not in field.marks


def over(above: str, below: str, lean: int) -> Gray:
    """One number over another with a stroke between them."""
    top, bottom = written(above, 3, body=22), written(below, 5, body=22)
    wide = max(top.shape[1], bottom.shape[1])
    parts = [
        cv2.copyMakeBorder(
            p,
            0,
            0,
            (wide - p.shape[1]) // 2,
            wide - p.shape[1] - (wide - p.shape[1]) // 2,
            cv2.BORDER_CONSTANT,
            value=(245,),
        )
        for p in (top[:-8], bottom[8:])
    ]
    page = np.vstack(parts)
    y = len(parts[0])
    cv2.line(page, (8, y + lean), (wide - 9, y - lean), (45,), 2, cv2.LINE_AA)
    return np.asarray(page, np.uint8)


@pytest.mark.parametrize(("above", "below"), [("1", "2"), ("3", "4"), ("7", "8"), ("5", "5"), ("9", "3")])
@pytest.mark.parametrize("lean", [0, 2])
def test_a_fraction_is_no_number_for_certain(reader: Reader, above: str, below: str, lean: int) -> None:
    field = reader.read_page(over(above, below, lean)).fields[0]
    assert field.confidence < 0.6 and (field.state != "written" or "fraction" in field.marks)


@given(st.sampled_from("0123456789"), st.integers(0, 20))
def test_a_digit_is_no_fraction(digit: str, seed: int) -> None:
    page = written(digit, seed)
    assert signs.find_fractions(np.asarray(245 - page, np.uint8) * (page < 160)) == ()


@pytest.mark.parametrize(("left", "right", "apart"), [("87", "45", 60), ("87", "451", 120), ("12", "5093", 120)])
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_speck_between_two_numbers_makes_them_none(
    reader: Reader, left: str, right: str, apart: int, radius: int
) -> None:
    page = beside(written(left, 3), written(right, 5), apart)
    foot = int(np.flatnonzero((page < 160).any(1))[-1])
    if radius:
        cv2.circle(page, (written(left, 3).shape[1] + apart // 2, foot - 2), radius, (45,), -1, cv2.LINE_AA)
    assert reader.read_page(page).fields[0].confidence < 0.6


@pytest.mark.parametrize("long", [0.7, 0.8, 0.9])
def test_a_minus_as_long_as_the_tallest_digit_is_no_filler(reader: Reader, long: float) -> None:
    number = written("350", 3)
    inked = np.flatnonzero((number < 160).any(1))
    wide = round(long * (inked[-1] - inked[0] + 1))
    page, y = np.hstack([np.full((len(number), wide + 20), 245, np.uint8), number]), len(number) // 2
    cv2.line(page, (10, y), (10 + wide, y - 1), (45,), 3, cv2.LINE_AA)
    field = reader.read_page(page).fields[0]
    assert field.confidence < 0.6 and "dash" in field.marks
