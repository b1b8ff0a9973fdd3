"""The catalogue finds, fetches and loads data sets; a wrong file never gets in."""

import hashlib
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import inkshift.cli.data  # noqa: F401 -- registers the commands
from inkshift.cli.app import app
from inkshift.datasets import catalog
from inkshift.datasets.catalog import CATALOG, DataSet, RemoteFile, data_root, fetch, load, locate
from inkshift.datasets.formats import Split
from inkshift.errors import DataError, SettingError

DATA = Path(os.environ.get("INKSHIFT_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the research data is not here")

CONTENT = bytes(range(256)) * 600
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/good has the file, with ranges; /wrong other bytes; /small few; /short breaks off; else none."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        folder, ranged = self.path.split("/")[1], self.headers["Range"]
        self.asked.append((folder, ranged))
        self.paths.append(self.path)
        body = {"good": CONTENT, "wrong": CONTENT[::-1], "short": CONTENT, "small": CONTENT[:9]}.get(folder)
        if body is None:
            self.send_error(404)
            return
        start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged and folder == "good" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2 if folder == "short" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path))
    monkeypatch.delenv("INKSHIFT_MIRROR", raising=False)
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "paths", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def publish(
    monkeypatch: pytest.MonkeyPatch, *urls: str, md5: str | None = MD5, size: int | None = len(CONTENT)
) -> None:
    """Put a data set `toy` of one file into the catalogue."""
    file = RemoteFile("toy.bin", tuple(f"{url}/toy.bin" for url in urls), md5, size)
    toy = DataSet("toy", "A toy", "http://example.org/toy", "none", "", False, files=(file,))
    monkeypatch.setitem(CATALOG, "toy", toy)


