"""Templates: designed on a picture of the page, tried on others, and given away."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, SettingError
from inkshift.review.batches.reading import open_reader
from inkshift.review.core.schema import Draft
from inkshift.review.core.store import listed
from inkshift.review.designer import drafting, drafts
from inkshift.review.designer.tryout import try_on
from inkshift.review.web.render import page
from inkshift.review.web.security import At, Id, Supervisor, Visit, there
from inkshift.review.web.uploads import Upload, UploadForm, shown_name, take
from inkshift.scratch import scratch

router = APIRouter()

TEMPLATES = 20  # of a page

_ONE_AT_A_TIME = threading.Lock()


def draft_of(who: Supervisor, draft: Id) -> Draft:
    """The template of an address; 404 where there is none."""
    return there(who.store.get(Draft, draft))


TheDraft = Annotated[Draft, Depends(draft_of)]


@router.get("/templates")
def templates(who: Supervisor, at: At = 1) -> HTMLResponse:
    return _list(who, at=at)


@router.post("/templates")
def begin(who: Supervisor, sent: Upload) -> Response:
    """A new template of a page that was sent; an error is said on the list."""
    try:
        draft = drafts.begin(who.store, who.files, sent.texts.get("name", ""), _one(sent), _page(sent))
    except InkshiftError as e:
        return _list(who, str(e), sent.texts)
    return RedirectResponse(f"/templates/{draft}", 303)


@router.post("/templates/open")
def open_made(who: Supervisor, sent: Upload) -> Response:
    """Open a template that was made elsewhere; an error is said on the list."""
    try:
        draft = drafts.open_made(who.store, who.files, sent.files)
    except InkshiftError as e:
        return _list(who, str(e))
    return RedirectResponse(f"/templates/{draft}", 303)


@router.get("/templates/{draft}")
def designer(who: Supervisor, draft: TheDraft) -> HTMLResponse:
    return _designer(who, draft)


@router.post("/templates/{draft}")
def save(who: Supervisor, draft: TheDraft, given: drafting.DraftTemplate) -> JSONResponse:
    """Keep the template as it is; what is wrong with it, or 409 and why it is not kept."""
    told = who.words.told
    try:
        checked, changed = drafts.save(who.store, who.files, draft.id, given)
    except SettingError as e:
        return JSONResponse({"error": told(str(e))}, 409)
    return JSONResponse(
        {"changed": changed, "problems": [*map(told, checked.problems)], "rules": [*map(told, checked.rules)]}
    )


@router.post("/templates/{draft}/pages")
def add_page(who: Supervisor, draft: TheDraft, sent: Upload) -> Response:
    try:
        number = drafts.add_page(who.store, who.files, draft.id, _one(sent), _page(sent))
    except InkshiftError as e:
        return _designer(who, draft, str(e))
    return RedirectResponse(f"/templates/{draft.id}#page-{number}", 303)


@router.post("/templates/{draft}/pages/{number}/turn")
def turn_page(who: Supervisor, draft: TheDraft, number: Id) -> RedirectResponse:
    drafts.turn_page(who.store, who.files, draft.id, number)
    return RedirectResponse(f"/templates/{draft.id}#page-{number}", 303)


@router.post("/templates/{draft}/pages/{number}/delete")
def drop_page(who: Supervisor, draft: TheDraft, number: Id) -> RedirectResponse:
    drafts.drop_page(who.store, who.files, draft.id, number)
    return RedirectResponse(f"/templates/{draft.id}", 303)


@router.post("/templates/{draft}/delete")
def delete(who: Supervisor, draft: TheDraft) -> RedirectResponse:
    drafts.delete(who.store, who.files, draft.id)
    return RedirectResponse("/templates", 303)


@router.get("/templates/{draft}/pages/{number}.jpg")
def picture(who: Supervisor, draft: TheDraft, number: Id) -> FileResponse:
    path = drafts.picture(who.files, draft.id, number)
    if not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type="image/jpeg")


@router.post("/templates/{draft}/try")
def try_it(who: Supervisor, draft: TheDraft, sent: Upload) -> HTMLResponse:
    """Read the pages that were sent, or the template's own, and show what is read in each field."""
    checked = drafting.check(draft.template)
    tried, error = [], ""
    if not checked.problems:
        try:
            with _ONE_AT_A_TIME, scratch() as folder:
                given = [(shown_name(file), take(file, folder, str(n))) for n, file in enumerate(sent.files)]
                reader = open_reader(who.store, drafts.folder(who.files, draft.id) / "template.json")
                tried = try_on(reader, given or _own_pages(who, draft))
        except InkshiftError as e:
            error = str(e)
    problems = checked.problems
    return page(who, "_tried.html", tried=tried, error=error, problems=problems, status=200)


@router.get("/templates/{draft}/download")
def download(who: Supervisor, draft: TheDraft) -> Response:
    named = {"Content-Disposition": f'attachment; filename="template-{draft.id}.zip"'}
    return Response(drafts.packed(who.files, draft.id), media_type="application/zip", headers=named)


def _own_pages(who: Visit, draft: Draft) -> list[tuple[str, Path]]:
    pages = range(1, len(draft.template["pages"]) + 1)
    return [(f"{draft.name} {n}" if n > 1 else draft.name, drafts.picture(who.files, draft.id, n)) for n in pages]


def _one(sent: UploadForm) -> Any:
    if len(sent.files) != 1:
        raise SettingError("a page is needed; choose a PDF, JPEG, PNG, TIFF, HEIC or WebP")
    return sent.files[0]


def _page(sent: UploadForm) -> int:
    number = sent.texts.get("page", "") or "1"
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise SettingError(f"page {number[:20]!r}: expected its number in the file, from 1")
    return int(number)


def _list(who: Visit, error: str = "", given: Mapping[str, str] = MappingProxyType({}), at: int = 1) -> HTMLResponse:
    found = listed(drafts.drafts(who.store), at, TEMPLATES)
    shown = found.each(
        lambda one: (
            one,
            sum(len(each["fields"]) for each in one.template["pages"]),
            not drafting.check(one.template).problems,
        )
    )
    return page(who, "templates.html", templates=shown, error=error, given=given)


def _designer(who: Visit, draft: Draft, error: str = "") -> HTMLResponse:
    """The designer, with all that its scripts need in the page's attributes."""
    checked = drafting.check(draft.template)
    pages = [
        {**one, "proposed": drafts.proposed(who.files, draft.id, n)} for n, one in enumerate(draft.template["pages"], 1)
    ]
    data = {
        **draft.template,
        "name": draft.name,
        "pages": pages,
        "rules": [drafting.rule_line(rule) for rule in draft.template["rules"]],
        "changed": draft.changed.isoformat(),
        "problems": [*map(who.words.told, checked.problems)],
        "broken": [*map(who.words.told, checked.rules)],
    }
    path = str(drafts.folder(who.files, draft.id) / "template.json")
    texts = who.words.of_scripts()
    return page(who, "designer.html", draft=draft, data=data, texts=texts, path=path, error=error)
