"""Pages in the situations they come in: turned, shifted, printed small, photographed, bent, faxed, in twelve inks.

`plan` lists pages, `make` draws one of them with where each field truly lies. The same seed gives the same pages, and
a shorter plan is the beginning of a longer one's kinds. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from wild_covers import COVERS, Cover
from wild_forms import INKS, PRINTS, Form, Picture, Plane, Rng, Sheet, Written

ROADS = ("as is", "reference", "both")
"""How pages are registered: by marks or lines, by a picture of the blank page alone, or by all of these."""
Points = npt.NDArray[np.float64]
Bend = tuple[Callable[[Points], Points], Callable[[Points], Points]]

WHITE, BLACK, DESK = (243, 243, 242), (14, 14, 15), (122, 92, 66)


@dataclass(frozen=True, slots=True)
class Task:
    """One page to make. kind: its situation; form: whose template reads it; road: how it is registered."""

    kind: str
    form: str
    road: str
    ink: str
    style: str
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """A filled form on a picture. quads: (N, 4, 2) corners of its fields in pixels of the picture; written: what is
    in them; whole: (N,) bool, whether the field is on the picture, and nothing of it torn off.
    """

    quads: Points
    written: Written
    whole: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Made:
    """A picture, (H, W, 3) RGB uint8 or 1 bit as (H, W), and what is on it; nothing where it is no page of the form."""

    picture: Picture
    truths: tuple[Truth, ...]


@dataclass(slots=True)
class Bed:
    """A scanner's glass, or a desk, that sheets are laid on one by one."""

    size: tuple[int, int]
    ground: tuple[int, int, int] = WHITE
    image: Plane = field(init=False)
    truths: list[Truth] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = np.broadcast_to(np.float32(self.ground), (self.size[1], self.size[0], 3)).copy()

    def lay(
        self,
        sheet: Sheet,
        matrix: Points,
        bend: Bend | None = None,
        torn: Sequence[Points] = (),
        shade: Plane | None = None,
    ) -> None:
        """Lay `sheet` down. matrix: 3x3, from the (bent) sheet to the bed. torn: polygons of the sheet that are gone.

        shade: (H, W) light on the sheet, 1 where it is as bright as elsewhere.
        """
        image = sheet.image.astype(np.float32)
        mask = np.ones(image.shape[:2], np.float32)
        for polygon in torn:
            cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], (0,))
        if shade is not None:
            image *= shade[..., None]
        quads = sheet.quads.reshape(-1, 2)
        if bend is not None:
            h, w = mask.shape
            xs, ys = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
            back = bend[1](np.stack([xs.ravel(), ys.ravel()], 1)).astype(np.float32)
            maps = back[:, 0].reshape(h, w), back[:, 1].reshape(h, w)
            image = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            mask = cv2.remap(mask, *maps, cv2.INTER_LINEAR)
            quads = bend[0](quads)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        if scale < 0.9:
            image = cv2.GaussianBlur(image, (0, 0), 0.42 * np.sqrt(1 / scale**2 - 1) + 0.01)
        laid = cv2.warpPerspective(image, matrix, self.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.warpPerspective(mask, matrix, self.size, flags=cv2.INTER_LINEAR)[..., None]
        near = cv2.GaussianBlur(seen, (0, 0), 3)[..., None]
        self.image *= 1 - 0.16 * near * (1 - seen)  # an edge casts a little shadow
        self.image += (laid - self.image) * seen
        at = project(quads, matrix).reshape(-1, 4, 2)
        inside = project(_inside(sheet.quads, bend), matrix)
        shown = cv2.remap(seen, *(inside[:, k].astype(np.float32)[None] for k in (0, 1)), cv2.INTER_LINEAR)
        self.truths.append(Truth(at, sheet.written, shown.reshape(len(at), -1).min(1) > 0.5))


def _inside(quads: Points, bend: Bend | None) -> Points:
    """A grid of points in each field, (N * 25, 2), on the bent sheet."""
    u, v = (axis.ravel()[:, None] for axis in np.meshgrid(*[np.linspace(0.1, 0.9, 5)] * 2))
    a, b, c, d = (quads[:, None, k] for k in range(4))
    points = ((1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)).reshape(-1, 2)
    return bend[0](points) if bend else points


def project(points: Points, matrix: Points) -> Points:
    """Points (N, 2) through a 3x3 map."""
    moved = np.column_stack([points, np.ones(len(points))]) @ np.asarray(matrix).T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


# -- how a page lies: each lays one sheet on a bed -------------------------------------------------------------------


def _turned(size: tuple[int, int], angle: float, scale: float = 1.0) -> tuple[Points, tuple[int, int]]:
    """The map that turns a sheet by `angle` degrees, and the bed that holds it whole."""
    w, h = size
    rotation = np.vstack([cv2.getRotationMatrix2D((0, 0), angle, scale), (0, 0, 1)])
    ends = project(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64), rotation)
    low, high = ends.min(0), ends.max(0)
    rotation[:2, 2] -= low
    return rotation, (int(np.ceil(high[0] - low[0])), int(np.ceil(high[1] - low[1])))


