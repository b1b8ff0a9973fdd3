"""When runs stop: what choosing the epoch on test data costs, and how fast each arm gets where control gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.stats import PAIRED, Floats, Interval, t_interval

TOLERANCE = 1e-5


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
    """How soon runs come within the margin of control's own peak: `target` F1, the first epoch of each run."""

    set: str
    arm: str
    target: float
    epochs: tuple[int | None, ...]

    @property
    def median(self) -> float | None:
        """Median epoch, None where half of the runs or more never get there."""
        values = sorted(float("inf") if epoch is None else epoch for epoch in self.epochs)
        middle = float(values[len(values) // 2] + values[(len(values) - 1) // 2]) / 2
        return middle if np.isfinite(middle) else None


def first_small_change(epochs: Floats | Any, loss: Floats, tolerance: float) -> int | None:
    """The first epoch whose loss differs from the one before by less than `tolerance` (section III-B)."""
    small = np.flatnonzero(np.abs(np.diff(loss)) < tolerance)
    return int(epochs[small[0] + 1]) if len(small) else None


def stop_costs(results: Results) -> list[StopCost]:
    """One row for each arm that learns and has a finished run."""
    return [
        _cost(study_set, arm, results.settings_of(study_set, arm))
        for study_set in results.sets
        for arm in study_set.arms
        if arm.replicates and arm.regime != "as-is"
    ]


def reaches(results: Results) -> list[Reach]:
    """One row for each arm that learns, in sets whose control has a finished run."""
    rows = []
    for study_set in results.sets:
        controls = [arm for arm in study_set.arms if arm.regime == "control" and arm.replicates]
        if controls:
            peak = float(np.mean([run.f1.max() for run in controls[0].distinct]))
            target = max(peak - results.margin, 0.0)
            rows += [
                Reach(study_set.name, arm.name, target, tuple(_first_at(run, target) for run in arm.distinct))
                for arm in study_set.arms
                if arm.replicates and arm.regime != "as-is"
            ]
    return rows


def _first_at(run: Replicate, target: float) -> int | None:
    there = np.flatnonzero(run.f1 >= target)
    return int(run.epochs[there[0]]) if len(there) else None


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
