"""Networks from strangers: none has its weights in another file of this machine, wherever the graph says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inkshift.errors import ModelError
from inkshift.models.graphs import check_graph
from inkshift.models.imported import import_model
from inkshift.models.package import load_model, save_package, shipped
from inkshift.models.runtime import classifier

onnx = pytest.importorskip("onnx", reason="onnx is not installed; pip install 'inkshift[study]'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

LOCATIONS = ("weights.bin", "../weights.bin", "a/../../weights.bin", "/etc/passwd", "/dev/zero", "C:\\weights.bin", "")


def elsewhere(location: str, name: str = "w") -> Any:
    """A tensor whose content lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[784, 10])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def as_weights(model: Any, tensor: Any) -> None:
    model.graph.initializer.append(tensor)


def as_constant(model: Any, tensor: Any) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))


def as_one_of_a_list(model: Any, tensor: Any) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=[tensor]))


def as_sparse_weights(model: Any, tensor: Any) -> None:
    indices = numpy_helper.from_array(np.zeros(1, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [784, 10]))


def as_places_of_sparse_weights(model: Any, tensor: Any) -> None:
    values = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, tensor, [784, 10]))


def as_sparse_constant(model: Any, tensor: Any) -> None:
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.zeros(1, np.int64)), [784, 10])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))


def in_a_function(model: Any, tensor: Any) -> None:
    constant = helper.make_node("Constant", [], ["v"], value=tensor)
    model.functions.append(
        helper.make_function("own", "F", [], ["v"], [constant], [helper.make_opsetid("", 17)], attributes=[])
    )


def as_a_functions_default(model: Any, tensor: Any) -> None:
    in_a_function(model, numpy_helper.from_array(np.zeros(1, np.float32), "v"))
    model.functions[0].attribute_proto.append(helper.make_attribute("value", tensor))


PLACES = (
    as_weights,
    as_constant,
    as_one_of_a_list,
    as_sparse_weights,
    as_places_of_sparse_weights,
    as_sparse_constant,
    in_a_function,
    as_a_functions_default,
)


def network(place: Callable[[Any, Any], None], location: str) -> bytes:
    """A network of one layer, with weights in another file."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n]) for name, n in (("x", 784), ("y", 10))]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    place(model, elsewhere(location))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_weights_in_another_file_are_refused_wherever_they_are_named(
    place: Callable[[Any, Any], None], location: str
) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx: keeps its weights in another file"):
        check_graph(network(place, location), "m.onnx")


@pytest.mark.parametrize("location", LOCATIONS)
def test_no_file_is_read_for_an_import_though_it_is_there(tmp_path: Path, location: str) -> None:
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "weights.bin").write_bytes(np.zeros((784, 10), np.float32).tobytes())
    file = tmp_path / "in" / "m.onnx"
    file.write_bytes(network(as_weights, location))
    given = {"classes": "0-9", "reframing": "gray|light_ink|resize(28)", "licence": "MIT"}
    with pytest.raises(ModelError, match="keeps its weights in another file"):
        import_model(str(file), tmp_path / "packed", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "packed").exists()


def test_a_package_whose_graph_names_other_files_is_refused_before_it_runs(tmp_path: Path) -> None:
    manifest = load_model(shipped()["digits"]).manifest
    model = save_package(tmp_path / "package", manifest, b"", network(as_weights, "weights.safetensors"))
    with pytest.raises(ModelError, match="keeps its weights in another file"):
        classifier(model)
