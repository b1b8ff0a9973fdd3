"""What a batch came to, as files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse

from inkshift.review.batches.exchange import write_label_studio, write_table
from inkshift.review.batches.reading import incomplete
from inkshift.review.core.undone import undone
from inkshift.review.keying import views
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor

router = APIRouter()

Kind = Literal["csv", "jsonl", "xlsx", "label-studio"]
_FILES: dict[Kind, tuple[str, str]] = {
    "csv": ("csv", "text/csv"),
    "jsonl": ("jsonl", "application/jsonl"),
    "xlsx": ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "label-studio": ("json", "application/json"),
}


@router.get("/batches/{batch}/export")
def choose(who: Supervisor, batch: Id) -> HTMLResponse:
    found = views.batch(who.store, batch)
    if found is None:
        raise HTTPException(404)
    return page(who, "export.html", batch=found, left=views.left(who.store, batch), undone=undone(who.store, batch))


@router.get("/batches/{batch}/export/{kind}")
def download(who: Supervisor, batch: Id, kind: Kind) -> FileResponse:
    if views.batch(who.store, batch) is None:
        raise HTTPException(404)
    ending, media = _FILES[kind]
    folder = tempfile.TemporaryDirectory(prefix="inkshift-export-")
    file = Path(folder.name, f"export.{ending}")
    try:
        (write_label_studio if kind == "label-studio" else write_table)(who.store, batch, file)
    except BaseException:
        folder.cleanup()
        raise
    open_ = "-incomplete" if len(undone(who.store, batch)) or incomplete(who.store, batch) else ""
    name = f"batch-{batch}{'-label-studio' if kind == 'label-studio' else ''}{open_}.{ending}"
    return FileResponse(file, media_type=media, filename=name, background=BackgroundTask(folder.cleanup))
