"""Whether a number was struck out: a line, a cross or a zigzag drawn through its digits."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Labels
from inkshift.forms.cut.ink import grown, padded
from inkshift.forms.cut.segment import components

# Pixels: digits are at least this high.
SMALLEST = 8
# Share of the digit height: what is at least so high shows where a row is.
CORE = 0.45
# Pixels of the height that digits are brought to; how wide a digit is with the gap beside it, and a
# lone one at most; gaps in which digits touch, of how many, before a column is seen. Log odds, fitted to composed
# numbers: of any row, of a line through it, of each crossing and loop, and of a piece of it as wide as high.
SIZE, DIGIT_WIDTH, LONE, TOUCHING = 32, 0.75, 1.3, (0.3, 2.0)
RARE, THROUGH, CROSSING, WIDTH = -1.5, 2.5, 0.5, -2.0


def struck_rows(rows: list[npt.NDArray[np.bool_]], spans: Labels) -> list[float]:
    """For each row, a mask (H, W) of its ink, how sure it is that it was struck out: 0 to 1.

    Strokes through a number leave no gap in it, cross its own and close loops with them (Chaudhuri and Adak, "An
    approach for detecting and cleaning of struck-out handwritten text", Pattern Recognition 61, 2017). How likely
    it is that a number has no gap all the same is told by the column's other rows. Of a single digit nothing is told.
    """
    figures = [_figure(own, top, bottom) for own, (top, bottom) in zip(rows, spans.tolist(), strict=True)]
    widths = [_wide(figure) for figure in figures]
    wide = np.array([figure.shape[1] / SIZE for figure in figures])
    pieces = np.array([len(width) for width in widths])
    gaps = np.maximum(np.maximum(pieces, wide / DIGIT_WIDTH) - 1, 0.0)
    closed = np.maximum(gaps + 1 - pieces, 0.0)
    touching = (TOUCHING[0] + closed.sum() - closed) / (TOUCHING[1] + gaps.sum() - gaps)
    sure = []
    for k, (figure, width) in enumerate(zip(figures, widths, strict=True)):
        if wide[k] < LONE or not len(width) or width.max() < 0.9 * figure.shape[1]:
            sure.append(0.0)
            continue
        extra = _crossings(figure, _path(figure)) + _loops(figure)
        odds = (
            RARE + THROUGH * _line_through(figure) + CROSSING * extra + WIDTH * wide[k] - gaps[k] * np.log(touching[k])
        )
        sure.append(float(1 / (1 + np.exp(-odds))))
    return sure


def _figure(own: npt.NDArray[np.bool_], top: int, bottom: int) -> Gray:
    """A row's pieces as high as a digit, from the first to the last: 0/1, digits SIZE pixels high."""
    high = max(bottom - top, SMALLEST)
    part = own[max(top - high // 4, 0) : bottom + high // 4].view(np.uint8)
    labels, stats = components(part)
    part = np.concatenate([[False], stats[:, 3] >= CORE * high])[labels].astype(np.uint8)
    extent = len(part) - part[::-1].argmax(0) - part.argmax(0)
    columns = np.flatnonzero(part.any(0) & (extent >= CORE * high))
    if not len(columns):
        return np.zeros((SIZE, 1), np.uint8)
    part = part[:, columns[0] : columns[-1] + 1] * np.uint8(255)
    size = max(2, round(part.shape[1] * SIZE / high)), max(2, round(part.shape[0] * SIZE / high))
    return (np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA)) > 140).astype(np.uint8)


def _wide(figure: Gray) -> Labels:
    """Widths of the pieces of a figure, specks and marks left out."""
    _, stats = components(figure)
    return np.asarray(stats[stats[:, 3] >= CORE * SIZE, 2], np.int32)


def _line_through(figure: Gray) -> float:
    """1 where a straight line of ink goes from one end of a figure to the other with ink above and below; else to 0."""
    h, w = figure.shape
    left, right, places = _lines_of(h, w, SIZE // 16, 2)
    covered = np.add.reduce(figure.ravel().take(places), axis=0, dtype=np.int32) / w
    line = places[:, int(np.argmax(covered - 0.002 * np.abs(left - right)))] // w
    y, apart = np.arange(h)[:, None], SIZE // 6
    above, below = (figure * (y < line - apart)).any(0), (figure * (y > line + apart)).any(0)
    sides = min(int(above.sum()), int(below.sum())) / max(int((above | below).sum()), 1)
    return min(max((float(covered.max()) - 0.93) / 0.05, 0.0), 1.0) * min(max((sides - 0.2) / 0.25, 0.0), 1.0)


@lru_cache(maxsize=128)
def _lines_of(high: int, wide: int, edge: int = 0, step: int = 1) -> tuple[Labels, Labels, npt.NDArray[np.intp]]:
    """Straight lines through a figure of that size: rows of both ends, (N,), and places in the flat figure that they
    pass, (wide, N). edge, step: rows that are left out above and below, and from one end to the next.

    The numbers of a page are of a few widths, so that these are kept.
    """
    ends = np.arange(edge, high - edge, step, dtype=np.int32)
    left, right = (grid.ravel() for grid in np.meshgrid(ends, ends))
    rows = np.rint(left + (right - left) * np.linspace(0, 1, wide)[:, None]).astype(np.intp)
    return left, right, rows * wide + np.arange(wide)[:, None]


def _path(figure: Gray) -> Labels:
    """Where a pen that went from left to right through a figure, level and on its ink, may have gone: (W,) rows.

    The cheapest path: a pixel of paper costs 1, a step up or down and a place far from the middle 0.3.
    """
    h, w = figure.shape
    rows = np.arange(h)
    cell = np.ascontiguousarray((1.0 - figure + 0.3 * (np.abs(rows - h / 2 + 0.5) > 0.36 * SIZE)[:, None]).T)
    costs, step = cell.copy(), np.zeros(h)
    for before, cost in pairwise(costs):
        np.add(before, 0.3, out=step)
        best = before.copy()
        np.minimum(best[1:], step[:-1], out=best[1:])
        np.minimum(best[:-1], step[1:], out=best[:-1])
        cost += best
    choices = np.full((3, w - 1, h), np.inf)
    choices[0], choices[1, :, 1:], choices[2, :, :-1] = costs[:-1], costs[:-1, :-1] + 0.3, costs[:-1, 1:] + 0.3
    path = [int(costs[-1].argmin())]
    for came_from in (np.array([0, -1, 1])[choices.argmin(0)] + rows).tolist()[::-1]:
        path.append(came_from[path[-1]])
    return np.array(path[::-1], np.int32)


def _crossings(figure: Gray, path: Labels) -> int:
    """How often there is ink on both sides of a path, just beyond the thickness of a stroke."""
    off = round(max(2.0, 1.25 * _thickness(figure))) + 1
    taller = np.asarray(cv2.copyMakeBorder(figure, off, off, 0, 0, cv2.BORDER_CONSTANT, value=(0,)), np.uint8)
    columns = np.arange(len(path))
    above, below = (grown(taller[path + at, columns][None], 1, 5) for at in (0, 2 * off))
    return int(np.count_nonzero(np.diff((above & below)[0], prepend=0) == 1))


def _loops(figure: Gray) -> int:
    """Patches of paper that the ink of a figure encloses."""
    return int(cv2.connectedComponents(1 - padded(figure, 1), connectivity=4)[0]) - 2


# Of a digit by itself: so much of a line is ink; of the other ink at least such a share lies on each side of it, it is
# such a share of all, and reaches so far across the line, in shares of SIZE. So flat a line is level. Lines of which
# so much less is ink are as good. Ink so many strokes beside a line is near it.
INKED, EITHER_SIDE, OTHER_INK, REACHES, LEVEL, _ALIKE, _NEAR = 0.93, 0.13, 0.2, 0.4, 0.4, 0.02, 2.2
# How far such a line goes beyond the digit, perhaps or likely taking it back, as `line_measures` has it, and how sure
# that makes it at most, and at least; log odds of all that it measures: `benchmarks/marks.py --fit`.
_GOES_BEYOND, _LIKELY, _OPEN, _PERHAPS = (0.12, 0.2), 0.9, 0.45, 0.12
_BACK = (0.8, 14.8, 7.4, -22.7)


def taken_back(ink: Gray) -> float:
    """How sure it is, 0 to 1, that a straight line takes back one digit, or two or three: it goes beyond them.

    ink: (H, W) uint8, tightly cut. The bar of a 7 or a 4 ends beside the rest of the digit or hardly beyond it, and the
    long stroke of an 8 bends into its loops; a stroke that takes the digit back begins before it and ends after it.
    """
    measured = line_measures(ink)
    if measured is None or measured[0] <= _GOES_BEYOND[0]:
        return 0.0
    odds = _BACK[0] + sum(weight * value for weight, value in zip(_BACK[1:], measured, strict=True))
    most = _LIKELY if measured[0] > _GOES_BEYOND[1] else _OPEN
    return min(most, max(1 / (1 + math.exp(-odds)), _PERHAPS))


def line_measures(ink: Gray) -> tuple[float, float, float] | None:
    """Of the straight line through a digit, where there is one with ink on both sides: how far it goes beyond all of
    the other ink at its nearer end, and beyond what of it is near; and how wide the pen is. Shares of the larger side.
    """
    h, w = ink.shape
    if min(h, w) < SMALLEST:
        return None
    size = max(3, round(w * SIZE / max(h, w))), max(3, round(h * SIZE / max(h, w)))
    full = (ink > 0).view(np.uint8) * np.uint8(255)
    figure = (np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA)) > 110).astype(np.uint8)
    found = _widest_line(figure)
    if found is None:
        return None
    left, right = found
    run, rise = figure.shape[1] - 1, right - left
    long, pen = math.hypot(run, rise), _thickness(figure)
    y, x = np.nonzero(figure)
    away = ((y - left) * run - x * rise) / long
    rest = np.abs(away) > 0.9 * pen
    x, y, away = x[rest], y[rest], away[rest]
    if len(x) < OTHER_INK * len(rest) or away.max() - away.min() < REACHES * SIZE:
        return None
    above = np.count_nonzero(away < 0) / len(away)
    if not EITHER_SIDE <= above <= 1 - EITHER_SIDE:
        return None
    if abs(rise) < LEVEL * run:  # the bar of a 7 has ink above and below, and ends beside it
        first, last = np.interp(np.multiply((0.02, 0.98), len(x) - 1), np.arange(len(x)), np.sort(x))
        beyond = beyond_near = float(min(first, run - last))
    else:
        near = np.abs(away) < _NEAR * pen
        along = (x[near] * run + (y[near] - left) * rise) / long
        beyond_near = float(min(along.min(), long - along.max())) if len(along) else 0.0
        beyond = _beyond_hull(x, y, left, run, rise)
    return beyond / SIZE, beyond_near / SIZE, pen / SIZE


