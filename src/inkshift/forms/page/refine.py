"""A place drawn onto the print: patches of the reference are looked for near where they should be, first for a better
homography, then for what paper bends beyond it, then field by field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.page.reference import COARSE, FINE, Patch, Reference
from inkshift.forms.page.scan import Contrast, Matrix, Scan, inverse
from inkshift.forms.template import Box

Points = npt.NDArray[np.float64]

# How far patches are looked for, in pixels of the fine print (0.3 mm of A4), and how many times coarser: from a rough
# place; from one that is right or a period off; from the middle of paper that is bent a lot.
ROUNDS = ((20, 2), (12, 2), (8, 1))
NEAR = ((10, 2), (8, 1))
WIDE = ((44, 2), (24, 2), (12, 2), (8, 1))
# Likeness (normalised correlation, 0..1) below which a patch says nothing.
_LEAST_LIKENESS = 0.25
# Paper bends over about this share of the form's longer side; a patch alone moves nothing by more than a few pixels.
_BEND_OVER = 0.12
_BEND_HOLD = 0.5
# Paper bends by less than 18 mm of A4; a patch that lies this far (pixels) from where those around it say is doubted.
_MOST_BEND = 60
_DISAGREES = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """Where a patch was found. at: its place in fine pixels of the template; moved: by how much it lies off; weight:
    2x2, how sure that is in which direction; likeness: 0..1.
    """

    at: tuple[float, float]
    moved: npt.NDArray[np.float64]
    weight: Matrix
    likeness: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page lies. matrix: 3x3, template to scan pixels; sights: what was found off it, in fine pixels."""

    matrix: Matrix
    sights: tuple[Sight, ...] = field(default=(), repr=False)

    def bend(self, points: Points, longer: int) -> Points:
        """How far points (N, 2) of the template lie off the homography, in template pixels: a mean of what was seen
        around, weighted by nearness and by how sure each is in each direction, and held back where little was.
        """
        if not self.sights:
            return np.zeros_like(points)
        unit = longer / FINE
        at = np.array([sight.at for sight in self.sights])
        weight = np.array([sight.weight for sight in self.sights])
        pull = np.einsum("nij,nj->ni", weight, np.array([sight.moved for sight in self.sights]))
        away = ((points[:, None] / unit - at[None]) ** 2).sum(2)
        near = np.exp(-away / (2 * (_BEND_OVER * FINE) ** 2))
        mass = np.einsum("pn,nij->pij", near, weight) + _BEND_HOLD * np.eye(2)
        return np.asarray(np.linalg.solve(mass, (near @ pull)[..., None])[..., 0] * unit, np.float64)


def refine(scan: Scan, reference: Reference, matrix: Matrix, rounds: Sequence[tuple[int, int]] = ROUNDS) -> Place:
    """The place that fits the patches of the reference best, from one that is a few millimetres off."""
    place = Place(matrix)
    for reach, coarser in rounds:
        middles = np.array([patch.middle for patch in reference.patches]).reshape(-1, 2)
        unit = max(reference.size) / FINE
        bent = np.clip(place.bend(middles * unit, max(reference.size)) / unit, -_MOST_BEND, _MOST_BEND)
        border = reach + int(np.ceil(np.abs(bent).max(initial=0))) + 2
        seen = look(scan, reference, place.matrix, border, coarser)
        looked = (
            find(patch, seen, reach, (float(x), float(y)), coarser, border)
            for patch, (x, y) in zip(reference.patches, bent, strict=True)
        )
        sights = [sight for sight in looked if sight is not None]
        if len(sights) < 6:
            break
        better = _homography(place.matrix, sights, reference)
        if better is None:
            break
        place = Place(better[0], _agreeing(better[1]))
    return place


def _agreeing(sights: tuple[Sight, ...]) -> tuple[Sight, ...]:
    """The sights, those that lie otherwise than what is around them weighted down."""
    for _ in range(2):
        around = Place(np.eye(3), sights).bend(np.array([sight.at for sight in sights]), FINE)
        weights = []
        for sight, there in zip(sights, around, strict=True):
            rest = sight.moved - there
            size = float(rest @ sight.weight @ rest) / max(float(np.trace(sight.weight)), 1e-9)
            weights.append(1 / (1 + size / _DISAGREES**2) ** 2)
        sights = tuple(replace(sight, weight=sight.weight * w) for sight, w in zip(sights, weights, strict=True))
    return sights


