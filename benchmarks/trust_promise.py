"""Acceptance with a promise: how often it breaks where the true risk is known, and what it accepts of ORAND.

    python benchmarks/trust_promise.py [--draws 300] [--readings FOLDER] [--out FILE]

The simulation draws labelled forms from worlds (`trust_worlds`) whose every field has a known probability of being read
wrong, calibrates on them as `inkshift calibrate` does, and looks up what share of the accepted fields is truly wrong.
ORAND needs orand_car_a in $INKSHIFT_DATA or ../shared/data; --readings keeps its readings, or takes those kept there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import beta

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.labels import Label
from inkshift.forms.judge import guarantee
from inkshift.forms.judge.drift import drift
from inkshift.forms.judge.evaluate import Case, match
from inkshift.forms.judge.guarantee import Labelled
from inkshift.forms.out.export import Row, open_readings, read_rows, write_forms
from inkshift.forms.reading import FormReading
from inkshift.forms.trust import DECIMALS, scores, usual
from printed import options, show
from trust_tests import compared
from trust_worlds import (
    CONFIDENCE,
    ORDINARY,
    STEPS,
    Kind,
    Risk,
    World,
    all_worlds,
    could_be,
    draw,
    judged,
    promised,
    rated,
    simulate,
)

ERRORS = (0.05, 0.03, 0.02, 0.01)
NEW = 500


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    return low, float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0


def simulation(draws: int) -> Iterator[str]:
    yield "## The promise, simulated\n"
    yield f"{draws:,} draws each; {CONFIDENCE:.0%} confidence, so at most {1 - CONFIDENCE:.0%} may break."
    yield "Where nothing else is said, 12.8% of fields are wrong, and fields of a form have half the variance of"
    yield "quality and of luck in common. *Could be*: the share that could be accepted if one knew."
    seed, worst = 0, (0.0, "")
    for title, worlds in all_worlds():
        yield f"\n### {title}\n"
        yield "| world | promised | forms | broken | 95 % interval | nothing promised | accepted | could be |"
        yield "|---|---|---|---|---|---|---|---|"
        for world in worlds:
            count, seed = simulate(world, draws, seed), seed + 1
            low, high = clopper_pearson(count.broken, draws)
            worst = max(worst, (count.broken / draws, world.name))
            yield (
                f"| {world.name} | {world.error:.0%} | {world.forms:,} | **{count.broken / draws:.2%}** "
                f"| {low:.2%} to {high:.2%} | {count.none / draws:.1%} | {count.accepted:.1%} | {could_be(world):.1%} |"
            )
    yield f"\nMost broken: {worst[0]:.2%} ({worst[1]})."


def drifted(world: World, by: float = 0.0, times: float = 1.0, large: float = 0.0) -> World:
    """The world after calibration. by: how far quality falls; times: errors at the same confidence; large: share of
    forms of 30 fields, all wrong."""

    def moved(risk: Risk) -> Risk:
        return lambda z: (times * risk(z - by)).clip(0, 1)

    kinds = [kind._replace(share=kind.share * (1 - large), risk=moved(kind.risk)) for kind in world.kinds]
    kinds += [Kind(large, 30, rated(1.0))] if large else []
    return world._replace(kinds=tuple(kinds), claim=lambda z: world.claim(z - by))


DRIFTS = {
    "none": {},
    "quality falls by 0.25 deviations": {"by": 0.25},
    "quality falls by 0.5 deviations": {"by": 0.5},
    "quality falls by 1 deviation": {"by": 1.0},
    "3 % of forms have 30 fields, all wrong": {"large": 0.03},
    "wrong twice as often at the same confidence": {"times": 2.0},
}


def named(labelled: Labelled) -> Iterator[tuple[str, float]]:
    yield from ((str(form), float(sure)) for form, sure in zip(labelled.form, labelled.confidence, strict=True))


def drifting(draws: int) -> Iterator[str]:
    yield "\n## Drift after calibration\n"
    yield f"How often `inkshift shift --policy` says so on {NEW} new forms, {draws:,} draws each, and in how many of"
    yield "the draws with a promise it is broken after the drift.\n"
    yield "| world | drift | told | broken | accepted |"
    yield "|---|---|---|---|---|"
    grid = np.arange(STEPS) / 10**DECIMALS
    for world in (ORDINARY[0], ORDINARY[4]):
        for seed, (name, how) in enumerate(DRIFTS.items()):
            after = drifted(world, **how)
            told = broken = promises = 0
            shares = 0.0
            for i in range(draws):
                rng = np.random.default_rng([seed, i])
                sample = draw(world, rng)
                calibration, promise = promised(sample, world.error, i)
                new = draw(after._replace(forms=NEW), rng)
                told += bool(drift(usual(named(sample), promise.most), promise.most, named(new)))
                if promise.threshold is not None:
                    taken = scores(calibration.knots, grid) >= promise.threshold
                    accepted, wrong = judged(after, taken, promise.most)
                    promises, broken, shares = promises + 1, broken + (wrong > world.error), shares + accepted
            yield (
                f"| {world.name}, {world.error:.0%} | {name} | **{told / draws:.1%}** "
                f"| {broken / max(promises, 1):.1%} | {shares / max(promises, 1):.1%} |"
            )


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
    yield from simulation(given.draws)
    yield from drifting(min(given.draws, 200))
    yield from compared(min(given.draws, 200))
    yield from acceptance(folder)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--readings", type=Path, help="folder that keeps readings; what lies there is not read anew")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.readings or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        show(lines(given, folder), given.out)


if __name__ == "__main__":
    main()
