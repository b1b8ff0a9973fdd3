"""Whether the default ever reads worse than the published method: both on every set there is, side by side.

    python benchmarks/wild_published.py [--most 1000] [--sets NAME ...] [--out docs/results/wild-published.md]

Run by `make bench-wild`. The sets are those of bench_read.py and all others of $INKSHIFT_DATA or ../shared/data that
show digits: at most `--most` pictures of each, evenly spread. Ends with exit status 1 where the default is worse.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from scipy.stats import binomtest

import bench_read
from bench_read import EXAMPLES, METHODS, Outcome, machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.errors import DataError
from inkshift.forms.reading import value_of
from printed import options, show

Measure = Callable[[str], Outcome]


def digits(name: str, most: int) -> Measure:
    """Single digits of a set, of its test part where it has one; its letters are left out."""

    def run(method: str) -> Outcome:
        images, labels = _pictures(name)
        rows = np.flatnonzero(np.char.isdigit(labels))
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
        reader = Reader(read_as="digit", method=method)
        pages = (reader.read_page(np.ascontiguousarray(images[int(i)])) for i in rows)
        return [page.fields[0].value == labels[i] for page, i in zip(pages, rows, strict=True)], ""

    return run


def _pictures(name: str) -> tuple[Sequence[np.ndarray], np.ndarray]:
    if name == "swiss":
        images, arrays = read_ragged(catalog.data_root() / "swiss/digits.npz")
        return images, arrays["labels"].astype(str)
    part = "train" if name in ("unipen62", "handletters62") else "test"
    data = catalog.load(name, part)
    return data.images, data.labels


def c1_fields(method: str) -> Outcome:
    """The C1 fields cut out, as numbers, crossed-out cells left out."""
    images, arrays = read_ragged(catalog.data_root() / "c1/fields.npz")
    return bench_read.pictures(images, [value_of(str(label)) for label in arrays["labels"]], "number", method)


def columns(method: str) -> Outcome:
    """Columns of four numbers of Forms 34A; rows too many or too few count as wrong."""
    images, arrays = read_ragged(catalog.data_root() / "form34a/columns.npz")
    reader, right = Reader(read_as="column", method=method), []
    for image, labels in zip(images, arrays["labels"], strict=True):
        read = [item.value for item in reader.read_page(np.ascontiguousarray(image)).fields]
        right += [len(read) == len(labels) and value == str(label) for value, label in zip(read, labels, strict=False)]
        right += [False] * max(0, len(labels) - len(read))
    return right, ""


def sets(most: int) -> dict[str, tuple[str, Measure]]:
    """Name to title and how to measure; those of bench_read.py first."""
    out = {name: (title, measure) for name, (title, _, _, measure) in bench_read.SETS.items()}
    out["c1-fields"] = ("C1 fields, cut out", c1_fields)
    out["form34a"] = ("Forms 34A, columns", columns)
    for name in ("mnist", "nist_emnist", "optdigits32", "swiss", "unipen62", "handletters62"):
        out[f"{name}-digits"] = (f"{name} digits", digits(name, most))
    return out


def rows(chosen: dict[str, tuple[str, Measure]], worse: list[str]) -> Iterator[str]:
    yield "| set | n | as published | default | right only by it: published, default | |"
    yield "|---|---|---|---|---|---|"
    for title, measure in chosen.values():
        try:
            before, after = (np.array(measure(method)[0]) for method in METHODS)
        except DataError as e:
            yield f"| {title} | not here: {e} | | | | |"
            continue
        if len(before) == len(after):
            only = int((before & ~after).sum()), int((after & ~before).sum())
            chance = binomtest(only[0], sum(only), alternative="greater").pvalue if sum(only) else 1.0
        else:
            only, chance = (0, 0), 1.0
        word = ""
        if after.mean() < before.mean():
            worse.append(title)
            word = f"**WORSE** (by chance: p = {chance:.2g})"
        yield f"| {title} | {len(after)} | {before.mean():.1%} | {after.mean():.1%} | {only[0]}, {only[1]} | {word} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--most", type=int, default=1000, help="pictures of each set of digits (default: 1000)")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    every = sets(given.most)
    chosen = {name: every[name] for name in given.sets or every}
    worse: list[str] = []

    def lines() -> Iterator[str]:
        yield "# The default beside the published method"
        yield ""
        yield f"Printed by `make bench-wild` on {machine()}; templates of `{EXAMPLES.name}/`."
        yield ""
        yield from rows(chosen, worse)
        yield ""
        yield f"Worse than as published on: {', '.join(worse)}." if worse else "The default is worse on none of them."

    show(lines(), given.out)
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
