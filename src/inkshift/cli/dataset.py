"""`inkshift dataset`: data sets from forms."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, err
from inkshift.cli.options import LABELLED, Query, Template
from inkshift.cli.show import bars, note, table

if TYPE_CHECKING:
    from inkshift.forms.crops.folder import Harvest

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
