"""A first template from a picture of the form: its size, what it can be registered on, one field to copy."""

from __future__ import annotations

import itertools
import json
import re

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.errors import RegistrationError
from inkshift.forms.lines import Line, masks
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from inkshift.reframe import to_gray

Gray = npt.NDArray[np.uint8]
Square = tuple[float, float, float]

# Shares of the page: sides of a corner mark, how far from its corner it is looked for, the shortest rule.
_MARK_SIDES = (0.008, 0.05)
_CORNER = 0.2
_LINE = 0.15
_MOST_LINES = 40


def starter(image: npt.NDArray[np.uint8], name: str) -> Template:
    """A template in the pixels of `image`, (H, W) or (H, W, 3) uint8: marks or lines, and a field.

    Raises RegistrationError where the page has neither.
    """
    gray = to_gray(image)
    h, w = gray.shape
    marks = corner_marks(gray)
    rules = () if marks else long_lines(gray)
    if not marks and not rules:
        raise RegistrationError(
            "neither four filled squares in the corners nor two long printed lines each way were found; "
            "give a clean, straight scan, or write a template with a reference picture"
        )
    box = (round(0.4 * w), round(0.48 * h), round(0.2 * w), round(0.04 * h))
    field = FieldSpec(name="example", box=box, digits=(1, 3), max=999, frame=False)
    page = PageSpec(size=(w, h), marks=marks, lines=rules, fields=(field,))
    return Template(name=name, pages=(page,))


def as_json(template: Template) -> str:
    """The template as a file to edit: a line for each mark, line and field, defaults left out."""
    text = json.dumps(template.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False)
    return re.sub(r"\[[^][{}]*\]|\{[^{}]*\}", lambda found: _on_one_line(found[0]), text) + "\n"


def _on_one_line(text: str) -> str:
    return " ".join(text.split()).replace("[ ", "[").replace(" ]", "]")


def schema_json() -> str:
    """The JSON schema of template files."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Template.model_json_schema()
    return json.dumps(schema, indent=2) + "\n"


def corner_marks(gray: Gray) -> tuple[Mark, ...]:
    """The filled squares in the page's four corners, in reading order; empty where there are no such four."""
    h, w = gray.shape
    squares = _squares(gray)
    near: list[list[Square]] = []
    for x, y in ((0, 0), (w, 0), (0, h), (w, h)):
        away = [(np.hypot(square[0] - x, square[1] - y), square) for square in squares]
        near.append([square for far, square in sorted(away)[:5] if far < _CORNER * np.hypot(h, w)])
    best = min(itertools.product(*near), key=_unlike, default=None)
    if best is None or _unlike(best) > 0.25:
        return ()
    return tuple(Mark(x=round(x, 1), y=round(y, 1), size=round(side, 1)) for x, y, side in best)


def _squares(gray: Gray) -> list[Square]:
    """Filled dark squares: centre x, centre y, side."""
    least, most = (share * min(gray.shape) for share in _MARK_SIDES)
    _, dark = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    core = max(3, round(least / 2))
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((core, core), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark)
    return [
        (x + (w - 1) / 2, y + (h - 1) / 2, (w + h) / 2)
        for x, y, w, h, area in stats[1:].tolist()
        if min(w, h) >= least and max(w, h) <= most and min(w, h) > 0.8 * max(w, h) and area > 0.75 * w * h
    ]


def _unlike(four: tuple[Square, ...]) -> float:
    """How far four squares are from equal ones in the corners of a rectangle; 0 is perfect."""
    points, sides = np.array(four)[:, :2], np.array(four)[:, 2]
    a, b, c, d = points
    diagonal = float(np.linalg.norm(d - a)) + 1e-9
    skewed = float(np.linalg.norm(a + d - b - c)) / diagonal
    uneven = abs(float(np.linalg.norm(d - a) - np.linalg.norm(c - b))) / diagonal
    return 5 * (skewed + uneven) + float(sides.std() / sides.mean())


def long_lines(gray: Gray) -> tuple[Line, ...]:
    """The page's longest printed lines as x1, y1, x2, y2; empty with fewer than two level and two upright."""
    across, down = masks(gray)
    h, w = gray.shape
    level = [(x, y + (bh - 1) / 2, x + bw - 1, y + (bh - 1) / 2) for x, y, bw, bh in _long(across, _LINE * w, 0)]
    plumb = [(x + (bw - 1) / 2, y, x + (bw - 1) / 2, y + bh - 1) for x, y, bw, bh in _long(down, _LINE * h, 1)]
    if len(level) < 2 or len(plumb) < 2:
        return ()
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in level + plumb)


def _long(mask: Gray, least: float, axis: int) -> list[list[int]]:
    """Boxes x, y, width, height of the longest pieces of a line mask, from the top left."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    boxes = [box for *box, _ in stats[1:].tolist() if box[2 + axis] >= least]
    longest = sorted(boxes, key=lambda box: -box[2 + axis])[: _MOST_LINES // 2]
    return sorted(longest, key=lambda box: (box[1], box[0]))
