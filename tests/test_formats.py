"""Every format comes back as it was written; what is damaged is refused with one clear line."""

import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from inkshift.datasets.formats import (
    LabelledImages,
    PackedImages,
    load_class_folders,
    load_csv,
    load_idx_pair,
    load_npz,
    load_path,
    read_idx,
    read_image,
    read_ragged,
)
from inkshift.errors import DataError
from inkshift.files import as_cell, read_csv

DATA = Path(os.environ.get("INKSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the research data is not here")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, min_side=0, max_side=6)), st.booleans())
def test_idx_comes_back_as_written(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool):
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    np.testing.assert_array_equal(read_idx(path), array, strict=True)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_idx_never_fails_otherwise_than_with_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(data)
    try:
        array = read_idx(path)
    except DataError as e:
        assert str(path) in str(e)
    else:
        assert idx(array) == data


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG" + GOOD, "not an IDX file"),
        (b"\0\0\x0d" + GOOD[3:], "type 13"),
        (GOOD[:7], "inside the IDX header"),
        (GOOD[:-1], "12 bytes, found only 11"),
        (GOOD + b"\0", "12 bytes, found 13"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "expected at most 1024 MiB"),
        (b"\0\0\x08\x46" + bytes(4 * 70), "beyond numpy"),
        (gzip.compress(GOOD, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_damaged_idx_is_refused(tmp_path: Path, data: bytes, says: str):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_idx(path)


def test_missing_files_are_named(tmp_path: Path):
    for read in (read_idx, read_ragged, load_npz, load_class_folders, load_csv, read_image):
        with pytest.raises(DataError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_idx_pair_needs_one_label_for_each_image(tmp_path: Path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(np.zeros((3, 2, 2), np.uint8)))
    labels.write_bytes(idx(np.array([7, 0, 1], np.uint8)))
    data = load_idx_pair(images, labels)
    assert (len(data), data.labels.tolist(), data.images[0].shape) == (3, ["7", "0", "1"], (2, 2))
    labels.write_bytes(idx(np.array([7, 0], np.uint8)))
    with pytest.raises(DataError, match="3 images, 2 labels"):
        load_idx_pair(images, labels)
    with pytest.raises(DataError, match="expected images"):
        load_idx_pair(labels, labels)


small_images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5))


def save_ragged(path: Path, images: list[np.ndarray], **others: object) -> None:
    arrays = {
        "pixels": np.concatenate([i.ravel() for i in images]) if images else np.zeros(0, np.uint8),
        "shapes": np.array([i.shape for i in images], np.int32).reshape(-1, 2),
        "offsets": np.cumsum([0, *(i.size for i in images)]),
    }
    np.savez(path, **(arrays | others))


@settings(deadline=None)
@given(st.lists(small_images, max_size=5))
def test_ragged_images_come_back(tmp_path_factory: pytest.TempPathFactory, images: list[np.ndarray]):
    path = tmp_path_factory.mktemp("ragged") / "set.npz"
    labels = np.array(["7"] * len(images), np.str_)
    save_ragged(path, images, labels=labels)
    read, others = read_ragged(path)
    assert list(others) == ["labels"]
    assert len(read) == len(load_npz(path)) == len(images)
    for before, after in zip(images, read, strict=True):
        np.testing.assert_array_equal(before, after, strict=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"pixels": np.zeros(4, np.int32)}, "flat uint8"),
        ({"offsets": np.array([0, 4, 5])}, "offsets"),
        ({"offsets": np.array([0, 3])}, "from 0 to 4"),
        ({"shapes": np.array([[2, 3]])}, r"image 0 does not fill its shape \(2, 3\)"),
        ({"shapes": np.array([[-2, -2]])}, "shapes"),
    ],
)
def test_ragged_files_that_disagree_are_refused(tmp_path: Path, wrong: dict[str, np.ndarray], says: str):
    save_ragged(tmp_path / "set.npz", [np.zeros((2, 2), np.uint8)], **wrong)
    with pytest.raises(DataError, match=says):
        read_ragged(tmp_path / "set.npz")


def test_npz_labels_are_classes(tmp_path: Path):
    path, images = tmp_path / "set.npz", np.zeros((3, 2, 2), np.uint8)
    np.savez(path, images=images, labels=np.array([1, 0, 1]), classes=np.array(["a", "B"]))
    assert load_npz(path).labels.tolist() == ["B", "a", "B"]
    np.savez(path, images=images, labels=np.array([1, 0, 1]))
    assert load_npz(path).labels.tolist() == ["1", "0", "1"]
    np.savez(path, images=images, labels=np.array([1, 0, 2]), classes=np.array(["a", "B"]))
    with pytest.raises(DataError, match="0 to 2, but classes has 2"):
        load_npz(path)
    np.savez(path, images=images)
    with pytest.raises(DataError, match="no array 'labels', only images"):
        load_npz(path)
    np.savez(path, images=images.astype(float), labels=np.array([1, 0, 1]))
    with pytest.raises(DataError, match="float64"):
        load_npz(path)


def test_npz_is_never_unpickled(tmp_path: Path):
    np.savez(tmp_path / "set.npz", images=np.array([{}], object), labels=np.array([1]))
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("set.npz", "text.npz", "array.npy"):
        with pytest.raises(DataError, match="without pickle"):
            load_npz(tmp_path / name)


