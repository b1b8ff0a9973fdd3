"""Pictures out of files, for all commands: upright 8-bit pixels of bounded size, or one InputError."""

from __future__ import annotations

import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import pi_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from inkshift.arrays import Pixels
from inkshift.errors import InputError
from inkshift.files import opened

T = TypeVar("T")

# No paper is longer (A0 at 600 dots per inch has 28,087), and what is 100 times as long as wide is none.
MAX_PIXELS, MAX_SIDE, MAX_RATIO = 120_000_000, 30_000, 100
# Pages of a TIFF, in which a page is found by way of all before it.
MAX_PAGES = 2000
# Pixels of a page that are kept: A4 at 600 dots per inch. Larger ones are shrunk by whole numbers.
KEPT_PIXELS = 36_000_000

# Rows that are worked on at a time.
_ROWS = 256

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


def as_pixels(picture: npt.NDArray[np.uint8] | Image.Image) -> Pixels:
    """A picture of numpy or Pillow as pages come: (H, W) or (H, W, 3) RGB uint8. Raises InputError for any other."""
    if isinstance(picture, Image.Image):
        picture = _pixels(ImageOps.exif_transpose(picture))
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise InputError(
            f"picture: expected (H, W) or (H, W, 3) RGB of uint8, 0 black, found {picture.shape} of {picture.dtype}; "
            "convert it"
        )
    if not picture.size:
        raise InputError(f"picture: expected pixels, found none ({picture.shape}); check what was cut out")
    return np.ascontiguousarray(picture)


def fit_within(image: Pixels, longest: int) -> Pixels:
    """A picture, (H, W) or (H, W, 3) uint8, its longer side at most `longest` pixels, the other at least one."""
    h, w = image.shape[:2]
    zoom = longest / max(h, w)
    if zoom >= 1:
        return image
    if round(min(h, w) * zoom) < 1:  # which OpenCV refuses
        size = max(1, round(w * zoom)), max(1, round(h * zoom))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)


def ending_of(head: bytes) -> str:
    """The usual ending of a picture whose file starts with these bytes, `.png` for one; empty where it is none."""
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = (head[8:12], *(head[at : at + 4] for at in range(16, end, 4)))
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
        with opened(path) as file:
            return file.read(_HEAD)
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror}); check the path and its permissions") from e


def count_pages(path: str | Path) -> int:
    """How many pages a picture has: more than one only in a TIFF. Raises InputError as `load_picture` does."""

    def count(image: Image.Image) -> int:
        _check_size(path, *image.size)
        return _count(path, image)

    with reading(path), opened(path) as file:
        return _from(file, count)


def load_picture(path: str | Path, page: int = 1) -> Pixels:
    """A picture, upright by its EXIF: (H, W) gray or (H, W, 3) RGB, uint8, 0 black.

    Transparency lies on white; 10 to 16 bits become 8; more than 36 megapixels are shrunk by a whole number. Raises
    InputError for what is no PNG, JPEG, TIFF, HEIC, WebP, BMP or GIF, is damaged, cut off or lacks that page, and,
    before pixels are decoded, for more than 120 megapixels, 30,000 on a side, or 100 times as long as wide.
    """
    with reading(path), opened(path) as file:
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


def _from(file: IO[bytes], use: Callable[[Image.Image], T]) -> T:
    """What `use` makes of the picture in a file; of a TIFF, if that fails, once more without its wrong tags."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            return use(image)
    except InputError:
        raise
    except Exception:
        file.seek(0)
        mended = without_wrong_tags(file.read())
        if mended is None:
            raise
        with Image.open(io.BytesIO(mended), formats=("TIFF",)) as image:
            return use(image)


def _load(file: IO[bytes], name: str | Path, page: int) -> Pixels:
    def load(image: Image.Image) -> Pixels:
        try:
            image.seek(page - 1 if page == 1 or image.format == "TIFF" else -1)
        except EOFError:
            raise InputError(f"{name}: expected a page from 1 to {_count(name, image)}, found page {page}") from None
        _check_size(name, *image.size)
        image.load()
        small = _shrunk(image)
        with suppress(Exception):  # a wrong tag beside the pixels is no reason to refuse them
            ImageOps.exif_transpose(small, in_place=True)
        return _pixels(small)

    return _from(file, load)


def without_wrong_tags(data: bytes) -> bytes | None:
    """A TIFF with those tags of each page alone that its pixels need, where they are sound; None if it is no TIFF.

    Scanners and their drivers write tags of the wrong type, length or place; most say nothing about the pixels.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    out = bytearray(data)
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    seen: set[int] = set()
    with suppress(struct.error):  # the file ends here
        while place and place not in seen:
            seen.add(place)
            (count,) = struct.unpack_from(f"{order}H", data, place)
            entries = [data[place + 2 + 12 * i : place + 14 + 12 * i] for i in range(count)]
            (following,) = struct.unpack_from(f"{order}I", data, place + 2 + 12 * count)
            kept = [entry for entry in entries if _is_sound(entry, order, len(data))]
            sound = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + struct.pack(f"{order}I", following)
            out[place : place + len(sound)] = sound
            place = following
    return bytes(out)


