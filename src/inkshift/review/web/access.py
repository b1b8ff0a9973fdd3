"""Who came in and who was refused: a line of JSON for each, in `access.log` of the folder for files.

What people decided is in the database; this is for whoever must tell later who tried to get in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from starlette.types import Scope

from inkshift.errors import SettingError
from inkshift.files import locked

NAME = "access.log"
# Bytes of the file, after which a new one is begun, and older ones that are kept.
MOST_BYTES, OLDER = 4 * 2**20, 4
# Characters of an address that are kept, or a few long ones would push out all that was there before.
_LONGEST = 200

_LOG = logging.getLogger("inkshift.access")


class _LogFile(WatchedFileHandler):
    """Makes the folder with the first line: who reviews alone has neither. Others on the computer do not read it: now
    and then a password is typed where the name goes. Several processes write to it; one of them begins a new one."""

    def emit(self, record: logging.LogRecord) -> None:
        self._begin_anew()
        super().emit(record)

    def _begin_anew(self) -> None:
        file = Path(self.baseFilename)
        with suppress(OSError, SettingError):  # no file yet; another process is at it
            if file.stat().st_size > MOST_BYTES:
                with locked(file):
                    if file.stat().st_size > MOST_BYTES:
                        for age in range(OLDER, 0, -1):
                            older = file.with_name(f"{file.name}.{age - 1}") if age > 1 else file
                            with suppress(FileNotFoundError):
                                older.replace(file.with_name(f"{file.name}.{age}"))

    def _open(self) -> TextIOWrapper:
        file = Path(self.baseFilename)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        return super()._open()


@contextmanager
def access_log(folder: Path) -> Iterator[None]:
    """Keep the log in a folder for as long as it is open."""
    handler = _LogFile(folder / NAME, encoding="utf-8", delay=True)
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        handler.close()


def note_access(scope: Scope, event: str, name: str = "") -> None:
    """Write down what happened at a request's address, and the name that was given or is known."""
    client = scope.get("client")
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        "name": name,
        "address": client[0] if client else "",
        "asked": f"{scope['method']} {scope['path']}"[:_LONGEST],
    }
    _LOG.info(json.dumps(line))
