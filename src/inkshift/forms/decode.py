"""Candidates to numbers: the best paths through a lattice, with probabilities.

Each atom must be explained: by the digit it is part of, or by being skipped as ink that is no digit. A
path's score is the sum over its segments of log P(digit) times the atoms it covers, plus what its geometry
says; summed over all paths it normalises to a probability for the whole number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inkshift.forms.reading import DIGITS, Candidate, CellReading
from inkshift.forms.segment import Lattice, Segment

JUNK, CROSSED = 10, 11
_FLOOR = 1e-4
_BEST = 8


@dataclass(frozen=True, slots=True)
class Costs:
    """What a path pays, in nats; set on numbers composed from training glyphs (`benchmarks/fit_lattice.py`).

    skip_small, skip_large: leaving out an atom. gap: for each digit height of white inside a digit.
    short, wide: for a digit lower than the line, or wider. split: cutting a component; cross: for each digit
    height of ink that the cut goes through. sliver: for a narrow digit at a cut. power: of the weights
    of atoms.
    """

    skip_small: float = 0.02
    skip_large: float = 2.1
    gap: float = 7.9
    short: float = 8.0
    wide: float = 1.44
    split: float = 1.43
    cross: float = 2.1
    sliver: float = 0.76
    power: float = 1.0


COSTS = Costs()


@dataclass(frozen=True, slots=True)
class Decoded:
    """Candidates most probable first, and the digits of the first one."""

    candidates: tuple[Candidate, ...]
    cells: tuple[CellReading, ...]


@dataclass(frozen=True, slots=True)
class _Path:
    score: float
    text: str
    steps: tuple[tuple[int, int], ...]


def decode(
    lattice: Lattice,
    probabilities: npt.NDArray[np.float32],
    digits: tuple[int, int] = (1, 8),
    largest: int | None = None,
    temperature: float = 1.0,
    costs: Costs = COSTS,
) -> Decoded:
    """The likeliest numbers in a lattice.

    probabilities: (segments, classes) float32, a row for each segment of the lattice; the first ten classes
    are the digits, an eleventh, if any, is junk. digits: fewest and most digits. largest: largest value.
    """
    if not lattice.atoms:
        return Decoded((), ())
    n = len(lattice.atoms)
    junk = np.ones(n, np.float32) * 0.5
    edges: list[list[int]] = [[] for _ in range(n)]
    for k, segment in enumerate(lattice.segments):
        edges[segment.first].append(k)
        if segment.last == segment.first + 1 and probabilities.shape[1] > JUNK:
            junk[segment.first] = probabilities[k, JUNK:].sum()
    best: list[list[_Path]] = [[] for _ in range(n + 1)]
    best[0] = [_Path(0.0, "", ())]
    total = np.full(n + 1, -np.inf)
    total[0] = 0.0
    for at in range(n):
        paths = best[at] = _strongest(best[at])
        if not paths:
            continue
        skip = -_skip_cost(lattice, at, float(junk[at]), costs) / temperature
        best[at + 1] += [_Path(p.score + skip, p.text, p.steps) for p in paths]
        total[at + 1] = np.logaddexp(total[at + 1], total[at] + skip)
        for k in edges[at]:
            segment = lattice.segments[k]
            bonus = _geometry(segment, lattice, costs)
            weight = sum(atom.weight for atom in lattice.atoms[segment.first : segment.last]) ** costs.power
            row = (np.log(np.maximum(probabilities[k, :10], _FLOOR)) * weight + bonus) / temperature
            total[segment.last] = np.logaddexp(total[segment.last], total[at] + np.logaddexp.reduce(row))
            for digit in np.argsort(-row)[:3]:
                step = (k, int(digit))
                best[segment.last] += [
                    _Path(p.score + float(row[digit]), p.text + DIGITS[digit], (*p.steps, step))
                    for p in paths
                    if len(p.text) < digits[1]
                ]
    return _rank(best[n], float(total[n]), lattice, probabilities, digits, largest)


def _strongest(paths: list[_Path]) -> list[_Path]:
    """The best paths, one for each text, its score summed over the paths that read it."""
    by_text: dict[str, _Path] = {}
    for path in sorted(paths, key=lambda p: -p.score):
        held = by_text.get(path.text)
        if held is None:
            by_text[path.text] = path
        else:
            by_text[path.text] = _Path(float(np.logaddexp(held.score, path.score)), held.text, held.steps)
    return sorted(by_text.values(), key=lambda p: -p.score)[:_BEST]


def _rank(
    paths: list[_Path],
    total: float,
    lattice: Lattice,
    probabilities: npt.NDArray[np.float32],
    digits: tuple[int, int],
    largest: int | None,
) -> Decoded:
    allowed = [
        p
        for p in _strongest(paths)
        if digits[0] <= len(p.text) <= digits[1] and (largest is None or not p.text or int(p.text) <= largest)
    ]
    candidates = tuple(Candidate(p.text, float(min(1.0, np.exp(p.score - total)))) for p in allowed[:5] if p.text)
    if not candidates:
        return Decoded((), ())
    steps = next(p.steps for p in allowed if p.text)
    cells = tuple(
        CellReading(DIGITS[d], float(probabilities[k, d]), lattice.segments[k].box) for k, d in steps
    )
    return Decoded(candidates, cells)


def _skip_cost(lattice: Lattice, at: int, junk: float, costs: Costs) -> float:
    """Leaving an atom out is cheap where it is small or looks like junk, dear where it could be a digit."""
    atom = lattice.atoms[at]
    x0, y0, x1, y1 = atom.box
    size = max(y1 - y0, 0.6 * (x1 - x0)) / lattice.height
    share = float(np.clip((size - 0.3) / 0.4, 0, 1))
    doubt = 1 - 0.75 * junk - 0.5 * float(np.log(max(junk, 0.05))) / costs.skip_large
    return costs.skip_small + share * costs.skip_large * max(doubt, 0.0)


def _geometry(segment: Segment, lattice: Lattice, costs: Costs) -> float:
    """Log-score, at most 0, of how unlike a digit a segment's shape, its cuts and inner gaps are."""
    x0, y0, x1, y1 = segment.box
    height = lattice.height
    score = -costs.short * max(0.0, 0.55 - (y1 - y0) / height)
    score -= costs.wide * max(0.0, (x1 - x0) / height - 1.1)
    atoms = lattice.atoms[segment.first : segment.last]
    for left, right in zip(atoms, atoms[1:], strict=False):
        score -= costs.gap * max(0.0, (right.box[0] - left.box[2]) / height - 0.05)
    after = lattice.atoms[segment.last] if segment.last < len(lattice.atoms) else None
    if atoms[0].cut is not None:
        score -= costs.split + costs.cross * atoms[0].cut
    if (atoms[0].cut is not None or (after is not None and after.cut is not None)) and x1 - x0 < 0.25 * height:
        score -= costs.sliver
    return score


def cell_symbols(
    probabilities: npt.NDArray[np.float32], flat: Sequence[bool]
) -> npt.NDArray[np.float32]:
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
    """The five most probable readings of a field of cells.

    symbols: for each cell the probability of each symbol it may hold (see forms.reading).
    """
    beam: list[tuple[str, float]] = [("", 1.0)]
    for cell in symbols:
        top = sorted(cell.items(), key=lambda item: -item[1])[:4]
        grown = [(text + symbol, p * q) for text, p in beam for symbol, q in top]
        beam = sorted(grown, key=lambda item: -item[1])[:_BEST]
    return tuple(Candidate(text, float(p)) for text, p in beam[:5])
