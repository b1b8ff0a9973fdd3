"""Digits as they look when they are cut off a scanned page, made from clean ones.

A glyph is turned into a signed distance map, so that any pen width can be drawn at any resolution; then
it is slanted, bent, redrawn, damaged as segmentation damages it, and left for the reframing to frame.
All pictures are light ink on black, (H, W) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray

Rng = np.random.Generator

_CANVAS = 64
_BODY = 40
_YS, _XS = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32) - _CANVAS / 2


def _ink_box(picture: Gray) -> Sequence[int]:
    """x, y, width and height of what is ink."""
    return cv2.boundingRect((picture > 60).view(np.uint8))


def distance_map(glyph: Gray) -> npt.NDArray[np.float32]:
    """(64, 64) float32: distance to the stroke's edge, positive inside, in pixels of a body 40 px long."""
    x, y, w, h = _ink_box(glyph)
    body = glyph[y : y + h, x : x + w] if w and h else glyph
    scale = _BODY / max(body.shape)
    size = (max(3, round(body.shape[1] * scale)), max(3, round(body.shape[0] * scale)))
    big = cv2.resize(body, size, interpolation=cv2.INTER_CUBIC)
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    top, left = (_CANVAS - size[1]) // 2, (_CANVAS - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = big
    inside = (canvas > 110).astype(np.uint8)
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    return np.asarray(deep - away, np.float32)


def pack(field: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """A distance map in a quarter of the memory: sixths of a pixel, up to 21 px."""
    return np.asarray(np.clip(np.rint(field * 6), -127, 127), np.int8)


def unpack(packed: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """The distance map that `pack` packed."""
    return packed.astype(np.float32) / np.float32(6)


def sharpen(packed: npt.NDArray[np.int8]) -> Gray:
    """Packed maps (..., 64, 64) for fast drawing: (..., 52, 52) uint8, the body's 40 pixels and 6 on each side.

    128 is the stroke's edge, inside is lighter, a step is a twentieth of a pixel, up to 6.4 px. Warped as bytes such
    a map keeps a smooth edge, where the sixths of `pack` would leave steps.
    """
    return np.asarray(_SHARP[np.ascontiguousarray(packed[..., 6:58, 6:58]).view(np.uint8)], np.uint8)


_SHARP = np.clip(128 + np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32) * (20 / 6), 0, 255)
_SHARP = np.rint(_SHARP).astype(np.uint8)


class Dice:
    """Single random numbers of a generator, many drawn at once: several times as fast as asking for each.

    What is drawn follows from the state of `rng` alone. rng: for whole arrays.
    """

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self._even: list[float] = []
        self._bell: list[float] = []

    def random(self) -> float:
        """Even, 0 to 1."""
        if not self._even:
            self._even = self.rng.random(192).tolist()
        return self._even.pop()

    def uniform(self, low: float, high: float) -> float:
        """Even, `low` to `high`."""
        return low + (high - low) * self.random()

    def normal(self, mean: float, deviation: float) -> float:
        """Normally distributed."""
        if not self._bell:
            self._bell = self.rng.standard_normal(96).tolist()
        return mean + deviation * self._bell.pop()

    def below(self, count: int) -> int:
        """A whole number, 0 to count - 1."""
        return int(self.random() * count)


def bend(field: npt.NDArray[np.float32], rng: Rng, strength: float = 1.0) -> npt.NDArray[np.float32]:
    """The map sheared, rotated, scaled and bent at random; `strength` 0 leaves it as it is."""
    shear, turn = rng.uniform(-0.45, 0.45) * strength, np.radians(rng.normal(0, 6)) * strength
    sx, sy = np.exp(rng.normal(0, 0.15, 2) * strength)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[sx, shear], [0, sy]])
    matrix = matrix.astype(np.float32)
    wave = cv2.resize(
        rng.normal(0, 1.6 * strength, (4, 4, 2)).astype(np.float32),
        (_CANVAS, _CANVAS),
        interpolation=cv2.INTER_CUBIC,
    )
    map_x = matrix[0, 0] * _XS + matrix[0, 1] * _YS + (wave[..., 0] + _CANVAS / 2)
    map_y = matrix[1, 0] * _XS + matrix[1, 1] * _YS + (wave[..., 1] + _CANVAS / 2)
    out = cv2.remap(field, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(-20,))
    return np.asarray(out, np.float32)


def ink(field: npt.NDArray[np.float32], rng: Rng) -> Gray:
    """The map drawn with a random pen: about half to twice the stroke's width, soft or hard edge."""
    width = max(float(field.max()), 1.0)
    widen = np.clip(rng.normal(0.0, 1.3), -0.65 * width, 3.0)
    soft = rng.uniform(0.4, 1.6)
    strength = rng.uniform(0.75, 1.0)
    return np.asarray(np.clip((field + widen) / soft + 0.5, 0, 1) * (255 * strength), np.uint8)


