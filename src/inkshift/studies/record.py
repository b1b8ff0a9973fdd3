"""What a run leaves: `config.json`, `epochs.csv`, `confusion.npz`, `readings.npz`, `done.json` or `error.json`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inkshift.datasets.formats import read_npz
from inkshift.errors import DataError
from inkshift.files import as_csv, parse_json, read_bytes, read_text, write_whole
from inkshift.jobs import digest
from inkshift.models.metrics import Counts

CONFIG, EPOCHS, CONFUSION, DONE, ERROR = "config.json", "epochs.csv", "confusion.npz", "done.json", "error.json"
# What each test image was read as after each epoch, of which confusion.npz has the last, how far confidences were from
# what was right, how long it took, and what became of the source task: not in a run's digest.
READINGS = "readings.npz"
CHECKPOINT, WEIGHTS, PACKAGE = "checkpoint.pt", "weights.safetensors", "package"
BESIDE = ("calibration", "seconds")
COLUMNS = ("epoch", "training_loss", "test_loss", "validation_loss", "f1", "accuracy")


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is measured after an epoch, counted from 1; 0 stands for a network that did not learn.

    Losses are mean cross-entropies in nats, None where there is none. confusion: (C, C) counts on the test images, rows
    true. predicted: (N,) class of each test image. calibration: see `metrics.calibration_error`; NaN if not known.
    seconds: of processor time that it learned for, without measuring; NaN if not known.
    """

    number: int
    training_loss: float | None
    test_loss: float | None
    validation_loss: float | None
    f1: float
    confusion: Counts
    predicted: npt.NDArray[np.int64]
    calibration: float
    seconds: float

    @property
    def accuracy(self) -> float:
        return float(np.diag(self.confusion).sum() / self.confusion.sum())


def write_json(path: Path, content: Any) -> None:
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


class Record:
    """The epochs of one run, on disk after each. Taken up where `upto` epochs of an interrupted run hold."""

    def __init__(self, folder: Path, classes: tuple[str, ...], true: npt.NDArray[np.int64]) -> None:
        self.folder = folder
        self._classes = np.array(classes)
        self._true = true.astype(np.int16)
        self.rows: list[list[str]] = []
        self._confusions: list[Counts] = []
        self._predicted: list[npt.NDArray[np.int64]] = []
        self._beside: dict[str, list[float]] = {name: [] for name in BESIDE}
        self.source_f1: tuple[float, float] | None = None  # before and after, where that is asked for

    def take_up(self, epochs: int) -> None:
        """Read back the first `epochs` rows that an interrupted run left."""
        if epochs == 0:
            return
        with (self.folder / EPOCHS).open(encoding="utf-8", newline="") as file:
            self.rows = list(csv.reader(file))[1 : epochs + 1]
        arrays = read_npz(self.folder / CONFUSION)
        self._confusions = list(arrays["confusions"][:epochs].astype(np.int64))
        self._beside = {name: [math.nan] * epochs for name in BESIDE}
        if (self.folder / READINGS).is_file():
            kept = read_npz(self.folder / READINGS)
            self._predicted = list(kept["predicted"][:epochs].astype(np.int64))
            self._beside |= {name: kept[name][:epochs].tolist() for name in BESIDE if name in kept}
        else:  # begun before they were kept: -1 is not known
            self._predicted = [np.full(len(self._true), -1, np.int64)] * epochs
            if epochs == len(arrays["confusions"]):
                self._predicted[-1] = arrays["predicted"].astype(np.int64)

    def losses(self, column: str) -> list[float]:
        """A column of losses so far."""
        return [float(row[COLUMNS.index(column)] or "nan") for row in self.rows]

    def add(self, epoch: Epoch, write: bool = True) -> None:
        """Keep an epoch; one of the same number that is there already, and all after it, are dropped."""
        kept = [i for i, row in enumerate(self.rows) if int(row[0]) < epoch.number]
        values = (epoch.training_loss, epoch.test_loss, epoch.validation_loss, epoch.f1, epoch.accuracy)
        row = ["" if value is None else f"{value:.9g}" for value in values]
        self.rows = [self.rows[i] for i in kept] + [[str(epoch.number), *row]]
        self._confusions = [self._confusions[i] for i in kept] + [epoch.confusion]
        self._predicted = [self._predicted[i] for i in kept] + [epoch.predicted]
        self._beside = {name: [all_[i] for i in kept] + [getattr(epoch, name)] for name, all_ in self._beside.items()}
        if write:
            self.write()

    def write(self) -> None:
        arrays = io.BytesIO()
        np.savez_compressed(
            arrays,
            confusions=np.stack(self._confusions).astype(np.int32),
            classes=self._classes,
            true=self._true,
            predicted=self._predicted[-1].astype(np.int16),
        )
        readings = io.BytesIO()
        predicted = np.stack(self._predicted).astype(np.int16)
        beside = {name: np.array(values) for name, values in self._beside.items()}
        if self.source_f1 is not None:
            beside["source_f1"] = np.array(self.source_f1)
        np.savez_compressed(readings, predicted=predicted, **beside)  # type: ignore[arg-type]
        write_whole(self.folder / READINGS, readings.getvalue())
        write_whole(self.folder / CONFUSION, arrays.getvalue())
        write_whole(self.folder / EPOCHS, as_csv([COLUMNS, *self.rows]))

    def finish(self, stopped: str) -> None:
        """Declare the run finished: what ended it, and the digest of what it measured."""
        self.write()
        done = {"stopped": stopped, "epochs": int(self.rows[-1][0]), "digest": digest(*self._files())}
        write_json(self.folder / DONE, done)
        for name in (CHECKPOINT, ERROR):
            (self.folder / name).unlink(missing_ok=True)

    def _files(self) -> Iterable[bytes]:
        return ((self.folder / name).read_bytes() for name in (CONFIG, EPOCHS, CONFUSION))


def last_f1(folder: Path) -> float:
    """F1 of a finished run, from its folder, after its last epoch."""
    try:
        return float(read_text(folder / EPOCHS).splitlines()[-1].split(",")[4])
    except (OSError, ValueError, IndexError):
        raise DataError(f"{folder / EPOCHS}: has no F1; delete its folder and run the study again") from None


def read_json(path: Path, mend: str = "delete its folder and run the study again") -> dict[str, Any]:
    """The object in a JSON file. Raises DataError, which ends in how to mend it, for anything else."""
    try:
        value = parse_json(read_bytes(path))
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror}); {mend}") from None
    except ValueError as e:
        raise DataError(f"{path}: not JSON ({e}); {mend}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected an object, found {type(value).__name__}; {mend}")
    return value
