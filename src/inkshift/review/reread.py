"""The open fields of a batch read anew, with the model that is the default now. Decisions stay as they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from inkshift.errors import DataError, InputError, SettingError
from inkshift.files import file_digest, is_there
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading
from inkshift.forms.template import Template
from inkshift.review.batches.reading import model_of, write_template
from inkshift.review.core.intake import reading_row, urgency
from inkshift.review.core.models import default_folder
from inkshift.review.core.paging import Listed, listed
from inkshift.review.core.schema import Batch, Field, Form, Page, Reading
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import Work

BATCHES = 20  # of a page


def reread(work: Work) -> dict[str, Any]:
    """Read the pages of a batch again whose fields wait for people, and give each such field another reading.

    Its confidence and urgency, and so its place in the queue, follow. A page whose file is gone or is another one by
    now is passed over. Raises SettingError where there is no such batch, or it has no template, DataError where no page
    is left.
    """
    template, sources, skipped = _to_read(work)
    reader = Reader(template, model=default_folder(work.store) or "")
    fields, seen = 0, Counter[tuple[str, int, str]]()
    for form in reader.read(sources, progress=work.count):
        place = form.pages[0].source, form.pages[0].page, form.name
        fields += _add(work.store, work.about["batch"], form, model_of(reader), seen[place])
        seen[place] += 1
    return {"fields": fields, "skipped": skipped}


def _to_read(work: Work) -> tuple[Path, list[str], int]:
    """The batch's template as a file, the files to read, and how many files are not as they were."""
    batch_id = work.about["batch"]
    with work.store.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None or not batch.template:
            raise SettingError(f"batch {batch_id}: has no template to read with; read its pages into a new batch")
        template = Template.model_validate(batch.template)
        waiting = sa.select(Field.form_id).where(Field.batch_id == batch_id, Field.waiting.is_(True))
        found = sa.select(Page.source, Page.sha256).where(Page.form_id.in_(waiting), Page.sha256 != "")
        in_order = found.group_by(Page.source, Page.sha256).order_by(sa.func.min(Page.id))
        pages = session.execute(in_order).all()
        folder = work.store.at(batch.folder)
    there = [(str(work.store.at(source)), digest) for source, digest in pages]
    usable = [source for source, digest in there if _is_same(source, digest)]
    if not usable:
        raise DataError("no page to read: all fields are settled, or the scans are not where they were; put them back")
    return write_template(template, folder, work.folder), usable, len(pages) - len(usable)


def _is_same(source: str, digest: str) -> bool:
    """Whether a page's file is there, and the one that was read."""
    try:
        return is_there(source) and file_digest(source) == digest
    except InputError:
        return False


def _add(store: Store, batch_id: int, form: FormReading, digest: str, before: int) -> int:
    """Another reading for each field of a form that waits, unless its latest is of this reader; how many there were.

    before: how many forms of its name came before it on the picture.
    """
    added = 0
    with store.writing() as session:
        note = form.pages[0]
        begin = Page.source == store.kept(note.source), Page.number == note.page
        wanted = sa.select(Form.id, Form.name, Form.read_as).join(Page).where(Form.batch_id == batch_id, *begin)
        there = session.execute(wanted.distinct().order_by(Form.id)).all()
        # Several forms may lie on one picture: then their names tell them apart, else their order.
        same = [row.id for row in there if len(there) == 1 or form.name in (row.name, row.read_as)]
        for form_id in same[before : before + 1]:
            wait = sa.select(Field).where(Field.form_id == form_id, Field.waiting.is_(True)).with_for_update()
            waiting = {
                f.name: f for f in session.scalars(wait) if not f.readings or f.readings[-1].reader != form.reader
            }
            for item in form.fields:
                if field := waiting.get(item.name):
                    session.add(Reading(**reading_row(item, digest, form.reader, field.id)))
                    field.confidence, field.urgency = item.confidence, urgency(item)
                    added += 1
            session.execute(sa.update(Form).where(Form.id == form_id).values(broken=None))
    return added


def batches_with_pages(store: Store, page: int = 1) -> Listed[tuple[int, str, int]]:
    """Id, name and number of fields that wait, of each batch that can be read anew, the newest first."""
    waiting = sa.and_(Field.batch_id == Batch.id, Field.waiting.is_(True))
    some = sa.select(Batch.id, Batch.name).where(Batch.template.is_not(None), sa.exists().where(waiting))
    count = sa.select(sa.func.count(Field.id)).join(Batch, waiting)
    with store.reading() as session:
        found = listed(session.execute(some.order_by(Batch.id.desc())).all(), page, BATCHES)
        return found.each(lambda row: (row.id, row.name, session.scalar(count.where(Batch.id == row.id)) or 0))
