"""Pages out of files: pictures and PDFs to uint8 arrays; what cannot be read is one InputError."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inkshift import pictures
from inkshift.errors import InputError
from inkshift.forms.page import pdf
from inkshift.remote import address_of, at_hand, files_at
from inkshift.scratch import Names

_WANTED = f"expected a {pictures.KINDS.replace(' or GIF', ', GIF or PDF')}"
# Files of these endings are pages to people, and are tried, whatever is in them; others where their content is one.
_UNREAD = (
    ".avif .jp2 .j2k .jpx .jxl .djvu .djv .psd .xcf .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .xps .svg .ps .eps .pbm "
    ".pgm .ppm .pnm .tga .pcx .jbig2 .jb2 .wmf .emf .ico"
)
_PAGES = pictures.ENDINGS | {".pdf", *_UNREAD.split()}
ONE_PAGE = pictures.ENDINGS - {".tif", ".tiff"}
_LITTER = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page of a file. source: the path as given; page: counted from 1; count: pages of the file, 0 if not known."""

    source: str
    page: int
    count: int = 0


class Files:
    """Files of pages, each once, in their order; memory does not grow with them. passed_over: those of the folders that
    are no pages, hidden ones apart, in natural order."""

    def __init__(self) -> None:
        self._names = Names()
        self.passed_over: list[Path] = []

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self._names)

    def add(self, files: Iterable[Path]) -> None:
        for file in files:
            self._names.put(str(file))


def find_files(paths: Iterable[str | Path] | Files) -> Files:
    """The files behind `paths`, each once: files as given, folders by the pictures and PDFs in them. Of a folder all
    names are held while they are put in order.

    An address, such as `s3://bucket/scans`, comes as a path (see `remote.address_of`); there, endings alone tell pages.

    Folders are searched with their subfolders, hidden files and folders left out, in natural order (page-2 before
    page-10). What is a page is told by the ending, and by the content where the ending says nothing. A file that is not
    there, and by its ending a page, is named when it is to be read. Raises InputError for any other path that does not
    exist, and for a folder that cannot be searched or holds no such file.
    """
    if isinstance(paths, Files):
        return paths
    files = Files()
    for path in map(Path, paths):
        if not _is_folder(path):
            files.add([path])
            continue
        found = list(_in_folder(path))
        pages = [file for file, is_page in found if is_page]
        if not pages:
            raise InputError(f"{path}: {_WANTED} in this folder, found none; check the path")
        files.add(sorted(pages, key=_natural))
        files.passed_over += [file for file, is_page in found if not is_page]
    files.passed_over = sorted(dict.fromkeys(files.passed_over), key=_natural)
    return files


def _is_folder(path: Path) -> bool:
    if address := address_of(path):  # a page is not asked for before it is read
        return path.suffix.lower() not in _PAGES and bool(files_at(address))
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as e:
        if isinstance(e, FileNotFoundError) and path.suffix.lower() in _PAGES:
            return False
        raise InputError(f"{path}: expected a file or folder, found {e.strerror}; check the path") from e


def _in_folder(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Each file that is not hidden, and whether it is to be read."""
    if address := address_of(folder):
        for one in files_at(address):
            path, parts = Path(one), one.removeprefix(address).strip("/").split("/")
            if not any(part.startswith(".") for part in parts) and path.name.lower() not in _LITTER:
                is_page = path.suffix.lower() in _PAGES
                if is_page and address_of(path) != one:  # a path has one slash where a key may have two
                    raise InputError(f"{one}: expected names between slashes, found an empty one or a dot; rename it")
                yield path, is_page
        return

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be searched ({error.strerror}); check its permissions")

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower() not in _LITTER:
                path = Path(root, name)
                yield path, path.suffix.lower() in _PAGES or _holds_pages(path)


def _holds_pages(path: Path) -> bool:
    try:
        return path.is_file() and (pictures.is_picture(path) or pictures.head_of(path).startswith(b"%PDF-"))
    except InputError:
        return True  # nobody can tell: it is named when it is to be read


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    def parts(name: str) -> list[str | int]:
        pieces = re.split("([0-9]+)", name.casefold())  # every second one is a number
        return [int(s) if i % 2 else s for i, s in enumerate(pieces)]

    return [parts(name) for name in path.parts], str(path)


def page_refs(path: Path) -> list[PageRef]:
    """The pages of a file; pixels are not decoded.

    Raises InputError if the file is missing, empty, neither a picture that is read nor a PDF by its content, damaged
    at its start, too large, locked by a password, or a PDF without pages.
    """
    address = address_of(path)
    if address and path.suffix.lower() in ONE_PAGE:  # it is fetched once, by who reads it
        return [PageRef(address, 1, 1)]
    with at_hand(path, again=True) as file:
        count = pdf.count_pages(file) if kind_of(file) == ".pdf" else pictures.count_pages(file)
        if count < 1:
            raise InputError(f"{file}: expected at least one page, found none; export the PDF again")
    return [PageRef(address or str(path), page, count) for page in range(1, count + 1)]


def load_page(ref: PageRef, dpi: int = 200) -> npt.NDArray[np.uint8]:
    """The pixels of a page, upright by its EXIF: (H, W) gray or (H, W, 3) RGB, uint8, 0 black.

    A picture comes as `pictures.load_picture` gives it. A PDF is drawn at `dpi` dots per inch, less where a side would
    exceed 6000 pixels. Raises InputError for all that `page_refs` raises it for, for a page that the file does not
    have, for damaged or truncated pixels, and for more than 120 megapixels (before they are decoded).
    """
    with at_hand(ref.source, again=Path(ref.source).suffix.lower() not in ONE_PAGE) as path:
        if kind_of(path) == ".pdf":
            return pdf.draw_page(path, ref.page, dpi)
        return pictures.load_picture(path, ref.page)


def kind_of(path: Path) -> str:
    """The usual ending of a page's file, told by its content. Raises InputError where it is none."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: {_WANTED}, found {found}; check the path")
    head = pictures.head_of(path)
    if not head:
        raise InputError(f"{path}: {_WANTED}, found an empty file; scan or copy it again")
    if ending := pictures.ending_of(head):
        return ending
    if b"%PDF-" in head:  # a PDF may have anything in the 1024 bytes before its signature
        return ".pdf"
    start = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in head[:8])
    raise InputError(f"{path}: {_WANTED}, found a file that starts with {start!r}; convert it or leave it out")
