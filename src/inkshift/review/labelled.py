"""Settled fields as labelled numbers, which `inkshift model train --from` and studies learn from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa
from PIL import Image as Pillow
from sqlalchemy.orm import undefer

from inkshift.errors import DataError, SettingError
from inkshift.files import as_csv, whole_folder
from inkshift.forms.crops.harvest import job_of, split_of
from inkshift.forms.field import cutout
from inkshift.forms.kinds import digits_of
from inkshift.forms.reading import FieldReading
from inkshift.forms.template import Template
from inkshift.pictures import decode_picture
from inkshift.review.core.checks import without_digits
from inkshift.review.core.paging import Listed, listed
from inkshift.review.core.schema import Batch, Field, Form, settled_by_people
from inkshift.review.core.store import Store

Part = Literal["all", "train", "test"]
TEST_SHARE = 0.2
BATCHES = 100  # of a page
LABELS, NUMBERS = "labels.csv", "numbers.csv"
COLUMNS = ("file", "value", "form", "field", "id")


class Number(NamedTuple):
    """A settled number as it is to be read, its digits, and where it is from; id: of the field in the store."""

    job: cutout.Job
    value: str
    form: str
    field: str
    id: int


@dataclass(frozen=True, slots=True)
class Written:
    """How many numbers and forms a folder holds. left_out: settled fields that hold no number, or have no picture."""

    numbers: int
    forms: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Available:
    """What a batch has to learn from: settled numbers, by part. forms: of those held out, learn_forms: others."""

    batch: int
    name: str
    train: int
    test: int
    forms: int
    learn_forms: int

    @property
    def lacks(self) -> str:
        """Why nothing can be taught from it alone: the key of a text; empty where it can."""
        if not self.train and not self.test:
            return "lacks_numbers"
        return "lacks_forms" if self.learn_forms < 2 else "" if self.test else "lacks_held_out"


def available_page(store: Store, page: int = 1) -> Listed[Available]:
    """What each batch has to learn from, the newest first. Those of a page can be learned from together."""
    with store.reading() as session:
        found = listed(session.scalars(sa.select(Batch.id).order_by(Batch.id.desc())).all(), page, BATCHES)
    counted = {one.batch: one for one in available(store, found.rows)}
    return found.each(lambda batch: counted[batch])


def available(store: Store, batches: Sequence[int]) -> list[Available]:
    """What some batches have to learn from, the oldest first."""
    found = []
    with store.reading() as session:
        alike: defaultdict[frozenset[str], list[Batch]] = defaultdict(list)  # by the fields that hold no digits
        for batch in session.scalars(sa.select(Batch).where(Batch.id.in_(batches))).all():
            alike[frozenset(without_digits(batch.template))].append(batch)
        for some in alike.values():
            parts = {batch.id: {"train": Counter[str](), "test": Counter[str]()} for batch in some}
            counted = sa.select(Field.batch_id, Form.name, sa.func.count()).join(Field.form).where(*teaches(*some))
            for number, form, count in session.execute(counted.group_by(Field.batch_id, Form.name)):
                parts[number][split_of(form, TEST_SHARE)][form] += count
            for batch in some:
                train, test = parts[batch.id]["train"], parts[batch.id]["test"]
                found.append(Available(batch.id, batch.name, train.total(), test.total(), len(test), len(train)))
    return sorted(found, key=lambda one: one.batch)


def teaches(*batches: Batch) -> tuple[sa.ColumnElement[bool], ...]:
    """That a field of a batch is a settled number with a picture. Of several batches the same fields hold no digits."""
    settled = Field.state == "written", Field.crop.is_not(None), settled_by_people()
    others = without_digits(batches[0].template)
    return Field.batch_id.in_([batch.id for batch in batches]), *settled, Field.name.not_in(others)


def write_labelled(store: Store, batches: Sequence[int], folder: Path, part: Part = "all") -> Written:
    """Write the settled numbers of some batches as PNG, with `labels.csv` (file, value) beside them, to be given as
    `inkshift model train --from numbers --pages FOLDER --labels FOLDER/labels.csv`.

    Only what people, or labels that were there before, stand for counts. `numbers.csv` names form, field and the
    field's id as well; a study takes it as its data. part: `test` is a fifth of the forms, by their names alone, so
    that further forms never move one; `train` the rest. Pictures are cut to the field's box, or its row of cells, and a
    little around it. The folder appears whole or not at all. Raises
    SettingError where it is there and not empty or cannot be made, DataError where no number is settled.
    """
    forms: set[str] = set()
    left_out = 0
    rows: list[tuple[str, str, str, str, int]] = []
    with _new_folder(folder) as partial:
        for number in settled_numbers(store, batches, part):
            if number is None:
                left_out += 1
                continue
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{number.form}-{number.field}").lstrip(".")[:80]
            file = f"{len(rows) + 1:06}-{stem}.png"
            Pillow.fromarray(number.job.crop[cutout.around(number.job)]).save(partial / file)
            rows.append((file, number.value, number.form, number.field, number.id))
            forms.add(number.form)
        if not rows:
            raise DataError("data set: no number is settled in these forms yet; decide some fields first")
        (partial / LABELS).write_bytes(as_csv([COLUMNS[:2], *(row[:2] for row in rows)]))
        (partial / NUMBERS).write_bytes(as_csv([COLUMNS, *rows]))
    return Written(len(rows), len(forms), left_out)


def settled_numbers(store: Store, batches: Sequence[int], part: Part) -> Iterator[Number | None]:
    """The settled fields of a part: a number, or None for one without digits or picture."""
    with store.reading() as session:
        for batch in session.scalars(sa.select(Batch).where(Batch.id.in_(batches)).order_by(Batch.id)).all():
            template = Template.model_validate(batch.template) if batch.template else None
            specs = {spec.name: spec for spec in template.fields} if template else {}
            others = without_digits(batch.template)
            settled = (
                sa.select(Form.name, Field)
                .join(Field.form)
                .where(Field.batch_id == batch.id, settled_by_people())
                .order_by(Field.id)
                .options(undefer(Field.crop))
                .execution_options(yield_per=200)
            )
            for form, field in session.execute(settled):
                if part != "all" and split_of(form, TEST_SHARE) != part:
                    continue
                if field.state != "written" or not field.crop or field.name in others:
                    yield None
                    continue
                read = FieldReading(field.name, "", "", "blank", 0.0, crop=decode_picture(field.crop, field.name))
                job = job_of(read, specs.get(field.name))
                yield Number(job, digits_of(field.value), form, field.name, field.id)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on success and goes on failure."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise SettingError(f"{out}: expected a new or empty folder, found something there; choose another")
    with whole_folder(out) as part:
        yield part
