"""What keeps strangers out: who may see what, tokens against forged requests, headers, limits."""

from __future__ import annotations

import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Annotated, TypeVar

import sqlalchemy as sa
from fastapi import Depends, HTTPException, Path, Query, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkshift.review.core import store as stores
from inkshift.review.core.schema import Role, User
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import Tasks
from inkshift.review.core.words import Words, language
from inkshift.review.web.access import note_access
from inkshift.review.web.sessions import HOURS, LoginOrigin, find_session, start_session

COOKIE = "inkshift"
MOST_BYTES = 64 * 1024
MORE_BYTES: tuple[tuple[str, int], ...] = (
    (r"/new-batch", 256 * 2**20),
    (r"/batches/\d+/pages", 256 * 2**20),
    (r"/batches/\d+/labels", 65 * 2**20),
    (r"/pages/\d+/replace", 65 * 2**20),
    (r"/templates(/open|/\d+/(pages|try))?", 65 * 2**20),
    (r"/templates/\d+", 2**20),
)
"""Paths, as patterns, to which more may be sent, and how much."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PUBLIC = ("/login", "/login/code", "/language")
# For who has no second factor and must have one.
WITHOUT_SECOND = ("/second-factor", "/logout", "/language")
BY_ITSELF = re.compile(r"/fields/\d+/hold|/tasks/\d+|/batches/\d+/reading")
"""What a page asks for by itself as long as it is open."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

T = TypeVar("T")


def there(found: T | None) -> T:
    """What an address is of; 404 where there is none."""
    if found is None:
        raise HTTPException(404)
    return found


Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
At = Annotated[int, Query(ge=1, le=100_000)]  # page of a list


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, in which language. accounts: people log in. Without a user it is a stranger at a public page.

    files: the folder for what is uploaded and taught; tasks: what runs in the background; root: see `AppSettings`.
    lacks_second: they must have a second factor, and have none.
    """

    store: Store
    files: FilePath
    tasks: Tasks
    words: Words
    accounts: bool
    root: str
    csrf: str = ""
    user: int | None = None
    name: str = ""
    role: Role = "keyer"
    lacks_second: bool = False

    @property
    def supervisor(self) -> bool:
        return self.user is not None and self.role == "supervisor"

    @property
    def person(self) -> int:
        """The user's id, where the guard let them in."""
        assert self.user is not None
        return self.user


def has_accounts(store: Store) -> bool:
    """Whether people log in: as soon as one supervisor has a password."""
    with store.reading() as session:
        return session.scalar(_ACCOUNT) is not None


_ACCOUNT = sa.select(User.id).where(User.role == "supervisor", User.password != "").limit(1)


def visit(request: Request) -> Visit:
    """Who asks. Without accounts everybody on this computer is the local user."""
    state = request.app.state
    store: Store = state.store
    token = token_of(request)
    user = find_session(store, token, state.settings.idle, used=not BY_ITSELF.fullmatch(request.url.path))
    accounts = state.settings.accounts or (user is not None and user.password) or has_accounts(store)
    words = language(request.cookies.get("language", ""), request.headers.get("accept-language", ""))
    stranger = Visit(store, state.settings.files.resolve(), state.tasks, words, accounts, state.settings.root)
    if user and (user.password or not accounts):
        if user.longer:
            keep(request, token, state.settings.idle)
        must = bool(state.settings.second_factor and user.password and user.role == "supervisor")
        known = replace(stranger, csrf=user.csrf, user=user.user, name=user.name, role=user.role)
        return replace(known, lacks_second=must and not user.second)
    if accounts:
        return stranger
    local = store.get(User, stores.local_user(store))
    assert local is not None
    token, csrf = start_session(store, local, place=_place(request))
    keep(request, token)
    return replace(stranger, csrf=csrf, user=local.id, name=local.name, role=local.role)


Who = Annotated[Visit, Depends(visit)]


def _cookie_name(request: Request) -> str:
    """Cookies know no ports: each has its own, or two reviews on one computer would throw each other's people out."""
    return f"{COOKIE}-{request.url.port or 0}"


def token_of(request: Request) -> str:
    """What the session's cookie holds; empty without one."""
    return request.cookies.get(_cookie_name(request), "")


def keep(request: Request, token: str, lasts: timedelta = timedelta(hours=HOURS)) -> None:
    """Send the session's cookie with the answer, an empty one to end it; see `Shield`."""
    marks = "; Secure" if secure(request) else ""
    age = int(lasts.total_seconds()) if token else 0
    path = request.app.state.settings.root or "/"
    request.state.cookie = (
        f"{_cookie_name(request)}={token}; Max-Age={age}; Path={path}; HttpOnly; SameSite=strict{marks}"
    )


