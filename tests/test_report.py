"""The HTML page with every crop beside its reading."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from inkshift.forms.out.export import write_forms
from inkshift.forms.out.html import doubts, open_report
from inkshift.forms.reading import Candidate, FieldReading, FormReading, PageNote

CROP = np.full((40, 90), 220, np.uint8)
SURE = FieldReading("A", "127", "127", "written", 0.99, crop=CROP)
UNSURE = FieldReading(
    "B",
    "57",
    "X57",
    "written",
    0.42,
    (Candidate("X57", 0.42), Candidate("X51", 0.3), Candidate("X50", 0.004)),
    crop=CROP,
)
CROSSED = FieldReading("C", "", "XXX", "crossed-out", 0.99, rules_broken=("A + B = C: 127 + 57 = 184, but C is 0",))
FORM = FormReading("c1-01", (SURE, UNSURE, CROSSED), (PageNote("scan.pdf", 1, 0.934),))


class Page(HTMLParser):
    """The tags of a page, all closed; classes by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def render(tmp_path: Path, *forms: FormReading, title: str = "Readings") -> str:
    path = tmp_path / "report.html"
    write_forms(forms, open_report(path, title))
    return path.read_text(encoding="utf-8")


def numbers(text: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"<dt>(.*?)</dt><dd>(\d+)</dd>", text)}


def test_every_crop_stands_beside_its_reading(tmp_path: Path) -> None:
    text = render(tmp_path, FORM)
    pictures = Page(text).all("img")
    assert [picture["alt"] for picture in pictures] == [
        "Picture of field A of form c1-01",
        "Picture of field B of form c1-01",
    ]
    data = base64.b64decode((pictures[0]["src"] or "").removeprefix("data:image/png;base64,"))
    assert Pillow.open(io.BytesIO(data)).size == (90, 40)
    assert 'class="value">127<' in text
    assert "scan.pdf, page 1, fits its template 93 %" in text


def test_a_picture_read_without_a_template_fits_none(tmp_path: Path) -> None:
    text = render(tmp_path, replace(FORM, pages=(PageNote("scan.png", 1),)))
    assert "scan.png, page 1</p>" in text


def test_what_a_person_should_look_at_is_marked(tmp_path: Path) -> None:
    text = render(tmp_path, FORM)
    page = Page(text)
    assert [figure["class"] for figure in page.all("figure")] == ["sure", "look", "look"]
    assert "class" not in page.all("section")[0]
    assert "or X51 (30 %)" in text and "or X50" not in text
    assert ">crossed-out, sum<" in text
    assert "A + B = C: 127 + 57 = 184, but C is 0" in text


def test_a_form_without_doubts_can_be_hidden(tmp_path: Path) -> None:
    page = Page(
        render(tmp_path, FormReading("fine", (SURE,)), FormReading("lost", (), (PageNote("x", 1, 0, "x: no"),)))
    )
    assert [section.get("class") for section in page.all("section")] == ["sure", None]


@pytest.mark.parametrize(
    ("confidence", "accepted", "expected"),
    [(0.95, None, []), (0.85, None, ["unsure"]), (0.85, True, []), (0.95, False, ["not accepted"])],
)
def test_a_policy_decides_where_there_is_one(confidence: float, accepted: bool | None, expected: list[str]) -> None:
    assert doubts(FieldReading("A", "1", "1", "written", confidence, accepted=accepted)) == expected


def test_the_summary_counts_all_forms(tmp_path: Path) -> None:
    lost = FormReading("lost", (), (PageNote("torn.png", 1, 0.1, "torn.png: no corner marks found"),))
    text = render(tmp_path, FORM, lost)
    assert numbers(text) == {
        "forms": 2,
        "fields": 3,
        "to look at": 2,
        "sums that do not hold": 1,
        "pages not read": 1,
    }
    assert "Not read: torn.png: no corner marks found" in text
    accepted = FieldReading("A", "1", "1", "written", 0.9, accepted=True)
    assert numbers(render(tmp_path, FormReading("1", (accepted,))))["accepted"] == 1


def test_names_are_shown_and_never_run(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"'&"
    field = FieldReading(
        evil,
        "1",
        evil,
        "written",
        0.1,
        (Candidate(evil, 0.1), Candidate(evil, 0.1)),
        rules_broken=(evil,),
        crop=CROP,
    )
    form = FormReading(evil, (field,), (PageNote(evil, 1, 0.5), PageNote(evil, 2, 0.0, evil)))
    text = render(tmp_path, form, title=evil)
    assert "<script" not in text
    assert Page(text).all("img")[0]["alt"] == f"Picture of field {evil} of form {evil}"


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = render(tmp_path, FORM)
    assert not re.search(r"https?://|<link|<script|url\(", text)
    assert "default-src 'none'" in text


def test_no_forms_are_said_to_be_none(tmp_path: Path) -> None:
    text = render(tmp_path)
    assert "No forms were read." in text and numbers(text)["forms"] == 0


def test_a_name_that_is_not_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    assert "scan-\\udcff" in render(tmp_path, FormReading(b"scan-\xff".decode("utf-8", "surrogateescape")))


def test_forms_are_taken_one_at_a_time_and_the_page_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    sizes = []

    def one_by_one() -> Iterator[FormReading]:
        for number in range(40):
            assert not path.exists()
            sizes.append(sum(part.stat().st_size for part in tmp_path.iterdir()))
            yield FormReading(str(number), tuple(FieldReading(str(i), "1", "1", "written", 1.0) for i in range(60)))

    write_forms(one_by_one(), open_report(path, "Many"))
    assert 0 < sizes[20] < sizes[-1] < path.stat().st_size
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_fails_leaves_the_old_page_alone(tmp_path: Path) -> None:
    def breaks_off() -> Iterator[FormReading]:
        yield FORM
        raise RuntimeError("power cut")

    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="power cut"):
        write_forms(breaks_off(), open_report(path, "Readings"))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
