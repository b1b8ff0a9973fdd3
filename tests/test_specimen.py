"""Synthetic forms: true to their template and labels, and the same bytes for the same seed."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from inkshift.errors import DataError, SettingError
from inkshift.forms.template import Template, load_template
from specimens.pen import Glyphs, compose_number, draw_hand, mnist_test_glyphs, write_digits
from specimens.scanner import Wear, scan
from specimens.specimen import draw_blank, fill, plausible_values, specimen_pages
from specimens.telegram import (
    telegram_layout,
    telegram_pages,
    telegram_template,
    votes,
    write_example,
)

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "telegram"


@pytest.fixture(scope="module")
def glyphs() -> Glyphs:
    """Printed digits in place of written ones: the tests need no data set."""
    images = np.zeros((10, 28, 28), np.uint8)
    for digit in range(10):
        cv2.putText(images[digit], str(digit), (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    return Glyphs(images, np.arange(10, dtype=np.uint8))


def tally(**changes: object) -> Template:
    """A small form with cells, a sum of sums, two pages and its number as identity."""
    cells = [
        {"name": name, "box": [60, 60 + 50 * i, 120, 40], "cells": 3, "digits": [3, 3]}
        for i, name in enumerate(("r1", "r2", "a", "b", "c"))
    ]
    pages = [
        {
            "size": [300, 340],
            "lines": [[10, 10, 290, 10], [10, 330, 290, 330], [10, 10, 10, 330], [290, 10, 290, 330]],
            "fields": cells,
        },
        {
            "size": [300, 120],
            "lines": [[10, 10, 290, 10], [10, 330, 290, 330], [10, 10, 10, 330], [290, 10, 290, 330]],
            "fields": [{"name": "no", "box": [60, 40, 120, 50]}],
        },
    ]
    rules = ["r1 + r2 = a", "c = a + b"]
    whole = {"name": "tally", "pages": pages, "rules": rules, "identity": {"by": "field", "field": "no"}}
    return Template.model_validate(whole | changes)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, glyphs: Glyphs) -> Path:
    folder = tmp_path_factory.mktemp("telegram")
    write_example(folder, glyphs, seed=5)
    return folder


def test_same_seed_same_bytes(tmp_path: Path, example: Path, glyphs: Glyphs) -> None:
    write_example(tmp_path, glyphs, seed=5)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == sorted(p.name for p in example.iterdir())
    assert len(names) == 10
    for name in names:
        assert (tmp_path / name).read_bytes() == (example / name).read_bytes()


def test_another_seed_gives_another_page(glyphs: Glyphs) -> None:
    (one,), (other,) = telegram_pages(glyphs, 5, 1), telegram_pages(glyphs, 6, 1)
    assert one.name == other.name == "T-0001"
    assert one.values != other.values
    assert not np.array_equal(one.image, other.image)


def test_a_page_does_not_depend_on_how_many_follow(glyphs: Glyphs) -> None:
    assert np.array_equal(telegram_pages(glyphs, 5, 1)[0].image, telegram_pages(glyphs, 5, 2)[0].image)


def test_labels_are_what_was_written(example: Path, glyphs: Glyphs) -> None:
    with closing(sqlite3.connect(example / "labels.sqlite")) as base:
        rows = set(base.execute("SELECT form, field, value FROM fields"))
    with (example / "labels.csv").open(newline="") as file:
        assert {(r["form"], r["field"], r["value"]) for r in csv.DictReader(file)} == rows
    assert len(rows) == 6 * 13
    (page,) = telegram_pages(glyphs, 5, 1)
    assert {(field, value) for form, field, value in rows if form == "T-0001"} == set(page.values.items())
    assert load_template(example / "template.json") == telegram_template()


def test_votes_add_up_and_keep_their_limits() -> None:
    template = telegram_template()
    for seed in range(50):
        values = votes(template, np.random.default_rng(seed))
        total = int(values.pop("total"))
        assert total == sum(map(int, values.values()))
        assert all(0 <= int(v) <= 303 and v == str(int(v)) for v in values.values())


def test_ink_lies_inside_the_boxes(glyphs: Glyphs) -> None:
    template = telegram_template()
    page, layout = template.pages[0], replace(telegram_layout(), signatures=())
    for seed in range(4):
        rng = np.random.default_rng(seed)
        blank = draw_blank(page, layout, "T-0001")
        values = votes(template, rng) | {"total": "8888"}
        written = fill(blank, page, values, glyphs, rng, draw_hand(rng, 40))
        changed = written != blank
        for spec in page.fields:
            x, y, w, h = map(int, spec.box)
            inside = changed[y + 2 : y + h - 1, x + 2 : x + w - 1]
            assert inside.any(), spec.name
            changed[y + 2 : y + h - 1, x + 2 : x + w - 1] = False
        assert not changed.any()


def test_marks_frames_and_barcode_are_where_the_template_says() -> None:
    template = telegram_template()
    page = template.pages[0]
    image = draw_blank(page, telegram_layout(), "T-0042")
    for mark in page.marks:
        assert image[int(mark.y), int(mark.x)] < 30
        assert image[int(mark.y), int(mark.x + mark.size / 2) + 4] == 255
    for spec in page.fields:
        x, y, w, h = map(int, spec.box)
        assert (image[y, x : x + w] < 60).all()
        assert (image[y : y + h, x + w] < 60).all()
        assert (image[y + 3 : y + h - 3, x + 3 : x + w - 3] == 255).all()
    assert [code.text for code in zxingcpp.read_barcodes(image)] == ["T-0042"]
    assert zxingcpp.read_barcodes(draw_blank(page, telegram_layout())) == []


@pytest.mark.parametrize("wear", [Wear(), Wear(coffee=True, fold=True), Wear(upside_down=True)])
def test_a_scan_still_shows_its_barcode(wear: Wear) -> None:
    clean = draw_blank(telegram_template().pages[0], telegram_layout(), "T-0042")
    seen = scan(clean, np.random.default_rng(3), wear)
    assert seen.shape == clean.shape
    assert seen.dtype == np.uint8
    assert [code.text for code in zxingcpp.read_barcodes(seen)] == ["T-0042"]
    (code,) = zxingcpp.read_barcodes(seen)
    assert (code.position.top_left.y > seen.shape[0] / 2) == wear.upside_down


def test_a_faint_pen_is_fainter() -> None:
    rng = np.random.default_rng(0)
    assert min(draw_hand(rng, 36, faint=True).ink for _ in range(50)) > max(draw_hand(rng, 36).ink for _ in range(50))


def test_any_template_can_be_filled(glyphs: Glyphs) -> None:
    pages = list(specimen_pages(tally(), glyphs, 3, seed=1))
    assert [p.page for p in pages] == [1, 2] * 3
    for first, second in zip(pages[::2], pages[1::2], strict=True):
        assert first.image.shape == (340, 300)
        assert second.image.shape == (120, 300)
        assert first.name == second.name == second.values["no"]
        r1, r2, a, b, c = (int(first.values[name]) for name in ("r1", "r2", "a", "b", "c"))
        assert r1 + r2 == a
        assert a + b == c
        assert all(len(value) == 3 for value in first.values.values())


def test_digits_stay_in_their_cells(glyphs: Glyphs) -> None:
    page, rng = tally().pages[0], np.random.default_rng(0)
    blank = draw_blank(page)
    values = {"r1": "7", "r2": "", "a": "88", "b": "888", "c": "100"}
    changed = fill(blank, page, values, glyphs, rng, draw_hand(rng, 60)) != blank
    for spec in page.fields:
        x, y, _, h = map(int, spec.box)
        inked = [bool(changed[y + 2 : y + h - 1, x + 40 * i + 2 : x + 40 * i + 39].any()) for i in range(3)]
        assert inked == [i >= 3 - len(values[spec.name]) for i in range(3)]
        for i in range(4):
            assert not changed[y : y + h, x + 40 * i - 1 : x + 40 * i + 2].any()
    with pytest.raises(SettingError, match="3 cells"):
        fill(blank, page, values | {"c": "1000"}, glyphs, rng, draw_hand(rng, 20))


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (["r1 + r2 = a + b"], "both sides"),
        (["r1 + r2 = a", "r1 + a = r2"], "no values found"),
        (["a + b = a"], "no values found"),
    ],
)
def test_rules_that_cannot_be_kept(rules: list[str], complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        plausible_values(tally(rules=rules), np.random.default_rng(0))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_low_values_are_common(seed: int) -> None:
    template = tally(rules=[])
    rng = np.random.default_rng(seed)
    values = [int(plausible_values(template, rng)["r1"]) for _ in range(60)]
    assert all(0 <= value <= 999 for value in values)
    assert np.median(values) < 300


@given(st.text("0123456789", min_size=1, max_size=6), st.integers(24, 96), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_composed_numbers(glyphs: Glyphs, text: str, height: int, rule: bool, box: bool) -> None:
    def compose(noise: float) -> np.ndarray:
        rng = np.random.default_rng(7)
        return compose_number(text, glyphs, rng, height=height, noise=noise, rule=rule, box=box)

    image = compose(0.7)
    assert image.shape[0] == height
    assert image.dtype == np.uint8
    assert np.median(image) > image.min() + 60
    assert np.array_equal(image, compose(0.7))
    assert not np.array_equal(image, compose(0.0))


def parts_of(text: str, glyphs: Glyphs, touch: float, seed: int) -> int:
    rng = np.random.default_rng(seed)
    ink = write_digits(text, glyphs, rng, draw_hand(rng, 46, touch))
    return int(cv2.connectedComponents((ink > 0.4).astype(np.uint8), connectivity=8)[0]) - 1


def test_touch_closes_gaps(glyphs: Glyphs) -> None:
    assert [parts_of("3862", glyphs, 0.0, seed) for seed in range(20)] == [4] * 20
    assert [parts_of("3862", glyphs, 1.0, seed) for seed in range(20)] == [1] * 20


def test_digits_only(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="'1a'"):
        compose_number("1a", glyphs, rng)
    lacking = Glyphs(glyphs.images[:5], glyphs.labels[:5])
    with pytest.raises(DataError, match="no digit 7"):
        compose_number("7", lacking, rng)


def test_missing_mnist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="t10k-images"):
        mnist_test_glyphs(tmp_path)


def test_the_bundled_example_is_whole() -> None:
    template = load_template(EXAMPLE / "template.json")
    assert template == telegram_template()
    blank = cv2.imread(str(EXAMPLE / "blank.png"), cv2.IMREAD_GRAYSCALE)
    drawn = draw_blank(template.pages[0], telegram_layout())
    assert np.abs(blank.astype(int) - drawn).mean() < 0.5  # fonts differ a little between versions
    forms = []
    for path in sorted(EXAMPLE.glob("scan-*.jpg")):
        assert path.stat().st_size < 400_000
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        forms += [code.text for code in zxingcpp.read_barcodes(image)]
    assert forms == [f"T-{i:04d}" for i in range(1, 7)]
    with closing(sqlite3.connect(EXAMPLE / "labels.sqlite")) as base:
        rows = base.execute("SELECT form, field, value FROM fields").fetchall()
    for form in forms:
        values = {field: int(value) for f, field, value in rows if f == form}
        assert set(values) == {spec.name for spec in template.fields}
        assert values.pop("total") == sum(values.values())


def test_the_bundled_example_comes_from_its_generator() -> None:
    data = Path(os.environ.get("INKSHIFT_DATA", ROOT.parent / "shared" / "data"), "mnist")
    if not data.is_dir():
        pytest.skip(f"no MNIST test digits in {data}")
    pages = telegram_pages(mnist_test_glyphs(data))
    with (EXAMPLE / "labels.csv").open(newline="") as file:
        bundled = [tuple(row) for row in csv.reader(file)][1:]
    assert bundled == [(p.name, field, value) for p in pages for field, value in p.values.items()]
    for i, page in enumerate(pages, 1):
        kept = cv2.imread(str(EXAMPLE / f"scan-{i}.jpg"), cv2.IMREAD_GRAYSCALE).astype(int)
        assert np.abs(kept - page.image).mean() < 3


def test_template_file_is_plain_json() -> None:
    page = json.loads((EXAMPLE / "template.json").read_text())["pages"][0]
    assert len(page["marks"]) == 4
    assert all(field["frame"] and field["cells"] == 0 for field in page["fields"])


def test_a_table_of_200_fields_with_sums_of_rows_and_of_columns_is_filled_in() -> None:
    names = [[f"r{r:02d}c{c:02d}" for c in range(14)] for r in range(14)]
    fields = [
        {"name": names[r][c], "box": [60 + 80 * c, 100 + 60 * r, 70, 24], "digits": [1, 5 if 13 in (r, c) else 3]}
        for r in range(14)
        for c in range(14)
    ]
    lines = [*names, *(list(column) for column in zip(*names, strict=True))]
    rules = [f"{' + '.join(line[:-1])} = {line[-1]}" for line in lines]
    marks = [{"x": x, "y": y, "size": 36} for y in (40, 1700) for x in (20, 1215)]
    pages = [{"size": [1240, 1754], "marks": marks, "fields": fields}]
    template = Template.model_validate({"name": "crossed", "pages": pages, "rules": rules})
    values = {name: int(value) for name, value in plausible_values(template, np.random.default_rng(0)).items()}
    assert len(values) == 196
    assert not any(rule.broken_at(values) for rule in template.parsed_rules)
