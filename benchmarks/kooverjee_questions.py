"""What Kooverjee, James and van Zyl (2020) leave open, answered from the runs of a study of their sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Analysis, Overlap, StopCost
from inkshift.studies.report.compare import Comparison
from inkshift.studies.report.results import Arm, Results
from inkshift.studies.stats import PAIRED, Interval, t_interval
from kooverjee_findings import SPACES, Arms, sets_of
from kooverjee_rules import FAR, LAST, Holds, Unknown, all_of, at, beyond, called, inside, paired, peak, told

ASKED = {
    "14": "What does it change whether batch normalisation adapts in a frozen network? The paper does not say what "
    "its own did.",
    "15": "How far does a network get with nothing learned on the target (as-is, Pacchiotti 2023)?",
    "16": "The paper stops on the test loss (III-B). What does choosing the epoch by it gain over held-out images?",
    "18": "SD19 is dark on white, MNIST light on dark, and the paper mentions no inversion. Which ink polarity fits "
    "what it saw of its frozen networks: below control, and still rising at the end?",
    "17": "MNIST was drawn from the forms of SD19. Do near-duplicates make up the scores?",
}


def questions(analysis: Analysis, arms: Arms) -> list[tuple[str, str, str]]:
    """Number, question, answer."""
    answers: dict[str, Callable[[Analysis, Arms], str]] = {
        "14": _norms,
        "15": _as_is,
        "16": _stops,
        "18": _polarity,
        "17": _overlap,
    }
    found = []
    for number, question in ASKED.items():
        try:
            found.append((number, question, answers[number](analysis, arms)))
        except Unknown as e:
            found.append((number, question, f"Cannot be told: {e}."))
    return found


def _need(arms: Arms, *names: str) -> list[Arm]:
    absent = [called(name) for name in names if name not in arms or not arms[name].replicates]
    if absent:
        raise Unknown(f"no finished run of {', '.join(absent)}")
    return [arms[name] for name in names]


def _norms(analysis: Analysis, arms: Arms) -> str:
    """Both policies at the last epoch that both reach; the one nearer to the paper is the one that fits 3a alone."""
    number = next((n for n in SPACES if f"{n} other frozen" in arms), "")
    if not number:
        raise Unknown("no set was run with the other batch normalisation")
    usual, other, control = _need(arms, f"{number} frozen", f"{number} other frozen", f"{number} control")
    epoch = min(int(arm.curve("f1").epochs[-1]) for arm in (usual, other))
    norms = {_norm(analysis.results, number, arm): arm for arm in (other, usual)}
    below = {name: paired(control, arm, peak, at(epoch)) for name, arm in norms.items()}
    fits = [name for name, interval in below.items() if interval.low is not None and interval.low > 0]
    text = f"Set {number} after epoch {epoch}, {' − '.join(norms)}: {told(paired(other, usual, at(epoch)))}. "
    text += "Control’s peak is ahead of " + ", of ".join(f"{name} by {told(one)}" for name, one in below.items()) + ". "
    if len(fits) == 1:
        return text + f"The paper has frozen below control here, which fits {fits[0]} alone."
    return text + (
        "The paper has frozen below control here, and prints no number for it in its text; "
        f"{'both fit' if fits else 'neither fits surely'}, so which of the two is nearer to it cannot be told."
    )


class Polarity(NamedTuple):
    """Frozen networks of one set, ink polarity and batch norm (`name`), held against what the paper saw of its own.

    below: control minus these at the peak. rise: over the last five epochs. worse: considerably worse than control, as
    in finding 12a; rising: as in 3b; able: in set 1, whether more than half of the digits are read.
    """

    number: str
    name: str
    arm: Arm
    below: Interval | None
    rise: Interval
    worse: Holds
    rising: Holds
    able: Holds | None

    @property
    def fits(self) -> Holds:
        return all_of([holds for holds in (self.worse, self.rising, self.able) if holds])

    @property
    def worse_by(self) -> str:
        return told(self.below) if self.below else report.NONE

    @property
    def last(self) -> int:
        return int(self.arm.curve("f1").epochs[-1])

    def f1(self, epoch: int) -> str:
        """Mean over replicates after an epoch."""
        curve = self.arm.curve("f1")
        return report.f1(float(curve.mean[curve.epochs == epoch][0])) if epoch in curve.epochs else report.NONE


def polarities(results: Results, arms: Arms) -> list[Polarity]:
    """Each set's frozen arms that have a finished run, held against the set's control where that has one."""
    found = []
    for number in SPACES:
        for kind in ("", "other ", "opposite ", "opposite adapt "):
            arm = arms.get(f"{number} {kind}frozen")
            controls = [
                arms.get(f"{number} opposite control" if "opposite" in kind else ""),
                arms.get(f"{number} control"),
            ]
            control = next((one for one in controls if one and one.replicates), None)
            if not (arm and arm.replicates):
                continue
            last = int(arm.curve("f1").epochs[-1])
            below, rise = control and paired(control, arm, peak), paired(arm, arm, at(last), at(max(last - 5, 1)))
            rising = beyond(rise, 0, results.margin / 10) if last >= LAST else "cannot be told"
            worse = beyond(below, FAR, results.margin) if below else "cannot be told"
            able = (
                inside(t_interval([at(last)(run) for run in arm.distinct], PAIRED), 0.5, 1) if number == "1" else None
            )
            name = f"{'opposite' if 'opposite' in kind else 'same'} polarity, {_norm(results, number, arm)}"
            found.append(Polarity(number, name, arm, below, rise, worse, rising, able))
    return found


def agreement(rows: Sequence[Polarity]) -> str:
    """Which of a set's arms agree with the paper, in words."""
    by_answer = {holds: [row.name for row in rows if row.fits == holds] for holds in ("yes", "no", "cannot be told")}
    words = {"yes": "agrees with the paper", "no": "does not agree", "cannot be told": "cannot be told"}
    return "; ".join(f"{words[holds]}: {' and '.join(names)}" for holds, names in by_answer.items() if names)


