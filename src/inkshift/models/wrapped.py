"""A foreign ONNX graph behind the input and output of our packages: (N, H, W) uint8 in, float32 logits out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inkshift.errors import ModelError, SettingError
from inkshift.models.runtime import batches, open_session, run_limited

LAYOUTS = ("N,1,H,W", "N,H,W,1", "N,3,H,W", "N,H,W,3", "N,H,W", "N,H*W")
_SHARE = 1e-30  # the least probability that is told from none
_CONVERT_TO = 13  # opset that graphs older than 9, which have no Scan over pictures, are converted to


class Scale(NamedTuple):
    """How a byte becomes a number of the input, multiply * byte + add: one of each, or one for each of 3 channels."""

    multiply: tuple[float, ...]
    add: tuple[float, ...]
    text: str


class Wrapped(NamedTuple):
    """A graph that takes our pictures: the ONNX file, and what was found of the graph in it.

    probabilities: it ends in shares of 1, whose logarithm is taken. one_by_one: it takes one picture at a time.
    """

    graph: bytes
    layout: str
    probabilities: bool
    one_by_one: bool


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


def wrap(model: Any, scale: Scale, size: tuple[int, int], classes: int, file: str) -> Wrapped:
    """Put an onnx.ModelProto behind (N, H, W) uint8 -> (N, classes) logits, for any N, and try that out.

    size: (H, W) of the pictures. The layout of the input is found by its shape, and where that leaves it open
    by trial. Graphs that take one picture only are run picture by picture. Raises ModelError or SettingError,
    naming `file`, for a graph that cannot take such pictures or answers with other than `classes` numbers.
    """
    model = _modern(model, file)
    given, answer = _ends(model, file)
    pictures = np.random.default_rng(0).integers(0, 256, (5, *size), np.uint8)
    problem = ""
    for layout in _fitting(given, scale, size, file):
        for one_by_one in (False, True):
            graph = _build(model, layout, scale, size, one_by_one)
            try:
                found = _try_out(graph, pictures)
            except TimeoutError as e:
                raise ModelError(f"{file}: {e}") from None
            except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
                problem = problem or _short(e)
                continue
            _check(found, classes, file)
            shares = _are_shares(found, model, answer.name)
            return Wrapped(
                _build(model, layout, scale, size, one_by_one, shares) if shares else graph, layout, shares, one_by_one
            )
    raise ModelError(f"{file}: does not run on pictures of {size[0]} x {size[1]} ({problem}); export it anew")


def answers(graph: bytes, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, H, W) uint8 -> (N, classes) float32 of a wrapped graph. Raises ModelError where it does not run."""
    session = open_session(graph)
    try:
        return np.concatenate([run_limited(session, batch) for batch in batches(pictures)])
    except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise ModelError(f"the network does not run on pictures ({_short(e)}); export it anew") from None


def _modern(model: Any, file: str) -> Any:
    import onnx

    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions or versions[0] >= 9:
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


def _fitting(given: Any, scale: Scale, size: tuple[int, int], file: str) -> list[str]:
    """The layouts that the declared shape of the input allows; raises where there is none."""
    import onnx

    kind = given.type.tensor_type
    if kind.elem_type == onnx.TensorProto.STRING:
        raise ModelError(f"{file}: its input {given.name} takes text; expected pictures")
    whole = np.issubdtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), np.integer)
    if whole and scale[:2] != parse_scale("0..255")[:2]:
        raise SettingError(f"--scale {scale.text}: {file} takes whole numbers; give --scale 0..255")
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


def _shape(layout: str, size: tuple[int, int] | None, gray: bool = False) -> list[Any]:
    """The shape of one picture; None for what depends on the size, where that is None. gray: with 1 for 3."""
    height, width = size or (None, None)
    known = {"1": 1, "3": 1 if gray else 3, "H": height, "W": width, "H*W": height and width and height * width}
    return [known[part] for part in layout.split(",")[1:]]


