"""`inkshift data`: the data sets inkshift knows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Json
from inkshift.cli.show import bars, note, table
from inkshift.errors import DataError

if TYPE_CHECKING:
    from inkshift.datasets.catalog import DataSet

data_app = typer.Typer(no_args_is_help=True, help="List, show, fetch and pack the data sets inkshift knows.")
app.add_typer(data_app, name="data")

Name = Annotated[str, typer.Argument(help="Name of a data set, as `inkshift data list` prints it.")]


@data_app.command("list")
def list_sets(as_json: Json = False) -> None:
    """All data sets: what they are, their licence, whether weights trained on them may ship.

    Sets are looked for in $INKSHIFT_DATA, else in ../shared/data if it exists, else in the user's cache.

    Example: inkshift data list
    """
    from inkshift.datasets.catalog import CATALOG

    rows = [_facts(entry) for entry in CATALOG.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    columns = ("name", "what", "licence", "weights\nmay ship", "where")
    shown = table(*columns, left=columns, whole=("name", "licence", "where"))
    for row in rows:
        where = "here" if row["here"] else "to fetch" if row["files"] else "not here"
        ships = "yes" if row["ships"] else "no"
        shown.add_row(row["name"], row["title"].partition(":")[0], row["licence"], ships, where)
    out.print(shown, soft_wrap=False)


@data_app.command()
def show(name: Name, as_json: Json = False) -> None:
    """One data set in full: source, licence, citation, files, and images in each class if it is here.

    Example: inkshift data show mnist
    """
    from inkshift.datasets.catalog import find

    entry = find(name)
    facts = _facts(entry)
    facts |= {"classes": _class_counts(entry) if facts["here"] else {}}
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key in ("name", "title", "source", "licence", "citation", "note"):
        out.print(f"{key:9} {facts[key] or '-'}", markup=False, highlight=False)
    out.print(f"{'weights':9} {'may ship' if entry.ships else 'must not ship'}")
    out.print(f"{'here':9} {facts['here'] or 'no'}", markup=False, highlight=False)
    for file in entry.files:
        out.print(f"{'file':9} {file.name}  md5 {file.md5 or 'not published'}", markup=False, highlight=False)
    for split, counts in facts["classes"].items():
        line = "  ".join(f"{label}: {count:,}" for label, count in counts.items())
        out.print(f"{split:9} {sum(counts.values()):,} images   {line}", markup=False, highlight=False)
    for split, spaces in entry.stated.items() if not facts["classes"] else ():
        line = "  ".join(f"{space}: {count:,}" for space, count in spaces.items())
        out.print(f"{split:9} images as published   {line}", markup=False, highlight=False)


@data_app.command()
def fetch(
    name: Name,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Folder for data sets; the set goes into DIR/NAME. Without it, where `list` looks for them.",
        ),
    ] = None,
) -> None:
    """Download a data set from its publisher, verify it, and print the files.

    Run again after a break: files that are whole are kept, a broken download goes on where it stopped. nist-sd19
    is packed after it (see `inkshift data pack`). INKSHIFT_MIRROR=https://... names a mirror that is tried
    first; the files of a set lie in its folder NAME.

    Example: inkshift data fetch mnist --to data
    """
    from inkshift.datasets import catalog

    with bars("bytes") as advance:
        paths = catalog.fetch(name, root=to, progress=advance)
    for path in paths:
        typer.echo(path)
    if to is not None:
        note(f"set INKSHIFT_DATA={to.resolve()} so that inkshift finds it")


@data_app.command()
def pack(
    name: Name,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="by_class.zip, or the folder unpacked from it. Without it, what lies in the folder of the set.",
        ),
    ] = None,
) -> None:
    """Pack nist-sd19, one bit a pixel, so that it loads at once; print the files.

    The 1.7 GB go into the folder of the set, packed/. Run again after a break: it goes on where it stopped; once
    packed, it is verified. Afterwards by_class.zip is needed no more and may be deleted.

    Example: inkshift data pack nist-sd19 --from ~/Downloads/by_class.zip
    """
    from inkshift.datasets import catalog

    with bars("bytes") as advance:
        paths = catalog.pack(name, source=source, progress=advance)
    for path in paths:
        typer.echo(path)
    note(f"{name} is packed; by_class.zip may be deleted")


def _facts(entry: DataSet) -> dict[str, Any]:
    """What the catalogue says of a set, and the folder it lies in, if it is here."""
    from inkshift.datasets.catalog import locate

    try:
        here = str(locate(entry.name))
    except DataError:
        here = None
    return asdict(entry) | {"here": here}


def _class_counts(entry: DataSet) -> dict[str, dict[str, int]]:
    """Images of each class of a set that is here, by split; empty where it holds no single characters."""
    import numpy as np

    from inkshift.datasets.catalog import load

    counts: dict[str, dict[str, int]] = {}
    for split in entry.splits:
        labels, numbers = np.unique(load(entry.name, split).labels, return_counts=True)
        counts[split] = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    return counts
