"""What the values of a form break of its template, as they stand: settled ones before those that were read.

The rules are those of reading (`forms.rules.broken_rules`), asked again of what people typed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import InkshiftError
from inkshift.forms.kinds import WITH_DIGITS
from inkshift.forms.rules import COUNTED, Limit, Rule, Violation, as_written, broken_rules, side_sums
from inkshift.forms.template import Template
from inkshift.review.core.schema import Batch, Decision, Field, Form, Reading, latest_reading, of_batch, stands
from inkshift.review.core.store import Store

Checks = Sequence[Rule | Limit]


class CheckError(InkshiftError):
    """A decision breaks rules, and nobody said yet that the paper says so. broken: which."""

    def __init__(self, broken: Sequence[Violation]) -> None:
        super().__init__("; ".join(one.message for one in broken))
        self.broken = tuple(broken)


class Value(NamedTuple):
    """What a field holds, as cells (see `forms.reading`). settled: empty while it is not; read: empty where that says
    nothing certain; accepted: a policy let the reading stand."""

    form: int
    name: str
    settled: str
    read: str
    accepted: bool

    @property
    def now(self) -> str:
        return self.settled or self.read

    @property
    def final(self) -> str:
        return self.settled or (self.read if self.accepted else "")


def checks_of(session: Session, store: Store, batch_id: int) -> Checks:
    """What the fields of a batch must keep; nothing without a template."""
    created, _ = of_batch(session, batch_id)
    if store.checks.get(batch_id, (None,))[0] != created:
        template = session.execute(sa.select(Batch.template).where(Batch.id == batch_id)).scalar_one()
        store.checks[batch_id] = created, Template.model_validate(template).checks if template else ()
    found: Checks = store.checks[batch_id][1]
    return found


def limit_of(session: Session, store: Store, batch_id: int, name: str) -> Limit:
    """What a field may hold; a number of any size where no template says."""
    return limits_of(session, store, batch_id).get(name, Limit(name))


def limits_of(session: Session, store: Store, batch_id: int) -> dict[str, Limit]:
    """What the fields of a batch may hold, by name; nothing without a template."""
    return {one.field: one for one in checks_of(session, store, batch_id) if isinstance(one, Limit)}


def without_digits(template: Mapping[str, Any] | None) -> set[str]:
    """The names of the fields that hold no digits to learn from or to compare: ticks, texts, dates."""
    specs = [spec for page in template["pages"] for spec in page["fields"]] if template else []
    return {spec["name"] for spec in specs if spec.get("kind", "number") not in WITH_DIGITS}


def values(session: Session, *which: sa.ColumnElement[bool]) -> list[Value]:
    """The fields that are meant, form by form."""
    rows = session.execute(
        sa.select(
            *(Field.form_id, Field.name, Field.status, Field.state, Field.value, Field.accepted_by),
            *(Reading.written, Reading.state),
        )
        .outerjoin(Reading, Reading.id == latest_reading())
        .where(*which)
        .order_by(Field.form_id, Field.id)
    )
    return [
        Value(
            form,
            name,
            as_written(state, value) if status == "settled" else "",
            (cells or as_written(read)) if read in COUNTED else "",
            accepted is not None,
        )
        for form, name, status, state, value, accepted, cells, read in rows
    ]


def broken_now(checks: Checks, found: Sequence[Value]) -> list[Violation]:
    """What the fields of one form break as they stand."""
    return broken_rules(checks, {one.name: one.now for one in found if one.now})


def broken_in_batch(session: Session, store: Store, batch_id: int) -> dict[int, list[Violation]]:
    """What each form of a batch breaks as it stands, by the form's id; forms that break nothing are left out."""
    checks = checks_of(session, store, batch_id)
    forms: defaultdict[int, list[Value]] = defaultdict(list)
    for one in values(session, Field.batch_id == batch_id) if checks else ():
        forms[one.form].append(one)
    return {form: broken for form, found in forms.items() if (broken := broken_now(checks, found))}


def count_broken(store: Store, batch_id: int) -> None:
    """Bring `Form.broken` of a batch up to date where decisions or readings came since."""
    with store.writing(durable=False) as session:
        stale = sa.select(Form.id).where(Form.batch_id == batch_id, Form.broken.is_(None)).with_for_update()
        ids = list(session.scalars(stale))
        if not ids:
            return
        found = broken_in_batch(session, store, batch_id)
        rows = [{"id": form, "broken": len(found.get(form, ()))} for form in ids]
        session.execute(sa.update(Form), rows)


def breaks(
    session: Session, store: Store, field: Field, user_id: int, blind: bool, typed: str, final: bool = False
) -> list[Violation]:
    """What an answer, as cells, breaks that somebody types for a field.

    blind: they see nothing but what they typed themselves, so that only that is held against the rules. final: so is
    only what stands, not what was merely read.
    """
    checks = checks_of(session, store, field.batch_id)
    if not checks:
        return []
    known = _known(session, field.form_id, user_id, blind, final)
    broken = broken_rules(checks, known | {field.name: typed})
    return [one for one in broken if field.name in one.fields]


def to_ask(
    session: Session, store: Store, field: Field, user_id: int, blind: bool, typed: str, settles: bool
) -> list[Violation]:
    """What must be asked before an answer is taken: limits of its field, and rules whose fields are all settled by it.

    blind: what others typed is held against the rules as well, but not told: such a rule shows no figures.
    """
    own = breaks(session, store, field, user_id, blind, typed, final=True) if settles or blind else []
    alone = broken_rules(checks_of(session, store, field.batch_id), {field.name: typed})
    found = {one.code + one.rule: one for one in [*alone, *own]}
    if blind and settles:
        for one in breaks(session, store, field, user_id, False, typed, final=True):
            plain = replace(one, message=f"{one.code} {one.rule}: does not hold", left="", right="", zeros=())
            found.setdefault(one.code + one.rule, plain)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Sum:
    """A rule as a form is keyed. sides: what each comes to so far; holds: None until all of its fields are known."""

    rule: str
    operator: str
    sides: tuple[str, ...]
    holds: bool | None


def form_sums(
    session: Session, store: Store, form: Form, user_id: int, blind: bool, typed: Mapping[str, str]
) -> tuple[list[Sum], list[Violation]]:
    """The rules of a form with what somebody typed into its fields, as cells by name; and what single fields break.

    blind: only what they typed themselves counts.
    """
    checks = checks_of(session, store, form.batch_id)
    known = {**_known(session, form.id, user_id, blind, final=True), **typed}
    rules = [rule for rule in checks if isinstance(rule, Rule)]
    broken = broken_rules(checks, known)
    codes = {one.code for one in broken}
    sums = [
        Sum(rule.text, rule.operator, tuple(sides), rule.code not in codes if whole else None)
        for rule in rules
        for sides, whole in [side_sums(rule, known)]
    ]
    return sums, [one for one in broken if len(one.fields) == 1]


def _known(session: Session, form_id: int, user_id: int, blind: bool, final: bool) -> dict[str, str]:
    """The fields of a form as cells; blind: only what this person answered."""
    if not blind:
        found = values(session, Field.form_id == form_id)
        return {one.name: cells for one in found if (cells := one.final if final else one.now)}
    rows = session.execute(
        sa.select(Field.name, Decision.state, Decision.value)
        .join(Field, Field.id == Decision.field_id)
        .where(Field.form_id == form_id, Decision.user_id == user_id, Decision.kind != "undo", stands())
        .order_by(Decision.number)
    )
    return {name: as_written(state, value) for name, state, value in rows}
