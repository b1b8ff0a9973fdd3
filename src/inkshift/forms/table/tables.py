"""Tables found without a template: rows, columns, and what each cell is.

The picture is laid flat, printed lines are taken out, and columns and rows follow from both the lines and the rhythm of
the writing: columns are parted by upright lines and by gutters that nearly all rows leave free, rows are where the
middles of pieces of ink gather, and a place where the rhythm or two ruled lines want a row is an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.field import ink as inks
from inkshift.forms.field.ink import grown
from inkshift.forms.field.struck import CORE, LONE, struck_rows
from inkshift.forms.table.flat import flatten
from inkshift.forms.table.rows import Piece, Row, find_rows, peaks
from inkshift.forms.table.ruling import Ruling, bend, digit_height, find_ruling

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]
Kind = Literal["number", "header", "unused", "struck", "empty"]

# Shares of the digit height: a long piece that strays from a straight line less than FLAT is none of digits; paper
# kept around a cell's ink; a gap that parts columns in a tall table, and what is added to it in one of a single row.
FLAT, MARGIN, GUTTER, FEW_ROWS = 0.15, 0.12, 0.85, 0.8
# Shares of the digit height: what is lower shows no column; the narrowest gutter between numbers of many lengths. How
# much wider its gaps are than the wide ones within numbers.
SMALL, SLIT, INNER = 0.3, 0.35, 2.2
# What is lower than this share of the digit height, along a column of pixels, is a stroke between digits.
STROKE = 0.3
# Ink in a cell without digits that is read none the less is higher or wider than LOWEST, and thicker than THIN: what is
# left of a line is thin.
LOWEST, THIN = 0.2, 0.12
# Parts of a number across a gap in a line are closer than this share of the digit height; the line shows in less than
# this share of the number's height.
CLOSE, FILLED = 0.5, 0.5
# No minus is longer, in digit heights.
MINUS = 1.1
# What is left of a level line is within this share of the digit height of it.
LEFT = 0.08
# Share of the rows that may cross a gutter: titles do, and a number that is longer than all others.
CROSSING = 0.15
# A row is missing where the distance of two is so near to a multiple of the pitch, and the pitch so regular.
REGULAR, PITCH = 0.2, 0.12
# Lines part the rows where so many of these are alone between two of them.
ALONE = 0.7
# A line through a row is one too many where the rules around it are their usual distance apart, give or take so much.
EXTRA = 0.25


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. row, column: from 1; row 0 is above the first row of numbers.

    kind: `unused` is a dash or another mark. sure: 0 to 1, how probable it is that the kind is right. struck: 0 to 1,
    how sure it is that a number of two digits or more was struck out. box: xmin, ymin, xmax, ymax of what is in it, and
    room: of the whole cell, in pixels of the picture. crop: (h, w) or (h, w, 3) uint8, the cell laid flat, upright
    lines and the ink of other cells painted over; level lines stay, since digits stand on them. ink: (h, w) bool, where
    its own ink is in the crop. height: of its digits,
    and gap: the widest one between two pieces of its ink, in digit heights of the table. even: how little the heights
    of the pieces of its column vary, as their deviation in shares of their mean.
    """

    row: int
    column: int
    kind: Kind
    sure: float
    struck: float
    box: Box
    room: Box
    crop: Image = field(compare=False, repr=False)
    ink: Mask = field(compare=False, repr=False)
    height: float = 1.0
    gap: float = 0.0
    even: float = 1.0


@dataclass(frozen=True, slots=True)
class Table:
    """rows, columns: how many, headers not counted. cells: row by row. ruled: whether printed lines part its rows.

    matrix: 3x3 homography from pixels of the picture to the flat one.
    """

    rows: int
    columns: int
    cells: tuple[Cell, ...]
    ruled: bool
    matrix: Matrix = field(compare=False, repr=False)

    def column(self, number: int) -> tuple[Cell, ...]:
        """The cells of a column, from 1, from the top, headers left out."""
        return tuple(cell for cell in self.cells if cell.column == number and cell.row)


