"""Readings as typed columns: a Parquet file, or a table of a database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkshift.errors import MissingExtraError, SettingError, need
from inkshift.files import whole_file, writing
from inkshift.scratch import in_scratch, scratch_file

if TYPE_CHECKING:
    import sqlalchemy as sa

Row = dict[str, Any]
AddTyped = Callable[[Iterable[Row]], None]
# Rows that are held and written at a time.
_BATCH = 10_000
_TYPES: dict[str, Any] = {"confidence": float, "accepted": bool, "page": int}
RUN = "run"


def typed_columns(row: dict[str, str]) -> Row:
    """A row of text with its confidence, page and acceptance as numbers and truth; None for no decision."""
    accepted = {"true": True, "false": False}.get(row["accepted"])
    return row | {"confidence": float(row["confidence"]), "accepted": accepted, "page": int(row["page"])}


@contextmanager
def open_parquet(path: Path, columns: tuple[str, ...]) -> Iterator[AddTyped]:
    """A Parquet file that appears whole or not at all. Raises MissingExtraError without pyarrow."""
    pa, pq = (need(name, "parquet", "writing Parquet") for name in ("pyarrow", "pyarrow.parquet"))
    kinds = {float: pa.float64(), bool: pa.bool_(), int: pa.int32(), str: pa.string()}
    schema = pa.schema([(name, kinds[_TYPES.get(name, str)]) for name in columns])
    held: list[Row] = []
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:

        def flush() -> None:
            with writing(path):
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
            held.clear()

        def add(rows: Iterable[Row]) -> None:
            held.extend(map(_storable, rows))
            if len(held) >= _BATCH:
                flush()

        yield add
        flush()


def address_of(url: str) -> tuple[sa.URL, str]:
    """A database and the table in it, which `#NAME` behind its address names, else `readings`.

    Raises SettingError for an address of another kind than SQLite and PostgreSQL.
    """
    import sqlalchemy as sa  # a fifth of the time that one picture takes

    whole, _, table = url.partition("#")
    wanted = "expected sqlite:///FILE or postgresql://USER@HOST/NAME, with #TABLE behind it or without"
    try:
        address = sa.make_url(whole)
    except sa.exc.ArgumentError:
        raise SettingError(f"database: {wanted}, found an address that is none") from None
    shown = address.render_as_string(hide_password=True)
    kind = address.get_backend_name()
    if kind not in ("sqlite", "postgresql") or not address.database or not (table or "readings").isidentifier():
        raise SettingError(f"{shown}: {wanted}")
    return address.set(drivername="postgresql+psycopg") if kind == "postgresql" else address, table or "readings"


@contextmanager
def open_table(url: str, run: str, columns: tuple[str, ...]) -> Iterator[AddTyped]:
    """A table of a database, made where it is not there; all rows come in at the end, in one transaction.

    run: stands in the column `run` of each row; what the same run has written before is taken out first, so that a
    reading that is done again is not there twice. Raises SettingError where the database does not take it,
    MissingExtraError without the driver of PostgreSQL.
    """
    import sqlalchemy as sa

    address, name = address_of(url)
    shown = address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)
    try:
        engine = sa.create_engine(address, poolclass=sa.NullPool)
    except ImportError:
        raise MissingExtraError("postgres", "a PostgreSQL database") from None
    kinds: dict[Any, Any] = {float: sa.Float(), bool: sa.Boolean(), int: sa.Integer(), str: sa.Text()}
    typed: list[sa.Column[Any]] = [sa.Column(column, kinds[_TYPES.get(column, str)]) for column in columns]
    table = sa.Table(name, sa.MetaData(), sa.Column(RUN, sa.Text(), index=True), *typed)
    try:
        with engine.begin() as connection:  # before hours of reading
            table.create(connection, checkfirst=True)
            connection.execute(sa.select(*table.c).limit(0))
        with scratch_file("w+", encoding="utf-8") as kept:

            def add(rows: Iterable[Row]) -> None:
                with in_scratch(Path(kept.name)):
                    kept.writelines(json.dumps(row) + "\n" for row in rows)

            yield add
            with in_scratch(Path(kept.name)):
                kept.seek(0)
            with engine.begin() as connection:
                connection.execute(table.delete().where(table.c[RUN] == run))
                while batch := list(itertools.islice(kept, _BATCH)):
                    connection.execute(table.insert(), [{RUN: run, **_storable(json.loads(line))} for line in batch])
    except (sa.exc.SQLAlchemyError, UnicodeDecodeError) as e:  # SQLite quotes a damaged file's bytes as they are
        reason = str(getattr(e, "orig", None) or e).strip().splitlines()[0]
        raise SettingError(
            f"{shown}: table {name} cannot be written ({reason}); check the address, your rights, and what it holds"
        ) from None
    finally:
        engine.dispose()


def _storable(row: Row) -> Row:
    """Text that every database takes: names of files need not be Unicode, and PostgreSQL takes no NUL."""
    return {
        key: value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        if isinstance(value, str)
        else value
        for key, value in row.items()
    }
