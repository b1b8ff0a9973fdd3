"""The runs of a study folder as arrays: what is finished, and what is missing and why."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import ValidationError

from inkshift.arrays import Floats
from inkshift.datasets.formats import read_npz
from inkshift.datasets.tasks import Task
from inkshift.errors import DataError
from inkshift.models import metrics
from inkshift.studies.record import BESIDE, COLUMNS, READINGS, read_json
from inkshift.studies.stats import Counts

Found = TypeVar("Found")
State = Literal["not begun", "unfinished", "failed", "damaged"]
Measure = Literal["training_loss", "test_loss", "validation_loss", "f1", "accuracy"]


@dataclass(frozen=True, eq=False)
class Replicate:
    """One finished run. E epochs, C classes, N test images; losses and scores (E,), NaN where none was measured.

    predicted: (N,) after the last epoch; readings: (E, N) after each, None in runs that kept only the last.
    calibration: (E,) expected calibration error on the test images; seconds: (E,) of processor time that an epoch
    learned for; NaN in runs that did not keep them. source: the run whose network it starts from; source_seconds: that
    it learned for, NaN if not known, 0 without one. source_f1: on the source's test images, before and after, where
    that was asked for.
    """

    number: int
    digest: str
    folder: Path
    seed: int | None
    stopped: str
    epochs: Counts
    training_loss: Floats
    test_loss: Floats
    validation_loss: Floats
    f1: Floats
    accuracy: Floats
    classes: tuple[str, ...]
    confusions: Counts
    true: Counts
    predicted: Counts
    calibration: Floats
    seconds: Floats
    readings: Counts | None = None
    source: str | None = None
    source_seconds: float = 0.0
    source_f1: tuple[float, float] | None = None

    def read_at(self, row: int) -> Counts | None:
        """(N,) what the test images were read as at a row of `epochs`; None where it was not kept."""
        if row % len(self.epochs) == len(self.epochs) - 1:
            return self.predicted
        known = self.readings is not None and self.readings[row].min() >= 0
        return self.readings[row] if self.readings is not None and known else None

    def per_class(self) -> Floats:
        """(E, C) accuracy of each class, 0 to 1; NaN for a class without test images."""
        labelled = self.confusions.sum(axis=2).astype(np.float64)
        hits = np.diagonal(self.confusions, axis1=1, axis2=2)
        shares: Floats = np.divide(hits, labelled, out=np.full(labelled.shape, np.nan), where=labelled > 0)
        return shares

    def held_out(self) -> bool:
        """Whether every epoch has a validation loss."""
        return bool(np.isfinite(self.validation_loss).all())


@dataclass(frozen=True)
class MissingRun:
    """A planned run that counts nowhere. arm "" is a run that belongs to no arm: a source network."""

    set: str
    arm: str
    replicate: int | None
    digest: str
    folder: Path | None
    state: State
    error: str


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A measure by epoch: `values` (R, E), NaN where a replicate had stopped before that epoch."""

    epochs: Counts
    values: Floats

    @cached_property
    def n(self) -> Counts:
        """(E,) replicates that have each epoch; mean, low and high are over these only."""
        return np.asarray(np.isfinite(self.values).sum(axis=0), np.int64)

    @cached_property
    def mean(self) -> Floats:
        return np.array([column[np.isfinite(column)].mean() for column in self.values.T])

    @cached_property
    def sd(self) -> Floats:
        """Sample standard deviation; NaN with fewer than two replicates."""
        kept = [column[np.isfinite(column)] for column in self.values.T]
        return np.array([column.std(ddof=1) if len(column) > 1 else np.nan for column in kept])

    @cached_property
    def low(self) -> Floats:
        return np.nanmin(self.values, axis=0) if self.values.size else np.zeros(0)

    @cached_property
    def high(self) -> Floats:
        return np.nanmax(self.values, axis=0) if self.values.size else np.zeros(0)


