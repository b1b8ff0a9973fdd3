"""Numbers read whole: views of a line, what a field may hold, second readers, columns."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift import Reader
from inkshift.datasets.synth import shapes
from inkshift.errors import MissingExtraError, SettingError
from inkshift.forms.cut import cutout, ink
from inkshift.forms.field import numbers, whole
from inkshift.forms.reading import FieldReading
from inkshift.models import ctc
from inkshift.models.package import load_model

Gray = npt.NDArray[np.uint8]


def written(text: str, seed: int, body: int = 32, gap: float = 0.18) -> Gray:
    """A number of drawn digits on white paper, with room around it."""
    rng = np.random.default_rng(seed)
    strokes = []
    for digit in text:
        field = shapes.draw(int(digit), rng)
        picture = np.clip((field * body / 40 + 0.3) + 0.5, 0, 1).astype(np.float32)
        x, y, w, h = cv2.boundingRect((picture > 0.1).view(np.uint8))
        strokes.append(picture[y : y + h, x : x + w])
    height = max(s.shape[0] for s in strokes)
    width = sum(s.shape[1] for s in strokes) + round(gap * 40) * (len(strokes) + 1)
    page = np.zeros((height + 24, width + 16), np.float32)
    x = 8 + round(gap * 40)
    for stroke in strokes:
        y = (page.shape[0] - stroke.shape[0]) // 2
        part = page[y : y + stroke.shape[0], x : x + stroke.shape[1]]
        np.maximum(part, stroke, out=part)
        x += stroke.shape[1] + round(gap * 40)
    return np.asarray(245 - 200 * page, np.uint8)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(read_as="number")


def job(image: Gray, **settings: object) -> cutout.FieldJob:
    h, w = image.shape
    return cutout.FieldJob("n", "number", image, ink.darkness(image), (0, 0, w, h), **settings)  # type: ignore[arg-type]


def read(reader: Reader, work: Sequence[cutout.FieldJob], level: float | None = None) -> list[FieldReading]:
    assert reader._numbers is not None
    return whole.read_numbers(reader._numbers, work, level, lambda step, start: start)


def test_most_drawn_numbers_are_read(reader: Reader) -> None:
    rng = np.random.default_rng(5)
    texts = ["".join(map(str, rng.integers(0, 10, rng.integers(1, 7)))) for _ in range(40)]
    readings = [reader.read_page(written(text, i)).fields[0] for i, text in enumerate(texts)]
    assert sum(field.value == text for field, text in zip(readings, texts, strict=True)) >= 34
    sure = [field.value == text for field, text in zip(readings, texts, strict=True) if field.confidence > 0.9]
    assert np.mean(sure) > 0.9


def test_a_reading_says_where_its_digits_are(reader: Reader) -> None:
    image = written("3047", 1)
    field = reader.read_page(image).fields[0]
    assert field.value == "3047" and [cell.symbol for cell in field.cells] == list("3047")
    for left, right in zip(field.cells, field.cells[1:], strict=False):
        assert left.box[0] < right.box[0] and left.box[2] <= right.box[2]
    dark = ink.darkness(image) > 60
    for cell in field.cells:
        x0, y0, x1, y1 = cell.box
        assert dark[y0:y1, x0:x1].any()


def test_every_view_is_as_high_as_the_model_takes() -> None:
    image, frame = written("512", 2), load_model("numbers").reframing
    look = numbers.Line(image, ink.darkness(image))
    pictures = look.pictures(frame)
    assert len(pictures) == len(numbers.VIEWS)
    assert {picture.shape[0] for picture in pictures} == {ctc.HEIGHT}
    top, bottom = look.band
    inked = np.flatnonzero((ink.darkness(image) > 60).any(1))
    assert top <= inked[0] + 3 and bottom >= inked[-1] - 3


def test_white_paper_is_blank_and_nothing_is_read_as_zero(reader: Reader) -> None:
    field = reader.read_page(np.full((40, 120), 245, np.uint8)).fields[0]
    assert (field.state, field.value, field.written) == ("blank", "", "_")


@pytest.mark.parametrize("noise", [0, 3])
def test_a_number_in_a_wide_box_is_read_as_in_a_narrow_one(reader: Reader, noise: int) -> None:
    rng = np.random.default_rng(noise)
    texts = ["7", "48", "305", "0", "12", "9", "660"]
    for seed, text in enumerate(texts):
        plain = written(text, seed)
        high = len(plain)
        for left, right in ((0, 8), (8, 0), (5, 5)):
            page = np.pad(plain, ((0, 0), (left * high, right * high)), constant_values=245)
            page = np.clip(page + rng.normal(0, noise, page.shape), 0, 255).astype(np.uint8)
            field = reader.read_page(page).fields[0]
            assert field.value == text and field.confidence > 0.5
            assert field.cells[0].box[0] >= left * high - high // 4
            assert field.cells[-1].box[2] <= page.shape[1] - right * high + high // 4


def test_ink_as_large_as_a_digit_that_is_not_read_leaves_a_doubt(reader: Reader) -> None:
    """What stands beside a number may be a digit that nobody could read: a blot where a 9 was."""
    page = np.pad(written("47", 2), ((6, 6), (10, 90)), constant_values=245)
    plain = reader.read_page(page).fields[0]
    assert plain.value == "47" and plain.confidence > 0.9
    cv2.ellipse(page, (page.shape[1] - 50, len(page) // 2), (11, 15), 0, 180, 360, (60,), -1)
    blotted = reader.read_page(page).fields[0]
    assert blotted.value != "47" or blotted.confidence < 0.9


@pytest.mark.parametrize("pale", [0, -1])
def test_a_pale_digit_beside_dark_ones_is_not_cut_off(reader: Reader, pale: int) -> None:
    right = 0
    for seed, text in enumerate(("318", "137", "428", "52", "90", "746")):
        parts = [245 - written(digit, seed + k).astype(int) for k, digit in enumerate(text)]
        parts[pale] = parts[pale] * 30 // 200
        high = max(len(part) for part in parts)
        page = np.hstack([np.pad(part, ((high - len(part), 0), (0, 0))) for part in parts])
        field = reader.read_page(np.asarray(245 - page, np.uint8)).fields[0]
        assert len(field.value) >= len(text) or field.confidence < 0.9
        right += field.value == text
    assert right >= 4


@pytest.mark.parametrize("heights", [1, 4, 10, 20])
def test_a_wide_box_without_ink_is_blank(reader: Reader, heights: int) -> None:
    page = np.random.default_rng(heights).normal(240, 2, (40, 40 * heights)).astype(np.uint8)
    field = reader.read_page(page).fields[0]
    assert field.state == "blank" and field.confidence > 0.9


def test_what_a_field_may_not_hold_is_not_read(reader: Reader) -> None:
    image = written("48", 3)
    plain = reader.read_page(image).fields[0]
    assert plain.value == "48"
    (found,) = read(reader, [job(image, digits=(3, 3))])
    assert found.state == "overflow" or len(found.value) == 3


def test_only_numbers_that_one_view_does_not_tell_are_looked_at_again(reader: Reader) -> None:
    asked, work, own = copy.copy(reader), [job(written(text, 3)) for text in ("48", "307")], reader._numbers
    assert own is not None
    counts: list[int] = []

    def run(pictures: Sequence[Gray]) -> list[npt.NDArray[np.float32]]:
        counts.append(len(pictures))
        return own.run(pictures)

    for sure, views in ((0.0, [2]), (1.1, [2, 2 * (len(numbers.VIEWS) - 1)])):
        asked._numbers = replace(own, run=run, calibration={**own.calibration, "sure": sure})
        assert [found.value for found in read(asked, work)] == ["48", "307"]
        assert counts == views
        counts.clear()
    # What a field does not allow is looked at again, however sure the view is.
    asked._numbers = replace(own, run=run, calibration={**own.calibration, "sure": 0.0})
    read(asked, [job(written("307", 3), digits=(1, 2))])
    assert len(counts) == 2


def test_a_field_is_read_alike_beside_any_others(reader: Reader) -> None:
    work = [job(written(text, k)) for k, text in enumerate(("7", "48", "30712", "512"))]
    together, alone = read(reader, work, 120.0), [read(reader, [one], 120.0)[0] for one in work]

    def told(found: FieldReading) -> list[tuple[str, float]]:
        """Its candidates; the last bits of a sum hang on how many are added up at once."""
        return [(one.written, pytest.approx(one.probability, rel=1e-12)) for one in found.candidates]

    assert [told(one) for one in together] == [
        [(one.written, one.probability) for one in found.candidates] for found in alone
    ]
    assert [replace(one, candidates=()) for one in together] == [replace(one, candidates=()) for one in alone]


def test_a_struck_out_number_is_crossed_out_and_keeps_what_it_was(reader: Reader) -> None:
    (found,) = read(reader, [job(written("48", 3), struck=0.9)])
    assert (found.state, found.value, found.confidence) == ("crossed-out", "", 0.9)
    assert found.candidates[1].written == "48"


def test_a_recogniser_that_names_what_is_struck_out_is_heard_where_the_ink_is_in_doubt(reader: Reader) -> None:
    """One that knows no such thing leaves the doubt as it is; what the ink shows plainly stands either way."""
    own = reader._numbers
    assert own is not None and own.struck is not None
    work = [job(written("48", 3), struck=share) for share in (0.0, 0.3, 0.9)]
    knows, other = (
        whole.read_numbers(one, work, None, lambda step, start: start) for one in (own, replace(own, struck=None))
    )
    assert knows[1].confidence > 0.8 * knows[0].confidence > 1.5 * other[1].confidence
    assert knows[2].state == other[2].state == "crossed-out"


def test_a_column_is_read_from_the_top() -> None:
    texts = ["407", "23", "518"]
    rows = [written(text, 3 + i) for i, text in enumerate(texts)]  # a 7 from seed 0 is one that not all would read
    width = max(row.shape[1] for row in rows)
    page = np.vstack([np.pad(r, ((6, 6), (0, width - r.shape[1])), constant_values=245) for r in rows])
    found = Reader(read_as="column").read_page(page).fields
    assert [field.name for field in found] == ["1", "2", "3"]
    assert [field.value for field in found] == texts


def test_the_digits_of_a_model_of_digits_are_still_cut_out() -> None:
    found = Reader(read_as="number", model="digits").read_page(written("48", 5)).fields[0]
    assert found.value == "48" and len(found.cells) == 2


def test_a_second_reader_goes_with_a_model_of_numbers_alone() -> None:
    with pytest.raises(SettingError, match="second reader: needs a model that reads whole numbers"):
        Reader(read_as="number", model="digits", second_reader="pp-ocrv6")
    with pytest.raises(SettingError, match="method as-published reads digit by digit"):
        Reader(read_as="number", method="as-published", second_reader="pp-ocrv6")


def test_a_second_reader_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\[pp-ocr\]"):
        Reader(read_as="number", second_reader="pp-ocrv6")


def test_two_readers_are_asked_where_both_are_there() -> None:
    if importlib.util.find_spec("rapidocr") is None:
        pytest.skip("rapidocr is not installed: pip install 'inkshift[pp-ocr]'")
    found = Reader(read_as="number", second_reader="pp-ocrv6").read_page(written("2750", 7)).fields[0]
    assert found.value == "2750"


@pytest.mark.parametrize("colour", [(40, 45, 60), (190, 40, 45), (40, 70, 170)])
@pytest.mark.parametrize("lean", [0, 3])
def test_a_line_nearly_from_side_to_side_crosses_a_field_out(
    shipped_model: str, lean: int, colour: tuple[int, int, int]
) -> None:
    page = np.full((70, 260, 3), 245, np.uint8)
    cv2.line(page, (18, 36 + lean), (242, 36 - lean), colour, 4, cv2.LINE_AA)
    field = Reader(read_as="number").read_page(page).fields[0]
    assert field.state == "crossed-out"


def by_pen(strokes: Sequence[Sequence[tuple[int, int]]], digits: str = "") -> npt.NDArray[np.uint8]:
    """Strokes, and digits of a line font in the middle, on (90, 120) paper."""
    page = np.full((90, 60 + 60 * max(1, len(digits)), 3), 245, np.uint8)
    for k, digit in enumerate(digits):
        cv2.putText(page, digit, (42 + 40 * k, 66), cv2.FONT_HERSHEY_SIMPLEX, 1.9, (40, 40, 55), 4, cv2.LINE_AA)
    for stroke in strokes:
        cv2.polylines(page, [np.array(stroke, np.int32)], False, (40, 40, 55), 4, cv2.LINE_AA)
    return page


@pytest.mark.parametrize(
    "stroke", [[(30, 70), (90, 20)], [(20, 75), (100, 15)], [(40, 62), (85, 28)], [(35, 25), (80, 65)]]
)
def test_a_slash_by_itself_is_no_sure_one(shipped_model: str, stroke: list[tuple[int, int]]) -> None:
    field = Reader(read_as="number").read_page(by_pen([stroke])).fields[0]
    assert field.state != "written" or field.confidence < 0.8


@pytest.mark.parametrize("digits", ["7", "4", "8", "2", "5", "71", "24"])
@pytest.mark.parametrize("up", [True, False])
def test_a_slanted_line_through_a_short_number_makes_it_unsure(shipped_model: str, digits: str, up: bool) -> None:
    ends = [(24, 74 if up else 14), (90 + 40 * (len(digits) - 1), 14 if up else 74)]
    field = Reader(read_as="number").read_page(by_pen([ends], digits)).fields[0]
    assert field.state != "written" or field.confidence < 0.8


@pytest.mark.parametrize("digits", ["7", "8", "2", "6", "71", "24", "17", "44"])
def test_short_numbers_that_nobody_took_back_stay_sure(shipped_model: str, digits: str) -> None:
    field = Reader(read_as="number").read_page(by_pen([], digits)).fields[0]
    assert field.value == digits and field.confidence > 0.9
