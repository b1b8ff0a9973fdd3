"""Where a page lies under its template, and how sure that is: candidates, refined on what is printed, then proved."""

from __future__ import annotations

import zlib
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray, Matrix
from inkshift.errors import RegistrationError, UnknownFormError
from inkshift.forms.registration import candidates
from inkshift.forms.registration.labels import NEIGHBOURS, label_probability, labels_of, rows_of
from inkshift.forms.registration.places import (
    LEAST,
    SURE,
    Hypothesis,
    closer,
    find_places,
    is_on,
    outline_of,
    same_place,
)
from inkshift.forms.registration.proof import (
    MOSTLY,
    MOVED,
    UNPRINTED,
    field_probability,
    frame_probability,
    glance,
    probability,
    typical,
    view,
)
from inkshift.forms.registration.reference import FINE, Reference
from inkshift.forms.registration.refine import NEAR, Place, frames_seen, look, refine, snap
from inkshift.forms.registration.registered import BED, RegisteredPage, shows_paper
from inkshift.forms.registration.scan import Scan
from inkshift.forms.template import Box, PageSpec
from inkshift.reframe import to_gray

_SMALLEST_PAGE = 150
# A hand puts corners about this exactly, as a share of the form's size: 6 mm of A4.
_BY_HAND = 0.025
# Where four fifths of the form's parts are seen better than this, it is the form, and lies beside its place.
_PLAIN = 0.3
# Of a form's own page two of a thousand fields are not where they should be: a tenth of them, and two at least, are
# another form's. A field is not there where it is less probably in its place than this.
_MISSING, _MISSING_FIELDS, _NOT_THERE = 0.1, 2, 0.1
# Fields that make a row of a table, and how much paper, in heights of a field, is around one that is not cut off.
_A_ROW, _EDGE = 3, 0.1
# Where a form is proved to lie on a scan, another one that shows this share of what it shows, or the second of its own
# print, may lie there all the same; and the form itself in a mirror, where that shows the third.
_NO_RIVAL, _A_RIVAL, _AS_WELL = 0.5, 0.3, 0.65
# Pixels around the form that a laid page is looked at with, so that what lies beside its place is found.
_AROUND = 24
_OPEN = (
    "the way up is open: what the template knows of the print looks the same upside down; "
    'give the template a picture of the empty form ("reference")'
)
_REFERENCES: dict[tuple[PageSpec, int], Reference] = {}
_MOST_REFERENCES = 32
# Over such a share of the scan a bed is taken away; beside a white bed there is little.
_SOME_BED = 0.08


def register(
    image: npt.NDArray[np.uint8], page: PageSpec, reference: Gray | None = None, scan: Scan | None = None
) -> list[RegisteredPage]:
    """Lay a page, (H, W) or (H, W, 3) uint8, onto its template; `reference` is the picture that `page` names.

    One place; two, upright and upside down, where what is known of the print is the same both ways up, so that only
    what is written can tell. Of several copies of the form beside each other one is laid; what lies beside a place does
    not speak against it. Raises UnknownFormError where the page shows too little of the form, a blank one too, or some
    of its fields have nothing of their print where all else is, as on another version of the form, or other rows'
    names beside them, and RegistrationError where it could lie otherwise as well; both name the place that comes
    nearest. scan: the same image, where it is looked at for several forms: once one is proved, the others are given up
    sooner.
    """
    if max(image.shape[:2]) < _SMALLEST_PAGE:
        high, wide = image.shape[:2]
        raise RegistrationError(
            f"a page of {wide} x {high} pixels is too small to find a form on; scan it at 100 dpi or more"
        )
    alone, scan, known = scan is None, scan or Scan(to_gray(image)), reference_of(page, reference)
    scan.sheets.clear()  # of other forms: large, and not looked at again
    tried = find_places(scan, known)
    if not tried:
        wanted = "corner marks" if page.marks else "printed lines" if page.lines else "print"
        raise UnknownFormError(f"the template's {wanted} are not on this page; is it this form, and scanned whole?")
    best = tried[0]
    _refuse_unproved(best, known)
    place = closer(scan, known, best.place) if known.drawn and not best.closest else best.place
    found = [_laid(image, scan, known, place, best)]
    turned = known.upside_down if known.alike_turned else known.upside_down_afar
    if turned is not None and (known.alike_turned or is_on(place.matrix @ turned, scan, known)):
        over = refine(scan, known, best.place.matrix @ turned, NEAR)
        found.append(_laid(image, scan, known, over, best))
    _refuse_another_version(found[0], known, best)
    if best.probability >= SURE and not alone:
        dark = _NO_RIVAL * glance(scan, known, place.matrix)
        scan.least = max(scan.least, (min(_NO_RIVAL * best.explained, _A_RIVAL), dark))
    return found


def in_mirror(page: RegisteredPage, spec: PageSpec, reference: Gray | None = None) -> list[RegisteredPage]:
    """The mirror image of a page that was laid, on the same template, as `register` gives it; none where that does not
    show about as much of the print as the page does."""
    image = np.ascontiguousarray(page.image[:, ::-1])
    scan = Scan(to_gray(image))
    known = reference_of(spec, reference)
    dark = glance(Scan(to_gray(page.image)), known, page.matrix)
    scan.least = _AS_WELL * page.explained, _NO_RIVAL * dark
    try:
        return register(image, spec, reference, scan)
    except RegistrationError:
        return []


