"""Pages from their templates."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from inkshift.errors import how_to_install
from inkshift.review.web.security import Visit

_REVIEW = Path(__file__).parents[1]
_ROOMS = ("web", "batches", "keying", "acceptance", "designer")
_pages = Environment(
    loader=FileSystemLoader([*(_REVIEW / room / "html" for room in _ROOMS), _REVIEW / "pages"]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.globals["how_to_install"] = how_to_install


def page(
    who: Visit, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **given: object
) -> HTMLResponse:
    """One page, or a part of one, in the language of who asks."""
    text = _pages.get_template(template).render(who=who, t=who.words, **given)
    return HTMLResponse(text, status, dict(headers or {}))


def inline(png: bytes | None) -> str:
    """A picture as an address that holds it; empty where there is none."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}" if png else ""
