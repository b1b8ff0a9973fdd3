"""Tests of "more than this share of the accepted fields is wrong" that hold for any dependence within a form, compared.

Each takes accepted and wrong fields, (draws, forms), the error, and the most fields of a form, and gives p-values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import binom

from inkshift.forms.judge.guarantee import p_betting

Test = Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]
FORMS, LEVEL = 300, 0.05


def betting(accepted: np.ndarray, wrong: np.ndarray, error: float, most: int) -> np.ndarray:
    """As inkshift bets: a quarter of the forms learns, and the rest tests."""
    a, w = accepted.T, wrong.T
    cut = len(a) // 4
    return p_betting(a[:cut], w[:cut], a[cut:], w[cut:], error, most)


def mixture(accepted: np.ndarray, wrong: np.ndarray, error: float, most: int) -> np.ndarray:
    """Bets of twenty fixed stakes, each with a twentieth of the money."""
    gains = error * accepted - wrong
    stakes = np.linspace(0.05, 0.999, 20) / (most * (1 - error))
    each = np.log1p(stakes[:, None, None] * gains).cumsum(2)
    return np.exp(-(np.logaddexp.reduce(each, axis=0) - np.log(len(stakes))).max(1).clip(0))


def hoeffding_bentkus(accepted: np.ndarray, wrong: np.ndarray, error: float, most: int) -> np.ndarray:
    """Bates et al. (2021), section 3.1, of (wrong - error x accepted) / most + error, which lies between 0 and 1."""
    y = (wrong - error * accepted) / most + error
    n, mean = y.shape[1], np.minimum(y.mean(1), error).clip(1e-12)
    distance = mean * np.log(mean / error) + (1 - mean) * np.log((1 - mean) / (1 - error))
    return np.minimum(np.exp(-n * distance), np.e * binom.cdf(np.ceil(y.sum(1) - 1e-9), n, error)).clip(max=1)


def bernstein(accepted: np.ndarray, wrong: np.ndarray, error: float, most: int) -> np.ndarray:
    """Empirical Bernstein of Maurer and Pontil (2009), theorem 4, solved for the probability."""
    z = (wrong - error * accepted) / most
    n, mean = z.shape[1], z.mean(1)
    a, b = 7 / (3 * (n - 1)), np.sqrt(2 * z.var(1, ddof=1) / n)
    root = (-b + np.sqrt(np.maximum(b * b - 4 * a * mean, 0))) / (2 * a)
    return np.where(mean < 0, np.minimum(1, 2 * np.exp(-(root**2))), 1.0)


def one_field(accepted: np.ndarray, wrong: np.ndarray, error: float, most: int) -> np.ndarray:
    """One of `most` places drawn on each form, whose errors are binomial where a field was accepted there."""
    place = np.random.default_rng(0).random(accepted.shape) * most
    return np.asarray(binom.cdf((place < wrong).sum(1), (place < accepted).sum(1), error))


TESTS: dict[str, Test] = {
    "betting": betting,
    "mixture of bets": mixture,
    "Hoeffding-Bentkus": hoeffding_bentkus,
    "empirical Bernstein": bernstein,
    "one field a form": one_field,
}


def compared(draws: int) -> Iterator[str]:
    yield "\n## Which test\n"
    yield f"How often a test rejects that more than 5 % are wrong, {draws:,} draws of {FORMS} forms each, where 2 % are"
    yield "and four fifths of all fields are accepted; where 5 % are, at most 5 % may be rejected.\n"
    yield "| fields of a form | errors | truly wrong | " + " | ".join(TESTS) + " |"
    yield "|---|---|---|" + "---|" * len(TESTS)
    rng = np.random.default_rng(0)
    for most in (5, 13):
        for sizes in (f"{most}", f"1 to {most}"):
            for errors in ("single", "of whole forms"):
                for risk in (0.02, 0.05):
                    least = most if sizes == f"{most}" else 1
                    accepted = rng.binomial(rng.integers(least, most + 1, (draws, FORMS)), 0.8)
                    whole = accepted * (rng.random(accepted.shape) < risk)
                    wrong = rng.binomial(accepted, risk) if errors == "single" else whole
                    passed = [np.mean(test(accepted, wrong, 0.05, most) <= LEVEL) for test in TESTS.values()]
                    yield f"| {sizes} | {errors} | {risk:.0%} | " + " | ".join(f"{p:.0%}" for p in passed) + " |"
