"""Pages to forms: which pages belong together, what each form is called, and which forms are amiss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inkshift.forms.joint import decode_form
from inkshift.forms.reading import FieldReading, FormReading, PageNote, PageReading
from inkshift.forms.rules import mark_rules
from inkshift.forms.template import Template


def assemble(
    pages: Iterable[PageReading], template: Template | None, *, together: bool = True
) -> Iterator[FormReading]:
    """Forms from pages, in order. together: whether a form's fields are decoded together under its rules.

    A form of several pages is a run of pages, each a later page of the template than the one before, of one
    file that name no other form, or of several files that name the same. A page between them that was not
    read goes to the form before it. A form is called what its pages say, else its file's name without
    ending, with `-p2` where it begins on the file's second page.
    """
    pages_of_form = len(template.pages) if template else 1
    held: list[PageReading] = []
    for page in pages:
        if held and not (len(held) < pages_of_form and _continues(held, page)):
            yield _form(held, template, together)
            held = []
        held.append(page)
    if held:
        yield _form(held, template, together)


def _continues(held: list[PageReading], page: PageReading) -> bool:
    known = next((p.identity for p in held if p.identity), "")
    if page.source != held[-1].source and not (known and page.identity == known):
        return False
    if page.error:
        return True
    later = all(page.design > p.design for p in held if not p.error)
    return later and (not known or page.identity in ("", known))


def _form(held: list[PageReading], template: Template | None, together: bool) -> FormReading:
    first = held[0]
    stem = Path(first.source).stem + (f"-p{first.page}" if first.page > 1 else "")
    name = next((p.identity for p in held if p.identity), stem)
    fields: list[FieldReading] = [item for page in held for item in page.fields]
    notes = tuple(PageNote(p.source, p.page, p.quality, p.error, p.turn) for p in held)
    form = FormReading(name, tuple(fields), notes)
    if template is None or not template.rules:
        return form
    rules = template.parsed_rules
    return mark_rules(decode_form(form, rules, template.fields) if together else form, rules)


@dataclass(frozen=True, slots=True)
class Roll:
    """The forms of a reading against those expected. missing and unknown are empty where none were expected.

    incomplete: forms of which fewer pages were read than their template has.
    """

    forms: int
    unread_pages: int
    duplicate: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    incomplete: tuple[str, ...] = ()


class Called(NamedTuple):
    """A form as it is called up: its name, how many of its pages were not read, and how many were."""

    name: str
    unread: int
    pages: int


def call_roll(forms: Iterable[Called], expected: Collection[str] = (), pages: int = 1) -> Roll:
    """Count forms and compare their names with those expected. pages: how many a whole form has."""
    seen: Counter[str] = Counter()
    incomplete: list[str] = []
    unread = 0
    for form in forms:
        unread += form.unread
        if form.pages:
            seen[form.name] += 1
        if 0 < form.pages < pages:
            incomplete.append(form.name)
    missing = sorted(set(expected) - set(seen))
    unknown = sorted(set(seen) - set(expected)) if expected else []
    duplicate = sorted(name for name, n in seen.items() if n > 1)
    return Roll(sum(seen.values()), unread, tuple(duplicate), tuple(missing), tuple(unknown), tuple(incomplete))
