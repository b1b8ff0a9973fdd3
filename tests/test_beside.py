"""Several pages on one picture: each is found, read and named apart from the others, or said to be not read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.forms.assemble import assemble
from inkshift.forms.out.overlay import preview
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.page.which import beside, in_rows
from inkshift.forms.reader import Reader
from inkshift.forms.reading import PageReading
from inkshift.forms.registration.register import register
from inkshift.forms.template import PageSpec, Template

Gray = npt.NDArray[np.uint8]
W, H, ROW, TOP = 600, 850, 90, 130
NAMES = ("Ruiz", "Okoro", "Dias", "Petrov", "Lund", "Zahra")


def blank(heading: str = "Class list 4b", at: int = 360) -> Gray:
    """An empty form whose boxes begin at a column, with names in the other half."""
    sheet = np.full((H, W), 255, np.uint8)
    cv2.putText(sheet, heading, (60, 80), 0, 1.0, (0,), 2, cv2.LINE_AA)
    for k, name in enumerate(NAMES):
        cv2.rectangle(sheet, (at, TOP + 105 * k), (at + 140, TOP + 105 * k + ROW), (0,), 2)
        cv2.putText(sheet, name, (64 if at > 200 else 320, TOP + 105 * k + 55), 0, 0.9, (0,), 2, cv2.LINE_AA)
    return sheet


def filled(sheet: Gray, digits: str, at: int = 360) -> Gray:
    page = sheet.copy()
    for k, digit in enumerate(digits):
        cv2.putText(page, digit, (at + 52, TOP + 105 * k + 68), 0, 1.8, (50,), 4, cv2.LINE_AA)
    return page


def template(folder: Path, *sheets: Gray, at: tuple[int, ...] = (360,)) -> Path:
    pages = []
    for n, (sheet, x) in enumerate(zip(sheets, at, strict=True)):
        cv2.imwrite(str(folder / f"empty-{n}.png"), sheet)
        boxes = [
            {"name": f"p{n}r{k}", "box": [x, TOP + 105 * k, 140, ROW], "digits": [1, 1]} for k in range(len(NAMES))
        ]
        pages.append({"size": [W, H], "fields": boxes, "reference": f"empty-{n}.png"})
    (folder / "t.json").write_text(json.dumps({"name": "t", "pages": pages}), encoding="utf-8")
    return folder / "t.json"


def scanned(folder: Path, name: str, *sheets: Gray, bed: int = 250) -> Path:
    """Sheets beside each other on a scanner's glass."""
    glass = np.full((H + 40, (W + 30) * len(sheets) + 30), bed, np.uint8)
    for k, sheet in enumerate(sheets):
        turn = cv2.getRotationMatrix2D((W / 2, H / 2), 0.7 * (-1) ** k, 0.99) + [[0, 0, 30 + (W + 30) * k], [0, 0, 20]]
        laid = cv2.warpAffine(np.dstack([sheet, np.full_like(sheet, 255)]), turn, glass.shape[::-1])
        glass = np.where(laid[..., 1] > 127, laid[..., 0], glass)
    noise = np.random.default_rng(len(sheets)).normal(0, 2, glass.shape)
    cv2.imwrite(str(folder / name), np.clip(glass * 0.95 + noise, 0, 255).astype(np.uint8))
    return folder / name


def values(form: object) -> str:
    return "".join(item.value or "-" for item in form.fields)  # type: ignore[attr-defined]


