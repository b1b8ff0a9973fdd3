"""The page that a field is on, upright, and where on it the field is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from starlette.responses import Response

from inkshift.errors import InputError
from inkshift.files import file_digest, is_there
from inkshift.forms.page.files import PageRef, load_page
from inkshift.pictures import fit_within
from inkshift.remote import at_hand
from inkshift.review.core.schema import Field, Form, Page
from inkshift.review.core.store import Store

_LONGEST = 1400
_QUALITY = 80

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PageFile:
    """Where a page is. called: what people call its file; number: from 1 in it; turn: see `schema.Page`."""

    source: str
    called: str
    number: int
    sha256: str
    turn: int

    @property
    def version(self) -> str:
        """For the address of its picture, which browsers keep: another one for another file or turn."""
        return f"{self.sha256[:16]}-{self.turn}"


@dataclass(frozen=True, slots=True)
class FieldOnPage:
    """A field and its page. box: see `schema.Field`."""

    id: int
    name: str
    form: str
    page: PageFile
    box: Box | None


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page as JPEG, upright, 1400 pixels at most. size: its width and height. zoom: its pixels for one of the file's.

    whole: width and height of the page in the file, before it was turned.
    """

    jpeg: bytes
    size: tuple[int, int]
    zoom: float
    whole: tuple[int, int]


def page_of(store: Store, field_id: int) -> FieldOnPage | None:
    """Where a field is; None where there is no such field, or its page is not known."""
    with store.reading() as session:
        row = session.execute(
            sa.select(Field.id, Field.name, Field.box, Form.name, Page)
            .join(Form, Form.id == Field.form_id)
            .join(Page, Page.id == Field.page_id)
            .where(Field.id == field_id)
        ).first()
    if row is None:
        return None
    field, name, box, form, page = row
    return FieldOnPage(field, name, form, file_of(store, page), tuple(box) if box else None)


def file_of(store: Store, page: Page) -> PageFile:
    """Where a page is."""
    return PageFile(str(store.at(page.source)), page.name or page.source, page.number, page.sha256, page.turn)


def picture(found: PageFile) -> PagePicture:
    """The page. Raises InputError where its file is gone or is another one by now."""
    if not found.sha256 or not is_there(found.source):
        raise InputError(f"{found.called}: the page's file is not there; put it back to see the whole page")
    try:
        return _picture(found.source, found.number, found.sha256, found.turn)
    except InputError as e:
        raise InputError(str(e).replace(found.source, found.called)) from None


def sent(found: PageFile) -> Response:
    """The picture of a page as an answer."""
    return Response(picture(found).jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


def outline(found: FieldOnPage, shown: PagePicture) -> Box | None:
    """x, y, width, height of the field in pixels of the picture."""
    if found.box is None:
        return None
    left, top, right, bottom = found.box
    wide, high = shown.whole
    turn = found.page.turn
    if turn == 90:
        left, top, right, bottom = high - bottom, left, high - top, right
    elif turn == 180:
        left, top, right, bottom = wide - right, high - bottom, wide - left, high - top
    elif turn == 270:
        left, top, right, bottom = top, wide - right, bottom, wide - left
    x, y, w, h = (round(shown.zoom * v, 1) for v in (left, top, right - left, bottom - top))
    return x, y, w, h


@lru_cache(maxsize=32)
def _picture(source: str, number: int, sha256: str, turn: int) -> PagePicture:
    with at_hand(source) as file:
        if file_digest(file) != sha256:
            raise InputError(f"{file}: is another file than the one that was read; put that one back")
        image = load_page(PageRef(str(file), number))
    high, wide = image.shape[:2]
    zoom = min(1.0, _LONGEST / max(high, wide))
    upright = np.ascontiguousarray(np.rot90(fit_within(image, _LONGEST), -turn // 90), np.uint8)
    return PagePicture(jpeg(upright, _QUALITY), (upright.shape[1], upright.shape[0]), zoom, (wide, high))


def jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """(H, W) or (H, W, 3) RGB uint8 as a JPEG file."""
    drawn = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
