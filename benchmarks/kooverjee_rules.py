"""Rules that decide from a study's runs whether something the paper found holds: yes, no, or it cannot be told.

A rule says yes or no only where an interval or a number allows it. Differences are paired by replicate, at 90 %.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from inkshift.datasets.tasks import LABEL_SPACES
from inkshift.studies.report import page as report
from inkshift.studies.report.compare import PAIRED, Interval, decide, t_interval
from inkshift.studies.report.results import Arm, Floats, Replicate, Results
from inkshift.studies.report.stopping import Reach, reaches

Holds = Literal["yes", "no", "cannot be told"]
Read = Callable[[Replicate], float]
NINE = tuple("cfgmopsuv")  # wrong without exception after one frozen epoch, section IV-B
FAR, MUCH = 0.05, 0.10  # of F1, and of a class's accuracy
LAST = 20  # epochs in the paper


class Unknown(Exception):
    """Why a rule cannot be applied."""


class Answer(NamedTuple):
    holds: Holds
    ours: str


class Case(NamedTuple):
    """What a claim is about: arms by role, such as `1 frozen`, each with a finished run, and which two to compare."""

    results: Results
    arms: dict[str, Arm]
    pairs: list[tuple[str, str]]


class Rule(NamedTuple):
    """words: what has to be the case, in words; apply: the same in code; may raise Unknown."""

    words: str
    apply: Callable[[Case], Answer]


def peak(run: Replicate) -> float:
    return float(run.f1.max())


def at(epoch: int) -> Read:
    def read(run: Replicate) -> float:
        found = run.f1[run.epochs == epoch]
        return float(found[0]) if len(found) else float("nan")

    return read


def paired(arm: Arm, other: Arm, read: Read, other_read: Read | None = None) -> Interval:
    """90 % interval of arm minus other over the replicates that both finished. Raises Unknown if there is none."""
    theirs = {run.number: run for run in other.replicates}
    runs = [(run, theirs[run.number]) for run in arm.replicates if run.number in theirs]
    values = np.array([read(a) - (other_read or read)(b) for a, b in runs])
    return _interval(values)


def _interval(values: Floats) -> Interval:
    values = values[np.isfinite(values)]
    if not len(values):
        raise Unknown("no replicate is finished in both, or none reaches that epoch")
    return t_interval(values, PAIRED)


def beyond(interval: Interval, limit: float, margin: float) -> Holds:
    """yes: wholly above `limit`; no: wholly below it, or for a limit of 0 within the margin on either side."""
    if interval.low is None or interval.high is None:
        return "cannot be told"
    if interval.low > limit:
        return "yes"
    alike = limit == 0 and decide(interval, margin) == "alike"
    return "no" if interval.high < limit or alike else "cannot be told"


def all_of(answers: Sequence[Holds]) -> Holds:
    return "no" if "no" in answers else "cannot be told" if "cannot be told" in answers else "yes"


def told(interval: Interval) -> str:
    ends = report.bounds(interval, True)
    return f"{report.gap(interval.mean)} points" + (f" ({ends})" if ends != report.NONE else " (one run, no interval)")


def near(value: float, within: float) -> Rule:
    def apply(case: Case) -> Answer:
        curves = {name: arm.curve("f1").mean.max() for name, arm in case.arms.items()}
        fits = all(abs(top - value) <= within for top in curves.values())
        text = "; ".join(f"{called(name)} {report.f1(float(top))}" for name, top in curves.items())
        return Answer("yes" if fits else "no", f"peak of the mean curve: {text}")

    return Rule(f"The peak of the mean curve lies within {within:g} of {value:.2f}.", apply)


def settled(epochs: int = 3) -> Rule:
    def apply(case: Case) -> Answer:
        tails = {name: arm.curve("f1").mean[-epochs:] for name, arm in case.arms.items()}
        if any(len(tail) < epochs for tail in tails.values()):
            raise Unknown(f"fewer than {epochs} epochs")
        flat = all(np.ptp(tail) <= case.results.margin for tail in tails.values())
        text = "; ".join(f"{called(name)} {', '.join(report.f1(v) for v in tail)}" for name, tail in tails.items())
        return Answer("yes" if flat else "no", f"last {epochs} epochs of the mean curve: {text}")

    return Rule(f"The mean curve's last {epochs} epochs lie within one margin of each other.", apply)


def ahead(reads: Mapping[str, Read], by: float = 0.0) -> Rule:
    """The first of each two arms is ahead of the second in all `reads`."""

    def apply(case: Case) -> Answer:
        found = [
            (_versus(a, b) + (f", {word}" if len(reads) > 1 else ""), paired(case.arms[a], case.arms[b], read))
            for a, b in case.pairs
            for word, read in reads.items()
        ]
        holds = all_of([beyond(interval, by, case.results.margin) for _, interval in found])
        text = "; ".join(f"{name}: {told(interval)}" for name, interval in found)
        return Answer(holds, text if len(reads) > 1 else f"{next(iter(reads))}, {text}")

    where = f"{100 * by:g} points" if by else "0"
    no = "wholly below that" + ("" if by else ", or within the margin on both sides of 0")
    return Rule(f"Yes if the interval of each difference lies wholly above {where}, no if one lies {no}.", apply)


def alike(word: str, read: Read) -> Rule:
    def apply(case: Case) -> Answer:
        ((a, b),) = case.pairs
        interval = paired(case.arms[a], case.arms[b], read)
        verdict = decide(interval, case.results.margin)
        holds: Holds = "yes" if verdict == "alike" else "cannot be told" if verdict == "undecided" else "no"
        return Answer(holds, f"{_versus(a, b)}, {word}: {told(interval)}, {verdict}")

    return Rule("Yes if the interval lies within the margin, no if wholly beyond it.", apply)


def not_ahead() -> Rule:
    def apply(case: Case) -> Answer:
        found = [(_versus(a, b), paired(case.arms[a], case.arms[b], peak)) for a, b in case.pairs]
        holds = all_of([_without(beyond(interval, case.results.margin, case.results.margin)) for _, interval in found])
        return Answer(holds, "at the peak, " + "; ".join(f"{name}: {told(interval)}" for name, interval in found))

    return Rule(
        "Yes if no set's interval of the difference reaches above the margin, no if one lies wholly above.", apply
    )


def _without(holds: Holds) -> Holds:
    return {"yes": "no", "no": "yes"}.get(holds, "cannot be told")  # type: ignore[return-value]


def not_sooner() -> Rule:
    def apply(case: Case) -> Answer:
        medians = {id(arm): row.median for row, arm in _reaching(case.results)}
        found = [(a, b, medians.get(id(case.arms[a])), medians.get(id(case.arms[b]))) for a, b in case.pairs]
        holds = all_of(["cannot be told" if b is None else _later(a, b) for _, _, a, b in found])
        text = [f"set {one[0]}: {_epoch(a)} against {_epoch(b)}" for one, _, a, b in found]
        return Answer(holds, f"median epoch at which it is within the margin of control's peak: {'; '.join(text)}")

    return Rule("No if fine-tuned gets there a whole epoch sooner in some set (median of runs), else yes.", apply)


def _later(ours: float | None, theirs: float) -> Holds:
    return "no" if ours is not None and ours <= theirs - 1 else "yes"


def _reaching(results: Results) -> Iterator[tuple[Reach, Arm]]:
    for row in reaches(results):
        yield row, next(arm for s in results.sets if s.name == row.set for arm in s.arms if arm.name == row.arm)


def rising(over: int = 5) -> Rule:
    def apply(case: Case) -> Answer:
        found = []
        for name, arm in case.arms.items():
            last = int(arm.curve("f1").epochs[-1])
            if last < LAST:
                raise Unknown(f"{called(name)} ends at epoch {last}")
            found.append((name, paired(arm, arm, at(last), at(last - over))))
        holds = all_of([beyond(interval, 0, case.results.margin / 10) for _, interval in found])
        text = "; ".join(f"{called(name)} {told(interval)}" for name, interval in found)
        return Answer(holds, f"rise over the last {over} epochs: {text}")

    words = f"The rise over the last {over} of at least {LAST} epochs: yes if its interval lies wholly above 0, "
    return Rule(f"{words}no if wholly below, or within a tenth of the margin on both sides.", apply)


def peak_near(low: int, high: int) -> Rule:
    def apply(case: Case) -> Answer:
        found = [(called(name), *_top(arm, low, high)) for name, arm in case.arms.items()]
        clear: list[Holds] = ["no" if lead > case.results.margin else "cannot be told" for _, _, lead in found]
        within = all(low <= top <= high for _, top, _ in found)
        above = f"points above the best of epochs {low} to {high}"
        text = "; ".join(f"{name} at epoch {top}, {report.points(lead)} {above}" for name, top, lead in found)
        return Answer("yes" if within else all_of(clear), f"peak of {text}")

    words = f"Over at least {LAST} epochs, yes if the mean curve is highest in epochs {low} to {high}"
    return Rule(f"{words}, no if its peak elsewhere is more than a margin above the best of these.", apply)


def _top(arm: Arm, low: int, high: int) -> tuple[int, float]:
    """The epoch of the mean curve's peak, and by how much the peak is above the best of epochs low to high."""
    curve = arm.curve("f1")
    top, near_by = _long_curve(arm)[0], curve.mean[(curve.epochs >= low) & (curve.epochs <= high)]
    return top, float(curve.mean.max() - near_by.max())


