"""What a page is: of which form, blank, or none at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkshift import Reader
from inkshift.errors import SettingError, TemplateError
from inkshift.forms.assemble import assemble
from inkshift.forms.out.batch import Target, read_into
from inkshift.forms.out.export import read_rows
from inkshift.forms.page.which import find_templates, is_bare_back, is_blank_page, likeliest, why_unfit
from inkshift.forms.reading import PageReading
from inkshift.forms.template import Template, load_template

Gray = npt.NDArray[np.uint8]


def paper(seed: int = 1, level: int = 240) -> Gray:
    """A back as scanners give it: grain, light falling off, a shadow at the rim, dust, and print shining through."""
    rng = np.random.default_rng(seed)
    page = np.full((1400, 1000), level, np.float32) - np.linspace(0, 25, 1000) + rng.normal(0, 3, (1400, 1000))
    page[:, :12] -= 90
    for x, y in rng.integers(60, 940, (12, 2)):
        page[y : y + 3, x : x + 3] -= 80
    behind = np.zeros((1400, 1000), np.uint8)
    for y in range(200, 1200, 90):
        cv2.putText(behind, "shines through", (120, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (18,), 2)
    return np.clip(page - cv2.GaussianBlur(behind, (0, 0), 2), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [250, 225, 190])
def test_a_back_is_blank_whatever_its_paper(level: int) -> None:
    page = np.clip(paper(2, 240).astype(int) + level - 240, 0, 255).astype(np.uint8)
    assert is_blank_page(page)
    assert is_blank_page(np.dstack([page] * 3))


@pytest.mark.parametrize("darker", [60, 120, 200])
def test_a_few_strokes_are_enough_not_to_be_blank(darker: int) -> None:
    page = paper(3).astype(int)
    page[700:740, 500:504] -= darker
    page[700:704, 500:530] -= darker
    assert not is_blank_page(np.clip(page, 0, 255).astype(np.uint8))


def punched(gray: int, edge: str, level: int = 240, holes: int = 2) -> Gray:
    """A back with a row of punched holes along one edge."""
    page = paper(4, level)
    for k in range(holes):
        along = 500 + 380 * k // max(1, holes - 1)
        at = {"left": (60, along), "right": (940, along), "top": (along, 60), "bottom": (along, 1340)}[edge]
        cv2.circle(page, at, 14, (gray,), -1, cv2.LINE_AA)
    return page


def numbered(text: str, at: tuple[int, int], size: float = 0.6) -> Gray:
    page = paper(5)
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (30,), 2, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
@pytest.mark.parametrize(("gray", "level", "holes"), [(20, 240, 2), (130, 240, 4), (250, 190, 2)])
def test_a_back_may_have_holes(edge: str, gray: int, level: int, holes: int) -> None:
    page = punched(gray, edge, level, holes)
    assert is_bare_back(page)
    page[800:806, 470:540] = 60
    assert not is_bare_back(page)


@pytest.mark.parametrize(("text", "at"), [("2", (480, 1320)), ("page 2 of 4", (430, 80)), ("- 17 -", (850, 1330))])
def test_a_back_may_have_a_page_number(text: str, at: tuple[int, int]) -> None:
    assert not is_blank_page(numbered(text, at)) and is_bare_back(numbered(text, at))
    both = np.minimum(numbered(text, at), punched(20, "left"))
    assert is_bare_back(both)
    cv2.line(both, (300, 500), (312, 530), (120,), 3)
    assert not is_bare_back(both)


def test_what_people_write_and_a_form_has_is_no_bare_back() -> None:
    assert not is_bare_back(numbered("2", (480, 700)))  # in the middle
    assert not is_bare_back(numbered("48", (480, 90), 1.5))  # as high as people write
    assert not is_bare_back(np.minimum(numbered("2", (480, 80)), numbered("2", (480, 1320))))
    zero, squares = paper(6), paper(6)
    cv2.circle(zero, (60, 500), 14, (30,), 3)
    for x, y in [(50, 50), (50, 300)]:
        squares[y : y + 28, x : x + 28] = 20
    corners = np.minimum(punched(20, "left"), punched(20, "right"))
    assert not any(map(is_bare_back, (zero, squares, corners)))


@pytest.mark.parametrize("faint", [0, 215])
def test_an_empty_form_is_read_and_its_punched_back_is_blank(faint: int, telegram: Path, shipped_model: str) -> None:
    reader = Reader(telegram / "template.json")
    form = np.asarray(Image.open(telegram / "blank.png").convert("L"))
    form = (255 - (255 - form) * ((255 - faint) / 255)).astype(np.uint8)
    page = reader.read_page(form)
    assert not page.blank and len(page.fields) == 13
    page = reader.read_page(punched(20, "left"))
    assert page.blank and not page.error


def test_black_and_tiny_pages_are_no_blanks_and_are_told(telegram: Path) -> None:
    templates = [load_template(telegram / "template.json")]
    assert not is_blank_page(np.zeros((1400, 1000), np.uint8))
    assert "all black" in why_unfit(np.zeros((1400, 1000), np.uint8), templates)
    assert "50 x 50 pixels" in why_unfit(np.full((50, 50), 255, np.uint8), templates)
    assert why_unfit(np.full((50, 50), 255, np.uint8), []) == why_unfit(paper(), templates) == ""


@given(st.lists(st.floats(0, 1), max_size=6))
def test_the_likeliest_is_among_those_that_may_be_and_alone_if_twice_as_likely(qualities: list[float]) -> None:
    found = likeliest(qualities)
    assert bool(found) == bool(qualities)
    assert not qualities or int(np.argmax(qualities)) in found
    assert likeliest([*qualities, 1.0]) == [len(qualities)] or max(qualities) > 0.99
    assert len(likeliest([*qualities, *qualities])) == 2 * len(found)


@pytest.fixture(scope="module")
def two_forms(telegram: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of templates: the telegram, and a form with a frame of its own; and a page of that form."""
    folder = tmp_path_factory.mktemp("templates")
    shutil.copy(telegram / "template.json", folder / "telegram.json")
    shutil.copy(telegram / "blank.png", folder)
    lines = [
        [100, 200, 900, 200],
        [100, 900, 900, 900],
        [100, 200, 100, 900],
        [600, 200, 600, 900],
        [900, 200, 900, 900],
    ]
    field = {"name": "sum", "box": [620, 400, 250, 90], "frame": False}
    other = {"name": "other", "pages": [{"size": [1000, 1400], "lines": lines, "fields": [field]}]}
    (folder / "other.json").write_text(json.dumps(other))
    page = np.full((1400, 1000), 250, np.uint8)
    for x1, y1, x2, y2 in lines:
        cv2.line(page, (x1, y1), (x2, y2), (20,), 3)
    Image.fromarray(page).save(folder / "other.png")
    return folder


