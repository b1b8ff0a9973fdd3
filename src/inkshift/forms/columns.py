"""Rows of a column of hand-written numbers, found without a template.

A mixture of known methods, as in Kiumarsi and Alaei, "A hybrid method for text line extraction in
handwritten document images" (ICFHR 2018): the skew is where the projection profile is sharpest (Postl 1986),
connected pieces of ink are the units, and the profile of their middles has a peak at each row; pieces that
reach over two rows are cut where they are thinnest. Ruled lines only show which rows are empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms import ink as inks
from inkshift.forms.ink import grown, runs
from inkshift.forms.lines import masks
from inkshift.forms.segment import components
from inkshift.forms.struck import CORE, SMALLEST, struck_rows

Image = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]

# Pixels that a row may rise or fall for each pixel to the right: 4 degrees.
STEEPEST = 0.07
# Shares of the digit height. What is higher than TALL reaches over two rows, or if ENOUGH of it stands out of the one
# it is in. Rows are at least APART. A long piece that strays from a straight line less than FLAT is none of digits.
# SPECK: less is noise. MARGIN: paper kept around a row's ink.
TALL, ENOUGH, APART, FLAT, SPECK, MARGIN = 1.8, 0.75, 0.6, 0.15, 0.13, 0.12
# Shares of the picture that a rule runs along, and of the rule that is ink: digits side by side leave gaps. Upright
# ones stray from a straight line by less than so many pixels for each pixel of their length.
LONG, FILLED, STRAIGHT = 0.5, 0.85, 0.006


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a column.

    box: xmin, ymin, xmax, ymax in pixels of the picture; all the row's ink lies in it. struck: 0 to 1, how sure
    it is that a number of two digits or more was struck out. foreign: (ymax - ymin, xmax - xmin) bool, ink in
    the box of other rows.
    """

    box: Box
    struck: float
    foreign: npt.NDArray[np.bool_] = field(compare=False, repr=False)


def find_rows(image: Image) -> tuple[Row, ...]:
    """The rows of a column of numbers, from top to bottom; () where there is no ink.

    image: (H, W) gray or (H, W, 3) RGB uint8, rows level within 4 degrees. Where two ruled lines have nothing
    between them, a row comes back with nothing in it, so that rows can be counted.
    """
    dark = inks.darkness(image)
    shift = _shift(dark)
    ink, line_map, lines = _ink_and_lines(_flat(dark, shift))
    labels, stats = components(ink)
    height = _digit_height(stats)
    if not height:
        return ()
    labels, stats = _pieces(labels, _without_flat(labels, stats, height), height)
    owners, spans = _owners(stats, height, ink.shape[0])
    if not len(spans):
        return ()
    owner = np.concatenate([np.zeros(1, np.int32), owners])[labels]
    rules = _claim_lines(owner, line_map, lines, spans, height)
    struck = struck_rows([owner == k + 1 for k in range(len(spans))], spans)
    found = _boxed(_back(owner, shift, dark.shape[0]), struck, height)
    found += [Row(box, 0.0, _foreign(owner, box, 0)) for box in _empty(rules, spans, shift, dark.shape, height)]
    return tuple(sorted(found, key=lambda row: row.box[1] + row.box[3]))


