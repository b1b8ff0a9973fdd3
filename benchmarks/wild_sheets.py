"""Sheets of the pages that `wild.py` made and read, to look at: all of each kind, and what went wrong.

Green is where a field truly is, gray where it is not whole, red where it was read.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inkshift.forms.reading import FormReading
from wild_forms import Picture
from wild_pages import Made, Task

_THUMB = 420, 480
_CROP = 280, 110
_PER_SHEET, _COLUMNS = 24, 6


def keep(folder: Path, task: Task, made: Made, read: Sequence[FormReading], failures: Sequence[str], word: str) -> None:
    """Leave a thumbnail of the page, and crops of its first wrong fields, for `bind`."""
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    picture = made.picture if made.picture.ndim == 3 else np.repeat(made.picture[..., None], 3, 2)
    kind = f"ink, {task.style}" if task.kind == "ink" else task.kind
    name = f"{kind}~{'-'.join(map(str, task.seed))}".replace(" ", "_")
    shown = picture.copy()
    thick = max(2, picture.shape[1] // 500)
    for truth in made.truths:
        for quad, whole in zip(truth.quads, truth.whole, strict=True):
            corners = np.rint(quad[[0, 1, 3, 2]]).astype(np.int32)
            cv2.polylines(shown, [corners], True, (0, 170, 0) if whole else (150, 150, 150), thick)
    boxes = {item.name: item.box for reading in read for item in reading.fields if item.box}
    for x0, y0, x1, y1 in boxes.values():
        cv2.rectangle(shown, (round(x0), round(y0)), (round(x1), round(y1)), (220, 0, 0), thick)
    ink = f", {task.ink}" if task.kind == "ink" else ""
    _write(parts / f"{name}.png", _label(shown, _THUMB, [f"{task.form}{ink}, {task.road}", word]))
    for n, failure in enumerate(failures[:3]):
        field = failure.partition(":")[0]
        if field in boxes:
            x0, y0, x1, y1 = (round(v) for v in boxes[field])
            crop = picture[max(0, y0 - 12) : y1 + 12, max(0, x0 - 12) : x1 + 12]
            if crop.size:
                _write(parts / f"wrong~{name}-{n}.png", _label(crop, _CROP, [f"{task.form}, {kind}{ink}", failure]))


def bind(folder: Path) -> None:
    """Put the thumbnails of each kind together on sheets, `sheets/KIND-N.png`, at most 24 on each; the parts go."""
    parts, sheets = folder / "parts", folder / "sheets"
    shutil.rmtree(sheets, ignore_errors=True)
    sheets.mkdir(parents=True)
    kinds: dict[str, list[Path]] = {}
    for path in sorted(parts.glob("*.png")):
        kinds.setdefault(path.name.partition("~")[0], []).append(path)
    for kind, paths in kinds.items():
        most = 4 * _PER_SHEET if kind == "wrong" else _PER_SHEET
        for page, start in enumerate(range(0, len(paths), most), 1):
            tiles = [cv2.imread(str(path))[..., ::-1] for path in paths[start : start + most]]
            tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
            rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
            _write(sheets / f"{kind}-{page}.png", np.vstack(rows))
    shutil.rmtree(parts, ignore_errors=True)


def _label(picture: Picture, size: tuple[int, int], lines: Sequence[str]) -> Picture:
    """The picture within `size`, two lines of text above it."""
    w, h = size
    scale = min(w / picture.shape[1], (h - 34) / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((h, w, 3), 255, np.uint8)
    tile[34 : 34 + small.shape[0], : small.shape[1]] = small[: h - 34, :w]
    for n, line in enumerate(lines):
        cv2.putText(tile, line[: w // 6], (2, 13 + 15 * n), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 150), 1, cv2.LINE_AA)
    return tile


def _write(path: Path, picture: Picture) -> None:
    cv2.imwrite(str(path), picture[..., ::-1])
