"""How many wrong labels the audit brings to the top: corrupted ones of composed numbers, and the real ones of ORAND.

    python benchmarks/trust_audit.py [--readings FOLDER] [--out FILE]

Needs composed and orand_car_a in $INKSHIFT_DATA or ../shared/data; --readings keeps their readings, or takes those kept
there. Of ORAND the audit sees the published labels alone; which of them are wrong was read by eye.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.labels import Label
from inkshift.forms.judge.audit import Suspect, audit
from inkshift.forms.judge.evaluate import match
from inkshift.forms.out.export import Row
from printed import options, show
from slips import corrupted
from trust_promise import READERS, orand_labels, read_set

SHARE, FIRST, DRAWS = 0.02, 0.03, 20
COMPOSED = ("clean", "touch", "noisy")


def audited(rows: list[Row], labels: list[Label]) -> list[Suspect]:
    return audit(match(rows, labels)[0], rows, zeros=True)  # these labels say each digit that is written


def composed(second: str | None, folder: Path) -> tuple[list[Row], list[Label]]:
    """Readings and labels of the three composed sets together."""
    rows, labels = [], []
    for name in COMPOSED:
        _, arrays = read_ragged(catalog.data_root() / f"composed/{name}.npz")
        read = read_set(f"composed/{name}.npz", name, second, folder)
        rows += [{**row, "form": f"{name}-{row['form']}"} for row in read]
        labels += [Label(f"{name}-{i:05d}", "", str(label), "") for i, label in enumerate(arrays["labels"])]
    return rows, labels


def recall(rows: list[Row], labels: list[Label]) -> tuple[int, int]:
    """How many of the labels corrupted come among the first of the list, and how many there are, over all draws."""
    found, total = 0, 0
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        wrong = set(rng.choice(len(labels), round(SHARE * len(labels)), replace=False).tolist())
        given = [
            Label(known.form, "", corrupted(known.value, rng), "") if i in wrong else known
            for i, known in enumerate(labels)
        ]
        first = audited(rows, given)[: round(FIRST * len(labels))]
        found += len({s.form for s in first} & {labels[i].form for i in wrong})
        total += len(wrong)
    return found, total


def lines(folder: Path) -> Iterator[str]:
    yield "# Labels against the ink\n"
    yield f"Printed by `python benchmarks/trust_audit.py` on {machine()}.\n"
    yield f"Composed numbers: {SHARE:.0%} of the labels corrupted as people mistype (`benchmarks/slips.py`),"
    yield f"{DRAWS} draws; how many come among the first {FIRST:.0%} of the list. ORAND: the published labels, some of"
    yield "which are wrong.\n"
    yield "| reader | numbers read | labels | wrong labels | among the first | found |"
    yield "|---|---|---|---|---|---|"
    for name, second in READERS.items():
        if second is None:
            rows, labels = composed(second, folder)
            found, total = recall(rows, labels)
            yield (
                f"| {name} | composed, {len(labels)} | corrupted, {DRAWS} draws | {total} | {FIRST:.0%} | **{found} "
                f"({found / total:.1%})** |"
            )
        rows = read_set("orand_car_a/numbers.npz", "orand", second, folder)
        published, known = orand_labels("labels_published"), orand_labels()
        wrong = {a.form for a, b in zip(published, known, strict=True) if a.value != b.value}
        suspects = audited(rows, published)
        for first in (20, 40, 60):
            found = len(wrong & {s.form for s in suspects[:first]})
            yield f"| {name} | ORAND, {len(known)} | published | {len(wrong)} | {first} | **{found}** |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--readings", type=Path, help="folder that keeps readings; what lies there is not read anew")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.readings or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        show(lines(folder), given.out)


if __name__ == "__main__":
    main()
