"""Places where a page might lie: each way of looking gives maps from the template to the scan, 3x3, good or bad.

Every way takes the page as it comes, turned by any quarter and more, and smaller than the scan.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix, Points
from inkshift.forms.registration.reference import MOST_KEYPOINTS, Reference
from inkshift.forms.registration.scan import Contrast, Scan, inverse
from inkshift.forms.template import Box, Mark

# Print between 30 % and 125 % of the size at which it would fill the scan.
_SMALLEST, _LARGEST = 0.3, 1.25
_KEYPOINT_SIDE = 900
_MOST_SQUARES = 40
_MOST_TRIED = 24
# Profiles of lines and the combs laid over them, in pixels of a scan whose longer side is 1000.
_PROFILE = 4096
_SCALES = 140
_LEAST_MATCHES = 10


def project(points: Points, matrix: Matrix) -> Points:
    """Points (N, 2) through a 3x3 homography."""
    if not len(points):
        return points
    return np.asarray(cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix), np.float64).reshape(-1, 2)


def is_a_page(matrix: Matrix, size: tuple[int, int], shape: tuple[int, ...]) -> bool:
    """Whether a map lays a form of `size` down as paper can lie: not mirrored, crushed, or mostly off the scan."""
    w, h = size
    if not np.isfinite(matrix).all():
        return False
    corners = project(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), matrix)
    if not np.isfinite(corners).all() or np.abs(corners).max() > 20 * max(shape):
        return False
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1) / np.array([w, h, w, h])
    area = cv2.contourArea(corners.astype(np.float32), oriented=True)
    return bool(
        cv2.isContourConvex(corners.astype(np.float32))
        and 0.04 < area / (shape[0] * shape[1]) < 3
        and sides.max() < 1.9 * sides.min()
    )


def by_keypoints(scan: Scan, reference: Reference) -> list[Matrix]:
    """Homographies from ORB keypoints (Rublee et al. 2011) that the scan shares with the picture of the
    form: a second copy of the form in the scan is found among the keypoints that the first leaves over.
    """
    if reference.keypoints is None:
        return []
    at, codes, turns = reference.keypoints
    small, shrunk = _print_area(scan, _KEYPOINT_SIDE)
    points, theirs = cv2.ORB.create(MOST_KEYPOINTS, fastThreshold=12).detectAndCompute(small, None)
    if theirs is None or len(points) < _LEAST_MATCHES:
        return []
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(codes, np.asarray(theirs, np.uint8), k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < 0.82 * p[1].distance]
    ours = np.array([at[m.queryIdx] for m in good], np.float64).reshape(-1, 2)
    found = np.array([points[m.trainIdx].pt for m in good], np.float64).reshape(-1, 2)
    found = project(found, inverse(shrunk)) if len(found) else found
    turn = np.array([points[m.trainIdx].angle - turns[m.queryIdx] for m in good])
    step = 6.0 / shrunk[0, 0]
    maps: list[Matrix] = []
    for _ in range(2):
        if len(ours) < _LEAST_MATCHES:
            break
        cv2.setRNGSeed(1)
        matrix, inside = cv2.findHomography(ours.astype(np.float32), found.astype(np.float32), cv2.USAC_MAGSAC, step)
        enough = matrix is not None and inside.sum() >= _LEAST_MATCHES
        if enough and is_a_page(np.asarray(matrix, np.float64), reference.size, scan.gray.shape):
            maps.append(np.asarray(matrix, np.float64))
        if not (len(maps) > 1 or (enough and inside.mean() > 0.6)):
            # Bent paper agrees with no homography for more than a part of it; a loose map takes the middle. Where much
            # of the print looks alike, as dots do, four pairs drawn at random are seldom all right.
            alike = _agreeing(turn)
            loose, _ = cv2.estimateAffinePartial2D(ours[alike], found[alike], ransacReprojThreshold=5 * step)
            whole = None if loose is None else np.vstack([loose, (0.0, 0.0, 1.0)])
            if whole is not None and is_a_page(whole, reference.size, scan.gray.shape):
                maps.append(whole)
        if not enough:
            break
        rest = ~inside.ravel().astype(bool)
        ours, found, turn = ours[rest], found[rest], turn[rest]
    return maps


def _agreeing(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of the pairs, by the degrees (N,) between the directions of their keypoints, are turned as most are (Lowe
    2004).
    """
    counts = np.bincount((turns % 360 // 10).astype(int) % 36, minlength=36)
    most = 10 * int(np.argmax(counts + np.roll(counts, 1) + np.roll(counts, -1))) + 5
    return np.asarray(np.abs((turns - most + 180) % 360 - 180) < 15)


def _print_area(scan: Scan, side: int) -> tuple[Gray, Matrix]:
    """The part of the scan that has anything on it, its longer side about `side` pixels, and scan pixels to it."""
    x, y, w, h = ink_box(scan)
    f = min(1.0, side / max(w, h))
    small, shrunk = scan.reduced(f * 1.05)
    left, top = (int(max(v, 0)) for v in project(np.array([[x, y]], np.float64), shrunk)[0])
    right, bottom = (int(np.ceil(v)) for v in project(np.array([[x + w, y + h]], np.float64), shrunk)[0])
    part = small[top : bottom + 1, left : right + 1]
    return np.ascontiguousarray(part), np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64) @ shrunk


def ink_box(scan: Scan) -> tuple[float, float, float, float]:
    """x, y, width, height of the part of the scan that holds strokes, in its pixels; all of it where nothing does."""
    small, shrunk = scan.reduced(500 / max(scan.gray.shape))
    edges = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 40
    tile = 12
    busy = cv2.blur(edges.astype(np.float32), (tile, tile)) > 0.06
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(busy.astype(np.uint8), np.ones((tile, tile), np.uint8))
    )
    kept = [s for s in stats[1:count].tolist() if s[4] > 2 * tile * tile]
    if not kept:
        return 0.0, 0.0, float(scan.gray.shape[1]), float(scan.gray.shape[0])
    box = np.array(kept)
    ends = np.array([[box[:, 0].min(), box[:, 1].min()], (box[:, :2] + box[:, 2:4]).max(0)], np.float64)
    (x, y), (right, bottom) = project(ends, inverse(shrunk))
    h, w = scan.gray.shape
    x, y, right, bottom = max(x, 0.0), max(y, 0.0), min(right, w), min(bottom, h)
    return x, y, max(right - x, 1.0), max(bottom - y, 1.0)


