"""A store that grew: how quickly readings come in, and how long the next field is looked for. A part of `scale`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

import sqlalchemy as sa

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.review.core import queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.store import Store
from review_databases import cluster, programs

# Fields of a form; decisions that are timed; how many people key.
A_FORM, DECISIONS = 100, 1000
KEYERS = {"SQLite": 20, "PostgreSQL": 200}


def busy(process: int) -> float:
    """Seconds that a process used the processor, itself and for it (Linux)."""
    user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def forms(fields: int) -> Iterator[FormReading]:
    """Forms without pictures, each field of a confidence of its own."""
    for start in range(0, fields, A_FORM):
        name = f"form {start // A_FORM + 1:06}"
        read = []
        for k in range(start, min(start + A_FORM, fields)):
            value, confidence = str(k * 7919 % 1000), k * 7919 % 1_000_003 / 1_000_003
            sure = (Candidate(value, confidence),)
            read.append(FieldReading(f"field {k - start + 1}", value, value, "written", confidence, sure))
        yield FormReading(name, tuple(read), (PageNote(f"{name}.png", 1, 0.9),))


def grown(fields: int) -> Iterator[str]:
    """Both tables, of stores to which so many fields that are all open were added at once."""
    yield (
        f"Forms of {A_FORM} fields without pictures, {fields:,} fields in one batch, by `add_batch`; asked: 20,000 a "
        f"second. Then {DECISIONS:,} decisions, by as many keyers as hold a field there, in turns; "
        "each looks for the next field in the same step, and is on disk when it ends; asked: 95 of 100 under 50 ms. "
        "Processor time: of this process, and of the server's. Load: processes that wanted the "
        f"{os.cpu_count()} cores in the last minute.\n"
    )
    yield "| database | readings a second | here, each | there, each | load |"
    yield "|---|---|---|---|---|"
    found, decided = programs(), []
    with tempfile.TemporaryDirectory(prefix="inkshift-bench-") as folder:
        for line, then in _measured("SQLite", f"sqlite:///{folder}/grown.db", fields):
            yield line
            decided.append(then)
    if found:
        with cluster(found, fsync=True) as address:
            for line, then in _measured("PostgreSQL", address, fields):
                yield line
                decided.append(then)
    yield "\n| database | keyers | median | 95 of 100 | here, median | here, 95 of 100 | there, each | load |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from decided


def _measured(database: str, url: str, fields: int) -> Iterator[tuple[str, str]]:
    """A row on what came in, and one on what was decided."""
    with closing(stores.open(url)) as store:
        with store.reading() as session:
            server = 0 if database == "SQLite" else session.scalar(sa.select(sa.func.pg_backend_pid()))

        def spent() -> tuple[float, float, float]:
            return time.perf_counter(), time.process_time(), busy(server) if server else 0.0

        begun = spent()
        batch = add_batch(store, "grown", forms(fields))
        wall, here, there = (after - before for after, before in zip(spent(), begun, strict=True))
        row = f"| {database} | {fields / wall:,.0f} | {1e6 * here / fields:.0f} µs | {1e6 * there / fields:.0f} µs |"
        row += f" {load()} |"
        if server:  # as its own daemon would, a minute later
            with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(sa.text("ANALYZE"))
        before = spent()[2]
        times = list(zip(*_decided(store, batch, KEYERS[database]), strict=True))
        there = f"{1e3 * (spent()[2] - before) / DECISIONS:.1f} ms" if server else ""
        shown = [f"{1e3 * median(one):.0f} ms | {1e3 * quantiles(one, n=20)[-1]:.0f} ms" for one in times]
        yield row, f"| {database} | {KEYERS[database]} | {shown[0]} | {shown[1]} | {there} | {load()} |"


def _decided(store: Store, batch: int, many: int) -> Iterator[tuple[float, float]]:
    """Seconds of each decision with the next field, by keyers who each hold one: all, and of this processor."""
    keyers = [stores.add_user(store, f"keyer {k}", "keyer") for k in range(many)]
    held = [queue.next_field(store, keyer, batch) for keyer in keyers]
    for k in range(DECISIONS):
        item = held[k % many]
        assert item is not None
        begun, here = time.perf_counter(), time.process_time()
        held[k % many] = queue.decide_and_next(store, keyers[k % many], batch, item.field, "7")
        yield time.perf_counter() - begun, time.process_time() - here
