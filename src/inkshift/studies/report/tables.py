"""Every number of a study's report as CSV files: F1, accuracy and shares 0 to 1, an empty cell where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inkshift.files import as_csv, write_whole
from inkshift.studies.record import COLUMNS
from inkshift.studies.report.analysis import Analysis
from inkshift.studies.report.compare import Comparison
from inkshift.studies.report.results import Results
from inkshift.studies.stats import Interval

Rows = Iterable[Sequence[Any]]
BOUNDS = ("mean", "low", "high")


def tables(analysis: Analysis, slugs: Sequence[str]) -> dict[str, Rows]:
    """All tables by file name. slugs: a file name for each set."""
    results = analysis.results
    return {
        "epochs.csv": _epochs(results),
        "curves.csv": _curves(results),
        "per_class.csv": _per_class(results),
        "summary.csv": _summary(analysis),
        "comparisons.csv": _comparisons((*analysis.comparisons, *analysis.settings)),
        "stopping.csv": _stopping(analysis),
        "reach.csv": _reach(analysis),
        "forgotten.csv": _forgotten(analysis),
        "worst_classes.csv": _worst(analysis),
        "settings.csv": _settings(results),
        "data.csv": _data(results),
        "runs.csv": _runs(results),
        **({"overlap.csv": _overlap(analysis)} if analysis.overlaps else {}),
        **dict(_confusions(results, slugs)),
    }


def write_tables(tables: Mapping[str, Rows], folder: Path) -> None:
    """Write rows, the header among them, as CSV files. Raises SettingError if they cannot be written.

    Confusion matrices that an earlier report left there, of arms that this study does not have, are removed.
    """
    for path in folder.glob("confusion-*.csv"):
        if path.name not in tables:
            path.unlink()
    for name, rows in tables.items():
        write_whole(folder / name, as_csv([_cell(value) for value in row] for row in rows))


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value


def bounds_of(interval: Interval | None) -> tuple[float | None, ...]:
    """Mean, low and high of an interval, as three cells."""
    return (interval.mean, interval.low, interval.high) if interval else (None, None, None)


def _epochs(results: Results) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "replicate", *COLUMNS
    for study_set, arm, run in results.runs:
        columns = (run.epochs, run.training_loss, run.test_loss, run.validation_loss, run.f1, run.accuracy)
        for row in zip(*columns, strict=True):
            yield study_set, arm, run.number, *row


def _curves(results: Results) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "measure", "epoch", "replicates", "mean", "sd", "lowest", "highest"
    for study_set, arm in results.arms:
        for measure in COLUMNS[1:]:
            curve = arm.curve(measure)  # type: ignore[arg-type]
            for row in zip(curve.epochs, curve.n, curve.mean, curve.sd, curve.low, curve.high, strict=True):
                yield study_set.name, arm.name, measure, *row


def _per_class(results: Results) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "replicate", "epoch", "class", "accuracy"
    for study_set, arm, run in results.runs:
        for epoch, row in zip(run.epochs, run.per_class(), strict=True):
            for name, accuracy in zip(run.classes, row, strict=True):
                yield study_set, arm, run.number, epoch, name, accuracy


def _summary(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield (
        *("set", "regime", "planned", "finished", "networks"),
        *("f1_chosen", "chosen_low_95", "chosen_high_95"),
        *("f1_last", "replicates_low_95", "replicates_high_95", "images_low_95", "images_high_95", "sd_last"),
        *("f1_peak", "peak_low_95", "peak_high_95", "curve_peak", "curve_peak_epoch"),
        *("accuracy_last", "calibration_error_last"),
    )
    for row in analysis.summaries:
        yield (
            *(row.set, row.arm.name, row.arm.planned, len(row.arm.replicates), len(row.arm.distinct)),
            *(*bounds_of(row.chosen), *bounds_of(row.last), row.images.low, row.images.high, row.spread),
            *(*bounds_of(row.peak), *row.curve_peak, row.accuracy, row.calibration),
        )


def _comparisons(rows: Iterable[Comparison]) -> Iterator[Sequence[Any]]:
    yield (
        *("set", "regime", "against_set", "against", "setting", "measure", "pairs"),
        *("difference", "low_90", "high_90", "images_low_90", "images_high_90", "verdict", "holm", "note"),
    )
    for row in rows:
        images = bounds_of(row.images)[1:]
        yield (
            *(row.set, row.arm, row.baseline_set, row.baseline, row.setting, row.measure, row.interval.n),
            *(*bounds_of(row.interval), *images, row.verdict, row.holm, row.note),
        )


def _stopping(analysis: Analysis) -> Iterator[Sequence[Any]]:
    names = [f"{what}_{part}" for what in ("test_minus_validation", "test_minus_last") for part in BOUNDS]
    yield (
        *("set", "regime", "networks", "tolerance", "f1_lowest_test_loss", "f1_lowest_validation_loss", "f1_last"),
        *(*names, "stop_epochs_test", "stop_epochs_validation", "last_epochs"),
    )
    for row in analysis.stops:
        yield (
            *(row.set, row.arm, row.runs, row.tolerance, row.on_test, row.on_validation, row.last),
            *(*bounds_of(row.optimism), *bounds_of(row.waste)),
            *(_listed(row.fired), _listed(row.held_out), _listed(row.epochs)),
        )


def _listed(epochs: Sequence[int | None] | None) -> str:
    return "" if epochs is None else " ".join("never" if epoch is None else str(epoch) for epoch in epochs)


def _reach(analysis: Analysis) -> Iterator[Sequence[Any]]:
    names = "target_f1", "median_epoch", "first_epochs", "median_processor_seconds", "source_seconds_shared"
    yield "set", "regime", *names
    for row in analysis.reaches:
        yield row.set, row.arm, row.target, row.median, _listed(row.epochs), row.median_seconds, row.source


def _forgotten(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "source_f1_before", "source_f1_after", *(f"difference_{part}" for part in BOUNDS)
    for row in analysis.forgotten:
        yield row.set, row.arm, row.before, row.after, *bounds_of(row.difference)


def _worst(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "class", "accuracy", "most_read_as", "share"
    for (study_set, arm), classes in analysis.worst.items():
        for row in classes:
            yield study_set, arm, row.name, row.accuracy, row.taken_for, row.share


def _settings(results: Results) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "setting", "value", "our_choice"
    for name, value in results.settings.items():
        yield "", "", name, value, name in results.choices
    for study_set in results.sets:
        for name, value in study_set.settings.items():
            yield study_set.name, "", name, value, name in results.choices
        for arm in study_set.arms:
            for name, value in arm.settings.items():
                yield study_set.name, arm.name, name, value, name in results.choices


def _data(results: Results) -> Iterator[Sequence[Any]]:
    yield "data", "images", "sha256"
    for name, item in results.data.items():
        yield name, item.get("images"), item.get("sha256")


def _runs(results: Results) -> Iterator[Sequence[Any]]:
    yield "set", "regime", "replicate", "digest", "seed", "state", "stopped", "epochs", "error"
    for study_set, arm, run in results.runs:
        yield study_set, arm, run.number, run.digest, run.seed, "finished", run.stopped, run.epochs[-1], ""
    for lost in results.missing:
        yield lost.set, lost.arm, lost.replicate, lost.digest, "", lost.state, "", "", lost.error


def _overlap(analysis: Analysis) -> Iterator[Sequence[Any]]:
    yield "set", "pairs", "test_images", "share", "threshold", "regime", "f1_all", "f1_without"
    for row in analysis.overlaps:
        for arm in row.arms:
            yield row.set, row.pairs, row.test_images, row.share, row.threshold, arm.arm, arm.all, arm.without


def _confusions(results: Results, slugs: Sequence[str]) -> Iterator[tuple[str, Rows]]:
    """Counts of first and last epoch, added up over replicates: by row the label, by column the reading."""
    for study_set, slug in zip(results.sets, slugs, strict=True):
        for i, arm in enumerate((arm for arm in study_set.arms if arm.replicates), 1):
            for epoch, when in ((0, "first"), (-1, "last")):
                counts = np.stack([run.confusions[epoch] for run in arm.distinct]).sum(axis=0)
                rows = [[name, *row] for name, row in zip(arm.classes, counts.tolist(), strict=True)]
                yield f"confusion-{slug}-{i}-{arm.regime}-{when}.csv", [["label", *arm.classes], *rows]
