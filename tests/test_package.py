"""Model packages: written whole, read back the same, and refused where anything was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.errors import ModelError
from inkshift.models import package
from inkshift.models.package import (
    CARD,
    GRAPH,
    MANIFEST,
    WEIGHTS,
    Manifest,
    Source,
    card,
    load_model,
    save_package,
    show_value,
)
from inkshift.models.runtime import classifier

PLAIN = Manifest(
    name="toy",
    summary="A toy.",
    architecture="mnist-convnet",
    parameters=34826,
    classes=tuple("0123456789"),
    reframing="gray|light_ink|trim|resize(28)",
    calibration={"temperature": 1.5},
    sources=(Source(name="MNIST train", images=60000, licence="CC BY-SA 3.0", cite="LeCun 1998"),),
    training={"epochs": 3},
    scores={"accuracy": 0.99123456},
    licence="Apache-2.0",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_package(tmp_path / "toy", PLAIN, b"weights", b"graph").folder


def test_what_was_saved_is_loaded(folder: Path) -> None:
    model = load_model(folder)
    assert model.manifest.model_copy(update={"digests": {}}) == PLAIN
    assert str(model.reframing) == PLAIN.reframing
    assert (folder / WEIGHTS).read_bytes() == b"weights" and (folder / GRAPH).read_bytes() == b"graph"
    assert sorted(path.name for path in folder.iterdir()) == sorted([CARD, GRAPH, MANIFEST, WEIGHTS])
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_saving_again_replaces_the_whole_package(folder: Path) -> None:
    before = load_model(folder).digest
    (folder / "notes.txt").write_text("old")
    model = save_package(folder, PLAIN.model_copy(update={"summary": "Another toy."}), b"weights", b"graph")
    assert model.manifest.summary == "Another toy." and model.digest != before
    assert not (folder / "notes.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_the_digest_follows_the_weights(tmp_path: Path) -> None:
    one, same, other = (
        save_package(tmp_path / n, PLAIN, w, b"g").digest for n, w in zip("abc", (b"1", b"1", b"2"), strict=True)
    )
    assert one == same != other


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH])
@given(at=st.integers(0, 4), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(name: str, at: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = save_package(tmp_path_factory.mktemp("package") / "toy", PLAIN, b"weights", b"graph").folder
    data = bytearray((folder / name).read_bytes())
    data[at] ^= flip
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"{name}: changed since it was packed"):
        load_model(folder)


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: missing from the model package"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"reframing": "gray|tirm"}, "did you mean 'trim'"),
        ({"colour": 1}, "colour"),
        ({"digests": {}}, f"digests name no {GRAPH}"),
    ],
)
def test_a_wrong_manifest_is_explained(folder: Path, change: dict[str, object], said: str) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(data | change))
    with pytest.raises(ModelError, match=said) as error:
        load_model(folder)
    assert MANIFEST in str(error.value) and "\n" not in str(error.value)


def test_a_manifest_that_is_not_json_is_explained(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match=MANIFEST):
        load_model(folder)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(ModelError, match="no model of this name"):
        load_model("no-such-model")


def test_a_graph_that_does_not_run_is_explained(folder: Path) -> None:
    with pytest.raises(ModelError, match=f"{GRAPH}: cannot be read as ONNX"):
        classifier(load_model(folder))


def test_the_card_tells_what_the_manifest_says(folder: Path) -> None:
    text = (folder / CARD).read_text(encoding="utf-8")
    assert text == card(PLAIN)
    for part in ("# toy", "A toy.", "34,826 parameters", "MNIST train: 60,000 images; CC BY-SA 3.0", "0.9912", "1.5"):
        assert part in text
    assert "gray\\|light_ink\\|trim\\|resize(28)" in text


def test_the_card_shows_whatever_scores_a_stranger_wrote() -> None:
    over = {"mean": 0.5, "lowest": 0.25, "highest": 0.75, "n": 3}
    strange = [over | {"mean": [1]}, over | {"n": None}, over | {"more": 1}, {}, [], None, "x", True]
    manifest = Manifest.model_validate(
        PLAIN.model_dump() | {"scores": {"f1": over} | dict(zip("abcdefgh", strange, strict=True))}
    )
    assert "| f1 | 0.5000 (0.2500 to 0.7500 over 3 seeds) |" in card(manifest)
    assert Manifest.model_validate(manifest.model_dump()) == manifest


def test_small_and_large_figures_are_written_out() -> None:
    shown = [show_value(value) for value in (1e-05, 0.89602, 1.53329, 0.5, 123456.0, 7, "x")]
    assert shown == ["0.00001", "0.896", "1.533", "0.5", "123500", "7", "x"]


def test_every_shipped_package_is_whole(shipped_model: str) -> None:
    for name, folder in package.shipped().items():
        model = load_model(name)
        assert model.manifest.name == name
        assert (folder / CARD).read_text(encoding="utf-8") == card(model.manifest)
        assert model.manifest.classes[:10] == tuple("0123456789")
        assert model.manifest.sources and model.manifest.licence