@dataclass(slots=True)
class _Slot:
    """A cell on the flat picture. pieces: numbers of its ink, from 0. lines: of level lines through it, from 1."""

    row: int
    column: int
    pieces: tuple[int, ...]
    span: tuple[int, int]
    room: Box
    kind: Kind = "number"
    sure: float = 1.0
    struck: float = 0.0
    lines: tuple[int, ...] = ()


def find_table(image: Image) -> Table:
    """The table that a picture shows; without cells where there is no ink.

    image: (H, W) gray or (H, W, 3) RGB uint8, rows level within 15 degrees where ruled, within 4 where not.
    """
    flat, matrix = flatten(image)
    dark = inks.darkness(flat)
    ruling = find_ruling(dark)
    labels, stats = ruling.labels, ruling.pieces
    height = digit_height(stats)
    if not height:
        return Table(0, 0, (), False, matrix)
    dashes = _dashes(labels, stats, height)
    pieces: list[Piece] = stats.tolist()
    written = np.array([k for k in range(len(pieces)) if k not in dashes], np.int64)
    bodies, middle = _bodies(labels, stats, written, height)
    edges = _columns(bodies, height, ruling, labels.shape[1])
    columns = []
    for x0, x1 in edges:
        members = written[(middle >= x0) & (middle < x1)].tolist()
        high = min(digit_height(stats[members]) or height, 2 * height)
        columns.append(find_rows(labels, pieces, members, high) if members else [])
    through = [_lines_through(rows, pieces, ruling.level, height) for rows in columns]
    bands = _bands(ruling.level[~np.any([column.any(0) for column in through], axis=0)], columns, height)
    slots = _slots(columns, edges, bands, labels.shape, through)
    _join_spanning(slots, pieces, ruling, height)
    _strike(slots, labels, pieces, ruling)
    _fill(slots, dashes, pieces, height)
    cells = _cells(slots, flat, image.shape, matrix, labels, pieces, dashes, ruling, height)
    return Table(max((s.row for s in slots), default=0), len(edges), cells, bool(bands), matrix)


def _dashes(labels: Labels, stats: Labels, height: float) -> set[int]:
    """Pieces, from 0, that are long and straight, without a digit at an end: dashes, and what is left of lines."""
    found = set()
    for k in np.flatnonzero(stats[:, 2] > 1.5 * height).tolist():
        x, y, w, h, _ = stats[k].tolist()
        own = labels[y : y + h, x : x + w] == k + 1
        if bend(own) < FLAT * height and not _has_digit(own, height):
            found.add(k)
    return found


def _has_digit(own: Mask, height: float) -> bool:
    """Whether a piece is as high as a digit over the width of at least a 1: what crosses a dash is narrower."""
    ends = _runs_of(_extents(own) >= CORE * height)
    return bool(len(ends) and (ends[:, 1] - ends[:, 0]).max() >= STROKE * height)


def _bodies(labels: Labels, stats: Labels, written: npt.NDArray[np.int64], height: float) -> tuple[Labels, Floats]:
    """Pieces without the strokes that lead to them: x, y, width, height, area of each part, and the pieces' middles.

    A stroke before a number often touches it, and would fill the gap between two columns.
    """
    parts, middle = [], np.zeros(len(written))
    for n, k in enumerate(written.tolist()):
        x, y, w, h, area = stats[k].tolist()
        ends = [(0, w)]
        if w > 1.2 * height:
            own = labels[y : y + h, x : x + w] == k + 1
            tall = _extents(own) >= STROKE * height
            ends = [(int(a), int(b)) for a, b in _runs_of(tall)] or ends
        parts += [(x + a, y, b - a, h, area) for a, b in ends]
        a, b = max(ends, key=lambda end: end[1] - end[0])
        middle[n] = x + (a + b) / 2
    return np.array(parts, np.int32).reshape(-1, 5), middle


