"""Forms to be read in the wild: three that are drawn and filled in here, and two real ones of $INKSHIFT_DATA.

A drawn form is printed in one of four ways and filled in with one of twelve inks. Its digits are MNIST *test* digits,
which no model learns from, redrawn with a pen of any width; drawn digits stand in for them where MNIST is absent.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets import catalog
from inkshift.datasets.synth import augment, shapes
from inkshift.errors import DataError
from inkshift.forms.design.printed import as_reference, learn_print
from inkshift.forms.page import files
from inkshift.forms.reading import FieldReading, state_of, value_of
from inkshift.forms.registration.candidates import project
from inkshift.forms.registration.register import register
from inkshift.forms.template import FieldSpec, Identity, Mark, PageSpec, Template, load_template
from specimens import specimen, telegram
from specimens.pen import mnist_test_glyphs
from specimens.specimen import Layout, Text

EXAMPLES = Path(__file__).parents[1] / "examples"
Rng = np.random.Generator
Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Colour = tuple[int, int, int]
Written = dict[str, str]


@dataclass(frozen=True, slots=True)
class Ink:
    """A pen: the range of its colours, RGB; cover: how much of the paper its strokes hide, 0 to 1; width of a stroke
    as a share of a digit's height; rough: how much its cover varies along a stroke, 0 to 1; paper: colour of the sheet;
    stamp: whether a rubber stamp lies under some of the numbers.
    """

    low: Colour
    high: Colour
    cover: tuple[float, float] = (0.9, 1.0)
    width: tuple[float, float] = (0.075, 0.105)
    rough: float = 0.15
    paper: Colour = (250, 250, 247)
    stamp: bool = False


INKS: dict[str, Ink] = {
    "black": Ink((15, 15, 15), (55, 55, 60)),
    "blue": Ink((15, 30, 110), (50, 80, 185)),
    "red": Ink((175, 20, 25), (215, 50, 60)),
    "green": Ink((10, 95, 45), (40, 140, 80)),
    "pale pen": Ink((60, 60, 70), (95, 100, 125), cover=(0.38, 0.55)),
    "pencil": Ink((85, 85, 88), (105, 105, 110), cover=(0.5, 0.7), width=(0.06, 0.09), rough=0.7),
    "felt": Ink((10, 10, 15), (30, 30, 60), cover=(0.97, 1.0), width=(0.17, 0.21), rough=0.05),
    "thick": Ink((20, 20, 25), (55, 55, 90), width=(0.13, 0.16)),
    "thin": Ink((25, 25, 30), (60, 60, 90), width=(0.04, 0.055)),
    "gel over stamp": Ink((10, 10, 20), (35, 35, 70), stamp=True),
    "yellow paper": Ink((20, 25, 60), (50, 60, 120), paper=(248, 226, 120)),
    "gray paper": Ink((20, 20, 40), (50, 50, 90), paper=(186, 185, 180)),
}
PRINTS = ("black frames", "dropout print", "dotted guides", "gray print")
_DROPOUT: tuple[Colour, ...] = ((240, 150, 90), (130, 195, 135), (140, 180, 235), (240, 150, 165))
_STAMPS: tuple[Colour, ...] = ((120, 90, 180), (90, 110, 200), (200, 110, 120))


@dataclass(frozen=True, slots=True)
class Sheet:
    """A filled page, flat and whole. image: (H, W, 3) RGB uint8. quads: (N, 4, 2) corners of its fields in pixels of
    the image: left and right above, left and right below. written: what is in them, name to cells or digits.
    """

    image: Picture
    quads: npt.NDArray[np.float64]
    written: Written


@dataclass(frozen=True, slots=True)
class Form:
    """A design. fill: a page of it filled in, from an ink, a print and what is random. blank: its empty page as a
    reference picture in template pixels, RGB; of a real form the median of its pages.
    """

    name: str
    template: Template
    fill: Callable[[str, str, Rng], Sheet]
    blank: Callable[[str], Picture]

    @property
    def page(self) -> PageSpec:
        return self.template.pages[0]


def drawn_forms() -> dict[str, Form]:
    """The forms that need no data beside MNIST test digits."""
    out = {}
    for template, layout, values in (_telegram(), _class_list(), _tally()):
        out[template.name] = _drawn(template, layout, values)
    return out


def siblings() -> dict[str, Form]:
    """To each drawn form another that looks like it at a glance, and must not be taken for it."""
    pairs = [
        _short_telegram(),
        _class_list(rows=24, pitch=72.0, title="Lista de asistencia, segundo trimestre"),
        _tally(rows=9, title="Hasil penghitungan suara DPRD"),
    ]
    return {name: _drawn(*pair) for name, pair in zip(drawn_forms(), pairs, strict=True)}


def real_forms() -> dict[str, Form]:
    """C1 and UFPR pages of $INKSHIFT_DATA. Raises DataError where they are absent."""
    root = catalog.data_root()
    with (root / "c1/labels.csv").open(newline="") as file:
        labels = {(row["form"], row["field"]): row["written"] for row in csv.DictReader(file)}
    c1 = _real("c1", EXAMPLES / "c1/template.json", root / "c1/pages", labels.__getitem__, 1.5)
    ufpr = _real("ufpr", EXAMPLES / "ufpr/template.json", root / "ufpr/pages", lambda key: key[1][-1], 1.0)
    return {"c1": c1, "ufpr": ufpr}


def is_right(field: FieldReading, written: str, cells: int) -> bool:
    """Whether a field was read as what is written in it: its state and its digits."""
    if not cells:
        return field.value == written if written else field.state == "blank"
    return field.state == state_of(written) and field.value == value_of(written)


# -- designs ---------------------------------------------------------------------------------------------------------


Design = tuple[Template, Layout, Callable[[Rng], Written]]


def _telegram() -> Design:
    template = telegram.telegram_template().model_copy(update={"identity": Identity()})
    return template, telegram.telegram_layout(), lambda rng: dict(telegram.votes(template, rng))


def _short_telegram() -> Design:
    """The telegram of another election: eight lists of other names, so that all below them stands two rows higher."""
    template, layout, values = _telegram()
    end, gone = 958.0, 132.0  # where the eighth list ends, and what two lists take

    def up(y: float) -> float:
        return y if y <= end else max(end, y - gone)

    def moved(spec: FieldSpec) -> FieldSpec:
        x, y, w, h = spec.box
        return spec.model_copy(update={"box": (x, up(y), w, h)})

    page = template.pages[0]
    fields = tuple(moved(spec) for spec in page.fields if not end < spec.box[1] + 1 < end + gone)
    texts = []
    for text in layout.texts:
        if end < text.y < end + gone:
            continue
        name = text.text[::-1].title() if text.x == 250 and 430 < text.y < end else text.text
        name = name.replace("TELEGRAMA DE ESCRUTINIO", "TELEGRAMA DE DIPUTADOS")
        texts.append(replace(text, y=text.y if text.y > 1600 else up(text.y), text=name))
    other = Layout(
        texts=tuple(texts),
        lines=tuple((x1, up(y1), x2, up(y2)) for x1, y1, x2, y2 in layout.lines),
        shades=tuple((x, up(y), w, h) for x, y, w, h in layout.shades),
        signatures=tuple((x, up(y), w) for x, y, w in layout.signatures),
    )
    return template.model_copy(update={"pages": (page.model_copy(update={"fields": fields}),)}), other, values


_FIRST = (
    "Abril Bruno Camila Dante Elena Fabián Gala Hugo Inés Joel Karen León Malena Nahuel Olivia "
    "Pablo Quimey Renata Simón Tania Ulises Valeria Walter Ximena Yago Zoe Ariel Blanca Ciro Delia"
)
_LAST = (
    "Sosa Paz Ríos Vega Luna Roca Torres Ibarra Molina Castro Ponce Duarte Cruz Ortiz Rey "
    "Funes Soto Gil Vidal Bravo Peña Mora Ruiz Lagos Prieto Acosta Benítez Núñez Maldonado Quiroga"
)
_NAMES = tuple(map(" ".join, zip(_FIRST.split(), _LAST.split(), strict=True)))


def _class_list(rows: int = 30, pitch: float = 58.0, title: str = "Planilla de calificaciones") -> Design:
    """A4 at 200 dpi: a regular grid of printed names and four columns of marks, registered by its lines."""
    left, names, first, wide, top = 110.0, 190.0, 770.0, 190.0, 420.0
    columns = [first + i * wide for i in range(5)]
    bottom = top + rows * pitch
    lines = [(left, top + i * pitch, columns[-1], top + i * pitch) for i in range(rows + 1)]
    lines += [(x, top, x, bottom) for x in (left, names, *columns)]
    fields = tuple(
        FieldSpec(name=f"r{r + 1:02d}m{c + 1}", box=(columns[c], top + r * pitch, wide, pitch), digits=(1, 3), max=100)
        for r in range(rows)
        for c in range(4)
    )
    texts = [Text(left, 140, title, 52, True), Text(left, 215, "Escuela N° 52   Curso 4° B   Año 2026", 30)]
    texts += [Text(left, 275, "Docente:                                                Fecha:", 28)]
    texts += [Text(names + 16, top - 28, "Apellido y nombre", 28, True)]
    texts += [Text(x + wide / 2, top - 28, f"{n}° nota", 28, True, "mm") for n, x in enumerate(columns[:4], 1)]
    for r in range(rows):
        middle = top + (r + 0.5) * pitch
        texts += [Text((left + names) / 2, middle, str(r + 1), 26, False, "mm")]
        texts += [Text(names + 16, middle, _NAMES[r], 28)]
    page = PageSpec(size=(1654, 2339), lines=tuple(lines), fields=fields)
    head = (left, top - 56, columns[-1], top - 56)

    def values(rng: Rng) -> Written:
        marks = np.clip(rng.normal(62, 22, len(fields)), 0, 100).astype(int)
        return {f.name: "" if rng.random() < 0.08 else str(m) for f, m in zip(fields, marks, strict=True)}

    return Template(name="class list", pages=(page,)), Layout(tuple(texts), (head,)), values


def _tally(rows: int = 12, title: str = "Berita acara penghitungan suara") -> Design:
    """A4 at 150 dpi: rows of three printed cells, unused ones crossed out, four corner squares."""
    fields = tuple(
        FieldSpec(name=f"s{r + 1:02d}", box=(880, 330 + r * 96, 186, 62), cells=3, digits=(0, 3)) for r in range(rows)
    )
    marks = tuple(Mark(x=x, y=y, size=32) for x in (64, 1176) for y in (64, 1690))
    texts = [Text(620, 130, title, 34, True, "mm"), Text(620, 180, "TPS 07  Kelurahan Contoh", 24, False, "mm")]
    texts += [Text(150, 250, "Nama calon", 24, True), Text(880, 250, "Jumlah suara", 24, True)]
    for r in range(rows):
        texts += [Text(150, 361 + r * 96, f"{r + 1:02d}.  {_NAMES[(7 * r) % 30]}", 26)]
        texts += [Text(150, 392 + r * 96, "ditulis dengan huruf:", 15)]
    lines = tuple((130, 314 + r * 96, 1110, 314 + r * 96) for r in range(rows + 1))
    page = PageSpec(size=(1240, 1754), marks=marks, fields=fields)

    def values(rng: Rng) -> Written:
        drawn = {}
        for f in fields:
            number = str(int(1000 ** (rng.random() ** 1.3)) - 1)
            pad = "0" if rng.random() < 0.3 else "X" if rng.random() < 0.8 else "_"
            drawn[f.name] = "___" if rng.random() < 0.06 else number.rjust(3, pad)
        return drawn

    return Template(name="tally", pages=(page,)), Layout(tuple(texts), lines), values


# -- drawing ---------------------------------------------------------------------------------------------------------


def _drawn(template: Template, layout: Layout, values: Callable[[Rng], Written]) -> Form:
    page = template.pages[0]

    def fill(ink: str, style: str, rng: Rng) -> Sheet:
        written = values(rng)
        print_, colour = _printed(page, layout, style, rng)
        kind = INKS[ink]
        image = np.broadcast_to(np.float32(kind.paper), (*print_.shape, 3)).copy()
        if kind.stamp:
            press(image, _stamps(page, rng), _STAMPS[rng.integers(len(_STAMPS))], 0.6)
        press(image, print_, colour)
        press(image, _marks(page), (15, 15, 15))
        strokes = _strokes(page, written, kind, rng)
        own = np.array([rng.uniform(a, b) for a, b in zip(kind.low, kind.high, strict=True)])
        press(image, strokes, tuple(own), rng.uniform(*kind.cover))
        for x, y, width in layout.signatures:
            scribble = specimen._signature(width, rng)
            at = int(y - 0.62 * scribble.shape[0]), int(x)
            part = image[at[0] : at[0] + scribble.shape[0], at[1] : at[1] + scribble.shape[1]]
            press(part, scribble, tuple(own))
        quads = np.stack([_corners(spec.box) for spec in page.fields])
        return Sheet(np.clip(image, 0, 255).astype(np.uint8), quads, written)

    def blank(style: str) -> Picture:
        print_, colour = _printed(page, layout, style, np.random.default_rng(0))
        image = np.full((*print_.shape, 3), 250, np.float32)
        press(image, print_, colour)
        press(image, _marks(page), (15, 15, 15))
        return image.astype(np.uint8)

    return Form(template.name, template, fill, blank)


def template_of(form: Form, style: str) -> Template:
    """The form's template as its maker would write it for this print: dotted guides are no frame."""
    if style != "dotted guides":
        return form.template
    fields = tuple(spec.model_copy(update={"frame": False}) for spec in form.page.fields)
    return form.template.model_copy(update={"pages": (form.page.model_copy(update={"fields": fields}),)})


