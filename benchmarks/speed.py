"""Speed and memory of reading, in processes of their own. Used by `bench_read.py`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from specimens import pen, specimen

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGES = 1000


def dense_template(cells: int, wide: int = 150, digits: tuple[int, int] = (3, 3)) -> Template:
    """A page of 5 x 24 fields, so many pixels wide and 46 high, of three-digit numbers if nothing else is said."""
    fields = tuple(
        FieldSpec(name=f"f{r:02d}{c}", box=(90 + 225 * c, 110 + 64 * r, wide, 46), cells=cells, digits=digits)
        for r in range(24)
        for c in range(5)
    )
    marks = tuple(Mark(x=x, y=y, size=30) for x in (50, 1190) for y in (50, 1704))
    return Template(name="dense", pages=(PageSpec(size=(1240, 1754), marks=marks, fields=fields),))


def throughput(cells: int, rounds: int = 12) -> tuple[float, dict[str, float]]:
    """Three-digit fields read a second by one thread from a decoded page, and the share of each step."""
    cv2.setNumThreads(1)
    template = dense_template(cells)
    rng = np.random.default_rng(3)
    glyphs = pen.mnist_test_glyphs(catalog.locate("mnist"))
    page = next(iter(specimen.specimen_pages(template, glyphs, 1, 5, draw_values=lambda t, r: _three_digits(t, rng))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.json"
        path.write_text(template.model_dump_json())
        reader = Reader(path)
    reader.read_page(page.image)
    reader.seconds.clear()
    start = time.process_time()
    for _ in range(rounds):
        reader.read_page(page.image)
    seconds = time.process_time() - start
    return 120 * rounds / seconds, {name: spent / seconds for name, spent in reader.seconds.items()}


def _three_digits(template: Template, rng: np.random.Generator) -> dict[str, str]:
    return {spec.name: str(rng.integers(100, 1000)) for spec in template.fields}


def peak_memory(pages: int = PAGES) -> float:
    """Peak memory in MB of a process that reads `pages` telegram pages, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        scans = sorted((EXAMPLES / "telegram").glob("scan-*"))
        for i in range(pages):
            shutil.copy(scans[i % len(scans)], Path(folder) / f"page-{i:04d}{scans[0].suffix}")
        done = subprocess.run(
            [sys.executable, __file__, folder], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    return float(json.loads(done.stdout)["megabytes"])


def report() -> Iterator[str]:
    yield "## Speed and memory"
    yield ""
    yield "| three-digit fields from a decoded page of 120 | a second and core | asked | share of each step |"
    yield "|---|---|---|---|"
    for title, cells in (("three cells each", 3), ("digits standing freely", 0)):
        rate, shares = throughput(cells)
        steps = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        yield f"| {title} | {rate:.0f} | 2000 | {steps} |"
    yield ""
    yield (
        "Missed where below the target: each field takes several hundred small calls of OpenCV and NumPy from Python "
        "(frame, components, views, framing); the network itself takes the share shown."
    )
    yield ""
    few, many = peak_memory(100), peak_memory(PAGES)
    yield f"Peak memory of one process: {few:.0f} MB for 100 pages, {many:.0f} MB for {PAGES} (asked: under 600 MB)."


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for _ in Reader(EXAMPLES / "telegram/template.json").read([sys.argv[1]]):
        pass
    # Not `ru_maxrss`: that begins at what the process that started this one held.
    status = Path("/proc/self/status").read_text()
    print(json.dumps({"megabytes": int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024}))  # type: ignore[index]
