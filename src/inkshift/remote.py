"""Files of stores that fsspec knows, such as `s3://bucket/scans/a.jpg`: read where they lie, by who needs them."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inkshift.errors import InkshiftError, InputError, need
from inkshift.scratch import in_scratch, make_scratch

# A path keeps one of the two slashes; a drive has but one letter.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=[^/])")
# Before the @ is the name of a container.
_CONTAINERS = ("abfs", "abfss")


def address_of(path: str | Path) -> str:
    """The address that a text or path is, with both slashes; empty for a file of this machine.

    Raises InputError for one of this machine, and for one that holds a user or password: it would go into what is
    written.
    """
    text = str(path)
    found = _ADDRESS.match(text)
    if not found:
        return ""
    kind, place = found[1], text[found.end() :]
    if kind in ("file", "local"):
        raise InputError(f"{kind}:///{place}: expected a path or the address of a store; give the path, /{place}")
    _, at, host = place.split("/")[0].rpartition("@")
    if at and kind not in _CONTAINERS:
        raise InputError(
            f"{kind}://***@{host}: expected an address without user and password; give them in the environment, as the "
            f"store's own program takes them or as FSSPEC_{kind.upper()}_USERNAME and FSSPEC_{kind.upper()}_PASSWORD"
        )
    return f"{kind}://{place}"


@contextmanager
def at_hand(path: str | Path, again: bool = False) -> Iterator[Path]:
    """A file of this machine with what is at a path: itself, or a copy of what a store holds, which goes again.

    again: it is asked for again soon, as a file of many pages is: the copy stays until another one is fetched so, and
    is taken as long as the store's file has the same stamp. Errors about the copy name the address. Raises InputError
    where nothing can be read there, MissingExtraError without fsspec or its part for that store.
    """
    address = address_of(path)
    if not address:
        yield Path(path)
        return
    copy = _kept_copy(address) if again else _Copy(address)
    try:
        yield copy.file
    except InputError as e:
        raise InputError(str(e).replace(str(copy.file), address)) from None
    finally:
        if not again:
            copy.go()


class _Copy:
    """A copy of a file of a store. It goes when it is told to, when nobody has it any more, and with the process."""

    def __init__(self, address: str, stamp: str = "") -> None:
        self.address, self.stamp = address, stamp
        folder, remove = make_scratch()
        self.go = weakref.finalize(self, remove)
        self.file = Path(folder, address.rsplit("/", 1)[-1])
        with _asking(address) as (store, place), in_scratch(folder):
            store.get_file(place, str(self.file))


_kept: list[_Copy] = []


def _kept_copy(address: str) -> _Copy:
    """The last copy that was kept, where it is of this file as it is now; else a new one in its place."""
    stamp = stamp_at(address)
    for copy in _kept:
        if stamp and (copy.address, copy.stamp) == (address, stamp):
            return copy
    _kept[:] = [_Copy(address, stamp)]
    return _kept[-1]


def files_at(address: str) -> list[str]:
    """The addresses of all files below one, in the store's order; none where it is that of a file.

    Raises InputError where nothing is there.
    """
    with _asking(address) as (store, place):
        if store.isfile(place):
            return []
        found = [store.unstrip_protocol(name) for name in store.find(place)]
        if not found:
            raise FileNotFoundError
        return found


def stamp_at(address: str) -> str:
    """Size and tag of a file, or the time of its change where its store has no tags; empty where there is none."""
    try:
        with _asking(address) as (store, place):
            about = store.info(place)  # of a file alone a store tells more than in a list: what both tell is taken
            tag = next((about[name] for name in ("ETag", "etag", "mtime", "last_modified") if about.get(name)), "")
            return f"{about.get('size', '')}-{tag}"
    except InkshiftError:
        return ""


@contextmanager
def _asking(address: str) -> Iterator[tuple[Any, str]]:
    """The store of an address, and the place there; whatever that raises becomes one line that names the address."""
    fsspec = need("fsspec", "stores", address)
    try:
        yield fsspec.core.url_to_fs(address)
    except InkshiftError:
        raise
    except ImportError:
        need("s3fs", "stores", address)  # of the stores that the extra brings
        kind = address.split("://")[0]
        raise InputError(f"{address}: fsspec needs another package for {kind}; install that (see its docs)") from None
    except FileNotFoundError:
        raise InputError(f"{address}: expected a file or folder, found nothing; check the address") from None
    except PermissionError:
        raise InputError(
            f"{address}: the store refuses it to this user; give the rights to list and read, or other credentials"
        ) from None
    except Exception as e:  # each store has its own
        reason = " ".join(str(e).split())[:200] or type(e).__name__
        raise InputError(f"{address}: cannot be read ({reason}); check the address, credentials and network") from None
