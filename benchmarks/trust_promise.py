"""Acceptance with a promise: how often it breaks where the true risk is known, and what it accepts of ORAND.

    python benchmarks/trust_promise.py [--draws 2000] [--readings FOLDER] [--out FILE]

The simulation draws labelled forms from populations whose every field has a known probability of being read wrong,
calibrates on them as `inkshift calibrate` does, and looks up the true share of wrong fields among those accepted.
ORAND needs orand_car_a in $INKSHIFT_DATA or ../shared/data; --readings keeps its readings, or takes those kept there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import beta

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.labels import Label
from inkshift.forms import guarantee
from inkshift.forms.evaluate import Case, match
from inkshift.forms.export import Row, read_rows, write_readings
from inkshift.forms.guarantee import Labelled
from inkshift.forms.reading import FormReading
from inkshift.forms.trust import DECIMALS, scores
from printed import options, show

ERRORS, CONFIDENCE = (0.05, 0.03, 0.02, 0.01), 0.95
TOGETHER = 0.5
Risk = Callable[[np.ndarray], np.ndarray]


def ranked(z: np.ndarray) -> np.ndarray:
    """Probability that a field of latent quality z, standard normal, is wrong: less the better, but never none."""
    return 0.002 + 0.998 / (1 + np.exp(3.5 + 2.5 * z))


def misranked(z: np.ndarray) -> np.ndarray:
    """As `ranked`, but a reader that is surest where it is often wrong."""
    return np.where(z > 1.3, 0.06, ranked(z))


POPULATIONS: dict[str, Risk] = {"ranks well": ranked, "surest is often wrong": misranked}


class Setting(NamedTuple):
    error: float
    forms: int
    fields: int
    population: str = "ranks well"


SETTINGS = (
    Setting(0.05, 350, 1),
    Setting(0.02, 1500, 1),
    Setting(0.01, 700, 1),
    Setting(0.01, 3000, 1),
    Setting(0.05, 350, 5),
    Setting(0.02, 1000, 5),
    Setting(0.01, 2000, 5),
    Setting(0.05, 350, 1, "surest is often wrong"),
    Setting(0.05, 350, 5, "surest is often wrong"),
)


def confidence_of(z: np.ndarray) -> np.ndarray:
    """What the reader claims: rising with z, overconfident, with the decimals of a readings file."""
    return np.round(1 / (1 + np.exp(-(4.5 + 2.0 * z))), DECIMALS)


def draw(setting: Setting, rng: np.random.Generator) -> Labelled:
    """Labelled forms. Quality and errors of fields of one form are correlated: half of their variance is the form's."""
    shape = (setting.forms, setting.fields)
    own, common = np.sqrt(1 - TOGETHER), np.sqrt(TOGETHER)
    z = own * rng.standard_normal(shape) + common * rng.standard_normal((setting.forms, 1))
    luck = own * rng.standard_normal(shape) + common * rng.standard_normal((setting.forms, 1))
    wrong = ndtr(luck) < POPULATIONS[setting.population](z)
    return Labelled(np.arange(setting.forms).repeat(setting.fields), confidence_of(z).ravel(), wrong.ravel())


@lru_cache
def truth(population: str) -> tuple[np.ndarray, np.ndarray]:
    """(10001,) share of all fields, and of wrong ones, at each confidence that a readings file can hold."""
    z = ndtri((np.arange(400_000) + 0.5) / 400_000)
    at = np.rint(confidence_of(z) * 10**DECIMALS).astype(int)
    mass = np.bincount(at, minlength=10**DECIMALS + 1) / len(z)
    return mass, np.bincount(at, POPULATIONS[population](z), minlength=10**DECIMALS + 1) / len(z)


def simulate(setting: Setting, draws: int, seed: int) -> tuple[int, int, float]:
    """How many draws broke their promise, how many promised nothing, and the mean share of fields accepted."""
    mass, wrong = truth(setting.population)
    grid = np.arange(10**DECIMALS + 1) / 10**DECIMALS
    broken, none, accepted = 0, 0, 0.0
    for i in range(draws):
        labelled = draw(setting, np.random.default_rng([seed, i]))
        learn, test = guarantee.split(labelled, i)
        knots = guarantee.fit_score(learn.confidence, learn.wrong)
        promise = guarantee.certify(knots, learn, test, setting.error, CONFIDENCE, i)
        if promise.threshold is None:
            none += 1
            continue
        taken = scores(knots, grid) >= promise.threshold
        share = mass[taken].sum()
        broken += wrong[taken].sum() > setting.error * share
        accepted += share
    return broken, none, accepted / draws


def most(setting: Setting) -> float:
    """The share that could be accepted at this true error if it were known, going down from the surest."""
    mass, wrong = (part[::-1].cumsum() for part in truth(setting.population))
    return float(mass[wrong <= setting.error * mass].max(initial=0.0))


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    return low, float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0


def simulation(draws: int) -> Iterator[str]:
    yield "## The promise, simulated\n"
    yield f"{draws:,} draws each; {CONFIDENCE:.0%} confidence, so at most {1 - CONFIDENCE:.0%} may break."
    yield f"Of all fields {truth('ranks well')[1].sum():.1%} are wrong. Five fields of a form have half the"
    yield "variance of quality and of luck in common. *Could be*: the share that could be accepted if one knew.\n"
    yield (
        "| error promised | forms labelled | fields of a form | population | broken | 95 % interval | nothing promised "
        "| accepted, mean | could be | s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for seed, setting in enumerate(SETTINGS):
        start = time.monotonic()
        broken, none, accepted = simulate(setting, draws, seed)
        low, high = clopper_pearson(broken, draws)
        yield (
            f"| {setting.error:.0%} | {setting.forms:,} | {setting.fields} | {setting.population} "
            f"| **{broken / draws:.2%}** | {low:.2%} to {high:.2%} | {none / draws:.1%} | {accepted:.1%} "
            f"| {most(setting):.1%} | {time.monotonic() - start:.0f} |"
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
        write_readings((FormReading(f"{i:05d}", page.fields) for i, page in enumerate(pages)), path)
    return read_rows(path)


def orand_labels(key: str = "labels") -> list[Label]:
    """Labels of the ORAND amounts, doubtful ones left out."""
    _, arrays = read_ragged(catalog.data_root() / "orand_car_a/numbers.npz")
    kept = np.flatnonzero(~arrays["doubtful"])
    return [Label(f"{i:05d}", "", str(arrays[key][i]), "") for i in kept]


def judged(rows: list[Row], cases: list[Case], error: float, seed: int) -> tuple[guarantee.Promise, float, int, int]:
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
            promise, share, accepted, wrong = judged(rows, cases, error, 0)
            others = [judged(rows, cases, error, seed) for seed in range(1, SPLITS + 1)]
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
    yield from acceptance(folder)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--readings", type=Path, help="folder that keeps readings; what lies there is not read anew")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.readings or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        show(lines(given, folder), given.out)


if __name__ == "__main__":
    main()