@pytest.mark.parametrize("bed", [250, 12], ids=["white bed", "black bed"])
def test_two_forms_on_one_picture_are_two_readings_also_where_it_was_stopped_between_them(
    tmp_path: Path, shipped_model: str, bed: int
) -> None:
    sheet = blank()
    two = scanned(tmp_path, "two.png", filled(sheet, "234723"), filled(sheet, "742374"), bed=bed)
    one = scanned(tmp_path, "one.png", filled(sheet, "333333"), bed=bed)
    reader, journal = Reader(template(tmp_path, sheet)), tmp_path / "done.jsonl"
    begun = reader.read([two, one], journal=journal)
    assert values(next(begun)) == "234723"
    begun.close()
    first, second, last = reader.read([two, one], journal=journal)
    forms = [(form.name, values(form)) for form in (first, second, last)]
    assert forms == [("two", "234723"), ("two-b", "742374"), ("one", "333333")]
    assert not first.errors + second.errors
    # Boxes are of the whole picture, where a person looks at them.
    boxes = [[item.box for item in form.fields if item.box] for form in (first, second)]
    assert max(box[2] for box in boxes[0]) < W + 45 < min(box[0] for box in boxes[1])


def test_a_form_that_is_not_proved_costs_only_itself(tmp_path: Path, shipped_model: str) -> None:
    sheet = blank()
    spoilt = filled(sheet, "742374")
    spoilt[380:] = 255
    picture = scanned(tmp_path, "scan.png", filled(sheet, "234723"), spoilt)
    first, second = Reader(template(tmp_path, sheet)).read([picture])
    assert (first.name, values(first), first.errors) == ("scan", "234723", ())
    assert (second.name, second.fields) == ("scan-b", ())
    (error,) = second.errors
    assert "scan.png page 1: of the forms on this picture one was not read: the page " in error


def test_what_is_no_form_beside_one_is_passed_over(tmp_path: Path, shipped_model: str) -> None:
    sheet, letter = blank(), np.full((H, W), 255, np.uint8)
    for k in range(15):
        cv2.putText(letter, f"Dear Sir or Madam, {k * 37} thanks", (40, 80 + 50 * k), 0, 0.8, (0,), 2, cv2.LINE_AA)
    picture = scanned(tmp_path, "scan.png", filled(sheet, "234723"), letter)
    (form,) = Reader(template(tmp_path, sheet)).read([picture])
    assert (form.name, values(form), form.errors) == ("scan", "234723", ())


def test_two_pages_of_one_form_side_by_side_are_one_form(tmp_path: Path, shipped_model: str) -> None:
    first, second = blank(), blank("Totals", 90)
    picture = scanned(tmp_path, "scan.png", filled(first, "234723"), filled(second, "742374", 90))
    (form,) = Reader(template(tmp_path, first, second, at=(360, 90))).read([picture])
    assert (values(form), len(form.pages), form.errors) == ("234723742374", 2, ())


def test_pale_grids_without_keypoints_are_both_laid() -> None:
    rows, columns = [90 + 90 * i for i in range(8)], [60, 150, 330, 420, 540]
    sheet = np.full((H, W), 255, np.uint8)
    for y in rows:
        cv2.line(sheet, (columns[0], y), (columns[-1], y), (170,), 2)
    for x in columns:
        cv2.line(sheet, (x, rows[0]), (x, rows[-1]), (170,), 2)
    fields = [{"name": f"f{y}", "box": [150, y, 180, 90], "digits": [1, 2]} for y in rows[:-1]]
    spec = PageSpec.model_validate({"size": [W, H], "fields": fields, "reference": "empty.png"})
    both = np.hstack([sheet, sheet])
    first = register(both, spec, sheet)[0]
    rest = beside(both, first.outline)
    assert rest is not None
    middles = sorted(one.outline.mean(0)[0] for one in (first, register(rest, spec, sheet)[0]))
    assert middles == pytest.approx([W / 2, 1.5 * W], abs=6)


