"""What is proposed for a template: on drawn pages, on the bundled telegrams, and on real forms where they are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from inkshift.forms.design.landmarks import corner_marks
from inkshift.forms.design.propose import Proposal, propose, straighten, table_fields
from inkshift.forms.design.starter import start
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.register import register
from inkshift.forms.template import Box, load_template

Pixels = npt.NDArray[np.uint8]


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, of the area of both together."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def covered(wanted: Sequence[Box], given: Proposal) -> tuple[float, int]:
    """Share of the boxes wanted that a proposed one covers by half or more, and how many proposed cover none."""
    hits = np.array([[overlap(a, spec.box) >= 0.5 for spec in given.fields] for a in wanted], bool)
    return float(hits.any(1).mean()), int((~hits.any(0)).sum())


def of_template(page: Path, template: Path) -> tuple[float, int]:
    """How the proposals for a page, straightened and the right way up, cover the fields of a template made by hand."""
    spec = load_template(template).pages[0]
    flat = straighten(load_page(PageRef(str(page), 1)))
    laid = register(flat, spec)[0]
    corners = (np.array([[x, y], [x + w, y + h]], np.float64) for x, y, w, h in (f.box for f in spec.fields))
    placed = [project(two, laid.matrix) for two in corners]
    return covered([(*a, *(b - a)) for a, b in placed], propose(laid.image))


def sheet(tilt: float = 0.0, marks: bool = True) -> Pixels:
    """A page with a free box, a row of four cells, a table of four rows with labels, and print."""
    page = np.full((1400, 1000), 250, np.uint8)
    if marks:
        for x, y in ((60, 60), (910, 60), (60, 1310), (910, 1310)):
            page[y : y + 30, x : x + 30] = 10
    for x, y, w, h in BOXES:
        cv2.rectangle(page, (x, y), (x + w, y + h), (20,), 3)
    for i in range(1, 4):
        cv2.line(page, (300 + 50 * i, 400), (300 + 50 * i, 460), (20,), 3)
    for i in range(4):
        cv2.rectangle(page, (100, 700 + 60 * i), (700, 760 + 60 * i), (20,), 3)
        cv2.putText(page, f"Party number {i}", (120, 740 + 60 * i), 0, 0.9, (0,), 2)
    turn = cv2.getRotationMatrix2D((500, 700), tilt, 1.0)
    return np.asarray(cv2.warpAffine(page, turn, (1000, 1400), borderValue=(250,)), np.uint8)


BOXES = ((100, 250, 150, 60), (300, 400, 200, 60), *((700, 700 + 60 * i, 140, 60) for i in range(4)))


def test_free_boxes_rows_of_cells_and_columns_of_tables_become_fields_and_print_does_not() -> None:
    found = propose(sheet())
    assert len(found.marks) == 4
    assert [spec.cells for spec in found.fields] == [0, 4, 0, 0, 0, 0]
    assert [spec.name for spec in found.fields] == ["f01", "f02", "f03", "f04", "f05", "f06"]
    assert found.fields[1].digits == (0, 4)
    for spec, box in zip(found.fields, BOXES, strict=True):
        assert np.abs(np.array(spec.box) - box).max() <= 2


@pytest.mark.parametrize("cells", [3, 4, 5])
def test_a_row_of_cells_below_boxes_of_its_width_stays_a_row_of_cells(cells: int) -> None:
    page = np.full((1400, 1000), 250, np.uint8)
    for i in range(4):
        cv2.rectangle(page, (700, 300 + 60 * i), (700 + 45 * cells, 360 + 60 * i), (20,), 3)
    for i in range(cells):
        cv2.rectangle(page, (700 + 45 * i, 550), (745 + 45 * i, 610), (20,), 3)
    assert [spec.cells for spec in propose(page).fields] == [0, 0, 0, 0, cells]


def invoice() -> tuple[Pixels, list[Box]]:
    """A page with boxes for name and street, a table of what was bought, and totals; and where its numbers go."""
    page = np.full((1400, 1000), 250, np.uint8)

    def box(x: int, y: int, w: int, h: int, text: str = "", size: float = 0.8) -> Box:
        cv2.rectangle(page, (x, y), (x + w, y + h), (20,), 3)
        cv2.putText(page, text, (x + 10, y + h - 12), 0, size, (0,), 2)
        return x, y, w, h

    box(80, 60, 840, 60, "INVOICE")
    cv2.putText(page, "No.", (560, 190), 0, 0.9, (0,), 2)
    numbers = [box(620, 150, 300, 50)]
    for i, text in enumerate(("Name", "Street")):
        cv2.putText(page, text, (80, 290 + 70 * i), 0, 0.9, (0,), 2)
        box(220, 250 + 70 * i, 700, 55)
    columns = ((80, 380, "Article"), (460, 130, "Pieces"), (590, 330, "Amount in all"))
    for x, w, text in columns:
        box(x, 450, w, 50, text)
    for row in range(5):
        for x, w, _ in columns:
            numbers += [box(x, 500 + 52 * row, w, 52)] * (x > 80)
    for i, text in enumerate(("Without tax", "Tax", "TOTAL")):
        box(80, 820 + 60 * i, 510, 60, text)
        numbers.append(box(590, 820 + 60 * i, 330, 60, "$"))
    box(80, 1050, 840, 50)
    box(80, 1100, 380, 60, "Signature of seller")
    return page, numbers


def test_wide_boxes_of_amounts_become_fields_and_headings_names_and_whole_rows_do_not() -> None:
    page, numbers = invoice()
    assert covered(numbers, propose(page)) == (1.0, 0)


def test_a_wide_box_that_is_written_in_is_a_field_and_one_with_a_word_is_not() -> None:
    page, numbers = invoice()
    for i, (x, y, _, h) in enumerate(numbers[-3:]):
        start = int(x) + 80, int(y + h) - 10
        cv2.putText(page, str(170_412 + 3_571 * i), start, cv2.FONT_HERSHEY_SIMPLEX, 1.6, (90,), 4)
    assert covered(numbers, propose(page)) == (1.0, 0)
    (x, y, _, h), rest = numbers[-1], numbers[:-1]
    page[int(y) + 4 : int(y + h) - 4, int(x) + 60 : int(x) + 326] = 250
    cv2.putText(page, "in words", (int(x) + 80, int(y + h) - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0,), 2)
    assert covered(rest, propose(page)) == (1.0, 0)


def test_the_amount_of_a_cheque_becomes_a_field() -> None:
    page = np.full((620, 1400), 250, np.uint8)
    cv2.putText(page, "CLP", (860, 150), 0, 1.0, (0,), 2)
    boxes = [(940, 100, 420, 72)]
    cv2.rectangle(page, (940, 100), (1360, 172), (20,), 3)
    for i, text in enumerate(("Pay to", "the sum of")):
        cv2.putText(page, text, (60, 270 + 90 * i), 0, 0.9, (0,), 2)
        cv2.rectangle(page, (260, 220 + 90 * i), (1360, 285 + 90 * i), (20,), 2)
    assert covered(boxes, propose(page)) == (1.0, 0)


@settings(max_examples=8, phases=[Phase.generate])
@given(st.floats(-3, 3), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_page_that_lies_askew_is_laid_straight_and_its_boxes_found(tilt: float, marks: bool, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 6, (1400, 1000))
    page = np.clip(sheet(tilt, marks) + noise, 0, 255).astype(np.uint8)
    flat = straighten(page)
    found = propose(flat)
    assert [spec.cells for spec in found.fields] == [0, 4, 0, 0, 0, 0]
    if marks:
        a, b, c, d = corner_marks(flat)
        assert max(abs(a.y - b.y), abs(c.y - d.y), abs(a.x - c.x), abs(b.x - d.x)) < 1.5
    else:
        assert not found.marks and len({round(line[1]) for line in found.lines}) > 1


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 255), st.booleans())
def test_any_picture_gives_a_proposal(h: int, w: int, gray: int, colour: bool) -> None:
    page = np.full((h, w, 3) if colour else (h, w), gray, np.uint8)
    assert straighten(page).shape == page.shape
    assert propose(page).marks == ()


def test_a_straight_page_stays_as_it_is(telegram: Path) -> None:
    page = load_page(PageRef(str(telegram / "blank.png"), 1))
    assert straighten(page) is page


@pytest.mark.parametrize("page", ["blank.png", "scan-1.jpg", "scan-3.jpg", "scan-6.jpg"])
def test_all_boxes_of_the_telegrams_are_found_and_nothing_else(telegram: Path, page: str) -> None:
    assert of_template(telegram / page, telegram / "template.json") == (1.0, 0)


def test_most_boxes_of_real_forms_are_found(shared_data: Path, telegram: Path) -> None:
    """Of the false ones three to a page are true: the boxes of the date, which the template leaves out."""
    pages = sorted((shared_data / "c1" / "pages").glob("*.jpg"))
    found = [of_template(page, telegram.parent / "c1" / "template.json") for page in pages]
    shares, false = zip(*found, strict=True)
    print(f"C1, {len(pages)} pages: {np.mean(shares):.0%} of the fields found, {np.mean(false):.1f} others a page")
    assert np.mean(shares) > 0.85 and np.mean(false) < 8


def test_a_low_picture_of_a_form_gives_a_template_as_well() -> None:
    picture = np.full((70, 200), 250, np.uint8)
    cv2.putText(picture, "TOTAL", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0,), 2)
    (example,) = start([picture], "low", "low.png").template.pages[0].fields
    assert example.name == "example" and min(example.box[2:]) >= 4


def test_the_cells_of_a_ruled_table_become_fields_named_by_row_and_column() -> None:
    page = np.full((460, 640), 250, np.uint8)
    for r in range(6):
        cv2.line(page, (40, 50 + 60 * r), (520, 50 + 60 * r), (90,), 2)
    for c in range(5):
        cv2.line(page, (40 + 120 * c, 50), (40 + 120 * c, 350), (90,), 2)
    for r in range(5):
        for c in range(4):
            where = 62 + 120 * c, 96 + 60 * r
            cv2.putText(page, str(100 + 17 * r + 211 * c), where, cv2.FONT_HERSHEY_SIMPLEX, 1.3, (20,), 3)
    fields = {field.name: field.box for field in table_fields(page)}
    assert sorted(fields) == [f"r{r:02}c{c}" for r in range(1, 6) for c in range(1, 5)]
    for name, box in fields.items():
        row, column = int(name[1:3]), int(name[4:])
        assert np.allclose(box, (40 + 120 * (column - 1), 50 + 60 * (row - 1), 120, 60), atol=8)


def test_a_page_without_a_table_gives_no_cells() -> None:
    assert table_fields(np.full((300, 200), 250, np.uint8)) == ()


def test_what_lies_between_wide_boxes_is_no_table_of_them() -> None:
    """No grid that a table finder lays over a page is taken for its printed boxes."""
    page = np.full((1400, 1000), 255, np.uint8)
    for k, name in enumerate(("Wheat", "Barley", "Oats", "Total")):
        cv2.putText(page, name, (80, 265 + 140 * k), 0, 1.1, (0,), 2)
        cv2.rectangle(page, (420, 220 + 140 * k), (780, 282 + 140 * k), (0,), 2)
    fields = start([page], "ledger", "ledger.png").template.pages[0].fields
    assert [tuple(round(v) for v in field.box) for field in fields] == [(420, 220 + 140 * k, 360, 62) for k in range(4)]
