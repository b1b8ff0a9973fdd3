"""What a study will cost on this machine, before it runs: time and disk from a few timed steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inkshift.datasets.catalog import CATALOG
from inkshift.datasets.formats import Split
from inkshift.datasets.tasks import Task
from inkshift.errors import DataError
from inkshift.models.train.loop import forward, predict
from inkshift.models.train.networks import final_layer
from inkshift.studies.characters import regimes
from inkshift.studies.characters.plan import Plan, RegimeArm, Run
from inkshift.studies.engine import START_SECONDS, ArmPlan, Estimate, finished
from inkshift.studies.spec import Study

_LARGE = 64  # pixels; larger pictures are timed in smaller batches
_LARGEST = 128  # pixels; still larger ones are timed at this size, for their area
_MOST_TIMED = 64  # pictures of that size; what larger batches take follows
_LONG = 0.3  # seconds; a step that takes longer is timed once


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for an image: learned from with all weights, only passed forward, and in one frozen final layer."""

    learned: float
    forward: float
    head: float
    parameters: int
    features: int


def estimate(study: Study, planned: Plan, folder: Path, workers: int) -> Estimate:
    """Time a few steps of each network and count what is left to do. Data that are not here count as they are stated.

    Raises DataError for a data set that is neither here nor of stated size.
    """
    arms = [("source networks", RegimeArm("control", run.protocol, (run,))) for run in planned.sources]
    arms += [(one.spec.name, arm) for one in planned.sets for arm in one.arms]
    lines, seen = [], set[str]()
    for name, arm in arms:
        own = [run for run in arm.runs if run.key not in seen]
        seen |= {run.key for run in own}
        lines.append(_line(name, arm, [run for run in own if not finished(folder, run)]))
    total = sum(line.seconds for line in lines)
    disk, peak = _disk(study, planned, workers)
    stated = {str(run.task) for run in planned.runs if _count(run.task, "test")[1]}
    return Estimate(
        tuple(lines), total / max(1, min(workers, os.cpu_count() or 1)), total, disk, peak, tuple(sorted(stated))
    )


def _line(name: str, arm: RegimeArm, todo: list[Run]) -> ArmPlan:
    run = arm.runs[0]
    speed = measure_speed(run)
    train, rest = image_counts(run)
    if run.regime == "as-is":
        each = rest * speed.forward
        total = len(todo) * (each + START_SECONDS)
    elif run.batched:
        each = arm.protocol.epochs * train * speed.head
        trunks = len({one.source for one in todo})
        total = trunks * ((train + rest) * speed.forward + START_SECONDS) + len(todo) * each
    else:
        step = speed.forward if run.regime == "frozen" else speed.learned
        each = run.protocol.epochs * (train * step + rest * speed.forward)
        total = len(todo) * (each + START_SECONDS)
    regime = arm.name if run.role == "target" else str(run.task)
    return ArmPlan(name, regime, len(arm.runs), len(todo), run.protocol.epochs, train, each, total)


def image_counts(run: Run) -> tuple[int, int]:
    """Images that a run learns from, and those it is measured on after each epoch."""
    p = run.protocol
    train = count_images(run.task, "train") - p.validation
    test = count_images(run.task, "test")
    train = min(train, p.train_images or train, p.labels or train)
    if run.regime == "pooled" and run.source_task:
        train += count_images(run.source_task, "train")
    return max(train, p.least), min(test, p.test_images or test) + p.validation


def count_images(task: Task, split: Split) -> int:
    """Images of a task in a split: counted where the data are here, else as the catalogue states them."""
    return _count(task, split)[0]


@lru_cache
def _count(task: Task, split: Split) -> tuple[int, bool]:
    """How many images, and whether that is only what the catalogue states."""
    try:
        return int((task.load(split)[1] >= 0).sum()), False
    except DataError:
        stated = [CATALOG[name].stated.get(split, {}) if name in CATALOG else {} for name in task.names]
        if task.test_share is not None or any(task.space not in one for one in stated):
            raise
        return sum(one[task.space] for one in stated), True


def measure_speed(run: Run) -> Speed:
    """Time a step or two, as many passes forward and of a final layer, on blank pictures, one thread."""
    p = run.protocol
    return _measure_speed(
        replace(run, regime="control", source=None, source_task=None, weights=None, replicate=0, seed=0), p.side
    )


@lru_cache
def _measure_speed(run: Run, side: int) -> Speed:
    how = regimes.settings(run)
    torch.set_num_threads(1)
    net = regimes.network(run, None)
    net.to(memory_format=torch.channels_last)
    timed = min(side, _LARGEST)
    count = max(1, min(run.protocol.batch, _MOST_TIMED * _LARGE**2 // timed**2))
    images = np.zeros((count, timed, timed), np.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    optimiser = torch.optim.Adam(net.parameters(), lr=how.rate, fused=True)

    def learn() -> None:
        net.train()
        loss = nn.functional.cross_entropy(forward(net, images, how), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    layer = final_layer(net)
    x = torch.zeros(count, layer.in_features)

    def head() -> None:
        nn.functional.cross_entropy(layer(x), labels).backward()  # type: ignore[no-untyped-call]

    area = (side / timed) ** 2
    return Speed(
        _seconds(learn) / count * area,
        _seconds(lambda: predict(net, images, settings=how)) / count * area,
        _seconds(head) / count,
        sum(parameter.numel() for parameter in net.parameters()),
        layer.in_features,
    )


def _seconds(work: Callable[[], object]) -> float:
    """Of this process's own time: one thread works, and what else the machine does is not the study's cost."""
    start = time.process_time()
    work()
    first = time.process_time() - start
    if first > _LONG:
        return first
    start = time.process_time()
    work()
    return min(first, time.process_time() - start)


def _disk(study: Study, planned: Plan, workers: int) -> tuple[int, int]:
    """Bytes of a finished study, and at most on the way."""
    records = packages = features = largest = 0
    trunks: set[tuple[str | None, str]] = set()
    for run in planned.runs:
        speed = measure_speed(run)
        weights, classes = 4 * speed.parameters, len(run.task.labels)
        train, rest = image_counts(run)
        records += 2 * rest + run.protocol.epochs * classes * classes // 2
        packages += weights if run.role == "source" else 0
        packed = study.packages == "all" or (study.packages == "first" and run.replicate == 0)
        packages += 2 * weights if packed and run.role == "target" else 0
        largest = max(largest, 3 * weights)
        if run.batched and (run.source, str(run.task)) not in trunks:
            trunks.add((run.source, str(run.task)))
            features += 4 * speed.features * (train + rest)
    return records + packages, records + packages + features + workers * largest
