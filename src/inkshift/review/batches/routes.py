"""The batches, how they get on, and the forms of each."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse

from inkshift.review.batches import reading as readpages
from inkshift.review.core.agreement import agreement, progress
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Who

router = APIRouter()


@router.get("/")
def batches(who: Who) -> HTMLResponse:
    return page(who, "batches.html", batches=views.batch_rows(who.store))


@router.get("/batches/{batch}")
def batch(who: Supervisor, batch: Id) -> HTMLResponse:
    """One batch: who keyed how much, how far they agree, and its forms."""
    found = views.batch(who.store, batch)
    if found is None:
        raise HTTPException(404)
    return page(
        who,
        "batch.html",
        batch=found,
        keying=views.keying(found),
        task=readpages.task_of(who.store, batch),
        batch_id=batch,
        unread=readpages.unread(who.store, batch),
        progress=progress(who.store, batch),
        pairs=agreement(who.store, batch),
        forms=views.form_names(who.store, batch),
        undone=undone(who.store, batch),
    )
