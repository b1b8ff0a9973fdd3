"""Who decides what next, and what follows from it: the queue of a batch and its log of decisions.

A field is open until one person keyed it or, with double keying, two agree; then it is settled. Where two disagree it
is disputed, and a third person settles it. Nothing is ever deleted: an undo is a decision that takes another back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from inkshift.errors import InkshiftError, SettingError
from inkshift.forms.reading import DIGITS
from inkshift.review.schema import Batch, Decision, Field, Form, Kind, Lease, Status, User
from inkshift.review.store import Store

LEASE = timedelta(minutes=2)
WORDS = ("blank", "crossed-out", "unreadable")
LONGEST = 20


class TakenError(InkshiftError):
    """The field is no longer this person's to decide."""


@dataclass(frozen=True, slots=True)
class Item:
    """A field for one person to decide.

    settles: two people disagree on it, and this decision settles it; `answers` are theirs, in no telling order.
    suggestion: what the model read, as a decision is given; empty where keying is double, and so blind.
    rules_broken: likewise. box: x, y, width, height on the template's page, where known.
    """

    field: int
    batch: int
    form_id: int
    form: str
    name: str
    page: int | None
    box: tuple[float, ...] | None
    settles: bool
    answers: tuple[str, ...] = ()
    suggestion: str = ""
    rules_broken: tuple[str, ...] = ()
    urgency: int = 2


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that is in the log, and how its field stands with it."""

    decision: int
    field: int
    status: Status


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back. item: the field, held again by the same person; None where it is not theirs to decide."""

    field: int
    status: Status
    item: Item | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the decisions on a field come to. keyers: ids of those whose answers count, two at most."""

    status: Status
    state: str = ""
    value: str = ""
    keyers: tuple[int, ...] = ()


def parse(value: str) -> tuple[str, str]:
    """A decision as (state, digits): 1 to 20 digits, or `blank`, `crossed-out`, `unreadable`. Raises SettingError."""
    if value in WORDS:
        return value, ""
    if 1 <= len(value) <= LONGEST and all(symbol in DIGITS for symbol in value):
        return "written", value
    raise SettingError(f"decision: expected 1 to {LONGEST} digits or one of {', '.join(WORDS)}, found {value[:40]!r}")


def shown(state: str, value: str) -> str:
    """The inverse of `parse`; empty where nothing is decided."""
    return value if state == "written" else state


def effective(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions of one field that stand, in their order."""
    undone = {decision.undoes for decision in decisions}
    return [d for d in decisions if d.kind != "undo" and d.id not in undone]


def standing(decisions: Sequence[Decision], double: bool) -> Standing:
    """How a field stands after all its decisions, in their order."""
    stand = effective(decisions)
    keys = [d for d in stand if d.kind != "settle"][: 2 if double else 1]
    keyers = tuple(d.user_id for d in keys)
    if settled := [d for d in stand if d.kind == "settle"]:
        return Standing("settled", settled[-1].state, settled[-1].value, keyers)
    if len(keys) < (2 if double else 1):
        return Standing("open", keyers=keyers)
    if len({(d.state, d.value) for d in keys}) > 1:
        return Standing("disputed", keyers=keyers)
    return Standing("settled", keys[0].state, keys[0].value, keyers)


def next_field(store: Store, user_id: int, batch_id: int) -> Item | None:
    """The field that this person is to decide now, held for them for two minutes, or None where there is none.

    A field they hold already comes again. Otherwise the most urgent that nobody holds and they did not key.
    """
    with store.writing() as session:
        _person(session, user_id)
        now = store.clock()
        mine = sa.and_(Lease.user_id == user_id, Lease.until > now)
        field = session.scalar(_waiting(user_id, batch_id).join(Lease, Lease.field_id == Field.id).where(mine))
        if field is not None and _hold(session, field, user_id, now):
            return _item(session, field, user_id)
        free = sa.or_(Lease.field_id.is_(None), Lease.until <= now)
        wanted = _waiting(user_id, batch_id).outerjoin(Lease, Lease.field_id == Field.id).where(free)
        while (field := session.scalar(wanted.execution_options(populate_existing=True))) is not None:
            if _hold(session, field, user_id, now):  # else somebody took it between the two statements
                return _item(session, field, user_id)
        return None


