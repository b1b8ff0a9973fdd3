"""What `peers.py` measures of a reader's numbers, from label, text and confidence alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from inkshift.forms.judge.evaluate import wilson
from inkshift.models.metrics import edit_distance

BINS = 10
ERRORS = (0.01, 0.02)


class Read(NamedTuple):
    """A number: what is there, what was read, how sure the reader is, 0 to 1. image: the picture's number in its set"""

    label: str
    text: str
    confidence: float
    image: int = 0


@dataclass(frozen=True, slots=True)
class Measures:
    """n, right: numbers. interval: 95 %, of the share right. character_errors: edits per digit of the labels.

    calibration_error, and accepted, the share accepted at each of ERRORS: 0 to 1.
    """

    n: int
    right: int
    interval: tuple[float, float]
    character_errors: float
    calibration_error: float
    accepted: tuple[float, ...]


def measure(numbers: Sequence[Read]) -> Measures:
    """All measures of at least one number."""
    right = [one.label == one.text for one in numbers]
    sure = [one.confidence for one in numbers]
    edits = sum(edit_distance(one.label, one.text) for one in numbers)
    return Measures(
        n=len(numbers),
        right=sum(right),
        interval=wilson(sum(right), len(right)),
        character_errors=edits / max(1, sum(len(one.label) for one in numbers)),
        calibration_error=calibration_error(sure, right),
        accepted=tuple(accepted_share(sure, right, error) for error in ERRORS),
    )


def beside(labels: Sequence[str], found: Sequence[tuple[str, float]], image: int = 0) -> list[Read]:
    """The numbers of one picture beside its labels, in order; one too many or too few is a wrong one.

    Where a picture holds several, what reads like a label is put beside it.
    """
    texts = [text for text, _ in found]
    pairs: list[Read] = []
    for _, a, b, c, d in SequenceMatcher(None, labels, texts, autojunk=False).get_opcodes():
        for label, one in zip_longest(labels[a:b], found[c:d]):
            text, confidence = one or ("", 0.0)
            pairs.append(Read(label or "", text, confidence, image))
    return pairs


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Mean gap of confidence and share right over bins of equal count, weighted by count.

    Readings of one confidence count alike in whichever bin they fall, so that their order says nothing.
    """
    _, group, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=np.asarray(right, float)) / counts
    order = np.argsort(confidences, kind="stable")
    gaps = np.asarray(confidences, float)[order] - share[group][order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(gaps))


def accepted_share(confidences: Sequence[float], right: Sequence[bool], error: float) -> float:
    """The largest share of most confident readings of which at most `error` are wrong.

    The threshold is chosen with hindsight; readings of one confidence are accepted together or not at all.
    """
    sure = np.asarray(confidences, float)
    order = np.argsort(-sure, kind="stable")
    wrong = np.cumsum(~np.asarray(right, bool)[order])
    count = np.arange(1, len(sure) + 1)
    last = np.append(sure[order][1:] != sure[order][:-1], True)
    fits = last & (wrong <= error * count)
    return float(count[fits].max(initial=0) / len(sure))
