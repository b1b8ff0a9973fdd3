"""How many labels, and is fine-tuning worth it? The report of a study of whole numbers: HTML, one figure, CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from inkshift.studies.report.figures import LINE, RC, SOFT, STYLES, ReportFigure, canvas, end_labels, picture
from inkshift.studies.report.number_results import (
    Difference,
    NumberAnalysis,
    NumberArm,
    NumberResults,
    NumberScores,
    analyse,
    load,
    worth,
)
from inkshift.studies.report.page import bounds, environment, gap, lost, write_all
from inkshift.studies.report.tables import Rows, bounds_of
from inkshift.studies.stats import Interval

_REGIMES = ("fine-tuned", "control")
_STANDS = {"ahead": "ahead", "alike": "alike", "behind": "behind", "undecided": "not surely ahead, alike or behind"}


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the report of the study in `folder`, with all that `page.write` writes; the path written."""
    analysis = analyse(load(folder))
    drawn = list(pictures(analysis.results))
    return write_all(out or folder / "report.html", drawn, tables(analysis), partial(page, analysis, drawn))


def page(analysis: NumberAnalysis, drawn: Sequence[ReportFigure], beside: str) -> str:
    """The report as one HTML page that needs no other file. beside: name of the folder with figures and tables."""
    made, results = environment(), analysis.results
    made.filters.update(share=share, share_bounds=share_bounds)
    return made.get_template("number_page.html.j2").render(
        analysis=analysis,
        results=results,
        drawn=drawn,
        beside=beside,
        margin=f"{100 * results.margin:g}",
        planned=sum(arm.planned for arm in results.arms),
        finished=sum(len(arm.replicates) for arm in results.arms),
        lost=lost(results),
        answers=answers(analysis),
        notes=sorted({str(run.scores["old_task"]["note"]) for arm in results.arms for run in arm.replicates} - {""}),
    )


def share(value: float | None) -> str:
    """A share, 0 to 1, as a percentage with one decimal."""
    return "–" if value is None else f"{100 * value:.1f} %"


def share_bounds(interval: Interval | None) -> str:
    """The two ends of an interval of a share, or a dash where it has none."""
    if interval is None or interval.low is None or interval.high is None:
        return "–"
    return f"{100 * max(interval.low, 0):.1f} to {100 * min(interval.high, 1):.1f} %"


def answers(analysis: NumberAnalysis) -> list[str]:
    """What the study says, in plain sentences: whether it is worth it, from how many labels on, what it costs."""
    if not analysis.summaries:
        return ["No run is finished yet."]
    tuned = [row for row in analysis.summaries if row.arm.regime == "fine-tuned"]
    more = [
        f"{one.arm.budget} labels instead of {one.baseline.budget}: {_STANDS[one.verdict]}, {_gap(one)}."
        for one in analysis.more
    ]
    found = [_worth(analysis), *more, _enough(analysis)]
    found += [_scratch(row) for row in tuned if row.control]
    found += [_forgotten(row) for row in tuned[-1:]]
    return [text for text in found if text] or ["Nothing to compare: no replicate is finished in two regimes."]


def _worth(analysis: NumberAnalysis) -> str:
    told = worth(analysis)
    if not told:
        return ""
    row, found = told
    text = {
        "ahead": f"Fine-tuning is worth it from {row.arm.budget} labels on",
        "alike": f"Fine-tuning makes no difference that matters, even with {row.arm.budget} labels",
        "behind": f"Fine-tuning does harm, even with {row.arm.budget} labels",
        "undecided": f"Whether fine-tuning is worth it is undecided, even with {row.arm.budget} labels",
    }[found.verdict]
    before = np.mean([run.right for run in found.baseline.replicates])
    return f"{text}: {share(row.right.mean)} of numbers right against {share(float(before))} as-is, {_gap(found)}."


def _enough(analysis: NumberAnalysis) -> str:
    """The smallest budget whose gap to the largest is surely no more than the margin."""
    near = [found for found in analysis.most if found.verdict in ("alike", "behind")]
    limit = f"the margin of ±{100 * analysis.results.margin:g} points"
    if near:
        return f"{near[0].baseline.budget} labels do as well as {near[0].arm.budget}, to within {limit}."
    if analysis.most:
        return f"No smaller budget is shown to do as well as {analysis.most[0].arm.budget} labels, to within {limit}."
    return ""


def _scratch(row: NumberScores) -> str:
    assert row.control is not None
    control = float(np.mean([run.right for run in row.control.baseline.replicates]))
    return (
        f"From scratch, {row.arm.budget} labels give {share(control)}: fine-tuned is "
        f"{_STANDS[row.control.verdict]}, {_gap(row.control)}."
    )


def _forgotten(row: NumberScores) -> str:
    if row.old_before is None or row.forgotten is None:
        return ""
    return (
        f"The old task, composed numbers: {share(row.old_after)} right after fine-tuning on {row.arm.budget} labels, "
        f"{share(row.old_before)} before ({gap(row.forgotten.mean)} points)."
    )


def _gap(found: Difference) -> str:
    text = f"{gap(found.replicates.mean)} points"
    if found.replicates.low is None:
        return f"{text} in the only replicate, which gives no interval over replicates"
    return (
        f"{text} (90 % intervals: over replicates {bounds(found.replicates, True)}, "
        f"over test numbers {bounds(found.numbers, True)})"
    )


