"""Files of every kind that inkshift takes, spoiled, each given to the commands that take it: none may bring it down.

    python tests/fuzz.py --count 10000 --seed 7

Inputs run one after the other in a process forked from this one, which is replaced where an input ends it. What counts
as a fault: a traceback, more than SECONDS of the processor or MEGABYTES of memory, a death by a signal, an exit status
other than 0, 1 or 2, and an error without a word. The same seed spoils the same files in the same way; a faulty one is
kept in --keep with its command.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import inspect
import io
import json
import math
import os
import pkgutil
import random
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

SECONDS, MEGABYTES = 30, 2000
# What one process may take before it is ended: far more than it should, so that a fault is seen, not only stopped.
_CEILING = 6 << 30
ROOT = Path(__file__).parents[1]
TELEGRAM = ROOT / "examples" / "telegram"

Spoil = Callable[[bytes, random.Random], bytes]


class Target(NamedTuple):
    """A file of the folder that `build` makes, ways to spoil it, and the commands that then run on it."""

    file: str
    spoil: tuple[Spoil, ...]
    commands: tuple[str, ...]
    group: str


class Tried(NamedTuple):
    """An input, which can be made again from its seed: what took it, in how many seconds of the processor, and what went
    wrong (empty where nothing did) with what was said."""

    group: str
    target: str
    command: str
    seed: str
    seconds: float
    fault: str
    said: str


# -- ways to spoil bytes and text --------------------------------------------------------------------------------------


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, a stretch taken out, doubled or moved, or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) + 1)
        if rng.random() < 0.5:  # most formats say what they hold near their start
            at = min(at, rng.randrange(256))
        length = rng.choice((1, 1, 2, 4, 8, 64))
        new = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", rng.randbytes(1))) * length
        match rng.randrange(6):
            case 0 | 1 | 2:
                out[at : at + length] = new
            case 3:
                out[at:at] = new
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = out[at : at + 64]
    if rng.random() < 0.15:
        del out[rng.randrange(len(out) + 1) :]
    return bytes(out)


_BIG = (0, 1, 2, 255, 256, 32_767, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**63, -(2**64), 10**30, 10**400, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "-1", "nan", "inf", "1e999", "x" * 100_000, "9" * 5000,
    "\ud800", "\0", "\x1b[2J", "\n", "../../etc/passwd", "/dev/zero", "/dev/null", ".", "a/" * 3000, "é" * 300, "½", "٣", "²",
    [], {}, [None], [[]], [[[[]]]], {"": 0}, [0] * 1000, [1, 2], [1, 2, 3, 4], ["a", "b"], {"a": {"b": [1]}}, "written",
    "(a+)+$", "(((((((((a{99}){99}){99}){99}", "A = B", "r01..r12 = A", "A + A + A = 9" + "9" * 4400, ":" , "a:b", "7:x", "7:nan",
)  # fmt: skip


class _Raw(str):
    """Text that stands in JSON or TOML as it is."""


_RAW = ("9" * 4301, "1" + "0" * 20_000, "[" * 3000, "[" * 3000 + "]" * 3000, '{"a":' * 2000 + "1" + "}" * 2000, "1e400", "NaN", "-Infinity", "-0", "01", "", "0x", '"\\ud800"', "1.7976931348623157e308")  # fmt: skip
_HOLE = "«hole»"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from _places(part, (*path, key))


def spoil_tree(value: Any, rng: random.Random) -> Any:
    """A value, made of dictionaries and lists, with one to three of its parts replaced, left out, renamed or doubled."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(rng.choice(NASTY))
        path = rng.choice(places)
        inside = value
        for key in path[:-1]:
            inside = inside[key]
        key = path[-1]
        match rng.randrange(10):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(("", "x" * 1000, "\ud800", "name", "kind", key + "s"))] = inside.pop(key)
            case 2 if isinstance(inside, list):
                inside.extend(inside[key : key + 1] * rng.choice((1, 2, 500)))
            case 3:
                other = rng.choice(places)
                moved = value
                for step in other:
                    moved = moved[step] if moved is not None else None
                inside[key] = json.loads(json.dumps(moved))
            case 4:
                inside[key] = [inside[key]]
            case _:
                inside[key] = copy.deepcopy(rng.choice(NASTY))
    return value


