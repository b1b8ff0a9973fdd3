"""What many machines bring, and many keyers: what a page costs the process that hands pages out, from how many nodes on
that is the limit, and a store of a million fields. Run by `make bench-scale`.

    python benchmarks/scale.py [--parts killed] [--items 2000] [--pages 12] [--kills 50] [--fields 1000000] [--out FILE]

Each part says when it was printed, and the other parts of FILE stay as they are.

Measured on this machine: the processor's time that a page takes to read, and that an item costs the process that hands
it out, puts its form together and writes its readings, with the crew of this machine and with Ray. --kills: so many
times a worker of Ray is killed while pages are read, after some pages each, and the readings are compared. The rest is
a simulation by discrete events, fed with these. --fields: of a store of review, see `grown`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import cv2

from bench_read import machine
from grown import grown
from inkshift import Reader, cluster, jobs
from inkshift.forms.assemble import assemble
from inkshift.forms.out.batch import journal_path
from inkshift.forms.out.export import open_readings, write_forms
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import page_from_json, page_to_json
from inkshift.forms.template import load_template
from printed import Parts, options, parted, show

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
# Of the simulation. Cores of a node; pages for each core; seconds of a message there and back, between machines of one
# hall; of a worker to begin; between failures of a node, and until it is back; goal for the share of time that reads.
CORES, EACH, MESSAGE, BEGIN = 16, 300, 0.0005, 3.0
FAILS, BACK, GOAL = 24 * 3600.0, 300.0, 0.95
NODES = (1, 10, 100, 1000)
# Nodes that one command has at most, where the pages are parted.
PART = 4
# Pages read for each worker that is killed; one is after 4 to 16 of them.
EACH_KILL = 12


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds. pages: of the processor, of each of some pages. item: of the process that hands out, for an item."""

    pages: Sequence[float]
    item: float


def pages(count: int) -> tuple[list[float], str]:
    """Seconds of one core for each of so many bundled pages, files to readings, and what one reading is as JSON."""
    cv2.setNumThreads(1)
    files = sorted(TELEGRAM.glob("scan-*.jpg"))
    reader, spent, text = Reader(TELEGRAM / "template.json"), [], ""
    for k in range(count + 1):
        begun = time.process_time()
        file = files[k % len(files)]
        text = page_to_json(reader.alone(reader.read_page(load_page(PageRef(str(file), 1)), str(file))))
        spent.append(time.process_time() - begun)
    return spent[1:], text


def echo(text: str) -> str:
    """Work that is none: what is left is what handing it out costs."""
    return text


def handed_out(text: str, items: int, address: str) -> float:
    """Seconds of this process's processor for each of so many items with a page's reading as result: kept in a journal,
    taken from it again, put into a form and written as CSV, as `inkshift read` does."""
    template = load_template(TELEGRAM / "template.json")
    with tempfile.TemporaryDirectory() as folder:
        journal = jobs.Journal(Path(folder) / "journal", "f")
        work = ((str(k), text) for k in range(items))
        with closing(cluster.run(echo, work, workers=2, journal=journal, address=address)) as results:
            next(results)  # by now the workers have begun
            begun = time.process_time()
            forms = assemble((page_from_json(line) for _, line in results), template)
            write_forms(forms, open_readings(Path(folder) / "readings.csv"))
            spent = time.process_time() - begun
        journal.close()
    return spent / (items - 1)


def efficiency(parts: Sequence[int], cost: Cost) -> float:
    """The share of all cores' time that reads, of pages that a process for each part hands out to so many nodes; it
    lasts until the last part ends."""
    found = [simulated(nodes, cost, seed) for seed, nodes in enumerate(parts, 1)]
    return sum(useful for useful, _ in found) / (sum(parts) * CORES * max(end for _, end in found))


def simulated(nodes: int, cost: Cost, seed: int) -> tuple[float, float]:
    """Seconds of all cores that read, and when the last page is there, of pages that one process hands out.

    A worker has one page at a time; its answer waits for the process, which takes them one after another. A node that
    fails loses what its workers hold, which is read again, and comes back.
    """
    dice = random.Random(seed)
    workers = nodes * CORES
    todo, free, done, useful = workers * EACH, 0.0, 0, 0.0
    fails = [dice.expovariate(1 / FAILS) for _ in range(nodes)]  # when each node fails next
    answers = [(BEGIN + dice.random(), worker, 0.0) for worker in range(workers)]
    heapq.heapify(answers)
    at = 0.0
    while answers:
        at, worker, spent = heapq.heappop(answers)
        node = worker // CORES
        if at > fails[node]:  # what the worker held is lost, and it is away until its node is back
            back = fails[node] + BACK
            if at > back:
                fails[node] = back + dice.expovariate(1 / FAILS)
            heapq.heappush(answers, (max(at, back) + BEGIN, worker, 0.0))
            todo += spent > 0
            continue
        done += spent > 0
        useful += spent
        free = max(free, at) + cost.item
        if todo:
            todo -= 1
            page = cost.pages[dice.randrange(len(cost.pages))]
            heapq.heappush(answers, (free + MESSAGE + page, worker, page))
    assert done == workers * EACH
    return useful, max(at, free)


