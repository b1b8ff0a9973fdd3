"""Pages that were not read, and forms that are amiss: seen, mended, set aside."""

from __future__ import annotations

import json
import threading
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, SettingError
from inkshift.review.batches import mend
from inkshift.review.batches.mend import LONGEST_REASON, ToMend
from inkshift.review.batches.routes import show_batch
from inkshift.review.core.schema import Form as FormRow
from inkshift.review.core.undone import called
from inkshift.review.web.pagepicture import file_of, picture, sent
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit, there
from inkshift.review.web.uploads import Upload, shown_name, take

router = APIRouter()

_ONE_AT_A_TIME = threading.Lock()
Reason = Annotated[str, Form(max_length=LONGEST_REASON)]
Design = Annotated[int, Form(ge=1, le=200)]


@router.get("/pages/{number}")
def show(who: Supervisor, number: Id) -> HTMLResponse:
    """A page that was not read, and what can be done about it."""
    return _show(who, _found(who, number))


@router.get("/pages/{number}/picture.jpg")
def picture_of(who: Supervisor, number: Id) -> Response:
    return sent(file_of(who.store, _found(who, number).page))


@router.post("/pages/{number}/turn")
def turn(who: Supervisor, number: Id) -> RedirectResponse:
    _found(who, number)
    mend.turn(who.store, number)
    return RedirectResponse(f"/pages/{number}", 303)


@router.post("/pages/{number}/lay")
def lay(
    who: Supervisor, number: Id, corners: Annotated[str, Form(max_length=400)] = "", design: Design = 1
) -> Response:
    """Read a page where its four corners were put, and show its form."""
    found = _found(who, number)
    try:
        with _ONE_AT_A_TIME:
            shown = picture(file_of(who.store, found.page))
            mend.lay(who.store, found, shown, _design(found, design), _corners(corners))
    except InkshiftError as e:
        return _show(who, found, str(e).replace(str(who.store.at(found.page.source)), called(found.page)), corners)
    return RedirectResponse(f"/forms/{found.page.form_id}", 303)


@router.post("/pages/{number}/key")
def key(who: Supervisor, number: Id, design: Design = 1) -> Response:
    """Put the page's fields into the queue without a reading."""
    found = _found(who, number)
    try:
        mend.key_by_hand(who.store, found, _design(found, design))
    except SettingError as e:
        return _show(who, found, str(e))
    return RedirectResponse(f"/batches/{found.page.form.batch_id}", 303)


@router.post("/pages/{number}/replace")
def replace(who: Supervisor, number: Id, files: Upload) -> Response:
    """Read another file in the page's place."""
    found = _found(who, number)
    try:
        if len(files.files) != 1:
            raise SettingError(who.words("one_page"))
        upload = files.files[0]
        kept = take(upload, who.files / "pages" / str(number), f"upload-{who.store.clock():%Y%m%d-%H%M%S}")
        with _ONE_AT_A_TIME:
            read = mend.replaced(who.store, found, kept, shown_name(upload))
    except InkshiftError as e:
        return _show(who, found, str(e))
    return RedirectResponse(f"/forms/{found.page.form_id}" if read else f"/pages/{number}", 303)


@router.post("/pages/{number}/aside")
def aside_page(who: Supervisor, number: Id, reason: Reason = "") -> Response:
    found = _found(who, number)
    try:
        mend.put_aside(who.store, who.person, found.page.form_id, reason, number)
    except SettingError as e:
        return _show(who, found, str(e), reason=reason)
    return RedirectResponse(f"/batches/{found.page.form.batch_id}", 303)


@router.post("/pages/{number}/back")
def page_back(who: Supervisor, number: Id) -> RedirectResponse:
    found = _found(who, number)
    mend.take_back(who.store, found.page.form_id, number)
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


def _found(who: Visit, number: int) -> ToMend:
    return there(mend.to_mend(who.store, number))


def _said_of(who: Visit, form: int, reason: str, kind: mend.Kind) -> Response:
    """Say why a form is left out or right, and show its batch; with what was typed where that is no reason."""
    batch = _batch_of(who, form)
    try:
        mend.put_aside(who.store, who.person, form, reason, kind=kind)
    except SettingError as e:
        return show_batch(who, batch, str(e), reason=(form, reason))
    return RedirectResponse(f"/batches/{batch}", 303)


def _batch_of(who: Visit, form: int) -> int:
    with who.store.reading() as session:
        return there(session.get(FormRow, form)).batch_id


def _design(found: ToMend, number: int) -> int:
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


def _show(who: Visit, found: ToMend, error: str = "", corners: str = "", reason: str = "") -> HTMLResponse:
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
