"""Reading digits out of step probabilities, against the sum over all paths written out."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.models import ctc, weigh


def steps(seed: int, count: int, sharp: float = 2.0) -> npt.NDArray[np.float32]:
    """Random probabilities of three symbols, the blank among them, for `count` steps."""
    rng = np.random.default_rng(seed)
    odds = np.exp(sharp * rng.normal(size=(count, 3)))
    out = np.zeros((count, 11), np.float32)
    out[:, [1, 7, ctc.BLANK]] = odds / odds.sum(1, keepdims=True)
    return out


def written_out(probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    """The probability of each text: the sum over all ways to write it."""
    total: dict[str, float] = {}
    for path in itertools.product([1, 7, ctc.BLANK], repeat=len(probabilities)):
        text = ctc.collapse(np.array(path))
        total[text] = total.get(text, 0.0) + float(np.prod([probabilities[t, s] for t, s in enumerate(path)]))
    return total


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_scores_are_the_sum_over_all_paths(seed: int, count: int) -> None:
    probabilities = steps(seed, count)
    texts = written_out(probabilities)
    scores = ctc.score([([probabilities], list(texts))])[0][0]
    assert np.exp(scores) == pytest.approx(list(texts.values()), rel=1e-3, abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_a_wide_beam_finds_the_likeliest_text_and_its_probability(seed: int, count: int) -> None:
    probabilities = steps(seed, count)
    texts = written_out(probabilities)
    (found,) = ctc.beam([probabilities], (0, 8), width=200)
    best = max(texts, key=texts.__getitem__)
    assert found[0][0] == best or texts[found[0][0]] == pytest.approx(texts[best], abs=2e-3)
    assert found[0][1] == pytest.approx(texts[found[0][0]], abs=5e-3)


@given(st.integers(0, 10_000), st.integers(3, 8), st.integers(0, 2), st.integers(2, 4), st.integers(0, 800))
def test_a_beam_gives_what_is_allowed_alone(seed: int, count: int, fewest: int, most: int, largest: int) -> None:
    (found,) = ctc.beam([steps(seed, count)], (fewest, most), largest)
    for text, probability in found:
        assert fewest <= len(text) <= most
        assert int(text or "0") <= largest
        assert 0 <= probability <= 1.001
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


@pytest.mark.parametrize("count", [400, 1200])
def test_many_steps_of_an_unsure_model_still_give_texts_best_first(count: int) -> None:
    unsure = np.random.default_rng(0).dirichlet(np.full(11, 5), count).astype(np.float32)
    (found,) = ctc.beam([unsure], (0, 20))
    texts = [text for text, _ in found]
    assert len(texts) == 8 and len(set(texts)) == 8
    scores = ctc.score([([unsure], texts)])[0][0]
    assert scores[0] > scores[-1]
    (weighed,) = weigh.weigh([[unsure]])
    assert sum(weighed.values()) == pytest.approx(1)


def test_a_line_with_more_digits_than_a_number_may_have_reads_as_nothing() -> None:
    line = np.eye(11, dtype=np.float32)[[1, 2] * 20]  # no blank anywhere, and never the same digit twice
    assert ctc.beam([line], (0, 20)) == [[]]
    assert weigh.weigh([[line]]) == [{"": 1.0}]


def test_the_same_digit_twice_needs_a_blank_between() -> None:
    sure = np.zeros((3, 11), np.float32)
    sure[[0, 2], 7] = 1
    sure[1, ctc.BLANK] = 1
    assert ctc.beam([sure])[0][0] == ("77", pytest.approx(1.0))
    assert ctc.collapse(np.array([7, 7, 7])) == "7"


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 40)), min_size=2, max_size=5))
def test_a_line_is_read_alike_beside_any_others(made: list[tuple[int, int]]) -> None:
    lines, texts = [steps(seed, count) for seed, count in made], ["1", "77", ""]
    together = ctc.beam(lines, (0, 20))
    assert together == [ctc.beam([line], (0, 20))[0] for line in lines]
    scores = ctc.score([(lines[:1], texts[:1]), (lines, texts)])
    for row, line in zip(scores[1], lines, strict=True):
        assert row == pytest.approx(ctc.score([([line], texts)])[0][0], rel=1e-12)
    assert scores[0] == pytest.approx(scores[1][:1, :1])


@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=2, max_size=14))
def test_steps_without_ink_change_nothing(seed: int, written: list[bool]) -> None:
    rows, blank = steps(seed, sum(written) + 1), np.eye(11, dtype=np.float32)[ctc.BLANK]
    at = np.cumsum(written)
    spread = np.stack([rows[at[k]] if one else blank for k, one in enumerate(written)])
    kept = np.stack([row for k, row in enumerate(spread) if written[k] or (k and written[k - 1])] or [blank])
    (wide,), (narrow,) = ctc.beam([spread], (0, 20)), ctc.beam([kept], (0, 20))
    assert [text for text, _ in wide] == [text for text, _ in narrow]
    assert [p for _, p in wide] == pytest.approx([p for _, p in narrow])


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_weights_are_probabilities_of_all_that_was_proposed(seeds: list[int]) -> None:
    (found,) = weigh.weigh([[steps(seed, 5) for seed in seeds]])
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def sure_of(text: str, certainty: float) -> npt.NDArray[np.float32]:
    out = np.full((2 * len(text) + 1, 11), (1 - certainty) / 10, np.float32)
    out[::2, ctc.BLANK] = certainty
    out[np.arange(len(text)) * 2 + 1, [int(c) for c in text]] = certainty
    return out


def test_agreement_counts_for_more_than_one_sure_view() -> None:
    alone, others = sure_of("41", 0.999), [sure_of("47", 0.8)] * 3
    both, sure = weigh.weigh([[alone, *others], [sure_of("47", 0.999)] * 4])
    assert next(iter(both)) == "47"
    assert both["47"] < next(iter(sure.values()))


@pytest.mark.parametrize("text", ["47", "41"])
def test_a_second_reader_decides_between_views_that_differ(text: str) -> None:
    views = [sure_of("41", 0.9), sure_of("47", 0.9)]
    constants = {"second mean": 1.0, "second floor": 0.01}
    (found,) = weigh.weigh([views], [[sure_of(text, 0.9)]], calibration=constants)
    assert next(iter(found)) == text


def test_what_a_field_may_hold_is_proposed_even_where_something_else_looks_likelier() -> None:
    (found,) = weigh.weigh([[sure_of("712", 0.7)]], digits=[(1, 2)], largest=[None])
    assert next(iter(found)) == "712"
    assert any(len(text) == 2 for text in found)


def test_a_number_of_one_view_has_weights_of_its_own() -> None:
    constants = {"first mean": 0.5, "first floor": 1e-3, "number mean": 1.0, "number floor": 1e-3}
    one, two = weigh.weigh([[sure_of("47", 0.8)], [sure_of("47", 0.8)] * 2], calibration=constants)
    assert one["47"] < two["47"]


@given(st.text("0123456789", min_size=1, max_size=8), st.floats(0.6, 0.999))
def test_each_digit_is_found_where_it_is_written(text: str, certainty: float) -> None:
    assert ctc.align(sure_of(text, certainty), text) == [(2 * i + 1, 2 * i + 1) for i in range(len(text))]


@given(st.integers(0, 10_000), st.integers(1, 7), st.text("17", max_size=4))
def test_digits_lie_in_order_or_nowhere(seed: int, count: int, text: str) -> None:
    found = ctc.align(steps(seed, count), text)
    needed = len(text) + sum(a == b for a, b in itertools.pairwise(text))
    assert len(found) == (len(text) if needed <= count else 0)
    assert all(first <= last for first, last in found)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found))


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_mark_parts_digits_as_a_blank_does(seed: int, count: int) -> None:
    odds = np.random.default_rng(seed).random((count, 18)).astype(np.float32)
    shares = odds / odds.sum(1, keepdims=True)
    folded = ctc.fold(shares)
    assert folded.shape == (count, 11) and folded.sum(1) == pytest.approx(np.ones(count), abs=1e-5)
    assert np.array_equal(folded[:, :10], shares[:, :10])
    assert ctc.fold(folded) is folded
    between = np.zeros((3, 18), np.float32)
    between[[0, 1, 2], [4, 11, 4]] = 1
    assert ctc.collapse(ctc.fold(between).argmax(1)) == "44"
