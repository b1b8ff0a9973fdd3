"""Closing the circle: settled fields teach the model that reads, and the new one is held against the old one.

Both tasks run in a process of their own (see `tasks`), and what needs torch in a further one, the command `inkshift`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inkshift.errors import DataError, InkshiftError
from inkshift.files import read_csv
from inkshift.forms.kinds import digits_of, plain
from inkshift.forms.reader import Reader
from inkshift.models.package import MANIFEST, NUMBER_MODEL, Model, load_model
from inkshift.review.core import models
from inkshift.review.core import store as stores
from inkshift.review.core.models import HeldOutNumber, PairedComparison, compare
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import TaskContext
from inkshift.review.datasets import LABELS, NUMBERS, TEST_SHARE, available, settled_numbers, write_labelled

COMMAND = (sys.executable, "-m", "inkshift")
EPOCHS = 24
TRAINED, READ = 0.85, 0.97
_EPOCH = re.compile(r"epoch (\d+): .*?([\d.]+%) right")


def request(store: Store, batches: Sequence[int], name: str) -> dict[str, Any]:
    """What a task `teach` is to be about: the batches, the new model's name, and the model that reads now."""
    base = models.default_folder(store) or NUMBER_MODEL
    return {"batches": list(batches), "name": name, "base": base, "digest": load_model(base).digest}


def minutes(numbers: int) -> int:
    """About how long learning takes at most on two cores, as measured: an epoch shows each number at least twice."""
    return round(2 + 7 * max(1.0, 2 * (1 - TEST_SHARE) * numbers / 512))


def teach(work: TaskContext) -> dict[str, Any]:
    """Teach the model that the task is about on settled numbers, compare the two on forms held out, and note it.

    What a stop leaves is used when the task goes on. Raises InkshiftError in one line where it cannot be done.
    """
    work.say(0.0, "")
    about = work.about
    learn = _learned(work)
    count = sum(one.test for one in available(work.store, about["batches"]))
    if not count:
        raise DataError("no settled number to compare on; about a fifth of the forms is held out; settle more forms")
    package = work.files.resolve() / "models" / work.folder.name
    if not (package / MANIFEST).is_file():
        _train(about["base"], learn, package, work)
    compared = _compared(work, package, count)
    model = load_model(package)
    learned = sum(1 for _ in read_csv(learn / NUMBERS))
    facts = asdict(compared) | {"learned": learned, "composed": _composed(model)}
    stores.add_model(work.store, model.digest, about["name"], str(package), based_on=about["digest"], comparison=facts)
    return {"model": model.digest, "verdict": compared.verdict}


def _learned(work: TaskContext) -> Path:
    """The folder of labelled numbers to learn from; as it is, where an earlier start of the task wrote it."""
    folder = work.folder / "learn"
    if not folder.is_dir():
        try:
            write_labelled(work.store, work.about["batches"], folder, "train")
        except DataError:
            raise DataError("no settled number to learn from; settle numbers of more forms") from None
    return folder


def _train(base: str, learn: Path, package: Path, work: TaskContext) -> None:
    """Run `inkshift model train`. It goes on from the last epoch that a stop left."""
    package.parent.mkdir(parents=True, exist_ok=True)
    given = ["--pages", str(learn), "--labels", str(learn / LABELS), "--epochs", str(EPOCHS)]
    where = ["--out", str(package), "--work", str(work.folder / "work")]
    for line in run([*COMMAND, "model", "train", "--from", base, *given, *where]):
        if found := _EPOCH.search(line):
            share = 0.05 + (TRAINED - 0.05) * int(found[1]) / EPOCHS
            right = found[2].replace("%", " %")
            kept = f"of your numbers kept for checking it reads {right} right"
            work.say(share, f"round {found[1]} of at most {EPOCHS}; {kept}")


def _composed(model: Model) -> list[float] | None:
    """Shares of composed numbers, the old task, that were right before and after, as `model train` prints them."""
    scores = model.manifest.scores.items()
    found = next((str(value) for name, value in scores if name.startswith("composed numbers")), "")
    return [float(share) for share in found.split(",")] if found else None


def run(command: Sequence[str]) -> Iterator[str]:
    """The lines that a command prints, as they come; they go into the task's log as well.

    Raises InkshiftError with its last line where it fails.
    """
    last = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            yield last
    if process.returncode:
        raise InkshiftError(
            last.removeprefix("inkshift: ").removeprefix("error: ")
            or f"{command[0]}: failed; see log.txt in its folder"
        )


def _compared(work: TaskContext, package: Path, count: int) -> PairedComparison:
    """Both models on the same fields held out, each as it reads them; cells, by `digits` too."""
    old, new = (Reader(read_as="number", model=model) for model in (work.about["base"], package))
    read = []
    for number in settled_numbers(work.store, work.about["batches"], "test"):
        if number is None:
            continue
        values = [digits_of(reader.read_field(number.job).value) for reader in (old, new)]
        read.append(HeldOutNumber(number.form, *(plain(value) == plain(number.value) for value in values)))
        if len(read) % 10 == 0:
            work.say(TRAINED + (READ - TRAINED) * len(read) / count, f"{len(read)} / {count}")
    work.say(READ, "")
    return compare(read)
