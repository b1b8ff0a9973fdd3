"""Files that hold labelled images: IDX, npz, class folders, CSV with images."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Pixels
from inkshift.errors import DataError, InputError
from inkshift.files import read_csv
from inkshift.pictures import is_picture, load_picture

Split = Literal["train", "test"]

MOST_BYTES = 1 << 30
"""Of one set in memory; the largest that is published, EMNIST by class, takes 0.6 of it."""
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Images and what each shows.

    images: (N, H, W) uint8, or N arrays (H, W) or (H, W, 3) uint8, RGB, of any size.
    labels: (N,) strings, a class such as `7` or `a`. name: where they come from. writers: (N,) whose hand each is, or
    what else they came with (a sheet, an amount), None where that is not known.
    Raises DataError where the two counts differ.
    """

    images: Sequence[Pixels] | Pixels
    labels: npt.NDArray[np.str_]
    name: str
    writers: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            found = f"{len(self.images)} images, {len(self.labels)} labels"
            raise DataError(f"{self.name}: expected one label for each image, found {found}")

    def __len__(self) -> int:
        return len(self.labels)


class PackedImages(Sequence[Pixels]):
    """Images of one size, one bit a pixel, unpacked when they are asked for.

    bits: (N, H, W / 8) uint8, 1 = ink, the leftmost pixel in the highest bit; a numpy.memmap stays on disk,
    also in another process. `images[3]` is (H, W) uint8, ink 255 on 0; `images[rows]`, with a slice or an
    array of row numbers or of booleans, is (n, H, W). Raises DataError for bits of another kind.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        if bits.dtype != np.uint8 or bits.ndim != 3:
            raise DataError(f"packed images must be uint8 (N, H, W / 8), found {bits.dtype} with shape {bits.shape}")
        self._bits = bits

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W) of the images."""
        count, height, width = self._bits.shape
        return count, height, 8 * width

    def __len__(self) -> int:
        return len(self._bits)

    def __getitem__(self, rows: Any) -> Any:
        return np.unpackbits(np.asarray(self._bits[rows]), axis=-1) * np.uint8(255)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._bits, np.memmap) and self._bits.filename:
            return _map_packed, (self._bits.filename, self._bits.shape)
        return PackedImages, (self._bits,)


def _map_packed(path: str | Path, shape: tuple[int, int, int]) -> PackedImages:
    return PackedImages(np.memmap(path, np.uint8, "r", shape=shape))


