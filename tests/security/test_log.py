"""What is kept of who came in and who was refused."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from inkshift.review.core import store as stores
from inkshift.review.serve import ServerSettings, first_supervisor
from inkshift.review.web.access import NAME, access_log
from review_app import PASSWORD, client, logged_in, opened, serving, token


def test_who_came_in_and_who_was_refused_is_kept(tmp_path: Path) -> None:
    """A name is one line whatever it is made of, and no password is written down."""
    folder = tmp_path / "files"
    with opened(tmp_path) as store, access_log(folder):
        for name, role in (("ana", "keyer"), ("sue", "supervisor")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        assert not folder.exists()
        client(store).post("/login", data={"name": 'x"\n{"event": "logged in"}', "password": "wrong-secret"})
        ana, sue = logged_in(store, "ana"), logged_in(store, "sue")
        ana.get("/people", headers={"X-CSRF-Token": token(ana)})
        ana.post("/logout", headers={"X-CSRF-Token": "guess"})
        sue.post("/people", data={"name": "ben", "password": PASSWORD, "csrf": token(sue)})
        ana.post("/logout", data={"csrf": token(ana)})
        client(store).get("/" + "a" * 5_000, headers={"Host": "elsewhere.example"})
    text = (folder / NAME).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["event"], line["name"]) for line in lines] == [
        ("wrong name or password", 'x"\n{"event": "logged in"}'),
        ("logged in", "ana"),
        ("logged in", "sue"),
        ("for supervisors, refused", "ana"),
        ("forged request refused", "ana"),
        ("keyer ben added", "sue"),
        ("logged out", "ana"),
        ("another host's name refused", ""),
    ]
    assert max(map(len, text.splitlines())) < 500, "a few requests do not push out the rest"
    assert (folder / NAME).stat().st_mode & 0o077 == 0
    assert {line["address"] for line in lines} == {"testclient"}
    assert lines[3]["asked"] == "GET /people" and "secret" not in text and PASSWORD not in text


@pytest.mark.parametrize(("proxy", "address"), [("127.0.0.1", "203.0.113.7"), ("192.0.2.1", "127.0.0.1")])
def test_who_asks_is_believed_of_the_proxy_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, address: str
) -> None:
    """Else anybody could choose the address that wrong passwords are counted by, or lock out all who come through."""
    first_supervisor(f"sqlite:///{tmp_path / 'r.db'}", "sue", lambda: PASSWORD)
    with serving(tmp_path, monkeypatch, ServerSettings(proxy=proxy)) as (port, _):
        answer = httpx2.post(
            f"http://127.0.0.1:{port}/login",
            data={"name": "sue", "password": PASSWORD},
            headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "Host": "review.example"},
            timeout=60,  # a password is a costly hash, and the machine may be busy
        )
    assert answer.status_code == 303
    assert ("Secure" in answer.headers["set-cookie"]) == (address != "127.0.0.1")
    lines = [json.loads(line) for line in (tmp_path / "r-files" / NAME).read_text().splitlines()]
    assert [(line["event"], line["address"]) for line in lines] == [("logged in", address)]
