"""One digit in its place: a cell of a form, or a picture that shows one digit.

What belongs to the digit is not decided once. Each cell gives a few *views*, everything in it, what is left
without rules and intruders, its main stroke, and the classifier says which of them looks like a digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Box, Gray
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components, stroke_lean
from inkshift.forms.field.struck import taken_back

Ends = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's views, each light ink on black; none where it is empty. weights: how far each is believed.

    flat: its ink is a single dash, or part of a line through the field. over: 0 to 1, how much it looks as if it held
    more than its own digit: two beside each other, or part of one from outside of the field. mark: 0 to 1, how sure its
    form makes it that it was crossed out. doubted: its ink is far paler than its page's, broken into specks, or
    beside something that lies on the page.
    """

    box: Box
    views: tuple[Gray, ...]
    weights: tuple[float, ...]
    flat: bool = False
    over: float = 0.0
    mark: float = 0.0
    doubted: bool = False


# Shares of the height of a field's box, and of the width of a cell: what is at least so high may be a digit, and so
# much white parts two of them. Shares of the field's width and of its height: how wide a line through it is at least,
# and how far from straight. Of a piece of ink: how much of it reaches into the field at least, to be a digit beside it.
_DIGIT, _APART = 0.45, 0.08
_ACROSS, _STRAIGHT = 0.8, 0.05
_INSIDE = 0.25
# How sure two such digits, or one that reaches in, make it that the field overflows.
_CROWDED, _REACHING = 0.8, 0.7
# Shares of a cell's height: smaller ink is a speck, and solid ink up to the second is dirt; up to the third, a dot that
# was put there; up to the last, perhaps a digit whose loop ran full. How sure a dash or a line, an X, and a slash make
# it that a cell was crossed out.
_SPECK, _DOT, _BLOB, _SMALL = 0.1, 0.16, 0.25, 0.3
_DOUBTLESS, _LIKELY, _OPEN = 0.97, 0.9, 0.45
# Of a stroke that is broken into specks: how many they are at least, and how far it reaches, in heights of the cell.
_PIECES, _BROKEN = 3, 0.2
# Of what lies on a page: how far beyond a cell it begins at least, in heights of the cell, and how many times thicker
# than what is written in it.
_BEYOND, _THICKER = 0.05, 1.8
# Of a mark: a dash or wave is lower than this share of the cell, so many times wider than high, perhaps or likely, and
# such a share of its columns crosses it once; no more than such a share of its height is of one stroke down.
# Of a slash: how wide for its height, perhaps or likely, and leaning
# backwards. Share of a line through a loop that is ink.
_LOW, _WIDE, _ONCE, _LIMB = 0.45, (1.25, 1.5), 0.7, 0.6
_LEANING, _BACKWARDS, _COVERED = (0.55, 0.75), 0.4, 0.93
# Of the tooth of a comb: shares of a cell's width, how far aside it stands and how thick it is at most; shares of its
# height, how far from the field's foot or head it ends and how high it is at most.
_TOOTH_ASIDE, _TOOTH_THICK, _TOOTH_FOOT, _TOOTH_HIGH = 0.1, 0.22, 0.15, 0.5
# Shares of the width: where lines through a loop from its upper right to its lower left begin and end, (N, 1).
_FEET, _HEADS = (one.reshape(-1, 1) for one in np.meshgrid(np.arange(0.0, 0.2, 0.04), np.arange(0.8, 1.0, 0.04)))


