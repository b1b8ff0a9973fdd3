"""Everything a study's report says, worked out once from its runs.

Beside the comparisons: what choosing the epoch on test data costs, how fast each arm gets where control gets, and what
near-duplicates between source training and target test images are worth, and what fine-tuning forgets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats
from inkshift.errors import DataError
from inkshift.files import parse_json, read_bytes
from inkshift.models import metrics
from inkshift.studies.report import compare
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.stats import PAIRED, Interval, t_interval

WORST = 8
TOLERANCE = 1e-5


@dataclass(frozen=True)
class WorstClass:
    """accuracy: 0 to 1, mean over replicates, last epoch; taken_for: its commonest wrong reading and its share."""

    name: str
    accuracy: float
    taken_for: str
    share: float


@dataclass(frozen=True, eq=False)
class Analysis:
    """summaries has a row for each arm with a finished run; worst, by set and arm name, the poorest classes first."""

    results: Results
    summaries: tuple[compare.ArmScores, ...]
    comparisons: tuple[compare.Comparison, ...]
    settings: tuple[compare.Comparison, ...]
    stops: tuple[StopCost, ...]
    reaches: tuple[Reach, ...]
    forgotten: tuple[Forgetting, ...]
    overlaps: tuple[Overlap, ...]
    worst: dict[tuple[str, str], list[WorstClass]]


def analyse(results: Results) -> Analysis:
    """Work out every interval, verdict and list; the same results give the same numbers.

    Raises DataError for an `overlap.json` that does not fit, MissingExtraError without scipy.
    """
    resampler = compare.Resampler(results.seed, results.average)
    comparisons, settings = compare.with_holm(
        compare.against_control(results, resampler), compare.between_settings(results, resampler)
    )
    finished = [(s, arm) for s, arm in results.arms if arm.replicates]
    return Analysis(
        results,
        tuple(compare.summarise(s, arm, resampler) for s, arm in finished),
        tuple(comparisons),
        tuple(settings),
        tuple(stop_costs(results)),
        tuple(reaches(results)),
        tuple(forgotten(results)),
        tuple(overlaps(results)),
        {(s.name, arm.name): worst_classes(arm) for s, arm in finished},
    )


def worst_classes(arm: Arm) -> list[WorstClass]:
    """The classes of `arm` with test images that are read worst, `WORST` of them, those always right left out."""
    counts = np.stack([run.confusions[-1] for run in arm.distinct]).sum(axis=0)
    labelled = counts.sum(axis=1)
    accuracy = np.diag(counts) / np.maximum(labelled, 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = [i for i in np.argsort(accuracy, kind="stable") if labelled[i] and wrong[i].any()]
    return [
        WorstClass(
            arm.classes[i], float(accuracy[i]), arm.classes[int(wrong[i].argmax())], float(wrong[i].max() / labelled[i])
        )
        for i in order[:WORST]
    ]


def states(results: Results) -> Counter[str]:
    """How many planned runs are finished, failed, unfinished, damaged, not begun."""
    count: Counter[str] = Counter(run.state for run in results.missing if run.arm)
    count["finished"] = sum(len(arm.replicates) for _, arm in results.arms)
    return count


@dataclass(frozen=True)
class DeduplicatedScores:
    """Mean F1 over replicates at the last epoch, on all test images and without the near-duplicates."""

    arm: str
    all: float
    without: float


@dataclass(frozen=True)
class Overlap:
    """The audit of one set. threshold: lowest normalised correlation of near-duplicates; method: how they are told."""

    set: str
    pairs: int
    test_images: int
    share: float
    threshold: float
    method: str
    rows: int
    by_class: Mapping[str, int]
    sheet: Path | None
    arms: tuple[DeduplicatedScores, ...]


def overlaps(results: Results) -> list[Overlap]:
    """The audits in `overlap.json` of the study folder; none where there is no such file.

    Raises DataError if the file is not as the audit writes it or names a test image that is not there.
    """
    path = results.folder / "overlap.json"
    if not path.is_file():
        return []
    try:
        content = parse_json(read_bytes(path))
        return [_overlap(results, item, str(content.get("method", ""))) for item in content["sets"]]
    except KeyError as e:
        raise DataError(f"{path}: {e.args[0]!r} is not there; run the overlap audit again") from None
    except (TypeError, ValueError, AttributeError) as e:
        raise DataError(f"{path}: not an overlap audit of this study ({e}); run the audit again") from None


def f1_without(arm: Arm, rows: npt.NDArray[np.int64], average: str = "macro") -> tuple[float, float]:
    """Mean F1 over replicates at the last epoch: on all test images, and without `rows` (indices of them)."""
    images = len(arm.replicates[0].true)
    if len(rows) and not (rows.min() >= 0 and rows.max() < images):
        raise ValueError(f"test image {int(rows.max())} of {images}")
    keep = np.ones(images, np.bool_)
    keep[rows] = False
    scores = [
        [
            metrics.f1_score(metrics.confusion(run.predicted[some], run.true[some], len(run.classes)), average)
            for some in (np.ones(images, np.bool_), keep)
        ]
        for run in arm.distinct
    ]
    whole, without = np.mean(scores, axis=0)
    return float(whole), float(without)


def _overlap(results: Results, item: Mapping[str, Any], method: str) -> Overlap:
    arms = [arm for study_set, arm in results.arms if study_set.name == item["name"]]
    rows = np.unique(np.asarray(item["rows"], np.int64))
    return Overlap(
        set=str(item["name"]),
        pairs=int(item["pairs"]),
        test_images=int(item["test_images"]),
        share=float(item["share"]),
        threshold=float(item["threshold"]),
        method=method,
        rows=len(rows),
        by_class=dict(item.get("by_class") or {}),
        sheet=results.folder / item["sheet"] if item.get("sheet") else None,
        arms=tuple(
            DeduplicatedScores(arm.name, *f1_without(arm, rows, results.average)) for arm in arms if arm.replicates
        ),
    )


@dataclass(frozen=True)
class StopCost:
    """F1 of one arm at three epochs: of lowest test loss, of lowest validation loss, the last. None: no such loss.

    optimism: F1 chosen on test data minus F1 chosen on validation data, paired by run, at 90 %: what a score gains
    by having its epoch chosen on the images it is measured on. waste: the same choice minus the last epoch.
    fired, held_out: for each run the epoch at which |loss(k) - loss(k-1)| < tolerance first holds, None if never.
    """

    set: str
    arm: str
    runs: int
    tolerance: float
    on_test: float | None
    on_validation: float | None
    last: float
    optimism: Interval | None
    waste: Interval | None
    fired: tuple[int | None, ...]
    held_out: tuple[int | None, ...] | None
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Reach:
    """How soon runs come within the margin of control's own peak: `target` F1, the first epoch of each run.

    seconds: of processor time that each learned for until then, None where it never gets there or that is not known.
    source: seconds that its source network learned for, by the runs of the study that start from it, the mean over
    runs; 0 without one, None where that is not known.
    """

    set: str
    arm: str
    target: float
    epochs: tuple[int | None, ...]
    seconds: tuple[float | None, ...]
    source: float | None

    @property
    def median(self) -> float | None:
        """Median epoch, None where half of the runs or more never get there."""
        return _median(self.epochs)

    @property
    def median_seconds(self) -> float | None:
        """The median of `seconds`, as `median`; None too where a run that gets there does not know its own."""
        known = all(
            (second is None) == (epoch is None) for second, epoch in zip(self.seconds, self.epochs, strict=True)
        )
        return _median(self.seconds) if known else None

    @property
    def whole_seconds(self) -> float | None:
        """The median of `seconds`, and the share of the source network's with it."""
        own = self.median_seconds
        return None if own is None or self.source is None else own + self.source


