"""Which digits the model takes for which, and the crops behind each number."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from inkshift.review.keying import views
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.render import inline, page
from inkshift.review.web.security import Supervisor

router = APIRouter()

Symbol = Annotated[str, Query(pattern="^([0-9]|∅)$")]


@router.get("/batches/{batch}/confusions")
def matrix(who: Supervisor, batch: TheBatch) -> HTMLResponse:
    counts = views.confusions(who.store, batch.id)
    return page(who, "confusions.html", batch=batch, counts=counts, symbols=views.SYMBOLS)


@router.get("/batches/{batch}/confusions/cell")
def cell(who: Supervisor, batch: TheBatch, truth: Symbol, read: Symbol) -> HTMLResponse:
    fields = views.behind(who.store, batch.id, truth, read)
    return page(who, "cell.html", batch=batch, fields=fields, truth=truth, read=read, inline=inline)
