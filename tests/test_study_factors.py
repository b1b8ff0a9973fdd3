"""What a study can vary besides its regimes: depth, labels, what is pooled, what an epoch shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

import safetensors.torch  # noqa: E402

from inkshift.datasets.formats import read_npz  # noqa: E402
from inkshift.errors import DataError, ModelError  # noqa: E402
from inkshift.models.train.networks import build, final_layer  # noqa: E402
from inkshift.studies.characters import deliver, regimes  # noqa: E402
from inkshift.studies.characters.frozen import train_frozen  # noqa: E402
from inkshift.studies.characters.plan import Run, plan  # noqa: E402
from inkshift.studies.characters.work import shown, source_f1, source_weights, splits_of, train_run  # noqa: E402
from inkshift.studies.record import WEIGHTS  # noqa: E402
from inkshift.studies.spec import Study  # noqa: E402
from test_study_speed import folder as folder  # noqa: E402
from test_study_speed import prepare, study  # noqa: E402

CONVNET = ("mnist-convnet", 28)


def first_run(folder: Path, regime: str, **protocol: Any) -> Run:
    return prepare(study(folder, CONVNET, regime, 1, **protocol), folder)[0]


def changed(net: Any, before: dict[str, Any]) -> set[str]:
    """The layers of the small convnet whose weights are others than `before`."""
    return {name.split(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])}


def test_stages_are_the_convolutions_of_the_convnet_and_the_blocks_of_a_backbone() -> None:
    assert len(regimes.stages(build("mnist-convnet", 10, 28))) == 2
    net = build("resnet18", 10, 32)
    found = regimes.stages(net)
    assert len(found) >= 5  # the stem and four groups of blocks, or finer
    inside = {id(parameter) for stage in found for parameter in stage.parameters()}
    last = {id(parameter) for parameter in final_layer(net).parameters()}
    assert inside == {id(parameter) for parameter in net.parameters()} - last  # each once, the final layer in none


def test_the_first_stages_are_carried_over_and_the_rest_is_drawn(folder: Path) -> None:
    run = first_run(folder, "fine-tuned", depth=1)
    weights = source_weights(run, folder)
    assert weights is not None
    source = safetensors.torch.load_file(weights)
    control = regimes.network(first_run(folder, "control"), None).state_dict()
    net = regimes.network(run, weights)
    assert changed(net, source) == {"3", "8"} and changed(net, control) == {"0"}
    assert all(parameter.requires_grad for parameter in net.parameters())
    with pytest.raises(ModelError, match="this network has 2 stages before its final layer, found 3"):
        regimes.network(first_run(folder, "fine-tuned", depth=3), weights)


def test_of_a_network_frozen_to_a_depth_the_rest_learns(folder: Path) -> None:
    run = first_run(folder, "frozen", depth=1)
    assert not run.batched
    before = regimes.network(run, source_weights(run, folder)).state_dict()
    before = {name: value.clone() for name, value in before.items()}
    net, _, _ = train_run(run, folder)
    assert changed(net, before) == {"3", "8"}


def test_all_stages_carried_over_is_what_no_depth_is(folder: Path) -> None:
    whole, deep = first_run(folder, "fine-tuned"), first_run(folder, "fine-tuned", depth=2)
    ours, theirs = (regimes.network(run, source_weights(run, folder)) for run in (deep, whole))
    assert changed(ours, theirs.state_dict()) == set()


def test_each_stage_learns_at_its_share_of_the_rate_of_the_one_behind_it(folder: Path) -> None:
    """Of Adam's first step, which is as long as the rate."""
    protocol = {"layer_rates": 0.5, "rate": 0.01, "epochs": 1, "batch": 48}
    run = first_run(folder, "fine-tuned", **protocol)
    before = {k: v.clone() for k, v in regimes.network(run, source_weights(run, folder)).state_dict().items()}
    net, _, _ = train_run(run, folder)
    moved = {name: float((value - before[name]).abs().max()) for name, value in net.state_dict().items()}
    assert [moved[f"{k}.weight"] for k in (0, 3, 8)] == pytest.approx([0.0025, 0.005, 0.01], rel=1e-3)
    alike = [first_run(folder, regime, **protocol).key for regime in ("control", "frozen")]
    assert alike == [
        first_run(folder, regime, **protocol | {"layer_rates": 1.0}).key for regime in ("control", "frozen")
    ]


