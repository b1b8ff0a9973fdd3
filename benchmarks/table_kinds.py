"""Pages with tables of numbers, of kinds that archives, schools and offices have, composed from a seed: numbers of
UNIPEN's writers, one writer a page, which nothing is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.datasets import catalog
from specimens.pen import Glyphs, Hand, draw_hand, lay_ink, write_amount, write_digits
from table_pages import FONTS, WORDS, Cell, Plane, print_text, quad

Pixels = npt.NDArray[np.uint8]
Map = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
# Pixels that a digit is high on the pages.
HEIGHTS = 26, 46
# Digit heights that a column of words, print, printed numbers is wide.
LEFT = {"none": 0.0, "words": 6.5, "print": 6.5, "numbers": 1.9, "both": 8.4}


@dataclass
class Sheet:
    """A page while it is drawn. plane: (H, W) gray, 255 white. columns: of numbers; others: words and print."""

    rng: np.random.Generator
    glyphs: Glyphs
    letters: Glyphs
    hand: Hand
    height: int
    plane: Plane
    columns: list[list[Cell]] = field(default_factory=list)
    others: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Drawn:
    """image: (H, W) or (H, W, 3) uint8; columns: the cells of each of numbers, from the top; others: beside them."""

    image: Pixels
    columns: list[list[Cell]]
    others: list[Cell]


def writers() -> list[Glyphs]:
    """The digits of each of UNIPEN's writers who wrote all ten, 28x28, white on black, as MNIST lays them."""
    stored = np.load(catalog.data_root() / "unipen62/unipen62_128px_bits.npz")
    labels, sources = stored["labels"], stored["source"]
    own: dict[str, list[int]] = {}
    for k in np.flatnonzero(np.char.isdigit(labels)).tolist():
        own.setdefault(str(sources[k]), []).append(k)
    bits = stored["bits"]
    return [
        Glyphs(np.stack([_small(np.unpackbits(bits[k], axis=1)) for k in rows]), labels[rows].astype(np.uint8))
        for rows in own.values()
        if len(set(labels[rows].tolist())) == 10
    ]


def _small(ink: Pixels) -> Pixels:
    """A glyph of 128 pixels, 1 for ink, as MNIST has them: 20 pixels high or wide, in the middle of 28."""
    x, y, w, h = cv2.boundingRect(ink)
    scale = 20 / max(w, h)
    pen = max(1, round(1.7 / scale / 2))
    thick = cv2.dilate(np.pad(ink[y : y + h, x : x + w] * np.uint8(255), pen), np.ones((pen, pen), np.uint8))
    matrix = np.array([[scale, 0, 14 - scale * (w + 2 * pen) / 2], [0, scale, 14 - scale * (h + 2 * pen) / 2]])
    return np.asarray(cv2.warpAffine(thick, matrix, (28, 28), flags=cv2.INTER_AREA), np.uint8)


def sheet(rng: np.random.Generator, glyphs: list[Glyphs], letters: Glyphs, size: tuple[float, float]) -> Sheet:
    """White paper. size: height and width in digit heights."""
    height = int(rng.integers(*HEIGHTS))
    own = glyphs[int(rng.integers(len(glyphs)))]
    plane = np.full((round(size[0] * height), round(size[1] * height)), rng.uniform(225, 255), np.float32)
    return Sheet(rng, own, letters, draw_hand(rng, height, touch=0.05), height, plane)


