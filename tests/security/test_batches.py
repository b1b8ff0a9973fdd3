"""Fields and forms of one batch asked for by the address of another: numbers that people make up change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Decision, Field
from inkshift.review.core.store import Store
from review_app import PASSWORD, logged_in, opened, token
from review_forms import field, form

READ = "840917"


@pytest.fixture
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two batches: in the first all is keyed twice, in the second what was read is shown."""
    with opened(tmp_path_factory.mktemp("team")) as store:
        for name in ("ana", "ben"):
            stores.add_user(store, name, "keyer", PASSWORD)
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        add_batch(store, "blind", [form("one", field("a", READ, 0.5), field("b", READ, 0.5))], double=True)
        add_batch(store, "open", [form("two", field("a", "7", 0.5), field("b", "8", 0.5))])
        yield store


def fields_of(store: Store, batch: int) -> list[int]:
    with store.reading() as session:
        return list(session.scalars(sa.select(Field.id).where(Field.batch_id == batch).order_by(Field.id)))


def decided(store: Store) -> list[tuple[int, str]]:
    with store.reading() as session:
        return [(each.field_id, each.kind) for each in session.scalars(sa.select(Decision).order_by(Decision.id))]


def send(browser: TestClient, path: str, **data: object) -> int:
    return browser.post(path, data=data, headers={"X-CSRF-Token": token(browser)}).status_code


@pytest.mark.parametrize(("batch", "other"), [(1, 2), (2, 1)])
def test_a_field_is_decided_at_the_address_of_its_own_batch_alone(team: Store, batch: int, other: int) -> None:
    ana = logged_in(team, "ana")
    for number in (*fields_of(team, other), 2**31 - 1):
        assert send(ana, f"/batches/{batch}/decide", field=number, value="55") in (200, 303)
        assert send(ana, f"/batches/{batch}/whole", **{f"value-{number}": "55"}) in (200, 303, 400)
    assert decided(team) == []


def test_nobody_takes_back_what_another_decided_nor_what_they_decided_elsewhere(team: Store) -> None:
    ana, ben = logged_in(team, "ana"), logged_in(team, "ben")
    ana.get("/batches/1/queue")
    mine = fields_of(team, 1)[0]
    assert send(ana, "/batches/1/decide", field=mine, value="55") == 303
    before = decided(team)
    assert len(before) == 1
    for browser, batch in ((ben, 1), (ben, 2), (ana, 2)):
        assert send(browser, f"/batches/{batch}/undo") in (200, 303)
    assert decided(team) == before
    assert send(ana, "/batches/1/undo") in (200, 303)
    assert len(decided(team)) == 2


def test_what_is_keyed_blind_is_shown_at_no_address_of_another_batch(team: Store) -> None:
    ben = logged_in(team, "ben")
    ben.get("/batches/2/queue")
    for number in fields_of(team, 1):
        for batch in (1, 2):
            answer = ben.post(
                f"/batches/{batch}/check", data={"field": number, "value": "1"}, headers={"X-CSRF-Token": token(ben)}
            )
            assert READ not in answer.text
            whole = {"X-CSRF-Token": token(ben)}
            assert (
                READ not in ben.post(f"/batches/{batch}/whole/check", data={f"value-{number}": "1"}, headers=whole).text
            )
        assert READ not in ben.get(f"/fields/{number}/page").text


@pytest.mark.parametrize("path", ["/batches/99/queue", "/batches/99/whole", "/fields/99/page", "/fields/99/page.jpg"])
def test_what_is_not_there_is_not_found(team: Store, path: str) -> None:
    assert logged_in(team, "ana").get(path).status_code == 404
