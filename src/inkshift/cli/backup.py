"""`inkshift backup` and `inkshift restore`: all that review holds in one file, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkshift.cli.app import app
from inkshift.cli.review import REVIEW_DB, Db, Files, need_review
from inkshift.cli.show import count, note

if TYPE_CHECKING:
    from inkshift.review.core.backup import Manifest
    from inkshift.review.core.store import Store


@app.command()
def backup(
    out: Annotated[Path, typer.Argument(help="File to write, such as review.zip.", show_default=False)],
    db: Db = REVIEW_DB,
    files: Files = None,
) -> None:
    """Keep all that review holds in one file: batches, decisions, people, templates, what was uploaded and taught.

    It is read once more when it is written. Review may go on meanwhile. Pages that were read where they lay, outside
    of the folder for files, are not in it.

    Examples:

      inkshift backup review-2026-11-29.zip

      inkshift backup night.zip --db postgresql://count@db/review --files /srv/review-files
    """
    need_review()
    from inkshift.review.core.backup import back_up

    with _opened(db, files, there=True) as (store, folder):
        _say(out, back_up(store, folder, out))


@app.command()
def restore(
    kept: Annotated[Path, typer.Argument(help="File that `inkshift backup` wrote.", show_default=False)],
    db: Db = REVIEW_DB,
    files: Files = None,
) -> None:
    """Bring back what `inkshift backup` wrote, into a new database and an empty folder.

    It is checked first; all of it is brought back, or nothing. A backup of SQLite goes into PostgreSQL too, and the
    other way round: so does a review move that outgrew its computer.

    Examples:

      inkshift restore review-2026-11-29.zip --db postgresql://count@db/review
    """
    need_review()
    from inkshift.review.core import backup

    given = backup.check(kept)  # before a database is made for it
    with _opened(db, files) as (store, folder):
        backup.restore(kept, given, store, folder)
    _say(kept, given)


@contextmanager
def _opened(db: str, files: Path | None, there: bool = False) -> Iterator[tuple[Store, Path]]:
    from inkshift.errors import InputError
    from inkshift.review.core import store

    if there and db.startswith("sqlite:///") and not Path(file := db.removeprefix("sqlite:///")).exists():
        raise InputError(f"{file}: no such database; give the address that `inkshift review` was started with as --db")
    opened = store.open(db)
    try:
        yield opened, files or store.files_beside(opened)
    finally:
        opened.close()


def _say(file: Path, made: Manifest) -> None:
    rows = ", ".join(count(made.rows[table], what) for table, what in (("fields", "field"), ("decisions", "decision")))
    note(f"{file}: {rows} and {count(len(made.files), 'file')}, checked")
