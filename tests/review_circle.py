"""What the tests of teaching share: settled numbers, a worker that teaches at once, and waiting for it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from inkshift.datasets.labels import Label
from inkshift.files import as_csv
from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.review.core import models, tasks
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.schema import TaskRecord
from inkshift.review.core.store import Store

HERE = Path(__file__).parent
PATIENCE = 600
# How far the teacher of `review_teacher` is at its second epoch.
ROUND = "round 2 of at most 24; of your numbers kept for checking it reads 81.2 % right"


def settled(store: Store, forms: int = 30, name: str = "Cheques", model: str = "", wrong: int = 0) -> int:
    """A batch of forms with one number in a line font each, all of them settled; ten are held out. Its id.

    model: the digest of the one that read it. wrong: how many of the first it read wrong.
    """
    rng = np.random.default_rng(3)
    values = [str(rng.integers(10, 1000)) for _ in range(forms)]
    read = [
        FormReading(f"c{i:03}", (_field(value, i < wrong),), (PageNote("scans/a.pdf", 1),))
        for i, value in enumerate(values)
    ]
    batch = add_batch(store, name, read, model=model)
    add_labels(store, batch, [Label(f"c{i:03}", "", value, "") for i, value in enumerate(values)], "labels")
    return batch


def _field(value: str, wrong: bool = False) -> FieldReading:
    picture = np.full((44, 24 + 22 * len(value), 3), 235, np.uint8)
    cv2.putText(picture, value, (10, 33), cv2.FONT_HERSHEY_SIMPLEX, 1, (40, 40, 40), 2, cv2.LINE_AA)
    read = f"{value}0" if wrong else value
    return FieldReading("amount", read, read, "written", 0.9, (Candidate(read, 0.9),), crop=picture)


def teacher(patch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], None]:
    """Let tasks teach at once; gives what says how: `better`, `worse`, `waits` or `fails`; see `review_teacher`."""
    program, how = folder / "worker", folder / "how"
    program.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {HERE / "review_worker.py"} "$@"\n')
    program.chmod(0o755)
    patch.setattr(tasks.sys, "executable", str(program))
    patch.setenv("REVIEW_TEACHER", str(how))
    how.write_text("better")

    def say(way: str) -> None:
        how.write_text(way)

    return say


def ended(task: TaskRecord) -> bool:
    return task.status != "running"


def wait(
    store: Store, task_id: int, until: Callable[[TaskRecord], bool] = ended, patience: float = PATIENCE
) -> TaskRecord:
    """The task, once it is as wanted. patience: seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = store.get(TaskRecord, task_id)
        assert found is not None
        if until(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"task {task_id}: {found.status} {found.share} {found.note}")


def studied(store: Store, files: Path, data: int, gain: int, labels: int = 50, numbers: int = 40) -> int:
    """A task `study` that is done, its folder as a study leaves it; the task's id.

    Of so many test numbers the model that reads now has 8 in 10 right, and `gain` more once it is taught.
    """
    current = models.default(store)
    assert current is not None
    with store.writing() as session:
        about = {"dataset": data, "name": "x"}
        task = TaskRecord(kind="study", about=about, status="done", started=store.clock(), ended=store.clock())
        session.add(task)
        session.flush()
        task.result, task_id = {"folder": str(task.id)}, task.id
    folder, arms = files / "studies" / str(task_id), []
    for regime, budget in (("as-is", None), ("fine-tuned", labels)):
        keys = [f"{regime}-{i}" for i in (1, 2, 3)]
        arms.append({"regime": regime, "budget": budget, "settings": {}, "runs": keys})
        for i, key in enumerate(keys):
            right = numbers * 8 // 10 + (gain + i % 2 if budget and gain else 0)
            _run(folder / "runs" / key, right, numbers)
    index: dict[str, object] = {"kind": "string", "name": "s", "title": "Cheques: how many labels?", "seed": 1}
    index |= {"margin": 0.01, "settings": {}, "source": {"name": "numbers", "digest": current.digest}, "arms": arms}
    (folder / "index.json").write_text(json.dumps(index | {"versions": {}, "machine": "x", "data": {}}))
    (folder / "report.html").write_text("<h1>Cheques</h1>")
    return task_id


def _run(folder: Path, right: int, numbers: int) -> None:
    """A finished run that read the first ones right."""
    folder.mkdir(parents=True)
    read = ["7" if i < right else "1" for i in range(numbers)]
    rows = [("row", "form", "label", "read"), *((i, f"f{i}", "7", text) for i, text in enumerate(read))]
    (folder / "readings.csv").write_bytes(as_csv(rows))
    (folder / "epochs.csv").write_text("epoch,training_loss,held_out_loss,held_out_right\n")
    scores = {"numbers": numbers, "right": right / numbers, "digits": numbers, "digit_errors": numbers - right}
    scores |= {"learned": 0, "held_out": 0, "old_task": {"numbers": 1, "before": 1.0, "after": 1.0, "note": ""}}
    for name, data in (("done", {"stopped": "x", "seconds": 1.0}), ("config", {"seed": 1}), ("scores", scores)):
        (folder / f"{name}.json").write_text(json.dumps(data))


def still(folder: str) -> list[str]:
    """Processes with a folder in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if folder in command and path.parent.name != str(os.getpid()):
            found.append(command)
    return found
