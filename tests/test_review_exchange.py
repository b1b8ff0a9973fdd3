"""What comes into review and what goes out of it."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from openpyxl import load_workbook
from PIL import Image as Pillow

import review_forms as forms
from inkshift.datasets.catalog import load_numbers
from inkshift.datasets.labels import Label, read_labels
from inkshift.errors import DataError, InputError, SettingError
from inkshift.forms.crops import teach
from inkshift.forms.crops.harvest import split_of
from inkshift.forms.cut import cutout
from inkshift.forms.out.export import COLUMNS, read_rows
from inkshift.forms.page.laid import MARGIN
from inkshift.forms.reader import Reader
from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote
from inkshift.forms.template import FieldSpec, Mark, PageSpec, Template
from inkshift.review import datasets
from inkshift.review.batches.exchange import DECIDED, lines, write_label_studio, write_table
from inkshift.review.core import intake
from inkshift.review.core import store as stores
from inkshift.review.core.checks import count_broken
from inkshift.review.core.queue import decide, next_field
from inkshift.review.core.schema import Decision, Field, Form, Page
from inkshift.review.core.store import Store
from inkshift.review.keying.views import crop_of

pytest_plugins = ["review_databases"]

MARKS = tuple(Mark(x=x, y=y, size=10) for x in (20, 180) for y in (20, 280))
TEMPLATE = Template(
    name="small",
    pages=(
        PageSpec(
            size=(200, 300),
            marks=MARKS,
            fields=(FieldSpec(name="a", box=(40, 40, 60, 30)), FieldSpec(name="b", box=(40, 90, 60, 30), cells=2)),
        ),
    ),
)
READ = FormReading(
    "=f1",
    (
        FieldReading(
            "a",
            "012",
            "012",
            "written",
            0.93124,
            (Candidate("012", 0.93124), Candidate("X12", 0.041)),
            accepted=False,
            rules_broken=("a = b: 12, but 3",),
            source="scans/c1.pdf",
            page=2,
            box=(40, 40, 100.5, 70),
            crop=forms.CROP,
        ),
        FieldReading("b", "", "_X", "crossed-out", 0.5, source="scans/c1.pdf", page=2),
    ),
    (PageNote("scans/c1.pdf", 2, 0.8),),
)


@pytest.fixture
def batch(store: Store) -> int:
    return intake.add_batch(store, "one", [READ], template=TEMPLATE, model="d" * 64)


@pytest.fixture
def ann(store: Store) -> int:
    return stores.add_user(store, "ann", "keyer")


class TestIntake:
    def test_all_of_a_reading_is_kept(self, store: Store, batch: int) -> None:
        with store.reading() as session:
            field, other = session.scalars(sa.select(Field).order_by(Field.id))
            (reading,) = field.readings
            assert (reading.value, reading.written, reading.state, reading.confidence) == (
                "012",
                "012",
                "written",
                0.93124,
            )
            assert (reading.accepted, reading.model) == (False, "d" * 64)
            assert reading.candidates == [["012", 0.93124], ["X12", 0.041]]
            assert field.page is not None and (field.page.source, field.page.number) == ("scans/c1.pdf", 2)
            assert (field.form.name, field.box, other.box) == ("=f1", [40, 40, 100.5, 70], None)
            assert other.readings[0].accepted is None
            ids = (field.id, other.id)
        picture, none = (crop_of(store, field) for field in ids)
        assert picture is not None and none is None
        assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(picture))), forms.CROP)

    def test_pages_carry_the_digest_of_their_file(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"abc")
        pages = (PageNote(str(tmp_path / "a.png"), 1, 0.9), PageNote("gone.png", 1, error="gone.png: cannot be read"))
        intake.add_batch(store, "one", [FormReading("f", (), pages)])
        with store.reading() as session:
            found = session.scalars(sa.select(Page).order_by(Page.id)).all()
        assert [page.sha256[:8] for page in found] == ["ba7816bf", ""]
        assert found[1].error == "gone.png: cannot be read"

    def test_forms_that_are_there_are_passed_over(self, store: Store, batch: int) -> None:
        again = FormReading("=f1", READ.fields, (PageNote("scans/c1.pdf", 4, 0.8),))
        assert intake.add_forms(store, batch, [READ, again]) == 1
        assert intake.add_forms(store, batch, [READ, again]) == 0
        with store.reading() as session:
            assert session.scalar(sa.select(sa.func.count(Form.id))) == 2

    def test_forms_of_one_name_on_one_picture_all_come_once(self, store: Store, batch: int) -> None:
        twin = replace(READ, fields=READ.fields[:1])
        assert intake.add_forms(store, batch, [READ, twin]) == 1
        assert intake.add_forms(store, batch, [READ, twin]) == 0
        with store.reading() as session:
            many = sa.select(sa.func.count(Field.id)).group_by(Field.form_id).order_by(Field.form_id)
            assert session.scalars(many).all() == [len(READ.fields), 1]

    @pytest.mark.parametrize("first", [0, 1])
    def test_a_page_that_comes_later_goes_to_its_form(self, store: Store, first: int) -> None:
        """Whichever of the two pages was there before."""
        notes = (PageNote("p1.png", 1, 0.9), PageNote("p2.png", 1, 0.8))
        items = tuple(replace(forms.field(name), source=note.source) for name, note in zip("ab", notes, strict=True))
        whole = FormReading("77", items, notes)
        batch = intake.add_batch(
            store, "two pages", [replace(whole, fields=(items[first],), pages=(notes[first],))], template=forms.TALLY
        )
        count_broken(store, batch)
        assert [intake.add_forms(store, batch, [whole]) for _ in range(2)] == [1, 0]
        with store.reading() as session:
            (form,) = session.scalars(sa.select(Form).where(Form.batch_id == batch))
            assert form.broken is None, "its rules are asked anew"
            found = {(item.name, item.page.source) for item in form.fields if item.page}
            assert found == {("a", "p1.png"), ("b", "p2.png")} and len(form.fields) == len(form.pages) == 2

    def test_forms_that_were_read_stay_when_reading_fails(self, store: Store, batch: int) -> None:
        def read() -> Iterator[FormReading]:
            for number in range(20):
                yield FormReading(f"n{number}", READ.fields, (PageNote("scans/n.pdf", number + 1, 0.8),))
            raise InputError("n.pdf: cannot be read further")

        with pytest.raises(InputError, match="cannot be read further"):
            intake.add_forms(store, batch, read())
        with store.reading() as session:
            assert session.scalar(sa.select(sa.func.count(Form.id))) == 21
        with pytest.raises(InputError):
            assert intake.add_forms(store, batch, read()) == 0

    def test_a_form_that_the_database_refuses_costs_no_other(self, store: Store, batch: int) -> None:
        given = [FormReading(f"n{number}", READ.fields, READ.pages) for number in range(5)]
        given[1] = replace(given[1], fields=(replace(READ.fields[0], name=None),))  # type: ignore[arg-type]
        with pytest.raises(Exception, match=r"(?i)not.null constraint"):
            intake.add_forms(store, batch, given)
        with store.reading() as session:
            names = session.scalars(sa.select(Form.name).order_by(Form.id)).all()
        assert names == ["=f1", "n0", "n2", "n3", "n4"]

    def test_what_was_mended_does_not_come_back(self, store: Store) -> None:
        """Mending gives a form another name, and a page another file."""
        unread = FormReading("scan-9", (), (PageNote("q.png", 1, error="q.png page 1: refused"),))
        batch = intake.add_batch(store, "mended", [unread])
        with store.writing() as session:
            form = session.scalars(sa.select(Form).where(Form.batch_id == batch)).one()
            form.name, form.pages[0].error, form.pages[0].source = "T-0009", "", "again.png"
        assert intake.add_forms(store, batch, [unread]) == 0

    def test_names_and_kinds_of_batches(self, store: Store, batch: int) -> None:
        for name, more, message in (
            ("one", {}, "'one': is there already"),
            (" ", {}, "expected a name of 1 to 200"),
            ("two", {"model_keys": True}, "switch double keying on"),
        ):
            with pytest.raises(SettingError, match=message):
                intake.add_batch(store, name, [], **more)
        with pytest.raises(SettingError, match="there is no such batch"):
            intake.add_forms(store, 99, [])

    def test_labels_are_decisions_of_their_source(self, store: Store, batch: int) -> None:
        labels = [Label("=f1", "a", "013", ""), Label("=f1", "b", "", "_X"), Label("f2", "a", "1", "")]
        added = intake.add_labels(store, batch, labels, "labels 2021")
        assert (added.added, added.unused) == (2, (("f2", "a"),))
        assert intake.add_labels(store, batch, labels, "labels 2021").added == 0
        with store.reading() as session:
            found = session.scalars(sa.select(Decision).order_by(Decision.id)).all()
            assert [(d.kind, d.state, d.value, d.user.role) for d in found] == [
                ("key", "written", "013", "source"),
                ("key", "crossed-out", "", "source"),
            ]
            assert set(session.scalars(sa.select(Field.status))) == {"settled"}
        stores.add_user(store, "ann", "keyer")
        with pytest.raises(SettingError, match="source 'ann': a keyer has that name"):
            intake.add_labels(store, batch, labels, "ann")

    @pytest.mark.parametrize(
        ("label", "answer"),
        [
            (Label("f", "", "7", ""), ("written", "7")),
            (Label("f", "", "", ""), ("blank", "")),
            (Label("f", "", "", "__"), ("blank", "")),
            (Label("f", "", "1", "1?"), ("unreadable", "")),
        ],
    )
    def test_what_a_label_says(self, label: Label, answer: tuple[str, str]) -> None:
        assert intake._answer(label) == answer

    def test_a_forms_only_field_needs_no_name(self, store: Store) -> None:
        batch = intake.add_batch(store, "two", [forms.form("f", forms.field("number"))])
        assert intake.add_labels(store, batch, [Label("f", "", "12", "")], "labels").added == 1


class TestTables:
    def test_what_is_read_and_what_is_decided(self, store: Store, batch: int, ann: int, tmp_path: Path) -> None:
        item = next_field(store, ann, batch)
        assert item is not None
        decide(store, ann, item.field, "013")
        for name in ("out.csv", "out.jsonl"):
            write_table(store, batch, tmp_path / name)
            rows = read_rows(tmp_path / name)
            assert [row["value"] for row in rows] == ["012", ""], "a table of readings like any other"
            assert rows[0]["candidates"] == "012:0.9312 X12:0.0410"
        first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
        assert [first[name] for name in DECIDED] == ["013", "written", ["ann"], 1, []]
        assert [second[name] for name in DECIDED] == ["", "", [], 0, []]
        with (tmp_path / "out.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert list(table[0]) == [*COLUMNS, *DECIDED]
        assert [table[0][name] for name in DECIDED] == ["013", "written", "ann", "1", ""]

    def test_who_stands_for_an_answer(self, store: Store) -> None:
        batch = intake.add_batch(store, "two", forms.many(1, 1), double=True, model_keys=True)
        for name, value in (("ann", "8"), ("bob", "8")):
            user = stores.add_user(store, name, "keyer")
            item = next_field(store, user, batch)
            assert item is not None
            decide(store, user, item.field, value)
        (line,) = lines(store, batch)
        assert (line.row["decided"], line.by, line.keyers) == ("8", ("ann", "bob"), 3)

    def test_spreadsheets_show_crops_and_run_nothing(self, store: Store, batch: int, ann: int, tmp_path: Path) -> None:
        write_table(store, batch, tmp_path / "out.xlsx")
        sheet = load_workbook(tmp_path / "out.xlsx").active
        assert sheet is not None
        assert [cell.value for cell in sheet[1]] == [*COLUMNS[:3], "crop", *DECIDED, *COLUMNS[3:]]
        assert sheet["A2"].value == "'=f1"
        assert [(image.anchor._from.row, image.anchor._from.col) for image in sheet._images] == [(1, 3)]

    def test_what_is_no_table(self, store: Store, batch: int, tmp_path: Path) -> None:
        with pytest.raises(
            SettingError, match=r"the ending '.xls' names no table; known: .csv, .json, .jsonl, .parquet, .xlsx"
        ):
            write_table(store, batch, tmp_path / "out.xls")
        with pytest.raises(SettingError, match="cannot be written"):
            write_table(store, batch, tmp_path / "nowhere" / "out.csv")


def test_label_studio_tasks(store: Store, batch: int, ann: int, tmp_path: Path) -> None:
    item = next_field(store, ann, batch)
    assert item is not None
    decide(store, ann, item.field, "013")
    write_label_studio(store, batch, tmp_path / "tasks.json")
    first, second = json.loads((tmp_path / "tasks.json").read_text())
    kind, _, picture = first["data"]["image"].partition(";base64,")
    assert kind == "data:image/png"
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(base64.b64decode(picture)))), forms.CROP)
    (prediction,), (annotation,) = first["predictions"], first["annotations"]
    assert prediction["score"] == 0.9312 and prediction["model_version"] == "d" * 64
    assert [part["value"] for part in prediction["result"]] == [{"choices": ["written"]}, {"text": ["012"]}]
    assert annotation["result"][1]["value"] == {"text": ["013"]}
    assert "annotations" not in second
    empty = intake.add_batch(store, "empty")
    write_label_studio(store, empty, tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text()) == []


class TestLabelled:
    def test_numbers_to_train_on(
        self, store: Store, batch: int, ann: int, tmp_path: Path, drawn_digits: np.ndarray, shipped_model: str
    ) -> None:
        number = 255 - np.hstack([drawn_digits[4], drawn_digits[2]])
        read = [forms.form(f"f/{i}", FieldReading("a", "42", "42", "written", 0.5, crop=number)) for i in range(3)]
        batch = intake.add_batch(store, "two", read)
        for value in ("42", "42", "blank"):
            item = next_field(store, ann, batch)
            assert item is not None
            decide(store, ann, item.field, value)
        folder = tmp_path / "numbers"
        written = datasets.write_labelled(store, [batch], folder)
        assert (written.numbers, written.forms, written.left_out) == (2, 2, 1)
        labels = read_labels(str(folder / "labels.csv"))
        reader = Reader(read_as="number", model="numbers", crops=True)
        found = teach.labelled(reader, [folder], labels)
        assert found.labels == ["42", "42"] and not found.left_out
        pictures, values, of_forms = load_numbers(str(folder / "numbers.csv"))
        assert (values, of_forms) == (["42", "42"], ["f/0", "f/1"])
        assert np.array_equal(pictures[0], number)

    def test_pictures_are_cut_to_the_box_and_a_little_around_it(self, store: Store, ann: int, tmp_path: Path) -> None:
        height, width = 100, 200
        margin = round(MARGIN * height)
        cut = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
        cut[margin:-margin, margin:-margin] = 200
        batch = intake.add_batch(
            store, "two", [forms.form("f", FieldReading("a", "1", "1", "written", 0.5, crop=cut))], template=TEMPLATE
        )
        item = next_field(store, ann, batch)
        assert item is not None
        decide(store, ann, item.field, "1")
        datasets.write_labelled(store, [batch], tmp_path / "out")
        pictures, _, _ = load_numbers(str(tmp_path / "out" / "numbers.csv"))
        box = (margin, margin, margin + width, margin + height)
        assert pictures[0].shape == cut[cutout.around(cutout.FieldJob("a", "number", cut, cut, box))].shape

    def test_parts_by_form(self, store: Store, ann: int, tmp_path: Path) -> None:
        read = [forms.form(f"f{i}", forms.field("a"), forms.field("b")) for i in range(12)]
        batch = intake.add_batch(store, "two", read)
        while (item := next_field(store, ann, batch)) is not None:
            decide(store, ann, item.field, "12")
        parts = {}
        for part in ("train", "test"):
            datasets.write_labelled(store, [batch], tmp_path / part, part)  # type: ignore[arg-type]
            parts[part] = set(load_numbers(str(tmp_path / part / "numbers.csv"))[2])
        assert parts["train"] | parts["test"] == {form.name for form in read} and not parts["train"] & parts["test"]
        assert all(split_of(form, datasets.TEST_SHARE) == "test" for form in parts["test"])

    def test_nothing_half_done(self, store: Store, batch: int, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no number is settled"):
            datasets.write_labelled(store, [batch], tmp_path / "out")
        assert list(tmp_path.glob("*out*")) == []
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").touch()
        with pytest.raises(SettingError, match="expected a new or empty folder"):
            datasets.write_labelled(store, [batch], tmp_path / "mine")
