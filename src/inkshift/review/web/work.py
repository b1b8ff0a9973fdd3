"""Work in the background, as the pages show it: how far it is, stop, go on."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import RedirectResponse, Response

from inkshift.review.core import tasks
from inkshift.review.core.schema import Task
from inkshift.review.teach import TRAINED
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit

router = APIRouter()

PLACES = {"teach": "/models", "reread": "/models", "study": "/studies"}


@router.get("/tasks/{task}")
def show(who: Supervisor, task: Id) -> Response:
    """How far it is, for a page that asks every two seconds; the page loads anew once it has ended."""
    found = _found(who, task)
    headers = {} if found.status == "running" else {"HX-Refresh": "true"}
    return page(who, "_progress.html", headers=headers, task=found, stage=stage(found))


@router.post("/tasks/{task}/stop")
def stop(who: Supervisor, task: Id) -> RedirectResponse:
    found = _found(who, task)
    who.tasks.stop(task)
    return RedirectResponse(PLACES[found.kind], 303)


@router.post("/tasks/{task}/again")
def again(who: Supervisor, task: Id) -> RedirectResponse:
    """Go on with a task that ended without being done."""
    found = _found(who, task)
    who.tasks.go_on(task)
    return RedirectResponse(PLACES[found.kind], 303)


def stage(task: Task) -> str:
    """What a task is doing, by how far it is; the key of a text."""
    if not task.share:
        return "stage_prepare"
    if task.kind == "teach":
        return "stage_learn" if task.share < TRAINED else "stage_compare"
    return f"stage_{task.kind}"


def _found(who: Visit, task_id: int) -> Task:
    found = tasks.task(who.store, task_id)
    if found is None or found.kind not in PLACES:
        raise HTTPException(404)
    return found
