"""Do two arms of a study come to the same? Intervals, equivalence tests and the verdict.

Two arms are paired by replicate. The 90 % Student t interval of the paired difference lies within the margin
exactly where two one-sided tests at 5 % both reject (Schuirmann, D. J. (1987), A comparison of the two one-sided
tests procedure and the power approach for assessing the equivalence of average bioavailability, Journal of
Pharmacokinetics and Biopharmaceutics 15, 657-680).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inkshift.errors import MissingExtraError
from inkshift.studies.report.results import Arm, Counts, Floats, Replicate, Results, Set

Verdict = Literal["alike", "ahead", "behind", "undecided"]
Measure = Literal["last epoch", "peak", "epoch 1", "epoch 2"]

PAIRED, SINGLE = 0.90, 0.95
DRAWS = 1000
BLOCK = 100  # draws held in memory at a time


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values and its bounds at `level`; the bounds are None where n is too small for any."""

    mean: float
    low: float | None
    high: float | None
    level: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """`arm` minus `baseline` in F1, 0 to 1, over the replicates that both finished.

    images: the same difference's interval over test images alone, None where the two saw different ones.
    setting: what differs where the two belong to two sets, `name value to value`, baseline's first; else "".
    """

    set: str
    arm: str
    baseline_set: str
    baseline: str
    measure: Measure
    setting: str
    interval: Interval
    images: Interval | None
    verdict: Verdict
    note: str

    @property
    def pair(self) -> tuple[str, str, str]:
        """What tells one comparison of two sets from another."""
        return self.set, self.baseline_set, self.setting


@dataclass(frozen=True, eq=False)
class Summary:
    """One arm in numbers, F1 and accuracy 0 to 1; intervals at 95 %.

    images: over test images, at the last epoch. curve_peak: the peak of the mean curve among the epochs that all
    finished replicates have, and its epoch. spread: sample standard deviation at the last epoch, None for one run.
    """

    set: str
    arm: Arm
    last: Interval
    images: Interval
    peak: Interval
    curve_peak: tuple[float, int]
    accuracy: float
    spread: float | None


def t_interval(values: npt.ArrayLike, level: float) -> Interval:
    """Student t interval of the mean of (n,) values; no bounds for one value, none wide for equal values."""
    sample = np.asarray(values, np.float64)
    mean, n = float(sample.mean()), len(sample)
    if n < 2:
        return Interval(mean, None, None, level, n)
    half = float(_scipy("stats").t.ppf(0.5 + level / 2, n - 1) * sample.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, level, n)


def decide(interval: Interval, margin: float) -> Verdict:
    """alike: the interval within +-margin; ahead, behind: wholly beyond it; undecided: all else, one pair too."""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return "undecided"
    if -margin < low and high < margin:
        return "alike"
    if low > margin:
        return "ahead"
    return "behind" if high < -margin else "undecided"


def resampled_f1(
    true: Counts, predicted: Counts, classes: int, draws: int = DRAWS, seed: int = 0, average: str = "macro"
) -> Floats:
    """(R, draws) F1 on test images drawn with replacement, as many as there are.

    true: (N,) class indices; predicted: (R, N), one row a replicate. The same seed and N draw the same images, so
    that two arms' results can be subtracted draw by draw. As `models.metrics.f1_score`: over classes that were drawn.
    """
    sparse = _scipy("sparse")
    replicates, images = predicted.shape
    column = predicted + classes * np.arange(replicates)[:, None]
    hit = predicted == true
    row = np.broadcast_to(np.arange(images), predicted.shape)

    def table(keep: npt.NDArray[np.bool_]) -> Any:
        place = (column[keep], row[keep])
        return sparse.csr_array((np.ones(int(keep.sum())), place), shape=(replicates * classes, images))

    read, hits = table(np.ones_like(hit)), table(hit)
    label = sparse.csr_array((np.ones(images), (true, np.arange(images))), shape=(classes, images))
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, BLOCK):
        size = min(BLOCK, draws - start)
        drawn = rng.integers(0, images, (size, images))
        weights = np.stack([np.bincount(one, minlength=images) for one in drawn], axis=1).astype(np.float64)
        labelled = label @ weights
        both = (read @ weights).reshape(replicates, classes, size) + labelled
        f1 = 2 * (hits @ weights).reshape(replicates, classes, size) / np.maximum(both, 1)
        share = labelled > 0 if average == "macro" else labelled
        parts.append((f1 * share).sum(axis=1) / share.sum(axis=0))
    return np.concatenate(parts, axis=1)


