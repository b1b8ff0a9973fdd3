"""What shift found, as plain values and as one HTML page with pictures of the fields that are furthest."""

from __future__ import annotations

import base64
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inkshift.forms.export import png, whole_file
from inkshift.forms.shift import Far, Shift


def plain(found: Shift) -> dict[str, Any]:
    """All of it but the pictures, for JSON; shares are from 0 to 1."""
    told = {item.name: getattr(found, item.name) for item in fields(found) if item.name != "furthest"}
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
    return {
        **told,
        "predicted": asdict(found.predicted),
        "differences": [asdict(one) for one in found.differences],
        "digits": [asdict(one) for one in found.digits],
        "furthest": far,
    }


def write_shift(found: Shift, path: Path) -> None:
    """One HTML file. Raises SettingError for a path that cannot be written."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(picture=_picture)
    page = environment.get_template("shift.html.j2").render(shift=found)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _picture(one: Far) -> str:
    crop = one.field.crop
    return "" if crop is None else "data:image/png;base64," + base64.b64encode(png(crop)).decode("ascii")
