"""Review from pages to a table, in real browsers and by keyboard: upload, read, key twice, settle, export."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from inkshift.datasets.labels import read_labels
from inkshift.forms.template import load_template
from inkshift.review.app import AppSettings
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Field, Form
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from review_app import PASSWORD, opened
from test_review_browser import CHROMIUM, answering, chromium, said, shown, sync_api, tab  # noqa: F401

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: apt-get install chromium")

READ = 180_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


def truth(labels: Path) -> dict[tuple[str, str], str]:
    return {(one.form, one.field): one.value for one in read_labels(str(labels))}


def upload(page: sync_api.Page, name: str, keying: str, pages: list[Path]) -> None:
    """Fill in the form of a new batch, send the pages, and wait until they are read."""
    page.goto("/")
    page.get_by_role("link", name="New batch").click()
    page.get_by_label("Name of the batch").fill(name)
    page.get_by_label("Keying").select_option(keying)
    page.locator("#pages").set_input_files(pages)
    page.get_by_role("button", name="Upload and read").click()
    page.get_by_text(re.compile("forms? (was|were) read")).wait_for(timeout=READ)


def key(page: sync_api.Page, batch: int, answers: dict[tuple[str, str], str], most: int = 10_000) -> int:
    """Type the answers by keyboard until nothing waits; how many."""
    page.goto(f"/batches/{batch}/queue")
    done = 0
    while done < most and (before := shown(page)):
        form, name = page.locator("#field-name .soft").inner_text(), page.locator("#field-name").inner_text()
        answer = answers[form, name.removeprefix(form).strip()]
        if answer.isdigit():
            page.keyboard.type(answer)
            page.keyboard.press("Enter")
        else:
            page.keyboard.press("b")
        other = page.locator(f"#work > section:not([data-field='{before}'])")
        other.or_(page.locator("#ask")).first.wait_for()
        if page.locator("#ask").is_visible():  # a sum that does not hold
            page.keyboard.press("c")
            other.wait_for()
        done += 1
    return done


def log_in(page: sync_api.Page, name: str) -> None:
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").wait_for()


def test_telegrams_from_upload_to_export(
    chromium: sync_api.Browser,  # noqa: F811
    store: Store,
    tmp_path: Path,
    telegram: Path,
    said: list[str],  # noqa: F811
) -> None:
    """Two keyers in browsers of their own differ on one field, a third settles it, and the table says so."""
    for name, role in (("sue", "supervisor"), ("ana", "keyer"), ("ben", "keyer")):
        stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
    add_batch(store, "first", template=load_template(telegram / "template.json"), folder=str(telegram))
    known = truth(telegram / "labels.csv")
    with answering(store, AppSettings(files=tmp_path / "files")) as address:
        sue, ana, ben = (tab(chromium, address, said) for _ in range(3))
        for page, name in ((sue, "sue"), (ana, "ana"), (ben, "ben")):
            log_in(page, name)
        upload(sue, "evening", "double", [telegram / "scan-2.jpg", telegram / "scan-4.jpg"])
        with store.reading() as session:
            rows = session.execute(sa.select(Form.name, Field.name).join(Field.form).order_by(Field.id)).all()
        answers = {(form, name): known[form, name] or "blank" for form, name in rows}
        odd = (rows[3][0], rows[3][1])
        assert key(ana, 2, answers) == len(rows)
        assert key(ben, 2, answers | {odd: "7"}) == len(rows)
        assert views.left(store, 2) == 1
        sue.goto("/batches/2/queue")
        asked = sue.locator("#known").inner_text()
        assert "Two people disagree" in asked and "7" in asked and answers[odd] in asked
        assert key(sue, 2, answers) == 1
        sue.goto("/batches/2/export")
        with sue.expect_download() as download:
            sue.get_by_role("link", name="Download CSV").click()
        table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
        sue.goto("/batches/2")
        assert "ana – ben" in sue.locator("table").nth(1).inner_text()
        for page in (sue, ana, ben):
            page.close()
    assert {(row["form"], row["field"]): row["decided"] or row["decided_state"] for row in table} == answers
    by = {(row["form"], row["field"]): row["decided_by"] for row in table}
    assert by.pop(odd) == "ana, sue" and set(by.values()) == {"ana, ben"}
    assert {row["source"] for row in table} == {"scan-2.jpg", "scan-4.jpg"}


def test_nothing_vanishes_from_an_empty_review_to_the_archive(
    chromium: sync_api.Browser,  # noqa: F811
    store: Store,
    tmp_path: Path,
    telegram: Path,
    said: list[str],  # noqa: F811
) -> None:
    """On a phone: a bad file is set aside, a broken sum asked about, the batch renamed and archived."""
    bad = tmp_path / "list.pdf"
    bad.write_text("no page at all")
    with answering(store, AppSettings(files=tmp_path / "files")) as address:
        page = tab(chromium, address, said)
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto("/")
        page.get_by_text("Design a template").wait_for()
        add_batch(store, "first", template=load_template(telegram / "template.json"), folder=str(telegram))
        upload(page, "evening", "single", [telegram / "scan-2.jpg", bad])
        page.get_by_text("Pages and forms to be mended").wait_for()
        page.goto("/batches/2/whole")
        assert "T-0002" in page.locator("h1").inner_text()
        page.get_by_label("total").fill("281")
        page.locator("#sums .fails").wait_for()
        page.get_by_label("total").press("Enter")
        page.locator("#ask", has_text="but total = 281").wait_for()
        assert page.get_by_label("total").input_value() == "281"
        page.get_by_role("button", name="I checked the paper").click()
        page.get_by_text("not all is done").wait_for()
        page.goto("/batches/2")
        page.get_by_role("link", name="Mend").click()
        page.get_by_label("Why this page needs nobody").fill("a list, no form")
        page.get_by_role("button", name="Set aside").click()
        page.get_by_text("a list, no form").wait_for()
        page.get_by_label("Name of the batch").fill("North")
        page.get_by_role("button", name="Rename").click()
        page.get_by_role("heading", name="North").wait_for()
        page.goto("/batches/2?which=broken")
        page.get_by_role("link", name="T-0002").click()
        assert "281" in page.locator(".decided").last.inner_text()
        page.wait_for_load_state()  # its text is there before its style sheet is
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        table = list(csv.DictReader(io.StringIO(page.request.get("/batches/2/export/csv").text())))
        assert table[-1]["checked_by"] == "local" and "but total is 281" in table[-1]["rules_broken"]
        page.goto("/batches/2")
        page.get_by_role("button", name="Archive").click()
        page.get_by_role("link", name="Archived batches: 1").click()
        page.get_by_role("link", name="North").first.wait_for()
        page.close()


def test_ten_real_tallies_are_keyed_through(
    chromium: sync_api.Browser,  # noqa: F811
    store: Store,
    tmp_path: Path,
    shared_data: Path,
    said: list[str],  # noqa: F811
) -> None:
    """All fields of ten real pages, by keyboard, until the queue is empty; the export is what was typed."""
    folder, template = shared_data / "c1", Path(__file__).parents[1] / "examples" / "c1"
    if not folder.is_dir():
        pytest.skip(f"no C1 pages in {folder}")
    add_batch(store, "first", template=load_template(template / "template.json"), folder=str(template))
    known = truth(folder / "labels.csv")
    pages = sorted(path for path in (folder / "pages").iterdir() if path.suffix != ".txt")[:10]
    with answering(store, AppSettings(files=tmp_path / "files")) as address:
        page = tab(chromium, address, said)
        upload(page, "tallies", "single", pages)
        with store.reading() as session:
            rows = session.execute(sa.select(Form.name, Field.name).join(Field.form)).all()
        answers = {place: known.get(place) or "blank" for place in map(tuple, rows)}
        assert len({form for form, _ in rows}) == len(pages) and len(rows) == 50
        page.goto("/batches/2/queue")
        page.keyboard.press("p")
        page.locator("dialog[open] rect.outline").wait_for()
        page.keyboard.press("Escape")
        assert key(page, 2, answers) == len(rows)
        assert "All done" in page.locator("#work").inner_text()
        table = list(csv.DictReader(io.StringIO(page.request.get("/batches/2/export/csv").text())))
        page.close()
    assert {(row["form"], row["field"]): row["decided"] or row["decided_state"] for row in table} == answers