def test_fetch_verifies_and_keeps(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/good")
    seen: list[tuple[str, int, int | None]] = []
    (path,) = fetch("toy", progress=lambda *step: seen.append(step))
    assert path == tmp_path / "toy" / "toy.bin"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("toy.bin", len(CONTENT), len(CONTENT))
    assert locate("toy") == tmp_path / "toy"
    assert fetch("toy") == [path]
    assert Handler.asked == [("good", None)]
    assert [file.name for file in path.parent.iterdir()] == ["toy.bin"]


def test_fetch_tries_the_mirrors_in_order(server: str, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/none", f"{server}/wrong", f"{server}/small", f"{server}/good")
    (path,) = fetch("toy", mirrors=[f"{server}/elsewhere/"])
    assert path.read_bytes() == CONTENT
    assert [folder for folder, _ in Handler.asked] == ["elsewhere", "none", "wrong", "small", "good"]


def test_a_mirror_of_ones_own_comes_first(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is laid out as the data root is: a folder for each set."""
    publish(monkeypatch, f"{server}/none")
    monkeypatch.setenv("INKSHIFT_MIRROR", f"{server}/good/data/")
    assert fetch("toy")[0].read_bytes() == CONTENT
    assert Handler.paths == ["/good/data/toy/toy.bin"]
    (tmp_path / "toy" / "toy.bin").unlink()
    monkeypatch.setenv("INKSHIFT_MIRROR", f"{server}/wrong")
    with pytest.raises(DataError, match=r"wrong/toy/toy\.bin: .*hash.*none/toy\.bin: .*404"):
        fetch("toy")
    monkeypatch.setenv("INKSHIFT_MIRROR", "/mnt/mirror")
    with pytest.raises(SettingError, match="INKSHIFT_MIRROR"):
        fetch("toy")


def test_a_wrong_file_never_gets_in(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/wrong", f"{server}/small", f"{server}/none", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"toy\.bin was not fetched .*hash.*expected 153600 bytes, found 9.*404"):
        fetch("toy")
    assert list((tmp_path / "toy").iterdir()) == []
    with pytest.raises(DataError, match="inkshift data fetch toy"):
        locate("toy")


def test_a_damaged_file_is_replaced(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/good")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.bin").write_bytes(b"damaged")
    assert fetch("toy")[0].read_bytes() == CONTENT


def test_a_broken_download_goes_on(server: str, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/short")
    with pytest.raises(DataError, match="cut short at 76800 of 153600"):
        fetch("toy")
    publish(monkeypatch, f"{server}/good")
    assert fetch("toy")[0].read_bytes() == CONTENT
    assert Handler.asked[-1] == ("good", "bytes=76800-")


def test_a_beginning_that_is_too_long_is_dropped(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/good", f"{server}/good")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.bin.part").write_bytes(CONTENT + b"more")
    assert fetch("toy")[0].read_bytes() == CONTENT


def test_the_first_checksum_is_recorded_and_holds(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/good", md5=None, size=None)
    (path,) = fetch("toy")
    recorded = (path.parent / "SHA256SUMS").read_text()
    assert recorded == f"{hashlib.sha256(CONTENT).hexdigest()}  toy.bin\n"
    path.unlink()
    publish(monkeypatch, f"{server}/wrong", md5=None, size=None)
    with pytest.raises(DataError, match="hash"):
        fetch("toy")
    assert not path.exists()


def test_sets_that_nobody_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch("ufpr")
    with pytest.raises(DataError, match="put its files there"):
        locate("ufpr")
    with pytest.raises(SettingError, match="did you mean 'mnist'"):
        locate("mnits")
    with pytest.raises(SettingError, match="has no split 'train'; it has test"):
        load("ufpr", "train")
    with pytest.raises(SettingError, match="nothing that can be loaded"):
        load("c1", "test")


def test_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("INKSHIFT_DATA", raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert "inkshift" in str(data_root())
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert data_root().resolve() == tmp_path / "shared" / "data"
    monkeypatch.setenv("INKSHIFT_DATA", "elsewhere")
    assert data_root() == Path("elsewhere")


def test_entries_are_complete():
    for name, entry in CATALOG.items():
        assert name == entry.name
        assert entry.title and entry.licence
        assert all(url.startswith("https://") for file in entry.files for url in file.urls)
        assert set(entry.splits) <= {"train", "test"}
        assert set(entry.stated) <= set(entry.splits)
        for spaces in entry.stated.values():
            if "digits+characters" in spaces:
                assert spaces["digits"] + spaces["characters"] == spaces["digits+characters"]
    assert {name for name, entry in CATALOG.items() if entry.splits} == set(catalog._LOADERS)


def test_orand_digits_are_cut_from_their_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path))
    (tmp_path / "orand_car_a").mkdir()
    image = np.arange(60, dtype=np.uint8).reshape(6, 10)
    np.savez(
        tmp_path / "orand_car_a" / "numbers.npz",
        pixels=np.tile(image.ravel(), 3),
        shapes=np.array([[6, 10]] * 3),
        offsets=np.array([0, 60, 120, 180]),
        labels=np.array(["47", "1", "23"]),
        doubtful=np.array([False, True, False]),
        box_offsets=np.array([0, 2, 3, 4]),
        boxes_xywh=np.array([[-1, 0, 4, 7], [5.2, 1, 3, 2], [0, 0, 2, 2], [0, 0, 2, 2]], np.float32),
    )
    data = load("orand_car_a", "test")
    assert (data.name, data.labels.tolist()) == ("orand_car_a/test", ["4", "7"])
    np.testing.assert_array_equal(data.images[0], image[:, :3])
    np.testing.assert_array_equal(data.images[1], image[1:3, 5:8])


def test_a_set_without_its_arrays_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INKSHIFT_DATA", str(tmp_path))
    (tmp_path / "optdigits32").mkdir()
    np.savez(tmp_path / "optdigits32" / "optdigits32.npz", images=np.zeros(3))
    with pytest.raises(DataError, match="'test_images' is missing"):
        load("optdigits32", "test")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["data", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_commands(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    publish(monkeypatch, f"{server}/good")
    monkeypatch.setenv("COLUMNS", "120")
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert set(rows) == set(CATALOG)
    assert rows["mnist"]["ships"] is True and rows["mnist"]["here"] is None
    assert "toy" in run("list") and "to fetch" in run("list")
    assert run("fetch", "toy", "--to", str(tmp_path)).strip() == str(tmp_path / "toy" / "toy.bin")
    assert json.loads(run("show", "toy", "--json"))["here"] == str(tmp_path / "toy")
    assert "must not ship" in run("show", "toy")
    assert "images as published   digits: 60,000" in run("show", "mnist")


@needs_data
@pytest.mark.parametrize(
    ("name", "split", "count", "classes"),
    [
        ("mnist", "train", 60_000, 10),
        ("mnist", "test", 10_000, 10),
        ("nist_emnist", "test", 20_001, 62),
        ("optdigits32", "train", 1_934, 10),
        ("optdigits32", "test", 946, 10),
        ("handletters62", "train", 6_200, 62),
        ("swiss", "train", 6_855, 10),
        ("swiss", "test", 2_397, 10),
        ("unipen62", "train", 27_900, 62),
        ("dida", "test", 5_000, 10),
        ("ufpr", "test", 1_200, 10),
        ("orand_car_a", "test", 3_122, 10),
    ],
)
def test_research_sets_load(monkeypatch: pytest.MonkeyPatch, name: str, split: Split, count: int, classes: int):
    monkeypatch.setenv("INKSHIFT_DATA", str(DATA))
    data = load(name, split)
    assert (len(data), len(np.unique(data.labels)), data.name) == (count, classes, f"{name}/{split}")
    assert max(int(image.max()) for image in data.images[:20]) > 1
    assert all(image.dtype == np.uint8 and image.size for image in data.images)
    for space, stated in catalog.find(name).stated.get(split, {}).items():
        assert space == "digits" and stated == count


@needs_data
def test_mnist_is_the_official_one(monkeypatch: pytest.MonkeyPatch):
    """By the well-known MD5 of the unpacked test labels: the packed bytes depend on who packed them."""
    monkeypatch.setenv("INKSHIFT_DATA", str(DATA))
    labels = load("mnist", "test").labels.astype(np.uint8)
    unpacked = b"\0\0\x08\x01" + (10_000).to_bytes(4, "big") + labels.tobytes()
    assert hashlib.md5(unpacked).hexdigest() == "27ae3e4e09519cfbb04c329615203637"


@needs_data
def test_no_swiss_writer_is_in_both_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKSHIFT_DATA", str(DATA))
    learn, held_out = (catalog.load("swiss", split).writers for split in ("train", "test"))
    assert (len(learn), len(held_out)) == (6_855, 2_397)
    assert len(set(learn.tolist())) == 12 and len(set(held_out.tolist())) == 4
    assert not set(learn.tolist()) & set(held_out.tolist())
