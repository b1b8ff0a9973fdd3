"""How sure it is that a page lies where it was laid: its print against that of the reference, there and at rivals.

Nothing here depends on how the place was found. The likeness of the page and the print, as far as both are seen, is
measured for all shifts within a window at once by the Fourier transform, upright and upside down. Where the form
explains the page, a shift d costs as much of the likeness as it costs the print against itself; where a rival explains
it as well, it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix
from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.reference import (
    COARSE,
    COARSE_WINDOW,
    FINE,
    FINE_WINDOW,
    Reference,
    lacking,
    shifted,
    spectrum,
)
from inkshift.forms.registration.refine import Place, coarse_bend, compared, seen_there
from inkshift.forms.registration.scan import Contrast, Scan, contrast, inverse

# Longer side, in pixels, of the scan at a glance.
_GLANCE = 900
# A rival that takes less than this of the print against itself cannot be told from the place; of its level or its
# upright strokes alone, which are fewer and tell the less surely, twice that.
_LEAST_DIFFERENCE, _LEAST_OF_PART = 0.02, 0.04
# Pieces of lines at a place alone tell from so many pixels of the fine print on, 2 mm of A4; what is as far from a line
# is on it; lines are seen with so much contrast at least, and differ by such a share of it; and two places are told
# apart by three standard errors.
_SHORTEST, _NEAR_LINE, _SEEN, _LEAST_SPREAD, _ERRORS = 10, 11, 0.2, 0.1, 3.0
# A form of which less than this share of the print lies on the scan is not proved: lines of another place fit the rest
# of it too easily.
MOSTLY = 0.6
# A field without a frame or anything printed beside it is known by the page alone.
UNPRINTED = 0.98
# The share of the print that is all of it; a margin that leaves no rival open.
_WHOLE, PLAIN = 0.999, 0.6
# More of what is seen, and a larger margin, make a place no more probable.
_MOST, _MOST_MARGIN = 0.5, 0.25
# How much of a frame's faintest line is seen on most pages; shares of what is usual on a page below which a line is
# faint, or lacks: on generated pages drawn forms show 0.6 and more, and boxes that were moved or changed below 0.1.
# Boxes in which a version of a form differs, and how probable it is that a page's is of one.
_FRAME_SEEN, _LINE_FAINT, _LINE_LACKS = 0.7, 0.75, 0.35
_CHANGED, _OTHER_BOX = 3, 0.02
# How probable it is that a field lies right of which a border is elsewhere.
MOVED = 0.02
# Likeness of print on most pages, as many fields as weigh as much as it, and the least that a page's own may be.
_TYPICAL, _FEW, _LEAST_TYPICAL = 0.67, 5, 0.3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a place.

    gain: how much of the expected contrast is seen there, about 1 on a clean scan, 0 on another form. seen: share of
    the print that lies on the scan at all. even: the gain that four fifths of the form's parts exceed. poorer: that of
    the level strokes, the upright ones or the corner marks, whichever is least. margin: by how much the best rival
    explains the page worse, 1 where as much worse as it should, 0 where as well, below 0 where better; where only
    strokes are known, a rival that fails to explain the level ones or the upright ones is none. shift: that rival,
    right and down, in template pixels. turned: the margin of the form upside down, 1 where that cannot be told.
    """

    gain: float
    seen: float
    even: float
    poorer: float
    margin: float
    shift: tuple[float, float]
    turned: float


@dataclass(frozen=True, slots=True)
class ScanView:
    """The scan as it is seen from a place. contrast: (H, W), 0 beyond the scan; there: where the scan is."""

    contrast: Contrast
    there: npt.NDArray[np.bool_]
    gain: float
    seen: float

    @property
    def explained(self) -> float:
        """Share of the form's print that is seen, what lies beyond the scan not counted as seen."""
        return self.gain * self.seen


def view(scan: Scan, reference: Reference, place: Place, rough: bool = False) -> ScanView:
    """The scan from a place, and how much of the expected print is seen in it.

    rough: from what was seen already from a place nearby, a little blurred: enough to choose among places.
    """
    h, w = reference.coarse.shape
    to_scan, bend = place.matrix @ inverse(reference.to_coarse), coarse_bend(place, reference)
    if rough:
        there = scan.covered(to_scan, (w, h))
        made = compared(scan, reference, place.matrix, COARSE, reference.to_coarse, (w, h), bend)
        made = np.asarray(cv2.copyTo(made, there.view(np.uint8)), np.float32)
    else:
        made, there = seen_there(scan, reference, to_scan, (w, h), COARSE, bend)
    own = float(np.vdot(reference.counts, there.astype(np.float32)))
    gain = float(np.vdot(made, reference.weighted)) / max(own, 1e-6)
    return ScanView(made, there, gain, own / max(float(reference.counts.sum()), 1e-6))


