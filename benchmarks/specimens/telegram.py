"""The bundled example: a telegram of our own design, in the spirit of the Argentine one of the paper."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from inkshift.arrays import Pixels
from inkshift.files import write_whole
from inkshift.forms.template import Box, FieldSpec, Identity, Mark, PageSpec, Template
from specimens.pen import Glyphs
from specimens.scanner import Wear
from specimens.specimen import Layout, Specimen, Text, Values, draw_blank, specimen_pages

PARTIES = (
    ("12", "Frente del Litoral"),
    ("27", "Unión Vecinal Ribereña"),
    ("34", "Partido del Algarrobo"),
    ("58", "Acción Isleña"),
    ("71", "Alianza Costa Nueva"),
    ("103", "Movimiento Sauce Viejo"),
    ("119", "Encuentro de los Esteros"),
    ("145", "Partido Ferroviario Popular"),
    ("206", "Juntos por el Puerto"),
    ("311", "Nuevo Horizonte Rural"),
)
WEARS = (
    Wear(),
    Wear(coffee=True),
    Wear(fold=True),
    Wear(upside_down=True),
    Wear(faint_pen=True),
    Wear(coffee=True, fold=True),
)

BLANK = "blank.png"

_LEFT, _RIGHT, _BOX, _ROW = 90, 1150, 150, 66
_TABLE, _OTHERS, _TOTAL = 430, 1112, 1264
_FIRST = [f"p{i:02d}" for i in range(1, len(PARTIES) + 1)]
_TOPS = dict(zip(_FIRST, range(_TABLE, _OTHERS, _ROW), strict=False)) | {
    "blank": _OTHERS,
    "null": _OTHERS + _ROW,
    "total": _TOTAL,
}


def telegram_template() -> Template:
    """One page of 13 single boxes, four corner squares, a barcode and one sum."""
    fields = tuple(
        FieldSpec(
            name=name,
            box=(_RIGHT - _BOX, top, _BOX, _ROW),
            cells=0,
            digits=(1, 4 if name == "total" else 3),
            max=None if name == "total" else 303,
            frame=True,
        )
        for name, top in _TOPS.items()
    )
    marks = tuple(Mark(x=x, y=y, size=36) for y in (70, 1684) for x in (70, 1170))
    return Template(
        name="telegram",
        version=1,
        pages=(PageSpec(size=(1240, 1754), reference=BLANK, marks=marks, fields=fields),),
        identity=Identity(by="barcode", pattern=r"^(T-\d{4})$"),
        rules=(f"{' + '.join(name for name in _TOPS if name != 'total')} = total",),
    )


def telegram_layout() -> Layout:
    """The telegram's printed texts, rules and bars."""
    others = {"blank": "VOTOS EN BLANCO", "null": "VOTOS NULOS", "total": "TOTAL"}
    party_texts = [
        Text(x, top + _ROW / 2, text, size, bold, anchor)
        for (number, name), top in zip(PARTIES, _TOPS.values(), strict=False)
        for x, text, size, bold, anchor in (
            (160, f"Lista {number}", 22, True, "mm"),
            (250, name, 24, False, "lm"),
        )
    ]
    other_texts = [Text(250, _TOPS[name] + _ROW / 2, text, 24, True) for name, text in others.items()]
    return Layout(
        texts=(*_HEADINGS, *party_texts, *other_texts),
        lines=tuple(_rules()),
        shades=((_LEFT, _TABLE - 46, _RIGHT - _LEFT, 46), (_LEFT, _TOTAL, _RIGHT - _LEFT - _BOX, _ROW)),
        barcode=(800, 184),
        signatures=tuple((x + 25, 1522, 240) for x in (110, 470, 830)),
    )


_HEADINGS = (
    Text(620, 80, "TELEGRAMA DE ESCRUTINIO", 42, True, "mm"),
    Text(620, 122, "Elección de Concejo Municipal  ·  Ciudad de Puerto Sauce", 20, False, "mm"),
    Text(620, 148, "FORMULARIO DE EJEMPLO, SIN VALIDEZ", 14, False, "mm"),
    Text(110, 206, "MESA", 22),
    Text(110, 258, "{form}", 50, True),
    Text(110, 312, "Escuela N° 52 «Los Aromos»", 19),
    Text(420, 206, "Distrito", 16),
    Text(420, 232, "Costa Norte", 24, True),
    Text(420, 276, "Circuito", 16),
    Text(420, 302, "7 - Bajada Grande", 24, True),
    Text(965, 296, "{form}", 20, False, "mm"),
    Text(965, 324, "NO DOBLAR NI MANCHAR", 14, False, "mm"),
    Text(160, _TABLE - 23, "LISTA", 18, True, "mm"),
    Text(250, _TABLE - 23, "AGRUPACIÓN POLÍTICA", 18, True),
    Text(_RIGHT - _BOX / 2, _TABLE - 23, "VOTOS", 18, True, "mm"),
    Text(_LEFT, 1362, "Escriba un solo número por casilla, en cifras, con tinta negra y sin ceros a la", 17),
    Text(_LEFT, 1386, "izquierda. La casilla TOTAL es la suma de todas las anteriores.", 17),
    Text(260, 1556, "Presidente de mesa", 17, False, "mm"),
    Text(620, 1556, "Vocal", 17, False, "mm"),
    Text(980, 1556, "Fiscal", 17, False, "mm"),
    Text(620, 1684, "Formulario F-10  ·  original para el Correo  ·  página 1 de 1", 15, False, "mm"),
)


