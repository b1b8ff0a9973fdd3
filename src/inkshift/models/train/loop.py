"""The one training loop. A regime, a recipe or a study is a few lines around it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from inkshift.errors import ModelError
from inkshift.files import write_whole
from inkshift.models.ctc import BLANK
from inkshift.models.train.networks import as_input

Labels = npt.NDArray[np.int64]
Precision = Literal["float32", "bfloat16"]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Images(Protocol):
    """(N, H, W) uint8 pictures: an array, or anything whose rows can be taken."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """epochs: passes over what `data` gives; anneal: whether the rate falls to zero along a cosine.

    channels: of the network's input. precision: what matrix products are computed in. fast: channels-last memory
    and fused Adam, which change sums in their last bits only. clip: largest norm of a gradient, 0 for any.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.001
    anneal: bool = False
    seed: int = 0
    channels: int = 1
    precision: Precision = "float32"
    fast: bool = False
    device: str = "cpu"
    clip: float = 0.0


def seed_all(seed: int) -> None:
    """Make what torch draws from now on, initial weights included, follow from `seed`."""
    torch.manual_seed(seed)


def train(
    net: nn.Module,
    data: Callable[[int], tuple[Images, Labels]],
    settings: LoopSettings,
    *,
    mode: Callable[[nn.Module], object] = nn.Module.train,
    shares: Callable[[nn.Parameter], float] | None = None,
    loss: Loss = nn.functional.cross_entropy,
    average: AveragedModel | None = None,
    checkpoint: Path | None = None,
    report: Callable[[int, float], bool | None] = lambda epoch, loss: None,
) -> None:
    """Train in place what of `net` requires a gradient with Adam (Kingma and Ba 2015), on uint8 pictures.

    data: epoch, from 0, -> images (N, H, W) uint8 and labels (N,) int64. mode: puts the network in the mode it learns
    in. shares: of the rate, that a parameter learns at; all at the whole of it if not given. loss: of logits and
    labels. average: from `averaged`, follows the weights after each step. Where several processes of one
    torch.distributed group call this together, each with its own data, they take each step together.
    report: called after each epoch with its number and mean training loss; True ends the training. checkpoint:
    file to go on from and to save to after each epoch; a run that was killed ends with the same weights as one
    that was not, and `report` hears of an epoch again if the kill came before its checkpoint was whole.
    Raises ModelError where the loss is no longer a number, or the checkpoint is of other settings.
    """
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    net.to(settings.device)
    if settings.fast:
        net.to(memory_format=torch.channels_last)
    learning = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(_groups(learning, settings.rate, shares), lr=settings.rate, fused=settings.fast)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    parts: dict[str, Any] = {"net": net, "optimiser": optimiser, "schedule": schedule}
    if average is not None:
        parts["average"] = average
    first = _restore(checkpoint, parts, settings) if checkpoint else 0
    for epoch in range(first, settings.epochs):
        images, labels = data(epoch)
        mode(net)
        mean = _pass(net, images, labels, settings, loss, optimiser, learning, average)
        if not math.isfinite(mean):
            raise ModelError(f"training loss is {mean} in epoch {epoch + 1}; lower the rate ({settings.rate:g})")
        if settings.anneal:
            schedule.step()
        ended = bool(report(epoch, mean))
        if checkpoint and _leads():
            _save(checkpoint, epoch + 1, ended, parts, settings)
        if ended:
            break
    net.eval()


def _pass(
    net: nn.Module,
    images: Images,
    labels: Labels,
    settings: LoopSettings,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    learning: list[nn.Parameter],
    average: AveragedModel | None,
) -> float:
    """Learn from each picture once, in an order drawn anew; the mean loss."""
    y = torch.from_numpy(labels).to(settings.device)
    total = 0.0
    for rows in _batches(images, torch.randperm(len(labels)), settings.batch):
        logits = forward(net, images[rows], settings)
        value = loss(logits, y[torch.from_numpy(rows).to(y.device)])
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        agree(learning, settings.clip)
        optimiser.step()
        if average is not None:
            average.update_parameters(net)
        total += value.item() * len(rows)
    return total / len(labels)


def _groups(
    learning: list[nn.Parameter], rate: float, shares: Callable[[nn.Parameter], float] | None
) -> list[dict[str, Any]]:
    """Parameters for an optimiser, those of one rate together."""
    by_rate: dict[float, list[nn.Parameter]] = {}
    for one in learning:
        by_rate.setdefault(rate * (shares(one) if shares else 1.0), []).append(one)
    return [{"params": own, "lr": each} for each, own in by_rate.items()]


def _batches(images: Images, order: torch.Tensor, size: int) -> list[npt.NDArray[np.int64]]:
    """Rows of each batch; pictures that differ in width say themselves which belong together."""
    own = getattr(images, "batches", None)
    return list(own(order.numpy(), size)) if own else [rows.numpy() for rows in torch.split(order, size)]


