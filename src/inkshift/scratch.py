"""What a process keeps on disk while it works: temporary folders, which go with it or when the next one is made, and
names that would be too many for the memory."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from inkshift.errors import SettingError

PREFIX = "inkshift-scratch-"
# What a system says where a disk is full or fails.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
# KiB of names that are held in memory.
_HELD = 4096


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder of this process alone, which goes at the end. Raises SettingError where none can be made."""
    folder, remove = make_scratch()
    try:
        yield folder
    finally:
        remove()


@contextmanager
def scratch_file(mode: str, encoding: str | None = None) -> Iterator[IO[Any]]:
    """A temporary file that goes at the end; write to it within `in_scratch`, and flush it there before it is read."""
    with scratch() as folder:
        with in_scratch(folder):
            file = Path(folder, "kept").open(mode, encoding=encoding)  # noqa: SIM115
        try:
            yield file
        finally:
            with suppress(OSError):  # a full disk was told of by then
                file.close()


def make_scratch() -> tuple[Path, Callable[[], None]]:
    """As `scratch`, and what removes it."""
    root = _root()
    _sweep(root)
    with in_scratch(root):
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
            with suppress(FileNotFoundError):  # another swept it, as it was not held yet
                held = _hold(folder, wait=True)
                if folder.is_dir():
                    return folder, partial(_remove, folder, held)
                _let_go(held)


@contextmanager
def in_scratch(folder: Path) -> Iterator[None]:
    """Raises SettingError that names the temporary folder where what is in `folder` cannot be written."""
    try:
        yield
    except OSError as e:
        if e.errno in NO_ROOM or str(e.filename or "").startswith(str(folder)):
            raise no_scratch(e) from None
        raise


def no_scratch(error: OSError) -> SettingError:
    """What is said where the temporary folder cannot be written."""
    return SettingError(
        f"{tempfile.gettempdir()}: the temporary folder cannot be written ({error.strerror}); free its disk, or set "
        "TMPDIR to a folder with room"
    )


class Names:
    """Names, each with a number, in the order in which they came: as a dict has them, but for the memory, of which a
    million take no more than a few. What does not fit there is in a temporary file (SQLite).

    Names may hold halves of characters, as those of files do. Raises SettingError where that file cannot be written.
    """

    def __init__(self) -> None:
        disk = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, disk.close)
        self._disk = disk
        self._count = 0
        for statement in (
            "PRAGMA journal_mode = OFF",
            f"PRAGMA cache_size = -{_HELD}",
            "CREATE TABLE names (place INTEGER PRIMARY KEY, name BLOB UNIQUE, number INTEGER)",
        ):
            self._asked(statement)

    def get(self, name: str) -> int | None:
        found = self._asked("SELECT number FROM names WHERE name = ?", _as_bytes(name)).fetchone()
        return None if found is None else int(found[0])

    def put(self, name: str, number: int = 0) -> bool:
        """Keep a number for a name; whether the name is new."""
        again = "INSERT INTO names (name, number) VALUES (?, ?) ON CONFLICT DO NOTHING"
        new = self._asked(again, _as_bytes(name), number).rowcount == 1
        if not new:
            self._asked("UPDATE names SET number = ? WHERE name = ?", number, _as_bytes(name))
        self._count += new
        return new

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for (name,) in self._asked("SELECT name FROM names ORDER BY place"):
            yield name.decode("utf-8", "surrogatepass")

    def _asked(self, statement: str, *given: object) -> sqlite3.Cursor:
        try:
            return self._disk.execute(statement, given)
        except sqlite3.OperationalError as e:
            raise no_scratch(OSError(errno.ENOSPC, str(e))) from None


def _as_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _root() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as e:  # it names the folders that were tried
        tried = e.strerror.partition("[")[2].rstrip("]") if e.strerror else ""
        raise SettingError(
            f"TMPDIR: expected a temporary folder, found none that can be written (tried {tried}); free a disk, or set "
            "it to a folder with room"
        ) from None


def _sweep(root: Path) -> None:
    """Remove the folders of this user's processes that have ended: nobody holds them."""
    if sys.platform == "win32":  # it has no locks of folders, and refuses to remove what is open
        return
    with suppress(OSError):
        for path in root.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if path.lstat().st_uid == os.geteuid():
                    _remove(path, _hold(path, wait=False))


def _hold(folder: Path, wait: bool) -> int | None:
    """Hold a folder until it is let go or the process ends, however it does; None where its disk knows no locks.

    Raises BlockingIOError where another holds it, unless `wait`.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(held)
        if not wait:
            raise
        return None
    return held


def _remove(folder: Path, held: int | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _let_go(held)


def _let_go(held: int | None) -> None:
    if held is not None:
        os.close(held)
