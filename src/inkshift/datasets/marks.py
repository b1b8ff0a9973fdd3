"""What stands around a hand-written number and is no part of it: strokes by hand, printed lines, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets.augment import Rng, spline
from inkshift.datasets.paper import Plane

_FAR = 1 << 14


@dataclass(slots=True)
class Page:
    """A strip of paper that a number is being written on.

    ink, print: (H, W) float32 coverage 0 to 1. middle: row of the digits' middles. start: first column to write in.
    right: (H,) for each row the column after its last ink. x0, x1: columns of the digits so far. cells: number and
    width of boxes. box: their top and bottom.
    """

    ink: Plane
    print: Plane
    middle: int
    start: int
    right: npt.NDArray[np.int64]
    x0: int
    x1: int
    cells: tuple[int, float] = (0, 0.0)
    box: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def blank(cls, body: float, digits: int) -> Page:
        """A strip wide enough for `digits` digits `body` pixels high and what may stand beside them."""
        h, w = int(3.8 * body), int((digits * 1.75 + 12) * body)
        start = int(2.2 * body)
        zeros = np.zeros((h, w), np.float32)
        return cls(zeros, zeros.copy(), h // 2, start, np.full(h, -_FAR, np.int64), start, start)

    def put(self, stroke: Plane, x: int, down: float) -> None:
        """Lay a stroke (h, w) on the page, its left side at column x, its middle `down` pixels below the line's."""
        h, w = stroke.shape
        x, y = self.lay(stroke, x, down)
        solid = stroke > 0.4
        ends = np.where(solid.any(1), x + w - np.argmax(solid[:, ::-1], axis=1), -_FAR)
        np.maximum(self.right[y : y + h], ends, out=self.right[y : y + h])
        self.x0, self.x1 = min(self.x0, x), max(self.x1, x + w)

    def lay(self, stroke: Plane, x: int, down: float) -> tuple[int, int]:
        """As `put`, but the stroke is no part of the number. Gives the column and row that it begins at."""
        h, w = stroke.shape
        y = min(max(round(self.middle - h / 2 + down), 0), self.ink.shape[0] - h)
        x = min(max(x, 0), self.ink.shape[1] - w)
        part = self.ink[y : y + h, x : x + w]
        np.maximum(part, stroke, out=part)
        return x, y

    def append(self, stroke: Plane, gap: float, down: float, touch: bool) -> None:
        """Lay a stroke after all that is there: `gap` pixels on, or so that the two touch or overlap a little."""
        h = stroke.shape[0]
        y = min(max(round(self.middle - h / 2 + down), 0), self.ink.shape[0] - h)
        solid = stroke > 0.4
        starts = np.where(solid.any(1), np.argmax(solid, axis=1), _FAR)
        meeting = int((self.right[y : y + h] - starts).max())
        if meeting < -_FAR // 2:
            meeting = self.x1
        x = meeting - 1 - int(abs(gap) * 0.3) if touch else max(round(self.x1 + gap), meeting + 2)
        self.put(stroke, max(x, self.start), down)


def _draw(plane: Plane, points: npt.NDArray[np.float64], width: float, level: float = 1.0) -> None:
    """A smooth stroke through (N, 2) points x, y in pixels, `width` pixels wide, in place."""
    thick = max(1, round(width))
    line = np.rint(points * 16).astype(np.int32)
    reach = thick + 2
    x0, y0 = (max(int(v) - reach, 0) for v in points.min(0))
    x1, y1 = (int(v) + reach for v in points.max(0))
    part = plane[y0:y1, x0:x1]
    if not part.size:
        return
    layer = np.zeros(part.shape, np.uint8)
    line -= np.array([x0, y0], np.int32) * 16
    cv2.polylines(layer, [line], False, (int(255 * level * min(1.0, width + 0.3)),), thick, cv2.LINE_AA, 4)
    np.maximum(part, layer * np.float32(1 / 255), out=part)


def _dash(page: Page, x: float, length: float, body: float, pen: float, rng: Rng, down: float = 0.0) -> None:
    y = page.middle + down + rng.normal(0, 0.06) * body
    ends = np.array(
        [[x, y + rng.normal(0, 0.05) * body], [x + length / 2, y], [x + length, y + rng.normal(0, 0.06) * body]]
    )
    _draw(page.ink, spline(ends), pen * body)
    page.x1 = max(page.x1, round(x + length))


