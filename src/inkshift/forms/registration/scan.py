"""A page as it was scanned, looked at through maps from the template, at the resolution that a step asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix

Contrast = npt.NDArray[np.float32]

# Gray levels of local deviation that plain paper has at least; and how many times its noise is taken for paper still.
_PAPER_NOISE, _NOISES = 2.0, 4.0
# Rows that are worked on at once, so that what is made of them stays in the processor's own memory.
_ROWS = 16


def contrast(gray: Gray, window: int, plain: int = 0) -> Contrast:
    """How much darker each pixel is than its surroundings, in deviations of these, clipped to -1..2; (H, W) float32.

    Local normalisation: pale print, a shadow and a fax come out alike. window: its side in pixels. plain: how many
    pixels of a larger picture were left out because they are all of one gray; they count where noise is measured.
    """
    noise = cv2.absdiff(gray, cv2.medianBlur(gray, 3))
    counts = cv2.calcHist([noise], [0], None, [256], [0, 256]).ravel()
    counts[0] += plain
    # The median to a fraction of a gray level, as if levels were spread evenly over their bins.
    below = np.concatenate([[0], np.cumsum(counts)]) / (noise.size + plain)
    middle = float(np.interp(0.5, below, np.arange(257)))
    floor = max(_PAPER_NOISE, _NOISES * 1.5 * middle)
    # In place throughout: fresh memory costs more than the sums.
    mean = np.asarray(cv2.boxFilter(gray, cv2.CV_32F, (window, window)), np.float32)
    made = np.asarray(cv2.sqrBoxFilter(gray, cv2.CV_32F, (window, window)), np.float32)
    for at in range(0, len(gray), _ROWS):
        around, spread = mean[at : at + _ROWS], made[at : at + _ROWS]
        spread -= cv2.multiply(around, around)
        spread += np.float32(floor**2)  # more than rounding can leave below 0
        np.sqrt(spread, out=spread)
        around -= gray[at : at + _ROWS].astype(np.float32)
        np.divide(around, spread, out=spread)
        np.maximum(spread, -1, out=spread)
        np.minimum(spread, 2, out=spread)
    return made


def strokes(gray: Gray, window: int, plain: int = 0) -> Contrast:
    """Contrast averaged along level or upright strokes as long as `window`, whichever is stronger; (H, W) float32.

    Rules hardly darker than their paper stand out from it, and handwriting fades. plain: as for `contrast`.
    """
    made = contrast(gray, window, plain)
    length = window | 1
    level, upright = (np.asarray(cv2.blur(made, size), np.float32) for size in ((length, 1), (1, length)))
    for at in range(0, len(made), _ROWS):
        one, other = level[at : at + _ROWS], upright[at : at + _ROWS]
        stronger, both = np.maximum(one, other), one + other
        made[at : at + _ROWS] = np.where(both < 0, np.minimum(one, other), stronger)
    return made


def warped(
    picture: Gray | Contrast,
    matrix: Matrix,
    size: tuple[int, int],
    bend: npt.NDArray[np.float32] | None = None,
    beyond: float = 0.0,
) -> Gray | Contrast:
    """A picture through `matrix`, 3x3, from pixels of the wanted one of `size` (width, height) to its own; what is
    beyond it is `beyond`. bend: (h, w, 2), how far each wanted pixel is moved before.
    """
    if bend is None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(picture, matrix, size, flags=flags, borderValue=(beyond,))  # type: ignore[return-value]
    made, columns = np.empty((size[1], size[0]), picture.dtype), np.arange(size[0], dtype=np.float32)
    for top in range(0, size[1], _ROWS):
        at = bend[top : top + _ROWS].copy()
        at[..., 0] += columns
        at[..., 1] += np.arange(top, top + len(at), dtype=np.float32)[:, None]
        place = cv2.perspectiveTransform(at, matrix)
        made[top : top + _ROWS] = cv2.remap(picture, place, None, cv2.INTER_LINEAR, borderValue=(beyond,))  # type: ignore[call-overload]
    return made


def inverse(matrix: Matrix) -> Matrix:
    """The 3x3 map back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page as it was compared with a form from about one place: later places nearby look at this.

    known: the form. matrix: 3x3, template to scan pixels. pictures: for each longer side of the form in pixels what
    was seen, and the map from template pixels to it, 3x3.
    """

    known: object
    matrix: Matrix
    pictures: dict[int, tuple[Contrast, Matrix]] = field(default_factory=dict)


class Scan:
    """A page, (H, W) uint8, with smaller copies made when they are needed. dark: its contrast, once it was made;
    ruled: its lines, see `candidates.ruled`; sheets: what was seen of it. least: what is asked of a place, where
    another is proved already: the share of the form's print that is seen there, and how dark it is at a glance.
    """

    def __init__(self, gray: Gray) -> None:
        self.gray = gray
        self.dark: Contrast | None = None
        self.ruled: tuple[Contrast, Contrast, Matrix] | None = None
        self.sheets: list[Sheet] = []
        self.least = (0.0, 0.0)
        self._smaller: dict[int, Gray] = {0: gray}

    def reduced(self, factor: float) -> tuple[Gray, Matrix]:
        """The page at about `factor` of its size (0..1, in steps of the square root of 2), and its pixels to it."""
        step = max(0, round(-2 * np.log2(max(min(factor, 1.0), 1e-3))))
        if step not in self._smaller:
            # Halves are made of halves, which is quick, and what lies between of the half before it.
            larger = self.reduced(2.0 ** -((step - 1) // 2))[0]
            h, w = self.gray.shape
            size = max(1, round(w * 2 ** (-step / 2))), max(1, round(h * 2 ** (-step / 2)))
            self._smaller[step] = np.asarray(cv2.resize(larger, size, interpolation=cv2.INTER_AREA), np.uint8)
        small = self._smaller[step]
        fy, fx = small.shape[0] / self.gray.shape[0], small.shape[1] / self.gray.shape[1]
        return small, np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]], np.float64)

    def through(self, matrix: Matrix, size: tuple[int, int], bend: npt.NDArray[np.float32] | None = None) -> Gray:
        """The page seen through `matrix`, 3x3, from pixels of the wanted picture to pixels of the page: (h, w) uint8.

        size: width and height of the picture. bend: (h, w, 2), how far each pixel of the picture is moved before. What
        lies beyond the page is paper.
        """
        middle = cv2.perspectiveTransform(
            np.array([[[0, 0]], [[size[0], 0]], [[0, size[1]]], [[size[0], size[1]]]], np.float64), matrix
        ).reshape(4, 2)
        across = np.linalg.norm(middle[1] - middle[0]) + np.linalg.norm(middle[3] - middle[2])
        down = np.linalg.norm(middle[2] - middle[0]) + np.linalg.norm(middle[3] - middle[1])
        small, shrunk = self.reduced(1.2 / max(float(across / size[0] + down / size[1]) / 2, 1e-3))
        return np.asarray(warped(small, shrunk @ matrix, size, bend, int(np.median(small[::8, ::8]))), np.uint8)

    def covered(self, matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Where there is page in what `through` shows, (h, w) bool."""
        high, wide = self.gray.shape
        corners = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], np.float64).reshape(-1, 1, 2)
        edge = cv2.perspectiveTransform(corners, inverse(matrix)).reshape(-1, 2)
        there = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillConvexPoly(there, np.rint(np.clip(edge, -30000, 30000)).astype(np.int32), (1,))
        return cv2.erode(there, np.ones((3, 3), np.uint8)) > 0
