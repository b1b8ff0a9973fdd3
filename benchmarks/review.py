"""How long keyers wait for review: typing in a real browser, and decisions over HTTP.

    python benchmarks/review.py [--parts together] [--out FILE]

Each part says when it was printed, and the other parts of FILE stay as they are. Numbers are drawn in a line font.
Needs Chromium, and PostgreSQL for its rows.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import cv2
import numpy as np
import sqlalchemy as sa

from bench_read import machine
from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.passwords import hash_password
from inkshift.review.core.schema import Decision, User
from printed import Parts, options, parted, show

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from review_databases import cluster, programs

FIELDS, A_FORM = 10_000, 100
KEYERS = 20
ALONE, PACED = 500, 30
TYPED = 200
TAKEN = 50_000
MANY, KILLED = 8_000, 10
PASSWORD = "a long password"
WANTED = f"Load: processes that wanted the {os.cpu_count()} cores in the last minute, these here and others."
CHROMIUM = "/usr/bin/chromium"
_SERVER = """
import sys, uvicorn
from pathlib import Path
from inkshift.review.core import store as stores
from inkshift.review.app import Settings, make_app
store = stores.open(sys.argv[1])
app = make_app(store, Settings(files=Path(sys.argv[3])))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", server_header=False, timeout_keep_alive=60)
"""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to do anew (default: all)")
    given = parser.parse_args()
    show(parted("The speed of review, measured", PARTS, given, machine()), given.out)


def typing() -> Iterator[str]:
    """What a keyer waits for."""
    yield (
        f"A script types {TYPED} numbers in Chromium by keyboard, without a pause. From the Enter key to the next "
        f"field drawn, with its picture, ready for its first digit. {WANTED}\n"
    )
    yield "| keying | median | 95 of 100 | most | load |"
    yield "|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        for name, double in (("single", False), ("double", True)):
            spent = _typing(Path(folder, name), double)
            yield f"| {name} | {_shown(spent)} | {1000 * max(spent):.0f} ms | {_load()} |"


def deciding() -> Iterator[str]:
    """How long a decision takes on the server."""
    yield (
        f"{FIELDS:,} fields with pictures, double keying, accounts. From sending a decision over HTTP to the last byte "
        f"of the next field; the decision is on disk by then. One decides {ALONE} times without a pause, {KEYERS} "
        f"keyers once a second each, for {PACED} seconds. Asked: 95 of 100 under 50 ms. {WANTED}\n"
    )
    yield "| database | keyers | decisions | median | 95 of 100 | processor time each | load |"
    yield "|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        yield from _decided("SQLite", f"sqlite:///{folder}/review.db", Path(folder, "files"))
        if (found := programs()) is None:
            yield "| PostgreSQL | is not installed | | | | | |"
            return
        with cluster(found, fsync=True) as address:
            yield from _decided("PostgreSQL", address, Path(folder, "files"))


def together() -> Iterator[str]:
    """Many keyers on one process and on two, one of which is killed now and then."""
    found = programs()
    if found is None:
        raise SystemExit("PostgreSQL: expected its programs, found none; install it, or leave this part out")
    yield (
        f"PostgreSQL, {MANY:,} fields with pictures, single keying, once a second each for {PACED} seconds, by "
        f"`inkshift review --processes N`; of several processes one is killed every {KILLED} seconds. The keyers' "
        "script has no core of its own. A decision counts as lost where it was confirmed and is not in the log, as "
        f"doubled where a field has two. {WANTED}\n"
    )
    yield "| processes | keyers | decisions a second | median | 95 of 100 | killed | lost | doubled | load |"
    yield "|---|---|---|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        for processes, keyers in ((1, 20), (2, 20), (1, 200), (2, 200)):
            with cluster(found, fsync=True) as address:
                yield _keyed(address, Path(folder, f"files-{processes}-{keyers}"), processes, keyers)


def taken_in() -> Iterator[str]:
    """How quickly readings come into the store."""
    yield (
        f"Forms of {A_FORM} fields, as `add_batch` keeps them: {TAKEN:,} readings without pictures, {FIELDS // 2:,} "
        f"with, whose encoding is counted. Processor time: of this process, and of the server's. {WANTED}\n"
    )
    yield "| database | pictures | readings a second | processor time each, here | there | load |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        yield from _taken("SQLite", f"sqlite:///{folder}/taken.db")
    if found := programs():
        with cluster(found, fsync=True) as address:
            yield from _taken("PostgreSQL", address)


PARTS: Parts = {
    "typing": ("What a keyer waits for", [], lambda _: typing()),
    "deciding": ("A decision on the server", [], lambda _: deciding()),
    "together": ("Many keyers, and processes that die", [], lambda _: together()),
    "taken": ("Readings taken in", [], lambda _: taken_in()),
}


def _taken(database: str, url: str) -> Iterator[str]:
    store = stores.open(url)
    with store.reading() as session:
        server = 0 if database == "SQLite" else session.scalar(sa.select(sa.func.pg_backend_pid()))
    for pictures, count in (("no", TAKEN), ("yes", FIELDS // 2)):
        forms = list(_forms(count, pictures == "yes"))
        begun, here, there = time.perf_counter(), time.process_time(), _busy(server) if server else 0.0
        add_batch(store, f"pictures: {pictures}", forms)
        each = [1e6 * spent / count for spent in (time.process_time() - here, (_busy(server) if server else 0) - there)]
        rate = count / (time.perf_counter() - begun)
        yield f"| {database} | {pictures} | {rate:,.0f} | {each[0]:.0f} µs | {each[1]:.0f} µs | {_load()} |"
    store.close()


def _decided(database: str, url: str, files: Path) -> Iterator[str]:
    for keyers, spent, busy in _deciding(url, files):
        each = 1000 * busy / len(spent)
        yield f"| {database} | {keyers} | {len(spent):,} | {_shown(spent)} | {each:.0f} ms | {_load()} |"


def _shown(seconds: Sequence[float]) -> str:
    return f"{1000 * median(seconds):.0f} ms | {1000 * quantiles(seconds, n=20)[-1]:.0f} ms"


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _forms(fields: int, pictures: bool = True) -> Iterator[FormReading]:
    """Forms of numbers drawn in a line font, each with its picture, the confidence of each another one."""
    rng = np.random.default_rng(5)
    for start in range(0, fields, A_FORM):
        yield FormReading(
            f"form {start // A_FORM + 1:04}",
            tuple(_field(f"field {k + 1}", rng, pictures) for k in range(min(A_FORM, fields - start))),
            (PageNote(f"scan-{start // A_FORM + 1:04}.png", 1, 0.9),),
        )


def _field(name: str, rng: np.random.Generator, picture: bool) -> FieldReading:
    value, confidence = str(rng.integers(100, 1000)), float(rng.random())
    candidates = (Candidate(value, confidence),)
    if not picture:
        return FieldReading(name, value, value, "written", confidence, candidates)
    crop = np.full((64, 150, 3), 245, np.uint8) - rng.integers(0, 6, (64, 150, 1), np.uint8)
    cv2.putText(crop, value, (18, 48), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.6, (40, 40, 90), 2, cv2.LINE_AA)
    return FieldReading(name, value, value, "written", confidence, candidates, crop=crop)


@contextmanager
def _server(url: str, files: Path) -> Iterator[tuple[int, Callable[[], float]]]:
    """The port of a server in a process of its own, and how many seconds of the processor that took so far."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", _SERVER, url, str(port), str(files)])
    try:
        for _ in range(600):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
                break
            except OSError:
                time.sleep(0.1)
        yield port, lambda: _busy(process.pid)
    finally:
        process.terminate()
        process.wait()


