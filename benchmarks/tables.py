"""Tables without a template, measured: whole columns found and read, and what came beside them.

    python benchmarks/tables.py [--pages 120] [--each 4] [--seed 1] [--out docs/results/tables.md]

--pages: tables of random looks, of MNIST's test digits; --each: pages of each kind of `table_kinds`, of UNIPEN's.
A column is whole where each of its numbers is right, each in its row, and nothing else in it is read as a number: a
header, a dash or a line that comes back as one counts as wrong. Composed tables need `mnist`, `nist_emnist` and
`unipen62`, real ones `form34a` and `ufpr`, in $INKSHIFT_DATA or ../shared/data. Nothing is tuned here; the finder's
constants were set on seeds from 1,000.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

import table_kinds
from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import FieldReading
from inkshift.forms.table.tables import find_table
from printed import options, show
from specimens.pen import Glyphs, mnist_test_glyphs
from table_pages import Page, compose, draw_style


@dataclass
class Score:
    """columns: how many; found, read: of them whole; numbers: how many, and right; extra: values that are not there;
    sure: wrong or extra ones above 0.9."""

    columns: int = 0
    found: int = 0
    read: int = 0
    numbers: int = 0
    right: int = 0
    extra: int = 0
    sure: int = 0
    why: Counter[str] = field(default_factory=Counter)


def glyphs() -> tuple[Glyphs, Glyphs]:
    """MNIST's test digits, and letters labelled 0 to 9 whatever they are."""
    folder = catalog.data_root()
    stored = np.load(folder / "nist_emnist/test.npz")
    letters = stored["labels"] >= 10
    numbers = (np.arange(letters.sum()) % 10).astype(np.uint8)
    return mnist_test_glyphs(folder / "mnist"), Glyphs(stored["images"][letters], numbers)


def score_page(page: Page | table_kinds.Drawn, fields: tuple[FieldReading, ...], score: Score) -> list[str]:
    """Compare what was read with what was written. Returns what went wrong, a line each."""
    wrong: list[str] = []
    values = [f for f in fields if f.value and f.box]
    used: set[int] = set()
    for c, column in enumerate(page.columns):
        score.columns += 1
        whole = read = True
        rows: list[tuple[int, int]] = []
        names = set()
        for r, cell in enumerate(column):
            x, y = cell.corners.mean(0)
            inside = [k for k, f in enumerate(values) if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]]
            used |= set(inside)
            if cell.mark != "number":
                if inside:
                    whole, read = False, False
                    score.extra += 1
                    score.sure += values[inside[0]].confidence > 0.9
                    wrong.append(
                        f"column {c + 1} row {r + 1}: {cell.mark} {cell.text} read as {values[inside[0]].value}"
                    )
                continue
            score.numbers += 1
            if len(inside) != 1 or not _holds(values[inside[0]].box, cell.corners):
                whole, read = False, False
                wrong.append(f"column {c + 1} row {r + 1}: {cell.text} not found whole ({len(inside)})")
                continue
            one = values[inside[0]]
            names.add(one.name.rpartition("c")[2])
            rows.append((r, int(one.name.rpartition("c")[0][1:] or one.name)))
            if one.value == cell.text:
                score.right += 1
            else:
                read = False
                score.sure += one.confidence > 0.9
                wrong.append(f"column {c + 1} row {r + 1}: {cell.text} read as {one.value} ({one.confidence:.2f})")
        off = {b - a for a, b in rows}
        if len(names) > 1 or len(off) > 1:
            whole = read = False
            wrong.append(f"column {c + 1}: rows or columns mixed up")
        score.found += whole
        score.read += read
    for k, f in enumerate(values):
        if k not in used:
            score.extra += 1
            score.sure += f.confidence > 0.9
            wrong.append(f"extra: {f.name} {f.value} ({f.confidence:.2f})")
    return wrong


def _holds(box: tuple[float, ...], corners: np.ndarray) -> bool:
    """Whether nine tenths of a number's width and height lie in a box."""
    low, high = corners.min(0), corners.max(0)
    shared = np.minimum(high, box[2:]) - np.maximum(low, box[:2])
    return bool((shared >= 0.85 * (high - low)).all())


def composed(pages: int, seed: int) -> Iterator[str]:
    digits, letters = glyphs()
    reader = Reader(read_as="table")
    total, kinds = Score(), {}
    for k in range(pages):
        rng = np.random.default_rng(seed + k)
        page = compose(rng, digits, letters, draw_style(rng))
        fields = reader.read_page(page.image).fields
        style = page.style
        own = [f"lines: {style.lines}", f"head: {style.head}", f"view: {style.view}", f"columns: {style.columns}"]
        own += ["printed row numbers"] * style.numbered + ["words beside the rows"] * style.labels
        own += ["dashes"] * bool(style.dashes) + ["empty cells"] * bool(style.blanks) + ["struck"] * bool(style.struck)
        own += ["strokes before numbers"] * bool(style.lead) + ["drift"] * bool(style.drift)
        for score in [total, *(kinds.setdefault(name, Score()) for name in own)]:
            score_page(page, fields, score)
    yield from _rows("composed", total)
    for name in sorted(kinds):
        yield from _rows(f"composed, {name}", kinds[name])


