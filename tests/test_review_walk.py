"""All that a team meets in review, in one walk through Chromium: from the first account to files that were moved."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reader import Reader
from inkshift.forms.registration.candidates import project
from inkshift.forms.template import load_template
from inkshift.review.app import AppSettings
from inkshift.review.batches.mend import frame
from inkshift.review.core.store import Store
from inkshift.review.core.words import Words
from review_app import PASSWORD
from review_browser import answering, chromium, needs_chromium, store, sync_api, tab

__all__ = ["chromium", "store"]

pytestmark = [needs_chromium, pytest.mark.slow]  # more than a minute

READ = 180_000
# What a browser's console calls an error and is none: an answer of 400 to what was mistyped, of 401 to the page of
# somebody who was shut out, which asks again until it is left, and a sum that was asked for once more before it came.
NO_FAULT = re.compile("Failed to load resource: .* status of 40[013]|htmx:(sendAbort|afterRequest)")
WIDTHS = (390, 820, 1280)
T = Words("es")
ENGLISH = re.compile(r"\b(the|with|expected|found|which)\b")


def enter(page: sync_api.Page, name: str, password: str = PASSWORD) -> None:
    page.goto("/login")
    page.fill("#name", name)
    page.fill("#password", password)
    page.keyboard.press("Enter")
    page.locator("header nav").wait_for()


def press(page: sync_api.Page, key: str) -> None:
    """The button that a text of the catalogue names, and the page that it leads to."""
    page.get_by_role("button", name=T(key), exact=False).first.click()
    page.wait_for_load_state()


def looks_right(page: sync_api.Page) -> None:
    """Fits a phone, a tablet and a laptop, and is in Spanish to its last message."""
    page.wait_for_load_state()
    for wide in WIDTHS:
        page.set_viewport_size({"width": wide, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= wide, page.url
    assert page.locator("html").get_attribute("lang") == "es"
    assert not ENGLISH.findall(page.locator("main").inner_text()), page.url


def first_people(page: sync_api.Page) -> None:
    """A supervisor is greeted, chooses a language, makes an account of their own and one of a keyer."""
    page.goto("/")
    page.get_by_role("heading", name="Welcome").wait_for()
    page.get_by_role("button", name="Español").click()
    page.get_by_role("heading", name=T("welcome")).wait_for()
    looks_right(page)
    for name, role in (("sue", "supervisor"), ("ana", "keyer")):
        page.goto("/people")
        page.fill("#name", name)
        page.select_option("#role", role)
        page.locator("form.narrow input[type=password]").fill(PASSWORD)
        press(page, "add")
        if name == "sue":
            enter(page, "sue")
    looks_right(page)


def template_from_elsewhere(page: sync_api.Page, telegram: Path, files: Path) -> None:
    """It opens in the designer as it was made; a page that is turned four times lies as it lay."""
    page.goto("/templates")
    page.locator("#made").set_input_files([telegram / "template.json", telegram / "blank.png"])
    page.get_by_role("button", name=T("template_open")).click()
    page.wait_for_url("**/templates/1")
    (made,) = load_template(telegram / "template.json").pages
    for size in (made.size[::-1], made.size) * 2:
        with page.expect_navigation():
            press(page, "turn")
        page.locator("#canvas .m-box").nth(3).wait_for()
        assert load_template(files / "templates/1/template.json").pages[0].size == size
    (found,) = load_template(files / "templates/1/template.json").pages
    assert [field.box for field in found.fields] == [field.box for field in made.fields]
    assert page.locator("#anchor-heads").inner_text().split() == ["x", "y", T("js_side")]
    looks_right(page)


def half_a_page(scan: Path, path: Path) -> None:
    """A scan whose print is gone but for the boxes: the program does not find the form on it."""
    image = np.asarray(Image.open(scan)).copy()
    image[:, : int(0.72 * image.shape[1])] = 210
    Image.fromarray(image).save(path)


def uploaded(page: sync_api.Page, pages: list[Path]) -> None:
    """A batch keyed twice: the good page is read, each other one is listed with why it was not."""
    page.goto("/new-batch")
    page.fill("#name", "Norte")
    page.select_option("#keying", "double")
    page.locator("#pages").set_input_files(pages)
    press(page, "upload_read")
    page.get_by_text(re.compile("^Se ley")).wait_for()
    page.goto("/batches/1")
    assert page.locator("#undone li").count() == len(pages) - 1
    looks_right(page)
    page.goto("/batches/1/export")
    assert T("undone_left", n=len(pages) - 1) in page.locator("main").inner_text()
    looks_right(page)


def mended(page: sync_api.Page, name: str, how: Callable[[], None]) -> None:
    page.goto("/batches/1")
    page.locator("#undone li", has_text=name).get_by_role("link", name=T("mend")).click()
    page.get_by_role("heading", name=name).wait_for()
    looks_right(page)
    how()
    page.wait_for_load_state()


def lay(page: sync_api.Page, corners: np.ndarray) -> None:
    """Drag the four corners of the fields, in parts of the picture, to where they are."""
    page.set_viewport_size({"width": 1280, "height": 1600})
    sheet = page.locator("#sheet")
    box = sheet.bounding_box()
    assert box is not None
    for k, (x, y) in enumerate(corners):
        handle = sheet.locator(".handle").nth(k).bounding_box()
        assert handle is not None
        page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        page.mouse.up()
    press(page, "lay_read")
    page.wait_for_url("**/forms/*")
    assert page.locator(".fields img").count() == 13
    looks_right(page)


def where_fields_lie(telegram: Path, scan: Path) -> np.ndarray:
    """The corners of the rectangle around all fields of a scan, in parts of its width and height."""
    image = load_page(PageRef(str(scan), 1))
    template = load_template(telegram / "template.json")
    laid = Reader(telegram / "template.json").read_laid(image)[0][1]
    assert laid is not None
    x, y, w, h = frame(template.pages[0])
    corners = project(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64), laid.matrix)
    return np.asarray(corners / image.shape[1::-1])


def set_aside(page: sync_api.Page) -> None:
    """Not without a reason: what was typed stays beside the message."""
    page.fill("#reason", "  ")
    press(page, "set_aside")
    page.get_by_role("alert").wait_for()
    assert page.input_value("#reason") == "  "
    looks_right(page)
    page.fill("#reason", "una lista")
    press(page, "set_aside")


def whole_forms(page: sync_api.Page, known: dict[str, dict[str, str]]) -> None:
    """Ana, in English, keys form after form, those mended by hand first, and mistypes one total: she is asked."""
    page.goto("/batches/1/whole")
    names = []
    while "T-0002" not in names:
        names.append(page.locator("h1").inner_text())
        for field, value in known[names[-1]].items():
            page.get_by_label(field, exact=True).fill(value if field != "total" or names[1:] else "1")
        if not names[1:]:
            page.locator("#sums .fails").wait_for()
            page.get_by_label("total", exact=True).press("Enter")
            page.locator("#ask").wait_for()
            assert page.get_by_label("p02", exact=True).input_value() == known[names[0]]["p02"]
            page.get_by_label("total", exact=True).fill(known[names[0]]["total"])
        page.locator("#sums .holds").wait_for()
        page.get_by_role("button", name="Enter Save").click()
        page.locator("h1", has_not_text=names[-1]).wait_for()
    assert {"laid", "typed"} <= {*names}


def rows_of(page: sync_api.Page) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(page.request.get("/batches/1/export/csv").text()))]


def taken_in(page: sync_api.Page, telegram: Path) -> None:
    """One more page, and what was known of the forms before: what both say is settled."""
    page.goto("/batches/1")
    page.locator("#pages").set_input_files(telegram / "scan-3.jpg")
    press(page, "upload_read")
    page.get_by_role("link", name="T-0003").wait_for()
    page.locator("#file").set_input_files(telegram / "labels.csv")
    press(page, "labels_take")
    assert "labels.csv" in page.locator("[role=status]").inner_text()
    looks_right(page)
    page.goto("/batches/1?which=settled")
    assert page.locator("table a").all_inner_texts() == ["T-0002"]


def shut_out(page: sync_api.Page, other: sync_api.Page) -> None:
    """Ana is in no longer from her next step on."""
    page.goto("/people")
    page.locator("tr", has_text="ana").get_by_role("button", name=T("shut_out")).click()
    page.get_by_role("cell", name=T("user_off")).wait_for()
    looks_right(page)
    other.goto("/batches/1/queue")
    other.get_by_role("heading", name="Log in").wait_for()
    other.fill("#name", "ana")
    other.fill("#password", PASSWORD)
    other.keyboard.press("Enter")
    other.get_by_role("alert").wait_for()


def other_pages(page: sync_api.Page) -> None:
    """What can be taught from the forms, or why not; the forms that are looked for."""
    for path in ("/models", "/data", "/studies", "/templates", "/account", "/batches/1/acceptance"):
        page.goto(path)
        looks_right(page)
    page.goto("/models")
    assert T("lacks_forms") in page.locator("main").inner_text()
    page.goto("/batches/1?q=0003")
    assert page.locator("table a").all_inner_texts() == ["T-0003"]


def gone(page: sync_api.Page) -> None:
    """A batch is deleted once it is archived and its name was typed; another name deletes nothing."""
    page.goto("/batches/1")
    press(page, "archive")
    page.goto("/batches/1")
    page.fill("#sure", "Sur")
    press(page, "delete_batch")
    page.get_by_role("alert").wait_for()
    looks_right(page)
    page.fill("#sure", "Norte")
    press(page, "delete_batch")
    page.get_by_role("heading", name=T("welcome")).wait_for()


def test_a_team_from_its_first_account_to_a_folder_that_moved(
    chromium: sync_api.Browser, store: Store, telegram: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    files, moved = tmp_path / "files", tmp_path / "elsewhere" / "files"
    with (telegram / "labels.csv").open(encoding="utf-8", newline="") as file:
        known: dict[str, dict[str, str]] = {}
        for row in csv.DictReader(file):
            known.setdefault(row["form"], {})[row["field"]] = row["value"] or "b"
    known |= {"laid": known["T-0004"], "typed": known["T-0005"]}
    pages = [tmp_path / name for name in ("laid.png", "typed.png", "swapped.png")]
    for path, scan in zip(pages, ("scan-4.jpg", "scan-5.jpg", "scan-6.jpg"), strict=True):
        half_a_page(telegram / scan, path)
    (tmp_path / "list.pdf").write_text("no page at all")
    corners = where_fields_lie(telegram, telegram / "scan-4.jpg")
    with answering(store, AppSettings(files=files)) as address:
        sue, ana = tab(chromium, address, said, READ), tab(chromium, address, said, READ)
        first_people(sue)
        template_from_elsewhere(sue, telegram, files)
        uploaded(sue, [telegram / "scan-2.jpg", *pages, tmp_path / "list.pdf"])
        mended(sue, "laid.png", lambda: lay(sue, corners))
        mended(sue, "typed.png", lambda: press(sue, "key_by_hand"))

        def replace() -> None:
            sue.locator("#file").set_input_files(telegram / "scan-6.jpg")
            press(sue, "replace")
            sue.get_by_role("heading", name="T-0006").wait_for()

        mended(sue, "swapped.png", replace)
        mended(sue, "list.pdf", lambda: set_aside(sue))
        assert "una lista" in sue.locator("main").inner_text() and sue.locator("#undone .tag.disputed").count() == 0
        enter(ana, "ana")
        whole_forms(ana, known)
        taken_in(sue, telegram)
        shut_out(sue, ana)
        other_pages(sue)
        sue.close()
        ana.close()
    moved.parent.mkdir()
    files.rename(moved)
    with answering(store, AppSettings(files=moved)) as address:
        sue = tab(chromium, address, said, READ)
        sue.context.add_cookies([{"name": "language", "value": "es", "url": address}])
        enter(sue, "sue")
        both = [row for row in rows_of(sue) if row["decided_by"] == "ana, labels.csv"]
        assert len(both) == 13 and all(row["decided"] == known["T-0002"][row["field"]] for row in both)
        sue.goto("/batches/1?which=settled")
        sue.get_by_role("link", name="T-0002").click()
        sue.get_by_role("button", name=f"{T('page')}: p01").click()
        picture = sue.locator("dialog[open] image")
        picture.wait_for()
        assert sue.request.get(picture.get_attribute("href") or "").headers["content-type"] == "image/jpeg"
        sue.keyboard.press("Escape")
        gone(sue)
        sue.close()
    assert not [one for one in said if not NO_FAULT.match(one)]