def _busy(process: int) -> float:
    """Seconds that a process used the processor, itself and for it (Linux)."""
    user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Keyer:
    """A browser as far as the server sees it: one connection, a session, the field in hand."""

    def __init__(self, port: int, name: str) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._send("POST", "/login", {"name": name, "password": PASSWORD})
        text = self._send("GET", "/batches/1/queue")
        self._headers |= {"X-CSRF-Token": _found(r'X-CSRF-Token": "([^"]*)"', text), "HX-Request": "true"}
        self.field = _found(r'data-field="(\d+)"', text)

    def come_back(self) -> None:
        """Load the queue anew: the process that was asked is gone."""
        while True:
            self._line.close()
            try:
                text = self._send("GET", "/batches/1/queue", anew=True)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            else:
                self.field = _found(r'data-field="(\d+)"', text)
                return

    def decide(self) -> float:
        """Seconds from the decision to the last byte of the next field."""
        start = time.perf_counter()
        given = {"field": self.field, "value": "123", "seconds": "1"}
        text = self._send("POST", "/batches/1/decide", given)
        spent = time.perf_counter() - start
        self.field = _found(r'data-field="(\d+)"', text)
        return spent

    def _send(self, method: str, path: str, data: dict[str, str] | None = None, anew: bool = False) -> str:
        """The text of the answer. anew: the whole page, not the part of it that htmx asks for."""
        headers = {name: value for name, value in self._headers.items() if not (anew and name == "HX-Request")}
        self._line.request(method, path, urlencode(data or {}), headers)
        answer = self._line.getresponse()
        text = answer.read().decode()
        assert answer.status in (200, 303), (path, answer.status, text[:300])
        if cookie := answer.headers["set-cookie"]:
            self._headers["Cookie"] = cookie.split(";")[0]
        return text


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, (pattern, text[:300])
    return found[1]