def glance(scan: Scan, reference: Reference, matrix: Matrix) -> float:
    """About how much darker than its surroundings the scan is where print should be: to choose what to refine."""
    points, weights = reference.points
    small, shrunk = scan.reduced(_GLANCE / max(scan.gray.shape))
    dark = scan.dark
    if dark is None:
        dark = np.asarray(cv2.dilate(contrast(small, COARSE_WINDOW), np.ones((3, 3), np.uint8)), np.float32)
        scan.dark = dark
    at = np.rint(project(points, shrunk @ matrix)).astype(int)
    inside = np.all((at >= 0) & (at < np.array(small.shape[::-1])), axis=1)
    at = np.where(inside[:, None], at, 0)
    return float((np.where(inside, dark[at[:, 1], at[:, 0]], 0) * weights).sum() / weights.sum())


def weigh(seen: ScanView, reference: Reference) -> Evidence:
    """The evidence for a place from which the scan looks like this. Margins are those of the whole print where these
    are plain, and else of the part of it that tells more.
    """
    visible = _visible(seen, reference)
    page, part = spectrum(seen.contrast), None if seen.seen > _WHOLE else spectrum(visible)
    margin = _margins(seen, reference, page, part, visible, turned=False)
    dy, dx = np.indices(margin.shape) - np.array(reference.reach[::-1])[:, None, None]
    margin[np.maximum(np.abs(dx), np.abs(dy)) < reference.same] = np.inf
    r, c = np.unravel_index(int(np.argmin(margin)), margin.shape)
    f = reference.to_coarse[0, 0]
    turned = 1.0
    if not reference.alike_turned:
        turned = float(_margins(seen, reference, page, part, visible, turned=True).min())
    return Evidence(
        gain=seen.gain,
        seen=seen.seen,
        even=_even(seen.contrast, visible),
        poorer=_poorer(seen, reference, visible),
        margin=float(margin[r, c]),
        shift=(float(dx[r, c] / f), float(dy[r, c] / f)),
        turned=turned,
    )


def _margins(
    seen: ScanView, reference: Reference, page: Contrast, part: Contrast | None, visible: Contrast, turned: bool
) -> Contrast:
    """`Evidence.margin` of each shift, by the whole print, or by its parts where that leaves a rival open.

    page, part: spectra of what is seen, and of what of the print could be; None where all of it.
    """
    best, whole = np.zeros(0, np.float32), 0.0
    middle = np.array(reference.reach[::-1])[:, None, None]
    for one in reference.parts:
        own = one.whole if part is None else float(np.vdot(visible, one.print))
        own, made = (max(value, 1e-6) for value in (own, float(np.vdot(seen.contrast, one.print))))
        gain = made / own
        whole = whole or gain
        least = _LEAST_DIFFERENCE if one is reference.parts[0] else _LEAST_OF_PART
        of = one.turned_spectrum if turned else one.spectrum
        missing = one.turned_lacking if turned else one.lacking
        if part is not None:
            missing = lacking(shifted(part, of, reference.reach) / own)
        loss = 1 - shifted(page, of, reference.reach) / (own * max(gain, 1e-3))
        margin = np.asarray(_counts(gain, whole) * loss / (missing + least), np.float32)
        best = np.maximum(best, margin) if best.size else margin
        far = turned or np.abs(np.indices(best.shape) - middle).max(0) >= reference.same
        if float(best.min(initial=np.inf, where=far)) >= PLAIN:
            break
    return best


def _visible(seen: ScanView, reference: Reference) -> Contrast:
    """The print that lies on the scan."""
    return reference.coarse if seen.seen > _WHOLE else np.asarray(reference.coarse * seen.there, np.float32)


def _poorer(seen: ScanView, reference: Reference, visible: Contrast) -> float:
    """The share that is seen of the level strokes, the upright ones or the corner marks, whichever is least."""
    marks = reference.marks
    kinds = reference.ways if marks is None else (*reference.ways, reference.weighted * marks)
    return min((_share(seen.contrast, part, visible) for part in kinds), default=seen.gain)


