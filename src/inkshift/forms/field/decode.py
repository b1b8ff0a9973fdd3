"""Candidates to numbers: the best paths through a lattice, with probabilities.

Each atom must be explained: by the digit it is part of, or by being skipped as ink that is no digit. A
path's score is the sum over its segments of log P(digit) times the atoms it covers, plus what its geometry
says; summed over all paths it normalises to a probability for the whole number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inkshift.errors import ModelError
from inkshift.forms.cut.segment import Lattice, Segment
from inkshift.forms.reading import CROSSED as CROSSED_OUT
from inkshift.forms.reading import DIGITS, EMPTY, Candidate, CellReading

JUNK, CROSSED = 10, 11
# How much likelier it is that a cell between digits holds one that was missed than that it is blank or crossed out:
# nobody leaves a gap in a number, or marks cells on both sides of it. What is left of a gap's probability, as of one
# between digits without cells: what the number means is open.
_GAP, _OPEN = 20.0, 0.45
_FLOOR = 1e-4
_BEST = 8
MOST_CANDIDATES = 20
"""Candidates of a field that are kept for its form's rules to choose from."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a path pays, in nats; set on numbers composed from training glyphs (`benchmarks/fit_lattice.py`).

    skip_small, skip_large: leaving out an atom. gap: for each digit height of white inside a digit.
    short, wide: for a digit lower than the line, or wider. split: for cutting a component no wider than a
    digit; cross: for each digit height of ink that the cut goes through. sliver: for a narrow digit at a cut.
    power: of the weights of atoms.
    """

    skip_small: float = 0.02
    skip_large: float = 2.6
    gap: float = 9.9
    short: float = 15.0
    wide: float = 0.6
    split: float = 2.35
    cross: float = 1.3
    sliver: float = 0.58
    power: float = 1.32


COSTS = Costs()


@dataclass(frozen=True, slots=True)
class Decoding:
    """Candidates most probable first, and the digits of the first one."""

    candidates: tuple[Candidate, ...]
    cells: tuple[CellReading, ...]


def decode(
    lattice: Lattice,
    probabilities: npt.NDArray[np.float32],
    digits: tuple[int, int] = (1, 8),
    largest: int | None = None,
    temperature: float = 1.0,
    costs: Costs = COSTS,
) -> Decoding:
    """The likeliest numbers in a lattice.

    probabilities: (segments, classes) float32, a row for each segment of the lattice; the first ten classes
    are the digits, an eleventh, if any, is junk. digits: fewest and most digits. largest: largest value.
    """
    if not lattice.atoms:
        return Decoding((), ())
    n = len(lattice.atoms)
    edges = _edges(lattice, probabilities, temperature, costs)
    skips = _skips(lattice, probabilities, temperature, costs)
    best: list[list[_Path]] = [[] for _ in range(n + 1)]
    best[0] = [(0.0, "", ())]
    total = [0.0] + [-math.inf] * n
    for at in range(n):
        paths = best[at] = _strongest(best[at])
        if not paths:
            continue
        best[at + 1] += [(score + skips[at], text, steps) for score, text, steps in paths]
        total[at + 1] = _log_add(total[at + 1], total[at] + skips[at])
        for k, last, mass, top in edges[at]:
            total[last] = _log_add(total[last], total[at] + mass)
            best[last] += [
                (score + gain, text + DIGITS[digit], (*steps, (k, digit)))
                for digit, gain in top
                for score, text, steps in paths
                if len(text) < digits[1]
            ]
    return _rank(_strongest(best[n]), total[n], lattice, probabilities, digits, largest)


_Path = tuple[float, str, tuple[tuple[int, int], ...]]
_Edge = tuple[int, int, float, list[tuple[int, float]]]


def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _edges(
    lattice: Lattice, probabilities: npt.NDArray[np.float32], temperature: float, costs: Costs
) -> list[list[_Edge]]:
    """For each atom the segments that begin there: number, end, log-mass over all digits, the three best digits."""
    atoms = lattice.atoms
    weights = [sum(a.weight for a in atoms[s.first : s.last]) ** costs.power for s in lattice.segments]
    bonus = [_geometry(s, lattice, costs) for s in lattice.segments]
    rows = np.log(np.maximum(probabilities[:, :10], _FLOOR)) * np.array(weights)[:, None] + np.array(bonus)[:, None]
    rows /= temperature
    mass = np.logaddexp.reduce(rows, axis=1).tolist()
    order = np.argsort(-rows, axis=1)[:, :3].tolist()
    gains = np.take_along_axis(rows, np.array(order), 1).tolist()
    out: list[list[_Edge]] = [[] for _ in atoms]
    for k, segment in enumerate(lattice.segments):
        out[segment.first].append((k, segment.last, mass[k], list(zip(order[k], gains[k], strict=True))))
    return out


def _skips(lattice: Lattice, probabilities: npt.NDArray[np.float32], temperature: float, costs: Costs) -> list[float]:
    """For each atom the log-score of leaving it out."""
    junk = [0.5] * len(lattice.atoms)
    if probabilities.shape[1] > JUNK:
        for k, segment in enumerate(lattice.segments):
            if segment.last == segment.first + 1:
                junk[segment.first] = float(probabilities[k, JUNK:].sum())
    return [-_skip_cost(lattice, at, share, costs) / temperature for at, share in enumerate(junk)]


def _strongest(paths: list[_Path]) -> list[_Path]:
    """The best paths, one for each text, its score summed over the paths that read it."""
    by_text: dict[str, _Path] = {}
    for path in sorted(paths, key=lambda p: -p[0]):
        held = by_text.get(path[1])
        by_text[path[1]] = path if held is None else (_log_add(held[0], path[0]), held[1], held[2])
    return sorted(by_text.values(), key=lambda p: -p[0])[:_BEST]


def _rank(
    paths: list[_Path],
    total: float,
    lattice: Lattice,
    probabilities: npt.NDArray[np.float32],
    digits: tuple[int, int],
    largest: int | None,
) -> Decoding:
    allowed = [
        (score, text, steps)
        for score, text, steps in paths
        if text and digits[0] <= len(text) <= digits[1] and (largest is None or int(text) <= largest)
    ]
    if not allowed:
        return Decoding((), ())
    candidates = tuple(Candidate(text, min(1.0, math.exp(score - total))) for score, text, _ in allowed)
    cells = tuple(CellReading(DIGITS[d], float(probabilities[k, d]), lattice.segments[k].box) for k, d in allowed[0][2])
    return Decoding(candidates, cells)


def _skip_cost(lattice: Lattice, at: int, junk: float, costs: Costs) -> float:
    """Leaving an atom out is cheap where it is small or looks like junk, dear where it could be a digit."""
    atom = lattice.atoms[at]
    x0, y0, x1, y1 = atom.box
    size = max(y1 - y0, 0.6 * (x1 - x0)) / lattice.height
    share = min(max((size - 0.3) / 0.4, 0.0), 1.0)
    doubt = 1 - 0.75 * junk - 0.5 * math.log(max(junk, 0.05)) / costs.skip_large
    return costs.skip_small + share * costs.skip_large * max(doubt, 0.0)


def _geometry(segment: Segment, lattice: Lattice, costs: Costs) -> float:
    """Log-score, at most 0, of how unlike a digit a segment's shape, its cuts and inner gaps are."""
    x0, y0, x1, y1 = segment.box
    height = lattice.height
    score = -costs.short * max(0.0, 0.55 - (y1 - y0) / height)
    score -= costs.wide * max(0.0, (x1 - x0) / height - 1.1)
    atoms = lattice.atoms[segment.first : segment.last]
    for left, right in pairwise(atoms):
        score -= costs.gap * max(0.0, (right.box[0] - left.box[2]) / height - 0.05)
    after = lattice.atoms[segment.last] if segment.last < len(lattice.atoms) else None
    if atoms[0].cut is not None:
        score -= costs.split * atoms[0].narrow + costs.cross * atoms[0].cut
    if (atoms[0].cut is not None or (after is not None and after.cut is not None)) and x1 - x0 < 0.25 * height:
        score -= costs.sliver
    return score


