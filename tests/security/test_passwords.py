"""A password is hard to guess, and only who knows it puts another in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from inkshift.errors import SettingError
from inkshift.review.core import passwords
from inkshift.review.core import store as stores
from inkshift.review.core.passwords import hash_password
from inkshift.review.core.store import Store
from inkshift.review.web.access import NAME, access_log
from inkshift.review.web.sessions import TRIES
from review_app import PASSWORD, client, logged_in, opened, token
from review_forms import Clock

NEW = "olive tractor seven"


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        store.clock = Clock()
        for name, role in (("ana", "keyer"), ("sue", "supervisor")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        yield store


@pytest.mark.parametrize(
    "guessed",
    [
        "password123",
        "P@ssw0rd123",
        "1234567890",
        "qwertyuiop",
        "1q2w3e4r5t",
        "iloveyou123",
        "barcelona123",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "a" * 256,
        "inkshift2026",
        "2026-11-29",
    ],
)
def test_what_is_tried_early_is_no_password(team: Store, guessed: str) -> None:
    with pytest.raises(SettingError, match="hard to guess"):
        hash_password(guessed)
    with pytest.raises(SettingError, match="hard to guess"):
        stores.set_password(team, 1, guessed)
    logged_in(team, "ana")


def test_ones_own_name_is_tried_early() -> None:
    assert hash_password("zwettlomir2026")
    with pytest.raises(SettingError, match="hard to guess"):
        hash_password("zwettlomir2026", "Zwettlomir")


def test_who_has_the_database_pays_for_each_guess(
    real_hasher: Callable[[], PasswordHasher], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By what RFC 9106 asks of argon2id where memory is short."""
    monkeypatch.setattr(passwords, "_hasher", real_hasher)
    with opened(tmp_path) as store:
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        assert extract_parameters(stores.users(store)[0].password) == RFC_9106_LOW_MEMORY
        logged_in(store, "sue")
        assert client(store).post("/login", data={"name": "sue", "password": NEW}).status_code == 403


@pytest.mark.parametrize("long", ["correct horse battery staple", "mesa olivo tractor", "z7#kq9!mwp", "ñandú 0123 x"])
def test_what_is_hard_to_guess_is_one_of_whatever_characters(long: str) -> None:
    assert hash_password(long)


def changed(store: Store, old: str, new: str) -> int:
    browser = logged_in(store, "ana")
    return browser.post("/account/password", data={"csrf": token(browser), "old": old, "password": new}).status_code


def test_ones_own_password_is_changed_by_who_knows_it(team: Store) -> None:
    elsewhere, browser = logged_in(team, "ana"), logged_in(team, "ana")
    old = token(browser)
    data = {"csrf": old, "old": PASSWORD, "password": NEW}
    assert browser.post("/account/password", data=data).headers["location"] == "/account"
    assert browser.get("/").status_code == 200 and token(browser) != old, "still in, by a new session"
    assert elsewhere.get("/").headers["location"] == "/login"
    assert client(team).post("/login", data={"name": "ana", "password": PASSWORD}).status_code == 403
    assert client(team).post("/login", data={"name": "ana", "password": NEW}).status_code == 303


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [("guess", NEW, 403), ("", NEW, 403), (PASSWORD, "", 400), (PASSWORD, "short", 400), (PASSWORD, "1234567890", 400)],
)
def test_nothing_changes_where_the_old_or_the_new_one_is_none(team: Store, old: str, new: str, status: int) -> None:
    assert changed(team, old, new) == status
    logged_in(team, "ana")


def test_an_open_browser_is_no_place_to_guess_the_old_one(team: Store) -> None:
    """By person too, so that other addresses are no way around."""
    browsers = [logged_in(team, "ana") for _ in range(2)]
    for at, browser in enumerate(browsers):
        browser._transport.client = (f"10.0.0.{at}", 50_000)  # type: ignore[attr-defined]
    answers = [
        browsers[at % 2]
        .post("/account/password", data={"csrf": token(browsers[at % 2]), "old": f"guess {at}", "password": NEW})
        .status_code
        for at in range(TRIES + 1)
    ]
    assert answers == [403] * TRIES + [429]


def test_a_supervisor_has_no_way_around_the_old_one(team: Store) -> None:
    sue = logged_in(team, "sue")
    for user, status in ((1, 303), (2, 404)):
        answer = sue.post(f"/people/{user}/password", data={"csrf": token(sue), "password": NEW})
        assert answer.status_code == status
    assert 'action="/people/2/password"' not in sue.get("/people").text


def test_a_change_is_kept_and_no_password(team: Store, tmp_path: Path) -> None:
    with access_log(tmp_path / "files"):
        changed(team, "guess it", NEW)
        changed(team, PASSWORD, NEW)
    text = (tmp_path / "files" / NAME).read_text()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events == ["logged in", "wrong password for another one", "logged in", "changed their password"]
    assert NEW not in text and "guess it" not in text


def test_who_alone_uses_this_computer_has_no_account(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        browser = client(store)
        data = {"csrf": token(browser), "password": NEW}
        assert browser.get("/account").status_code == 404
        assert browser.post("/account/password", data=data).status_code == 404
        assert browser.post("/account/sessions", data=data).status_code == 404
