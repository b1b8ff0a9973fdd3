"""The circle with nothing in anybody's place: the command trains a small network, stopped once, and a study runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from inkshift.models.package import Manifest, load_model, save_package
from inkshift.review import datasets, studies, teach
from inkshift.review.core import models
from inkshift.review.core import store as stores
from inkshift.review.core.models import HeldOutNumber, compare
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import LOG, TaskContext, Tasks, task_folder
from review_app import opened
from review_circle import settled, wait

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow
PATIENCE = 1200


def small_package(folder: Path) -> str:
    """A number recogniser of few weights that has learned nothing, but can be run; its digest."""
    from inkshift.models.train.networks import NUMBERS, NumberNet, line_graph_bytes, weights_bytes

    torch.manual_seed(0)
    net = NumberNet((4, 4, 4, 8)).eval()
    manifest = Manifest(
        name=folder.name,
        summary="Has learned nothing.",
        reads="number",
        architecture=NUMBERS,
        parameters=sum(p.numel() for p in net.parameters()),
        classes=(*"0123456789", "blank"),
        reframing="gray|light_ink|stretch|line(32)",
        calibration=load_model("numbers").manifest.calibration,
        licence="none",
    )
    return save_package(folder, manifest, weights_bytes(net), line_graph_bytes(net)).digest


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose default is a small model, and no data to rehearse with but what is drawn."""
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "none"))
    digest = small_package(tmp_path / "small")
    same = compare([HeldOutNumber("a", True, True), HeldOutNumber("b", True, True)])
    with opened(tmp_path) as found:
        stores.add_model(found, digest, "small", str(tmp_path / "small"), comparison=asdict(same))
        models.choose(found, digest)
        yield found


@pytest.fixture
def running(store: Store, tmp_path: Path) -> Iterator[Tasks]:
    found = Tasks(store, tmp_path / "files")
    yield found
    found.close()


def test_teaching_for_real(store: Store, running: Tasks, tmp_path: Path) -> None:
    batch = settled(store)
    base = models.default_folder(store)
    assert base is not None
    task = running.start("teach", teach.request(store, [batch], "mine"))
    wait(store, task, lambda one: one.note.startswith("round 2 of") or one.status != "running", PATIENCE)
    running.stop(task)
    assert wait(store, task).status == "stopped"
    running.go_on(task)
    done = wait(store, task, patience=PATIENCE)
    assert done.status == "done", done.note
    lines = (task_folder(tmp_path / "files", task) / LOG).read_text()
    epochs = [int(number) for number in re.findall(r"^epoch (\d+):", lines, re.MULTILINE)]
    assert epochs == sorted(epochs) and epochs.count(1) == 1, "it went on, and did not begin anew"
    taught = stores.models(store)[0]
    (counted,) = datasets.available_page(store).rows
    assert taught.comparison
    assert (taught.comparison["learned"], taught.comparison["numbers"]) == (counted.train, counted.test)
    assert taught.comparison["composed"] is not None
    folder = tmp_path / "files" / taught.folder
    assert taught.based_on == load_model(base).digest != load_model(folder).digest == taught.digest
    models.choose(store, taught.digest, although_worse=True)
    assert models.default_folder(store) == str(store.at(taught.folder))


def test_a_study_for_real(store: Store, running: Tasks, tmp_path: Path) -> None:
    files, batch = tmp_path / "files", settled(store)
    about = {"dataset": datasets.make(store, files, [batch], "one"), "name": "one"}
    folder = task_folder(files, 1)  # of the first task, which takes the study that is there
    folder.mkdir(parents=True)
    spec = studies._spec(TaskContext(store, files, folder, about, lambda *_: None))
    (folder / "study.toml").write_text(f"{spec}old_task = 3\n\n[training]\nepochs = 2\n")
    done = wait(store, running.start("study", about), patience=PATIENCE)
    assert done.status == "done", done.note
    (found,) = studies.found(files).rows
    assert found.title.startswith("one: how many labels") and found.lines
