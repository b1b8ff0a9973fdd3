"""What Kooverjee, James and van Zyl (2020) found, claim by claim, held against the runs of a study of the same sets."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from inkshift.datasets.tasks import LABEL_SPACES
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.stats import PAIRED, step_down
from kooverjee_rules import (
    FAR,
    LAST,
    Answer,
    Case,
    Holds,
    Rule,
    Unknown,
    ahead,
    alike,
    at,
    at_start,
    better_classes,
    called,
    falls,
    less_variance,
    little_gain,
    near,
    nine_wrong,
    not_ahead,
    not_sooner,
    peak,
    peak_near,
    regained,
    rising,
    settled,
)

Arms = dict[str, Arm]
SPACES = {"1": "digits", "2": "digits+characters", "3": "characters"}


class Claim(NamedTuple):
    """says: the paper, in `section`, in quotes where it is its own words. arms: roles (see `roles`), or pairs of them
    with ` > ` between, comma-separated. reasons: keys of `reasons`, in case ours differs."""

    number: str
    section: str
    says: str
    arms: str
    rule: Rule
    reasons: str = "amount size epochs split"


def _later(run: Replicate) -> float:
    later = run.f1[run.epochs > 2]
    return float(later.mean()) if len(later) else float("nan")


START = {"epoch 1": at(1), "epoch 2": at(2)}
PEAK = {"at the peak": peak}
BELOW = "2 {0} > 3 {0}"
CLAIMS = (
    Claim(
        "1a",
        "IV-A",
        "Set 1, control and fine-tuned: “a mean F1-score of approximately 0.98”",
        "1 control, 1 fine-tuned",
        near(0.98, 0.01),
    ),
    Claim("1b", "IV-A", "Both “converge and plateau”", "1 control, 1 fine-tuned", settled(), "epochs amount unsaid"),
    Claim(
        "2a",
        "IV-A",
        "Set 1: fine-tuned “slightly better … for the first two epochs”",
        "1 fine-tuned > 1 control",
        at_start(ahead(START)),
        "amount runs",
    ),
    Claim(
        "2b",
        "IV-A",
        "Set 1: “both models perform the same thereafter”",
        "1 fine-tuned > 1 control",
        alike("mean of epochs 3 and on", _later),
        "epochs amount unsaid",
    ),
    Claim(
        "3a",
        "IV-A",
        "Set 1: frozen “performs worse than both”",
        "1 control > 1 frozen, 1 fine-tuned > 1 frozen",
        ahead(PEAK),
        "polarity unsaid upscaling epochs",
    ),
    Claim(
        "3b",
        "IV-A",
        "Set 1: frozen “keeps improving over time and does not plateau within the 20-epoch training period”",
        "1 frozen",
        rising(),
        "polarity amount unsaid",
    ),
    Claim(
        "4",
        "IV-B",
        "Set 2: “peak mean F1-scores just above 0.82”",
        "2 control, 2 fine-tuned",
        near(0.82, 0.02, at_full_size=True),
        "amount epochs size split",
    ),
    Claim(
        "5a",
        "IV-B",
        "Set 2: “no significant performance gains”; control and fine-tuned alike",
        "2 fine-tuned > 2 control",
        alike("at the peak", peak),
        "amount epochs runs",
    ),
    Claim(
        "5b",
        "IV-B",
        "Set 2: “initially, the fine-tuned network performs better”",
        "2 fine-tuned > 2 control",
        at_start(ahead(START)),
        "amount runs epochs",
    ),
    Claim("5c", "IV-B", "“… with less variance”", "2 fine-tuned, 2 control", at_start(less_variance()), "runs amount"),
    Claim(
        "6a",
        "IV-B",
        "Set 2: peaks “at around 6 epochs”",
        "2 long control, 2 long fine-tuned",
        peak_near(4, 8),
        "amount size unsaid",
    ),
    Claim(
        "6b",
        "IV-B",
        "“and their performance deteriorates gradually thereafter”",
        "2 long control, 2 long fine-tuned",
        falls(),
        "amount size unsaid",
    ),
    Claim(
        "7a",
        "IV-B, IV-D",
        "Set 2: frozen “performs more poorly” and, as in all sets, “significantly worse”",
        "2 control > 2 frozen, 2 fine-tuned > 2 frozen",
        ahead(PEAK, FAR),
        "polarity unsaid amount size",
    ),
    Claim(
        "7b",
        "IV-B",
        "Set 2: frozen “performs much better on the digits than on the characters”",
        "2 frozen",
        better_classes(),
        "unsaid amount split",
    ),
    Claim(
        "7c",
        "IV-B",
        "Set 2, one frozen epoch: “incorrectly classify all samples” of c f g m o p s u v",
        "2 frozen",
        at_start(nine_wrong()),
        "unsaid upscaling split",
    ),
    Claim(
        "7d",
        "IV-B",
        "“After more epochs … not much improvement is made for these classes”",
        "2 frozen",
        at_start(little_gain()),
        "unsaid amount split",
    ),
    Claim(
        "7e",
        "IV-B",
        "Fine-tuned: “a marked improvement for the corresponding classes”",
        "2 fine-tuned > 2 frozen",
        regained(),
        "epochs amount split",
    ),
    Claim(
        "8",
        "IV-C",
        "Set 3: fine-tuned “performs slightly worse than the control”",
        "3 control > 3 fine-tuned",
        ahead(PEAK),
        "epochs amount runs",
    ),
    Claim(
        "9",
        "IV-C",
        "Set 3: frozen’s “peak F1-error rate of roughly 42%”, which is an F1 of 0.58",
        "3 frozen",
        near(0.58, 0.02, at_full_size=True),
        "unsaid amount size epochs split",
    ),
    Claim(
        "10",
        "IV-C",
        "“All three transfer types perform more poorly on NIST Characters than for the full NIST set”",
        ", ".join(BELOW.format(regime) for regime in ("control", "frozen", "fine-tuned")),
        ahead(PEAK),
        "amount split",
    ),
    Claim(
        "11",
        "IV-D",
        "Frozen in set 1 is “substantially better … than the other frozen networks”",
        "1 frozen > 2 frozen, 1 frozen > 3 frozen",
        ahead(PEAK, FAR),
        "unsaid",
    ),
    Claim(
        "12a",
        "V",
        "Frozen “performs considerably worse … for all sets of experiments”",
        ", ".join(f"{n} {regime} > {n} frozen" for n in SPACES for regime in ("control", "fine-tuned")),
        ahead(PEAK, FAR),
        "polarity unsaid amount size upscaling",
    ),
    Claim(
        "12b",
        "IV-B, IV-C",
        "Frozen still improves at epoch 20 in sets 2 and 3 too",
        "2 frozen, 3 frozen",
        rising(),
        "amount unsaid",
    ),
    Claim(
        "13a",
        "IV-D",
        "Transfer “provides no significant benefits … for network performance”",
        ", ".join(f"{n} fine-tuned > {n} control" for n in SPACES),
        not_ahead(),
        "amount epochs runs",
    ),
    Claim(
        "13b",
        "IV-D",
        "“… and its convergence”",
        ", ".join(f"{n} fine-tuned > {n} control" for n in SPACES),
        not_sooner(),
        "amount epochs runs",
    ),
)


def _controlled(results: Results, number: str) -> list[Set]:
    return [
        s
        for s in sets_of(results, number)
        if any(arm.regime == "control" for arm in s.arms) and not _turned(results, s)
    ]


def _turned(results: Results, study_set: Set) -> bool:
    """Whether source and target are framed apart: of opposite ink polarity."""
    return any(results.settings_of(study_set, arm).get("source_reframing") for arm in study_set.arms)


def sets_of(results: Results, number: str) -> list[Set]:
    """The study's sets with the tasks of the paper's set 1, 2 or 3: digits to what."""
    digits, target = set(LABEL_SPACES["digits"]), set(LABEL_SPACES[SPACES[number]])
    return [s for s in results.sets if set(s.source["labels"]) == digits and set(s.target["labels"]) == target]


def main_set(results: Results, number: str) -> Set | None:
    """Of the sets of these tasks that have a control, the one with the most runs."""
    return max(_controlled(results, number), key=lambda s: sum(arm.planned for arm in s.arms), default=None)


def roles(results: Results) -> Arms:
    """Arms by what they are in the paper's terms: `1 control`, `2 long control`, `1 other frozen`, `1 as-is`.

    long: of the set with a control that runs for most epochs. other frozen: with the other batch normalisation.
    opposite: source and target of opposite ink polarity; `opposite adapt` where batch normalisation follows the target.
    """
    found: Arms = {}
    for number in SPACES:
        main = main_set(results, number)
        if main is None:
            continue
        found |= {f"{number} {arm.regime}": arm for arm in reversed(main.arms)}
        long = max(_controlled(results, number), key=lambda s: int(_setting(results, s, "control", "epochs") or 0))
        found |= {f"{number} long {arm.regime}": arm for arm in reversed(long.arms)}
        norm = _setting(results, main, "frozen", "batch_norm")
        for study_set in sets_of(results, number):
            for arm in study_set.arms:
                if _turned(results, study_set):
                    adapts = arm.regime == "frozen" and results.settings_of(study_set, arm).get("batch_norm") != norm
                    found.setdefault(f"{number} opposite {'adapt ' if adapts else ''}{arm.regime}", arm)
                elif arm.regime == "as-is":
                    found.setdefault(f"{number} as-is", arm)
                elif arm.regime == "frozen" and results.settings_of(study_set, arm).get("batch_norm") != norm:
                    found.setdefault(f"{number} other frozen", arm)
    return found


def _setting(results: Results, study_set: Set, regime: str, name: str) -> Any:
    arms = [arm for arm in study_set.arms if arm.regime == regime]
    return results.settings_of(study_set, arms[0]).get(name) if arms else results.settings.get(name)


def judge(claim: Claim, results: Results, arms: Arms, level: float = PAIRED) -> Answer:
    """What a study's runs say of a claim, and how many runs that rests on where some are missing. level: of the
    intervals that decide."""
    groups = [tuple(group.split(" > ")) for group in claim.arms.split(", ")]
    names = list(dict.fromkeys(name for group in groups for name in group))
    absent = [called(name) for name in names if name not in arms or not arms[name].replicates]
    if absent:
        return Answer("cannot be told", f"no finished run of {', '.join(absent)}")
    pairs = [(group[0], group[1]) for group in groups if len(group) == 2]
    try:
        answer = claim.rule.apply(Case(results, {name: arms[name] for name in names}, pairs, level))
    except Unknown as e:
        answer = Answer("cannot be told", str(e))
    partial = [
        f"{called(name)} {_count(arms[name])}" for name in names if len(arms[name].replicates) < arms[name].planned
    ]
    if any(2 * len(arms[name].replicates) <= arms[name].planned for name in names):
        answer = answer._replace(holds="cannot be told")
    return answer._replace(ours=answer.ours + (f" [{'; '.join(partial)} runs]" if partial else ""))


def held_together(results: Results, arms: Arms) -> list[Holds]:
    """What is left of each claim's answer with the chance of any wrong one among all held at 5 % (Holm 1979).

    The p value of an answer is the smallest error on one side at which its rule still gives it, found by halving; a
    "no" rests on one of several parts and counts for as many.
    """
    answers = [judge(claim, results, arms).holds for claim in CLAIMS]
    values = [_smallest(claim, holds, results, arms) for claim, holds in zip(CLAIMS, answers, strict=True)]
    stands = step_down(np.array(values))
    return [holds if ok else "cannot be told" for holds, ok in zip(answers, stands, strict=True)]


def _smallest(claim: Claim, holds: Holds, results: Results, arms: Arms) -> float:
    if holds == "cannot be told":
        return 1.0
    low, high = -20.0, float(np.log((1 - PAIRED) / 2))
    for _ in range(12):
        middle = (low + high) / 2
        same = judge(claim, results, arms, 1 - 2 * float(np.exp(middle))).holds == holds
        low, high = (low, middle) if same else (middle, high)
    return float(np.exp(high)) * (len(claim.arms.split(", ")) if holds == "no" else 1)


def _count(arm: Arm) -> str:
    return f"{len(arm.replicates)} of {arm.planned}"


def reasons(results: Results) -> dict[str, str]:
    """Where this study departs from the paper, by a short name: possible reasons for another outcome."""
    s, side = results.settings, re.search(r"resize\((\d+)", str(results.settings.get("reframing", "")))
    small = side[1] if side and side[1] != "128" else ""
    epochs, planned = int(s.get("epochs", LAST)), [arm.planned for one in results.sets for arm in one.arms]
    emnist = any("emnist" in str(one.target["data"]) for one in results.sets)
    found = {
        "polarity": "light_ink" in str(s.get("reframing"))
        and "ink is light in source and target, while the paper mentions no inversion of SD19, which is dark on white",
        "size": small and f"pictures of {small} px, not 128",
        "upscaling": small and f"MNIST's 28 px are brought to {small} px, not to 128, which blurs them less",
        "amount": s.get("train_images")
        and f"{s['train_images']:,} training images, where SD19's `train` has "
        "344,307 digits and 731,668 digits and characters",
        "epochs": epochs < LAST
        and f"{epochs} epochs of what learns whole, {s.get('source_epochs', '?')} of the source "
        f"networks, where the paper trains up to {LAST}",
        "split": emnist
        and "EMNIST's form of SD19, split at random over writers, not `train` against `hsf_4`, and with "
        "letter-case noise in its labels",
        "unsaid": "batch size, averaging of F1 and batch normalisation, which the paper leaves unsaid (ours: "
        f"{s.get('batch', '?')}, {results.average}, {s.get('batch_norm', '?')})",
        "runs": planned and max(planned) < 30 and f"{max(planned)} replicates, not 30",
    }
    return {name: str(text) for name, text in found.items() if text}
