"""Where a page lies under its template, and how sure that is: candidates, refined on what is printed, then proved."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.errors import RegistrationError, UnknownFormError
from inkshift.forms.registration import candidates
from inkshift.forms.registration.labels import label_probability, labels_of, rows_of
from inkshift.forms.registration.proof import (
    MOSTLY,
    MOVED,
    PLAIN,
    UNPRINTED,
    Evidence,
    View,
    field_probability,
    fine,
    frame_probability,
    glance,
    is_even,
    is_plain,
    lead,
    margin_over,
    probability,
    shares,
    typical,
    view,
    weigh,
)
from inkshift.forms.registration.reference import FINE, Reference, printed_lines
from inkshift.forms.registration.refine import NEAR, WIDE, Place, frames_seen, look, refine, snap
from inkshift.forms.registration.scan import Contrast, Scan, inverse
from inkshift.forms.template import Box, PageSpec
from inkshift.reframe import to_gray

Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Way = Callable[[Scan, Reference], list[Matrix]]

# A page is read where it more probably lies right than not; how probable that is enters the confidence of each field.
LEAST = 0.5
_SURE = 0.95
_SMALLEST_PAGE = 150
TALLEST_FIELD = 96
# Places that share no more than this of the smaller one are no rivals: the form may lie at both.
_OVERLAP = 0.2
# Maps whose corners lie within this share of the form's size of each other are the same place: 3 mm of A4.
_SAME_PLACE = 0.012
# A hand puts corners about this exactly, as a share of the form's size: 6 mm of A4.
_BY_HAND = 0.025
# Where no more than this of the print is seen, paper may be bent more than patches are looked for at first.
_BENT = 0.65
# Of two places that explain so differently much of what they differ in, no closer look is needed.
_CLEAR = 0.25
# A form that fills the scan just as it fills the template's page is more probably there than elsewhere.
_FRAMED = 0.1
_MOST_ROWS_OFF = 4
# A bed is darker than paper by so many gray levels, over such a share of the scan; beside a white bed there is little.
_BED, _SOME_BED = 80, 0.08
# Where four fifths of the form's parts are seen better than this, it is the form, and lies beside its place.
_PLAIN = 0.3
# A fax: gray levels between which hardly any of its pixels lie, and the share that may.
_FAX_DARK, _FAX_LIGHT, _FAX_GRAY = 48, 208, 0.02
_SMALLEST_FAX = 800  # pixels of its longer side: a page has 1,728 columns
# A place in a fax of half the rows that is not squashed as it is takes up half of it.
_MOST_OF_SCAN = 0.75
# A form of which this share is on the scan may lie there, with blank margins cut off.
_ON_SCAN = 0.9
# Of a form's own page two of a thousand fields are not where they should be: a tenth of them, and two at least, are
# another form's. A field is not there where it is less probably in its place than this.
_MISSING, _MISSING_FIELDS, _NOT_THERE = 0.1, 2, 0.1
# Fields that make a row of a table, and how much paper, in heights of a field, is around one that is not cut off.
_A_ROW, _EDGE = 3, 0.1
# Pixels around the form that a laid page is looked at with, so that what lies beside its place is found.
_AROUND = 24
# How many points of a box, each way, tell whether it lies on paper.
_LOOKS = 12
_OPEN = (
    "the way up is open: what the template knows of the print looks the same upside down; "
    'give the template a picture of the empty form ("reference")'
)
_REFERENCES: dict[tuple[PageSpec, int], Reference] = {}
_MOST_REFERENCES = 32


@dataclass(frozen=True, slots=True)
class Registered:
    """A page laid onto its template.

    image: the page, turned upright, (H, W) or (H, W, 3) uint8. matrix: 3x3, template to image pixels. quality:
    probability, 0 to 1, that it lies right. turn: degrees clockwise that it was turned to stand upright. paper: gray
    level of its paper. explained: about what share of the form's print is seen on it. own: for the box of each field a
    3x3 map of its own, template to image pixels, where paper bends or the field's printed frame lies a little aside.
    fields: for each field's name the probability that its box lies right, that of the page included. outline: the four
    corners of the form, (4, 2), in pixels of the page as it came.
    """

    image: npt.NDArray[np.uint8]
    matrix: Matrix
    quality: float
    turn: int
    paper: int = 255
    explained: float = 1.0
    own: Mapping[Box, Matrix] = field(default_factory=dict)
    fields: Mapping[str, float] = field(default_factory=dict)
    outline: Matrix = field(default_factory=lambda: np.zeros((4, 2)))

    def map_of(self, box: Box) -> Matrix:
        """3x3, template to image pixels, for a box of the template and what is near it."""
        return self.own.get(box, self.matrix)

    @property
    def scale(self) -> float:
        """Image pixels for one pixel of the template, in the middle of the page's fields."""
        middle = np.mean([[x + w / 2, y + h / 2] for x, y, w, h in self.own] or [[0.0, 0.0]], axis=0, dtype=np.float64)
        ends = candidates.project(middle + np.array([[0, 0], [1, 0], [0, 1]], np.float64), self.matrix)
        return float(np.sqrt(abs(np.linalg.det(ends[1:] - ends[0]))))


