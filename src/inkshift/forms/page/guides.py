"""Guides printed in every cell of a page, such as an 8 of dots to write over, where no blank form shows them.

What is printed is alike in all cells to the pixel; what is written is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from inkshift.arrays import Gray
from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.segment import components

# Fewest cells of one size that tell, and about as many as are asked where there are more; percentile of their darkness
# that shows print: it is in three of four. Pixels that a cell lies aside at most. Share of a cell that its frame takes
# on each side.
_FEWEST, _ASKED, _PERCENTILE, _ASIDE, _INSET = 8, 48, 25, 3, 0.06
# Guides are dots or dashes: at least so many, each at most this share of the cell's height.
_DOTS, _DOT = 5, 0.3
# A cell that shows less than this share of the print lacks it; so many of all may, as where it was painted over.
_SHOWN, _LACKING = 0.5, 0.06


def without_guides(work: Sequence[cutout.FieldJob]) -> list[cutout.FieldJob]:
    """Fields of one page, those of cells without the dots or dashes that are printed alike in most cells of a size."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for k, job in enumerate(work):
        if job.kind == "cells":
            x0, y0, x1, y1 = job.frame
            sizes.setdefault((round((x1 - x0) / job.cells), y1 - y0), []).append(k)
    out = list(work)
    for size, members in sizes.items():
        cells = [_inside(job, k, size) for job in (work[m] for m in members) for k in range(job.cells)]
        guide = find_guide([cell for cell in cells if cell.shape == cells[0].shape])
        if guide is not None:
            for m in members:
                out[m] = cutout.own(work[m], _repeated(work[m], guide, size), gain=1.0)
    return out


def find_guide(cells: Sequence[Gray]) -> Gray | None:
    """The darkness, (H, W) uint8, of the dots printed in most cells; None where there are none.

    cells: darkness (`ink.darkness`) of the insides of cells, each (H, W) uint8, a few pixels off each other.
    """
    if len(cells) < _FEWEST or min(cells[0].shape) < 4 * _ASIDE:
        return None
    cells = cells[:: max(1, len(cells) // _ASKED)]
    soft = np.stack([cv2.GaussianBlur(cell, (0, 0), 1.5) for cell in cells])
    common = np.percentile(soft, _PERCENTILE, axis=0).astype(np.uint8)
    if common.max() < 0.25 * inks.FAINTEST:
        return None
    moved = np.stack([_moved(cell, blurred, common) for cell, blurred in zip(cells, soft, strict=True)])
    # Only what is dark in most of them can be above the limit, which is little.
    dark = np.count_nonzero(moved > inks.FAINTEST, axis=0) >= (1 - _PERCENTILE / 100) * (len(moved) - 1)
    guide = np.zeros_like(common)
    guide[dark] = np.percentile(moved[:, dark], _PERCENTILE, axis=0)
    labels, stats = components((guide > inks.FAINTEST).view(np.uint8))
    x, y, w, h, _ = stats.T
    free = (x > 0) & (y > 0) & (x + w < guide.shape[1]) & (y + h < guide.shape[0])  # else of the cell's frame
    dots = np.maximum(w, h)[free] <= _DOT * guide.shape[0]
    if np.count_nonzero(dots) < _DOTS or not dots.all():
        return None
    # Digits of a machine share their arcs; cells that nothing is written in show that these are no print.
    lacks = np.mean(moved[:, guide > inks.FAINTEST] > inks.FAINTEST, axis=1) < _SHOWN
    if lacks.sum() > _LACKING * len(lacks):
        return None
    return np.where(np.concatenate([[False], free])[labels], guide, 0).astype(np.uint8)


def _moved(cell: Gray, soft: Gray, common: Gray) -> Gray:
    """A cell moved by at most `_ASIDE` pixels to where it is most like what is common to all."""
    inner = common[_ASIDE:-_ASIDE, _ASIDE:-_ASIDE]
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(soft, inner, cv2.TM_CCORR))
    matrix = np.array([[1, 0, _ASIDE - x], [0, 1, _ASIDE - y]], np.float32)
    return np.asarray(cv2.warpAffine(cell, matrix, cell.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _corner(job: cutout.FieldJob, k: int, size: tuple[int, int]) -> tuple[int, int]:
    """Column and row of a cell's inside in its field's crop."""
    x0, y0, x1, _ = job.frame
    return round(x0 + (x1 - x0) * k / job.cells + _INSET * size[0]), y0 + round(_INSET * size[1])


def _inside(job: cutout.FieldJob, k: int, size: tuple[int, int]) -> Gray:
    x, y = _corner(job, k, size)
    w, h = (round((1 - 2 * _INSET) * side) for side in size)
    return job.dark[y : y + h, x : x + w]


def _repeated(job: cutout.FieldJob, guide: Gray, size: tuple[int, int]) -> Gray:
    """The guide in each cell of a field's crop, where it is in this one."""
    out = np.zeros_like(job.dark)
    for k in range(job.cells):
        x, y = _corner(job, k, size)
        part = out[y : y + guide.shape[0], x : x + guide.shape[1]]
        part[:] = guide[: part.shape[0], : part.shape[1]]
    return out
