"""A form with all its fields, what was read and decided; a supervisor may settle any of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from inkshift.review.core import queue
from inkshift.review.core.queue import LONGEST
from inkshift.review.keying import views
from inkshift.review.web.render import inline, page
from inkshift.review.web.security import Id, Supervisor

router = APIRouter()


@router.get("/forms/{form}")
def form(who: Supervisor, form: Id) -> HTMLResponse:
    found = views.form_page(who.store, form)
    if found is None:
        raise HTTPException(404)
    return page(who, "form.html", form=found, inline=inline)


@router.post("/forms/{form}/fields/{field}/settle")
def settle(
    who: Supervisor, form: Id, field: Id, value: Annotated[str, Form(max_length=LONGEST)] = ""
) -> RedirectResponse:
    """Settle a field, whoever decided what before, and show it again."""
    assert who.user is not None
    queue.settle(who.store, who.user, field, value.strip())
    return RedirectResponse(f"/forms/{form}#field-{field}", 303)
