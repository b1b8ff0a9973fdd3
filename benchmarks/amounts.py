"""Decimals and signed numbers on drawn forms: how often they are right, and wrong with confidence.

    python benchmarks/amounts.py [--pages N] [--show FOLDER]

Written with MNIST test digits of `$INKSHIFT_DATA`; separators, dashes and what stands in their place by a pen.
--show: folder for pictures of what is wrong and sure.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from specimens.pen import Glyphs, draw_hand, lay_ink, mnist_test_glyphs, write_amount
from specimens.scanner import scan
from specimens.specimen import Layout, Text, draw_blank

SURE, HIGH, ROWS, COLUMNS = 0.9, 0.8, 14, 4
# What is written in a field of each kind, and how it is asked for; the value is that without what stands for nothing.
KINDS = {
    "12,50": {"kind": "decimal"},
    "12.50": {"kind": "decimal"},
    "1250 for 12.50": {"kind": "decimal"},
    "-12,50": {"kind": "decimal", "signed": True},
    "1.234,50": {"kind": "decimal"},
    "-350": {"signed": True},
    "350": {"signed": True},
}


def text_of(kind: str, rng: np.random.Generator) -> tuple[str, str]:
    """What is written, and its value."""
    whole, cents = str(rng.integers(1, 10 ** int(rng.integers(1, 4)))), f"{rng.integers(0, 100):02}"
    if kind == "1250 for 12.50":
        return whole + cents, ""
    if kind in ("350", "-350"):
        whole = str(rng.integers(10, 10_000))
        return (f"-{whole}",) * 2 if kind == "-350" else (whole, whole)
    if kind == "1.234,50":
        whole = str(rng.integers(1000, 10_000))
        return f"{whole[0]}.{whole[1:]},{cents}", f"{whole}.{cents}"
    sign = "-" if kind.startswith("-") else ""
    return f"{sign}{whole}{'.' if kind == '12.50' else ','}{cents}", f"{sign}{whole}.{cents}"


def page_of(kinds: Sequence[str]) -> PageSpec:
    """A page of fields for these kinds of amounts."""
    fields = tuple(
        FieldSpec(name=f"f{k:02}", box=(80 + 280 * (k % 4), 260 + 98 * (k // 4), 240, 66), digits=(1, 7), **KINDS[kind])
        for k, kind in enumerate(kinds)
    )
    marks = tuple(Mark(x=x, y=y, size=34) for x in (60, 1180) for y in (60, 1694))
    lines = ((90, 200, 1150, 200), (90, 1660, 700, 1660))
    return PageSpec(size=(1240, 1754), marks=marks, lines=lines, fields=fields)


def written(
    page: PageSpec, kinds: Sequence[str], glyphs: Glyphs, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], dict[str, str]]:
    """A scan of the page with an amount in each field, and their values by the field's name."""
    sheet = draw_blank(page, Layout((Text(620, 140, "Amounts", 40, True, "mm"),))).astype(np.float32)
    hand, values = draw_hand(rng, 34), {}
    for spec, kind in zip(page.fields, kinds, strict=True):
        text, values[spec.name] = text_of(kind, rng)
        ink = write_amount(text, glyphs, rng, hand)
        scale = min(1.0, 220 / ink.shape[1], 60 / ink.shape[0])
        ink = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y, w, h = spec.box
        lay_ink(sheet, ink, round(x + (w - ink.shape[1]) / 2), round(y + (h - ink.shape[0]) / 2), hand.ink, rng)
    return scan(np.clip(np.rint(sheet), 0, 255).astype(np.uint8), rng), values


def counted(item: FieldReading, value: str) -> Counter[str]:
    """One field, by what is true of its reading."""
    right = item.value == value and bool(item.value)
    return Counter(
        n=1,
        right=right,
        listed=value in [c.written.strip("_X") for c in item.candidates[:3]],
        sure=item.confidence > SURE,
        high=item.confidence > HIGH,
        wrong=not right and item.confidence > SURE,
        wrong_high=not right and item.confidence > HIGH,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--show", type=Path)
    args = parser.parse_args()
    glyphs = mnist_test_glyphs(Path(os.environ.get("INKSHIFT_DATA", "../shared/data"), "mnist"))
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(args.pages):
        rng = np.random.default_rng([seed, 3])
        kinds = [list(KINDS)[k] for k in rng.integers(0, len(KINDS), ROWS * COLUMNS)]
        page = page_of(kinds)
        picture, values = written(page, kinds, glyphs, rng)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "amounts.json")
            file.write_text(Template(name="amounts", pages=(page,)).model_dump_json())
            reading = Reader(file, crops=True).read_page(picture)
        if reading.error:
            print(reading.error)
        for item, kind in zip(reading.fields, kinds, strict=False):
            found = counted(item, values[item.name])
            counts[kind] += found
            if found["wrong_high"] and args.show and item.crop is not None:
                args.show.mkdir(parents=True, exist_ok=True)
                name = f"{seed}-{item.name}-{values[item.name]}-{item.written}-{item.confidence:.2f}.png"
                cv2.imwrite(str(args.show / name), item.crop)
    print("written                n  right  listed  above 0.9  wrong above 0.9  above 0.8  wrong above 0.8")
    for kind in KINDS:
        c = counts[kind]
        shares = [c[name] / max(c["n"], 1) for name in ("right", "listed", "sure")]
        print(
            f"{kind:18} {c['n']:5} {shares[0]:6.3f} {shares[1]:7.3f} {shares[2]:10.2f} {c['wrong']:16} "
            f"{c['high'] / max(c['n'], 1):10.2f} {c['wrong_high']:16}"
        )


if __name__ == "__main__":
    main()
