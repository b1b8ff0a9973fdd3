"""What a template of a page could hold: the page laid straight, what to register on, and boxes to write in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Pixels
from inkshift.forms.cut.ink import FAINTEST, darkness, grown, runs
from inkshift.forms.design.landmarks import corner_marks, long_rules
from inkshift.forms.design.printed import level
from inkshift.forms.registration.lines import Line, masks
from inkshift.forms.table.tables import find_table
from inkshift.forms.template import Box, FieldSpec, Mark
from inkshift.reframe import to_gray

# A box to write in: its height as a share of the page's, or of the longer side where it is no cell, how much wider than
# high it may be; how many pieces of ink may lie in it for each of its heights (print has more), how many gray levels it
# may be darker than paper, how much of it may be ink.
_LOWEST, _HIGHEST, _WIDEST = 0.012, 0.07, 9.0
# One of more heights than WIDE may be for a text, or a gap between two tables, which is not as high as _LINE. It must
# be empty but for a unit at its side, _UNIT heights wide, or hold digits, most of them higher than _TALL of it.
WIDE, _LINE, _UNIT, _TALL = 4.5, 0.016, 1.2, 0.5
_PIECES, _SHADED, _FULL = 2.2, 24, 0.3
# Cells of one digit each are not wider than this many heights.
_CELL = 1.45
# How many cells away a box may be that is found by the ones beside it.
_ROUNDS = 20
# The longest that a written stroke is, as a share of the page's side, and the most degrees that a page lies askew.
_STROKE, _CROOKED = 0.15, 4.0
# A cell at the side of a table that is so many times larger than most is no cell.
_OUTER = 5.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """marks: four or none; lines: long ones, for a page without marks; fields: from the top, named f01, f02 ..."""

    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    fields: tuple[FieldSpec, ...]


def propose(image: Pixels) -> Proposal:
    """Registration marks, long lines and the fields of a straight page, (H, W) or (H, W, 3) uint8.

    A field is a printed box: a row of equal cells next to each other is one field of that many cells. Boxes that
    hold print, are shaded or are shaped like no number are left out, and so are wide ones that seem to be for a text.
    On a page that is filled in some of it is taken for print: a blank one is better.
    """
    gray = to_gray(image)
    rows = [row for cells in _rows(_cells(gray)) for row in cells]
    fields = tuple(_field(f"f{n:02}", row, gray.shape) for n, row in enumerate(rows, 1))
    clean = level(gray)
    return Proposal(corner_marks(clean), long_rules(clean), fields)


def table_fields(image: Pixels) -> tuple[FieldSpec, ...]:
    """The cells of a ruled table, (H, W) or (H, W, 3) uint8, as fields that are named as `read --as table` names them.

    Empty where lines part no rows, or there is no second column. What is filled in tells where the columns are.
    """
    table = find_table(image)
    if not table.ruled or table.columns < 2:
        return ()
    rooms = {(cell.row, cell.column): cell.room for cell in table.cells if cell.row}
    usual = np.median([(x1 - x0, y1 - y0) for x0, y0, x1, y1 in rooms.values()], axis=0)
    out = []
    for (row, column), (x0, y0, x1, y1) in rooms.items():
        at_side = (column in (1, table.columns), row in (1, table.rows))
        # Without a line beyond it, a cell at the side of the table reaches to the border of the picture.
        if any(
            edge and size > _OUTER * most for edge, size, most in zip(at_side, (x1 - x0, y1 - y0), usual, strict=True)
        ):
            continue
        most = max(1, min(20, round((x1 - x0) / (y1 - y0) / 0.6)))
        box = (float(x0), float(y0), float(x1 - x0), float(y1 - y0))
        out.append(FieldSpec(name=f"r{row:02}c{column}", box=box, digits=(0, most)))
    return tuple(out)


def straighten(image: Pixels) -> Pixels:
    """A page, (H, W) or (H, W, 3) uint8, laid straight by its corner marks, or turned by its printed lines.

    It comes back as it is where it has neither or is straight already.
    """
    gray = to_gray(image)
    h, w = gray.shape
    matrix = _by_marks(corner_marks(gray))
    if matrix is None:
        angle = _slope(gray)
        if abs(angle) < 0.03 or abs(angle) > _CROOKED:
            return image
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
        matrix = np.vstack([turn, (0.0, 0.0, 1.0)])
    corners = np.array([[[0, 0]], [[w, 0]], [[0, h]], [[w, h]]], np.float64)
    if np.abs(cv2.perspectiveTransform(corners, matrix) - corners).max() < 1:
        return image
    flat = cv2.warpPerspective(image, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def _by_marks(marks: tuple[Mark, ...]) -> npt.NDArray[np.float64] | None:
    """The homography that lays four marks, in reading order, onto the corners of an upright rectangle."""
    if not marks:
        return None
    a, b, c, d = found = np.array([[mark.x, mark.y] for mark in marks], np.float32)
    (left, right), (top, bottom) = ((a + c)[0] / 2, (b + d)[0] / 2), ((a + b)[1] / 2, (c + d)[1] / 2)
    flat = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(found, flat), np.float64)


def _slope(gray: Gray) -> float:
    """Degrees that level lines fall to the right; 0 without long ones."""
    across, _ = masks(gray)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(across)
    longest = sorted(range(1, len(stats)), key=lambda i: -stats[i, cv2.CC_STAT_WIDTH])[:12]
    angles = []
    for i in longest:
        x, y, w, h, _ = stats[i].tolist()
        if w < 0.25 * gray.shape[1]:
            continue
        rows, columns = np.nonzero(labels[y : y + h, x : x + w] == i)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    return float(np.median(angles)) if angles else 0.0


def _cells(gray: Gray) -> list[Box]:
    """Boxes closed by printed lines that a number could be written in, measured to the middle of their lines."""
    across, down = _walls(gray)
    free = (grown(across | down, 3, 3) == 0).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    closed = [
        _to_lines(across, down, (x, y, w, h))
        for x, y, w, h, area in stats[1:].tolist()
        if _shaped(gray, (x, y, w, h)) and area > 0.8 * w * h
    ]
    dark = darkness(gray, round(0.04 * gray.shape[0]))
    paper = float(np.median(gray))
    cells = [box for box in closed if _to_write_in(gray, dark, paper, box)]
    lines = grown(_lines(gray) | across, 5, 1), grown(np.ascontiguousarray(_lines(gray.T.copy()).T) | down, 1, 5)
    fresh = [box for box in cells if box[2] <= WIDE * box[3]]
    for _ in range(_ROUNDS):
        more = dict.fromkeys(box for cell in fresh for box in _further(cell, *lines) if _shaped(gray, box, WIDE))
        fresh = []
        for box in more:
            over = _over(cells, box)
            if over is not None and _to_write_in(gray, dark, paper, box):
                cells = [cell for cell in cells if cell not in over] + [box]
                fresh.append(box)
    return [box for box in cells if box[2] <= WIDE * box[3] or not _before_another(box, cells)]


def _before_another(wide: Box, cells: list[Box]) -> bool:
    """Whether a wide box ends where one of another width begins, as that for a name does before its number, or begins
    where a wider one ends."""
    x, y, w, h = wide
    for left, top, across, high in cells:
        level = min(y + h, top + high) - max(y, top) > 0.5 * min(h, high)
        alike = abs(across - w) < 0.25 * w
        after, before = abs(left - x - w) < 0.25 * h, abs(left + across - x) < 0.25 * h
        if level and not alike and (after or (before and across > w)):
            return True
    return False


def _shaped(gray: Gray, box: Box, widest: float = _WIDEST) -> bool:
    """Whether a box has the size and shape of one to write a number in. widest: how many of its heights it may be."""
    (high, wide), (_, _, w, h) = gray.shape, box
    low = (_LINE if w > WIDE * h else _LOWEST) * high
    # By its longer side a page is small, not flat, as a cheque is; but loops of its large letters look like cells.
    fits = low <= h <= _HIGHEST * (max(high, wide) if w > _CELL * h else high)
    return bool(fits and 0.45 * h <= w <= min(widest * h, 0.4 * wide))


def _further(cell: Box, across: Gray, down: Gray) -> list[Box]:
    """Boxes as wide as a cell, in its column and beside it, most of whose sides are printed: strokes may cross them."""
    x, y, w, h = cell
    beside: list[Box] = [(x - w, y, w, h), (x + w, y, w, h)]
    left, right = max(0, round(x + 0.1 * w)), round(x + 0.9 * w)
    levels = np.nonzero(across[:, left:right].mean(1) > 0.7)[0]
    lines = [float(part.mean()) for part in np.split(levels, np.nonzero(np.diff(levels) > 1)[0] + 1) if len(part)]
    column: list[Box] = [(x, top, w, bottom - top) for top, bottom in pairwise(lines)]
    return [box for box in beside + column if _printed(box, across, down) > 0.5]


def _printed(box: Box, across: Gray, down: Gray) -> float:
    """The least share of a side of a box that is a line."""
    x, y, w, h = (round(value) for value in box)
    if min(x, y) < 0 or x + w >= down.shape[1] or y + h >= down.shape[0] or min(w, h) < 8:
        return 0.0
    level, plumb = slice(x + 3, x + w - 2), slice(y + 3, y + h - 2)
    sides = across[y, level], across[y + h, level], down[plumb, x], down[plumb, x + w]
    return float(min(side.mean() for side in sides))


def _over(cells: list[Box], box: Box) -> list[Box] | None:
    """The cells that a further box takes the place of, all of them smaller; None where it is one of them already, or a
    row of equal cells, which strokes that happen to cross a box do not make of it."""
    x, y, w, h = np.array(cells).T
    across = np.minimum(x + w, box[0] + box[2]) - np.maximum(x, box[0])
    down = np.minimum(y + h, box[1] + box[3]) - np.maximum(y, box[1])
    shared, size = np.maximum(across, 0) * np.maximum(down, 0), box[2] * box[3]
    over = shared > 0.3 * np.minimum(w * h, size)
    row = [cells[i] for i in np.nonzero(over)[0]]
    if (over & (w * h >= 0.8 * size)).any() or (len(row) > 2 and len(_split(sorted(row))) == 1):
        return None
    return row


def _walls(gray: Gray) -> tuple[Gray, Gray]:
    """0/1 masks of printed lines across and down that end at one another, their gaps closed; strokes are left out."""
    solid = _solid(gray)
    across, down = _lines(gray), np.ascontiguousarray(_lines(np.ascontiguousarray(gray.T)).T)
    for _ in range(4):
        across, down = _held(across, down | solid), np.ascontiguousarray(_held(down.T, (across | solid).T).T)
    gap = max(9, gray.shape[1] // 60) | 1
    return _joined(across, gap) | solid, np.ascontiguousarray(_joined(down.T, gap).T) | solid


def _lines(gray: Gray) -> Gray:
    """0/1 mask of level lines that are plainly darker than what is above and below."""
    thick = max(5, min(gray.shape) // 200 | 1)
    notch = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((2 * thick + 1, 1), np.uint8))
    mean = cv2.blur(notch, (max(5, min(gray.shape) // 120) | 1, 1))
    strong = np.percentile(mean[mean > FAINTEST], 95) if (mean > FAINTEST).any() else 255.0
    mask = _joined((mean > max(18.0, 0.2 * float(strong))).astype(np.uint8), max(5, min(gray.shape) // 200))
    return runs(mask, 1, round(_LOWEST * max(gray.shape)))


def _joined(mask: Gray, gap: int) -> Gray:
    """Level lines of a 0/1 mask whose gaps are closed."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, gap | 1), np.uint8)), np.uint8)


