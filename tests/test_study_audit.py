"""The overlap audit of a study: what it writes, and for whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.studies.characters.overlap import SetImages, audit, contact_sheet

Images = npt.NDArray[np.uint8]


def scribbles(count: int, seed: int) -> Images:
    """(count, 32, 32): each a line through six random points, light on black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 32, 32), np.uint8)
    for image in images:
        cv2.polylines(image, [rng.integers(5, 27, (6, 2)).astype(np.int32)], False, (255,), 2, cv2.LINE_AA)
    return images


def data(shared: int) -> SetImages:
    """30 training and 20 test images; the last `shared` test images are the first training images, moved by a pixel."""
    train, test = scribbles(30, 1), scribbles(20, 2)
    train_labels, test_labels = np.full(30, "3"), np.full(20, "3")
    test[20 - shared :] = np.roll(train[:shared], 1, axis=2)
    train_labels[:2] = test_labels[18:] = "5"
    test_labels[0] = "a"
    return SetImages("mnist/train", "nist_emnist/test", train, train_labels, test, test_labels)


def written(folder: Path, **shared: int) -> Any:
    path = audit(list(shared), lambda name: data(shared[name]), folder)
    assert path == folder / "overlap.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_names_the_pairs_by_their_places_and_counts_them_by_class(tmp_path: Path) -> None:
    content = written(tmp_path / "study", one=2, two=0)
    one, two = content["sets"]
    assert [one["name"], two["name"]] == ["one", "two"]
    assert (one["source"], one["target"]) == ("mnist/train", "nist_emnist/test")
    assert (one["rows"], one["partners"]) == ([18, 19], [0, 1])
    assert (one["pairs"], one["test_images"], one["share"]) == (2, 20, 0.1)
    assert one["by_class"] == {"3": 0, "5": 2, "a": 0}
    assert min(one["correlations"]) >= one["threshold"]
    assert (two["pairs"], two["rows"], two["share"]) == (0, [], 0)
    assert str(one["threshold"]) in content["method"] and str(one["ratio"]) in content["method"]


def test_the_pairs_are_drawn_side_by_side(tmp_path: Path) -> None:
    content = written(tmp_path, one=0, two=2)
    one, two = content["sets"]
    assert "sheet" not in one and two["sheet"] == "overlap-2.png"
    sheet = cv2.imread(str(tmp_path / two["sheet"]), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None and sheet.shape == (56 + 8, 8 * (2 * 56 + 8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["overlap-2.png", "overlap.json"]


def test_a_sheet_wraps_after_its_columns(tmp_path: Path) -> None:
    left = np.full((5, 6, 6), 10, np.uint8)
    contact_sheet(left, left + 200, tmp_path / "pairs.png", columns=3)
    sheet = cv2.imread(str(tmp_path / "pairs.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None and sheet.shape == (2 * 64, 3 * 120)
    assert (sheet == 10).sum() == (sheet == 210).sum() == 5 * 56 * 56


def test_a_study_without_sets_says_so(tmp_path: Path) -> None:
    assert written(tmp_path) == {"method": "no set was audited", "sets": []}
