"""The door: logging in and out, the language, who may come in, and one's own account with its second factor."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import segno
from fastapi import APIRouter, Depends, Form, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import SettingError
from inkshift.review.core import queue, second
from inkshift.review.core import store as stores
from inkshift.review.core.passwords import MOST
from inkshift.review.core.schema import User
from inkshift.review.core.store import listed
from inkshift.review.core.words import LANGUAGES
from inkshift.review.web import security, sessions
from inkshift.review.web.access import note_access
from inkshift.review.web.render import page
from inkshift.review.web.security import At, Id, Supervisor, Visit, Who, there
from inkshift.review.web.sessions import WAITS

router = APIRouter()

Name = Annotated[str, Form(max_length=100)]
Password = Annotated[str, Form(max_length=MOST)]
Code = Annotated[str, Form(max_length=40)]
YEAR = 365 * 24 * 3600
PEOPLE = 50  # of a page


@router.get("/login")
def login_page(who: Who) -> Response:
    return RedirectResponse("/", 303) if who.user else page(who, "login.html", error="", name="")


@router.post("/login")
def log_in(request: Request, who: Who, name: Name = "", password: Password = "") -> Response:
    address = security.address_of(request)
    if not sessions.may_try(who.store, address):
        note_access(request.scope, "too many wrong passwords", name)
        return page(who, "login.html", error="login_wait", name=name, status=429)
    user = stores.log_in(who.store, name, password)
    if user is None:
        note_access(request.scope, "wrong name or password", name)
        return page(who, "login.html", error="login_failed", name=name, status=403)
    sessions.tried_right(who.store, address)
    if second.state(who.store, user.id).proved:
        security.keep(request, sessions.start_session(who.store, user, waits=True)[0], WAITS)
        return RedirectResponse("/login/code", 303)
    return _let_in(request, user)


@router.get("/login/code")
def code_page(request: Request, who: Who) -> Response:
    waits = sessions.who_waits(who.store, security.token_of(request))
    return page(who, "code.html", error="") if waits else RedirectResponse("/login", 303)


@router.post("/login/code")
def give_code(request: Request, who: Who, code: Code = "") -> Response:
    """The second step of logging in: a code of the app or of the paper."""
    token = security.token_of(request)
    user = sessions.who_waits(who.store, token)
    if user is None:
        return RedirectResponse("/login", 303)
    status, error = _try_code(request, who, user.id, user.name, code)
    if error:
        return page(who, "code.html", error=error, status=status)
    sessions.end_session(who.store, token)
    return _let_in(request, user)


def _let_in(request: Request, user: User) -> Response:
    security.let_in(request, user)
    note_access(request.scope, "logged in", user.name)
    return RedirectResponse("/", 303)


@router.post("/logout")
def log_out(request: Request, who: Who) -> RedirectResponse:
    queue.release(who.store, who.person)
    sessions.end_session(who.store, security.token_of(request))
    security.keep(request, "")
    note_access(request.scope, "logged out", who.name)
    return RedirectResponse("/login", 303)


@router.post("/language")
def choose_language(request: Request, code: Annotated[str, Form(max_length=2)]) -> RedirectResponse:
    answer = RedirectResponse("/", 303)
    if code in LANGUAGES:
        answer.set_cookie("language", code, YEAR, httponly=True, samesite="strict", secure=security.secure(request))
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
    if role == "keyer" and not security.has_accounts(who.store):
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
    one = there(who.store.get(User, user))
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


def member(who: Who) -> Visit:
    """Who logged in; 404 for the one user of a review without accounts."""
    if not who.accounts:
        raise HTTPException(404)
    return who


Member = Annotated[Visit, Depends(member)]


@router.get("/account")
def show(request: Request, who: Member) -> HTMLResponse:
    return _account(request, who)


@router.post("/account/password")
def change_password(request: Request, who: Member, old: Password = "", password: Password = "") -> Response:
    """Another password, for who knows the one that was; all other browsers are logged out."""
    whose = security.address_of(request), f"password {who.person}"
    if not sessions.may_try(who.store, *whose):
        note_access(request.scope, "too many wrong passwords", who.name)
        return _account(request, who, who.words("login_wait"), 429)
    user = stores.log_in(who.store, who.name, old)
    if user is None:
        note_access(request.scope, "wrong password for another one", who.name)
        return _account(request, who, who.words("password_wrong"), 403)
    sessions.tried_right(who.store, *whose)
    try:
        if not password:  # it would shut them out
            raise SettingError(f"{who.words('password')}: {who.words('password_hint')}")
        stores.set_password(who.store, user.id, password)
    except SettingError as e:
        return _account(request, who, str(e), 400)
    sessions.end_sessions(who.store, user.id)
    security.let_in(request, there(who.store.get(User, user.id)))
    note_access(request.scope, "changed their password", who.name)
    return RedirectResponse("/account", 303)


@router.post("/account/sessions")
def end(request: Request, who: Member, key: Annotated[str, Form(max_length=64)] = "") -> Response:
    """End one's session of that key; without one all but this."""
    sessions.end_sessions(who.store, who.person, key=key, but=security.token_of(request))
    note_access(request.scope, "ended a session elsewhere" if key else "ended all sessions elsewhere", who.name)
    return RedirectResponse("/account", 303)


def _account(request: Request, who: Visit, error: str = "", status: int = 200) -> HTMLResponse:
    user = there(who.store.get(User, who.person))
    opened = sessions.sessions_of(who.store, user, security.token_of(request))
    return page(who, "account.html", status=status, sessions=opened, error=error)


def _try_code(request: Request, who: Visit, user: int, name: str, code: str) -> tuple[int, str]:
    """Status and key of what is said where a code is not right, 200 and nothing where it is.

    Tries are counted by address, and by user: whoever has the password does not guess the code from many addresses.
    """
    whose = security.address_of(request), f"code {user}"
    if not sessions.may_try(who.store, *whose):
        note_access(request.scope, "too many wrong codes", name)
        return 429, "login_wait"
    if not second.check(who.store, user, code):
        note_access(request.scope, "wrong code", name)
        return 403, "code_wrong"
    sessions.tried_right(who.store, *whose)
    return 200, ""


@router.get("/second-factor")
def show_second(who: Member) -> HTMLResponse:
    return _second(who)


@router.post("/second-factor")
def prove(request: Request, who: Member, code: Code = "") -> Response:
    """Ask for the second factor from now on, once its first code is right; all other browsers are logged out."""
    paper = second.prove(who.store, who.person, code)
    if not paper:
        proved = second.state(who.store, who.person).proved
        return RedirectResponse("/second-factor", 303) if proved else _second(who, "code_wrong", 400)
    user = there(who.store.get(User, who.person))
    sessions.end_sessions(who.store, user.id)
    csrf = security.let_in(request, user)
    note_access(request.scope, "has a second factor", who.name)
    return page(replace(who, csrf=csrf, lacks_second=False), "paper.html", codes=[_in_fours(one) for one in paper])


@router.post("/second-factor/remove")
def remove(request: Request, who: Member, code: Code = "") -> Response:
    """Ask for one no more; that takes a code, so that an open browser is not enough."""
    status, error = _try_code(request, who, who.person, who.name, code)
    if error:
        return _second(who, error, status)
    second.remove(who.store, who.person)
    note_access(request.scope, "has no second factor any more", who.name)
    return RedirectResponse("/second-factor", 303)


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
