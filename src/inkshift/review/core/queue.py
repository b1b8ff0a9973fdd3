"""Who decides what next, and what follows from it: the queue of a batch and its log of decisions.

A field is open until one person keyed it or, with double keying, two agree; then it is settled. Where two disagree it
is disputed, and a third person settles it. Nothing is ever deleted: an undo is a decision that takes another back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import InkshiftError, SettingError
from inkshift.forms.kinds import KindError
from inkshift.forms.reading import UNREADABLE
from inkshift.forms.rules import Limit, Violation, as_written
from inkshift.review.core.checks import CheckError, Sum, breaks, checks_of, form_sums, limit_of, to_ask
from inkshift.review.core.schema import (
    Base,
    Decision,
    Field,
    Form,
    Kind,
    Lease,
    Moment,
    Reading,
    Status,
    User,
    may_wait,
    of_batch,
    stands,
)
from inkshift.review.core.store import Store

LEASE = timedelta(minutes=2)
LETTERS = {"b": "blank", "x": "crossed-out", "u": "unreadable"}
"""What is typed in place of a value."""
WORDS = tuple(LETTERS.values())


ANY = Limit("")
"""What a field may hold of which no template says."""


class TakenError(InkshiftError):
    """The field is no longer this person's to decide."""


@dataclass(frozen=True, slots=True)
class Item:
    """A field for one person to decide.

    settles: two people disagree on it, and this decision settles it; `answers` are theirs, in no telling order.
    suggestion: what the model read, as a decision is given; empty where keying is double, and so blind.
    broken: the rules that it would break, likewise; rules_broken: as the reader said, where no template is there.
    page: id of its page. limit: what it may hold.
    """

    field: int
    form: str
    name: str
    page: int | None
    settles: bool
    answers: tuple[str, ...]
    suggestion: str
    rules_broken: tuple[str, ...]
    broken: tuple[Violation, ...]
    limit: Limit


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """A decision that is in the log, and how its field stands with it. item: after an undo the field, held again by the
    same person; None where it is not theirs to decide."""

    decision: int
    field: int
    status: Status
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the decisions on a field come to. keyers: ids of those whose answers count, two at most."""

    status: Status
    state: str = ""
    value: str = ""
    keyers: tuple[int, ...] = ()


class LogEntry(NamedTuple):
    """A line of the log as the queue needs it; see `schema.Decision`. id: 0 until it is in the log."""

    id: int
    user_id: int
    kind: Kind
    state: str
    value: str
    undoes: int | None


def parse(value: str, limit: Limit) -> tuple[str, str]:
    """A decision as (state, value): what the field may hold (`kinds.parse_value`), or `blank`, `crossed-out`,
    `unreadable`; of a text also `/b`, `/x`, `/u`. A blank tick is 0. Raises SettingError."""
    if limit.kind == "text":
        value = LETTERS.get(value[1:].lower(), value) if value[:1] == "/" else value
    if value == "blank" and limit.kind == "tick":
        return "written", "0"
    if value in WORDS:
        return value, ""
    try:
        return "written", limit.parse(value)
    except KindError as e:
        raise KindError(e.wanted, f"{e.expected} or one of {', '.join(WORDS)}", value) from None


def shown(state: str, value: str) -> str:
    """The inverse of `parse`; empty where nothing is decided."""
    return value if state == "written" else state


def effective(decisions: Sequence[LogEntry]) -> list[LogEntry]:
    """The decisions of one field that stand, in their order."""
    undone = {decision.undoes for decision in decisions}
    return [d for d in decisions if d.kind != "undo" and d.id not in undone]


def standing(decisions: Sequence[LogEntry], double: bool, limit: Limit = ANY) -> Consensus:
    """How a field stands after all its decisions, in their order. limit: what it may hold.

    Two who typed one number agree, and whoever typed zeros before it saw them on the paper.
    """
    stand = effective(decisions)
    keys = [d for d in stand if d.kind != "settle"][: 2 if double else 1]
    keyers = tuple(d.user_id for d in keys)
    if settled := [d for d in stand if d.kind == "settle"]:
        return Consensus("settled", settled[-1].state, settled[-1].value, keyers)
    if len(keys) < (2 if double else 1):
        return Consensus("open", keyers=keyers)
    if len({(d.state, limit.compared(d.value)) for d in keys}) > 1:
        return Consensus("disputed", keyers=keyers)
    fullest = max(keys, key=lambda d: len(d.value))
    return Consensus("settled", fullest.state, fullest.value, keyers)


def next_field(store: Store, user_id: int, batch_id: int) -> Item | None:
    """The field that this person is to decide now, held for them for two minutes, or None where there is none.

    A field they hold already comes again. Otherwise the most urgent that nobody holds and they did not key.
    """
    with store.writing(durable=False) as session:
        person(session, user_id)
        return _next(session, store, user_id, batch_id)


def _next(session: Session, store: Store, user_id: int, batch_id: int) -> Item | None:
    now = store.clock()
    given = {"user": user_id, "batch": batch_id, "now": now}
    # In two steps: in one, SQLite goes through all that waits to find the few that somebody holds.
    held = session.scalars(_HELD, {"user": user_id, "now": now}).all()
    field = session.scalar(_waiting().where(Field.id.in_(held)), given) if held else None
    if field is not None and _hold(session, field.id, user_id, now):
        return _item(session, store, field)
    while (field := session.scalar(_FREE, given)) is not None:
        if _hold(session, field.id, user_id, now):  # else somebody took it between the two statements
            return _item(session, store, field)
    return None


def next_form(store: Store, user_id: int, batch_id: int) -> tuple[Form | None, tuple[Item, ...]]:
    """The form of the most urgent field that waits for this person, and all of its fields that do, in its order, held
    for them; None where nothing waits."""
    with store.writing(durable=False) as session:
        person(session, user_id)
        first = _next(session, store, user_id, batch_id)
        if first is None:
            return None, ()
        form = session.get_one(Field, first.field).form
        now = store.clock()
        mine = [sa.or_(column.is_(None), column != user_id) for column in (Field.first_id, Field.second_id)]
        wanted = sa.select(Field).where(Field.form_id == form.id, Field.waiting.is_(True), *mine).order_by(Field.id)
        fields = session.scalars(wanted.with_for_update().execution_options(populate_existing=True)).all()
        return form, tuple(_item(session, store, field) for field in fields if _hold(session, field.id, user_id, now))


def decide_form(
    store: Store,
    user_id: int,
    answers: Mapping[int, str],
    seconds: float = 0.0,
    checked: bool = False,
    batch_id: int | None = None,
) -> None:
    """Decide several fields of a form in one step: all of them, or none. answers: by field's id; seconds: for all;
    batch_id: that they must be of.

    Raises what `decide` does; CheckError with all that they break.
    """
    broken: dict[str, Violation] = {}
    with store.writing() as session:
        if batch_id is not None:
            _in_batch(session, batch_id, answers)
        each = seconds / max(len(answers), 1)
        for field_id, value in answers.items():
            try:
                _decide(session, store, user_id, field_id, value, each, checked)
            except CheckError as e:
                broken |= {one.message: one for one in e.broken}
                _decide(session, store, user_id, field_id, value, each, True)
        if broken:
            raise CheckError(list(broken.values()))


def check_form(
    store: Store, user_id: int, form_id: int, answers: Mapping[int, str]
) -> tuple[list[Sum], list[Violation]]:
    """The rules of a form as somebody types into it; see `checks.form_sums`."""
    with store.reading() as session:
        form = session.get(Form, form_id)
        if form is None:
            return [], []
        blind = of_batch(session, form.batch_id)[1]
        names = dict(session.execute(sa.select(Field.id, Field.name).where(Field.form_id == form_id)).all())
        typed = {}
        for field_id, value in answers.items():
            with suppress(SettingError):
                name = names.get(field_id, "")
                typed[name] = as_written(*parse(value, limit_of(session, store, form.batch_id, name)))
        return form_sums(session, store, form, user_id, blind, typed)


def decide(
    store: Store, user_id: int, field_id: int, value: str, seconds: float = 0.0, checked: bool = False
) -> DecisionResult:
    """Put a person's decision on a field into the log. seconds: that they took for it.

    checked: they looked at the paper, and it says so although that breaks a rule; else CheckError is raised where one
    is broken by this answer, or by all of its fields once they are settled.

    value: see `parse`. Once this returns, the decision is on disk. The same decision again, as of a browser that got no
    answer the first time, changes nothing. Raises SettingError for what is no decision, and TakenError where another
    person holds the field, it is settled, or this person keyed it otherwise.
    """
    with store.writing() as session:
        return _decide(session, store, user_id, field_id, value, seconds, checked)


def decide_and_next(
    store: Store,
    user_id: int,
    batch_id: int,
    field_id: int,
    value: str,
    seconds: float = 0.0,
    checked: bool = False,
) -> Item | None:
    """`decide` on a field of a batch, and then `next_field`, in one step that waits for the disk once."""
    with store.writing() as session:
        _in_batch(session, batch_id, [field_id])
        _decide(session, store, user_id, field_id, value, seconds, checked)
        return _next(session, store, user_id, batch_id)


def _in_batch(session: Session, batch_id: int, fields: Collection[int]) -> None:
    """Raises TakenError where a field is of another batch."""
    if session.scalar(sa.select(Field.id).where(Field.id.in_(fields), Field.batch_id != batch_id).limit(1)):
        raise TakenError(f"batch {batch_id}: the field is of another batch; take the next one")


def _decide(
    session: Session, store: Store, user_id: int, field_id: int, value: str, seconds: float, checked: bool
) -> DecisionResult:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise SettingError(f"seconds: expected 0 or more, found {seconds}")
    person(session, user_id)
    field, decisions = _locked(session, field_id)
    answer = parse(value, limit_of(session, store, field.batch_id, field.name))
    before = next((d for d in effective(decisions) if d.user_id == user_id), None)
    if before is not None:
        if (before.state, before.value) == answer:
            return DecisionResult(before.id, field_id, field.status)
        raise TakenError(f"field {field.name!r}: you decided it already; undo that first")
    if session.scalar(_HOLDER, {"field": field_id, "now": store.clock()}) not in (None, user_id):
        raise TakenError(f"field {field.name!r}: somebody else has it now; take the next one")
    if not field.waiting:
        raise TakenError(f"field {field.name!r}: needs nobody by now; take the next one")
    kind: Kind = "settle" if field.status == "disputed" else "key"
    line = LogEntry(0, user_id, kind, *answer, None)
    asked = _ask(session, store, field, decisions, line, checked)
    return _append(session, store, field, decisions, line, seconds, asked)


def check(store: Store, user_id: int, field_id: int, value: str) -> list[Violation]:
    """What an answer breaks that somebody is typing for a field; nothing where it is none yet."""
    with store.reading() as session:
        field = session.get(Field, field_id)
        if field is None:
            return []
        try:
            answer = parse(value, limit_of(session, store, field.batch_id, field.name))
        except SettingError:
            return []
        blind = of_batch(session, field.batch_id)[1]
        return breaks(session, store, field, user_id, blind, as_written(*answer))


def _ask(
    session: Session, store: Store, field: Field, decisions: list[LogEntry], line: LogEntry, checked: bool
) -> list[str]:
    """The rules that an answer breaks, as the log keeps them. Raises CheckError where nobody said they checked."""
    double = of_batch(session, field.batch_id)[1]
    limit = limit_of(session, store, field.batch_id, field.name)
    settles = standing([*decisions, line], double, limit).status == "settled"
    blind = double and line.kind == "key"
    broken = to_ask(session, store, field, line.user_id, blind, as_written(line.state, line.value), settles)
    if broken and not checked:
        raise CheckError(broken)
    return [one.message for one in broken]


def settle(store: Store, user_id: int, field_id: int, value: str, checked: bool = False) -> DecisionResult:
    """A supervisor's decision on any field, whoever decided what before: a correction, an audit, a dispute.

    checked: see `decide`. Raises CheckError as that does, and SettingError where the user is no supervisor or `value`
    is no decision.
    """
    with store.writing() as session:
        name, role = person(session, user_id)
        if role != "supervisor":
            raise SettingError(f"user {name!r}: settling any field needs a supervisor, found a {role}")
        field, decisions = _locked(session, field_id)
        answer = parse(value, limit_of(session, store, field.batch_id, field.name))
        line = LogEntry(0, user_id, "settle", *answer, None)
        asked = _ask(session, store, field, decisions, line, checked)
        return _append(session, store, field, decisions, line, checked=asked)


def undo(store: Store, user_id: int, batch_id: int) -> DecisionResult | None:
    """Take back this person's last decision in the batch that stands; None where there is none."""
    with store.writing() as session:
        person(session, user_id)
        last = session.scalar(
            sa.select(Decision)
            .join(Field, Field.id == Decision.field_id)
            .where(Decision.user_id == user_id, Field.batch_id == batch_id, Decision.kind != "undo", stands())
            .order_by(Decision.id.desc())
            .limit(1)
        )
        if last is None:
            return None
        field, decisions = _locked(session, last.field_id)
        undone = _append(session, store, field, decisions, LogEntry(0, user_id, "undo", "", "", last.id))
        mine = field.waiting and user_id not in (field.first_id, field.second_id)
        held = mine and _hold(session, field.id, user_id, store.clock())
        return replace(undone, item=_item(session, store, field)) if held else undone


