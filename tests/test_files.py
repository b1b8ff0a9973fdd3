"""Whole files, and one way of reading tables, however a spreadsheet has written them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkshift.errors import DataError, SettingError
from inkshift.files import as_cell, as_csv, read_bytes, read_csv, whole_file, whole_folder
from inkshift.forms.out.batch import expected_forms
from inkshift.pictures import ending_of
from inkshift.scratch import Names

ROWS = [{"form": "T-1", "value": "7"}, {"form": "Ñandú 2", "value": "008"}]
PLAIN = "form,value\nT-1,7\nÑandú 2,008\n"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode("utf-8-sig"),
        PLAIN.replace(",", ";").encode("cp1252"),
        ("sep=;\r\n" + PLAIN.replace(",", ";").replace("form", " Form ")).encode("utf-8-sig"),
        PLAIN.encode("utf-16-le"),
        PLAIN.replace(",", ";").encode("utf-16-be"),
        PLAIN.replace("form", "Form name").encode(),
        PLAIN.replace("form", "FORM_NAME").encode(),
        PLAIN.replace("form", "formname").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        b"\n" + PLAIN.replace("value", '"VALUE"').encode() + b"\n\n",
    ],
    ids=[
        *("commas", "semicolons", "tabs, UTF-16", "mark", "cp1252", "sep=", "UTF-16 LE without mark", "UTF-16 BE"),
        *("form name", "form_name", "formname", "empty columns", "empty lines"),
    ],
)
def test_a_table_reads_alike_however_a_spreadsheet_wrote_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    assert [row for _, row in read_csv(path, "form")] == ROWS
    assert expected_forms(path) == ["T-1", "Ñandú 2"]


cell = st.text(st.characters(codec="utf-8", exclude_characters='\r\n\0"'), min_size=1, max_size=6).map(str.strip)


@given(st.lists(st.tuples(cell, cell).filter(any), min_size=1, max_size=5), st.sampled_from(",;\t"))
def test_quoted_cells_hold_whatever_divides(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], divider: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    lines = [divider.join(f'"{cell}"' for cell in row) for row in [("a", "b,;\t"), *rows]]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert [tuple(row.values()) for _, row in read_csv(path)] == rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name\nx\n", r"list\.csv:1: no column form, found name"),
        ("", r"list\.csv:1: no column form, found an empty file"),
        ("form,value\na,1\nb\n", r"list\.csv:3: expected 2 cells as in the header, found 1"),
        ('form,value\n"a"b,1\n', r"list\.csv:2: not CSV"),
        ("form,form\na,b\n", r"list\.csv:1: column names must differ"),
        ("form,value\n", "has no rows"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        read_csv(path, "form")


@pytest.mark.parametrize("title", ["Stations of 2026", "Stations of 2026,", "Stations of 2026\n"])
def test_a_title_above_the_header_is_to_be_deleted(tmp_path: Path, title: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{title}\n{PLAIN}")
    with pytest.raises(
        DataError, match=r"no column form, found stations of 2026; .* delete the lines above the header"
    ):
        read_csv(path, "form")
    with pytest.raises(DataError, match="one column, 'stations of 2026', found 2; delete the lines above the header"):
        read_csv(path)


def test_a_column_of_its_own_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("file,file name,form names\na,b,c\n")
    assert read_csv(path) == [(2, {"file": "a", "file name": "b", "form names": "c"})]


def test_a_whole_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with whole_file(path) as temporary:
        temporary.write_text("done")
        assert not path.exists()
    assert path.read_text() == "done"
    with pytest.raises(KeyError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "done" and [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_put_aside_by_a_run_that_was_killed_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "model"
    for name, content in ((".model.old", "good"), (".model.part", "half")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "what").write_text(content)
    with pytest.raises(RuntimeError), whole_folder(out):
        raise RuntimeError("this run fails too")
    assert [(path.name, (path / "what").read_text()) for path in tmp_path.iterdir()] == [("model", "good")]


def test_errors_of_what_is_done_meanwhile_are_not_taken_for_the_files(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), whole_file(tmp_path / "out.csv"):
        raise BrokenPipeError(32, "Broken pipe")


@given(st.text(st.characters(codec="utf-8"), max_size=6))
@example("a\rb")
@example("\r")
@example("'=\n\0\x85\u2028\ufeff")
def test_no_cell_begins_like_a_formula_and_all_come_back(text: str) -> None:
    assert as_cell(text)[:1] not in ("=", "+", "@", "\t")
    with TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(as_csv([("name", "n"), (as_cell(text), "1")]))
        assert [row["name"] for _, row in read_csv(path, exact=True)] == [text]


@pytest.mark.parametrize(("text", "cell"), [("-350", "-350"), ("-", "'-"), ("'a", "'a"), ("'=a", "''=a"), ("", "")])
def test_numbers_stay_numbers(text: str, cell: str) -> None:
    assert as_cell(text) == cell


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_to_its_end_and_one_that_nobody_fills_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "pipe") == b""
    out, into = os.pipe()
    sent = b"x" * 3_000_000

    def fill() -> None:
        with os.fdopen(into, "wb") as file:
            time.sleep(0.1)
            file.write(sent)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(fill)
        assert read_bytes(f"/dev/fd/{out}") == sent
    os.close(out)


def test_a_file_that_says_it_has_a_thousand_million_brands_is_told_at_once() -> None:
    rest = b"ftypmif1\0\0\0\0" + b"heic" * 4
    assert ending_of(b"\xff\xff\xff\xf0" + rest) == ending_of(b"\0\0\0\x20" + rest) == ".heic"


@given(st.lists(st.tuples(st.text(st.characters(codec=None), max_size=3), st.integers(0, 2**62)), max_size=30))
def test_names_are_kept_as_a_dict_keeps_them(given: list[tuple[str, int]]) -> None:
    """Also those of files that are not Unicode."""
    names, plain = Names(), dict[str, int]()
    for name, number in given:
        assert names.put(name, number) == (name not in plain)
        plain[name] = number
    assert list(names) == list(plain) and len(names) == len(plain)
    assert all(names.get(name) == number for name, number in plain.items()) and names.get("none of them") is None


def test_where_there_is_no_room_for_names_one_line_says_so() -> None:
    names = Names()
    names._asked("PRAGMA max_page_count = 10")  # as a full disk does
    with pytest.raises(SettingError, match=r"the temporary folder cannot be written .*full.*; free its disk, or set"):
        for k in range(100_000):
            names.put(f"a page {k}")
