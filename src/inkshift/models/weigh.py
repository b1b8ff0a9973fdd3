"""One number seen several ways: what the views, and a second reader where there is one, agree on.

Their agreement is the evidence for how sure a reading is: the probability that one view gives to its own path says
little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inkshift.models import ctc

Views = Sequence[ctc.LineProbabilities]

_LONGEST = 20
# Texts that each view proposes.
_PROPOSED = 4


class TextEvidence(NamedTuple):
    """What speaks for each text that a number may be.

    own: log-probabilities (views, texts) in its views, other: in what a second reader sees; float64.
    """

    texts: list[str]
    own: npt.NDArray[np.float64]
    other: npt.NDArray[np.float64]


def weigh(
    numbers: Sequence[Views],
    others: Sequence[Views] = (),
    digits: Sequence[tuple[int, int]] = (),
    largest: Sequence[int | None] = (),
    calibration: Mapping[str, float] | None = None,
) -> list[dict[str, float]]:
    """What each number may be: texts, the likeliest first, with probabilities that sum to 1; "" where nothing is read.

    For the arguments see `gather`. calibration: weights that were fitted on composed numbers
    (`benchmarks/fit_numbers.py`); a number of a single view has weights of its own.
    """
    out = []
    for known in gather(numbers, others, digits, largest):
        odds = log_odds(known, calibration or {})
        share = np.exp(odds - np.logaddexp.reduce(odds))
        out.append({known.texts[i]: float(share[i]) for i in np.argsort(-share, kind="stable")})
    return out


def gather(
    numbers: Sequence[Views],
    others: Sequence[Views] = (),
    digits: Sequence[tuple[int, int]] = (),
    largest: Sequence[int | None] = (),
) -> list[TextEvidence]:
    """The texts that are proposed for each number, each scored in all that was seen of it (see `ctc.score`).

    numbers: for each its views, (T, 11). others: for each what a second reader sees of it. digits, largest: what is
    allowed, so that it is proposed even where something else looks likelier.
    """
    seen = [(*views, *other) for views, other in zip(numbers, others or [()] * len(numbers), strict=True)]
    texts = _propose(seen, digits or [(1, _LONGEST)] * len(seen), largest or [None] * len(seen))
    scores = ctc.score(list(zip(seen, texts, strict=True)))
    return [
        TextEvidence(own, rows[: len(views)], rows[len(views) :])
        for views, own, rows in zip(numbers, texts, scores, strict=True)
    ]


def _propose(
    seen: Sequence[Views], digits: Sequence[tuple[int, int]], largest: Sequence[int | None]
) -> list[list[str]]:
    """The texts that are proposed for each number: none, the likeliest to each view, and those of its beam that are
    allowed.

    Where the likeliest to a view is not allowed, that view is asked for what is.
    """
    limits = list(zip(digits, largest, strict=True))
    found = iter(ctc.beam([view for views in seen for view in views], (0, _LONGEST)))
    out: list[dict[str, None]] = []
    again: dict[tuple[tuple[int, int], int | None], list[tuple[int, ctc.LineProbabilities]]] = {}
    for k, (views, limit) in enumerate(zip(seen, limits, strict=True)):
        texts: dict[str, None] = {"": None}
        for view in views:
            # None where no text of so few digits is possible; that nothing is read is then proposed.
            beam = [text for text, _ in next(found)] or [""]
            texts |= dict.fromkeys(t for at, t in enumerate(beam) if at < _PROPOSED or ctc.allowed(t, *limit))
            if beam[0] and not ctc.allowed(beam[0], *limit):
                again.setdefault(limit, []).append((k, view))
        out.append(texts)
    for limit, rows in again.items():
        for (k, _), fitting in zip(rows, ctc.beam([view for _, view in rows], *limit), strict=True):
            out[k] |= dict.fromkeys(text for text, _ in fitting[:_PROPOSED])
    return [list(texts) for texts in out]


def log_odds(known: TextEvidence, calibration: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Log-odds (texts,) of each text.

    Views that see something else than the rest are heard, but no view can veto: the mean is over probabilities. Two
    readers err on the same numbers now and then, so that what they say together counts less than if they did not.
    """
    given = calibration.get
    kind = "number" if len(known.own) > 1 else "first"
    shares = np.exp(known.own - np.logaddexp.reduce(known.own, axis=1, keepdims=True))
    total = given(f"{kind} mean", 1.0) * np.log(shares.mean(0) + given(f"{kind} floor", 1e-4))
    if len(known.other):
        second = np.exp(known.other - np.logaddexp.reduce(known.other, axis=1, keepdims=True))
        total = total + given("second mean", 1.0) * np.log(second.mean(0) + given("second floor", 1e-3))
        total = given("both", 1.0) * total
    return np.asarray(total)
