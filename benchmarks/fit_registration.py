"""How probable it is that a page lies right, fitted on pages in every situation; how well that holds on other forms.

    python benchmarks/fit_registration.py [--pages 300] [--seed 21] [--keep FILE] [--out FILE]

Pages of wild.py are made and laid, none is read: each by all three roads, from where registration finds it, and from
starts that are wrong on purpose (a row or a column aside, upside down, anywhere within 25 mm), as if nothing better had
been found; each lies by the templates of other forms too. What is printed: the constants of `probability` and
`field_probability` in src/inkshift/forms/registration/proof.py, to be copied there by hand where they are better, and
how true the present and the fitted ones are on forms that the fit has not seen. --keep: a file for what was laid, so
that another fit need not lay the pages again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

import wild
import wild_pages
from bench_read import machine
from inkshift.arrays import Matrix
from inkshift.forms.page.which import is_blank_page
from inkshift.forms.registration import places, proof
from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.reference import Reference
from inkshift.forms.registration.refine import NEAR, Place, look, refine, snap
from inkshift.forms.registration.scan import Scan
from inkshift.reframe import to_gray
from printed import options, show
from wild_forms import Form, template_of
from wild_pages import REFUSE, ROADS, Made, Task, Truth

Values = npt.NDArray[np.float64]
Map = Callable[[Values], Values]

FOUND, ASTRAY, OTHER = "where it was found", "from a wrong start", "by another form's template"
# A field lies right within a third of its height of its true place; a page, where all of its fields do.
RIGHT = 1 / 3
_LEFT_OUT = ("shift",)
# Wrong starts of each page and road.
_STARTS = 2
# How often a page that lies right is moved by less than a field's height, and how many fields are looked at then.
_SHAKES, _OF_EACH = 6, 8
_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)


@dataclass(frozen=True, slots=True)
class Laid:
    """A page on a template. page: its number; form: of the template; how: one of FOUND, ASTRAY, OTHER; evidence: of
    `proof.Evidence`, by name; right: whether it lies right; fields: for each field with print likeness and how far
    aside it was moved, in its heights, and whether it lies right, of pages of which most fields do; shaken: the same
    where the page was moved by up to a field's height.
    """

    page: int
    form: str
    kind: str
    road: str
    how: str
    evidence: dict[str, float]
    right: bool
    fields: tuple[tuple[float, float, bool], ...] = ()
    shaken: tuple[tuple[float, float, bool], ...] = ()


# -- laying pages ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=40)
def known_by(form: Form, road: str, style: str) -> Reference:
    """What is known of a form by one of the roads."""
    page = template_of(form, style).pages[0]
    if road == "as is":
        return Reference(page, None)
    bare = {"marks": (), "lines": ()} if road == "reference" else {}
    return Reference(page.model_copy(update=bare), to_gray(form.blank(style)))


def lay(page: int, made: Made, form: Form, task: Task, other: Form, rng: np.random.Generator) -> Iterator[Laid]:
    """All ways in which one page is laid."""
    gray = to_gray(made.picture)
    for road in ROADS:
        known = known_by(form, road, task.style)
        yield from _laid(Scan(gray), known, made.truths, (page, form.name, task.kind, road, FOUND))
        for _ in range(_STARTS if made.truths else 0):
            start = _wrong_start(made.truths[0], known, rng)
            yield from _laid(Scan(gray), known, made.truths, (page, form.name, task.kind, road, ASTRAY), start)
    road = str(rng.choice(ROADS))
    if made.truths:
        yield from _laid(Scan(gray), known_by(other, road, task.style), (), (page, other.name, task.kind, road, OTHER))


def _laid(
    scan: Scan,
    known: Reference,
    truths: Sequence[Truth],
    what: tuple[int, str, str, str, str],
    start: Matrix | None = None,
) -> Iterator[Laid]:
    """The best place, where there is any."""
    if start is None:
        tried = [] if is_blank_page(scan.gray) else places.find_places(scan, known)
    else:
        tried = places._try(scan, known, refine(scan, known, start, NEAR))
        tried.sort(key=lambda one: -one.explained)
        tried = [places._judged(scan, known, tried)]
    if not tried:
        return
    best = tried[0]
    evidence = {name: float(v) for name, v in asdict(best.evidence).items() if name not in _LEFT_OUT}
    evidence["told"] = float(best.evidence.turned != 1)
    laid = [best.place]
    if known.alike_turned:
        laid.append(refine(scan, known, best.place.matrix @ known.upside_down))
    looks = []
    for place in laid:
        off, fields = _fields(scan, known, place, truths)
        if off is not None:
            looks.append((_middling(off), off, fields, place))
    if not looks:
        yield Laid(*what, evidence, False)
        return
    middling, off, fields, place = min(looks, key=lambda one: one[0])
    right = bool(np.nanmax(off, initial=0) <= RIGHT)
    shaken = []
    if right:
        rng = np.random.default_rng(what[0])
        for _ in range(_SHAKES):
            move = np.eye(3)
            move[:2, 2] = rng.uniform(-1, 1, 2) * np.median([spec.box[3] for spec in known.spec.fields])
            moved = replace(place, matrix=place.matrix @ move)
            shaken += rng.permutation(np.array(_fields(scan, known, moved, truths)[1]).reshape(-1, 3))[
                :_OF_EACH
            ].tolist()
    yield Laid(*what, evidence, right, fields if middling <= RIGHT else (), tuple(map(tuple, shaken)))


def _fields(
    scan: Scan, known: Reference, place: Place, truths: Sequence[Truth]
) -> tuple[Values | None, tuple[tuple[float, float, bool], ...]]:
    """How far off the fields are at a place, of the truth that is nearest; and what `LaidPage.fields` holds."""
    moves, likeness = snap(place, known, look(scan, known, place.matrix, 24), 24)
    off = min((_off(known, place.matrix, moves, truth) for truth in truths), key=_middling, default=None)
    if off is None:
        return None, ()
    boxes = np.array([spec.box for spec in known.spec.fields])
    aside = np.abs(moves - place.bend(boxes[:, :2] + boxes[:, 2:] / 2, max(known.size))).max(1) / boxes[:, 3]
    return off, tuple(
        (float(likeness[k]), float(aside[k]), bool(off[k] <= RIGHT))
        for k, patch in enumerate(known.fields)
        if patch is not None and np.isfinite(off[k])
    )


def _off(known: Reference, matrix: Matrix, moves: Values, truth: Truth) -> Values:
    """How far each field lies from its true place, in its heights; NaN where it is not whole on the picture."""
    boxes = np.array([spec.box for spec in known.spec.fields])
    corners = boxes[:, None, :2] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * boxes[:, None, 2:]
    at = project((corners + moves[:, None]).reshape(-1, 2), matrix).reshape(-1, 4, 2)
    high = 0.5 * np.linalg.norm(truth.quads[:, 2:] - truth.quads[:, :2], axis=2).sum(1)
    off = np.linalg.norm(at - truth.quads, axis=2).max(1) / high
    return np.where(truth.whole, off, np.nan)


def _middling(off: Values) -> float:
    return float(np.nanmedian(off)) if np.isfinite(off).any() else np.inf


def _wrong_start(truth: Truth, known: Reference, rng: np.random.Generator) -> Matrix:
    """A map from the template to the picture that is off as registration may be off."""
    boxes = np.array([spec.box for spec in known.spec.fields])
    corners = boxes[:, None, :2] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * boxes[:, None, 2:]
    true, _ = cv2.findHomography(corners.reshape(-1, 2), truth.quads.reshape(-1, 2))
    w, h = known.size
    way = rng.random()
    move = np.eye(3)
    if way < 0.25:
        move = np.array([[-1.0, 0, w], [0, -1, h], [0, 0, 1]])
    pitch = boxes[rng.integers(len(boxes)), 2:]
    if way < 0.7:
        steps = rng.integers(1, 4) * rng.choice([-1, 1]) * np.eye(2)[int(rng.random() < 0.7)]
        move[:2, 2] += steps * pitch
    else:
        move[:2, 2] += rng.uniform(-w / 8, w / 8, 2)
    return np.asarray(true, np.float64) @ move


def lay_all(pages: int, seed: int, after: int) -> Iterator[Laid]:
    forms, alike = wild._forms()
    every = {**forms, **{f"{name}, another": one for name, one in alike.items()}}
    tasks = wild_pages.plan(list(forms), list(alike), pages, seed)
    for number, task in enumerate(tasks):
        if number < after:
            continue
        rng = np.random.default_rng((*task.seed, 9))
        own = forms[task.form]
        # Some pages are of the drawn forms' siblings, for more forms to leave out.
        if task.kind not in REFUSE and task.form in alike and rng.random() < 0.5:
            own = replace(alike[task.form], name=f"{task.form}, another")
        made = wild_pages.make(task, {**forms, task.form: own}, alike)
        names = [name for name in every if every[name].template.name != own.template.name]
        name = str(rng.choice(names))
        yield from lay(number, made, own, task, replace(every[name], name=name), rng)


def kept(path: Path | None, pages: int, seed: int) -> list[Laid]:
    """What was laid: what the file holds, and what it lacks."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path and path.exists() else ()
    out = [Laid(**{**row, "fields": row["fields"], "shaken": row["shaken"]}) for row in rows]
    last = max((one.page for one in out), default=0)
    out = [one for one in out if one.page < last]
    if path:
        path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in out), encoding="utf-8")
    for one in lay_all(pages, seed, last):
        out.append(one)
        if path:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
    return out


