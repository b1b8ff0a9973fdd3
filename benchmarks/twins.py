"""How many digits MNIST and NIST share, and how many pairs are called twins where none can be.

    python benchmarks/twins.py

Prints the table of decision 0005. `expected` is the number if MNIST had been drawn evenly from the 402,953 digits of
Special Database 19, class by class. About a minute and a half on one core.
"""

from __future__ import annotations

import numpy as np

from inkshift.datasets import catalog
from inkshift.datasets.overlap import twins
from inkshift.datasets.tasks import Task

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