def agree(learning: list[nn.Parameter], clip: float, ended: bool = False) -> bool:
    """Average gradients over the processes that train together, and make them no longer than `clip`, in place.

    ended: whether this process wants to end; the answer, the same in all of them, is whether any does.
    """
    if _in_group():
        given = [p.grad for p in learning if p.grad is not None]
        flat = torch.cat([*(grad.flatten() for grad in given), given[0].new_tensor([float(ended)])])
        torch.distributed.all_reduce(flat)
        at = 0
        for grad in given:
            grad.copy_(flat[at : at + grad.numel()].view_as(grad) / torch.distributed.get_world_size())
            at += grad.numel()
        ended = bool(flat[-1] > 0)
    if clip:
        nn.utils.clip_grad_norm_(learning, clip)
    return ended


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _leads() -> bool:
    """Whether this process is the one that writes, of those that train together."""
    return not _in_group() or torch.distributed.get_rank() == 0


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """A copy of `net` that follows it: weights and buffers averaged over about 1 / (1 - decay) steps."""
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(net, multi_avg_fn=follow, use_buffers=True)


def symbol_loss(logits: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    """Connectionist temporal classification (Graves et al. 2006): mean over numbers of -log P(symbols | picture).

    logits: (N, T, classes), the blank last. symbols: (N, L) int64, -1 where a number has ended.
    """
    return _ctc(logits.log_softmax(-1), symbols)


def number_loss(logits: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
    """As `symbol_loss`, of labels that name digits alone: marks, where the network has them, may be seen or not."""
    log = logits.log_softmax(-1)
    rest = torch.logsumexp(log[..., BLANK:], -1, keepdim=True)
    return _ctc(torch.cat([log[..., :BLANK], rest], -1), digits)


def _ctc(log: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    length = (symbols >= 0).sum(1)
    steps = torch.full_like(length, log.shape[1])
    blank = log.shape[-1] - 1
    targets = symbols[symbols >= 0]
    each = nn.functional.ctc_loss(
        log.transpose(0, 1), targets, steps, length, blank=blank, reduction="none", zero_infinity=True
    )
    return each.mean()


def forward(
    net: Callable[[torch.Tensor], torch.Tensor], images: npt.NDArray[np.uint8], settings: LoopSettings
) -> torch.Tensor:
    """What `net` makes of (N, H, W) uint8 pictures, as float32, in the precision and memory order of `settings`."""
    pictures = as_input(torch.from_numpy(images).to(settings.device), settings.channels)
    if settings.fast:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        out = net(pictures)
    return out.float()


def predict(
    net: nn.Module, images: Images, batch: int = 1000, settings: LoopSettings | None = None
) -> npt.NDArray[np.float32]:
    """Logits (N, classes) float32 of images (N, H, W) uint8; leaves `net` in evaluation mode."""
    net.eval()
    how = settings or LoopSettings(epochs=0)
    with torch.inference_mode():
        rows = np.arange(len(images))
        parts = [forward(net, images[rows[i : i + batch]], how).cpu() for i in range(0, len(rows), batch)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _save(path: Path, done: int, ended: bool, parts: dict[str, Any], settings: LoopSettings) -> None:
    state = {
        "done": done,
        "next": settings.epochs if ended else done,
        "settings": _key(settings),
        "random": torch.get_rng_state(),
        **{name: part.state_dict() for name, part in parts.items()},
    }
    save_state(path, state)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """A checkpoint, whole or not at all. Raises SettingError where it cannot be written."""
    held = io.BytesIO()  # where a disk is full, torch raises what does not say so
    torch.save(state, held)
    write_whole(path, held.getvalue())


def epochs_of(checkpoint: Path, settings: LoopSettings) -> int:
    """How many epochs a checkpoint holds, 0 where there is none. Raises ModelError as `train` does."""
    return int(_load(checkpoint, settings)["done"]) if checkpoint.exists() else 0


def _restore(path: Path, parts: dict[str, Any], settings: LoopSettings) -> int:
    if not path.exists():
        return 0
    state = _load(path, settings)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"].cpu())
    return int(state["next"])


def _load(path: Path, settings: LoopSettings) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=settings.device)
    except Exception as e:  # torch raises many kinds for a file that is no checkpoint
        raise ModelError(f"{path}: not a checkpoint that can be read ({type(e).__name__}); delete the file") from None
    if state["settings"] != _key(settings):
        raise ModelError(
            f"{path}: checkpoint of a run with other settings ({state['settings']}); "
            f"expected {_key(settings)}; give another folder or delete the file"
        )
    return state


def _key(settings: LoopSettings) -> str:
    s = settings
    key = f"epochs {s.epochs}, batch {s.batch}, rate {s.rate:g}, anneal {s.anneal}, seed {s.seed}"
    if (s.precision, s.fast) != ("float32", False):
        key = f"{key}, {s.precision}, fast {s.fast}"
    return f"{key}, clip {s.clip:g}" if s.clip else key
