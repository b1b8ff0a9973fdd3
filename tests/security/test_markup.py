"""What people type and what files are called is text wherever it is shown, and never a command."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from fastapi.testclient import TestClient

from inkshift.forms.reading import FormReading, PageNote
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.store import Store
from review_app import PASSWORD, logged_in, opened, token
from review_forms import field

MARKUP = "<img src=x onerror=alert(1)>\"'{{7*7}}"
PAGES = (
    *(
        "/",
        "/batches/1",
        "/batches/1/queue",
        "/batches/1/whole",
        "/forms/1",
        "/batches/1/export",
        "/people",
        "/pages/2",
    ),
    *("/batches/1/confusions", "/batches/1/acceptance", "/templates", "/data", "/models", "/studies"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def boss(store: Store) -> TestClient:
    """A supervisor, and a batch in which all that has a name has an evil one."""
    stores.add_user(store, MARKUP, "supervisor", PASSWORD)
    fields = (field(MARKUP, "12", 0.5, rules_broken=(MARKUP,)), field("=1+1", "49", 0.6))
    notes = (PageNote(f"{MARKUP}.png", 1, 0.9), PageNote("evil.png", 2, error=f"{MARKUP}: not read"))
    add_batch(store, MARKUP, [FormReading(MARKUP, fields, notes)])
    add_batch(store, "cmd", [FormReading('=cmd|"/c calc"!A1', (field("@sum", "3", 0.5),), notes[:1])])
    return logged_in(store, MARKUP)


@pytest.mark.parametrize("path", PAGES)
def test_names_with_markup_are_shown_as_text(boss: TestClient, path: str) -> None:
    answer = boss.get(path)
    assert answer.status_code == 200
    assert "<img src=x" not in answer.text and "alert(1)>" not in answer.text
    assert not re.search(r"alert\(1\)&gt;&#34;&#39;49", answer.text), "what braces hold is text too"


def test_what_is_sent_back_after_an_error_is_text(boss: TestClient) -> None:
    answer = boss.post("/people", data={"csrf": token(boss), "name": MARKUP, "password": "short"})
    assert answer.status_code == 400 and "<img src=x" not in answer.text


def test_no_name_can_add_a_header(boss: TestClient) -> None:
    boss.post("/batches/1/name", data={"csrf": token(boss), "name": "a\r\nSet-Cookie: evil=1"})
    for path in ("/batches/1/export/csv", "/batches/1", "/"):
        assert "evil" not in str(boss.get(path).headers)


def test_no_cell_of_an_export_is_a_formula(boss: TestClient) -> None:
    """A spreadsheet runs what begins with =, +, -, @, a tab or a line's end (OWASP, CSV injection)."""
    data = boss.get("/batches/2/export/csv").content
    cells = [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) for cell in row]
    assert any("cmd" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t", "\r")]
    book = openpyxl.load_workbook(io.BytesIO(boss.get("/batches/2/export/xlsx").content))
    found = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert any("cmd" in str(cell.value) for cell in found)
    assert all(cell.data_type != "f" for cell in found)


def test_a_template_is_data_and_no_expression(boss: TestClient, tmp_path: Path) -> None:
    """Patterns are RE2's, in which no input takes exponential time, and unknown keys are refused."""
    evil = '{"name": "x", "pages": [], "__class__": "os.system", "identity": {"by": "barcode", "pattern": "(a+)+$"}}'
    answer = boss.post(
        "/templates/open",
        data={"csrf": token(boss)},
        files=[("pages", ("template.json", evil.encode(), "application/json"))],
    )
    assert answer.status_code == 400 and "Traceback" not in answer.text
