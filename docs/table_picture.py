"""Draw the table that docs/tutorials/ledger.md shows, and what is found in it: `python docs/table_picture.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from inkshift import Reader
from inkshift.datasets.synth import shapes
from inkshift.forms.table.tables import find_table
from inkshift.pictures import load_picture

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from specimens.pen import Glyphs, draw_hand, lay_ink, write_digits

ROWS = (("124", "2718", "36"), ("87", "45", "-"), ("1450", "", "402"), ("9", "510", "7"), ("302", "88", "66"))
COLOURS = {"number": (40, 140, 60), "unused": (200, 120, 0), "empty": (150, 150, 150), "struck": (200, 40, 40)}
WIDE, HIGH, LEFT = 190, 76, 90


def draw() -> npt.NDArray[np.uint8]:
    """A ruled table of drawn numbers with headers, row numbers, a dash and an empty cell, photographed askew."""
    rng = np.random.default_rng(2)
    drawn = [255 * np.clip(shapes.draw(d, np.random.default_rng(d)) * 0.8 + 0.6, 0, 1) for d in range(10)]
    pictures = [cv2.resize(d.astype(np.uint8), (28, 28), interpolation=cv2.INTER_AREA) for d in drawn]
    glyphs, hand = Glyphs(np.stack(pictures), np.arange(10, dtype=np.uint8)), draw_hand(rng, 36)
    size = HIGH * (len(ROWS) + 1) + 60, LEFT + WIDE * 3 + 60
    page = np.full(size, 246, np.float32)
    print_ = np.full(size, 246, np.uint8)
    for c, word in enumerate(("Votes", "Rain", "Sum")):
        cv2.putText(print_, word, (LEFT + 40 + WIDE * c, 78), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (60,), 1, cv2.LINE_AA)
    for r, row in enumerate(ROWS):
        y = 30 + HIGH * (r + 1) + HIGH // 2
        cv2.putText(print_, f"{r + 1}.", (46, y + 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (60,), 1, cv2.LINE_AA)
        for c, text in enumerate(row):
            right = 30 + LEFT + WIDE * (c + 1) - 40
            if text == "-":
                cv2.line(page, (right - 60, y), (right - 10, y - 3), (60,), 3, cv2.LINE_AA)
            elif text:
                ink = write_digits(text, glyphs, rng, hand)
                lay_ink(page, ink, right - ink.shape[1], y - ink.shape[0] // 2, 50, rng)
    page = np.minimum(page, print_.astype(np.float32))
    right, bottom = 30 + LEFT + 3 * WIDE, 30 + HIGH * (len(ROWS) + 1)
    for x in (30, *range(30 + LEFT, right + 1, WIDE)):
        cv2.line(page, (x, 30), (x, bottom), (120,), 2)
    for y in range(30, bottom + 1, HIGH):
        cv2.line(page, (30, y), (right, y), (120,), 2)
    h, w = size
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    seen = corners + np.array([(50, 30), (-20, 0), (0, -10), (10, 20)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    photo = cv2.warpPerspective(page, matrix, (w, h + 20), borderValue=(246,)) + rng.normal(0, 1, (h + 20, w))
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


def main() -> None:
    images = Path(__file__).parent / "images"
    Image.fromarray(draw()).save(images / "score-sheet.jpg", quality=80)
    image = load_picture(images / "score-sheet.jpg")
    shown = np.dstack([image] * 3)
    rooms = {cell.box: cell.room for cell in find_table(image).cells}
    for field in Reader(read_as="table").read_page(image).fields:
        kind = "number" if field.value else "unused" if field.state == "crossed-out" else "empty"
        x0, y0, x1, y1 = (int(v) for v in field.box or (0, 0, 0, 0))
        left, top = rooms[x0, y0, x1, y1][:2]
        cv2.rectangle(shown, (x0, y0), (x1, y1), COLOURS[kind], 1)
        label = f"{field.name} {field.value or kind}"
        cv2.putText(shown, label, (left + 12, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, COLOURS[kind], 1, cv2.LINE_AA)
    Image.fromarray(shown).quantize(48).save(images / "table-read.png", optimize=True)


if __name__ == "__main__":
    main()
