"""A page is read only where it is proved to lie right: never one row off, upside down, or from another form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift.errors import RegistrationError, UnknownFormError
from inkshift.forms.field.fields import less_sure
from inkshift.forms.page.upright import is_mirrored, way_up
from inkshift.forms.reader import Reader
from inkshift.forms.reading import Candidate, FieldReading
from inkshift.forms.registration.candidates import project, quarter_turn
from inkshift.forms.registration.proof import fine, frame_probability, lead, margin_over
from inkshift.forms.registration.reference import Reference
from inkshift.forms.registration.refine import NEAR, Place, refine
from inkshift.forms.registration.register import lay_at, register
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.forms.registration.scan import Scan
from inkshift.forms.template import PageSpec

Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
W, H, ROW, TOP = 600, 850, 40, 120
NAMES = (
    "Ruiz",
    "Okoro",
    "Dias",
    "Petrov",
    "Lund",
    "Zahra",
    "Nagy",
    "Sato",
    "Horvat",
    "Weber",
    "Mensah",
    "Rossi",
    "Kaya",
)


def class_list() -> tuple[Gray, PageSpec, PageSpec]:
    """A list of pupils with a column for marks; its template with a picture, and with its lines only."""
    sheet = np.full((H, W), 255, np.uint8)
    cv2.putText(sheet, "Class list 4b", (60, 80), 0, 1.0, (0,), 2, cv2.LINE_AA)
    bottom, columns = TOP + ROW * len(NAMES), (50, 360, 450, 540)
    rows = [TOP + ROW * i for i in range(len(NAMES) + 1)]
    lines = [[50, y, 540, y] for y in rows] + [[x, TOP, x, bottom] for x in columns]
    for x1, y1, x2, y2 in lines:
        cv2.line(sheet, (x1, y1), (x2, y2), (0,), 2)
    for name, y in zip(NAMES, rows, strict=False):
        cv2.putText(sheet, name, (64, y + 29), 0, 0.8, (0,), 2, cv2.LINE_AA)
    fields = [{"name": f"r{i}", "box": [360, y, 90, ROW], "digits": [1, 2]} for i, y in enumerate(rows[:-1])]
    plain = {"size": [W, H], "fields": fields}
    pictured, ruled = plain | {"reference": "empty.png"}, plain | {"lines": lines}
    return sheet, PageSpec.model_validate(pictured), PageSpec.model_validate(ruled)


def filled(sheet: Gray) -> Gray:
    page, rng = sheet.copy(), np.random.default_rng(3)
    for i in range(len(NAMES)):
        at = 370 + int(rng.integers(20)), TOP + ROW * i + 31
        cv2.putText(page, str(rng.integers(1, 20)), at, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 0.9, (70,), 2, cv2.LINE_AA)
    return page


def seen(page: Gray, matrix: Matrix, size: tuple[int, int] = (W, H), bed: int = 255) -> Gray:
    scan = cv2.warpPerspective(page, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(bed,))
    noise = np.random.default_rng(0).normal(0, 3, scan.shape)
    return np.asarray(np.clip(scan * 0.93 + noise, 0, 255), np.uint8)


def moved(angle: float, scale: float, x: float = 0, y: float = 0) -> Matrix:
    turn = np.vstack([cv2.getRotationMatrix2D((W / 2, H / 2), angle, scale), [0, 0, 1]])
    turn[:2, 2] += x, y
    return np.asarray(turn, np.float64)


def off(found: RegisteredPage, spec: PageSpec, true: Matrix) -> float:
    """The most that a corner of a field lies from its true place in the scan, in heights of the field."""
    back = np.linalg.inv(quarter_turn(found.turn // 90, found.image.shape))
    most = 0.0
    for x, y, w, h in (field.box for field in spec.fields):
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)
        there, own = project(corners, true), project(corners, back @ found.map_of((x, y, w, h)))
        most = max(most, float(np.linalg.norm(own - there, axis=1).max() / np.linalg.norm(there[3] - there[0])))
    return most


SITUATIONS = {
    "as it is": (moved(0, 1), (W, H), 255),
    "turned by 4 degrees": (moved(4, 0.95), (W, H), 255),
    "turned by 13 degrees": (moved(-13, 0.85), (W, H), 255),
    "one row lower": (moved(0.5, 1, 0, ROW + 1), (W, H + 60), 255),
    "small on a white bed": (moved(1, 0.6, -60, -120), (W, H), 255),
    "on a black bed": (moved(-1, 0.98, 20, 30), (W * 2, H + 300), 10),
    "with a wide margin": (moved(0.5, 1, 150, 160), (W + 300, H + 320), 250),
}


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("known", ["picture", "lines"])
def test_a_page_lies_right_or_is_not_read(name: str, known: str) -> None:
    sheet, pictured, ruled = class_list()
    true, size, bed = SITUATIONS[name]
    scan = seen(filled(sheet), true, size, bed)
    spec, reference = (pictured, sheet) if known == "picture" else (ruled, None)
    try:
        (found,) = register(scan, spec, reference)
    except RegistrationError:
        assert known == "lines"
        return
    assert off(found, spec, true) < 1 / 3
    assert found.quality > 0.5


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_way_up_comes_from_print(quarters: int) -> None:
    sheet, spec, _ = class_list()
    page = seen(filled(sheet), moved(1, 0.97))
    (found,) = register(np.ascontiguousarray(np.rot90(page, quarters)), spec, sheet)
    assert found.turn == 90 * quarters
    assert np.array_equal(found.image, page)


def test_a_grid_whose_edge_is_cut_off_is_refused_or_right() -> None:
    rows, columns = [60 + 60 * i for i in range(13)], [60 + 60 * i for i in range(9)]
    lines = [[60, y, 540, y] for y in rows] + [[x, 60, x, 780] for x in columns]
    boxes = [(x, y) for y in rows[:-1] for x in columns[:-1]]
    fields = [{"name": f"f{i}", "box": [x, y, 60, 60], "digits": [0, 1]} for i, (x, y) in enumerate(boxes)]
    spec = PageSpec.model_validate({"size": [W, H], "lines": lines, "fields": fields})
    sheet = np.full((H, W), 255, np.uint8)
    for x1, y1, x2, y2 in lines:
        cv2.line(sheet, (x1, y1), (x2, y2), (0,), 2)
    whole = register(seen(sheet, moved(1, 0.9)), spec)
    assert min(off(one, spec, moved(1, 0.9)) for one in whole) < 1 / 3
    cut = moved(0, 1, -63, -63)
    try:
        ways = register(seen(sheet, cut), spec)
    except RegistrationError as e:
        assert "could lie" in str(e) or "is it this form" in str(e)
        return
    assert min(off(one, spec, cut) for one in ways) < 1 / 3 or ways[0].quality < 0.9


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("true", [moved(1, 0.95), moved(0, 1, 0, 30)], ids=["turned", "lower"])
def test_a_heading_ruled_like_a_row_does_not_shift_the_rows(boxed: bool, true: Matrix) -> None:
    """The upright lines end where the rows do; where they run on through the heading, a page may be refused."""
    sheet, _, ruled = class_list()
    cv2.line(sheet, (50, TOP - ROW), (540, TOP - ROW), (0,), 2)
    if boxed:
        for x in (50, 360, 450, 540):
            cv2.line(sheet, (x, TOP - ROW), (x, TOP), (0,), 2)
    try:
        (found,) = register(seen(filled(sheet), true), ruled)
    except RegistrationError:
        assert boxed
        return
    assert off(found, ruled, true) < 1 / 3


def test_four_squares_alone_do_not_tell_up_from_down(tmp_path: Path, shipped_model: str) -> None:
    marks = [{"x": x, "y": y, "size": 20} for x, y in ((40, 40), (560, 40), (40, 810), (560, 810))]
    fields = [{"name": "a", "box": [300, 200, 120, 50], "frame": False}]
    spec = PageSpec.model_validate({"size": [W, H], "marks": marks, "fields": fields})
    sheet = np.full((H, W), 255, np.uint8)
    for x, y in ((40, 40), (560, 40), (40, 810), (560, 810)):
        sheet[y - 10 : y + 10, x - 10 : x + 10] = 0
    cv2.putText(sheet, "Delivery note", (60, 120), 0, 1.0, (0,), 2)
    assert {one.turn for one in register(sheet, spec)} == {0, 180}
    (tmp_path / "t.json").write_text(json.dumps({"name": "t", "pages": [spec.model_dump(mode="json")]}))
    (blank,) = Reader(tmp_path / "t.json").read_page(sheet).fields  # either way up
    assert blank.state == "blank"
    (found,) = register(np.ascontiguousarray(sheet[::-1, ::-1]), spec.model_copy(update={"reference": "e.png"}), sheet)
    assert found.turn == 180


@pytest.mark.parametrize("axis", [0, 1])
def test_a_page_in_a_mirror_is_not_read(axis: int, tmp_path: Path, shipped_model: str) -> None:
    """Its lines are the same in one, and many digits look like digits."""
    sheet, _, spec = class_list()
    (tmp_path / "t.json").write_text(json.dumps({"name": "t", "pages": [spec.model_dump(mode="json")]}))
    page, values = sheet.copy(), [("83", "70", "35", "92")[i % 4] for i in range(len(NAMES))]
    for i, value in enumerate(values):
        cv2.putText(page, value, (375, TOP + ROW * i + 31), 0, 0.9, (70,), 2, cv2.LINE_AA)
    reader = Reader(tmp_path / "t.json")
    assert [f.value for f in reader.read_page(seen(page, moved(0.5, 0.98))).fields] == values
    assert "mirror" in reader.read_page(seen(np.flip(page, axis), moved(0.5, 0.98))).error


def test_a_model_that_reads_a_page_neither_way_finds_no_mirror() -> None:
    def page(sure: float) -> list[FieldReading]:
        return [FieldReading(f"f{k}", "0", "0", "written", sure) for k in range(12)]

    assert not is_mirrored(page(0.01), page(0.1))
    assert is_mirrored(page(0.01), page(0.97)) and not is_mirrored(page(0.97), page(0.97))


def test_print_that_looks_like_numbers_upside_down_does_not_tell_the_way_up(tmp_path: Path, shipped_model: str) -> None:
    """Marks are the same both ways; upside down the fields lie on printed numbers, more than were written."""
    corners = ((40, 40), (560, 40), (40, 810), (560, 810))
    fields = [{"name": f"f{k}", "box": [420, 120 + 70 * k, 100, 50], "digits": [1, 3]} for k in range(9)]
    marks = [{"x": x, "y": y, "size": 20} for x, y in corners]
    spec = {"size": [W, H], "marks": marks, "fields": [field | {"frame": False} for field in fields]}
    (tmp_path / "t.json").write_text(json.dumps({"name": "t", "pages": [spec]}))
    sheet = np.full((H, W), 255, np.uint8)
    for x, y in corners:
        sheet[y - 10 : y + 10, x - 10 : x + 10] = 0
    for k in range(9):
        cv2.putText(sheet, "80"[k % 2], (125, 160 + 70 * k), 0, 1.1, (0,), 2, cv2.LINE_AA)
        if k < 5:
            cv2.putText(sheet, "247"[k % 3], (455, 160 + 70 * k), 0, 1.1, (190,), 2, cv2.LINE_AA)
    reader = Reader(tmp_path / "t.json")
    for page in (sheet, np.ascontiguousarray(sheet[::-1, ::-1])):
        came = {field.name: field.value for field in reader.read_page(page).fields}
        assert not came or sum(came[f"f{k}"] == "247"[k % 3] for k in range(5)) >= 4


@pytest.mark.parametrize("written", ["everywhere", "where no sample looks"])
def test_a_page_of_many_fields_is_told_from_itself_upside_down(
    tmp_path: Path, shipped_model: str, written: str
) -> None:
    corners = ((40, 40), (560, 40), (40, 810), (560, 810))
    boxes = [(90 + 90 * (k % 5), 90 + 56 * (k // 5), 40, 40) for k in range(60)]
    fields = [{"name": f"f{k}", "box": box, "cells": 1, "digits": [0, 1]} for k, box in enumerate(boxes)]
    marks = [{"x": x, "y": y, "size": 20} for x, y in corners]
    (tmp_path / "t.json").write_text(
        json.dumps({"name": "t", "pages": [{"size": [W, H], "marks": marks, "fields": fields}]})
    )
    sheet = np.full((H, W), 255, np.uint8)
    for x, y in corners:
        sheet[y - 10 : y + 10, x - 10 : x + 10] = 0
    truth = {}
    for k, (x, y, w, h) in enumerate(boxes):
        cv2.rectangle(sheet, (x, y), (x + w, y + h), (0,), 2)
        if written == "everywhere" or k % 2:
            truth[f"f{k}"] = "2347"[k % 4]
            cv2.putText(sheet, truth[f"f{k}"], (x + 11, y + 31), 0, 1.0, (60,), 2, cv2.LINE_AA)
    reader = Reader(tmp_path / "t.json")
    for page in (sheet, np.ascontiguousarray(sheet[::-1, ::-1])):
        came = {field.name: field.value for field in reader.read_page(page).fields}
        assert sum(came[name] == value for name, value in truth.items()) >= 0.9 * len(truth)


def test_paper_that_is_folded_between_its_corner_marks_is_laid() -> None:
    """Marks stay where they are; the boxes are so far from where these have them that they fit as well upside down."""
    sheet, boxes = np.full((H, W), 255, np.uint8), [(430.0, 150.0 + 46 * k, 90.0, 30.0) for k in range(12)]
    marks = [{"x": x, "y": y, "size": 18} for x in (40, 560) for y in (40, 810)]
    fields = [{"name": f"r{k}", "box": box, "cells": 3} for k, box in enumerate(boxes)]
    spec = PageSpec.model_validate({"size": [W, H], "marks": marks, "fields": fields})
    for x, y in ((x, y) for x in (40, 560) for y in (40, 810)):
        cv2.rectangle(sheet, (x - 9, y - 9), (x + 9, y + 9), (0,), -1)
    for x, y in ((x, int(box[1])) for box in boxes for x in (430, 460, 490)):
        cv2.rectangle(sheet, (x, y), (x + 30, y + 30), (0,), 2)
    across, down = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32))
    away = 20 * (1 - np.abs(down - H / 2) / (H / 2 - 40))
    folded = cv2.remap(sheet, across, np.asarray(down - away, np.float32), cv2.INTER_LINEAR, borderValue=(255,))
    found = register(seen(np.asarray(folded, np.uint8), moved(0, 1)), spec)[0]
    assert found.turn == 0
    for x, y, w, h in boxes:
        middle = project(np.array([[x + w / 2, y + h / 2]]), found.map_of((x, y, w, h)))[0]
        assert abs(middle[1] - (y + h / 2 + away[int(middle[1]), 0])) < h / 4


def grid_of_marks() -> tuple[Gray, PageSpec]:
    """A list of 30 pupils with four columns for marks, filled in; and its template, with its lines."""
    wide, high, top, row, columns = 827, 1170, 210, 29, (55, 95, 385, 480, 575, 670, 765)
    sheet = np.full((high, wide), 255, np.uint8)
    lines = [(55, top + row * k, 765, top + row * k) for k in range(31)]
    lines += [(x, top, x, top + 30 * row) for x in columns]
    for a, b, c, d in [*lines, (55, top - 28, 765, top - 28)]:
        cv2.line(sheet, (a, b), (c, d), (0,), 1, cv2.LINE_AA)
    for k, y in enumerate(range(top, top + 30 * row, row)):
        name = f"{NAMES[k % 13]} {NAMES[(5 * k + 3) % 13]}"
        cv2.putText(sheet, name, (103, y + 20), 0, 0.5, (0,), 1, cv2.LINE_AA)
        for x in columns[2:6]:
            cv2.putText(sheet, str(17 + k), (x + 25, y + 22), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 0.6, (40,))
    boxes = [(x, y, 95, row) for y in range(top, top + 30 * row, row) for x in columns[2:6]]
    fields = [{"name": f"r{k}", "box": box, "digits": [1, 3]} for k, box in enumerate(boxes)]
    return sheet, PageSpec.model_validate({"size": [wide, high], "lines": lines, "fields": fields})


def crease(u: Matrix) -> tuple[Matrix, Matrix]:
    """Two halves that lean by so many radians to the glass: how far along and how high each point lies, in lengths."""
    lean = np.where(u < 0.5, 0.3, 0.2)
    return (u - 0.5) * np.cos(lean), np.abs(u - 0.5) * np.sin(lean)


def spine(u: Matrix) -> tuple[Matrix, Matrix]:
    """A page that rises from its middle to its head and foot, as over a spine."""
    return np.sin(1.1 * (u - 0.45)) / 1.1, (1 - np.cos(1.1 * (u - 0.45))) / 1.1


@pytest.mark.parametrize("shape", [crease, spine])
def test_a_bent_grid_is_not_laid_a_row_aside(shape: Callable[[Matrix], tuple[Matrix, Matrix]]) -> None:
    """The place that is right fits badly at first; its rivals, laid from there, fit better, and it better than them."""
    sheet, spec = grid_of_marks()
    high, wide = sheet.shape
    at = np.linspace(0, high, 2000)
    flat, rise = shape(at / high)
    there = 0.02 * high + 0.96 * high * (flat - flat[0]) / (flat[-1] - flat[0])
    far = 1 + rise / 3  # seen from three times the page's height above it
    across, down = np.meshgrid(np.arange(wide, dtype=np.float64), np.arange(high, dtype=np.float64))
    back = np.interp(down, there, at, -1e4, 1e4)
    across = wide / 2 + ((across - 0.02 * wide) / 0.96 - wide / 2) * np.interp(back, at, far)
    maps = across.astype(np.float32), back.astype(np.float32)
    bent = np.asarray(cv2.remap(sheet, *maps, cv2.INTER_LINEAR, borderValue=(255,)), np.uint8)
    found = register(seen(bent, np.eye(3), (wide, high)), spec)[0]
    for x, y, w, h in (field.box for field in spec.fields):
        middle = project(np.array([[x + w / 2, y + h / 2]]), found.map_of((x, y, w, h)))[0]
        assert abs(middle[1] - np.interp(y + h / 2, at, there)) < h / 4


def test_blank_black_and_tiny_pages_say_so() -> None:
    sheet, spec, _ = class_list()
    with pytest.raises(UnknownFormError):
        register(seen(np.full((H, W), 255, np.uint8), moved(0, 1)), spec, sheet)
    with pytest.raises(RegistrationError):
        register(np.zeros((H, W), np.uint8), spec, sheet)
    with pytest.raises(RegistrationError, match="50 x 50"):
        register(sheet[:50, :50], spec, sheet)


def test_another_form_is_unknown() -> None:
    sheet, spec, _ = class_list()
    other = np.full((H, W), 255, np.uint8)
    for i in range(18):
        cv2.putText(other, f"Invoice line {i * 37} of order {i}", (50, 60 + 43 * i), 0, 0.7, (0,), 2)
    with pytest.raises(UnknownFormError, match="is it this form"):
        register(other, spec, sheet)


def test_another_version_of_the_form_is_no_page_of_it() -> None:
    """Some of its boxes are gone; all else lies where it should, and may mean something else."""
    sheet, spec, _ = class_list()
    version = filled(sheet)
    version[TOP + ROW * (len(NAMES) - 4) + 3 :, 353:458] = 255
    with pytest.raises(UnknownFormError, match=r"[34] of its 13 fields .* is it another version of the form"):
        register(seen(version, np.eye(3)), spec, sheet)


@pytest.mark.parametrize("known", ["picture", "lines"])
@pytest.mark.parametrize("change", ["its box is gone", "its box is half as wide"])
def test_a_version_that_differs_in_one_box_leaves_that_field_in_doubt(change: str, known: str) -> None:
    sheet, pictured, ruled = class_list()
    page, top = filled(sheet), TOP + ROW * 6
    page[top + 3 : top + ROW - 2, 448:453] = 255
    if change == "its box is half as wide":
        cv2.line(page, (405, top), (405, top + ROW), (0,), 2)
    else:
        page[top + 3 : top + ROW - 2, 358:363] = 255
    spec, reference = (pictured, sheet) if known == "picture" else (ruled, None)
    laid = register(seen(page, moved(1, 0.97)), spec, reference)[0]
    assert laid.fields["r6"] < 0.8
    assert all(sure > 0.9 for name, sure in laid.fields.items() if name != "r6")


@pytest.mark.parametrize("known", ["picture", "lines"])
def test_a_version_without_walls_between_cells_leaves_its_fields_in_doubt(known: str) -> None:
    free, pictured, ruled = class_list()
    spec, walled = pictured if known == "picture" else ruled, free.copy()
    spec = spec.model_copy(update={"fields": tuple(f.model_copy(update={"cells": 2}) for f in spec.fields)})
    cv2.line(walled, (405, TOP), (405, TOP + ROW * len(NAMES)), (0,), 2)
    own, other = (
        register(seen(filled(sheet), moved(1, 0.97)), spec, walled if known == "picture" else None)[0]
        for sheet in (walled, free)
    )
    assert all(sure > 0.9 for sure in own.fields.values())
    assert all(sure < 0.8 for sure in other.fields.values())


def test_a_line_that_lacks_tells_little_where_lines_are_faint_all_over() -> None:
    plain, faint = [0.9] * 12, [0.9] * 6 + [0.4] * 6
    none = np.full(13, np.nan)
    assert frame_probability(np.array([*plain, 0.0]), none)[-1] < 0.8
    assert frame_probability(np.array([*faint, 0.0]), none)[-1] > 0.9
    assert (frame_probability(np.array([*plain, np.nan]), none) == 1).all()


def test_walls_that_lack_between_all_cells_say_so_unless_they_fade() -> None:
    sides = np.full(12, 0.95)
    assert (frame_probability(sides, np.zeros(12)) < 0.8).all()
    assert (frame_probability(sides, np.full(12, 0.9)) == 1).all()
    assert (frame_probability(sides, np.array([0.1] * 4 + [0.5] * 8))[:4] > 0.9).all()


@pytest.mark.parametrize("turn", [0, 1])
def test_a_fax_with_half_as_many_rows_as_columns_is_laid(turn: int) -> None:
    """Standard resolution has 204 x 98 dots to the inch; nothing in the picture says so."""
    sheet, spec, _ = class_list()
    large = cv2.resize(filled(sheet), (2 * W, H), interpolation=cv2.INTER_AREA)
    bits = np.where(seen(large, np.eye(3), (2 * W, H)) > 170, 255, 0).astype(np.uint8)
    true = np.diag([2.0, 1.0, 1.0])
    if turn:
        bits, true = np.ascontiguousarray(np.rot90(bits, -1)), quarter_turn(1, (2 * W, H)) @ true
    assert off(register(bits, spec, sheet)[0], spec, true) < 1 / 3


def test_a_clean_scan_of_a_grid_is_not_taken_for_a_squashed_fax() -> None:
    """White paper and thin lines have as few grays as a fax; squashed to half, every second line would fit."""
    rows, columns = [207 + round(47.6 * k) for k in range(9)], [290 + 105 * k for k in range(6)]
    lines = [[290, y, 815, y] for y in rows] + [[x, rows[0], x, rows[-1]] for x in columns]
    boxes = [(x, y, 105, rows[k + 1] - y) for k, y in enumerate(rows[:-1]) for x in columns[:-1]]
    fields = [{"name": f"f{k}", "box": box, "digits": [1, 2]} for k, box in enumerate(boxes)]
    spec = PageSpec.model_validate({"size": [1240, 1754], "lines": lines, "fields": fields})
    sheet = np.full((1754, 1240), 250, np.uint8)
    for y in [*rows, rows[-1] + 46]:
        cv2.line(sheet, (290, y), (815, y), (110,), 1, cv2.LINE_AA)
    for x in columns:
        cv2.line(sheet, (x, rows[0]), (x, rows[-1] + 46), (110,), 1, cv2.LINE_AA)
    for k, (x, y, _, _) in enumerate(boxes):
        text = str(k // 5 * 7 % 90 + k % 5 * 13 + 5)
        cv2.putText(sheet, text, (x + 20, y + 36), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.1, (60,), 2, cv2.LINE_AA)
    true = moved(0.6, 0.995)
    page = np.asarray(cv2.warpPerspective(sheet, true, (1240, 1754), borderValue=(243,)), np.uint8)
    try:
        laid = register(page, spec)
    except RegistrationError:
        return
    assert min(off(one, spec, true) for one in laid) < 1 / 3


@pytest.mark.parametrize("rows_off", [-1, 1])
def test_a_place_a_row_aside_is_no_rival_of_the_place_that_all_lines_tell(rows_off: int) -> None:
    """A grid known by its lines alone fits nearly as well a row aside; what is at one of the two places alone tells."""
    sheet, _, spec = class_list()
    known, scan = Reference(spec, None), Scan(seen(filled(sheet), np.eye(3)))
    place, aside = Place(np.eye(3)), refine(scan, known, moved(0, 1, 0, rows_off * ROW), NEAR)
    here, there = fine(scan, known, place), fine(scan, known, aside)
    over, under = lead(here, there, known, place, aside) or (0, 0)
    assert over > 0.5 and under < -0.25
    assert lead(here, here, known, place, place) is None


def test_a_field_that_is_cut_off_by_the_scanner_is_not_said_to_be_blank() -> None:
    sheet, spec, _ = class_list()
    cut_off = TOP + ROW * 1.5
    laid = register(seen(filled(sheet), moved(0, 1, 0, -cut_off)), spec, sheet)[0]
    names = [field.name for field in spec.fields]
    assert laid.fields[names[0]] < 0.1 < 0.9 < laid.fields[names[4]]


def test_fields_that_were_torn_off_are_no_other_version() -> None:
    sheet, spec, _ = class_list()
    torn = seen(filled(sheet), np.eye(3))
    cv2.fillPoly(torn, [np.array([[700, 560], [340, 560], [340, 700], [700, 700]])], (10,))
    assert register(torn, spec, sheet)[0].quality > 0.9


def reading(confidence: float, value: str = "7") -> FieldReading:
    state = "written" if value else "blank"
    return FieldReading("a", value, value, state, confidence, (Candidate(value, confidence),))  # type: ignore[arg-type]


def test_numbers_tell_the_way_up_and_blanks_do_not() -> None:
    sure, unsure, blank = reading(0.98), reading(0.4), reading(0.99, "")
    assert way_up([[unsure] * 5, [sure] * 5]) == 1
    with pytest.raises(RegistrationError, match="way up"):
        way_up([[sure] * 2, [blank] * 2])
    with pytest.raises(RegistrationError, match="way up"):
        way_up([[sure], [reading(0.9)]])


def test_a_few_fields_must_be_surer_of_the_way_up_than_all() -> None:
    """Two fields tell by 8.6 nats: enough where they are all that there is, not where more may be read."""
    few = [[reading(0.4)] * 2, [reading(0.98)] * 2]
    assert way_up(few) == 1
    with pytest.raises(RegistrationError, match="way up"):
        way_up(few, least=10.0)
    assert way_up([way * 2 for way in few], least=10.0) == 1


def test_a_field_that_may_lie_wrong_is_as_unsure_as_that() -> None:
    made = less_sure(reading(0.9), 0.5)
    assert made.confidence == pytest.approx(0.45)
    assert made.candidates[0].probability == pytest.approx(0.45)


def test_a_page_laid_by_hand_is_no_other_version() -> None:
    """A person saw to it: boxes that are missing cost their own fields only."""
    sheet, spec, _ = class_list()
    version = filled(sheet)
    version[TOP + ROW * (len(NAMES) - 4) + 3 :, 353:458] = 255
    laid = lay_at(seen(version, np.eye(3)), spec, np.eye(3), sheet)
    assert laid.fields["r12"] < 0.1 < 0.4 < laid.fields["r0"]


def test_lines_that_are_hardly_seen_tell_little_of_a_rival() -> None:
    """The rival shows as much of the whole and of the level lines; upright ones are noise at both places."""
    faint, plain = (0.5, 0.6, 0.05), (0.5, 0.6, 0.5)
    assert margin_over(faint, (0.5, 0.6, 0.02), (0.2, 0.2, 0.2)) < 0.3
    assert margin_over(plain, (0.5, 0.6, 0.2), (0.2, 0.2, 0.2)) == pytest.approx(0.6 / 0.24)
    assert margin_over(plain, plain, (0.2, 0.2, 0.2)) == 0


def bare_grid(top: int) -> tuple[Gray, PageSpec]:
    """Nothing but a grid of ten rows, whose first line is so many pixels below the top; known by its picture."""
    rows, columns = [top + 40 * i for i in range(11)], [60 + 60 * i for i in range(9)]
    sheet = np.full((H, W), 255, np.uint8)
    for x1, y1, x2, y2 in [(60, y, 540, y) for y in rows] + [(x, top, x, rows[-1]) for x in columns]:
        cv2.line(sheet, (x1, y1), (x2, y2), (0,), 2)
    boxes = [(x, y) for y in rows[:-1] for x in columns[:-1]]
    fields = [{"name": f"f{i}", "box": [x, y, 60, 40], "digits": [0, 1]} for i, (x, y) in enumerate(boxes)]
    return sheet, PageSpec.model_validate({"size": [W, H], "reference": "empty.png", "fields": fields})


@pytest.mark.parametrize("top", [60, 130, 225])
@pytest.mark.parametrize("turn", [0, 180])
def test_a_grid_away_from_the_middle_of_its_page_is_not_laid_upside_down_alone(top: int, turn: int) -> None:
    sheet, spec = bare_grid(top)
    true = np.array([[1, 0, 130], [0, 1, 190], [0, 0, 1]]) @ moved(turn + 0.6, 1)
    ways = register(seen(sheet, true, (round(1.41 * W), round(1.41 * H))), spec, sheet)
    assert min(off(way, spec, true) for way in ways) < 1 / 3


def test_a_grid_that_would_lie_beside_the_glass_upside_down_has_one_way_up() -> None:
    sheet, spec = bare_grid(60)
    (way,) = register(seen(sheet, moved(0.6, 0.99)), spec, sheet)
    assert off(way, spec, moved(0.6, 0.99)) < 1 / 3


@pytest.mark.parametrize("rows_off", [0, 1])
@pytest.mark.parametrize("turn", [0, 180])
def test_rows_that_fit_a_longer_table_in_two_ways_are_refused_or_right(rows_off: int, turn: int) -> None:
    """One row more than the template knows, above or below, found by a place that is upside down first."""
    sheet, _, ruled = class_list()
    y = TOP - ROW if rows_off else TOP + ROW * (len(NAMES) + 1)
    for x1, y1, x2, y2 in [(50, y, 540, y)] + [(x, TOP - ROW, x, y) for x in (50, 360, 450, 540)]:
        cv2.line(sheet, (x1, max(y1, y if rows_off else TOP)), (x2, max(y2, TOP)), (0,), 2)
    true = moved(turn + 0.5, 0.97, 0, -20)
    try:
        (found,) = register(seen(filled(sheet), true), ruled)
    except RegistrationError as e:
        assert "could lie" in str(e)
        return
    assert off(found, ruled, true) < 1 / 3


@pytest.mark.parametrize("aside", [-45, -20, 25])
@pytest.mark.parametrize("known", ["picture", "lines"])
def test_a_column_whose_border_stands_elsewhere_is_another_version(aside: int, known: str) -> None:
    sheet, pictured, ruled = class_list()
    bottom = TOP + ROW * len(NAMES)
    page = sheet.copy()
    page[TOP + 2 : bottom - 1, 447:454] = 255
    for y in range(TOP, bottom + 1, ROW):
        cv2.line(page, (430, y), (470, y), (0,), 2)
    cv2.line(page, (450 + aside, TOP), (450 + aside, bottom), (0,), 2)
    spec, reference = (pictured, sheet) if known == "picture" else (ruled, None)
    with pytest.raises(UnknownFormError, match="another version"):
        register(seen(filled(page), moved(0.5, 0.98)), spec, reference)


def test_a_table_that_has_a_row_less_is_another_version() -> None:
    lines = [[60, 60 + 40 * i, 540, 60 + 40 * i] for i in range(16)] + [
        [60 + 120 * i, 60, 60 + 120 * i, 660] for i in range(5)
    ]
    boxes = [(60 + 120 * c, 60 + 40 * r) for r in range(15) for c in range(4)]
    fields = [{"name": f"f{i}", "box": [x, y, 120, 40], "digits": [0, 1]} for i, (x, y) in enumerate(boxes)]
    spec = PageSpec.model_validate({"size": [W, H], "lines": [*lines, [60, 780, 300, 780]], "fields": fields})
    sheet = np.full((H, W), 255, np.uint8)
    cv2.line(sheet, (60, 780), (300, 780), (0,), 2)
    for x1, y1, x2, y2 in lines[:15] + lines[16:]:
        cv2.line(sheet, (x1, y1), (x2, min(y2, 620)), (0,), 2)
    with pytest.raises(RegistrationError):
        register(seen(sheet, moved(0.5, 0.98)), spec)
