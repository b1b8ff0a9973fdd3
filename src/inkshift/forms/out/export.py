"""Readings to files and back: CSV, JSON Lines, and XLSX with each crop beside its value. One row a field."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, get_args

from PIL import Image as Pillow

from inkshift.errors import DataError, SettingError, nearest
from inkshift.files import MOST_TABLE, parse_json, read_csv, read_text, reason, whole_file
from inkshift.forms.reading import (
    CROSSED,
    DIGITS,
    EMPTY,
    UNREADABLE,
    FieldReading,
    FormReading,
    Image,
    State,
)

Format = Literal["csv", "jsonl", "xlsx"]
Row = dict[str, str]

COLUMNS = (
    "form",
    "field",
    "value",
    "state",
    "confidence",
    "accepted",
    "candidates",
    "rules_broken",
    "source",
    "page",
    "written",
    "marks",
    "template",
    "reader",
)
NEEDED = COLUMNS[:-3]
"""Columns that a file of readings must have; older ones name no marks, no template and no reader."""
SYMBOLS = DIGITS + CROSSED + EMPTY + UNREADABLE
MOST_SYMBOLS = 100
"""Symbols of one number in a file of readings or labels: five times what can be read."""
CROP_HEIGHT = 96
SHOWN = 5
"""Candidates of a field that files show."""


def format_of(path: Path) -> Format:
    """The format that the ending of `path` stands for. Raises SettingError with the known endings."""
    for fmt in get_args(Format):
        if path.suffix.lower() == f".{fmt}":
            known: Format = fmt
            return known
    endings = [f".{fmt}" for fmt in get_args(Format)]
    raise SettingError(
        f"{path}: the ending {path.suffix!r} names no format of readings; {nearest(path.suffix, endings)}"
    )


def row(form: FormReading, field: FieldReading) -> Row:
    """One field as a row of text: confidence with 4 decimals, candidates as `127:0.9312 121:0.0410`."""
    return {
        "form": form.name,
        "field": field.name,
        "value": field.value,
        "state": field.state,
        "confidence": f"{field.confidence:.4f}",
        "accepted": "" if field.accepted is None else str(field.accepted).lower(),
        "candidates": " ".join(f"{c.written}:{c.probability:.4f}" for c in field.candidates[:SHOWN]),
        "rules_broken": "; ".join(field.rules_broken),
        "source": field.source,
        "page": str(field.page),
        "written": field.written,
        "marks": " ".join(field.marks),
        "template": form.template,
        "reader": form.reader,
    }


def write_readings(forms: Iterable[FormReading], path: Path | None, fmt: Format | None = None) -> None:
    """Write the forms as they come, field by field; XLSX shows the crop of each field that has one.

    path: None or `-` is standard output, for csv (the default there) and jsonl. fmt: None takes the path's
    ending. The file appears whole or not at all. Raises SettingError for a path that cannot be written.
    """
    _write(((row(form, field), field.crop) for form in forms for field in form.fields), path, fmt)


def write_rows(rows: Iterable[Row], path: Path | None, fmt: Format | None = None) -> None:
    """Write rows made by `row` or read by `read_rows`, without pictures; otherwise as `write_readings`."""
    _write(((item, None) for item in rows), path, fmt)


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV or JSON Lines file of readings, all as text, just as `row` makes them.

    Raises DataError that names file, line and what is missing or wrong there.
    """
    ending = path.suffix.lower()
    if ending == ".xlsx":
        raise DataError(f"{path}: readings are read from CSV or JSON Lines; write them with --format csv")
    read = _read_jsonl if ending in (".jsonl", ".ndjson") else _read_csv
    return [_checked(path, line, item) for line, item in read(path)]


def png(crop: Image) -> bytes:
    """The crop, (H, W) or (H, W, 3) uint8 RGB, as a PNG file of at most 96 pixels in height."""
    picture = Pillow.fromarray(crop)
    if picture.height > CROP_HEIGHT:
        width = max(1, round(picture.width * CROP_HEIGHT / picture.height))
        picture = picture.resize((width, CROP_HEIGHT), Pillow.Resampling.BOX)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def _write(items: Iterable[tuple[Row, Image | None]], path: Path | None, fmt: Format | None) -> None:
    to_stdout = path is None or str(path) == "-"
    fmt = fmt or ("csv" if path is None or to_stdout else format_of(path))
    if fmt not in get_args(Format):
        raise SettingError(f"format {fmt!r} is not one of readings; {nearest(fmt, get_args(Format))}")
    if path is None or to_stdout:
        if fmt == "xlsx":
            raise SettingError("xlsx does not go to standard output; give a file, or the format csv or jsonl")
        return _TEXT[fmt]((item for item, _ in items), sys.stdout)
    with whole_file(path) as temporary:
        if fmt == "xlsx":
            return _write_xlsx(items, temporary)
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            _TEXT[fmt]((item for item, _ in items), file)


def _write_csv(rows: Iterable[Row], file: IO[str]) -> None:
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: text.replace("\r", " ") for name, text in item.items()} for item in rows)


def _write_jsonl(rows: Iterable[Row], file: IO[str]) -> None:
    for item in rows:
        file.write(json.dumps(typed(item), ensure_ascii=False) + "\n")


_TEXT: dict[str, Callable[[Iterable[Row], IO[str]], None]] = {"csv": _write_csv, "jsonl": _write_jsonl}


