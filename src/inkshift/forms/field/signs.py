"""What stands in a number beside its digits: gaps that part it, points, commas, dashes, slashes.

They are told by their form: where they stand between the digits, how large they are, how flat; and a recogniser that
knows them tells which of them are there (`agreed`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Stats
from inkshift.forms.cut.segment import components, digit_height, pen_width, stroke_lean
from inkshift.reframe import median_of

GAP, POINT, COMMA, DASH, SLASH, PERCENT = "gap", "point", "comma", "dash", "slash", "percent"
BRACKETS, FRACTION = "brackets", "fraction"

# In digit heights: a digit's width; how high what counts as a digit is at least, and as a smaller one beside a gap, as
# printed numbers of rows are.
_DIGIT_WIDTH, _TALL, _LOW = 0.75, 0.55, 0.3
# Log odds that a gap parts two numbers: see `gap_measures`, as `benchmarks/marks.py --fit` finds them, and less so much
# since two numbers are rarer. By its width alone where there is no other, which tells little: a set guess. So much more
# where a printed upright line stands in it. What is added to widths of gaps, some of which are none.
_GAPS, _LONE, _RARER, _RULED, _LEAST_GAP = (-3.8, 4.6, 5.4, 1.0), (-5.3, 6.7), 2.2, 2.5, 0.3
# In digit heights: a point or comma is at most so large, a comma whose tail hangs well below the foot of the digits
# beside it a little larger, and begins at most so high above that foot; a comma reaches so much below. Under a slanted
# digit it is at most so far from the digit's side. A dash is so long, so many times longer than high, and so high
# at most (MINUS); what leads to a number rises and falls by no more than such a share of its length,
# and what is so near to the top or the foot of a number is part of it, as the bar of a 7 (ASIDE, share of its height).
_POINT, _TAILED, _RISE, _BELOW, _CORNER = 0.42, 0.6, 0.3, 0.06, 0.2
MINUS, ASIDE = 1.1, 0.15
_DASH, _FLAT, _THIN, _LEVEL = (0.2, MINUS), 1.6, 0.3, 0.15
# How much more than the digits a slash rises and falls, and how far it leans, both in shares of a height.
_RISING, _LEANING = 1.25, 0.25
# Shares of its height: how far a bracket bows at least, and how wide it is at most.
_BOWED, _BOW_WIDE = 0.08, 0.45
# Of a fraction: how much wider than high its stroke is at least; shares of its height, how high what stands above and
# below is at least; how many times higher than the other either is at most; shares of the stroke's width, how far the
# middle of either lies beyond the stroke at most.
_BAR, _STACKED, _UNLIKE, _ASIDE = 1.5, 0.2, 2.5, 0.15
# Share of the height of the ink's picture that an upright line goes through.
_THROUGH = 0.95
# Share of its value's probability that each sign takes away where it is seen for certain: a gap or sign that changes
# what the number means, and a separator before three digits each time: in a number that the template calls whole, it is
# hardly anything but thousands, and composed numbers with one are read as rightly as those without.
_CHANGES, _THOUSANDS = 0.55, 0.01
# Share of its probability that a sign keeps which the ink shows and a recogniser that knows it does not see: on
# composed numbers 3 of 109 are there (`benchmarks/fit_numbers.py --signs`, 2026-11-28), so this errs to doubt.
INK_ALONE = 0.1


@dataclass(frozen=True, slots=True)
class Sign:
    """name: of what it is, in a word. probability: that it is there, 0 to 1. before, behind: how many digits
    stand on either side, as far as the width of the ink there tells."""

    name: str
    probability: float
    before: int
    behind: int


@dataclass(frozen=True, slots=True)
class _Number:
    """boxes: x, y, width, height of each piece as high as a digit, left to right. height: of a digit, pixels. pen:
    width of a stroke, pixels. level: darkness of its ink, 0 to 255."""

    boxes: Stats
    height: float
    pen: float
    level: float


def find_signs(ink: Gray) -> tuple[Sign, ...]:
    """Signs and gaps in the ink of a number, (H, W) uint8, light on black, rules removed; left to right."""
    labels, stats = components(ink)
    parts = number_of(ink, stats)
    if parts is None:
        return ()
    number, tall, pieces, rules = parts
    small = np.flatnonzero((stats[:, 3] < _TALL * number.height) & ~rules).tolist()
    found = [sign for k in small if (sign := _small_sign(ink, labels, stats, k, number)) is not None]
    found += _slashes(labels, stats, tall, number)
    found += _brackets(labels, stats, tall, number)
    found += _gaps(number, pieces, stats[rules])
    return tuple(sorted(found, key=lambda sign: sign.before))


def without_their_gaps(found: Sequence[Sign], ink: Sequence[Sign] = ()) -> tuple[Sign, ...]:
    """Signs left to right, without the gaps that are the room of a point or comma: behind or before as many digits.

    Only where one is believed in the end: a speck in a gap is none that takes room. ink: what the ink alone shows, by
    which it tells the place that the gap has.
    """
    parting = _parting(found)
    parting += _parting(ink) if parting else []
    kept = [
        sign
        for sign in found
        if sign.name != GAP or all(sign.before != one.before and sign.behind != one.behind for one in parting)
    ]
    return tuple(sorted(kept, key=lambda sign: sign.before))


def _parting(signs: Sequence[Sign]) -> list[Sign]:
    return [sign for sign in signs if sign.name in (POINT, COMMA) and sign.behind and sign.probability > 0.5]


def number_of(ink: Gray, stats: Stats) -> tuple[_Number, npt.NDArray[np.intp], Stats, npt.NDArray[np.bool_]] | None:
    """What in the ink of a number are its digits, if anything is: see `_Number`; rows of `stats` that are as high as
    digits, left to right; those of all that may be one, smaller ones too; and which are upright rules.

    stats: of the ink's pieces, see `components`.
    """
    # A line from top to bottom, such as one that parts two columns, says nothing of how high the digits are.
    through = (stats[:, 3] >= _THROUGH * len(ink)) & (stats[:, 2] < 0.12 * stats[:, 3])
    height = digit_height(stats if through.all() else stats[~through])
    if height < 8:
        return None
    rules = (stats[:, 3] > 1.3 * height) & ((stats[:, 2] < 0.12 * height) | through)
    tall = np.flatnonzero((stats[:, 3] >= _TALL * height) & ~rules)
    if not len(tall):
        return None
    tall = tall[np.argsort(stats[tall, 0])]
    number = _Number(stats[tall, :4], height, pen_width(ink), median_of(ink[ink > 0]))
    upright = (stats[:, 3] >= _LOW * height) & (stats[:, 2] <= 1.5 * stats[:, 3]) & ~rules
    return number, tall, stats[upright | ((stats[:, 3] >= _TALL * height) & ~rules)], rules


def _small_sign(ink: Gray, labels: npt.NDArray[np.int32], stats: Stats, k: int, number: _Number) -> Sign | None:
    """The point, comma or dash that a small piece of ink is, or None."""
    x, y, w, h, area = stats[k].tolist()
    height, boxes = number.height, number.boxes.tolist()  # few: plain numbers are quicker here than arrays
    middle = x + w / 2
    shared = [min(left + wide, x + w) - max(left, x) for left, _, wide, _ in boxes]
    over = shared.index(max(shared))
    hidden = shared[over] > 0.35 * w
    left, right = boxes[over][0], boxes[over][0] + boxes[over][2]
    if hidden and min(middle - left, right - middle) > _CORNER * height:
        return None
    place = sum(left + wide / 2 < middle for left, _, wide, _ in boxes)
    beside = boxes[max(place - 1, 0) : place + 1]
    top, foot = (sum(edge) / len(beside) for edge in zip(*((t, t + high) for _, t, _, high in beside), strict=True))

    def dark() -> float:
        part = ink[y : y + h, x : x + w][labels[y : y + h, x : x + w] == k + 1]
        return min(1.0, float(part.mean()) / (0.7 * number.level))

    tailed = h > 1.2 * w and y + h > foot + 2 * _BELOW * height
    if max(w, h) <= (_TAILED if tailed else _POINT) * height and y >= foot - _RISE * height and place > 0:
        size = min(1.0, max(w, h) / number.pen / 0.8) * min(1.0, area / 4)
        name = COMMA if h > 1.2 * w and y + h > foot + _BELOW * height else POINT
        return _sign(name, (0.6 if hidden else 0.95) * dark() * size, place, number)
    flat = not hidden and w >= _FLAT * h and _DASH[0] * height <= w <= _DASH[1] * height and h < _THIN * height
    if flat and top + 0.22 * height < y + h / 2 < foot - 0.15 * height:
        return _sign(DASH, 0.95 * dark(), place, number)
    return None


def filler_before(ink: Gray) -> bool:
    """Whether a level stroke longer than any minus leads to the first digit of a number, touching it or not, so that
    nobody can write another digit there. ink: as for `find_signs`."""
    labels, stats = components(ink)
    parts = number_of(ink, stats)
    if parts is None:
        return False
    number, tall = parts[:2]
    first, least = stats[tall[0]], MINUS * number.boxes[:, 3].max()
    for k in np.flatnonzero((stats[:, 2] > least) & (stats[:, 0] <= first[0])).tolist():
        x, y, w, h, _ = stats[k].tolist()
        own = labels[y : y + h, x : x + w] == k + 1
        top, foot = own.argmax(0), h - own[::-1].argmax(0)
        thick = np.flatnonzero(foot - top > _THIN * number.height)
        long = int(thick[0]) if len(thick) else w
        if long <= least:
            continue
        middles = y + (top[:long] + foot[:long]) / 2
        level = np.ptp(middles) < _LEVEL * long
        if level and ASIDE < (middles.mean() - first[1]) / first[3] < 1 - ASIDE:
            return True
    return False


def _sign(name: str, probability: float, place: int, number: _Number) -> Sign:
    """The sign before the piece of ink at this place; a wide piece counts as several digits."""
    counts = np.maximum(np.rint(number.boxes[:, 2] / (_DIGIT_WIDTH * number.height)), 1)
    return Sign(name, probability, int(counts[:place].sum()), int(counts[place:].sum()))


def _slashes(labels: npt.NDArray[np.int32], stats: Stats, tall: npt.NDArray[np.intp], number: _Number) -> list[Sign]:
    """Straight strokes that lean and are higher than the digits; a 1 leans as the others do and is as high."""
    out = []
    for place, k in enumerate(tall.tolist()):
        x, y, w, h, _ = stats[k].tolist()
        if h < _RISING * number.height or w < _LEANING * h or len(tall) < 3:
            continue
        rows, columns = np.nonzero(labels[y : y + h, x : x + w] == k + 1)
        slope, start = np.polyfit(rows, columns, 1)
        off = float(np.std(columns - slope * rows - start))
        if slope < -_LEANING and off < 0.6 * number.pen + 1:
            slash = _sign(SLASH, 0.8, place, number)
            out.append(replace(slash, behind=max(slash.behind - 1, 0)))  # it is none of the digits
    return out


def _brackets(labels: npt.NDArray[np.int32], stats: Stats, tall: npt.NDArray[np.intp], number: _Number) -> list[Sign]:
    """A pair of brackets around the digits, with which bookkeepers write a minus: bows that open to each other."""
    if len(tall) < 3:
        return []
    first, last = (_bow(labels, stats[k], k + 1, number.pen) for k in tall[[0, -1]].tolist())
    return [_sign(BRACKETS, 0.9, 0, number)] if min(first, -last) > _BOWED else []


def _bow(labels: npt.NDArray[np.int32], box: npt.NDArray[np.int32], label: int, pen: float) -> float:
    """How far a single thin stroke bows to the left, as a share of its height; less than 0 to the right, 0 for none.

    Its middle, row by row, is a parabola.
    """
    x, y, w, h, area = box.tolist()
    own = labels[y : y + h, x : x + w] == label
    if w > _BOW_WIDE * h or area > 1.8 * pen * np.hypot(h, 2 * w):
        return 0.0
    down = np.linspace(-1, 1, h)
    middles = (own * np.arange(w)).sum(1) / np.maximum(own.sum(1), 1)
    bow, *_ = fitted = np.polyfit(down, middles, 2)
    return float(bow) / h if np.std(middles - np.polyval(fitted, down)) < 0.5 * pen else 0.0


def find_fractions(ink: Gray) -> tuple[Sign, ...]:
    """Level strokes in ink, (H, W) uint8, with a digit above and one below. Level rules from edge to edge removed."""
    labels, stats = components(ink)
    return tuple(Sign(FRACTION, 0.9, 0, 1) for k in range(len(stats)) if _is_fraction(ink, labels, stats, k))


def _is_fraction(ink: Gray, labels: npt.NDArray[np.int32], stats: Stats, k: int) -> bool:
    """Whether piece k is a level stroke with a digit above and one below; digits that the picture cuts off are a
    neighbour's."""
    x, y, w, h, _ = stats[k].tolist()
    if w < 8 or w < _BAR * h or stroke_lean(labels[y : y + h, x : x + w] == k + 1) is None:
        return False
    left, top, wide, high, _ = stats.T
    middle, low = left + wide / 2, top + high / 2
    over = (middle > x - _ASIDE * w) & (middle < x + (1 + _ASIDE) * w) & (top > 0) & (top + high < len(ink))
    above, below = over & (low < y) & (top + high <= y + h), over & (low > y + h) & (top >= y)
    if not (above.any() and below.any()):
        return False
    first, last = int(high[above].max()), int(high[below].max())
    whole = int((top + high)[below].max() - top[above].min())
    return min(first, last) > _STACKED * whole and max(first, last) < _UNLIKE * min(first, last)


