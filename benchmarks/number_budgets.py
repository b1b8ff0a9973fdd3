"""A study of whole numbers, printed as a page: how many labels it takes, and whether fine-tuning is worth it.

    python benchmarks/number_budgets.py runs/orand-budget --out docs/results/orand-budget.md

Every number on the page comes from the study's folder. With --out its learning curve goes beside the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from budgets import print_page
from inkshift.studies.report.number_page import answers, learning_curve, share, share_bounds
from inkshift.studies.report.number_results import Difference, NumberAnalysis, analyse, load
from inkshift.studies.report.page import NONE, bounds, gap
from kooverjee import head, table


def page(analysis: NumberAnalysis, given: str, picture: str = "") -> Iterator[str]:
    """The page's lines. given: what the command was called with; picture: the learning curve's file."""
    results = analysis.results
    yield from head(results, given, Path(__file__).name, "")
    planned, finished = sum(arm.planned for arm in results.arms), sum(len(arm.replicates) for arm in results.arms)
    whole = f"All {planned} planned runs are finished."
    yield from [whole if finished == planned else f"> **{finished} of {planned} planned runs are finished.**", ""]
    yield from (f"- {sentence}" for sentence in answers(analysis))
    yield ""
    if picture:
        yield from [f"![Numbers read right by number of labels]({picture})", ""]
    yield from ["## Numbers read right", "", "Whole numbers read right by one view, on test halves that nothing was"]
    yield "learned from; the interval over replicates is of 95 %. Old task: numbers composed of glyphs that the"
    yield from ["recogniser never learned from.", ""]
    rows = [
        (
            *(row.arm.regime, str(row.arm.budget or 0), str(len(row.arm.replicates))),
            *(f"**{share(row.right.mean)}**", share_bounds(row.right), f"{100 * row.digit_errors:.2f}"),
            *(f"{row.arm.seconds / 60:.1f}", share(row.old_before), share(row.old_after)),
        )
        for row in analysis.summaries
    ]
    heads = ("numbers right", "95 %", "errors in 100 digits", "minutes a run", "old task before", "after")
    yield from table(("regime", "labels", "runs", *heads), rows)
    yield from ["## Compared", "", f"In points; alike: both 90 % intervals within ±{100 * results.margin:g}.", ""]
    found = [one for row in analysis.summaries for one in (row.as_is, row.control) if one]
    heads = ("difference", "over replicates", "over test numbers", "verdict")
    rows = dict.fromkeys(map(_compared, (*found, *analysis.more, *analysis.most)))  # a next one may be the largest
    yield from table(("regime", "against", *heads), rows)
    yield from ["## Settings", ""]
    own = [(arm.name, f"{k} `{v}`") for arm in results.arms if arm.budget for k, v in arm.settings.items()]
    yield from table(("setting", "value"), [*((k, f"`{v}`") for k, v in results.settings.items()), *own])


def _compared(one: Difference) -> tuple[str, ...]:
    over = (bounds(interval, True) or NONE for interval in (one.replicates, one.numbers))
    return one.arm.name, one.baseline.name, gap(one.replicates.mean), *over, f"**{one.verdict}**"


if __name__ == "__main__":
    print_page(__doc__, lambda folder: analyse(load(folder)), page, lambda found: learning_curve(found.results))
