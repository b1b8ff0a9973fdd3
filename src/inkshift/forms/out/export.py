"""Readings to files and back: CSV, JSON, JSON Lines, and XLSX with each crop beside its value. One row a field."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TypeGuard, get_args

from inkshift.datasets.labels import MOST_SYMBOLS
from inkshift.errors import DataError, SettingError, nearest
from inkshift.files import MOST_TABLE, as_cell, parse_json, read_csv, read_text, reason, whole_file, writing
from inkshift.forms.out.columns import open_parquet, open_table, typed_columns
from inkshift.forms.out.sheet import CROP, open_sheet, png
from inkshift.forms.reading import DIGITS, SIGNS, SYMBOLS, FieldReading, FormReading, State

Format = Literal["csv", "json", "jsonl", "parquet", "xlsx"]
Row = dict[str, str]
AddForm = Callable[[FormReading], Any]
AddItems = Callable[[Iterable[Any]], Any]
Output = AbstractContextManager[AddForm]
BINARY = ("parquet", "xlsx")
STDOUT = Path("standard output")
"""What messages call it."""

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
SHOWN = 5
"""Candidates of a field that files show."""


def is_address(path: Path | str | None) -> TypeGuard[str]:
    """Whether it is the address of a database, not a file."""
    return isinstance(path, str) and "://" in path


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


def write_forms(forms: Iterable[FormReading], *outputs: Output) -> None:
    """Write each form to all outputs as it comes; files appear after the last."""
    with ExitStack() as stack:
        adds = [stack.enter_context(output) for output in outputs]
        for form in forms:
            for add in adds:
                add(form)


@contextmanager
def open_readings(path: Path | str | None, fmt: Format | None = None, run: str = "") -> Iterator[AddForm]:
    """A file or table of readings, a row a field; XLSX shows the crop of each field that has one.

    path: None or `-` is standard output, for text; an address such as `sqlite:///FILE` is a table of a database, in
    which `run` stands for this reading (see `columns.open_table`). fmt: None takes the path's ending, csv on standard
    output. The file appears whole or not at all. Raises SettingError for a path that cannot be written.
    """
    if is_address(path):
        with open_table(str(path), run, COLUMNS) as add:
            yield lambda form: add(typed_columns(row(form, field)) for field in form.fields)
        return
    path = None if path is None else Path(path)
    to_stdout = path is None or str(path) == "-"
    fmt = fmt or ("csv" if path is None or to_stdout else format_of(path))
    if fmt not in get_args(Format):
        raise SettingError(f"format {fmt!r} is not one of readings; {nearest(fmt, get_args(Format))}")
    if fmt in BINARY and (path is None or to_stdout):
        raise SettingError(f"{fmt} does not go to standard output; give a file, or the format csv, json or jsonl")
    if fmt == "parquet":
        assert path is not None
        with open_parquet(path, COLUMNS) as add:
            yield lambda form: add(typed_columns(row(form, field)) for field in form.fields)
        return
    if fmt == "xlsx":
        assert path is not None
        with open_sheet(path, "readings", [*COLUMNS[:3], CROP, *COLUMNS[3:]]) as append:
            yield lambda form: [append(row(form, f), _picture(f), f.kind) for f in form.fields]
        return
    shown: Callable[[Row], Any] = dict if fmt == "csv" else typed
    if path is None or to_stdout:
        with ExitStack() as stack:
            with writing(STDOUT):
                add = stack.enter_context(TEXT[fmt](sys.stdout))
            yield _adding(STDOUT, add, shown)
            with writing(STDOUT):
                stack.close()
                sys.stdout.flush()
        return
    with open_text(path) as file, TEXT[fmt](file) as add:
        yield _adding(path, add, shown)


def _adding(path: Path, add: AddItems, shown: Callable[[Row], Any]) -> AddForm:
    """What adds a form's rows to a text. Raises SettingError that names `path` where its disk is full."""

    def add_form(form: FormReading) -> None:
        with writing(path):
            add(shown(row(form, field)) for field in form.fields)

    return add_form


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A file of text that appears whole or not at all; takes names of files that are not Unicode, too."""
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV, JSON or JSON Lines file of readings, all as text, just as `row` makes them.

    Raises DataError that names file, line and what is missing or wrong there.
    """
    ending = path.suffix.lower()
    if ending in (".xlsx", ".parquet"):
        raise DataError(f"{path}: readings are read from CSV, JSON or JSON Lines; write them with --format csv")
    read = _read_json if ending in (".json", ".jsonl", ".ndjson") else _read_csv
    return [_checked(path, line, item) for line, item in read(path)]


