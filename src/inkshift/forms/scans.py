"""Scans as work that is stopped and gone on with, by processes of this machine or others: pages by their names in,
lines of JSON out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import cv2

from inkshift.errors import InkshiftError, InputError
from inkshift.files import is_there
from inkshift.forms.page.files import PageRef, page_refs
from inkshift.forms.reading import PageReading, page_to_json
from inkshift.remote import address_of, stamp_at


def all_refs(files: Iterable[Path]) -> Iterator[tuple[PageRef, str]]:
    """Each page of each file, or the file with the error that kept its pages from being counted."""
    for path in files:
        try:
            yield from ((ref, "") for ref in page_refs(path))
        except InkshiftError as e:
            yield PageRef(address_of(path) or str(path), 1), str(e)


def stamp(source: str | Path) -> str:
    """Size and time of change of a file, by which a changed one is told; empty where there is none."""
    if address := address_of(source):
        return stamp_at(address)
    try:
        stat = Path(source).stat()
    except OSError:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


class ScanReader(Protocol):
    """Who reads: a `Reader`."""

    def read_scan(self, ref: PageRef) -> str: ...


# Of a worker process.
_READER: list[ScanReader] = []


def open_reader(make: Callable[[], ScanReader]) -> None:
    """Begin a worker process, whose scans what is made reads."""
    cv2.setNumThreads(1)
    _READER[:] = [make()]


def read_scan(ref: PageRef) -> str:
    """See `Reader.read_scan`; in a worker process that `open_reader` began."""
    return _READER[0].read_scan(ref)


def read_away(ref: PageRef) -> str:
    """As `read_scan`, on a machine that may not see what the one that counts the pages sees: else it would fail them
    all, and sooner than others read."""
    if ref.count and not is_there(ref.source):
        raise InputError(
            f"{ref.source}: is not there, though who hands out sees it; mount its folder under the same name, or leave "
            "the node out"
        )
    return read_scan(ref)


def crashed(key: str) -> str:
    source, page = key.rsplit("#", 2)[:2]
    message = f"{source} page {page}: the process reading it died twice; is the picture too large for the memory?"
    return page_to_json(PageReading(source, int(page), error=message))
