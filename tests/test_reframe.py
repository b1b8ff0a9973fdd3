"""Reframing: any picture in, the same framed digit out, whatever it was printed on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkshift.datasets.formats import read_idx
from inkshift.errors import SettingError
from inkshift.reframe import ground_of, parse, percentile_of, to_gray

Gray = npt.NDArray[np.uint8]
SHIPPED = "gray|light_ink|stretch|trim|square|margin(0.2)|resize(28)|center_mass"
PLAIN = ("gray", "invert", "light_ink", "binarize", "stretch", "trim", "square", "center_mass", "deslant")
steps = st.one_of(
    st.sampled_from(PLAIN),
    st.floats(0, 0.5).map(lambda x: f"margin({x:.2f})"),
    st.integers(1, 64).map(lambda n: f"resize({n})"),
)
pipelines = st.lists(steps, min_size=1, max_size=5).map("|".join)


@st.composite
def pictures(draw: st.DrawFn) -> npt.NDArray[Any]:
    """Any picture that `to_gray` takes: gray, gray with alpha, RGB, RGBA; four kinds of pixels."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    channels = draw(st.sampled_from([(), (1,), (2,), (3,), (4,)]))
    kind = draw(st.sampled_from([np.bool_, np.uint8, np.uint16, np.float32, np.float64]))
    values = st.floats(0, 1, width=32) if np.dtype(kind).kind == "f" else None
    return draw(hnp.arrays(np.dtype(kind), (height, width, *channels), elements=values))


two_tone = hnp.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))
grays = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@given(pictures(), pipelines)
def test_any_picture_through_any_steps_is_gray_bytes(picture: npt.NDArray[Any], text: str) -> None:
    out = parse(text)(picture)
    assert out.ndim == 2 and out.size > 0 and out.dtype == np.uint8 and out.flags.c_contiguous


@given(pictures())
def test_a_shipped_reframing_always_gives_28_by_28(picture: npt.NDArray[Any]) -> None:
    assert parse(SHIPPED)(picture).shape == (28, 28)


@given(pipelines, st.lists(st.sampled_from(["", " ", "  "]), min_size=2, max_size=2))
def test_a_reframing_prints_back_as_it_was_written(text: str, spaces: list[str]) -> None:
    spaced = text.replace("|", f"{spaces[0]}|{spaces[1]}")
    assert str(parse(spaced)) == spaced
    assert parse(spaced).steps == parse(text).steps


@given(pipelines, pipelines, grays)
def test_joining_is_doing_one_after_the_other(first: str, second: str, picture: Gray) -> None:
    joined = parse(first) | parse(second)
    assert str(joined) == f"{first}|{second}"
    assert np.array_equal(joined(picture), parse(f"{first}|{second}")(picture))


@pytest.mark.parametrize("step", ["gray", "light_ink", "binarize", "stretch", "trim", "square", "resize(28)"])
@given(picture=grays)
def test_doing_it_twice_changes_nothing(step: str, picture: Gray) -> None:
    assert np.array_equal(parse(f"{step}|{step}")(picture), parse(step)(picture))


@given(two_tone)
def test_centring_twice_changes_nothing_and_cuts_no_ink_off(ink: npt.NDArray[np.bool_]) -> None:
    once = parse("center_mass")(ink, ground=0)
    assert np.array_equal(parse("center_mass|center_mass")(ink, ground=0), once)
    assert np.count_nonzero(once) == np.count_nonzero(ink)


@given(two_tone, st.sampled_from(["square", "margin(0.3)", "trim"]))
def test_steps_that_pad_or_trim_keep_all_ink(ink: npt.NDArray[np.bool_], step: str) -> None:
    assert np.count_nonzero(parse(step)(ink, ground=0)) == np.count_nonzero(ink)


def test_ink_comes_out_light_whichever_way_it_was_printed(drawn_digits: Gray) -> None:
    frame = parse("light_ink")
    for digit in drawn_digits:
        assert np.array_equal(frame(digit), digit)
        assert np.array_equal(frame(255 - digit), digit)
        assert ground_of(255 - digit) == 255 and ground_of(digit) == 0


