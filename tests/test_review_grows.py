"""A store that grows: rows come in bulk, and what a keyer waits for is found by indexes, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.models.package import NUMBER_MODEL, load_model
from inkshift.review import datasets, studies
from inkshift.review.app import AppSettings
from inkshift.review.batches import keep
from inkshift.review.core import intake, queue
from inkshift.review.core import store as stores
from inkshift.review.core.schema import Aside, Choice, Decision, Draft, Field, Form, Page, Reading, TrainedModel, User
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from review_app import PASSWORD, client, logged_in, shown_field, token
from review_circle import settled
from review_forms import TALLY, many, people, tally

pytest_plugins = ["review_databases"]

# These grow with the forms; users, batches and held fields stay few.
BIG = {"forms", "pages", "fields", "readings", "decisions"}


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """What a block asks of the database, with what it gives."""
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, given: Any, ___: object, many: bool) -> None:
        if not many and statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            asked.append((statement, given))

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)


def scans(store: Store, asked: list[tuple[str, Any]]) -> list[str]:
    """The statements for which a big table is read from end to end, as no index serves."""
    postgres = store.engine.dialect.name == "postgresql"
    found = []
    with store.engine.connect() as connection:
        if postgres:
            connection.exec_driver_sql("SET enable_seqscan = off")  # which it prefers where tables are small
        for statement, given in {one[0]: one for one in asked}.values():
            explain = "EXPLAIN (FORMAT JSON)" if postgres else "EXPLAIN QUERY PLAN"
            rows = connection.exec_driver_sql(f"{explain} {statement}", given).all()
            scanned = scanned_by_postgres(rows[0][0][0]["Plan"]) if postgres else scanned_by_sqlite(rows)
            if scanned & BIG:
                found.append(statement)
        connection.rollback()
    return found


def scanned_by_postgres(plan: dict[str, Any]) -> set[str]:
    whole = plan["Node Type"] == "Seq Scan" or ("Index" in plan["Node Type"] and "Index Cond" not in plan)
    return {plan.get("Relation Name", "") if whole else ""}.union(*map(scanned_by_postgres, plan.get("Plans", [])))


def scanned_by_sqlite(rows: Sequence[Any]) -> set[str]:
    return {re.sub(r"_\d+$", "", row[-1].split()[1]) for row in rows if row[-1].startswith("SCAN")}


def grown(store: Store, double: bool) -> int:
    """A batch beside another, of which some fields were keyed."""
    ann, bob = people(store, 2)
    intake.add_batch(store, "other", many(2, 10))
    forms = (tally(f"t{i}", "001", "002", "3") for i in range(5))
    batch = intake.add_batch(store, "keyed", forms, template=TALLY, double=double)
    for user in (ann, bob) if double else (ann,):
        item = queue.next_field(store, user, batch)
        assert item is not None
        queue.decide(store, user, item.field, item.suggestion or "7", checked=True)
    return batch


def keyed(keyer: TestClient, batch: int, csrf: str) -> None:
    """All that a keyer does in a batch."""
    queued = keyer.get(f"/batches/{batch}/queue").text
    field = shown_field(queued)

    def posted(path: str, **data: object) -> str:
        answer = keyer.post(path, data=data, headers={"X-CSRF-Token": csrf, "HX-Request": "true"})
        assert answer.status_code in (200, 204), answer.text
        return answer.text

    for value in ("1", "2"):
        posted(f"/batches/{batch}/check", field=field, value=value)
        field = shown_field(posted(f"/batches/{batch}/decide", field=field, value=value, checked=True))
    posted(f"/fields/{field}/hold")
    posted(f"/batches/{batch}/undo")
    keyer.get(f"/fields/{field}/page")
    whole = keyer.get(f"/batches/{batch}/whole")
    assert field is not None and whole.status_code == 200


def test_what_a_decision_costs_does_not_grow_with_what_waits(tmp_path: Path) -> None:
    """In steps of SQLite's machine, which count what is gone through by whatever index."""
    steps: list[int] = []
    spent = []

    def count_step() -> None:
        steps.append(1)

    for count in (2, 40):
        with closing(stores.open(f"sqlite:///{tmp_path / str(count)}.db")) as store:
            (ann,) = people(store, 1)
            batch = intake.add_batch(store, "b", many(count, 50))
            item = queue.next_field(store, ann, batch)
            sa.event.listen(store.engine, "checkout", lambda line, *_: line.set_progress_handler(count_step, 10))
            steps.clear()
            for _ in range(3):
                assert item is not None
                item = queue.decide_and_next(store, ann, batch, item.field, "7", checked=True)
            queue.next_field(store, ann, batch)
            spent.append(len(steps))
    assert 0 < spent[1] < 1.2 * spent[0]


