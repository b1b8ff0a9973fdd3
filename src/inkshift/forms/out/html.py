"""One self-contained HTML page with every crop beside its reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inkshift.files import html_templates, inline, writing
from inkshift.forms.out.export import AddForm, open_text
from inkshift.forms.out.sheet import png
from inkshift.forms.reading import FieldReading, FormReading

UNSURE_BELOW = 0.9


@dataclass
class Totals:
    """What the forms on the page add up to; complete once the last form is written."""

    forms: int = 0
    fields: int = 0
    doubtful: int = 0
    unread: int = 0
    accepted: int | None = None
    broken: set[tuple[str, str]] = field(default_factory=set)

    def add(self, form: FormReading) -> None:
        self.forms += 1
        self.fields += len(form.fields)
        self.doubtful += sum(bool(doubts(item)) for item in form.fields)
        self.unread += len(form.errors)
        self.broken |= {(form.name, rule) for item in form.fields for rule in item.rules_broken}
        decided = [item.accepted for item in form.fields if item.accepted is not None]
        if decided:
            self.accepted = (self.accepted or 0) + sum(decided)


@contextmanager
def open_report(path: Path, title: str) -> Iterator[AddForm]:
    """A page that grows form by form, of which one is held in memory; the file appears whole or not at all.

    Fields show their picture where `crop` was kept. Raises SettingError for a path that cannot be written.
    """
    summary = Totals()
    helpers = {"doubts": doubts, "look": _look, "broken": _broken, "picture": picture_of, "percent": _percent}
    parts: Any = html_templates(Path(__file__).parent, **helpers).get_template("report.html.j2").module
    with open_text(path) as file:

        def add(form: FormReading) -> None:
            if not (form.pages and all(page.blank for page in form.pages)):
                summary.add(form)
                with writing(path):
                    file.write(parts.show_form(form))

        file.write(parts.begin(title))
        yield add
        file.write(parts.end(summary))


def doubts(item: FieldReading) -> list[str]:
    """Why a person should look at a field, in a word or two each; empty where nobody need do so.

    Without an acceptance policy, a confidence under 0.9 is a doubt; with one, that it was not accepted.
    """
    reasons: list[str] = [] if item.state == "written" else [item.state]
    if item.accepted is False:
        reasons.append("not accepted")
    elif item.accepted is None and item.confidence < UNSURE_BELOW:
        reasons.append("unsure")
    if item.rules_broken:
        reasons.append("sum")
    return reasons + [f"{mark} beside digits" for mark in dict.fromkeys(item.marks) if reasons]


def _look(form: FormReading) -> bool:
    return bool(form.errors) or any(doubts(item) for item in form.fields)


def _broken(form: FormReading) -> list[str]:
    """The form's broken rules, each once."""
    return list(dict.fromkeys(rule for item in form.fields for rule in item.rules_broken))


def picture_of(item: FieldReading) -> str:
    """The crop as a data address; empty without one."""
    if item.crop is None or not item.crop.size:
        return ""
    return inline(png(item.crop))


def _percent(share: float) -> str:
    """Rounded down, so that 100 % means certain."""
    return f"{int(share * 100)} %"
