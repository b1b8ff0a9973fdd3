"""Ink to candidate digits: a lattice of possible cuts and joins, not one guess.

Connected components, from left to right, wide ones cut where their strokes are thinnest, make *atoms*;
a candidate is a run of neighbouring atoms, since a digit may be broken (5, 4) and two may touch.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, pairwise

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Box, Gray

# All lengths are shares of the digit height, the height of the tallest ink that is no rule.
SPECK = 0.13
WIDEST, WIDEST_JOINED = 1.55, 1.15
CUT_FROM = 0.75
MOST_ATOMS = 6
# How much less straight than a ruled one a stroke is that counts as straight.
_STRAIGHT = 1.6
MOST_CUTS = 7


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of ink that no candidate divides. box: xmin, ymin, xmax, ymax in pixels of the crop.

    weight: digits that a piece of its size may hold, 0.3 or more for a whole component, its part for a cut
    one. cut: ink that the cut at its left went through, and five times the inside of
    loops, in digit heights; None where it begins a component. narrow: 1 where the component it was cut
    from is no wider than one digit, 0 where it is as wide as two.
    """

    box: Box
    weight: float
    cut: float | None
    narrow: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Atoms `first` to `last` (not included) as one possible digit, with their picture on black."""

    first: int
    last: int
    box: Box
    picture: Gray


@dataclass(frozen=True, slots=True)
class Lattice:
    """atoms from left to right; segments: every run of atoms that could be a digit; height: digit height in px."""

    atoms: tuple[Atom, ...]
    segments: tuple[Segment, ...]
    height: float


def components(ink: Gray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Label map (H, W) int32, 0 background, and a row x, y, width, height, area for each label from 1."""
    # Of OpenCV's ways, which number alike, this one takes half as long as the one that it chooses by itself.
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        (ink > 0).view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    return np.asarray(labels, np.int32), np.asarray(stats[1:], np.int32)


def digit_height(stats: npt.NDArray[np.int32]) -> float:
    """Height in pixels of the digits of a line: the area-weighted median of what is not small."""
    if not len(stats):
        return 0.0
    pieces = sorted(stats[:, 3:].tolist())
    big = [(height, area) for height, area in pieces if height >= 0.5 * pieces[-1][0]]
    weight = list(accumulate(area for _, area in big))
    return float(big[bisect_left(weight, weight[-1] / 2)][0])