def reading_classes(
    names: Sequence[str],
) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """What brings (N, C) probabilities of a model's classes into the order read here: 0-9, junk, crossed.

    Classes that are neither count as junk, as letters on a form of numbers are. A model of ten digits alone
    stays as it is. Raises ModelError where a digit is missing.
    """
    missing = [digit for digit in "0123456789" if digit not in names]
    if missing:
        raise ModelError(f"its classes are {' '.join(names)}, without {missing[0]}; take a model that knows ten digits")
    digits = [names.index(digit) for digit in "0123456789"]
    others = [i for i, name in enumerate(names) if i not in digits and name != "crossed"]
    if not others and "crossed" not in names:
        return lambda probabilities: probabilities[:, digits]

    def ordered(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        out = np.zeros((len(probabilities), 12), np.float32)
        out[:, :10] = probabilities[:, digits]
        out[:, JUNK] = probabilities[:, others].sum(1)
        if "crossed" in names:
            out[:, CROSSED] = probabilities[:, names.index("crossed")]
        return out

    return ordered


def cell_symbols(probabilities: npt.NDArray[np.float32], flat: Sequence[bool]) -> npt.NDArray[np.float32]:
    """(N, 12) class probabilities -> (N, 12) of the symbols 0-9, X, ?. flat: the ink is a dash, so crossed out."""
    out = np.zeros((len(probabilities), 12), np.float32)
    out[:, :10] = probabilities[:, :10]
    if probabilities.shape[1] > JUNK:
        out[:, 10], out[:, 11] = probabilities[:, CROSSED], probabilities[:, JUNK]
    for i in np.flatnonzero(np.asarray(flat, bool)):
        out[i, 10] += out[i, 11]
        out[i, 11] = 0
    return out


def decode_cells(symbols: Sequence[dict[str, float]]) -> tuple[Candidate, ...]:
    """The twenty most probable readings of a field of cells, or fewer.

    symbols: for each cell the probability of each symbol it may hold (see forms.reading).
    """
    beam: list[tuple[str, float]] = [("", 1.0)]
    for cell in symbols:
        top = sorted(cell.items(), key=lambda item: -item[1])[:4]
        grown = [(text + symbol, p * q) for text, p in beam for symbol, q in top]
        beam = sorted(grown, key=lambda item: -item[1])[:MOST_CANDIDATES]
    return tuple(Candidate(text, float(p)) for text, p in beam)


def gaps_doubted(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Readings of a field of cells, those less probable that leave a gap in a number, or marks on both sides of it."""
    gaps = [_has_gap(one.written) for one in candidates]
    if not any(gaps) and not any(_between(one.written) for one in candidates):
        return tuple(candidates)
    odds = [
        one.probability / (_GAP if gap or _between(one.written) else 1.0)
        for one, gap in zip(candidates, gaps, strict=True)
    ]
    scale = sum(one.probability for one in candidates) / max(sum(odds), 1e-12)
    left = [p * scale * (_OPEN if gap else 1.0) for gap, p in zip(gaps, odds, strict=True)]
    weighed = [Candidate(one.written, p) for one, p in zip(candidates, left, strict=True)]
    return tuple(sorted(weighed, key=lambda one: -one.probability))


def _has_gap(written: str) -> bool:
    """Whether a cell without a digit, or more, stands between digits."""
    inner = written.strip(CROSSED_OUT + EMPTY)
    return CROSSED_OUT in inner or EMPTY in inner


def _between(written: str) -> bool:
    """Whether cells on both sides of a number are crossed out: people put it to one side."""
    used = written.strip(EMPTY)
    return used[:1] == used[-1:] == CROSSED_OUT and used.strip(CROSSED_OUT + EMPTY) != ""
