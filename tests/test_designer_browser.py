"""A template designed in a real browser, from an uploaded page to readings."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkshift.forms.reader import Reader
from inkshift.forms.template import load_template
from inkshift.review.app import AppSettings
from inkshift.review.core.store import Store
from review_browser import answering, chromium, needs_chromium, said, store, sync_api, tab

__all__ = ["chromium", "said", "store"]

pytestmark = needs_chromium


@contextmanager
def designing(
    chromium: sync_api.Browser, store: Store, said: list[str], page_file: Path
) -> Iterator[tuple[sync_api.Page, Path]]:
    """A browser in which a template of a page was begun, and the template's folder; both go at the end."""
    with tempfile.TemporaryDirectory() as folder, answering(store, AppSettings(files=Path(folder))) as address:
        page = tab(chromium, address, said)
        page.goto("/templates")
        page.get_by_label("Name of the form").fill("Form")
        page.get_by_label("Page: PDF").set_input_files(page_file)
        page.get_by_role("button", name="Begin").click()
        page.wait_for_url("**/templates/1")
        page.locator("#canvas .p-box").first.wait_for()
        yield page, Path(folder) / "templates" / "1"
        page.close()


def saved(page: sync_api.Page) -> None:
    page.get_by_text("Saved; forms can be read with it").wait_for()


def fields(page: sync_api.Page) -> list[list[Any]]:
    """Name, x, y, width and height of each field, as the table has them."""
    rows = page.evaluate(
        "[...document.querySelectorAll('#all tbody tr')]"
        ".map((row) => [...row.querySelectorAll('input')].map((input) => input.value))"
    )
    return [[row[0], *map(float, row[1:5])] for row in rows]


_ON_SCREEN = """(canvas, [x, y, dx, dy]) => {
  canvas.parentElement.scrollTop = y * canvas.clientWidth / canvas.viewBox.baseVal.width - 100;
  const at = (x, y) => new DOMPoint(x, y).matrixTransform(canvas.getScreenCTM());
  return [at(x, y), at(x + dx, y + dy)].map((point) => [point.x, point.y]);
}"""


def drag(page: sync_api.Page, *given: float) -> None:
    """With the mouse from x, y of the template's page as far as dx, dy."""
    page.locator("#canvas").scroll_into_view_if_needed()
    start, end = page.locator("#canvas").evaluate(_ON_SCREEN, given)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def chosen(page: sync_api.Page, n: int) -> sync_api.Locator:
    field = page.locator(f"[data-at=field-{n}]")
    field.focus()
    page.keyboard.press("Enter")
    return field


