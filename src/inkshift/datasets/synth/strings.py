"""Labelled numbers without end, composed from single digits: what a number recogniser learns from.

A number is one to twelve digits, mostly up to eight, by one hand with one pen, from widely spaced to touching and
overlapping, among what stands around numbers on forms, ledgers and cheques. Marks are labelled with symbols of their
own (`inkshift.datasets.synth.marks`): a point, a minus, a currency sign, a crossed-out cell, digits struck out, the gap
between two numbers. Rules, boxes, table borders and the ink of rows above and below are nothing. Then all is laid on
paper and scanned (`inkshift.datasets.synth.paper`). The same seed gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.datasets.synth import augment, marks, paper
from inkshift.datasets.synth.augment import Dice, Rng
from inkshift.datasets.synth.paper import Papers, Plane
from inkshift.reframe import Reframing, pad

# What a step of the recogniser may show; the blank comes after them.
SYMBOLS = "0123456789" + marks.MARKS
LONGEST = 12
_LENGTHS = np.cumsum([0.09, 0.14, 0.22, 0.16, 0.16, 0.12, 0.07, 0.04, 0.006, 0.008, 0.004, 0.004]).tolist()
ORDINARY = 0.5
_BODY = 40.0
_MAP = 52


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Digits to compose from, of several sources; most digits of a number are taken from one source.

    maps: distance maps (N, 52, 52) uint8, see `augment.sharpen`. halves: (N,) half of each stroke's width, pixels of a
    map. spans: (N, 2) first column of each near its stroke, and the one after the last. rows: which of them show a
    digit, by (source, digit). letters: which show a letter that looks like no digit. shares: how often each source is
    taken, added up. writers: sources that are one writer's and never mixed.
    """

    maps: Gray
    halves: npt.NDArray[np.float32]
    spans: npt.NDArray[np.int64]
    rows: dict[tuple[int, int], npt.NDArray[np.int64]]
    letters: npt.NDArray[np.int64]
    shares: list[float]
    writers: frozenset[int]


def make_glyphs(
    maps: Gray | npt.NDArray[np.int8],
    labels: npt.NDArray[np.int64],
    counts: Sequence[int],
    weights: Sequence[float],
    writers: Sequence[int] = (),
    shapes: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None = None,
) -> Glyphs:
    """Glyphs of sources that lie one after another, `counts` of each; weights: how often a source is taken.

    maps: as `augment.sharpen` gives them, or packed. labels: the digit, or 10 for a letter. writers: see `Glyphs`.
    shapes: `measure(maps)`, where it was kept.
    """
    sharp = np.asarray(maps, np.uint8) if maps.dtype == np.uint8 else augment.sharpen(np.asarray(maps, np.int8))
    sources = np.repeat(np.arange(len(counts)), counts)
    rows = {(s, d): np.flatnonzero((sources == s) & (labels == d)) for s in range(len(counts)) for d in range(10)}
    halves, spans = shapes or measure(sharp)
    letters, shares = np.flatnonzero(labels == 10), np.cumsum(weights).tolist()
    return Glyphs(sharp, halves, spans, rows, letters, shares, frozenset(writers))


