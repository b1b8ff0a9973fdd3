"""Labelled numbers without end, composed from single digits: what a number recogniser learns from.

A number is one to eight digits by one hand with one pen, from widely spaced to touching and overlapping, among what
stands around numbers on forms, ledgers and cheques: rules, boxes, separators, dashes, currency signs, crossed-out
cells, the ink of rows above and below. All of that is read as nothing. Then it is laid on paper and scanned
(`inkshift.datasets.paper`). The same seed gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets import augment, marks, paper
from inkshift.datasets.augment import Rng
from inkshift.datasets.paper import Papers, Plane
from inkshift.reframe import Reframing

Gray = npt.NDArray[np.uint8]

LONGEST = 8
_LENGTHS = np.cumsum([0.09, 0.14, 0.22, 0.16, 0.16, 0.12, 0.07, 0.04])
_BODY = 40.0
_MAP = 64


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Digits to compose from, of several sources; most digits of a number are taken from one source.

    maps: packed distance maps (N, 64, 64) int8. rows: which of them show a digit, by (source, digit). shares: how
    often each source is taken, added up.
    """

    maps: npt.NDArray[np.int8]
    rows: dict[tuple[int, int], npt.NDArray[np.int64]]
    shares: npt.NDArray[np.float64]


def make_glyphs(
    maps: npt.NDArray[np.int8], labels: npt.NDArray[np.int64], counts: Sequence[int], weights: Sequence[float]
) -> Glyphs:
    """Glyphs of sources that lie one after another, `counts` of each; weights: how often a source is taken."""
    sources = np.repeat(np.arange(len(counts)), counts)
    rows = {(s, d): np.flatnonzero((sources == s) & (labels == d)) for s in range(len(counts)) for d in range(10)}
    return Glyphs(maps, rows, np.cumsum(weights))


@dataclass(frozen=True, slots=True)
class Hand:
    """How one number is written. body: height of a digit, pixels; the rest in shares of it, but slant (a shear), and
    trend: how much larger, in logs, the last digit is than the first."""

    body: float
    pen: float
    soft: float
    slant: float
    gap: float
    gap_spread: float
    touch: float
    drift: float
    uneven: float
    squeeze: float
    trend: float


def draw_hand(rng: Rng) -> Hand:
    """Some hand: from pencil to marker, upright to slanted, wide to cramped."""
    cramped = rng.random()
    return Hand(
        body=rng.uniform(20, 38),
        pen=float(np.exp(rng.uniform(np.log(0.035), np.log(0.17)))),
        soft=rng.uniform(0.7, 1.8),
        slant=min(max(rng.normal(0.1, 0.22), -0.45), 0.8),
        gap=rng.uniform(0.12, 0.6) if cramped < 0.25 else rng.uniform(-0.02, 0.22),
        gap_spread=rng.uniform(0.02, 0.12),
        touch=(0.0, 0.1, 0.5)[int(rng.integers(3))] if cramped < 0.75 else rng.uniform(0.3, 1.0),
        drift=rng.uniform(0.0, 0.07),
        uneven=rng.uniform(0.0, 0.14),
        squeeze=float(np.exp(rng.normal(0, 0.18))),
        trend=rng.normal(0, 0.12) if rng.random() < 0.7 else rng.uniform(-0.6, 0.3),
    )


def draw_label(rng: Rng) -> str:
    """A number of one to eight digits; one in five is a round amount that ends in zeros, one in fifty is no number."""
    if rng.random() < 0.02:
        return ""
    n = 1 + int(np.searchsorted(_LENGTHS, rng.random() * _LENGTHS[-1]))
    digits = rng.integers(0, 10, n)
    if n > 2 and rng.random() < 0.22:
        digits[-int(rng.integers(2, n)) :] = 0
    return "".join(map(str, digits))


def compose(glyphs: Glyphs, papers: Papers, rng: Rng, label: str | None = None) -> tuple[Gray, str]:
    """One number cut from a page, (H, W) uint8 dark on light, and its digits."""
    text = draw_label(rng) if label is None else label
    hand = draw_hand(rng)
    page = marks.Page.blank(hand.body, len(text))
    kind = rng.random()
    in_cells = kind < 0.3 and len(text) <= 5
    _write(page, text, glyphs, hand, rng, in_cells)
    marks.surround(page, hand.body, rng, in_cells, neighbour=lambda: _any_digit(glyphs, hand, rng))
    ink, print_ = page.ink, page.print
    if rng.random() < 0.5:
        ink, print_ = paper.tilt([ink, print_], rng)
    x0, y0, x1, y1 = marks.crop_box(ink, page, hand.body, rng, in_cells)
    ink, print_ = (np.ascontiguousarray(plane[y0:y1, x0:x1]) for plane in (ink, print_))
    return paper.scan(paper.lay(ink, print_, papers, rng), hand.body, rng), text


