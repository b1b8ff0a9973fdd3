"""What may go through unseen: labels that people gave blind, and what they promise of a batch.

A label counts where it was typed without sight of the reading: with double keying, or from labels that were there
before. With single keying the reading is in view, and who accepts it by Enter agrees with it too readily. A promise
needs whole batches: the queue gives the least certain fields first, so that those settled halfway are no fair sample.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from inkshift.arrays import Floats
from inkshift.datasets.labels import Label
from inkshift.errors import DataError, SettingError
from inkshift.forms import trust
from inkshift.forms.judge import guarantee
from inkshift.forms.judge.evaluate import Row, match
from inkshift.forms.judge.guarantee import Lack
from inkshift.forms.reading import UNREADABLE
from inkshift.forms.trust import DataSource, Policy
from inkshift.review.core.intake import ACCEPTED, NOT_ACCEPTED
from inkshift.review.core.queue import person
from inkshift.review.core.schema import Acceptance, Batch, Field, Reading, User, count_waiting, latest_reading, let_go
from inkshift.review.core.store import Store

LEVELS: tuple[float, ...] = (0.0, *(round(float(1 / (1 + np.exp(-x))), 4) for x in np.arange(-3, 9.05, 0.15)))
_AT_ONCE = 500  # fields of one statement


class ScoredField(NamedTuple):
    """A field as it was read. confidence: -1 where it may not be accepted at all. free: a policy may take it out of
    the queue. label: None while it waits; one that no accepted reading fits where nobody typed it blind."""

    id: int
    form: int
    row: Row
    confidence: float
    free: bool
    label: Label | None


@dataclass(frozen=True, slots=True)
class LabelSource:
    """A batch that labels may come from. blind: fields that were typed without sight of the reading. shown: settled
    otherwise, so that they count as read wrong. waiting: not settled, which keeps the batch from being a fair sample.
    """

    batch: int
    name: str
    blind: int
    shown: int
    waiting: int


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """All fields of a batch, and the labelled fields of the batches `names`."""

    names: tuple[str, ...]
    fields: list[ScoredField]
    rows: list[Row]
    labels: list[Label]


@dataclass(frozen=True, slots=True)
class Level:
    """What a threshold comes to. accepted: share of the batch's fields; straight: of its forms, accepted as a whole.

    labels, wrong: accepted ones among the labelled fields; bound: the upper bound of their error.
    """

    threshold: float
    accepted: float
    straight: float
    labels: int
    wrong: int
    bound: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking for a promise: a policy and what it accepts of the batch, or what is missing.

    accepted, straight: as in `Level`. at: the least confidence that is accepted. lack, possible: see `Calibration`.
    """

    policy: Policy | None = None
    accepted: float = 0.0
    straight: float = 0.0
    at: float = 1.0
    lack: Lack | None = None
    possible: float | None = None


def sources(store: Store, batch_id: int) -> list[LabelSource]:
    """The batches that labels may come from: of the same template, read by the same reader, this one first."""
    with store.reading() as session:
        batches = session.scalars(sa.select(Batch).order_by(Batch.id != batch_id, Batch.id.desc())).all()
        if not batches or batches[0].id != batch_id:
            raise SettingError(f"batch {batch_id}: there is no such batch; choose another")
        same = [batch for batch in batches if batch.template == batches[0].template]
        readers = _readers(session, batch_id, Field.waiting.is_(True)) or _readers(session, batch_id)
        alike = [one for one in same if one.id == batch_id or _readers(session, one.id) == readers]
        found = [_counted(session, batch) for batch in alike]
    return [one for one in found if one.batch == batch_id or one.blind]


def _readers(session: Session, batch_id: int, *only: sa.ColumnElement[bool]) -> set[tuple[str, str]]:
    """The models and readers of the latest readings of a batch."""
    latest = sa.select(sa.func.max(Reading.id)).join(Field).where(Field.batch_id == batch_id, *only)
    wanted = sa.select(Reading.model, Reading.reader).where(Reading.id.in_(latest.group_by(Reading.field_id)))
    return {(model, reader) for model, reader in session.execute(wanted.distinct())}


def _counted(session: Session, batch: Batch) -> LabelSource:
    both = Field.second_id.is_not(None)
    stand = (
        sa.select(Field.status, User.role, both, sa.func.count())
        .outerjoin(User, User.id == Field.first_id)
        .where(Field.batch_id == batch.id)
        .group_by(Field.status, User.role, both)
    )
    counts: Counter[str] = Counter()
    for status, first, second, n in session.execute(stand):
        settled = "blind" if _blind(batch.double, first, bool(second)) else "shown"
        counts[settled if status == "settled" else "waiting"] += n
    return LabelSource(batch.id, batch.name, counts["blind"], counts["shown"], counts["waiting"])


def _blind(double: bool, first: str | None, second: bool) -> bool:
    """Whether a settled field was typed blind. first: role of who answered first; second: whether two answered."""
    return first == "source" or (double and second)