def renew(store: Store, user_id: int, field_id: int) -> bool:
    """Hold a field for two more minutes; False where it is no longer this person's."""
    with store.writing(durable=False) as session:
        field, _ = _locked(session, field_id)
        mine = sa.select(Lease.field_id).where(Lease.field_id == field_id, Lease.user_id == user_id)
        held = field.waiting and session.scalar(mine) is not None
        return held and _hold(session, field_id, user_id, store.clock())


def release(store: Store, user_id: int) -> None:
    """Let go of all that a person holds, as when they log out."""
    with store.writing(durable=False) as session:
        session.execute(sa.delete(Lease).where(Lease.user_id == user_id))


def record(
    session: Session, store: Store, field: Field, user_id: int, kind: Kind, answer: tuple[str, str]
) -> DecisionResult | None:
    """A decision of a model or of labels that were there before; None where that source decided on it already.

    The field's row must be locked or new.
    """
    decisions = _log(session, field.id)
    if any(d.user_id == user_id for d in effective(decisions)):
        return None
    return _append(session, store, field, decisions, LogEntry(0, user_id, kind, *answer, None))


def _waiting() -> sa.Select[Field]:
    """The most urgent field that waits for this person, its row locked; rows that others lock are passed over."""
    me: sa.BindParameter[int] = sa.bindparam("user")
    keyed = [sa.or_(column.is_(None), column != me) for column in (Field.first_id, Field.second_id)]
    return (
        sa.select(Field)
        .where(Field.batch_id == sa.bindparam("batch"), Field.waiting.is_(True), *keyed)
        .order_by(Field.urgency, Field.confidence, Field.id)
        .limit(1)
        .with_for_update(of=Field, skip_locked=True)
        .execution_options(populate_existing=True)
    )


