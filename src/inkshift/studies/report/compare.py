"""Do two arms of a study come to the same? Every two that can be held against each other, with intervals and verdicts.

Measured at the epoch that validation images choose, where there are any: the last epoch swings, and the best on the
test images flatters whoever varies more. See `inkshift.studies.stats` for intervals and tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats
from inkshift.studies import stats
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.stats import Counts, Interval, Verdict

Measure = Literal["chosen epoch", "last epoch", "peak", "epoch 1", "epoch 2"]

BLOCK = 100  # draws held in memory at a time


@dataclass(frozen=True)
class Comparison:
    """`arm` minus `baseline` in F1, 0 to 1, over the replicates that both finished.

    images: the same difference's interval over test images alone, None where the two saw different ones or readings
    at that epoch were not kept. setting: what differs where the two belong to two sets, `name value to value`,
    baseline's first; else "". verdict: by both intervals. holm: the same with all main comparisons of the study
    tested together, None for others. values: the p value of each claim.
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
    values: Mapping[Verdict, float]
    holm: Verdict | None = None

    @property
    def pair(self) -> tuple[str, str, str]:
        """What tells one comparison of two sets from another."""
        return self.set, self.baseline_set, self.setting


@dataclass(frozen=True, eq=False)
class ArmScores:
    """One arm in numbers, F1 and accuracy 0 to 1; intervals at 95 %.

    chosen: at the epoch of lowest validation loss, None without validation images. images: over test images, at the
    last epoch. curve_peak: the peak of the mean curve among the epochs that all
    finished replicates have, and its epoch. calibration: expected calibration error, mean over replicates, last epoch;
    NaN where runs did not keep it. spread: sample standard deviation at the last epoch, None for one run.
    """

    set: str
    arm: Arm
    last: Interval
    chosen: Interval | None
    images: Interval
    peak: Interval
    curve_peak: tuple[float, int]
    accuracy: float
    calibration: float
    spread: float | None


def resampled_f1(
    true: Counts, predicted: Counts, classes: int, draws: int = stats.DRAWS, seed: int = 0, average: str = "macro"
) -> Floats:
    """(R, draws) F1 on test images drawn with replacement, as many as there are.

    true: (N,) class indices; predicted: (R, N), one row a replicate. The same seed and N draw the same images, so
    that two arms' results can be subtracted draw by draw. As `models.metrics.f1_score`: over classes that were drawn.
    """
    sparse = stats.scipy("sparse")
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


class Resampler:
    """Resampled F1 of whole arms, each computed once, all over the same draws of test images."""

    def __init__(self, seed: int, average: str = "macro") -> None:
        self._seed, self._average, self._known = seed, average, dict[str, Floats]()

    def rows(self, runs: Sequence[tuple[Replicate, int]]) -> Floats | None:
        """(len(runs), draws) for finished runs of one arm, each at the row of an epoch; None where what they read then
        was not kept."""
        keys = [f"{run.digest} {at % len(run.epochs)}" for run, at in runs]
        todo = {key: (run, at) for key, (run, at) in zip(keys, runs, strict=True) if key not in self._known}
        if todo:
            read = [run.read_at(at) for run, at in todo.values()]
            known = [one for one in read if one is not None]
            if len(known) < len(read):
                return None
            first = runs[0][0]
            f1 = resampled_f1(first.true, np.stack(known), len(first.classes), stats.DRAWS, self._seed, self._average)
            self._known.update(zip(todo, f1, strict=True))
        return np.stack([self._known[key] for key in keys])


def summarise(study_set: Set, arm: Arm, resampler: Resampler) -> ArmScores:
    """`arm`, which has at least one finished run, in numbers."""
    runs = arm.distinct
    last = np.array([run.f1[-1] for run in runs])
    curve = arm.curve("f1")
    whole = np.where(curve.n == curve.n.max(), curve.mean, -1)
    best = int(whole.argmax())
    draws = resampler.rows([(run, -1) for run in runs])
    assert draws is not None  # readings of the last epoch are always kept
    rows = [epoch_row(run, "chosen epoch") for run in runs]
    chosen = [float(run.f1[row]) for run, row in zip(runs, rows, strict=True) if row is not None]
    was_chosen = len(chosen) == len(runs) and arm.regime != "as-is"
    return ArmScores(
        study_set.name,
        arm,
        stats.t_interval(last, stats.SINGLE, stats.SHARE),
        stats.t_interval(chosen, stats.SINGLE, stats.SHARE) if was_chosen else None,
        stats.basic_interval(float(last.mean()), draws.mean(axis=0), stats.SINGLE, stats.SHARE),
        stats.t_interval([run.f1.max() for run in runs], stats.SINGLE, stats.SHARE),
        (float(curve.mean[best]), int(curve.epochs[best])),
        float(np.mean([run.accuracy[-1] for run in runs])),
        float(np.mean([run.calibration[-1] for run in runs])),
        float(last.std(ddof=1)) if len(runs) > 1 else None,
    )


