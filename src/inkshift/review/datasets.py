"""Settled fields as labelled numbers, which `inkshift model train --from` and studies learn from: how many there are,
folders of them, data sets that are kept, and labels that the ink does not bear out."""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa
from PIL import Image as Pillow
from sqlalchemy.orm import undefer

from inkshift.errors import DataError, SettingError
from inkshift.files import as_csv, read_csv, whole_folder, write_whole
from inkshift.forms.crops.harvest import job_of, split_of
from inkshift.forms.cut import cutout
from inkshift.forms.judge.audit import audit
from inkshift.forms.judge.evaluate import Case, Outcome
from inkshift.forms.kinds import digits_of
from inkshift.forms.reading import FieldReading
from inkshift.forms.template import Template
from inkshift.pictures import decode_picture
from inkshift.review.core.checks import without_digits
from inkshift.review.core.schema import Batch, Field, Form, Reading, settled_by_people
from inkshift.review.core.store import ListPage, Store, listed

Part = Literal["all", "train", "test"]
TEST_SHARE = 0.2
BATCHES = 100  # of a page
LABELS, NUMBERS, ABOUT = "labels.csv", "numbers.csv", "about.json"
COLUMNS = ("file", "value", "form", "field", "id")


class SettledNumber(NamedTuple):
    """A settled number as it is to be read, its digits, and where it is from; id: of the field in the store."""

    job: cutout.FieldJob
    value: str
    form: str
    field: str
    id: int


@dataclass(frozen=True, slots=True)
class FolderCounts:
    """How many numbers and forms a folder holds. left_out: settled fields that hold no number, or have no picture."""

    numbers: int
    forms: int
    left_out: int


@dataclass(frozen=True, slots=True)
class LabelSupply:
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


def available_page(store: Store, page: int = 1) -> ListPage[LabelSupply]:
    """What each batch has to learn from, the newest first. Those of a page can be learned from together."""
    with store.reading() as session:
        found = listed(session.scalars(sa.select(Batch.id).order_by(Batch.id.desc())).all(), page, BATCHES)
    counted = {one.batch: one for one in available(store, found.rows)}
    return found.each(lambda batch: counted[batch])


def available(store: Store, batches: Sequence[int]) -> list[LabelSupply]:
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
                found.append(LabelSupply(batch.id, batch.name, train.total(), test.total(), len(test), len(train)))
    return sorted(found, key=lambda one: one.batch)


def teaches(*batches: Batch) -> tuple[sa.ColumnElement[bool], ...]:
    """That a field of a batch is a settled number with a picture. Of several batches the same fields hold no digits."""
    settled = Field.state == "written", Field.crop.is_not(None), settled_by_people()
    others = without_digits(batches[0].template)
    return Field.batch_id.in_([batch.id for batch in batches]), *settled, Field.name.not_in(others)


def write_labelled(store: Store, batches: Sequence[int], folder: Path, part: Part = "all") -> FolderCounts:
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
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SettingError(f"{folder}: expected a new or empty folder, found something there; choose another")
    with whole_folder(folder) as partial:
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
    return FolderCounts(len(rows), len(forms), left_out)


def settled_numbers(store: Store, batches: Sequence[int], part: Part) -> Iterator[SettledNumber | None]:
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
                yield SettledNumber(job, digits_of(field.value), form, field.name, field.id)


@dataclass(frozen=True, slots=True)
class BatchDataSet:
    """A data set as it was made. batches: their names; left_out: settled fields without digits or picture."""

    id: int
    name: str
    made: datetime
    batches: tuple[str, ...]
    numbers: int
    forms: int
    left_out: int


