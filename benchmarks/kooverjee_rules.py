"""Rules that decide from a study's runs whether something the paper found holds: yes, no, or it cannot be told.

A rule says yes or no only where an interval allows it, over three runs or more: no point, median or single run decides.
Differences are paired by replicate, at 90 %. A difference that counts as alike is not called ahead or behind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from inkshift.datasets.tasks import LABEL_SPACES
from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Reach, reaches
from inkshift.studies.report.results import Arm, LearningCurve, Replicate, Results, Set
from inkshift.studies.stats import FEWEST, GAP, PAIRED, SHARE, Interval, decide, scipy, t_interval, unfit

Holds = Literal["yes", "no", "cannot be told"]
Read = Callable[[Replicate], float]
NINE = tuple("cfgmopsuv")  # wrong without exception after one frozen epoch, section IV-B
FAR, MUCH = 0.05, 0.10  # of F1, and of a class's accuracy
LAST = 20  # epochs in the paper
# Steps in an epoch of the paper: SD19's training images of digits, of all classes and of characters, in batches of 128.
PAPER_STEPS = {"1": 2690, "2": 5717, "3": 3027}


class Unknown(Exception):
    """Why a rule cannot be applied."""


class Answer(NamedTuple):
    holds: Holds
    ours: str


class Case(NamedTuple):
    """What a claim is about: arms by role, such as `1 frozen`, each with a finished run, and which two to compare.

    level: of the intervals that decide it.
    """

    results: Results
    arms: dict[str, Arm]
    pairs: list[tuple[str, str]]
    level: float = PAIRED


class Rule(NamedTuple):
    """words: what has to be the case, in words; apply: the same in code; may raise Unknown."""

    words: str
    apply: Callable[[Case], Answer]


def share_interval(hits: int, of: int, level: float) -> Interval:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    inverse, tail = scipy("special").betaincinv, (1 - level) / 2
    low = float(inverse(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(inverse(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return Interval(hits / of, low, high, level, of)


def peak(run: Replicate) -> float:
    return float(run.f1.max())


def at(epoch: int) -> Read:
    def read(run: Replicate) -> float:
        found = run.f1[run.epochs == epoch]
        return float(found[0]) if len(found) else float("nan")

    return read


def paired(arm: Arm, other: Arm, read: Read, other_read: Read | None = None, level: float = PAIRED) -> Interval:
    """Interval of arm minus other, both shares, over the replicates that both finished. Raises Unknown if there is
    none."""
    theirs = {run.number: run for run in other.replicates}
    runs = [(run, theirs[run.number]) for run in arm.replicates if run.number in theirs]
    values = np.array([read(a) - (other_read or read)(b) for a, b in runs])
    values = values[np.isfinite(values)]
    if not len(values):
        raise Unknown("no replicate is finished in both, or none reaches that epoch")
    return t_interval(values, level, GAP)


def beyond(interval: Interval, limit: float, margin: float) -> Holds:
    """yes: wholly above `limit`; no: wholly below it, or for a limit of 0 within the margin on either side."""
    if interval.low is None or interval.high is None or unfit(interval):
        return "cannot be told"
    if limit == 0 and decide(interval, margin) == "alike":
        return "no"
    if interval.low > limit:
        return "yes"
    return "no" if interval.high < limit else "cannot be told"


def inside(interval: Interval, low: float, high: float) -> Holds:
    """yes: the interval within low to high; no: wholly outside."""
    if interval.low is None or interval.high is None or unfit(interval):
        return "cannot be told"
    if low <= interval.low and interval.high <= high:
        return "yes"
    return "no" if interval.high < low or interval.low > high else "cannot be told"


def all_of(answers: Sequence[Holds]) -> Holds:
    return "no" if "no" in answers else "cannot be told" if "cannot be told" in answers else "yes"


def told(interval: Interval) -> str:
    ends = report.bounds(interval, True)
    return f"{report.gap(interval.mean)} points" + (f" ({ends})" if ends != report.NONE else " (one run, no interval)")


def near(value: float, within: float, at_full_size: bool = False) -> Rule:
    """at_full_size: a level that only SD19 itself at the paper's 128 px can have."""

    def apply(case: Case) -> Answer:
        found = {
            name: t_interval([peak(run) for run in arm.distinct], case.level, SHARE) for name, arm in case.arms.items()
        }
        holds = all_of([inside(one, value - within, value + within) for one in found.values()])
        text = "; ".join(f"{called(name)} {report.f1(one.mean)} ({report.bounds(one)})" for name, one in found.items())
        text = f"mean peak of the runs: {text}"
        return _full_size(case, Answer(holds, text)) if at_full_size else Answer(holds, text)

    words = f"The interval of the runs' mean peak lies within {within:g} of {value:.2f}; no if wholly outside."
    return Rule(words + (FULL_SIZE if at_full_size else ""), apply)


