"""What the pages show: batches with their progress, a form with all that is known of it, confusions."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from inkshift.forms.kinds import digits_of
from inkshift.forms.reading import DIGITS, Kind
from inkshift.forms.rules import Limit, Violation
from inkshift.review.core.agreement import BatchProgress, progress
from inkshift.review.core.checks import broken_now, checks_of, values, without_digits
from inkshift.review.core.schema import Batch, Decision, Field, Form, Reading, left_out, settled_by_people
from inkshift.review.core.store import ListPage, Store, at_most
from inkshift.review.core.undone import undone
from inkshift.review.web.render import MOST_LEFT
from inkshift.review.web.security import Id, Who, there

ABSENT = "∅"
BATCHES = 20
SYMBOLS = (*DIGITS, ABSENT)


@dataclass(frozen=True, slots=True)
class BatchRow:
    id: int
    name: str
    keying: str
    forms: int
    progress: BatchProgress
    undone: int


@dataclass(frozen=True, slots=True)
class BatchList(ListPage[BatchRow]):
    """A page of batches. count: of all of them, and how many of them are away: archived."""

    away: int


@dataclass(frozen=True, slots=True)
class FormPage:
    """A form with its fields, their readings and all that was decided. kinds: of its fields, where a template says.
    broken: rules that it breaks as it stands. told: those that its reader named, where no template is there to ask.
    """

    form: Form
    kinds: dict[str, Kind]
    broken: tuple[Violation, ...]
    told: tuple[str, ...]

    @property
    def breaking(self) -> set[str]:
        """The fields of its broken rules."""
        return {name for rule in self.broken for name in rule.fields}


def batch_list(store: Store, archived: bool = False, page: int = 1) -> BatchList:
    """Batches that are archived, or are not, the newest first."""
    with store.reading() as session:
        away = Batch.archived.is_not(None)
        count, put_away = session.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.case((away, 1), else_=0)), 0)).select_from(Batch)
        ).one()
        page, pages = at_most(page, put_away if archived else count - put_away, BATCHES)
        forms = sa.select(sa.func.count()).where(Form.batch_id == Batch.id).scalar_subquery()
        wanted = sa.select(Batch, forms).where(away if archived else ~away).order_by(Batch.id.desc())
        found = session.execute(wanted.limit(BATCHES).offset((page - 1) * BATCHES)).all()
    rows = tuple(
        BatchRow(b.id, b.name, keying(b), count, progress(store, b.id), len(undone(store, b.id))) for b, count in found
    )
    return BatchList(rows, count, page, pages, put_away)


def keying(batch: Batch) -> str:
    if not batch.double:
        return "single"
    return "double_model" if batch.model_keys else "double"


def batch_of(who: Who, batch: Id) -> Batch:
    """The batch of an address; 404 where there is none."""
    return there(who.store.get(Batch, batch))


TheBatch = Annotated[Batch, Depends(batch_of)]


def left(store: Store, batch_id: int) -> int:
    """How many fields of a batch wait for anybody, up to `MOST_LEFT`."""
    with store.reading() as session:
        return session.scalar(_LEFT, {"batch": batch_id}) or 0


_CROP = sa.select(Field.crop).where(Field.id == sa.bindparam("field"))
_LEFT = sa.select(sa.func.count()).select_from(
    sa.select(Field.id)
    .where(Field.batch_id == sa.bindparam("batch"), Field.waiting.is_(True))
    .limit(MOST_LEFT)
    .subquery()
)


def crop_of(store: Store, field_id: int) -> bytes | None:
    """The picture of a field as PNG, None where there is none."""
    with store.reading() as session:
        return session.scalar(_CROP, {"field": field_id})


def form_page(store: Store, form_id: int) -> FormPage | None:
    """A form with all that is known of it; None where there is none."""
    fields = selectinload(Form.fields)
    whole = (
        joinedload(Form.batch),
        selectinload(Form.pages),
        fields.options(undefer(Field.crop), selectinload(Field.readings)),
        fields.selectinload(Field.decisions).selectinload(Decision.user),
    )
    with store.reading() as session:
        form = session.get(Form, form_id, options=whole)
        if form is None:
            return None
        rules = checks_of(session, store, form.batch_id)
        kinds = {rule.field: rule.kind for rule in rules if isinstance(rule, Limit)}
        broken = tuple(broken_now(rules, values(session, Field.form_id == form_id)))
        readings = () if rules else (one.readings[-1] for one in form.fields if one.readings)
        told = dict.fromkeys(rule for reading in readings for rule in reading.rules_broken)
        return FormPage(form, kinds, broken, tuple(told))


def confusions(store: Store, batch_id: int) -> dict[tuple[str, str], int]:
    """How often each digit that people settled on (first) was read as each digit (second); see `aligned`."""
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    with store.reading() as session:
        for _, truth, read in _settled_numbers(session, batch_id):
            for pair in aligned(truth, read):
                counts[pair] += 1
    return dict(counts)


def behind(store: Store, batch_id: int, truth: str, read: str) -> Sequence[Field]:
    """The fields behind one cell of the matrix, 200 at most, with their forms, readings and pictures."""
    with store.reading() as session:
        found = [
            field for field, value, got in _settled_numbers(session, batch_id) if (truth, read) in aligned(value, got)
        ]
        whole = undefer(Field.crop), selectinload(Field.readings), joinedload(Field.form)
        return session.scalars(
            sa.select(Field).where(Field.id.in_(found[:200])).order_by(Field.id).options(*whole)
        ).all()


def _settled_numbers(session: Session, batch_id: int) -> Iterator[tuple[int, str, str]]:
    """Id, settled digits and read digits of the fields that people settled on digits, but those of forms set aside."""
    rows = session.execute(
        sa.select(Field.id, Field.value, Reading.value)
        .join(Reading, Reading.field_id == Field.id)
        .join(Field.form)
        .where(Field.batch_id == batch_id, Field.state == "written", settled_by_people(), ~left_out())
        .where(Field.name.not_in(without_digits(session.get_one(Batch, batch_id).template)))
        .order_by(Field.id, Reading.id)
    )
    latest = {field: (value, read) for field, value, read in rows}
    for field, (value, read) in latest.items():
        yield field, digits_of(value), digits_of(read)


def aligned(truth: str, read: str) -> list[tuple[str, str]]:
    """Digits of two numbers side by side: position by position where they are as long, else by their common parts.

    What only one of them has stands beside ∅.
    """
    if len(truth) == len(read):
        return list(zip(truth, read, strict=True))
    pairs: list[tuple[str, str]] = []
    for _, a, b, c, d in difflib.SequenceMatcher(None, truth, read, autojunk=False).get_opcodes():
        one, other = truth[a:b], read[c:d]
        longest = max(len(one), len(other))
        pairs += zip(one.ljust(longest, ABSENT), other.ljust(longest, ABSENT), strict=True)
    return pairs
