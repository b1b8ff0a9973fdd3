"""How an ONNX graph of another maker takes pictures, and what it answers with: found by its shape, and by trial."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import onnxruntime

from inkshift.errors import ModelError, SettingError
from inkshift.models.package import Input
from inkshift.models.runtime import batches, open_session, run_limited

LAYOUTS = get_args(Input.model_fields["layout"].annotation)
_OLDEST, _CONVERT_TO = 7, 13  # opsets: what ONNX Runtime takes, and what older graphs are converted to


class Scale(NamedTuple):
    """How a byte becomes a number of the input, multiply * byte + add: one of each, or one for each of 3 channels."""

    multiply: tuple[float, ...]
    add: tuple[float, ...]
    text: str


def parse_scale(text: str) -> Scale:
    """`LOW..HIGH`, what black and white become; or `MEAN,STD` of pictures in 0..1, three of each for 3 channels."""
    try:
        if ".." in text:
            low, high = map(float, text.split(".."))
            return Scale(((high - low) / 255,), (low,), text)
        values = np.array([float(part) for part in text.split(",")])
        mean, std = values.reshape(2, -1)
        if len(mean) in (1, 3) and (std > 0).all():
            return Scale(tuple((1 / (255 * std)).tolist()), tuple((-mean / std).tolist()), text)
    except ValueError:
        pass
    raise SettingError(f"--scale {text}: expected 0..1, -1..1, 0..255, or mean,std such as 0.1307,0.3081")


def fit(model: Any, scale: Scale, size: tuple[int, int], classes: int, file: str) -> tuple[bytes, Input]:
    """An onnx.ModelProto as a file, and how it takes (N, H, W) uint8 and answers (N, classes), for any N; tried out.

    size: (H, W) of the pictures. The layout of the input is found by its shape, and where that leaves it open
    by trial. Graphs that take one picture only are run picture by picture. Raises ModelError or SettingError,
    naming `file`, for a graph that cannot take such pictures or answers with other than `classes` numbers.
    """
    model = _modern(model, file)
    given, answer = _ends(model, file)
    dtype = _dtype(given, scale, file)
    graph = bytes(model.SerializeToString())
    pictures = np.random.default_rng(0).integers(0, 256, (5, *size), np.uint8)
    problem = ""
    for layout, one_by_one in product(_fitting(given, scale, size, file), (False, True)):
        how = Input(layout=layout, dtype=dtype, multiply=scale.multiply, add=scale.add, one_by_one=one_by_one)
        try:
            found = _try_out(open_session(graph), pictures, how)
        except TimeoutError as e:
            raise ModelError(f"{file}: {e}") from None
        except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
            problem = problem or _short(e)
            continue
        _check(found, classes, file)
        return graph, how.model_copy(update={"shares": _are_shares(found, model, answer.name)})
    raise ModelError(f"{file}: does not run on pictures of {size[0]} x {size[1]} ({problem}); export it anew")


def answers(graph: bytes, how: Input, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, H, W) uint8 -> (N, classes) float32 of a graph. Raises ModelError where it does not run."""
    session = open_session(graph)
    try:
        return np.concatenate([run_limited(session, batch, how) for batch in batches(pictures)])
    except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise ModelError(f"the network does not run on pictures ({_short(e)}); export it anew") from None


def _modern(model: Any, file: str) -> Any:
    import onnx

    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions or versions[0] >= _OLDEST:
        return model
    try:
        return onnx.version_converter.convert_version(model, _CONVERT_TO)
    except Exception as e:  # the converter raises RuntimeError and classes of its own
        raise ModelError(f"{file}: its opset {versions[0]} cannot be brought to {_CONVERT_TO} ({_short(e)})") from None


