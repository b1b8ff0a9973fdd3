"""What settled fields are good for: data sets, models that learn from them, studies; and the work behind these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Path, Query
from pydantic import Field
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from inkshift.errors import DataError, MissingExtraError, SettingError
from inkshift.models.package import show_value
from inkshift.review import datasets, studies, teach
from inkshift.review.batches import reading
from inkshift.review.core import models, tasks
from inkshift.review.core.schema import TaskRecord
from inkshift.review.core.store import listed
from inkshift.review.datasets import TEST_SHARE, BatchDataSet, available, available_page
from inkshift.review.teach import TRAINED
from inkshift.review.web.render import page, written
from inkshift.review.web.security import At, Id, Supervisor, Visit, there

router = APIRouter()

SETS, NUMBERS, MOST_DOUBTS = 20, 60, 200
PLACES = {"teach": "/models", "reread": "/models", "study": "/studies"}
POLICY = (
    "default-src 'none'; sandbox; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
Digits = Annotated[str, Query(pattern="^[0-9]{0,20}$")]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Form(max_length=100)]
Batches = Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Form(default_factory=list)]


@router.get("/data")
def show_data(who: Supervisor, at: At = 1, batches: At = 1) -> HTMLResponse:
    """The data sets, and the batches that one can be made of. at, batches: page of either list."""
    return _data_sets(who, at, batches)


def _data_sets(
    who: Visit, at: int = 1, batches: int = 1, error: str = "", given: Mapping[str, Any] | None = None
) -> HTMLResponse:
    sets, available = listed(datasets.listing(who.files), at, SETS), available_page(who.store, batches)
    return page(who, "data.html", sets=sets, available=available, error=error, given=given or {})


@router.post("/data")
def make_data(who: Supervisor, batches: Batches, name: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Make a data set of the settled fields of some batches."""
    try:
        return RedirectResponse(f"/data/{datasets.make(who.store, who.files, batches, name)}", 303)
    except (DataError, SettingError) as e:
        return _data_sets(who, error=str(e), given={"name": name, "batches": batches})


@router.get("/data/{data}")
def sheet(
    who: Supervisor,
    data: Id,
    digits: Digits = "",
    length: Annotated[str, Query(pattern="^([1-9][0-9]?)?$")] = "",
    at: At = 1,
) -> HTMLResponse:
    """The contact sheet: crops with their values. digits: that a value holds; length: in digits; at: page, from 1."""
    found = _data(who, data)
    rows = datasets.numbers(who.files, data)
    chosen = [n for n in rows if digits in n.value and (not length or len(n.value) == int(length))]
    return page(
        who,
        "dataset.html",
        data=found,
        shown=listed(chosen, at, NUMBERS),
        lengths=sorted({len(n.value) for n in rows}),
        digits=digits,
        length=length,
    )


@router.get("/data/{data}/audit")
def audit(who: Supervisor, data: Id) -> HTMLResponse:
    """The labels that the ink does not bear out, the one most probably wrong first."""
    found, error = _data(who, data), ""
    doubts: Sequence[datasets.Doubt] = ()
    try:
        doubts = datasets.doubts(who.store, datasets.numbers(who.files, data))
    except MissingExtraError as e:
        error = str(e)
    return page(who, "audit.html", data=found, doubts=doubts[:MOST_DOUBTS], count=len(doubts), error=error, status=200)


@router.get("/data/{data}/crops/{row}.png")
def crop(who: Supervisor, data: Id, row: int) -> FileResponse:
    """The picture of a number, by its row in the data set."""
    _data(who, data)
    rows = datasets.numbers(who.files, data)
    if not 0 <= row < len(rows):
        raise HTTPException(404)
    path = datasets.folder_of(who.files, data) / rows[row].file
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/data/{data}/download")
def download(who: Supervisor, data: Id) -> FileResponse:
    """The whole data set as a zip file."""
    _data(who, data)
    return written(lambda path: datasets.pack(who.files, data, path), f"numbers-{data}.zip", "application/zip")


def _data(who: Visit, data: int) -> BatchDataSet:
    return there(datasets.find(who.files, data))


@router.get("/models")
def show_models(who: Supervisor, at: At = 1, batches: At = 1, waiting: At = 1, choices: At = 1) -> HTMLResponse:
    """at, batches, waiting, choices: page of the models taught here, and of the lists below them."""
    return _models(who, at, batches, waiting, choices)


def _models(
    who: Visit,
    at: int = 1,
    batches: int = 1,
    waiting: int = 1,
    choices: int = 1,
    error: str = "",
    given: Mapping[str, Any] | None = None,
) -> HTMLResponse:
    shown = available_page(who.store, batches)
    held_out, told = studies.advice(who.store, who.files, shown.rows)
    return page(
        who,
        "models.html",
        advice=told,
        advice_held_out=held_out,
        further=_further,
        stage=stage,
        minutes=teach.minutes,
        scale=_scale,
        taught=models.taught(who.store, at),
        ships=models.ships(who.store),
        current=models.default(who.store),
        before=models.before(who.store),
        history=models.history(who.store, choices),
        teach=_latest(who, "teach"),
        reread=_latest(who, "reread"),
        available=shown,
        open_batches=reading.batches_with_pages(who.store, waiting),
        cannot_teach=models.missing_to_teach(),
        error=error,
        given=given or {},
    )