def by_marks(scan: Scan, reference: Reference, scales: Sequence[float] = (1.0, 0.65, 0.42)) -> list[Matrix]:
    """Homographies from four filled squares that lie to each other as the template's marks do, best first; then the
    affine maps from three such, should one be torn off or covered.
    scales: about what shares of the scan the form takes.
    """
    marks = reference.spec.marks
    if not marks:
        return []
    fours: list[tuple[float, Matrix]] = []
    threes: list[tuple[float, Matrix]] = []
    wanted = np.array([[mark.x, mark.y] for mark in marks])
    side = float(np.mean([mark.size for mark in marks]))
    squares = find_squares(scan, reference.size, marks, scales)
    for misfit, points in _constellations(wanted, side, squares):
        known = ~np.isnan(points[:, 0])
        if known.all():
            made = cv2.getPerspectiveTransform(wanted.astype(np.float32), points.astype(np.float32))
            fours.append((misfit, np.asarray(made, np.float64)))
        else:
            affine = cv2.getAffineTransform(wanted[known].astype(np.float32), points[known].astype(np.float32))
            threes.append((misfit, np.vstack([affine, (0.0, 0.0, 1.0)])))
    every = sorted(fours, key=lambda one: one[0])[:4] + sorted(threes, key=lambda one: one[0])[:4]
    return [matrix for _, matrix in every if is_a_page(matrix, reference.size, scan.gray.shape)]


