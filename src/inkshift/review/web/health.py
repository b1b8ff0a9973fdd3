"""What a machine asks of the server: whether it is well, and how much there is to do. No session, no account."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from inkshift.review.core.schema import Decision, Field, OpenSession, Task
from inkshift.review.core.store import Store
from inkshift.review.web.security import LOOPBACK


def health(request: Request) -> PlainTextResponse:
    """Whether the server answers and reaches its database."""
    try:
        with request.app.state.store.reading() as session:
            session.execute(sa.select(1))
    except sa.exc.SQLAlchemyError:
        return PlainTextResponse("the database does not answer", 503)
    return PlainTextResponse("ok")


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
        "tasks_running": ("gauge", "Tasks in the background.", _count(Task, Task.status == "running")),
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


ROUTES = (Route("/health", health), Route("/metrics", metrics))