_NOW = sa.bindparam("now", type_=Moment)
_HELD = sa.select(Lease.field_id).where(Lease.user_id == sa.bindparam("user"), Lease.until > _NOW)
_FREE = (
    _waiting().outerjoin(Lease, Lease.field_id == Field.id).where(sa.or_(Lease.field_id.is_(None), Lease.until <= _NOW))
)
_TAKE = sa.text(
    "INSERT INTO leases (field_id, user_id, until) VALUES (:field, :user, :until) "
    "ON CONFLICT (field_id) DO UPDATE SET user_id = excluded.user_id, until = excluded.until "
    "WHERE leases.user_id = excluded.user_id OR leases.until <= :now"
).bindparams(_NOW, sa.bindparam("until", type_=Moment))
_LOG = (
    sa.select(Decision.id, Decision.user_id, Decision.kind, Decision.state, Decision.value, Decision.undoes)
    .where(Decision.field_id == sa.bindparam("field"))
    .order_by(Decision.number)
)
_HOLDER = sa.select(Lease.user_id).where(Lease.field_id == sa.bindparam("field"), Lease.until > _NOW)
_LET_GO = (
    sa.delete(Lease)
    .where(Lease.field_id == sa.bindparam("field"))
    .where(sa.or_(sa.bindparam("all", type_=sa.Boolean()), Lease.user_id == sa.bindparam("user")))
    .execution_options(synchronize_session=False)
)
_COUNT_ANEW = (
    sa.update(Form)
    .where(Form.id == sa.bindparam("form"))
    .values(broken=None)
    .execution_options(synchronize_session=False)
)
_MAY_WAIT = sa.select(may_wait()).where(Field.id == sa.bindparam("field"))
_NAME = sa.select(Form.name).where(Form.id == sa.bindparam("form"))
_READING = (
    sa.select(Reading.state, Reading.value, Reading.rules_broken)
    .where(Reading.field_id == sa.bindparam("field"))
    .order_by(Reading.id.desc())
    .limit(1)
)
_LOGGED = Base.metadata.tables[Decision.__tablename__]
_APPEND = sa.insert(_LOGGED).returning(_LOGGED.c.id)
_USER = sa.select(User.name, User.role).where(User.id == sa.bindparam("user")).with_for_update(key_share=True)


