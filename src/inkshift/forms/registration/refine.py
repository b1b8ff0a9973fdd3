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

from inkshift.arrays import Matrix, Points
from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.reference import COARSE, FINE, Patch, Reference, darkest_along, halved
from inkshift.forms.registration.scan import Contrast, Scan, Sheet, inverse, warped

# How far patches are looked for, in pixels of the fine print (0.3 mm of A4), and how many times coarser: from a rough
# place; from one that is right or a period off; from the middle of paper that is bent a lot.
ROUNDS = ((20, 2), (12, 2), (8, 1))
NEAR = ((10, 2), (8, 1))
_CLOSELY = (12, 8, 6)
WIDE = ((44, 2), (24, 2), (12, 2), (8, 1))
# Likeness (normalised correlation, 0..1) below which a patch says nothing.
_LEAST_LIKENESS = 0.25
# Patches that are seen at least, for them to move a place.
_ENOUGH = 6
# Paper bends over about this share of the form's longer side; where it is followed closely, over the second. A patch
# alone moves nothing by more than a few pixels.
_BEND_OVER, _BEND_CLOSELY = 0.12, 0.045
_BEND_HOLD = 0.5
# Paper bends by less than 18 mm of A4; a patch that lies this far (pixels) from where those around it say is doubted.
_MOST_BEND = 60
# Places whose corners differ by less than this share of the form look at the same sheet.
_NEARBY = 0.016
_DISAGREES = 5.0
# A patch that was seen is looked for again no farther than it lay from where those around it say, and so many pixels.
_BESIDE, _NEAREST = 2, 4
# A border of a column or a row that is seen less than this of what is usual is not in its place; one that is as plain
# as this of it is one, so many pixels from that place at least. So few lack where all others are seen so much.
_GONE, _AS_PLAIN, _ELSEWHERE = 0.3, 0.5, 5
_FEW_GONE, _ALL_PLAIN, _OTHERS = 2, 0.6, 3
# Share of a field's width by which paper that bends may bring its border in.
_FORESHORTENED = 0.1
# Pixels around a scan that its contrast is made of, more than the window.
_AROUND = 36


