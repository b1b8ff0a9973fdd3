"""Drift: whether readings still look like those that a policy was made on, told without labels.

The confidences of a reader show much that makes reading harder, and larger forms show by themselves. A reader that goes
wrong more often and is as sure as before shows in neither: only labels tell.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from inkshift.forms.judge.guarantee import scipy
from inkshift.forms.trust import Usual, usual

ALARM = 0.01
"""How often drift is told where there is none, at most; half of it for each of two tests."""


def drift(then: Usual, most: int, readings: Iterable[tuple[str, float]]) -> tuple[str, ...]:
    """What differs from the readings that a policy was made on, a sentence each; nothing where it may be chance.

    then, most: of the policy. readings: (form, confidence 0 to 1) of each field; there must be one. The form is the
    unit: mean confidences of forms by the test of Kolmogorov and Smirnov, two-sided, and the number of forms that are
    too large by Fisher's.
    Raises MissingExtraError without scipy.
    """
    now = usual(readings, most)
    here, there = np.array(now.confidence), np.array(then.confidence)
    at = np.union1d(here, there)
    below = [np.searchsorted(part, at, side="right") / len(part) for part in (here, there)]
    n = np.sqrt(now.forms * then.forms / (now.forms + then.forms))
    p = scipy("special").kolmogorov((n + 0.12 + 0.11 / n) * np.abs(below[0] - below[1]).max())
    told = []
    if p < ALARM / 2:
        middle, usually = np.median(here), np.median(there)
        told.append(
            f"mean confidence of a form: median {middle:.3f}, {usually:.3f} where the policy was made (p {p:.1g})"
        )
    table = [[round(part.larger * part.forms), part.forms] for part in (now, then)]
    p = scipy("stats").fisher_exact([[large, forms - large] for large, forms in table]).pvalue
    if p < ALARM / 2:
        told.append(
            f"forms with more than {most} fields: {100 * now.larger:.2g} %, {100 * then.larger:.2g} % where the "
            f"policy was made (p {p:.1g})"
        )
    return tuple(told)