def _held(mask: Gray, others: Gray) -> Gray:
    """Level lines of a 0/1 mask both of whose ends are at one of the others, and those too long for a stroke."""
    reach = max(4, mask.shape[1] // 150)
    near = grown(others, 2 * reach + 1, 2 * reach + 1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    kept = np.zeros(count, np.uint8)
    for i, (x, y, w, h, _) in enumerate(stats.tolist()):
        left, right = near[y : y + h, max(0, x - 1) : x + 3], near[y : y + h, max(0, x + w - 3) : x + w + 1]
        kept[i] = i > 0 and (w > _STROKE * mask.shape[1] or bool(left.any() and right.any()))
    return np.asarray(kept[labels], np.uint8)


def _solid(gray: Gray) -> Gray:
    """0/1 mask of large filled areas, which close a box as lines do."""
    size = max(5, round(0.008 * gray.shape[0]))
    return runs((gray < 96).astype(np.uint8), size, size)


def _to_write_in(gray: Gray, dark: Gray, paper: float, box: Box) -> bool:
    """Whether a box is not shaded and holds no more ink than a number may be, nor print."""
    x, y, w, h = (round(value) for value in box)
    edge = max(2, round(0.08 * h))
    inside = slice(y + edge, y + h - edge), slice(x + edge, x + w - edge)
    if not gray[inside].size or np.percentile(gray[inside], 75) < paper - _SHADED:
        return False
    ink = (dark[inside] > max(4 * FAINTEST, 0.4 * float(dark[inside].max()))).astype(np.uint8)
    if max(ink.mean(), (gray[inside] < 0.5 * paper).mean()) > _FULL:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    pieces = stats[1:][stats[1:, cv2.CC_STAT_AREA] > max(6.0, 0.0025 * h * h)]
    high, top = pieces[:, cv2.CC_STAT_HEIGHT], pieces[:, cv2.CC_STAT_TOP]
    print_ = len(pieces) > 3 and max(high.std(), top.std()) < 0.08 * high.mean()
    if w > WIDE * h and len(pieces):
        start, end = pieces[:, cv2.CC_STAT_LEFT], pieces[:, cv2.CC_STAT_LEFT] + pieces[:, cv2.CC_STAT_WIDTH]
        at_side = (end < _UNIT * h) | (start > w - 2 * edge - _UNIT * h)
        print_ |= not at_side.all() and np.median(high[~at_side]) < _TALL * h
    return len(pieces) <= max(3.0, _PIECES * w / h) and not print_


def _to_lines(across: Gray, down: Gray, box: tuple[int, int, int, int]) -> Box:
    """A box that lies within its lines, as x, y, width, height between their middles."""
    x, y, w, h = box
    left, right = _middle(down, x, -1, slice(y, y + h)), _middle(down, x + w - 1, 1, slice(y, y + h))
    top, bottom = _middle(across.T, y, -1, slice(x, x + w)), _middle(across.T, y + h - 1, 1, slice(x, x + w))
    return left, top, right - left, bottom - top


def _middle(mask: Gray, edge: int, step: int, along: slice) -> float:
    """The middle of the first line that is met from column `edge` on."""
    reach = max(8, mask.shape[1] // 100)
    columns = [c for c in range(edge, edge + step * reach, step) if 0 <= c < mask.shape[1]]
    lit = [c for c in columns if mask[along, c].mean() > 0.4]
    line = [c for i, c in enumerate(lit) if abs(c - lit[0]) == i]
    return float(np.mean(line)) if line else float(edge + step)


def _rows(cells: list[Box]) -> list[list[list[Box]]]:
    """Cells as fields: by their height on the page, and within it from the left; each field is its cells."""
    lines: list[list[Box]] = []
    for cell in sorted(cells, key=lambda box: box[1] + box[3] / 2):
        middle = cell[1] + cell[3] / 2
        if lines and abs(middle - np.mean([box[1] + box[3] / 2 for box in lines[-1]])) < 0.35 * cell[3]:
            lines[-1].append(cell)
        else:
            lines.append([cell])
    return [_split(sorted(line)) for line in lines]


def _split(line: list[Box]) -> list[list[Box]]:
    """A row of cells where one does not go on as the one before: equal, side by side, and of a digit each."""
    fields = [line[:1]]
    for before, cell in pairwise(line):
        alike = abs(cell[2] - before[2]) < 0.25 * before[2] and abs(cell[3] - before[3]) < 0.2 * before[3]
        beside = abs(cell[0] - before[0] - before[2]) < 0.15 * before[2]
        narrow = max(cell[2] / cell[3], before[2] / before[3]) < _CELL
        if alike and beside and narrow and len(fields[-1]) < 20:
            fields[-1].append(cell)
        else:
            fields.append([cell])
    return fields


def _field(name: str, cells: list[Box], page: tuple[int, ...]) -> FieldSpec:
    x, top = max(0.0, cells[0][0]), max(0.0, float(np.mean([box[1] for box in cells])))
    right = min(float(page[1]), cells[-1][0] + cells[-1][2])
    h = min(page[0] - top, float(np.mean([box[3] for box in cells])))
    box = (round(x, 1), round(top, 1), round(right - x, 1), round(h, 1))
    if len(cells) > 1 or box[2] < 0.9 * box[3]:
        return FieldSpec(name=name, box=box, cells=len(cells), digits=(0, len(cells)))
    return FieldSpec(name=name, box=box, digits=(1, max(1, round(box[2] / box[3] / 0.6))))
