"""What `inkshift shift` predicts with, fitted on composed numbers of glyphs held out that were worn in many ways.

    python benchmarks/fit_shift.py [--keep FOLDER] [--second] [--cases N] [--write]

No real form is looked at. The threshold comes from the cases that were not worn, how far predictions are off from all
of them. --keep: folder for what was read, so that a fit that was stopped goes on. --write puts the constants beside the
code. To be run again whenever a model is replaced.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inkshift.datasets.synth import paper
from inkshift.forms.judge.shift import MNIST
from inkshift.forms.judge.shift_features import features
from inkshift.forms.judge.shift_predict import CONSTANTS, LEVEL, Constants, all_constants
from inkshift.models.train import rehearsal
from shift_cases import PLAIN, Read, compose, composed_cases, read_case, readers

SEED = 1
# So many cases of so many numbers, or digits; composed ones to compare looks with; quantiles kept of each feature.
SIZES = {"number": (60, 30), "digit": (40, 50)}
LOOKS, QUANTILES = 1000, 201


def threshold(cases: Sequence[Read]) -> float:
    """The confidence above which as many readings lie as are right, of cases that were not worn."""
    plain = [case for case in cases if case.family == PLAIN]
    sure, right = (np.concatenate([getattr(case, name) for case in plain]) for name in ("confidence", "right"))
    return round(float(np.quantile(sure, 1 - right.mean())), 4)


def spread_and_reach(shares: np.ndarray, true: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """The deviation of predictions beyond chance, and how many deviations hold a share `LEVEL` of cases (conformal)."""
    kept = (n * shares + 1) / (n + 2)
    chance, off = kept * (1 - kept) / n, true - shares
    spread = float(np.sqrt(max(np.mean(off**2 - chance), 1e-4)))
    level = min(1.0, np.ceil((len(off) + 1) * LEVEL) / len(off))
    return round(spread, 4), round(float(np.quantile(np.abs(off) / np.sqrt(spread**2 + chance), level)), 3)


def looks(kind: str) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Quantiles of the features of what a model learns from, and the shares of its digits."""
    memory, rng = rehearsal.load(drawn=False), np.random.default_rng([SEED, 5])
    papers, rows, digits = paper.make_papers(SEED + 7), [], np.ones(10)
    while len(rows) < LOOKS:
        picture, text = compose(kind, memory.glyphs, papers, rng)
        if text:
            rows.append(features(picture, len(text)))
            digits += np.bincount(np.array(list(text), int), minlength=10)
    table = np.nanquantile(np.array(rows), np.linspace(0, 1, QUANTILES), axis=0)
    shares = MNIST if kind == "digit" else digits / digits.sum()
    return tuple(tuple(round(float(v), 4) for v in row) for row in table), tuple(round(float(s), 5) for s in shares)


def fit(kind: str, second: bool, given: argparse.Namespace) -> tuple[Constants, str]:
    """The constants of one kind of reading, and how well they do on cases left out."""
    reader = readers(second=second)
    count, size = SIZES[kind]
    cases, start = [], time.monotonic()
    for case in composed_cases(kind, given.cases or count, size, SEED):
        cases.append(read_case(case, reader, given.keep))
        print(f"{time.monotonic() - start:4.0f} s {case.name}: right {cases[-1].right.mean():.3f}", file=sys.stderr)
    model = reader[kind].model if kind == "digit" else reader[kind].number_model
    assert model is not None
    table, shares = looks(kind)
    level = threshold(cases)
    shares_right = np.array([np.mean(case.confidence >= level) for case in cases])
    true, n = (np.array([f(case.right) for case in cases]) for f in (np.mean, len))
    spread, reach = spread_and_reach(shares_right, true, n)
    off = np.abs(shares_right - true).mean()
    chance = np.mean(np.sqrt(2 / np.pi * true * (1 - true) / n))
    told = f"{len(cases)} cases, off by {off:.3f} on average, {chance:.3f} by chance alone; {spread=}, {reach=}"
    fitted = Constants(model=model.digest, threshold=level, spread=spread, reach=reach, shares=shares, looks=table)
    return fitted, f"{told}, threshold {level}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--second", action="store_true", help="with the second reader as well")
    parser.add_argument("--cases", type=int, help="fewer cases, to try it")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    made = dict(all_constants()) if CONSTANTS.exists() else {}
    asked = {"number": ("number", False), "digit": ("digit", False)}
    if given.second:
        asked["number pp-ocrv6"] = ("number", True)
    for name, (kind, second) in asked.items():
        made[name], told = fit(kind, second, given)
        print(f"{name}: {told}")
    if given.write:
        lines = [f'  "{name}": {fitted.model_dump_json()}' for name, fitted in made.items()]
        CONSTANTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
