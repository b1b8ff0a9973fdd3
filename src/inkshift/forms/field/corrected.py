"""A number that was struck out with another beside or above it: both are read, and a person sees both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components, digit_height
from inkshift.forms.field import fields
from inkshift.forms.reading import CROSSED, Candidate, FieldReading

Read = Callable[[Sequence[cutout.FieldJob]], Sequence[FieldReading]]

STRUCK = "struck"

# In digit heights: pieces of ink so near to each other, across and down, are of one number, which is so high at least.
_ACROSS, _DOWN, _HIGH = 0.5, 0.06, 0.5
# Confidence from which on a field is not asked; share of the new number's probability that is left to it.
_SURE, _LEFT = 0.9, 0.6


def with_corrections(
    work: Sequence[cutout.FieldJob], readings: Sequence[FieldReading], reference: float | None, read: Read
) -> list[FieldReading]:
    """Readings of numbers in which a struck number and the one that was put in its place are told apart.

    Such a field is `written`, with the new number as its value and less than full confidence; being crossed out and the
    old number are candidates, and `marks` has `struck`. read: reads fields.
    """
    out = list(readings)
    for k, (job, reading) in enumerate(zip(work, readings, strict=True)):
        if (reading.state == "written" and reading.confidence > _SURE) or reading.state == "blank":
            continue
        parts = parts_of(job, reference)
        if parts is not None:
            old, new = read(parts)
            if new.state == "written":
                out[k] = _both(reading, old, new)
    return out


def parts_of(job: cutout.FieldJob, reference: float | None) -> tuple[cutout.FieldJob, cutout.FieldJob] | None:
    """The field with only what was struck out, and with only the rest; None where not just a part was struck."""
    ink = cutout.strokes(job, reference)
    _, stats = components(ink)
    height = digit_height(stats)
    if height < 8:
        return None
    reach = max(1, round(_DOWN * height)) | 1, max(1, round(_ACROSS * height)) | 1
    labels, groups = components(inks.grown((ink > 0).view(np.uint8), *reach))
    struck, rest = np.zeros(ink.shape, bool), np.zeros(ink.shape, bool)
    high = False
    for k, group in enumerate(groups.tolist(), 1):
        own = labels == k
        if fields.struck_share(ink * own) > 0.5:
            struck |= own
        else:
            rest |= own
            high = high or group[3] >= _HIGH * height
    if not struck.any() or not high:
        return None
    return _without(job, rest), _without(job, struck)


def _without(job: cutout.FieldJob, gone: npt.NDArray[np.bool_]) -> cutout.FieldJob:
    mask = gone if job.print_ is None else gone | job.print_
    return replace(job, dark=job.dark * ~gone, print_=mask, struck=0.0)


def _both(whole: FieldReading, old: FieldReading, new: FieldReading) -> FieldReading:
    kept = new.candidates[:3]
    left = 1 - _LEFT * sum(c.probability for c in kept)
    texts = [c for c in old.candidates if c.written != CROSSED][:2]
    total = sum(c.probability for c in texts) or 1.0
    given = (
        *(Candidate(c.written, c.probability * _LEFT) for c in kept),
        Candidate(CROSSED, 0.6 * left),
        *(Candidate(c.written, 0.3 * left * c.probability / total) for c in texts if c.written != new.written),
    )
    given = tuple(sorted(given, key=lambda c: -c.probability))
    marks = (STRUCK, *new.marks)
    if given[0].written != new.written:
        return replace(whole, candidates=given, marks=marks)
    return replace(new, confidence=new.confidence * _LEFT, candidates=given, marks=marks)