class LabelledNumber(NamedTuple):
    """One labelled number. row: its place in the data set, from 0; id: of its field in the store."""

    row: int
    file: str
    value: str
    form: str
    field: str
    id: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that differs from the reading. form_id: 0 where the field is gone. wrong: probability that the label is.

    now: what the field is settled on by now, where that is something else.
    """

    number: LabelledNumber
    form_id: int
    read: str
    wrong: float
    now: str


def folder_of(files: Path, data_id: int) -> Path:
    return files / "datasets" / str(data_id)


def make(store: Store, files: Path, batches: Sequence[int], name: str) -> int:
    """Make a data set of the settled numbers of some batches; its id.

    Raises SettingError for a name that is empty or too long or where no batch is given, DataError where no number is
    settled.
    """
    name = name.strip()
    with store.reading() as session:
        names = session.scalars(sa.select(Batch.name).where(Batch.id.in_(batches)).order_by(Batch.id.desc())).all()
    if not names:
        raise SettingError("data set: expected at least one batch, found none; tick one")
    if not 1 <= len(name) <= 200:
        raise SettingError(f"data set: expected a name of 1 to 200 characters, found {len(name)}")
    folder = _new(files)
    try:
        written = write_labelled(store, batches, folder)
    except BaseException:
        folder.rmdir()
        raise
    made = datetime.now(UTC).replace(microsecond=0)
    about = BatchDataSet(int(folder.name), name, made, tuple(names), **asdict(written))
    write_whole(
        folder / ABOUT, json.dumps(asdict(about), indent=2, ensure_ascii=False, default=datetime.isoformat).encode()
    )
    return about.id


def _new(files: Path) -> Path:
    """A new empty folder, by the next number that is free."""
    root = files / "datasets"
    root.mkdir(parents=True, exist_ok=True)
    number = max((int(path.name) for path in root.iterdir() if path.name.isdigit()), default=0)
    while True:
        number += 1
        try:
            (root / str(number)).mkdir()
        except FileExistsError:
            continue
        return root / str(number)


def listing(files: Path) -> list[BatchDataSet]:
    """All data sets, the newest first."""
    found = [find(files, int(path.name)) for path in (files / "datasets").glob("*") if path.name.isdigit()]
    return sorted((one for one in found if one), key=lambda one: -one.id)


def find(files: Path, data_id: int) -> BatchDataSet | None:
    """A data set by its id; None where there is none, or it is not whole."""
    try:
        about = json.loads((folder_of(files, data_id) / ABOUT).read_bytes())
    except OSError:
        return None
    made = datetime.fromisoformat(about["made"])
    return BatchDataSet(**about | {"id": data_id, "made": made, "batches": tuple(about["batches"])})


def numbers(files: Path, data_id: int) -> Sequence[LabelledNumber]:
    """All numbers of a data set, in its order."""
    path = folder_of(files, data_id) / NUMBERS
    return _numbers(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _numbers(path: Path, _: int) -> Sequence[LabelledNumber]:
    return tuple(
        LabelledNumber(row, item["file"], item["value"], item["form"], item["field"], int(item["id"]))
        for row, (_, item) in enumerate(read_csv(path))
    )


def pack(files: Path, data_id: int, out: Path) -> None:
    """Write a data set as a zip file, its pictures as they are."""
    folder = folder_of(files, data_id)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"numbers-{data_id}/{path.name}")


def doubts(store: Store, found: Sequence[LabelledNumber]) -> list[Doubt]:
    """The labels that differ from what was read, the one most probably wrong first; see `forms.audit`.

    Raises MissingExtraError without scipy.
    """
    by_id = {str(number.id): number for number in found}
    state = _state(store, [number.id for number in found])
    cases, rows = [], []
    for key, number in by_id.items():
        if (at := state.get(number.id)) is None or at.read is None:
            continue
        value = at.read.value if at.read.state == "written" else ""
        outcome: Outcome = "right" if value == number.value else "classification"
        said = at.read.written, at.read.state, outcome, at.read.confidence
        cases.append(Case(key, "", number.value, "", value, *said))
        rows.append({"form": key, "field": "", "candidates": " ".join(f"{w}:{p}" for w, p in at.read.candidates)})
    if not cases:
        return []
    return [
        Doubt(number, at.form, s.read, s.wrong, at.value if at.value != number.value else "")
        for s in audit(cases, rows, zeros=True)
        if s.disagrees
        for number in [by_id[s.form]]
        for at in [state[number.id]]
    ]


class _FieldState(NamedTuple):
    """A field as it stands: id of its form, settled digits or state, latest reading."""

    form: int
    value: str
    read: Reading | None


def _state(store: Store, ids: Sequence[int]) -> dict[int, _FieldState]:
    state: dict[int, _FieldState] = {}
    with store.reading() as session:
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            rows = session.execute(
                sa.select(Field.id, Form.id, Field.state, Field.value, Reading)
                .join(Form, Form.id == Field.form_id)
                .outerjoin(Reading, Reading.field_id == Field.id)
                .where(Field.id.in_(some))
                .order_by(Field.id, Reading.id)
            )
            state |= {field: _FieldState(form, value or kind, read) for field, form, kind, value, read in rows}
    return state
