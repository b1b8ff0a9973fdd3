"""A row of printed cells in a crop that no template describes: found by its lines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.forms.cut import ink as inks

MOST = 8
# Printed lines may be this much fainter than ink. A wall covers this share of the height between top and bottom line,
# and so much more than the quarter of the columns that hold least, or it is texture; those this share of the width.
_FAINT, _WALL, _OUT, _LEVEL = 0.35, 0.8, 0.55, 0.6
# Width of a cell in heights; how far a wall may be from its place, in widths; how much of the crop the row fills.
_WIDTH, _OFF, _FILLS = (0.45, 1.6), 0.08, 0.8


def printed_cells(dark: Gray) -> tuple[tuple[int, int, int, int], int] | None:
    """Frame (xmin, ymin, xmax, ymax, in pixels) of 2 to 8 equal cells side by side that fill a crop, and how many.

    dark: how much darker than its paper each pixel is (`ink.darkness`), (H, W) uint8. None where there are none.
    """
    h, w = dark.shape
    if h < 16 or w < h:
        return None
    mask = dark > max(_FAINT * inks.threshold_of(dark), inks.FAINTEST)
    level = _thickened(mask.T).mean(0)
    top = int(np.argmax(level[: h // 3]))
    bottom = h - 1 - int(np.argmax(level[::-1][: h // 3]))
    if min(level[top], level[bottom]) < _LEVEL:
        return None
    body = mask[top + 1 : bottom]
    cover = _thickened(body).mean(0)
    if np.count_nonzero(cover >= _WALL) < 3:  # as most crops are left
        return None
    walls = _middles(cover >= max(_WALL, np.quantile(cover, 0.25) + _OUT))
    found = _equal(walls, len(body))
    if found is None or found[1] - found[0] < _FILLS * w:
        return None
    left, right, count = found
    return (round(left), top, round(right), bottom), count


def _thickened(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Each pixel or the one beside it, so that a line that leans by a pixel or two is one column."""
    out = mask.copy()
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _middles(on: npt.NDArray[np.bool_]) -> list[float]:
    """The middle of each run of columns."""
    ends = np.flatnonzero(np.diff(np.concatenate(([False], on, [False]))))
    return [float(first + last - 1) / 2 for first, last in zip(ends[::2], ends[1::2], strict=True)]


def _equal(walls: list[float], height: int) -> tuple[float, float, int] | None:
    """First and last of the walls between which the others part the widest row of equal cells, and how many cells."""
    best: tuple[float, float, int] | None = None
    for i, left in enumerate(walls):
        for right in walls[i + 2 :]:
            for count in range(MOST, 1, -1):
                pitch = (right - left) / count
                if not _WIDTH[0] * height <= pitch <= _WIDTH[1] * height:
                    continue
                places = [left + pitch * k for k in range(1, count)]
                off = max(min(abs(wall - place) for wall in walls) for place in places)
                if off <= _OFF * pitch and (best is None or right - left > best[1] - best[0]):
                    best = left, right, count
    return best
