"""Readings to CSV, JSON Lines and XLSX, and back."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from PIL import Image as Pillow

from inkshift.errors import DataError, SettingError
from inkshift.forms.out.export import (
    COLUMNS,
    Format,
    format_of,
    open_readings,
    png,
    read_rows,
    row,
    write_forms,
)
from inkshift.forms.reading import Candidate, FieldReading, FormReading, state_of, value_of

FIELD = FieldReading(
    name="A",
    value="012",
    written="012",
    state="written",
    confidence=0.93124,
    candidates=(Candidate("012", 0.93124), Candidate("X12", 0.041)),
    accepted=True,
    rules_broken=("r01 + r02 = A: 1 + 2 = 3, but A is 12",),
    source="scans/c1.pdf",
    page=2,
    marks=("point", "dash"),
)
FORM = FormReading("c1-01", (FIELD, FieldReading("B", "", "XXX", "crossed-out", 0.5)))

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=8)
written = st.text("0123456789X_?", min_size=1, max_size=4)
shares = st.floats(0, 1)


@st.composite
def forms(draw: st.DrawFn) -> FormReading:
    def field(name: str) -> FieldReading:
        cells = draw(written)
        return FieldReading(
            name=name,
            value=value_of(cells) if state_of(cells) == "written" else "",
            written=cells,
            state=state_of(cells),
            confidence=draw(shares),
            candidates=tuple(draw(st.lists(st.builds(Candidate, written, shares), max_size=5))),
            accepted=draw(st.none() | st.booleans()),
            rules_broken=tuple(draw(st.lists(st.sampled_from(["a + b = c", "d = e"]), unique=True))),
            source=draw(names),
            page=draw(st.integers(1, 900)),
        )

    return FormReading(draw(names), tuple(field(name) for name in draw(st.lists(names, unique=True, max_size=3))))


def test_a_row_has_the_agreed_columns_and_keeps_leading_zeros() -> None:
    assert tuple(row(FORM, FIELD)) == COLUMNS
    assert row(FORM, FIELD) == {
        "form": "c1-01",
        "field": "A",
        "value": "012",
        "state": "written",
        "confidence": "0.9312",
        "accepted": "true",
        "candidates": "012:0.9312 X12:0.0410",
        "rules_broken": "r01 + r02 = A: 1 + 2 = 3, but A is 12",
        "source": "scans/c1.pdf",
        "page": "2",
        "written": "012",
        "template": "",
        "reader": "",
        "marks": "point dash",
    }
    assert row(FORM, FORM["B"])["accepted"] == ""


@given(st.lists(forms(), max_size=3), st.sampled_from(["csv", "json", "jsonl"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, read: list[FormReading], ending: str) -> None:
    path = tmp_path / f"readings.{ending}"
    expected = [row(form, field) for form in read for field in form.fields]
    write_forms(read, open_readings(path))
    assert read_rows(path) == expected


def test_json_lines_hold_numbers_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    write_forms([FORM], open_readings(path))
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["confidence"] == 0.9312
    assert first["accepted"] is True and second["accepted"] is None
    assert first["page"] == 2 and first["value"] == "012"
    assert first["candidates"][1] == {"written": "X12", "probability": 0.041}
    assert second["rules_broken"] == []


@pytest.mark.parametrize("path", [None, Path("-")])
def test_standard_output(path: Path | None, capsys: pytest.CaptureFixture[str]) -> None:
    write_forms([FORM], open_readings(path))
    assert capsys.readouterr().out.splitlines()[0] == ",".join(COLUMNS)
    write_forms([FORM], open_readings(path, "jsonl"))
    assert json.loads(capsys.readouterr().out.splitlines()[0])["form"] == "c1-01"
    with pytest.raises(SettingError, match="standard output"):
        write_forms([FORM], open_readings(path, "xlsx"))


def test_xlsx_keeps_text_as_text_and_shows_crops(tmp_path: Path) -> None:
    path = tmp_path / "readings.xlsx"
    crop = np.full((192, 300, 3), 200, np.uint8)
    harmful = FieldReading("=1+1", "007", "007", "written", 0.9, source="@cmd\x07", crop=crop)
    write_forms([FormReading("-form", (harmful,)), FORM], open_readings(path))
    sheet = load_workbook(path)["readings"]
    assert sheet.freeze_panes == "A2"
    header = [cell.value for cell in sheet[1]]
    assert header == [*COLUMNS[:3], "crop", *COLUMNS[3:]]
    cells = dict(zip(header, sheet[2], strict=True))
    assert (cells["form"].value, cells["field"].value) == ("'-form", "'=1+1")
    assert cells["source"].value == "'@cmd"
    assert (cells["value"].value, cells["value"].number_format) == (7, "000")
    assert (cells["confidence"].value, cells["page"].value, cells["written"].value) == (0.9, 1, "007")
    assert sheet[3][2].value == 12 and sheet[3][header.index("accepted")].value is True
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, len(header)).column_letter}4"
    (picture,) = sheet._images
    assert (picture.anchor._from.row, picture.anchor._from.col) == (1, 3)
    assert Pillow.open(io.BytesIO(picture._data())).size == (150, 96)


def test_a_name_that_is_not_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    name = b"scan-\xff".decode("utf-8", "surrogateescape")
    for ending in ("csv", "json", "jsonl", "parquet", "xlsx"):
        path = tmp_path / f"readings.{ending}"
        write_forms([FormReading(name, FORM.fields)], open_readings(path))
        assert path.stat().st_size > 0
    assert read_rows(tmp_path / "readings.csv")[0]["form"] == "scan-\\udcff"


def test_a_carriage_return_in_a_name_does_not_break_the_table(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    write_forms([FormReading("a\rb", FORM.fields)], open_readings(path))
    assert [item["form"] for item in read_rows(path)] == ["a b", "a b"]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "xlsx"])
def test_a_reader_that_fails_leaves_the_old_file_alone(tmp_path: Path, ending: str) -> None:
    def breaks_off() -> Iterator[FormReading]:
        yield FORM
        raise RuntimeError("power cut")

    path = tmp_path / f"readings.{ending}"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="power cut"):
        write_forms(breaks_off(), open_readings(path))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_forms_are_written_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def one_by_one() -> Iterator[FormReading]:
        yield FORM
        assert "c1-01" in capsys.readouterr().out
        yield FORM

    write_forms(one_by_one(), open_readings(None, "jsonl"))


@pytest.mark.parametrize(("name", "fmt"), [("a.csv", "csv"), ("a.b.JSONL", "jsonl"), ("a.xlsx", "xlsx")])
def test_the_ending_names_the_format(name: str, fmt: Format) -> None:
    assert format_of(Path(name)) == fmt


def test_an_unknown_ending_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"known: \.csv, \.json, \.jsonl, \.parquet, \.xlsx; did you mean '\.xlsx'"):
        write_forms([FORM], open_readings(tmp_path / "out.xls"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none.readings\.csv: cannot be written"):
        write_forms([FORM], open_readings(tmp_path / "none" / "readings.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SettingError, match=r"folder\.csv: cannot be written"):
        write_forms([FORM], open_readings(tmp_path / "folder.csv"))


HEADER = ",".join(COLUMNS[:-1])  # as an older inkshift wrote it, without the reader


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", r"r\.csv:1: no column form, field"),
        ("r.csv", b"form,field\n", r"r\.csv:1: no column value, state"),
        ("r.csv", HEADER.encode() + b"\na,b,1\n", r"r\.csv:2: expected 13 cells as in the header, found 3"),
        (
            "r.csv",
            HEADER.encode() + b"\na,b,1,written,2,,,,s,1,1,,\n",
            r"r\.csv:2: confidence is '2', expected a number",
        ),
        (
            "r.csv",
            HEADER.encode() + b"\na,b,1,fine,1,,,,s,1,1,,\n",
            r"r\.csv:2: state is 'fine', expected one of",
        ),
        ("r.csv", HEADER.encode() + b"\na,b,1,written,1,yes,,,s,1,1,,\n", r"r\.csv:2: accepted is 'yes'"),
        ("r.csv", HEADER.encode() + b'\n"a,b', r"r\.csv:2: not CSV"),
        ("r.csv", b"\xff\xfe\x00", r"r\.csv: is not text that can be read"),
        ("r.jsonl", b"{}\n", r"r\.jsonl:1: no column form"),
        ("r.jsonl", b"\n[1]\n", r"r\.jsonl:2: no column form"),
        ("r.jsonl", b"{oh\n", r"r\.jsonl:1: not JSON"),
        ("r.jsonl", json.dumps(dict.fromkeys(COLUMNS, "1")).encode(), r"r\.jsonl:1: not a row of readings"),
        ("r.xlsx", b"PK", r"r\.xlsx: readings are read from CSV"),
    ],
    ids=range(13),
)
def test_a_bad_file_is_named_with_line_and_reason(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_rows(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read"):
        read_rows(tmp_path / "gone.csv")


@pytest.mark.parametrize("shape", [(10, 20), (10, 20, 3), (400, 3), (400, 800, 3)])
def test_a_crop_becomes_a_small_picture(shape: tuple[int, ...]) -> None:
    picture = Pillow.open(io.BytesIO(png(np.zeros(shape, np.uint8))))
    assert picture.height == min(96, shape[0])
    assert picture.width == max(1, round(shape[1] * picture.height / shape[0]))


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: extra parquet")
    path = tmp_path / "readings.parquet"
    many = [FormReading(f"form {i}", FORM.fields) for i in range(5_001)]
    write_forms(many, open_readings(path))
    table = parquet.read_table(path)
    assert table.column_names == list(COLUMNS) and table.num_rows == 10_002
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["value"], first["confidence"], first["accepted"], first["page"]) == ("012", 0.9312, True, 2)
    assert table.slice(10_001, 1).to_pylist()[0]["accepted"] is None
    assert list(tmp_path.iterdir()) == [path]


def rows_of(url: str, table: str) -> list[dict[str, object]]:
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        found = connection.execute(sa.text(f"select * from {table} order by field, run"))
        return [dict(row) for row in found.mappings()]


def test_a_table_of_a_database_takes_a_reading_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'out.db'}"
    for run in ("a", "a", "b"):
        write_forms([FORM], open_readings(f"{url}#counts", run=run))
    rows = rows_of(url, "counts")
    assert [(row["run"], row["field"]) for row in rows] == [("a", "A"), ("b", "A"), ("a", "B"), ("b", "B")]
    assert (rows[0]["value"], rows[0]["confidence"], rows[0]["page"]) == ("012", 0.9312, 2)


def test_a_reader_that_fails_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    def breaks_off() -> Iterator[FormReading]:
        yield FORM
        raise RuntimeError("power cut")

    url = f"sqlite:///{tmp_path / 'out.db'}"
    write_forms([FORM], open_readings(url, run="a"))
    with pytest.raises(RuntimeError, match="power cut"):
        write_forms(breaks_off(), open_readings(url, run="a"))
    assert len(rows_of(url, "readings")) == 2


def test_a_database_that_takes_no_readings_is_named_before_any(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("create table readings (something text)"))
    with pytest.raises(SettingError, match=r"other\.db: table readings cannot be written \(no such column"):
        write_forms([], open_readings(url))
    for wrong in ("mysql://root:secret@host/db", "sqlite://", "sqlite:///a.db#a b", "://"):
        with pytest.raises(SettingError, match="expected sqlite:///FILE or postgresql") as raised:
            write_forms([FORM], open_readings(wrong))
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_standard_output_that_takes_nothing_is_told_of_at_the_first_line(
    fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(SettingError, match="standard output: cannot be written"), open_readings("-", fmt):
        pass
