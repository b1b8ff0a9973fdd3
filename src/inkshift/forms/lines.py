"""Printed lines of a page: found, compared with those of a template, and used to lay one onto the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.ink import runs

Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
Line = tuple[float, float, float, float]

_STEP = 8
# A printed line is at least this much darker than the paper on both sides (gray levels).
_FAINT_LINE = 5.0


@lru_cache(maxsize=64)
def sample(lines: tuple[Line, ...]) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Points (N, 2) along lines x1, y1, x2, y2, and for each whether its line is upright.

    Every 8 px, or farther apart where that would make more than two thousand.
    """
    step = max(_STEP, sum(max(abs(x2 - x1), abs(y2 - y1)) for x1, y1, x2, y2 in lines) / 2000)
    points, upright = [], []
    for x1, y1, x2, y2 in lines:
        n = max(2, int(max(abs(x2 - x1), abs(y2 - y1)) / step))
        t = (np.arange(n) + 0.5) / n
        points.append(np.column_stack([x1 + (x2 - x1) * t, y1 + (y2 - y1) * t]))
        upright.append(np.full(n, abs(y2 - y1) > abs(x2 - x1)))
    return np.concatenate(points), np.concatenate(upright)


def masks(gray: Gray, share: int = 32) -> tuple[Gray, Gray]:
    """0/1 masks (H, W) of pixels on lines that run across, and on lines that run down.

    share: lines are at least this part of the page's shorter side long.
    Darkness is averaged along a line before it is judged, so that a line hardly darker than its paper
    is found too.
    """
    length = max(13, min(gray.shape) // share | 1)
    across = _ridges(gray, length)
    down = _ridges(np.ascontiguousarray(gray.T), length)
    return across, np.ascontiguousarray(down.T)


def _ridges(gray: Gray, length: int) -> Gray:
    """Level lines: rows darker than the rows a little above and below, on average over `length` pixels."""
    thick = max(5, min(gray.shape) // 200 | 1)
    notch = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((2 * thick + 1, 1), np.uint8))
    mean = cv2.blur(np.minimum(notch, 10) * np.uint8(20), (length, 1))
    sample = mean[::4, ::4]
    middle = float(np.median(sample))
    spread = float(np.median(np.abs(sample - middle)))
    mask = (mean > min(middle + max(55.0, 6 * spread), 130.0)).astype(np.uint8)
    return runs(mask, 1, length // 2)


def share_found(gray: Gray, points: Points, upright: npt.NDArray[np.bool_]) -> float:
    """Share, 0 to 1, of points that have a dark line of their direction within 0.4 % of the page's width.

    points: (N, 2) in pixels, in order along their lines. Gray levels are averaged over five points in a row,
    so that a line hardly darker than its paper is found too. What is found as often a little beside the
    points, as on a page full of something else, does not count.
    """
    reach = max(2, round(0.004 * gray.shape[1]))
    here = _dips(gray, points, upright, reach).mean()
    aside = np.where(upright[:, None], (5.0 * reach, 0.0), (0.0, 5.0 * reach))
    beside = max(_dips(gray, points + side, upright, reach).mean() for side in (aside, -aside))
    return float(np.clip((here - beside) / max(1 - beside, 0.05), 0, 1))


def _dips(gray: Gray, points: Points, upright: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """Whether the page is darker at each point, give or take `reach` pixels, than on both sides of it."""
    beside = np.arange(-2 * reach - 1, 2 * reach + 2)
    c = np.rint(points[:, :1]).astype(int) + np.where(upright[:, None], beside, 0)
    r = np.rint(points[:, 1:]).astype(int) + np.where(upright[:, None], 0, beside)
    inside = ((c >= 0) & (r >= 0) & (c < gray.shape[1]) & (r < gray.shape[0])).all(1)
    across = gray[np.clip(r, 0, gray.shape[0] - 1), np.clip(c, 0, gray.shape[1] - 1)].astype(np.float32)
    mean = cv2.blur(across, (1, 5), borderType=cv2.BORDER_REPLICATE)
    noise = float(np.median(np.abs(np.diff(mean[::8], axis=1))))
    line = mean[:, reach:-reach].min(1)
    paper = np.minimum(mean[:, :reach].mean(1), mean[:, -reach:].mean(1))
    return np.asarray(inside & (paper - line > max(_FAINT_LINE, 4 * noise)), np.bool_)


def project(points: Points, matrix: Matrix) -> Points:
    """Points (N, 2) through a 3x3 homography."""
    return np.asarray(cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix), np.float64).reshape(-1, 2)


def align(gray: Gray, size: tuple[int, int], lines: Sequence[Line]) -> Matrix | None:
    """Homography, template to page pixels, that lays the template's lines onto the page's; None if they differ.

    First stretch and shift along each axis, from the profiles of the line masks; then each sampled point
    is drawn to the nearest line across it and the homography refitted, within ever smaller distances.
    """
    across, down = masks(gray, 16)
    points, upright = sample(tuple(lines))
    h, w = gray.shape
    level = sorted({round(y1) for _, y1, _, y2 in lines if abs(y2 - y1) < 4})
    plumb = sorted({round(x1) for x1, _, x2, _ in lines if abs(x2 - x1) < 4})
    if len(level) < 2 or len(plumb) < 2:
        return None
    sy, ty = _stretch(across.mean(1), np.array(level, float), h / size[1])
    sx, tx = _stretch(down.mean(0), np.array(plumb, float), w / size[0])
    matrix: Matrix = np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]], float)
    for reach in (0.02, 0.012, 0.008, 0.006):
        placed = project(points, matrix)
        drawn, good = _drawn(across, down, placed, upright, max(3, round(reach * w)))
        if good.sum() < 8:
            return None
        fitted, _ = cv2.findHomography(points[good], drawn[good], cv2.RANSAC, max(2.0, 0.003 * w))
        if fitted is None:
            return None
        matrix = np.asarray(fitted, np.float64)
    return matrix