def is_even(seen: ScanView, reference: Reference) -> bool:
    """Whether so much of all parts of the form is seen that more would say nothing."""
    visible = _visible(seen, reference)
    return _even(seen.contrast, visible) >= _MOST and _poorer(seen, reference, visible) >= _MOST


def is_plain(evidence: Evidence) -> bool:
    """Whether no rival of a place is open."""
    return min(evidence.margin, evidence.turned) >= PLAIN


def shares(seen: ScanView, reference: Reference) -> tuple[float, ...]:
    """Shares of the print and of its parts that are seen, what lies beyond the scan not counted as seen."""
    prints = [one.print for one in reference.parts]
    return tuple(max(_share(seen.contrast, one, reference.coarse), 0.0) for one in prints)


def _share(seen: Contrast, part: Contrast, visible: Contrast) -> float:
    return float(np.vdot(seen, part)) / max(float(np.vdot(visible, part)), 1e-6)


def margin_over(shares: Sequence[float], others: Sequence[float], differs: Sequence[float]) -> float:
    """`Evidence.margin` of a rival that explains `others` of the whole print and of its parts where the place explains
    `shares`, and differs in such shares of them.
    """
    least = (_LEAST_DIFFERENCE, *[_LEAST_OF_PART] * (len(shares) - 1))
    every = zip(shares, others, differs, least, strict=True)
    return max(
        _counts(own, shares[0]) * (1 - other / max(own, 1e-6)) / (differ + low) for own, other, differ, low in every
    )


def _counts(part: float, whole: float) -> float:
    """How much a part of the print tells, 0 to 1, by how it is seen: upright lines that are faint where the level ones
    are plain differ everywhere by chance.
    """
    return min(max(part, 0.0) / max(whole, 1e-6), 1.0)


def lead(
    seen: Contrast, other: Contrast, reference: Reference, place: Place, rival: Place
) -> tuple[float, float] | None:
    """By how much more of what is drawn at a place alone is seen than of what is drawn at a rival alone: 1 where all
    of the one and nothing of the other, below 0 where less; and the other way round, the rival the place. None where
    that is no more than lines differ on this page. seen, other: the scan from both, see `fine`.

    For forms whose lines or marks the template knows. On a regular grid two places share all but a row, which counts
    little in the whole; what is there and what lacks of that row alone is plain. A rival that fails on the level lines,
    the upright ones or the marks is none.
    """
    step = inverse(place.matrix) @ rival.matrix
    views = [(seen, step), (other, inverse(step))]
    leads = []
    for drawn in (kind for kind in reference.kinds if kind.any()):
        alone, common = [], []
        for picture, way in views:
            near = _laid_over(drawn, way, reference)
            alone.append(_of_each(picture, (drawn > 0) & ~near))
            common.append(_of_each(picture, (drawn > 0) & near))
        groups = [group for group in (*alone, *common) if len(group)]
        usual = max((float(group.mean()) for group in groups), default=0.0)
        if usual < _SEEN or not (len(alone[0]) or len(alone[1])):
            continue
        inner = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        free = sum(len(group) - 1 for group in groups)
        spread = max(float(np.sqrt(inner / max(free, 1))), _LEAST_SPREAD * usual)
        error = spread * float(np.sqrt(sum(1 / len(group) for group in alone if len(group))))
        here, there = (min(float(group.mean()) / usual, 1.0) if len(group) else 1.0 for group in alone)
        if abs(here - there) > _ERRORS * error / usual:
            leads.append(here - there)
    return (max(leads), -min(leads)) if leads else None


def _laid_over(drawn: Gray, step: Matrix, reference: Reference) -> npt.NDArray[np.bool_]:
    """Where a form laid over itself by `step`, 3x3 in template pixels, is drawn, or nearly."""
    to_fine = reference.scaled(FINE)
    size = drawn.shape[1], drawn.shape[0]
    moved = cv2.warpPerspective(drawn, to_fine @ step @ inverse(to_fine), size, flags=cv2.INTER_NEAREST)
    return cv2.dilate(moved, np.ones((_NEAR_LINE, _NEAR_LINE), np.uint8)) > 0


