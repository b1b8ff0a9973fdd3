"""A disk that is full or broken at each write of a small run: one message, nothing half written, and it goes on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = ("csv", "jsonl", "xlsx", "parquet", "sqlite", "report", "trail", "calibrate", "template", "dataset", "model")
STUDY = pytest.param("study", marks=pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs torch"))

pytestmark = [
    pytest.mark.usefixtures("shipped_model"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the calls to the system's C library"),
    pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler"),
    pytest.mark.skipif(not importlib.util.find_spec("onnx"), reason="needs inkshift[study]"),
]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    built = subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "failing_disk.c"), "-ldl"],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return library


def fail_each(disk: Path, *arguments: object) -> str:
    command = [sys.executable, str(HERE / "failing_disk.py"), *map(str, arguments)]
    ended = subprocess.run(command, env=os.environ | {"LD_PRELOAD": str(disk)}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-4000:]
    return ended.stdout


def test_a_disk_that_fails_at_some_write_costs_one_message_and_nothing_that_was_there(disk: Path) -> None:
    """Every fifth of all writes and ways to fail, over all outputs; the slow test takes each."""
    said = fail_each(disk, *CASES, "--every", 5)
    assert said.count("calls: 0 faults") == len(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, STUDY])
def test_a_disk_that_fails_at_any_write_costs_one_message_and_nothing_that_was_there(disk: Path, case: str) -> None:
    assert "calls: 0 faults" in fail_each(disk, case, "--every", 13 if case == "study" else 1)
