"""Clients that send too much, too slowly or too often keep nobody else out."""

from __future__ import annotations

import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from inkshift.review.core import passwords
from inkshift.review.core import store as stores
from inkshift.review.core.store import Store
from inkshift.review.web.security import MOST_BYTES
from inkshift.review.web.sessions import PAUSE, TRIES, may_try, tried_right
from review_app import PASSWORD, client, opened, serving
from review_forms import Clock

pytest_plugins = ["review_databases"]

CONNECTIONS = 200


def test_slow_clients_keep_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred that never end their request: half in its head, half in its body."""
    with serving(tmp_path, monkeypatch) as (port, _), ExitStack() as open_:
        for at in range(CONNECTIONS):
            line = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
            head = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            body = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nname="
            line.sendall(head if at % 2 else head + body)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login", timeout=20) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /static/%2e%2e/%2e%2e/app.py HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_fair_request_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    with serving(tmp_path, monkeypatch) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(sent)
        assert line.recv(65536).split(b" ")[1] in (b"400", b"404", b"411", b"413", b"431")


def test_bodies_have_a_limit(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        browser = client(store)
        browser.get("/")
        assert browser.post("/batches/1/decide", content=b"a" * (MOST_BYTES + 1)).status_code == 413


def test_guessing_passwords_is_slow_whoever_is_guessed(tmp_path: Path) -> None:
    """By address, so that nobody can shut another person out by failing in their name from elsewhere."""
    with opened(tmp_path) as store:
        stores.add_user(store, "sue", "supervisor", PASSWORD)
        browser = client(store)
        answers = [
            browser.post("/login", data={"name": name, "password": "guess"}).status_code
            for name in ("sue", "ana", "nobody", "sue") * 3
        ]
        assert answers == [403] * 10 + [429] * 2
        assert browser.post("/login", data={"name": "sue", "password": PASSWORD}).status_code == 429


def test_many_guesses_at_once_are_no_way_around(store: Store) -> None:
    """Each is a hash that takes 64 MB: were they only counted once they failed, forty at once would take the memory."""
    store.clock = clock = Clock()
    with ThreadPoolExecutor(TRIES + 2) as pool:
        assert sum(pool.map(lambda _: may_try(store, "a"), range(TRIES + 2))) == TRIES
    assert may_try(store, "b" * 300), "another address is not kept out"
    tried_right(store, "a")
    assert may_try(store, "a") and not may_try(store, "a")
    clock.now += PAUSE + timedelta(seconds=1)
    assert may_try(store, "a")


def test_a_name_that_is_nobodys_is_put_through_the_same_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the time an answer takes tells no names."""
    hashed: list[str] = []
    real = passwords._nobodys

    def counted() -> str:
        hashed.append("nobody")
        return real()

    monkeypatch.setattr(passwords, "_nobodys", counted)
    with opened(tmp_path) as store:
        assert stores.log_in(store, "nobody", "guess") is None
    assert hashed == ["nobody"]
