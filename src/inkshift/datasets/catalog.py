"""The data sets of `catalog.toml`: what they are, who may use them, where they come from, how they load; and whole
numbers that somebody labelled, of one of these sets or in a CSV of one's own.
"""

from __future__ import annotations

import http.client
import logging
import os
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from inkshift.arrays import Pixels
from inkshift.datasets import formats, nist
from inkshift.datasets.formats import LabelledImages, PackedImages, Progress, Split
from inkshift.errors import DataError, SettingError, nearest
from inkshift.files import read_csv


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch from the first of `urls` that has it. md5, size (bytes): None if not published."""

    name: str
    urls: tuple[str, ...]
    md5: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class DataSet:
    """An entry of the catalogue.

    source: address of its official page, empty where there is none. ships: whether weights trained on it
    may be in a package that ships. splits: what `load` can give. files: what `fetch` gets; a set without
    files is found locally or not at all. title: a short name, a colon, what it holds.
    note: what else its user should know. packed: whether it is packed once, into NAME/packed, to be loaded.
    stated: images of a split by label space, as published, for planning without the data.
    """

    name: str
    title: str
    source: str
    licence: str
    citation: str
    ships: bool
    splits: tuple[Split, ...] = ()
    files: tuple[RemoteFile, ...] = ()
    note: str = ""
    packed: bool = False
    stated: Mapping[Split, Mapping[str, int]] = field(default_factory=dict, hash=False)


def data_root() -> Path:
    """Where data sets lie: $INKSHIFT_DATA, else ../shared/data if it exists, else the user's cache."""
    if named := os.environ.get("INKSHIFT_DATA"):
        return Path(named)
    beside = Path("../shared/data")
    return beside if beside.is_dir() else Path(pooch.os_cache("inkshift"))


def find(name: str) -> DataSet:
    """The entry of that name. Raises SettingError with the nearest known name."""
    if name not in CATALOG:
        raise SettingError(f"no data set is called {name!r}; {nearest(name, CATALOG)}")
    return CATALOG[name]


def locate(name: str) -> Path:
    """The folder of a data set with all its files, or packed. Raises DataError that says how to get it."""
    entry, folder = find(name), data_root() / name
    if entry.packed:
        if _is_packed(folder):
            return folder
        if _unpacked(folder):
            raise DataError(f"data set {name!r} is in {folder}, but not packed; run  inkshift data pack {name}")
    elif folder.is_dir() and all((folder / file.name).is_file() for file in entry.files):
        return folder
    how = f"run  inkshift data fetch {name}" if entry.files else "it cannot be fetched, so put its files there"
    raise DataError(f"data set {name!r} is not in {folder}; {how}, or set INKSHIFT_DATA to the folder above it")


def _is_packed(folder: Path) -> bool:
    return (folder / "packed" / nist.MANIFEST).is_file()


def _unpacked(folder: Path) -> Path | None:
    """by_class.zip, or else by_class, in the folder of the data set."""
    return next((path for path in (folder / "by_class.zip", folder / "by_class") if path.exists()), None)


def load(name: str, split: Split) -> LabelledImages:
    """The labelled characters of a data set, as they are on disk: sizes, polarity and noise differ.

    Raises DataError where the set is not here or damaged, SettingError for a split it does not have.
    """
    entry = find(name)
    if split not in entry.splits:
        has = " and ".join(entry.splits) or "nothing that can be loaded as characters"
        raise SettingError(f"data set {name!r} has no split {split!r}; it has {has}")
    folder = locate(name)
    try:
        data = _LOADERS[name](folder, split)
    except KeyError as e:
        raise DataError(f"{folder}: the array {e} is missing; get the data set again") from None
    return LabelledImages(data.images, data.labels, f"{name}/{split}", data.writers)


def pack(
    name: str, *, source: Path | None = None, root: Path | None = None, progress: Progress | None = None
) -> list[Path]:
    """Pack a set that is packed to be loaded into root/name/packed (see `nist.pack`), and give the files there.

    source: by_class.zip or the folder by_class; where None, what lies in root/name. root: data_root() where
    None. What is packed already is verified; its source is not needed any more.
    Raises DataError where there is nothing to pack or it is damaged, SettingError for any other set.
    """
    entry, folder = find(name), (root or data_root()) / name
    if not entry.packed:
        raise SettingError(f"data set {name!r} is not packed, but loaded as it is; only nist-sd19 is packed")
    source = source or _unpacked(folder)
    if source is None and not _is_packed(folder):
        raise DataError(f"{folder}: no by_class.zip and no by_class; run  inkshift data fetch {name}, or give --from")
    return nist.pack(source or folder, folder / "packed", progress)


