"""Reports of studies, and a study of a data set."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Path
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from inkshift.review import datasets, studies
from inkshift.review.core import models, tasks
from inkshift.review.web.render import page
from inkshift.review.web.security import At, Supervisor, there
from inkshift.review.web.work import stage

router = APIRouter()

POLICY = (
    "default-src 'none'; sandbox; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/studies")
def show_all(who: Supervisor, at: At = 1) -> HTMLResponse:
    return page(
        who,
        "studies.html",
        stage=stage,
        studies=studies.found(who.files, at),
        sets=datasets.listing(who.files),
        task=next(iter(tasks.tasks(who.store, "study")), None),
        cannot_run=models.missing_to_teach(),
    )


@router.post("/studies")
def start(who: Supervisor, data: Annotated[int, Form(ge=1)]) -> RedirectResponse:
    """Study how many labels of a data set it takes."""
    who.tasks.start("study", {"dataset": data, "name": there(datasets.find(who.files, data)).name})
    return RedirectResponse("/studies", 303)


@router.get("/studies/{study}")
def report(who: Supervisor, study: Annotated[str, Path(pattern="^[0-9a-f]{16}$")]) -> FileResponse:
    """The report as it was written, which can run and load nothing."""
    found = there(studies.find(who.files, study))
    return FileResponse(found.report, media_type="text/html", headers={"Content-Security-Policy": POLICY})