def spoil_json(data: bytes, rng: random.Random) -> bytes:
    """JSON with other values in it, some of which only text can say."""
    text = json.dumps(spoil_tree(json.loads(data), rng), indent=rng.choice((None, 2)))
    if rng.random() < 0.2:
        numbers = list(re.finditer(r'-?\b\d[\d.e+-]*|"[^"\\]*"', text))
        if numbers:
            found = rng.choice(numbers)
            text = text[: found.start()] + rng.choice(_RAW) + text[found.end() :]
    return text.encode("utf-8", "surrogatepass")


def spoil_json_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(max(1, len(lines) - 1))
    match rng.randrange(8):
        case 0:
            lines[at:at] = [lines[at]]
        case 1:
            del lines[at]
        case _:
            lines[at] = spoil_json(lines[at], rng).replace(b"\n", b" ")
    return b"\n".join(lines)


def spoil_chain(data: bytes, rng: random.Random) -> bytes:
    """A trail with other values in it, whose lines are chained again, as one who means harm would."""
    out, before = [], "0" * 64
    for line in spoil_json_lines(data, rng).split(b"\n"):
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            record = json.loads(line)
            line = json.dumps({"previous": before, **{k: v for k, v in record.items() if k != "previous"}}).encode()
        before = hashlib.sha256(line).hexdigest()
        out.append(line)
    return b"\n".join(out)


_CELLS = (
    "", " ", "-1", "0", "1", "1.5", "1e999", "nan", "inf", "9" * 5000, "x" * 200_000, "½", "٣", "²³", "\0", "\x1b[2J",
    '"', '""', "'", "=1+1", "a,b", "a;b", "\ud83d", "true", "written", "blank", "7:x", "7:nan:1", ":", ":::", "7:1e999", "?", "X_?",
    "../x", "/dev/zero", "\r", "\u2028", "1" * 30, "007", "é", "/etc/passwd",
)  # fmt: skip


def spoil_table(data: bytes, rng: random.Random) -> bytes:
    """A CSV with other cells, columns or line ends."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.choice(rows)
        at = rng.randrange(len(row) + 1)
        match rng.randrange(8):
            case 0:
                row[at : at + 1] = []
            case 1:
                row.insert(at, rng.choice(_CELLS))
            case 2:
                rows.append(list(row))
            case 3:
                rows[0][at : at + 1] = [rng.choice(("form", "field", "value", "file", "label", "confidence", "", "x"))]
            case _:
                row[at : at + 1] = [rng.choice(_CELLS)]
    text = rng.choice(("\n", "\n", "\r\n", "\r")).join(rng.choice((",", ",", ",", ";")).join(row) for row in rows)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")), "replace")


def spoil_toml(data: bytes, rng: random.Random) -> bytes:
    """TOML with other values, names or lines."""
    lines = data.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                lines[at:at] = [lines[at]]
            case 1:
                del lines[at]
                lines = lines or [""]
            case _:
                values = list(re.finditer(r'"[^"]*"|(?<![\w"])[\d.][\w.e-]*|true|false|\[[^\[\]]*\]', lines[at]))
                if values:
                    found = rng.choice(values)
                    new = rng.choice((*_RAW, "1_000_000_000_000", "-1", "0", "1e308", "nan", "-inf", "[]", "{}", '""', '"x"', '"0"', "true", "1979-05-27", "2147483648", "9223372036854775808", '["mnist"]', '"gray|light_ink|resize(99999)"', '"resize(0)"', '"/dev/zero"', '"' + "y" * 10_000 + '"', "[1, 2, 1e12]", "[50, 9999999999]"))  # fmt: skip
                    lines[at] = lines[at][: found.start()] + new + lines[at][found.end() :]
    return "\n".join(lines).encode()


def spoil_png(data: bytes, rng: random.Random) -> bytes:
    """A PNG whose parts are changed and sealed again, so that what they say is believed."""
    at, parts = 8, []
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append([data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + length])])
        at += 12 + length
    part = rng.choice(parts[:1] * 3 + parts)
    match rng.randrange(6):
        case 0 | 1 | 2 if part[0] == b"IHDR":
            head = part[1]
            if rng.random() < 0.7:
                struct.pack_into(">I", head, rng.choice((0, 4)), rng.choice((*_BIG, 20_000, 30_000, 11_000)))
            else:
                head[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        case 3:
            parts.insert(rng.randrange(len(parts)), [rng.choice((b"iCCP", b"tRNS", b"PLTE", b"zTXt", b"acTL", b"fcTL", b"eXIf", b"gAMA")), bytearray(rng.choice((b"", b"\0" * 40, rng.randbytes(30), b"x\0\0" + zlib.compress(bytes(3_000_000), 9))))])  # fmt: skip
        case 4:
            parts.insert(rng.randrange(len(parts)), part)
        case _:
            part[1] = bytearray(spoil_bytes(bytes(part[1]), rng))
    out = data[:8]
    for name, body in parts:
        out += len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    return out


def spoil_numbers(data: bytes, rng: random.Random) -> bytes:
    """Some 2- or 4-byte numbers of either order near the start, or of a TIFF's tags, replaced by extreme ones."""
    out = bytearray(data)
    places = range(min(len(out) - 4, 600))
    if data[:4] in (b"II*\0", b"MM\0*"):
        (tags,) = struct.unpack_from("<I" if data[:1] == b"I" else ">I", data, 4)
        places = range(tags, max(tags + 1, min(len(out) - 4, tags + 300)))
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.choice(places)
        kind = rng.choice(["<H", ">H", "<I", ">I"])
        with contextlib.suppress(struct.error):
            struct.pack_into(kind, out, at, rng.choice(_BIG) & (65_535 if kind.endswith("H") else 2**32 - 1))
    return bytes(out)


