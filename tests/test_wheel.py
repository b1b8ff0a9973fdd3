"""The package as it is published: built, installed into an empty environment with each extra, and run."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The extra `study`, and `keras` with it, is 5.5 GB: its commands are run by the default suite.
EXTRAS = {
    "": ["doctor"],
    "trust": ["calibrate", "--help"],
    "review": ["review", "--help"],
    "pp-ocr": ["doctor"],
    "stores": ["doctor"],
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        urllib.request.urlopen("https://pypi.org/simple/hatchling/", timeout=10).close()
    except OSError as e:
        pytest.skip(f"the package index does not answer ({e})")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (made,) = folder.glob("inkshift-*.whl")
    return made


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra or "none")
def test_an_extra_is_installed_and_runs(wheel: Path, extra: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    run = tmp_path / "env" / "bin"
    what = f"inkshift[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
    subprocess.run([run / "python", "-m", "pip", "install", "--quiet", what], check=True)
    assert subprocess.run([run / "inkshift", *EXTRAS[extra]], cwd=tmp_path).returncode == 0
    telegram = ROOT / "examples" / "telegram"
    more = ["--second-reader", "pp-ocrv6"] if extra == "pp-ocr" else []
    command = [run / "inkshift", "read", telegram / "scan-1.jpg", "--template", telegram / "template.json", *more]
    done = subprocess.run([*command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("T-0001") == 13, done.stderr
    asked = subprocess.run([run / "inkshift", "model", "train", "digits", "--out", "m"], capture_output=True, text=True)
    assert "[study]" in asked.stderr and wheel.as_uri() in asked.stderr