def find_squares(
    scan: Scan, size: tuple[int, int], marks: Sequence[Mark], scales: Sequence[float] = (1.0, 0.65, 0.42)
) -> Points:
    """Filled dark squares of any turn and of sizes that marks may have: rows of centre x, centre y, side."""
    side = float(np.mean([mark.size for mark in marks]))
    full = max(scan.gray.shape) / max(size)
    found: list[tuple[float, float, float]] = []
    for scale in scales:
        small, shrunk = scan.reduced(14.0 / max(side * full * scale, 1.0))
        expected = side * full * scale * shrunk[0, 0]
        _, otsu = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
        window = max(3, round(5 * expected)) | 1
        near = cv2.adaptiveThreshold(small, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, window, 20)
        core = max(3, round(expected * 0.42))
        for dark in (otsu, near):
            opened = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((core, core), np.uint8))
            outlines, nesting = cv2.findContours(opened, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            # On a black bed all marks lie in one large hole; only outer borders are squares.
            for outline, (*_, parent) in zip(outlines, nesting[0] if len(outlines) else (), strict=True):
                if parent >= 0:
                    continue
                (x, y), (a, b), _ = cv2.minAreaRect(outline)
                area = cv2.contourArea(outline)
                a, b = a + 1, b + 1
                square = min(a, b) > 0.6 * max(a, b) and area + len(outline) / 2 + 1 > 0.72 * a * b
                if square and 0.55 * expected < np.sqrt(a * b) < 1.7 * expected:
                    at = project(np.array([[x, y]]), inverse(shrunk))[0]
                    found.append((float(at[0]), float(at[1]), float(np.sqrt(a * b) / shrunk[0, 0])))
    return _apart(found)


def _apart(found: list[tuple[float, float, float]]) -> Points:
    """The squares without those that were found twice."""
    every = np.array(found, np.float64).reshape(-1, 3)
    apart = np.abs(every[:, None, :2] - every[None, :, :2]).sum(2)
    twice = apart <= 0.5 * np.maximum(every[:, None, 2], every[None, :, 2])
    kept: list[int] = []
    for k in range(len(every)):
        if len(kept) < _MOST_SQUARES and not twice[k, kept].any():
            kept.append(k)
    return every[kept]


def _constellations(wanted: Points, side: float, squares: Points) -> Iterator[tuple[float, Points]]:
    """Misfit and (4, 2) places of the marks, NaN for one that is missing: from each pair of squares that may be two
    marks follows where the others are.
    """
    if len(squares) < 3:
        return
    at, sides = squares[:, 0] + 1j * squares[:, 1], squares[:, 2]
    model = wanted[:, 0] + 1j * wanted[:, 1]
    done: set[tuple[int, ...]] = set()
    for a, b in ((0, 3), (1, 2)):
        grow = (at[None, :] - at[:, None]) / (model[b] - model[a])
        size = np.abs(grow) * side + 1e-9
        like = (np.abs(np.log(sides[:, None] / size)) < 0.47) & (np.abs(np.log(sides[None, :] / size)) < 0.47)
        first, second = np.nonzero(like & ~np.eye(len(at), dtype=bool))
        places = at[first, None] + grow[first, second, None] * (model - model[a])
        away = np.abs(places[:, :, None] - at[None, None, :]) / np.abs(at[second] - at[first])[:, None, None]
        near, off = away.argmin(2), away.min(2)
        near[:, a], near[:, b] = first, second
        good = off < 0.09
        # The best of them by what their nearest squares are off; the rest are worse still.
        order = np.lexsort((np.where(good, off, 0).sum(1), -good.sum(1)))[:_MOST_TRIED]
        for k in order[good[order].sum(1) >= 3]:
            key = tuple(np.where(good[k], near[k], -1).tolist())
            if key in done or len({one for one in key if one >= 0}) < good[k].sum():
                continue
            done.add(key)
            points = np.where(good[k][:, None], squares[near[k], :2], np.nan)
            uneven = float(np.std(sides[near[k][good[k]]]) / sides[near[k][good[k]]].mean())
            yield _misfit(wanted[good[k]], points[good[k]]) + 0.05 * uneven, points


def _misfit(wanted: Points, found: Points) -> float:
    """Root mean square distance after the best turn, scale and shift, as a share of the diagonal."""
    a, b = wanted - wanted.mean(0), found - found.mean(0)
    turn = np.vdot(a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]) / max(float((a * a).sum()), 1e-9)
    rest = (b[:, 0] + 1j * b[:, 1]) - turn * (a[:, 0] + 1j * a[:, 1])
    return float(np.sqrt(np.mean(np.abs(rest) ** 2)) / (np.linalg.norm(b.max(0) - b.min(0)) + 1e-9))