# Tags of TIFF 6.0 that the pixels need, and the types of their values: 1 byte, 3 short, 4 long, 5 rational, 7 bytes.
_NUMBERS = "256 257 258 259 262 266 273 274 277 278 279 284 292 293 317 320 322 323 324 325 338 339 530 531"
_TAGS: dict[int, tuple[int, ...]] = {int(tag): (3, 4) for tag in _NUMBERS.split()} | {347: (1, 7), 529: (5,), 532: (5,)}
_BYTES = {1: 1, 3: 2, 4: 4, 5: 8, 7: 1}
_VALUES = {266: (1, 2), 274: range(1, 9), 278: range(1, 2**31), 284: (1, 2)}


def _is_sound(entry: bytes, order: str, length: int) -> bool:
    tag, kind, count, place = struct.unpack(f"{order}HHII", entry)
    if kind not in _TAGS.get(tag, ()) or not 1 <= count <= length:
        return False
    if _BYTES[kind] * count > 4:
        return bool(place + _BYTES[kind] * count <= length)
    value = struct.unpack_from(f"{order}{'HI'[kind == 4]}", entry, 8)[0]
    return tag not in _VALUES or value in _VALUES[tag]


def _count(name: str | Path, image: Image.Image) -> int:
    """Only a TIFF has pages: the further frames of a JPEG are a camera's previews, those of a GIF a film."""
    if image.format != "TIFF":
        return 1
    for count in range(MAX_PAGES + 1):  # `n_frames` walks through however many there are
        try:
            image.seek(count)
        except EOFError:
            return count
    raise InputError(f"{name}: expected at most {MAX_PAGES:,} pages, found more; save it in parts")


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
    exif = 1
    with suppress(Exception):
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
        return _to_8_bits(np.asarray(image), _full(np.asarray(image), ()))
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        return _to_8_bits(values, _full(values, (1, 255)))
    gray = image.mode in ("1", "L", "LA", "La")
    mode = "L" if gray else "RGB"
    if image.has_transparency_data:
        return _on_white(image, mode)
    return np.array(image if image.mode == mode else image.convert(mode), dtype=np.uint8)


def _on_white(image: Image.Image, mode: str) -> Pixels:
    """A picture with transparency as one of `mode`, L or RGB; some rows at a time: the steps take 12 bytes a pixel."""
    w, h = image.size
    out = np.empty((h, w) if mode == "L" else (h, w, 3), np.uint8)
    for top in range(0, h, _ROWS):
        ink = image.crop((0, top, w, min(top + _ROWS, h))).convert("RGBA")
        paper = Image.new("RGBA", ink.size, "white")
        paper.alpha_composite(ink)
        out[top : top + _ROWS] = np.asarray(paper.convert(mode))
    return out


def _full(values: npt.NDArray[np.generic], low: tuple[float, ...]) -> float:
    """What stands for white in pixels of more than 8 bits: the least of `low`, 10, 12, 14 and 16 bits that holds all.

    Cameras and scanners put 10, 12 or 14 bits into files of 16. Dark on purpose, and so of 16, is a picture of no more
    than 8 bits, or one whose pixels are all multiples of 256 or 257, as 8 bits become 16.
    """
    peak = float(np.nanmax(values))
    some = values[:: max(1, values.shape[0] // 500), :: max(1, values.shape[1] // 500)].astype(np.float64)
    dark = peak <= 255 or any(not np.nan_to_num(np.fmod(some, step)).any() for step in (256, 257))
    return next((full for full in (*low, *(() if dark else (1023, 4095, 16383)), 65535) if peak <= full), peak)


def _to_8_bits(values: npt.NDArray[np.generic], full: float) -> Pixels:
    """Scale 0..full to 0..255, some rows at a time: the numbers in between take four times the memory."""
    out = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):
        rows = np.nan_to_num(values[top : top + _ROWS].astype(np.float32))
        out[top : top + _ROWS] = np.clip(rows * (255 / full), 0, 255).round()
    return out
