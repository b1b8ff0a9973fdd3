"""A number as a line recogniser is to see it: a crop becomes several views of the line, framed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components
from inkshift.forms.field import signs
from inkshift.models.ctc import HEIGHT, STRIDE, LineProbabilities, align, allowed, collapse, fold
from inkshift.models.package import Model
from inkshift.models.runtime import Recogniser, symbol_recogniser
from inkshift.reframe import Reframing, median_of, to_gray

# Shares of a crop's height: below the first, a number in it is small and all views look closely; the second, as low as
# a digit may be. Pixels: digits are at least so high. Of a small number's height: what is seen of the crop around it.
# A dot is round: of its box so much is ink, where its edge is drawn in a few pixels.
_LOW, _LOWEST_SHARE, _LOWEST, _AROUND, _ROUND = 0.3, 0.035, 8, 0.35, 0.62
# Heights of a number that are seen beside it.
_BESIDE = 1.0
_ROOM = 0.14


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a crop. band: cut to the rows that hold ink, with `room` of its height above and below.

    shear: how far the top is moved right, in heights. wide: how much it is stretched along the line. level: slow
    shading and the paper's gray taken out.
    """

    band: bool
    room: float = _ROOM
    shear: float = 0.0
    wide: float = 1.0
    level: bool = True


# Classes of a recogniser that are signs.
SIGNS = {",": signs.COMMA, "-": signs.DASH, "/": signs.SLASH, "%": signs.PERCENT}
ONE = (View(band=True),)
VIEWS = (
    View(band=True),
    View(band=False),
    View(band=False, level=False),
    View(band=True, room=0.1, shear=0.12, wide=1.2),
    View(band=True, room=0.2, shear=-0.18, level=False),
)


class Line:
    """A number as a recogniser is to see it, in any of several ways.

    band: first and last row of its ink, the last left out; left: first column that is shown; in pixels of the crop that
    it was made from.
    """

    def __init__(
        self,
        crop: npt.NDArray[np.uint8],
        dark: Gray,
        ink: Gray | None = None,
        reference: float | None = None,
    ) -> None:
        """crop: (H, W) or (H, W, 3) uint8. dark: how much darker than its paper each pixel is (`ink.darkness`).
        ink: its ink without printed rules (`ink.line_ink`), where that is known; both (H, W) uint8. reference: how dark
        ink is on its page (`ink.ink_level`)."""
        self.band = top, bottom = ink_band(inks.line_ink(dark) if ink is None else ink)
        if bottom - top < _LOW * len(dark):
            room = round(_AROUND * (bottom - top))
            first = max(top - room, 0)
            crop, dark = crop[first : bottom + room], dark[first : bottom + room]
            top, bottom = top - first, bottom - first
        self.left, right = _with_ink(dark, round(_BESIDE * (bottom - top)), reference)
        crop, dark = crop[:, self.left : right], dark[:, self.left : right]
        self._crop, self._dark, self._rows = crop, dark, (top, bottom)
        self._shown: dict[bool, tuple[Gray, int]] = {}

    def pictures(self, frame: Reframing, views: Sequence[View] = VIEWS) -> list[Gray]:
        """What each view shows of it, framed for the recogniser."""
        for level in {view.level for view in views} - set(self._shown):
            picture = _shown(self._crop, self._dark, level)
            self._shown[level] = picture, int(median_of(picture))
        return [frame(_seen(*self._shown[view.level], view, self._rows)) for view in views]


def _shown(crop: npt.NDArray[np.uint8], dark: Gray, level: bool) -> Gray:
    """The crop as (H, W) uint8, dark on light, levelled or as it is."""
    plain = dark if level else to_gray(crop)
    turned = level or inks.on_dark_paper(plain)
    return np.asarray(cv2.bitwise_not(plain), np.uint8) if turned else plain


def digit_boxes(line: Line, text: str, seen: LineProbabilities) -> list[tuple[int, int, int, int]]:
    """xmin, ymin, xmax, ymax of each digit in pixels of the crop, as the first view of `VIEWS` saw it; [] where not.

    seen: (T, 11) of that view. A recogniser tells where a digit is to about a third of its width.
    """
    top, bottom = line.band
    high = (bottom - top) * (1 + 2 * VIEWS[0].room)
    step = high * STRIDE / HEIGHT
    middles = [(first + last + 1) / 2 * step for first, last in align(seen, text)]
    half = 0.3 * (bottom - top)
    edges = [(a + b) / 2 for a, b in pairwise(middles)]
    lefts = [max(m - half, e) for m, e in zip(middles, [-np.inf, *edges], strict=True)] if middles else []
    rights = [min(m + half, e) for m, e in zip(middles, [*edges, np.inf], strict=True)] if middles else []
    return [
        (line.left + max(round(a), 0), top, line.left + round(b), bottom) for a, b in zip(lefts, rights, strict=True)
    ]


