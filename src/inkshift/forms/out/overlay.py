"""A picture of a template on a page: is every field where it should be, and what is read there?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from inkshift.arrays import Pixels
from inkshift.errors import RegistrationError, SettingError
from inkshift.forms.design.landmarks import share_inked
from inkshift.forms.design.printed import level
from inkshift.forms.out.html import doubts
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template

_LONGEST = 1600
_THERE, _MISSING, _PLACE = (0, 90, 220), (220, 0, 0), (150, 150, 150)
_SURE, _DOUBT, _LINE, _MARK = (0, 128, 60), (200, 80, 0), (0, 160, 220), (200, 0, 160)


def preview(reader: Reader, image: Pixels, source: str) -> tuple[Image.Image, str]:
    """The page, (H, W) or (H, W, 3) RGB uint8, straightened, under its template and what is read there; and why it is
    refused, or nothing.

    A field's box is green, or orange where a person should look; its name stands on the left, what was read
    on the right. A page that is refused is drawn at the place that came nearest, else as if it filled its template; the
    marks and lines that are there are told from those missing. Of several pages on the picture the first is drawn.
    """
    if reader.template is None:
        raise SettingError("a preview needs a template; give one")
    try:
        reading, page = reader.read_laid(image, source)[0]
    except RegistrationError as e:
        return _refused(reader.template, image, e), str(e)
    assert page is not None  # those that are not read come last
    spec = reader.template.pages[reading.design]
    zoom = max(1.0, _LONGEST / max(spec.size))
    flat = _straightened(page.image, page.matrix, spec.size, zoom)
    return _drawn(flat, spec, {item.name: item for item in reading.fields}, zoom), ""


def _refused(template: Template, image: Pixels, error: RegistrationError) -> Image.Image:
    """A page that is not read under its template: what of that is there, what is missing, and the reason."""
    spec = template.pages[0]
    right, bottom, wide, high = *spec.size, float(image.shape[1]), float(image.shape[0])
    outline = np.array(error.outline or [(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
    corners = np.array([(0, 0), (right, 0), (right, bottom), (0, bottom)], np.float32)
    matrix = np.asarray(cv2.getPerspectiveTransform(corners, outline), np.float64)
    zoom = max(1.0, _LONGEST / max(spec.size))
    picture = _straightened(image, matrix, spec.size, zoom)
    seen = level(np.asarray(_straightened(image, matrix, spec.size, 1.0).convert("L")))
    pen = ImageDraw.Draw(picture)
    for field in spec.fields:
        x, y, w, h = (value * zoom for value in field.box)
        pen.rectangle([x, y, x + w, y + h], outline=_PLACE, width=2)
    lines = [(line, share_inked(seen, line) >= 0.5) for line in spec.lines]
    for line, there in lines:
        pen.line([value * zoom for value in line], fill=_THERE if there else _MISSING, width=3)
    marks = [(mark, _is_filled(seen, mark)) for mark in spec.marks]
    for mark, there in marks:
        x, y, half = mark.x * zoom, mark.y * zoom, 0.8 * mark.size * zoom
        pen.rectangle([x - half, y - half, x + half, y + half], outline=_THERE if there else _MISSING, width=5)
    counted = [
        f"{what}: {sum(there for _, there in found)} of {len(found)} found (blue), others red"
        for what, found in (("marks", marks), ("lines", lines))
        if found
    ]
    return _captioned(picture, [f"not read: {error}", "; ".join([*counted, "boxes: the place that was tried"])])


def _is_filled(seen: Pixels, mark: Mark) -> bool:
    """Whether there is a dark square, with paper around it, within a side of where a mark should be."""
    side = mark.size
    left, top = max(0, round(mark.x - 1.5 * side)), max(0, round(mark.y - 1.5 * side))
    part = seen[top : round(mark.y + 1.5 * side) + 1, left : round(mark.x + 1.5 * side) + 1]
    size = max(2, round(0.7 * side))
    dark = np.pad((part < 128).astype(np.float32), 1)
    whole = cv2.blur(dark, (size, size)).max() if part.size else 0.0
    return bool(whole > 0.9 and dark.mean() < 0.5)


def _captioned(picture: Image.Image, texts: Sequence[str]) -> Image.Image:
    """A picture with lines of text above it, wrapped to its width."""
    font = ImageFont.load_default(22.0)
    rows = [row for text in texts for row in textwrap.wrap(text, max(20, round(picture.width / 11.5)))]
    sheet = Image.new("RGB", (picture.width, picture.height + 30 * len(rows) + 12), "white")
    sheet.paste(picture, (0, sheet.height - picture.height))
    pen = ImageDraw.Draw(sheet)
    for n, row in enumerate(rows):
        pen.text((8, 8 + 30 * n), row, fill=_MISSING, font=font)
    return sheet


def _straightened(image: Pixels, matrix: npt.NDArray[np.float64], size: tuple[int, int], zoom: float) -> Image.Image:
    return Image.fromarray(flattened(image, matrix, size, zoom)).convert("RGB")


def flattened(image: Pixels, matrix: npt.NDArray[np.float64], size: tuple[int, int], zoom: float) -> Pixels:
    """A page as its template of that size draws it, `zoom` times as large. matrix: from there to the page's pixels."""
    flat = cv2.warpPerspective(
        image,
        matrix @ np.diag([1 / zoom, 1 / zoom, 1.0]),
        (round(size[0] * zoom), round(size[1] * zoom)),
        flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(flat, np.uint8)


def _drawn(picture: Image.Image, spec: PageSpec, readings: dict[str, FieldReading], zoom: float) -> Image.Image:
    pen = ImageDraw.Draw(picture)
    for line in spec.lines:
        pen.line([value * zoom for value in line], fill=_LINE, width=2)
    for mark in spec.marks:
        x, y, half = mark.x * zoom, mark.y * zoom, mark.size * zoom / 2
        pen.rectangle([x - half, y - half, x + half, y + half], outline=_MARK, width=4)
    for field in spec.fields:
        x, y, w, h = (value * zoom for value in field.box)
        item = readings[field.name]
        colour = _DOUBT if doubts(item) else _SURE
        pen.rectangle([x, y, x + w, y + h], outline=colour, width=3)
        for i in range(1, field.cells):
            pen.line([x + w * i / field.cells, y, x + w * i / field.cells, y + h], fill=colour)
        text = (item.written if field.cells else item.value) or item.state
        if _has_room(spec, field):
            _label(picture, (x - 6, y + h / 2), field.name, "rm", colour, 0.45 * h)
            _label(picture, (x + w + 6, y + h / 2), text, "lm", colour, 0.45 * h)
        else:
            _label(picture, (x + 4, y + 4), field.name, "la", colour, 0.16 * h)
            _label(picture, (x + w - 4, y + 4), text, "ra", colour, 0.3 * h)
    return picture


def _has_room(spec: PageSpec, field: FieldSpec) -> bool:
    """Whether there is no other field, nor the page's end, just left and right of this one."""
    x, y, w, h = field.box
    beside = ((x - h, y + h / 2), (x + w + h, y + h / 2))
    taken = any(
        bx <= px <= bx + bw and by <= py <= by + bh
        for px, py in beside
        for bx, by, bw, bh in (f.box for f in spec.fields)
    )
    return not taken and x > h / 2 and x + w < spec.size[0] - h / 2


def _label(
    picture: Image.Image,
    at: tuple[float, float],
    text: str,
    anchor: str,
    colour: tuple[int, int, int],
    size: float,
) -> None:
    """Text on white, moved inwards where it would leave the picture."""
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(float(np.clip(size, 12, 32)))
    left, top, right, bottom = pen.textbbox(at, text, font=font, anchor=anchor)
    shift = max(0.0, 2 - left) + min(0.0, picture.width - 2 - right)
    pen.rectangle([left + shift - 2, top - 1, right + shift + 2, bottom + 1], fill="white")
    pen.text((at[0] + shift, at[1]), text, fill=colour, font=font, anchor=anchor)
