"""The runs of a study of whole numbers, and what they say: shares read right, differences, what was forgotten."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.errors import DataError
from inkshift.studies import stats
from inkshift.studies.numbers.plan import arm_name
from inkshift.studies.record import read_json
from inkshift.studies.report.results import MissingRun, StudyResults, find_run, read_index
from inkshift.studies.stats import Counts, Interval, Verdict


@dataclass(frozen=True, eq=False)
class NumberReplicate:
    """One finished run. rows: (N,) of its test numbers in the data; right: (N,) whether each was read right.

    scores: as `scores.json` has them. epochs: rows of `epochs.csv`, as text.
    """

    number: int
    digest: str
    folder: Path
    seed: int
    stopped: str
    seconds: float
    rows: Counts
    forms: tuple[str, ...]
    labels: tuple[str, ...]
    read: tuple[str, ...]
    scores: Mapping[str, Any]
    epochs: tuple[Mapping[str, str], ...]

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """(N,) whether each test number was read right."""
        return np.array([label == text for label, text in zip(self.labels, self.read, strict=True)])

    @property
    def right(self) -> float:
        return float(self.hits.mean())


@dataclass(frozen=True, eq=False)
class NumberArm:
    """All replicates of one regime with one budget of labels, None where nothing learns."""

    regime: str
    budget: int | None
    settings: Mapping[str, Any]
    planned: int
    replicates: tuple[NumberReplicate, ...]

    @property
    def name(self) -> str:
        return arm_name(self.regime, self.budget)

    @property
    def seconds(self) -> float:
        """Mean over replicates of how long a run took, by one thread."""
        return float(np.mean([run.seconds for run in self.replicates]))

    def mean(self, name: str) -> float:
        """Mean over replicates of a count in `scores.json`."""
        return float(np.mean([run.scores[name] for run in self.replicates]))


@dataclass(frozen=True, eq=False)
class NumberResults(StudyResults):
    """A study of whole numbers as `load` found it; it measures the share of numbers read right."""

    source: Mapping[str, Any]
    arms: tuple[NumberArm, ...]

    def arm(self, regime: str, budget: int | None = None) -> NumberArm | None:
        """The arm, if it was planned and one of its runs is finished."""
        return next((a for a in self.arms if (a.regime, a.budget) == (regime, budget) and a.replicates), None)

    def of(self, regime: str) -> list[NumberArm]:
        """The arms of a regime that have a finished run, by rising budget."""
        return [arm for arm in self.arms if arm.regime == regime and arm.replicates]


@dataclass(frozen=True)
class Difference:
    """`arm` minus `baseline` in the share of numbers read right, over the replicates that both finished, at 90 %.

    replicates: over splits and draws of labels; numbers: over test numbers, resampled by form. The verdict needs both.
    """

    arm: NumberArm
    baseline: NumberArm
    replicates: Interval
    numbers: Interval
    verdict: Verdict


@dataclass(frozen=True)
class NumberScores:
    """One arm in numbers. right: mean share read right, at 95 % over replicates. digit_errors: for each digit.

    old_before, old_after: share of composed numbers read right before and after learning; None: no before. forgotten:
    after minus before, paired, at 90 %.
    """

    arm: NumberArm
    right: Interval
    digit_errors: float
    old_before: float | None
    old_after: float
    forgotten: Interval | None
    as_is: Difference | None
    control: Difference | None


@dataclass(frozen=True, eq=False)
class NumberAnalysis:
    """Everything a report says. more: each budget of the fine-tuned against the next smaller one; most: the largest
    against each smaller one."""

    results: NumberResults
    summaries: tuple[NumberScores, ...]
    more: tuple[Difference, ...]
    most: tuple[Difference, ...]


def right(folder: Path) -> float:
    """Share of test numbers that a finished run read right."""
    try:
        return float(read_json(folder / "scores.json")["right"])
    except (KeyError, TypeError, ValueError):
        path = folder / "scores.json"
        raise DataError(f"{path}: has no share `right`; delete its folder and run the study again") from None


def load(folder: Path) -> NumberResults:
    """A study of whole numbers; see `results.read_index`."""
    return read_index(folder, NumberResults, _own)


def _own(folder: Path, index: Mapping[str, Any], missing: list[MissingRun]) -> dict[str, Any]:
    arms = tuple(_arm(folder, item, missing) for item in index["arms"])
    return {"source": dict(index["source"]), "arms": arms}


def _arm(folder: Path, item: Mapping[str, Any], missing: list[MissingRun]) -> NumberArm:
    name = arm_name(item["regime"], item["budget"])
    found = [find_run(folder, "", name, i, key, _taught) for i, key in enumerate(item["runs"], 1)]
    missing += [run for run in found if isinstance(run, MissingRun)]
    finished = tuple(run for run in found if isinstance(run, NumberReplicate))
    return NumberArm(item["regime"], item["budget"], dict(item["settings"]), len(found), finished)


def _taught(run: Path, number: int, digest: str) -> NumberReplicate:
    done, config, scores = (read_json(run / name) for name in ("done.json", "config.json", "scores.json"))
    readings, epochs = (_rows(run / name) for name in ("readings.csv", "epochs.csv"))
    found = NumberReplicate(
        number=number,
        digest=digest,
        folder=run,
        seed=int(config["seed"]),
        stopped=str(done["stopped"]),
        seconds=float(done["seconds"]),
        rows=np.array([int(row["row"]) for row in readings], np.int64),
        forms=tuple(row["form"] for row in readings),
        labels=tuple(row["label"] for row in readings),
        read=tuple(row["read"] for row in readings),
        scores=scores,
        epochs=epochs,
    )
    if not readings or abs(found.right - scores["right"]) > 1e-9:
        raise ValueError("readings.csv does not add up to the share of right numbers in scores.json")
    return found


def _rows(path: Path) -> tuple[dict[str, str], ...]:
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def analyse(results: NumberResults) -> NumberAnalysis:
    """Work out every interval and verdict; the same results give the same numbers."""
    finished = [arm for arm in results.arms if arm.replicates]
    tuned = results.of("fine-tuned")
    return NumberAnalysis(
        results,
        tuple(_summary(results, arm) for arm in finished),
        _some(compare(results, b, a) for a, b in pairwise(tuned)),
        _some(compare(results, tuned[-1], a) for a in tuned[:-1]),
    )


def worth(analysis: NumberAnalysis) -> tuple[NumberScores, Difference] | None:
    """Is fine-tuning worth it? The smallest budget that is surely ahead of as-is, else the largest; None: none."""
    tuned = [row for row in analysis.summaries if row.arm.regime == "fine-tuned"]
    compared = [(row, row.as_is) for row in tuned if row.as_is]
    return next((one for one in compared if one[1].verdict == "ahead"), compared[-1] if compared else None)


def _some(found: Iterable[Difference | None]) -> tuple[Difference, ...]:
    return tuple(item for item in found if item is not None)


def _summary(results: NumberResults, arm: NumberArm) -> NumberScores:
    old = [run.scores["old_task"] for run in arm.replicates]
    known = [item for item in old if item["before"] is not None]
    changes = [item["after"] - item["before"] for item in known]
    learns = arm.regime == "fine-tuned"
    as_is, control = results.arm("as-is"), results.arm("control", arm.budget)
    return NumberScores(
        arm,
        stats.t_interval([run.right for run in arm.replicates], stats.SINGLE, stats.SHARE),
        sum(run.scores["digit_errors"] for run in arm.replicates) / sum(run.scores["digits"] for run in arm.replicates),
        float(np.mean([item["before"] for item in known])) if known else None,
        float(np.mean([item["after"] for item in old])),
        stats.t_interval(changes, stats.PAIRED) if learns and changes else None,
        compare(results, arm, as_is) if as_is and arm.regime != "as-is" else None,
        compare(results, arm, control) if control and learns else None,
    )


def compare(results: NumberResults, arm: NumberArm, baseline: NumberArm) -> Difference | None:
    """`arm` minus `baseline`, None where no replicate is finished in both."""
    others = {run.number: run for run in baseline.replicates}
    pairs = [(run, others[run.number]) for run in arm.replicates if run.number in others]
    if not pairs:
        return None
    replicates = stats.t_interval([a.right - b.right for a, b in pairs], stats.PAIRED, stats.GAP)
    numbers = over_numbers(pairs, results.seed)
    return Difference(arm, baseline, replicates, numbers, stats.decide_both(replicates, numbers, results.margin))


def over_numbers(pairs: Sequence[tuple[NumberReplicate, NumberReplicate]], seed: int) -> Interval:
    """The mean difference's interval over test numbers: the forms of all test halves drawn with replacement.

    A form brings all that it was read as, in every replicate that tested it, in both arms.
    """
    gain: dict[str, float] = {}
    count: dict[str, int] = {}
    for a, b in pairs:
        for form, ours, theirs in zip(a.forms, a.hits.astype(int), b.hits.astype(int), strict=True):
            gain[form] = gain.get(form, 0.0) + float(ours - theirs)
            count[form] = count.get(form, 0) + 1
    forms = sorted(gain)
    gains, counts = (np.array([table[form] for form in forms], np.float64) for table in (gain, count))
    even = np.full(len(forms), 1 / len(forms))
    weights = np.random.default_rng(seed).multinomial(len(forms), even, stats.DRAWS).astype(np.float64)
    mean = float(gains.sum() / counts.sum())
    return stats.basic_interval(mean, weights @ gains / (weights @ counts), stats.PAIRED, stats.GAP)
