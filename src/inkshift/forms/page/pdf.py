"""Pages of PDFs as pixels, drawn by a process of its own that may take so much time and memory and no more."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.errors import InputError
from inkshift.pictures import MAX_PIXELS, damaged

MAX_SIDE = 6000
# Seconds by the clock: more than those of the processor, for a machine that is busy.
CPU_SECONDS, MEMORY = 8, 1280 * 2**20
_SECONDS = 2 * CPU_SECONDS
# Pages of one file that may cost a process; the rest of it is then not tried.
_MOST_LOST = 2
# The least bytes a page of a file has, if it shows a scan; a file of more pages draws the same ones again and again.
_LEAST_BYTES, _ANY_FILE = 64, 200

_LOCK = threading.Lock()  # one question at a time
_LOST: Counter[str] = Counter()


class _Process:
    """The process that draws, started when it is first asked."""

    def __init__(self) -> None:
        self._run: subprocess.Popen[bytes] | None = None

    def ask(self, **question: Any) -> tuple[dict[str, Any], bytes]:
        """Its answer and the pixels behind it. Raises EOFError where it died of the question, TimeoutError of time."""
        run = self._run = self._run or self._started()
        assert run.stdin is not None and run.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            run.kill()

        clock = threading.Timer(_SECONDS, stop)
        clock.start()
        try:
            run.stdin.write(json.dumps(question).encode() + b"\n")
            run.stdin.flush()
            answer = json.loads(run.stdout.readline())
            size = answer.get("stride", 0) * answer.get("height", 0)
            pixels = run.stdout.read(size)
            if len(pixels) == size:
                return answer, pixels
            raise EOFError
        except (OSError, ValueError, EOFError):
            self.end()
            raise TimeoutError if late.is_set() or run.returncode == -24 else EOFError from None  # SIGXCPU
        finally:
            clock.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("draw_pdf.py")), str(CPU_SECONDS), str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def end(self) -> None:
        if self._run is not None:
            self._run.kill()
            self._run.communicate()
            self._run = None


_PROCESS = _Process()
atexit.register(_PROCESS.end)


def count_pages(path: Path) -> int:
    """How many pages a PDF has. Raises InputError if it is damaged, locked, or claims more than it can hold."""
    count = int(_ask(path, 0, 0)[0]["count"])
    most = max(_ANY_FILE, path.stat().st_size // _LEAST_BYTES)
    if count > most:
        raise InputError(
            f"{path}: expected at most {most:,} pages in a file of its size, found {count:,}; print it to a new PDF"
        )
    return count


def draw_page(path: Path, page: int, dpi: int) -> npt.NDArray[np.uint8]:
    """A page, counted from 1, filled-in form fields included, as (H, W, 3) RGB uint8.

    Drawn at `dpi` dots per inch, less where a side would exceed 6000 pixels. Raises InputError for a page that the
    file does not have, that is damaged, holds a picture of more than 120 megapixels, or takes more than 8 seconds of
    a core or 1.25 GiB to draw.
    """
    size, pixels = _ask(path, page, dpi)
    rows = np.frombuffer(pixels, np.uint8).reshape(size["height"], size["stride"])
    shape = size["height"], size["width"], size["channels"]
    shown = rows[:, : shape[1] * shape[2]].reshape(shape)
    return np.repeat(shown, 3, axis=2) if shape[2] == 1 else shown[..., :3].copy()


def _ask(path: Path, page: int, dpi: int) -> tuple[dict[str, Any], bytes]:
    name = str(path.absolute())
    with _LOCK:
        if _LOST[name] >= _MOST_LOST:
            raise InputError(f"{path}: page {page} was not tried, as others of this file could not be drawn")
        try:
            answer, pixels = _PROCESS.ask(path=name, page=page, dpi=dpi, longest=MAX_SIDE, most=MAX_PIXELS)
        except (EOFError, TimeoutError) as e:
            _LOST[name] += 1
            limit = f"{CPU_SECONDS} seconds" if isinstance(e, TimeoutError) else f"{MEMORY / 2**30:.2f} GiB of memory"
            what = f"page {page}" if page else "a file"
            raise InputError(
                f"{path}: expected {what} that is drawn within {limit}, found one that takes more; "
                "print it to a new PDF, or scan it"
            ) from None
    if "damaged" in answer:
        raise InputError(f"{path}: {damaged(answer['damaged'])}")
    if "refused" in answer:
        raise InputError(f"{path}: {answer['refused']}")
    return answer, pixels
