"""A trained network as the two files of a package: safetensors weights and an ONNX graph."""

from __future__ import annotations

import warnings

import safetensors.torch
import torch
from torch import nn

from inkshift.errors import need
from inkshift.models.train.networks import FromBytes

_DIMS = {"n": torch.export.Dim("n"), "w": 8 * torch.export.Dim("w", min=1, max=400)}


def weights_bytes(net: nn.Module) -> bytes:
    """All parameters and buffers of `net` as a safetensors file."""
    return safetensors.torch.save({name: value.contiguous() for name, value in net.state_dict().items()})


def graph_bytes(net: nn.Module, side: int = 28, channels: int = 1) -> bytes:
    """An ONNX file: (N, side, side) uint8 in, (N, classes) float32 logits out, any N."""
    return _export(FromBytes(net, channels), torch.zeros(2, side, side, dtype=torch.uint8), {0: "n"})


def line_graph_bytes(net: nn.Module, height: int) -> bytes:
    """An ONNX file: (N, height, 8 W) uint8 in, (N, 2 W, classes) float32 logits out, any N and W."""
    return _export(FromBytes(net), torch.zeros(2, height, 64, dtype=torch.uint8), {0: "n", 2: "w"})


def plain_graph_bytes(net: nn.Module, side: int, channels: int) -> bytes:
    """An ONNX file of the network as it is: (N, channels, side, side) float32 in, (N, classes) logits out, any N."""
    return _export(net, torch.zeros(2, channels, side, side), {0: "n"})


def _export(net: nn.Module, pictures: torch.Tensor, free: dict[int, str]) -> bytes:
    need("onnxscript", "study", "writing an ONNX graph")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net.eval(),
            (pictures,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({axis: _DIMS[name] for axis, name in free.items()},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
