"""Numbers with something beside them that is no digit of theirs: what is read right, and what wrong in silence.

    python benchmarks/marks.py [--count 200] [--seed 1] [--fit] [--out docs/results/marks.md]

Numbers are composed of UNIPEN's digits, which nothing is trained on, and of straight 1s drawn as one stroke. --fit:
print the log odds of a border (`_ODDS` of `inkshift.forms.cut.borders`), of a gap (`_GAPS` and `_LONE` of
`inkshift.forms.field.signs`) and of a line that takes a digit back (`_BACK` of its `struck`) instead.
Needs $INKSHIFT_DATA, or ../shared/data.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache, partial

import cv2
import numpy as np
import numpy.typing as npt

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.forms.cut import borders, cutout, segment
from inkshift.forms.cut import ink as inks
from inkshift.forms.field import signs
from inkshift.forms.field import struck as struck_out
from printed import options, show

Plane = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]
Rng = np.random.Generator
# A picture, and what is read where it is read right; None where no number is.
Case = tuple[Gray, str | None]


@cache
def glyphs() -> dict[str, list[Gray]]:
    data = catalog.load("unipen62", "train")
    rows = {digit: np.flatnonzero(data.labels == digit) for digit in "0123456789"}
    return {digit: [np.asarray(data.images[int(row)]) for row in own] for digit, own in rows.items()}


def stroke(high: float, lean: float, pen: float) -> Plane:
    """A straight 1: light on black, 0 to 1. lean: how far its head is to the right, in heights."""
    h, over = max(4, round(high)), abs(lean) * high / 2
    plane = np.zeros((h, round(2 * over + pen) + 3), np.uint8)
    middle, end, way = plane.shape[1] / 2 - 0.5, pen / 2, np.sign(lean)
    line(plane, (middle + way * over, end), (middle - way * over, h - 1 - end), pen)
    return plane / 255.0


def line(plane: npt.NDArray[np.generic], start: tuple[float, float], end: tuple[float, float], pen: float) -> None:
    a, b = ((round(16 * x), round(16 * y)) for x, y in (start, end))
    cv2.line(plane, a, b, (255 if plane.dtype == np.uint8 else 1.0,), max(1, round(pen)), cv2.LINE_AA, 4)


def glyph(digit: str, body: float, pen: float, rng: Rng) -> Plane:
    """A digit about `body` pixels high, tightly cut: light on black, 0 to 1."""
    shape = glyphs()[digit][int(rng.integers(len(glyphs()[digit])))] > 0
    x, y, w, h = cv2.boundingRect(shape.view(np.uint8))
    factor = body * rng.uniform(0.88, 1.08) / max(h, 0.6 * w)
    size = max(2, round(w * factor)), max(2, round(h * factor))
    small = cv2.resize(shape[y : y + h, x : x + w].view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    small = cv2.copyMakeBorder(small, 6, 6, 6, 6, cv2.BORDER_CONSTANT)
    away = cv2.distanceTransform((small < 90).view(np.uint8), cv2.DIST_L2, 5)
    own = max(1.2, 3.2 * factor)  # UNIPEN's strokes are about so thick here
    return _tight(np.clip((pen - own) / 2 + 1 - away, 0, 1) if pen > own else small / 255.0)


def _tight(plane: Plane) -> Plane:
    rows, columns = np.flatnonzero(plane.max(1) > 0.1), np.flatnonzero(plane.max(0) > 0.1)
    return plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def written(text: str, rng: Rng, body: float, pen: float, gaps: list[float] | None = None) -> Plane:
    """A number, tightly cut. gaps: between its digits, in heights; about even if not given."""
    straight, usual = rng.random() < 0.6, rng.uniform(0.08, 0.35)
    between = [usual * rng.uniform(0.6, 1.4) for _ in text[1:]] if gaps is None else gaps
    plane, x = np.zeros((round(1.6 * body), round((2.2 * len(text) + sum(between)) * body))), 0
    for k, digit in enumerate(text):
        one = digit == "1" and straight
        part = (
            stroke(body * rng.uniform(0.9, 1.15), rng.uniform(-0.02, 0.12), pen)
            if one
            else glyph(digit, body, pen, rng)
        )
        y = int(np.clip((len(plane) - len(part)) / 2 + rng.normal(0, 0.06) * body, 0, len(plane) - len(part)))
        x += max(1, round(between[k - 1] * body)) if k else 0
        place = plane[y : y + len(part), x : x + part.shape[1]]
        np.maximum(place, part, out=place)
        x += part.shape[1]
    return _tight(plane)


def framed(plane: Plane, top: float, bottom: float, left: float, right: float) -> Plane:
    return np.pad(plane, ((round(top), round(bottom)), (round(left), round(right))))


def beside(*planes: Plane) -> Plane:
    """Planes side by side, their middles level."""
    high = max(map(len, planes))
    return np.hstack([framed(p, (high - len(p)) // 2, high - len(p) - (high - len(p)) // 2, 0, 0) for p in planes])


def scanned(ink: Plane, rng: Rng, level: float | None = None, print_: Plane | None = None, shade: float = 0) -> Gray:
    """Ink, and print of another shade, on paper."""
    paper, level = rng.uniform(205, 250), rng.uniform(90, 200) if level is None else level
    dark = ink * min(level, paper - 10)
    if print_ is not None:
        dark = np.maximum(dark, print_ * min(shade, paper - 10))
    page = cv2.GaussianBlur(paper - dark, (0, 0), max(0.2, rng.uniform(0, 0.9)))
    return np.clip(page + rng.normal(0, rng.uniform(0.5, 4), page.shape), 0, 255).astype(np.uint8)


def hand(rng: Rng) -> tuple[float, float]:
    """Height of a hand's digits, and width of its pen, in pixels."""
    body = rng.uniform(22, 64)
    return body, rng.uniform(2, 0.11 * body + 1)


