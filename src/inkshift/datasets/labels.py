"""What is written on forms: labels from a CSV file or a database (section 3 of Pacchiotti et al. 2023)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PureWindowsPath

from inkshift.errors import DataError, SettingError
from inkshift.files import read_csv

MOST_SYMBOLS = 100
"""Symbols of one number in a file of labels or readings: five times what can be read."""


@dataclass(frozen=True, slots=True)
class Label:
    """One field of one form. field: empty where a form has only one number.

    value: its digits, leading zeros kept, with point and minus, empty where there is none. written: one symbol a cell,
    a digit, `X` crossed out, `_` empty or `?` unreadable; empty where not known.
    """

    form: str
    field: str
    value: str
    written: str


def read_labels(source: str, query: str | None = None, *, amounts: bool = False) -> list[Label]:
    """Labels in the order of their source, each (form, field) once.

    source: a UTF-8 CSV file, or a database as an SQLAlchemy URL with a `query`. Columns: `form`, or `file`
    (folder and ending are dropped); `field` where forms have several; `value` (or `label`), `written`, or
    both. Where `value` is missing it is the digits of `written`. Other columns are passed over. amounts: decimals and
    what is negative are taken too; else they are refused, since 12.0 is what programs make of a 12.
    Raises DataError with file and line for anything else, SettingError where query and source do not fit.
    """
    if ("://" in source) != (query is not None):
        wanted = "a database URL needs a query as well" if query is None else "a query needs a database URL"
        raise SettingError(f"labels from {_shown(source)}: {wanted}; give both, or one CSV file")
    rows = read_csv(source) if query is None else _read_database(source, query)
    place = f"{source}:" if query is None else f"{_shown(source)}: row "
    labels: dict[tuple[str, str], Label] = {}
    for number, row in rows:
        where = f"{place}{number}"
        label = _label(where, row, amounts)
        known = labels.setdefault((label.form, label.field), label)
        if known != label:
            name = f"form {label.form!r}" + (f" field {label.field!r}" if label.field else "")
            found = f"{known.written or known.value!r} before and {label.written or label.value!r} now"
            raise DataError(f"{where}: {name} has two labels, {found}; keep one")
    return list(labels.values())


def _label(where: str, row: dict[str, str], amounts: bool) -> Label:
    form, value, written = _pick(row, "form", "file"), _pick(row, "value", "label"), row.get("written")
    if form is None or (value is None and written is None):
        missing = "form (or file)" if form is None else "value (or label, or written)"
        raise DataError(f"{where}: needs a column {missing}, found {', '.join(row)}")
    if "form" not in row:
        form = PureWindowsPath(form).stem
    if not form:
        raise DataError(f"{where}: names no form")
    for text in (value or "", written or ""):
        if len(text) > MOST_SYMBOLS:
            raise DataError(f"{where}: expected at most {MOST_SYMBOLS} digits, found {len(text)}; mend that row")
    if not re.fullmatch("-?[0-9]+([.,][0-9]+)?|" if amounts else "[0-9]*", value or ""):
        raise DataError(
            f"{where}: a value has digits only, found {value!r}; mend it or cast it in the query; leave out the rows "
            "of texts and dates"
        )
    if not re.fullmatch("[-0-9X_?.]*" if amounts else "[0-9X_?]*", written or ""):
        raise DataError(f"{where}: written has digits, X, _ and ? only, found {written!r}")
    if value is None:
        value = re.sub("[^-0-9.]", "", written or "")
    return Label(form, row.get("field", ""), value.replace(",", "."), written or "")


def _pick(row: dict[str, str], *names: str) -> str | None:
    return next((row[name] for name in names if name in row), None)


def _read_database(url: str, query: str) -> list[tuple[int, dict[str, str]]]:
    """Number and cells, as strings by column name, of each row that the query gives."""
    import sqlalchemy as sa

    try:
        address = sa.make_url(url)
        on_disk = address.get_backend_name() == "sqlite" and "uri" not in address.query
        if on_disk and not Path(address.database or "").is_file():  # SQLite would make an empty one
            raise DataError(f"{_shown(url)}: no such file {address.database!r}; /// starts a relative path")
        engine = sa.create_engine(address, poolclass=sa.NullPool)
        with engine.connect() as connection:
            result = connection.execute(sa.text(query))
            rows = [
                {key.lower(): "" if cell is None else _plain(cell) for key, cell in row.items()}
                for row in result.mappings()
            ]
    # What SQLite says of a damaged file may quote bytes that are no text.
    except (sa.exc.SQLAlchemyError, ImportError, UnicodeDecodeError) as e:
        reason = str(e).splitlines()[0]
        raise DataError(f"{_shown(url)}: no answer to {query!r} ({reason}); mend address or query") from None
    if not rows:
        raise DataError(f"{_shown(url)}: no rows from {query!r}; expected one for each field")
    return list(enumerate(rows, 1))


def _plain(cell: object) -> str:
    """A cell as text; whole numbers of a REAL or NUMERIC column without their decimals."""
    if isinstance(cell, float | Decimal) and math.isfinite(cell) and abs(float(cell)) < 1e18 and cell == int(cell):
        return str(int(cell))
    return str(cell).strip()


def _shown(source: str) -> str:
    """The source as a message may show it: without a password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", source)