@dataclass(frozen=True, slots=True)
class Sights:
    """Where N patches were found. at: (N, 2), their places in fine pixels of the template; moved: (N, 2), by how much
    they lie off; weight: (N, 2, 2), how sure that is in which direction; likeness: (N,), 0..1. over: how far around
    each the paper is bent as it is there, as a share of the form's longer side.
    """

    at: Points
    moved: Points
    weight: npt.NDArray[np.float64]
    likeness: npt.NDArray[np.float64]
    over: float = _BEND_OVER

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page lies. matrix: 3x3, template to scan pixels; sights: what was found off it, in fine pixels."""

    matrix: Matrix
    sights: Sights | None = field(default=None, repr=False)

    def bend(self, points: Points, longer: int) -> Points:
        """How far points (N, 2) of the template lie off the homography, in template pixels: a mean of what was seen
        around, weighted by nearness and by how sure each is in each direction, and held back where little was.
        """
        if self.sights is None or not len(points):
            return np.zeros_like(points)
        unit = longer / FINE
        weight = self.sights.weight
        pull = (weight @ self.sights.moved[..., None])[..., 0]
        away = ((points[:, None] / unit - self.sights.at[None]) ** 2).sum(2)
        near = np.exp(-away / (2 * (self.sights.over * FINE) ** 2))
        mass = (near @ weight.reshape(-1, 4)).reshape(-1, 2, 2) + _BEND_HOLD * np.eye(2)
        return np.asarray(np.linalg.solve(mass, (near @ pull)[..., None])[..., 0] * unit, np.float64)


def refine(
    scan: Scan,
    reference: Reference,
    matrix: Matrix,
    rounds: Sequence[tuple[int, int]] = ROUNDS,
    held: bool = False,
) -> Place:
    """The place that fits the patches of the reference best, from one that is a few millimetres off.

    held: the homography is exact, as four corner marks are, so that all that lies off it is the paper's bend.
    """
    place = Place(matrix)
    far = np.array([patch.alone for patch in reference.patches], np.int64)
    unit = max(reference.size) / FINE
    for reach, coarser in rounds:
        found, sights = _seen_from(scan, reference, place, reference.patches, np.minimum(far, reach), coarser)
        if found.sum() < _ENOUGH:
            break
        better = (matrix, sights) if held else _homography(place.matrix, sights, reference)
        if better is None:
            break
        place = Place(better[0], _agreeing(better[1]))
        left = np.abs(better[1].moved - place.bend(better[1].at * unit, max(reference.size)) / unit).max(1)
        far[found] = np.minimum(far[found], np.maximum(np.ceil(left) + _BESIDE, _NEAREST).astype(np.int64))
    return place


def follow(scan: Scan, reference: Reference, place: Place) -> Place:
    """The place where paper that bends a lot is followed closely: by many small patches, each looked for near where
    those around it lie."""
    patches = reference.small_patches
    far = np.array([patch.alone for patch in patches], np.int64)
    for reach in _CLOSELY:
        found, sights = _seen_from(scan, reference, place, patches, np.minimum(far, reach))
        if found.sum() < _ENOUGH:
            break
        place = Place(place.matrix, _agreeing(replace(sights, over=_BEND_CLOSELY)))
    return place


def _seen_from(
    scan: Scan,
    reference: Reference,
    place: Place,
    patches: Sequence[Patch],
    reach: npt.NDArray[np.int64],
    coarser: int = 1,
) -> tuple[npt.NDArray[np.bool_], Sights]:
    """Which patches are seen near where a place has them, and where: see `find`."""
    unit, longer = max(reference.size) / FINE, max(reference.size)
    middles = np.array([patch.middle for patch in patches]).reshape(-1, 2)
    bent = np.clip(place.bend(middles * unit, longer) / unit, -_MOST_BEND, _MOST_BEND)
    border = int(reach.max(initial=0)) + int(np.ceil(np.abs(bent).max(initial=0))) + 2
    return find(patches, look(scan, reference, place.matrix, border, coarser), reach, bent, coarser, border)


def over_turned(place: Place, reference: Reference, matrix: Matrix) -> Place:
    """A bent place upside down: on `matrix`, the paper bent as it is."""
    if place.sights is None:
        return Place(matrix)
    ends = np.array(reference.size) * FINE / max(reference.size)
    return Place(matrix, replace(place.sights, at=ends - place.sights.at, moved=-place.sights.moved))


def _agreeing(sights: Sights) -> Sights:
    """The sights, those that lie otherwise than what is around them weighted down."""
    for _ in range(2):
        rest = sights.moved - Place(np.eye(3), sights).bend(sights.at, FINE)
        size = _size(rest, sights.weight) / _DISAGREES**2
        sights = replace(sights, weight=sights.weight * (1 / (1 + size) ** 2)[:, None, None])
    return sights


def _size(rest: Points, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared lengths (N,) of moves (N, 2), each counting in the directions in which it holds."""
    squares = (rest * (weight @ rest[..., None])[..., 0]).sum(1)
    return np.asarray(squares / np.maximum(weight[:, 0, 0] + weight[:, 1, 1], 1e-9), np.float64)


