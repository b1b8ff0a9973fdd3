"""Whole numbers that somebody labelled: of a catalogued set, or a user's own pictures beside a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inkshift.arrays import Pixels
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_image, read_ragged
from inkshift.errors import DataError, SettingError, nearest
from inkshift.files import read_csv

NUMBER_SETS = ("orand_car_a",)
TABLES = ("numbers.csv", "labels.csv")  # the first one knows the form of each number
Labelled = tuple[Sequence[Pixels], list[str], list[str]]


def check_name(data: str) -> str:
    """`data` itself, where it names a set of whole numbers or a CSV file, which need not be here.

    Raises SettingError with the nearest name.
    """
    if data in NUMBER_SETS or data.lower().endswith(".csv"):
        return data
    what = f"{data!r} holds no whole numbers" if data in catalog.CATALOG else f"no set of numbers is called {data!r}"
    raise SettingError(f"{what}; {nearest(data, NUMBER_SETS)}, or give the path of a CSV file with file and value")


def table_of(data: str | Path) -> Path | None:
    """The CSV of labelled pictures that a path is, or that its folder holds as review writes it; None: neither."""
    path = Path(data)
    if path.is_dir():
        return next((table for name in TABLES if (table := path / name).is_file()), None)
    return path if path.suffix.lower() == ".csv" and path.is_file() else None


def load_numbers(data: str) -> Labelled:
    """Pictures, (H, W) or (H, W, 3) uint8 as scanned, the digits on each, and the form each is from.

    data: a name in NUMBER_SETS, each number of which counts as a form of its own (doubtful ones are left out), or the
    path of a UTF-8 CSV with the columns `file`, relative to it, `value` and, where it is known, `form`.
    Raises SettingError for another name, DataError with file and line for what is missing or no number.
    """
    check_name(data)
    if data not in NUMBER_SETS:
        return _own(Path(data))
    path = catalog.locate(data) / "numbers.npz"
    images, arrays = read_ragged(path)
    if missing := {"labels", "doubtful"} - set(arrays):
        raise DataError(f"{path}: has no array {min(missing)!r}; get the data set again")
    rows = [i for i, doubtful in enumerate(arrays["doubtful"]) if not doubtful]
    return [images[i] for i in rows], [str(arrays["labels"][i]) for i in rows], [f"{data}-{i}" for i in rows]


def _own(path: Path) -> Labelled:
    pictures, labels, forms = [], [], []
    for line, row in read_csv(path, "file", "value"):
        value = row["value"]
        if not (value.isascii() and value.isdigit()):
            raise DataError(f"{path}:{line}: expected a value of digits alone, found {value!r}; mend or remove it")
        if not (path.parent / row["file"]).is_file():
            raise DataError(f"{path}:{line}: image {row['file']!r} not found beside it; paths are relative to the CSV")
        pictures.append(read_image(path.parent / row["file"]))
        labels.append(value)
        forms.append(row.get("form") or row["file"])
    return pictures, labels, forms
