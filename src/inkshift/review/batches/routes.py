"""Batches: made from pages that are uploaded, how they get on, renamed, archived, deleted, and written to files; what
reading left undone in them is mended, or set aside."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, Query
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, InputError, SettingError
from inkshift.review.batches import keep, mend
from inkshift.review.batches import reading as readpages
from inkshift.review.batches.exchange import write_label_studio, write_table
from inkshift.review.batches.keep import Which
from inkshift.review.batches.mend import LONGEST_REASON, PageRepair
from inkshift.review.batches.reading import KIND, BatchRequest, SentFile
from inkshift.review.core import tasks
from inkshift.review.core.agreement import agreement, progress
from inkshift.review.core.intake import add_labels
from inkshift.review.core.schema import Form as FormRow
from inkshift.review.core.store import listed
from inkshift.review.core.undone import called, undone
from inkshift.review.keying import views
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.pagepicture import file_of, picture, sent
from inkshift.review.web.render import page, written
from inkshift.review.web.security import At, Id, Supervisor, Visit, Who, there
from inkshift.review.web.uploads import Upload, UploadForm, shown_name, take, take_labels

router = APIRouter()

KEYING = ("single", "double", "double_model")
Name = Annotated[str, Form(max_length=200)]
Kind = Literal["csv", "jsonl", "xlsx", "label-studio"]
_FILES: dict[Kind, tuple[str, str]] = {
    "csv": ("csv", "text/csv"),
    "jsonl": ("jsonl", "application/jsonl"),
    "xlsx": ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "label-studio": ("json", "application/json"),
}
_ONE_AT_A_TIME = threading.Lock()
Reason = Annotated[str, Form(max_length=LONGEST_REASON)]
Design = Annotated[int, Form(ge=1, le=200)]


@router.get("/")
def batches(who: Who, archived: bool = False, at: At = 1) -> HTMLResponse:
    shown = views.batch_list(who.store, archived, at)
    known = bool(who.supervisor and not shown.count and readpages.templates(who.store, who.files))
    return page(who, "batches.html", batches=shown, archived=archived, templates=known)


class FormsQuery(BaseModel):
    """Which of a batch's forms are asked for, and the page of each list. q: that a form's name holds."""

    q: Annotated[str, Field(max_length=100)] = ""
    which: Which = "all"
    at: At = 1
    pages: At = 1
    odd: At = 1
    aside: At = 1


@router.get("/batches/{batch}")
def batch(who: Supervisor, batch: Id, asked: Annotated[FormsQuery, Query()]) -> HTMLResponse:
    """One batch: who keyed how much, how far they agree, what is left undone, and its forms."""
    return show_batch(who, batch, asked=asked)


def show_batch(
    who: Visit,
    batch: int,
    error: str = "",
    *,
    done: str = "",
    asked: FormsQuery | None = None,
    name: str | None = None,
    reason: tuple[int, str] = (0, ""),
) -> HTMLResponse:
    """The page of a batch. error: what could not be done, with what was typed for it: the `name`, or the `reason` for
    the form of that id. done: what was done.
    """
    found, asked = views.batch_of(who, batch), asked or FormsQuery()
    left = undone(who.store, batch)
    return page(
        who,
        "batch.html",
        error=error,
        done=done,
        batch=found,
        name=found.name if name is None else name,
        reason=reason,
        keying=views.keying(found),
        task=readpages.task_of(who.store, batch),
        batch_id=batch,
        unread=readpages.unread(who.store, batch),
        progress=progress(who.store, batch),
        pairs=agreement(who.store, batch),
        forms=keep.form_list(who.store, batch, asked.q.strip(), asked.which, asked.at),
        q=asked.q,
        which=asked.which,
        undone=left,
        undone_pages=listed(left.pages, asked.pages, keep.EACH),
        odd=listed(left.forms, asked.odd, keep.EACH),
        aside=listed(left.aside, asked.aside, keep.EACH),
        goes=keep.goes_with(who.store, batch),
        again=False,
    )


@router.post("/batches/{batch}/name")
def rename(who: Supervisor, batch: TheBatch, name: Name = "") -> Response:
    try:
        keep.rename(who.store, batch.id, name)
    except SettingError as e:
        return show_batch(who, batch.id, str(e), name=name)
    return RedirectResponse(f"/batches/{batch.id}", 303)


@router.post("/batches/{batch}/labels")
def label(who: Supervisor, batch: TheBatch, sent: Upload) -> HTMLResponse:
    """Put what is known of a batch already into the log, as the answers of a keyer called by the file's name."""
    try:
        if not sent.files:
            raise SettingError(who.words("labels_none"))
        name = shown_name(sent.files[0])
        added = add_labels(who.store, batch.id, take_labels(sent.files[0]), name)
    except InkshiftError as e:
        return show_batch(who, batch.id, str(e))
    return show_batch(who, batch.id, done=who.words("labels_added", n=added.added, file=name, unused=len(added.unused)))