_PDF_PARTS = (
    b"/Kids [2 0 R]", b"/Kids [2 0 R 2 0 R 2 0 R 3 0 R]", b"/Count 1000000", b"/Count -5", b"/MediaBox [0 0 1e9 1e9]",
    b"/MediaBox [0 0 0 0]", b"/MediaBox [0 0 1 100000]", b"/MediaBox [1e38 1e38 -1e38 3]", b"/UserUnit 1000000", b"/Rotate 37",
    b"/Filter [ /FlateDecode /FlateDecode /ASCIIHexDecode /RunLengthDecode /LZWDecode ]", b"/Length 99999999", b"/Length -1",
    b"/Width 100000 /Height 100000", b"/Width 2000000000", b"/BitsPerComponent 32", b"/DecodeParms << /Columns 1000000000 /Predictor 15 >>",
    b"/Encrypt 3 0 R", b"/SMask 4 0 R", b"/Contents [ 4 0 R 4 0 R 4 0 R 4 0 R ]", b"/ColorSpace [/Indexed /DeviceRGB 9999999 (x)]", b"/Parent 3 0 R",
)  # fmt: skip
_DRAWN = (
    b"q " * 50_000, b"/X Do " * 50, b"1e9 w 0 0 m 1e9 1e9 l S ", b"[0.0001 0.0001] 0 d 0 0 m 99999 0 l S ", b"/P cs /P scn 0 0 9999 9999 re f ",
    b"/S sh ", b"BT /F 1e6 Tf (xxxxxxxxxx) Tj ET ", b"0 0 m " + b"9 9 1 1 5 5 c " * 20_000 + b"f ", b"1e-9 0 0 1e-9 0 0 cm 0 0 1e9 1e9 re f ",
    b"0 0 9 9 re f " * 30_000, b"BI /W 50000 /H 50000 /BPC 8 /CS /G ID x EI ", b"0 0 9 9 re W n " * 5000, b"(" * 5000, b"<<" * 5000, b"[" * 20_000,
)  # fmt: skip
_OBJECTS = (
    b"<< /Type /XObject /Subtype /Form /BBox [0 0 99 99] /Resources << /XObject << /X 10 0 R >> >> /Length 22 >>\nstream\n/X Do /X Do /X Do /X D\nendstream",
    b"<< /Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.001 /YStep 0.001 /Resources << >> /Length 10 >>\nstream\n0 0 1 1 re\nendstream",
    b"<< /ShadingType 1 /ColorSpace /DeviceGray /Domain [0 9000 0 9000] /Function 11 0 R >>",
    b"<< /FunctionType 0 /Domain [0 1 0 1] /Range [0 1] /Size [40000 40000] /BitsPerSample 32 /Length 1 >>\nstream\nx\nendstream",
    b"<< /FunctionType 3 /Domain [0 1] /Functions [11 0 R 11 0 R] /Bounds [0.5] /Encode [0 1 0 1] >>",
)


