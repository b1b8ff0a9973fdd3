"""The shares of classes re-estimated without labels: exact where the classifier is right, better than counting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from inkshift.forms.judge.shift_predict import adjust, estimate, interval

Shares = npt.NDArray[np.float64]
EVEN = np.full(10, 0.1)
few = settings(max_examples=20)


def judged(share: Shares, n: int, blur: float, seed: int) -> tuple[Shares, npt.NDArray[np.int64]]:
    """What an exact classifier, trained on even shares, says of `n` things with classes in these shares.

    Each class is a point on a line, seen with Gaussian noise of deviation `blur`.
    """
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(share), n, p=share)
    seen = labels + rng.normal(0, blur, n)
    odds = np.exp(-0.5 * ((seen[:, None] - np.arange(len(share))) / blur) ** 2) + 1e-12
    return odds / odds.sum(1, keepdims=True), labels


def many_ones(share: float) -> Shares:
    prior = np.full(10, (1 - share) / 9)
    prior[1] = share
    return prior


def test_many_ones_are_found_without_labels() -> None:
    true = many_ones(0.4)
    probabilities, labels = judged(true, 4000, 0.5, 1)
    found = estimate(probabilities, EVEN)
    counted = np.bincount(probabilities.argmax(1), minlength=10) / len(labels)
    assert abs(found[1] - 0.4) < 0.03
    assert np.abs(found - true).sum() < 0.5 * np.abs(counted - true).sum()


def test_with_the_new_shares_more_is_read_right() -> None:
    probabilities, labels = judged(many_ones(0.6), 2000, 0.7, 2)
    again = adjust(probabilities, EVEN, estimate(probabilities, EVEN))
    before, after = (np.mean(p.argmax(1) == labels) for p in (probabilities, again))
    assert after > before + 0.03


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    true = many_ones(0.3)
    hits = []
    for seed in range(8):
        probabilities, _ = judged(true, 300, 0.5, seed)
        low, high = interval(probabilities, EVEN, 0.9, draws=30)
        hits += list((low <= true) & (true <= high))
    assert 0.7 < np.mean(hits) < 1


@few
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=10), st.integers(0, 10_000))
def test_shares_are_shares(weights: list[float], seed: int) -> None:
    prior = np.array(weights) / sum(weights)
    probabilities = np.random.default_rng(seed).dirichlet(np.full(len(prior), 0.3), 50)
    found = estimate(probabilities, prior)
    assert np.isclose(found.sum(), 1) and (found >= 0).all()
    assert np.allclose(adjust(probabilities, prior, found).sum(1), 1)


@few
@given(st.integers(0, 10_000))
def test_the_same_shares_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, prior = rng.dirichlet(np.ones(10), 20), rng.dirichlet(np.ones(10))
    assert np.allclose(adjust(probabilities, prior, prior), probabilities, atol=1e-6)


@few
@given(st.permutations(range(10)))
def test_the_order_of_classes_does_not_matter(order: list[int]) -> None:
    probabilities, _ = judged(many_ones(0.4), 60, 0.7, 3)
    prior = np.arange(1, 11) / 55
    assert np.allclose(
        estimate(probabilities, prior)[order], estimate(probabilities[:, order], prior[order]), atol=1e-5
    )


def test_a_sure_classifier_is_counted() -> None:
    certain = np.eye(10)[[1, 1, 1, 7]]
    assert np.allclose(estimate(certain, EVEN)[[1, 7]], [0.75, 0.25], atol=1e-6)