FULL_SIZE = " Only SD19 itself at 128 px can tell."


def _full_size(case: Case, answer: Answer) -> Answer:
    """The answer, or that it cannot be told on other data or pictures of another size."""
    small = "resize(128)" not in str(case.results.settings.get("reframing"))
    if small or not any(str(one.target["data"]) == "nist-sd19" for one in case.results.sets):
        return Answer("cannot be told", f"{answer.ours}; needs SD19 at 128 px")
    return answer


def settled(epochs: int = 3) -> Rule:
    def apply(case: Case) -> Answer:
        found = []
        for name, arm in case.arms.items():
            last = int(arm.curve("f1").epochs[-1])
            if last < epochs:
                raise Unknown(f"fewer than {epochs} epochs")
            found += [
                (f"{called(name)} epoch {last} − {before}", paired(arm, arm, at(last), at(before), case.level))
                for before in range(last - epochs + 1, last)
            ]
        flat = {"alike": "yes", "ahead": "no", "behind": "no"}
        verdicts = [
            flat.get(decide(one, case.results.margin), "cannot be told") if not unfit(one) else "cannot be told"
            for _, one in found
        ]
        text = "; ".join(f"{name}: {told(one)}" for name, one in found)
        return Answer(all_of(verdicts), text)  # type: ignore[arg-type]

    words = (
        f"Each of the last {epochs} epochs differs from the last by less than the margin: yes if every interval lies "
    )
    return Rule(f"{words}within it, no if one lies wholly beyond.", apply)


def ahead(reads: Mapping[str, Read], by: float = 0.0) -> Rule:
    """The first of each two arms is ahead of the second in all `reads`."""

    def apply(case: Case) -> Answer:
        found = [
            (
                _versus(a, b) + (f", {word}" if len(reads) > 1 else ""),
                paired(case.arms[a], case.arms[b], read, level=case.level),
            )
            for a, b in case.pairs
            for word, read in reads.items()
        ]
        holds = all_of([beyond(interval, by, case.results.margin) for _, interval in found])
        text = "; ".join(f"{name}: {told(interval)}" for name, interval in found)
        return Answer(holds, text if len(reads) > 1 else f"{next(iter(reads))}, {text}")

    where = f"{100 * by:g} points" if by else "0"
    no = "wholly below that" + ("" if by else ", or within the margin on both sides of 0")
    return Rule(f"Yes if the interval of each difference lies wholly above {where}, no if one lies {no}.", apply)


def at_start(rule: Rule) -> Rule:
    """A rule about the paper's first epochs: an epoch there is some thousand steps, so it is held against none here
    that takes far fewer."""

    def apply(case: Case) -> Answer:
        answer = rule.apply(case)
        number = next(iter(case.arms))[0]
        ours = {steps for s, arm in _places(case) if (steps := case.results.steps_of(s, arm))}
        theirs = PAPER_STEPS[number]
        if not ours:
            return Answer("cannot be told", f"{answer.ours}; how many steps an epoch takes is not known")
        if any(abs(steps - theirs) > theirs / 10 for steps in ours):
            text = f"not comparable: an epoch is {' or '.join(f'{n:,}' for n in sorted(ours))} steps, {theirs:,} there"
            return Answer("cannot be told", f"{answer.ours}; {text}")
        return answer

    return Rule(f"{rule.words} Only where an epoch takes as many steps as in the paper, to a tenth.", apply)


def _number(case: Case, arm: Arm) -> str:
    return next(name for name, one in case.arms.items() if one is arm)[0]


def _places(case: Case) -> Iterator[tuple[Set, Arm]]:
    wanted = {id(arm) for arm in case.arms.values()}
    for study_set in case.results.sets:
        yield from ((study_set, arm) for arm in study_set.arms if id(arm) in wanted)


def alike(word: str, read: Read) -> Rule:
    def apply(case: Case) -> Answer:
        ((a, b),) = case.pairs
        interval = paired(case.arms[a], case.arms[b], read, level=case.level)
        verdict = "undecided" if unfit(interval) else decide(interval, case.results.margin)
        holds: Holds = "yes" if verdict == "alike" else "cannot be told" if verdict == "undecided" else "no"
        return Answer(holds, f"{_versus(a, b)}, {word}: {told(interval)}, {verdict}")

    return Rule("Yes if the interval lies within the margin, no if wholly beyond it.", apply)


