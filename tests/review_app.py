"""What the tests of the web application share: a browser, its session, and the queue as it is shown."""

from __future__ import annotations

import html
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from inkshift.review import serve
from inkshift.review.app import AppSettings, make_app
from inkshift.review.core import store as stores
from inkshift.review.core.store import Store

PASSWORD = "a long password"


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = stores.open(f"sqlite:///{folder / 'review.db'}")
    yield store
    store.close()


def client(store: Store, settings: AppSettings | None = None) -> TestClient:
    return TestClient(make_app(store, settings), base_url="http://127.0.0.1:8571", follow_redirects=False)


def logged_in(store: Store, name: str) -> TestClient:
    """A browser of its own, logged in with `PASSWORD`."""
    browser = client(store)
    answer = browser.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return browser


def token(browser: TestClient) -> str:
    found = re.search(r'X-CSRF-Token": "([^"]*)"', browser.get("/").text)
    assert found
    return found[1]


def post(browser: TestClient, path: str, **data: object) -> str:
    """Post as htmx does; the text of the answer."""
    headers = {"X-CSRF-Token": token(browser), "HX-Request": "true"}
    answer = browser.post(path, data=data, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def shown_field(text: str) -> int | None:
    """The id of the field that a part of the page shows; None where all is done."""
    found = re.search(r'data-field="(\d+)"', text)
    return int(found[1]) if found else None


def shown_name(text: str) -> tuple[str, str]:
    """Form and name of the field that is shown."""
    found = re.search(r'id="field-name"><span class="soft">(.*?)</span> (.*?)</h2>', text)
    assert found
    return html.unescape(found[1]), html.unescape(found[2])


@contextmanager
def serving(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at: serve.ServerSettings | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The real server, in a thread: its port, and what it says."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers: list[serve.uvicorn.Server] = []
    real = serve.uvicorn.Server

    def kept(config: serve.uvicorn.Config) -> serve.uvicorn.Server:
        servers.append(real(config))
        return servers[0]

    monkeypatch.setattr(serve.uvicorn, "Server", kept)
    said: list[str] = []
    thread = threading.Thread(
        target=serve.serve,
        args=(f"sqlite:///{folder / 'r.db'}", None, replace(at or serve.ServerSettings(), port=port)),
        kwargs={"files": "", "demo": False, "browser": False, "say": said.append},
    )
    thread.start()
    try:
        while not (servers and servers[0].started):
            assert thread.is_alive(), "the server did not begin"
            time.sleep(0.01)
        yield port, said
    finally:
        for server in servers:
            server.should_exit = server.force_exit = True
        thread.join()


def said_as(text: str | dict[str, str]) -> list[str]:
    """The forms of a text of a language: one, or one for each kind of plural."""
    return [text] if isinstance(text, str) else list(text.values())
