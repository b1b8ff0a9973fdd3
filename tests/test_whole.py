"""Rows of cells heard as whole numbers too: where cells leave a doubt the row decides; models are taught on them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from command import Run
from inkshift import Reader
from inkshift.datasets.labels import Label
from inkshift.forms.crops.teach import labelled
from inkshift.forms.field import whole
from inkshift.forms.reading import Candidate, CellReading, FieldReading, state_of, value_of
from inkshift.models.package import load_model
from test_numbers import written as drawn

Gray = npt.NDArray[np.uint8]
CALIBRATION = {"number floor": 0.005, "both": 0.67}
WRITTEN = ("012", "X47", "938", "__5", "260", "X18")


def cells(*candidates: tuple[str, float]) -> FieldReading:
    given = tuple(Candidate(text, share) for text, share in candidates)
    best = given[0].written
    parts = tuple(CellReading(symbol, 0.9, (9 * i, 0, 9 * i + 9, 9)) for i, symbol in enumerate(best))
    return FieldReading("a", value_of(best), best, state_of(best), given[0].probability, given, parts)


symbols = st.text("0123456789X_", min_size=3, max_size=3)


@given(
    st.dictionaries(symbols, st.floats(1e-6, 1), min_size=2, max_size=6),
    st.dictionaries(st.text("0123456789", max_size=3), st.floats(0, 1), max_size=6),
)
def test_what_is_chosen_is_one_of_the_cells_candidates(own: dict[str, float], row: dict[str, float]) -> None:
    total = sum(own.values())
    before = cells(*sorted(((text, share / total) for text, share in own.items()), key=lambda item: -item[1]))
    after = whole.multiplied(before, row, CALIBRATION)
    assert after.written in own and {one.written for one in after.candidates} == set(own)
    shares = [one.probability for one in after.candidates]
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
    assert after.state == state_of(after.written) and after.confidence == shares[0]
    assert after.value == (value_of(after.written) if after.state == "written" else "")
    assert "".join(cell.symbol for cell in after.cells) == after.written
    assert all(cell.probability >= after.confidence - 1e-9 for cell in after.cells)


def test_the_row_settles_a_doubt_and_the_cells_what_it_cannot_see() -> None:
    doubt = cells(("X15", 0.5), ("X16", 0.4), ("_16", 0.1))
    assert whole.is_doubted(doubt, whole.SURE)
    sided = whole.multiplied(doubt, {"16": 0.97, "15": 0.02}, CALIBRATION)
    assert sided.written == "X16" and sided.value == "16" and sided.cells[2].symbol == "6"
    assert whole.multiplied(doubt, {"15": 0.97}, CALIBRATION).confidence > 0.9


def test_a_row_that_says_nothing_or_what_no_cell_may_hold_leaves_the_order() -> None:
    doubt = cells(("215", 0.6), ("216", 0.4))
    for row in ({}, {"99": 1.0}):
        after = whole.multiplied(doubt, row, CALIBRATION)
        assert after.written == "215" and after.confidence < 0.7


def filled(folder: Path, digits: Gray, pages: Sequence[Sequence[str]]) -> tuple[Path, list[Label]]:
    """Pages of three rows of three printed cells each, `folder/*.png`, their template and labels."""
    boxes = [{"name": n, "box": [120, 90 + 90 * k, 150, 50], "cells": 3, "digits": [0, 3]} for k, n in enumerate("abc")]
    marks = [{"x": x, "y": y, "size": 20} for x, y in ((30, 30), (370, 30), (30, 410), (370, 410))]
    template = folder / "form.json"
    template.write_text(json.dumps({"name": "rows", "pages": [{"size": [400, 440], "marks": marks, "fields": boxes}]}))
    labels = []
    (folder / "scans").mkdir()
    for number, page in enumerate(pages):
        paper = np.full((440, 400), 245, np.uint8)
        for mark in marks:
            x, y = int(mark["x"]), int(mark["y"])
            cv2.rectangle(paper, (x - 10, y - 10), (x + 9, y + 9), (20,), -1)
        for k, (name, written) in enumerate(zip("abc", page, strict=True)):
            for i, symbol in enumerate(written):
                x, y = 120 + 50 * i, 90 + 90 * k
                cv2.rectangle(paper, (x, y), (x + 50, y + 50), (60,), 2)
                if symbol == "X":
                    cv2.line(paper, (x + 12, y + 12), (x + 38, y + 38), (40,), 2)
                    cv2.line(paper, (x + 38, y + 12), (x + 12, y + 38), (40,), 2)
                elif symbol != "_":
                    part = paper[y + 11 : y + 39, x + 11 : x + 39]
                    np.minimum(part, 245 - (digits[int(symbol)] * 0.8).astype(np.uint8), out=part)
            labels.append(Label(f"p{number}", name, value_of(written), written))
        Image.fromarray(paper).save(folder / "scans" / f"p{number}.png")
    return template, labels


@pytest.mark.parametrize(("sure", "asked"), [(0.0, 0), (1.1, 3)])
def test_only_rows_in_doubt_are_heard(
    sure: float, asked: int, drawn_digits: Gray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, labels = filled(tmp_path, drawn_digits, [WRITTEN[:3]])
    monkeypatch.setattr(whole, "SURE", sure)
    monkeypatch.setattr(whole, "SETTLED", sure)
    reader, shown = Reader(template), []
    assert reader._numbers is not None
    run = reader._numbers.run
    reader._numbers = replace(reader._numbers, run=lambda pictures: shown.append(len(pictures)) or run(pictures))
    page = reader.read_page(np.asarray(Image.open(tmp_path / "scans" / "p0.png")))
    assert sum(shown) == asked * len(reader._numbers.views)
    assert [item.written for item in page.fields] == [label.written for label in labels]


def test_rows_of_cells_are_labelled_as_the_numbers_in_them(drawn_digits: Gray, tmp_path: Path) -> None:
    template, labels = filled(tmp_path, drawn_digits, [WRITTEN[:3], WRITTEN[3:]])
    found = labelled(Reader(template, crops=True), [tmp_path / "scans"], labels)
    assert found.labels == ["012", "47", "938", "5", "260", "18"]
    assert all(len(number.views) > 1 for number in found.numbers)


def test_arcs_that_digits_of_a_font_share_are_no_print_where_blank_cells_lack_them(
    drawn_digits: Gray, tmp_path: Path
) -> None:
    """In seven of nine cells they are dark at the same places, as the dots of a guide are in all."""
    template, labels = filled(tmp_path, drawn_digits, [["938", "__5", "260"]])
    (page,) = Reader(template).read([tmp_path / "scans"])
    assert [item.written for item in page.fields] == [label.written for label in labels]


@pytest.mark.slow
def test_a_model_is_taught_on_forms_of_cells_and_reads_them(
    drawn_digits: Gray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """The whole way by its commands; one short epoch, with nothing to rehearse but what is drawn."""
    pytest.importorskip("torch")
    from inkshift.models.train import teaching

    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "none"))
    monkeypatch.setattr(teaching, "_CHECKED", 8)
    monkeypatch.setattr(teaching, "_CHOSEN_BY", 8)
    template, labels = filled(tmp_path, drawn_digits, [WRITTEN[k : k + 3] for k in range(4)])
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("form", "field", "written"))
        writer.writerows((label.form, label.field, label.written) for label in labels)
    scans, out = str(tmp_path / "scans"), tmp_path / "mine"
    given = ["--pages", scans, "--labels", str(tmp_path / "labels.csv"), "--template", str(template)]
    taught = run("model", "train", "--from", "numbers", *given, "--out", str(out), "--epochs", "1")
    assert taught.status == 0 and "12 labelled numbers" in taught.err
    assert load_model(out).digest != load_model("numbers").digest
    readings = tmp_path / "readings.csv"
    assert run("read", scans, "--template", str(template), "--model", str(out), "--out", str(readings)).status == 0
    with readings.open(newline="") as file:
        read = {(row["form"], row["field"]): row["value"] for row in csv.DictReader(file)}
    assert read == {(label.form, label.field): label.value for label in labels}


def test_what_is_no_digit_stays_in_doubt() -> None:
    reader = Reader(read_as="digit")
    for letter in "HWR@X":
        page = np.full((40, 40), 245, np.uint8)
        cv2.putText(page, letter, (8, 32), cv2.FONT_HERSHEY_SIMPLEX, 1, (40,), 2, cv2.LINE_AA)
        # A bowl on a leg is how some write a 9, and a ring that curls in a 0.
        assert reader.read_page(page).fields[0].confidence < (0.8 if letter in "R@" else 0.5)


def test_a_digit_in_doubt_is_heard_too() -> None:
    alone, both = Reader(read_as="digit", model="digits"), Reader(read_as="digit")
    pages = [(str(k % 10), cv2.GaussianBlur(drawn(str(k % 10), k), (0, 0), 3.5)) for k in range(100)]
    read = {reader: [reader.read_page(page).fields[0] for _, page in pages] for reader in (alone, both)}
    right = {
        reader: sum(field.value == label for (label, _), field in zip(pages, found, strict=True))
        for reader, found in read.items()
    }
    assert right[both] > right[alone]
    for one, two in zip(read[alone], read[both], strict=True):
        assert one == two or one.confidence < whole.SURE
