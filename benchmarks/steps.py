"""Where the time of a page goes: milliseconds of one core for each step of reading it. Run by `make bench-read`.

    python benchmarks/steps.py [--pages 6] [--repeats 3] [--out FILE]

Processor time, not time on the clock, so that other work on the machine hardly counts; of each page the best of several
readings. The telegrams are bundled; the other pages need $INKSHIFT_DATA or ../shared/data, and are left out without it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from bench_read import machine
from inkshift import Reader
from inkshift.datasets import catalog
from inkshift.forms.assemble import assemble
from inkshift.forms.page.files import PageRef, load_page
from printed import options, show

EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS = {
    "load": "load",
    "register": "register and prove",
    "prepare": "prepare fields",
    "classify": "networks",
    "decode": "decode",
    "barcode": "barcode",
    "join": "fields together",
}


def pages() -> dict[str, tuple[Path, list[Path]]]:
    """A template and pages of it, by what they are called."""
    data = catalog.data_root()
    found = {
        "bundled telegrams": ("telegram", sorted((EXAMPLES / "telegram").glob("scan-*"))),
        "C1": ("c1", sorted((data / "c1/pages").glob("*"))),
        "UFPR": ("ufpr", sorted((data / "ufpr/pages").glob("*"))),
    }
    return {name: (EXAMPLES / form / "template.json", files) for name, (form, files) in found.items() if files}


def milliseconds(reader: Reader, file: Path) -> dict[str, float]:
    """What each step of reading a page takes of one core, and `page` all of them."""
    reader.seconds.clear()
    begun = time.process_time()
    image = load_page(PageRef(str(file), 1))
    loaded = time.process_time()
    page = reader.read_page(image, str(file))
    read = time.process_time()
    for _ in assemble(iter([page]), reader.templates):
        pass
    ended = time.process_time()
    spent = reader.seconds | {"load": loaded - begun, "join": ended - read, "page": ended - begun}
    return {step: 1000 * seconds for step, seconds in spent.items()}


def lines(given: argparse.Namespace) -> Iterator[str]:
    yield "# Where the time of a page goes"
    yield ""
    yield f"Printed by `python benchmarks/steps.py --pages {given.pages} --repeats {given.repeats}` on {machine()}."
    yield "Processor time of one core; of each page the best of several readings."
    yield ""
    yield f"| milliseconds of one core | {' | '.join(STEPS.values())} | the whole page |"
    yield "|---" * (len(STEPS) + 2) + "|"
    found = pages()
    several = [template for template, _ in found.values()]
    for name, (template, files) in found.items():
        yield row(f"{name}, mean of {len(files[: given.pages])} pages", Reader(template), files[: given.pages], given)
        if len(several) > 1:
            among = f"{name}, found among {len(several)} templates"
            yield row(among, Reader(several), files[: given.pages], given)


def row(title: str, reader: Reader, files: Sequence[Path], given: argparse.Namespace) -> str:
    """A line of the table: the mean over files of each step."""
    best = []
    for file in files:
        tries = [milliseconds(reader, file) for _ in range(given.repeats + 1)][1:]
        best.append({step: min(one.get(step, 0.0) for one in tries) for step in (*STEPS, "page")})
    means = [sum(one[step] for one in best) / len(best) for step in (*STEPS, "page")]
    return f"| {title} | {' | '.join(f'{mean:.0f}' for mean in means)} |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pages", type=int, default=6, help="of each form (default: 6)")
    parser.add_argument("--repeats", type=int, default=3, help="readings of each page (default: 3)")
    cv2.setNumThreads(1)
    given = parser.parse_args()
    show(lines(given), given.out)


if __name__ == "__main__":
    main()
