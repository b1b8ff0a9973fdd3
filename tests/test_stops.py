"""Stops and twins: what killed runs leave is cleared away, a second process is told, a full disk costs no file."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inkshift.cli import main
from inkshift.errors import InkshiftError, SettingError
from inkshift.files import locked, whole_file, whole_folder, write_whole
from inkshift.forms.out import trail
from inkshift.forms.out.batch import Target, journal_path, read_into
from inkshift.forms.out.export import open_readings, write_forms
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading, FormReading
from inkshift.models.package import GRAPH, WEIGHTS, load_model, save_package, shipped
from inkshift.scratch import PREFIX, in_scratch, scratch

FORM = FormReading("f", (FieldReading("a", "12", "12", "written", 0.9, crop=np.full((20, 40), 200, np.uint8)),))


def another(code: str) -> subprocess.Popen[bytes]:
    """A process that runs this much, says so, and then does nothing until it is killed."""
    held = "import time\nfrom pathlib import Path\nfrom inkshift.files import locked, whole_file, whole_folder\n"
    waits = "    print('held', flush=True)\n    time.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", f"{held}{code}\n{waits}"], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_what_killed_runs_left_goes_and_what_running_ones_write_stays(tmp_path: Path) -> None:
    """Told by the locks that they hold: the number of a process is another's in a container that shares the disk."""
    file, folder = tmp_path / "r.csv", tmp_path / "set"
    other = another(
        f"with whole_file(Path({str(file)!r})) as a, whole_folder(Path({str(folder)!r})) as b:\n"
        "    a.write_text('half'); (b / 'half').touch()"
    )
    half = {".r.csv.part", ".r.csv.lock", ".set.part", ".set.lock"}
    try:
        with pytest.raises(SettingError, match="set: another inkshift is at work on it"), whole_folder(folder):
            pass
        assert {path.name for path in tmp_path.iterdir()} == half
    finally:
        end(other)
    assert {path.name for path in tmp_path.iterdir()} == half
    with whole_file(file) as temporary:
        temporary.write_text("whole")
    with whole_folder(folder) as part:
        (part / "whole").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"r.csv", "set"}
    assert file.read_text() == "whole" and [path.name for path in folder.iterdir()] == ["whole"]


def test_two_who_write_one_file_come_one_after_the_other(tmp_path: Path) -> None:
    file, many = tmp_path / "r.csv", b"x" * 2_000_000
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: write_whole(file, bytes([48 + k]) * len(many)), range(8)))
    assert len(set(file.read_bytes())) == 1 and file.stat().st_size == len(many)
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_a_second_process_is_told(tmp_path: Path) -> None:
    other = another(f"with locked(Path({str(tmp_path / 'r.csv')!r})):")
    try:
        with pytest.raises(SettingError, match=r"r\.csv: another inkshift"), locked(tmp_path / "r.csv"):
            pass
    finally:
        end(other)
    with locked(tmp_path / "r.csv"):  # the system let go
        pass


