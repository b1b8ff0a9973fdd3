"""Tables found without a template: rows, columns, and what each cell is.

The picture is laid flat, printed lines are taken out, and columns and rows follow from both the lines and the rhythm of
the writing: columns are parted by upright lines and by gutters that nearly all rows leave free, rows are where the
middles of pieces of ink gather, and a place where the rhythm or two ruled lines want a row is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from inkshift.arrays import Box, Floats, Labels, Mask, Pixels
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.ink import grown
from inkshift.forms.field.struck import CORE
from inkshift.forms.table.columns import bodies, find_columns
from inkshift.forms.table.flat import flatten
from inkshift.forms.table.margins import without_edges, without_holes, without_leaders, without_print
from inkshift.forms.table.marks import around, fill, find_dashes, lines_through, skip_fillers, strike
from inkshift.forms.table.pieces import SMALL, among, extents, runs_of
from inkshift.forms.table.rows import Piece, find_rows
from inkshift.forms.table.ruling import Ruling, digit_height, find_ruling
from inkshift.forms.table.slots import (
    Kind,
    Slot,
    doubt_parts,
    find_bands,
    join_spanning,
    make_slots,
    part_at_gaps,
    within_walls,
)

# Shares of the digit height: paper kept around a cell's ink; how near to a level line what is left of it is.
MARGIN, LEFT = 0.12, 0.08


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell. row, column: from 1; row 0 is above the first row of numbers.

    kind: `unused` is a dash or another mark. sure: 0 to 1, how probable it is that the kind is right. struck: 0 to 1,
    how sure it is that a number of two digits or more was struck out. box: xmin, ymin, xmax, ymax of what is in it, and
    room: of the whole cell, in pixels of the picture. crop: (h, w) or (h, w, 3) uint8, the cell laid flat, upright
    lines and the ink of other cells painted over; level lines stay, since digits stand on them. ink: (h, w) bool, where
    its own ink is in the crop. height: of its digits, and gap: the widest one between two pieces of its ink, or between
    two lines of it, in digit heights of the table. even: how little the heights of the pieces of its column vary, as
    their deviation in shares of their mean. parted: whether the number may go on in the next column, or begin there.
    """

    row: int
    column: int
    kind: Kind
    sure: float
    struck: float
    box: Box
    room: Box
    crop: Pixels = field(compare=False, repr=False)
    ink: Mask = field(compare=False, repr=False)
    height: float
    gap: float
    even: float
    parted: bool


@dataclass(frozen=True, slots=True)
class Table:
    """rows, columns: how many, headers not counted. cells: row by row. ruled: whether printed lines part its rows."""

    rows: int
    columns: int
    cells: tuple[TableCell, ...]
    ruled: bool

    def column(self, number: int) -> tuple[TableCell, ...]:
        """The cells of a column, from 1, from the top, headers left out."""
        return tuple(cell for cell in self.cells if cell.column == number and cell.row)


def find_table(image: Pixels) -> Table:
    """The table that a picture shows; without cells where there is no ink.

    image: (H, W) gray or (H, W, 3) RGB uint8, rows level within 15 degrees where ruled, within 4 where not.
    """
    flat, to_picture = flatten(without_edges(image))
    dark = without_holes(inks.darkness(flat))
    ruling = find_ruling(dark)
    height = digit_height(ruling.pieces)
    if not height:
        return Table(0, 0, (), False)
    ruling = without_leaders(without_print(ruling, height), height)
    labels, stats = ruling.labels, ruling.pieces
    height = digit_height(stats)
    dashes = find_dashes(labels, stats, height)
    pieces: list[Piece] = stats.tolist()
    written = np.array([k for k in range(len(pieces)) if k not in dashes], np.int64)
    own, middle = bodies(labels, stats, written, height)
    edges = find_columns(own, height, ruling, labels.shape[1])
    columns = []
    for x0, x1 in edges:
        members = written[(middle >= x0) & (middle < x1)].tolist()
        high = min(digit_height(stats[members]) or height, 2 * height)
        columns.append(find_rows(labels, pieces, members, high) if members else [])
    through = [lines_through(rows, pieces, ruling.level, height) for rows in columns]
    bands = find_bands(ruling.level[~np.any([column.any(0) for column in through], axis=0)], columns, height)
    bands = within_walls(bands, columns, ruling, height)
    slots = make_slots(columns, edges, bands, labels.shape, through)
    join_spanning(slots, pieces, ruling, height)
    part_at_gaps(slots, pieces, ruling, height)
    skip_fillers(slots, labels, pieces, dashes, height)
    strike(slots, labels, pieces, ruling)
    fill(slots, dashes, pieces, height)
    doubt_parts(slots, pieces, ruling, height)
    cells = _cells(slots, flat, image.shape, to_picture, labels, pieces, dashes, ruling, height)
    return Table(max((s.row for s in slots), default=0), len(edges), cells, bool(bands))


