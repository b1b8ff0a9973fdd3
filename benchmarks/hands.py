"""Numbers composed of digits of writers who are in no training set: whether a recogniser reads other hands.

    python benchmarks/hands.py [--model numbers ...] [--count 2400] [--seed 11] [--out docs/results/hands.md]

--model: bundled packages' names or folders, read one after another on the same pictures. Numbers are composed as those
that a recogniser learns from (`inkshift.datasets.synth.strings`), of UNIPEN's digits, which nothing is trained on; none
is struck out, and none is without a digit. The digits of one number are of several writers. Needs $INKSHIFT_DATA or
../shared/data.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.synth import augment, paper, strings
from inkshift.models.package import load_model
from peers_metrics import accepted_share
from printed import options, show


def numbers(count: int, seed: int) -> list[tuple[strings.Gray, str]]:
    """Pictures (H, W) uint8, dark on light, and the digits of each."""
    data = catalog.load("unipen62", "train")
    rows = np.flatnonzero(np.char.isdigit(data.labels))
    maps = np.stack([augment.pack(augment.distance_map(np.asarray(data.images[int(row)]))) for row in rows])
    glyphs = strings.make_glyphs(maps, data.labels[rows].astype(np.int64), [len(rows)], [1.0])
    papers, rng = paper.make_papers(seed), np.random.default_rng(seed)
    out = []
    while len(out) < count:
        if label := strings.draw_label(augment.Dice(rng)):
            out.append(strings.compose_digits(glyphs, papers, rng, label))
    return out


def lines(given: argparse.Namespace) -> Iterator[str]:
    shown = numbers(given.count, given.seed)
    yield "# Other hands"
    yield ""
    command = f"python benchmarks/hands.py --model {' '.join(given.model)} --count {given.count} --seed {given.seed}"
    yield f"Printed by `{command}` on {machine()}."
    yield f"{given.count:,} numbers composed of UNIPEN's digits, which are in no training set."
    yield ""
    yield "| model | numbers learned from | right | wrong above 0.9 | accepted at 5 % error | at 2 % | at 1 % |"
    yield "|---|---|---|---|---|---|---|"
    for model in given.model:
        reader = Reader(read_as="number", model=model, digits=(1, strings.LONGEST))
        fields = [reader.read_page(picture).fields[0] for picture, _ in shown]
        right = [field.value == label for field, (_, label) in zip(fields, shown, strict=True)]
        sure = [float(field.confidence) for field in fields]
        silent = sum(s > 0.9 and not good for s, good in zip(sure, right, strict=True))
        shares = " | ".join(f"{accepted_share(sure, right, error):.1%}" for error in (0.05, 0.02, 0.01))
        learned = load_model(model).manifest.training["numbers composed"]
        yield f"| {model} | {learned:,} | **{np.mean(right):.1%}** | {silent} | {shares} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", nargs="+", default=["numbers"], help="names of bundled packages, or folders")
    parser.add_argument("--count", type=int, default=2400, help="how many numbers")
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
