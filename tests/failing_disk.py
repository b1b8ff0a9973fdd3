"""Commands on a disk that fails at each of their writes in turn: one message, nothing half written, and it goes on.

    LD_PRELOAD=failing_disk.so python tests/failing_disk.py CASE ... [--every 5]

`failing_disk.c` is that disk: it counts what makes, fills, renames or seals a file below a folder, also where a library
does so. A case is run undisturbed once, and then once for each of those calls and each way to fail: the disk is full
from there on, after half of what was to be written, or that one call fails. Prints what was not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import io
import os
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
Files = dict[str, bytes]


class Way(NamedTuple):
    """code: what the system says. said: what of it a message says. once: it is over after that call, else each that
    follows fails too. half: half of what was to be written is there."""

    code: int
    said: tuple[str, ...]
    once: bool
    half: bool


# What SQLite says of either, the last where it then opened the file to read it.
_SQLITE = (
    "disk I/O error",
    "unable to open database file",
    "database or disk is full",
    "attempt to write a readonly database",
)
WAYS = (
    Way(errno.ENOSPC, ("No space left on device", *_SQLITE), once=False, half=True),
    Way(errno.EIO, ("Input/output error", *_SQLITE), once=True, half=False),
)


class Case(NamedTuple):
    """A command, the file or folder that it writes, and what says what is wrong with that where bytes may differ."""

    command: str
    out: str
    faults: Callable[[Path], object] | None = None


def trail_faults(path: Path) -> object:
    from inkshift.forms.out import trail

    return path.exists() and [fault.message for fault in trail.check(path).faults]


def table_faults(path: Path) -> object:
    """What SQLite has against a database, or how many rows it has where one page should have one or none."""
    import sqlite3

    if not path.exists():
        return ""
    with contextlib.closing(sqlite3.connect(path)) as base:
        said = [row[0] for row in base.execute("pragma integrity_check")]
        if said != ["ok"]:
            return said
        if not base.execute("select 1 from sqlite_master where name = 'readings'").fetchall():
            return ""
        rows = base.execute("select count(*) from readings").fetchone()[0]
        return rows if rows > 1 else ""


def study_faults(folder: Path) -> object:
    """Files of a study that do not say what they should."""
    import numpy as np

    from inkshift.files import parse_json, read_csv

    for path in folder.rglob("*"):
        if path.suffix == ".json":
            parse_json(path.read_bytes())
        elif path.suffix == ".csv":
            read_csv(path)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                [arrays[name] for name in arrays.files]
    return ""


IMPORT = (
    "model import model.onnx --out packed --classes 0-9 --reframing 'gray|light_ink|resize(28)' --licence MIT "
    "--scale 0..255"
)
READ = "read n.png --as number"
CASES = {
    "csv": Case(f"{READ} --out r.csv", "r.csv"),
    "jsonl": Case(f"{READ} --out r.jsonl", "r.jsonl"),
    "xlsx": Case(f"{READ} --out r.xlsx", "r.xlsx"),
    "parquet": Case(f"{READ} --out r.parquet", "r.parquet"),
    "sqlite": Case(f"{READ} --out sqlite:///r.sqlite", "r.sqlite", table_faults),
    "report": Case(f"{READ} --out r.csv --report r.html", "r.html"),
    "trail": Case(f"{READ} --out r.csv --trail r.trail", "r.trail", trail_faults),
    "calibrate": Case("calibrate was.csv --sample 1 --out key.csv", "key.csv"),
    "template": Case("template new n.png --out new.json", "new.json"),
    "dataset": Case("dataset build n.png --labels labels.csv --as number --out made", "made"),
    "model": Case(IMPORT, "packed"),
    "study": Case("study run tiny.toml --folder out", "out", study_faults),
}  # fmt: skip


def build(folder: Path, case: Case) -> None:
    """What the cases need, and in their outputs' places what a run before left there."""
    import cv2
    import numpy as np

    from inkshift.models import package

    picture = np.full((60, 120), 255, np.uint8)
    cv2.putText(picture, "47", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0,), 3)
    cv2.imwrite(str(folder / "n.png"), picture)
    (folder / "labels.csv").write_text("form,field,value\nn,,47\n")
    shutil.copy(package.shipped()["mnist-as-published"] / package.GRAPH, folder / "model.onnx")
    command(f"{READ} --out was.csv", folder)
    if case.out == "out":
        from inkshift import jobs
        from inkshift.studies import engine
        from test_study import SPEC, write_study

        engine.run_items = lambda work, items, **_: jobs.run(work, items)  # in this process, which has the disk
        write_study(folder, SPEC.replace("replicates = 2", "replicates = 1").replace(', "frozen", "fine-tuned"', ""))
    elif case.out in ("packed", "made", "r.trail"):
        command(case.command, folder)
    elif case.out != "r.sqlite" and case.out != "new.json":
        (folder / case.out).write_text("before")


