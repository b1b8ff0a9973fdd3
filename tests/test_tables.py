"""Tables without a template: as many rows and columns as were written, each cell with all of its ink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift import Reader
from inkshift.datasets.synth import shapes
from inkshift.forms.field import signs
from inkshift.forms.reading import Candidate, FieldReading
from inkshift.forms.table.judge import doubted, struck_out, tell_apart
from inkshift.forms.table.tables import Table, TableCell, find_table
from specimens.pen import Glyphs, draw_hand, lay_ink, mnist_test_glyphs, write_digits

Gray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """How a column is written. Lengths are shares of the digit height; slope in degrees; noise 0 to 1.

    pitch: from row to row; uneven: what it varies by. dash: longest dash before a number. tail: of how many
    numbers the last digit reaches down into the next row. gap: rows left empty, struck: rows struck out, by
    number; strike: how. feet: numbers stand on the rules.
    """

    height: int = 36
    pitch: float = 1.7
    uneven: float = 0.0
    slope: float = 0.0
    rules: bool = False
    box: bool = False
    dash: float = 0.0
    tail: float = 0.0
    noise: float = 0.0
    faint: bool = False
    touch: float = 0.0
    gap: tuple[int, ...] = ()
    strike: str = ""
    struck: tuple[int, ...] = ()
    feet: bool = False


@dataclass(frozen=True)
class Column:
    """image: (H, W) uint8; written: where each number's ink is, (H, W), top to bottom."""

    image: Gray
    written: tuple[Mask, ...]


