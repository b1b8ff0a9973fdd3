"""The tables of review. What people decide is a log that only grows; `fields` carries what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

Role = Literal["keyer", "supervisor", "model", "source"]
Kind = Literal["key", "settle", "model", "undo"]
Status = Literal["open", "disputed", "settled"]
TaskStatus = Literal["running", "done", "failed", "stopped", "interrupted"]
MODEL = "model"  # the name of the model among those who decide


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, with its time zone on every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012
        datetime: Moment,
        float: sa.Double,
        Role: sa.String(16),
        Kind: sa.String(16),
        Status: sa.String(16),
        TaskStatus: sa.String(16),
        dict[str, Any]: sa.JSON,
        list[Any]: sa.JSON,
    }


class User(Base):
    """Who decides. role: `model` and `source` (of labels that were there before) cannot log in or key.

    password: argon2 hash; empty for who cannot log in.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    role: Mapped[Role]
    password: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime]


class Batch(Base):
    """Forms that are reviewed together. template: as its JSON file; folder: where its reference pictures are, as
    `Store.kept` gives it.

    double: two must agree on each field. model_keys: the model's reading counts as one of the two. archived: when it
    was put out of the way.
    """

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    template: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    folder: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime]
    double: Mapped[bool]
    model_keys: Mapped[bool]
    archived: Mapped[datetime | None]

    forms: Mapped[list[Form]] = relationship(back_populates="batch", order_by="Form.id")


