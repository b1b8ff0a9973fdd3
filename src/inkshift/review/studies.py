"""Studies: their reports where they lie, and one that says how many labels of a data set it takes; and, of each batch
that a model can be taught from, whether teaching is worth it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from inkshift.errors import InkshiftError, SettingError
from inkshift.forms.crops.harvest import split_of
from inkshift.forms.kinds import digits_of, plain
from inkshift.models.package import NUMBER_MODEL
from inkshift.review import datasets
from inkshift.review.core import models
from inkshift.review.core.models import Bounds, share_bounds
from inkshift.review.core.schema import Batch, Field, Form, Reading
from inkshift.review.core.store import ListPage, Store, listed
from inkshift.review.core.tasks import TaskContext, tasks
from inkshift.review.datasets import NUMBERS, TEST_SHARE, BatchDataSet, LabelSupply, teaches
from inkshift.review.teach import minutes
from inkshift.studies.engine import epochs_planned, run, watching
from inkshift.studies.kinds import kind_of
from inkshift.studies.record import read_json
from inkshift.studies.report import number_results as strings_results
from inkshift.studies.report import results
from inkshift.studies.spec import NUMBER_REPLICATES, Study, number_budgets, number_starter
from inkshift.studies.stats import Verdict

INDEX, REPORT, SPEC = "index.json", "report.html", "study.toml"
STUDIES = 20  # of a page


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A finished study with its report. id: made of its place; lines: what its report answers."""

    id: str
    report: Path
    title: str
    made: datetime
    lines: tuple[str, ...]


def found(files: Path, page: int = 1) -> ListPage[StudyReport]:
    """The finished studies in `files/studies` and in `runs` of the working folder that have a report, newest first.

    Only those of the page are looked into; one that is not finished after all leaves its page shorter.
    """
    shown = listed(sorted(_reports(files), key=lambda report: report.stat().st_mtime, reverse=True), page, STUDIES)
    studies = tuple(study for study in map(_found, shown.rows) if study)
    return ListPage(studies, shown.count, shown.page, shown.pages)


def find(files: Path, study_id: str) -> StudyReport | None:
    """A finished study by its id; None where there is none."""
    return next((_found(report) for report in _reports(files) if _id(report) == study_id), None)


def _reports(files: Path) -> list[Path]:
    roots = (files / "studies", Path("runs").resolve())
    return [
        report for root in roots for report in sorted(root.glob(f"*/{REPORT}")) if (report.parent / INDEX).is_file()
    ]


def _id(report: Path) -> str:
    return hashlib.sha256(str(report.parent).encode()).hexdigest()[:16]


def _found(report: Path) -> StudyReport | None:
    made = report.stat().st_mtime
    title = _title(report.parent, (report.parent / INDEX).stat().st_mtime_ns)
    if title is None:
        return None
    return StudyReport(_id(report), report, title, datetime.fromtimestamp(made, UTC), _answers(report, made))


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


def study(work: TaskContext) -> dict[str, Any]:
    """How many labels of a data set does it take, and is teaching worth it? Runs the study and writes its report.

    Stopped, it goes on from its last epoch. Raises InkshiftError in one line where it cannot be done.
    """
    work.folder.mkdir(parents=True, exist_ok=True)
    spec, folder = work.folder / SPEC, work.files.resolve() / "studies" / work.folder.name
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


def _spec(work: TaskContext) -> str:
    """The study as TOML."""
    data_id = work.about["dataset"]
    forms = [number.form for number in datasets.numbers(work.files, data_id)]
    title = "".join(c for c in work.about["name"] if c.isprintable())
    asked = f"{title}: how many labels, and is teaching worth it?"
    data = (datasets.folder_of(work.files, data_id) / NUMBERS).resolve()
    source = models.default_folder(work.store) or NUMBER_MODEL
    return number_starter(work.folder / SPEC, f"study-{work.folder.name}", asked, source, data, forms)


def refuse_learned(store: Store, batches: Iterable[str]) -> None:
    """Raises SettingError where the model that reads now learned from one of these: a study would flatter it."""
    if known := sorted(set(batches) & models.learned(store)):
        raise SettingError(f"study: the model that reads now learned from {known[0]}; study data of other batches")