def test_each_page_goes_to_the_template_that_it_proves(
    two_forms: Path, telegram: Path, tmp_path: Path, shipped_model: str
) -> None:
    pages = [telegram / "scan-1.jpg", two_forms / "other.png", telegram / "scan-2.jpg", tmp_path / "unknown.png"]
    unknown = np.full((1400, 1000), 250, np.uint8)
    cv2.putText(unknown, "a letter", (200, 700), cv2.FONT_HERSHEY_SIMPLEX, 3, (0,), 6)
    Image.fromarray(unknown).save(pages[-1])
    Image.fromarray(paper()).save(tmp_path / "back.png")
    reader = Reader([two_forms])
    one, other, two, lost, back = reader.read([*pages, tmp_path / "back.png"])
    assert [form.template for form in (one, other, two, lost, back)] == ["telegram", "other", "telegram", "", ""]
    assert (one.name, two.name, other.name) == ("T-0001", "T-0002", "other")
    (alone,) = Reader(telegram / "template.json").read(pages[:1])
    assert alone.fields == one.fields and not other["sum"].rules_broken
    assert "unknown form: the page fits none of the 2 templates" in lost.errors[0]
    assert back.pages[0].blank and not back.errors

    out = tmp_path / "out" / "r.csv"
    out.parent.mkdir()
    summary = read_into(reader, [*pages, tmp_path / "back.png"], Target(out), workers=2)
    assert (summary.blank, len(summary.unread)) == (1, 1)
    assert summary.by_template == (("other", 1), ("telegram", 2))
    assert {(row["form"], row["template"]) for row in read_rows(out)} == {
        ("T-0001", "telegram"),
        ("T-0002", "telegram"),
        ("other", "other"),
    }


def test_templates_that_cannot_be_told_apart_are_no_guess(
    two_forms: Path, telegram: Path, tmp_path: Path, shipped_model: str
) -> None:
    """Two templates of one print: refused, unless a barcode says which of them it is."""
    shutil.copy(telegram / "blank.png", tmp_path)
    twin: dict[str, Any] = json.loads((telegram / "template.json").read_text()) | {"name": "twin"}
    twin["identity"] = {"by": "barcode", "pattern": "X-[0-9]+"}
    (tmp_path / "twin.json").write_text(json.dumps(twin))
    image = np.asarray(Image.open(telegram / "scan-1.jpg").convert("L"))
    page = Reader([telegram / "template.json", tmp_path / "twin.json"]).read_page(image)
    assert (page.template, page.identity) == ("telegram", "T-0001")
    (tmp_path / "twin.json").write_text(json.dumps(twin | {"identity": {"by": "file"}}))
    plain = json.loads((telegram / "template.json").read_text()) | {"identity": {"by": "file"}}
    (tmp_path / "plain.json").write_text(json.dumps(plain))
    page = Reader([tmp_path / "plain.json", tmp_path / "twin.json"]).read_page(image, "a.png")
    assert page.error == (
        "a.png page 1: the page fits 2 templates alike (telegram, twin); leave one out, or add what tells them apart"
    )