def against_control(results: Results, resampler: Resampler) -> list[Comparison]:
    """Every arm minus control: at the chosen and the last epoch, at its peak, and after epochs 1 and 2.

    A set without a control of its own is held against that of another set with the same target task.
    as-is, where nothing learns, has only the one value, compared with each of control's. Peak: the best epoch of
    each run by F1 on the test images, as the paper reads it off; it flatters whoever varies more.
    """
    found = []
    for study_set, arm in results.arms:
        if arm.regime == "control" or not (control := _control(results, study_set, arm)):
            continue
        ours, theirs = results.settings_of(study_set, arm), results.settings_of(*control)
        other = _difference(theirs, ours) if control[0] is not study_set else ""
        for measure in (*_WHOLE, *_START):
            comparison = _compare(((study_set, arm), control), measure, other, results, resampler)
            found += [comparison] if comparison else []
    return found


def between_settings(results: Results, resampler: Resampler) -> list[Comparison]:
    """The same regime under other settings: every two arms with the same source and target task.

    Left out are arms that a setting does not touch, which share their runs.
    """
    found = []
    for first, second in combinations(results.arms, 2):
        ours, theirs = results.settings_of(*first), results.settings_of(*second)
        tasks = first[0].source == second[0].source and first[0].target == second[0].target
        if not tasks or first[1].regime != second[1].regime or ours == theirs:
            continue
        digests = {(run.digest, run.number) for run in first[1].replicates}
        if digests & {(run.digest, run.number) for run in second[1].replicates}:
            continue
        setting = _difference(ours, theirs)
        for measure in _WHOLE:
            comparison = _compare((second, first), measure, setting, results, resampler)
            found += [comparison] if comparison else []
    return found


_WHOLE: tuple[Measure, ...] = ("chosen epoch", "last epoch", "peak")
_START: tuple[Measure, ...] = ("epoch 1", "epoch 2")


def epoch_row(run: Replicate, measure: Measure) -> int | None:
    """The row of a run's epochs that a measure is read at, None where it has none.

    The chosen epoch is that of lowest validation loss. What never learns is the same after every epoch.
    """
    if run.epochs[-1] == 0 or measure == "last epoch":
        return len(run.epochs) - 1
    if measure == "chosen epoch":
        return int(run.validation_loss.argmin()) if run.held_out() else None
    if measure == "peak":
        return int(run.f1.argmax())
    found = np.flatnonzero(run.epochs == int(measure.split()[1]))
    return int(found[0]) if len(found) else None


