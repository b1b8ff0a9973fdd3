"""Whole files and folders, their SHA-256, tables as CSV, settings as JSON and TOML: one way for all commands."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from inkshift.errors import DataError, InputError, SettingError
from inkshift.remote import address_of, at_hand
from inkshift.scratch import NO_ROOM

if TYPE_CHECKING:
    from jinja2 import Environment

Rows = list[tuple[int, dict[str, str]]]

# Bytes and cells of a table, of which a million readings take half, and bytes of settings, of which the largest
# template takes a hundredth. Devices, too, end there.
MOST_TABLE, MOST_CELLS, MOST_SETTINGS = 256 * 2**20, 20_000_000, 16 * 2**20
# Brackets within brackets, and digits of a whole number: more than any file of ours has.
_MOST_DEPTH, _MOST_DIGITS = 64, 40


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place on success, written through to the disk, and goes on failure.

    Who else writes `path` meanwhile waits, so that what is found at the temporary path was left by a run that was
    killed; it is overwritten. Raises SettingError where nothing can be written there, or the disk is full too soon.
    """
    temporary = path.with_name(f".{path.name}.part")
    with locked(path, wait=True):
        try:
            with writing(path, temporary):
                temporary.unlink(missing_ok=True)
                temporary.touch()
                yield temporary
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """A file's bytes, all of them or none, and its folder (see `whole_file`)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise cannot_write(path, e) from None
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def writing(path: Path, *others: Path) -> Iterator[None]:
    """Raises SettingError that names `path` where it, or one of the others, cannot be written or the disk is full."""
    try:
        yield
    except OSError as e:
        if e.filename in map(str, (path, *others)) or e.errno in NO_ROOM:
            raise cannot_write(path, e) from None
        raise


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on success, whatever was there, and goes on failure.

    What a run that was killed left there goes first, or comes back where it had been put aside. Raises SettingError
    where none can be made there, or another process is making one.
    """
    part, old = (out.with_name(f".{out.name}.{what}") for what in ("part", "old"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise cannot_write(out, e) from None
    with locked(out):
        try:
            if old.exists() and not out.exists():
                old.replace(out)
            for left in (part, old):
                if left.exists():
                    shutil.rmtree(left)
            part.mkdir()
        except OSError as e:
            raise cannot_write(out, e) from None
        try:
            try:
                yield part
            except OSError as e:
                if e.errno not in NO_ROOM:
                    raise
                raise cannot_write(out, e, "free its disk, then start again") from None
            _take_place(part, out, old)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _take_place(part: Path, out: Path, old: Path) -> None:
    """Put `part` where `out` is, which is put aside meanwhile, and comes back where that fails."""
    try:
        if out.exists():
            out.replace(old)
        part.replace(out)
    except OSError as e:
        mend = "free its disk, then start again"
        with suppress(OSError):
            if old.exists() and not out.exists():
                old.replace(out)
        with suppress(OSError):  # it may have taken hours
            kept = Path(tempfile.mkdtemp(prefix=f"{out.name}-", dir=out.parent))
            part.replace(kept)
            mend = f"what was made is in {kept}; move it there"
        raise cannot_write(out, e, mend) from None


# Seconds.
_PATIENCE = 60


@contextmanager
def locked(path: Path, what: str | Path = "", *, wait: bool = False) -> Iterator[None]:
    """Hold `path`, a file or folder that need not be there, while the work on it goes on; whoever else wants it is told
    so and ends, or waits for a minute at most, where the work is short.

    It is held by `.NAME.lock` beside it, also on Windows; the system lets go of that when the process ends, however it
    does. what: what messages name instead. Raises SettingError where another holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    file = path.with_name(f".{path.name}.lock")
    if not file.parent.is_dir():  # filelock would make it
        raise SettingError(f"{what or path}: cannot be written (no such folder); choose another place")
    lock = FileLock(file, timeout=_PATIENCE if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise SettingError(
            f"{what or path}: another inkshift is at work on it; wait until it ends, or choose another place"
        ) from None
    except OSError as e:
        raise cannot_write(what or path, e) from None
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for a file that is gone takes a new one (filelock)
            file.unlink(missing_ok=True)
        lock.release()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, here or in a store: 64 hex digits. Raises InputError if it cannot be read, or is no
    file."""
    if address_of(path):
        with at_hand(path) as copy:
            return file_digest(copy)
    try:
        if not is_file(path):  # a device would never end
            raise InputError(f"{path}: cannot be read (no file is there); check the path")
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror}); check the path and its permissions") from e


