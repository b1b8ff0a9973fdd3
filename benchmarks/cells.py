"""Rows of printed cells: read cell by cell, heard as a whole too, read as free boxes; and a model taught on such forms.

    python benchmarks/cells.py [--teach] [--epochs N] [--out FILE]

C1 are real pages of $INKSHIFT_DATA; the tallies are drawn, a page of each of twelve inks in each of three
prints (`wild_forms`). Rules are left out, so that nothing mends a reading. --teach: `numbers` taught on half of
the C1 pages, the other half read with it, and the other way round; packages are left in out/cells.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.labels import Label
from inkshift.forms.crops.teach import labelled
from inkshift.forms.judge.evaluate import wilson
from inkshift.forms.reading import FieldReading, value_of
from inkshift.forms.template import Template, load_template
from inkshift.models.package import load_model
from inkshift.models.train.finetune import FineTuneSettings, Numbers
from inkshift.models.train.teaching import teach
from printed import options, show
from wild_forms import EXAMPLES, INKS, PRINTS, drawn_forms

FOLDER = Path("out/cells")
SURE = 0.9
# Guides are told from writing by a picture of the blank form, which these templates lack.
DOTTED = "dotted guides"
Pages = Sequence[tuple[str, np.ndarray | Path, Callable[[str], str]]]
"""A page's name, its picture or file, and the digits written in the field of a name."""
WAYS = {"cell by cell": "digits", "heard as a whole too": "", "as free boxes": ""}


def c1() -> Pages:
    root = catalog.data_root() / "c1"
    with (root / "labels.csv").open(newline="") as file:
        written = {(row["form"], row["field"]): row["written"] for row in csv.DictReader(file)}
    return [(p.stem, p, lambda name, p=p: value_of(written[p.stem, name])) for p in sorted((root / "pages").iterdir())]


def tallies(style: str, seed: int = 7) -> Pages:
    rng = np.random.default_rng(seed)
    sheets = [(ink, drawn_forms()["tally"].fill(ink, style, rng)) for ink in INKS]
    return [(ink, sheet.image, lambda name, sheet=sheet: value_of(sheet.written[name])) for ink, sheet in sheets]


def saved(template: Template, name: str, free: bool = False) -> Path:
    """The template without rules; free: its cells as boxes in which digits stand as they like."""
    page = template.pages[0]
    cells = [spec.model_copy(update={"cells": 0, "digits": (0, spec.cells)}) if free else spec for spec in page.fields]
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    made = template.model_copy(update={"rules": (), "pages": (page.model_copy(update={"fields": tuple(cells)}),)})
    file.write_text(made.model_dump_json())
    return file


def read(pages: Pages, template: Path, model: str = "") -> list[tuple[FieldReading, bool]]:
    """Each field and whether its digits are right; pages that are not read count for nothing."""
    reader = Reader(template, model=model)
    out = []
    for _, page, written in pages:
        form = next(iter(reader.read([page]))) if isinstance(page, Path) else reader.read_page(page)
        out += [(item, item.value == written(item.name)) for item in form.fields]
    return out


def row(read_: list[tuple[FieldReading, bool]]) -> str:
    """Right, interval, surer than 0.9 and wrong, share that can be accepted at 1 % error with hindsight."""
    n, right = len(read_), sum(good for _, good in read_)
    low, high = wilson(right, n)
    wrong = sum(not good and item.confidence > SURE for item, good in read_)
    surest = np.cumsum([not good for _, good in sorted(read_, key=lambda one: -one[0].confidence)])
    fits = np.flatnonzero(surest <= 0.01 * np.arange(1, n + 1))
    share = (fits[-1] + 1) / n if len(fits) else 0.0
    return f"{n:,} | {right / n:.1%} | {low:.1%} to {high:.1%} | {wrong} | {share:.0%}"


def taught(epochs: int) -> Iterator[str]:
    """C1 by halves of its pages: what a model taught on one reads of the other."""
    pages, template = c1(), saved(load_template(EXAMPLES / "c1/template.json"), "c1")
    specs = load_template(template).fields
    before: list[tuple[FieldReading, bool]] = []
    after: list[tuple[FieldReading, bool]] = []
    for half in (0, 1):
        learn, test = pages[half::2], pages[1 - half :: 2]
        labels = [Label(name, spec.name, written(spec.name), "") for name, _, written in learn for spec in specs]
        reader = Reader(template, model="numbers", crops=True)
        found = labelled(reader, [page for _, page, _ in learn if isinstance(page, Path)], labels)
        pairs = [
            (view, label, n.form) for n, label in zip(found.numbers, found.labels, strict=True) for view in n.views[:2]
        ]
        numbers = Numbers(*(list(part) for part in zip(*pairs, strict=True)))
        base = load_model("numbers")
        done = teach(base, numbers, FOLDER / f"half-{half}", settings=FineTuneSettings(epochs=epochs))
        scores = f"{done.composed[0]:.1%} | {done.composed[1]:.1%} | {done.way:.1f}"
        yield f"| half {half + 1} | {len(found.numbers)} | {scores} |"
        before += read(test, template)
        after += read(test, template, str(FOLDER / f"half-{half}"))
    yield "\n| the other half, read with | fields | right | 95 % interval | wrong above 0.9 | accepted at 1 % |"
    yield "|---|---|---|---|---|---|"
    yield f"| `numbers` as it ships | {row(before)} |"
    yield f"| the taught model | {row(after)} |"


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Rows of printed cells\n"
    yield f"Printed by `python benchmarks/cells.py{' --teach' if given.teach else ''}` on {machine()}.\n"
    yield "Accepted at 1 %: the largest share, surest first, of which at most 1 % is wrong, chosen with hindsight.\n"
    yield "| pages | read | fields | right | 95 % interval | wrong above 0.9 | accepted at 1 % |"
    yield "|---|---|---|---|---|---|---|"
    sets = {f"tally, {style}": (drawn_forms()["tally"].template, tallies(style)) for style in PRINTS if style != DOTTED}
    sets["c1"] = (load_template(EXAMPLES / "c1/template.json"), c1())
    for name, (template, pages) in sets.items():
        for way, model in WAYS.items():
            yield f"| {name} | {way} | {row(read(pages, saved(template, 'read', way == 'as free boxes'), model))} |"
    if given.teach:
        yield "\n## Taught on half of the C1 pages\n"
        yield "| taught on | numbers | composed numbers before | after | weights from the old (0) to the taught (1) |"
        yield "|---|---|---|---|---|"
        yield from taught(given.epochs)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--teach", action="store_true")
    parser.add_argument("--epochs", type=int, default=FineTuneSettings().epochs)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
