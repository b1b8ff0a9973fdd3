"""What people settle is held against the rules of the template, as what was read is."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from inkshift.forms.rules import broken_rules
from inkshift.review.batches import keep, reading
from inkshift.review.batches.exchange import write_table
from inkshift.review.core import checks, queue
from inkshift.review.core import store as stores
from inkshift.review.core.checks import CheckError
from inkshift.review.core.intake import add_batch, add_forms
from inkshift.review.core.schema import Base, Decision, Field, Form
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from review_app import client, post, shown_field, shown_name, token
from review_first_release import first_release
from review_forms import TALLY, people, taken, tally

pytest_plugins = ["review_databases"]


def batch_of(store: Store, *given: tuple[str, str, str], double: bool = False) -> int:
    forms = [tally(f"f{i}", *values) for i, values in enumerate(given)]
    return add_batch(store, f"tallies {double}", forms, template=TALLY, double=double)


def broken(caught: pytest.ExceptionInfo[CheckError]) -> list[str]:
    return [one.message for one in caught.value.broken]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"a": "99999999999"}, ["cells a: 11 digits do not fit 3 cells"]),
        ({"total": "12345"}, ["digits total: 5 digits, expected 1-4"]),
        ({"total": "1501"}, ["max total: 1501, expected at most 1500"]),
        ({"a": "001", "b": "X02", "total": "_"}, ["sum-{code} a + b = total: 1 + 2 = 3, but total is 0"]),
        ({"a": "X_9", "b": "999", "total": "1008"}, []),
        ({"a": "?", "b": "1", "total": "7"}, []),
    ],
)
def test_a_template_says_what_its_fields_may_hold(written: dict[str, str], found: list[str]) -> None:
    messages = [one.message for one in broken_rules(TALLY.checks, written)]
    code = TALLY.parsed_rules[0].code.removeprefix("sum-")
    assert [message.split(" (")[0] for message in messages] == [one.format(code=code) for one in found]


def test_a_number_that_its_cells_cannot_hold_is_asked_about(store: Store) -> None:
    batch = batch_of(store, ("001", "002", "3"))
    (ann,) = people(store, 1)
    item = taken(store, ann, batch)
    with pytest.raises(CheckError) as caught:
        queue.decide(store, ann, item.field, "99999999999")
    assert broken(caught) == ["cells a: 11 digits do not fit 3 cells"]
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Decision.id))) == 0
    assert queue.decide(store, ann, item.field, "99999999999", checked=True).status == "settled"
    with store.reading() as session:
        assert session.scalars(sa.select(Decision.checked)).all() == [["cells a: 11 digits do not fit 3 cells"]]


def test_the_answer_that_settles_a_broken_sum_is_asked_about(store: Store) -> None:
    """A mistyped blank breaks the sum unseen only until the last of its fields is settled."""
    batch = batch_of(store, ("001", "002", "3"))
    (ann,) = people(store, 1)
    for value in ("001", "blank"):
        queue.decide(store, ann, taken(store, ann, batch).field, value)
    last = taken(store, ann, batch)
    assert [one.left for one in last.broken] == ["1 + 0 = 1"]
    with pytest.raises(CheckError, match=r"but total is 3 \(b counted as 0: blank\)"):
        queue.decide(store, ann, last.field, "3")
    queue.undo(store, ann, batch)
    queue.decide(store, ann, taken(store, ann, batch).field, "002")
    assert queue.decide(store, ann, taken(store, ann, batch).field, "3").status == "settled"


def test_who_keys_blind_is_told_nothing_of_the_others_figures(store: Store) -> None:
    batch = batch_of(store, ("001", "002", "3"), double=True)
    ann, bob = people(store, 2)
    fields = {}
    for user, values in ((ann, ("001", "002")), (bob, ("001",))):
        for value in values:
            item = taken(store, user, batch)
            fields[item.name] = item.field
            assert item.broken == ()
            queue.decide(store, user, item.field, value)
    total = taken(store, ann, batch)
    assert [one.left for one in queue.check(store, ann, total.field, "7")] == ["1 + 2 = 3"]
    assert queue.check(store, bob, total.field, "7") == []
    with pytest.raises(CheckError, match="but total is 7"):  # from what ann typed herself
        queue.decide(store, ann, total.field, "7")
    queue.decide(store, ann, total.field, "7", checked=True)
    queue.release(store, ann)
    queue.decide(store, bob, total.field, "7")  # b is not settled yet
    with pytest.raises(CheckError) as caught:
        queue.decide(store, bob, fields["b"], "002")
    assert [(one.left, one.right) for one in caught.value.broken] == [("1 + 2 = 3", "total = 7")]


def test_a_supervisor_is_asked_as_well(store: Store) -> None:
    batch = batch_of(store, ("001", "002", "3"))
    sue = stores.add_user(store, "sue", "supervisor")
    for value in ("001", "002", "3"):
        queue.decide(store, sue, taken(store, sue, batch).field, value)
    with store.reading() as session:
        field = session.scalars(sa.select(Field.id).where(Field.name == "total")).one()
    with pytest.raises(CheckError, match="but total is 4"):
        queue.settle(store, sue, field, "4")
    assert queue.settle(store, sue, field, "4", checked=True).status == "settled"


def test_export_form_and_count_name_the_rules_as_they_stand(store: Store, tmp_path: Path) -> None:
    """Not as the reader found them: 'f0' was read broken and is settled whole, 'f1' the other way round."""
    batch = batch_of(store, ("001", "002", "9"), ("004", "005", "9"))
    (ann,) = people(store, 1)
    checks.count_broken(store, batch)
    with store.reading() as session:
        assert session.scalars(sa.select(Form.broken).order_by(Form.id)).all() == [1, 0]
    answers = {"f0": {"a": "001", "b": "002", "total": "3"}, "f1": {"a": "004", "b": "005", "total": "8"}}
    while item := queue.next_field(store, ann, batch):
        queue.decide(store, ann, item.field, answers[item.form][item.name], checked=True)
    with store.reading() as session:
        assert session.scalars(sa.select(Form.broken).order_by(Form.id)).all() == [None, None]
    checks.count_broken(store, batch)
    with store.reading() as session:
        assert session.scalars(sa.select(Form.broken).order_by(Form.id)).all() == [0, 1]
    write_table(store, batch, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["form"] for row in rows if row["rules_broken"]} == {"f1"}
    assert all("4 + 5 = 9, but total is 8" in row["rules_broken"] for row in rows if row["form"] == "f1")
    assert [(row["form"], row["field"]) for row in rows if row["checked_by"] == "keyer 1"] == [("f1", "total")]
    first, second = views.form_page(store, 1), views.form_page(store, 2)
    assert first and second and not first.broken and second.breaking == {"a", "b", "total"}


def test_the_page_asks_once_more_and_keeps_what_was_typed(store: Store) -> None:
    batch = batch_of(store, ("001", "002", "3"))
    browser = client(store)
    field = shown_field(browser.get(f"/batches/{batch}/queue").text)
    said = post(browser, f"/batches/{batch}/check", field=field, value="12345")
    assert "a: 5 digits do not fit 3 cells" in said
    text = post(browser, f"/batches/{batch}/decide", field=field, value="12345")
    assert shown_field(text) == field and 'value="12345"' in text and "Look at the paper once more" in text
    plain = browser.post(
        f"/batches/{batch}/decide",
        data={"csrf": token(browser), "field": field, "value": "12345"},
        headers={"Accept-Language": "es"},
    )
    assert "5 dígitos no caben en 3 casillas" in plain.text and "<html" in plain.text
    text = post(browser, f"/batches/{batch}/decide", field=field, value="12345", checked="true")
    assert shown_name(text) == ("f0", "b")
    assert "paper checked" in browser.get("/forms/1").text


def test_a_forms_page_keeps_what_was_typed(store: Store) -> None:
    batch_of(store, ("001", "002", "3"))
    browser = client(store)
    place = "/forms/1/fields/1/settle"
    for value, said in (("12345", "do not fit 3 cells"), ("12a", "Type the number first")):
        answer = browser.post(place, data={"csrf": token(browser), "value": value})
        assert answer.status_code in (400, 409) and said in answer.text and f'value="{value}"' in answer.text
    assert browser.post(place, data={"csrf": token(browser), "value": "12345", "checked": "true"}).status_code == 303


def test_a_whole_form_is_keyed_at_once(store: Store) -> None:
    """All of its fields or none; left empty, a field accepts what was read."""
    batch = batch_of(store, ("001", "002", "3"), ("004", "005", "9"))
    browser = client(store)
    text = browser.get(f"/batches/{batch}/whole").text
    fields = [int(found) for found in re.findall(r'data-field="(\d+)"', text)]
    assert len(fields) == 3 and "<h1>f0</h1>" in text and "3 = 3" in text

    def send(path: str, *typed: str, **more: str) -> tuple[int, str]:
        given = {f"value-{field}": value for field, value in zip(fields, typed, strict=True)}
        read = {f"read-{field}": value for field, value in zip(fields, ("001", "002", "3"), strict=True)}
        answer = browser.post(path, data={"csrf": token(browser), "form": "1", **given, **read, **more})
        return answer.status_code, answer.headers.get("location", answer.text)

    place = f"/batches/{batch}/whole"
    assert "3 = 3" in send(f"{place}/check", "", "", "")[1]
    text = send(f"{place}/check", "1", "b", "7")[1]
    assert "1 = 7" in text and "does not hold" in text
    status, text = send(place, "1", "b", "7")
    assert status == 200 and "1 + 0 = 1, but total = 7" in text and 'value="7"' in text
    buttons = re.findall(r"<button([^>]*)>", text[text.index('id="whole"') :])
    assert [("primary" in one, "checked" in one) for one in buttons] == [(True, False), (False, True)], "Enter saves"
    asked = dict(re.findall(r'name="(asked-value-\d+)" value="(.*?)"', text))
    assert list(asked.values()) == ["1", "b", "7"]
    for typed, about in ((("1", "b", "8"), asked), (("1", "b", "7"), {})):
        status, text = send(place, *typed, checked="true", **about)
        assert status == 200 and f"but total = {typed[2]}" in text, "what they checked was another value"
    status, text = send(place, "1", "z", "7")
    assert status == 400 and 'value="z"' in text
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Decision.id))) == 0
    assert send(place, "", "b", "1") == (303, place)
    with store.reading() as session:
        found = session.execute(sa.select(Field.state, Field.value).where(Field.form_id == 1).order_by(Field.id)).all()
    assert found == [("written", "001"), ("blank", ""), ("written", "1")]
    assert "<h1>f1</h1>" in browser.get(place).text


def test_a_field_is_decided_in_its_own_batch(store: Store) -> None:
    batch, other = batch_of(store, ("001", "002", "3")), batch_of(store, ("001", "002", "3"), double=True)
    browser = client(store)
    field = shown_field(browser.get(f"/batches/{batch}/queue").text)
    assert shown_field(post(browser, f"/batches/{other}/decide", field=field, value="001")) != field
    whole = {"csrf": token(browser), f"value-{field}": "001"}
    assert browser.post(f"/batches/{other}/whole", data=whole).status_code == 400
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Decision.id))) == 0


def test_what_is_read_anew_is_asked_anew(store: Store) -> None:
    """Of several forms of one name on a picture, each by its order."""
    batch = batch_of(store)
    add_forms(store, batch, [tally("t", "001", "002", "3"), tally("t", "004", "005", "9")])

    def state() -> list[tuple[int, str]]:
        rows = keep.form_list(store, batch).rows
        with store.reading() as session:
            last = [session.get_one(Form, row.id).fields[-1].readings[-1].value for row in rows]
        return [(row.broken, value) for row, value in zip(rows, last, strict=True)]

    assert state() == [(0, "3"), (0, "9")]
    for before, read in enumerate((tally("t", "001", "002", "4"), tally("t", "004", "005", "8"))):
        reading._add_readings(store, batch, replace(read, reader="another"), "", before)
    assert state() == [(1, "4"), (1, "8")]


def test_a_database_of_before_keeps_its_decisions(url: str) -> None:
    engine = first_release(url)
    with engine.execution_options(immediate=True).begin() as connection:
        names = {name: table for name, table in Base.metadata.tables.items() if name != "decisions"}
        now = stores.datetime.now(stores.UTC)
        connection.execute(names["users"].insert().values(name="ann", role="keyer", password="", created=now))
        batch = {"name": "b", "folder": "", "created": now, "double": False, "model_keys": False}
        given = sa.text(
            "INSERT INTO batches (name, folder, created, double, model_keys) "
            "VALUES (:name, :folder, :created, :double, :model_keys)"
        )
        moment = names["users"].c.created.type
        connection.execute(given.bindparams(sa.bindparam("created", type_=moment)), batch)
        connection.execute(sa.text("INSERT INTO forms (batch_id, name) VALUES (1, 'f')"))
        field = "INSERT INTO fields (batch_id, form_id, name, urgency, confidence, waiting, status, state, value) "
        connection.execute(sa.text(field + "VALUES (1, 1, 'a', 1, 0.5, :w, 'settled', 'written', '7')"), {"w": False})
        log = "INSERT INTO decisions (field_id, number, user_id, kind, state, value, time, seconds) "
        values = sa.text(log + "VALUES (1, 1, 1, 'key', 'written', '7', :now, 1.5)")
        connection.execute(values.bindparams(sa.bindparam("now", type_=moment)), {"now": now})
    engine.dispose()
    store = stores.open(url)
    with store.reading() as session:
        assert session.execute(sa.select(Decision.value, Decision.checked)).all() == [("7", [])]
        assert session.execute(sa.select(Form.broken, Form.read_as)).all() == [(None, "f")]
    store.close()