def gap_widths(number: _Number, pieces: Stats) -> tuple[list[float], list[float], list[tuple[int, int]]]:
    """How wide the gaps of a number are and how far apart the middles of the digits beside them, in digit heights, and
    where each begins and ends, in pixels.

    pieces: rows x, y, width, height, area of all that may be a digit, small ones too.
    """
    merged: list[list[int]] = []
    for x, _, w, _, _ in sorted(pieces.tolist()):
        if merged and x <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], x + w)
        else:
            merged.append([x, x + w])
    places = [(left[1], right[0]) for left, right in pairwise(merged)]
    steps = [(sum(right) - sum(left)) / 2 / number.height for left, right in pairwise(merged)]
    return [(end - start) / number.height for start, end in places], steps, places


def gap_measures(widths: Sequence[float], steps: Sequence[float], at: int) -> tuple[float, float, float]:
    """What tells a gap between two numbers from one within a number that has others: how many times wider it is than
    the widest and than the mean of them, and how many times farther the middles beside it are apart than the others,
    as logarithms. A number in cells keeps step, whatever its gaps. widths, steps: see `gap_widths`."""
    others, rest = ([*values[:at], *values[at + 1 :]] for values in (widths, steps))
    width = widths[at] + _LEAST_GAP
    times = width / (max(others) + _LEAST_GAP), width / (fmean(others) + _LEAST_GAP), steps[at] / fmean(rest)
    return math.log(times[0]), math.log(times[1]), math.log(times[2])