def is_file(path: str | Path) -> bool:
    """Whether a file is there; a name that no file can have, such as one too long, is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_there(path: str | Path) -> bool:
    """Whether a file is there; one of a store is taken to be, and is asked for once it is read."""
    return bool(address_of(path)) or is_file(path)


def opened(path: str | Path) -> BinaryIO:
    """A file to be read; a named pipe that nobody fills is empty, where others would wait for ever. Raises OSError."""

    def open_at_once(name: str, flags: int) -> int:
        number = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(number, True)  # one that somebody fills, such as <(...) of a shell, is read to its end
        return number

    return open(path, "rb", opener=open_at_once)


def read_bytes(path: str | Path, most: int = MOST_SETTINGS) -> bytes:
    """What a file holds. Raises OSError where it cannot be read, ValueError where it is larger than `most` bytes."""
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / 2**20:g} MiB")
    return data


def read_text(path: str | Path, most: int = MOST_SETTINGS) -> str:
    """A file in UTF-8, with its mark or without, as text. Raises as `read_bytes`, ValueError where it is no text."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ValueError(f"not UTF-8 at byte {e.start}") from None


def parse_json(text: str | bytes, *, halves: bool = False) -> Any:
    """What JSON says. Raises ValueError, of which json.JSONDecodeError is one, for what is none and for excesses.

    Excesses are whole numbers of more than 40 digits, numbers that are none or infinite, brackets nested more than
    64 deep, and halves of characters (lone surrogates): what counts, keeps or prints these later would fail where
    nobody expects it. halves: take the last, by which our own files keep names of files that are not Unicode.
    """
    try:
        found = _not_too_deep(
            json.loads(text, parse_int=_whole_number, parse_float=_finite_number, parse_constant=_finite_number)
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not halves:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a character (a lone surrogate)") from None
    return found


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML says. Raises ValueError, of which tomllib.TOMLDecodeError is one, as `parse_json` does."""
    if _LONG_KEY.search(text):  # tomllib takes time by the square of a key's parts
        raise ValueError(_TOO_DEEP)
    try:
        found = _not_too_deep(tomllib.loads(text, parse_float=_finite_number))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as e:
        raise ValueError(_TOO_LONG) if "digits" in str(e) else e from None
    return dict(found)


_TOO_DEEP = "brackets nested too deeply"
# A key of TOML of too many parts, such as a.a.a.
_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_MOST_DEPTH}}}""")
_TOO_LONG = f"a whole number of more than {_MOST_DIGITS} digits"


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(_TOO_LONG)
    return int(text)


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no finite number")
    return value


def _not_too_deep(value: Any) -> Any:
    level = [value]
    for _ in range(_MOST_DEPTH):
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [part for parts in inside for part in parts]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def reason(error: Exception) -> str:
    """Why a file could not be read or written, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def cannot_write(path: str | Path, error: OSError, mend: str = "choose another place") -> SettingError:
    """What is said where a file or folder cannot be written, and how to mend it."""
    return SettingError(f"{path}: cannot be written ({reason(error)}); {mend}")


def html_templates(*folders: Path, **helpers: object) -> Environment:
    """The templates of HTML pages in some folders, with what they may call, `inline` too: what is put into them is
    escaped, and a name that is not there is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    how: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    made = Environment(loader=FileSystemLoader(folders), undefined=StrictUndefined, **how)
    made.globals.update(helpers, inline=inline)
    return made