def decide(store: Store, user_id: int, field_id: int, value: str, seconds: float = 0.0) -> Decided:
    """Put a person's decision on a field into the log. seconds: that they took for it.

    value: see `parse`. Once this returns, the decision is on disk. The same decision again, as of a browser that got no
    answer the first time, changes nothing. Raises SettingError for what is no decision, and TakenError where another
    person holds the field, it is settled, or this person keyed it otherwise.
    """
    answer = parse(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise SettingError(f"seconds: expected 0 or more, found {seconds}")
    with store.writing() as session:
        _person(session, user_id)
        field, decisions = _locked(session, field_id)
        before = next((d for d in effective(decisions) if d.user_id == user_id), None)
        if before is not None:
            if (before.state, before.value) == answer:
                return Decided(before.id, field_id, field.status)
            raise TakenError(f"field {field.name!r}: you decided it already; undo that first")
        lease = session.get(Lease, field_id, with_for_update=True)
        if lease is not None and lease.user_id != user_id and lease.until > store.clock():
            raise TakenError(f"field {field.name!r}: somebody else has it now; take the next one")
        if not field.waiting:
            raise TakenError(f"field {field.name!r}: is settled by now; take the next one")
        kind: Kind = "settle" if field.status == "disputed" else "key"
        return _append(session, field, decisions, _decision(store, user_id, kind, answer, seconds))


def settle(store: Store, user_id: int, field_id: int, value: str, seconds: float = 0.0) -> Decided:
    """A supervisor's decision on any field, whoever decided what before: a correction, an audit, a dispute.

    Raises SettingError where the user is no supervisor or `value` is no decision.
    """
    answer = parse(value)
    with store.writing() as session:
        person = _person(session, user_id)
        if person.role != "supervisor":
            raise SettingError(f"user {person.name!r}: settling any field needs a supervisor, found a {person.role}")
        field, decisions = _locked(session, field_id)
        return _append(session, field, decisions, _decision(store, user_id, "settle", answer, seconds))


def undo(store: Store, user_id: int, batch_id: int) -> Undone | None:
    """Take back this person's last decision in the batch that stands; None where there is none."""
    with store.writing() as session:
        _person(session, user_id)
        other = aliased(Decision)
        last = session.scalar(
            sa.select(Decision)
            .join(Field, Field.id == Decision.field_id)
            .where(Decision.user_id == user_id, Field.batch_id == batch_id, Decision.kind != "undo")
            .where(~sa.exists().where(other.undoes == Decision.id))
            .order_by(Decision.id.desc())
            .limit(1)
        )
        if last is None:
            return None
        field, decisions = _locked(session, last.field_id)
        taken_back = _decision(store, user_id, "undo", ("", ""), 0.0)
        taken_back.undoes = last.id
        _append(session, field, decisions, taken_back)
        mine = field.waiting and user_id not in (field.first_id, field.second_id)
        held = mine and _hold(session, field, user_id, store.clock())
        return Undone(field.id, field.status, _item(session, field, user_id) if held else None)


def renew(store: Store, user_id: int, field_id: int) -> bool:
    """Hold a field for two more minutes; False where it is no longer this person's."""
    with store.writing() as session:
        field, _ = _locked(session, field_id)
        lease = session.get(Lease, field_id, with_for_update=True)
        mine = lease is not None and lease.user_id == user_id and field.waiting
        return mine and _hold(session, field, user_id, store.clock())


def release(store: Store, user_id: int) -> None:
    """Let go of all that a person holds, as when they log out."""
    with store.writing() as session:
        session.execute(sa.delete(Lease).where(Lease.user_id == user_id))


def record(
    session: Session, store: Store, field: Field, user_id: int, kind: Kind, answer: tuple[str, str]
) -> Decided | None:
    """A decision of a model or of labels that were there before; None where that source decided on it already.

    The field's row must be locked or new.
    """
    decisions = _log(session, field.id)
    if any(d.user_id == user_id for d in effective(decisions)):
        return None
    return _append(session, field, decisions, _decision(store, user_id, kind, answer, 0.0))


def _waiting(user_id: int, batch_id: int) -> sa.Select[Field]:
    """The most urgent field that waits for this person, its row locked; rows that others lock are passed over."""
    keyed = [sa.or_(column.is_(None), column != user_id) for column in (Field.first_id, Field.second_id)]
    return (
        sa.select(Field)
        .where(Field.batch_id == batch_id, Field.waiting.is_(True), *keyed)
        .order_by(Field.urgency, Field.confidence, Field.id)
        .limit(1)
        .with_for_update(of=Field, skip_locked=True)
    )


def _person(session: Session, user_id: int) -> User:
    """The user, its row locked, so that one person's steps come one after another.

    Raises SettingError for somebody who cannot decide.
    """
    person = session.get(User, user_id, with_for_update={"key_share": True})
    if person is None or person.role not in ("keyer", "supervisor"):
        found = "nobody" if person is None else f"a {person.role}"
        raise SettingError(f"user {user_id}: expected a keyer or a supervisor, found {found}")
    return person


def _locked(session: Session, field_id: int) -> tuple[Field, list[Decision]]:
    """A field, its row locked, and its decisions. Raises SettingError where there is none."""
    field = session.get(Field, field_id, with_for_update=True, populate_existing=True)
    if field is None:
        raise SettingError(f"field {field_id}: there is no such field; take the next one from the queue")
    return field, _log(session, field_id)


def _log(session: Session, field_id: int) -> list[Decision]:
    return list(session.scalars(sa.select(Decision).where(Decision.field_id == field_id).order_by(Decision.number)))


def _hold(session: Session, field: Field, user_id: int, now: datetime) -> bool:
    """Hold a field whose row is locked, unless another person does."""
    lease = session.get(Lease, field.id, with_for_update=True, populate_existing=True)
    if lease is None:
        lease = Lease(field_id=field.id)
        session.add(lease)
    elif lease.user_id != user_id and lease.until > now:
        return False
    lease.user_id, lease.until = user_id, now + LEASE
    return True


def _decision(store: Store, user_id: int, kind: Kind, answer: tuple[str, str], seconds: float) -> Decision:
    state, value = answer
    return Decision(user_id=user_id, kind=kind, state=state, value=value, time=store.clock(), seconds=seconds)


def _append(session: Session, field: Field, decisions: list[Decision], new: Decision) -> Decided:
    """Add to the log of a field whose row is locked, and set down how it stands now.

    Its author lets go of the field, and everybody does once it is settled.
    """
    new.field_id, new.number = field.id, len(decisions) + 1
    session.add(new)
    session.flush()
    double = session.scalars(sa.select(Batch.double).where(Batch.id == field.batch_id)).one()
    now = standing([*decisions, new], double)
    field.status, field.state, field.value = now.status, now.state, now.value
    field.waiting = now.status != "settled"
    field.first_id, field.second_id = (*now.keyers, None, None)[:2]
    held = sa.delete(Lease).where(Lease.field_id == field.id)
    session.execute(held.where(Lease.user_id == new.user_id) if field.waiting else held)
    return Decided(new.id, field.id, now.status)


def _item(session: Session, field: Field, user_id: int) -> Item:
    form = session.get_one(Form, field.form_id)
    blind = session.get_one(Batch, field.batch_id).double
    reading = None if blind else next(reversed(field.readings), None)
    suggestion = ""
    if reading is not None:
        suggestion = shown(reading.state, reading.value) if reading.state in ("written", *WORDS) else ""
    settles = field.status == "disputed"
    answers = {shown(d.state, d.value) for d in effective(_log(session, field.id))} if settles else set()
    return Item(
        field.id,
        field.batch_id,
        form.id,
        form.name,
        field.name,
        field.page_id,
        tuple(field.box) if field.box else None,
        settles,
        tuple(sorted(answers)),
        suggestion,
        tuple(reading.rules_broken) if reading else (),
        field.urgency,
    )
