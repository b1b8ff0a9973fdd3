"""Fields keyed by keyboard, one at a time from the queue, or a whole form at once beside its page; the page that a
field is on, its form, which a supervisor may mend; and which digits the model takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import InkshiftError, SettingError
from inkshift.forms.kinds import MOST_TEXT, KindError
from inkshift.forms.rules import Violation
from inkshift.review.core import queue
from inkshift.review.core.checks import CheckError
from inkshift.review.core.queue import Item, TakenError
from inkshift.review.core.undone import undone
from inkshift.review.core.words import needed
from inkshift.review.keying import views
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.pagepicture import outline, page_of, picture, sent
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit, Who, there

router = APIRouter()

FieldId = Annotated[int, Form(ge=1, le=2**31 - 1)]
Typed = Annotated[str, Form(max_length=MOST_TEXT)]
Seconds = Annotated[float, Form(ge=0, le=86_400, allow_inf_nan=False)]
Symbol = Annotated[str, Query(pattern="^([0-9]|∅)$")]


@dataclass(frozen=True, slots=True)
class Objection:
    """What was typed for a field and not taken: the rules that it breaks, or what is wrong with it."""

    field: int = 0
    value: str = ""
    broken: tuple[Violation, ...] = ()
    error: str = ""


@router.get("/batches/{batch}/queue")
def start(who: Who, batch: Id) -> HTMLResponse:
    return page(who, "queue.html", **_work(who, batch))


@router.post("/batches/{batch}/decide")
def decide(
    request: Request,
    who: Who,
    batch: Id,
    field: FieldId,
    value: Typed = "",
    seconds: Seconds = 0.0,
    checked: Annotated[bool, Form()] = False,
) -> Response:
    """Put a decision on a field into the log and show the next one.

    A decision that is none is said, and the same field stays; so is a field that somebody else has by now. One that
    breaks a rule is asked about, with what was typed, unless they checked the paper.
    """
    value = value.strip()
    try:
        item = queue.decide_and_next(who.store, who.person, batch, field, value, seconds, checked)
    except CheckError as e:
        return _next(request, who, batch, asked=Objection(field, value, e.broken))
    except TakenError:
        return _next(request, who, batch, "taken")
    except SettingError as e:
        return _next(request, who, batch, needed(e), asked=Objection(field, value))
    return _next(request, who, batch, "", item)


@router.post("/batches/{batch}/check")
def check(who: Who, batch: Id, field: FieldId, value: Typed = "") -> HTMLResponse:
    """The rules that an answer breaks while it is typed, as a part of the page."""
    return page(who, "_broken.html", broken=queue.check(who.store, who.person, field, value.strip()))


@router.post("/batches/{batch}/undo")
def undo(request: Request, who: Who, batch: Id) -> Response:
    """Take back this person's last decision, and show that field again where it is theirs."""
    undone = queue.undo(who.store, who.person, batch)
    if undone is None:
        return _next(request, who, batch, "nothing_to_undo")
    if undone.item is None:
        return _next(request, who, batch, "undone_elsewhere")
    return _next(request, who, batch, "undone", undone.item)


@router.post("/fields/{field}/hold")
def hold(who: Who, field: Id) -> Response:
    """Keep a field for two more minutes; 204, or 409 where somebody else has it by now."""
    return Response(status_code=204 if queue.renew(who.store, who.person, field) else 409)


@router.get("/fields/{field}/page")
def whole_page(who: Who, field: Id) -> HTMLResponse:
    """The page of a field, the field outlined, to be shown over the queue; says why where it cannot be shown."""
    found = there(page_of(who.store, field))
    try:
        shown, error = picture(found.page), ""
    except InkshiftError as e:
        shown, error = None, str(e) if who.supervisor else ""
    box = outline(found, shown) if shown else None
    return page(who, "_page.html", field=found, shown=shown, box=box, error=error, status=200)


@router.get("/fields/{field}/page.jpg")
def page_picture(who: Who, field: Id) -> Response:
    return sent(there(page_of(who.store, field)).page)


def _next(
    request: Request, who: Visit, batch: int, note: str = "", item: Item | None = None, asked: Objection | None = None
) -> Response:
    """The part of the page that changes; the whole page again for a browser without scripts."""
    if "hx-request" in request.headers or asked:
        part = "_work.html" if "hx-request" in request.headers else "queue.html"
        return page(who, part, **_work(who, batch, note, item, asked))
    return RedirectResponse(f"/batches/{batch}/queue", 303)


