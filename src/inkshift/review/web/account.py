"""One's own account: another password, and where one is logged in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.review.core import store as stores
from inkshift.review.web.access import note_access
from inkshift.review.web.entry import Password
from inkshift.review.web.render import page
from inkshift.review.web.secondfactor import person
from inkshift.review.web.security import Visit, Who, address_of, cookie_name, let_in, there
from inkshift.review.web.sessions import end_sessions, may_try, sessions_of, tried_right

router = APIRouter()


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