@pytest.mark.parametrize("double", [False, True])
def test_a_decision_asks_for_its_batch_once(store: Store, double: bool) -> None:
    batch = grown(store, double)
    kim = stores.add_user(store, "kim", "keyer")
    item = queue.next_field(store, kim, batch)
    assert item is not None
    with statements(store) as asked:
        queue.decide_and_next(store, kim, batch, item.field, "7", checked=True)
    about = [statement for statement, _ in asked if "FROM batches" in statement and "template" not in statement]
    assert len(about) == 1


@pytest.mark.parametrize("double", [False, True])
def test_nothing_that_a_keyer_waits_for_reads_a_big_table_from_end_to_end(store: Store, double: bool) -> None:
    batch = grown(store, double)
    stores.add_user(store, "boss", "supervisor", PASSWORD)
    stores.add_user(store, "kim", "keyer", PASSWORD)
    keyer, boss = logged_in(store, "kim"), logged_in(store, "boss")
    csrf = token(keyer)
    with store.reading() as session:
        form = session.scalars(sa.select(Form.id).where(Form.batch_id == batch)).first()
    with statements(store) as asked:
        keyed(keyer, batch, csrf)
        assert boss.get(f"/forms/{form}").status_code == 200
    assert len(asked) > 50
    assert scans(store, asked) == []


def test_what_is_known_before_teaching_is_found_by_indexes(store: Store) -> None:
    batch = settled(store, model=load_model(NUMBER_MODEL).digest, wrong=6)
    settled(store, name="other")
    (one,) = datasets.available(store, [batch])
    with statements(store) as asked:
        _, found = studies.advice(store, Path("nowhere"), [one])
    read = found[batch].read
    assert read is not None and (read.right, read.numbers) == (24, 30) and scans(store, asked) == []


def test_a_scan_is_seen(store: Store) -> None:
    grown(store, double=False)
    with statements(store) as asked, store.reading() as session:
        session.execute(sa.select(Field.id).where(Field.value == "12")).all()
        session.execute(sa.select(Reading.id).where(Reading.field_id == 7)).all()
    assert ["WHERE fields.value" in one for one in scans(store, asked)] == [True]


def test_what_waits_is_counted_no_further_than_people_care() -> None:
    from inkshift.review.web.render import MOST_LEFT, _pages

    shown = _pages.from_string("{{ n | or_more }}")
    assert [shown.render(n=n) for n in (0, 9_999, MOST_LEFT)] == ["0", "9999", "10000+"]


def test_forms_that_come_together_are_kept_in_few_statements(store: Store) -> None:
    with statements(store) as asked:
        intake.add_batch(store, "one", many(400, 5))
    assert len(asked) < 100
    with store.reading() as session:
        for table, count in ((Form, 400), (Page, 400), (Field, 2_000), (Reading, 2_000), (Decision, 0)):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == count
        first = session.scalars(sa.select(Field).order_by(Field.id)).first()
        assert first is not None and first.form.name == "f0000" and first.readings[0].value == "7"


def test_a_form_that_took_long_is_kept_before_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_WAIT", -1.0)
    kept = []

    def read() -> Iterator[Any]:
        for form in many(3, 2):
            with store.reading() as session:
                kept.append(session.scalar(sa.select(sa.func.count()).select_from(Form)))
            yield form

    intake.add_batch(store, "one", read())
    assert kept == [0, 1, 2]


@pytest.mark.parametrize("text", ["a\tb\\N", "\\.", "é∅\n", "", "NULL"])
def test_any_text_is_kept_as_it_is(store: Store, text: str) -> None:
    with store.writing() as session:
        row = {"name": text, "password": "", "role": "keyer", "created": store.clock()}
        stores.add_rows(session, User, [row])
    with store.reading() as session:
        assert session.scalars(sa.text("SELECT name FROM users")).all() == [text]


def test_batches_are_shown_a_page_at_a_time(store: Store) -> None:
    for number in range(1, 2 * views.BATCHES + 2):
        batch = intake.add_batch(store, f"batch {number}")
    keep.archive(store, batch, True)
    browser = client(store)
    pages = [browser.get(f"/?at={at}").text for at in (1, 2, 3, 99)]
    shown = [re.findall(r"<a href=\"/batches/\d+\">batch (\d+)</a>", text) for text in pages]
    whole = [str(number) for number in range(2 * views.BATCHES, 0, -1)]
    assert shown[0] + shown[1] == whole and shown[1] == shown[2] == shown[3]
    assert 'href="?archived=false&amp;at=2"' in pages[0] and 'href="?archived=false&amp;at=1"' in pages[1]
    assert f"batch {batch}" in browser.get("/?archived=true").text


