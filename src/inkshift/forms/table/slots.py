"""The cells of a table on its flat picture: the rows of all columns joined, empty ones counted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from inkshift.arrays import Box, Labels, Mask
from inkshift.forms.field.struck import CORE
from inkshift.forms.table.pieces import extent
from inkshift.forms.table.rows import Piece, TableRow
from inkshift.forms.table.ruling import Ruling

Kind = Literal["number", "header", "unused", "struck", "empty"]

# Parts of a number across a gap in a line are closer than this share of the digit height; the line shows in less than
# this share of the number's height.
CLOSE, FILLED = 0.5, 0.5
# In digit heights: two digits that stand beside each other are no further apart; what reaches over a gutter lies within
# so much of it. How many times wider the gap between two numbers is than one within.
BESIDE, REACH, FURTHER = 0.4, 1.2, 1.5
# Two lines in one cell: the lower one is at least such a share of the other.
STACKED = 0.6
# A row is missing where the distance of two is so near to a multiple of the pitch, and the pitch so regular.
REGULAR, PITCH = 0.2, 0.12
# Lines part the rows where so many of these are alone between two of them. How much of a row is beside an upright line.
ALONE, WALLED = 0.7, 0.8


@dataclass(slots=True)
class Slot:
    """A cell on the flat picture. pieces: numbers of its ink, from 0. lines: of level lines through it, from 1. begin:
    left of this there is no digit of it, strokes at most. parted: whether it may be a part of a number."""

    row: int
    column: int
    pieces: tuple[int, ...]
    span: tuple[int, int]
    room: Box
    kind: Kind
    sure: float = 1.0
    struck: float = 0.0
    lines: tuple[int, ...] = ()
    begin: int = 0
    parted: bool = False


def find_bands(level: Labels, columns: list[list[TableRow]], height: float) -> list[tuple[int, int]]:
    """Top and bottom of each strip between two level lines, where these part the rows; [] where they do not."""
    bounds: list[list[float]] = []
    for y, h in sorted((int(y), int(h)) for _, y, _, h in level.tolist()):
        if bounds and y - bounds[-1][1] < CORE * height:
            bounds[-1][1] = max(bounds[-1][1], y + h)
        else:
            bounds.append([y, y + h])
    found = [(round(a[1]), round(b[0])) for a, b in pairwise(bounds) if b[0] - a[1] > 0.6 * height]
    if len(found) < 2:
        return []
    alone, all_rows = 0, 0
    for rows in columns:
        inside = [k for row in rows for k, (a, b) in enumerate(found) if a <= (row.top + row.bottom) / 2 < b]
        alone += sum(inside.count(k) == 1 for k in set(inside))
        all_rows += len(rows)
    return found if alone >= ALONE * all_rows else []


def within_walls(
    bands: list[tuple[int, int]], columns: list[list[TableRow]], ruling: Ruling, height: float
) -> list[tuple[int, int]]:
    """The strips of `find_bands` but empty ones above and below all upright lines: the sheet's edge closes these.

    Its edges beside the table are no such lines: most level ones end before them. A line seems longer than it is.
    """
    x, _, w, _ = (ruling.level if bands else np.zeros((1, 4))).T
    left, right = np.median(x) - height, np.median(x + w) + height
    inner = [(y, y + h) for x, y, w, h in ruling.upright.tolist() if left < x + w / 2 < right]
    walled = [any(min(b, end) - max(a, top) > WALLED * (b - a) for top, end in inner) for a, b in bands]
    middles = [(row.top + row.bottom) / 2 for rows in columns for row in rows]
    kept = [k for k, (a, b) in enumerate(bands) if walled[k] or any(a <= middle < b for middle in middles)]
    return bands[kept[0] : kept[-1] + 1] if any(walled) else bands


def make_slots(
    columns: list[list[TableRow]],
    edges: list[tuple[int, int]],
    bands: list[tuple[int, int]],
    shape: tuple[int, ...],
    through: list[Mask],
) -> list[Slot]:
    """All cells, rows counted from 1, the empty ones among them. through: of each column, see `marks.lines_through`."""
    lines = _join(columns, bands)
    known_spans = [_mean_span([columns[c][k] for c, k in line.items()], band) for line, band in lines]
    spans = _with_missing(known_spans, bool(bands))
    out = []
    bounds = [0, *[(a[1] + b[0]) // 2 for a, b in pairwise([s for s, _ in spans])], shape[0]]
    at = 0
    for r, (span, known) in enumerate(spans):
        line, band = lines[at] if known else ({}, None)
        at += known
        top, bottom = band or (bounds[r], bounds[r + 1])
        if not band:
            high = span[1] - span[0]
            top, bottom = max(top, span[0] - high), min(bottom, span[1] + high)
        for c, (x0, x1) in enumerate(edges):
            row = columns[c][line[c]] if c in line else None
            room = (x0, top, x1, max(bottom, top + 1))
            pieces, own = (row.pieces, (row.top, row.bottom)) if row else ((), span)
            slot = Slot(r + 1, c + 1, pieces, own, room, "number" if row else "empty")
            if row:
                slot.lines = tuple((np.flatnonzero(through[c][line[c]]) + 1).tolist())
            out.append(slot)
    return out


def join_spanning(slots: list[Slot], pieces: list[Piece], ruling: Ruling, height: float) -> None:
    """A number across the place of an upright line that has a gap there is one, of the first of its columns; in place.

    What stands apart in such a row stays in its own columns, since a line may be missing for other reasons.
    """
    walls = [(x - height / 4, x + w + height / 4) for x, _, w, _ in ruling.upright.tolist()]
    joined: list[int] = []
    for a, b in pairwise(slots):
        edge = a.room[2]
        if a.row != b.row or "empty" in (a.kind, b.kind) or not any(x0 <= edge <= x1 for x0, x1 in walls):
            continue
        x0, x1 = extent(a.pieces, pieces)[2], extent(b.pieces, pieces)[0]
        if x1 - x0 < CLOSE * height and _is_open(a, b, ruling, height):
            b.pieces, b.lines, b.span = a.pieces + b.pieces, tuple(sorted({*a.lines, *b.lines})), a.span
            b.column, b.room = a.column, (a.room[0], a.room[1], b.room[2], b.room[3])
            joined.append(id(a))
    slots[:] = [slot for slot in slots if id(slot) not in joined]


def doubt_parts(slots: list[Slot], pieces: list[Piece], ruling: Ruling, height: float) -> None:
    """Mark what stands in two columns as near to each other as the digits of one number, no line between; in place.

    It may be a number across both, as in a heading over two columns.
    """
    for a, b in pairwise(slots):
        if a.row == b.row and a.kind == b.kind == "number" and _is_open(a, b, ruling, height):
            left, right = (_digits(slot, pieces) for slot in (a, b))
            if extent(right, pieces)[0] - extent(left, pieces)[2] < BESIDE * height:
                a.parted = b.parted = True


def _digits(slot: Slot, pieces: list[Piece]) -> tuple[int, ...]:
    """The pieces of a cell that are about as high as its highest: no strokes that lead to a number."""
    highest = max(pieces[k][3] for k in slot.pieces)
    return tuple(k for k in slot.pieces if pieces[k][3] >= CORE * highest)


def _is_open(a: Slot, b: Slot, ruling: Ruling, height: float) -> bool:
    """Whether no upright line shows between two neighbours."""
    edge, near, (top, bottom) = a.room[2], round(height / 4), a.span
    line = ruling.walls[top:bottom, max(edge - near, 0) : edge + near].any(1)
    return bool(line.size and line.mean() < FILLED)


def part_at_gaps(slots: list[Slot], pieces: list[Piece], ruling: Ruling, height: float) -> None:
    """Give pieces that reach over a gutter to the number that they stand beside; in place.

    Two numbers without a line between them are parted at the widest gap of their row, where the gutter goes through a
    gap that is none between columns.
    """
    walls = [(x - height / 4, x + w + height / 4) for x, _, w, _ in ruling.upright.tolist()]
    for a, b in pairwise(slots):
        edge = a.room[2]
        if a.row != b.row or "empty" in (a.kind, b.kind) or any(x0 <= edge <= x1 for x0, x1 in walls):
            continue
        tall = sorted((k for k in a.pieces + b.pieces if pieces[k][3] >= CORE * height), key=lambda k: pieces[k][0])
        ends = np.maximum.accumulate([pieces[k][0] + pieces[k][2] for k in tall] or [0])[:-1]
        gaps = np.array([pieces[k][0] for k in tall[1:]]) - ends
        own = sum(k in a.pieces for k in tall)
        if not 0 < own < len(tall):
            continue
        widest = int(gaps.argmax()) + 1
        if gaps[own - 1] > BESIDE * height or gaps[widest - 1] < FURTHER * max(gaps[own - 1], BESIDE / 2 * height):
            continue
        moved = tall[min(own, widest) : max(own, widest)]
        if max(abs(pieces[k][0] + pieces[k][2] / 2 - edge) for k in moved) > REACH * height:
            continue
        a.pieces = tuple(k for k in a.pieces if k not in moved) + (tuple(moved) if widest > own else ())
        b.pieces = tuple(k for k in b.pieces if k not in moved) + (tuple(moved) if widest < own else ())


Line = dict[int, int]


def _join(columns: list[list[TableRow]], bands: list[tuple[int, int]]) -> list[tuple[Line, tuple[int, int] | None]]:
    """Rows of the table, from the top: which row each column has there, and the strip between lines that it fills.

    Two of a column in a strip are two rows of the table where half of its columns have two, else one; in place.
    """
    rows = sorted(
        ((row.top + row.bottom) / 2, c, k) for c, column in enumerate(columns) for k, row in enumerate(column)
    )
    gaps = [b.top + b.bottom - a.top - a.bottom for column in columns for a, b in pairwise(column)]
    pitch = float(np.quantile(gaps, 0.3)) / 2 if gaps else np.inf
    strip: dict[int, Line] = {}
    second: dict[int, list[tuple[float, int, int]]] = {}
    outside = []
    for y, c, k in rows:
        own = next((n for n, (a, b) in enumerate(bands) if a <= y < b), None)
        if own is None:
            outside.append((y, c, k))
        elif c not in strip.get(own, {}):
            strip.setdefault(own, {})[c] = k
        else:
            second.setdefault(own, []).append((y, c, k))
    for own, more in second.items():
        if len({c for _, c, _ in more}) < 0.5 * len(strip[own]):
            for _, c, k in more:
                columns[c][strip[own][c]] = _stacked(columns[c][strip[own][c]], columns[c][k])
        else:
            outside += more
    loose: list[tuple[float, Line]] = []
    for y, c, k in sorted(outside):
        if loose and y - loose[-1][0] < 0.5 * pitch and c not in loose[-1][1]:
            loose[-1][1][c] = k
        else:
            loose.append((y, {c: k}))
    placed: list[tuple[float, Line, tuple[int, int] | None]] = [(y, line, None) for y, line in loose]
    placed += [((a + b) / 2, strip.get(n, {}), (a, b)) for n, (a, b) in enumerate(bands)]
    return [(line, band) for _, line, band in sorted(placed, key=lambda one: one[0])]


def _stacked(a: TableRow, b: TableRow) -> TableRow:
    """What stands in one cell in two lines; a mark beside a number is none."""
    high, low = sorted((a, b), key=lambda row: row.top - row.bottom)
    both = low.bottom - low.top > STACKED * (high.bottom - high.top)
    top, bottom = (min(a.top, b.top), max(a.bottom, b.bottom)) if both else (high.top, high.bottom)
    return TableRow(top, bottom, a.pieces + b.pieces)


def _mean_span(rows: list[TableRow], band: tuple[int, int] | None) -> tuple[int, int]:
    """Top and bottom of the digits of a row of the table."""
    if not rows:
        assert band is not None
        return band
    return round(float(np.median([row.top for row in rows]))), round(float(np.median([row.bottom for row in rows])))


def _with_missing(spans: list[tuple[int, int]], ruled: bool) -> list[tuple[tuple[int, int], bool]]:
    """The rows' spans, and between them those of rows that an even rhythm misses; whether each is there."""
    known = [(span, True) for span in spans]
    steps = np.diff([(a + b) / 2 for a, b in spans])
    if ruled or len(steps) < 3:
        return known
    pitch = float(np.median(steps[steps < 1.5 * steps.min()]))
    single = steps[steps < 1.5 * pitch]
    if len(single) < 2 or single.std() > PITCH * pitch:
        return known
    out = []
    for k, span in enumerate(spans):
        out.append((span, True))
        many = round(steps[k] / pitch) if k < len(steps) else 1
        if many > 1 and abs(steps[k] / many - pitch) < REGULAR * pitch and many < 6:
            for n in range(1, many):
                down = round(n * steps[k] / many)
                out.append(((span[0] + down, span[1] + down), False))
    return out
