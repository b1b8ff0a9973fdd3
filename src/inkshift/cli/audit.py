"""`inkshift audit`: the labels of a database that the ink does not bear out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import LABELLED, Query, Readings
from inkshift.cli.show import note, table

Labels = Annotated[str, typer.Argument(metavar="LABELS", help=f"The entries to look through: {LABELLED}")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="CSV file for every entry that disagrees with the ink.")
]
Top = Annotated[int, typer.Option(min=1, help="How many entries to print.")]


@app.command()
def audit(readings: Readings, labels: Labels, query: Query = None, file: Out = None, top: Top = 40) -> None:
    """List the entries of a database that are probably wrong, by what is on paper.

    Every entry that disagrees with its reading, the one that is most
    probably the database's error first. Nothing is changed: look at the paper.

    Example:

      inkshift audit readings.csv sqlite:///votes.db --query "select * from votes" --out to-check.csv
    """
    from rich.markup import escape

    from inkshift.datasets.labels import read_labels
    from inkshift.forms.judge.audit import audit as suspects_of
    from inkshift.forms.judge.audit import write_suspects
    from inkshift.forms.judge.evaluate import match
    from inkshift.forms.out.export import read_rows

    rows, known = read_rows(readings), read_labels(labels, query, amounts=True)
    cases, _ = match(rows, known, str(readings), labels if query is None else "the database")
    suspects = suspects_of(cases, rows)
    doubted = [s for s in suspects if s.disagrees]
    columns = ("rank", "form", "field", "label", "read", "label wrong")
    shown = table(*columns, left=columns[1:-1])
    for rank, s in enumerate(doubted[:top], 1):
        texts = (s.form, s.field, s.label or "(blank)", s.read or "(blank)")
        shown.add_row(str(rank), *map(escape, texts), f"{s.wrong:.1%}")
    out.print(shown)
    wrong = sum(s.wrong for s in suspects)
    note(
        f"{len(suspects):,} entries were read, {len(doubted):,} disagree; about {wrong:.0f} entries are probably wrong"
    )
    if file:
        write_suspects(suspects, file)
        typer.echo(file)
