"""Ink: what is printed goes, what was written stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift.forms.cut import ink as inks

Gray = npt.NDArray[np.uint8]
H, W = 60, 160


def paper(level: int = 235, noise: float = 2.0) -> Gray:
    sheet = np.random.default_rng(3).normal(level, noise, (H, W))
    return np.clip(sheet, 0, 255).astype(np.uint8)


def stroke() -> Gray:
    """0/1 mask of one slanted stroke from the upper to the lower part of the crop."""
    mask = np.zeros((H, W), np.uint8)
    cv2.line(mask, (70, 8), (90, 52), (1,), 4)
    return mask


def ink_of(page: npt.NDArray[np.uint8], reference: float | None = None) -> Gray:
    dark = inks.darkness(page)
    return inks.extract(dark, inks.threshold_of(dark, reference))


def kept(ink: Gray, mask: Gray) -> float:
    """The share of a stroke's core that is ink."""
    core = cv2.erode(mask, np.ones((2, 2), np.uint8)) > 0
    return float((ink[core] > 0).mean())


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_crop_has_an_ink(crop: Gray) -> None:
    dark = inks.darkness(crop)
    ink = inks.extract(dark, inks.threshold_of(dark))
    assert dark.shape == ink.shape == crop.shape
    assert dark.dtype == ink.dtype == np.uint8
    assert not ink[dark == 0].any()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_any_crop_in_colour_has_a_darkness(crop: npt.NDArray[np.uint8]) -> None:
    assert inks.darkness(crop).shape == crop.shape[:2]


@pytest.mark.parametrize("level", [255, 235, 180])
def test_a_written_stroke_is_ink_and_its_paper_is_not(level: int) -> None:
    page, mask = paper(level), stroke()
    page[mask > 0] = 60
    ink = ink_of(page)
    assert kept(ink, mask) == 1
    assert not ink[cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0].any()


def test_light_ink_on_dark_paper_is_ink_too() -> None:
    page, mask = 255 - paper(), stroke()
    page[mask > 0] = 220
    assert kept(ink_of(page), mask) == 1


def test_shading_is_no_ink() -> None:
    ramp = np.linspace(0.6, 1, W)
    page, mask = (paper() * ramp).astype(np.uint8), stroke()
    page[mask > 0] = 50
    ink = ink_of(page)
    assert kept(ink, mask) == 1
    assert not ink[:, :50].any() and not ink[:, 110:].any()


def test_empty_paper_gives_no_ink_where_the_page_has_some() -> None:
    written = paper()
    written[stroke() > 0] = 60
    level = inks.ink_level([inks.darkness(written), inks.darkness(paper())])
    assert not ink_of(paper(), level).any()
    assert kept(ink_of(written, level), stroke()) == 1


def test_paper_without_a_speck_gives_no_ink() -> None:
    assert not ink_of(np.full((H, W), 230, np.uint8)).any()


def test_the_level_of_ink_is_not_set_by_empty_crops() -> None:
    written = np.zeros((H, W), np.uint8)
    written[stroke() > 0] = 150
    assert inks.ink_level([written, np.zeros((H, W), np.uint8)]) == pytest.approx(150)
    assert inks.ink_level([]) > 0


@pytest.mark.parametrize("thick", [1, 2, 3])
def test_a_level_rule_goes_and_a_stroke_across_it_stays(thick: int) -> None:
    mask = stroke()
    ink = mask * np.uint8(255)
    ink[30 : 30 + thick] = 255
    out = inks.without_rules(ink, across=100, down=0)
    assert kept(out, mask) > 0.97
    far = cv2.dilate(mask, np.ones((3, 9), np.uint8)) == 0
    assert np.count_nonzero(out[far]) <= thick


@pytest.mark.parametrize("thick", [1, 2, 3])
def test_an_upright_rule_goes_and_a_stroke_across_it_stays(thick: int) -> None:
    mask = np.zeros((H, W), np.uint8)
    cv2.line(mask, (40, 25), (120, 35), (1,), 4)
    ink = mask * np.uint8(255)
    ink[:, 80 : 80 + thick] = 255
    out = inks.without_rules(ink, across=0, down=50)
    assert kept(out, mask) > 0.97
    far = cv2.dilate(mask, np.ones((9, 3), np.uint8)) == 0
    assert np.count_nonzero(out[far]) <= thick


