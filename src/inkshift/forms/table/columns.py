"""The columns of a flat picture of a table: by upright lines, and by gutters that nearly all rows leave free."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats, Labels, Mask
from inkshift.forms.field.struck import CORE
from inkshift.forms.table.pieces import SMALL, STROKE, extents, runs_of
from inkshift.forms.table.rows import peaks
from inkshift.forms.table.ruling import Ruling

# In digit heights: a gap that parts columns in a tall table, and what is added to it in one of a single row; the
# narrowest gutter between numbers of many lengths. How much wider its gaps are than the wide ones within numbers.
GUTTER, FEW_ROWS, SLIT, INNER = 0.85, 0.8, 0.35, 2.2
# Share of the rows that may cross a gutter: titles do, and a number that is longer than all others.
CROSSING = 0.15


def bodies(labels: Labels, stats: Labels, written: npt.NDArray[np.int64], height: float) -> tuple[Labels, Floats]:
    """Pieces without the strokes that lead to them: x, y, width, height, area of each part, and the pieces' middles.

    A stroke before a number often touches it, and would fill the gap between two columns.
    """
    parts, middle = [], np.zeros(len(written))
    for n, k in enumerate(written.tolist()):
        x, y, w, h, area = stats[k].tolist()
        ends = [(0, w)]
        if w > 1.2 * height:
            own = labels[y : y + h, x : x + w] == k + 1
            tall = extents(own) >= STROKE * height
            ends = [(int(a), int(b)) for a, b in runs_of(tall)] or ends
        parts += [(x + a, y, b - a, h, area) for a, b in ends]
        a, b = max(ends, key=lambda end: end[1] - end[0])
        middle[n] = x + (a + b) / 2
    return np.array(parts, np.int32).reshape(-1, 5), middle


def find_columns(stats: Labels, height: float, ruling: Ruling, width: int) -> list[tuple[int, int]]:
    """First and last pixel, the last left out, of each column; one without ink is between upright lines, and most of
    the level ones go through it."""
    solid = stats[stats[:, 3] >= SMALL * height]
    if not len(solid):
        return [(0, width)]
    extent = (solid[:, 1] + solid[:, 3]).max() - solid[:, 1].min()
    walls: list[int] = []
    for x, w in sorted((int(x), int(w)) for x, _, w, h in ruling.upright.tolist() if h >= 0.5 * extent):
        if not walls or x + w // 2 - walls[-1] > 0.5 * height:
            walls.append(x + w // 2)
    middle = solid[:, 0] + solid[:, 2] / 2
    out = []
    for x0, x1 in pairwise([0, *walls, width]):
        own = solid[(middle >= x0) & (middle < x1)]
        if len(own):
            out += list(pairwise([x0, *_gutters(own, height), x1]))
        elif x0 and x1 < width and x1 - x0 > height:
            x, _, w, _ = ruling.level.T
            if (np.minimum(x + w, x1) - np.maximum(x, x0) > 0.8 * (x1 - x0)).sum() >= 0.5 * len(ruling.level):
                out.append((x0, x1))
    return out


def _gutters(solid: Labels, height: float) -> list[int]:
    """Middles of the upright stretches of paper that nearly all rows leave free."""
    core = solid[solid[:, 3] >= CORE * height]
    at = peaks(core if len(core) else solid, height)
    if not len(at):
        return []
    row = np.abs((solid[:, 1] + solid[:, 3] / 2)[:, None] - at[None, :]).argmin(1)
    left, right = int(solid[:, 0].min()), int((solid[:, 0] + solid[:, 2]).max())
    covered = np.zeros((len(at), right - left), np.bool_)
    for r, (x, _, w, _, _) in zip(row.tolist(), solid.tolist(), strict=True):
        covered[r, x - left : x + w - left] = True
    covered = covered[covered.any(1)]
    best: list[int] = []
    for skipped in range(min(3, max(len(covered) - 2, 1))):
        found = _free(covered[skipped:], height)
        if len(found) > len(best):
            best = found
    return [x + left for x in best]


def _free(covered: Mask, height: float) -> list[int]:
    """Middles of the runs of columns of pixels that hardly a row covers and that part numbers. covered: (rows, W).

    A run parts them where it is wide, or where the rows' own gaps at it are, and much wider than those in numbers:
    numbers that end below each other begin where they like.
    """
    amount = covered.sum(0)
    most = int(CROSSING * np.quantile(amount[amount > 0], 0.9)) if amount.any() else 0
    few = FEW_ROWS / len(covered)
    ends = np.flatnonzero(np.diff(np.concatenate(([0], (amount <= most).view(np.int8), [0]))))
    inside = [(a, b) for a, b in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True) if a and b < len(amount)]
    gaps = [
        np.flatnonzero(np.diff(np.concatenate(([1], row.view(np.int8), [1])))).reshape(-1, 2)[1:-1] for row in covered
    ]
    return [
        (a + b) // 2
        for a, b in inside
        if b - a >= (GUTTER + few) * height
        or (b - a >= SLIT * height and _parts(gaps, (a + b) / 2, inside, (GUTTER + few) * height))
    ]


def _parts(gaps: list[npt.NDArray[np.intp]], x: float, runs: list[tuple[int, int]], need: float) -> bool:
    """Whether the rows' gaps at x are wide, and wider than those within numbers. gaps: ends of each, by row."""
    here = [b - a for row in gaps for a, b in row.tolist() if a <= x < b]
    within = [b - a for row in gaps for a, b in row.tolist() if not any(a <= (c + d) / 2 < b for c, d in runs)]
    usual = float(np.quantile(within, 0.9)) if within else 0.0
    return len(here) > 1 and float(np.median(here)) >= max(need, INNER * usual)