def person(session: Session, user_id: int) -> tuple[str, str]:
    """The user's name and role, its row locked, so that one person's steps come one after another.

    Raises SettingError for somebody who cannot decide.
    """
    name, role = session.execute(_USER, {"user": user_id}).one_or_none() or ("", "")
    if role not in ("keyer", "supervisor"):
        raise SettingError(
            f"user {user_id}: expected a keyer or a supervisor, found {f'a {role}' if role else 'nobody'}"
        )
    return name, role


def _locked(session: Session, field_id: int) -> tuple[Field, list[LogEntry]]:
    """A field, its row locked, and its decisions. Raises SettingError where there is none."""
    field = session.get(Field, field_id, with_for_update=True, populate_existing=True)
    if field is None:
        raise SettingError(f"field {field_id}: there is no such field; take the next one from the queue")
    return field, _log(session, field_id)


def _log(session: Session, field_id: int) -> list[LogEntry]:
    return [LogEntry(*row) for row in session.execute(_LOG, {"field": field_id})]


def _hold(session: Session, field_id: int, user_id: int, now: datetime) -> bool:
    """Hold a field whose row is locked, unless another person does."""
    found = session.execute(_TAKE, {"field": field_id, "user": user_id, "until": now + LEASE, "now": now})
    return isinstance(found, sa.CursorResult) and found.rowcount == 1


