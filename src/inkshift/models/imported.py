"""Models of other makers as packages: an ONNX file, a Keras file, or the weights of a timm network."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inkshift.datasets.formats import LabelledImages, load_class_folders, load_csv, load_npz, load_path
from inkshift.errors import DataError, MissingExtraError, ModelError, SettingError, lacks
from inkshift.files import MOST_SETTINGS, parse_json
from inkshift.models.foreign import answers, fit, parse_scale
from inkshift.models.graphs import check_graph
from inkshift.models.metrics import scores
from inkshift.models.package import Input, Manifest, Model, save_package
from inkshift.reframe import Reframing, parse
from inkshift.scratch import scratch

# Layers, and what configures them, that hold numbers only: no Lambda, nothing that calls or loads anything.
_KERAS_CLASSES = """
    Sequential Functional Model InputLayer Dense Conv1D Conv2D DepthwiseConv2D SeparableConv2D Activation ReLU
    LeakyReLU PReLU ELU Softmax MaxPooling1D MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D
    Flatten Reshape Permute Identity ZeroPadding2D Cropping2D UpSampling2D Rescaling Dropout SpatialDropout2D
    AlphaDropout GaussianDropout GaussianNoise BatchNormalization LayerNormalization GroupNormalization Add
    Normalization Subtract Multiply Average Maximum Minimum Concatenate DTypePolicy Policy __keras_tensor__ __tuple__
    Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal VarianceScaling GlorotNormal GlorotUniform HeNormal
    HeUniform LecunNormal LecunUniform Orthogonal L1 L2 L1L2 MaxNorm NonNeg UnitNorm MinMaxNorm"""


class _Foreign(NamedTuple):
    """What a file holds: an onnx.ModelProto, and a safetensors file."""

    graph: Any
    weights: bytes
    architecture: str
    parameters: int


def import_model(
    file: str,
    folder: Path,
    *,
    classes: str,
    reframing: str,
    licence: str,
    scale: str = "0..1",
    weights: Path | None = None,
    name: str = "",
    summary: str = "",
    test: Path | None = None,
) -> Model:
    """Pack a model of another maker, tried out first, and scored where labelled pictures are given.

    file: an ONNX file, a Keras file (.keras, .h5), or `timm:NAME`, with `weights` a safetensors file of its
    state dict. classes: names of its outputs, see `parse_classes`. reframing: how a picture is made to look like
    what it learned from; it settles the size. scale: see `parse_scale`. test: class folders, a CSV or an npz.
    Raises ModelError, SettingError, DataError or MissingExtraError; nothing is written then.
    """
    names, frame, bytes_to_input = parse_classes(classes), parse(reframing), parse_scale(scale)
    size = _framed_size(frame)
    labelled = _labelled(test, names) if test else None
    if lacks("onnx"):
        raise MissingExtraError("study", "importing a model")
    foreign = _open(file, weights, names, size)
    graph, how = fit(foreign.graph, bytes_to_input, size, len(names), file)
    manifest = Manifest(
        name=name or folder.name,
        summary=summary or f"Imported from {Path(file).name}.",
        architecture=foreign.architecture,
        parameters=foreign.parameters,
        classes=names,
        reframing=reframing,
        input=how,
        training=_origin(weights or Path(file), scale, how),
        scores=_scores(graph, how, labelled, frame, names) if labelled else {},
        licence=licence,
    )
    return save_package(folder, manifest, foreign.weights, graph)


def parse_classes(text: str) -> tuple[str, ...]:
    """Names divided by commas, a range such as `0-9` for all in it: `0-9,junk`. Raises SettingError."""
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        ends = re.fullmatch(r"([0-9])-([0-9])|([a-z])-([a-z])|([A-Z])-([A-Z])", part)
        first, last = [end for end in ends.groups() if end] if ends else ("", "")
        names += [chr(code) for code in range(ord(first), ord(last) + 1)] if ends else [part]
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise SettingError(f"--classes {text}: expected two or more different names, such as 0-9 or 0-9,junk")
    return tuple(names)


def _framed_size(frame: Reframing) -> tuple[int, int]:
    """(H, W) of every framed picture; raises SettingError where that depends on the picture."""
    height, width = (frame(np.eye(h, w, dtype=np.uint8) * 255, ground=0).shape for h, w in ((31, 17), (40, 90)))
    if height != width:
        raise SettingError(f"--reframing {frame}: gives pictures of different sizes; add a step such as resize(28)")
    return height


def _open(file: str, weights: Path | None, names: tuple[str, ...], size: tuple[int, int]) -> _Foreign:
    path = Path(file)
    if file.startswith("timm:"):
        return _open_timm(file.removeprefix("timm:"), weights, len(names), size)
    if weights:
        raise SettingError(f"--weights {weights}: goes with timm:NAME only; {file} holds its own")
    kind = path.suffix.lower()
    if kind not in (".onnx", ".keras", ".h5", ".hdf5"):
        raise SettingError(f"{file}: expected an .onnx, .keras or .h5 file, or timm:NAME with --weights W.safetensors")
    if not path.is_file():
        raise ModelError(f"{file}: no such file")
    return _open_onnx(path) if kind == ".onnx" else _open_keras(path, size)


def _open_onnx(path: Path) -> _Foreign:
    import onnx
    import safetensors.numpy

    data = path.read_bytes()
    check_graph(data, str(path))
    try:
        graph = onnx.load_from_string(data)
    except Exception as e:  # protobuf and onnx raise classes of their own
        raise ModelError(f"{path}: cannot be read as ONNX ({str(e).splitlines()[0]}); export it again") from None
    if not graph.graph.node:
        raise ModelError(f"{path}: cannot be read as ONNX (it holds no graph); export it again")
    tensors = dict(_tensors(graph))
    numbers = [tensor for tensor in tensors.values() if tensor.dtype.kind == "f" or tensor.itemsize == 1]
    parameters = sum(tensor.size for tensor in numbers if tensor.ndim)
    weights = safetensors.numpy.save(tensors)
    return _Foreign(graph, weights, f"ONNX graph of {path.name}", parameters)


def _tensors(model: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Initializers, and constants that are more than one number, by name; what numpy lacks as float32."""
    from onnx import numpy_helper

    constants = [
        (node.output[0], attribute.t)
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value" and len(attribute.t.dims)
    ]
    for name, tensor in [(tensor.name, tensor) for tensor in model.graph.initializer] + constants:
        array = numpy_helper.to_array(tensor)
        yield name, np.array(array if array.dtype.kind in "fiub" else array.astype(np.float32), order="C")


