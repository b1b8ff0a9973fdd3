"""A study whole, on drawn pictures: through the command line, killed, gone on, broken, and its networks read with."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inkshift
from command import Run
from inkshift.errors import SettingError
from inkshift.models.package import load_model
from inkshift.models.runtime import classifier

torch = pytest.importorskip("torch")

from inkshift.studies import engine, record  # noqa: E402
from inkshift.studies.characters.plan import plan  # noqa: E402
from inkshift.studies.kinds import kind_of  # noqa: E402
from inkshift.studies.spec import Study  # noqa: E402

SRC = Path(__file__).parents[1] / "src"
SPEC = """
name = "tiny"
seed = 7
replicates = 2
packages = "none"

[protocol]
backbone = "mnist-convnet"
reframing = "gray|light_ink|resize(28)"
batch = 16
epochs = 2
source_epochs = 2
validation = 20
source_networks = "one"

[[set]]
name = "bars to bars and dots"
source = {{ data = "{root}/source", labels = ["0", "1", "2"] }}
target = {{ data = "{root}/target", labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] }}
same_domain = false
regimes = ["control", "frozen", "fine-tuned", "as-is"]
"""


def write_pictures(folder: Path, classes: int, seed: int) -> None:
    """Pictures of `classes` kinds: a bright bar, each kind at its own height, 12 of each kind in each split."""
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        rng = np.random.default_rng([seed, len(split)])
        labels = np.repeat(np.arange(classes), 12)
        images = rng.integers(0, 40, (len(labels), 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 2 : 2 * label + 5, 5:23] += 200
        np.savez(folder / f"{split}.npz", images=images, labels=labels.astype(str))


def write_study(root: Path, text: str = SPEC) -> Path:
    write_pictures(root / "source", 3, 1)
    write_pictures(root / "target", 10, 2)
    spec = root / "tiny.toml"
    spec.write_text(text.format(root=root), encoding="utf-8")
    return spec


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "inkshift", "study", *map(str, arguments)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")])}


def command_line(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True)


def here(work: Callable[[Any], Any], items: Iterable[tuple[str, Any]], **_: Any) -> Iterator[tuple[str, Any]]:
    """`jobs.run` without processes, which cost seconds each to start."""
    for key, item in items:
        yield key, work(item)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.jobs, "run", here)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A finished study: its specification, its folder, what the command prints of it."""
    root = tmp_path_factory.mktemp("study")
    spec, folder = write_study(root), root / "out"
    study = Study.load(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.jobs, "run", here)
        assert engine.run(kind_of(study), study, folder) == {}
    return spec, folder, f"digest {engine.study_digest(plan(study), folder)}\n"


def test_every_run_leaves_its_folder(done: tuple[Path, Path, str]) -> None:
    spec, folder, _ = done
    study = Study.load(spec)
    planned = plan(study)
    assert len(planned.runs) == 1 + 2 + 2 + 2 + 1
    assert {path.name for path in (folder / "runs").iterdir()} == {run.key for run in planned.runs}
    for run in planned.runs:
        files = {path.name for path in (folder / "runs" / run.key).iterdir()}
        assert {"config.json", "epochs.csv", "confusion.npz", "readings.npz", "done.json"} <= files
        kept = np.load(folder / "runs" / run.key / "readings.npz")
        readings = kept["predicted"]
        assert (
            kept["calibration"].shape == (len(readings),)
            and 0 <= kept["calibration"].min() <= kept["calibration"].max() <= 1
        )
        assert len(readings) == (1 if run.regime == "as-is" else 2) and readings.shape[1] == 12 * len(run.task.labels)
        assert not files & {"checkpoint.pt", "error.json"}
    index = json.loads((folder / "index.json").read_text())
    assert index["sets"][0]["relation"] == "subset" and index["sets"][0]["relation_text"] == "Y_S ⊂ Y_T"
    assert len(index["data"]) == 4 and all(len(facts["sha256"]) == 64 for facts in index["data"].values())


def test_what_is_finished_is_not_run_again(done: tuple[Path, Path, str], run: Run) -> None:
    spec, folder, printed = done
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("epochs.csv")}
    again = run("study", "run", spec, "--folder", folder, "--workers", "1")
    assert again.out == printed
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("epochs.csv")}