def look(scan: Scan, reference: Reference, matrix: Matrix, border: int, coarser: int = 1) -> Contrast:
    """Contrast of the scan seen through a map at the fine size, `border` pixels around it; half as fine with 2."""
    longer = FINE // coarser
    border = -(-border // coarser)
    to_fine = reference.scaled(longer)
    to_fine[:2, 2] += border
    size = [round(v * longer / max(reference.size)) + 2 * border for v in reference.size]
    return compared(scan, reference, matrix, longer, to_fine, (size[0], size[1]))


def compared(
    scan: Scan,
    reference: Reference,
    matrix: Matrix,
    longer: int,
    to_picture: Matrix,
    size: tuple[int, int],
    bend: npt.NDArray[np.float32] | None = None,
) -> Contrast:
    """The scan through `matrix` as it is compared with a form, 0 beyond the scan: (h, w) float32.

    to_picture: 3x3, template pixels to those of the picture of `size`, width and height, in which the form is `longer`
    pixels. bend: (h, w, 2), how far each of its pixels is moved before.
    """
    sheet = _sheet(scan, reference, matrix)
    if longer not in sheet.pictures:
        sheet.pictures[longer] = _spread(scan, reference, sheet, longer)
    picture, to_sheet = sheet.pictures[longer]
    step = to_sheet @ inverse(sheet.matrix) @ matrix @ inverse(to_picture)
    return np.asarray(warped(picture, step, size, bend), np.float32)


def seen_there(
    scan: Scan,
    reference: Reference,
    matrix: Matrix,
    size: tuple[int, int],
    longer: int,
    bend: npt.NDArray[np.float32] | None = None,
) -> tuple[Contrast, npt.NDArray[np.bool_]]:
    """A scan through `matrix`, 3x3, from the pixels of a picture of `size` (width, height) to its own, as it is
    compared with a form at `longer`, 0 beyond the scan; and where there is scan: (h, w) both.

    bend: (h, w, 2), how far each pixel of the picture is moved before.
    """
    there = scan.covered(matrix, size)
    made = np.zeros(there.shape, np.float32)
    x, y, w, h = cv2.boundingRect(there.view(np.uint8))
    if not w:
        return made, there
    # Only what is near enough to the scan to show in it; beyond, all is of one gray.
    x0, y0 = max(x - _AROUND, 0), max(y - _AROUND, 0)
    part = slice(y0, min(y + h + _AROUND, size[1])), slice(x0, min(x + w + _AROUND, size[0]))
    high, wide = made[part].shape
    closer = reference.closer(longer)
    away = (closer - 1) / 2
    finer = np.array([[closer, 0, away - closer * x0], [0, closer, away - closer * y0], [0, 0, 1]])
    full = wide * closer, high * closer
    bent = None if bend is None else np.asarray(cv2.resize(bend[part] * closer, full), np.float32)
    picture = scan.through(matrix @ inverse(finer), full, bent)
    plain = closer**2 * made.size - picture.size
    made[part] = reference.seen(picture, longer, plain)
    return np.asarray(cv2.copyTo(made, there.view(np.uint8)), np.float32), there


def _sheet(scan: Scan, reference: Reference, matrix: Matrix) -> Sheet:
    """What was seen of a scan from about a place, upright or upside down: turned and stretched by less than 1 %, and as
    little aside."""
    w, h = reference.size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    for sheet in scan.sheets:
        if sheet.known is not reference:
            continue
        there = project(project(corners, matrix), inverse(sheet.matrix))
        if min(np.abs(there - own).max() for own in (corners, corners[[2, 3, 0, 1]])) < _NEARBY * max(w, h):
            return sheet
    scan.sheets.append(Sheet(reference, matrix))
    return scan.sheets[-1]


def _spread(scan: Scan, reference: Reference, sheet: Sheet, longer: int) -> tuple[Contrast, Matrix]:
    """A picture for a sheet, wide enough for all places and rivals that look at it."""
    if reference.drawn and longer == COARSE:
        if FINE not in sheet.pictures:
            sheet.pictures[FINE] = _spread(scan, reference, sheet, FINE)
        fine, to_fine = sheet.pictures[FINE]
        return halved(fine), np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]) @ to_fine
    to_picture = reference.scaled(longer)
    around = [2 * round((v + _NEARBY * COARSE + 4) * longer / COARSE / 2) for v in reference.reach]
    to_picture[:2, 2] += around
    wide, high = (2 * round(v * longer / max(reference.size) / 2) for v in reference.size)
    size = wide + 2 * around[0], high + 2 * around[1]
    return seen_there(scan, reference, sheet.matrix @ inverse(to_picture), size, longer)[0], to_picture


