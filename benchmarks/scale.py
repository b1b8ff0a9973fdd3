"""What many machines bring, and many keyers: what a page costs the process that hands pages out, from how many nodes on
that is the limit, and a store of a million fields. Run by `make bench-scale`.

    python benchmarks/scale.py [--parts killed] [--read 200] [--items 2000] [--pages 12] [--each 600] [--kills 60]
        [--lines 1000000] [--fields 1000000] [--out FILE]

Each part says when it was printed, and the other parts of FILE stay as they are.

Measured on this machine: the processor's time that a page takes to read, and that an item costs the process that hands
it out, puts its form together and writes its readings, with the crew of this machine and with Ray, and that a page
costs to fetch from a store. For many nodes it is simulated by discrete events, fed with these. --kills: see `killed`.
--lines: see `listed`. --fields: of a store of review, see `grown`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
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
from inkshift.forms.out.export import open_readings, write_forms
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reading import page_from_json, page_to_json
from inkshift.forms.template import load_template
from inkshift.remote import at_hand
from killed import killed
from listed import listed
from printed import Parts, options, parted, show
from stored import served

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
PAGE_BYTES = mean(file.stat().st_size for file in TELEGRAM.glob("scan-*.jpg"))
# Of the simulation. Cores of a node; seconds of a message there and back, between machines of one
# hall; of a worker to begin; between failures of a node, and until it is back; goal for the share of time that reads.
CORES, MESSAGE, BEGIN = 16, 0.0005, 3.0
FAILS, BACK, GOAL = 24 * 3600.0, 300.0, 0.95
NODES = (1, 10, 100, 1000)
# Of a store: bytes a second that it gives to all nodes, 100 Gbit; seconds until it answers. Workers of a node that has
# its pages from there, and how often each bundled page is fetched to measure that.
STORE_RATE, STORE_ANSWERS, MORE, FETCHES = 12.5e9, 0.03, 18, 10
# Nodes that one command has at most, where the pages are parted.
PART = 4
# Where a scheduler starts a command for each part: pages a core in a part, and parts a node.
EACH_PART, PARTS_A_NODE = 500, (4, 16, 64)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the processor. pages: of each of some pages. item: of the process that hands out, for an item. fetch:
    to have a page from a store. begin: seconds until workers have begun."""

    pages: Sequence[float]
    item: float
    fetch: float = 0.0
    begin: float = BEGIN


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


def fetched() -> float:
    """Seconds of the processor that it takes a worker to fetch a page from an S3-compatible server on this machine."""
    with served() as bucket:
        addresses = [f"{bucket}/{file.name}" for file in sorted(TELEGRAM.glob("scan-*.jpg"))] * FETCHES
        for k, address in enumerate(addresses):
            if k == 1:
                begun = time.process_time()
            with at_hand(address):
                pass
        return (time.process_time() - begun) / (len(addresses) - 1)


def begins(page: float) -> float:
    """Seconds until the command and its two workers have begun; page: that a page takes."""
    files = sorted(TELEGRAM.glob("scan-*.jpg"))[:2]
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            command = [sys.executable, "-m", "inkshift", "--quiet", "read", *map(str, files), "--workers", "2"]
            out = str(Path(folder) / "readings.csv")
            subprocess.run([*command, "--template", str(TELEGRAM / "template.json"), "--out", out], check=True)
            found.append(time.perf_counter() - begun - page)
    return min(found)


