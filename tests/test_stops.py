"""Stops and twins: what killed runs leave is cleared away, a second process is told, a full disk costs no file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inkshift.cli import main
from inkshift.errors import InkshiftError, SettingError
from inkshift.files import locked, whole_file, whole_folder
from inkshift.forms.out.batch import Target, journal_path, read_into
from inkshift.forms.out.export import open_readings, write_forms
from inkshift.forms.out.trail import check
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading, FormReading

FORM = FormReading("f", (FieldReading("a", "12", "12", "written", 0.9, crop=np.full((20, 40), 200, np.uint8)),))


def ended_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_runs_left_goes_and_what_running_ones_write_stays(tmp_path: Path) -> None:
    dead, alive = ended_process(), os.getppid()
    folder = tmp_path / f".set-{dead}-abcdefgh"
    left = [tmp_path / f".r.csv.{dead}.part", folder, folder.with_name(f"{folder.name}-old")]
    kept = [tmp_path / f".r.csv.{alive}.part", tmp_path / f".set-{alive}-abcdefgh", tmp_path / ".other.csv.7.part"]
    for path in (*left, *kept):
        path.touch() if path.name.endswith("part") else path.mkdir()
    with whole_file(tmp_path / "r.csv") as temporary:
        temporary.write_text("x")
    with whole_folder(tmp_path / "set") as part:
        (part / "x").touch()
    assert not any(path.exists() for path in left) and all(path.exists() for path in kept)


def test_a_second_process_is_told(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from inkshift.files import locked
with locked(Path({str(tmp_path / "lock")!r}), "r.csv"):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with (
            pytest.raises(SettingError, match=r"r\.csv: another inkshift"),
            locked(tmp_path / "lock", "r.csv"),
        ):
            pass
        other.kill()
        other.wait()
    with locked(tmp_path / "lock", "r.csv"):  # the system let go
        pass


def test_a_second_reading_into_one_file_is_told(
    tmp_path: Path, shipped_model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    page, out = tmp_path / "n.png", tmp_path / "r.csv"
    cv2.imwrite(str(page), np.full((60, 120), 255, np.uint8))
    with locked(journal_path(out), out), pytest.raises(SystemExit) as ended:
        main(["read", str(page), "--as", "number", "--out", str(out)])
    assert ended.value.code == 2
    assert "another inkshift is at work on it" in capfd.readouterr().err and not out.exists()


def test_a_spreadsheet_is_the_same_bytes_later(tmp_path: Path) -> None:
    paths = [tmp_path / "a.xlsx", tmp_path / "b.xlsx"]
    for path in paths:
        write_forms([FORM], open_readings(path))
        time.sleep(2.1)  # a ZIP file counts time in steps of two seconds
    assert paths[0].read_bytes() == paths[1].read_bytes()


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
    page, out, trail = tmp_path / "n.png", tmp_path / "r.csv", tmp_path / "r.trail"
    picture = np.full((60, 120), 255, np.uint8)
    cv2.putText(picture, "47", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0,), 3)
    cv2.imwrite(str(page), picture)
    reader, target = Reader(read_as="number"), Target(out, trail=trail)
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
    assert "47" in out.read_text() and not check(trail).faults
