"""Synthetic filled forms: any template drawn, filled in by hand, and scanned.

One page is one writer. Everything comes from a seed; the same library versions give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import zxingcpp
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from inkshift.arrays import Pixels
from inkshift.errors import SettingError
from inkshift.forms.rules import Rule, Side
from inkshift.forms.template import Box, FieldSpec, PageSpec, Template
from specimens.pen import Glyphs, Hand, draw_hand, lay_ink, write_digits
from specimens.scanner import Gray, Wear, scan

PRINT = 40
"""Gray level of what is printed."""

Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Text:
    """A printed text. x, y: its anchor (Pillow's two letters); size: pixels; `{form}` is the identity."""

    x: float
    y: float
    text: str
    size: int = 22
    bold: bool = False
    anchor: str = "lm"


@dataclass(frozen=True, slots=True)
class Layout:
    """What a page shows that its template does not tell, in template pixels.

    lines: x1, y1, x2, y2. shades: x, y, width, height of light gray bars. barcode: the top left corner
    of the identity as Code 128. signatures: x, y, width of each signed line.
    """

    texts: tuple[Text, ...] = ()
    lines: tuple[Box, ...] = ()
    shades: tuple[Box, ...] = ()
    barcode: tuple[int, int] | None = None
    signatures: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Specimen:
    """One filled page. name: the form's identity; page: from 1; image: (H, W) uint8; values: as written."""

    name: str
    page: int
    image: Pixels
    values: Values


def specimen_pages(
    template: Template,
    glyphs: Glyphs,
    n: int,
    seed: int,
    *,
    layouts: Sequence[Layout] = (),
    wears: Sequence[Wear] = (Wear(),),
    naming: str = "form-{:04d}",
    draw_values: Callable[[Template, np.random.Generator], Values] | None = None,
) -> Iterator[Specimen]:
    """`n` filled and scanned forms of `template`, page by page.

    layouts: one for each page of the template. wears: taken in turn, form after form. naming: the
    identity of form 1, 2, ... where it is no field. draw_values: instead of `plausible_values`.
    """
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        values = (draw_values or plausible_values)(template, rng)
        name = values[template.identity.field] if template.identity.field else naming.format(i + 1)
        wear = wears[i % len(wears)]
        hand = draw_hand(rng, _digit_height(template), faint=wear.faint_pen)
        for number, page in enumerate(template.pages, 1):
            layout = layouts[number - 1] if number <= len(layouts) else Layout()
            clean = fill(draw_blank(page, layout, name), page, values, glyphs, rng, hand, layout)
            own = {spec.name: values[spec.name] for spec in page.fields}
            yield Specimen(name, number, scan(clean, rng, wear), own)


def plausible_values(template: Template, rng: np.random.Generator) -> Values:
    """Values for all fields that keep the template's rules, low ones common as in figure 10 of the paper.

    Raises SettingError where an equality is not `a + b + ... = c`, or no values keep all rules and limits.
    """
    rules = template.parsed_rules
    sums = dict(_target(rule) for rule in rules if rule.operator == "=")
    limits = {spec.name: 10 ** spec.digits[1] - 1 if spec.max is None else spec.max for spec in template.fields}
    for attempt in range(200):
        drawn = {
            name: int((limit + 1) ** (rng.random() ** (1 + attempt / 50))) - 1
            for name, limit in limits.items()
            if name not in sums
        }
        for _ in sums:
            ready = {t: parts for t, parts in sums.items() if t not in drawn and set(parts.fields) <= set(drawn)}
            drawn |= {target: parts.value(drawn) for target, parts in ready.items()}
        if set(drawn) == set(limits) and _holds(rules, drawn, limits):
            return {spec.name: str(drawn[spec.name]).zfill(spec.digits[0]) for spec in template.fields}
    raise SettingError(f"template {template.name!r}: no values found that keep its rules and limits; check both")


def draw_blank(page: PageSpec, layout: Layout = Layout(), form: str = "") -> Pixels:
    """The clean printed page, (H, W) uint8; without identity and barcode where `form` is empty."""
    w, h = page.size
    image = np.full((h, w), 255, np.uint8)
    for x, y, bw, bh in layout.shades:
        cv2.rectangle(image, _point(x, y), _point(x + bw, y + bh), 226, -1)
    for x1, y1, x2, y2 in (*layout.lines, *page.lines):
        cv2.line(image, _point(x1, y1), _point(x2, y2), PRINT, 2)
    for mark in page.marks:
        half = mark.size / 2
        cv2.rectangle(image, _point(mark.x - half, mark.y - half), _point(mark.x + half, mark.y + half), 15, -1)
    for spec in page.fields:
        if spec.frame:
            _draw_frame(image, spec)
    if layout.barcode and form:
        bars = np.array(zxingcpp.create_barcode(form, zxingcpp.BarcodeFormat.Code128).to_image(scale=3))
        bars = bars[bars.shape[0] // 2 - 45 : bars.shape[0] // 2 + 45]
        x0, y0 = layout.barcode
        image[y0 : y0 + bars.shape[0], x0 : x0 + bars.shape[1]] = np.maximum(bars, 15)
    return _print_texts(image, layout.texts, form)


def fill(
    blank: Pixels,
    page: PageSpec,
    values: Mapping[str, str],
    glyphs: Glyphs,
    rng: np.random.Generator,
    hand: Hand,
    layout: Layout = Layout(),
) -> Pixels:
    """`blank` with the page's values written in by `hand`, and its lines signed: (H, W) uint8.

    Digits stay inside the box, or inside their cells, which are filled from the right.
    """
    sheet = blank.astype(np.float32)
    for spec in page.fields:
        text, places = values[spec.name], _places(spec)
        if spec.cells > 1 and len(text) > spec.cells:
            raise SettingError(f"field {spec.name!r} has {spec.cells} cells; {text!r} does not fit")
        parts = list(text) if spec.cells > 1 else [text]
        for part, place in zip(parts, places[len(places) - len(parts) :], strict=True):
            if part:
                _write_in(sheet, place, write_digits(part, glyphs, rng, hand), hand, rng)
    for x, y, width in layout.signatures:
        ink = _signature(width, rng)
        top = int(y - 0.62 * ink.shape[0])
        lay_ink(sheet, ink, int(x), top, rng.uniform(40, 90), rng)
    return np.clip(np.rint(sheet), 0, 255).astype(np.uint8)


def _write_in(sheet: Gray, place: Box, ink: Gray, hand: Hand, rng: np.random.Generator) -> None:
    x, y, w, h = place
    edge = max(3.0, min(6.0, 0.12 * min(w, h)))
    room_w, room_h = w - 2 * edge, h - 2 * edge
    scale = min(1.0, room_w / ink.shape[1], room_h / ink.shape[0])
    if scale < 1:
        size = max(1, int(ink.shape[1] * scale)), max(1, int(ink.shape[0] * scale))
        ink = np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.float32)
    left = x + edge + (room_w - ink.shape[1]) * rng.uniform(0.2, 0.8)
    top = y + edge + (room_h - ink.shape[0]) * rng.uniform(0.25, 0.75)
    lay_ink(sheet, ink, int(left), int(top), hand.ink + rng.uniform(-6, 6), rng)


def _signature(width: float, rng: np.random.Generator) -> Gray:
    """A scribble as long as `width`: a tall first letter, then loops of all heights that die away."""
    t = np.linspace(0, 1, 600)
    loops = int(rng.integers(4, 9))
    knots = np.linspace(0, 1, loops + 1)
    heights = rng.uniform(0.2, 1, loops + 1) * np.linspace(1, 0.25, loops + 1)
    heights[0] = rng.uniform(1.2, 1.7)
    high = 0.13 * width * np.interp(t, knots, heights)
    pace = np.interp(t, knots, np.sort(np.append(rng.random(loops - 1), (0.0, 1.0))))
    phase = 2 * np.pi * loops * t + rng.uniform(0, 6)
    x = width * (0.14 + 0.7 * (0.5 * t + 0.5 * pace)) + rng.uniform(0.1, 0.5) * high * np.sin(phase + 1.2)
    y = width * (0.27 - rng.uniform(0, 0.1) * t) + high * np.sin(phase)
    ink = np.zeros((int(0.5 * width), int(width)), np.uint8)
    points = np.rint(np.stack([x, y], 1) * 16).astype(np.int32)
    cv2.polylines(ink, [points.reshape(-1, 1, 2)], False, 255, 2, cv2.LINE_AA, 4)
    return np.asarray(ink / 255, np.float32)


def _places(spec: FieldSpec) -> list[Box]:
    """The boxes that ink goes into, left to right."""
    x, y, w, h = spec.box
    count = max(1, spec.cells)
    return [(x + i * w / count, y, w / count, h) for i in range(count)]


def _draw_frame(image: Pixels, spec: FieldSpec) -> None:
    for x, y, w, h in _places(spec):
        cv2.rectangle(image, _point(x, y), _point(x + w, y + h), PRINT, 2)


def _print_texts(image: Pixels, texts: Sequence[Text], form: str) -> Pixels:
    canvas = Pillow.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    for t in texts:
        pen.text((t.x, t.y), t.text.replace("{form}", form), PRINT, _font(t.size, t.bold), t.anchor)
    return np.array(canvas)


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans out of matplotlib: Pillow's own font has no accents."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def _digit_height(template: Template) -> float:
    """Digits that suit the smallest box: in the telegram's boxes of 66 px, 36 px."""
    smallest = min((min(h, 1.6 * w) for f in template.fields for _, _, w, h in _places(f)), default=60.0)
    return 0.55 * smallest


def _target(rule: Rule) -> tuple[str, Side]:
    """The sum of a rule and its parts; `a + b = c` and `c = a + b` are the same."""
    parts, target = rule.sides[0], rule.sides[-1]
    if _several(target):
        parts, target = target, parts
    if _several(target) or len(rule.sides) > 2:
        raise SettingError(f"rule {rule.text!r} has sums on both sides; specimens need 'a + b = c'")
    return target.fields[0], parts


def _several(side: Side) -> bool:
    return len(side.fields) != 1 or side.number > 0


def _holds(rules: Sequence[Rule], drawn: Mapping[str, int], limits: Mapping[str, int]) -> bool:
    return all(drawn[name] <= limits[name] for name in limits) and not any(rule.broken_at(drawn) for rule in rules)


def _point(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)