def _size(sheet: Sheet) -> tuple[int, int]:
    return sheet.image.shape[1], sheet.image.shape[0]


def _moved(x: float, y: float, scale: float = 1.0) -> Points:
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]], np.float64)


def _askew(sheet: Sheet, rng: Rng) -> Points:
    """What every scan has: turned by a degree, off by a few pixels."""
    w, h = _size(sheet)
    turn = np.vstack([cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-1, 1), rng.uniform(0.985, 1.0)), (0, 0, 1)])
    return _moved(*rng.uniform(-5, 5, 2)) @ turn


def flat(sheet: Sheet, rng: Rng) -> Bed:
    bed = Bed(_size(sheet))
    bed.lay(sheet, _askew(sheet, rng))
    return bed


def turn(sheet: Sheet, rng: Rng) -> Bed:
    matrix, size = _turned(_size(sheet), float(rng.choice([-1, 1]) * rng.uniform(1.5, 15)))
    bed = Bed(size, WHITE if rng.random() < 0.6 else BLACK)
    bed.lay(sheet, matrix)
    return bed


def quarter(sheet: Sheet, rng: Rng) -> Bed:
    matrix, size = _turned(_size(sheet), float(rng.choice([90, 270])))
    bed = Bed(size)
    bed.lay(sheet, matrix @ _askew(sheet, rng))
    return bed


def upside_down(sheet: Sheet, rng: Rng) -> Bed:
    matrix, size = _turned(_size(sheet), 180)
    bed = Bed(size)
    bed.lay(sheet, matrix @ _askew(sheet, rng))
    return bed


def shift(sheet: Sheet, rng: Rng) -> Bed:
    """Up to 25 mm off: what lies beside the glass is lost."""
    millimetre, angle = _size(sheet)[0] / 210, rng.uniform(0, 2 * np.pi)
    away = millimetre * rng.uniform(6, 25) * np.array([np.cos(angle), np.sin(angle)])
    bed = Bed(_size(sheet), WHITE if rng.random() < 0.7 else BLACK)
    bed.lay(sheet, _moved(*away) @ _askew(sheet, rng))
    return bed


def scale(sheet: Sheet, rng: Rng) -> Bed:
    """Printed at 50 to 110 %, and scanned on the usual glass."""
    w, h = _size(sheet)
    s = float(rng.uniform(0.5, 1.1))
    x, y = (rng.uniform(min(0, side * (1 - s)), max(0, side * (1 - s))) for side in (w, h))
    bed = Bed((w, h))
    bed.lay(sheet, _moved(x, y, s))
    return bed


def photograph(sheet: Sheet, rng: Rng) -> Bed:
    """From above a desk, askew, in uneven light."""
    w, h = _size(sheet)
    edge = 0.13
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    seen = corners * (1 - 2 * edge) + [edge * w, edge * h] + rng.uniform(-0.1, 0.1, (4, 2)) * [w, h]
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    bed = Bed((w, h), DESK)
    bed.image += 14 * _clouds((h, w), 2, rng)[..., None] + 10 * _clouds((h, w), 60, rng)[..., None]
    bed.lay(sheet, matrix)
    bed.image *= _light((h, w), rng)[..., None]
    bed.image = cv2.GaussianBlur(bed.image, (0, 0), rng.uniform(0.5, 0.9))
    return bed


