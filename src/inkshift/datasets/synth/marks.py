"""What stands around a hand-written number: marks that are read, and lines and ink that are nothing.

A mark is labelled with one symbol: `,` a decimal point or comma on the foot line, `-` a dash, minus or equals sign,
`/` a slash or bar, `%`, `$` currency and any other sign or letter, `X` a cell that is crossed out or a digit that is
struck out, and a space for a gap between two numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets.synth.augment import Dice, spline
from inkshift.datasets.synth.paper import Plane

MARKS = ",-/%$X "
_FAR = 1 << 14
Points = npt.NDArray[np.float64] | Sequence[tuple[float, float]]


@dataclass(slots=True)
class Strip:
    """A strip of paper that a number is being written on.

    ink, print: (H, W) uint8 coverage, 255 full. middle: row of the digits' middles. start: first column to write in.
    right: (H,) for each row the column after its last ink, but that of the strokes in `last`, with column and depth.
    x0, x1: columns of what is written so far, marks included. cells: number and width of boxes. box: their top
    and bottom.
    """

    ink: Plane
    print: Plane
    middle: int
    start: int
    right: npt.NDArray[np.int64]
    x0: int
    x1: int
    last: list[tuple[Plane, int, float]] = field(default_factory=list)
    cells: tuple[int, float] = (0, 0.0)
    box: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def blank(cls, body: float, digits: int) -> Strip:
        """A strip wide enough for `digits` digits `body` pixels high and what may stand beside them."""
        h, w = int(3.8 * body), int((digits * 1.75 + 12) * body)
        start = int(3.2 * body)
        ink, print_ = np.zeros((2, h, w), np.uint8)
        return cls(ink, print_, h // 2, start, np.full(h, -_FAR, np.int64), start, start)

    def lay(self, stroke: Plane, x: int, down: float) -> int:
        """Lay a stroke (h, w) on the page, its left side at column x, its middle `down` pixels below the line's, as no
        part of the number. Gives the column that it begins at."""
        w = stroke.shape[1]
        x = min(max(x, 0), self.ink.shape[1] - w)
        part = self.ink[self._rows(stroke, down), x : x + w]
        cv2.max(part, stroke, dst=part)
        return x

    def put(self, stroke: Plane, x: int, down: float) -> None:
        """As `lay`, but as part of what is written."""
        x = self.lay(stroke, x, down)
        self.x0, self.x1 = min(self.x0, x), max(self.x1, x + stroke.shape[1])

    def append(self, stroke: Plane, gap: float, down: float, overlap: float | None = None) -> tuple[int, int]:
        """Put a stroke after all that is there: `gap` pixels on, or `overlap` pixels into it from where the two meet.

        Gives its first column and the one after its last.
        """
        x = round(self.x1 + gap)
        if overlap is not None or gap < 2:
            meeting = self._meeting(stroke, down)
            x = max(x, meeting + 2) if overlap is None else meeting - 1 - int(overlap)
        x = min(max(x, self.start), self.ink.shape[1] - stroke.shape[1])
        self.put(stroke, x, down)
        self.last.append((stroke, x, down))
        return x, x + stroke.shape[1]

    def _meeting(self, stroke: Plane, down: float) -> int:
        """Where the left side of a stroke would lie if it met what is written before it."""
        for before, x, deep in self.last:
            rows, solid = self._rows(before, deep), before > 50
            solid[:, 0] = True  # so that an empty row ends at its beginning
            np.maximum(self.right[rows], x + before.shape[1] - solid[:, ::-1].argmax(1), out=self.right[rows])
        self.last.clear()
        solid = stroke > 50
        solid[:, -1] = True  # and begins at its end
        meeting = int((self.right[self._rows(stroke, down)] - solid.argmax(1)).max())
        return meeting if meeting > -_FAR // 2 else self.x1

    def _rows(self, stroke: Plane, down: float) -> slice:
        h = stroke.shape[0]
        y = min(max(round(self.middle - h / 2 + down), 0), self.ink.shape[0] - h)
        return slice(y, y + h)


def draw(plane: Plane, points: Points, width: float, level: float = 1.0) -> None:
    """A stroke through (N, 2) points x, y in pixels, `width` pixels wide, in place. level: 0 to 1, its coverage."""
    line = np.rint(np.asarray(points, np.float64) * 16).astype(np.int32)
    shade = int(255 * level * min(1.0, width + 0.3))
    cv2.polylines(plane, [line], False, (shade,), max(1, round(width)), cv2.LINE_AA, 4)


def curve(plane: Plane, points: Points, width: float) -> None:
    """As `draw`, smooth."""
    draw(plane, spline(np.asarray(points, np.float64), 5), width)


def dash(page: Strip, x: float, length: float, body: float, pen: float, dice: Dice, down: float = 0.0) -> str:
    """A dash from column x on, `down` pixels below the middle."""
    y = page.middle + down + dice.normal(0, 0.06) * body
    rise = dice.normal(0, 0.06) * body if dice.random() < 0.8 else dice.uniform(-0.15, 0.4) * min(length, body)
    curve(
        page.ink,
        [(x, y + dice.normal(0, 0.05) * body), (x + length / 2, y - rise / 2), (x + length, y - rise)],
        pen * body,
    )
    _reach(page, x, x + length)
    return "-"


def _equals(page: Strip, x: float, length: float, body: float, pen: float, dice: Dice, down: float) -> None:
    """Two dashes, one above the other, some in one stroke like a small z."""
    if dice.random() < 0.7:
        for side in (-0.12, 0.1):
            dash(page, x + dice.normal(0, 0.05) * body, length, body, pen, dice, down + side * body)
        return
    half = dice.uniform(0.08, 0.17) * body
    shape = np.array([[0, -half], [length, -half], [0.05 * length, half], [dice.uniform(0.8, 1.3) * length, half]])
    shape += [x, page.middle + down] + dice.rng.normal(0, 0.04 * body, shape.shape)
    (curve if dice.random() < 0.6 else draw)(page.ink, shape, pen * body)
    _reach(page, x, x + 1.1 * length)


def _reach(page: Strip, x0: float, x1: float) -> None:
    page.x0, page.x1 = min(page.x0, max(round(x0), 0)), max(page.x1, round(x1))


def lead_in(page: Strip, text: str, body: float, pen: float, dice: Dice) -> str:
    """What comes before the number `text`: mostly nothing; a minus, dashes, an equals sign, `$`, `#`, a dot, a printed
    word, or a line that leaves no room for another digit. Their symbols."""
    chance = dice.random()
    if chance > 0.3:
        return ""
    if chance > 0.27:
        length = dice.uniform(1.6, 3.5) * body
        return filling(page, page.start - length - _apart(text[:1], dice) * body, length, body, pen, dice)
    if chance > 0.26:
        word = _BEFORE[dice.below(len(_BEFORE))]
        printed(page, word, page.start - (0.5 * len(word) + dice.uniform(0.3, 1.0)) * body, body, dice)
        return "$" * len(word)
    close = dice.uniform(0.05, 0.25) if dice.random() < 0.4 else dice.uniform(0.2, 0.6)
    x = page.start - close * body
    length = dice.uniform(0.25, 1.2) * body
    if chance < 0.12:
        length = length if dice.random() < 0.5 else dice.uniform(0.25, 0.6) * body
        dash(page, x - length, length, body, pen, dice)
        symbol = "-"
    elif chance < 0.15:
        length = min(length, 0.6 * body)
        _equals(page, x - length, length, body, pen, dice, 0.0)
        symbol = "-"
    elif chance < 0.22:
        wide = 0.66 * body
        currency(page, x - wide, body, pen, dice)
        symbol = "$"
    else:
        dot(page, x - 0.1 * body, 0.4 * body, body, pen, dice)
        symbol = ","
    page.x1 = page.start
    return symbol


def currency(page: Strip, x: float, body: float, pen: float, dice: Dice) -> None:
    """A dollar sign, a number sign, a euro, pound or colon-like sign, by hand or printed; 0.6 of the body wide."""
    plane = page.ink if dice.random() < 0.6 else page.print
    half, width = 0.5 * body, pen * body
    top, mid = page.middle - half, page.middle
    kind = dice.random()
    _reach(page, x - 0.05 * body, x + 0.62 * body)
    if kind < 0.5:
        s = np.array([[0.9, 0.15], [0.4, 0.0], [0.1, 0.25], [0.5, 0.5], [0.9, 0.75], [0.5, 1.0], [0.05, 0.85]])
        curve(plane, s * [0.55 * body, body] + [x, top] + dice.rng.normal(0, 0.03 * body, s.shape), width)
        for shift in (0.22, 0.34)[: 1 + dice.below(2)]:
            at = x + shift * body
            draw(plane, [(at, top - 0.12 * body), (at, mid + 0.62 * body)], 0.8 * width)
    elif kind < 0.7:
        s = np.array([[0.55, 0.12], [0.3, 0.0], [0.08, 0.3], [0.08, 0.7], [0.3, 1.0], [0.58, 0.85]])
        curve(plane, s * body + [x, top] + dice.rng.normal(0, 0.03 * body, s.shape), width)
        for down in (0.4, 0.58):
            draw(plane, [(x - 0.05 * body, top + down * body), (x + 0.42 * body, top + down * body)], 0.8 * width)
    else:
        for shift in (0.15, 0.4):
            lean = 0.12 * body
            draw(plane, [(x + shift * body + lean, top), (x + shift * body - lean, top + body)], width)
            y = top + (shift + 0.2) * body
            draw(plane, [(x - 0.05 * body, y), (x + 0.6 * body, y - 0.02 * body)], width)


def printed(page: Strip, text: str, x: float, body: float, dice: Dice) -> None:
    """Printed letters from column x on, such as a unit after a field."""
    face = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)[dice.below(3)]
    high = dice.uniform(0.35, 0.8) * body
    scale, thick = high / 22, max(1, round(high / 14))
    (wide, _), _ = cv2.getTextSize(text, face, scale, thick)
    foot = page.middle + dice.uniform(0.3, 0.5) * body
    level = round(255 * dice.uniform(0.6, 1.0))
    cv2.putText(page.print, text, (round(x), round(foot)), face, scale, (level,), thick, cv2.LINE_AA)
    _reach(page, x, x + wide)


def percent(page: Strip, x: float, body: float, pen: float, dice: Dice) -> None:
    """A percent sign by hand."""
    size = dice.uniform(0.55, 1.0) * body
    top = page.middle + 0.5 * body - size + dice.normal(0, 0.06) * body
    ring = max(2, round(dice.uniform(0.12, 0.2) * size))
    width, wide = pen * body, dice.uniform(0.5, 0.85) * size
    draw(page.ink, [(x + wide, top), (x + dice.uniform(0, 0.15) * size, top + size)], width)
    for cx, cy in ((x + ring, top + 0.2 * size), (x + wide - 0.3 * ring, top + 0.82 * size)):
        middle, axes = (round(cx), round(cy)), (ring, max(2, round(ring * dice.uniform(0.8, 1.4))))
        cv2.ellipse(page.ink, middle, axes, 20, 0, 360, (255,), max(1, round(0.9 * width)), cv2.LINE_AA)
    _reach(page, x, x + wide + ring)


def slash(page: Strip, x: float, body: float, pen: float, slant: float, dice: Dice) -> None:
    """A slash that leans more than the digits do and is longer, so that no 1 looks like it."""
    half = dice.uniform(0.55, 0.8) * body
    lean = 2 * half * (max(slant, 0.0) + dice.uniform(0.3, 0.6))
    middle = page.middle + dice.normal(0, 0.08) * body
    draw(page.ink, [(x + lean, middle - half), (x, middle + half)], pen * body)
    _reach(page, x, x + lean)


def dot(page: Strip, x: float, down: float, body: float, pen: float, dice: Dice) -> None:
    """A dot or a comma, its right side kept free."""
    x1, y1 = (
        (dice.uniform(-0.12, 0.02) * body, dice.uniform(0.04, 0.26) * body)
        if dice.random() < 0.5
        else (dice.normal(0, 0.03) * body, dice.normal(0, 0.03) * body)
    )
    y = page.middle + down
    draw(page.ink, [(x, y), (x + x1, y + y1)], max(pen, 0.05) * body * dice.uniform(0.9, 1.6))
    _reach(page, x - 1, x + 2)


def between(page: Strip, body: float, pen: float, slant: float, dice: Dice, left: int) -> str:
    """What may stand between two digits, `left` of them to come: a separator, a slash, a joining stroke. Its symbol."""
    chance = dice.random()
    if chance < (0.42 if left == 3 else 0.12 if left == 2 else 0.05):
        x = page.x1 + dice.uniform(0.02, 0.2) * body
        if dice.random() < 0.93:
            dot(page, x, dice.uniform(0.35, 0.52) * body, body, pen, dice)
            symbol = ","
        else:
            symbol = dash(page, x, dice.uniform(0.15, 0.4) * body, body, pen, dice)
        page.x1 = round(max(page.x1, x) + dice.uniform(0.0, 0.15) * body)
        return symbol
    if chance > 0.985:
        slash(page, page.x1 + dice.uniform(0.0, 0.25) * body, body, pen, slant, dice)
        page.x1 = round(page.x1 + dice.uniform(0.0, 0.2) * body)
        return "/"
    if chance > 0.95:
        y = page.middle + dice.uniform(-0.45, 0.4) * body
        reach = dice.uniform(0.15, 0.4) * body
        x = page.x1
        curve(
            page.ink,
            [(x - 0.12 * body, y), (x + reach / 2, y + dice.normal(0, 0.08) * body), (x + reach, y)],
            0.8 * pen * body,
        )
    return ""


def join(page: Strip, body: float, pen: float, down: float, dice: Dice) -> None:
    """A stroke from the top of the digit just written to the next, as between zeros written in one go."""
    y = page.middle + down - dice.uniform(0.2, 0.5) * body
    reach, x = dice.uniform(0.2, 0.5) * body, page.x1
    curve(
        page.ink,
        [(x - 0.25 * body, y), (x + reach / 2, y + dice.uniform(-0.05, 0.15) * body), (x + reach, y)],
        0.8 * pen * body,
    )


def zeros(count: int, body: float, pen: float, slant: float, dice: Dice) -> Plane:
    """`count` zeros in one stroke, as at the end of round amounts: rings, each joined to the next along its head, or
    a coil of at most three, since more could not be counted. body: their height, pen: its width, pixels. Coverage
    (h, w) uint8, cut tight."""
    wide = dice.uniform(0.35, 0.5) * body
    coil = count <= 3 and dice.random() < 0.25
    pitch = wide * (dice.uniform(1.0, 1.4) if coil else dice.uniform(1.7, 2.5))
    share = 1.0 if coil else dice.uniform(0.0, 0.2)  # of a pitch, gone on with while the ring is drawn
    way = np.linspace(0, 2 * np.pi, 9)
    points: list[tuple[float, float]] = []
    for at in range(count):
        high, x0 = 0.5 * body * dice.uniform(0.75, 1.1), at * pitch * dice.uniform(0.95, 1.05)
        x = x0 - wide * np.sin(way) * dice.uniform(0.8, 1.15) + share * pitch * way / (2 * np.pi)
        points += zip(x.tolist(), (-high * np.cos(way)).tolist(), strict=True)
        if not coil and (at + 1 < count or dice.random() < 0.6):
            points.append((x0 + 0.6 * pitch, dice.uniform(-0.5, -0.2) * body))
    line = np.array(points) + dice.rng.normal(0, 0.02 * body, (len(points), 2))
    line[:, 0] -= slant * line[:, 1]
    line += 2 * pen - line.min(axis=0)
    w, h = (int(side) for side in line.max(axis=0) + 2 * pen + 2)
    plane = np.zeros((h, w), np.uint8)
    curve(plane, line, max(pen, 1.4))
    left, top, w, h = cv2.boundingRect(plane)
    return plane[top : top + h, left : left + w]


def run_on(page: Strip, body: float, pen: float, down: float, dice: Dice) -> None:
    """The last stroke of the digit just written runs on towards the next: from its foot, mostly, or from its head."""
    high = dice.uniform(0.2, 0.5) if dice.random() < 0.7 else dice.uniform(-0.5, 0.1)
    y, x = page.middle + down + high * body, page.x1 - dice.uniform(0.05, 0.2) * body
    reach, rise = dice.uniform(0.2, 0.55) * body, dice.normal(0.12, 0.15) * body
    sag = dice.uniform(-0.06, 0.1) * body
    curve(page.ink, [(x, y), (x + reach / 2, y + sag - rise / 3), (x + reach, y - rise)], pen * body)


def trail(page: Strip, text: str, body: float, pen: float, slant: float, dice: Dice) -> str:
    """What comes after the number `text`: mostly nothing; a dot, dashes, an equals sign, a flourish, %, a unit."""
    chance = dice.random()
    if chance > 0.53:
        return ""
    if chance > 0.5:
        x = page.x1 + _apart(text[-1:], dice) * body
        return filling(page, x, dice.uniform(1.6, 5.0) * body, body, pen, dice)
    x = page.x1 + dice.uniform(0.06, 0.5) * body
    length = dice.uniform(0.2, 1.0) * body
    high = (0.0, 0.0, -0.3, 0.3)[dice.below(4)] * body
    if chance < 0.16:
        dot(page, x, dice.uniform(0.3, 0.5) * body, body, pen, dice)
        if dice.random() < 0.5:
            down = dice.uniform(0, 0.4) * body
            return "," + dash(page, x + dice.uniform(0.15, 0.4) * body, length, body, pen, dice, down)
        return ","
    if chance < 0.24:
        return dash(page, x, length, body, pen, dice, high)
    if chance < 0.34:
        _equals(page, x, min(length, 0.7 * body), body, pen, dice, high)
        return "-"
    if chance < 0.38:
        turns = 3 + dice.below(3)
        wave = np.stack([np.linspace(0, length, turns), np.resize([0.0, 0.16 * body], turns)], 1)
        curve(page.ink, wave + [x, page.middle + high], pen * body)
        _reach(page, x, x + length)
        return "-"
    if chance < 0.43:
        percent(page, x, body, pen, dice)
        return "%"
    if chance < 0.45:
        slash(page, x, body, pen, slant, dice)
        return "/" + dash(page, page.x1 + 0.1 * body, length, body, pen, dice)
    if chance < 0.48:
        text = _PRINTED[dice.below(len(_PRINTED))]
        printed(page, text, x, body, dice)
        return "".join(c if c == "%" else "$" for c in text)
    currency(page, x, body, pen, dice)
    return "$"


def _apart(digit: str, dice: Dice) -> float:
    """How far a line ends from the digit that it leads to or comes from, in digit heights: it may touch it, but for a
    1, which it would make a 7."""
    return dice.uniform(0.1 if digit == "1" else -0.1, 0.35)


def filling(page: Strip, x: float, length: float, body: float, pen: float, dice: Dice) -> str:
    """A long line from column x on, up to or from a digit, so that none is added there."""
    y = page.middle + dice.normal(0, 0.12) * body
    rise = dice.normal(0, 0.03) * length
    points = [(x, y), (x + length / 2, y - rise / 2 + dice.normal(0, 0.03) * body), (x + length, y - rise)]
    curve(page.ink, points, pen * body * dice.uniform(0.7, 1.0))
    _reach(page, x, x + length)
    return "-"


_BEFORE = ("No", "Rs", "US", "KM", "Tot", "N", "S", "Ksh")
_PRINTED = ("%", "%", "kg", "Rs", "EUR", "m", "cm", "mm", "KM", "Ha", "Fr", "Kn", "t", "F", "MW", "kWh")


def strike(page: Strip, x0: float, x1: float, body: float, pen: float, dice: Dice) -> None:
    """Strokes through what is written from column x0 to x1: one line or two, a wave, a zigzag, a cross or one slanted
    stroke."""
    wide, m, kind = x1 - x0, page.middle, dice.random()
    x0, x1 = x0 - dice.uniform(0, 0.25) * body, x1 + dice.uniform(0, 0.25) * body
    width = pen * body * dice.uniform(0.8, 1.3)
    tilt = dice.normal(0, 0.08) * wide if dice.random() < 0.6 else dice.uniform(-0.6, 0.6) * body

    def line(down: float) -> None:
        y, sag = m + down * body, dice.normal(0, 0.06) * body
        curve(page.ink, [(x0, y + tilt / 2), ((x0 + x1) / 2, y + sag), (x1, y - tilt / 2)], width)

    if kind < 0.45:
        line(dice.normal(0, 0.1))
    elif kind < 0.65:
        apart = dice.uniform(0.08, 0.25)
        line(-apart)
        line(apart)
    elif kind < 0.85:
        turns = max(4, round(wide / body * dice.uniform(2, 7)))
        high = dice.uniform(0.15, 0.5) * body
        zigzag = np.stack([np.linspace(x0, x1, turns), m + high * np.resize([-1.0, 1.0], turns)], 1)
        zigzag += dice.rng.normal(0, 0.06 * body, zigzag.shape)
        (curve if dice.random() < 0.5 else draw)(page.ink, zigzag, width)
    else:
        half = dice.uniform(0.4, 0.7) * body
        for way in (-1, 1) if dice.random() < 0.5 else (-1,):
            draw(page.ink, [(x0, m - way * half), (x1, m + way * half)], width)
    _reach(page, x0, x1)


def surround(page: Strip, body: float, dice: Dice, in_cells: bool, neighbour: Callable[[], Plane]) -> None:
    """Printed rules and boxes, and ink of the rows above and below, in place."""
    if in_cells:
        _boxes(page, body, dice)
    elif dice.random() < 0.45:
        _rules(page, body, dice)
    if dice.random() < 0.015:
        _stamp(page, body, dice)
    if dice.random() < 0.12 and page.x1 > page.x0:
        for side in (-1, 1):
            if dice.random() < 0.6:
                continue
            for _ in range(1 + dice.below(3)):
                x = round(dice.uniform(page.x0 - 10, page.x1 + 10))
                page.lay(neighbour(), x, side * dice.uniform(1.05, 1.3) * body)


def _rules(page: Strip, body: float, dice: Dice) -> None:
    """A line to write on, one above, dotted ones, or a frame around the number."""
    width, level = dice.uniform(0.6, 2.6), dice.uniform(0.4, 1.0)
    foot = page.middle + dice.uniform(0.42, 0.8) * body
    head = page.middle - dice.uniform(0.55, 0.9) * body
    chance = dice.random()
    h, w = page.print.shape
    if chance < 0.75:
        draw(page.print, [(0, foot), (w, foot)], width, level)
    if chance > 0.55:
        draw(page.print, [(0, head), (w, head)], width, level)
    if dice.random() < 0.12:
        page.print[:, :: 3 + dice.below(3)] = 0
    if dice.random() < 0.25:
        # Now and then a digit is written onto the border.
        near = -0.1 if dice.random() < 0.3 else 0.25
        for x in (page.x0 - dice.uniform(near, 0.9) * body, page.x1 + dice.uniform(near, 0.9) * body):
            if dice.random() < 0.75:
                top, bottom = head if chance > 0.55 else 0, foot if chance < 0.75 else h
                if dice.random() < 0.3:
                    top, bottom = 0, h
                draw(page.print, [(x, top), (x, bottom)], width, level)


def _stamp(page: Strip, body: float, dice: Dice) -> None:
    """The ring of a stamp through the number or beside it, one or two lines."""
    radius = dice.uniform(1.5, 6.0) * body
    centre = dice.uniform(page.x0, page.x1), page.middle + dice.uniform(-1, 1) * (radius + 0.5 * body)
    way = np.linspace(0, 2 * np.pi, 60)
    level, width = dice.uniform(0.2, 0.9), dice.uniform(1.0, 0.1 * body)
    for inner in (1.0, dice.uniform(0.8, 0.93))[: 1 + dice.below(2)]:
        ring = np.stack([np.cos(way), np.sin(way)], 1) * inner * radius + np.array(centre)
        draw(page.print, ring, width, level)


def _boxes(page: Strip, body: float, dice: Dice) -> None:
    """A box for each digit, or one with marks between, some lines missing; now and then a guide in each cell."""
    count, pitch = page.cells
    width, level = dice.uniform(0.6, 3.0), dice.uniform(0.35, 1.0)
    roomy = max(0.0, pitch / body - 1.2)
    top = page.middle - (dice.uniform(0.5, 0.85) + dice.uniform(0, 0.7) * roomy) * body
    bottom = page.middle + (dice.uniform(0.5, 0.85) + dice.uniform(0, 0.7) * roomy) * body
    left, right = page.start, page.start + count * pitch
    apart = dice.uniform(0.02, 0.12) * pitch if dice.random() < 0.25 else 0.0
    page.box = top, bottom
    if dice.random() < 0.08:
        _guides(page, body, dice)
    if dice.random() < 0.1:
        return
    for i in range(count + 1):
        x = left + i * pitch
        for at in (x - apart, x + apart) if apart and 0 < i < count else (x,):
            draw(page.print, [(at, top), (at, bottom)], width, level)
    for y in (top, bottom):
        if dice.random() < 0.93:
            draw(page.print, [(left, y), (right, y)], width, level)


def _guides(page: Strip, body: float, dice: Dice) -> None:
    """A faint dotted 8 in each cell, to be written over."""
    count, pitch = page.cells
    half_w, half_h = 0.28 * min(pitch, 1.2 * body), 0.45 * body
    step = max(3, round(dice.uniform(0.08, 0.2) * body))
    radius, level = dice.below(2), round(255 * dice.uniform(0.25, 0.7))
    for i in range(count):
        x, m = page.start + (i + 0.5) * pitch, page.middle
        for y in (m - half_h, m, m + half_h):
            for dx in np.arange(-half_w, half_w + 1, step):
                cv2.circle(page.print, (round(x + dx), round(y)), radius, (level,), -1)
        for side in (-half_w, half_w):
            for dy in np.arange(-half_h, half_h, step):
                cv2.circle(page.print, (round(x + side), round(m + dy)), radius, (level,), -1)


def crop_box(ink: Plane, page: Strip, body: float, dice: Dice, in_cells: bool) -> tuple[int, int, int, int]:
    """xmin, ymin, xmax, ymax of what is cut out: around the number or its boxes, tightly or with room."""
    h, w = ink.shape
    x0, x1 = max(page.x0 - 4, 0), page.x1 + 4
    # Where no digit is written, the ink of other rows is not what is cut out.
    band = 0.3 * h if in_cells or page.last else 0.6 * body
    y, end = int(h / 2 - band), int(h / 2 + band)
    left, rows, wide, high = cv2.boundingRect(cv2.threshold(ink[y:end, x0:x1], 76, 255, cv2.THRESH_BINARY)[1])
    top, bottom = (y + rows, y + rows + high) if high else (h // 3, 2 * h // 3)
    left, right = (min(page.x0, x0 + left), max(page.x1, x0 + left + wide)) if wide else (page.x0, page.x1)
    if in_cells:
        count, pitch = page.cells
        left, right = min(left, page.start), max(right, round(page.start + count * pitch))
        if dice.random() < 0.7:
            top, bottom = min(top, round(page.box[0])), max(bottom, round(page.box[1]))
    low, most = (-0.04, 0.12) if dice.random() < 0.5 else (0.0, 0.55)
    room = [dice.uniform(low, most) * body for _ in range(4)]
    left, right = round(left - max(room[0], 0)), round(right + max(room[1], 0))
    top, bottom = round(top - room[2]), round(bottom + room[3])
    return max(left, 0), max(top, 0), min(max(right, left + 6), w), min(max(bottom, top + 6), h)


def borders(print_: Plane, body: float, dice: Dice) -> None:
    """Lines of a table left at one or more sides of what was cut out, thick, thin or doubled, in place."""
    h, w = print_.shape
    level, width = dice.uniform(0.5, 1.0), dice.uniform(1.0, 0.14 * body)
    sides = (dice.random() < 0.45, dice.random() < 0.45, dice.random() < 0.45, dice.random() < 0.45)
    inset = dice.uniform(0, 0.1) * body
    double = dice.uniform(0.08, 0.18) * body + width if dice.random() < 0.15 else 0.0
    tilt = dice.normal(0, 0.01)
    for side, drawn in enumerate(sides):
        for at in {inset, inset + double} if drawn else ():
            away = at if side < 2 else (w if side == 2 else h) - 1 - at
            if side % 2:
                draw(print_, [(0, away), (w, away + tilt * w)], width, level)
            else:
                draw(print_, [(away, 0), (away + tilt * h, h)], width, level)


def soil(ink: Plane, print_: Plane, body: float, dice: Dice) -> None:
    """What a field without a number may hold: specks, a shadow along one side, or nothing; in place."""
    h, w = ink.shape
    if dice.random() < 0.4:
        for _ in range(1 + dice.below(5)):
            at = dice.below(w), dice.below(h)
            cv2.circle(ink, at, dice.below(max(2, round(0.06 * body))), (100 + dice.below(156),), -1, cv2.LINE_AA)
    if dice.random() < 0.25:
        across = dice.random() < 0.5
        reach = max(2.0, dice.uniform(0.1, 0.8) * (w if across else h))
        fall = np.clip(1 - np.arange(w if across else h) / reach, 0, 1) * 255 * dice.uniform(0.2, 0.8)
        fall = fall[::-1] if dice.random() < 0.5 else fall
        np.maximum(print_, (fall if across else fall[:, None]).astype(np.uint8), out=print_)