def pen_width(ink: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> float:
    """Width of the strokes of ink, (H, W), in pixels, at least 1: twice the ink by its outline."""
    mask = ink > 0
    outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    return max(1.0, 2.5 * np.count_nonzero(mask) / max(int(outline), 1))


def stroke_lean(ink: npt.NDArray[np.bool_]) -> float | None:
    """Pixels to the right for each one down of ink, (H, W), that is one straight stroke; None where it is not.

    Of a straight stroke the spreads along and across make its area, whatever its width.
    """
    m = cv2.moments(ink.view(np.uint8), binaryImage=True)
    area = m["m00"]
    across, down, both = (m[name] / max(area - 1, 1) for name in ("mu20", "mu02", "mu11"))
    half = math.hypot((across - down) / 2, both)
    small, large = (across + down) / 2 - half, (across + down) / 2 + half
    if 144 * max(small, 0.0) * large > _STRAIGHT * area**2 or large < 9 * small:
        return None
    return both / max(down, 1e-6)


def build(ink: Gray) -> Lattice:
    """The lattice of a number written in one line. ink: (H, W) uint8, light on black, rules removed."""
    labels, stats = components(ink)
    height = digit_height(stats)
    keep = _worth_reading(stats, height, ink.shape)
    if not keep.any():
        return Lattice((), (), height)
    groups = _joined(stats, np.flatnonzero(keep))
    atom_map, atoms = _atoms(labels, stats, groups, ink, height)
    return Lattice(tuple(atoms), tuple(_segments(ink, atom_map, atoms, height)), height)


def _worth_reading(stats: npt.NDArray[np.int32], height: float, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """False for specks, and for what only reaches in from a border: neighbours' ends, remains of rules."""
    h, w = shape
    x, y, bw, bh, area = stats.T
    keep = (np.maximum(bw, bh) >= max(3, SPECK * height)) & (area >= 4)
    low = bh < 0.4 * height
    reaches_in = (((y == 0) | (y + bh >= h)) & low) | (
        ((x == 0) | (x + bw >= w)) & (bw < 0.12 * height) & (bh < 0.8 * h)
    )
    return np.asarray(keep & ~reaches_in, np.bool_)


def _joined(stats: npt.NDArray[np.int32], kept: npt.NDArray[np.intp]) -> list[list[int]]:
    """Components grouped, left to right, where one stands over the other: strokes of one digit."""
    order = sorted(kept.tolist(), key=lambda i: stats[i, 0] + stats[i, 2] / 2)
    groups: list[list[int]] = []
    for i in order:
        x, w = stats[i, 0], stats[i, 2]
        if groups:
            left = min(stats[j, 0] for j in groups[-1])
            right = max(stats[j, 0] + stats[j, 2] for j in groups[-1])
            shared = min(right, x + w) - max(left, x)
            if shared > 0.6 * min(right - left, w):
                groups[-1].append(i)
                continue
        groups.append([i])
    return groups


def _atoms(
    labels: npt.NDArray[np.int32],
    stats: npt.NDArray[np.int32],
    groups: list[list[int]],
    ink: Gray,
    height: float,
) -> tuple[npt.NDArray[np.int32], list[Atom]]:
    """Map (H, W) of atom numbers from 1, and the atoms, groups cut where they are too wide for one digit."""
    table = np.zeros(len(stats) + 1, np.int32)
    for number, group in enumerate(groups, 1):
        table[[i + 1 for i in group]] = number
    group_map = table[labels]
    atom_map = np.zeros_like(group_map)
    atoms: list[Atom] = []
    for number, group in enumerate(groups, 1):
        x0 = int(min(stats[i, 0] for i in group))
        x1 = int(max(stats[i, 0] + stats[i, 2] for i in group))
        y0 = int(min(stats[i, 1] for i in group))
        y1 = int(max(stats[i, 1] + stats[i, 3] for i in group))
        own = group_map[y0:y1, x0:x1] == number
        loops = _loops(own).sum(0).astype(np.float32)
        cuts = [0, *_cuts(own, loops, height), x1 - x0]
        size = max((y1 - y0) / height, 0.6 * (x1 - x0) / height)
        whole = max(1.0, (x1 - x0) / (0.8 * height)) if len(cuts) > 2 else min(max(size, 0.3), 1.0)
        narrow = min(max((1.25 - (x1 - x0) / height) / 0.5, 0.0), 1.0)
        for left, right in pairwise(cuts):
            part = own[:, left:right]
            rows = np.flatnonzero(part.any(1))
            if not len(rows):
                continue
            box = (x0 + left, y0 + int(rows[0]), x0 + right, y0 + int(rows[-1]) + 1)
            through = float(np.count_nonzero(own[:, left]) + 5 * loops[left]) / height if left else None
            atoms.append(Atom(box, whole / (len(cuts) - 1), through, narrow))
            atom_map[y0:y1, x0 + left : x0 + right][part] = len(atoms)
    return atom_map, atoms


def _cuts(own: npt.NDArray[np.bool_], loops: npt.NDArray[np.float32], height: float) -> list[int]:
    """Columns at which a group wider than a digit may be cut: where a vertical cut goes through least ink."""
    h, w = own.shape
    if w < CUT_FROM * height or h < 0.4 * height:
        return []
    ink_in = own.sum(0).astype(np.float32)
    first = own.argmax(0)
    last = h - 1 - own[::-1].argmax(0)
    cost = ink_in + 0.25 * (last - first) + 2.0 * loops
    cost = cv2.blur(cost.reshape(1, -1), (3, 1)).ravel()
    edge = max(2, round(0.14 * height))
    apart = max(2, round(0.16 * height))
    limit = max(0.9 * height, float(np.median(cost)))
    wanted = min(MOST_CUTS, int(np.ceil(w / (0.4 * height))))
    found: list[int] = []
    for column in np.argsort(cost, kind="stable"):
        at = int(column)
        if len(found) >= wanted or cost[at] > limit:
            break
        if edge <= at < w - edge and all(abs(at - other) >= apart for other in found):
            found.append(at)
    return sorted(found)


def _loops(own: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Paper that a group encloses: no cut between two digits goes through the inside of a 0."""
    paper = cv2.copyMakeBorder((~own).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(1,))
    _, labels = cv2.connectedComponents(paper, connectivity=4)
    inside = (labels > 0) & (labels != labels[0, 0])
    return np.asarray(inside[1:-1, 1:-1], np.bool_)


def _segments(ink: Gray, atom_map: npt.NDArray[np.int32], atoms: list[Atom], height: float) -> list[Segment]:
    out: list[Segment] = []
    for first in range(len(atoms)):
        x0, y0, x1, y1 = atoms[first].box
        limit = WIDEST * height
        for last in range(first + 1, min(first + MOST_ATOMS, len(atoms)) + 1):
            ax0, ay0, ax1, ay1 = atoms[last - 1].box
            x0, y0, x1, y1 = min(x0, ax0), min(y0, ay0), max(x1, ax1), max(y1, ay1)
            if last > first + 1 and atoms[last - 1].cut is None:
                limit = WIDEST_JOINED * height
            if last > first + 1 and x1 - x0 > limit:
                break
            inside = atom_map[y0:y1, x0:x1]
            own = (inside > first) & (inside <= last)
            out.append(Segment(first, last, (x0, y0, x1, y1), ink[y0:y1, x0:x1] * own))
    return out
