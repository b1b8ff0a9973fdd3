"""How well may a source network serve a target task? Scores from its features alone, before anything is trained.

features: (N, d) float of the target's images; labels: (N,) class indices; probabilities: (N, S), of source classes.
Each score is higher for a better source. They rank sources; none of them says what is gained over no source at all.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from inkshift.arrays import Floats
from inkshift.studies.stats import Counts, scipy


def nce(labels: Counts, source_labels: Counts) -> float:
    """Negative conditional entropy -H(label | source label) in nats (Tran et al. 2019); 0 where one tells the other."""
    joint = np.zeros((labels.max() + 1, source_labels.max() + 1))
    np.add.at(joint, (labels, source_labels), 1 / len(labels))
    given = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return float((joint * np.log(np.where(joint > 0, given, 1))).sum())


def leep(labels: Counts, probabilities: Floats) -> float:
    """Log expected empirical prediction (Nguyen et al. 2020): mean log likelihood of labels told by source classes."""
    joint = np.zeros((labels.max() + 1, probabilities.shape[1]))
    np.add.at(joint, labels, probabilities / len(labels))
    given = joint / np.maximum(joint.sum(axis=0), 1e-300)
    likelihood = np.einsum("ns,ns->n", probabilities, given[labels])
    return float(np.log(likelihood).mean())


def h_score(features: Floats, labels: Counts) -> float:
    """Between-class variance in units of all of it (Bao et al. 2019): tr(cov(f)^-1 cov(E[f | label]))."""
    centred = features - features.mean(axis=0)
    means = np.stack([centred[labels == label].mean(axis=0) for label in range(labels.max() + 1)])[labels]
    return float(np.trace(np.linalg.pinv(np.cov(centred.T, bias=True), rcond=1e-6) @ np.cov(means.T, bias=True)))


def logme(features: Floats, labels: Counts) -> float:
    """Log maximum evidence for an image (You et al. 2021): a linear model of each class, its two precisions chosen."""
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    found = [_evidence(u, s, (labels == label).astype(float))[0] for label in range(labels.max() + 1)]
    return float(np.mean(found)) / len(labels)


def _evidence(u: Floats, s: Floats, y: Floats) -> tuple[float, float, float]:
    """The largest log evidence of y = f w + noise over the precisions alpha of w and beta of the noise, and these.

    By fixed point (MacKay 1992), in the basis of the singular vectors.
    """
    n, along = len(y), (u.T @ y) ** 2
    rest, eigen = float(y @ y - along.sum()), s**2
    alpha = beta = 1.0
    for _ in range(200):
        effective = float((beta * eigen / (alpha + beta * eigen)).sum())
        weight = float((beta**2 * eigen * along / (alpha + beta * eigen) ** 2).sum())
        residual = max(float((alpha**2 * along / (alpha + beta * eigen) ** 2).sum()) + rest, 1e-12)
        before = alpha, beta
        alpha, beta = effective / max(weight, 1e-12), (n - effective) / residual
        if np.allclose(before, (alpha, beta), rtol=1e-6):
            break
    return evidence(u, s, y, alpha, beta), alpha, beta


def evidence(u: Floats, s: Floats, y: Floats, alpha: float, beta: float) -> float:
    """log N(y; 0, f f^T / alpha + I / beta) with f = u diag(s) v^T."""
    variance = s**2 / alpha + 1 / beta
    along = (u.T @ y) ** 2
    fit = float((along / variance).sum()) + beta * float(y @ y - along.sum())
    log_det = float(np.log(variance).sum()) - (len(y) - len(s)) * np.log(beta)
    return float(-0.5 * (fit + log_det + len(y) * np.log(2 * np.pi)))


def parc(features: Floats, labels: Counts) -> float:
    """Rank correlation between how features and how labels differ, over all pairs of images (Bolya et al. 2021)."""
    upper = np.triu_indices(len(labels), 1)
    apart = 1 - np.asarray(np.corrcoef(features), np.float64)
    return float(scipy("stats").spearmanr(apart[upper], (labels[:, None] != labels)[upper]).statistic)


def probe(features: Floats, labels: Counts) -> float:
    """Share right of logistic regression on the features, cross-validated in five folds."""
    linear, selection = (import_module(f"sklearn.{name}") for name in ("linear_model", "model_selection"))
    split = selection.StratifiedKFold(min(5, int(np.bincount(labels).min())), shuffle=True, random_state=0)
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    model = linear.LogisticRegression(max_iter=300, C=0.1)
    return float(selection.cross_val_score(model, scaled, labels, cv=split).mean())


def same_domain(first: Floats, second: Floats, draws: int = 200, seed: int = 0) -> float:
    """p value of the energy test that two sets of features come of one distribution (Szekely and Rizzo 2004)."""
    both = np.concatenate([first, second])
    apart = scipy("spatial.distance").cdist(both, both)
    rng = np.random.default_rng(seed)
    inside = (np.arange(len(both)) < len(first)).astype(np.float64)
    found = [_energy(apart, inside), *(_energy(apart, rng.permutation(inside)) for _ in range(draws))]
    return float(np.mean(np.array(found) >= found[0]))


def _energy(apart: Floats, inside: Floats) -> float:
    a, b = inside / inside.sum(), (1 - inside) / (1 - inside).sum()
    return float(2 * a @ apart @ b - a @ apart @ a - b @ apart @ b)
