"""What Kooverjee, James and van Zyl (2020) found, claim by claim, and the rule by which a study's runs decide on each.

A rule has three answers. It says yes or no only where an interval or a number allows it, else that it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from inkshift.datasets.tasks import LABEL_SPACES
from inkshift.transfer import report
from inkshift.transfer.compare import PAIRED, Interval, decide, t_interval
from inkshift.transfer.results import Arm, Floats, Replicate, Results, Set
from inkshift.transfer.stopping import reaches

Holds = Literal["yes", "no", "cannot be told"]
Arms = dict[str, Arm]
Read = Callable[[Replicate], float]
SPACES = {"1": "digits", "2": "digits+characters", "3": "characters"}
NINE = tuple("cfgmopsuv")
FAR, MUCH = 0.05, 0.10  # of F1, and of a class's accuracy
LAST = 20  # epochs in the paper


class Unknown(Exception):
    """Why a rule cannot be applied."""


class Answer(NamedTuple):
    holds: Holds
    ours: str


class Rule(NamedTuple):
    """words: what has to be the case, in words; apply: the same in code, on the arms a claim is about, by role."""

    words: str
    apply: Callable[[Results, Arms], Answer]


class Claim(NamedTuple):
    """says: the paper, in `section`; arms: roles, comma-separated; reasons: keys of `reasons`, should ours differ."""

    number: str
    section: str
    says: str
    arms: str
    rule: Rule
    reasons: str = "amount size epochs split"


def sets_of(results: Results, number: str) -> list[Set]:
    """The study's sets with the tasks of the paper's set 1, 2 or 3: digits to what."""
    target = set(LABEL_SPACES[SPACES[number]])
    spaces = [(s, set(s.source["labels"]), set(s.target["labels"])) for s in results.sets]
    return [s for s, source, theirs in spaces if source == set(LABEL_SPACES["digits"]) and theirs == target]


def main_set(results: Results, number: str) -> Set | None:
    """The one with the most replicates among the sets of these tasks that have a control."""
    return max(_controlled(results, number), key=lambda s: sum(arm.planned for arm in s.arms), default=None)


def _controlled(results: Results, number: str) -> list[Set]:
    return [s for s in sets_of(results, number) if any(arm.regime == "control" for arm in s.arms)]


def roles(results: Results) -> Arms:
    """Arms by what they are in the paper's terms: `1 control`, `2 long control`, `1 other frozen`, `1 as-is`, ...

    long: of the set with a control that runs for most epochs; other frozen: with the other batch normalisation.
    """
    found: Arms = {}
    for number in SPACES:
        main = main_set(results, number)
        if main is None:
            continue
        found |= {f"{number} {arm.regime}": arm for arm in reversed(main.arms)}
        long = max(_controlled(results, number), key=lambda s: _epochs(results, s))
        found |= {f"{number} long {arm.regime}": arm for arm in reversed(long.arms)}
        for study_set in sets_of(results, number):
            for arm in study_set.arms:
                if arm.regime == "as-is":
                    found.setdefault(f"{number} as-is", arm)
                if arm.regime == "frozen" and _norm(results, study_set, arm) != _main_norm(results, main):
                    found.setdefault(f"{number} other frozen", arm)
    return found


def _epochs(results: Results, study_set: Set) -> int:
    controls = [arm for arm in study_set.arms if arm.regime == "control"]
    return int(results.settings_of(study_set, controls[0]).get("epochs", 0))


def _norm(results: Results, study_set: Set, arm: Arm) -> str:
    return str(results.settings_of(study_set, arm).get("batch_norm", ""))


def _main_norm(results: Results, main: Set) -> str:
    arms = [arm for arm in main.arms if arm.regime == "frozen"]
    return _norm(results, main, arms[0]) if arms else str(results.settings.get("batch_norm", ""))


def judge(claim: Claim, results: Results, arms: Arms) -> Answer:
    """What a study's runs say of a claim, with how many runs that rests on where some are missing."""
    names = list(dict.fromkeys(claim.arms.split(", ")))
    absent = [name for name in names if name not in arms or not arms[name].replicates]
    if absent:
        return Answer("cannot be told", f"no finished run of {_listed(f'set {name}' for name in absent)}")
    try:
        answer = claim.rule.apply(results, {name: arms[name] for name in claim.arms.split(", ")})
    except Unknown as e:
        answer = Answer("cannot be told", str(e))
    partial = [(name, arms[name]) for name in names if len(arms[name].replicates) < arms[name].planned]
    notes = [f"set {name}: {len(arm.replicates)} of {arm.planned} runs" for name, arm in partial]
    return answer._replace(ours=answer.ours + (f" ({'; '.join(notes)})" if notes else ""))