def _extents(own: Mask) -> Labels:
    """How many pixels there are from the highest to the lowest ink in each column of pixels of a mask; 0 for none."""
    high = own.shape[0] - own.argmax(0) - own[::-1].argmax(0)
    return np.where(own.any(0), high, 0).astype(np.int32)


def _runs_of(on: Mask) -> Labels:
    """First and last, the last left out, of each run: (N, 2)."""
    ends = np.flatnonzero(np.diff(np.concatenate(([0], on.view(np.int8), [0]))))
    return ends.reshape(-1, 2).astype(np.int32)


def _columns(stats: Labels, height: float, ruling: Ruling, width: int) -> list[tuple[int, int]]:
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


def _bands(level: Labels, columns: list[list[Row]], height: float) -> list[tuple[int, int]]:
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


def _slots(
    columns: list[list[Row]],
    edges: list[tuple[int, int]],
    bands: list[tuple[int, int]],
    shape: tuple[int, ...],
    through: list[Mask],
) -> list[_Slot]:
    """All cells, rows counted from 1, the empty ones among them. through: of each column, see `_lines_through`."""
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
            slot = _Slot(r + 1, c + 1, pieces, own, room, "number" if row else "empty")
            if row:
                slot.lines = tuple((np.flatnonzero(through[c][line[c]]) + 1).tolist())
            out.append(slot)
    return out


def _join_spanning(slots: list[_Slot], pieces: list[Piece], ruling: Ruling, height: float) -> None:
    """A number across the place of an upright line that has a gap there is one, of the first of its columns; in place.

    What stands apart in such a row stays in its own columns, since a line may be missing for other reasons.
    """
    walls = [(x - height / 4, x + w + height / 4) for x, _, w, _ in ruling.upright.tolist()]
    joined: list[int] = []
    for a, b in pairwise(slots):
        edge = a.room[2]
        if a.row != b.row or "empty" in (a.kind, b.kind) or not any(x0 <= edge <= x1 for x0, x1 in walls):
            continue
        x0, x1 = _extent(a.pieces, pieces)[2], _extent(b.pieces, pieces)[0]
        near, (top, bottom) = round(height / 4), a.span
        line = ruling.walls[top:bottom, max(edge - near, 0) : edge + near].any(1)
        if x1 - x0 < CLOSE * height and line.size and line.mean() < FILLED:
            b.pieces, b.lines, b.span = a.pieces + b.pieces, tuple(sorted({*a.lines, *b.lines})), a.span
            b.column, b.room = a.column, (a.room[0], a.room[1], b.room[2], b.room[3])
            joined.append(id(a))
    slots[:] = [slot for slot in slots if id(slot) not in joined]


Line = dict[int, int]


def _join(columns: list[list[Row]], bands: list[tuple[int, int]]) -> list[tuple[Line, tuple[int, int] | None]]:
    """Rows of the table, from the top: which row each column has there, and the strip between lines that it fills."""
    rows = sorted(
        ((row.top + row.bottom) / 2, c, k) for c, column in enumerate(columns) for k, row in enumerate(column)
    )
    gaps = [b.top + b.bottom - a.top - a.bottom for column in columns for a, b in pairwise(column)]
    pitch = float(np.quantile(gaps, 0.3)) / 2 if gaps else np.inf
    strip: dict[int, Line] = {}
    loose: list[tuple[float, Line]] = []
    for y, c, k in rows:
        own = next((n for n, (a, b) in enumerate(bands) if a <= y < b), None)
        if own is not None and c not in strip.get(own, {}):
            strip.setdefault(own, {})[c] = k
            continue
        if loose and y - loose[-1][0] < 0.5 * pitch and c not in loose[-1][1]:
            loose[-1][1][c] = k
        else:
            loose.append((y, {c: k}))
    placed: list[tuple[float, Line, tuple[int, int] | None]] = [(y, line, None) for y, line in loose]
    placed += [((a + b) / 2, strip.get(n, {}), (a, b)) for n, (a, b) in enumerate(bands)]
    return [(line, band) for _, line, band in sorted(placed, key=lambda one: one[0])]