def _ends(model: Any, file: str) -> tuple[Any, Any]:
    """The one input and the one output."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    for what, values in (("input", inputs), ("output", list(model.graph.output))):
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise ModelError(f"{file}: expected a graph with one {what}, found {names}; export it with one")
        if not values[0].type.HasField("tensor_type"):
            raise ModelError(f"{file}: its {what} {values[0].name} is no tensor; export it without ZipMap")
    return inputs[0], model.graph.output[0]


def _dtype(given: Any, scale: Scale, file: str) -> str:
    """The kind of number that the input takes. Raises ModelError for text and what NumPy lacks."""
    import onnx

    kind = given.type.tensor_type.elem_type
    if kind == onnx.TensorProto.STRING:
        raise ModelError(f"{file}: its input {given.name} takes text; expected pictures")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    if dtype.kind not in "buif":
        raise ModelError(f"{file}: its input {given.name} takes {dtype}, which NumPy lacks; export it with float32")
    if dtype.kind in "ui" and scale[:2] != parse_scale("0..255")[:2]:
        raise SettingError(f"--scale {scale.text}: {file} takes whole numbers; give --scale 0..255")
    return str(dtype.name)


def _fitting(given: Any, scale: Scale, size: tuple[int, int], file: str) -> list[Any]:
    """The layouts that the declared shape of the input allows; raises where there is none."""
    kind = given.type.tensor_type
    layouts = [name for name in LAYOUTS if len(scale.add) == 1 or "3" in name]
    if not kind.HasField("shape"):
        return layouts
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    shown = "(" + ", ".join("?" if dim is None else str(dim) for dim in dims) + ")"
    if dims and dims[0] not in (None, 1):
        raise ModelError(f"{file}: was exported for {dims[0]} pictures at once; export it for any number, or for 1")
    fits = [name for name in layouts if _allows(dims[1:], _shape(name, size))]
    if not fits and len(scale.add) == 3 and any(_allows(dims[1:], _shape(name, size)) for name in LAYOUTS):
        raise SettingError(f"--scale {scale.text}: {file} takes one channel, {shown}; give one mean and one std")
    for name in () if fits else layouts:
        if _allows(dims[1:], _shape(name, None)):
            want = " x ".join(str(d) for d, part in zip(dims, name.split(","), strict=True) if part[0] in "HW")
            raise ModelError(f"{file}: takes pictures of {want}, --reframing gives {size[0]} x {size[1]}; see resize")
    if not fits:
        raise ModelError(f"{file}: its input has the shape {shown}; expected one of {'  '.join(LAYOUTS)}")
    return fits


def _allows(declared: Sequence[int | None], shape: Sequence[int | None]) -> bool:
    pairs = zip(declared, shape, strict=False)
    return len(declared) == len(shape) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _shape(layout: str, size: tuple[int, int] | None) -> list[Any]:
    """The shape of one picture; None for what depends on the size, where that is None."""
    height, width = size or (None, None)
    known = {"1": 1, "3": 3, "H": height, "W": width, "H*W": height and width and height * width}
    return [known[part] for part in layout.split(",")[1:]]


def _try_out(
    session: onnxruntime.InferenceSession, pictures: npt.NDArray[np.uint8], how: Input
) -> npt.NDArray[np.float32]:
    """The answers to all pictures at once; raises ValueError where those to each alone are others."""
    together = run_limited(session, pictures, how)
    alone = np.concatenate([run_limited(session, picture[None], how) for picture in pictures])
    if together.shape != alone.shape or not np.allclose(
        together, alone, rtol=1e-3, atol=1e-3 * float(np.abs(alone).max()), equal_nan=True
    ):
        raise ValueError("it answers otherwise to several pictures at once than to each alone")
    return together


def _check(found: npt.NDArray[np.float32], classes: int, file: str) -> None:
    if found.shape[1] != classes:
        raise ModelError(f"{file}: answers with {found.shape[1]} numbers for a picture, --classes names {classes}")
    if not np.isfinite(found).all():
        raise ModelError(f"{file}: answers with numbers that are not finite; check --scale")


def _are_shares(found: npt.NDArray[np.float32], model: Any, output: str) -> bool:
    if found.min() < 0 or found.max() > 1 + 1e-3:
        return False
    last = {node.op_type for node in model.graph.node if output in node.output}
    return bool(np.allclose(found.sum(1), 1, atol=1e-2)) or "Sigmoid" in last


def _short(error: Exception) -> str:
    """The first line of an error, without the parts of ONNX Runtime that say where in its code."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"\s*/\S+:\d+ .*?\) ", " ", lines[0])[:300].strip(" .")
