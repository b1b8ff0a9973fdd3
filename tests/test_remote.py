"""Pages in a store: read where they lie, against an S3-compatible server on loopback."""

from __future__ import annotations

import io
import json
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from command import Run
from inkshift import remote
from inkshift.errors import InputError, MissingExtraError
from inkshift.files import file_digest
from inkshift.forms.out import batch
from inkshift.forms.out.batch import Target
from inkshift.forms.page.files import find_files, load_page, page_refs
from inkshift.forms.reader import Reader
from inkshift.models import package
from inkshift.remote import address_of
from inkshift.review import serve
from inkshift.review.batches.reading import reread
from inkshift.review.core.schema import Page
from inkshift.review.core.store import Store
from inkshift.review.core.tasks import TaskContext
from inkshift.review.web import pagepicture
from review_app import opened

TELEGRAM = Path(__file__).parents[1] / "examples" / "telegram"
SCAN = TELEGRAM / "scan-1.jpg"


@given(st.from_regex(r"[a-z0-9-]{3,10}(/[a-z0-9 .-]{1,8}[a-z0-9]){0,3}", fullmatch=True))
def test_an_address_comes_through_a_path(place: str) -> None:
    assert address_of(Path(f"s3://{place}")) == address_of(f"s3://{place}") == f"s3://{place}"


@pytest.mark.parametrize("path", ["scans/a.jpg", "/scans/a.jpg", "C:/scans/a.jpg", "a:b", "-", "", "s3:"])
def test_paths_are_no_addresses(path: str) -> None:
    assert address_of(path) == ""


@pytest.mark.parametrize("path", ["file:///scans/a.jpg", Path("file:///scans/a.jpg"), "local:///scans/a.jpg"])
def test_an_address_of_this_machine_is_refused(path: str | Path) -> None:
    with pytest.raises(InputError, match=r"^[a-z]+:///scans/a.jpg: expected a path .*; give the path, /scans/a.jpg$"):
        find_files([path])


@pytest.mark.parametrize("who", ["me:secret", "secret", "me:se@cret", ":secret"])
def test_an_address_with_a_password_is_refused_and_does_not_show_it(who: str) -> None:
    with pytest.raises(InputError, match=r"^sftp://\*\*\*@host: expected .* FSSPEC_SFTP_PASSWORD") as caught:
        find_files([f"sftp://{who}@host/scans"])
    assert "cret" not in str(caught.value)
    assert address_of("abfs://scans@office.example/a@b.jpg") == "abfs://scans@office.example/a@b.jpg"


def _serve(port: multiprocessing.connection.Connection) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    port.send(server.get_host_and_port()[1])
    port.recv()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3-compatible server, in a process of its own: its warnings are not ours."""
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'inkshift[stores]'")
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()  # else its end would never be told
    yield f"http://127.0.0.1:{here.recv()}"
    process.kill()
    process.join()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with three scans, one of them hidden, a note, and a page that is none."""
    import fsspec

    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    fsspec.filesystem("s3").clear_instance_cache()
    store = fsspec.filesystem("s3")
    store.mkdir("election")
    for name in ("scans/scan-10.jpg", "scans/sub/scan-2.jpg", "scans/.hidden/scan-3.jpg"):
        store.pipe(f"election/{name}", SCAN.read_bytes())
    store.pipe("election/scans/notes.txt", b"notes")
    store.pipe("election/bad/a.jpg", b"no picture at all")
    store.invalidate_cache()
    yield "s3://election"
    store.rm("election", recursive=True)
    fsspec.filesystem("s3").clear_instance_cache()


def test_folders_are_listed_and_pages_told_by_their_endings(bucket: str) -> None:
    found = find_files([f"{bucket}/scans"])
    assert [address_of(one) for one in found] == [f"{bucket}/scans/scan-10.jpg", f"{bucket}/scans/sub/scan-2.jpg"]
    assert [address_of(one) for one in found.passed_over] == [f"{bucket}/scans/notes.txt"]
    assert list(find_files([f"{bucket}/bad/a.jpg"])) == [Path(f"{bucket}/bad/a.jpg")]


def test_a_page_is_that_of_its_file(bucket: str) -> None:
    (ref,) = page_refs(Path(f"{bucket}/scans/scan-10.jpg"))
    assert ref.source == f"{bucket}/scans/scan-10.jpg"
    (here,) = page_refs(SCAN)
    assert (load_page(ref) == load_page(here)).all()
    assert file_digest(ref.source) == file_digest(SCAN)