def _rules() -> list[Box]:
    """The rules of the table left of its boxes, of the heading, and to sign on."""
    edge = _RIGHT - _BOX
    blocks = ((_TABLE, len(PARTIES)), (_OTHERS, 2), (_TOTAL, 1))
    lines: list[Box] = []
    for top, count in blocks:
        bottom = top + count * _ROW
        lines += [(_LEFT, top + i * _ROW, edge, top + i * _ROW) for i in range(count + 1)]
        lines += [(_LEFT, top, _LEFT, bottom)]
    head = _TABLE - 46
    lines += [(230, head, 230, _TABLE + len(PARTIES) * _ROW), (_LEFT, head, _RIGHT, head)]
    lines += [(x, head, x, _TABLE) for x in (_LEFT, edge, _RIGHT)]
    lines += [(_LEFT, y, _RIGHT, y) for y in (172, 344)]
    lines += [(x, 172, x, 344) for x in (_LEFT, 400, 780, _RIGHT)]
    return lines + [(x, 1536, x + 300, 1536) for x in (110, 470, 830)]


def votes(template: Template, rng: np.random.Generator) -> Values:
    """A polling table of 180 to 340 votes: a few lists share most, few votes are blank, fewer are null."""
    blank, null = rng.uniform(0, 0.08), rng.uniform(0, 0.04)
    counts = np.array([304])
    while counts.max() > 303:
        shares = [*(1 - blank - null) * rng.dirichlet([0.35] * len(PARTIES)), blank, null]
        counts = rng.multinomial(int(rng.integers(180, 341)), shares)
    names = [spec.name for spec in template.fields if spec.name != "total"]
    values = {name: str(count) for name, count in zip(names, counts, strict=True)}
    return values | {"total": str(counts.sum())}


def telegram_pages(glyphs: Glyphs, seed: int = 2023, n: int = len(WEARS)) -> list[Specimen]:
    """`n` filled telegrams, `T-0001` first."""
    template, layouts = telegram_template(), (telegram_layout(),)
    pages = specimen_pages(
        template, glyphs, n, seed, layouts=layouts, wears=WEARS, naming="T-{:04d}", draw_values=votes
    )
    return list(pages)


def write_example(folder: str | Path, glyphs: Glyphs, seed: int = 2023) -> None:
    """Write template.json, blank.png, scan-1.jpg ..., labels.sqlite and labels.csv into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    template, pages = telegram_template(), telegram_pages(glyphs, seed)
    write_whole(folder / "template.json", _as_json(template).encode())
    write_whole(folder / BLANK, _encoded(draw_blank(template.pages[0], telegram_layout()), ".png"))
    for i, page in enumerate(pages, 1):
        write_whole(folder / f"scan-{i}.jpg", _encoded(page.image, ".jpg"))
    rows = [(page.name, field, value) for page in pages for field, value in page.values.items()]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("form", "field", "value"), *rows])
    write_whole(folder / "labels.csv", table.getvalue().encode())
    write_whole(folder / "labels.sqlite", _database(rows))


def _as_json(template: Template) -> str:
    """Indented, but a list of numbers on one line, and whole numbers without a point."""
    text = json.dumps(template.model_dump(mode="json", exclude_unset=True, exclude_none=True), indent=2)
    text = re.sub(r"(\d)\.0\b", r"\1", text)
    return re.sub(r"\[([\d.,\s]+)\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def _database(rows: list[tuple[str, str, str]]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE fields (form TEXT, field TEXT, value TEXT, PRIMARY KEY (form, field))")
        base.executemany("INSERT INTO fields VALUES (?, ?, ?)", rows)
        base.commit()
        return base.serialize()


def _encoded(image: Pixels, ending: str) -> bytes:
    settings = [cv2.IMWRITE_JPEG_QUALITY, 85] if ending == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(ending, image, settings)[1].tobytes()