@router.post("/batches/{batch}/archive")
def archive(who: Supervisor, batch: TheBatch, away: Annotated[bool, Form()] = True) -> RedirectResponse:
    """Put a batch out of the way, or back."""
    keep.archive(who.store, batch.id, away)
    return RedirectResponse("/" if away else f"/batches/{batch.id}", 303)


@router.post("/batches/{batch}/delete")
def delete(who: Supervisor, batch: TheBatch, name: Name = "") -> Response:
    """Delete an archived batch, whose name was typed once more."""
    try:
        keep.delete(who.store, batch.id, name)
    except SettingError as e:
        return show_batch(who, batch.id, str(e))
    return RedirectResponse("/", 303)


@router.get("/batches/{batch}/export")
def choose(who: Supervisor, batch: TheBatch) -> HTMLResponse:
    left = views.left(who.store, batch.id)
    return page(who, "export.html", batch=batch, left=left, undone=undone(who.store, batch.id))


@router.get("/batches/{batch}/export/{kind}")
def download(who: Supervisor, batch: TheBatch, kind: Kind) -> FileResponse:
    """What a batch came to, as a file."""
    ending, media = _FILES[kind]
    open_ = "-incomplete" if len(undone(who.store, batch.id)) or readpages.incomplete(who.store, batch.id) else ""
    name = f"batch-{batch.id}{'-label-studio' if kind == 'label-studio' else ''}{open_}.{ending}"
    write = write_label_studio if kind == "label-studio" else write_table
    return written(lambda path: write(who.store, batch.id, path), name, media)


@router.get("/new-batch")
def ask(who: Supervisor) -> HTMLResponse:
    return _form(who, {})


@router.post("/new-batch")
def make(who: Supervisor, sent: Upload) -> Response:
    """Keep the pages, make the batch, and begin to read; the form again where that cannot be."""
    keying = sent.texts.get("keying", "single")
    wanted = BatchRequest(
        sent.texts.get("name", ""), sent.texts.get("template", ""), keying != "single", keying == "double_model"
    )
    try:
        if keying not in KEYING or wanted.template not in readpages.templates(who.store, who.files):
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


def _keep(sent: UploadForm, folder: Path, first: int = 1) -> list[SentFile]:
    """Keep those files that are pages, and say of each other why it is none."""
    names = readpages.unique([upload.filename or "" for upload in sent.files])
    kept = []
    for i, (upload, name) in enumerate(zip(sent.files, names, strict=True), first):
        try:
            kept.append(SentFile(take(upload, folder, f"upload-{i:04}"), name))
        except InputError as e:
            kept.append(SentFile(folder / f"upload-{i:04}", name, str(e)))
    return kept


def _busy(who: Visit) -> bool:
    return any(task.status == "running" for task in tasks.tasks(who.store, KIND))


