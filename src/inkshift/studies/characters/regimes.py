"""What a regime is: where the weights start, and which of them learn.

Control: random weights, all learn. Frozen: the weights of a network trained on the source task, of which only a new
final layer learns. Fine-tuned: the same, and all learn (Kooverjee et al. 2020, III-A). As-is: the source network
unchanged, all work being in the reframing of its input (Pacchiotti et al. 2023, section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import safetensors.torch
from torch import nn

from inkshift.errors import ModelError
from inkshift.models.train.loop import LoopSettings, seed_all
from inkshift.models.train.networks import build, final_layer
from inkshift.models.train.weights import fitted
from inkshift.studies.characters.plan import Run


def settings(run: Run, device: str = "cpu") -> LoopSettings:
    """How the training loop is to train this run."""
    p = run.protocol
    return LoopSettings(
        epochs=p.epochs,
        batch=p.batch,
        rate=p.rate,
        seed=run.seed,
        channels=p.channels,
        precision="bfloat16" if p.precision == "bfloat16" else "float32",
        fast=not run.batched,
        device=device,
    )


def network(run: Run, source_weights: Path | None, classes: int | None = None) -> nn.Module:
    """The network a run starts from, ready for its regime: `requires_grad` is set for what learns.

    source_weights: safetensors of the source network, for every regime but control. classes: outputs, those of the
    run's task if None. Raises ModelError where the weights do not fit the network.
    """
    seed_all(run.seed)
    p = run.protocol
    net = build(p.backbone, classes or len(run.task.labels), p.side, p.channels)
    if source_weights is not None:
        _take_over(net, source_weights, run.regime == "as-is", p.depth, run.weights is not None)
    if run.regime == "frozen":
        net.requires_grad_(p.depth is not None)
        final_layer(net).requires_grad_(True)
        for stage in stages(net)[: p.depth or 0]:
            stage.requires_grad_(False)
    return net


def stages(net: nn.Module) -> list[nn.Module]:
    """What a network is carried over by, from the picture to the final layer, which is none: the stem and each block.

    Of the small convnet the two convolutions; of a timm network its own groups of layers (`group_matcher`), or the
    modules it is made of. Layers without weights belong to none.
    """
    if not isinstance(net, nn.Sequential):
        from timm.models import group_modules

        groups = group_modules(net, net.group_matcher(coarse=True))  # type: ignore[operator]
        names = list(groups.values())
        found = [nn.ModuleList([net.get_submodule(name) for name in group if name]) for group in names]
    else:
        found = [nn.ModuleList([module]) for module in net.children()]
    last = final_layer(net)
    learning = [stage for stage in found if any(True for _ in stage.parameters())]
    return [stage for stage in learning if not any(module is last for module in stage.modules())]


def rate_shares(run: Run, net: nn.Module) -> Callable[[nn.Parameter], float] | None:
    """The share of the rate that each parameter learns at; None where all learn alike. See `Protocol.layer_rates`."""
    factor = run.protocol.layer_rates
    if factor == 1:
        return None
    found = stages(net)
    carried = found[: run.protocol.depth or len(found)]
    shares = {id(one): factor ** (len(carried) - k) for k, stage in enumerate(carried) for one in stage.parameters()}
    return lambda one: shares.get(id(one), 1.0)


def _take_over(net: nn.Module, weights: Path, whole: bool, depth: int | None, given: bool) -> None:
    """Load all weights, or all but those of the final layer, or those of the first stages; others stay as drawn.

    given: they are of somebody else's training, and are fitted to the network.
    """
    last = final_layer(net)
    own = next(name for name, module in net.named_modules() if module is last)
    try:
        state = fitted(net, own, weights) if given else safetensors.torch.load_file(weights)
        kept = {k: v for k, v in state.items() if whole or not k.startswith(f"{own}.")}
        drawn = {name: value.clone() for name, value in net.state_dict().items()} if depth is not None else {}
        missing, unexpected = net.load_state_dict(kept, strict=False)
        if depth is not None:
            if depth > len(found := stages(net)):
                raise ModelError(f"depth: this network has {len(found)} stages before its final layer, found {depth}")
            carried = {id(t) for stage in found[:depth] for t in (*stage.parameters(), *stage.buffers())}
            for name, tensor in net.state_dict(keep_vars=True).items():
                if id(tensor) not in carried:
                    tensor.data.copy_(drawn[name])
    except (OSError, RuntimeError, safetensors.SafetensorError) as e:
        problem = str(e).splitlines()[0]
        mend = "give those of the set's backbone" if given else "run its source again"
        raise ModelError(f"{weights}: not the weights of this network ({problem}); {mend}") from None
    if unexpected or any(whole or not name.startswith(f"{own}.") for name in missing):
        raise ModelError(f"{weights}: not the weights of this network; run its source again")


def learning_mode(run: Run) -> Callable[[nn.Module], object]:
    """What puts the network in the mode it learns in: what is frozen with `freeze_stats` stays as in use."""
    depth = run.protocol.depth
    if run.regime != "frozen" or run.protocol.batch_norm == "adapt":
        return nn.Module.train
    if depth is None:
        return nn.Module.eval

    def mode(net: nn.Module) -> None:
        net.train()
        for stage in stages(net)[:depth]:
            stage.eval()

    return mode
