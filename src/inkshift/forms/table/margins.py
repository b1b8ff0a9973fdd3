"""What lies around a table and is none of it: dark edges of a scanner, punched holes, print above and below, dots that
lead from words to numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from inkshift.arrays import Floats, Gray, Labels, Mask, Pixels
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.ink import grown
from inkshift.forms.cut.segment import components
from inkshift.forms.field.struck import CORE
from inkshift.forms.table.ruling import Ruling, digit_height
from inkshift.reframe import to_gray

# Shares of the digit height: no stroke of a pen is as thick; a hole is at least as wide. How far the area of a hole is
# from that of an ellipse of its width and height, at most.
SOLID, HOLE, ROUND = 0.4, 0.7, 0.12
# Shares of the picture's sides: how far from one the middle of a hole lies at most; how long a dark edge is at least.
# How dark it is, as a share of the paper's gray; pixels that it is thick, beyond the picture's border counted in.
MARGIN, LONG, DARK, THICK = 0.2, 0.3, 0.5, 9
# Level lines that part rows: how many there are at least, and shares of one of them that the others are long and have
# in common with it; usual steps between two lines, beyond which they part no rows. Print around a table is less than
# such a share of the height of what is in it.
LINES, ALIKE, FAR, PRINT = 4, 0.7, 3.0, 0.75
# A page with so many letters in lines of small print, of so many at least, each no further from the next, and no higher
# or lower, than so many of its heights, has its numbers where pieces are higher: letters are at most such a share of
# their height, numbers are no further below each other than so many of their heights, and there are so many pieces of
# them, over so many heights.
LETTERS_OF_PAGE = 20_000  # more are specks
MUCH, LETTERS, WORDS_APART, LEVEL, SMALLER, BESIDE, FEWEST, ROWS = 60, 15, 1.2, 0.6, 0.5, 6.0, 4, 4.0
# Dots that lead to a number: so many at least; in digit heights, how large one is, how far the next one is, and how
# much higher or lower, all at most; how much the steps differ from the usual one, in shares of it.
LEADERS, DOT, STEP, OFF, STEADY = 6, 0.5, 1.2, 0.12, 0.35


def without_edges(image: Pixels) -> Pixels:
    """The picture, (H, W) or (H, W, 3) uint8, with paper for what is dark along its sides, as a scanner's bed is."""
    gray = to_gray(image)
    h, w = gray.shape
    paper = float(np.median(gray[::4, ::4]))
    solid = np.pad((gray < DARK * paper).view(np.uint8), THICK, constant_values=1)
    opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((THICK, THICK), np.uint8))
    labels, stats = components(np.ascontiguousarray(opened[THICK:-THICK, THICK:-THICK], np.uint8))
    gone = np.zeros(len(stats) + 1, np.bool_)
    for k, (x, y, wide, high, _) in enumerate(stats.tolist(), 1):
        at_side = (min(x, w - x - wide) <= 1 and high > LONG * h) or (min(y, h - y - high) <= 1 and wide > LONG * w)
        rim = int((labels[[0, -1]] == k).sum() + (labels[:, [0, -1]] == k).sum())
        gone[k] = at_side and rim > LONG * max(wide, high)
    if paper < 128 or not gone.any():
        return image
    out = image.copy()
    out[grown(gone[labels].view(np.uint8), THICK, THICK) > 0] = np.median(
        image[::4, ::4].reshape(-1, *image.shape[2:]), 0
    )
    return out


def without_holes(dark: Gray) -> Gray:
    """The darkness of a flat picture, (H, W) uint8, without punched holes near its sides."""
    gone = _holes((dark > inks.threshold_of(dark)).view(np.uint8))
    return np.where(grown(gone.view(np.uint8), 7, 7) > 0, 0, dark).astype(np.uint8) if gone.any() else dark


def _holes(ink: Gray) -> Mask:
    """Round solid spots near the sides of a picture, larger than any point: (H, W) bool."""
    h, w = ink.shape
    size = digit_height(components(ink)[1])
    thick = max(5, round(SOLID * size))
    solid = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick)))
    labels, stats = components(np.asarray(solid, np.uint8))
    out = np.zeros(len(stats) + 1, np.bool_)
    for k, (x, y, wide, high, area) in enumerate(stats.tolist(), 1):
        cx, cy = (x + wide / 2) / w, (y + high / 2) / h
        disc = min(wide, high) > 0.8 * max(wide, high) and abs(area / (wide * high) / (np.pi / 4) - 1) < ROUND
        out[k] = disc and max(wide, high) > HOLE * size and min(cx, cy, 1 - cx, 1 - cy) < MARGIN
    return np.asarray(out[labels], np.bool_)


def without_print(ruling: Ruling, height: float) -> Ruling:
    """The ruling without the small print above and below a table. height: of most pieces."""
    top, bottom = _between_rules(ruling, height) or _between_print(ruling.pieces) or (0.0, float(len(ruling.labels)))
    middle = ruling.pieces[:, 1] + ruling.pieces[:, 3] / 2
    return _with(ruling, (middle >= top) & (middle < bottom))


