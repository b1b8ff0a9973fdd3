"""Printed lines of a page."""

from __future__ import annotations

import cv2
import numpy as np

from inkshift.arrays import Gray
from inkshift.forms.cut.ink import runs

Line = tuple[float, float, float, float]


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
