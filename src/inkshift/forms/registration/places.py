"""Where the form may lie on a scan: each way of looking in turn, each place beside its rivals, until one is proved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from inkshift.arrays import Matrix
from inkshift.forms.registration import candidates
from inkshift.forms.registration.proof import (
    PLAIN,
    Evidence,
    ScanView,
    fine,
    glance,
    is_even,
    is_plain,
    lead,
    margin_over,
    probability,
    shares,
    view,
    weigh,
)
from inkshift.forms.registration.reference import Reference, printed_lines
from inkshift.forms.registration.refine import NEAR, WIDE, Place, follow, over_turned, refine
from inkshift.forms.registration.scan import Contrast, Scan, inverse

Way = Callable[[Scan, Reference], list[Matrix]]
# A page is read where it more probably lies right than not; how probable that is enters the confidence of each field.
LEAST = 0.5
SURE = 0.95
# Places that share no more than this of the smaller one are no rivals: the form may lie at both.
_OVERLAP = 0.2
# Maps whose corners lie within this share of the form's size of each other are the same place: 3 mm of A4.
_SAME_PLACE = 0.012
# Where no more than this of the print is seen, paper may be bent more than patches are looked for at first.
_BENT = 0.65
# Where between these shares of the print are seen and the place is not proved, the paper's bend is followed closely.
_FOLLOWED = (0.35, 0.8)
# Of two places that explain so differently much of what they differ in, no closer look is needed.
_CLEAR = 0.25
# A form that fills the scan just as it fills the template's page is more probably there than elsewhere.
_FRAMED = 0.1
_MOST_ROWS_OFF = 4
# A fax: gray levels between which hardly any of its pixels lie, and the share that may.
_FAX_DARK, _FAX_LIGHT, _FAX_GRAY = 48, 208, 0.02
_SMALLEST_FAX = 800  # pixels of its longer side: a page has 1,728 columns
# A place in a fax of half the rows that is not squashed as it is takes up half of it.
_MOST_OF_SCAN = 0.75
# A form of which this share is on the scan may lie there, with blank margins cut off.
_ON_SCAN = 0.9


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A place and what speaks for it. looks: the scan from there. judged, probability: once its rivals are known.
    closest: whether it is no better laid once more (see `closer`). over: its margin over others, see `_margins`."""

    scan: Scan
    known: Reference
    place: Place
    looks: ScanView
    judged: Evidence | None = None
    probability: float = 0.0
    closest: bool = False
    over: dict[Hypothesis, tuple[float, float]] = field(default_factory=dict)

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

    def margin_over(self, rival: Hypothesis, differs: Sequence[float]) -> float:
        """`Evidence.margin` over another place at which so much of the print and of its parts differs."""
        return margin_over(self.shares, rival.shares, differs)


def find_places(scan: Scan, known: Reference) -> list[Hypothesis]:
    """The places at which the form may lie on a scan, those that were tried, the likeliest first; a fax may be of half
    the rows."""
    tried = _find_as_it_is(scan, known)
    return _squashed(scan, known, tried) if _is_fax(scan) else tried


def promise(scan: Scan, known: Reference) -> float:
    """About how dark a scan is where print should be, 0 to 2, at the places that are found at once: by marks, or as a
    form that fills it. Which of several forms to look for first."""
    quick = [*candidates.by_marks(scan, known, (1.0,)), *candidates.by_whole_scan(scan, known)]
    return max((glance(scan, known, matrix) for matrix in quick), default=0.0)


def _find_as_it_is(scan: Scan, known: Reference) -> list[Hypothesis]:
    """The places that were tried, best first: each way of looking in turn, until one is proved.

    Where another form is proved to be there, what shows far less than that is not tried (`Scan.least`).
    """
    lines = printed_lines(known.spec)
    enough = scan.least[0]
    ways: tuple[Way, ...] = (
        lambda scan, known: candidates.by_marks(scan, known, (1.0,)),
        candidates.by_keypoints,
        candidates.by_marks,
        _by_paper,
        lambda scan, known: candidates.by_lines(scan, known, lines),
    )
    tried: list[Hypothesis] = []
    followed: list[Matrix] = []
    best: Hypothesis | None = None
    for way in ways:
        exact = way in (ways[0], candidates.by_marks)
        chosen = _worth_a_look(scan, known, way(scan, known), exact)
        for matrix in chosen:
            place = _by_marks(scan, known, matrix) if exact else refine(scan, known, matrix)
            least = enough
            if tried:
                alike = [
                    other.explained for other in tried if same_place(place.matrix, other.place.matrix, known, 0.01)
                ]
                least = max(enough, max(alike, default=0.6 * max(other.explained for other in tried)))
            if (tried or enough) and _roughly(scan, known, place) <= least:
                continue
            tried += _try(scan, known, place)
            tried.sort(key=lambda one: -one.explained)
            best = _judged(scan, known, tried) if known.drawn or tried[0].explained > _BENT else None
            if best and best.probability >= SURE:
                return [best, *tried[1:]]
        if chosen and 0.2 < max((one.explained for one in tried), default=1) < _BENT and not known.drawn:
            tried += _try(scan, known, refine(scan, known, chosen[0], WIDE))
            tried.sort(key=lambda one: -one.explained)
            best = None
        if tried and best is None:
            best = _judged(scan, known, tried)
        here = best if best and best.probability < SURE and _FOLLOWED[0] < best.explained < _FOLLOWED[1] else None
        if here and not any(same_place(here.place.matrix, one, known, _SAME_PLACE) for one in followed):
            followed.append(here.place.matrix)
            tried += _try(scan, known, follow(scan, known, here.place), closely=True)
            tried.sort(key=lambda one: -one.explained)
            best = _judged(scan, known, tried)
        if best and best.probability >= SURE:
            break
    return [best, *tried[1:]] if best else []