@router.get("/models/{digest}")
def show_model(who: Supervisor, digest: Digest) -> HTMLResponse:
    """One model: its card, and how it compares with the one it was taught from."""
    found = there(models.find(who.store, digest))
    return page(who, "model.html", model=found, shown=show_value, scale=_scale, further=_further)


@router.post("/models/teach")
def start_teaching(who: Supervisor, batches: Batches, name: Name = "") -> Response:
    named = "".join(c for c in name if c.isprintable()).strip() or f"model {len(tasks.tasks(who.store, 'teach')) + 1}"
    try:
        if not batches:
            raise SettingError("teach: expected at least one batch, found none; tick one")
        who.tasks.start("teach", teach.request(who.store, batches, named))
    except (DataError, SettingError) as e:
        return _models(who, error=str(e), given={"name": name, "batches": batches})
    return RedirectResponse("/models", 303)


@router.post("/models/choose")
def choose(
    who: Supervisor,
    digest: Annotated[str, Form(pattern="^([0-9a-f]{64})?$")] = "",
    although_worse: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Make a model the default; an empty digest is for the one that ships."""
    models.choose(who.store, digest, who.user, although_worse=although_worse)
    return RedirectResponse("/models", 303)


@router.post("/models/back")
def back(who: Supervisor) -> RedirectResponse:
    models.go_back(who.store, who.user)
    return RedirectResponse("/models", 303)


@router.post("/batches/{batch}/reread")
def read_anew(who: Supervisor, batch: Id) -> RedirectResponse:
    """Read the open fields of a batch with the model that is the default now."""
    who.tasks.start("reread", {"batch": batch})
    return RedirectResponse("/models", 303)


def _further(held_out: int) -> str:
    """Settled numbers that bring so many held-out ones, to two digits."""
    count = held_out / TEST_SHARE
    return f"{round(count, 1 - math.floor(math.log10(count))):,.0f}"


def _scale(share: float, low: float, high: float) -> float:
    """Where a share lies between two others, in percent of the way, for a picture."""
    return round(100 * (min(max(share, low), high) - low) / (high - low), 2)


@router.get("/studies")
def show_studies(
    who: Supervisor, at: At = 1, batch: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> HTMLResponse:
    """batch: the one whose settled numbers are to be studied."""
    chosen = there(next(iter(available(who.store, [batch])), None)) if batch else None
    return page(
        who,
        "studies.html",
        stage=stage,
        studies=studies.found(who.files, at),
        sets=datasets.listing(who.files),
        chosen=chosen,
        longest=studies.longest,
        task=_latest(who, "study"),
        cannot_run=models.missing_to_teach(),
    )


@router.post("/studies")
def start_study(
    who: Supervisor,
    data: Annotated[int | None, Form(ge=1)] = None,
    batch: Annotated[int | None, Form(ge=1, le=2**31 - 1)] = None,
) -> RedirectResponse:
    """Study how many labels it takes: of a data set, or of the settled numbers of a batch, which become one."""
    if batch and not data:
        one = there(next(iter(available(who.store, [batch])), None))
        studies.refuse_learned(who.store, [one.name])
        data = datasets.make(who.store, who.files, [batch], one.name)
    found = there(datasets.find(who.files, data or 0))
    studies.refuse_learned(who.store, found.batches)
    who.tasks.start("study", {"dataset": found.id, "name": found.name})
    return RedirectResponse("/studies", 303)


@router.get("/studies/{study}")
def report(who: Supervisor, study: Annotated[str, Path(pattern="^[0-9a-f]{16}$")]) -> FileResponse:
    """The report as it was written, which can run and load nothing."""
    found = there(studies.find(who.files, study))
    return FileResponse(found.report, media_type="text/html", headers={"Content-Security-Policy": POLICY})


@router.get("/tasks/{task}")
def show_task(who: Supervisor, task: Id) -> Response:
    """How far it is, for a page that asks every two seconds; the page loads anew once it has ended."""
    found = _task(who, task)
    headers = {} if found.status == "running" else {"HX-Refresh": "true"}
    return page(who, "_progress.html", headers=headers, task=found, stage=stage(found))


@router.post("/tasks/{task}/stop")
def stop_task(who: Supervisor, task: Id) -> RedirectResponse:
    found = _task(who, task)
    who.tasks.stop(task)
    return RedirectResponse(PLACES[found.kind], 303)


@router.post("/tasks/{task}/again")
def go_on(who: Supervisor, task: Id) -> RedirectResponse:
    """Go on with a task that ended without being done."""
    found = _task(who, task)
    who.tasks.go_on(task)
    return RedirectResponse(PLACES[found.kind], 303)


def stage(task: TaskRecord) -> str:
    """What a task is doing, by how far it is; the key of a text."""
    if not task.share:
        return "stage_prepare"
    if task.kind == "teach":
        return "stage_learn" if task.share < TRAINED else "stage_compare"
    return f"stage_{task.kind}"


def _task(who: Visit, task_id: int) -> TaskRecord:
    found = who.store.get(TaskRecord, task_id)
    if found is None or found.kind not in PLACES:
        raise HTTPException(404)
    return found


def _latest(who: Visit, kind: str) -> TaskRecord | None:
    return next(iter(tasks.tasks(who.store, kind)), None)