def label(rng: Rng, least: int = 1, most: int = 4, digits: str = "0123456789") -> str:
    return "".join(rng.choice(list(digits), int(rng.integers(least, most + 1))))


def bordered(rng: Rng, near: float, far: float) -> Case:
    """A number beside an upright border, which is so far from the crop's side, in heights; level rules may meet it.

    Rules are printed a tenth to a third of a millimetre thick, and pens write about half of one.
    """
    text, (body, pen) = label(rng), hand(rng)
    top, bottom, outer, inner = body * rng.uniform((0.06, 0.06, 0.1, 0.1), (0.35, 0.35, 1.2, 0.6))
    number = framed(written(text, rng, body, pen), top, bottom, 0, 0)
    at_left = rng.random() < 0.5
    beyond = round(rng.uniform(near, far) * body) + 2
    print_ = np.zeros((len(number), round(outer) + number.shape[1] + round(inner) + beyond))
    x, lean = print_.shape[1] - beyond, rng.normal(0, 0.012) * len(print_)
    thin = rng.uniform(0.25, 0.9) if rng.random() < 0.7 else 1.0
    line(print_, (x - lean / 2, -1), (x + lean / 2, len(print_) + 1), thin * pen)
    for y, likely in ((len(print_) - 1 - rng.uniform(0, bottom / 2), 0.5), (rng.uniform(0, top / 2), 0.3)):
        if rng.random() < likely:
            line(print_, (0, y), (x, y), 1)
    print_ = print_[:, ::-1] if at_left else print_
    around = (beyond + round(inner), round(outer)) if at_left else (round(outer), beyond + round(inner))
    level = rng.uniform(100, 200)
    return scanned(framed(number, 0, 0, *around), rng, level, print_, level * rng.uniform(0.45, 1.05)), text