def _worth_a_look(scan: Scan, known: Reference, rough: Sequence[Matrix], exact: bool) -> list[Matrix]:
    """Those places of one way of looking that are tried: where print shows best at a glance, and the way's first."""
    enough, dark = scan.least
    if len(rough) < 2 and not enough:
        return list(rough)
    looks = [glance(scan, known, matrix) for matrix in rough]
    kept = [k for k, seen in enumerate(looks) if not enough or seen > dark]
    # Marks are exact, and where a template knows little else they may be better than what is around them; on bent paper
    # a glance does not tell which way up they are.
    best = sorted(kept, key=lambda k: -looks[k])[:2]
    return [rough[k] for k in dict.fromkeys([*best, *kept[: 2 if exact else 1]])]


def _by_marks(scan: Scan, known: Reference, exact: Matrix) -> Place:
    """The place by marks alone, or drawn onto the print around them; on bent paper between marks that stay."""
    ways = [(_roughly(scan, known, one), one) for one in (refine(scan, known, exact, NEAR), Place(exact))]
    if max(seen for seen, _ in ways) < _BENT:
        held = refine(scan, known, exact, held=True)
        ways.append((_roughly(scan, known, held), held))
    return max(ways, key=lambda way: way[0])[1]


def _is_fax(scan: Scan) -> bool:
    """Whether a scan is of one bit, or nearly: saved as a JPEG since; and as large as a page that was faxed.

    A page with little on it, or pale lines, has few gray pixels too, but hardly any that are black.
    """
    few = scan.gray[::3, ::3]
    gray, black = float(((few > _FAX_DARK) & (few < _FAX_LIGHT)).mean()), float((few <= _FAX_DARK).mean())
    return max(scan.gray.shape) >= _SMALLEST_FAX and gray < min(_FAX_GRAY, black)


def _squashed(scan: Scan, known: Reference, tried: Sequence[Hypothesis]) -> list[Hypothesis]:
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
        twice = Scan(np.asarray(square, np.uint8))
        twice.least = scan.least
        for one in _find_as_it_is(twice, known)[:1]:
            if one.probability >= LEAST and one.explained > least:
                there = Place(shrink @ one.place.matrix, one.place.sights)
                proved.append(replace(one, scan=scan, place=there, closest=False))
    if len(proved) < 2:
        return proved or list(tried)
    proved.sort(key=lambda one: -one.explained)
    return [_among(known, proved), *proved[1:]]


def is_on(matrix: Matrix, scan: Scan, known: Reference) -> bool:
    """Whether the form at a place lies on the scan, but for a strip at its edges."""
    high, wide = scan.gray.shape
    ends = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    own = outline_of(matrix, known).astype(np.float32)
    return float(cv2.intersectConvexConvex(own, ends)[0]) > _ON_SCAN * cv2.contourArea(own)


def _covers(matrix: Matrix, scan: Scan, known: Reference) -> bool:
    """Whether the form at a place takes up most of the scan, which then has the form's own proportions."""
    high, wide = scan.gray.shape
    return bool(cv2.contourArea(outline_of(matrix, known).astype(np.float32)) > _MOST_OF_SCAN * high * wide)


def _judged(scan: Scan, known: Reference, tried: Sequence[Hypothesis]) -> Hypothesis:
    """The first of the places, its margin and probability with the others as rivals."""
    best = _among(known, tried)
    if not _fills(best.place.matrix, scan, known):
        return best
    evidence = replace(best.evidence, margin=best.evidence.margin + _FRAMED)
    return replace(best, judged=evidence, probability=probability(evidence))


def _among(known: Reference, tried: Sequence[Hypothesis]) -> Hypothesis:
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
        if turned is not None and same_place(other.place.matrix @ turned, best.place.matrix, known, 0.02):
            continue
        margin = over[first, k] if (first, k) in over else _margins(known, best, other)[0]
        if not known.alike_turned and _is_turned(best.place, other.place):
            evidence = replace(evidence, turned=min(margin, evidence.turned))
        elif margin < evidence.margin:
            evidence = replace(evidence, margin=margin, shift=_from_to(best.place, other.place, known))
    return replace(best, judged=evidence, probability=probability(evidence))


def _is_rival(one: Hypothesis, other: Hypothesis, known: Reference) -> bool:
    """Whether the form lies at one of two places at most, and not at the same."""
    return not (_beside(one, other, known) or same_place(other.place.matrix, one.place.matrix, known, _SAME_PLACE))


