"""What eight bits cost a number recogniser and what they save: composed numbers read right, time, and bytes.

    python benchmarks/eight_bits.py --work FOLDER [--model numbers] [--count 2000] [--write] [--out FILE]

FOLDER was given to `inkshift model train numbers --work`; --model is a package's name or folder. Its weights in float32
are exported anew, and turned into eight bits as `inkshift model train` does. Numbers are composed of glyphs held out,
four times --count; time is a core's for a picture among 32 of its width. --write puts the graph into the package, with
its score.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift.datasets.synth import strings
from inkshift.models.package import WEIGHTS, load_model, save_package
from inkshift.models.runtime import open_session
from inkshift.models.train import glyphs, numbers
from inkshift.models.train.eight_bits import in_eight_bits, steps_in
from inkshift.models.train.finetune import net_of
from inkshift.models.train.networks import line_graph_bytes
from printed import options, show

SEEDS, REPEATS = range(4), 20


def milliseconds(graph: bytes, lines: strings.Lines) -> float:
    """The least that a picture among 32 of about one width takes of a core."""
    session = open_session(graph)
    pictures = lines[np.argsort(lines.widths)[len(lines) // 2 :][:32]]
    name, taken = session.get_inputs()[0].name, []
    for _ in range(REPEATS):
        start = time.process_time()
        session.run(None, {name: pictures})
        taken.append(time.process_time() - start)
    return 1000 * min(taken) / len(pictures)


def lines(given: argparse.Namespace) -> Iterator[str]:
    """The table; and the package written, if that is asked for."""
    model, recipe, work = load_model(given.model), glyphs.load_recipe(), given.work / "glyphs"
    glyphs.prepare_glyphs(recipe, work)
    scaled_by = numbers.composed_lines(recipe, work)
    whole = line_graph_bytes(net_of(model))
    graphs = {"float32": whole, "eight bits": in_eight_bits(whole, scaled_by)}
    checks = [glyphs.check_set(recipe, work, given.count, seed, marked=True) for seed in SEEDS]
    yield f"Printed by `python benchmarks/eight_bits.py --work FOLDER --count {given.count}` on {machine()}."
    yield f"{len(checks) * given.count:,} composed numbers of glyphs and writers held out, one view.\n"
    yield "| graph | digits right | digits and marks | digits where nothing is struck out | ms a picture | bytes |"
    yield "|---|---|---|---|---|---|"
    for name, graph in graphs.items():
        shares = " | ".join(f"{share:.2%}" for share in astuple(numbers.judge_all(partial(steps_in, graph), checks)))
        yield f"| {name} | {shares} | {milliseconds(graph, scaled_by):.2f} | {len(graph):,} |"
    if given.write:
        graph = graphs["eight bits"]
        scores = numbers.scores_of(partial(steps_in, graph), recipe, work)
        manifest = model.manifest.model_copy(update={"scores": scores})
        save_package(model.folder, manifest, (model.folder / WEIGHTS).read_bytes(), graph)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="numbers")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    cv2.setNumThreads(1)
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