def row_crop(image: Image, row: Row) -> Image:
    """A row's picture, the ink of other rows painted over with the paper around it; rules stay.

    image: as `find_rows` was given. Returns a copy of the same number of channels.
    """
    x0, y0, x1, y1 = row.box
    crop = np.array(image[y0:y1, x0:x1], np.uint8)
    if not row.foreign.any():
        return crop
    gone = grown(row.foreign.view(np.uint8), 3, 3) > 0
    dark = inks.darkness(crop)
    paper = (dark <= inks.threshold_of(dark) / 2) & ~gone
    weight = paper.astype(np.float32)
    side = max(9, (y1 - y0) // 2 | 1)
    total = cv2.blur(weight, (side, side))
    for channel in crop.reshape(*crop.shape[:2], -1).transpose(2, 0, 1):
        mean = cv2.blur(channel * weight, (side, side)) / np.maximum(total, 1e-6)
        whole = np.median(channel[paper]) if paper.any() else 255
        channel[gone] = np.where(total > 0.02, mean, whole)[gone]
    return crop


def _shift(dark: Gray) -> Labels:
    """(W,) pixels that each column of a column of numbers must go up for its rows to be level."""
    h, w = dark.shape
    rows, columns = np.nonzero(dark > inks.threshold_of(dark))
    thin = max(1, len(rows) // 6_000)
    y, x = rows[::thin].astype(np.float32), columns[::thin] - np.float32(w / 2)

    def sharpness(slope: float) -> float:
        profile = np.bincount((y - slope * x + (h + w)).astype(np.int32))
        return float(np.square(profile, dtype=np.float64).sum())

    coarse = max(np.arange(-STEEPEST, STEEPEST + 1e-6, 0.01).tolist(), key=sharpness)
    best = max([coarse + fine for fine in np.arange(-0.0075, 0.008, 0.0025).tolist()], key=sharpness)
    if sharpness(best) < 1.02 * sharpness(0.0):
        best = 0.0
    return np.asarray(np.rint(best * (np.arange(w) - w / 2)), np.int32)


def _flat(picture: Gray, shift: Labels) -> Gray:
    """A picture (H, W) with its columns moved up by `shift`: (H + 2 e, W), e the largest shift; 0 beyond."""
    e = int(np.abs(shift).max())
    padded = np.pad(picture, ((2 * e, 2 * e), (0, 0)))
    rows = np.arange(picture.shape[0] + 2 * e, dtype=np.int32)[:, None] + (shift + e)[None, :]
    return np.take_along_axis(padded, rows.astype(np.intp), axis=0)


def _back(level: Labels, shift: Labels, height: int) -> Labels:
    """What `_flat` did to a picture `height` pixels high, undone."""
    e = int(np.abs(shift).max())
    padded = np.pad(level, ((e, e), (0, 0)))
    rows = np.arange(height, dtype=np.int32)[:, None] + (2 * e - shift)[None, :]
    return np.take_along_axis(padded, rows.astype(np.intp), axis=0)


def _ink_and_lines(dark: Gray) -> tuple[Gray, Labels, Labels]:
    """Ink (H, W) 0/1 without the lines that run along or down most of the picture, and the level ones of these.

    Of those: a map (H, W) of the numbers of their ink from 1, and a row x, y, width, height for each.
    """
    across, down = masks(np.asarray(255 - dark, np.uint8), 3)
    faint = dark > 0.4 * inks.threshold_of(np.where(across > 0, 0, dark).astype(np.uint8))
    line_map, lines = _lines(across, faint)
    threshold = inks.threshold_of(np.where(line_map > 0, 0, dark).astype(np.uint8))
    ink = (dark > threshold).view(np.uint8)
    wall = _walls(np.ascontiguousarray(down.T), faint.T)
    gone = _uncrossed(line_map > 0, ink) | _uncrossed(wall, np.ascontiguousarray(ink.T)).T
    line_map[ink == 0] = 0
    rest = np.where(gone, 0, dark).astype(np.uint8)
    return (inks.extract(rest, threshold) > 0).view(np.uint8), line_map, lines


def _digit_height(stats: Labels) -> float:
    """Height in pixels of most pieces, high ones counting for more; 0 where all are specks."""
    heights = np.sort(stats[stats[:, 3] >= SMALLEST, 3])
    if not len(heights):
        return 0.0
    weight = np.cumsum(heights)
    return float(heights[np.searchsorted(weight, weight[-1] / 2)])


def _lines(across: Gray, faint: npt.NDArray[np.bool_]) -> tuple[Labels, Labels]:
    """Level lines along half of the picture or more: map (H, W) of their numbers from 1, and x, y, w, h of each.

    across: 0/1, see `lines.masks`. faint: what is darker than paper; lines are so for long stretches, digits
    side by side are not.
    """
    gap, least = _gap(across) // 5, min(across.shape) // 4
    labels, stats = _chains(across)
    line_map = np.zeros(across.shape, np.int32)
    found = []
    for k, (x, y, w, h) in stats:
        own = (labels[y : y + h, x : x + w] == k) & faint[y : y + h, x : x + w]
        stretches = runs(_bridged(own.view(np.uint8), gap), 1, least)
        if stretches.any(0).mean() > FILLED:
            found.append((x, y, w, h))
            line_map[y : y + h, x : x + w][grown(stretches, 3, 1) > 0] = len(found)
    return line_map, np.array(found, np.int32).reshape(-1, 4)


def _walls(down: Gray, faint: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """As `_lines`, of upright lines turned level: where they are. They are straight; digits over each other are not."""
    labels, stats = _chains(down)
    wall = np.zeros(down.shape, np.bool_)
    for k, (x, y, w, h) in stats:
        own = labels[y : y + h, x : x + w] == k
        straight = _bend(own) < 0.3 * own.sum() / w + max(1.0, STRAIGHT * w)
        if straight and (own & faint[y : y + h, x : x + w]).any(0).mean() > FILLED:
            wall[y : y + h, x : x + w] |= own
    return grown(wall.view(np.uint8), 5, 1) > 0


def _chains(ridges: Gray) -> tuple[Labels, list[tuple[int, list[int]]]]:
    """Pieces of a 0/1 mask, level gaps bridged, half as wide as the picture: map, and number and box of each."""
    thick = max(3, min(ridges.shape) // 100 | 1)
    labels, stats = components(grown(_bridged(ridges, _gap(ridges)), thick, 1))
    return labels, [(k, row[:4]) for k, row in enumerate(stats.tolist(), 1) if row[2] >= LONG * ridges.shape[1]]


def _gap(ridges: Gray) -> int:
    return int(min(ridges.shape[1] // 12, 40))


def _bridged(mask: Gray, gap: int) -> Gray:
    """A 0/1 mask with level gaps of up to `gap` pixels filled."""
    kernel = np.ones((1, gap | 1), np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.asarray(closed, np.uint8)


def _bend(own: npt.NDArray[np.bool_]) -> float:
    """How far, in pixels, a piece strays from the straight line along it: the deviation of its rows."""
    m = cv2.moments(own.view(np.uint8), binaryImage=True)
    return float(np.sqrt(max(m["mu02"] - m["mu11"] ** 2 / max(m["mu20"], 1.0), 0.0) / m["m00"]))


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


def _without_flat(labels: Labels, stats: Labels, height: float) -> Labels:
    """`stats` with no area for dashes and for what is left of lines: long pieces that a straight line goes along."""
    stats = stats.copy()
    for k in np.flatnonzero(stats[:, 2] > 1.5 * height):
        x, y, w, h, _ = stats[k].tolist()
        if _bend(labels[y : y + h, x : x + w] == k + 1) < FLAT * height:
            stats[k, 2:] = 0
    return stats


def _pieces(labels: Labels, stats: Labels, height: float) -> tuple[Labels, Labels]:
    """Connected pieces with those that reach over several rows cut: map (H, W), changed in place, and their stats."""
    peaks = _peaks(stats[_cores(stats, height, len(labels)) & (stats[:, 3] < TALL * height)], height)
    pieces = [list(row) for row in stats.tolist()]
    todo = [k for k, piece in enumerate(pieces) if piece[3] >= TALL * height]
    while todo:
        k = todo.pop()
        x, y, w, h, _ = pieces[k]
        own = labels[y : y + h, x : x + w] == k + 1
        cut = _cut_at(own.sum(1), peaks - y, height)
        if not cut:
            continue
        labels[y + cut : y + h, x : x + w][own[cut:]] = len(pieces) + 1
        pieces.append([])
        for number, part, top in ((k, own[:cut], y), (len(pieces) - 1, own[cut:], y + cut)):
            bx, by, bw, bh = cv2.boundingRect(part.view(np.uint8))
            pieces[number] = [x + bx, top + by, bw, bh, int(part.sum())]
            if bh >= TALL * height:
                todo.append(number)
    return labels, np.array(pieces, np.int32).reshape(-1, 5)


def _cut_at(amount: npt.NDArray[np.intp], peaks: Floats, height: float) -> int:
    """Where a high piece with so much ink in each of its rows of pixels is to be cut in two; 0: not at all.

    peaks: middles of rows, from the piece's top. Between two of them it is cut; at one, where enough for a
    row reaches out above or below it; where there are none, anywhere.
    """
    size = len(amount)
    inside = peaks[(peaks > 0.25 * height) & (peaks < size - 0.25 * height)]
    first, last = 0.5 * height, size - 0.5 * height
    if len(inside) > 1:
        first, last = inside[0] + 0.2 * height, inside[1] - 0.2 * height
    elif len(inside) == 1:
        above, below = inside[0] - 0.5 * height, size - inside[0] - 0.5 * height
        if max(above, below) < ENOUGH * height:
            return 0
        last = inside[0] - 0.2 * height if above > below else last
        first = inside[0] + 0.2 * height if above <= below else first
    place = np.arange(size)
    cost = cv2.blur(amount.astype(np.float32), (1, 3)).ravel() + 0.1 * np.abs(place - (first + last) / 2)
    return int(np.argmin(np.where((place >= first) & (place <= max(last, first + 1)), cost, np.inf)))


def _cores(stats: Labels, height: float, rows: int) -> npt.NDArray[np.bool_]:
    """Pieces that are high enough to show a row, and not just the end of one that the border cuts off."""
    top, high = stats[:, 1], stats[:, 3]
    clipped = ((top <= 0) | (top + high >= rows)) & (high < 0.75 * height)
    return np.asarray((high >= CORE * height) & ~clipped, np.bool_)


def _owners(stats: Labels, height: float, rows: int) -> tuple[Labels, Labels]:
    """The row of each piece, from 1, 0 for none; and top and bottom of each row's digits."""
    core = _cores(stats, height, rows)
    peaks = _peaks(stats[core], height)
    owners = np.zeros(len(stats), np.int32)
    if not len(peaks):
        return owners, np.zeros((0, 2), np.int32)
    middle = stats[:, 1] + stats[:, 3] / 2
    nearest = np.abs(middle[:, None] - peaks[None, :]).argmin(1).astype(np.int32)
    owners[core] = nearest[core] + 1
    spans = np.array([_span(stats[owners == k + 1]) for k in range(len(peaks))], np.int32)
    slack = 0.1 * height
    near = (middle >= spans[nearest, 0] - slack) & (middle <= spans[nearest, 1] + slack)
    small = ~core & near & (np.maximum(stats[:, 2], stats[:, 3]) >= SPECK * height)
    owners[small] = nearest[small] + 1
    return owners, spans


def _span(stats: Labels) -> tuple[int, int]:
    """Typical top and bottom of the digits of a row."""
    return round(float(np.median(stats[:, 1]))), round(float(np.median(stats[:, 1] + stats[:, 3])))


def _peaks(stats: Labels, height: float) -> Floats:
    """Where the middles of pieces gather, from top to bottom: peaks of their smoothed profile."""
    if not len(stats):
        return np.zeros(0)
    middles, weights = stats[:, 1] + stats[:, 3] // 2, np.clip(stats[:, 2] / height, 0.5, 3.0)
    reach = np.arange(-round(0.5 * height), round(0.5 * height) + 1)
    bell = np.exp(-0.5 * np.square(reach / (0.18 * height)))
    profile = np.convolve(np.bincount(middles + len(reach) // 2, weights), bell)[len(reach) - 1 :]
    found: list[float] = []
    for i in np.argsort(-profile, kind="stable"):
        left, right = profile[max(i - 1, 0)], profile[min(i + 1, len(profile) - 1)]
        if profile[i] < 0.3:
            break
        if profile[i] >= max(left, right) and all(abs(i - other) >= APART * height for other in found):
            found.append(float(i))
    return np.array(sorted(found))


def _claim_lines(owner: Labels, line_map: Labels, lines: Labels, spans: Labels, height: float) -> Labels:
    """Give lines through rows, dashes and strokes, to these, in place; the other lines are returned: rules.

    owner: (H, W) row of each pixel, from 1. A line belongs to a row if it runs near its middle, unless it is as
    long as the rules and goes well beyond the row's digits on both sides.
    """
    middle, at = spans.mean(1), lines[:, 1] + lines[:, 3] / 2
    nearest = np.abs(at[:, None] - middle[None, :]).argmin(1)
    inside = np.abs(at - middle[nearest]) < 0.3 * np.maximum(spans[nearest, 1] - spans[nearest, 0], 0.8 * height)
    usual = 0.9 * np.median(lines[~inside, 2]) if (~inside).sum() > 1 else np.inf
    rule = ~inside
    for k in np.flatnonzero(inside):
        columns = np.flatnonzero((owner == nearest[k] + 1).any(0))
        x, width = lines[k, 0], lines[k, 2]
        beyond = min(columns[0] - x, x + width - columns[-1])
        rule[k] = width > usual and beyond > height / 2
        if not rule[k]:
            owner[(line_map == k + 1) & (owner == 0)] = nearest[k] + 1
    return np.asarray(lines[rule], np.int32)


def _boxed(owner: Labels, struck: list[float], height: float) -> list[Row]:
    """Rows from the map (H, W), in the picture, of the row of each pixel."""
    h, w = owner.shape
    margin = max(2, round(MARGIN * height))
    rows = []
    for k, sure in enumerate(struck, 1):
        x, y, bw, bh = cv2.boundingRect((owner == k).view(np.uint8))
        box = max(x - margin, 0), max(y - margin, 0), min(x + bw + margin, w), min(y + bh + margin, h)
        rows.append(Row(box, sure, _foreign(owner, box, k)))
    return rows


def _foreign(owner: Labels, box: Box, row: int) -> npt.NDArray[np.bool_]:
    x0, y0, x1, y1 = box
    part = owner[y0:y1, x0:x1]
    return np.asarray((part > 0) & (part != row), np.bool_)


def _empty(rules: Labels, spans: Labels, shift: Labels, shape: tuple[int, int], height: float) -> list[Box]:
    """Boxes, in the picture, of what lies between two neighbouring rules and has no row in it."""
    bands = [[int(y), int(y + h), int(x), int(x + w)] for x, y, w, h in sorted(rules.tolist(), key=lambda r: r[1])]
    joined: list[list[int]] = []
    for band in bands:
        if joined and band[0] - joined[-1][1] < CORE * height:
            last = joined[-1]
            joined[-1] = [last[0], max(last[1], band[1]), min(last[2], band[2]), max(last[3], band[3])]
        else:
            joined.append(band)
    gaps = [(a[1], b[0], max(a[2], b[2]), min(a[3], b[3])) for a, b in pairwise(joined)]
    pitch = float(np.median([b - a for a, b, _, _ in gaps])) if gaps else 0.0
    e = int(np.abs(shift).max())
    boxes = []
    for top, bottom, x0, x1 in gaps:
        taken = any(min(bottom, s1) - max(top, s0) > 0.3 * (s1 - s0) for s0, s1 in spans.tolist())
        if taken or bottom - top < 0.6 * pitch or bottom - top > 2.5 * pitch or x1 <= x0:
            continue
        tilt = shift[x0:x1] - e
        y0, y1 = max(top + int(tilt.min()), 0), min(bottom + int(tilt.max()), shape[0])
        boxes.append((x0, y0, x1, y1))
    return boxes
