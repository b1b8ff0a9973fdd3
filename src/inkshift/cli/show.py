"""How commands show what they do: notes and a progress bar on standard error, tables on standard output."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inkshift.cli.app import err

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from inkshift.forms.reader import Progress
    from inkshift.forms.template import Template


def note(line: str, style: str = "") -> None:
    """A line on standard error; nothing where it is empty."""
    if line:
        err.print(line, style=style, markup=False, highlight=False)


def note_missing_pictures(file: Path | str, template: Template) -> None:
    """A warning where a scan is not held against what is printed on the form, and how to mend that."""
    without = [str(n) for n, page in enumerate(template.pages, 1) if not page.reference]
    if without:
        note(
            f"{file}: warning: page {', '.join(without)} has no reference picture, so a scan is proved by its "
            f"marks and lines alone; add one with  inkshift template reference {file} SCANS",
            "yellow",
        )


def count(n: int, what: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def table(*columns: str, title: str | None = None, left: Collection[str] = (), whole: Collection[str] = ()) -> Table:
    """A table whose columns stand to the right, but the first and those in `left`. whole: those that never wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        on_left = name == columns[0] or name in left
        made.add_column(escape(name), justify="left" if on_left else "right", no_wrap=name in whole)
    return made


@contextmanager
def reading_bar() -> Iterator[Progress]:
    """A bar of pages read, on a terminal; what is given is called with pages done and pages found."""
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
