"""`inkshift study`: does a handwriting model carry over? Run, watch and report a transfer study; `advise`: should I
reuse a model for these characters, which, how, and how many labels does it take?"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Address, Engine, Json, cluster_of
from inkshift.cli.show import bars, count, note, span, table
from inkshift.errors import DataError, nearest

if TYPE_CHECKING:
    from inkshift.datasets.formats import LabelledImages
    from inkshift.studies.characters.advise import Advice, StrategyTrial
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
    from inkshift.studies import engine as engines
    from inkshift.studies.kinds import kind_of, stages
    from inkshift.studies.spec import Study

    study = Study.load(spec)
    where = engines.study_folder(study, folder)
    cluster = cluster_of(engine, address)
    many = workers or os.cpu_count() or 1
    engines.need_extra()
    if dry_run:
        kind = kind_of(study)
        _show_estimate(kind.estimate(study, kind.plan(study), where, many), many)
        return
    try:
        for kind in stages(study, where):
            planned = kind.plan(study)
            with _progress_bar(planned, where):
                problems = engines.run(
                    kind, study, where, workers=workers or 0 if cluster else many, device=device, cluster=cluster
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


@app.command()
def advise(
    data: Annotated[
        str,
        typer.Argument(
            help="Labelled pictures of single characters: a folder with a folder for each class, or with train (and "
            "test), a CSV with file and label, or its folder, an npz, or a data set by name.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="MODEL",
            help="A model to start from, by name or folder; may be given again.",
            show_default="digits, mnist-as-published",
        ),
    ] = None,
    score: Annotated[float, typer.Option(min=0.01, max=0.999, help="Share read right that is wanted.")] = 0.95,
    replicates: Annotated[int, typer.Option(min=3, max=30, help="Folds that the labels are dealt into.")] = 5,
    to: Annotated[
        Path | None, typer.Option("--train", metavar="FOLDER", help="Try nothing: train --regime and pack it here.")
    ] = None,
    regime: Annotated[
        Literal["control", "frozen", "fine-tuned"], typer.Option(help="With --train: how to learn.")
    ] = "fine-tuned",
    depth: Annotated[
        int | None, typer.Option(min=1, help="With --train: stages of the source carried over.", show_default="all")
    ] = None,
) -> None:
    """Should I reuse a model for these characters, which one, how, and how many labels does it take?

    Takes minutes. Tries each way on parts of your labels, scores it on the others, and says what to expect with an
    interval, how many labels the wanted score takes, and the command that trains it. Where that cannot be told from
    your labels it says undecided.

    Examples:

      inkshift advise labelled/

      inkshift advise labelled/labels.csv --score 0.98
    """
    from inkshift.models.package import load_model
    from inkshift.studies.engine import need_extra

    need_extra()  # before what imports torch
    from inkshift.studies.characters.advise import Strategy, train
    from inkshift.studies.characters.advise import advise as try_out

    pictures = load(data)
    models = [load_model(name) for name in sources or ("digits", "mnist-as-published")]
    if to is not None:
        used = [] if regime == "control" else models[:1]
        way = Strategy(regime, used[0].manifest.name if used else "", depth if used else None)
        typer.echo(train(way, used, pictures, to).folder)
        return
    found = try_out(pictures, models, replicates=replicates, tell=note)
    _show_advice(found, score, data, dict(zip([model.manifest.name for model in models], sources or (), strict=False)))


def load(data: str) -> LabelledImages:
    """Labelled images by the name of a data set or where they lie. Raises DataError where there are none."""
    from inkshift.datasets import formats
    from inkshift.datasets.catalog import CATALOG, table_of
    from inkshift.datasets.tasks import load_all

    path = Path(data)
    if data in CATALOG or any(path.glob("train*")):
        return load_all(data)
    if not path.exists():
        raise DataError(f"{data}: no such folder or file, and no data set is called so; {nearest(data, CATALOG)}")
    if path.suffix == ".npz":
        return formats.load_npz(path)
    folders = path.is_dir() and any(one.is_dir() for one in path.iterdir())
    table = None if folders else table_of(path)
    return formats.load_csv(table) if table else formats.load_class_folders(path)


def _show_advice(found: Advice, score: float, data: str, folders: dict[str, str]) -> None:
    from rich.console import Console

    columns = ("way", "labels", "read right", "expected of all", "90 %")
    shown = table(*columns, whole=columns)
    for one in sorted(found.measured, key=lambda one: -float(one.right.mean())):
        all_of_them = one.expected(found.labels)
        labels = "0" if one.way.regime == "as-is" else f"{one.labels[-1]:,}"
        shown.add_row(
            str(one.way), labels, _share(one.right.mean()), _share(all_of_them.mean), _span(one, found.labels)
        )
    Console(width=max(out.width, 110)).print(shown)
    for line in lines(found, score, data, folders):
        out.print(line, highlight=False, markup=False)


def lines(found: Advice, score: float, data: str, folders: dict[str, str]) -> list[str]:
    """The advice in sentences. folders: where a source that is no shipped model lies, by its name."""
    from inkshift.studies.characters.advise import FARTHEST

    best = found.best
    held = "writers" if found.grouped else "images"
    part = f", {found.tried:,} of them tried" if found.tried < found.labels else ""
    said = [
        f"{found.labels:,} labels of {len(found.classes)} classes{part}; scored on {held} that were not learned from."
    ]
    if found.gain:
        carried, replicates, images, _ = found.gain
        ways = count(sum(bool(one.way.source) for one in found.measured), "way")
        said.append(
            f"Does a source help? {found.helps}: {carried.way} minus control {100 * replicates.mean:+.1f} points "
            f"(90 % over replicates {_ends(replicates.low, replicates.high)}, over {held} "
            f"{_ends(images.low, images.high)}; a verdict holds for {ways} at once)."
        )
    expected = _share(best.expected(found.labels).mean)
    said.append(
        f"Best: {best.way}; of {found.labels:,} labels expect {expected} read right "
        f"(90 %: {_span(best, found.labels)})."
    )
    if found.open:
        said.append("Undecided against: " + "; ".join(str(one.way) for one in found.open) + ".")
    typical, low, high = best.needed(score)
    far = FARTHEST * found.labels
    if high <= 1:
        said.append(f"{_share(score)} read right takes no label of yours.")
    elif low > far:
        said.append(f"{_share(score)} read right is not to be had with {far:,} labels, by this curve.")
    elif high > far:
        said.append(f"{_share(score)} read right takes {_count(low)} labels or more; how many at most is undecided.")
    else:
        between = f"{_count(low)} to {_count(high)}"
        said.append(f"{_share(score)} read right takes about {_count(typical)} labels (90 %: {between}).")
    for name, values in found.scores.items():
        scores = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        said.append(f"Before training, {name}: {scores}.")
    source = shlex.quote(folders.get(best.way.source, best.way.source)) if best.way.source else ""
    if best.way.regime == "as-is":
        said.append(f"Use it as it is: inkshift read PAGES --model {source}")
    else:
        part = f" --source {source}" if source else ""
        deep = f" --depth {best.way.depth}" if best.way.depth else ""
        said.append(
            f"Train it: inkshift advise {shlex.quote(data)} --train MODEL --regime {best.way.regime}{part}{deep}"
        )
    return said


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _span(one: StrategyTrial, labels: int) -> str:
    interval = one.expected(labels)
    return f"{_share(interval.low or 0)} to {_share(interval.high or 0)}"


def _ends(low: float | None, high: float | None) -> str:
    return "unknown" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def _count(labels: float) -> str:
    """Two digits of a number: more a curve does not know."""
    return f"{float(f'{labels:.2g}'):,.0f}"
