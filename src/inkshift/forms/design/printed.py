"""What is printed on a form, learnt from pages of it: what they have in common stays, what differs is blanked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix, Pixels
from inkshift.forms.cut.ink import FAINTEST
from inkshift.forms.registration.candidates import straighten
from inkshift.forms.template import Box
from inkshift.pictures import fit_within
from inkshift.reframe import to_gray

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]

LONGEST = 2000
"""The longer side of a reference picture in pixels, at most: 170 dots per inch of A4, four pixels to a thin rule."""

# Print is on this share of the pages or more, all of three: a page may be pale, cut off or folded somewhere.
_SHARE = 0.75
# A piece of print bears this share of its own ink in what differs on and around it: where strokes of several hands
# happen to cross, each goes on for a few times as long as the crossing is wide. Shares of the page's longer side: the
# shortest rule, longer than digits are high, and how far around a piece what differs is counted.
_BORNE, _RULE, _AROUND = 0.4, 0.04, 0.008
# Nor is it print where, on most pages, other ink hangs on it: what differs so near a piece, as a share of the page's
# longer side, is this share of its own ink at most, or so many times what it is with most of the common ink, where
# scans are coarse. Found: 0.09 at most with print drawn and scanned clean, 0.15 and more where four hands cross;
# 0.07 with most print of real scans, and 0.3 with some.
_BESIDE, _OUTLINE, _LOOSER = 0.003, 0.1, 6.0
# The longer side at which keypoints are found, and at which pages are compared and drawn onto each other, in pixels.
_SEARCHED, _COMPARED = 1400, 1000
# Correlation of two pages of one form, filled in by different people, at least; and one that needs no second way of
# laying them. Found: 0.86 and more where there is print, 0.38 on an empty grid, 0.21 at most on two forms.
_SAME_FORM, _PLAIN = 0.3, 0.6


@dataclass(frozen=True, slots=True)
class FormPrint:
    """picture: (H, W) uint8, 255 is paper. used, left_out: which of the pages given are in it, which do not fit."""

    picture: Gray
    used: tuple[int, ...]
    left_out: tuple[int, ...]


def as_reference(image: Pixels) -> Gray:
    """A page, (H, W) or (H, W, 3) uint8, as a reference picture: gray, paper 255, scanner edges gone, not too large."""
    return level(fit_within(to_gray(image), LONGEST))


def level(gray: Gray) -> Gray:
    """A page, (H, W) uint8, in which paper is 255 everywhere and the scanner's bed and edges are paper."""
    return np.asarray(255 - _without_edges(gray, _darker_than_paper(gray)), np.uint8)


def learn_print(pages: Sequence[Gray]) -> FormPrint:
    """What pages of one form, as `as_reference` gives them, have in common, in the pixels of the clearest of them.

    Pages may lie any way round. The first page is tried as the one to lay the others on, after the clearest; whichever
    more pages fit is taken. Pages that do not fit are left out. One page comes back as it is.
    """
    clearest = sorted(range(len(pages)), key=lambda i: -_clearness(pages[i]))
    best: dict[int, Gray] = {}
    for base in list(dict.fromkeys([*clearest[:3], 0])):
        laid = _laid_on(pages, base)
        if len(laid) > len(best):
            best = laid
        if 2 * len(best) > len(pages):
            break
    used = tuple(sorted(best))
    return FormPrint(common([best[i] for i in used]), used, tuple(i for i in range(len(pages)) if i not in best))


def common(pages: Sequence[Gray]) -> Gray:
    """What pages that lie on each other, (H, W) uint8, 255 paper, have in common: (H, W) uint8.

    A pixel is as dark as it is on three quarters of the pages, two at least, each given a pixel of play. Then pieces of
    it are cut off that are not alike on the pages: where strokes of several hands happen to cross.

    Of three pages something may remain that is not print: two people wrote the same digit at the same place and a third
    wrote over most of it, which is no other than print on which one person wrote. Of four, three would have to agree.
    """
    if len(pages) == 1:
        return pages[0]
    dark = np.stack([255 - page for page in pages])
    loose = np.stack([cv2.dilate(page, np.ones((3, 3), np.uint8)) for page in dark])
    few = len(pages) - max(2, int(np.ceil(_SHARE * len(pages))))
    kept = np.sort(loose, axis=0)[few]
    kept = np.minimum(kept, np.median(dark, axis=0).astype(np.uint8))
    near = cv2.dilate(kept, np.ones((3, 3), np.uint8))
    more = np.stack([cv2.subtract(page, near) for page in dark])
    less = np.stack([cv2.subtract(kept, page) for page in loose])
    differs = np.asarray(np.maximum(more, less), np.uint8)
    _, turn = straighten(np.asarray(255 - kept, np.uint8))
    slope = float(turn[0, 1] / turn[0, 0])
    for shade in (160, 96, 48, FAINTEST):
        kept = _trusted(kept, differs, shade, slope)
    return np.asarray(255 - kept, np.uint8)


