"""The recognition model of PP-OCRv6 (small) inside the rapidocr wheel, run as it is by ONNX Runtime; no torch.

Nothing of rapidocr's own code is imported: its file is found, and pictures are prepared as rapidocr prepares them.
The model is PaddleOCR's, Apache-2.0, with 18,708 characters; here it reads digits only.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from inkshift.arrays import Pixels
from inkshift.errors import MissingExtraError, ModelError, how_to_install
from inkshift.models.ctc import LineProbabilities

LineRecogniser = Callable[[Sequence[Pixels]], list[LineProbabilities]]

MEANINGS = Path(__file__).with_name("pp_ocr.json")
PACKAGE, FILE = "rapidocr", "models/PP-OCRv6_rec_small.onnx"

# As rapidocr prepares pictures: 48 pixels high, on a field at least 320 wide. Beyond that its field is as wide as the
# widest of a batch; here it grows in steps, so that a reading does not depend on what was read beside it. PaddleOCR
# squeezes what would be wider than 3200.
_HEIGHT, _FIELD, _STEP, _WIDEST = 48, 320, 64, 3200
_BATCH = 6


def model_file() -> Path:
    """The ONNX file inside the installed rapidocr wheel.

    Raises MissingExtraError where rapidocr is not installed, ModelError where its wheel has no such file.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("pp-ocr", "the reader pp-ocrv6")
    path = Path(found.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise ModelError(
            f"{path}: the model of rapidocr 3.10.0 is not there; run  {how_to_install('pp-ocr', again=True)}"
        )
    return path


def recogniser() -> LineRecogniser:
    """A function from pictures of one number each, as cut from the page, to what each time step shows.

    Pictures are (H, W) or (H, W, 3) RGB uint8, dark ink, H and W at least 1; there may be none. Each gives (T, 11)
    float32 whose rows sum to 1: columns 0 to 9 the digits, column 10 the CTC blank. T is an eighth of the field's
    width, thus at least 40. What the model takes for one of the characters in `pp_ocr.json`, such as a separator or
    an O, counts as what is written where it sees one, as counted on composed numbers (`benchmarks/fit_pp_ocr.py`).
    All other characters are struck out, and the rest is scaled to sum to 1 in each step. Raises MissingExtraError and
    ModelError as `model_file` does, and ModelError where the file is not that model.
    """
    session = _session(model_file())
    meaning = _meaning(characters(session), json.loads(MEANINGS.read_text(encoding="utf-8"))["meanings"])
    name = session.get_inputs()[0].name

    def run(pictures: Sequence[Pixels]) -> list[LineProbabilities]:
        widths = [_widths(*picture.shape[:2]) for picture in pictures]
        read: dict[int, LineProbabilities] = {}
        order = sorted(range(len(pictures)), key=lambda i: widths[i][1])
        for alike in [list(group) for _, group in groupby(order, key=lambda i: widths[i][1])]:
            for rows in [alike[i : i + _BATCH] for i in range(0, len(alike), _BATCH)]:
                output = session.run(None, {name: np.stack([_field(pictures[i], *widths[i]) for i in rows])})[0]
                read.update(zip(rows, _scaled(output @ meaning), strict=True))
        return [read[i] for i in range(len(pictures))]

    return run


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({str(e).splitlines()[0]})") from None


def characters(session: onnxruntime.InferenceSession) -> list[str]:
    """What each class of the model's output is: "" for the blank, the listed characters, a space."""
    listed = session.get_modelmeta().custom_metadata_map.get("character", "").split("\n")
    if not set("0123456789") <= set(listed):
        raise ModelError(
            f"{model_file()}: expected a list of characters with the ten digits in its metadata, found none; "
            f"run  {how_to_install('pp-ocr', again=True)}"
        )
    return ["", *listed, " "]


def _meaning(known: Sequence[str], meanings: Mapping[str, Sequence[float]]) -> npt.NDArray[np.float32]:
    """(classes, 11): the share of each class that goes to each digit and to the blank."""
    out = np.zeros((len(known), 11), np.float32)
    for at, character in enumerate(known):
        if character in ("", *"0123456789"):
            out[at, int(character or 10)] = 1
        elif character in meanings:
            out[at] = meanings[character]
    return out


def _widths(height: int, width: int) -> tuple[int, int]:
    """Pixels of a picture's width when it is 48 high, and of the field that it is put on."""
    scaled = min(math.ceil(_HEIGHT * width / height), _WIDEST)
    return scaled, max(_FIELD, math.ceil(scaled / _STEP) * _STEP)


def _field(picture: Pixels, scaled: int, width: int) -> npt.NDArray[np.float32]:
    """(3, 48, width) float32 from -1 black to 1 white, blue first, the picture at its left and 0 beside it."""
    resized = cv2.resize(np.ascontiguousarray(picture), (scaled, _HEIGHT)).astype(np.float32) / 127.5 - 1
    field = np.zeros((3, _HEIGHT, width), np.float32)
    field[:, :, :scaled] = resized if resized.ndim == 2 else resized[..., ::-1].transpose(2, 0, 1)
    return field


def _scaled(kept: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (N, T, 11) scaled to sum to 1; the blank where none of the eleven has any."""
    kept[..., -1] = np.maximum(kept[..., -1], np.finfo(np.float32).tiny)
    return np.asarray(kept / kept.sum(axis=-1, keepdims=True), np.float32)
