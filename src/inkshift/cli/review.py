"""`inkshift review`: people settle what the reader is not sure of; `backup` and `restore`: all of it in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkshift.cli.app import app
from inkshift.cli.options import need_there
from inkshift.cli.show import count, note
from inkshift.errors import InputError, MissingExtraError, SettingError, lacks

if TYPE_CHECKING:
    from inkshift.review.core.backup import BackupManifest
    from inkshift.review.core.store import Store

REVIEW_DB = "sqlite:///review.db"
Db = Annotated[
    str, typer.Option("--db", metavar="URL", help="Database: sqlite:///FILE or postgresql://USER@HOST/NAME.")
]
Files = Annotated[
    Path | None,
    typer.Option(help="Folder for what is uploaded and taught.", show_default="review-files, beside the database"),
]
Pages = Annotated[
    list[Path] | None, typer.Argument(help="Pages to read into a new batch, or none.", show_default=False)
]
Template = Annotated[Path | None, typer.Option(help="Template of these pages.", show_default=False)]
Name = Annotated[str, typer.Option(help="Name of the new batch.", show_default="the template's and the time")]
Double = Annotated[bool, typer.Option("--double", help="Two people must agree on each field, blind.")]
ModelKeys = Annotated[
    bool, typer.Option("--model-keys", help="With --double: the reader is one of the two, one person the other.")
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="CSV of what is known of these forms: it counts as one keyer.", show_default=False
    ),
]
Demo = Annotated[bool, typer.Option("--demo", help="Show the bundled telegrams in a database that goes when you stop.")]
Host = Annotated[str, typer.Option(help="Address to answer at; any but this computer's own needs accounts.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to answer at; 0 takes a free one.")]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate in PEM for HTTPS, with --tls-key.", show_default=False)
]
Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its key in PEM, without a password.", show_default=False)
]
Proxy = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Address of a proxy in front (nginx, Caddy): what it says of who asks is believed; needs accounts.",
        show_default=False,
    ),
]
RootPath = Annotated[
    str,
    typer.Option(metavar="PATH", help="Path that every address begins with, such as /review.", show_default=False),
]
Idle = Annotated[
    int,
    typer.Option(metavar="MINUTES", min=1, max=720, help="Log out who does nothing for so long; needs accounts."),
]
SecondFactor = Annotated[
    bool, typer.Option("--second-factor", help="Supervisors who log in must have a second factor; keyers may.")
]
Processes = Annotated[
    int, typer.Option(min=1, max=40, help="Processes that answer, for many keyers; several need PostgreSQL.")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]
FirstSupervisor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where nobody has an account yet, give this person one as supervisor, with the password in "
        "$INKSHIFT_PASSWORD, or one that is asked for.",
        show_default=False,
    ),
]


@app.command()
def review(
    paths: Pages = None,
    template: Template = None,
    name: Name = "",
    double: Double = False,
    model_keys: ModelKeys = False,
    labels: Labels = None,
    demo: Demo = False,
    host: Host = "127.0.0.1",
    port: Port = 8571,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    proxy: Proxy = "",
    root_path: RootPath = "",
    idle: Idle = 30,
    second_factor: SecondFactor = False,
    processes: Processes = 1,
    no_browser: NoBrowser = False,
    db: Db = REVIEW_DB,
    supervisor: FirstSupervisor = "",
    files: Files = None,
) -> None:
    """Let people settle the fields in a browser, on this computer or for a team.

    Stop it with Ctrl+C; what was decided stays in the database. Needs the extra `review`.

    Examples:

      inkshift review --demo

      inkshift review scans/ --template telegram.json --double

      inkshift review --host 0.0.0.0 --no-browser --supervisor maria
    """
    if demo and (paths or template or labels):
        raise SettingError("--demo shows the bundled telegrams; leave the pages out, or --demo")
    if bool(paths) != bool(template):
        raise SettingError("give pages together with --template FILE, or neither to go on with what is there")
    if labels and not paths:
        raise SettingError(f"--labels {labels}: labels the pages that are read now; give these pages as well")
    if supervisor and demo:
        raise SettingError("--supervisor: the database of --demo goes when you stop; leave one of them out")
    if model_keys and not double:
        raise SettingError("--model-keys: the reader keys as one of two; give --double as well")
    need_review(db)
    from inkshift.review.serve import NewBatch, ServerSettings, first_supervisor, serve

    need_there(paths or ())
    pages = [str(path) for path in paths or ()]
    batch = NewBatch(pages, str(template), name, double, model_keys, str(labels or "")) if pages else None
    lasts = timedelta(minutes=idle)
    at = ServerSettings(
        host, port, str(tls_cert or ""), str(tls_key or ""), proxy, processes, root_path, lasts, second_factor
    )
    if supervisor:
        given = os.environ.pop("INKSHIFT_PASSWORD", "")  # not for the processes that it starts
        first_supervisor(
            db, supervisor, lambda: given or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        )
    serve(db, batch, at, files=str(files or ""), demo=demo, browser=not no_browser, say=note)


def need_review(db: str) -> None:
    """Raises MissingExtraError where the extra `review` is not installed; for PostgreSQL the one that brings both."""
    if lacks("alembic", "babel", "fastapi", "python_multipart", "segno", "uvicorn", "zxcvbn"):
        if db.startswith("postgresql"):
            raise MissingExtraError("postgres", "review in a PostgreSQL database")
        raise MissingExtraError("review", "review")


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
    need_review(db)
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
    need_review(db)
    from inkshift.review.core import backup

    given = backup.check(kept)  # before a database is made for it
    with _opened(db, files) as (store, folder):
        backup.restore(kept, given, store, folder)
    _say(kept, given)


@contextmanager
def _opened(db: str, files: Path | None, there: bool = False) -> Iterator[tuple[Store, Path]]:
    from inkshift.review.core import store

    if there and db.startswith("sqlite:///") and not Path(file := db.removeprefix("sqlite:///")).exists():
        raise InputError(f"{file}: no such database; give the address that `inkshift review` was started with as --db")
    with closing(store.open(db)) as opened:
        yield opened, files or store.files_beside(opened)


def _say(file: Path, made: BackupManifest) -> None:
    rows = ", ".join(count(made.rows[table], what) for table, what in (("fields", "field"), ("decisions", "decision")))
    note(f"{file}: {rows} and {count(len(made.files), 'file')}, checked")
