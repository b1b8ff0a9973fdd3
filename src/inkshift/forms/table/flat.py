"""A picture of a table laid flat: its own printed lines, or its rows of writing, say how it was turned and tilted.

Lines that are parallel on paper meet in a photograph. How the slope of level lines changes from top to bottom, and of
upright ones from left to right, gives the four sides of what was a rectangle (the idea of Liebowitz and Zisserman,
"Metric rectification for perspective images of planes", CVPR 1998, with no need of the vanishing points themselves).

Level lines that bend, as on paper that does not lie flat, are straightened by their own slopes: these follow a
polynomial over the page, whose integral is how far each point is to move up or down.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from inkshift.arrays import Floats, Gray, Matrix, Pixels
from inkshift.forms.cut import ink as inks
from inkshift.pictures import fit_within
from inkshift.reframe import to_gray

# Pixels of the longer side at which lines are looked for: a line of a pixel stays one.
_SIZE = 1000
# Rows of writing without lines: pixels up or down for each pixel to the right, 4 degrees.
_STEEPEST = 0.07
# Lines lean at most so much (17 degrees); those of one family agree to so much; less than the last is level.
_LEAN, _AGREE, _LEVEL = 0.31, 0.012, 0.0015
# Shares of the shorter side: the shortest stretch of a line that is heard, so that strokes of digits are not. Of the
# side along the family: how much of its lines there must be.
_STRETCH, _ENOUGH = 0.12, 0.7
# Pieces of lines whose slopes are taken: shares of the width that they are long, and that a line is at least. How many
# widths of them there must be, in how many tenths of the width.
_WINDOW, _LINE, _WIDTHS, _TENTHS = 0.05, 0.1, 2.0, 6
# Pixels at `_SIZE`: no line is shorter, since strokes of digits are.
_SHORTEST = 40
# Powers of x in the slope; slopes that differ by so much are another line's; a bend of less than so many pixels at
# `_SIZE` is none; so much of the slopes' deviation must go with it.
_POWERS, _OTHER, _BENT, _EXPLAINED = 4, 0.02, 1.5, 0.5


def flatten(image: Pixels) -> tuple[Pixels, Callable[[Floats], Floats]]:
    """The picture with its lines level, upright and straight, and what gives the points of the picture, (N, 2) x and y
    in pixels, that points of the flat one show.

    image: (H, W) or (H, W, 3) uint8. What lies straight already comes back as it is.
    """
    turned, matrix = _turned(image)
    back = np.linalg.inv(matrix).astype(np.float64)
    straight, shift = _straightened(turned)

    def to_picture(points: Floats) -> Floats:
        x, y = points.T
        moved = np.column_stack([x, y + shift(x, y)])
        return np.asarray(cv2.perspectiveTransform(moved[None].astype(np.float64), back)[0], np.float64)

    return straight, to_picture


def _straightened(image: Pixels) -> tuple[Pixels, Callable[[Floats, Floats], Floats]]:
    """The picture with its level lines straight, and how many pixels further down each of its points, x and y, was."""
    gray = to_gray(image)
    h, w = gray.shape
    found = _bend(gray)
    if found is None:
        return image, lambda x, _: np.zeros_like(x)
    factors, low, high = found

    def shift(x: Floats, y: Floats) -> Floats:
        x, y = np.clip(x / w - 0.5, low, high), np.clip(y / h - 0.5, -0.5, 0.5)
        powers = [x ** (i + 1) / (i + 1) * y**j for j in range(2) for i in range(_POWERS)]
        return np.asarray(w * np.tensordot(factors, np.stack(powers), 1), np.float64)

    xs, ys = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
    rows = (ys + shift(xs, ys)).astype(np.float32)
    paper = [float(np.median(channel)) for channel in image[::8, ::8].reshape(-1, 1 if image.ndim == 2 else 3).T]
    flat = cv2.remap(
        image, xs.astype(np.float32), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=tuple(paper)
    )
    return np.asarray(flat, np.uint8), shift


def _bend(gray: Gray) -> tuple[Floats, float, float] | None:
    """Factors of the slope of level lines, by powers of x then those times y, and from where to where along the width
    lines tell it, all in shares of the sides from the middle; None where they are straight, or too few."""
    pieces = _line_pieces(gray)
    w = gray.shape[1]
    if not len(pieces):
        return None
    x, y, slope, length = pieces.T
    if length.sum() < _WIDTHS or len(set((10 * x).astype(int))) < _TENTHS:
        return None
    x, y = x - 0.5, y - 0.5
    terms = np.column_stack([x**i * y**j for j in range(2) for i in range(_POWERS)])
    factors, weight = np.zeros(terms.shape[1]), length
    for _ in range(10):
        root = np.sqrt(weight)[:, None]
        factors = np.linalg.lstsq(terms * root, slope * root[:, 0], rcond=1e-3)[0]
        weight = length / (1 + np.square((slope - terms @ factors) / _OTHER))
    off, before = slope - terms @ factors, slope
    near = np.abs(off) < 2 * _OTHER
    low, high = np.quantile(x, [0.02, 0.98]).tolist()
    along = np.linspace(low, high, 50)
    path = w * sum(factors[i] * along ** (i + 1) / (i + 1) for i in range(_POWERS))
    if np.ptp(path) * min(1.0, _SIZE / max(gray.shape)) < _BENT or near.mean() < 0.7:
        return None
    if np.average(np.abs(off), weights=length) > _EXPLAINED * np.average(np.abs(before), weights=length):
        return None
    return factors, low, high


def _line_pieces(gray: Gray) -> Floats:
    """Short pieces of thin level lines: x and y of their middle, slope, length: (N, 4), in shares of the sides but for
    the slope, which is in pixels down for each pixel right."""
    small = fit_within(gray, _SIZE)
    sh, sw = small.shape
    if min(sh, sw) < 60:
        return np.zeros((0, 4))
    notch = cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, np.ones((5, 1), np.uint8))
    mask = (notch > max(8.0, 0.25 * float(np.percentile(notch, 98)))).astype(np.uint8)
    joined = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    out, step = [], max(20, round(_WINDOW * sw))
    for k, (x, y, wide, high, area) in enumerate(stats.tolist()):
        if k == 0 or wide < max(_LINE * sw, _SHORTEST) or high > 0.5 * wide or area > 8 * wide:
            continue
        own = labels[y : y + high, x : x + wide] == k
        rows, columns = own.sum(0), np.arange(wide)
        middle = (own * np.arange(high)[:, None]).sum(0) / np.maximum(rows, 1)
        for a in range(0, wide - step // 2, step):
            part = slice(a, min(a + step, wide))
            at = columns[part][rows[part] > 0]
            if len(at) < 0.8 * (part.stop - part.start):
                continue
            slope, offset = np.polyfit(at, middle[at], 1)
            if np.abs(middle[at] - offset - slope * at).mean() < 0.6 and abs(slope) < _LEAN:
                out.append(((x + at.mean()) / sw, (y + offset + slope * at.mean()) / sh, slope, len(at) / sw))
    return np.array(out).reshape(-1, 4)


def _turned(image: Pixels) -> tuple[Pixels, Matrix]:
    """The picture with its lines level and upright, and the 3x3 homography from its pixels to the turned ones."""
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
    small = fit_within(gray, _SIZE)
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
