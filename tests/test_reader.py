"""The reader from pages to forms: bundled telegrams, pages the wrong way up, several pages, what a form is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from inkshift.datasets.labels import read_labels
from inkshift.errors import ModelError, SettingError, TemplateError
from inkshift.forms.assemble import RollCall, RollEntry
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reader import Reader, read
from inkshift.forms.reading import FormReading
from inkshift.forms.template import Template
from specimens.pen import Glyphs
from specimens.scanner import Wear
from specimens.specimen import Layout, Specimen, Text, draw_blank, specimen_pages

Gray = npt.NDArray[np.uint8]
pytestmark = pytest.mark.usefixtures("shipped_model")

MARKS = [{"x": x, "y": y, "size": 22} for x, y in ((50, 50), (650, 50), (50, 950), (650, 950))]
BARS = (Layout(barcode=(60, 100)), Layout(barcode=(60, 800)))


def boxes(*names: str, y: int) -> list[dict[str, object]]:
    return [{"name": n, "box": [400, y + 90 * i, 180, 60], "cells": 3, "digits": [3, 3]} for i, n in enumerate(names)]


def two_pages(identity: dict[str, str]) -> Template:
    """A form of two pages, whose boxes stand at different heights."""
    pages = [
        {"size": [700, 1000], "marks": MARKS, "fields": boxes("number", "a", "b", y=250)},
        {"size": [700, 1000], "marks": MARKS, "fields": boxes("c", "d", "e", "f", y=420)},
    ]
    return Template.model_validate({"name": "two pages", "pages": pages, "identity": identity})


@pytest.fixture(scope="module")
def glyphs(drawn_digits: Gray) -> Glyphs:
    return Glyphs(drawn_digits, np.arange(10, dtype=np.uint8))


def save(pages: list[Specimen], path: Path) -> str:
    """The pages as one TIFF file, each turned by 90 degrees more than the one before."""
    images = [Image.fromarray(page.image) for page in pages]
    images[0].save(path, save_all=True, append_images=images[1:])
    return str(path)


def reader_for(template: Template, folder: Path) -> Reader:
    file = folder / "template.json"
    file.write_text(template.model_dump_json())
    return Reader(file)


@pytest.fixture(scope="module")
def telegrams() -> list[FormReading]:
    folder = Path(__file__).parents[1] / "examples" / "telegram"
    return read(sorted(folder.glob("scan-*.jpg")), folder / "template.json")


def test_the_bundled_telegrams_are_read(telegrams: list[FormReading], telegram: Path) -> None:
    labels = {(label.form, label.field): label.value for label in read_labels(str(telegram / "labels.csv"))}
    assert [form.name for form in telegrams] == [f"T-000{i}" for i in range(1, 7)]
    assert not any(form.errors for form in telegrams)
    right = [field.value == labels[form.name, field.name] for form in telegrams for field in form.fields]
    assert len(right) == len(labels)
    assert np.mean(right) >= 0.95


def test_a_reading_is_whole(telegrams: list[FormReading]) -> None:
    for form in telegrams:
        for field in form.fields:
            assert field.state == "written" and field.value == field.written == field.candidates[0].written
            assert field.confidence == field.candidates[0].probability
            assert 1 <= len(field.candidates) <= 20
            assert "".join(cell.symbol for cell in field.cells) == field.written
            assert field.source.endswith(".jpg") and field.page == 1 and field.crop is None


def test_the_page_that_lies_upside_down_is_turned(telegram: Path) -> None:
    reader = Reader(telegram / "template.json", crops=True)
    image = load_page(PageRef(str(telegram / "scan-4.jpg"), 1))
    down, up = reader.read_page(image), reader.read_page(np.ascontiguousarray(np.rot90(image, 2)))
    assert (down.turn, up.turn) == (180, 0)
    assert down.identity == up.identity == "T-0004"
    assert [field.written for field in down.fields] == [field.written for field in up.fields]
    assert all(field.crop is not None and field.crop.any() for field in down.fields)


def test_workers_read_the_same_as_one_process(telegrams: list[FormReading], telegram: Path) -> None:
    again = Reader(telegram / "template.json").read(sorted(telegram.glob("scan-*.jpg")), workers=2)
    assert list(again) == telegrams


def test_a_journal_gives_the_same_forms_again(telegrams: list[FormReading], telegram: Path, tmp_path: Path) -> None:
    reader, files = Reader(telegram / "template.json"), sorted(telegram.glob("scan-*.jpg"))
    started = reader.read(files, journal=tmp_path / "journal")
    assert next(started) == telegrams[0]
    started.close()
    seen: list[tuple[int, int]] = []
    rest = list(reader.read(files, journal=tmp_path / "journal", progress=lambda *done: seen.append(done)))
    assert rest == telegrams
    assert seen == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize("by", ["barcode", "field", "file"])
def test_a_form_of_two_pages_is_put_together_and_named(by: str, glyphs: Glyphs, tmp_path: Path) -> None:
    template = two_pages({"by": by} | ({"field": "number"} if by == "field" else {}))
    layouts = BARS if by == "barcode" else ()
    pages = list(specimen_pages(template, glyphs, 2, seed=4, layouts=layouts, wears=(Wear(), Wear(upside_down=True))))
    file = save(pages, tmp_path / "batch.tif")
    forms = list(reader_for(template, tmp_path).read([file]))
    names = ["batch", "batch-p3"] if by == "file" else [pages[0].name, pages[2].name]
    assert [form.name for form in forms] == names
    assert [[note.page for note in form.pages] for form in forms] == [[1, 2], [3, 4]]
    for form, (first, second) in zip(forms, (pages[:2], pages[2:]), strict=True):
        values = first.values | second.values
        assert [field.name for field in form.fields] == list(values)
        assert [field.page for field in form.fields] == [form.pages[0].page] * 3 + [form.pages[1].page] * 4
        right = [form[name].value == value for name, value in values.items()]
        assert np.mean(right) > 0.8


def test_of_pages_that_look_alike_the_number_tells_only_in_a_file_of_whole_forms(
    glyphs: Glyphs, tmp_path: Path
) -> None:
    """A form of three pages, the last two alike: of a file with two pages the second may be either."""
    first, second = two_pages({"by": "file"}).pages
    names = {f.name: f.model_copy(update={"name": f"{f.name}2"}) for f in second.fields}
    third = second.model_copy(update={"fields": tuple(names.values())})
    template = Template(name="three", pages=(first, second, third))
    image = list(specimen_pages(template, glyphs, 1, seed=4))[1].image
    reader = reader_for(template, tmp_path)
    assert "2 pages are not whole forms of 3" in reader.read_pages(image, "a.tif", 2, 2)[0].error
    assert [reader.read_pages(image, "a.tif", page, 3)[0].design for page in (2, 3)] == [1, 2]


def read_in_order(order: str, pictured: bool, glyphs: Glyphs, folder: Path) -> tuple[dict[int, int], list[str]]:
    """Which page of a form of three is read on each page of a file, and what is not. The last two differ in their
    headings alone. order: pages of the form, or `b`, a blank back."""
    first, second = two_pages({"by": "file"}).pages
    third = second.model_copy(
        update={"fields": tuple(f.model_copy(update={"name": f"{f.name}2"}) for f in second.fields)}
    )
    layouts = tuple(Layout((Text(350, 160, f"Sheet {k} of the form", 30, True, "mm"),)) for k in (1, 2, 3))
    pages = (first, second, third)
    if pictured:
        for k, (page, layout) in enumerate(zip(pages, layouts, strict=True)):
            cv2.imwrite(str(folder / f"{k}.png"), draw_blank(page, layout))
        pages = tuple(page.model_copy(update={"reference": f"{k}.png"}) for k, page in enumerate(pages))
    template = Template(name="three", pages=pages)
    sides = [page.image for page in specimen_pages(template, glyphs, 1, seed=4, layouts=layouts)]
    blank = np.full_like(sides[0], 250)
    images = [Image.fromarray(blank if side == "b" else sides[int(side) - 1]) for side in order]
    images[0].save(folder / "a.tif", save_all=True, append_images=images[1:])
    forms = list(reader_for(template, folder).read([folder / "a.tif"]))
    own = [{field.name for field in page.fields} for page in pages]
    came = {field.page: next(k for k, names in enumerate(own, 1) if field.name in names) for f in forms for field in f}
    return came, [error for form in forms for error in form.errors]


@pytest.mark.parametrize("order", ["123", "132", "1b2b3b"])
def test_a_heading_tells_pages_apart_that_are_else_alike(order: str, glyphs: Glyphs, tmp_path: Path) -> None:
    came, errors = read_in_order(order, True, glyphs, tmp_path)
    assert came == {k: int(side) for k, side in enumerate(order, 1) if side != "b"}
    assert not errors


@pytest.mark.parametrize("order", ["123", "1b2b3b"])
def test_a_number_in_the_file_tells_pages_apart_only_where_they_follow_each_other(
    order: str, glyphs: Glyphs, tmp_path: Path
) -> None:
    came, errors = read_in_order(order, False, glyphs, tmp_path)
    assert came == {k: int(side) for k, side in enumerate(order, 1) if side == "1" or "b" not in order}
    assert len(errors) == (2 if "b" in order else 0)


def test_a_form_found_twice_and_one_missing_are_told(glyphs: Glyphs, tmp_path: Path) -> None:
    template = two_pages({"by": "barcode"})
    pages = list(specimen_pages(template, glyphs, 2, seed=4, layouts=BARS))
    save(pages, tmp_path / "a.tif")
    save(pages[:2], tmp_path / "b.tif")
    (tmp_path / "c.png").write_bytes(b"no picture")
    forms = list(reader_for(template, tmp_path).read([tmp_path]))
    call = RollCall({"form-0001", "form-0009"})
    for form in forms:
        call.add(RollEntry(form.name, sum(not note.error for note in form.pages)))
    roll = call.roll()
    assert roll.forms == 3 and sum(len(form.errors) for form in forms) == 1
    assert (roll.duplicate, roll.missing, roll.unknown) == (("form-0001",), ("form-0009",), ("form-0002",))


def test_a_page_that_cannot_be_read_costs_only_itself(telegram: Path, tmp_path: Path) -> None:
    Image.new("L", (620, 877), 255).save(tmp_path / "b-white.png")
    (tmp_path / "a-torn.jpg").write_bytes((telegram / "scan-1.jpg").read_bytes()[:3000])
    (tmp_path / "c-good.jpg").write_bytes((telegram / "scan-2.jpg").read_bytes())
    torn, white, good = Reader(telegram / "template.json").read([tmp_path])
    assert "a-torn.jpg" in torn.errors[0] and not torn.fields
    assert white.pages[0].blank and not (white.errors or white.fields)
    assert good.name == "T-0002" and not good.errors and len(good.fields) == 13


@pytest.mark.parametrize("value", ["7", "42", "305"])
def test_a_picture_of_one_number(value: str, drawn_digits: Gray, tmp_path: Path) -> None:
    page = np.full((60, 160), 240, np.uint8)
    for i, digit in enumerate(value):
        part = page[16:44, 20 + 30 * i : 48 + 30 * i]
        part[drawn_digits[int(digit)] > 100] = 40
    cv2.imwrite(str(tmp_path / "one.png"), page)
    (form,) = read(tmp_path / "one.png", read_as="number")
    assert form.name == "one" and form["number"].value == value


def test_a_picture_of_one_digit(drawn_digits: Gray, tmp_path: Path) -> None:
    for digit, image in enumerate(drawn_digits):
        cv2.imwrite(str(tmp_path / f"{digit}.png"), 255 - image)
    read_as = {form.name: form["digit"].value for form in read(tmp_path, read_as="digit")}
    assert sum(name == value for name, value in read_as.items()) >= 8


def test_the_reader_says_what_it_lacks(telegram: Path, tmp_path: Path) -> None:
    wrong: list[tuple[Callable[[], Reader], type[Exception]]] = [
        (lambda: Reader(), SettingError),
        (lambda: Reader(telegram / "template.json", read_as="number"), SettingError),
        (lambda: Reader(tmp_path / "none.json"), TemplateError),
        (lambda: Reader(telegram / "template.json", model="none"), ModelError),
    ]
    for make, error in wrong:
        with pytest.raises(error):
            make()


def test_what_a_reading_depends_on_has_a_name(telegram: Path) -> None:
    template = telegram / "template.json"
    names = [reader.fingerprint() for reader in (Reader(template), Reader(template), Reader(template, crops=True))]
    assert names[0] == names[1] != names[2]