def seen(store: Store, batch_id: int) -> list[ScoredField]:
    """All fields of a batch with their latest reading and their label."""
    wanted = (
        sa.select(Field, Reading, User.role, Batch.double)
        .select_from(Field)
        .join(Reading, Reading.id == latest_reading())
        .join(Batch, Batch.id == Field.batch_id)
        .outerjoin(User, User.id == Field.first_id)
        .where(Field.batch_id == batch_id)
        .order_by(Field.id)
    )
    with store.reading() as session:
        return [_seen(*found) for found in session.execute(wanted)]


def _seen(field: Field, reading: Reading, first: str | None, double: bool) -> ScoredField:
    row = {
        "form": str(field.form_id),
        "field": field.name,
        "value": reading.value,
        "written": reading.written,
        "state": reading.state,
        "confidence": f"{reading.confidence:.{trust.DECIMALS}f}",
        "accepted": "",
        "rules_broken": "; ".join(reading.rules_broken),
        "reader": reading.reader,
    }
    fine = trust.acceptable(reading.state, reading.rules_broken)
    label = None
    if field.status == "settled":
        known = _blind(double, first, field.second_id is not None) and field.state != "unreadable"
        label = Label(row["form"], field.name, field.value if known else "", "" if known else UNREADABLE)
    free = field.status == "open" and field.waiting and first in (None, "model")
    return ScoredField(field.id, field.form_id, row, float(row["confidence"]) if fine else -1.0, free, label)


def evidence(store: Store, batch_id: int, chosen: Sequence[LabelSource]) -> BatchEvidence:
    """The fields of a batch, and the labels of those that were chosen."""
    fields = seen(store, batch_id)
    labelled = [
        one
        for batch in chosen
        for one in (fields if batch.batch == batch_id else seen(store, batch.batch))
        if one.label is not None and batch.blind
    ]
    labels = [one.label for one in labelled if one.label is not None]
    return BatchEvidence(
        tuple(batch.name for batch in chosen if batch.blind), fields, [one.row for one in labelled], labels
    )


def levels(given: BatchEvidence, confidence: float) -> list[Level]:
    """What each threshold of `LEVELS` comes to. confidence: of the bound."""
    cases = match(given.rows, given.labels)[0] if given.labels else []
    labelled = guarantee.label_rows(cases, given.rows)
    sure = np.array([one.confidence for one in given.fields])
    least = _least(given.fields, sure)
    bounds = guarantee.upper_bounds(labelled, LEVELS, confidence)
    found = []
    for threshold, bound in zip(LEVELS, bounds.tolist(), strict=True):
        taken = labelled.confidence >= threshold
        n, wrong = int(taken.sum()), int(labelled.wrong[taken].sum())
        found.append(Level(threshold, _share(sure, threshold), _share(least, threshold), n, wrong, bound))
    return found


def _least(fields: Sequence[ScoredField], values: Floats) -> Floats:
    """The least value in each form, of one for each field."""
    _, at = np.unique([one.form for one in fields], return_inverse=True)
    least = np.full(at.max(initial=-1) + 1, np.inf)
    np.minimum.at(least, at, values)
    return least


def _share(values: Floats, threshold: float) -> float:
    return float((values >= threshold).mean()) if len(values) else 0.0


def ask(store: Store, given: BatchEvidence, error: float, confidence: float) -> Outcome:
    """The policy that promises `error` at most with `confidence`, or what is missing for it.

    Raises DataError where less than two forms are labelled or several readers read them, MissingExtraError without
    scipy.
    """
    if not given.labels:
        raise DataError("no field was labelled blind; let two people key a random sample of forms, as a batch")
    cases, _ = match(given.rows, given.labels)
    found = guarantee.calibrate(cases, given.rows)
    promise = found.promise(error, confidence)
    if promise.threshold is None:
        return Outcome(lack=found.lacking(error, confidence), possible=found.possible(confidence))
    policy = found.policy(
        promise,
        confidence,
        given.rows,
        readings=_source(store, given, [list(row.values()) for row in given.rows]),
        labels=_source(store, given, [astuple(label) for label in given.labels]),
    )
    sure = accepted_scores(policy, given.fields)
    steps = np.linspace(0, 1, 10**trust.DECIMALS + 1)
    enough = trust.scores(policy.score, steps) >= policy.threshold
    at = float(steps[enough.argmax()]) if enough.any() else 1.0
    accepted, straight = _share(sure, policy.threshold), _share(_least(given.fields, sure), policy.threshold)
    return Outcome(policy, accepted, straight, at)


def accepted_scores(policy: Policy, fields: Sequence[ScoredField]) -> Floats:
    """The score of each of all fields of a batch; -1 where nothing accepts it: for its state or a rule, on a form that
    is too large, or read by another reader than the policy's."""
    sizes = Counter(one.form for one in fields)
    values = np.array([one.confidence for one in fields], np.float64)
    never = [sizes[one.form] > policy.most or one.row["reader"] != policy.reader for one in fields]
    return np.where((values < 0) | np.array(never, np.bool_), -1.0, trust.scores(policy.score, values.clip(0)))


def _source(store: Store, given: BatchEvidence, content: list[Sequence[str]]) -> DataSource:
    database = store.engine.url.render_as_string(hide_password=True)
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return DataSource(name=f"{database}: {', '.join(given.names)}", sha256=digest)