def _form(who: Visit, given: dict[str, str], error: str = "") -> HTMLResponse:
    return page(
        who,
        "newbatch.html",
        status=400 if error else 200,
        templates=readpages.templates(who.store, who.files),
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


def unread_page(who: Supervisor, number: Id) -> PageRepair:
    """The page of an address that was not read; 404 where there is none."""
    return there(mend.to_mend(who.store, number))


Unread = Annotated[PageRepair, Depends(unread_page)]


@router.get("/pages/{number}")
def show_unread(who: Supervisor, found: Unread) -> HTMLResponse:
    """A page that was not read, and what can be done about it."""
    return _unread(who, found)


@router.get("/pages/{number}/picture.jpg")
def picture_of(who: Supervisor, found: Unread) -> Response:
    return sent(file_of(who.store, found.page))


@router.post("/pages/{number}/turn")
def turn(who: Supervisor, found: Unread) -> RedirectResponse:
    mend.turn(who.store, found.page.id)
    return RedirectResponse(f"/pages/{found.page.id}", 303)


@router.post("/pages/{number}/lay")
def lay(
    who: Supervisor, found: Unread, corners: Annotated[str, Form(max_length=400)] = "", design: Design = 1
) -> Response:
    """Read a page where its four corners were put, and show its form."""
    try:
        with _ONE_AT_A_TIME:
            shown = picture(file_of(who.store, found.page))
            mend.lay(who.store, found, shown, _design(found, design), _corners(corners))
    except InkshiftError as e:
        return _unread(who, found, str(e).replace(str(who.store.at(found.page.source)), called(found.page)), corners)
    return RedirectResponse(f"/forms/{found.page.form_id}", 303)


@router.post("/pages/{number}/key")
def key(who: Supervisor, found: Unread, design: Design = 1) -> Response:
    """Put the page's fields into the queue without a reading."""
    try:
        mend.key_by_hand(who.store, found, _design(found, design))
    except SettingError as e:
        return _unread(who, found, str(e))
    return RedirectResponse(f"/batches/{found.page.form.batch_id}", 303)


@router.post("/pages/{number}/replace")
def replace(who: Supervisor, found: Unread, files: Upload) -> Response:
    """Read another file in the page's place."""
    try:
        if len(files.files) != 1:
            raise SettingError(who.words("one_page"))
        upload = files.files[0]
        kept = take(upload, who.files / "pages" / str(found.page.id), f"upload-{who.store.clock():%Y%m%d-%H%M%S}")
        with _ONE_AT_A_TIME:
            read = mend.replaced(who.store, found, kept, shown_name(upload))
    except InkshiftError as e:
        return _unread(who, found, str(e))
    return RedirectResponse(f"/forms/{found.page.form_id}" if read else f"/pages/{found.page.id}", 303)


@router.post("/pages/{number}/aside")
def aside_page(who: Supervisor, found: Unread, reason: Reason = "") -> Response:
    try:
        mend.put_aside(who.store, who.person, found.page.form_id, reason, found.page.id)
    except SettingError as e:
        return _unread(who, found, str(e), reason=reason)
    return RedirectResponse(f"/batches/{found.page.form.batch_id}", 303)


@router.post("/pages/{number}/back")
def page_back(who: Supervisor, found: Unread) -> RedirectResponse:
    mend.take_back(who.store, found.page.form_id, found.page.id)
    return RedirectResponse(f"/batches/{found.page.form.batch_id}", 303)


@router.post("/forms/{form}/aside")
def aside_form(who: Supervisor, form: Id, reason: Reason = "") -> Response:
    return _said_of(who, form, reason, "aside")


@router.post("/forms/{form}/right")
def right(who: Supervisor, form: Id, reason: Reason = "") -> Response:
    return _said_of(who, form, reason, "right")


@router.post("/forms/{form}/back")
def form_back(who: Supervisor, form: Id) -> RedirectResponse:
    batch = _batch_of(who, form)
    mend.take_back(who.store, form)
    return RedirectResponse(f"/batches/{batch}", 303)


def _said_of(who: Visit, form: int, reason: str, kind: mend.Kind) -> Response:
    """Say why a form is left out or right, and show its batch; with what was typed where that is no reason."""
    batch = _batch_of(who, form)
    try:
        mend.put_aside(who.store, who.person, form, reason, kind=kind)
    except SettingError as e:
        return show_batch(who, batch, str(e), reason=(form, reason))
    return RedirectResponse(f"/batches/{batch}", 303)


def _batch_of(who: Visit, form: int) -> int:
    return there(who.store.get(FormRow, form)).batch_id


def _design(found: PageRepair, number: int) -> int:
    """Which page of the template, from 0."""
    if found.template is None or number > len(found.template.pages):
        raise SettingError("page of the template: there is no such page; choose another")
    return number - 1


def _corners(text: str) -> list[tuple[float, float]]:
    """Four points, as JSON: [[x, y], ...]."""
    try:
        points = [(float(x), float(y)) for x, y in json.loads(text)]
    except (ValueError, TypeError):
        points = []
    if len(points) != 4 or not all(abs(v) < 10**5 for point in points for v in point):
        raise SettingError("corners: expected four points; put them on the page again")
    return points


def _unread(who: Visit, found: PageRepair, error: str = "", corners: str = "", reason: str = "") -> HTMLResponse:
    try:
        shown, gone = picture(file_of(who.store, found.page)), ""
    except InkshiftError as e:
        shown, gone = None, str(e)
    pages = found.template.pages if found.template else ()
    designs = [{"frame": mend.frame(one), "fields": [f.box for f in one.fields], "size": one.size} for one in pages]
    return page(
        who,
        "unread.html",
        error=error,
        found=found,
        name=called(found.page),
        shown=shown,
        version=file_of(who.store, found.page).version,
        gone=gone,
        designs=designs,
        corners=corners,
        reason=reason,
    )