# -- fitting ---------------------------------------------------------------------------------------------------------

CAPS = {"even": 0.5, "margin": 0.25, "poorer": 0.5}
_BLIND = 0.01
# Of fields on pages that lie right, so many are taken to be astray.
ASTRAY_FIELDS = 0.002


def features(laid: Sequence[Laid]) -> Values:
    """Rows of what `proof.probability` looks at, capped, and 1."""
    rows = [{**one.evidence, "margin": min(one.evidence["margin"], one.evidence["turned"])} for one in laid]
    return np.array([[*(min(row[name], cap) for name, cap in CAPS.items()), 1.0] for row in rows])


def present(laid: Sequence[Laid]) -> Values:
    """What proof.py says now."""
    return np.array([proof.probability(proof.Evidence(**_evidence(one))) for one in laid])


def _evidence(one: Laid) -> dict[str, Any]:
    return {**{k: v for k, v in one.evidence.items() if k != "told"}, **dict.fromkeys(_LEFT_OUT, ())}


def logistic(x: Values, weights: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(x @ weights, -30, 30))), np.float64)


def fit(x: Values, right: Values, hold: float = 1e-3) -> Values:
    """Weights of a logistic function, none of evidence below 0, by greatest likelihood with a ridge.

    One case of a hundred may be what its evidence cannot tell: a wrong start can end just within the third of a height.
    """

    def loss(weights: Values) -> float:
        p = _BLIND + (1 - 2 * _BLIND) * logistic(x, weights)
        return float(-np.mean(np.log(np.where(right > 0, p, 1 - p))) + hold * np.mean((weights[:-1] / 10) ** 2))

    bounds = [(0, None)] * (x.shape[1] - 1) + [(None, None)]
    found = minimize(loss, np.zeros(x.shape[1]), bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, np.float64)