def _margins(known: Reference, one: Hypothesis, other: Hypothesis) -> tuple[float, float]:
    """`Evidence.margin` of each of two places over the other; where that is not clear, by those of the template's lines
    and marks that are at one of the two alone."""
    if other not in one.over:  # places are weighed anew with each that is added
        over, under = _margin(known, one, other), _margin(known, other, one)
        told = None
        if min(abs(over), abs(under)) <= _CLEAR:
            told = lead(one.fine, other.fine, known, one.place, other.place)
        if told is not None:
            over, under = over if abs(over) > _CLEAR else told[0], under if abs(under) > _CLEAR else told[1]
        one.over[other], other.over[one] = (over, under), (under, over)
    return one.over[other]


def _margin(known: Reference, best: Hypothesis, rival: Hypothesis) -> float:
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


def _beside(one: Hypothesis, other: Hypothesis, known: Reference) -> bool:
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
    return [*whole, *(one for one in outline if not any(same_place(one, other, known, 0.02) for other in whole))]


def same_place(a: Matrix, b: Matrix, known: Reference, share: float) -> bool:
    """Whether two maps put the form's corners within a share of its size of each other."""
    first, second = outline_of(a, known), outline_of(b, known)
    size = float(np.linalg.norm(second[2] - second[0]))
    return bool(np.linalg.norm(first - second, axis=1).max() < share * size)


def _roughly(scan: Scan, known: Reference, place: Place) -> float:
    """About how much of the print is explained by a place: to choose, not to prove."""
    return view(scan, known, place, rough=True).explained


def closer(scan: Scan, known: Reference, place: Place) -> Place:
    """A place laid once more, if that is better: of strokes alone it may be proved before it fits them to the pixel."""
    again = refine(scan, known, place.matrix, NEAR[1:])
    return again if _roughly(scan, known, again) > _roughly(scan, known, place) else place


def _try(scan: Scan, known: Reference, place: Place, closely: bool = False) -> list[Hypothesis]:
    """A place judged, and its nearest rivals, beside it and upside down, each as well laid as the place itself.

    closely: as `follow` lays it.

    Rivals are drawn onto the print once more than the place was, so it is too: bent paper needs it. From a rival that
    explains more the next is looked for, so that a page that was laid some rows off comes home.
    """
    made = [_look_at(scan, known, place)]
    if _is_open(made[0]) and not closely:
        again = closer(scan, known, place)
        closest = replace(made[0], judged=made[0].evidence, closest=True)
        made = [closest if again is place else _look_at(scan, known, again)]
    _add_beside(scan, known, made, closely)
    best = max(made, key=lambda one: one.explained)
    if best.evidence.turned < 0.5 and best.evidence.gain > 0.15 and not known.alike_turned:
        matrix = best.place.matrix @ known.upside_down
        bent = over_turned(best.place, known, matrix)
        over = _look_at(scan, known, follow(scan, known, bent) if closely else refine(scan, known, matrix, NEAR))
        made.append(over)
        # Where that is the better one, it is what its own neighbours are rivals of.
        if over.explained > best.explained:
            _add_beside(scan, known, made, closely)
    return made


def _add_beside(scan: Scan, known: Reference, made: list[Hypothesis], closely: bool) -> None:
    """Adds to places the rivals beside the best of them, then beside the best of these, while any is better."""
    across, down = known.period
    for _ in range(_MOST_ROWS_OFF):
        here = max(made, key=lambda one: one.explained)
        if not _is_open(here):
            return
        for shift in (here.evidence.shift, *(((across, down), (-across, -down)) if known.drawn else ())):
            made += _beside_it(scan, known, here, shift, made, closely)
        if max(one.explained for one in made) <= here.explained:
            return


def _look_at(scan: Scan, known: Reference, place: Place) -> Hypothesis:
    """A place to be proved: by what was seen from nearby where that, a little blurred, leaves nothing open."""
    rough = Hypothesis(scan, known, place, view(scan, known, place, rough=True))
    if is_even(rough.looks, known) and is_plain(rough.evidence):
        return rough
    return Hypothesis(scan, known, place, view(scan, known, place))


def _is_open(one: Hypothesis) -> bool:
    """Whether what is printed fits a place, and may fit as well beside it."""
    return one.evidence.margin < PLAIN and one.evidence.gain > 0.15


def _beside_it(
    scan: Scan,
    known: Reference,
    one: Hypothesis,
    shift: tuple[float, float],
    tried: Sequence[Hypothesis],
    closely: bool,
) -> list[Hypothesis]:
    """The place so many template pixels right and down of one, if it is none of those tried, or is laid better now."""
    moved = np.eye(3)
    moved[:2, 2] = shift
    matrix = one.place.matrix @ moved
    place = follow(scan, known, Place(matrix, one.place.sights)) if closely else refine(scan, known, matrix, NEAR)
    there = _look_at(scan, known, place)
    alike = (other.explained for other in tried if same_place(place.matrix, other.place.matrix, known, _SAME_PLACE))
    return [there] if there.explained > max(alike, default=-np.inf) else []
