"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """A page of a list. count: of all its rows; page: from 1, of `pages`."""

    rows: tuple[Row, ...]
    count: int
    page: int
    pages: int

    def each(self, make: Callable[[Row], Other]) -> Listed[Other]:
        """What is made of each row of the page, and of no other."""
        return Listed(tuple(map(make, self.rows)), self.count, self.page, self.pages)


def listed(rows: Sequence[Row], page: int, size: int) -> Listed[Row]:
    """A page of a list, the last where it has fewer."""
    page, pages = at_most(page, len(rows), size)
    return Listed(tuple(rows[(page - 1) * size : page * size]), len(rows), page, pages)


def at_most(page: int, count: int, size: int) -> tuple[int, int]:
    """A page of a list that is there, from 1, and how many there are."""
    pages = max(1, -(-count // size))
    return min(max(page, 1), pages), pages