def rule(s: Sheet, ends: tuple[float, float, float, float], gray: float = 90, pen: int | None = None) -> None:
    """A printed line from x0, y0 to x1, y1."""
    x0, y0, x1, y1 = (round(v) for v in ends)
    line = np.zeros(s.plane.shape, np.uint8)
    cv2.line(line, (x0, y0), (x1, y1), 255, pen or max(1, s.height // 22))
    s.plane[line > 0] = np.minimum(s.plane[line > 0], gray)


def number(s: Sheet, text: str, right: float, middle: float, mark: str = "number", column: int = -1) -> Cell:
    """Write a number that ends at `right`, its middle at `middle`; commas and points are no part of its value."""
    ink = write_amount(text, s.glyphs, s.rng, s.hand)
    high, wide = ink.shape
    x = int(np.clip(right - wide, 1, s.plane.shape[1] - wide - 1))
    y = int(np.clip(middle - high / 2 + s.rng.normal(0, 0.05 * s.height), 1, s.plane.shape[0] - high - 1))
    lay_ink(s.plane, ink, x, y, s.hand.ink, s.rng)
    value = "".join(c for c in text if c.isdigit())
    cell = Cell(value, mark, quad(x, y, x + wide, y + high))
    s.columns[column].append(cell)
    return cell


def stroke(s: Sheet, points: list[tuple[float, float]]) -> None:
    """A stroke of the pen through some points."""
    line = np.zeros(s.plane.shape, np.uint8)
    cv2.polylines(
        line, [np.array(points, np.float64).round().astype(np.int32)], False, 255, max(2, s.height // 13), cv2.LINE_AA
    )
    cover = line.astype(np.float32) / 255
    s.plane += (s.hand.ink - s.plane) * cover


def no_number(s: Sheet, mark: str, left: float, right: float, middle: float) -> None:
    """A cell without a number: blank, dash or ditto."""
    x, h = (left + right) / 2, s.height
    if mark == "dash":
        half = h * s.rng.uniform(0.3, 0.7)
        stroke(s, [(x - half, middle), (x + half, middle + s.rng.uniform(-0.08, 0.08) * h)])
    if mark == "ditto":
        for side in (-0.13, 0.13):
            stroke(s, [(x + (side + 0.05) * h, middle - 0.17 * h), (x + side * h, middle + 0.15 * h)])
    s.columns[-1].append(Cell("", mark, quad(left + 3, middle - 3, right - 3, middle + 3)))


def word(s: Sheet, mark: str, x: float, middle: float, room: float, share: float = 0.65) -> None:
    """A hand-written word of a few letters that begins at x."""
    hand = replace(s.hand, height=share * s.height, gap=0.13)
    many = int(np.clip(room / (0.62 * hand.height) - 1, 2, s.rng.integers(3, 10)))
    ink = write_digits("".join(s.rng.choice(list("0123456789"), many)), s.letters, s.rng, hand)
    ink = ink[:, : max(4, int(room))]
    y = int(np.clip(middle - ink.shape[0] / 2, 1, s.plane.shape[0] - ink.shape[0] - 1))
    lay_ink(s.plane, ink, int(x), y, s.hand.ink, s.rng)
    s.others.append(Cell("", mark, quad(x, y, x + ink.shape[1], y + ink.shape[0])))


def text(s: Sheet, mark: str, said: str, x: float, middle: float, share: float = 0.6, font: int = 0) -> None:
    """Print that begins at x."""
    pitch = 2 * s.height
    s.others.append(
        print_text(s.plane, mark, said, FONTS[font], round(share * s.height), int(x), int(middle - pitch / 2), pitch)
    )


@dataclass(frozen=True)
class Plan:
    """How a plain table is drawn: lengths in digit heights, shares of cells.

    digits: most in each column. pitch: of rows, heights: how it varies. lines: level, grid, upright, none. heads:
    print, hand, none. left: what stands before the numbers: none, words, print, numbers, both of these. empty: what
    an empty cell holds, and how many there are. struck: of the rows. thousands, places: how numbers are written.
    lead: strokes go before them. leaders: dots lead to them. at: where the table is, from the left and the top.
    """

    digits: tuple[int, ...]
    rows: int
    pitch: float = 1.9
    lines: str = "grid"
    heads: str = "print"
    left: str = "none"
    gray: float = 90
    totals: bool = False
    empty: tuple[str, float] = ("blank", 0.0)
    struck: float = 0.0
    thousands: str = ""
    places: int = 0
    heights: tuple[float, float] = (1.0, 1.0)
    leaders: bool = False
    at: tuple[float, float] = (0.0, 0.0)
    lead: bool = False


def _wide(plan: Plan, digits: int) -> float:
    """Digit heights that a column of such numbers is wide."""
    return 0.85 * digits + (0.4 * (digits // 3) if plan.thousands else 0) + 1.1 * plan.places + 1.2


def table(s: Sheet, plan: Plan) -> None:
    """Draw a table, its upper left corner at `plan.at`, in digit heights."""
    h, rng = s.height, s.rng
    left = LEFT[plan.left]
    wide = [_wide(plan, d) for d in plan.digits]
    edges = (np.cumsum([plan.at[0] + 0.8, left, *wide]) * h).tolist()
    pitches = plan.pitch * h * rng.uniform(*plan.heights, plan.rows + plan.totals)
    tall = ((plan.at[1] + 0.7 + (plan.heads != "none") * 1.9) * h + np.concatenate([[0], np.cumsum(pitches)])).tolist()
    above = tall[0] - (plan.heads != "none") * 1.9 * h
    x_left = edges[0] if left else edges[1]
    if plan.lines in ("level", "grid"):
        for y in [above, *tall]:
            rule(s, (x_left, y, edges[-1], y), plan.gray)
    if plan.lines in ("upright", "grid"):
        for x in edges if left else edges[1:]:
            rule(s, (x, above, x, tall[-1]), plan.gray)
    if plan.totals:
        y = tall[-2] - 0.02 * h
        rule(s, (edges[1], y, edges[-1], y), 40, max(2, h // 12))
    for x0, x1 in pairwise(edges[1:]):
        if plan.heads == "print":
            said = str(rng.choice(WORDS))
            text(s, "head", said, x0 + 0.15 * h, above + 0.95 * h, min(0.6, (x1 - x0) / h / len(said) / 0.75))
        elif plan.heads == "hand":
            word(s, "head", x0 + 0.15 * h, above + 0.95 * h, x1 - x0 - 0.3 * h)
    out = [bool(rng.random() < plan.struck) for _ in range(plan.rows)]
    for r in range(plan.rows):
        _left(s, plan, r, edges, (tall[r] + tall[r + 1]) / 2)
    for d, x0, x1 in zip(plan.digits, edges[1:-1], edges[2:], strict=True):
        s.columns.append([])
        for r in range(plan.rows + plan.totals):
            middle, total = (tall[r] + tall[r + 1]) / 2, r == plan.rows
            mark, share = plan.empty
            if rng.random() < share and not total:
                no_number(s, mark, x0, x1, middle)
                continue
            said = str(int(rng.integers(1, 10 ** int(rng.integers(1 if d < 5 else 3, d + 1)))))
            if plan.thousands:
                said = f"{int(said):,}".replace(",", plan.thousands)
            if plan.places:
                said = f"{said}.{rng.integers(0, 10**plan.places):0{plan.places}}"
            struck = not total and out[r]
            cell = number(s, said, x1 - rng.uniform(0.25, 0.6) * h, middle, "struck" if struck else "number")
            if plan.lead:
                begin = cell.corners[0, 0] - 0.05 * h
                stroke(s, [(x0 + 0.1 * h, middle), (max(begin, x0 + 0.3 * h), middle)])
    for r in range(plan.rows):
        if out[r]:
            middle = (tall[r] + tall[r + 1]) / 2
            lean = rng.uniform(-0.1, 0.1) * h
            stroke(s, [(edges[1] + 0.2 * h, middle + lean), (edges[-1] - 0.05 * h, middle - lean)])


def _left(s: Sheet, plan: Plan, r: int, edges: list[float], middle: float) -> None:
    """What stands before a row's numbers."""
    h = s.height
    x = edges[0] + 0.15 * h
    if plan.left in ("numbers", "both"):
        text(s, "row number", f"{r + 1}" + "." * (plan.left == "numbers"), x, middle, 0.55)
        x += 1.9 * h
    if plan.left == "words":
        word(s, "label", x, middle, 5.6 * h)
    if plan.left in ("print", "both"):
        said = " ".join(s.rng.choice(WORDS, int(s.rng.integers(1, 3))))[:12]
        text(s, "label", said, x, middle, 0.55)
        if plan.leaders:
            end = s.others[-1].corners[1, 0]
            for dot in np.arange(end + 0.2 * h, edges[1] + 0.6 * h, 0.33 * h):
                cv2.circle(s.plane, (round(dot), round(middle + 0.18 * h)), max(1, h // 18), 60.0, -1, cv2.LINE_AA)


def some(rng: np.random.Generator, columns: tuple[int, int] = (2, 5), most: int = 4) -> tuple[int, ...]:
    return tuple(int(rng.integers(1, most + 1)) for _ in range(int(rng.integers(*columns))))


def finish(
    s: Sheet,
    *,
    bend: float = 0.0,
    photo: float = 0.0,
    turn: float = 0.0,
    tint: tuple[float, float, float] | None = None,
    noise: float = 2.0,
) -> Drawn:
    """What a scanner or a camera makes of it. bend: how far level lines sway, in digit heights; photo: how far corners
    are off, as a share of the side; turn: degrees; tint: the colour of gray that is neither ink nor paper."""
    h, w = s.plane.shape
    corners = quad(0, 0, w, h)
    angle = np.deg2rad(turn)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (corners - corners.mean(0)) @ spin.T + corners.mean(0)
    placed += s.rng.uniform(-photo, photo, (4, 2)) * min(h, w)
    placed -= placed.min(0) - 4
    size = tuple(np.ceil(placed.max(0) + 4).astype(int).tolist())
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), placed.astype(np.float32))
    phase = s.rng.uniform(0, 6)

    def sway(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(bend * s.height * np.sin(x / w * 4 + phase), np.float64)

    plane = s.plane
    if bend:
        ys, xs = np.mgrid[:h, :w].astype(np.float32)
        plane = cv2.remap(
            plane, xs, (ys - sway(xs)).astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    paper = float(np.median(plane))
    seen = np.asarray(
        cv2.warpPerspective(plane, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(paper,)), np.float64
    )
    if photo:
        seen *= (
            np.linspace(1, s.rng.uniform(0.65, 1), size[0])[None, :]
            * np.linspace(s.rng.uniform(0.7, 1), 1, size[1])[:, None]
        )
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), s.rng.uniform(0.5, 1.1)), np.float64)
    seen = cv2.GaussianBlur(seen, (0, 0), 0.5) + s.rng.normal(0, noise, seen.shape)
    image = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    if tint is not None:
        # Gray between ink and paper is the colour's own, but at the edges of ink.
        print_ = cv2.dilate((seen <= 85).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        share = np.clip((paper - seen) / (paper - 110), 0, 1)[..., None] * print_[..., None]
        colour = seen[..., None] * (1 - share) + share * np.array(tint)
        image = np.clip(np.rint(colour), 0, 255).astype(np.uint8)

    def moved(cell: Cell) -> Cell:
        at = cell.corners + np.column_stack([np.zeros(4), sway(np.full(4, cell.corners[:, 0].mean()))])
        return Cell(cell.text, cell.mark, cv2.perspectiveTransform(at[None], matrix)[0])

    return Drawn(image, [[moved(c) for c in column] for column in s.columns], [moved(c) for c in s.others])


Kind = Callable[[np.random.Generator, list[Glyphs], Glyphs], Drawn]


def room_for(plan: Plan) -> tuple[float, float]:
    """Height and width that a table takes, in digit heights, margins included."""
    left = LEFT[plan.left]
    wide = sum(_wide(plan, d) for d in plan.digits)
    tall = plan.pitch * max(plan.heights) * (plan.rows + plan.totals) + (plan.heads != "none") * 1.9
    return tall + 1.6 + plan.at[1], left + wide + 1.8 + plan.at[0]


def plain(
    plan_of: Callable[[np.random.Generator], Plan],
    *,
    bend: float = 0.0,
    photo: float = 0.0,
    turn: float = 0.0,
    pencil: bool = False,
    coloured: bool = False,
) -> Kind:
    """A kind of page with one table; bend and turn are the most there is of them, see `finish`."""

    def draw(rng: np.random.Generator, glyphs: list[Glyphs], letters: Glyphs) -> Drawn:
        plan = plan_of(rng)
        s = sheet(rng, glyphs, letters, room_for(plan))
        if pencil:
            s.hand = replace(s.hand, ink=float(rng.uniform(140, 175)))
        table(s, plan)
        tint = tuple(rng.permutation([90.0, 130.0, 225.0]).tolist()) if coloured else None
        sway = bend * rng.uniform(0.4, 1)
        return finish(s, bend=sway, photo=photo, turn=turn * rng.uniform(-1, 1), tint=tint)

    return draw


def _part_of_page(rng: np.random.Generator, glyphs: list[Glyphs], letters: Glyphs) -> Drawn:
    plan = Plan(some(rng, (1, 4)), int(rng.integers(4, 9)), lines=str(rng.choice(["grid", "level"])), at=(3.0, 14.0))
    high, wide = room_for(plan)
    s = sheet(rng, glyphs, letters, (high + 14, max(wide + 4, 22)))
    for k in (*range(1, 12), *range(round(high) + 2, round(high) + 12)):
        said = " ".join(rng.choice(WORDS, 9)).lower()
        text(s, "print", said[: int(s.plane.shape[1] / s.height / 0.42)], 1.2 * s.height, (k + 0.5) * s.height, 0.5, 1)
    table(s, plan)
    return finish(s, turn=float(rng.uniform(-1, 1)))


def _two_tables(rng: np.random.Generator, glyphs: list[Glyphs], letters: Glyphs) -> Drawn:
    one = Plan(some(rng, (1, 3)), int(rng.integers(5, 12)), left="numbers", lines=str(rng.choice(["grid", "level"])))
    high, wide = room_for(one)
    two = Plan(some(rng, (1, 3)), int(rng.integers(5, 12)), left=one.left, lines=one.lines, at=(wide + 1.0, 0.0))
    s = sheet(rng, glyphs, letters, (max(high, room_for(two)[0]), room_for(two)[1]))
    table(s, one)
    table(s, two)
    return finish(s, turn=float(rng.uniform(-1, 1)))


def _scanned(rng: np.random.Generator, glyphs: list[Glyphs], letters: Glyphs) -> Drawn:
    """Dark edges of a scanner, punched holes, a page's other side."""
    plan = Plan(some(rng), int(rng.integers(6, 16)), lines=_lines(rng), at=(3.0, 1.5))
    high, wide = room_for(plan)
    s = sheet(rng, glyphs, letters, (high + 1.5, wide + 2))
    table(s, plan)
    size, h = s.plane.shape, s.height
    for y in (0.3, 0.7):
        cv2.circle(s.plane, (round(1.3 * h), round(y * size[0])), round(0.6 * h), 40.0, -1, cv2.LINE_AA)
    drawn = finish(s, turn=float(rng.uniform(-1.5, 1.5)))
    high_, wide_ = drawn.image.shape
    edge = np.array(
        [(wide_ - rng.uniform(0.2, 0.9) * h, 0), (wide_, 0), (wide_, high_), (wide_ - rng.uniform(0.2, 0.9) * h, high_)]
    )
    cv2.fillPoly(drawn.image, [edge.astype(np.int32)], rng.uniform(5, 60))
    drawn.image[: round(rng.uniform(0.1, 0.6) * h)] = round(rng.uniform(5, 60))
    return drawn


def _lines(g: np.random.Generator, *kinds: str) -> str:
    return str(g.choice(kinds or ("grid", "level", "none")))


def _with(g: np.random.Generator, **more: Any) -> Plan:
    """A plain table of two to four columns, changed in some ways."""
    said: dict[str, Any] = {"digits": some(g), "rows": int(g.integers(6, 16)), "lines": _lines(g)}
    return Plan(**(said | more))


def _ledger(g: np.random.Generator, lines: str) -> Plan:
    return _with(g, lines=lines, left="words", heads="hand", gray=g.uniform(100, 190))


def _totals(g: np.random.Generator) -> Plan:
    lines = _lines(g, "grid", "upright", "level")
    return _with(g, digits=some(g, (3, 6)), lines=lines, totals=True, left="print")


def _thousands(g: np.random.Generator) -> Plan:
    digits = (6, 5)[: int(g.integers(1, 3))]
    return _with(g, digits=digits, lines=_lines(g, "grid", "level"), thousands=str(g.choice([",", "."])))


def _leads(g: np.random.Generator) -> Plan:
    rows, lines = int(g.integers(4, 9)), _lines(g, "grid", "level")
    return _with(g, digits=(3,), rows=rows, lines=lines, lead=True, heads="none", pitch=1.7)


KINDS: dict[str, Kind] = {
    "ledger, level rules": plain(lambda g: _ledger(g, "level"), turn=1.5),
    "ledger, no rules": plain(lambda g: _ledger(g, "none"), turn=1.5),
    "rules that bend": plain(lambda g: _with(g, lines="level", gray=g.uniform(80, 170)), bend=0.8),
    "grid that bends": plain(lambda g: _with(g, lines="grid", gray=g.uniform(80, 170)), bend=0.8),
    "rows that bend, no rules": plain(lambda g: _with(g, lines="none"), bend=0.6),
    "headings and totals": plain(_totals, turn=1.0),
    "printed row numbers": plain(lambda g: _with(g, left="numbers"), turn=1.0),
    "dashes": plain(lambda g: _with(g, empty=("dash", 0.2))),
    "ditto marks": plain(lambda g: _with(g, empty=("ditto", 0.2))),
    "empty cells": plain(lambda g: _with(g, empty=("blank", 0.25))),
    "struck rows": plain(lambda g: _with(g, struck=0.15)),
    "rainfall, decimals": plain(
        lambda g: _with(g, digits=some(g, (3, 7), 2), lines="grid", left="numbers", places=1), turn=1.0
    ),
    "score sheet, photographed": plain(
        lambda g: _with(g, digits=some(g, (3, 7), 2), lines="grid", left="both"), photo=0.07
    ),
    "tally sheet": plain(
        lambda g: _with(g, digits=some(g, (1, 3), 3), lines="grid", left="print", heads="none", pitch=2.2), turn=2.0
    ),
    "strokes before numbers": plain(_leads),
    "thousands": plain(_thousands),
    "light pencil": plain(lambda g: _with(g, gray=60), pencil=True),
    "coloured rules": plain(lambda g: _with(g, lines="grid", gray=g.uniform(120, 170)), coloured=True),
    "dotted leaders": plain(
        lambda g: _with(g, digits=some(g, (1, 3)), lines="none", left="print", leaders=True), turn=1.0
    ),
    "rows of unequal height": plain(lambda g: _with(g, lines=_lines(g, "grid", "level"), heights=(0.85, 2.0))),
    "a part of the page": _part_of_page,
    "two tables": _two_tables,
    "scanner edge, holes": _scanned,
}