def _gaps(number: _Number, pieces: Stats, rules: Stats) -> list[Sign]:
    """Gaps that may part two numbers. pieces: see `gap_widths`. rules: of upright lines."""
    widths, steps, places = gap_widths(number, pieces)
    out = []
    for at, (start, end) in enumerate(places):
        if len(widths) > 1:
            measures = gap_measures(widths, steps, at)
            odds = _GAPS[0] - _RARER + sum(w * value for w, value in zip(_GAPS[1:], measures, strict=True))
        else:
            odds = _LONE[0] + _LONE[1] * widths[at]
        if any(start <= x + w / 2 <= end for x, _, w, _, _ in rules.tolist()):
            odds += _RULED
        probability = float(1 / (1 + np.exp(-odds)))
        if probability > 0.05:
            out.append(_sign(GAP, probability, int(np.count_nonzero(number.boxes[:, 0] < end)), number))
    return out


def doubt(signs: tuple[Sign, ...], thousands_take: float = _THOUSANDS) -> float:
    """The share of a number's probability, 0 to 1, that is left where these signs stand among its digits.

    Points, commas and dashes behind the last digit are fillers and take nothing away, and so does a slash with a dash,
    which closes an amount. Points or commas that each have three digits behind them most often part thousands, and take
    `thousands_take`.
    """
    inner = [sign for sign in signs if sign.name in (POINT, COMMA) and sign.behind]
    behind = sorted(sign.behind for sign in inner if sign.probability > 0.5)
    thousands = behind == [3 * k for k in range(1, len(behind) + 1)]
    left = 1.0
    closed = any(sign.name == DASH and not sign.behind and sign.probability > 0.5 for sign in signs)
    fillers = (DASH, POINT, COMMA, SLASH) if closed else (DASH, POINT, COMMA)
    for sign in signs:
        if sign.behind or sign.name not in fillers:
            takes = thousands_take if thousands and sign.name in (POINT, COMMA) else _CHANGES
            left *= 1 - takes * sign.probability
    return left