def changed_by_keyboard_and_mouse(page: sync_api.Page) -> None:
    """Delete p10, bring it back as a copy of p09, push it about, and drag it home."""
    found = fields(page)
    chosen(page, 9)
    page.keyboard.press("Delete")
    assert len(fields(page)) == 12 and page.locator(".p-box").count() == 1
    page.keyboard.press("Control+z")
    assert len(fields(page)) == 13
    page.keyboard.press("Control+y")
    chosen(page, 8)
    page.keyboard.press("Control+d")
    again = fields(page)
    assert again[9][0] == "p10" and far(again[9], found[9]) < 3
    for key in ("ArrowRight", "Control+ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    x, y, w, h = again[9][1:]
    assert fields(page)[9][1:] == [x + 1, y - 10, w - 1, h]
    drag(page, x + w / 2, y, 0, 10)
    assert abs(fields(page)[9][2] - y) < 1.5


def drawn_anew(page: sync_api.Page, n: int, name: str) -> None:
    """Delete a field, draw it with the mouse, and name it in the table."""
    before = fields(page)[n]
    chosen(page, n)
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Draw").click()
    drag(page, *before[1:])
    drawn = fields(page)[n]
    assert far(drawn, before) < 3
    page.get_by_role("button", name="Select").click()
    page.get_by_label(f"Name {drawn[0]}", exact=True).fill(name)
    page.keyboard.press("Enter")


def far(a: list[Any], b: list[Any]) -> float:
    """The most that two fields differ in place or size."""
    return float(max(abs(p - q) for p, q in zip(a[1:], b[1:], strict=True)))


def rule_written(page: sync_api.Page) -> None:
    """The sum of the telegram, its names completed, after a slip that is pointed out."""
    rule = page.get_by_role("combobox", name="Rule 1")
    rule.press_sequentially("p01..p1")
    assert page.locator(".names [role=option]").all_inner_texts() == ["p10", "p11", "p12"]
    rule.press("ArrowUp")
    rule.press("Enter")
    rule.press_sequentially(" = toal")
    page.locator("#wrong-0", has_text="did you mean 'total'").wait_for()
    for _ in "toal":
        rule.press("Backspace")
    rule.press_sequentially("to")
    rule.press("ArrowDown")
    rule.press("Tab")
    assert rule.input_value() == "p01..p12 = total"


def test_a_telegram_is_designed_by_proposals_mouse_and_keyboard_and_read(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path
) -> None:
    with designing(chromium, store, said, telegram / "scan-1.jpg") as (page, folder):
        page.get_by_role("button", name="Take all that is proposed").click()
        page.get_by_label("Name of the first").fill("p01")
        page.keyboard.press("Enter")
        saved(page)
        assert [row[0] for row in fields(page)] == [f"p{n:02}" for n in range(1, 14)]
        changed_by_keyboard_and_mouse(page)
        drawn_anew(page, 12, "total")
        rule_written(page)
        page.get_by_label("The form is called after").select_option("barcode")
        saved(page)

        page.get_by_label("Pages").set_input_files([telegram / "scan-2.jpg"])
        page.get_by_role("button", name="Read").click()
        tried = page.locator(".tried")
        tried.wait_for(timeout=60_000)
        assert "T-0002" in tried.locator("h3").inner_text()
        assert tried.locator("tbody tr").count() == 13
        assert not page.locator("#tried .doubt").count()

        page.reload()
        assert [row[0] for row in fields(page)][-2:] == ["p12", "total"]
        scan = [telegram / "scan-4.jpg"]
        ours, theirs = (next(Reader(t).read(scan)) for t in (folder / "template.json", telegram / "template.json"))
    assert ours.name == theirs.name == "T-0004"
    same = [a.value == b.value for a, b in zip(ours.fields, theirs.fields, strict=True)]
    assert sum(same) >= 12 and ours["total"].value == theirs["total"].value


def test_marks_lines_and_rows_are_changed_and_undone(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path
) -> None:
    with designing(chromium, store, said, telegram / "blank.png") as (page, folder):
        page.locator("[data-proposal='0']").focus()
        page.keyboard.press("Enter")
        assert len(fields(page)) == 1
        page.get_by_label("Times").fill("9")
        page.get_by_label("Distance").fill("66")
        page.get_by_role("button", name="Repeat below").click()
        assert [row[0] for row in fields(page)] == [f"f{n:02}" for n in range(1, 11)]
        page.get_by_label("Cells, 0 for a free box", exact=True).fill("3")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Higher in the list: f10").click()
        assert [row[0] for row in fields(page)][-2:] == ["f10", "f09"]
        drag(page, 72, 1686, 5, 5)
        saved(page)
        written = load_template(folder / "template.json")
        assert written.fields[-2].cells == 3 and written.fields[-2].digits == (0, 3)
        assert written.pages[0].marks[2].x == pytest.approx(74.5, abs=2)
        page.get_by_label("printed lines").check()
        page.get_by_label("Line 1 x1").fill("101")
        page.keyboard.press("Enter")
        saved(page)
        page.wait_for_timeout(800)
        lines = load_template(folder / "template.json").pages[0]
        assert not lines.marks and lines.lines[0][0] == 101
        page.get_by_label("its picture").check()
        page.wait_for_timeout(800)
        saved(page)
        found = load_template(folder / "template.json").pages[0]
        assert (found.marks, found.lines, found.reference) == ((), (), "page-1-reference.png")
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        assert page.locator("#canvas .m-box").count() == 4


def test_a_page_that_lies_on_its_side_is_turned(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path, tmp_path: Path
) -> None:
    with Image.open(telegram / "blank.png") as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "aside.png")
        size = upright.size
    with designing(chromium, store, said, tmp_path / "aside.png") as (page, folder):
        page.get_by_role("button", name="New field").click()
        saved(page)
        box = fields(page)[0][1:]
        with page.expect_navigation():
            page.get_by_role("button", name="Turn by 90°").click()
        page.get_by_text("Boxes proposed: 13").wait_for()
        assert fields(page)[0][3:] == box[:1:-1]
        (made,) = load_template(folder / "template.json").pages
        assert made.size == pytest.approx(size, abs=3)
        with Image.open(folder / "page-1-reference.png") as printed:
            assert printed.size == made.size


def test_a_form_of_two_pages_is_designed_on_both(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path
) -> None:
    with designing(chromium, store, said, telegram / "blank.png") as (page, folder):
        page.get_by_role("button", name="Take all that is proposed").click()
        saved(page)
        page.get_by_text("Add a page").first.click()
        page.get_by_label("Page: PDF").set_input_files(telegram / "scan-2.jpg")
        page.get_by_role("button", name="Add a page").click()
        page.wait_for_url("**/templates/1#page-2")
        page.locator("#canvas image[href$='/pages/2.jpg']").wait_for()
        assert fields(page) == [] and page.locator("#page-number").input_value() == "1"
        page.get_by_role("button", name="New field").click()
        page.keyboard.press("Control+ArrowDown")
        page.get_by_label("The box is printed", exact=True).uncheck()
        page.locator("#problems li", has_text="told apart by their printed lines").wait_for()
        page.get_by_label("The box is printed", exact=True).check()
        saved(page)
        page.locator("#page-number").select_option("0")
        assert len(fields(page)) == 13
        assert [len(one.fields) for one in load_template(folder / "template.json").pages] == [13, 1]