def test_class_folders(tmp_path: Path):
    for name in ("7/b.png", "7/a.jpg", "0/c.PNG", ".hidden/d.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 3), 200).save(file)
    (tmp_path / "7" / "notes.txt").write_text("no image")
    data = load_class_folders(tmp_path)
    assert data.labels.tolist() == ["0", "7", "7"]
    assert [image.shape for image in data.images] == [(3, 4)] * 3
    with pytest.raises(DataError, match="no picture"):
        load_class_folders(tmp_path / "7")


def test_csv_of_images(tmp_path: Path):
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,7\n")
    assert load_csv(table).labels.tolist() == ["7"]
    table.write_text("file;value\na.png;007\n")
    assert load_csv(table).labels.tolist() == ["007"]
    table.write_text("file,label\na.png,7\nb.png,1\nc.png,1\n")
    with pytest.raises(DataError, match=r"b\.png and 1 more not found"):
        load_csv(table)
    table.write_text("picture,label\na.png,7\n")
    with pytest.raises(DataError, match="found picture, label"):
        load_csv(table)


# Quotes, dividers, and what looks empty, ends lines, or is taken for a formula, as often as all else.
odd = st.sampled_from("'\"=+-@,;\t\r\n\0\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\ufeff\u200b\u3000")
cell = st.text(st.one_of(odd, st.characters(codec="utf-8")), max_size=6).map(str.strip)


@settings(deadline=None)
@given(st.lists(st.tuples(cell.filter(bool), cell), min_size=1, max_size=4), st.sampled_from(",;"), st.booleans())
@example([("'=", ""), ("\ufeff", "\u200b"), ("\0", "a\r\x1c\u2028b")], ";", False)
def test_csv_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, marked: bool
):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    lines = [[f'"{as_cell(cell).replace(chr(34), chr(34) * 2)}"' for cell in row] for row in [("A", "b"), *rows]]
    text = "".join(delimiter.join(line) + "\r\n" for line in lines)
    path.write_bytes(text.encode("utf-8-sig" if marked else "utf-8"))
    assert [tuple(row.values()) for _, row in read_csv(path)] == rows
    assert list(read_csv(path)[0][1]) == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no rows"),
        (b"form,value\n\n \n", "no rows"),
        (b"form,value\na,1\nb\n", ":3: expected 2 cells as in the header, found 1"),
        (b"form,form\na,1\n", ":1: column names must differ"),
        (b"form,value\n\x81,1\n", "UTF-8"),
        (b'form,value\n"a,1\n', ":2: not CSV"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, data: bytes, says: str):
    (tmp_path / "bad.csv").write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_csv(tmp_path / "bad.csv")


def test_pictures_come_as_gray_or_rgb(tmp_path: Path):
    path = tmp_path / "picture.png"
    for mode, shape in (("1", (3, 4)), ("L", (3, 4)), ("P", (3, 4, 3)), ("RGB", (3, 4, 3))):
        Image.new(mode, (4, 3)).save(path)
        assert read_image(path).shape == shape
    Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(path)
    assert (read_image(path) == 255).all()
    Image.fromarray(np.full((3, 4), 65535, np.uint16)).save(path)
    assert (read_image(path) == 255).all()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"picture\.png"):
        read_image(path)


def test_labels_and_images_must_match():
    with pytest.raises(DataError, match="mine: expected one label for each image, found 1 images, 2 labels"):
        LabelledImages([np.zeros((2, 2), np.uint8)], np.array(["1", "2"]), "mine")


@needs_data
def test_research_data_is_read():
    images, arrays = read_ragged(DATA / "c1" / "fields.npz")
    assert len(images) == len(arrays["labels"]) == 50
    assert len(load_npz(DATA / "dida" / "digits.npz")) == 5000


@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 4), st.sampled_from([8, 16]))), st.data())
def test_packed_images_index_as_an_array_does(ink: np.ndarray, data: st.DataObject):
    whole, images = ink * np.uint8(255), PackedImages(np.packbits(ink, axis=2))
    rows = data.draw(st.lists(st.integers(-len(ink), len(ink) - 1), max_size=6))
    assert images.shape == whole.shape
    np.testing.assert_array_equal(np.stack(list(images)), whole, strict=True)
    for chosen in (np.array(rows, int), slice(*[None, *rows][-2:]), ink.any(axis=(1, 2)), *rows):
        np.testing.assert_array_equal(images[chosen], whole[chosen], strict=True)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images))[:], whole)
    with pytest.raises(IndexError):
        images[len(ink)]


def test_bits_of_another_kind_are_refused():
    with pytest.raises(DataError, match=r"uint8 \(N, H, W / 8\), found bool"):
        PackedImages(np.zeros((2, 8, 8), bool))


def test_data_of_ones_own_by_path(tmp_path: Path):
    """A CSV before an npz before class folders; a split may be of another kind than the other."""
    for split, label in (("train", "7"), ("test", "8")):
        (tmp_path / split / label).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / split / label / "a.png")
        assert load_path(tmp_path, split).labels.tolist() == [label]
    np.savez(tmp_path / "train.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.array(["a", "b"]))
    assert load_path(tmp_path, "train").labels.tolist() == ["a", "b"]
    (tmp_path / "train.csv").write_text("file,label\ntrain/7/a.png,x\n")
    assert load_path(tmp_path, "train").labels.tolist() == ["x"]
    assert load_path(tmp_path, "test").labels.tolist() == ["8"]
    with pytest.raises(DataError, match=r"expected a folder with test\.csv, test\.npz or a folder test .*found none"):
        load_path(tmp_path / "train", "test")
    with pytest.raises(DataError, match=r"nowhere: .*no such folder"):
        load_path(tmp_path / "nowhere", "train")