def _beyond_hull(x: npt.NDArray[np.intp], y: npt.NDArray[np.intp], left: int, run: int, rise: int) -> float:
    """How far, in pixels, a line goes beyond the hull of some pixels at its nearer end; 0 where it misses them.

    left, run, rise: its row at the left side, how far it goes to the right, and how far down.
    """
    hull = cv2.convexHull(np.stack([x, y], 1).astype(np.float32))[:, 0].astype(np.float64)
    steps = np.linspace(0, 1, 2 * SIZE)
    side = np.roll(hull, -1, axis=0) - hull
    off_x, off_y = run * steps[:, None] - hull[:, 0], left + rise * steps[:, None] - hull[:, 1]
    turn = side[:, 0] * off_y - side[:, 1] * off_x
    within = steps[(turn >= 0).all(1) | (turn <= 0).all(1)]
    return float(min(within[0], 1 - within[-1])) * math.hypot(run, rise) if len(within) else 0.0


def _widest_line(figure: Gray) -> tuple[int, int] | None:
    """Rows at the left and right side of a figure between which a straight line is ink nearly all along, if any is."""
    left, right, places = _lines_of(*figure.shape)
    flat, most = figure.ravel(), 1 + int((1 - INKED + _ALIKE) * len(places))
    # Of so many columns at either end one at least is ink: of a thousand lines a few are left.
    ends = [flat.take(places[end]).any(0) for end in (slice(most), slice(-most, None))]
    some = np.flatnonzero(ends[0] & ends[1])
    covered = np.add.reduce(flat.take(places[:, some]), axis=0, dtype=np.uint8) / len(places)
    if covered.max(initial=0.0) < INKED:
        return None
    good = some[covered >= covered.max() - _ALIKE]
    middle = good[len(good) // 2]
    return int(left[middle]), int(right[middle])


def _thickness(figure: Gray) -> float:
    """About how thick the strokes of a 0/1 mask are, in pixels."""
    edges = int(np.count_nonzero(figure[1:] != figure[:-1])) + int(np.count_nonzero(figure[:, 1:] != figure[:, :-1]))
    return max(1.5, 2 * int(np.count_nonzero(figure)) / max(edges, 1))


# Of a number by itself. Shares of SIZE and of the number's width: how long a level stroke is that no digit has. Share
# of SIZE: how high what belongs to a digit is. How far strokes lean. Log odds of what `struck_odds` measures, fitted
# to drawn numbers.
LONG, OF_NUMBER, BODY, LEANS = 0.9, 0.6, 0.4, (-0.24, -0.16, -0.08, 0.0, 0.08, 0.16, 0.24)
_LEAST, ODDS = 0.4, -6.589
WEIGHTS = {
    "straight": 0.837,
    "straight, level": 1.408,
    "level": 1.224,
    "length": 1.394,
    "two": 0.553,
    "tails": 4.642,
    "both tails": 0.755,
    "joined": 4.569,
    "joined, crossed": 0.666,
    "joined, looped": 0.4,
    "between": -1.969,
    "width": 1.495,
}


def struck_odds(ink: Gray) -> float:
    """How much likelier it is than not, in nats, that a number by itself was struck out; a single digit too.

    ink: (H, W) uint8, light on black, level rules from edge to edge removed. Lines through a number are long, level,
    straight and reach beyond it on both sides; waves, zigzags and crosses join its digits, cross their strokes and
    close loops with them. -10 where there is no number, or nothing goes through
    it. Fitted to about as many struck as whole numbers.
    """
    seen = _struck_features(ink)
    return -10.0 if seen is None else ODDS + sum(WEIGHTS[name] * value for name, value in seen.items())


def _struck_features(ink: Gray) -> dict[str, float] | None:
    _, stats = components(ink)
    if not len(stats):
        return None
    large = stats[stats[:, 3] >= stats[:, 3].max() / 4]
    x, y, w, h, _ = large.T
    part = (ink[y.min() : (y + h).max(), x.min() : (x + w).max()] > 0).view(np.uint8) * np.uint8(255)
    if part.shape[0] < SMALLEST:
        return None
    wide = max(2, round(part.shape[1] * SIZE / part.shape[0]))
    figure = (np.asarray(cv2.resize(part, (wide, SIZE), interpolation=cv2.INTER_AREA)) > 110).astype(np.uint8)
    extent = (SIZE - figure[::-1].argmax(0) - figure.argmax(0)) * figure.any(0)
    body = np.flatnonzero(extent >= BODY * SIZE)
    if not len(body):
        return None
    first, last = int(body[0]), int(body[-1]) + 1
    own, digits = figure[:, first:last], max(1.0, (last - first) / SIZE / 0.7)
    widest, long = int(components(figure)[1][:, 2].max()), round(max(LONG * SIZE, OF_NUMBER * (last - first)))
    if widest < min(_LEAST * wide, long):
        return None  # as most numbers do: no piece of their ink could hold a stroke so long
    level = _level_strokes(figure, long)
    share, joined = float(level.any(0).mean()), widest / wide
    between = _between(figure, level)
    # Strokes along the head or foot of a number are its own: of a wide 5, 2 or 7.
    if (share < _LEAST and joined < _LEAST) or (share > _LEAST and between < 0.25):
        return None
    straight, (left, right) = _line_through(own), _tails(level, first, last, wide)
    return {
        "straight": straight,
        "straight, level": straight * share,
        "level": share,
        "length": min(share * wide / SIZE, 4.0) / 4,
        "two": float(len(components(level)[1]) >= 2),
        "tails": min(left, right, 0.4),
        "both tails": float(left > 0.08 and right > 0.08),
        "joined": joined,
        "joined, crossed": joined * min(_crossings(own, _path(own)) / digits, 5.0),
        "joined, looped": joined * _loops(figure) / digits,
        "between": between,
        "width": float(np.log((last - first) / SIZE)),
    }


def _tails(level: Gray, first: int, last: int, wide: int) -> tuple[float, float]:
    """How far, in shares of SIZE, strokes reach beyond both sides of a number's body.

    Level ones count by themselves: the flag of a wide 5 at one side and its foot at the other are no line through it.
    """
    _, strokes = components(level)
    ends = [(first - x, x + w - last) for x, _, w, _, _ in strokes.tolist()] or [(first, wide - last)]
    left, right = max(ends, key=min)
    return max(left, 0) / SIZE, max(right, 0) / SIZE


def _level_strokes(figure: Gray, long: int) -> Gray:
    """What lies on nearly level straight strokes at least `long` in the middle of a figure: 0/1."""
    out = np.zeros_like(figure)
    if figure.shape[1] < long:
        return out
    for kernel in _leaning(long):
        opened = cv2.morphologyEx(figure, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
        out |= np.asarray(opened, np.uint8)
    out[: round(0.15 * SIZE)] = out[round(0.85 * SIZE) :] = 0
    return out


@lru_cache(maxsize=64)
def _leaning(long: int) -> tuple[Gray, ...]:
    """Straight strokes `long` pixels wide, one of each lean: 0/1."""
    along, kernels = np.arange(long), []
    for lean in LEANS:
        high = round(abs(lean) * (long - 1)) + 1
        rows = np.rint(lean * (along - (long - 1) / 2) + (high - 1) / 2).astype(int)
        kernel = np.zeros((high | 1, long | 1), np.uint8)
        kernel[np.clip(rows, 0, high - 1), along] = 1
        kernels.append(kernel)
    return tuple(kernels)


def _between(figure: Gray, level: Gray) -> float:
    """How often there is ink above and below the level strokes: the geometric mean of both shares."""
    columns = np.flatnonzero(level.any(0))
    if not len(columns):
        return 0.0
    top = level.argmax(0)
    bottom = SIZE - 1 - level[::-1].argmax(0)
    first, last = figure.argmax(0), SIZE - 1 - figure[::-1].argmax(0)
    above, below = (first < top - 3)[columns].mean(), (last > bottom + 3)[columns].mean()
    return float(np.sqrt(above * below))