def register(image: npt.NDArray[np.uint8], page: PageSpec, reference: Gray | None = None) -> list[Registered]:
    """Lay a page, (H, W) or (H, W, 3) uint8, onto its template; `reference` is the picture that `page` names.

    One place; two, upright and upside down, where what is known of the print is the same both ways up, so that only
    what is written can tell. Of several copies of the form beside each other one is laid; what lies beside a place does
    not speak against it. Raises UnknownFormError where the page shows too little of the form, a blank one too, or some
    of its fields have nothing of their print where all else is, as on another version of the form, or other rows'
    names beside them, and RegistrationError where it could lie otherwise as well; both name the place that comes
    nearest.
    """
    if max(image.shape[:2]) < _SMALLEST_PAGE:
        high, wide = image.shape[:2]
        raise RegistrationError(
            f"a page of {wide} x {high} pixels is too small to find a form on; scan it at 100 dpi or more"
        )
    scan, known = Scan(to_gray(image)), reference_of(page, reference)
    tried = _places(scan, known)
    if _is_fax(scan):
        tried = _squashed(scan, known, tried)
    if not tried:
        wanted = "corner marks" if page.marks else "printed lines" if page.lines else "print"
        raise UnknownFormError(f"the template's {wanted} are not on this page; is it this form, and scanned whole?")
    best = tried[0]
    _refuse_unproved(best, known)
    place = _closer(scan, known, best.place) if known.drawn and not best.closest else best.place
    found = [_laid(image, scan, known, place, best)]
    turned = known.upside_down if known.alike_turned else known.upside_down_afar
    if turned is not None and (known.alike_turned or _is_on(place.matrix @ turned, scan, known)):
        over = refine(scan, known, best.place.matrix @ turned, NEAR)
        found.append(_laid(image, scan, known, over, best))
    _refuse_another_version(found[0], known, best)
    return found


def lay_at(image: npt.NDArray[np.uint8], page: PageSpec, matrix: Matrix, reference: Gray | None = None) -> Registered:
    """Lay a page, (H, W) or (H, W, 3) uint8, where somebody put it by hand; `reference`: the picture that `page` names.

    matrix: 3x3, template to image pixels. It is drawn onto the print where that is near. Its quality says how well it
    fits what is printed, and is half at least: a person saw to it.
    """
    scan, known = Scan(to_gray(image)), reference_of(page, reference)
    place = refine(scan, known, matrix)
    if not _same(place.matrix, matrix, known, _BY_HAND):
        place = Place(matrix)
    tried = _Tried(scan, known, place, view(scan, known, place))
    return _laid(image, scan, known, place, replace(tried, probability=max(probability(tried.evidence), LEAST)))