def _mean_span(rows: list[Row], band: tuple[int, int] | None) -> tuple[int, int]:
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


def _strike(slots: list[_Slot], labels: Labels, pieces: list[Piece], ruling: Ruling) -> None:
    """Say which cells were struck out, in place: by strokes of their own or by a long line through them."""
    for column in {slot.column for slot in slots}:
        own = [slot for slot in slots if slot.column == column and slot.pieces]
        wide = [x1 - x0 >= LONE * (s.span[1] - s.span[0]) for s in own for x0, _, x1, _ in [_extent(s.pieces, pieces)]]
        own = [slot for slot, w in zip(own, wide, strict=True) if w or slot.lines]  # of one digit nothing is told
        if not own:
            continue
        figures, spans = [], []
        for slot in own:
            x0, y0, x1, y1 = _around(slot, pieces, ruling.level)
            mask = _among(labels[y0:y1, x0:x1], slot.pieces)
            if slot.lines:
                mask |= np.isin(ruling.level_map[y0:y1, x0:x1], slot.lines)
            figures.append(mask)
            spans.append((slot.span[0] - y0, slot.span[1] - y0))
        for slot, sure in zip(own, struck_rows(figures, np.array(spans, np.int32)), strict=True):
            slot.struck = sure


def _lines_through(rows: list[Row], pieces: list[Piece], level: Labels, height: float) -> Mask:
    """Which level lines run through which rows of a column, dashes and strokes rather than rules: (rows, lines).

    A line belongs to a row if it runs near its middle, unless it is as long as the rules, goes well beyond the row's
    digits on both sides, and is not one too many between two rules.
    """
    found = np.zeros((len(rows), len(level)), np.bool_)
    if not found.size:
        return found
    middle = np.array([(row.top + row.bottom) / 2 for row in rows])
    high = np.clip([row.bottom - row.top for row in rows], 0.8 * height, 1.1 * height)
    at = level[:, 1] + level[:, 3] / 2
    nearest = np.abs(at[:, None] - middle[None, :]).argmin(1)
    inside = np.abs(at - middle[nearest]) < 0.3 * high[nearest]
    rules = np.sort(at[~inside])
    usual = 0.9 * np.median(level[~inside, 2]) if len(rules) > 1 else np.inf
    pitch = float(np.median(np.diff(rules))) if len(rules) > 1 else 0.0
    for k in np.flatnonzero(inside).tolist():
        x0, _, x1, _ = _extent(rows[nearest[k]].pieces, pieces)
        x, width = level[k, 0], level[k, 2]
        above, below = rules[rules < at[k]], rules[rules > at[k]]
        extra = len(above) and len(below) and abs(below[0] - above[-1] - pitch) < EXTRA * pitch
        if extra or not (width > usual and min(x0 - x, x + width - x1) > height / 2):
            found[nearest[k], k] = True
    return found


def _extent(own: tuple[int, ...], pieces: list[Piece]) -> Box:
    boxes = np.array([pieces[k][:4] for k in own])
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _around(slot: _Slot, pieces: list[Piece], level: Labels) -> Box:
    """What a cell's ink reaches to, lines through it included within its room."""
    x0, y0, x1, y1 = _extent(slot.pieces, pieces)
    for k in slot.lines:
        x, y, w, h = level[k - 1].tolist()
        x0, x1 = min(x0, max(x, slot.room[0])), max(x1, min(x + w, slot.room[2]))
        y0, y1 = min(y0, y), max(y1, y + h)
    return x0, y0, x1, y1


