"""What failed in the field, one small instance of each kind, built here: the right value, or a refusal, never silence.

A reading is silent where it states something wrong with confidence: a number above 0.8, or `blank` or `crossed-out` at
0.5 or more of a field that has a number in it.
"""

from __future__ import annotations

import csv
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from command import Run
from inkshift.datasets import catalog, formats
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading, FormReading
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from inkshift.reframe import to_gray
from specimens import pen
from specimens.specimen import Layout, Text, draw_blank
from specimens.telegram import telegram_layout, telegram_template

Gray = npt.NDArray[np.uint8]
pytestmark = pytest.mark.usefixtures("shipped_model")

SECONDS, MEGABYTES = 30, 2000
MARKS = tuple(Mark(x=x, y=y, size=26) for x in (50, 650) for y in (50, 950))


class Writer:
    """Lays hand-written digits on pages: a line font drawn with a pen, the same at every run."""

    def __init__(self, digits: Gray) -> None:
        self.glyphs = pen.Glyphs(digits, np.arange(10, dtype=np.uint8))

    def line(self, text: str, height: float) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng(len(text))
        hand = pen.Hand(height, 0.5, 0.35, 0.04, 0.3, 0.0, 0.01, 40.0)
        return pen.write_digits(text, self.glyphs, rng, hand)

    def write(
        self, page: Gray, text: str, x: float, y: float, height: float, ink: int = 40
    ) -> tuple[int, int, int, int]:
        """Write `text` with its middle at x, y; the box x0, y0, x1, y1 that it fills."""
        line = self.line(text, height)
        x0, y0 = round(x - line.shape[1] / 2), round(y - line.shape[0] / 2)
        part = page[y0 : y0 + line.shape[0], x0 : x0 + line.shape[1]]
        part[:] = np.minimum(part, (255 - (255 - ink) * line).astype(np.uint8))
        return x0, y0, x0 + line.shape[1], y0 + line.shape[0]


@pytest.fixture(scope="module")
def writer(drawn_digits: Gray) -> Writer:
    return Writer(drawn_digits)


@pytest.fixture(scope="module")
def numbers() -> Reader:
    return Reader(read_as="number")


def reader_of(page: PageSpec, folder: Path) -> Reader:
    (folder / "t.json").write_text(Template(name="t", pages=(page,)).model_dump_json(exclude_unset=True))
    return Reader(folder / "t.json")


def read(reader: Reader, page: Gray, folder: Path) -> FormReading:
    """The page read as a file."""
    cv2.imwrite(str(folder / "page.png"), page)
    (form,) = reader.read([folder / "page.png"])
    return form


def silent(field: FieldReading, value: str) -> bool:
    """Whether a field that holds `value` was stated to hold something else."""
    if field.state == "written":
        return field.value != value and field.confidence >= 0.8
    return bool(value) and field.state in ("blank", "crossed-out") and field.confidence >= 0.5


def of(form: FormReading) -> dict[str, FieldReading]:
    return {field.name: field for field in form.fields}


# -- 01, 02: a page that lies wrong ----------------------------------------------------------------------------------

ROWS, COLUMNS, PITCH = 8, 10, 64


def sheet_of_digits(writer: Writer) -> tuple[PageSpec, Gray]:
    """A regular grid to its edges, the number of its column in each cell, as on the sheets of UFPR."""
    size = COLUMNS * PITCH + 6, ROWS * PITCH + 6
    xs, ys = [3.0 + PITCH * i for i in range(COLUMNS + 1)], [3.0 + PITCH * i for i in range(ROWS + 1)]
    lines = [(xs[0], y, xs[-1], y) for y in ys] + [(x, ys[0], x, ys[-1]) for x in xs]
    cells = [
        FieldSpec(name=f"r{r}c{c}", box=(xs[c], ys[r], PITCH, PITCH), cells=1, digits=(0, 1))
        for r in range(ROWS)
        for c in range(COLUMNS)
    ]
    page = PageSpec(size=size, lines=tuple(lines), fields=tuple(cells))
    image = draw_blank(page)
    for r in range(ROWS):
        for c in range(COLUMNS):
            writer.write(image, str(c), xs[c] + PITCH / 2, ys[r] + PITCH / 2, 34)
    return page, image


