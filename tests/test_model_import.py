"""Models of other makers become packages that answer as they did, whatever their input looks like."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import Run
from inkshift.datasets.labels import read_labels
from inkshift.errors import DataError, InkshiftError, ModelError, SettingError
from inkshift.forms.reader import Reader
from inkshift.models.foreign import parse_scale
from inkshift.models.graphs import check_graph
from inkshift.models.imported import import_model, parse_classes
from inkshift.models.package import GRAPH, WEIGHTS, Model, load_model, save_package, shipped
from inkshift.models.runtime import classifier, softmax
from inkshift.reframe import parse

onnx = pytest.importorskip("onnx", reason="onnx is not installed; pip install 'inkshift[study]'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

Gray = npt.NDArray[np.uint8]
REFRAMING = "gray|light_ink|trim|square|margin(0.2)|resize(28)"
KINDS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "uint8": TensorProto.UINT8}


@pytest.fixture(scope="session")
def framed(drawn_digits: Gray) -> Gray:
    frame = parse(REFRAMING)
    return np.stack([frame(255 - image) for image in drawn_digits])


@pytest.fixture(scope="session")
def templates(framed: Gray) -> npt.NDArray[np.float32]:
    """(784, 10): each digit less the mean of all, of length 1, so that levels in 0..1 times it tell digits apart."""
    flat = framed.reshape(10, -1).astype(np.float32)
    flat -= flat.mean(0)
    return np.asarray((flat / np.linalg.norm(flat, axis=1, keepdims=True)).T, np.float32)


def net(
    path: Path,
    templates: npt.NDArray[np.float32],
    shape: list[int | str | None],
    *,
    kind: str = "float32",
    back: tuple[float, float] = (1, 0),
    last: str = "",
    rows: int = -1,
    opset: int = 13,
    in_inputs: bool = False,
) -> str:
    """An ONNX file that compares pictures with the templates. back: from its input to levels in 0..1."""
    arrays = {
        "templates": templates,
        "a": np.float32(back[0]),
        "b": np.float32(back[1]),
        "flat": np.array([rows, 784], np.int64),
    }
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    channel = shape.index(3) if 3 in shape else None
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    if channel:
        nodes.append(helper.make_node("ReduceMean", ["f"], ["g"], axes=[channel], keepdims=1))
    nodes += [
        helper.make_node("Reshape", ["g" if channel else "f", "flat"], ["r"]),
        helper.make_node("Mul", ["r", "a"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["levels"]),
        helper.make_node("MatMul", ["levels", "templates"], ["dots" if last else "y"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["dots"], ["y"]))
    inputs = [helper.make_tensor_value_info("x", KINDS[kind], shape)]
    if in_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], templates.shape[1]])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if in_inputs else 8)
    onnx.save(model, path)
    return str(path)


def bring(file: str, folder: Path, **settings: Any) -> Model:
    given: dict[str, Any] = {"classes": "0-9", "reframing": REFRAMING, "licence": "MIT"}
    return import_model(file, folder / "package", **given | settings)


def assert_reads(model: Model, framed: Gray, templates: npt.NDArray[np.float32]) -> None:
    expected = framed.reshape(len(framed), -1) / np.float32(255) @ templates
    np.testing.assert_allclose(classifier(model)(framed), expected, atol=1e-4)
    assert (expected.argmax(1) == np.arange(10)).all()


@pytest.mark.parametrize(
    "shape",
    [["n", 1, 28, 28], ["n", 28, 28, 1], ["n", 3, 28, 28], ["n", 28, 28, 3], ["n", 28, 28], ["n", 784], [1, 1, 28, 28]],
)
def test_every_layout_is_found(shape: list[Any], framed: Gray, templates: Any, tmp_path: Path) -> None:
    model = bring(net(tmp_path / "a.onnx", templates, shape), tmp_path)
    assert_reads(model, framed, templates)
    assert model.manifest.parameters == 7840 and model.manifest.training["output"] == "logits"


def test_a_layout_that_the_shape_leaves_open_is_found(framed: Gray, templates: Any, tmp_path: Path) -> None:
    assert_reads(bring(net(tmp_path / "a.onnx", templates, ["n", "c", "h", "w"]), tmp_path), framed, templates)


@pytest.mark.parametrize(
    ("scale", "kind", "back"),
    [
        ("0..1", "float64", (1, 0)),
        ("-1..1", "float32", (0.5, 0.5)),
        ("0..255", "float32", (1 / 255, 0)),
        ("0..255", "uint8", (1 / 255, 0)),
        ("0.1307,0.3081", "float32", (0.3081, 0.1307)),
        ("0.1,0.1,0.1,0.3,0.3,0.3", "float32", (0.3, 0.1)),
    ],
)
def test_the_scale_is_as_declared(
    scale: str, kind: str, back: tuple[float, float], framed: Gray, templates: Any, tmp_path: Path
) -> None:
    channels = 3 if scale.count(",") > 1 else 1
    file = net(tmp_path / "a.onnx", templates, ["n", channels, 28, 28], kind=kind, back=back)
    assert_reads(bring(file, tmp_path, scale=scale), framed, templates)


def test_a_graph_that_takes_one_picture_reads_many(framed: Gray, templates: Any, tmp_path: Path) -> None:
    model = bring(net(tmp_path / "a.onnx", templates, [1, 1, 28, 28], rows=1), tmp_path)
    assert model.manifest.training["input"].endswith("one picture at a time")
    assert_reads(model, framed, templates)


def test_an_old_graph_is_read(framed: Gray, templates: Any, tmp_path: Path) -> None:
    file = net(tmp_path / "a.onnx", templates, [1, 1, 28, 28], rows=1, opset=8, in_inputs=True)
    assert_reads(bring(file, tmp_path), framed, templates)


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid", "LogSoftmax"])
def test_probabilities_become_logits(last: str, framed: Gray, templates: Any, tmp_path: Path) -> None:
    model = bring(net(tmp_path / "a.onnx", templates, ["n", 1, 28, 28], last=last), tmp_path)
    dots = framed.reshape(10, -1) / np.float32(255) @ templates
    shares = 1 / (1 + np.exp(-dots)) if last == "Sigmoid" else softmax(dots)
    np.testing.assert_allclose(softmax(classifier(model)(framed)), shares / shares.sum(1, keepdims=True), atol=1e-5)
    assert ("probabilities" in model.manifest.training["output"]) == (last != "LogSoftmax")


def test_the_package_says_what_it_is(templates: Any, tmp_path: Path) -> None:
    import safetensors.numpy

    folder = tmp_path / "digits"
    model = bring(net(tmp_path / "a.onnx", templates, ["n", 784]), tmp_path, name="net", summary="A net.")
    assert load_model(model.folder).manifest == model.manifest
    assert (model.manifest.name, model.manifest.summary, model.manifest.licence) == ("net", "A net.", "MIT")
    assert (safetensors.numpy.load_file(model.folder / WEIGHTS)["templates"] == templates).all()
    again = bring(str(model.folder / GRAPH), folder)
    pictures = np.random.default_rng(1).integers(0, 256, (300, 28, 28), np.uint8)
    np.testing.assert_allclose(classifier(again)(pictures), classifier(model)(pictures), atol=1e-4)


def labelled(folder: Path, drawn: Gray, names: str = "0123456789") -> Path:
    for name, image in zip(names, drawn, strict=True):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "1.png"), 255 - image)
    return folder


def test_it_is_scored_on_labelled_pictures(drawn_digits: Gray, templates: Any, tmp_path: Path) -> None:
    file = net(tmp_path / "a.onnx", templates, ["n", 784])
    folder = labelled(tmp_path / "mine", drawn_digits)
    perfect = {"mine, accuracy": 1.0, "mine, F1 (macro)": 1.0, "mine, images": 10}
    assert bring(file, tmp_path, test=folder).manifest.scores == perfect
    (folder / "list.csv").write_text("file,label\n0/1.png,0\n1/1.png,2\n")
    found = bring(file, tmp_path, test=folder / "list.csv").manifest.scores
    assert (found["mine, accuracy"], found["mine, images"]) == (0.5, 2)
    with pytest.raises(DataError, match=r"label '9' is not among the classes.*--classes"):
        bring(file, tmp_path, test=folder, classes="0-8,junk")


Make = Callable[[Path, Any], str]


def text_in(path: Path, templates: Any) -> str:
    x, y = (helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph), path)
    return str(path)


def two_outputs(path: Path, templates: Any) -> str:
    model = onnx.load(net(path, templates, ["n", 784]))
    model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["n", 784]))
    onnx.save(model, path)
    return str(path)


def no_onnx(path: Path, templates: Any) -> str:
    path.write_bytes(b"%PDF-1.4 no graph at all")
    return str(path)


def other(*shape: Any, **settings: Any) -> Make:
    return lambda path, templates: net(path, templates, list(shape), **settings)


@pytest.mark.parametrize(
    ("make", "settings", "error", "said"),
    [
        (other("n", 1, 32, 32), {}, ModelError, "takes pictures of 32 x 32, --reframing gives 28 x 28"),
        (other("n", 784), {"reframing": "gray|resize(20)"}, ModelError, "takes pictures of 784, --reframing gives 20"),
        (other("n", 784), {"reframing": "gray|trim"}, SettingError, "add a step such as resize"),
        (other("n", 4, 28, 28), {}, ModelError, r"shape \(\?, 4, 28, 28\); expected one of N,1,H,W"),
        (other(32, 1, 28, 28), {}, ModelError, "was exported for 32 pictures at once"),
        (other("n", 784), {"classes": "0-9,junk"}, ModelError, "answers with 10 numbers for a picture, --classes"),
        (other("n", 784), {"classes": "0-9,9"}, SettingError, "two or more different names"),
        (other("n", 784), {"scale": "0-1"}, SettingError, "--scale 0-1: expected 0..1"),
        (other("n", 784), {"scale": "0,0,0,1,1,1"}, SettingError, "takes one channel"),
        (other("n", 784, kind="uint8"), {}, SettingError, "takes whole numbers; give --scale 0..255"),
        (other("n", 784), {"weights": Path("w.safetensors")}, SettingError, "goes with timm:NAME only"),
        (two_outputs, {}, ModelError, "expected a graph with one output, found y, r"),
        (text_in, {}, ModelError, "takes text"),
        (no_onnx, {}, ModelError, "a.onnx: cannot be read as ONNX"),
        (other("n", 1, 28, 28, rows=3), {}, ModelError, "does not run on pictures of 28 x 28 .*; export it anew"),
        (lambda path, templates: "a.pt", {}, SettingError, "expected an .onnx, .keras or .h5 file, or timm:NAME"),
        (lambda path, templates: "none.onnx", {}, ModelError, "none.onnx: no such file"),
        (lambda path, templates: "timm:test_resnet", {}, SettingError, "needs --weights"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    make: Make, settings: Any, error: type[InkshiftError], said: str, templates: Any, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said) as raised:
        bring(make(tmp_path / "a.onnx", templates), tmp_path, **settings)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "package").exists()


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_a_range_is_what_black_and_white_become(low: float, high: float) -> None:
    scale = parse_scale(f"{low}..{high}")
    assert scale.add == (low,)
    assert scale.multiply[0] * 255 + scale.add[0] == pytest.approx(high, abs=1e-9)


def test_classes_are_names_and_ranges() -> None:
    assert parse_classes("0-9,junk") == (*"0123456789", "junk")
    assert parse_classes("1, 0,A-C,minus-sign") == ("1", "0", "A", "B", "C", "minus-sign")


def test_the_reader_reads_with_an_imported_model(telegram: Path, shipped_model: str, tmp_path: Path) -> None:
    graph = shipped()[shipped_model] / GRAPH
    own = load_model(shipped_model).manifest
    settings = {"classes": "0-9,junk,crossed", "reframing": own.reframing, "scale": "0..255"}
    model = bring(str(graph), tmp_path, **settings)
    (form,) = Reader(telegram / "template.json", model=model.folder).read([telegram / "scan-1.jpg"])
    labels = {
        label.field: label.value for label in read_labels(str(telegram / "labels.csv")) if label.form == form.name
    }
    assert np.mean([form[name].value == value for name, value in labels.items()]) >= 0.9


def test_the_command(drawn_digits: Gray, templates: Any, tmp_path: Path, run: Run) -> None:
    file = net(tmp_path / "a.onnx", templates, ["n", 784], last="Softmax")
    pictures, out = labelled(tmp_path / "mine", drawn_digits), tmp_path / "model"
    words = ["model", "import", file, "--out", str(out), "--classes", "0-9", "--licence", "MIT"]
    words += ["--reframing", REFRAMING, "--test", str(pictures)]

    code, said, noted = run(*words)
    assert code == 0 and f"wrote {out}" in noted
    assert "mine, accuracy           1.0000" in said and "parameters               7,840" in said
    assert json.loads(run(*words, "--json").out)["scores"]["mine, images"] == 10
    assert ",7," in run("read", pictures / "7", "--as", "digit", "--model", out).out
    code, _, noted = run(*words, "--out", pictures)
    assert code == 2 and "is no model package" in noted


def test_weights_that_do_not_fit_the_network_are_told(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed; pip install 'inkshift[study]'")
    pytest.importorskip("timm", reason="timm is not installed; pip install 'inkshift[study]'")
    from inkshift.models.train.networks import mnist_convnet, weights_bytes

    weights = tmp_path / "w.safetensors"
    weights.write_bytes(weights_bytes(mnist_convnet(10)))
    with pytest.raises(ModelError, match=r"does not fit mnist-convnet with 12 classes: 8.weight is .* expected \(12"):
        bring("timm:mnist-convnet", tmp_path, weights=weights, classes="0-9,junk,crossed")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        bring("timm:mnist-convnet", tmp_path, weights=Path(__file__))


@pytest.mark.slow
def test_a_timm_network_with_its_weights(framed: Gray, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed; pip install 'inkshift[study]'")
    pytest.importorskip("timm", reason="timm is not installed; pip install 'inkshift[study]'")
    from inkshift.models.train.networks import build, mnist_convnet, weights_bytes

    torch.manual_seed(0)
    network = build("test_resnet", 10, 28, 3, shortcuts=False).eval()
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(weights_bytes(mnist_convnet()))
    with pytest.raises(ModelError, match=r"does not fit test_resnet with 10 classes: .* is missing"):
        bring("timm:test_resnet", tmp_path, weights=weights)
    with pytest.raises(SettingError, match="no network is called 'resnet_18'"):
        bring("timm:resnet_18", tmp_path, weights=weights)
    weights.write_bytes(weights_bytes(network))
    scale = "0.4,0.5,0.6,0.2,0.3,0.4"
    model = bring("timm:test_resnet", tmp_path, weights=weights, scale=scale)
    levels = torch.tensor(framed)[:, None] / 255
    mean, std = torch.tensor([[0.4, 0.5, 0.6], [0.2, 0.3, 0.4]]).view(2, 3, 1, 1)
    with torch.inference_mode():
        expected = network((levels - mean) / std).numpy()
    np.testing.assert_allclose(classifier(model)(framed), expected, atol=1e-4)
    assert model.manifest.architecture == "test_resnet"
    assert (model.folder / WEIGHTS).read_bytes() == weights.read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="no Keras; pip install 'inkshift[keras]'")
def test_keras_files(framed: Gray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.BatchNormalization()]
    parts += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")]
    network = keras.Sequential([keras.Input((28, 28, 1)), *parts])
    network.compile("adam", "categorical_crossentropy")
    expected = network.predict(framed[..., None] / 255, verbose=0)
    for kind in ("keras", "h5"):
        network.save(tmp_path / f"net.{kind}")
        model = bring(str(tmp_path / f"net.{kind}"), tmp_path)
        np.testing.assert_allclose(softmax(classifier(model)(framed)), expected, atol=1e-5)
        assert model.manifest.parameters == network.count_params()
        assert model.manifest.training["input"] == "N,H,W,1, 0..1"


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="no Keras; pip install 'inkshift[keras]'")
@pytest.mark.parametrize(
    "asked",
    [
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"module": "os", "class_name": "Dense", "config": {}},
        {"module": "keras", "class_name": "Sequential", "config": {"layers": [{"class_name": "TFSMLayer"}]}},
        {"module": "keras", "class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}},
    ],
)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_keras_file_that_may_run_code_is_refused(kind: str, asked: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / f"net.{kind}"
    if kind == "keras":
        with zipfile.ZipFile(file, "w") as parts:
            parts.writestr("config.json", json.dumps(asked))
    else:
        import h5py

        with h5py.File(file, "w") as parts:
            parts.attrs["model_config"] = json.dumps(asked)
    with pytest.raises(ModelError, match="not on the list of plain layers and may run code"):
        bring(str(file), tmp_path)


@pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="no Keras; pip install 'inkshift[keras]'")
def test_a_file_that_is_no_whole_keras_model_is_told(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "net.weights.h5", "w") as file:
        file["layers"] = np.zeros(3)
    (tmp_path / "net.keras").write_bytes(b"no Keras")
    for name in ("net.weights.h5", "net.keras"):
        with pytest.raises(ModelError, match=f"{name}: holds no whole Keras model; save it with"):
            bring(str(tmp_path / name), tmp_path)


def test_a_package_that_was_there_stays_where_an_import_fails(templates: Any, tmp_path: Path) -> None:
    file = net(tmp_path / "a.onnx", templates, ["n", 784])
    before = bring(file, tmp_path).digest
    with pytest.raises(ModelError):
        bring(file, tmp_path, classes="a-c")
    assert load_model(tmp_path / "package").digest == before


def _looping(path: Path, shape: list[Any], inside: str) -> Path:
    """A network with an operator that holds a graph of its own, which a Loop runs 2 ** 62 times."""
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    flag = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    more = helper.make_tensor_value_info("more", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    keep = helper.make_node("Identity", ["go"], ["more"])
    state, kept = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("s", "t"))
    body = helper.make_graph(
        [keep, helper.make_node("Identity", ["s"], ["t"])], "body", [turn, flag, state], [more, kept]
    )
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    node = (
        helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)
        if inside == "Loop"
        else helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    )
    constants = [numpy_helper.from_array(np.array(2**62), "times"), numpy_helper.from_array(np.array(True), "yes")]
    graph = helper.make_graph([node], "net", [picture], [helper.make_tensor_value_info("y", 1, None)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("inside", ["Loop", "If"])
def test_a_network_that_may_run_for_ever_is_refused_before_it_runs(tmp_path: Path, inside: str) -> None:
    path = _looping(tmp_path / "a.onnx", ["n", 784], inside)
    with pytest.raises(ModelError, match=f"holds the operator {inside}, which may run for ever"):
        bring(str(path), tmp_path)
    shipped_one = load_model(shipped()["digits"])
    loops = save_package(tmp_path / "package", shipped_one.manifest, b"", path.read_bytes())
    with pytest.raises(ModelError, match=f"holds the operator {inside}"):
        classifier(loops)


def test_weights_in_another_file_are_not_fetched(templates: Any, tmp_path: Path) -> None:
    model = onnx.load(net(tmp_path / "a.onnx", templates, ["n", 784]))
    onnx.save(model, tmp_path / "b.onnx", save_as_external_data=True, location="passwd", size_threshold=0)
    with pytest.raises(ModelError, match="keeps its weights in another file"):
        bring(str(tmp_path / "b.onnx"), tmp_path)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_graph_or_a_model_error(data: bytes) -> None:
    try:
        check_graph(data, "a.onnx")
    except ModelError as e:
        assert str(e).startswith("a.onnx: ")
