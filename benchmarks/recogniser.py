"""How the training of the number recogniser goes, what it learns from, and how fast that is composed.

python benchmarks/recogniser.py --work FOLDER --out docs/results/recogniser.md
python benchmarks/recogniser.py --work FOLDER --sheet numbers.png
python benchmarks/recogniser.py --against OTHER/src
python benchmarks/recogniser.py --models numbers out/numbers
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.synth import paper, strings
from inkshift.forms.cut import ink
from inkshift.forms.field import numbers as views
from inkshift.models import ctc
from inkshift.models.package import GRAPH, load_model
from inkshift.models.runtime import recogniser
from inkshift.models.train import glyphs, numbers
from inkshift.models.train.checkpoint import load_checkpoint
from inkshift.models.train.eight_bits import steps_in
from inkshift.reframe import parse

ROUNDS = 4
# Composes and frames numbers of given digits, drawn glyphs alone; prints the least time of one, in milliseconds of this
# process. Runs with another version's code too, so it uses nothing that is new.
TIMED = """
import time, cv2, numpy as np
try:
    from inkshift.datasets.synth import paper, shapes, strings
except ImportError:
    from inkshift.datasets import paper, shapes, strings
from inkshift.reframe import parse
cv2.setNumThreads(1)
maps, labels = shapes.bank(100, 0)
glyphs, papers = strings.make_glyphs(maps, labels, [len(labels)], [1.0]), paper.make_papers(0)
frame, rng = parse("gray|light_ink|stretch|line(32)"), np.random.default_rng(0)
texts = ["".join(str((k * 7919 + j * 31 + k // 3) % 10) for j in range(1 + k * 37 % 8)) for k in range(60)]
least = 1e9
for _ in range(8):
    start = time.process_time()
    for text in texts:
        frame(strings.compose(glyphs, papers, rng, text)[0])
    least = min(least, (time.process_time() - start) / len(texts))
print(1000 * least)
"""


def table(work: Path) -> Iterator[str]:
    """What was read right of composed numbers held out, by hours of training."""
    recipe = glyphs.load_recipe()
    progress = load_checkpoint(work / numbers.CHECKPOINT)[0]
    checks = numbers.check_sets(recipe, work / "glyphs")
    shipped = load_model("numbers")
    before = numbers.judge_all(partial(steps_in, (shipped.folder / GRAPH).read_bytes()), checks)
    count = sum(len(labels) for _, labels in checks)
    yield "# The number recogniser, as it learns"
    yield "\nPrinted by `python benchmarks/recogniser.py` from the log of `inkshift model train numbers`."
    yield f"{count:,} numbers composed with {len(checks)} seeds of glyphs and writers held out, one view."
    yield "Digits: all digits right; plain: the same, of numbers without digits struck out and without a second number;"
    yield "marks: all digits and all marks right. What is composed may have changed between two sittings."
    yield f"The checkpoint holds {progress.hours:.1f} hours, {progress.numbers:,} numbers.\n"
    yield "| hours | numbers | digits | plain | marks |"
    yield "|---|---|---|---|---|"
    learned = shipped.manifest.training["numbers composed"]
    yield f"| shipped `numbers` | {learned:,} | {before.digits:.1%} | {before.plain:.1%} | {before.symbols:.1%} |"
    with (work / numbers.LOG).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            digits, plain, symbols = (float(row[name]) for name in ("digits", "plain", "symbols"))
            seen = f"| {float(row['hours']):.2f} | {int(row['numbers']):,}"
            yield f"{seen} | {digits:.1%} | {plain:.1%} | {symbols:.1%} |"


def sheet(work: Path, file: Path, rows: int = 18, columns: int = 9) -> None:
    """A contact sheet of numbers as the recogniser learns from them, each above its label; `_` is a gap."""
    recipe, rng = glyphs.load_recipe(), np.random.default_rng(0)
    known, papers, frame = glyphs.load_glyphs(recipe, work / "glyphs"), paper.make_papers(0), parse(recipe.reframing)
    out = np.full((rows * 52, columns * 200), 90, np.uint8)
    for at in range(rows * columns):
        picture, label = strings.compose(known, papers, rng)
        framed = frame(picture)[:, :198]
        cell = out[at // columns * 52 :, at % columns * 200 :][:51, :199]
        cell[:] = 0
        cell[:32, : framed.shape[1]] = framed
        text = label.replace(" ", "_") or "(empty)"
        cv2.putText(cell, text, (0, 47), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,), 1)
    cv2.imwrite(str(file), out)


def ratio(other: Path) -> str:
    """How much faster this version composes than another, by turns; the least times of both."""
    here = Path(strings.__file__).parents[3]
    times: dict[Path, list[float]] = {other: [], here: []}
    for _ in range(ROUNDS):
        for source, taken in times.items():
            environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            done = subprocess.run([sys.executable, "-c", TIMED], env=environment, capture_output=True, check=True)
            taken.append(float(done.stdout))
    old, new = (min(taken) for taken in times.values())
    return f"composing a number: {old:.2f} ms before, {new:.2f} ms now, {old / new:.1f} times as fast"


def one_view(names: list[str]) -> Iterator[str]:
    """Numbers that packages read whole by the likeliest symbol of each step, one view, on real and composed sets."""
    models = [load_model(name) for name in names]
    yield f"| set | numbers | {' | '.join(names)} |"
    yield "|---|---|" + "---|" * len(names)
    root = catalog.data_root()
    for name in ("orand_car_a/numbers", "actas/fields", "composed/clean", "composed/touch", "composed/noisy"):
        images, arrays = read_ragged(root / f"{name}.npz")
        fair = np.flatnonzero(~arrays["doubtful"]) if "doubtful" in arrays else range(len(images))
        crops, labels = [np.ascontiguousarray(images[i]) for i in fair], [arrays["labels"][i] for i in fair]
        shares = []
        for model in models:
            run, frame = recogniser(model), model.reframing
            looks = [views.Line(crop, ink.darkness(crop)).pictures(frame, views.ONE)[0] for crop in crops]
            read = [ctc.collapse(run([look])[0].argmax(1)) for look in looks]
            shares.append(float(np.mean([text == label for text, label in zip(read, labels, strict=True)])))
        yield f"| {name} | {len(labels)} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder that was given to `inkshift model train numbers --work`")
    parser.add_argument("--out", type=Path, help="Markdown file for the table; printed where it is not given")
    parser.add_argument("--sheet", type=Path, help="picture to write instead: numbers as they are composed")
    parser.add_argument("--against", type=Path, help="the folder `src` of another version, to compare composing with")
    parser.add_argument("--models", nargs="+", help="packages to read real and composed sets with, one view each")
    given = parser.parse_args()
    if given.models:
        print("\n".join(one_view(given.models)))
    elif given.against:
        print(ratio(given.against.resolve()))
    elif given.work is None:
        parser.error("--work: needed for the table and the sheet")
    elif given.sheet:
        sheet(given.work, given.sheet)
    else:
        text = "\n".join(table(given.work)) + "\n"
        given.out.write_text(text, encoding="utf-8") if given.out else print(text, end="")


if __name__ == "__main__":
    main()
