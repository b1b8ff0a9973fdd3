"""What every benchmark does with what it found: a line at a time on the screen, all of them in a Markdown file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def options(doc: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark that its module's docstring explains; --out is the first of them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    return parser


def show(lines: Iterable[str], out: Path | None) -> None:
    """Print lines as they come, how long it took on standard error, and write them to `out` at the end."""
    start, printed = time.monotonic(), []
    for line in lines:
        print(line, flush=True)
        printed.append(line)
    print(f"\n{time.monotonic() - start:.0f} s", file=sys.stderr)
    if out:
        out.write_text("\n".join(printed) + "\n", encoding="utf-8")
