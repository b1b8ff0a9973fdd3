"""What each part around the number recogniser brings: views, weights, one view first.

    python benchmarks/parts.py --work FOLDER [--model numbers] [--count 1000] [--out docs/results/parts.md]

FOLDER is where `inkshift model train numbers` kept its glyphs; --model is a bundled package's name or a folder. For
each variant its constants are fitted anew on half of the composed numbers; the other half and the shared sets in
$INKSHIFT_DATA or ../shared/data show what it is worth. A part goes that brings less than 0.3 points on composed
numbers and less than one point on the shared sets together.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import fit_numbers as fitting
import peers
from bench_read import machine
from fit_numbers import Constants, Row
from inkshift.errors import DataError
from printed import options, show

SETS = ("orand", "c1", "honduras", "form34a", "clean", "touch", "noisy")


class Variant(NamedTuple):
    """views: which are heard; all if None. fitted: the weights that are fitted. fixed: the others."""

    title: str
    views: Sequence[int] | None = None
    fitted: Sequence[str] = fitting.ALL
    fixed: Constants = {}  # noqa: RUF012


VARIANTS = (
    Variant("five views"),
    Variant("first view alone", [0], fitting.FIRST),
    Variant("views 1 and 2", [0, 1]),
    Variant("views 1 and 3", [0, 2]),
    Variant("views 1 and 5", [0, 4]),
    Variant("views 1 to 3", [0, 1, 2]),
    Variant("views 1, 4 and 5", [0, 3, 4]),
    Variant("views 1, 3 and 5", [0, 2, 4]),
    Variant("without `number mean`", fitted=["number floor"], fixed={"number mean": 1.0}),
    Variant("without `number floor`", fitted=["number mean"], fixed={"number floor": 1e-6}),
)


def shared(model: str) -> dict[str, list[Row]]:
    """The numbers of the shared sets that are here, as they are seen."""
    out = {}
    for name in SETS:
        try:
            found = peers.SETS[name][2]()
        except DataError:
            continue
        pairs = [(np.ascontiguousarray(one), own[0]) for one, own in zip(found.images, found.labels, strict=True)]
        out[name] = fitting.seen(model, pairs)
    return out


def lines(given: argparse.Namespace) -> Iterator[str]:
    rows = fitting.seen(given.model, fitting.composed(given.work, given.count))
    learn, sets = rows[::2], {"composed": rows[1::2]} | shared(given.model)
    yield "# What each part around the number recogniser brings"
    yield ""
    command = f"python benchmarks/parts.py --model {given.model} --count {given.count}"
    yield f"Printed by `{command}` on {machine()}."
    yield "Numbers read right, in percent; constants of each line fitted anew on as many other composed numbers: fewer"
    yield "than those of the package, in which one view stands from a higher confidence on (`fit_numbers.py`)."
    yield "Loses: points against the first line, on composed numbers and on all the other sets together."
    yield ""
    heads = " | ".join(f"{name} ({len(own)})" for name, own in sets.items())
    yield f"| part | {heads} | loses, composed | loses, shared |"
    yield "|---" * (len(sets) + 3) + "|"
    best: list[np.ndarray] = []
    for variant in VARIANTS:
        constants = fitting.fit(fitting.cases(learn, variant.views), variant.fitted, variant.fixed)
        found = [fitting.judged(fitting.cases(own, variant.views), constants) for own in sets.values()]
        best = best or found
        yield line(variant.title, found, best)
    constants = fitting.all_constants(learn)
    first = [fitting.judged(fitting.cases(own, [0]), constants) for own in sets.values()]
    found = [fitting.cascade(one, rest, constants["sure"]) for one, rest in zip(first, best, strict=True)]
    yield line(f"first view where it is sure ({constants['sure']:g}), else all", found, best)
    shares = " | ".join(f"{np.mean(one[:, 1] < constants['sure']):.0%}" for one in first)
    yield f"| share that is looked at again | {shares} | | |"
    for title, given_ in (("five views", best), ("one view first", found)):
        wrong = " | ".join(f"{int(((one[:, 0] == 0) & (one[:, 1] > 0.9)).sum())}" for one in given_)
        yield f"| wrong above 0.9, {title} | {wrong} | | |"


def line(title: str, found: Sequence[np.ndarray], best: Sequence[np.ndarray]) -> str:
    """A row of the table: shares read right, and what is lost against the best."""
    shares = " | ".join(f"{one[:, 0].mean():.1%}" for one in found)
    composed = 100 * (best[0][:, 0].mean() - found[0][:, 0].mean())
    rest = [100 * float(np.concatenate([one[:, 0] for one in some[1:]]).mean()) for some in (best, found)]
    return f"| {title} | {shares} | {composed:.1f} | {rest[0] - rest[1]:.1f} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with the glyphs")
    parser.add_argument("--model", default="numbers", help="package, a name or a folder (default: numbers)")
    parser.add_argument("--count", type=int, default=1000, help="numbers to compose (default: 1000)")
    cv2.setNumThreads(1)
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
