"""A picture of a template on a page: is every field where it should be, and what is read there?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from inkshift.errors import RegistrationError
from inkshift.forms.pages import PageRef, load_page
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading
from inkshift.forms.register import register
from inkshift.forms.report import doubts
from inkshift.forms.template import FieldSpec, PageSpec
from inkshift.reframe import to_gray

Pixels = npt.NDArray[np.uint8]

_LONGEST = 1600
_SURE, _DOUBT, _LINE, _MARK = (0, 128, 60), (200, 80, 0), (0, 160, 220), (200, 0, 160)


def preview(reader: Reader, image: Pixels, source: str) -> Image.Image:
    """The page, (H, W) or (H, W, 3) RGB uint8, straightened, under its template and what is read there.

    A field's box is green, or orange where a person should look; its name stands on the left, what was read
    on the right. Raises RegistrationError for a page that does not fit the reader's template.
    """
    reading = reader.read_page(image, source)
    if reading.error or reader.template is None:
        raise RegistrationError(reading.error or "a preview needs a template")
    spec = reader.template.pages[reading.design]
    folder = Path(reader.settings.template).parent
    blank = to_gray(load_page(PageRef(str(folder / spec.reference), 1))) if spec.reference else None
    page = next(found for found in register(image, spec, blank) if found.turn == reading.turn)
    zoom = max(1.0, _LONGEST / max(spec.size))
    flat = _straightened(page.image, page.matrix, spec.size, zoom)
    return _drawn(flat, spec, {item.name: item for item in reading.fields}, zoom)


def _straightened(image: Pixels, matrix: npt.NDArray[np.float64], size: tuple[int, int], zoom: float) -> Image.Image:
    flat = cv2.warpPerspective(
        image,
        matrix @ np.diag([1 / zoom, 1 / zoom, 1.0]),
        (round(size[0] * zoom), round(size[1] * zoom)),
        flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return Image.fromarray(np.asarray(flat, np.uint8)).convert("RGB")


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
