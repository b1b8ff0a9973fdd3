"""One reader over one set of pictures, in a process of its own and in its own environment. Run by `peers.py`.

    python peers_worker.py KIND SETTINGS PICTURES.npz OUTCOME.json

SETTINGS is JSON. The outcome holds, for each picture, its numbers from top to bottom as [text, confidence]; seconds of
reading alone; peak memory in MB; versions. Or it holds why the reader is not available, as `error`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

Numbers = list[tuple[str, float]]
DIGITS = "0123456789"


class Opened(NamedTuple):
    """A reader with its model loaded. start_up: seconds of each call of `read` that are not reading."""

    read: Callable[[list[np.ndarray]], list[Numbers]]
    versions: str
    start_up: float = 0.0


class NotAvailable(Exception):
    """A reader that is not installed or not known here."""


def inkshift(read_as: str, one_view: bool = False, **settings: Any) -> Opened:
    """Ours, a picture at a time; of a column the rows that are written. one_view: of five, to see what they cost."""
    from inkshift import Reader
    from inkshift.errors import InkshiftError
    from inkshift.forms.field.numbers import ONE

    try:
        reader = Reader(read_as=read_as, **settings)  # type: ignore[arg-type]
    except (InkshiftError, TypeError) as e:
        raise NotAvailable(str(e)) from None
    if one_view and reader._numbers:
        reader._numbers = replace(reader._numbers, views=ONE)

    def read(images: list[np.ndarray]) -> list[Numbers]:
        pages = [reader.read_page(image).fields for image in images]
        return [
            [(f.value, f.confidence) for f in fields if read_as != "column" or f.state == "written"] for fields in pages
        ]

    return Opened(read, versions("inkshift", "onnxruntime", "opencv-python-headless", "numpy"))


def masked() -> Opened:
    """PP-OCRv6's recognition model, its CTC output masked to the ten digits and decoded greedily.

    Prepared in batches of six by width, as rapidocr does. Confidence: the probability of the path.
    """
    import onnxruntime

    found = find_spec("rapidocr")
    if found is None or not found.submodule_search_locations:
        raise NotAvailable("rapidocr is not installed; run  make bench-peers")
    path = Path(found.submodule_search_locations[0]) / "models/PP-OCRv6_rec_small.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    characters = ["", *session.get_modelmeta().custom_metadata_map["character"].split("\n")]
    columns = [0, *(characters.index(digit) for digit in DIGITS)]
    name = session.get_inputs()[0].name

    def read(images: list[np.ndarray]) -> list[Numbers]:
        order = sorted(range(len(images)), key=lambda i: images[i].shape[1] / images[i].shape[0])
        results: list[Numbers] = [[] for _ in images]
        for rows in (order[i : i + 6] for i in range(0, len(order), 6)):
            width = max(320, *(math.ceil(48 * images[i].shape[1] / images[i].shape[0]) for i in rows))
            output = session.run(None, {name: np.stack([prepared(images[i], width) for i in rows])})[0]
            for i, steps in zip(rows, output[:, :, columns], strict=True):
                results[i] = [greedy(steps / steps.sum(axis=1, keepdims=True))]
        return results

    return Opened(read, versions("rapidocr", "onnxruntime", "opencv-python-headless", "numpy"))


def prepared(image: np.ndarray, width: int) -> np.ndarray:
    """(3, 48, width) float32 as rapidocr makes it: -1 to 1, blue first, the rest of the width 0."""
    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    resized = cv2.resize(colour, (math.ceil(48 * image.shape[1] / image.shape[0]), 48))
    out = np.zeros((3, 48, width), np.float32)
    out[:, :, : resized.shape[1]] = (resized.astype(np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5
    return out


def greedy(steps: np.ndarray) -> tuple[str, float]:
    """Text and path probability of (T, 11) whose first column is the blank."""
    best = steps.argmax(axis=1)
    kept = [b for i, b in enumerate(best) if b and (i == 0 or best[i - 1] != b)]
    return "".join(DIGITS[b - 1] for b in kept), float(steps.max(axis=1).prod())


def rapidocr(whole: bool) -> Opened:
    """rapidocr's own interface, the digits of its text. whole: with its detection and turning of lines.

    Confidence: the lowest of its scores.
    """
    if find_spec("rapidocr") is None:
        raise NotAvailable("rapidocr is not installed; run  make bench-peers")
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={"Global.log_level": "critical", **threads})

    def read(images: list[np.ndarray]) -> list[Numbers]:
        results = []
        for image in images:
            colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
            found = engine(colour, use_det=whole, use_cls=whole, use_rec=True)
            text = "".join(c for piece in found.txts or () for c in piece if c in DIGITS)
            results.append([(text, float(min(found.scores or (0.0,))))])
        return results

    return Opened(read, versions("rapidocr", "onnxruntime", "opencv-python-headless", "numpy"))


def tesseract() -> Opened:
    """Debian's binary over a list of uncompressed pictures, so that it loads once. Confidence: its lowest word's."""
    if shutil.which("tesseract") is None:
        raise NotAvailable("no tesseract on this machine; run  apt-get install tesseract-ocr")

    def read(images: list[np.ndarray]) -> list[Numbers]:
        with tempfile.TemporaryDirectory() as folder:
            kinds = ["pgm" if image.ndim == 2 else "ppm" for image in images]
            files = [Path(folder) / f"{i}.{kind}" for i, kind in enumerate(kinds)]
            for file, image in zip(files, images, strict=True):
                cv2.imwrite(str(file), image if image.ndim == 2 else image[..., ::-1])
            listed = Path(folder) / "list.txt"
            listed.write_text("".join(f"{file}\n" for file in files))
            settings = ["--psm", "7", "-c", f"tessedit_char_whitelist={DIGITS}"]
            command = ["tesseract", str(listed), "stdout", *settings, "tsv"]
            table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        words: list[Numbers] = [[] for _ in images]
        for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["level"] == "5":
                words[int(row["page_num"]) - 1].append((row["text"].strip(), float(row["conf"]) / 100))
        return [[("".join(text for text, _ in one), min((c for _, c in one), default=0.0))] for one in words]

    blank = [np.full((32, 64), 255, np.uint8)]
    read(blank)
    start = time.perf_counter()
    read(blank)
    start_up = time.perf_counter() - start
    said = subprocess.run(["tesseract", "--version"], check=True, capture_output=True, text=True).stdout
    return Opened(read, said.splitlines()[0], start_up)


def versions(*names: str) -> str:
    def one(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} of another build"

    return ", ".join(map(one, names))


def load(path: str) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        pixels, shapes, offsets = file["pixels"], file["shapes"], file["offsets"]
    return [
        pixels[a:b].reshape([n for n in shape if n])
        for a, b, shape in zip(offsets[:-1], offsets[1:], shapes, strict=True)
    ]


KINDS: dict[str, Callable[..., Opened]] = {
    "inkshift": inkshift,
    "masked": masked,
    "rapidocr": rapidocr,
    "tesseract": tesseract,
}


def outcome(kind: str, settings: dict[str, Any], images: list[np.ndarray]) -> dict[str, Any]:
    try:
        opened = KINDS[kind](**settings)
    except NotAvailable as e:
        return {"error": str(e)}
    opened.read(images[:1])
    start = time.perf_counter()
    numbers = opened.read(images)
    seconds = time.perf_counter() - start - opened.start_up
    who = resource.RUSAGE_CHILDREN if kind == "tesseract" else resource.RUSAGE_SELF
    megabytes = resource.getrusage(who).ru_maxrss / 1024
    return {"numbers": numbers, "seconds": seconds, "megabytes": megabytes, "versions": opened.versions}


def main() -> None:
    kind, settings, pictures, out = sys.argv[1:]
    os.environ.update(OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="1")
    cv2.setNumThreads(1)
    Path(out).write_text(json.dumps(outcome(kind, json.loads(settings), load(pictures))), encoding="utf-8")


if __name__ == "__main__":
    main()