def forms_left_out(x: Values, right: Values, form: npt.NDArray[np.str_]) -> Values:
    """Of each row the probability by a fit that has not seen its form."""
    out = np.zeros(len(x))
    for name in np.unique(form):
        own = form == name
        out[own] = logistic(x[own], fit(x[~own], right[~own]))
    return out


def loss_of(p: Values, right: Values) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.mean(right * np.log(p) + (1 - right) * np.log(1 - p)))


# -- tables ----------------------------------------------------------------------------------------------------------


def reliability(p: Values, right: Values) -> Iterator[str]:
    yield "| said | cases | mean of what is said | right |"
    yield "|---|---|---|---|"
    for low, high in pairwise(_BINS):
        own = (p >= low) & ((p < high) | (high == 1.0))
        if own.any():
            share = wild.interval(int(right[own].sum()), int(own.sum()))
            yield f"| {low} to {high} | {own.sum()} | {p[own].mean():.4f} | {share} |"
    yield ""
    yield f"Brier score {np.mean((p - right) ** 2):.4f}, log loss {loss_of(p, right):.4f}."


def of_fields(laid: Sequence[Laid]) -> tuple[Values, Values]:
    """Likeness by what is usual on the page and 1, of fields where they belong and of fields astray, (N, 2) each."""
    own, away = [], []
    for one in laid:
        if not (one.right and one.fields):
            continue
        usual = proof.typical(np.array([like for like, _, _ in one.fields]))
        if one.how == FOUND:
            own += [(like / usual, 1.0) for like, _, right in one.fields if right]
        away += [(like / usual, 1.0) for like, _, right in one.shaken if not right]
    return np.array(own).reshape(-1, 2), np.array(away).reshape(-1, 2)


