"""Registration: a page's true place under its template is found, and a wrong page is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift.errors import RegistrationError
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.registration.register import register
from inkshift.forms.registration.registered import cut
from inkshift.forms.template import PageSpec, Template, load_template
from inkshift.reframe import to_gray
from specimens.specimen import Layout, Text, draw_blank

Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
W, H = 620, 877


def page_spec(**changes: object) -> PageSpec:
    """A small form with four marks and a column of boxes, which stands lower when it is turned."""
    boxes = [{"name": f"f{i}", "box": [430, 120 + 48 * i, 120, 36], "cells": 3} for i in range(8)]
    marks = [{"x": x, "y": y, "size": 20} for x, y in ((40, 40), (580, 40), (40, 837), (580, 837))]
    return PageSpec.model_validate({"size": [W, H], "marks": marks, "fields": boxes} | changes)


def lines_spec() -> PageSpec:
    """The same size without marks: a table whose rows and columns differ."""
    rows, columns = (90, 140, 210, 330, 520, 560, 790), (50, 120, 300, 420, 570)
    lines = [[50, y, 570, y] for y in rows] + [[x, 90, x, 790] for x in columns]
    return page_spec(marks=[], fields=[], lines=lines)


def moved(angle: float, scale: float, tilt: float = 0.0) -> Matrix:
    """A homography about the page's middle: degrees, scale, and by what part the top edge is narrowed."""
    turn = np.vstack([cv2.getRotationMatrix2D((W / 2, H / 2), angle, scale), [0, 0, 1]])
    corners = np.array([[0, 0], [W, 0], [0, H], [W, H]], np.float32)
    seen = corners + np.array([[tilt * W, 0], [-tilt * W, 0], [0, 0], [0, 0]], np.float32)
    return np.asarray(turn @ cv2.getPerspectiveTransform(corners, seen), np.float64)


def photographed(page: Gray, matrix: Matrix) -> Gray:
    seen = cv2.warpPerspective(page, matrix, (W, H), flags=cv2.INTER_AREA, borderValue=(255,))
    noise = np.random.default_rng(0).normal(0, 3, seen.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(seen, (0, 0), 0.6) * 0.9 + noise, 0, 255), np.uint8)


def off(found: Matrix, true: Matrix) -> float:
    """The largest distance in pixels between found and true places of points inside the page."""
    grid = np.stack(np.meshgrid(np.linspace(60, W - 60, 7), np.linspace(60, H - 60, 7)), -1).reshape(-1, 1, 2)
    apart = cv2.perspectiveTransform(grid, found) - cv2.perspectiveTransform(grid, true)
    return float(np.linalg.norm(apart, axis=2).max())


@pytest.mark.parametrize(
    "true",
    [moved(0, 1), moved(3, 0.93), moved(-3, 0.93), moved(1, 0.9, 0.02), moved(-2, 0.95, -0.01), moved(0, 0.8)],
    ids=["as drawn", "3 degrees", "-3 degrees", "perspective", "both", "scale"],
)
def test_marks_give_back_a_known_homography(true: Matrix) -> None:
    spec = page_spec()
    found = register(photographed(draw_blank(spec), true), spec)
    assert len(found) == 1
    assert found[0].turn == 0
    assert off(found[0].matrix, true) < 2
    assert found[0].quality > 0.8


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_turned_page_is_turned_back(quarters: int) -> None:
    spec, true = page_spec(), moved(1, 0.95)
    page = photographed(draw_blank(spec), true)
    best = register(np.ascontiguousarray(np.rot90(page, quarters)), spec)[0]
    assert np.array_equal(best.image, page)
    assert best.turn == 90 * quarters
    assert off(best.matrix, true) < 2


def test_a_page_in_colour_and_at_another_resolution() -> None:
    spec = page_spec()
    large = cv2.resize(draw_blank(spec), (W * 2, H * 2), interpolation=cv2.INTER_LINEAR)
    best = register(np.repeat(np.asarray(large, np.uint8)[..., None], 3, 2), spec)[0]
    assert off(np.diag([0.5, 0.5, 1.0]) @ best.matrix, np.eye(3)) < 1


def test_one_mark_torn_off_is_borne() -> None:
    spec = page_spec()
    page = draw_blank(spec)
    page[:70, :70] = 255
    assert off(register(page, spec)[0].matrix, np.eye(3)) < 2


