"""The number recogniser in eight bits: what it loses, how fast it is, and a package of it.

    python benchmarks/int8.py --work FOLDER [--model numbers] [--out FOLDER]

FOLDER is where `inkshift model train numbers` kept its glyphs. Weights and activations are quantised to eight bits,
the ranges of activations from composed numbers (ONNX Runtime, static, QDQ); the score is that of 2,000 other composed
numbers of glyphs held out, one view, and speed that of both graphs by turns. --out leaves a package where no more
than 0.3 points are lost.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from bench_read import machine
from inkshift.datasets.synth import strings
from inkshift.models import ctc
from inkshift.models.package import GRAPH, WEIGHTS, Model, load_model, save_package
from inkshift.models.runtime import Recogniser, recogniser
from inkshift.models.train import glyphs
from inkshift.reframe import pad

CHECKS, RANGES, MAY_LOSE = 2000, 256, 0.003


class Pictures(CalibrationDataReader):
    """Composed numbers, one by one, for the ranges of activations."""

    def __init__(self, lines: strings.Lines) -> None:
        self.batches = iter([{"images": pad([picture])} for picture in lines.pictures])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def quantised(model: Model, lines: strings.Lines, folder: Path) -> Model:
    """The package in `folder`, its graph in eight bits, its weights as they were."""
    with tempfile.TemporaryDirectory() as scratch:
        plain, small = Path(scratch, "plain.onnx"), Path(scratch, "small.onnx")
        quant_pre_process(str(model.folder / GRAPH), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(small),
            Pictures(lines),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            extra_options={"CalibMovingAverage": True},
        )
        onnx.checker.check_model(str(small))
        manifest = model.manifest.model_copy(update={"name": folder.name})
        return save_package(folder, manifest, (model.folder / WEIGHTS).read_bytes(), small.read_bytes())


def right(run: Recogniser, lines: strings.Lines, labels: Sequence[str]) -> float:
    read = [ctc.collapse(steps.argmax(1)) for steps in run(lines.pictures)]
    return float(np.mean([a == b for a, b in zip(read, labels, strict=True)]))


def seconds(runs: Sequence[Recogniser], lines: strings.Lines, rounds: int = 5) -> list[float]:
    """The least time of each, by turns."""
    taken = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run(lines.pictures[:400])
            times.append(time.perf_counter() - start)
    return [min(times) for times in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with the glyphs")
    parser.add_argument("--model", default="numbers")
    parser.add_argument("--out", type=Path, help="folder for the package in eight bits")
    given = parser.parse_args()
    recipe, model = glyphs.load_recipe(), load_model(given.model)
    lines, labels = glyphs.check_set(recipe, given.work, CHECKS + RANGES)
    ranges, checks = strings.Lines(lines.pictures[CHECKS:]), strings.Lines(lines.pictures[:CHECKS])
    with tempfile.TemporaryDirectory() as scratch:
        small = quantised(model, ranges, Path(scratch, f"{model.manifest.name}-int8"))
        runs = [recogniser(each) for each in (model, small)]
        scores = [right(run, checks, labels[:CHECKS]) for run in runs]
        times = seconds(runs, checks)
        sizes = [(each.folder / GRAPH).stat().st_size / 1e6 for each in (model, small)]
        print(f"{model.manifest.name} in eight bits; {machine()}\n")
        print("| graph | MB | composed numbers, one view | time against float32 |\n|---|---|---|---|")
        for name, size, score, spent in zip(("float32", "int8"), sizes, scores, times, strict=True):
            print(f"| {name} | {size:.2f} | {score:.2%} | {spent / times[0]:.2f} |")
        loses = scores[0] - scores[1]
        print(f"\nint8 loses {100 * loses:.2f} points; {100 * MAY_LOSE:g} are allowed")
        if given.out and loses <= MAY_LOSE:
            shutil.copytree(small.folder, given.out, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