def cells_of_field(ink: Gray, count: int, frame: Box, printed: bool) -> tuple[Cell, ...]:
    """The cells of a field from its ink (H, W) uint8.

    frame: xmin, ymin, xmax, ymax of the printed box in pixels of the crop. printed: whether its lines are
    there to be removed. Each piece of ink goes to the cell that its middle lies in.
    """
    x0, y0, x1, y1 = frame
    edges = [x0 + (x1 - x0) * i / count for i in range(count + 1)]
    ink = ink.copy()
    if printed:
        edges, (y0, y1) = _remove_frame(ink, edges, (y0, y1))
    labels, stats = components(ink)
    if printed and (teeth := _teeth(stats, edges, (y0, y1))).any():
        ink[np.concatenate([[False], teeth])[labels]] = 0
        labels, stats = components(ink)
    wide = np.flatnonzero(stats[:, 2] > 1.25 * (x1 - x0) / count) + 1
    struck = np.zeros(ink.shape, bool)
    if len(wide) and count > 1:
        struck = _lines_through(labels, stats, wide, x1 - x0, y1 - y0)
        across = np.isin(labels, wide)
        for edge in edges[1:-1]:
            column = round(edge)
            ink[:, column : column + 1][across[:, column : column + 1]] = 0
        labels, stats = components(ink)
    height = y1 - y0
    middle_x, middle_y = stats[:, 0] + stats[:, 2] / 2, stats[:, 1] + stats[:, 3] / 2
    owner = np.searchsorted(np.array(edges), middle_x) - 1
    inside = (middle_y > y0) & (middle_y < y1) & (owner >= 0) & (owner < count)
    reaching = _reaching_in(stats, ~inside, (edges[0], y0, edges[-1], y1))
    ends = np.rint(edges).astype(np.int32)
    worth = inside & (stats[:, 2:4].max(1, initial=0) >= max(3, 0.1 * height)) & (stats[:, 4] >= 5)
    cell_of = owner[worth]
    worth[worth] = ~_remains_of_frame(stats[worth], (ends[cell_of], round(y0), ends[cell_of + 1], round(y1)))
    out = []
    for i in range(count):
        box = (int(ends[i]), round(y0), int(ends[i + 1]), round(y1))
        mine = np.flatnonzero(worth & (owner == i))
        foreign = _foreign(labels, stats, mine, box)
        cell = _cell(ink, labels, stats, mine[~foreign], box, height)
        if foreign.any():
            cell = replace(cell, doubted=True)
        if not cell.views and len(broken := _broken_stroke(labels, stats, np.flatnonzero(inside & (owner == i)), box)):
            cell = replace(cell, views=(_picture(ink, labels, stats, broken),), weights=(1.0,), doubted=True)
        if cell.views and struck.any():
            own = np.isin(labels, np.flatnonzero(inside & (owner == i)) + 1)
            line = bool(struck[own].mean() > 0.9)
            cell = replace(cell, flat=cell.flat or line, mark=_DOUBTLESS if line else cell.mark)
        near = (middle_x[reaching] < box[2]) if i == 0 else (middle_x[reaching] > box[0]) if i == count - 1 else ()
        if not cell.views and np.any(near):
            cell = replace(cell, over=_REACHING)
        out.append(cell)
    return tuple(out)


def _lines_through(
    labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], wide: npt.NDArray[np.intp], width: int, height: int
) -> npt.NDArray[np.bool_]:
    """Mask of the pieces of ink, among those numbered `wide`, that are one straight stroke through the whole field."""
    out = np.zeros(labels.shape, bool)
    for k in wide.tolist():
        if stats[k - 1, 2] < _ACROSS * width:
            continue
        y, x = np.nonzero(labels == k)
        along, across = x - x.mean(), y - y.mean()
        slope = (along @ across) / max(along @ along, 1.0)
        if np.sqrt(np.mean((across - slope * along) ** 2)) < _STRAIGHT * height:
            out |= labels == k
    return out


def _reaching_in(
    stats: npt.NDArray[np.int32], outside: npt.NDArray[np.bool_], frame: tuple[float, float, float, float]
) -> npt.NDArray[np.intp]:
    """Pieces as high as a digit whose middle is outside of the field, to the left or right, but that reach into it."""
    x0, y0, x1, y1 = frame
    x, y, w, h, _ = stats.T
    shared = np.minimum(x + w, x1) - np.maximum(x, x0)
    level = (y + h / 2 > y0) & (y + h / 2 < y1)
    return np.flatnonzero(outside & level & (h > _DIGIT * (y1 - y0)) & (shared > _INSIDE * w) & (w > 0.1 * h))


def _remove_frame(ink: Gray, edges: list[float], rows: tuple[int, int]) -> tuple[list[float], tuple[int, int]]:
    """Take the printed frame out of the ink, in place; where its walls and its top and bottom really are."""
    y0, y1 = rows
    slack = max(3, round(0.22 * min(edges[1] - edges[0], y1 - y0)))
    walls = [_take_wall(ink, edge, slack, slice(max(y0, 0), y1)) for edge in edges]
    across = slice(max(round(edges[0]), 0), round(edges[-1]))
    top, bottom = (_take_wall(ink.T, edge, slack, across) for edge in rows)
    return walls, (round(top), round(bottom))


