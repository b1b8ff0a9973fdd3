"""The graph of a number recogniser in whole numbers of eight bits: two fifths of the time, a quarter of the bytes.

Weights get a scale for each channel, what lies between layers one for each layer, from its least and its most over
composed numbers (Jacob et al. 2018; a scale for each channel: Krishnamoorthi 2018). The first layers, sums of residual
blocks and the last layer stay in float32: in eight bits they cost most of what is lost, and save hardly any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from inkshift.datasets.synth import strings
from inkshift.models import ctc
from inkshift.models.runtime import open_session, softmax
from inkshift.scratch import in_scratch, scratch

# Composed numbers that the scales are taken from, and how many are run at once; convolutions that stay in float32.
CALIBRATED_BY, _AT_ONCE, _IN_FLOAT = 2000, 32, 3


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Pictures of numbers, as the calibration takes them."""

    def __init__(self, lines: strings.Lines, name: str) -> None:
        self._batches = iter([{name: lines[rows]} for rows in lines.batches(np.arange(len(lines)), _AT_ONCE)])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        return next(self._batches, None)


def in_eight_bits(graph: bytes, lines: strings.Lines) -> bytes:
    """An ONNX file as `networks.line_graph_bytes` makes it, its convolutions in eight bits.

    lines: composed numbers, framed, with all that may stand beside digits. Weights use seven of their bits: products of
    eight overflow on processors without instructions for them, which would read otherwise than those with them. Raises
    SettingError where the temporary folder has no room.
    """
    model = onnx.load_from_string(graph)
    add_pre_process_metadata(model)  # nothing is left to simplify: the exporter did
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    with scratch() as folder, in_scratch(folder):
        quantize_static(
            model,
            folder / "model.onnx",
            _Pictures(lines, model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MaxPool"],
            nodes_to_exclude=convolutions[:_IN_FLOAT],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return (folder / "model.onnx").read_bytes()


def steps_in(graph: bytes, lines: strings.Lines) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """What a graph makes of each picture, as `finetune.steps_of` gives it of a network."""
    session = open_session(graph)
    name = session.get_inputs()[0].name
    for rows in lines.batches(np.arange(len(lines)), _AT_ONCE):
        found = softmax(session.run(None, {name: lines[rows]})[0])
        yield from zip(rows.tolist(), found, strict=True)


def share_read(graph: bytes, lines: strings.Lines, labels: Sequence[str]) -> float:
    """The share, 0 to 1, of numbers that a graph reads right by the likeliest symbol of each step."""
    right = (ctc.collapse(ctc.fold(found).argmax(1)) == labels[place] for place, found in steps_in(graph, lines))
    return sum(right) / max(len(labels), 1)
