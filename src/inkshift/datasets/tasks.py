"""A task: a label space over a data set, and how the label spaces of two tasks relate."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from inkshift.arrays import Pixels
from inkshift.datasets import catalog, formats
from inkshift.datasets.catalog import CATALOG
from inkshift.datasets.formats import LabelledImages, Split
from inkshift.errors import DataError, nearest
from inkshift.reframe import Reframing

LABEL_SPACES = {
    "digits": tuple(string.digits),
    "uppercase": tuple(string.ascii_uppercase),
    "lowercase": tuple(string.ascii_lowercase),
    "characters": tuple(string.ascii_uppercase + string.ascii_lowercase),
    "digits+characters": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
}
_BOTH: tuple[Split, ...] = ("train", "test")
_IN_MEMORY = 512 * 2**20  # bytes; larger samples are reframed when they are asked for


class Relation(StrEnum):
    """How the label space of a source task relates to that of a target task (Kooverjee et al. 2020, III-A)."""

    EQUAL = "equal"
    SUBSET = "subset"
    SUPERSET = "superset"
    OVERLAPPING = "overlapping"
    DISJOINT = "disjoint"

    @property
    def formula(self) -> str:
        """As the paper writes it, Y_S being the label space of the source and Y_T that of the target."""
        return _FORMULAS[self]


_FORMULAS = {
    Relation.EQUAL: "Y_S = Y_T",
    Relation.SUBSET: "Y_S ⊂ Y_T",
    Relation.SUPERSET: "Y_S ⊃ Y_T",
    Relation.OVERLAPPING: "Y_S ∩ Y_T ≠ ∅, neither within the other",
    Relation.DISJOINT: "Y_S ∩ Y_T = ∅",
}


class Task(BaseModel):
    """A label space over a data set.

    data: a name of the catalogue, or a path (see `formats.load_path`), or several of them, whose images are joined.
    labels: the classes, in the order of a network's outputs; also a name in LABEL_SPACES. Of a catalogued set a task
    takes the images of its classes; data of one's own must hold no other. test_share: instead of the parts that the
    data come in, all of their images are split anew, this share of the writers to test on; where writers are not known,
    of the images of each class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str | tuple[str, ...]
    labels: tuple[str, ...]
    test_share: float | None = Field(default=None, gt=0, lt=1)

    @model_serializer(mode="wrap")
    def _stored(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run's key is made of this: what came later is there only where it is used."""
        found: dict[str, Any] = serialise(self)
        return {name: value for name, value in found.items() if name != "test_share" or value is not None}

    @field_validator("labels", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in LABEL_SPACES:
            raise ValueError(f"no label space is called {value!r}; {nearest(value, LABEL_SPACES)}, or list the classes")
        return LABEL_SPACES[value]

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(f"expected two classes or more, no class twice, found {', '.join(labels)}")
        return labels

    @property
    def space(self) -> str:
        """The name of the label space, or its classes."""
        return next((name for name, labels in LABEL_SPACES.items() if labels == self.labels), " ".join(self.labels))

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets it is made of."""
        return (self.data,) if isinstance(self.data, str) else self.data

    def __str__(self) -> str:
        part = "" if self.test_share is None else f", {self.test_share:g} split off to test on"
        return f"{' + '.join(self.names)} {self.space}{part}"

    def relation(self, other: Task) -> Relation:
        """How this task's label space, as the source's, relates to the other's, as the target's."""
        mine, theirs = set(self.labels), set(other.labels)
        if mine == theirs:
            return Relation.EQUAL
        if mine < theirs:
            return Relation.SUBSET
        if mine > theirs:
            return Relation.SUPERSET
        return Relation.OVERLAPPING if mine & theirs else Relation.DISJOINT

    def load(self, split: Split) -> tuple[LabelledImages, npt.NDArray[np.int64]]:
        """The images of a split, and the index of each one's class in `labels`, -1 for those of other classes.

        Raises DataError where the data are not here or damaged, a class has no image, or data of one's own
        have a label outside the label space.
        """
        data = _joined([part for parts in self._parts(split) for part in parts])
        rows = np.arange(len(data.labels)) if self.test_share is None else _of_split(data, split, self.test_share)
        classes = self._classes(data)
        outside = np.setdiff1d(np.arange(len(classes)), rows)
        classes[outside] = -1
        for i, count in enumerate(np.bincount(classes[classes >= 0], minlength=len(self.labels))):
            if count == 0:
                raise DataError(f"{data.name}: class {self.labels[i]!r} has no {split} image; leave it out of labels")
        return data, classes

    def counts(self, split: Split) -> dict[str, int]:
        """How many images of a split each data set gives, by name. Raises DataError as `load` does."""
        sizes = [sum(len(part.labels) for part in parts) for parts in self._parts(split)]
        given = np.split(self.load(split)[1] >= 0, np.cumsum(sizes)[:-1])
        return dict(zip(self.names, (int(part.sum()) for part in given), strict=True))

    def _parts(self, split: Split) -> list[list[LabelledImages]]:
        """For each data set the parts that a split is taken from: all of them where they are split anew."""
        return [
            [self._part(name, part) for part in ((split,) if self.test_share is None else parts_of(name))]
            for name in self.names
        ]

    def _part(self, name: str, split: Split) -> LabelledImages:
        if is_catalogued(name):
            return catalog.load(name, split)
        data = formats.load_path(Path(name), split)
        outside = sorted(set(data.labels.tolist()) - set(self.labels))
        if outside:
            raise DataError(
                f"{data.name}: label {outside[0]!r} is outside the label space {self.space}; "
                "add it to the task's labels, or remove its images"
            )
        return data

    def _classes(self, data: LabelledImages) -> npt.NDArray[np.int64]:
        index = {label: i for i, label in enumerate(self.labels)}
        names, inverse = np.unique(data.labels, return_inverse=True)
        return np.array([index.get(str(name), -1) for name in names], np.int64)[inverse]


def is_catalogued(name: str) -> bool:
    """Whether a name is that of a data set of the catalogue, not a path.

    Raises SettingError with the nearest name where it is neither.
    """
    if name not in CATALOG and not ("/" in name or Path(name).exists()):
        catalog.find(name)
    return name in CATALOG


def load_all(name: str) -> LabelledImages:
    """All images of a data set of the catalogue or of one's own, whatever parts they come in."""
    load = catalog.load if is_catalogued(name) else lambda name, split: formats.load_path(Path(name), split)
    return _joined([load(name, part) for part in parts_of(name)])


def parts_of(name: str) -> tuple[Split, ...]:
    """The parts that a data set comes in: of one's own, those that are there."""
    if name in CATALOG:
        return CATALOG[name].splits
    found = tuple(split for split in _BOTH if any(Path(name).glob(f"{split}*")))
    return found or ("train",)


def _joined(parts: list[LabelledImages]) -> LabelledImages:
    """The images of several, one after another; writers of two sets are never one."""
    if len(parts) == 1:
        return parts[0]
    images = [part.images[i] for part in parts for i in range(len(part.labels))]
    known = all(part.writers is not None for part in parts)
    writers = [f"{i} {writer}" for i, part in enumerate(parts) for writer in (part.writers if known else ())]  # type: ignore[union-attr]
    labels = np.concatenate([part.labels.astype(str) for part in parts])
    name = " + ".join(dict.fromkeys(part.name for part in parts))
    return LabelledImages(images, labels, name, np.array(writers) if known else None)


def _of_split(data: LabelledImages, split: Split, test_share: float) -> npt.NDArray[np.int64]:
    """The rows of one part: the same for everybody who asks for this share."""
    rng = np.random.default_rng([int(1e6 * test_share), len(data.labels)])
    if data.writers is not None:
        hands = np.unique(data.writers)
        tested = rng.permutation(hands)[: min(max(1, round(test_share * len(hands))), len(hands) - 1)]
        test = np.isin(data.writers, tested)
    else:
        classes = np.unique(data.labels, return_inverse=True)[1].astype(np.int64)
        test = np.zeros(len(classes), bool)
        test[nested(classes, rng)[: round(test_share * len(classes))]] = True
    return np.flatnonzero(test == (split == "test"))


def nested(classes: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """All rows in an order whose every beginning holds each class in its share, to less than two images.

    One image of each class comes first. So a small sample is part of a larger one, and both are stratified.
    """
    names, inverse, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    place = np.empty(len(classes), np.float64)
    for i, size in enumerate(sizes):
        # Even steps from 0 to 1, begun anywhere within the first: an image in the middle of each step.
        place[rng.permutation(np.flatnonzero(inverse == i))] = (np.arange(size) + rng.random()) / size
    order = np.argsort(place, kind="stable")
    first = np.array([np.flatnonzero(inverse[order] == i)[0] for i in range(len(names))])
    return np.asarray(np.concatenate([order[np.sort(first)], np.delete(order, first)]), np.int64)


def stratified(classes: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` rows, in order, drawn so that each class keeps its share, and no class that has an image loses all.

    All rows where there are no more than `count`. Raises DataError if `count` is below the number of classes.
    """
    if count >= len(classes):
        return np.arange(len(classes))
    names, sizes = np.unique(classes, return_counts=True)
    if count < len(names):
        raise DataError(f"a sample of {count} images cannot hold {len(names)} classes; take at least {len(names)}")
    extra = (sizes - 1) * ((count - len(names)) / (len(classes) - len(names)))
    take = 1 + np.floor(extra).astype(np.int64)
    most_left = np.argsort(np.floor(extra) - extra, kind="stable")
    take[most_left[: count - int(take.sum())]] += 1
    rows = [rng.permutation(np.flatnonzero(classes == name))[:n] for name, n in zip(names, take, strict=True)]
    return np.sort(np.concatenate(rows))


@dataclass(frozen=True, slots=True, eq=False)
class ReframedImages:
    """Images of any size, reframed to (side, side) uint8 when they are asked for."""

    images: Sequence[Pixels] | Pixels
    rows: npt.NDArray[np.int64]
    reframing: Reframing

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> npt.NDArray[np.uint8]:
        return np.stack([self.reframing(self.images[int(row)]) for row in self.rows[rows]])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Pictures framed for a network, (N, side, side) uint8 when indexed, and their classes (N,) int64."""

    images: ReframedImages | npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]
    name: str


def sample(
    data: LabelledImages, classes: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], reframing: Reframing
) -> Sample:
    """The pictures of some rows of a data set, in memory if they fit in half a gibibyte."""
    framed = ReframedImages(data.images, rows, reframing)
    size = math.prod(framed[:1].shape) * len(rows)
    images = framed[np.arange(len(rows))] if size <= _IN_MEMORY else framed
    return Sample(images, classes[rows], data.name)
