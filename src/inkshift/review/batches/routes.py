"""The batches, how they get on, and the forms of each; batches renamed, archived, deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.review.batches import keep
from inkshift.review.batches import reading as readpages
from inkshift.review.batches.keep import Which
from inkshift.review.core.agreement import agreement, progress
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit, Who

router = APIRouter()

Name = Annotated[str, Form(max_length=200)]


@router.get("/")
def batches(who: Who, archived: bool = False) -> HTMLResponse:
    rows = views.batch_rows(who.store)
    shown = [row for row in rows if row.archived == archived]
    away = sum(row.archived for row in rows)
    known = bool(who.supervisor and not rows and readpages.templates(who.store, who.files))
    return page(who, "batches.html", batches=shown, away=away, archived=archived, templates=known)


@router.get("/batches/{batch}")
def batch(
    who: Supervisor,
    batch: Id,
    q: Annotated[str, Query(max_length=100)] = "",
    which: Which = "all",
    at: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """One batch: who keyed how much, how far they agree, and its forms. q: that a form's name holds; at: page."""
    return show_batch(who, batch, q=q, which=which, at=at)


def show_batch(
    who: Visit, batch: int, error: str = "", *, q: str = "", which: Which = "all", at: int = 1, name: str | None = None
) -> HTMLResponse:
    """The page of a batch. error: what could not be done, with the `name` that was typed for it."""
    found = views.batch(who.store, batch)
    if found is None:
        raise HTTPException(404)
    return page(
        who,
        "batch.html",
        status=400 if error else 200,
        error=error,
        batch=found,
        name=found.name if name is None else name,
        keying=views.keying(found),
        task=readpages.task_of(who.store, batch),
        batch_id=batch,
        unread=readpages.unread(who.store, batch),
        progress=progress(who.store, batch),
        pairs=agreement(who.store, batch),
        forms=keep.form_list(who.store, batch, q.strip(), which, at),
        q=q,
        which=which,
        undone=undone(who.store, batch),
        goes=keep.goes_with(who.store, batch),
        again=False,
    )


@router.post("/batches/{batch}/name")
def rename(who: Supervisor, batch: Id, name: Name = "") -> Response:
    _there(who, batch)
    try:
        keep.rename(who.store, batch, name)
    except SettingError as e:
        return show_batch(who, batch, str(e), name=name)
    return RedirectResponse(f"/batches/{batch}", 303)


@router.post("/batches/{batch}/archive")
def archive(who: Supervisor, batch: Id, away: Annotated[bool, Form()] = True) -> RedirectResponse:
    """Put a batch out of the way, or back."""
    _there(who, batch)
    keep.archive(who.store, batch, away)
    return RedirectResponse("/" if away else f"/batches/{batch}", 303)


@router.post("/batches/{batch}/delete")
def delete(who: Supervisor, batch: Id, name: Name = "") -> Response:
    """Delete an archived batch, whose name was typed once more."""
    _there(who, batch)
    try:
        keep.delete(who.store, batch, name)
    except SettingError as e:
        return show_batch(who, batch, str(e))
    return RedirectResponse("/", 303)


def _there(who: Visit, batch: int) -> None:
    if views.batch(who.store, batch) is None:
        raise HTTPException(404)