def test_a_slightly_tilted_rule_with_gaps_goes() -> None:
    ink = np.zeros((H, W), np.uint8)
    cv2.line(ink, (0, 30), (W - 1, 32), (255,), 2)
    ink[:, 50:53] = 0
    assert np.count_nonzero(inks.without_rules(ink, across=100, down=0)) < 0.1 * np.count_nonzero(ink)


def test_strokes_shorter_than_a_rule_stay() -> None:
    ink = np.zeros((H, W), np.uint8)
    ink[30:33, 40:90] = 255
    assert np.array_equal(inks.without_rules(ink, across=100, down=0), ink)
    assert np.array_equal(inks.without_rules(ink, across=0, down=0), ink)


def test_a_printed_line_does_not_hide_faint_ink() -> None:
    page, mask = paper(noise=1.0), stroke()
    page[mask > 0] = 190
    page[54:57] = 20
    dark = inks.without_dark_rules(inks.darkness(page), across=100)
    ink = inks.extract(dark, inks.threshold_of(dark))
    assert kept(ink[:50], mask[:50]) > 0.97


@pytest.mark.parametrize("colour", [(230, 120, 90), (110, 190, 120), (120, 150, 235)])
def test_coloured_rules_drop_out_and_black_ink_stays(colour: tuple[int, int, int]) -> None:
    page, mask = np.repeat(paper()[..., None], 3, 2), stroke()
    page[[10, 11, 12, 46, 47, 48]] = colour
    page[:, [20, 21, 22, 140, 141, 142]] = colour
    page[mask > 0] = 40
    ink = ink_of(page)
    assert kept(ink, mask) > 0.9
    assert not ink[cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0].any()


@pytest.mark.parametrize("colour", [(190, 60, 60), (60, 90, 190)])
@pytest.mark.parametrize("digit", ["7", "1", "4"])
def test_a_stroke_of_a_coloured_pen_is_no_rule_in_a_close_crop(digit: str, colour: tuple[int, int, int]) -> None:
    page, mask = np.full((56, 44, 3), 245, np.uint8), np.zeros((56, 44), np.uint8)
    lines = {"7": [(10, 12), (34, 12), (18, 46)], "1": [(22, 8), (22, 48)], "4": [(16, 8), (10, 30), (38, 30)]}
    cv2.polylines(mask, [np.array(lines[digit], np.int32)], False, (255,), 3)
    page[mask > 0] = colour
    assert kept(ink_of(page), mask) > 0.9


