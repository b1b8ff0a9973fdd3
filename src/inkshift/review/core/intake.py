"""What comes into review: readings of forms with their crops, and labels that were there before."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.arrays import Pixels
from inkshift.datasets.labels import Label
from inkshift.errors import InputError, SettingError
from inkshift.files import file_digest, is_there
from inkshift.forms.reading import UNREADABLE, FieldReading, FormReading, PageNote, state_of
from inkshift.forms.template import Template
from inkshift.review.core.checks import limit_of
from inkshift.review.core.queue import Consensus, LogEntry, parse, record, shown, standing
from inkshift.review.core.schema import MODEL, Batch, Decision, Field, Form, Page, Reading, left_out
from inkshift.review.core.store import Store, add_rows, named_user, new_ids

RULE_BROKEN, NOT_ACCEPTED, ACCEPTED = range(3)
# Forms are kept together that came within this many seconds, up to this many fields.
_WAIT, _TOGETHER = 0.1, 5_000


@dataclass(frozen=True, slots=True)
class LabelImport:
    """added: decisions that are new. unused: (form, field) of labels that no field, or more than one, fits, or that its
    field cannot hold."""

    added: int
    unused: tuple[tuple[str, str], ...]


def add_batch(
    store: Store,
    name: str,
    forms: Iterable[FormReading] = (),
    *,
    template: Template | None = None,
    folder: str = "",
    model: str = "",
    double: bool = False,
    model_keys: bool = False,
) -> int:
    """A new batch with the forms, as `add_forms` takes them; its id.

    template: what the forms were read with; folder: where its reference pictures are. model: digest of the model that
    read them. double: two must agree on each field. model_keys: the model's reading counts as one of the two.
    Raises SettingError for a name that is taken or empty, and for a model that keys without double keying.
    """
    if model_keys and not double:
        raise SettingError(f"batch {name!r}: the model keys as one of two; switch double keying on as well")
    with store.writing() as session:
        name = free_name(session, name)
        batch = Batch(name=name, folder=folder, created=store.clock(), double=double, model_keys=model_keys)
        batch.template = template.model_dump(mode="json") if template else None
        session.add(batch)
        session.flush()
        batch_id = batch.id
    add_forms(store, batch_id, forms, model=model)
    return batch_id


def free_name(session: Session, name: str, batch_id: int = 0) -> str:
    """A name for a batch, a new one where no id is given, without the blanks around it.

    Raises SettingError for one that another batch has, is empty or too long.
    """
    name = name.strip()
    if not name or len(name) > 200:
        raise SettingError(f"batch: expected a name of 1 to 200 characters, found {len(name)}")
    if session.scalar(sa.select(Batch.id).where(Batch.name == name, Batch.id != batch_id)) is not None:
        raise SettingError(f"batch {name!r}: is there already; choose another name")
    return name


def add_forms(
    store: Store,
    batch_id: int,
    forms: Iterable[FormReading],
    *,
    model: str = "",
    names: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Add forms as they are read, whole, so that people begin while more are read; those that come quickly together.

    A form that was waited for is kept at once; one that comes right behind another is kept with the next, or when
    `forms` ends or raises, which is then raised on. A form that the database refuses costs no other one.

    A page that is there already, by its place and the name of its form as both were read, is passed over: after a stop,
    give all again. Pages that are new go to the form that holds another page of theirs. model: digest of the model that
    read them. names: what people call the pages' files, by their sources, where that is something else. Gives how many
    forms are new or have more pages now. Raises SettingError for no such batch.
    """
    with store.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise SettingError(f"batch {batch_id}: there is no such batch; make it first")
        known = _known(session, batch_id)
    added, said = 0, _FormOrigin(model, names, {})
    held: list[NewForm] = []
    begun = time.monotonic()
    try:
        for form in _new_forms(store, known, said, forms):
            held.append(form)
            if time.monotonic() - begun > _WAIT or sum(len(one.crops) for one in held) >= _TOGETHER:
                group, held = held, []
                _keep(store, batch, group, said)
                added += len(group)
                begun = time.monotonic()
    finally:
        if held:
            _keep(store, batch, held, said)
    return added + len(held)


@dataclass(frozen=True, slots=True)
class NewForm:
    """A form to be kept, or pages of it. there: id of the form that the pages are added to, None for a new one.

    crops: PNG, one a field.
    """

    form: FormReading
    there: int | None
    crops: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class _FormOrigin:
    """What belongs to forms beside their readings. names, digests: of files, by source."""

    model: str
    names: Mapping[str, str]
    digests: dict[str, str]