def cylinder(sheet: Sheet, rng: Rng) -> Bed:
    """Rolled about an axis along or across the page, as beside the spine of a book."""
    w, h = _size(sheet)
    axis = int(rng.integers(2))
    length, breadth = ((w, h), (h, w))[axis]
    total = float(rng.uniform(0.5, 1.1))  # the angle, radians, that the page spans
    centre = float(rng.uniform(0.2, 0.8)) * length
    radius = length / total

    def along(u: Points) -> Points:
        return radius * np.sin((u - centre) / radius)

    def height(u: Points) -> Points:
        return radius * (1 - np.cos((u - centre) / radius)) / (3.0 * length)

    bed = Bed((w, h), WHITE if rng.random() < 0.5 else DESK)
    grid = np.arange(length)
    dark = 1 - 0.25 * np.abs(np.sin((grid - centre) / radius))
    shade = np.broadcast_to(dark[None] if axis == 0 else dark[:, None], (h, w)).astype(np.float32)
    bed.lay(sheet, _moved(0.02 * w, 0.02 * h, 0.96), _bend(axis, length, breadth, along, height), shade=shade)
    return bed


def fold(sheet: Sheet, rng: Rng) -> Bed:
    """Folded once, the two halves tilted to the glass, with a shadow at the crease."""
    w, h = _size(sheet)
    axis = int(rng.random() < 0.7)
    length, breadth = ((w, h), (h, w))[axis]
    crease = float(rng.uniform(0.35, 0.65)) * length
    before, after = np.radians(rng.uniform(3, 22, 2))

    def along(u: Points) -> Points:
        return (u - crease) * np.where(u < crease, np.cos(before), np.cos(after))

    def height(u: Points) -> Points:
        return np.abs(u - crease) * np.where(u < crease, np.sin(before), np.sin(after)) / (3.0 * length)

    grid = np.arange(length)
    dark = 1 - 0.2 * np.exp(-np.abs(grid - crease) / 30) - 0.06 * (grid > crease)
    shade = np.broadcast_to(dark[None] if axis == 0 else dark[:, None], (h, w)).astype(np.float32)
    bed = Bed((w, h), WHITE if rng.random() < 0.5 else DESK)
    bed.lay(sheet, _moved(0.02 * w, 0.02 * h, 0.96), _bend(axis, length, breadth, along, height), shade=shade)
    return bed


def _bend(
    axis: int, length: float, breadth: float, along: Callable[[Points], Points], height: Callable[[Points], Points]
) -> Bend:
    """A sheet bent along one axis (0: x, 1: y), seen from above at three times its length: forward and back.

    along: where a position on the sheet comes to lie; height: how far above the glass, in shares of the distance seen
    from.
    """
    grid = np.linspace(0, length, 2000)
    ends = along(np.array([0.0, length]))
    squeeze = length / (ends[1] - ends[0])

    def forward(points: Points) -> Points:
        out = points.copy()
        out[:, axis] = (along(points[:, axis]) - ends[0]) * squeeze
        out[:, 1 - axis] = breadth / 2 + (points[:, 1 - axis] - breadth / 2) / (1 + height(points[:, axis]))
        return out

    there = forward(np.stack([grid, grid], 1))[:, axis]

    def back(points: Points) -> Points:
        out = points.copy()
        u = np.interp(points[:, axis], there, grid, left=-1e4, right=1e4)
        out[:, axis] = u
        out[:, 1 - axis] = breadth / 2 + (points[:, 1 - axis] - breadth / 2) * (1 + height(np.clip(u, 0, length)))
        return out

    return forward, back


def margins(sheet: Sheet, rng: Rng) -> Bed:
    """White beside the page, as much as 15 % on each side."""
    w, h = _size(sheet)
    left, right, above, below = rng.uniform(0.0, 0.15, 4)
    bed = Bed((round(w * (1 + left + right)), round(h * (1 + above + below))), (250, 250, 250))
    bed.lay(sheet, _moved(left * w, above * h))
    return bed