class Ended(NamedTuple):
    status: int
    said: str


def command(line: str, folder: Path) -> Ended:
    """`inkshift LINE` in `folder`, in this process."""
    from inkshift.cli import main

    said, before = io.StringIO(), Path.cwd()
    os.chdir(folder)
    sys.unraisablehook = lambda lost: said.write(f"error: ignored: {lost.exc_value!r}\n")
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main(shlex.split(line))
    except SystemExit as e:
        return Ended(e.code if isinstance(e.code, int) else 99, said.getvalue())
    except Exception:
        return Ended(99, traceback.format_exc()[-1500:])
    finally:
        os.chdir(before)


def files_of(folder: Path, out: str) -> Files:
    """The bytes of a file, or of all files of a folder, by name."""
    place = folder / out
    paths = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


def faults_of(case: Case, every: int) -> Iterator[str]:
    """Run a case with each of its writes failing in each way, or every so many; yields first how many calls it makes,
    and then what was not as it should be."""
    with tempfile.TemporaryDirectory(prefix="disk-") as scratch:
        sound, work = Path(scratch, "sound"), Path(scratch, "work")
        sound.mkdir()
        build(sound, case)
        begin(sound, work)
        ended, calls = run(case, work, 0, WAYS[0])
        yield f"{calls} calls"
        if ended.status:
            yield f"undisturbed: {ended}"
            return
        before, after = files_of(sound, case.out), files_of(work, case.out)
        for at, way in [(at, way) for at in range(1, calls + 1) for way in WAYS][::every]:
            begin(sound, work)
            ended, _ = run(case, work, at, way)
            for fault in (*_after_it(case, work, ended, way, before, after), *_next_start(case, work, ended, after)):
                yield f"{os.strerror(way.code)} at call {at} of {calls}: {fault} ({ended})"
    tempfile.tempdir = None


def begin(sound: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound, work)
    temporary = work / "tmp"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)


def run(case: Case, work: Path, at: int, way: Way) -> tuple[Ended, int]:
    """A case whose `at`-th call fails, none where it is 0: how it ended, and how many calls it made."""
    disk = ctypes.CDLL(None)
    disk.disk_arm(str(work).encode(), ctypes.c_long(at), way.code, way.once, way.half)
    try:
        ended = command(case.command, work)
    finally:
        calls = disk.disk_count()
        disk.disk_arm(b"", ctypes.c_long(0), 0, 0, 0)
    return ended, calls


def _after_it(case: Case, work: Path, ended: Ended, way: Way, before: Files, after: Files) -> Iterator[str]:
    """What is wrong with what a run on a failing disk said and left."""
    lines = [line for line in ended.said.splitlines() if line.startswith(("error: ", "out/"))]  # of a study, one a run
    if ended.status not in (0, 1, 2):
        yield "no end of ours"
    elif ended.status and not any(word in line for word in way.said for line in lines[:1]):
        yield "expected a message that says it"
    elif len(lines) > 1 and lines[0].startswith("error: "):
        yield "expected one message"
    now = files_of(work, case.out)
    if case.faults:
        if wrong := case.faults(work / case.out):
            yield f"{case.out} is spoiled: {wrong}"
    elif now not in ((before, after) if ended.status else (after,)):
        yield f"{case.out} is neither as it was nor as it is to be: {sorted(now)}"
    if left := [name for name in hidden(work) if name.endswith((".part", ".lock", ".old"))]:
        yield f"left {left}"
    if left := [path.name for path in (work / "tmp").iterdir()]:
        yield f"left {left} in the temporary folder"


def _next_start(case: Case, work: Path, ended: Ended, after: Files) -> Iterator[str]:
    """What is wrong once the same is started again on a disk that has room."""
    if not ended.status:  # what failed was not needed
        return
    again = command(case.command, work)
    if again.status:
        yield f"the next start: {again}"
    if case.faults and (wrong := case.faults(work / case.out)):
        yield f"the next start left {case.out} spoiled: {wrong}"
    if not case.faults and files_of(work, case.out) != after:
        yield f"the next start came to something else: {sorted(files_of(work, case.out))}"
    if left := hidden(work):
        yield f"the next start left {left}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="+", choices=CASES)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th call and way to fail")
    given = parser.parse_args()
    total = 0
    for case in given.case:
        calls, *faults = faults_of(CASES[case], given.every)
        print(f"{case}: {calls}: {len(faults)} faults", *faults, sep="\n  ", flush=True)
        total += len(faults)
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
