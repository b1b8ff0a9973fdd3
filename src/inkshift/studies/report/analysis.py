"""Everything a study's report says, worked out once from its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from inkshift.studies.report import compare, duplicates, stopping
from inkshift.studies.report.results import Arm, Results

WORST = 8


@dataclass(frozen=True)
class WorstClass:
    """accuracy: 0 to 1, mean over replicates, last epoch; taken_for: its commonest wrong reading and its share."""

    name: str
    accuracy: float
    taken_for: str
    share: float


@dataclass(frozen=True, eq=False)
class Analysis:
    """summaries has a row for each arm with a finished run; worst, by set and arm name, the poorest classes first."""

    results: Results
    summaries: tuple[compare.Summary, ...]
    comparisons: tuple[compare.Comparison, ...]
    settings: tuple[compare.Comparison, ...]
    stops: tuple[stopping.StopCost, ...]
    reaches: tuple[stopping.Reach, ...]
    overlaps: tuple[duplicates.Overlap, ...]
    worst: dict[tuple[str, str], list[WorstClass]]


def analyse(results: Results) -> Analysis:
    """Work out every interval, verdict and list; the same results give the same numbers.

    Raises DataError for an `overlap.json` that does not fit, MissingExtraError without scipy.
    """
    resampler = compare.Resampler(results.seed, results.average)
    comparisons, settings = compare.with_holm(
        compare.against_control(results, resampler), compare.between_settings(results, resampler)
    )
    finished = [(s, arm) for s in results.sets for arm in s.arms if arm.replicates]
    return Analysis(
        results,
        tuple(compare.summarise(s, arm, resampler) for s, arm in finished),
        tuple(comparisons),
        tuple(settings),
        tuple(stopping.stop_costs(results)),
        tuple(stopping.reaches(results)),
        tuple(duplicates.overlaps(results)),
        {(s.name, arm.name): worst_classes(arm) for s, arm in finished},
    )


def worst_classes(arm: Arm) -> list[WorstClass]:
    """The classes of `arm` with test images that are read worst, `WORST` of them, those always right left out."""
    counts = np.stack([run.confusions[-1] for run in arm.distinct]).sum(axis=0)
    labelled = counts.sum(axis=1)
    accuracy = np.diag(counts) / np.maximum(labelled, 1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = [i for i in np.argsort(accuracy, kind="stable") if labelled[i] and wrong[i].any()]
    return [
        WorstClass(
            arm.classes[i], float(accuracy[i]), arm.classes[int(wrong[i].argmax())], float(wrong[i].max() / labelled[i])
        )
        for i in order[:WORST]
    ]


def states(results: Results) -> Counter[str]:
    """How many planned runs are finished, failed, unfinished, damaged, not begun."""
    count: Counter[str] = Counter(run.state for run in results.missing if run.arm)
    count["finished"] = sum(len(arm.replicates) for s in results.sets for arm in s.arms)
    return count
