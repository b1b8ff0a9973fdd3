"""What a page can be recognised by beside its print as a whole: filled squares in its corners, and long printed rules.

Only what is surely one of these: a template does without rather than with a word, a scanner's edge or a pen stroke.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut.ink import FAINTEST, runs
from inkshift.forms.registration.lines import Line
from inkshift.forms.template import Mark

Square = tuple[float, float, float]

# Shares of the page's shorter side: sides of a corner mark. Of its diagonal: how far from its corner a mark lies.
_MARK_SIDES = (0.008, 0.05)
_CORNER = 0.2
# Shares of the page's side along a rule: the shortest rule, the widest gap in one (a fold, a faint place), and how near
# to the picture's border something dark is the scanner's or the paper's edge.
_LINE, _GAP, _EDGE = 0.15, 0.03, 0.015
_MOST_LINES = 40
# Of a rule's length: how much of it is inked, and along how much of it paper shows on each side.
_INKED, _CLEAR = 0.85, 0.75
# How far darkness along a rule strays from its median, as a share of that: 0.31 at most on faint pencilled rules.
_UNEVEN = 0.35
# How far the middle of a rule may lie from a straight line on average: pixels, and a share of its length.
_CROOKED = (0.8, 0.0006)


def corner_marks(gray: Gray) -> tuple[Mark, ...]:
    """The filled squares in a page's four corners, in reading order; empty where there are no such four."""
    h, w = gray.shape
    squares = _squares(gray)
    near: list[list[Square]] = []
    for x, y in ((0, 0), (w, 0), (0, h), (w, h)):
        away = [(np.hypot(square[0] - x, square[1] - y), square) for square in squares]
        near.append([square for far, square in sorted(away)[:5] if far < _CORNER * np.hypot(h, w)])
    best = min(itertools.product(*near), key=_unlike, default=None)
    if best is None or _unlike(best) > 0.25:
        return ()
    return tuple(Mark(x=round(x, 1), y=round(y, 1), size=round(side, 1)) for x, y, side in best)


def _squares(gray: Gray) -> list[Square]:
    """Filled dark squares: centre x, centre y, side."""
    least, most = (share * min(gray.shape) for share in _MARK_SIDES)
    _, dark = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    core = max(3, round(least / 2))
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((core, core), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark)
    return [
        (x + (w - 1) / 2, y + (h - 1) / 2, (w + h) / 2)
        for x, y, w, h, area in stats[1:].tolist()
        if min(w, h) >= least and max(w, h) <= most and min(w, h) > 0.8 * max(w, h) and area > 0.75 * w * h
    ]


def _unlike(four: tuple[Square, ...]) -> float:
    """How far four squares are from equal ones in the corners of a rectangle; 0 is perfect."""
    points, sides = np.array(four)[:, :2], np.array(four)[:, 2]
    a, b, c, d = points
    diagonal = float(np.linalg.norm(d - a)) + 1e-9
    skewed = float(np.linalg.norm(a + d - b - c)) / diagonal
    uneven = abs(float(np.linalg.norm(d - a) - np.linalg.norm(c - b))) / diagonal
    return 5 * (skewed + uneven) + float(sides.std() / sides.mean())


def long_rules(gray: Gray) -> tuple[Line, ...]:
    """A page's longest printed rules as x1, y1, x2, y2 in pixels, level ones first; at most 20 each way.

    A rule is straight, of one thickness, inked nearly throughout, with paper on both sides of it, and is not where
    the picture or the paper ends. The page lies straight within a few degrees.
    """
    level = _rules(gray)
    plumb = [(x1, y1, x2, y2) for y1, x1, y2, x2 in _rules(np.ascontiguousarray(gray.T))]
    return tuple(sorted(level, key=lambda line: line[1])) + tuple(sorted(plumb))


def _rules(gray: Gray) -> list[Line]:
    """The level rules among the ridges of a page."""
    dark = np.asarray(255 - gray, np.uint8)
    pieces = [fit for piece in _pieces(dark) if (fit := _fitted(*piece)) is not None]
    least = _LINE * gray.shape[1]
    lines = [line for line in _joined(pieces, gray.shape[1]) if line[2] - line[0] >= least and _is_rule(dark, line)]
    lines = sorted(_without_edges(dark, lines), key=lambda line: line[0] - line[2])[: _MOST_LINES // 2]
    return [(round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)) for x1, y1, x2, y2 in lines]


def _thickest(shape: tuple[int, ...]) -> int:
    """The most pixels that a rule is thick."""
    return max(5, round(0.004 * max(shape)))


