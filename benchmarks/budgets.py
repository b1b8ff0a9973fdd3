"""A study of how many labels transfer needs, printed as a page: each regime with each number of labels.

    python benchmarks/budgets.py runs/imagenet --out docs/results/imagenet.md

Every number on the page comes from the study's folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from inkshift.studies.report.analysis import Analysis, analyse
from inkshift.studies.report.compare import Comparison, main_rows
from inkshift.studies.report.page import NONE, answers, labels
from inkshift.studies.report.results import load
from kooverjee import choices, head, missing, table
from printed import options, show


def page(analysis: Analysis, given: str) -> Iterator[str]:
    """The page's lines. given: what the command was called with."""
    results = analysis.results
    yield from head(results, given, Path(__file__).name, "")
    yield from missing(results)
    for study_set in results.sets:
        yield from [f"## {study_set.name}", "", f"From {labels(study_set.source)} to {labels(study_set.target)}.", ""]
        yield from (f"- {sentence}" for sentence in answers(study_set, analysis))
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


def _against(row: Comparison | None) -> tuple[str, ...]:
    if row is None:
        return (NONE,) * 5
    images = NONE if row.images is None else _span(row.images.low, row.images.high)
    over = _span(row.interval.low, row.interval.high)
    return f"{100 * row.interval.mean:+.1f}", over, images, f"**{row.verdict}**", row.holm or NONE


def _span(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="the study's folder; nothing is written there")
    given: argparse.Namespace = parser.parse_args()
    called = f"{given.folder} --out {given.out}" if given.out else str(given.folder)
    show(page(analyse(load(given.folder)), called), given.out)


if __name__ == "__main__":
    main()