def with_one(rng: Rng, rows: tuple[float, float], sides: tuple[float, float]) -> Case:
    """A number that begins or ends with 1, framed with so much room, in heights."""
    text, (body, pen) = label(rng, 1, 3), hand(rng)
    text = "1" + text if rng.random() < 0.5 else text + "1"
    room = body * rng.uniform((rows[0], rows[0], sides[0], sides[0]), (rows[1], rows[1], sides[1], sides[1]))
    return on_lines(written(text, rng, body, pen), room, rng), text


def on_lines(number: Plane, room: npt.NDArray[np.float64], rng: Rng) -> Gray:
    """A number framed with so much room above, below, left and right; on some, level lines go from side to side, or
    are about as long as the number, and some of those end just where it does."""
    ink = framed(number, *room)
    print_, (top, bottom, left, right) = np.zeros(ink.shape), room
    for y, likely in ((len(ink) - 1 - rng.uniform(0, bottom / 2), 0.3), (rng.uniform(0, top / 2), 0.2)):
        if rng.random() < likely:
            below = rng.random() < 0.3
            over = (rng.uniform(-0.1, 0.3, 2) if rng.random() < 0.5 else rng.normal(0, 0.03, 2)) * len(number)
            ends = (left - over[0], ink.shape[1] - right + over[1]) if below else (0, ink.shape[1])
            line(print_, (ends[0], y), (ends[1], y), 1)
    level = rng.uniform(90, 200)
    return scanned(ink, rng, level, print_, level * rng.uniform(0.45, 1.05))


def with_tall_one(rng: Rng, rows: tuple[float, float], sides: tuple[float, float]) -> Case:
    """As `with_one`, the 1 a straight stroke and up to a third higher than the other digits."""
    text, (body, pen) = label(rng, 1, 3, "023456789"), hand(rng)
    one = stroke(body * rng.uniform(1, 1.35), rng.uniform(-0.02, 0.1), pen)
    parts = [one, np.zeros((1, round(body * rng.uniform(0.05, 0.4)))), written(text, rng, body, pen)]
    first = rng.random() < 0.5
    room = body * rng.uniform((rows[0], rows[0], sides[0], sides[0]), (rows[1], rows[1], sides[1], sides[1]))
    return on_lines(beside(*(parts if first else parts[::-1])), room, rng), "1" + text if first else text + "1"


def hand_gaps(rng: Rng, count: int) -> tuple[list[float], float]:
    """Gaps within a number, in heights, and about how wide they are; a few people write far apart."""
    kind = rng.random()
    usual = rng.uniform(0.5, 0.95) if kind < 0.05 else rng.uniform(0.12, 0.6) if kind < 0.35 else rng.uniform(0, 0.22)
    return [max(0.02, float(gap)) for gap in rng.normal(usual, rng.uniform(0.02, 0.12), count)], usual


def spaced(rng: Rng, gaps: Callable[[Rng, int], list[float]], two: bool) -> Case:
    """A number with such gaps, in heights; or two, so that nothing is right."""
    text, (body, pen) = label(rng, 2, 6), hand(rng)
    number = written(text, rng, body, pen, gaps(rng, len(text) - 1))
    return scanned(framed(number, *(body * rng.uniform(0.05, 0.4, 4))), rng), None if two else text


def in_step(rng: Rng) -> Case:
    """A number whose digits stand in cells that are not seen: their middles, and not their gaps, are as far apart."""
    text, (body, pen) = label(rng, 2, 6), hand(rng)
    pitch, high = rng.uniform(1.0, 3.5) * body, round(1.6 * body)
    cells = []
    for digit in text:
        part = glyph(digit, rng.uniform(0.8, 1.0) * body, pen, rng)[:high]
        room = max(round(pitch), part.shape[1]) - part.shape[1]
        x, y = int(np.clip(room / 2 + rng.normal(0, 0.06) * pitch, 0, room)), (high - len(part)) // 2
        cells.append(np.pad(part, ((y, high - len(part) - y), (x, room - x))))
    return scanned(framed(np.hstack(cells), *(body * rng.uniform(0.05, 0.4, 4))), rng), text


