"""A straight line along a side of a crop, and what lies beyond it: how the lines of boxes and of borders are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Mask
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components

Places = npt.NDArray[np.intp]

# Shares of the shorter side of a box or crop: how far from a side its line is looked for, and how thick it is at most.
SLACK, THICKEST = 0.28, 0.24
# Share of the way from corner to corner that a line covers which is known to be there.
KNOWN = 0.85
# Pixels of a crop's shorter side above which lines are looked for at every other place, and may be two pixels off.
_COARSE = 30


@dataclass(frozen=True, slots=True)
class SideLine:
    """A straight line along a side. ends: its place at the beginning and end of the side, in pixels from the
    crop's edge inwards. thick: pixels."""

    ends: tuple[float, float]
    thick: int


def quarter_turned(mask: Mask, quarters: int) -> Mask:
    """A view of a mask turned left by 0 to 3 quarters, as `np.rot90` gives it at many times the cost."""
    return (mask, mask.T[::-1], mask[::-1, ::-1], mask.T[:, ::-1])[quarters]


def stroke_mask(dark: Gray) -> Mask:
    """What may be a line: print may be fainter than what is written."""
    return np.asarray(dark > max(0.5 * inks.threshold_of(dark), inks.FAINTEST), np.bool_)


def find_line(strip: Mask, share: float, thickest: int) -> SideLine | None:
    """The straight line through a strip (S, L) from its first column to its last that ink covers most of.

    It may lean by as much as the strip is high. None where less than `share` is covered or it is thicker than
    `thickest`.
    """
    high, long = strip.shape
    if high < 3 or long < 8 or np.count_nonzero(strip.any(0)) / long < share:
        return None
    left, right, places = _lines_of(high, long)
    wide = inks.grown(np.ascontiguousarray(strip).view(np.uint8), 3, 1)
    passed = wide.ravel().take(places)
    cover = cv2.reduce(passed, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0] / places.shape[1]
    best = float(cover.max())
    if best < share:
        return None
    some = np.flatnonzero(cover >= best - 0.02)
    first, last = left[some], right[some]
    at = int(some[np.argmin(np.abs(first - inks.middle_of(first)) + np.abs(last - inks.middle_of(last)))])
    ends = int(left[at]), int(right[at])
    thick, middle = _thickness(strip, ends, thickest + 3)
    if not 0 < thick <= thickest:
        return None
    return SideLine((ends[0] + middle, ends[1] + middle), thick)


@lru_cache(maxsize=64)
def _lines_of(high: int, long: int) -> tuple[Places, Places, Places]:
    """Lines through a strip of this size: rows of both ends, (N,), and places in the flat strip that they pass, (N, P).

    Fields of a page are of a few sizes, so that these are kept.
    """
    columns = np.linspace(0, long - 1, min(long, 32)).round().astype(int)
    ends = np.arange(0, high, 1 if high <= 12 else 2)
    left, right = (grid.ravel() for grid in np.meshgrid(ends, ends, indexing="ij"))
    lean = np.abs(left - right) <= 0.15 * long
    left, right = left[lean], right[lean]
    rows = np.rint(left[:, None] + (right - left)[:, None] * (columns / (long - 1))).astype(int)
    return left, right, rows * long + columns


def _thickness(strip: Mask, ends: tuple[int, int], far: int) -> tuple[int, float]:
    """How many parallels of a line ink covers too, and how far the middle of them is from it; ends: its rows at both
    ends; far: how far from it they are looked at, on both sides."""
    places, inside, counts = _parallels(*strip.shape, *ends, far)
    passed = strip.ravel().take(places) & inside
    shares = (np.count_nonzero(passed, axis=1) / counts).tolist()
    start = max(range(far - 2, far + 3), key=lambda row: (shares[row], -abs(row - far)))
    least = 0.6 * shares[start]
    first = last = start
    while first > 0 and shares[first - 1] >= least:
        first -= 1
    while last < 2 * far and shares[last + 1] >= least:
        last += 1
    return last - first + 1, (first + last) / 2 - far


@lru_cache(maxsize=256)
def _parallels(high: int, long: int, left: int, right: int, far: int) -> tuple[Places, Mask, npt.NDArray[np.float64]]:
    """A line through a strip of this size, from row to row, and its parallels on both sides: the places in the flat
    strip that they pass, (P, long), which of them are inside, and how many, (P,); boundless where most are not."""
    line = np.rint(left + (right - left) * (np.arange(long) / (long - 1))).astype(int)
    rows = line + np.arange(-far, far + 1)[:, None]
    inside = (rows >= 0) & (rows < high)
    counts = np.count_nonzero(inside, axis=1)
    places = np.clip(rows, 0, high - 1) * long + np.arange(long)
    return places, inside, np.where(counts > 0.5 * long, counts, np.inf)


def take(print_: Mask, mask: Mask, faint: Mask, line: SideLine, along: tuple[int, int]) -> None:
    """Mark a line that lies along the top, a pixel around it, what is left of its edge where it bends or leans (thin,
    and nothing below), and pieces of ink wholly beyond it; in place. mask, faint: what may be a line; any ink."""
    first, last = along
    h, w = mask.shape
    slope = (line.ends[1] - line.ends[0]) / max(last - first - 1, 1)
    place = line.ends[0] + slope * (np.arange(w) - first)
    # What lies beyond the line is above its lowest point.
    deep = min(h, max(0, int(np.ceil(place.max() + line.thick / 2 + 2))))
    rows = np.arange(deep)[:, None]
    print_[:deep] |= np.abs(rows - place) <= line.thick / 2 + 1
    beyond = rows < place - line.thick / 2
    rest = mask[:deep] & ~print_[:deep]
    if (rest & beyond).any():
        labels, stats = components(rest.view(np.uint8))
        outside = np.ones(len(stats) + 1, bool)
        outside[labels[~beyond]] = False
        outside[0] = False
        print_[:deep] |= outside[labels]
    columns = np.arange(first, last)
    below = np.floor(place[columns] + line.thick / 2 + 1).astype(int) + 1
    most = max(2 if min(h, w) > _COARSE else 1, line.thick // 2)
    ends = np.minimum(np.maximum(below + np.arange(most + 1)[:, None], 0), h - 1)
    inked = faint[ends, columns]
    thin = inked[0] & ~inked.all(0)
    edge = np.logical_and.accumulate(inked[:most], axis=0) & thin & (below + most < h)
    print_[ends[:most][edge], np.broadcast_to(columns, edge.shape)[edge]] = True
