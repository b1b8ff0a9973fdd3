"""How many digits MNIST and NIST share, and how many pairs are called twins where none can be.

    python benchmarks/twins.py

Prints the figures of decision 0005, 2026-11-22. `expected` is the number if MNIST had been drawn evenly from the
402,953 digits of Special Database 19, class by class. A few minutes.
"""

from __future__ import annotations

import numpy as np

from inkshift.datasets import catalog
from inkshift.datasets.overlap import nearest_correlation, threshold_between, twins
from inkshift.datasets.tasks import Task
from inkshift.models.train.glyphs import REFRAMING
from inkshift.reframe import parse

PAIRS = (
    ("nist_emnist/test", "mnist/train", True),
    ("nist_emnist/train", "mnist/test", True),
    ("mnist/test", "mnist/train", False),
    ("nist_emnist/test", "nist_emnist/train", False),
    ("unipen62/train", "mnist/train", False),
)


def main() -> None:
    print("| pictures | against | twins | share | of them 1s | expected |\n|---|---|---|---|---|---|")
    for ours, theirs, shared in PAIRS:
        (images, labels), (others, other_labels) = digits(ours), digits(theirs)
        found = twins(images, others, labels, other_labels)
        ones = int((labels[found.rows] == "1").sum())
        count = round(expected(labels, other_labels)) if shared else "none"
        share = 100 * len(found) / len(images)
        print(
            f"| {ours}, {len(images):,} digits | {theirs} | {len(found):,} | {share:.2f} % | {ones} | {count} |",
            flush=True,
        )
    print(f"\n{kept_by_the_recipe()}")


def kept_by_the_recipe() -> str:
    """Twins of MNIST test digits that the recipe of the `digits` model, which goes by correlation alone, let pass."""
    frame = parse(REFRAMING)
    (images, labels), (others, other_labels) = digits("nist_emnist/train"), digits("mnist/test")
    found = twins(images, others, labels, other_labels).rows
    ours, theirs = (np.stack([frame(image) for image in group]) for group in (images, others))
    limit = threshold_between(ours, labels.astype(np.int64), theirs, other_labels.astype(np.int64))
    dropped = nearest_correlation(ours, theirs) > limit
    return (
        f"The recipe drops {int(dropped.sum()):,} of {len(ours):,}, above {limit:.3f}; of {len(found):,} twins of "
        f"MNIST test digits it drops {int(dropped[found].sum()):,} and keeps {int((~dropped[found]).sum()):,}."
    )


def digits(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The digits of a split, light ink on black, and their labels."""
    data, split = name.split("/")
    loaded, classes = Task(data=data, labels="digits").load(split)
    rows = np.flatnonzero(classes >= 0)
    return np.stack([loaded.images[int(row)] for row in rows]), loaded.labels[rows]


def expected(labels: np.ndarray, others: np.ndarray) -> float:
    """Pairs to be expected: of each class, images times the share of SD19's that the other set holds."""
    stated = catalog.find("nist-sd19").stated
    total = sum(stated[split]["digits"] for split in ("train", "test"))
    ours, theirs = (np.array([(of == str(d)).sum() for d in range(10)]) for of in (labels, others))
    return float((ours * theirs / (total * ours / ours.sum())).sum())


if __name__ == "__main__":
    main()
