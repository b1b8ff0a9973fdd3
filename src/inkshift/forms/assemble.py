"""Pages to forms: which pages belong together, what each form is called, and which forms are amiss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from inkshift.forms.reading import FieldReading, FormReading, PageNote, PageReading
from inkshift.forms.rules import mark_rules
from inkshift.forms.template import Template


def assemble(pages: Iterable[PageReading], template: Template | None) -> Iterator[FormReading]:
    """Forms from pages, in order.

    A form of several pages is a run of pages of one file, each a later page of the template than the one
    before, that name no other form. It is called what its pages say, else its file's name without ending,
    with `-p2` where it begins on the file's second page.
    """
    held: list[PageReading] = []
    for page in pages:
        if held and not _continues(held, page):
            yield _form(held, template)
            held = []
        held.append(page)
    if held:
        yield _form(held, template)


def _continues(held: list[PageReading], page: PageReading) -> bool:
    last = held[-1]
    if page.source != last.source or page.error or last.error or page.design <= last.design:
        return False
    known = next((p.identity for p in held if p.identity), "")
    return not (page.identity and known and page.identity != known)


def _form(held: list[PageReading], template: Template | None) -> FormReading:
    first = held[0]
    stem = Path(first.source).stem + (f"-p{first.page}" if first.page > 1 else "")
    name = next((p.identity for p in held if p.identity), stem)
    fields: list[FieldReading] = [item for page in held for item in page.fields]
    notes = tuple(PageNote(p.source, p.page, p.quality, p.error) for p in held)
    form = FormReading(name, tuple(fields), notes)
    return mark_rules(form, template.rules) if template and template.rules else form


@dataclass(frozen=True, slots=True)
class Roll:
    """The forms of a reading against those expected. missing and unknown are empty where none were expected."""

    forms: int
    unread_pages: int
    duplicate: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def call_roll(forms: Iterable[tuple[str, int]], expected: Collection[str] = ()) -> Roll:
    """Count forms, given as name and number of unread pages, and compare their names with those expected."""
    seen: Counter[str] = Counter()
    unread = 0
    for name, errors in forms:
        unread += errors
        if not errors:
            seen[name] += 1
    missing = sorted(set(expected) - set(seen))
    unknown = sorted(set(seen) - set(expected)) if expected else []
    duplicate = sorted(name for name, n in seen.items() if n > 1)
    return Roll(sum(seen.values()), unread, tuple(duplicate), tuple(missing), tuple(unknown))
