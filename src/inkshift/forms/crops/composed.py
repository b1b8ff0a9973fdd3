"""A folder of composed numbers, to look at or to test a reader on: pictures, labels, contact sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image as Pillow

from inkshift.datasets.synth import paper, strings
from inkshift.errors import SettingError
from inkshift.files import as_csv
from inkshift.forms.crops.folder import number_sheets


def write(
    folder: Path,
    glyphs: strings.Glyphs,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> None:
    """`count` numbers as numbers/00001.png ..., labels.csv with the columns file and value, and sheets/.

    The same seed and glyphs give the same folder. Raises SettingError where `folder` is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingError(f"{folder}: is there and not empty; choose another folder")
    for part in ("numbers", "sheets"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rng, papers = np.random.default_rng(seed), paper.make_papers(seed)
    tiles = []
    for i in range(1, count + 1):
        picture, label = strings.compose_digits(glyphs, papers, rng)
        path = folder / "numbers" / f"{i:05d}.png"
        Pillow.fromarray(picture).save(path)
        tiles.append((path, label))
        progress(i, count)
    (folder / "labels.csv").write_bytes(as_csv([("file", "value"), *((path.name, label) for path, label in tiles)]))
    number_sheets(folder / "sheets", tiles)
