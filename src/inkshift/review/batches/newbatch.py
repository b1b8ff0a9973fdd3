"""A new batch from pages that are uploaded, and how far they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, InputError, SettingError
from inkshift.review.batches import reading as readpages
from inkshift.review.batches.reading import KIND, Taken, Wanted
from inkshift.review.batches.routes import show_batch
from inkshift.review.core import tasks
from inkshift.review.core.agreement import progress
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit, there
from inkshift.review.web.uploads import Sent, Upload, take

router = APIRouter()

KEYING = ("single", "double", "double_model")


@router.get("/new-batch")
def ask(who: Supervisor) -> HTMLResponse:
    return _form(who, {})


@router.post("/new-batch")
def make(who: Supervisor, sent: Upload) -> Response:
    """Keep the pages, make the batch, and begin to read; the form again where that cannot be."""
    keying = sent.texts.get("keying", "single")
    wanted = Wanted(
        sent.texts.get("name", ""), sent.texts.get("template", ""), keying != "single", keying == "double_model"
    )
    try:
        if keying not in KEYING or wanted.template not in {
            one.key for one in readpages.templates(who.store, who.files)
        }:
            raise SettingError(who.words("no_template"))
        if _busy(who):
            raise SettingError(who.words("reading_other"))
        batch = readpages.new_batch(who.store, who.files, wanted, lambda folder: _keep(sent, folder))
        who.tasks.start(KIND, {"batch": batch})
    except InkshiftError as e:
        return _form(who, sent.texts, str(e))
    return RedirectResponse(f"/batches/{batch}", 303)


@router.post("/batches/{batch}/pages")
def add(who: Supervisor, batch: TheBatch, sent: Upload) -> Response:
    """Add pages to a batch and read them."""
    try:
        if _busy(who):
            raise SettingError(who.words("reading_other"))
        readpages.add_pages(who.store, batch.id, lambda folder, first: _keep(sent, folder, first))
        who.tasks.start(KIND, {"batch": batch.id})
    except InkshiftError as e:
        return show_batch(who, batch.id, str(e))
    return RedirectResponse(f"/batches/{batch.id}", 303)


def _keep(sent: Sent, folder: Path, first: int = 1) -> list[Taken]:
    """Keep those files that are pages, and say of each other why it is none."""
    names = readpages.unique([upload.filename or "" for upload in sent.files])
    kept = []
    for i, (upload, name) in enumerate(zip(sent.files, names, strict=True), first):
        try:
            kept.append(Taken(take(upload, folder, f"upload-{i:04}"), name))
        except InputError as e:
            kept.append(Taken(folder / f"upload-{i:04}", name, str(e)))
    return kept


def _busy(who: Visit) -> bool:
    return any(task.status == "running" for task in tasks.tasks(who.store, KIND))


def _form(who: Visit, given: dict[str, str], error: str = "") -> HTMLResponse:
    known = readpages.templates(who.store, who.files)
    return page(
        who,
        "newbatch.html",
        status=400 if error else 200,
        templates=known,
        given=given,
        keyings=KEYING,
        error=error or (who.words("reading_other") if _busy(who) else ""),
    )


@router.get("/batches/{batch}/reading")
def reading(who: Supervisor, batch: Id) -> HTMLResponse:
    """How far the pages of a batch are read, as a part of its page."""
    task = there(readpages.task_of(who.store, batch))
    headers = {} if task.status == "running" else {"HX-Refresh": "true"}
    counts = progress(who.store, batch)
    return page(who, "_reading.html", headers=headers, task=task, batch_id=batch, progress=counts, again=True)


@router.post("/batches/{batch}/reading/{what}")
def change(who: Supervisor, batch: Id, what: Literal["stop", "again"]) -> RedirectResponse:
    """Stop reading, or go on."""
    task = readpages.task_of(who.store, batch)
    if what == "again" and readpages.unread(who.store, batch):
        who.tasks.start(KIND, {"batch": batch})
    elif task is None:
        raise HTTPException(404)
    elif what == "stop":
        who.tasks.stop(task.id)
    else:
        who.tasks.go_on(task.id)
    return RedirectResponse(f"/batches/{batch}", 303)
