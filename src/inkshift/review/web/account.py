"""One's own account: another password, where one is logged in, and the second factor."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import segno
from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.review.core import second
from inkshift.review.core import store as stores
from inkshift.review.core.passwords import MOST
from inkshift.review.web.access import note_access
from inkshift.review.web.render import page
from inkshift.review.web.security import Visit, Who, address_of, cookie_name, let_in, there
from inkshift.review.web.sessions import end_sessions, may_try, sessions_of, tried_right

router = APIRouter()

Password = Annotated[str, Form(max_length=MOST)]
Code = Annotated[str, Form(max_length=40)]


@router.get("/account")
def show(request: Request, who: Who) -> HTMLResponse:
    return _page(request, who)


@router.post("/account/password")
def change_password(request: Request, who: Who, old: Password = "", password: Password = "") -> Response:
    """Another password, for who knows the one that was; all other browsers are logged out."""
    whose = address_of(request), f"password {person(who).person}"
    if not may_try(who.store, *whose):
        note_access(request.scope, "too many wrong passwords", who.name)
        return _page(request, who, who.words("login_wait"), 429)
    user = stores.log_in(who.store, who.name, old)
    if user is None:
        note_access(request.scope, "wrong password for another one", who.name)
        return _page(request, who, who.words("password_wrong"), 403)
    tried_right(who.store, *whose)
    try:
        if not password:  # it would shut them out
            raise SettingError(f"{who.words('password')}: {who.words('password_hint')}")
        stores.set_password(who.store, user.id, password)
    except SettingError as e:
        return _page(request, who, str(e), 400)
    end_sessions(who.store, user.id)
    let_in(request, there(stores.user(who.store, user.id)))
    note_access(request.scope, "changed their password", who.name)
    return RedirectResponse("/account", 303)


@router.post("/account/sessions")
def end(request: Request, who: Who, key: Annotated[str, Form(max_length=64)] = "") -> Response:
    """End one's session of that key; without one all but this."""
    end_sessions(who.store, person(who).person, key=key, but=request.cookies.get(cookie_name(request), ""))
    note_access(request.scope, "ended a session elsewhere" if key else "ended all sessions elsewhere", who.name)
    return RedirectResponse("/account", 303)


def _page(request: Request, who: Visit, error: str = "", status: int = 200) -> HTMLResponse:
    user = there(stores.user(who.store, person(who).person))
    sessions = sessions_of(who.store, user, request.cookies.get(cookie_name(request), ""))
    return page(who, "account.html", status=status, sessions=sessions, error=error)


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
def show_second(who: Who) -> HTMLResponse:
    return _second(person(who))


@router.post("/second-factor")
def prove(request: Request, who: Who, code: Code = "") -> Response:
    """Ask for the second factor from now on, once its first code is right; all other browsers are logged out."""
    person(who)
    paper = second.prove(who.store, who.person, code)
    if not paper:
        proved = second.state(who.store, who.person).proved
        return RedirectResponse("/second-factor", 303) if proved else _second(who, "code_wrong", 400)
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
        return _second(who, error, status)
    second.remove(who.store, who.person)
    note_access(request.scope, "has no second factor any more", who.name)
    return RedirectResponse("/second-factor", 303)


def person(who: Visit) -> Visit:
    """Who logged in; 404 for the one user of a review without accounts."""
    if not who.accounts:
        raise HTTPException(404)
    return who


def _second(who: Visit, error: str = "", status: int = 200) -> HTMLResponse:
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
