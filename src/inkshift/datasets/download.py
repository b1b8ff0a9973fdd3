"""One file from the first address that has it: verified, and gone on with after a break."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch

from inkshift.datasets.formats import Progress
from inkshift.errors import DataError


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch from the first of `urls` that has it. md5, size (bytes): None if not published."""

    name: str
    urls: tuple[str, ...]
    md5: str | None = None
    size: int | None = None


def fetch_file(file: RemoteFile, folder: Path, mirrors: Sequence[str], progress: Progress | None, page: str) -> Path:
    """The file in `folder`, fetched from the first of mirrors and official addresses that has it, and verified.

    mirrors: folders that hold it. page: where a person may get it. Raises DataError naming all that was tried.
    """
    known = f"md5:{file.md5}" if file.md5 else _recorded(folder, file.name)
    part = folder / f"{file.name}.part"
    if known is None:  # nothing would tell a wrong continuation
        part.unlink(missing_ok=True)

    def download(url: str, target: str, _: object) -> None:
        _download(url, part, file, progress)
        part.replace(target)

    failures = []
    for url in (*(f"{mirror.rstrip('/')}/{file.name}" for mirror in mirrors), *file.urls):
        try:
            path = Path(pooch.retrieve(url, known, fname=file.name, path=folder, downloader=download))
        except (OSError, ValueError, http.client.HTTPException) as e:
            failures.append(f"{url}: {str(e) or type(e).__name__}")
            continue
        if known is None:
            _record(folder, file.name, pooch.file_hash(str(path)))
        return path
    tried = "; ".join(failures)
    raise DataError(f"{file.name} was not fetched ({tried}); try again, or get it from {page} into {folder}")


def _download(url: str, part: Path, file: RemoteFile, progress: Progress | None) -> None:
    """The body of `url` into `part`, after what is there already if the server gives ranges."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "inkshift"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as e:
        e.close()
        if e.code == 416:  # nothing follows what is there, so it is not the beginning of this file
            part.unlink()
        raise
    with answer:
        have = have if answer.status == 206 else 0
        stated = answer.headers["Content-Length"]
        total = have + int(stated) if stated else file.size
        if file.size and total != file.size:
            raise OSError(f"expected {file.size} bytes, found {total}")
        with part.open("ab" if have else "wb") as out:
            while chunk := answer.read(1 << 16):
                out.write(chunk)
                if progress:
                    progress(file.name, out.tell(), total)
            if total is not None and out.tell() < total:
                raise OSError(f"cut short at {out.tell()} of {total} bytes")


def _recorded(folder: Path, name: str) -> str | None:
    sums = folder / "SHA256SUMS"
    lines = [line.split() for line in sums.read_text(encoding="utf-8").splitlines()] if sums.exists() else []
    return next((f"sha256:{line[0]}" for line in lines if line[1:] == [name]), None)


def _record(folder: Path, name: str, sha256: str) -> None:
    sums, new = folder / "SHA256SUMS", folder / "SHA256SUMS.new"
    before = sums.read_text(encoding="utf-8") if sums.exists() else ""
    new.write_text(f"{before}{sha256}  {name}\n", encoding="utf-8")
    new.replace(sums)
