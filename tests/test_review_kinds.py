"""People key fields that are no numbers: what is taken, how it is compared, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from inkshift.errors import SettingError
from inkshift.forms.reading import Candidate, FieldReading
from inkshift.forms.template import FieldSpec, PageSpec, Template
from inkshift.review.batches.exchange import lines, write_table
from inkshift.review.core import store as stores
from inkshift.review.core.agreement import agreement
from inkshift.review.core.intake import add_batch
from inkshift.review.core.queue import decide, next_field, next_form
from inkshift.review.core.store import Store
from inkshift.review.keying.views import confusions
from review_app import PASSWORD, logged_in, opened, post, token
from review_forms import CROP, MARKS, field, form, people

SPECS = (
    FieldSpec(name="votes", box=(40, 40, 60, 30), digits=(1, 4)),
    FieldSpec(name="yes", box=(40, 90, 20, 20), kind="tick"),
    FieldSpec(name="name", box=(40, 140, 60, 30), kind="text"),
    FieldSpec(name="day", box=(40, 190, 60, 30), kind="date"),
)
TEMPLATE = Template(name="kinds", pages=(PageSpec(size=(200, 300), marks=MARKS, fields=SPECS),))


def unread(name: str, **more: object) -> FieldReading:
    return FieldReading(name, "", "?", "unread", 0.0, source="scans/a.pdf", crop=CROP, **more)  # type: ignore[arg-type]


def tick(value: str = "1", confidence: float = 0.95) -> FieldReading:
    item = field("yes", value, confidence, kind="tick")
    assert item.candidates == (Candidate(value, confidence),)
    return item


def read_form(name: str = "f1") -> object:
    return form(name, field("votes"), tick(), unread("name", kind="text"), unread("day", kind="date"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


def decided(store: Store, batch: int) -> dict[str, tuple[str, str]]:
    return {line.row["field"]: (line.row["decided"], line.row["decided_state"]) for line in lines(store, batch)}


def test_each_kind_is_keyed_as_what_it_is(store: Store, tmp_path: Path) -> None:
    batch = add_batch(store, "b", [read_form()], template=TEMPLATE)  # type: ignore[list-item]
    (user,) = people(store, 1)
    answers = {"votes": "12", "yes": "0", "name": "  Zoë   d'Arc 3rd ", "day": "3.11.2026"}
    order = []
    while item := next_field(store, user, batch):
        assert item.limit.kind == next(spec.kind for spec in SPECS if spec.name == item.name)
        order.append(item.name)
        decide(store, user, item.field, answers[item.name])
    assert set(order[:2]) == {"name", "day"}, "what nobody read comes first"
    expected = {"votes": "12", "yes": "0", "name": "Zoë d'Arc 3rd", "day": "2026-11-03"}
    assert decided(store, batch) == {name: (value, "written") for name, value in expected.items()}
    assert confusions(store, batch) == {("1", "1"): 1, ("2", "2"): 1}, "only digits of numbers are compared"
    assert [(pair.fields, pair.agreed) for pair in agreement(store, batch)] == [(2, 1)], "texts are left to people"
    write_table(store, batch, tmp_path / "out.xlsx")
    rows = list(openpyxl.load_workbook(tmp_path / "out.xlsx").active.iter_rows(values_only=True))
    column = rows[0].index("decided")
    out = {row[1]: row[column] for row in rows[1:]}
    assert out == {"votes": 12, "yes": False, "name": "Zoë d'Arc 3rd", "day": datetime(2026, 11, 3)}


@pytest.mark.parametrize(
    ("name", "typed", "state"),
    [
        ("name", "/b", "blank"),
        ("name", "/X", "crossed-out"),
        ("day", "unreadable", "unreadable"),
        ("name", "b", "written"),
    ],
)
def test_states_are_told_from_texts(store: Store, name: str, typed: str, state: str) -> None:
    batch = add_batch(store, "b", [form("f1", unread(name))], template=TEMPLATE)
    (user,) = people(store, 1)
    item = next_field(store, user, batch)
    assert item is not None
    decide(store, user, item.field, typed)
    assert decided(store, batch)[name] == (typed if state == "written" else "", state)


@pytest.mark.parametrize(("name", "typed"), [("day", "31.2.2026"), ("yes", "7"), ("votes", "12.5"), ("name", " ")])
def test_what_a_kind_does_not_hold_is_refused(store: Store, name: str, typed: str) -> None:
    batch = add_batch(store, "b", [form("f1", field(name) if name == "votes" else unread(name))], template=TEMPLATE)
    (user,) = people(store, 1)
    item = next_field(store, user, batch)
    assert item is not None
    with pytest.raises(SettingError, match="expected"):
        decide(store, user, item.field, typed)


def test_two_who_type_one_date_in_two_ways_agree(store: Store) -> None:
    batch = add_batch(store, "b", [form("f1", unread("day"), tick())], template=TEMPLATE, double=True)
    one, two = people(store, 2)
    for user, day, ticked in ((one, "2026-11-03", "0"), (two, "3.11.2026", "blank")):
        while item := next_field(store, user, batch):
            decide(store, user, item.field, day if item.name == "day" else ticked)
    assert decided(store, batch) == {"day": ("2026-11-03", "written"), "yes": ("0", "written")}


def test_the_queue_shows_and_takes_each_kind(store: Store) -> None:
    batch = add_batch(store, "b", [form("f1", unread("day"), tick())], template=TEMPLATE)
    stores.add_user(store, "ana", "supervisor", PASSWORD)
    browser = logged_in(store, "ana")
    page = browser.get(f"/batches/{batch}/queue").text
    assert "As 2026-11-28 or 28.11.2026." in page
    user = store_user(store)
    item = next_field(store, user, batch)
    assert item is not None and item.name == "day"
    page = post(browser, f"/batches/{batch}/decide", field=item.field, value="2026-13-13")
    assert "Type the date as 2026-11-28" in page and "2026-13-13" in page, "what was typed stays"
    post(browser, f"/batches/{batch}/decide", field=item.field, value="13.12.2026")
    page = browser.get(f"/batches/{batch}/queue").text
    assert 'data-key="1"' in page and 'data-key="0"' in page and "read as" in page.lower()
    assert "ticked" in page


def test_a_whole_form_of_all_kinds_is_keyed_at_once(store: Store) -> None:
    batch = add_batch(store, "b", [read_form()], template=TEMPLATE)  # type: ignore[list-item]
    stores.add_user(store, "ana", "supervisor", PASSWORD)
    browser = logged_in(store, "ana")
    page = browser.get(f"/batches/{batch}/whole").text
    form, items = next_form(store, store_user(store), batch)
    assert form is not None
    ids = {item.name: item.field for item in items}
    assert f'name="kind-{ids["name"]}" value="text"' in page
    typed: dict[str, object] = {f"kind-{ids['name']}": "text", f"value-{ids['name']}": "B", f"value-{ids['day']}": "U"}
    typed |= {f"value-{ids['votes']}": "", f"read-{ids['votes']}": "12", f"value-{ids['yes']}": "1", "form": form.id}
    answer = browser.post(f"/batches/{batch}/whole", data=typed | {"csrf": token(browser)})
    assert answer.status_code == 303, answer.text
    assert decided(store, batch) == {
        "votes": ("12", "written"),
        "yes": ("1", "written"),
        "name": ("B", "written"),
        "day": ("", "unreadable"),
    }


def store_user(store: Store) -> int:
    return next(user.id for user in stores.users(store) if user.name == "ana")


def test_a_form_shows_ticks_and_states_in_words(store: Store) -> None:
    add_batch(store, "b", [form("f1", tick(), unread("day", kind="date"))], template=TEMPLATE)
    stores.add_user(store, "ana", "supervisor", PASSWORD)
    page = logged_in(store, "ana").get("/forms/1").text
    assert '<span class="digits">ticked</span>' in page and '<span class="digits">1</span>' not in page
    assert '<span class="digits">?</span>' not in page
