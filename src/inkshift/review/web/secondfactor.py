"""The second factor of whoever is logged in: its page, and how codes are tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import segno
from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.review.core import second
from inkshift.review.core import store as stores
from inkshift.review.web.access import note_access
from inkshift.review.web.render import page
from inkshift.review.web.security import Visit, Who, address_of, let_in
from inkshift.review.web.sessions import end_sessions, may_try, tried_right

router = APIRouter()

Code = Annotated[str, Form(max_length=40)]


def try_code(request: Request, who: Visit, user: int, name: str, code: str) -> tuple[int, str]:
    """Status and key of what is said where a code is not right, 200 and nothing where it is.

    Tries are counted by address, and by user: whoever has the password does not guess the code from many addresses.
    """
    whose = address_of(request), f"code {user}"
    if not may_try(who.store, *whose):
        note_access(request.scope, "too many wrong codes", name)
        return 429, "login_wait"
    if not second.check(who.store, user, code):
        note_access(request.scope, "wrong code", name)
        return 403, "code_wrong"
    tried_right(who.store, *whose)
    return 200, ""


@router.get("/second-factor")
def show(who: Who) -> HTMLResponse:
    return _page(person(who))


@router.post("/second-factor")
def prove(request: Request, who: Who, code: Code = "") -> Response:
    """Ask for the second factor from now on, once its first code is right; all other browsers are logged out."""
    person(who)
    paper = second.prove(who.store, who.person, code)
    if not paper:
        proved = second.state(who.store, who.person).proved
        return RedirectResponse("/second-factor", 303) if proved else _page(who, "code_wrong", 400)
    user = stores.user(who.store, who.person)
    assert user is not None
    end_sessions(who.store, user.id)
    csrf = let_in(request, user)
    note_access(request.scope, "has a second factor", who.name)
    return page(replace(who, csrf=csrf, lacks_second=False), "paper.html", codes=[_in_fours(one) for one in paper])


@router.post("/second-factor/remove")
def remove(request: Request, who: Who, code: Code = "") -> Response:
    """Ask for one no more; that takes a code, so that an open browser is not enough."""
    status, error = try_code(request, person(who), who.person, who.name, code)
    if error:
        return _page(who, error, status)
    second.remove(who.store, who.person)
    note_access(request.scope, "has no second factor any more", who.name)
    return RedirectResponse("/second-factor", 303)


def person(who: Visit) -> Visit:
    """Who logged in; 404 for the one user of a review without accounts."""
    if not who.accounts:
        raise HTTPException(404)
    return who


def _page(who: Visit, error: str = "", status: int = 200) -> HTMLResponse:
    state = second.state(who.store, who.person)
    picture = secret = ""
    if not state.proved:
        secret = second.begin(who.store, who.person)
        code = segno.make(second.address(who.name, secret), error="m", micro=False)
        picture = code.svg_data_uri(scale=5, border=4, light="white")
        secret = _in_fours(secret)
    return page(who, "secondfactor.html", status=status, state=state, picture=picture, secret=secret, error=error)


def _in_fours(text: str) -> str:
    """Letters as people read and type them."""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
