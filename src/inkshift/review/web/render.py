"""Pages from their templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse

from inkshift.errors import how_to_install
from inkshift.files import html_templates
from inkshift.review.web.security import Visit
from inkshift.scratch import make_scratch

_REVIEW = Path(__file__).parents[1]
_ROOMS = ("web", "batches", "keying", "acceptance", "designer")
_FOLDERS = [*(_REVIEW / room / "html" for room in _ROOMS), _REVIEW / "pages"]
# What a browser offers where pages are to be sent.
_PAGE_FILES = ".pdf,.png,.jpg,.jpeg,.jfif,.tif,.tiff,.heic,.heif,.webp,.bmp,.gif"
_pages = html_templates(*_FOLDERS, how_to_install=how_to_install, page_files=_PAGE_FILES)
# What waits is counted so far for whoever keys: the count is anew with each decision.
MOST_LEFT = 10_000
_pages.filters["or_more"] = lambda count: f"{count}+" if count >= MOST_LEFT else str(count)

# What a browser follows, in front of the slash; quotes of what people typed are escaped.
_ADDRESS = re.compile(r'\b(?:href|src|action|formaction|hx-get|hx-post)="(?=/)')


def page(
    who: Visit, template: str, *, status: int | None = None, headers: Mapping[str, str] | None = None, **given: object
) -> HTMLResponse:
    """One page, or a part of one, in the language of who asks. status: 400, unless another is given, of a page that
    says an `error`."""
    if status is None:
        status = 400 if given.get("error") else 200
    text = _pages.get_template(template).render(who=who, t=who.words, **given)
    return HTMLResponse(_ADDRESS.sub(rf"\g<0>{who.root}", text) if who.root else text, status, dict(headers or {}))


def written(write: Callable[[Path], object], name: str, media: str) -> FileResponse:
    """A file that is written for this answer, and goes once it is sent. name: what the browser calls it."""
    folder, remove = make_scratch()
    file = Path(folder, f"sent{Path(name).suffix}")
    try:
        write(file)
    except BaseException:
        remove()
        raise
    return FileResponse(file, media_type=media, filename=name, background=BackgroundTask(remove))
