"""A trained network as the two files of a package: safetensors weights and an ONNX graph."""

from __future__ import annotations

import warnings

import safetensors.torch
import torch
from torch import nn

from inkshift.errors import MissingExtraError
from inkshift.models.networks import FromBytes


def weights_bytes(net: nn.Module) -> bytes:
    """All parameters and buffers of `net` as a safetensors file."""
    return safetensors.torch.save({name: value.contiguous() for name, value in net.state_dict().items()})


def graph_bytes(net: nn.Module, side: int = 28, channels: int = 1) -> bytes:
    """An ONNX file: (N, side, side) uint8 in, (N, classes) float32 logits out, any N."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("study", "writing an ONNX graph") from None
    whole = FromBytes(net, channels).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            whole,
            (torch.zeros(2, side, side, dtype=torch.uint8),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
