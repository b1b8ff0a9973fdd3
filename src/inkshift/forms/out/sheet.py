"""A spreadsheet of rows, each with its picture: XLSX that is the same bytes for the same rows."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from inkshift.arrays import Pixels
from inkshift.files import whole_file
from inkshift.forms.kinds import WITH_DIGITS, digits_of
from inkshift.forms.reading import MINUS, POINT, Kind
from inkshift.scratch import in_scratch, scratch

CROP = "crop"
CROP_HEIGHT = 96
# Digits that a spreadsheet keeps of a number; longer ones stay text.
_KEPT = 15
VALUES = ("value", "decided")
"""Columns that hold values."""
# Widths of columns, in characters; 12 where none is said.
_WIDTHS = {"form": 18, CROP: 24, "candidates": 30, "rules_broken": 40, "source": 24, "template": 18, "reader": 30}

AppendRow = Callable[[dict[str, str], bytes | None, Kind], None]


@contextmanager
def open_sheet(path: Path, title: str, columns: Sequence[str]) -> Iterator[AppendRow]:
    """A spreadsheet that appears whole or not at all; what is given adds a row, the PNG of its crop, and its kind.

    columns: in the order shown; `crop` is where the picture goes. Values and confidences are numbers, with the zeros
    before them shown; ticks are true or false, dates are dates, texts are never taken for any of these. The header
    stays in sight, and each column has a filter.
    """
    from openpyxl import Workbook
    from openpyxl.drawing.image import Image as Picture
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    letters = {name: get_column_letter(k) for k, name in enumerate(columns, 1)}
    for name, letter in letters.items():
        sheet.column_dimensions[letter].width = _WIDTHS.get(name, 12)
    last = 1
    with scratch() as folder, whole_file(path) as temporary:
        with in_scratch(folder):
            _keep_in(folder, sheet)
            sheet.append(list(columns))

        def append(row: dict[str, str], crop: bytes | None, kind: Kind) -> None:
            nonlocal last
            last += 1
            if crop:
                file = folder / f"{last}.png"
                with in_scratch(folder):
                    file.write_bytes(crop)
                picture = Picture(str(file))
                picture.width, picture.height = _shown(picture.width, picture.height)
                sheet.add_image(picture, f"{letters[CROP]}{last}")
                sheet.row_dimensions[last].height = 33
            with in_scratch(folder):
                sheet.append([None if name == CROP else _cell(sheet, name, row[name], kind) for name in columns])

        try:
            yield append
            sheet.auto_filter.ref = f"A1:{letters[columns[-1]]}{last}"
            _save(book, temporary, folder)
        except BaseException:
            with suppress(Exception):  # it may be closed, or full; open, it would write once more when it is forgotten
                sheet.close()
            raise


def _keep_in(folder: Path, sheet: Any) -> None:
    """Let openpyxl keep the rows in `folder`: where it keeps them itself, they stay when the process is killed."""
    from openpyxl.worksheet._writer import ALL_TEMP_FILES, WorksheetWriter

    file = str(folder / "rows.xml")
    ALL_TEMP_FILES.append(file)  # it takes the name out again once the book is saved
    sheet._writer = WorksheetWriter(sheet, file)
    sheet._writer.write_top()


def _shown(width: float, height: float) -> tuple[int, int]:
    """At most 160 x 40 pixels."""
    scale = min(160 / width, 40 / height)
    return round(width * scale), round(height * scale)


def png(crop: Pixels) -> bytes:
    """The crop, (H, W) or (H, W, 3) uint8 RGB, as a PNG file of at most 96 pixels in height."""
    picture = Pillow.fromarray(crop)
    if picture.height > CROP_HEIGHT:
        width = max(1, round(picture.width * CROP_HEIGHT / picture.height))
        picture = picture.resize((width, CROP_HEIGHT), Pillow.Resampling.BOX)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def _cell(sheet: Any, name: str, text: str, kind: Kind) -> Any:
    """What a cell holds: text, or the number, truth or date that the text says."""
    from openpyxl.cell import WriteOnlyCell

    if name == "accepted" and text:
        return text == "true"
    if name == "page":
        return int(text)
    if name == "confidence":
        return float(text)
    if kind == "date" and name in VALUES and text:
        return date.fromisoformat(text)
    if kind == "tick" and name in VALUES and text:
        return text == "1"
    if kind in WITH_DIGITS and name in VALUES and text:
        digits = digits_of(text)
        if len(digits) > _KEPT:
            return _harmless(text)
        cell = WriteOnlyCell(sheet, float(text) if POINT in text else int(text))
        cell.number_format = re.sub("[0-9]", "0", text.removeprefix(MINUS))
        return cell
    return _harmless(text)


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula, without characters that XLSX does not allow."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    text = ILLEGAL_CHARACTERS_RE.sub("", text.encode("utf-8", "backslashreplace").decode())
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _save(book: Any, path: Path, folder: Path) -> None:
    """Write the book without the time at which it was made, which openpyxl writes into it."""
    from openpyxl.writer.excel import ExcelWriter

    made = folder / "made.xlsx"
    # As `book.save` does, but for the archive, which that leaves open where it fails.
    with in_scratch(folder), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        ExcelWriter(book, archive).save()
    with zipfile.ZipFile(made) as parts, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for part in parts.infolist():
            entry = zipfile.ZipInfo(part.filename)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if part.filename == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", parts.read(part))
                out.writestr(entry, content)
            else:
                with parts.open(part) as source, out.open(entry, "w", force_zip64=True) as target:
                    while block := source.read(2**20):
                        target.write(block)
