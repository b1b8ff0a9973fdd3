"""The number recogniser taught on half of the ORAND amounts, with and without labels, tested on the other half.

    python benchmarks/teaching.py [--only fine-tuned adapted ...] [--epochs N] [--rounds N] [--out FILE]

Needs orand_car_a in $INKSHIFT_DATA or ../shared/data. The halves are drawn once, by seed; each amount counts as a form
of its own, since the set does not say who wrote what. Packages are left in out/teaching.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.forms.cut import ink
from inkshift.forms.cut.cutout import FieldJob, seen
from inkshift.forms.field import numbers
from inkshift.forms.judge.evaluate import wilson
from inkshift.models import pp_ocr
from inkshift.models.package import Model, load_model
from inkshift.models.train.adapt import UnlabelledNumbers
from inkshift.models.train.finetune import FineTuneSettings, Numbers
from inkshift.models.train.teaching import adapt_to, teach
from printed import options, show

FOLDER = Path("out/teaching")
WAYS = ("fine-tuned", "adapted", "adapted, two readers")
Half = tuple[list[np.ndarray], list[str]]


def halves(seed: int = 0) -> tuple[Half, Half]:
    """Pictures and labels of each half, doubtful labels left out."""
    images, arrays = read_ragged(catalog.data_root() / "orand_car_a/numbers.npz")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~arrays["doubtful"]))
    cut = len(order) // 2
    sides = [
        ([images[i] for i in rows], [str(arrays["labels"][i]) for i in rows]) for rows in (order[:cut], order[cut:])
    ]
    return sides[0], sides[1]


def views(images: Sequence[np.ndarray], model: Model) -> tuple[list[Sequence[np.ndarray]], list[np.ndarray]]:
    """Each picture as the recogniser sees it, and as a second reader does."""
    looks, crops = [], []
    for image in images:
        h, w = image.shape[:2]
        crop, dark = seen(FieldJob("", "number", image, ink.darkness(image), (0, 0, w, h)))
        looks.append(numbers.Line(crop, dark).pictures(model.reframing))
        crops.append(image)
    return looks, crops


def made(way: str, learn: Half, base: Model, given: argparse.Namespace) -> tuple[Model, str]:
    """The package that a way of teaching leaves, and what it says of itself."""
    images, labels = learn
    looks, crops = views(images, base)
    folder = FOLDER / way.replace(", ", "-").replace(" ", "-")
    if way == "fine-tuned":
        twice = [
            (look, label, str(i))
            for i, (both, label) in enumerate(zip(looks, labels, strict=True))
            for look in both[:2]
        ]
        own = Numbers(*(list(part) for part in zip(*twice, strict=True)))
        done = teach(
            base,
            own,
            folder,
            settings=FineTuneSettings(epochs=given.epochs),
            report=lambda e: print(e, file=sys.stderr),
        )
        return (
            done.model,
            f"composed numbers {done.composed[0]:.1%} before, {done.composed[1]:.1%} after; way {done.way:.1f}",
        )
    second = pp_ocr.recogniser()(crops) if "two readers" in way else None
    pages = UnlabelledNumbers(looks, [str(i) for i in range(len(looks))], second)
    adapted = adapt_to(base, pages, folder, rounds=given.rounds, report=lambda r: print(r, file=sys.stderr))
    return adapted.model, (
        f"{adapted.rounds} rounds kept, agreement {adapted.agreement[0]:.3f} to {adapted.agreement[1]:.3f}; "
        f"composed numbers {adapted.composed[0]:.1%} before, {adapted.composed[1]:.1%} after"
    )


def tested(model: Model, test: Half, second: bool) -> tuple[int, int]:
    reader = Reader(read_as="number", model=model.folder, second_reader="pp-ocrv6" if second else None)
    read = [reader.read_page(np.ascontiguousarray(image)).fields[0].value for image in test[0]]
    return sum(a == b for a, b in zip(read, test[1], strict=True)), len(read)


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# The number recogniser taught on half of ORAND, tested on the other half"
    yield f"\nPrinted by `python benchmarks/teaching.py` on {machine()}.\n"
    yield "| model | own recogniser alone | 95 % interval | with PP-OCRv6 | 95 % interval | minutes | |"
    yield "|---|---|---|---|---|---|---|"
    learn, test = halves()
    base = load_model(given.model)
    for way in ("as it ships", *given.only):
        start = time.monotonic()
        model, note = (base, f"{len(learn[0])} amounts to learn from, {len(test[0])} to test on")
        if way != "as it ships":
            model, note = made(way, learn, base, given)
        minutes = (time.monotonic() - start) / 60
        cells = []
        for second in (False, True):
            right, n = tested(model, test, second)
            low, high = wilson(right, n)
            cells.append(f"**{right / n:.1%}** | {low:.1%} to {high:.1%}")
        yield f"| {way} | {' | '.join(cells)} | {minutes:.1f} | {note} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS), metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--model", default="numbers", help="a package that reads numbers")
    parser.add_argument("--epochs", type=int, default=FineTuneSettings().epochs)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
