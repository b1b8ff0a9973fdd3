"""What share of numbers is probably read right, told from the readings alone.

By average thresholded confidence (Garg et al. 2022): the confidence is found above which as many readings lie as are
right, among composed numbers whose digits the model has not seen; on other pages, the share that lies above it is the
prediction. How far predictions are off is known from composed numbers that were worn in many ways. All constants are
made by `benchmarks/fit_shift.py` and judged on real data by `benchmarks/trust_shift.py`.

How often each digit occurs is told by expectation maximisation on a classifier's answers: Saerens, Latinne and
Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities: a simple procedure" (Neural
Computation 14, 2002). It holds where only the shares of the classes differ from those learned, and the probabilities
are right on data like those learned from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from inkshift.errors import SettingError
from inkshift.forms.reading import FieldReading

CONSTANTS = Path(__file__).with_name("shift.json")
LEVEL = 0.9


class Constants(BaseModel):
    """What was fitted for one kind of reading.

    model: SHA-256 of the package it was fitted with. threshold: of confidence, 0 to 1. spread: by how much predictions
    are off beyond chance, standard deviation over cases. reach: how many standard deviations hold a share `LEVEL` of
    cases. shares: of each digit in what the model learned from. looks: rows of quantiles, from 0 to 1 in even steps, of
    `shift_features.FEATURES` there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    threshold: float
    spread: float
    reach: float
    shares: tuple[float, ...]
    looks: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Share of numbers read right, 0 to 1, and an interval for the share among just these `n`, at `LEVEL`."""

    share: float
    low: float
    high: float
    n: int


@cache
def all_constants() -> dict[str, Constants]:
    """What was fitted, by kind of reading."""
    return {name: Constants.model_validate(data) for name, data in json.loads(CONSTANTS.read_bytes()).items()}


def constants(kind: str) -> Constants:
    """What was fitted for `number`, `digit`, or `number pp-ocrv6`, which is read by two; SettingError for others."""
    known = all_constants()
    if kind not in known:
        raise SettingError(
            f"shift: nothing was fitted for {kind!r}, only for {', '.join(known)}; choose another reader"
        )
    return known[kind]


def spanned(share: float, n: int, fitted: Constants, times: float = 1.0) -> Prediction:
    """A predicted share of `n` with its interval: how far predictions are off from case to case, and chance among n.

    times: by how much a case's own error counts, for what is made of several.
    """
    kept = (n * share + 1) / (n + 2)
    half = fitted.reach * float(np.sqrt((times * fitted.spread) ** 2 + kept * (1 - kept) / n))
    return Prediction(share, max(share - half, 0.0), min(share + half, 1.0), n)


def predict(numbers: Sequence[FieldReading], cells: Sequence[FieldReading], kind: str = "number") -> Prediction:
    """The share of fields that are right, of those read whole and those read cell by cell; there must be one.

    A field of cells is right where all its cells are. Fields of both kinds are taken to go wrong together.
    """
    parts: list[Prediction] = []
    if numbers:
        fitted = constants(kind)
        parts.append(spanned(float(np.mean([f.confidence >= fitted.threshold for f in numbers])), len(numbers), fitted))
    if cells:
        fitted = constants("digit")
        sure = [
            [c.probability >= fitted.threshold for c in f.cells] or [f.confidence >= fitted.threshold] for f in cells
        ]
        each, times = float(np.mean([one for row in sure for one in row])), float(np.mean([*map(len, sure)]))
        counts = max(1.0, times * each ** (times - 1))
        parts.append(spanned(float(np.mean([*map(all, sure)])), len(cells), fitted, counts))
    n = sum(part.n for part in parts)
    share, low, high = (sum(part.n * getattr(part, end) for part in parts) / n for end in ("share", "low", "high"))
    return Prediction(share, low, high, n)


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