def _build(
    model: Any, layout: str, scale: Scale, size: tuple[int, int], one_by_one: bool, shares: bool = False
) -> bytes:
    import onnx
    from onnx import TensorProto, helper

    net = model.graph
    given, answer = _ends(model, "")
    mark = _unused_mark(net)
    nodes, weights = list(net.node), list(net.initializer)
    first, last = given.name, answer.name
    if one_by_one:
        first, last = mark + "ready", mark + "raw"
        nodes, weights = [_scan(net, given, answer, mark, _shape(layout, size))], []
    before, constants = _scaling(layout, scale, size, mark, first, given.type.tensor_type.elem_type)
    after, logits = _flat_logits(mark, last, shares)
    graph = helper.make_graph(
        [*before, *nodes, *after],
        net.name or "net",
        [helper.make_tensor_value_info(mark + "images", TensorProto.UINT8, ["n", *size])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["n", None])],
        [*weights, *constants],
    )
    out = onnx.ModelProto()
    out.CopyFrom(model)
    out.graph.CopyFrom(graph)
    out.ir_version = max(model.ir_version, 4)  # before 4, weights had to be inputs
    return bytes(out.SerializeToString())


def _unused_mark(net: Any) -> str:
    """What no name in the graph begins with."""
    used = [name for node in net.node for name in (*node.input, *node.output)]
    marks = (f"import{i}." for i in count())
    return next(mark for mark in marks if not any(name.startswith(mark) for name in used))


def _scaling(
    layout: str, scale: Scale, size: tuple[int, int], mark: str, to: str, kind: int
) -> tuple[list[Any], list[Any]]:
    """Nodes, and their constants, from (N, H, W) uint8 to the tensor `to` of the element type `kind`."""
    from onnx import TensorProto, helper, numpy_helper

    channels = [3 if part == "3" else 1 for part in layout.split(",")]
    constants = {
        "gray": np.array([-1, *_shape(layout, size, gray=True)], np.int64),
        "multiply": np.broadcast_to(np.array(scale.multiply, np.float32), max(channels)).reshape(channels),
        "add": np.broadcast_to(np.array(scale.add, np.float32), max(channels)).reshape(channels),
    }
    nodes = [
        helper.make_node("Cast", [mark + "images"], [mark + "float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", [mark + "float", mark + "gray"], [mark + "pictures"]),
        helper.make_node("Mul", [mark + "pictures", mark + "multiply"], [mark + "multiplied"]),
        helper.make_node("Add", [mark + "multiplied", mark + "add"], [mark + "scaled"]),
        helper.make_node("Cast", [mark + "scaled"], [to], to=kind),
    ]
    return nodes, [numpy_helper.from_array(np.ascontiguousarray(v), mark + k) for k, v in constants.items()]


def _flat_logits(mark: str, raw: str, shares: bool) -> tuple[list[Any], str]:
    """Nodes from the answer of the graph to (N, classes) float32 logits, and the name of those."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", [raw], [mark + "numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", [mark + "numbers"], [mark + "flat"], axis=1),
    ]
    if not shares:
        return nodes, mark + "flat"
    least = helper.make_tensor(mark + "least", TensorProto.FLOAT, [], [_SHARE])
    nodes += [
        helper.make_node("Constant", [], [mark + "least"], value=least),
        helper.make_node("Max", [mark + "flat", mark + "least"], [mark + "shares"]),
        helper.make_node("Log", [mark + "shares"], [mark + "logits"]),
    ]
    return nodes, mark + "logits"


def _scan(net: Any, given: Any, answer: Any, mark: str, shape: Sequence[int]) -> Any:
    """A node that runs the graph on one picture after the other and stacks the answers."""
    from onnx import helper, numpy_helper

    one = numpy_helper.from_array(np.array([1, *shape], np.int64), mark + "one")
    body = helper.make_graph(
        [helper.make_node("Reshape", [mark + "picture", mark + "one"], [given.name]), *net.node],
        mark + "body",
        [helper.make_tensor_value_info(mark + "picture", given.type.tensor_type.elem_type, list(shape))],
        [helper.make_tensor_value_info(answer.name, answer.type.tensor_type.elem_type, None)],
        [*net.initializer, one],
    )
    return helper.make_node("Scan", [mark + "ready"], [mark + "raw"], body=body, num_scan_inputs=1)


def _try_out(graph: bytes, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The answers to all pictures at once; raises ValueError where those to each alone are others."""
    session = open_session(graph)
    together = np.asarray(run_limited(session, pictures))
    alone = np.concatenate([run_limited(session, picture[None]) for picture in pictures])
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
