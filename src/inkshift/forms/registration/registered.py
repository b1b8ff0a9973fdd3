"""A page that lies on its template: its fields cut out, its paper, other pages beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Matrix
from inkshift.forms.registration import candidates
from inkshift.forms.registration.scan import inverse
from inkshift.forms.template import Box

TALLEST_FIELD = 96
# How many points of a box, each way, tell whether it lies on paper.
_LOOKS = 12
# A bed is darker than paper by so many gray levels.
BED = 80


@dataclass(frozen=True, slots=True)
class RegisteredPage:
    """A page laid onto its template.

    image: the page, turned upright, (H, W) or (H, W, 3) uint8. matrix: 3x3, template to image pixels. quality:
    probability, 0 to 1, that it lies right. turn: degrees clockwise that it was turned to stand upright. paper: gray
    level of its paper. explained: about what share of the form's print is seen on it. own: for the box of each field a
    3x3 map of its own, template to image pixels, where paper bends or the field's printed frame lies a little aside.
    fields: for each field's name the probability that its box lies right, that of the page included. labels: the share
    of it that is left beside another row's name. outline: the four corners of the form, (4, 2), in pixels of the page
    as it came.
    """

    image: npt.NDArray[np.uint8]
    matrix: Matrix
    quality: float
    turn: int
    paper: int = 255
    explained: float = 1.0
    own: Mapping[Box, Matrix] = field(default_factory=dict)
    fields: Mapping[str, float] = field(default_factory=dict)
    outline: Matrix = field(default_factory=lambda: np.zeros((4, 2)))
    labels: Mapping[str, float] = field(default_factory=dict)

    def map_of(self, box: Box) -> Matrix:
        """3x3, template to image pixels, for a box of the template and what is near it."""
        return self.own.get(box, self.matrix)

    def whose(self, name: str) -> float:
        """How probable it is, 0 to 1, that a field's page lies right and its row does not bear another one's name."""
        return self.quality * self.labels.get(name, 1.0)

    @property
    def scale(self) -> float:
        """Image pixels for one pixel of the template, in the middle of the page's fields."""
        middle = np.mean([[x + w / 2, y + h / 2] for x, y, w, h in self.own] or [[0.0, 0.0]], axis=0, dtype=np.float64)
        ends = candidates.project(middle + np.array([[0, 0], [1, 0], [0, 1]], np.float64), self.matrix)
        return float(np.sqrt(abs(np.linalg.det(ends[1:] - ends[0]))))


def on_each_other(one: RegisteredPage, other: RegisteredPage) -> bool:
    """Whether most fields of a page laid one way up lie on fields of it laid the other way up."""
    middles = []
    for page in (one, other):
        back = inverse(candidates.quarter_turn(page.turn // 90, page.image.shape))
        at = [
            candidates.project(np.array([[x + w / 2, y + h / 2], [x, y], [x + w, y + h]]), back @ page.map_of(box))
            for box in page.own
            for x, y, w, h in [box]
        ]
        middles.append(np.array(at))
    low, high = middles[1][:, 1:].min(1), middles[1][:, 1:].max(1)
    inside = (middles[0][:, None, 0] >= low) & (middles[0][:, None, 0] <= high)
    return bool(inside.all(2).any(1).mean() > 0.5)


def turned_in_place(page: RegisteredPage) -> RegisteredPage:
    """A page with each of its fields upside down where it lies."""
    own = {
        (x, y, w, h): matrix @ np.array([[-1, 0, 2 * x + w], [0, -1, 2 * y + h], [0, 0, 1]], np.float64)
        for (x, y, w, h), matrix in page.own.items()
    }
    return replace(page, own=own)


def without(page: RegisteredPage, others: Sequence[Matrix]) -> RegisteredPage:
    """A page that lies beside others on one picture, with these, by their outlines, made paper."""
    beyond = np.zeros(page.image.shape[:2], np.uint8)
    to_upright = candidates.quarter_turn(page.turn // 90, page.image.shape)
    for outline in (*others, page.outline):
        value = 0 if outline is page.outline else 1
        cv2.fillConvexPoly(beyond, np.rint(candidates.project(outline, to_upright)).astype(np.int32), (value,))
    clean = page.image.copy()
    clean[beyond > 0] = page.paper
    return replace(page, image=clean)


def cut(
    picture: npt.NDArray[np.uint8],
    page: RegisteredPage,
    box: tuple[float, float, float, float],
    margin: float,
    paper: int,
    tallest: int = TALLEST_FIELD,
) -> tuple[npt.NDArray[np.uint8], float]:
    """The crop of a box of the template and `margin` template pixels around it, and its pixels for one of them.

    picture: the registered page's image, or one made from it pixel by pixel. Cut at the page's own resolution,
    but no box higher than `tallest` pixels; what lies beyond the page is `paper`.
    """
    x, y, w, h = box
    matrix = page.map_of(box)
    a, b, c = candidates.project(np.array([[x, y], [x + w, y], [x, y + h]], np.float64), matrix)
    own = 0.5 * (math.hypot(*(b - a)) / w + math.hypot(*(c - a)) / h)
    scale = min(max(own, 0.25), max(tallest / h, 0.25))
    size = max(4, round((w + 2 * margin) * scale)), max(4, round((h + 2 * margin) * scale))
    to_template = np.array([[1 / scale, 0, x - margin], [0, 1 / scale, y - margin], [0, 0, 1]], np.float64)
    out = cv2.warpPerspective(
        picture,
        matrix @ to_template,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(paper,) * 3,
    )
    return np.asarray(out, np.uint8), scale


def shows_paper(page: RegisteredPage, boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which boxes of the template, (N,), lie on the page, and on no part that was torn off over a dark bed."""
    steps = np.array([(x, y) for y in np.linspace(0.0, 1.0, _LOOKS) for x in np.linspace(0.0, 1.0, _LOOKS)])
    points = [candidates.project(np.array([x, y]) + steps * (w, h), page.map_of((x, y, w, h))) for x, y, w, h in boxes]
    at = np.rint(points).astype(np.intp).reshape(-1, len(steps), 2)
    high, wide = page.image.shape[:2]
    inside = ((at >= 0) & (at <= (wide, high))).all((1, 2))
    levels = page.image[np.clip(at[..., 1], 0, high - 1), np.clip(at[..., 0], 0, wide - 1)]
    middle = np.array([np.median(some) for some in levels])
    return np.asarray(inside & (middle > page.paper - BED), np.bool_)