def _append(
    session: Session,
    store: Store,
    field: Field,
    decisions: list[LogEntry],
    line: LogEntry,
    seconds: float = 0.0,
    checked: Sequence[str] = (),
) -> DecisionResult:
    """Add a line to the log of a field whose row is locked, and set down how it stands now.

    Its author lets go of the field, and everybody does once it is settled.
    """
    new = line._asdict() | {"field_id": field.id, "number": len(decisions) + 1, "time": store.clock()}
    new |= {"seconds": seconds, "checked": list(checked)}
    del new["id"]
    line = line._replace(id=session.execute(_APPEND, new).scalar_one())
    double = of_batch(session, field.batch_id)[1]
    limit = limit_of(session, store, field.batch_id, field.name)
    now = standing([*decisions, line], double, limit)
    field.waiting = now.status != "settled" and session.execute(_MAY_WAIT, {"field": field.id}).scalar_one()
    field.status, field.state, field.value = now.status, now.state, now.value
    field.first_id, field.second_id = (*now.keyers, None, None)[:2]
    session.execute(_COUNT_ANEW, {"form": field.form_id})
    session.execute(_LET_GO, {"field": field.id, "user": line.user_id, "all": not field.waiting})
    return DecisionResult(line.id, field.id, now.status)


def _item(session: Session, store: Store, field: Field) -> Item:
    form, (_, blind) = session.execute(_NAME, {"form": field.form_id}).scalar_one(), of_batch(session, field.batch_id)
    reading = None if blind else session.execute(_READING, {"field": field.id}).first()
    suggestion = ""
    if reading is not None:
        suggestion = shown(reading.state, reading.value) if reading.state in ("written", *WORDS) else ""
    settles = field.status == "disputed"
    answers = {shown(d.state, d.value) for d in effective(_log(session, field.id))} if settles else set()
    given = as_written(reading.state, reading.value) if reading is not None and suggestion else UNREADABLE
    broken = () if blind else tuple(breaks(session, store, field, 0, False, given))
    told = tuple(reading.rules_broken) if reading and not checks_of(session, store, field.batch_id) else ()
    answered = tuple(sorted(answers))
    limit = limit_of(session, store, field.batch_id, field.name)
    return Item(field.id, form, field.name, field.page_id, settles, answered, suggestion, told, broken, limit)
