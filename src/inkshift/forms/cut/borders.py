"""Borders of a table in a crop that no template describes, and what of them may be a 1."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from inkshift.arrays import Gray, Labels, Mask, Stats
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.printed import without_crossings
from inkshift.forms.cut.segment import components, pen_width
from inkshift.forms.cut.sides import (
    KNOWN,
    SLACK,
    THICKEST,
    Places,
    SideLine,
    find_line,
    quarter_turned,
    stroke_mask,
    take,
)
from inkshift.reframe import percentile_of

# Share of the crop's own side that a border covers, and that the writing in it leaves free where it was not cut to the
# writing.
EDGE, ROOM = 0.92, 0.04
# An upright border farther inside: heights of the crop from its side, and share of its width, within which it is looked
# for, in strips so wide, of the crop's height. Log odds that a stroke from the crop's head to its foot is a border and
# no 1, by what `Upright` measures, at most so much of each, and how sure a border is that is taken out:
# `benchmarks/marks.py --fit`. Level rules are looked for in such a share of the crop at its head and its foot, as far
# as so many times its height.
_INSIDE, _INSIDE_SHARE, _STRIP = 1.4, 0.6, 0.3
_ODDS, _MOST, BORDER = (-6.4, 27.8, 14.8, -2.5, -19.5, 2.9, 1.3), (0.3, 1.2, 1.6, 0.1, 1.0, 1.0), 0.8
_AT_END, _RULE = 0.3, 2
# Lines found on one side: a border may be double. Share of the width: lines so thin are no strokes of a digit that
# fills the crop. Share by which a pen is paler than print to be told from it.
_DOUBLE, _THIN, _OTHER_INK = 2, 0.1, 0.3


def from_edges(dark: Gray, upright: bool = True) -> Mask:
    """Borders of a table at the sides of a crop that no template describes, and what lies beyond them: (H, W) bool.

    A border is straight, thin, goes from edge to edge and lies near a side, one or more to a side. A
    stroke of a digit may be all that too where the crop was cut to the writing: then writing touches the crop's other
    sides, and nothing is taken, unless lines meet in a corner. upright: whether lines at the left and right alone are
    borders, as beside one digit; beside a number they may be 1s, see `upright_lines`.
    """
    mask, faint = stroke_mask(dark), dark > inks.FAINTEST
    h, w = dark.shape
    print_ = np.zeros(dark.shape, bool)
    if min(h, w) < 12:
        return print_
    slack, thickest = max(3, round(SLACK * min(h, w))), max(2, round(THICKEST * min(h, w)))
    sides: list[tuple[int, Mask]] = []
    thin = True
    for turn in range(4):
        turned = quarter_turned(mask, turn).copy()
        taken = np.zeros(turned.shape, bool)
        for _ in range(_DOUBLE):
            found = find_line(turned[:slack], EDGE, thickest)
            if found is None:
                break
            thin = thin and found.thick <= _THIN * min(w, 2 * h)
            take(taken, turned, quarter_turned(faint, turn), found, (0, turned.shape[1]))
            turned &= ~taken
        if taken.any():
            sides.append((turn, taken))
    if not sides:
        return print_
    for turn, taken in sides:
        quarter_turned(print_, turn)[taken] = True
    free = dark * (inks.grown(print_.view(np.uint8), 3, 3) == 0)
    rest = (mask | (free > inks.threshold_of(free))) & ~print_
    digits = _large(rest, print_)
    if not _is_border(dark, rest, print_, digits, {turn for turn, _ in sides}, thin, upright):
        return np.zeros(dark.shape, bool)
    ends = [side for side in sides if side[0] in (1, 3)]
    if not upright and len(ends) == 1 < len(sides) and len(digits.large):
        # It may be a 1: from head to foot, the corner with a level rule too, so that it is looked at whole.
        quarter_turned(print_, ends[0][0])[ends[0][1]] = False
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
    mask, faint = stroke_mask(rest), rest > inks.FAINTEST
    out: list[Upright | None] = []
    for turn in (3, 1):
        turned = (quarter_turned(one, turn) for one in (mask, faint, print_))
        found = _upright_line(np.asarray(np.rot90(rest, turn)), *turned)
        if found is not None:
            place = found.place if turn == 3 else dark.shape[1] - 1 - found.place
            found = replace(found, mask=quarter_turned(found.mask, 4 - turn), place=place)
        out.append(found)
    return tuple(out)


def _upright_line(dark: Gray, mask: Mask, faint: Mask, print_: Mask) -> Upright | None:
    """The line nearest to the top of a crop that is turned so that its side lies there; see `upright_lines`."""
    deep, long = mask.shape
    if min(mask.shape) < 12:
        return None
    strip, thickest = max(6, round(_STRIP * long)), max(2, round(THICKEST * min(deep, long)))
    starts = range(0, round(min(_INSIDE * long, _INSIDE_SHARE * deep)), max(3, strip // 2))
    found = ((start, find_line(mask[start : start + strip], EDGE, thickest)) for start in starts)
    for start, near in found:
        if near is not None:
            line = SideLine((near.ends[0] + start, near.ends[1] + start), near.thick)
            taken = np.zeros(mask.shape, bool)
            take(taken, mask, faint, line, (0, long))
            return _measured(mask, dark, taken, line, _rules_that_end(mask | print_, line))
    return None


def _measured(mask: Mask, dark: Gray, taken: Mask, line: SideLine, rules: tuple[int, int]) -> Upright | None:
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


def _rules_that_end(mask: Mask, line: SideLine) -> tuple[int, int]:
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
        rule = find_line(strip, KNOWN, near) if strip.shape[1] >= long else None
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


def _is_border(
    dark: Gray, rest: Mask, print_: Mask, digits: _Large, sides: set[int], thin: bool, upright: bool
) -> bool:
    """Whether lines along these sides (0 top, 1 right, 2 bottom, 3 left) are a border, by what else is in the crop.

    What is written stands apart from a border or is paler; strokes of one digit hang together. Two lines that meet
    are a border where something stands apart from them; a single one, or two opposite ones, where that leaves room at
    all other sides. Thin ones along all four sides are one. Where there is nothing else, thin lines are one along
    three sides, or in a crop that is wide enough for more than a 1 or a 7.
    """
    h, w = rest.shape
    if thin and len(sides) == 4:
        return True
    labels, large, stats = digits
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


class _Large(NamedTuple):
    """Labels of pieces of ink, (H, W); places of the large ones among them, (N,), and their rows of x, y, width,
    height, area."""

    labels: Labels
    large: Places
    stats: Stats


def _large(rest: Mask, print_: Mask) -> _Large:
    """What may be digits beside print, of the rest of the ink: pieces that are large and do not lie along the print."""
    labels, stats = components(rest.view(np.uint8))
    near = inks.grown(print_.view(np.uint8), 5, 5) > 0
    along = np.bincount(labels[near], minlength=len(stats) + 1)[1:]
    large = np.flatnonzero((stats[:, 3] >= 0.25 * len(rest)) & (along < 0.6 * stats[:, 4]))
    return _Large(labels, large, stats[large])
