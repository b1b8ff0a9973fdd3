"""Numbers composed from digits: seeded, whole, labelled with what is written on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkshift.datasets import augment, paper, shapes, strings
from inkshift.reframe import parse

FRAME = parse("gray|light_ink|stretch|line(32)")


@pytest.fixture(scope="module")
def glyphs() -> strings.Glyphs:
    maps, labels = shapes.bank(4, 0)
    return strings.make_glyphs(maps, labels, [len(labels)], [1.0])


@pytest.fixture(scope="module")
def papers() -> paper.Papers:
    return paper.make_papers(0, each=2)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_number_has_at_most_eight_digits_and_a_picture(
    glyphs: strings.Glyphs, papers: paper.Papers, seed: int
) -> None:
    picture, label = strings.compose(glyphs, papers, np.random.default_rng(seed))
    assert len(label) <= strings.LONGEST and (label.isdigit() or not label)
    assert picture.dtype == np.uint8 and picture.ndim == 2 and min(picture.shape) >= 6


def test_the_same_seed_gives_the_same_numbers(glyphs: strings.Glyphs, papers: paper.Papers) -> None:
    first, second, other = (strings.epoch(glyphs, papers, 8, [seed, 1], FRAME) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first[0].pictures, second[0].pictures, strict=True))
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


def test_a_given_label_is_written(glyphs: strings.Glyphs, papers: paper.Papers) -> None:
    """More digits make a wider number, by about as much as a digit is wide."""
    widths = []
    for text in ("7", "7777", "7777777"):
        framed = [FRAME(strings.compose(glyphs, papers, np.random.default_rng(s), text)[0]) for s in range(12)]
        widths.append(np.mean([f.shape[1] for f in framed]))
    assert widths[0] < 0.6 * widths[1] and widths[1] < 0.8 * widths[2]


@given(st.lists(st.text("0123456789", min_size=1, max_size=9), min_size=1, max_size=6))
def test_labels_are_encoded_digit_by_digit(labels: list[str]) -> None:
    encoded = strings.encode(labels)
    assert ["".join(str(d) for d in row if d >= 0) for row in encoded] == labels


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.integers(1, 8))
def test_batches_hold_each_row_once_and_widths_alike(widths: list[int], size: int) -> None:
    lines = strings.Lines([np.ones((4, w), np.uint8) for w in widths])
    batches = lines.batches(np.random.default_rng(0).permutation(len(widths)), size)
    assert sorted(np.concatenate(batches)) == list(range(len(widths)))
    for rows in batches:
        picture = lines[rows]
        assert picture.shape[2] >= max(widths[int(i)] for i in rows) and picture.shape[2] % 8 == 0
        assert [int(p[0].sum()) for p in picture] == [widths[int(i)] for i in rows]


def test_drawn_digits_fill_their_body_and_differ() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        drawn = [augment.ink(shapes.draw(digit, rng), rng) > 100 for _ in range(6)]
        assert all(20 < mask.any(1).sum() < 60 for mask in drawn)
        assert len({mask.tobytes() for mask in drawn}) == len(drawn)


def test_a_framed_line_has_its_height_and_proportion() -> None:
    assert FRAME(np.full((64, 200), 200, np.uint8)).shape == (32, 100)
    assert FRAME(np.full((64, 2), 200, np.uint8)).shape == (32, 8)
