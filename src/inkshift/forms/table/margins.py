"""What lies around a table and is none of it: dark edges of a scanner, punched holes, print above and below."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.field import ink as inks
from inkshift.forms.field.ink import grown
from inkshift.forms.field.segment import components
from inkshift.forms.field.struck import CORE
from inkshift.forms.table.ruling import Ruling, digit_height
from inkshift.reframe import to_gray

Image = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# Shares of the digit height: no stroke of a pen is as thick; a hole is at least as wide. How far the area of a hole is
# from that of an ellipse of its width and height, at most.
SOLID, HOLE, ROUND = 0.4, 0.7, 0.12
# Shares of the picture's sides: how far from one the middle of a hole lies at most; how long a dark edge is at least.
# How dark it is, as a share of the paper's gray; pixels that it is thick, beyond the picture's border counted in.
MARGIN, LONG, DARK, THICK = 0.2, 0.3, 0.5, 9
# Level lines that part rows: how many there are at least, and shares of the longest that they are long and have in
# common with it. Print around a table is less than such a share of the height of what is in it.
LINES, ALIKE, PRINT = 4, 0.7, 0.75


def without_edges(image: Image) -> Image:
    """The picture, (H, W) or (H, W, 3) uint8, with paper for what is dark along its sides, as a scanner's bed is."""
    gray = to_gray(image)
    h, w = gray.shape
    paper = float(np.median(gray[::4, ::4]))
    solid = np.pad((gray < DARK * paper).view(np.uint8), THICK, constant_values=1)
    opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((THICK, THICK), np.uint8))
    labels, stats = components(np.ascontiguousarray(opened[THICK:-THICK, THICK:-THICK], np.uint8))
    gone = np.zeros(len(stats) + 1, np.bool_)
    for k, (x, y, wide, high, _) in enumerate(stats.tolist(), 1):
        at_side = (min(x, w - x - wide) <= 1 and high > LONG * h) or (min(y, h - y - high) <= 1 and wide > LONG * w)
        rim = int((labels[[0, -1]] == k).sum() + (labels[:, [0, -1]] == k).sum())
        gone[k] = at_side and rim > LONG * max(wide, high)
    if paper < 128 or not gone.any():
        return image
    out = image.copy()
    out[grown(gone[labels].view(np.uint8), THICK, THICK) > 0] = np.median(
        image[::4, ::4].reshape(-1, *image.shape[2:]), 0
    )
    return out


def without_holes(dark: Gray) -> Gray:
    """The darkness of a flat picture, (H, W) uint8, without punched holes near its sides."""
    gone = _holes((dark > inks.threshold_of(dark)).view(np.uint8))
    return np.where(grown(gone.view(np.uint8), 7, 7) > 0, 0, dark).astype(np.uint8) if gone.any() else dark


def _holes(ink: Gray) -> Mask:
    """Round solid spots near the sides of a picture, larger than any point: (H, W) bool."""
    h, w = ink.shape
    size = digit_height(components(ink)[1])
    thick = max(5, round(SOLID * size))
    solid = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick)))
    labels, stats = components(np.asarray(solid, np.uint8))
    out = np.zeros(len(stats) + 1, np.bool_)
    for k, (x, y, wide, high, area) in enumerate(stats.tolist(), 1):
        cx, cy = (x + wide / 2) / w, (y + high / 2) / h
        disc = min(wide, high) > 0.8 * max(wide, high) and abs(area / (wide * high) / (np.pi / 4) - 1) < ROUND
        out[k] = disc and max(wide, high) > HOLE * size and min(cx, cy, 1 - cx, 1 - cy) < MARGIN
    return np.asarray(out[labels], np.bool_)


def without_print(ruling: Ruling, height: float) -> Ruling:
    """The ruling without the small print above and below a table whose rows lines part. height: of most digits."""
    top, bottom = _table_part(ruling, height)
    middle = ruling.pieces[:, 1] + ruling.pieces[:, 3] / 2
    kept = (middle >= top) & (middle < bottom)
    if kept.all() or not kept.any():
        return ruling
    number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)
    return replace(ruling, labels=number[ruling.labels], pieces=ruling.pieces[kept])


def _table_part(ruling: Ruling, height: float) -> tuple[float, float]:
    """Top and bottom, in pixels, of what is no small print above or below a table whose rows level lines part."""
    x, y, w, h = ruling.level.T
    whole = (0.0, float(len(ruling.labels)))
    if len(x) < LINES:
        return whole
    longest = int(w.argmax())
    shared = np.minimum(x + w, x[longest] + w[longest]) - np.maximum(x, x[longest])
    own = (w >= ALIKE * w[longest]) & (shared >= ALIKE * w[longest])
    at = np.sort(y[own] + h[own] / 2)
    at = at[np.concatenate([[True], np.diff(at) > CORE * height])]
    if len(at) < LINES:
        return whole
    room = max(1.5 * height, float(np.median(np.diff(at))))
    middle, high = ruling.pieces[:, 1] + ruling.pieces[:, 3] / 2, ruling.pieces[:, 3]
    tall = high >= 0.3 * height
    inside = digit_height(ruling.pieces[(middle > at[0]) & (middle < at[-1])])
    above, below = (middle < at[0] - room) & tall, (middle > at[-1] + room) & tall
    top = at[0] - room if above.any() and np.median(high[above]) < PRINT * inside else whole[0]
    bottom = at[-1] + room if below.any() and np.median(high[below]) < PRINT * inside else whole[1]
    return float(top), float(bottom)