def white_bed(sheet: Sheet, rng: Rng) -> Bed:
    return _large_bed(sheet, rng, WHITE)


def black_bed(sheet: Sheet, rng: Rng) -> Bed:
    return _large_bed(sheet, rng, BLACK)


def _large_bed(sheet: Sheet, rng: Rng, ground: tuple[int, int, int]) -> Bed:
    """An A3 glass, upright or across, with the page somewhere or in a corner of it."""
    w, h = _size(sheet)
    wide, high = (2 * w, h * 1.02) if rng.random() < 0.5 else (1.414 * w, 1.414 * h)
    away = rng.random(2) if rng.random() < 0.5 else rng.integers(0, 2, 2)
    bed = Bed((round(wide), round(high)), ground)
    bed.lay(sheet, _moved(away[0] * (wide - w), away[1] * (high - h)) @ _askew(sheet, rng))
    return bed


def cut_corners(sheet: Sheet, rng: Rng) -> Bed:
    w, h = _size(sheet)
    legs = rng.uniform(15, 40, (4, 2)) * w / 210
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    some = rng.choice(4, int(rng.integers(1, 4)), replace=False)
    torn = [
        np.array([corners[k] - 5 * inwards[k], corners[k] + [inwards[k, 0] * legs[k, 0], -5 * inwards[k, 1]]]
                 + [corners[k] + [-5 * inwards[k, 0], inwards[k, 1] * legs[k, 1]]])
        for k in some
    ]  # fmt: skip
    bed = Bed((w, h), WHITE if rng.random() < 0.5 else BLACK)
    bed.lay(sheet, _askew(sheet, rng), torn=torn)
    return bed


def and_a_half(sheet: Sheet, rng: Rng) -> Bed:
    """The page, and part of another one of the form beside, above or below it, as a book or a feeder shows it."""
    w, h = _size(sheet)
    share, side = rng.uniform(0.2, 0.6), int(rng.integers(4))
    aside, below = ((-1, 0), (1, 0), (0, -1), (0, 1))[side]
    left, above = share * (aside < 0), share * (below < 0)
    bed = Bed((round(w * (1 + share * (aside != 0))), round(h * (1 + share * (below != 0)))))
    place = _moved(left * w, above * h)
    bed.lay(sheet, place @ _moved(aside * w * 1.005, below * h * 1.005) @ _askew(sheet, rng))
    bed.lay(sheet, place @ _askew(sheet, rng))
    return bed


LIES: dict[str, Callable[[Sheet, Rng], Bed]] = {
    "flat": flat,
    "turned up to 15 degrees": turn,
    "quarter turn": quarter,
    "upside down": upside_down,
    "shifted up to 25 mm": shift,
    "printed at 50 to 110 %": scale,
    "photograph": photograph,
    "bent (cylinder)": cylinder,
    "folded": fold,
    "margins": margins,
    "on a white A3 bed": white_bed,
    "on a black A3 bed": black_bed,
    "cut corners": cut_corners,
    "a page and a half": and_a_half,
}
TWO, OTHER, SIBLING, BACK = "two pages in one picture", "another form", "a form much like it", "blank back"
REFUSE = (OTHER, SIBLING, BACK)
"""Kinds that are no page of the form: nothing on them may be read."""


# -- the camera ------------------------------------------------------------------------------------------------------


def _clouds(shape: tuple[int, int], grain: float, rng: Rng) -> Plane:
    """Smooth noise of mean 0 and deviation 1. grain: its size in pixels."""
    step = max(1, int(grain / 3))
    small = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2), dtype=np.float32)
    out = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(grain / step, 0.5)), (shape[1], shape[0]))
    return np.asarray((out - out.mean()) / (out.std() + 1e-6), np.float32)