def let_in(request: Request, user: User) -> str:
    """Log a user in with the answer to a request: the new session's token against forged requests."""
    idle = request.app.state.settings.idle
    token, csrf = start_session(request.app.state.store, user, idle, place=_place(request))
    keep(request, token, idle)
    return csrf


def address_of(request: Request) -> str:
    """Where a request comes from, by which tries are counted."""
    return request.client.host if request.client else ""


# What browsers and systems call themselves; the first that is there is meant, as most name others too.
_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "CrOS": "ChromeOS"} | {
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def _place(request: Request) -> LoginOrigin:
    agent = request.headers.get("user-agent", "")
    known = [next((name for mark, name in names.items() if mark in agent), "") for names in (_BROWSERS, _SYSTEMS)]
    return LoginOrigin(address_of(request), ", ".join(filter(None, known)))


def secure(request: Request) -> bool:
    """Whether it came by HTTPS, so that cookies go no other way."""
    return request.url.scheme == "https"


async def guard(request: Request, who: Who) -> AsyncIterator[None]:
    """Before every page: strangers are sent to log in, and what changes something needs the session's token."""
    try:
        try:
            await _check(request, who)
        except HTTPException as refusal:
            if refusal.status_code == 403:
                note_access(request.scope, "forged request refused", who.name)
            raise
        yield
    finally:
        await request.close()  # what was uploaded goes, whoever refused it


async def _check(request: Request, who: Visit) -> None:
    if who.user is None and request.url.path not in PUBLIC:
        raise HTTPException(401, headers={"Location": "/login"})
    if who.lacks_second and request.url.path not in WITHOUT_SECOND:
        raise HTTPException(401, headers={"Location": "/second-factor"})
    if request.method in ("GET", "HEAD"):
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403)
    if who.user is None:
        return  # a stranger who logs in: SameSite and Sec-Fetch-Site stand in for the token
    given = request.headers.get("x-csrf-token") or (await request.form()).get("csrf", "")
    if not (isinstance(given, str) and hmac.compare_digest(given.encode(), who.csrf.encode())):
        await request.close()  # files that came along
        raise HTTPException(403)


def supervisor(request: Request, who: Who) -> Visit:
    if not who.supervisor:
        note_access(request.scope, "for supervisors, refused", who.name)
        raise HTTPException(403)
    return who


Supervisor = Annotated[Visit, Depends(supervisor)]


class Shield:
    """Around the whole application: who may be asked for, how much may be sent, and the headers of every answer.

    hosts: names in the address that are answered, all of them where empty; else another site's name that leads
    here could be read by that site. root: the path that every address begins with, for browsers; a proxy in front may
    leave it or take it off.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = (), root: str = "") -> None:
        self.app = app
        self.hosts = tuple(host.lower() for host in hosts)
        self.root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.root and (scope["path"] + "/").startswith(self.root + "/"):
            scope = {**scope, "path": scope["path"].removeprefix(self.root) or "/"}
        state = scope.setdefault("state", {})
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "Cache-Control": "no-store"}.items():
                    out.setdefault(name, value)
                for name in ("Location", "HX-Redirect"):
                    if out.get(name, "").startswith("/"):
                        out[name] = self.root + out[name]
                if cookie := state.get("cookie"):
                    out.append("Set-Cookie", cookie)
            await send(message)

        if self.hosts and _host(headers.get("host", "")) not in self.hosts:
            note_access(scope, "another host's name refused")
            await PlainTextResponse("wrong host", 400)(scope, receive, answer)
        elif not (size := headers.get("content-length", "0")).isdigit() or int(size) > most_bytes(scope["path"]):
            await PlainTextResponse("too large", 413)(scope, receive, answer)
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            await PlainTextResponse("length required", 411)(scope, receive, answer)
        else:
            await self.app(scope, receive, answer)


def most_bytes(path: str) -> int:
    """How much may be sent to a path."""
    return next((most for pattern, most in MORE_BYTES if re.fullmatch(pattern, path)), MOST_BYTES)


def _host(header: str) -> str:
    """The name without its port, an IPv6 address without its brackets, in lower case; empty where it is neither."""
    found = _HOST.fullmatch(header.lower())
    return (found["address"] or found["name"]) if found else ""


_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::\d*)?")
