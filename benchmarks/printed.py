"""What every benchmark does with what it found: a line at a time on the screen, all of them in a Markdown file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

Parts = Mapping[str, tuple[str, Iterable[str], Callable[[argparse.Namespace], Iterator[str]]]]
"""Parts of a page by their names: title, the options that say how much of it there is, and its lines."""


def options(doc: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark that its module's docstring explains; --out is the first of them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


def parted(title: str, parts: Parts, given: argparse.Namespace, where: str) -> Iterator[str]:
    """A page of parts: those of `given.parts` anew, each with the command that prints it and where that was; the others
    as they stand in `given.out`, to which each line is written as it comes: its benchmark takes hours, and is run a
    part at a time, and stopped."""
    there = given.out.read_text("utf-8").split("\n## ")[1:] if given.out and given.out.exists() else []
    old = {name: rest.strip("\n") for name, _, rest in (part.partition("\n") for part in there)}
    yield f"# {title}"
    for name, (heading, amounts, lines) in parts.items():
        if name not in given.parts and heading not in old:
            continue
        yield f"\n## {heading}\n"
        if name not in given.parts:
            yield old[heading]
            continue
        how = "".join(f" --{amount} {vars(given)[amount]}" for amount in amounts)
        old[heading] = f"Printed by `python benchmarks/{Path(sys.argv[0]).name} --parts {name}{how}` on {where}.\n"
        yield old[heading]
        for line in lines(given):
            yield line
            old[heading] += f"\n{line}"
            if given.out:
                there = [f"\n## {one}\n\n{old[one]}\n" for one, _, _ in parts.values() if one in old]
                given.out.write_text(f"# {title}\n{''.join(there)}", encoding="utf-8")


def show(lines: Iterable[str], out: Path | None) -> None:
    """Print lines as they come, how long it took on standard error, and write them to `out` at the end."""
    start, printed = time.monotonic(), []
    for line in lines:
        print(line, flush=True)
        printed.append(line)
    print(f"\n{time.monotonic() - start:.0f} s", file=sys.stderr)
    if out:
        out.write_text("\n".join(printed) + "\n", encoding="utf-8")