def _median(found: Sequence[float | None]) -> float | None:
    """The median where None is infinite; None where that is infinite or nothing is there."""
    values = sorted(math.inf if value is None else value for value in found)
    middle = (values[len(values) // 2] + values[(len(values) - 1) // 2]) / 2 if values else math.inf
    return float(middle) if math.isfinite(middle) else None


@dataclass(frozen=True)
class Forgetting:
    """What fine-tuning left of the source task: mean F1 on its test images of the source network, and of the fine-tuned
    one with the source's final layer back on it; after minus before over runs, at 90 %."""

    set: str
    arm: str
    before: float
    after: float
    difference: Interval


def first_small_change(epochs: Floats | Any, loss: Floats, tolerance: float) -> int | None:
    """The first epoch whose loss differs from the one before by less than `tolerance` (section III-B)."""
    small = np.flatnonzero(np.abs(np.diff(loss)) < tolerance)
    return int(epochs[small[0] + 1]) if len(small) else None


def stop_costs(results: Results) -> list[StopCost]:
    """One row for each arm that learns and has a finished run."""
    return [
        _cost(study_set, arm, results.settings_of(study_set, arm))
        for study_set, arm in results.arms
        if arm.replicates and arm.regime != "as-is"
    ]


def reaches(results: Results) -> list[Reach]:
    """One row for each arm that learns, in sets whose control has a finished run."""
    rows = []
    uses = Counter(run.source for _, arm in results.arms for run in arm.distinct)
    for study_set in results.sets:
        controls = [arm for arm in study_set.arms if arm.regime == "control" and arm.replicates]
        if controls:
            peak = float(np.mean([run.f1.max() for run in controls[0].distinct]))
            target = max(peak - results.margin, 0.0)
            rows += [
                _reach(study_set.name, arm, target, uses)
                for arm in study_set.arms
                if arm.replicates and arm.regime != "as-is"
            ]
    return rows


def _reach(study_set: str, arm: Arm, target: float, uses: Counter[str | None]) -> Reach:
    there = [(run, np.flatnonzero(run.f1 >= target)) for run in arm.distinct]
    epochs = tuple(int(run.epochs[rows[0]]) if len(rows) else None for run, rows in there)
    seconds = [
        None if epoch is None else float(run.seconds[run.epochs <= epoch].sum())
        for run, epoch in zip(arm.distinct, epochs, strict=True)
    ]
    source = float(np.mean([run.source_seconds / uses[run.source] for run in arm.distinct]))
    known = tuple(None if second is None or math.isnan(second) else second for second in seconds)
    return Reach(study_set, arm.name, target, epochs, known, None if math.isnan(source) else source)


def forgotten(results: Results) -> list[Forgetting]:
    """One row for each arm whose runs were asked what they forgot."""
    rows = []
    for study_set, arm in results.arms:
        known = np.array([run.source_f1 for run in arm.distinct if run.source_f1 is not None])
        if len(known):
            before, after = known.T
            means, change = (float(before.mean()), float(after.mean())), t_interval(after - before, PAIRED)
            rows.append(Forgetting(study_set.name, arm.name, *means, change))
    return rows


def _cost(study_set: Set, arm: Arm, settings: Mapping[str, Any]) -> StopCost:
    runs = arm.distinct
    tolerance = float(settings.get("tolerance", TOLERANCE))
    last = np.array([run.f1[-1] for run in runs])
    tested = np.array([_f1_at_lowest(run, run.test_loss) for run in runs])
    checked = np.array([_f1_at_lowest(run, run.validation_loss) for run in runs])
    has_test = bool(np.isfinite(tested).all())
    has_both = has_test and bool(np.isfinite(checked).all())
    return StopCost(
        set=study_set.name,
        arm=arm.name,
        runs=len(runs),
        tolerance=tolerance,
        on_test=float(tested.mean()) if has_test else None,
        on_validation=float(checked.mean()) if has_both else None,
        last=float(last.mean()),
        optimism=t_interval(tested - checked, PAIRED) if has_both else None,
        waste=t_interval(tested - last, PAIRED) if has_test else None,
        fired=tuple(first_small_change(run.epochs, run.test_loss, tolerance) for run in runs),
        held_out=tuple(first_small_change(run.epochs, run.validation_loss, tolerance) for run in runs)
        if has_both
        else None,
        epochs=tuple(int(run.epochs[-1]) for run in runs),
    )


def _f1_at_lowest(run: Replicate, loss: Floats) -> float:
    """F1 at the epoch of the lowest loss; NaN unless every epoch has one."""
    return float(run.f1[loss.argmin()]) if np.isfinite(loss).all() else float("nan")
