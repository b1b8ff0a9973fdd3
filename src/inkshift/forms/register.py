"""Where a page lies under its template: by corner marks, by printed lines, or by keypoints of a blank page.

A page may lie turned by a quarter or half; the turn whose printed lines fall best onto the template wins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.errors import RegistrationError
from inkshift.forms import lines
from inkshift.forms.template import FieldSpec, Mark, PageSpec
from inkshift.reframe import to_gray

Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

# The least share of the template's printed lines that must be found under a page that is read: three marks say
# less than four, and lines that were fitted on one another say more.
LEAST_FOUR_MARKS, LEAST_THREE_MARKS, LEAST_LINES, LEAST_KEYPOINTS = 0.5, 0.7, 0.4, 0.5
_FULL = 0.8
_TALLEST_FIELD = 96
_THREES = tuple(itertools.combinations(range(4), 3))


@dataclass(frozen=True, slots=True)
class Registered:
    """A page laid onto its template.

    image: the page, turned upright, (H, W) or (H, W, 3) uint8. matrix: 3x3, template to image pixels.
    quality: share, 0 to 1, of the template's printed lines found where they should be. turn: degrees
    clockwise that it was turned to stand upright. paper: gray level of its paper. least: quality below which it is not
    believed.
    """

    image: npt.NDArray[np.uint8]
    matrix: Matrix
    quality: float
    turn: int
    paper: int = 255
    least: float = LEAST_FOUR_MARKS


def register(image: npt.NDArray[np.uint8], page: PageSpec, reference: Gray | None = None) -> list[Registered]:
    """Lay a page, (H, W) or (H, W, 3) uint8, onto its template; `reference` is the picture that `page` names.

    Best first; more than one where the form looks alike both ways up and only what is written can tell.
    Raises RegistrationError where nothing of the template is found, or too little to be read blindly.
    """
    both = _alike_turned(page)
    found = sorted(_attempts(image, page, reference, both), key=lambda one: -one.quality)
    if not found:
        wanted = "corner marks" if page.marks else "printed lines" if page.lines else "keypoints of the blank page"
        raise RegistrationError(f"the template's {wanted} are not on this page; is it this form, and scanned whole?")
    believed = [one for one in found if one.quality >= one.least]
    if not believed:
        raise RegistrationError(
            f"the page does not fit the template: {found[0].quality:.0%} of its printed lines found, at least "
            f"{found[0].least:.0%} expected; is it this form, and scanned whole?"
        )
    best = believed[0]
    other = [one for one in believed if both and one.turn != best.turn and one.quality >= best.quality - 0.15]
    return [best, *other[:1]]


def _attempts(image: npt.NDArray[np.uint8], page: PageSpec, reference: Gray | None, both: bool) -> Iterator[Registered]:
    """The page laid onto the template every way up, until one way fits well, or two where `both` may."""
    good = False
    for turn in _turns(image, page):
        upright = np.ascontiguousarray(np.rot90(image, -turn // 90)) if turn else image
        gray = to_gray(upright)
        paper = int(np.median(gray[::16, ::16]))
        for matrix, least in _locate(gray, page, reference):
            share = quality(gray, page, matrix)
            good = good or share >= _FULL
            yield Registered(upright, matrix, share, turn, paper, least)
            if share >= _FULL:
                break
        if good and (not both or turn in (180, 270)):
            return


@lru_cache(maxsize=64)
def _alike_turned(page: PageSpec) -> bool:
    """Whether most of the printed lines fall on each other when the page is turned upside down."""
    wanted = _printed(page)
    if not wanted:
        return True
    points, upright = lines.sample(wanted)
    reach = max(8, 0.012 * page.size[0])
    some = slice(None, None, max(1, len(points) // 200))
    turned = np.array(page.size) - points[some]
    hits = [
        np.abs(points[upright == u] - at).max(1).min() <= reach for at, u in zip(turned, upright[some], strict=True)
    ]
    return float(np.mean(hits)) > 0.6


def _turns(image: npt.NDArray[np.uint8], page: PageSpec) -> tuple[int, ...]:
    lies_wide, drawn_wide = image.shape[1] > image.shape[0], page.size[0] > page.size[1]
    return (0, 180, 90, 270) if lies_wide == drawn_wide else (90, 270, 0, 180)


def _locate(gray: Gray, page: PageSpec, reference: Gray | None) -> list[tuple[Matrix, float]]:
    """Maps from template to page, each with the least quality at which it is believed."""
    if page.marks:
        return by_marks(gray, page)
    if page.lines:
        matrix, least = lines.align(gray, page.size, page.lines), LEAST_LINES
    else:
        matrix, least = (by_keypoints(gray, reference) if reference is not None else None), LEAST_KEYPOINTS
    return [] if matrix is None else [(matrix, least)]


def by_marks(gray: Gray, page: PageSpec) -> list[tuple[Matrix, float]]:
    """The homography from the filled squares near where the template has them, if there are four.

    Then, should one of the four be torn off or be something else, the affine maps that three of them give.
    """
    h, w = gray.shape
    scale = np.array([w / page.size[0], h / page.size[1]])
    squares = _squares(gray, page.marks, float(scale.mean()))
    wanted = np.array([[mark.x, mark.y] for mark in page.marks])
    choices = []
    for corner in wanted * scale:
        away = np.linalg.norm(squares[:, :2] - corner, axis=1) if len(squares) else np.zeros(0)
        near = np.argsort(away)[:5]
        choices.append([squares[i] for i in near if away[i] < 0.2 * np.hypot(h, w)])
    maps: list[tuple[Matrix, float]] = []
    found = _best_squares(wanted, choices)
    if found is not None:
        matrix = cv2.getPerspectiveTransform(wanted.astype(np.float32), found.astype(np.float32))
        maps.append((np.asarray(matrix, np.float64), LEAST_FOUR_MARKS))
    threes = [(list(rows), _best_squares(wanted[list(rows)], [choices[i] for i in rows])) for rows in _THREES]
    for rows, three in threes:
        if three is not None:
            affine = cv2.getAffineTransform(wanted[rows].astype(np.float32), three.astype(np.float32))
            maps.append((np.vstack([affine, (0.0, 0.0, 1.0)]), LEAST_THREE_MARKS))
    return maps


def _best_squares(
    wanted: npt.NDArray[np.float64], choices: list[list[npt.NDArray[np.float64]]]
) -> npt.NDArray[np.float64] | None:
    """One square for each mark, (N, 2) centres, such that they lie to each other as the marks do; None if none do."""
    best, least = None, 0.03
    for some in itertools.product(*choices):
        points = np.array(some)
        misfit = _misfit(wanted, points[:, :2]) + 0.02 * float(np.std(points[:, 2]) / points[:, 2].mean())
        if misfit < least:
            best, least = points[:, :2], misfit
    return best


def _misfit(wanted: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> float:
    """Root mean square distance after the best turn, scale and stretch, as a share of the diagonal."""
    design = np.column_stack([wanted, np.ones(len(wanted))])
    solution = np.linalg.lstsq(design, found, rcond=None)[0]
    turn = abs(np.arctan2(solution[0, 1], solution[0, 0]))
    diagonal = np.linalg.norm(found.max(0) - found.min(0)) + 1e-9
    size = np.linalg.norm(solution[:2], axis=1)
    stretch = abs(np.log(max(size[0], 1e-9) / max(size[1], 1e-9)))
    rest = float(np.sqrt(np.mean((design @ solution - found) ** 2)) / diagonal)
    return rest + 0.05 * float(turn) + 0.03 * float(stretch)


def _squares(gray: Gray, marks: tuple[Mark, ...], scale: float) -> npt.NDArray[np.float64]:
    """Filled dark squares: rows of centre x, centre y, side."""
    side = float(np.mean([mark.size for mark in marks])) * scale
    shrink = max(1.0, side / 12)
    if shrink > 1:
        size = round(gray.shape[1] / shrink), round(gray.shape[0] / shrink)
        gray, side = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8), 12.0
    _, dark = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    core = max(3, int(side * 0.45))
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((core, core), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark)
    x, y, w, h, area = stats[1:].T.astype(np.float64)
    good = (
        (np.maximum(w, h) < 1.8 * side)
        & (np.minimum(w, h) > 0.5 * side)
        & (area > 0.7 * w * h)
        & (np.minimum(w, h) > 0.65 * np.maximum(w, h))
    )
    found = np.column_stack([x + w / 2, y + h / 2, (w + h) / 2])[good]
    return np.asarray(found * shrink - (0.5, 0.5, 0), np.float64)


def by_keypoints(gray: Gray, reference: Gray) -> Matrix | None:
    """Homography from ORB keypoints shared with a picture of the blank page, or None."""
    shrink = [min(1.0, 1400 / max(picture.shape)) for picture in (reference, gray)]
    small = [
        cv2.resize(picture, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
        for picture, f in zip((reference, gray), shrink, strict=True)
    ]
    finder = cv2.ORB.create(4000)
    (ours, our_codes), (theirs, their_codes) = (finder.detectAndCompute(picture, None) for picture in small)
    if our_codes is None or their_codes is None:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(our_codes, their_codes, k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < 0.8 * p[1].distance]
    if len(good) < 12:
        return None
    a = np.array([ours[m.queryIdx].pt for m in good], np.float32) / shrink[0]
    b = np.array([theirs[m.trainIdx].pt for m in good], np.float32) / shrink[1]
    matrix, inside = cv2.findHomography(a, b, cv2.USAC_MAGSAC, 3.0)
    if matrix is None or inside.sum() < 12 or not _is_a_page(np.asarray(matrix, np.float64), reference, gray):
        return None
    return np.asarray(matrix, np.float64)


def _is_a_page(matrix: Matrix, reference: Gray, gray: Gray) -> bool:
    """Whether a homography lays the blank page down whole: not mirrored, crushed or mostly off the scan."""
    h, w = reference.shape
    corners = lines.project(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), matrix).astype(np.float32)
    area = cv2.contourArea(corners, oriented=True)
    return bool(cv2.isContourConvex(corners) and 0.3 < area / gray.size < 3)


def quality(gray: Gray, page: PageSpec, matrix: Matrix) -> float:
    """Share, 0 to 1, of the template's printed lines and field frames that are dark under the page.

    1.0 where the template has neither.
    """
    wanted = _printed(page)
    if not wanted:
        return 1.0
    points, upright = lines.sample(wanted)
    return lines.share_found(gray, lines.project(points, matrix), upright)


@lru_cache(maxsize=64)
def _printed(page: PageSpec) -> tuple[lines.Line, ...]:
    return (*page.lines, *(side for spec in page.fields if spec.frame for side in frame_of(spec)))


def frame_of(spec: FieldSpec) -> list[tuple[float, float, float, float]]:
    """The printed lines of a field's box as x1, y1, x2, y2: the four sides, and the walls between cells."""
    x, y, w, h = spec.box
    walls = [x + w * i / spec.cells for i in range(spec.cells + 1)] if spec.cells else [x, x + w]
    return [(x, y, x + w, y), (x, y + h, x + w, y + h), *((at, y, at, y + h) for at in walls)]


def cut(
    picture: npt.NDArray[np.uint8], page: Registered, box: tuple[float, float, float, float], margin: float, paper: int
) -> tuple[npt.NDArray[np.uint8], float]:
    """The crop of a box of the template and `margin` template pixels around it, and its pixels for one of them.

    picture: the registered page's image, or one made from it pixel by pixel. Cut at the page's own resolution,
    but no box higher than 96 px; what lies beyond the page is `paper`.
    """
    x, y, w, h = box
    a, b, c = lines.project(np.array([[x, y], [x + w, y], [x, y + h]], np.float64), page.matrix)
    own = 0.5 * (np.linalg.norm(b - a) / w + np.linalg.norm(c - a) / h)
    scale = float(np.clip(own, 0.25, max(_TALLEST_FIELD / h, 0.25)))
    size = max(4, round((w + 2 * margin) * scale)), max(4, round((h + 2 * margin) * scale))
    to_template = np.array([[1 / scale, 0, x - margin], [0, 1 / scale, y - margin], [0, 0, 1]], np.float64)
    out = cv2.warpPerspective(
        picture,
        page.matrix @ to_template,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(paper,) * 3,
    )
    return np.asarray(out, np.uint8), scale