def parted(rng: Rng, count: int, apart: tuple[float, float]) -> list[float]:
    """Gaps of two numbers: one of them so wide, and wider than the others."""
    gaps, usual = hand_gaps(rng, count)
    gaps[int(rng.integers(count))] = max(rng.uniform(*apart), usual + 0.2)
    return gaps


def even(rng: Rng, count: int, usual: tuple[float, float]) -> list[float]:
    return [max(0.02, float(gap)) for gap in rng.normal(rng.uniform(*usual), rng.uniform(0.02, 0.12), count)]


def closed(rng: Rng, close: str, leads: bool = False, long: tuple[float, float] = (0.3, 0.8)) -> Case:
    """A number with a stroke behind it, as people close an amount, or before it, where it is a minus and not read, or
    too long for one.

    close: "-", "=" or "/-". long: of the stroke, in heights.
    """
    text, (body, pen) = label(rng, 1, 4), hand(rng)
    number, minus, long_ = written(text, rng, body, pen), long[1] < 1, body * rng.uniform(*long)
    mark = np.zeros((max(8, round(0.5 * body)), round(long_) + 2))
    for share in (0.3, 0.8) if close == "=" else (0.5,):
        rise = rng.normal(0, 0.04) * body
        line(mark, (1, share * len(mark) - rise), (long_, share * len(mark) + rise), pen)
    parts = [number, np.zeros((1, round(body * rng.uniform(0.1, 0.5)))), mark]
    if close == "/-":
        parts[2:2] = [stroke(body * rng.uniform(1.3, 1.6), rng.uniform(0.35, 0.5), pen), np.zeros((1, 3))]
    whole = beside(*(parts[::-1] if leads else parts))
    return scanned(framed(whole, *(body * rng.uniform(0.05, 0.4, 4))), rng), None if leads and minus else text


