"""Pages that were not read are mended: laid by hand, keyed without a reading, replaced, or set aside with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.errors import InkshiftError, SettingError
from inkshift.files import file_digest
from inkshift.forms.assemble import assemble
from inkshift.forms.page.files import PageRef, load_page, page_refs
from inkshift.forms.reader import Reader
from inkshift.forms.reading import PageReading
from inkshift.forms.template import PageSpec, Template
from inkshift.review.batches.reading import model_of, open_reader, write_template
from inkshift.review.core.intake import NOT_ACCEPTED, NewForm, add_fields, encoded
from inkshift.review.core.schema import Aside, Batch, Field, Form, Page, count_waiting, let_go
from inkshift.review.core.store import Store
from inkshift.review.web.pagepicture import PagePicture
from inkshift.scratch import scratch

Kind = Literal["aside", "right"]
Corners = Sequence[tuple[float, float]]
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class PageRepair:
    """A page that was not read, with its form and its batch, and the template of that."""

    page: Page
    template: Template | None


def to_mend(store: Store, page_id: int) -> PageRepair | None:
    """A page that was not read; None where there is none, or it was mended."""
    with store.reading() as session:
        page = session.get(Page, page_id)
        if page is None or not page.error:
            return None
        template = page.form.batch.template
        return PageRepair(page, Template.model_validate(template) if template else None)


def turn(store: Store, page_id: int) -> None:
    """Show a page turned clockwise by 90 degrees more."""
    with store.writing() as session:
        page = session.get_one(Page, page_id, with_for_update=True)
        page.turn = (page.turn + 90) % 360


def frame(spec: PageSpec) -> tuple[float, float, float, float]:
    """x, y, width, height in template pixels of the rectangle around all fields of a page: what is laid by hand."""
    boxes = np.array([field.box for field in spec.fields], np.float64).reshape(-1, 4)
    if not len(boxes):
        return 0.0, 0.0, float(spec.size[0]), float(spec.size[1])
    left, top = boxes[:, :2].min(0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(0)
    return float(left), float(top), float(right - left), float(bottom - top)


def lay(store: Store, found: PageRepair, shown: PagePicture, design: int, corners: Corners) -> None:
    """Read a page where somebody laid it. corners: of `frame` in pixels of the picture that is shown, clockwise from
    the top left.

    Raises SettingError for corners that are no such four, and what reading raises.
    """
    assert found.template is not None
    spec = found.template.pages[design]
    x, y, w, h = frame(spec)
    box = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
    points = np.array(corners, np.float32)
    hull = cv2.convexHull(points)
    if len(hull) < 4 or cv2.contourArea(points, oriented=True) < 100:
        raise SettingError("corners: expected four, clockwise from the top left of the fields; put them there again")
    matrix = np.asarray(cv2.getPerspectiveTransform(box, _in_file(points, shown, found.page.turn)), np.float64)
    source = str(store.at(found.page.source))
    image = load_page(PageRef(source, found.page.number))
    with scratch() as folder:
        reader = _reader(store, found, folder)
        reading = reader.read_at(image, matrix, design, source, found.page.number)
    _take(store, found, reading, reader)


def _in_file(points: Any, shown: PagePicture, turned: int) -> Any:
    """Points of the picture that is shown as points of the page in its file."""
    (wide, high), zoom = shown.whole, shown.zoom
    x, y = (points / zoom).T
    back = {0: (x, y), 90: (y, high - x), 180: (wide - x, high - y), 270: (wide - y, x)}
    return np.stack(back[turned], 1).astype(np.float32)


def replaced(store: Store, found: PageRepair, path: Path, called: str) -> bool:
    """Read another file in a page's place; whether it could be read.

    Raises SettingError where it holds more than one page or form, and where somebody mended the page meanwhile; then
    the file is deleted.
    """
    many = len(page_refs(path))
    with scratch() as folder:
        try:
            reader = _reader(store, found, folder)
            readings = reader.read_pages(load_page(PageRef(str(path), 1)), str(path), 1) if many == 1 else []
        except InkshiftError as e:
            readings = [PageReading(str(path), 1, error=str(e))]
    try:
        if len(readings) != 1:
            what = f"{many} pages" if many > 1 else f"{len(readings)} forms on it"
            raise SettingError(
                f"{called}: expected one page with one form, found {what}; send just the one that belongs here"
            )
        (reading,) = readings
        if reading.blank:
            reading = replace(reading, error=f"{called}: the page is blank")
        with store.writing() as session:
            page = _still(session, found)
            page.source, page.number, page.sha256, page.name = store.kept(path), 1, file_digest(path), called
            page.turn = reading.turn
            page.error = (reading.error or page.error).replace(str(path), called)
    except SettingError:
        path.unlink(missing_ok=True)
        raise
    if reading.error:
        return False
    mended = to_mend(store, found.page.id)
    assert mended is not None
    _take(store, mended, reading, reader)
    return True


def key_by_hand(store: Store, found: PageRepair, design: int) -> None:
    """Put the fields of a page into the queue without any reading; the whole page is shown for each."""
    assert found.template is not None
    with store.writing() as session:
        page = _still(session, found)
        form, specs = page.form, found.template.pages[design].fields
        _need_new(session, form.id, [spec.name for spec in specs])
        for spec in specs:
            field = Field(form_id=form.id, batch_id=form.batch_id, page_id=page.id, name=spec.name)
            field.urgency, field.confidence = NOT_ACCEPTED, 0.0
            session.add(field)
        session.flush()
        count_waiting(session, Field.form_id == form.id)
        _mended(session, page, None)


def put_aside(
    store: Store, user_id: int, form_id: int, reason: str, page_id: int | None = None, kind: Kind = "aside"
) -> None:
    """Leave out a page or, without one, a whole form, whose fields leave the queue; or say, by the kind `right`, that a
    form which is there twice, or lacks a page, is right so. Raises SettingError without a reason."""
    reason = reason.strip()
    if not reason:
        raise SettingError("reason: say why, so that others know; one word is enough")
    with store.writing() as session:
        _forget(session, form_id, page_id)
        given = {"kind": kind, "reason": reason[:LONGEST_REASON], "user_id": user_id, "time": store.clock()}
        session.add(Aside(form_id=form_id, page_id=page_id, **given))
        session.flush()
        count_waiting(session, Field.form_id == form_id)
        if page_id is None and kind == "aside":
            let_go(session, Field.form_id == form_id)


def take_back(store: Store, form_id: int, page_id: int | None = None) -> None:
    """Take back that a page or a form was set aside, or is right so; its fields wait again."""
    with store.writing() as session:
        _forget(session, form_id, page_id)
        count_waiting(session, Field.form_id == form_id)


def _forget(session: Session, form_id: int, page_id: int | None) -> None:
    """What was said of a page or, without one, of the whole form, whose row is locked."""
    session.get_one(Form, form_id, with_for_update=True)
    same = Aside.page_id.is_(None) if page_id is None else Aside.page_id == page_id
    session.execute(sa.delete(Aside).where(Aside.form_id == form_id, same))


def _reader(store: Store, found: PageRepair, folder: Path) -> Reader:
    if found.template is None:
        raise SettingError(f"batch {found.page.form.batch.name!r}: has no template to read with; set the page aside")
    return open_reader(store, write_template(found.template, store.at(found.page.form.batch.folder), folder))


def _take(store: Store, found: PageRepair, reading: PageReading, reader: Reader) -> None:
    """The fields of a page that is read at last, into its form."""
    (form,) = assemble([reading], found.template)
    form = replace(form, reader=reader.signature)
    crops = encoded(form)
    with store.writing() as session:
        page = _still(session, found)
        row, batch = session.get_one(Form, found.page.form_id), session.get_one(Batch, found.page.form.batch_id)
        _need_new(session, row.id, [item.name for item in form.fields])
        if reading.identity and not session.scalar(sa.select(Field.id).where(Field.form_id == row.id).limit(1)):
            row.name = form.name
        placed = row.id, NewForm(form, row.id, crops), {(reading.source, page.number): page.id}
        add_fields(session, store, batch, [placed], model_of(reader))
        page.quality, page.turn = reading.quality, reading.turn
        _mended(session, page, reading.quality)


def _still(session: Session, found: PageRepair) -> Page:
    """The page, its row locked. Raises SettingError where somebody mended it meanwhile."""
    page = session.get(Page, found.page.id, with_for_update=True, populate_existing=True)
    if page is None or not page.error:
        raise SettingError("the page was mended meanwhile; look at its form")
    return page


def _need_new(session: Session, form_id: int, names: Sequence[str]) -> None:
    there = sa.select(Field.name).where(Field.form_id == form_id, Field.name.in_(names)).limit(1)
    if name := session.scalar(there):
        raise SettingError(f"field {name!r}: the form has that page already; choose another page of the template")


def _mended(session: Session, page: Page, quality: float | None) -> None:
    page.error, page.quality = "", quality
    session.execute(sa.delete(Aside).where(Aside.page_id == page.id))
    session.execute(sa.update(Form).where(Form.id == page.form_id).values(broken=None))