def laid(image: Gray, how: str) -> Gray:
    if how.startswith("margin"):
        wide = int(how.split()[1])
        return cv2.copyMakeBorder(image, wide, wide, wide, wide, cv2.BORDER_CONSTANT, value=(250,))
    h, w = image.shape
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), float(how.split()[1]), 0.92)
    return np.asarray(cv2.warpAffine(image, matrix, (w, h), borderValue=(250,)), np.uint8)


@pytest.mark.parametrize("how", ["margin 0", "margin 50", "margin 64", "turned 2", "turned -4"])
def test_a_grid_that_lies_turned_or_in_a_margin_is_read_right_or_refused(
    how: str, writer: Writer, tmp_path: Path
) -> None:
    page, image = sheet_of_digits(writer)
    fields = read(reader_of(page, tmp_path), laid(image, how), tmp_path).fields
    assert not [f.name for f in fields if silent(f, f.name[-1])]
    if fields:
        assert sum(f.value == f.name[-1] for f in fields) >= 0.93 * ROWS * COLUMNS


@pytest.mark.parametrize("rows_off", [-1, 0, 1, 2])
def test_a_class_list_that_lies_rows_off_is_never_read_from_the_neighbours_marks(
    rows_off: int, writer: Writer, tmp_path: Path
) -> None:
    tops = [220.0 + 44 * r for r in range(15)]
    xs = [40.0, 330.0, 450.0, 570.0]
    lines = [(xs[0], y, xs[-1], y) for y in [*tops, tops[-1] + 44]] + [(x, tops[0], x, tops[-1] + 44) for x in xs]
    fields = [
        FieldSpec(name=f"r{r:02d}m{c}", box=(xs[c + 1], tops[r], 120, 44), digits=(1, 3))
        for r in range(15)
        for c in (0, 1)
    ]
    page = PageSpec(size=(620, 1000), lines=tuple(lines), fields=tuple(fields))
    names = [Text(50, tops[r] + 22, f"Pupil {'ABCDEFGHIJKLMNO'[r] * 4}", 20) for r in range(15)]
    image = draw_blank(page, Layout((Text(40, 120, "Class list", 40, True), *names)))
    marks = {spec.name: str(137 * k % 90 + 10) for k, spec in enumerate(fields)}
    for spec in fields:
        writer.write(image, marks[spec.name], spec.box[0] + 60, spec.box[1] + 22, 24)
    moved = np.full_like(image, 255)
    down = 44 * rows_off
    moved[max(0, down) : 1000 + min(0, down)] = image[max(0, -down) : 1000 - max(0, down)]
    came = of(read(reader_of(page, tmp_path), moved, tmp_path))
    assert not [name for name, field in came.items() if silent(field, marks[name])]
    if rows_off == 0:
        assert sum(came[name].value == value for name, value in marks.items()) >= 28


# -- 03: paper that is dark, and ink that is pale ---------------------------------------------------------------------


