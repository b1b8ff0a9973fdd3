"""The interface for Python: what a reader takes, what a form can be asked, and that the examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import inkshift
from inkshift.errors import InputError, SettingError, how_to_install
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading, FormReading
from inkshift.pictures import as_pixels

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reader(shipped_model: str) -> Reader:
    return Reader(read_as="number", crops=True)


def number(text: str = "47") -> np.ndarray:
    picture = np.full((60, 140), 255, np.uint8)
    cv2.putText(picture, text, (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0,), 3)
    return picture


@pytest.mark.parametrize("as_", [str, Path])
def test_one_path_is_one_file(reader: Reader, tmp_path: Path, as_: type) -> None:
    file = tmp_path / "n.png"
    cv2.imwrite(str(file), number())
    (form,) = reader.read(as_(file))
    assert (form.name, form["number"].source) == ("n", str(file))


def test_pictures_read_as_files_do(reader: Reader, tmp_path: Path) -> None:
    file = tmp_path / "n.png"
    cv2.imwrite(str(file), number())
    (from_file,) = reader.read(file)
    gray, colour = number(), np.dstack([number()] * 3)
    for picture in (gray, colour, Image.fromarray(gray), Image.fromarray(gray).convert("1"), Image.fromarray(colour)):
        (form,) = reader.read(picture)
        assert form["number"].value == from_file["number"].value
    names = [form.name for form in reader.read([gray, Image.fromarray(gray)])]
    assert names == ["picture 1", "picture 2"]


def test_two_readers_side_by_side_read_each_its_own_way(reader: Reader, tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        cv2.imwrite(str(file), number("347"))
    short = Reader(read_as="number", digits=(1, 2))
    both = list(zip(reader.read(files), short.read(files), strict=True))
    assert [form["number"].value for form, _ in both] == ["347", "347"]
    assert all(other["number"].value != "347" for _, other in both)


def test_pictures_of_any_mode_are_taken_as_files_are(tmp_path: Path) -> None:
    glass = Image.fromarray(np.dstack([np.zeros((60, 140, 3), np.uint8), 255 - number()]), "RGBA")
    deep = Image.fromarray(number().astype(np.uint16) * 257)
    for name, picture in {"glass": glass, "deep": deep}.items():
        file = tmp_path / f"{name}.png"
        picture.save(file)
        assert np.array_equal(as_pixels(picture), load_page(PageRef(str(file), 1)))


def test_what_is_no_picture_is_named(reader: Reader, tmp_path: Path) -> None:
    for wrong in (number().astype(float), np.zeros((3, 4, 5), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(InputError, match="picture: expected"):
            list(reader.read(wrong))
    with pytest.raises(SettingError, match="read them apart"):
        list(reader.read([number(), str(tmp_path)]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"read_as": "numbr"}, "read_as: found 'numbr'; .* did you mean 'number'?"),
        ({"read_as": "number", "method": "as_published"}, "did you mean 'as-published'?"),
        ({"read_as": "number", "second_reader": "tesseract"}, "second_reader: found 'tesseract'; known: pp-ocrv6"),
    ],
)
def test_a_misspelt_setting_is_answered_with_those_that_are(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Reader(**given)


def test_what_is_public_says_what_it_is(reader: Reader, telegram: Path) -> None:
    assert repr(reader) == f"<Reader of each picture as number: {reader.signature}>"
    assert repr(inkshift.load_template(telegram / "template.json")) == (
        "<Template 'telegram': 1 pages, 13 fields, 1 rules>"
    )
    assert repr(inkshift.load_model("digits")).startswith("<Model 'digits': 38,028 parameters, in ")


def a_form() -> FormReading:
    crop = np.zeros((8, 12, 3), np.uint8)
    fields = (
        FieldReading("A", "012", "012", "written", 0.93, crop=crop),
        FieldReading("<B>", "", "__", "blank", 0.5, accepted=False),
    )
    return FormReading("c1 <01>", fields)


def test_a_form_is_asked_like_a_mapping_in_order() -> None:
    form = a_form()
    assert [item.name for item in form] == ["A", "<B>"] and len(form) == 2
    assert "A" in form and "C" not in form
    assert bool(FormReading("nothing"))
    assert repr(form) == "<FormReading 'c1 <01>': A=012, <B>=blank>"
    assert repr(form["A"]) == "<FieldReading 'A': 012, 0.93>"


def test_a_form_as_plain_data() -> None:
    plain = json.loads(json.dumps(a_form().to_dict()))
    assert plain["form"] == "c1 <01>" and list(plain["fields"]) == ["A", "<B>"]
    assert plain["fields"]["<B>"] | {"candidates": []} == plain["fields"]["<B>"]
    assert plain["fields"]["A"]["value"] == "012" and plain["fields"]["<B>"]["accepted"] is False


def test_a_form_as_a_table() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = a_form().to_frame()
    assert list(frame.index) == ["A", "<B>"] and frame.loc["A", "value"] == "012"


def test_a_notebook_shows_crops_and_no_markup_of_names() -> None:
    html = a_form()._repr_html_()
    assert html.count("<img ") == 1 and "data:image/png;base64," in html
    assert "&lt;B&gt;" in html and "<B>" not in html and "c1 &lt;01&gt;" in html


@pytest.mark.parametrize("name", sorted({f"inkshift.{home}" for home in inkshift._HOMES.values()}))
def test_examples_in_docstrings_run(
    name: str, shipped_model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed, capsys.readouterr().out


class Installed:
    """A distribution that was installed from somewhere."""

    def __init__(self, said: dict[str, object] | None) -> None:
        self.said = said

    def read_text(self, name: str) -> str | None:
        return json.dumps(self.said) if name == "direct_url.json" and self.said is not None else None


@pytest.mark.parametrize(
    ("said", "command"),
    [
        (None, "pip install 'inkshift[study]'"),
        (
            {"url": "file:///my%20code/inkshift", "dir_info": {"editable": True}},
            "pip install -e '/my code/inkshift[study]'",
        ),
        ({"url": "file:///code/inkshift", "dir_info": {}}, "pip install '/code/inkshift[study]'"),
        (
            {"url": "file:///w/inkshift-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'inkshift[study] @ file:///w/inkshift-0.1.0-py3-none-any.whl'",
        ),
        (
            {"url": "https://code.org/inkshift.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
            "pip install 'inkshift[study] @ git+https://code.org/inkshift.git@ab12'",
        ),
    ],
    ids=["index", "clone", "folder", "wheel", "repository"],
)
def test_the_hint_to_install_fits_how_it_was_installed(
    said: dict[str, object] | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed(said))
    assert how_to_install("study") == command