@dataclass(frozen=True)
class _Tried:
    """A place and what speaks for it. looks: the scan from there. judged, probability: once its rivals are known.
    closest: whether it is no better laid once more (see `_closer`)."""

    scan: Scan
    known: Reference
    place: Place
    looks: View
    judged: Evidence | None = None
    probability: float = 0.0
    closest: bool = False

    @property
    def explained(self) -> float:
        """Share of the form's print that is seen there."""
        return self.looks.explained

    @cached_property
    def evidence(self) -> Evidence:
        """What speaks for it, as far as it is known: weighed only where it is asked for, which of a rival it is not."""
        return self.judged or weigh(self.looks, self.known)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Shares of the print and of its parts that are seen."""
        return shares(self.looks, self.known)

    @cached_property
    def fine(self) -> Contrast:
        """The scan from there as `lead` sees it."""
        return fine(self.scan, self.known, self.place)

    def margin_over(self, rival: _Tried, differs: Sequence[float]) -> float:
        """`Evidence.margin` over another place at which so much of the print and of its parts differs."""
        return margin_over(self.shares, rival.shares, differs)


def reference_of(page: PageSpec, picture: Gray | None) -> Reference:
    """What is printed on a page of a template, made once for each template and picture."""
    key = page, 0 if picture is None else zlib.crc32(picture.tobytes())
    if key not in _REFERENCES:
        if len(_REFERENCES) >= _MOST_REFERENCES:
            del _REFERENCES[next(iter(_REFERENCES))]
        _REFERENCES[key] = Reference(page, picture)
    return _REFERENCES[key]


def _places(scan: Scan, known: Reference) -> list[_Tried]:
    """The places that were tried, best first: each way of looking in turn, until one is proved."""
    lines = printed_lines(known.spec)
    ways: tuple[Way, ...] = (
        lambda scan, known: candidates.by_marks(scan, known, (1.0,)),
        candidates.by_keypoints,
        candidates.by_marks,
        _by_paper,
        lambda scan, known: candidates.by_lines(scan, known, lines),
    )
    tried: list[_Tried] = []
    best: _Tried | None = None
    for way in ways:
        rough = [Place(matrix) for matrix in way(scan, known)]
        looks = (
            sorted(range(len(rough)), key=lambda k: -glance(scan, known, rough[k].matrix)) if len(rough) > 1 else [0]
        )
        # Marks are exact, and where a template knows little else they may be better than what is around them; on bent
        # paper a glance does not tell which way up they are.
        exact = way in (ways[0], candidates.by_marks)
        first = range(min(2 if exact else 1, len(rough)))
        chosen = [rough[k] for k in dict.fromkeys([*looks[:2], *first])] if rough else []
        for one in chosen:
            place = _by_marks(scan, known, one) if exact else refine(scan, known, one.matrix)
            if tried:
                alike = [other.explained for other in tried if _same(place.matrix, other.place.matrix, known, 0.01)]
                least = max(alike, default=0.6 * max(other.explained for other in tried))
                if _roughly(scan, known, place) <= least:
                    continue
            tried += _try(scan, known, place)
            tried.sort(key=lambda one: -one.explained)
            best = _judged(scan, known, tried) if known.drawn or tried[0].explained > _BENT else None
            if best and best.probability >= _SURE:
                return [best, *tried[1:]]
        if chosen and 0.2 < max((one.explained for one in tried), default=1) < _BENT and not known.drawn:
            tried += _try(scan, known, refine(scan, known, chosen[0].matrix, WIDE))
            tried.sort(key=lambda one: -one.explained)
            best = None
        if tried and best is None:
            best = _judged(scan, known, tried)
        if best and best.probability >= _SURE:
            break
    return [best, *tried[1:]] if best else []


def _by_marks(scan: Scan, known: Reference, exact: Place) -> Place:
    """The place by marks alone, or drawn onto the print around them; on bent paper between marks that stay."""
    ways = [(_roughly(scan, known, one), one) for one in (refine(scan, known, exact.matrix, NEAR), exact)]
    if max(seen for seen, _ in ways) < _BENT:
        held = refine(scan, known, exact.matrix, held=True)
        ways.append((_roughly(scan, known, held), held))
    return max(ways, key=lambda way: way[0])[1]


def _is_fax(scan: Scan) -> bool:
    """Whether a scan is of one bit, or nearly: saved as a JPEG since; and as large as a page that was faxed."""
    few = scan.gray[::3, ::3]
    return max(scan.gray.shape) >= _SMALLEST_FAX and float(((few > _FAX_DARK) & (few < _FAX_LIGHT)).mean()) < _FAX_GRAY


def _squashed(scan: Scan, known: Reference, tried: Sequence[_Tried]) -> list[_Tried]:
    """The places on what may be a fax of standard resolution, which has half as many rows as columns to the inch:
    looked for and proved as it is, and on a picture of it that is twice as high, or, turned aside, twice as wide.

    A form of rules alone may fit half of it as it is: what is proved in several ways is a rival of itself. A clean scan
    may look like a fax; on it the form as it is explains more, proved or not.
    """
    least = max((one.explained for one in tried), default=0.0)
    proved = [one for one in tried[:1] if one.probability >= LEAST]
    if any(_covers(one.place.matrix, scan, known) for one in proved):
        return list(tried)
    for across, down in ((1, 2), (2, 1)):
        square = cv2.resize(scan.gray, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
        shrink = np.array([[1 / across, 0, 0.5 / across - 0.5], [0, 1 / down, 0.5 / down - 0.5], [0, 0, 1]])
        for one in _places(Scan(np.asarray(square, np.uint8)), known)[:1]:
            if one.probability >= LEAST and one.explained > least:
                there = Place(shrink @ one.place.matrix, one.place.sights)
                proved.append(replace(one, scan=scan, place=there, closest=False))
    if len(proved) < 2:
        return proved or list(tried)
    proved.sort(key=lambda one: -one.explained)
    return [_among(known, proved), *proved[1:]]


def _is_on(matrix: Matrix, scan: Scan, known: Reference) -> bool:
    """Whether the form at a place lies on the scan, but for a strip at its edges."""
    high, wide = scan.gray.shape
    ends = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    own = outline_of(matrix, known).astype(np.float32)
    return float(cv2.intersectConvexConvex(own, ends)[0]) > _ON_SCAN * cv2.contourArea(own)


def _covers(matrix: Matrix, scan: Scan, known: Reference) -> bool:
    """Whether the form at a place takes up most of the scan, which then has the form's own proportions."""
    high, wide = scan.gray.shape
    return bool(cv2.contourArea(outline_of(matrix, known).astype(np.float32)) > _MOST_OF_SCAN * high * wide)