@pytest.mark.parametrize("high", [60, 80])
def test_a_line_under_a_number_or_a_dash_behind_it_by_a_coloured_pen_is_ink(high: int) -> None:
    page, mask = np.full((high, 10 * high, 3), 245, np.uint8), np.zeros((high, 10 * high), np.uint8)
    for x in range(3 * high, 5 * high, high // 2):
        cv2.ellipse(mask, (x, high // 2), (high // 6, high // 4), 0, 0, 300, (255,), 3)
    cv2.line(mask, (3 * high, high - 8), (5 * high, high - 9), (255,), 3)
    page[mask > 0] = (60, 90, 190)
    assert kept(ink_of(page), mask) > 0.9


def test_a_coloured_table_narrower_than_its_page_drops_out() -> None:
    page = np.full((1400, 1000, 3), 245, np.uint8)
    for y in range(300, 900, 60):
        page[y : y + 3, 200:800] = (225, 120, 110)
    page[400:440, 300:306] = 40
    dark = inks.darkness(page, window=100)
    assert dark[300:303, 250:700].max() < inks.FAINTEST < dark[410:430, 302:304].min()


@pytest.mark.parametrize("paper", [(250, 235, 150), (180, 220, 250)])
def test_ink_on_coloured_paper_is_ink(paper: tuple[int, int, int]) -> None:
    crop = np.full((60, 200, 3), paper, np.uint8)
    cv2.line(crop, (60, 10), (70, 50), (40, 40, 60), 4)
    dark = inks.darkness(crop)
    assert dark[30, 65] > 100
    assert dark[30, 150] < 10


def test_a_wall_is_found_where_it_is_and_taken_out() -> None:
    ink = np.zeros((H, W), np.uint8)
    ink[:, 77:80] = 255
    ink[20:24, 60:100] = 255
    first, last = inks.find_wall((ink[:, 60:95] > 0).astype(np.uint8)) or (0, 0)
    assert abs(60 + first - 77) <= 1 and abs(60 + last - 79) <= 1
    inks.remove_wall(ink, (60 + first, 60 + last))
    assert (ink[21:23, 60:100] > 0).all()
    assert not ink[:18, 77:80].any() and not ink[26:, 77:80].any()


def test_no_wall_is_found_where_there_is_only_a_stroke() -> None:
    assert inks.find_wall(stroke()[:, 60:100]) is None
    assert inks.find_wall(np.zeros((0, 5), np.uint8)) is None


@pytest.mark.parametrize("paper", [(245, 238, 205), (238, 228, 170), (250, 215, 215)])
@pytest.mark.parametrize("pen", [(60, 60, 60), (40, 60, 130), (150, 140, 110)])
def test_ink_and_black_rules_on_tinted_paper_are_dark(paper: tuple[int, int, int], pen: tuple[int, int, int]) -> None:
    page = np.zeros((H, W, 3), np.uint8)
    page[:] = paper
    page = np.clip(page + np.random.default_rng(4).normal(0, 3, page.shape), 0, 255).astype(np.uint8)
    page[30:32] = (50, 48, 45)
    mask = stroke()
    page[mask > 0] = pen
    assert kept(inks.line_ink(inks.darkness(page)), mask) > 0.9


def test_a_pen_darker_than_rules_of_its_colour_is_ink() -> None:
    page = np.full((H, W, 3), 250, np.uint8)
    for y in (10, 30, 50):
        page[y : y + 2] = (150, 180, 235)
    mask = stroke()
    page[mask > 0] = (30, 50, 150)
    ink = inks.darkness(page)
    assert (ink[mask > 0] > 80).mean() > 0.95
    assert ink[10:12, :60].max() < 20


@given(hnp.arrays(st.sampled_from([np.uint8, np.int64, np.float64]), st.integers(1, 9), elements=st.integers(0, 255)))
def test_the_middle_of_a_few_numbers_is_their_median(values: npt.NDArray[np.generic]) -> None:
    assert inks.middle_of(values) == np.median(values.astype(np.float64))


def struck(pen: tuple[int, int, int], paper: tuple[int, int, int], lines: int, digits: str) -> npt.NDArray[np.uint8]:
    """A number by a coloured pen, (90, 300, 3), that level lines of the same pen take back."""
    page = np.full((90, 300, 3), paper, np.uint8)
    cv2.putText(page, digits, (70, 65), cv2.FONT_HERSHEY_SIMPLEX, 1.6, pen, 4, cv2.LINE_AA)
    for k in range(lines):
        cv2.line(page, (55, 40 + 9 * k), (245, 41 + 9 * k), pen, 4, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("paper", [(250, 250, 247), (245, 200, 210), (190, 210, 240)])
@pytest.mark.parametrize("pen", [(200, 40, 45), (40, 70, 160), (30, 120, 60)])
def test_a_line_through_a_number_by_a_coloured_pen_is_ink(
    pen: tuple[int, int, int], paper: tuple[int, int, int], lines: int
) -> None:
    page = struck(pen, paper, lines, "4729")
    assert (inks.darkness(page) > 40).sum() > 0.9 * (np.abs(page.astype(int) - paper).sum(2) > 150).sum()


def test_a_number_by_a_pen_of_the_colour_of_its_rules_stays() -> None:
    page = struck((60, 90, 190), (250, 250, 247), 0, "4729")
    page[[8, 9, 82, 83]] = (60, 90, 190)
    assert (inks.darkness(page)[15:75] > 40).sum() > 0.9 * (page[15:75, :, 0] < 200).sum()
