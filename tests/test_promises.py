"""What a reading must never do in silence: drop a number, mix up forms, write over what it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inkshift import Reader, load_model, load_template
from inkshift.errors import SettingError, TemplateError
from inkshift.forms.assemble import RollCall, RollEntry, assemble
from inkshift.forms.out.batch import Target, read_into
from inkshift.forms.reading import PageReading
from inkshift.forms.registration.register import register
from inkshift.forms.template import Template
from inkshift.reframe import parse

Gray = npt.NDArray[np.uint8]


def changed(telegram: Path, folder: Path, **field: object) -> Path:
    """The telegram's template with every field changed."""
    data = json.loads((telegram / "template.json").read_text())
    for spec in data["pages"][0]["fields"]:
        spec.update(field)
    path = folder / "template.json"
    path.write_text(json.dumps(data))
    shutil.copy(telegram / "blank.png", folder)
    return path


@pytest.mark.parametrize("field", [{"max": 10}, {"digits": [1, 1]}])
def test_a_number_the_field_does_not_allow_is_overflow_not_blank(
    field: dict[str, object], telegram: Path, tmp_path: Path, shipped_model: str
) -> None:
    template = changed(telegram, tmp_path, **field)
    (form,) = Reader(template, model=shipped_model).read([telegram / "scan-1.jpg"])
    p04 = form["p04"]
    assert (p04.state, p04.value, p04.written) == ("overflow", "", "76")
    assert form["p06"].value == "1"
    assert not form["total"].rules_broken


def test_a_reframing_for_scanned_pictures_gets_them_dark_on_light(drawn_digits: Gray) -> None:
    x, y, w, h = cv2.boundingRect(drawn_digits[7])
    ink = drawn_digits[7][y : y + h, x : x + w]
    scanned = parse("gray|square|margin(0.2)|resize(28)|invert").of_ink()(ink)
    trimmed = parse("gray|light_ink|trim|square|margin(0.2)|resize(28)").of_ink()(ink)
    assert scanned[0, 0] == 0 and scanned.max() > 200
    assert np.corrcoef(scanned.ravel(), trimmed.ravel())[0, 1] > 0.8


def test_the_published_model_reads_with_the_default_method(telegram: Path, shipped_model: str) -> None:
    (form,) = Reader(telegram / "template.json", model="mnist-as-published").read([telegram / "scan-1.jpg"])
    assert load_model("mnist-as-published").manifest.parameters == 34826
    assert [form[name].value for name in ("p02", "p03", "p10")] == ["22", "45", "30"]


@pytest.mark.parametrize("report", ["readings.csv", "scan.jpg"])
def test_nothing_is_written_over_what_is_read_or_written(
    report: str, telegram: Path, tmp_path: Path, shipped_model: str
) -> None:
    scan = tmp_path / "scan.jpg"
    scan.write_bytes((telegram / "scan-1.jpg").read_bytes())
    before = scan.read_bytes()
    reader = Reader(telegram / "template.json", model=shipped_model)
    target = Target(tmp_path / "readings.csv", None, tmp_path / report)
    with pytest.raises(SettingError, match="choose another name"):
        read_into(reader, [scan], target)
    assert scan.read_bytes() == before
    assert not (tmp_path / "readings.csv").exists()


def two_pages(identity: str = "file") -> Template:
    page = {"size": [100, 100], "lines": [[0, 5, 90, 5]], "marks": [], "reference": "x.png", "fields": []}
    return Template.model_validate({"name": "two", "pages": [page, page], "identity": {"by": identity}})


def test_pages_of_one_form_in_several_files_are_put_together() -> None:
    pages = [
        PageReading("a.png", 1, design=0, identity="T-1"),
        PageReading("b.png", 1, design=1, identity="T-1"),
        PageReading("c.png", 1, design=0, identity="T-2"),
        PageReading("d.png", 1, design=1),
    ]
    forms = list(assemble(pages, two_pages("barcode")))
    assert [(form.name, len(form.pages)) for form in forms] == [("T-1", 2), ("T-2", 1), ("d", 1)]


def test_an_unread_page_leaves_its_form_incomplete() -> None:
    pages = [PageReading("a.pdf", 1, design=0), PageReading("a.pdf", 2, error="a.pdf page 2: torn")]
    (form,) = assemble(pages, two_pages())
    assert form.errors == ("a.pdf page 2: torn",)
    call = RollCall(["a", "b", "c"])
    for called in (RollEntry(form.name, 1, whole=2), RollEntry("b", 2, whole=2)):
        call.add(called)
    roll = call.roll()
    assert (roll.incomplete, roll.missing) == (("a",), ("c",))


@pytest.mark.parametrize("corner", range(4))
def test_a_page_with_three_marks_is_registered(corner: int, telegram: Path) -> None:
    template = load_template(telegram / "template.json")
    page = cv2.imread(str(telegram / "blank.png"), cv2.IMREAD_GRAYSCALE)
    assert page is not None
    mark = template.pages[0].marks[corner]
    torn = np.asarray(page, np.uint8)
    x, y, r = round(mark.x), round(mark.y), round(mark.size)
    torn[max(y - r, 0) : y + r, max(x - r, 0) : x + r] = 255
    found = register(torn, template.pages[0])[0]
    assert found.turn == 0
    assert np.allclose(found.matrix / found.matrix[2, 2], np.eye(3), atol=0.02 * 1754)
    assert found.quality > 0.9


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"digits": [0, 0]}, "most >= 1"),
        ({"digits": [3, 3], "max": 9}, "max 9 has fewer"),
        ({"cells": 2, "digits": [3, 4]}, "in 2 cells"),
        ({"box": [10, 10, 0.3, 0.3]}, "at least 4 wide"),
        ({"name": "a\0"}, "no control characters"),
        ({"name": "\x1b[2J"}, "no control characters"),
    ],
)
def test_a_template_that_cannot_work_is_refused(
    field: dict[str, object], words: str, telegram: Path, tmp_path: Path
) -> None:
    with pytest.raises(TemplateError, match=words):
        load_template(changed(telegram, tmp_path, **field))
