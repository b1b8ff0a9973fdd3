"""Training goes on with more residual blocks than it began with, from what was learned with fewer."""

from __future__ import annotations

import torch
from torch import nn

from inkshift.models.train.checkpoint import Tensors


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