def _stretch(profile: npt.NDArray[np.float64], at: npt.NDArray[np.float64], guess: float) -> tuple[float, float]:
    """Scale and offset that put positions `at` on the peaks of a profile.

    A page is mostly scanned whole, so of two that fit alike, as on a regular grid, the one nearer to
    `guess` and 0 is taken.
    """
    n = len(profile)
    smooth = cv2.GaussianBlur(profile.reshape(1, -1), (0, 0), max(1.0, n / 400)).ravel()
    best = (-1.0, guess, 0.0)
    for scale in guess * np.linspace(0.85, 1.15, 61):
        offsets = np.arange(-0.15 * n, 0.15 * n, max(1.0, n / 800))
        index = np.rint(at[None, :] * scale + offsets[:, None]).astype(int)
        inside = (index >= 0) & (index < n)
        value = np.where(inside, smooth[np.clip(index, 0, n - 1)], 0).sum(1)
        value *= 1 - 0.25 * np.abs(offsets) / (0.15 * n) - 0.25 * abs(np.log(scale / guess)) / np.log(1.15)
        k = int(np.argmax(value))
        if value[k] > best[0]:
            best = (float(value[k]), float(scale), float(offsets[k]))
    return best[1], best[2]


def _drawn(
    across: Gray, down: Gray, points: Points, upright: npt.NDArray[np.bool_], reach: int
) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Points moved onto the nearest line pixel, up or down for level lines and sideways for upright ones."""
    h, w = across.shape
    shifts = np.array(sorted(range(-reach, reach + 1), key=abs))
    columns, rows = np.rint(points[:, 0]).astype(int), np.rint(points[:, 1]).astype(int)
    c = columns[:, None] + np.where(upright[:, None], shifts[None, :], 0)
    r = rows[:, None] + np.where(upright[:, None], 0, shifts[None, :])
    inside = (c >= 0) & (r >= 0) & (c < w) & (r < h)
    c, r = np.clip(c, 0, w - 1), np.clip(r, 0, h - 1)
    hit = inside & (np.where(upright[:, None], down[r, c], across[r, c]) > 0)
    near = np.where(hit, np.abs(shifts)[None, :], 10**6)
    least = near.min(1, keepdims=True)
    ties = hit & (near <= least + 3)
    moved = (ties * shifts[None, :]).sum(1) / np.maximum(ties.sum(1), 1)
    out = points.copy()
    out[:, 0] = np.where(upright, columns + moved, points[:, 0])
    out[:, 1] = np.where(upright, points[:, 1], rows + moved)
    return out, hit.any(1)
