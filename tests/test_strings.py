"""Numbers composed from digits: seeded, whole, labelled with what is written on them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkshift.datasets.synth import augment, marks, paper, shapes, strings
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
def test_a_number_has_digits_and_marks_and_a_picture(glyphs: strings.Glyphs, papers: paper.Papers, seed: int) -> None:
    picture, label = strings.compose(glyphs, papers, np.random.default_rng(seed))
    assert set(label) <= set(strings.SYMBOLS) and "  " not in label
    assert len(strings.digits_of(label)) <= strings.LONGEST + 6
    assert picture.dtype == np.uint8 and picture.ndim == 2 and min(picture.shape) >= 6


def test_the_same_seed_gives_the_same_numbers(glyphs: strings.Glyphs, papers: paper.Papers) -> None:
    first, second, other = (strings.epoch(glyphs, papers, 8, [seed, 1], FRAME) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first[0].pictures, second[0].pictures, strict=True))
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


@given(seed=st.integers(0, 2**32 - 1), text=st.text("0123456789", min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_a_given_number_keeps_all_its_digits(
    glyphs: strings.Glyphs, papers: paper.Papers, seed: int, text: str
) -> None:
    _, label = strings.compose(glyphs, papers, np.random.default_rng(seed), text)
    assert strings.digits_of(label) == text and not set(label) & {" "}
    assert strings.compose_digits(glyphs, papers, np.random.default_rng(seed), text)[1] == text


def test_every_mark_is_drawn_now_and_then(glyphs: strings.Glyphs, papers: paper.Papers) -> None:
    rng = np.random.default_rng(3)
    labels = [strings.compose(glyphs, papers, rng)[1] for _ in range(500)]
    seen = {mark: sum(mark in label for label in labels) for mark in marks.MARKS}
    assert min(seen.values()) >= 3, seen
    assert sum(label == "" for label in labels) >= 5


def test_some_fields_are_empty_and_some_numbers_stand_in_a_wide_line(
    glyphs: strings.Glyphs, papers: paper.Papers
) -> None:
    """Of 1,500, 2 to 6 % hold nothing at all, wide ones and narrow ones; and some short numbers have much room."""
    rng = np.random.default_rng(4)
    made = [strings.compose(glyphs, papers, rng) for _ in range(1500)]
    empty = [picture.shape[1] / picture.shape[0] for picture, label in made if not label]
    assert 30 < len(empty) < 90 and min(empty) < 1.2 and max(empty) > 3
    short = [picture.shape[1] / picture.shape[0] for picture, label in made if len(label) == 2 and label.isdigit()]
    assert np.median(short) < 2 and max(short) > 3.5


def test_a_writer_is_never_mixed_with_another(papers: paper.Papers) -> None:
    """Two writers whose digits are bars and rings: a number is all bars or all rings."""
    packed = [augment.pack(augment.strokes([np.array([[0.5, 0], [0.5, 1]])], 2.0)) for _ in range(10)]
    turn = np.linspace(0, 2 * np.pi, 40)
    ring = 0.5 + 0.5 * np.stack([np.sin(turn), np.cos(turn)], 1)
    packed += [augment.pack(augment.strokes([ring], 2.0)) for _ in range(10)]
    labels = np.tile(np.arange(10), 2)
    both = strings.make_glyphs(np.stack(packed), labels, [10, 10], [0.5, 0.5], writers=[0, 1])
    widths = []
    for seed in range(40):
        dice = augment.Dice(np.random.default_rng(seed))
        source = strings._source(both, dice)
        rows = [strings._glyph(both, source, symbol, {}, dice) for symbol in "0123456789" * 3]
        assert {row // 10 for row in rows} == {source}
        widths.append(source)
    assert set(widths) == {0, 1}


def test_dice_follow_from_their_generator_and_spread_evenly() -> None:
    one, two = (augment.Dice(np.random.default_rng(4)) for _ in range(2))
    drawn = [one.uniform(-1, 3) for _ in range(4000)]
    assert drawn == [two.uniform(-1, 3) for _ in range(4000)]
    assert -1 <= min(drawn) < -0.98 and 2.98 < max(drawn) <= 3 and abs(np.mean(drawn) - 1) < 0.1
    bell = [one.normal(5, 2) for _ in range(4000)]
    assert abs(np.mean(bell) - 5) < 0.15 and abs(np.std(bell) - 2) < 0.15
    assert {one.below(3) for _ in range(100)} == {0, 1, 2}


@given(st.integers(0, 9), st.integers(0, 1000))
def test_a_sharp_map_is_the_map_near_its_stroke(digit: int, seed: int) -> None:
    map_ = shapes.draw(digit, np.random.default_rng(seed))
    sharp = augment.sharpen(augment.pack(map_)).astype(np.float32)
    back = np.pad((sharp - 128) / 20, 6, constant_values=-6.4)
    near = np.abs(map_) < 6
    near[:6] = near[-6:] = near[:, :6] = near[:, -6:] = False
    assert back.shape == map_.shape and np.abs(back - map_)[near].max() <= 1 / 12 + 1 / 40 + 1e-6


def test_a_given_label_is_written(glyphs: strings.Glyphs, papers: paper.Papers) -> None:
    """More digits make a wider number, by about as much as a digit is wide."""
    widths = []
    for text in ("7", "7777", "7777777"):
        framed = [FRAME(strings.compose(glyphs, papers, np.random.default_rng(s), text)[0]) for s in range(48)]
        widths.append(np.median([f.shape[1] for f in framed]))
    assert widths[0] < 0.6 * widths[1] and widths[1] < 0.8 * widths[2]


@given(st.lists(st.text(strings.SYMBOLS, min_size=1, max_size=9), min_size=1, max_size=6))
def test_labels_are_encoded_digit_by_digit(labels: list[str]) -> None:
    encoded = strings.encode(labels)
    assert ["".join(strings.SYMBOLS[d] for d in row if d >= 0) for row in encoded] == labels


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.integers(1, 8))
def test_batches_hold_each_row_once_and_widths_alike(widths: list[int], size: int) -> None:
    lines = strings.Lines([np.ones((4, w), np.uint8) for w in widths])
    batches = lines.batches(np.random.default_rng(0).permutation(len(widths)), size)
    assert sorted(np.concatenate(batches)) == list(range(len(widths)))
    for rows in batches:
        picture = lines[rows]
        assert picture.shape[2] >= max(widths[int(i)] for i in rows) and picture.shape[2] % 8 == 0
        assert [int(p[0].sum()) for p in picture] == [widths[int(i)] for i in rows]


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 6), body=st.floats(10, 40), seed=st.integers(0, 2**32 - 1))
def test_zeros_in_a_chain_are_one_stroke_as_long_as_there_are_zeros(count: int, body: float, seed: int) -> None:
    make = [
        marks.zeros(n, body, 0.08 * body, 0.1, augment.Dice(np.random.default_rng(seed))) for n in (count, 2 * count)
    ]
    assert all(cv2.connectedComponents((chain > 100).astype(np.uint8))[0] == 2 for chain in make)
    assert make[1].shape[1] > 1.3 * make[0].shape[1]
    assert 0.6 * body < make[0].shape[0] < 1.6 * body


def test_a_one_leans_as_its_hand_has_it(glyphs: strings.Glyphs) -> None:
    hand = replace(strings.draw_hand(augment.Dice(np.random.default_rng(0)), "11"), slant=0.0, pen=0.06)
    upright, leaning = (
        [
            strings._render(glyphs, row, hand, augment.Dice(np.random.default_rng(1)), one=one)
            for row in glyphs.rows[0, 1]
        ]
        for one in (0.0, 0.5)
    )
    for straight, slanted in zip(upright, leaning, strict=True):
        assert strings._lean(slanted) > strings._lean(straight) + 0.25


def test_drawn_digits_fill_their_body_and_differ() -> None:
    rng = np.random.default_rng(1)
    for digit in range(10):
        drawn = [augment.ink(shapes.draw(digit, rng), rng) > 100 for _ in range(6)]
        assert all(20 < mask.any(1).sum() < 60 for mask in drawn)
        assert len({mask.tobytes() for mask in drawn}) == len(drawn)


def test_a_framed_line_has_its_height_and_proportion() -> None:
    assert FRAME(np.full((64, 200), 200, np.uint8)).shape == (32, 100)
    assert FRAME(np.full((64, 2), 200, np.uint8)).shape == (32, 8)