def compose(texts: Sequence[str], glyphs: Glyphs, rng: np.random.Generator, look: Look) -> Column:
    """The numbers under each other, right-aligned more or less."""
    h = look.height
    hand = draw_hand(rng, h, look.touch, look.faint)
    inks = [write_digits(text, glyphs, rng, hand) for text in texts]
    side, dash = round(0.5 * h), round(look.dash * h)
    width = max(ink.shape[1] for ink in inks) + 2 * side + dash
    pitches = look.pitch * h * (1 + look.uneven * rng.uniform(-1, 1, len(texts)))
    edges = np.rint(0.4 * h + np.concatenate([[0], np.cumsum(pitches)])).astype(int)
    lean = int(np.ceil(np.tan(np.deg2rad(abs(look.slope))) * width / 2)) + 2
    size = edges[-1] + round(0.4 * h) + 2 * lean, width
    page: npt.NDArray[np.float32] = np.full(size, 255 - look.noise * rng.uniform(15, 55), np.float32)
    edges += lean
    print_gray, pen = rng.uniform(70, 150), max(1, h // 24)
    written = []
    for k, ink in enumerate(inks):
        feet = edges[k + 1] - 1 if look.feet else (edges[k] + edges[k + 1] + ink.shape[0]) // 2
        x = width - side - ink.shape[1] - int(rng.uniform(0, 0.3 * side))
        layer = np.zeros(page.shape, np.float32)
        top = feet - ink.shape[0]
        layer[top:feet, x : x + ink.shape[1]] = ink
        mask = layer > 0.4
        if rng.random() < look.tail:
            _tail(layer, rng, h)
        if k not in look.gap:
            if look.dash and rng.random() < 0.7:
                y = (top + feet) // 2
                cv2.line(layer, (int(rng.uniform(0, dash / 2)), y), (x - round(0.05 * h), y), 0.9, max(2, h // 14))
            if k in look.struck:
                _strike(layer, (x, top, x + ink.shape[1], feet), look.strike, rng, h)
            lay_ink(page, layer, 0, 0, hand.ink, rng)
            written.append(mask)
    if look.rules:
        for y in edges.tolist():
            page[y : y + pen] = np.minimum(page[y : y + pen], print_gray)
    if look.box:
        cv2.rectangle(page, (2, int(edges[0]) - 3), (width - 3, int(edges[-1]) + 3), print_gray, pen + 1)
    turn = cv2.getRotationMatrix2D((width / 2, page.shape[0] / 2), look.slope, 1.0)
    paper = float(np.median(page))
    laid = cv2.warpAffine(page, turn, size[::-1], flags=cv2.INTER_LINEAR, borderValue=(paper,))
    masks = [cv2.warpAffine(mask.astype(np.uint8), turn, size[::-1], flags=cv2.INTER_NEAREST) for mask in written]
    seen = cv2.GaussianBlur(laid, (0, 0), 0.5) + 9 * look.noise * rng.standard_normal(size, dtype=np.float32)
    return Column(np.clip(np.rint(seen), 0, 255).astype(np.uint8), tuple(np.asarray(mask) > 0 for mask in masks))


def _tail(layer: npt.NDArray[np.float32], rng: np.random.Generator, height: int) -> None:
    """A stroke from the lowest ink downwards."""
    y, x = np.argwhere(layer > 0.5)[-1]
    end = int(x - rng.uniform(0, 0.3) * height), int(y + rng.uniform(0.3, 0.6) * height)
    cv2.line(layer, (int(x), int(y)), end, 0.9, max(2, height // 14), cv2.LINE_AA)


def _strike(
    layer: npt.NDArray[np.float32], box: tuple[int, int, int, int], kind: str, rng: np.random.Generator, height: int
) -> None:
    x0, y0, x1, y1 = box
    pen = max(2, height // 14)
    if kind == "bars":
        for at in (0.4, 0.65):
            y = y0 + at * (y1 - y0)
            _curve(layer, [x0 - 4, x1 + 4], [y, y + rng.uniform(-0.1, 0.1) * height], pen)
    elif kind == "level":
        y = y0 + rng.uniform(0.35, 0.65) * (y1 - y0)
        lean = rng.uniform(-0.15, 0.15) * height
        over = rng.uniform(0, 0.4, 2) * height
        _curve(layer, [x0 - over[0], x1 + over[1]], [y - lean, y + lean], pen)
    elif kind == "wavy":
        x = np.arange(x0 - 0.1 * height, x1 + 0.1 * height)
        wave = rng.uniform(0.08, 0.18) * height * np.sin(x / height * rng.uniform(3, 6) + rng.uniform(0, 6))
        _curve(layer, x, (y0 + y1) / 2 + wave, pen)
    elif kind == "cross":
        _curve(layer, [x0, x1], [y0, y1], pen)
        _curve(layer, [x0, x1], [y1, y0], pen)
    elif kind == "zigzag":
        n = max(4, round((x1 - x0) / (rng.uniform(0.25, 0.4) * height)))
        ends = np.where(np.arange(n + 1) % 2, y0 + 0.1 * height, y1 - 0.1 * height)
        _curve(layer, np.linspace(x0, x1, n + 1), ends + rng.normal(0, 0.04 * height, n + 1), pen)


def _curve(layer: npt.NDArray[np.float32], x: npt.ArrayLike, y: npt.ArrayLike, pen: int) -> None:
    points = np.rint(np.column_stack([np.asarray(x, float), np.asarray(y, float)])).astype(np.int32)
    cv2.polylines(layer, [points], isClosed=False, color=0.9, thickness=pen, lineType=cv2.LINE_AA)


def numbers(rng: np.random.Generator, rows: int, digits: tuple[int, int] = (1, 5)) -> list[str]:
    return ["".join(rng.choice(list("0123456789"), rng.integers(digits[0], digits[1] + 1))) for _ in range(rows)]


@pytest.fixture(scope="module")
def glyphs(drawn_digits: Gray) -> Glyphs:
    return Glyphs(drawn_digits, np.arange(10, dtype=np.uint8))


@pytest.fixture(scope="module")
def written_glyphs(shared_data: Path) -> Glyphs:
    return mnist_test_glyphs(shared_data / "mnist")


def rows_of(image: npt.NDArray[np.uint8]) -> tuple[TableCell, ...]:
    """The cells of a table of one column."""
    table = find_table(image)
    assert table.columns <= 1
    return table.column(1)


def is_sound(rows: Sequence[TableCell], image: npt.NDArray[np.uint8]) -> None:
    """What holds of the rows of any picture."""
    middles = [row.box[1] + row.box[3] for row in rows]
    assert middles == sorted(middles)
    for row in rows:
        x0, y0, x1, y1 = row.box
        assert 0 <= x0 < x1 <= image.shape[1] and 0 <= y0 < y1 <= image.shape[0]
        assert 0 <= row.struck <= 1
        assert row.crop.ndim == image.ndim and row.crop.size and row.crop.dtype == np.uint8


def holds(row: TableCell, written: Mask) -> bool:
    """Whether all of a number's ink lies in a row's box, give or take a pixel."""
    x, y, w, h = cv2.boundingRect(written.view(np.uint8))
    x0, y0, x1, y1 = row.box
    return x0 <= x + 1 and y0 <= y + 1 and x1 >= x + w - 1 and y1 >= y + h - 1


LOOKS = {
    "clean": Look(),
    "tight": Look(pitch=1.25),
    "uneven": Look(uneven=0.2),
    "rising": Look(slope=3),
    "falling": Look(slope=-3, pitch=1.4),
    "ruled": Look(rules=True),
    "boxed": Look(rules=True, box=True, slope=1.5),
    "standing on the rule": Look(rules=True, feet=True, pitch=1.3),
    "dashes": Look(dash=2.0, rules=True),
    "noise": Look(noise=1.0),
    "faint": Look(faint=True, noise=0.5),
    "small": Look(height=14),
    "large": Look(height=80, rules=True),
}
HARD = {
    "tails": Look(tail=0.7, pitch=1.45),
    "tight tails": Look(tail=0.7, pitch=1.3),
    "all": Look(rules=True, box=True, dash=1.5, tail=0.3, noise=0.5, slope=2.5, uneven=0.15, pitch=1.5, touch=0.3),
    "none ruled": Look(dash=1.5, tail=0.3, noise=0.5, slope=-2.5, uneven=0.2, pitch=1.4, touch=0.5),
    "faint in a box": Look(faint=True, rules=True, box=True, noise=0.4),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_each_number_is_a_row_that_holds_it(look: Look, glyphs: Glyphs) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        column = compose(numbers(rng, int(rng.integers(2, 13))), glyphs, rng, look)
        rows = rows_of(column.image)
        is_sound(rows, column.image)
        assert len(rows) == len(column.written)
        assert all(map(holds, rows, column.written))
        assert all(row.struck < 0.5 for row in rows)


def counted(glyphs: Glyphs, looks: Sequence[Look], columns: int, most: int) -> tuple[float, float]:
    """Share of columns with as many rows as numbers, and in these the share of numbers that their rows hold."""
    right, held = [], []
    for at, look in enumerate(looks):
        for seed in range(columns):
            rng = np.random.default_rng((seed, at))
            column = compose(numbers(rng, int(rng.integers(2, most + 1))), glyphs, rng, look)
            rows = rows_of(column.image)
            right.append(len(rows) == len(column.written))
            held += list(map(holds, rows, column.written)) if right[-1] else []
    return float(np.mean(right)), float(np.mean(held))


def test_rows_of_harder_columns(glyphs: Glyphs) -> None:
    right, held = counted(glyphs, list(HARD.values()), 2, 20)
    assert right >= 0.85 and held >= 0.97


def test_rows_of_hand_written_digits(written_glyphs: Glyphs) -> None:
    right, held = counted(written_glyphs, [*LOOKS.values(), *HARD.values()], 1, 10)
    assert right >= 0.85 and held >= 0.97


def test_rows_overlap_little(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(3)
    rows = rows_of(compose(numbers(rng, 9), glyphs, rng, Look(slope=1, rules=True)).image)
    for upper, lower in pairwise(rows):
        assert upper.box[3] - lower.box[1] < 0.2 * (upper.box[3] - upper.box[1])


@pytest.mark.parametrize("box", [False, True])
def test_an_empty_row_between_rules_is_counted(glyphs: Glyphs, box: bool) -> None:
    rng = np.random.default_rng(1)
    column = compose(["123", "45", "678", "9", "210", "33"], glyphs, rng, Look(rules=True, box=box, gap=(1, 4)))
    rows = rows_of(column.image)
    assert len(rows) == 6
    assert all(holds(rows[k], ink) for k, ink in zip((0, 2, 3, 5), column.written, strict=True))
    for k in (1, 4):
        x0, y0, x1, y1 = rows[k].box
        assert rows[k].struck == 0
        assert not any(ink[y0:y1, x0:x1].any() for ink in column.written)


def test_an_empty_row_without_rules_is_not_there(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(1)
    column = compose(["123", "45", "678", "91"], glyphs, rng, Look(gap=(1,)))
    assert len(rows_of(column.image)) == 3


STRIKES = {"level": 0.8, "bars": 0.8, "cross": 0.7, "zigzag": 0.45, "wavy": 0.4}


@pytest.mark.parametrize("kind", STRIKES)
@pytest.mark.parametrize("ruled", [False, True])
def test_struck_rows_are_told(kind: str, ruled: bool, glyphs: Glyphs) -> None:
    struck: list[bool] = []
    plain: list[bool] = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        out = tuple(rng.choice(8, 2, replace=False).tolist())
        look = Look(strike=kind, struck=out, rules=ruled, dash=1.5 * ruled, slope=rng.uniform(-2, 2), noise=0.3)
        rows = rows_of(compose(numbers(rng, 8, (3, 5)), glyphs, rng, look).image)
        assert len(rows) == 8
        for k, row in enumerate(rows):
            (struck if k in out else plain).append(row.struck > 0.5)
    assert np.mean(struck) >= STRIKES[kind] and np.mean(plain) < 0.05


def barred_sevens(page: npt.NDArray[np.uint8], rows: Sequence[TableCell]) -> None:
    for row in rows:
        x0, y0, x1, y1 = row.box
        y = (y0 + y1) // 2
        for x in np.linspace(x0, x1, 4)[:-1] + 8:
            cv2.line(page, (int(x), y), (int(x) + 12, y), (40,), 3)


def test_marks_that_strike_nothing(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(5)
    look = Look(rules=True, feet=True, dash=2.0, pitch=1.5)
    column = compose(["777", "717", "471", "777", "17"], glyphs, rng, look)
    page = column.image.copy()
    rows = rows_of(page)
    barred_sevens(page, rows)
    for row in rows:
        x, y = row.box[2] + 2, (row.box[1] + row.box[3]) // 2
        cv2.line(page, (x, y - 4), (x + 12, y - 4), (40,), 2)
        cv2.line(page, (x, y + 4), (x + 12, y + 4), (40,), 2)
    marked = rows_of(page)
    assert len(marked) == 5
    assert all(row.struck < 0.5 for row in marked)


def test_a_crop_shows_its_own_row_only(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(2)
    column = compose(["469", "109", "789", "359"], glyphs, rng, Look(tail=1.0, pitch=1.35))
    for row, own in zip(rows_of(column.image), column.written, strict=True):
        x0, y0, x1, y1 = row.box
        crop, before = row.crop, column.image[y0:y1, x0:x1]
        others = np.logical_or.reduce([ink for ink in column.written if ink is not own])[y0:y1, x0:x1]
        assert (crop[others] > 200).mean() > 0.9 if others.any() else True
        assert np.array_equal(crop[own[y0:y1, x0:x1]], before[own[y0:y1, x0:x1]])


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_no_ink_no_rows(shade: int) -> None:
    noise = np.random.default_rng(0).normal(shade, 5, (300, 200))
    assert rows_of(np.full((300, 200), shade, np.uint8)) == ()
    assert rows_of(np.clip(noise, 0, 255).astype(np.uint8)) == ()


def test_rules_alone_are_no_rows() -> None:
    page = np.full((300, 200), 240, np.uint8)
    page[30::60] = page[31::60] = 120
    assert rows_of(page) == ()


@settings(max_examples=40)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_any_picture_gives_sound_rows(image: Gray) -> None:
    for picture in (image, np.dstack([image, image // 2, image])):
        table = find_table(picture)
        for column in range(1, table.columns + 1):
            is_sound(table.column(column), picture)


def test_form34a_rows_are_found(shared_data: Path) -> None:
    """Four numbers in each column; empty rows and, in the second, a struck-out one come with them."""
    data = np.load(shared_data / "form34a" / "columns.npz")
    for k, (h, w) in enumerate(data["shapes"]):
        image = data["pixels"][data["offsets"][k] : data["offsets"][k + 1]].reshape(h, w)
        rows = rows_of(image)
        assert 8 <= len(rows) <= 10
        assert (rows[0].struck > 0.5) == (k == 1)


@dataclass(frozen=True)
class Grid:
    """image: (H, W) uint8; written: the corners (4, 2) of each number, by column and row, None where there is none."""

    image: Gray
    written: list[list[npt.NDArray[np.float64] | None]]


def draw_grid(
    texts: Sequence[Sequence[str]],
    glyphs: Glyphs,
    rng: np.random.Generator,
    *,
    slope: float = 0.0,
    lines: str = "",
    gap: float = 1.4,
    head: str = "",
    numbered: bool = False,
    tilt: float = 0.0,
) -> Grid:
    """Columns of numbers beside each other. texts: by column; "" leaves a cell empty, "-" is a dash. gap: between the
    columns, in digit heights. lines: "grid" or nothing. tilt: shares that the corners are drawn in, as by a camera."""
    h, pitch = 34, 66
    hand = draw_hand(rng, h, 0.0)
    inks = [[write_digits(t, glyphs, rng, hand) if t.isdigit() else None for t in column] for column in texts]
    widths = [max((ink.shape[1] for ink in column if ink is not None), default=80) for column in inks]
    left, top = 30 + 70 * numbered, 30 + pitch * bool(head)
    edges = left + np.concatenate([[0], np.cumsum([w + round(gap * h) for w in widths])])
    rows = len(texts[0])
    page: npt.NDArray[np.float32] = np.full((top + pitch * rows + 30, int(edges[-1]) + 30), 250, np.float32)
    written: list[list[npt.NDArray[np.float64] | None]] = []
    for c, column in enumerate(inks):
        middle = int(edges[c + 1]) - round(gap * h / 2)
        written.append([])
        if head:
            _print(page, head, (int(edges[c]) + 4, top - 24))
        for r, ink in enumerate(column):
            y = top + r * pitch + pitch // 2
            written[-1].append(None)
            if texts[c][r] == "-":
                cv2.line(page, (middle - 40, y), (middle - 12, y), (40,), 3, cv2.LINE_AA)
            if ink is not None:
                x, y = middle - ink.shape[1], y - ink.shape[0] // 2
                lay_ink(page, ink, x, y, 40, rng)
                x1, y1 = x + ink.shape[1], y + ink.shape[0]
                written[-1][-1] = np.array([(x, y), (x1, y), (x1, y1), (x, y1)], np.float64)
    if numbered:
        for r in range(rows):
            _print(page, f"{r + 1}.", (36, top + r * pitch + pitch // 2 + 8))
    if lines == "grid":
        bottom = top + pitch * rows
        for x in [30] * numbered + edges.tolist():
            cv2.line(page, (x, top - pitch * bool(head)), (x, bottom), (110,), 2)
        for y in range(top - pitch * bool(head), bottom + 1, pitch):
            cv2.line(page, (30, y), (int(edges[-1]), y), (110,), 2)
    return _seen(page, written, slope, tilt)


def _print(page: npt.NDArray[np.float32], text: str, place: tuple[int, int]) -> None:
    stamp = np.full(page.shape, 250, np.uint8)
    cv2.putText(stamp, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40,), 1, cv2.LINE_AA)
    np.minimum(page, stamp, out=page)


def _seen(
    page: npt.NDArray[np.float32], written: list[list[npt.NDArray[np.float64] | None]], slope: float, tilt: float
) -> Grid:
    h, w = page.shape
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64)
    a = np.deg2rad(slope)
    turned = (corners - (w / 2, h / 2)) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    turned += tilt * np.array([(w, 0.6 * h), (-0.4 * w, 0), (0, -0.5 * h), (0.7 * w, 0)])
    turned -= turned.min(0) - 3
    size = np.ceil(turned.max(0) + 3).astype(int).tolist()
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), turned.astype(np.float32))
    image = cv2.warpPerspective(page, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(250,))
    moved = [
        [None if cell is None else np.asarray(cv2.perspectiveTransform(cell[None], matrix)[0]) for cell in column]
        for column in written
    ]
    return Grid(np.clip(np.rint(image), 0, 255).astype(np.uint8), moved)


def is_found(grid: Grid) -> bool:
    """Whether each number is a cell of its own, in its row and column, with all of its ink; and nothing else is."""
    cells = {
        (cell.row, cell.column): cell for cell in find_table(grid.image).cells if cell.kind in ("number", "struck")
    }
    for c, column in enumerate(grid.written, 1):
        for r, corners in enumerate(column, 1):
            if corners is None:
                continue
            cell = cells.pop((r, c), None)
            if cell is None:
                return False
            low, high = corners.min(0), corners.max(0)
            if (low < np.array(cell.box[:2]) - 2).any() or (high > np.array(cell.box[2:]) + 2).any():
                return False
    return not cells


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 7), st.integers(1, 4), st.floats(-4, 4), st.sampled_from(["", "grid"]), st.integers(0, 1000))
def test_cells_keep_their_places(rows: int, columns: int, slope: float, lines: str, seed: int) -> None:
    images = np.zeros((10, 28, 28), np.uint8)
    for digit in range(10):
        cv2.putText(images[digit], str(digit), (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,), 2, cv2.LINE_AA)
    rng = np.random.default_rng(seed)
    texts = [numbers(rng, rows, (2, 3)) for _ in range(columns)]
    drawn = draw_grid(texts, Glyphs(images, np.arange(10, dtype=np.uint8)), rng, slope=slope, lines=lines)
    assert is_found(drawn)


@pytest.mark.parametrize("gap", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("lines", ["", "grid"])
def test_two_columns_are_never_one(gap: float, lines: str, glyphs: Glyphs) -> None:
    rng = np.random.default_rng(2)
    left, right = ["124", "87", "1450", "9", "302", "66"], ["2718", "45", "510", "7", "88", "1903"]
    assert is_found(draw_grid([left, right], glyphs, rng, gap=gap, lines=lines))


def test_a_photograph_of_a_ruled_table_is_laid_flat(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(6)
    texts = [numbers(rng, 7, (2, 3)) for _ in range(4)]
    assert is_found(draw_grid(texts, glyphs, rng, lines="grid", tilt=0.09))


def test_a_missing_row_is_counted_where_the_rhythm_wants_one(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(3)
    texts = [["12", "345", "", "67", "89", "10", "234"]]
    table = find_table(draw_grid(texts, glyphs, rng).image)
    assert [cell.kind for cell in table.column(1)] == ["number"] * 2 + ["empty"] + ["number"] * 4


@pytest.mark.parametrize("lines", ["", "grid"])
def test_dashes_and_empty_cells_are_no_numbers(lines: str, glyphs: Glyphs) -> None:
    rng = np.random.default_rng(4)
    texts = [["12", "-", "345", "678"], ["34", "56", "", "-"], ["9", "87", "65", "43"]]
    kinds = {(c.row, c.column): c.kind for c in find_table(draw_grid(texts, glyphs, rng, lines=lines).image).cells}
    assert {k for k, kind in kinds.items() if kind == "unused"} == {(2, 1), (4, 2)}
    assert {k for k, kind in kinds.items() if kind == "empty"} == {(3, 2)}


PAPER = np.full((20, 40), 255, np.uint8)
CELL = TableCell(1, 1, "number", 1.0, 0.0, (0, 0, 40, 20), (0, 0, 40, 20), PAPER, PAPER < 128, 1.0, 0.0, 1.0, False)


def test_a_loop_of_a_digit_is_no_stroke_through_it() -> None:
    cell = replace(CELL, kind="struck", struck=0.55)
    plain = FieldReading("n", "000", "000", "written", 0.98, (Candidate("000", 0.98),))
    assert struck_out(plain, cell).value == "000"
    assert struck_out(replace(plain, value="171", written="171"), cell).state == "crossed-out"
    assert struck_out(plain, replace(cell, struck=0.97)).candidates[1].written == "000"


def test_a_gap_inside_a_number_makes_it_doubtful() -> None:
    cell = replace(CELL, gap=1.1)
    plain = FieldReading("n", "1242", "1242", "written", 0.99, (Candidate("1242", 0.99),))
    assert doubted(plain, cell).confidence < 0.5
    assert doubted(plain, replace(cell, gap=0.2)) == plain


def draw_cells(page: Gray, x0: int, y0: int, rows: int, columns: int, span: tuple[int, int] | None = None) -> None:
    """A ruled table of printed numbers; in row `span[0]` the cell in column `span[1]` is one with the cell before."""
    wide, high = 120, 60
    for r in range(rows + 1):
        cv2.line(page, (x0, y0 + r * high), (x0 + columns * wide, y0 + r * high), (90,), 2)
    for c in range(columns + 1):
        for r in range(rows):
            if (r, c) != span:
                x, y = x0 + c * wide, y0 + r * high
                cv2.line(page, (x, y), (x, y + high), (90,), 2)
                if c < columns:
                    at = x + (22 if (r, c + 1) != span else 82), y + high - 14
                    cv2.putText(page, str(100 + 17 * r + 211 * c), at, cv2.FONT_HERSHEY_SIMPLEX, 1.3, (20,), 3)


@pytest.mark.parametrize("row", [0, 1, 3, 4])
def test_a_number_in_a_cell_that_spans_two_columns_is_one(row: int) -> None:
    page = np.full((380, 420), 250, np.uint8)
    draw_cells(page, 30, 30, 5, 3, (row, 1))
    table = find_table(page)
    cells = {(cell.row - 1, cell.column - 1): cell for cell in table.cells if cell.kind == "number"}
    assert sorted(cells) == [(r, c) for r in range(5) for c in range(3) if (r, c) != (row, 1)]
    x0, _, x1, _ = cells[row, 0].box
    assert x0 < 115 and x1 > 180


@pytest.mark.usefixtures("shipped_model")
@pytest.mark.parametrize("rows", [3, 6])
def test_a_number_over_columns_whose_line_is_not_found_is_doubtful(rows: int) -> None:
    """A heading over two columns on a page on which the lines between them are too short to be known as such."""
    page = np.full((1300, 1100), 250, np.uint8)
    draw_cells(page, 60, 140, rows, 4)
    cv2.rectangle(page, (60, 80), (540, 140), (90,), 2)
    cv2.line(page, (300, 80), (300, 140), (90,), 2)
    for k, year in enumerate(("2022", "2023")):
        cv2.putText(page, year, (128 + 240 * k, 126), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (20,), 3)
    first = [field for field in Reader(read_as="table").read_page(page).fields if field.box and field.box[3] < 160]
    assert not [(f.name, f.value) for f in first if f.confidence > 0.8 and f.value and f.value not in ("2022", "2023")]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 40), st.integers(4, 6), st.integers(60, 120))
def test_tables_side_by_side_join_no_numbers(lower: int, rows: int, apart: int) -> None:
    page = np.full((500, 800 + apart), 250, np.uint8)
    draw_cells(page, 30, 30, 5, 3)
    draw_cells(page, 390 + apart, 30 + lower, rows, 3)
    found = [cell.box for cell in find_table(page).cells if cell.kind == "number"]
    assert len(found) == 15 + 3 * rows
    assert all(x1 - x0 < 120 for x0, _, x1, _ in found)


def signs_of(image: Gray) -> list[tuple[str, ...]]:
    """The signs that are seen in the ink of each number of a table."""
    inks = [np.where(c.ink, 255 - c.crop, 0).astype(np.uint8) for c in find_table(image).cells if c.kind == "number"]
    return [signs.names(signs.find_signs(np.where(ink > 60, ink, 0).astype(np.uint8))) for ink in inks]


@pytest.mark.parametrize("leads", [(0.8, 2.5, 0.7, 1.8), (0.0, 0.0, 0.7, 0.0)])
def test_strokes_that_lead_to_numbers_are_no_minus(leads: tuple[float, ...]) -> None:
    page = np.full((460, 460), 250, np.uint8)
    for k, lead in enumerate(leads):
        y = 90 + 100 * k
        cv2.putText(page, "358", (240, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (20,), 4, cv2.LINE_AA)
        if lead:
            cv2.line(page, (round(225 - lead * 44), y - 20), (225, y - 20), (20,), 4)
    seen = signs_of(page)
    assert seen == [("dash",) if lead and max(leads) < 1 else () for lead in leads]


def test_what_is_left_of_a_level_line_is_no_point() -> None:
    page = np.full((460, 460), 250, np.uint8)
    for k in range(4):
        y = 90 + 100 * k
        cv2.putText(page, "358", (150, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (20,), 4, cv2.LINE_AA)
        page[y + 6 : y + 8, 30:430] = 150
        for x in (192, 235, 270):  # the line is thicker here and there
            page[y + 3 : y + 6, x : x + 7] = 60
    assert signs_of(page) == [()] * 4


def test_a_stroke_with_a_digit_at_its_end_is_no_dash() -> None:
    page = np.full((460, 560), 250, np.uint8)
    for k in range(4):
        y = 90 + 100 * k
        cv2.line(page, (154, y - 20), (304, y - 20), (20,), 7)
        cv2.ellipse(page, (322, y - 20), (16, 14), 0, 0, 360, (20,), 3)
        cv2.putText(page, "58", (360, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (20,), 4, cv2.LINE_AA)
    for cell in find_table(page).column(1):
        assert cell.kind == "number"
        assert cell.box[0] <= 300


@pytest.mark.parametrize("lead", [60, 160])
def test_a_stroke_that_leads_to_a_number_is_cut_off_and_the_bar_of_a_seven_is_not(lead: int) -> None:
    page = np.full((560, 460), 250, np.uint8)
    for k, number in enumerate(("358", "742", "731", "905", "768")):
        y = 90 + 100 * k
        cv2.putText(page, number, (240, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (20,), 4, cv2.LINE_AA)
        cv2.line(page, (235 - lead, y - 20), (235, y - 20), (20,), 4)
    for k, cell in enumerate(find_table(page).column(1)):
        assert cell.box[0] > 200
        digits = np.flatnonzero((page[90 + 100 * k - 45 : 90 + 100 * k - 30] < 100).any(0))
        assert cell.box[0] <= digits[0]


@pytest.mark.parametrize("sway", [12, -20])
def test_lines_that_bend_are_followed(sway: int) -> None:
    page = np.full((460, 640), 250, np.uint8)
    draw_cells(page, 40, 50, 5, 4)
    xs, ys = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(460, dtype=np.float32))
    bent = cv2.remap(page, xs, ys - sway * np.sin(xs / 640 * 4), cv2.INTER_LINEAR, borderValue=(250,))
    table = find_table(np.asarray(bent, np.uint8))
    assert sorted((c.row, c.column) for c in table.cells if c.kind == "number") == [
        (r, c) for r in range(1, 6) for c in range(1, 5)
    ]
    for cell in table.cells:
        x = 40 + 120 * (cell.column - 1) + 60
        y = 50 + 60 * (cell.row - 1) + 30 + sway * np.sin(x / 640 * 4)
        assert cell.box[0] < x < cell.box[2]
        assert cell.box[1] < y < cell.box[3]


def test_ditto_marks_are_no_eleven() -> None:
    page = np.full((400, 300), 250, np.uint8)
    draw_cells(page, 30, 30, 5, 2)
    page[154:206, 34:146] = 250
    for x in (84, 96):
        cv2.line(page, (x + 1, 170), (x, 182), (20,), 2)
    cells = {(cell.row, cell.column): cell for cell in find_table(page).cells}
    assert [cells[r, 1].kind for r in range(1, 6)] == ["number", "number", "unused", "number", "number"]
    assert cells[3, 1].sure <= 0.5


def test_a_scanner_edge_and_punched_holes_are_no_numbers() -> None:
    page = np.full((500, 700), 250, np.uint8)
    draw_cells(page, 150, 80, 5, 4)
    plain = [(c.row, c.column, c.kind) for c in find_table(page).cells]
    page[:, 680:], page[:9] = 20, 20
    for y in (150, 350):
        cv2.circle(page, (60, y), 24, (30,), -1)
    assert [(c.row, c.column, c.kind) for c in find_table(page).cells] == plain


@pytest.mark.parametrize("around", [(20, 60, 680, 600), (20, -9, 680, 440), (-9, 440, 800, 600)])
def test_the_edge_of_the_sheet_closes_no_row_beyond_the_table(around: tuple[int, int, int, int]) -> None:
    page = np.full((520, 700), 250, np.uint8)
    draw_cells(page, 100, 130, 4, 4)
    plain = [(c.row, c.column, c.kind) for c in find_table(page).cells]
    cv2.rectangle(page, around[:2], around[2:], (120,), 2)
    assert [(c.row, c.column, c.kind) for c in find_table(page).cells] == plain


def test_two_lines_in_a_cell_are_one_doubtful_row() -> None:
    page = np.full((420, 460), 250, np.uint8)
    draw_cells(page, 30, 30, 5, 3)
    page[154:206, 34:146] = 250
    for text, y in (("41", 176), ("87", 204)):
        cv2.putText(page, text, (60, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20,), 2)
    table = find_table(page)
    assert table.rows == 5
    assert next(c for c in table.cells if (c.row, c.column) == (3, 1)).gap > 0.2


def test_row_numbers_of_a_second_table_are_known_too() -> None:
    high, even = {1: 0.6, 2: 1.0, 3: 0.6, 4: 1.0}, {1: 0.01, 2: 0.1, 3: 0.01, 4: 0.1}
    cells = tuple(
        replace(CELL, row=r, column=c, height=high[c], even=even[c]) for r in range(1, 6) for c in range(1, 5)
    )
    values = {(c.row, c.column): (str(c.row if c.column % 2 else 7 * c.row * c.row), 0.99) for c in cells}
    known = tell_apart(Table(5, 4, cells, True), values)
    assert {c.column for c in known.cells if c.kind == "header"} == {1, 3}


LEDGER = [["402", "85", "630", "274", "58"], ["53", "620", "47", "302", "864"]]


def shaped() -> Glyphs:
    drawn = [np.clip(shapes.draw(d, np.random.default_rng(d)) * 0.8 + 0.6, 0, 1) * 255 for d in range(10)]
    pictures = [cv2.resize(picture.astype(np.uint8), (28, 28), interpolation=cv2.INTER_AREA) for picture in drawn]
    return Glyphs(np.stack(pictures), np.arange(10, dtype=np.uint8))


def test_words_and_row_numbers_are_not_read_as_numbers() -> None:
    page = draw_grid(
        LEDGER, shaped(), np.random.default_rng(0), head="Votes", numbered=True, lines="grid", gap=2.5
    ).image
    fields = Reader(read_as="table").read_page(page).fields
    assert [f.name for f in fields] == [f"r{r:02}c{c}" for r in range(1, 6) for c in (2, 3)]
    assert sum(f.value == t for f, t in zip(fields, np.array(LEDGER).T.ravel().tolist(), strict=True)) >= 8
    assert "2 columns of numbers" in Reader(read_as="column").read_page(page).error


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("head", ["", "Votes"])
def test_a_ruled_column_without_any_number_is_a_column(at: int, head: str) -> None:
    texts = [*LEDGER[:at], [""] * 5, *LEDGER[at:]]
    page = draw_grid(texts, shaped(), np.random.default_rng(1), head=head, lines="grid", gap=2.5).image
    fields = {field.name: field for field in Reader(read_as="table").read_page(page).fields}
    assert list(fields) == [f"r{r:02}c{c}" for r in range(1, 6) for c in (1, 2, 3)]
    assert {field.state for name, field in fields.items() if name.endswith(str(at + 1))} == {"blank"}
    assert "2 columns of numbers" in Reader(read_as="column").read_page(page).error


def test_a_frame_around_a_table_makes_no_column() -> None:
    inner = draw_grid(LEDGER, shaped(), np.random.default_rng(1), lines="grid", gap=2.5).image
    page = cv2.copyMakeBorder(inner, 90, 90, 120, 120, cv2.BORDER_CONSTANT, value=(250,))
    cv2.rectangle(page, (30, 30), (page.shape[1] - 30, page.shape[0] - 30), (110,), 2)
    assert {f.name[-2:] for f in Reader(read_as="table").read_page(page).fields} == {"c1", "c2"}


@pytest.mark.parametrize("at", [0, 1])
def test_column_reads_the_only_one_that_is_filled(at: int) -> None:
    texts = [[""] * 5, [""] * 5]
    texts[at] = LEDGER[0]
    page = draw_grid(texts, shaped(), np.random.default_rng(1), lines="grid", gap=2.5).image
    assert [f.name for f in Reader(read_as="column").read_page(page).fields] == ["1", "2", "3", "4", "5"]


def test_dots_that_lead_from_words_to_numbers_part_them() -> None:
    page, face = np.full((780, 960), 250, np.uint8), cv2.FONT_HERSHEY_SIMPLEX
    rows = ("Rain", "35"), ("Total month", "4"), ("Votes", "731"), ("Sum of day", "5"), ("Mark", "28"), ("Day", "90")
    for k, (said, number) in enumerate(rows):
        y = 90 + 110 * k
        cv2.putText(page, said, (40, y), face, 0.9, (60,), 2, cv2.LINE_AA)
        for x in range(60 + cv2.getTextSize(said, face, 0.9, 2)[0][0], 470, 15):
            cv2.circle(page, (x, y), 2, (60,), -1, cv2.LINE_AA)
        for right in (560, 900):
            cv2.putText(page, number, (right - 38 * len(number), y), face, 2.0, (20,), 4, cv2.LINE_AA)
    numbers = [cell for cell in find_table(page).cells if cell.kind == "number" and cell.box[2] > 500]
    assert len(numbers) == 12
    assert all(cell.box[0] > 430 for cell in numbers)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_table_on_a_page_of_small_print_is_found(columns: int) -> None:
    page, face = np.full((1500, 900), 250, np.uint8), cv2.FONT_HERSHEY_COMPLEX
    said = "the undersigned declare that the votes were counted as"
    for y in (*range(60, 460, 36), *range(1060, 1460, 36)):
        cv2.putText(page, said, (40, y), face, 0.55, (40,), 1, cv2.LINE_AA)
    for r in range(7):
        y = 540 + 70 * r
        cv2.line(page, (120, y), (120 + 180 * columns, y), (120,), 2)
        for c in range(columns if r < 6 else 0):
            place = 150 + 180 * c, y + 54
            cv2.putText(page, str(258 + 37 * r + c), place, cv2.FONT_HERSHEY_SIMPLEX, 1.7, (20,), 4, cv2.LINE_AA)
    found = [cell for cell in find_table(page).cells if cell.kind == "number"]
    assert len(found) == 6 * columns
    assert {(cell.row, cell.column) for cell in found} == {(r, c) for r in range(1, 7) for c in range(1, columns + 1)}
