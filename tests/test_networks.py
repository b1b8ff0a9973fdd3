"""The reused network, and that what ships is what was trained."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from inkshift.datasets.synth import paper, shapes, strings
from inkshift.errors import SettingError
from inkshift.models import ctc, package
from inkshift.models.package import Manifest, load_model, save_package
from inkshift.models.runtime import classifier, recogniser

torch = pytest.importorskip("torch")

from inkshift.models.train import eight_bits, finetune, loop, networks  # noqa: E402


def pictures(count: int = 40) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_the_network_of_the_paper_has_34_826_parameters() -> None:
    net = networks.mnist_convnet()
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 34826


def test_more_classes_only_widen_the_last_layer() -> None:
    ten, twelve = networks.mnist_convnet(), networks.mnist_convnet(12)
    assert [p.shape for p in ten.parameters()][:-2] == [p.shape for p in twelve.parameters()][:-2]
    assert twelve(torch.zeros(3, 1, 28, 28)).shape == (3, 12)


def test_the_seed_settles_the_first_weights() -> None:
    drawn = []
    for seed in (1, 1, 2):
        loop.seed_all(seed)
        drawn.append(next(networks.mnist_convnet().parameters()).detach().numpy().copy())
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_onnx_answers_as_torch_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    loop.seed_all(7)
    net = networks.mnist_convnet(12)
    manifest = Manifest(
        name="toy",
        summary="",
        architecture="mnist-convnet",
        parameters=1,
        classes=(*"0123456789", "junk", "crossed"),
        reframing="gray|trim|resize(28)",
        licence="Apache-2.0",
    )
    model = save_package(tmp_path / "toy", manifest, networks.weights_bytes(net), networks.graph_bytes(net))
    run = classifier(model)
    for images in (pictures(), pictures(1), pictures(600)):
        assert np.abs(run(images) - loop.predict(net, images)).max() < 1e-5
    assert run(pictures(0)).shape == (0, 12)


def test_the_weights_of_each_shipped_package_are_its_graph(shipped_model: str) -> None:
    from safetensors.torch import load_file

    for name in package.shipped():
        model = load_model(name)
        if model.manifest.reads == "number":
            continue
        net = networks.build(model.manifest.architecture, len(model.manifest.classes), 28)
        net.load_state_dict(load_file(model.folder / package.WEIGHTS))
        assert sum(p.numel() for p in net.parameters()) == model.manifest.parameters
        assert np.abs(classifier(model)(pictures()) - loop.predict(net, pictures())).max() < 1e-4


def composed(count: int) -> strings.Lines:
    """Numbers of drawn digits, framed for the recogniser."""
    maps, labels = shapes.bank(20, 0)
    glyphs = strings.make_glyphs(maps, labels, [len(labels)], [1.0])
    return strings.epoch(glyphs, paper.make_papers(0), count, [3], load_model("numbers").reframing)[0]


def test_the_weights_of_the_number_recogniser_are_its_graph_in_eight_bits_at_any_width() -> None:
    model, lines = load_model("numbers"), composed(40)
    net = finetune.net_of(model)
    assert sum(p.numel() for p in net.parameters()) == model.manifest.parameters <= 2_000_000
    expected, alike, off = dict(finetune.steps_of(net, lines)), 0, []
    for place, found in enumerate(recogniser(model)(lines.pictures)):
        assert found.shape == (-(-lines.pictures[place].shape[1] // 4), 11)
        own = ctc.fold(expected[place])[: len(found)]
        alike += ctc.collapse(own.argmax(1)) == ctc.collapse(found.argmax(1))
        off.append(np.abs(own - found).mean())
    assert alike >= 32 and np.mean(off) < 0.003


def test_eight_bits_take_a_fraction_of_the_bytes_and_answer_alike() -> None:
    torch.manual_seed(0)
    net, lines = networks.NumberNet((8, 16, 48, 64), 11, networks.DEEP_NUMBERS).eval(), composed(40)
    graph = networks.line_graph_bytes(net)
    small = eight_bits.in_eight_bits(graph, lines)
    assert len(small) < 0.45 * len(graph)
    whole, found = dict(eight_bits.steps_in(graph, lines)), dict(eight_bits.steps_in(small, lines))
    spread = np.std(np.concatenate(list(whole.values())), axis=0).max()
    assert max(np.abs(found[place] - own).mean() for place, own in whole.items()) < 0.2 * spread


def test_a_temporary_folder_without_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **how: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(eight_bits, "quantize_static", full)
    graph = networks.line_graph_bytes(networks.NumberNet((4, 6, 8, 10)))
    with pytest.raises(SettingError, match="temporary folder cannot be written"):
        eight_bits.in_eight_bits(graph, composed(1))


def test_each_file_of_a_package_is_at_most_8_megabytes() -> None:
    for folder in package.shipped().values():
        assert all(path.stat().st_size <= 8e6 for path in folder.iterdir())
