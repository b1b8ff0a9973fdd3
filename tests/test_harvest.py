"""Data sets from forms: what is kept, what is left out and why, and a folder that is whole or not there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from command import Run
from inkshift.datasets.formats import load_class_folders, load_csv
from inkshift.datasets.labels import Label, read_labels
from inkshift.errors import DataError, SettingError
from inkshift.files import file_digest
from inkshift.forms.crops import harvest
from inkshift.forms.crops.folder import KIND, Harvest, new_folder
from inkshift.forms.crops.harvest import build, match, split_of

PIECE = np.zeros((28, 28), np.uint8)


def label(value: str, written: str = "") -> Label:
    return Label("f", "a", value, written)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("found", "value", "reason"),
    [(2, "127", "stuck digits"), (4, "127", "stray marks"), (1, "10", "stuck digits"), (2, "7", "stray marks")],
)
def test_digits_are_left_out_where_the_counts_differ(found: int, value: str, reason: str) -> None:
    pairs, left = match([PIECE] * found, label(value), 0)
    assert not pairs
    assert left == [("", reason, f"found {found}, label {value!r}")]


@given(st.text("0123456789", min_size=1, max_size=6))
def test_each_digit_takes_its_part_of_the_label(value: str) -> None:
    pairs, left = match([PIECE] * len(value), label(value), 0)
    assert [(position, digit) for position, digit, _ in pairs] == list(enumerate(value, 1))
    assert not left


@given(st.text("0123456789X_", min_size=1, max_size=5))
def test_labels_cell_by_cell_are_taken_cell_by_cell(written: str) -> None:
    found = [None if symbol == "_" else PIECE for symbol in written]
    pairs, left = match(found, label("".join(filter(str.isdigit, written)), written), len(written))
    assert [(i, digit) for i, digit, _ in pairs] == [(i, s) for i, s in enumerate(written, 1) if s.isdigit()]
    assert not left


def test_an_empty_cell_with_a_digit_as_label_is_listed() -> None:
    pairs, left = match([PIECE, None, PIECE], label("157", "157"), 3)
    assert [position for position, _, _ in pairs] == [1, 3]
    assert left == [("2", "empty", "no ink, label '5'")]


@given(st.lists(st.text(max_size=8), unique=True, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_the_split_hangs_on_the_name_alone_and_grows_with_the_share(names: list[str], a: float, b: float) -> None:
    low, high = sorted((a, b))
    for name in names:
        assert split_of(name, low) == split_of(name, low)
        assert split_of(name, high) == "test" or split_of(name, low) == "train"
        assert split_of(name, 0) == "train" and split_of(name, 1) == "test"


def test_the_split_has_about_its_share_and_never_moves() -> None:
    splits = [split_of(f"form-{i}", 0.2) for i in range(2000)]
    assert splits.count("test") / len(splits) == pytest.approx(0.2, abs=0.03)
    assert [split_of(f"T-000{i}", 0.2) for i in (1, 2, 3, 4)] == ["train", "train", "test", "train"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, telegram: Path, shipped_model: str) -> tuple[Path, Harvest]:
    """The bundled telegrams, one form unlabelled, one page not a form, and two entries set aside by hand."""
    folder = tmp_path_factory.mktemp("harvest")
    exclude = folder / "exclude.csv"
    exclude.write_text("form,field,reason\nT-0001,p02,smudge\nT-0002,,crossed out\nT-0099,,gone\n")
    other = np.full((400, 300), 255, np.uint8)
    for row in range(40, 360, 24):
        other[row : row + 4, 30:270] = 0
    Image.fromarray(other).save(folder / "other.png")
    (folder / "again.jpg").write_bytes((telegram / "scan-1.jpg").read_bytes())
    labels = [known for known in read_labels(str(telegram / "labels.csv")) if known.form != "T-0003"]
    labels.append(Label("T-0077", "p01", "5", ""))
    result = build(
        [telegram / "scan-1.jpg", telegram / "scan-2.jpg", telegram / "scan-3.jpg", telegram / "scan-6.jpg",
         folder / "again.jpg", folder / "other.png"],
        labels,
        folder / "set",
        template=telegram / "template.json",
        exclude=exclude,
    )  # fmt: skip
    return folder / "set", result


def test_numbers_are_crops_with_their_labels(built: tuple[Path, Harvest], telegram: Path) -> None:
    folder, result = built
    rows = table(folder / "numbers" / "numbers.csv")
    assert list(rows[0]) == ["file", "form", "field", "label", "split"]
    labels = {(x.form, x.field): x.value for x in read_labels(str(telegram / "labels.csv"))}
    assert all(labels[row["form"], row["field"]] == row["label"] for row in rows)
    assert {row["form"] for row in rows} == {"T-0001", "T-0006"}
    assert len(rows) == len(result.numbers) == 25
    loaded = load_csv(folder / "numbers" / "numbers.csv")
    assert len(loaded) == 25 and all(min(image.shape[:2]) > 20 for image in loaded.images)


def test_digits_are_framed_and_read_back_as_folders_and_as_a_table(built: tuple[Path, Harvest]) -> None:
    folder, result = built
    rows = table(folder / "digits" / "digits.csv")
    assert list(rows[0]) == ["file", "form", "field", "position", "label", "split"]
    by_folder, by_table = load_class_folders(folder / "digits"), load_csv(folder / "digits" / "digits.csv")
    assert len(by_folder) == len(by_table) == len(result.digits) > 30
    assert sorted(by_folder.labels) == sorted(by_table.labels)
    for image in by_table.images:
        assert image.shape == (28, 28) and image.dtype == np.uint8
        assert image.max() > 200 and np.median(image) == 0
    numbers = {(r["form"], r["field"]): r["label"] for r in table(folder / "numbers" / "numbers.csv")}
    assert all(numbers[r["form"], r["field"]][int(r["position"]) - 1] == r["label"] for r in rows)


def test_what_was_left_out_is_listed_with_its_reason(built: tuple[Path, Harvest]) -> None:
    folder, result = built
    rows = table(folder / "left_out.csv")
    assert list(rows[0]) == ["form", "field", "position", "reason", "detail"]
    by_reason = {reason: [r for r in rows if r["reason"] == reason] for reason in {r["reason"] for r in rows}}
    assert {(r["form"], r["field"]) for r in by_reason["excluded by hand"]} >= {("T-0001", "p02"), ("T-0002", "total")}
    assert {r["detail"] for r in by_reason["excluded by hand"]} == {"smudge", "crossed out"}
    assert {r["form"] for r in by_reason["no label"]} == {"T-0003"}
    assert [r["form"] for r in by_reason["not read"]] == ["other"]
    assert [r["form"] for r in by_reason["form found twice"]] == ["T-0001"]
    assert result.unused_exclusions == [("T-0099", "")]
    assert ("T-0077", "p01") in result.unused_labels
    covered = {(r.form, r.field) for r in result.digits}
    lost = {(r["form"], r["field"]) for r in rows if r["reason"] in ("stuck digits", "stray marks")}
    assert covered.isdisjoint(lost) and covered | lost == {(r.form, r.field) for r in result.numbers}


def test_the_manifest_names_settings_counts_and_every_file(built: tuple[Path, Harvest]) -> None:
    folder, result = built
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"] == result.counts()
    settings = manifest["settings"]
    assert settings["template"] == {"name": "telegram", "version": 1}
    assert settings["model"]["name"] == "digits" and len(settings["model"]["digest"]) == 64
    assert "resize(28)" in settings["reframing"] and settings["test_share"] == 0.2
    files = {path for path in everything(folder) if path != "manifest.json"}
    assert set(manifest["files"]) == files
    assert all(file_digest(folder / path) == digest for path, digest in manifest["files"].items())


def test_sheets_show_all_of_it(built: tuple[Path, Harvest]) -> None:
    folder, result = built
    sheets = {path.name for path in (folder / "sheets").iterdir()}
    assert sheets == {"numbers-1.png", *(f"digit-{d}-1.png" for d in {row.label for row in result.digits})}
    for path in (folder / "sheets").iterdir():
        with Image.open(path) as sheet:
            assert sheet.width <= 2000 and sheet.height <= 2000


def test_the_same_pages_give_the_same_bytes(built: tuple[Path, Harvest], telegram: Path, tmp_path: Path) -> None:
    labels = read_labels(str(telegram / "labels.csv"))
    for name in ("a", "b", "b"):
        build([telegram / "scan-1.jpg"], labels, tmp_path / name, template=telegram / "template.json")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(SettingError, match="is no data set of inkshift"), new_folder(tmp_path / "mine"):
        pass
    assert everything(tmp_path) == {"mine/thesis.tex": b"x"}


def test_a_build_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    with new_folder(tmp_path / "set") as folder:
        (folder / "manifest.json").write_text(json.dumps({"kind": KIND}))
    before = everything(tmp_path)
    with pytest.raises(RuntimeError), new_folder(tmp_path / "set") as folder:
        (folder / "half.txt").write_text("half")
        raise RuntimeError
    assert everything(tmp_path) == before


def test_labels_of_other_forms_are_refused(telegram: Path, tmp_path: Path, shipped_model: str) -> None:
    with pytest.raises(DataError, match=r"no label fits a page: .* 'Z-1', pages such as 'T-0001'"):
        build([telegram / "scan-1.jpg"], [Label("Z-1", "p01", "5", "")], tmp_path / "set",
              template=telegram / "template.json")  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_a_share(share: float, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="test share must be a number from 0 to 1"):
        build([], [], tmp_path / "set", read_as="number", test_share=share)


def test_exclusions_need_their_columns(tmp_path: Path) -> None:
    (tmp_path / "exclude.csv").write_text("form,why\na,smudge\n")
    with pytest.raises(DataError, match="no column field, reason, found form, why"):
        harvest.read_exclusions(tmp_path / "exclude.csv")


def test_the_command_builds_from_a_database(telegram: Path, tmp_path: Path, run: Run, shipped_model: str) -> None:
    arguments: list[Any] = ["dataset", "build", telegram / "scan-1.jpg", "--template", telegram / "template.json"]
    arguments += ["--labels", f"sqlite:///{telegram / 'labels.sqlite'}", "--query", "select * from fields"]
    output = run(*arguments, "--out", tmp_path / "set")
    assert not output.status
    assert output.out.strip() == str(tmp_path / "set")
    assert "1 pages, 1 forms" in output.err and "digits" in output.err
    assert len(table(tmp_path / "set" / "numbers" / "numbers.csv")) == 13


def test_pictures_of_numbers_need_no_template(
    tmp_path: Path, drawn_digits: np.ndarray[Any, np.dtype[np.uint8]], shipped_model: str
) -> None:
    page = np.full((60, 100), 240, np.uint8)
    for i, digit in enumerate("38"):
        page[16:44, 16 + 32 * i : 44 + 32 * i][drawn_digits[int(digit)] > 100] = 40
    Image.fromarray(page).save(tmp_path / "n1.png")
    result = build([tmp_path / "n1.png"], [Label("n1", "", "38", "")], tmp_path / "set", read_as="number")
    assert [(row.form, row.label) for row in result.digits] == [("n1", "3"), ("n1", "8")]
    assert result.unused_labels == []
