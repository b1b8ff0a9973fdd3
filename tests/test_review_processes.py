"""Several processes answer on one database: what is shared is shared, and one that dies takes nothing with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

import review_forms as forms
from inkshift.errors import SettingError
from inkshift.review import teach
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Decision, Field
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import Tasks
from inkshift.review.serve import ServerSettings, serve
from inkshift.review.web.sessions import PAUSE, TRIES
from review_app import PASSWORD
from review_circle import settled, still, teacher, wait

pytest_plugins = ["review_databases"]
PATIENCE = 600


def children(process: int) -> list[int]:
    """The processes that answer for a server."""
    found = subprocess.run(["pgrep", "-P", str(process), "-f", "spawn_main"], capture_output=True, text=True).stdout
    return [int(one) for one in found.split()]


@contextmanager
def server(url: str, files: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of two processes, and its address."""
    command = [sys.executable, "-m", "inkshift", "review", "--db", url, "--files", str(files), "--port", "0"]
    command += ["--no-browser", "--processes", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            found = re.search(r"http://[^/]+/", said[0])
            assert found, said + process.stdout.readlines()
            until(lambda: len(children(process.pid)) == 2 and answers(found[0]))
            yield process, found[0]
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}health", timeout=5).text == "ok"
    except httpx2.HTTPError:
        return False


def alive(process: int) -> bool:
    """Whether a process works; one that nobody waited for, as in a container without init, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(so: object) -> None:
    end = time.monotonic() + PATIENCE
    while not so():  # type: ignore[operator]
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


class Keyer:
    """A browser that keys: it tries again where a process dies while it waits, as people do."""

    def __init__(self, address: str, name: str) -> None:
        self.browser = httpx2.Client(base_url=address, timeout=PATIENCE)
        self.confirmed: list[int] = []
        assert self.browser.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303

    def key(self, batch: int, end: threading.Event) -> None:
        while not end.is_set():
            try:
                text = self.browser.get(f"/batches/{batch}/queue").text
                shown = re.search(r'data-field="(\d+)"', text)
                token = re.search(r'X-CSRF-Token": "([^"]*)"', text)
                if not shown or not token:  # a process that begins has no connection yet where the server has no more
                    time.sleep(0.2)
                    continue
                given = {"field": shown[1], "value": "123", "seconds": "1"}
                headers = {"X-CSRF-Token": token[1], "HX-Request": "true"}
                if self.browser.post(f"/batches/{batch}/decide", data=given, headers=headers).status_code == 200:
                    self.confirmed.append(int(shown[1]))
            except httpx2.HTTPError:
                time.sleep(0.2)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_one_that_dies_takes_nothing_with_it(url: str, tmp_path: Path) -> None:
    """No decision that was confirmed is lost, none counts twice; wrong passwords count over both; none outlives the
    server."""
    with closing(stores.open(url)) as store:
        _killed(store, url, tmp_path / "files")


def _killed(store: Store, url: str, files: Path) -> None:
    for name in ("ana", "ben", "eva"):
        stores.add_user(store, name, "keyer", PASSWORD)
    stores.add_user(store, "sue", "supervisor", PASSWORD)
    batch = add_batch(store, "numbers", forms.many(40, 10))
    with server(url, files) as (process, address):
        keyers, end = [Keyer(address, name) for name in ("ana", "ben", "eva")], threading.Event()
        threads = [threading.Thread(target=keyer.key, args=(batch, end)) for keyer in keyers]
        for thread in threads:
            thread.start()
        before = children(process.pid)
        for killed in before:
            at = sum(len(keyer.confirmed) for keyer in keyers)
            until(lambda at=at: sum(len(keyer.confirmed) for keyer in keyers) > at + 10)
            os.kill(killed, signal.SIGKILL)
        until(lambda: len(children(process.pid)) == 2 and not set(children(process.pid)) & set(before))
        end.set()
        for thread, keyer in zip(threads, keyers, strict=True):
            thread.join()
            keyer.browser.close()
        confirmed = [field for keyer in keyers for field in keyer.confirmed]
        with store.reading() as session:
            kept = Counter(session.scalars(sa.select(Decision.field_id)))
            values = set(session.scalars(sa.select(Field.value).where(Field.id.in_(confirmed))))
        assert len(set(confirmed)) == len(confirmed) > 20 and set(confirmed) <= set(kept)
        assert set(kept.values()) == {1} and values == {"123"}
        until(lambda: answers(address))
        wrong = {"name": "sue", "password": "no"}
        begun = time.monotonic()
        guesses = [httpx2.post(f"{address}login", data=wrong, timeout=PATIENCE).status_code for _ in range(TRIES + 2)]
        # Each counts for a minute: on a machine so busy that they take as long, the first count no more.
        assert guesses == [403] * TRIES + [429] * 2 or time.monotonic() - begun > PAUSE.total_seconds()
        last = children(process.pid)
        process.kill()
        until(lambda: not any(alive(one) for one in last))


def test_a_task_is_kept_by_one_process_and_asked_for_by_any(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = teacher(monkeypatch, tmp_path)
    how("waits")
    other = stores.open(store.engine.url.render_as_string(hide_password=False))
    keeps, asks = Tasks(store, tmp_path / "files"), Tasks(other, tmp_path / "files", keeps=False)
    keeper = threading.Thread(target=keeps.keep)
    keeper.start()
    try:
        batch = settled(store)
        task = asks.start("teach", teach.request(other, [batch], "mine"))
        wait(store, task, lambda one: one.note.startswith("round 2 of"))
        with pytest.raises(SettingError, match="one is running already"):
            asks.start("teach", teach.request(other, [batch], "again"))
        asks.stop(task)
        assert wait(store, task).status == "stopped"
        until(lambda: not still(str(tmp_path / "files")))  # and its process is gone
        how("better")
        asks.go_on(task)
        assert wait(store, task).status == "done"
    finally:
        keeps.close()
        keeper.join()
        other.close()


def test_sqlite_is_for_one_process(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--processes 2: SQLite lets one write at a time"):
        serve(f"sqlite:///{tmp_path / 'r.db'}", None, ServerSettings(processes=2), files="", demo=False, browser=False)
