"""What goes out of review: tables, spreadsheets with crops, and tasks for Label Studio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload, undefer

from inkshift.errors import SettingError, nearest
from inkshift.files import inline
from inkshift.forms.out.export import COLUMNS, TEXT, Format, Row, add_csv, add_json, open_text, row, typed
from inkshift.forms.out.sheet import CROP, open_sheet, png
from inkshift.forms.reading import Candidate, FieldReading, FormReading, Kind
from inkshift.forms.rules import Limit
from inkshift.pictures import decode_picture
from inkshift.review.core.checks import broken_in_batch, checks_of, limits_of
from inkshift.review.core.queue import ANY
from inkshift.review.core.schema import MODEL, Decision, Field, Reading, User, left_out, stands
from inkshift.review.core.store import Store

DECIDED = ("decided", "decided_state", "decided_by", "keyers", "checked_by")


@dataclass(frozen=True, slots=True)
class SettledField:
    """One field. row: as text, by `COLUMNS` and `DECIDED`. by: who stands for the settled answer. keyers: how many gave
    any. checked: who of `by` said that the paper says so although it breaks a rule.

    crop: PNG. read: whether anything read it; model: digest of the one that did. kind: as its template says.
    """

    row: Row
    by: tuple[str, ...]
    keyers: int
    checked: tuple[str, ...]
    crop: bytes | None
    read: bool
    model: str
    kind: Kind = "number"


def lines(store: Store, batch_id: int) -> Iterator[SettledField]:
    """All fields of a batch, form by form: what was read and what was decided. Forms that were set aside are left out.

    `decided` holds a value where `decided_state` is `written`; both are empty while the field waits. `decided_by` names
    who stands for that answer, `model` alone where a policy accepted what was read; `keyers` counts who gave any.
    `rules_broken` is asked of the form as it stands, settled values before those that were read; `checked_by` names who
    said of an answer that breaks one that the paper says so.
    """
    with store.reading() as session:
        given = _given(session, batch_id)
        rules = bool(checks_of(session, store, batch_id))
        limits = limits_of(session, store, batch_id)
        broken = broken_in_batch(session, store, batch_id)
        wanted = (
            sa.select(Field)
            .join(Field.form)
            .where(Field.batch_id == batch_id, ~left_out())
            .order_by(Field.form_id, Field.id)
            .options(undefer(Field.crop), selectinload(Field.form), selectinload(Field.page))
            .options(selectinload(Field.readings))
            .execution_options(yield_per=200)
        )
        for field in session.scalars(wanted):
            reading = field.readings[-1] if field.readings else _UNREAD
            answers = given[field.id]
            limit = limits.get(field.name, ANY)
            state, value, by = _decided(field, reading, answers, limit)
            keyers = len({one.name for one in answers})
            checked = tuple(one.name for one in answers if one.checked and one.name in by)
            decided = zip(DECIDED, (value, state, ", ".join(by), str(keyers), ", ".join(checked)), strict=True)
            told = tuple(one.message for one in broken.get(field.form_id, ()) if field.name in one.fields)
            item = _as_read(field, reading, told if rules else tuple(reading.rules_broken))
            read = row(FormReading(field.form.name, reader=reading.reader), item)
            given_by = by, keyers, checked
            yield SettledField(
                read | dict(decided), *given_by, field.crop, bool(field.readings), reading.model, limit.kind
            )


_UNREAD = Reading(model="", reader="", value="", written="?", state="unread", confidence=0.0, rules_broken=[])
_UNREAD.candidates = []
"""In place of the reading of a field that was keyed without one."""


class _Answer(NamedTuple):
    """What one person answered; checked: and said that the paper says so."""

    name: str
    answer: tuple[str, str]
    checked: bool


def _decided(field: Field, reading: Reading, given: list[_Answer], limit: Limit) -> tuple[str, str, tuple[str, ...]]:
    """State, digits, and who stands for them: the settled answer, else the reading where a policy accepted it."""
    if field.status == "open" and field.accepted_by is not None:
        return reading.state, reading.value, (MODEL,)
    if field.status != "settled":
        return field.state, field.value, ()
    same = field.state, limit.compared(field.value)
    by = (one.name for one in given if (one.answer[0], limit.compared(one.answer[1])) == same)
    return field.state, field.value, tuple(by)


def _given(session: Session, batch_id: int) -> defaultdict[int, list[_Answer]]:
    """By field, who answered what, of the decisions that stand."""
    found: defaultdict[int, list[_Answer]] = defaultdict(list)
    for field, name, state, value, checked in session.execute(
        sa.select(Decision.field_id, User.name, Decision.state, Decision.value, Decision.checked)
        .join(User, User.id == Decision.user_id)
        .join(Field, Field.id == Decision.field_id)
        .where(Field.batch_id == batch_id, Decision.kind != "undo", stands())
        .order_by(Decision.field_id, Decision.number)
    ):
        found[field].append(_Answer(name, (state, value), bool(checked)))
    return found


def _as_read(field: Field, reading: Reading, broken: tuple[str, ...]) -> FieldReading:
    page = field.page
    return FieldReading(
        field.name,
        reading.value,
        reading.written,
        reading.state,  # type: ignore[arg-type]
        reading.confidence,
        tuple(Candidate(written, probability) for written, probability in reading.candidates),
        accepted=True if field.accepted_by is not None else reading.accepted,
        rules_broken=broken,
        source=(page.name or page.source) if page else "",
        page=page.number if page else 1,
    )


def write_table(store: Store, batch_id: int, path: Path) -> None:
    """Write a row a field, as CSV, JSON Lines or, with each crop beside its value, XLSX, by the ending of `path`.

    The file appears whole or not at all. Raises SettingError for another ending and a path that cannot be written.
    """
    known = [f".{fmt}" for fmt in get_args(Format)]
    ending = path.suffix.lower()
    if ending not in known:
        raise SettingError(f"{path}: the ending {path.suffix!r} names no table; {nearest(path.suffix, known)}")
    if ending == ".xlsx":
        columns = [*COLUMNS[:3], CROP, *DECIDED, *COLUMNS[3:]]
        with open_sheet(path, "review", columns) as append:
            for line in lines(store, batch_id):
                append(line.row, png(decode_picture(line.crop, "crop")) if line.crop else None, line.kind)
        return
    with open_text(path) as file:
        if ending == ".csv":
            with add_csv(file, COLUMNS + DECIDED) as add:
                add(line.row for line in lines(store, batch_id))
        else:
            with TEXT[ending[1:]](file) as add:
                add(
                    typed(one.row) | {"decided_by": list(one.by), "keyers": one.keyers, "checked_by": list(one.checked)}
                    for one in lines(store, batch_id)
                )


def write_label_studio(store: Store, batch_id: int, path: Path) -> None:
    """Write tasks that Label Studio imports, each field with its picture within the file.

    What was read is the prediction, what was settled the annotation: `number`, the digits as text, and `state`, a
    choice, both on `image`. Raises SettingError for a path that cannot be written.
    """
    with open_text(path) as file, add_json(file) as add:
        add(_task(line) for line in lines(store, batch_id))


def _task(line: SettledField) -> dict[str, Any]:
    item = line.row
    task: dict[str, Any] = {
        "data": {
            "image": inline(line.crop or b""),
            **{name: item[name] for name in ("form", "field", "source", "page", "decided_by")},
        },
    }
    if line.read:
        score, result = float(item["confidence"]), _result(item["state"], item["value"])
        task["predictions"] = [{"model_version": line.model or "unknown", "score": score, "result": result}]
    if item["decided_state"] and line.by != (MODEL,):
        task["annotations"] = [{"result": _result(item["decided_state"], item["decided"])}]
    return task


def _result(state: str, value: str) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = [
        {"from_name": "state", "to_name": "image", "type": "choices", "value": {"choices": [state]}}
    ]
    if value:
        result.append({"from_name": "number", "to_name": "image", "type": "textarea", "value": {"text": [value]}})
    return result