def _pieces(dark: Gray) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Thin level pieces of ink: the columns of each, and the middle row of each column."""
    thick = _thickest(dark.shape)
    ridge = cv2.morphologyEx(dark, cv2.MORPH_TOPHAT, np.ones((2 * thick + 1, 1), np.uint8))
    mean = cv2.blur(ridge, (max(5, dark.shape[1] // 120) | 1, 1))
    mask = runs((mean > 1.5 * FAINTEST).astype(np.uint8), 1, max(13, dark.shape[1] // 60))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    pieces = []
    for i, (x, y, w, h, _) in enumerate(stats.tolist()):
        if i and w > 0.03 * dark.shape[1] and w > 5 * min(h, thick):
            here = (labels[y : y + h, x : x + w] == i) * ridge[y : y + h, x : x + w].astype(np.float64)
            weight = here.sum(0)
            # What is faint beside the rest is the paper's grain beyond the piece's ends, or a gap in it.
            columns = np.nonzero(weight > 0.5 * np.median(weight))[0]
            rows = (here * np.arange(h)[:, None]).sum(0)[columns] / weight[columns]
            pieces.append((columns + x, rows + y))
    return pieces


def _fitted(columns: npt.NDArray[np.int64], rows: npt.NDArray[np.float64]) -> Line | None:
    """The straight line through a piece, where it is one: words wave, and pens do."""
    keep = np.ones(len(columns), bool)
    for _ in range(3):
        if keep.sum() < 8:
            return None
        slope, at = np.polyfit(columns[keep], rows[keep], 1)
        away = np.abs(slope * columns + at - rows)
        keep = away <= max(1.5, 2.5 * float(np.median(away)))
    length = float(np.ptp(columns)) + 1
    if float(away[keep].mean()) > _CROOKED[0] + _CROOKED[1] * length or keep.mean() < 0.7 or abs(slope) > 0.1:
        return None
    x1, x2 = float(columns[keep].min()), float(columns[keep].max())
    return x1, slope * x1 + at, x2, slope * x2 + at


def _joined(pieces: list[Line], width: int) -> list[Line]:
    """Pieces that go on as one another made one, from the left."""
    lines: list[Line] = []
    for x1, y1, x2, y2 in sorted(pieces):
        for i, (a1, b1, a2, b2) in enumerate(lines):
            slope = (y2 - b1) / max(x2 - a1, 1.0)
            off = max(abs(b1 + slope * (a2 - a1) - b2), abs(b1 + slope * (x1 - a1) - y1))
            if -2 <= x1 - a2 <= _GAP * width and off < 2.0:
                lines[i] = (a1, b1, x2, y2)
                break
        else:
            lines.append((x1, y1, x2, y2))
    return lines


def _is_rule(dark: Gray, line: Line) -> bool:
    """Whether a line is inked nearly throughout, evenly, and has paper above and below."""
    thick = _thickest(dark.shape)
    strip = _along(dark, line, thick + 4)
    middle = strip[:, thick + 2 : thick + 7].max(1)
    strength = float(np.median(middle))
    # The side begins where the rule, as thick as it mostly is, has ended.
    half = max(2, int(np.median((strip > 0.5 * strength).sum(1))))
    if half > thick or strength < 2 * FAINTEST:
        return False
    above, below = strip[:, : thick + 4 - half][:, -3:], strip[:, thick + 5 + half :][:, :3]
    clear = min(float((side.min(1) < 0.5 * strength).mean()) for side in (above, below))
    # Small words are inked nearly throughout where a scan is coarse, but never evenly.
    uneven = float(np.median(np.abs(middle - strength))) / strength
    return uneven < _UNEVEN and clear >= _CLEAR and float((middle > 0.4 * strength).mean()) >= _INKED


def _along(dark: Gray, line: Line, reach: int) -> npt.NDArray[np.float32]:
    """Darkness along a level line, (length, 2 * reach + 1): each column's pixels above, on and below it."""
    x1, y1, x2, y2 = line
    columns = np.arange(round(x1), round(x2) + 1)
    middle = np.rint(y1 + (y2 - y1) * (columns - x1) / max(x2 - x1, 1.0)).astype(int)
    rows = middle[:, None] + np.arange(-reach, reach + 1)
    inside = (rows >= 0) & (rows < dark.shape[0]) & ((columns >= 0) & (columns < dark.shape[1]))[:, None]
    strip = dark[np.clip(rows, 0, dark.shape[0] - 1), np.clip(columns, 0, dark.shape[1] - 1)[:, None]]
    return np.where(inside, strip, 0).astype(np.float32)


def share_inked(gray: Gray, line: Line) -> float:
    """Share, 0 to 1, of a level or upright line along which a page, paper 255, has ink within two pixels.

    What is inked as often on both sides of it, as where a table lies elsewhere, does not count.
    """
    x1, y1, x2, y2 = line
    level = abs(x2 - x1) >= abs(y2 - y1)
    dark = np.asarray(255 - (gray if level else gray.T), np.uint8)
    along = sorted(((x1, y1), (x2, y2)) if level else ((y1, x1), (y2, x2)))
    strip = _along(dark, (*along[0], *along[1]), 12) > 2 * FAINTEST
    on, beside = strip[:, 10:15].any(1).mean(), min(strip[:, 2:7].any(1).mean(), strip[:, 18:23].any(1).mean())
    return float(max(0.0, on - beside))


def _without_edges(dark: Gray, lines: list[Line]) -> list[Line]:
    """Lines without those at the picture's border, and without outermost ones that end the paper.

    Paper ends where a line runs over the whole picture, or has another shade of paper beyond it and nothing else.
    """
    h = dark.shape[0]
    kept = [line for line in lines if _EDGE * h < (line[1] + line[3]) / 2 < (1 - _EDGE) * h]
    for beyond in (-1, 1):
        while kept:
            line = min(kept, key=lambda one: -beyond * (one[1] + one[3]))
            if not _ends_paper(dark, line, beyond):
                break
            kept.remove(line)
    return kept


def _ends_paper(dark: Gray, line: Line, beyond: int) -> bool:
    x1, y1, x2, y2 = line
    if x2 - x1 > 0.96 * dark.shape[1]:
        return True
    if x2 - x1 < 0.5 * dark.shape[1]:
        return False
    top, bottom, edge = min(y1, y2), max(y1, y2), 2 * _thickest(dark.shape)
    columns = slice(round(x1), round(x2) + 1)
    out = dark[: max(0, round(top) - edge), columns] if beyond < 0 else dark[round(bottom) + edge :, columns]
    inner = dark[round(bottom) + edge :, columns] if beyond < 0 else dark[: max(0, round(top) - edge), columns]
    if not out.size or not inner.size:
        return True
    return bool(np.median(out) > np.median(inner) + 0.5 * FAINTEST and np.percentile(out, 99) < np.median(out) + 48)