def _judged(scan: Scan, known: Reference, tried: Sequence[_Tried]) -> _Tried:
    """The first of the places, its margin and probability with the others as rivals."""
    best = _among(known, tried)
    if not _fills(best.place.matrix, scan, known):
        return best
    evidence = replace(best.evidence, margin=best.evidence.margin + _FRAMED)
    return replace(best, judged=evidence, probability=probability(evidence))


def _among(known: Reference, tried: Sequence[_Tried]) -> _Tried:
    """The first of the places, or one that tells more of what they differ in, with the others as rivals."""
    first, over = 0, {}
    for k in range(1, len(tried)):
        if not _is_rival(tried[first], tried[k], known):
            continue
        over[first, k], over[k, first] = _margins(known, tried[first], tried[k])
        # Of two that explain about as much of the whole, one may explain more of what tells them apart.
        if over[k, first] > max(over[first, k], 0):
            first = k
    best = tried[first]
    evidence = best.evidence
    for k, other in enumerate(tried):
        if k == first or not _is_rival(best, other, known):
            continue
        turned = known.upside_down if known.alike_turned else known.upside_down_afar
        if turned is not None and _same(other.place.matrix @ turned, best.place.matrix, known, 0.02):
            continue
        margin = over[first, k] if (first, k) in over else _margins(known, best, other)[0]
        if not known.alike_turned and _is_turned(best.place, other.place):
            evidence = replace(evidence, turned=min(margin, evidence.turned))
        elif margin < evidence.margin:
            evidence = replace(evidence, margin=margin, shift=_from_to(best.place, other.place, known))
    return replace(best, judged=evidence, probability=probability(evidence))


def _is_rival(one: _Tried, other: _Tried, known: Reference) -> bool:
    """Whether the form lies at one of two places at most, and not at the same."""
    return not (_beside(one, other, known) or _same(other.place.matrix, one.place.matrix, known, _SAME_PLACE))


def _margins(known: Reference, one: _Tried, other: _Tried) -> tuple[float, float]:
    """`Evidence.margin` of each of two places over the other; where that is not clear, by those of the template's lines
    and marks that are at one of the two alone."""
    over, under = _margin(known, one, other), _margin(known, other, one)
    if min(abs(over), abs(under)) > _CLEAR:
        return over, under
    told = lead(one.fine, other.fine, known, one.place, other.place)
    if told is None:
        return over, under
    return over if abs(over) > _CLEAR else told[0], under if abs(under) > _CLEAR else told[1]


def _margin(known: Reference, best: _Tried, rival: _Tried) -> float:
    """`Evidence.margin` of a place over a rival, by the print as a whole and by what of it lies elsewhere."""
    margin = best.margin_over(rival, _apart(best.place, rival.place, known))
    if abs(margin) > _CLEAR:
        return margin
    if not (elsewhere := _elsewhere(best.place, rival.place, known)):
        return 1.0
    return max(margin, best.margin_over(rival, (elsewhere,) * len(known.parts)), key=abs)


def _elsewhere(place: Place, other: Place, known: Reference) -> float:
    """The share of the print that lies elsewhere at another place than at one, bends and all, by so much that fields
    would not lie on their own.
    """
    points, weights = known.points
    longer = max(known.size)
    first, second = (candidates.project(points + one.bend(points, longer), one.matrix) for one in (place, other))
    back = candidates.project(second, inverse(place.matrix)) - candidates.project(first, inverse(place.matrix))
    far = np.linalg.norm(back, axis=1) > known.same / known.to_coarse[0, 0]
    return float(weights[far].sum() / weights.sum())


def outline_of(matrix: Matrix, known: Reference) -> Matrix:
    """The four corners of the form at a place, (4, 2), in pixels of the scan."""
    w, h = known.size
    return candidates.project(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), matrix)


def overlap(one: Matrix, other: Matrix) -> float:
    """Which share of the smaller of two outlines, (4, 2) each, lies in the other."""
    a, b = (outline.astype(np.float32) for outline in (one, other))
    return float(cv2.intersectConvexConvex(a, b)[0]) / max(min(cv2.contourArea(a), cv2.contourArea(b)), 1e-6)


