"""What the tests of review share: forms as a reader leaves them, people, and steps through the queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from inkshift.review.core import store as stores
from inkshift.review.core.queue import Item, decide, next_field
from inkshift.review.core.store import Store

CROP = np.full((40, 90, 3), 240, np.uint8)
CROP[12:30, 20:24] = 30


def field(name: str, value: str = "12", confidence: float = 0.9, *, crop: bool = True, **more: object) -> FieldReading:
    return FieldReading(
        name,
        value,
        value,
        "written",
        confidence,
        (Candidate(value, confidence),),
        source="scans/a.pdf",
        crop=CROP if crop else None,
        **more,  # type: ignore[arg-type]
    )


def form(name: str, *fields: FieldReading) -> FormReading:
    return FormReading(name, fields, (PageNote("scans/a.pdf", 1, 0.9),))


def many(forms: int, fields: int) -> Iterator[FormReading]:
    """Forms of fields without pictures, the confidence of each another one."""
    for i in range(forms):
        yield form(
            f"f{i:04}", *(field(f"a{k}", "7", ((i * fields + k) * 37 % 1000) / 1000, crop=False) for k in range(fields))
        )


@dataclass
class Clock:
    now: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def people(store: Store, count: int) -> list[int]:
    return [stores.add_user(store, f"keyer {i}", "keyer") for i in range(1, count + 1)]


def taken(store: Store, user: int, batch: int) -> Item:
    item = next_field(store, user, batch)
    assert item is not None
    return item


def key(store: Store, user: int, batch: int, value: str, seconds: float = 0.0) -> str:
    """Decide the next field; how it stands then."""
    return decide(store, user, taken(store, user, batch).field, value, seconds).status


MARKS = tuple(Mark(x=x, y=y, size=10) for x in (20, 180) for y in (20, 280))
TALLY = Template(
    name="tally",
    pages=(
        PageSpec(
            size=(200, 300),
            marks=MARKS,
            fields=(
                FieldSpec(name="a", box=(40, 40, 60, 30), cells=3),
                FieldSpec(name="b", box=(40, 90, 60, 30), cells=3),
                FieldSpec(name="total", box=(40, 140, 60, 30), digits=(1, 4), max=1500),
            ),
        ),
    ),
    rules=("a + b = total",),
)
"""Two fields of three cells, and their total."""


def tally(name: str, a: str, b: str, total: str) -> FormReading:
    """A form of `TALLY` as it was read, `a` the least sure."""
    return form(name, field("a", a, 0.4), field("b", b, 0.6), field("total", total, 0.8))