def _teeth(stats: npt.NDArray[np.int32], edges: list[float], rows: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """True for the short upright lines of a comb: between two cells, standing on the field's foot or hanging from its
    head."""
    x, y, w, h, _ = stats.T
    y0, y1 = rows
    height, wide = y1 - y0, (edges[-1] - edges[0]) / (len(edges) - 1)
    walls = np.array(edges[1:-1])
    between = (np.abs((x + w / 2)[:, None] - walls) < _TOOTH_ASIDE * wide).any(1)
    at_end = (y + h > y1 - _TOOTH_FOOT * height) | (y < y0 + _TOOTH_FOOT * height)
    return np.asarray(
        between & at_end & (w < _TOOTH_THICK * wide) & (h < _TOOTH_HIGH * height) & (h > 1.5 * w), np.bool_
    )


def _take_wall(ink: Gray, edge: float, slack: int, along: slice) -> float:
    """Remove the upright line near column `edge`, looked for in the rows `along`; its middle, or `edge`."""
    low = max(int(edge) - slack, 0)
    mask = (ink[along, low : int(edge) + slack + 1] > 0).astype(np.uint8)
    wall = inks.find_wall(mask)
    if wall is None:
        return edge
    first, last = low + wall[0], low + wall[1]
    inks.remove_wall(ink, (first, last))
    return (first + last) / 2


def _cell(
    ink: Gray,
    labels: npt.NDArray[np.int32],
    stats: npt.NDArray[np.int32],
    mine: npt.NDArray[np.intp],
    box: Box,
    height: float,
) -> Cell:
    if not len(mine):
        return Cell(box, (), ())
    pieces = stats[mine].tolist()
    areas = [area for *_, area in pieces]
    at = areas.index(max(areas))
    _, _, w, h, area = pieces[at]
    if max(w, h) < _SPECK * height or (max(w, h) < _DOT * height and area > 0.6 * w * h):
        return Cell(box, (), ())
    views, weights = [_picture(ink, labels, stats, mine)], [1.0]
    if len(mine) > 1:
        views.append(_picture(ink, labels, stats, mine[at : at + 1]))
        weights.append(float(area / sum(areas)) ** 4)
    flat = len(mine) <= 2 and w > 2.2 * h and max(high for *_, high, _ in pieces) < 0.3 * height
    over = _CROWDED * _crowded(pieces, box, height)
    return Cell(box, tuple(views), tuple(weights), flat, over, _DOUBTLESS if flat else _mark(views[0], height))


def _foreign(
    labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], mine: npt.NDArray[np.intp], box: Box
) -> npt.NDArray[np.bool_]:
    """Which of a cell's pieces come in from beyond it and are far thicker than what is written there: a finger that
    holds the page, the wire of a clip, a stain."""
    x0, y0, x1, y1 = box
    room = _BEYOND * (y1 - y0)
    x, y, w, h, _ = stats[mine].T
    outside = (x < x0 - room) | (y < y0 - room) | (x + w > x1 + room) | (y + h > y1 + room)
    written = ~outside & (np.maximum(w, h) > _BROKEN * (y1 - y0))
    if not (outside.any() and written.any()):
        return np.zeros(len(mine), np.bool_)
    thick = np.array(
        [_thickness(labels, stats, k) if a or b else 0.0 for k, a, b in zip(mine, outside, written, strict=True)]
    )
    return np.asarray(outside & (thick > _THICKER * thick[written].max()), np.bool_)


def _thickness(labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], piece: np.intp) -> float:
    """How thick a piece of ink is where it is thickest, in pixels."""
    x, y, w, h, _ = stats[piece].tolist()
    return thickest(labels[y : y + h, x : x + w] == piece + 1)


def thickest(ink: npt.NDArray[np.bool_]) -> float:
    """How thick ink, (H, W) bool, is where it is thickest, in pixels."""
    return 2 * float(cv2.distanceTransform(inks.padded(ink, 1), cv2.DIST_L2, 3).max())


def _broken_stroke(
    labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], mine: npt.NDArray[np.intp], box: Box
) -> npt.NDArray[np.intp]:
    """Those of a cell's pieces, each no more than a speck, that lie so close together that they are a stroke: a thin
    pen on a scan of one bit. None where what is left of a frame and dust lie by themselves, or pieces are mere dots.
    """
    x0, y0, x1, y1 = box
    mine = mine[stats[mine, 2:4].max(1, initial=0) > 0.5 * _SPECK * (y1 - y0)]
    sides = (np.full(len(mine), side, np.int32) for side in (x0, x1))
    mine = mine[~_remains_of_frame(stats[mine], (next(sides), y0, next(sides), y1))]
    if len(mine) < _PIECES:
        return mine[:0]
    kept = np.zeros(len(stats) + 1, np.uint8)
    kept[mine + 1] = 1
    within = slice(max(y0, 0), y1), slice(max(x0, 0), x1)
    groups, extents = components(inks.grown(kept[labels[within]], 3, 3))
    large = np.flatnonzero(extents[:, 2:4].max(1, initial=0) > _BROKEN * (y1 - y0)) + 1
    own = np.unique(labels[within][np.isin(groups, large) & (kept[labels[within]] > 0)]) - 1
    return np.asarray(own, np.intp) if len(own) >= _PIECES else mine[:0]