def _printed(page: PageSpec, layout: Layout, style: str, rng: Rng) -> tuple[Plane, Colour]:
    """How much of the paper the print hides, (H, W) 0 to 1, and its colour."""
    if style == "dotted guides":
        unframed = tuple(spec.model_copy(update={"frame": False}) for spec in page.fields)
        bare = page.model_copy(update={"marks": (), "lines": (), "fields": unframed})
        drawn = specimen.draw_blank(bare, layout)
        for line in page.lines:
            _dots(drawn, line)
        for spec in page.fields:
            _guides(drawn, spec)
    else:
        drawn = specimen.draw_blank(page.model_copy(update={"marks": ()}), layout)
    cover = np.clip((255 - drawn.astype(np.float32)) / (255 - specimen.PRINT), 0, 1)
    colours = {"dropout print": _DROPOUT[rng.integers(len(_DROPOUT))], "gray print": (158, 158, 160)}
    return cover, colours.get(style, (28, 28, 30))


def _dots(drawn: Picture, line: tuple[float, float, float, float], pitch: float = 9.0) -> None:
    start, end = np.array(line[:2]), np.array(line[2:])
    for t in np.linspace(0, 1, max(2, int(np.linalg.norm(end - start) / pitch))):
        x, y = start + t * (end - start)
        cv2.circle(drawn, (round(x), round(y)), 1, (specimen.PRINT,), -1, cv2.LINE_AA)