@pytest.mark.parametrize(
    "given",
    [("numbers", "--hours", "0"), ("--from", "numbers", "--pages", "n.png", "--labels", "labels.csv")],
    ids=["recipe", "from"],
)
def test_a_model_folder_that_is_being_trained_in_is_told(
    tmp_path: Path, given: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    with locked(tmp_path / "mine.work"), pytest.raises(SystemExit) as ended:
        main(["model", "train", *given, "--out", str(tmp_path / "mine")])
    assert ended.value.code == 2
    assert "mine: another inkshift is at work on it" in capsys.readouterr().err.replace("\n", " ")


IMPORT = ("--classes", "0-9", "--reframing", "gray|light_ink|resize(28)", "--licence", "MIT", "--scale", "0..255")


def test_a_model_folder_that_is_being_imported_into_is_told(
    tmp_path: Path, shipped_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    graph = str(shipped()["mnist-as-published"] / GRAPH)
    with locked(tmp_path / "mine"), pytest.raises(SystemExit) as ended:
        main(["model", "import", graph, "--out", str(tmp_path / "mine"), *IMPORT])
    assert ended.value.code == 2
    assert "mine: another inkshift is at work on it" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "mine").exists()


MAKERS = {
    "import": f"model import model.onnx --out mine {shlex.join(IMPORT)}",
    "train": "model train --from numbers --pages n --labels labels.csv --epochs 1 --out mine",
    "adapt": "model adapt --pages n --rounds 1 --out mine",
    "study": "study run tiny.toml --folder mine --workers 1",
}


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process for a while")
@pytest.mark.parametrize(
    ("first", "second", "made"),
    [
        ("import", "import", "package.json"),
        ("train", "adapt", ""),
        ("adapt", "import", ""),
        ("study", "study", "index.json"),
    ],
)
def test_the_second_of_two_processes_that_make_one_folder_is_told_and_ends(
    first: str, second: str, made: str, tmp_path: Path, shipped_model: str
) -> None:
    """The first is stopped once it holds the folder, so that both are there. It then ends as if it were alone, or is
    killed, where that takes minutes, and leaves nothing half made."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from test_study import SPEC, write_study

    one_run = SPEC.replace("replicates = 2", "replicates = 1").replace(', "frozen", "fine-tuned", "as-is"', "")
    write_study(tmp_path, one_run)
    shutil.copy(shipped()["mnist-as-published"] / GRAPH, tmp_path / "model.onnx")
    (tmp_path / "n").mkdir()
    names = [written_page(tmp_path / "n" / f"{k}.png").stem for k in range(3)]
    (tmp_path / "labels.csv").write_text("form,value\n" + "".join(f"{name},47\n" for name in names))
    one = stopped_with_lock(MAKERS[first], tmp_path)
    try:
        other = inkshift(MAKERS[second], tmp_path)
        said = other.communicate()[0].decode()
        assert other.returncode == 2
        assert said.startswith("error: mine: another inkshift is at work on it; wait") and said.count("\n") == 1
        one.send_signal(signal.SIGCONT)
        assert not made or one.wait() == 0
    finally:
        end(one)
    assert (tmp_path / "mine").exists() == bool(made) and (not made or (tmp_path / "mine" / made).is_file())
    assert not [path.name for path in tmp_path.glob(".*.part")]


def inkshift(line: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "inkshift", *shlex.split(line)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def stopped_with_lock(line: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process of inkshift that has just locked what it makes, and does nothing until it may go on."""
    while True:
        process = inkshift(line, folder)
        while process.poll() is None:
            if list(folder.glob(".*.lock")):
                process.send_signal(signal.SIGSTOP)
                if list(folder.glob(".*.lock")):
                    return process
                process.send_signal(signal.SIGCONT)
            time.sleep(0.005)
        assert process.returncode == 0, process.communicate()[0].decode()  # it was done before it was seen


def test_models_that_end_in_one_folder_at_the_same_time_are_each_whole(tmp_path: Path, shipped_model: str) -> None:
    """Whoever comes second is told, or takes the other's place; nobody finds a folder that is half the other's."""
    known = [load_model(path) for path in shipped().values()]

    def save(at: int) -> str:
        model = known[at % len(known)]
        weights, graph = ((model.folder / name).read_bytes() for name in (WEIGHTS, GRAPH))
        try:
            return save_package(tmp_path / "mine", model.manifest, weights, graph).manifest.name
        except SettingError as e:
            assert "another inkshift is at work on it" in str(e)
            return ""

    with ThreadPoolExecutor(4) as pool:
        named = list(pool.map(save, range(12)))
    assert any(named) and load_model(tmp_path / "mine").manifest.name in named
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_study_that_is_being_run_is_told_to_a_second_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    study = str(Path(__file__).parents[1] / "studies/kooverjee-2020-small.toml")
    with locked(tmp_path / "runs"), pytest.raises(SystemExit) as ended:
        main(["study", "run", study, "--folder", str(tmp_path / "runs")])
    assert ended.value.code == 2
    assert "another inkshift is at work on it" in capsys.readouterr().err.replace("\n", " ")


def test_a_trail_that_is_being_added_to_is_not_repaired_meanwhile(tmp_path: Path) -> None:
    """A run half added looks torn; whoever repairs waits until it is there."""
    path = tmp_path / "r.trail"
    trail._append(path, [b'{"kind": "settings"}\n', b'{"kind": "end", "lines": 0}\n'])
    whole = path.read_bytes()
    with ThreadPoolExecutor(1) as pool:
        with locked(path):
            path.write_bytes(whole + b'{"kind": "half')
            repaired = pool.submit(trail.repair, path)
            time.sleep(0.3)
            assert not repaired.done()
            path.write_bytes(whole)
        assert repaired.result() is None
    assert path.read_bytes() == whole


def test_a_second_reading_into_one_file_is_told(
    tmp_path: Path, shipped_model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    page, out = tmp_path / "n.png", tmp_path / "r.csv"
    cv2.imwrite(str(page), np.full((60, 120), 255, np.uint8))
    with locked(journal_path(out)), pytest.raises(SystemExit) as ended:
        main(["read", str(page), "--as", "number", "--out", str(out)])
    assert ended.value.code == 2
    assert "another inkshift is at work on it" in capfd.readouterr().err and not out.exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the temporary one, of processes that are started too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def written_page(path: Path) -> Path:
    picture = np.full((60, 120), 255, np.uint8)
    cv2.putText(picture, "47", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0,), 3)
    cv2.imwrite(str(path), picture)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of folders")
def test_temporary_folders_of_killed_runs_go_and_those_of_running_ones_stay(tmp_path: Path, temporary: Path) -> None:
    def reading(name: str) -> subprocess.Popen[bytes]:
        return another(
            "import numpy as np\nfrom inkshift.forms.out.sheet import open_sheet, png\n"
            f"with open_sheet(Path({str(tmp_path / name)!r}), 'r', ['form', 'crop']) as add:\n"
            "    add({'form': 'a'}, png(np.full((20, 40), 200, np.uint8)), 'number')"
        )

    (temporary / "inkshift-mine").mkdir()
    killed, runs = reading("a.xlsx"), reading("b.xlsx")
    try:
        assert len(list(temporary.glob(f"{PREFIX}*/2.png"))) == 2
    finally:
        end(killed)
    try:
        assert len(list(temporary.iterdir())) == 3
        with scratch() as mine:
            (left,) = {path for path in temporary.glob(f"{PREFIX}*") if path != mine}
            assert (left / "2.png").exists() and runs.poll() is None
        assert {path.name for path in temporary.iterdir()} == {left.name, "inkshift-mine"}
    finally:
        end(runs)
    write_forms([FORM], open_readings(tmp_path / "b.xlsx"))
    assert [path.name for path in temporary.iterdir()] == ["inkshift-mine"]


@pytest.mark.parametrize("name", ["csv", "json"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_below_standard_output_is_told_in_one_line(tmp_path: Path, shipped_model: str, name: str) -> None:
    page, kept = written_page(tmp_path / "n.png"), tmp_path / "r.trail"
    command = [sys.executable, "-m", "inkshift", "read", str(page), "--as", "number", "--format", name]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*command, "--trail", str(kept)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2 and not kept.exists()
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: standard output: cannot be written ({os.strerror(errno.ENOSPC)})")


@pytest.mark.parametrize("given", [("--out", "r.xlsx"), ("--out", "r.csv", "--trail", "r.trail"), ()], ids=str)
def test_that_there_is_no_temporary_folder_is_told_in_one_line(
    tmp_path: Path,
    shipped_model: str,
    given: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    page = written_page(tmp_path / "n.png")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
        main(["read", str(page), "--as", "number", *given])
    assert ended.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: TMPDIR: expected a temporary folder") and str(tmp_path / "gone") in line
    assert not list(tmp_path.glob("r.*"))


def test_a_full_temporary_folder_is_named_and_not_the_output(
    tmp_path: Path, shipped_model: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, told = written_page(tmp_path / "n.png"), f"^{temporary}: the temporary folder cannot be written"
    with monkeypatch.context() as patch, pytest.raises(SettingError, match=told):
        patch.setattr(Path, "write_bytes", FullDisk(1, errno.ENOSPC).wrap(Path.write_bytes))
        write_forms([FORM], open_readings(tmp_path / "r.xlsx"))
    with monkeypatch.context() as patch, pytest.raises(SettingError, match=told):
        journal = __import__("inkshift.jobs").jobs.Journal
        patch.setattr(journal, "_append", FullDisk(1, errno.ENOSPC).wrap(journal._append))
        read_into(Reader(read_as="number"), [page], Target())
    with scratch() as folder, pytest.raises(SettingError, match=told), in_scratch(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(temporary.iterdir()) and not (tmp_path / "r.xlsx").exists()


def test_a_spreadsheet_is_the_same_bytes_later(tmp_path: Path) -> None:
    write_forms([FORM], open_readings(tmp_path / "a.xlsx"))
    time.sleep(2.1)  # a ZIP file counts time in steps of two seconds
    write_forms([FORM], open_readings(tmp_path / "b.xlsx"))
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


class FullDisk:
    """Fails at the n-th write of what is written below a folder, with ENOSPC or EIO, as the system would."""

    def __init__(self, at: int, code: int) -> None:
        self.left, self.code = at, code

    def wrap(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*arguments: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code))
            return act(*arguments, **more)

        return acted


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_a_disk_that_fails_at_any_write_costs_one_message_and_no_file(
    tmp_path: Path, shipped_model: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, out, kept = written_page(tmp_path / "n.png"), tmp_path / "r.csv", tmp_path / "r.trail"
    reader, target = Reader(read_as="number"), Target(out, trail=kept)
    out.write_text("before")
    at, failed = 0, 0
    while True:
        at += 1
        assert at < 60
        disk = FullDisk(at, code)
        with monkeypatch.context() as patch:
            for name in ("replace", "touch"):
                patch.setattr(Path, name, disk.wrap(getattr(Path, name)))
            patch.setattr(os, "fsync", disk.wrap(os.fsync))
            patch.setattr("inkshift.jobs.Journal._append", disk.wrap(__import__("inkshift.jobs").jobs.Journal._append))
            patch.setattr("shutil.copyfileobj", disk.wrap(__import__("shutil").copyfileobj))
            patch.setattr("csv.DictWriter.writerows", disk.wrap(__import__("csv").DictWriter.writerows))
            try:
                read_into(reader, [page], target)
            except InkshiftError as e:
                failed += 1
                assert "\n" not in str(e) and os.strerror(code) in str(e)
            else:
                if disk.left > 0:
                    break
        assert out.read_text().startswith(("before", "form,field"))
        assert not list(tmp_path.glob(".*.part"))
    assert failed > 4
    assert "47" in out.read_text() and not trail.check(kept).faults