def _picture(item: FieldReading) -> bytes | None:
    return png(item.crop) if item.crop is not None and item.crop.size else None


@contextmanager
def add_csv(file: IO[str], columns: Sequence[str] = COLUMNS) -> Iterator[AddItems]:
    """A table with a header, to which rows of text are added; see `as_cell`."""
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    yield lambda rows: writer.writerows(
        {n: as_cell(text.replace("\r", " ")) for n, text in each.items()} for each in rows
    )


@contextmanager
def add_json(file: IO[str]) -> Iterator[AddItems]:
    """A list, an item a line."""
    before = "["

    def add(items: Iterable[Any]) -> None:
        nonlocal before
        for each in items:
            file.write(f"{before}\n{json.dumps(each, ensure_ascii=False)}")
            before = ","

    yield add
    file.write("[]\n" if before == "[" else "\n]\n")


@contextmanager
def add_jsonl(file: IO[str]) -> Iterator[AddItems]:
    """JSON Lines."""
    yield lambda items: file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in items)


TEXT: dict[str, Callable[[IO[str]], AbstractContextManager[AddItems]]] = {
    "csv": add_csv,
    "json": add_json,
    "jsonl": add_jsonl,
}


def typed(item: Mapping[str, str]) -> dict[str, Any]:
    """A row for JSON: numbers, booleans, null and lists instead of text."""
    candidates = (pair.rpartition(":") for pair in item["candidates"].split())
    return typed_columns(dict(item)) | {
        "candidates": [{"written": w, "probability": float(p)} for w, _, p in candidates],
        "rules_broken": item["rules_broken"].split("; ") if item["rules_broken"] else [],
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


def _read_json(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a list, or one a line; in a list, a row's line is where we write it."""
    try:
        text = read_text(path, MOST_TABLE)
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: cannot be read ({reason(e)}); give a CSV, JSON or JSON Lines file") from None
    for line, item in _list_of(path, text) if text.lstrip().startswith("[") else _lines_of(path, text):
        if missing := [name for name in NEEDED if not (isinstance(item, dict) and name in item)]:
            raise DataError(f"{path}:{line}: no column {', '.join(missing)}; write readings with `inkshift read --out`")
        try:
            yield line, _plain({name: item.get(name, "") for name in COLUMNS})
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            raise DataError(f"{path}:{line}: not a row of readings; write it again with --format jsonl") from None


def _list_of(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(parse_json(text, halves=True), start=2)
    except ValueError as e:
        line = e.lineno if isinstance(e, json.JSONDecodeError) else 1
        raise DataError(f"{path}:{line}: not JSON ({_why(e)}); mend that line") from None


def _lines_of(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            try:
                yield line, parse_json(content, halves=True)
            except ValueError as e:
                raise DataError(f"{path}:{line}: not JSON ({_why(e)}); mend that line") from None


def _why(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _checked(path: Path, line: int, item: Row) -> Row:
    """The row itself, as text that every file and terminal takes, where all that is counted with is what it must be."""
    item = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in item.items()}
    for name, expected, fine in (
        ("value", f"at most {MOST_SYMBOLS} digits, or nothing", _is_made_of(DIGITS + SIGNS, item["value"])),
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