def _guides(drawn: Picture, spec: FieldSpec) -> None:
    """A dotted line to write on, or the dotted 8 in each cell of Indonesian forms of 2024."""
    x, y, w, h = spec.box
    if not spec.cells:
        _dots(drawn, (x + 0.06 * w, y + 0.86 * h, x + 0.94 * w, y + 0.86 * h))
        return
    for i in range(spec.cells):
        left, wide = x + i * w / spec.cells, w / spec.cells
        a, b, c, d = left + 0.25 * wide, left + 0.75 * wide, y + 0.14 * h, y + 0.86 * h
        for line in ((a, c, b, c), (a, (c + d) / 2, b, (c + d) / 2), (a, d, b, d), (a, c, a, d), (b, c, b, d)):
            _dots(drawn, line, 7.0)


def _marks(page: PageSpec) -> Plane:
    plane = np.zeros((page.size[1], page.size[0]), np.float32)
    for mark in page.marks:
        a, b = (round(v - mark.size / 2) for v in (mark.x, mark.y))
        plane[b : b + round(mark.size), a : a + round(mark.size)] = 1
    return plane


def _stamps(page: PageSpec, rng: Rng) -> Plane:
    """Round stamps, worn, each over one or more fields."""
    plane = np.zeros((page.size[1], page.size[0]), np.float32)
    some = rng.choice(len(page.fields), min(len(page.fields), int(rng.integers(2, 5))), replace=False)
    for i in some:
        x, y, w, h = page.fields[i].box
        centre = round(x + rng.uniform(0.2, 0.8) * w), round(y + rng.uniform(0, 1) * h)
        radius = round(rng.uniform(0.055, 0.075) * page.size[0])
        for share, thick in ((1.0, 4), (0.88, 2), (0.5, 2)):
            cv2.circle(plane, centre, round(share * radius), (1,), thick, cv2.LINE_AA)
        for angle in range(0, 360, 24):
            tip = [
                round(c + 0.7 * radius * f(np.radians(angle))) for c, f in zip(centre, (np.cos, np.sin), strict=True)
            ]
            cv2.ellipse(plane, tip, (4, 9), angle, 0, 360, (1,), 2, cv2.LINE_AA)
    worn = cv2.GaussianBlur(rng.random(plane.shape, np.float32), (0, 0), 6)
    return plane * np.clip((worn - 0.46) * 18 + 0.5, 0.1, 1).astype(np.float32)