def lead_in(page: Page, body: float, pen: float, rng: Rng) -> None:
    """What comes before a number: mostly nothing; dashes, an equals sign, `$`, `#`, a dot."""
    chance = rng.random()
    if chance > 0.22:
        return
    x = page.start - rng.uniform(0.2, 0.6) * body
    length = rng.uniform(0.25, 1.2) * body
    if chance < 0.09:
        _dash(page, x - length, length, body, pen, rng)
    elif chance < 0.12:
        for down in (-0.12, 0.12):
            _dash(page, x - length, min(length, 0.6 * body), body, pen, rng, down * body)
    elif chance < 0.18:
        _currency(page, x - 0.6 * body, body, pen, rng)
    else:
        _dot(page, x - 0.1 * body, 0.4 * body, body, pen, rng)
    page.x1 = page.start


def _currency(page: Page, x: float, body: float, pen: float, rng: Rng) -> None:
    """A dollar sign or a number sign."""
    plane = page.ink if rng.random() < 0.6 else page.print
    half = 0.5 * body
    top, mid = page.middle - half, page.middle
    if rng.random() < 0.6:
        s = np.array([[0.9, 0.15], [0.4, 0.0], [0.1, 0.25], [0.5, 0.5], [0.9, 0.75], [0.5, 1.0], [0.05, 0.85]])
        s = s * [0.55 * body, body] + [x, top] + rng.normal(0, 0.03 * body, s.shape)
        _draw(plane, spline(s), pen * body)
        for shift in (0.22, 0.34)[: int(rng.integers(1, 3))]:
            _draw(
                plane,
                np.array([[x + shift * body, top - 0.12 * body], [x + shift * body, mid + 0.62 * body]]),
                0.8 * pen * body,
            )
        return
    for shift in (0.15, 0.4):
        lean = 0.12 * body
        _draw(plane, np.array([[x + shift * body + lean, top], [x + shift * body - lean, top + body]]), pen * body)
        _draw(
            plane,
            np.array([[x - 0.05 * body, top + (shift + 0.2) * body], [x + 0.6 * body, top + (shift + 0.18) * body]]),
            pen * body,
        )


def _dot(page: Page, x: float, down: float, body: float, pen: float, rng: Rng) -> None:
    """A dot or a comma, its right side kept free."""
    at = np.array([x, page.middle + down])
    tail = (
        np.array([rng.uniform(-0.12, 0.02), rng.uniform(0.04, 0.26)]) * body
        if rng.random() < 0.4
        else rng.normal(0, 0.03, 2) * body
    )
    _draw(page.ink, np.stack([at, at + tail]), pen * body * rng.uniform(0.9, 1.6))


def between(page: Page, body: float, pen: float, rng: Rng, left: int) -> None:
    """What may stand between two digits: a separator, mostly where three digits are left, or a joining stroke."""
    chance = rng.random()
    if chance < (0.45 if left == 3 else 0.035):
        x = page.x1 + rng.uniform(0.02, 0.2) * body
        if rng.random() < 0.9:
            _dot(page, x, rng.uniform(0.35, 0.52) * body, body, pen, rng)
        else:
            _dash(page, x, rng.uniform(0.15, 0.3) * body, body, pen, rng)
        page.x1 = round(x + rng.uniform(0.0, 0.15) * body)
    elif chance > 0.95:
        y = page.middle + rng.uniform(-0.45, 0.4) * body
        reach = rng.uniform(0.15, 0.4) * body
        points = np.array(
            [[page.x1 - 0.12 * body, y], [page.x1 + reach / 2, y + rng.normal(0, 0.08) * body], [page.x1 + reach, y]]
        )
        _draw(page.ink, spline(points), 0.8 * pen * body)


def join(page: Page, body: float, pen: float, down: float, rng: Rng) -> None:
    """A stroke from the top of the digit just written to the next, as between zeros written in one go."""
    y = page.middle + down - rng.uniform(0.2, 0.5) * body
    reach = rng.uniform(0.2, 0.5) * body
    points = np.array(
        [[page.x1 - 0.25 * body, y], [page.x1 + reach / 2, y + rng.uniform(-0.05, 0.15) * body], [page.x1 + reach, y]]
    )
    _draw(page.ink, spline(points), 0.8 * pen * body)


def trail(page: Page, body: float, pen: float, rng: Rng) -> None:
    """What comes after a number: mostly nothing; a dot, a dash or two, an equals sign, a flourish."""
    chance = rng.random()
    if chance > 0.42:
        return
    x = page.x1 + rng.uniform(0.06, 0.5) * body
    length = rng.uniform(0.2, 1.0) * body
    high = (0.0, 0.0, -0.3, 0.3)[int(rng.integers(4))] * body
    if chance < 0.16:
        _dot(page, x, rng.uniform(0.3, 0.5) * body, body, pen, rng)
        if rng.random() < 0.5:
            _dash(page, x + rng.uniform(0.1, 0.4) * body, length, body, pen, rng, rng.uniform(0, 0.4) * body)
    elif chance < 0.24:
        _dash(page, x, length, body, pen, rng, high)
    elif chance < 0.36:
        length = min(length, 0.7 * body)
        for down in (-0.12, 0.1):
            _dash(page, x + rng.normal(0, 0.05) * body, length, body, pen, rng, high + down * body)
    else:
        turns = int(rng.integers(3, 6))
        wave = np.stack([np.linspace(0, length, turns), np.resize([0.0, 0.16 * body], turns)], 1)
        _draw(page.ink, spline(wave + [x, page.middle + high]), pen * body)
        page.x1 = round(x + length)