def _light(shape: tuple[int, int], rng: Rng) -> Plane:
    """The light of a room: it falls off to one side, and a hand or a phone throws a soft shadow."""
    h, w = shape
    across, down = rng.uniform(-0.18, 0.18, 2)
    light = 0.92 + across * np.linspace(-0.5, 0.5, w)[None] * 2 + down * np.linspace(-0.5, 0.5, h)[:, None]
    if rng.random() < 0.6:
        x, y, reach = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.25, 0.5) * w
        ys, xs = np.mgrid[0:h:8, 0:w:8].astype(np.float32)
        spot = 1 - 0.28 / (1 + np.exp((np.hypot(xs - x, ys - y) - reach) / (0.06 * w)))
        light = light * cv2.resize(spot, (w, h))
    return np.asarray(light, np.float32)


def _scan(image: Plane, rng: Rng) -> Picture:
    """What a scanner adds: light across the glass, a little blur and noise; four in ten are gray."""
    h, w = image.shape[:2]
    light = 1 + rng.uniform(-0.03, 0.03) * np.linspace(-1, 1, w, dtype=np.float32)[None]
    seen = cv2.GaussianBlur(image * light[..., None], (0, 0), rng.uniform(0.35, 0.7))
    seen += rng.uniform(1.5, 3.5) * rng.standard_normal((h, w, 1), dtype=np.float32)
    out = np.clip(seen, 0, 255).astype(np.uint8)
    return np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, 2) if rng.random() < 0.4 else out


