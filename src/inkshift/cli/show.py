"""How commands show what they do: notes and progress on standard error, tables on standard output."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from inkshift.cli.app import err, talk, tell

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import JustifyMethod, OverflowMethod
    from rich.table import Table

    from inkshift.forms.template import Template

Advance = Callable[[str, int, int | None], None]

# Between two lines of progress where no bar can be drawn.
_TELL_SECONDS = 10.0


def note(line: str, style: str = "") -> None:
    """A line on standard error; nothing where it is empty."""
    if line:
        tell(line, style)


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
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        side: JustifyMethod = "left" if name == columns[0] or name in left else "right"
        how: OverflowMethod = "ellipsis" if name in whole else "fold"  # long words go on in the next line
        made.add_column(escape(name), justify=side, overflow=how, no_wrap=name in whole)
    return made


@contextmanager
def bars(of: str) -> Iterator[Advance]:
    """Progress on standard error: a bar on a terminal, else a line every ten seconds.

    of: what is counted, such as pages; `bytes` are shown in larger units. What is given is called with the name of a
    task, how much of it is done, and how much there is, None where that is not known.
    """
    if not err.is_terminal or talk.quiet:
        yield _lines(of)
        return
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    amount = (DownloadColumn(),) if of == "bytes" else (MofNCompleteColumn(), TextColumn(of))
    columns = (TextColumn("{task.description}"), BarColumn(), *amount, Left())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err, transient=True, speed_estimate_period=600) as shown:

        def advance(task: str, done: int, total: int | None) -> None:
            if task not in tasks:
                tasks[task] = shown.add_task(task)
            shown.update(tasks[task], completed=done, total=total)

        yield advance


def _lines(of: str) -> Advance:
    told = time.monotonic()
    begun: dict[str, tuple[float, int]] = {}

    def advance(task: str, done: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        start, before = begun.setdefault(task, (now, done))
        if now - told < _TELL_SECONDS or done == total:
            return
        told = now
        left = (now - start) / (done - before) * (total - done) if total and done > before else 0.0
        whole = f" of {total:,}" if total else ""
        note(f"{task}: {done:,}{whole} {of}" + (f", about {span(left)} left" if left else ""))

    return advance


def span(seconds: float) -> str:
    """A stretch of time in the unit that suits it: 40 s, 12 min, 3.5 h, 390 days."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= 100):
            return f"{seconds / size:,.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
