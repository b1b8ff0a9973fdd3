"""One run from its settings to its folder: data, network, training, what is measured after each epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inkshift.datasets.tasks import Sample, Task, nested, sample, stratified
from inkshift.errors import DataError, ModelError
from inkshift.models.metrics import calibration_error, confusion, f1_score
from inkshift.models.train import loop
from inkshift.models.train.networks import final_layer
from inkshift.reframe import parse
from inkshift.studies.characters import regimes
from inkshift.studies.characters.plan import Run
from inkshift.studies.record import CHECKPOINT, CONFIG, DONE, WEIGHTS, Epoch, Record, write_json
from inkshift.studies.spec import Protocol


@dataclass(frozen=True, slots=True)
class Splits:
    """The pictures of a run; `validation` is None where none is set aside."""

    train: Sample
    validation: Sample | None
    test: Sample


@lru_cache(maxsize=2)
def load_splits(
    task: Task,
    reframing: str,
    validation: int,
    train_images: int | None,
    test_images: int | None,
    seed: int,
    labels: int | None = None,
    labels_seed: int | None = None,
) -> Splits:
    """The samples of a task that `seed` draws: the same for every replicate, and for any regime.

    labels: of the training images those that are labelled, drawn by `labels_seed` where each replicate has its own.
    """
    rng = np.random.default_rng([seed, 1])
    data, classes = task.load("train")
    rows = np.flatnonzero(classes >= 0)
    if validation + len(task.labels) > len(rows):
        raise DataError(f"{data.name}: has {len(rows)} images of {task.space}, too few to set {validation} aside")
    framing = parse(reframing)
    aside = None
    if validation:
        aside_rows = rows[stratified(classes[rows], validation, rng)]
        aside = sample(data, classes, aside_rows, framing)
        rows = np.setdiff1d(rows, aside_rows)
    if train_images is not None:
        rows = rows[stratified(classes[rows], train_images, rng)]
    if labels is not None:
        if not len(task.labels) <= labels <= len(rows):
            raise DataError(
                f"{data.name}: cannot give {labels} labels, of {len(task.labels)} classes, {len(rows)} images"
            )
        own = np.random.default_rng([seed if labels_seed is None else labels_seed, 3])
        rows = np.sort(rows[nested(classes[rows], own)[:labels]])
    train = sample(data, classes, rows, framing)
    return Splits(train, aside, sample_to_test_on(task, reframing, test_images, seed))


def sample_to_test_on(task: Task, reframing: str, images: int | None, seed: int) -> Sample:
    """The test images of a task, or so many that `seed` draws of them."""
    data, classes = task.load("test")
    rows = np.flatnonzero(classes >= 0)
    if images is not None:
        rows = rows[stratified(classes[rows], images, np.random.default_rng([seed, 2]))]
    return sample(data, classes, rows, parse(reframing))


def splits_of(run: Run) -> Splits:
    p = run.protocol
    return load_splits(
        run.task, p.reframing, p.validation, p.train_images, p.test_images, run.sample_seed, p.labels, run.labels_seed
    )


def shown(run: Run, train: Sample) -> tuple[loop.Images, npt.NDArray[np.int64]]:
    """What an epoch shows: the training images, those of the source task with them where both are pooled, and all of
    them again and again up to `least`."""
    images, classes = train.images, train.classes
    if run.regime == "pooled" and run.source_task is not None:
        framing = parse(run.protocol.source_reframing or run.protocol.reframing)
        data, found = run.source_task.load("train")
        index = np.array([run.task.labels.index(x) if x in run.task.labels else -1 for x in run.source_task.labels])
        found = np.where(found >= 0, index[found], -1)
        more = sample(data, found, np.flatnonzero(found >= 0), framing)
        every = np.arange(len(classes)), np.arange(len(more.classes))
        images = np.concatenate([images[every[0]], more.images[every[1]]])
        classes = np.concatenate([classes, more.classes])
    if len(classes) < run.protocol.least:
        rows = np.resize(np.arange(len(classes)), run.protocol.least)
        return images[rows], classes[rows]
    return images, classes


def open_record(run: Run, study: Path, true: npt.NDArray[np.int64]) -> Record:
    """The run's folder, with its settings in it."""
    folder = study / "runs" / run.key
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, run.config())
    return Record(folder, run.task.labels, true)


def source_weights(run: Run, study: Path) -> Path | None:
    """The weights a run takes over. Raises ModelError where its source network is not finished."""
    if run.weights is not None:
        weights, known = run.weights
        if weights.digest != known:
            raise ModelError(f"{weights.file}: is another file than when the study began; put that back, or begin anew")
        return weights.file
    if run.source is None:
        return None
    folder = study / "runs" / run.source
    if not (folder / DONE).is_file() or not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder}: the source network is not finished; see its error.json, then run the study again")
    return folder / WEIGHTS


