"""The printed lines of a table that lies flat: where they are, and the ink without them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Labels, Mask
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.ink import grown, runs
from inkshift.forms.cut.segment import components
from inkshift.forms.field.struck import SMALLEST
from inkshift.forms.registration.lines import masks

# A line runs along so many digit heights, but no less and no more than these shares of the side along it, and is ink
# for so much of its length: digits side by side leave gaps. Upright ones stray from a straight line by less than so
# many pixels for each pixel of their length.
LONG, SHARE, FILLED, WHOLE, STRAIGHT = 5.0, (0.3, 0.5), 0.85, 0.98, 0.006
# Of a line of writing, a quarter of its columns of pixels are so many times thicker than a tenth of them: by the second
# where less than the third of its columns has ink, since there is paper between words.
UNEVEN, PARTED, GAPS = 3.0, 2.0, 0.9
# A part of an upright line that spanning cells break is at most so many times shorter than a line is at least.
PARTS = 3
# Pieces that a broken line has at least, and shares of the side that it reaches over and fills. Dashes of a row may lie
# level by chance; digits below each other do not stand in line, so that less is enough of upright lines.
BROKEN, RAGGED = (4, 0.6, 0.25), (6, 0.3, 0.06)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Printed lines of a flat picture (H, W) and its ink without them.

    labels, pieces: the map (H, W) int32 of its pieces of ink, from 1, and x, y, width, height, area of each, (N, 5).
    walls: (H, W) bool, pixels of upright lines that no stroke crosses. level, upright: (N, 4) int32, x, y,
    width and height of each line. level_map: (H, W) int32, number of the level line that each dark pixel is of, from 1.
    """

    labels: Labels
    pieces: Labels
    walls: Mask
    level: Labels
    upright: Labels
    level_map: Labels


def find_ruling(dark: Gray) -> Ruling:
    """The long level and upright lines of a flat picture.

    dark: (H, W) uint8, how much darker than its paper each pixel is (`ink.darkness`).
    """
    h, w = dark.shape
    stats = components((dark > inks.threshold_of(dark)).view(np.uint8))[1]
    # What is large and mostly paper is a grid, or a frame.
    hollow = (stats[:, 4] < 0.1 * stats[:, 2] * stats[:, 3]) & ((stats[:, 2] > 0.3 * w) | (stats[:, 3] > 0.3 * h))
    size = digit_height(stats[~hollow])
    along, down_along = _shortest(size, w), _shortest(size, h)
    across, down = masks(np.asarray(255 - dark, np.uint8), max(1, round(min(h, w) / (0.66 * min(along, down_along)))))
    faint = dark > 0.4 * inks.threshold_of(np.where(across > 0, 0, dark).astype(np.uint8))
    level_map, level = _lines(across, faint, along)
    threshold = inks.threshold_of(np.where(level_map > 0, 0, dark).astype(np.uint8))
    ink = (dark > threshold).view(np.uint8)
    wall, upright = _walls(np.ascontiguousarray(down.T), faint.T, down_along, ruled=len(level) > 2)
    walls = _uncrossed(wall, np.ascontiguousarray(ink.T)).T
    gone = _uncrossed(level_map > 0, ink) | walls | ((level_map > 0) & (wall > 0).T)
    level_map[ink == 0] = 0
    rest = np.where(gone, 0, dark).astype(np.uint8)
    left = (inks.extract(rest, threshold) > 0).view(np.uint8)
    labels, stats = components(left)
    size = digit_height(stats) or size
    more_level, some = _broken_lines(stats, size, w, BROKEN)
    more_upright, others = _broken_lines(stats[:, [1, 0, 3, 2, 4]], size, h, RAGGED)
    remains = np.concatenate([[False], some | others])
    if remains.any():
        kept = np.where(remains, 0, np.cumsum(~remains) - 1).astype(np.int32)
        walls |= np.concatenate([[False], others])[labels]
        labels, stats = kept[labels], stats[~remains[1:]]
    level = np.concatenate([level, more_level])
    return Ruling(labels, stats, walls, level, np.concatenate([upright, more_upright])[:, [1, 0, 3, 2]], level_map)


