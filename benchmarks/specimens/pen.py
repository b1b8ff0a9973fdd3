"""Numbers written by hand: glyphs of a data set such as MNIST, put on a line by one writer with one pen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inkshift.arrays import Pixels
from inkshift.datasets.formats import read_idx
from inkshift.errors import DataError
from inkshift.forms.reading import DIGITS
from specimens.scanner import Gray

TOUCH_AT = 46.0
"""Height of a digit, in pixels, at which touching strokes overlap by 1 to 4 pixels."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Single digits. images: (N, 28, 28) uint8, white ink on black; labels: (N,) uint8, 0 to 9."""

    images: Pixels
    labels: Pixels


@dataclass(frozen=True, slots=True)
class Hand:
    """A writer with a pen.

    height: of a digit, pixels. thickness: 0 to 1, which of a digit's glyphs are taken, thin to thick.
    cut: 0 to 1, where a glyph's gray turns into ink. slant: shear, right positive. gap: mean gap, and
    drift: deviation from the baseline, both as shares of the height. touch: share of gaps at which
    strokes touch. ink: gray level of the pen, 0 black.
    """

    height: float
    thickness: float
    cut: float
    slant: float
    gap: float
    touch: float
    drift: float
    ink: float


def mnist_test_glyphs(folder: str | Path) -> Glyphs:
    """The 10,000 test digits of MNIST from a folder with its two t10k files, gzipped or not."""
    parts = []
    for stem in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        paths = [p for p in (Path(folder, f"{stem}.gz"), Path(folder, stem)) if p.is_file()]
        if not paths:
            raise DataError(f"{folder}: {stem}.gz is not there; give the folder of the MNIST test files")
        parts.append(read_idx(paths[0]))
    return Glyphs(*parts)


def draw_hand(rng: np.random.Generator, height: float, touch: float = 0.05, faint: bool = False) -> Hand:
    """Some writer with digits about `height` pixels high; faint: with a pen that has run dry."""
    return Hand(
        height=height * rng.uniform(0.93, 1.07),
        thickness=rng.uniform(0.2, 0.8),
        cut=rng.uniform(0.3, 0.4),
        slant=float(np.clip(rng.normal(0.04, 0.08), -0.12, 0.22)),
        gap=rng.uniform(0.16, 0.3),
        touch=touch,
        drift=rng.uniform(0.015, 0.045),
        ink=rng.uniform(142, 156) if faint else rng.uniform(18, 78),
    )


def write_digits(text: str, glyphs: Glyphs, rng: np.random.Generator, hand: Hand) -> Gray:
    """`text` on one line: (h, w) float32, 0 paper to 1 ink, cut tight around the ink.

    Raises DataError where `text` has no digits or `glyphs` lacks one of them.
    """
    if not text or not set(text) <= set(DIGITS):
        raise DataError(f"can only write digits, not {text!r}")
    strokes = [_stroke(_pick(int(digit), glyphs, rng, hand), rng, hand) for digit in text]
    rows = max(s.shape[0] for s in strokes)
    slack = int(np.ceil(4 * hand.drift * hand.height)) + 1
    line = np.zeros((rows + 2 * slack, sum(s.shape[1] for s in strokes) + 2 * len(text) * rows), np.float32)
    x = 0
    for i, stroke in enumerate(strokes):
        drift = int(np.clip(rng.normal(0, hand.drift * hand.height), -slack, slack))
        y = slack + rows - stroke.shape[0] + drift
        if i:
            x = _next_x(line, stroke, y, rng, hand)
        h, w = stroke.shape
        line[y : y + h, x : x + w] = np.maximum(line[y : y + h, x : x + w], stroke)
    return _tight(line)


def write_amount(text: str, glyphs: Glyphs, rng: np.random.Generator, hand: Hand) -> Gray:
    """As `write_digits`, with points, commas and dashes among the digits, such as `-1.234,50`."""
    pen = max(2.0, 0.09 * hand.height * rng.uniform(0.8, 1.2))
    parts: list[Gray] = []
    for part in re.findall(r"[0-9]+|[^0-9]", text):
        parts.append(write_digits(part, glyphs, rng, hand) if part.isdigit() else _sign(part, hand.height, pen, rng))
    height = max(part.shape[0] for part in parts) + round(0.3 * hand.height)
    foot = height - round(0.3 * hand.height)
    gaps = [round(hand.height * rng.uniform(0.06, 0.18)) for _ in parts]
    line = np.zeros((height, sum(part.shape[1] + gap for part, gap in zip(parts, gaps, strict=True))), np.float32)
    x = 0
    for symbol, part, gap in zip(re.findall(r"[0-9]+|[^0-9]", text), parts, gaps, strict=True):
        h, w = part.shape
        top = foot - h
        if symbol == "-":
            top = round(foot - hand.height * rng.uniform(0.42, 0.58))
        elif symbol in ".,":
            top = min(foot - round(1.2 * pen), height - h)
        line[top : top + h, x : x + w] = np.maximum(line[top : top + h, x : x + w], part)
        x += w + gap
    return _tight(line)