def read_idx(path: str | Path) -> Pixels:
    """The array of an IDX file of unsigned bytes, gzipped or not, in the shape its header states.

    Raises DataError for a missing file, a wrong magic number, another element type, data cut short
    or bytes left over.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] == 0:
                raise DataError(f"{path}: not an IDX file: it starts with {magic.hex(' ') or 'nothing'}")
            if magic[2] != 8:
                raise DataError(f"{path}: IDX elements must be unsigned bytes (type 8), found type {magic[2]}")
            header = file.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise DataError(f"{path}: cut short inside the IDX header; fetch the file again")
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
            if (size := math.prod(shape)) > MOST_BYTES:
                raise DataError(
                    f"{path}: expected at most {MOST_BYTES >> 20} MiB, found a header {shape}; split the set"
                )
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as e:
        raise DataError(f"{path}: cannot be read ({e}); fetch the file again") from None
    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else f"{len(data)} or more"
        raise DataError(f"{path}: the IDX header {shape} asks for {size} bytes, found {found}; fetch it again")
    try:
        return np.frombuffer(data, np.uint8).reshape(shape).copy()
    except ValueError:
        raise DataError(f"{path}: an array of shape {shape} is beyond numpy; fetch the file again") from None


def read_npz(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an npz file, without pickle. Raises DataError where it is missing, damaged or too large."""
    try:
        with Path(path).open("rb") as file:
            with zipfile.ZipFile(file) as parts:
                if (size := sum(part.file_size for part in parts.infolist())) > MOST_BYTES:
                    raise ValueError(f"{size >> 20} MiB unpacked, expected at most {MOST_BYTES >> 20}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
    except Exception as e:  # whatever zipfile and numpy find wrong with the bytes
        why = str(e) or type(e).__name__
        raise DataError(f"{path}: cannot be read as npz without pickle ({why}); write it with numpy.savez") from None


def read_ragged(path: str | Path) -> tuple[list[Pixels], dict[str, npt.NDArray[Any]]]:
    """Images of different sizes in one npz, and the other arrays that lie in it.

    The file has `pixels` (uint8, flat), `shapes` (N, 2 or 3) and `offsets` (N + 1); image i is
    `pixels[offsets[i]:offsets[i + 1]].reshape(shapes[i])`. Raises DataError where they do not agree.
    """
    arrays = read_npz(path)
    _need(path, arrays, ("pixels", "shapes", "offsets"))
    return _ragged_images(path, arrays), arrays


def _ragged_images(path: str | Path, arrays: dict[str, npt.NDArray[Any]]) -> list[Pixels]:
    """Takes the three arrays of the images out of `arrays`."""
    pixels, shapes, offsets = (arrays.pop(key) for key in ("pixels", "shapes", "offsets"))
    if pixels.dtype != np.uint8 or pixels.ndim != 1:
        raise DataError(f"{path}: pixels must be flat uint8, found {pixels.dtype} with shape {pixels.shape}")
    whole = shapes.dtype.kind in "iu" and offsets.dtype.kind in "iu" and bool((shapes >= 0).all())
    if not whole or shapes.ndim != 2 or offsets.shape != (len(shapes) + 1,):
        raise DataError(f"{path}: shapes must be (N, 2 or 3) and offsets (N + 1), whole numbers")
    if offsets[0] != 0 or offsets[-1] != len(pixels):
        raise DataError(f"{path}: offsets must run from 0 to {len(pixels)}, found {offsets[0]} to {offsets[-1]}")
    wrong = np.flatnonzero(np.diff(offsets) != shapes.prod(axis=1, dtype=np.int64))
    if len(wrong):
        raise DataError(f"{path}: image {wrong[0]} does not fill its shape {tuple(shapes[wrong[0]].tolist())}")
    return [pixels[a:b].reshape(s) for a, b, s in zip(offsets[:-1], offsets[1:], shapes, strict=True)]


def load_npz(path: str | Path) -> LabelledImages:
    """Labelled images of an npz: `labels` beside `images` (N, H, W) uint8 or a ragged set (`read_ragged`).

    Labels are strings, or numbers; with an array `classes` the numbers are indices into it, as in EMNIST.
    """
    arrays = read_npz(path)
    _need(path, arrays, ("labels",))
    if "pixels" in arrays:
        _need(path, arrays, ("shapes", "offsets"))
        return LabelledImages(_ragged_images(path, arrays), _label_strings(path, arrays), str(path))
    _need(path, arrays, ("images",))
    images = arrays["images"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise DataError(f"{path}: images must be (N, H, W) uint8, found {images.dtype} with shape {images.shape}")
    return LabelledImages(images, _label_strings(path, arrays), str(path))


def load_idx_pair(images: str | Path, labels: str | Path) -> LabelledImages:
    """Images (N, H, W) and labels (N) of two IDX files, as MNIST has them."""
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.ndim != 1:
        found = f"{pixels.shape}, and {classes.shape} in {labels}"
        raise DataError(f"{images}: expected images (N, H, W) and labels (N), found {found}")
    return LabelledImages(pixels, classes.astype(np.str_), str(images))


def load_class_folders(path: str | Path) -> LabelledImages:
    """One folder a class, its name the label, with pictures inside; all in the order of their names."""
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; give one that holds a folder for each class")
    files = [
        file
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.iterdir())
        if not file.name.startswith(".") and file.is_file() and is_picture(file)
    ]
    if not files:
        raise DataError(f"{path}: no picture in any folder of it; expected one folder for each class")
    return LabelledImages([read_image(f) for f in files], np.array([f.parent.name for f in files]), str(path))


def load_csv(path: str | Path) -> LabelledImages:
    """Images listed in a CSV with the columns `file`, relative to the CSV, and `label` or `value`."""
    path = Path(path)
    rows = [row for _, row in read_csv(path)]
    column = "label" if "label" in rows[0] else "value"
    if "file" not in rows[0] or column not in rows[0]:
        raise DataError(f"{path}: needs the columns file and label (or value), found {', '.join(rows[0])}")
    files = [path.parent / row["file"] for row in rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{path}: image {missing[0]}{rest} not found; paths are relative to the folder of the CSV")
    return LabelledImages([read_image(f) for f in files], np.array([row[column] for row in rows]), str(path))


def load_path(path: str | Path, split: Split) -> LabelledImages:
    """One split of a user's own data: the folder has `train.csv`, `train.npz` or `train/`, and so for test.

    The first of them that is there is read: the CSV as in `load_csv`, the npz as in `load_npz`, the folder
    as in `load_class_folders`. Raises DataError where none is there or what is there is damaged.
    """
    path = Path(path)
    if (table := path / f"{split}.csv").is_file():
        return load_csv(table)
    if (arrays := path / f"{split}.npz").is_file():
        return load_npz(arrays)
    if (folder := path / split).is_dir():
        return load_class_folders(folder)
    wanted = f"{split}.csv, {split}.npz or a folder {split} of class folders"
    raise DataError(f"{path}: expected a folder with {wanted}, found {'none' if path.is_dir() else 'no such folder'}")


def read_image(path: str | Path) -> Pixels:
    """A picture as `pictures.load_picture` gives it. Raises DataError for a file that is missing, damaged or none."""
    try:
        return load_picture(path)
    except InputError as e:
        raise DataError(str(e)) from None


def _need(path: str | Path, arrays: dict[str, npt.NDArray[Any]], names: Sequence[str]) -> None:
    for name in names:
        if name not in arrays:
            raise DataError(f"{path}: has no array {name!r}, only {', '.join(arrays) or 'none at all'}")


def _label_strings(path: str | Path, arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.str_]:
    labels = arrays["labels"]
    if labels.ndim != 1 or labels.dtype.kind not in "uiU":
        raise DataError(f"{path}: labels must be (N) numbers or strings, found {labels.dtype}, shape {labels.shape}")
    if "classes" in arrays and labels.dtype.kind != "U":
        classes = arrays["classes"]
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise DataError(f"{path}: labels run from {labels.min()} to {labels.max()}, but classes has {len(classes)}")
        labels = classes[labels]
    return labels.astype(np.str_)