def spoil_pdf(data: bytes, rng: random.Random) -> bytes:
    """A PDF with entries that lie, page content that takes long, or objects that name themselves."""
    match rng.randrange(5):
        case 0:
            return spoil_bytes(data, rng)
        case 1:
            return re.sub(rb"\d+", lambda m: rng.choice((b"%d" % rng.choice(_BIG), m[0])) if rng.random() < 0.05 else m[0], data)  # fmt: skip
        case 2:
            marks = [m.start() for m in re.finditer(rb"<<", data)]
            at = rng.choice(marks) + 2 if marks else 0
            return data[:at] + b" " + rng.choice(_PDF_PARTS) + b" " + data[at:]
        case _:
            return _drawn_pdf(rng)


def _drawn_pdf(rng: random.Random) -> bytes:
    content = b"".join(rng.choice(_DRAWN) for _ in range(rng.choice((1, 2, 3)))) * rng.choice((1, 1, 20))
    filters = rng.choice((0, 1, 1, 3))
    for _ in range(filters):
        content = zlib.compress(content, 9)
    more = rng.sample(_OBJECTS, 2)
    named = b"/XObject << /X 10 0 R >> /Pattern << /P 10 0 R >> /ColorSpace << /P /Pattern >> /Shading << /S 10 0 R >>"
    page = rng.choice((b"0 0 600 800", b"0 0 600 800", b"0 0 14400 14400", b"0 0 1 30000"))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count %d >>" % rng.choice((1, 1, 1, 0, 300, 10**8)),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents [%s] /Resources << %s >> >>"
        % (page, b"4 0 R " * rng.choice((1, 1, 30)), named),
        b"<< /Filter [%s ] /Length %d >>\nstream\n%s\nendstream" % (b" /FlateDecode" * filters, len(content), content),
    ]
    out = b"%PDF-1.7\n"
    for number, body in [*enumerate(objects, 1), (10, more[0]), (11, more[1])]:
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    return out + b"trailer\n<< /Size 12 /Root 1 0 R >>\n%%EOF\n"


# -- what is spoiled ---------------------------------------------------------------------------------------------------


def build(folder: Path) -> None:
    """One sound file of each kind, and what the commands need beside it."""
    _build_pages(folder)
    _build_tables(folder)
    _build_studies(folder)
    _build_models(folder)