def inline(picture: bytes, kind: str = "png") -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


# How spreadsheets call the columns `file` and `form`, and the bytes by which a table's encoding is told.
_LONG, _HEAD = re.compile("^(file|form)[ _]?name$"), 4096
_FORMULA = re.compile(r"'*([=+@\t\r]|-(?!\d))")


def as_cell(text: str) -> str:
    """A text for a cell of a CSV file, where a spreadsheet would run what begins with `=`, `+`, `-` or `@`.

    An apostrophe before it, as in spreadsheets, says that it is text; `read_csv` takes it away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _from_cell(text: str) -> str:
    return text[1:] if text[:1] == "'" and _FORMULA.match(text, 1) else text


def as_csv(rows: Iterable[Iterable[object]]) -> bytes:
    """Rows, the header among them, as a CSV file in UTF-8."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return "".join(lines).encode()


class _Lines(list[str]):
    """Rows of a writer that ends them in CR LF: else it quotes no cell with a CR (Python 3.13 does), which ends it."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def read_csv(path: str | Path, *needed: str, exact: bool = False) -> Rows:
    """Line number and cells, by column name in lower case, of each row of a CSV file with a header.

    Commas, semicolons or tabs, whichever the header has most of, or what a first line `sep=;` says. UTF-8, UTF-16 with
    or without its mark, or else Windows-1252, as spreadsheets write them. Blank lines and columns without a name are
    passed over; blanks around cells go. Columns `file name` and `form name` are `file` and `form`. exact: for a
    table of our own, whose cells stay as they are, and which may have no rows. needed: columns that must be there.
    Raises DataError that names file, line and what is wrong there.
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
            cells = [_from_cell(cell if exact else cell.strip()) for cell in row]
            _check_width(path, rows.line_num, names, cells, titled=not needed)
            if len(table) * len(names) >= MOST_CELLS:
                raise DataError(f"{path}: expected at most {MOST_CELLS:,} cells, found more; split the file")
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
        data = read_bytes(path, MOST_TABLE)
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: cannot be read ({reason(e)}); give a CSV file") from None
    for encoding in _encodings(data):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path}: is not text that can be read; save it as CSV in UTF-8")


def _check_width(path: str | Path, line: int, names: list[str], cells: list[str], titled: bool) -> None:
    """Refuse a row that does not go with the header. titled: whether a header of one name may be a title."""
    if titled and sum(map(bool, names)) == 1 < sum(map(bool, cells)):
        raise DataError(
            f"{path}:{line}: expected one cell, as the header names one column, {max(names)!r}, found {len(cells)}; "
            "delete the lines above the header"
        )
    if len(cells) < len(names) or any(cells[len(names) :]):
        raise DataError(
            f"{path}:{line}: expected {len(names)} cells as in the header, found {len(cells)}; mend that line"
        )


def _encodings(data: bytes) -> tuple[str, ...]:
    """How a table may be encoded. Every second byte of a header in Latin letters in UTF-16 is 0."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    header = data[:_HEAD].split(b"\n", 1)[0]
    for first, encoding in enumerate(("utf-16-be", "utf-16-le")):
        if 2 * header[first::2].count(0) > len(header[first::2]):
            return (encoding,)
    return "utf-8-sig", "cp1252"


def _names(path: str | Path, line: int, row: list[str], needed: tuple[str, ...]) -> list[str]:
    names = [name.strip().lower() for name in row]
    short = [_LONG.sub(r"\1", name) for name in names]
    names = [one if short.count(one) == 1 else name for name, one in zip(names, short, strict=True)]
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise DataError(f"{path}:{line}: column names must differ, found {', '.join(names)}; mend that line")
    if missing := [name for name in needed if name not in named]:
        found = ", ".join(named) or "an empty file"
        raise DataError(
            f"{path}:{line}: no column {', '.join(missing)}, found {found}; mend that line, or delete the lines above "
            "the header"
        )
    return names