def simulated(
    parts: Sequence[int], cost: Cost, each: int, from_store: bool = False, workers: int = CORES
) -> tuple[float, float]:
    """The share of the cores' time that reads, until the last part ends and until each one does, of so many pages a
    core that a process for each part hands out to so many nodes, with so many workers each.

    A worker has one page at a time. Its answer waits for the process, which takes one after another; the next page is
    fetched in its turn, from a store that all share, and waits for a core of the node. A node that fails loses what its
    workers hold, which is read again, and comes back.
    """
    dice = random.Random(18)
    part_of = [part for part, nodes in enumerate(parts) for _ in range(nodes)]
    todo = [nodes * CORES * each for nodes in parts]
    free, ends, useful, store = [0.0] * len(parts), [0.0] * len(parts), 0.0, 0.0
    fails = [dice.expovariate(1 / FAILS) for _ in part_of]  # when each node fails next
    idle: list[list[int]] = [[] for _ in parts]  # nodes of the workers that have nothing to do
    cores = [[0.0] * CORES for _ in part_of]  # when each is free
    answers = [(cost.begin + dice.random(), node, 0.0) for node in range(len(part_of)) for _ in range(workers)]
    heapq.heapify(answers)
    carried = PAGE_BYTES / STORE_RATE
    while answers:
        at, node, spent = heapq.heappop(answers)
        part = part_of[node]
        if at > fails[node]:  # what the worker held is lost, and it is away until its node is back
            back = fails[node] + BACK
            if at > back:
                fails[node] = back + dice.expovariate(1 / FAILS)
                cores[node] = [back] * CORES
            heapq.heappush(answers, (max(at, back) + cost.begin, node, 0.0))
            todo[part] += spent > 0
            if spent and idle[part]:
                heapq.heappush(answers, (at, idle[part].pop(), 0.0))
            continue
        useful += spent
        free[part] = max(free[part], at) + cost.item * (spent > 0)
        ends[part] = free[part] if spent else ends[part]
        if not todo[part]:
            idle[part].append(node)
        else:
            todo[part] -= 1
            page, ready = cost.pages[dice.randrange(len(cost.pages))], free[part] + MESSAGE
            took = page
            if from_store:
                store = max(store, ready) + carried
                ready, took = max(ready + STORE_ANSWERS, store), page + cost.fetch
            done = max(ready, cores[node][0]) + took
            heapq.heapreplace(cores[node], done)
            heapq.heappush(answers, (done, node, page))
    held = sum(nodes * end for nodes, end in zip(parts, ends, strict=True))
    return useful / (len(part_of) * CORES * max(ends)), useful / (CORES * held)


def scheduled(nodes: int, parts: int, cost: Cost) -> float:
    """The share of the cores' time that reads, until the last part ends, where a scheduler gives a node one of so many
    parts after another, each read by the node's own processes. A part whose node fails goes on from its journal on the
    node that is free next.
    """
    dice = random.Random(18)
    useful = EACH_PART * mean(cost.pages)  # seconds of each core
    takes = useful / simulated([1], cost, EACH_PART)[0] - cost.begin
    fails = [dice.expovariate(1 / FAILS) for _ in range(nodes)]
    free = [(0.0, node) for node in range(nodes)]
    todo = [(0.0, 1.0)] * parts  # from when on it is there, and the share of the part that is left
    end = 0.0
    while todo:
        at, node = heapq.heappop(free)
        ready, left = heapq.heappop(todo)
        begun = max(at, ready) + cost.begin
        done = begun + left * takes
        if done > fails[node]:
            heapq.heappush(todo, (fails[node], left - max(fails[node] - begun, 0.0) / takes))
            done = fails[node] + BACK
            fails[node] = done + dice.expovariate(1 / FAILS)
        else:
            end = max(end, done)
        heapq.heappush(free, (done, node))
    return parts * useful / (nodes * end)


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
    yield from many_nodes(Cost(spent, costs["Ray"], fetched()), given.each)
    yield from by_a_scheduler(Cost(spent, costs["crew of this machine"], begin=begins(mean(spent))))


