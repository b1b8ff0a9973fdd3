"""A study to begin with, each setting explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template

from inkshift.datasets import catalog
from inkshift.datasets.tasks import parts_of
from inkshift.errors import DataError, SettingError
from inkshift.files import write_whole

_STARTER = Path(__file__).with_name("starter.toml")


def write_starter(path: Path, source: str, target: str) -> None:
    """Write a study of one question, from `source` to `target`: names of data sets, or folders.

    A target that comes in one part is split anew. Raises SettingError where the file is there already, and for a set
    that is not known; DataError for a folder without images to learn from.
    """
    if path.exists():
        raise SettingError(f"{path}: is there already; choose another name, or remove it")
    for data in (source, target):
        if not Path(data).is_dir():
            catalog.find(data)
        elif data not in catalog.CATALOG and not any(Path(data).glob("train*")):
            wanted = "train.csv, train.npz or a folder train of class folders"
            raise DataError(f"{data}: expected a folder with {wanted}, found none")
    split = "" if len(parts_of(target)) > 1 else ", test_share = 0.25"
    quoted = {key: json.dumps(text)[1:-1] for key, text in (("source", source), ("target", target))}
    name = re.sub(r"[^a-z0-9-]+", "-", path.stem.lower()).strip("-") or "study"
    text = Template(_STARTER.read_text(encoding="utf-8")).substitute(quoted, name=name, file=path, split=split)
    write_whole(path, text.encode())
