"""Review in one file, and back: its database, of either kind, and its folder of files; all of it checked.

The file is a zip archive: a line of JSON for each row of each table, the files as they are, and, last, `backup.json`,
which has the SHA-256 of each. A backup of PostgreSQL goes into SQLite as well, and the other way round.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.orm import Session

from inkshift.errors import InputError, SettingError
from inkshift.files import is_file, parse_json, whole_file, whole_folder
from inkshift.review.core.schema import Base, Batch, Moment, Page, TrainedModel
from inkshift.review.core.store import Store

MANIFEST = "backup.json"
# Nobody stays logged in, and wrong passwords are forgotten.
_LEFT_OUT = {"sessions", "tries"}
_ROWS, _BYTES = 500, 2**20
# Bytes of what a backup says of itself, which names each file, and of a row: who means harm packs more into little.
_MOST_SAID, _MOST_ROW = 256 * 2**20, 16 * 2**20
# What a zip archive raises that is none, or not whole any more; `RuntimeError` where a bit says that it is encrypted.
_DAMAGED = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError, NotImplementedError, RuntimeError)
# What a row that is none of ours comes to besides.
_NO_ROW = (TypeError, AttributeError, sa.exc.SQLAlchemyError)


class BackupManifest(BaseModel):
    """What a backup says of itself. inkshift: the version that wrote it; tables_of: of its tables. rows: how many each
    table has. digests: SHA-256 of each member of the archive."""

    inkshift: str
    tables_of: str
    rows: dict[str, int]
    digests: dict[str, str]

    @property
    def files(self) -> list[str]:
        """The members that are files, without the folder that they are in."""
        return [name.removeprefix("files/") for name in self.digests if name.startswith("files/")]


def back_up(store: Store, files: Path, out: Path) -> BackupManifest:
    """Write all that review holds to one file, as it is at one moment, and read it once more.

    files: the folder for what is uploaded and taught; it need not be there where nothing was. Review may go on
    meanwhile. Raises SettingError where `out` cannot be written, and where that folder is missed.
    """
    _need_files(store, files)
    with whole_file(out) as part:
        part.chmod(0o600)  # it holds what people wrote, and the hashes of their passwords
        digests, rows = {}, {}
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with store.reading() as session:
                if session.get_bind().dialect.name == "postgresql":
                    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                for table in _tables():
                    name = f"tables/{table.name}.jsonl"
                    digests[name], rows[table.name] = _add(archive, name, _lines(session, table))
                of = _tables_of(session)
            for file in sorted(files.rglob("*")):
                within = file.relative_to(files)
                # Hidden ones are locks, and what is being written.
                if file.is_file() and not file.is_symlink() and not any(one.startswith(".") for one in within.parts):
                    with suppress(FileNotFoundError), file.open("rb") as opened:
                        name = f"files/{within.as_posix()}"
                        digests[name], _ = _add(archive, name, iter(partial(opened.read, _BYTES), b""))
            made = BackupManifest(inkshift=version("inkshift"), tables_of=of, rows=rows, digests=digests)
            archive.writestr(MANIFEST, made.model_dump_json())
        return check(part, out)


def _need_files(store: Store, files: Path) -> None:
    """Raises SettingError where the folder is not there, but the database names files within it."""
    if files.is_dir():
        return
    with store.reading() as session:
        for column in (Page.source, Batch.folder, TrainedModel.folder):
            for path in session.scalars(sa.select(column).where(column != "").distinct()):
                if not Path(path).is_absolute():
                    raise SettingError(f"{files}: no such folder, but review keeps {path} in it; name it with --files")


def check(path: Path, shown: Path | None = None) -> BackupManifest:
    """What a backup says of itself, once each of its members was read and is as it was written.

    shown: what messages name instead. Raises InputError where it is damaged, or no backup.
    """
    shown = shown or path
    try:
        if not is_file(path):  # a device would never end
            raise ValueError("no file is there")
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(MANIFEST).file_size > _MOST_SAID:
                raise ValueError(f"{MANIFEST} is larger than {_MOST_SAID >> 20} MiB")
            given = BackupManifest.model_validate(parse_json(archive.read(MANIFEST)))
            for name, digest in given.digests.items():
                with archive.open(name) as member:
                    found = hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
                if found != digest:
                    raise InputError(f"{shown}: {name} is not as it was written; take another copy of the backup")
    except _DAMAGED as e:
        raise _no_backup(shown, e) from None
    return given


def _no_backup(shown: Path, why: Exception) -> InputError:
    reason = " ".join(str(why).split())[:200] or type(why).__name__
    return InputError(f"{shown}: expected a backup of review, whole; found none ({reason})")


def restore(path: Path, given: BackupManifest, store: Store, files: Path) -> None:
    """Bring back what `back_up` wrote, into an empty database and an empty folder: all of it, or nothing.

    given: what `check` found of it. Raises InputError where it is of another version, and SettingError where something
    is there already.
    """
    if files.is_dir() and any(files.iterdir()):
        raise SettingError(
            f"{files}: is not empty; a backup goes where nothing is yet: give another folder with --files"
        )
    unsafe = [name for name in given.files if ".." in (one := PurePosixPath(name)).parts or one.is_absolute()]
    if unsafe:
        raise InputError(f"{path}: holds a file {unsafe[0]!r} that is not within its folder; it is no backup of review")
    with store.writing() as session, zipfile.ZipFile(path) as archive:
        own = _tables_of(session)
        if given.tables_of != own:
            raise InputError(
                f"{path}: its tables have version {given.tables_of}, of inkshift {given.inkshift}, these {own}; "
                "restore it with that inkshift, and upgrade then"
            )
        for table in _tables():
            if session.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                shown = store.engine.url.render_as_string(hide_password=True)
                raise SettingError(f"{shown}: is not empty ({table.name}); give a new database with --db")
        for table in _tables():
            try:
                with archive.open(f"tables/{table.name}.jsonl") as file:
                    lines = iter(partial(file.readline, _MOST_ROW), b"")
                    while rows := [_row(table, line) for line in islice(lines, _ROWS)]:
                        session.execute(table.insert(), rows)
            except (*_DAMAGED, *_NO_ROW) as e:
                raise _no_backup(path, e) from None
            if session.get_bind().dialect.name == "postgresql" and "id" in table.c:
                # It numbers new rows behind those that were brought back.
                numbers = sa.func.pg_get_serial_sequence(table.name, "id")
                session.execute(sa.select(sa.func.setval(numbers, sa.func.max(table.c.id))).select_from(table))
        with whole_folder(files) as folder:
            for name in given.files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).touch(mode=0o600)
                with archive.open(f"files/{name}") as member, (folder / name).open("wb") as file:
                    shutil.copyfileobj(member, file)


def _tables() -> list[sa.Table]:
    return [table for table in Base.metadata.sorted_tables if table.name not in _LEFT_OUT]


def _tables_of(session: Session) -> str:
    return str(session.scalar(sa.text("SELECT version_num FROM alembic_version")))


def _lines(session: Session, table: sa.Table) -> Iterator[bytes]:
    rows = session.execute(sa.select(table).order_by(*table.primary_key)).yield_per(_ROWS)
    for row in rows.mappings():
        yield json.dumps(dict(row), default=_as_text).encode() + b"\n"


def _as_text(value: datetime | bytes) -> str:
    return value.isoformat() if isinstance(value, datetime) else base64.b64encode(value).decode()


def _row(table: sa.Table, line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = parse_json(line, halves=True)
    for name, value in row.items():
        if value is not None and isinstance(table.c[name].type, sa.LargeBinary):
            row[name] = base64.b64decode(value)
        elif value is not None and isinstance(table.c[name].type, Moment):
            row[name] = datetime.fromisoformat(value)
    return row


def _add(archive: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> tuple[str, int]:
    """Write a member; its SHA-256, and of how many pieces it is."""
    digest, count = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)
            digest.update(piece)
            count += 1
    return digest.hexdigest(), count
