"""The circle with nothing in anybody's place: the command trains a small network, stopped once, and a study runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inkshift.models.package import Manifest, load_model, save_package
from inkshift.review import datasets, labelled, models, studies, teach
from inkshift.review import store as stores
from inkshift.review.paired import Paired
from inkshift.review.tasks import LOG, Tasks, task_folder
from review_app import opened
from review_circle import settled, wait

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow
PATIENCE = 1200


def small_package(folder: Path) -> str:
    """A number recogniser of few weights that has learned nothing, but can be run; its digest."""
    from inkshift.models.ctc import HEIGHT
    from inkshift.models.export import line_graph_bytes, weights_bytes
    from inkshift.models.networks import NUMBERS, NumberNet

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
    return save_package(folder, manifest, weights_bytes(net), line_graph_bytes(net, HEIGHT)).digest


def test_teaching_and_a_study_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "none"))
    digest = small_package(tmp_path / "small")
    with opened(tmp_path) as store:
        batch = settled(store, 30)
        same = Paired(1, 1, 1, 1, (0.0, 1.0), (0.0, 1.0), 0, 0, 0.0, (-1.0, 1.0), (-1.0, 1.0), "undecided", None)
        stores.add_model(store, digest, "small", str(tmp_path / "small"), comparison=teach.asdict(same))
        models.choose(store, digest)
        files = tmp_path / "files"
        running = Tasks(store, files)
        task = running.start("teach", teach.request(store, [batch], "mine"))
        wait(store, task, lambda one: one.note.startswith("2 / 24") or one.status != "running", PATIENCE)
        running.stop(task)
        assert wait(store, task).status == "stopped"
        running.go_on(task)
        ended = wait(store, task, patience=PATIENCE)
        assert ended.status == "done", ended.note
        lines = (task_folder(files, task) / LOG).read_text()
        epochs = [int(number) for number in re.findall(r"^epoch (\d+):", lines, re.MULTILINE)]
        assert epochs == sorted(epochs) and epochs.count(1) == 1, "it went on, and did not begin anew"
        taught = stores.models(store)[0]
        (counted,) = labelled.available(store)
        assert taught.based_on == digest and taught.comparison
        assert (taught.comparison["learned"], taught.comparison["numbers"]) == (counted.train, counted.test)
        assert taught.comparison["composed"] is not None
        assert load_model(taught.folder).digest == taught.digest != digest
        models.choose(store, taught.digest)

        data = datasets.make(store, files, [(batch, "Cheques")], "one")
        study = running.start("study", {"dataset": data, "name": "one"})
        ended = wait(store, study, patience=PATIENCE)
        assert ended.status == "done", ended.note
        (found,) = studies.found(files)
        assert found.title.startswith("one: how many labels") and found.lines
        running.close()
