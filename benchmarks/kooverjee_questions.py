"""What Kooverjee, James and van Zyl (2020) leave open, answered from the runs of a study of their sets."""

from __future__ import annotations

from collections.abc import Callable

from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import Analysis
from inkshift.studies.report.compare import Comparison
from inkshift.studies.report.duplicates import Overlap
from inkshift.studies.report.results import Arm
from inkshift.studies.report.stopping import StopCost
from kooverjee_findings import SPACES, Arms, sets_of
from kooverjee_rules import LAST, Holds, Unknown, all_of, at, beyond, called, paired, peak, told

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
    norms = {_norm(analysis, number, arm): arm for arm in (other, usual)}
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


def _polarity(analysis: Analysis, arms: Arms) -> str:
    """Each polarity against both of the paper's observations; set 3, whose source and target are one, is no test."""
    margin, parts = analysis.results.margin, []
    for number in SPACES:
        kinds = ("", "opposite ", "opposite adapt ")
        frozen = {kind: arms[f"{number} {kind}frozen"] for kind in kinds if f"{number} {kind}frozen" in arms}
        frozen = {kind: arm for kind, arm in frozen.items() if arm.replicates}
        if len(frozen) < 2 or "" not in frozen:
            continue
        fits: dict[str, Holds] = {}
        words = []
        for kind, arm in frozen.items():
            usual = f"{number} control"
            (control,) = _need(
                arms, f"{number} opposite control" if kind and f"{number} opposite control" in arms else usual
            )
            last = int(arm.curve("f1").epochs[-1])
            below = paired(control, arm, peak)
            rise = paired(arm, arm, at(last), at(max(last - 5, 1)))
            name = {"": "same polarity", "opposite ": "opposite", "opposite adapt ": "opposite, statistics adapt"}[kind]
            fits[name] = all_of([beyond(below, margin, margin), beyond(rise, 0, margin / 10)])
            if last < LAST:
                fits[name] = "cannot be told"
            curve = arm.curve("f1")
            shown = [e for e in (1, 6, last) if e in curve.epochs]
            scores = ", ".join(report.f1(float(curve.mean[curve.epochs == e][0])) for e in dict.fromkeys(shown))
            at_epochs = ", ".join(map(str, dict.fromkeys(shown)))
            words.append(
                f"{name}: F1 {scores} at epochs {at_epochs}; control − frozen at the peak {told(below)}; rise over the "
                f"last 5 epochs {told(rise)}: fits {'' if fits[name] != 'cannot be told' else '– '}{fits[name]}"
            )
        agree = [name for name, holds in fits.items() if holds == "yes"]
        verdict = (
            f"what agrees with the paper: {' and '.join(agree)}" if agree else "none is shown to agree with the paper"
        )
        parts.append(f"Set {number}, {'. '.join(words)}; {verdict}.")
    if not parts:
        raise Unknown("no set was run with source and target of opposite polarity")
    return " ".join(parts) + " Set 3 has one polarity by its nature, and is the control of the explanation."


def _norm(analysis: Analysis, number: str, arm: Arm) -> str:
    results = analysis.results
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
