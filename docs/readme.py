"""Put into README.md what the program prints: `make readme`, after `make bench-read`.

The demo's output, the picture of a read form, and the table of right answers from docs/results/reading.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs/images/telegram-read.png"
TELEGRAM = "examples/telegram"


def demo() -> str:
    """What `make demo` prints, in 80 columns, of its measures the first and without the table of confusions."""
    done = subprocess.run(
        ["make", "-s", "demo"], cwd=ROOT, env=os.environ | {"COLUMNS": "80"}, text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    text = re.sub(r"\ndigits: label .*?\n(?=every crop)", "\n", done.stdout, flags=re.DOTALL)
    text = re.sub(r"^  (?:wrong|of all|macro|top|mean|calibration|digits compared).*\n", "", text, flags=re.MULTILINE)
    lines = (line.rstrip().replace(str(ROOT), "...") for line in text.splitlines())
    return "```text\n" + "\n".join(lines) + "\n```"


def results() -> str:
    """The table of right answers, and the line that says when and where it was printed."""
    text = (ROOT / "docs/results/reading.md").read_text(encoding="utf-8")
    printed = re.search(r"^Printed by .*$", text, re.MULTILINE)
    table = re.search(r"^## Right answers\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert printed and table, "docs/results/reading.md has no table; run make bench-read"
    return f"{printed[0]}\n\n{table[1].strip()}"


def fill(text: str, name: str, content: str) -> str:
    block = f"<!-- {name}:start -->\n{content}\n<!-- {name}:end -->"
    filled, places = re.subn(rf"<!-- {name}:start -->.*?<!-- {name}:end -->", lambda _: block, text, flags=re.DOTALL)
    assert places == 1, f"README.md: expected one place between {name}:start and {name}:end, found {places}"
    return filled


def draw() -> None:
    """The first telegram with its fields and readings, small enough for a page."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "try.png"
        call = [".venv/bin/inkshift", "template", "try", f"{TELEGRAM}/template.json", f"{TELEGRAM}/scan-1.jpg"]
        subprocess.run([*call, "--out", str(out)], cwd=ROOT, check=True, capture_output=True)
        picture = Image.open(out).convert("RGB")
    small = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS)
    white_paper = small.point(lambda level: 255 if level > 205 else level)
    colours = white_paper.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours.save(PICTURE, optimize=True)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(fill(fill(text, "demo", demo()), "results", results()), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
