"""What makes a study fast changes nothing that is measured: heads side by side, shortcuts, frozen trunks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from torch import nn  # noqa: E402

from inkshift.models.train import loop  # noqa: E402
from inkshift.models.train.networks import build  # noqa: E402
from inkshift.studies.characters import frozen  # noqa: E402
from inkshift.studies.characters.frozen import Trained, train_frozen  # noqa: E402
from inkshift.studies.characters.plan import Run, plan  # noqa: E402
from inkshift.studies.characters.work import source_weights, train_run  # noqa: E402
from inkshift.studies.engine import RunGroup, work_on  # noqa: E402
from inkshift.studies.kinds import kind_of  # noqa: E402
from inkshift.studies.record import DONE, WEIGHTS  # noqa: E402
from inkshift.studies.spec import Study  # noqa: E402

CONVNET, RESNET = ("mnist-convnet", 28), ("resnet18", 32)
Weights = dict[str, torch.Tensor]


def pictures(count: int, seed: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Noise of 28x28 pixels with a bright band, whose height is the class, 0 to 3."""
    rng = np.random.default_rng(seed)
    images, classes = rng.integers(0, 120, (count, 28, 28), dtype=np.uint8), np.arange(count) % 4
    for image, c in zip(images, classes, strict=True):
        image[7 * c : 7 * c + 7] += 60
    return images, classes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of one's own for a source and a target, 48 pictures to train on and 40 to test with."""
    root = tmp_path_factory.mktemp("study")
    for seed, (task, split, count) in enumerate(
        [("source", "train", 48), ("source", "test", 40), ("target", "train", 48), ("target", "test", 40)]
    ):
        (root / task).mkdir(exist_ok=True)
        images, classes = pictures(count, seed)
        np.savez(root / task / f"{split}.npz", images=images, labels=classes.astype(str))
    return root


def study(
    folder: Path, backbone: tuple[str, int], regime: str = "frozen", replicates: int = 2, **protocol: object
) -> Study:
    name, side = backbone
    settings = {"backbone": name, "reframing": f"gray|resize({side})", "batch": 16, "epochs": 2, "source_epochs": 1}
    source, target = ({"data": str(folder / task), "labels": list("0123")} for task in ("source", "target"))
    one = {"name": "one", "source": source, "target": target, "same_domain": True, "regimes": [regime]}
    return Study.model_validate(
        {
            "name": "speed",
            "seed": 2020,
            "replicates": replicates,
            "packages": "none",
            "protocol": settings | {"stop": "never", "precision": "float32"} | protocol,
            "set": [one],
        }
    )


def prepare(study: Study, folder: Path) -> tuple[Run, ...]:
    """The target runs of a study, whose source networks are trained."""
    planned = plan(study)
    for source in planned.sources:
        if not (folder / "runs" / source.key / DONE).exists():
            assert work_on(RunGroup((source,), folder, "cpu", frozenset(), kind_of(source))) == [(source.key, None)]
    return planned.targets


def outcome(trained: Trained) -> tuple[Weights, str, str]:
    """Weights, epochs.csv, and the digest of all that the run recorded."""
    net, record, stopped = trained
    assert isinstance(stopped, str)
    record.finish(stopped)
    digest = json.loads((record.folder / DONE).read_text())["digest"]
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    return weights, (record.folder / "epochs.csv").read_text(), digest