def by_outline(scan: Scan, reference: Reference) -> list[Matrix]:
    """The form laid into the outline of the paper, each of the ways up whose shape fits: paper on a bed or a table."""
    small, shrunk = scan.reduced(400 / max(scan.gray.shape))
    blurred = cv2.GaussianBlur(small, (0, 0), 2)
    _, bright = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(outlines, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < 0.08 * small.size:
        return []
    hull = cv2.convexHull(largest)
    four = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True).reshape(-1, 2).astype(np.float64)
    if len(four) != 4:
        four = np.asarray(cv2.boxPoints(cv2.minAreaRect(hull)), np.float64)
    if cv2.contourArea(four.astype(np.float32), oriented=True) < 0:
        four = four[::-1]
    return _four_ways(project(four, inverse(shrunk)), reference.size, scan.gray.shape)


def _four_ways(corners: Points, size: tuple[int, int], shape: tuple[int, ...]) -> list[Matrix]:
    """Maps of a page of `size` onto a quadrilateral, corners clockwise, the ways of the fitting shape first."""
    w, h = size
    own = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    made = []
    for k in range(4):
        there = np.roll(corners, k, 0)
        across = np.linalg.norm(there[1] - there[0]) + np.linalg.norm(there[2] - there[3])
        down = np.linalg.norm(there[3] - there[0]) + np.linalg.norm(there[2] - there[1])
        stretch = abs(float(np.log(across / w * h / down)))
        matrix = np.asarray(cv2.getPerspectiveTransform(own, there.astype(np.float32)), np.float64)
        if stretch < 0.35 and is_a_page(matrix, size, shape):
            made.append((stretch > 0.12, abs(_angle(matrix)), matrix))
    return [matrix for *_, matrix in sorted(made, key=lambda one: one[:2])]


def _angle(matrix: Matrix) -> float:
    """By how many degrees a map turns the form, clockwise, -180..180."""
    return float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))


def by_whole_scan(scan: Scan, reference: Reference) -> list[Matrix]:
    """The form filling the whole scan, turned by its skew, the ways up whose shape fits."""
    h, w = scan.gray.shape
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    return _four_ways(corners, reference.size, scan.gray.shape)


def by_lines(scan: Scan, reference: Reference, lines: Sequence[Box]) -> list[Matrix]:
    """The form's level and upright lines laid over the scan's, for each quarter turn and each of the best scales and
    shifts. The scan is turned by its skew first, and only its own lines count, not its edges or its size.
    """
    level = [(y1 + y2, x1, x2) for x1, y1, x2, y2 in lines if abs(y2 - y1) < 4 + 0.02 * abs(x2 - x1)]
    plumb = [(x1 + x2, y1, y2) for x1, y1, x2, y2 in lines if abs(x2 - x1) < 4 + 0.02 * abs(y2 - y1)]
    if len(level) < 2 or len(plumb) < 2:
        return []
    across, down, to_scan = ruled(scan)
    scales = max(across.shape) / max(reference.size) * np.geomspace(_SMALLEST, _LARGEST, _SCALES)
    rows, columns = (_comb(one, scales) for one in (level, plumb))
    sums = across.sum(1), down.sum(0)
    made: list[tuple[float, Matrix]] = []
    for quarter in range(4):
        x_sums, y_sums = (sums[1], sums[0]) if quarter % 2 == 0 else (sums[0], sums[1])
        x_ways = _stretches(x_sums[::-1] if quarter in (1, 2) else x_sums, columns, scales)
        y_ways = _stretches(y_sums[::-1] if quarter in (2, 3) else y_sums, rows, scales)
        for (fit_x, sx, tx), (fit_y, sy, ty) in itertools.product(x_ways, y_ways):
            if abs(np.log(sx / sy)) < 0.08:
                own = np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]], np.float64)
                made.append((fit_x + fit_y, to_scan @ quarter_turn(quarter, across.shape) @ own))
    made.sort(key=lambda one: -one[0])
    return [matrix for _, matrix in made[:8] if is_a_page(matrix, reference.size, scan.gray.shape)]


