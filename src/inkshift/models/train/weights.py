"""Weights that others trained, fitted to a network of ours: by their order, for one channel, for pictures of 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

# Of a normalisation: how many batches it saw, which some files leave out.
_COUNT = "num_batches_tracked"


def fitted(net: nn.Module, last: str, file: Path) -> dict[str, torch.Tensor]:
    """Weights that others trained, by this network's names, all but those of the final layer, which is called `last`.

    They are told by their names, which may all have something before them, or in a file of torch by their order. Of a
    network of three channels for one of one, what all three do to one gray picture. What its pictures were scaled by
    (timm's `mean` and `std`) is worked into the first layer and the normalisation behind it, since ours are 0 to 1.
    Raises RuntimeError where they do not fit.
    """
    wanted = {name: value for name, value in net.state_dict().items() if not name.startswith(f"{last}.")}
    found = _tensors(file)
    before = _before(wanted, found)
    if before is not None:
        found = {name: found.get(before + name, value) for name, value in wanted.items()}
    else:  # safetensors are kept by their names, which says nothing then
        ours, theirs = ([name for name in names if not name.endswith(_COUNT)] for names in (wanted, found))
        if len(theirs) < len(ours) or file.suffix == ".safetensors":
            raise RuntimeError(f"{len(found)} tensors, of other names, such as {next(iter(found), 'none')}")
        found = wanted | {name: found[own] for name, own in zip(ours, theirs, strict=False)}
    cfg = getattr(net, "pretrained_cfg", {})
    first = f"{cfg.get('first_conv')}.weight"
    if first in found:
        _scaled_alike(net, found, first, cfg.get("mean", (0.0,)), cfg.get("std", (1.0,)))
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise RuntimeError(f"{name} has the shape {tuple(value.shape)}, expected {tuple(wanted[name].shape)}")
    return found


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    """What a file holds, or the one of its parts that is called `state_dict` or `model`."""
    try:
        if file.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(file))
        held = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as e:  # torch raises many kinds for a file that is none of its own
        raise RuntimeError(f"cannot be read, {(str(e).strip().splitlines() or [type(e).__name__])[0]}") from None
    for part in ("state_dict", "model"):
        held = held[part] if isinstance(held, dict) and isinstance(held.get(part), dict) else held
    found = {str(name): value for name, value in held.items()} if isinstance(held, dict) else {}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _before(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> str | None:
    """What stands before all names in a file, `module.` say; None where they are others."""
    names = [name for name in wanted if not name.endswith(_COUNT)]
    tried = {name.removesuffix(names[0]) for name in found if name.endswith(names[0])}
    return next((one for one in sorted(tried, key=len) if all(one + name in found for name in names)), None)


def _scaled_alike(
    net: nn.Module, found: dict[str, torch.Tensor], first: str, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Make a first layer that saw (x - mean) / std see x alike, in place; and one channel as it saw three alike."""
    weight = found[first]
    by, off = (torch.tensor(list(values)).reshape(1, -1, 1, 1) for values in (std, mean))
    scaled = weight / by
    moved = (scaled * off).sum((1, 2, 3))
    module = net.get_submodule(first.removesuffix(".weight"))
    alike = net.state_dict()[first].shape[1] == weight.shape[1]
    found[first] = scaled if alike else scaled.sum(1, keepdim=True)
    modules = list(net.named_modules())
    at = next(i for i, (_, one) in enumerate(modules) if one is module)
    behind = next((name for name, one in modules[at:] if isinstance(one, nn.modules.batchnorm._BatchNorm)), None)
    bias = first.removesuffix("weight") + "bias"
    if bias in found:
        found[bias] = found[bias] - moved
    elif behind is not None:
        found[f"{behind}.running_mean"] = found[f"{behind}.running_mean"] + moved
    elif moved.any():
        raise RuntimeError(f"nothing behind {first} takes up the mean of the pictures that it learned from")
