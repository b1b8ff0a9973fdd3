"""What the cells of a table are, once they are read: numbers, struck-out ones, words, printed row numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from inkshift.forms.cut.cutout import FieldJob, as_job
from inkshift.forms.field import signs
from inkshift.forms.field.struck import CROSSING
from inkshift.forms.reading import CROSSED, EMPTY, Candidate, FieldReading, state_of, value_of
from inkshift.forms.table.slots import Kind
from inkshift.forms.table.tables import Table, TableCell

WRITTEN = "number", "struck"
# Log-odds of a number against a word: by the logit of the reader's confidence, by the logarithm of its height. Below so
# much a column is one of words (in the median), each row above and below the numbers is (in the mean), and these are
# together (in sum).
SURE, LOW, OFFSET, STRUCK = 1.2, 6.0, -0.4, 1.0
WORDS, LIKELY, HEAD, FOOT = -1.0, -0.6, -2.2, -2.5
# Printed row numbers: share of a column that counts on; digits' heights deviate less; or they are smaller than others.
COUNTED, EVEN, SMALLER = 0.6, 0.04, 0.75
# A gap in a cell, in digit heights, that parts two numbers as often as not, how fast that changes, and how often a
# number is written so loosely all the same; how often what is near the next column's is a number by itself.
APART, APART_SCALE, LOOSE, PART = 0.8, 0.1, 0.3, 0.5


def read_cells(
    table: Table, digits: tuple[int, int], read: Callable[[list[FieldJob]], list[FieldReading]]
) -> list[tuple[TableCell, FieldReading]]:
    """The cells of a table, row by row, and what each holds; columns of words and of row numbers are left out.

    digits: fewest and most of a number. read: what makes readings of jobs, in their order. Readings are named r01c1:
    rows are counted from the first of numbers, columns as they stand on paper, so that none has another name where one
    before it is taken for words.
    """
    written = [cell for cell in table.cells if cell.kind in WRITTEN]
    jobs = [as_job(cell.crop, _place(cell), "number", digits, cell.ink) for cell in written]
    readings = {(cell.row, cell.column): _unread(cell) for cell in table.cells}
    values = {}
    for cell, reading in zip(written, read(jobs), strict=True):
        known = struck_out(reading, cell)
        values[cell.row, cell.column] = best_value(known)
        readings[cell.row, cell.column] = doubted(known, cell)
    judged = tell_apart(table, values).cells
    pairs = [(new, readings[old.row, old.column]) for old, new in zip(table.cells, judged, strict=True)]
    pairs = [(cell, reading) for cell, reading in pairs if cell.kind != "header" and cell.row]
    words = {cell.column for cell in judged if cell.kind == "header" and cell.row}
    columns = {cell.column for cell, _ in pairs if cell.kind in WRITTEN or cell.column not in words}
    return [
        (cell, replace(_plain(reading), name=_place(cell), box=cell.box))
        for cell, reading in pairs
        if cell.column in columns
    ]


def _place(cell: TableCell) -> str:
    return f"r{cell.row:02}c{cell.column}"


def _unread(cell: TableCell) -> FieldReading:
    """A cell in which there is nothing to be read: a mark that says so, or nothing at all."""
    written = CROSSED if cell.kind == "unused" else EMPTY
    return FieldReading(_place(cell), "", written, state_of(written), cell.sure, (Candidate(written, cell.sure),))


def _plain(reading: FieldReading) -> FieldReading:
    """The reading with numbers of Python, which every output can write."""
    candidates = tuple(Candidate(c.written, float(c.probability)) for c in reading.candidates)
    return replace(reading, confidence=float(reading.confidence), candidates=candidates)


def tell_apart(table: Table, values: Mapping[tuple[int, int], tuple[str, float]]) -> Table:
    """The table with its words known as headers, from what a reader of numbers makes of each cell.

    values: by row and column, what was read and how surely, 0 to 1. A reader of digits is unsure of words, and words
    are lower than numbers as a rule. Columns of words, printed row numbers, and rows of words above and below become
    headers; rows are counted anew from the first that is none. Where nothing would be left, nothing is changed.
    """
    own = [cell for cell in table.cells if (cell.row, cell.column) in values]
    heights: dict[int, list[float]] = {}
    for cell in own:
        heights.setdefault(cell.column, []).append(cell.height)
    all_high = float(np.median([cell.height for cell in own])) if own else 1.0
    high = {c: max(float(np.median(of_column)), all_high) for c, of_column in heights.items()}
    odds = {(c.row, c.column): _odds(c, high[c.column], *values[c.row, c.column]) for c in own}
    by_column: dict[int, list[float]] = {}
    for (_, column), value in odds.items():
        by_column.setdefault(column, []).append(value)
    words = {c for c, own in by_column.items() if np.median(own) < WORDS and (len(own) > 1 or table.rows == 1)}
    if words == set(by_column):
        return table
    words |= _row_numbers(table, values, sorted(set(by_column) - words))
    rows = sorted({row for row, column in odds if column not in words})
    if not rows:
        return table
    score = [[value for (r, c), value in odds.items() if r == row and c not in words] for row in rows]
    above = _worst_run(score, HEAD)
    below = _worst_run(score[::-1], FOOT) if above < len(rows) else 0
    if above + below >= len(rows):
        above = below = 0
    first, last = rows[above], rows[len(rows) - 1 - below]
    start = rows[above - 1] if above else 0
    cells = []
    for cell in table.cells:
        head = cell.column in words or cell.row <= start or (below and cell.row > last and cell.kind != "empty")
        kind: Kind = "header" if head and cell.kind != "empty" else cell.kind
        cells.append(replace(cell, kind=kind, row=max(cell.row - start, 0)))
    assert first > start
    return replace(table, rows=table.rows - start, cells=tuple(cells))


def _odds(cell: TableCell, high: float, value: str, confidence: float) -> float:
    """Log-odds that a cell holds a number, not a word. high: as `TableCell.height`, of most cells of its column."""
    if cell.kind == "struck":
        return STRUCK  # which is hard to read, but words are hardly struck out
    sure = confidence if value else 0.02
    logit = float(np.clip(np.log((sure + 1e-3) / (1 - sure + 1e-3)), -2, 3))
    low = float(np.clip(np.log(max(cell.height / max(high, 1e-6), 0.2)), -0.8, 0.1))
    return SURE * logit + LOW * low + OFFSET


def _worst_run(score: list[list[float]], least: float) -> int:
    """How many of the first three rows are words, one after the other, if together they are at least so surely."""
    words = [bool(np.mean(row) < LIKELY) for row in score[:3]]
    many = words.index(False) if False in words else len(words)
    return many if sum(map(sum, score[:many])) < least else 0


def _row_numbers(table: Table, values: Mapping[tuple[int, int], tuple[str, float]], columns: list[int]) -> set[int]:
    """Columns that count the rows and are print: of one height, or smaller than what is written in the others."""
    cells = [cell for cell in table.cells if cell.kind == "number"]
    high = {c: float(np.median([cell.height for cell in cells if cell.column == c] or [0.0])) for c in columns}
    counted = {c for c in columns if _counts({r: v for (r, own), (v, _) in values.items() if own == c})}
    others = [high[c] for c in columns if c not in counted]
    even = {cell.column: cell.even for cell in cells}
    return {c for c in counted if others and (even.get(c, 1.0) < EVEN or high[c] < SMALLER * np.median(others))}


def _counts(values: Mapping[int, str]) -> bool:
    """Whether the values of a column, by row, go on by one from row to row."""
    own = {r: int(v) for r, v in values.items() if v and len(v) < 4}
    steps = [value - row for row, value in own.items()]
    most = max((steps.count(step) for step in set(steps)), default=0)
    return most >= 3 and most >= COUNTED * len(own)


def best_value(reading: FieldReading) -> tuple[str, float]:
    """The likeliest number of a reading, struck out or not, and how probable it is: points and gaps take nothing."""
    share = next((c.probability for c in reading.candidates if c.written == CROSSED), 0.0)
    number = next((c for c in reading.candidates if value_of(c.written)), None)
    if number is None:
        return "", 0.0
    beside = [signs.Sign(m, 1.0, 1, 1) for m in reading.marks if m in (signs.POINT, signs.COMMA)][:1]
    left = (1 - share) * signs.doubt(tuple(beside))
    return value_of(number.written), min(number.probability / max(left, 1e-6), 1.0)


def struck_out(reading: FieldReading, cell: TableCell) -> FieldReading:
    """What was read of a cell, crossed out where it was; the loops of its own digits are no strokes through it."""
    if cell.struck <= 0 or not reading.value:
        return reading
    loops = sum({"0": 1, "6": 1, "8": 2, "9": 1, "4": 1}.get(d, 0) for d in reading.value) * reading.confidence
    odds = math.log(cell.struck / max(1 - cell.struck, 1e-6)) - CROSSING * loops
    struck = 1 / (1 + math.exp(-odds))
    if struck <= 0.5:
        return replace(reading, confidence=reading.confidence * (1 - struck))
    others = (Candidate(c.written, c.probability * (1 - struck)) for c in reading.candidates)
    given = (Candidate(CROSSED, struck), *others)
    return replace(reading, value="", written=CROSSED, state="crossed-out", confidence=struck, candidates=given)


def doubted(reading: FieldReading, cell: TableCell) -> FieldReading:
    """What was read of a cell, less surely where a gap in it may part two numbers, or where it may be part of one."""
    one = LOOSE + (1 - LOOSE) / (1 + math.exp((cell.gap - APART) / APART_SCALE))
    one *= PART if cell.parted else 1.0
    if not reading.value or one > 0.99:
        return reading
    given = tuple(Candidate(c.written, c.probability * one) for c in reading.candidates)
    return replace(reading, confidence=reading.confidence * one, candidates=given)