def test_a_file_of_many_pages_is_fetched_once_as_long_as_it_stays_the_same(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    page = Image.open(SCAN).convert("L").resize((40, 60))
    tiff = io.BytesIO()
    page.save(tiff, "TIFF", save_all=True, append_images=[page] * 4)
    store = fsspec.filesystem("s3")
    store.pipe("election/many/a.tif", tiff.getvalue())
    store.invalidate_cache()
    fetch, fetched = store.get_file, []

    def counted(place: str, to: str) -> None:
        fetched.append(place)
        fetch(place, to)

    monkeypatch.setattr(store, "get_file", counted)
    assert batch.workers_for([f"{bucket}/many"]) == batch.cores() and not fetched
    assert batch.workers_for([f"{bucket}/scans"]) == 1 and not fetched
    assert len([load_page(ref) for ref in page_refs(Path(f"{bucket}/many/a.tif"))]) == 5
    assert fetched == ["election/many/a.tif"]
    (copy,) = (one.file for one in remote._kept)
    page.save(tiff := io.BytesIO(), "TIFF", save_all=True, append_images=[page])
    store.pipe("election/many/a.tif", tiff.getvalue())
    assert len([load_page(ref) for ref in page_refs(Path(f"{bucket}/many/a.tif"))]) == 2
    assert fetched == ["election/many/a.tif"] * 2 and not copy.parent.exists()


def test_a_key_that_a_path_would_change_is_named(bucket: str) -> None:
    import fsspec

    store = fsspec.filesystem("s3")
    store.pipe("election/odd/b//c.jpg", SCAN.read_bytes())
    store.pipe("election/odd/b//notes.txt", b"notes")
    with pytest.raises(InputError, match=f"^{bucket}/odd/b//c.jpg: expected names between slashes"):
        find_files([f"{bucket}/odd"])


def test_a_file_has_one_stamp_until_it_changes(bucket: str) -> None:
    import fsspec

    store, page = fsspec.filesystem("s3"), f"{bucket}/scans/scan-10.jpg"
    alone = remote.stamp_at(page)
    store.invalidate_cache()
    find_files([f"{bucket}/scans"])
    assert remote.stamp_at(page) == alone != ""
    store.pipe(page, SCAN.read_bytes()[:-1])
    store.invalidate_cache()
    assert remote.stamp_at(page) != alone
    assert remote.stamp_at(f"{bucket}/scans/none.jpg") == ""


def test_a_run_into_a_database_is_the_same_from_another_folder(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(read_as="number")
    target = Target(f"sqlite:///{tmp_path / 'r.db'}")
    runs = []
    monkeypatch.setattr(batch, "open_readings", lambda *given: runs.append(given[-1]))
    for folder in (tmp_path, Path(__file__).parent):
        monkeypatch.chdir(folder)
        list(batch._outputs(target, reader, [f"{bucket}/scans"]))
    assert runs[0] == runs[1]


def test_a_page_with_a_bad_picture_names_its_address(bucket: str) -> None:
    with pytest.raises(InputError, match=f"^{bucket}/bad/a.jpg: expected a PNG") as caught:
        load_page(page_refs(Path(f"{bucket}/bad/a.jpg"))[0])
    assert "/tmp" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("election/none/", "expected a file or folder, found nothing; check the address"),
        ("nobody/scans", "expected a file or folder, found nothing; check the address"),
        ("election/empty-of-pages", "expected a file or folder, found nothing"),
    ],
)
def test_what_is_not_there_is_one_line(bucket: str, path: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"^s3://{path.strip('/')}: {said}") as caught:
        find_files([f"s3://{path}"])
    assert "\n" not in str(caught.value)


def test_a_store_without_rights_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(fsspec.filesystem("s3").__class__, "find", refuse)
    with pytest.raises(InputError, match=r"^s3://election/scans: the store refuses it to this user; give the rights"):
        find_files([f"{bucket}/scans"])


def test_a_store_that_does_not_answer_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setattr(fsspec.filesystem("s3").__class__, "retries", 1)
    with pytest.raises(InputError, match=r"^s3://election/scans: cannot be read \(.*; check the address") as caught:
        find_files([f"{bucket}/scans"])
    assert "\n" not in str(caught.value)
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.undo()


