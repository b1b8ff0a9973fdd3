"""NIST Special Database 19, `by_class`: packed once, one bit a pixel, then read where it lies on disk.

The database has `by_class/<hex>/train_<hex>/*.png` for training and `by_class/<hex>/hsf_4/*.png` for testing,
`<hex>` the ASCII code of the class. Its other folders, `hsf_0` to `hsf_7`, hold the training images again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import shutil
import struct
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from inkshift.datasets.formats import LabelledImages, PackedImages, Progress, Split
from inkshift.errors import DataError, InputError
from inkshift.files import file_digest, write_whole
from inkshift.pictures import decode_picture

SIDE = 128
BYTES = SIDE * SIDE // 8
CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MANIFEST = "manifest.json"

_SPLITS: tuple[Split, ...] = get_args(Split)
_PLACE = re.compile(r"(?:by_class/)?([0-9a-f]{2})/(?:(train)_\1|hsf_([0-8]))/[^/]+", re.I)
_DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
_BEYOND = 0xFFFFFFFF

Group = tuple[Split, str]


class _Checksum(BaseModel):
    bytes: int
    sha256: str


class _PackManifest(BaseModel):
    """What is packed. listing: digest of the names and sizes of the source's files. classes: images of each.

    complete: the groups packed so far, such as `train/7`, in a manifest.part.
    """

    format: Literal["inkshift-packed-1"] = "inkshift-packed-1"
    source: str
    listing: str
    classes: dict[Split, dict[str, int]]
    files: dict[str, _Checksum] = {}
    complete: list[str] = []

    def count(self, split: Split) -> int:
        return sum(self.classes[split].values())


def pack(source: str | Path, folder: str | Path, progress: Progress | None = None) -> list[Path]:
    """Pack by_class.zip, or the folder by_class, into `folder`; a packing that was stopped goes on.

    `train.bits` and `test.bits` have 2,048 bytes for each image, 1 = ink, by class, then by file name;
    `train.labels` and `test.labels` one letter for each; `manifest.json` counts and SHA-256. Where `folder` is
    packed already, it is verified. progress: file, bytes so far, bytes in all. Returns the files.

    Raises DataError for an image that does not decode or is not 128x128, a folder that is none of the
    database, a class without training or test images, a full disk.
    """
    source, folder = Path(source), Path(folder)
    if (folder / MANIFEST).is_file():
        return verify(folder)
    try:
        images = _Zip(source) if source.is_file() else _Folder(source)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = _begin(images, folder)
        for split in _SPLITS:
            _pack_split(images, manifest, split, folder, progress)
        return _finish(manifest, folder)
    except OSError as e:
        raise DataError(f"packing {source} into {folder} stopped ({e}); run it again: it goes on there") from None


def load(folder: str | Path, split: Split) -> LabelledImages:
    """A packed split, its images read when they are asked for: (128, 128), ink 255 on 0.

    Raises DataError where it is not packed or a file has another size or other labels than it was packed with.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    bits, letters = folder / f"{split}.bits", folder / f"{split}.labels"
    for file, size in ((bits, manifest.count(split) * BYTES), (letters, manifest.count(split))):
        found = file.stat().st_size if file.is_file() else 0
        if found != size:
            raise DataError(f"{file}: expected {size} bytes, found {found}; delete {folder} and pack again")
    labels = np.fromfile(letters, "S1").astype(np.str_)
    counts = {str(label): int(count) for label, count in zip(*np.unique(labels, return_counts=True), strict=True)}
    if counts != manifest.classes[split]:
        raise DataError(f"{letters}: its labels are not those packed; delete {folder} and pack again")
    mapped = np.memmap(bits, np.uint8, "r", shape=(len(labels), SIDE, SIDE // 8))
    return LabelledImages(PackedImages(mapped), labels, str(bits))


def verify(folder: str | Path) -> list[Path]:
    """The packed files, their SHA-256 compared with the manifest. Raises DataError for one that differs."""
    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name, file in manifest.files.items():
        if not (folder / name).is_file() or file_digest(folder / name) != file.sha256:
            raise DataError(f"{folder / name}: missing or altered since it was packed; delete {folder} and pack again")
    return [folder / name for name in (*manifest.files, MANIFEST)]


def _read_manifest(folder: Path) -> _PackManifest:
    try:
        return _PackManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as e:
        why = f"{e.error_count()} errors" if isinstance(e, ValidationError) else e.strerror
        raise DataError(f"{folder / MANIFEST}: not a packed data set ({why}); delete {folder} and pack again") from None


def _begin(images: _Zip | _Folder, folder: Path) -> _PackManifest:
    """The manifest of a packing to do, or to go on with; the files of bits exist in full size."""
    classes = {split: {label: images.count((split, label)) for label in CLASSES} for split in _SPLITS}
    for split, counts in classes.items():
        for label, count in counts.items():
            if not count:
                where = f"{ord(label):x}/" + ("hsf_4" if split == "test" else f"train_{ord(label):x}")
                raise DataError(f"{images.source}: class {label!r} has no {split} image; expected PNG files in {where}")
    manifest = _PackManifest(source=images.source.name, listing=images.listing, classes=classes)
    sizes = {folder / f"{split}.bits": manifest.count(split) * BYTES for split in _SPLITS}
    try:
        before = _PackManifest.model_validate_json((folder / "manifest.part").read_bytes())
    except (OSError, ValidationError):
        before = None
    whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())
    if whole and before and before == manifest.model_copy(update={"complete": before.complete}):
        return before
    (folder / "manifest.part").unlink(missing_ok=True)
    for path in sizes:
        path.unlink(missing_ok=True)
    need, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if need > free:
        raise DataError(f"{folder}: packing needs {need:,} bytes, the disk has {free:,} left; make room")
    for path, size in sizes.items():
        with path.open("wb") as file:
            file.truncate(size)
    return manifest


def _pack_split(
    images: _Zip | _Folder, manifest: _PackManifest, split: Split, folder: Path, progress: Progress | None
) -> None:
    name, total = f"{split}.bits", manifest.count(split) * BYTES
    with (folder / name).open("r+b") as out:
        for label, count in manifest.classes[split].items():
            key = f"{split}/{label}"
            if key in manifest.complete:
                out.seek(count * BYTES, os.SEEK_CUR)
                continue
            for i, (file, data) in enumerate(images.read((split, label))):
                out.write(_ink_bits(data, file))
                if progress and i % 256 == 0:
                    progress(name, out.tell(), total)
            out.flush()
            os.fsync(out.fileno())
            manifest.complete.append(key)
            write_whole(folder / "manifest.part", manifest.model_dump_json().encode())
        if progress:
            progress(name, total, total)


def _ink_bits(data: bytes, name: str) -> bytes:
    try:
        pixels = decode_picture(data, name)
    except InputError as e:
        raise DataError(str(e)) from None
    if pixels.shape[:2] != (SIDE, SIDE):
        height, width = pixels.shape[:2]
        raise DataError(f"{name}: expected an image of {SIDE}x{SIDE} pixels, found {width}x{height}")
    gray = pixels if pixels.ndim == 2 else pixels[:, :, 1]  # in black on white the channels are alike
    return np.packbits(gray < 128, axis=1).tobytes()


def _finish(manifest: _PackManifest, folder: Path) -> list[Path]:
    for split, counts in manifest.classes.items():
        write_whole(folder / f"{split}.labels", "".join(label * count for label, count in counts.items()).encode())
    for name in [f"{split}.{what}" for split in _SPLITS for what in ("bits", "labels")]:
        path = folder / name
        manifest.files[name] = _Checksum(bytes=path.stat().st_size, sha256=file_digest(path))
    write_whole(folder / MANIFEST, json.dumps(manifest.model_dump(exclude={"complete"}), indent=1).encode())
    (folder / "manifest.part").unlink()
    return [folder / name for name in (*manifest.files, MANIFEST)]


def _group(name: str, source: Path) -> Group | None:
    """Split and class of an image by its place in the tree; None for what the two splits leave out."""
    match = _PLACE.fullmatch(name)
    label = chr(int(match[1], 16)) if match else ""
    if match is None or label not in CLASSES:
        known = "by_class/<30-39, 41-5a or 61-7a>/<train_.. or hsf_0-7>/"
        raise DataError(f"{source}: {name} is in no folder of the database; expected {known}")
    return ("train", label) if match[2] else ("test", label) if match[3] == "4" else None


class _Folder:
    """The images of an unpacked by_class, or of the folder above it."""

    def __init__(self, source: Path) -> None:
        self.source = source / "by_class" if (source / "by_class").is_dir() else source
        self._groups: dict[Group, tuple[Path, list[str]]] = {}
        listing = hashlib.sha256()
        for folder in sorted(self.source.glob("*/*/")):
            place = folder.relative_to(self.source).as_posix()
            with os.scandir(folder) as entries:
                found = sorted((e.name, e.stat().st_size) for e in entries if _is_image(f"{place}/{e.name}"))
            group = _group(f"{place}/{found[0][0]}", self.source) if found else None
            if group:
                self._groups[group] = folder, [name for name, _ in found]
                listing.update(json.dumps([place, found]).encode())
        if not self._groups:
            raise DataError(f"{source}: expected by_class.zip of NIST SD19 or its folder by_class, found neither")
        self.listing = listing.hexdigest()

    def count(self, group: Group) -> int:
        return len(self._groups[group][1]) if group in self._groups else 0

    def read(self, group: Group) -> Iterator[tuple[str, bytes]]:
        folder, names = self._groups[group]
        for name in names:
            yield str(folder / name), (folder / name).read_bytes()


class _Zip:
    """The images of by_class.zip. zipfile would need a gigabyte for its 1.5 million entries; this 8 bytes each."""

    def __init__(self, source: Path) -> None:
        self.source = source
        try:
            with source.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._groups, self.listing = self._index(*self._directory())
        except (ValueError, struct.error):
            raise self._damaged("no zip archive") from None

    def count(self, group: Group) -> int:
        return len(self._groups.get(group, ()))

    def read(self, group: Group) -> Iterator[tuple[str, bytes]]:
        for position in self._groups[group]:
            name = f"{self.source}: {self._name(position)}"
            try:
                yield name, self._content(position)
            except (struct.error, zlib.error) as e:
                raise self._damaged(f"{self._name(position)}: {e}") from None

    def _directory(self) -> tuple[int, int]:
        """Start and size of the directory, from the record at the end, or the larger one before it (zip64)."""
        end = self._data.rfind(b"PK\5\6", max(0, len(self._data) - 65557))
        if end < 0:
            raise self._damaged("no directory at its end")
        size, start = struct.unpack_from("<2L", self._data, end + 12)
        if end >= 20 and self._data[end - 20 : end - 16] == b"PK\6\7":
            (far,) = struct.unpack_from("<Q", self._data, end - 12)
            size, start = struct.unpack_from("<2Q", self._data, far + 40)
        return start, size

    def _index(self, start: int, size: int) -> tuple[dict[Group, array[int]], str]:
        """Where each image's entry in the directory begins, by group and name, and a digest of the directory."""
        groups: dict[Group, array[int]] = {}
        position = start
        while position < start + size:
            signature, *_, name, extra, comment, _, _, _, _ = _DIRECTORY_ENTRY.unpack_from(self._data, position)
            if signature != b"PK\1\2":
                raise self._damaged(f"no entry at byte {position} of its directory")
            path = self._name(position)
            if _is_image(path) and (group := _group(path, self.source)):
                groups.setdefault(group, array("Q")).append(position)
            position += _DIRECTORY_ENTRY.size + name + extra + comment
        ordered = {group: array("Q", sorted(found, key=self._name)) for group, found in groups.items()}
        with memoryview(self._data) as whole, whole[start : start + size] as directory:
            return ordered, hashlib.sha256(directory).hexdigest()

    def _name(self, position: int) -> str:
        (length,) = struct.unpack_from("<H", self._data, position + 28)
        begin = position + _DIRECTORY_ENTRY.size
        return self._data[begin : begin + length].decode("utf-8", "replace")

    def _content(self, position: int) -> bytes:
        entry = _DIRECTORY_ENTRY.unpack_from(self._data, position)
        flags, method, crc, packed, offset = entry[3], entry[4], entry[7], entry[8], entry[-1]
        if flags & 1 or method not in (0, 8) or _BEYOND in (packed, offset):
            raise self._damaged(f"{self._name(position)} is encrypted, beyond 4 GB or compressed in another way")
        name, extra = struct.unpack_from("<2H", self._data, offset + 26)
        begin = offset + 30 + name + extra
        data = self._data[begin : begin + packed]
        data = zlib.decompress(data, -zlib.MAX_WBITS) if method == 8 else data
        if zlib.crc32(data) != crc:
            raise self._damaged(f"{self._name(position)} has another checksum")
        return data

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.source}: cannot be read as a zip archive ({why}); fetch it again, or unpack it")


def _is_image(name: str) -> bool:
    return name.lower().endswith(".png") and "/." not in name