def _trusted(kept: Gray, differs: Gray, shade: int, slope: float) -> Gray:
    """`kept` with the pieces darker than `shade` cut down to it that are not alike on the pages.

    differs: (N, H, W), what each page has more or less. A piece is cut where too much differs around it on the mean
    of the pages, or where it has not its own outline on most of them: print has it where nobody wrote on it. Rules bear
    more, as people write on them, and are cut apart from what hangs on them; they rise by `slope`, down the page.
    """
    ink = (kept > shade).astype(np.uint8)
    rules = _rules(ink, round(_RULE * max(kept.shape)), slope)
    around = max(4.0, _AROUND * max(kept.shape))
    beside = max(3.0, _BESIDE * max(kept.shape))
    for mask, borne in ((rules, 0.6), (cv2.subtract(ink, rules), _BORNE)):
        count, labels = cv2.connectedComponents(mask)
        own = np.bincount(labels[mask > 0], weights=kept[mask > 0], minlength=count)
        away, nearest = cv2.distanceTransformWithLabels(1 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        owner = np.zeros(int(nearest.max()) + 1, np.int32)
        owner[nearest[mask > 0]] = labels[mask > 0]
        shares = []
        for reach in (around, beside):
            ring = np.flatnonzero(away <= reach)
            to = owner[nearest.ravel()[ring]]
            sums = [np.bincount(to, weights=page.ravel()[ring], minlength=count) for page in differs]
            shares.append(np.array(sums) / np.maximum(own, 1))
        chance = shares[0].mean(axis=0) > borne
        if mask is not rules:
            outline = np.sort(shares[1], axis=0)[len(differs) // 2]
            chance |= outline > max(_OUTLINE, _LOOSER * _middle(outline[~chance], own[~chance]))
        kept = np.where(chance[labels] & (mask > 0), np.uint8(0 if shade == FAINTEST else shade), kept)
    return kept


def _middle(values: Floats64, weights: Floats64) -> float:
    """The median of values (N,) of which each counts as its weight says; 0 of none."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)]) if len(sums) and sums[-1] > 0 else 0.0


def _rules(ink: Gray, long: int, slope: float) -> Gray:
    """Pixels of a 0/1 mask on straight lines of that length, level or upright on a page that is turned by `slope`.

    Openings along lines (Soille 2001) at the slope, and a pixel more and less at their ends, as of a sheet that is seen
    in perspective.
    """
    half = max(1, long // 2)
    along = np.arange(-half, half + 1)
    found = np.zeros_like(ink)
    for rise in (slope - 0.5 / half, slope, slope + 0.5 / half):
        across = np.rint(rise * along).astype(int)
        wide = int(np.abs(across).max())
        line = np.zeros((2 * wide + 1, 2 * half + 1), np.uint8)
        line[wide + across, half + along] = 1
        for kernel in (line, np.ascontiguousarray(np.rot90(line))):
            found |= np.asarray(
                cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)),
                np.uint8,
            )
    return found


def blanked(picture: Gray, fields: Sequence[tuple[Box, int]]) -> Gray:
    """A reference picture with paper inside fields, box and number of cells of each; the lines around cells stay."""
    picture = picture.copy()
    for (x, y, w, h), cells in fields:
        wide, edge = w / max(1, cells), max(3.0, 0.06 * h)
        for i in range(max(1, cells)):
            sides = x + i * wide + edge, y + edge, x + (i + 1) * wide - edge, y + h - edge
            left, top, right, bottom = (max(0, round(side)) for side in sides)
            picture[top:bottom, left:right] = 255
    return picture


def _darker_than_paper(gray: Gray) -> Gray:
    """How much darker than the paper each pixel is; shadows and slow shading are levelled, shaded boxes stay."""
    small = cv2.resize(gray, (96, max(8, round(96 * gray.shape[0] / gray.shape[1]))), interpolation=cv2.INTER_AREA)
    paper = cv2.dilate(small, np.ones((9, 9), np.uint8))
    paper = cv2.GaussianBlur(cv2.medianBlur(paper, 15), (0, 0), 4)
    paper = cv2.resize(paper, gray.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    # A ratio, as light falls onto paper and print alike (Retinex); beds and bars as wide as the window stay dark.
    ratio = gray / np.maximum(paper, max(1.0, 0.6 * float(np.percentile(paper, 90))))
    dark = np.clip(255 * (1 - ratio), 0, 255).astype(np.uint8)
    return np.where(dark < FAINTEST, 0, dark).astype(np.uint8)


def _without_edges(gray: Gray, dark: Gray) -> Gray:
    """Darkness without the scanner's bed and its edges: what is dark and lies along the border of the picture."""
    h, w = gray.shape
    mask = cv2.copyMakeBorder((dark > 64).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    thick = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))[1:-1, 1:-1]
    mask = np.asarray(mask[1:-1, 1:-1], np.uint8)
    band = np.ones((h, w), np.uint8)
    band[round(0.02 * h) : -round(0.02 * h) or h, round(0.02 * w) : -round(0.02 * w) or w] = 0
    gone = np.zeros((h, w), np.uint8)
    for part in (thick, cv2.bitwise_and(mask, band)):
        count, labels = cv2.connectedComponents(part)
        border = [labels[:2].max(0), labels[-2:].max(0), labels[:, :2].max(1), labels[:, -2:].max(1)]
        touching = np.max([np.bincount(side, minlength=count) / len(side) for side in border], axis=0)
        touching[0] = 0
        gone |= (touching > 0.05)[labels].astype(np.uint8)
    return np.where(cv2.dilate(gone, np.ones((5, 5), np.uint8)) > 0, 0, dark).astype(np.uint8)


def _clearness(page: Gray) -> float:
    """How sharp and large print is: the gradient along edges times the page's size."""
    across = cv2.Sobel(page, cv2.CV_32F, 1, 0)
    strong = np.percentile(np.abs(across), 98)
    return float(strong * min(1.0, max(page.shape) / LONGEST))


def _laid_on(pages: Sequence[Gray], base: int) -> dict[int, Gray]:
    """The pages that fit on one of them, drawn in its pixels, by their number."""
    onto, known = pages[base], _keypoints(pages[base])
    found = {i: lay_on(onto, page, known) for i, page in enumerate(pages) if i != base}
    laid = {base: onto} | {i: one.picture for i, one in found.items() if one is not None}
    if len(laid) < 3:
        return laid
    # Once more, onto what they have in common: there no page's own writing draws the others aside.
    print_ = common([laid[i] for i in sorted(laid)])
    again = {i: lay_on(print_, pages[i], start=one.matrix) for i, one in found.items() if one is not None}
    again[base] = lay_on(print_, onto, start=np.eye(3))
    return laid | {i: one.picture for i, one in again.items() if one is not None}


Keypoints = tuple[Floats, Floats]


def _keypoints(page: Gray) -> Keypoints:
    """Places (N, 2) in pixels and descriptors (N, 128): SIFT (Lowe 2004), its root taken (Arandjelovic 2012)."""
    small, zoom = fit_within(page, _SEARCHED), min(1.0, _SEARCHED / max(page.shape))
    points, codes = cv2.SIFT.create(4000).detectAndCompute(cv2.GaussianBlur(small, (0, 0), 1.0), None)
    if codes is None or len(points) < 2:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.array([point.pt for point in points], np.float32) / np.float32(zoom)
    return places, np.sqrt(codes / np.maximum(codes.sum(1, keepdims=True), 1e-6)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _LaidPicture:
    """picture: a page drawn in the pixels of another; matrix: 3x3, from there to its own, before the last finish."""

    picture: Gray
    matrix: Matrix


def lay_on(onto: Gray, page: Gray, known: Keypoints | None = None, start: Matrix | None = None) -> _LaidPicture | None:
    """A page drawn in the pixels of another, `onto`; None where it is another form.

    start: 3x3, pixels of `onto` to pixels of the page, where it is known. Else keypoints shared by the two give it, or,
    for pages that are alike everywhere such as grids, that both show the whole sheet; whichever fits better.
    """
    best, laid = _SAME_FORM, None
    whole = np.diag([page.shape[1] / onto.shape[1], page.shape[0] / onto.shape[0], 1.0])
    starts = (start,) if start is not None else (_by_keypoints(known or _keypoints(onto), page), whole)
    for matrix in starts:
        if matrix is None or best > _PLAIN:
            continue
        drawn = _moved(page, matrix, _flow(onto, _drawn(page, matrix, onto.shape)))
        if (fit := likeness(onto, drawn)) > best:
            best, laid = fit, _LaidPicture(drawn, matrix)
    return laid


def _by_keypoints(known: Keypoints, page: Gray) -> Matrix | None:
    (ours, our_codes), (theirs, their_codes) = known, _keypoints(page)
    if len(ours) < 12 or len(theirs) < 12:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(our_codes, their_codes, k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < 0.85 * p[1].distance]
    if len(good) < 12:
        return None
    a, b = ours[[m.queryIdx for m in good]], theirs[[m.trainIdx for m in good]]
    matrix, inside = cv2.findHomography(a, b, cv2.USAC_MAGSAC, 4.0)
    if matrix is None or inside.sum() < 12:
        return None
    # Neither mirrored nor crushed nor folded over.
    corners = np.concatenate([a.min(0), a.max(0)])[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(1, 4, 2).astype(np.float64)
    seen = cv2.perspectiveTransform(corners, matrix).astype(np.float32)[0]
    upright = cv2.isContourConvex(seen) and cv2.contourArea(seen, oriented=True) > 0.05 * page.size
    return np.asarray(matrix, np.float64) if upright else None


def _drawn(page: Gray, matrix: Matrix, shape: tuple[int, ...]) -> Gray:
    inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_AREA
    return np.asarray(
        cv2.warpPerspective(
            page, matrix, shape[::-1], flags=inverse, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,)
        ),
        np.uint8,
    )


def _moved(page: Gray, matrix: Matrix, flow: Floats) -> Gray:
    """A page drawn through a homography and then a flow (H, W, 2): where each pixel is taken from, at once."""
    h, w = flow.shape[:2]
    at = cv2.perspectiveTransform((_places(w, h) + flow).reshape(-1, 1, 2), matrix).reshape(h, w, 2)
    return np.asarray(_taken(page, at, cv2.BORDER_CONSTANT), np.uint8)


def _places(w: int, h: int) -> Floats:
    """Where each pixel is: (H, W, 2), x and y."""
    return np.stack(np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)), -1)