def test_transparent_is_paper() -> None:
    picture = np.zeros((6, 6, 4), np.uint8)
    picture[2:4, 2:4, 3] = 255
    assert np.array_equal(to_gray(picture) == 0, picture[..., 3] == 255)
    assert to_gray(picture).max() == 255


def test_after_gives_the_rest_of_the_steps() -> None:
    assert str(parse(SHIPPED).after("trim")) == "trim|square|margin(0.2)|resize(28)|center_mass"
    assert parse(SHIPPED).after("deslant").steps == parse(SHIPPED).steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gray|tirm", "no step 'tirm'.*did you mean 'trim'"),
        ("margin", "margin takes a number from 0 to 2, found 'margin'"),
        ("margin(3)", "margin takes a number from 0 to 2, found 3"),
        ("trim(2)", "trim takes no number"),
        ("resize(2.5)", "resize takes a whole number from 1 to 1024, found 2.5"),
        ("resize(0)", "from 1 to 1024"),
        ("", "must read like trim or margin"),
        ("gray||trim", "must read like trim or margin"),
        ("margin(-1)", "must read like trim or margin"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parse(text)


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 5), (2, 2, 3, 1)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingError, match="a picture is"):
        parse("gray")(np.zeros(shape, np.uint8))


def test_pixels_of_another_kind_are_refused() -> None:
    with pytest.raises(SettingError, match="int32"):
        parse("gray")(np.zeros((3, 3), np.int32))


def printed(digit: Gray, how: str) -> npt.NDArray[Any]:
    """The digit on a page of 90 x 70, one and a half times as large, cut out with paper around it."""
    glyph = cv2.resize(digit, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    ink = np.zeros((90, 70), np.float32)
    ink[20 : 20 + glyph.shape[0], 15 : 15 + glyph.shape[1]] = glyph
    paper, pen = (30, 220) if how == "light on dark" else (225, 40)
    page = np.rint(paper + (pen - paper) * ink).astype(np.uint8)
    if how == "16 bits":
        return page.astype(np.uint16) * 257
    if how == "bilevel":
        return ink < 0.5
    if how == "RGBA":
        alpha = np.rint(255 * ink).astype(np.uint8)
        return np.dstack([np.full((90, 70, 3), 40, np.uint8), alpha])
    return np.repeat(page[..., None], 3, 2) if how == "RGB" else page


def correlation(a: Gray, b: Gray) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


WAYS = ("dark on light", "light on dark", "16 bits", "bilevel", "RGBA", "RGB")


def closeness(digits: Gray, how: str) -> list[float]:
    """For each digit the correlation with what comes back, shifted by a pixel at most."""
    frame, shifts = parse(SHIPPED), list(itertools.product((-1, 0, 1), repeat=2))
    back = [(frame(printed(digit, how)), digit) for digit in digits]
    return [max(correlation(np.roll(out, shift, (0, 1)), digit) for shift in shifts) for out, digit in back]


@pytest.mark.parametrize("how", WAYS)
def test_a_printed_mnist_digit_comes_back_near_itself(how: str, shared_data: Path) -> None:
    alike = closeness(read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")[:200], how)
    assert np.median(alike) > 0.95
    assert min(alike) > 0.85


@pytest.mark.parametrize("how", WAYS)
def test_a_printed_digit_comes_back_near_itself(how: str, drawn_digits: Gray) -> None:
    framed = np.stack([parse(SHIPPED)(digit) for digit in drawn_digits])
    assert min(closeness(framed, how)) > 0.85


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.floats(0, 100))
def test_percentiles_of_gray_levels_are_those_of_numpy(levels: Gray, percent: float) -> None:
    assert percentile_of(levels, percent) == pytest.approx(float(np.percentile(levels, percent)), abs=1e-6)
