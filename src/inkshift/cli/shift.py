"""`inkshift shift`: will it hold on these pages?"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import PAGES, Json, Model, Policy, ReadAs, SecondReader, Template, Workers
from inkshift.cli.show import bars, count, note, table

if TYPE_CHECKING:
    from rich.table import Table

    from inkshift.forms.judge.shift import Shift

Report = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="HTML", help="One HTML page with all of it, and pictures of the fields that are furthest."
    ),
]


@app.command()
def shift(
    paths: Annotated[list[Path], PAGES],
    template: Template = None,
    read_as: ReadAs = None,
    model: Model = "",
    second_reader: SecondReader = None,
    policy: Policy = None,
    report: Report = None,
    as_json: Json = False,
    workers: Workers = None,
) -> None:
    """Predict how many numbers are read right, before anybody has labelled any, and say what is different about them.

    The pages are read as `inkshift read` would. What share of the numbers is right is predicted from the readings
    alone, with an interval that should hold nine times of ten. Then follow the looks of the fields beside what the
    model learned from, and how often each digit occurs. With --policy it also says whether the readings still look
    like those that the policy was made on. Needs the extra `trust`.

    Examples:

      inkshift shift scans/ --template telegram.json --out shift.html

      inkshift shift amounts/*.png --as number --json
    """
    from inkshift.forms.judge.shift import plain, write_shift
    from inkshift.forms.judge.shift import shift as examined
    from inkshift.forms.out.batch import workers_for
    from inkshift.forms.reader import Reader

    reader = Reader(
        template or "", read_as=read_as, model=model, second_reader=second_reader, policy=policy or "", crops=True
    )
    with bars("pages") as advance:
        progress = partial(advance, "reading")
        found = examined(reader, paths, workers=workers or workers_for(paths), progress=progress)
    if report:
        write_shift(found, report)
    if as_json:
        typer.echo(json.dumps(plain(found)))
    else:
        _show(found)
    for line in found.drift:
        note(f"the promise of {policy} may not hold here: {line}; label a sample of these and calibrate anew", "red")
    for line in found.errors:
        note(line, "red")
    raise typer.Exit(1 if found.errors else 0)


def _show(found: Shift) -> None:
    share = found.predicted
    told = f"{share.share:.1%} probably read right, between {share.low:.1%} and {share.high:.1%}"
    out.print(f"{count(share.n, 'number')}: {told}", highlight=False)
    for caution in found.notes:
        out.print(f"note: {caution}", markup=False, highlight=False)
    differs = [one.told for one in found.differences if one.told]
    out.print("what differs: " + ("; ".join(differs) or "nothing to speak of"), markup=False, highlight=False)
    out.print(_looks(found))
    if found.digits:
        out.print(_digits(found))
        otherwise = count(found.changed, "digit")
        out.print(f"{otherwise} would be read otherwise with these shares as a prior", highlight=False)


def _looks(found: Shift) -> Table:
    shown = table("feature", "here", "learned", "learned below", "distance", "p")
    for one in found.differences:
        row = (f"{one.median:.2f}", f"{one.learned:.2f}", f"{one.above:.0%}", f"{one.distance:.2f}", f"{one.p:.2g}")
        shown.add_row(f"{one.name}: {one.what}", *row)
    return shown


def _digits(found: Shift) -> Table:
    shown = table("digit", "estimated", "interval", "as read", "MNIST")
    for one in found.digits:
        shown.add_row(
            one.digit, f"{one.share:.1%}", f"{one.low:.1%}-{one.high:.1%}", f"{one.counted:.1%}", f"{one.mnist:.1%}"
        )
    return shown
