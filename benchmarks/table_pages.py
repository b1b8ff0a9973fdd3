"""Tables as people fill them in, composed from a seed: numbers of MNIST's test digits, words of hand-written letters,
print, lines, dashes, strikes, and what a scanner or a camera makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from specimens.pen import Glyphs, Hand, draw_hand, lay_ink, write_digits

Gray = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Quad = npt.NDArray[np.float64]
WORDS = ("Date", "Amount", "Total", "Name", "Votes", "Rain", "mm", "Day", "Month", "Candidate", "Class", "Mark", "Sum")
FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans:bold")


@dataclass(frozen=True)
class Style:
    """How a table is made. height: of a digit, pixels. pitch: of rows, digit heights. lines: which are printed, faint:
    how dark, 0 to 1. head: words above the columns. The other shares say how often a thing happens."""

    columns: int
    rows: int
    height: int
    pitch: float
    lines: str
    faint: float
    head: str
    numbered: bool
    labels: bool
    dashes: float
    blanks: float
    struck: float
    lead: float
    drift: float
    turn: float
    view: str
    gray: float


@dataclass(frozen=True)
class Cell:
    """What was written: text, empty for a dash or nothing; mark: number, dash, struck, blank or what it is beside them;
    corners (4, 2) of it."""

    text: str
    mark: str
    corners: Quad


@dataclass(frozen=True)
class Page:
    """image: (H, W) uint8; columns: the cells of each column of numbers, row by row; others: words above and beside."""

    image: Gray
    columns: list[list[Cell]]
    others: list[Cell]
    style: Style


def draw_style(rng: np.random.Generator) -> Style:
    """Some style: most tables are plain, each trouble comes to about a quarter of them."""
    pick = rng.choice
    return Style(
        columns=int(pick([1, 1, 2, 2, 3, 4, 5, 6])),
        rows=int(rng.integers(3, 19)),
        height=int(rng.integers(22, 60)),
        pitch=float(rng.uniform(1.5, 2.6)),
        lines=str(pick(["none", "none", "level", "grid", "grid", "outer", "upright"])),
        faint=float(pick([rng.uniform(0.1, 0.3), rng.uniform(0.4, 0.9)])),
        head=str(pick(["none", "print", "print", "hand", "title"])),
        numbered=bool(rng.random() < 0.25),
        labels=bool(rng.random() < 0.2),
        dashes=float(pick([0, 0, 0.12])),
        blanks=float(pick([0, 0, 0.12])),
        struck=float(pick([0, 0, 0.07])),
        lead=float(pick([0, 0, 0, 0.6])),
        drift=float(pick([0, 0, 0.012])),
        turn=float(pick([0, rng.uniform(-3, 3)])),
        view=str(pick(["scan", "scan", "photo"])),
        gray=float(pick([0, rng.uniform(0.2, 1.0)])),
    )


def compose(rng: np.random.Generator, digits: Glyphs, letters: Glyphs, style: Style) -> Page:
    """A page with one table. letters: glyphs of letters, labelled 0 to 9 whatever they are."""
    h = style.height
    hand = draw_hand(rng, h, touch=0.08)
    lengths = [sorted(rng.integers(1, 5, 2).tolist()) for _ in range(style.columns)]
    widths = [round(h * (0.85 * high + rng.uniform(1.2, 2.5) + 2 * style.lead)) for _, high in lengths]
    extra = [round(1.8 * h)] * style.numbered + [round(5 * h)] * style.labels
    edges = np.cumsum([round(0.8 * h), *extra, *widths])
    pitch = round(style.pitch * h)
    head = 0 if style.head == "none" else pitch
    top = round(0.7 * h) + head
    size = top + pitch * style.rows + round(0.8 * h), int(edges[-1]) + round(0.8 * h)
    page: Plane = np.full(size, 255 - style.gray * rng.uniform(10, 60), np.float32)
    tall = pitch * np.arange(style.rows + 1) + top
    dark = float(page[0, 0]) * (1 - style.faint)
    _rule(page, style, edges, tall, head, dark)
    at = len(extra)
    others: list[Cell] = []
    if style.head != "none":
        others += _heads(page, style, rng, letters, hand, edges, at, top - head, pitch)
    font = str(rng.choice(FONTS))
    for r in range(style.rows):
        if style.numbered:
            others.append(
                print_text(
                    page, "row number", f"{r + 1}.", font, round(0.55 * h), int(edges[0]) + 3, int(tall[r]), pitch
                )
            )
        if style.labels:
            x = int(edges[at - 1]) + 4
            if style.rows % 2:
                word = str(rng.choice(WORDS))
                others.append(print_text(page, "label", word, font, round(0.6 * h), x, int(tall[r]), pitch))
            else:
                small = replace(hand, height=0.7 * h)
                others.append(_word(page, "label", rng, letters, small, x, int(tall[r]), pitch, 4 * h))
    columns: list[list[Cell]] = [[] for _ in range(style.columns)]
    for c in range(style.columns):
        x0, x1 = int(edges[at + c]), int(edges[at + c + 1])
        for r in range(style.rows):
            drift = style.drift * (x0 - edges[at]) * (1 if r % 2 else -1)
            columns[c].append(
                _cell(page, rng, digits, hand, style, (x0, x1), float(tall[r] + drift), pitch, lengths[c])
            )
    return _seen(page, columns, others, style, rng)


def _rule(
    page: Plane, style: Style, edges: npt.NDArray[np.int64], tall: npt.NDArray[np.int64], head: int, dark: float
) -> None:
    pen = max(1, style.height // 24)
    left, right, above = int(edges[0]), int(edges[-1]), int(tall[0]) - head
    if style.lines in ("level", "grid"):
        for y in [above, *tall.tolist()]:
            page[y : y + pen, left:right] = np.minimum(page[y : y + pen, left:right], dark)
    if style.lines in ("grid", "upright"):
        for x in edges.tolist():
            page[above : tall[-1] + pen, x : x + pen] = np.minimum(page[above : tall[-1] + pen, x : x + pen], dark)
    if style.lines == "outer":
        cv2.rectangle(page, (left, above), (right, int(tall[-1])), dark, pen)


def _heads(
    page: Plane,
    style: Style,
    rng: np.random.Generator,
    letters: Glyphs,
    hand: Hand,
    edges: npt.NDArray[np.int64],
    at: int,
    top: int,
    pitch: int,
) -> list[Cell]:
    h = style.height
    if style.head == "title":
        return [
            print_text(
                page, "head", " ".join(rng.choice(WORDS, 3)), FONTS[2], round(0.7 * h), int(edges[0]) + h, top, pitch
            )
        ]
    out = []
    for c in range(at, len(edges) - 1):
        room = int(edges[c + 1] - edges[c])
        if style.head == "print":
            size = round(min(0.6 * h, room / 4.2))
            out.append(print_text(page, "head", str(rng.choice(WORDS)), FONTS[0], size, int(edges[c]) + 5, top, pitch))
        else:
            small = replace(hand, height=0.7 * h)
            out.append(_word(page, "head", rng, letters, small, int(edges[c]) + 5, top, pitch, room - 8))
    return out


def print_text(page: Plane, mark: str, text: str, font: str, size: int, x: int, top: int, pitch: int) -> Cell:
    name, _, weight = font.partition(":")
    path = font_manager.findfont(font_manager.FontProperties(family=name, weight=weight or "normal"))
    canvas = Image.new("L", page.shape[::-1], 0)
    drawn = ImageDraw.Draw(canvas)
    type_ = ImageFont.truetype(path, max(size, 9))
    box = drawn.textbbox((0, 0), text, font=type_)
    drawn.text((x, top + (pitch - box[3] - box[1]) // 2), text, fill=255, font=type_)
    page -= (page - 30) * (np.asarray(canvas, np.float32) / 255)
    left, above, right, below = canvas.getbbox() or (x, top, x + 1, top + 1)
    return Cell(text, mark, quad(left, above, right, below))


def _word(
    page: Plane,
    mark: str,
    rng: np.random.Generator,
    letters: Glyphs,
    hand: Hand,
    x: int,
    top: int,
    pitch: int,
    room: int,
) -> Cell:
    many = int(np.clip(room / (0.8 * hand.height), 2, rng.integers(3, 9)))
    ink = write_digits("".join(rng.choice(list("0123456789"), many)), letters, rng, replace(hand, gap=0.13))
    ink = ink[:pitch, : max(4, min(room, page.shape[1] - x - 2))]
    y = top + (pitch - ink.shape[0]) // 2
    lay_ink(page, ink, x, y, hand.ink, rng)
    return Cell("", mark, quad(x, y, x + ink.shape[1], y + ink.shape[0]))


def _cell(
    page: Plane,
    rng: np.random.Generator,
    digits: Glyphs,
    hand: Hand,
    style: Style,
    sides: tuple[int, int],
    top: float,
    pitch: int,
    lengths: list[int],
) -> Cell:
    h = style.height
    x0, x1 = sides
    chance = rng.random()
    pen = max(2, h // 14)
    if chance < style.dashes:
        y, x = round(top + pitch / 2), round((x0 + x1) / 2)
        half = round(h * rng.uniform(0.3, min(1.2, (x1 - x0) / h / 2 - 0.3)))
        cv2.line(page, (x - half, y), (x + half, y + int(rng.integers(-3, 4))), hand.ink, pen, cv2.LINE_AA)
        return Cell("", "dash", quad(x - half, y - 3, x + half, y + 3))
    if chance < style.dashes + style.blanks:
        return Cell("", "blank", quad(x0, top, x1, top + pitch))
    text = "".join(rng.choice(list("0123456789"), rng.integers(lengths[0], lengths[1] + 1)))
    ink = write_digits(text, digits, rng, hand)[:, : x1 - x0 - 8]
    high, wide = ink.shape
    y = round(np.clip(top + (pitch - high) / 2 + rng.normal(0, 0.08 * h), 2, page.shape[0] - high - 2))
    x = x1 - wide - round(rng.uniform(0.15, 0.5) * h)
    x = max(x, x0 + 3)
    lay_ink(page, ink, x, y, hand.ink, rng)
    if rng.random() < style.lead and x - x0 > 0.8 * h:
        cv2.line(page, (x0 + 4, y + high // 2), (x - round(0.1 * h), y + high // 2), hand.ink, pen, cv2.LINE_AA)
    mark = "number"
    if len(text) > 1 and rng.random() < style.struck:
        mark = "struck"
        over, lean = round(0.25 * h), rng.uniform(-0.12, 0.12) * h
        middle = y + high * rng.uniform(0.4, 0.6)
        cv2.line(
            page, (x - over, round(middle + lean)), (x + wide + over, round(middle - lean)), hand.ink, pen, cv2.LINE_AA
        )
    return Cell(text, mark, quad(x, y, x + wide, y + high))


def quad(x0: float, y0: float, x1: float, y1: float) -> Quad:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def _seen(page: Plane, columns: list[list[Cell]], others: list[Cell], style: Style, rng: np.random.Generator) -> Page:
    """Turned on a scanner, or photographed from a corner, with shade and noise."""
    h, w = page.shape
    corners = quad(0, 0, w, h)
    turn = np.deg2rad(style.turn)
    middle = corners.mean(0)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed = (corners - middle) @ spin.T + middle
    if style.view == "photo":
        placed += rng.uniform(-0.06, 0.06, (4, 2)) * min(h, w)
    placed -= placed.min(0) - 4
    size = tuple(np.ceil(placed.max(0) + 4).astype(int).tolist())
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), placed.astype(np.float32))
    paper = float(np.median(page))
    seen = cv2.warpPerspective(page, matrix, size, flags=cv2.INTER_CUBIC, borderValue=(paper,))
    if style.view == "photo":
        slope = (
            np.linspace(1, rng.uniform(0.7, 1), size[0])[None, :]
            * np.linspace(rng.uniform(0.75, 1), 1, size[1])[:, None]
        )
        seen = cv2.GaussianBlur(seen * slope, (0, 0), rng.uniform(0.5, 1.0))
    seen = cv2.GaussianBlur(seen, (0, 0), 0.5) + rng.normal(0, 1 + 5 * style.gray, seen.shape)
    moved = [
        [replace(cell, corners=cv2.perspectiveTransform(cell.corners[None], matrix)[0]) for cell in cells]
        for cells in [*columns, others]
    ]
    return Page(np.clip(np.rint(seen), 0, 255).astype(np.uint8), moved[:-1], moved[-1], style)