def _write(page: marks.Page, text: str, glyphs: Glyphs, hand: Hand, rng: Rng, in_cells: bool) -> None:
    """The digits of `text` on the page, most from one source of glyphs, a repeated digit mostly written alike."""
    source = _source(glyphs, rng)
    own: dict[str, int] = {}
    if not in_cells:
        marks.lead_in(page, hand.body, hand.pen, rng)
    cells = _cell_plan(text, rng) if in_cells else list(text)
    pitch = hand.body * (rng.uniform(0.85, 1.3) if rng.random() < 0.5 else rng.uniform(1.2, 2.6))
    zeros, zeros_size = _linked_zeros(text, rng)
    for at, symbol in enumerate(cells):
        if symbol in "X_":
            if symbol == "X":
                _put_cell(page, augment.crossing(rng), hand, rng, at, pitch, rng.uniform(0.4, 1.1))
            continue
        if symbol not in own or rng.random() < 0.35:
            choices = glyphs.rows[_source(glyphs, rng) if rng.random() < 0.3 else source, int(symbol)]
            own[symbol] = int(choices[rng.integers(len(choices))])
        field_ = augment.regional(int(symbol), augment.unpack(glyphs.maps[own[symbol]]), rng)
        if in_cells:
            _put_cell(page, field_, hand, rng, at, pitch)
            continue
        size = float(np.exp(hand.trend * at / max(len(cells) - 1, 1)))
        linked = at >= len(cells) - zeros
        stroke = _render(field_, hand, rng, size * (zeros_size if linked else 1.0))
        down = rng.normal(0, hand.drift) * hand.body + (rng.uniform(-0.1, 0.3) * hand.body if linked else 0)
        page.append(stroke, _gap(hand, rng), down, touch=rng.random() < (0.5 if linked else hand.touch))
        if linked and at + 1 < len(cells) and rng.random() < 0.5:
            marks.join(page, hand.body * zeros_size, hand.pen, down, rng)
        elif at + 1 < len(cells):
            marks.between(page, hand.body, hand.pen, rng, len(cells) - at - 1)
    if in_cells:
        page.cells = (len(cells), pitch)
    else:
        marks.trail(page, hand.body, hand.pen, rng)


def _linked_zeros(text: str, rng: Rng) -> tuple[int, float]:
    """How many zeros at the end are written in one go, as on round amounts, and how large: smaller than the rest."""
    zeros = len(text) - len(text.rstrip("0"))
    return (min(zeros, 6), rng.uniform(0.4, 0.9)) if zeros > 1 and rng.random() < 0.5 else (0, 1.0)


def _cell_plan(text: str, rng: Rng) -> list[str]:
    """The cells of a field: unused ones before the number are crossed out or empty."""
    spare = int(rng.integers(1, 4)) if rng.random() < 0.6 or not text else 0
    mark = "X" if rng.random() < 0.75 else "_"
    return [mark] * spare + list(text)


def _gap(hand: Hand, rng: Rng) -> float:
    return float(rng.normal(hand.gap, hand.gap_spread)) * hand.body


def _put_cell(page: marks.Page, field_: Plane, hand: Hand, rng: Rng, at: int, pitch: float, size: float = 1.0) -> None:
    stroke = _render(field_, hand, rng, size)
    centre = page.start + (at + 0.5) * pitch + rng.normal(0, 0.07) * pitch
    page.put(stroke, round(centre - stroke.shape[1] / 2), rng.normal(0, hand.drift + 0.03) * hand.body)


def _source(glyphs: Glyphs, rng: Rng) -> int:
    return int(np.searchsorted(glyphs.shares, rng.random() * glyphs.shares[-1]))


def _any_digit(glyphs: Glyphs, hand: Hand, rng: Rng) -> Plane:
    return _render(augment.unpack(glyphs.maps[rng.integers(len(glyphs.maps))]), hand, rng)