def measure(maps: Gray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Half of each stroke's width, twice the mean depth inside it, and its span: as `Glyphs` has them."""
    inside = [map_[map_ > 128] for map_ in maps]
    halves = np.array([(float(each.mean()) - 128) / 10 if each.size else 1.0 for each in inside], np.float32)
    near = maps.max(axis=1) > 30
    return halves, np.stack([near.argmax(1), near.shape[1] - near[:, ::-1].argmax(1)], 1)


@dataclass(frozen=True, slots=True)
class Hand:
    """How one number is written. body: height of a digit, pixels; the rest in shares of it, but slant (a shear),
    one: how far a 1 leans beyond that slant, 0 where it stands straight, None where as its glyph leans, trend: how much
    larger, in logs, the last digit is than the first, and running: how often a digit's last stroke runs on into the
    next."""

    body: float
    pen: float
    soft: float
    slant: float
    one: float | None
    gap: float
    gap_spread: float
    touch: float
    drift: float
    uneven: float
    squeeze: float
    trend: float
    running: float


def draw_hand(dice: Dice, text: str, fair: bool = False) -> Hand:
    """Some hand: from pencil to marker, upright to slanted, wide to cramped. One digit alone may be very thick, most
    ones alone stand straight, and some hands' ones lean like a slash.

    fair: its edges are sharp, and most digits stand apart.
    """
    cramped = dice.random()
    chance = dice.random()
    ones = dice.random()
    upright = ones < (0.6 if set(text) == {"1"} else 0.25)
    leaning = ones > 0.9
    thick = 0.29 if len(text) == 1 and chance < 0.3 else 0.22 if chance < 0.1 else 0.17
    return Hand(
        body=dice.uniform(20, 38),
        pen=float(np.exp(dice.uniform(-3.352, np.log(thick)))),
        soft=dice.uniform(0.6, 1.1) if fair else dice.uniform(0.7, 1.8),
        slant=dice.normal(0, 0.05) if upright else min(max(dice.normal(0.1, 0.22), -0.45), 0.8),
        one=0.0 if upright else dice.uniform(0.15, 0.55) if leaning else None,
        gap=dice.uniform(*((0.4, 1.0) if cramped < 0.08 else (0.12, 0.6) if cramped < 0.28 else (-0.02, 0.22))),
        gap_spread=dice.uniform(0.02, 0.12),
        touch=(0.0, 0.1, 0.5)[dice.below(3)] if fair or cramped < 0.75 else dice.uniform(0.3, 1.0),
        drift=dice.uniform(0.0, 0.07),
        uneven=dice.uniform(0.0, 0.14),
        squeeze=float(np.exp(dice.normal(0, 0.22))),
        trend=dice.normal(0, 0.12) if dice.random() < 0.7 else dice.uniform(-0.6, 0.3),
        running=dice.uniform(0.2, 0.8) if dice.random() < 0.08 else 0.03,
    )


def draw_label(dice: Dice) -> str:
    """A number of one to twelve digits; one in five is a round amount ending in zeros, one in 22 is no number.

    A digit alone is often a 1, and ones come in rows: a recogniser that sees few takes their strokes for rules.
    """
    if dice.random() < 0.045:
        return ""
    at = dice.random() * _LENGTHS[-1]
    n = 1 + next(i for i, share in enumerate(_LENGTHS) if at <= share)
    if n <= 5 and dice.random() < 0.25 / n:
        return "1" * n
    digits = [str(dice.below(10)) for _ in range(n)]
    if n > 2 and dice.random() < 0.22:
        zeros = 2 + dice.below(n - 2)
        digits[-zeros:] = "0" * zeros
    return "".join(digits)


def digits_of(label: str) -> str:
    """The digits of a label, without its marks."""
    return label.translate(_NO_MARKS)


_NO_MARKS = str.maketrans("", "", marks.MARKS)


def compose(
    glyphs: Glyphs, papers: Papers, rng: Rng, label: str | None = None, ordinary: float = ORDINARY
) -> tuple[Gray, str]:
    """One number cut from a page, (H, W) uint8 dark on light, and what is written on it: digits and `marks.MARKS`.

    ordinary: share, 0 to 1, of those that are as most scans are: sharp, of good contrast, nothing struck out. What is
    hard to read in these is the hand. The others are faded, blurred, coarse or noisy.
    label: digits to write, instead of random ones; then none of them is struck out and no second number beside them.
    """
    dice = Dice(rng)
    text = draw_label(dice) if label is None else label
    fair = dice.random() < ordinary
    hand = draw_hand(dice, text, fair)
    in_cells = dice.random() < 0.3 and len(text) <= 5
    second = ""
    plain = fair or label is not None
    if not plain and text and not in_cells and dice.random() < 0.05:
        second = draw_label(dice)[:6]
    page = marks.Strip.blank(hand.body, len(text) + (len(second) + 6 if second else 0))
    if in_cells:
        written = _fill_cells(page, text, glyphs, hand, dice, may_strike=not plain)
    else:
        written = _write_freely(page, text, second, glyphs, hand, dice, may_strike=not plain)
    marks.surround(page, hand.body, dice, in_cells, lambda: _render(glyphs, dice.below(len(glyphs.maps)), hand, dice))
    ink, print_ = _cut_out(page, hand, dice, in_cells)
    if dice.random() < (0.5 if not text else 0.13):
        marks.borders(print_, hand.body, dice)
    if not text:
        marks.soil(ink, print_, hand.body, dice)
    return paper.scan(paper.lay(ink, print_, papers, dice, fair), hand.body, papers, dice, fair), written


def compose_digits(
    glyphs: Glyphs, papers: Papers, rng: Rng, label: str | None = None, ordinary: float = ORDINARY
) -> tuple[Gray, str]:
    """One number and its digits alone: none is struck out, and marks around them are not told."""
    text = draw_label(Dice(rng)) if label is None else label
    return compose(glyphs, papers, rng, text, ordinary)[0], text


def _cut_out(page: marks.Strip, hand: Hand, dice: Dice, in_cells: bool) -> tuple[Plane, Plane]:
    """What is seen of the page, after it was laid askew: ink and print."""
    edge = round(1.5 * hand.body)
    last = max(page.x1, round(page.start + page.cells[0] * page.cells[1]))
    x0, x1 = max(min(page.x0, page.start) - edge, 0), min(last + edge, page.ink.shape[1])
    ink, print_ = page.ink[:, x0:x1], page.print[:, x0:x1]
    page.x0, page.x1, page.start = page.x0 - x0, page.x1 - x0, page.start - x0
    if dice.random() < 0.5:
        ink, print_ = paper.tilt([ink, print_], dice)
    x0, y0, x1, y1 = marks.crop_box(ink, page, hand.body, dice, in_cells)
    ink, print_ = (np.ascontiguousarray(plane[y0:y1, x0:x1]) for plane in (ink, print_))
    chance, spare = dice.random(), 0.0
    if chance < 0.1:  # as high as a third to two thirds of a field: a reader looks closely at what is smaller
        spare = len(ink) / dice.uniform(0.35, 0.7) - len(ink)
        top, left, right = (int(dice.random() * spare) for _ in range(3))
        room = (top, int(spare) - top, left, right)
    elif chance < 0.16:  # anywhere in a line
        spare = max(len(ink) * dice.uniform(2, 6) - ink.shape[1], 0.0)
        left = int(dice.random() * spare)
        room = (0, 0, left, int(spare) - left)
    if spare >= 1:
        # Printed rules go on to the sides of the line, unless a side lies on an upright one.
        goes_on = chance >= 0.1 and max(print_[:, 0].mean(), print_[:, -1].mean()) < 64
        ink = np.asarray(cv2.copyMakeBorder(ink, *room, cv2.BORDER_CONSTANT, value=(0,)), np.uint8)
        how = cv2.BORDER_REPLICATE if goes_on else cv2.BORDER_CONSTANT
        print_ = np.asarray(cv2.copyMakeBorder(print_, *room, how, value=(0,)), np.uint8)
    return ink, print_


def _slash(hand: Hand) -> float:
    """The slant beyond which a slash leans in this hand: no 1 leans so far."""
    return max(hand.slant, 0.0) + (hand.one or 0.0)


def _write_freely(
    page: marks.Strip, text: str, second: str, glyphs: Glyphs, hand: Hand, dice: Dice, may_strike: bool
) -> str:
    """Numbers in a row, with marks before, between and after them; gives what is written."""
    source = _source(glyphs, dice)
    written = marks.lead_in(page, text, hand.body, hand.pen, dice) if text or dice.random() < 0.3 else ""
    if not text:
        page.x1 += round(dice.uniform(0.2, 5) * hand.body)
    if may_strike and text and not second and dice.random() < 0.06:
        written += _strike(page, text, glyphs, hand, dice, source)
        if dice.random() < 0.5:
            return written
        wide = dice.uniform(0.1, 2.0)
        page.x1 += round(wide * hand.body)
        written += " " if wide > 1.2 else ""
        text = draw_label(dice)[:4]
    written += _digits(page, text, glyphs, hand, dice, source)
    if second:
        page.x1 += round(dice.uniform(1.25, 5) * hand.body)
        if dice.random() < 0.3:
            x = page.x1 - dice.uniform(0.4, 0.8) * hand.body
            marks.draw(page.print, [(x, 0), (x, page.print.shape[0])], dice.uniform(1, 3), dice.uniform(0.4, 1.0))
        written += " " + _digits(page, second, glyphs, hand, dice, source)
    if text:
        written += marks.trail(page, second or text, hand.body, hand.pen, _slash(hand), dice)
        if len(glyphs.letters) and dice.random() < 0.025:
            written += _letters(page, glyphs, hand, dice)
    return written


def _digits(
    page: marks.Strip, text: str, glyphs: Glyphs, hand: Hand, dice: Dice, source: int, marked: bool = True
) -> str:
    """The digits of `text` on the page, most from one source of glyphs, a repeated digit mostly written alike."""
    own: dict[str, int] = {}
    zeros, zeros_size = _linked_zeros(text, dice)
    chained = zeros if dice.random() < 0.3 else 0
    written, before = "", 0
    uneven = dice.random() < 0.06  # the pen is pressed less for some digits
    for at, symbol in enumerate(text):
        row = _glyph(glyphs, source, symbol, own, dice)
        size = float(np.exp(hand.trend * at / max(len(text) - 1, 1)))
        linked = at >= len(text) - zeros
        one = hand.one if symbol == "1" else None
        stroke = _render(glyphs, row, hand, dice, size * (zeros_size if linked else 1.0), one)
        if uneven and dice.random() < 0.4:
            stroke = np.asarray(cv2.convertScaleAbs(stroke, alpha=dice.uniform(0.35, 0.8)), np.uint8)
        down = dice.normal(0, hand.drift) * hand.body + (dice.uniform(-0.1, 0.3) * hand.body if linked else 0)
        gap = dice.normal(hand.gap, hand.gap_spread) * hand.body
        overlap = None
        if dice.random() < (0.5 if linked else hand.touch) and written[-1:] not in marks.MARKS:
            # Most only meet; of some the strokes cross, up to a fifth of a digit's height deep.
            # A narrow stroke must not vanish in the digit before it, nor in the one after it.
            deep = dice.uniform(0, 0.2) * hand.body if dice.random() < 0.3 else 0
            overlap = min(0.3 * abs(gap) + deep, 0.3 * min(stroke.shape[1], before))
        page.append(stroke, gap, down, overlap)
        before = stroke.shape[1]
        written += symbol
        if at + 1 == len(text):
            break
        if chained and at + 1 == len(text) - chained:
            down = dice.uniform(-0.1, 0.3) * hand.body
            chain = marks.zeros(chained, zeros_size * hand.body, hand.pen * hand.body, hand.slant, dice)
            page.append(chain, gap, down)
            return written + "0" * chained
        if linked and dice.random() < 0.5:
            marks.join(page, hand.body * zeros_size, hand.pen, down, dice)
        elif dice.random() < hand.running:
            marks.run_on(page, hand.body, hand.pen, down, dice)
        elif marked:
            written += marks.between(page, hand.body, hand.pen, _slash(hand), dice, len(text) - at - 1)
    return written


def _glyph(glyphs: Glyphs, source: int, symbol: str, own: dict[str, int], dice: Dice) -> int:
    if symbol not in own or dice.random() < 0.35:
        if source not in glyphs.writers and dice.random() < 0.3:
            source = _source(glyphs, dice)
        choices = glyphs.rows[source, int(symbol)]
        own[symbol] = int(choices[dice.below(len(choices))])
    return own[symbol]


def _strike(page: marks.Strip, text: str, glyphs: Glyphs, hand: Hand, dice: Dice, source: int) -> str:
    """A number, or only its last digits, struck out."""
    kept = dice.below(len(text)) if dice.random() < 0.15 else 0
    _digits(page, text[:kept], glyphs, hand, dice, source, marked=False)
    from_ = page.x1 if kept else page.start
    _digits(page, text[kept:], glyphs, hand, dice, source, marked=False)
    marks.strike(page, from_, page.x1, hand.body, max(hand.pen, 0.05), dice)
    return text[:kept] + "X" * (len(text) - kept)


def _letters(page: marks.Strip, glyphs: Glyphs, hand: Hand, dice: Dice) -> str:
    """One to three letters by hand, such as a unit."""
    count = 1 + dice.below(3)
    page.x1 += round(dice.uniform(0.0, 0.6) * hand.body)
    for _ in range(count):
        row = int(glyphs.letters[dice.below(len(glyphs.letters))])
        page.append(_render(glyphs, row, hand, dice, dice.uniform(0.6, 1.0)), 0.15 * hand.body, 0.1 * hand.body)
    return "$" * count


def _linked_zeros(text: str, dice: Dice) -> tuple[int, float]:
    """How many zeros at the end are written in one go, as on round amounts, and how large: smaller than the rest."""
    zeros = len(text) - len(text.rstrip("0"))
    return (min(zeros, 6), dice.uniform(0.4, 0.9)) if zeros > 1 and dice.random() < 0.5 else (0, 1.0)


def _fill_cells(page: marks.Strip, text: str, glyphs: Glyphs, hand: Hand, dice: Dice, may_strike: bool) -> str:
    """A digit in each cell; unused cells, mostly before the number, hold a mark or nothing. Gives what is written."""
    source = _source(glyphs, dice)
    own: dict[str, int] = {}
    spare = 1 + dice.below(3) if dice.random() < 0.6 or not text else 0
    pitch = hand.body * (dice.uniform(0.85, 1.3) if dice.random() < 0.5 else dice.uniform(1.2, 2.6))
    page.cells = (spare + len(text), pitch)
    mark = _cell_mark(dice) if dice.random() < 0.75 else None
    unused, before = "", dice.random() < 0.93
    for i in range(spare):
        unused += _mark_cell(page, mark, glyphs, hand, dice, i + (0 if before else len(text)), pitch)
    if mark is None and not text and dice.random() < 0.3:
        length = spare * pitch * dice.uniform(0.6, 1.1)
        unused = marks.dash(page, page.start, length, hand.body, hand.pen, dice)
    struck = dice.below(len(text)) if text and may_strike and dice.random() < 0.02 else -1
    written = ""
    for at, symbol in enumerate(text):
        one = hand.one if symbol == "1" else None
        stroke = _render(glyphs, _glyph(glyphs, source, symbol, own, dice), hand, dice, one=one)
        x = _centre(page, hand, dice, at + (spare if before else 0), pitch) - stroke.shape[1] / 2
        page.put(stroke, round(x), dice.normal(0, hand.drift + 0.03) * hand.body)
        if at == struck:
            marks.strike(page, x, x + stroke.shape[1], hand.body, max(hand.pen, 0.05), dice)
        written += "X" if at == struck else symbol
    return unused + written if before else written + unused


def _cell_mark(dice: Dice) -> str:
    """What a hand puts in cells that are not used: mostly a cross."""
    chance = dice.random()
    kinds = ((0.55, "X"), (0.7, "-"), (0.75, "/"), (0.8, ","), (0.85, "star"), (0.9, "zero"), (0.95, "wave"))
    return next((kind for share, kind in kinds if chance < share), "loop")


def _centre(page: marks.Strip, hand: Hand, dice: Dice, at: int, pitch: float) -> float:
    return page.start + (at + 0.5) * pitch + dice.normal(0, 0.07) * pitch


def _mark_cell(
    page: marks.Strip, mark: str | None, glyphs: Glyphs, hand: Hand, dice: Dice, at: int, pitch: float
) -> str:
    """A mark in cell number `at`; gives its symbol."""
    if mark is None:
        return ""
    x, body, pen = _centre(page, hand, dice, at, pitch), hand.body, hand.pen
    if mark == "-":
        length = dice.uniform(0.3, 0.9) * min(pitch, 1.5 * body)
        return marks.dash(page, x - length / 2, length, body, pen, dice)
    if mark == "/":
        marks.slash(page, x - 0.5 * body, body, pen, _slash(hand) + 0.25, dice)
        return "/"
    if mark == ",":
        marks.dot(page, x, dice.uniform(-0.1, 0.4) * body, body, pen, dice)
        return ","
    bank = _unused(mark)
    stroke = _render(bank, dice.below(len(bank.maps)), hand, dice, dice.uniform(0.4, 1.1))
    page.put(stroke, round(x - stroke.shape[1] / 2), dice.normal(0, hand.drift + 0.03) * body)
    return "X"


@lru_cache
def _unused(mark: str) -> Glyphs:
    """Crosses, stars, struck zeros, waves or loops."""
    rng = np.random.default_rng(5)
    make = augment.crossing if mark == "X" else lambda r: augment.filler(mark, r)
    maps = np.stack([augment.pack(make(rng)) for _ in range(300 if mark == "X" else 60)])
    return make_glyphs(maps, np.full(len(maps), -1), [len(maps)], [1.0])


def _source(glyphs: Glyphs, dice: Dice) -> int:
    at = dice.random() * glyphs.shares[-1]
    return next(i for i, share in enumerate(glyphs.shares) if at <= share)


def _render(glyphs: Glyphs, row: int, hand: Hand, dice: Dice, size: float = 1.0, one: float | None = None) -> Plane:
    """The map drawn with the hand's pen at its size and slant, bent a little: coverage (h, w) uint8, cut tight.

    one: what it leans beyond the hand's slant, after its own slant was taken out; the further, the longer it may be.
    """
    longer = dice.uniform(1.0, 1.0 + 0.7 * one) if one else 1.0
    scale = longer * size * hand.body / _BODY * float(np.exp(dice.normal(0, hand.uneven)))
    loose = 0.05 if one is None else 0.015
    sx, slant, turn = scale * hand.squeeze, (hand.slant + dice.normal(0, loose)) * scale, dice.normal(0, 0.05) * scale
    slant += 0.0 if one is None else one * scale - _lean(glyphs.maps[row]) * sx
    first, last = glyphs.spans[row].tolist()
    w, h = int((last - first) * sx + abs(slant) * 40) + 6, int(_MAP * scale) + 6
    across, down = (first + last) / 2, _MAP / 2
    matrix = np.array(
        [[sx, -slant, w / 2 - sx * across + slant * down], [turn, scale, h / 2 - turn * across - scale * down]]
    )
    map_ = glyphs.maps[row]
    if dice.random() < 0.5:
        map_ = cv2.remap(map_, *_waves()[dice.below(_WAVES)], cv2.INTER_LINEAR)
    laid = cv2.warpAffine(map_, matrix, (w, h))
    own = float(glyphs.halves[row]) * scale
    half = max(0.5 * hand.pen * hand.body, 0.7)
    widen = max(half - own, -0.3 * own)  # thinner, and the thin parts of a stroke would vanish
    steep = 255 * scale / (20 * hand.soft)
    cover = cv2.addWeighted(laid, steep, laid, 0.0, 255 * (widen / hand.soft + 0.5) - 128 * steep)
    x, y, w, h = cv2.boundingRect(cv2.threshold(cover, 25, 255, cv2.THRESH_BINARY)[1])
    return np.asarray(cover[y : y + h, x : x + w], np.uint8) if w else np.zeros((1, 1), np.uint8)


def _lean(map_: Gray) -> float:
    """How far a stroke's top is right of its foot, in its heights, by its moments."""
    found = cv2.moments(cv2.threshold(map_, 128, 1, cv2.THRESH_BINARY)[1])
    return -found["mu11"] / max(found["mu02"], 1e-6)


_WAVES = 400


@lru_cache
def _waves() -> list[tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]]:
    """Smooth random displacements of a map by up to some pixels, as `cv2.remap` takes them: other loops and feet."""
    rng = np.random.default_rng(6)
    axis = np.arange(_MAP, dtype=np.float32)
    made = []
    for _ in range(_WAVES):
        deep = rng.uniform(0.6, 2.6)
        wave = cv2.resize(
            rng.normal(0, deep, (3, 3, 2)).astype(np.float32), (_MAP, _MAP), interpolation=cv2.INTER_CUBIC
        )
        whole, parts = cv2.convertMaps(axis[None] + wave[..., 0], axis[:, None] + wave[..., 1], cv2.CV_16SC2)
        made.append((np.asarray(whole, np.int16), np.asarray(parts, np.uint16)))
    return made


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


def encode(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Labels as (N, longest) int64, the place of each symbol in `SYMBOLS`, -1 where a label has ended."""
    out = np.full((len(labels), max(map(len, labels), default=1)), -1, np.int64)
    for row, label in zip(out, labels, strict=True):
        row[: len(label)] = [SYMBOLS.index(c) for c in label]
    return out


def epoch(
    glyphs: Glyphs,
    papers: Papers,
    count: int,
    seed: Sequence[int],
    frame: Reframing,
    marked: bool = False,
    ordinary: float = ORDINARY,
) -> tuple[Lines, npt.NDArray[np.int64]]:
    """`count` numbers framed for a recogniser, and their digits as `encode` gives them; marked: their marks too.

    ordinary: see `compose`.
    """
    rng, make = np.random.default_rng(list(seed)), compose if marked else compose_digits
    made = [make(glyphs, papers, rng, ordinary=ordinary) for _ in range(count)]
    return Lines([frame(picture) for picture, _ in made]), encode([label for _, label in made])
