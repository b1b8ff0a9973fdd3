"""Run review: open the database, read what is to be reviewed, answer until it is stopped."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import signal
import socket
import ssl
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvicorn
from uvicorn.config import LOGGING_CONFIG

from inkshift.datasets.labels import read_labels
from inkshift.errors import SettingError
from inkshift.files import locked
from inkshift.remote import address_of
from inkshift.review.app import SETTINGS, WORKER, AppSettings, make_app
from inkshift.review.batches.reading import model_of, open_reader
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import ADDRESS, Tasks
from inkshift.review.web.security import LOOPBACK, has_accounts
from inkshift.review.web.sessions import IDLE
from inkshift.scratch import scratch

Say = Callable[[str], object]
_PACKAGE = Path(__file__).parents[1]
# To PostgreSQL, of all processes together: it takes a hundred unless it is told otherwise, and those of one that was
# killed are counted for a while.
_CONNECTIONS = 60
# Seconds within which a process must say that it lives: on a busy machine it begins slowly.
_PATIENCE = 60
_ROOT = re.compile(r"(/[\w.~-]+)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Pages to be read into a new batch, by their paths, or addresses in a store. name: empty for the template's name
    and the time.

    double, model_keys: see `intake.add_batch`. labels: CSV of what is known of them already, see `read_labels`.
    """

    paths: Sequence[str]
    template: str
    name: str = ""
    double: bool = False
    model_keys: bool = False
    labels: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to answer. port: 0 is a free one. certificate, key: files in PEM for HTTPS, both or neither. proxy: the
    address of what stands in front: what it says of who asks, and whether by HTTPS, is believed. processes: that
    answer; several need PostgreSQL. root, idle, second_factor: see `app.AppSettings`."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str = ""
    key: str = ""
    proxy: str = ""
    processes: int = 1
    root: str = ""
    idle: timedelta = IDLE
    second_factor: bool = False

    @property
    def local(self) -> bool:
        """Whether only who sits at this computer can ask."""
        return is_local(self.host) and not self.proxy


class JsonLine(logging.Formatter):
    """What the server says of itself as a line of JSON each, for the programs that gather such lines."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "process": record.process, "message": record.getMessage()}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def serve(
    url: str, batch: NewBatch | None, at: ServerSettings, *, files: str, demo: bool, browser: bool, say: Say = print
) -> None:
    """Answer until the process is stopped.

    files: the folder for what is uploaded and taught; empty for one beside the database. demo: show the bundled
    telegrams in a database that goes at the end, whatever `url` says. Raises SettingError where the address is not this
    computer's own and nobody has an account, where it cannot be had, for a certificate that does not do, and for
    several processes on SQLite.
    """
    check_tls(at)
    if at.root and not _ROOT.fullmatch(at.root):
        raise SettingError(f"--root-path {at.root}: expected a path such as /review, without a slash at its end")
    with _opened(url, files, demo) as (store, folder):
        if at.processes > 1 and store.engine.dialect.name == "sqlite":
            raise SettingError(
                f"--processes {at.processes}: SQLite lets one write at a time, so that more would not be faster; give "
                "--db postgresql://USER@HOST/NAME, or leave it out"
            )
        if not at.local and not has_accounts(store):
            given = f"--proxy {at.proxy}" if at.proxy else f"--host {at.host}"
            raise SettingError(
                f"{given}: others can reach that address, and nobody has an account yet; give --supervisor "
                "NAME, or start without --host and add a supervisor with a password under People"
            )
        listening = _listen(at.host, at.port)
        with listening:
            if demo:
                batch = demo_batch()
            start = f"batches/{_begin(store, batch, say)}/queue" if batch else ""
            host = f"[{at.host}]" if ":" in at.host else at.host
            address = f"http{'s' if at.certificate else ''}://{host}:{listening.getsockname()[1]}{at.root}/"
            if not at.local and not at.certificate and not at.proxy:
                say("passwords and pages travel unencrypted there; give --tls-cert and --tls-key")
            say(f"review is at {address}  (Ctrl+C stops it)")
            if browser:
                webbrowser.open(address + start)
            hosts = LOOPBACK if at.local else ()
            settings = AppSettings(not at.local, hosts, folder, True, at.root, at.idle, at.second_factor)
            if at.processes == 1:
                uvicorn.Server(uvicorn.Config(make_app(store, settings), **_how(at))).run(sockets=[listening])
            else:
                _share(store, settings, at, listening)


def _how(at: ServerSettings) -> dict[str, Any]:
    """What uvicorn is told. To a person at a terminal it speaks in plain lines."""
    logs: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    if not sys.stderr.isatty():
        logs["formatters"]["default"] = {"()": f"{__name__}.{JsonLine.__name__}"}
    return {
        "log_config": logs,
        "log_level": "warning",
        "server_header": False,
        "proxy_headers": bool(at.proxy),
        "forwarded_allow_ips": at.proxy or None,
        "timeout_keep_alive": 60,
        "timeout_worker_healthcheck": _PATIENCE,
        "ssl_certfile": at.certificate or None,
        "ssl_keyfile": at.key or None,
    }


def _share(store: Store, settings: AppSettings, at: ServerSettings, listening: socket.socket) -> None:
    """Let several processes answer at one address. This one answers nobody: it keeps the tasks, and starts another
    where one died (uvicorn)."""
    tasks = Tasks(store, settings.files.resolve())
    keeper = threading.Thread(target=tasks.keep)
    theirs = replace(settings, files=settings.files.resolve(), keeps_tasks=False)
    given = {
        "server": os.getpid(),
        "connections": max(_CONNECTIONS // at.processes, 2),
        "settings": SETTINGS.dump_python(theirs, mode="json"),
    }
    os.environ |= {ADDRESS: store.engine.url.render_as_string(hide_password=False), WORKER: json.dumps(given)}
    keeper.start()
    before = {what: signal.getsignal(what) for what in (signal.SIGINT, signal.SIGTERM)}
    try:
        fd = listening.fileno()
        uvicorn.run("inkshift.review.app:worker", factory=True, workers=at.processes, fd=fd, **_how(at))
    finally:
        for what, how in before.items():  # uvicorn keeps them
            signal.signal(what, how)
        tasks.close()
        keeper.join()


def first_supervisor(url: str, name: str, ask: Callable[[], str]) -> None:
    """Give somebody an account as supervisor, where nobody has one; `ask` gives the password then.

    Raises SettingError for a password that is too short.
    """
    with closing(stores.open(url)) as store:
        if not has_accounts(store):
            stores.add_user(store, name, "supervisor", ask())


def _begin(store: Store, batch: NewBatch, say: Say) -> int:
    """Read the pages, and put the labels that are there already into the log; the batch's id."""
    labels = read_labels(batch.labels, amounts=True) if batch.labels else []
    say("reading the pages ...")
    number = read_batch(store, batch)
    if labels:
        done = add_labels(store, number, labels, Path(batch.labels).name)
        say(f"{done.added:,} fields labelled by {batch.labels}; {len(done.unused):,} labels fit no field")
    return number


