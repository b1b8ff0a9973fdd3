"""Decoding: the best paths of a lattice, their probabilities, and the limits that a number keeps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.errors import ModelError
from inkshift.forms.cut.segment import Atom, Lattice, Segment
from inkshift.forms.field import decode as decoding
from inkshift.forms.field.decode import COSTS, cell_symbols, decode, decode_cells, gaps_doubted
from inkshift.forms.reading import Candidate

Rows = npt.NDArray[np.float32]


def lattice_of(count: int, longest: int = 2) -> Lattice:
    """`count` atoms in a row, each as high as the line, and every run of up to `longest` of them."""
    atoms = tuple(Atom((20 * i, 0, 20 * i + 14, 20), 1.0, None, 0.0) for i in range(count))
    runs = [(i, j) for i in range(count) for j in range(i + 1, min(i + longest, count) + 1)]
    picture = np.zeros((20, 14), np.uint8)
    return Lattice(atoms, tuple(Segment(i, j, (20 * i, 0, 20 * j - 6, 20), picture) for i, j in runs), 20.0)


def sure(lattice: Lattice, digits: str, p: float = 0.97, classes: int = 12) -> Rows:
    """Probabilities in which segment k shows `digits[k]` with probability p."""
    rows = np.full((len(lattice.segments), classes), (1 - p) / (classes - 1), np.float32)
    rows[np.arange(len(rows)), [int(d) for d in digits]] = p
    return rows


@st.composite
def cases(draw: st.DrawFn) -> tuple[Lattice, Rows]:
    """A lattice of one to four atoms and any probabilities, with or without the two classes of no digit."""
    lattice = lattice_of(draw(st.integers(1, 4)))
    classes = draw(st.sampled_from([10, 12]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 0.3, 1.0]))), len(lattice.segments))
    return lattice, rows.astype(np.float32)


def paths(lattice: Lattice, rows: Rows) -> Iterator[tuple[str, float]]:
    """Every path, one step after the other: what it reads, and its score. For each segment its three best digits."""
    edges = decoding._edges(lattice, rows, 1.0, COSTS)
    skips = decoding._skips(lattice, rows, 1.0, COSTS)

    def onward(at: int, text: str, score: float) -> Iterator[tuple[str, float]]:
        if at == len(lattice.atoms):
            yield text, score
            return
        yield from onward(at + 1, text, score + skips[at])
        for _, last, _, top in edges[at]:
            for digit, gain in top:
                yield from onward(last, text + str(digit), score + gain)

    return onward(0, "", 0.0)


@pytest.mark.parametrize("count", [1, 2, 3])
@given(seed=st.integers(0, 10**6))
def test_candidates_are_those_of_all_paths_counted_one_by_one(count: int, seed: int) -> None:
    lattice = lattice_of(count)
    rng = np.random.default_rng(seed)
    rows = sure(lattice, "".join(map(str, rng.integers(0, 10, len(lattice.segments)))), rng.uniform(0.9, 0.99))
    mass: dict[str, float] = defaultdict(float)
    for text, score in paths(lattice, rows):
        mass[text] += math.exp(score)
    found = decode(lattice, rows).candidates
    best = sorted((text for text in mass if text), key=lambda text: -mass[text])
    assert found[0].written == best[0]
    shares = {c.written: c.probability / found[0].probability for c in found}
    for text in best[:2]:
        if mass[text] > 0.05 * mass[best[0]]:
            assert shares[text] == pytest.approx(mass[text] / mass[best[0]], rel=0.02)


@given(cases())
def test_candidates_are_sorted_and_their_probabilities_sum_to_at_most_one(case: tuple[Lattice, Rows]) -> None:
    found = decode(*case)
    given = [c.probability for c in found.candidates]
    assert all(a >= b for a, b in pairwise(given))
    assert all(0 <= p <= 1 for p in given)
    assert sum(given) <= 1 + 1e-6
    assert len({c.written for c in found.candidates}) == len(given) <= 20
    assert "".join(cell.symbol for cell in found.cells) == (found.candidates[0].written if given else "")


@given(cases(), st.integers(1, 3), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 400)))
def test_the_limits_of_a_number_are_kept(
    case: tuple[Lattice, Rows], fewest: int, more: int, largest: int | None
) -> None:
    for found in decode(*case, digits=(fewest, fewest + more), largest=largest).candidates:
        assert fewest <= len(found.written) <= fewest + more
        assert largest is None or int(found.written) <= largest


def test_sure_digits_are_read_with_confidence() -> None:
    lattice = lattice_of(3, longest=1)
    found = decode(lattice, sure(lattice, "407", 0.999))
    assert found.candidates[0].written == "407"
    assert found.candidates[0].probability > 0.9
    assert [cell.box for cell in found.cells] == [s.box for s in lattice.segments]


def test_a_value_above_the_largest_gives_way_to_the_next() -> None:
    lattice = lattice_of(2, longest=1)
    rows = sure(lattice, "91", 0.6)
    rows[0, 2] = 0.35
    assert decode(lattice, rows).candidates[0].written == "91"
    assert decode(lattice, rows, largest=50).candidates[0].written == "21"


def test_leading_zeros_are_kept() -> None:
    lattice = lattice_of(3, longest=1)
    assert decode(lattice, sure(lattice, "007")).candidates[0].written == "007"


def test_what_looks_like_junk_is_skipped() -> None:
    lattice = lattice_of(2, longest=1)
    rows = sure(lattice, "50")
    rows[1] = 0.001
    rows[1, decoding.JUNK] = 0.99
    assert decode(lattice, rows).candidates[0].written == "5"


def test_a_higher_temperature_is_less_sure() -> None:
    lattice = lattice_of(2, longest=1)
    rows = sure(lattice, "12", 0.9)
    cool, warm = (decode(lattice, rows, temperature=t).candidates[0] for t in (1.0, 3.0))
    assert cool.written == warm.written == "12"
    assert warm.probability < cool.probability


def test_no_ink_reads_as_nothing() -> None:
    found = decode(Lattice((), (), 0.0), np.zeros((0, 12), np.float32))
    assert found.candidates == () and found.cells == ()


@given(
    st.lists(
        st.dictionaries(st.sampled_from("0123456789X_?"), st.floats(0.01, 0.3), min_size=1), min_size=1, max_size=4
    )
)
def test_readings_of_cells_are_the_best_products(symbols: list[dict[str, float]]) -> None:
    found = decode_cells(symbols)
    best = "".join(max(cell, key=lambda s: cell[s]) for cell in symbols)
    top = math.prod(max(cell.values()) for cell in symbols)
    assert found[0].probability == pytest.approx(top)
    assert len(found[0].written) == len(best) == len(symbols)
    assert all(a.probability >= b.probability for a, b in pairwise(found))
    for candidate in found:
        product = math.prod(cell[s] for cell, s in zip(symbols, candidate.written, strict=True))
        assert candidate.probability == pytest.approx(product)


def test_a_dash_is_a_crossing_out_not_junk() -> None:
    rows = np.zeros((2, 12), np.float32)
    rows[:, decoding.JUNK] = 0.9
    rows[:, 1] = 0.1
    plain, dash = cell_symbols(rows, [False, True])
    assert plain[11] == pytest.approx(0.9) and plain[10] == 0
    assert dash[10] == pytest.approx(0.9) and dash[11] == 0
    assert plain[1] == dash[1] == pytest.approx(0.1)


def test_a_model_with_other_classes_is_read_by_its_digits() -> None:
    names = (*"ABC", *"9876543210", "crossed")
    probabilities = np.arange(2 * len(names), dtype=np.float32).reshape(2, -1)
    found = decoding.reading_classes(names)(probabilities)
    assert found.shape == (2, 12)
    assert found[0, :10].tolist() == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]
    assert found[0, decoding.JUNK] == 0 + 1 + 2 and found[0, decoding.CROSSED] == 13


def test_ten_digits_alone_stay_ten_and_a_missing_one_is_named() -> None:
    ten = np.eye(10, dtype=np.float32)
    assert np.array_equal(decoding.reading_classes("0123456789")(ten), ten)
    with pytest.raises(ModelError, match="without 7; take a model that knows ten digits"):
        decoding.reading_classes("012345689")


def test_a_gap_in_a_number_is_a_digit_that_was_missed_or_a_doubt() -> None:
    def read(*symbols: dict[str, float]) -> Candidate:
        return gaps_doubted(decode_cells(symbols))[0]

    gapped = read({"2": 1.0}, {"X": 0.9, "1": 0.1}, {"5": 1.0})
    assert (gapped.written, gapped.probability < 0.9) == ("215", True)
    assert read({"2": 0.99}, {"_": 0.99, "1": 0.01}, {"5": 0.99}).probability < 0.9
    assert read({"3": 1.0}, {"X": 0.999, "7": 0.001}, {"3": 1.0}).probability < 0.9
    assert read({"X": 1.0}, {"2": 1.0}, {"X": 0.977, "2": 0.023}).probability < 0.9
    for sure in ("_X5", "25X", "___", "X0_", "X7X", "_7_", "X_X", "X__X"):
        assert read(*({symbol: 0.99} for symbol in sure)).probability > 0.95