def test_forms_are_listed_by_an_index_a_page_at_a_time(store: Store) -> None:
    batch = grown(store, double=False)
    for which in ("all", "open", "broken", "settled"):
        keep.form_list(store, batch, which=which)
        with statements(store) as asked:
            keep.form_list(store, batch, which=which)
        assert scans(store, asked) == [], which


LISTS = {  # where a list is, the parameter that turns it, and what names a row of it
    "people": ("/people", "at", r"<th scope=\"row\">person (\d+)</th>"),
    "templates": ("/templates", "at", r"<h2><a [^>]*>template (\d+)</a>"),
    "models": ("/models", "at", r"<h3><a [^>]*>model (\d+)</a>"),
    "choices": ("/models", "choices", r"<td>model (\d+)</td>"),
    "data sets": ("/data", "at", r"<h2><a [^>]*>set (\d+)</a>"),
    "batches of data": ("/data", "batches", r"<span>batch (\d+) "),
    "studies": ("/studies", "at", r"<h2><a [^>]*>study (\d+)</a>"),
}
COUNT = 103


def crowd(store: Store, files: Path) -> TestClient:
    """A browser of a review that has many of everything, numbered in the order that they came."""
    numbers = range(1, COUNT + 1)
    with store.writing() as session:
        now = {"created": store.clock()}
        people = [{"name": f"person {n}", "password": "", "role": "keyer", **now} for n in numbers]
        stores.add_rows(session, User, people)
        taught = {"folder": "gone", "based_on": "", **now}
        stores.add_rows(
            session, TrainedModel, [{"digest": f"{n:064}", "name": f"model {n}", **taught} for n in numbers]
        )
        stores.add_rows(session, Choice, [{"model": f"{n:064}", "time": store.clock()} for n in numbers])
        template = {"template": TALLY.model_dump(mode="json"), "changed": store.clock()}
        stores.add_rows(session, Draft, [{"name": f"template {n}", **template} for n in numbers])
    for n in numbers:
        intake.add_batch(store, f"batch {n}")
        about = {
            "id": n,
            "name": f"set {n}",
            "made": "2026-11-30T10:00:00+00:00",
            "batches": [],
            "numbers": 1,
            "forms": 1,
            "left_out": 0,
        }
        study = {"name": "s", "title": f"study {n}", "seed": 1, "margin": 0.01, "settings": {}, "choices": []}
        study |= {"sets": [], "versions": {}, "machine": "x", "data": {}}
        for folder, name, text in (("datasets", "about.json", about), ("studies", "index.json", study)):
            place = files / folder / str(n)
            place.mkdir(parents=True)
            (place / name).write_text(json.dumps(text))
            (place / "report.html").write_text("")
    return client(store, AppSettings(files=files))


def test_every_list_is_shown_a_page_at_a_time(store: Store, tmp_path: Path) -> None:
    grown(store, double=False)
    browser = crowd(store, tmp_path / "files")
    for name, (address, turn, row) in LISTS.items():
        with statements(store) as asked:
            first = browser.get(address).text
        assert scans(store, asked) == [], name
        pages = int(re.findall(rf"Page 1 of (\d+)</span>\s*<a [^>]*href=\"\?{turn}=2\"", first)[0])
        shown = [re.findall(row, browser.get(f"{address}?{turn}={at}").text) for at in range(1, pages + 1)]
        assert pages > 1 and all(len(part) < COUNT for part in shown), name
        assert sorted(int(n) for part in shown for n in part) == list(range(1, COUNT + 1)), name
        assert re.findall(row, browser.get(f"{address}?{turn}=999").text) == shown[-1], name


def test_what_a_batch_left_undone_is_shown_a_page_at_a_time(store: Store) -> None:
    batch = intake.add_batch(store, "one", many(keep.EACH + 3, 1))
    with store.writing() as session:
        session.execute(sa.update(Page).values(error="page not found"))
        form = session.scalars(sa.select(Form.id)).first()
        user = stores.named_user(session, "ann", "supervisor", store.clock()).id
        asides = [
            {"form_id": form, "page_id": None, "kind": "right", "reason": f"reason {n}"} for n in range(keep.EACH + 1)
        ]
        stores.add_rows(session, Aside, [one | {"user_id": user, "time": store.clock()} for one in asides])
    browser = client(store)
    mend, aside = 'href="/pages/', "reason "
    first = browser.get(f"/batches/{batch}").text
    assert first.count(mend) == keep.EACH and 'href="?pages=2"' in first and 'href="?aside=2"' in first
    assert browser.get(f"/batches/{batch}?pages=2").text.count(mend) == 3
    assert browser.get(f"/batches/{batch}?aside=2").text.count(aside) == 1
    assert browser.get(f"/batches/{batch}?pages=0").status_code == 400
