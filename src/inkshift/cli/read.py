"""`inkshift read`: pages in, readings out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, talk
from inkshift.cli.options import (
    PAGES,
    Address,
    Engine,
    Model,
    Policy,
    ReadAs,
    SecondReader,
    Workers,
    cluster_of,
    need_there,
)
from inkshift.cli.show import bars, count, note, note_missing_pictures
from inkshift.errors import InputError, SettingError
from inkshift.files import MOST_SETTINGS, reason

if TYPE_CHECKING:
    from inkshift.forms.out.batch import ReadSummary, Target
    from inkshift.forms.reader import Reader
    from inkshift.forms.reading import FormReading

SHOWN = 10
_STDIN = Path("-")

TemplateFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--template",
        help="Template of the form: where its fields are. Several, or a folder of them: each page is read by the one "
        "that it fits.",
        show_default=False,
    ),
]
Digits = Annotated[
    str,
    typer.Option(
        metavar="MOST|FEWEST-MOST",
        help="How many digits a number has that is read without a template: 10 for up to ten, 4-4 for just four; "
        "at most 20.",
    ),
]
Method = Annotated[
    Literal["default", "as-published"],
    typer.Option(help="`as-published` reads as Pacchiotti et al. (2023) did, with their model, to compare with."),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="FILE|ADDRESS",
        help="File for the readings, one row a field; - is standard output. Or a database: sqlite:///FILE or "
        "postgresql://USER@HOST/NAME, with #TABLE behind it where that is not `readings`.",
    ),
]
Format = Annotated[
    Literal["csv", "json", "jsonl", "parquet", "xlsx"] | None,
    typer.Option(help="Format of the readings; xlsx shows each field's picture.", show_default="by --out, else csv"),
]
Report = Annotated[
    Path | None,
    typer.Option(metavar="HTML", help="One HTML page with the picture of each field beside its reading."),
]
Trail = Annotated[
    Path | None,
    typer.Option(
        metavar="JSONL",
        help="Add where each value comes from to this file, with its seal beside it; `inkshift verify` checks both.",
        show_default=False,
    ),
]
Expected = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Forms that should be there, in a column `form`; missing and unknown are listed."),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="LIST", help="A file with further paths or addresses, one a line.", show_default=False
    ),
]


@app.command()
def read(
    paths: Annotated[list[Path] | None, PAGES] = None,
    from_: From = None,
    template: TemplateFiles = None,
    read_as: ReadAs = None,
    digits: Digits = "1-8",
    model: Model = "",
    method: Method = "default",
    second_reader: SecondReader = None,
    out: Out = "-",
    format: Format = None,
    report: Report = None,
    policy: Policy = None,
    trail: Trail = None,
    expected: Expected = None,
    workers: Workers = None,
    engine: Engine = "crew",
    address: Address = "",
) -> None:
    """Read hand-written numbers off pages.

    A page that cannot be read is named on standard error with the reason, the others are read, and the exit
    status is 1. Blank pages are counted. A reading into a file that was stopped goes on when the same command is
    run again.

    Examples:

      inkshift read scans/ --template telegram.json --out readings.csv --report readings.html

      inkshift read scans/ --template front.json --template back.json --out readings.csv

      inkshift read accounts/*.png --as number --digits 10

      inkshift read ledger.jpg --as table

      inkshift read /shared/scans --template telegram.json --out readings.csv --engine ray --address head:6379

      inkshift read scans/ --template telegram.json --out postgresql://count@db/election#telegrams

      inkshift read s3://election/scans --template telegram.json --out readings.csv

      find scans -name '*.tif' -newer readings.csv | inkshift read - --template telegram.json --out new.csv
    """
    from inkshift.forms.out.batch import Target, expected_forms
    from inkshift.forms.reader import Reader

    file = None if out == "-" else out if "://" in out else Path(out)
    target = Target(file, format, report, trail)
    names = expected_forms(expected) if expected else []
    reader = Reader(
        template or "",
        read_as=read_as,
        digits=_digits(digits),
        model=model,
        method=method,
        second_reader=second_reader,
        policy=policy or "",
        crops=target.shows_crops,
    )
    if method == "default":
        given = [file for file in (reader.settings.template, *reader.settings.templates) if file]
        for name, form in zip(given, reader.templates, strict=True):
            note_missing_pictures(name, form)
    summary = _read(reader, _listed(paths or [], from_), target, workers, names, cluster_of(engine, address))
    _tell(summary)
    raise typer.Exit(1 if summary.unread else 0)


def _listed(paths: list[Path], file: Path | None) -> Iterator[Path]:
    """The paths, with those that standard input lists in the place of `-`, and those that a file lists, none held."""
    need_there([path for path in paths if path != _STDIN])
    if not paths and file is None:
        raise SettingError("nothing to read: give files or folders, or --from FILE with a path a line")
    listed = False
    for path in chain(paths, _lines(file) if file else ()):
        if path != _STDIN:
            yield path
        elif not listed:  # it can be read but once
            listed = True
            yield from _lines(path)


def _lines(file: Path) -> Iterator[Path]:
    """The paths that a file lists, one a line, without the blanks around them."""
    here = file == _STDIN
    wanted = f"{file}: expected a list of paths{' on standard input' if here else ''}, one a line, found"
    lines = 0
    try:
        with nullcontext(sys.stdin) if here else file.open(encoding="utf-8-sig") as text:
            for line in iter(partial(text.readline, MOST_SETTINGS), ""):
                if len(line) == MOST_SETTINGS:
                    raise InputError(f"{wanted} a line without end; check the path")
                if line.strip():
                    lines += 1
                    yield Path(line.strip())
    except OSError as e:
        raise InputError(f"{wanted} none ({reason(e)})") from None
    except UnicodeDecodeError:
        raise InputError(f"{wanted} what is not UTF-8 behind line {lines}; save it as UTF-8") from None
    if not lines:
        raise InputError(f"{wanted} none" + ("" if here else "; fill it or leave out --from"))


def _digits(text: str) -> tuple[int, int]:
    """Fewest and most."""
    ends = re.fullmatch(r"(?:(\d{1,3})-)?(\d{1,3})", text.strip())
    if not ends:
        raise SettingError(f"--digits {text}: expected the most, such as 10, or fewest and most, such as 4-10")
    return int(ends[1] or 1), int(ends[2])


def _read(
    reader: Reader, paths: Iterable[Path], target: Target, workers: int | None, expected: list[str], cluster: str
) -> ReadSummary:
    """Read with a progress bar; on Ctrl+C say whether it can go on."""
    from inkshift.forms.out.batch import read_into, workers_for
    from inkshift.forms.page.files import find_files

    files = find_files(paths)
    many = workers or (0 if cluster else workers_for(files))
    try:
        with bars("pages") as advance:
            return read_into(
                reader,
                files,
                target,
                workers=many,
                cluster=cluster,
                expected=expected,
                progress=partial(advance, "reading"),
                watch=_tell_form if talk.verbose else None,
            )
    except KeyboardInterrupt:
        note("stopped; " + ("run the same command again to go on" if target.out else "with --out FILE it could go on"))
        raise typer.Exit(130) from None


def _tell_form(form: FormReading) -> None:
    from inkshift.forms.out.html import doubts

    look = [item.name for item in form.fields if doubts(item)]
    note(f"{form.name}: {count(len(form.fields), 'field')}" + (f"; to look at: {', '.join(look)}" if look else ""))


def _tell(summary: ReadSummary) -> None:
    roll = summary.roll
    note(f"read {count(roll.forms, 'form')}, {count(summary.fields, 'field')}")
    if len(summary.by_template) > 1:
        note("forms by template: " + ", ".join(f"{name} {forms:,}" for name, forms in summary.by_template))
    if summary.blank:
        note(f"blank pages: {summary.blank:,}")
    if summary.passed_over:
        note(_passed_over(summary.passed_over))
    if summary.accepted is not None and summary.straight is not None:
        note(f"accepted {_share(summary.accepted, summary.fields, 'field')}; the rest is for a person to look at")
        note(f"forms of which every field is accepted: {_share(summary.straight, roll.forms, 'form')}")
    if summary.unread:
        note(f"pages not read: {len(summary.unread):,}", "red")
        for line in summary.unread:
            note(f"  {line}", "red")
    for what, names in (
        ("rules broken", [f"{form}: {rule}" for form, rule in summary.broken]),
        ("forms found more than once", roll.duplicate),
        ("forms with pages missing", roll.incomplete),
        ("forms missing", roll.missing),
        ("forms not expected", roll.unknown),
    ):
        if names:
            note(f"{what}: {len(names):,}", "yellow")
            for name in names[:SHOWN]:
                note(f"  {name}")
            if len(names) > SHOWN:
                note(f"  and {len(names) - SHOWN:,} more")


def _passed_over(files: Sequence[Path]) -> str:
    """The files that are no pages, by name, as many as fit on two lines."""
    shown = ", ".join(str(file) for file in files[:3]) + (f" and {len(files) - 3:,} more" if len(files) > 3 else "")
    told = "file was not read, as it is no page" if len(files) == 1 else "files were not read, as they are no pages"
    return f"{len(files):,} {told}: {shown}"


def _share(part: int, whole: int, what: str) -> str:
    return f"{part:,} of {count(whole, what)} ({100 * part / max(whole, 1):.1f} %)"