def rescan(picture: Gray, rng: Rng) -> Gray:
    """The picture at another resolution (a body of 10 to 48 px), blurred, noisy, sometimes thresholded."""
    scale = np.exp(rng.uniform(np.log(10), np.log(48))) / _BODY
    size = max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[0] * scale))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.3:
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 0.9)), np.uint8)
    if rng.random() < 0.4:
        noise = rng.normal(0, rng.uniform(4, 28), small.shape)
        small = np.clip(small + noise * (small > 20), 0, 255).astype(np.uint8)
    if rng.random() < 0.45:
        threshold, _ = cv2.threshold(small, 0, 255, cv2.THRESH_OTSU)
        return (small > threshold * rng.uniform(0.6, 1.2)).astype(np.uint8) * 255
    top = int(small.max())
    return small if top == 0 else np.minimum(small.astype(np.float32) * (255 / top), 255).astype(np.uint8)


def damage(picture: Gray, neighbour: Callable[[], Gray], rng: Rng) -> Gray:
    """What cutting out leaves behind: a slice of the neighbour, a rule, a speck, a gap in the stroke."""
    out = picture.copy()
    h, w = out.shape
    x, y, bw, bh = _ink_box(out)
    if not bw or not bh:
        return out
    if rng.random() < 0.22:
        _intrude(out, neighbour(), (x, bw), rng)
    if rng.random() < 0.12:
        thick = int(rng.integers(1, 3))
        row = int(np.clip(rng.choice([y, y + bh]) + rng.integers(-3, 6), 0, h - thick))
        start, end = sorted(rng.integers(max(x - 8, 0), min(x + bw + 8, w), 2))
        out[row : row + thick, start : end + 1] = rng.integers(120, 255)
    if rng.random() < 0.12:
        tilt, thick = rng.normal(0, 0.15), int(rng.integers(1, 3))
        level = float(rng.uniform(y, y + bh))
        cv2.line(out, (x - 4, round(level)), (x + bw + 4, round(level + tilt * bw)), (0,), thick)
    if rng.random() < 0.10:
        spot = int(rng.integers(max(x - 6, 0), min(x + bw + 6, w))), int(rng.integers(y, y + bh))
        cv2.circle(out, spot, int(rng.integers(1, 3)), (int(rng.integers(120, 255)),), -1)
    if rng.random() < 0.10:
        cut = max(1, int(bw * rng.uniform(0.03, 0.14)))
        side = slice(x, x + cut) if rng.random() < 0.5 else slice(x + bw - cut, x + bw)
        out[:, side] = 0
    return out


def _intrude(out: Gray, neighbour: Gray, body: tuple[int, int], rng: Rng) -> None:
    """Lay the near edge of a neighbouring digit at the left or right of the body, in place.

    A part of its height only: beside a stroke as high as the digit there would be two digits, not one.
    """
    nx, top, nw, high = _ink_box(neighbour)
    take = max(2, int(nw * rng.uniform(0.05, 0.3)))
    if nw < take:
        return  # a thin stroke, or one so faint that nothing of it is ink
    gap = int(rng.integers(-2, 6))
    if rng.random() < 0.5:
        piece, at = neighbour[:, nx + nw - take : nx + nw], body[0] - gap - take
    else:
        piece, at = neighbour[:, nx : nx + take], body[0] + body[1] + gap
    piece = piece.copy()
    cut = top + int(high * rng.uniform(0.35, 0.65))
    piece[slice(cut, None) if rng.random() < 0.5 else slice(0, cut)] = 0
    at = int(np.clip(at, 0, out.shape[1] - take))
    shift = int(rng.integers(-6, 7))
    np.maximum(out[:, at : at + take], np.roll(piece, shift, 0), out=out[:, at : at + take])


def regional(label: int, field: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.float32]:
    """Shapes that American hands rarely write: 1 with a flag or foot, 7 with a bar, 9 with its loop turned; and loops
    that are not closed, of 0 and 8 above, of 9 before its stem."""
    chance = rng.random()
    if label == 1 and chance < 0.35:
        return _drawn_one(rng)
    if label == 7 and chance < 0.35:
        return _barred(field, rng)
    if label == 9 and chance < 0.04:
        return np.ascontiguousarray(field[:, ::-1])
    if label in _OPENS and chance < 0.16:
        return _opened(field, _OPENS[label] + rng.normal(0, 15), rng)
    return field