def _deciding(url: str, files: Path) -> Iterator[tuple[int, list[float], float]]:
    """How many keyers, seconds of each decision, and of the server's processor: one without a pause, then 20."""
    store = stores.open(url)
    stores.add_user(store, "boss", "supervisor", PASSWORD)
    for i in range(KEYERS):
        stores.add_user(store, f"keyer {i}", "keyer", PASSWORD)
    add_batch(store, "numbers", _forms(FIELDS), double=True)
    store.close()
    with _server(url, files) as (port, busy):
        first = Keyer(port, "keyer 0")
        for _ in range(20):
            first.decide()
        before = busy()
        yield 1, [first.decide() for _ in range(ALONE)], busy() - before
        keyers = [Keyer(port, f"keyer {i}") for i in range(KEYERS)]
        together: list[float] = []

        def work(keyer: Keyer, offset: float) -> None:
            begin = time.perf_counter() + offset
            for i in range(PACED):
                time.sleep(max(0.0, begin + i - time.perf_counter()))
                together.append(keyer.decide())

        before = busy()
        threads = [threading.Thread(target=work, args=(k, i / KEYERS)) for i, k in enumerate(keyers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(together) == KEYERS * PACED
        yield KEYERS, together, busy() - before


def _keyed(url: str, files: Path, processes: int, keyers: int) -> str:
    """A row of the table of many keyers."""
    store = stores.open(url)
    stores.add_user(store, "boss", "supervisor", PASSWORD)
    with store.writing() as session:  # all with one password, for which a second is spent once
        common = {"password": hash_password(PASSWORD, "keyer"), "role": "keyer", "created": store.clock()}
        stores.add_rows(session, User, [{"name": f"keyer {i}", **common} for i in range(keyers)])
    add_batch(store, "numbers", _forms(MANY))
    command = [sys.executable, "-m", "inkshift", "review", "--db", url, "--files", str(files), "--no-browser"]
    command += ["--port", "0", "--processes", str(processes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        port = int(_found(r"http://[^:]+:(\d+)/", server.stdout.readline()))
        crowd = [Keyer(port, f"keyer {i}") for i in range(keyers)]
        spent: list[float] = []
        confirmed: list[str] = []
        begin = time.perf_counter() + 1

        def work(keyer: Keyer, offset: float) -> None:
            at = begin + offset
            while at < begin + PACED:
                time.sleep(max(0.0, at - time.perf_counter()))
                at = max(at + 1, time.perf_counter())
                field = keyer.field
                try:
                    spent.append(keyer.decide())
                    confirmed.append(field)
                except (OSError, http.client.HTTPException):
                    keyer.come_back()

        threads = [threading.Thread(target=work, args=(k, i / keyers)) for i, k in enumerate(crowd)]
        for thread in threads:
            thread.start()
        killed = 0
        while processes > 1 and time.perf_counter() + KILLED < begin + PACED:
            time.sleep(KILLED)
            found = subprocess.run(["pgrep", "-P", str(server.pid), "-f", "spawn_main"], capture_output=True, text=True)
            for process in found.stdout.split()[:1]:  # none while they are started anew
                os.kill(int(process), signal.SIGKILL)
                killed += 1
        for thread in threads:
            thread.join()
        server.terminate()
    with store.reading() as session:
        kept = Counter(str(one) for one in session.scalars(sa.select(Decision.field_id)))
    store.close()
    lost, doubled = len(set(confirmed) - set(kept)), sum(count > 1 for count in kept.values())
    rate = len(spent) / PACED
    return f"| {processes} | {keyers} | {rate:.0f} | {_shown(spent)} | {killed} | {lost} | {doubled} | {_load()} |"


def _typing(folder: Path, double: bool) -> list[float]:
    """Seconds that each of 200 fields adds for somebody who types."""
    from playwright.sync_api import sync_playwright

    folder.mkdir()
    url = f"sqlite:///{folder}/review.db"
    store = stores.open(url)
    add_batch(store, "numbers", _forms(TYPED), double=double)
    store.close()
    with _server(url, folder / "files") as (port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(bypass_csp=True)  # else the script could not wait for what it measures
        page.goto(f"http://127.0.0.1:{port}/batches/1/queue")
        page.evaluate(_CLOCK)
        for done in range(1, TYPED + 1):
            page.keyboard.type("123")
            page.keyboard.press("Enter")
            page.wait_for_function(f"spent.length === {done}")
        spent = [float(one) / 1000 for one in page.evaluate("spent")]
        assert page.locator("#work .done").count() == 1
        browser.close()
    return spent


# From the key as the browser got it to the frame after the one that shows the next field's picture.
_CLOCK = """() => {
  window.spent = [];
  let start = 0;
  addEventListener("keydown", (event) => { if (event.key === "Enter") start = event.timeStamp; }, true);
  document.addEventListener("htmx:afterSwap", async () => {
    await document.querySelector(".look img")?.decode();
    requestAnimationFrame(() => requestAnimationFrame((now) => spent.push(now - start)));
  });
}"""


if __name__ == "__main__":
    main()