def field_table(laid: Sequence[Laid]) -> Iterator[str]:
    """What `proof.field_probability` says of fields where they belong and of fields astray, and what a fit would."""
    own, away = of_fields(laid)
    x = np.concatenate([own, np.repeat(away, max(len(own) // max(len(away), 1), 1), axis=0)])
    weights = fit(x, (np.arange(len(x)) < len(own)).astype(float))
    shift = np.log((1 - ASTRAY_FIELDS) / ASTRAY_FIELDS)
    yield "| fields | number | said: 1 of 1,000 is below | 1 of 100 | 1 of 10 | half | 9 of 10 are below |"
    yield "|---|---|---|---|---|---|---|"
    for name, rows in (("where they belong", own), ("moved astray", away)):
        said = [proof.field_probability(like, 0.0, 1.0) for like in rows[:, 0]]
        shares = " | ".join(f"{v:.3f}" for v in np.quantile(said, (0.001, 0.01, 0.1, 0.5, 0.9)))
        yield f"| {name} | {len(rows)} | {shares} |"
    yield ""
    yield (
        f"Fitted: {weights[0]:.1f} x likeness by what is usual on the page {weights[1]:+.1f}; "
        f"with {ASTRAY_FIELDS:.1%} of fields astray {weights[1] + shift:+.1f}."
    )


def lines(pages: int, seed: int, keep: Path | None) -> Iterator[str]:
    laid = kept(keep, pages, seed)
    yield "# Whether registration knows how pages lie"
    yield ""
    yield f"Printed by `python benchmarks/fit_registration.py --pages {pages} --seed {seed}` on {machine()}."
    yield ""
    right, form = np.array([one.right for one in laid], float), np.array([one.form for one in laid])
    own = np.char.partition(form, ",")[:, 0]  # another telegram is a telegram
    yield "| pages laid | cases | lie right |"
    yield "|---|---|---|"
    for how in (FOUND, ASTRAY, OTHER):
        some = np.array([one.how == how for one in laid])
        yield f"| {how} | {some.sum()} | {int(right[some].sum())} |"
    x = features(laid)
    out, now = forms_left_out(x, right, own), present(laid)
    found = np.array([one.how == FOUND for one in laid])
    yield from wild.section("A page, by proof.py", reliability(now, right))
    yield from wild.section("Of these, where it was found", reliability(now[found], right[found]))
    yield from wild.section("A page, fitted to the other kinds of form", reliability(out, right))
    weights = fit(x, right)
    yield ""
    yield "Fitted to all: " + ", ".join(f"{n} {w:.1f}" for n, w in zip((*CAPS, "constant"), weights, strict=True)) + "."
    yield from wild.section("A field on a page that lies right", field_table(laid))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pages", type=int, default=300, help="how many pages are made (default: 300)")
    parser.add_argument("--seed", type=int, default=21, help="another seed gives other pages (default: 21)")
    parser.add_argument("--keep", type=Path, help="file for what was laid")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    show(lines(given.pages, given.seed, given.keep), given.out)


if __name__ == "__main__":
    main()
