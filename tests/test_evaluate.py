"""Readings against labels: the measures, the pictures and the command."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from typer.testing import CliRunner

import inkshift.cli.evaluate  # noqa: F401
from inkshift.cli.app import app
from inkshift.datasets.labels import Label
from inkshift.errors import DataError
from inkshift.forms.judge.evaluate import PAPER, confusion_matrix, evaluate, wilson
from inkshift.forms.judge.figures import confusion_picture, digit_distribution, value_distribution
from inkshift.forms.out.export import Row, add_csv, add_jsonl, open_text, row, typed
from inkshift.forms.reading import FieldReading, FormReading, state_of, value_of
from inkshift.models.metrics import macro


def read(form: str, field: str, written: str, confidence: float = 0.9, accepted: bool | None = None) -> Row:
    state = state_of(written)
    value = value_of(written) if state == "written" else ""
    return row(
        FormReading(form),
        FieldReading(field, value, written, state, confidence, accepted=accepted, source="s"),
    )


def label(form: str, field: str, value: str = "", written: str = "") -> Label:
    return Label(form, field, value or value_of(written), written)


ROWS = [
    read("1", "A", "127", 0.95, True),
    read("1", "B", "_17", 0.85, True),
    read("1", "C", "4", 0.35, False),
    read("2", "A", "XXX", 0.65, True),
    read("2", "C", "9", 0.15, False),
]
LABELS = [
    label("1", "A", written="127"),
    label("1", "B", written="_11"),
    label("1", "C", value="144"),
    label("2", "A", written="XXX"),
    label("2", "B", value="30"),
]


def test_a_small_case_worked_out_by_hand() -> None:
    found = evaluate(ROWS, LABELS)
    assert (found.n, found.right, found.accuracy) == (5, 2, 0.4)
    assert (found.extraction, found.classification, found.missing) == (1, 1, 1)
    assert found.digit_accuracy == 4 / 5
    assert found.digit_accuracy_all == 4 / 10
    assert found.confusions == ((1, 7, 1),)
    assert found.precision == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert found.recall == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found.f1 == pytest.approx((4 / 5 + 1 + 2 / 3) / 3)
    assert found.values == {11: 1, 30: 1, 127: 1, 144: 1}
    assert found.digits == (1, 4, 1, 1, 2, 0, 0, 1, 0, 0)
    assert found.by_state == {"written": (2, 1), "crossed-out": (1, 1)}
    assert found.by_symbol == {"1": (3, 2), "2": (1, 1), "7": (1, 1), "X": (3, 3), "_": (1, 1)}
    assert found.mean_confidence == pytest.approx((0.95 + 0.85 + 0.35 + 0.65) / 4)
    assert found.calibration_error == pytest.approx((0.05 + 0.85 + 0.35 + 0.35) / 4)
    assert (found.accepted_share, found.accepted_error) == (3 / 5, 1 / 3)
    assert [(case.form, case.field, case.outcome) for case in found.wrong] == [
        ("1", "B", "classification"),
        ("1", "C", "extraction"),
        ("2", "B", "missing"),
    ]
    assert found.unlabelled == (("2", "C"),)


def test_zeros_before_a_number_count_only_cell_by_cell() -> None:
    texts = {"A": "0942", "B": "12", "C": "0", "D": "0941", "E": "_57"}
    rows = [read("1", name, text) for name, text in texts.items()]
    values = [label("1", name, text) for name, text in (("A", "942"), ("B", "012"), ("C", "00"), ("D", "942"))]
    found = evaluate(rows, [*values, label("1", "E", written="057")])
    assert [case.field for case in found.wrong] == ["D", "E"]
    assert found.digits[0] == 4 and found.confusion[9][9] == 1, "digits of a number that is right are right"


def test_cells_are_compared_where_both_have_the_same_number_of_them() -> None:
    crossed_for_empty = evaluate([read("1", "A", "_57")], [label("1", "A", written="X57")])
    assert (crossed_for_empty.right, crossed_for_empty.classification) == (0, 1)
    without_cells = evaluate([read("1", "A", "57")], [label("1", "A", written="X57")])
    assert (without_cells.right, without_cells.by_symbol) == (1, {})


@pytest.mark.parametrize(
    ("written", "given", "right"),
    [("", "", 1), ("XX", "", 1), ("?1", "", 0), ("1?", "?11", 1), ("__", "?11", 0), ("7", "", 0)],
)
def test_a_field_without_a_number(written: str, given: str, right: int) -> None:
    others = [read("1", "B", "1")], [label("1", "B", "1")]
    found = evaluate([read("1", "A", written), *others[0]], [Label("1", "A", "", given), *others[1]])
    assert found.right == right + 1


def test_a_label_without_a_field_is_that_of_the_only_one() -> None:
    assert evaluate([read("a", "number", "7")], [label("a", "", "7")]).accuracy == 1
    with pytest.raises(DataError, match=r"truth\.csv: the label of form '1' names no field, and the form has A, B, C"):
        evaluate(ROWS, [label("1", "", "7")], "ours.csv", "truth.csv")


def test_labels_that_do_not_fit_are_refused_with_an_example_of_each_side() -> None:
    with pytest.raises(DataError, match=r"truth.csv \(such as form 'x' field 'A'\) .* ours.csv \(such as form '1' fi"):
        evaluate(ROWS, [label("x", "A", "7")], "ours.csv", "truth.csv")
    with pytest.raises(DataError, match=r"such as form '101' .*such as form '0101' .*its zeros belong to the name"):
        evaluate([read("0101", "A", "7")], [label("101", "A", "7")])
    with pytest.raises(DataError, match="there are none"):
        evaluate([], LABELS)
    with pytest.raises(DataError, match="there are none"):
        evaluate(ROWS, [])


def test_a_field_that_was_read_or_labelled_twice_is_refused() -> None:
    with pytest.raises(DataError, match="form '1' field 'A' was read twice"):
        evaluate([*ROWS, ROWS[0]], LABELS)
    with pytest.raises(DataError, match="form 'a' field 'n' is labelled twice"):
        evaluate([read("a", "n", "7")], [label("a", "", "7"), label("a", "n", "7")])


def test_without_digits_or_policy_there_is_nothing_to_report() -> None:
    found = evaluate([read("1", "A", "XX")], [label("1", "A", written="XX")])
    assert found.accuracy == 1
    assert found.digit_accuracy is found.f1 is found.accepted_share is found.accepted_error is None


numbers = st.text("0123456789", min_size=1, max_size=3)
pairs = st.lists(st.tuples(numbers, numbers, st.integers(0, 100)), min_size=1, max_size=20)


def build(content: list[tuple[str, str, int]]) -> tuple[list[Row], list[Label]]:
    rows = [read(str(i), "A", text, share / 100, share > 50) for i, (_, text, share) in enumerate(content)]
    return rows, [label(str(i), "A", text) for i, (text, _, _) in enumerate(content)]


@given(pairs)
def test_the_order_of_rows_changes_nothing(content: list[tuple[str, str, int]]) -> None:
    rows, labels = build(content)
    expected = evaluate(rows, labels)
    order = np.random.default_rng(len(content))
    assert evaluate([rows[i] for i in order.permutation(len(rows))], labels) == expected
    assert evaluate(rows, [labels[i] for i in order.permutation(len(rows))]) == expected


@given(pairs)
def test_counts_add_up(content: list[tuple[str, str, int]]) -> None:
    found = evaluate(*build(content))
    assert found.n == len(content) == found.right + found.extraction + found.classification + found.missing
    right = [(a, b) for a, b, _ in content if int(a) == int(b)]  # zeros before a number are no part of it
    wrong = [(a, b) for a, b, _ in content if int(a) != int(b)]
    assert found.right == len(right)
    assert found.extraction == sum(len(a) != len(b) for a, b in wrong)
    assert np.sum(found.confusion) == sum(len(a) for a, b in (*right, *wrong) if (a, b) in right or len(a) == len(b))
    assert sum(found.values.values()) == found.n and sum(found.digits) == sum(len(a) for a, _, _ in content)
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert found.calibration_error is not None and 0 <= found.calibration_error <= 1


@given(pairs)
def test_all_right_is_one(content: list[tuple[str, str, int]]) -> None:
    found = evaluate(*build([(text, text, 100) for text, _, _ in content]))
    assert found.accuracy == found.digit_accuracy == found.digit_accuracy_all == 1
    assert found.precision == found.recall == found.f1 == 1
    assert found.calibration_error == found.accepted_error == 0
    assert found.wrong == found.confusions == ()


@given(pairs)
def test_it_can_be_written_as_json(content: list[tuple[str, str, int]]) -> None:
    found = evaluate(*build(content))
    assert json.loads(json.dumps(asdict(found)))["n"] == found.n


@given(pairs)
def test_macro_follow_their_definition(content: list[tuple[str, str, int]]) -> None:
    couples = [(a, b) for text, other, _ in content for a, b in zip(text, other, strict=False)]
    scores = []
    for digit in {a for a, _ in couples}:
        hits = sum(a == b == digit for a, b in couples)
        read_as, labelled = sum(b == digit for _, b in couples), sum(a == digit for a, _ in couples)
        precision, recall = hits / read_as if read_as else 0.0, hits / labelled
        scores.append((precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0))
    assert macro(confusion_matrix(couples)) == pytest.approx(tuple(np.mean(scores, axis=0)))


def test_wilson_agrees_with_published_values() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe (1998), table I
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(20, 20)[1] == 1


def test_the_papers_figures() -> None:
    assert (PAPER.accuracy, PAPER.digit_accuracy) == (0.6918, 0.8425)
    assert (PAPER.precision, PAPER.recall, PAPER.f1) == (0.848, 0.868, 0.850)


def test_pictures_are_png_files_that_show_what_they_are_given() -> None:
    found = evaluate(ROWS, LABELS)
    nothing = np.zeros((10, 10), int).tolist()
    for picture, other in (
        (confusion_picture(found.confusion), confusion_picture(nothing)),
        (value_distribution(found.values), value_distribution({})),
        (value_distribution({5: 1, 10**8: 3}), value_distribution({5: 3, 10**8: 1})),
        (digit_distribution(found.digits), digit_distribution([0] * 10)),
    ):
        assert Pillow.open(io.BytesIO(picture)).format == "PNG"
        assert picture != other


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    readings, labels = tmp_path / "ours.csv", tmp_path / "labels.csv"
    with open_text(readings) as file, add_csv(file) as add:
        add(ROWS)
    lines = [f"{item.form},{item.field},{item.value},{item.written}" for item in LABELS]
    labels.write_text("\n".join(["form,field,value,written", *lines]))
    return str(readings), str(labels)


def test_the_command_shows_ours_beside_others_and_the_paper(files: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "as-published.jsonl"
    with open_text(other) as file, add_jsonl(file) as add:
        add([typed(ROWS[0])])
    result = CliRunner().invoke(app, ["evaluate", *files, "--beside", str(other)])
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if "numbers right" in line]
    assert re.findall(r"\S+ %", line) == ["40.00 %", "20.00 %", "69.18 %"]
    assert "1-4, 1-7, 7-2" in result.stdout and "1-7 (1)" in result.stdout
    assert "(no reading)" in result.stdout
    assert "1 readings without a label are not counted, first: form 2, field C" in result.stderr


def test_the_command_writes_json_and_pictures(files: tuple[str, str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", *files, "--json", "--figures", str(tmp_path / "new" / "figures")])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["readings"][files[0]]["accuracy"] == 0.4
    assert json.loads(result.stdout)["paper"]["f1"] == 0.85
    pictures = sorted(path.name for path in (tmp_path / "new" / "figures").iterdir())
    assert pictures == ["confusion.png", "digits.png", "numbers.png"]


def test_the_command_takes_labels_from_a_database(files: tuple[str, str], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "votes.db")) as connection, connection:
        connection.execute("create table votes (telegram text, row text, votes text)")
        connection.execute("insert into votes values ('1', 'A', '127')")
    connection.close()
    query = "select telegram as form, row as field, votes as value from votes"
    arguments = ["evaluate", files[0], f"sqlite:///{tmp_path / 'votes.db'}", "--query", query, "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["readings"][files[0]]["accuracy"] == 1


def test_the_command_names_the_files_that_do_not_fit(files: tuple[str, str], tmp_path: Path) -> None:
    Path(files[1]).write_text("form,field,value\nx,A,7\n")
    result = CliRunner().invoke(app, ["evaluate", *files])
    assert isinstance(result.exception, DataError)
    assert files[0] in str(result.exception) and files[1] in str(result.exception)