def _mark(picture: Gray, height: float) -> float:
    """How sure the form of a cell's ink makes it, 0 to 1, that it is a mark for an unused cell and no digit.

    A dot is small and solid. A dash or wave is far wider than high and goes across once, as a low, wide 2
    does not. An X or a star has ink in its middle and its four
    corners but not between the corners. A slash is one straight stroke that leans more than a 1 does, or backwards.
    A zero with a stroke has a straight line from corner to corner through what it encloses. A digit that was struck out
    has a line that goes beyond it on both sides. picture: the cell's ink, tightly cut. height: of the cell.
    """
    h, w = picture.shape
    ink = picture > 0
    solid = np.count_nonzero(ink) > 0.5 * ink.size
    if max(h, w) < _SMALL * height and solid:
        return _DOUBTLESS if max(h, w) < _BLOB * height else 0.0
    if max(h, w) >= _SMALL * height and h < _LOW * height and w > _WIDE[0] * h and _goes_across_once(ink):
        return _LIKELY if w > _WIDE[1] * h else 0.0 if solid else _OPEN
    if max(h, w) < _SMALL * height or min(h, w) < 8:
        return 0.0
    fifth_y, fifth_x = h // 5, w // 5
    corners = [
        ink[y, x].any()
        for y in (slice(0, fifth_y + 1), slice(h - fifth_y - 1, h))
        for x in (slice(0, fifth_x + 1), slice(w - fifth_x - 1, w))
    ]
    middle_y, middle_x = slice(2 * fifth_y, h - 2 * fifth_y), slice(2 * fifth_x, w - 2 * fifth_x)
    between = [
        ink[middle_y, :fifth_x],
        ink[middle_y, w - fifth_x :],
        ink[:fifth_y, middle_x],
        ink[h - fifth_y :, middle_x],
    ]
    empty = sum(not part.any() for part in between)
    if all(corners) and ink[middle_y, middle_x].mean() > 0.3 and empty >= 3:
        return _LIKELY
    return max(slash_or_struck_zero(picture), taken_back(picture))


def slash_or_struck_zero(picture: Gray) -> float:
    """How sure it is, 0 to 1, that what looks like a digit is a slash, or has a stroke through its loop."""
    ink = picture > 0
    return max(_slash(ink), _OPEN if _stroke_through_loop(ink) else 0.0)


def _goes_across_once(ink: npt.NDArray[np.bool_]) -> bool:
    """Whether nearly every column crosses the ink just once, and none goes down along a stroke, as behind a 7's bar."""
    once = np.concatenate([ink[:1], ink[1:] & ~ink[:-1]]).sum(0) == 1
    thick = ink.sum(0)[once]
    limb = len(thick) and thick.max() > max(_LIMB * len(ink), 2 * inks.middle_of(thick))
    return float(once.mean()) > _ONCE and not limb


def _slash(ink: npt.NDArray[np.bool_]) -> float:
    """How sure it is, 0 to 1, that ink is one straight stroke that leans as no 1 does."""
    h, w = ink.shape
    lean = stroke_lean(ink)
    if lean is None:
        return 0.0
    backwards = lean > 0
    if w > (_BACKWARDS if backwards else _LEANING[1]) * h:
        return _LIKELY
    return _OPEN if not backwards and w > _LEANING[0] * h else 0.0


def _stroke_through_loop(ink: npt.NDArray[np.bool_]) -> bool:
    """Whether a straight line goes through a loop from its lower left to its upper right and parts what it encloses."""
    h, w = ink.shape
    paper = cv2.connectedComponentsWithStatsWithAlgorithm(1 - inks.padded(ink, 1), 4, cv2.CV_32S, cv2.CCL_SAUF)[2][
        2:, 4
    ]
    if np.count_nonzero(paper > 0.02 * h * w) < 2:
        return False
    rows = np.arange(h)
    places = np.rint((_HEADS + (_FEET - _HEADS) * (rows / (h - 1))) * (w - 1)).astype(int)
    return bool(ink[rows, places].mean(1).max() > _COVERED)


def likeness(first: Gray, second: Gray) -> float:
    """How alike the ink of two cells is, 0 to 1: the correlation of both brought to one size, slightly blurred."""
    small = [_of_one_size(picture) for picture in (first, second)]
    norm = float(np.linalg.norm(small[0]) * np.linalg.norm(small[1]))
    return float(np.clip((small[0] * small[1]).sum() / norm, 0, 1)) if norm else 0.0


