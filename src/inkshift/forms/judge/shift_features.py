"""How a field looks, in figures that do not depend on what is written: what may differ from the training data."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from inkshift.arrays import Floats, Gray, Pixels
from inkshift.forms.cut import ink as inks
from inkshift.forms.field.numbers import ink_band
from inkshift.reframe import ground_of, to_gray


@dataclass(frozen=True, slots=True)
class Feature:
    """One figure of a crop. more, less: how to say that it is higher or lower than another's."""

    name: str
    what: str
    more: str
    less: str


FEATURES = (
    Feature("size", "height of the digits, pixels", "digits are larger", "digits are smaller"),
    Feature("pen", "width of the stroke, in digit heights", "the pen is thicker", "the pen is thinner"),
    Feature(
        "slant", "how far the top leans to the right, in digit heights", "leans more to the right", "leans more left"
    ),
    Feature("contrast", "how much darker than its paper ink is, 0 to 1", "ink is darker", "ink is fainter"),
    Feature(
        "sharpness", "steepness of the edges, share of the contrast a pixel", "edges are sharper", "edges are softer"
    ),
    Feature("background", "darkness beside the ink, share of the ink's", "paper is busier", "paper is cleaner"),
    Feature(
        "pitch", "width of the number for each digit, in digit heights", "digits are wider apart", "digits are tighter"
    ),
    Feature("digits", "how many digits were read", "numbers are longer", "numbers are shorter"),
)


def features(crop: Pixels, digits: int) -> Floats:
    """The figures of one crop, (8,) in the order of `FEATURES`; all NaN but `digits` where there is no ink.

    crop: (H, W) or (H, W, 3) RGB uint8, one field. digits: how many were read in it.
    """
    out = np.full(len(FEATURES), np.nan)
    out[-1] = digits
    dark = inks.darkness(crop)
    ink = inks.line_ink(dark)
    top, bottom = ink_band(inks.line_ink(dark))
    mask = (ink > 0).view(np.uint8)
    mask[:top] = mask[bottom:] = 0
    if np.count_nonzero(mask) < 8:
        return out
    size, ground = bottom - top, ground_of(to_gray(crop))
    level = float(np.median(dark[mask > 0]))
    columns = np.flatnonzero(mask.any(0))
    width = float(columns[-1] - columns[0] + 1)
    out[:-1] = (
        size,
        _pen(mask, size),
        _slant(mask, size),
        level / (255 if ground < inks.LIGHT_ON_DARK else ground),
        _sharpness(dark, mask, level),
        _background(dark, ink, level),
        width / size / max(digits, 1),
    )
    return out


def _pen(mask: Gray, size: int) -> float:
    """Width of the stroke: four times the mean distance of its pixels' middles from its edge, as in a strip."""
    height = 48  # pixels, so that a pen of any scan is several wide
    zoom = height / size
    fit = max(2, round(mask.shape[1] * zoom)), max(2, round(mask.shape[0] * zoom))
    large = (cv2.resize(mask * np.uint8(255), fit, interpolation=cv2.INTER_LINEAR) > 127).view(np.uint8)
    inside = cv2.distanceTransform(np.pad(large, 1), cv2.DIST_L2, 3)
    return 4 * (float(inside[inside > 0].mean()) - 0.5) / height if large.any() else 0.0


def _slant(mask: Gray, size: int) -> float:
    """How the pieces of the height of a digit lean: the shear that their second moments show, by their ink."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    lean = mass = 0.0
    for k in np.flatnonzero(stats[:, cv2.CC_STAT_HEIGHT] >= 0.5 * size):
        if k == 0:
            continue
        x, y, w, h = stats[k, :4]
        m = cv2.moments((labels[y : y + h, x : x + w] == k).view(np.uint8), binaryImage=True)
        lean -= m["mu11"] / max(m["mu02"], 1e-6) * m["m00"]
        mass += m["m00"]
    return float(np.clip(lean / mass, -2, 2)) if mass else 0.0


def _sharpness(dark: Gray, mask: Gray, level: float) -> float:
    """The tenth steepest of a hundred pixels in and around the ink."""
    across = cv2.Sobel(dark, cv2.CV_32F, 1, 0) / 8
    down = cv2.Sobel(dark, cv2.CV_32F, 0, 1) / 8
    steep = np.hypot(across, down)[inks.grown(mask, 3, 3) > 0]
    return float(np.percentile(steep, 90)) / max(level, 1.0)


def _background(dark: Gray, ink: Gray, level: float) -> float:
    around = inks.grown((ink > 0).view(np.uint8), 5, 5) == 0
    return float(dark[around].mean()) / max(level, 1.0) if around.any() else 0.0
