"""How a batch gets on, and how far those who read it agree: people, the model, and labels that were there before."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.forms.judge.evaluate import wilson
from inkshift.review.core.checks import limits_of
from inkshift.review.core.queue import ANY, WORDS
from inkshift.review.core.schema import MODEL, Decision, Field, Lease, Reading, User, left_out, stands
from inkshift.review.core.store import Store

Answer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Keyer:
    """decisions: that stand. seconds: the median of what they took, None where none was timed."""

    name: str
    decisions: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How many fields of a batch stand how. open: wait for an answer. accepted: not settled, as a policy accepted what
    was read: they left the queue, or are its last.

    held: by somebody right now. seconds: the median a decision took, None where none was timed.
    """

    fields: int
    open: int
    disputed: int
    settled: int
    accepted: int
    held: int
    keyers: tuple[Keyer, ...]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two who read the same fields; `model` is what the model read, whether it keys or not.

    fields: that both answered. agreed: where alike; agreement: the 95 % interval of that share. correlation: of their
    errors, phi from -1 to 1, on fields whose settled answer somebody else than these two gave as well; None where one
    of them made none or nothing but errors.
    """

    a: str
    b: str
    fields: int
    agreed: int
    agreement: tuple[float, float]
    correlation: float | None


def progress(store: Store, batch_id: int) -> BatchProgress:
    """How many fields are open, disputed and settled, without forms that were set aside; who decided how many, and how
    quickly."""
    with store.reading() as session:
        counts = {
            (status, waiting, urgency): n
            for status, waiting, urgency, n in session.execute(
                sa.select(Field.status, Field.waiting, Field.urgency, sa.func.count())
                .join(Field.form)
                .where(Field.batch_id == batch_id, ~left_out())
                .group_by(Field.status, Field.waiting, Field.urgency)
            )
        }
        held = session.scalar(
            sa.select(sa.func.count(Lease.field_id))
            .join(Field, Field.id == Lease.field_id)
            .where(Field.batch_id == batch_id, Field.waiting.is_(True), Lease.until > store.clock())
        )
        took: defaultdict[str, list[float]] = defaultdict(list)
        for _, name, _, _, seconds in session.execute(_standing(batch_id)):
            took[name].append(seconds)
    return BatchProgress(
        sum(counts.values()),
        sum(n for (status, waiting, _), n in counts.items() if status == "open" and waiting),
        sum(n for (status, _, _), n in counts.items() if status == "disputed"),
        sum(n for (status, _, _), n in counts.items() if status == "settled"),
        sum(n for (status, _, urgency), n in counts.items() if status == "open" and urgency == 2),
        held or 0,
        tuple(Keyer(name, len(all_), _median(all_)) for name, all_ in sorted(took.items())),
        _median([seconds for all_ in took.values() for seconds in all_]),
    )


def _median(seconds: list[float]) -> float | None:
    timed = [value for value in seconds if value > 0]
    return median(timed) if timed else None


def _standing(batch_id: int) -> sa.Select[int, str, str, str, float]:
    """Field, author, state, digits and seconds of each decision of people and earlier labels that stands."""
    return (
        sa.select(Decision.field_id, User.name, Decision.state, Decision.value, Decision.seconds)
        .join(User, User.id == Decision.user_id)
        .join(Field, Field.id == Decision.field_id)
        .join(Field.form)
        .where(Field.batch_id == batch_id, Decision.kind.in_(("key", "settle")), stands(), ~left_out())
        .order_by(Decision.id)
    )


class _FieldAnswers(NamedTuple):
    """One field: its settled (state, digits), None while it waits, and what each one answered, as they are compared."""

    settled: Answer | None
    answers: Mapping[str, Answer]


def agreement(store: Store, batch_id: int) -> list[Pair]:
    """Every two who answered the same fields of a batch, those with most fields in common first; without forms that
    were set aside. What the model leaves to people, as texts, is no answer of it."""
    with store.reading() as session:
        fields = _answers(session, store, batch_id)
    pairs: defaultdict[tuple[str, str], list[tuple[Answer, Answer, Answer | None]]] = defaultdict(list)
    for settled, answers in fields:
        for a, b in combinations(sorted(answers), 2):
            backed = settled is not None and any(
                answer == settled for name, answer in answers.items() if name not in (a, b)
            )
            pairs[a, b].append((answers[a], answers[b], settled if backed else None))
    found = [_pair(a, b, both) for (a, b), both in pairs.items()]
    return sorted(found, key=lambda pair: (-pair.fields, pair.a, pair.b))


def _answers(session: Session, store: Store, batch_id: int) -> list[_FieldAnswers]:
    given: defaultdict[int, dict[str, Answer]] = defaultdict(dict)
    readings = (
        sa.select(Reading.field_id, Reading.state, Reading.value)
        .join(Field, Field.id == Reading.field_id)
        .join(Field.form)
        .where(Field.batch_id == batch_id, Reading.state != "unread", ~left_out())
        .order_by(Reading.id)
    )
    for field, state, value in session.execute(readings):
        given[field][MODEL] = (state, value) if state in ("written", *WORDS) else ("unreadable", "")
    for field, name, state, value, _ in session.execute(_standing(batch_id)):
        given[field][name] = (state, value)
    stand = (
        sa.select(Field.id, Field.name, Field.status, Field.state, Field.value)
        .join(Field.form)
        .where(Field.batch_id == batch_id, ~left_out())
    )
    limits = limits_of(session, store, batch_id)
    return [
        _FieldAnswers(
            (state, limit.compared(value)) if status == "settled" else None,
            {by: (said, limit.compared(digits)) for by, (said, digits) in given[field].items()},
        )
        for field, name, status, state, value in session.execute(stand)
        for limit in [limits.get(name, ANY)]
    ]


def _pair(a: str, b: str, both: list[tuple[Answer, Answer, Answer | None]]) -> Pair:
    agreed = sum(one == other for one, other, _ in both)
    wrong = Counter((one != truth, other != truth) for one, other, truth in both if truth is not None)
    correlation = _phi(wrong[True, True], wrong[True, False], wrong[False, True], wrong[False, False])
    return Pair(a, b, len(both), agreed, wilson(agreed, len(both)), correlation)


def _phi(both: int, first: int, second: int, neither: int) -> float | None:
    """The correlation of two that are each right or wrong, from the counts of a 2 x 2 table (Pearson's phi)."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    return (both * neither - first * second) / math.sqrt(margins) if margins else None