def percentile_interval(mean: float, draws: Floats, level: float) -> Interval:
    """Percentile bootstrap interval (Efron 1979) around `mean` from (draws,) resampled means."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), level, len(draws))


class Resampler:
    """Resampled F1 of whole arms, each computed once, all over the same draws of test images."""

    def __init__(self, seed: int, average: str = "macro") -> None:
        self._seed, self._average, self._known = seed, average, dict[str, Floats]()

    def rows(self, arm: Arm, digests: list[str]) -> Floats:
        """(len(digests), draws) for finished runs of `arm`."""
        if any(digest not in self._known for digest in digests):
            runs = arm.distinct
            predicted = np.stack([run.predicted for run in runs])
            f1 = resampled_f1(runs[0].true, predicted, len(arm.classes), DRAWS, self._seed, self._average)
            self._known.update(zip((run.digest for run in runs), f1, strict=True))
        return np.stack([self._known[digest] for digest in digests])


def summarise(study_set: Set, arm: Arm, resampler: Resampler) -> Summary:
    """`arm`, which has at least one finished run, in numbers."""
    runs = arm.distinct
    last = np.array([run.f1[-1] for run in runs])
    curve = arm.curve("f1")
    whole = np.where(curve.n == curve.n.max(), curve.mean, -1)
    best = int(whole.argmax())
    draws = resampler.rows(arm, [run.digest for run in runs]).mean(axis=0)
    return Summary(
        study_set.name,
        arm,
        t_interval(last, SINGLE),
        percentile_interval(float(last.mean()), draws, SINGLE),
        t_interval([run.f1.max() for run in runs], SINGLE),
        (float(curve.mean[best]), int(curve.epochs[best])),
        float(np.mean([run.accuracy[-1] for run in runs])),
        float(last.std(ddof=1)) if len(runs) > 1 else None,
    )


def against_control(results: Results, resampler: Resampler) -> list[Comparison]:
    """Every arm minus control: at the last epoch, at its peak, and after epochs 1 and 2.

    A set without a control of its own is held against that of another set with the same target task.
    as-is, where nothing learns, has only the one value, compared with each of control's. Peak: the best epoch of
    each run by F1 on the test images, as the paper reads it off; it flatters whoever varies more.
    """
    found = []
    for study_set in results.sets:
        for arm, control_set, control in _controlled(results, study_set):
            ours, theirs = results.settings_of(study_set, arm), results.settings_of(control_set, control)
            other = _difference(theirs, ours) if control_set is not study_set else ""
            for measure in (*_WHOLE, *_START):
                pair = ((study_set, arm), (control_set, control))
                comparison = _compare(pair, measure, other, results.margin, resampler)
                found += [comparison] if comparison else []
    return found


def between_settings(results: Results, resampler: Resampler) -> list[Comparison]:
    """The same regime under other settings: every two arms with the same source and target task.

    Left out are arms that a setting does not touch, which share their runs.
    """
    arms = [(study_set, arm) for study_set in results.sets for arm in study_set.arms]
    found = []
    for first, second in combinations(arms, 2):
        ours, theirs = results.settings_of(*first), results.settings_of(*second)
        tasks = first[0].source == second[0].source and first[0].target == second[0].target
        if not tasks or first[1].regime != second[1].regime or ours == theirs:
            continue
        digests = {(run.digest, run.number) for run in first[1].replicates}
        if digests & {(run.digest, run.number) for run in second[1].replicates}:
            continue
        setting = _difference(ours, theirs)
        for measure in _WHOLE:
            comparison = _compare((second, first), measure, setting, results.margin, resampler)
            found += [comparison] if comparison else []
    return found


_WHOLE: tuple[Measure, ...] = ("last epoch", "peak")
_START: tuple[Measure, ...] = ("epoch 1", "epoch 2")
_READ: Mapping[Measure, Callable[[Replicate], float]] = {
    "last epoch": lambda run: float(run.f1[-1]),
    "peak": lambda run: float(run.f1.max()),
    "epoch 1": lambda run: _at(run, 1),
    "epoch 2": lambda run: _at(run, 2),
}


def _at(run: Replicate, epoch: int) -> float:
    """F1 after `epoch`; NaN where the run has none. What never learns is the same after every epoch."""
    if run.epochs[-1] == 0:
        return float(run.f1[-1])
    found = run.f1[run.epochs == epoch]
    return float(found[0]) if len(found) else float("nan")


def _controlled(results: Results, study_set: Set) -> Iterator[tuple[Arm, Set, Arm]]:
    """Each arm that is not a control, with the set's control or another set's of the same target, and where it is."""
    near = sorted(results.sets, key=lambda other: other is not study_set)
    controls = [(s, arm) for s in near if s.target == study_set.target for arm in s.arms if arm.regime == "control"]
    for arm in study_set.arms:
        if controls and arm.regime != "control":
            yield arm, *controls[0]


def _compare(
    pair: tuple[tuple[Set, Arm], tuple[Set, Arm]],
    measure: Measure,
    setting: str,
    margin: float,
    resampler: Resampler,
) -> Comparison | None:
    """None where no replicate is finished in both arms with a value for `measure`."""
    (arm_set, arm), (baseline_set, baseline) = pair
    read = _READ[measure]
    pairs = [(a, b) for a, b in _pairs(arm, baseline) if np.isfinite(read(a) - read(b))]
    if not pairs:
        return None
    interval = t_interval([read(a) - read(b) for a, b in pairs], PAIRED)
    return Comparison(
        arm_set.name,
        arm.name,
        baseline_set.name,
        baseline.name,
        measure,
        setting,
        interval,
        _over_images(pairs, arm, baseline, interval.mean, resampler) if measure == "last epoch" else None,
        decide(interval, margin),
        _note(pairs, interval, _planned(arm, baseline), measure),
    )


def _pairs(arm: Arm, baseline: Arm) -> list[tuple[Replicate, Replicate]]:
    """Finished runs by replicate, each two runs once. A network that is the only one of its arm, since nothing learns
    there, goes with every replicate."""
    if _lone(arm):
        return [(arm.replicates[0], run) for run in baseline.distinct] if arm.replicates else []
    others = {run.number: run for run in baseline.replicates}
    found = [(run, others[run.number]) for run in arm.replicates if run.number in others]
    return list({(a.digest, b.digest): (a, b) for a, b in found}.values())


def _lone(arm: Arm) -> bool:
    return arm.regime == "as-is" and arm.planned == 1


def _planned(arm: Arm, baseline: Arm) -> int:
    return baseline.planned if _lone(arm) else min(arm.planned, baseline.planned)


def _over_images(
    pairs: list[tuple[Replicate, Replicate]], arm: Arm, baseline: Arm, mean: float, resampler: Resampler
) -> Interval | None:
    if not np.array_equal(pairs[0][0].true, pairs[0][1].true) or arm.classes != baseline.classes:
        return None
    ours = resampler.rows(arm, [a.digest for a, _ in pairs])
    theirs = resampler.rows(baseline, [b.digest for _, b in pairs])
    return percentile_interval(mean, (ours - theirs).mean(axis=0), PAIRED)


def _note(pairs: list[tuple[Replicate, Replicate]], interval: Interval, planned: int, measure: Measure) -> str:
    notes = []
    if interval.n > 1 and len({run.digest for run, _ in pairs}) == 1:
        notes.append("one network against each run of control")
    if interval.n == 1:
        notes.append("one pair: no interval")
    elif interval.low == interval.high:
        notes.append("every pair differs by the same")
    if interval.n < planned:
        notes.append(f"{interval.n} of {planned} pairs")
    ours, theirs = ({int(run.epochs[-1]) for run in side} for side in zip(*pairs, strict=True))
    if ours != theirs and 0 not in ours and measure in _WHOLE:
        notes.append(f"last epochs {_span(ours)} against {_span(theirs)}")
    return "; ".join(notes)


def _span(epochs: set[int]) -> str:
    return str(min(epochs)) if len(epochs) == 1 else f"{min(epochs)} to {max(epochs)}"


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return ", ".join(f"{name} {before.get(name, 'none')} to {after.get(name, 'none')}" for name in names)


def _scipy(module: str) -> Any:
    try:
        return importlib.import_module(f"scipy.{module}")
    except ImportError:
        raise MissingExtraError("study", "comparing the runs of a study") from None
