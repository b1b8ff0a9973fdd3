"""One number seen several ways: what the views, and a second reader where there is one, agree on.

Their agreement is the evidence for how sure a reading is: the probability that one view gives to its own path says
little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from inkshift.models import ctc

_LONGEST = 20


def weigh(
    seen: Sequence[ctc.LineProbabilities],
    others: Sequence[ctc.LineProbabilities] = (),
    digits: tuple[int, int] = (1, 8),
    largest: int | None = None,
    calibration: Mapping[str, float] | None = None,
    spelled: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """What the number may be: texts, the likeliest first, with probabilities that sum to 1; "" where nothing is read.

    seen: (T, 11) of each view. others: of a second reader. spelled: what a model of single digits makes of the
    number cut up, with probabilities. digits, largest: what is allowed, so that it is proposed
    even where something else looks likelier. Each text that any of them proposes is scored exactly in all of them; the
    mean over views and the second reader's score make its log-odds, with the weights in `calibration` that were fitted
    on composed numbers (`benchmarks/fit_numbers.py`).
    """
    views = (*seen, *others)
    proposed = {text: None for view in views for text, _ in ctc.beam(view, (0, _LONGEST))[:4]}
    proposed |= dict.fromkeys(spelled or ())
    if any(text and not allowed(text, digits, largest) for text in proposed):
        proposed |= {text: None for view in views for text, _ in ctc.beam(view, digits, largest)[:4]}
    texts = list(proposed)
    shares = np.array([(spelled or {}).get(text, 0.0) for text in texts])
    odds = log_odds(ctc.score(seen, texts), ctc.score(others, texts) if others else None, calibration or {}, shares)
    share = np.exp(odds - np.logaddexp.reduce(odds))
    return {texts[i]: float(share[i]) for i in np.argsort(-share, kind="stable")}


def allowed(text: str, digits: tuple[int, int], largest: int | None) -> bool:
    """Whether a field may hold `text`."""
    return digits[0] <= len(text) <= digits[1] and (largest is None or int(text or "0") <= largest)


def log_odds(
    own: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64] | None,
    calibration: Mapping[str, float],
    spelled: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Log-odds (texts,) of each text from its scores (views, texts), the likeliest text of each view 0 at most.

    spelled: (texts,) probability of each to a model of single digits; it speaks for a text, but never against one.

    Views that see something else than the rest are heard, but no view can veto: the mean is over probabilities. Two
    readers err on the same numbers now and then, so that what they say together counts less than if they did not.
    """
    given = calibration.get
    floor = given("number floor", 1e-4)
    shares = np.exp(own - np.logaddexp.reduce(own, axis=1, keepdims=True))
    mean = given("number mean", 1.0) * np.log(shares.mean(0) + floor)
    product = given("number product", 0.0) * np.log(shares + floor).mean(0)
    total = mean + product
    if spelled is not None:
        total = total + given("spelled", 0.0) * spelled
    if other is not None:
        second = np.exp(other - np.logaddexp.reduce(other, axis=1, keepdims=True))
        total = total + given("second mean", 1.0) * np.log(second.mean(0) + given("second floor", 1e-3))
        total = given("both", 1.0) * total
    return np.asarray(total)
