"""A study of how many labels transfer needs, printed as a page: each regime with each number of labels.

    python benchmarks/budgets.py runs/imagenet --out docs/results/imagenet.md

Every number on the page comes from the study's folder. With --out a picture goes beside the page: from how many labels
on each regime no longer gains over a control of as many.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from inkshift.files import write_whole
from inkshift.studies.report.analysis import Analysis, analyse
from inkshift.studies.report.compare import Comparison, main_rows
from inkshift.studies.report.figures import RC, SPARE, STYLES, Style, canvas, end_labels, labels_of
from inkshift.studies.report.figures import picture as as_picture
from inkshift.studies.report.page import NONE, answers, by_labels, labels
from inkshift.studies.report.results import load
from kooverjee import choices, head, missing, table
from printed import options, show

Found = TypeVar("Found")


def page(analysis: Analysis, given: str, picture: str = "") -> Iterator[str]:
    """The page's lines. given: what the command was called with; picture: the file that `draw` makes."""
    results = analysis.results
    yield from head(results, given, Path(__file__).name, "")
    yield from missing(results)
    if picture:
        yield f"![F1 minus that of a control of as many labels, by labels]({picture})"
        yield ""
        yield "Of each pair and regime, F1 at the last epoch minus that of a control of as many labels, mean over"
        yield from ["replicates with its 90 % interval; the band is the margin within which a difference is none.", ""]
    for study_set in results.sets:
        yield from [f"## {study_set.name}", "", f"From {labels(study_set.source)} to {labels(study_set.target)}.", ""]
        yield from (f"- {sentence}" for sentence in by_labels(study_set, analysis) or answers(study_set, analysis))
        yield ""
    yield from ["## Regimes", "", "F1 and how far confidences are from what is right (expected calibration error) on"]
    yield "the test images, last epoch, mean over replicates; differences from a control of as many labels, trained for"
    yield from ["as many epochs, in points, with 90 % intervals over replicates and over test images.", ""]
    against = {(row.set, row.arm): row for row in main_rows(analysis.comparisons)}
    rows = []
    for row in analysis.summaries:
        one = against.get((row.set, row.arm.name))
        error = f"{row.calibration:.3f}" if row.calibration == row.calibration else NONE
        rows.append((row.set, row.arm.name, f"{row.last.mean:.3f}", error, *_against(one)))
    heads = ("F1", "calibration error", "against control", "over replicates", "over images", "verdict", "Holm")
    yield from table(("set", "regime", *heads), rows)
    yield from choices(results)


def draw(analysis: Analysis) -> Figure:
    """The differences from control by labels: a plot for each regime, a line for each pair of tasks."""
    results = analysis.results
    against = {(row.set, row.arm): row for row in main_rows(analysis.comparisons)}
    found = [
        (arm.regime, study_set.name, label, against[study_set.name, arm.name].interval)
        for study_set in results.sets
        for arm, label in labels_of(results, study_set)
        if (study_set.name, arm.name) in against
    ]
    regimes = list(dict.fromkeys(regime for regime, *_ in found))
    sizes = sorted({label for _, _, label, _ in found if label})
    if not sizes:
        raise SystemExit("no number of labels is finished in a control and in another regime; run the study further")
    ticks: dict[int | None, float] = {label: float(np.log2(label)) for label in sizes}
    if any(label is None for _, _, label, _ in found):
        ticks[None] = ticks[sizes[-1]] + 1
    figure, plots = canvas(7.2 * len(regimes), 4.2, len(regimes), results.title, share=True)
    drawn: list[list[tuple[float, float, str, Style]]] = []
    for regime, axes in zip(regimes, plots, strict=True):
        ends = []
        for k, name in enumerate(dict.fromkeys(one.name for one in results.sets)):
            mine = [(ticks[label], one) for kind, own, label, one in found if (kind, own) == (regime, name)]
            if not mine:
                continue
            mine.sort(key=lambda one: one[0])
            style = _LINES[k % len(_LINES)]
            for x, one in mine:
                if one.low is not None and one.high is not None:
                    axes.vlines(x, 100 * one.low, 100 * one.high, color=style[0], lw=1, alpha=0.5)
            axes.plot(
                [x for x, _ in mine], [100 * one.mean for _, one in mine], style[2], color=style[0], marker=style[1]
            )
            ends.append((100 * mine[-1][1].mean, mine[-1][0], name, style))
        axes.axhspan(-100 * results.margin, 100 * results.margin, color="#e4e7eb", lw=0)
        axes.set_xticks(list(ticks.values()), [f"{label:,}" if label else "all" for label in ticks])
        axes.set(title=f"{regime} minus control", xlabel="labels", ylabel="points of F1")
        drawn.append(ends)
    for axes, ends in zip(plots, drawn, strict=True):  # once all are drawn: they share a scale, which names fix
        end_labels(axes, ends, max(ticks.values()))
    return figure


_LINES: list[Style] = [*STYLES.values(), *SPARE[4:], ("#be185d", "X", "-.")]


def _against(row: Comparison | None) -> tuple[str, ...]:
    if row is None:
        return (NONE,) * 5
    images = NONE if row.images is None else _span(row.images.low, row.images.high)
    over = _span(row.interval.low, row.interval.high)
    return f"{100 * row.interval.mean:+.1f}", over, images, f"**{row.verdict}**", row.holm or NONE


def _span(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def print_page(
    about: str | None,
    analysed: Callable[[Path], Found],
    page: Callable[[Found, str, str], Iterator[str]],
    draw: Callable[[Found], Figure],
) -> None:
    """Print the page of the study in the folder that the command names, its picture beside it with --out."""
    parser = options(about)
    parser.add_argument("folder", type=Path, help="the study's folder; nothing is written there")
    given: argparse.Namespace = parser.parse_args()
    called = f"{given.folder} --out {given.out}" if given.out else str(given.folder)
    found = analysed(given.folder)
    picture = Path(given.out).with_suffix(".png") if given.out else None
    if picture:
        with matplotlib.rc_context(RC):
            write_whole(picture, as_picture(picture.stem, "budget", "", draw(found), "").png)
    show(page(found, called, picture.name if picture else ""), given.out)


if __name__ == "__main__":
    print_page(__doc__, lambda folder: analyse(load(folder)), page, draw)