def _load_mnist(folder: Path, split: Split) -> LabelledImages:
    stem = "train" if split == "train" else "t10k"
    return formats.load_idx_pair(folder / f"{stem}-images-idx3-ubyte.gz", folder / f"{stem}-labels-idx1-ubyte.gz")


def _load_optdigits(folder: Path, split: Split) -> LabelledImages:
    """Its 0 and 1 become 0 and 255: white ink on black."""
    arrays = formats.read_npz(folder / "optdigits32.npz")
    return LabelledImages(arrays[f"{split}_images"] * np.uint8(255), arrays[f"{split}_labels"].astype(str), "")


def _load_unipen(folder: Path, _: Split) -> LabelledImages:
    arrays = formats.read_npz(folder / "unipen62_128px_bits.npz")
    return LabelledImages(PackedImages(arrays["bits"]), arrays["labels"], "", arrays["source"])


def _load_orand_digits(folder: Path, split: Split) -> LabelledImages:
    """Digits cut out by their true boxes, labelled from the amount's corrected label.

    Doubtful amounts, and those with more or fewer boxes than digits in their label, are left out.
    """
    images, arrays = formats.read_ragged(folder / "numbers.npz")
    starts, boxes = arrays["box_offsets"], np.rint(arrays["boxes_xywh"]).astype(int)
    crops: list[Pixels] = []
    labels: list[str] = []
    amounts: list[int] = []
    for i, (image, label) in enumerate(zip(images, arrays["labels"], strict=True)):
        own = boxes[starts[i] : starts[i + 1]]
        if arrays["doubtful"][i] or len(own) != len(label):
            continue
        crops += [image[max(y, 0) : y + h, max(x, 0) : x + w] for x, y, w, h in own]
        labels += list(label)
        amounts += [i] * len(own)
    return LabelledImages(crops, np.array(labels), "", np.array(amounts))


_SWISS_HELD_OUT = (3, 9, 14, 19)  # every fourth of the sixteen writers


def _load_swiss(folder: Path, split: Split) -> LabelledImages:
    """Twelve writers to learn from, four held out; `writers` says whose each digit is."""
    images, arrays = formats.read_ragged(folder / "digits.npz")
    rows = np.flatnonzero(np.isin(arrays["writer"], _SWISS_HELD_OUT) == (split == "test"))
    labels, writers = (arrays[name][rows] for name in ("labels", "writer"))
    return LabelledImages([images[int(i)] for i in rows], labels.astype(str), "", writers)


_LOADERS: dict[str, Callable[[Path, Split], LabelledImages]] = {
    "mnist": _load_mnist,
    "nist-sd19": lambda folder, split: nist.load(folder / "packed", split),
    "nist_emnist": lambda folder, split: formats.load_npz(folder / f"{split}.npz"),
    "optdigits32": _load_optdigits,
    "handletters62": lambda folder, _: formats.load_npz(folder / "handletters62.npz"),
    "swiss": _load_swiss,
    "unipen62": _load_unipen,
    "dida": lambda folder, _: formats.load_npz(folder / "digits.npz"),
    "ufpr": lambda folder, _: replace(
        formats.load_npz(folder / "digits.npz"), writers=formats.read_npz(folder / "digits.npz")["sheet"]
    ),
    "orand_car_a": _load_orand_digits,
}


