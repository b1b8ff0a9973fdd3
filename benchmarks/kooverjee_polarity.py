"""Which ink polarity agrees with what Kooverjee et al. (2020) saw of frozen networks? A study of it, printed as a page.

    python benchmarks/kooverjee_polarity.py runs/kooverjee-polarity --out docs/results/kooverjee-polarity.md

SD19 is dark on white, MNIST light on dark, and the paper mentions no inversion. Every number on the page comes from the
study's folder, but for those in the paper's own words.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from inkshift.files import write_whole
from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Analysis, analyse
from inkshift.studies.report.results import Arm, Results, Set, load
from kooverjee import TITLES, choices, head, missing, table, verdicts
from kooverjee_findings import SPACES, roles
from kooverjee_questions import Polarity, agreement, polarities
from kooverjee_rules import LAST, at, paired, told

EPOCHS = (1, 2, 6, 10, 15, 20)


def page(analysis: Analysis, given: str) -> Iterator[str]:
    """The page's lines. given: what the command was called with."""
    results = analysis.results
    rows = polarities(results, roles(results))
    yield from head(results, given, Path(__file__).name)
    yield from missing(results)
    yield from _answer(rows)
    yield from _frozen(rows)
    yield from _long(results)
    yield from verdicts(analysis)
    yield from choices(results)


def _answer(rows: list[Polarity]) -> Iterator[str]:
    yield from ["## Which polarity agrees with the paper's words", ""]
    yield "Of its frozen networks the paper says that they are “considerably worse … for all sets of experiments” (V),"
    yield "here 5 points or more below control; that they keep improving and do “not plateau” within 20 epochs (IV-A to"
    yield "IV-C), here a rise over the last 5 epochs that is above 0; and that those of set 1 “are able to classify a"
    yield from [
        "large portion” of the digits (IV-A), here an F1 above a half. A polarity agrees where all of it holds.",
        "",
    ]
    for number in SPACES:
        ours = [row for row in rows if row.number == number]
        if ours:
            yield f"- S{TITLES[number][1:]}: {agreement(ours)}."
    yield from ["", "Set 3 has one polarity by its nature: what it shows has another reason.", ""]


def _frozen(rows: list[Polarity]) -> Iterator[str]:
    yield from ["## Frozen networks", "", "F1, mean over replicates; differences in points, with 90 % intervals over"]
    yield from ["replicates, each with a source network of its own.", ""]
    head = ("set", "source and target", *(f"epoch {epoch}" for epoch in EPOCHS))
    names = ("control − frozen, at the peak", "rise over the last 5 epochs", "worse", "rising", "able", "agrees")
    found = [
        (
            *(row.number, row.name, *map(row.f1, EPOCHS), row.worse_by, told(row.rise)),
            *(row.worse, row.rising, row.able or report.NONE, f"**{row.fits}**"),
        )
        for row in rows
    ]
    yield from table((*head, *names), found)


def _long(results: Results) -> Iterator[str]:
    """Frozen arms that go on for longer than the paper's twenty epochs, by steps of the optimiser."""
    arms = [(s, arm) for s in results.sets for arm in s.arms if arm.regime == "frozen" and arm.replicates]
    arms = [(s, arm) for s, arm in arms if int(arm.curve("f1").epochs[-1]) > LAST]
    if not arms:
        return
    yield from ["## As many steps as in the paper", "", "An epoch of the paper is some thousand steps. Frozen features"]
    yield from ["cost nothing more, so the final layer goes on learning, from the same images; F1 by steps.", ""]
    found = [_at_steps(results, *one) for one in arms]
    steps = [f"{count:,}" for count, _ in found[0][1]]
    rows = [(name, *(f1 for _, f1 in scores), rise) for name, scores, rise in found]
    yield from table(("set", *steps, "rise over the last quarter, points"), rows)


def _at_steps(results: Results, study_set: Set, arm: Arm) -> tuple[str, list[tuple[int, str]], str]:
    curve, each = arm.curve("f1"), results.steps_of(study_set, arm) or 1
    last = int(curve.epochs[-1])
    shown = (1, LAST, last // 10, last // 2, 3 * last // 4, last)
    scores = [(epoch * each, report.f1(float(curve.mean[curve.epochs == epoch][0]))) for epoch in shown]
    return study_set.name, scores, told(paired(arm, arm, at(last), at(3 * last // 4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the study's folder; nothing is written there")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    given = parser.parse_args()
    lines = page(analyse(load(given.folder)), f"{given.folder} --out {given.out}")
    write_whole(given.out, ("\n".join(lines).rstrip() + "\n").encode("utf-8"))
    print(given.out)


if __name__ == "__main__":
    main()
