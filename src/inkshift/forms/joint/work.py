"""How much work it may be to settle a form: counted, so that the result is the same on any machine under any load."""

from __future__ import annotations

WORK = 2_000_000
"""Steps for all fields of a form, each about a microsecond of a processor."""


class UnfinishedError(Exception):
    """The steps were used up before the work was done."""


class Work:
    """Steps that are left to a form."""

    def __init__(self, left: int | None = None) -> None:
        self.left = WORK if left is None else left

    def spend(self, steps: int) -> None:
        """Called before the work is done. Raises UnfinishedError where so many steps are not left."""
        self.left -= steps
        if self.left < 0:
            raise UnfinishedError
