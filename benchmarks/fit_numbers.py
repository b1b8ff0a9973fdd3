"""Every constant that depends on the number recogniser, fitted anew by one command.

    python benchmarks/fit_numbers.py --work FOLDER [--model numbers] [--count 6000] [--write]
    python benchmarks/fit_numbers.py --work FOLDER --ink [--count 6000]
    python benchmarks/fit_numbers.py --work FOLDER --signs [--count 6000]
    python benchmarks/fit_numbers.py --work FOLDER --read [--count 6000]

FOLDER is where `inkshift model train numbers` kept its glyphs; --model is a bundled package's name or the folder of a
candidate, which need not be bundled. Numbers are composed of glyphs held out; no real form is looked at. Half of them
fit the weights (least negative log-likelihood, Nelder and Mead 1965) of the first view alone, of all views, and of the
second reader; and the least confidence at which the first view stands. The other half shows what they are worth.
--write puts the constants into the package. The second reader's are fitted where it is installed; else they stay.
--ink shows instead what it tells that no ink is found in a field, --signs what ink and recogniser tell of the signs in
numbers and of strikes through them, each by itself; --read how well the confidences of whole readings rank.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import minimize
from scipy.stats import binomtest

from inkshift.datasets.synth import paper, strings
from inkshift.errors import MissingExtraError
from inkshift.forms.cut import cutout
from inkshift.forms.field import fields, signs
from inkshift.forms.field.numbers import number_reader
from inkshift.forms.field.whole import read_numbers
from inkshift.models import weigh
from inkshift.models.ctc import LineProbabilities
from inkshift.models.package import CARD, MANIFEST, card, load_model
from inkshift.models.runtime import Recogniser, recogniser
from inkshift.models.train import glyphs

Constants = dict[str, float]

START = {
    "first mean": 1.0,
    "first floor": 1e-3,
    "number mean": 1.0,
    "number floor": 1e-3,
    "second mean": 0.7,
    "second floor": 1e-2,
    "both": 0.8,
}
FIRST = ["first mean", "first floor"]
ALL = ["number mean", "number floor"]
SECOND = ["second mean", "second floor"]
DIGITS = set("0123456789")
# Confidences from which on the first view may stand: a person is asked about less. What that may lose against all
# views: share of numbers read right, and of the mean cost; and share that is acceptable, mean over shares of errors.
SURE = (0.9, 0.925, 0.95, 0.965, 0.975, 0.985, 0.99, 0.995)
MAY_LOSE, MAY_COST, MAY_REFUSE = 0.001, 0.01, 0.005
ERRORS = (0.01, 0.02, 0.03, 0.05)


class Row(NamedTuple):
    """A number as it is seen: its digits, its views, and what a second reader sees."""

    label: str
    views: Sequence[LineProbabilities]
    second: Sequence[LineProbabilities]


class Case(NamedTuple):
    """What speaks for the texts that a number may be, and which of them is right; -1: none."""

    known: weigh.TextEvidence
    right: int


def seen(model: str, numbers: Sequence[tuple[np.ndarray, str]], second: Recogniser | None = None) -> list[Row]:
    """Each number, a picture and its digits, as the readers see it."""
    package = load_model(model)
    run = recogniser(package)
    out = []
    for picture, label in numbers:
        item = fields.prepare_number(cutout.as_job(picture, "", "number", (1, 20)), None)
        others = second([item.crop]) if second else ()
        out.append(Row(label, run(item.line.pictures(package.reframing)), others))
    return out


def composed(work: Path, count: int) -> list[tuple[np.ndarray, str]]:
    """Pictures of numbers of glyphs held out, and their digits."""
    recipe = glyphs.load_recipe()
    held_out, papers = glyphs.load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 2)
    rng = np.random.default_rng([recipe.seed, 7])
    return [strings.compose_digits(held_out, papers, rng) for _ in range(count)]


def cases(rows: Sequence[Row], views: Sequence[int] | None = None, *, second: bool = False) -> list[Case]:
    """What speaks for what. views: which are heard; all if not given. second: whether the second reader is."""
    numbers = [row.views if views is None else [row.views[i] for i in views] for row in rows]
    others = [row.second if second else () for row in rows]
    found = weigh.gather(numbers, others)
    return [
        Case(known, known.texts.index(row.label) if row.label in known.texts else -1)
        for known, row in zip(found, rows, strict=True)
    ]


def judged(given: Sequence[Case], constants: Constants) -> np.ndarray:
    """(N, 3): whether the likeliest text is right, its probability, and what that costs in nats.

    The cost is the negative log-probability of the right text; where nobody proposed it, of any other than the
    likeliest, so that what is read of numbers that are too hard is doubted.
    """
    out = []
    for known, right in given:
        odds = weigh.log_odds(known, constants)
        odds = odds - np.logaddexp.reduce(odds)
        best = int(odds.argmax())
        cost = -odds[right] if right >= 0 else -np.log(max(-np.expm1(odds[best]), 1e-6))
        out.append((best == right, np.exp(odds[best]), cost))
    return np.array(out, np.float64)


def fit(given: Sequence[Case], names: Sequence[str], fixed: Constants) -> Constants:
    """The constants called `names`, the rest as `fixed`."""
    start = np.log([START[name] for name in names])

    def cost(x: np.ndarray) -> float:
        return float(judged(given, fixed | dict(zip(names, np.exp(x), strict=True)))[:, 2].mean())

    bounds = [np.log((1e-5, 1.0) if name.endswith("floor") else (0.05, 20)) for name in names]
    # The first steps are given: those that SciPy takes from 0, the logarithm of 1, are too small to find anything.
    simplex = np.vstack([start, start + 0.4 * np.eye(len(names))])
    options = {"maxiter": 160, "xatol": 0.02, "fatol": 1e-5, "initial_simplex": simplex}
    found = minimize(cost, start, method="Nelder-Mead", bounds=bounds, options=options)
    return fixed | {name: round(float(v), 5) for name, v in zip(names, np.exp(found.x), strict=True)}


def cascade(first: np.ndarray, rest: np.ndarray, sure: float) -> np.ndarray:
    """What is judged where the first view stands from the confidence `sure` on."""
    return np.where(first[:, 1:2] >= sure, first, rest)


def least_sure(first: np.ndarray, rest: np.ndarray) -> float:
    """The least confidence at which the first view may stand without losing more than may be lost.

    Numbers that one view is sure of are mostly right, but are not told from those of which all views are sure.
    """
    accepted = np.mean(acceptable(*rest[:, :2].T))
    for sure in SURE:
        both = cascade(first, rest, sure)
        right, cost = both[:, 0].mean() - rest[:, 0].mean(), both[:, 2].mean() / rest[:, 2].mean()
        refused = accepted - np.mean(acceptable(*both[:, :2].T))
        if right >= -MAY_LOSE and cost <= 1 + MAY_COST and refused <= MAY_REFUSE:
            return sure
    return 1.0


def told(found: np.ndarray) -> str:
    """Accuracy, mean confidence, calibration error (10 bins of equal mass), and what is wrong above 0.9."""
    right, sure, _ = found.T
    bins = np.array_split(np.argsort(sure, kind="stable"), 10)
    error = sum(len(b) * abs(sure[b].mean() - right[b].mean()) for b in bins) / len(sure)
    wrong = int(((right == 0) & (sure > 0.9)).sum())
    return (
        f"right {right.mean():.4f}, mean confidence {sure.mean():.4f}, calibration error {error:.4f}, "
        f"above 0.9: {np.mean(sure > 0.9):.3f} of all, {wrong} of {len(sure)} wrong; {ranked(right, sure)}"
    )


def risk(right: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """(N,): the share of wrong ones among the k surest, k from 1 to N; right, sure: (N,)."""
    wrong = right[np.argsort(-sure, kind="stable")] == 0
    return np.asarray(np.cumsum(wrong) / np.arange(1, len(wrong) + 1))


def acceptable(right: np.ndarray, sure: np.ndarray) -> list[float]:
    """The largest share of all that are surest and of whom at most so many are wrong, for each of `ERRORS`."""
    found = risk(right, sure)
    return [float((np.flatnonzero(found <= error).max(initial=-1) + 1) / len(found)) for error in ERRORS]


def ranked(right: np.ndarray, sure: np.ndarray) -> str:
    """How well confidences rank: the area under the curve of risk and coverage, and what is acceptable."""
    shares = ", ".join(f"{share:.3f}" for share in acceptable(right, sure))
    return f"area under risk {risk(right, sure).mean():.4f}, acceptable at 1, 2, 3, 5 % wrong: {shares}"


def without_views(given: Sequence[Case]) -> list[Case]:
    """The second reader alone."""
    flat = [case.known._replace(own=np.zeros((1, len(case.known.texts)))) for case in given]
    return [Case(known, case.right) for known, case in zip(flat, given, strict=True)]


def all_constants(rows: Sequence[Row]) -> Constants:
    """Every constant, fitted on rows; those of the second reader where rows have it."""
    constants = fit(cases(rows, [0]), FIRST, {})
    constants = fit(cases(rows), ALL, constants)
    first, rest = judged(cases(rows, [0]), constants), judged(cases(rows), constants)
    constants["sure"] = least_sure(first, rest)
    if rows[0].second:
        # Each reader's probabilities are made right by themselves and then multiplied: fitted together, the weights
        # would trust ours for being at home among composed numbers, where the other is a guest. That they err together
        # now and then is then taken off both alike.
        constants = fit(without_views(cases(rows, second=True)), SECOND, constants)
        constants = fit(cases(rows, second=True), ["both"], constants)
    return constants


def report(rows: Sequence[Row], constants: Constants) -> None:
    """What the constants are worth on rows that they were not fitted on."""
    first = judged(cases(rows, [0]), constants)
    rest = judged(cases(rows), constants)
    print("first view:", told(first))
    print("all views:", told(rest))
    print("first view, the rest where it is not sure:", told(cascade(first, rest, constants["sure"])))
    print(f"looked at again: {np.mean(first[:, 1] < constants['sure']):.3f}")
    if rows[0].second:
        both = judged(cases(rows, second=True), constants)
        print("all and the second reader:", told(both))
        print("first view, all and the second reader where not sure:", told(cascade(first, both, constants["sure"])))


def write(name: str, constants: Constants) -> None:
    model = load_model(name)
    # Constants of an earlier version that nothing reads any more go.
    kept = {key: value for key, value in model.manifest.calibration.items() if key in START}
    manifest = model.manifest.model_copy(update={"calibration": kept | constants})
    (model.folder / MANIFEST).write_text(json.dumps(manifest.model_dump(), indent=2) + "\n", encoding="utf-8")
    (model.folder / CARD).write_text(card(manifest), encoding="utf-8")


def ink(work: Path, count: int) -> str:
    """How often no ink is found where a number is and where none is, and by which odds that speaks for a blank."""
    recipe = glyphs.load_recipe()
    held_out, papers = glyphs.load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 2)
    rng = np.random.default_rng([recipe.seed, 8])
    found = {}
    for blank in (True, False):
        made = (strings.compose_digits(held_out, papers, rng, "" if blank else None) for _ in range(count))
        jobs = [cutout.as_job(picture, "", "number", (1, 20)) for picture, label in made if blank or label]
        found[blank] = sum(cutout.no_ink(job) > 0.5 for job in jobs), len(jobs)
    (empty, blanks), (missed, numbers) = found[True], found[False]
    lowest = binomtest(empty, blanks).proportion_ci(0.9).low / binomtest(missed, numbers).proportion_ci(0.9).high
    return (
        f"no ink found in {empty} of {blanks} blanks and {missed} of {numbers} numbers: odds of at least {lowest:.0f}"
    )


def marks(model: str, work: Path, count: int) -> str:
    """Of composed numbers whose ink shows a sign between digits, and of the others: how many have one, by whether the
    recogniser sees any."""
    recipe, reader = glyphs.load_recipe(), number_reader(load_model(model))
    held_out, papers = glyphs.load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 2)
    rng = np.random.default_rng([recipe.seed, 9])
    found: Counter[tuple[str, bool, bool, bool]] = Counter()
    for _ in range(count):
        picture, label = strings.compose(held_out, papers, rng)
        item = fields.prepare_number(cutout.as_job(picture, "", "number", (1, 20)), None)
        steps = reader.run(item.line.pictures(reader.frame, reader.views[:1]))[0]
        if "X" not in label or not set(label) & DIGITS:  # else crosses beside a number may be unused cells
            names_it = reader.struck is not None and steps[:, reader.struck].max(initial=0.0) > 0.5
            found["X", 0.05 < item.struck <= 0.5, names_it, "X" in label] += item.struck <= 0.5
        if not set(label) & DIGITS or set(label) & set("X $%"):
            continue
        within = label[min(map(label.find, DIGITS & set(label))) : max(map(label.rfind, DIGITS)) + 1]
        seen = reader.signs_seen(steps)
        for mark, names in ((",", (signs.POINT, signs.COMMA)), ("-", (signs.DASH,)), ("/", (signs.SLASH,))):
            inked = any(s.behind and s.name in names and s.probability > 0.5 for s in item.beside)
            found[mark, inked, any(s.name in names for s in seen), mark in within] += 1
    lines = []
    for mark, inked, known in sorted({key[:3] for key in found}):
        real, none = (found[mark, inked, known, truth] for truth in (True, False))
        told = f"ink {'shows' if inked else 'does not show'} it, recogniser {'sees' if known else 'does not see'} it"
        lines.append(f"{mark} {told}: there in {real} of {real + none}")
    return "\n".join(lines)


def read(model: str, work: Path, count: int) -> str:
    """What confidences are worth after all that a reading goes through: numbers with marks, second numbers, strikes."""
    recipe, reader = glyphs.load_recipe(), number_reader(load_model(model))
    held_out, papers = glyphs.load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 2)
    rng = np.random.default_rng([recipe.seed, 10])
    right, sure = [], []
    for _ in range(count):
        picture, label = strings.compose(held_out, papers, rng)
        job = cutout.as_job(picture, "", "number", (1, 20))
        (reading,) = read_numbers(reader, [job], None, lambda step, start: start)
        if reading.state == "written":
            right.append(" " not in label and reading.value == strings.digits_of(label))
            sure.append(reading.confidence)
    told = ranked(np.array(right), np.array(sure))
    return f"{len(right)} of {count} read as numbers, right {np.mean(right):.4f}, {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with the glyphs")
    parser.add_argument("--model", default="numbers", help="package to fit, a name or a folder (default: numbers)")
    parser.add_argument("--count", type=int, default=6000, help="numbers to compose (default: 6000)")
    parser.add_argument("--write", action="store_true", help="put the constants into the package")
    parser.add_argument("--ink", action="store_true", help="what it tells that no ink is found, and no more")
    parser.add_argument("--signs", action="store_true", help="what ink and recogniser tell of signs, and no more")
    parser.add_argument("--read", action="store_true", help="how well confidences of readings rank, and no more")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.signs:
        print(marks(given.model, given.work, given.count))
        return
    if given.read:
        print(read(given.model, given.work, given.count))
        return
    if given.ink:
        print(ink(given.work, given.count))
        return
    try:
        from inkshift.models import pp_ocr

        second = pp_ocr.recogniser()
    except MissingExtraError:
        second = None
    rows = seen(given.model, composed(given.work, given.count), second)
    constants = all_constants(rows[::2])
    report(rows[1::2], constants)
    print(json.dumps(constants))
    if given.write:
        write(given.model, constants)


if __name__ == "__main__":
    main()