def measure(
    number: int,
    training_loss: float | None,
    logits: npt.NDArray[np.float32],
    true: npt.NDArray[np.int64],
    validation_loss: float | None,
    protocol: Protocol,
    seconds: float = math.nan,
) -> Epoch:
    """What one epoch is recorded as, from the test images' logits (N, C)."""
    predicted = np.asarray(logits.argmax(1), np.int64)
    counts = confusion(predicted, true, logits.shape[1])
    f1 = f1_score(counts, protocol.f1)
    sure = torch.from_numpy(logits).softmax(1).amax(1).tolist()
    unknown = bool(np.isnan(logits).any())
    gap = None if unknown else calibration_error(zip(sure, (predicted == true).tolist(), strict=True))
    loss = cross_entropy(logits, true)
    gap = math.nan if gap is None else gap
    return Epoch(number, training_loss, loss, validation_loss, f1, counts, predicted, gap, seconds)


def cross_entropy(logits: npt.NDArray[np.float32], true: npt.NDArray[np.int64]) -> float:
    """Mean over images, in nats."""
    return float(nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(true)))


def stop_reason(record: Record, protocol: Protocol) -> str | None:
    """`as-published` or `held-out` once the loss that the rule watches has settled (paper, III-A)."""
    if protocol.stop == "never":
        return None
    losses = record.losses("test_loss" if protocol.stop == "as-published" else "validation_loss")
    settled = len(losses) > 1 and abs(losses[-1] - losses[-2]) < protocol.tolerance
    return protocol.stop if settled else None


def train_run(run: Run, study: Path, device: str = "cpu") -> tuple[nn.Module, Record, str]:
    """Train one network by itself, going on from its checkpoint; returns it, its record, and what ended it."""
    splits = splits_of(run)
    record = open_record(run, study, splits.test.classes)
    how = regimes.settings(run, device)
    net = regimes.network(run, source_weights(run, study))
    checkpoint = record.folder / CHECKPOINT
    record.take_up(loop.epochs_of(checkpoint, how))
    begun = time.process_time()

    def report(epoch: int, loss: float) -> bool:
        nonlocal begun
        spent = time.process_time() - begun
        aside = splits.validation
        held_out = None
        if aside is not None:
            held_out = cross_entropy(loop.predict(net, aside.images, settings=how), aside.classes)
        logits = loop.predict(net, splits.test.images, settings=how)
        row = measure(epoch + 1, loss, logits, splits.test.classes, held_out, run.protocol, spent)
        if not math.isfinite(row.test_loss or 0):
            raise ModelError(f"test loss is {row.test_loss} after epoch {epoch + 1}; lower the rate")
        record.add(row)
        begun = time.process_time()
        return stop_reason(record, run.protocol) is not None

    images, classes = shown(run, splits.train)
    loop.train(
        net,
        lambda epoch: (images, classes),
        how,
        mode=regimes.learning_mode(run),
        shares=regimes.rate_shares(run, net),
        checkpoint=checkpoint,
        report=report,
    )
    if run.protocol.forgetting:
        record.source_f1 = source_f1(run, study, net, how)
    return net, record, stop_reason(record, run.protocol) or "epochs"


def source_f1(run: Run, study: Path, net: nn.Module, how: loop.LoopSettings) -> tuple[float, float]:
    """F1 on the source's test images of the source network, and of `net` with the source's final layer on it."""
    assert run.source_task is not None
    p, labels = run.protocol, run.source_task.labels
    test = sample_to_test_on(run.source_task, p.source_reframing or p.reframing, p.test_images, run.sample_seed)
    source = regimes.network(replace(run, regime="as-is"), source_weights(run, study), len(labels)).to(how.device)

    def f1() -> float:
        predicted = np.asarray(loop.predict(source, test.images, settings=how).argmax(1), np.int64)
        return f1_score(confusion(predicted, test.classes, len(labels)), p.f1)

    before, last = f1(), final_layer(source)
    head = next(f"{name}." for name, module in source.named_modules() if module is last)
    source.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith(head)}, strict=False)
    return before, f1()


def apply_as_is(run: Run, study: Path, device: str = "cpu") -> tuple[nn.Module, Record, str]:
    """The source network on the target's test images, among the classes that both tasks have."""
    assert run.source_task is not None
    splits = splits_of(run)
    record = open_record(run, study, splits.test.classes)
    net = regimes.network(run, source_weights(run, study), len(run.source_task.labels))
    net.to(device)
    known = [label for label in run.source_task.labels if label in run.task.labels]
    logits = loop.predict(net, splits.test.images, settings=regimes.settings(run, device))
    out = np.full((len(logits), len(run.task.labels)), -np.inf, np.float32)
    for label in known:
        out[:, run.task.labels.index(label)] = logits[:, run.source_task.labels.index(label)]
    row = measure(0, None, out, splits.test.classes, None, run.protocol)
    loss = row.test_loss if row.test_loss is not None and math.isfinite(row.test_loss) else None
    record.add(replace(row, test_loss=loss))
    return net, record, "epochs"
