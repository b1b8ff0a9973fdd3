"""A box to tick: whether there is a mark in it or around it, or what nobody can tell.

What the ink looks like is a few numbers; a multinomial regression, fitted on drawn boxes by `benchmarks/ticks.py`,
turns them into the probabilities of `0`, `1` and of what is neither: a box struck out, or gone over until nothing is
seen.
"""

from __future__ import annotations

import cv2
import numpy as np

from inkshift.arrays import Box, Floats, Gray
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut import printed
from inkshift.forms.cut.cutout import FieldJob
from inkshift.forms.cut.segment import components
from inkshift.forms.reading import UNREADABLE, Candidate, FieldReading, state_of

ROOM = 0.5
"""Share of a box's height that is looked at around it."""
SYMBOLS = ("0", "1", UNREADABLE)
FEATURES = (
    *("length", "short", "strokes", "cover", "full", "full x spill", "spill", "struck", "round", "round alone", "one"),
)
# Shares of a box's side that are left out along its sides, where its line is printed and where it is not.
_INSET, _BARE = 0.14, 0.04
# Sectors around the box in which ink is looked for, and how high the band is in which strokes pass through, in sides.
_SECTORS, _BAND = 16, 0.7
# Share of a box's diagonal below which a mark is short.
_SHORT = 0.35

# Of each symbol, what each feature speaks for it; `0` is what the others are compared with. Fitted, see above.
WEIGHTS: Floats = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.71, 0.98, 2.56, 3.07, 0.37, -1.34, 0.66, -2.82, 2.36, 4.41, -4.09],
        [2.93, 0.35, 1.31, 3.65, 0.59, 1.38, 2.89, 3.53, 2.58, 0.12, -5.62],
    ]
)


def read_tick(job: FieldJob, reference: float | None) -> FieldReading:
    """The reading of a box: value `1` or `0`, or overwritten, with the probability of each.

    reference: how dark ink is on this page (`ink.ink_level`).
    """
    shares = probabilities(features(job.dark, job.frame, job.printed, reference)[None])[0]
    given = dict(zip(SYMBOLS, shares * (1 - job.struck), strict=True))
    given[UNREADABLE] += job.struck
    ranked = tuple(Candidate(s, float(p)) for s, p in sorted(given.items(), key=lambda one: -one[1]))
    best = ranked[0].written
    value = "" if best == UNREADABLE else best
    return FieldReading(job.name, value, best, state_of(best), ranked[0].probability, ranked, kind="tick")


def probabilities(rows: Floats, weights: Floats | None = None) -> Floats:
    """Of each of `SYMBOLS`, (N, 3), from rows of features (N, F)."""
    scores = rows @ (WEIGHTS if weights is None else weights).T
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


def features(dark: Gray, box: Box, framed: bool, reference: float | None) -> Floats:
    """What the ink in and around a box looks like, `FEATURES`, each 0 to about 1.

    dark: (H, W) uint8, darkness of the box and its surroundings (`ink.darkness`). box: xmin, ymin, xmax, ymax in its
    pixels. framed: its lines are printed. reference: how dark ink is on this page.
    """
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    lines = printed.from_box(dark, box) if framed else np.zeros(dark.shape, bool)
    inset = (_INSET if framed else _BARE) * min(width, height)
    ix, iy = max(1, round(inset)), max(1, round(inset))
    inside = np.zeros(dark.shape, bool)
    inside[y0 + iy : y1 - iy, x0 + ix : x1 - ix] = True
    within = np.where(lines, 0, dark).astype(np.uint8)
    core = within[y0 + iy : y1 - iy, x0 + ix : x1 - ix]
    # A box filled from side to side shows no paper, so as much of that is put beside it.
    threshold = inks.threshold_of(np.hstack([core, np.zeros_like(core)]), reference)
    ink = inks.extract(np.where(inside, within, 0).astype(np.uint8), threshold)[y0 + iy : y1 - iy, x0 + ix : x1 - ix]
    length, strokes = _size(ink)
    short = min(length / _SHORT, 1.0)
    cover = float(np.count_nonzero(ink)) / max(ink.size, 1)
    around = _around(dark, box, threshold)
    spill, struck = _spill(around, box), _through(around, ink, box)
    full, round_ = max(cover - 0.45, 0.0) / 0.55, _round(around, box)
    inked = (length, short, strokes, min(cover, 0.4) / 0.4, full, full * spill)
    return np.array([*inked, spill, struck, round_, round_ * (1 - short), 1.0])


def _size(ink: Gray) -> tuple[float, float]:
    """How long the largest piece of ink is, as a share of the box, and how many times longer than its stroke is wide, 1
    for eight: a speck is as wide as it is long."""
    labels, stats = components(ink)
    if not len(stats):
        return 0.0, 0.0
    long = np.hypot(stats[:, 2], stats[:, 3])
    k = int(long.argmax())
    piece = (labels == k + 1).view(np.uint8)
    depth = float(cv2.distanceTransform(np.pad(piece, 1), cv2.DIST_L2, 3).max())
    return min(float(long[k] / np.hypot(*ink.shape)), 1.0), min(float(long[k]) / max(2 * depth, 1.0) / 8, 1.0)


def _around(dark: Gray, box: Box, threshold: float) -> Gray:
    """Ink outside of a box, a little off its sides, without straight lines as of a table that the box stands in."""
    x0, y0, x1, y1 = box
    off = max(2, round(0.1 * (y1 - y0)))
    outside = dark.copy()
    outside[max(y0 - off, 0) : y1 + off, max(x0 - off, 0) : x1 + off] = 0
    ink = inks.extract(outside, threshold)
    return inks.without_rules(ink, across=round(0.8 * ink.shape[1]), down=round(0.8 * ink.shape[0]))


def _spill(around: Gray, box: Box) -> float:
    """Ink close around the box, as a share of that room."""
    x0, y0, x1, y1 = box
    reach = round(0.3 * (y1 - y0))
    near = around[max(y0 - reach, 0) : y1 + reach, max(x0 - reach, 0) : x1 + reach]
    room = near.size - (x1 - x0) * (y1 - y0)
    return min(1.0, 3 * float(np.count_nonzero(near)) / max(room, 1))


def _through(around: Gray, ink: Gray, box: Box) -> float:
    """How far ink reaches on both sides of the box at its middle height, in shares of what is looked at, where there is
    ink between."""
    x0, y0, x1, y1 = box
    half = _BAND * (y1 - y0) / 2
    middle = (y0 + y1) / 2
    band = around[max(round(middle - half), 0) : round(middle + half)] > 0
    left, right = band[:, :x0].any(0), band[:, x1:].any(0)
    if not (ink.any() and left.size and right.size):
        return 0.0
    return float(min(left.mean(), right.mean()))


def _round(around: Gray, box: Box) -> float:
    """How far ink outside goes round the box: 1 where it is in all directions from its middle, 0 where in half of them
    or fewer, as a word beside it is."""
    x0, y0, x1, y1 = box
    y, x = np.nonzero(around)
    angle = np.arctan2((y - (y0 + y1) / 2) / (y1 - y0), (x - (x0 + x1) / 2) / (x1 - x0))
    sectors = np.unique(((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS)
    return max(0.0, 2 * len(sectors) / _SECTORS - 1)