def press(image: Plane, cover: Plane, colour: tuple[float, ...], strength: float = 1.0) -> None:
    """Lay ink on `image` (H, W, 3) in place; inks multiply, as what lies under a pen stroke still darkens it."""
    through = np.float32(1) - np.float32(strength) * cover[..., None] * (1 - np.float32(colour) / 255)
    image *= through


def _strokes(page: PageSpec, written: Mapping[str, str], kind: Ink, rng: Rng) -> Plane:
    """All that is written on a page by one hand, (H, W) 0 to 1."""
    plane = np.zeros((page.size[1], page.size[0]), np.float32)
    slant, size, width = rng.normal(0.08, 0.12), rng.uniform(0.5, 0.66), rng.uniform(*kind.width)
    for spec in page.fields:
        x, y, w, h = spec.box
        tall = size * h * rng.uniform(0.92, 1.05)
        text = written[spec.name]
        inks = [] if not text else [_digit(c, tall, width * tall, slant + rng.normal(0, 0.04), rng) for c in text]
        if spec.cells:
            wide = w / spec.cells
            for i, ink in enumerate(inks):
                room = min(1.0, 0.8 * wide / max(ink.shape[1], 1))
                _put(
                    plane, ink, x + (i + 0.5) * wide + rng.normal(0, 0.05) * wide, y + h * rng.uniform(0.45, 0.55), room
                )
            continue
        line = _in_line(inks, tall, rng)
        room = min(1.0, 0.86 * w / max(line.shape[1], 1))
        at = x + w * rng.uniform(0.4, 0.62)
        half = 0.5 * room * line.shape[1]
        _put(plane, line, float(np.clip(at, x + half + 5, x + w - half - 5)), y + h * rng.uniform(0.46, 0.54), room)
    if kind.rough:
        grain = cv2.GaussianBlur(rng.random(plane.shape, np.float32), (0, 0), 0.9)
        plane *= np.clip(1 - kind.rough * 5 * np.abs(grain - 0.5), 0.15, 1)
    return plane


