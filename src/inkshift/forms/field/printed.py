"""What is printed in and around a field, so that only what was written is left.

Three ways to know it: a picture of the blank form, cut as the field is; the straight lines along the sides of the
field's box or of the crop; rows of dots. Each gives a mask of print. Strokes that cross print are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Box, Gray, Labels, Mask, Stats
from inkshift.forms.field import ink as inks
from inkshift.forms.field.segment import components, pen_width
from inkshift.reframe import median_of, percentile_of

Places = npt.NDArray[np.intp]

# Pixels that a field may lie off its reference picture after it was laid.
REACH = 3
# Shares of the shorter side of a box: how far from a side its printed line is looked for, and how thick it is at most.
SLACK, THICKEST = 0.28, 0.24
# Share of a side that its line covers: of a box known to be printed, and of the crop's own side. Share of a crop's side
# that the writing in it leaves free where it was not cut to the writing.
KNOWN, EDGE, ROOM = 0.85, 0.92, 0.04
# Pixels of a crop's shorter side above which lines are looked for at every other place, and may be two pixels off.
_COARSE = 30
# An upright border farther inside: heights of the crop from its side, and share of its width, within which it is looked
# for, in strips so wide, of the crop's height. Log odds that a stroke from the crop's head to its foot is a border and
# no 1, by what `Upright` measures, at most so much of each, and how sure a border is that is taken out:
# `benchmarks/marks.py --fit`. Level rules are looked for in such a share of the crop at its head and its foot, as far
# as so many times its height.
_INSIDE, _INSIDE_SHARE, _STRIP = 1.4, 0.6, 0.3
_ODDS, _MOST, BORDER = (-6.2, 27.2, 14.8, -2.4, -18.7, 3.0, 1.0), (0.3, 1.2, 1.6, 0.1, 2.0, 2.0), 0.8
_AT_END, _RULE = 0.3, 2
# Of dots in a row: heights of a field that one is large, and apart, at most; how many a row has at least; and so many
# specks, that they are the grain of the paper; a safety print is of specks too, of which fewer than such a share are in
# rows.
DOT, _APART, _ROW, _GRAIN, _REGULAR = 0.13, 0.6, 5, 400, 0.6
# Lines found on one side: a border may be double. Share of the width: lines so thin are no strokes of a digit
# that fills the crop. Share by which a pen
# is paler than print to be told from it.
_DOUBLE, _THIN, _OTHER_INK = 2, 0.1, 0.3


def from_reference(dark: Gray, blank: Gray, gain: float | None = None) -> Mask:
    """Print in a crop: (H, W) bool.

    dark: the crop's darkness (`ink.darkness`), (H, W) uint8. blank: that of the same place on the blank form. gain: how
    much darker print is in the crop than there; found if not given. Where the
    two lie a few pixels off each other is found by correlation. Ink that is clearly darker than the print
    under it is written, and so is ink on print between two pieces of one stroke.
    """
    level = inks.threshold_of(blank)
    core = blank > level
    if not core.any():
        return np.zeros(dark.shape, bool)
    blank = _laid_on(dark, blank)
    core = blank > level
    darker_by = _gain(dark, blank, core) if gain is None else gain
    expected = inks.grown(blank, 3, 3).astype(np.float32) * darker_by
    near = inks.grown((blank > min(level, 2 * inks.FAINTEST)).view(np.uint8), 3, 3) > 0
    darker = dark > expected + np.maximum(0.35 * expected, 2 * inks.FAINTEST)
    return without_crossings(dark, near & ~darker)


def _laid_on(dark: Gray, blank: Gray) -> Gray:
    """The blank form's crop, moved by at most REACH pixels to where the print of the page is."""
    if min(dark.shape) <= 2 * REACH:
        return blank
    soft = cv2.GaussianBlur(dark, (3, 3), 0)
    inner = cv2.GaussianBlur(blank, (3, 3), 0)[REACH:-REACH, REACH:-REACH]
    if not inner.any():
        return blank
    fit = cv2.matchTemplate(soft, inner, cv2.TM_CCORR_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(fit)
    if not np.isfinite(best) or best < fit[REACH, REACH] + 0.01:
        return blank
    matrix = np.array([[1, 0, x - REACH], [0, 1, y - REACH]], np.float32)
    return np.asarray(cv2.warpAffine(blank, matrix, blank.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _gain(dark: Gray, blank: Gray, core: Mask) -> float:
    """How much darker print is on this page than on the blank form: 0.5 to 2."""
    if not core.any():
        return 1.0
    return min(max(median_of(dark[core]) / max(median_of(blank[core]), 1.0), 0.5), 2.0)


def from_dots(dark: Gray, high: int) -> Mask:
    """Rows of dots, printed to write on or around a field: (H, W) bool, those that no stroke touches.

    dark: (H, W) uint8. high: of the field, in pixels. A row is of many round dots of one size, evenly apart; where
    something was written over it, some are missing.
    """
    labels, stats = components(_stroke_mask(dark).view(np.uint8))
    _, _, w, h, area = stats.T
    longer, shorter = np.maximum(w, h), np.minimum(w, h)
    dots = np.flatnonzero((longer <= DOT * high) & (longer <= 2 * shorter) & (2 * area >= w * h))
    if not _ROW <= len(dots) <= _GRAIN:
        return np.zeros(dark.shape, bool)
    middles = stats[dots, :2] + stats[dots, 2:4] / 2
    if np.mean(_in_line(middles[:, 0]) | _in_line(middles[:, 1])) < _REGULAR:
        return np.zeros(dark.shape, bool)
    own = np.zeros(len(dots), bool)
    rows = [row for way in (middles, middles[:, ::-1]) for row in _rows_of_dots(way, area[dots], high)]
    own[[dot for row, _ in rows for dot in row]] = True
    if own.sum() < _REGULAR * len(dots):
        return np.zeros(dark.shape, bool)
    ends = [(end, pitch) for row, pitch in rows for end in (row[0], row[-1])]
    while ends:  # corners, where rows meet
        end, pitch = ends.pop()
        near = np.hypot(*(middles - middles[end]).T) <= 2 * pitch
        added = np.flatnonzero(near & ~own & (area[dots] <= 3 * area[dots[end]]))
        own[added] = True
        ends += [(dot, pitch) for dot in added.tolist()]
    print_ = np.zeros(len(stats) + 1, np.uint8)
    print_[dots[own] + 1] = 1
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
    alike = np.maximum(area[None], area[:, None]) <= 3 * np.minimum(area[None], area[:, None])
    near = (along > 0) & (along <= _APART * high) & (np.abs(aside) <= np.maximum(1.5, 0.1 * along)) & alike
    following = np.where(near.any(1), np.where(near, along, np.inf).argmin(1), -1)
    rows = []
    for first in set(range(len(middles))) - set(following.tolist()):
        row = [first]
        while following[row[-1]] >= 0:
            row.append(int(following[row[-1]]))
        steps = np.diff(middles[row, 0])
        if len(row) < _ROW or steps.sum() < 0.75 * high:
            continue
        pitch = max(float(np.median(steps)), 1.0)
        even = np.abs(steps / pitch - np.rint(steps / pitch)) < 0.2
        at, off = middles[row].T
        straight = np.abs(off - np.polyval(np.polyfit(at, off, 1), at)) < max(0.75, 0.1 * pitch)
        if even.mean() >= 0.8 and straight.mean() >= 0.9:
            # A point that was written between two of them is none.
            of_row = np.concatenate([even, [False]]) | np.concatenate([[False], even])
            rows.append(([dot for dot, one in zip(row, of_row, strict=True) if one], pitch))
    return rows


@dataclass(frozen=True, slots=True)
class _Line:
    """A straight line along a side. ends: its place at the beginning and end of the side, in pixels from the
    crop's edge inwards. thick: pixels."""

    ends: tuple[float, float]
    thick: int


def from_box(dark: Gray, box: Box) -> Mask:
    """The lines of a field's printed box and what lies beyond them: (H, W) bool.

    box: xmin, ymin, xmax, ymax in pixels of the crop. A side is printed where a straight line covers most of it from
    corner to corner; one that is not found is left alone.
    """
    mask, faint = _stroke_mask(dark), dark > inks.FAINTEST
    h, w = dark.shape
    x0, y0, x1, y1 = (min(max(v, 0), limit) for v, limit in zip(box, (w, h, w, h), strict=True))
    print_ = np.zeros(dark.shape, bool)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return print_
    slack = max(3, round(SLACK * min(x1 - x0, y1 - y0)))
    thickest = max(2, round(THICKEST * min(x1 - x0, y1 - y0)))
    for turn, (first, last), (near, far), size in (
        (0, (x0, x1), (y0, h - y1), h),
        (2, (w - x1, w - x0), (h - y1, y0), h),
        (1, (y0, y1), (w - x1, x0), w),
        (3, (h - y1, h - y0), (x0, w - x1), w),
    ):
        # Turned so that the side lies on top; `along` are the columns between the corners.
        turned = _turned(mask, turn)
        strip = turned[max(near - slack, 0) : min(near + slack, size - far), first:last]
        found = _find_line(strip, KNOWN, thickest)
        if found is not None:
            base = max(near - slack, 0)
            line = _Line((found.ends[0] + base, found.ends[1] + base), found.thick)
            _take(_turned(print_, turn), turned, _turned(faint, turn), line, (first, last))
    return without_crossings(dark, print_)


def from_edges(dark: Gray, upright: bool = True) -> Mask:
    """Borders of a table at the sides of a crop that no template describes, and what lies beyond them: (H, W) bool.

    A border is straight, thin, goes from edge to edge and lies near a side, one or more to a side. A
    stroke of a digit may be all that too where the crop was cut to the writing: then writing touches the crop's other
    sides, and nothing is taken, unless lines meet in a corner. upright: whether lines at the left and right alone are
    borders, as beside one digit; beside a number they may be 1s, see `upright_lines`.
    """
    mask, faint = _stroke_mask(dark), dark > inks.FAINTEST
    h, w = dark.shape
    print_ = np.zeros(dark.shape, bool)
    if min(h, w) < 12:
        return print_
    slack, thickest = max(3, round(SLACK * min(h, w))), max(2, round(THICKEST * min(h, w)))
    sides: list[tuple[int, Mask]] = []
    thin = True
    for turn in range(4):
        turned = _turned(mask, turn).copy()
        taken = np.zeros(turned.shape, bool)
        for _ in range(_DOUBLE):
            found = _find_line(turned[:slack], EDGE, thickest)
            if found is None:
                break
            thin = thin and found.thick <= _THIN * min(w, 2 * h)
            _take(taken, turned, _turned(faint, turn), found, (0, turned.shape[1]))
            turned &= ~taken
        if taken.any():
            sides.append((turn, taken))
    if not sides:
        return print_
    for turn, taken in sides:
        _turned(print_, turn)[taken] = True
    free = dark * (inks.grown(print_.view(np.uint8), 3, 3) == 0)
    rest = (mask | (free > inks.threshold_of(free))) & ~print_
    if not _is_border(dark, rest, print_, {turn for turn, _ in sides}, thin, upright):
        return np.zeros(dark.shape, bool)
    ends = [side for side in sides if side[0] in (1, 3)]
    if not upright and len(ends) == 1 < len(sides) and len(_large(rest, print_)[1]):
        _turned(print_, ends[0][0])[ends[0][1]] = False
    return without_crossings(dark, print_)


@dataclass(frozen=True, slots=True)
class Upright:
    """A line from the head of a crop to its foot, with digits on one side and none on the other: a border or a 1.

    mask: (H, W) bool, where it is, and what lies beyond it. place: its middle, in pixels from the left. alone: whether
    none of the digits touches it. measured: how much farther it goes than they do on its longer side, in their heights;
    how much darker or paler and how much thicker than their strokes it is, both as logarithms; how far it leans, in its
    own length; how many level rules, at its head and its foot, end at it, and how many it meets where the crop ends
    too.
    """

    mask: Mask
    place: float
    alone: bool
    measured: tuple[float, ...]

    @property
    def border(self) -> float:
        """How sure it is, 0 to 1, that it is a border and no 1."""
        odds = _ODDS[0] + sum(weight * value for weight, value in zip(_ODDS[1:], self.measured, strict=True))
        return float(1 / (1 + np.exp(-odds)))


def upright_lines(dark: Gray, print_: Mask) -> tuple[Upright | None, ...]:
    """Such a line left and right in a crop of a number, where there is one. dark: as for `from_edges`; print_: what
    that found."""
    rest = dark * ~print_
    mask, faint = _stroke_mask(rest), rest > inks.FAINTEST
    out: list[Upright | None] = []
    for turn in (3, 1):
        turned = (_turned(one, turn) for one in (mask, faint, print_))
        found = _upright_line(np.asarray(np.rot90(rest, turn)), *turned)
        if found is not None:
            place = found.place if turn == 3 else dark.shape[1] - 1 - found.place
            found = replace(found, mask=_turned(found.mask, 4 - turn), place=place)
        out.append(found)
    return tuple(out)


def _upright_line(dark: Gray, mask: Mask, faint: Mask, print_: Mask) -> Upright | None:
    """The line nearest to the top of a crop that is turned so that its side lies there; see `upright_lines`."""
    deep, long = mask.shape
    if min(mask.shape) < 12:
        return None
    strip, thickest = max(6, round(_STRIP * long)), max(2, round(THICKEST * min(deep, long)))
    starts = range(0, round(min(_INSIDE * long, _INSIDE_SHARE * deep)), max(3, strip // 2))
    found = ((start, _find_line(mask[start : start + strip], EDGE, thickest)) for start in starts)
    for start, near in found:
        if near is not None:
            line = _Line((near.ends[0] + start, near.ends[1] + start), near.thick)
            taken = np.zeros(mask.shape, bool)
            _take(taken, mask, faint, line, (0, long))
            return _measured(mask, dark, taken, line, _rules_that_end(mask | print_, line))
    return None


def _measured(mask: Mask, dark: Gray, taken: Mask, line: _Line, rules: tuple[int, int]) -> Upright | None:
    """A line along the top of a turned crop, by how it differs from a 1; None where it parts no digits from none."""
    long = mask.shape[1]
    place = line.ends[0] + (line.ends[1] - line.ends[0]) * np.linspace(0, 1, long)
    outer = mask & (np.arange(len(mask))[:, None] < place - line.thick / 2 - 1)
    labels, stats = components((mask & ~taken).view(np.uint8))
    x, _, wide, *_ = stats.T
    inner = wide >= 0.25 * long
    beyond = components(outer.view(np.uint8))[1][:, 2].max(initial=0) >= 0.25 * long
    if beyond or not inner.any() or not (mask & taken)[:, [0, -1]].any(0).all():
        return None
    first, last = int(x[inner].min()), int((x + wide)[inner].max())
    digits = np.concatenate([[False], inner])[labels]
    shade, pen = (max(percentile_of(dark[where], 75), 1.0) for where in (mask & taken, digits))
    values = (
        max(first, long - last) / (last - first),
        abs(float(np.log(shade / pen))),
        float(np.log(line.thick / pen_width(digits))),
        abs(line.ends[0] - line.ends[1]) / long,
        *map(float, rules),
    )
    touched = (inks.grown(taken.view(np.uint8), 3, 3) > 0) & digits
    return Upright(taken, sum(line.ends) / 2, not touched.any(), tuple(map(min, values, _MOST)))


def _rules_that_end(mask: Mask, line: _Line) -> tuple[int, int]:
    """How many straight lines, of one at the left and one at the right side of a turned crop, end at a line along its
    top: they cover most of the way from there to two crops' heights away, and do not go on behind it. And how many come
    as far, where the crop ends right behind it.

    mask: (H, W) bool, what may be a line.
    """
    long = mask.shape[1]
    place = line.ends[0] + (line.ends[1] - line.ends[0]) * np.linspace(0, 1, long)
    ends, half, wide, near = [0, 0], line.thick / 2 + 2, round(_AT_END * long), max(3, round(_THIN * long))
    for side in (slice(0, wide), slice(long - wide, long)):
        first, last = math.ceil(place[side].max() + half), math.floor(place[side].min() - half)
        strip = np.ascontiguousarray(mask[first : first + _RULE * long, side].T)
        rule = _find_line(strip, KNOWN, near) if strip.shape[1] >= long else None
        if rule is None:
            continue
        if last < near:
            ends[1] += 1
            continue
        behind = np.arange(last - near, last)[:, None]
        at = rule.ends[0] + (rule.ends[1] - rule.ends[0]) / (strip.shape[1] - 1) * (behind - first)
        at = np.clip(np.rint(at).astype(int) + np.arange(-2, 3), 0, wide - 1)
        ends[0] += int(mask[:, side][behind, at].any(1).mean() < 0.5)
    return ends[0], ends[1]


def _turned(mask: Mask, quarters: int) -> Mask:
    """A view of a mask turned left by 0 to 3 quarters, as `np.rot90` gives it at many times the cost."""
    return (mask, mask.T[::-1], mask[::-1, ::-1], mask.T[:, ::-1])[quarters]


def _stroke_mask(dark: Gray) -> Mask:
    """What may be a line: print may be fainter than what is written."""
    return np.asarray(dark > max(0.5 * inks.threshold_of(dark), inks.FAINTEST), np.bool_)


def _is_border(dark: Gray, rest: Mask, print_: Mask, sides: set[int], thin: bool, upright: bool) -> bool:
    """Whether lines along these sides (0 top, 1 right, 2 bottom, 3 left) are a border, by what else is in the crop.

    What is written stands apart from a border or is paler; strokes of one digit hang together. Two lines that meet
    are a border where something stands apart from them; a single one, or two opposite ones, where that leaves room at
    all other sides. Thin ones along all four sides are one. Where there is nothing else, thin lines are one along
    three sides, or in a crop that is wide enough for more than a 1 or a 7.
    """
    h, w = rest.shape
    if thin and len(sides) == 4:
        return True
    labels, large, stats = _large(rest, print_)
    if not len(large):
        return thin and (len(sides) == 3 or w >= (0.8 if len({side % 2 for side in sides}) == 1 else 1.5) * h)
    if not upright and sides <= {1, 3}:
        return False
    touching = inks.grown(print_.view(np.uint8), 3, 3) > 0
    if np.isin(labels[touching], large + 1).any():
        line, pen = (percentile_of(dark[where], 75) for where in (print_ & (dark > 0), rest))
        return line - pen > _OTHER_INK * line
    if len({side % 2 for side in sides}) == 2:
        return True
    x, y, wide, high, _ = stats.T
    free = {0: y.min() / h, 2: (h - (y + high).max()) / h, 1: (w - (x + wide).max()) / w, 3: x.min() / w}
    return all(room >= ROOM for side, room in free.items() if side not in sides)


def _large(rest: Mask, print_: Mask) -> tuple[Labels, Places, Stats]:
    """What may be digits beside print: labels of the pieces of the rest of the ink, (H, W); places of the large ones
    among them that do not lie along the print, (N,), and their rows of x, y, width, height, area."""
    labels, stats = components(rest.view(np.uint8))
    near = inks.grown(print_.view(np.uint8), 5, 5) > 0
    along = np.bincount(labels[near], minlength=len(stats) + 1)[1:]
    large = np.flatnonzero((stats[:, 3] >= 0.25 * len(rest)) & (along < 0.6 * stats[:, 4]))
    return labels, large, stats[large]


def _find_line(strip: Mask, share: float, thickest: int) -> _Line | None:
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
    return _Line((ends[0] + middle, ends[1] + middle), thick)


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


def _take(print_: Mask, mask: Mask, faint: Mask, line: _Line, along: tuple[int, int]) -> None:
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


def without_crossings(dark: Gray, print_: Mask) -> Mask:
    """Print without the pixels where a stroke crosses it: those between ink on both sides of it."""
    if not print_.any():
        return print_
    rest = dark * ~print_
    threshold = inks.threshold_of(rest)
    pen = (rest > threshold) & ~print_
    if not pen.any():
        return print_
    depth = cv2.distanceTransform(inks.padded(print_, 1), cv2.DIST_L2, 3)
    side = round(2 * inks.middle_of(depth[1:-1, 1:-1][print_]) + 3) | 1
    inked = print_ & (dark > threshold)
    if not (inked & (inks.grown(pen.view(np.uint8), side, side) > 0)).any():
        return print_
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    joined = cv2.morphologyEx(inks.padded(pen, side), cv2.MORPH_CLOSE, kernel)[side:-side, side:-side]
    return np.asarray(print_ & ~(inked & (joined > 0)), np.bool_)


def painted_out(picture: npt.NDArray[np.uint8], dark: Gray, print_: Mask) -> npt.NDArray[np.uint8]:
    """A crop, (H, W) or (H, W, 3) uint8, with paper where print is; dark: its darkness (H, W) uint8."""
    if not print_.any():
        return picture
    plain = picture[~print_ & (dark <= inks.FAINTEST)]
    channels = plain.reshape(len(plain), -1).T
    level = [median_of(channel) for channel in channels] if len(plain) else np.max(picture, axis=(0, 1))
    out = picture.copy()
    out[print_] = np.asarray(level, np.uint8)
    return out
