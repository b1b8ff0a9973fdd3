"""A session that was left open elsewhere, or taken, is seen by its person and ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from inkshift.review.core import store as stores
from inkshift.review.core.schema import User
from inkshift.review.core.store import Store
from inkshift.review.web.sessions import LoginOrigin, end_sessions, find_session, sessions_of, start_session
from review_app import PASSWORD, client, logged_in, opened, token
from review_forms import Clock

pytest_plugins = ["review_databases"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0 Safari/537.36 "
    "Edg/139.0"
)
IPAD = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.5 Safari/604.1"


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        store.clock = Clock()
        for name, role in (("ana", "keyer"), ("ben", "keyer"), ("sue", "supervisor")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        yield store


def keys(browser: TestClient) -> list[str]:
    """Of the sessions that one can end, the newest first."""
    return re.findall(r'name="key" value="(\w+)"', browser.get("/account").text)


def end(browser: TestClient, key: str = "") -> None:
    assert browser.post("/account/sessions", data={"csrf": token(browser), "key": key}).status_code == 303


def is_in(browser: TestClient) -> bool:
    return browser.get("/").status_code == 200


def from_(store: Store, agent: str, at: str = "testclient") -> TestClient:
    browser = client(store)
    browser._transport.client = (at, 50_000)  # type: ignore[attr-defined]
    browser.headers["User-Agent"] = agent
    browser.post("/login", data={"name": "ana", "password": PASSWORD})
    return browser


@pytest.mark.parametrize(
    ("agent", "said"), [(FIREFOX, "Firefox, Linux"), (EDGE, "Edge, Windows"), (IPAD, "Safari, iPad")]
)
def test_one_sees_where_one_is_logged_in(team: Store, agent: str, said: str) -> None:
    from_(team, agent, "10.1.2.3")
    shown = logged_in(team, "ana").get("/account").text
    assert said in shown and "10.1.2.3" in shown and shown.count("this browser") == 1


def test_what_a_browser_calls_itself_is_no_markup(team: Store) -> None:
    from_(team, "<script>alert(1)</script> Firefox/" + "x" * 5000)
    shown = logged_in(team, "ana").get("/account").text
    assert "alert" not in shown and "Firefox" in shown


def test_one_session_is_ended_and_no_other(team: Store) -> None:
    first, second, here = (logged_in(team, "ana") for _ in range(3))
    listed = keys(here)
    assert len(listed) == 2
    end(here, listed[0])
    assert is_in(here) and is_in(first) + is_in(second) == 1


def test_all_others_are_ended(team: Store) -> None:
    others, ben, here = [logged_in(team, "ana") for _ in range(2)], logged_in(team, "ben"), logged_in(team, "ana")
    end(here)
    assert is_in(here) and is_in(ben) and not any(map(is_in, others))
    assert not keys(here)


def test_nobody_sees_or_ends_those_of_others(team: Store) -> None:
    ben, ana = logged_in(team, "ben"), logged_in(team, "ana")
    (elsewhere,) = keys(logged_in(team, "ben"))
    assert elsewhere not in ana.get("/account").text
    end(ana, elsewhere)
    end(logged_in(team, "sue"), elsewhere)
    assert is_in(ben)


def test_what_is_shown_of_a_session_lets_nobody_in(team: Store) -> None:
    logged_in(team, "ana")
    (shown,) = keys(logged_in(team, "ana"))
    thief = client(team)
    thief.cookies.set("inkshift-8571", shown)
    assert thief.get("/").headers["location"] == "/login"


def test_those_that_are_over_are_not_listed(store: Store) -> None:
    store.clock = clock = Clock()
    stores.add_user(store, "ana", "keyer", PASSWORD)
    ana = stores.log_in(store, "ana", PASSWORD)
    assert ana
    first, _ = start_session(store, ana, place=LoginOrigin("a" * 300, "Firefox"))
    start_session(store, ana, waits=True)
    clock.now += timedelta(minutes=20)
    here, _ = start_session(store, ana)
    assert [one.here for one in sessions_of(store, ana, here)] == [True, False]
    clock.now += timedelta(minutes=11)
    assert [one.began for one in sessions_of(store, ana, here)] == [clock.now - timedelta(minutes=11)]
    end_sessions(store, ana.id, but=here)
    assert find_session(store, here) and not find_session(store, first)
    stores.set_password(store, ana.id, "quite another one")
    again = store.get(User, ana.id)
    assert again and not sessions_of(store, again, here)


def test_a_clock_that_goes_back_ends_nobody_and_keeps_nobody_in(team: Store) -> None:
    browser, clock = from_(team, FIREFOX), team.clock
    assert isinstance(clock, Clock) and is_in(browser)
    clock.now -= timedelta(days=1)
    assert is_in(browser) and is_in(from_(team, EDGE))
    clock.now += timedelta(days=2)
    assert not is_in(browser)