def accept(store: Store, user_id: int, batch_id: int, policy: Policy) -> int:
    """Take the fields that a policy accepts, and nobody keyed yet, out of a batch's queue; how many.

    It is noted with the policy, and `take_back` brings them back. Raises SettingError for anybody but a supervisor and
    where there is nothing to accept.
    """
    fields = seen(store, batch_id)
    sure = accepted_scores(policy, fields) >= policy.threshold
    accepted = [one.id for one, is_sure in zip(fields, sure, strict=True) if is_sure and one.free]
    models = sa.select(User.id).where(User.role == "model")
    with store.writing() as session:
        _supervisor(session, user_id)
        noted = Acceptance(batch_id=batch_id, user_id=user_id, fields=0, time=store.clock())
        noted.policy = policy.model_dump(mode="json")
        session.add(noted)
        session.flush()
        for start in range(0, len(accepted), _AT_ONCE):
            ids = accepted[start : start + _AT_ONCE]
            unseen = sa.or_(Field.first_id.is_(None), Field.first_id.in_(models))
            free = sa.update(Field).where(Field.id.in_(ids), Field.status == "open", Field.waiting.is_(True), unseen)
            out = {"waiting": False, "urgency": ACCEPTED, "accepted_by": noted.id}
            done = session.execute(free.values(out), execution_options={"synchronize_session": False})
            noted.fields += done.rowcount  # type: ignore[attr-defined]
            let_go(session, sa.and_(Field.id.in_(ids), Field.accepted_by == noted.id))
        if not noted.fields:
            raise SettingError("no field that waits is accepted by this policy; nothing was changed")
        return noted.fields


def take_back(store: Store, user_id: int, batch_id: int, acceptance_id: int) -> None:
    """Bring the fields that a policy took out of a batch's queue back into it, and note who did.

    Raises SettingError for anybody but a supervisor, and where there is no such application or it was taken back.
    """
    with store.writing() as session:
        _supervisor(session, user_id)
        noted = session.get(Acceptance, acceptance_id, with_for_update=True)
        if noted is None or noted.batch_id != batch_id or noted.undone is not None:
            raise SettingError(f"policy {acceptance_id}: is not applied to this batch; nothing was changed")
        noted.undone, noted.undone_by_id = store.clock(), user_id
        mine = sa.update(Field).where(Field.accepted_by == acceptance_id)
        back = {"urgency": NOT_ACCEPTED, "accepted_by": None}
        session.execute(mine.values(back), execution_options={"synchronize_session": False})
        count_waiting(session, Field.batch_id == batch_id)


def acceptances(store: Store, batch_id: int) -> list[Acceptance]:
    """The policies that were applied to a batch, the newest first."""
    with store.reading() as session:
        both = joinedload(Acceptance.user), joinedload(Acceptance.undone_by)
        wanted = sa.select(Acceptance).where(Acceptance.batch_id == batch_id).order_by(Acceptance.id.desc())
        return list(session.scalars(wanted.options(*both)))


def _supervisor(session: Session, user_id: int) -> None:
    name, role = person(session, user_id)
    if role != "supervisor":
        raise SettingError(f"user {name!r}: a policy is applied by a supervisor, found a {role}")


WIDTH, HEIGHT, LEFT, RIGHT = 640, 320, 84, 12
UPPER, LOWER = (34, 134), (184, 284)
_TOPS = (0.05, 0.1, 0.2, 0.5, 1.0)
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Coordinates in pixels. Lines are `points` of SVG polylines; ticks are (place, text); xs: place of each level."""

    accepted: str
    bound: str
    wrong: str
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    xs: list[float]


def picture(levels: Sequence[Level]) -> Drawing:
    """The lines of these levels, one for each of `promise.LEVELS`."""
    xs = [round(LEFT + (WIDTH - LEFT - RIGHT) * i / (len(levels) - 1), 1) for i in range(len(levels))]
    known = [(x, level) for x, level in zip(xs, levels, strict=True) if level.labels]
    wanted = np.quantile([level.bound for _, level in known], 0.9) if known else 1.0
    top = next(top for top in _TOPS if top >= min(wanted, 1.0))
    share, error = _height(UPPER, 1.0), _height(LOWER, top)
    up = [(share(v), f"{100 * v:.0f} %") for v in (0, 0.5, 1)]
    up += [(error(v), f"{100 * v:g} %") for v in (0, top / 2, top)]
    return Drawing(
        _line([(x, share(level.accepted)) for x, level in zip(xs, levels, strict=True)]),
        _line([(x, error(level.bound)) for x, level in known]),
        _line([(x, error(level.wrong / level.labels)) for x, level in known]),
        [(xs[int(np.argmin(np.abs(np.array(LEVELS) - tick)))], f"{tick:g}") for tick in _TICKS],
        up,
        xs,
    )


def _height(panel: tuple[int, int], top: float) -> Callable[[float], float]:
    high, low = panel
    return lambda value: round(low - (low - high) * min(value / top, 1.0), 1)


def _line(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
