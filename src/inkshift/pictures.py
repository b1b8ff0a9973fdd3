"""Pictures out of files, for all commands: upright 8-bit pixels of bounded size, or one InputError."""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pi_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from inkshift.errors import InputError

Pixels = npt.NDArray[np.uint8]

# No paper is longer (A0 at 600 dots per inch has 28,087), and what is 100 times as long as wide is none.
MAX_PIXELS, MAX_SIDE, MAX_RATIO = 120_000_000, 30_000, 100
# Pixels of a page that are kept: A4 at 600 dots per inch. Larger ones are shrunk by whole numbers, so that no page
# takes more than a gigabyte on its way.
KEPT_PIXELS = 36_000_000

_ENDINGS = ".png .apng .jpg .jpeg .jpe .jfif .jif .tif .tiff .heic .heif .hif .webp .bmp .dib .gif"
ENDINGS = frozenset(_ENDINGS.split())
KINDS = "PNG, JPEG, TIFF, HEIC, WebP, BMP or GIF"
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_FORMATS = ("PNG", "JPEG", "TIFF", "HEIF", "WEBP", "BMP", "GIF")
_HEAD = 1024

pi_heif.register_heif_opener()
# Pillow logs what it also raises; with a handler of its own it stays off stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def ending_of(head: bytes) -> str:
    """The usual ending of a picture whose file starts with these bytes, `.png` for one; empty where it is none."""
    if head[4:8] == b"ftyp":
        brands = (head[8:12], *(head[at : at + 4] for at in range(16, int.from_bytes(head[:4], "big"), 4)))
        return ".heic" if _HEIF & {*brands} and not {b"avif", b"avis"} & {*brands} else ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:2] == b"BM" and head[14:18] in (b"\x28\0\0\0", b"\x7c\0\0\0", b"\x6c\0\0\0", b"\x0c\0\0\0"):
        return ".bmp"
    return next((ending for signature, ending in _SIGNATURES.items() if head.startswith(signature)), "")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its ending, or else by its content. Raises InputError as `head_of` does."""
    return path.suffix.lower() in ENDINGS or bool(ending_of(head_of(path)))


def head_of(path: str | Path) -> bytes:
    """The first bytes of a file, enough to tell what it is. Raises InputError where it cannot be opened."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_HEAD)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror}); check the path and its permissions") from e


def count_pages(path: str | Path) -> int:
    """How many pages a picture has: more than one only in a TIFF. Raises InputError as `load_picture` does."""
    with reading(path), Path(path).open("rb") as file, Image.open(file, formats=_FORMATS) as image:
        _check_size(path, *image.size)
        return _count(image)


def load_picture(path: str | Path, page: int = 1) -> Pixels:
    """A picture, upright by its EXIF: (H, W) gray or (H, W, 3) RGB, uint8, 0 black.

    Transparency lies on white; 16 bits become 8; more than 36 megapixels are shrunk by a whole number. Raises
    InputError for what is no PNG, JPEG, TIFF, HEIC, WebP, BMP or GIF, is damaged, cut off or lacks that page, and,
    before pixels are decoded, for more than 120 megapixels, 30,000 on a side, or 100 times as long as wide.
    """
    with reading(path), Path(path).open("rb") as file:
        return _load(file, path, page)


def decode_picture(data: bytes, name: str | Path) -> Pixels:
    """The picture in the bytes of a file, as `load_picture` gives it; `name` is what an error calls it."""
    with reading(name):
        return _load(io.BytesIO(data), name, 1)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Whatever the libraries raise about a file becomes an InputError of one line; they cannot warn."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{path}: expected a {KINDS}, found nothing; check the path") from None
        except (Image.DecompressionBombError, MemoryError) as e:
            pixels = re.search(r"\d+ pixels", str(e))
            raise InputError(f"{path}: {_too_large(pixels[0] if pixels else 'more than the memory holds')}") from e
        except Exception as e:
            reason = " ".join(str(e).split()) or type(e).__name__
            header = isinstance(e, UnidentifiedImageError)
            raise InputError(f"{path}: {damaged('its header' if header else reason)}") from e


def damaged(reason: str) -> str:
    """What is said of a file that does not hold what it should."""
    return f"expected a whole file, found a damaged or cut-off one ({reason}); scan or copy it again"


def _load(file: IO[bytes], name: str | Path, page: int) -> Pixels:
    with Image.open(file, formats=_FORMATS) as image:
        count = _count(image)
        if not 1 <= page <= count:
            raise InputError(f"{name}: expected a page from 1 to {count}, found page {page}")
        image.seek(page - 1)
        _check_size(name, *image.size)
        image.load()
        small = _shrunk(image)
        with suppress(Exception):  # a wrong tag beside the pixels is no reason to refuse them
            small = ImageOps.exif_transpose(small)
        return _pixels(small)


def _count(image: Image.Image) -> int:
    """Only a TIFF has pages: the further frames of a JPEG are a camera's previews, those of a GIF a film."""
    return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def _check_size(name: str | Path, width: int, height: int) -> None:
    longer, shorter = max(width, height), max(1, min(width, height))
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {_too_large(f'{width} x {height} pixels')}")
    if longer > MAX_SIDE or longer > MAX_RATIO * shorter:
        raise InputError(
            f"{name}: expected a side of at most {MAX_SIDE:,} pixels, and at most {MAX_RATIO} times the other, "
            f"found {width} x {height} pixels; cut it to the page"
        )


def _too_large(found: str) -> str:
    return f"expected at most {MAX_PIXELS // 10**6} megapixels, found {found}; scan at fewer dots per inch"


def _shrunk(image: Image.Image) -> Image.Image:
    """The picture itself, or one of every k-th pixel's mean where it has too many pixels to be kept."""
    factor = math.ceil(math.sqrt(image.width * image.height / KEPT_PIXELS))
    if factor == 1:
        return image
    exif = image.getexif().get(0x0112, 1)
    if image.mode == "1" or (image.mode == "P" and not image.has_transparency_data):
        image = image.convert("L" if image.mode == "1" else "RGB")
    elif image.mode == "P":
        image = image.convert("RGBA")
    elif image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_pixels(image))
    small = image.reduce(factor)
    small.getexif()[0x0112] = exif
    return small


def _pixels(image: Image.Image) -> Pixels:
    """Any mode of Pillow to (H, W) or (H, W, 3) uint8."""
    if image.mode.startswith("I;16"):
        return _to_8_bits(np.asarray(image), 65535)
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        peak = float(np.nanmax(values))
        return _to_8_bits(values, next((full for full in (1, 255, 65535) if peak <= full), peak))
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        ink = image.convert("RGBA")
        image = Image.new("RGBA", ink.size, "white")
        image.alpha_composite(ink)
    return np.array(image.convert("L" if gray else "RGB"), dtype=np.uint8)


def _to_8_bits(values: npt.NDArray[np.generic], full: float) -> Pixels:
    """Scale 0..full to 0..255, some rows at a time: the numbers in between take four times the memory."""
    out = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):
        rows = np.nan_to_num(values[top : top + 256].astype(np.float32))
        out[top : top + 256] = np.clip(rows * (255 / full), 0, 255).round()
    return out