def reasons(results: Results) -> dict[str, str]:
    """Where this study departs from the paper, by a short name: possible reasons for another outcome."""
    s = results.settings
    side = re.search(r"resize\((\d+)", str(s.get("reframing", "")))
    emnist = any("emnist" in str(study_set.target["data"]) for study_set in results.sets)
    found = {
        "size": side and side[1] != "128" and f"pictures of {side[1]} px, not 128",
        "upscaling": side and side[1] != "128" and f"MNIST's 28 px go to {side[1]}, not to 128, which blurs them less",
        "amount": s.get("train_images")
        and f"{s['train_images']:,} training images; SD19's `train` has 344,307 digits, 731,668 with the characters",
        "epochs": int(s.get("epochs", LAST)) < LAST
        and f"{s['epochs']} epochs (sources {s.get('source_epochs', '?')}), not up to {LAST}",
        "split": emnist and "EMNIST's form of SD19, split at random over writers and with letter-case noise in its "
        "labels, not `train` against `hsf_4`",
        "unsaid": f"batch size, averaging of F1 and batch normalisation, which the paper leaves unsaid (ours: "
        f"{s.get('batch', '?')}, {results.average}, {s.get('batch_norm', '?')})",
        "runs": f"{max((arm.planned for one in results.sets for arm in one.arms), default=0)} replicates, not 30",
    }
    return {name: str(text) for name, text in found.items() if text}


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
    def apply(results: Results, arms: Arms) -> Answer:
        curves = {name: arm.curve("f1").mean.max() for name, arm in arms.items()}
        fits = all(abs(top - value) <= within for top in curves.values())
        text = "; ".join(f"{_bare(name)} {report.f1(float(top))}" for name, top in curves.items())
        return Answer("yes" if fits else "no", f"peak of the mean curve: {text}")

    return Rule(f"The peak of the mean curve lies within {100 * within:g} points of {value:.2f}.", apply)


def settled(epochs: int = 3) -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        tails = {name: arm.curve("f1").mean[-epochs:] for name, arm in arms.items()}
        if any(len(tail) < epochs for tail in tails.values()):
            raise Unknown(f"fewer than {epochs} epochs")
        flat = all(np.ptp(tail) <= results.margin for tail in tails.values())
        text = "; ".join(f"{_bare(name)} {', '.join(report.f1(v) for v in tail)}" for name, tail in tails.items())
        return Answer("yes" if flat else "no", f"last {epochs} epochs of the mean curve: {text}")

    return Rule(f"The mean curve's last {epochs} epochs lie within one margin of each other.", apply)


def ahead(reads: dict[str, Read], by: float = 0.0) -> Rule:
    """The first of each two arms is ahead of the second in all `reads`."""

    def apply(results: Results, arms: Arms) -> Answer:
        found = [
            (f"{_versus(a, b)}, {word}", paired(arms[a], arms[b], read))
            for a, b in _twos(arms)
            for word, read in reads.items()
        ]
        holds = all_of([beyond(interval, by, results.margin) for _, interval in found])
        return Answer(holds, "; ".join(f"{name}: {told(interval)}" for name, interval in found))

    where = f"{100 * by:g} points" if by else "0"
    no = "wholly below that" + ("" if by else ", or within the margin on both sides of 0")
    return Rule(f"Yes if the interval of each difference lies wholly above {where}, no if one lies {no}.", apply)


def alike(word: str, read: Read) -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        ((a, b),) = _twos(arms)
        interval = paired(arms[a], arms[b], read)
        verdict = decide(interval, results.margin)
        holds: Holds = "yes" if verdict == "alike" else "cannot be told" if verdict == "undecided" else "no"
        return Answer(holds, f"{_versus(a, b)}, {word}: {told(interval)}, {verdict}")

    return Rule("Yes if the interval lies within the margin, no if wholly beyond it.", apply)


def not_ahead() -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        found = [(_versus(a, b), paired(arms[a], arms[b], peak)) for a, b in _twos(arms)]
        holds = all_of([_without(beyond(interval, results.margin, results.margin)) for _, interval in found])
        return Answer(holds, "at the peak, " + "; ".join(f"{name}: {told(interval)}" for name, interval in found))

    return Rule("Yes if in no set the interval of the difference reaches above the margin, no if one is beyond.", apply)


def _without(holds: Holds) -> Holds:
    return {"yes": "no", "no": "yes"}.get(holds, "cannot be told")  # type: ignore[return-value]


def not_sooner() -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        medians = {id(arm): row.median for row, arm in _reaching(results)}
        found = [(a, b, medians.get(id(arms[a])), medians.get(id(arms[b]))) for a, b in _twos(arms)]
        holds = all_of(["cannot be told" if b is None else _later(a, b) for _, _, a, b in found])
        text = [f"set {one[0]}: {_epoch(a)} against {_epoch(b)}" for one, _, a, b in found]
        return Answer(holds, f"median epoch at which it is within the margin of control's peak: {'; '.join(text)}")

    return Rule("No if fine-tuned gets there a whole epoch sooner in some set (median of runs), else yes.", apply)


def _later(ours: float | None, theirs: float) -> Holds:
    return "no" if ours is not None and ours <= theirs - 1 else "yes"


def _reaching(results: Results) -> Iterator[tuple[Any, Arm]]:
    for row in reaches(results):
        yield row, next(arm for s in results.sets if s.name == row.set for arm in s.arms if arm.name == row.arm)


