"""`inkshift study`: does a handwriting model carry over? Run, watch and report a transfer study."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Address, Engine, Json, cluster_of
from inkshift.cli.show import bars, note, span, table

if TYPE_CHECKING:
    from inkshift.studies.engine import AnyPlan, Estimate

study_app = typer.Typer(
    no_args_is_help=True, help="Transfer studies: networks trained from scratch against networks reused."
)
app.add_typer(study_app, name="study")

Spec = Annotated[
    Path, typer.Argument(help="The study: a TOML file, or a Python file with `study`.", show_default=False)
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Where its runs lie.", show_default="runs/NAME"),
]


@study_app.command()
def new(
    spec: Annotated[Path, typer.Argument(help="TOML file to write.", show_default=False)],
    source: Annotated[
        str | None,
        typer.Option(
            help="Data set that a network learns first, a name or a folder; of whole numbers, the model.",
            show_default="mnist; numbers",
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="Data set that it is to carry over to: a name or a folder; or a CSV of whole numbers with file, value "
            "and form, or its folder."
        ),
    ] = "ufpr",
) -> None:
    """Write a study to begin with: one question, each setting explained. `inkshift data list` names the sets.

    Examples:

      inkshift study new mine.toml --target path/to/my/digits

      inkshift study new mine.toml --target path/to/my/numbers.csv
    """
    from inkshift.studies.spec import write_starter

    write_starter(spec, source, target)
    note(f"wrote {spec}; see what it costs with: inkshift study run {spec} --dry-run")


@study_app.command()
def run(
    spec: Spec,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
    folder: Folder = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where networks are trained.")] = "cpu",
    engine: Engine = "crew",
    address: Address = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run nothing: list the runs, and estimate time and disk.")
    ] = False,
) -> None:
    """Run what is not finished of a study: a process a run, a folder a run.

    Stopped or killed, it goes on when the same command is run again, and ends with the same numbers. A run that
    fails is named with its folder, the others go on, and the exit status is 1.

    Examples:

      inkshift study run studies/kooverjee-2020.toml --dry-run

      inkshift study run studies/kooverjee-2020-small.toml --workers 2
    """
    import os

    from inkshift.studies import engine as engines
    from inkshift.studies.kinds import kind_of, stages
    from inkshift.studies.spec import Study

    study = Study.load(spec)
    where = engines.study_folder(study, folder)
    cluster = cluster_of(engine, address)
    count = workers or os.cpu_count() or 1
    engines.need_extra()
    if dry_run:
        kind = kind_of(study)
        _show_estimate(kind.estimate(study, kind.plan(study), where, count), count)
        return
    try:
        for kind in stages(study, where):
            planned = kind.plan(study)
            with _progress_bar(planned, where):
                problems = engines.run(
                    kind, study, where, workers=workers or 0 if cluster else count, device=device, cluster=cluster
                )
            if problems:
                break
    except KeyboardInterrupt:
        note("stopped; run the same command again to go on")
        raise typer.Exit(130) from None
    for problem in problems.values():
        note(problem, "red")
    done = len(planned.runs) - len(problems)
    note(f"{done} of {len(planned.runs)} runs are finished, in {where}")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"digest {engines.study_digest(planned, where)}")


@study_app.command()
def status(spec: Spec, folder: Folder = None, as_json: Json = False) -> None:
    """What is finished, begun and failed in each arm of a study, and its F1 so far.

    Example: inkshift study status studies/kooverjee-2020-small.toml
    """
    from inkshift.studies import engine
    from inkshift.studies.kinds import kind_of
    from inkshift.studies.spec import Study

    study = Study.load(spec)
    where = engine.study_folder(study, folder)
    kind = kind_of(study)
    rows = engine.status(kind, kind.plan(study), where)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    columns = ("set", "regime", "runs", "finished", "begun", "failed", "epochs")
    shown = table(*columns, kind.measure.replace("f1", "F1"), left=("regime",))
    for row in rows:
        score = "" if row[kind.measure] is None else f"{row[kind.measure]:.4f}"
        shown.add_row(*(str(row[name]) for name in columns), score)
    out.print(shown, soft_wrap=False)
    for problem in (problem for row in rows for problem in row["problems"]):
        note(problem, "red")


@study_app.command()
def report(
    spec: Spec,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="HTML", help="The page.", show_default="report.html in its folder")
    ] = None,
    folder: Folder = None,
) -> None:
    """Write the report: one HTML page; beside it every figure as SVG and PNG and every number as CSV.

    It can be written at any time: what is not finished is named, and never averaged over.

    Example: inkshift study report studies/kooverjee-2020-small.toml --out report.html
    """
    from inkshift.studies.spec import Study

    typer.echo(Study.load(spec).report(to, folder))


@contextmanager
def _progress_bar(planned: AnyPlan, folder: Path) -> Iterator[None]:
    """Epochs on disk against epochs planned, read off the run folders every two seconds."""
    from inkshift.studies.engine import epochs_done, epochs_planned, watching

    with bars("epochs") as advance:
        total = epochs_planned(planned.runs)
        advance("training", epochs_done(planned.runs, folder), total)
        with watching(planned, folder, lambda done: advance("training", done, total)):
            yield


def _show_estimate(found: Estimate, workers: int) -> None:
    from rich.console import Console

    numbers = ("runs", "to do", "epochs", "images an epoch", "one run", "all to do")
    shown = table("set", "regime", *numbers, left=("regime",), whole=numbers)
    for line in found.lines:
        counts = (f"{line.runs:,}", f"{line.todo:,}", str(line.epochs), f"{line.images:,}")
        shown.add_row(line.set, line.regime, *counts, span(line.seconds_each), span(line.seconds))
    Console(width=max(out.width, 120)).print(shown)  # numbers are not cut where a terminal is narrow
    todo = sum(line.todo for line in found.lines)
    out.print(f"{todo} runs to do, at most {span(found.seconds)} with {workers} workers (early stops shorten it);")
    out.print(f"on one core of this machine {span(found.core_seconds)}")
    out.print(f"disk: {_size(found.disk)} when finished, up to {_size(found.peak)} on the way")
    if found.stated:
        out.print(f"not here, so counted as stated: {', '.join(found.stated)}", markup=False, highlight=False)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
