"""What many machines bring: what a page costs the process that hands pages out, and from how many nodes on that is the
limit. Run by `make bench-scale`.

    python benchmarks/scale.py [--items 2000] [--pages 12] [--kills 0] [--out FILE]

Measured on this machine: the processor's time that a page takes to read, and that an item costs the process that hands
it out and writes it down, with the crew of this machine and with Ray. --kills: so many times a worker of Ray is killed
while pages are read, and the readings are compared. The rest is a simulation by discrete events, fed with these.
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
from inkshift import Reader, cluster, jobs
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import page_from_json, page_to_json
from printed import options, show

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
# Of the simulation. Cores of a node; pages for each core; seconds of a message there and back, between machines of one
# hall; of a worker to begin; between failures of a node, and until it is back; goal for the share of time that reads.
CORES, EACH, MESSAGE, BEGIN = 16, 300, 0.0005, 3.0
FAILS, BACK, GOAL = 24 * 3600.0, 300.0, 0.95
NODES = (1, 10, 100, 1000)


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
        text = page_to_json(reader.read_page(load_page(PageRef(str(file), 1)), str(file)))
        spent.append(time.process_time() - begun)
    return spent[1:], text


def echo(text: str) -> str:
    """Work that is none: what is left is what handing it out costs."""
    return text


def handed_out(text: str, items: int, address: str) -> float:
    """Seconds of this process's processor for each of so many items with a page's reading as result, kept in a journal
    and taken from it again."""
    with tempfile.TemporaryDirectory() as folder:
        journal = jobs.Journal(Path(folder) / "journal", "f")
        work = ((str(k), text) for k in range(items))
        with closing(cluster.run(echo, work, workers=2, journal=journal, address=address)) as results:
            next(results)  # by now the workers have begun
            begun = time.process_time()
            for _, line in results:
                page_from_json(line)
            spent = time.process_time() - begun
        journal.close()
    return spent / (items - 1)


def efficiency(nodes: int, cost: Cost, seed: int = 1) -> float:
    """The share of all cores' time that reads, of pages that one process hands out to so many nodes.

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
    return useful / (workers * max(at, free))


def _hands(process: int) -> list[str]:
    """The workers of Ray among the processes that one started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(None, 2) for line in listed]
    own = {str(process)}
    while more := {pid for pid, parent, *_ in rows if parent in own} - own:
        own |= more
    return [pid for pid, _, *command in rows if pid in own and command and "ray::_Hand" in command[0]]


def killed(times: int) -> str:
    """Readings of pages by Ray, a worker killed so many times, beside those of this process."""
    files = sorted(TELEGRAM.glob("scan-*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        for k in range(20 * times):
            (Path(folder) / f"{k:04}.jpg").symlink_to(files[k % len(files)])
        command = [sys.executable, "-m", "inkshift", "read", folder, "--template", str(TELEGRAM / "template.json")]
        here, there = Path(folder) / "here.csv", Path(folder) / "there.csv"
        subprocess.run([*command, "--out", str(here)], check=True, capture_output=True)
        command += ["--out", str(there), "--engine", "ray", "--workers", "2"]
        ray = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        dice, count = random.Random(3), 0
        while count < times and ray.poll() is None:
            time.sleep(2 + 4 * dice.random())
            found = _hands(ray.pid)
            if found:
                os.kill(int(dice.choice(found)), signal.SIGKILL)
                count += 1
        ray.wait()
        same = there.exists() and there.read_bytes() == here.read_bytes()
    found = "the same bytes" if same else "**others**"
    return f"{count} workers of Ray killed while {20 * times} pages were read: {found} as without."


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Many machines, measured and simulated"
    yield ""
    yield f"Printed by `python benchmarks/scale.py --items {given.items} --pages {given.pages} --kills {given.kills}`"
    yield f"on {machine()}."
    yield ""
    spent, text = pages(given.pages)
    engines = {"crew of this machine": "", "Ray": cluster.LOCAL}
    costs = {name: handed_out(text, given.items, address) for name, address in engines.items()}
    yield f"A bundled page takes {1000 * mean(spent):.0f} ms of a core. What an item costs the process that hands it"
    yield f"out, writes it to the journal and takes it from there, {len(json.dumps(text)):,} bytes of JSON:"
    yield ""
    yield "| engine | ms of one core | of a page | asked |"
    yield "|---|---|---|---|"
    for (name, item), asked in zip(costs.items(), (3, 5), strict=True):
        yield f"| {name} | {1000 * item:.2f} | {100 * item / mean(spent):.1f} % | below {asked} % |"
    if given.kills:
        yield ""
        yield killed(given.kills)
    yield ""
    yield "## One process for many nodes: a simulation"
    yield ""
    yield (
        f"Nodes of {CORES} cores, {EACH} pages a core as long as those measured; a message takes {1000 * MESSAGE} ms, "
        f"a worker {BEGIN:.0f} s to begin; a node fails once a day and is back after {BACK:.0f} s. One process hands "
        "out and writes, at the cost measured for Ray; a worker has one page at a time."
    )
    yield ""
    yield "| nodes | cores | share of their time that reads | goal |"
    yield "|---|---|---|---|"
    for nodes in NODES:
        found = efficiency(nodes, Cost(spent, costs["Ray"]))
        yield f"| {nodes} | {nodes * CORES:,} | {100 * found:.0f} % | {100 * GOAL:.0f} % |"
    full = mean(spent) / costs["Ray"]
    yield ""
    yield (
        f"The process is busy all the time from about {full:,.0f} cores on, {full / CORES:.0f} nodes: more do not read "
        "faster. For more, the pages are parted: a command for each part, with a journal and an output of its own "
        "(`inkshift read -` takes a list), on as many nodes as that."
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--items", type=int, default=2000, help="items that cost nothing, to measure handing out")
    parser.add_argument("--pages", type=int, default=12, help="pages to read (default: 12)")
    parser.add_argument("--kills", type=int, default=0, help="workers of Ray to kill (default: 0)")
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
