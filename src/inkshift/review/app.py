"""The web application of review: plain pages, htmx where a page should not load anew; and what a machine asks it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from inkshift.errors import InkshiftError
from inkshift.jobs import end_with
from inkshift.review import routes as learning
from inkshift.review.acceptance import routes as acceptance
from inkshift.review.batches import routes as batches
from inkshift.review.core import store as stores
from inkshift.review.core.queue import TakenError
from inkshift.review.core.schema import Decision, Field, OpenSession, TaskRecord
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import ADDRESS, Tasks
from inkshift.review.designer import routes as templates
from inkshift.review.keying import routes as keying
from inkshift.review.web import entry
from inkshift.review.web.access import access_log
from inkshift.review.web.render import page
from inkshift.review.web.security import LOOPBACK, Shield, guard, visit
from inkshift.review.web.sessions import IDLE

WORKER = "INKSHIFT_REVIEW_WORKER"
STATIC = [
    (f"inkshift.review{room}", "static") for room in ("", ".web", ".batches", ".keying", ".acceptance", ".designer")
]
ROUTES = (batches, keying, acceptance, templates, learning, entry)


@dataclass(frozen=True, slots=True)
class AppSettings:
    """accounts: nobody gets in without logging in, even where no account is there yet.

    hosts: names in a browser's address that are answered; all where empty. files: the folder for what is uploaded and
    taught; made where something is to go there. keeps_tasks: this process of the server keeps them. root: the path that
    every address begins with, empty or such as `/review`. idle: how long nothing is done before somebody is logged out.
    second_factor: supervisors who log in must have one.
    """

    accounts: bool = False
    hosts: tuple[str, ...] = LOOPBACK
    files: Path = Path("review-files")
    keeps_tasks: bool = True
    root: str = ""
    idle: timedelta = IDLE
    second_factor: bool = False


SETTINGS = TypeAdapter(AppSettings)


def make_app(store: Store, settings: AppSettings | None = None) -> FastAPI:
    """The application over an open store, which it does not close."""
    settings = settings or AppSettings()
    store.use_files(settings.files)
    tasks = Tasks(store, settings.files.resolve(), keeps=settings.keeps_tasks)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with access_log(settings.files):
            yield
        tasks.close()

    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(guard)],
        lifespan=lifespan,
        redirect_slashes=False,  # it would lead out of the root path
    )
    app.state.store, app.state.settings, app.state.tasks = store, settings, tasks
    for module in ROUTES:
        app.include_router(module.router)
    # No session, no account.
    app.router.routes.extend([Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)])
    app.mount("/static", StaticFiles(packages=[*STATIC]), name="static")
    app.add_middleware(Shield, hosts=settings.hosts, root=settings.root)
    for kind in (HTTPException, RequestValidationError, InkshiftError):
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(ClientDisconnect, _nobody)
    return app


def worker() -> FastAPI:
    """The application of one of a server's processes, over what the environment names; see `serve`."""
    given = json.loads(os.environ[WORKER])
    end_with(given["server"], lambda: os.kill(os.getpid(), signal.SIGTERM))
    store = stores.open(os.environ[ADDRESS], given["connections"])
    return make_app(store, SETTINGS.validate_python(given["settings"]))


def _refused(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 409 if isinstance(error, TakenError) else 400)
    if isinstance(error, HTTPException) and status == 401:
        door = (error.headers or {})["Location"]
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"HX-Redirect": door})
        return RedirectResponse(door, 303)
    message = str(error) if isinstance(error, InkshiftError) else ""
    known = status if status in (400, 403, 404, 405, 409) else 400
    return page(visit(request), "error.html", status=status, what=f"error_{known}", message=message)


def _nobody(request: Request, error: Exception) -> Response:
    """Who asked is gone: the browser asks anew at each key that is typed, and drops what it asked before."""
    return Response(status_code=499)


async def health(_: Request) -> PlainTextResponse:
    """That the server answers; one that does not is to be started anew."""
    return PlainTextResponse("ok")


def ready(request: Request) -> PlainTextResponse:
    """Whether the server can work with its database; as long as not, nobody is to be sent to it. One that stops answers
    nobody."""
    reason = stores.why_not_ready(request.app.state.store)
    return PlainTextResponse(reason or "ok", 503 if reason else 200)


def metrics(request: Request) -> PlainTextResponse:
    """Numbers in the text format of Prometheus, of all processes together; for this computer alone, and not through a
    proxy on it."""
    near = request.client is not None and request.client.host in LOOPBACK
    if not near or "x-forwarded-for" in request.headers:
        return PlainTextResponse("not found", 404)
    store: Store = request.app.state.store
    people = sa.select(sa.func.count(sa.distinct(OpenSession.user_id)))
    people = people.where(OpenSession.until > store.clock(), ~OpenSession.waits)
    counted = {
        "decisions_total": ("counter", "Decisions, about; those taken back too.", sa.select(sa.func.max(Decision.id))),
        "fields_waiting": ("gauge", "Fields that somebody is to see.", _count(Field, Field.waiting.is_(True))),
        "people": ("gauge", "People who are logged in.", people),
        "tasks_running": ("gauge", "Tasks in the background.", _count(TaskRecord, TaskRecord.status == "running")),
    }
    lines = []
    with store.reading() as session:
        for name, (kind, what, query) in counted.items():
            name = f"inkshift_{name}"
            value = session.scalar(query) or 0
            lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}", f"{name} {value}"]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _count(of: type, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(of).where(where)