def agreed(ink: tuple[Sign, ...], seen: tuple[Sign, ...], known: Collection[str]) -> tuple[Sign, ...]:
    """The signs that the ink shows and those that a recogniser saw, weighed against each other, left to right.

    known: the names of those that the recogniser knows; a point is a comma to it. What it saw stands, since it also
    tells between which digits; what of these the ink alone shows is mostly none, and specks and grain show it in many
    places at once, so that only the surest of a kind is heard.
    """
    points = {sign.name for sign in ink} & {POINT, COMMA}
    comma = POINT if points == {POINT} else COMMA
    out = [replace(sign, name=comma) if sign.name == COMMA else sign for sign in seen]
    places = {(_kind(sign), bool(sign.behind)) for sign in seen}
    alone: dict[tuple[str, bool], Sign] = {}
    for sign in ink:
        place = _kind(sign), bool(sign.behind)
        if place[0] not in known:
            out.append(sign)
        elif place not in places and (place not in alone or sign.probability > alone[place].probability):
            alone[place] = sign
    out += [replace(sign, probability=sign.probability * INK_ALONE) for sign in alone.values()]
    return without_their_gaps(out, ink)


def _kind(sign: Sign) -> str:
    return COMMA if sign.name == POINT else sign.name


def names(signs: tuple[Sign, ...]) -> tuple[str, ...]:
    """The names of the signs that are likelier there than not, left to right."""
    return tuple(sign.name for sign in signs if sign.probability > 0.5)
