"""`inkshift verify`: does a trail hold, and do its pages still say what it says?"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from inkshift.cli.app import app, out
from inkshift.cli.options import Json
from inkshift.cli.show import bars, count, note

TrailFile = Annotated[Path, typer.Argument(metavar="TRAIL", help="What `inkshift read --trail` wrote.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="Check the chain of lines and the files' SHA-256, but read no page again.")
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="First move what a stopped reading left behind the last whole run into a file TRAIL.torn."
    ),
]
Fetch = Annotated[
    bool,
    typer.Option(
        "--fetch", help="Fetch the pages that lie in a store, from any server that the trail names; else not checked."
    ),
]


@app.command()
def verify(
    trail: TrailFile, quick: Quick = False, fetch: Fetch = False, repair: Repair = False, as_json: Json = False
) -> None:
    """Check a trail: that no line was changed, that the files are those that were read, and that they read the same.

    Every page is read anew with the settings and the model that the trail names; each line whose value, state or
    candidates differ is named, and the exit status is then 1. Run it from the folder where the pages were read.

    Examples:

      inkshift verify readings.trail

      inkshift verify readings.trail --quick
    """
    from inkshift.forms.out import trail as trails
    from inkshift.forms.out.trail import check, files_as_read, read_again

    if repair and (moved := trails.repair(trail)):
        note(f"moved {count(moved[1], 'line')} that ended no run to {moved[0]}")
    found = check(trail)
    faults = [*found.faults, *files_as_read(found, fetch)]
    if not quick:
        with bars("pages") as advance:
            told = partial(advance, "reading")
            faults += [fault for run in found.runs for fault in read_again(run, told, fetch)]
    faults.sort(key=lambda fault: fault.line)
    if as_json:
        listed = [{"line": fault.line, "message": fault.message} for fault in faults]
        typer.echo(
            json.dumps({"runs": len(found.runs), "values": found.values, "digest": found.digest, "faults": listed})
        )
    else:
        for fault in faults:
            out.print(f"{trail}:{fault.line}: {fault.message}", style="red", markup=False, highlight=False)
        done = "chain and files checked" if quick else "chain and files checked, pages read again"
        result = count(len(faults), "fault") if faults else "all as it was written"
        note(f"{count(found.values, 'value')} in {count(len(found.runs), 'run')}; {done}: {result}")
        note(f"SHA-256 of the last line: {found.digest}")
    raise typer.Exit(1 if faults else 0)
