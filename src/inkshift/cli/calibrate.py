"""`inkshift calibrate`: which readings can be accepted unseen; `audit`: labels that the ink does not bear out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from inkshift.cli.app import app, out
from inkshift.cli.options import LABELLED, Query, Readings
from inkshift.cli.show import count, note, table
from inkshift.errors import SettingError
from inkshift.files import as_csv, whole_file

if TYPE_CHECKING:
    from inkshift.datasets.labels import Label
    from inkshift.forms.judge.audit import Suspect
    from inkshift.forms.judge.evaluate import Case
    from inkshift.forms.judge.guarantee import Calibration, Promise
    from inkshift.forms.out.export import Row
    from inkshift.forms.trust import DataSource, Policy

SHOWN = 10
BESIDE = (0.05, 0.03, 0.02, 0.01)

Labels = Annotated[
    str | None,
    typer.Argument(metavar="LABELS", help=f"What is really written on a random sample of forms: {LABELLED}"),
]
Error = Annotated[
    float, typer.Option(help="At most this share of the accepted fields is to be wrong. Choose it beforehand.")
]
Confidence = Annotated[float, typer.Option(help="How sure that promise is to be, 0 to 1.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Policy to write, JSON; with --sample the CSV file to key.")
]
Sample = Annotated[
    int | None,
    typer.Option(min=1, metavar="FIELDS", help="Instead: draw forms at random, to at least so many fields, to key."),
]
Seed = Annotated[int, typer.Option(help="Decides which forms are drawn, and which learn and which test.")]
Entries = Annotated[str, typer.Argument(metavar="LABELS", help=f"The entries to look through: {LABELLED}")]
ToCheck = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="CSV file for every entry that disagrees with the ink.")
]
Top = Annotated[int, typer.Option(min=1, help="How many entries to print.")]


@app.command()
def calibrate(
    readings: Readings,
    labels: Labels = None,
    error: Error = 0.01,
    confidence: Confidence = 0.95,
    file: Out = None,
    query: Query = None,
    sample: Sample = None,
    seed: Seed = 0,
) -> None:
    """Find out which fields can be accepted without a second look.

    From readings and labels of a random sample of forms, it makes a policy
    for `inkshift read --policy`, with a promise: of the fields it accepts, at
    most --error are wrong, with --confidence. Where nothing can be promised
    it says how many labels are missing, and the exit status is 1.

    Examples:

      inkshift calibrate readings.csv --sample 400 --out to-key.csv

      inkshift calibrate readings.csv keyed.csv --error 0.02 --out policy.json
    """
    from inkshift.forms import trust
    from inkshift.forms.judge import audit, guarantee
    from inkshift.forms.out.export import read_rows

    for name, share in (("--error", error), ("--confidence", confidence)):
        if not 0 < share < 1:
            raise SettingError(f"{name} {share}: expected a share between 0 and 1, such as 0.01")
    if (sample is None) == (labels is None):
        raise SettingError("calibrate: give LABELS, or --sample to draw what is to be keyed: one of the two")
    rows = read_rows(readings)
    if labels is None:
        return _to_key(rows, sample or 0, file, seed)
    known, cases = _matched(readings, rows, labels, query)
    calibration = guarantee.calibrate(cases, rows, seed)
    promises = [calibration.promise(e, confidence) for e in sorted({error, *BESIDE}, reverse=True)]
    _show(promises, calibration, error, confidence)
    asked = next(p for p in promises if p.error == error)
    _suspicious(audit.audit(cases, rows), rows, cases, calibration, asked)
    if asked.threshold is None:
        _too_little(calibration, error, confidence)
        raise typer.Exit(1)
    if file:
        policy = calibration.policy(asked, confidence, rows, **_sources(readings, labels, query, known))
        trust.save_policy(policy, file)
        _limits(policy, rows, cases)
        typer.echo(file)


def _limits(policy: Policy, rows: list[Row], cases: list[Case]) -> None:
    """What the promise leaves out, and what would make it void."""
    if policy.usual.larger:
        share = f"{100 * policy.usual.larger:.2g} % of these forms"
        note(f"nothing is accepted of forms with more than {count(policy.most, 'field')}: {share} go to people")
    labelled = {case.form for case in cases}
    left = sum(row["form"] in labelled for row in rows) - len(cases)
    if left > 0:
        note(
            f"{count(left, 'field')} of labelled forms have no label: the promise is of fields like the labelled ones",
            "yellow",
        )
    if not policy.reader:
        note("the readings do not name their reader, so that no reader will use this policy; read them anew", "yellow")


def _to_key(rows: list[Row], fields: int, file: Path | None, seed: int) -> None:
    from inkshift.forms.judge.guarantee import draw_sample

    if file is None:
        raise SettingError("--sample: needs --out, a CSV file for the fields that are to be keyed")
    drawn = draw_sample(rows, fields, seed)
    keyed = [(row["form"], row["field"], "", row["source"], row["page"]) for row in drawn]
    with whole_file(file) as temporary:
        temporary.write_bytes(as_csv([("form", "field", "value", "source", "page"), *keyed]))
    forms = len({row["form"] for row in drawn})
    note(
        f"{len(drawn)} fields of {forms} forms. Two people key the column value, each without seeing the readings or "
        "the other; settle where they differ, leave empty what is empty on paper, and calibrate with the result."
    )
    typer.echo(file)


def _show(promises: list[Promise], calibration: Calibration, error: float, confidence: float) -> None:
    from inkshift.forms.judge.guarantee import needed

    fields, forms = len(calibration.test.form), calibration.test.forms
    title = f"what can be promised at {confidence:.0%} confidence: {forms:,} forms test ({fields:,} fields), "
    columns = ("error at most", "accepted", "wrong among them", "share accepted", "largest form", "least forms needed")
    shown = table(*columns, title=f"{title}{calibration.learn.forms:,} others learn")
    for p in promises:
        name = f"{100 * p.error:g} %" + (" (asked)" if p.error == error else "")
        cells = [f"{p.accepted:,}", f"{p.wrong:,}", f"{p.accepted / fields:.1%}", count(p.most, "field")]
        told = cells if p.threshold is not None else ["too few labels", "-", "-", "-"]
        shown.add_row(name, *told, f"{needed(p.error, confidence):,}")
    out.print(shown)


def _suspicious(
    suspects: list[Suspect], rows: list[Row], cases: list[Case], calibration: Calibration, asked: Promise
) -> None:
    """The labels to look at first: those that count as errors among what would be accepted."""
    from inkshift.forms.trust import scores

    least = asked.threshold or 0.0
    sizes = Counter(row["form"] for row in rows)
    wrong = {(c.form, c.field) for c in cases if c.outcome != "right" and sizes[c.form] <= asked.most}
    first = [
        s
        for s in suspects
        if (s.form, s.field) in wrong and scores(calibration.knots, s.confidence) >= least and s.wrong > 0.1
    ][:SHOWN]
    if not first:
        return
    columns = ("form", "field", "label", "read", "label wrong")
    title = "look at these labels first: each wrong one eats the promise"
    shown = table(*columns, title=title, left=columns[1:-1])
    for s in first:
        shown.add_row(*_texts(s), f"{s.wrong:.0%}")
    out.print(shown)


def _too_little(calibration: Calibration, error: float, confidence: float) -> None:
    from inkshift.forms.judge.guarantee import needed

    counts = [needed(error, confidence, wrong) for wrong in range(3)]
    lack, possible = calibration.lacking(error, confidence), calibration.possible(confidence)
    now = f"with these {100 * possible:g} % could be promised" if possible else "with these nothing can be promised"
    more = f"about {lack.forms:,} more forms to key" if lack.accepted else "key more forms"
    each = f", counted as forms of {lack.most} fields" if lack.most > 1 else ""
    note(
        f"too few labels: {100 * error:g} % at {100 * confidence:g} % needs {counts[0]:,} accepted labels without one "
        f"wrong, {counts[1]:,} with one, {counts[2]:,} with two{each}; at best {lack.accepted:,} are accepted with "
        f"{lack.wrong:,} wrong, so that some {lack.labels:,} are missing ({more}); {now}",
        "red",
    )


def _sources(readings: Path, labels: str, query: str | None, known: list[Label]) -> dict[str, DataSource]:
    """Name and SHA-256 of the readings and of the labels."""
    from inkshift.forms.trust import DataSource

    text = "\n".join(f"{label.form},{label.field},{label.value},{label.written}" for label in known).encode()
    content = Path(labels).read_bytes() if query is None else text
    named = labels if query is None else "a database"
    return {
        "readings": DataSource(name=str(readings), sha256=hashlib.sha256(readings.read_bytes()).hexdigest()),
        "labels": DataSource(name=named, sha256=hashlib.sha256(content).hexdigest()),
    }


@app.command()
def audit(readings: Readings, labels: Entries, query: Query = None, file: ToCheck = None, top: Top = 40) -> None:
    """List the entries of a database that are probably wrong, by what is on paper.

    Every entry that disagrees with its reading, the one that is most
    probably the database's error first. Nothing is changed: look at the paper.

    Example:

      inkshift audit readings.csv sqlite:///votes.db --query "select * from votes" --out to-check.csv
    """
    from inkshift.forms.judge.audit import audit as suspects_of
    from inkshift.forms.judge.audit import write_suspects
    from inkshift.forms.out.export import read_rows

    rows = read_rows(readings)
    _, cases = _matched(readings, rows, labels, query)
    suspects = suspects_of(cases, rows)
    doubted = [s for s in suspects if s.disagrees]
    columns = ("rank", "form", "field", "label", "read", "label wrong")
    shown = table(*columns, left=columns[1:-1])
    for rank, s in enumerate(doubted[:top], 1):
        shown.add_row(str(rank), *_texts(s), f"{s.wrong:.1%}")
    out.print(shown)
    wrong = sum(s.wrong for s in suspects)
    note(
        f"{len(suspects):,} entries were read, {len(doubted):,} disagree; about {wrong:.0f} entries are probably wrong"
    )
    if file:
        write_suspects(suspects, file)
        typer.echo(file)


def _matched(readings: Path, rows: list[Row], labels: str, query: str | None) -> tuple[list[Label], list[Case]]:
    """The labels, and each beside its reading."""
    from inkshift.datasets.labels import read_labels
    from inkshift.forms.judge.evaluate import match

    known = read_labels(labels, query, amounts=True)
    return known, match(rows, known, str(readings), labels if query is None else "the database")[0]


def _texts(suspect: Suspect) -> Iterator[str]:
    """The cells of a table that name a suspicious label and its reading."""
    return map(escape, (suspect.form, suspect.field, suspect.label or "(blank)", suspect.read or "(blank)"))
