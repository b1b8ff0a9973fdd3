"""The models: which one reads, what they are, teaching a new one, comparing, switching and going back."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, Path
from pydantic import Field
from starlette.responses import HTMLResponse, RedirectResponse

from inkshift.errors import SettingError
from inkshift.models.package import show_value
from inkshift.review import reread, teach
from inkshift.review.core import models, tasks
from inkshift.review.labelled import TEST_SHARE, available_page
from inkshift.review.web.render import page
from inkshift.review.web.security import At, Id, Supervisor, there
from inkshift.review.web.work import stage

router = APIRouter()

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Form(max_length=100)]
Batches = Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Form(default_factory=list)]


@router.get("/models")
def show_models(who: Supervisor, at: At = 1, batches: At = 1, waiting: At = 1, choices: At = 1) -> HTMLResponse:
    """at, batches, waiting, choices: page of the models taught here, and of the lists below them."""
    return page(
        who,
        "models.html",
        further=_further,
        stage=stage,
        minutes=_minutes,
        scale=_scale,
        taught=models.taught(who.store, at),
        ships=models.ships(who.store),
        current=models.default(who.store),
        before=models.before(who.store),
        history=models.history(who.store, choices),
        teach=next(iter(tasks.tasks(who.store, "teach")), None),
        reread=next(iter(tasks.tasks(who.store, "reread")), None),
        available=available_page(who.store, batches),
        open_batches=reread.batches_with_pages(who.store, waiting),
        cannot_teach=models.missing_to_teach(),
    )


@router.get("/models/{digest}")
def show_model(who: Supervisor, digest: Digest) -> HTMLResponse:
    """One model: its card, and how it compares with the one it was taught from."""
    found = there(models.find(who.store, digest))
    return page(who, "model.html", model=found, shown=show_value, scale=_scale, further=_further)


@router.post("/models/teach")
def start_teaching(who: Supervisor, batches: Batches, name: Name = "") -> RedirectResponse:
    if not batches:
        raise SettingError("teach: expected at least one batch, found none; tick one")
    name = "".join(c for c in name if c.isprintable()).strip() or f"model {len(tasks.tasks(who.store, 'teach')) + 1}"
    who.tasks.start("teach", teach.request(who.store, batches, name))
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


def _minutes(numbers: int) -> int:
    """About how long teaching takes at most on two cores, as measured: an epoch shows each number at least twice."""
    return round(2 + 7 * max(1.0, 2 * (1 - TEST_SHARE) * numbers / 512))


def _scale(share: float, low: float, high: float) -> float:
    """Where a share lies between two others, in percent of the way, for a picture."""
    return round(100 * (min(max(share, low), high) - low) / (high - low), 2)