def _sign(symbol: str, height: float, pen: float, rng: np.random.Generator) -> Gray:
    """A point, comma or dash as a pen draws it, cut tight."""
    fine, side = 4, round(1.2 * height)
    canvas = np.zeros((side * fine, side * fine), np.uint8)
    middle = np.array([side / 2, side / 2])
    if symbol == "-":
        long = height * rng.uniform(0.3, 0.6)
        step = np.array([long, rng.uniform(-0.1, 0.1) * long])
    else:
        step = np.array([-0.3, 1.0]) * height * rng.uniform(0.15, 0.28) * (symbol == ",")
    ends = [((middle + way * step / 2) * fine).astype(int).tolist() for way in (-1, 1)]
    wide = pen * (rng.uniform(1.1, 1.5) if symbol == "." else 1.0)
    cv2.line(canvas, ends[0], ends[1], 255, max(1, round(wide * fine)), cv2.LINE_AA)
    return _tight(np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) / 255, np.float32))


def compose_number(
    text: str,
    glyphs: Glyphs,
    rng: np.random.Generator,
    *,
    height: int = 64,
    touch: float = 0.0,
    noise: float = 0.0,
    rule: bool = False,
    box: bool = False,
) -> Pixels:
    """A number cut out of a form, `height` pixels high: (height, W) uint8, dark on light.

    touch: share of gaps at which strokes overlap, by 1 to 4 px at 64 px height. noise: 0 white paper
    to 1 gray, grainy paper. rule: a ruled line below. box: a printed box around. Raises DataError
    as `write_digits` does.
    """
    ink = write_digits(text, glyphs, rng, draw_hand(rng, 0.72 * height * rng.uniform(0.9, 1.05), touch))
    room = height - max(4, height // 8)
    if ink.shape[0] > room:
        scale = room / ink.shape[0]
        ink = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    side = int(height * rng.uniform(0.12, 0.3))
    width = ink.shape[1] + 2 * side
    image = np.full((height, width), 255 - noise * rng.uniform(15, 55), np.float32)
    pen, print_gray = max(1, height // 40), rng.uniform(60, 130)
    if box:
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), print_gray, pen)
    if rule:
        cv2.line(image, (0, height - pen - 2), (width, height - pen - 2), print_gray, pen)
    lay_ink(image, ink, side, (height - ink.shape[0]) // 2, rng.uniform(15, 90), rng)
    if noise:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 + 0.4 * noise).astype(np.float32)
        image += 9 * noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def lay_ink(page: Gray, ink: Gray, x: int, y: int, level: float, rng: np.random.Generator) -> None:
    """Lay `ink` (0 to 1) of gray level `level` on `page` in place, its top left corner at x, y."""
    h, w = ink.shape
    grain = cv2.GaussianBlur(rng.random((h, w), dtype=np.float32), (0, 0), 1.2)
    cover = ink * (1 - 0.9 * np.abs(grain - 0.5))
    page[y : y + h, x : x + w] += (level - page[y : y + h, x : x + w]) * cover


def _pick(digit: int, glyphs: Glyphs, rng: np.random.Generator, hand: Hand) -> Pixels:
    """One glyph of `digit` about as thick as this hand writes."""
    own = glyphs.images[glyphs.labels == digit]
    if not len(own):
        raise DataError(f"the glyphs have no digit {digit}; each of 0 to 9 is needed")
    order = np.argsort(own.sum(axis=(1, 2), dtype=np.int64), kind="stable")
    rank = float(np.clip(hand.thickness + rng.uniform(-0.15, 0.15), 0, 0.999))
    return np.asarray(own[order[int(rank * len(own))]], np.uint8)


def _stroke(glyph: Pixels, rng: np.random.Generator, hand: Hand) -> Gray:
    """The glyph enlarged to the hand's height, slanted and turned, its gray made into a crisp stroke."""
    fine = 3
    scale = hand.height / 20 * rng.uniform(0.93, 1.07)
    turn, slant = np.deg2rad(rng.normal(0, 2)), hand.slant + rng.normal(0, 0.03)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, -slant], [0, 1]]
    side = int(np.ceil(28 * scale * 1.3))
    linear *= scale * fine
    centre = side * fine / 2 - linear @ (13.5, 13.5)
    matrix = np.column_stack([linear, centre])
    large = cv2.warpAffine(glyph.astype(np.float32) / 255, matrix, (side * fine, side * fine), flags=cv2.INTER_CUBIC)
    ramp = np.clip((large - hand.cut) / 0.25 + 0.5, 0, 1)
    smooth = ramp * ramp * (3 - 2 * ramp)
    return _tight(np.asarray(cv2.resize(smooth, (side, side), interpolation=cv2.INTER_AREA), np.float32))


def _next_x(line: Gray, stroke: Gray, y: int, rng: np.random.Generator, hand: Hand) -> int:
    """Where the next stroke begins: a gap after the ink so far, or so that the two touch."""
    rows = line[y : y + stroke.shape[0]] > 0.4
    ends = np.where(rows.any(1), rows.shape[1] - np.argmax(rows[:, ::-1], axis=1), -10_000)
    solid = stroke > 0.4
    starts = np.where(solid.any(1), np.argmax(solid, axis=1), 10_000)
    meeting = int((ends - starts).max())
    right = int(np.flatnonzero((line > 0.1).any(0))[-1]) + 1
    if rng.random() < hand.touch:
        overlap = max(1, round(rng.uniform(1, 4) * hand.height / TOUCH_AT))
        return max(0, meeting - overlap)
    clear = round(hand.height * rng.normal(hand.gap - 0.12, 0.06))
    return max(right + clear, meeting + max(3, round(0.08 * hand.height)))


def _tight(ink: Gray) -> Gray:
    """Cut to the rows and columns that hold ink; one empty pixel where there is none."""
    rows, columns = np.flatnonzero((ink > 0.1).any(1)), np.flatnonzero((ink > 0.1).any(0))
    if not len(rows):
        return np.zeros((1, 1), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
