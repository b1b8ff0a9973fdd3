"""The two kinds of study: what the engine is given. Nothing is imported before it is asked for: plans need no torch.

`characters`: classes of characters, from a source to a target task. `string`: whole numbers, by budget of labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inkshift.errors import DataError
from inkshift.studies.engine import AnyPlan, Checksums, Estimate, Kind, Outcome, RunGroup


class Characters:
    """A study of single characters."""

    measure = "f1"

    def plan(self, study: Any) -> AnyPlan:
        from inkshift.studies.characters.plan import plan

        return plan(study)

    def index(self, study: Any, planned: Any) -> dict[str, Any]:
        from inkshift.studies.characters.plan import index

        return index(study, planned)

    def checksums(self, planned: Any) -> tuple[Checksums, dict[str, str]]:
        from inkshift.studies.characters.plan import checksums

        return checksums(planned)

    def do(self, job: RunGroup) -> Outcome:
        from inkshift.studies.characters.deliver import do

        return do(job)

    def score(self, folder: Path) -> float:
        from inkshift.files import read_text
        from inkshift.studies.record import EPOCHS

        try:
            return float(read_text(folder / EPOCHS).splitlines()[-1].split(",")[4])
        except (OSError, ValueError, IndexError):
            raise DataError(f"{folder / EPOCHS}: has no F1; delete its folder and run the study again") from None

    def estimate(self, study: Any, planned: Any, folder: Path, workers: int) -> Estimate:
        from inkshift.studies.characters.estimate import estimate

        return estimate(study, planned, folder, workers)

    def report(self, folder: Path, out: Path | None) -> Path:
        from inkshift.studies.report.page import write

        return write(folder, out)

    def audit(self, planned: Any, folder: Path) -> None:
        from inkshift.studies.characters.overlap import audit_study

        if not (folder / "overlap.json").is_file():
            audit_study(planned, folder)


class Numbers:
    """A study of whole numbers."""

    measure = "right"

    def plan(self, study: Any) -> AnyPlan:
        from inkshift.studies.numbers.plan import plan

        return plan(study)

    def index(self, study: Any, planned: Any) -> dict[str, Any]:
        from inkshift.studies.numbers.plan import index

        return index(study, planned)

    def checksums(self, planned: Any) -> tuple[Checksums, dict[str, str]]:
        from inkshift.studies.numbers.plan import checksums

        return checksums(planned)

    def do(self, job: RunGroup) -> Outcome:
        from inkshift.studies.numbers.work import do

        return do(job)

    def score(self, folder: Path) -> float:
        from inkshift.studies.report.number_results import right

        return right(folder)

    def estimate(self, study: Any, planned: Any, folder: Path, workers: int) -> Estimate:
        from inkshift.studies.numbers.estimate import estimate

        return estimate(study, planned, folder, workers)

    def report(self, folder: Path, out: Path | None) -> Path:
        from inkshift.studies.report.number_page import write

        return write(folder, out)

    def audit(self, planned: Any, folder: Path) -> None:
        """Nothing: what a run learns from and is tested on is dealt out of one set."""


_KINDS: dict[str, Kind] = {"characters": Characters(), "string": Numbers()}


def kind_of(item: Any) -> Kind:
    """The kind of a study or a run."""
    return _KINDS[item.kind]
