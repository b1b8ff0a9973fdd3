"""The lattice: every piece of ink is in it, digits that touch can be cut, broken ones joined."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift.forms.cut.segment import Lattice, build, components, digit_height

Gray = npt.NDArray[np.uint8]


def written(digits: Gray, number: str, gap: int = 8) -> Gray:
    """Drawn digits side by side, light on black, `gap` pixels apart; less than 0 lets them overlap."""
    tight = []
    for digit in number:
        x, y, w, h = cv2.boundingRect(digits[int(digit)])
        tight.append(digits[int(digit)][y : y + h, x : x + w])
    width = sum(t.shape[1] + gap for t in tight) + 20
    line = np.zeros((44, width), np.uint8)
    x = 10
    for t in tight:
        h, w = t.shape
        part = line[10 : 10 + h, x : x + w]
        np.maximum(part, t, out=part)
        x += w + gap
    return line


def is_sound(lattice: Lattice, ink: Gray) -> None:
    """What holds of any lattice."""
    atoms, segments = lattice.atoms, lattice.segments
    assert [(s.first, s.last) for s in segments] == sorted({(s.first, s.last) for s in segments})
    assert {s.first for s in segments if s.last == s.first + 1} == set(range(len(atoms)))
    for segment in segments:
        assert 0 <= segment.first < segment.last <= len(atoms)
        boxes = np.array([atom.box for atom in atoms[segment.first : segment.last]])
        assert segment.box == (*boxes[:, :2].min(0), *boxes[:, 2:].max(0))
        x0, y0, x1, y1 = segment.box
        assert 0 <= x0 < x1 <= ink.shape[1] and 0 <= y0 < y1 <= ink.shape[0]
        assert segment.picture.shape == (y1 - y0, x1 - x0) and segment.picture.any()
        shown = segment.picture > 0
        assert np.array_equal(segment.picture[shown], ink[y0:y1, x0:x1][shown])
    alone = np.zeros(ink.shape, int)
    for s in segments:
        if s.last == s.first + 1:
            alone[s.box[1] : s.box[3], s.box[0] : s.box[2]] += s.picture > 0
    assert alone.max(initial=0) <= 1


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 60))))
def test_any_ink_gives_a_sound_lattice(mask: npt.NDArray[np.bool_]) -> None:
    ink = mask.astype(np.uint8) * 255
    is_sound(build(ink), ink)


@given(st.text("0123456789", min_size=1, max_size=6), st.integers(-6, 12))
def test_any_number_gives_a_sound_lattice(drawn_digits: Gray, number: str, gap: int) -> None:
    ink = written(drawn_digits, number, gap)
    lattice = build(ink)
    is_sound(lattice, ink)
    assert lattice.atoms


@given(st.text("0123456789", min_size=1, max_size=6))
def test_digits_apart_are_each_a_segment(drawn_digits: Gray, number: str) -> None:
    ink = written(drawn_digits, number)
    boxes = {s.box for s in build(ink).segments}
    _, stats = components(ink)
    assert len(stats) == len(number)
    for x, y, w, h, _ in stats.tolist():
        assert (x, y, x + w, y + h) in boxes


@pytest.mark.parametrize("number", ["00", "06", "38", "60", "806"])
def test_digits_that_touch_are_cut_near_where_they_meet(drawn_digits: Gray, number: str) -> None:
    ink = written(drawn_digits, number, gap=-2)
    assert len(components(ink)[1]) == 1
    edges = {s.box[2] for s in build(ink).segments} | {s.box[0] for s in build(ink).segments}
    x = 10
    for digit in number[:-1]:
        x += cv2.boundingRect(drawn_digits[int(digit)])[2] - 2
        assert min(abs(edge - x) for edge in edges) <= 3


def test_the_two_parts_of_a_broken_digit_can_be_read_as_one(drawn_digits: Gray) -> None:
    ink = written(drawn_digits, "4")
    x, y, w, h = cv2.boundingRect(ink)
    ink[:, x + w // 2 : x + w // 2 + 2] = 0
    assert len(components(ink)[1]) > 1
    assert (x, y, x + w, y + h) in {s.box for s in build(ink).segments}


def test_specks_are_left_out(drawn_digits: Gray) -> None:
    ink = written(drawn_digits, "7")
    ink[3, 3] = ink[30, 20] = 255
    assert len(build(ink).atoms) == len(build(written(drawn_digits, "7")).atoms)


def test_no_ink_gives_no_atoms() -> None:
    lattice = build(np.zeros((30, 50), np.uint8))
    assert lattice == Lattice((), (), 0.0)


def test_the_digit_height_is_that_of_digits_not_of_commas(drawn_digits: Gray) -> None:
    ink = written(drawn_digits, "3852")
    height = digit_height(components(ink)[1])
    ink[30:36, 24:27] = 255
    assert digit_height(components(ink)[1]) == pytest.approx(height, abs=2)
