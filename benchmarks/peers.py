"""Our readers and others on the same numbers, in turn, one thread each. Run by `make bench-peers`.

    python benchmarks/peers.py [--sets NAME ...] [--readers NAME ...] [--limit N] [--errors] [--gallery [FOLDER]]
                               [--out docs/results/peers.md]

Needs the data sets in $INKSHIFT_DATA or ../shared/data; one that is absent is left out and named, and so is a reader
that is not installed. The others run in an environment of their own, .venv-peers, which `make bench-peers` makes.
What each reader read is left in out/peers. Whatever it prints it can also write as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from bench_read import machine
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.errors import DataError
from inkshift.forms.reading import value_of
from peers_metrics import ERRORS, Measures, Read, beside, measure
from printed import options, show

HERE = Path(__file__).parent
OUTCOMES = Path("out/peers")
PEERS_PYTHON = HERE.parent / ".venv-peers/bin/python"

# Keyword arguments of inkshift.Reader. The first is the one whose wrong numbers are listed and drawn.
OURS: dict[str, dict[str, Any]] = {
    "inkshift": {},
    "inkshift+pp-ocrv6": {"second_reader": "pp-ocrv6"},
    "one view": {"one_view": True},
    "digit by digit": {"model": "digits"},
    "as published": {"method": "as-published"},
}
# Kind and settings of peers_worker.py. The first is the one that speed is measured against.
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "pp-ocrv6": ("masked", {}),
    "rapidocr-line": ("rapidocr", {"whole": False}),
    "rapidocr": ("rapidocr", {"whole": True}),
    "tesseract": ("tesseract", {}),
}
BASE = next(iter(PEERS))
TITLES = {
    "inkshift": "inkshift, as it comes",
    "inkshift+pp-ocrv6": "inkshift with PP-OCRv6 as second reader",
    "one view": "inkshift, one view instead of five",
    "digit by digit": "inkshift with the model `digits`",
    "as published": "inkshift, method as-published",
    "pp-ocrv6": "PP-OCRv6 small, masked to digits",
    "rapidocr-line": "rapidocr's interface, recognition only",
    "rapidocr": "rapidocr's interface, as it comes",
    "tesseract": "Tesseract, digits only, page mode 7",
}
# Readers that take seconds a picture read the first so many of a set.
SLOW = {"rapidocr": 10}
# Peers and ours take turns.
ORDER = ["pp-ocrv6", "inkshift", "rapidocr-line", "inkshift+pp-ocrv6", "rapidocr", "tesseract"]
READERS = [*ORDER, *(name for name in (*OURS, *PEERS) if name not in ORDER)]

# Where the four numbers of each column of Form 34A part, in pixels from the top, by eye: of unequal rows, some columns
# have an empty, a dashed or a struck-out one above, and all have such below.
FORM_34A = (
    (82, 222, 320, 415, 538),
    (176, 278, 376, 468, 570),
    (296, 396, 479, 560, 652),
    (196, 293, 386, 466, 562),
    (196, 306, 386, 484, 568),
    (118, 250, 348, 438, 528),
)


class Pictures(NamedTuple):
    """images: (H, W) or (H, W, 3) uint8. labels: for each image its numbers from top to bottom."""

    images: list[np.ndarray]
    labels: list[list[str]]


def numbers(file: str) -> Pictures:
    """Pictures of one number each; of `written` cells the digits. What is marked doubtful is left out."""
    images, arrays = read_ragged(catalog.data_root() / file)
    kept = np.flatnonzero(~arrays["doubtful"]) if "doubtful" in arrays else range(len(images))
    return Pictures([images[i] for i in kept], [[value_of(str(arrays["labels"][i]))] for i in kept])


def columns() -> Pictures:
    images, arrays = read_ragged(catalog.data_root() / "form34a/columns.npz")
    return Pictures(images, [[str(label) for label in row] for row in arrays["labels"]])


def rows() -> Pictures:
    images, labels = columns()
    if len(images) != len(FORM_34A):
        raise DataError(f"form34a: rows are cut by eye for {len(FORM_34A)} columns, found {len(images)}")
    cut = [image[a:b] for image, at in zip(images, FORM_34A, strict=True) for a, b in pairwise(at)]
    return Pictures(cut, [[label] for four in labels for label in four])


# name: title, what Reader is told that each picture shows, the pictures
SETS: dict[str, tuple[str, str, Callable[[], Pictures]]] = {
    "orand": ("ORAND-CAR-A amounts", "number", lambda: numbers("orand_car_a/numbers.npz")),
    "c1": ("C1 fields, cut out", "number", lambda: numbers("c1/fields.npz")),
    "honduras": ("Honduran fields", "number", lambda: numbers("actas/fields.npz")),
    "form34a": ("Form 34A rows, cut out by eye", "number", rows),
    "form34a-columns": ("Form 34A columns, rows found by us", "column", columns),
    "clean": ("composed, clean", "number", lambda: numbers("composed/clean.npz")),
    "touch": ("composed, half the gaps overlap", "number", lambda: numbers("composed/touch.npz")),
    "noisy": ("composed, noisy paper and rules", "number", lambda: numbers("composed/noisy.npz")),
}


class Result(NamedTuple):
    """read: every number beside its label. rate: numbers a second. error: why there is nothing else."""

    read: list[Read] = []  # noqa: RUF012
    rate: float = 0.0
    megabytes: float = 0.0
    versions: str = ""
    error: str = ""


def pack(path: Path, images: list[np.ndarray]) -> None:
    shapes = np.array([(*image.shape, 0)[:3] for image in images], np.int32)
    offsets = np.cumsum([0, *(image.size for image in images)])
    np.savez(path, pixels=np.concatenate([image.ravel() for image in images]), shapes=shapes, offsets=offsets)


def run(reader: str, read_as: str, pictures: Pictures, name: str) -> Result:
    """One reader over one set, in a process of its own."""
    pictures, out = first(pictures, SLOW.get(reader)), OUTCOMES / f"{name}-{reader}.json"
    python, kind, settings = command(reader, read_as)
    if not Path(python).is_file():
        return Result(error="no environment .venv-peers; run  make bench-peers")
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pack(packed := Path(folder) / "pictures.npz", pictures.images)
        done = subprocess.run(
            [python, str(HERE / "peers_worker.py"), kind, json.dumps(settings), str(packed), str(out)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return Result(error=f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    found = json.loads(out.read_text(encoding="utf-8"))
    if "error" in found:
        return Result(error=found["error"])
    read = [
        one
        for i, (labels, texts) in enumerate(zip(pictures.labels, found["numbers"], strict=True))
        for one in beside(labels, [(text, confidence) for text, confidence in texts], i)
    ]
    rate = sum(map(len, pictures.labels)) / found["seconds"]
    return Result(read, rate, found["megabytes"], found["versions"])


def first(pictures: Pictures, count: int | None) -> Pictures:
    return Pictures(pictures.images[:count], pictures.labels[:count])


def command(reader: str, read_as: str) -> tuple[str, str, dict[str, Any]]:
    if reader in OURS:
        return sys.executable, "inkshift", {"read_as": read_as, **OURS[reader]}
    return str(PEERS_PYTHON), *PEERS[reader]


def table(results: dict[str, Result]) -> Iterator[str]:
    shares = " | ".join(f"accepted at {error:.0%} error" for error in ERRORS)
    yield f"| reader | right | whole numbers | 95 % interval | CER | ECE | {shares} | numbers/s | times {BASE} | MB |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    base = results.get(BASE)
    for name, result in results.items():
        title = TITLES.get(name, name)
        if result.error:
            yield f"| {title} | not available: {result.error} {'| ' * 9}|"
            continue
        got = measure(result.read)
        times = f"{result.rate / base.rate:.2f}" if base and base.rate else ""
        yield f"| {title} | {quality(got)} | {result.rate:.1f} | {times} | {result.megabytes:.0f} |"


def quality(got: Measures) -> str:
    low, high = got.interval
    cells = [f"{got.right} of {got.n}", f"**{got.right / got.n:.1%}**", f"{low:.1%} to {high:.1%}"]
    cells += [f"{got.character_errors:.2%}", f"{got.calibration_error:.3f}", *(f"{s:.1%}" for s in got.accepted)]
    return " | ".join(cells)


def errors(results: dict[str, Result]) -> Iterator[str]:
    """A row for each number that we read wrongly, beside what the first peer read there."""
    peer = {(one.image, one.label): one.text for one in results.get(BASE, Result()).read}
    yield f"| image | label | read | confidence | {BASE} |"
    yield "|---|---|---|---|---|"
    for one in wrong(results):
        theirs = peer.get((one.image, one.label))
        cells = [str(one.image), one.label or "none", one.text or "nothing", f"{one.confidence:.3f}"]
        yield f"| {' | '.join(cells)} | {'' if theirs is None else theirs or 'nothing'} |"


def wrong(results: dict[str, Result]) -> list[Read]:
    name = next((name for name in OURS if name in results), None)
    return [one for one in results[name].read if one.label != one.text] if name else []


def gallery(path: Path, images: list[np.ndarray], cases: list[Read], across: int = 6) -> None:
    """A contact sheet of wrong numbers: above each crop its image number, label, what was read and how surely."""
    width, height = 300, 130
    tiles = []
    for one in cases:
        picture = images[one.image]
        crop = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture[..., ::-1]
        scale = min((width - 10) / crop.shape[1], (height - 35) / crop.shape[0])
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        tile = np.full((height, width, 3), 255, np.uint8)
        text = f"{one.image}: {one.label or '-'} as {one.text or '-'} ({one.confidence:.2f})"
        cv2.putText(tile, text, (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 160), 1, cv2.LINE_AA)
        tile[30 : 30 + crop.shape[0], 5 : 5 + crop.shape[1]] = crop
        tiles.append(tile)
    tiles += [np.full((height, width, 3), 255, np.uint8)] * (-len(tiles) % across)
    sheet = np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet)


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Numbers read by us and by others, measured"
    yield f"\nPrinted by `make bench-peers` on {machine()}."
    yield (
        "\nEvery reader is a process of its own with one thread and reads the same pictures, one reader after another, "
        "set by set. Numbers/s is reading alone: the model is loaded, the pictures are decoded, one was read before. "
        f"CER is edits per digit; ECE the gap of confidence and share right over ten bins of equal count; accepted at "
        f"{' and '.join(f'{error:.0%}' for error in ERRORS)} error is the largest share that a threshold on the "
        "confidence, chosen with hindsight, accepts. MB is the peak of the process, pictures included. "
        f"Only the first of each set: {', '.join(f'{n} for {TITLES[name]}' for name, n in SLOW.items())}; it is slow."
    )
    if given.limit:
        yield f"\nOnly the first {given.limit} pictures of each set."
    used: dict[str, str] = {}
    for name in given.sets:
        title, read_as, load = SETS[name]
        try:
            pictures = first(load(), given.limit)
        except DataError as e:
            yield f"\n## {title}\n\nNot here: {e}"
            continue
        readers = [reader for reader in given.readers if read_as == "number" or reader in OURS]
        results = {reader: run(reader, read_as, pictures, name) for reader in readers}
        used |= {reader: result.versions for reader, result in results.items() if result.versions}
        yield f"\n## {title}\n"
        yield from table(results)
        yield from cases(name, pictures, results, given)
    yield "\n## Versions\n"
    yield from (f"- {TITLES.get(reader, reader)}: {made}" for reader, made in used.items())


def cases(name: str, pictures: Pictures, results: dict[str, Result], given: argparse.Namespace) -> Iterator[str]:
    found = wrong(results)
    if given.errors and found:
        yield ""
        yield from errors(results)
    if given.gallery and found:
        gallery(given.gallery / f"{name}.png", pictures.images, found)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="NAME", help=", ".join(SETS))
    known = ", ".join(READERS)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=READERS, metavar="NAME", help=known)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="only the first N pictures of each set, for a quick look"
    )
    parser.add_argument("--errors", action="store_true", help="a row for each number that we read wrongly")
    parser.add_argument(
        "--gallery",
        type=Path,
        nargs="?",
        const=Path("out/peers-wrong"),
        metavar="FOLDER",
        help="draw the numbers that we read wrongly, a sheet a set, into this folder (out/peers-wrong)",
    )
    given = parser.parse_args()
    OUTCOMES.mkdir(parents=True, exist_ok=True)
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
