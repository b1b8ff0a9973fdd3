"""Predicted against true accuracy over the data sets times wear, and shares of digits without labels.

    python benchmarks/trust_shift.py [--keep FOLDER] [--most N] [--out FILE] [--plot docs/images/shift.png]

Needs the data sets in $INKSHIFT_DATA or ../shared/data. Nothing here is fitted: the constants come from composed
numbers alone (`benchmarks/fit_shift.py`), so that every case is one that they have not seen. Wear is drawn by seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.forms.judge.shift import MNIST, digit_probabilities
from inkshift.forms.judge.shift_predict import LEVEL, Prediction, adjust, constants, estimate, interval, spanned
from inkshift.reframe import to_gray
from printed import options, show
from shift_cases import Read, read_case, readers, real_cases

PLOT = Path(__file__).parents[1] / "docs/images/shift.png"
ONES = 0.4


class Judged(NamedTuple):
    """A case, what was predicted for it, its mean confidence, and what is true."""

    case: Read
    ours: Prediction
    confidence: float
    true: float


def judge(case: Read) -> Judged:
    fitted = constants(case.kind)
    share = spanned(float(np.mean(case.confidence >= fitted.threshold)), len(case.right), fitted)
    return Judged(case, share, float(case.confidence.mean()), float(case.right.mean()))


def cases(given: argparse.Namespace) -> Iterator[Judged]:
    """Each case read and judged; read again where nothing of it was kept."""
    with_models, start = readers(), time.monotonic()
    for case in real_cases(given.most):
        yield judge(read_case(case, with_models, given.keep))
        print(f"{time.monotonic() - start:4.0f} s {case.name}", file=sys.stderr)


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Will it hold: predicted against true accuracy"
    yield f"\nPrinted by `python benchmarks/trust_shift.py` on {machine()}.\n"
    judged = list(cases(given))
    yield "| set, wear | read as | n | predicted | interval | true | in it | mean confidence |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in judged:
        inside = "yes" if one.ours.low <= one.true <= one.ours.high else "**no**"
        yield (
            f"| {one.case.name} | {one.case.kind} | {one.ours.n} | **{one.ours.share:.0%}** | {one.ours.low:.0%} to "
            f"{one.ours.high:.0%} | {one.true:.0%} | {inside} | {one.confidence:.0%} |"
        )
    yield ""
    yield from summary(judged)
    draw(judged, given.plot)
    yield ""
    yield from digit_shares()


def summary(judged: Sequence[Judged]) -> Iterator[str]:
    yield "| cases | | mean difference | by chance alone | asked | in the interval | claimed |"
    yield "|---|---|---|---|---|---|---|"
    numbers = [one for one in judged if one.case.kind == "number"]
    digits = [one for one in judged if one.case.kind == "digit"]
    for what, some in (("all", judged), ("numbers", numbers), ("digits", digits)):
        true = np.array([one.true for one in some])
        n = np.array([one.ours.n for one in some])
        chance = np.mean(np.sqrt(2 / np.pi * true * (1 - true) / n))
        inside = np.mean([one.ours.low <= one.true <= one.ours.high for one in some])
        ways = {
            "predicted": [one.ours.share for one in some],
            "mean confidence": [one.confidence for one in some],
        }
        for way, shares in ways.items():
            off = 100 * float(np.mean(np.abs(np.array(shares) - true)))
            ours = (f"{inside:.0%}", f"{LEVEL:.0%}") if way == "predicted" else ("", "")
            yield f"| {what}, {len(some)} | {way} | {off:.1f} points | {100 * chance:.1f} | 5 | {ours[0]} | {ours[1]} |"


def draw(judged: Sequence[Judged], path: Path) -> None:
    """Predicted against true accuracy, a point a case, its interval a line."""
    figure = Figure(figsize=(5.4, 5.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    for k, family in enumerate(dict.fromkeys(one.case.family for one in judged)):
        some = [one for one in judged if one.case.family == family]
        x, y = [one.ours.share for one in some], [one.true for one in some]
        reach = np.array([[one.ours.share - one.ours.low, one.ours.high - one.ours.share] for one in some]).T
        marker = "osD^vP*XhH"[k % 10]
        axes.errorbar(x, y, xerr=reach, fmt=marker, markersize=5, elinewidth=0.5, color=f"C{k}", label=family)
    axes.set(xlabel="predicted share read right", ylabel="true share", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def digit_shares() -> Iterator[str]:
    """Digits drawn so that four of ten are ones, as nothing that the model learned from has."""
    yield f"Shares of 600 digits without labels, {ONES:.0%} of them ones, read `--as digit`."
    yield ""
    yield "| set | ones read | ones estimated | interval | off, as read | estimated | right | with the prior |"
    yield "|---|---|---|---|---|---|---|---|"
    for title, name in (("ORAND digits", "orand_car_a"), ("UFPR digits", "ufpr"), ("DIDA digits", "dida")):
        data, rng = catalog.load(name, "test"), np.random.default_rng(0)
        labels = np.array([int(label) for label in data.labels])
        weights = np.where(labels == 1, ONES, (1 - ONES) / 9) / np.bincount(labels, minlength=10)[labels]
        some = rng.choice(len(labels), 600, p=weights / weights.sum())
        reader = Reader(read_as="digit")
        fields = [reader.read_page(to_gray(np.ascontiguousarray(data.images[i]))).fields[0] for i in some]
        told, true = digit_probabilities(fields), labels[some]
        first, truth = told.argmax(1), np.bincount(true, minlength=10) / len(true)
        counted, share = np.bincount(first, minlength=10) / len(first), estimate(told, MNIST)
        low, high = interval(told, MNIST, LEVEL)
        again = adjust(told, MNIST, share).argmax(1)
        off = [100 * np.abs(s - truth).sum() / 2 for s in (counted, share)]
        ones = f"{counted[1]:.1%} | **{share[1]:.1%}** | {low[1]:.1%} to {high[1]:.1%}"
        good = f"{np.mean(first == true):.1%} | {np.mean(again == true):.1%}"
        yield f"| {title}, {truth[1]:.1%} ones | {ones} | {off[0]:.1f} points | {off[1]:.1f} points | {good} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--keep", type=Path, help="folder for what was read")
    parser.add_argument("--most", type=int, default=100, help="pictures of a set at most")
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