def without_leaders(ruling: Ruling, height: float) -> Ruling:
    """The ruling without the rows of dots that lead from words to numbers. height: of most digits."""
    small = np.flatnonzero(np.maximum(ruling.pieces[:, 2], ruling.pieces[:, 3]) <= DOT * height)
    dots = ruling.pieces[small]
    kept = np.ones(len(ruling.pieces), np.bool_)
    for row in _in_lines(dots, np.full(len(dots), STEP * height), np.full(len(dots), OFF * height)):
        steps = np.diff(dots[row, 0])
        if len(row) >= LEADERS and (np.abs(steps - np.median(steps)) <= STEADY * np.median(steps)).mean() > 0.8:
            kept[small[row]] = False
    return _with(ruling, kept)


def _in_lines(pieces: Labels, far: Floats, off: Floats) -> Iterator[list[int]]:
    """The pieces, (N, 5), in lines from left to right, each in one: the next of a piece begins no further to the right
    of it than `far` of it, its middle no higher or lower than `off` of it, (N,) pixels both."""
    order = np.argsort(pieces[:, 0], kind="stable")
    x, y, w, h, _ = pieces[order].T
    middle, far, off = y + h / 2, far[order], off[order]
    seen = np.zeros(len(pieces), np.bool_)
    for first in range(len(pieces)):
        if seen[first]:
            continue
        line = [first]
        while True:
            here = line[-1]
            end = int(np.searchsorted(x, x[here] + w[here] + far[here], side="right"))
            near = np.flatnonzero(np.abs(middle[here + 1 : end] - middle[here]) <= off[here])
            if not len(near):
                break
            line.append(here + 1 + int(near[0]))
        seen[line] = True
        yield order[line].tolist()


def _with(ruling: Ruling, kept: Mask) -> Ruling:
    """The ruling with those of its pieces alone; as it is where it would have none."""
    if kept.all() or not kept.any():
        return ruling
    number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)
    return replace(ruling, labels=number[ruling.labels], pieces=ruling.pieces[kept])


def _between_print(pieces: Labels) -> tuple[float, float] | None:
    """Top and bottom, in pixels, of what is higher than the letters of a page with many lines of small print."""
    if len(pieces) > LETTERS_OF_PAGE:
        return None
    y, high = pieces[:, 1], pieces[:, 3]
    print_ = _lines_of_print(pieces)
    if np.count_nonzero(print_) < MUCH:
        return None
    larger = ~print_ & (high * SMALLER > np.median(high[print_]))
    size = digit_height(pieces[larger])
    at = np.sort((y + high / 2)[larger & (high >= PRINT * size)])
    at = max(np.split(at, np.flatnonzero(np.diff(at) > BESIDE * size) + 1), key=len)
    if len(at) < FEWEST or at[-1] - at[0] < ROWS * size:  # a heading
        return None
    return float(at[0] - size), float(at[-1] + size)


def _lines_of_print(pieces: Labels) -> Mask:
    """Which pieces, (N,), are letters of lines of small print: many close to each other on one level."""
    high, out = pieces[:, 3], np.zeros(len(pieces), np.bool_)
    for line in _in_lines(pieces, WORDS_APART * np.maximum(high, pieces[:, 2]), np.asarray(LEVEL * high)):
        out[line] = len(line) >= LETTERS
    return out


def _between_rules(ruling: Ruling, height: float) -> tuple[float, float] | None:
    """Top and bottom, in pixels, of what is no small print above or below a table whose rows level lines part; None
    where they part none."""
    x, y, w, h = ruling.level.T
    whole = (0.0, float(len(ruling.labels)))
    if len(x) < LINES:
        return None
    shared = np.minimum((x + w)[:, None], x + w) - np.maximum(x[:, None], x)
    alike = np.minimum(shared, w[:, None]) >= ALIKE * w
    own = alike[:, max(range(len(x)), key=lambda k: (np.count_nonzero(alike[:, k]), w[k]))]
    at = np.sort(y[own] + h[own] / 2)
    at = at[np.concatenate([[True], np.diff(at) > CORE * height])]
    steps = np.diff(at)
    # A line of words may be taken for one far above or below the others.
    groups = np.split(at, np.flatnonzero(steps > FAR * np.median(steps)) + 1) if len(steps) else [at]
    at = max(groups, key=len)
    if len(at) < LINES:
        return None
    room = max(1.5 * height, float(np.median(np.diff(at))))
    middle, high = ruling.pieces[:, 1] + ruling.pieces[:, 3] / 2, ruling.pieces[:, 3]
    tall = high >= 0.3 * height
    inside = digit_height(ruling.pieces[(middle > at[0]) & (middle < at[-1])])
    above, below = (middle < at[0] - room) & tall, (middle > at[-1] + room) & tall
    top = at[0] - room if above.any() and np.median(high[above]) < PRINT * inside else whole[0]
    bottom = at[-1] + room if below.any() and np.median(high[below]) < PRINT * inside else whole[1]
    return float(top), float(bottom)
