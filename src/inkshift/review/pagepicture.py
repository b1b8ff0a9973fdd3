"""The page that a field is on, straightened as its template draws it, so that the field's box can be outlined."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from inkshift.errors import InputError, RegistrationError
from inkshift.forms.pages import PageRef, load_page
from inkshift.forms.register import register
from inkshift.forms.template import PageSpec, Template
from inkshift.jobs import file_digest
from inkshift.reframe import to_gray
from inkshift.review.schema import Batch, Field, Form, Page
from inkshift.review.store import Store

_LONGEST = 1400
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class FieldOnPage:
    """A field and its page's file. box: x, y, width, height on the template's page, None where it is not known.

    template: as JSON, empty where there is none; folder: of its reference pictures.
    """

    id: int
    name: str
    form: str
    source: str
    number: int
    sha256: str
    box: tuple[float, ...] | None
    template: str
    folder: str


def page_of(store: Store, field_id: int) -> FieldOnPage | None:
    """Where a field is; None where there is no such field, or its page is not known."""
    with store.reading() as session:
        row = session.execute(
            sa.select(Field.id, Field.name, Field.box, Form.name, Page, Batch)
            .join(Form, Form.id == Field.form_id)
            .join(Page, Page.id == Field.page_id)
            .join(Batch, Batch.id == Field.batch_id)
            .where(Field.id == field_id)
        ).first()
    if row is None:
        return None
    field, name, box, form, page, batch = row
    template = Template.model_validate(batch.template).model_dump_json() if batch.template else ""
    straight = tuple(box) if box and template else None
    return FieldOnPage(field, name, form, page.source, page.number, page.sha256, straight, template, batch.folder)


def picture(found: FieldOnPage) -> tuple[bytes, tuple[int, int]]:
    """The page as JPEG, and width and height of the plane that the field's box is given in.

    Raises InputError where the file is gone or is another one by now, RegistrationError where it does not fit.
    """
    return _picture(found.source, found.number, found.sha256, found.template, found.folder, found.name)


@lru_cache(maxsize=32)
def _picture(
    source: str, number: int, sha256: str, template: str, folder: str, field: str
) -> tuple[bytes, tuple[int, int]]:
    if not sha256 or not Path(source).is_file():
        raise InputError(f"{source}: the page's file is not there; put it back to see the whole page")
    if file_digest(source) != sha256:
        raise InputError(f"{source}: is another file than the one that was read; put that one back")
    image = load_page(PageRef(source, number))
    spec = _spec(template, field)
    if spec is None:
        height, width = image.shape[:2]
        return _jpeg(image), (width, height)
    blank = to_gray(load_page(PageRef(str(Path(folder) / spec.reference), 1))) if spec.reference else None
    laid = register(image, spec, blank)[0]
    zoom = min(1.0, _LONGEST / max(spec.size))
    flat = cv2.warpPerspective(
        laid.image,
        laid.matrix @ np.diag([1 / zoom, 1 / zoom, 1.0]),
        (round(spec.size[0] * zoom), round(spec.size[1] * zoom)),
        flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _jpeg(np.asarray(flat, np.uint8)), (round(spec.size[0]), round(spec.size[1]))


def _spec(template: str, field: str) -> PageSpec | None:
    if not template:
        return None
    pages = Template.model_validate_json(template).pages
    found = next((page for page in pages if any(spec.name == field for spec in page.fields)), None)
    if found is None:
        raise RegistrationError(f"field {field!r}: is not on the template's pages; import the forms again")
    return found


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    zoom = min(1.0, _LONGEST / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) if zoom < 1 else image
    drawn = cv2.cvtColor(small, cv2.COLOR_RGB2BGR) if small.ndim == 3 else small
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
