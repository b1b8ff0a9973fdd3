"""Rules and corner marks: those printed are found, and no word, edge, texture or column of digits is taken for one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from inkshift.forms.design.landmarks import corner_marks, long_rules, share_inked
from inkshift.forms.design.printed import as_reference
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.registration.lines import Line

Gray = npt.NDArray[np.uint8]
W, H = 1000, 1400
LEVEL = ((100, 300, 900, 300), (100, 500, 900, 500), (300, 700, 700, 700))
PLUMB = ((100, 300, 100, 900), (620, 300, 620, 900))


def sheet(*lines: Line) -> Gray:
    """A page of print without rules, and the rules given."""
    page = np.full((H, W), 245, np.uint8)
    cv2.putText(page, "ILLUMINATED MINIMUM WAGE RETURN", (60, 150), cv2.FONT_HERSHEY_DUPLEX, 1.5, (10,), 6)
    for n in range(9):
        cv2.putText(
            page, "minimum amount in hundreds, written in words", (130, 980 + 40 * n), 0, 0.7, (0,), 1, cv2.LINE_AA
        )
        cv2.putText(page, "1", (800, 330 + 50 * n), 0, 1.2, (60,), 3, cv2.LINE_AA)
    for x1, y1, x2, y2 in lines:
        cv2.line(page, (round(x1), round(y1)), (round(x2), round(y2)), (40,), 2)
    return page


def split(lines: tuple[Line, ...]) -> tuple[list[Line], list[Line]]:
    level = [line for line in lines if abs(line[3] - line[1]) < abs(line[2] - line[0])]
    return level, [line for line in lines if line not in level]


@settings(max_examples=6, phases=[Phase.generate])
@given(st.integers(0, 2**32 - 1), st.floats(0, 8))
def test_the_rules_of_a_page_are_found_where_they_are_and_nothing_else(seed: int, noise: float) -> None:
    page = sheet(*LEVEL, *PLUMB) + np.random.default_rng(seed).normal(0, noise, (H, W))
    level, plumb = split(long_rules(as_reference(np.clip(page, 0, 255).astype(np.uint8))))
    for found, wanted in ((level, LEVEL), (plumb, PLUMB)):
        assert len(found) == len(wanted)
        for line, true in zip(found, wanted, strict=True):
            assert np.abs(np.array(line) - true).max() < 6


def edges(page: Gray) -> None:
    """What a scanner leaves: its black bed at one side, a dark line at another, the paper's edge at a third."""
    page[:, :5], page[-4:, 200:], page[:, -9:] = 15, 0, 30
    page[12:14] = 120
    page[:12] = 210


def texture(page: Gray) -> None:
    """Paper with fibres, a stain, and a fingerprint."""
    rng = np.random.default_rng(4)
    page[:] = np.clip(page - np.abs(cv2.GaussianBlur(rng.normal(0, 60, page.shape), (0, 0), 3)), 0, 255)
    for r in range(10, 70, 6):
        cv2.ellipse(page, (800, 700), (r, int(1.4 * r)), 20, 0, 360, (150,), 1, cv2.LINE_AA)


def pen(page: Gray) -> None:
    """Strokes drawn by hand over a good part of the page."""
    x = np.arange(100, 900)
    for y in (350, 640):
        wave = y + 9 * np.sin(x / 70) + 4 * np.sin(x / 23)
        cv2.polylines(page, [np.stack([x, wave], 1).astype(np.int32)], False, (60,), 3, cv2.LINE_AA)


def bar(page: Gray) -> None:
    page[600:660, 200:800] = 0


@pytest.mark.parametrize("what", [None, edges, texture, pen, bar])
def test_words_edges_texture_pens_and_bars_are_no_rules(what: object) -> None:
    page = sheet()
    if callable(what):
        what(page)
    assert long_rules(as_reference(page)) == ()


def test_a_rule_with_gaps_and_digits_over_it_is_one_rule() -> None:
    page = sheet(*LEVEL, *PLUMB)
    page[290:310, 400:415] = 245
    for x in range(150, 900, 140):
        cv2.putText(page, "8", (x, 512), 0, 1.5, (50,), 3)
    level, _ = split(long_rules(as_reference(page)))
    assert len(level) == 3


@given(st.floats(-1.2, 1.2))
@settings(max_examples=6, phases=[Phase.generate])
def test_rules_follow_the_turn_of_the_page(degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((W / 2, H / 2), degrees, 1.0)
    page = np.asarray(cv2.warpAffine(sheet(*LEVEL, *PLUMB), turn, (W, H), borderValue=(245,)), np.uint8)
    level, plumb = split(long_rules(as_reference(page)))
    assert (len(level), len(plumb)) == (3, 2)
    slopes = [np.degrees(np.arctan2(y2 - y1, x2 - x1)) for x1, y1, x2, y2 in level]
    slopes += [np.degrees(np.arctan2(x1 - x2, y2 - y1)) for x1, y1, x2, y2 in plumb]
    assert np.abs(np.array(slopes) + degrees).max() < 0.1


def test_the_telegrams_rules_and_marks(telegram: Path) -> None:
    blank = as_reference(load_page(PageRef(str(telegram / "blank.png"), 1)))
    level, plumb = split(long_rules(blank))
    assert len(corner_marks(blank)) == 4
    assert (len(level), len(plumb)) == (20, 4)


def test_no_more_than_a_few_rules_of_real_forms_are_none(shared_data: Path) -> None:
    """C1 has 18 level rules as long as that and four upright ones; a page may lose some that are broken."""
    for path in sorted((shared_data / "c1" / "pages").glob("*.jpg"))[:4]:
        page = as_reference(load_page(PageRef(str(path), 1)))
        level, plumb = split(long_rules(page))
        print(f"{path.name}: {len(level)} level, {len(plumb)} upright, {len(corner_marks(page))} marks")
        assert 14 <= len(level) <= 20 and len(plumb) <= 5
        assert len(corner_marks(page)) == 4


def test_how_much_of_a_line_is_inked() -> None:
    page = as_reference(sheet(*LEVEL, *PLUMB))
    assert share_inked(page, LEVEL[0]) > 0.95 and share_inked(page, PLUMB[1]) > 0.9
    assert share_inked(page, (100, 560, 900, 560)) < 0.2
    assert share_inked(page, (100, 300, 1700, 300)) == pytest.approx(0.5, abs=0.02)
    assert share_inked(page, (-300, -50, -10, -50)) == 0
