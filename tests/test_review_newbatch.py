"""Batches from pages that are uploaded: what is kept, what is read, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.forms.template import Identity, Template, load_template
from inkshift.review.app import AppSettings
from inkshift.review.batches import keep
from inkshift.review.batches import reading as readpages
from inkshift.review.batches.keep import form_list
from inkshift.review.batches.reading import BatchRequest, SentFile, unique
from inkshift.review.core import queue, tasks
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Batch, Page, TaskRecord
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import TaskContext
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from review_app import PASSWORD, client, opened, shown_field, token

WAIT = 240.0  # seconds; on a busy machine


@pytest.fixture
def store(tmp_path: Path, telegram: Path) -> Iterator[Store]:
    """Batch 1 brings the template of the telegrams, its forms called by their files, and a reference picture."""
    given = load_template(telegram / "template.json")
    page = given.pages[0].model_copy(update={"reference": "blank.png"})
    template = given.model_copy(update={"pages": (page,), "identity": Identity()})
    with opened(tmp_path) as found:
        add_batch(found, "first", template=template, folder=str(telegram))
        yield found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def browser(store: Store, files: Path) -> Iterator[TestClient]:
    with client(store, AppSettings(files=files)) as found:
        yield found


def upload(browser: TestClient, *pages: tuple[str, bytes], **given: str) -> tuple[int, str]:
    """Status and address or text of the answer."""
    data = {"csrf": token(browser), "name": "new", "template": "batch-1", "keying": "single"} | given
    answer = browser.post("/new-batch", data=data, files=[("pages", page) for page in pages])
    return answer.status_code, answer.headers.get("location", answer.text)


def ended(store: Store, batch: int) -> tasks.TaskRecord:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        task = readpages.task_of(store, batch)
        assert task is not None
        if task.status != "running":
            return task
        time.sleep(0.1)
    raise AssertionError("the pages were not read in time")


def test_uploaded_pages_become_a_batch_under_their_own_names(
    browser: TestClient, store: Store, files: Path, telegram: Path
) -> None:
    scan = (telegram / "scan-2.jpg").read_bytes()
    status, place = upload(browser, ("../../evil name.jpg", scan), ("a.png", scan), keying="double_model")
    assert (status, place) == (303, "/batches/2")
    assert "Reading the pages" in browser.get(place).text
    task = ended(store, 2)
    assert (task.status, task.result) == ("done", {"forms": 2, "files": 2}), task.note
    with store.reading() as session:
        found = session.get(Batch, 2)
    assert found is not None and (found.double, found.model_keys) == (True, True)
    (home,) = (files / "batches").iterdir()
    assert (found.folder, store.at(found.folder)) == (f"batches/{home.name}", home)
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) == [
        "blank.png",
        "names.json",
        "pages/upload-0001.jpg",
        "pages/upload-0002.jpg",
        "template.json",
    ]
    forms = {row.name: row.fields for row in form_list(store, 2).rows}
    assert set(forms) == {"a", "evil name"} and all(forms.values())
    rows = list(csv.DictReader(io.StringIO(browser.get("/batches/2/export/csv").text)))
    assert {(row["form"], row["source"]) for row in rows} == {("a", "a.png"), ("evil name", "evil name.jpg")}
    field = shown_field(browser.get("/batches/2/queue").text)
    assert '<rect class="outline"' in browser.get(f"/fields/{field}/page").text
    assert "2 forms were read" in browser.get("/batches/2/reading").text


def test_what_cannot_be_read_keeps_nothing(browser: TestClient, store: Store, files: Path, telegram: Path) -> None:
    scan = ("a.jpg", (telegram / "scan-2.jpg").read_bytes())
    for pages, given, said in (
        ((("a.jpg", b"no page"), ("b.pdf", b"no page at all")), {}, "b.pdf"),
        ((), {}, "no page was sent"),
        ((scan,), {"name": " first "}, "is there already"),
        ((scan,), {"name": ""}, "1 to 200 characters"),
        ((scan,), {"template": "batch-9"}, "Choose one of the templates"),
        ((scan,), {"template": "batch-1/../1"}, "Choose one of the templates"),
        ((scan,), {"keying": "thrice"}, "Choose one of the templates"),
    ):
        status, text = upload(browser, *pages, **given)
        assert status == 400 and said in text, said
        assert "b.pdf" not in said or ("a.jpg" in text and "starts with &#39;no page" in text)
        assert given.get("name", "new").strip() in text, "what was typed stays"
    assert [row.name for row in views.batch_list(store).rows] == ["first"]
    assert list((files / "batches").iterdir()) == []


def test_good_files_are_taken_and_bad_ones_listed(
    browser: TestClient, store: Store, files: Path, telegram: Path, tmp_path: Path
) -> None:
    scan = ("a.jpg", (telegram / "scan-2.jpg").read_bytes())
    assert upload(browser, scan, ("b.pdf", b"no page at all"))[1] == "/batches/2"
    assert ended(store, 2).result == {"forms": 1, "files": 1}
    (bad,) = undone(store, 2).pages
    assert (bad.name, bad.error.split(":")[0]) == ("b.pdf", "b.pdf") and "b.pdf" in browser.get("/batches/2").text
    assert form_list(store, 2).count == 2


def test_the_folder_of_files_can_be_moved(browser: TestClient, store: Store, files: Path, telegram: Path) -> None:
    """Also one that an older inkshift filled, which kept whole paths."""
    assert upload(browser, ("a.jpg", (telegram / "scan-2.jpg").read_bytes()))[0] == 303
    assert ended(store, 2).status == "done"
    with store.writing() as session:
        for table, column in ((Batch, Batch.folder), (Page, Page.source), (Page, Page.first_source)):
            inside = sa.update(table).where(column.startswith("batches/"))
            session.execute(
                inside.values({column: f"{files}/" + column}), execution_options={"synchronize_session": False}
            )
    client(store, AppSettings(files=files)).get("/")
    files.rename(files.with_name("moved"))
    moved = client(store, AppSettings(files=files.with_name("moved")))
    field = shown_field(moved.get("/batches/2/queue").text)
    assert moved.get(f"/fields/{field}/page.jpg").status_code == 200
    with store.reading() as session:
        assert session.scalars(sa.select(Page.first_source)).all() == session.scalars(sa.select(Page.source)).all()
    assert readpages.templates(store, files.with_name("moved"))


def test_pages_are_added_and_go_with_their_batch(
    browser: TestClient, store: Store, files: Path, telegram: Path
) -> None:
    assert upload(browser, ("a.jpg", (telegram / "scan-2.jpg").read_bytes()))[0] == 303
    assert ended(store, 2).status == "done"
    more = [("pages", ("b.jpg", (telegram / "scan-4.jpg").read_bytes())), ("pages", ("c.txt", b"a list"))]
    answer = browser.post("/batches/2/pages", data={"csrf": token(browser)}, files=more)
    assert answer.headers["location"] == "/batches/2"
    assert ended(store, 2).result == {"forms": 1, "files": 2}
    assert [row.name for row in form_list(store, 2).rows] == ["a", "b", "c"]
    assert [page.name for page in undone(store, 2).pages] == ["c.txt"]
    assert "HX-Refresh" in browser.get("/batches/2/reading").headers
    (files / "pages" / "3").mkdir(parents=True)
    for path, given in (("archive", {"away": "true"}), ("delete", {"name": "new"})):
        assert browser.post(f"/batches/2/{path}", data={"csrf": token(browser)} | given).status_code == 303
    assert readpages.task_of(store, 2) is None
    assert not [path for made in ("batches", "pages", "tasks") for path in (files / made).iterdir()]


def test_a_folder_that_another_batch_uses_stays(store: Store, files: Path) -> None:
    store.use_files(files)
    (files / "batches" / "x").mkdir(parents=True)
    for name in ("one", "two"):
        add_batch(store, name, folder="batches/x")
    for batch, name, there in ((2, "one", True), (3, "two", False)):
        keep.archive(store, batch, True)
        assert keep.goes_with(store, batch).files is not there
        keep.delete(store, batch, name)
        assert (files / "batches" / "x").exists() is there


def test_added_pages_that_nothing_reads_yet_are_told(browser: TestClient, store: Store, files: Path) -> None:
    """As where another batch began to be read just before, when an earlier reading of this one is done."""

    def take(folder: Path, first: int = 1) -> list[SentFile]:
        folder.mkdir(exist_ok=True)
        (folder / f"upload-{first:04}.jpg").write_text("a page")
        return [SentFile(folder / f"upload-{first:04}.jpg", f"{first}.jpg")]

    batch = readpages.new_batch(store, files, BatchRequest("new", "batch-1"), take)
    with store.writing() as session:
        session.add(TaskRecord(kind="read", about={"batch": batch}, started=store.clock(), status="done"))
        session.flush()
        session.execute(sa.update(TaskRecord).values(result={"forms": 1, "files": 1}))
    assert not readpages.incomplete(store, batch) and "Read the pages" not in browser.get(f"/batches/{batch}").text
    readpages.add_pages(store, batch, take)
    assert readpages.incomplete(store, batch) and "Read the pages" in browser.get(f"/batches/{batch}").text
    assert "incomplete" in browser.get(f"/batches/{batch}/export/csv").headers["content-disposition"]


def test_added_pages_never_take_the_place_of_others(store: Store, files: Path) -> None:
    """Also where some were refused, whose numbers have no file, and where two add pages at once."""
    store.use_files(files)

    def take(*sent: str) -> Callable[..., list[SentFile]]:
        def keep(folder: Path, first: int = 1) -> list[SentFile]:
            folder.mkdir(exist_ok=True)
            time.sleep(0.05)
            taken = [SentFile(folder / f"upload-{i:04}.png", name) for i, name in enumerate(sent, first)]
            for one in taken:
                if "bad" not in one.name:
                    one.path.write_text(one.name)
            return [
                replace(one, path=one.path.with_suffix(""), error="no page") if "bad" in one.name else one
                for one in taken
            ]

        return keep

    batch = readpages.new_batch(store, files, BatchRequest("new", "batch-1"), take("a", "bad 1", "c"))
    both = [
        threading.Thread(target=readpages.add_pages, args=(store, batch, take(name, f"bad {name}"))) for name in "de"
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    readpages.add_pages(store, batch, take("f"))
    (home,) = (files / "batches").iterdir()
    names = json.loads((home / "names.json").read_text())
    assert sorted(names.values()) == ["a", "c", "d", "e", "f"]
    assert {file: (home / "pages" / file).read_text() for file in names} == names
    assert sorted(page.form for page in undone(store, batch).pages) == ["bad 1", "bad d", "bad e"]


def test_only_a_supervisor_with_the_token_uploads(store: Store, files: Path, telegram: Path) -> None:
    page = ("a.jpg", (telegram / "scan-2.jpg").read_bytes())
    anybody = client(store, AppSettings(files=files))
    anybody.get("/")
    assert anybody.post("/new-batch", data={"name": "x"}, files=[("pages", page)]).status_code == 403
    assert anybody.post("/new-batch", content=b"", headers={"Content-Length": str(2**29)}).status_code == 413
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    stores.add_user(store, "ana", "keyer", PASSWORD)
    ana = client(store, AppSettings(files=files))
    ana.post("/login", data={"name": "ana", "password": PASSWORD})
    assert ana.get("/new-batch").status_code == 403
    assert upload(ana, page)[0] == 403
    assert not files.exists() and views.batch_list(store).count == 1


def test_a_reading_that_was_stopped_goes_on(store: Store, files: Path, telegram: Path, tmp_path: Path) -> None:
    def take(folder: Path) -> list[SentFile]:
        folder.mkdir()
        kept = []
        for i in (2, 4):
            path = folder / f"upload-{i:04}.jpg"
            path.write_bytes((telegram / f"scan-{i}.jpg").read_bytes())
            kept.append(SentFile(path, f"scan {i}.jpg"))
        return kept

    batch = readpages.new_batch(store, files, BatchRequest("new", "batch-1"), take)
    said: list[str] = []

    def stop(share: float | None, note: str) -> None:
        said.append(note)
        if len(said) == 2:
            raise KeyboardInterrupt

    work = TaskContext(store, files, tmp_path, {"batch": batch}, stop)
    with pytest.raises(KeyboardInterrupt):
        readpages.read(work)
    assert [row.name for row in form_list(store, batch).rows] == ["scan 2"]
    field = views.form_page(store, 1)
    assert field is not None
    sue = stores.local_user(store)
    first = field.form.fields[0].id
    queue.settle(store, sue, first, "7")
    assert readpages.read(work) == {"forms": 1, "files": 2}
    assert [row.name for row in form_list(store, batch).rows] == ["scan 2", "scan 4"]
    assert said == ["1 / 2", "2 / 2", "1 / 2", "2 / 2"]
    found = views.form_page(store, 1)
    assert found is not None and found.form.fields[0].value == "7"


def test_pages_that_nothing_reads_yet_can_be_read(
    browser: TestClient, store: Store, files: Path, telegram: Path
) -> None:
    """As where another batch was being read when they came."""

    def take(folder: Path) -> list[SentFile]:
        folder.mkdir()
        shutil.copy(telegram / "scan-2.jpg", folder / "upload-0001.jpg")
        return [SentFile(folder / "upload-0001.jpg", "a.jpg")]

    batch = readpages.new_batch(store, files, BatchRequest("new", "batch-1"), take)
    assert "Read the pages" in browser.get(f"/batches/{batch}").text
    assert "Read the pages" not in browser.get("/batches/1").text
    again = f"/batches/{batch}/reading/again"
    assert browser.post(again, data={"csrf": token(browser)}).status_code == 303
    assert ended(store, batch).status == "done"
    assert browser.post("/batches/1/reading/again", data={"csrf": token(browser)}).status_code == 404


def test_templates_are_offered_once_and_kept_as_they_are(store: Store, files: Path, telegram: Path) -> None:
    with store.reading() as session:
        first = session.get(Batch, 1)
    assert first is not None
    add_batch(store, "second", template=Template.model_validate(first.template), folder=str(telegram))
    assert list(readpages.templates(store, files)) == ["batch-2"]
    with store.writing() as session:
        session.execute(sa.update(Batch).values(folder="/nowhere"))
    with pytest.raises(readpages.TemplateError, match="is gone"):
        readpages.new_batch(store, files, BatchRequest("new", "batch-2"), lambda folder: [])


def test_a_task_begins_in_a_folder_of_its_own(browser: TestClient, store: Store, files: Path, telegram: Path) -> None:
    """What a database that is gone left under the same number is neither used nor lost."""
    for made in ("tasks", "models"):
        (files / made / "1").mkdir(parents=True)
        (files / made / "1" / "left.txt").write_text("by another database")
    assert upload(browser, ("a.jpg", (telegram / "scan-2.jpg").read_bytes()))[0] == 303
    assert ended(store, 2).status == "done"
    assert not readpages.incomplete(store, 2)
    left = sorted(path.parent.name[:8] for path in files.rglob("left.txt"))
    assert left == ["1-before", "1-before"]


def test_names_are_plain_and_each_another_one() -> None:
    assert unique(["a.jpg", "b/a.jpg", "..\\a.jpg", "", "/", "x" * 300]) == [
        "a.jpg",
        "a (2).jpg",
        "a (3).jpg",
        "page",
        "page (2)",
        "x" * 100,
    ]


def test_a_batch_that_is_read_can_be_stopped(browser: TestClient, store: Store, telegram: Path) -> None:
    scan = (telegram / "scan-2.jpg").read_bytes()
    many = [(f"{number}.jpg", scan) for number in range(8)]  # more than can be read until it is stopped
    assert upload(browser, *many)[0] == 303
    assert "is being read now" in browser.get("/new-batch").text
    assert upload(browser, ("b.jpg", scan), name="other")[0] == 400
    assert browser.post("/batches/2/reading/stop", data={"csrf": token(browser)}).status_code == 303
    assert ended(store, 2).status == "stopped"
    assert readpages.incomplete(store, 2) and not readpages.incomplete(store, 1)
    assert "Go on" in browser.get("/batches/2").text
    assert browser.post("/batches/2/reading/again", data={"csrf": token(browser)}).status_code == 303
    assert ended(store, 2).status == "done"
    assert browser.get("/batches/1/reading").status_code == 404