def _open_keras(path: Path, size: tuple[int, int]) -> _Foreign:
    import onnx
    import safetensors.numpy

    if lacks("keras", "h5py", "torch"):
        raise MissingExtraError("keras", "importing a Keras model")
    _refuse_code(path)
    with scratch() as folder:
        os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)}  # none of the user's settings
        keras: Any = importlib.import_module("keras")
        if keras.config.backend() != "torch":
            raise ModelError(f"{path}: Keras runs on {keras.config.backend()} here; import it in a process of its own")
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            model(np.zeros([1, *(dim or size[0] for dim in model.input_shape[1:])], np.float32))
            out = folder / "model.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of traces that fit one size only: `fit` tries that out
                model.export(str(out), format="onnx", verbose=False)
            graph = onnx.load(out)
        except Exception as e:  # Keras raises whatever its layers and h5py do
            said = next((line for line in str(e).splitlines() if line.strip()), type(e).__name__)
            raise ModelError(f"{path}: Keras cannot load or export it ({said}); import it as ONNX") from None
    tensors = {variable.path: np.ascontiguousarray(keras.ops.convert_to_numpy(variable)) for variable in model.weights}
    weights = safetensors.numpy.save(tensors)
    return _Foreign(graph, weights, f"Keras network of {path.name}", model.count_params())


