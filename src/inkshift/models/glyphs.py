"""Digits that models which ship may learn from: framed pictures, and their distance maps for composing numbers.

Nothing here needs torch.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter

from inkshift.datasets import augment, catalog, overlap, paper, shapes, strings
from inkshift.datasets.formats import LabelledImages
from inkshift.models.package import Source
from inkshift.reframe import parse

REFRAMING = "gray|light_ink|stretch|trim|square|margin(0.2)|resize(28)|center_mass"
MNIST_LICENCE = "CC BY-SA 3.0 (whether share-alike reaches weights is unsettled)"
MNIST_CITE = "LeCun, Cortes, Burges 1998, The MNIST database of handwritten digits"
RECIPE = Path(__file__).with_name("numbers.toml")

_HELD_OUT = 12
_DRAWN = 1000
_SOURCES = TypeAdapter(list[Source])


class TrainingPart(BaseModel):
    """See `numbers.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: tuple[int, ...]
    strings: int
    batch: int
    processes: int
    rate: float
    clip: float
    average: float


class Recipe(BaseModel):
    """See `numbers.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summary: str
    reframing: str
    widths: tuple[int, int, int, int]
    seed: int
    training: TrainingPart
    glyphs: dict[str, float]


def load_recipe(path: Path = RECIPE) -> Recipe:
    """The recipe in a TOML file."""
    return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def digit_sets() -> list[tuple[Source, npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Digits of the sets whose weights may ship, framed, without those that match an MNIST test digit."""
    test, test_labels = framed(catalog.load("mnist", "test"))
    images, labels = framed(catalog.load("mnist", "train"))
    sets = [(Source(name="MNIST train", images=len(images), licence=MNIST_LICENCE, cite=MNIST_CITE), images, labels)]
    others = [catalog.load(name, "train") for name in ("nist_emnist", "optdigits32", "handletters62")]
    for part in map(_digits_of, others):
        images, labels = framed(part)
        limit = overlap.threshold_between(images, labels, test, test_labels)
        keep = overlap.nearest_correlation(images, test) <= limit
        entry = catalog.find(part.name.partition("/")[0])
        dropped = f"{int((~keep).sum())} dropped that correlate above {limit:.3f} with an MNIST test digit."
        note = f"{dropped} {entry.citation or 'Origin not explained.'}"
        source = Source(name=entry.name, images=int(keep.sum()), licence=entry.licence, cite=note)
        sets.append((source, images[keep], labels[keep]))
    return sets


def prepare_glyphs(recipe: Recipe, work: Path) -> tuple[Source, ...]:
    """Glyphs of all sources as arrays in `work`, made once: those to learn from, and every twelfth held out."""
    done = work / "sources.json"
    if not done.exists():
        work.mkdir(parents=True, exist_ok=True)
        sets = digit_sets()
        for kind, held in (("train", False), ("held-out", True)):
            drawn, drawn_labels = shapes.bank(100 if held else _DRAWN, recipe.seed + 1 + held)
            rows = [np.flatnonzero((np.arange(len(labels)) % _HELD_OUT == 0) == held) for *_, labels in sets]
            maps = [_maps(images[keep]) for (_, images, _), keep in zip(sets, rows, strict=True)]
            labels = [own[keep] for (*_, own), keep in zip(sets, rows, strict=True)]
            np.save(work / f"{kind}-maps.npy", np.concatenate([*maps, drawn]))
            np.save(work / f"{kind}-labels.npy", np.concatenate([*labels, drawn_labels]))
            np.save(work / f"{kind}-counts.npy", [*map(len, labels), len(drawn_labels)])
        shapes_note = "Allographs of other regions, inkshift.datasets.shapes."
        drawn_source = Source(name="drawn", images=10 * _DRAWN, licence="Apache-2.0", cite=shapes_note)
        done.write_bytes(_SOURCES.dump_json([*(source for source, *_ in sets), drawn_source]))
    return tuple(_SOURCES.validate_json(done.read_bytes()))


def _maps(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    return np.stack([augment.pack(augment.distance_map(image)) for image in images])


def load_glyphs(recipe: Recipe, work: Path, kind: str = "train") -> strings.Glyphs:
    """The glyphs that `prepare_glyphs` left, mapped from disk; kind: `train` or `held-out`."""
    maps = np.load(work / f"{kind}-maps.npy", mmap_mode="r")
    labels, counts = np.load(work / f"{kind}-labels.npy"), np.load(work / f"{kind}-counts.npy")
    return strings.make_glyphs(maps, labels, counts, list(recipe.glyphs.values()))


def check_set(recipe: Recipe, work: Path, count: int = 512) -> tuple[strings.Lines, list[str]]:
    """Numbers composed from the glyphs held out: framed pictures and labels, always the same."""
    frame = parse(recipe.reframing)
    rng = np.random.default_rng([recipe.seed, 99])
    glyphs, papers = load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 1)
    made = [strings.compose(glyphs, papers, rng) for _ in range(count)]
    return strings.Lines([frame(picture) for picture, _ in made]), [label for _, label in made]


def of_classes(data: LabelledImages, classes: frozenset[str]) -> npt.NDArray[np.uint8]:
    rows = np.flatnonzero(np.isin(data.labels, sorted(classes)))
    return np.stack([parse(REFRAMING)(data.images[int(i)]) for i in rows])


def _digits_of(data: LabelledImages) -> LabelledImages:
    rows = np.flatnonzero(np.char.isdigit(data.labels))
    return LabelledImages([data.images[int(i)] for i in rows], data.labels[rows], data.name)


def arrays(data: LabelledImages) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return np.asarray(data.images, np.uint8), data.labels.astype(np.int64)


def framed(data: LabelledImages) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    whole = parse(REFRAMING)
    return np.stack([whole(image) for image in data.images]), data.labels.astype(np.int64)