def _polarity(analysis: Analysis, arms: Arms) -> str:
    """Each polarity against both of the paper's observations; set 3, whose source and target are one, is no test."""
    every, parts = polarities(analysis.results, arms), []
    for number in SPACES:
        rows = [row for row in every if row.number == number]
        if not any("opposite" in row.name for row in rows):
            continue
        for row in rows:
            shown = dict.fromkeys(epoch for epoch in (1, 6, row.last) if epoch <= row.last)
            parts.append(
                f"Set {number}, {row.name}: F1 {', '.join(map(row.f1, shown))} at epochs {', '.join(map(str, shown))}; "
                f"control − frozen at the peak {row.worse_by}; rise over the last 5 epochs {told(row.rise)}."
            )
        parts.append(f"Set {number}, {agreement(rows)}.")
    if not parts:
        raise Unknown("no set was run with source and target of opposite polarity")
    return " ".join(parts) + " Set 3 has one polarity by its nature, and is the control of the explanation."


def _norm(results: Results, number: str, arm: Arm) -> str:
    (study_set,) = (s for s in sets_of(results, number) if arm in s.arms)
    return str(results.settings_of(study_set, arm).get("batch_norm", "?"))


def _as_is(analysis: Analysis, arms: Arms) -> str:
    (arm,) = _need(arms, next((f"{n} as-is" for n in SPACES if f"{n} as-is" in arms), "1 as-is"))
    row = next(row for row in analysis.summaries if row.arm is arm)
    text = f"F1 {report.f1(row.last.mean)} (95 % over images {report.bounds(row.images)}), {row.set}"
    against: list[Comparison] = [
        c for c in analysis.comparisons if (c.set, c.arm, c.measure) == (row.set, arm.name, "peak")
    ]
    return (
        text
        + "".join(f"; against {c.baseline} of {c.baseline_set} at its peak {told(c.interval)}" for c in against)
        + "."
    )


def _stops(analysis: Analysis, arms: Arms) -> str:
    rows: list[StopCost] = [row for row in analysis.stops if row.optimism]
    if not rows:
        raise Unknown("no finished run has both losses")
    worth = [(row.optimism.mean, row) for row in rows if row.optimism]
    low, high = min(worth, key=lambda one: one[0]), max(worth, key=lambda one: one[0])
    fired = [epoch for row in rows for epoch in row.fired]
    runs = {run.digest: run for s in analysis.results.sets for arm in s.arms for run in arm.replicates}
    early = sum(run.stopped == "as-published" for run in runs.values())
    clear = [f"{row.arm} of {row.set}" for _, row in worth if row.optimism and (row.optimism.low or 0) > 0]
    mean = sum(value for value, _ in worth) / len(worth)
    return (
        f"F1 at the epoch of lowest test loss minus F1 at that of lowest validation loss, over {len(worth)} arms: "
        f"{report.gap(mean)} points on average, from {report.gap(low[0])} ({low[1].arm} of {low[1].set}) to "
        f"{report.gap(high[0])} ({high[1].arm} of {high[1].set}); the 90 % interval is wholly above 0 in "
        f"{', '.join(clear) or 'none'}. The paper’s rule, a change of the test loss below {rows[0].tolerance:g}, "
        f"came true in {sum(epoch is not None for epoch in fired)} of {len(fired)} runs and ended {early} of them."
    )


def _overlap(analysis: Analysis, arms: Arms) -> str:
    if not analysis.overlaps:
        raise Unknown("the overlap audit has not been run")
    parts = [_audited(row) for row in analysis.overlaps]
    return analysis.overlaps[0].method + " " + " ".join(dict.fromkeys(parts))


def _audited(row: Overlap) -> str:
    scores = [f"{one.arm} {report.f1(one.all)} with, {report.f1(one.without)} without" for one in row.arms]
    text = f"{row.set}: {row.rows} of {row.test_images:,} test images ({100 * row.rows / row.test_images:.1f} %)"
    return f"{text}; F1 at the last epoch {'; '.join(scores)}." if scores else f"{text}; no run is finished."