def _cells(
    slots: list[Slot],
    flat: Pixels,
    shape: tuple[int, ...],
    to_picture: Callable[[Floats], Floats],
    labels: Labels,
    pieces: list[Piece],
    dashes: set[int],
    ruling: Ruling,
    height: float,
) -> tuple[TableCell, ...]:
    """The cells with their pictures and their places in the picture that was given."""
    margin = max(2, round(MARGIN * height))
    h, w = labels.shape
    owned = np.zeros(len(pieces) + 1, np.int32)
    remains = _remains(labels, pieces, ruling, height)
    for n, slot in enumerate(slots, 1):
        owned[[k + 1 for k in slot.pieces]] = n
    even = {c: _evenness([s for s in slots if s.column == c], pieces) for c in {slot.column for slot in slots}}
    out = []
    for n, slot in enumerate(slots, 1):
        box = slot.room
        if slot.pieces:
            x0, y0, x1, y1 = around(slot, pieces, ruling.level)
            box = max(x0, slot.begin, margin) - margin, max(y0 - margin, 0), min(x1 + margin, w), min(y1 + margin, h)
        x0, y0, x1, y1 = box
        owner = owned[labels[y0:y1, x0:x1]]
        lead = np.arange(x0, x1) < slot.begin
        gone = ((owner > 0) & ((owner != n) | lead)) | ruling.walls[y0:y1, x0:x1]
        crop = _painted(flat[y0:y1, x0:x1], gone)
        own = (owner == n) & ~remains[labels[y0:y1, x0:x1]] & ~lead
        gap = _widest_gap(labels[y0:y1, x0:x1], slot, pieces, height)
        kind: Kind = "struck" if slot.kind == "number" and slot.struck > 0.5 else slot.kind
        out.append(
            TableCell(
                slot.row,
                slot.column,
                kind,
                slot.sure,
                slot.struck,
                _to_page(box, to_picture, shape),
                _to_page(slot.room, to_picture, shape),
                crop,
                grown(own.view(np.uint8), 3, 3) > 0,
                _high(slot, pieces) / height,
                max(gap, slot.span[1] - slot.span[0] - height) / height,
                even[slot.column],
                slot.parted,
            )
        )
    return tuple(out)


def _remains(labels: Labels, pieces: list[Piece], ruling: Ruling, height: float) -> Mask:
    """What is left of level lines, by number of the piece from 1: low pieces that lie on or along one."""
    along = max(3, round(2 * LEFT * height) | 1)
    near = grown((ruling.level_map > 0).view(np.uint8), along, along) > 0
    inside = np.bincount(labels[near], minlength=len(pieces) + 1)
    area, high = np.array([(piece[4], piece[3]) for piece in pieces]).T
    out = np.zeros(len(pieces) + 1, np.bool_)
    out[1:] = (inside[1:] >= 0.5 * area) & (high < SMALL * height)
    return out


def _high(slot: Slot, pieces: list[Piece]) -> float:
    """Pixels that a cell's digits are high: three quarters of its pieces are no higher."""
    heights = sorted(pieces[k][3] for k in slot.pieces)
    return float(heights[int(0.75 * (len(heights) - 1) + 0.5)]) if heights else 0.0


def _widest_gap(labels: Labels, slot: Slot, pieces: list[Piece], height: float) -> float:
    """Pixels, at most, between two digits of a cell; strokes between them are none. labels: (h, w) of the cell."""
    tall = tuple(k for k in slot.pieces if pieces[k][3] >= CORE * height)
    ends = runs_of(extents(among(labels, tall)) >= CORE * height)
    return float((ends[1:, 0] - ends[:-1, 1]).max()) if len(ends) > 1 else 0.0


def _evenness(slots: list[Slot], pieces: list[Piece]) -> float:
    """Deviation of the heights of a column's digits, in shares of their mean: print has hardly any."""
    heights = np.array([pieces[k][3] for slot in slots if slot.kind == "number" for k in slot.pieces], np.float64)
    high = heights[heights > 0.7 * np.quantile(heights, 0.75)] if len(heights) else heights
    return float(high.std() / high.mean()) if len(high) > 3 else 1.0


def _painted(part: Pixels, gone: Mask) -> Pixels:
    """A copy of a part of a picture, some of it painted over with the paper around it."""
    crop = np.array(part, np.uint8)
    if not gone.any():
        return crop
    gone = grown(gone.view(np.uint8), 3, 3) > 0
    dark = inks.darkness(crop)
    paper = (dark <= inks.threshold_of(dark) / 2) & ~gone
    weight = paper.astype(np.float32)
    side = max(9, len(crop) // 2 | 1)
    total = cv2.blur(weight, (side, side))
    for channel in crop.reshape(*crop.shape[:2], -1).transpose(2, 0, 1):
        mean = cv2.blur(channel * weight, (side, side)) / np.maximum(total, 1e-6)
        whole = np.median(channel[paper]) if paper.any() else 255
        channel[gone] = np.where(total > 0.02, mean, whole)[gone]
    return crop


def _to_page(box: Box, to_picture: Callable[[Floats], Floats], shape: tuple[int, ...]) -> Box:
    """The box, in the picture that was given, around a box of the flat one."""
    x0, y0, x1, y1 = box
    xs = np.linspace(x0, x1, 3)
    placed = to_picture(np.array([(x, y) for x in xs for y in (y0, y1)], np.float64))
    low, high = np.floor(placed.min(0) + 1e-6), np.ceil(placed.max(0) - 1e-6)
    left, top = np.clip(low, 0, [shape[1] - 1, shape[0] - 1]).astype(int).tolist()
    right, bottom = np.clip(high, [left + 1, top + 1], [shape[1], shape[0]]).astype(int).tolist()
    return left, top, right, bottom