def _among(labels: Labels, own: tuple[int, ...]) -> Mask:
    """Where a map of pieces, numbered from 1, shows one of these, numbered from 0."""
    wanted = np.zeros(max(int(labels.max(initial=0)), max(own, default=0) + 1) + 1, np.bool_)
    wanted[[k + 1 for k in own]] = True
    return np.asarray(wanted[labels], np.bool_)


def _fill(slots: list[_Slot], dashes: set[int], pieces: list[Piece], height: float) -> None:
    """Cells without digits that hold ink, in place: a dash says that they are unused, the rest is to be read."""
    owned = {k for slot in slots for k in slot.pieces}
    lone = [(k, pieces[k]) for k in range(len(pieces)) if k not in owned and max(pieces[k][2:4]) > LOWEST * height]
    for slot in slots:
        if slot.kind != "empty":
            continue
        x0, y0, x1, y1 = slot.room
        own = [k for k, (x, y, w, h, _) in lone if x0 <= x + w / 2 < x1 and y0 <= y + h / 2 < y1]
        marks = [k for k in own if k in dashes or (pieces[k][2] > max(1.5 * pieces[k][3], 0.3 * height))]
        solid = [k for k in own if k not in marks and min(pieces[k][2:4]) > THIN * height]
        if solid:
            slot.kind, slot.pieces = "number", tuple(own)
            slot.span = min(pieces[k][1] for k in solid), max(pieces[k][1] + pieces[k][3] for k in solid)
        elif marks:
            slot.kind, slot.pieces, slot.sure = "unused", tuple(marks), 0.9


def _cells(
    slots: list[_Slot],
    flat: Image,
    shape: tuple[int, ...],
    matrix: Matrix,
    labels: Labels,
    pieces: list[Piece],
    dashes: set[int],
    ruling: Ruling,
    height: float,
) -> tuple[Cell, ...]:
    """The cells with their pictures and their places in the picture that was given."""
    back: Matrix = np.linalg.inv(matrix).astype(np.float64)
    margin = max(2, round(MARGIN * height))
    h, w = labels.shape
    owned = np.zeros(len(pieces) + 1, np.int32)
    remains = _remains(labels, pieces, ruling, height)
    heads = _without_fillers(slots, labels, pieces, dashes, height)
    for n, slot in enumerate(slots, 1):
        owned[[k + 1 for k in slot.pieces]] = n
    even = {c: _evenness([s for s in slots if s.column == c], pieces) for c in {slot.column for slot in slots}}
    out = []
    for n, slot in enumerate(slots, 1):
        box = slot.room
        if slot.pieces:
            x0, y0, x1, y1 = _around(slot, pieces, ruling.level)
            box = max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, w), min(y1 + margin, h)
        x0, y0, x1, y1 = box
        owner = owned[labels[y0:y1, x0:x1]]
        gone = ((owner > 0) & (owner != n)) | ruling.walls[y0:y1, x0:x1]
        crop = _painted(flat[y0:y1, x0:x1], gone)
        own = (owner == n) & ~remains[labels[y0:y1, x0:x1]]
        own[:, : max(heads[n - 1] - x0, 0)] = False
        kind: Kind = "struck" if slot.kind == "number" and slot.struck > 0.5 else slot.kind
        out.append(
            Cell(
                slot.row,
                slot.column,
                kind,
                slot.sure,
                slot.struck,
                _to_page(box, back, shape),
                _to_page(slot.room, back, shape),
                crop,
                grown(own.view(np.uint8), 3, 3) > 0,
                _high(slot, pieces) / height,
                _widest_gap(labels[y0:y1, x0:x1], slot, pieces, height) / height,
                even[slot.column],
            )
        )
    return tuple(out)