class Form(Base):
    """broken: how many rules it breaks as it stands; None until that is counted anew, see `checks`.

    read_as: its name as it was read; mending may change `name`.
    """

    __tablename__ = "forms"
    __table_args__ = (sa.Index("forms_by_name", "batch_id", "name", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(sa.ForeignKey("batches.id"))
    name: Mapped[str]
    broken: Mapped[int | None]
    read_as: Mapped[str] = mapped_column(default="", server_default="")

    batch: Mapped[Batch] = relationship(back_populates="forms")
    pages: Mapped[list[Page]] = relationship(back_populates="form", order_by="Page.id")
    fields: Mapped[list[Field]] = relationship(back_populates="form", order_by="Field.id")


class Page(Base):
    """A page by its file. number: from 1 in that file; sha256: of the file, empty where it was not there.

    source: where that is, as `Store.kept` gives it; name: what people call it, empty where that is `source`.
    quality: of its registration, 0 to 1, none without a template. turn: degrees clockwise that make it stand upright.
    error: why it was not read. first_source, first_number: where it was first, which another file in its place leaves.
    """

    __tablename__ = "pages"

    id: Mapped[int] = mapped_column(primary_key=True)
    form_id: Mapped[int] = mapped_column(sa.ForeignKey("forms.id"), index=True)
    source: Mapped[str]
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    quality: Mapped[float | None]
    error: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(default="", server_default="")
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    first_source: Mapped[str] = mapped_column(default="", server_default="")
    first_number: Mapped[int] = mapped_column(default=1, server_default="1")

    form: Mapped[Form] = relationship(back_populates="pages")


class Field(Base):
    """One field, and where it stands, which follows from its decisions and its reading.

    box: xmin, ymin, xmax, ymax in pixels of the page as its file holds it, where known. urgency: 0 a rule is broken,
    1 not accepted, 2 accepted by a policy; confidence: of the reading. Both order the queue, least first.
    accepted_by: the application of a policy that took it out of the queue. waiting: somebody is to see it, see `waits`.
    state, value: the settled answer, else empty.
    first_id, second_id: whose answers count so far. crop: PNG as cut by the reader, last so that
    other columns are read without it.
    """

    __tablename__ = "fields"
    __table_args__ = (
        sa.Index("queue", "batch_id", "waiting", "urgency", "confidence", "id", "first_id", "second_id"),
        sa.CheckConstraint("status IN ('open', 'disputed', 'settled')", name="field_status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(sa.ForeignKey("batches.id"))
    form_id: Mapped[int] = mapped_column(sa.ForeignKey("forms.id"), index=True)
    page_id: Mapped[int | None]  # without a key to pages, which costs each new field and each page that goes
    name: Mapped[str]
    box: Mapped[list[Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    urgency: Mapped[int]
    confidence: Mapped[float]
    waiting: Mapped[bool] = mapped_column(default=True)
    status: Mapped[Status] = mapped_column(default="open")
    state: Mapped[str] = mapped_column(sa.String(16), default="")
    value: Mapped[str] = mapped_column(default="")
    first_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    second_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    accepted_by: Mapped[int | None] = mapped_column(sa.ForeignKey("acceptances.id"))
    crop: Mapped[bytes | None] = mapped_column(sa.LargeBinary, deferred=True)

    form: Mapped[Form] = relationship(back_populates="fields")
    page: Mapped[Page | None] = relationship(primaryjoin="foreign(Field.page_id) == Page.id")
    readings: Mapped[list[Reading]] = relationship(back_populates="field", order_by="Reading.id")
    decisions: Mapped[list[Decision]] = relationship(back_populates="field", order_by="Decision.number")


class Reading(Base):
    """What a model made of a field; see `forms.reading.FieldReading`. model: the package's digest.

    reader: with all that reads beside the model, see `forms.Reader.signature`; empty where it was not known.
    candidates: [written, probability] each.
    """

    __tablename__ = "readings"

    id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(sa.ForeignKey("fields.id"), index=True)
    model: Mapped[str] = mapped_column(sa.String(64), default="")
    reader: Mapped[str] = mapped_column(sa.Text, default="", server_default="")
    value: Mapped[str]
    written: Mapped[str]
    state: Mapped[str] = mapped_column(sa.String(16))
    confidence: Mapped[float]
    accepted: Mapped[bool | None]
    candidates: Mapped[list[Any]]
    rules_broken: Mapped[list[Any]]

    field: Mapped[Field] = relationship(back_populates="readings")


class Decision(Base):
    """One line of the log: who decided what on a field, when, and how long it took.

    The database refuses to change or delete it. number: from 1 within the field, without a gap. kind: `key`,
    `settle` (a third person, or a supervisor), `model` (its reading as a keyer), or `undo`, which takes `undoes` back.
    checked: the rules that it breaks, where its author said that the paper says so.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        sa.UniqueConstraint("field_id", "number", name="decision_number"),
        sa.Index("decisions_of_user", "user_id", "id"),
        sa.CheckConstraint("kind IN ('key', 'settle', 'model', 'undo')", name="decision_kind"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(sa.ForeignKey("fields.id"))
    number: Mapped[int]
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    kind: Mapped[Kind]
    state: Mapped[str] = mapped_column(sa.String(16), default="")
    value: Mapped[str] = mapped_column(default="")
    undoes: Mapped[int | None] = mapped_column(sa.ForeignKey("decisions.id"), unique=True)
    time: Mapped[datetime]
    seconds: Mapped[float]
    checked: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")

    field: Mapped[Field] = relationship(back_populates="decisions")
    user: Mapped[User] = relationship()


class Lease(Base):
    """Who holds a field, until when. Written only while the field's row is locked."""

    __tablename__ = "leases"

    field_id: Mapped[int] = mapped_column(sa.ForeignKey("fields.id"), primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), index=True)
    until: Mapped[datetime]


class Aside(Base):
    """That a page or a whole form needs nobody any more: why, who said so and when. page_id: None for the form.

    kind: `aside`, it is left out; `right`, a form that is there twice or lacks a page is right so.
    """

    __tablename__ = "asides"

    id: Mapped[int] = mapped_column(primary_key=True)
    form_id: Mapped[int] = mapped_column(sa.ForeignKey("forms.id"), index=True)
    page_id: Mapped[int | None] = mapped_column(sa.ForeignKey("pages.id"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    reason: Mapped[str] = mapped_column(sa.String(500))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    time: Mapped[datetime]

    user: Mapped[User] = relationship()


class Acceptance(Base):
    """A policy (see `forms.trust`) that a supervisor applied to a batch, and how many fields left the queue by it.

    undone: when it was taken back, and by whom; its fields went back to the queue.
    """

    __tablename__ = "acceptances"

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(sa.ForeignKey("batches.id"), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    policy: Mapped[dict[str, Any]]
    fields: Mapped[int]
    time: Mapped[datetime]
    undone_by_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    undone: Mapped[datetime | None]

    user: Mapped[User] = relationship(foreign_keys=[user_id])
    undone_by: Mapped[User | None] = relationship(foreign_keys=[undone_by_id])


class TrainedModel(Base):
    """A model package that was taught here. based_on: digest of the one it was taught from.

    comparison: with that one, on held-out forms; see `models.PairedComparison`.
    """

    __tablename__ = "models"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str]
    folder: Mapped[str]
    based_on: Mapped[str] = mapped_column(sa.String(64), default="")
    comparison: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    created: Mapped[datetime]


class Choice(Base):
    """Which model became the default, when, and by whom; the latest is the default. model: its digest, empty for the
    one that ships."""

    __tablename__ = "choices"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(sa.String(64))
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    time: Mapped[datetime]

    user: Mapped[User | None] = relationship()


class Draft(Base):
    """A template that is being designed. template: its JSON as far as it is; its pictures are in `files`."""

    __tablename__ = "drafts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    template: Mapped[dict[str, Any]]
    changed: Mapped[datetime]


class TaskRecord(Base):
    """Work in a process of its own; see `tasks`. kind: which; about: what it works on; result: what came of it.

    share: how much of it is done, 0 to 1, None where nobody knows; note: how far it is, or why it failed.
    """

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16), index=True)
    about: Mapped[dict[str, Any]]
    status: Mapped[TaskStatus] = mapped_column(default="running")
    share: Mapped[float | None]
    note: Mapped[str] = mapped_column(default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    started: Mapped[datetime]
    ended: Mapped[datetime | None]


class OpenSession(Base):
    """A browser that is logged in, by the digest of what its cookie holds; see `security`.

    until: when it ends unless its user does something before; ends: when it does whatever they do. waits: the password
    was right, and the second factor is not there yet. address, browser: where it was begun, in few words.
    """

    __tablename__ = "sessions"

    key: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    stamp: Mapped[str] = mapped_column(sa.String(64))
    csrf: Mapped[str] = mapped_column(sa.String(64))
    until: Mapped[datetime]
    ends: Mapped[datetime]
    waits: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    address: Mapped[str] = mapped_column(sa.String(100), default="", server_default="")
    browser: Mapped[str] = mapped_column(sa.String(40), default="", server_default="")


class SecondFactor(Base):
    """What somebody has besides a password; see `second`. secret: in base32, for an authenticator app.

    used: the last step of time whose code was taken, None until the first one proved that the app knows the secret.
    paper: what is kept of the codes on paper that are left.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), primary_key=True, autoincrement=False)
    secret: Mapped[str] = mapped_column(sa.String(32))
    used: Mapped[int | None]
    paper: Mapped[list[Any]]


class Try(Base):
    """A password or code that somebody tries. address: where it comes from, or whose code; see `sessions`."""

    __tablename__ = "tries"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(sa.String(100), index=True)
    at: Mapped[datetime]


def _with(table: type[Base], dialect: str, statement: str) -> None:
    """What a table has beside its columns, in one kind of database."""
    ddl = sa.DDL(statement)  # type: ignore[no-untyped-call]
    sa.event.listen(table.__table__, "after_create", ddl.execute_if(dialect=dialect))


_REFUSAL = "decisions are never changed or deleted"
for _change in ("UPDATE", "DELETE"):
    _with(
        Decision,
        "sqlite",
        f"CREATE TRIGGER decisions_no_{_change.lower()} BEFORE {_change} ON decisions "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    )
_with(
    Decision,
    "postgresql",
    "CREATE FUNCTION decisions_stand() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
)
_with(
    Decision,
    "postgresql",
    "CREATE TRIGGER decisions_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions "
    "FOR EACH STATEMENT EXECUTE FUNCTION decisions_stand()",
)
_with(Field, "postgresql", "ALTER TABLE fields ALTER COLUMN crop SET STORAGE EXTERNAL")  # PNG is pressed already


def left_out() -> sa.ColumnElement[bool]:
    """That a form was set aside as a whole."""
    return sa.exists().where(Aside.form_id == Form.id, Aside.page_id.is_(None), Aside.kind == "aside")


def waits() -> sa.ColumnElement[bool]:
    """That somebody is to see a field: what `Field.waiting` is to be, whatever changed."""
    return sa.and_(Field.status != "settled", may_wait())


def may_wait() -> sa.ColumnElement[bool]:
    """That somebody is to see a field as long as it is not settled."""
    aside = sa.exists().where(Aside.form_id == Field.form_id, Aside.page_id.is_(None), Aside.kind == "aside")
    return sa.and_(Field.accepted_by.is_(None), ~aside)


def of_batch(session: Session, batch_id: int) -> tuple[datetime, bool]:
    """When a batch was made and whether two key it, neither of which changes: asked for once in a session."""
    known: dict[int, tuple[datetime, bool]] = session.info.setdefault("batches", {})
    if batch_id not in known:
        created, double = session.execute(_OF_BATCH, {"batch": batch_id}).one()
        known[batch_id] = created, double
    return known[batch_id]


_OF_BATCH = sa.select(Batch.created, Batch.double).where(Batch.id == sa.bindparam("batch"))


def count_waiting(session: Session, which: sa.ColumnElement[bool]) -> None:
    """Set down anew which of the fields that are meant wait."""
    again = sa.update(Field).where(which).values(waiting=waits())
    session.execute(again, execution_options={"synchronize_session": False})


def let_go(session: Session, which: sa.ColumnElement[bool]) -> None:
    """Let everybody go of the fields that are meant."""
    session.execute(sa.delete(Lease).where(Lease.field_id.in_(sa.select(Field.id).where(which))))


def stands() -> sa.ColumnElement[bool]:
    """That a decision was not taken back."""
    undo = aliased(Decision)
    return ~sa.exists().where(undo.undoes == Decision.id)


def latest_reading() -> sa.ScalarSelect[int]:
    """The id of the last reading of a field."""
    each = aliased(Reading)
    return sa.select(sa.func.max(each.id)).where(each.field_id == Field.id).scalar_subquery()


def settled_by_people() -> sa.ColumnElement[bool]:
    """That a field is settled, and not by a model alone: somebody else gave that answer, however many zeros they typed
    before it, and did not take it back."""
    backed = (
        sa.select(Decision.id)
        .join(User, User.id == Decision.user_id)
        .where(Decision.field_id == Field.id, Decision.kind != "undo", User.role != "model", stands())
        .where(Decision.state == Field.state)
        .where(sa.func.ltrim(Decision.value, "-0") == sa.func.ltrim(Field.value, "-0"))
    )
    return sa.and_(Field.status == "settled", backed.exists())
