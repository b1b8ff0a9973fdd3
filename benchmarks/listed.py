"""How much memory a long list of pages takes, with the pages left out. A part of `scale`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FEW, MIB = 1000, 1024
# The command itself, but that each file has one page with a field that is known, and that it ends at the last page the
# first time.
_COMMAND = """
import os, sys
from inkshift.cli.app import main
from inkshift.forms import reader, scans
from inkshift.forms.page.files import PageRef
from inkshift.forms.reading import Candidate, FieldReading, PageReading, page_to_json

last, *given = sys.argv[1:]

def read(ref):
    if ref.source == last:
        os._exit(3)
    field = FieldReading("number", "212", "212", "written", 0.99, (Candidate("212", 0.99),), source=ref.source)
    return page_to_json(PageReading(ref.source, ref.page, fields=(field,)))

reader.Reader.read_scan, scans.page_refs = lambda self, ref: read(ref), lambda path: [PageRef(str(path), 1, 1)]
sys.exit(main(["read", "--as", "number", "--workers", "1", *given]))
"""


def listed(lines: int) -> Iterator[str]:
    """The most memory that the command had, of a few lines and of so many, and when it goes on from its journal."""
    yield (
        f"`inkshift read --from list.txt --as number --out readings.csv`, of {FEW:,} and of {lines:,} pages, one a "
        "line; what a page holds is not read, but known. The first command is stopped at the last page, the same is "
        "given again and goes on from its journal. Memory: the most that the process had (resident).\n"
    )
    yield "| pages | first, MB | goes on, MB | pages a second, first | goes on |"
    yield "|---|---|---|---|---|"
    for count in (FEW, lines):
        with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
            last = _listed(Path(folder), count)
            runs = [_run(Path(folder), last, 3), _run(Path(folder), "", 0)]
            rows = Path(folder, "readings.csv").read_bytes().count(b"\n") - 1
            if rows != count:
                raise SystemExit(f"expected {count:,} readings, found {rows:,}")
        memory = " | ".join(f"{most / MIB:,.0f}" for most, _ in runs)
        speed = " | ".join(f"{count / spent:,.0f}" for _, spent in runs)
        yield f"| {count:,} | {memory} | {speed} |"


def _listed(folder: Path, count: int) -> str:
    """Write a list of pages; the last one."""
    with (folder / "list.txt").open("w") as file:
        for k in range(count):
            page = f"/scans/district-{k // 1000:04}/polling-station-{k:07}.jpg"
            file.write(f"{page}\n")
    return page


def _run(folder: Path, last: str, wanted: int) -> tuple[int, float]:
    """The most memory of a run in KiB, and its seconds."""
    command = [sys.executable, "-c", _COMMAND, last]
    command += ["--from", str(folder / "list.txt"), "--out", str(folder / "readings.csv")]
    begun = time.perf_counter()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != wanted:
        raise SystemExit((folder / "said").read_text()[-1000:])
    return used.ru_maxrss, time.perf_counter() - begun


if __name__ == "__main__":
    for line in listed(int(sys.argv[1])):
        print(line, flush=True)