def pictures(results: NumberResults) -> Iterator[ReportFigure]:
    """The learning curve, once a run is finished."""
    if any(arm.replicates for arm in results.arms):
        with matplotlib.rc_context(RC):
            alt = (
                "Share of test numbers read right by number of labels, a line for each regime, a dot for each replicate"
            )
            yield picture("learning-curve", "budget", alt, learning_curve(results), "")


def learning_curve(results: NumberResults) -> Figure:
    """Share read right by labels, on a scale of doublings: means joined, replicates as dots; as-is a level line."""
    figure, (axes,) = canvas(6.4, 3.9, 1, results.title)
    budgets = sorted({arm.budget for arm in results.arms if arm.budget})
    place = {budget: float(np.log2(budget)) for budget in budgets} or {1: 0.0}
    first, last = min(place.values()) - 1, max(place.values())
    ends = []
    for regime in _REGIMES:
        arms = results.of(regime)
        if arms:
            x = [place[arm.budget or 1] for arm in arms]
            ends.append(_line(axes, regime, x, arms))
    if as_is := results.arm("as-is"):
        mean, _, name, style = _line(axes, "as-is", [first], [as_is])
        axes.plot([first, last], [mean, mean], style[2], color=style[0], lw=1.5)
        ends.append((mean, last, name, style))
    axes.set_xticks([first, *place.values()], ["0", *map(str, place)])
    axes.set(xlabel="labelled numbers", ylabel="numbers read right")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.grid(axis="y", color=LINE, lw=0.6)
    axes.tick_params(colors=SOFT)
    axes.set_xlim(first - 0.3, last + 0.2)
    end_labels(axes, ends, last)
    return figure


def _line(axes: Any, regime: str, x: Sequence[float], arms: Sequence[NumberArm]) -> tuple[float, float, str, Any]:
    """Draw one regime; its end: height, place, name, style."""
    colour, marker, line = STYLES[regime]
    means = [float(np.mean([run.right for run in arm.replicates])) for arm in arms]
    for at, arm in zip(x, arms, strict=True):
        axes.plot(
            [at] * len(arm.replicates), [run.right for run in arm.replicates], ".", color=colour, alpha=0.45, ms=5
        )
    axes.plot(x, means, line, marker=marker, color=colour, lw=1.5, ms=5)
    return means[-1], x[-1], regime, (colour, marker, line)


def tables(analysis: NumberAnalysis) -> dict[str, Rows]:
    """Every number of the report by file name; shares 0 to 1, an empty cell where there is none."""
    results = analysis.results
    runs = [(arm, run) for arm in results.arms for run in arm.replicates]
    return {
        "summary.csv": _summary_rows(analysis),
        "comparisons.csv": _comparison_rows(analysis),
        "runs.csv": _run_rows(results),
        "epochs.csv": [
            ("regime", "labels", "replicate", "epoch", "training_loss", "held_out_loss", "held_out_right"),
            *((arm.regime, arm.budget, run.number, *row.values()) for arm, run in runs for row in run.epochs),
        ],
        "readings.csv": [
            ("regime", "labels", "replicate", "row", "form", "label", "read"),
            *(
                (arm.regime, arm.budget, run.number, *row)
                for arm, run in runs
                for row in zip(run.rows, run.forms, run.labels, run.read, strict=True)
            ),
        ],
    }


def _summary_rows(analysis: NumberAnalysis) -> Iterator[Sequence[Any]]:
    yield (
        *("regime", "labels", "planned", "finished", "right", "low_95", "high_95", "digit_errors"),
        *("learned", "held_out", "seconds"),
        *("old_before", "old_after", "forgotten", "forgotten_low_90", "forgotten_high_90"),
    )
    for row in analysis.summaries:
        arm = row.arm
        yield (
            *(arm.regime, arm.budget, arm.planned, len(arm.replicates), *bounds_of(row.right), row.digit_errors),
            *(arm.mean("learned"), arm.mean("held_out"), arm.seconds),
            *(row.old_before, row.old_after, *bounds_of(row.forgotten)),
        )


def _comparison_rows(analysis: NumberAnalysis) -> Iterator[Sequence[Any]]:
    yield (
        *("regime", "labels", "against", "against_labels", "pairs", "difference", "low_90", "high_90"),
        *("numbers_low_90", "numbers_high_90", "verdict"),
    )
    found = [item for row in analysis.summaries for item in (row.as_is, row.control) if item]
    for item in (*found, *analysis.more, *analysis.most):
        yield (
            *(item.arm.regime, item.arm.budget, item.baseline.regime, item.baseline.budget, item.replicates.n),
            *(*bounds_of(item.replicates), *bounds_of(item.numbers)[1:], item.verdict),
        )


def _run_rows(results: NumberResults) -> Iterator[Sequence[Any]]:
    yield (
        *("regime", "labels", "replicate", "digest", "seed", "state", "stopped", "epochs", "best_epoch", "seconds"),
        *("numbers", "right", "digits", "digit_errors", "old_before", "old_after", "error"),
    )
    for arm in results.arms:
        for run in arm.replicates:
            s, old = run.scores, run.scores["old_task"]
            yield (
                *(arm.regime, arm.budget, run.number, run.digest, run.seed, "finished", run.stopped, len(run.epochs)),
                *(s["best_epoch"], run.seconds, s["numbers"], s["right"], s["digits"], s["digit_errors"]),
                *(old["before"], old["after"], ""),
            )
    for item in results.missing:
        yield (item.arm, "", item.replicate, item.digest, "", item.state, *[""] * 10, item.error)