def _without_fillers(
    slots: list[_Slot], labels: Labels, pieces: list[Piece], dashes: set[int], height: float
) -> list[int]:
    """Where the digits of each cell begin, in a column whose numbers are led to by strokes; 0 in others.

    A stroke before a number may be a minus. One that is longer than any minus is none, and then neither are the
    shorter ones before other numbers of its column.
    """
    begins, leads = [], []
    for slot in slots:
        if slot.kind != "number" or slot.struck > 0.5:
            begins.append(0)
            leads.append(0.0)
            continue
        x0, y0, x1, y1 = _extent(slot.pieces, pieces)
        tall = np.flatnonzero(_extents(_among(labels[y0:y1, x0:x1], slot.pieces)) >= STROKE * height)
        begin = x0 + int(tall[0]) if len(tall) else x0
        before = [
            pieces[k][2]
            for k in dashes
            if slot.room[0] <= pieces[k][0] < begin
            and slot.span[0] < pieces[k][1] + pieces[k][3] / 2 < slot.span[1]
            and pieces[k][0] + pieces[k][2] < begin + height / 2
        ]
        begins.append(begin)
        leads.append(max([begin - x0, *before]) / height)
    of_column: dict[int, list[float]] = {}
    for slot, lead in zip(slots, leads, strict=True):
        of_column.setdefault(slot.column, []).append(lead)
    filled = {c for c, own in of_column.items() if max(own) > MINUS and sum(lead > STROKE for lead in own) > 1}
    return [begin if slot.column in filled else 0 for slot, begin in zip(slots, begins, strict=True)]


def _remains(labels: Labels, pieces: list[Piece], ruling: Ruling, height: float) -> Mask:
    """What is left of level lines, by number of the piece from 1: low pieces that lie on or along one."""
    along = max(3, round(2 * LEFT * height) | 1)
    near = grown((ruling.level_map > 0).view(np.uint8), along, along) > 0
    inside = np.bincount(labels[near], minlength=len(pieces) + 1)
    area, high = np.array([(piece[4], piece[3]) for piece in pieces]).T
    out = np.zeros(len(pieces) + 1, np.bool_)
    out[1:] = (inside[1:] >= 0.5 * area) & (high < SMALL * height)
    return out


def _high(slot: _Slot, pieces: list[Piece]) -> float:
    """Pixels that a cell's digits are high: three quarters of its pieces are no higher."""
    heights = sorted(pieces[k][3] for k in slot.pieces)
    return float(heights[int(0.75 * (len(heights) - 1) + 0.5)]) if heights else 0.0


def _widest_gap(labels: Labels, slot: _Slot, pieces: list[Piece], height: float) -> float:
    """Pixels, at most, between two digits of a cell; strokes between them are none. labels: (h, w) of the cell."""
    tall = tuple(k for k in slot.pieces if pieces[k][3] >= CORE * height)
    ends = _runs_of(_extents(_among(labels, tall)) >= CORE * height)
    return float((ends[1:, 0] - ends[:-1, 1]).max()) if len(ends) > 1 else 0.0


def _evenness(slots: list[_Slot], pieces: list[Piece]) -> float:
    """Deviation of the heights of a column's digits, in shares of their mean: print has hardly any."""
    heights = np.array([pieces[k][3] for slot in slots if slot.kind == "number" for k in slot.pieces], np.float64)
    high = heights[heights > 0.7 * np.quantile(heights, 0.75)] if len(heights) else heights
    return float(high.std() / high.mean()) if len(high) > 3 else 1.0


def _painted(part: Image, gone: Mask) -> Image:
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


def _to_page(box: Box, back: Matrix, shape: tuple[int, ...]) -> Box:
    """The box, in the picture that was given, around a box of the flat one."""
    x0, y0, x1, y1 = box
    corners = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], np.float64)
    placed = cv2.perspectiveTransform(corners, back)[0]
    low, high = np.floor(placed.min(0) + 1e-6), np.ceil(placed.max(0) - 1e-6)
    left, top = np.clip(low, 0, [shape[1] - 1, shape[0] - 1]).astype(int).tolist()
    right, bottom = np.clip(high, [left + 1, top + 1], [shape[1], shape[0]]).astype(int).tolist()
    return left, top, right, bottom
