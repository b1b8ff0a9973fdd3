"""How often each class occurs where nobody has labelled anything: expectation maximisation on a classifier's answers.

Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities: a simple
procedure" (Neural Computation 14, 2002). It holds where only the shares of the classes differ from those learned, and
the probabilities are right on data like those learned from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]

_ROUNDS, _STILL = 300, 1e-5
_FLOOR = 1e-9


def estimate(probabilities: Shares, prior: Shares) -> Shares:
    """The share of each class, (C,) summing to 1, among things of which a classifier says `probabilities`.

    probabilities: (N, C), rows that sum to 1, N at least 1. prior: (C,) shares that the classifier was trained with,
    all above 0. The answer has the largest likelihood of all shares (section 2.2); a row counts as one thing.
    """
    old = np.maximum(prior, _FLOOR)
    share: Shares = old / old.sum()
    for _ in range(_ROUNDS):
        weights = share / old
        each = 1 / np.maximum(probabilities @ weights, 1e-300)
        new: Shares = weights * (probabilities.T @ each) / len(probabilities)
        if np.abs(new - share).max() < _STILL:
            return new
        share = new
    return share


def adjust(probabilities: Shares, old: Shares, new: Shares) -> Shares:
    """`probabilities` (N, C) of a classifier trained where classes have the shares `old`, (C,), where they have `new`.

    Equation 2.4 of the article: each is multiplied by new / old, and rows are scaled to sum to 1 again.
    """
    odds = np.maximum(probabilities, _FLOOR) * (np.maximum(new, 0) / np.maximum(old, _FLOOR))
    return np.asarray(odds / np.maximum(odds.sum(1, keepdims=True), 1e-300))


def interval(
    probabilities: Shares, prior: Shares, level: float = 0.9, draws: int = 200, seed: int = 0
) -> tuple[Shares, Shares]:
    """Lower and upper end, (C,) each, between which `estimate` lies in a share `level` of samples like this one.

    By bootstrap over rows (Efron 1979): it knows of chance, not of a classifier that is wrong in the same way again
    and again.
    """
    rng = np.random.default_rng(seed)
    n = len(probabilities)
    found = np.stack([estimate(probabilities[rng.integers(0, n, n)], prior) for _ in range(draws)])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