@pytest.mark.parametrize("bits", [False, True], ids=["gray", "one bit"])
def test_half_a_page_of_a_bare_grid_beside_a_whole_one_is_not_read_as_one(
    tmp_path: Path, shipped_model: str, bits: bool
) -> None:
    """Squashed to half its width, every second line of the form would fit there: as on a fax of half the rows."""
    rows, columns = [20 + 54 * i for i in range(16)], [20 + 56 * i for i in range(11)]
    sheet = np.full((H, W), 245, np.uint8)
    for y in rows:
        cv2.line(sheet, (columns[0], y), (columns[-1], y), (180,), 1, cv2.LINE_AA)
    for x in columns:
        cv2.line(sheet, (x, rows[0]), (x, rows[-1]), (180,), 1, cv2.LINE_AA)
    boxes = {f"r{r:02}c{c}": (x, y, 56, 54) for r, y in enumerate(rows[:-1]) for c, x in enumerate(columns[:-1])}
    lines = [[20, y, 580, y] for y in rows] + [[x, 20, x, 830] for x in columns]
    fields = [{"name": name, "box": box, "cells": 1} for name, box in boxes.items()]
    page = {"size": [W, H], "lines": lines, "fields": fields}
    (tmp_path / "t.json").write_text(json.dumps({"name": "grid", "pages": [page]}), encoding="utf-8")
    for name, (x, y, _, _) in boxes.items():
        cv2.putText(sheet, name[-1], (x + 18, y + 38), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 0.7, (110,), 1, cv2.LINE_AA)
    large = cv2.resize(np.hstack([sheet[:, W // 2 :], sheet]), None, fx=2.6, fy=2.6, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "scan.png"), np.where(large > 215, 255, 0).astype(np.uint8) if bits else large)
    whole, *more = Reader(tmp_path / "t.json").read([tmp_path / "scan.png"])
    assert not [form for form in more if form.fields]
    found = np.array([item.box for item in whole.fields])
    true = np.array([(x + W / 2, y, x + W / 2 + w, y + h) for x, y, w, h in boxes.values()]) * 2.6
    assert np.abs(found - true).max() < 15


def test_copies_of_two_designs_are_put_together_by_their_number() -> None:
    fields = [[{"name": name, "box": [9, 9, 99, 99]}] for name in ("a", "b")]
    pages = [{"size": [W, H], "reference": "e.png", "fields": own} for own in fields]
    two = Template.model_validate({"name": "t", "pages": pages})
    fronts = [PageReading("s.pdf", 1, 0, copy=n, template="t") for n in (1, 2)]
    backs = [PageReading("s.pdf", 2, 1, copy=n, template="t") for n in (1, 2)]
    forms = [(form.name, [note.page for note in form.pages]) for form in assemble([*fronts, *backs], two)]
    # Whose the backs are nobody can tell: each stands alone, and the roll says that both forms lack a page.
    assert forms == [("s", [1]), ("s-b", [1]), ("s-p2", [2]), ("s-p2-b", [2])]
    beside_each_other = [fronts[0], PageReading("s.pdf", 1, 1, copy=1, template="t")]
    assert [len(form.pages) for form in assemble(beside_each_other, two)] == [2]


@given(st.permutations(range(6)))
def test_forms_are_counted_as_people_read(order: list[int]) -> None:
    places = [(0, 0), (W, 12), (2 * W, -9), (5, H), (W, H + 15), (2 * W, H)]
    outline = np.array([[0, 0], [W, 0], [W, H], [0, H]], np.float64)
    assert [order[k] for k in in_rows([outline + places[k] for k in order])] == list(range(6))


def test_a_page_that_fills_its_picture_is_looked_at_no_further() -> None:
    page = filled(blank(), "234723")
    assert beside(page, np.array([[0, 0], [W, 0], [W, H], [0, H]], np.float64)) is None


def test_a_refused_page_is_drawn_where_it_comes_nearest(tmp_path: Path, shipped_model: str) -> None:
    sheet = blank()
    spoilt = sheet.copy()
    spoilt[380:] = 255
    picture = scanned(tmp_path, "scan.png", spoilt)
    reader = Reader(template(tmp_path, sheet))
    drawn, why = preview(reader, load_page(PageRef(str(picture), 1)), "scan.png")
    assert "does not fit" in why
    # The heading is seen where the template has it, under the lines of text that say why.
    zoom = drawn.width / W
    part = np.asarray(drawn.convert("L"))[-round(H * zoom) :][round(50 * zoom) : round(85 * zoom)]
    dark = np.flatnonzero((part < 100).any(0)) / zoom
    assert dark.min() == pytest.approx(60, abs=6)
