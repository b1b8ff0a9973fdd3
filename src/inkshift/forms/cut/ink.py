"""Paper, printed rules and boxes away; ink left.

Everything here works on a crop (H, W) or (H, W, 3) RGB uint8 and leaves light ink on black.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.reframe import ground_of, median_of, percentile_of, to_gray

# Ink is at least this much darker than its paper (gray levels): less is show-through.
FAINTEST = 12
# So many times the upper quartile of a crop's darkness is no noise of its paper.
_NOISE = 5.0
# Pixels so much more saturated than their paper (0 to 255) are coloured print; pens stay below it or share no rule.
COLOURED = 45
# Paper darker than this (0 to 255) is dark paper with light ink.
LIGHT_ON_DARK = 96
# Share of the middle of a crop that is light only where that is paper. Share of the darkness of coloured rules by which
# a pen of their colour is darker.
_MOSTLY, _DARKER = 0.7, 0.4
# No digit is wider than so many heights of its crop; what is so long, as a share of its width, goes from side to side;
# a crop narrower than so many heights may hold one digit alone. Shares of a crop that sides of a frame lie apart.
_WIDER, _FROM_SIDE, _NARROW, _APART = 1.1, 0.95, 0.8, 0.45
# Pixels of the shorter side of what is a page and no crop of a number. Share of a crop's height: what is at least so
# high may be a digit. Share of a crop's width from its side at which a rule begins at most.
_PAGE, _AS_HIGH, _AT_SIDE = 500, 0.18, 0.04


def darkness(image: npt.NDArray[np.uint8], window: int = 0) -> Gray:
    """How much darker than the paper around it each pixel is: (H, W) uint8, 0 is paper.

    Coloured rules are dropped out first; light ink on dark paper is turned round; slow shading is levelled.
    window: pixels within which there is paper to be seen everywhere; half of the shorter side if not given.
    """
    gray = _without_coloured_rules(image) if image.ndim == 3 else to_gray(image)
    if on_dark_paper(gray):
        gray = np.asarray(cv2.bitwise_not(gray), np.uint8)
    window = max(15, window or min(gray.shape) // 2)
    shrink = max(1.0, window / 15)
    size = max(2, round(gray.shape[1] / shrink)), max(2, round(gray.shape[0] / shrink))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA) if shrink > 1 else gray
    paper = cv2.medianBlur(cv2.dilate(small, np.ones((3, 3), np.uint8)), 15)
    if window >= min(gray.shape) // 2:
        paper = np.maximum(paper, np.uint8(median_of(np.asarray(small, np.uint8))))
    if paper.shape != gray.shape:
        paper = cv2.resize(paper, gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.subtract(paper, gray), np.uint8)


def middle_of(values: npt.NDArray[np.generic]) -> float:
    """The median of a few numbers, at least one: NumPy's own takes many times as long for them."""
    flat = np.sort(values, axis=None)
    return (float(flat[(len(flat) - 1) // 2]) + float(flat[len(flat) // 2])) / 2


def padded(mask: npt.NDArray[np.generic], by: int) -> Gray:
    """A mask, (H, W) bool or uint8, with so many pixels more on each side."""
    return np.asarray(cv2.copyMakeBorder(mask.view(np.uint8), by, by, by, by, cv2.BORDER_CONSTANT), np.uint8)


def on_dark_paper(gray: Gray) -> bool:
    """Whether a crop, (H, W) uint8, shows light ink on dark paper: not where its middle is mostly light, which a thick
    dark frame around light paper leaves."""
    ground = ground_of(gray)
    if ground >= LIGHT_ON_DARK:
        return False
    h, w = gray.shape
    middle = gray[h // 5 : h - h // 5, w // 5 : w - w // 5]
    far = max(LIGHT_ON_DARK, (ground + int(gray.max())) // 2)
    return not middle.size or float(np.mean(middle > far)) < _MOSTLY


def runs(mask: Gray, height: int, width: int) -> Gray:
    """Pixels of a 0/1 mask that lie in a filled rectangle of that size; beyond the border there is no ink.

    Sides are made odd: an even one would shift the mask by a pixel.
    """
    height, width = height | 1, width | 1
    if cv2.reduce(mask, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).max() < width:
        return np.zeros_like(mask)  # as most masks: no row has ink enough, and opening by a long rectangle is slow
    kernel = np.ones((height, width), np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.asarray(opened, np.uint8)


def grown(mask: Gray, height: int, width: int) -> Gray:
    """A 0/1 mask dilated by a rectangle of that size."""
    return np.asarray(cv2.dilate(mask, np.ones((height, width), np.uint8)), np.uint8)


def _without_coloured_rules(crop: npt.NDArray[np.uint8]) -> Gray:
    """Gray picture in which printing of the colour of the long straight rules is as light as paper."""
    gray = to_gray(crop)
    hsv = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2HSV)
    saturation = np.asarray(cv2.extractChannel(hsv, 1), np.uint8)
    base = int(median_of(saturation))  # what the paper itself has: yellow and pink paper is no print
    coloured = (saturation > base + COLOURED).view(np.uint8)
    h, w = coloured.shape
    if cv2.countNonZero(coloured) < 0.01 * h * w:
        return gray
    rules = _coloured_rules(coloured)
    if rules.sum() < 0.01 * h * w:
        return gray
    hue = float(np.median(hsv[..., 0][rules]))
    away = np.abs((hsv[..., 0].astype(np.float32) - hue + 90) % 180 - 90)
    print_ = ((away < 15) & (hsv[..., 1] > base + COLOURED // 2)).astype(np.uint8)
    paper = int(median_of(gray[coloured == 0])) if (coloured == 0).any() else 255
    # A pen may share the colour of the print: what is clearly darker than the rules was written.
    level = float(np.median(gray[rules]))
    print_ &= (gray >= level - max(2 * FAINTEST, _DARKER * (paper - level))).astype(np.uint8)
    if min(h, w) < _PAGE and _all_that_is_written(print_, rules, gray < paper - FAINTEST):
        return gray
    return np.where(cv2.dilate(print_, np.ones((2, 2), np.uint8)) > 0, np.maximum(gray, paper), gray).astype(np.uint8)


def _all_that_is_written(print_: Gray, rules: npt.NDArray[np.bool_], dark: npt.NDArray[np.bool_]) -> bool:
    """Whether what has the colour of a crop's rules holds pieces as high as digits, and the rest of its ink none."""
    least = _AS_HIGH * len(print_)
    away = grown(rules.view(np.uint8), 5, 5) == 0

    def tallest(mask: npt.NDArray[np.bool_]) -> float:
        stats = cv2.connectedComponentsWithStats(mask.view(np.uint8))[2][1:]
        wide = stats[:, cv2.CC_STAT_WIDTH] > 0.5 * least
        return float(stats[wide, cv2.CC_STAT_HEIGHT].max(initial=0))

    return tallest((print_ > 0) & away) >= least > tallest(dark & (grown(print_, 5, 5) == 0))


def _coloured_rules(coloured: Gray) -> npt.NDArray[np.bool_]:
    """Long straight lines of a 0/1 mask, (H, W) bool: on a page those as long as a third of its width or half of its
    height; in a crop level ones longer than any digit is wide, two far apart or one that begins at a side, and upright
    ones beside these; or the four sides of a frame.

    The bar of a 7 or the stem of a 1 in a close crop, by a coloured pen, is as long as what is seen of a rule; a line
    that strikes out a number is as long as one too, but lies between the crop's sides.
    """
    h, w = coloured.shape
    half_down = runs(coloured, max(9, h // 2), 1)
    if min(h, w) >= _PAGE:
        return (runs(coloured, 1, w // 3) | half_down) > 0
    half_across = runs(coloured, 1, max(9, w // 2))
    rows, columns = np.flatnonzero(half_across.any(1)), np.flatnonzero(half_down.any(0))
    if _far_apart(rows, h) and _far_apart(columns, w):
        return (half_across | half_down) > 0
    level = runs(coloured, 1, max(9, w // 3, round(min(_WIDER * h, _FROM_SIDE * w))))
    if not _far_apart(np.flatnonzero(level.any(1)), h):
        level = _from_a_side(level)
    return (level | half_down if level.any() and w >= _NARROW * h else np.zeros_like(level)) > 0


def _from_a_side(level: Gray) -> Gray:
    """The pieces of a 0/1 mask that reach its left or right side."""
    if not level.any():
        return level
    _, labels, stats, _ = cv2.connectedComponentsWithStats(level)
    x, wide = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_WIDTH]
    room = max(3, round(_AT_SIDE * level.shape[1]))
    keep = (x <= room) | (x + wide >= level.shape[1] - room)
    keep[0] = False
    return np.asarray(keep[labels], np.uint8)


def _far_apart(places: npt.NDArray[np.int64], size: int) -> bool:
    return bool(len(places)) and int(places[-1] - places[0]) > _APART * size


def threshold_of(dark: Gray, reference: float | None = None) -> float:
    """The darkness that separates ink from paper: Otsu's, but above what the paper's own noise reaches.

    reference: how dark ink is on this page (see `ink_level`), so that an empty box is not searched for
    the darkest of its specks.
    """
    level, paper = cv2.threshold(dark, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    mean, spread = cv2.meanStdDev(dark, mask=paper)
    noise = float(mean[0, 0] + 3 * spread[0, 0])
    floor = 0.33 * reference if reference is not None else 0.0
    return max(0.85 * level, noise, floor, FAINTEST)


def faintest(dark: Gray) -> float:
    """The darkness that the paper's own noise hardly reaches: a digit may be far paler than its neighbours."""
    return max(_NOISE * percentile_of(dark, 75), FAINTEST)


def ink_level(darks: Sequence[Gray]) -> float:
    """How dark ink is over several crops of a page: the median over crops of the darkest hundredth of each."""
    levels = [_darkest(dark[::2, ::2].ravel()) for dark in darks]
    written = [level for level in levels if level > 2 * FAINTEST]
    return middle_of(np.array(written)) if written else 2.0 * FAINTEST


def _darkest(dark: Gray) -> float:
    """The level that one pixel in a hundred is darker than."""
    at = int(0.99 * (len(dark) - 1))
    return float(np.partition(dark, at)[at]) if len(dark) else 0.0


def extract(dark: Gray, threshold: float) -> Gray:
    """Ink (H, W) uint8: 0 on paper, else the darkness stretched so that full ink is 255.

    Ink is what passes the threshold, and what passes six tenths of it and hangs on to that: the thin
    parts of a stroke (hysteresis, as in Canny 1986).
    """
    strong = (dark > threshold).view(np.uint8)
    if not strong.any():
        return np.zeros_like(dark)
    weak = (dark > 0.6 * threshold).view(np.uint8)
    mask = grown(grown(strong, 3, 3) & weak, 3, 3) & weak
    full = max(1.15 * cv2.mean(dark, mask=strong)[0], threshold + 1)
    scaled = cv2.convertScaleAbs(dark, alpha=255 / full)
    return np.asarray(np.maximum(scaled, 40) * mask, np.uint8)


def without_dark_rules(dark: Gray, *, across: int) -> Gray:
    """Darkness without level rules, so that a printed line does not set the threshold for faint ink."""
    mask = (dark > max(0.7 * threshold_of(dark), 1.5 * FAINTEST)).view(np.uint8)
    return np.asarray(dark * (_rules(mask, across) == 0), np.uint8)


def without_rules(ink: Gray, *, across: int, down: int) -> Gray:
    """Ink without straight rules, strokes that cross them kept.

    across, down: shortest rule in pixels, horizontally and vertically; 0 leaves that direction alone.
    A pixel of a rule goes unless the ink through it, at right angles to the rule, is thicker than the rule.
    """
    mask = (ink > 0).astype(np.uint8)
    gone = np.zeros_like(mask)
    if across and across < ink.shape[1]:
        gone |= _rules(mask, across)
    if down and down < ink.shape[0]:
        gone |= np.ascontiguousarray(_rules(np.ascontiguousarray(mask.T), down).T)
    return np.asarray(ink * (gone == 0), np.uint8)


def _rules(mask: Gray, length: int) -> Gray:
    """Pixels of horizontal rules at least `length` long; small gaps and a slight tilt are bridged."""
    bridge = np.ones((1, max(3, length // 16 | 1)), np.uint8)
    joined = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, bridge), np.uint8)
    found = runs(grown(joined, 3, 1) if length > 60 else joined, 1, length)
    if not found.any():
        return np.zeros_like(mask)
    line = found & mask
    heights = line.sum(0)
    thick = int(middle_of(heights[heights > 0]))
    tall = runs(mask, thick + 3, 1)
    return np.asarray(grown(found, 3, 1) & mask & (1 - tall), np.uint8)


def line_ink(dark: Gray, reference: float | None = None) -> Gray:
    """Ink of a line of digits without printed rules, from its darkness (H, W) uint8.

    Level rules go before the threshold is chosen, or faint ink would be judged by them. Upright ones go only
    where level ones show that there is a box: a 1 may fill a tight crop from top to bottom.
    """
    h, w = dark.shape
    length = _rule_length(h, w)
    unruled = without_dark_rules(dark, across=length)
    ink = extract(unruled, threshold_of(unruled, reference))
    ink = without_rules(ink, across=length, down=0)
    boxed = np.count_nonzero(dark) - np.count_nonzero(unruled) > 0.6 * w
    return without_rules(ink, across=0, down=round(0.75 * h)) if boxed else ink


def _rule_length(height: int, width: int) -> int:
    """How long a level stroke must be to be no part of a digit."""
    return max(round(0.55 * width), round(1.3 * height)) if width > 1.3 * height else round(0.9 * width)


def find_wall(mask: Gray) -> tuple[int, int] | None:
    """First and last column of a printed upright line in a 0/1 mask of the strip that it should be in, or None.

    A wall covers at least 45 % of the height; it may be broken or tilted by a pixel or two.
    """
    if not mask.size:
        return None
    wide = grown(mask, 1, 3)
    cover = (cv2.reduce(wide, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0] / len(wide)).tolist()
    most = max(cover)
    if most < 0.45:
        return None
    floor = max(0.45, 0.7 * most)
    first = last = cover.index(most)
    while first > 0 and cover[first - 1] >= floor:
        first -= 1
    while last + 1 < len(cover) and cover[last + 1] >= floor:
        last += 1
    return first, last


def remove_wall(ink: Gray, wall: tuple[int, int]) -> None:
    """Take an upright line in columns `wall` (first, last) out of the ink, in place; strokes that cross it stay."""
    first, last = wall
    reach = last - first + 6
    start = max(first - reach, 0)
    around = ink[:, start : last + reach + 1]
    wide = runs((around > 0).view(np.uint8), 1, reach)
    band = slice(max(first - 1, 0) - start, last + 2 - start)
    around[:, band][wide[:, band] == 0] = 0
