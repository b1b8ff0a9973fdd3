"""A picture of a table laid flat: its own printed lines, or its rows of writing, say how it was turned and tilted.

Lines that are parallel on paper meet in a photograph. How the slope of level lines changes from top to bottom, and of
upright ones from left to right, gives the four sides of what was a rectangle (the idea of Liebowitz and Zisserman,
"Metric rectification for perspective images of planes", CVPR 1998, with no need of the vanishing points themselves).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.field import ink as inks
from inkshift.reframe import to_gray

Image = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]

# Pixels of the longer side at which lines are looked for: a line of a pixel stays one.
_SIZE = 1000
# Rows of writing without lines: pixels up or down for each pixel to the right, 4 degrees.
_STEEPEST = 0.07
# Lines lean at most so much (17 degrees); those of one family agree to so much; less than the last is level.
_LEAN, _AGREE, _LEVEL = 0.31, 0.012, 0.0015
# Shares of the shorter side: the shortest stretch of a line that is heard, so that strokes of digits are not. Of the
# side along the family: how much of its lines there must be.
_STRETCH, _ENOUGH = 0.12, 0.7


def flatten(image: Image) -> tuple[Image, Matrix]:
    """The picture with its lines level and upright, and the 3x3 homography from its pixels to the flat ones.

    image: (H, W) or (H, W, 3) uint8. What lies straight already comes back as it is, with the identity.
    """
    gray = to_gray(image)
    level, upright = _slopes(gray)
    if level is None:
        level = (_skew(gray), 0.0)
    upright = upright or (0.0, 0.0)
    if max(abs(level[0]), abs(level[1]) / 2, abs(upright[0]), abs(upright[1]) / 2) < _LEVEL:
        return image, np.eye(3)
    h, w = gray.shape
    corners = _corners(level, upright, (h, w))
    if corners is None:
        return image, np.eye(3)
    matrix = _homography(corners, (h, w))
    placed = cv2.perspectiveTransform(np.array([[(0, 0), (w, 0), (w, h), (0, h)]], np.float64), matrix)[0]
    low, high = placed.min(0), placed.max(0)
    size = np.ceil(high - low).astype(int)
    if size[0] > 2 * w + 50 or size[1] > 2 * h + 50:
        return image, np.eye(3)
    matrix = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ matrix
    paper = [float(np.median(channel)) for channel in image[::8, ::8].reshape(-1, 1 if image.ndim == 2 else 3).T]
    flat = cv2.warpPerspective(
        image, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR, borderValue=tuple(paper)
    )
    return np.asarray(flat, np.uint8), matrix


def _slopes(gray: Gray) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Of level lines, pixels down for each pixel right, and of upright ones, right for each down: slope in the middle
    and how much it changes from one side to the other; None where there are too few lines."""
    h, w = gray.shape
    factor = min(1.0, _SIZE / max(h, w))
    small = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else gray
    if min(small.shape) < 20:
        return None, None
    # What is darker than both sides of it, faint print as strong as ink: edges of shadows and of the paper are not.
    notch = cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8))
    detector = cv2.createLineSegmentDetector(cv2.LSD_REFINE_NONE)
    found = detector.detect(np.minimum(notch, 31) * np.uint8(8))[0]
    if found is None:
        return None, None
    ends = found.reshape(-1, 4).astype(np.float64)
    run, rise = ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]
    long = np.hypot(run, rise) > _STRETCH * min(small.shape)
    sh, sw = small.shape
    level, upright = long & (np.abs(rise) < _LEAN * np.abs(run)), long & (np.abs(run) < _LEAN * np.abs(rise))
    x, y = (ends[:, 0] + ends[:, 2]) / 2 / sw - 0.5, (ends[:, 1] + ends[:, 3]) / 2 / sh - 0.5
    return (
        _family(rise[level] / run[level], y[level], np.abs(run[level]), _ENOUGH * sw),
        _family(run[upright] / rise[upright], x[upright], np.abs(rise[upright]), _ENOUGH * sh),
    )


def _family(slope: Floats, at: Floats, length: Floats, enough: float) -> tuple[float, float] | None:
    """The line slope = a + b at that most length agrees with: (a, b). at: -0.5 to 0.5 across the family."""
    if length.sum() < enough:
        return None
    order = np.argsort(-length)[:40]
    best, votes = (0.0, 0.0), 0.0
    for i in order:
        for j in order:
            apart = at[j] - at[i]
            b = (slope[j] - slope[i]) / apart if abs(apart) > 0.25 else 0.0
            if (j < i and b) or abs(b) > 0.6 or (not b and i != j):
                continue
            a = slope[i] - b * at[i]
            score = float(length[np.abs(slope - a - b * at) < _AGREE].sum()) * (1.0 if b else 1.02)
            if score > votes:
                best, votes = (float(a), float(b)), score
    near = np.abs(slope - best[0] - best[1] * at) < _AGREE
    if votes < enough:
        return None
    if at[near].max() - at[near].min() < 0.3:
        return float(np.average(slope[near], weights=length[near])), 0.0
    b, a = np.polyfit(at[near], slope[near], 1, w=length[near])
    return float(a), float(b)


def _skew(gray: Gray) -> float:
    """Slope at which the projection profile of the ink is sharpest (Postl 1986)."""
    dark = inks.darkness(gray)
    h, w = dark.shape
    rows, columns = np.nonzero(dark > inks.threshold_of(dark))
    thin = max(1, len(rows) // 6_000)
    y, x = rows[::thin].astype(np.float32), columns[::thin] - np.float32(w / 2)

    def sharpness(slope: float) -> float:
        profile = np.bincount((y - slope * x + (h + w)).astype(np.int32))
        return float(np.square(profile, dtype=np.float64).sum())

    coarse = max(np.arange(-_STEEPEST, _STEEPEST + 1e-6, 0.01).tolist(), key=sharpness)
    best = max([coarse + fine for fine in np.arange(-0.0075, 0.008, 0.0025).tolist()], key=sharpness)
    return float(best) if sharpness(best) >= 1.02 * sharpness(0.0) else 0.0


def _corners(level: tuple[float, float], upright: tuple[float, float], shape: tuple[int, int]) -> Floats | None:
    """Where the level lines at the top and bottom cross the upright ones at the left and right: (4, 2), clockwise."""
    h, w = shape
    out = []
    for sx, sy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        s, t = level[0] + level[1] * sy, upright[0] + upright[1] * sx
        # y = y0 + s (x - w/2) and x = x0 + t (y - h/2), with y0, x0 the sides of the picture.
        y0, x0 = (sy + 0.5) * h, (sx + 0.5) * w
        if abs(1 - s * t) < 0.5:
            return None
        y = (y0 + s * (x0 - t * h / 2 - w / 2)) / (1 - s * t)
        out.append((x0 + t * (y - h / 2), y))
    return np.array(out)


def _homography(corners: Floats, shape: tuple[int, int]) -> Matrix:
    """Lays four corners onto the picture's own."""
    h, w = shape
    target = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), target), np.float64)