def many_nodes(cost: Cost, each: int) -> Iterator[str]:
    """How much of many nodes reads, by what was measured here."""
    rate, size = STORE_RATE / 1e9, PAGE_BYTES / 1e6
    yield (
        f"\nFor many nodes it is simulated: nodes of {CORES} cores, {each} pages a core as long as those measured; a "
        f"message takes {1000 * MESSAGE} ms, a worker {BEGIN:.0f} s to begin; a node fails once a day and is back in "
        f"{BACK:.0f} s. *One command*: one process hands out and writes, at the cost measured for Ray; a worker has a "
        f"page at a time. *Parted*: a command for each {PART} nodes, each with its part of the pages, a journal and an "
        "output of its own. *From a store*: each page is fetched from one that all nodes share, which gives "
        f"{rate:.1f} GB a second in all, the first byte after {1000 * STORE_ANSWERS:.0f} ms; a page has {size:.1f} MB, "
        f"and costs a core {1000 * cost.fetch:.1f} ms to fetch (measured with moto's server). {MORE} workers on the "
        f"{CORES} cores: some fetch while others read.\n"
    )
    yield f"| nodes | cores | one command | parted | parted, from a store | from a store, {MORE} workers | goal |"
    yield "|---|---|---|---|---|---|---|"
    for nodes in NODES:
        parts = [min(PART, nodes)] * -(-nodes // PART)
        few = each if nodes <= NODES[1] else each // 10  # one process is full by then, and takes hours to simulate
        found = [simulated([nodes], cost, few), simulated(parts, cost, each)]
        found += [simulated(parts, cost, each, from_store=True, workers=workers) for workers in (CORES, MORE)]
        shown = " | ".join(f"{100 * last:.0f} % ({100 * own:.0f} %)" for last, own in found)
        yield f"| {nodes:,} | {nodes * CORES:,} | {shown} | {100 * GOAL:.0f} % |"
    full = mean(cost.pages) / cost.item
    needs = PAGE_BYTES * CORES / mean(cost.pages)
    yield (
        "\nShare of the cores' time that reads: of all nodes until the last part ends, and in brackets of each part's "
        "nodes until that part ends, as they are free for other work then: a part of which a node fails ends late. One "
        f"process is busy all the time from about {full:,.0f} cores on, {full / CORES:.0f} nodes: more do not read "
        f"faster. The store is from {STORE_RATE / needs:,.0f} nodes on."
    )


def by_a_scheduler(cost: Cost) -> Iterator[str]:
    """How much of many nodes reads where each reads parts by itself."""
    minutes = EACH_PART * mean(cost.pages) / 60
    yield (
        f"\nThe same nodes without Ray, a scheduler gives each a part of {EACH_PART} pages a core after another, "
        f"{60 * minutes:.0f} s each, read by the crew of the node at the cost measured for that. A part whose node "
        "fails goes on from its journal elsewhere; "
        f"a command and its workers take {cost.begin:.1f} s to begin, as measured.\n"
    )
    yield (
        "| nodes | cores | "
        + " | ".join(f"{parts} parts a node, {parts * minutes:.0f} min" for parts in PARTS_A_NODE)
        + " | goal |"
    )
    yield "|---|---|" + "---|" * len(PARTS_A_NODE) + "---|"
    for nodes in NODES:
        shown = " | ".join(f"{100 * scheduled(nodes, nodes * parts, cost):.0f} %" for parts in PARTS_A_NODE)
        yield f"| {nodes:,} | {nodes * CORES:,} | {shown} | {100 * GOAL:.0f} % |"
    yield "\nShare of the cores' time that reads, until the last part ends: all nodes wait for the last parts."


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
    "handing": ("Handing out", ["items", "pages", "each"], handing_out),
    "killed": ("Killed while they read", ["kills"], lambda given: killed(given.kills)),
    "listed": ("A long list", ["lines"], lambda given: listed(given.lines)),
    "grown": ("A store that grew", ["fields"], lambda given: grown(given.fields)),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to do anew (default: all)")
    parser.add_argument("--read", type=int, default=200, help="pages to read by each engine (default: 200)")
    parser.add_argument("--items", type=int, default=2000, help="items that cost nothing, to measure handing out")
    parser.add_argument("--pages", type=int, default=12, help="pages to read (default: 12)")
    parser.add_argument("--each", type=int, default=600, help="pages a core, simulated (default: 600)")
    parser.add_argument("--kills", type=int, default=60, help="workers, raylets and commands to kill (default: 60)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="pages in the list (default: 1000000)")
    parser.add_argument("--fields", type=int, default=1_000_000, help="fields of the store (default: 1000000)")
    given = parser.parse_args()
    show(parted("Many machines, many keyers", PARTS, given, machine()), given.out)


if __name__ == "__main__":
    main()
