"""What the tests of teaching share: settled numbers, a worker that teaches at once, and waiting for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from inkshift.datasets.labels import Label
from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.review.core import tasks
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.schema import Task
from inkshift.review.core.store import Store

HERE = Path(__file__).parent
PATIENCE = 600
# How far the teacher of `review_teacher` is at its second epoch.
ROUND = "round 2 of at most 24; of your numbers kept for checking it reads 81.2 % right"


def settled(store: Store, forms: int = 30, name: str = "Cheques") -> int:
    """A batch of forms with one number in a line font each, all of them settled; ten are held out. Its id."""
    rng = np.random.default_rng(3)
    values = [str(rng.integers(10, 1000)) for _ in range(forms)]
    read = [FormReading(f"c{i:03}", (_field(value),), (PageNote("scans/a.pdf", 1),)) for i, value in enumerate(values)]
    batch = add_batch(store, name, read)
    add_labels(store, batch, [Label(f"c{i:03}", "", value, "") for i, value in enumerate(values)], "labels")
    return batch


def _field(value: str) -> FieldReading:
    picture = np.full((44, 24 + 22 * len(value), 3), 235, np.uint8)
    cv2.putText(picture, value, (10, 33), cv2.FONT_HERSHEY_SIMPLEX, 1, (40, 40, 40), 2, cv2.LINE_AA)
    return FieldReading("amount", value, value, "written", 0.9, (Candidate(value, 0.9),), crop=picture)


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


def ended(task: Task) -> bool:
    return task.status != "running"


def wait(store: Store, task_id: int, until: Callable[[Task], bool] = ended, patience: float = PATIENCE) -> Task:
    """The task, once it is as wanted. patience: seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = tasks.task(store, task_id)
        assert found is not None
        if until(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"task {task_id}: {found.status} {found.share} {found.note}")


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
