"""Data sets of settled fields: made, looked through, doubted, taken away as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from inkshift.errors import MissingExtraError
from inkshift.review import datasets
from inkshift.review.core.paging import listed
from inkshift.review.datasets import DataSet
from inkshift.review.labelled import available_page
from inkshift.review.web.render import page, written
from inkshift.review.web.security import At, Id, Supervisor, Visit, there

router = APIRouter()

SETS, NUMBERS, MOST_DOUBTS = 20, 60, 200
Batches = Annotated[list[int], Form(default_factory=list)]
Digits = Annotated[str, Query(pattern="^[0-9]{0,20}$")]


@router.get("/data")
def show_all(who: Supervisor, at: At = 1, batches: At = 1) -> HTMLResponse:
    """The data sets, and the batches that one can be made of. at, batches: page of either list."""
    sets = listed(datasets.listing(who.files), at, SETS)
    return page(who, "data.html", sets=sets, available=available_page(who.store, batches))


@router.post("/data")
def make(who: Supervisor, batches: Batches, name: Annotated[str, Form(max_length=200)] = "") -> RedirectResponse:
    """Make a data set of the settled fields of some batches."""
    return RedirectResponse(f"/data/{datasets.make(who.store, who.files, batches, name)}", 303)


@router.get("/data/{data}")
def sheet(
    who: Supervisor,
    data: Id,
    digits: Digits = "",
    length: Annotated[str, Query(pattern="^([1-9][0-9]?)?$")] = "",
    at: At = 1,
) -> HTMLResponse:
    """The contact sheet: crops with their values. digits: that a value holds; length: in digits; at: page, from 1."""
    found = _found(who, data)
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
    found, error = _found(who, data), ""
    doubts: Sequence[datasets.Doubt] = ()
    try:
        doubts = datasets.doubts(who.store, datasets.numbers(who.files, data))
    except MissingExtraError as e:
        error = str(e)
    return page(who, "audit.html", data=found, doubts=doubts[:MOST_DOUBTS], count=len(doubts), error=error)


@router.get("/data/{data}/crops/{row}.png")
def crop(who: Supervisor, data: Id, row: int) -> FileResponse:
    """The picture of a number, by its row in the data set."""
    _found(who, data)
    rows = datasets.numbers(who.files, data)
    if not 0 <= row < len(rows):
        raise HTTPException(404)
    path = datasets.folder_of(who.files, data) / rows[row].file
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/data/{data}/download")
def download(who: Supervisor, data: Id) -> FileResponse:
    """The whole data set as a zip file."""
    _found(who, data)
    return written(lambda path: datasets.pack(who.files, data, path), f"numbers-{data}.zip", "application/zip")


def _found(who: Visit, data: int) -> DataSet:
    return there(datasets.find(who.files, data))