def of_each_kind(each: int, seed: int) -> Iterator[str]:
    """Pages of each kind that `table_kinds` draws."""
    own, letters = table_kinds.writers(), glyphs()[1]
    reader, total = Reader(read_as="table"), Score()
    for k, (name, draw) in enumerate(table_kinds.KINDS.items()):
        score = Score()
        for n in range(each):
            page = draw(np.random.default_rng([seed + n, k]), own, letters)
            fields = reader.read_page(page.image).fields
            for one in (score, total):
                score_page(page, fields, one)
        yield from _rows(name, score)
    yield from _rows("all kinds", total)


def _rows(name: str, s: Score) -> Iterator[str]:
    yield (
        f"| {name} | {s.columns} | {s.found} ({100 * s.found / max(s.columns, 1):.0f} %) | {s.read} | "
        f"{s.right} of {s.numbers} | {s.extra} | {s.sure} |"
    )


def form34a() -> Iterator[str]:
    """Columns of a real form: the numbers from the top, and nothing else, are to be read."""
    images, arrays = read_ragged(catalog.data_root() / "form34a/columns.npz")
    reader, score = Reader(read_as="column"), Score()
    for image, labels in zip(images, arrays["labels"], strict=True):
        values = [f for f in reader.read_page(np.ascontiguousarray(image)).fields if f.value]
        score.columns += 1
        score.numbers += len(labels)
        right = [f.value for f in values] == list(labels)
        score.found += len(values) == len(labels)
        score.read += right
        score.right += sum(f.value == label for f, label in zip(values, labels, strict=False))
        score.extra += max(len(values) - len(labels), 0)
        wrong = [f for k, f in enumerate(values) if k >= len(labels) or f.value != labels[k]]
        score.sure += sum(f.confidence > 0.9 for f in wrong)
    yield from _rows("Form 34A columns (real)", score)


def ufpr() -> Iterator[str]:
    """Whole sheets of 15 rows and 10 columns; the digit of a cell is its column's number less one."""
    reader, score = Reader(read_as="table"), Score()
    for path in sorted((catalog.data_root() / "ufpr/pages").iterdir()):
        fields = {f.name: f for f in reader.read_page(load_page(PageRef(str(path), 1))).fields if f.value}
        for c in range(1, 11):
            names = [f"r{r:02}c{c}" for r in range(1, 16)]
            own = [fields.pop(name, None) for name in names]
            right = [f is not None and f.value == str(c - 1) for f in own]
            score.columns += 1
            score.found += all(f is not None for f in own)
            score.read += all(right)
            score.numbers += 15
            score.right += sum(right)
            score.sure += sum(f is not None and not ok and f.confidence > 0.9 for f, ok in zip(own, right, strict=True))
        score.extra += len(fields)
    yield from _rows("UFPR sheets (real)", score)


def speed() -> Iterator[str]:
    digits, letters = glyphs()
    rng = np.random.default_rng(7)
    style = draw_style(rng)
    page = compose(rng, digits, letters, style).image
    factor = (2e6 / page.size) ** 0.5
    page = cv2.resize(page, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    cv2.setNumThreads(1)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        find_table(page)
        times.append(time.perf_counter() - start)
    size = page.size / 1e6
    yield f"`find_table` takes {1000 * min(times):.0f} ms for a page of {size:.1f} megapixels (best of 7, one thread)."


def report(pages: int, each: int, seed: int) -> Iterator[str]:
    yield "# Tables without a template"
    yield ""
    command = f"python benchmarks/tables.py --pages {pages} --each {each} --seed {seed}"
    yield f"Printed by `{command}` on {machine()}."
    yield "Whole columns: each number right, in its row, and nothing else read as one."
    yield ""
    yield "| set | columns | found whole | read whole | numbers right | extra values | wrong above 0.9 |"
    yield "|---|---|---|---|---|---|---|"
    yield from form34a()
    yield from ufpr()
    yield from composed(pages, seed)
    yield ""
    yield f"Pages of kinds that archives, schools and offices have, {each} of each, written by one of UNIPEN's writers:"
    yield ""
    yield "| kind | columns | found whole | read whole | numbers right | extra values | wrong above 0.9 |"
    yield "|---|---|---|---|---|---|---|"
    yield from of_each_kind(each, seed)
    yield ""
    yield from speed()


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pages", type=int, default=120, help="composed tables (default 120)")
    parser.add_argument("--each", type=int, default=4, help="pages of each kind (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them")
    given = parser.parse_args()
    show(report(given.pages, given.each, given.seed), given.out)


if __name__ == "__main__":
    main()
