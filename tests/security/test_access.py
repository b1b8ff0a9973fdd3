"""Who may come in where: every route, asked by a stranger, by a keyer and without the session's token."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from inkshift.review.app import ROUTES
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from review_app import PASSWORD, client, logged_in, opened, token
from review_forms import field, form

# All that a keyer may ask for; whatever is added to the application is a supervisor's unless it is named here.
FOR_KEYERS = {
    ("GET", "/"),
    ("GET", "/batches/{batch}/queue"),
    ("POST", "/batches/{batch}/decide"),
    ("POST", "/batches/{batch}/check"),
    ("POST", "/batches/{batch}/undo"),
    ("POST", "/fields/{field}/hold"),
    ("GET", "/batches/{batch}/whole"),
    ("POST", "/batches/{batch}/whole"),
    ("POST", "/batches/{batch}/whole/check"),
    ("GET", "/fields/{field}/page"),
    ("GET", "/fields/{field}/page.jpg"),
    ("POST", "/logout"),
    ("GET", "/account"),
    ("POST", "/account/password"),
    ("POST", "/account/sessions"),
    ("GET", "/second-factor"),
    ("POST", "/second-factor"),
    ("POST", "/second-factor/remove"),
}
FOR_ALL = {(method, path) for method in ("GET", "POST") for path in ("/login", "/login/code")} | {("POST", "/language")}
# What was read, so that nothing else on a page looks like it.
READ = "840917"
WORDS = {"kind": "csv", "what": "stop", "digest": "0" * 64}

ALL = sorted({(method, route.path) for module in ROUTES for route in module.router.routes for method in route.methods})


def address(path: str) -> str:
    """The path with its blanks filled in: the first of everything."""
    return re.sub(r"\{(\w+)\}", lambda blank: WORDS.get(blank[1], "1"), path)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with opened(tmp_path_factory.mktemp("team")) as store:
        for name, role in (("ana", "keyer"), ("ben", "keyer"), ("sue", "supervisor")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        add_batch(store, "twice", [form("one", field("a", READ, 0.5), field("b", READ, 0.95))], double=True)
        add_batch(store, "other", [form("two", field("a", "7", 0.5))])
        yield store


@pytest.fixture(scope="module")
def keyer(team: Store) -> TestClient:
    return logged_in(team, "ana")


@pytest.fixture(scope="module")
def boss(team: Store) -> TestClient:
    return logged_in(team, "sue")


@pytest.mark.parametrize(("method", "path"), [each for each in ALL if each not in FOR_ALL])
def test_a_stranger_gets_no_further_than_the_door(team: Store, method: str, path: str) -> None:
    answer = client(team).request(method, address(path), headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/login")


@pytest.mark.parametrize(("method", "path"), [each for each in ALL if each not in FOR_KEYERS | FOR_ALL])
def test_a_keyer_gets_nothing_that_is_a_supervisors(keyer: TestClient, method: str, path: str) -> None:
    answer = keyer.request(method, address(path), headers={"X-CSRF-Token": token(keyer)})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", sorted(path for method, path in ALL if method == "POST" and path != "/login"))
def test_nothing_changes_without_the_sessions_token(boss: TestClient, path: str) -> None:
    for forged in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": token(boss), "Sec-Fetch-Site": "cross-site"}):
        assert boss.post(address(path), headers=forged).status_code == 403


def test_what_a_keyer_may_is_there() -> None:
    assert set(ALL) >= FOR_KEYERS | FOR_ALL


def test_who_keys_blind_sees_neither_what_was_read_nor_what_others_keyed(team: Store) -> None:
    """Nor anything of a field that somebody else holds, whatever ids they make up."""
    ana, ben = logged_in(team, "ana"), logged_in(team, "ben")
    first = ana.get("/batches/1/queue").text
    assert 'data-field="' in first and READ not in first
    held = int(re.search(r'data-field="(\d+)"', first)[1])  # type: ignore[index]
    other = ben.post("/batches/1/decide", data={"field": held, "value": "55"}, headers={"X-CSRF-Token": token(ben)})
    assert other.status_code == 303
    assert views.left(team, 1) == 2, "what another holds was not decided"
    said = ben.post("/batches/1/check", data={"field": held, "value": "55"}, headers={"X-CSRF-Token": token(ben)})
    assert said.status_code == 200 and READ not in said.text
    assert ben.post(f"/fields/{held}/hold", headers={"X-CSRF-Token": token(ben)}).status_code == 409


@pytest.mark.parametrize("number", ["0", "-1", "2147483648", "1e3", "1;drop table users", "../1", "%00"])
def test_made_up_numbers_are_refused(boss: TestClient, number: str) -> None:
    for path in ("/batches/{}", "/forms/{}", "/fields/{}/page", "/data/{}", "/tasks/{}", "/templates/{}"):
        assert boss.get(path.format(number)).status_code in (400, 404)


def test_a_cookie_of_anothers_making_is_nobody(team: Store) -> None:
    browser = client(team)
    for made_up in ("1", "sue", "' or 1=1 --", "A" * 4000, "\x7f"):
        browser.cookies.clear()
        browser.cookies.set("inkshift-8571", made_up)
        assert browser.get("/people").headers["location"] == "/login"
