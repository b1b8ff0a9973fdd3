"""Scores of a source network against closed forms, and that they rank what is known to be better."""

from __future__ import annotations

import numpy as np
import pytest

from inkshift.studies.transferability import (
    _evidence,
    evidence,
    h_score,
    leep,
    logme,
    nce,
    parc,
    probe,
    same_domain,
)

stats = pytest.importorskip("scipy.stats")
RNG = np.random.default_rng(1)
LABELS = np.repeat(np.arange(4), 30)


def test_conditional_entropy_of_a_table() -> None:
    """Of the three images of source class 0 two are a and one b; source class 1 is all b."""
    labels, source = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    assert nce(labels, source) == pytest.approx(-0.75 * (-(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)))
    assert nce(LABELS, LABELS) == pytest.approx(0)
    assert nce(LABELS, np.zeros_like(LABELS)) == pytest.approx(-np.log(4))


def test_leep_of_sure_predictions_is_the_conditional_entropy() -> None:
    source = RNG.integers(0, 6, len(LABELS))
    assert leep(LABELS, np.eye(6)[source]) == pytest.approx(nce(LABELS, source))
    assert leep(LABELS, np.full((len(LABELS), 6), 1 / 6)) == pytest.approx(-np.log(4))


def test_h_score_of_features_that_are_the_labels_is_one_less_than_the_classes() -> None:
    assert h_score(np.eye(4)[LABELS], LABELS) == pytest.approx(3)
    assert h_score(RNG.normal(size=(120, 3)), LABELS) < 0.3


def test_the_evidence_is_that_of_the_normal_distribution_and_the_largest() -> None:
    features, y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    best, alpha, beta = _evidence(u, s, y)
    for a, b in ((alpha, beta), (0.5, 2.0)):
        whole = stats.multivariate_normal(np.zeros(20), features @ features.T / a + np.eye(20) / b)
        assert evidence(u, s, y, a, b) == pytest.approx(whole.logpdf(y))
    assert all(best >= evidence(u, s, y, alpha * a, beta * b) for a in (0.8, 1, 1.25) for b in (0.8, 1, 1.25))


def test_pairs_correlate_as_scipy_says_and_not_where_features_are_noise() -> None:
    features = np.eye(4)[LABELS] + 0.1 * RNG.normal(size=(120, 4))
    assert parc(features, LABELS) > 0.6
    assert abs(parc(RNG.normal(size=(120, 4)), LABELS)) < 0.1


def test_every_score_prefers_features_that_tell_the_classes_apart() -> None:
    pytest.importorskip("sklearn")
    noise = RNG.normal(size=(120, 8))
    good = np.concatenate([2 * np.eye(4)[LABELS], noise[:, :4]], axis=1) + 0.3 * noise
    for score in (logme, h_score, parc, probe):
        assert score(good, LABELS) > score(noise, LABELS), score.__name__


def test_two_samples_of_one_distribution_are_told_apart_as_often_as_promised() -> None:
    values = [same_domain(RNG.normal(size=(25, 3)), RNG.normal(size=(25, 3)), 99, seed) for seed in range(60)]
    assert np.mean(np.array(values) <= 0.05) <= 0.14  # 5 % and three standard deviations
    assert same_domain(RNG.normal(size=(25, 3)), RNG.normal(1.5, 1, size=(25, 3)), 99) <= 0.02