def fetch(
    name: str, *, root: Path | None = None, mirrors: Sequence[str] = (), progress: Progress | None = None
) -> list[Path]:
    """Get the files of a data set into root/name; those already there and whole are kept.

    root: data_root() where None. mirrors: addresses that are tried before $INKSHIFT_MIRROR, which is tried before
    the official ones; each is laid out as the data root is: MIRROR/name/file. A set that is packed to be
    loaded is packed too, and not fetched again once it is.
    progress: called with file, bytes so far and bytes in all (None if not stated). A broken download goes
    on where it stopped if the server allows it. Size and MD5 are verified; where the publisher states none,
    the SHA-256 of the first fetch is written to SHA256SUMS beside the file and holds from then on.
    Raises DataError where nobody publishes the set, no address gives the right file or it cannot be packed,
    SettingError for a mirror that is no address.
    """
    entry, folder = find(name), (root or data_root()) / name
    if not entry.files:
        where = f" (see {entry.source})" if entry.source else ""
        raise DataError(f"data set {name!r} cannot be fetched{where}; put its files in {folder}")
    if entry.packed and _is_packed(folder):
        return pack(name, root=root)
    bases = [*mirrors, *filter(None, [os.environ.get("INKSHIFT_MIRROR")])]
    for base in bases:
        if not base.startswith(("http://", "https://")):
            raise SettingError(f"mirror {base!r}: expected an address that begins with https:// (INKSHIFT_MIRROR)")
    folders = [f"{base.rstrip('/')}/{name}" for base in bases]
    logging.getLogger("pooch").setLevel(logging.WARNING)
    paths = [_fetch_file(file, folder, folders, progress, entry.source) for file in entry.files]
    return paths + (pack(name, root=root, progress=progress) if entry.packed else [])


def _fetch_file(file: RemoteFile, folder: Path, mirrors: Sequence[str], progress: Progress | None, page: str) -> Path:
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


def _entry(name: str, given: dict[str, Any]) -> DataSet:
    files = tuple(RemoteFile(**file | {"urls": tuple(file["urls"])}) for file in given.pop("files", ()))
    return DataSet(name, splits=tuple(given.pop("splits", ())), files=files, **given)


_ENTRIES = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
CATALOG = {name: _entry(name, given) for name, given in _ENTRIES.items()}

NUMBER_SETS = ("orand_car_a",)  # of whole numbers
TABLES = ("numbers.csv", "labels.csv")  # the first one knows the form of each number
Numbers = tuple[Sequence[Pixels], list[str], list[str]]


def check_name(data: str) -> str:
    """`data` itself, where it names a set of whole numbers or a CSV file, which need not be here.

    Raises SettingError with the nearest name.
    """
    if data in NUMBER_SETS or data.lower().endswith(".csv"):
        return data
    what = f"{data!r} holds no whole numbers" if data in CATALOG else f"no set of numbers is called {data!r}"
    raise SettingError(f"{what}; {nearest(data, NUMBER_SETS)}, or give the path of a CSV file with file and value")


def table_of(data: str | Path) -> Path | None:
    """The CSV of labelled pictures that a path is, or that its folder holds as review writes it; None: neither."""
    path = Path(data)
    if path.is_dir():
        return next((table for name in TABLES if (table := path / name).is_file()), None)
    return path if path.suffix.lower() == ".csv" and path.is_file() else None


def load_numbers(data: str) -> Numbers:
    """Pictures, (H, W) or (H, W, 3) uint8 as scanned, the digits on each, and the form each is from.

    data: a name in NUMBER_SETS, each number of which counts as a form of its own (doubtful ones are left out), or the
    path of a UTF-8 CSV with the columns `file`, relative to it, `value` and, where it is known, `form`.
    Raises SettingError for another name, DataError with file and line for what is missing or no number.
    """
    check_name(data)
    if data not in NUMBER_SETS:
        return _own_numbers(Path(data))
    path = locate(data) / "numbers.npz"
    images, arrays = formats.read_ragged(path)
    if missing := {"labels", "doubtful"} - set(arrays):
        raise DataError(f"{path}: has no array {min(missing)!r}; get the data set again")
    rows = [i for i, doubtful in enumerate(arrays["doubtful"]) if not doubtful]
    return [images[i] for i in rows], [str(arrays["labels"][i]) for i in rows], [f"{data}-{i}" for i in rows]


def _own_numbers(path: Path) -> Numbers:
    pictures, labels, forms = [], [], []
    for line, row in read_csv(path, "file", "value"):
        value = row["value"]
        if not (value.isascii() and value.isdigit()):
            raise DataError(f"{path}:{line}: expected a value of digits alone, found {value!r}; mend or remove it")
        if not (path.parent / row["file"]).is_file():
            raise DataError(f"{path}:{line}: image {row['file']!r} not found beside it; paths are relative to the CSV")
        pictures.append(formats.read_image(path.parent / row["file"]))
        labels.append(value)
        forms.append(row.get("form") or row["file"])
    return pictures, labels, forms
