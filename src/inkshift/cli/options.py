"""Options and arguments that several commands have, each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from inkshift.errors import InputError, SettingError
from inkshift.remote import address_of

LABELLED = (
    "a CSV file with the columns form (or file), field, and value (or label, or written), or the SQLAlchemy URL of a "
    "database, with --query."
)

Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of text.")]

PAGES = typer.Argument(
    metavar="PAGES...",
    help="PNG, JPEG, TIFF, HEIC, WebP, BMP, GIF or PDF files, or folders, here or in a store (s3://..., extra "
    "`stores`); - takes a list from standard input, a path a line.",
    show_default=False,
)
Template = Annotated[
    Path | None,
    typer.Option("--template", help="Template of the form: where its fields are.", show_default=False),
]
ReadAs = Annotated[
    Literal["number", "digit", "table", "column"] | None,
    typer.Option(
        "--as",
        help="Instead of a template: each picture shows one number, one digit, a table of numbers (its cells are the "
        "fields r01c1, r01c2, ... row by row; columns are counted as on paper, those of words or row numbers too), or "
        "a table of one column (the fields 1, 2, 3 from the top).",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="A shipped model (see `inkshift model list`) or the folder of another.",
        show_default="digits for cells, numbers for the rest",
    ),
]
SecondReader = Annotated[
    Literal["pp-ocrv6"] | None,
    typer.Option(
        "--second-reader",
        help="Another reader of numbers, reused as it is (extra pp-ocr): the two are weighed against "
        "each other. Fewer errors, at a fraction of the speed.",
        show_default=False,
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="JSON",
        help="What `inkshift calibrate` wrote: each field is marked accepted, or left for a person to look at.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes.", show_default="one a core; 1 for fewer than 8 pages"),
]

Readings = Annotated[
    Path,
    typer.Argument(metavar="READINGS", help="What `inkshift read --out` wrote: CSV, JSON or JSON Lines."),
]
Query = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="SQL that gives these columns from the database of the labels."),
]

Engine = Annotated[
    Literal["crew", "ray"],
    typer.Option(help="Who works: processes of this machine, or a Ray cluster (extra `cluster`)."),
]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="With --engine ray: where the cluster is; without, one is started on this machine.",
        show_default=False,
    ),
]


def need_there(paths: Sequence[Path]) -> None:
    """Raises InputError where a path that somebody typed is not there; what a list names costs but itself."""
    for path in paths:
        if not address_of(path) and not path.exists():
            raise InputError(f"{path}: expected a file or folder, found nothing; check the path")


def cluster_of(engine: str, address: str) -> str:
    """The cluster that --engine and --address mean; empty for none."""
    from inkshift.cluster import LOCAL

    if address and engine != "ray":
        raise SettingError(f"--address {address}: is of a Ray cluster; give --engine ray with it")
    return (address or LOCAL) if engine == "ray" else ""