def test_what_fine_tuning_forgets_is_told_by_the_source_s_own_final_layer(folder: Path) -> None:
    plain, asked = (first_run(folder, "fine-tuned", forgetting=flag, rate=0.01) for flag in (False, True))
    assert plain.key != asked.key
    assert len({first_run(folder, "control", forgetting=flag).key for flag in (False, True)}) == 1
    _, record, _ = train_run(asked, folder)
    how = regimes.settings(asked)
    assert record.source_f1 is not None
    before, after = record.source_f1
    assert after != before
    # The source network itself has forgotten nothing, whatever stands in place of its final layer.
    untouched = regimes.network(asked, source_weights(asked, folder))
    assert source_f1(asked, folder, untouched, how) == (before, before)
    record.finish("epochs")
    kept = read_npz(record.folder / "readings.npz")
    assert tuple(kept["source_f1"]) == (before, after)
    assert len(kept["seconds"]) == len(record.rows) and (kept["seconds"] > 0).all()
    assert train_run(plain, folder)[1].source_f1 is None


def test_labels_are_drawn_anew_in_each_replicate_and_test_images_are_not(folder: Path) -> None:
    small, large = (
        plan(study(folder, CONVNET, "control", 2, labels=count, samples="each")).targets for count in (8, 24)
    )
    of = {(run.protocol.labels, run.replicate): splits_of(run) for run in (*small, *large)}

    def drawn(count: int, replicate: int) -> set[bytes]:
        images = of[count, replicate].train.images
        return {image.tobytes() for image in images[np.arange(len(images))]}

    assert len(drawn(8, 0)) == 8 and drawn(8, 0) < drawn(24, 0) and drawn(8, 0) != drawn(8, 1)
    assert {tuple(one.test.classes) for one in of.values()} == {tuple(of[8, 0].test.classes)}
    with pytest.raises(DataError, match="cannot give 60 labels, of 4 classes, 48 images"):
        splits_of(plan(study(folder, CONVNET, "control", 1, labels=60)).targets[0])


def test_pooled_training_shows_source_and_target_under_the_target_s_labels(folder: Path) -> None:
    run = first_run(folder, "pooled")
    train = splits_of(run).train
    images, classes = shown(run, train)
    assert len(images) == len(classes) == 48 + 48 and np.array_equal(classes[:48], train.classes)
    assert np.bincount(classes[48:], minlength=4).min() > 0
    _, record, _ = train_run(run, folder)
    assert len(record.rows) == 2 and not (record.folder / WEIGHTS).exists()


def test_few_images_are_shown_again(folder: Path) -> None:
    run = first_run(folder, "frozen", labels=8, least=20)
    images, classes = shown(run, splits_of(run).train)
    assert len(images) == 20 and np.array_equal(classes[8:16], classes[:8])
    [(_, record, stopped)] = train_frozen([run], folder)
    assert stopped == "epochs" and len(record.rows) == 2


def test_the_card_of_a_split_set_counts_what_was_learned_from(folder: Path) -> None:
    given = study(folder, CONVNET, "control", 1).model_dump()
    given["set"] = given.pop("sets")
    given["set"][0]["target"]["test_share"] = 0.25
    (run,) = plan(Study.model_validate(given)).targets
    (source,) = deliver._sources(run.task)
    splits = splits_of(run)
    assert source.images == len(splits.train.classes) == 66
    assert len(splits.test.classes) == 22, "a quarter of both parts together"