def _of_one_size(picture: Gray) -> npt.NDArray[np.float32]:
    """A picture whose longer side is 16 pixels in the middle of one of 20 x 20, less its mean."""
    h, w = picture.shape
    scale = 16 / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    out = np.zeros((20, 20), np.float32)
    y, x = (20 - size[1]) // 2, (20 - size[0]) // 2
    out[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    out = np.asarray(cv2.GaussianBlur(out, (0, 0), 1.5), np.float32)
    return np.asarray(out - out.mean(), np.float32)


def _crowded(pieces: Sequence[Sequence[int]], box: Box, height: float) -> bool:
    """Whether two pieces of ink as high as a digit stand beside each other in one cell."""
    tall = sorted(((x, x + w) for x, _, w, h, _ in pieces if h > _DIGIT * height), key=lambda ends: ends[0])
    apart = _APART * (box[2] - box[0])
    return any(start - end > apart for (_, end), (start, _) in pairwise(tall))


def _remains_of_frame(stats: npt.NDArray[np.int32], box: tuple[Ends, int, Ends, int]) -> npt.NDArray[np.bool_]:
    """True for slivers along a side of their cells, and for what is small in a corner, as of a dotted frame."""
    x, y, w, h, _ = stats.T
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    near_side = (x + w / 2 < x0 + 0.12 * wide) | (x + w / 2 > x1 - 0.12 * wide)
    near_end = (y + h / 2 < y0 + 0.1 * high) | (y + h / 2 > y1 - 0.1 * high)
    corner = near_side & near_end & (np.maximum(w, h) < 0.25 * high)
    return np.asarray((near_side & (w < 0.12 * wide)) | (near_end & (h < 0.12 * high)) | corner, np.bool_)


def _picture(
    ink: Gray, labels: npt.NDArray[np.int32], stats: npt.NDArray[np.int32], which: npt.NDArray[np.intp]
) -> Gray:
    pieces = stats[which].tolist()
    x0, y0 = (min(piece[k] for piece in pieces) for k in (0, 1))
    x1, y1 = (max(piece[k] + piece[k + 2] for piece in pieces) for k in (0, 1))
    kept = np.zeros(len(stats) + 1, np.bool_)
    kept[which + 1] = True
    return ink[y0:y1, x0:x1] * kept.take(labels[y0:y1, x0:x1])


def views_of_digit(ink: Gray) -> tuple[Gray, ...]:
    """The views of a picture that shows one digit, tightly or loosely cut, perhaps with neighbours and rules.

    First all ink; then, without rules, all that does not merely reach in from the border; then the main
    piece of that. A view that repeats an earlier one is left out.
    """
    if not ink.any():
        return ()
    views = [ink]
    h, w = ink.shape
    cleaned = inks.without_rules(ink, across=round(0.97 * w) if w > 0.6 * h else 0, down=0)
    labels, stats = components(cleaned)
    if not len(stats):
        return tuple(views)
    main = _main(stats, (h, w))
    kept = np.flatnonzero(_belongs(stats, main, (h, w)))
    views.append(_picture(cleaned, labels, stats, kept))
    if len(kept) > 1:
        views.append(_picture(cleaned, labels, stats, np.array([main])))
    return tuple(views)


def _main(stats: npt.NDArray[np.int32], shape: tuple[int, int]) -> int:
    """The piece of ink that is large and near the middle."""
    x, y, w, h, area = stats.T.astype(float)
    away = np.hypot((x + w / 2) / shape[1] - 0.5, (y + h / 2) / shape[0] - 0.5)
    return int(np.argmax(area * np.exp(-4 * away**2) * (h / shape[0]) ** 0.5))


def _belongs(stats: npt.NDArray[np.int32], main: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """True for the main piece and for strokes over, under or inside it that are no specks or neighbours."""
    x, y, w, h, area = stats.T
    mx, _, mw, mh, marea = stats[main]
    shared = np.minimum(x + w, mx + mw) - np.maximum(x, mx)
    over = shared > 0.5 * np.minimum(w, mw)
    border = (x == 0) | (x + w >= shape[1]) | (y == 0) | (y + h >= shape[0])
    large = (area > 0.06 * marea) & (np.maximum(w, h) > 0.15 * max(mh, mw))
    out = np.asarray(over & large & ~(border & (area < 0.5 * marea)), np.bool_)
    out[main] = True
    return out
