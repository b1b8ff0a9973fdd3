"""Two models on the same held-out numbers: is one better, and how sure is that? The sampled unit is the form.

The difference has the interval of Agresti and Min (2005), Simple improved confidence intervals for comparing matched
proportions, Statistics in Medicine 24, 729-740: half a form more of each kind, which keeps it honest where two models
differ on few numbers or none. Its variance is taken over forms, since the numbers of one are of one hand.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from inkshift.errors import DataError
from inkshift.forms.judge.evaluate import wilson
from inkshift.forms.judge.guarantee import scipy

Verdict = Literal["better", "undecided", "worse"]
Bounds = tuple[float, float]
_POWER = 0.8416  # of the standard normal, 80 %
_OUT_OF_REACH = 100_000


class Seen(NamedTuple):
    """One held-out number: the form it is from, and whether the old and the new model read it right."""

    form: str
    old: bool
    new: bool


@dataclass(frozen=True, slots=True)
class Paired:
    """The new model against the old one. Shares from 0 to 1, their intervals at 95 %.

    only_old, only_new: numbers that only one of them read right. difference: new minus old; at90, at95: its intervals.
    verdict: by the one at 90 %, which leaves 5 % on either side. further: about how many held-out numbers more would
    tell a difference of this size four times in five; None where it is told already, or none is in reach.
    """

    numbers: int
    forms: int
    old: int
    new: int
    old_interval: Bounds
    new_interval: Bounds
    only_old: int
    only_new: int
    difference: float
    at90: Bounds
    at95: Bounds
    verdict: Verdict
    further: int | None


def compare(seen: Sequence[Seen]) -> Paired:
    """Hold two models against each other. Raises DataError without numbers, MissingExtraError without scipy."""
    if not seen:
        raise DataError("comparing two models: no number was held out; settle numbers of more forms")
    old, new = sum(s.old for s in seen), sum(s.new for s in seen)
    at90, at95 = _difference(seen, 0.90), _difference(seen, 0.95)
    verdict: Verdict = "better" if at90[0] > 0 else "worse" if at90[1] < 0 else "undecided"
    return Paired(
        len(seen),
        len({s.form for s in seen}),
        old,
        new,
        share_bounds(_by_form(seen, [s.old for s in seen])),
        share_bounds(_by_form(seen, [s.new for s in seen])),
        sum(s.old and not s.new for s in seen),
        sum(s.new and not s.old for s in seen),
        (new - old) / len(seen),
        at90,
        at95,
        verdict,
        _further(seen, at90) if verdict == "undecided" else None,
    )


def of_json(data: Mapping[str, Any]) -> Paired:
    """What `dataclasses.asdict` made of a comparison; other keys are passed over."""
    pairs = {name: tuple(data[name]) for name in ("old_interval", "new_interval", "at90", "at95")}
    return Paired(**{name: pairs.get(name, data[name]) for name in Paired.__slots__})


def _by_form(seen: Sequence[Seen], right: Sequence[bool]) -> list[tuple[int, int]]:
    forms: defaultdict[str, list[bool]] = defaultdict(list)
    for s, hit in zip(seen, right, strict=True):
        forms[s.form].append(hit)
    return [(sum(hits), len(hits)) for hits in forms.values()]


def _difference(seen: Sequence[Seen], level: float) -> Bounds:
    """Bounds of new minus old; (-1, 1) where there are fewer than two forms."""
    forms: defaultdict[str, list[int]] = defaultdict(list)
    for s in seen:
        forms[s.form].append(s.new - s.old)
    if len(forms) < 2:
        return -1.0, 1.0
    size = len(seen) / len(forms)
    total = len(seen) + 2 * size
    middle = sum(map(sum, forms.values())) / total
    spread = size**2 + sum((sum(gains) - middle * len(gains)) ** 2 for gains in forms.values())
    error = math.sqrt(spread * len(forms) / (len(forms) - 1)) / total
    reach = float(scipy("stats", "comparing two models").t.ppf((1 + level) / 2, len(forms) - 1)) * error
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def share_bounds(forms: Sequence[tuple[int, int]]) -> Bounds:
    """The interval of Wilson (1927) with as many numbers as they are worth: those of one form are of one hand.

    forms: of each, how many numbers were right, of how many.
    """
    right, n = (sum(counts) for counts in zip(*forms, strict=True))
    share = right / n
    alone = n * share * (1 - share)
    together = sum((hits - share * count) ** 2 for hits, count in forms)
    worth = len(forms) if not alone or len(forms) == 1 else n * min(1.0, alone / together) if together else n
    return wilson(share * worth, worth)


def _further(seen: Sequence[Seen], at90: Bounds) -> int | None:
    difference = abs(sum(s.new - s.old for s in seen)) / len(seen)
    if not difference:
        return None
    half = (at90[1] - at90[0]) / 2
    needed = len(seen) * (half * (1 + _POWER / 1.6449) / difference) ** 2
    return math.ceil(needed - len(seen)) if len(seen) < needed < _OUT_OF_REACH else None
