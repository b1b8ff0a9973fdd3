"""What many machines bring, and many keyers: what a page costs the process that hands pages out, from how many nodes on
that is the limit, and a store of a million fields. Run by `make bench-scale`.

    python benchmarks/scale.py [--parts killed] [--read 200] [--items 2000] [--pages 12] [--kills 60] [--fields 1000000]
        [--out FILE]

Each part says when it was printed, and the other parts of FILE stay as they are.

Measured on this machine: the processor's time that a page takes to read, and that an item costs the process that hands
it out, puts its form together and writes its readings, with the crew of this machine and with Ray. For many nodes it
is simulated by discrete events, fed with these. --kills: see `killed`. --fields: of a store of review, see `grown`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
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
from inkshift.forms.out.export import open_readings, write_forms
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import page_from_json, page_to_json
from inkshift.forms.template import load_template
from killed import killed
from printed import Parts, options, parted, show

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
# Of the simulation. Cores of a node; pages for each core; seconds of a message there and back, between machines of one
# hall; of a worker to begin; between failures of a node, and until it is back; goal for the share of time that reads.
CORES, EACH, MESSAGE, BEGIN = 16, (300, 1200), 0.0005, 3.0
FAILS, BACK, GOAL = 24 * 3600.0, 300.0, 0.95
NODES = (1, 10, 100, 1000)
# Nodes that one command has at most, where the pages are parted.
PART = 4


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


def efficiency(parts: Sequence[int], cost: Cost, each: int) -> float:
    """The share of all cores' time that reads, of so many pages a core that a process for each part hands out to so
    many nodes; it lasts until the last part ends."""
    found = [simulated(nodes, cost, each, seed) for seed, nodes in enumerate(parts, 1)]
    return sum(useful for useful, _ in found) / (sum(parts) * CORES * max(end for _, end in found))


def simulated(nodes: int, cost: Cost, each: int, seed: int) -> tuple[float, float]:
    """Seconds of all cores that read, and when the last page is there, of pages that one process hands out.

    A worker has one page at a time; its answer waits for the process, which takes them one after another. A node that
    fails loses what its workers hold, which is read again, and comes back.
    """
    dice = random.Random(seed)
    workers = nodes * CORES
    todo, free, done, useful = workers * each, 0.0, 0, 0.0
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
    assert done == workers * each
    return useful, max(at, free)


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
    few, more = EACH
    yield (
        f"\nFor many nodes it is simulated: nodes of {CORES} cores, {few} or {more:,} pages a core as long as those "
        f"measured; a message takes {1000 * MESSAGE} ms, a worker {BEGIN:.0f} s to begin; a node fails once a day and "
        f"is back in {BACK:.0f} s. *One command*: one process hands out and writes, at the cost measured for Ray; a "
        f"worker has a page at a time. *Parted*: a command for each {PART} nodes, each with its part of the pages, a "
        "journal and an output of its own; the last to end counts.\n"
    )
    yield f"| nodes | cores | share that reads: one command, {few} | parted, {few} | parted, {more:,} | goal |"
    yield "|---|---|---|---|---|---|"
    cost = Cost(spent, costs["Ray"])
    for nodes in NODES:
        parts = [min(PART, nodes)] * -(-nodes // PART)
        found = [efficiency([nodes], cost, few), *(efficiency(parts, cost, each) for each in EACH)]
        shown = " | ".join(f"{100 * share:.0f} %" for share in found)
        yield f"| {nodes:,} | {nodes * CORES:,} | {shown} | {100 * GOAL:.0f} % |"
    full = mean(spent) / costs["Ray"]
    yield (
        f"\nOne process is busy all the time from about {full:,.0f} cores on, {full / CORES:.0f} nodes: more do not "
        "read faster."
    )


def speed(count: int) -> Iterator[str]:
    """Pages a second of one machine, once its workers have begun."""
    yield f"{count} bundled pages read to forms, from the first that is there to the last.\n"
    yield "| engine | workers | pages a second | load |"
    yield "|---|---|---|---|"
    files = sorted(TELEGRAM.glob("scan-*.jpg"))
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        for k in range(count):
            (Path(folder) / f"{k:05}.jpg").symlink_to(files[k % len(files)])
        for engine, workers, address in (("crew", 1, ""), ("crew", 2, ""), ("Ray", 2, cluster.LOCAL)):
            forms = Reader(TELEGRAM / "template.json").read(folder, workers=workers, cluster=address)
            next(forms)
            begun = time.perf_counter()
            read = sum(1 for _ in forms)
            yield f"| {engine} | {workers} | {read / (time.perf_counter() - begun):.2f} | {os.getloadavg()[0]:.1f} |"


PARTS: Parts = {
    "speed": ("One machine", ["read"], lambda given: speed(given.read)),
    "handing": ("Handing out", ["items", "pages"], handing_out),
    "killed": ("Killed while they read", ["kills"], lambda given: killed(given.kills)),
    "grown": ("A store that grew", ["fields"], lambda given: grown(given.fields)),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to do anew (default: all)")
    parser.add_argument("--read", type=int, default=200, help="pages to read by each engine (default: 200)")
    parser.add_argument("--items", type=int, default=2000, help="items that cost nothing, to measure handing out")
    parser.add_argument("--pages", type=int, default=12, help="pages to read (default: 12)")
    parser.add_argument("--kills", type=int, default=60, help="workers, raylets and commands to kill (default: 60)")
    parser.add_argument("--fields", type=int, default=1_000_000, help="fields of the store (default: 1000000)")
    given = parser.parse_args()
    show(parted("Many machines, many keyers", PARTS, given, machine()), given.out)


if __name__ == "__main__":
    main()
