"""The audit of labels: what is probably wrong comes first."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inkshift.cli import calibrate as command
from inkshift.datasets.labels import Label
from inkshift.forms.judge.audit import audit, slip
from inkshift.forms.judge.evaluate import match
from inkshift.forms.out.export import Row, add_jsonl, open_text, row, typed
from inkshift.forms.reading import Candidate, FieldReading, FormReading
from slips import corrupted

pytest.importorskip("scipy")
CONFUSED = {"1": "7", "7": "1", "4": "9", "9": "4", "3": "5", "5": "3", "0": "6", "6": "0", "2": "7", "8": "3"}


def read(name: str, *candidates: tuple[str, float]) -> Row:
    text, sure = candidates[0]
    field = FieldReading("A", text, text, "written", sure, tuple(Candidate(*c) for c in candidates))
    return row(FormReading(name), field)


def simulated(n: int, rng: np.random.Generator) -> tuple[list[Row], list[str]]:
    """Readings of n numbers, a tenth wrong, the truth mostly among the candidates, and confidences too high."""
    rows, truths = [], []
    for i in range(n):
        truth = "".join(map(str, rng.integers(0, 10, rng.integers(1, 6))))
        at = int(rng.integers(len(truth)))
        other = truth[:at] + CONFUSED[truth[at]] + truth[at + 1 :]
        doubt = float(rng.beta(0.5, 3.5))
        sure = min(1 - doubt / 2, 0.9999)
        first, second = (truth, other) if rng.random() > doubt * 0.8 else (other, truth)
        if rng.random() < 0.1:
            second = corrupted(first, rng)
        rows.append(read(f"f{i}", (first, round(sure, 4)), (second, round((1 - sure) * 0.9, 4))))
        truths.append(truth)
    return rows, truths


@pytest.mark.parametrize("seed", range(2))
def test_corrupted_labels_come_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, truths = simulated(3000, rng)
    wrong = set(rng.choice(3000, 60, replace=False).tolist())
    labels = [Label(f"f{i}", "A", corrupted(t, rng) if i in wrong else t, "") for i, t in enumerate(truths)]
    suspects = audit(match(rows, labels)[0], rows)
    first = {int(s.form[1:]) for s in suspects[:90]}
    assert len(first & wrong) >= 54
    assert len(suspects) == 3000
    assert 40 < sum(s.wrong for s in suspects) < 80


def test_a_near_miss_of_a_sure_reading_is_suspect_and_a_known_alternative_is_not() -> None:
    rows, truths = simulated(500, np.random.default_rng(1))
    labels = [Label(f"f{i}", "A", truth, "") for i, truth in enumerate(truths)]
    rows += [read("sure", ("1234", 0.9999)), read("torn", ("1234", 0.55), ("1284", 0.44)), read("fine", ("77", 0.99))]
    labels += [Label("sure", "A", "1284", ""), Label("torn", "A", "1284", ""), Label("fine", "A", "77", "")]
    found = {s.form: s for s in audit(match(rows, labels)[0], rows)}
    assert found["sure"].wrong > 0.5 > 0.05 > found["torn"].wrong
    assert found["fine"].wrong < 0.01
    assert found["sure"].disagrees and not found["fine"].disagrees


def test_cells_are_compared_cell_by_cell_where_both_are_known_so() -> None:
    rows = [read(f"f{i}", ("X57", 0.99)) for i in range(20)]
    labels = [Label(f"f{i}", "A", "57", "X57" if i else "_57") for i in range(20)]
    suspects = audit(match(rows, labels)[0], rows)
    assert (suspects[0].form, suspects[0].label, suspects[0].read) == ("f0", "_57", "X57")
    assert not suspects[1].disagrees


def test_a_database_keeps_no_zeros_before_a_number_but_who_learns_from_a_label_does() -> None:
    rows = [read(f"f{i:02}", (f"0{i + 10}", 0.97), (f"0{i + 60}", 0.02)) for i in range(40)]
    labels = [Label(f"f{i:02}", "A", str(i + 10 if i else 11), "") for i in range(40)]
    entries, learnt = (audit(match(rows, labels)[0], rows, zeros) for zeros in (False, True))
    assert [(s.form, s.label, s.read) for s in entries if s.disagrees] == [("f00", "11", "10")]
    assert sum(s.disagrees for s in learnt) == 40


@given(st.text("0123456789", min_size=1, max_size=7), st.integers(0, 2**32))
def test_a_corrupted_value_is_another_and_a_possible_slip(value: str, seed: int) -> None:
    written = corrupted(value, np.random.default_rng(seed))
    assert written != value
    assert 0 < slip(written, value) < 1


def test_likely_slips() -> None:
    changed, swapped, less, more = (slip(written, "1234") for written in ("1294", "1324", "134", "12234"))
    assert min(changed, swapped, less, more) > 50 * slip("8091", "1234")


def test_the_command_lists_and_writes_what_disagrees(tmp_path: Path) -> None:
    rows = [read(f"f{i:02d}", (str(i), 0.99)) for i in range(50)]
    with open_text(tmp_path / "r.jsonl") as file, add_jsonl(file) as add:
        add(map(typed, rows))
    text = "".join(f"f{i:02d},{i if i != 7 else 1}\n" for i in range(50))
    (tmp_path / "l.csv").write_text("form,value\n" + text)
    app = typer.Typer()
    app.command()(command.audit)
    files = [str(tmp_path / name) for name in ("r.jsonl", "l.csv", "out.csv")]
    result = CliRunner().invoke(app, [files[0], files[1], "--out", files[2]])
    assert result.exit_code == 0, result.output
    assert "f07" in result.output and "f08" not in result.output
    (line,) = csv.DictReader(Path(files[2]).read_text().splitlines())
    assert (line["rank"], line["form"], line["label"], line["read"]) == ("1", "f07", "1", "7")