def _refuse_code(path: Path) -> None:
    """Raise ModelError unless every object that a Keras file asks for is on our list, before Keras sees it.

    The safe mode of Keras was got round more than once (CVE-2025-1550, 2025-9905, 2025-9906).
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:
                if parts.getinfo("config.json").file_size > MOST_SETTINGS:
                    raise ValueError("a config without end")
                config = parse_json(parts.read("config.json"))
            config.pop("compile_config", None)
        else:
            with importlib.import_module("h5py").File(path, "r") as file:
                config = parse_json(file.attrs["model_config"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, AttributeError):
        raise ModelError(f"{path}: holds no whole Keras model; save it with model.save('NAME.keras')") from None
    for entry in _objects(config):
        module, name = entry.get("module"), entry["class_name"]
        if name not in _KERAS_CLASSES.split() or (module and module.partition(".")[0] != "keras"):
            raise ModelError(
                f"{path}: asks for {name}, which is not on the list of plain layers and may run code; "
                "if you trust it, export it to ONNX and import that"
            )


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    for part in config if isinstance(config, list) else ():
        yield from _objects(part)


def _open_timm(name: str, weights: Path | None, classes: int, size: tuple[int, int]) -> _Foreign:
    if weights is None:
        raise SettingError(f"timm:{name}: needs --weights W.safetensors, the state dict of the trained network")
    if lacks("timm", "torch", "onnxscript"):
        raise MissingExtraError("study", "importing a timm network")
    if size[0] != size[1]:
        raise SettingError(f"--reframing: timm networks take squares, found {size[0]} x {size[1]}; add square, resize")
    import onnx

    from inkshift.models.train.networks import plain_graph_bytes

    net, channels = _fitting_net(name, weights, classes, size[0])
    graph = onnx.load_from_string(plain_graph_bytes(net, size[0], channels))
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return _Foreign(graph, weights.read_bytes(), name, parameters)


def _fitting_net(name: str, weights: Path, classes: int, side: int) -> tuple[Any, int]:
    """The network with its weights, of one channel or of three, whichever these are for, and which it is."""
    import safetensors.torch

    from inkshift.models.train.networks import CONVNET, build

    try:
        state = safetensors.torch.load_file(weights)
    except (OSError, safetensors.SafetensorError) as e:
        how = "save it with safetensors.torch.save_file(net.state_dict(), ...)"
        raise ModelError(f"{weights}: cannot be read as safetensors ({e}); {how}") from None
    misfits = []
    for channels in (1,) if name == CONVNET else (1, 3):
        net = build(name, classes, side, channels, shortcuts=False)
        misfit = _misfit(state, net.state_dict())
        if not misfit:
            net.load_state_dict(state, strict=False)
            return net, channels
        misfits.append(misfit)
    raise ModelError(f"{weights}: does not fit {name} with {classes} classes: {min(misfits, key=len)[0]}")


def _misfit(state: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What keeps a state dict from fitting a network, one sentence for each tensor."""
    absent = [f"{name} is missing" for name in expected if name not in state and "num_batches" not in name]
    strange = [f"{name} is not in that network" for name in state if name not in expected]
    other = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    return other + absent + strange


def _labelled(test: Path, names: tuple[str, ...]) -> LabelledImages:
    """Pictures whose labels are among the classes, named by their folder."""
    where = Path(os.path.realpath(test))
    if where.is_file():
        data = load_npz(where) if where.suffix == ".npz" else load_csv(where)
    else:
        split = any((where / f"test{end}").exists() for end in ("", ".csv", ".npz"))
        data = load_path(where, "test") if split else load_class_folders(where)
    strange = sorted(set(data.labels.tolist()) - set(names))
    if strange:
        raise DataError(f"{test}: label {strange[0]!r} is not among the classes {' '.join(names)}; see --classes")
    return LabelledImages(data.images, data.labels, where.parent.name if where.is_file() else where.name)


def _scores(
    graph: bytes, how: Input, data: LabelledImages, frame: Reframing, names: tuple[str, ...]
) -> dict[str, float]:
    pictures = np.stack([frame(image) for image in data.images])
    true = np.array([names.index(label) for label in data.labels.tolist()], np.int64)
    found = scores(answers(graph, how, pictures).argmax(1), true, len(names))
    return {
        f"{data.name}, accuracy": found["accuracy"],
        f"{data.name}, F1 (macro)": found["F1"],
        f"{data.name}, images": len(data),
    }


def _origin(file: Path, scale: str, how: Input) -> dict[str, str]:
    return {
        "imported from": file.name,
        "SHA-256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "input": f"{how.layout}, {scale}" + (", one picture at a time" if how.one_by_one else ""),
        "output": "probabilities, of which the logarithm is taken" if how.shares else "logits",
    }
