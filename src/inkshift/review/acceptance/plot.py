"""The picture beside the slider: share accepted above, error among the accepted below, against the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inkshift.review.acceptance.promise import LEVELS, Level

WIDTH, HEIGHT, LEFT, RIGHT = 640, 320, 84, 12
UPPER, LOWER = (34, 134), (184, 284)
_TOPS = (0.05, 0.1, 0.2, 0.5, 1.0)
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Coordinates in pixels. Lines are `points` of SVG polylines; ticks are (place, text); xs: place of each level."""

    accepted: str
    bound: str
    wrong: str
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    xs: list[float]


def picture(levels: Sequence[Level]) -> Drawing:
    """The lines of these levels, one for each of `promise.LEVELS`."""
    xs = [round(LEFT + (WIDTH - LEFT - RIGHT) * i / (len(levels) - 1), 1) for i in range(len(levels))]
    known = [(x, level) for x, level in zip(xs, levels, strict=True) if level.labels]
    wanted = np.quantile([level.bound for _, level in known], 0.9) if known else 1.0
    top = next(top for top in _TOPS if top >= min(wanted, 1.0))
    share, error = _height(UPPER, 1.0), _height(LOWER, top)
    up = [(share(v), f"{100 * v:.0f} %") for v in (0, 0.5, 1)]
    up += [(error(v), f"{100 * v:g} %") for v in (0, top / 2, top)]
    return Drawing(
        _line([(x, share(level.accepted)) for x, level in zip(xs, levels, strict=True)]),
        _line([(x, error(level.bound)) for x, level in known]),
        _line([(x, error(level.wrong / level.labels)) for x, level in known]),
        [(xs[int(np.argmin(np.abs(np.array(LEVELS) - tick)))], f"{tick:g}") for tick in _TICKS],
        up,
        xs,
    )


def _height(panel: tuple[int, int], top: float) -> Callable[[float], float]:
    high, low = panel
    return lambda value: round(low - (low - high) * min(value / top, 1.0), 1)


def _line(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
