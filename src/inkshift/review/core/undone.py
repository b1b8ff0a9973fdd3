"""What a reading left undone: pages that were not read, and forms that are there twice or lack a page.

Each is work, as a field that waits is: no batch is done while one is open. `batches.mend` mends them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from inkshift.review.core.schema import Aside, Batch, Field, Form, Page, left_out
from inkshift.review.core.store import Store


@dataclass(frozen=True, slots=True)
class UnreadPage:
    """A page that was not read. name: of its file."""

    id: int
    form: str
    name: str
    number: int
    error: str


@dataclass(frozen=True, slots=True)
class OddForm:
    """A form that is amiss. what: `duplicate`, or `incomplete`; pages: read, of `whole`."""

    id: int
    name: str
    what: Literal["duplicate", "incomplete"]
    pages: int = 0
    whole: int = 0


@dataclass(frozen=True, slots=True)
class BatchRepairs:
    """What is left to be mended in a batch, and what was set aside or is right so, each with its name."""

    pages: tuple[UnreadPage, ...]
    forms: tuple[OddForm, ...]
    aside: tuple[tuple[Aside, str], ...]

    def __len__(self) -> int:
        return len(self.pages) + len(self.forms)


def called(page: Page) -> str:
    """What people call a page's file, without its folders."""
    return Path(page.name or page.source).name


def undone(store: Store, batch_id: int) -> BatchRepairs:
    """What a reading left undone in a batch."""
    with store.reading() as session:
        pages = tuple(
            UnreadPage(page.id, form, called(page), page.number, page.error.replace(page.source, called(page)))
            for page, form in session.execute(
                sa.select(Page, Form.name)
                .join(Form, Form.id == Page.form_id)
                .where(Form.batch_id == batch_id, *_open_page())
                .order_by(Page.id)
            )
        )
        aside = tuple(
            (one, called(page) if page else form)
            for one, form, page in session.execute(
                sa.select(Aside, Form.name, Page)
                .join(Form, Form.id == Aside.form_id)
                .outerjoin(Page, Page.id == Aside.page_id)
                .where(Form.batch_id == batch_id)
                .order_by(Aside.id)
                .options(joinedload(Aside.user))
            )
        )
        return BatchRepairs(pages, tuple(_odd(session, batch_id)), aside)


def _open_page() -> tuple[sa.ColumnElement[bool], ...]:
    return Page.error != "", ~sa.exists().where(Aside.page_id == Page.id), ~left_out()


def _odd(session: Session, batch_id: int) -> list[OddForm]:
    """Forms that are there twice, and those of which fewer pages were read than their template has; none of them set
    aside, or right so."""
    right = sa.exists().where(Aside.form_id == Form.id, Aside.kind == "right")
    read = sa.select(sa.func.count(sa.distinct(Field.page_id))).where(Field.form_id == Form.id).scalar_subquery()
    unread = sa.exists().where(Page.form_id == Form.id, *_open_page()[:2])
    wanted = sa.select(Form.id, Form.name, read, right, unread).where(Form.batch_id == batch_id, ~left_out())
    rows = [row for row in session.execute(wanted.order_by(Form.name, Form.id)) if row[2]]
    times = Counter(row[1] for row in rows)
    template = session.scalar(sa.select(Batch.template).where(Batch.id == batch_id))
    whole = sum(bool(page["fields"]) for page in template["pages"]) if template else 0
    found = []
    for form, name, pages, is_right, has_unread in rows:
        if is_right:
            continue
        if times[name] > 1:
            found.append(OddForm(form, name, "duplicate"))
        elif pages < whole and not has_unread:
            found.append(OddForm(form, name, "incomplete", pages, whole))
    return found