def _with_ink(dark: Gray, room: int, reference: float | None) -> tuple[int, int]:
    """First and last column, the last left out, of what may be ink and `room` pixels beside it; of the middle where
    none is.

    Far from any digit, on paper without a speck, a recogniser is less and less sure that there is nothing. Ink is what
    the paper's own noise hardly reaches: a digit may be far paler than its neighbours.
    """
    width = dark.shape[1]
    level = max(min(inks.faintest(dark), 0.5 * inks.threshold_of(dark, reference)), inks.FAINTEST)
    columns = np.flatnonzero(np.count_nonzero(dark > level, axis=0) > 1)
    first, last = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (width // 2, width // 2)
    return max(first - room, 0), min(last + room, width)


def ink_band(ink: Gray) -> tuple[int, int]:
    """First and last row, the last left out, of what is written in the ink of a line; stray specks do not count.

    All rows where there is little ink, or nothing that may be a digit: a dot or a dash is not to be looked at closely.
    """
    h = ink.shape[0]
    rows = np.count_nonzero(ink, axis=1)
    total = int(rows.sum())
    if total < 8:
        return 0, h
    mass = np.cumsum(rows)
    core = int(np.searchsorted(mass, 0.02 * total)), int(np.searchsorted(mass, 0.98 * total)) + 1
    if core[1] - core[0] >= _LOW * h:
        return core
    _, stats = components(ink)
    _, y, wide, high, area = stats.T
    filled = area / (wide * high)
    dots = (high < 2 * _LOWEST_SHARE * h) & (wide > 0.8 * high) & (filled > _ROUND)
    stroked = (filled < 0.7) | (high > 1.8 * wide)
    digits = (high >= max(_LOWEST, _LOWEST_SHARE * h)) & (wide <= 2 * high) & stroked & ~dots
    return (int(y[digits].min()), int((y + high)[digits].max())) if digits.any() else (0, h)


def _seen(picture: Gray, paper: int, view: View, band: tuple[int, int]) -> Gray:
    h, w = picture.shape
    top, bottom = band if view.band else (0, h)
    room = view.room * (bottom - top) if view.band else 0.0
    y0, y1 = top - room, bottom + room
    if not view.shear and view.wide == 1 and y0 >= 0 and y1 <= h:
        return picture[int(y0) : int(np.ceil(y1))]
    extra = abs(view.shear) * (y1 - y0)
    width = max(4, round((w + extra) * view.wide))
    start = extra if view.shear < 0 else 0.0
    # Rows above move by the shear; what the crop does not hold is paper.
    matrix = np.array(
        [[view.wide, -view.shear * view.wide, (start + view.shear * y1) * view.wide], [0, 1, -y0]], np.float32
    )
    size = (width, max(4, int(np.ceil(y1 - y0))))
    seen = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(paper,))
    return np.asarray(seen, np.uint8)


@dataclass(frozen=True, slots=True)
class NumberReader:
    """A line recogniser and how it is used: the first view decides alone where it is sure and there is no second
    recogniser; else the others are looked at too, and the second one, which takes crops as they are.

    run: gives the probabilities of all its classes, marks too. marks: the classes that are signs, with their names.
    struck: which class is something struck out, if one is.
    """

    frame: Reframing
    run: Recogniser
    calibration: Mapping[str, float]
    views: Sequence[View]
    second: Recogniser | None
    marks: Mapping[int, str]
    struck: int | None

    def signs_seen(self, steps: LineProbabilities) -> tuple[signs.Sign, ...]:
        """What a view, (T, classes), shows beside the digits that may change their value."""
        read, best = fold(steps).argmax(1), steps.argmax(1)
        found = []
        for symbol, name in self.marks.items():
            at = np.flatnonzero((best == symbol) & (steps[:, symbol] > 0.5))
            for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else ():
                before, behind = collapse(read[: run[0]]), collapse(read[run[-1] :])
                found.append(signs.Sign(name, float(steps[run, symbol].max()), len(before), len(behind)))
        return tuple(found)

    def is_sure(
        self, texts: Mapping[str, float], digits: tuple[int, int], largest: int | None, struck: float = 0.0
    ) -> bool:
        """Whether what the first view makes of a number stands: a likely text that the field allows, or nothing.

        Nothing does not stand where something looks struck out, see `PreparedNumber`: what it was is to be found.
        A number never stands where a second reader can be asked: one view alone is wrong with some confidence where two
        readers would differ. Packages without the constant `sure` never are.
        """
        best, share = next(iter(texts.items()))
        if best and self.second:
            return False
        fits = allowed(best, digits, largest) if best else struck <= 0.5
        return share >= self.calibration.get("sure", np.inf) and fits


def number_reader(model: Model, second_reader: str | None = None) -> NumberReader:
    """A reader of whole numbers from a package. second_reader: `pp-ocrv6` beside it.

    Raises MissingExtraError where the second reader is not installed.
    """
    second = None
    if second_reader:
        from inkshift.models import pp_ocr

        second = pp_ocr.recogniser()
    classes = model.manifest.classes
    named = {classes.index(mark): name for mark, name in SIGNS.items() if mark in classes}
    struck = classes.index("X") if "X" in classes else None
    run, known = symbol_recogniser(model), model.manifest.calibration
    return NumberReader(model.reframing, run, known, VIEWS, second, named, struck)