def not_ahead() -> Rule:
    def apply(case: Case) -> Answer:
        found = [(_versus(a, b), paired(case.arms[a], case.arms[b], peak, level=case.level)) for a, b in case.pairs]
        holds = all_of([_without(beyond(interval, case.results.margin, case.results.margin)) for _, interval in found])
        return Answer(holds, "at the peak, " + "; ".join(f"{name}: {told(interval)}" for name, interval in found))

    return Rule(
        "Yes if no set's interval of the difference reaches above the margin, no if one lies wholly above.", apply
    )


def _without(holds: Holds) -> Holds:
    return {"yes": "no", "no": "yes"}.get(holds, "cannot be told")  # type: ignore[return-value]


def not_sooner() -> Rule:
    def apply(case: Case) -> Answer:
        rows = {id(arm): row for row, arm in _reaching(case.results)}
        found = []
        for a, b in case.pairs:
            if id(case.arms[a]) not in rows or id(case.arms[b]) not in rows:
                raise Unknown(f"no run of {called(a)} or {called(b)} can be followed to control's peak")
            ours, theirs = (
                {
                    run.number: epoch
                    for run, epoch in zip(case.arms[name].distinct, rows[id(case.arms[name])].epochs, strict=True)
                }
                for name in (a, b)
            )
            both = sorted(ours.keys() & theirs.keys())
            sooner = sum((ours[n] or np.inf) <= (theirs[n] or np.inf) - 1 for n in both if ours[n] is not None)
            found.append((a[0], share_interval(sooner, len(both), case.level), sooner))
        holds = all_of([_without(beyond(one, 0.5, 0)) if one.n >= FEWEST else "cannot be told" for _, one, _ in found])
        text = [f"set {number}: {sooner} of {one.n} runs ({report.bounds(one)})" for number, one, sooner in found]
        return Answer(holds, f"within the margin of control's peak a whole epoch sooner than it: {'; '.join(text)}")

    words = "Share of replicates in which fine-tuned gets there a whole epoch sooner: no if its exact interval lies "
    return Rule(f"{words}wholly above a half in some set, yes if wholly below in all.", apply)


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
            found.append((name, paired(arm, arm, at(last), at(last - over), case.level)))
        holds = all_of([beyond(interval, 0, case.results.margin / 10) for _, interval in found])
        text = "; ".join(f"{called(name)} {told(interval)}" for name, interval in found)
        steps = [
            f"set {number}: {each * int(arm.curve('f1').epochs[-1]):,} steps, {PAPER_STEPS[number] * LAST:,} there"
            for s, arm in _places(case)
            if (each := case.results.steps_of(s, arm)) and (number := _number(case, arm))
        ]
        return Answer(holds, f"rise over the last {over} epochs: {'; '.join([text, *steps])}")

    words = f"The rise over the last {over} of at least {LAST} epochs: yes if its interval lies wholly above 0, "
    return Rule(f"{words}no if wholly below, or within a tenth of the margin on both sides.", apply)


def peak_near(low: int, high: int) -> Rule:
    def apply(case: Case) -> Answer:
        found = []
        for name, arm in case.arms.items():
            curve = _long_curve(arm)
            near_by = (curve.epochs >= low) & (curve.epochs <= high)
            best, other = (int(curve.epochs[part][curve.mean[part].argmax()]) for part in (near_by, ~near_by))
            found.append((f"{called(name)}, epoch {best} − {other}", paired(arm, arm, at(best), at(other), case.level)))
        holds = [beyond(one, -case.results.margin, case.results.margin) for _, one in found]
        text = f"best of epochs {low} to {high} minus best of the others: "
        return _full_size(case, Answer(all_of(holds), text + "; ".join(f"{name}: {told(one)}" for name, one in found)))

    words = (
        f"Over at least {LAST} epochs, best of epochs {low} to {high} of the mean curve minus best of the others: yes "
    )
    return Rule(f"{words}if its interval lies wholly above minus one margin, no if below.{FULL_SIZE}", apply)