def _fax(made: Made, rng: Rng) -> Made:
    """One bit, 200 x 100 dots to the inch (A4), as many fax machines send; half of them made square again."""
    size = 1654, 1169
    gray = cv2.resize(cv2.cvtColor(made.picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    level = rng.uniform(0.76, 0.84) * np.median(gray) + 6 * rng.standard_normal((size[1], size[0]))
    bits = (gray > level).astype(np.uint8) * 255
    if rng.random() < 0.5:
        bits = cv2.resize(bits, (1654, 2338), interpolation=cv2.INTER_NEAREST)
    return _scaled(made, bits)


def _one_bit(made: Made, rng: Rng) -> Made:
    """A scanner that is set to text: each pixel black or white."""
    gray = cv2.GaussianBlur(cv2.cvtColor(made.picture, cv2.COLOR_RGB2GRAY), (0, 0), 0.5)
    return replace(made, picture=(gray > rng.uniform(0.55, 0.8) * np.median(gray)).astype(np.uint8) * 255)


def _at(made: Made, dpi: int) -> Made:
    """The page, taken for A4, at so many dots to the inch."""
    factor = dpi * 210 / 25.4 / made.picture.shape[1]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return _scaled(made, cv2.resize(made.picture, None, fx=factor, fy=factor, interpolation=how))


def _copied(made: Made, rng: Rng) -> Made:
    """A copy of a copy: ink runs, pale strokes go, specks come."""
    gray = cv2.cvtColor(made.picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for _ in range(int(rng.integers(2, 5))):
        gray = cv2.GaussianBlur(gray, (0, 0), rng.uniform(0.6, 1.0))
        middle = rng.uniform(0.6, 0.75) * np.median(gray)
        gray = 255 / (1 + np.exp(-(gray - middle) / 22))
        gray += 4 * rng.standard_normal(gray.shape, dtype=np.float32)
        h, w = gray.shape
        specks = rng.integers(0, (h, w), (int(rng.uniform(20, 120)), 2))
        gray[specks[:, 0], specks[:, 1]] = 30
    out = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, 2)
    return replace(made, picture=out)


def _scaled(made: Made, picture: Picture) -> Made:
    factor = np.array([picture.shape[1] / made.picture.shape[1], picture.shape[0] / made.picture.shape[0]])
    return Made(picture, tuple(replace(truth, quads=truth.quads * factor) for truth in made.truths))


def _covered(bed: Bed, cover: Cover, rng: Rng) -> None:
    """Lay something on the bed: fields that it touches are not whole."""
    hidden = cv2.dilate(cover(bed.image, rng), np.ones((5, 5), np.uint8))
    for k, truth in enumerate(bed.truths):
        shown = np.empty(len(truth.quads), bool)
        for n, quad in enumerate(truth.quads):
            mask = np.zeros(hidden.shape, np.uint8)
            cv2.fillConvexPoly(mask, np.rint(quad[[0, 1, 3, 2]]).astype(np.int32), (1,))
            shown[n] = not hidden[mask > 0].any()
        bed.truths[k] = replace(truth, whole=truth.whole & shown)


CAMERAS: dict[str, Callable[[Made, Rng], Made]] = {
    "fax": _fax,
    "one bit": _one_bit,
    "75 dpi": lambda made, rng: _at(made, 75),
    "600 dpi": lambda made, rng: _at(made, 600),
    "copied again and again": _copied,
}
"""How a page that lies flat is taken."""
KINDS = (*LIES, *CAMERAS, *COVERS, TWO, OTHER, SIBLING, BACK)


# -- plan and page ---------------------------------------------------------------------------------------------------

_WEIGHT_LIES, _WEIGHT_INKS = 8.0, 6.6


def plan(forms: Sequence[str], drawn: Sequence[str], count: int, seed: int) -> list[Task]:
    """`count` pages, kinds and forms spread evenly. forms: all; drawn: those that take inks and have siblings."""
    cells: list[tuple[float, Task]] = []
    for kind in KINDS:
        for form in drawn if kind == SIBLING else forms:
            for road in ROADS:
                cells.append((_WEIGHT_LIES, Task(kind, form, road, "black", PRINTS[0], ())))
    for n, (ink, style) in enumerate((ink, style) for ink in INKS for style in PRINTS):
        for m, road in enumerate(ROADS):
            form = drawn[(n + n // len(PRINTS) + m) % len(drawn)]
            cells.append((_WEIGHT_INKS, Task("ink", form, road, ink, style, ())))
    total = sum(weight for weight, _ in cells)
    starts = np.random.default_rng([seed, 7]).random(len(cells))
    ordered = []
    for number, ((weight, task), start) in enumerate(zip(cells, starts, strict=True)):
        rounds = int(count * weight / total) + 2
        for k in range(rounds):
            form = drawn[(drawn.index(task.form) + k) % len(drawn)] if task.kind == "ink" else task.form
            ordered.append(((k + start) / weight, replace(task, form=form, seed=(seed, number, k))))
    return [task for _, task in sorted(ordered, key=lambda item: item[0])[:count]]


def make(task: Task, forms: Mapping[str, Form], siblings: Mapping[str, Form]) -> Made:
    """The page of a task."""
    rng = np.random.default_rng(task.seed)
    own = forms[task.form]
    ink = task.ink if task.kind == "ink" else str(rng.choice(["black", "blue"]))
    if task.kind == OTHER:
        own = forms[str(rng.choice([name for name in forms if name != task.form]))]
    elif task.kind == SIBLING:
        own = siblings[task.form]
    sheet = own.fill(ink, task.style, rng)
    if task.kind == BACK:
        bed = flat(_back(sheet, rng), rng)
    elif task.kind == TWO:
        bed = _two(sheet, own.fill(ink, task.style, rng), rng)
    else:
        bed = LIES.get(task.kind, flat)(sheet, rng)
    if task.kind in COVERS:
        _covered(bed, COVERS[task.kind], rng)
    truths = () if task.kind in REFUSE else tuple(bed.truths)
    made = Made(_scan(bed.image, rng), truths)
    return CAMERAS[task.kind](made, rng) if task.kind in CAMERAS else made


def _two(sheet: Sheet, other: Sheet, rng: Rng) -> Bed:
    """Two pages of the form side by side, each whole, be they of one size or not."""
    (w, h), (wide, high) = _size(sheet), _size(other)
    bed = Bed((round(1.03 * (w + wide)), round(1.03 * max(h, high))), WHITE if rng.random() < 0.6 else BLACK)
    bed.lay(sheet, _moved(0.01 * w, 0.01 * h) @ _askew(sheet, rng))
    bed.lay(other, _moved(1.04 * w, 0.01 * h) @ _askew(other, rng))
    return bed


def _back(sheet: Sheet, rng: Rng) -> Sheet:
    """The other side of a page: nothing, or what is on the front shining through."""
    through = rng.choice([0.0, 0.03, 0.08])
    faint = 250 - (250 - cv2.GaussianBlur(sheet.image[:, ::-1], (0, 0), 2.5).astype(np.float32)) * through
    return replace(sheet, image=faint.astype(np.uint8))
