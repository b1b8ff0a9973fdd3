"""The training loop: it learns, repeats itself, and a run that was killed ends as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inkshift.errors import ModelError

torch = pytest.importorskip("torch")

from inkshift.models.train.loop import LoopSettings, predict, seed_all, train  # noqa: E402
from inkshift.models.train.networks import mnist_convnet  # noqa: E402

SETTINGS = LoopSettings(epochs=4, batch=16, anneal=True, seed=5)
SRC = Path(__file__).parents[1] / "src"

# A run of four epochs that ends itself, as a power cut would, once two are saved.
KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_training as t
def report(epoch, loss):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
t.run(Path({checkpoint!r}), report)
"""


def data(epoch: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Forty-eight pictures in two classes, bright above and bright below, drawn anew for each epoch."""
    rng = np.random.default_rng((9, epoch))
    labels = rng.integers(0, 2, 48)
    images = rng.integers(0, 60, (48, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[14 * label : 14 * label + 14] += 150
    return images, labels


def run(checkpoint: Path | None = None, report: object = None, settings: LoopSettings = SETTINGS) -> dict[str, object]:
    seed_all(settings.seed)
    net = mnist_convnet()
    train(net, data, settings, checkpoint=checkpoint, report=report or (lambda epoch, loss: None))  # type: ignore[arg-type]
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def same(a: dict[str, object], b: dict[str, object]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)  # type: ignore[arg-type]


def test_it_learns() -> None:
    losses: list[float] = []
    seed_all(0)
    net = mnist_convnet()
    train(net, data, replace(SETTINGS, epochs=6), report=lambda epoch, loss: losses.append(loss))
    images, labels = data(99)
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert (predict(net, images).argmax(1) == labels).mean() > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    assert same(run(), run())
    assert not same(run(), run(settings=replace(SETTINGS, seed=6)))


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    script = KILLED.format(tests=str(Path(__file__).parent), checkpoint=str(checkpoint))
    path = os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path})
    assert killed.returncode == -signal.SIGKILL
    epochs: list[int] = []
    resumed = run(checkpoint, lambda epoch, loss: epochs.append(epoch))
    assert epochs == [1, 2, 3]
    assert same(resumed, run())
    assert [file.name for file in checkpoint.parent.iterdir()] == ["checkpoint.pt"]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = run(tmp_path / "checkpoint.pt")
    epochs: list[int] = []
    assert same(run(tmp_path / "checkpoint.pt", lambda epoch, loss: epochs.append(epoch)), first)
    assert epochs == []


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="checkpoint of a run with other settings"):
        run(tmp_path / "checkpoint.pt", settings=replace(SETTINGS, rate=0.01))