@pytest.mark.skipif(not package.shipped(), reason="no model package is in src/inkshift/packages")
def test_what_a_list_names_and_is_not_there_costs_only_itself(tmp_path: Path, run: Run) -> None:
    """Also where the name given on the command line would be a slip."""
    gone = [tmp_path / f"gone-{k}.jpg" for k in range(2)]
    (tmp_path / "list.txt").write_text(f"{gone[0]}\n{SCAN}\n{gone[1]}\n")
    how = ("--template", TELEGRAM / "template.json", "--format", "jsonl")
    status, out, said = run("read", "--from", tmp_path / "list.txt", *how)
    assert status == 1 and "pages not read: 2" in said and len(out.splitlines()) > 10
    assert all(f"{file}: expected a PNG" in " ".join(said.split()) for file in gone)
    status, out, said = run("read", SCAN, gone[0], *how)
    assert (status, out) == (1, "") and f"{gone[0]}: expected a file or folder, found nothing" in " ".join(said.split())


@pytest.mark.skipif(not package.shipped(), reason="no model package is in src/inkshift/packages")
@pytest.mark.parametrize("workers", [1, 2])
def test_read_gives_what_it_gives_of_files(bucket: str, tmp_path: Path, workers: int, run: Run) -> None:
    (tmp_path / "list.txt").write_text(f" {bucket}/scans/scan-10.jpg \n\n{bucket}/scans/gone.jpg\n")
    how = ("--template", TELEGRAM / "template.json", "--format", "jsonl")
    status, out, said = run("read", "--from", tmp_path / "list.txt", *how, "--workers", workers)
    assert status == 1 and f"{bucket}/scans/gone.jpg: expected a file or folder, found nothing" in " ".join(
        said.split()
    )
    there, here = (list(map(json.loads, text.splitlines())) for text in (out, run("read", SCAN, *how)[1]))
    assert len(there) == len(here) > 10
    for row, expected in zip(there, here, strict=True):
        assert row["source"] == f"{bucket}/scans/scan-10.jpg"
        assert row == expected | {"source": row["source"], "form": row["form"]}


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"needs an optional part: run .*stores"):
        remote.files_at("s3://election/scans")


def test_a_list_that_is_none(tmp_path: Path, run: Run) -> None:
    status, _, said = run("read", "--from", tmp_path / "no.txt", "--as", "number")
    assert status == 1 and "expected a list of paths, one a line, found none (No such file" in " ".join(said.split())
    (tmp_path / "empty.txt").write_text(" \n\n")
    for more in ([], [SCAN]):
        status, _, said = run("read", *more, "--from", tmp_path / "empty.txt", "--as", "number")
        assert status == 1 and "empty.txt: expected a list of paths, one a line, found none; fill" in " ".join(
            said.split()
        )
    status, _, said = run("read", "--as", "number")
    assert status == 2 and "nothing to read: give files or folders, or --from FILE" in " ".join(said.split())


def test_review_reads_and_shows_pages_where_they_lie(bucket: str, tmp_path: Path) -> None:
    """And reads them anew; a page that is gone or is another one by now is said."""
    import fsspec

    with opened(tmp_path) as store:
        store.use_files(tmp_path / "files")
        given = [str(Path(f"{bucket}/scans/scan-10.jpg"))]  # as the command line has it
        batch = serve.read_batch(store, serve.NewBatch(given, str(TELEGRAM / "template.json")))
        (page,) = pages_of(store)
        assert page.source == f"{bucket}/scans/scan-10.jpg" and page.sha256 == file_digest(SCAN)
        assert pagepicture.picture(pagepicture.file_of(store, page)).whole == (1240, 1754)
        (work := tmp_path / "work").mkdir()
        done = reread(TaskContext(store, tmp_path / "files", work, {"batch": batch}, lambda *_: None))
        assert done["skipped"] == 0
        inside = fsspec.filesystem("s3")
        pagepicture._picture.cache_clear()
        inside.pipe("election/scans/scan-10.jpg", (TELEGRAM / "scan-2.jpg").read_bytes())
        with pytest.raises(InputError, match=f"^{page.source}: is another file than the one that was read"):
            pagepicture.picture(pagepicture.file_of(store, page))
        inside.rm("election/scans/scan-10.jpg")
        with pytest.raises(InputError, match=f"^{page.source}: expected a file or folder, found nothing"):
            pagepicture.picture(pagepicture.file_of(store, page))


def pages_of(store: Store) -> list[Page]:
    with store.reading() as session:
        return list(session.scalars(sa.select(Page)))
