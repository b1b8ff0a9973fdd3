"""The circle of review on half of the ORAND amounts: settled, taught from, compared; and what the other half says.

    python benchmarks/circle.py [--out FILE]

Needs orand_car_a in $INKSHIFT_DATA or ../shared/data. The halves are those of `teaching.py`. The store and the model
are left in out/circle, and go when it runs again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets.labels import Label
from inkshift.forms.reading import FieldReading, FormReading, PageNote
from inkshift.models.package import NUMBER_MODEL
from inkshift.review import teach
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.models import HeldOutNumber, PairedComparison, compare, of_json
from inkshift.review.core.schema import TaskRecord
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import Tasks
from printed import options, show
from teaching import Half, halves

FOLDER = Path("out/circle")


def settled(store: Store, half: Half) -> int:
    """A batch of all amounts of a half, each a form of its own, settled by its published label."""
    pictures, labels = half
    names = [f"cheque-{i:03}" for i in range(len(labels))]
    forms = [
        FormReading(name, (FieldReading("amount", "", "", "blank", 0.0, crop=np.ascontiguousarray(picture)),), (note,))
        for name, picture in zip(names, pictures, strict=True)
        for note in [PageNote(f"{name}.png", 1)]
    ]
    batch = add_batch(store, "Cheques", forms)
    known = [Label(name, "", label, "") for name, label in zip(names, labels, strict=True)]
    add_labels(store, batch, known, "published labels")
    return batch


def taught(store: Store, batch: int) -> float:
    """Teach as the page does; how many minutes it took."""
    start, running = time.monotonic(), Tasks(store, FOLDER / "files")
    number = running.start("teach", teach.request(store, [batch], "cheques"))
    while (task := store.get(TaskRecord, number)) and task.status == "running":
        time.sleep(1)
    assert task is not None and task.status == "done", task and task.note
    return (time.monotonic() - start) / 60


def elsewhere(half: Half, package: str) -> PairedComparison:
    """The same comparison on numbers that the review never saw."""
    read = []
    for model in (NUMBER_MODEL, package):
        reader = Reader(read_as="number", model=model)
        read.append([reader.read_page(np.ascontiguousarray(picture)).fields[0].value for picture in half[0]])
    return compare(
        [HeldOutNumber(str(i), a == t, b == t) for i, (a, b, t) in enumerate(zip(*read, half[1], strict=True))]
    )


def row(what: str, found: PairedComparison) -> str:
    low, high = (f"{100 * bound:+.1f}" for bound in found.at90)
    return (
        f"| {what} | {found.numbers} | {found.old} | {found.new} | {found.only_old} | {found.only_new} | "
        f"{100 * found.difference:+.1f} | {low} to {high} | {found.verdict} |"
    )


def lines() -> Iterator[str]:
    yield "# The circle of review on half of the ORAND amounts"
    yield f"\nPrinted by `python benchmarks/circle.py` on {machine()}.\n"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    store = stores.open(f"sqlite:///{FOLDER / 'review.db'}")
    learn, other = halves()
    minutes = taught(store, settled(store, learn))
    (model,) = stores.models(store)
    facts = model.comparison
    assert facts is not None
    before, after = facts["composed"]
    yield f"`numbers` taught on {facts['learned']} settled amounts, and compared, in {minutes:.1f} minutes."
    yield f"Composed numbers, the old task: {before:.1%} right before, {after:.1%} after.\n"
    yield "| numbers | n | right before | right after | only before | only after | points | 90 % | verdict |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield row("held out by the review", of_json(facts))
    yield row("the other half, never seen", elsewhere(other, str(FOLDER / "files" / model.folder)))
    store.close()


def main() -> None:
    show(lines(), options(__doc__).parse_args().out)


if __name__ == "__main__":
    main()
