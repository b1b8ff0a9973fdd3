"""The two kinds of study: what the engine is given. What needs torch or draws is imported when it is called.

`characters`: classes of characters, from a source to a target task. `string`: whole numbers, by budget of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from inkshift.studies import record
from inkshift.studies.characters import plan as characters
from inkshift.studies.engine import Kind
from inkshift.studies.numbers import plan as numbers
from inkshift.studies.spec import AnyStudy, Study


def _call(module: str, name: str, *args: Any) -> Any:
    """Call a function of a module of studies, which a process imports when it comes to that."""
    return getattr(import_module(f"inkshift.studies.{module}"), name)(*args)


def _nothing(planned: Any, folder: Path) -> None:
    """What a run learns from and is tested on is dealt out of one set."""


_KINDS = {
    "characters": Kind(
        measure="f1",
        plan=characters.plan,
        index=characters.index,
        checksums=characters.checksums,
        do=partial(_call, "characters.deliver", "do"),
        score=record.last_f1,
        estimate=partial(_call, "characters.estimate", "estimate"),
        report=partial(_call, "report.page", "write"),
        audit=partial(_call, "characters.overlap", "audit_study"),
    ),
    "string": Kind(
        measure="right",
        plan=numbers.plan,
        index=numbers.index,
        checksums=numbers.checksums,
        do=partial(_call, "numbers.work", "do"),
        score=partial(_call, "report.number_results", "right"),
        estimate=partial(_call, "numbers.work", "estimate"),
        report=partial(_call, "report.number_page", "write"),
        audit=_nothing,
    ),
}


def kind_of(item: Any) -> Kind:
    """The kind of a study or a run."""
    return _KINDS[item.kind]


def stages(study: AnyStudy, folder: Path) -> Iterator[Kind]:
    """The kind of a study, once for each time that it is to be run: with the replicates that its specification names,
    then, with `most_replicates`, with more in each set that has a verdict against control undecided."""
    yield kind_of(study)
    if not isinstance(study, Study) or study.most_replicates is None:
        return
    looks = {one.name: study.looks(one) for one in study.sets}
    counts = {name: each[0] for name, each in looks.items()}
    while True:
        more = {
            name: n
            for name in _undecided(folder)
            if (n := min((c for c in looks[name] if c > counts[name]), default=0))
        }
        if not more:
            return
        counts |= more
        yield replace(kind_of(study), plan=partial(characters.plan, counts=dict(counts)))


def _undecided(folder: Path) -> set[str]:
    """Sets of characters with a verdict against control that is not there."""
    from inkshift.studies.report.compare import Resampler, against_control, main_rows
    from inkshift.studies.report.results import load

    results = load(folder)
    rows = main_rows(against_control(results, Resampler(results.seed, results.average)))
    return {row.set for row in rows if row.verdict == "undecided"}