def falls() -> Rule:
    def apply(case: Case) -> Answer:
        drops = {name: _long_curve(arm)[1] for name, arm in case.arms.items()}
        text = "; ".join(f"{called(name)} {report.gap(drop)} points" for name, drop in drops.items())
        down = all(drop < -case.results.margin for drop in drops.values())
        return Answer("yes" if down else "no", f"from the peak to the end: {text}")

    words = "The mean of the last five epochs lies more than one margin below that of the peak and its two neighbours."
    return Rule(words, apply)


def _long_curve(arm: Arm) -> tuple[int, float]:
    """The epoch of the peak, and the mean of the last five epochs minus that of the three around the peak."""
    curve = arm.curve("f1")
    if int(curve.epochs[-1]) < LAST:
        raise Unknown(f"no run of {LAST} epochs")
    top = int(curve.mean.argmax())
    return int(curve.epochs[top]), float(curve.mean[-5:].mean() - curve.mean[max(top - 1, 0) : top + 2].mean())


def less_variance() -> Rule:
    def apply(case: Case) -> Answer:
        f = importlib.import_module("scipy.stats").f
        values = {name: np.array([run.f1[0] for run in arm.distinct]) for name, arm in case.arms.items()}
        if any(len(one) < 2 for one in values.values()):
            raise Unknown("a spread needs two runs in each")
        first, second = values.values()
        ratio = max(second.var(ddof=1), 1e-12) / max(first.var(ddof=1), 1e-12)
        needed, other = (
            f.ppf(0.95, *d) for d in ((len(second) - 1, len(first) - 1), (len(first) - 1, len(second) - 1))
        )
        holds: Holds = "yes" if ratio > needed else "no" if 1 / ratio > other else "cannot be told"
        text = "; ".join(f"{called(name)} {report.points(one.std(ddof=1))}" for name, one in values.items())
        return Answer(holds, f"standard deviation over runs after epoch 1, in points: {text}")

    return Rule("Variance after epoch 1: yes or no where a one-sided F test at 5 % says so, either way.", apply)


