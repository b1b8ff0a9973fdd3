"""What several test files share: where data lies, and digits that need none."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from command import Answer, Run
from inkshift.cli import main
from inkshift.models import package
from inkshift.scratch import make_scratch

# Else each process of the tests compiles the whole program anew, and pytest all of hypothesis, its asserts rewritten.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.set_threshold(20_000)  # new objects, not 700, before garbage is looked for

from hypothesis import settings  # noqa: E402

# How long an example takes depends on what else the machine does. The same examples every time, so that a change is
# held against what was there before; `--hypothesis-profile search` draws new ones.
settings.register_profile("inkshift", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("inkshift")

ROOT = Path(__file__).parents[1]
# What tests write need not survive a power cut: in memory nothing waits for the disk, which else takes as long as all
# else does. Of no use where programs may not run in it or where there is little room, as in a container. All of it is
# in one folder of this run, which goes at its end, or, where tests failed or it was killed, as the next one begins.
_MEMORY = Path("/dev/shm")
give_back: Callable[[], None] | None = None
if (
    "TMPDIR" not in os.environ
    and os.access(_MEMORY, os.W_OK)
    and shutil.disk_usage(_MEMORY).free > 4 << 30
    and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
):
    tempfile.tempdir = str(_MEMORY)
    _folder, give_back = make_scratch()
    _folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
    tempfile.tempdir = os.environ["TMPDIR"] = str(_folder)

Gray = npt.NDArray[np.uint8]


def pytest_collection_finish() -> None:
    """All modules are there now and stay: looked through for garbage again and again, they cost a sixth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No sooner, as threads of tests may still look at what these wrote."""
    if give_back and not session.testsfailed:
        give_back()


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


@pytest.fixture(scope="session", autouse=True)
def real_hasher() -> Iterator[Callable[[], Any]]:
    """Gives what hashes passwords, slow on purpose; in its place tests have one that takes no time."""
    try:
        from argon2 import PasswordHasher
    except ImportError:
        yield lambda: None
        return
    from inkshift.review.core import passwords

    with pytest.MonkeyPatch.context() as patch:
        real = passwords._hasher
        patch.setattr(passwords, "_hasher", cache(lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
        yield real


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process: what it answers to some arguments."""

    def call(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return Answer(int(ended.value.code or 0), *capsys.readouterr())

    return call
