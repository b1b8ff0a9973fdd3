"""Batches renamed, archived and deleted; their forms searched, filtered and paged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import SettingError
from inkshift.review.core import store as stores
from inkshift.review.core.checks import count_broken
from inkshift.review.core.intake import free_name
from inkshift.review.core.schema import (
    Acceptance,
    Aside,
    Batch,
    Decision,
    Field,
    Form,
    Page,
    Reading,
    TaskRecord,
    left_out,
    let_go,
)
from inkshift.review.core.store import ListPage, Store, at_most
from inkshift.review.core.tasks import task_folder

Which = Literal["all", "open", "broken", "settled"]
EACH = 50


@dataclass(frozen=True, slots=True)
class FormRow:
    """One form of a batch. fields, waiting: how many it has, and how many of them wait; broken: rules, as it stands."""

    id: int
    name: str
    fields: int
    waiting: int
    broken: int


@dataclass(frozen=True, slots=True)
class BatchDeletion:
    """What is deleted with a batch. files: its pages were uploaded, and go as well."""

    forms: int
    decisions: int
    files: bool


def form_list(store: Store, batch_id: int, text: str = "", which: Which = "all", page: int = 1) -> ListPage[FormRow]:
    """The forms of a batch by name: those that hold `text`, and are open, break a rule or are settled."""
    count_broken(store, batch_id)
    its = sa.select(sa.func.count()).where(Field.form_id == Form.id)
    fields, waiting = its.scalar_subquery(), its.where(Field.waiting.is_(True)).scalar_subquery()
    wanted = sa.select(Form.id, Form.name).where(Form.batch_id == batch_id, ~left_out())
    if which == "broken":
        wanted = wanted.where(Form.broken > 0)
    elif which != "all":
        wanted = wanted.where(waiting > 0 if which == "open" else sa.and_(waiting == 0, fields > 0))
    with store.reading() as session:
        in_order = wanted.order_by(Form.name, Form.id)
        # Databases fold the case of ASCII alone, or as their locale has it.
        some = [row.id for row in session.execute(in_order) if text.casefold() in row.name.casefold()] if text else None
        total = sa.select(sa.func.count()).select_from(wanted.subquery())
        count = len(some) if some is not None else session.scalar(total) or 0
        page, pages = at_most(page, count, EACH)
        start = (page - 1) * EACH
        ids = some[start : start + EACH] if some is not None else session.scalars(in_order.limit(EACH).offset(start))
        each = sa.select(Form.id, Form.name, fields, waiting, sa.func.coalesce(Form.broken, 0))
        rows = session.execute(each.where(Form.id.in_(list(ids))).order_by(Form.name, Form.id))
        return ListPage(tuple(FormRow(*row) for row in rows), count, page, pages)


def rename(store: Store, batch_id: int, name: str) -> None:
    """Give a batch another name. Raises SettingError for one that is taken or empty."""
    with store.writing() as session:
        session.get_one(Batch, batch_id).name = free_name(session, name, batch_id)


def archive(store: Store, batch_id: int, away: bool) -> None:
    """Put a batch out of the way, or back."""
    with store.writing() as session:
        session.get_one(Batch, batch_id).archived = store.clock() if away else None
        if away:
            let_go(session, Field.batch_id == batch_id)


def goes_with(store: Store, batch_id: int) -> BatchDeletion:
    """What deleting a batch takes along."""
    with store.reading() as session:
        forms = session.scalar(sa.select(sa.func.count(Form.id)).where(Form.batch_id == batch_id)) or 0
        log = sa.select(sa.func.count(Decision.id)).join(Field, Field.id == Decision.field_id)
        decisions = session.scalar(log.where(Field.batch_id == batch_id)) or 0
        return BatchDeletion(forms, decisions, _owned(session, store, batch_id) is not None)


def delete(store: Store, batch_id: int, name: str) -> None:
    """Delete a batch that is archived, with all in it and, where they were uploaded, its pages.

    name: its name, typed once more. Raises SettingError where that is another, it is not archived, or it is being read.
    """
    with store.writing() as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        if batch.archived is None:
            raise SettingError(f"batch {batch.name!r}: archive it first, then delete it")
        if name.strip() != batch.name:
            raise SettingError(f"batch {batch.name!r}: type its name to delete it; found another")
        tasks = [
            task
            for task in session.scalars(sa.select(TaskRecord).where(TaskRecord.kind.in_(("read", "reread"))))
            if task.about.get("batch") == batch_id
        ]
        if any(task.status == "running" for task in tasks):
            raise SettingError(f"batch {batch.name!r}: is being read; stop that first")
        folders = [_owned(session, store, batch_id)]
        if store.files is not None:
            pages = session.scalars(sa.select(Page.id).join(Page.form).where(Form.batch_id == batch_id))
            folders += [store.files / "pages" / str(page) for page in pages]
            folders += [task_folder(store.files, task.id) for task in tasks]
        _delete_rows(session, store, batch_id)
        for task in tasks:
            session.delete(task)
    store.checks.pop(batch_id, None)
    for folder in folders:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _owned(session: Session, store: Store, batch_id: int) -> Path | None:
    """The folder of a batch's uploaded pages; None where there is none, or another batch has it or pages in it."""
    folder = session.get_one(Batch, batch_id).folder
    if store.files is None or not folder.startswith("batches/"):
        return None
    batches = sa.select(Batch.id).where(Batch.folder == folder, Batch.id != batch_id)
    inside = Page.source.startswith(f"{folder}/", autoescape=True)
    pages = sa.select(Page.id).join(Page.form).where(inside, Form.batch_id != batch_id)
    shared = session.scalar(sa.select(sa.or_(batches.exists(), pages.exists())))
    return None if shared else store.at(folder)


def _delete_rows(session: Session, store: Store, batch_id: int) -> None:
    fields = sa.select(Field.id).where(Field.batch_id == batch_id)
    forms = sa.select(Form.id).where(Form.batch_id == batch_id)
    with stores.log_open(session):
        mine = sa.update(Field).where(Field.batch_id == batch_id)
        let_go(session, Field.batch_id == batch_id)
        session.execute(sa.delete(Reading).where(Reading.field_id.in_(fields)))
        undo = sa.delete(Decision).where(Decision.field_id.in_(fields))
        session.execute(undo.where(Decision.undoes.is_not(None)))
        session.execute(undo)
        session.execute(mine.values(accepted_by=None), execution_options={"synchronize_session": False})
        for table, column, ids in (
            (Aside, Aside.form_id, forms),
            (Field, Field.form_id, forms),
            (Acceptance, Acceptance.batch_id, [batch_id]),
            (Page, Page.form_id, forms),
            (Form, Form.batch_id, [batch_id]),
            (Batch, Batch.id, [batch_id]),
        ):
            session.execute(sa.delete(table).where(column.in_(ids)), execution_options={"synchronize_session": False})
