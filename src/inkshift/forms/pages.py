"""Pages out of files: PNG, JPEG, TIFF and PDF to uint8 arrays; what cannot be read is one InputError."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pypdfium2 as pdfium
from PIL import Image, ImageOps, UnidentifiedImageError

from inkshift.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pdf"})
MAX_PIXELS = 120_000_000
MAX_PDF_SIDE = 6000

_WANTED = "expected a PNG, JPEG, TIFF or PDF"
_IMAGES = ("PNG", "JPEG", "TIFF")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_PDFIUM = threading.Lock()  # PDFium bears one thread at a time

# Both libraries log what they also raise; with a handler of their own they stay off stderr.
for _library in ("PIL", "pypdfium2"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page of a file. source: the path as given; page: counted from 1."""

    source: str
    page: int


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files behind `paths`, each once: files as given, folders by the images and PDFs in them.

    Folders are searched with their subfolders, hidden files and folders left out, in natural order
    (page-2 before page-10). Raises InputError for a path that does not exist and for a folder that
    cannot be searched or holds no such file.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        try:
            mode = path.stat().st_mode
        except OSError as e:
            raise InputError(f"{path}: expected a file or folder, found {e.strerror}; check the path") from e
        files += _in_folder(path) if stat.S_ISDIR(mode) else [path]
    return list(dict.fromkeys(files))


def _in_folder(folder: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be searched ({error.strerror}); check its permissions")

    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if not found:
        raise InputError(f"{folder}: {_WANTED} in this folder, found none; check the path")
    return sorted(found, key=_natural)


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    def parts(name: str) -> list[str | int]:
        pieces = re.split("([0-9]+)", name.casefold())  # every second one is a number
        return [int(s) if i % 2 else s for i, s in enumerate(pieces)]

    return [parts(name) for name in path.parts], str(path)


def page_refs(path: Path) -> list[PageRef]:
    """The pages of a file; pixels are not decoded.

    Raises InputError if the file is missing, empty, not a PNG, JPEG, TIFF or PDF by its content, damaged
    at its start, locked by a password, or a PDF without pages.
    """
    with _as_input_error(path):
        if _is_pdf(path):
            with _PDFIUM, _open_pdf(path) as pdf:
                count = len(pdf)
        else:
            with path.open("rb") as file, Image.open(file, formats=_IMAGES) as image:
                _check_size(path, *image.size)
                count = _count(image)
        if count < 1:
            raise InputError(f"{path}: expected at least one page, found none; export the PDF again")
    return [PageRef(str(path), page) for page in range(1, count + 1)]


def load_page(ref: PageRef, dpi: int = 200) -> npt.NDArray[np.uint8]:
    """The pixels of a page, upright by its EXIF: (H, W) gray or (H, W, 3) RGB, uint8, 0 black.

    Transparency lies on white; 16 bits become 8. A PDF is drawn at `dpi` dots per inch, less where a side
    would exceed 6000 pixels. Raises InputError for all that `page_refs` raises it for, for a page
    that the file does not have, for damaged or truncated pixels, and for more than 120 megapixels (before
    they are decoded).
    """
    path = Path(ref.source)
    with _as_input_error(path):
        if _is_pdf(path):
            with _PDFIUM:
                return _draw(ref, dpi)
        with path.open("rb") as file, Image.open(file, formats=_IMAGES) as image:
            _check_page(ref, _count(image))
            image.seek(ref.page - 1)
            _check_size(path, *image.size)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _pixels(image)


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    """Whatever the libraries raise about a file becomes an InputError of one line; they cannot warn."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except InputError:
            raise
        except Exception as e:
            reason = " ".join(str(e).split()) or type(e).__name__
            if isinstance(e, Image.DecompressionBombError):
                pixels = re.search(r"\d+ pixels", reason)
                message = _too_large(pixels[0] if pixels else "more")
            else:
                message = _damaged("its header" if isinstance(e, UnidentifiedImageError) else reason)
            raise InputError(f"{path}: {message}") from e


def _is_pdf(path: Path) -> bool:
    """Told by the content: a PDF may have anything in the 1024 bytes before its signature."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: {_WANTED}, found {found}; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror}); check its permissions") from e
    if not head:
        raise InputError(f"{path}: {_WANTED}, found an empty file; scan or copy it again")
    if head.startswith(_SIGNATURES):
        return False
    if b"%PDF-" in head:
        return True
    raise InputError(f"{path}: {_WANTED}, found a file that starts with {head[:8]!r}; convert it or leave it out")


def _count(image: Image.Image) -> int:
    """Only a TIFF has pages: the further frames of a JPEG are a camera's previews."""
    return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def _check_page(ref: PageRef, count: int) -> None:
    if not 1 <= ref.page <= count:
        raise InputError(f"{ref.source}: expected a page from 1 to {count}, found page {ref.page}")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {_too_large(f'{width} x {height} pixels')}")


def _damaged(reason: str) -> str:
    return f"expected a whole file, found a damaged or cut-off one ({reason}); scan or copy it again"


def _too_large(found: str) -> str:
    return f"expected at most {MAX_PIXELS // 10**6} megapixels, found {found}; scan at fewer dots per inch"


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Any mode of Pillow to (H, W) or (H, W, 3) uint8."""
    if image.mode.startswith("I;16"):
        return _to_8_bits(np.asarray(image), 65535)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image))
        peak = float(values.max())
        return _to_8_bits(values, next((full for full in (1, 255, 65535) if peak <= full), peak))
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        ink = image.convert("RGBA")
        image = Image.new("RGBA", ink.size, "white")
        image.alpha_composite(ink)
    return np.array(image.convert("L" if gray else "RGB"), dtype=np.uint8)


def _to_8_bits(values: npt.NDArray[np.generic], full: float) -> npt.NDArray[np.uint8]:
    """Scale 0..full to 0..255."""
    scaled: npt.NDArray[np.float32] = np.clip(values.astype(np.float32) * (255 / full), 0, 255)
    return scaled.round().astype(np.uint8)


def _open_pdf(path: Path) -> pdfium.PdfDocument:
    """By PDFium itself: PdfDocument(path) takes a PDF without pages for a damaged or locked one."""
    handle = pdfium.raw.FPDF_LoadDocument(os.fsencode(path.absolute()), None)
    if handle:
        return pdfium.PdfDocument(handle)
    code = pdfium.raw.FPDF_GetLastError()
    if code in (pdfium.raw.FPDF_ERR_PASSWORD, pdfium.raw.FPDF_ERR_SECURITY):
        raise InputError(f"{path}: expected an open PDF, found one locked by a password; save a copy without it")
    raise InputError(f"{path}: {_damaged('its structure')}")


def _draw(ref: PageRef, dpi: int) -> npt.NDArray[np.uint8]:
    """One page of a PDF, filled-in form fields included, as (H, W, 3) RGB."""
    path = Path(ref.source)
    with _open_pdf(path) as pdf:
        pdf.init_forms()
        _check_page(ref, len(pdf))
        page = pdf[ref.page - 1]
        for picture in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE]):
            _check_size(path, *picture.get_px_size())
        # Half a pixel less, as the side is rounded up.
        scale = min(dpi / 72, (MAX_PDF_SIDE - 0.5) / max(page.get_size()))
        pixels: npt.NDArray[np.uint8] = page.render(scale=scale, rev_byteorder=True).to_numpy()
        return pixels.copy()  # the bitmap's own memory goes with it
