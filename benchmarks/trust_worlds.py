"""Worlds of forms whose every field has a known probability of being read wrong, to judge promises by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from inkshift.forms.judge import guarantee
from inkshift.forms.judge.guarantee import CalibrationSample
from inkshift.forms.trust import DECIMALS, scores

CONFIDENCE = 0.95
STEPS = 10**DECIMALS + 1
Risk = Callable[[np.ndarray], np.ndarray]


def ranked(z: np.ndarray) -> np.ndarray:
    """Probability that a field of latent quality z, standard normal, is wrong: less the better, but never none."""
    return 0.002 + 0.998 / (1 + np.exp(3.5 + 2.5 * z))


def misranked(z: np.ndarray) -> np.ndarray:
    """As `ranked`, but a reader that is surest where it is often wrong."""
    return np.where(z > 1.3, 0.06, ranked(z))


def rated(risk: float) -> Risk:
    """All fields are wrong alike, however sure the reader is."""
    return lambda z: np.full_like(z, risk)


def sure(z: np.ndarray) -> np.ndarray:
    """What the reader claims: rising with z, overconfident, with the decimals of a readings file."""
    return np.round(1 / (1 + np.exp(-(4.5 + 2.0 * z))), DECIMALS)


def tied(z: np.ndarray) -> np.ndarray:
    """A reader that knows three confidences."""
    return np.select([z > 0.5, z > -0.8], [0.99, 0.9], 0.4)


def certain(z: np.ndarray) -> np.ndarray:
    """A reader that is always nearly certain."""
    return np.round(1 - 0.01 / (1 + np.exp(2 * z)), DECIMALS)


class Kind(NamedTuple):
    """Forms of one kind. share: of all forms. fields: of each. risk: of a field. together: share of the variance of
    quality and of luck that the fields of a form have in common; 1: the fields of a form are all right or all wrong."""

    share: float
    fields: int
    risk: Risk
    together: float = 0.5


class World(NamedTuple):
    """error: promised. forms: labelled. kinds: of forms, drawn by their shares. claim: confidence from quality."""

    name: str
    error: float
    forms: int
    kinds: tuple[Kind, ...]
    claim: Risk = sure


class Count(NamedTuple):
    """Of draws: how many broke their promise, promised nothing; the mean share of fields accepted."""

    broken: int
    none: int
    accepted: float


def plain(error: float, forms: int, fields: int, risk: Risk = ranked) -> World:
    name = f"{fields} field{'s' * (fields > 1)}" + (", surest is often wrong" if risk is misranked else "")
    return World(name, error, forms, (Kind(1.0, fields, risk),))


ORDINARY = (
    plain(0.05, 350, 1),
    plain(0.02, 1500, 1),
    plain(0.01, 700, 1),
    plain(0.01, 3000, 1),
    plain(0.05, 350, 5),
    plain(0.02, 1000, 5),
    plain(0.01, 2000, 5),
    plain(0.05, 350, 13),
    plain(0.02, 1000, 13),
    plain(0.05, 350, 1, misranked),
    plain(0.05, 350, 5, misranked),
)


def rare(error: float, forms: int, every: int, rows: int, others: float) -> World:
    """One form in `every` has so many rows, all wrong; the rest has one row, wrong at the rate `others`."""
    kinds = Kind(1 - 1 / every, 1, rated(others)), Kind(1 / every, rows, rated(1.0))
    return World(f"1 in {every:,} has {rows} rows, all wrong; else one row", error, forms, kinds)


TABLE = (
    World("exact edge: every field wrong at the rate promised", 0.02, 1000, (Kind(1.0, 1, rated(0.02001)),)),
    World("ties: three confidences", 0.05, 400, (Kind(1.0, 1, ranked),), tied),
    World("2.2 % of five-field forms wholly wrong", 0.02, 1000, (Kind(1.0, 5, rated(0.022), 1.0),)),
    World("always nearly certain", 0.05, 400, (Kind(1.0, 1, ranked),), certain),
    World(
        "13 fields, 3 % of forms by a bad pen", 0.02, 150, (Kind(0.97, 13, rated(0.002)), Kind(0.03, 13, rated(0.7)))
    ),
    rare(0.02, 1000, 300, 5, 0.005),
    rare(0.02, 1000, 1500, 30, 0.003),
    World("1 to 30 rows a page", 0.05, 1000, tuple(Kind(w, n, ranked) for w, n in ((0.6, 1), (0.2, 8), (0.2, 30)))),
)


def adversary(error: float, forms: int) -> tuple[World, ...]:
    """Forms of two sizes, the larger ones wholly wrong as often as just breaks the promise, if they are accepted."""
    found = []
    for small, large in ((1, 2), (1, 5), (1, 30), (1, 200), (5, 6), (5, 30), (13, 60)):
        for others in (0.0, error / 2):
            # share x of large forms: x large + (1 - x) small others = 1.02 error (x large + (1 - x) small)
            edge = 1.02 * error
            x = small * (edge - others) / (small * (edge - others) + large * (1 - edge))
            kinds = Kind(1 - x, small, rated(others)), Kind(x, large, rated(1.0), 1.0)
            name = f"{x:.2%} of {large} fields, all wrong; else {small}, {others:.1%} wrong"
            found.append(World(name, error, forms, kinds))
    for fields in (2, 5, 13):
        edge = Kind(1.0, fields, rated(1.02 * error), 1.0)
        found.append(World(f"{fields} fields, {1.02 * error:.2%} of forms wholly wrong", error, forms, (edge,)))
    return tuple(found)


def draw(world: World, rng: np.random.Generator) -> CalibrationSample:
    """Labelled forms, drawn at random."""
    kinds = rng.choice(len(world.kinds), world.forms, p=[kind.share for kind in world.kinds])
    parts, first = [], 0
    for number, kind in enumerate(world.kinds):
        forms = int((kinds == number).sum())
        shape = (forms, kind.fields)
        own, common = np.sqrt(1 - kind.together), np.sqrt(kind.together)
        z = own * rng.standard_normal(shape) + common * rng.standard_normal((forms, 1))
        luck = own * rng.standard_normal(shape) + common * rng.standard_normal((forms, 1))
        wrong = ndtr(luck) < kind.risk(z)
        form = np.arange(first, first + forms).repeat(kind.fields)
        parts.append((form, world.claim(z).ravel(), wrong.ravel(), np.full(wrong.size, kind.fields)))
        first += forms
    return CalibrationSample(*map(np.concatenate, zip(*parts, strict=True)))


@lru_cache(maxsize=256)
def truth(world: World) -> tuple[tuple[int, np.ndarray, np.ndarray], ...]:
    """Of each kind its size, and the share of all fields, and of wrong ones, at each confidence of a file."""
    z = ndtri((np.arange(100_000) + 0.5) / 100_000)
    at = np.rint(world.claim(z) * 10**DECIMALS).astype(int)
    total = sum(kind.share * kind.fields for kind in world.kinds)
    found = []
    for kind in world.kinds:
        weight = kind.share * kind.fields / total / len(z)
        mass = weight * np.bincount(at, minlength=STEPS)
        found.append((kind.fields, mass, weight * np.bincount(at, kind.risk(z), minlength=STEPS)))
    return tuple(found)


def judged(world: World, taken: np.ndarray, most: int) -> tuple[float, float]:
    """The share of all fields that is accepted, and what share of these is wrong in truth. taken: (10001,) bool."""
    sizes = [(mass[taken].sum(), wrong[taken].sum()) for fields, mass, wrong in truth(world) if fields <= most]
    accepted, wrong = map(float, np.sum([*sizes, (0.0, 0.0)], axis=0))
    return accepted, wrong / accepted if accepted else 0.0


def promised(labelled: CalibrationSample, error: float, seed: int) -> tuple[guarantee.Calibration, guarantee.Promise]:
    """As `inkshift calibrate` does."""
    learn, test = guarantee.split(labelled, seed)
    calibration = guarantee.Calibration(guarantee.fit_score(learn.confidence, learn.wrong), learn, test, seed)
    return calibration, calibration.promise(error, CONFIDENCE)


def simulate(world: World, draws: int, seed: int) -> Count:
    """Calibrate on so many samples, and look up what the promises come to in truth."""
    grid = np.arange(STEPS) / 10**DECIMALS
    broken, none, total = 0, 0, 0.0
    for i in range(draws):
        calibration, promise = promised(draw(world, np.random.default_rng([seed, i])), world.error, i)
        if promise.threshold is None:
            none += 1
            continue
        taken = scores(calibration.knots, grid) >= promise.threshold
        accepted, wrong = judged(world, taken, promise.most)
        broken += wrong > world.error
        total += accepted
    return Count(broken, none, total / draws)


def could_be(world: World) -> float:
    """The share that could be accepted at this true error if it were known, going down from the surest, of forms up to
    the best size."""
    best = 0.0
    for most in {fields for fields, *_ in truth(world)}:
        parts = [(mass, wrong) for fields, mass, wrong in truth(world) if fields <= most]
        mass, wrong = (np.sum(side, axis=0)[::-1].cumsum() for side in zip(*parts, strict=True))
        best = max(best, float(mass[wrong <= world.error * mass].max(initial=0.0)))
    return best


def all_worlds() -> Sequence[tuple[str, Sequence[World]]]:
    return (
        ("Ordinary worlds", ORDINARY),
        ("Worlds that broke other methods", TABLE),
        ("An adversary that chooses sizes and dependence", (*adversary(0.02, 1000), *adversary(0.05, 400))),
    )