def _render(field_: Plane, hand: Hand, rng: Rng, size: float = 1.0) -> Plane:
    """The map drawn with the hand's pen at its size and slant, bent a little: coverage, cut tight."""
    scale = size * hand.body / _BODY * float(np.exp(rng.normal(0, hand.uneven)))
    sx, slant, turn = scale * hand.squeeze, (hand.slant + rng.normal(0, 0.05)) * scale, rng.normal(0, 0.05) * scale
    w, h = int(_MAP * sx + abs(slant) * 40) + 6, int(_MAP * scale) + 6
    forward = np.array([[sx, -slant], [turn, scale]])
    matrix = np.column_stack([forward, [w / 2, h / 2] - forward @ (_MAP / 2, _MAP / 2)])
    bent = _waved(field_, rng) if rng.random() < 0.5 else field_
    laid = cv2.warpAffine(bent, matrix, (w, h), borderMode=cv2.BORDER_CONSTANT, borderValue=(-20,))
    own = 2 * cv2.mean(field_, mask=(field_ > 0).view(np.uint8))[0] * scale
    half = max(0.5 * hand.pen * hand.body, 0.7)
    widen = max(half - own, -0.45 * own)
    cover = laid * np.float32(scale / hand.soft)
    cover += np.float32(widen / hand.soft + 0.5)
    np.minimum(cover, np.float32(1), out=cover)
    np.maximum(cover, np.float32(0), out=cover)
    return tight(cover)


_XS, _YS = (np.ascontiguousarray(axis) for axis in np.meshgrid(*[np.arange(_MAP, dtype=np.float32)] * 2))


def _waved(field_: Plane, rng: Rng) -> Plane:
    """The map bent by a smooth random displacement of a pixel or two."""
    wave = cv2.resize(rng.normal(0, 1.3, (3, 3, 2)).astype(np.float32), (_MAP, _MAP), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.remap(field_, _XS + wave[..., 0], _YS + wave[..., 1], cv2.INTER_LINEAR), np.float32)


def tight(ink: Plane) -> Plane:
    """Cut to the rows and columns that hold ink; one empty pixel where there is none."""
    x, y, w, h = cv2.boundingRect((ink > 0.1).view(np.uint8))
    return ink[y : y + h, x : x + w] if w else np.zeros((1, 1), np.float32)


class Lines:
    """Pictures of numbers, all of one height: rows are padded on the right, with paper, to the widest of them.

    pictures: N arrays (H, W) uint8, light ink on black.
    """

    def __init__(self, pictures: Sequence[Gray]) -> None:
        self.pictures = pictures
        self.widths = np.array([picture.shape[1] for picture in pictures], np.int64)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Gray:
        chosen = [self.pictures[int(i)] for i in rows]
        return pad(chosen)

    def batches(self, order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
        """Batches of pictures of like width, in an order that follows from `order`, a permutation of the rows."""
        pools = [order[i : i + 16 * size] for i in range(0, len(order), 16 * size)]
        out = []
        for pool in pools:
            by_width = pool[np.argsort(self.widths[pool], kind="stable")]
            parts = [by_width[i : i + size] for i in range(0, len(by_width), size)]
            out += [parts[i] for i in np.argsort([part[0] * 2654435761 % 2**32 for part in parts], kind="stable")]
        return out


def pad(pictures: Sequence[Gray], step: int = 8) -> Gray:
    """Pictures (H, W) of one height as (N, H, widest) uint8, zeros at the right; the width a multiple of `step`."""
    widest = max(picture.shape[1] for picture in pictures)
    out = np.zeros((len(pictures), pictures[0].shape[0], -(-widest // step) * step), np.uint8)
    for row, picture in zip(out, pictures, strict=True):
        row[:, : picture.shape[1]] = picture
    return out


def encode(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Digit strings as (N, longest) int64, -1 where a string has ended."""
    out = np.full((len(labels), max(map(len, labels), default=1)), -1, np.int64)
    for row, label in zip(out, labels, strict=True):
        row[: len(label)] = [int(c) for c in label]
    return out


def epoch(
    glyphs: Glyphs, papers: Papers, count: int, seed: Sequence[int], frame: Reframing
) -> tuple[Lines, npt.NDArray[np.int64]]:
    """`count` numbers framed for a recogniser, and their digits as `encode` gives them."""
    rng = np.random.default_rng(list(seed))
    made = [compose(glyphs, papers, rng) for _ in range(count)]
    return Lines([frame(picture) for picture, _ in made]), encode([label for _, label in made])
