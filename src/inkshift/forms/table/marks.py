"""What in a table is no digit: dashes, ditto marks, strokes that lead to numbers or strike them out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from inkshift.arrays import Box, Labels, Mask
from inkshift.forms.field.signs import ASIDE, MINUS
from inkshift.forms.field.struck import CORE, LONE, struck_rows
from inkshift.forms.table.pieces import SMALL, STROKE, among, extent, extents, runs_of
from inkshift.forms.table.rows import Piece, TableRow
from inkshift.forms.table.ruling import Ruling, bend
from inkshift.forms.table.slots import Slot

# A long piece that strays from a straight line less than this share of the digit height is none of digits.
FLAT = 0.15
# Ink in a cell without digits that is read none the less is higher or wider than LOWEST, and thicker than THIN, in
# digit heights: what is left of a line is thin.
LOWEST, THIN = 0.2, 0.12
# Most minus signs are not longer, in digit heights; none is than MINUS.
USUAL_MINUS = 0.75
# Ditto marks: two short strokes, no higher than this share of the digit height, their heights in shares of each other
# and their distance in digit heights at most.
DITTO_HIGH, DITTO_ALIKE, DITTO_APART = 0.6, 2.0, 0.7
# A line through a row is one too many where the rules around it are their usual distance apart, give or take so much.
EXTRA = 0.25


def find_dashes(labels: Labels, stats: Labels, height: float) -> set[int]:
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
    ends = runs_of(extents(own) >= CORE * height)
    return bool(len(ends) and (ends[:, 1] - ends[:, 0]).max() >= STROKE * height)


def lines_through(rows: list[TableRow], pieces: list[Piece], level: Labels, height: float) -> Mask:
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
        x0, _, x1, _ = extent(rows[nearest[k]].pieces, pieces)
        x, width = level[k, 0], level[k, 2]
        above, below = rules[rules < at[k]], rules[rules > at[k]]
        extra = len(above) and len(below) and abs(below[0] - above[-1] - pitch) < EXTRA * pitch
        if extra or not (width > usual and min(x0 - x, x + width - x1) > height / 2):
            found[nearest[k], k] = True
    return found


def skip_fillers(slots: list[Slot], labels: Labels, pieces: list[Piece], dashes: set[int], height: float) -> None:
    """Say where the digits of each cell begin, in place, in columns whose numbers are led to by strokes.

    A stroke before a number may be a minus. One that is longer than any minus is none, and nor is one before most
    numbers of a column that is longer than most are; then neither are the shorter ones of its column.
    """
    leads: dict[int, list[tuple[Slot, int, float]]] = {}
    for slot in slots:
        if slot.kind != "number":
            continue
        x0 = extent(slot.pieces, pieces)[0]
        begin = _first_digit(labels, pieces, slot, height)
        begin = begin if STROKE * height < begin - x0 and begin < slot.room[2] else x0
        before = [
            pieces[k][2]
            for k in dashes
            if slot.room[0] <= pieces[k][0] < begin
            and slot.span[0] < pieces[k][1] + pieces[k][3] / 2 < slot.span[1]
            and pieces[k][0] + pieces[k][2] < begin + height / 2
        ]
        leads.setdefault(slot.column, []).append((slot, begin, max([begin - x0, *before]) / height))
    for column in leads.values():
        long = [lead for _, _, lead in column]
        usual = len(long) > 2 and float(np.median(long)) > USUAL_MINUS
        if (max(long) > MINUS or usual) and sum(lead > STROKE for lead in long) > 1:
            for slot, begin, _ in column:
                slot.begin = begin


def _first_digit(labels: Labels, pieces: list[Piece], slot: Slot, height: float) -> int:
    """Where the digits of a cell begin: the first column of pixels whose ink is high, or above or below the middle."""
    found = slot.room[2]
    rim = ASIDE * (slot.span[1] - slot.span[0])
    for k in slot.pieces:
        x, y, w, h, _ = pieces[k]
        if h < SMALL * height:
            continue
        own = labels[y : y + h, x : x + w] == k + 1
        high = extents(own)
        middle = y + own.argmax(0) + high / 2
        aside = (middle < slot.span[0] + rim) | (middle > slot.span[1] - rim)
        columns = np.flatnonzero((high >= STROKE * height) | ((high > 0) & aside))
        found = min(found, x + int(columns[0])) if len(columns) else found
    return found


def strike(slots: list[Slot], labels: Labels, pieces: list[Piece], ruling: Ruling) -> None:
    """Say which cells were struck out, in place: by strokes of their own or by a long line through them."""
    for column in {slot.column for slot in slots}:
        own = [slot for slot in slots if slot.column == column and slot.pieces]
        wide = [x1 - x0 >= LONE * (s.span[1] - s.span[0]) for s in own for x0, _, x1, _ in [extent(s.pieces, pieces)]]
        own = [slot for slot, w in zip(own, wide, strict=True) if w or slot.lines]  # of one digit nothing is told
        if not own:
            continue
        figures, spans = [], []
        for slot in own:
            x0, y0, x1, y1 = around(slot, pieces, ruling.level)
            mask = among(labels[y0:y1, x0:x1], slot.pieces)
            if slot.lines:
                mask |= np.isin(ruling.level_map[y0:y1, x0:x1], slot.lines)
            mask[:, : max(slot.begin - x0, 0)] = False
            figures.append(mask)
            spans.append((slot.span[0] - y0, slot.span[1] - y0))
        for slot, sure in zip(own, struck_rows(figures, np.array(spans, np.int32)), strict=True):
            slot.struck = sure


def around(slot: Slot, pieces: list[Piece], level: Labels) -> Box:
    """What a cell's ink reaches to, lines through it included within its room."""
    x0, y0, x1, y1 = extent(slot.pieces, pieces)
    for k in slot.lines:
        x, y, w, h = level[k - 1].tolist()
        x0, x1 = min(x0, max(x, slot.room[0])), max(x1, min(x + w, slot.room[2]))
        y0, y1 = min(y0, y), max(y1, y + h)
    return x0, y0, x1, y1


def fill(slots: list[Slot], dashes: set[int], pieces: list[Piece], height: float) -> None:
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
    for slot in slots:
        if slot.kind == "number" and _is_ditto([pieces[k] for k in slot.pieces], height):
            slot.kind, slot.sure = "unused", 0.5  # which of the two, nothing or the same again, nobody can tell


def _is_ditto(own: list[Piece], height: float) -> bool:
    """Whether a cell holds two short strokes beside each other and nothing else."""
    strokes = sorted(piece for piece in own if max(piece[2:4]) > 0.5 * max(p[3] for p in own))
    if len(strokes) != 2:
        return False
    highs, tops = [p[3] for p in strokes], [p[1] for p in strokes]
    close = all(b[0] - a[0] - a[2] < DITTO_APART * height for a, b in pairwise(strokes))
    narrow = all(w < 0.5 * h for _, _, w, h, _ in strokes)
    level = max(tops) - min(tops) < 0.5 * min(highs)
    return max(highs) < DITTO_HIGH * height and max(highs) < DITTO_ALIKE * min(highs) and close and narrow and level