def _work(
    who: Visit, batch: int, note: str = "", item: Item | None = None, asked: Objection | None = None
) -> dict[str, Any]:
    found = views.batch_of(who, batch)
    item = item or queue.next_field(who.store, who.person, batch)
    crop, left = views.crop_of(who.store, item.field) if item else None, views.left(who.store, batch)
    asked = asked if asked and item and item.field == asked.field else Objection()
    on = page_of(who.store, item.field) if item and crop is None else None
    waits = 0 if item else len(undone(who.store, batch))
    shown: dict[str, Any] = {
        "undone": waits,
        "batch": found,
        "item": item,
        "picture": crop,
        "sheet": on.page if on else None,
        "note": note,
        "left": left,
    }
    return shown | {"typed": asked.value, "asked": asked.broken}


@router.get("/forms/{form}")
def form(who: Supervisor, form: Id) -> HTMLResponse:
    return _form(who, form, Objection())


def _form(who: Visit, form: int, asked: Objection) -> HTMLResponse:
    found = there(views.form_page(who.store, form))
    status = 409 if asked.broken else 400 if asked.error else 200
    return page(who, "form.html", found=found, form=found.form, asked=asked, status=status)


@router.post("/forms/{form}/fields/{field}/settle")
def settle(
    who: Supervisor, form: Id, field: Id, value: Typed = "", checked: Annotated[bool, Form()] = False
) -> Response:
    """Settle a field, whoever decided what before, and show it again; with what was typed where that must be asked."""
    found = views.form_page(who.store, form)
    if found is None or field not in {one.id for one in found.form.fields}:
        raise HTTPException(404)
    value = value.strip()
    try:
        queue.settle(who.store, who.person, field, value, checked=checked)
    except CheckError as e:
        return _form(who, form, Objection(field, value, e.broken))
    except SettingError as e:
        return _form(who, form, Objection(field, value, error=needed(e)))
    return RedirectResponse(f"/forms/{form}#field-{field}", 303)


@router.get("/batches/{batch}/confusions")
def matrix(who: Supervisor, batch: TheBatch) -> HTMLResponse:
    counts = views.confusions(who.store, batch.id)
    left = views.left(who.store, batch.id)
    return page(who, "confusions.html", batch=batch, counts=counts, symbols=views.SYMBOLS, left=left)


@router.get("/batches/{batch}/confusions/cell")
def cell(who: Supervisor, batch: TheBatch, truth: Symbol, read: Symbol) -> HTMLResponse:
    fields = views.behind(who.store, batch.id, truth, read)
    return page(who, "cell.html", batch=batch, fields=fields, truth=truth, read=read)


@router.get("/batches/{batch}/whole")
def show_whole(who: Who, batch: Id) -> HTMLResponse:
    """The next form that waits for somebody."""
    return _whole(who, batch)


async def typed_in(request: Request) -> dict[str, str]:
    """The texts of a form, whatever their names."""
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


Entries = Annotated[dict[str, str], Depends(typed_in)]


@router.post("/batches/{batch}/whole")
def decide_whole(who: Who, batch: Id, typed: Entries) -> Response:
    """Decide all fields of a form; the form again, with what was typed, where that cannot be or must be asked."""
    answers = _answers(typed)
    try:
        seconds = min(max(float(typed.get("seconds") or 0), 0.0), 86_400.0)
        if not answers or not all(answers.values()):
            raise SettingError(who.words("whole_first"))
        queue.decide_form(who.store, who.person, answers, seconds, _checked(typed), batch)
    except CheckError as e:
        return _whole(who, batch, typed, asked=e.broken)
    except TakenError:
        return _whole(who, batch, typed, error=who.words("taken"))
    except (SettingError, ValueError) as e:
        key = needed(e) if isinstance(e, KindError) else ""
        return _whole(who, batch, typed, error=who.words("whole_first") + (f" {who.words(key)}" if key else ""))
    return RedirectResponse(f"/batches/{batch}/whole", 303)


@router.post("/batches/{batch}/whole/check")
def check_whole(who: Who, batch: Id, typed: Entries) -> HTMLResponse:
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


def _whole(
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
        crops={item.field: views.crop_of(who.store, item.field) for item in items},
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