def _broken_lines(stats: Labels, size: float, side: int, least: tuple[int, float, float]) -> tuple[Labels, Mask]:
    """Level lines of which only pieces are left, and which pieces, (N,), are theirs.

    Flat pieces that lie on one straight line, further apart than strokes of digits ever do so exactly. stats: x, y,
    width, height, area of each piece. side: pixels along the line. least: pieces, and shares
    of the side that they reach over and fill.
    """
    flat = (stats[:, 2] >= 2 * stats[:, 3]) & (stats[:, 3] <= max(0.3 * size, 3))
    of_line = np.zeros(len(stats), np.bool_)
    found: list[list[int]] = []
    order = np.flatnonzero(flat)
    order = order[np.argsort(-stats[order, 2], kind="stable")]
    middle = stats[:, :2] + stats[:, 2:4] / 2
    for k in order.tolist():
        if of_line[k]:
            continue
        near = order[(np.abs(middle[order, 1] - middle[k, 1]) < max(2.0, 0.12 * size)) & ~of_line[order]]
        if len(near) < least[0]:
            continue
        x0, x1 = stats[near, 0].min(), (stats[near, 0] + stats[near, 2]).max()
        length = stats[near, 2].sum()
        if x1 - x0 < least[1] * side or length < least[2] * side:
            continue
        slope, offset = np.polyfit(middle[near, 0], middle[near, 1], 1, w=stats[near, 2])
        off = np.abs(middle[near, 1] - offset - slope * middle[near, 0])
        if np.average(off, weights=stats[near, 2]) > max(1.0, 0.03 * size):
            continue
        of_line[near] = True
        y0, y1 = stats[near, 1].min(), (stats[near, 1] + stats[near, 3]).max()
        found.append([int(x0), int(y0), int(x1 - x0), int(y1 - y0)])
    return np.array(found, np.int32).reshape(-1, 4), of_line


def digit_height(stats: Labels) -> float:
    """Height in pixels of most pieces, high ones counting for more; 0 where all are specks.

    stats: (N, 5) as `segment.components` gives them.
    """
    heights = np.sort(stats[stats[:, 3] >= SMALLEST, 3])
    if not len(heights):
        return 0.0
    weight = np.cumsum(heights)
    return float(heights[np.searchsorted(weight, weight[-1] / 2)])


def bend(own: Mask) -> float:
    """How far, in pixels, a piece strays from the straight line along it: the deviation of its rows."""
    m = cv2.moments(own.view(np.uint8), binaryImage=True)
    return float(np.sqrt(max(m["mu02"] - m["mu11"] ** 2 / max(m["mu20"], 1.0), 0.0) / m["m00"]))


def _shortest(size: float, side: int) -> int:
    """Pixels along a side of the picture that a line is at least long, with digits of that height."""
    return max(4, round(min(max(LONG * size, SHARE[0] * side), SHARE[1] * side)))


