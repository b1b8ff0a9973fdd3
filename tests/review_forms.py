"""Forms as a reader leaves them, for the tests of review: drawn, not read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote

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
