"""Pages read by several raylets of Ray while workers, raylets and the process that hands out are killed. A part of
`scale`."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from inkshift.forms.out.batch import journal_path

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
RAYLETS = 2
# Pages for each kill, more than are read meanwhile, and after how many one comes; seconds that it waits then at most,
# and of a beginning.
EACH, AFTER, LATER, BEGINS = 20, (3, 7), 1.0, 10.0
KINDS = ("worker", "raylet", "driver")


def killed(times: int) -> Iterator[str]:
    """What was killed, and how the readings compare with those of this process."""
    files = sorted(TELEGRAM.glob("scan-*.jpg"))
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder, _cluster() as cluster:
        pages = [Path(folder) / f"{k:04}.jpg" for k in range(EACH * times)]
        for k, page in enumerate(pages):
            page.symlink_to(files[k % len(files)])
        command = [sys.executable, "-m", "inkshift", "read", folder, "--template", str(TELEGRAM / "template.json")]
        here, there = Path(folder) / "here.csv", Path(folder) / "there.csv"
        alone = _begun([*command, "--out", str(here)])
        away = [*command, "--out", str(there), "--engine", "ray", "--address", cluster.address]
        count, ended, twice = _read(cluster, [*away, "--workers", str(RAYLETS)], there, times)
        said = alone.communicate()[1]
        if alone.returncode:
            raise SystemExit(f"read without Ray: {said}")
        yield from _told(count, ended, len(pages), _rows(here), _rows(there), twice)
        if here.read_bytes() != there.read_bytes():
            raise SystemExit("the readings are others: see above")
        yield "\nThe file of readings is the same, byte for byte."


@contextmanager
def _cluster() -> Iterator[Any]:
    """A head that reads nothing, and raylets of one core each, all on this machine."""
    os.environ |= {"RAY_worker_niceness": "0"}  # else on a busy machine its workers would never have their turn
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(RAYLETS):
            _add_raylet(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def _add_raylet(cluster: Any) -> None:
    for _ in range(30):
        with suppress(Exception):  # Ray gives one but half a minute to begin, and raises nothing else
            cluster.add_node(num_cpus=1)
            return
    raise SystemExit("no raylet begins on this machine")


def _read(cluster: Any, command: list[str], out: Path, times: int) -> tuple[Counter[str], list[str], int]:
    """Run the command until it ends well, so many kills later.

    Gives how often each kind was killed, what else the command ended with, and how many pages the journal held twice
    at some moment.
    """
    dice, count, ended, twice = random.Random(18), Counter[str](), [], 0
    driver, then = _begun(command), 3
    while True:
        time.sleep(0.1)
        if (status := driver.poll()) is not None:
            shown, said = driver.communicate()
            if shown or status not in (0, -signal.SIGKILL):  # what goes to a file goes nowhere else
                ended.append((shown or said).strip().splitlines()[-1])
            if not status:
                return count, ended, twice
            driver = _begun(command)
        keys = _keys(journal_path(out))
        twice = max(twice, len(keys) - len(set(keys)))
        if len(keys) < then or count.total() >= times:
            continue
        time.sleep(dice.uniform(0, LATER))
        kind = KINDS[dice.randrange(3)]
        if kind == "driver":
            _kill(driver)
            if dice.random() < 0.5 and count.total() + 1 < times:
                driver = _begun(command)
                time.sleep(dice.uniform(0, BEGINS))
                _kill(driver)
                count["driver"] += 1
        elif kind == "raylet":
            cluster.remove_node(dice.choice(sorted(cluster.worker_nodes, key=id)), allow_graceful=False)
            _add_raylet(cluster)
        elif hands := _hands():
            os.kill(dice.choice(hands), signal.SIGKILL)
        else:
            continue
        # Not by the clock alone: a page whose second worker dies too is given up, as it should be.
        count[kind] += 1
        then = len(_keys(journal_path(out))) + dice.randint(*AFTER)
        print(f"{count.total()}: {kind}, {len(keys)} pages", file=sys.stderr, flush=True)


def _begun(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()  # and not wait alone, which leaves its pipes open


def _keys(journal: Path) -> list[str]:
    """Of the pages that a journal holds."""
    lines = journal.read_bytes().splitlines(keepends=True)[1:] if journal.exists() else []
    return [json.loads(line)["key"] for line in lines if line.endswith(b"\n")]


def _hands() -> list[int]:
    """The workers of the cluster that was started here."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(None, 2) for line in listed]
    own = {str(os.getpid())}
    while more := {pid for pid, parent, *_ in rows if parent in own} - own:
        own |= more
    return [int(pid) for pid, _, *args in rows if pid in own and args and args[0].startswith("ray::_Hand")]


def _rows(readings: Path) -> list[tuple[str, ...]]:
    with readings.open(newline="", encoding="utf-8") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def _told(
    count: Counter[str], ended: list[str], pages: int, here: list[Any], there: list[Any], twice: int
) -> Iterator[str]:
    yield (
        f"{pages} pages read by {RAYLETS} raylets of a core each on this machine, a head that reads nothing beside "
        f"them. Each time {AFTER[0]} to {AFTER[1]} pages and up to {LATER:.0f} s later, one is killed (SIGKILL): a "
        "worker, a raylet with all its processes, in whose place another is started, or the process that hands out, "
        "and the same command is started again; half of these are killed once more within "
        f"{BEGINS:.0f} s, as they begin.\n"
    )
    yield "| killed | times |"
    yield "|---|---|"
    yield from (f"| {kind} | {count[kind]} |" for kind in KINDS)
    yield f"| all | **{count.total()}** |"
    lost, more = Counter(here) - Counter(there), Counter(there) - Counter(here)
    yield (
        f"\n{len(there):,} readings, {len(here):,} without Ray: **{lost.total()}** lost or others, **{more.total()}** "
        f"twice or others; pages in the journal twice: **{twice}**. The command ended otherwise {len(ended)} times"
        f"{': ' if ended else ''}{'; '.join(sorted(set(ended)))}."
    )


if __name__ == "__main__":
    for line in killed(int(sys.argv[1])):
        print(line)
