"""What is printed in and around a field of a template, so that only what was written is left.

Two ways to know it: a picture of the blank form, cut as the field is; or the straight lines along the sides of the
field's box. Both give a mask of print. Strokes that cross print are kept. See also `borders` and `dots`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Box, Gray, Mask
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.sides import KNOWN, SLACK, THICKEST, SideLine, find_line, quarter_turned, stroke_mask, take
from inkshift.reframe import median_of

# Pixels that a field may lie off its reference picture after it was laid.
REACH = 3


def from_reference(dark: Gray, blank: Gray, gain: float | None = None) -> Mask:
    """Print in a crop: (H, W) bool.

    dark: the crop's darkness (`ink.darkness`), (H, W) uint8. blank: that of the same place on the blank form. gain: how
    much darker print is in the crop than there; found if not given. Where the
    two lie a few pixels off each other is found by correlation. Ink that is clearly darker than the print
    under it is written, and so is ink on print between two pieces of one stroke.
    """
    level = inks.threshold_of(blank)
    core = blank > level
    if not core.any():
        return np.zeros(dark.shape, bool)
    blank = _laid_on(dark, blank)
    core = blank > level
    darker_by = _gain(dark, blank, core) if gain is None else gain
    expected = inks.grown(blank, 3, 3).astype(np.float32) * darker_by
    near = inks.grown((blank > min(level, 2 * inks.FAINTEST)).view(np.uint8), 3, 3) > 0
    darker = dark > expected + np.maximum(0.35 * expected, 2 * inks.FAINTEST)
    return without_crossings(dark, near & ~darker)


def _laid_on(dark: Gray, blank: Gray) -> Gray:
    """The blank form's crop, moved by at most REACH pixels to where the print of the page is."""
    if min(dark.shape) <= 2 * REACH:
        return blank
    soft = cv2.GaussianBlur(dark, (3, 3), 0)
    inner = cv2.GaussianBlur(blank, (3, 3), 0)[REACH:-REACH, REACH:-REACH]
    if not inner.any():
        return blank
    fit = cv2.matchTemplate(soft, inner, cv2.TM_CCORR_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(fit)
    if not np.isfinite(best) or best < fit[REACH, REACH] + 0.01:
        return blank
    matrix = np.array([[1, 0, x - REACH], [0, 1, y - REACH]], np.float32)
    return np.asarray(cv2.warpAffine(blank, matrix, blank.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _gain(dark: Gray, blank: Gray, core: Mask) -> float:
    """How much darker print is on this page than on the blank form: 0.5 to 2."""
    if not core.any():
        return 1.0
    return min(max(median_of(dark[core]) / max(median_of(blank[core]), 1.0), 0.5), 2.0)


def from_box(dark: Gray, box: Box) -> Mask:
    """The lines of a field's printed box and what lies beyond them: (H, W) bool.

    box: xmin, ymin, xmax, ymax in pixels of the crop. A side is printed where a straight line covers most of it from
    corner to corner; one that is not found is left alone.
    """
    mask, faint = stroke_mask(dark), dark > inks.FAINTEST
    h, w = dark.shape
    x0, y0, x1, y1 = (min(max(v, 0), limit) for v, limit in zip(box, (w, h, w, h), strict=True))
    print_ = np.zeros(dark.shape, bool)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return print_
    slack = max(3, round(SLACK * min(x1 - x0, y1 - y0)))
    thickest = max(2, round(THICKEST * min(x1 - x0, y1 - y0)))
    for turn, (first, last), (near, far), size in (
        (0, (x0, x1), (y0, h - y1), h),
        (2, (w - x1, w - x0), (h - y1, y0), h),
        (1, (y0, y1), (w - x1, x0), w),
        (3, (h - y1, h - y0), (x0, w - x1), w),
    ):
        # Turned so that the side lies on top; `along` are the columns between the corners.
        turned = quarter_turned(mask, turn)
        strip = turned[max(near - slack, 0) : min(near + slack, size - far), first:last]
        found = find_line(strip, KNOWN, thickest)
        if found is not None:
            base = max(near - slack, 0)
            line = SideLine((found.ends[0] + base, found.ends[1] + base), found.thick)
            take(quarter_turned(print_, turn), turned, quarter_turned(faint, turn), line, (first, last))
    return without_crossings(dark, print_)


def without_crossings(dark: Gray, print_: Mask) -> Mask:
    """Print without the pixels where a stroke crosses it: those between ink on both sides of it."""
    if not print_.any():
        return print_
    rest = dark * ~print_
    threshold = inks.threshold_of(rest)
    pen = (rest > threshold) & ~print_
    if not pen.any():
        return print_
    depth = cv2.distanceTransform(inks.padded(print_, 1), cv2.DIST_L2, 3)
    side = round(2 * inks.middle_of(depth[1:-1, 1:-1][print_]) + 3) | 1
    inked = print_ & (dark > threshold)
    if not (inked & (inks.grown(pen.view(np.uint8), side, side) > 0)).any():
        return print_
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    joined = cv2.morphologyEx(inks.padded(pen, side), cv2.MORPH_CLOSE, kernel)[side:-side, side:-side]
    return np.asarray(print_ & ~(inked & (joined > 0)), np.bool_)


def painted_out(picture: npt.NDArray[np.uint8], dark: Gray, print_: Mask) -> npt.NDArray[np.uint8]:
    """A crop, (H, W) or (H, W, 3) uint8, with paper where print is; dark: its darkness (H, W) uint8."""
    if not print_.any():
        return picture
    plain = picture[~print_ & (dark <= inks.FAINTEST)]
    channels = plain.reshape(len(plain), -1).T
    level = [median_of(channel) for channel in channels] if len(plain) else np.max(picture, axis=(0, 1))
    out = picture.copy()
    out[print_] = np.asarray(level, np.uint8)
    return out
