"""Is teaching worth it? What is known beforehand of each batch that a model can be taught from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from inkshift.forms.crops.harvest import split_of
from inkshift.forms.kinds import digits_of, plain
from inkshift.review.core import models
from inkshift.review.core.schema import Batch, Field, Form, Reading
from inkshift.review.core.store import Store
from inkshift.review.labelled import TEST_SHARE, Available, teaches
from inkshift.review.paired import Bounds, share_bounds
from inkshift.review.studies import Answer, answers, longest


@dataclass(frozen=True, slots=True)
class AsRead:
    """How many settled numbers were right as the model that reads now first read them, and the share's 95 % bounds."""

    right: int
    numbers: int
    interval: Bounds


@dataclass(frozen=True, slots=True)
class Advice:
    """read: None where that model has read none of them. study: the answer of a finished study, None: there is none.

    minutes: that a study takes at most; 0 where none would be fair, since the model learned from the batch.
    """

    read: AsRead | None
    study: Answer | None
    minutes: int


def advice(store: Store, files: Path, batches: Sequence[Available]) -> tuple[bool, dict[int, Advice]]:
    """Whether only numbers held out count, and the advice on each batch that can be taught from, by its id.

    A model that ships never saw the settled numbers, so that all of them count. One that was taught here may have
    learned from any but those held out, even of another batch, where the same pages were read once more.
    """
    current, known = models.default(store), models.learned(store)
    if current is None:
        return False, {}
    held_out = models.default_folder(store) is not None
    told = answers(store, files, current.digest)
    found = {}
    for one in batches:
        if not one.lacks:
            minutes = 0 if one.name in known else longest(one.train + one.test)
            found[one.batch] = Advice(_as_read(store, one.batch, current.digest, held_out), told.get(one.name), minutes)
    return held_out, found


def _as_read(store: Store, batch_id: int, digest: str, held_out: bool) -> AsRead | None:
    """See `AsRead`. Values are compared as `teach` does, but those that are written alike by the database."""
    first = sa.select(sa.func.min(Reading.id)).where(Reading.field_id == Field.id, Reading.model == digest)
    alike = sa.and_(Reading.state == "written", Reading.value == Field.value)
    with store.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            return None
        read = (
            sa.select(Form.name)
            .join(Field.form)
            .join(Reading, Reading.id == first.correlate(Field).scalar_subquery())
            .where(*teaches(batch))
        )
        counts = session.execute(
            read.add_columns(sa.func.count(), sa.func.sum(sa.case((alike, 1), else_=0))).group_by(Form.name)
        )
        forms = {name: [right, n] for name, n, right in counts if not held_out or split_of(name, TEST_SHARE) == "test"}
        others = session.execute(read.add_columns(Reading.value, Field.value).where(~alike, Reading.state == "written"))
        for name, value, settled in others:
            if name in forms:
                forms[name][0] += plain(digits_of(value)) == plain(digits_of(settled))
    if not forms:
        return None
    by_form = [(right, n) for right, n in forms.values()]
    right, n = (sum(counts) for counts in zip(*by_form, strict=True))
    return AsRead(right, n, share_bounds(by_form))