@pytest.mark.slow
def test_a_real_form_is_designed_and_reads_others(
    chromium: sync_api.Browser, store: Store, said: list[str], shared_data: Path
) -> None:
    pages = shared_data / "c1" / "pages"
    with (shared_data / "c1" / "labels.csv").open(encoding="utf-8", newline="") as file:
        truth = {(row["form"], row["field"]): row["written"] for row in csv.DictReader(file)}
    with designing(chromium, store, said, pages / "c1-01.jpg") as (page, folder):
        page.get_by_role("button", name="Take all that is proposed").click()
        wide = page.evaluate("document.querySelector('#canvas').viewBox.baseVal.width")
        for n, row in reversed(list(enumerate(fields(page)))):
            if not (row[1] > 0.8 * wide and row[3] > 0.1 * wide and row[2] < 0.8 * wide):
                page.locator(f"[data-gone='{n}']").click()
        assert len(fields(page)) == 5
        for n, name in enumerate(("r01", "r02", "A", "B", "C")):
            page.locator(f"#all input[data-key=name][data-i='{n}']").fill(name)
            page.keyboard.press("Enter")
        page.get_by_role("combobox", name="Rule 1").fill("r01 + r02 = A")
        page.get_by_role("combobox", name="Rule 2").fill("A + B = C")
        page.wait_for_timeout(1500)
        saved(page)
        page.get_by_label("Pages").set_input_files([pages / "c1-02.jpg", pages / "c1-05.jpg"])
        page.get_by_role("button", name="Read").click()
        page.locator(".tried").nth(1).wait_for(timeout=60_000)
        assert page.locator(".tried tbody tr").count() == 10
        forms = list(Reader(folder / "template.json").read([pages]))
    right = [item.written == truth[form.name, item.name] for form in forms for item in form.fields]
    print(f"C1 by a designed template: {sum(right)} of {len(right)} fields right, {len(forms)} pages")
    print(*[error for form in forms for error in form.errors], sep="\n")
    assert len(right) >= 45 and sum(right) / len(right) > 0.8


def test_a_field_is_given_another_kind(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path
) -> None:
    with designing(chromium, store, said, telegram / "blank.png") as (page, folder):
        page.locator("[data-proposal='0']").focus()
        page.keyboard.press("Enter")
        assert not page.get_by_label("Digits behind the separator").is_visible()
        page.get_by_label("What it holds").select_option("decimal")
        page.get_by_label("Digits behind the separator").fill("3")
        page.keyboard.press("Enter")
        page.get_by_label("It may have a minus").check()
        page.wait_for_timeout(800)
        saved(page)
        (spec,) = load_template(folder / "template.json").fields
        assert (spec.kind, spec.places, spec.signed) == ("decimal", 3, True)
        page.get_by_label("What it holds").select_option("date")
        page.get_by_label("Its cells").select_option("mdy")
        page.wait_for_timeout(800)
        saved(page)
        (spec,) = load_template(folder / "template.json").fields
        assert (spec.kind, spec.order, spec.cells, spec.places) == ("date", "mdy", 8, None)
        page.get_by_label("What it holds").select_option("tick")
        assert not page.get_by_label("Its cells").is_visible()
        assert not page.get_by_label("It may have a minus").is_visible()
        page.wait_for_timeout(800)
        saved(page)
        (spec,) = load_template(folder / "template.json").fields
        assert (spec.kind, spec.places, spec.signed, spec.cells) == ("tick", None, False, 0)


def test_a_telephone_shows_the_whole_table_of_fields(
    chromium: sync_api.Browser, store: Store, said: list[str], telegram: Path
) -> None:
    with designing(chromium, store, said, telegram / "blank.png") as (page, _):
        page.get_by_role("button", name="Take all that is proposed").click()
        page.get_by_label("Largest value f13").wait_for()
        for wide in (390, 1280):
            page.set_viewport_size({"width": wide, "height": 844})
            pushed = page.locator("#table .scroll").evaluate("(box) => box.scrollWidth - box.clientWidth")
            ends = page.locator("#all input, #all button").evaluate_all(
                "(all) => all.map((one) => one.getBoundingClientRect().right)"
            )
            assert pushed <= 1 and max(ends) <= wide
        head = "(cell) => getComputedStyle(cell, '::before').content"
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.locator("#all tbody td").nth(3).evaluate(head).startswith('"Width')
        page.get_by_label("Width f02", exact=True).fill("80")
        page.keyboard.press("Enter")
        saved(page)
        assert fields(page)[1][3] == 80