def _new_forms(
    store: Store, known: Mapping[_Place, list[int]], said: _FormOrigin, forms: Iterable[FormReading]
) -> Iterator[NewForm]:
    """What of the forms is not there yet, each with its pictures encoded."""
    seen = Counter[_Place]()
    for form in forms:
        if form.pages and all(page.blank for page in form.pages):
            continue
        holders = [_holder(store, known, seen, form.name, page) for page in form.pages or (None,)]
        if None not in holders:
            continue
        there = next((one for one in holders if one is not None), None)
        new = [page for page, holder in zip(form.pages, holders, strict=False) if holder is None]
        for page in new:
            if page.source not in said.digests:
                said.digests[page.source] = digest_of(page.source)
        if there is not None:
            places = {(page.source, page.page) for page in new}
            more = tuple(item for item in form.fields if (item.source, item.page) in places)
            form = replace(form, pages=tuple(new), fields=more)
        yield NewForm(form, there, encoded(form))


_Place = tuple[str, str | None, int | None]
"""A form's name as it was read, and source and number of one of its pages."""


def _known(session: Session, batch_id: int) -> dict[_Place, list[int]]:
    """The forms at each place: several of one name may lie on one picture, and come in the order of their ids."""
    rows = session.execute(
        sa.select(Form.read_as, Page.first_source, Page.first_number, Form.id)
        .outerjoin(Page, Page.form_id == Form.id)
        .where(Form.batch_id == batch_id)
        .order_by(Form.id, Page.id)
    )
    found: defaultdict[_Place, list[int]] = defaultdict(list)
    for name, source, number, form in rows:
        found[name, source, number].append(form)
    return found


def _holder(
    store: Store, known: Mapping[_Place, list[int]], seen: Counter[_Place], name: str, page: PageNote | None
) -> int | None:
    """The form that holds a page already; None where none does. seen: counts how often each place came."""
    place = (name, store.kept(page.source), page.page) if page else (name, None, None)
    seen[place] += 1
    there = known.get(place, [])
    return there[seen[place] - 1] if seen[place] <= len(there) else None


def _keep(store: Store, batch: Batch, group: Sequence[NewForm], said: _FormOrigin) -> None:
    """Keep forms in one transaction, or each in its own where that is refused; then the first refusal is raised."""
    try:
        with store.writing() as session:
            _add_forms(session, store, batch, group, said)
    except sa.exc.OperationalError:  # the database itself, not what is in a form
        raise
    except Exception:  # COPY raises the driver's own
        if len(group) == 1:
            raise
        refused = []
        for one in group:
            try:
                _keep(store, batch, [one], said)
            except Exception as e:
                refused.append(e)
        if refused:
            raise refused[0] from None


def _add_forms(session: Session, store: Store, batch: Batch, group: Sequence[NewForm], said: _FormOrigin) -> None:
    ids = iter(new_ids(session, Form, sum(one.there is None for one in group)))
    made, placed = [], []
    for one in group:
        if one.there is None:
            placed.append((next(ids), one))
            names = {"name": one.form.name, "read_as": one.form.name}
            made.append({"id": placed[-1][0], "batch_id": batch.id, "broken": None, **names})
        else:
            session.get_one(Form, one.there, with_for_update=True).broken = None
            placed.append((one.there, one))
    session.flush()
    add_rows(session, Form, made)
    pages: list[dict[str, Any]] = [
        {"form_id": form, "number": p.page, "first_number": p.page, "quality": p.quality, "turn": p.turn}
        | {"source": store.kept(p.source), "first_source": store.kept(p.source), "sha256": said.digests[p.source]}
        | {"name": said.names.get(p.source, ""), "error": p.error.replace(p.source, said.names.get(p.source, p.source))}
        for form, one in placed
        for p in one.form.pages
    ]
    for page, number in zip(pages, new_ids(session, Page, len(pages)), strict=True):
        page["id"] = number
    add_rows(session, Page, pages)
    numbers = iter(pages)
    places = [{(p.source, p.page): next(numbers)["id"] for p in one.form.pages} for _, one in placed]
    add_fields(session, store, batch, [(*two, at) for two, at in zip(placed, places, strict=True)], said.model)


Placed = tuple[int, NewForm, Mapping[tuple[str, int], int]]
"""The id that a form has, the form, and the ids of its pages by source and number."""


