"""What several test files share: where data lies, and digits that need none."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from command import Answer, Run
from inkshift.cli import main
from inkshift.models import package

# How long an example takes depends on what else the machine does. The same examples every time, so that a change is
# held against what was there before; `--hypothesis-profile search` draws new ones.
settings.register_profile("inkshift", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("inkshift")

ROOT = Path(__file__).parents[1]
Gray = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the research data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("INKSHIFT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}; set INKSHIFT_DATA")
    return folder


@pytest.fixture(scope="session")
def telegram() -> Path:
    """The bundled example: template, scans, labels, the blank page."""
    return ROOT / "examples" / "telegram"


@pytest.fixture(scope="session")
def drawn_digits() -> Gray:
    """(10, 28, 28) uint8: the ten digits in a line font, light on black, in place of written ones."""
    images = np.zeros((10, 28, 28), np.uint8)
    for digit in range(10):
        cv2.putText(images[digit], str(digit), (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,), 2, cv2.LINE_AA)
    return images


@pytest.fixture(scope="session")
def shipped_model() -> str:
    """The name of the default model; tests that need it are skipped where it is not packed yet."""
    if package.DEFAULT_MODEL not in package.shipped():
        pytest.skip(f"no package {package.DEFAULT_MODEL!r} in src/inkshift/packages")
    return package.DEFAULT_MODEL


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process: what it answers to some arguments."""

    def call(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return Answer(int(ended.value.code or 0), *capsys.readouterr())

    return call
