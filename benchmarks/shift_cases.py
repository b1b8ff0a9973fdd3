"""Cases to judge predictions of accuracy on: sets of numbers with labels, worn in several ways, and how they are read.

`composed_cases` are numbers of glyphs held out, composed without end: constants are fitted on them. `real_cases` are
the data sets: nothing is fitted on them. What was read is kept in a folder, where one is given, by model and case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.datasets.formats import read_ragged
from inkshift.datasets.synth import augment, paper, strings
from inkshift.forms.reading import value_of
from inkshift.jobs import digest
from inkshift.models.train import rehearsal
from inkshift.reframe import to_gray
from peers import rows

Gray = np.ndarray
PLAIN = "as it is"


@dataclass(frozen=True, slots=True)
class Case:
    """Pictures of one set, worn in one way, each with what it shows; `most` of them at most.

    kind: number or digit. family: what several cases share.
    """

    name: str
    kind: str
    family: str
    most: int
    pictures: Callable[[], Sequence[tuple[Gray, str]]]


@dataclass(frozen=True, slots=True)
class Read:
    """A case as it was read: confidence (n,), 0 to 1, and right (n,) bool."""

    name: str
    kind: str
    family: str
    confidence: np.ndarray
    right: np.ndarray


def blur(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    return cv2.GaussianBlur(picture, (0, 0), 0.3 + 0.07 * amount * picture.shape[0])


def faint(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Ink nearer to its paper, under the noise of a scanner."""
    light = float(np.percentile(picture, 90))
    out = light + (picture - light) * (1 - 0.9 * amount) + rng.normal(0, 3, picture.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def coarse(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    factor = min(1.0, (26 - 18 * amount) / picture.shape[0])
    size = max(8, round(picture.shape[1] * factor)), max(8, round(picture.shape[0] * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def lean(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Sheared, to the right for positive amounts, on a wider picture."""
    h, w = picture.shape
    extra = abs(amount) * h
    matrix = np.array([[1, -amount, max(amount, 0) * h], [0, 1, 0]], np.float32)
    return cv2.warpAffine(picture, matrix, (round(w + extra), h), borderMode=cv2.BORDER_REPLICATE)


def noise(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    contrast = float(np.percentile(picture, 95)) - float(np.percentile(picture, 2))
    return np.clip(picture + rng.normal(0, 0.5 * amount * contrast, picture.shape), 0, 255).astype(np.uint8)


def pen(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Thicker strokes for positive amounts, thinner for negative."""
    side = 1 + abs(amount) * 0.09 * picture.shape[0]
    large = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, round(3 * side - 2)),) * 2)
    done = cv2.erode(large, kernel) if amount > 0 else cv2.dilate(large, kernel)
    return cv2.resize(done, picture.shape[::-1], interpolation=cv2.INTER_AREA)


def stretch(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    return cv2.resize(picture, (max(8, round(picture.shape[1] * 2**amount)), picture.shape[0]))


def wobble(picture: Gray, amount: float, rng: np.random.Generator) -> Gray:
    """Bent by a smooth field: a shaky or foreign hand."""
    h, w = picture.shape
    push = [cv2.GaussianBlur(rng.standard_normal((h, w), np.float32), (0, 0), h / 7) for _ in range(2)]
    dx, dy = (p / max(float(p.std()), 1e-6) * 0.07 * amount * h for p in push)
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
    return cv2.remap(picture, xs + dx, ys + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# Ways to wear a picture, and the range of how much.
WAYS: dict[str, tuple[Callable[[Gray, float, np.random.Generator], Gray], float, float]] = {
    "blur": (blur, 0.1, 1.0),
    "faint": (faint, 0.3, 1.0),
    "coarse": (coarse, 0.0, 1.0),
    "lean": (lean, -0.5, 0.9),
    "noise": (noise, 0.1, 1.0),
    "pen": (pen, -0.6, 1.0),
    "stretch": (stretch, -0.9, 0.9),
    "wobble": (wobble, 0.2, 1.0),
}
# What real sets are worn by: milder, so that most of what they show can still be read.
REAL = {PLAIN: None, "blur": 0.5, "faint": 0.8, "coarse": 0.5, "lean": 0.2, "noise": 0.5, "pen": 0.5}


def composed_cases(kind: str, count: int, size: int, seed: int) -> Iterator[Case]:
    """`count` cases of `size` composed numbers, or digits, each of one source of glyphs or all, worn in 0 to 2 ways.

    As in real sets, the numbers of most cases have one length.
    """
    memory = rehearsal.load(drawn=False)
    sources = len(memory.held_out.shares)
    # A source of which nothing was held out for some digit cannot write a number by itself.
    whole = [one for one in range(sources) if all(len(memory.held_out.rows[one, digit]) for digit in range(10))]
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        glyphs = memory.held_out
        only = int(rng.choice(whole)) if rng.random() < 0.5 else -1
        if only >= 0:
            glyphs = replace(glyphs, shares=np.cumsum(np.arange(sources) == only).astype(float))
        length = int(rng.integers(1, 7)) if rng.random() < 0.6 else 0
        some = rng.choice(list(WAYS), int(rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25])), replace=False)
        how = [(str(way), _amount(way, rng)) for way in some]

        def make(glyphs: strings.Glyphs = glyphs, how: list = how, k: int = k, length: int = length) -> list:
            rng, papers = np.random.default_rng([seed, k, 1]), paper.make_papers(seed + k, 6)
            out = []
            for _ in range(size):
                picture, label = compose(kind, glyphs, papers, rng, length)
                for way, amount in how:
                    picture = WAYS[way][0](picture, amount, rng)
                out.append((picture, label))
            return out

        told = " and ".join(f"{way} {amount:.2f}" for way, amount in how) or PLAIN
        family = "+".join(sorted(str(way) for way in some)) or PLAIN
        yield Case(
            f"composed {k}, {length or 'any'} digits of {'all' if only < 0 else f'source {only}'}, {told}",
            kind,
            family,
            size,
            make,
        )


def compose(
    kind: str, glyphs: strings.Glyphs, papers: paper.Papers, rng: np.random.Generator, length: int = 0
) -> tuple[Gray, str]:
    """A number among what stands around numbers, or a digit cut out with what its cell left; and what it says.

    length: how many digits a number has; 0 for any.
    """
    if kind == "number":
        label = "".join(map(str, rng.integers(0, 10, length))) if length else None
        return strings.compose_digits(glyphs, papers, rng, label)

    def digit(label: int) -> Gray:
        source = int(np.searchsorted(glyphs.shares, rng.random() * glyphs.shares[-1], side="right"))
        sharp = glyphs.maps[int(rng.choice(glyphs.rows[source, label]))].astype(np.float32)
        field = np.pad((sharp - 128) / 20, 6, constant_values=-6.4)  # see `augment.sharpen`
        return augment.ink(augment.bend(field, rng), rng)

    label = int(rng.integers(10))
    ink = augment.damage(digit(label), lambda: digit(int(rng.integers(10))), rng)
    margin = [(int(rng.integers(0, 10)), int(rng.integers(0, 10))) for _ in range(2)]
    cover, dice = np.pad(ink, margin), augment.Dice(rng)
    page = paper.lay(cover, np.zeros_like(cover), papers, dice)
    return paper.scan(page, float(ink.shape[0]), papers, dice), str(label)


def _amount(way: str, rng: np.random.Generator) -> float:
    """Oftener little than much: what somebody wants to have read can mostly be read."""
    _, low, high = WAYS[way]
    much = float(rng.random()) ** 1.5
    if low >= 0:
        return low + much * (high - low)
    return much * (high if rng.random() < 0.5 else low)


def real_cases(most: int) -> Iterator[Case]:
    """The data sets, `most` pictures of each at most, worn in each of the ways of `REAL`."""
    root = catalog.data_root()
    sets: list[tuple[str, str, Callable[[], tuple[list, list]]]] = [
        ("ORAND amounts", "number", lambda: _ragged(root / "orand_car_a/numbers.npz")),
        ("C1 fields", "number", lambda: _c1(root / "c1")),
        ("Honduran fields", "number", lambda: _ragged(root / "actas/fields.npz")),
        ("Form 34A rows, cut by eye", "number", _form34a),
        *((f"composed, {s}", "number", _late(root / f"composed/{s}.npz")) for s in ("clean", "touch", "noisy")),
        ("ORAND digits", "digit", lambda: _digits("orand_car_a")),
        ("UFPR digits", "digit", lambda: _digits("ufpr")),
        ("DIDA digits", "digit", lambda: _digits("dida")),
    ]
    for name, kind, load in sets:
        for way, amount in REAL.items():

            def make(load: Callable = load, way: str = way, amount: float | None = amount) -> list:
                images, labels = load()
                rng = np.random.default_rng(0)
                some = sorted(rng.permutation(len(images))[:most])
                worn = [to_gray(np.ascontiguousarray(images[i])) for i in some]
                if amount is not None:
                    worn = [WAYS[way][0](picture, amount, rng) for picture in worn]
                return [(picture, labels[i]) for picture, i in zip(worn, some, strict=True)]

            yield Case(f"{name}, {way}", kind, name, most, make)


def _late(path: Path) -> Callable[[], tuple[list, list]]:
    return lambda: _ragged(path)


def _ragged(path: Path) -> tuple[list, list]:
    images, arrays = read_ragged(path)
    labels = [list(map(str, row)) if np.ndim(row) else str(row) for row in arrays["labels"]]
    keep = np.flatnonzero(~arrays["doubtful"]) if "doubtful" in arrays else range(len(images))
    return [images[i] for i in keep], [labels[i] for i in keep]


def _c1(folder: Path) -> tuple[list, list]:
    images, labels = _ragged(folder / "fields.npz")
    return images, [value_of(label) for label in labels]


def _form34a() -> tuple[list, list]:
    found = rows()
    return found.images, [label for (label,) in found.labels]


def _digits(name: str) -> tuple[list, list]:
    data = catalog.load(name, "test")
    return list(data.images), [str(label) for label in data.labels]


def read_case(case: Case, readers: dict[str, Reader], keep: Path | None) -> Read:
    """The case read, or what was kept of it."""
    reader = readers[case.kind]
    key = digest(case.name, case.kind, str(case.most), reader.settings.second_reader or "", _model(reader, case.kind))
    path = keep / f"{key[:20]}.npz" if keep else None
    if path and path.exists():
        kept = np.load(path)
        confidence, right = kept["confidence"], kept["right"]
    else:
        read = [(reader.read_page(picture).fields[0], label) for picture, label in case.pictures()]
        confidence = np.array([field.confidence for field, _ in read])
        right = np.array([field.value == label for field, label in read])
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, confidence=confidence, right=right)
    return Read(case.name, case.kind, case.family, confidence, right)


@cache
def _model(reader: Reader, kind: str) -> str:
    """The digest of the model that the reader was opened with."""
    model = reader.model if kind == "digit" else reader.number_model
    assert model is not None
    return model.digest


def readers(model: str = "", second: bool = False) -> dict[str, Reader]:
    two = "pp-ocrv6" if second else None
    return {
        "number": Reader(read_as="number", model=model, second_reader=two),
        "digit": Reader(read_as="digit"),
    }