def test_a_study_that_was_killed_goes_on_and_ends_with_the_same_digest(
    done: tuple[Path, Path, str], tmp_path: Path
) -> None:
    """In processes of its own, two at a time, where the other ran whole in one."""
    spec, _, printed = done
    folder = tmp_path / "out"
    running = subprocess.Popen(
        command("run", spec, "--folder", folder, "--workers", "2"),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list((folder / "runs").glob("*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert len(list((folder / "runs").glob("*/done.json"))) < len(plan(Study.load(spec)).runs)
    again = command_line("run", spec, "--folder", folder, "--workers", "2")
    assert (again.returncode, again.stdout) == (0, printed), again.stderr
    assert "leaked" not in again.stderr


def test_a_network_leaves_as_a_package_that_the_reader_takes(done: tuple[Path, Path, str], tmp_path: Path) -> None:
    spec, folder, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    run = next(arm for arm in plan(Study.load(spec)).sets[0].arms if arm.regime == "fine-tuned").runs[0]
    (copy / "runs" / run.key / "done.json").unlink()
    assert engine.work_on(engine.RunGroup((run,), copy, "cpu", frozenset([run.key]), kind_of(run))) == [(run.key, None)]
    same = [(where / "runs" / run.key / "epochs.csv").read_text() for where in (folder, copy)]
    assert same[0] == same[1]
    package = copy / "runs" / run.key / "package"
    images = np.load(spec.parent / "target" / "test.npz")["images"]
    predicted = np.load(folder / "runs" / run.key / "confusion.npz")["predicted"]
    assert (classifier(load_model(package))(images).argmax(1) == predicted).mean() > 0.98
    picture = tmp_path / "digit.png"
    Image.fromarray(255 - images[40]).save(picture)
    [form] = inkshift.Reader(read_as="digit", model=package).read([picture])
    assert form["digit"].state in ("written", "blank", "crossed-out", "overwritten", "overflow")


def test_status_and_report_of_a_study_that_has_a_gap(done: tuple[Path, Path, str], tmp_path: Path, run: Run) -> None:
    spec, folder, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    lost = plan(Study.load(spec)).sets[0].arms[2].runs[1].key
    (copy / "runs" / lost / "done.json").unlink()
    status = json.loads(run("study", "status", spec, "--folder", copy, "--json").out)
    assert [(row["regime"], row["finished"], row["runs"]) for row in status[1:]] == [
        ("control", 2, 2),
        ("frozen", 2, 2),
        ("fine-tuned", 1, 2),
        ("as-is", 1, 1),
    ]
    reported = run("study", "report", spec, "--folder", copy, "--out", tmp_path / "report.html")
    assert reported.status == 0, reported.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert lost in page and "Y_S ⊂ Y_T" in page
    assert 'src="http' not in page and "<link" not in page and "<script" not in page


def test_the_dry_run_counts_and_writes_nothing(done: tuple[Path, Path, str], tmp_path: Path, run: Run) -> None:
    spec, _, _ = done
    dry = run("study", "run", spec, "--folder", tmp_path / "none", "--dry-run")
    assert dry.status == 0, dry.err
    assert "8 runs to do" in dry.out and "disk:" in dry.out
    assert "…" not in dry.out and "images an epoch" in dry.out  # no number or name is cut
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("no_processes")
def test_a_run_that_diverges_costs_no_other(tmp_path: Path, run: Run) -> None:
    text = SPEC.replace('"frozen", "fine-tuned", "as-is"]', '"fine-tuned"]\nregime = {{ control = {{ rate = 1e30 }} }}')
    spec = write_study(tmp_path, text.replace("replicates = 2", "replicates = 1"))
    folder = tmp_path / "out"
    ran = run("study", "run", spec, "--folder", folder)
    assert ran.status == 1
    failed = plan(Study.load(spec)).sets[0].arms[0].runs[0].key
    assert str(folder / "runs" / failed) in ran.err and "lower the rate" in ran.err
    assert "2 of 3 runs are finished" in ran.err
    error = json.loads((folder / "runs" / failed / "error.json").read_text())["error"]
    assert "loss is" in error and not (folder / "runs" / failed / "done.json").exists()


def test_data_that_changed_since_the_study_began_are_refused(tmp_path: Path) -> None:
    spec = write_study(tmp_path)
    study = Study.load(spec)
    planned = plan(study)
    folder = tmp_path / "out"
    assert engine.begin(kind_of(study), study, planned, folder) == {}
    shutil.rmtree(tmp_path / "target")
    write_pictures(tmp_path / "target", 10, 3)
    [(task, problem)] = engine.begin(kind_of(study), study, planned, folder).items()
    assert task == str(study.sets[0].target) and "is not what this study began with" in problem
    with pytest.raises(SettingError, match="holds the study 'tiny', not 'other'"):
        other = Study.model_validate(study.model_dump(by_alias=True) | {"name": "other"})
        engine.begin(kind_of(other), other, planned, folder)


@pytest.mark.usefixtures("no_processes")
def test_data_that_are_damaged_cost_only_their_own_runs(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path, SPEC.replace('"frozen", "fine-tuned", "as-is"]', '"fine-tuned"]')))
    file = tmp_path / "target" / "test.npz"
    file.write_bytes(file.read_bytes()[:500])
    problems = engine.run(kind_of(study), study, tmp_path / "out")
    planned = plan(study)
    assert set(problems) == {run.key for run in planned.targets}
    assert all(str(tmp_path / "out" / "runs" / key) in text and str(file) in text for key, text in problems.items())
    assert engine.finished(tmp_path / "out", planned.sources[0])


def test_a_full_disk_is_named_with_the_run(
    done: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    spec, _, _ = done
    run = plan(Study.load(spec)).sets[0].arms[0].runs[0]
    monkeypatch.setattr(record, "write_whole", full)
    [(key, problem)] = engine.work_on(engine.RunGroup((run,), tmp_path, "cpu", frozenset(), kind_of(run)))
    assert key == run.key and problem is not None
    assert str(tmp_path / "runs" / run.key) in problem and "No space left on device" in problem


@pytest.mark.parametrize("broken", ["checkpoint", "weights"])
def test_files_of_another_run_are_refused(done: tuple[Path, Path, str], tmp_path: Path, broken: str) -> None:
    spec, folder, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    planned = plan(Study.load(spec))
    arm = next(arm for arm in planned.sets[0].arms if arm.regime == "fine-tuned")
    own = copy / "runs" / arm.runs[0].key
    (own / "done.json").unlink()
    if broken == "checkpoint":
        (own / "checkpoint.pt").write_bytes(b"no checkpoint")
    else:
        (copy / "runs" / planned.sources[0].key / "weights.safetensors").write_bytes(b"no weights")
    [(key, problem)] = engine.work_on(engine.RunGroup((arm.runs[0],), copy, "cpu", frozenset(), kind_of(arm.runs[0])))
    assert key == arm.runs[0].key and problem is not None and broken in problem
    assert json.loads((own / "error.json").read_text())["error"] == problem