@dataclass(frozen=True, eq=False)
class Arm:
    """All replicates of one regime in one set. settings: those that differ from the set's."""

    name: str
    regime: str
    settings: Mapping[str, Any]
    planned: int
    replicates: tuple[Replicate, ...]

    @property
    def distinct(self) -> tuple[Replicate, ...]:
        """The replicates without those that share one run, which would count one network twice."""
        return tuple({run.digest: run for run in reversed(self.replicates)}.values())[::-1]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.replicates[0].classes if self.replicates else ()

    def curve(self, measure: Measure) -> LearningCurve:
        """`measure` by epoch, for the epochs that at least one replicate has a value for."""
        epochs = np.unique(np.concatenate([run.epochs for run in self.replicates] or [np.zeros(0, np.int64)]))
        values = np.full((len(self.replicates), len(epochs)), np.nan)
        for row, run in zip(values, self.replicates, strict=True):
            row[np.searchsorted(epochs, run.epochs)] = getattr(run, measure)
        some = np.isfinite(values).any(axis=0)
        return LearningCurve(epochs[some], values[:, some])


@dataclass(frozen=True, eq=False)
class Set:
    """One pair of source and target task. relation_text: how their label spaces relate, in the paper's terms.
    looks: how often it may be asked whether it needs more replicates."""

    name: str
    source: Mapping[str, Any]
    target: Mapping[str, Any]
    relation: str
    relation_text: str
    same_domain: bool
    settings: Mapping[str, Any]
    arms: tuple[Arm, ...]
    looks: int = 1


@dataclass(frozen=True, eq=False)
class StudyResults:
    """What the folder of any study says. margin: of what it measures, 0 to 1, within which a difference is none."""

    folder: Path
    name: str
    title: str
    seed: int
    margin: float
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    machine: str
    data: Mapping[str, Mapping[str, Any]]
    missing: tuple[MissingRun, ...]


@dataclass(frozen=True, eq=False)
class Results(StudyResults):
    """A study of characters as `load` found it; it measures F1. choices: settings the paper leaves unsaid."""

    choices: tuple[str, ...]
    sets: tuple[Set, ...]

    @property
    def average(self) -> str:
        """How the runs' F1 is averaged over classes: `macro` or `weighted`."""
        return str(self.settings.get("f1", "macro"))

    @property
    def arms(self) -> list[tuple[Set, Arm]]:
        """Every arm, with the set that it is of."""
        return [(study_set, arm) for study_set in self.sets for arm in study_set.arms]

    @property
    def runs(self) -> list[tuple[str, str, Replicate]]:
        """Every finished run, with the names of its set and arm."""
        return [(study_set.name, arm.name, run) for study_set, arm in self.arms for run in arm.replicates]

    def steps_of(self, study_set: Set, arm: Arm) -> int | None:
        """Steps of the optimiser in an epoch: batches of the training images; None where these are not known."""
        settings = self.settings_of(study_set, arm)
        there = self.data.get(f"{_task(study_set.target)} train", {}).get("images")
        if there is None or arm.regime == "as-is":
            return None
        images = min(int(there) - int(settings.get("validation", 0)), settings.get("train_images") or int(there))
        images = max(min(images, settings.get("labels") or images), int(settings.get("least", 0)))
        if arm.regime == "pooled":
            images += int(self.data.get(f"{_task(study_set.source)} train", {}).get("images", 0))
        return math.ceil(images / int(settings.get("batch", 128)))

    def settings_of(self, study_set: Set, arm: Arm) -> dict[str, Any]:
        """The settings an arm ran with: the study's, the set's over them, its own over both."""
        return {**self.settings, **study_set.settings, **arm.settings}


def _task(entry: Mapping[str, Any]) -> Task:
    """Raises ValueError, in one line, for what is no task."""
    try:
        return Task.model_validate(dict(entry))
    except ValidationError as e:
        first = e.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


# Settings that are counts, of which steps are made.
_COUNTS = ("validation", "train_images", "labels", "least", "batch")


