"""Pages that were not read, and forms that are amiss, are work: listed, mended or set aside, and never forgotten."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from inkshift.errors import SettingError
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading, PageNote
from inkshift.forms.registration.candidates import project
from inkshift.forms.template import load_template
from inkshift.review.acceptance.promise import take_back
from inkshift.review.app import AppSettings
from inkshift.review.batches import mend
from inkshift.review.batches.mend import frame
from inkshift.review.core import queue
from inkshift.review.core import store as stores
from inkshift.review.core.agreement import progress
from inkshift.review.core.intake import add_batch, add_forms
from inkshift.review.core.schema import Acceptance, Field, Page
from inkshift.review.core.store import Store
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from review_app import client, opened, shown_field, token
from review_forms import TALLY, field, form, tally


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def browser(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    with client(store, AppSettings(files=tmp_path / "files")) as found:
        yield found


def unread(tmp_path: Path, name: str = "a.png") -> FormReading:
    """A form of one page that was not read."""
    path = tmp_path / name
    cv2.imwrite(str(path), np.full((300, 200), 200, np.uint8))
    return FormReading(path.stem, (), (PageNote(str(path), 1, error=f"{path} page 1: does not fit the template"),))


def refused(store: Store, telegram: Path, folder: Path) -> tuple[int, Path, np.ndarray]:
    """A batch of one scan that was not read; its id, the scan, and the corners of the fields on it."""
    image = load_page(PageRef(str(telegram / "scan-2.jpg"), 1))
    laid = Reader(telegram / "template.json").read_laid(image)[0][1]
    assert laid is not None and laid.turn == 0
    template = load_template(telegram / "template.json")
    x, y, w, h = frame(template.pages[0])
    box = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)
    path = folder / "refused.jpg"
    path.write_bytes((telegram / "scan-2.jpg").read_bytes())
    note = PageNote(str(path), 1, error=f"{path} page 1: could lie elsewhere as well")
    batch = add_batch(store, "refused", [FormReading("refused", (), (note,))], template=template, folder=str(telegram))
    return batch, path, project(box, laid.matrix)


def go(browser: TestClient, path: str, **given: object) -> tuple[int, str]:
    """Status, and where it leads or what it says."""
    answer = browser.post(path, data={"csrf": token(browser), **given})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_a_page_that_was_not_read_is_counted_until_it_is_set_aside(
    browser: TestClient, store: Store, tmp_path: Path
) -> None:
    batch = add_batch(store, "one", [unread(tmp_path), tally("f", "001", "002", "3")], template=TALLY)
    browser.get("/")
    user = 1
    for value in ("001", "002", "3"):
        item = queue.next_field(store, user, batch)
        assert item is not None
        queue.decide(store, user, item.field, value)
    assert "Pages or forms to be mended: 1." in browser.get("/").text
    assert "not all is done" in browser.get(f"/batches/{batch}/queue").text
    assert "does not fit the template" in browser.get(f"/batches/{batch}").text
    assert "to be mended: 1" in browser.get(f"/batches/{batch}/export").text
    name = browser.get(f"/batches/{batch}/export/csv").headers["content-disposition"]
    assert "batch-1-incomplete.csv" in name
    assert browser.get("/pages/1/picture.jpg").headers["content-type"] == "image/jpeg"
    assert go(browser, "/pages/1/aside", reason=" ")[0] == 400
    assert go(browser, "/pages/1/aside", reason="the back of a form") == (303, f"/batches/{batch}")
    text = browser.get(f"/batches/{batch}").text
    assert "the back of a form" in text and "to be mended" not in text
    assert "All done" in browser.get(f"/batches/{batch}/queue").text
    assert "incomplete" not in browser.get(f"/batches/{batch}/export/csv").headers["content-disposition"]
    go(browser, "/pages/1/back")
    assert len(undone(store, batch)) == 1


def test_a_page_is_keyed_without_a_reading(browser: TestClient, store: Store, tmp_path: Path) -> None:
    batch = add_batch(store, "one", [unread(tmp_path)], template=TALLY)
    assert go(browser, "/pages/1/key") == (303, f"/batches/{batch}")
    assert len(undone(store, batch)) == 0
    text = browser.get(f"/batches/{batch}/queue").text
    assert f'src="/fields/{shown_field(text)}/page.jpg?' in text and "Read as" not in text
    user = 1
    for value in ("001", "002", "3"):
        item = queue.next_field(store, user, batch)
        assert item is not None
        queue.decide(store, user, item.field, value)
    assert all("predictions" not in task for task in browser.get(f"/batches/{batch}/export/label-studio").json())
    rows = list(csv.DictReader(io.StringIO(browser.get(f"/batches/{batch}/export/csv").text)))
    assert [(row["field"], row["decided"], row["confidence"]) for row in rows] == [
        ("a", "001", "0.0000"),
        ("b", "002", "0.0000"),
        ("total", "3", "0.0000"),
    ]
    assert browser.get("/forms/1").status_code == 200
    assert browser.get("/pages/1").status_code == 404


def test_a_page_is_laid_by_hand_where_reading_refused_it(
    browser: TestClient, store: Store, telegram: Path, tmp_path: Path
) -> None:
    batch, path, corners = refused(store, telegram, tmp_path)
    assert len(undone(store, batch)) == 1 and "Lay it by hand" in browser.get("/pages/1").text
    go(browser, "/pages/1/turn")
    with store.reading() as session:
        assert session.scalars(sa.select(Page.turn)).all() == [90]
    high, wide = load_page(PageRef(str(path), 1)).shape[:2]
    zoom = min(1.0, 1400 / max(high, wide))
    shown = [[round((high - y) * zoom), round(x * zoom)] for x, y in corners]  # as it is shown, turned
    assert go(browser, "/pages/1/lay", corners="[[1,2]]")[0] == 400
    assert go(browser, "/pages/1/lay", corners=str(shown)) == (303, "/forms/1")
    truth = next(Reader(telegram / "template.json").read([telegram / "scan-2.jpg"]))
    with store.reading() as session:
        found = session.scalars(sa.select(Field).order_by(Field.id)).all()
        read = {field.name: field.readings[0].value for field in found}
        assert all(field.crop is not None for field in session.scalars(sa.select(Field).options(sa.orm.undefer("*"))))
        boxes = [field.box for field in found if field.box]
    assert read == {item.name: item.value for item in truth.fields}
    away = np.array([box[:2] for box in boxes]) - [item.box[:2] for item in truth.fields if item.box]
    assert np.abs(away).max() < 5
    assert len(undone(store, batch)) == 0


def test_another_scan_takes_the_place_of_one(browser: TestClient, store: Store, telegram: Path, tmp_path: Path) -> None:
    batch, _, _ = refused(store, telegram, tmp_path)

    def send(name: str, content: bytes) -> tuple[int, str]:
        files = {"file": (name, content)}
        answer = browser.post("/pages/1/replace", data={"csrf": token(browser)}, files=files)
        return answer.status_code, answer.headers.get("location", answer.text)

    status, text = send("b.pdf", b"no page at all")
    assert status == 400 and "b.pdf" in text
    white = cv2.imencode(".png", np.full((1000, 700), 255, np.uint8))[1].tobytes()
    assert send("white.png", white) == (303, "/pages/1")
    assert "white.png" in browser.get("/pages/1").text and len(undone(store, batch)) == 1
    before = re.findall(r"picture.jpg[^\"]*", browser.get("/pages/1").text)
    tall = [Image.open(telegram / f"scan-{i}.jpg").convert("L") for i in (2, 4)]
    beside = Image.new("L", (sum(one.width for one in tall), max(one.height for one in tall)), 255)
    beside.paste(tall[0], (0, 0))
    beside.paste(tall[1], (tall[0].width, 0))
    for name, what, said in (
        ("two.tif", {"save_all": True, "append_images": tall[1:]}, "found 2 pages"),
        ("beside.png", {}, "found 2 forms"),
    ):
        sent = io.BytesIO()
        (tall[0] if what else beside).save(sent, "TIFF" if what else "PNG", **what)
        status, text = send(name, sent.getvalue())
        assert status == 400 and f"{name}: expected one page with one form, {said}" in text
    late = mend.to_mend(store, 1)
    assert send("grey.png", cv2.imencode(".png", np.full((1000, 700), 250, np.uint8))[1].tobytes())[1] == "/pages/1"
    assert re.findall(r"picture.jpg[^\"]*", browser.get("/pages/1").text) != before, "no browser shows the old picture"
    assert send("again.jpg", (telegram / "scan-4.jpg").read_bytes()) == (303, "/forms/1")
    assert "T-0004" in browser.get("/forms/1").text and len(undone(store, batch)) == 0
    assert late is not None
    other = tmp_path / "late.png"
    other.write_bytes(white)
    with pytest.raises(SettingError, match="mended meanwhile"):
        mend.replaced(store, late, other, "late.png")
    assert "T-0004" in browser.get("/forms/1").text and len(undone(store, batch)) == 0 and not other.exists()


def test_forms_that_are_there_twice_or_lack_a_page_are_told(browser: TestClient, store: Store) -> None:
    two = TALLY.model_copy(
        update={
            "pages": (
                TALLY.pages[0],
                TALLY.pages[0].model_copy(
                    update={"fields": (TALLY.pages[0].fields[0].model_copy(update={"name": "d"}),)}
                ),
            )
        }
    )
    again = form("f", *tally("f", "001", "002", "3").fields)
    batch = add_batch(store, "one", [tally("f", "001", "002", "3")], template=TALLY)
    with store.writing() as session:
        session.execute(sa.update(Page).values(number=7, first_number=7))
    add_forms(store, batch, [again])
    assert [one.what for one in undone(store, batch).forms] == ["duplicate", "duplicate"]
    assert go(browser, "/forms/2/aside", reason="scanned again")[0] == 303
    assert len(undone(store, batch)) == 0
    rows = list(csv.DictReader(io.StringIO(browser.get(f"/batches/{batch}/export/csv").text)))
    assert len(rows) == 3 == progress(store, batch).fields
    with store.reading() as session:
        waiting = sa.select(sa.func.count(Field.id)).where(Field.waiting.is_(True))
        assert session.scalar(waiting) == 3
    go(browser, "/forms/2/back")
    with store.reading() as session:
        assert session.scalar(waiting) == 6
    other = add_batch(store, "two", [tally("g", "001", "002", "3")], template=two)
    (odd,) = undone(store, other).forms
    assert (odd.what, odd.pages, odd.whole) == ("incomplete", 1, 2)
    assert go(browser, f"/forms/{odd.id}/right", reason="has one page")[0] == 303
    assert len(undone(store, other)) == 0


def test_fields_of_a_form_that_is_set_aside_wait_once_it_counts_again(store: Store) -> None:
    """Whatever is undone or added meanwhile."""
    user = stores.local_user(store)

    def left() -> int:
        return views.left(store, batch)

    notes = (PageNote("p1.png", 1, 0.9), PageNote("p2.png", 1, 0.9))
    one, two = (
        replace(field(name, confidence=0.95), source=note.source) for name, note in zip("ab", notes, strict=True)
    )
    batch = add_batch(store, "one", [FormReading("f", (one,), notes[:1])])
    item = queue.next_field(store, user, batch)
    assert item is not None
    queue.decide(store, user, item.field, "12")
    mend.put_aside(store, user, 1, "scanned again")
    queue.undo(store, user, batch)
    add_forms(store, batch, [FormReading("f", (one, two), notes)])
    assert left() == 0
    mend.put_aside(store, user, 1, "it is none", kind="right")
    assert left() == 2
    policy = fixed_policy(store, batch, user)
    mend.put_aside(store, user, 1, "scanned again")
    take_back(store, user, batch, policy)
    assert left() == 0
    mend.take_back(store, 1)
    assert left() == 2


def fixed_policy(store: Store, batch: int, user: int) -> int:
    """All fields of a batch taken out of its queue; the application of that policy."""
    with store.writing() as session:
        noted = Acceptance(batch_id=batch, user_id=user, policy={}, fields=2, time=store.clock())
        session.add(noted)
        session.flush()
        session.execute(sa.update(Field).values(waiting=False, accepted_by=noted.id))
        return noted.id
