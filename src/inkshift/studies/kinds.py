"""The two kinds of study: what the engine is given. What needs torch or draws is imported when it is called.

`characters`: classes of characters, from a source to a target task. `string`: whole numbers, by budget of labels.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from inkshift.studies import record
from inkshift.studies.characters import plan as characters
from inkshift.studies.engine import Kind
from inkshift.studies.numbers import plan as numbers


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