def find(
    patches: Sequence[Patch],
    seen: Contrast,
    reach: npt.NDArray[np.int64],
    expected: Points,
    coarser: int = 1,
    border: int = 0,
) -> tuple[npt.NDArray[np.bool_], Sights]:
    """Where patches lie near where they are expected: which of them are seen there, (N,) bool, and where these are.

    seen: made by `look` with a border; reach: (N,), how far each is looked for; expected: (N, 2), pixels off its place
    in the template.
    """
    border, high, wide = -(-border // coarser), *seen.shape
    corner = np.array([[patch.x, patch.y] for patch in patches], np.int64).reshape(-1, 2)
    off = np.rint(expected / coarser).astype(np.int64)
    reach = -(-reach // coarser)
    start = corner // coarser + border - reach[:, None] + off
    found = np.zeros(len(patches), np.bool_)
    moved, likeness = np.zeros((len(patches), 2)), np.zeros(len(patches))
    for k, (patch, (x, y), far) in enumerate(zip(patches, start.tolist(), reach.tolist(), strict=True)):
        wanted = patch.print if coarser == 1 else patch.half
        h, w = wanted.shape
        bottom, right = y + h + 2 * far, x + w + 2 * far
        if x < 0 or y < 0 or right > wide or bottom > high:
            continue
        like = cv2.matchTemplate(seen[y:bottom, x:right], wanted, cv2.TM_CCORR_NORMED)
        # Along a stroke a patch fits everywhere; the least move then is the right one.
        held = like - _hold(far)
        _, top, _, (c, r) = cv2.minMaxLoc(held)
        best = float(like[r, c])
        if not _LEAST_LIKENESS <= best <= 1.01 or not np.isfinite(top):
            continue
        found[k], likeness[k] = True, best
        moved[k] = c - far + _peak(held[r, :], c), r - far + _peak(held[:, c], r)
    moved = (moved + off) * coarser + (corner // coarser) * coarser - corner
    hold = np.array([patch.hold for patch in patches]).reshape(-1, 2, 2)
    at = np.array([patch.middle for patch in patches]).reshape(-1, 2)
    weight = (20 * likeness**2)[:, None, None] * hold
    return found, Sights(at[found], moved[found], weight[found], likeness[found])


@lru_cache(maxsize=16)
def _hold(reach: int) -> Contrast:
    steps = np.arange(-reach, reach + 1, dtype=np.float32) / max(reach, 1)
    return np.asarray(np.float32(0.03) * (steps[:, None] ** 2 + steps[None, :] ** 2), np.float32)


def _peak(values: Contrast, k: int) -> float:
    """Where the top of a parabola through three neighbours lies, -0.5..0.5 beside the middle one."""
    if not 0 < k < len(values) - 1:
        return 0.0
    a, b, c = values[k - 1 : k + 2].tolist()
    bow = a - 2 * b + c
    return float(min(max(0.5 * (a - c) / bow, -0.5), 0.5)) if bow < -1e-6 else 0.0


def _homography(matrix: Matrix, sights: Sights, reference: Reference) -> tuple[Matrix, Sights] | None:
    """The map, and what is off it still: a small homography fitted to the moves of the patches by least squares,
    reweighted (Geman-McClure), each patch counting in the directions in which it holds.
    """
    w, h = (v * FINE / max(reference.size) for v in reference.size)
    middle, unit = np.array([w / 2, h / 2]), max(w, h) / 2
    moved, weight = sights.moved / unit, sights.weight
    rows = _moves((sights.at - middle) / unit)
    hold = np.diag([0.02, 0.02, 1e-4, 0.02, 0.02, 1e-4, 0.3, 0.3]) * float(np.trace(weight.sum(0))) * 0.05
    hold += 1e-6 * np.eye(8)
    robust: npt.NDArray[np.float64] = np.ones(len(sights))
    solution: npt.NDArray[np.float64] = np.zeros(8)
    flat, rest = rows.reshape(-1, 8), moved
    for _ in range(6):
        share = weight * robust[:, None, None]
        left = flat.T @ (share @ rows).reshape(-1, 8) + hold
        right = flat.T @ (share @ moved[..., None]).ravel()
        solution = np.asarray(np.linalg.solve(left, right), np.float64)
        rest = moved - rows @ solution
        size = np.asarray(np.sqrt(_size(rest, weight)), np.float64)
        scale = max(1.5 * float(np.median(size)), 1.5 / unit)
        robust = 1 / (1 + (size / scale) ** 2) ** 2
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    shift = _moves((corners - middle) / unit) @ solution
    if not np.isfinite(shift).all() or np.abs(shift).max() > 0.25:
        return None
    to_fine = reference.scaled(FINE)
    step = cv2.getPerspectiveTransform(corners.astype(np.float32), (corners + shift * unit).astype(np.float32))
    made = matrix @ inverse(to_fine) @ np.asarray(step, np.float64) @ to_fine
    return np.asarray(made / made[2, 2], np.float64), replace(sights, moved=rest * unit)


def _moves(points: Points) -> npt.NDArray[np.float64]:
    """How points (N, 2) move with each of the eight parameters of a small homography, (N, 2, 8)."""
    x, y = points.T
    o, z = np.ones_like(x), np.zeros_like(x)
    return np.stack([np.stack([x, y, o, z, z, z, x * x, x * y], 1), np.stack([z, z, z, x, y, o, x * y, y * y], 1)], 1)


def coarse_bend(place: Place, reference: Reference) -> npt.NDArray[np.float32] | None:
    """How far each pixel of the coarse picture is moved by the bend, (h, w, 2); None where it is hardly at all."""
    if place.sights is None:
        return None
    h, w = reference.coarse.shape
    columns, rows = np.meshgrid(np.linspace(0, w - 1, 9), np.linspace(0, h - 1, 12))
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    f = max(reference.size) / COARSE
    moved = place.bend((points - np.array(reference.reach)) * f, max(reference.size)).reshape(12, 9, 2) / f
    if np.abs(moved).max() < 0.3:
        return None
    return np.asarray(cv2.resize(moved.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def snap(place: Place, reference: Reference, seen: Contrast, border: int) -> tuple[Points, npt.NDArray[np.float64]]:
    """How far each field lies off the homography, (N, 2) template pixels, by its own print; and how well that fits,
    (N,), 0..1.

    Each is looked for within a quarter of its height of where the paper around it lies, never half a row away.
    """
    boxes = np.array([spec.box for spec in reference.spec.fields]).reshape(-1, 4)
    unit = max(reference.size) / FINE
    around = place.bend(boxes[:, :2] + boxes[:, 2:] / 2, max(reference.size)) / unit
    likeness = np.zeros(len(boxes))
    printed = np.array([k for k, patch in enumerate(reference.fields) if patch is not None], np.int64)
    patches = [patch for patch in reference.fields if patch is not None]
    reach = np.clip(0.25 * boxes[printed, 3] / unit, 3, 10).astype(np.int64)
    found, sights = find(patches, seen, reach, around[printed], border=border)
    at = printed[found]
    likeness[at] = sights.likeness
    pull = sights.weight @ (sights.moved - around[at])[..., None]
    around[at] += np.linalg.solve(sights.weight + 0.15 * np.eye(2), pull)[..., 0]
    return around * unit, likeness


def frames_seen(
    reference: Reference, seen: Contrast, moves: Points, border: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How much of the line of each field's frame that is seen least is seen, (N,), 0 to 1: of its sides, and of the
    walls between its cells; NaN where no line is known. And whether a border of its column or row is not there, (N,):
    it is elsewhere, or lacks alone.

    moves: where the fields lie, (N, 2), see `snap`. seen: as `look` gives it, with `border`.
    """
    owner, wall, points, dark = reference.frames
    at = points + (moves[owner] * (FINE / max(reference.size)))[:, None, None] + border
    shares = darkest_along(seen, at) / dark
    least = np.full((2, len(moves)), np.nan)
    np.fmin.at(least, (wall.astype(np.intp), owner), np.clip(shares, 0, 1))
    moved = np.zeros(len(moves), np.bool_)
    for upright in (True, False):
        some = [group for way, group in reference.rulings if way == upright]
        plain = np.array([np.median(np.clip(shares[group], 0, 1)) for group in some])
        side = np.array([not wall[group].any() for group in some], np.bool_)
        gone, there = plain < _GONE, plain[side & (plain >= _GONE)]
        # One or two that lack where all the others, and enough of them, are plain are not faint.
        alone = side & (len(there) >= _OTHERS and int((gone & side).sum()) <= _FEW_GONE and there.min() > _ALL_PLAIN)
        for k in np.flatnonzero(gone & side):
            if alone[k] or _is_beside(reference, seen, at[some[k]], some[k]):
                moved[owner[some[k]]] = True
    return least[0], least[1], moved


def _is_beside(reference: Reference, seen: Contrast, at: Matrix, group: npt.NDArray[np.intp]) -> bool:
    """Whether lines that are one border of a column or a row, and not in their place, are beside it all along, as plain
    as print is and nearer than the next. at: (L, B, P, 2), pixels of `seen`; group: (L,), which of `frames` they are.
    """
    owner, _, _, dark = reference.frames
    middle = at[:, at.shape[1] // 2]
    level = int(np.ptp(middle[0, :, 0]) > np.ptp(middle[0, :, 1]))
    fields = [reference.spec.fields[k] for k in owner[group]]
    room = min(one.box[3] if level else one.box[2] / max(one.cells, 1) for one in fields)
    wide = room * FINE / max(reference.size)
    nearest = max(_ELSEWHERE, _FORESHORTENED * wide)
    farthest = int(wide) - _ELSEWHERE
    steps = np.array([step for step in range(-farthest, farthest + 1) if abs(step) > nearest])
    beside = np.rint(middle[:, None] + steps[:, None, None] * np.array([1 - level, level])).astype(np.intp)
    columns, rows = (np.clip(beside[..., k], 0, seen.shape[1 - k] - 1) for k in (0, 1))
    along = np.median(seen[rows, columns].mean(2) / dark[group][:, None], axis=0)
    return float(along.max(initial=0)) > _AS_PLAIN
