"""Boxes ticked by hand: crosses, hooks, fillings, circles; what is none; and what nobody can tell."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from specimens.scanner import Gray

Points = npt.NDArray[np.float64]
Rng = np.random.Generator
# Pixels drawn for one of the page, so that strokes have smooth sides.
_FINE = 4


def _cross(rng: Rng) -> list[Points]:
    reach = rng.uniform(0.3, 0.75)
    return [_bent(rng, (-reach, -reach), (reach, reach)), _bent(rng, (-reach, reach), (reach, -reach))]


def _hook(rng: Rng) -> list[Points]:
    foot = np.array([rng.uniform(-0.2, 0.05), rng.uniform(0.15, 0.45)])
    start = foot - (rng.uniform(0.12, 0.35), rng.uniform(0.12, 0.4))
    end = foot + (rng.uniform(0.35, 0.9), -rng.uniform(0.5, 1.1))
    return [np.concatenate([_bent(rng, start, foot), _bent(rng, foot, end)])]


def _slash(rng: Rng) -> list[Points]:
    reach = rng.uniform(0.3, 0.7)
    return [_bent(rng, (-reach * rng.uniform(0.5, 1), reach), (reach * rng.uniform(0.5, 1), -reach))]


def _plus(rng: Rng) -> list[Points]:
    a, b = rng.uniform(0.25, 0.45, 2)
    return [_bent(rng, (-a, 0), (a, 0)), _bent(rng, (0, -b), (0, b))]


def _filled(rng: Rng) -> list[Points]:
    size = rng.uniform(0.36, 0.46)
    rows = np.arange(-size, size, 0.06)
    return [np.array([(-size if k % 2 else size, y) for k, y in enumerate(rows) for _ in range(2)][1:])]


def _round(rng: Rng) -> list[Points]:
    start, a, b = rng.uniform(0, 6), *rng.uniform(0.66, 0.9, 2)
    t = np.linspace(start, start + 2 * np.pi * rng.uniform(0.95, 1.15), 60)
    return [np.stack([a * np.cos(t), b * np.sin(t)], 1)]


def _letter(rng: Rng) -> list[Points]:
    """A small circle or a dot put into the box."""
    size = rng.uniform(0.12, 0.3)
    t = np.linspace(0, 2 * np.pi, 30)
    return [np.stack([size * np.cos(t), size * np.sin(t)], 1) + rng.uniform(-0.1, 0.1, 2)]


def _nothing(rng: Rng) -> list[Points]:
    return []


def _speck(rng: Rng) -> list[Points]:
    at = rng.uniform(-0.7, 0.7, (int(rng.integers(1, 4)), 2))
    return [np.array([p, p + rng.uniform(-0.05, 0.05, 2)]) for p in at]


def _neighbour(rng: Rng) -> list[Points]:
    """The end of a stroke of something beside the box that reaches a little into it, or passes it by."""
    side, deep = rng.choice((-1, 1)), rng.uniform(0.42, 0.7)
    stroke = _bent(rng, (side * deep, rng.uniform(-0.6, 0.6)), (side * rng.uniform(0.8, 1.1), rng.uniform(-0.9, 0.9)))
    return [stroke if rng.random() < 0.5 else stroke[:, ::-1]]


def _scribble(rng: Rng) -> list[Points]:
    """Gone over to and fro until nothing under it can be seen, beyond the box."""
    reach, n = rng.uniform(0.6, 0.85), int(rng.integers(18, 34))
    x = np.where(np.arange(n) % 2, reach, -reach) * rng.uniform(0.75, 1, n)
    y = np.linspace(-reach, reach, n) + rng.normal(0, 0.12, n)
    return [*_mark(rng), np.stack([x, y], 1)]


def _struck(rng: Rng) -> list[Points]:
    """A tick with one or two level strokes through it, from well before the box to well behind it."""
    lines = [
        _bent(rng, (-rng.uniform(0.7, 0.95), y), (rng.uniform(0.7, 0.95), y + rng.uniform(-0.08, 0.08)))
        for y in rng.uniform(-0.2, 0.2, int(rng.integers(1, 3)))
    ]
    return [*_mark(rng), *lines]


def _mark(rng: Rng) -> list[Points]:
    return (_cross, _hook, _slash)[int(rng.integers(3))](rng)


TICKED: dict[str, Callable[[Rng], list[Points]]] = {
    "cross": _cross,
    "hook": _hook,
    "slash": _slash,
    "plus": _plus,
    "filled": _filled,
    "round": _round,
    "letter": _letter,
}
BLANK: dict[str, Callable[[Rng], list[Points]]] = {"nothing": _nothing, "speck": _speck, "neighbour": _neighbour}
DOUBTFUL: dict[str, Callable[[Rng], list[Points]]] = {"scribble": _scribble, "struck": _struck}


def draw_tick(kind: str, side: float, pen: float, rng: Rng) -> Gray:
    """What somebody draws in, around or beside a box: (2 `side`, 2 `side`) float32, 0 paper to 1 ink, the box in its
    middle. kind: of `TICKED`, `BLANK` or `DOUBTFUL`. side, pen: of the box and width of the stroke, pixels."""
    size = round(2 * side)
    canvas = np.zeros((size * _FINE, size * _FINE), np.uint8)
    wide = 1.3 * pen if kind == "speck" else pen
    shift = np.zeros(2) if kind in ("neighbour", "struck", "filled") else rng.normal(0, 0.06, 2)
    for stroke in (TICKED | BLANK | DOUBTFUL)[kind](rng):
        points = np.rint(((stroke + shift) * side + size / 2) * _FINE).astype(np.int32)
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, 255, max(1, round(wide * _FINE)), cv2.LINE_AA)
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)


def _bent(rng: Rng, start: tuple[float, float] | Points, end: tuple[float, float] | Points) -> Points:
    """A stroke from one place to another that bends a little. Lengths are sides of the box, its middle is 0, 0."""
    a, b = np.asarray(start, float) + rng.normal(0, 0.04, 2), np.asarray(end, float) + rng.normal(0, 0.04, 2)
    t = np.linspace(0, 1, 12)[:, None]
    across = np.array([-(b - a)[1], (b - a)[0]])
    return np.asarray(a + t * (b - a) + np.sin(np.pi * t) * across * rng.normal(0, 0.08))