def fraction(rng: Rng) -> Case:
    """One digit over another with a stroke between them: no number."""
    body, pen = hand(rng)
    above, below = (written(label(rng, 1, 1), rng, 0.6 * body, min(pen, 0.08 * body)) for _ in range(2))
    wide = round(max(above.shape[1], below.shape[1]) * rng.uniform(1.0, 1.5))
    bar = np.zeros((round(body * rng.uniform(0.15, 0.4)), wide))
    rise = rng.uniform(-0.1, 0.3) * body if len(bar) > 0.25 * body else 0.0
    line(bar, (1, (len(bar) + rise) / 2), (wide - 2, (len(bar) - rise) / 2), min(pen, 0.08 * body))
    rows = [
        np.pad(p, ((0, 0), ((wide - p.shape[1]) // 2, wide - p.shape[1] - (wide - p.shape[1]) // 2)))
        for p in (above, bar, below)
    ]
    return scanned(framed(np.vstack(rows), *(body * rng.uniform(0.05, 0.4, 4))), rng), None


def in_cells(rng: Rng, strike: bool) -> Case:
    """A number in printed cells, a digit to each; a stroke of the pen through one of them, so that nothing is right."""
    count, (body, pen) = int(rng.integers(2, 5)), hand(rng)
    text, (w, h) = label(rng, count, count), (round(1.5 * body), round(1.6 * body))
    ink, print_ = np.zeros((h, count * w)), np.zeros((h + 12, count * w + 12))
    struck = int(rng.integers(count)) if strike else -1
    for k, digit in enumerate(text):
        part = glyph(digit, rng.uniform(0.8, 1.0) * body, pen, rng)
        y, x = (h - len(part)) // 2, k * w + max(1, (w - part.shape[1]) // 2)
        part = part[:, : w - 2]
        place = ink[y : y + len(part), x : x + part.shape[1]]
        np.maximum(place, part, out=place)
        if k == struck:
            out, (rise, mid) = (
                rng.uniform(0.05, 0.25) * body,
                rng.uniform((-0.5, 0.35), (0.5, 0.65)) * (body, len(part)),
            )
            line(ink, (x - out, y + mid + rise), (x + part.shape[1] + out, y + mid - rise), pen)
    for k in range(count + 1):
        line(print_, (6 + k * w, 6), (6 + k * w, 6 + h), 1.5)
    for y in (6, 6 + h):
        line(print_, (6, y), (6 + count * w, y), 1.5)
    return scanned(np.pad(ink, 6), rng, 150, print_, 110), None if strike else text


def through_digit(rng: Rng, strike: bool) -> Gray:
    """The ink of a digit, tightly cut, with a line of any lean through its middle that goes beyond it, or none."""
    body, pen = hand(rng)
    part = glyph(str(rng.integers(10)), body * rng.uniform(0.8, 1), pen, rng)
    (h, w), room = part.shape, round(0.8 * body)
    plane = np.pad(part, room)
    if strike:
        lean = np.radians(rng.uniform(-78, 78))
        way = np.array([np.cos(lean), np.sin(lean)])
        middle = np.array([room + w / 2, room + h * rng.uniform(0.38, 0.62)])
        ends = min(w / 2 / abs(way[0]), h / 2 / max(abs(way[1]), 1e-3)) + rng.uniform(0.05, 0.3, 2) * body
        start, end = middle - ends[0] * way, middle + ends[1] * way
        line(plane, (start[0], start[1]), (end[0], end[1]), pen)
    return (_tight(plane) * 255 * (_tight(plane) > 0.28)).astype(np.uint8)


IN_STEP = 0.4  # share of the numbers whose digits stand in cells that are not seen
TIGHT, SOME, WIDE = (0.0, 0.03), (0.03, 0.2), (0.1, 1.2)
BORDERS: dict[str, Callable[[Rng], Case]] = {
    "a border 0 to 0.15 heights from the side": partial(bordered, near=0, far=0.15),
    "a border 0.15 to 0.4 from the side": partial(bordered, near=0.15, far=0.4),
    "a border 0.4 to 1.2 from the side": partial(bordered, near=0.4, far=1.2),
}
ONES: dict[str, Callable[[Rng], Case]] = {
    "1 at an end, framed tightly": partial(with_one, rows=TIGHT, sides=TIGHT),
    "1 at an end, framed with room": partial(with_one, rows=SOME, sides=SOME),
    "1 at an end, room at the sides": partial(with_one, rows=TIGHT, sides=WIDE),
    "high 1 at an end, framed tightly": partial(with_tall_one, rows=TIGHT, sides=TIGHT),
    "high 1 at an end, framed with room": partial(with_tall_one, rows=SOME, sides=SOME),
    "high 1 at an end, room at the sides": partial(with_tall_one, rows=TIGHT, sides=WIDE),
}
APART: dict[str, Callable[[Rng], Case]] = {
    f"two numbers {a} to {b} heights apart": partial(spaced, gaps=partial(parted, apart=(a, b)), two=True)
    for a, b in ((0.4, 0.6), (0.6, 0.8), (0.8, 1.3))
}
TOGETHER: dict[str, Callable[[Rng], Case]] = {
    f"one number, its digits {a} to {b} heights apart": partial(spaced, gaps=partial(even, usual=(a, b)), two=False)
    for a, b in ((0.0, 0.22), (0.2, 0.6), (0.5, 0.95))
} | {"one number, its digits in cells that are not seen": in_step}
BESIDE: dict[str, Callable[[Rng], Case]] = {
    "a dash behind": partial(closed, close="-"),
    "two dashes behind": partial(closed, close="="),
    "a slash and a dash behind": partial(closed, close="/-"),
    "a dash before (a minus)": partial(closed, close="-", leads=True),
    "a long stroke before (a filler)": partial(closed, close="-", leads=True, long=(1.4, 4.0)),
    "one digit over another": fraction,
    "cells": partial(in_cells, strike=False),
    "cells, a stroke through the digit of one": partial(in_cells, strike=True),
}
KINDS = BORDERS | ONES | APART | TOGETHER | BESIDE


def cases(kind: str, count: int, seed: int) -> Iterator[Case]:
    number = list(KINDS).index(kind)
    for n in range(count):
        yield KINDS[kind](np.random.default_rng([seed, number, n]))


def fit(count: int, seed: int) -> Iterator[str]:
    """The log odds of a border against a 1, and of a gap between numbers against one within, both as often."""
    measured, border = [], []
    for kind in BORDERS | ONES:
        for picture, _ in cases(kind, count, seed):
            dark = inks.darkness(picture)
            found = borders.upright_lines(dark, borders.from_edges(dark, upright=False))
            measured += [one.measured for one in found if one is not None]
            border += [kind in BORDERS] * (len(measured) - len(border))
    yield f"_ODDS = {odds(measured, border)}  # {sum(border)} borders of {len(border)} lines"
    measured_gaps: list[tuple[float, ...]] = []
    parting = []
    for n in range(4 * count):
        rng, two = np.random.default_rng([seed, n]), n % 2 == 0
        how = partial(parted, apart=(0.45, 1.3)) if two else lambda rng, count: hand_gaps(rng, count)[0]
        picture, _ = in_step(rng) if not two and rng.random() < IN_STEP else spaced(rng, how, two)
        ink = cutout.number_ink(cutout.as_job(picture, "1", "number", (1, 8)))
        parts = signs.number_of(ink, segment.components(ink)[1])
        widths, steps, _ = signs.gap_widths(parts[0], parts[2]) if parts else ([], [], [])
        if len(widths) > 1:
            measured_gaps.append(signs.gap_measures(widths, steps, int(np.argmax(widths))))
            parting.append(two)
    yield f"_GAPS = {odds(measured_gaps, parting)}"
    back = [(through_digit(np.random.default_rng([seed, n]), n % 2 == 0), n % 2 == 0) for n in range(10 * count)]
    lines_ = [(found, struck) for ink, struck in back if (found := struck_out.line_measures(ink)) is not None]
    yield f"_BACK = {odds([found for found, _ in lines_], [struck for _, struck in lines_])}  # {len(lines_)} lines"


def odds(values: list[tuple[float, ...]], yes: list[bool]) -> tuple[float, ...]:
    """What is fitted: a constant, and a weight for each value."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=10, class_weight="balanced").fit(np.array(values), yes)
    return tuple(round(float(v), 1) for v in (*fitted.intercept_, *fitted.coef_[0]))


def lines(given: argparse.Namespace) -> Iterator[str]:
    if given.fit:
        yield from fit(given.count, given.seed)
        return
    reader = Reader(read_as="number")
    yield "# What stands beside a number\n"
    yield f"Printed by `python benchmarks/marks.py --count {given.count} --seed {given.seed}` on {machine()}."
    yield f"{given.count} numbers of each kind, composed of UNIPEN's digits, which are in no training set.\n"
    yield "| what | right | right above 0.9 | wrong above 0.9 | named |"
    yield "|---|---|---|---|---|"
    for kind in given.kinds or KINDS:
        fields = [(reader.read_page(picture).fields[0], text) for picture, text in cases(kind, given.count, given.seed)]
        right = [text is not None and field.value == text for field, text in fields]
        sure = [field.confidence > 0.9 and field.value != "" and "X" not in field.written for field, _ in fields]
        yield (
            f"| {kind} | {np.mean(right):.1%} | {np.mean([r and s for r, s in zip(right, sure, strict=True)]):.1%} | "
            f"{sum(s and not r for r, s in zip(right, sure, strict=True))} | "
            f"{np.mean([bool(field.marks) for field, _ in fields]):.1%} |"
        )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many of each kind")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true", help="print log odds instead")
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