def _write_xlsx(items: Iterable[tuple[Row, Image | None]], path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.drawing.image import Image as Picture

    book = Workbook(write_only=True)
    sheet = book.create_sheet("readings")
    sheet.freeze_panes = "A2"
    for letter, width in zip("ABCDEFGHIJKLM", (18, 10, 10, 24, 12, 11, 10, 30, 40, 24, 6, 10, 18), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.append([*COLUMNS[:3], "crop", *COLUMNS[3:]])
    with tempfile.TemporaryDirectory(prefix="inkshift-crops-") as folder:
        try:
            for line, (item, crop) in enumerate(items, start=2):
                if crop is not None and crop.size:
                    file = Path(folder, f"{line}.png")
                    file.write_bytes(png(crop))
                    sheet.add_image(fitted(Picture(str(file))), f"D{line}")
                    sheet.row_dimensions[line].height = 33
                values = [harmless(item[name]) for name in COLUMNS]
                sheet.append([*values[:3], None, *values[3:]])
        except BaseException:
            sheet.close()
            raise
        save_book(book, path)


def save_book(book: Any, path: Path) -> None:
    """Write a spreadsheet so that the same cells make the same bytes: openpyxl writes into it when it was made."""
    with tempfile.TemporaryFile() as made:
        book.save(made)
        with zipfile.ZipFile(made) as parts, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for part in parts.infolist():
                content = parts.read(part)
                if part.filename == "docProps/core.xml":
                    content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", content)
                out.writestr(zipfile.ZipInfo(part.filename), content, zipfile.ZIP_DEFLATED)


def fitted(picture: Any) -> Any:
    """The spreadsheet picture, shown at most 160 x 40 pixels large."""
    scale = min(160 / picture.width, 40 / picture.height)
    picture.width, picture.height = picture.width * scale, picture.height * scale
    return picture


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula, without characters that XLSX does not allow."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    text = ILLEGAL_CHARACTERS_RE.sub("", text.encode("utf-8", "backslashreplace").decode())
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def typed(item: Mapping[str, str]) -> dict[str, Any]:
    """A row for JSON: numbers, booleans, null and lists instead of text."""
    candidates = (pair.rpartition(":") for pair in item["candidates"].split())
    return dict(item) | {
        "confidence": float(item["confidence"]),
        "accepted": {"true": True, "false": False}.get(item["accepted"]),
        "candidates": [{"written": w, "probability": float(p)} for w, _, p in candidates],
        "rules_broken": item["rules_broken"].split("; ") if item["rules_broken"] else [],
        "page": int(item["page"]),
        "marks": item.get("marks", "").split(),
    }


def _plain(item: Mapping[str, Any]) -> Row:
    """The inverse of `typed`."""
    return {key: str(value) for key, value in item.items()} | {
        "confidence": f"{item['confidence']:.4f}",
        "accepted": "" if item["accepted"] is None else str(item["accepted"]).lower(),
        "candidates": " ".join(f"{c['written']}:{c['probability']:.4f}" for c in item["candidates"]),
        "rules_broken": "; ".join(item["rules_broken"]),
        "marks": " ".join(item.get("marks", ())),
    }


def _read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    for line, item in read_csv(path, *NEEDED, exact=True):
        yield line, {name: item.get(name, "") for name in COLUMNS}


def _read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        text = read_text(path, MOST_TABLE)
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: cannot be read ({reason(e)}); give a CSV or JSON Lines file") from None
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            item = parse_json(content, halves=True)
        except ValueError as e:
            why = e.msg if isinstance(e, json.JSONDecodeError) else e
            raise DataError(f"{path}:{line}: not JSON ({why}); mend that line") from None
        _need_columns(path, line, item if isinstance(item, dict) else ())
        try:
            yield line, _plain({name: item.get(name, "") for name in COLUMNS})
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            raise DataError(f"{path}:{line}: not a row of readings; write it again with --format jsonl") from None


def _need_columns(path: Path, line: int, found: Iterable[str]) -> None:
    missing = [name for name in NEEDED if name not in set(found)]
    if missing:
        raise DataError(f"{path}:{line}: no column {', '.join(missing)}; write readings with `inkshift read --out`")


def _checked(path: Path, line: int, item: Row) -> Row:
    """The row itself, as text that every file and terminal takes, where all that is counted with is what it must be."""
    item = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in item.items()}
    for name, expected, fine in (
        ("value", f"at most {MOST_SYMBOLS} digits, or nothing", _is_made_of(DIGITS, item["value"])),
        ("state", f"one of {', '.join(get_args(State))}", item["state"] in get_args(State)),
        ("confidence", "a number from 0 to 1", _is_share(item["confidence"])),
        ("accepted", "true, false or nothing", item["accepted"] in ("true", "false", "")),
        ("candidates", "pairs such as 127:0.93", all(map(_is_candidate, item["candidates"].split()))),
        ("page", "a number from 1", _is_made_of(DIGITS, item["page"], 9) and bool(item["page"].strip("0"))),
        ("written", f"at most {MOST_SYMBOLS} digits, X, _ and ?", _is_made_of(SYMBOLS, item["written"])),
    ):
        if not fine:
            raise DataError(f"{path}:{line}: {name} is {_shown(item[name])}, expected {expected}; mend that line")
    return item


def _is_made_of(symbols: str, text: str, most: int = MOST_SYMBOLS) -> bool:
    return len(text) <= most and not text.strip(symbols)


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _is_candidate(pair: str) -> bool:
    written, divider, share = pair.rpartition(":")
    return bool(divider) and _is_made_of(SYMBOLS, written) and _is_share(share)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
