"""Ticks on drawn forms: how often `0` and `1` are wrong, and the regression behind them.

    python benchmarks/ticks.py [--pages N] [--fit] [--show FOLDER]

Boxes of several sizes, with and without a picture of the blank form, ticked by several pens and scanned. --fit fits the
weights on other pages than it then measures and prints them for `forms/field/tick.py`. --show: folder for pictures of
what is wrong.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from inkshift.forms.cut import ink as inks
from inkshift.forms.cut.cutout import inner
from inkshift.forms.field import tick
from inkshift.forms.page.known import KnownForm
from inkshift.forms.page.laid import cut_out
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from specimens.pen import lay_ink
from specimens.scanner import scan
from specimens.specimen import Layout, Text, draw_blank
from specimens.ticks import BLANK, DOUBTFUL, TICKED, draw_tick

SURE = 0.9
SIZE, ROWS, COLUMNS = (1240, 1754), 16, 5
# How often each kind is drawn; what cannot be told is rare on paper, and half as common as the others here.
SHARES = {**dict.fromkeys(TICKED, 1.0), **dict.fromkeys(DOUBTFUL, 0.8), "nothing": 4.0, "speck": 1.5, "neighbour": 1.0}


class Box(NamedTuple):
    """What was drawn, what it means, and what it looks like."""

    kind: str
    means: str
    row: np.ndarray
    crop: np.ndarray
    setting: str


def means(kind: str) -> str:
    """The symbol of a kind of mark."""
    return "1" if kind in TICKED else "0" if kind in BLANK else "?"


def blank_form(rng: np.random.Generator, folder: Path) -> tuple[Template, np.ndarray, bool]:
    """A form of boxes with their words, its clean picture, and whether the template has that picture."""
    side = int(rng.integers(20, 46))
    framed, known = bool(rng.random() < 0.8), bool(rng.random() < 0.5)
    fields, texts = [], [Text(620, 150, "Please tick", 40, True, "mm")]
    for k in range(ROWS * COLUMNS):
        x, y = 110 + 215 * (k % COLUMNS), 250 + 85 * (k // COLUMNS)
        fields.append(FieldSpec(name=f"t{k:02}", box=(x, y, side, side), kind="tick", frame=framed))
        texts.append(Text(x + 1.45 * side, y + side / 2, f"option {k}", 20))
    marks = tuple(Mark(x=x, y=y, size=34) for x in (60, 1180) for y in (60, 1694))
    lines = ((90.0, 200.0, 1150.0, 200.0), (90.0, 1660.0, 700.0, 1660.0))
    page = PageSpec(size=SIZE, marks=marks, lines=lines, fields=tuple(fields))
    clean = draw_blank(page, Layout(tuple(texts)))
    if known:
        cv2.imwrite(str(folder / "blank.png"), clean)
        page = page.model_copy(update={"reference": "blank.png"})
    return Template(name="ticks", pages=(page,)), clean, known


def draw_page(seed: int, folder: Path) -> Iterator[Box]:
    """The boxes of one page as one writer filled it in."""
    rng = np.random.default_rng(seed)
    template, clean, known = blank_form(rng, folder)
    spec = template.pages[0]
    sheet = clean.astype(np.float32)
    pen, level = rng.uniform(2.0, 5.0), rng.uniform(20, 140)
    kinds = rng.choice(list(SHARES), len(spec.fields), p=np.array(list(SHARES.values())) / sum(SHARES.values()))
    for field, kind in zip(spec.fields, kinds, strict=True):
        x, y, side, _ = field.box
        ink = draw_tick(str(kind), side, pen, rng)
        lay_ink(sheet, ink, round(x - side / 2), round(y - side / 2), level + rng.uniform(-8, 8), rng)
    page = scan(np.clip(np.rint(sheet), 0, 255).astype(np.uint8), rng)
    (folder / "ticks.json").write_text(template.model_dump_json())
    form = KnownForm(folder / "ticks.json")
    jobs = cut_out(form.darkened(form.lay(page)[0]))
    reference = inks.ink_level([inner(job) for job in jobs])
    setting = f"{'picture' if known else 'no picture'}, {'frame' if spec.fields[0].frame else 'no frame'}"
    for job, kind in zip(jobs, kinds, strict=True):
        row = tick.features(job.dark, job.frame, job.printed, reference)
        yield Box(str(kind), means(str(kind)), row, job.crop, setting)


def draw_pages(seeds: range) -> list[Box]:
    """The boxes of many pages; those that are not found where they are are left out and said."""
    boxes: list[Box] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            try:
                boxes += draw_page(seed, Path(folder))
            except Exception as e:
                print(f"page {seed}: {e}")
    return boxes


def fit(boxes: list[Box], steps: int = 4000, keep: float = 0.002) -> np.ndarray:
    """Weights of the multinomial regression by Newton-free ascent; `keep`: how much weights are held near 0."""
    rows, wanted = np.stack([b.row for b in boxes]), np.array([tick.SYMBOLS.index(b.means) for b in boxes])
    weights, moment, spread = np.zeros((3, rows.shape[1])), 0.0, 0.0
    target = np.eye(3)[wanted]
    for step in range(1, steps + 1):
        slope = (target - tick.probabilities(rows, weights)).T @ rows / len(rows) - keep * weights
        moment, spread = 0.9 * moment + 0.1 * slope, 0.999 * spread + 0.001 * slope**2
        weights = weights + 0.05 * (moment / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.999**step)) + 1e-8)
    return weights - weights[0]


def measure(boxes: list[Box], weights: np.ndarray | None, show: Path | None) -> None:
    """Print how often each kind is right, wrong and wrong above SURE."""
    shares = tick.probabilities(np.stack([b.row for b in boxes]), weights)
    for what, group in (("kind", [b.kind for b in boxes]), ("setting", [b.setting for b in boxes])):
        print(f"{what:24} boxes  right  sure  wrong and sure")
        for name in (*dict.fromkeys(group), ""):
            counts: Counter[str] = Counter()
            for i, (box, share) in enumerate(zip(boxes, shares, strict=True)):
                if name and group[i] != name:
                    continue
                best = tick.SYMBOLS[int(share.argmax())]
                sure = share.max() > SURE and best != "?"
                wrong = sure and best != box.means
                counts += Counter(boxes=1, right=best == box.means, sure=sure, wrong=wrong)
                if wrong and show and not name and what == "kind":
                    show.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(show / f"{i}-{box.kind}-{best}-{share.max():.2f}.png"), box.crop)
            n = counts["boxes"]
            print(f"{name or 'all':24} {n:5} {counts['right'] / n:6.3f} {counts['sure'] / n:5.2f} {counts['wrong']:6}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--show", type=Path)
    args = parser.parse_args()
    weights = None
    if args.fit:
        weights = fit(draw_pages(range(100_000, 100_000 + args.pages)))
        print(np.array2string(weights.round(2), separator=", "))
    measure(draw_pages(range(args.pages)), weights, args.show)


if __name__ == "__main__":
    main()