def falls() -> Rule:
    def apply(case: Case) -> Answer:
        found = []
        for name, arm in case.arms.items():
            curve = _long_curve(arm)
            top = int(curve.mean.argmax())
            around = {int(epoch) for epoch in curve.epochs[max(top - 1, 0) : top + 2]}
            end, start = (_mean_at({int(e) for e in curve.epochs[-5:]}), _mean_at(around))
            found.append((called(name), paired(arm, arm, start, end, case.level)))
        holds = all_of([beyond(one, case.results.margin, case.results.margin) for _, one in found])
        text = "; ".join(f"{name} {told(one)}" for name, one in found)
        return _full_size(case, Answer(holds, f"the peak minus the end: {text}"))

    words = "Mean of the peak of the mean curve and its two neighbours minus that of the last five epochs: yes if its "
    return Rule(f"{words}interval lies wholly above one margin, no if below.{FULL_SIZE}", apply)


def _mean_at(epochs: set[int]) -> Read:
    def read(run: Replicate) -> float:
        return float(run.f1[np.isin(run.epochs, sorted(epochs))].mean())

    return read


def _long_curve(arm: Arm) -> LearningCurve:
    curve = arm.curve("f1")
    if int(curve.epochs[-1]) < LAST:
        raise Unknown(f"no run of {LAST} epochs")
    return curve


def less_variance() -> Rule:
    def apply(case: Case) -> Answer:
        f = importlib.import_module("scipy.stats").f
        values = {name: np.array([run.f1[0] for run in arm.distinct]) for name, arm in case.arms.items()}
        if any(len(one) < FEWEST for one in values.values()):
            raise Unknown(f"a spread needs {FEWEST} runs in each")
        first, second = values.values()
        ratio = max(second.var(ddof=1), 1e-12) / max(first.var(ddof=1), 1e-12)
        free, one_sided = (len(second) - 1, len(first) - 1), (1 + case.level) / 2
        needed, other = f.ppf(one_sided, *free), f.ppf(one_sided, *free[::-1])
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
        interval = paired(arm, arm, d, c, case.level)
        means = [float(np.mean([read(run) for run in arm.distinct])) for read in (d, c)]
        text = f"mean accuracy of a digit {means[0]:.3f}, of a letter {means[1]:.3f}: {told(interval)}"
        return Answer(beyond(interval, MUCH, case.results.margin), text)

    return Rule(_much("digits minus letters, mean accuracy of a class, last epoch"), apply)


def nine_wrong() -> Rule:
    def apply(case: Case) -> Answer:
        ((_, arm),) = case.arms.items()
        first = np.array([run.per_class()[0] for run in arm.distinct])
        by_name = dict(zip(arm.classes, first.T, strict=True))
        each = 1 - (1 - case.level) / len(NINE)  # nine are tested at once
        nine = {name: t_interval(by_name[name], each, SHARE) for name in NINE}
        some = [f"{name} {one.mean:.3f}" for name, one in nine.items() if one.mean > 0]
        others = [name for name, values in by_name.items() if not values.any() and name not in NINE]
        text = f"0 in every run: {' '.join(n for n in NINE if not by_name[n].any()) or 'none'}; "
        text += f"not 0: {', '.join(some) or 'none'}; 0 besides these: {' '.join(others) or 'none'}"
        if len(first) >= FEWEST and not some:
            return Answer("yes", text)
        surely = any(beyond(one, 0, 0) == "yes" for one in nine.values())
        return Answer("no" if surely else "cannot be told", text)

    words = (
        f"Yes if each of the nine has an accuracy of 0 after epoch 1 in every one of {FEWEST} runs or more; no if the "
    )
    return Rule(f"{words}interval of one's mean lies wholly above 0, the nine tested at once.", apply)


def little_gain() -> Rule:
    def apply(case: Case) -> Answer:
        ((_, arm),) = case.arms.items()
        last, first = _mean_of(NINE, -1), _mean_of(NINE, 0)
        interval = paired(arm, arm, last, first, case.level)
        ends = [float(np.mean([read(run) for run in arm.distinct])) for read in (first, last)]
        text = f"mean accuracy of the nine, first and last epoch: {ends[0]:.3f}, {ends[1]:.3f}: {told(interval)}"
        return Answer(_without(beyond(interval, MUCH, case.results.margin)), text)

    words = f"{100 * MUCH:g} points of accuracy (mean of the nine, last epoch minus first)"
    return Rule(f"Yes if the interval of the gain lies wholly below {words}, no if wholly above.", apply)


def regained() -> Rule:
    def apply(case: Case) -> Answer:
        ((a, b),) = case.pairs
        interval = paired(case.arms[a], case.arms[b], _mean_of(NINE, -1), level=case.level)
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