def test_a_form_alike_both_ways_up_comes_both_ways() -> None:
    middle = [{"name": "n", "box": [200, 400, 220, 77], "cells": 3}]
    spec = page_spec(fields=middle)
    assert {one.turn for one in register(draw_blank(spec), spec)} == {0, 180}


@pytest.mark.parametrize("true", [moved(0, 1), moved(0.6, 0.97), moved(-0.5, 0.95, 0.005)])
def test_printed_lines_give_back_a_known_homography(true: Matrix) -> None:
    spec = lines_spec()
    best = register(photographed(draw_blank(spec), true), spec)[0]
    assert best.turn == 0
    assert off(best.matrix, true) < 2


@pytest.mark.parametrize(("rows", "angle"), [(0, -0.9), (1, -0.75), (1, -0.25), (1, 0.5), (2, 0.8)])
def test_narrow_rows_are_not_taken_for_one_another(rows: int, angle: float) -> None:
    """A class list of 40 pupils, 5 mm a row, turned a little and lying some rows too high."""
    pitch, columns = 16.5, (38, 60, 240, 292, 345, 397, 450, 502)
    lines = [[38, 143 + pitch * i, 502, 143 + pitch * i] for i in range(-1, 41)]
    lines += [[x, 143 - pitch, x, 143 + 40 * pitch] for x in columns]
    boxes = [{"name": f"r{i}", "box": [240 + 52.4 * (i % 5), 143 + pitch * (i // 5), 52.4, pitch]} for i in range(200)]
    spec = page_spec(marks=[], fields=boxes, lines=lines)
    texts = [Text(65, 151 + pitch * i, "Abril Sosa", 11) for i in range(40)]
    true = np.array([[1, 0, 0], [0, 1, -rows * pitch], [0, 0, 1]]) @ moved(angle, 0.985)
    (page,) = register(photographed(draw_blank(spec, Layout(tuple(texts))), true), spec)
    assert off(page.matrix, true) < 4


@pytest.mark.parametrize(("across", "down", "pitch"), [(5, 140, 4), (40, 60, 6), (60, 10, 6)])
def test_a_form_full_of_dotted_lines_is_found_beside_margins(across: int, down: int, pitch: int) -> None:
    """A page with white around it, on which most of what stands out is dots, each like the next."""
    names = ["Temperatura", "Humedad", "Lluvia", "Viento", "Presion", "Caudal", "Nivel"]
    labels = [*names, *(f"{name} 15 h" for name in names)]
    texts = [Text(60, 155 + 42 * i, label, 13) for i, label in enumerate(labels)]
    boxes = [{"name": label, "box": [415, 135 + 42 * i, 115, 30], "frame": False} for i, label in enumerate(labels)]
    spec = page_spec(marks=[], reference="blank.png", fields=boxes)
    blank = draw_blank(spec, Layout((Text(310, 55, "PARTE DIARIO", 18, True, "mm"), *texts)))
    for i in range(len(labels)):
        for x in range(150, 530, pitch):
            cv2.circle(blank, (x, 161 + 42 * i), 1, (70,), -1, cv2.LINE_AA)
    true = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]], np.float64)
    wider = np.asarray(cv2.warpAffine(blank, true[:2], (W + 90, H + 235), borderValue=(255,)), np.uint8)
    (page,) = register(wider, spec, blank)
    assert off(page.matrix, true) < 4


@pytest.mark.parametrize(("across", "down"), [(0, -1), (0, 1), (-1, 0)])
def test_a_bare_grid_known_by_its_picture_and_lines_is_not_a_row_aside(across: int, down: int) -> None:
    """Ten columns and fifteen rows with nothing but a page number beside them, shifted by one of them."""
    wide, high = 56.0, 53.0
    boxes = [
        {"name": f"r{r}c{c}", "box": [26 + wide * c, 46 + high * r, wide, high]} for r in range(15) for c in range(10)
    ]
    spec = page_spec(marks=[], reference="blank.png", fields=boxes)
    blank = draw_blank(spec, Layout((Text(30, 20, "hoja 3", 9),)))
    # Sides come back either way up: nothing but a number tells it.
    true = np.array([[1, 0, across * wide], [0, 1, down * high], [0, 0, 1]]) @ moved(0.7, 0.99)
    pages = register(photographed(blank, true), spec, blank)
    assert min(off(page.matrix, true) for page in pages) < 4


@pytest.mark.parametrize(("seen", "whole"), [(0.5, False), (0.62, False), (1.0, True)])
def test_half_a_form_is_refused(seen: float, whole: bool) -> None:
    """What is beyond the scan speaks neither for a place nor against it."""
    names = ["Temperatura", "Humedad", "Lluvia", "Viento", "Presion", "Caudal", "Nivel", "Hora", "Estacion", "Firma"]
    boxes = [{"name": name, "box": [330, 120 + 60 * i, 150, 34]} for i, name in enumerate(names)]
    spec = page_spec(marks=[], reference="blank.png", fields=boxes)
    labels = [Text(60, 140 + 60 * i, name, 14) for i, name in enumerate(names)]
    blank = draw_blank(spec, Layout((Text(150, 50, "PARTE DIARIO", 18), *labels)))
    true = moved(0.3, 1)
    scan = photographed(blank, true)[:, : int(seen * W)]
    if whole:
        (page,) = register(scan, spec, blank)
        assert off(page.matrix, true) < 4
    else:
        with pytest.raises(RegistrationError, match="of the form would be on this picture; scan it whole"):
            register(scan, spec, blank)


@pytest.fixture(scope="module")
def example() -> Template:
    return load_template(Path(__file__).parents[1] / "examples" / "telegram" / "template.json")


def test_keypoints_of_the_blank_page_agree_with_the_marks(example: Template, telegram: Path) -> None:
    spec = example.pages[0]
    blank = to_gray(load_page(PageRef(str(telegram / "blank.png"), 1)))
    scanned = load_page(PageRef(str(telegram / "scan-2.jpg"), 1))
    by_marks = register(scanned, spec)[0]
    unmarked = spec.model_copy(update={"marks": (), "reference": "blank.png"})
    by_keypoints = register(scanned, unmarked, blank)[0]
    boxes = np.array([field.box[:2] for field in spec.fields]).reshape(-1, 1, 2)
    apart = cv2.perspectiveTransform(boxes, by_marks.matrix) - cv2.perspectiveTransform(boxes, by_keypoints.matrix)
    assert np.linalg.norm(apart, axis=2).max() < 4
    assert by_keypoints.turn == by_marks.turn == 0


def blank_sheet() -> Gray:
    return np.full((H, W), 250, np.uint8)


def noise() -> Gray:
    return np.random.default_rng(1).integers(0, 256, (H, W), dtype=np.uint8)


def another_form() -> Gray:
    """Another form with the same marks: its boxes are elsewhere."""
    boxes = [{"name": f"g{i}", "box": [60, 160 + 90 * i, 200, 60]} for i in range(5)]
    return draw_blank(page_spec(fields=boxes))


def a_table() -> Gray:
    sheet = np.full((H, W), 255, np.uint8)
    for y in range(60, 860, 31):
        cv2.line(sheet, (30, y), (590, y), (40,), 2)
    return sheet


@pytest.mark.parametrize("sheet", [blank_sheet, noise, another_form, a_table])
@pytest.mark.parametrize("spec", [page_spec(), lines_spec()], ids=["marks", "lines"])
def test_another_sheet_is_refused(sheet: object, spec: PageSpec) -> None:
    assert callable(sheet)
    with pytest.raises(RegistrationError, match=r"is it this form, and scanned whole"):
        register(sheet(), spec)


@pytest.mark.parametrize("sheet", [blank_sheet, noise, another_form])
def test_another_sheet_is_refused_by_keypoints(sheet: object, example: Template, telegram: Path) -> None:
    assert callable(sheet)
    blank = to_gray(load_page(PageRef(str(telegram / "blank.png"), 1)))
    unmarked = example.pages[0].model_copy(update={"marks": (), "reference": "blank.png"})
    with pytest.raises(RegistrationError, match=r"is it this form, and scanned whole"):
        register(sheet(), unmarked, blank)


def test_a_crop_shows_its_box_and_the_margin_around_it() -> None:
    spec = page_spec()
    page = draw_blank(spec)
    found = register(page, spec)[0]
    box = spec.fields[2].box
    crop, scale = cut(page, found, box, 10, 255)
    assert scale == pytest.approx(1, abs=0.02)
    assert crop.shape == pytest.approx((box[3] + 20, box[2] + 20), abs=3)
    assert crop[:6].min() > 200 and crop[:, :6].min() > 200
    assert (crop[8:13].min(0)[15:-15] < 128).all()