def _beside(one: _Tried, other: _Tried, known: Reference) -> bool:
    """Whether the form may lie at both places: they are those of two sheets."""
    return overlap(*(outline_of(tried.place.matrix, known) for tried in (one, other))) < _OVERLAP


def _apart(place: Place, other: Place, known: Reference) -> tuple[float, ...]:
    """Shares of the print and of its parts in which the form at one place differs from the form at another: all of it
    where one is more than shifted against the other, or turned upside down.
    """
    turned = _is_turned(place, other)
    matrix = other.matrix @ known.flipped if turned else other.matrix
    step = inverse(place.matrix) @ matrix
    w, h = known.size
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    moves = candidates.project(corners, step) - corners
    shift = moves.mean(0)
    if np.abs(moves - shift).max() > _SAME_PLACE * max(w, h):
        return (1.0,) * len(known.parts)
    return known.differences((float(shift[0]), float(shift[1])), turned)


def _is_turned(place: Place, other: Place) -> bool:
    """Whether one place is upside down against the other."""
    first, second = place.matrix[:2, :2], other.matrix[:2, :2]
    return float((first * second).sum()) < 0


def _from_to(place: Place, other: Place, known: Reference) -> tuple[float, float]:
    """How far right and down, in template pixels, another place lies of a place."""
    middle = np.array([[known.size[0] / 2, known.size[1] / 2]])
    moved = candidates.project(candidates.project(middle, other.matrix), inverse(place.matrix))
    x, y = (moved - middle)[0]
    return float(x), float(y)


def _fills(matrix: Matrix, scan: Scan, known: Reference) -> bool:
    """Whether the form fills the scan to its edges, as it does the picture that its template was made on."""
    h, w = scan.gray.shape
    at = outline_of(matrix, known)
    ends = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    return any(np.abs(np.roll(at, k, 0) - ends).max() < 0.008 * max(h, w) for k in range(4))


def _by_paper(scan: Scan, known: Reference) -> list[Matrix]:
    whole, outline = candidates.by_whole_scan(scan, known), candidates.by_outline(scan, known)
    return [*whole, *(one for one in outline if not any(_same(one, other, known, 0.02) for other in whole))]


def _same(a: Matrix, b: Matrix, known: Reference, share: float) -> bool:
    """Whether two maps put the form's corners within a share of its size of each other."""
    first, second = outline_of(a, known), outline_of(b, known)
    size = float(np.linalg.norm(second[2] - second[0]))
    return bool(np.linalg.norm(first - second, axis=1).max() < share * size)


def _roughly(scan: Scan, known: Reference, place: Place) -> float:
    """About how much of the print is explained by a place: to choose, not to prove."""
    return view(scan, known, place, rough=True).explained


def _closer(scan: Scan, known: Reference, place: Place) -> Place:
    """A place laid once more, if that is better: of strokes alone it may be proved before it fits them to the pixel."""
    again = refine(scan, known, place.matrix, NEAR[1:])
    return again if _roughly(scan, known, again) > _roughly(scan, known, place) else place


def _try(scan: Scan, known: Reference, place: Place) -> list[_Tried]:
    """A place judged, and its nearest rivals, beside it and upside down, each as well laid as the place itself.

    Rivals are drawn onto the print once more than the place was, so it is too: bent paper needs it. From a rival that
    explains more the next is looked for, so that a page that was laid some rows off comes home.
    """
    made = [_look_at(scan, known, place)]
    if _is_open(made[0]):
        again = _closer(scan, known, place)
        closest = replace(made[0], judged=made[0].evidence, closest=True)
        made = [closest if again is place else _look_at(scan, known, again)]
    _add_beside(scan, known, made)
    best = max(made, key=lambda one: one.explained)
    if best.evidence.turned < 0.5 and best.evidence.gain > 0.15 and not known.alike_turned:
        over = _look_at(scan, known, refine(scan, known, best.place.matrix @ known.upside_down, NEAR))
        made.append(over)
        # Where that is the better one, it is what its own neighbours are rivals of.
        if over.explained > best.explained:
            _add_beside(scan, known, made)
    return made


def _add_beside(scan: Scan, known: Reference, made: list[_Tried]) -> None:
    """Adds to places the rivals beside the best of them, then beside the best of these, while any is better."""
    across, down = known.period
    for _ in range(_MOST_ROWS_OFF):
        here = max(made, key=lambda one: one.explained)
        if not _is_open(here):
            return
        for shift in (here.evidence.shift, *(((across, down), (-across, -down)) if known.drawn else ())):
            made += _beside_it(scan, known, here, shift, made)
        if max(one.explained for one in made) <= here.explained:
            return