def main_rows(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows that answer for a study: at the chosen epoch, and at the last one where no images chose."""
    chosen = {(row.set, row.arm, row.pair) for row in rows if row.measure == "chosen epoch"}
    return [
        row
        for row in rows
        if row.measure == "chosen epoch" or (row.measure == "last epoch" and (row.set, row.arm, row.pair) not in chosen)
    ]


def with_holm(*groups: Sequence[Comparison]) -> list[list[Comparison]]:
    """The groups of comparisons with the verdict of each main one among all main ones (see `stats.holm`)."""
    main = [row for group in groups for row in main_rows(group)]
    together = dict(zip(map(id, main), stats.holm([dict(row.values) for row in main]), strict=True))
    return [[replace(row, holm=together.get(id(row))) for row in group] for group in groups]


def _control(results: Results, study_set: Set, arm: Arm) -> tuple[Set, Arm] | None:
    """The control of an arm, of its set or another of the same target: one that learns from as many labels, if any."""
    near = sorted(results.arms, key=lambda one: one[0] is not study_set)
    controls = [(s, one) for s, one in near if s.target == study_set.target and one.regime == "control"]
    labels = results.settings_of(study_set, arm).get("labels")
    same = [one for one in controls if results.settings_of(*one).get("labels") == labels]
    return next(iter(same or controls), None)


def _compare(
    pair: tuple[tuple[Set, Arm], tuple[Set, Arm]],
    measure: Measure,
    setting: str,
    results: Results,
    resampler: Resampler,
) -> Comparison | None:
    """None where no replicate is finished in both arms with a value for `measure`."""
    (arm_set, arm), (baseline_set, baseline) = pair
    rows = [(a, epoch_row(a, measure), b, epoch_row(b, measure)) for a, b in _pairs(arm, baseline)]
    pairs = [(a, at, b, there) for a, at, b, there in rows if at is not None and there is not None]
    if not pairs:
        return None
    looks = max(arm_set.looks, baseline_set.looks)
    level = stats.at_each_of(looks)
    interval = stats.t_interval([a.f1[at] - b.f1[there] for a, at, b, there in pairs], level, stats.GAP)
    images = None
    if measure in ("chosen epoch", "last epoch") and arm.classes == baseline.classes:
        images = _over_images(pairs, interval.mean, level, resampler)
    ours = results.settings_of(arm_set, arm)
    one_source = ours.get("source_networks") == "one" and arm.regime != "control"
    one_draw = ours.get("labels") and ours.get("samples", "one") == "one"
    given = ["given one source network"] * bool(one_source) + ["given one draw of labels"] * bool(one_draw)
    chance = _at_chance(pairs, results)
    both = chance[0] and chance[1]
    given += [f"of {looks} looks, so its intervals are at {100 * level:.1f} %"] * (looks > 1)
    planned = baseline.planned if _lone(arm) else min(arm.planned, baseline.planned)
    note = _note(pairs, interval, planned, measure, given)
    words = [f"{one.name} reads no better than chance" for one, low in zip((arm, baseline), chance, strict=True) if low]
    values = [stats.claim_values(one, results.margin) for one in (interval, images) if one]
    return Comparison(
        arm_set.name,
        arm.name,
        baseline_set.name,
        baseline.name,
        measure,
        setting,
        interval,
        images,
        "undecided" if both else stats.decide_both(interval, images, results.margin),
        "; ".join([*words, note] if note else words),
        {
            name: 1.0 if both or stats.unfit(interval) else min(looks * max(one[name] for one in values), 1)
            for name in stats.CLAIMS
        },
    )


_Pair = tuple[Replicate, int, Replicate, int]


def _at_chance(pairs: Sequence[_Pair], results: Results) -> tuple[bool, bool]:
    """Whether arm and baseline are within the margin of what their readings, dealt out at random, would score."""

    def low(runs: Sequence[tuple[Replicate, int]]) -> bool:
        above = [run.f1[at] - stats.chance_f1(run.confusions[at], results.average) for run, at in runs]
        return bool(np.mean(above) < results.margin)

    return low([(a, at) for a, at, _, _ in pairs]), low([(b, at) for _, _, b, at in pairs])


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


def _over_images(pairs: Sequence[_Pair], mean: float, level: float, resampler: Resampler) -> Interval | None:
    if not np.array_equal(pairs[0][0].true, pairs[0][2].true):
        return None
    ours = resampler.rows([(a, at) for a, at, _, _ in pairs])
    theirs = resampler.rows([(b, at) for _, _, b, at in pairs])
    if ours is None or theirs is None:
        return None
    return stats.basic_interval(mean, (ours - theirs).mean(axis=0), level, stats.GAP)


def _note(pairs: Sequence[_Pair], interval: Interval, planned: int, measure: Measure, given: list[str]) -> str:
    notes = []
    if interval.n > 1 and len({run.digest for run, *_ in pairs}) == 1:
        notes.append("one network against each run of control")
    elif interval.n > 1:
        notes += given
    notes += [reason] if (reason := stats.unfit(interval)) else []
    if interval.n < planned:
        notes.append(f"{interval.n} of {planned} pairs")
    runs = [(a, b) for a, _, b, _ in pairs]
    ours, theirs = ({int(run.epochs[-1]) for run in side} for side in zip(*runs, strict=True))
    if ours != theirs and 0 not in ours and measure in _WHOLE:
        notes.append(f"last epochs {_span(ours)} against {_span(theirs)}")
    return "; ".join(notes)


def _span(epochs: set[int]) -> str:
    return str(min(epochs)) if len(epochs) == 1 else f"{min(epochs)} to {max(epochs)}"


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return ", ".join(f"{name} {before.get(name, 'none')} to {after.get(name, 'none')}" for name in names)