def _lines(across: Gray, faint: Mask, long: int) -> tuple[Labels, Labels]:
    """Level lines at least so long: map (H, W) of their numbers from 1, and x, y, width, height of each.

    across: 0/1, see `lines.masks`. faint: what is darker than paper; lines are so for long stretches, digits
    side by side are not.
    """
    gap = _gap(across) // 5
    labels, stats = _chains(across, long)
    line_map = np.zeros(across.shape, np.int32)
    found: list[tuple[int, int, int, int]] = []
    for k, (x, y, w, h) in stats:
        own = (labels[y : y + h, x : x + w] == k) & faint[y : y + h, x : x + w]
        if _is_writing(own):
            continue
        stretches = runs(_bridged(own.view(np.uint8), gap), 1, max(long // 2, 3))
        if _is_filled(np.asarray(stretches.any(0), np.bool_), long):
            found.append((x, y, w, h))
            line_map[y : y + h, x : x + w][grown(stretches, 3, 1) > 0] = len(found)
            found[-1] = _prolong(line_map, len(found), faint, found[-1])
    return line_map, np.array(found, np.int32).reshape(-1, 4)


def _walls(down: Gray, faint: Mask, long: int, *, ruled: bool) -> tuple[Mask, Labels]:
    """As `_lines`, of upright lines turned level: where they are, and their boxes.

    They are straight; digits over each other are not.
    """
    labels, stats = _chains(down, long)
    wall = np.zeros(down.shape, np.int32)
    found: list[tuple[int, int, int, int]] = []
    for k, (x, y, w, h) in stats:
        own = labels[y : y + h, x : x + w] == k
        straight = bend(own) < 0.3 * own.sum() / w + max(1.0, STRAIGHT * w)
        columns = np.asarray((own & faint[y : y + h, x : x + w]).any(0), np.bool_)
        if straight and not _is_filled(columns, long):
            # Where level lines part rows, cells that span others leave gaps, between parts longer than any digit.
            parts = runs(_bridged(columns[None].view(np.uint8), 3), 1, max(long // PARTS, 3))[0] > 0
            straight = ruled and int(parts.sum()) >= max(long, w // 2)
            own = own & parts
        if straight:
            found.append((x, y, w, h))
            wall[y : y + h, x : x + w][own] = len(found)
            found[-1] = _prolong(wall, len(found), faint, found[-1])
    dark = ((wall > 0) & faint).view(np.uint8)
    return grown(dark, 3, 1) > 0, np.array(found, np.int32).reshape(-1, 4)


def _is_writing(own: Mask) -> bool:
    """Whether what looks like a level line is a line of small print or writing: it is not of one thickness."""
    inked = own.any(0)
    thick = own.sum(0)[inked]
    if not len(thick):
        return True
    thin, thicker = np.percentile(thick, [10, 75])
    return bool(thicker >= (PARTED if inked.mean() < GAPS else UNEVEN) * thin and thicker > thin + 2)


def _is_filled(columns: npt.NDArray[np.bool_], long: int) -> bool:
    """Whether a line is ink nearly everywhere, or without a gap where averaging along it made it longer than it is."""
    at = np.flatnonzero(columns)
    if columns.mean() > FILLED or not len(at):
        return bool(len(at))
    extent = at[-1] + 1 - at[0]
    return bool(extent >= 0.8 * long and len(at) > WHOLE * extent)


def _prolong(line_map: Labels, number: int, faint: Mask, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Follow a level line beyond both of its ends, which averaging along it cuts off; in place. Returns its box."""
    x, y, w, h = box
    reach = max(8, w // 6)
    own = line_map[y : y + h, x : x + w] == number
    columns = np.flatnonzero(own.any(0))
    if len(columns) < 4:
        return box
    thick = max(1, round(float(own.sum()) / len(columns) / 2))
    middle = (own * np.arange(h)[:, None]).sum(0)[columns] / own.sum(0)[columns]
    slope, offset = np.polyfit(columns, middle, 1)
    out = [x + int(columns[0]), x + int(columns[-1]) + 1]
    for side, step in ((0, -1), (1, 1)):
        at = (out[0] - 1 if side == 0 else out[1]) + step * np.arange(reach)
        at = at[(at >= 0) & (at < line_map.shape[1])]
        if len(at) < 3:
            continue
        rows = np.rint(y + offset + slope * (at - x)).astype(int)[None, :] + np.arange(-thick - 1, thick + 2)[:, None]
        rows = np.clip(rows, 0, line_map.shape[0] - 1)
        seen = faint[rows, at[None, :]]
        # It ends where three pixels in a row are paper.
        paper = np.convolve(~seen.any(0), np.ones(3, int), "valid") == 3
        many = int(np.argmax(paper)) if paper.any() else len(at)
        part = line_map[rows[:, :many], at[None, :many]]
        line_map[rows[:, :many], at[None, :many]] = np.where(seen[:, :many] & (part == 0), number, part)
        out[side] += step * many
    return out[0], y, out[1] - out[0], h


def _chains(ridges: Gray, long: int) -> tuple[Labels, list[tuple[int, list[int]]]]:
    """Pieces of a 0/1 mask, level gaps bridged, at least so long: map, and number and box of each."""
    thick = max(3, min(ridges.shape) // 100 | 1)
    labels, stats = components(grown(_bridged(ridges, _gap(ridges)), thick, 1))
    return labels, [(k, row[:4]) for k, row in enumerate(stats.tolist(), 1) if row[2] >= long]


def _gap(ridges: Gray) -> int:
    return int(min(ridges.shape[1] // 12, 40))


def _bridged(mask: Gray, gap: int) -> Gray:
    """A 0/1 mask with level gaps of up to `gap` pixels filled."""
    padded = np.pad(mask, ((0, 0), (gap, gap)))  # or closing would eat what reaches the border
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((1, gap | 1), np.uint8))
    return np.asarray(closed[:, gap : gap + mask.shape[1]], np.uint8)


def _uncrossed(line: npt.NDArray[np.bool_], ink: Gray) -> npt.NDArray[np.bool_]:
    """The pixels of level lines, but for those where strokes cross: there is ink above and below."""
    if not line.any():
        return line
    mask = np.ascontiguousarray(line).view(np.uint8)
    thick = 2 * float(np.percentile(cv2.distanceTransform(mask, cv2.DIST_C, 3)[line], 95))
    off = ink & ~mask
    kernel = np.ones((round(thick) + 5, 5), np.uint8)
    above = cv2.dilate(off, kernel, anchor=(2, len(kernel) - 1)) > 0
    below = cv2.dilate(off, kernel, anchor=(2, 0)) > 0
    return np.asarray(line & ~(above & below), np.bool_)