def ruled(scan: Scan) -> tuple[Contrast, Contrast, Matrix]:
    """Masks of the scan's lines, see `line_masks`, turned straight, and the 3x3 map from their pixels to its own."""
    if scan.ruled is None:
        small, shrunk = scan.reduced(1000 / max(scan.gray.shape))
        straight, turn = straighten(small)
        scan.ruled = (*line_masks(straight), inverse(shrunk) @ inverse(turn))
    return scan.ruled


def quarter_turn(quarter: int, shape: tuple[int, ...]) -> Matrix:
    """From a picture turned upright to the picture (H, W) that shows it turned clockwise by a number of quarters."""
    h, w = shape[0] - 1, shape[1] - 1
    turns = (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, -1, w], [1, 0, 0], [0, 0, 1]],
        [[-1, 0, w], [0, -1, h], [0, 0, 1]],
        [[0, 1, 0], [-1, 0, h], [0, 0, 1]],
    )
    return np.array(turns[quarter], np.float64)


def straighten(gray: Gray) -> tuple[Gray, Matrix]:
    """A page turned by its skew so that its strokes run level and upright, and the 3x3 map to it.

    The skew, -45..45 degrees, is where the directions of straight segments (Hough) agree best.
    """
    edges = cv2.Canny(cv2.GaussianBlur(gray, (0, 0), 1), 40, 120)
    margin = max(2, min(gray.shape) // 60)
    edges[:margin] = edges[-margin:] = 0
    edges[:, :margin] = edges[:, -margin:] = 0
    found = cv2.HoughLinesP(edges, 1, np.pi / 720, 60, minLineLength=min(gray.shape) // 10, maxLineGap=4)
    if found is None:
        return gray, np.eye(3)
    x1, y1, x2, y2 = found.reshape(-1, 4).astype(np.float64).T
    length = np.hypot(x2 - x1, y2 - y1)
    angle = (np.degrees(np.arctan2(y2 - y1, x2 - x1)) + 45) % 90 - 45
    bins = np.zeros(900)
    np.add.at(bins, np.floor((angle + 45) * 10).astype(int) % 900, length)
    smooth = np.convolve(np.concatenate([bins[-10:], bins, bins[:10]]), np.hanning(9), "same")[10:-10]
    peak = (int(np.argmax(smooth)) + 0.5) / 10 - 45
    near = np.abs((angle - peak + 45) % 90 - 45) < 0.6
    skew = peak + float(np.average((angle[near] - peak + 45) % 90 - 45, weights=length[near])) if near.any() else peak
    if abs(skew) < 0.05:
        return gray, np.eye(3)
    h, w = gray.shape
    turn = np.vstack([cv2.getRotationMatrix2D((w / 2, h / 2), skew, 1.0), (0, 0, 1)])
    ends = project(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), turn)
    shift = np.eye(3)
    shift[:2, 2] = -np.floor(ends.min(0))
    turn = shift @ turn
    size = (int(v) for v in np.ceil(ends.max(0) - ends.min(0)))
    paper = int(np.median(gray[::8, ::8]))
    seen = cv2.warpPerspective(gray, turn, tuple(size), flags=cv2.INTER_LINEAR, borderValue=(paper,))
    return np.asarray(seen, np.uint8), np.asarray(turn, np.float64)


def line_masks(gray: Gray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Masks, 0 or 1, of pixels on printed lines that run across, and that run down; (H, W) float32 each.

    A line is thin and as long as a thirtieth of the page; the edges of the scan and of the paper, and words, are none.
    """
    length = max(15, min(gray.shape) // 30)
    thick = max(5, min(gray.shape) // 120) | 1
    made = []
    for turned in (gray, np.ascontiguousarray(gray.T)):
        notch = cv2.morphologyEx(turned, cv2.MORPH_BLACKHAT, np.ones((thick, 1), np.uint8))
        mean = cv2.blur(np.minimum(notch, 16) * np.uint8(12), (length, 1))
        noise = float(np.median(mean[::4, ::4]))
        mask = (mean > min(noise + 60.0, 150.0)).astype(np.uint8)
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, length * 2 // 3), np.uint8)), np.uint8)
        # A word is as long as a line, but its rows come in bundles as high as its letters.
        tall = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((max(5, thick - 1), 1), np.uint8))
        mask[tall > 0] = 0
        made.append(mask.astype(np.float32))
    return made[0], np.ascontiguousarray(made[1].T)


def _comb(
    lines: Sequence[tuple[float, float, float]], scales: npt.NDArray[np.float64]
) -> tuple[float, float, npt.NDArray[np.complex128]]:
    """First and last place of lines across their direction, and the spectra of the combs they make at each scale.

    A comb has a tooth for each line, as high as the line is long, and the square sum 1.
    """
    places: dict[int, float] = {}
    for twice, start, end in lines:
        places[round(twice / 2)] = places.get(round(twice / 2), 0.0) + abs(end - start)
    at = np.array(sorted(places), np.float64)
    length = np.array([places[int(v)] for v in at])
    length = np.minimum(length, 3 * np.median(length))
    teeth = np.zeros((len(scales), _PROFILE))
    index = np.rint((at - at[0]) * scales[:, None]).astype(int)
    row = np.broadcast_to(np.arange(len(scales))[:, None], index.shape)
    inside = index < _PROFILE
    np.add.at(teeth, (row[inside], index[inside]), np.broadcast_to(length, index.shape)[inside])
    teeth = np.asarray(cv2.GaussianBlur(teeth, (13, 1), 1.8, borderType=cv2.BORDER_CONSTANT), np.float64)
    teeth /= np.linalg.norm(teeth, axis=1, keepdims=True) + 1e-9
    return float(at[0]), float(at[-1]), np.fft.rfft(teeth, axis=1)


def _stretches(
    profile: npt.NDArray[np.float32],
    comb: tuple[float, float, npt.NDArray[np.complex128]],
    scales: npt.NDArray[np.float64],
) -> list[tuple[float, float, float]]:
    """The best few fits of a comb of lines to a profile: likeness 0..1, scale, shift.

    The likeness is the cosine between the profile and the comb, so that lines of the page that the comb lacks count
    against it as well as its own that the page lacks.
    """
    start, end, spectra = comb
    line = np.minimum(profile, 0.6 * profile.max() + 1e-6).astype(np.float64)[: _PROFILE // 2]
    smooth = cv2.GaussianBlur(line.reshape(1, -1), (13, 1), 1.8).ravel()
    spectrum = np.fft.rfft(smooth / (np.linalg.norm(smooth) + 1e-9), _PROFILE)
    likeness = np.fft.irfft(spectrum[None, :] * spectra.conj(), _PROFILE, axis=1)
    kept: list[tuple[float, float, float]] = []
    flat = likeness.ravel()
    top = np.argpartition(flat, -400)[-400:]
    for k in top[np.argsort(-flat[top])]:
        row, offset = divmod(int(k), _PROFILE)
        offset -= _PROFILE if offset > _PROFILE // 2 else 0
        scale, last = float(scales[row]), offset + float(scales[row]) * (end - start)
        if offset < -0.2 * (last - offset) or last > len(line) + 0.2 * (last - offset):
            continue
        shift = offset - start * scale
        if all(max(abs(offset - start * s - t), abs(last - end * s - t)) > 8 for _, s, t in kept):
            kept.append((float(likeness.flat[k]), scale, shift))
        if len(kept) == 3:
            break
    return kept
