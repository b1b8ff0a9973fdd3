"""Which digits the model takes for which, and the crops behind each number."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import HTMLResponse

from inkshift.review.keying import views
from inkshift.review.web.render import inline, page
from inkshift.review.web.security import Id, Supervisor

router = APIRouter()

Symbol = Annotated[str, Query(pattern="^([0-9]|∅)$")]


@router.get("/batches/{batch}/confusions")
def matrix(who: Supervisor, batch: Id) -> HTMLResponse:
    found = views.batch(who.store, batch)
    if found is None:
        raise HTTPException(404)
    counts = views.confusions(who.store, batch)
    return page(who, "confusions.html", batch=found, counts=counts, symbols=views.SYMBOLS)


@router.get("/batches/{batch}/confusions/cell")
def cell(who: Supervisor, batch: Id, truth: Symbol, read: Symbol) -> HTMLResponse:
    found = views.batch(who.store, batch)
    if found is None:
        raise HTTPException(404)
    fields = views.behind(who.store, batch, truth, read)
    return page(who, "cell.html", batch=found, fields=fields, truth=truth, read=read, inline=inline)
