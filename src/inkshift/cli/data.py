"""`inkshift data`: the data sets inkshift knows; `inkshift dataset`: data sets from forms."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inkshift.cli.app import app, err, out
from inkshift.cli.options import LABELLED, Json, Query, Template
from inkshift.cli.show import bars, note, table
from inkshift.errors import DataError

if TYPE_CHECKING:
    from inkshift.datasets.catalog import DataSet
    from inkshift.forms.crops.folder import Harvest

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


dataset_app = typer.Typer(no_args_is_help=True, help="Make data sets from forms and their labels.")
app.add_typer(dataset_app, name="dataset")


Pages = Annotated[
    list[str],
    typer.Argument(help="Pages: PNG, JPEG, TIFF or PDF files, or folders of them.", show_default=False),
]
ReadAs = Annotated[
    Literal["number"] | None, typer.Option("--as", help="Instead of a template: each picture shows one number.")
]
Labels = Annotated[str, typer.Option(help=f"What is really written: {LABELLED}")]
Out = Annotated[Path, typer.Option(help="Folder for the data sets; one made before is replaced.")]
Exclude = Annotated[
    Path | None,
    typer.Option(
        help="CSV with the columns form, field and reason: smudges, crossings-out and displaced cells that a "
        "person set aside. An empty field stands for the whole form."
    ),
]
TestShare = Annotated[float, typer.Option(help="Share of the forms, 0 to 1, that are kept for testing.")]
ModelName = Annotated[str, typer.Option("--model", help="Model that cuts numbers into digits: a name or a folder.")]


@dataset_app.command()
def build(
    pages: Pages,
    labels: Labels,
    out: Out,
    template: Template = None,
    read_as: ReadAs = None,
    query: Query = None,
    exclude: Exclude = None,
    test_share: TestShare = 0.2,
    model: ModelName = "",
) -> None:
    """Cut the labelled numbers and their digits out of pages: one PNG each, tables, contact sheets.

    A digit gets its label from the number's where the number of digits found agrees with it; left_out.csv
    lists the rest with the reason. Look at sheets/, list what should not be there in a CSV, and build again
    with --exclude. Whether a form is for training or testing follows from its name alone.

    Example:

      inkshift dataset build scans/ --template telegram.json --labels labels.csv --out data/telegram
    """
    from inkshift.datasets.labels import read_labels
    from inkshift.forms.crops import harvest
    from inkshift.forms.out.batch import workers_for

    known = read_labels(labels, query)
    with bars("pages") as advance:
        result = harvest.build(
            pages,
            known,
            out,
            template=template or "",
            read_as=read_as,
            model=model,
            exclude=exclude,
            test_share=test_share,
            workers=workers_for(pages),
            progress=partial(advance, "cutting"),
        )
    _summarise(result)
    typer.echo(out)
    if any(item.reason == harvest.NOT_READ for item in result.left_out):
        raise typer.Exit(1)


@dataset_app.command()
def compose(
    out: Annotated[Path, typer.Option(help="Folder to write; it must not be there, or be empty.")],
    count: Annotated[int, typer.Option(min=1, help="How many numbers.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
) -> None:
    """Compose hand-written numbers out of single digits, as the model `numbers` learns from: look at sheets/.

    Digits are those of the data sets that are here (`inkshift data list`), and drawn ones; none of them was learned
    from, so the numbers also test a reader.

    Example:

      inkshift dataset compose --out composed --count 300
    """
    from inkshift.forms.crops import folder
    from inkshift.models.train import rehearsal

    with bars("numbers") as advance:
        memory = rehearsal.load()
        folder.write_composed(out, memory.held_out, count, seed, partial(advance, "composing"))
    note(memory.note)
    typer.echo(out)


def _summarise(result: Harvest) -> None:
    """What was gathered and what was left out, on stderr."""
    counts, parts = result.counts(), ("train", "test")
    shown = table("", *parts)
    for what in ("numbers", "digits"):
        shown.add_row(what, *(f"{counts[what].get(part, 0):,}" for part in parts), end_section=what == "digits")
    for digit, by_part in counts["classes"].items():
        shown.add_row(f"  {digit}", *(f"{by_part[part]:,}" for part in parts))
    note(f"{counts['pages']} pages, {counts['forms']} forms")
    err.print(shown, soft_wrap=False)
    for item in result.left_out:
        if item.reason == "not read":
            note(f"not read: {item.detail}", "red")
    for reason, count in counts["left_out"].items():
        note(f"left out, {reason}: {count}")
    for what, unused in (("labels", result.unused_labels), ("exclusions", result.unused_exclusions)):
        if unused:
            form, name = unused[0]
            note(f"{what} that no page had: {len(unused)}, such as form {form!r} field {name!r}")
