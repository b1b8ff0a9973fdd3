"""Long strokes of a pen over a page: one diagonal through several fields says that they are not used.

A printed line is straight along the form's own axes; a pen crosses the insides of boxes, and what is between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components
from inkshift.forms.registration.registered import RegisteredPage

Box = tuple[float, float, float, float]
Lines = npt.NDArray[np.float64]

# Pixels that a field of the page is brought to before strokes are looked for: its height.
_HEIGHT = 24
# In heights of a field: the shortest stroke that counts, how far its ink may be interrupted. Share of it that is ink.
# In heights again: the shortest level or upright line that is surely printed.
_SHORTEST, _GAP, _INKED, _PRINTED = 1.8, 0.15, 0.95, 2.5
# Degrees from the form's axes within which a straight line may be printed. Share of a box's height or width that a
# stroke goes through, to pass it, the margins of the box left out by the second.
_AXES, _THROUGH, _INSIDE = 4.0, 0.6, 0.1
# How sure such a stroke makes it that what it passes is not used.
PASSED = 0.9


def strokes_through(page: RegisteredPage, dark: Gray, boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which boxes (cells, or fields without) long straight strokes pass that pass others as well: (N,) bool.

    dark: the page's darkness (`ink.darkness`), (H, W) uint8. boxes: x, y, width, height in pixels of the template.
    """
    passed = np.zeros(len(boxes), bool)
    if len(boxes) < 2:
        return passed
    places = np.array(boxes, np.float64)
    picture, places = _laid(page, dark, places)
    level = inks.ink_level([picture[int(y) : int(y + h), int(x) : int(x + w)] for x, y, w, h in places if w * h >= 1])
    ink = (picture > max(0.5 * level, inks.FAINTEST)).view(np.uint8)
    for line in _long_lines(ink):
        through = _passes(line, places)
        if np.count_nonzero(through) >= 2:
            passed |= through
    return passed


def _laid(page: RegisteredPage, dark: Gray, places: Lines) -> tuple[Gray, Lines]:
    """The part of the page that holds the boxes, laid upright on the template and shrunk, and the boxes in it."""
    scale = min(1.0, _HEIGHT / float(np.median(places[:, 3])))
    room = 0.5 * float(np.median(places[:, 3]))
    x0, y0 = places[:, 0].min() - room, places[:, 1].min() - room
    x1, y1 = (places[:, 0] + places[:, 2]).max() + room, (places[:, 1] + places[:, 3]).max() + room
    to_template = np.array([[1 / scale, 0, x0], [0, 1 / scale, y0], [0, 0, 1]], np.float64)
    size = max(8, round((x1 - x0) * scale)), max(8, round((y1 - y0) * scale))
    shrink = page.scale / scale
    soft = cv2.blur(dark, (round(shrink),) * 2) if shrink >= 2 else dark
    picture = cv2.warpPerspective(soft, page.matrix @ to_template, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    moved = (places - np.array([x0, y0, 0, 0])) * scale
    return np.asarray(picture, np.uint8), moved


def _long_lines(ink: Gray) -> Lines:
    """Straight strokes, rows x0, y0, x1, y1, that lean as no printed line does and are ink nearly everywhere."""
    some = _with_long_pieces(ink)
    if not some.any():
        return np.zeros((0, 4))
    found = cv2.HoughLinesP(some, 1, np.pi / 360, 30, None, _SHORTEST * _HEIGHT, _GAP * _HEIGHT)
    if found is None:
        return np.zeros((0, 4))
    lines = np.asarray(found, np.float64).reshape(-1, 4)
    away = np.degrees(np.arctan2(np.abs(lines[:, 3] - lines[:, 1]), np.abs(lines[:, 2] - lines[:, 0])))
    lines = lines[(away > _AXES) & (away < 90 - _AXES)]
    wide = inks.grown(ink, 3, 3)
    return np.array([line for line in lines if _inked(wide, line) >= _INKED]).reshape(-1, 4)


def _with_long_pieces(ink: Gray) -> Gray:
    """Ink near pieces of it so large that such a stroke may be in them: digits by themselves are not looked through.

    Printed lines, which join what is written in many boxes, are straight along the form's axes for longer than any
    stroke that leans.
    """
    free = ink & ~(inks.runs(ink, 1, round(_PRINTED * _HEIGHT)) | inks.runs(ink, round(_PRINTED * _HEIGHT), 1))
    reach = round(_GAP * _HEIGHT) | 1
    labels, stats = components(inks.grown(free, reach, reach))
    large = np.hypot(stats[:, 2], stats[:, 3]) >= _SHORTEST * _HEIGHT
    return np.asarray(ink * np.concatenate([[False], large])[labels], np.uint8)


def _inked(ink: Gray, line: npt.NDArray[np.float64]) -> float:
    along = np.linspace(0, 1, int(np.hypot(line[2] - line[0], line[3] - line[1])) + 2)[:, None]
    x, y = np.rint(line[:2] + along * (line[2:] - line[:2])).astype(int).T
    return float(ink[y, x].mean())


def _passes(line: npt.NDArray[np.float64], places: Lines) -> npt.NDArray[np.bool_]:
    """Which boxes a stroke goes through, from side to side or from top to bottom, all but a little."""
    inset = _INSIDE * places[:, 2:]
    low, high = places[:, :2] + inset, places[:, :2] + places[:, 2:] - inset
    start, step = line[:2], line[2:] - line[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.sort(np.stack([(low - start) / step, (high - start) / step]), axis=0)
    first, last = np.maximum(ends[0].max(1), 0.0), np.minimum(ends[1].min(1), 1.0)
    share = np.clip(last - first, 0, None)[:, None] * np.abs(step) / (high - low)
    return np.asarray(share.max(1) >= _THROUGH, np.bool_)
