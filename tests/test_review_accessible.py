"""Every page under axe, in both languages, on a laptop and on a tablet: what screen readers and keyboards need."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from starlette.datastructures import UploadFile

from inkshift.datasets.labels import Label
from inkshift.forms.reading import FormReading, PageNote
from inkshift.models.package import NUMBER_MODEL, load_model
from inkshift.review import datasets
from inkshift.review.acceptance import promise as plot
from inkshift.review.app import ROUTES, AppSettings
from inkshift.review.core import queue, second
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.schema import TaskRecord
from inkshift.review.designer import drafts
from inkshift.review.serve import demo_batch, read_batch
from review_app import PASSWORD, opened
from review_circle import settled, studied
from review_forms import TALLY, field, form
from test_review_browser import CHROMIUM, answering, chromium, sync_api  # noqa: F401

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: apt-get install chromium")

# Links of the navigation that take more than one line, and decided values that are out of sight.
BROKEN_WORDS = """[...document.querySelectorAll("nav a")].filter((a) => a.getClientRects().length > 1
|| a.getBoundingClientRect().height > 60).map((a) => a.textContent)
.concat([...document.querySelectorAll(".fields .decided")].filter((cell) => cell.getBoundingClientRect().right
> window.innerWidth + 1).map(() => "decided"))"""
# Text of a picture that is too small to be read, in pixels of the screen.
SMALL_TEXT = """[...document.querySelectorAll("main svg:not(#canvas) text")].map((text) => [text.textContent,
parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a]).filter(([, size]) => size < 10)"""
# On a telephone: tables that have to be pushed to and fro, and what a finger hardly hits.
PUSHED = """[...document.querySelectorAll(".scroll")]
.filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.textContent)"""
SMALL_TARGETS = """[...document.querySelectorAll("header a:not(.brand), .tabs a, button, .button, summary, select")]
.filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 34).map((one) => one.textContent)"""
# Values that do not fit their inputs, and dates as programs write them.
CLIPPED = """[...document.querySelectorAll("main input:not([type=file])")]
.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.value)"""
RAW_DATES = """(() => { const copy = document.querySelector("main").cloneNode(true);
copy.querySelectorAll("code, pre, script").forEach((one) => one.remove());
return copy.textContent.match(/\\d{4}-\\d\\d-\\d\\d/g) || []; })()"""
# Batch 1 is the demo with decisions and a data set, 2 is labelled, 3 is keyed to its end, 4 has an unread page, 5 and 6
# can be taught from, 5 was studied.
ADDRESSES = (
    "/",
    "/batches/1",
    "/batches/1/queue",
    "/batches/1/whole",
    "/?archived=true",
    "/batches/1/confusions",
    "/batches/1/confusions/cell?truth=1&read=1",
    "/batches/1/acceptance",
    "/batches/2/acceptance?error=5&confidence=90&ask=true",
    "/batches/1/export",
    "/batches/3/queue",
    "/forms/1",
    "/batches/4",
    "/pages/128",
    "/new-batch",
    "/templates",
    "/templates/1",
    "/data",
    "/data/1",
    "/data/1/audit",
    "/models",
    f"/models/{load_model(NUMBER_MODEL).digest}",
    "/studies",
    "/studies?batch=1",
    "/studies?batch=6",
    "/people",
    "/account",
    "/second-factor",
    "/nowhere",
)
# Asked for by GET, and no page of the application: files, pictures, parts of a page, and the report of a study.
NO_PAGES = {
    "/batches/{batch}/export/{kind}",
    "/batches/{batch}/reading",
    "/batches/{batch}/acceptance/policy.json",
    "/pages/{number}/picture.jpg",
    "/fields/{field}/page",
    "/fields/{field}/page.jpg",
    "/templates/{draft}/pages/{number}.jpg",
    "/templates/{draft}/download",
    "/data/{data}/crops/{row}.png",
    "/data/{data}/download",
    "/studies/{study}",
    "/tasks/{task}",
}
# Before anything is there.
EMPTY = ("/", "/new-batch", "/templates", "/data", "/models", "/studies", "/people", "/?archived=true")
# What is said in English on a page that is in Spanish, but for code and what says that it is English.
LEFT_ENGLISH = """(() => { const copy = document.querySelector("main").cloneNode(true);
copy.querySelectorAll("[lang=en], code, pre, script").forEach((one) => one.remove());
return copy.textContent.match(/\\b(the|with|which|expected|found|model)\\b[^.]*/g) || []; })()"""
SIZES = {"en": ((390, 844), (1280, 800), (820, 1180)), "es": ((390, 844), (820, 1180))}  # phone, laptop, tablet


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    files = tmp_path_factory.mktemp("files")
    with opened(tmp_path_factory.mktemp("axe")) as store:
        read_batch(store, demo_batch())
        sample = [form(f"f{i:03}", field("a", "12", 0.99, crop=False)) for i in range(120)]
        batch = add_batch(store, "Sample", sample)
        add_labels(store, batch, [Label(f.name, "a", "12", "") for f in sample], "the register")
        add_batch(store, "Keyed", [form("g", field("a"))])
        blank = tmp_path_factory.mktemp("pages") / "a.png"
        cv2.imwrite(str(blank), np.full((300, 200), 200, np.uint8))
        note = PageNote(str(blank), 1, error="a.png: does not fit")
        add_batch(store, "Unread", [FormReading("a", (), (note,))], template=TALLY)
        sue = stores.add_user(store, "sue", "supervisor", PASSWORD)
        stores.add_user(store, "ana", "keyer", PASSWORD)
        ben = stores.add_user(store, "ben", "supervisor", PASSWORD)
        second.prove(store, ben, second.totp(second.begin(store, ben), int(store.clock().timestamp()) // second.STEP))
        for number in (1, 2, 3):
            queue.settle(store, sue, number, "111")
        with store.reading() as session:
            last = session.scalars(stores.sa.select(queue.Field.id).order_by(queue.Field.id.desc())).first()
        assert last is not None
        queue.settle(store, sue, last, "12")
        datasets.make(store, files, [1], "Votes")
        taught = settled(store, model=load_model(NUMBER_MODEL).digest, wrong=4)
        settled(store, name="Cheques of May", model=load_model(NUMBER_MODEL).digest)
        studied(store, files, datasets.make(store, files, [taught], "Cheques"), 5)
        drafts.begin(store, files, "Telegram", telegram(), 1)
        with answering(store, AppSettings(files=files)) as found:
            yield found


def telegram() -> UploadFile:
    scan = Path(demo_batch().paths[0])
    return UploadFile(io.BytesIO(scan.read_bytes()), filename=scan.name)


def test_no_page_is_left_out() -> None:
    """Every address of the application is looked at, or is known for no page."""
    asked = [route for module in ROUTES for route in module.router.routes if "GET" in route.methods]  # type: ignore[attr-defined]
    paths = {urlsplit(address).path for address in (*ADDRESSES, *EMPTY, "/login", "/login/code")}
    unseen = {route.path for route in asked if not any(route.path_regex.match(path) for path in paths)}  # type: ignore[attr-defined]
    assert unseen == NO_PAGES


def looked_at(page: sync_api.Page, where: str, language: str) -> list[str]:
    """What is wrong with the page that is shown."""
    found = []
    page.wait_for_load_state()  # before its style sheets are there, all is small
    assert page.locator("html").get_attribute("lang") == language
    if language != "en":
        assert page.evaluate(LEFT_ENGLISH) == [], f"{where} is partly in English"
    for wide, high in SIZES[language]:
        page.set_viewport_size({"width": wide, "height": high})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{where} is too wide"
        assert page.evaluate(BROKEN_WORDS) == [], f"{where} breaks words at {wide}"
        assert page.evaluate(SMALL_TEXT) == [], f"{where} has small text at {wide}"
        assert page.evaluate(CLIPPED) == [], f"{where} clips values at {wide}"
        assert page.evaluate(RAW_DATES) == [], f"{where} has dates as programs write them"
        if wide == 390:
            assert page.evaluate(PUSHED) == [], f"{where} has tables that are too wide for a telephone"
            assert page.evaluate(SMALL_TARGETS) == [], f"{where} has what a finger hardly hits"
            continue
        results = axe.Axe().run(page)
        if results.violations_count:
            found.append(f"{where}, {wide} pixels wide: {results.generate_report()}")
    return found


@pytest.mark.parametrize("language", ["en", "es"])
def test_no_page_violates_what_axe_checks(
    chromium: sync_api.Browser,  # noqa: F811
    address: str,
    language: str,
) -> None:
    page = chromium.new_context(base_url=address, locale=language).new_page()
    page.goto("/login")
    found = looked_at(page, "/login", language)
    log_in(page, "ben")
    page.locator("#code").wait_for()
    found += looked_at(page, "/login/code", language)
    page.context.clear_cookies()
    page.goto("/login")
    log_in(page, "sue")
    page.locator("header nav").wait_for()
    for path in ADDRESSES:
        page.goto(path)
        found += looked_at(page, path, language)
    page.goto("/batches/1/queue")
    page.keyboard.press("p")
    page.locator("dialog[open] svg").wait_for()
    found += looked_at(page, "the whole page", language)
    page.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", ["en", "es"])
def test_nor_does_one_with_nothing_on_it_or_at_work(
    chromium: sync_api.Browser,  # noqa: F811
    tmp_path: Path,
    language: str,
) -> None:
    """What a first supervisor sees, and models while one is taught, read with anew, or could not be."""
    with opened(tmp_path) as store, answering(store, AppSettings(files=tmp_path / "files")) as address:
        page = chromium.new_context(base_url=address, locale=language).new_page()
        found = []
        for path in EMPTY:
            page.goto(path)
            found += looked_at(page, f"{path} with nothing on it", language)
        batch = add_batch(store, "Votes", [form("g", field("a"))], double=True)
        with store.writing() as session:
            for kind, about in (("teach", {"name": "hands"}), ("study", {"name": "Votes"}), ("read", {"batch": batch})):
                session.add(TaskRecord(kind=kind, about=about, share=0.4, note="12 / 30", started=store.clock()))
            failed = {"status": "failed", "note": "no page to read: all fields are settled, or the scans are not "}
            failed["note"] += "where they were; put them back"
            session.add(TaskRecord(kind="reread", about={"batch": batch}, started=store.clock(), **failed))
        for path in ("/models", "/studies", f"/batches/{batch}", "/new-batch"):
            page.goto(path)
            found += looked_at(page, f"{path} at work", language)
        page.close()
    assert not found, "\n".join(found)


def log_in(page: sync_api.Page, name: str) -> None:
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")


def test_the_slider_tells_what_it_shows(chromium: sync_api.Browser, address: str) -> None:  # noqa: F811
    """By keyboard alone: each step changes the figures and what a screen reader says of the slider."""
    page = chromium.new_context(base_url=address).new_page()
    page.goto("/login")
    log_in(page, "sue")
    page.locator("header nav").wait_for()
    page.goto("/batches/2/acceptance")
    slider, share = page.locator("#at"), page.locator("[data-show=accepted]")
    slider.focus()
    page.keyboard.press("End")
    assert share.inner_text() == "0.0 %"
    page.keyboard.press("Home")
    assert share.inner_text() == "100.0 %"
    assert "100.0 % accepted" in (slider.get_attribute("aria-valuetext") or "")
    assert [line.get_attribute("x1") for line in page.locator(".marker").all()] == [str(plot.LEFT)] * 2
    page.close()
