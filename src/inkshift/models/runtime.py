"""Inference with ONNX Runtime; torch is not needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnxruntime

from inkshift.errors import ModelError
from inkshift.models import ctc
from inkshift.models.ctc import STRIDE
from inkshift.models.graphs import check_graph
from inkshift.models.package import GRAPH, Input, Model, shipped
from inkshift.reframe import pad

Classifier = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
Recogniser = Callable[[Sequence[npt.NDArray[np.uint8]]], list[npt.NDArray[np.float32]]]

# Bytes that all networks hold between their layers, and seconds that one of another maker may take for an answer.
_MOST_MEMORY, _MOST_SECONDS = 1 << 30, 20
# The least probability that is told from none.
_LEAST_SHARE = 1e-30
# Pictures that a classifier is given at once, and their pixels, so that what lies between its layers stays small.
_BATCH, _BATCH_PIXELS = 256, 1 << 20
# Numbers that a recogniser is given at once, and the step of their widths in pixels: each is padded by its own width
# alone, so that what is read of it does not depend on what else is read.
_LINES, _WIDTH = 32, 32


def classifier(model: Model) -> Classifier:
    """A function from (N, H, W) uint8 pictures, framed as the model's reframing says, to logits.

    The logits are (N, classes) float32; N may be 0. Raises ModelError where the graph cannot be run.
    """
    answer = _open(model)
    classes = len(model.manifest.classes)

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = [answer(batch) for batch in batches(images)]
        return np.concatenate(parts) if parts else np.zeros((0, classes), np.float32)

    return run


def recogniser(model: Model) -> Recogniser:
    """A function from pictures of numbers, framed as the model's reframing says, to probabilities for each step.

    Each picture is (H, W) uint8, H the same for all; each answer (T, 11) float32, rows that sum to 1, T a quarter
    of W rounded up; a mark counts as blank. Pictures of like width are run together; what else there is changes
    nothing. Raises ModelError as `classifier` does.
    """
    run = symbol_recogniser(model)
    return lambda pictures: [ctc.fold(steps) for steps in run(pictures)]


def symbol_recogniser(model: Model) -> Recogniser:
    """As `recogniser`, with the probabilities of all the model's classes, marks too: each answer (T, classes)."""
    answer = _open(model)

    def run(pictures: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        like: dict[int, list[int]] = {}
        for i, picture in enumerate(pictures):
            like.setdefault(-(-picture.shape[1] // _WIDTH), []).append(i)
        found: list[npt.NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(pictures)
        for alike in like.values():
            for rows in (alike[k : k + _LINES] for k in range(0, len(alike), _LINES)):
                logits = answer(pad([pictures[i] for i in rows], _WIDTH))
                for i, steps in zip(rows, softmax(logits), strict=True):
                    found[i] = steps[: -(-pictures[i].shape[1] // STRIDE)]
        return found

    return run


def _open(model: Model) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """The answers of a graph, (N, classes) or (N, T, classes) float32. Raises ModelError where it gives others."""
    path = model.folder / GRAPH
    graph = path.read_bytes()
    check_graph(graph, str(path), picture_by_picture=True)
    try:
        session = open_session(graph)
        name = session.get_inputs()[0].name
    except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({_first_line(e)}); get the package again") from None
    ours, how = model.folder in shipped().values(), model.manifest.input
    classes = len(model.manifest.classes)

    def answer(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        try:
            out = session.run(None, {name: pictures})[0] if ours else run_limited(session, pictures, how)
        except TimeoutError as e:
            raise ModelError(f"{path}: {e}") from None
        except Exception as e:
            raise ModelError(f"{path}: does not run ({_first_line(e)}); get the package again") from None
        kind = getattr(out, "dtype", None)
        shape: tuple[int, ...] = getattr(out, "shape", ())
        if not (kind == np.float32 and len(shape) > 1 and shape[0] == len(pictures) and shape[-1] == classes):
            raise ModelError(
                f"{path}: expected {classes} float32 for each of {len(pictures)} pictures, found {kind} {shape}; "
                "get the package again"
            )
        return np.asarray(out)

    return answer


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime for a graph in memory, on one core. What it holds is limited: see `_limit_memory`."""
    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_limited(
    session: onnxruntime.InferenceSession, pictures: npt.NDArray[np.uint8], how: Input | None = None
) -> npt.NDArray[np.float32]:
    """The first output of a network that is not ours for framed pictures; see `Input`.

    Raises what ONNX Runtime does, and TimeoutError.
    """
    name, taken = session.get_inputs()[0].name, pictures if how is None else _as_taken(pictures, how)
    options = onnxruntime.RunOptions()
    clock = threading.Timer(_MOST_SECONDS, lambda: setattr(options, "terminate", True))
    clock.start()
    try:
        parts = np.split(taken, len(taken)) if how and how.one_by_one else [taken]
        answers = [session.run(None, {name: part}, options)[0] for part in parts]
    except Exception:
        if options.terminate:
            raise TimeoutError(
                f"expected an answer for {len(pictures)} pictures within {_MOST_SECONDS} seconds, found a network "
                "that takes more; export a smaller one"
            ) from None
        raise
    finally:
        clock.cancel()
    if how is None:
        return answers[0]  # type: ignore[no-any-return]
    out = np.concatenate(answers).astype(np.float32).reshape(len(pictures), -1)
    return np.log(np.maximum(out, _LEAST_SHARE)) if how.shares else out


def _as_taken(pictures: npt.NDArray[np.uint8], how: Input) -> npt.NDArray[np.generic]:
    """Framed pictures, (N, H, W) uint8, as a network of another maker takes them."""
    parts = how.layout.split(",")
    scaled = pictures[..., None] * np.array(how.multiply, np.float32) + np.array(how.add, np.float32)
    if "3" in parts:
        scaled = np.broadcast_to(scaled, (*pictures.shape, 3))
    if parts[1] in ("1", "3"):
        scaled = np.moveaxis(scaled, -1, 1)
    elif parts[-1] == "W":
        scaled = scaled[..., 0]
    elif parts[-1] == "H*W":
        scaled = scaled.reshape(len(pictures), -1)
    return np.ascontiguousarray(scaled.astype(how.dtype))


def batches(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """(N, H, W) pictures in parts that a classifier may be given at once."""
    count = max(1, min(_BATCH, _BATCH_PIXELS // max(1, images[0].size if len(images) else 1)))
    return (images[i : i + count] for i in range(0, len(images), count))


@lru_cache(maxsize=1)
def _limit_memory() -> None:
    """Networks share one store of memory, which ends at a gibibyte: a graph can ask for any amount in 50 bytes."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(_MOST_MEMORY, -1, -1, -1))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (N, classes) float32 from logits."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)
