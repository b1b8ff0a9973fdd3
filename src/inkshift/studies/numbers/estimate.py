"""What a study of whole numbers will cost on this machine, before it runs: time and disk from a few timed steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from inkshift.datasets.numbers import load_numbers
from inkshift.datasets.synth import paper, shapes, strings
from inkshift.models.train.loop import number_loss
from inkshift.models.train.networks import NumberNet, as_input
from inkshift.reframe import parse
from inkshift.studies.engine import START_SECONDS, Estimate, Line, finished
from inkshift.studies.numbers.plan import BudgetArm, StringPlan
from inkshift.studies.numbers.work import network
from inkshift.studies.spec import StringStudy

_TIMED = 16
_RECORD_BYTES = 40  # a test number in readings.csv


def estimate(study: StringStudy, planned: StringPlan, folder: Path, workers: int) -> Estimate:
    """Time a step, a reading and the composing of a few numbers, and count what is left to do, early stops left out.

    Raises DataError where the data are not here.
    """
    pictures, _, _ = load_numbers(study.data)
    run = planned.runs[0]
    width = int(
        np.mean([parse(run.reframing)(picture).shape[1] for picture in pictures[:: max(1, len(pictures) // 50)]])
    )
    speeds = _speeds(network(run), width)
    lines = tuple(_line(arm, len(pictures), speeds, folder) for arm in planned.arms)
    total = sum(line.seconds for line in lines)
    tested = round(study.test_share * len(pictures))
    disk = len(planned.runs) * (tested * _RECORD_BYTES + 4000)
    return Estimate(lines, total / max(1, min(workers, os.cpu_count() or 1)), total, disk, disk, ())


def _line(arm: BudgetArm, numbers: int, speeds: tuple[float, float, float], folder: Path) -> Line:
    learned, read, composed = speeds
    run, p = arm.runs[0], arm.runs[0].protocol
    tested = run.test_share * numbers
    each = (tested + 2 * run.old_task) * read + run.old_task * composed
    shown = epochs = 0
    if arm.budget is not None:
        own, epochs = max(p.least, round(arm.budget * (1 - p.held_out))), p.epochs
        rehearsed = own if arm.regime == "fine-tuned" else 0
        shown = own + rehearsed
        each += epochs * (shown * learned + rehearsed * composed + arm.budget * p.held_out * read)
    todo = sum(not finished(folder, one) for one in arm.runs)
    return Line(run.task, arm.name, len(arm.runs), todo, epochs, shown, each, todo * (each + START_SECONDS))


def _speeds(net: NumberNet, width: int) -> tuple[float, float, float]:
    """Seconds for a number: learned from, read, composed; one thread."""
    torch.set_num_threads(1)
    images = torch.zeros(_TIMED, 32, -(-width // 8) * 8, dtype=torch.uint8)
    digits = torch.zeros(_TIMED, 4, dtype=torch.int64)
    maps, labels = shapes.bank(2, 0)
    glyphs, papers = strings.make_glyphs(maps, labels, [len(labels)], [1.0]), paper.make_papers(0, 1)
    rng = np.random.default_rng(0)

    def learn() -> None:
        net.train()
        number_loss(net(as_input(images)), digits).backward()  # type: ignore[no-untyped-call]

    def read() -> None:
        net.eval()
        with torch.inference_mode():
            net(as_input(images))

    def compose() -> None:
        for _ in range(_TIMED):
            strings.compose_digits(glyphs, papers, rng)

    return _seconds(learn), _seconds(read), _seconds(compose)


def _seconds(work: Callable[[], object]) -> float:
    work()
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / _TIMED