def surround(page: Page, body: float, rng: Rng, in_cells: bool, neighbour: Callable[[], Plane]) -> None:
    """Printed rules and boxes, and ink of the rows above and below, in place."""
    if in_cells:
        _boxes(page, body, rng)
    elif rng.random() < 0.45:
        _rules(page, body, rng)
    if rng.random() < 0.12:
        for side in (-1, 1):
            if rng.random() < 0.6:
                continue
            for _ in range(int(rng.integers(1, 4))):
                stroke = neighbour()
                x = int(rng.integers(page.x0 - 10, page.x1 + 10))
                page.lay(stroke, x, side * rng.uniform(1.05, 1.3) * body)


def _level(page: Page, y: float, width: float, level: float) -> None:
    _draw(page.print, np.array([[0, y], [page.print.shape[1], y]]), width, level)


def _rules(page: Page, body: float, rng: Rng) -> None:
    """A line to write on, one above, dotted ones, or a frame around the number."""
    width, level = rng.uniform(0.6, 2.6), rng.uniform(0.4, 1.0)
    foot = page.middle + rng.uniform(0.42, 0.8) * body
    head = page.middle - rng.uniform(0.55, 0.9) * body
    chance = rng.random()
    if chance < 0.75:
        _level(page, foot, width, level)
    if chance > 0.55:
        _level(page, head, width, level)
    if rng.random() < 0.12:
        page.print[:, :: int(rng.integers(3, 6))] = 0
    if rng.random() < 0.25:
        for x in (page.x0 - rng.uniform(0.25, 0.9) * body, page.x1 + rng.uniform(0.25, 0.9) * body):
            if rng.random() < 0.75:
                ends = np.array(
                    [[x, head if chance > 0.55 else 0], [x, foot if chance < 0.75 else page.print.shape[0]]]
                )
                _draw(page.print, ends, width, level)


def _boxes(page: Page, body: float, rng: Rng) -> None:
    """A box for each digit, or one with marks between, some lines missing."""
    count, pitch = page.cells
    width, level = rng.uniform(0.6, 3.0), rng.uniform(0.35, 1.0)
    roomy = max(0.0, pitch / body - 1.2)
    top = page.middle - (rng.uniform(0.5, 0.85) + rng.uniform(0, 0.7) * roomy) * body
    bottom = page.middle + (rng.uniform(0.5, 0.85) + rng.uniform(0, 0.7) * roomy) * body
    left, right = page.start, page.start + count * pitch
    apart = rng.uniform(0.02, 0.12) * pitch if rng.random() < 0.25 else 0.0
    page.box = top, bottom
    if rng.random() < 0.1:
        return
    for i in range(count + 1):
        x = left + i * pitch
        for at in {x - apart, x + apart} if 0 < i < count else {x}:
            _draw(page.print, np.array([[at, top], [at, bottom]]), width, level)
    for y in (top, bottom):
        if rng.random() < 0.93:
            _draw(page.print, np.array([[left, y], [right, y]]), width, level)


def crop_box(ink: Plane, page: Page, body: float, rng: Rng, in_cells: bool) -> tuple[int, int, int, int]:
    """xmin, ymin, xmax, ymax of what is cut out: around the number or its boxes, tightly or with room."""
    h, w = ink.shape
    reach = ink[:, max(page.x0 - 4, 0) : page.x1 + 4]
    rows = np.flatnonzero((reach[int(0.2 * h) : int(0.8 * h)] > 0.3).any(1)) + int(0.2 * h)
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (h // 3, 2 * h // 3)
    columns = np.flatnonzero((ink > 0.3).any(0))
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (page.x0, page.x1)
    if in_cells:
        count, pitch = page.cells
        left, right = min(left, page.start), max(right, round(page.start + count * pitch))
        if rng.random() < 0.7:
            top, bottom = min(top, round(page.box[0])), max(bottom, round(page.box[1]))
    room = rng.uniform(-0.04, 0.12, 4) if rng.random() < 0.5 else rng.uniform(0, 0.55, 4)
    sides = np.array([left, top, right, bottom]) + np.array([-1, -1, 1, 1]) * np.maximum(room, [0, -1, 0, -1]) * body
    x0, y0, x1, y1 = (round(float(v)) for v in sides)
    return max(x0, 0), max(y0, 0), min(max(x1, x0 + 6), w), min(max(y1, y0 + 6), h)