def test_templates_are_found_in_folders_and_need_names_of_their_own(two_forms: Path, tmp_path: Path) -> None:
    files = [str(two_forms / name) for name in ("other.json", "telegram.json")]
    assert find_templates(two_forms) == find_templates([files[0], two_forms]) == files
    with pytest.raises(TemplateError, match=r"found no \.json file"):
        find_templates(tmp_path)
    (tmp_path / "again.json").write_bytes(Path(files[0]).read_bytes())
    with pytest.raises(SettingError, match="two of the templates are called 'other'"):
        Reader([files[0], tmp_path / "again.json"])


PAGE = {"size": (100, 100), "lines": [(0, 0, 99, 0), (0, 99, 99, 99), (0, 0, 0, 99), (99, 0, 99, 99)]}


def test_blank_pages_part_no_form_and_pages_of_two_templates_do() -> None:
    one, two = Template(name="one", pages=(PAGE, PAGE)), Template(name="two", pages=(PAGE, PAGE))
    duplex = [
        PageReading("a.pdf", 1, blank=True),
        PageReading("a.pdf", 2, design=0, template="one"),
        PageReading("a.pdf", 3, blank=True),
        PageReading("a.pdf", 4, design=1, template="one"),
        PageReading("a.pdf", 5, blank=True),
        PageReading("a.pdf", 6, design=0, template="one"),
        PageReading("a.pdf", 7, design=1, template="two"),
    ]
    forms = list(assemble(duplex, [one, two]))
    assert [[note.page for note in form.pages] for form in forms] == [[1], [2, 3, 4, 5], [6], [7]]
    assert [form.template for form in forms] == ["", "one", "one", "two"]


@pytest.mark.parametrize(
    ("before", "reads"),
    [
        ([PageReading("a.pdf", 1, template="one"), PageReading("a.pdf", 2, design=1, template="one")], True),
        ([PageReading("a.pdf", 1, template="one"), PageReading("a.pdf", 2, blank=True)], False),
        ([PageReading("a.pdf", 1, template="one"), PageReading("a.pdf", 2, error="no form")], False),
        ([PageReading("a.pdf", 1, template="one"), PageReading("a.pdf", 2, template="one")], False),
        ([PageReading("b.pdf", 2, design=1, template="one")], False),
        ([], False),
    ],
)
def test_a_page_known_by_its_number_must_follow_the_one_before(before: list[PageReading], reads: bool) -> None:
    template = Template(name="one", pages=(PAGE, PAGE, PAGE))
    page = PageReading("a.pdf", 3, design=2, template="one", quality=0.9, by_number=True)
    note = list(assemble([*before, page], template))[-1].pages[-1]
    assert (not note.error) == reads == (note.quality is not None)


def test_a_barcode_pattern_cannot_run_for_ever(telegram: Path, tmp_path: Path, shipped_model: str) -> None:
    data = json.loads((telegram / "template.json").read_text())
    shutil.copy(telegram / "blank.png", tmp_path)
    for pattern in ("(T-0*)+1?X", "(T|-|0+)+$X", r"((\w|-)*)*X"):
        data["identity"]["pattern"] = pattern * 8
        (tmp_path / "template.json").write_text(json.dumps(data))
        (form,) = Reader(tmp_path / "template.json").read([telegram / "scan-1.jpg"])
        assert form.name == "scan-1"
    data["identity"]["pattern"] = "(T"
    (tmp_path / "template.json").write_text(json.dumps(data))
    with pytest.raises(TemplateError, match="identity pattern is not a regular expression of RE2"):
        load_template(tmp_path / "template.json")


@pytest.mark.parametrize("digits", [(0, 3), (5, 4), (1, 21)])
def test_digits_stay_within_what_is_read(digits: tuple[int, int], shipped_model: str) -> None:
    with pytest.raises(SettingError, match="from 1 to 20"):
        Reader(read_as="number", digits=digits)


def test_a_long_number_is_read_where_it_is_asked_for(drawn_digits: Gray, shipped_model: str) -> None:
    page = np.full((60, 340), 250, np.uint8)
    for i, digit in enumerate("3105274861"):
        part = page[16:44, 20 + 30 * i : 48 + 30 * i]
        part[drawn_digits[int(digit)] > 100] = 40
    (default,) = Reader(read_as="number").read_page(page).fields
    (asked,) = Reader(read_as="number", digits=(1, 10)).read_page(page).fields
    assert (default.state, default.value) == ("overflow", "")
    assert asked.state == "written" and len(asked.value) == 10