def _build_pages(folder: Path) -> None:
    import cv2
    import numpy as np
    import pillow_heif
    from PIL import Image

    number = np.full((64, 150), 235, np.uint8)
    cv2.putText(number, "4071", (12, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (30,), 3, cv2.LINE_AA)
    form = np.full((500, 400), 250, np.uint8)
    marks = [(30, 30), (370, 30), (30, 470), (370, 470)]
    for x, y in marks:
        cv2.rectangle(form, (x - 9, y - 9), (x + 9, y + 9), 0, -1)
    for top in (100, 250):
        cv2.rectangle(form, (100, top), (300, top + 80), 60, 2)
        form[top + 8 : top + 72, 120:270] = np.minimum(form[top + 8 : top + 72, 120:270], number)
    fields = [{"name": n, "box": [100, y, 200, 80], "digits": [1, 4]} for n, y in (("a", 100), ("b", 250))]
    page = {"size": [400, 500], "marks": [{"x": x, "y": y, "size": 18} for x, y in marks], "fields": fields}
    identity = {"by": "barcode", "pattern": "[A-Z]{2}([0-9]+)"}
    rules = ["a = b", {"rule": "1 <= a <= 9000", "code": "R1", "level": "warning", "slip": 0.1}]
    template = {"name": "small", "version": 1, "pages": [page], "identity": identity, "rules": rules}
    (folder / "small.json").write_text(json.dumps(template, indent=1))
    shutil.copy(TELEGRAM / "template.json", folder / "telegram.json")
    Image.fromarray(form).save(folder / "form.png")

    gray, colour = Image.fromarray(number), Image.fromarray(np.dstack([number, number, number // 2 + 60]))
    exif = Image.Exif()
    exif[0x0112] = 6
    gray.save(folder / "gray.png")
    colour.convert("RGBA").save(folder / "alpha.png")
    colour.quantize(16).save(folder / "palette.png", transparency=3)
    Image.fromarray(number.astype(np.uint16) * 257).save(folder / "deep.png")
    colour.save(folder / "colour.jpg", exif=exif, quality=80)
    gray.save(folder / "progressive.jpg", progressive=True)
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    gray.copy().save(
        folder / "lzw.tif", compression="tiff_lzw", save_all=True, append_images=[colour.copy(), gray.copy()]
    )
    gray.convert("1").save(folder / "fax.tif", compression="group4")
    colour.copy().save(folder / "plain.tif", exif=exif)
    colour.copy().save(folder / "photo.tif", compression="jpeg")
    colour.save(folder / "lossless.webp", lossless=True)
    colour.save(folder / "lossy.webp", exif=exif)
    gray.convert("P").save(folder / "film.gif", save_all=True, append_images=[gray.rotate(3).convert("P")])
    colour.save(folder / "bits.bmp")
    pillow_heif.from_pillow(colour).save(folder / "phone.heic")
    colour.copy().save(folder / "scan.pdf", save_all=True, append_images=[gray.copy()])


def _build_tables(folder: Path) -> None:
    """Readings, labels and trail as inkshift itself writes them, and data sets that stand beside a table."""
    import sqlite3

    import numpy as np
    from PIL import Image

    shutil.copytree(folder, folder / "many", ignore=lambda _, names: [n for n in names if n != "gray.png"])
    for number in range(12):
        shutil.copy(folder / "gray.png", folder / "many" / f"n{number}.png")
    run("read form.png gray.png --template small.json --out form.csv --trail form.trail", folder)
    run("read many --as number --workers 1 --out readings.csv", folder)
    run("read many --as number --workers 1 --out readings.jsonl", folder)
    run("read many --as number --workers 1 --out other.jsonl", folder)
    names = ["gray", *(f"n{number}" for number in range(12))]
    labels = "form,field,value,written\n" + "".join(f"{n},,{4071 + (n == 'n3')},\n" for n in names)
    (folder / "labels.csv").write_text(labels)
    (folder / "expected.csv").write_text("form\n" + "\n".join(names) + "\n")
    (folder / "exclude.csv").write_text("form,field,reason\nn3,,smudge\n")
    with contextlib.closing(sqlite3.connect(folder / "labels.sqlite")) as base, base:
        base.execute("create table votes (form text, field text, value integer)")
        base.executemany("insert into votes values (?, '', 4071)", [(name,) for name in names])
    part = {"forms": 100, "fields": 200, "accepted": 150, "wrong": 0}
    file = {"name": "x.csv", "sha256": "0" * 64}
    from inkshift.forms.out.export import read_rows

    rows = read_rows(folder / "readings.csv")
    looks = {"forms": 13, "larger": 0, "confidence": [0.5, 0.9]}
    policy = {"version": 2, "most": 5, "reader": rows[0]["reader"], "usual": looks} | {
        "threshold": 0.9,
        "score": [[0, 0], [0.5, 0.4], [1, 1]],
        "error": 0.01,
        "confidence": 0.95,
    }
    policy |= {"unit": "form", "readings": file, "labels": file, "seed": 0, "for_score": part, "for_threshold": part}
    (folder / "policy.json").write_text(json.dumps(policy))
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (20, 28, 28), np.uint8)
    classes = np.array([str(i % 10) for i in range(20)])
    np.savez(folder / "set.npz", images=images, labels=classes)
    flat = {"pixels": images.ravel(), "shapes": np.full((20, 2), 28), "offsets": np.arange(21) * 784}
    np.savez_compressed(folder / "ragged.npz", labels=classes, **flat)
    (folder / "set.csv").write_text("file,label\n" + "".join(f"digit-{i % 10}.png,{i % 10}\n" for i in range(20)))
    for digit in range(10):
        Image.fromarray(images[digit]).save(folder / f"digit-{digit}.png")


def _build_studies(folder: Path) -> None:
    small = (
        (ROOT / "studies" / "kooverjee-2020-small.toml").read_text(encoding="utf-8").partition('[[set]]\nname = "1b')[0]
    )
    (folder / "characters.toml").write_text(small.replace("resnet18", "mnist-convnet").replace("auto", "float32"))
    numbers = (ROOT / "studies" / "orand-budget.toml").read_text(encoding="utf-8")
    (folder / "numbers.toml").write_text(numbers)
    sys.path.insert(0, str(ROOT / "tests"))
    from test_study_report import Folder

    made = Folder(folder / "runs" / "kooverjee-2020-small")
    made.add("1", tuple("0123456789"), ("control", "frozen", "as-is"), 2)
    made.index()
    index = made.path / "index.json"
    index.write_text(index.read_text().replace('"name": "small"', '"name": "kooverjee-2020-small"'))


def _build_models(folder: Path) -> None:
    from inkshift.models import package

    shutil.copytree(package.shipped()["mnist-as-published"], folder / "package")
    shutil.copy(folder / "package" / package.GRAPH, folder / "model.onnx")
    shutil.copy(folder / "package" / package.WEIGHTS, folder / "weights.safetensors")


_READ = ("read {} --as number", "read {} --template small.json")
_IMPORT = (
    "model import model.onnx --out packed --classes 0-9 --reframing 'gray|light_ink|resize(28)' --licence MIT --test {}"
)
_EVALUATE = ("evaluate {} labels.csv", "evaluate readings.csv labels.csv --beside {}", "audit {} labels.csv --out a.csv", "calibrate {} labels.csv --out p.json", "calibrate {} --sample 5 --out k.csv", "evaluate {} labels.csv --json")  # fmt: skip
_LABELS = ("evaluate readings.csv {}", "audit readings.csv {}", "calibrate readings.csv {}", "dataset build many --labels {} --as number --out made")  # fmt: skip
_TEMPLATE = ("template check {}", "template check {}", "read form.png --template {}", "template try {} form.png --out o.png", "read {} --as number")  # fmt: skip
_STUDY = ("study run {} --dry-run", "study status {}")
_FOLDER = ("study report characters.toml", "study status characters.toml", "study run characters.toml --dry-run")
_PACKAGE = ("read digit-3.png --as digit --model package", "model show package", "template try small.json form.png --out o.png --model package")  # fmt: skip
_RUN = "runs/kooverjee-2020-small/"

TARGETS = (
    *(Target(name, (spoil_png, spoil_png, spoil_bytes), (*_READ, "template new {} form.png --out new.json"), "pictures") for name in ("gray.png", "alpha.png", "palette.png", "deep.png", "form.png")),
    *(Target(name, (spoil_bytes, spoil_numbers), _READ, "pictures") for name in ("colour.jpg", "progressive.jpg", "cmyk.jpg", "lossless.webp", "lossy.webp", "film.gif", "bits.bmp", "phone.heic")),
    *(Target(name, (spoil_bytes, spoil_numbers, spoil_numbers), _READ, "pictures") for name in ("lzw.tif", "fax.tif", "plain.tif", "photo.tif")),
    Target("digit-3.png", (spoil_png, spoil_bytes), (_IMPORT.format("set.csv"), "shift {} --as digit --workers 1"), "data"),
    Target("scan.pdf", (spoil_pdf,), (*_READ, "template new {} --out new.json"), "pdf"),
    Target("small.json", (spoil_json, spoil_json, spoil_bytes), _TEMPLATE, "text"),
    Target("telegram.json", (spoil_json,), _TEMPLATE[:1], "text"),
    Target("readings.csv", (spoil_table, spoil_table, spoil_bytes), _EVALUATE, "text"),
    Target("readings.jsonl", (spoil_json_lines, spoil_json_lines, spoil_bytes), _EVALUATE, "text"),
    Target("labels.csv", (spoil_table, spoil_table, spoil_bytes), _LABELS, "text"),
    Target("labels.sqlite", (spoil_bytes,), ("evaluate readings.csv sqlite:///{} --query 'select * from votes'",), "text"),
    Target("expected.csv", (spoil_table, spoil_bytes), ("read gray.png --as number --expected {}",), "text"),
    Target("exclude.csv", (spoil_table,), ("dataset build many --labels labels.csv --as number --out made --exclude {}",), "text"),
    Target("policy.json", (spoil_json, spoil_json, spoil_bytes), ("read gray.png --as number --policy {}",), "text"),
    Target("form.trail", (spoil_chain, spoil_chain, spoil_json_lines, spoil_bytes), ("verify {}", "verify {} --quick --json", "read gray.png --as number --trail {}"), "text"),
    Target("characters.toml", (spoil_toml, spoil_toml, spoil_bytes), _STUDY, "text"),
    Target("numbers.toml", (spoil_toml, spoil_toml, spoil_bytes), _STUDY, "text"),
    Target(_RUN + "index.json", (spoil_json, spoil_bytes), _FOLDER, "study"),
    *(Target(f"{_RUN}runs/s1-control-1/{name}", spoil, _FOLDER[:2], "study") for name, spoil in (("epochs.csv", (spoil_table, spoil_bytes)), ("done.json", (spoil_json, spoil_bytes)), ("config.json", (spoil_json,)), ("confusion.npz", (spoil_bytes,)))),
    Target("package/package.json", (spoil_json, spoil_json, spoil_bytes), _PACKAGE, "model"),
    Target("model.onnx", (spoil_bytes,), ("model import {} --out packed --classes 0-9 --reframing 'gray|light_ink|resize(28)' --licence MIT",), "model"),
    Target("set.npz", (spoil_bytes,), (_IMPORT,), "data"),
    Target("ragged.npz", (spoil_bytes,), (_IMPORT,), "data"),
    Target("set.csv", (spoil_table, spoil_bytes), (_IMPORT,), "data"),
)  # fmt: skip
# How many of a hundred inputs are of each group: most where one costs little.
SHARES = {"text": 84, "model": 6, "data": 4, "pictures": 4, "study": 1, "pdf": 1}


# -- running -----------------------------------------------------------------------------------------------------------


class Ended(NamedTuple):
    """status: exit status, negative for a signal. seconds: of the processor. megabytes: at most."""

    status: int
    seconds: float
    megabytes: float
    said: str

    @property
    def fault(self) -> str:
        """What is wrong with how it ended; empty where nothing is."""
        if "Traceback (most recent call last)" in self.said:
            return "traceback"
        if self.seconds > SECONDS:
            return f"{self.seconds:.0f} s"
        if self.megabytes > MEGABYTES:
            return f"{self.megabytes:.0f} MB"
        if self.status not in (0, 1, 2):
            return f"status {self.status}"
        return "no word" if self.status and not self.said.strip() else ""


def run(command: str, folder: Path) -> Ended:
    """`inkshift COMMAND` in `folder`, in a process forked from this one, which has imported everything."""
    with Worker() as worker:
        return worker.run(command, folder)


class Worker:
    """A process forked from this one that runs one command after the other; a new one takes its place where it dies."""

    def __init__(self) -> None:
        self._pid = 0
        self._link: socket.socket | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, command: str, folder: Path) -> Ended:
        """`inkshift COMMAND` in `folder`: how it ended, and what it said."""
        if self._link is None:
            self._start()
        assert self._link is not None
        said = folder / ".said"
        self._link.settimeout(8 * SECONDS)
        answer = b""
        with contextlib.suppress(OSError):
            self._link.sendall(json.dumps([command, str(folder), str(said)]).encode() + b"\n")
            answer = self._link.recv(1000)
        if answer:
            status, seconds, megabytes = json.loads(answer)
        else:
            status, seconds, megabytes = self._end()
        text = said.read_bytes()[-20_000:].decode(errors="replace") if said.exists() else ""
        said.unlink(missing_ok=True)
        return Ended(status, seconds, megabytes, text)

    def _start(self) -> None:
        self._link, far = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._link.close()
            try:
                _work(far)
            except BaseException:
                traceback.print_exc()
            os._exit(99)
        far.close()

    def _end(self) -> tuple[int, float, float]:
        """End the process and its own, if there is one: its status, and what it took."""
        if self._link is None:
            return 0, 0.0, 0.0
        self._link.close()
        self._link = None
        end = time.monotonic() + 1
        done = 0
        while not done and time.monotonic() < end:  # one that has died by itself has a status of its own
            done, status, used = os.wait4(self._pid, os.WNOHANG)
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if not done:
            _, status, used = os.wait4(self._pid, 0)
        return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _work(link: socket.socket) -> None:
    """The life of a worker: status, seconds and megabytes for each command."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_CEILING, _CEILING))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    caches = list(_caches())
    with link.makefile("rb") as asked:
        for line in asked:
            command, folder, said = json.loads(line)
            to = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(to, stream)
            os.close(to)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", write_through=True)
            sys.stderr = io.TextIOWrapper(
                io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True
            )
            os.chdir(folder)
            tempfile.tempdir = folder
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
            before = _seconds()
            signal.setitimer(signal.ITIMER_PROF, SECONDS + 5)  # of the processor; ends this process
            status = _be_inkshift(shlex.split(command))
            signal.setitimer(signal.ITIMER_PROF, 0)
            found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
            megabytes = int(found[1]) / 1024 if found else 0.0
            for cache in caches:
                cache.cache_clear()
            link.sendall(json.dumps([status, _seconds() - before, megabytes]).encode())


def _seconds() -> float:
    """Of the processor, by this process and by those it waited for."""
    return sum(os.times()[:4])


def _caches() -> Iterator[Any]:
    """What inkshift remembers of files by their names, which are the same for each input."""
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("inkshift") else ():
            if hasattr(value, "cache_clear") and inspect.signature(value.__wrapped__).parameters:
                yield value


def _be_inkshift(arguments: list[str]) -> int:
    """The exit status of a command; 99 where it raised what it should not."""
    from inkshift.cli import main

    try:
        main(arguments)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
    return 99


def import_all() -> None:
    """Everything that commands import when they run, so that a forked process need not."""
    import cv2
    import pytest  # noqa: F401
    import typer.main

    import inkshift
    from inkshift.cli.app import whole_app

    cv2.setNumThreads(1)
    whole_app()
    typer.main.get_command = lru_cache(typer.main.get_command)  # half of the time of a small command
    for module in pkgutil.walk_packages(inkshift.__path__, "inkshift."):
        with contextlib.suppress(ImportError):
            __import__(module.name)


def fuzz(
    count: int, seed: int, groups: Iterable[str] = SHARES, keep: Path | None = None, minutes: float = math.inf
) -> Iterator[Tried]:
    """Spoil and run `count` inputs of these groups, each as often as its share says, or as many as the minutes allow; a
    faulty one is kept in `keep`."""
    end = time.monotonic() + 60 * minutes
    import_all()
    os.environ |= {"INKSHIFT_DATA": "data", "COLUMNS": "100"}
    targets = {group: [target for target in TARGETS if target.group == group] for group in groups}
    shares = [SHARES[group] for group in targets]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch, Worker() as worker:
        sound, work = Path(scratch, "sound"), Path(scratch, "work")
        sound.mkdir()
        build(sound)
        for number in range(count):
            if time.monotonic() > end:
                break
            name = f"{seed}/{number}"
            rng = random.Random(name)
            (group,) = rng.choices(list(targets), shares)
            target = rng.choice(targets[group])
            shutil.copytree(sound, work, copy_function=_copy)
            file = work / target.file
            spoiled = rng.choice(target.spoil)(file.read_bytes(), rng)
            file.unlink()
            file.write_bytes(spoiled)
            command = rng.choice(target.commands).format(target.file)
            ended = worker.run(command, work)
            tried = Tried(group, target.file, command, name, ended.seconds, ended.fault, ended.said[-1500:])
            if keep is not None and tried.fault:
                place = keep / name.replace("/", "-")
                place.mkdir(parents=True, exist_ok=True)
                (place / file.name).write_bytes(spoiled)
                (place / "command").write_text(f"{command}\n{ended.fault}\n{ended.said}")
            yield tried
            shutil.rmtree(work)


def _copy(file: str, to: str) -> None:
    """A second name, as commands change no file in its place, but trails and databases, which are added to."""
    if ".trail" in file or file.endswith(".sqlite"):
        shutil.copy(file, to)
    else:
        os.link(file, to)


def told(inputs: Iterable[Tried]) -> Iterator[Tried]:
    """The same, each fault printed on standard error as it comes."""
    for tried in inputs:
        if tried.fault:
            last = [line for line in tried.said.strip().splitlines() if line.strip()][-1:] or [""]
            print(f"{tried.seed} {tried.target}: {tried.command}: {tried.fault}: {last[0][:300]}", file=sys.stderr)
        yield tried


def counted(inputs: Iterable[Tried]) -> Iterator[str]:
    """A table of how many inputs of each group there were, their faults, and the seconds that they took."""
    groups: dict[str, list[Tried]] = {}
    for tried in inputs:
        groups.setdefault(tried.group, []).append(tried)
    everything = [tried for group in groups.values() for tried in group]
    yield "| kind | files | faults | seconds of the processor, most for one |"
    yield "|---|---|---|---|"
    for name, group in (*groups.items(), ("all", everything)):
        seconds, faults = [tried.seconds for tried in group], sum(bool(tried.fault) for tried in group)
        yield f"| {name} | {len(group):,} | **{faults}** | {sum(seconds):.0f}, {max(seconds, default=0):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=SHARES, action="append")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--minutes", type=float, default=math.inf)
    given = parser.parse_args()
    inputs = list(told(fuzz(given.count, given.seed, given.only or SHARES, given.keep, given.minutes)))
    print(*counted(inputs), sep="\n")
    sys.exit(any(tried.fault for tried in inputs))


if __name__ == "__main__":
    main()
