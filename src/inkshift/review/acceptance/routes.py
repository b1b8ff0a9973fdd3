"""Acceptance: what a threshold comes to, what can be promised, and the policy of that promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from inkshift.errors import DataError
from inkshift.forms.judge.guarantee import needed
from inkshift.forms.trust import Policy
from inkshift.review.acceptance import promise
from inkshift.review.acceptance.promise import LEVELS, BatchEvidence, LabelSource, Level, Outcome
from inkshift.review.batches import reading as readpages
from inkshift.review.core.schema import Batch
from inkshift.review.core.words import Words
from inkshift.review.keying import views
from inkshift.review.keying.views import TheBatch
from inkshift.review.web.render import page
from inkshift.review.web.security import Id, Supervisor, Visit

router = APIRouter()

ERRORS, CONFIDENCES = ("1", "2", "3", "5"), ("90", "95", "99")
USUAL = len(LEVELS) * 3 // 4


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks of a batch: labels of which batches; error and confidence in per cent."""

    who: Visit
    batch: Batch
    offered: list[LabelSource]
    chosen: list[LabelSource]
    error: str
    confidence: str

    @property
    def fair(self) -> bool:
        """Whether the labelled batches are settled as a whole."""
        return bool(self.chosen) and all(_whole(self.who, batch) for batch in self.chosen)

    @property
    def query(self) -> str:
        labels = [one.batch for one in self.chosen]
        return urlencode({"labels": labels, "error": self.error, "confidence": self.confidence}, doseq=True)

    def evidence(self) -> BatchEvidence:
        return promise.evidence(self.who.store, self.batch.id, self.chosen)

    def outcome(self, given: BatchEvidence) -> Outcome:
        """The promise. Raises DataError where a batch is not settled as a whole or too little is labelled."""
        if not self.fair:
            raise DataError(self.who.words("not_fair" if self.chosen else "no_labels"))
        return promise.ask(self.who.store, given, int(self.error) / 100, int(self.confidence) / 100)

    def policy(self) -> Policy:
        """The policy of the promise. Raises DataError where nothing can be promised."""
        policy = self.outcome(self.evidence()).policy
        if policy is None:
            raise DataError(self.who.words("too_few"))
        return policy


def _whole(who: Visit, labels: LabelSource) -> bool:
    """Whether a batch is read to its end and settled to its end."""
    return not labels.waiting and not readpages.incomplete(who.store, labels.batch)


def question(
    who: Supervisor,
    batch: TheBatch,
    labels: Annotated[list[int] | None, Query(max_length=100)] = None,
    error: Annotated[str, Query(pattern=f"^({'|'.join(ERRORS)})$")] = "2",
    confidence: Annotated[str, Query(pattern=f"^({'|'.join(CONFIDENCES)})$")] = "95",
) -> Question:
    """Without `labels`, those of all batches that are settled as a whole, else of any."""
    offered = [one for one in promise.sources(who.store, batch.id) if one.blind]
    usual = [one for one in offered if _whole(who, one)] or offered
    chosen = [one for one in offered if one.batch in labels] if labels else usual
    return Question(who, batch, offered, chosen, error, confidence)


Asked = Annotated[Question, Depends(question)]


@router.get("/batches/{batch}/acceptance")
def show(
    asked: Asked, at: Annotated[int, Query(ge=0, lt=len(LEVELS))] = USUAL, ask: Annotated[bool, Query()] = False
) -> HTMLResponse:
    """The slider, at the threshold of what is promised where that was asked for."""
    given = asked.evidence()
    levels = promise.levels(given, int(asked.confidence) / 100)
    told = [_told(asked.who.words, level, asked.confidence) for level in levels]
    outcome, refused = None, ""
    if ask:
        try:
            outcome = asked.outcome(given)
        except DataError as e:
            refused = str(e)
    if outcome and outcome.policy:
        at = min(range(len(LEVELS)), key=lambda i: abs(LEVELS[i] - outcome.at))
    return page(
        asked.who,
        "acceptance.html",
        batch=asked.batch,
        left=views.left(asked.who.store, asked.batch.id),
        asked=asked,
        told=told[at],
        data=json.dumps(told),
        at=at,
        plot=promise,
        drawn=promise.picture(levels),
        outcome=outcome,
        refused=refused,
        least=needed(int(asked.error) / 100, int(asked.confidence) / 100),
        applied=promise.acceptances(asked.who.store, asked.batch.id),
        errors=ERRORS,
        confidences=CONFIDENCES,
    )


def _told(words: Words, level: Level, confidence: str) -> dict[str, str]:
    """A level in words, by the names that the page shows them at."""
    told = {
        "threshold": f"{level.threshold:.4f}",
        "accepted": f"{100 * level.accepted:.1f} %",
        "straight": f"{100 * level.straight:.1f} %",
        "wrong": words("wrong_of", wrong=level.wrong, n=level.labels) if level.labels else "–",
        "bound": words("at_most", share=f"{100 * level.bound:.1f}") if level.labels else "–",
    }
    return told | {"text": words("level_text", **told)}


@router.get("/batches/{batch}/acceptance/policy.json")
def download(asked: Asked) -> Response:
    """The policy, for `inkshift read --policy`."""
    headers = {"Content-Disposition": 'attachment; filename="policy.json"'}
    return Response(asked.policy().model_dump_json(indent=2) + "\n", media_type="application/json", headers=headers)


@router.post("/batches/{batch}/acceptance")
def apply(asked: Asked) -> RedirectResponse:
    """Apply the policy to the batch: what it accepts leaves the queue."""
    promise.accept(asked.who.store, asked.who.person, asked.batch.id, asked.policy())
    return RedirectResponse(f"/batches/{asked.batch.id}/acceptance#applied", 303)


@router.post("/batches/{batch}/acceptance/{applied}/undo")
def take_back(who: Supervisor, batch: Id, applied: Id) -> RedirectResponse:
    """Bring back what a policy took out of the queue."""
    promise.take_back(who.store, who.person, batch, applied)
    return RedirectResponse(f"/batches/{batch}/acceptance#applied", 303)
