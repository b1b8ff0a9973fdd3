"""Will it hold: what the features measure, what is predicted, what differs, how often each digit occurs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inkshift.cli import shift as _registered  # noqa: F401
from inkshift.cli.app import app
from inkshift.errors import SettingError
from inkshift.forms.judge.shift import differences, digit_probabilities, kinds_of, shift
from inkshift.forms.judge.shift_features import FEATURES, features
from inkshift.forms.judge.shift_predict import Constants, all_constants, predict, spanned
from inkshift.forms.reader import Reader
from inkshift.forms.reading import Candidate, CellReading, FieldReading

Gray = npt.NDArray[np.uint8]
NAMES = [feature.name for feature in FEATURES]


def number(text: str) -> Gray:
    """A number in a line font, dark on light."""
    image = np.full((64, 40 + 30 * len(text)), 240, np.uint8)
    cv2.putText(image, text, (16, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (40,), 3, cv2.LINE_AA)
    return image


def strokes(thick: int = 3) -> Gray:
    """Three digits of strokes, 1, 0 and 1, 32 pixels high."""
    image = np.full((64, 130), 240, np.uint8)
    for x in (30, 100):
        cv2.line(image, (x, 16), (x, 48), (40,), thick, cv2.LINE_AA)
    cv2.ellipse(image, (65, 32), (10, 16), 0, 0, 360, (40,), thick, cv2.LINE_AA)
    return image


def look(image: Gray, name: str, digits: int = 3) -> float:
    return float(features(image, digits)[NAMES.index(name)])


def leaning(image: Gray, shear: float) -> Gray:
    h, w = image.shape
    matrix = np.array([[1, -shear, shear * h], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, (w + h, h), borderValue=(240,)), np.uint8)


def test_each_feature_follows_what_it_is_named_after() -> None:
    plain = strokes()
    faint = (240 - (240 - plain.astype(int)) // 3).astype(np.uint8)
    assert look(strokes(6), "pen") > 1.3 * look(plain, "pen")
    assert look(leaning(plain, 0.4), "slant") > look(plain, "slant") + 0.2
    assert look(leaning(plain, -0.3), "slant") < look(plain, "slant") - 0.15
    assert look(faint, "contrast") < 0.5 * look(plain, "contrast")
    assert look(cv2.GaussianBlur(plain, (0, 0), 3), "sharpness") < 0.7 * look(plain, "sharpness")
    large = cv2.resize(plain, None, fx=2, fy=2)
    assert look(large, "size") == pytest.approx(2 * look(plain, "size"), rel=0.1)
    assert look(large, "pen") == pytest.approx(look(plain, "pen"), rel=0.15)
    noisy = np.clip(plain + np.random.default_rng(0).normal(0, 15, plain.shape), 0, 255).astype(np.uint8)
    assert look(noisy, "background") > 2 * look(plain, "background")


def test_a_crop_without_ink_has_no_looks() -> None:
    values = features(np.full((40, 90), 230, np.uint8), 0)
    assert np.isnan(values[:-1]).all() and values[-1] == 0


def read(value: str, *probabilities: float) -> FieldReading:
    others = [value[:-1] + d for d in "0123456789" if value[:-1] + d != value]
    given = tuple(Candidate(t, p) for t, p in zip([value, *others], probabilities, strict=False))
    cells = tuple(CellReading(d, probabilities[0], (0, 0, 1, 1)) for d in value)
    return FieldReading("number", value, value, "written", probabilities[0], given, cells)


FITTED = Constants(
    model="",
    threshold=0.5,
    spread=0.05,
    reach=1.6,
    shares=(0.1,) * 10,
    looks=tuple((20 + 0.1 * i, 0.1 + i / 2000, i / 400, 0.5, 0.5, 0.1, 1.0, float(i % 4)) for i in range(201)),
)


@given(st.floats(0, 1), st.integers(1, 5000))
def test_an_interval_holds_its_share_and_narrows_with_numbers(share: float, n: int) -> None:
    few, many = spanned(share, n, FITTED), spanned(share, 4 * n, FITTED)
    assert 0 <= few.low <= few.share <= few.high <= 1
    assert many.high - many.low <= few.high - few.low + 1e-9
    wide = min(1 - share, share, FITTED.reach * FITTED.spread)
    assert few.high - few.low >= wide - 1e-9


def test_the_interval_covers_what_chance_and_cases_do() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(400):
        true = np.clip(0.7 + rng.normal(0, FITTED.spread), 0, 1)
        one = spanned(0.7, 80, FITTED)
        hits.append(one.low <= rng.binomial(80, true) / 80 <= one.high)
    assert 0.84 < np.mean(hits) < 0.95


def test_the_share_above_the_threshold_is_predicted() -> None:
    fields = [read("174", 0.9999, 0.0001)] * 45 + [read("174", 0.02, 0.01)] * 15
    for numbers, cells in ((fields, []), ([], fields)):
        predicted = predict(numbers, cells)
        assert (predicted.share, predicted.n) == (0.75, 60)
    assert predict(fields, fields).n == 120


def test_a_field_of_cells_is_right_where_all_its_cells_are() -> None:
    sure, doubtful = CellReading("1", 0.9999, (0, 0, 1, 1)), CellReading("7", 0.02, (1, 0, 2, 1))
    fields = [FieldReading("a", "17", "17", "written", 0.5, (), cells) for cells in ((sure, sure), (sure, doubtful))]
    assert predict([], fields).share == 0.5


def test_what_is_larger_and_leans_is_told_and_what_is_alike_is_not() -> None:
    rng = np.random.default_rng(1)
    table = np.array(FITTED.looks)
    rows = table[rng.integers(0, len(table), 150)]
    assert not any(one.told for one in differences(rows, FITTED))
    rows[:, NAMES.index("size")] += 30
    rows[:, NAMES.index("slant")] -= 1
    told = {one.name: one.told for one in differences(rows, FITTED) if one.told}
    assert set(told) == {"size", "slant"}
    assert told["size"].startswith("digits are larger than in 100 %") or "99" in told["size"]


def test_digits_share_what_candidates_leave_out() -> None:
    rows = digit_probabilities([read("12", 0.8, 0.1), FieldReading("x", "", "_", "blank", 0.9)])
    assert rows.shape == (2, 10)
    assert np.allclose(rows.sum(1), 1)
    assert rows[0, 1] == pytest.approx(0.91) and rows[1, 2] == pytest.approx(0.81)
    assert rows[1, 0] == pytest.approx(0.11)


def test_constants_were_fitted_for_all_kinds_of_reading_that_ship(shipped_model: str) -> None:
    for kind, fitted in all_constants().items():
        assert 0 < fitted.threshold < 1 and len(fitted.looks[0]) == len(NAMES), kind
        assert 0 < fitted.spread < 0.2 and 1 < fitted.reach < 3, kind
        assert sum(fitted.shares) == pytest.approx(1, abs=1e-3), kind


def test_the_command_examines_pages_without_labels(tmp_path: Path, shipped_model: str) -> None:
    for k, text in enumerate(("174", "208", "95", "613")):
        cv2.imwrite(str(tmp_path / f"{k}.png"), number(text))
    page = tmp_path / "shift.html"
    told = CliRunner().invoke(app, ["shift", str(tmp_path), "--as", "number", "--json", "--out", str(page)])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["predicted"]["n"] == 4
    assert 0 <= found["predicted"]["low"] <= found["predicted"]["share"] <= found["predicted"]["high"] <= 1
    assert len(found["digits"]) == 10 and len(found["furthest"]) == 4
    assert page.read_text().count("data:image/png") == 4
    table = CliRunner().invoke(app, ["shift", str(tmp_path), "--as", "number"])
    assert "4 numbers:" in table.stdout and "probably read right" in table.stdout


def test_fields_of_cells_and_free_fields_are_told_apart(telegram: Path, shipped_model: str) -> None:
    reader = Reader(telegram / "template.json", crops=True)
    kinds = kinds_of(reader)
    assert reader.template is not None
    assert all((kinds[spec.name] == "digit") == bool(spec.cells) for spec in reader.template.fields)
    assert kinds_of(Reader(read_as="digit"))[""] == "digit"


def test_a_reader_that_it_cannot_judge_is_refused(tmp_path: Path, shipped_model: str) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), number("174"))
    with pytest.raises(SettingError, match="crops=True"):
        shift(Reader(read_as="number"), [tmp_path])
    with pytest.raises(SettingError, match="numbers that are read whole"):
        shift(Reader(read_as="number", model="digits", crops=True), [tmp_path])
