"""How far a long training is, in one file small enough to carry: safetensors, no pickle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from inkshift.errors import ModelError
from inkshift.files import write_whole

Tensors = dict[str, dict[str, torch.Tensor]]
# Adam's mean squared gradients need no more than eight bits of precision; its mean gradient is forgotten in ten steps.
_SHORT = ("exp_avg_sq",)


@dataclass(slots=True)
class TrainingProgress:
    """steps: of the optimiser. numbers: composed and seen. hours: of training. sitting: how many were begun.

    decayed: how far the fall of the rate is, 0 to 1.
    """

    steps: int = 0
    numbers: int = 0
    hours: float = 0.0
    sitting: int = 0
    decayed: float = 0.0


def save_checkpoint(path: Path, progress: TrainingProgress, parts: Tensors) -> None:
    """Write `parts` (name of a part -> its tensors by name) and `progress` as a whole or not at all."""
    flat = {
        f"{part}/{name}": value.detach().to("cpu", torch.bfloat16 if part in _SHORT else value.dtype).contiguous()
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }
    write_whole(path, safetensors.torch.save(flat, {name: repr(value) for name, value in asdict(progress).items()}))


def load_checkpoint(path: Path) -> tuple[TrainingProgress, Tensors]:
    """What `save_checkpoint` wrote. Raises ModelError for a file that is missing or is no checkpoint."""
    if not path.is_file():
        raise ModelError(f"{path}: no checkpoint is here; train first (--hours above 0), or give another --work folder")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
        kinds = asdict(TrainingProgress())
        progress = TrainingProgress(**{name: type(kinds[name])(said[name]) for name in kinds})
    except (SafetensorError, KeyError, ValueError) as e:
        raise ModelError(f"{path}: not a checkpoint that can be read ({type(e).__name__}); delete the file") from None
    parts: Tensors = {}
    for name, value in flat.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = value
    return progress, parts


def deepened(tensors: Tensors, net: nn.Module) -> Tensors:
    """The parts of a checkpoint (see `save_checkpoint`) for `net`, which has all layers of the checkpoint's network.

    The blocks that are new start at random, but for their last norm, which is zero: the network computes what it did,
    and learns on from there (network morphism, Chen et al. 2016; zero norms, Goyal et al. 2017). Adam takes their
    gradients for as large as all others' are on average.
    """
    fresh = {
        name: torch.zeros_like(value) if name.endswith("body.4.weight") else value.clone()
        for name, value in net.state_dict().items()
    }
    grown = {part: fresh | known if part in ("net", "average") else dict(known) for part, known in tensors.items()}
    squares = tensors["exp_avg_sq"]
    usual = torch.cat([value.float().flatten() for value in squares.values()]).mean()
    for name, parameter in net.named_parameters():
        grown["exp_avg_sq"].setdefault(name, usual.expand(parameter.shape).clone())
    return grown
