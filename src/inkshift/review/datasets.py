"""Data sets made of settled fields: folders of labelled numbers, and labels that the ink does not bear out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from inkshift.errors import SettingError
from inkshift.files import read_csv, write_whole
from inkshift.forms.judge.audit import audit
from inkshift.forms.judge.evaluate import Case, Outcome
from inkshift.review.core.schema import Batch, Field, Form, Reading
from inkshift.review.core.store import Store
from inkshift.review.labelled import NUMBERS, write_labelled

ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as it was made. batches: their names; left_out: settled fields without digits or picture."""

    id: int
    name: str
    made: datetime
    batches: tuple[str, ...]
    numbers: int
    forms: int
    left_out: int


class Number(NamedTuple):
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

    number: Number
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
    about = DataSet(int(folder.name), name, made, tuple(names), **asdict(written))
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


def listing(files: Path) -> list[DataSet]:
    """All data sets, the newest first."""
    found = [find(files, int(path.name)) for path in (files / "datasets").glob("*") if path.name.isdigit()]
    return sorted((one for one in found if one), key=lambda one: -one.id)


def find(files: Path, data_id: int) -> DataSet | None:
    """A data set by its id; None where there is none, or it is not whole."""
    try:
        about = json.loads((folder_of(files, data_id) / ABOUT).read_bytes())
    except OSError:
        return None
    made = datetime.fromisoformat(about["made"])
    return DataSet(**about | {"id": data_id, "made": made, "batches": tuple(about["batches"])})


def numbers(files: Path, data_id: int) -> Sequence[Number]:
    """All numbers of a data set, in its order."""
    path = folder_of(files, data_id) / NUMBERS
    return _numbers(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _numbers(path: Path, _: int) -> Sequence[Number]:
    return tuple(
        Number(row, item["file"], item["value"], item["form"], item["field"], int(item["id"]))
        for row, (_, item) in enumerate(read_csv(path))
    )


def pack(files: Path, data_id: int, out: Path) -> None:
    """Write a data set as a zip file, its pictures as they are."""
    folder = folder_of(files, data_id)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"numbers-{data_id}/{path.name}")


def doubts(store: Store, found: Sequence[Number]) -> list[Doubt]:
    """The labels that differ from what was read, the one most probably wrong first; see `forms.audit`.

    Raises MissingExtraError without scipy.
    """
    by_id = {str(number.id): number for number in found}
    state = _state(store, [number.id for number in found])
    cases, rows = [], []
    for key, number in by_id.items():
        if (at := state.get(number.id)) is None or at.read is None:
            continue
        cases.append(_case(key, number.value, at.read))
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


def _case(key: str, label: str, read: Reading) -> Case:
    value = read.value if read.state == "written" else ""
    outcome: Outcome = "right" if value == label else "classification"
    return Case(key, "", label, "", value, read.written, read.state, outcome, read.confidence)


class _At(NamedTuple):
    """A field as it stands: id of its form, settled digits or state, latest reading."""

    form: int
    value: str
    read: Reading | None


def _state(store: Store, ids: Sequence[int]) -> dict[int, _At]:
    state: dict[int, _At] = {}
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
            state |= {field: _At(form, value or kind, read) for field, form, kind, value, read in rows}
    return state
