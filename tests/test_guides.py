"""Dots printed in every cell are no ink, with a picture of the blank form and without; what is written stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift import Reader
from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.page.guides import find_guide, without_guides
from test_unused import MARGIN, SIDE, drawn

Gray = npt.NDArray[np.uint8]


def page(texts: list[str], digits: Gray, aside: int = 0) -> list[Gray]:
    """Crops of fields of three printed cells with an 8 of dots in each, the dots a few pixels aside."""
    rng = np.random.default_rng(3)
    out = []
    for text in texts:
        crop = np.full((SIDE + 2 * MARGIN, 3 * SIDE + 2 * MARGIN), 240, np.uint8)
        off = rng.integers(-aside, aside + 1, 2)
        for k, symbol in enumerate(text):
            x, y = MARGIN + k * SIDE, MARGIN
            cv2.rectangle(crop, (x, y), (x + SIDE, y + SIDE), (120,), 1)
            for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
                for middle in (15, 29):
                    at = (
                        np.rint(off + [x + 22 + 7 * np.cos(angle), y + middle + 7 * np.sin(angle)]).astype(int).tolist()
                    )
                    crop[at[1] : at[1] + 2, at[0] : at[0] + 2] = 130
            if symbol != "_":
                ink = drawn(symbol, digits)
                part = crop[y : y + SIDE, x : x + SIDE]
                np.minimum(part, (240 - ink.astype(float) * 190 / 255).astype(np.uint8), out=part)
        out.append(crop)
    return out


def jobs(crops: list[Gray]) -> list[cutout.FieldJob]:
    h, w = crops[0].shape
    frame = (MARGIN, MARGIN, w - MARGIN, h - MARGIN)
    return [
        cutout.FieldJob(str(k), "cells", crop, inks.darkness(crop), frame, 3, printed=True)
        for k, crop in enumerate(crops)
    ]


TEXTS = ["_47", "__3", "120", "___", "__9", "_58"]


@pytest.mark.parametrize("aside", [0, 2])
@pytest.mark.parametrize("known", [True, False])
def test_dots_in_every_cell_are_print(shipped_model: str, drawn_digits: Gray, aside: int, known: bool) -> None:
    work = jobs(page(TEXTS, drawn_digits, aside))
    if known:
        blank = inks.darkness(page(["___"], drawn_digits)[0])
        clean = [cutout.own(job, blank) for job in work]
    else:
        clean = without_guides(work)
    read = Reader(read_as="digit")._by_digits(clean, 180.0)
    assert [field.written for field in read] == TEXTS


@pytest.mark.parametrize("text", ["000", "111", "888", "7_7"])
def test_what_is_written_alike_in_all_cells_is_no_print(drawn_digits: Gray, text: str) -> None:
    plain = [np.full((SIDE, SIDE), 240, np.uint8) - drawn(d, drawn_digits) // 2 for d in text if d != "_"]
    assert find_guide([inks.darkness(cell) for cell in plain] * 6) is None
    assert find_guide([]) is None
