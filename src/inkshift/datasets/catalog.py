"""The data sets inkshift knows: what they are, who may use them, where they come from, how they load."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pooch

from inkshift.datasets import nist
from inkshift.datasets.download import RemoteFile, fetch_file
from inkshift.datasets.formats import (
    LabelledImages,
    PackedImages,
    Pixels,
    load_idx_pair,
    load_npz,
    read_npz,
    read_ragged,
)
from inkshift.datasets.formats import Progress as Progress
from inkshift.datasets.formats import Split as Split
from inkshift.errors import DataError, SettingError, nearest


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
    return load_idx_pair(folder / f"{stem}-images-idx3-ubyte.gz", folder / f"{stem}-labels-idx1-ubyte.gz")


def _load_optdigits(folder: Path, split: Split) -> LabelledImages:
    """Its 0 and 1 become 0 and 255: white ink on black."""
    arrays = read_npz(folder / "optdigits32.npz")
    return LabelledImages(arrays[f"{split}_images"] * np.uint8(255), arrays[f"{split}_labels"].astype(str), "")


def _load_unipen(folder: Path, _: Split) -> LabelledImages:
    arrays = read_npz(folder / "unipen62_128px_bits.npz")
    return LabelledImages(PackedImages(arrays["bits"]), arrays["labels"], "", arrays["source"])


def _load_orand_digits(folder: Path, split: Split) -> LabelledImages:
    """Digits cut out by their true boxes, labelled from the amount's corrected label.

    Doubtful amounts, and those with more or fewer boxes than digits in their label, are left out.
    """
    images, arrays = read_ragged(folder / "numbers.npz")
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
    images, arrays = read_ragged(folder / "digits.npz")
    rows = np.flatnonzero(np.isin(arrays["writer"], _SWISS_HELD_OUT) == (split == "test"))
    labels, writers = (arrays[name][rows] for name in ("labels", "writer"))
    return LabelledImages([images[int(i)] for i in rows], labels.astype(str), "", writers)


def swiss_writers(split: Split) -> npt.NDArray[np.int64]:
    """The writer of each digit of `load("swiss", split)`. Raises DataError as `load` does."""
    writer = read_npz(locate("swiss") / "digits.npz")["writer"].astype(np.int64)
    return np.asarray(writer[np.isin(writer, _SWISS_HELD_OUT) == (split == "test")], np.int64)


_LOADERS: dict[str, Callable[[Path, Split], LabelledImages]] = {
    "mnist": _load_mnist,
    "nist-sd19": lambda folder, split: nist.load(folder / "packed", split),
    "nist_emnist": lambda folder, split: load_npz(folder / f"{split}.npz"),
    "optdigits32": _load_optdigits,
    "handletters62": lambda folder, _: load_npz(folder / "handletters62.npz"),
    "swiss": _load_swiss,
    "unipen62": _load_unipen,
    "dida": lambda folder, _: load_npz(folder / "digits.npz"),
    "ufpr": lambda folder, _: replace(
        load_npz(folder / "digits.npz"), writers=read_npz(folder / "digits.npz")["sheet"]
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
    paths = [fetch_file(file, folder, folders, progress, entry.source) for file in entry.files]
    return paths + (pack(name, root=root, progress=progress) if entry.packed else [])


def _mnist_file(name: str, md5: str, size: int) -> RemoteFile:
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    )
    return RemoteFile(name, tuple(f"{mirror}/{name}" for mirror in mirrors), md5, size)


def _mendeley(identifier: str, name: str) -> tuple[RemoteFile, ...]:
    return (RemoteFile(name, (f"https://data.mendeley.com/public-api/zip/{identifier}/download/1",)),)


_PAPER = "Pacchiotti, Ballejos & Ale (2023), Reúso de un modelo de Aprendizaje Profundo"

_ENTRIES = (
    DataSet(
        name="mnist",
        title="MNIST: 60,000 + 10,000 digits of American writers, 28x28, white ink on black",
        source="https://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
        note="packages state the licence; whether share-alike reaches weights is unsettled",
        citation="LeCun et al. (1998), Gradient-based learning applied to document recognition",
        ships=True,
        splits=("train", "test"),
        stated={"train": {"digits": 60_000}, "test": {"digits": 10_000}},
        files=(
            _mnist_file("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9912422),
            _mnist_file("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28881),
            _mnist_file("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1648877),
            _mnist_file("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4542),
        ),
    ),
    DataSet(
        name="nist-sd19",
        title="NIST SD19 by_class: 731,668 + 82,587 characters of 3,600 writers, 128x128, 62 classes",
        source="https://www.nist.gov/srd/nist-special-database-19",
        licence="US government work",
        citation="Grother & Hanaoka (2016), NIST Special Database 19, 2nd edition",
        note="train is train_<class>, test is hsf_4, as its guide advises; packed, it takes 1.7 GB",
        ships=True,
        splits=("train", "test"),
        packed=True,
        stated={  # the counts of train_<class> and hsf_4 in the user's guide, 2nd edition
            "train": {"digits": 344_307, "characters": 387_361, "digits+characters": 731_668},
            "test": {"digits": 58_646, "characters": 23_941, "digits+characters": 82_587},
        },
        files=(
            RemoteFile(
                "by_class.zip",
                ("https://s3.amazonaws.com/nist-srd/SD19/by_class.zip",),
                "79572b1694a8506f2b722c7be54130c4",
            ),
        ),
    ),
    DataSet(
        name="hn",
        title="Handwritten Numbers: numbers of one to three digits off Argentine telegrams",
        source="https://data.mendeley.com/datasets/b9v9x5pk96/1",
        licence="see its page",
        note="its licence was not checked, so weights stay at home",
        citation=f"Pacchiotti (2023), Handwritten Numbers (HN), doi:10.17632/b9v9x5pk96.1; {_PAPER}",
        ships=False,
        files=_mendeley("b9v9x5pk96", "hn.zip"),
    ),
    DataSet(
        name="hnd",
        title="Handwritten Numeric Digits: digits cut out of the numbers of hn, 28x28",
        source="https://data.mendeley.com/datasets/jpp6vbn9zs/1",
        licence="see its page",
        note="its licence was not checked, so weights stay at home",
        citation=f"Pacchiotti (2023), Handwritten Numeric Digits (HND), doi:10.17632/jpp6vbn9zs.1; {_PAPER}",
        ships=False,
        files=_mendeley("jpp6vbn9zs", "hnd.zip"),
    ),
    DataSet(
        name="nist_emnist",
        title="NIST SD19 as in EMNIST ByClass: 86,323 + 20,001, 28x28, white on black, 62 classes",
        source="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence="US government work",
        citation="Grother (1995), NIST Special Database 19; Cohen et al. (2017), EMNIST",
        note="MNIST was drawn from the same forms: some of these are MNIST's own, test digits included",
        ships=True,
        splits=("train", "test"),
    ),
    DataSet(
        name="optdigits32",
        title="UCI optdigits: 1,934 + 946 digits of 43 Turkish writers, 32x32, bilevel",
        source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits",
        ships=True,
        splits=("train", "test"),
    ),
    DataSet(
        name="handletters62",
        title="Characters photographed on paper: 6,200, about 33x32, dark on gray, 62 classes",
        source="",
        licence="MIT as stated",
        note="the origin of the photographs is not explained",
        citation="",
        ships=True,
        splits=("train",),
    ),
    DataSet(
        name="swiss",
        title="Swiss digits: 6,855 + 2,397 of 12 + 4 writers, about 95x90, gray, dark on white",
        source="https://github.com/kensanata/numbers",
        licence="CC0 1.0",
        citation="Schroeder et al., Handwritten digits, github.com/kensanata/numbers",
        ships=True,
        splits=("train", "test"),
    ),
    DataSet(
        name="unipen62",
        title="UNIPEN pen strokes: drawn as 27,900 bilevel images, 128x128, 62 classes",
        source="",
        licence="disputed",
        note="the release used says CC BY 4.0; UNIPEN's own terms forbid commercial use of the data",
        citation="Guyon et al. (1994), UNIPEN project of on-line data exchange and recognizer benchmarks",
        ships=False,
        splits=("train",),
    ),
    DataSet(
        name="dida",
        title="DIDA: 5,000 digits of Swedish church records 1800-1940, gray, neighbours intrude",
        source="https://github.com/didadataset/DIDA",
        licence="research use",
        citation="Kusetogullari et al. (2021), DIGITNET, Big Data Research 23",
        ships=False,
        splits=("test",),
    ),
    DataSet(
        name="ufpr",
        title="Brazilian digits: 1,200 cells, 96x96, gray, some rule lines left; four whole sheets",
        source="",
        licence="none stated",
        citation="",
        ships=False,
        splits=("test",),
    ),
    DataSet(
        name="orand_car_a",
        title="ORAND-CAR-A: 700 amounts on Chilean and Uruguayan cheques, with the box of each digit",
        source="http://www.orand.cl/pt/icfhr2014-hdsr/",
        licence="research use",
        citation="Diem et al. (2014), ICFHR 2014 competition on handwritten digit string recognition",
        ships=False,
        splits=("test",),
    ),
    DataSet(
        name="c1",
        title="Indonesian polling-station forms C1: 2019, 10 pages, 50 fields of three boxes",
        source="",
        licence="public records",
        citation="",
        ships=False,
    ),
    DataSet(
        name="actas",
        title="Honduran closing records: 2025, 2 sheets, 30 fields of three cells, RGB",
        source="",
        licence="public records",
        citation="",
        ships=False,
    ),
    DataSet(
        name="form34a",
        title="Kenyan Forms 34A: 2022, 6 columns of four three-digit numbers, no cells",
        source="",
        licence="public records",
        citation="",
        ships=False,
    ),
    DataSet(
        name="composed",
        title="Numbers composed of MNIST test digits: 900 of three digits, clean, touching, noisy",
        source="",
        licence="CC BY-SA 3.0",
        note="made of MNIST test digits: for evaluation only",
        citation="",
        ships=False,
    ),
)
CATALOG = {entry.name: entry for entry in _ENTRIES}
