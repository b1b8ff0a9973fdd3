"""Spoiled files of every kind that inkshift takes, each with one of its commands: see `fuzz.py` for what may not be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.usefixtures("shipped_model"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts what forked processes take"),
    pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="needs inkshift[study]"),
]


def fuzz(count: int, seed: int, *more: str) -> str:
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), "--count", str(count), "--seed", str(seed)]
    done = subprocess.run([*command, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_no_spoiled_file_brings_it_down() -> None:
    """A thousand of the kinds that cost little; the slow test takes all."""
    only = [word for group in ("text", "model", "data", "pictures") for word in ("--only", group)]
    assert "| all | 1,000 | **0** |" in fuzz(1000, 11, *only)


@pytest.mark.slow
def test_ten_thousand_spoiled_files() -> None:
    assert "| all | 10,000 | **0** |" in fuzz(10_000, 2026)