_OPENS = {0: 0.0, 8: 25.0, 9: 35.0}  # where, degrees clockwise from the top


def _opened(field: npt.NDArray[np.float32], way: float, rng: Rng) -> npt.NDArray[np.float32]:
    """Without the ink about the point of the stroke that lies farthest in a direction."""
    towards = np.sin(np.radians(way)) * _XS - np.cos(np.radians(way)) * _YS
    y, x = np.unravel_index(int(np.where(field > 0, towards, -np.inf).argmax()), field.shape)
    away = np.hypot(_XS - _XS[y, x], _YS - _YS[y, x]) - float(field.max()) * 2 - rng.uniform(0.5, 3)
    return np.asarray(np.minimum(field, away), np.float32)


def spline(points: npt.NDArray[np.float64], steps: int = 8) -> npt.NDArray[np.float64]:
    """A smooth curve through (N, 2) points, N at least 2: (M, 2). Uniform parameters (Catmull and Rom 1974)."""
    return np.asarray(_spline_weights(len(points), steps) @ points)


@lru_cache
def _spline_weights(count: int, steps: int) -> npt.NDArray[np.float64]:
    """The curve is linear in its points: (M, count), what each of them adds to each point of the curve."""
    points = np.eye(count)
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    p0, p1, p2, p3 = (ends[i : len(ends) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([curve.reshape(-1, count), points[-1:]])


def strokes(lines: Sequence[npt.NDArray[np.float64]], width: float) -> npt.NDArray[np.float32]:
    """Distance map of pen strokes; each an (N, 2) polyline of x, y in 0..1 of the body."""
    paper = np.full((_CANVAS, _CANVAS), 1, np.uint8)
    offset = (_CANVAS - _BODY) / 2
    for line in lines:
        points = np.rint((line * _BODY + offset) * 16).astype(np.int32)
        cv2.polylines(paper, [points], False, (0,), 1, cv2.LINE_8, 4)
    return np.asarray(width - cv2.distanceTransform(paper, cv2.DIST_L2, 3), np.float32)


def _drawn_one(rng: Rng) -> npt.NDArray[np.float32]:
    top, foot = np.array([rng.uniform(0.5, 0.62), 0.0]), np.array([rng.uniform(0.4, 0.6), 1.0])
    lines = [np.array([top, (top + foot) / 2 + rng.normal(0, 0.02, 2), foot])]
    if rng.random() < 0.75:
        reach, drop = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.55)
        sag = rng.normal(0, 0.05)
        lines.append(np.array([top, top + [-reach / 2, drop / 2 + sag], top + [-reach, drop]]))
    if rng.random() < 0.45:
        left, right = rng.uniform(0, 0.25), rng.uniform(0.05, 0.4)
        lines.append(np.array([foot + [-left, rng.normal(0, 0.03)], foot, foot + [right, rng.normal(0, 0.04)]]))
    return strokes(lines, rng.uniform(1.2, 2.6))


def _barred(field: npt.NDArray[np.float32], rng: Rng) -> npt.NDArray[np.float32]:
    row = int(_CANVAS / 2 + rng.uniform(-2, 6))
    column = int(np.argmax(field[row]))
    half, tilt = rng.uniform(4, 10), rng.normal(-0.1, 0.15)
    width = float(np.clip(field.max(), 1.2, 3))
    ends = np.array([[column - half, row - half * tilt], [column + half, row + half * tilt]])
    bar = strokes([(ends - (_CANVAS - _BODY) / 2) / _BODY], width)
    return np.asarray(np.maximum(field, bar), np.float32)


def crossing(rng: Rng) -> npt.NDArray[np.float32]:
    """Distance map of what a clerk puts in a cell that is not used: mostly a cross, sometimes a scribble.

    A cross may lean, have one arm shorter than the other (like a y), or be written in one go, like a loop.
    """
    if rng.random() < 0.85:
        jitter = rng.normal(0, 0.07, (2, 3, 2))
        wide, lean = rng.uniform(0.5, 1.0), rng.normal(0, 0.12)
        first, last = (rng.uniform(0, 0.3), 1.0) if rng.random() < 0.5 else (0.0, rng.uniform(0.65, 1.0))
        along = np.array([0.0, 0.5, 1.0])[:, None]
        one = np.array([0.5 - wide / 2, first]) + along * [wide, last - first] + jitter[0]
        two = np.array([0.5 + wide / 2 + lean, 0.0]) + along * [-wide - 2 * lean, 1.0] + jitter[1]
        joined = [spline(np.concatenate([one, two]))] if rng.random() < 0.12 else [spline(one), spline(two)]
        return strokes(joined, rng.uniform(1.1, 3.0))
    turns = int(rng.integers(5, 12))
    zigzag = np.stack([np.linspace(0, 1, turns), np.tile([0.0, 1.0], turns)[:turns]], 1) + rng.normal(
        0, 0.1, (turns, 2)
    )
    return strokes([zigzag if rng.random() < 0.5 else zigzag[:, ::-1]], rng.uniform(1.1, 3.0))


def filler(kind: str, rng: Rng) -> npt.NDArray[np.float32]:
    """Distance map of what else stands in a cell that is not used: a `star`, a struck `zero`, a `wave` or a `loop`."""
    jitter, turn = rng.normal(0, 0.05, (12, 2)), np.linspace(0, 2 * np.pi, 12)
    if kind == "star":
        spokes = 3 if rng.random() < 0.8 else 4
        angles = np.arange(spokes) * np.pi / spokes + rng.normal(0, 0.15, spokes)
        lines = [0.5 + np.outer([-0.45, 0.45], [np.cos(a), np.sin(a)]) + jitter[:2] for a in angles]
    elif kind == "zero":
        ring = 0.5 + np.stack([0.35 * np.sin(turn), -0.48 * np.cos(turn)], 1) + 0.5 * jitter
        lines = [spline(ring), np.array([[0.95, 0.05], [0.05, 0.95]]) + 2 * jitter[:2]]
    elif kind == "wave":
        along = np.linspace(0, 1, 12)
        wave = 0.5 + rng.uniform(0.1, 0.25) * np.sin(along * rng.uniform(6, 16) + rng.uniform(0, 6))
        lines = [spline(np.stack([along, wave], 1) + 0.3 * jitter)]
    else:
        coil = turn * rng.uniform(1.3, 2.4)
        lines = [spline(0.5 + np.stack([0.42 * np.sin(coil) + rng.uniform(-0.1, 0.1), 0.3 * np.cos(coil)], 1) + jitter)]
    return strokes(lines, rng.uniform(1.1, 2.6))


def pair(left: Gray, right: Gray, rng: Rng) -> Gray:
    """Two digits side by side, touching or nearly: what a candidate looks like that was not split."""
    lx, _, lw, _ = _ink_box(left)
    rx, _, rw, _ = _ink_box(right)
    overlap = min(int(rng.integers(-3, 6)), int(0.3 * min(lw, rw)))
    out = np.zeros((left.shape[0], max(lw + rw - overlap, 4)), np.uint8)
    out[:, :lw] = left[:, lx : lx + lw]
    tail = out[:, out.shape[1] - rw :]
    np.maximum(tail, np.roll(right[:, rx : rx + rw], int(rng.integers(-4, 5)), 0)[:, -tail.shape[1] :], out=tail)
    return out


def fragment(picture: Gray, rng: Rng) -> Gray | None:
    """A part of a digit as a wrong cut leaves it; None where the part could pass for a 1."""
    x, y, w, h = _ink_box(picture)
    if w < 8 or h < 8:
        return None
    keep = rng.uniform(0.3, 0.6)
    way = rng.integers(0, 4)
    if way == 0:
        part = picture[y : y + h, x : x + int(w * keep)]
    elif way == 1:
        part = picture[y : y + h, x + int(w * (1 - keep)) : x + w]
    elif way == 2:
        part = picture[y : y + int(h * keep), x : x + w]
    else:
        part = picture[y + int(h * (1 - keep)) : y + h, x : x + w]
    bx, by, bw, bh = _ink_box(part)
    if bh == 0 or bw < 0.4 * bh:
        return None
    return np.ascontiguousarray(part[by : by + bh, bx : bx + bw])


def mark(rng: Rng) -> Gray:
    """A dot, comma, dash, equals sign or blot: ink that is no digit."""
    kind = rng.choice(["dot", "comma", "dash", "equals", "blot"])
    at = rng.uniform(0.35, 0.65, 2)
    if kind == "dot":
        lines = [np.array([at, at + rng.normal(0, 0.03, 2)])]
    elif kind == "comma":
        lines = [np.array([at, at + [rng.uniform(-0.15, 0.02), rng.uniform(0.08, 0.25)]])]
    elif kind == "blot":
        lines = [at + np.cumsum(rng.normal(0, 0.08, (8, 2)), 0)]
    else:
        length, tilt = rng.uniform(0.3, 0.9), rng.normal(0, 0.08)
        first = np.array([[0.5 - length / 2, 0.5 - tilt], [0.5 + length / 2, 0.5 + tilt]])
        lines = [first] if kind == "dash" else [first, first + [0, rng.uniform(0.15, 0.3)]]
    return ink(strokes(lines, rng.uniform(1.5, 4.0)), rng)
