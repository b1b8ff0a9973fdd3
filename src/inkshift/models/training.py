"""The one training loop. A regime, a recipe or a study is a few lines around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inkshift.errors import ModelError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Settings:
    """epochs: passes over what `data` gives; anneal: whether the rate falls to zero along a cosine."""

    epochs: int
    batch: int = 128
    rate: float = 0.001
    anneal: bool = False
    seed: int = 0
    threads: int = 1


def seed_all(seed: int) -> None:
    """Make what torch draws from now on, initial weights included, follow from `seed`."""
    torch.manual_seed(seed)


def train(
    net: nn.Module,
    data: Callable[[int], tuple[Images, Labels]],
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> None:
    """Train `net` in place: cross-entropy, Adam (Kingma and Ba 2015), uint8 pictures in memory.

    data: epoch, from 0, -> images (N, H, W) uint8 and labels (N,) int64. report: called after each epoch
    with its number and mean training loss. checkpoint: file to go on from and to save to after each
    epoch; a run that was killed ends with the same weights as one that was not.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    first = _restore(checkpoint, net, optimiser, schedule, settings) if checkpoint else 0
    for epoch in range(first, settings.epochs):
        images, labels = data(epoch)
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        net.train()
        total = 0.0
        for rows in torch.split(torch.randperm(len(x)), settings.batch):
            pictures = x[rows].unsqueeze(1).to(torch.float32) / 255
            loss = nn.functional.cross_entropy(net(pictures), y[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        if settings.anneal:
            schedule.step()
        if checkpoint:
            _save(checkpoint, epoch + 1, net, optimiser, schedule, settings)
        report(epoch, total / len(x))
    net.eval()


def predict(net: nn.Module, images: Images, batch: int = 1000) -> npt.NDArray[np.float32]:
    """Logits (N, classes) float32 of images (N, H, W) uint8."""
    net.eval()
    with torch.inference_mode():
        groups = torch.split(torch.from_numpy(images), batch)
        parts = [net(group.unsqueeze(1).to(torch.float32) / 255) for group in groups]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _save(
    path: Path,
    epoch: int,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    settings: Settings,
) -> None:
    state = {
        "epoch": epoch,
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


def _restore(
    path: Path,
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    settings: Settings,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != _key(settings):
        raise ModelError(
            f"{path}: checkpoint of a run with other settings ({state['settings']}); "
            f"expected {_key(settings)}; give another folder or delete the file"
        )
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    return int(state["epoch"])


def _key(settings: Settings) -> str:
    s = settings
    return f"epochs {s.epochs}, batch {s.batch}, rate {s.rate:g}, anneal {s.anneal}, seed {s.seed}"
