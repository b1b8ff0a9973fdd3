"""Files that a browser sends: taken only where they are pages, under names that the server makes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import Depends, Request
from PIL import Image
from starlette.datastructures import UploadFile

from inkshift.datasets.labels import Label, read_labels
from inkshift.errors import DataError, InputError
from inkshift.forms.page.files import kind_of, page_refs
from inkshift.review.web.security import Supervisor
from inkshift.scratch import scratch

MOST_BYTES = 64 * 2**20
MOST_PAGES = 500
MOST_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What a form with files holds. files: those that were chosen, whatever their input's name."""

    texts: dict[str, str]
    files: tuple[UploadFile, ...]


async def sent(request: Request, who: Supervisor) -> AsyncIterator[UploadForm]:
    """The form of a request. Nothing of it is read before the guard has let them in, unlike with `Form` and `File`."""
    async with request.form() as form:
        items = form.multi_items()
        texts = {key: value for key, value in items if isinstance(value, str)}
        yield UploadForm(texts, tuple(value for _, value in items if isinstance(value, UploadFile) and value.filename))


Upload = Annotated[UploadForm, Depends(sent)]


def take(upload: UploadFile, folder: Path, stem: str) -> Path:
    """Keep a PDF or a picture that is read, told by its content, as `folder/stem` with the ending that it should have.

    stem: made by the server, letters, digits and dashes. The file appears whole or not at all. Raises InputError,
    which names the file as its owner does, where it is none of these, damaged, locked, or has more than 64 MB,
    500 pages or 50 megapixels a page.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", stem):
        raise ValueError(f"{stem!r} is no name that the server makes")
    shown = shown_name(upload)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{stem}.part"
    try:
        _copy(upload.file, part, shown)
        _check(part, shown)
        kept = folder / (stem + kind_of(part))
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    return kept


def take_labels(upload: UploadFile) -> list[Label]:
    """What a CSV file says is written on forms; see `read_labels`. Raises DataError, which names the file as its owner
    does."""
    shown = shown_name(upload)
    with scratch() as folder:
        file = Path(folder, "labels.csv")
        _copy(upload.file, file, shown)
        try:
            return read_labels(str(file), amounts=True)
        except DataError as e:
            raise DataError(str(e).replace(str(file), shown)) from None


def shown_name(upload: UploadFile) -> str:
    """What its owner calls a file, without its folders."""
    return Path((upload.filename or "").replace("\\", "/")).name[:100] or "file"


def _copy(source: BinaryIO, part: Path, shown: str) -> None:
    left = MOST_BYTES
    source.seek(0)
    with part.open("wb") as file:
        while block := source.read(2**20):
            left -= len(block)
            if left < 0:
                raise InputError(f"{shown}: expected at most {MOST_BYTES >> 20} MB, found more; send it in parts")
            file.write(block)


def _check(part: Path, shown: str) -> None:
    try:
        count = len(page_refs(part))
    except InputError as e:
        raise InputError(str(e).replace(str(part), shown)) from None
    if count > MOST_PAGES:
        raise InputError(f"{shown}: expected at most {MOST_PAGES} pages, found {count}; send it in parts")
    if kind_of(part) == ".pdf":
        return  # drawn small enough, and its pictures measured before, by `load_page`
    with Image.open(part) as image:
        for page in range(count):
            try:
                image.seek(page)
            except (OSError, ValueError, EOFError):
                raise InputError(f"{shown}: page {page + 1} is damaged; scan or copy it again") from None
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"{shown}: expected at most {MOST_PIXELS // 10**6} megapixels, found "
                    f"{image.width} x {image.height} pixels; scan at fewer dots per inch"
                )
