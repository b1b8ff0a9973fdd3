"""Studies: their reports where they lie, and one that says how many labels of a data set it takes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any

from inkshift.errors import InkshiftError
from inkshift.models.package import NUMBER_MODEL
from inkshift.review import datasets
from inkshift.review.core.models import default_folder
from inkshift.review.core.paging import Listed, listed
from inkshift.review.core.tasks import Work
from inkshift.review.labelled import NUMBERS
from inkshift.studies.engine import epochs_planned, run, watching
from inkshift.studies.kinds import kind_of
from inkshift.studies.record import read_json
from inkshift.studies.report import number_results as strings_results
from inkshift.studies.report import results
from inkshift.studies.spec import Study

INDEX, REPORT = "index.json", "report.html"
STUDIES = 20  # of a page
REPLICATES, TEST_SHARE = 3, 0.4
_BUDGETS = (50, 100, 200, 400, 800, 1600)


@dataclass(frozen=True, slots=True)
class Found:
    """A finished study with its report. id: made of its place; lines: what its report answers."""

    id: str
    report: Path
    title: str
    made: datetime
    lines: tuple[str, ...]


def found(files: Path, page: int = 1) -> Listed[Found]:
    """The finished studies in `files/studies` and in `runs` of the working folder that have a report, newest first.

    Only those of the page are looked into; one that is not finished after all leaves its page shorter.
    """
    shown = listed(sorted(_reports(files), key=lambda report: report.stat().st_mtime, reverse=True), page, STUDIES)
    studies = tuple(study for study in map(_found, shown.rows) if study)
    return Listed(studies, shown.count, shown.page, shown.pages)


def find(files: Path, study_id: str) -> Found | None:
    """A finished study by its id; None where there is none."""
    return next((_found(report) for report in _reports(files) if _id(report) == study_id), None)


def _reports(files: Path) -> list[Path]:
    roots = (files / "studies", Path("runs").resolve())
    return [
        report for root in roots for report in sorted(root.glob(f"*/{REPORT}")) if (report.parent / INDEX).is_file()
    ]


def _id(report: Path) -> str:
    return hashlib.sha256(str(report.parent).encode()).hexdigest()[:16]


def _found(report: Path) -> Found | None:
    made = report.stat().st_mtime
    title = _title(report.parent, (report.parent / INDEX).stat().st_mtime_ns)
    if title is None:
        return None
    return Found(_id(report), report, title, datetime.fromtimestamp(made, UTC), _answers(report, made))


@lru_cache(maxsize=64)
def _title(folder: Path, _: int) -> str | None:
    """The title of a study; None where it is none, or not finished."""
    try:
        kind = read_json(folder / INDEX).get("kind", "characters")
        loaded = strings_results.load(folder) if kind == "string" else results.load(folder)
    except (InkshiftError, OSError, ValueError, AttributeError):
        return None
    return loaded.title if not loaded.missing else None


@lru_cache(maxsize=64)
def _answers(report: Path, _: float) -> tuple[str, ...]:
    """The items of the section of a report that is its answer."""
    text = report.read_text(encoding="utf-8", errors="replace")
    section = re.search('<section class="answer".*?</section>', text, re.DOTALL)
    items = re.findall("<li>(.*?)</li>", section[0], re.DOTALL) if section else []
    return tuple(" ".join(unescape(item).split()) for item in items)


def study(work: Work) -> dict[str, Any]:
    """How many labels of a data set does it take, and is teaching worth it? Runs the study and writes its report.

    Stopped, it goes on from its last epoch. Raises InkshiftError in one line where it cannot be done.
    """
    work.folder.mkdir(parents=True, exist_ok=True)
    spec, folder = work.folder / "study.toml", work.files.resolve() / "studies" / work.folder.name
    if not spec.is_file():
        spec.write_text(_spec(work), encoding="utf-8")
    loaded = Study.load(spec)
    planned = kind_of(loaded).plan(loaded)
    total, trained = epochs_planned(planned.runs), 0.95  # the share of the work that is left then is the report
    with watching(planned, folder, lambda done: work.say(trained * done / total, f"{done} / {total}")):
        for problem in run(kind_of(loaded), loaded, folder).values():
            raise InkshiftError(problem)
    work.say(trained, "")
    loaded.report(folder=folder)
    return {"folder": folder.name}


def _spec(work: Work) -> str:
    """The study as TOML. Budgets are what the part that is learned from allows."""
    data_id = work.about["dataset"]
    count = len(datasets.numbers(work.files, data_id))
    most = int(count * (1 - TEST_SHARE) * 0.95)  # forms are dealt whole, so a little less than its share
    budgets = [budget for budget in _BUDGETS if budget <= most][-3:] or [max(2, most)]
    title = "".join(c for c in work.about["name"] if c.isprintable())
    settings = {
        "kind": "string",
        "name": f"study-{work.folder.name}",
        "title": f"{title}: how many labels, and is teaching worth it?",
        "seed": 2026,
        "replicates": REPLICATES,
        "margin": 0.01,
        "source": default_folder(work.store) or NUMBER_MODEL,
        "data": str((datasets.folder_of(work.files, data_id) / NUMBERS).resolve()),
        "regimes": ["as-is", "fine-tuned"],
        "budgets": budgets,
        "test_share": TEST_SHARE,
    }
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items())
