"""Acceptance with a promise: what it accepts of ORAND, and what other tests would. Whether it breaks: `reliability.py`.

    python benchmarks/trust_promise.py [--draws 200] [--readings FOLDER] [--out FILE]

ORAND needs orand_car_a in $INKSHIFT_DATA or ../shared/data; --readings keeps its readings, or takes those kept there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.labels import Label
from inkshift.forms.judge import guarantee
from inkshift.forms.judge.evaluate import Case, match
from inkshift.forms.out.export import Row, open_readings, read_rows, write_forms
from inkshift.forms.reading import FormReading
from inkshift.forms.trust import scores
from printed import options, show
from trust_tests import compared
from trust_worlds import (
    CONFIDENCE,
)

ERRORS = (0.05, 0.03, 0.02, 0.01)
NEW = 500


READERS = {"own recogniser alone": None, "with PP-OCRv6": "pp-ocrv6"}
SPLITS = 20


def read_set(file: str, name: str, second: str | None, folder: Path) -> list[Row]:
    """Readings of every picture of a set, form by form; those kept in the folder are taken as they are."""
    path = folder / f"{name}-{second or 'alone'}.jsonl"
    if not path.is_file():
        images, _ = read_ragged(catalog.data_root() / file)
        reader = Reader(read_as="number", second_reader=second)
        pages = (reader.read_page(np.ascontiguousarray(image)) for image in images)
        write_forms((FormReading(f"{i:05d}", page.fields) for i, page in enumerate(pages)), open_readings(path))
    return read_rows(path)


def orand_labels(key: str = "labels") -> list[Label]:
    """Labels of the ORAND amounts, doubtful ones left out."""
    _, arrays = read_ragged(catalog.data_root() / "orand_car_a/numbers.npz")
    kept = np.flatnonzero(~arrays["doubtful"])
    return [Label(f"{i:05d}", "", str(arrays[key][i]), "") for i in kept]


def on_half(rows: list[Row], cases: list[Case], error: float, seed: int) -> tuple[guarantee.Promise, float, int, int]:
    """The promise of one half; of the other half the share accepted, how many these are, and how many are wrong."""
    order = np.random.default_rng(seed).permutation(len(cases))
    half = sorted(order[: len(cases) // 2])
    rest = np.array([i for i in range(len(cases)) if i not in set(half)])
    calibration = guarantee.calibrate([cases[i] for i in half], rows, seed)
    promise = calibration.promise(error, CONFIDENCE)
    if promise.threshold is None:
        return promise, 0.0, 0, 0
    taken = scores(calibration.knots, [cases[i].confidence or 0.0 for i in rest]) >= promise.threshold
    wrong = sum(cases[i].outcome != "right" for i in rest[taken])
    return promise, float(taken.mean()), int(taken.sum()), wrong


def hindsight(cases: list[Case], error: float, seed: int) -> float:
    """The largest share of the judged half that could be accepted at this observed error, had one known."""
    rest = np.random.default_rng(seed).permutation(len(cases))[len(cases) // 2 :]
    ranked = sorted((cases[i] for i in rest), key=lambda case: -(case.confidence or 0.0))
    wrong = np.cumsum([case.outcome != "right" for case in ranked])
    share = np.arange(1, len(ranked) + 1) / len(ranked)
    return float(share[wrong <= error * share * len(ranked)].max(initial=0.0))


def acceptance(folder: Path) -> Iterator[str]:
    yield "\n## Acceptance on ORAND\n"
    labels = orand_labels()
    yield f"{len(labels)} amounts, doubtful ones left out, each as a form of its own. A promise is fitted on"
    yield f"{len(labels) // 2} of them, a quarter of which learn and the rest test, and judged on the others."
    yield "*Hindsight*: the share of the judged half at this observed error, its threshold chosen on itself."
    yield f"*{SPLITS} splits*: mean share accepted, and in how many splits nothing could be promised.\n"
    yield (
        "| reader | error promised | tested: accepted, wrong | judged: accepted | share | wrong among them | hindsight "
        f"| {SPLITS} splits |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, second in READERS.items():
        rows = read_set("orand_car_a/numbers.npz", "orand", second, folder)
        cases, _ = match(rows, labels)
        for error in ERRORS:
            promise, share, accepted, wrong = on_half(rows, cases, error, 0)
            others = [on_half(rows, cases, error, seed) for seed in range(1, SPLITS + 1)]
            none = sum(other[0].threshold is None for other in others)
            mean = f"{np.mean([other[1] for other in others]):.1%}, none in {none}"
            told = f"{promise.accepted}, {promise.wrong} | {accepted} | **{share:.1%}** | {wrong}"
            if accepted:
                told += f" ({wrong / accepted:.1%})"
            if promise.threshold is None:
                told = "too few labels | - | - | -"
            yield f"| {name} | {error:.0%} | {told} | {hindsight(cases, error, 0):.1%} | {mean} |"


def lines(given: argparse.Namespace, folder: Path) -> Iterator[str]:
    yield "# Acceptance with a promise\n"
    yield f"Printed by `python benchmarks/trust_promise.py` on {machine()}.\n"
    yield from compared(given.draws)
    yield from acceptance(folder)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--readings", type=Path, help="folder that keeps readings; what lies there is not read anew")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.readings or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        show(lines(given, folder), given.out)


if __name__ == "__main__":
    main()