def _settings(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    settings = dict(entry or {})
    for name in _COUNTS:
        count = settings.get(name)
        if not isinstance(count, int | None) or (name == "batch" and count is not None and count < 1):
            raise ValueError(f"{name}: expected a count, found {str(count)[:100]!r}")
    return settings


AnyResults = TypeVar("AnyResults", bound=StudyResults)


def read_index(
    folder: Path, kind: type[AnyResults], own: Callable[[Path, Mapping[str, Any], list[MissingRun]], dict[str, Any]]
) -> AnyResults:
    """Read `index.json` and every run it names. A run that cannot be used is listed, and stops nothing.

    own: of folder and index, what this kind of study has beside what all have; it adds to the missing runs.
    Raises DataError if the index is missing, or lacks or mistypes a part.
    """
    path = folder / "index.json"
    index = read_json(path, "run the study first: inkshift study run SPEC")
    missing: list[MissingRun] = []
    try:
        parts = own(folder, index, missing)
        makers: dict[str, Callable[[Any], Any]] = {"name": str, "title": str, "seed": int, "margin": float}
        makers |= {"settings": dict, "versions": dict, "machine": words, "data": dict}
        shared = {name: make(index[name]) for name, make in makers.items()}
        return kind(**parts, **shared, folder=folder, missing=tuple(missing))
    except KeyError as e:
        raise DataError(f"{path}: {e.args[0]!r} is not there; write the index again: inkshift study run SPEC") from None
    except (TypeError, ValueError, AttributeError) as e:
        raise DataError(f"{path}: not an index of a study ({e}); write it again: inkshift study run SPEC") from None


def load(folder: Path) -> Results:
    """A study of characters; see `read_index`."""
    return read_index(folder, Results, _own)


def _own(folder: Path, index: Mapping[str, Any], missing: list[MissingRun]) -> dict[str, Any]:
    sets = tuple(_set(folder, item, missing) for item in index["sets"])
    _settings(index["settings"])
    for name, facts in dict(index["data"]).items():
        if not isinstance(facts.get("images"), int | None):
            raise ValueError(f"images of {str(name)[:100]!r}: expected a count")
    known = {str(digest) for item in index["sets"] for arm in item["arms"] for digest in arm["runs"]}
    missing += _other_failures(folder, known)
    return {"choices": tuple(index["choices"]), "sets": sets}


def _set(folder: Path, item: Mapping[str, Any], missing: list[MissingRun]) -> Set:
    arms = []
    for task in (item["source"], item["target"]):
        if "weights" not in task:
            _task(task)  # or the report would find out
    for arm in item["arms"]:
        settings = _settings(arm.get("settings"))
        name = str(arm["regime"])
        alike = [dict(one.get("settings") or {}) for one in item["arms"] if one["regime"] == name]
        own = [f"{key} {value}" for key, value in settings.items() if any(one.get(key) != value for one in alike)]
        name += f" ({', '.join(own)})" if own else ""
        found = [find_run(folder, item["name"], name, i, key, _replicate) for i, key in enumerate(arm["runs"], 1)]
        missing += [run for run in found if isinstance(run, MissingRun)]
        finished = [run for run in found if isinstance(run, Replicate)]
        arms.append(Arm(name, arm["regime"], settings, len(arm["runs"]), _alike_shaped(finished, item, name, missing)))
    return Set(
        name=str(item["name"]),
        source=dict(item["source"]),
        target=dict(item["target"]),
        relation=str(item["relation"]),
        relation_text=str(item["relation_text"]),
        same_domain=bool(item["same_domain"]),
        settings=_settings(item.get("settings")),
        arms=tuple(arms),
        looks=int(item.get("looks", 1)),
    )


def _alike_shaped(
    runs: list[Replicate], item: Mapping[str, Any], arm: str, missing: list[MissingRun]
) -> tuple[Replicate, ...]:
    """Runs of one arm that share the first one's classes and test images; the others are put down as damaged."""
    kept = []
    for run in runs:
        if run.classes == runs[0].classes and np.array_equal(run.true, runs[0].true):
            kept.append(run)
        else:
            error = f"its classes or test images are not those of replicate {runs[0].number}"
            missing.append(MissingRun(item["name"], arm, run.number, run.digest, run.folder, "damaged", error))
    return tuple(kept)


def find_run(
    folder: Path, study_set: str, arm: str, number: int, digest: str | None, read: Callable[[Path, int, str], Found]
) -> Found | MissingRun:
    """A finished run as `read` takes it from its folder, number and digest; or that it is missing, and why."""
    if digest is None:
        return MissingRun(study_set, arm, number, "", None, "not begun", "the study has not come to it")
    if not re.fullmatch(r"[\w.-]{1,100}", digest):
        raise ValueError(f"no run is called {digest[:100]!r}")
    run = folder / "runs" / digest

    def absent(state: State, error: str) -> MissingRun:
        return MissingRun(study_set, arm, number, digest, run, state, error)

    if not run.is_dir():
        return absent("not begun", "the study has not come to it")
    try:
        if (run / "done.json").is_file():
            return read(run, number, digest)
        if (run / "error.json").is_file():
            return absent("failed", str(read_json(run / "error.json")["error"]))
    except DataError as e:
        return absent("damaged", str(e).replace(str(run), run.name))
    except (OSError, ValueError, KeyError, TypeError) as e:
        return absent("damaged", f"{run.name}: not as a run leaves it ({e}); delete the folder and run the study again")
    return absent("unfinished", "interrupted or still running; run the study again")


def _replicate(run: Path, number: int, digest: str) -> Replicate:
    done, config = read_json(run / "done.json"), read_json(run / "config.json")
    with (run / "epochs.csv").open(newline="", encoding="utf-8") as file:
        rows = [[float(row[column] or "nan") for column in COLUMNS] for row in csv.DictReader(file)]
    table = np.array(rows, np.float64).reshape(-1, len(COLUMNS))
    if not np.isfinite(table[:, 4]).all():
        raise ValueError("an epoch in epochs.csv has no f1")
    counted = _counted(run, len(table))
    seed, source = config.get("seed"), config.get("source")
    return Replicate(
        number=number,
        digest=digest,
        seed=seed if isinstance(seed, int) else None,
        stopped=str(done["stopped"]),
        epochs=table[:, 0].astype(np.int64),
        **dict(zip(COLUMNS[1:], table.T[1:], strict=True)),
        folder=run,
        **counted,
        **_kept(run, len(table), counted["true"], counted["predicted"]),
        source=source if isinstance(source, str) else None,
        source_seconds=_seconds_of(run.parent / source) if isinstance(source, str) else 0.0,
    )


def _counted(run: Path, epochs: int) -> dict[str, Any]:
    """What `confusion.npz` says of a replicate. Raises ValueError where it does not add up."""
    try:
        arrays = read_npz(run / "confusion.npz")
    except DataError:
        raise ValueError("confusion.npz is damaged") from None
    confusions, true, predicted = (arrays[key].astype(np.int64) for key in ("confusions", "true", "predicted"))
    classes = tuple(str(name) for name in arrays["classes"])
    count = len(classes)
    if (
        true.ndim != 1
        or true.shape != predicted.shape
        or not all(len(v) and 0 <= v.min() <= v.max() < count for v in (true, predicted))
    ):
        raise ValueError("true and predicted in confusion.npz are not classes of one set of images")
    if not epochs or confusions.shape != (epochs, count, count):
        raise ValueError(f"{epochs} epochs in epochs.csv, confusion matrices of shape {confusions.shape}")
    if not np.array_equal(metrics.confusion(predicted, true, count), confusions[-1]):
        raise ValueError("the predictions in confusion.npz do not add up to its last confusion matrix")
    return {"classes": classes, "confusions": confusions, "true": true, "predicted": predicted}


def _kept(run: Path, epochs: int, true: Counts, predicted: Counts) -> dict[str, Any]:
    """What a replicate kept beside that, or that it is not known. Raises ValueError where the two differ."""
    found: dict[str, Any] = {name: np.full(epochs, np.nan) for name in BESIDE}
    if not (run / READINGS).is_file():
        return found
    kept = read_npz(run / READINGS)
    readings = kept["predicted"].astype(np.int64)
    found = {name: kept.get(name, unknown).astype(np.float64) for name, unknown in found.items()}
    if any(values.shape != (epochs,) for values in found.values()):
        raise ValueError(f"{READINGS} does not have an epoch for each of epochs.csv")
    if readings.shape != (epochs, len(true)) or not np.array_equal(readings[-1], predicted):
        raise ValueError(f"{READINGS} does not hold what confusion.npz does")
    if "source_f1" in kept:
        before, after = kept["source_f1"].astype(np.float64).tolist()
        found["source_f1"] = before, after
    return found | {"readings": readings}


def _seconds_of(run: Path) -> float:
    """Of processor time that a run learned for; NaN if that is not known."""
    try:
        return float(read_npz(run / READINGS)["seconds"].sum())
    except (DataError, OSError, KeyError):
        return math.nan


def _other_failures(folder: Path, known: set[str]) -> list[MissingRun]:
    """Failed runs of no arm: a source network that failed takes its arms with it."""
    failed = []
    for path in sorted((folder / "runs").glob("*/error.json")):
        if path.parent.name not in known and not (path.parent / "done.json").is_file():
            try:
                error = str(read_json(path).get("error", ""))
            except DataError as e:
                error = str(e)
            failed.append(MissingRun("", "", None, path.parent.name, path.parent, "failed", error))
    return failed


def words(value: Any) -> str:
    """A value, or the entries of a table, in a line."""
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
