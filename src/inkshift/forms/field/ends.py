"""What stands at the ends of a number: a line that may be the border of a table or a 1, as it is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut.segment import components, digit_height, stroke_lean
from inkshift.forms.reading import CellReading

# In digit heights: a stroke by itself is so high, and leans so far at most, to be a 1; a 1 is read so near to it. What
# is higher and leans more is a slash. How many times likelier than not a recogniser tells a border from a 1; share of
# its probability that is left at least to a number that passes a stroke over.
_HIGH, _LEAN, _NEAR, _RISING, _SLASH = 0.85, 0.35, 0.35, 1.25, 0.25
_HEARD, _PASSED_OVER = 5.0, 0.4


def left_by_ends(borders: Sequence[tuple[float, float] | None], ink: Gray, digits: Sequence[CellReading]) -> float:
    """The share of its probability, 0 to 1, that a number keeps by what stands at its left and right end.

    borders: see `FieldJob.ends`. ink: (H, W) uint8, of the number. digits: as they were read, with their boxes; none
    where these are not known. A border read as a 1 costs it, and so does a stroke that is none and is not read as a 1.
    """
    if not digits:
        return 1.0
    left = 1.0
    for border, stroke, digit in zip(borders, _strokes_at_ends(ink), (digits[0], digits[-1]), strict=True):
        x0, y0, x1, y1 = digit.box
        place, sure = (stroke, 0.0) if border is None else border
        if place is not None:
            read = digit.symbol == "1" and abs((x0 + x1) / 2 - place) < _NEAR * (y1 - y0)
            right = _HEARD * (1 - sure if read else sure)
            left *= max(right / (right + (sure if read else 1 - sure)), 0.0 if read else _PASSED_OVER)
    return left


def _strokes_at_ends(ink: Gray) -> tuple[float | None, ...]:
    """The middle, in pixels, of the first and the last piece of a number's ink, where it is one straight stroke as high
    as the digits."""
    labels, stats = components(ink)
    height = digit_height(stats)
    tall = np.flatnonzero(stats[:, 3] >= 0.5 * height)
    if len(tall) < 2:
        return None, None
    x, w = stats[tall, 0], stats[tall, 2]
    ends = int(tall[np.argmin(x)]), int(tall[np.argmax(x + w)])
    return tuple(stats[k, 0] + stats[k, 2] / 2 if _is_one(labels, stats, k, height) else None for k in ends)


def _is_one(labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], k: int, height: float) -> bool:
    x, y, w, h, _ = stats[k].tolist()
    if h < _HIGH * height or w > 0.5 * h:
        return False
    lean = stroke_lean(labels[y : y + h, x : x + w] == k + 1)
    slash = h > _RISING * height and abs(lean or 0) > _SLASH
    return lean is not None and abs(lean) < _LEAN and not slash