def _look_at(scan: Scan, known: Reference, place: Place) -> _Tried:
    """A place to be proved: by what was seen from nearby where that, a little blurred, leaves nothing open."""
    rough = _Tried(scan, known, place, view(scan, known, place, rough=True))
    if is_even(rough.looks, known) and is_plain(rough.evidence):
        return rough
    return _Tried(scan, known, place, view(scan, known, place))


def _is_open(one: _Tried) -> bool:
    """Whether what is printed fits a place, and may fit as well beside it."""
    return one.evidence.margin < PLAIN and one.evidence.gain > 0.15


def _beside_it(
    scan: Scan, known: Reference, one: _Tried, shift: tuple[float, float], tried: Sequence[_Tried]
) -> list[_Tried]:
    """The place so many template pixels right and down of one, if it is none of those tried, or is laid better now."""
    moved = np.eye(3)
    moved[:2, 2] = shift
    place = refine(scan, known, one.place.matrix @ moved, NEAR)
    there = _look_at(scan, known, place)
    alike = (other.explained for other in tried if _same(place.matrix, other.place.matrix, known, _SAME_PLACE))
    return [there] if there.explained > max(alike, default=-np.inf) else []


def _refuse_unproved(best: _Tried, known: Reference) -> None:
    """Raises the error that says why a page is not proved to lie right, if it is not."""
    evidence = best.evidence
    if best.probability >= LEAST:
        return
    if evidence.even > _PLAIN and evidence.margin < 0.2:
        error = RegistrationError(
            f"the page could lie {_aside(evidence.shift)}: its print fits there nearly as well; scan it whole, or "
            'give the template a picture of the empty form ("reference")'
        )
    elif evidence.even > _PLAIN and evidence.turned < 0.2:
        error = RegistrationError(_OPEN)
    elif evidence.even > _PLAIN and evidence.seen < MOSTLY:
        error = RegistrationError(f"only {evidence.seen:.0%} of the form would be on this picture; scan it whole")
    else:
        error = UnknownFormError(
            f"the page does not fit the template: {max(evidence.gain, 0):.0%} of its print found; "
            "is it this form, and scanned whole?"
        )
    raise _near(error, best, known)


def _near(error: RegistrationError, best: _Tried, known: Reference) -> RegistrationError:
    """The error, with the place that came nearest."""
    error.outline = [(float(x), float(y)) for x, y in outline_of(best.place.matrix, known)]
    error.explained = best.explained
    return error


def _refuse_another_version(page: Registered, known: Reference, best: _Tried) -> None:
    """Raises UnknownFormError where boxes of the form are missing, or have other rows' names beside them, though all
    else is there.
    """
    # A box to tick is often drawn over until its lines cannot be seen.
    own = [spec for spec, patch in zip(known.spec.fields, known.fields, strict=True) if patch is not None]
    printed = [spec for spec in own if spec.kind != "tick"]
    boxes = [spec.box for spec in printed]
    paper = _shows_paper(page, boxes)
    there = [spec.name for spec, shown in zip(printed, paper, strict=True) if shown]
    missing = [name for name in there if page.fields[name] < _NOT_THERE * page.quality]
    rows = [[known.spec.fields[k].name for k in row] for row in rows_of(known)] if known.drawn else []
    # A whole row that lacks is one that the page does not have; what is written in the others may be of other rows.
    # One at the edge of the scan may be cut off.
    grown = [(x - _EDGE * h, y - _EDGE * h, w + 2 * _EDGE * h, (1 + 2 * _EDGE) * h) for x, y, w, h in boxes]
    within = {spec.name for spec, shown in zip(printed, _shows_paper(page, grown), strict=True) if shown}
    lacks = any(len(row) >= _A_ROW and set(row) <= within.intersection(missing) for row in rows)
    if lacks or len(missing) >= max(_MISSING_FIELDS, _MISSING * len(there)):
        error = UnknownFormError(
            f"the page is like the template, but {len(missing)} of its {len(there)} fields are not where they should "
            f"be, or beside other names, such as {missing[0]!r}; is it another version "
            "of the form, or another list? Then give it a template of its own"
        )
        raise _near(error, best, known)


