"""The recognition model of PP-OCRv6 as a reader of digits."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift.datasets.formats import read_ragged
from inkshift.errors import MissingExtraError, ModelError
from inkshift.models import ctc, pp_ocr

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def read() -> pp_ocr.LineRecogniser:
    try:
        return pp_ocr.recogniser()
    except MissingExtraError as e:
        pytest.skip(str(e))


def number(text: str, width: int = 220) -> Pixels:
    picture = np.full((50, width), 235, np.uint8)
    cv2.putText(picture, text, (12, 38), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (30,), 2, cv2.LINE_AA)
    return picture


def greedy(probabilities: ctc.LineProbabilities) -> str:
    return ctc.collapse(probabilities.argmax(axis=1))


def installed_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lets rapidocr be found in `folder`; returns where its model is to lie."""
    found = ModuleSpec("rapidocr", None, is_package=True)
    found.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(pp_ocr.importlib.util, "find_spec", lambda name: found)
    (folder / "models").mkdir()
    return folder / pp_ocr.FILE


def test_printed_numbers_are_read_in_the_order_given(read: pp_ocr.LineRecogniser) -> None:
    texts = ["40271", "7", "935", "60218834", "55", "128"]
    pictures = [number(text, 60 + 28 * len(text)) for text in texts]
    assert [greedy(one) for one in read(pictures)] == texts


def test_each_step_is_a_distribution_over_digits_and_blank(read: pp_ocr.LineRecogniser) -> None:
    for one in read([number("382"), np.zeros((9, 4), np.uint8), number("1234567890", 900)]):
        assert one.dtype == np.float32
        assert one.shape[1] == 11
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-5)
        assert one.min() >= 0


def test_a_step_is_eight_pixels_of_a_field_at_least_320_wide(read: pp_ocr.LineRecogniser) -> None:
    shapes = [(48, 20), (48, 320), (48, 321), (96, 900), (2, 2000)]
    steps = [len(one) for one in read([np.full(shape, 255, np.uint8) for shape in shapes])]
    assert steps == [40, 40, 48, 64, 400]


def test_a_reading_does_not_depend_on_what_is_read_beside_it(read: pp_ocr.LineRecogniser) -> None:
    pictures = [number("382"), number("40", 90), number("60218834", 500), number("55")]
    together = read(pictures)
    for picture, one in zip(pictures, together, strict=True):
        np.testing.assert_allclose(read([picture])[0], one, atol=1e-4)


def test_gray_and_its_copy_in_three_channels_read_alike(read: pp_ocr.LineRecogniser) -> None:
    picture = number("7046")
    gray, colour = read([picture, np.repeat(picture[..., None], 3, axis=2)])
    np.testing.assert_allclose(gray, colour, atol=1e-4)


def test_colour_is_taken_as_rgb() -> None:
    red = np.zeros((48, 48, 3), np.uint8)
    red[..., 0] = 255
    assert pp_ocr._field(red, 48, 320)[:, 0, 0].tolist() == [-1, -1, 1]


def test_other_characters_are_struck_out_or_count_as_what_they_mean() -> None:
    meaning = pp_ocr._meaning(["", "0", "7", "O", "é"], {"O": [0.9, *[0.0] * 9, 0.1]})
    output = np.array([[[0.2, 0.0, 0.1, 0.4, 0.3], [0.0] * 5]], np.float32)
    first, second = pp_ocr._scaled(output @ meaning)[0]
    assert first.tolist() == pytest.approx([0.36 / 0.7, *[0] * 6, 0.1 / 0.7, 0, 0, 0.24 / 0.7])
    assert second.tolist() == [0] * 10 + [1]


def test_no_pictures_give_no_readings(read: pp_ocr.LineRecogniser) -> None:
    assert read([]) == []


def test_code_of_rapidocr_is_not_imported(read: pp_ocr.LineRecogniser) -> None:
    read([number("1")])
    assert "rapidocr" not in sys.modules


def test_without_rapidocr_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pp_ocr.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[pp-ocr\]'"):
        pp_ocr.recogniser()


def test_a_wheel_without_the_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = installed_in(tmp_path, monkeypatch)
    with pytest.raises(ModelError, match=path.name):
        pp_ocr.recogniser()


def test_a_damaged_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = installed_in(tmp_path, monkeypatch)
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=path.name):
        pp_ocr.recogniser()


def test_written_numbers_are_read(read: pp_ocr.LineRecogniser, shared_data: Path) -> None:
    images, arrays = read_ragged(shared_data / "composed/clean.npz")
    right = [greedy(one) == label for one, label in zip(read(images[:40]), arrays["labels"][:40], strict=True)]
    assert np.mean(right) >= 0.9
