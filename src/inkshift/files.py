"""Whole files and folders, their SHA-256, and tables as CSV: written and read in one way by all commands."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inkshift.errors import DataError, InputError, SettingError

Rows = list[tuple[int, dict[str, str]]]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place on success and goes on failure.

    Raises SettingError where nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch()
    except OSError as e:
        raise SettingError(f"{path}: cannot be written ({e.strerror}); choose another place") from None
    try:
        yield temporary
        try:
            temporary.replace(path)
        except OSError as e:
            raise SettingError(f"{path}: cannot be written ({e.strerror}); choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on success, whatever was there, and goes on failure.

    Raises SettingError where none can be made there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as e:
        raise SettingError(f"{out}: cannot be written ({e.strerror}); choose another place") from None
    try:
        part.chmod(0o755)
        yield part
        old = part.with_name(f"{part.name}-old")
        if out.exists():
            out.replace(old)
        part.replace(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes: 64 hex digits. Raises InputError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror}); check the path and its permissions") from e


def read_csv(path: str | Path, *needed: str, exact: bool = False) -> Rows:
    """Line number and cells, by column name in lower case, of each row of a CSV file with a header.

    Commas, semicolons or tabs, whichever the header has most of, or what a first line `sep=;` says. UTF-8, UTF-16 with
    its mark, or else Windows-1252, as spreadsheets write them. Blank lines and columns without a name are passed over;
    blanks around cells go. exact: for a table of our own, whose cells stay as they are, and which may have no rows.
    needed: columns that must be there. Raises DataError that names file, line and what is wrong there.
    """
    text = _text(Path(path))
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"\s*\"?sep=(.)\"?\s*", first, re.IGNORECASE)
    header = re.sub('"[^"]*"', "", rest.partition("\n")[0] if said else first)  # a name may hold the divider
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=said[1] if said else max(",;\t", key=header.count), strict=True
    )
    names: list[str] | None = None
    table: Rows = []
    try:
        for row in rows:
            if not any(cell.strip() for cell in row) or (said and rows.line_num == 1):
                continue
            if names is None:
                names = _names(path, rows.line_num, row, needed)
                continue
            cells = row if exact else [cell.strip() for cell in row]
            if len(cells) < len(names) or any(cells[len(names) :]):
                raise DataError(
                    f"{path}:{rows.line_num}: expected {len(names)} cells as in the header, found {len(row)}; "
                    "mend that line"
                )
            table.append((rows.line_num, {n: c for n, c in zip(names, cells, strict=False) if n}))
    except csv.Error as e:
        raise DataError(f"{path}:{rows.line_num}: not CSV ({e}); mend that line") from None
    if names is None:
        _names(path, 1, [], needed)
    if not table and not exact:
        raise DataError(f"{path}: has no rows; expected a header line and one line for each item")
    return table


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror}); give a CSV file") from None
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path}: is not text that can be read; save it as CSV in UTF-8")


def _names(path: str | Path, line: int, row: list[str], needed: tuple[str, ...]) -> list[str]:
    names = [name.strip().lower() for name in row]
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise DataError(f"{path}:{line}: column names must differ, found {', '.join(names)}; mend that line")
    if missing := [name for name in needed if name not in named]:
        found = ", ".join(named) or "an empty file"
        raise DataError(f"{path}:{line}: no column {', '.join(missing)}, found {found}; mend that line")
    return names
