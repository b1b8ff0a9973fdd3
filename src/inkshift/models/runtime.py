"""Inference with ONNX Runtime; torch is not needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from inkshift.datasets.synth.strings import pad
from inkshift.errors import ModelError
from inkshift.models import ctc
from inkshift.models.ctc import STRIDE
from inkshift.models.graphs import check_graph
from inkshift.models.package import GRAPH, Model

Classifier = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
Recogniser = Callable[[Sequence[npt.NDArray[np.uint8]]], list[npt.NDArray[np.float32]]]

_BATCH = 256
_LINES = 16


def classifier(model: Model, threads: int = 1) -> Classifier:
    """A function from (N, H, W) uint8 pictures, framed as the model's reframing says, to logits.

    The logits are (N, classes) float32; N may be 0. Raises ModelError where the graph cannot be run.
    """
    session, name = _open(model, threads)
    classes = len(model.manifest.classes)

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = [session.run(None, {name: images[i : i + _BATCH]})[0] for i in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, classes), np.float32)

    return run


def recogniser(model: Model, threads: int = 1) -> Recogniser:
    """A function from pictures of numbers, framed as the model's reframing says, to probabilities for each step.

    Each picture is (H, W) uint8, H the same for all; each answer (T, 11) float32, rows that sum to 1, T a quarter
    of W rounded up; a mark counts as blank. Pictures of like width are run together. Raises ModelError as
    `classifier` does.
    """
    run = symbol_recogniser(model, threads)
    return lambda pictures: [ctc.fold(steps) for steps in run(pictures)]


def symbol_recogniser(model: Model, threads: int = 1) -> Recogniser:
    """As `recogniser`, with the probabilities of all the model's classes, marks too: each answer (T, classes)."""
    session, name = _open(model, threads)

    def run(pictures: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        widths = np.array([picture.shape[1] for picture in pictures], np.int64)
        order = np.argsort(widths, kind="stable")
        found: list[npt.NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(pictures)
        for rows in (order[i : i + _LINES] for i in range(0, len(order), _LINES)):
            logits = session.run(None, {name: pad([pictures[int(i)] for i in rows])})[0]
            for i, steps in zip(rows, softmax(logits), strict=True):
                found[int(i)] = steps[: -(-int(widths[i]) // STRIDE)]
        return found

    return run


def _open(model: Model, threads: int) -> tuple[onnxruntime.InferenceSession, str]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = model.folder / GRAPH
    graph = path.read_bytes()
    check_graph(graph, str(path), picture_by_picture=True)
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({str(e).splitlines()[0]})") from None
    return session, session.get_inputs()[0].name


def softmax(logits: npt.NDArray[np.float32], temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """Probabilities (N, classes) float32 from logits, divided by `temperature` first."""
    scaled = logits / temperature
    odds = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)