def lay_at(
    image: npt.NDArray[np.uint8], page: PageSpec, matrix: Matrix, reference: Gray | None = None
) -> RegisteredPage:
    """Lay a page, (H, W) or (H, W, 3) uint8, where somebody put it by hand; `reference`: the picture that `page` names.

    matrix: 3x3, template to image pixels. It is drawn onto the print where that is near. Its quality says how well it
    fits what is printed, and is half at least: a person saw to it.
    """
    scan, known = Scan(to_gray(image)), reference_of(page, reference)
    place = refine(scan, known, matrix)
    if not same_place(place.matrix, matrix, known, _BY_HAND):
        place = Place(matrix)
    tried = Hypothesis(scan, known, place, view(scan, known, place))
    return _laid(image, scan, known, place, replace(tried, probability=max(probability(tried.evidence), LEAST)))


def reference_of(page: PageSpec, picture: Gray | None) -> Reference:
    """What is printed on a page of a template, made once for each template and picture."""
    key = page, 0 if picture is None else zlib.crc32(picture.tobytes())
    if key not in _REFERENCES:
        if len(_REFERENCES) >= _MOST_REFERENCES:
            del _REFERENCES[next(iter(_REFERENCES))]
        _REFERENCES[key] = Reference(page, picture)
    return _REFERENCES[key]


def _refuse_unproved(best: Hypothesis, known: Reference) -> None:
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


def _near(error: RegistrationError, best: Hypothesis, known: Reference) -> RegistrationError:
    """The error, with the place that came nearest."""
    error.outline = [(float(x), float(y)) for x, y in outline_of(best.place.matrix, known)]
    error.explained = best.explained
    return error


def _refuse_another_version(page: RegisteredPage, known: Reference, best: Hypothesis) -> None:
    """Raises UnknownFormError where boxes of the form are missing, or have other rows' names beside them, though all
    else is there.
    """
    # A box to tick is often drawn over until its lines cannot be seen.
    own = [spec for spec, patch in zip(known.spec.fields, known.fields, strict=True) if patch is not None]
    printed = [spec for spec in own if spec.kind != "tick"]
    boxes = [spec.box for spec in printed]
    paper = shows_paper(page, boxes)
    there = [spec.name for spec, shown in zip(printed, paper, strict=True) if shown]
    missing = [name for name in there if page.fields[name] < _NOT_THERE * page.quality]
    rows = [[known.spec.fields[k].name for k in row] for row in rows_of(known)] if known.drawn else []
    # A whole row that lacks is one that the page does not have; what is written in the others may be of other rows.
    # One at the edge of the scan may be cut off.
    grown = [(x - _EDGE * h, y - _EDGE * h, w + 2 * _EDGE * h, (1 + 2 * _EDGE) * h) for x, y, w, h in boxes]
    within = {spec.name for spec, shown in zip(printed, shows_paper(page, grown), strict=True) if shown}
    lacks = any(len(row) >= _A_ROW and set(row) <= within.intersection(missing) for row in rows)
    if lacks or len(missing) >= max(_MISSING_FIELDS, _MISSING * len(there)):
        error = UnknownFormError(
            f"the page is like the template, but {len(missing)} of its {len(there)} fields are not where they should "
            f"be, or beside other names, such as {missing[0]!r}; is it another version "
            "of the form, or another list? Then give it a template of its own"
        )
        raise _near(error, best, known)


def _aside(shift: tuple[float, float]) -> str:
    x, y = shift
    ways = [
        f"{abs(v):.0f} px {name}" for v, name in ((x, "left" if x < 0 else "right"), (y, "up" if y < 0 else "down"))
    ]
    return " and ".join(way for way, v in zip(ways, shift, strict=True) if abs(v) >= 1) or "a little aside"


def _laid(image: npt.NDArray[np.uint8], scan: Scan, known: Reference, place: Place, best: Hypothesis) -> RegisteredPage:
    """The page turned upright, and each field on its own frame."""
    seen = look(scan, known, place.matrix, _AROUND)
    own, fields, beside = dict[Box, Matrix](), dict[str, float](), dict[str, float]()
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
    page = RegisteredPage(
        upright,
        to_upright @ place.matrix,
        best.probability,
        90 * quarters,
        paper,
        best.explained,
        own,
        fields,
        outline_of(place.matrix, known),
        beside,
    )
    unit = max(known.size) / FINE
    labels = labels_of(known)
    paper_there = shows_paper(page, [one.patch.box(unit) for one in labels])
    labels = tuple(one for one, shown in zip(labels, paper_there, strict=True) if shown)
    for name, sure in zip(fields, label_probability(labels, known, place, seen, _AROUND), strict=True):
        fields[name] *= sure
        beside[name] = float(sure) if sure <= NEIGHBOURS else 1.0
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


def _without_bed(image: npt.NDArray[np.uint8], matrix: Matrix, known: Reference, paper: int) -> npt.NDArray[np.uint8]:
    """The page with a dark bed or table around it made as light as its paper, so that ink is told from paper alone."""
    w, h = known.size
    edge = 0.02 * max(w, h)
    corners = np.array([[-edge, -edge], [w + edge, -edge], [w + edge, h + edge], [-edge, h + edge]], np.float64)
    beyond = np.ones(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(beyond, np.rint(candidates.project(corners, matrix)).astype(np.int32), (0,))
    if cv2.countNonZero(beyond) < _SOME_BED * beyond.size:
        return image
    dark = (beyond > 0) & (to_gray(image) < paper - BED)
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
