"""Frozen runs that share a trunk: its features once, then the final layers of all replicates side by side.

A trunk whose weights and batch-norm statistics stay gives the same features for a picture in every epoch, so they are
computed once. Each final layer then does the calls that it would do alone, and one Adam steps for all of them; a
batched product in place of these calls adds in another order. In float32 each comes out to the bit as if it had been
trained by itself in `models.train.loop`: tests hold that. In bfloat16 the final layers still learn in float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inkshift.datasets.tasks import Sample
from inkshift.errors import ModelError
from inkshift.files import whole_file
from inkshift.jobs import digest
from inkshift.models.train.loop import LoopSettings, forward
from inkshift.models.train.networks import final_layer, trunk
from inkshift.studies.characters import regimes, work
from inkshift.studies.characters.plan import Run
from inkshift.studies.characters.work import Splits
from inkshift.studies.record import Record

Trained = tuple[nn.Module, Record, str | ModelError]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Features:
    """What a trunk makes of each split: (N, d) float32."""

    train: torch.Tensor
    validation: torch.Tensor | None
    test: torch.Tensor


class Head:
    """One replicate: its final layer, its order of batches, its record."""

    def __init__(self, run: Run, net: nn.Module, record: Record) -> None:
        layer = final_layer(net)
        self.run, self.record = run, record
        self.weight, self.bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        self.order = torch.Generator().manual_seed(run.seed)
        self.stopped: str | ModelError | None = None


def train_frozen(runs: Sequence[Run], study: Path, device: str = "cpu") -> Iterator[Trained]:
    """Train the final layers of runs that differ only in replicate; then network, record and end of each in turn.

    It is one network that gets one final layer after another: be done with it before taking the next. The end of a
    replicate whose loss is no longer a number is a ModelError, and costs no other replicate.
    """
    splits = work.splits_of(runs[0])
    weights = work.source_weights(runs[0], study)
    how = regimes.settings(runs[0], device)
    torch.set_num_threads(1)
    begun = time.process_time()
    features = compute_features(runs[0], splits, weights, how, study)
    heads = [Head(r, regimes.network(r, weights), work.open_record(r, study, splits.test.classes)) for r in runs]
    _train_heads(heads, features, splits, how, begun)
    net = regimes.network(runs[0], weights).eval()
    layer = final_layer(net)
    for head in heads:
        with torch.no_grad():
            layer.weight.copy_(head.weight)
            layer.bias.copy_(head.bias)
        yield net, head.record, head.stopped or "epochs"


def compute_features(run: Run, splits: Splits, weights: Path | None, how: LoopSettings, study: Path) -> Features:
    """The trunk's features of all splits, kept on disk while the study goes on, so that a kill costs no split twice."""
    net = regimes.network(run, weights).to(how.device).eval()
    p = run.protocol
    given = run.weights[1] if run.weights else run.source
    parts = (given, run.task.model_dump_json(), p.reframing, p.validation, p.train_images, p.test_images)
    shared = (*map(str, parts), str(run.sample_seed), str(p.precision))

    def of(split: Sample | None, name: str) -> torch.Tensor | None:
        if split is None:
            return None
        own = (str(p.labels), str(run.labels_seed)) if p.labels is not None and name == "train" else ()
        path = study / "features" / f"{digest(*shared, *own)[:16]}-{name}.npy"
        return torch.from_numpy(_cached(path, net, split, how))

    train, test = of(splits.train, "train"), of(splits.test, "test")
    assert train is not None and test is not None
    return Features(train, of(splits.validation, "validation"), test)


def _cached(path: Path, net: nn.Module, split: Sample, how: LoopSettings) -> npt.NDArray[np.float32]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        body = trunk(net)
        with whole_file(path) as part, torch.inference_mode():
            first = forward(body, split.images[np.arange(1)], how)
            out = np.lib.format.open_memmap(part, "w+", np.float32, (len(split.images), first.shape[1]))
            for start in range(0, len(out), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(out)))
                out[rows] = forward(body, split.images[rows], how).cpu().numpy()
            out.flush()
    return np.asarray(np.load(path, mmap_mode="c"))


def _train_heads(heads: list[Head], features: Features, splits: Splits, how: LoopSettings, begun: float) -> None:
    """Adam on all final layers at once; a head that has stopped keeps what it had then. begun: when, of the processor's
    time, the first epoch did, whose features are made for all heads."""
    weight = torch.stack([head.weight for head in heads]).to(how.device).requires_grad_()
    bias = torch.stack([head.bias for head in heads]).to(how.device).requires_grad_()
    optimiser = torch.optim.Adam([weight, bias], lr=how.rate)
    x, y = features.train, torch.from_numpy(splits.train.classes)
    if len(y) < (least := heads[0].run.protocol.least):
        again = torch.arange(least) % len(y)
        x, y = x[again], y[again]
    for epoch in range(how.epochs):
        orders = torch.stack([torch.randperm(len(y), generator=head.order) for head in heads])
        total = torch.zeros(len(heads), dtype=torch.float64)
        for rows in torch.split(orders, how.batch, dim=1):
            each = torch.stack(
                [
                    nn.functional.cross_entropy(nn.functional.linear(x[r].to(how.device), w, b), y[r].to(how.device))
                    for r, w, b in zip(rows, weight.unbind(), bias.unbind(), strict=True)
                ]
            )
            optimiser.zero_grad(set_to_none=True)
            each.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += each.detach().cpu().double() * rows.shape[1]
        spent = (time.process_time() - begun) / len(heads)
        for head, loss, w, b in zip(heads, (total / len(y)).tolist(), weight.detach(), bias.detach(), strict=True):
            if head.stopped is None:
                head.weight, head.bias = w.cpu().clone(), b.cpu().clone()
                _record_epoch(head, epoch, loss, features, splits, spent)
        begun = time.process_time()
        if all(head.stopped for head in heads):
            return


def _record_epoch(head: Head, epoch: int, loss: float, features: Features, splits: Splits, spent: float) -> None:
    if not math.isfinite(loss):
        head.stopped = ModelError(f"training loss is {loss} in epoch {epoch + 1}; lower the rate")
        return

    def logits(of: torch.Tensor) -> npt.NDArray[np.float32]:
        return nn.functional.linear(of, head.weight, head.bias).numpy()

    aside = None
    if features.validation is not None and splits.validation is not None:
        aside = work.cross_entropy(logits(features.validation), splits.validation.classes)
    true = splits.test.classes
    row = work.measure(epoch + 1, loss, logits(features.test), true, aside, head.run.protocol, spent)
    head.record.add(row, write=False)
    head.stopped = work.stop_reason(head.record, head.run.protocol)
