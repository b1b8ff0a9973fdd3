"""A whole form at once: its page on the left, its fields on the right, by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, SettingError
from inkshift.forms.kinds import KindError
from inkshift.review.core import queue
from inkshift.review.core.checks import CheckError
from inkshift.review.core.queue import Item, TakenError
from inkshift.review.core.undone import undone
from inkshift.review.core.words import needed
from inkshift.review.keying import views
from inkshift.review.web.pagepicture import outline, page_of, picture
from inkshift.review.web.render import inline, page
from inkshift.review.web.security import Id, Visit, Who

router = APIRouter()


@router.get("/batches/{batch}/whole")
def show(who: Who, batch: Id) -> HTMLResponse:
    """The next form that waits for somebody."""
    return _show(who, batch)


async def typed_in(request: Request) -> dict[str, str]:
    """The texts of a form, whatever their names."""
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(typed_in)]


@router.post("/batches/{batch}/whole")
def decide(who: Who, batch: Id, typed: Typed) -> Response:
    """Decide all fields of a form; the form again, with what was typed, where that cannot be or must be asked."""
    answers = _answers(typed)
    try:
        seconds = min(max(float(typed.get("seconds") or 0), 0.0), 86_400.0)
        if not answers or not all(answers.values()):
            raise SettingError(who.words("whole_first"))
        queue.decide_form(who.store, who.person, answers, seconds, _checked(typed), batch)
    except CheckError as e:
        return _show(who, batch, typed, asked=e.broken)
    except TakenError:
        return _show(who, batch, typed, error=who.words("taken"))
    except (SettingError, ValueError) as e:
        key = needed(e) if isinstance(e, KindError) else ""
        return _show(who, batch, typed, error=who.words("whole_first") + (f" {who.words(key)}" if key else ""))
    return RedirectResponse(f"/batches/{batch}/whole", 303)


@router.post("/batches/{batch}/whole/check")
def check(who: Who, batch: Id, typed: Typed) -> HTMLResponse:
    """The sums of a form while it is typed, as a part of the page."""
    form = typed.get("form", "")
    number = int(form) if form.isdecimal() and len(form) < 10 else 0
    sums, broken = queue.check_form(who.store, who.person, number, _answers(typed))
    return page(who, "_sums.html", sums=sums, broken=broken)


def _checked(typed: dict[str, str]) -> bool:
    """Whether they said that the paper says so, of just those values that they were asked about."""
    asked = {key.removeprefix("asked-"): value for key, value in typed.items() if key.startswith("asked-value-")}
    given = {key: value for key, value in typed.items() if key.startswith("value-")}
    return bool(typed.get("checked")) and asked == given


def _answers(typed: dict[str, str]) -> dict[int, str]:
    """By field: what was typed, else what was read where that was shown."""
    answers = {}
    for key, value in typed.items():
        number = key.removeprefix("value-")
        if key.startswith("value-") and number.isdecimal() and len(number) < 10:
            said = value.strip()
            if typed.get(f"kind-{number}") != "text":  # there, a letter may be what is written
                said = queue.LETTERS.get(said.lower(), said)
            answers[int(number)] = said or typed.get(f"read-{number}", "")
    return answers


def _show(
    who: Visit, batch: int, typed: dict[str, str] | None = None, *, error: str = "", asked: Any = ()
) -> HTMLResponse:
    found = views.batch_of(who, batch)
    form, items = queue.next_form(who.store, who.person, batch)
    answers = {item.field: item.suggestion for item in items if not item.settles}
    answers |= _answers(typed or {})
    sums, broken = queue.check_form(who.store, who.person, form.id, answers) if form else ([], [])
    return page(
        who,
        "whole.html",
        batch=found,
        form=form,
        items=items,
        sheets=_sheets(who, items),
        crops={item.field: inline(views.crop_of(who.store, item.field)) for item in items},
        left=views.left(who.store, batch),
        undone=0 if form else len(undone(who.store, batch)),
        typed=typed or {},
        error=error,
        asked=asked,
        sums=sums,
        broken=broken,
    )


def _sheets(who: Visit, items: Sequence[Item]) -> list[dict[str, Any]]:
    """The pages of a form's fields that can be shown, each with the boxes of its fields."""
    sheets: dict[int, dict[str, Any]] = {}
    for item in items:
        found = page_of(who.store, item.field)
        if found is None or item.page is None:
            continue
        try:
            shown = picture(found.page)
        except InkshiftError:
            continue
        sheet = sheets.setdefault(
            item.page, {"field": item.field, "version": found.page.version, "size": shown.size, "boxes": []}
        )
        if box := outline(found, shown):
            sheet["boxes"].append((item.field, box))
    return list(sheets.values())
