"""The door: logging in and out, the language, and who may come in."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.review.core import queue, second
from inkshift.review.core import store as stores
from inkshift.review.core.paging import listed
from inkshift.review.core.schema import User
from inkshift.review.core.words import LANGUAGES
from inkshift.review.web.access import note_access
from inkshift.review.web.account import Code, Password, try_code
from inkshift.review.web.render import page
from inkshift.review.web.security import (
    At,
    Id,
    Supervisor,
    Visit,
    Who,
    address_of,
    cookie_name,
    has_accounts,
    keep,
    let_in,
    secure,
    there,
)
from inkshift.review.web.sessions import WAITS, end_session, may_try, start_session, tried_right, who_waits

router = APIRouter()

Name = Annotated[str, Form(max_length=100)]
YEAR = 365 * 24 * 3600
PEOPLE = 50  # of a page


@router.get("/login")
def login_page(who: Who) -> Response:
    return RedirectResponse("/", 303) if who.user else page(who, "login.html", error="", name="")


@router.post("/login")
def log_in(request: Request, who: Who, name: Name = "", password: Password = "") -> Response:
    address = address_of(request)
    if not may_try(who.store, address):
        note_access(request.scope, "too many wrong passwords", name)
        return page(who, "login.html", error="login_wait", name=name, status=429)
    user = stores.log_in(who.store, name, password)
    if user is None:
        note_access(request.scope, "wrong name or password", name)
        return page(who, "login.html", error="login_failed", name=name, status=403)
    tried_right(who.store, address)
    if second.state(who.store, user.id).proved:
        keep(request, start_session(who.store, user, waits=True)[0], WAITS)
        return RedirectResponse("/login/code", 303)
    return _let_in(request, user)


@router.get("/login/code")
def code_page(request: Request, who: Who) -> Response:
    waits = who_waits(who.store, request.cookies.get(cookie_name(request), ""))
    return page(who, "code.html", error="") if waits else RedirectResponse("/login", 303)


@router.post("/login/code")
def give_code(request: Request, who: Who, code: Code = "") -> Response:
    """The second step of logging in: a code of the app or of the paper."""
    token = request.cookies.get(cookie_name(request), "")
    user = who_waits(who.store, token)
    if user is None:
        return RedirectResponse("/login", 303)
    status, error = try_code(request, who, user.id, user.name, code)
    if error:
        return page(who, "code.html", error=error, status=status)
    end_session(who.store, token)
    return _let_in(request, user)


def _let_in(request: Request, user: User) -> Response:
    let_in(request, user)
    note_access(request.scope, "logged in", user.name)
    return RedirectResponse("/", 303)


@router.post("/logout")
def log_out(request: Request, who: Who) -> RedirectResponse:
    queue.release(who.store, who.person)
    end_session(who.store, request.cookies.get(cookie_name(request), ""))
    keep(request, "")
    note_access(request.scope, "logged out", who.name)
    return RedirectResponse("/login", 303)


@router.post("/language")
def choose_language(request: Request, code: Annotated[str, Form(max_length=2)]) -> RedirectResponse:
    answer = RedirectResponse("/", 303)
    if code in LANGUAGES:
        answer.set_cookie("language", code, max_age=YEAR, httponly=True, samesite="strict", secure=secure(request))
    return answer


@router.get("/people")
def people(who: Supervisor, at: At = 1) -> HTMLResponse:
    return _people(who, at=at)


@router.post("/people")
def add(
    request: Request,
    who: Supervisor,
    name: Name = "",
    password: Password = "",
    role: Annotated[Literal["keyer", "supervisor"], Form()] = "keyer",
) -> Response:
    """Add a person. The first with a password must be a supervisor, or nobody could add others."""
    if role == "keyer" and not has_accounts(who.store):
        return _people(who, who.words("user_first"), name, role)
    try:
        if not password:
            raise SettingError(f"{who.words('password')}: {who.words('password_hint')}")
        stores.add_user(who.store, name, role, password)
    except SettingError as e:
        return _people(who, str(e), name, role)
    note_access(request.scope, f"{role} {name} added", who.name)
    return RedirectResponse("/people", 303)


@router.post("/people/{user}/password")
def set_password(request: Request, who: Supervisor, user: Id, password: Password = "") -> Response:
    """Give somebody else another password; an empty one shuts them out. One's own needs the old one, so that the last
    supervisor stays."""
    if user == who.user:
        raise HTTPException(404)
    everybody = stores.users(who.store)
    if not any(one.id == user and one.name != stores.LOCAL for one in everybody):
        raise HTTPException(404)
    try:
        stores.set_password(who.store, user, password)
    except SettingError as e:
        return _people(who, str(e))
    changed = next(one.name for one in everybody if one.id == user)
    note_access(request.scope, f"{changed} {'has another password' if password else 'is shut out'}", who.name)
    return RedirectResponse("/people", 303)


@router.post("/people/{user}/second-factor")
def remove_second(request: Request, who: Supervisor, user: Id) -> Response:
    """Take the second factor from somebody else, who lost it; one's own needs a code."""
    one = there(stores.user(who.store, user))
    if user == who.user:
        raise HTTPException(404)
    second.remove(who.store, user)
    note_access(request.scope, f"{one.name} has no second factor any more", who.name)
    return RedirectResponse("/people", 303)


def _people(who: Visit, error: str = "", name: str = "", role: str = "", at: int = 1) -> HTMLResponse:
    users = listed([user for user in stores.users(who.store) if user.name != stores.LOCAL], at, PEOPLE)
    given = {"name": name, "role": role}
    holders = second.holders(who.store)
    return page(who, "people.html", users=users, holders=holders, error=error, given=given)