def _taken(picture: npt.NDArray[Any], at: npt.NDArray[Any], border: int) -> npt.NDArray[Any]:
    """A picture drawn anew from the places (H, W, 2) in it; beyond its border is paper, or what its border shows."""
    x, y = np.ascontiguousarray(at[..., 0], np.float32), np.ascontiguousarray(at[..., 1], np.float32)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=border, borderValue=(255,)))


def _flow(onto: Gray, flat: Gray) -> Floats:
    """Where each pixel of `onto` lies on a page that lies nearly on it: displacements (H, W, 2) in pixels.

    Lucas and Kanade 1981 from coarse to fine, in windows of a tenth of the page, so wide that what is written, which
    differs, does not matter, and that a rule says how far to move across it and its neighbours how far along.
    """
    h, w = onto.shape
    flow = np.zeros((h, w, 2), np.float32)
    for longest in (250, 500, 1000):
        zoom = min(1.0, longest / max(h, w))
        size = max(16, round(w * zoom)), max(16, round(h * zoom))
        a, b = (
            cv2.GaussianBlur(cv2.resize(page, size, interpolation=cv2.INTER_AREA).astype(np.float32), (0, 0), 1.5)
            for page in (onto, flat)
        )
        scale = np.array([size[0] / w, size[1] / h], np.float32)
        small = np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * scale, np.float32)
        for _ in range(4):
            seen = _taken(b, _places(*size) + small, cv2.BORDER_REPLICATE)
            small = small + _step(np.asarray(a, np.float32), seen, 0.05 * max(size))
        flow = np.asarray(cv2.resize(small / scale, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    return flow


def _step(a: Floats, b: Floats, window: float) -> Floats:
    """One step of Lucas and Kanade: displacements (H, W, 2) that bring `b` nearer to `a`, a pixel at most."""
    dx, dy = (cv2.Sobel((a + b) / 2, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    rest = a - b
    # Strokes that are on one page only leave most of the difference: they count little (Cauchy's weights).
    trust = 1 / (1 + (rest / (2 * float(np.abs(rest).mean()) + 4)) ** 2)
    few = max(1, round(window / 4))
    sums = [
        cv2.GaussianBlur(
            cv2.resize(part, None, fx=1 / few, fy=1 / few, interpolation=cv2.INTER_AREA), (0, 0), window / few
        )
        for part in (trust * dx * dx, trust * dx * dy, trust * dy * dy, trust * dx * rest, trust * dy * rest)
    ]
    xx, xy, yy, xr, yr = sums
    # Where nothing is printed nothing moves; a window with rules one way only moves across them.
    ridge = 0.02 * float((xx + yy).mean()) + 1e-3
    xx, yy = xx + ridge, yy + ridge
    whole = xx * yy - xy * xy
    step = np.stack([(yy * xr - xy * yr) / whole, (xx * yr - xy * xr) / whole], -1)
    return np.asarray(cv2.resize(np.clip(step, -1, 1), a.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def likeness(a: Gray, b: Gray) -> float:
    """How alike two pages that lie on each other are, -1 to 1: the correlation of their print, slightly blurred."""
    seen = []
    for page in (a, b):
        small = fit_within(np.asarray(255 - page, np.uint8), _COMPARED).astype(np.float32)
        # Dark bars count no more than letters do: edges are compared, not areas.
        fine = cv2.GaussianBlur(small, (0, 0), 1.5) - cv2.GaussianBlur(small, (0, 0), 6)
        seen.append((fine - fine.mean()).ravel())
    norms = float(np.linalg.norm(seen[0]) * np.linalg.norm(seen[1]))
    return float(seen[0].dot(seen[1]) / norms) if norms > 0 else 0.0