def _shows_paper(page: Registered, boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """Which boxes of the template, (N,), lie on the page, and on no part that was torn off over a dark bed."""
    steps = np.array([(x, y) for y in np.linspace(0.0, 1.0, _LOOKS) for x in np.linspace(0.0, 1.0, _LOOKS)])
    points = [candidates.project(np.array([x, y]) + steps * (w, h), page.map_of((x, y, w, h))) for x, y, w, h in boxes]
    at = np.rint(points).astype(np.intp).reshape(-1, len(steps), 2)
    high, wide = page.image.shape[:2]
    inside = ((at >= 0) & (at <= (wide, high))).all((1, 2))
    levels = page.image[np.clip(at[..., 1], 0, high - 1), np.clip(at[..., 0], 0, wide - 1)]
    middle = np.array([np.median(some) for some in levels])
    return np.asarray(inside & (middle > page.paper - _BED), np.bool_)


def _aside(shift: tuple[float, float]) -> str:
    x, y = shift
    ways = [
        f"{abs(v):.0f} px {name}" for v, name in ((x, "left" if x < 0 else "right"), (y, "up" if y < 0 else "down"))
    ]
    return " and ".join(way for way, v in zip(ways, shift, strict=True) if abs(v) >= 1) or "a little aside"


def _laid(image: npt.NDArray[np.uint8], scan: Scan, known: Reference, place: Place, best: _Tried) -> Registered:
    """The page turned upright, and each field on its own frame."""
    seen = look(scan, known, place.matrix, _AROUND)
    own, fields = dict[Box, Matrix](), dict[str, float]()
    angle = float(np.degrees(np.arctan2(place.matrix[1, 0], place.matrix[0, 0])))
    quarters = round(-angle / 90) % 4
    upright = np.ascontiguousarray(np.rot90(image, -quarters)) if quarters else image
    to_upright = candidates.quarter_turn(quarters, upright.shape)
    boxes = np.array([spec.box for spec in known.spec.fields], np.float64).reshape(-1, 4)
    outlines = boxes[:, None, :2] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * boxes[:, None, 2:]
    bends = place.bend(outlines.reshape(-1, 2), max(known.size)).reshape(-1, 4, 2)
    moves, likenesses = snap(place, known, seen, _AROUND)
    whole = to_upright @ place.matrix
    usual = typical(likenesses[[patch is not None for patch in known.fields]])
    sides, walls, elsewhere = frames_seen(known, seen, moves, _AROUND)
    framed = np.where(elsewhere, MOVED, 1.0) * frame_probability(sides, walls)
    sure = np.full(len(boxes), UNPRINTED)
    for k in (k for k, patch in enumerate(known.fields) if patch is not None):
        extra = moves[k] - bends[k].mean(0)
        sure[k] = field_probability(float(likenesses[k]), float(np.abs(extra).max()) / boxes[k, 3], usual)
        bends[k] += extra
    there = _on_scan(candidates.project((outlines + bends).reshape(-1, 2), place.matrix).reshape(-1, 4, 2), scan)
    for k, step in enumerate(_perspectives(outlines, outlines + bends)):
        spec = known.spec.fields[k]
        own[spec.box] = whole @ step
        fields[spec.name] = best.probability * float(sure[k] * framed[k] * there[k])
    paper = int(np.median(_inside(scan, known, place)))
    upright = _without_bed(upright, to_upright @ place.matrix, known, paper)
    page = Registered(
        upright,
        to_upright @ place.matrix,
        best.probability,
        90 * quarters,
        paper,
        best.explained,
        own,
        fields,
        outline_of(place.matrix, known),
    )
    unit = max(known.size) / FINE
    labels = labels_of(known)
    paper_there = _shows_paper(page, [one.patch.box(unit) for one in labels])
    labels = tuple(one for one, shown in zip(labels, paper_there, strict=True) if shown)
    for name, sure in zip(fields, label_probability(labels, known, place, seen, _AROUND), strict=True):
        fields[name] *= sure
    return page


def _perspectives(corners: Matrix, others: Matrix) -> Matrix:
    """The maps, (N, 3, 3), that take four corners each to four others, (N, 4, 2) both."""
    (x, y), (u, v) = (np.moveaxis(some, 2, 0) for some in (corners, others))
    o, z = np.ones_like(x), np.zeros_like(x)
    across = np.stack([x, y, o, z, z, z, -x * u, -y * u], 2)
    down = np.stack([z, z, z, x, y, o, -x * v, -y * v], 2)
    known = np.linalg.solve(np.concatenate([across, down], 1), np.concatenate([u, v], 1)[..., None])[..., 0]
    return np.concatenate([known, np.ones((len(known), 1))], 1).reshape(-1, 3, 3)


def _on_scan(corners: Matrix, scan: Scan) -> npt.NDArray[np.float64]:
    """The share of each field, (N, 4, 2) corners, that is on the scan: nothing is known of what was written beyond."""
    high, wide = scan.gray.shape
    shares = np.ones(len(corners))
    ends = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    for k in np.flatnonzero(((corners < 0) | (corners > (wide, high))).any((1, 2))).tolist():
        own = corners[k].astype(np.float32)
        shared = cv2.intersectConvexConvex(own, ends)[0]
        shares[k] = min(float(shared) / max(cv2.contourArea(own), 1e-6), 1.0)
    return shares


def on_each_other(one: Registered, other: Registered) -> bool:
    """Whether most fields of a page laid one way up lie on fields of it laid the other way up."""
    middles = []
    for page in (one, other):
        back = inverse(candidates.quarter_turn(page.turn // 90, page.image.shape))
        at = [
            candidates.project(np.array([[x + w / 2, y + h / 2], [x, y], [x + w, y + h]]), back @ page.map_of(box))
            for box in page.own
            for x, y, w, h in [box]
        ]
        middles.append(np.array(at))
    low, high = middles[1][:, 1:].min(1), middles[1][:, 1:].max(1)
    inside = (middles[0][:, None, 0] >= low) & (middles[0][:, None, 0] <= high)
    return bool(inside.all(2).any(1).mean() > 0.5)


def turned_in_place(page: Registered) -> Registered:
    """A page with each of its fields upside down where it lies."""
    own = {
        (x, y, w, h): matrix @ np.array([[-1, 0, 2 * x + w], [0, -1, 2 * y + h], [0, 0, 1]], np.float64)
        for (x, y, w, h), matrix in page.own.items()
    }
    return replace(page, own=own)


def without(page: Registered, others: Sequence[Matrix]) -> Registered:
    """A page that lies beside others on one picture, with these, by their outlines, made paper."""
    beyond = np.zeros(page.image.shape[:2], np.uint8)
    to_upright = candidates.quarter_turn(page.turn // 90, page.image.shape)
    for outline in (*others, page.outline):
        value = 0 if outline is page.outline else 1
        cv2.fillConvexPoly(beyond, np.rint(candidates.project(outline, to_upright)).astype(np.int32), (value,))
    clean = page.image.copy()
    clean[beyond > 0] = page.paper
    return replace(page, image=clean)


def _without_bed(image: npt.NDArray[np.uint8], matrix: Matrix, known: Reference, paper: int) -> npt.NDArray[np.uint8]:
    """The page with a dark bed or table around it made as light as its paper, so that ink is told from paper alone."""
    w, h = known.size
    edge = 0.02 * max(w, h)
    corners = np.array([[-edge, -edge], [w + edge, -edge], [w + edge, h + edge], [-edge, h + edge]], np.float64)
    beyond = np.ones(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(beyond, np.rint(candidates.project(corners, matrix)).astype(np.int32), (0,))
    if cv2.countNonZero(beyond) < _SOME_BED * beyond.size:
        return image
    dark = (beyond > 0) & (to_gray(image) < paper - _BED)
    if dark.mean() < _SOME_BED:
        return image
    clean = image.copy()
    clean[beyond > 0] = paper
    return clean


def _inside(scan: Scan, known: Reference, place: Place) -> npt.NDArray[np.uint8]:
    """Gray levels of the scan under the form."""
    w, h = (max(8, round(v * 150 / max(known.size))) for v in known.size)
    f = np.diag([known.size[0] / w, known.size[1] / h, 1.0])
    picture, there = scan.through(place.matrix @ f, (w, h)), scan.covered(place.matrix @ f, (w, h))
    return picture[there] if there.any() else picture


def cut(
    picture: npt.NDArray[np.uint8],
    page: Registered,
    box: tuple[float, float, float, float],
    margin: float,
    paper: int,
    tallest: int = TALLEST_FIELD,
) -> tuple[npt.NDArray[np.uint8], float]:
    """The crop of a box of the template and `margin` template pixels around it, and its pixels for one of them.

    picture: the registered page's image, or one made from it pixel by pixel. Cut at the page's own resolution,
    but no box higher than `tallest` pixels; what lies beyond the page is `paper`.
    """
    x, y, w, h = box
    matrix = page.map_of(box)
    a, b, c = candidates.project(np.array([[x, y], [x + w, y], [x, y + h]], np.float64), matrix)
    own = 0.5 * (math.hypot(*(b - a)) / w + math.hypot(*(c - a)) / h)
    scale = min(max(own, 0.25), max(tallest / h, 0.25))
    size = max(4, round((w + 2 * margin) * scale)), max(4, round((h + 2 * margin) * scale))
    to_template = np.array([[1 / scale, 0, x - margin], [0, 1 / scale, y - margin], [0, 0, 1]], np.float64)
    out = cv2.warpPerspective(
        picture,
        matrix @ to_template,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(paper,) * 3,
    )
    return np.asarray(out, np.uint8), scale