def _hands(process: int) -> list[str]:
    """The workers of Ray among the processes that one started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(None, 2) for line in listed]
    own = {str(process)}
    while more := {pid for pid, parent, *_ in rows if parent in own} - own:
        own |= more
    return [pid for pid, _, *command in rows if pid in own and command and "ray::_Hand" in command[0]]


def _finished(journal: Path) -> int:
    """Pages in a journal."""
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


def killed(times: int) -> str:
    """Readings of pages by Ray, a worker killed so many times, beside those of this process."""
    files = sorted(TELEGRAM.glob("scan-*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        for k in range(EACH_KILL * times):
            (Path(folder) / f"{k:04}.jpg").symlink_to(files[k % len(files)])
        command = [sys.executable, "-m", "inkshift", "read", folder, "--template", str(TELEGRAM / "template.json")]
        here, there = Path(folder) / "here.csv", Path(folder) / "there.csv"
        subprocess.run([*command, "--out", str(here)], check=True, capture_output=True)
        command += ["--out", str(there), "--engine", "ray", "--workers", "2"]
        ray = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        dice, count, then = random.Random(3), 0, 3
        while count < times and ray.poll() is None:
            time.sleep(0.2)
            found = _hands(ray.pid) if _finished(journal_path(there)) >= then else []
            if found:  # not by the clock: a page whose second worker dies too is given up, as it should
                os.kill(int(dice.choice(found)), signal.SIGKILL)
                count, then = count + 1, _finished(journal_path(there)) + dice.randint(4, 16)
        ray.wait()
        if not count:
            raise SystemExit(f"no worker of Ray was there to kill, exit status {ray.returncode}: did Ray start?")
        same = there.exists() and there.read_bytes() == here.read_bytes()
    found = "the same bytes" if same else "**others**"
    return f"{count} workers of Ray killed while {EACH_KILL * times} pages were read: {found} as without."


def handing_out(given: argparse.Namespace) -> Iterator[str]:
    """What an item costs, and how far that carries."""
    spent, text = pages(given.pages)
    engines = {"crew of this machine": "", "Ray": cluster.LOCAL}
    costs = {name: handed_out(text, given.items, address) for name, address in engines.items()}
    yield (
        f"A bundled page takes {1000 * mean(spent):.0f} ms of a core, with its rules. What an item costs the process "
        f"that hands it out, writes it to the journal and takes it from there, {len(json.dumps(text)):,} bytes, "
        "puts its form together and writes the readings as CSV:\n"
    )
    yield "| engine | ms of one core | of a page | asked |"
    yield "|---|---|---|---|"
    for (name, item), asked in zip(costs.items(), (3, 5), strict=True):
        yield f"| {name} | {1000 * item:.2f} | {100 * item / mean(spent):.1f} % | below {asked} % |"
    yield (
        f"\nFor many nodes it is simulated: nodes of {CORES} cores, {EACH} pages a core as long as those measured; a "
        f"message takes {1000 * MESSAGE} ms, a worker {BEGIN:.0f} s to begin; a node fails once a day and is back in "
        f"{BACK:.0f} s. *One command*: one process hands out and writes, at the cost measured for Ray; a worker has a "
        f"page at a time. *Parted*: a command for each {PART} nodes, each with its part of the pages, a journal and an "
        "output of its own; the last to end counts.\n"
    )
    yield "| nodes | cores | share of their time that reads: one command | parted | goal |"
    yield "|---|---|---|---|---|"
    cost = Cost(spent, costs["Ray"])
    for nodes in NODES:
        one, many = efficiency([nodes], cost), efficiency([min(PART, nodes)] * -(-nodes // PART), cost)
        yield f"| {nodes:,} | {nodes * CORES:,} | {100 * one:.0f} % | {100 * many:.0f} % | {100 * GOAL:.0f} % |"
    full = mean(spent) / costs["Ray"]
    yield (
        f"\nOne process is busy all the time from about {full:,.0f} cores on, {full / CORES:.0f} nodes: more do not "
        "read faster."
    )


PARTS: Parts = {
    "handing": ("Handing out", ["items", "pages"], handing_out),
    "killed": ("Workers that are killed", ["kills"], lambda given: iter([killed(given.kills)])),
    "grown": ("A store that grew", ["fields"], lambda given: grown(given.fields)),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to do anew (default: all)")
    parser.add_argument("--items", type=int, default=2000, help="items that cost nothing, to measure handing out")
    parser.add_argument("--pages", type=int, default=12, help="pages to read (default: 12)")
    parser.add_argument("--kills", type=int, default=50, help="workers of Ray to kill (default: 50)")
    parser.add_argument("--fields", type=int, default=1_000_000, help="fields of the store (default: 1000000)")
    given = parser.parse_args()
    show(parted("Many machines, many keyers", PARTS, given, machine()), given.out)


if __name__ == "__main__":
    main()
