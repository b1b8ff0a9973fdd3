"""Learn then Test: the threshold above which at most a promised share of the accepted fields is wrong.

Angelopoulos, Bates, Candes, Jordan and Lei (2021), "Learn then Test": thresholds fixed beforehand are tested one after
another, each for the null hypothesis "of what this threshold accepts, more than the promised share is wrong", and the
last one before the first that cannot be rejected is taken. The probability that a threshold is taken which breaks the
promise is then at most 1 - confidence, whatever the reader, its confidences, and the forms are like.

The unit is the form, and the error is counted over fields. A rare form with many fields, all wrong, may thus hold more
errors than all others, and no sample need show one. So a promise states the most fields that a form may have, and
nothing is accepted of larger ones: a bound on what one form can do is what makes the tests valid.

Labelled forms are split. A quarter *learns*: the score, the largest size, where the tests begin, and how to bet. The
rest *tests*. A
tested form says nothing about where the tests begin, so that no p-value was looked at before it counts. (Where tests
began by the number accepted among the tested forms, it would be by scores alone and not by errors, as in Geifman and
El-Yaniv (2017); yet which fields are accepted there would no longer be a random draw of those that a threshold
accepts.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats
from inkshift.errors import DataError, need
from inkshift.forms.judge.evaluate import Case, Row
from inkshift.forms.trust import DataSource, Knots, Policy, SplitSummary, acceptable, scores, usual

LEARN = 0.25
_ERRORS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2)
# Scores from nearly 1 down to 0.01, evenly in log-odds, and everything.
GRID = np.append(1 / (1 + np.exp(-np.arange(12, -4.6, -0.04))), 0.0)
# Middles of six equal parts of the standard normal distribution.
_SIXTHS = np.array([-1.383, -0.674, -0.210, 0.210, 0.674, 1.383])
_SUREST = 0.99995
_QUANTILES = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
# Of shift and steepness of the score: how far, as a variance, they are expected from 0 and 1.
_SPREAD = np.array([4.0, 1.0])
_STAKE = 0.95
_BLOCK = 64
Counts = npt.NDArray[np.float64] | npt.NDArray[np.bool_]


class CalibrationSample(NamedTuple):
    """Labelled fields, those of one form together.

    form: (n,) int, which form each is of, from 0, those of one form side by side. confidence: (n,) 0 to 1 as read, and
    -1 where a field cannot be accepted. wrong: (n,) bool, whether the reading is not the label. size: (n,) int, how
    many fields were read on its form, labelled or not.
    """

    form: npt.NDArray[np.int64]
    confidence: Floats
    wrong: npt.NDArray[np.bool_]
    size: npt.NDArray[np.int64]

    def of(self, forms: npt.NDArray[np.int64]) -> CalibrationSample:
        """The fields of some forms."""
        rows = np.isin(self.form, forms)
        return CalibrationSample(self.form[rows], self.confidence[rows], self.wrong[rows], self.size[rows])

    @property
    def forms(self) -> int:
        return len(np.unique(self.form))


class Promise(NamedTuple):
    """threshold: None where nothing can be promised. most: fields that a form may have. accepted, wrong: fields that
    are accepted of the tested forms."""

    error: float
    threshold: float | None
    most: int
    accepted: int = 0
    wrong: int = 0


class Lack(NamedTuple):
    """accepted, wrong: at the best threshold, of forms with `most` fields or fewer. labels: further accepted ones
    needed. forms: to label for that, about."""

    accepted: int
    wrong: int
    labels: int
    forms: int
    most: int = 1


class Calibration(NamedTuple):
    """A score, and the labelled forms that it was fitted on (`learn`) and that thresholds are tested on (`test`)."""

    knots: Knots
    learn: CalibrationSample
    test: CalibrationSample
    seed: int

    def promise(self, error: float, confidence: float) -> Promise:
        """What can be accepted under this promise; each promise holds by itself, not several at once."""
        return certify(self.knots, self.learn, self.test, error, confidence, self.seed)

    def possible(self, confidence: float) -> float | None:
        """The least of some rounded errors, up to 20 %, that these labels promise."""
        return next((e for e in _ERRORS if self.promise(e, confidence).threshold is not None), None)

    def lacking(self, error: float, confidence: float) -> Lack:
        """What is missing to promise `error`, where least is, with room for one more form that is wholly wrong.

        One field drawn from each form, as likely as it has fields, would do: so many labels count as one.
        """
        lacks = [Lack(0, 0, needed(error, confidence, 1), 2**31)]
        for most in _sizes(self.learn):
            score = _rows(self.knots, self.test, most)
            for threshold in np.unique(score[score >= 0]):
                taken = score >= threshold
                accepted, wrong = int(taken.sum()), int(self.test.wrong[taken].sum())
                if wrong <= most * 20 + error * accepted:
                    more = max(most * needed(error, confidence, math.ceil(wrong / most) + 1) - accepted, 1)
                    forms = math.ceil(more / accepted * self.test.forms / (1 - LEARN))
                    lacks.append(Lack(accepted, wrong, more, forms, most))
        return min(lacks, key=lambda lack: lack.forms)

    def policy(
        self, promise: Promise, confidence: float, rows: Sequence[Row], *, readings: DataSource, labels: DataSource
    ) -> Policy:
        """The policy of a promise that has a threshold. rows: all readings, labelled or not.

        Raises DataError where they are of more than one reader.
        """
        assert promise.threshold is not None
        readers = sorted({row.get("reader", "") for row in rows})
        if len(readers) > 1:
            raise DataError(
                f"{readings.name}: expected the readings of one reader, found {len(readers)} "
                f"({' / '.join(reader or 'one without a name' for reader in readers[:2])}); read all forms with one"
            )
        return Policy(
            threshold=promise.threshold,
            most=promise.most,
            reader=readers[0] if readers else "",
            score=self.knots,
            error=promise.error,
            confidence=confidence,
            readings=readings,
            labels=labels,
            seed=self.seed,
            for_score=self.part(self.learn, promise),
            for_threshold=self.part(self.test, promise),
            usual=usual(((row["form"], float(row["confidence"] or 0)) for row in rows), promise.most),
        )

    def part(self, labelled: CalibrationSample, promise: Promise) -> SplitSummary:
        """Counts of labelled forms under a promise."""
        assert promise.threshold is not None
        taken = _rows(self.knots, labelled, promise.most) >= promise.threshold
        wrong = int(labelled.wrong[taken].sum())
        return SplitSummary(forms=labelled.forms, fields=len(taken), accepted=int(taken.sum()), wrong=wrong)


def calibrate(cases: Sequence[Case], rows: Sequence[Row], seed: int = 0) -> Calibration:
    """Learn a score from readings beside their labels (`evaluate.match`) and the rows they come from.

    Raises DataError where there are less than two labelled forms, MissingExtraError without scipy.
    """
    labelled = label_rows(cases, rows)
    if labelled.forms < 2:
        raise DataError(
            f"{labelled.forms} labelled form, expected hundreds; draw some with `inkshift calibrate --sample`"
        )
    learn, test = split(labelled, seed)
    known = learn.confidence >= 0
    return Calibration(fit_score(learn.confidence[known], learn.wrong[known]), learn, test, seed)


def label_rows(cases: Sequence[Case], rows: Sequence[Row]) -> CalibrationSample:
    """Readings beside their labels (`evaluate.match`), and the rows they come from, as numbers.

    A field that is unclear, breaks a rule, or was not read at all, can never be accepted.
    """
    broken = {(row["form"], row["field"]): row["rules_broken"] for row in rows}
    sizes = Counter(row["form"] for row in rows)

    def confidence(case: Case) -> float:
        rules = broken.get((case.form, case.field), "")
        fine = acceptable(case.state, rules.split("; ") if rules else ())
        return case.confidence if fine and case.confidence is not None else -1.0

    names = {name: i for i, name in enumerate(dict.fromkeys(case.form for case in cases))}
    return CalibrationSample(
        np.array([names[case.form] for case in cases], np.int64),
        np.array([confidence(case) for case in cases], np.float64),
        np.array([case.outcome != "right" for case in cases], np.bool_),
        np.array([sizes[case.form] for case in cases], np.int64),
    )


def draw_sample(rows: Sequence[Row], fields: int, seed: int) -> list[Row]:
    """Rows of whole forms drawn at random, until there are so many fields, in random order.

    Raises DataError where there are fewer rows.
    """
    if len(rows) < fields:
        raise DataError(f"{len(rows)} fields were read, expected at least the {fields} to draw; draw fewer")
    rng = np.random.default_rng(seed)
    forms: dict[str, list[Row]] = {}
    for row in rows:
        forms.setdefault(row["form"], []).append(row)
    drawn: list[Row] = []
    for name in rng.permutation(sorted(forms)):
        drawn += forms[name]
        if len(drawn) >= fields:
            break
    return [drawn[i] for i in rng.permutation(len(drawn))]


@lru_cache(maxsize=4096)
def needed(error: float, confidence: float, wrong: int = 0) -> int:
    """How many accepted labels, `wrong` of them wrong, promise `error` with `confidence`: 299 for 1 % at 95 %.

    Each of another form: the least n for which n draws at exactly this error have so few wrong with probability
    1 - confidence at most (the exact interval of Clopper and Pearson, 1934).
    """
    low, high = wrong, 64
    while p_binomial(high, wrong, error) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = p_binomial(middle, wrong, error) <= 1 - confidence
        low, high = (low, middle) if enough else (middle, high)
    return high


def upper_bounds(labelled: CalibrationSample, thresholds: Sequence[float], confidence: float) -> Floats:
    """(J,) upper bounds, one-sided, for the share wrong of what each threshold of confidence accepts.

    Each holds by itself, for thresholds fixed beforehand, and for forms no larger than the largest that is labelled:
    the least error that a test as in `certify` rejects. 1 where nothing is accepted.
    """
    most = int(labelled.size.max(initial=0))
    accepted, wrong = _per_form(labelled.confidence, labelled, np.array(thresholds))
    if most <= 1:
        n, k = accepted.sum(0), wrong.sum(0)
        exact = scipy("stats").beta.ppf(confidence, k + 1, np.maximum(n - k, 1))
        return np.asarray(np.where(k >= n, 1.0, exact))
    order = np.random.default_rng(0).permutation(len(accepted))
    none = np.zeros((0, len(thresholds)))
    low, high = np.zeros(len(thresholds)), np.ones(len(thresholds))
    for _ in range(12):
        middle = (low + high) / 2
        enough = p_betting(none, none, accepted[order], wrong[order], middle, most) <= 1 - confidence
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def fit_score(confidence: Floats, wrong: npt.NDArray[np.bool_]) -> Knots:
    """The score of a confidence: a logistic curve on its log-odds (Platt 1999), as knots for `trust.scores`.

    Two numbers alone, drawn towards the confidence as it is, since a few hundred labels hold a handful of errors, on
    which steps of isotonic regression would be coarse and tie what should be ranked.
    """
    x, y = log_odds(confidence), ~wrong

    def cost(p: Floats) -> tuple[float, Floats]:
        odds, off = p[0] + p[1] * x, p - np.array([0.0, 1.0])
        share = 1 / (1 + np.exp(-odds.clip(-700, 700)))
        loss = np.logaddexp(0, np.where(y, -odds, odds)).sum() + (off**2 / _SPREAD).sum() / 2
        return float(loss), np.array([(share - y).sum(), ((share - y) * x).sum()]) + off / _SPREAD

    shift, steepness = scipy("optimize").minimize(cost, [0.0, 1.0], jac=True, bounds=[(None, None), (0.05, None)]).x
    at = 1 / (1 + np.exp(-np.linspace(log_odds(0.0), log_odds(1.0), 81)))
    at[0], at[-1] = 0.0, 1.0
    score = 1 / (1 + np.exp(-(shift + steepness * log_odds(at))))
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(at, score, strict=True))


def split(labelled: CalibrationSample, seed: int) -> tuple[CalibrationSample, CalibrationSample]:
    """The fields that learn and those that test: a quarter of the forms at random, and the rest."""
    forms = np.random.default_rng(seed).permutation(np.unique(labelled.form))
    cut = max(1, round(LEARN * len(forms)))
    return labelled.of(forms[:cut]), labelled.of(forms[cut:])


def certify(
    knots: Knots, learn: CalibrationSample, test: CalibrationSample, error: float, confidence: float, seed: int = 0
) -> Promise:
    """The threshold with most accepted that keeps the promise; see the top of this file.

    Where no form may have more than one field, p-values are binomial and exact. Otherwise fields of one form may hang
    together, in their scores as in their errors, and forms are tested as wholes (`p_betting`).
    """
    most, begin = _plan(knots, learn, test.forms, error, confidence)
    ours, theirs = _rows(knots, learn, most), _rows(knots, test, most)
    held: Promise = Promise(error, None, most)
    order = np.random.default_rng(seed).permutation(test.forms)
    for at in range(begin, len(GRID), _BLOCK):
        grid = GRID[at : at + _BLOCK]
        accepted, wrong = _per_form(theirs, test, grid)
        if most <= 1:
            p = p_binomial(accepted.sum(0), wrong.sum(0), error)
        else:
            p = p_betting(*_per_form(ours, learn, grid), accepted[order], wrong[order], error, most)
        failed = np.flatnonzero(p > 1 - confidence)
        last = int(failed[0]) if len(failed) else len(grid)
        if last:
            counts = int(accepted[:, last - 1].sum()), int(wrong[:, last - 1].sum())
            held = Promise(error, float(grid[last - 1]), most, *counts)
        if len(failed):
            break
    return held


def p_binomial(accepted: npt.ArrayLike, wrong: npt.ArrayLike, error: float) -> Floats:
    """Probability of at most `wrong` errors among `accepted` independent fields where each is wrong with `error`."""
    return np.asarray(scipy("stats").binom.cdf(wrong, accepted, error))


def p_betting(
    accepted0: Counts, wrong0: Counts, accepted: Counts, wrong: Counts, error: npt.ArrayLike, most: int
) -> Floats:
    """(J,) p-values that of the fields accepted, at J thresholds each, more than `error` are wrong.

    accepted, wrong: (forms, J) how many fields of each form are, in an order that nothing depends on; accepted0,
    wrong0: of forms that were looked at before. most: fields that are accepted of a form at most, in the sample and
    elsewhere. error: one or (J,).

    The error among accepted fields is E[wrong] / E[accepted] over forms, so that the null hypothesis says that the
    mean of Z = wrong - error * accepted is 0 or more, with the form as the one independent unit. Somebody who bets a
    share of what he has against it, form by form, gains nothing on average where it is true, and comes to 1 / p times
    what he began with in at most a share p of such worlds (Ville's inequality; Waudby-Smith and Ramdas 2024). He
    stakes what would have paid best before: mean over mean square, at most what an all wrong form does not ruin.
    """
    error = np.asarray(error)
    gains0, gains = error * accepted0 - 1.0 * wrong0, error * accepted - 1.0 * wrong
    total = gains0.sum(0) + np.vstack([np.zeros_like(gains[:1]), gains[:-1].cumsum(0)])
    square = (gains0**2).sum(0) + np.vstack([np.zeros_like(gains[:1]), (gains[:-1] ** 2).cumsum(0)])
    stake = np.divide(total, square, out=np.zeros_like(total), where=square > 0)
    stake = stake.clip(0, _STAKE / (most * (1 - error)))
    wealth = np.log1p(stake * gains).cumsum(0).max(0, initial=0.0)
    return np.asarray(np.exp(-wealth))


def _plan(knots: Knots, learn: CalibrationSample, forms: int, error: float, confidence: float) -> tuple[int, int]:
    """The most fields that a form may have, and which threshold is tested first.

    Both by the forms that learn alone. Larger forms bring more fields, but what one of them may do wrong makes the test
    of all the others weaker: the size is taken by which most is expected to be accepted.
    """
    best = 0.0, 1, len(GRID) - 1
    for most in _sizes(learn):
        value, begin = _begin(learn, _rows(knots, learn, most), forms, error, confidence, most)
        if value > best[0]:
            best = value, most, begin
    return best[1], best[2]


def _sizes(labelled: CalibrationSample) -> list[int]:
    """Sizes of forms to choose the largest from: at most twelve."""
    sizes = np.unique(labelled.size[labelled.size > 0])
    chosen = np.unique(np.linspace(0, max(len(sizes) - 1, 0), 12).astype(int))
    return [int(size) for size in sizes[chosen[chosen < len(sizes)]]]


def _begin(
    learn: CalibrationSample, score: Floats, forms: int, error: float, confidence: float, most: int
) -> tuple[float, int]:
    """Which threshold is tested first: where, by the forms that learn, the test passes most surely; and the greatest
    product of that probability and the share of fields accepted.

    Stricter ones accept too few to promise anything, looser ones too many errors. Both how many are accepted and how
    many of them are wrong is uncertain: few forms leave it open how often a reader is sure and wrong, so that a test
    that allows for one or two errors is safer than one that allows for none.

    Counted is as if each form gave one field, drawn as likely as it has accepted ones of `most`: errors are then
    binomial, and the bets of `p_betting` are the mean over such draws.
    """
    stats = scipy("stats")
    sure = np.sort(score[score >= 0])[::-1]
    count = np.unique(np.linspace(0, len(sure), 101).astype(int))
    # The curve was learned from forms of all sizes; these may be wrong less often, or more.
    level = (learn.wrong[score >= 0].sum() + 0.5) / ((1 - sure).sum() + 0.5)
    wrong = np.minimum(np.append(0.0, np.cumsum(level * (1 - sure)))[count], count) / most
    drawn = count / most
    share = drawn / learn.forms
    spread = np.sqrt(forms * share * (1 - share) * (1 + forms / learn.forms))
    accepted = np.rint(forms * share + spread * _SIXTHS[:, None]).clip(0, forms)
    allowed = stats.binom.ppf(1 - confidence, accepted, error)
    allowed -= stats.binom.cdf(allowed, accepted, error) > 1 - confidence
    risk = stats.beta.ppf(_QUANTILES[:, None, None], wrong + 0.5, drawn - wrong + 0.5)
    passes = stats.binom.cdf(allowed, accepted, risk).mean((0, 1))
    if not passes.any():
        return 0.0, len(GRID) - 1
    last = max(int(count[np.argmax(passes)]) - 1, 0)
    return float((passes * count).max()) / len(score), int(np.searchsorted(-GRID, -sure[last]))


def _rows(knots: Knots, labelled: CalibrationSample, most: int) -> Floats:
    """(n,) score of each field, -1 where it cannot be accepted, such as on a form of more than `most` fields."""
    never = (labelled.confidence < 0) | (labelled.size > most)
    return np.where(never, -1.0, scores(knots, labelled.confidence.clip(0)))


def _per_form(score: Floats, labelled: CalibrationSample, grid: Floats) -> tuple[Counts, Counts]:
    """(forms, J) fields accepted at J thresholds, and wrong ones among them."""
    taken = score[:, None] >= grid
    starts = np.flatnonzero(np.diff(labelled.form, prepend=-1))
    if len(starts) == len(score):
        return taken, taken & labelled.wrong[:, None]
    accepted = np.add.reduceat(taken, starts, axis=0, dtype=np.float64)
    wrong = np.add.reduceat(taken & labelled.wrong[:, None], starts, axis=0, dtype=np.float64)
    return accepted, wrong


def log_odds(share: npt.ArrayLike) -> Floats:
    """Of a share, 0 to 1, kept as far from both as the decimals of a readings file can tell."""
    p = np.clip(share, 1 - _SUREST, _SUREST)
    return np.asarray(np.log(p) - np.log1p(-p))


def scipy(part: str, needed_for: str = "an acceptance policy") -> Any:
    """A part of scipy. Raises MissingExtraError where it is not installed."""
    return need(f"scipy.{part}", "trust", needed_for)
