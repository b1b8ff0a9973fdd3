"""Labels come from CSV or a database, keep their zeros, and name the line that is wrong."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkshift.datasets.labels import Label, read_labels
from inkshift.errors import DataError, InputError, SettingError
from inkshift.review.core import store as stores

DATA = Path(os.environ.get("INKSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the research data is not here")

names = st.text("abcXYZ019-_ñ", min_size=1)
written = st.text("0123456789X_?", max_size=5)


def csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


@settings(deadline=None)
@given(st.dictionaries(st.tuples(names, names), written, min_size=1), st.sampled_from(",;"))
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[tuple[str, str], str], delimiter: str
):
    rows = [("form", "field", "written"), *((form, field, cells) for (form, field), cells in labels.items())]
    source = csv(tmp_path_factory.mktemp("labels"), "\n".join(delimiter.join(row) for row in rows))
    digits = {key: "".join(c for c in cells if c.isdigit()) for key, cells in labels.items()}
    assert read_labels(source) == [Label(*key, digits[key], cells) for key, cells in labels.items()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("form,value\nt1,007\n", Label("t1", "", "007", "")),
        ("form,label\nt1,\n", Label("t1", "", "", "")),
        ("\ufeffForm;Field;Value\nt1;A; 12 \n", Label("t1", "A", "12", "")),
        ("form,written\nt1,X57\n", Label("t1", "", "57", "X57")),
        ("form,value,written\nt1,12,012\n", Label("t1", "", "12", "012")),
        ("file,value,clerk\nscans/a/t1.old.png,3,Ana\n", Label("t1.old", "", "3", "")),
        ("file,value\nC:\\scans\\t1.tif,3\n", Label("t1", "", "3", "")),
        ("form,value\nt1.png,3\nt1.png,3\n", Label("t1.png", "", "3", "")),
    ],
)
def test_columns(tmp_path: Path, text: str, expected: Label):
    assert read_labels(csv(tmp_path, text)) == [expected]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("page,value\nt1,1\n", r"needs a column form \(or file\), found page, value"),
        ("form,number\nt1,1\n", r"needs a column value \(or label, or written\), found form, number"),
        ("form,value\nt1,1\nt2,1O\n", r"labels.csv:3: a value has digits only, found '1O'"),
        ("form,value\nt1,12.0\n", "found '12.0'"),
        ("form,value\nt1,١٢\n", "digits only"),
        ("form,written\nt1,x57\n", "found 'x57'"),
        ("form,value\n,5\n", ":2: names no form"),
        ("form,field,value\nt1,A,1\nt2,A,1\nt1,A,2\n", ":4: form 't1' field 'A' has two labels, '1' .* '2'"),
        ("file,value\na/t1.png,1\nb/t1.png,2\n", ":3: form 't1' has two labels"),
    ],
)
def test_bad_labels_name_file_and_line(tmp_path: Path, text: str, says: str):
    with pytest.raises(DataError, match=says) as caught:
        read_labels(csv(tmp_path, text))
    assert "labels.csv" in str(caught.value)


@pytest.fixture
def election(tmp_path: Path) -> str:
    path = tmp_path / "election.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table votes (station text, party text, count integer, cells text)")
        rows = [("t1", "A", 7, "007"), ("t1", "B", 120, "120"), ("t2", "A", None, "XXX")]
        database.executemany("insert into votes values (?, ?, ?, ?)", rows)
        database.commit()
    return f"sqlite:///{path}"


def test_labels_come_from_a_database(election: str):
    query = "select station as form, party as field, count as value from votes order by 1, 2"
    assert read_labels(election, query) == [
        Label("t1", "A", "7", ""),
        Label("t1", "B", "120", ""),
        Label("t2", "A", "", ""),
    ]
    query = "select station as FORM, party as field, cells as written from votes where party = 'A'"
    assert [label.written for label in read_labels(election, query)] == ["007", "XXX"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select * from voters", "no such table"),
        ("select * from votes where count > 999", "no rows"),
        ("select station as form from votes", "row 1: needs a column value"),
        ("select 't1' as form, count as value from votes", "row 2: form 't1' has two labels"),
        ("select station as form, -count as value from votes", "row 1: a value has digits only, found '-7'"),
    ],
)
def test_bad_queries(election: str, query: str, says: str):
    with pytest.raises(DataError, match=says) as caught:
        read_labels(election, query)
    assert "\n" not in str(caught.value)


def test_a_query_cannot_change_the_database(election: str):
    with pytest.raises(DataError):
        read_labels(election, "delete from votes")
    assert len(read_labels(election, "select station as form, party as field, cells as written from votes")) == 3


def test_a_wrong_database_is_refused_and_none_is_made(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read_labels(f"sqlite:///{tmp_path}/none.db", "select 1")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="nosuch"):
        read_labels("nosuch://host/db", "select 1")


def test_a_damaged_database_whose_names_are_no_text_is_refused(election: str):
    path = Path(election.removeprefix("sqlite:///"))
    damaged = (
        path.read_bytes().replace(b"tablevotesvotes", b"tablev\xe0tesvotes").replace(b"station text", b"stat(on text")
    )
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="no answer to"):
        read_labels(election, "select station as form from votes")
    with pytest.raises(InputError, match="cannot be opened"):
        stores.open(election)


def test_passwords_stay_out_of_messages():
    with pytest.raises(DataError) as caught:
        read_labels("nosuch://clerk:se:cr@et@host/db", "select 1")
    assert "clerk:***@host" in str(caught.value)
    assert "et@" not in str(caught.value)


def test_source_and_query_must_fit(tmp_path: Path, election: str):
    with pytest.raises(SettingError, match="needs a query"):
        read_labels(election)
    with pytest.raises(SettingError, match="needs a database"):
        read_labels(csv(tmp_path, "form,value\nt1,1\n"), "select 1")


@needs_data
def test_labels_of_c1():
    labels = read_labels(str(DATA / "c1" / "labels.csv"))
    assert len(labels) == 50
    assert labels[0] == Label("c1-01", "r01", "012", "012")
    assert labels[3] == Label("c1-01", "B", "", "XXX")


def test_real_columns_give_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.execute("create table t (form text, value real)")
        base.executemany("insert into t values (?, ?)", [("a", 7.0), ("b", 120.0)])
        base.commit()
    assert [label.value for label in read_labels(f"sqlite:///{path}", "select form, value from t")] == ["7", "120"]