def _in_line(inks: list[Plane], tall: float, rng: Rng) -> Plane:
    gaps = [round(tall * rng.uniform(0.1, 0.3)) for _ in inks]
    drops = [round(tall * rng.normal(0, 0.03)) + round(0.15 * tall) for _ in inks]
    high = max([1, *(ink.shape[0] + drop for ink, drop in zip(inks, drops, strict=True))])
    line = np.zeros((high, max(1, sum(ink.shape[1] for ink in inks) + sum(gaps))), np.float32)
    x = 0
    for ink, gap, drop in zip(inks, gaps, drops, strict=True):
        top = max(0, min(drop, high - ink.shape[0]))
        part = line[top : top + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(part, ink, out=part)
        x += ink.shape[1] + gap
    return line


def _put(plane: Plane, ink: Plane, x: float, y: float, room: float) -> None:
    """Lay `ink` with its middle at x, y, shrunk by `room` if that is below 1."""
    if ink.size <= 1:
        return
    if room < 1:
        ink = np.asarray(cv2.resize(ink, None, fx=room, fy=room, interpolation=cv2.INTER_AREA), np.float32)
    left, top = max(0, round(x - ink.shape[1] / 2)), max(0, round(y - ink.shape[0] / 2))
    part = plane[top : top + ink.shape[0], left : left + ink.shape[1]]
    np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)


def _digit(symbol: str, tall: float, pen: float, slant: float, rng: Rng) -> Plane:
    """A digit, or the cross of an unused cell, `tall` pixels high with strokes `pen` pixels wide: 0 to 1, cut tight."""
    if symbol == "_":
        return np.zeros((1, 1), np.float32)
    if symbol == "X":
        field = augment.crossing(rng)
        tall = 0.75 * tall
    else:
        maps, labels = _glyphs()
        field = augment.unpack(maps[rng.choice(labels[int(symbol)])])
    scale = tall / 40
    forward = np.array([[scale, -slant * scale], [0, scale]])
    side = int(64 * scale * 1.4) + 4
    matrix = np.column_stack([forward, [side / 2, side / 2] - forward @ (32, 32)])
    laid = cv2.warpAffine(field, matrix, (side, side), borderMode=cv2.BORDER_CONSTANT, borderValue=(-20,)) * scale
    own = 2 * float(field[field > 0].mean()) * scale
    widen = max(pen / 2 - own, -0.5 * own)
    cover = np.clip(laid + widen + 0.5, 0, 1)
    x, y, w, h = cv2.boundingRect((cover > 0.1).view(np.uint8))
    return np.asarray(cover[y : y + h, x : x + w], np.float32)


