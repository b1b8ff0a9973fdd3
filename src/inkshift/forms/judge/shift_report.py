"""What shift found, as plain values and as one HTML page with pictures of the fields that are furthest."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from inkshift.files import whole_file
from inkshift.forms.judge.shift import Shift
from inkshift.forms.out.html import page_template, picture_of


def plain(found: Shift) -> dict[str, Any]:
    """All of it but the pictures, for JSON; shares are from 0 to 1."""
    far = [
        {
            "form": one.form,
            "field": one.field.name,
            "source": one.field.source,
            "page": one.field.page,
            "feature": one.feature,
            "deviations": round(one.distance, 3),
        }
        for one in found.furthest
    ]
    return asdict(replace(found, furthest=())) | {"furthest": far}


def write_shift(found: Shift, path: Path) -> None:
    """One HTML file. Raises SettingError for a path that cannot be written."""
    page = page_template(Path(__file__).with_name("shift.html.j2"), picture=picture_of).render(shift=found)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
