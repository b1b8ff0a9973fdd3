"""A form with all its fields, any of which a supervisor may settle; which digits the model takes for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.forms.kinds import MOST_TEXT
from inkshift.forms.rules import Broken
from inkshift.review.core import queue
from inkshift.review.core.checks import CheckError
from inkshift.review.core.words import needed
from inkshift.review.keying import views
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.render import inline, page
from inkshift.review.web.security import Id, Supervisor, Visit, there

router = APIRouter()

Symbol = Annotated[str, Query(pattern="^([0-9]|∅)$")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed for a field and not taken: the rules that it breaks, or what is wrong with it."""

    field: int = 0
    value: str = ""
    broken: tuple[Broken, ...] = ()
    error: str = ""


@router.get("/forms/{form}")
def form(who: Supervisor, form: Id) -> HTMLResponse:
    return _form(who, form, Asked())


def _form(who: Visit, form: int, asked: Asked) -> HTMLResponse:
    found = there(views.form_page(who.store, form))
    status = 409 if asked.broken else 400 if asked.error else 200
    return page(who, "form.html", form=found, inline=inline, asked=asked, status=status)


@router.post("/forms/{form}/fields/{field}/settle")
def settle(
    who: Supervisor,
    form: Id,
    field: Id,
    value: Annotated[str, Form(max_length=MOST_TEXT)] = "",
    checked: Annotated[bool, Form()] = False,
) -> Response:
    """Settle a field, whoever decided what before, and show it again; with what was typed where that must be asked."""
    found = views.form_page(who.store, form)
    if found is None or field not in {row.id for row in found.fields}:
        raise HTTPException(404)
    value = value.strip()
    try:
        queue.settle(who.store, who.person, field, value, checked=checked)
    except CheckError as e:
        return _form(who, form, Asked(field, value, e.broken))
    except SettingError as e:
        return _form(who, form, Asked(field, value, error=needed(e)))
    return RedirectResponse(f"/forms/{form}#field-{field}", 303)


@router.get("/batches/{batch}/confusions")
def matrix(who: Supervisor, batch: TheBatch) -> HTMLResponse:
    counts = views.confusions(who.store, batch.id)
    return page(who, "confusions.html", batch=batch, counts=counts, symbols=views.SYMBOLS)


@router.get("/batches/{batch}/confusions/cell")
def cell(who: Supervisor, batch: TheBatch, truth: Symbol, read: Symbol) -> HTMLResponse:
    fields = views.behind(who.store, batch.id, truth, read)
    return page(who, "cell.html", batch=batch, fields=fields, truth=truth, read=read, inline=inline)