@cache
def _glyphs() -> tuple[npt.NDArray[np.int8], list[npt.NDArray[np.int64]]]:
    """Distance maps of digits, and the rows of each."""
    try:
        glyphs = mnist_test_glyphs(catalog.locate("mnist"))
        rows = _unmistakable(glyphs.images, glyphs.labels, 2500)
        fields = {i: augment.distance_map(glyphs.images[i]) for i in rows}
        rows = np.array([i for i, field in fields.items() if _bears_any_pen(field)])
        maps = np.stack([augment.pack(fields[i]) for i in rows])
        labels = glyphs.labels[rows]
    except DataError:
        maps, labels = shapes.bank(40, 5)
    return maps, [np.flatnonzero(labels == d) for d in range(10)]


_AS_HIGH = 0.75  # share of a digit's height that is left where it is drawn as thin as a pen may be


def _bears_any_pen(field: Plane) -> bool:
    """Whether a digit keeps its loops, its pieces and its height when it is drawn thinner or thicker: no 5 that closes
    to a 6, and no 9 that loses its stem.
    """
    if _height(field, float(field[field > 0].mean())) < _AS_HIGH * _height(field, 0.0):
        return False
    forms_ = set()
    for level in (0.7, 0.0, -2.2):
        _, tree = cv2.findContours((field > level).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        outer = 0 if tree is None else int((tree[0, :, 3] < 0).sum())
        forms_.add((outer, 0 if tree is None else len(tree[0]) - outer))
    return len(forms_) == 1


def _height(field: Plane, level: float) -> int:
    return int((field > level).any(1).sum())


def _unmistakable(images: Picture, labels: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int64]:
    """Which of the first `count` digits nobody would misread: their five nearest neighbours bear the same label."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    apart = (flat**2).sum(1) - 2 * flat[:count] @ flat.T
    apart[np.arange(count), np.arange(count)] = np.inf
    nearest = np.argpartition(apart, 5, axis=1)[:, :5]
    return np.flatnonzero((labels[nearest] == labels[:count, None]).all(1))


def _corners(box: tuple[float, float, float, float]) -> npt.NDArray[np.float64]:
    x, y, w, h = box
    return np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]], np.float64)


# -- real pages ------------------------------------------------------------------------------------------------------


def _real(name: str, path: Path, folder: Path, label: Callable[[tuple[str, str]], str], enlarge: float) -> Form:
    """A form whose pages are scans: where their fields lie is what the template finds on the scans as they are.

    enlarge: pages of low resolution are enlarged first, so that what is done to them costs them less.
    """
    template = load_template(path)
    scans = _scans(path, folder)

    @cache
    def sheet(k: int) -> Sheet:
        source, image, matrix = scans[k]
        quads = np.stack([project(_corners(spec.box), matrix) for spec in template.fields])
        written = {spec.name: label((source, spec.name)) for spec in template.fields}
        large = cv2.resize(image, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
        return Sheet(np.asarray(large, np.uint8), quads * enlarge, written)

    def fill(ink: str, style: str, rng: Rng) -> Sheet:
        return sheet(int(rng.integers(len(scans))))

    @cache
    def blank(style: str) -> Picture:
        """What the pages have in common, as `inkshift template reference` learns it; of few of them, all with the same
        digits in the same places, the lines alone.
        """
        if len(scans) < 8:
            return np.repeat(specimen.draw_blank(template.pages[0])[..., None], 3, 2)
        learnt = learn_print([as_reference(image) for _, image, _ in scans]).picture
        matrix = register(learnt, template.pages[0])[0].matrix
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        laid = cv2.warpPerspective(learnt, matrix, template.pages[0].size, flags=flags, borderValue=(255,))
        return np.repeat(np.asarray(laid, np.uint8)[..., None], 3, 2)

    return Form(name, template, fill, blank)


@cache
def _scans(path: Path, folder: Path) -> list[tuple[str, Picture, npt.NDArray[np.float64]]]:
    """Name, page and the map from template to page of each scan, as it lies by its marks or lines."""
    spec = load_template(path).pages[0]
    out = []
    for file in files.find_files([folder]):
        image = files.load_page(files.PageRef(str(file), 1))
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, 2)
        out.append((file.stem, image, register(image, spec)[0].matrix))
    return out
