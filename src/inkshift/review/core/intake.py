"""What comes into review: readings of forms with their crops, and labels that were there before."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import sqlalchemy as sa
from PIL import Image as Pillow
from sqlalchemy.orm import Session

from inkshift.datasets.labels import Label
from inkshift.errors import InputError, SettingError
from inkshift.files import file_digest
from inkshift.forms.reading import UNREADABLE, FieldReading, FormReading, Image, PageNote, state_of
from inkshift.forms.template import Template
from inkshift.review.core.checks import limit_of
from inkshift.review.core.queue import parse, record, shown
from inkshift.review.core.schema import MODEL, Batch, Field, Form, Page, Reading, count_waiting
from inkshift.review.core.store import Store, named_user

RULE_BROKEN, NOT_ACCEPTED, ACCEPTED = range(3)


@dataclass(frozen=True, slots=True)
class LabelsAdded:
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
    name = name.strip()
    if not name or len(name) > 200:
        raise SettingError(f"batch: expected a name of 1 to 200 characters, found {len(name)}")
    if model_keys and not double:
        raise SettingError(f"batch {name!r}: the model keys as one of two; switch double keying on as well")
    with store.writing() as session:
        if session.scalar(sa.select(Batch.id).where(Batch.name == name)) is not None:
            raise SettingError(f"batch {name!r}: is there already; choose another name")
        batch = Batch(name=name, folder=folder, created=store.clock(), double=double, model_keys=model_keys)
        batch.template = template.model_dump(mode="json") if template else None
        session.add(batch)
        session.flush()
        batch_id = batch.id
    add_forms(store, batch_id, forms, model=model)
    return batch_id


def add_forms(
    store: Store,
    batch_id: int,
    forms: Iterable[FormReading],
    *,
    model: str = "",
    names: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Add forms as they are read, each as one transaction, so that people begin while more are read.

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
    added, digests, seen = 0, dict[str, str](), Counter[_Place]()
    for form in forms:
        if form.pages and all(page.blank for page in form.pages):
            continue
        holders = [_holder(store, known, seen, form.name, page) for page in form.pages or (None,)]
        if None not in holders:
            continue
        there = next((one for one in holders if one is not None), None)
        new = [page for page, holder in zip(form.pages, holders, strict=False) if holder is None]
        for page in new:
            if page.source not in digests:
                digests[page.source] = _digest(page.source)
        if there is not None:
            places = {(page.source, page.page) for page in new}
            more = tuple(item for item in form.fields if (item.source, item.page) in places)
            form = replace(form, pages=tuple(new), fields=more)
        crops = [None if item.crop is None else encode(item.crop) for item in form.fields]
        with store.writing() as session:
            _add_form(session, store, batch, form, _Given(model, names, digests, crops), there)
        added += 1
    return added


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


@dataclass(frozen=True, slots=True)
class _Given:
    """What belongs to a form beside its reading. names, digests: of files, by source; crops: PNG, one a field."""

    model: str
    names: Mapping[str, str]
    digests: dict[str, str]
    crops: list[bytes | None]


def _add_form(
    session: Session, store: Store, batch: Batch, form: FormReading, given: _Given, there: int | None
) -> None:
    """there: id of the form that the pages are added to, None for a new one."""
    if there is None:
        row = Form(batch_id=batch.id, name=form.name, read_as=form.name)
        session.add(row)
        session.flush()
    else:
        row = session.get_one(Form, there, with_for_update=True)
        row.broken = None
    pages = [
        Page(
            form_id=row.id,
            source=store.kept(p.source),
            number=p.page,
            first_source=store.kept(p.source),
            first_number=p.page,
            sha256=given.digests[p.source],
            quality=p.quality,
            error=p.error.replace(p.source, given.names.get(p.source, p.source)),
            name=given.names.get(p.source, ""),
            turn=p.turn,
        )
        for p in form.pages
    ]
    session.add_all(pages)
    session.flush()
    places = {(p.source, p.page): page.id for p, page in zip(form.pages, pages, strict=True)}
    add_fields(session, store, batch, row, form, places, given.crops, given.model)


def add_fields(
    session: Session,
    store: Store,
    batch: Batch,
    row: Form,
    form: FormReading,
    pages: Mapping[tuple[str, int], int],
    crops: Sequence[bytes | None],
    model: str,
) -> None:
    """Add the fields of a reading to a form that is kept. pages: ids of its pages, by source and number; crops: PNG."""
    fields = []
    for item, crop in zip(form.fields, crops, strict=True):
        field = Field(
            form_id=row.id,
            batch_id=batch.id,
            page_id=pages.get((item.source, item.page)),
            name=item.name,
            box=list(item.box) if item.box else None,
            urgency=urgency(item),
            confidence=item.confidence,
            crop=crop,
        )
        field.readings = [reading_row(item, model, form.reader)]
        fields.append(field)
    session.add_all(fields)
    session.flush()
    count_waiting(session, Field.form_id == row.id)
    if batch.model_keys:
        keyer = named_user(session, MODEL, "model", store.clock()).id
        for item, field in zip(form.fields, fields, strict=True):
            if item.state in ("written", "blank", "crossed-out"):
                record(session, store, field, keyer, "model", (item.state, item.value))


def urgency(item: FieldReading) -> int:
    """How soon somebody is to see a field; see `schema.Field`."""
    if item.rules_broken:
        return RULE_BROKEN
    return ACCEPTED if item.accepted else NOT_ACCEPTED


def reading_row(item: FieldReading, model: str, reader: str, field: int | None = None) -> Reading:
    """A reading as the store keeps it. model: digest; reader: of the form; field: id, None where not known yet."""
    return Reading(
        field_id=field,
        model=model,
        reader=reader,
        value=item.value,
        written=item.written,
        state=item.state,
        confidence=item.confidence,
        accepted=item.accepted,
        candidates=[[c.written, c.probability] for c in item.candidates],
        rules_broken=list(item.rules_broken),
    )


def encode(crop: Image) -> bytes:
    """The crop, (H, W) or (H, W, 3) uint8 RGB, as PNG, pixel by pixel."""
    data = io.BytesIO()
    Pillow.fromarray(crop).save(data, "PNG")
    return data.getvalue()


def _digest(source: str) -> str:
    try:
        return file_digest(source) if Path(source).is_file() else ""
    except InputError:
        return ""


def add_labels(store: Store, batch_id: int, labels: Sequence[Label], source: str) -> LabelsAdded:
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
            if record(session, store, _lock(session, fitting[0]), author, "key", answer):
                added += 1
    return LabelsAdded(added, tuple(unused))


def _lock(session: Session, field: Field) -> Field:
    return session.get_one(Field, field.id, with_for_update=True, populate_existing=True)


def _answer(label: Label) -> tuple[str, str]:
    if UNREADABLE in label.written:
        return "unreadable", ""
    if label.value:
        return "written", label.value
    return (state_of(label.written) if label.written else "blank"), ""
