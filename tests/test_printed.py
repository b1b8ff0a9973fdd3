"""What a form brings with it is taken out of a field; what was written stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift import Reader
from inkshift.forms.cut import borders, cutout, printed
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.dots import from_dots
from inkshift.forms.field import numbers
from test_numbers import read, written
from test_signs import marked

Gray = npt.NDArray[np.uint8]
H, W = 60, 70


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="number")


def digit_mask(digit: Gray, height: int = H, width: int = W) -> npt.NDArray[np.bool_]:
    """A drawn digit in the middle of a crop, as a mask."""
    ys, xs = np.nonzero(digit)
    tight = digit[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    large = cv2.resize(tight, (round(tight.shape[1] * 30 / tight.shape[0]), 30), interpolation=cv2.INTER_LINEAR)
    out = np.zeros((height, width), bool)
    y, x = (height - 30) // 2, (width - large.shape[1]) // 2
    out[y : y + 30, x : x + large.shape[1]] = large > 128
    return out


def crop(mask: npt.NDArray[np.bool_], pen: int = 70) -> Gray:
    return np.where(mask, pen, 240).astype(np.uint8)


def border(picture: Gray, sides: set[int], thick: int, lean: int, ink: int = 60) -> Gray:
    """The crop with lines along its sides: 0 top, 1 right, 2 bottom, 3 left."""
    out = picture.copy()
    for side in sides:
        turned = np.ascontiguousarray(np.rot90(out, side))
        cv2.line(turned, (-2, thick), (turned.shape[1] + 2, thick + lean), (ink,), thick)
        out = np.ascontiguousarray(np.rot90(turned, -side))
    return out


@given(st.integers(0, 9), st.sets(st.integers(0, 3), min_size=1), st.integers(1, 3), st.integers(-1, 2), st.booleans())
def test_borders_of_a_table_go_and_the_digit_beside_them_stays(
    drawn_digits: Gray, digit: int, sides: set[int], thick: int, lean: int, pale: bool
) -> None:
    mask = digit_mask(drawn_digits[digit])
    page = border(crop(mask, 170 if pale else 70), sides, thick, lean)
    gone = borders.from_edges(inks.darkness(page))
    assert not gone[mask].any()
    left = (page < 130) & ~gone & ~mask
    assert left.sum() <= 0.1 * ((page < 130) & ~mask).sum()


@given(st.integers(0, 9))
def test_a_digit_that_fills_its_crop_is_no_border(drawn_digits: Gray, digit: int) -> None:
    mask = digit_mask(drawn_digits[digit])
    ys, xs = np.nonzero(mask)
    tight = crop(mask, 110)[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    assert not borders.from_edges(inks.darkness(tight)).any()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_crop_has_a_mask_of_print(picture: Gray) -> None:
    dark = inks.darkness(picture)
    box = (1, 1, picture.shape[1] - 1, picture.shape[0] - 1)
    for gone in (borders.from_edges(dark), printed.from_box(dark, box), printed.from_reference(dark, dark)):
        assert gone.shape == picture.shape and gone.dtype == bool


def test_a_pale_number_in_a_black_frame_is_read(reader: Reader) -> None:
    picture = written("307", 4)
    pale = (245 - (245 - picture.astype(int)) * 0.2).astype(np.uint8)
    framed = cv2.copyMakeBorder(pale, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=(25,))
    h, w = framed.shape
    whole = cv2.copyMakeBorder(framed, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(245,))
    job = cutout.FieldJob("n", "number", whole, inks.darkness(whole), (15, 15, w + 9, h + 9), printed=True)
    (found,) = read(reader, [cutout.own(job)])
    assert found.value == "307"


@pytest.mark.parametrize("off", [(0, 0), (2, -1), (-1, 2)])
@pytest.mark.parametrize(("pen", "kept"), [(40, 0.85), (110, 0.65)])
def test_print_known_from_the_blank_form_goes_and_strokes_across_it_stay(
    off: tuple[int, int], pen: int, kept: float
) -> None:
    blank = np.full((H, W), 240, np.uint8)
    cv2.putText(blank, "No. 88", (4, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (110,), 1, cv2.LINE_AA)
    cv2.rectangle(blank, (2, 2), (W - 3, H - 3), (110,), 1)
    page = cv2.warpAffine(blank, np.array([[1, 0, off[0]], [0, 1, off[1]]], np.float32), (W, H), borderValue=(240,))
    stroke = np.zeros((H, W), np.uint8)
    cv2.line(stroke, (20, 8), (48, 55), (1,), 3)
    page = np.where(stroke > 0, pen, page).astype(np.uint8)
    dark = inks.darkness(page)
    gone = printed.from_reference(dark, inks.darkness(blank))
    assert (~gone)[stroke > 0].mean() > kept
    rest = np.where(gone | (cv2.dilate(stroke, np.ones((3, 3))) > 0), 0, dark)
    assert np.count_nonzero(rest > 40) < 12


def test_a_thick_dark_frame_does_not_make_its_paper_ink(drawn_digits: Gray) -> None:
    mask = digit_mask(drawn_digits[5], 44, 40)
    framed = cv2.copyMakeBorder(crop(mask), 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=(40,))
    dark = inks.darkness(framed)
    assert dark[9:53, 9:49][mask].min() > 80 and np.median(dark[12:50, 12:46][~mask[3:41, 3:37]]) < 30


@pytest.mark.parametrize("share", [0.1, 0.15, 0.22])
@pytest.mark.parametrize("text", ["7", "42", "305"])
def test_a_small_number_anywhere_in_its_picture_is_read(reader: Reader, text: str, share: float) -> None:
    number = written(text, 6)
    page = np.full((round(32 / share), 420), 245, np.uint8)
    page[20 : 20 + number.shape[0], 30 : 30 + number.shape[1]] = number
    field = reader.read_page(page).fields[0]
    assert field.state == "written" and (field.value == text or field.confidence < 0.9)


def test_a_dot_in_a_tall_picture_is_not_looked_at_closely() -> None:
    page = np.full((300, 200), 245, np.uint8)
    cv2.circle(page, (90, 90), 6, (40,), -1)
    assert numbers.ink_band(inks.line_ink(inks.darkness(page))) == (0, 300)


@given(st.floats(-2.5, 2.5), st.integers(2, 5), st.integers(1, 3))
def test_an_empty_box_whose_lines_lean_is_blank(lean: float, thick: int, bow: int) -> None:
    """Of a line that leans or bends a little, nothing is left that could be a dash."""
    high, wide, left, top = 76, 210, 12, 12
    large = np.full((8 * high, 8 * wide), 245, np.uint8)
    along = np.linspace(0, 1, 40)
    for y in (top, high - top):
        rows = y + lean * (along - 0.5) + bow * along * (1 - along)
        points = np.stack([8 * wide * along, 8 * rows], 1)
        cv2.polylines(large, [np.rint(points).astype(np.int32)], False, (40,), 8 * thick)
    for x in (left, wide - left):
        cv2.line(large, (8 * x, 0), (8 * x, 8 * high), (40,), 8 * thick)
    page = np.asarray(cv2.resize(large, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
    dark = inks.darkness(page)
    box = (left, top, wide - left, high - top)
    job = cutout.own(cutout.FieldJob("n", "number", page, dark, box, digits=(1, 3), printed=True))
    assert len(cutout.pieces_of(job)) == 0


def framed(down: int, right: int) -> cutout.FieldJob:
    """A 7 in a printed box, moved by so many pixels from its middle."""
    page = np.full((90, 200), 240, np.uint8)
    cv2.rectangle(page, (12, 12), (188, 78), (40,), 3)
    points = [(85 + right, 30 + down), (115 + right, 30 + down), (95 + right, 62 + down)]
    cv2.polylines(page, [np.array(points, np.int32)], False, (50,), 4, cv2.LINE_AA)
    job = cutout.FieldJob("f", "number", page, inks.darkness(page), (12, 12, 188, 78), printed=True)
    return cutout.own(job)


@pytest.mark.parametrize(
    ("down", "right", "meets"), [(0, 0, False), (-8, 0, False), (0, 60, False), (-17, 0, True), (16, 0, True)]
)
def test_a_stroke_that_meets_the_frame_is_told_from_one_that_comes_near(down: int, right: int, meets: bool) -> None:
    job = framed(down, right)
    assert cutout.meets_frame(job, cutout.strokes(job, None)) == meets


def dotted(page: Gray, pitch: float, size: int, ink: int, lean: float, seed: int) -> tuple[Gray, npt.NDArray[np.bool_]]:
    """A page with dots around its field and a row of them below its number, and where these are."""
    h, w = page.shape
    shift = np.random.default_rng(seed).uniform(0, pitch, 5)
    dots = np.zeros((h, w), np.uint8)
    for y, first in ((3, shift[0]), (h - 4, shift[1]), (round(0.8 * h), shift[2])):
        for x in np.arange(first, w, pitch):
            cv2.circle(dots, (round(16 * x), round(16 * (y + lean * (x - w / 2)))), 16 * size // 2, (255,), -1, 8, 4)
    for x, first in ((3, shift[3]), (w - 4, shift[4])):
        for y in np.arange(first, h, pitch):
            cv2.circle(dots, (16 * x, round(16 * y)), 16 * size // 2, (255,), -1, 8, 4)
    return np.minimum(page, 245 - (dots * ((245 - ink) / 255)).astype(np.uint8)).astype(np.uint8), dots > 128


@given(
    *(st.sampled_from(["53", "100", "2796"]), st.floats(7, 14), st.integers(2, 4), st.integers(40, 170)),
    *(st.floats(-0.01, 0.01), st.integers(0, 999)),
)
def test_rows_of_dots_go_and_strokes_stay(text: str, pitch: float, size: int, ink: int, lean: float, seed: int) -> None:
    plain = cv2.copyMakeBorder(written(text, 5), 6, 8, 40, 40, cv2.BORDER_CONSTANT, value=(245,))
    page, dots = dotted(plain, pitch, size, ink, lean, seed)
    gone = from_dots(inks.darkness(page), len(page))
    strokes = plain < 150
    free = dots & (inks.grown(strokes.view(np.uint8), 5, 5) == 0)
    assert gone[free].mean() > 0.7  # dots that touch at corners look like strokes, and shorten their rows
    assert (gone & strokes).sum() <= 0.01 * strokes.sum()


@given(st.integers(0, 999), st.integers(5, 300))
def test_specks_without_order_are_no_rows_of_dots(seed: int, count: int) -> None:
    page, rng = written("2796", 5), np.random.default_rng(seed)
    for x, y in zip(rng.uniform(0, page.shape[1], count), rng.uniform(0, page.shape[0], count), strict=True):
        cv2.circle(page, (round(16 * x), round(16 * y)), 16, (120,), -1, 8, 4)
    assert not from_dots(inks.darkness(page), len(page)).any()


@pytest.mark.parametrize("text", ["53", "100", "2796"])
@pytest.mark.parametrize("ink", [40, 150])
def test_a_number_in_a_dotted_box_is_read_as_surely_as_without(reader: Reader, text: str, ink: int) -> None:
    """A pen may be paler than the dots, which are then all that seems to be ink."""
    plain = cv2.copyMakeBorder(written(text, 5), 6, 8, 40, 40, cv2.BORDER_CONSTANT, value=(245,))
    pale = (245 - (245 - plain.astype(np.float32)) * 0.5).astype(np.uint8)
    for page in (plain, pale):
        field = reader.read_page(dotted(page, 9, 3, ink, 0.004, 7)[0]).fields[0]
        assert field.value == text and field.confidence > 0.9


@pytest.mark.parametrize("below", [0, 6])
@pytest.mark.parametrize("pitch", [7, 11])
def test_a_point_on_a_row_of_dots_is_not_lost_in_silence(reader: Reader, below: int, pitch: int) -> None:
    """12.50 is not 1250: where the point stands among the dots it may go with them, if the number is doubted then."""
    plain = cv2.copyMakeBorder(marked("point"), 6, 10, 40, 40, cv2.BORDER_CONSTANT, value=(245,))
    foot = int(np.flatnonzero((plain < 160).any(1))[-1])
    silent = 0
    for shift in range(0, pitch, 2):
        page = plain.copy()
        for x in range(shift, page.shape[1], pitch):
            cv2.circle(page, (16 * x, 16 * (foot - 4 + below)), 24, (120,), -1, 8, 4)
        field = reader.read_page(page).fields[0]
        silent += field.value == "1250" and field.confidence > 0.9
    assert silent <= 1
