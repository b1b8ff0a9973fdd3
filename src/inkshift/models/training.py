"""The one training loop. A regime, a recipe or a study is a few lines around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inkshift.errors import ModelError
from inkshift.models.networks import as_input

Labels = npt.NDArray[np.int64]
Precision = Literal["float32", "bfloat16"]


class Images(Protocol):
    """(N, H, W) uint8 pictures: an array, or anything whose rows can be taken."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """epochs: passes over what `data` gives; anneal: whether the rate falls to zero along a cosine.

    channels: of the network's input. precision: what matrix products are computed in. fast: channels-last memory
    and fused Adam, which change sums in their last bits only.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.001
    anneal: bool = False
    seed: int = 0
    threads: int = 1
    channels: int = 1
    precision: Precision = "float32"
    fast: bool = False
    device: str = "cpu"


def seed_all(seed: int) -> None:
    """Make what torch draws from now on, initial weights included, follow from `seed`."""
    torch.manual_seed(seed)


def train(
    net: nn.Module,
    data: Callable[[int], tuple[Images, Labels]],
    settings: Settings,
    *,
    mode: Callable[[nn.Module], object] = nn.Module.train,
    checkpoint: Path | None = None,
    report: Callable[[int, float], bool | None] = lambda epoch, loss: None,
) -> None:
    """Train in place what of `net` requires a gradient: cross-entropy, Adam (Kingma and Ba 2015), uint8 pictures.

    data: epoch, from 0, -> images (N, H, W) uint8 and labels (N,) int64. mode: puts the network in the mode it learns
    in. report: called after each epoch with its number and mean training loss; True ends the training. checkpoint:
    file to go on from and to save to after each epoch; a run that was killed ends with the same weights as one
    that was not, and `report` hears of an epoch again if the kill came before its checkpoint was whole.
    Raises ModelError where the loss is no longer a number, or the checkpoint is of other settings.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    net.to(settings.device)
    if settings.fast:
        net.to(memory_format=torch.channels_last)
    learning = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=settings.rate, fused=settings.fast)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    first = _restore(checkpoint, net, optimiser, schedule, settings) if checkpoint else 0
    for epoch in range(first, settings.epochs):
        images, labels = data(epoch)
        y = torch.from_numpy(labels).to(settings.device)
        mode(net)
        total = 0.0
        for rows in torch.split(torch.randperm(len(labels)), settings.batch):
            logits = forward(net, images[rows.numpy()], settings)
            loss = nn.functional.cross_entropy(logits, y[rows.to(y.device)])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.item() * len(rows)
        mean = total / len(labels)
        if not math.isfinite(mean):
            raise ModelError(f"training loss is {mean} in epoch {epoch + 1}; lower the rate ({settings.rate:g})")
        if settings.anneal:
            schedule.step()
        ended = bool(report(epoch, mean))
        if checkpoint:
            _save(checkpoint, epoch + 1, ended, net, optimiser, schedule, settings)
        if ended:
            break
    net.eval()


def forward(
    net: Callable[[torch.Tensor], torch.Tensor], images: npt.NDArray[np.uint8], settings: Settings
) -> torch.Tensor:
    """What `net` makes of (N, H, W) uint8 pictures, as float32, in the precision and memory order of `settings`."""
    pictures = as_input(torch.from_numpy(images).to(settings.device), settings.channels)
    if settings.fast:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        out = net(pictures)
    return out.float()


def predict(
    net: nn.Module, images: Images, batch: int = 1000, settings: Settings | None = None
) -> npt.NDArray[np.float32]:
    """Logits (N, classes) float32 of images (N, H, W) uint8; leaves `net` in evaluation mode."""
    net.eval()
    how = settings or Settings(epochs=0)
    with torch.inference_mode():
        rows = np.arange(len(images))
        parts = [forward(net, images[rows[i : i + batch]], how).cpu() for i in range(0, len(rows), batch)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _save(
    path: Path,
    done: int,
    ended: bool,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    settings: Settings,
) -> None:
    state = {
        "done": done,
        "next": settings.epochs if ended else done,
        "settings": _key(settings),
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    torch.save(state, part)
    part.replace(path)


def epochs_of(checkpoint: Path, settings: Settings) -> int:
    """How many epochs a checkpoint holds, 0 where there is none. Raises ModelError as `train` does."""
    return int(_load(checkpoint, settings)["done"]) if checkpoint.exists() else 0


def _restore(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    settings: Settings,
) -> int:
    if not path.exists():
        return 0
    state = _load(path, settings)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"].cpu())
    return int(state["next"])


def _load(path: Path, settings: Settings) -> dict[str, Any]:
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


def _key(settings: Settings) -> str:
    s = settings
    key = f"epochs {s.epochs}, batch {s.batch}, rate {s.rate:g}, anneal {s.anneal}, seed {s.seed}"
    return key if (s.precision, s.fast) == ("float32", False) else f"{key}, {s.precision}, fast {s.fast}"
