"""A study's outcome as one HTML file, with its figures and every number beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from inkshift.errors import DataError
from inkshift.files import html_templates, inline, write_whole
from inkshift.studies.report import analysis as analyses
from inkshift.studies.report.analysis import Analysis
from inkshift.studies.report.compare import Comparison, main_rows
from inkshift.studies.report.figures import ReportFigure, labels_of, pictures
from inkshift.studies.report.results import Arm, MissingRun, Results, Set, StudyResults, load
from inkshift.studies.report.tables import Rows, tables, write_tables
from inkshift.studies.stats import HELPS, Interval, unfit

NONE = "–"
STOPPED = {"epochs": "ran all epochs", "as-published": "test loss settled", "held-out": "validation loss settled"}
VERDICTS = {
    "alike": "{arm} and {baseline} are alike",
    "ahead": "{arm} is ahead of {baseline}",
    "behind": "{arm} is behind {baseline}",
    "undecided": "{arm} against {baseline} is undecided",
}


@dataclass(frozen=True)
class MissingRuns:
    """Missing runs of one arm that share state and error. folders: those that exist, relative to the study's."""

    set: str
    arm: str
    replicates: str
    state: str
    error: str
    folders: tuple[str, ...]


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the report of the study in `folder` to `out`, default `folder/report.html`; the path written.

    Beside it, in a folder of its name without ending: `figures/` (SVG and PNG) and `tables/` (CSV).
    Raises DataError for a folder without a readable index, SettingError where nothing can be written.
    """
    results = load(folder)
    analysis = analyses.analyse(results)
    slugs = slugs_of([study_set.name for study_set in results.sets])
    drawn = list(pictures(results, slugs))
    return write_all(out or folder / "report.html", drawn, tables(analysis, slugs), partial(page, analysis, drawn))


def write_all(path: Path, drawn: Sequence[ReportFigure], rows: Mapping[str, Rows], html: Callable[[str], str]) -> Path:
    """Write a page of any kind of study, and figures and tables into the folder beside it, whose name `html` takes."""
    beside = path.with_suffix("") if path.suffix else path.with_name(path.name + "-files")
    for picture in drawn:
        write_whole(beside / "figures" / f"{picture.name}.svg", picture.svg)
        write_whole(beside / "figures" / f"{picture.name}.png", picture.png)
    write_tables(rows, beside / "tables")
    write_whole(path, html(beside.name).encode("utf-8"))
    return path


def page(analysis: Analysis, drawn: Sequence[ReportFigure], beside: str) -> str:
    """The report as one HTML page that needs no other file. beside: name of the folder with figures and tables."""
    results, spreads = analysis.results, _spreads(analysis.results)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            analysis=analysis,
            results=results,
            drawn=drawn,
            beside=beside,
            margin=f"{100 * results.margin:g}",
            finished=analyses.states(results)["finished"],
            planned=sum(arm.planned for _, arm in results.arms),
            lost=lost(results),
            answers={study_set.name: answers(study_set, analysis) for study_set in results.sets},
            start=[row for row in analysis.comparisons if row.measure in ("epoch 1", "epoch 2")],
            end=[row for row in analysis.comparisons if row.measure not in ("epoch 1", "epoch 2")],
            main=main_rows((*analysis.comparisons, *analysis.settings)),
            steps=_steps(results),
            spreads=spreads,
            spread_epochs=sorted({epoch for _, _, by_epoch in spreads for epoch in by_epoch}),
            arm_settings=_arm_settings(results),
        )
    )


def environment() -> Environment:
    """What templates are rendered with: pages of any kind of study share its filters and its style sheet."""
    helpers = {"sentence": sentence, "stopped": _stopped, "sheet": _sheet, "NONE": NONE}
    made = html_templates(Path(__file__).parent, **helpers)
    made.filters.update(f1=f1, points=points, bounds=bounds, gap=gap, epochs=epoch_counts, labels=labels)
    return made


def answers(study_set: Set, analysis: Analysis) -> list[str]:
    """The verdicts of one set, in sentences: at the epoch that validation images chose, else at the last one."""
    rows = [row for row in (*analysis.comparisons, *analysis.settings) if row.set == study_set.name]
    found = by_labels(study_set, analysis) + [sentence(row, analysis.results.margin) for row in main_rows(rows)]
    if not any(arm.replicates for arm in study_set.arms):
        return ["No run is finished yet."]
    return found or ["Nothing to compare: no replicate is finished both in a control and in another regime."]


def by_labels(study_set: Set, analysis: Analysis) -> list[str]:
    """Of a set with several numbers of labels: with which of them each regime helps against a control of as many."""
    rows = {row.arm: row for row in main_rows(analysis.comparisons) if row.set == study_set.name}
    learned = [(arm, label) for arm, label in labels_of(analysis.results, study_set) if arm.name in rows]
    if len({label for _, label in learned}) < 2:
        return []
    learned.sort(key=lambda one: one[1] or np.inf)
    said = []
    for regime in dict.fromkeys(arm.regime for arm, _ in learned):
        each = [
            f"{'all' if label is None else f'{label:,}'} {HELPS[rows[arm.name].verdict]}"
            for arm, label in learned
            if arm.regime == regime
        ]
        said.append(f"{regime[0].upper()}{regime[1:]} against control, by labels: {', '.join(each)}.")
    return said


def sentence(row: Comparison, margin: float) -> str:
    """A verdict in words, with its numbers in points (hundredths) of F1."""
    baseline = row.baseline if row.baseline_set == row.set else f"{row.baseline} of {row.baseline_set}"
    text = VERDICTS[row.verdict].format(arm=row.arm, baseline=baseline)
    text = text[0].upper() + text[1:]
    text += f" ({row.setting})" if row.setting else ""
    interval, limit = row.interval, f"±{100 * margin:g}"
    if interval.low is None or interval.high is None:
        return f"{text}: {gap(interval.mean)} points in the only pair, which gives no interval{_epochs(row)}."
    where = {
        "alike": f"within the margin of {limit}",
        "undecided": _undecided(row, margin),
    }.get(row.verdict, f"wholly beyond the margin of {limit}")
    share = f"{100 * interval.level:.0f} % interval {bounds(interval, True)}"
    if row.images and row.images.low is not None:
        share += f" over replicates, {bounds(row.images, True)} over test images"
    pairs = f"{interval.n} pairs{_epochs(row)}"
    return f"{text}: {gap(interval.mean)} points at the {row.measure} ({share}, {where}; {pairs})."


def _undecided(row: Comparison, margin: float) -> str:
    """Why nothing is said of a difference that has an interval."""
    chance = [note for note in row.note.split("; ") if note.endswith("than chance")]
    reason = unfit(row.interval) or " and ".join(chance if len(chance) == 2 else [])
    return reason or f"of which one reaches across an edge of the margin of ±{100 * margin:g}, or the two disagree"


def _epochs(row: Comparison) -> str:
    """What a verdict must not be read without: that the two did not end at the same epoch."""
    return "".join(f"; {note}" for note in row.note.split("; ") if note.startswith("last epochs"))


def lost(results: StudyResults) -> list[MissingRuns]:
    """The missing runs, those of one arm with the same state and error together."""

    def key(run: MissingRun) -> tuple[str, str, str, str]:
        return run.set, run.arm, run.state, run.error

    order = {key(run): i for i, run in reversed(list(enumerate(results.missing)))}
    rows = []
    for (name, arm, state, error), group in groupby(sorted(results.missing, key=lambda run: order[key(run)]), key):
        runs = list(group)
        numbers = [run.replicate for run in runs if run.replicate is not None]
        folders = tuple(f"runs/{run.digest}" for run in runs if run.folder is not None and run.folder.is_dir())
        rows.append(MissingRuns(name, arm, _ranges(numbers), state, error, folders))
    return rows


def slugs_of(names: Sequence[str]) -> list[str]:
    """A file name for each set, all different: lower-case letters, digits and hyphens."""
    slugs: list[str] = []
    for i, name in enumerate(names, 1):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "set"
        slugs.append(slug if slug not in slugs else f"{slug}-{i}")
    return slugs


def f1(value: float | None) -> str:
    """A score, 0 to 1, with four decimals."""
    return NONE if value is None else f"{value:.4f}".replace("-", "−")


def points(value: float | None) -> str:
    """A share, 0 to 1, in hundredths with two decimals and no sign."""
    return NONE if value is None else f"{100 * value:.2f}"


def gap(value: float | None) -> str:
    """A difference, -1 to 1, in signed hundredths with two decimals."""
    if value is None:
        return NONE
    text = f"{100 * value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def bounds(interval: Interval | None, difference: bool = False) -> str:
    """The two ends of an interval, or a dash where it has none."""
    if interval is None or interval.low is None or interval.high is None:
        return NONE
    return " to ".join(gap(end) if difference else f1(end) for end in (interval.low, interval.high))


def epoch_counts(epochs: Sequence[int | None] | None) -> str:
    """Epochs of several runs in words: `epoch 4 (2 runs), never (3 runs)`."""
    if epochs is None:
        return NONE
    count = Counter(epochs)
    known = sorted(epoch for epoch in count if epoch is not None)
    runs = {epoch: f"{n} run" + ("" if n == 1 else "s") for epoch, n in count.items()}
    parts = [f"{epoch} ({runs[epoch]})" for epoch in known]
    return ", ".join(parts + ([f"never ({runs[None]})"] if count[None] else []))


def labels(task: Mapping[str, Any]) -> str:
    """A task in words: its data, how many classes, and which; or the weights that stand for one."""
    if "weights" in task:
        return f"weights {task['weights']}"
    names = [str(name) for name in task["labels"]]
    return f"{task['data']}, {len(names)} classes: {('' if all(len(n) == 1 for n in names) else ' ').join(names)}"


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as `1 to 3, 7`."""
    groups = groupby(enumerate(sorted(numbers)), lambda item: item[1] - item[0])
    spans = [[number for _, number in group] for _, group in groups]
    return ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans)


