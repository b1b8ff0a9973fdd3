"""Digits that models which ship may learn from: framed pictures, and their distance maps for composing numbers.

Nothing here needs torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter

from inkshift.datasets import catalog, overlap
from inkshift.datasets.formats import LabelledImages, Split
from inkshift.datasets.synth import augment, crops, paper, shapes, strings
from inkshift.files import whole_file
from inkshift.jobs import digest
from inkshift.models.package import Source
from inkshift.reframe import parse

REFRAMING = "gray|light_ink|stretch|trim|square|margin(0.2)|resize(28)|center_mass"
MNIST_LICENCE = "CC BY-SA 3.0 (whether share-alike reaches weights is unsettled)"
MNIST_CITE = "LeCun, Cortes, Burges 1998, The MNIST database of handwritten digits"
RECIPE = Path(__file__).with_name("numbers.toml")

_HELD_OUT = 12
_DRAWN = 4000
_LETTERS = 4000
LETTERS = "letters"
_SOURCES = TypeAdapter(list[Source])


class TrainingPart(BaseModel):
    """See `numbers.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: int
    batch: int
    processes: int
    batch_accelerator: int
    rate: float
    warm_up: int
    decay: float
    ordinary_at_end: float
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


def load_recipe() -> Recipe:
    """The recipe of `numbers.toml`."""
    return Recipe.model_validate(tomllib.loads(RECIPE.read_text(encoding="utf-8")))


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
    """Glyphs of all sources as arrays in `work`, made once, and again when they would come out otherwise: those to
    learn from, and those held out.

    Of a set with writers some writers are held out, and each of the others is a group whose digits are not mixed with
    those of another; of the rest every twelfth glyph is held out.
    """
    done = sources_file(work)
    if not done.exists():
        work.mkdir(parents=True, exist_ok=True)
        for old in work.glob("sources*.json"):
            old.unlink()
        sets, letters = digit_sets(), _letters()
        for kind, held in (("train", False), ("held-out", True)):
            groups = [_regional(s.name, *_own(images, labels, held), recipe.seed) for s, images, labels in sets]
            groups += _swiss_groups("test" if held else "train")
            groups.append(("drawn", *shapes.bank(100 if held else _DRAWN, recipe.seed + 1 + held)))
            groups.append((LETTERS, *_own(letters, np.full(len(letters), 10), held)))
            save_groups(work, kind, groups)
        done.write_bytes(_SOURCES.dump_json([*(source for source, *_ in sets), *_other_sources()]))
    return tuple(_SOURCES.validate_json(done.read_bytes()))


def sources_file(work: Path) -> Path:
    """Where the sources of glyphs in `work` are told once all are made; its name follows from what makes them."""
    made_by = (Path(shapes.__file__).with_name("allographs.toml"), Path(shapes.__file__), Path(augment.__file__))
    return work / f"sources-{digest(*(path.read_bytes() for path in made_by))[:8]}.json"


def _other_sources() -> tuple[Source, Source]:
    """Swiss writers, those held out left out, and drawings."""
    entry, count = catalog.find("swiss"), len(catalog.load("swiss", "train"))
    note = "Allographs of other regions, inkshift.datasets.synth.shapes."
    return (
        Source(name="swiss", images=count, licence=entry.licence, cite=entry.citation),
        Source(name="drawn", images=10 * _DRAWN, licence="Apache-2.0", cite=note),
    )


def other_hands() -> list[tuple[Source, npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Swiss digits of the writers that are not held out, and drawn ones, framed like those of `digit_sets`."""
    swiss, drawn = _other_sources()
    data = catalog.load("swiss", "train")
    whole, rng = parse(REFRAMING), np.random.default_rng(1)
    digits = np.repeat(np.arange(10), _DRAWN)
    pictures = np.stack([whole(augment.ink(shapes.draw(int(digit), rng), rng), ground=0) for digit in digits])
    cleaned = np.stack([whole(_largest(image)) for image in data.images])
    return [(swiss, cleaned, data.labels.astype(np.int64)), (drawn, pictures, digits)]


_Group = tuple[str, npt.NDArray[np.int8], npt.NDArray[np.int64]]


def save_groups(work: Path, kind: str, groups: Sequence[_Group]) -> None:
    """Keep groups of glyphs, each a source's name, packed maps and labels, for `load_glyphs`."""
    maps = np.concatenate([augment.sharpen(maps) for _, maps, _ in groups])
    halves, spans = strings.measure(maps)
    parts: dict[str, npt.ArrayLike] = {
        "maps": maps,
        "halves": halves,
        "spans": spans,
        "labels": np.concatenate([labels for *_, labels in groups]),
        "counts": [len(labels) for *_, labels in groups],
        "groups": [name for name, *_ in groups],
    }
    for name, values in parts.items():
        # Never in place: a training may have the old file mapped.
        with whole_file(work / f"{kind}-{name}.npy") as path, path.open("wb") as file:
            np.save(file, values)


def _own(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], held: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    rows = np.flatnonzero((np.arange(len(labels)) % _HELD_OUT == 0) == held)
    return crops.maps_of(images[rows]), labels[rows]


def _regional(name: str, maps: npt.NDArray[np.int8], labels: npt.NDArray[np.int64], seed: int) -> _Group:
    """A set of American hands with some 0, 1, 7, 8 and 9 more, as other regions write them (`augment.regional`)."""
    rng = np.random.default_rng([seed, len(maps)])
    more, of = [], []
    for label in (0, 1, 7, 8, 9):
        for row in np.flatnonzero(labels == label):
            map_ = augment.unpack(maps[row])
            other = augment.regional(label, map_, rng)
            if other is not map_:
                more.append(augment.pack(other))
                of.append(label)
    return name, np.concatenate([maps, np.stack(more)]), np.concatenate([labels, np.array(of, np.int64)])


def _swiss_groups(split: Split) -> list[_Group]:
    """A group for each writer. The pictures are larger than a map, so maps are made of them as they are."""
    data = catalog.load("swiss", split)
    writers, ink = np.array(data.writers), parse("gray|light_ink|binarize|trim")
    groups = []
    for writer in np.unique(writers):
        rows = np.flatnonzero(writers == writer)
        maps = np.stack([augment.pack(augment.distance_map(ink(_largest(data.images[int(i)])))) for i in rows])
        groups.append(("swiss", maps, data.labels[rows].astype(np.int64)))
    return groups


def _largest(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture without ink far smaller than its largest stroke, and without lines that lie along its edge."""
    _, mask = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    h, w = image.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].astype(float)
    area[0] = 0
    flat = (stats[:, cv2.CC_STAT_HEIGHT] < 0.08 * h) | (stats[:, cv2.CC_STAT_WIDTH] < 0.04 * w)
    edge = (stats[:, 0] <= 1) | (stats[:, 1] <= 1) | (stats[:, 0] + stats[:, 2] >= w - 1)
    edge |= stats[:, 1] + stats[:, 3] >= h - 1
    area[flat & edge] = 0
    kept = area > 0.06 * area.max()
    return np.where(kept[labels], image, 255).astype(np.uint8)


def _letters() -> npt.NDArray[np.uint8]:
    """Letters by hand that look like no digit, framed."""
    sets = [catalog.load(name, "train") for name in ("nist_emnist", "handletters62")]
    return np.concatenate([of_classes(data, crops.JUNK_LETTERS)[:_LETTERS] for data in sets])


def load_glyphs(recipe: Recipe, work: Path, kind: str = "train") -> strings.Glyphs:
    """The glyphs that `prepare_glyphs` left, mapped from disk; kind: `train` or `held-out`."""
    maps = np.load(work / f"{kind}-maps.npy", mmap_mode="r")
    part = {name: np.load(work / f"{kind}-{name}.npy") for name in ("labels", "counts", "groups", "halves", "spans")}
    names = part["groups"].tolist()
    weights = [recipe.glyphs.get(name, 0.0) / names.count(name) for name in names]
    writers = [i for i, name in enumerate(names) if names.count(name) > 1]
    shapes = part["halves"], part["spans"]
    return strings.make_glyphs(np.asarray(maps), part["labels"], part["counts"].tolist(), weights, writers, shapes)


def check_set(
    recipe: Recipe, work: Path, count: int = 512, seed: int = 0, marked: bool = False
) -> tuple[strings.Lines, list[str]]:
    """Numbers composed from the glyphs and writers held out: framed pictures and digits, the same for the same seed.

    marked: with marks in the labels, digits struck out and second numbers.
    """
    frame = parse(recipe.reframing)
    rng = np.random.default_rng([recipe.seed, 99, seed])
    glyphs, papers = load_glyphs(recipe, work, "held-out"), paper.make_papers(recipe.seed + 1)
    make = strings.compose if marked else strings.compose_digits
    made = [make(glyphs, papers, rng) for _ in range(count)]
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
