"""Rows of dots, printed to write on or around a field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Mask
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components
from inkshift.forms.cut.sides import stroke_mask

# Of dots in a row: heights of a field that one is large, and apart, at most; how many a row has, and how many heights
# long it is, at least. So many specks are the grain of the paper; a safety print is of specks too, of which fewer than
# such a share are in rows. What has so many times the area of its row's dots is none.
DOT, _APART, _ROW, _LONG, _GRAIN, _REGULAR, _LARGER = 0.13, 0.6, 5, 0.5, 400, 0.6, 1.7


def from_dots(dark: Gray, high: int) -> Mask:
    """Rows of dots, printed to write on or around a field: (H, W) bool, those that no stroke touches, with a pixel
    around each.

    dark: (H, W) uint8. high: of the field, in pixels. A row is of many round dots of one size, evenly apart; where
    something was written over it, some are missing.
    """
    none = np.zeros(dark.shape, bool)
    if min(dark.shape) < 12:
        return none
    labels, stats = components(stroke_mask(dark).view(np.uint8))
    _, _, w, h, area = stats.T
    longer, shorter = np.maximum(w, h), np.minimum(w, h)
    dots = np.flatnonzero((longer <= DOT * high) & (longer <= 2 * shorter) & (2 * area >= w * h))
    if not _ROW <= len(dots) <= _GRAIN:
        return none
    middles = stats[dots, :2] + stats[dots, 2:4] / 2
    if np.mean(_in_line(middles[:, 0]) | _in_line(middles[:, 1])) < _REGULAR:
        return none
    own, corner = np.zeros(len(dots), bool), np.ones(len(dots), bool)
    for way in (middles, middles[:, ::-1]):
        near = np.zeros(len(dots), bool)
        for row, pitch in _rows_of_dots(way, area[dots], high):
            own[row] = True
            for end in (row[0], row[-1]):
                near |= np.hypot(*(middles - middles[end]).T) <= 2 * pitch
        corner &= near
    if own.sum() < _REGULAR * len(dots):
        return none
    print_ = np.zeros(len(stats) + 1, np.uint8)
    print_[dots[own | corner] + 1] = 1  # where a level row and an upright one end, dots stand in between
    return inks.grown(print_[labels], 3, 3) > 0


def _in_line(places: npt.NDArray[np.float64]) -> Mask:
    """Which of some dots, (N,), have far more others at their place to a pixel than if they were spread evenly: a row
    of them may be there, and the rest need no closer look."""
    at = np.rint(places).astype(np.intp)
    counts = np.convolve(np.bincount(at, minlength=3), np.ones(3), "same")
    return np.asarray(counts[at] >= max(_ROW, 3 * 3 * len(at) / len(counts)), np.bool_)


def _rows_of_dots(
    middles: npt.NDArray[np.float64], area: npt.NDArray[np.int32], high: int
) -> list[tuple[list[int], float]]:
    """The dots, (N, 2) middles, that are evenly apart in rows along the first coordinate, each row in order, and how
    far apart they are."""
    along, aside = (middles[None, :, k] - middles[:, None, k] for k in (0, 1))
    near = (along > 0) & (along <= _APART * high) & (np.abs(aside) <= np.maximum(1.5, 0.1 * along))
    away = np.where(near, along, np.inf)
    following, before = away.argmin(1), away.argmin(0)
    # The next of one whose last it is, so that no dot is in two rows.
    linked = near.any(1) & (before[following] == np.arange(len(middles)))
    rows = []
    for first in sorted(set(range(len(middles))) - set(following[linked].tolist())):
        row = [first]
        while linked[row[-1]]:
            row.append(int(following[row[-1]]))
        if len(row) < _ROW or middles[row[-1], 0] - middles[row[0], 0] < _LONG * high:
            continue
        steps = np.diff(middles[row, 0])
        pitch, size = max(float(np.median(steps)), 1.0), float(np.median(area[row]))
        even = np.abs(steps / pitch - np.rint(steps / pitch)) < 0.2
        place, off = middles[row].T
        straight = np.abs(off - np.polyval(np.polyfit(place, off, 1), place)) < max(0.75, 0.1 * pitch)
        if even.mean() >= 0.8 and straight.mean() >= 0.9:
            # A point that was written between two of them, or is larger than they are, is none.
            of_row = (np.append(even, False) | np.append(False, even)) & (area[row] <= _LARGER * size) & straight
            rows.append(([dot for dot, one in zip(row, of_row, strict=True) if one], pitch))
    return rows
