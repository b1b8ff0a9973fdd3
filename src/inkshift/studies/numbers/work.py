"""One run of a study of whole numbers: who may learn what, the learning, the reading of the test half; and its cost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inkshift.datasets.catalog import load_numbers
from inkshift.datasets.synth import paper, shapes, strings
from inkshift.errors import DataError, ModelError, SettingError
from inkshift.files import as_csv, write_whole
from inkshift.jobs import digest
from inkshift.models import ctc
from inkshift.models.metrics import edit_distance
from inkshift.models.package import load_model
from inkshift.models.train import finetune, loop, rehearsal
from inkshift.models.train.loop import number_loss
from inkshift.models.train.networks import NumberNet, as_input
from inkshift.reframe import parse
from inkshift.studies.engine import START_SECONDS, ArmPlan, Estimate, Outcome, RunGroup, finished
from inkshift.studies.numbers.plan import BudgetArm, NumberPlan, NumberRun
from inkshift.studies.record import CONFIG, DONE, EPOCHS, ERROR, write_json
from inkshift.studies.spec import NumberStudy

READINGS, SCORES = "readings.csv", "scores.json"
_TIMED = 16
_RECORD_BYTES = 40  # a test number in readings.csv


def do(job: RunGroup) -> Outcome:
    """Do one run, from its beginning: a run that was killed leaves nothing that another could go on from.

    Raises SettingError for a device other than the CPU, DataError where there are too few numbers, ModelError where
    the source is not the package it was planned with.
    """
    run: NumberRun = job.runs[0]
    if job.device != "cpu":
        raise SettingError(f"device {job.device}: numbers are learned on the CPU; leave the setting out")
    torch.set_num_threads(1)
    started = time.monotonic()
    folder = job.folder / "runs" / run.key
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, run.config())
    pictures, labels, forms = load_numbers(run.task)
    learn, test = deal(forms, run.test_share, run.budget or 0, run.seed, run.task)
    frame = parse(run.reframing)
    own = finetune.Numbers([frame(pictures[i]) for i in learn], [labels[i] for i in learn], [forms[i] for i in learn])
    memory = rehearsal.load(drawn=run.composed == "drawn")
    check = memory.check(run.old_task)
    net = network(run)
    before = None if run.regime == "control" else finetune.judge(net, *check)[1]
    history, sizes = _learn(run, net, own, memory, folder)
    after = before if run.budget is None else finetune.judge(net, *check)[1]
    read = readings(net, strings.Lines([frame(pictures[i]) for i in test]))
    rows = [(i, forms[i], labels[i], text) for i, text in zip(test, read, strict=True)]
    write_whole(folder / READINGS, as_csv([("row", "form", "label", "read"), *rows]))
    best = 1 + int(np.argmin([epoch.held_out_loss for epoch in history])) if history else 0
    old = {"numbers": run.old_task, "before": before, "after": after, "note": memory.note}
    scores = _scores([labels[i] for i in test], read)
    learned = {"learned": sizes[0], "held_out": sizes[1], "best_epoch": best}
    write_json(folder / SCORES, scores | learned | {"old_task": old})
    _finish(run, folder, len(history), time.monotonic() - started)
    return [(run.key, None)]


def deal(forms: Sequence[str], test_share: float, budget: int, seed: int, data: str) -> tuple[list[int], list[int]]:
    """Rows to learn from, `budget` of them, and rows of the test half; no form is on both sides.

    The same seed deals the same halves, and the rows of a small budget are the first of a larger one's.
    Raises DataError where fewer than `budget` are left to learn from, or none to test on.
    """
    names = sorted(set(forms))
    rows: dict[str, list[int]] = {name: [] for name in names}
    for i, form in enumerate(forms):
        rows[form].append(i)
    test: list[int] = []
    rest: list[int] = []
    for k in np.random.default_rng([seed, 1]).permutation(len(names)):
        (test if len(test) < round(test_share * len(forms)) else rest).extend(rows[names[int(k)]])
    if len(rest) < budget or not test:
        raise DataError(
            f"{data}: {len(rest)} numbers are left to learn from beside the {len(test)} of the test half, "
            f"but the budget is {budget}; lower budgets or test_share, or label more"
        )
    return rest[:budget], sorted(test)


def network(run: NumberRun) -> NumberNet:
    """The network a run starts from. Raises ModelError where the source is not what it was planned with."""
    source = load_model(run.source)
    if source.digest != run.source_digest:
        raise ModelError(f"{source.folder}: changed since the study was planned; run the study again")
    net = finetune.net_of(source)
    if run.regime == "control":
        loop.seed_all(run.seed)
        net = NumberNet(finetune.widths_of(net.state_dict()), architecture=source.manifest.architecture)
    return net


def _learn(
    run: NumberRun, net: NumberNet, own: finetune.Numbers, memory: rehearsal.Memory, folder: Path
) -> tuple[list[finetune.FineTuneEpoch], tuple[int, int]]:
    """Teach `net` in place; its epochs, and how many numbers it learned from and was stopped by."""
    rows: list[Sequence[object]] = [("epoch", "training_loss", "held_out_loss", "held_out_right")]
    write_whole(folder / EPOCHS, as_csv(rows))
    if run.budget is None:
        return [], (0, 0)

    def report(epoch: finetune.FineTuneEpoch) -> None:
        rows.append((epoch.epoch, *(f"{v:.9g}" for v in (epoch.loss, epoch.held_out_loss, epoch.held_out))))
        write_whole(folder / EPOCHS, as_csv(rows))

    p = run.protocol
    learn, held_out = finetune.split_by_form(own, p.held_out, run.seed)
    how = finetune.FineTuneSettings(p.epochs, p.patience, p.batch, p.least, p.rate, run.seed)
    rehearse = memory.compose if run.regime == "fine-tuned" else None
    return finetune.fine_tune(net, learn, held_out, how, rehearse=rehearse, report=report), (len(learn), len(held_out))


def readings(net: nn.Module, lines: strings.Lines) -> list[str]:
    """What `net` reads in each picture, by the likeliest digit of each step; marks, where it has them, are none."""
    found = {i: ctc.collapse(ctc.fold(steps).argmax(1)) for i, steps in finetune.steps_of(net, lines)}
    return [found[i] for i in range(len(lines))]


def _scores(labels: Sequence[str], read: Sequence[str]) -> dict[str, float]:
    wrong = [edit_distance(label, text) for label, text in zip(labels, read, strict=True)]
    return {
        "numbers": len(labels),
        "right": wrong.count(0) / len(labels),
        "digits": sum(map(len, labels)),
        "digit_errors": sum(wrong),
    }


def _finish(run: NumberRun, folder: Path, epochs: int, seconds: float) -> None:
    """Declare the run finished: what ended it, and the digest of what it measured."""
    stopped = "nothing learns" if run.budget is None else "held-out" if epochs < run.protocol.epochs else "epochs"
    files = [(folder / name).read_bytes() for name in (CONFIG, EPOCHS, READINGS, SCORES)]
    done = {"stopped": stopped, "epochs": epochs, "seconds": round(seconds, 1), "digest": digest(*files)}
    write_json(folder / DONE, done)
    (folder / ERROR).unlink(missing_ok=True)


def estimate(study: NumberStudy, planned: NumberPlan, folder: Path, workers: int) -> Estimate:
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


def _line(arm: BudgetArm, numbers: int, speeds: tuple[float, float, float], folder: Path) -> ArmPlan:
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
    return ArmPlan(run.task, arm.name, len(arm.runs), todo, epochs, shown, each, todo * (each + START_SECONDS))


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
