"""Fixtures that run a test on both databases: SQLite in a file, and PostgreSQL on loopback for as long as tests run."""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from inkshift.review.core import store as stores
from inkshift.review.core.store import Store

_SCHEMAS = itertools.count(1)


def programs() -> Path | None:
    """Where initdb and pg_ctl are; Debian keeps them off the PATH."""
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _run(*command: str) -> None:
    """Run as `postgres` where we are root, whom PostgreSQL refuses."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*user, *command], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@contextmanager
def cluster(programs: Path, fsync: bool = False) -> Iterator[str]:
    """The address of a new PostgreSQL server on a free port of loopback. fsync: decisions wait for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="inkshift-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = str(folder / "data"), str(folder / "log")
    settings = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync={'on' if fsync else 'off'}"
    )
    try:
        _run(str(programs / "initdb"), "-D", data, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        _run(str(programs / "pg_ctl"), "-D", data, "-l", log, "-o", settings, "-w", "-t", "120", "start")
        try:
            yield f"postgresql://{user}@127.0.0.1:{port}/postgres"
        finally:
            _run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of an empty PostgreSQL server; tests that need it are skipped where it is not installed."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed: pip install 'inkshift[postgres]'")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with cluster(found) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.db'}"
    return _schema(request.getfixturevalue("postgres"))


@pytest.fixture
def other_url(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of another empty database of the same kind."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other.db'}"
    return _schema(request.getfixturevalue("postgres"))


def _schema(address: str) -> str:
    schema = f"test{next(_SCHEMAS)}"
    engine = sa.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    engine.dispose()
    return f"{address}?options={quote(f'-csearch_path={schema}')}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = stores.open(url)
    yield opened
    opened.close()