def same(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def assert_to_the_bit(ours: tuple[Weights, str, str], theirs: tuple[Weights, str, str]) -> None:
    assert ours[1] == theirs[1]
    assert same(ours[0], theirs[0])
    assert ours[2] == theirs[2]


@pytest.mark.parametrize("backbone", [CONVNET, RESNET], ids=lambda b: b[0])
def test_heads_trained_side_by_side_are_to_the_bit_those_trained_alone_and_those_of_the_loop(
    folder: Path, backbone: tuple[str, int]
) -> None:
    runs = prepare(study(folder, backbone), folder)
    together = [outcome(trained) for trained in train_frozen(runs, folder)]
    assert not same(together[0][0], together[1][0])
    for run, mine in zip(runs, together, strict=True):
        [alone] = train_frozen([run], folder)
        assert_to_the_bit(mine, outcome(alone))
        assert_to_the_bit(mine, outcome(train_run(run, folder)))


@pytest.mark.parametrize("regime", ["frozen", "control"])
def test_replicate_7_is_the_same_alone_and_among_thirty(folder: Path, tmp_path: Path, regime: str) -> None:
    few, many = (study(folder, CONVNET, regime, count) for count in (8, 30))
    assert plan(few).targets == plan(many).targets[:8]
    runs = prepare(few, folder)
    assert len({run.seed for run in runs}) == len({run.key for run in runs}) == 8
    seventh = runs[7]
    if regime == "frozen":
        among = [outcome(trained) for trained in train_frozen(runs, folder)][7]
        [alone] = train_frozen([seventh], folder)
    else:
        train_run(runs[6], folder)
        among = outcome(train_run(seventh, folder))
        alone = train_run(seventh, tmp_path)
    assert_to_the_bit(outcome(alone), among)


def test_a_head_that_diverges_costs_no_other(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = prepare(study(folder, CONVNET, epochs=2), folder)
    shutil.copytree(folder / "runs" / str(runs[0].source), tmp_path / "runs" / str(runs[0].source))
    drawn = frozen.Head.__init__

    def broken(head: frozen.Head, run: Run, *rest: Any) -> None:
        drawn(head, run, *rest)
        if run is runs[1]:
            head.weight.fill_(float("nan"))

    whole = [outcome(trained) for trained in train_frozen(runs, folder)]
    monkeypatch.setattr(frozen.Head, "__init__", broken)
    found = dict(work_on(RunGroup(runs, tmp_path, "cpu", frozenset(), kind_of(runs[0]))))
    problem = found.pop(runs[1].key)
    assert problem is not None and runs[1].key in problem and "lower the rate" in problem
    assert found == {runs[0].key: None}
    assert (tmp_path / "runs" / runs[0].key / "epochs.csv").read_text() == whole[0][1]


@pytest.mark.parametrize("train", [lambda r, f: next(train_frozen([r], f)), train_run], ids=["heads", "loop"])
def test_with_statistics_frozen_nothing_of_the_trunk_moves(folder: Path, train: Any) -> None:
    [run] = prepare(study(folder, RESNET, replicates=1), folder)
    before, after = source_state(run, folder), train(run, folder)[0].state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"fc.weight", "fc.bias"}


def test_with_statistics_that_adapt_they_alone_move_beside_the_final_layer(folder: Path) -> None:
    [run] = prepare(study(folder, RESNET, replicates=1, epochs=1, batch_norm="adapt"), folder)
    assert not run.batched
    net = train_run(run, folder)[0]
    before, after = source_state(run, folder), net.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    statistics = {name for name, _ in net.named_buffers()}
    assert moved == {"fc.weight", "fc.bias"} | statistics
    assert len(statistics) == 3 * sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def source_state(run: Run, folder: Path) -> Weights:
    from safetensors.torch import load_file

    weights = source_weights(run, folder)
    assert weights is not None and weights.name == WEIGHTS
    return load_file(weights)


def test_channels_last_fused_adam_and_shortcuts_change_losses_in_their_last_digits_only() -> None:
    images, classes = pictures(48, 5)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    losses: dict[bool, list[float]] = {False: [], True: []}
    for fast, seen in losses.items():
        loop.seed_all(1)
        net = build("resnet18", 4, 32, shortcuts=fast)
        settings = loop.LoopSettings(epochs=2, batch=16, rate=1e-4, seed=1, fast=fast)
        loop.train(
            net,
            lambda epoch: (images, classes),
            settings,
            report=lambda epoch, loss, seen=seen: seen.append(loss),  # type: ignore[misc]
        )
    assert len(losses[True]) == 2 and losses[True][1] < losses[True][0]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
