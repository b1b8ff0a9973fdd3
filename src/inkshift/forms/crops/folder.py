"""The folder of a harvest: tables, contact sheets, a manifest with checksums; also of composed numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from inkshift.datasets.synth import paper, strings
from inkshift.errors import SettingError
from inkshift.files import MOST_TABLE, as_csv, file_digest, parse_json, read_text, whole_folder
from inkshift.forms.reading import DIGITS

MANIFEST = "manifest.json"
KIND = "inkshift data set from forms"


@dataclass(frozen=True, slots=True)
class CropRow:
    """One picture. file: relative to its table; position: a digit's place in its field, from 1."""

    file: str
    form: str
    field: str
    position: str
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class Omission:
    """What was left out, and why. field: empty for a whole form; position: empty for a whole field."""

    form: str
    field: str
    position: str
    reason: str
    detail: str


@dataclass(slots=True)
class Harvest:
    """What came of the pages. unused: labels and exclusions (form, field) that no page had."""

    pages: int = 0
    forms: int = 0
    numbers: list[CropRow] = field(default_factory=list)
    digits: list[CropRow] = field(default_factory=list)
    left_out: list[Omission] = field(default_factory=list)
    unused_labels: list[tuple[str, str]] = field(default_factory=list)
    unused_exclusions: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """Pages, forms, pictures by split, digits by class and split, and what was left out by reason."""
        by_class = Counter((row.label, row.split) for row in self.digits)
        return {
            "pages": self.pages,
            "forms": self.forms,
            "numbers": dict(sorted(Counter(row.split for row in self.numbers).items())),
            "digits": dict(sorted(Counter(row.split for row in self.digits).items())),
            "classes": {d: {s: by_class[d, s] for s in ("train", "test")} for d in DIGITS},
            "left_out": dict(sorted(Counter(item.reason for item in self.left_out).items())),
            "unused_labels": len(self.unused_labels),
            "unused_exclusions": len(self.unused_exclusions),
        }


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on success and goes on failure.

    Raises SettingError where `out` is something else than a data set of ours, or cannot be made.
    """
    if out.exists() and not (out.is_dir() and (_is_ours(out) or not any(out.iterdir()))):
        raise SettingError(f"{out}: is there and is no data set of inkshift; choose another folder")
    with whole_folder(out) as part:
        (part / "numbers").mkdir()
        for digit in DIGITS:
            (part / "digits" / digit).mkdir(parents=True)
        yield part


def _is_ours(folder: Path) -> bool:
    try:
        manifest = parse_json(read_text(folder / MANIFEST, MOST_TABLE))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND


def finish(folder: Path, harvest: Harvest, settings: dict[str, Any]) -> None:
    """Write tables, contact sheets and, last, the manifest into a folder that holds the pictures."""
    _write_table(folder / "numbers" / "numbers.csv", harvest.numbers, CropRow, without="position")
    _write_table(folder / "digits" / "digits.csv", harvest.digits, CropRow)
    for part in ("train", "test"):  # the digits as a data set, for studies and `inkshift advise`
        if rows := [row for row in harvest.digits if row.split == part]:
            _write_table(folder / "digits" / f"{part}.csv", rows, CropRow)
    _write_table(folder / "left_out.csv", harvest.left_out, Omission)
    _write_sheets(folder, harvest)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "kind": KIND,
        "format": 1,
        "settings": settings,
        "counts": harvest.counts(),
        "files": {path.relative_to(folder).as_posix(): file_digest(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_table(path: Path, rows: Sequence[Any], kind: type[Any], without: str = "") -> None:
    names = [column.name for column in fields(kind) if column.name != without]
    path.write_bytes(as_csv([names, *([getattr(row, name) for name in names] for row in rows)]))


@dataclass(frozen=True, slots=True)
class _Grid:
    """`columns` x `rows` tiles to a sheet: a picture within `size` px (width, height), a caption below."""

    size: tuple[int, int]
    columns: int
    rows: int


_DIGITS = _Grid((84, 84), 20, 12)
_NUMBERS = _Grid((220, 84), 8, 12)
_CAPTION = 14


def _write_sheets(folder: Path, harvest: Harvest) -> None:
    """Contact sheets: all numbers with their labels; all digits, class by class."""
    sheets = folder / "sheets"
    sheets.mkdir()
    numbers = [(folder / "numbers" / row.file, f"{row.label}   {row.form} {row.field}") for row in harvest.numbers]
    number_sheets(sheets, numbers)
    for digit in DIGITS:
        tiles = [
            (folder / "digits" / row.file, f"{row.form} {row.field} {row.position}")
            for row in harvest.digits
            if row.label == digit
        ]
        _sheets(tiles, _DIGITS, lambda n, digit=digit: sheets / f"digit-{digit}-{n}.png")  # type: ignore[misc]


def number_sheets(folder: Path, tiles: Sequence[tuple[Path, str]]) -> None:
    """Contact sheets numbers-1.png, numbers-2.png ... of pictures of numbers and what stands below each."""
    _sheets(tiles, _NUMBERS, lambda n: folder / f"numbers-{n}.png")


def _sheets(tiles: Sequence[tuple[Path, str]], grid: _Grid, name: Callable[[int], Path]) -> None:
    each = grid.columns * grid.rows
    for number, start in enumerate(range(0, len(tiles), each), 1):
        _sheet(tiles[start : start + each], grid).save(name(number))


def _sheet(tiles: Sequence[tuple[Path, str]], grid: _Grid) -> Pillow.Image:
    """One sheet, as high as its tiles need."""
    width, height = grid.size[0] + 8, grid.size[1] + _CAPTION + 6
    lines = -(-len(tiles) // grid.columns)
    sheet = Pillow.new("RGB", (width * grid.columns, height * lines), "#e8ebee")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for i, (path, caption) in enumerate(tiles):
        x, y = i % grid.columns * width + 4, i // grid.columns * height + 2
        with Pillow.open(path) as opened:
            picture = opened.convert("RGB")
        scale = min(grid.size[0] / picture.width, grid.size[1] / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        sheet.paste(picture.resize(size, Pillow.Resampling.BILINEAR), (x, y))
        draw.text((x, y + grid.size[1] + 1), _short(caption, font, grid.size[0]), fill="#1f2933", font=font)
    return sheet


def _short(text: str, font: Any, width: int) -> str:
    """The text, its beginning cut off where it would not fit."""
    if font.getlength(text) <= width:
        return text
    fits = np.flatnonzero([font.getlength("…" + text[i:]) <= width for i in range(len(text) + 1)])
    return "…" + text[int(fits[0]) :] if len(fits) else ""


def write_composed(
    folder: Path, glyphs: strings.Glyphs, count: int, seed: int, progress: Callable[[int, int], object]
) -> None:
    """`count` numbers as numbers/00001.png ..., labels.csv with the columns file and value, and sheets/.

    The same seed and glyphs give the same folder. Raises SettingError where `folder` is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingError(f"{folder}: is there and not empty; choose another folder")
    for part in ("numbers", "sheets"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rng, papers = np.random.default_rng(seed), paper.make_papers(seed)
    tiles = []
    for i in range(1, count + 1):
        picture, label = strings.compose_digits(glyphs, papers, rng)
        path = folder / "numbers" / f"{i:05d}.png"
        Pillow.fromarray(picture).save(path)
        tiles.append((path, label))
        progress(i, count)
    (folder / "labels.csv").write_bytes(as_csv([("file", "value"), *((path.name, label) for path, label in tiles)]))
    number_sheets(folder / "sheets", tiles)
