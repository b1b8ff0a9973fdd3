"""The confusion matrix and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

BINS = 10


def confusion(predicted: npt.NDArray[np.int64], true: npt.NDArray[np.int64], classes: int) -> Counts:
    """(classes, classes) int64: rows true, columns predicted."""
    out = np.zeros((classes, classes), np.int64)
    np.add.at(out, (true, predicted), 1)
    return out


def macro(confusion: Counts) -> tuple[float | None, float | None, float | None]:
    """Macro precision, recall, F1, 0 to 1, over the classes that occur; None where none does.

    A class that is never predicted has precision 0, as in scikit-learn with zero_division=0.
    """
    hits, labelled, read = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = labelled > 0
    if not present.any():
        return None, None, None
    scores = (
        hits / np.maximum(read, 1),
        hits / np.maximum(labelled, 1),
        2 * hits / np.maximum(read + labelled, 1),
    )
    precision, recall, f1 = (float(score[present].mean()) for score in scores)
    return precision, recall, f1


def scores(predicted: npt.NDArray[np.int64], true: npt.NDArray[np.int64], classes: int) -> dict[str, float]:
    """accuracy and macro precision, recall and F1, each 0 to 1."""
    counts = confusion(predicted, true, classes)
    precision, recall, f1 = macro(counts)
    accuracy = float(np.diag(counts).sum() / max(counts.sum(), 1))
    return {"accuracy": accuracy, "precision": precision or 0.0, "recall": recall or 0.0, "F1": f1 or 0.0}


def f1_score(confusion: Counts, average: str = "macro") -> float:
    """F1, 0 to 1, over the classes that occur: their plain mean (`macro`), or weighted by images (`weighted`)."""
    hits, labelled, read = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    each = 2 * hits / np.maximum(read + labelled, 1)
    weights = labelled > 0 if average == "macro" else labelled
    return float((each * weights).sum() / max(int(weights.sum()), 1))


def calibration_error(pairs: Iterable[tuple[float, bool]]) -> float | None:
    """How far confidences are from the share that is right, 0 to 1: the mean gap over ten bins of equal width, weighted
    by their size (expected calibration error, Guo et al. 2017); None of none. pairs: confidence and whether right."""
    gaps, ordered = [0.0] * BINS, sorted(pairs)
    for confidence, right in ordered:
        gaps[min(int(confidence * BINS), BINS - 1)] += confidence - right
    return math.fsum(map(abs, gaps)) / len(ordered) if ordered else None


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that make one of the other (Levenshtein 1966)."""
    before = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (left != right)))
        before = row
    return before[-1]
