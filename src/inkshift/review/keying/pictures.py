"""The whole page that a field is on."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, Response

from inkshift.errors import InkshiftError
from inkshift.review.web.pagepicture import outline, page_of, picture, sent
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Who

router = APIRouter()


@router.get("/fields/{field}/page")
def whole_page(who: Who, field: Id) -> HTMLResponse:
    """The page of a field, the field outlined, to be shown over the queue; says why where it cannot be shown."""
    found = page_of(who.store, field)
    if found is None:
        raise HTTPException(404)
    try:
        shown, error = picture(found.page), ""
    except InkshiftError as e:
        shown, error = None, str(e) if who.supervisor else ""
    box = outline(found, shown) if shown else None
    return page(who, "_page.html", field=found, shown=shown, box=box, error=error)


@router.get("/fields/{field}/page.jpg")
def page_picture(who: Who, field: Id) -> Response:
    found = page_of(who.store, field)
    if found is None:
        raise HTTPException(404)
    return sent(found.page)