def longest(numbers: int) -> int:
    """About how many minutes a study of so many numbers takes at most."""
    return NUMBER_REPLICATES * sum(minutes(budget) for budget in number_budgets(1, numbers))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished study of a data set says of teaching: its `verdict` on a budget of `labels`.

    right, before: shares of numbers read right with so many labels, and by the model as it was.
    """

    study: str
    data: BatchDataSet
    verdict: Verdict
    labels: int
    right: float
    before: float


def answers(store: Store, files: Path, digest: str) -> dict[str, Answer]:
    """The newest answer for each batch, by its name, of studies made here that start from a model of this digest."""
    found: dict[str, Answer] = {}
    for task in tasks(store, "study"):
        data = datasets.find(files, task.about.get("dataset", 0)) if task.result else None
        report = files / "studies" / str((task.result or {}).get("folder")) / REPORT
        if data is None or not report.is_file():
            continue
        told = _told(report.parent, report.stat().st_mtime_ns)
        if told and told[0] == digest:
            for batch in data.batches:
                found.setdefault(batch, Answer(_id(report), data, *told[1]))
    return found


@lru_cache(maxsize=64)
def _told(folder: Path, _: int) -> tuple[str, tuple[Verdict, int, float, float]] | None:
    """The digest of the source of a finished study of numbers, and what it says; None where it says nothing."""
    try:
        loaded = strings_results.load(folder)
        told = strings_results.worth(strings_results.analyse(loaded)) if not loaded.missing else None
    except (InkshiftError, OSError, ValueError, AttributeError):
        return None
    if told is None:
        return None
    row, found = told
    before = sum(run.right for run in found.baseline.replicates) / len(found.baseline.replicates)
    return str(loaded.source["digest"]), (found.verdict, row.arm.budget or 0, row.right.mean, before)


@dataclass(frozen=True, slots=True)
class BaselineScore:
    """How many settled numbers were right as the model that reads now first read them, and the share's 95 % bounds."""

    right: int
    numbers: int
    interval: Bounds


@dataclass(frozen=True, slots=True)
class TeachingAdvice:
    """read: None where that model has read none of them. study: the answer of a finished study, None: there is none.

    minutes: that a study takes at most; 0 where none would be fair, since the model learned from the batch.
    """

    read: BaselineScore | None
    study: Answer | None
    minutes: int


def advice(store: Store, files: Path, batches: Sequence[LabelSupply]) -> tuple[bool, dict[int, TeachingAdvice]]:
    """Whether only numbers held out count, and the advice on each batch that can be taught from, by its id.

    A model that ships never saw the settled numbers, so that all of them count. One that was taught here may have
    learned from any but those held out, even of another batch, where the same pages were read once more.
    """
    current, known = models.default(store), models.learned(store)
    if current is None:
        return False, {}
    held_out = models.default_folder(store) is not None
    told = answers(store, files, current.digest)
    found = {}
    for one in batches:
        if not one.lacks:
            minutes = 0 if one.name in known else longest(one.train + one.test)
            found[one.batch] = TeachingAdvice(
                _as_read(store, one.batch, current.digest, held_out), told.get(one.name), minutes
            )
    return held_out, found


def _as_read(store: Store, batch_id: int, digest: str, held_out: bool) -> BaselineScore | None:
    """See `BaselineScore`. Values are compared as `teach` does, but those that are written alike by the database."""
    first = sa.select(sa.func.min(Reading.id)).where(Reading.field_id == Field.id, Reading.model == digest)
    alike = sa.and_(Reading.state == "written", Reading.value == Field.value)
    with store.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            return None
        read = (
            sa.select(Form.name)
            .join(Field.form)
            .join(Reading, Reading.id == first.correlate(Field).scalar_subquery())
            .where(*teaches(batch))
        )
        counts = session.execute(
            read.add_columns(sa.func.count(), sa.func.sum(sa.case((alike, 1), else_=0))).group_by(Form.name)
        )
        forms = {name: [right, n] for name, n, right in counts if not held_out or split_of(name, TEST_SHARE) == "test"}
        others = session.execute(read.add_columns(Reading.value, Field.value).where(~alike, Reading.state == "written"))
        for name, value, settled in others:
            if name in forms:
                forms[name][0] += plain(digits_of(value)) == plain(digits_of(settled))
    if not forms:
        return None
    by_form = [(right, n) for right, n in forms.values()]
    right, n = (sum(counts) for counts in zip(*by_form, strict=True))
    return BaselineScore(right, n, share_bounds(by_form))
