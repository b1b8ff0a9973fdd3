"""A number recogniser taught on a user's own numbers, without forgetting what it knew.

Half of what it sees is the user's, redrawn a little each time; the other half is composed numbers, as it learned from
(rehearsal, Robins 1995), and its weights may go back part of the way. It stops by what it makes of forms that it does
not learn from. A study's regimes are these few settings too: `fine-tuned` begins with a package's weights, `control`
with random ones and no rehearsal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import nn

from inkshift.arrays import Gray
from inkshift.datasets.synth import strings
from inkshift.errors import DataError, ModelError
from inkshift.models import ctc
from inkshift.models.package import WEIGHTS, Model
from inkshift.models.train import loop
from inkshift.models.train.networks import ARCHITECTURES, NumberNet, as_input

Compose = Callable[[int, int], tuple[strings.Lines, npt.NDArray[np.int64]]]

# How far weights may go from the old to the taught ones; share of the old task's numbers that may be lost.
WAYS, MAY_LOSE = (0.2, 0.4, 0.6, 0.8, 1.0), 0.01


@dataclass(frozen=True, slots=True)
class Numbers:
    """Labelled numbers: pictures (H, W) uint8 framed by the model's reframing, their digits, the form each is from.

    Raises DataError where the counts differ, or a label is no digits.
    """

    pictures: Sequence[Gray]
    labels: Sequence[str]
    forms: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.pictures) == len(self.labels) == len(self.forms):
            counts = f"{len(self.pictures)} pictures, {len(self.labels)} labels, {len(self.forms)} forms"
            raise DataError(f"labelled numbers: expected one label and form for each picture, found {counts}")
        bad = next((label for label in self.labels if not (label.isascii() and label.isdigit())), None)
        if bad is not None:
            raise DataError(f"labelled numbers: expected labels of digits alone, found {bad!r}; correct or remove it")

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, chosen: Sequence[int]) -> Numbers:
        """Some of the numbers, by row."""
        take = [int(i) for i in chosen]
        return Numbers([self.pictures[i] for i in take], [self.labels[i] for i in take], [self.forms[i] for i in take])


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """How long and how hard. epochs: at most; patience: epochs without a gain before it ends; batch: half own numbers,
    half rehearsal. least: numbers an epoch shows at least, the user's own repeated. rate: of Adam.
    """

    epochs: int = 24
    patience: int = 5
    batch: int = 32
    least: int = 512
    rate: float = 4e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class FineTuneEpoch:
    """One epoch: mean training loss, and on the forms held out the loss and the share of numbers read right."""

    epoch: int
    loss: float
    held_out_loss: float
    held_out: float


def net_of(model: Model) -> NumberNet:
    """The network of a package that reads numbers. Raises ModelError for a package of another kind."""
    manifest = model.manifest
    if manifest.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{model.folder}: expected a number recogniser ({' or '.join(ARCHITECTURES)}), such as numbers; "
            f"found {manifest.architecture}"
        )
    state = safetensors.torch.load_file(model.folder / WEIGHTS)
    net = NumberNet(widths_of(state), len(manifest.classes), manifest.architecture)
    net.load_state_dict(state)
    return net.eval()


def widths_of(state: dict[str, torch.Tensor]) -> tuple[int, int, int, int]:
    """Channels of the four stages, from the weights."""
    (d, c), a, b = state["line.0.weight"].shape[:2], len(state["trunk.0.weight"]), len(state["trunk.7.weight"])
    return a, b, c, d


def split_by_form(numbers: Numbers, share: float, seed: int) -> tuple[Numbers, Numbers]:
    """Numbers to learn from and numbers held out: all of a form's on one side, about `share` of them held out.

    Raises DataError where there are fewer than two forms.
    """
    forms = sorted(set(numbers.forms))
    if len(forms) < 2:
        raise DataError(f"labelled numbers: all are from {forms or 'no form'}; label numbers of at least two forms")
    order = [forms[int(i)] for i in np.random.default_rng(seed).permutation(len(forms))]
    held: set[str] = set()
    counts = Counter(numbers.forms)
    for form in order[:-1]:
        if held and sum(counts[f] for f in held) >= share * len(numbers):
            break
        held.add(form)
    sides = [[i for i, form in enumerate(numbers.forms) if (form in held) == kept_out] for kept_out in (False, True)]
    return numbers.rows(sides[0]), numbers.rows(sides[1])


def fine_tune(
    net: NumberNet,
    learn: Numbers,
    held_out: Numbers,
    plan: FineTuneSettings,
    *,
    rehearse: Compose | None,
    checkpoint: Path | None = None,
    report: Callable[[FineTuneEpoch], None] = lambda epoch: None,
) -> list[FineTuneEpoch]:
    """Train `net` in place on `learn`, stop by `held_out`, and leave the weights that did best there.

    rehearse: (count, seed) -> composed numbers as `strings.epoch` gives them; None for the user's own alone.
    """
    average = loop.averaged(net, 0.98)
    settings = loop.LoopSettings(
        epochs=plan.epochs, batch=plan.batch, rate=plan.rate, anneal=True, seed=plan.seed, fast=True, clip=5.0
    )
    best_file = checkpoint.with_name(f"{checkpoint.name}.best") if checkpoint else None
    history, best = _remembered(best_file, loop.epochs_of(checkpoint, settings) if checkpoint else 0)
    checks = strings.Lines(held_out.pictures)

    def tell(epoch: int, loss: float) -> bool:
        nonlocal best
        held_loss, right = judge(average.module, checks, held_out.labels)
        history.append(FineTuneEpoch(epoch + 1, loss, held_loss, right))
        report(history[-1])
        if not best or held_loss <= min(e.held_out_loss for e in history):
            best = {k: v.clone() for k, v in average.module.state_dict().items()}
        if best_file:
            _remember(best_file, history, best)
        last_gain = int(np.argmin([e.held_out_loss for e in history]))
        return len(history) - 1 - last_gain >= plan.patience

    loop.train(
        net,
        lambda epoch: _epoch(learn, rehearse, plan, epoch),
        settings,
        loss=loop.number_loss,
        average=average,
        checkpoint=checkpoint,
        report=tell,
    )
    net.load_state_dict(best)
    net.eval()
    return history


def go_back(
    net: nn.Module, old: Mapping[str, torch.Tensor], *, own: Callable[[], float], composed: Callable[[], float]
) -> float:
    """Leave `net` with weights between `old` and its own (WiSE-FT: Wortsman et al. 2022), which forget much less for
    what they gain; how far from the old ones, 0 to 1.

    own: the loss of `net` on numbers of the new task that it did not learn from; composed: its share right of the old
    task. Of the weights that lose at most MAY_LOSE of that, those with the least loss.
    """
    taught = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def go(way: float) -> None:
        pairs = {name: (old[name], tensor) for name, tensor in taught.items()}
        net.load_state_dict({n: torch.lerp(a, b, way) if b.is_floating_point() else b for n, (a, b) in pairs.items()})

    go(0.0)
    least, losses = composed() - MAY_LOSE, {0.0: own()}
    for way in WAYS:
        go(way)
        if composed() >= least:
            losses[way] = own()
    best = min(losses, key=lambda way: losses[way])
    go(best)
    return best


def _remember(path: Path, history: list[FineTuneEpoch], best: dict[str, torch.Tensor]) -> None:
    loop.save_state(path, {"history": [astuple(epoch) for epoch in history], "best": best})


def _remembered(path: Path | None, epochs: int) -> tuple[list[FineTuneEpoch], dict[str, torch.Tensor]]:
    """The first `epochs` epochs of a run that goes on, and its best weights so far."""
    if path is None or not epochs:
        return [], {}
    state = torch.load(path, weights_only=True)
    return [FineTuneEpoch(*values) for values in state["history"][:epochs]], state["best"]


def _epoch(
    learn: Numbers, rehearse: Compose | None, plan: FineTuneSettings, epoch: int
) -> tuple[strings.Lines, npt.NDArray[np.int64]]:
    rng = np.random.default_rng([plan.seed, epoch])
    count = max(plan.least, len(learn))
    rows = np.concatenate([rng.permutation(len(learn)) for _ in range(-(-count // len(learn)))])[:count]
    pictures = [redrawn(learn.pictures[int(i)], rng) for i in rows]
    digits = strings.encode([learn.labels[int(i)] for i in rows])
    if rehearse is None:
        return strings.Lines(pictures), digits
    composed, theirs = rehearse(count, plan.seed * 1000 + epoch)
    width = max(digits.shape[1], theirs.shape[1])
    both = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=-1) for part in (digits, theirs)]
    return strings.Lines([*pictures, *composed.pictures]), np.concatenate(both)


def redrawn(picture: Gray, rng: np.random.Generator) -> Gray:
    """A framed number seen a little otherwise: sheared, stretched, moved up or down, lighter, blurred."""
    h, w = picture.shape
    wide, high, shear = rng.uniform(0.85, 1.18), rng.uniform(0.86, 1.1), rng.uniform(-0.2, 0.2)
    down = rng.uniform(-0.07, 0.07) * h + (1 - high) * h / 2
    extra = abs(shear) * h
    matrix = np.array([[wide, -shear, shear * h / 2 + extra / 2], [rng.normal(0, 0.01), high, down]], np.float32)
    out = cv2.warpAffine(picture, matrix, (max(8, round(w * wide + extra)), h))
    if rng.random() < 0.4:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 0.9))
    gamma = np.exp(rng.normal(0, 0.25))
    table = (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return np.asarray(table[np.asarray(out, np.uint8)], np.uint8)


def steps_of(net: nn.Module, lines: strings.Lines) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """What `net` makes of each picture: its place, and probabilities (T, classes) of its steps, padded ones too."""
    net.eval()
    device = next(net.parameters()).device
    for rows in lines.batches(np.arange(len(lines)), 64):
        with torch.inference_mode():
            found = net(as_input(torch.from_numpy(lines[rows]).to(device))).softmax(-1).cpu().numpy()
        yield from zip(rows.tolist(), found, strict=True)


def judge(net: nn.Module, lines: strings.Lines, labels: Sequence[str]) -> tuple[float, float]:
    """Mean loss (see `loop.number_loss`) and share of numbers read right by the likeliest symbol of each step."""
    net.eval()
    loss, right = 0.0, 0
    for rows in lines.batches(np.arange(len(lines)), 64):
        digits = strings.encode([labels[int(i)] for i in rows])
        with torch.inference_mode():
            logits = net(as_input(torch.from_numpy(lines[rows])))
            loss += float(loop.number_loss(logits, torch.from_numpy(digits))) * len(rows)
        read = ctc.fold(logits.softmax(-1).numpy()).argmax(-1)
        right += sum(ctc.collapse(row) == labels[int(i)] for row, i in zip(read, rows, strict=True))
    return loss / max(len(labels), 1), right / max(len(labels), 1)
