"""The confusion matrix and what follows from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def confusion(predicted: npt.NDArray[np.int64], true: npt.NDArray[np.int64], classes: int) -> Counts:
    """(classes, classes) int64: rows true, columns predicted."""
    out = np.zeros((classes, classes), np.int64)
    np.add.at(out, (true, predicted), 1)
    return out


def macro(counts: Counts) -> tuple[float, float, float]:
    """Precision, recall and F1, each the mean over the classes that occur (a row that is not empty).

    A class that is never predicted has precision 0, as in scikit-learn with zero_division=0.
    """
    occurs = counts.sum(1) > 0
    hit = np.diag(counts).astype(float)
    recall = hit / np.maximum(counts.sum(1), 1)
    precision = hit / np.maximum(counts.sum(0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    if not occurs.any():
        return 0.0, 0.0, 0.0
    return float(precision[occurs].mean()), float(recall[occurs].mean()), float(f1[occurs].mean())


def scores(predicted: npt.NDArray[np.int64], true: npt.NDArray[np.int64], classes: int) -> dict[str, float]:
    """accuracy and macro precision, recall and F1, each 0 to 1."""
    counts = confusion(predicted, true, classes)
    precision, recall, f1 = macro(counts)
    accuracy = float(np.diag(counts).sum() / max(counts.sum(), 1))
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "F1": f1}
