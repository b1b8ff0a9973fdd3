"""`inkshift read`: pages in, readings out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, err

if TYPE_CHECKING:
    from inkshift.forms.batch import Summary
    from inkshift.forms.reader import Progress

SHOWN = 10

Paths = Annotated[
    list[Path],
    typer.Argument(help="PNG, JPEG, TIFF or PDF files, or folders of them.", show_default=False),
]
TemplateFile = Annotated[
    Path | None,
    typer.Option("--template", help="Template of the form: where its fields are.", show_default=False),
]
ReadAs = Annotated[
    Literal["number", "digit", "column"] | None,
    typer.Option(
        "--as",
        help="Instead of a template: each picture shows one number, one digit, or a column of numbers (its rows are "
        "the fields 1, 2, 3 from the top).",
        show_default=False,
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="A shipped model (see `inkshift model list`) or the folder of another.",
        show_default="digits for cells, numbers for the rest",
    ),
]
Second = Annotated[
    Literal["pp-ocrv6"] | None,
    typer.Option(
        "--second-reader",
        help="Another reader of numbers, reused as it is (pip install 'inkshift[pp-ocr]'): the two are weighed against "
        "each other. Fewer errors, at a fraction of the speed.",
        show_default=False,
    ),
]
Method = Annotated[
    Literal["default", "as-published"],
    typer.Option(help="`as-published` reads as Pacchiotti et al. (2023) did, with their model, to compare with."),
]
Out = Annotated[Path, typer.Option(help="File for the readings, one row a field; - is standard output.")]
Format = Annotated[
    Literal["csv", "jsonl", "xlsx"] | None,
    typer.Option(help="Format of the readings; xlsx shows each field's picture.", show_default="by --out, else csv"),
]
Report = Annotated[
    Path | None,
    typer.Option(metavar="HTML", help="One HTML page with the picture of each field beside its reading."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="JSON",
        help="What `inkshift calibrate` wrote: each field is marked accepted, or left for a person to look at.",
        show_default=False,
    ),
]
Trail = Annotated[
    Path | None,
    typer.Option(
        metavar="JSONL",
        help="Add where each value comes from to this file, which `inkshift verify` checks.",
        show_default=False,
    ),
]
Expected = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Forms that should be there, in a column `form`; missing and unknown are listed."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes.", show_default="one a core; 1 for fewer than 8 pages"),
]


@app.command()
def read(
    paths: Paths,
    template: TemplateFile = None,
    read_as: ReadAs = None,
    model: ModelName = "",
    method: Method = "default",
    second_reader: Second = None,
    out: Out = Path("-"),
    format: Format = None,
    report: Report = None,
    policy: PolicyFile = None,
    trail: Trail = None,
    expected: Expected = None,
    workers: Workers = None,
) -> None:
    """Read hand-written numbers off pages.

    A page that cannot be read is named on standard error with the reason, the others are read, and the exit
    status is 1. A reading into a file that was stopped goes on when the same command is run again.

    Examples:

      inkshift read scans/ --template telegram.json --out readings.csv --report readings.html

      inkshift read amounts/*.png --as number

      inkshift read ledger.jpg --as column
    """
    from inkshift.forms.batch import Target, expected_forms, read_into, workers_for
    from inkshift.forms.reader import Reader

    file = None if str(out) == "-" else out
    target = Target(file, format, report, trail)
    names = expected_forms(expected) if expected else []
    reader = Reader(
        template or "",
        read_as=read_as,
        model=model,
        method=method,
        second_reader=second_reader,
        policy=policy or "",
        crops=target.shows_crops,
    )
    try:
        with _progress_bar() as progress:
            summary = read_into(
                reader,
                paths,
                target,
                workers=workers or workers_for(paths),
                expected=names,
                progress=progress,
            )
    except KeyboardInterrupt:
        err.print("stopped; " + ("run the same command again to go on" if file else "with --out FILE it could go on"))
        raise typer.Exit(130) from None
    _tell(summary)
    raise typer.Exit(1 if summary.unread else 0)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bars:
        task = bars.add_task("")
        yield lambda done, pages: bars.update(task, completed=done, total=pages)


def _tell(summary: Summary) -> None:
    roll = summary.roll
    _note(f"read {_count(roll.forms, 'form')}, {_count(summary.fields, 'field')}")
    if summary.accepted is not None and summary.straight is not None:
        _note(f"accepted {_share(summary.accepted, summary.fields, 'field')}; the rest is for a person to look at")
        _note(f"forms of which every field is accepted: {_share(summary.straight, roll.forms, 'form')}")
    if summary.unread:
        _note(f"pages not read: {len(summary.unread):,}", "red")
        for line in summary.unread:
            _note(f"  {line}", "red")
    for what, names in (
        ("rules broken", [f"{form}: {rule}" for form, rule in summary.broken]),
        ("forms found more than once", roll.duplicate),
        ("forms with pages missing", roll.incomplete),
        ("forms missing", roll.missing),
        ("forms not expected", roll.unknown),
    ):
        if names:
            _note(f"{what}: {len(names):,}", "yellow")
            for name in names[:SHOWN]:
                _note(f"  {name}")
            if len(names) > SHOWN:
                _note(f"  and {len(names) - SHOWN:,} more")


def _share(part: int, whole: int, what: str) -> str:
    return f"{part:,} of {_count(whole, what)} ({100 * part / max(whole, 1):.1f} %)"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _note(line: str, style: str = "") -> None:
    err.print(line, style=style, markup=False, highlight=False)
