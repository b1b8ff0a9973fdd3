"""What may be said of a difference: intervals, equivalence tests, verdicts, and their control over many comparisons.

Two arms are paired by replicate. The 90 % Student t interval of the paired difference lies within the margin
exactly where two one-sided tests at 5 % both reject (Schuirmann, D. J. (1987), A comparison of the two one-sided
tests procedure and the power approach for assessing the equivalence of average bioavailability, Journal of
Pharmacokinetics and Biopharmaceutics 15, 657-680). An interval over test images stands beside it; a verdict needs both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats
from inkshift.errors import need

Counts = npt.NDArray[np.int64]
Verdict = Literal["alike", "ahead", "behind", "undecided"]

PAIRED, SINGLE = 0.90, 0.95
SHARE, GAP, ANY = (0.0, 1.0), (-1.0, 1.0), (-np.inf, np.inf)  # what a score, a difference of two, any number can be
DRAWS = 1000
FEWEST = 3  # pairs: the spread of two says next to nothing of the spread of all
NO_SPREAD = 1e-12  # of F1; pairs that differ by the same to the last bits come of one network or of a fault
CLAIMS: tuple[Verdict, ...] = ("alike", "ahead", "behind")
HELPS: dict[Verdict, str] = {"ahead": "helps", "alike": "equivalent", "behind": "hurts", "undecided": "undecided"}


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values and its bounds at `level`; the bounds are None where n is too small for any.

    error: standard error of the mean, None where unknown. normal: whether it stems from resampling, so that tests
    use the normal distribution, else Student's t with n - 1 degrees of freedom.
    """

    mean: float
    low: float | None
    high: float | None
    level: float
    n: int
    error: float | None = None
    normal: bool = False


def t_interval(values: npt.ArrayLike, level: float, within: tuple[float, float] = ANY) -> Interval:
    """Student t interval of the mean of (n,) values, cut to what the mean can be: no bounds for one value."""
    sample = np.asarray(values, np.float64)
    mean, n = float(sample.mean()), len(sample)
    if n < 2:
        return Interval(mean, None, None, level, n)
    error = float(sample.std(ddof=1) / np.sqrt(n))
    half = float(scipy("special").stdtrit(n - 1, 0.5 + level / 2)) * error
    return Interval(mean, max(mean - half, within[0]), min(mean + half, within[1]), level, n, error)


def at_each_of(looks: int) -> float:
    """The level of intervals that are looked at so many times, while replicates are added: the chance that any look
    gives a wrong verdict is at most that of a single one at `PAIRED` (Bonferroni)."""
    return 1 - (1 - PAIRED) / looks


def basic_interval(mean: float, draws: Floats, level: float, within: tuple[float, float] = ANY) -> Interval:
    """Basic bootstrap interval (Davison and Hinkley 1997, section 5.2) of `mean` from (draws,) resampled ones.

    Macro F1 of resampled images is biased down, since a rare class may hardly be drawn; percentiles keep that bias, the
    basic interval takes it off.
    """
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    ends = max(2 * mean - float(high), within[0]), min(2 * mean - float(low), within[1])
    return Interval(mean, *ends, level, len(draws), float(np.std(draws)), True)


def decide(interval: Interval, margin: float) -> Verdict:
    """alike: the interval within +-margin; ahead, behind: wholly beyond it; undecided: all else, one pair too."""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return "undecided"
    if -margin < low and high < margin:
        return "alike"
    if low > margin:
        return "ahead"
    return "behind" if high < -margin else "undecided"


def unfit(replicates: Interval) -> str:
    """Why pairs decide nothing, "" where they may: too few, or no spread to judge by."""
    if replicates.n == 1:
        return "one pair: no interval"
    if replicates.n < FEWEST:
        return f"{replicates.n} pairs, too few for a verdict"
    if replicates.error is not None and replicates.error < NO_SPREAD:
        return "every pair differs by the same, so there is no spread to judge by"
    return ""


def decide_both(replicates: Interval, others: Interval | None, margin: float) -> Verdict:
    """The verdict that both intervals give: over replicates, and over test items where there is one."""
    if unfit(replicates):
        return "undecided"
    verdict = decide(replicates, margin)
    return verdict if others is None or decide(others, margin) == verdict else "undecided"


def claim_values(interval: Interval, margin: float) -> dict[Verdict, float]:
    """The p value of each thing that may be claimed of a difference; 1 where its spread is unknown."""
    if not interval.error:
        return dict.fromkeys(CLAIMS, 1.0)
    special = scipy("special")
    above, below = ((interval.mean + edge) / interval.error for edge in (margin, -margin))

    def tail(x: float) -> float:
        """The chance of a value below x."""
        return float(special.ndtr(x) if interval.normal else special.stdtr(interval.n - 1, x))

    return {"alike": max(tail(-above), tail(below)), "ahead": tail(-below), "behind": tail(above)}


def holm(families: Sequence[dict[Verdict, float]]) -> list[Verdict]:
    """The verdict of each comparison with the chance of any wrong one among all held at 0.05 (Holm 1979).

    The family is every claim of every comparison: three for each.
    """
    if not families:
        return []
    kept = step_down(np.array([family[claim] for family in families for claim in CLAIMS]))
    return [
        next((claim for claim, ok in zip(CLAIMS, row, strict=True) if ok), "undecided") for row in kept.reshape(-1, 3)
    ]


def step_down(values: Floats, level: float = 0.05) -> npt.NDArray[np.bool_]:
    """Which of (n,) p values stand with the chance of any wrong one held at `level` (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    kept = np.zeros(len(values), bool)
    kept[order] = np.logical_and.accumulate(values[order] <= level / np.arange(len(values), 0, -1))
    return kept


def chance_f1(confusion: Counts, average: str = "macro") -> float:
    """Mean F1 of a run's readings dealt out over its test images at random. confusion: (C, C), rows true.

    The expected hits of a class are labelled times read over all; F1's denominator does not change.
    """
    labelled, read = (confusion.sum(axis=axis).astype(np.float64) for axis in (1, 0))
    both = labelled + read
    f1 = np.divide(2 * labelled * read / labelled.sum(), both, out=np.zeros_like(both), where=both > 0)
    share = (labelled > 0).astype(np.float64) if average == "macro" else labelled
    return float((f1 * share).sum() / share.sum())


def scipy(module: str) -> Any:
    """A part of scipy. Raises MissingExtraError where it is not installed."""
    return need(f"scipy.{module}", "study", "comparing the runs of a study")