def _of_each(seen: Contrast, lines: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The mean contrast of each connected piece of `lines` but the shortest."""
    # OpenCV's own statistics of the pieces take three times as long as to find them.
    _, labels = cv2.connectedComponentsWithAlgorithm(lines.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_SAUF)
    own = labels[lines]
    areas, sums = np.bincount(own), np.bincount(own, weights=seen[lines])
    long = areas >= _SHORTEST
    return np.asarray(sums[long] / areas[long], np.float64)


def fine(scan: Scan, reference: Reference, place: Place) -> Contrast:
    """The contrast of the scan from a place at the fine size, of lines a little beside theirs too; 0 beyond it."""
    h, w = reference.kinds[0].shape
    to_scan = place.matrix @ inverse(reference.scaled(FINE))
    columns, rows = np.meshgrid(np.linspace(0, w - 1, 9), np.linspace(0, h - 1, 12))
    unit = max(reference.size) / FINE
    at = np.stack([columns.ravel(), rows.ravel()], 1) * unit
    bend = cv2.resize((place.bend(at, max(reference.size)) / unit).reshape(12, 9, 2).astype(np.float32), (w, h))
    made = contrast(scan.through(to_scan, (w, h), np.asarray(bend, np.float32)), FINE_WINDOW)
    made[~scan.covered(to_scan, (w, h))] = 0
    return np.asarray(cv2.dilate(made, np.ones((5, 5), np.uint8)), np.float32)


def _even(seen: Contrast, visible: Contrast) -> float:
    down, across = _means(seen.shape[0], 7), _means(seen.shape[1], 5).T
    got, full = (down @ part @ across for part in (seen * visible, visible * visible))
    good = full > 0.15 * full.mean()
    shares = got[good] / np.maximum(full[good], 1e-9)
    return float(np.quantile(shares, 0.2)) if len(shares) else 0.0


@lru_cache(maxsize=64)
def _means(size: int, parts: int) -> Contrast:
    """What averages `size` pixels over equal parts of them, (parts, size)."""
    ends = np.linspace(0, size, parts + 1)[:, None]
    shared = np.minimum(ends[1:], np.arange(1, size + 1)) - np.maximum(ends[:-1], np.arange(size))
    return np.asarray(np.maximum(shared, 0) * (parts / size), np.float32)


def probability(evidence: Evidence) -> float:
    """How probable it is, 0 to 1, that a place is right: a logistic function of how evenly the print is seen, of its
    margin over rivals, and of how much of the level or the upright strokes is seen. Fitted to pages that lie right and
    wrong by benchmarks/fit_registration.py. 0 where less than `MOSTLY` of the print is on the scan.
    """
    if evidence.seen < MOSTLY:
        return 0.0
    even, poorer = min(evidence.even, _MOST), min(evidence.poorer, _MOST)
    margin = min(evidence.margin, evidence.turned, _MOST_MARGIN)
    score = 13.0 * even + 46.0 * margin + 7.3 * poorer - 16.7
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))


def typical(likenesses: npt.NDArray[np.float64]) -> float:
    """What likeness, 0 to 1, the print of fields has on this page, from that of all of them: faint print and thick pens
    lower it for all. Of few fields it is mostly that of other pages.
    """
    n = len(likenesses)
    return max((n * float(np.median(likenesses)) + _FEW * _TYPICAL) / (n + _FEW), _LEAST_TYPICAL) if n else _TYPICAL


def field_probability(likeness: float, aside: float, usual: float) -> float:
    """How probable it is, 0 to 1, that a field lies right on a page that does.

    likeness: of its print, 0 to 1. aside: how far it was moved, in its heights. usual: see `typical`. Fitted as
    `probability` is, to fields that were moved on purpose; of those that were not, two of a thousand are taken to be
    astray.
    """
    return float(1 / (1 + np.exp(-(18.9 * likeness / usual - 9.1 - 6 * aside))))


def frame_probability(sides: npt.NDArray[np.float64], walls: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How probable it is, (N,), 0 to 1, that each field is as on the template, by the lines of its frame: the page may
    be of a version of the form that differs in a box, or that has no walls between cells.

    sides, walls: see `refine.frames_seen`. A line that lacks says so as far as lines are not faint all over the page.
    """
    known = sides[~np.isnan(sides)]
    usual = (float(known.sum()) + _FEW * _FRAME_SEEN) / (len(known) + _FEW)
    astray, opened = sides < _LINE_LACKS * usual, walls < _LINE_LACKS * usual
    # Where all walls lack, sides tell whether lines are faint; and walls do that are seen a little.
    pale = (sides < _LINE_FAINT * usual) | ((walls < _LINE_FAINT * usual) & ~opened)
    faint = int(pale.sum()) - min(int((astray & pale).sum()), _CHANGED)
    ordinary = (faint + 0.5) / (len(known) + 1)
    return np.asarray(np.where(astray | opened, ordinary / (ordinary + _OTHER_BOX), 1.0), np.float64)