def look(scan: Scan, reference: Reference, matrix: Matrix, border: int, coarser: int = 1) -> Contrast:
    """Contrast of the scan seen through a map at the fine size, `border` pixels around it; half as fine with 2."""
    longer, closer = FINE // coarser, reference.closer
    border = -(-border // coarser)
    to_fine = reference.scaled(longer)
    to_fine[:2, 2] += border
    size = [round(v * longer / max(reference.size)) + 2 * border for v in reference.size]
    picture, there = seen_through(scan, matrix @ inverse(to_fine), (size[0], size[1]), closer)
    made = reference.seen(picture, longer)
    made[~there] = 0
    return made


def seen_through(
    scan: Scan, matrix: Matrix, size: tuple[int, int], closer: int, bend: npt.NDArray[np.float32] | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """`Scan.through`, the picture `closer` times as large; where the scan is, at the size itself."""
    if closer == 1:
        return scan.through(matrix, size, bend)
    away = (closer - 1) / 2
    larger = matrix @ inverse(np.array([[closer, 0, away], [0, closer, away], [0, 0, 1]]))
    full = size[0] * closer, size[1] * closer
    bent = None if bend is None else np.asarray(cv2.resize(bend, full) * closer, np.float32)
    picture, there = scan.through(larger, full, bent)
    return picture, there[closer // 2 :: closer, closer // 2 :: closer][: size[1], : size[0]]


def find(
    patch: Patch, seen: Contrast, reach: int, expected: tuple[float, float], coarser: int = 1, border: int | None = None
) -> Sight | None:
    """Where a patch lies near where it is expected; None where it is not to be seen there.

    seen: made by `look` with a border (`reach` where not given); expected: pixels off its place in the template.
    """
    border = -(-(reach if border is None else border) // coarser)
    reach = -(-reach // coarser)
    wanted = patch.print if coarser == 1 else patch.half
    off_x, off_y = round(expected[0] / coarser), round(expected[1] / coarser)
    x, y = patch.x // coarser + border - reach + off_x, patch.y // coarser + border - reach + off_y
    h, w = wanted.shape
    if x < 0 or y < 0 or x + w + 2 * reach > seen.shape[1] or y + h + 2 * reach > seen.shape[0]:
        return None
    area = seen[y : y + h + 2 * reach, x : x + w + 2 * reach]
    if not area.any():
        return None
    like = cv2.matchTemplate(area, wanted, cv2.TM_CCORR_NORMED)
    # Along a stroke a patch fits everywhere; the least move then is the right one.
    held = like - _hold(reach)
    r, c = np.unravel_index(int(np.argmax(held)), held.shape)
    best = float(like[r, c])
    if best < _LEAST_LIKENESS or not np.isfinite(best):
        return None
    dx, dy = c - reach + _peak(held[r, :], int(c)), r - reach + _peak(held[:, c], int(r))
    moved = np.array([(dx + off_x) * coarser + (patch.x // coarser) * coarser - patch.x, 0.0])
    moved[1] = (dy + off_y) * coarser + (patch.y // coarser) * coarser - patch.y
    return Sight(patch.middle, moved, best**2 * patch.hold * 20, best)


@lru_cache(maxsize=16)
def _hold(reach: int) -> Contrast:
    steps = np.arange(-reach, reach + 1, dtype=np.float32) / max(reach, 1)
    return np.asarray(np.float32(0.03) * (steps[:, None] ** 2 + steps[None, :] ** 2), np.float32)


def _peak(values: Contrast, k: int) -> float:
    """Where the top of a parabola through three neighbours lies, -0.5..0.5 beside the middle one."""
    if not 0 < k < len(values) - 1:
        return 0.0
    a, b, c = (float(v) for v in values[k - 1 : k + 2])
    bow = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / bow, -0.5, 0.5)) if bow < -1e-6 else 0.0


def _homography(matrix: Matrix, sights: list[Sight], reference: Reference) -> tuple[Matrix, tuple[Sight, ...]] | None:
    """The map, and what is off it still: a small homography fitted to the moves of the patches by least squares,
    reweighted (Geman-McClure), each patch counting in the directions in which it holds.
    """
    w, h = (v * FINE / max(reference.size) for v in reference.size)
    middle, unit = np.array([w / 2, h / 2]), max(w, h) / 2
    at = (np.array([sight.at for sight in sights]) - middle) / unit
    moved = np.array([sight.moved for sight in sights]) / unit
    weight = np.array([sight.weight for sight in sights])
    x, y = at.T
    o, z = np.ones_like(x), np.zeros_like(x)
    rows = np.stack(
        [np.stack([x, y, o, z, z, z, x * x, x * y], 1), np.stack([z, z, z, x, y, o, x * y, y * y], 1)], 1
    )  # (n, 2, 8)
    hold = np.diag([0.02, 0.02, 1e-4, 0.02, 0.02, 1e-4, 0.3, 0.3]) * float(np.trace(weight.sum(0))) * 0.05
    hold += 1e-6 * np.eye(8)
    robust = np.ones(len(sights))
    solution = np.zeros(8)
    scale = float(np.quantile(np.abs(moved), 0.7)) + 1.0 / unit
    for _ in range(6):
        share = weight * robust[:, None, None]
        left = np.einsum("nia,nij,njb->ab", rows, share, rows) + hold
        right = np.einsum("nia,nij,nj->a", rows, share, moved)
        solution = np.linalg.solve(left, right)
        rest = moved - rows @ solution
        size = np.sqrt(
            np.einsum("ni,nij,nj->n", rest, weight, rest) / np.maximum(np.trace(weight, axis1=1, axis2=2), 1e-9)
        )
        scale = max(1.5 * float(np.median(size)), 1.5 / unit)
        robust = 1 / (1 + (size / scale) ** 2) ** 2
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    p, q = ((corners - middle) / unit).T
    o, z = np.ones_like(p), np.zeros_like(p)
    shift = (
        np.stack([np.stack([p, q, o, z, z, z, p * p, p * q], 1), np.stack([z, z, z, p, q, o, p * q, q * q], 1)], 1)
        @ solution
    )
    if not np.isfinite(shift).all() or np.abs(shift).max() > 0.25:
        return None
    to_fine = reference.scaled(FINE)
    step = cv2.getPerspectiveTransform(corners.astype(np.float32), (corners + shift * unit).astype(np.float32))
    made = matrix @ inverse(to_fine) @ np.asarray(step, np.float64) @ to_fine
    left_over = tuple(replace(sight, moved=rest[i] * unit) for i, sight in enumerate(sights))
    return np.asarray(made / made[2, 2], np.float64), left_over


def coarse_bend(place: Place, reference: Reference) -> npt.NDArray[np.float32] | None:
    """How far each pixel of the coarse picture is moved by the bend, (h, w, 2); None where it is hardly at all."""
    if not place.sights:
        return None
    h, w = reference.coarse.shape
    columns, rows = np.meshgrid(np.linspace(0, w - 1, 9), np.linspace(0, h - 1, 12))
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    f = max(reference.size) / COARSE
    moved = place.bend((points - np.array(reference.reach)) * f, max(reference.size)).reshape(12, 9, 2) / f
    if np.abs(moved).max() < 0.3:
        return None
    return np.asarray(cv2.resize(moved.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def snap(
    place: Place, reference: Reference, patch: Patch, seen: Contrast, border: int, box: Box
) -> tuple[npt.NDArray[np.float64], float]:
    """How far a field lies off the homography, (2,) template pixels, by its own print; and how well that fits, 0..1.

    It is looked for within a quarter of its height of where the paper around it lies, never half a row away.
    """
    x, y, w, h = box
    unit = max(reference.size) / FINE
    around = place.bend(np.array([[x + w / 2, y + h / 2]]), max(reference.size))[0] / unit
    reach = int(np.clip(0.25 * h / unit, 3, 10))
    sight = find(patch, seen, reach, (float(around[0]), float(around[1])), border=border)
    if sight is None:
        return around * unit, 0.0
    held = np.linalg.solve(sight.weight + 0.15 * np.eye(2), sight.weight @ (sight.moved - around))
    return (around + held) * unit, sight.likeness
