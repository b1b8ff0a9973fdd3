"""Fields that are no numbers: from the template over what is read to what people type and what comes out."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.datasets.labels import read_labels
from inkshift.errors import DataError, TemplateError
from inkshift.forms import kinds
from inkshift.forms.field import amounts, signs
from inkshift.forms.judge.evaluate import evaluate
from inkshift.forms.out.export import open_readings, read_rows, write_forms
from inkshift.forms.reader import Reader
from inkshift.forms.reading import Candidate, FieldReading, FormReading
from inkshift.forms.rules import Limit, broken_rules
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template, load_template
from specimens import pen
from specimens.scanner import scan
from specimens.specimen import Layout, Text, draw_blank
from specimens.ticks import draw_tick

Gray = npt.NDArray[np.uint8]
MARKS = tuple(Mark(x=x, y=y, size=26) for x in (50, 650) for y in (50, 950))
SIDE = 34


def place(row: int, column: int = 0, width: int = 170) -> tuple[int, int, int, int]:
    return 120 + 260 * column, 200 + 90 * row, width, 56


FIELDS = (
    FieldSpec(name="votes", box=place(0), digits=(1, 4)),
    FieldSpec(name="yes", box=(120, 300, SIDE, SIDE), kind="tick"),
    FieldSpec(name="no", box=(380, 300, SIDE, SIDE), kind="tick"),
    FieldSpec(name="perhaps", box=(510, 300, SIDE, SIDE), kind="tick"),
    FieldSpec(name="name", box=place(2, width=430), kind="text"),
    FieldSpec(name="remark", box=place(3, width=430), kind="text"),
    FieldSpec(name="day", box=place(4), kind="date"),
)
TEMPLATE = Template(
    name="all kinds",
    pages=(PageSpec(size=(700, 1000), marks=MARKS, fields=FIELDS),),
    rules=("yes + no + perhaps <= 1",),
)


class Paper:
    """A page of `TEMPLATE` that is written on."""

    def __init__(self, digits: Gray, template: Template = TEMPLATE) -> None:
        self.template, self.rng = template, np.random.default_rng(4)
        self.glyphs = pen.Glyphs(digits, np.arange(10, dtype=np.uint8))
        heading = Layout((Text(350, 130, "A form of all kinds", 34, True, "mm"),))
        self.sheet = draw_blank(template.pages[0], heading).astype(np.float32)

    def box(self, name: str) -> tuple[float, float, float, float]:
        return next(spec.box for spec in self.template.fields if spec.name == name)

    def digits(self, name: str, text: str) -> Paper:
        x, y, _, h = self.box(name)
        hand = pen.Hand(30, 0.5, 0.35, 0.04, 0.3, 0.0, 0.01, 40.0)
        ink = pen.write_amount(text, self.glyphs, self.rng, hand)
        pen.lay_ink(self.sheet, ink, round(x + 20), round(y + (h - ink.shape[0]) / 2), 40, self.rng)
        return self

    def tick(self, name: str, kind: str) -> Paper:
        x, y, side, _ = self.box(name)
        ink = draw_tick(kind, side, 3, self.rng)
        pen.lay_ink(self.sheet, ink, round(x - side / 2), round(y - side / 2), 45, self.rng)
        return self

    def words(self, name: str) -> Paper:
        """A line that goes up and down as writing does."""
        x, y, w, h = self.box(name)
        t = np.linspace(0, 1, 200)
        points = np.stack([x + 15 + 0.6 * w * t, y + h / 2 + 0.25 * h * np.sin(60 * t) * np.cos(17 * t)], 1)
        cv2.polylines(self.sheet, [points.round().astype(np.int32)], False, 50.0, 2, cv2.LINE_AA)
        return self

    def save(self, path: Path) -> Path:
        cv2.imwrite(str(path), np.clip(np.rint(self.sheet), 0, 255).astype(np.uint8))
        return path

    def scan(self, path: Path) -> Path:
        page = np.clip(np.rint(self.sheet), 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), scan(page, self.rng))
        return path


MONEY = Template(
    name="money",
    pages=(
        PageSpec(
            size=(700, 1000),
            marks=MARKS,
            fields=(
                FieldSpec(name="a", box=place(0, width=200), digits=(1, 7), kind="decimal"),
                FieldSpec(name="b", box=place(1, width=200), digits=(1, 7), kind="decimal", signed=True),
                FieldSpec(name="sum", box=place(2, width=200), digits=(1, 7), kind="decimal", signed=True),
                FieldSpec(name="change", box=place(3, width=200), digits=(1, 4), signed=True),
                FieldSpec(name="paid", box=(120, 560, SIDE, SIDE), kind="tick"),
                FieldSpec(name="who", box=place(5, width=430), kind="text"),
                FieldSpec(name="day", box=place(6, width=200), kind="date"),
            ),
        ),
    ),
    rules=("a + b = sum",),
)


def written(folder: Path, template: Template = TEMPLATE) -> Path:
    path = folder / "form.json"
    path.write_text(template.model_dump_json())
    return path


def read(folder: Path, paper: Paper) -> FormReading:
    (form,) = Reader(written(folder, paper.template), crops=True).read(paper.scan(folder / "page.png"))
    assert not form.errors
    return form


def test_a_page_of_all_kinds_is_read(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    paper = Paper(drawn_digits).digits("votes", "34").tick("yes", "cross").words("name").words("day")
    form = read(tmp_path, paper.tick("perhaps", "nothing"))
    found = {item.name: (item.kind, item.state, item.value) for item in form}
    assert found == {
        "votes": ("number", "written", "34"),
        "yes": ("tick", "written", "1"),
        "no": ("tick", "written", "0"),
        "perhaps": ("tick", "written", "0"),
        "name": ("text", "unread", ""),
        "remark": ("text", "blank", ""),
        "day": ("date", "unread", ""),
    }
    assert form["yes"].confidence > 0.8 and form["no"].confidence > 0.9 and form["remark"].confidence > 0.9
    assert form["name"].confidence == 0 and form["name"].crop is not None
    assert not any(item.rules_broken for item in form)


@pytest.mark.parametrize("kind", ["hook", "slash", "plus", "filled", "round", "letter", "cross"])
def test_marks_of_all_kinds_are_ticks(tmp_path: Path, drawn_digits: Gray, shipped_model: str, kind: str) -> None:
    form = read(tmp_path, Paper(drawn_digits).tick("yes", kind).tick("no", "speck").digits("votes", "7"))
    assert (form["yes"].value, form["perhaps"].value) == ("1", "0")
    assert form["no"].value == "0" or form["no"].confidence < 0.9


@pytest.mark.parametrize("kind", ["struck", "scribble"])
def test_a_box_struck_out_is_for_people(tmp_path: Path, drawn_digits: Gray, shipped_model: str, kind: str) -> None:
    item = read(tmp_path, Paper(drawn_digits).tick("yes", kind).digits("votes", "7"))["yes"]
    assert item.state == "overwritten" or item.confidence < 0.8


def test_two_ticks_where_one_may_be_break_a_rule(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    form = read(tmp_path, Paper(drawn_digits).tick("yes", "cross").tick("no", "cross").digits("votes", "7"))
    assert (form["yes"].value, form["no"].value) == ("1", "1")
    assert "1 + 1 + 0 = 2" in form["yes"].rules_broken[0]
    assert not form["votes"].rules_broken


def test_files_show_each_kind(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    form = read(tmp_path, Paper(drawn_digits).digits("votes", "34").tick("yes", "cross").words("name"))
    write_forms([form], *(open_readings(tmp_path / f"out.{end}") for end in ("csv", "json", "xlsx")))
    rows = {row["field"]: row for row in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())}
    assert (rows["yes"]["value"], rows["no"]["value"], rows["name"]["state"]) == ("1", "0", "unread")
    assert read_rows(tmp_path / "out.json") == read_rows(tmp_path / "out.csv")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    cells = {row[1]: row[2] for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert cells["votes"] == 34 and cells["yes"] is True and cells["no"] is False and cells["name"] is None


def test_evaluate_leaves_unread_fields_out(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    form = read(tmp_path, Paper(drawn_digits).digits("votes", "34").tick("yes", "cross").words("name"))
    write_forms([form], open_readings(tmp_path / "out.csv"))
    labels = tmp_path / "labels.csv"
    labels.write_text("form,field,value\npage,votes,34\npage,yes,1\npage,no,0\npage,perhaps,1\npage,name,5\n")
    result = evaluate(read_rows(tmp_path / "out.csv"), read_labels(str(labels)))
    assert (result.n, result.right) == (4, 3)
    assert ("page", "name") in result.unlabelled
    labels.write_text("form,field,value\npage,name,Meier\n")
    with pytest.raises(DataError, match="leave out the rows of texts and dates"):
        read_labels(str(labels), amounts=True)


def test_a_number_says_nothing_of_its_kind() -> None:
    """What a template of numbers says, and so every signature and file, is what it was."""
    said = FieldSpec(name="a", box=(0, 0, 10, 10)).model_dump_json()
    assert said == '{"name":"a","box":[0.0,0.0,10.0,10.0],"cells":0,"digits":[1,8],"max":null,"frame":true}'
    for spec in FIELDS:
        assert FieldSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("field", "rules", "message"),
    [
        ({"kind": "tock"}, [], "kind: input should be"),
        ({"kind": "tick", "cells": 2}, [], "kind 'tick' takes no cells, digits, max or signed"),
        ({"kind": "text"}, ["a = 5"], "names 'a', of kind 'text'; rules take number, decimal, tick"),
        ({"kind": "decimal", "cells": 4, "signed": True}, [], "leave out cells or signed"),
        ({"kind": "decimal"}, ["a = b"], "expected fields of like places behind their separator, found a 2, b 0"),
        ({"kind": "date", "cells": 8}, [], "takes no cells"),
        ({"kind": "date", "cells": 6, "order": "dmy"}, [], "that is for a date in 8 cells"),
        ({"cells": 8, "order": "dmy"}, [], "that is for a date in 8 cells"),
        ({"places": 2}, [], "has no places; leave them out, or make it a decimal"),
    ],
)
def test_what_does_not_go_together_is_said(
    tmp_path: Path, field: dict[str, Any], rules: list[str], message: str
) -> None:
    data = TEMPLATE.model_dump(mode="json")
    data["pages"][0]["fields"] = [
        {"name": "a", "box": [50, 100, 100, 50]} | field,
        {"name": "b", "box": [50, 200, 100, 50]},
    ]
    path = tmp_path / "form.json"
    path.write_text(json.dumps(data | {"rules": rules}))
    with pytest.raises(TemplateError, match=message):
        load_template(path)


def test_a_form_is_called_by_a_number_only(tmp_path: Path) -> None:
    data = TEMPLATE.model_dump(mode="json") | {"identity": {"by": "field", "field": "yes"}}
    path = tmp_path / "form.json"
    path.write_text(json.dumps(data))
    with pytest.raises(TemplateError, match="a form is called by a number"):
        load_template(path)


def test_decimals_and_signs_are_read_and_added_up(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    paper = Paper(drawn_digits, MONEY).digits("a", "57,50").digits("b", "-32,25").digits("sum", "25.25")
    form = read(tmp_path, paper.digits("change", "-350").tick("paid", "hook"))
    found = {item.name: item.value for item in form}
    assert found["a"] == "57.50" and found["b"] == "-32.25" and found["sum"] == "25.25" and found["change"] == "-350"
    assert not any(item.rules_broken for item in form)


def test_a_sum_of_decimals_that_does_not_hold_is_told(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    paper = Paper(drawn_digits, MONEY).digits("a", "57,50").digits("b", "32,25").digits("sum", "25.25")
    form = read(tmp_path, paper)
    assert "57.50 + 32.25 = 89.75, but sum is 25.25" in form["sum"].rules_broken[0]


def test_a_decimal_without_its_separator_is_never_sure(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    """1250 may be 1250.00 or 12.50: both are said, neither is believed."""
    item = read(tmp_path, Paper(drawn_digits, MONEY).digits("a", "5732"))["a"]
    assert item.confidence < 0.5
    assert {"57.32", "5732.00"} <= {c.written for c in item.candidates}


def test_from_the_template_to_what_people_settle(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    intake, queue, exchange = (
        pytest.importorskip(f"inkshift.review.{name}") for name in ("core.intake", "core.queue", "batches.exchange")
    )
    from review_app import opened
    from review_forms import people

    paper = Paper(drawn_digits, MONEY).digits("a", "57,50").digits("b", "-32,25").digits("sum", "25.25")
    form = read(tmp_path, paper.digits("change", "-350").tick("paid", "hook").words("who").words("day"))
    write_forms([form], *(open_readings(tmp_path / f"out.{end}") for end in ("csv", "xlsx")))
    cells = _columns(tmp_path / "out.xlsx", "value")
    assert (cells["a"], cells["b"], cells["change"], cells["paid"]) == (57.5, -32.25, -350, True)
    assert {row["field"]: row["value"] for row in read_rows(tmp_path / "out.csv")}["b"] == "-32.25"
    typed = {
        "a": "57,50",
        "b": "-32,25",
        "sum": "25,25",
        "change": "-350",
        "paid": "1",
        "who": "Ana",
        "day": "1.2.2026",
    }
    with opened(tmp_path) as store:
        batch = intake.add_batch(store, "b", [form], template=MONEY)
        (user,) = people(store, 1)
        while item := queue.next_field(store, user, batch):
            queue.decide(store, user, item.field, typed[item.name])
        exchange.write_table(store, batch, tmp_path / "settled.xlsx")
    settled = _columns(tmp_path / "settled.xlsx", "decided")
    assert settled == {
        "a": 57.5,
        "b": -32.25,
        "sum": 25.25,
        "change": -350,
        "paid": True,
        "who": "Ana",
        "day": datetime(2026, 2, 1),
    }


def _columns(path: Path, name: str) -> dict[str, object]:
    rows = list(openpyxl.load_workbook(path).active.iter_rows(values_only=True))
    return {str(row[1]): row[rows[0].index(name)] for row in rows[1:]}


def sign(name: str, before: int, behind: int, probability: float = 0.95) -> signs.Sign:
    return signs.Sign(name, probability, before, behind)


@pytest.mark.parametrize(
    ("digits", "beside", "written", "least", "most"),
    [
        ("1250", [sign("comma", 2, 2)], "12.50", 0.85, 1.0),
        ("1250", [], "1250.00", 0.3, 0.5),
        ("1250", [sign("point", 1, 3)], "1250.00", 0.2, 0.5),
        ("12150", [sign("comma", 2, 2)], "121.50", 0.3, 0.5),
        ("123450", [sign("point", 1, 5), sign("comma", 4, 2)], "1234.50", 0.6, 0.8),
        ("1250", [sign("dash", 0, 4), sign("comma", 2, 2)], "-12.50", 0.8, 1.0),
        ("1250", [sign("dash", 2, 2), sign("comma", 2, 2)], "12.50", 0.2, 0.5),
        ("50", [sign("comma", 0, 2)], "0.50", 0.85, 1.0),
        ("1250", [sign("comma", 2, 2), sign("dash", 4, 0)], "12.50", 0.45, 0.6),
        ("1250", [sign("comma", 4, 0), sign("dash", 4, 0)], "1250.00", 0.3, 0.5),
    ],
)
def test_what_signs_make_of_digits(
    digits: str, beside: list[signs.Sign], written: str, least: float, most: float
) -> None:
    item = FieldReading("a", digits, digits, "written", 0.99, (Candidate(digits, 0.99),))
    found = amounts.as_amount(item, beside, 2, True, 8, None)
    assert (found.written, found.value) == (written, written)
    assert least <= found.confidence <= most
    assert sum(c.probability for c in found.candidates) <= 1


def test_a_decimal_in_cells_has_its_separator_before_the_last() -> None:
    item = FieldReading("a", "1250", "_1250", "written", 0.9, (Candidate("_1250", 0.9),))
    found = amounts.in_cells(item, 2)
    assert (found.written, found.value, found.state) == ("_12.50", "12.50", "written")
    open_ = amounts.in_cells(replace(item, value="12", written="12___"), 2)
    assert (open_.value, open_.state) == ("", "overwritten")
    assert amounts.in_cells(replace(item, value="", written="_____", state="blank"), 2).state == "blank"


@given(st.dates(min_value=date(1000, 1, 1)))
def test_dates_are_kept_in_one_form(day: date) -> None:
    for typed in (day.isoformat(), f"{day.day}.{day.month}.{day.year}", f" {day:%d.%m.%Y} "):
        assert kinds.parse_value(typed, "date") == day.isoformat()


@given(st.integers(-(10**12), 10**12), st.integers(1, 4))
def test_decimals_are_kept_in_one_form(units: int, places: int) -> None:
    text = kinds.shown(units, places)
    for typed in (text, text.replace(".", ","), f" {text}"):
        assert kinds.parse_value(typed, "decimal", places, signed=True) == text
    assert kinds.number_of(text) == units
    assert float(text) == pytest.approx(units / 10**places)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1250", Limit("a", kind="decimal", places=2)),
        ("12.5", Limit("a", kind="decimal", places=2)),
        ("-12.50", Limit("a", kind="decimal", places=2)),
        ("1.2.50", Limit("a", kind="decimal", places=2)),
        ("-5", Limit("a")),
        ("2", Limit("a", kind="tick")),
        ("31.2.2026", Limit("a", kind="date")),
        ("11/12/2026", Limit("a", kind="date")),
        ("\x07", Limit("a", kind="text")),
        ("", Limit("a", kind="text")),
    ],
)
def test_what_is_no_value_of_its_kind(text: str, limit: Limit) -> None:
    with pytest.raises(kinds.KindError, match="expected"):
        limit.parse(text)


def test_limits_count_what_each_kind_holds() -> None:
    decimal = Limit("a", digits=(3, 5), largest=100, kind="decimal", places=2)
    codes = {text: [b.code for b in broken_rules([decimal], {"a": text})] for text in ("99.99", "100.01", "0.5", "X")}
    assert codes == {"99.99": [], "100.01": ["max"], "0.5": ["digits"], "X": []}
    assert not broken_rules([Limit("a", kind="text")], {"a": "12345678901234567890123"})


def test_a_date_in_cells_is_read(tmp_path: Path, drawn_digits: Gray, shipped_model: str) -> None:
    """Eight cells are a date, in the order that the template says; what is no day, or half of one, goes to people."""
    names = ("good", "american", "no day", "half", "nothing")
    fields = tuple(
        FieldSpec(name=name, box=place(i, width=400), kind="date", cells=8, order="mdy" if i == 1 else "dmy")
        for i, name in enumerate(names)
    )
    template = Template(name="dates", pages=(PageSpec(size=(700, 1000), marks=MARKS, fields=fields),))
    paper = Paper(drawn_digits, template)
    for name, text in zip(names, ("28112026", "11282026", "31022026", "28"), strict=False):
        x, y, w, h = paper.box(name)
        hand = pen.Hand(30, 0.5, 0.35, 0.04, 0.3, 0.0, 0.01, 40.0)
        for i, digit in enumerate(text):
            ink = pen.write_amount(digit, paper.glyphs, paper.rng, hand)
            left = x + (i + 0.5) * w / 8 - ink.shape[1] / 2
            pen.lay_ink(paper.sheet, ink, round(left), round(y + (h - ink.shape[0]) / 2), 40, paper.rng)
    form = read(tmp_path, paper)
    assert {item.name: (item.kind, item.state, item.value) for item in form} == {
        "good": ("date", "written", "2026-11-28"),
        "american": ("date", "written", "2026-11-28"),
        "no day": ("date", "unread", ""),
        "half": ("date", "unread", ""),
        "nothing": ("date", "blank", ""),
    }
    assert form["good"].confidence > 0.8 and form["no day"].confidence == form["half"].confidence == 0
    write_forms([form], *(open_readings(tmp_path / f"out.{end}") for end in ("csv", "json", "xlsx")))
    assert read_rows(tmp_path / "out.json") == read_rows(tmp_path / "out.csv")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    cells = {row[1]: row[2] for row in sheet.iter_rows(min_row=2, values_only=True)}
    assert cells["good"] == datetime(2026, 11, 28) and cells["half"] is None


@given(st.dates(date(1000, 1, 1)), st.sampled_from(["dmy", "mdy", "ymd"]))
def test_a_day_is_read_in_its_order(day: date, order: kinds.Order) -> None:
    text = "".join(day.strftime({"d": "%d", "m": "%m", "y": "%Y"}[part]) for part in order)
    wrong = Candidate("99" * 4, 0.6)
    sure = FieldReading("a", text, text, "written", 0.9, (Candidate(text, 0.9),))
    assert (kinds.as_date(sure, order).value, kinds.as_date(sure, order).confidence) == (day.isoformat(), 0.9)
    doubtful = FieldReading("a", "99" * 4, "99" * 4, "written", 0.6, (wrong, Candidate(text, 0.3)))
    found = kinds.as_date(doubtful, order)
    assert (found.value, found.confidence) == (day.isoformat(), 0.3)
    assert kinds.as_date(replace(doubtful, candidates=(wrong,)), order).state == "unread"
    assert kinds.as_date(replace(sure, state="overflow"), order).state == "unread", "more is there than its cells hold"
