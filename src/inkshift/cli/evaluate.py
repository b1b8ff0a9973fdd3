"""`inkshift evaluate`: readings against labels, beside what the paper reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from inkshift.cli.app import app, out
from inkshift.cli.options import LABELLED, Json, Query, Readings
from inkshift.cli.show import note, table
from inkshift.files import write_whole

if TYPE_CHECKING:
    from rich.table import Table

    from inkshift.forms.judge.evaluate import Case, Evaluation

SHOWN = 10

Labels = Annotated[str, typer.Argument(metavar="LABELS", help=f"What is really written: {LABELLED}")]
Beside = Annotated[
    list[Path] | None,
    typer.Option(metavar="READINGS", help="Other readings of the same forms, as a further column. May be repeated."),
]
Figures = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Folder for pictures: confusion matrix, distribution of numbers and of digits."
    ),
]


@app.command()
def evaluate(
    readings: Readings,
    labels: Labels,
    query: Query = None,
    beside: Beside = None,
    as_json: Json = False,
    figures: Figures = None,
) -> None:
    """Compare readings with labels: numbers, digits, confusions, calibration.

    The last column is what Pacchiotti et al. (2023) report on their forms.
    Wrong numbers are split into extraction (the digit count differs) and
    classification (it agrees). A label without a reading counts as wrong.

    Examples:

      inkshift evaluate readings.csv labels.csv --beside as-published.csv

      inkshift evaluate readings.csv sqlite:///votes.db --query "select * from votes"
    """
    from inkshift.datasets.labels import read_labels
    from inkshift.forms.judge.evaluate import PAPER
    from inkshift.forms.judge.evaluate import evaluate as measure
    from inkshift.forms.out.export import read_rows

    known = read_labels(labels, query, amounts=True)
    named = labels if query is None else "the database"
    paths = (readings, *(beside or ()))
    results = {str(path): measure(read_rows(path), known, str(path), named) for path in paths}
    if figures:
        _draw(results[str(readings)], figures)
    if as_json:
        columns = {name: asdict(result) for name, result in results.items()}
        typer.echo(json.dumps({"readings": columns, "paper": PAPER._asdict()}))
    else:
        _show(results)


def _show(results: dict[str, Evaluation]) -> None:
    out.print(_measures(results))
    ours = next(iter(results.values()))
    out.print(_confusion(ours))
    if ours.confusions:
        out.print(f"most frequent confusions (label-read): {_top(ours.confusions)}", highlight=False)
    if ours.wrong:
        out.print(_wrong(ours.wrong))
    if ours.unlabelled:
        first = "form {}, field {}".format(*ours.unlabelled[0])
        note(f"{len(ours.unlabelled)} readings without a label are not counted, first: {first}")


def _measures(results: dict[str, Evaluation]) -> Table:
    stems = {name: Path(name).stem for name in results}
    names = stems.values() if len({*stems.values()}) == len(stems) else stems.keys()
    shown = table("measure", *names, "Pacchiotti 2023", whole=("measure", "Pacchiotti 2023"))
    every = list(results.values())
    for name, cells, paper in (*_overall(every), *_breakdown(every)):
        if {*cells, paper} != {"-"}:
            shown.add_row(name, *cells, paper)
    return shown


Line = tuple[str, list[str], str]


def _overall(every: list[Evaluation]) -> list[Line]:
    from inkshift.forms.judge.evaluate import PAPER

    interval = [f"{100 * e.interval[0]:.1f}-{100 * e.interval[1]:.1f} %" for e in every]
    theirs = ", ".join(f"{label}-{read}" for label, read in PAPER.confusions)
    return [
        ("numbers", [f"{e.n:,}" for e in every], f"{PAPER.numbers:,}"),
        ("numbers right", [_percent(e.accuracy) for e in every], _percent(PAPER.accuracy)),
        ("95 % interval", interval, "-"),
        ("wrong: extraction", [f"{e.extraction:,}" for e in every], "-"),
        ("wrong: classification", [f"{e.classification:,}" for e in every], "-"),
        ("wrong: no reading", [f"{e.missing:,}" for e in every], "-"),
        ("digits compared", [f"{sum(map(sum, e.confusion)):,}" for e in every], f"{PAPER.digits:,}"),
        ("digits right", [_percent(e.digit_accuracy) for e in every], _percent(PAPER.digit_accuracy)),
        ("of all labelled digits", [_percent(e.digit_accuracy_all) for e in every], "-"),
        ("macro precision", [_score(e.precision) for e in every], _score(PAPER.precision)),
        ("macro recall", [_score(e.recall) for e in every], _score(PAPER.recall)),
        ("macro F1", [_score(e.f1) for e in every], _score(PAPER.f1)),
        ("top confusions", [_top(e.confusions, 3) for e in every], theirs),
    ]


def _breakdown(every: list[Evaluation]) -> list[Line]:
    from inkshift.forms.reading import SYMBOLS

    states = dict.fromkeys(state for e in every for state in e.by_state)
    symbols = [symbol for symbol in SYMBOLS if any(symbol in e.by_symbol for e in every)]
    return [
        *((f"{state} fields right", [_of(e.by_state.get(state)) for e in every], "-") for state in states),
        *((f"cells right: {symbol}", [_of(e.by_symbol.get(symbol)) for e in every], "-") for symbol in symbols),
        ("mean confidence", [_percent(e.mean_confidence) for e in every], "-"),
        ("calibration error", [_percent(e.calibration_error) for e in every], "-"),
        ("accepted", [_percent(e.accepted_share) for e in every], "-"),
        ("wrong among accepted", [_percent(e.accepted_error) for e in every], "-"),
    ]


def _confusion(evaluation: Evaluation) -> Table:
    shown = table("label", *map(str, range(10)), title="digits: label (row) read as (column)", whole=("label",))
    for digit, counts in enumerate(evaluation.confusion):
        shown.add_row(str(digit), *(str(count) if count else "." for count in counts))
    return shown


def _wrong(cases: tuple[Case, ...]) -> Table:
    title = f"wrong fields, {SHOWN} of {len(cases):,}" if len(cases) > SHOWN else "wrong fields"
    shown = table("form", "field", "label", "read", "cause", title=title, whole=("form", "cause"))
    for case in cases[:SHOWN]:
        cellwise = len(case.label_written) == len(case.read_written)
        read = (case.read_written if cellwise else case.read) or f"({case.state or 'no reading'})"
        label = case.label_written or case.label or "(blank)"
        shown.add_row(*(escape(text) for text in (case.form, case.field, label, read, case.outcome)))
    return shown


def _draw(evaluation: Evaluation, folder: Path) -> None:
    from inkshift.forms.judge.figures import confusion_picture, digit_distribution, value_distribution

    for name, picture in (
        ("confusion", confusion_picture(evaluation.confusion)),
        ("numbers", value_distribution(evaluation.values)),
        ("digits", digit_distribution(evaluation.digits)),
    ):
        write_whole(folder / f"{name}.png", picture)
        note(f"wrote {folder / name}.png")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _score(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def _of(counts: tuple[int, int] | None) -> str:
    return f"{counts[1]:,} of {counts[0]:,}" if counts else "-"


def _top(confusions: tuple[tuple[int, int, int], ...], most: int = SHOWN) -> str:
    return ", ".join(f"{label}-{read} ({count})" for label, read, count in confusions[:most]) or "-"
