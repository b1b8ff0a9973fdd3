"""Variants of the number recogniser, each taught on the same composed numbers: is a trunk worth reusing?

    python benchmarks/variants.py --work FOLDER [--epochs 6] [--out FILE]

FOLDER is where `inkshift model train numbers` kept its glyphs. `reused` is structure reframing (Hernandez-Orallo et
al. 2016): the convolutions of the model `digits`, which know single digits, slid along the line, with the same layers
along the line behind them; frozen, or learning on. The score is the share of composed numbers of glyphs held out that
one view reads right, and on ORAND amounts (where $INKSHIFT_DATA or ../shared/data holds them) likewise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import safetensors.torch
import torch
from torch import nn

from bench_read import machine
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.synth import paper, strings
from inkshift.forms.cut import ink
from inkshift.forms.cut.cutout import FieldJob, seen
from inkshift.forms.field import numbers
from inkshift.models.package import WEIGHTS, load_model
from inkshift.models.train import glyphs, loop
from inkshift.models.train.finetune import judge
from inkshift.models.train.networks import NumberNet, mnist_convnet
from inkshift.reframe import parse
from printed import options, show

CHECKS = 1000
STRINGS = 4096  # composed anew for each epoch


def scratch(recipe: glyphs.Recipe) -> NumberNet:
    return NumberNet(recipe.widths)


def reused(recipe: glyphs.Recipe, frozen: bool = False) -> NumberNet:
    """The number recogniser with the convolutions of `digits` as its trunk; they see lines 28 pixels high."""
    model = load_model("digits")
    donor = mnist_convnet(len(model.manifest.classes))
    donor.load_state_dict(safetensors.torch.load_file(model.folder / WEIGHTS))
    net = NumberNet(recipe.widths)
    convolutions = nn.Sequential(*list(donor)[:6]).requires_grad_(not frozen)
    # 32 high becomes 28, and six columns are added, so that a step still stands for four columns of the picture.
    net.trunk = nn.Sequential(nn.AdaptiveAvgPool2d((28, None)), nn.ConstantPad2d((3, 3, 0, 0), 0.0), convolutions)
    net.line[0] = nn.Conv2d(64, recipe.widths[3], (5, 1), bias=False)
    return net


VARIANTS: dict[str, Callable[[glyphs.Recipe], NumberNet]] = {
    "from scratch, as `numbers`": scratch,
    "trunk of `digits`, learning on": reused,
    "trunk of `digits`, frozen": lambda recipe: reused(recipe, frozen=True),
}


def taught(make: Callable[[glyphs.Recipe], NumberNet], recipe: glyphs.Recipe, given: argparse.Namespace) -> NumberNet:
    """A variant after so many epochs of composed numbers, the same for each."""
    known, papers = glyphs.load_glyphs(recipe, given.work), paper.make_papers(recipe.seed)
    frame, count = parse(recipe.reframing), STRINGS
    loop.seed_all(recipe.seed)
    net = make(recipe)
    average = loop.averaged(net, 0.99)
    settings = loop.LoopSettings(
        epochs=given.epochs, batch=recipe.training.batch, rate=recipe.training.rate, anneal=True, fast=True, clip=5.0
    )
    loop.train(
        net,
        lambda epoch: strings.epoch(known, papers, count, [recipe.seed, 3, epoch], frame),
        settings,
        loss=loop.number_loss,
        average=average,
        report=lambda epoch, loss: print(f"epoch {epoch + 1}: {loss:.3f}", file=sys.stderr),
    )
    return average.module.eval()


def amounts(recipe: glyphs.Recipe) -> tuple[strings.Lines, list[str]] | None:
    """ORAND amounts as the first view shows them, doubtful labels left out."""
    path = catalog.data_root() / "orand_car_a/numbers.npz"
    if not path.exists():
        return None
    images, arrays = read_ragged(path)
    keep = [i for i in range(len(images)) if not arrays["doubtful"][i]]
    frame, pictures = parse(recipe.reframing), []
    for i in keep:
        h, w = images[i].shape[:2]
        crop, dark = seen(FieldJob("", "number", images[i], ink.darkness(images[i]), (0, 0, w, h)))
        pictures += numbers.Line(crop, dark).pictures(frame, numbers.ONE)
    return strings.Lines(pictures), [str(arrays["labels"][i]) for i in keep]


def lines(given: argparse.Namespace) -> Iterator[str]:
    recipe = glyphs.load_recipe()
    checks, real = glyphs.check_set(recipe, given.work, CHECKS), amounts(recipe)
    shown = f"{given.epochs} epochs of {STRINGS:,} numbers"
    yield "# Variants of the number recogniser"
    yield f"\nPrinted by `python benchmarks/variants.py` on {machine()}. Each variant learned from {shown}.\n"
    yield "| variant | parameters | learning | composed numbers | ORAND, one view | minutes |"
    yield "|---|---|---|---|---|---|"
    for name, make in VARIANTS.items():
        start = time.monotonic()
        net = taught(make, recipe, given)
        minutes = (time.monotonic() - start) / 60
        sizes = [(p.numel(), p.requires_grad) for p in net.parameters()]
        whole, learning = sum(n for n, _ in sizes), sum(n for n, grad in sizes if grad)
        cells = [f"{judge(net, *part)[1]:.1%}" if part else "-" for part in (checks, real)]
        yield f"| {name} | {whole:,} | {learning:,} | {' | '.join(cells)} | {minutes:.1f} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with the glyphs")
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
