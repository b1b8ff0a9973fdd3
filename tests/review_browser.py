"""What the tests in a real browser share: the application on a port, and Debian's Chromium; no download."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from inkshift.review.app import AppSettings, make_app
from inkshift.review.core.store import Store, files_beside
from review_app import opened

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = Path("/usr/bin/chromium")
WAIT = 15_000

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: apt-get install chromium")


@contextmanager
def answering(store: Store, settings: AppSettings | None = None) -> Iterator[str]:
    """The address of the application on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = make_app(store, settings or AppSettings(files=files_beside(store)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the browser complains of: scripts that fail, and all that the content security policy blocks."""
    found: list[str] = []
    yield found
    assert found == [], found


def tab(chromium: sync_api.Browser, address: str, said: list[str], wait: int = WAIT) -> sync_api.Page:
    """A browser of its own, with its own cookies, that waits for so many milliseconds."""
    page = chromium.new_context(base_url=address, viewport={"width": 1180, "height": 800}).new_page()
    page.set_default_timeout(wait)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith((address, "data:")) else said.append(request.url))
    return page
