"""The number recogniser's training: over several sittings, through a kill, from a file small enough to carry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from inkshift.datasets.synth import augment, paper, shapes, strings
from inkshift.errors import ModelError
from inkshift.models.runtime import recogniser, symbol_recogniser
from inkshift.models.train import glyphs, numbers
from inkshift.models.train.checkpoint import TrainingProgress, deepened, load_checkpoint, save_checkpoint
from inkshift.models.train.networks import DEEP_NUMBERS, FAR_NUMBERS, NumberNet

RECIPE = glyphs.load_recipe()
SMALL = RECIPE.model_copy(
    update={
        "widths": (4, 6, 8, 12),
        "training": RECIPE.training.model_copy(update={"batch": 8, "processes": 1, "warm_up": 100}),
    }
)
SITTING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recogniser import SMALL, quick
from inkshift.models.train import numbers
quick(numbers)
numbers.sit(Path(sys.argv[1]), device="cpu", recipe=SMALL)
"""


def quick(module: object) -> None:
    """Save after every step and judge by few numbers."""
    for name, value in (("_SAVE_SECONDS", -1), ("_CHECK_EACH", 4), ("_POOL", 2)):
        setattr(module, name, value)
    paper.make_papers = partial(paper.make_papers, each=1)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to train in, with a few drawn glyphs, and a trainer that saves after every step."""
    folder = tmp_path / "glyphs"
    folder.mkdir()
    for kind, seed in (("train", 1), ("held-out", 2)):
        glyphs.save_groups(folder, kind, [("drawn", *shapes.bank(3, seed))])
    glyphs.sources_file(folder).write_text("[]")
    for name in ("_SAVE_SECONDS", "_CHECK_EACH", "_POOL"):
        monkeypatch.setattr(numbers, name, getattr(numbers, name))
    monkeypatch.setattr(paper, "make_papers", paper.make_papers)
    quick(numbers)
    return tmp_path


def sit(work: Path, hours: float, *, finish: bool = False) -> TrainingProgress:
    """A sitting of so many hours, and how far the checkpoint is after it."""
    name = f"finish-{numbers.CHECKPOINT}" if finish else numbers.CHECKPOINT
    numbers.sit(work, hours=hours, finish=finish, device="cpu", recipe=SMALL)
    return load_checkpoint(work / name)[0]


def test_a_kill_costs_no_more_than_the_steps_since_the_checkpoint(work: Path) -> None:
    state = work / numbers.CHECKPOINT
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started = [sys.executable, "-c", SITTING, str(work), str(Path(__file__).parent)]
    with subprocess.Popen(started, env=environment) as process:
        while not state.exists() or load_checkpoint(state)[0].numbers < 64:
            assert process.poll() is None, "the training ended by itself"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    before, tensors = load_checkpoint(state)
    assert {"net", "average", "exp_avg_sq"} == set(tensors)
    after = sit(work, 1e-6)
    assert after.numbers > before.numbers and after.steps > before.steps and after.hours > before.hours
    assert after.sitting == before.sitting + 1


def _wait_for_end(rank: int, folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)


def test_processes_that_train_together_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[2]); import test_recogniser as t; "
    code += "from inkshift.models.train import numbers; numbers.together(2, t._wait_for_end, sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, tmp_path, Path(__file__).parent], env=environment) as process:
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None, "the training ended by itself"
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while alive := [pid for pid in tmp_path.iterdir() if _runs(int(pid.name))]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.2)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_package_is_made_at_any_time_and_reads_with_marks_and_without(work: Path) -> None:
    sit(work, 1e-6)
    model = numbers.pack(work / "package", numbers.sit(work, hours=0, recipe=SMALL), SMALL)
    assert model.manifest.classes == (*strings.SYMBOLS, "blank") and model.manifest.architecture == DEEP_NUMBERS
    picture = np.random.default_rng(0).integers(0, 256, (32, 64), np.uint8)
    (plain,), (marked,) = (run(model)([picture]) for run in (recogniser, symbol_recogniser))
    assert plain.shape == (16, 11) and marked.shape == (16, 18)
    assert plain[:, 10] == pytest.approx(marked[:, 10:].sum(1), abs=1e-6)
    assert len((work / numbers.LOG).read_text().splitlines()[-1].split(",")) == len(numbers.LOG_COLUMNS.split(","))


def test_finishing_lets_the_rate_fall_and_keeps_the_checkpoint_to_go_on_from(work: Path) -> None:
    constant = sit(work, 1e-6)
    finished = sit(work, 1e-6, finish=True)
    assert finished.decayed >= 1 and finished.numbers > constant.numbers
    assert load_checkpoint(work / numbers.CHECKPOINT)[0] == constant


def test_a_checkpoint_of_the_recipe_is_small_and_comes_back(tmp_path: Path) -> None:
    net, average = (NumberNet(RECIPE.widths, len(strings.SYMBOLS) + 1, DEEP_NUMBERS) for _ in range(2))
    squares = {name: torch.rand_like(p) for name, p in net.named_parameters()}
    parts = {"net": net.state_dict(), "average": average.state_dict(), "exp_avg_sq": squares}
    path, progress = tmp_path / "numbers.safetensors", TrainingProgress(7, 448, 0.25, 2, 0.5)
    save_checkpoint(path, progress, parts)
    assert path.stat().st_size < 16e6
    found, tensors = load_checkpoint(path)
    assert found == progress
    assert all(torch.equal(tensors["net"][name], value) for name, value in net.state_dict().items())
    assert all(torch.allclose(tensors["exp_avg_sq"][n].float(), m, rtol=0.01) for n, m in squares.items())


def test_a_deeper_network_goes_on_from_what_was_learned_with_fewer_blocks(work: Path) -> None:
    torch.manual_seed(0)
    shallow, deep = (NumberNet(SMALL.widths, len(strings.SYMBOLS) + 1, name) for name in (FAR_NUMBERS, DEEP_NUMBERS))
    squares = {name: torch.rand_like(p) for name, p in shallow.named_parameters()}
    average = {name: value.clone() for name, value in shallow.state_dict().items()}
    parts = {"net": shallow.state_dict(), "average": average, "exp_avg_sq": squares}
    save_checkpoint(work / numbers.CHECKPOINT, TrainingProgress(7, 448, 0.25, 2), parts)
    deep.load_state_dict(deepened(parts, deep)["average"])
    picture = torch.rand(2, 1, 32, 64)
    assert torch.equal(shallow.eval()(picture), deep.eval()(picture))
    assert sit(work, 1e-6).numbers > 448
    learned = load_checkpoint(work / numbers.CHECKPOINT)[1]["net"]
    assert all(learned[f"{block}.body.4.weight"].abs().sum() > 0 for block in ("trunk.13.0", "trunk.20"))


@pytest.mark.parametrize("bytes_", [b"", b"no checkpoint", bytes(100)])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, bytes_: bytes) -> None:
    path = tmp_path / "numbers.safetensors"
    path.write_bytes(bytes_)
    with pytest.raises(ModelError, match=r"numbers\.safetensors: not a checkpoint"):
        load_checkpoint(path)
    with pytest.raises(ModelError, match="no checkpoint is here"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_processes_compose_numbers_of_their_own(work: Path) -> None:
    batches = [
        next(iter(numbers._ComposedNumbers(SMALL, work / "glyphs", 4, [0, 1, rank], falling=False)))[0]
        for rank in (0, 1)
    ]
    assert batches[0].shape != batches[1].shape or not torch.equal(*batches)


def test_other_hands_are_made_of_american_digits_alone() -> None:
    packed, labels = shapes.bank(40, 3)
    _, maps, of = glyphs._regional("x", packed, labels, 0)
    assert np.array_equal(maps[: len(packed)], packed) and set(of[len(labels) :].tolist()) <= {0, 1, 7, 8, 9}
    assert (of[len(labels) :] == 7).sum() > 5 and augment.sharpen(maps).shape == (len(of), 52, 52)
