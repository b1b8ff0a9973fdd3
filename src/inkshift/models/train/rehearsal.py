"""What a number recogniser must not forget while it learns something else: numbers composed as its recipe says."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pooch

from inkshift.datasets import catalog
from inkshift.datasets.synth import paper, shapes, strings
from inkshift.errors import DataError
from inkshift.jobs import digest
from inkshift.models.train.glyphs import Recipe, load_glyphs, load_recipe, prepare_glyphs, sources_file
from inkshift.reframe import parse

SETS = ("mnist", "nist_emnist", "optdigits32", "handletters62", "swiss")
_DRAWN, _DRAWN_HELD_OUT = 100, 40


@dataclass(frozen=True, slots=True)
class Memory:
    """Numbers composed as `recipe` says. note: what they lack, empty where they are the recipe's own."""

    recipe: Recipe
    glyphs: strings.Glyphs
    held_out: strings.Glyphs
    note: str

    def compose(self, count: int, seed: int, marked: bool = False) -> tuple[strings.Lines, npt.NDArray[np.int64]]:
        """`count` numbers to learn from and their digits, as `strings.epoch` gives them; marked: with marks too."""
        papers = paper.make_papers(self.recipe.seed)
        return strings.epoch(self.glyphs, papers, count, [seed], parse(self.recipe.reframing), marked)

    def check(self, count: int) -> tuple[strings.Lines, list[str]]:
        """Numbers of glyphs held out, framed, and their labels: always the same, those of a lower count among them."""
        frame, rng = parse(self.recipe.reframing), np.random.default_rng([self.recipe.seed, 99])
        papers = paper.make_papers(self.recipe.seed + 1)
        made = [strings.compose_digits(self.held_out, papers, rng) for _ in range(count)]
        return strings.Lines([frame(picture) for picture, _ in made]), [label for _, label in made]


def load(work: Path | None = None, *, drawn: bool | None = None) -> Memory:
    """The numbers to rehearse with: of the recipe's glyphs, prepared once (a minute or two), or of drawn digits alone.

    work: folder that keeps the glyphs; the user's cache where None. drawn: None is for drawn digits where one of the
    recipe's data sets is not here. Raises DataError where `drawn` is False and one of them is missing or damaged.
    """
    recipe = load_recipe()
    if drawn if drawn is not None else not here():
        return Memory(
            recipe,
            _drawn(_DRAWN, recipe.seed + 1),
            _drawn(_DRAWN_HELD_OUT, recipe.seed + 2),
            "composed of drawn digits alone; for those of the recipe set INKSHIFT_DATA to the folder that holds "
            + ", ".join(SETS),
        )
    folder = _kept(recipe) if work is None else work
    prepare_glyphs(recipe, folder)
    return Memory(recipe, load_glyphs(recipe, folder), load_glyphs(recipe, folder, "held-out"), "")


def here() -> bool:
    """Whether the data sets of the recipe's glyphs can be found."""
    try:
        return all(catalog.locate(name) for name in SETS)
    except DataError:
        return False


def _kept(recipe: Recipe) -> Path:
    """The folder in the user's cache, which appears whole or not at all, also where two processes make it at once."""
    cache = Path(pooch.os_cache("inkshift"))
    made_by = sources_file(cache).name
    folder = cache / f"glyphs-{digest(str(recipe.seed), str(catalog.data_root().resolve()), made_by)[:12]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".glyphs-", dir=cache) as part:
            prepare_glyphs(recipe, Path(part) / "made")
            with suppress(OSError):  # another process was first
                (Path(part) / "made").rename(folder)
    return folder


@lru_cache
def _drawn(each: int, seed: int) -> strings.Glyphs:
    maps, labels = shapes.bank(each, seed)
    return strings.make_glyphs(maps, labels, [len(labels)], [1.0])