def _stopped(results: Results, name: str, arm: str) -> str:
    runs = next(a.distinct for s, a in results.arms if (s.name, a.name) == (name, arm))
    return ", ".join(f"{STOPPED.get(how, how)} ({n})" for how, n in Counter(run.stopped for run in runs).items())


def _spreads(results: Results) -> list[tuple[str, str, dict[int, float]]]:
    """Set, arm, and the standard deviation of F1 over replicates by epoch, where at least two have the epoch."""
    found = []
    for study_set, arm in results.arms:
        curve = arm.curve("f1")
        known = {int(epoch): float(sd) for epoch, sd in zip(curve.epochs, curve.sd, strict=True) if np.isfinite(sd)}
        if known and arm.regime != "as-is":
            found.append((study_set.name, arm.name, known))
    return found


def _steps(results: Results) -> list[tuple[str, str, int, int]]:
    """Set, arm, steps in an epoch and epochs of the longest run, where they are known."""
    return [
        (s.name, arm.name, steps, max(int(run.epochs[-1]) for run in arm.replicates))
        for s, arm in results.arms
        if arm.replicates and (steps := results.steps_of(s, arm))
    ]


def _arm_settings(results: Results) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Where settings differ from the study's: set, arm ("" for the whole set), the settings."""
    whole: list[tuple[Set, Arm | None, Mapping[str, Any]]] = [(s, None, s.settings) for s in results.sets]
    single = [(s, arm, arm.settings) for s, arm in results.arms]
    return [(s.name, arm.name if arm else "", settings) for s, arm, settings in (*whole, *single) if settings]


def _sheet(path: Path) -> str:
    """The audit's contact sheet as a data address. Raises DataError where it cannot be read."""
    try:
        return inline(path.read_bytes())
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror}); run the overlap audit again") from None