def shaded(depth: float, wide: float, axis: int, dash: int | None = None) -> Gray:
    """An empty box with a fold's shadow, level (axis 0) or upright, or with a dash of that gray."""
    size = 75, 200
    paper = 245 + 2 * np.random.default_rng(0).standard_normal(size)
    along = np.arange(size[axis]) - size[axis] // 2
    light = 1 - depth * np.exp(-np.abs(along) / wide) - 0.05 * (along > 0)
    if dash is not None:
        cv2.line(paper, (70, 40), (120, 37), (float(dash),), 3, cv2.LINE_AA)
    return np.clip(paper * (light[:, None] if axis == 0 else light), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("wide", [8, 15, 30])
@pytest.mark.parametrize("depth", [0.1, 0.2, 0.35])
def test_the_shadow_of_a_fold_is_no_stroke(depth: float, wide: float, axis: int, numbers: Reader) -> None:
    (form,) = numbers.read(shaded(depth, wide, axis))
    field = form.fields[0]
    assert field.state == "blank" or field.confidence < (0.5 if field.state == "crossed-out" else 0.8)


@pytest.mark.parametrize("blur", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("high", [24, 32, 48])
def test_soft_ink_is_no_shadow(high: int, blur: float, numbers: Reader) -> None:
    """Small and out of focus, a stroke pales as slowly as the shadow of a fold does."""
    for ends in ((60, 38, 140, 36), (30, 60, 170, 20)):
        page = np.full((75, 200), 245, np.uint8)
        cv2.line(page, ends[:2], ends[2:], (45,), 6, cv2.LINE_AA)
        page = cv2.resize(page, (200 * high // 75, high), interpolation=cv2.INTER_AREA)
        (form,) = numbers.read(np.asarray(cv2.GaussianBlur(page, (0, 0), blur), np.uint8))
        assert form.fields[0].state != "blank" or form.fields[0].confidence < 0.5


@pytest.mark.parametrize("dash", [40, 150, 205])
def test_a_pale_dash_is_a_stroke(dash: int, numbers: Reader) -> None:
    (form,) = numbers.read(shaded(0, 8, 0, dash))
    assert form.fields[0].state == "crossed-out"


# -- 04: a small number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("high", "wide"), [(600, 150), (700, 400), (900, 300)])
def test_a_number_far_lower_than_its_field_is_read(high: int, wide: int, writer: Writer, numbers: Reader) -> None:
    page = np.full((high, wide), 245, np.uint8)
    writer.write(page, "583", wide / 2, 0.3 * high, 40)
    (form,) = numbers.read(page)
    assert form.fields[0].value == "583"


@pytest.mark.parametrize("lean", [-3, 0, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_straight_upright_strokes_are_ones(count: int, lean: int, numbers: Reader) -> None:
    page = np.full((90, 60 + 40 * count), 240, np.uint8)
    for k in range(count):
        x = 50 + 40 * k
        cv2.line(page, (x + lean // 2, 22), (x - lean // 2, 68), (60,), 4, cv2.LINE_AA)
    (form,) = numbers.read(np.asarray(cv2.GaussianBlur(page, (0, 0), 0.8), np.uint8))
    assert form.fields[0].value == "1" * count


# -- 06: the way up ----------------------------------------------------------------------------------------------------


def test_the_way_up_comes_from_the_print_not_from_how_sure_blanks_are(writer: Writer, tmp_path: Path) -> None:
    fields = [FieldSpec(name=f"f{k}", box=(360, 180 + 90 * k, 190, 54), digits=(1, 4), frame=False) for k in range(8)]
    page = PageSpec(size=(700, 1000), marks=MARKS, fields=tuple(fields))
    items = [Text(110, 210 + 90 * k, f"Item {k + 1}", 24, True) for k in range(8)]
    image = draw_blank(page, Layout((Text(80, 110, "Delivery note", 34, True), *items)))
    for spec in fields:
        x, y, w, h = spec.box
        for at in range(int(x), int(x + w), 5):
            image[int(y + 0.9 * h), at : at + 2] = 120
    truth = {"f1": "2074", "f2": "1400", "f4": "1813", "f5": "462", "f6": "7551"}
    for name, value in truth.items():
        x, y, w, h = next(spec.box for spec in fields if spec.name == name)
        writer.write(image, value, x + w / 2, y + 0.5 * h, 30, ink=170)
    form = read(reader_of(page, tmp_path), image, tmp_path)
    if form.fields:
        assert form.pages[0].turn == 0
        assert not [f.name for f in form.fields if silent(f, truth.get(f.name, ""))]


# -- 07, 08: files -------------------------------------------------------------------------------------------------


def test_each_file_of_a_folder_is_read_or_named(writer: Writer, tmp_path: Path, run: Run) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    image = np.full((90, 200), 252, np.uint8)
    writer.write(image, "123", 100, 45, 50)
    picture = Image.fromarray(image).convert("RGB")
    picture.save(scans / "a.jpg")
    picture.save(scans / "b.webp", lossless=True)
    for name in ("c.jfif", "noending"):
        shutil.copy(scans / "a.jpg", scans / name)
    (scans / "e.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100))
    (scans / "notes.docx").write_bytes(b"PK\3\4" + bytes(60))
    done = run("read", scans, "--as", "number", "--out", tmp_path / "r.csv")
    said = done.out + done.err + (tmp_path / "r.csv").read_text()
    assert [
        name for name in ("a.jpg", "b.webp", "c.jfif", "noending", "e.heic", "notes.docx") if name not in said
    ] == []
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [row["value"] for row in csv.DictReader(file) if "heic" not in row["source"]] == ["123"] * 4


def test_pictures_of_data_sets_stand_upright_by_their_exif(tmp_path: Path) -> None:
    image = np.full((40, 30), 250, np.uint8)
    image[:10] = 0  # the top is dark
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for digit in "01":
        (tmp_path / digit).mkdir()
        lying = Image.fromarray(np.ascontiguousarray(np.rot90(image, 1)))
        lying.save(tmp_path / digit / "x.png", exif=exif)
    data = formats.load_class_folders(tmp_path)
    for picture in data.images:
        gray = to_gray(np.asarray(picture))
        assert gray.shape == (40, 30)
        assert gray[:8].max() < 60 < gray[14:].min()


# -- 09, 11: what stands beside numbers --------------------------------------------------------------------------------

LEFT, RIGHT = ["124", "87", "1450", "9", "302", "66"], ["2718", "45", "510", "7", "88", "1903"]


@pytest.mark.parametrize("gap", ["60", "240", "ruled", "row numbers"])
def test_two_columns_are_not_read_as_one_number(gap: str, writer: Writer) -> None:
    apart = 60 if gap == "row numbers" else 240 if gap == "240" else 60
    page = np.full((6 * 80 + 60, 440 + apart), 250, np.uint8)
    for k, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True)):
        y = 70 + 80 * k
        if gap == "row numbers":
            cv2.putText(page, f"{k + 1}.", (16, y + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (40,), 2, cv2.LINE_AA)
        else:
            writer.write(page, left, 110, y, 46)
        writer.write(page, right, 110 + 220 + apart, y, 46)
        if gap == "ruled":
            cv2.line(page, (0, y + 40), (page.shape[1], y + 40), (90,), 2)
    if gap == "ruled":
        cv2.line(page, (225 + apart // 2, 0), (225 + apart // 2, page.shape[0]), (60,), 3)
    joined = {
        (str(k + 1) if gap == "row numbers" else left) + right
        for k, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True))
    }
    fields = Reader(read_as="column").read_page(page).fields
    assert not [(f.value, f.confidence) for f in fields if f.value in joined and f.confidence >= 0.8]


@pytest.mark.parametrize("text", ["5.23", "12,50", "1,234.56", "-350", "10-5", "36%"])
def test_a_sign_that_a_value_cannot_express_is_told(text: str, writer: Writer, numbers: Reader) -> None:
    image, x = np.full((100, 60 + 46 * len(text)), 252, np.uint8), 40
    for symbol in text:
        if symbol.isdigit():
            _, _, x, _ = writer.write(image, symbol, x + 16, 50, 44)
        elif symbol in ".,":
            cv2.ellipse(image, (x + 8, 72), (4, 4 if symbol == "." else 9), 20, 0, 360, (40,), -1, cv2.LINE_AA)
            x += 14
        elif symbol == "-":
            cv2.line(image, (x + 4, 52), (x + 24, 50), (40,), 5, cv2.LINE_AA)
            x += 28
        else:
            cv2.putText(image, symbol, (x + 4, 68), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (40,), 4, cv2.LINE_AA)
            x += 40
    field = numbers.read_page(image).fields[0]
    quiet = field.state == "written" and field.written.isdigit() and field.confidence >= 0.8
    assert not quiet, (field.value, field.confidence)


# -- 10, 13: pages and beds ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled_telegram(writer: Writer) -> tuple[Gray, dict[str, str]]:
    template = telegram_template()
    page = draw_blank(template.pages[0], telegram_layout(), "T-0001")
    values = {spec.name: str(17 * k % 90 + 10) for k, spec in enumerate(template.fields)}
    values["total"] = str(sum(int(value) for name, value in values.items() if name != "total"))
    for spec in template.fields:
        x, y, w, h = spec.box
        writer.write(page, values[spec.name], x + w / 2, y + h / 2, 36)
    return page, values


@pytest.mark.parametrize("bed", ["white A3", "black A3", "70 % in a corner"])
def test_a_page_smaller_than_its_bed_is_read_by_its_marks(
    bed: str, filled_telegram: tuple[Gray, dict[str, str]], telegram: Path, tmp_path: Path
) -> None:
    page, values = filled_telegram
    if bed.startswith("70"):
        small = cv2.resize(page, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        image = np.full_like(page, 252)
        image[: small.shape[0], : small.shape[1]] = small
    else:
        image = np.full((1754, 2480), 245 if bed.startswith("white") else 8, np.uint8)
        image[:, : page.shape[1]] = page
    came = of(read(Reader(telegram / "template.json"), image, tmp_path))
    assert {name: field.value for name, field in came.items()} == values


def test_blank_backs_are_no_failure(
    filled_telegram: tuple[Gray, dict[str, str]], telegram: Path, tmp_path: Path, run: Run
) -> None:
    rng = np.random.default_rng(2)
    page, values = filled_telegram
    back = np.clip(248 + rng.normal(0, 2, page.shape), 0, 255).astype(np.uint8)
    sides = [Image.fromarray(side) for side in (page, back)]
    sides[0].save(tmp_path / "duplex.tif", save_all=True, append_images=sides[1:])
    arguments = ["--template", telegram / "template.json", "--out", tmp_path / "r.csv"]
    done = run("read", tmp_path / "duplex.tif", *arguments)
    assert done.status == 0, done.err
    assert "blank page" in done.err
    with (tmp_path / "r.csv").open(newline="") as file:
        assert {row["field"]: row["value"] for row in csv.DictReader(file)} == values


# -- hostile files -----------------------------------------------------------------------------------------------------


def png(width: int, height: int, bits: int = 8, row: bytes | None = None) -> bytes:
    """A PNG of any size whose pixels pack to almost nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    line = b"\0" + (row or b"\xff" * ((width * bits + 7) // 8))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(line * 512) for _ in range(height // 512))
    data += packer.compress(line * (height % 512)) + packer.flush()
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pdf(objects: dict[int, bytes]) -> bytes:
    out, places = b"%PDF-1.7\n", {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, most = len(out), max(objects) + 1
    rows = [
        b"%010d %05d %c \n" % (places.get(n, 0), 0 if n in places else 65535, b"n"[0] if n in places else b"f"[0])
        for n in range(most)
    ]
    return out + b"xref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        most,
        b"".join(rows),
        most,
        start,
    )


def page_pdf(
    content: bytes, resources: bytes = b"", count: int = 1, filters: int = 1, repeat: int = 1, **more: bytes
) -> bytes:
    packed = content
    for _ in range(filters):
        packed = zlib.compress(packed, 9)
    kinds = b"[" + b" /FlateDecode" * filters + b" ]"
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count %d >>" % count,
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 2000 2000] /Contents [%s] /Resources << %s >> >>"
            % (b"4 0 R " * repeat, resources),
            4: stream(b"/Filter " + kinds, packed),
        }
        | {int(key[1:]): body for key, body in more.items()}
    )


def stream(head: bytes, content: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (head, len(content), content)


def form_in_itself() -> bytes:
    body, itself = b"/X Do /X Do", b"/XObject << /X 10 0 R >>"
    head = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << %s >>" % itself
    return page_pdf(body, itself, o10=stream(head, body))


def endless_shading() -> bytes:
    """A shading whose function takes thousands of steps at each of four million points."""
    program = zlib.compress(b"{ " + b"dup mul sqrt " * 6000 + b"pop }", 9)
    function = stream(b"/FunctionType 4 /Domain [0 2000 0 2000] /Range [0 1] /Filter /FlateDecode", program)
    shading = b"/Shading << /S << /ShadingType 1 /ColorSpace /DeviceGray /Domain [0 2000 0 2000] /Function 7 0 R >> >>"
    return page_pdf(b"/S sh", shading, o7=function)


HOSTILE = {
    "tall.png": lambda: png(90, 524_336),
    "narrow.png": lambda: png(40, 131_102, bits=1),
    "119-megapixels.png": lambda: png(10_900, 10_900, bits=1),
    "300-megapixels.png": lambda: png(20_000, 15_000, bits=1),
    "striped.png": lambda: png(64, 200_000, row=bytes([0, 255] * 32)),
    "pages.pdf": lambda: page_pdf(b"0 0 9 9 re f", count=100_000),
    "packed.pdf": lambda: page_pdf(b"0 0 9 9 re f\n" * 4_000_000, filters=3, repeat=20),
    "itself.pdf": form_in_itself,
    "shading.pdf": endless_shading,
}


def _limited() -> None:
    """A file that never ends or eats all memory may cost its own process, never the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 5, SECONDS + 10))


class Ended(NamedTuple):
    """status: of the process, negative where it had to be stopped. seconds: of processor time. megabytes: at most."""

    status: int
    said: str
    seconds: float
    megabytes: float


def hostile_run(*arguments: str, cwd: Path) -> Ended:
    """inkshift in a process of its own; processor time is what is counted, as other work may slow the clock."""
    with (cwd / "said").open("w+b") as said:
        command = [sys.executable, "-m", "inkshift", *arguments]
        process = subprocess.Popen(
            command, cwd=cwd, stdout=said, stderr=said, start_new_session=True, preexec_fn=_limited
        )
        stop = threading.Timer(10 * SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
        stop.start()
        most = done = 0
        try:
            while not done:
                most = max(most, held(process.pid))
                time.sleep(0.005)
                done, status, used = os.wait4(process.pid, os.WNOHANG)
        finally:
            stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    return Ended(process.returncode, text, used.ru_utime + used.ru_stime, most / 1024)


def held(pid: int) -> int:
    """The most memory that a process has held so far, in KiB. Not `ru_maxrss`: that begins at what its parent holds."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def assert_told(end: Ended, statuses: tuple[int, ...], word: str) -> None:
    """It ended by itself, soon and in little memory, and said why where it failed."""
    assert end.status in statuses, (end.status, end.said[-300:])
    assert end.seconds < SECONDS and end.megabytes < MEGABYTES, end
    assert "Traceback" not in end.said
    assert end.status == 0 or word in end.said


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_one_message_or_a_reading_soon_and_in_little_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(HOSTILE[name]())
    assert_told(hostile_run("read", name, "--as", "number", "--out", "r.csv", cwd=tmp_path), (0, 1), name)


def test_a_study_of_a_million_million_replicates_is_refused(tmp_path: Path) -> None:
    text = Path(__file__).parents[1].joinpath(STUDY).read_text(encoding="utf-8")
    (tmp_path / "s.toml").write_text(text.replace("replicates = 5", "replicates = 1_000_000_000_000"), encoding="utf-8")
    assert_told(hostile_run("study", "run", "s.toml", "--dry-run", cwd=tmp_path), (1, 2), "replicates")


NO_FILES = ("/dev/zero", "pipe", "folder.png", "loop", "pipe.png", "folder.json", "pipe.toml", "pipe.csv", "pipe.trail")
TAKERS = (
    "read {} --as number --out q.csv", "read n.png --as number --policy {}", "read n.png --as number --expected {}",
    "read n.png --template {}", "read n.png --as number --model {}", "read n.png --as number --out r.csv --trail {}",
    "evaluate {} l.csv", "evaluate r.csv {}", "calibrate {} l.csv", "verify {}", "study run {} --dry-run",
    "template check {}", "restore {}",
    "model import {} --out m --classes 0-9 --licence MIT --reframing 'gray|resize(28)'",
)  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo") or not Path("/dev/zero").exists(), reason="no pipes, or no /dev/zero")
@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_no_file_is_told_of_in_one_line_and_waited_for_by_nobody(
    taker: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices, pipes that nobody fills, folders with the name of a file, links to themselves."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("n.png", np.full((60, 120), 255, np.uint8))
    for name in ("r.csv", "l.csv"):
        Path(name).write_text("form,field,value,state,confidence,reader\nn,,47,written,0.9,x\n")
    for name in NO_FILES:
        if name.startswith("pipe"):
            os.mkfifo(name)
        elif name.startswith("folder"):
            Path(name).mkdir()
    Path("loop").symlink_to("loop")
    for name in NO_FILES:
        done = run(*shlex.split(taker.format(name)))
        assert done.status in (1, 2), (name, done)
        assert name in done.out + done.err and len(done.err.splitlines()) <= 3, (name, done.err)


LONG = "y" * 5000
STUDY = "studies/kooverjee-2020-small.toml"


@pytest.mark.parametrize(
    "command",
    [
        *TAKERS,
        "study status {}",
        "study status long.toml",
        "study new {} --target mnist",
        "study new s.toml --target {}",
    ],
)
def test_a_name_that_no_file_can_have_is_told_of(
    command: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(__file__).parents[1].joinpath(STUDY).read_text(encoding="utf-8")
    (tmp_path / "long.toml").write_text(text.replace('"mnist"', f'"{LONG}"', 1), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("n.png", np.full((60, 120), 255, np.uint8))
    for name in ("r.csv", "l.csv"):
        Path(name).write_text("form,field,value,state,confidence,reader\nn,,47,written,0.9,x\n")
    done = run(*shlex.split(command.format(LONG)))
    assert done.status in (1, 2) and "yyy" in done.out + done.err, done


CASES = catalog.data_root().resolve().parent / "cases/hostile"  # each is run in a folder of its own
OF_DIGITS = ("--classes", "0-9", "--licence", "MIT", "--reframing", "gray|square|resize(28)")


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", sorted(path.name for path in CASES.glob("*")))
def test_files_that_brought_it_down_are_told_of(name: str, tmp_path: Path) -> None:
    """As they came from the field; a template's pattern is tried on the page whose code is made for it."""
    file, out = str(CASES / name), ("--out", "r.csv")
    given = {
        ".toml": ("study", "run", file, "--dry-run"),
        ".onnx": ("model", "import", file, "--out", "m", *OF_DIGITS),
        ".json": ("read", str(CASES / "page-qr-aaaa.png"), "--template", file, *out),
    }.get(Path(name).suffix, ("read", file, "--as", "number", *out))
    told = next(Path(word).name for word in given if str(CASES) in word)
    assert_told(hostile_run(*given, cwd=tmp_path), (0, 1, 2), told)
