"""Rows of one column of writing, by its rhythm.

As in Kiumarsi and Alaei, "A hybrid method for text line extraction in handwritten document images" (ICFHR 2018):
connected pieces of ink are the units, and the profile of their middles has a peak at each row; pieces that reach
over two rows are cut where they are thinnest.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Floats, Labels
from inkshift.forms.field.struck import CORE

Piece = list[int]

# Shares of the digit height. What is higher than TALL reaches over two rows, or if ENOUGH of it stands out of the one
# it is in. Rows are at least APART. SPECK: less is noise.
# HIGH: as high as that, a piece may be of two rows, and does not show where one is.
TALL, ENOUGH, APART, SPECK, HIGH = 1.8, 0.75, 0.6, 0.13, 1.4
# How near a stroke above a digit is to it, in digit heights, and how much of it lies over it, to be its flag.
CLOSE, FLAG = 0.2, 0.5


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a column. top, bottom: of its digits, in pixels; pieces: the numbers of its pieces of ink, from 0."""

    top: int
    bottom: int
    pieces: tuple[int, ...]


def find_rows(labels: Labels, pieces: list[Piece], members: list[int], height: float) -> list[TableRow]:
    """The rows that some pieces of ink stand in, from top to bottom.

    labels: (H, W) number of the piece that each pixel is of, from 1. pieces: x, y, width, height, area of each.
    members: which of them, from 0, are of this column. height: of its digits. Pieces that reach over two rows are cut
    in two, in `labels`, `pieces` and `members`.
    """
    _cut_tall(labels, pieces, members, height)
    stats = np.array([pieces[k] for k in members], np.int32).reshape(-1, 5)
    owners, spans = _owners(stats, height, len(labels))
    numbers = np.array(members, np.int32)
    return [
        TableRow(int(top), int(bottom), tuple(numbers[owners == k].tolist()))
        for k, (top, bottom) in enumerate(spans, 1)
    ]


def _cut_tall(labels: Labels, pieces: list[Piece], members: list[int], height: float) -> None:
    """Cut the members that reach over several rows, in place."""
    stats = np.array([pieces[k] for k in members], np.int32).reshape(-1, 5)
    cores = _cores(stats, height, len(labels))
    at = peaks(stats[cores & (stats[:, 3] < HIGH * height)], height)
    if not len(at):
        at = peaks(stats[cores & (stats[:, 3] < TALL * height)], height)
    todo = [k for k in members if pieces[k][3] >= TALL * height or _spans_two(pieces[k], at, height)]
    while todo:
        k = todo.pop()
        x, y, w, h, _ = pieces[k]
        own = labels[y : y + h, x : x + w] == k + 1
        cut = _cut_at(own.sum(1), at - y, height)
        if not cut:
            continue
        labels[y + cut : y + h, x : x + w][own[cut:]] = len(pieces) + 1
        members.append(len(pieces))
        pieces.append([])
        for number, part, top in ((k, own[:cut], y), (len(pieces) - 1, own[cut:], y + cut)):
            bx, by, bw, bh = cv2.boundingRect(part.view(np.uint8))
            pieces[number] = [x + bx, top + by, bw, bh, int(part.sum())]
            if bh >= TALL * height or _spans_two(pieces[number], at, height):
                todo.append(number)


def _spans_two(piece: Piece, rows: Floats, height: float) -> bool:
    """Whether a piece reaches well beyond the middles of two rows."""
    _, y, _, h, _ = piece
    inside = (rows > y + 0.25 * height) & (rows < y + h - 0.25 * height)
    return h >= HIGH * height and bool(inside.sum() > 1)


def _cut_at(amount: npt.NDArray[np.intp], rows: Floats, height: float) -> int:
    """Where a high piece with so much ink in each of its rows of pixels is to be cut in two; 0: not at all.

    rows: middles of rows, from the piece's top. Between two of them it is cut; at one, where enough for a
    row reaches out above or below it; where there are none, anywhere.
    """
    size = len(amount)
    inside = rows[(rows > 0.25 * height) & (rows < size - 0.25 * height)]
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
    at = peaks(stats[core], height)
    owners = np.zeros(len(stats), np.int32)
    if not len(at):
        return owners, np.zeros((0, 2), np.int32)
    middle = stats[:, 1] + stats[:, 3] / 2
    nearest = np.abs(middle[:, None] - at[None, :]).argmin(1).astype(np.int32)
    owners[core] = nearest[core] + 1
    spans = np.array([_span(stats[owners == k + 1]) for k in range(len(at))], np.int32)
    slack = 0.1 * height
    near = (middle >= spans[nearest, 0] - slack) & (middle <= spans[nearest, 1] + slack)
    small = ~core & near & (np.maximum(stats[:, 2], stats[:, 3]) >= SPECK * height)
    owners[small] = nearest[small] + 1
    _add_flags(owners, stats, core, height)
    return owners, spans


def _add_flags(owners: Labels, stats: Labels, core: npt.NDArray[np.bool_], height: float) -> None:
    """Give strokes close above a digit, such as the flag of a 5, to its row, in place."""
    x, y, w, h, _ = stats.T
    digits = np.flatnonzero(core)
    for k in np.flatnonzero(~core & (owners == 0) & (w >= SPECK * height)).tolist():
        shared = np.minimum(x[k] + w[k], x[digits] + w[digits]) - np.maximum(x[k], x[digits])
        gap = y[digits] - y[k] - h[k]
        near = (shared >= FLAG * w[k]) & (gap <= CLOSE * height) & (y[k] < y[digits])
        if near.any():
            owners[k] = owners[digits[near][gap[near].argmin()]]


def _span(stats: Labels) -> tuple[int, int]:
    """Typical top and bottom of the digits of a row."""
    return round(float(np.median(stats[:, 1]))), round(float(np.median(stats[:, 1] + stats[:, 3])))


def peaks(stats: Labels, height: float) -> Floats:
    """Where the middles of pieces gather, from top to bottom: peaks of their smoothed profile."""
    if not len(stats):
        return np.zeros(0)
    middles, weights = stats[:, 1] + stats[:, 3] // 2, np.clip(stats[:, 2] / height, 0.5, 3.0)
    reach = np.arange(-round(0.5 * height), round(0.5 * height) + 1)
    bell = np.exp(-0.5 * np.square(reach / (0.18 * height)))
    profile = np.convolve(np.bincount(middles + len(reach) // 2, weights), bell)[len(reach) - 1 :]
    around = np.pad(profile, 1)
    tops = np.flatnonzero((profile >= np.maximum(around[:-2], around[2:])) & (profile >= 0.3))
    found: list[float] = []
    for i in tops[np.argsort(-profile[tops], kind="stable")].tolist():
        if all(abs(i - other) >= APART * height for other in found):
            found.append(float(i))
    return np.array(sorted(found))