def rising(over: int = 5) -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        found = []
        for name, arm in arms.items():
            last = int(arm.curve("f1").epochs[-1])
            if last < LAST:
                raise Unknown(f"{_bare(name)} ends at epoch {last}")
            found.append((name, paired(arm, arm, at(last), at(last - over))))
        holds = all_of([beyond(interval, 0, results.margin / 10) for _, interval in found])
        text = "; ".join(f"{_bare(name)} {told(interval)}" for name, interval in found)
        return Answer(holds, f"rise over the last {over} epochs: {text}")

    words = f"The rise over the last {over} of at least {LAST} epochs: yes if its interval lies wholly above 0, "
    return Rule(f"{words}no if wholly below, or within a tenth of the margin on both sides.", apply)


def peak_near(low: int, high: int) -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        tops = {name: _long_curve(arm)[0] for name, arm in arms.items()}
        text = "; ".join(f"{_bare(name)} at epoch {top}" for name, top in tops.items())
        return Answer("yes" if all(low <= top <= high for top in tops.values()) else "no", f"peak of {text}")

    return Rule(f"Over at least {LAST} epochs, the mean curve is highest in epochs {low} to {high}.", apply)


def falls() -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        drops = {name: _long_curve(arm)[1] for name, arm in arms.items()}
        text = "; ".join(f"{_bare(name)} {report.gap(drop)} points" for name, drop in drops.items())
        down = all(drop < -results.margin for drop in drops.values())
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
    def apply(results: Results, arms: Arms) -> Answer:
        from scipy.stats import f

        values = {name: np.array([run.f1[0] for run in arm.distinct]) for name, arm in arms.items()}
        if any(len(one) < 2 for one in values.values()):
            raise Unknown("a spread needs two runs in each")
        first, second = values.values()
        ratio = second.var(ddof=1) / max(first.var(ddof=1), 1e-12)
        needed, other = (f.ppf(0.95, *d) for d in ((len(second) - 1, len(first) - 1), (len(first) - 1, len(second) - 1)))
        holds: Holds = "yes" if ratio > needed else "no" if 1 / ratio > other else "cannot be told"
        text = "; ".join(f"{_bare(name)} {report.points(one.std(ddof=1))}" for name, one in values.items())
        return Answer(holds, f"standard deviation over runs after epoch 1, in points: {text}")

    return Rule("Variance after epoch 1: yes or no where a one-sided F test at 5 % says so, either way.", apply)


def _mean_of(run: Replicate, names: Sequence[str], epoch: int) -> float:
    return float(np.nanmean([run.per_class()[epoch, run.classes.index(name)] for name in names]))


def better_classes() -> Rule:
    digits, letters = LABEL_SPACES["digits"], LABEL_SPACES["characters"]

    def apply(results: Results, arms: Arms) -> Answer:
        ((_, arm),) = arms.items()
        d, c = (lambda run: _mean_of(run, digits, -1)), (lambda run: _mean_of(run, letters, -1))
        interval = paired(arm, arm, d, c)
        means = [float(np.mean([read(run) for run in arm.distinct])) for read in (d, c)]
        text = f"mean accuracy of a digit {means[0]:.3f}, of a letter {means[1]:.3f}: {told(interval)}"
        return Answer(beyond(interval, MUCH, results.margin), text)

    return Rule(_much("digits minus letters, mean accuracy of a class, last epoch"), apply)


def nine_wrong() -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        ((_, arm),) = arms.items()
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
    def apply(results: Results, arms: Arms) -> Answer:
        ((_, arm),) = arms.items()
        last, first = (lambda run: _mean_of(run, NINE, -1)), (lambda run: _mean_of(run, NINE, 0))
        interval = paired(arm, arm, last, first)
        ends = [float(np.mean([read(run) for run in arm.distinct])) for read in (first, last)]
        text = f"mean accuracy of the nine, first and last epoch: {ends[0]:.3f}, {ends[1]:.3f}: {told(interval)}"
        return Answer(_without(beyond(interval, MUCH, results.margin)), text)

    words = f"{100 * MUCH:g} points of accuracy (mean of the nine, last epoch minus first)"
    return Rule(f"Yes if the interval of the gain lies wholly below {words}, no if wholly above.", apply)


def regained() -> Rule:
    def apply(results: Results, arms: Arms) -> Answer:
        ((a, b),) = _twos(arms)
        interval = paired(arms[a], arms[b], lambda run: _mean_of(run, NINE, -1))
        return Answer(beyond(interval, MUCH, results.margin), f"{_versus(a, b)}, the nine, last epoch: {told(interval)}")

    return Rule(_much("fine-tuned minus frozen, mean accuracy of the nine, last epoch"), apply)


def _much(what: str) -> str:
    return f"{what[0].upper()}{what[1:]}: yes if its interval lies wholly above {100 * MUCH:g} points, no if below."


def _twos(arms: Arms) -> list[tuple[str, str]]:
    raise NotImplementedError


def _bare(name: str) -> str:
    return name


def _versus(a: str, b: str) -> str:
    return f"{a} - {b}"


def _epoch(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"


def _listed(names: Any) -> str:
    return ", ".join(names)