def check_tls(at: ServerSettings) -> None:
    """Raises SettingError where only one of certificate and key is given, or they cannot be used."""
    if bool(at.certificate) != bool(at.key):
        raise SettingError("HTTPS needs --tls-cert and --tls-key; give both or neither")
    if not at.certificate:
        return
    for option, file in (("--tls-cert", at.certificate), ("--tls-key", at.key)):
        if not os.access(file, os.R_OK) or not Path(file).is_file():
            raise SettingError(f"{option} {file}: expected a file in PEM, found none that can be read; check the path")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(at.certificate, at.key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as e:
        raise SettingError(
            f"--tls-cert {at.certificate}, --tls-key {at.key}: expected a certificate and its key in PEM, without a "
            f"password, found something else ({getattr(e, 'reason', None) or e}); check that they belong together"
        ) from None


def read_batch(store: Store, batch: NewBatch) -> int:
    """Read the pages into a new batch with the model that is the default; its id."""
    reader = open_reader(store, Path(batch.template))
    assert reader.template is not None
    name = batch.name or f"{reader.template.name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    return add_batch(
        store,
        name,
        reader.read([path if address_of(path) else Path(path).resolve() for path in batch.paths]),
        template=reader.template,
        folder=str(Path(batch.template).resolve().parent),
        model=model_of(reader),
        double=batch.double,
        model_keys=batch.model_keys,
    )


def demo_batch() -> NewBatch:
    """The bundled telegrams: within the package where it is installed, beside it in its source."""
    for root in (_PACKAGE, _PACKAGE.parents[1]):
        folder = root / "examples" / "telegram"
        if folder.is_dir():
            return NewBatch(
                [str(path) for path in sorted(folder.glob("scan-*.jpg"))], str(folder / "template.json"), "Demo"
            )
    raise SettingError("--demo: the bundled telegrams are not there; install inkshift again")


def is_local(host: str) -> bool:
    """Whether only this computer reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _opened(url: str, files: str, demo: bool) -> Iterator[tuple[Store, Path]]:
    with (
        scratch() as folder,
        closing(stores.open(f"sqlite:///{folder}/review.db" if demo else url)) as store,
        _alone(store),
    ):
        yield store, Path(files) if files and not demo else stores.files_beside(store)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Hold the database for this server: a second one would take the first one's tasks for interrupted."""
    shown = store.engine.url.render_as_string(hide_password=True)
    taken = SettingError(f"{shown}: another inkshift review serves it; add pages there (New batch), or stop it first")
    if store.engine.dialect.name == "sqlite":
        with ExitStack() as held:
            try:
                held.enter_context(locked(Path(f"{store.engine.url.database}")))
            except SettingError:
                raise taken from None
            yield
        return
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(1768843124)")):
            raise taken
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(1768843124)"))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as e:
        reason = getattr(e, "strerror", None) or "no such address"
        raise SettingError(f"{host} port {port}: cannot be had ({reason}); give another --port or --host") from None
