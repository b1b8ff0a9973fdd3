"""What a command answered, for the fixture `run`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out)))


Run = Callable[..., Answer]
