"""The two kinds of study, and what each does in its own way; keys, jobs, folders and going on are one for both.

`characters`: classes of characters, from a source to a target task. `string`: whole numbers, by budget of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from inkshift.errors import DataError
from inkshift.files import read_text

if TYPE_CHECKING:
    from inkshift.transfer.engine import Job
    from inkshift.transfer.estimate import Estimate

Outcome = list[tuple[str, str | None]]
Checksums = dict[str, dict[str, dict[str, Any]]]


class Length(Protocol):
    """How a run is trained, as far as the engine cares."""

    @property
    def epochs(self) -> int: ...


class AnyRun(Protocol):
    """A run, of whichever kind: see `plan.Run` and `strings_plan.StringRun`."""

    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def regime(self) -> str: ...
    @property
    def replicate(self) -> int: ...
    @property
    def task(self) -> Any: ...
    @property
    def source_task(self) -> Any: ...
    @property
    def protocol(self) -> Length: ...
    @property
    def batched(self) -> bool: ...
    def config(self) -> dict[str, Any]: ...


class AnyPlan(Protocol):
    """The runs of a study, of whichever kind, and how a table groups them: (set, arm, runs)."""

    @property
    def sources(self) -> tuple[AnyRun, ...]: ...
    @property
    def targets(self) -> tuple[AnyRun, ...]: ...
    @property
    def runs(self) -> tuple[AnyRun, ...]: ...
    @property
    def groups(self) -> Sequence[tuple[str, str, tuple[AnyRun, ...]]]: ...


class Characters:
    """A study of single characters. measure: what its runs are told apart by."""

    measure = "f1"

    def plan(self, study: Any) -> AnyPlan:
        """All runs of a study."""
        from inkshift.transfer.plan import plan

        return plan(study)

    def index(self, study: Any, planned: Any) -> dict[str, Any]:
        """What `index.json` says of the plan."""
        from inkshift.transfer.plan import index

        return index(study, planned)

    def checksums(self, planned: Any) -> tuple[Checksums, dict[str, str]]:
        """By task and split, how many items there are and their SHA-256; and by task, why not."""
        from inkshift.transfer.provenance import data_checksums

        return data_checksums(planned)

    def do(self, job: Job) -> Outcome:
        """Do the runs of a job, each into its folder."""
        from inkshift.transfer.engine import train_and_keep as do

        return do(job)

    def score(self, folder: Path) -> float:
        """The measure of a finished run, from its folder."""
        from inkshift.transfer.record import EPOCHS

        try:
            return float(read_text(folder / EPOCHS).splitlines()[-1].split(",")[4])
        except (OSError, ValueError, IndexError):
            raise DataError(f"{folder / EPOCHS}: has no F1; delete its folder and run the study again") from None

    def estimate(self, study: Any, planned: Any, folder: Path, workers: int) -> Estimate:
        """What is left to do: time and disk."""
        from inkshift.transfer.estimate import estimate

        return estimate(study, planned, folder, workers)

    def report(self, folder: Path, out: Path | None) -> Path:
        """Write the report of a study's folder; returns its path."""
        from inkshift.transfer.report import write

        return write(folder, out)

    def audit(self, planned: Any, folder: Path) -> None:
        """What is looked into once, when all data are as they should be."""
        from inkshift.transfer.audit import audit_study

        if not (folder / "overlap.json").is_file():
            audit_study(planned, folder)


class Strings:
    """A study of whole numbers."""

    measure = "right"

    def plan(self, study: Any) -> AnyPlan:
        from inkshift.transfer.strings_plan import plan

        return plan(study)

    def index(self, study: Any, planned: Any) -> dict[str, Any]:
        from inkshift.transfer.strings_plan import index

        return index(study, planned)

    def checksums(self, planned: Any) -> tuple[Checksums, dict[str, str]]:
        from inkshift.transfer.strings_plan import checksums

        return checksums(planned)

    def do(self, job: Job) -> Outcome:
        from inkshift.transfer.strings_run import do

        return do(job)

    def score(self, folder: Path) -> float:
        from inkshift.transfer.strings_results import right

        return right(folder)

    def estimate(self, study: Any, planned: Any, folder: Path, workers: int) -> Estimate:
        from inkshift.transfer.strings_estimate import estimate

        return estimate(study, planned, folder, workers)

    def report(self, folder: Path, out: Path | None) -> Path:
        from inkshift.transfer.strings_report import write

        return write(folder, out)

    def audit(self, planned: Any, folder: Path) -> None:
        """Nothing: what a run learns from and is tested on is dealt out of one set."""


_KINDS: dict[str, Characters | Strings] = {"characters": Characters(), "string": Strings()}


def kind_of(item: Any) -> Characters | Strings:
    """The kind of a study or a run."""
    return _KINDS[item.kind]