def add_fields(session: Session, store: Store, batch: Batch, forms: Sequence[Placed], model: str) -> None:
    """Add the fields of readings to forms that are kept, rows in bulk. model: digest of the one that read them."""
    aside = set(session.scalars(sa.select(Form.id).where(Form.id.in_([i for i, _, _ in forms]), left_out())))
    keyer = named_user(session, MODEL, "model", store.clock()).id if batch.model_keys else None
    numbers = new_ids(session, Field, sum(len(one.form.fields) for _, one, _ in forms))
    given = ((form, one, pages, k) for form, one, pages in forms for k in range(len(one.form.fields)))
    numbered = [(field, *rest) for field, rest in zip(numbers, given, strict=True)]
    answers = {
        field: LogEntry(0, keyer, "model", item.state, item.value, None)
        for field, _, one, _, k in numbered
        if keyer is not None and (item := one.form.fields[k]).state in ("written", "blank", "crossed-out")
    }
    batch_id, double, still_open = batch.id, batch.double, Consensus("open")

    def field_row(field: int, form: int, one: NewForm, pages: Mapping[tuple[str, int], int], k: int) -> dict[str, Any]:
        item = one.form.fields[k]
        stand = standing([answers[field]], double) if field in answers else still_open
        first, second = (*stand.keyers, None, None)[:2]
        return {
            "id": field,
            "batch_id": batch_id,
            "form_id": form,
            "page_id": pages.get((item.source, item.page)),
            "name": item.name,
            "box": list(item.box) if item.box else None,
            "urgency": urgency(item),
            "confidence": item.confidence,
            "waiting": stand.status != "settled" and form not in aside,
            "status": stand.status,
            "state": stand.state,
            "value": stand.value,
            "crop": one.crops[k],
            "first_id": first,
            "second_id": second,
            "accepted_by": None,
        }

    # Rows are made while the server takes in those before them.
    add_rows(session, Field, (field_row(*each) for each in numbered))
    add_rows(
        session,
        Reading,
        (reading_row(one.form.fields[k], model, one.form.reader, field) for field, _, one, _, k in numbered),
    )
    add_rows(session, Decision, (_log_row(field, answer, store) for field, answer in answers.items()))


def _log_row(field: int, answer: LogEntry, store: Store) -> dict[str, Any]:
    row = {"user_id": answer.user_id, "kind": answer.kind, "state": answer.state, "value": answer.value}
    return row | {"field_id": field, "number": 1, "time": store.clock(), "seconds": 0.0, "undoes": None, "checked": []}


def urgency(item: FieldReading) -> int:
    """How soon somebody is to see a field; see `schema.Field`."""
    if item.rules_broken:
        return RULE_BROKEN
    return ACCEPTED if item.accepted else NOT_ACCEPTED


def reading_row(item: FieldReading, model: str, reader: str, field: int) -> dict[str, Any]:
    """A row of `Reading`. model: digest; reader: of the form; field: id."""
    return {
        "value": item.value,
        "written": item.written,
        "state": item.state,
        "confidence": item.confidence,
        "accepted": item.accepted,
        "candidates": [[c.written, c.probability] for c in item.candidates],
        "field_id": field,
        "model": model,
        "reader": reader,
        "rules_broken": list(item.rules_broken),
    }


def encoded(form: FormReading) -> list[bytes | None]:
    """The crops of a form, (H, W) or (H, W, 3) uint8 RGB, as PNG, pixel by pixel, quickly rather than small."""
    return [None if item.crop is None else _png(item.crop) for item in form.fields]


def _png(crop: Pixels) -> bytes:
    pixels = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def digest_of(source: str) -> str:
    """The SHA-256 of a page's file; empty where it is not there."""
    try:
        return file_digest(source) if is_there(source) else ""
    except InputError:
        return ""


def add_labels(store: Store, batch_id: int, labels: Sequence[Label], source: str) -> LabelImport:
    """Put labels that were there before into the log, as decisions of `source`, a keyer that nobody can log in as.

    A form's only field may be labelled without a name. A field that `source` decided on already is passed over.
    Raises SettingError where a person has that name.
    """
    with store.writing() as session:
        author = named_user(session, source, "source", store.clock()).id
        rows = session.execute(sa.select(Form.name, Field).join(Field.form).where(Field.batch_id == batch_id)).all()
        in_form = Counter(field.form_id for _, field in rows)
        fields: dict[tuple[str, str], list[Field]] = {}
        for form, field in rows:
            names = {field.name, ""} if in_form[field.form_id] == 1 else {field.name}
            for name in names:
                fields.setdefault((form, name), []).append(field)
        added, unused = 0, []
        for label in labels:
            fitting = fields.get((label.form, label.field), [])
            if len(fitting) != 1:
                unused.append((label.form, label.field))
                continue
            limit = limit_of(session, store, batch_id, fitting[0].name)
            try:
                answer = parse(shown(*_answer(label)), limit)
            except SettingError:
                unused.append((label.form, label.field))
                continue
            field = session.get_one(Field, fitting[0].id, with_for_update=True, populate_existing=True)
            if record(session, store, field, author, "key", answer):
                added += 1
    return LabelImport(added, tuple(unused))


def _answer(label: Label) -> tuple[str, str]:
    if UNREADABLE in label.written:
        return "unreadable", ""
    if label.value:
        return "written", label.value
    return (state_of(label.written) if label.written else "blank"), ""
