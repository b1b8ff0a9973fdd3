"""NIST SD19 in its real layout, made here: packed once, killed and gone on with, read lazily; fetched whole."""

import hashlib
import http.server
import io
import json
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import inkshift.cli.data  # noqa: F401 -- registers the commands
from inkshift.cli.app import app
from inkshift.datasets import catalog, nist
from inkshift.datasets.formats import PackedImages
from inkshift.errors import DataError, SettingError

FOLDERS = {"train_{}": 2, "hsf_4": 1, "hsf_0": 1}
MODES = ("1", "L", "RGB")


def character(label: str, row: int) -> np.ndarray:
    """(128, 128) booleans, True where there is ink, different for each image."""
    drawn = np.zeros((128, 128), bool)
    drawn[20 : 20 + ord(label) // 2, 30 + row : 50] = True
    return drawn


def png(ink: np.ndarray, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def layout() -> dict[str, bytes]:
    """The files of a small by_class, last first: 62 classes, two training images and a test image each."""
    files = {}
    for n, label in enumerate(nist.CLASSES):
        code = f"{ord(label):x}"
        for folder, count in FOLDERS.items():
            place = folder.format(code)
            files[f"by_class/{code}/{place}.mit"] = b"the forms they come from"
            for row in range(count):
                ink = character(label, row + (5 if place == "hsf_4" else 0))
                files[f"by_class/{code}/{place}/{place}_{row:05d}.png"] = png(ink, MODES[n % 3])
    return dict(reversed(files.items()))


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("by_class")
        for n, (name, data) in enumerate(files.items()):
            archive.writestr(name, data, zipfile.ZIP_STORED if n % 2 else None)
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path / "by_class"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return layout()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("nist")
    nist.pack(write_zip(folder / "by_class.zip", files), folder / "packed")
    return folder


@pytest.fixture
def archive(tmp_path: Path, original: Path) -> Path:
    return shutil.copy(original / "by_class.zip", tmp_path / "by_class.zip")


@pytest.fixture
def packed(tmp_path: Path, original: Path) -> Path:
    return shutil.copytree(original / "packed", tmp_path / "packed")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_the_two_splits_come_back_in_order(packed: Path):
    for split, per_class, first in (("train", 2, 0), ("test", 1, 5)):
        data = nist.load(packed, split)
        assert "".join(data.labels) == "".join(label * per_class for label in nist.CLASSES)
        assert (packed / f"{split}.bits").stat().st_size == len(data) * 128 * 16
        for i, label in enumerate(data.labels):
            ink = character(str(label), first + i % per_class)
            np.testing.assert_array_equal(data.images[i], ink * np.uint8(255), strict=True)


def test_the_manifest_states_counts_and_checksums(packed: Path):
    manifest = json.loads((packed / "manifest.json").read_text())
    assert (manifest["format"], manifest["source"]) == ("inkshift-packed-1", "by_class.zip")
    assert manifest["classes"]["train"] == dict.fromkeys(nist.CLASSES, 2)
    for name, data in contents(packed).items():
        assert manifest["files"][name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert set(contents(packed)) == {"train.bits", "train.labels", "test.bits", "test.labels"}


def test_an_unpacked_folder_gives_the_same_files(tmp_path: Path, files: dict[str, bytes], packed: Path):
    folder = write_folder(tmp_path / "unpacked", files)
    for n, source in enumerate((folder, folder.parent)):
        nist.pack(source, tmp_path / f"again{n}")
        assert contents(tmp_path / f"again{n}") == contents(packed)


def test_packed_images_are_read_lazily(packed: Path):
    images = nist.load(packed, "train").images
    assert isinstance(images, PackedImages) and isinstance(images._bits, np.memmap)
    assert (images.shape, images.dtype, len(images)) == ((124, 128, 128), np.uint8, 124)
    there = pickle.dumps(images)
    assert len(there) < 1000
    np.testing.assert_array_equal(pickle.loads(there)[7], images[7])


KILLED = """
import os, signal, sys
from inkshift.datasets import nist
decode, count = nist.decode_picture, 0
def dying(*arguments):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
nist.decode_picture = dying
nist.pack(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("source", ["by_class.zip", "by_class"])
def test_a_killed_packing_goes_on(
    tmp_path: Path,
    files: dict[str, bytes],
    archive: Path,
    packed: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
):
    """Killed at image 50 of class 25, the twenty-four classes before it are not decoded again."""
    write_folder(tmp_path, files)
    folder = tmp_path / "killed"
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / source), str(folder), "50"], timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert json.loads((folder / "manifest.part").read_text())["complete"] == [f"train/{c}" for c in nist.CLASSES[:24]]
    with pytest.raises(DataError, match="not a packed data set"):
        nist.load(folder, "train")
    decoded = []
    decode = nist.decode_picture
    monkeypatch.setattr(nist, "decode_picture", lambda data, name: (decoded.append(name), decode(data, name))[1])
    nist.pack(tmp_path / source, folder)
    assert len(decoded) == 3 * 62 - 2 * 24
    assert contents(folder) == contents(packed)


def test_a_packing_of_another_source_begins_anew(tmp_path: Path, files: dict[str, bytes], archive: Path, packed: Path):
    """The part before was of other images, or its files are gone."""
    folder = tmp_path / "again"
    other = {name: png(np.ones((128, 128), bool)) if "/30/" in name else data for name, data in files.items()}
    other["by_class/7a/hsf_4/hsf_4_00000.png"] = b"damaged"
    for spoil in (lambda: None, lambda: (folder / "train.bits").unlink()):
        with pytest.raises(DataError, match="hsf_4_00000"):
            nist.pack(write_zip(tmp_path / "other.zip", other), folder)
        spoil()
        assert (folder / "manifest.part").is_file()
        nist.pack(archive, folder)
        assert contents(folder) == contents(packed)
        (folder / "manifest.json").unlink()


def test_progress_is_in_bytes(archive: Path, tmp_path: Path):
    steps: list[tuple[str, int, int | None]] = []
    nist.pack(archive, tmp_path / "packed", lambda *step: steps.append(step))
    assert steps[-1] == ("test.bits", 62 * 2048, 62 * 2048)
    done = [done for name, done, _ in steps if name == "train.bits"]
    assert done == sorted(done) and done[-1] == 124 * 2048


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("41/train_41/train_41_00001.png", png(np.zeros((128, 100), bool)), "128x128 pixels, found 100x128"),
        ("41/hsf_4/hsf_4_00000.png", png(character("A", 0))[:60], "expected a whole file"),
        ("41/hsf_4/hsf_4_00000.png", b"", "expected a whole file"),
        ("41/hsf_9/hsf_9_00000.png", png(character("A", 0)), "is in no folder of the database"),
        ("41/train_42/train_42_00000.png", png(character("A", 0)), "is in no folder of the database"),
        ("5f/hsf_4/hsf_4_00000.png", png(character("A", 0)), "is in no folder of the database"),
        ("xx/hsf_4/hsf_4_00000.png", png(character("A", 0)), "is in no folder of the database"),
    ],
    ids=["size", "cut short", "empty", "unknown part", "another class", "no class", "no code"],
)
def test_a_wrong_image_is_named(
    tmp_path: Path, files: dict[str, bytes], name: str, data: bytes, says: str, unpacked: bool
):
    source = (write_folder if unpacked else write_zip)(tmp_path / "wrong", files | {f"by_class/{name}": data})
    with pytest.raises(DataError, match=says) as error:
        nist.pack(source, tmp_path / "packed")
    assert name in str(error.value) and "wrong" in str(error.value)
    assert not (tmp_path / "packed" / "manifest.json").exists()


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize(("gone", "split"), [("61/train_61/", "train"), ("61/hsf_4/", "test")])
def test_a_class_without_images_is_named(
    tmp_path: Path, files: dict[str, bytes], gone: str, split: str, unpacked: bool
):
    less = {name: data for name, data in files.items() if gone not in name}
    source = (write_folder if unpacked else write_zip)(tmp_path / "less", less)
    with pytest.raises(DataError, match=rf"class 'a' has no {split} image; expected PNG files in {gone[:-1]}"):
        nist.pack(source, tmp_path / "packed")


def test_files_that_are_no_images_are_passed_over(tmp_path: Path, files: dict[str, bytes], packed: Path):
    junk = {"__MACOSX/by_class/30/._a.png": b"x", "by_class/.DS_Store": b"x", "README": b"x"}
    nist.pack(write_zip(tmp_path / "junk.zip", files | junk), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(packed)


def test_damaged_archives_are_refused(tmp_path: Path, archive: Path):
    whole = archive.read_bytes()
    name = b"by_class/30/train_30/train_30_00000.png"
    begin = whole.index(name) + len(name)
    altered = whole[: begin + 20] + bytes([whole[begin + 20] ^ 1]) + whole[begin + 21 :]
    for data in (b"", b"no archive", whole[:-30], whole[1000:], altered):
        archive.write_bytes(data)
        with pytest.raises(DataError, match=r"by_class\.zip: cannot be read as a zip archive"):
            nist.pack(archive, tmp_path / "packed")
    for source in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="found neither"):
            nist.pack(source, tmp_path / "packed")


def test_a_large_archive_has_its_directory_elsewhere(
    tmp_path: Path, files: dict[str, bytes], packed: Path, monkeypatch: pytest.MonkeyPatch
):
    """More than 65,535 entries, as in the real by_class.zip, need the zip64 form."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 100)
    large = write_zip(tmp_path / "large.zip", files)
    assert b"PK\6\6" in large.read_bytes()
    nist.pack(large, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(packed)


def test_a_full_disk_is_named(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nist.shutil, "disk_usage", lambda _: type("usage", (), {"free": 5000}))
    with pytest.raises(DataError, match="packing needs 380,928 bytes, the disk has 5,000 left"):
        nist.pack(archive, tmp_path / "packed")


@pytest.mark.parametrize("name", ["train.bits", "train.labels", "manifest.json"])
def test_altered_files_are_refused(packed: Path, archive: Path, name: str):
    path = packed / name
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"0", None):
        path.unlink() if data is None else path.write_bytes(data)
        with pytest.raises(DataError, match=f"{name}: .*pack again"):
            nist.load(packed, "train")
    path.write_bytes(whole)
    assert nist.verify(packed)[-1] == packed / "manifest.json"


def test_verify_sees_what_has_the_right_size(packed: Path, archive: Path):
    bits, letters = packed / "test.bits", packed / "test.labels"
    letters.write_bytes(letters.read_bytes().replace(b"0", b"1"))
    with pytest.raises(DataError, match="its labels are not those packed"):
        nist.load(packed, "test")
    letters.write_bytes(letters.read_bytes().replace(b"11", b"01"))
    assert nist.pack(archive, packed) == nist.verify(packed)
    bits.write_bytes(bits.read_bytes()[::-1])
    nist.load(packed, "test")
    for check in (lambda: nist.verify(packed), lambda: nist.pack(archive, packed)):
        with pytest.raises(DataError, match=r"test\.bits: missing or altered"):
            check()


class Handler(http.server.BaseHTTPRequestHandler):
    """Any path ending in by_class.zip; the first answer breaks off in the middle."""

    content: ClassVar[bytes] = b""
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        ranged = self.headers["Range"]
        start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : None if self.asked else len(self.content) // 2])
        self.asked.append((self.path, ranged))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Handler, "content", archive.read_bytes())
    monkeypatch.setattr(Handler, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("INKSHIFT_MIRROR", f"http://127.0.0.1:{httpd.server_port}/mirror")
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, md5: str) -> None:
    """The catalogue's entry with the checksum of the small archive, and no other address than the mirror."""
    entry = catalog.CATALOG["nist-sd19"]
    monkeypatch.setitem(catalog.CATALOG, entry.name, replace(entry, files=(replace(entry.files[0], urls=(), md5=md5),)))


def test_fetched_resumed_packed_and_loaded(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "data" / "nist-sd19"
    publish(monkeypatch, hashlib.md5(Handler.content).hexdigest())
    with pytest.raises(DataError, match="inkshift data fetch nist-sd19"):
        catalog.load("nist-sd19", "train")
    half = len(Handler.content) // 2
    with pytest.raises(DataError, match=f"cut short at {half} of {len(Handler.content)} bytes"):
        catalog.fetch("nist-sd19")
    steps: list[str] = []
    paths = catalog.fetch("nist-sd19", progress=lambda name, *_: steps.append(name))
    assert Handler.asked == [
        ("/mirror/nist-sd19/by_class.zip", None),
        ("/mirror/nist-sd19/by_class.zip", f"bytes={half}-"),
    ]
    assert [path.relative_to(folder).as_posix() for path in paths] == ["by_class.zip"] + [
        f"packed/{name}" for name in ("train.bits", "train.labels", "test.bits", "test.labels", "manifest.json")
    ]
    assert list(dict.fromkeys(steps)) == ["by_class.zip", "train.bits", "test.bits"]
    data = catalog.load("nist-sd19", "test")
    assert (data.name, len(data), data.images[0].max()) == ("nist-sd19/test", 62, 255)

    (folder / "by_class.zip").unlink()
    assert catalog.locate("nist-sd19") == folder
    assert len(catalog.load("nist-sd19", "train")) == 124
    assert catalog.fetch("nist-sd19") == paths[1:]
    assert len(Handler.asked) == 2


def test_an_archive_of_another_checksum_is_refused(server: str, tmp_path: Path):
    """That of the real archive, which this is not."""
    Handler.asked.append(("", None))
    with pytest.raises(DataError, match=r"by_class\.zip was not fetched .*hash"):
        catalog.fetch("nist-sd19", mirrors=[server])
    assert list((tmp_path / "data" / "nist-sd19").iterdir()) == []


def test_pack_command(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "nist-sd19"

    def run(*arguments: str) -> str:
        return CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False).stdout

    with pytest.raises(DataError, match="give --from"):
        run("pack", "nist-sd19")
    with pytest.raises(SettingError, match="'mnist' is not packed"):
        run("pack", "mnist")
    assert "digits+characters: 731,668" in run("show", "nist-sd19")
    folder.mkdir(parents=True)
    archive.rename(folder / "by_class.zip")
    with pytest.raises(DataError, match="not packed; run  inkshift data pack nist-sd19"):
        catalog.load("nist-sd19", "train")
    assert str(folder / "packed" / "test.bits") in run("pack", "nist-sd19").splitlines()
    assert run("pack", "nist-sd19", "--from", str(folder / "by_class.zip")) == run("pack", "nist-sd19")
    assert "train     124 images" in run("show", "nist-sd19")