def _mean_of(names: Sequence[str], epoch: int) -> Read:
    def read(run: Replicate) -> float:
        return float(np.nanmean([run.per_class()[epoch, run.classes.index(name)] for name in names]))

    return read


def better_classes() -> Rule:
    digits, letters = LABEL_SPACES["digits"], LABEL_SPACES["characters"]

    def apply(case: Case) -> Answer:
        ((_, arm),) = case.arms.items()
        d, c = _mean_of(digits, -1), _mean_of(letters, -1)
        interval = paired(arm, arm, d, c)
        means = [float(np.mean([read(run) for run in arm.distinct])) for read in (d, c)]
        text = f"mean accuracy of a digit {means[0]:.3f}, of a letter {means[1]:.3f}: {told(interval)}"
        return Answer(beyond(interval, MUCH, case.results.margin), text)

    return Rule(_much("digits minus letters, mean accuracy of a class, last epoch"), apply)


def nine_wrong() -> Rule:
    def apply(case: Case) -> Answer:
        ((_, arm),) = case.arms.items()
        first = np.mean([run.per_class()[0] for run in arm.distinct], axis=0)
        by_name = dict(zip(arm.classes, first.tolist(), strict=True))
        zero = [name for name in NINE if by_name[name] == 0]
        some = [f"{name} {by_name[name]:.3f}" for name in NINE if by_name[name] != 0]
        others = [name for name, value in by_name.items() if value == 0 and name not in NINE]
        text = f"0 in every run: {' '.join(zero) or 'none'}; not 0: {', '.join(some) or 'none'}"
        text += f"; 0 besides these: {' '.join(others) or 'none'}"
        return Answer("no" if some else "yes", text)

    return Rule("Each of the nine has an accuracy of 0 after epoch 1 in every run.", apply)


def little_gain() -> Rule:
    def apply(case: Case) -> Answer:
        ((_, arm),) = case.arms.items()
        last, first = _mean_of(NINE, -1), _mean_of(NINE, 0)
        interval = paired(arm, arm, last, first)
        ends = [float(np.mean([read(run) for run in arm.distinct])) for read in (first, last)]
        text = f"mean accuracy of the nine, first and last epoch: {ends[0]:.3f}, {ends[1]:.3f}: {told(interval)}"
        return Answer(_without(beyond(interval, MUCH, case.results.margin)), text)

    words = f"{100 * MUCH:g} points of accuracy (mean of the nine, last epoch minus first)"
    return Rule(f"Yes if the interval of the gain lies wholly below {words}, no if wholly above.", apply)


def regained() -> Rule:
    def apply(case: Case) -> Answer:
        ((a, b),) = case.pairs
        interval = paired(case.arms[a], case.arms[b], _mean_of(NINE, -1))
        return Answer(
            beyond(interval, MUCH, case.results.margin), f"{_versus(a, b)}, the nine, last epoch: {told(interval)}"
        )

    return Rule(_much("fine-tuned minus frozen, mean accuracy of the nine, last epoch"), apply)


def _much(what: str) -> str:
    return f"{what[0].upper()}{what[1:]}: yes if its interval lies wholly above {100 * MUCH:g} points, no if below."


def called(name: str) -> str:
    """A role in words: `2 control` is `set 2 control`."""
    for word, note in ((" long", " in the long run"), (" other", ", other batch norm")):
        if word in name:
            return f"set {name.replace(word, '')}{note}"
    return f"set {name}"


def _versus(a: str, b: str) -> str:
    (one, ours), (other, theirs) = (called(name)[4:].split(" ", 1) for name in (a, b))
    return f"set {one}, {ours} − {theirs}" if one == other else f"{ours}, set {one} − set {other}"


def _epoch(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"
