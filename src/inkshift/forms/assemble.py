"""Pages to forms: which pages belong together, what each form is called, and which forms are amiss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

from inkshift.forms.joint.form import decode_form
from inkshift.forms.reading import FieldReading, FormReading, PageNote, PageReading
from inkshift.forms.rules import mark_rules
from inkshift.forms.template import Template
from inkshift.scratch import Names


def assemble(
    pages: Iterable[PageReading], templates: Template | Sequence[Template] | None, *, together: bool = True
) -> Iterator[FormReading]:
    """Forms from pages, in order. templates: those that the pages name, or the one of all. together: whether a form's
    fields are decoded together under its rules.

    A form of several pages is a run of pages of one template, each a later page of it than the one before, of one
    file that name no other form, or of several files that name the same. A page between them that was not
    read goes to the form before it, and so does any blank page after it in its file. Where one picture shows a design
    more than once, only copies of the same number go together. A form is called what its pages say, else its file's
    name without ending, with `-p2` where it begins on the file's second page, and `-b` where it is the second there.
    """
    several = (templates,) if isinstance(templates, Template) else tuple(templates or ())
    by_name = {template.name: template for template in several}
    only = several[0] if len(several) == 1 else None

    def template_of(held: list[PageReading]) -> Template | None:
        return only or next((by_name[page.template] for page in held if page.template), None)

    held: list[PageReading] = []
    for page in _in_turn(pages):
        if held and not _continues(held, page, template_of(held)):
            yield _form(held, template_of(held), together)
            held = []
        held.append(page)
    if held:
        yield _form(held, template_of(held), together)


def _in_turn(pages: Iterable[PageReading]) -> Iterator[PageReading]:
    """The pages, those not read that are known by their number alone and do not follow the page that comes before them
    in the form: where backs lie among the pages, or one is missing, the number tells nothing."""
    before: PageReading | None = None
    for page in pages:
        follows = (
            before is not None
            and not (before.error or before.blank)
            and (before.source, before.page + 1) == (page.source, page.page)
            and (before.template, before.design + 1) == (page.template, page.design)
        )
        if page.by_number and not follows:
            why = (
                f"{page.source} page {page.page}: the page fits several pages of the template alike, and does not "
                "follow the one before it in this file; leave out backs, or give the template pictures that differ"
            )
            page = PageReading(page.source, page.page, error=why, copy=page.copy)
        before = page
        yield page


def alone(page: PageReading, template: Template | None) -> PageReading:
    """A page that is all of its form, its fields decoded together under its rules as `assemble` would: done where the
    page is read, this costs the one process nothing that puts the forms of many together."""
    if template is None or not template.rules or len(template.pages) > 1 or page.error or page.blank:
        return page
    form = decode_form(FormReading("", page.fields), template.parsed_rules, template.fields)
    return replace(page, fields=form.fields, together=True)


def _continues(held: list[PageReading], page: PageReading, template: Template | None) -> bool:
    same_file = page.source == held[-1].source
    if page.blank:
        return same_file
    kept = [p for p in held if not p.blank]
    if len(kept) >= (len(template.pages) if template else 1) or not kept:
        return False
    known = next((p.identity for p in kept if p.identity), "")
    if not same_file and not (known and page.identity == known):
        return False
    if page.error:
        return True
    if page.copy != kept[-1].copy and not (known and page.identity == known):
        return False
    later = all(page.design > p.design and page.template == p.template for p in kept if not p.error)
    return later and (not known or page.identity in ("", known))


def _form(held: list[PageReading], template: Template | None, together: bool) -> FormReading:
    first = next((p for p in held if not p.blank), held[0])
    stem = Path(first.source).stem + (f"-p{first.page}" if first.page > 1 else "")
    stem += f"-{ascii_lowercase[first.copy - 1]}" if first.copy > 1 else ""
    name = next((p.identity for p in held if p.identity), stem)
    fields: list[FieldReading] = [item for page in held for item in page.fields]
    notes = tuple(PageNote(p.source, p.page, p.quality, p.error, p.turn, p.blank) for p in held)
    read = any(not (p.error or p.blank) for p in held)
    form = FormReading(name, tuple(fields), notes, template.name if template and read else "")
    if template is None:
        return form
    if template.rules and together and not any(page.together for page in held):
        form = decode_form(form, template.parsed_rules, template.fields)
    return mark_rules(form, template.checks)


@dataclass(frozen=True, slots=True)
class Roll:
    """The forms of a reading against those expected. missing and unknown are empty where none were expected.

    incomplete: forms of which fewer pages were read than their template has.
    """

    forms: int
    duplicate: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    incomplete: tuple[str, ...]


class RollEntry(NamedTuple):
    """A form as it is called up: its name and template, how many of its pages were read, and how many it has when it is
    whole."""

    name: str
    pages: int
    template: str = ""
    whole: int = 1


class RollCall:
    """Forms that are counted as they come, and their names compared with those expected; in memory are the names of
    what is amiss."""

    def __init__(self, expected: Collection[str] = ()) -> None:
        self.by_template: Counter[str] = Counter()
        self._expected, self._missing = frozenset(expected), set(expected)
        self._seen = Names()
        self._duplicate, self._unknown = set[str](), set[str]()
        self._incomplete: list[str] = []

    def add(self, form: RollEntry) -> None:
        if 0 < form.pages < form.whole:
            self._incomplete.append(form.name)
        if not form.pages:
            return
        self.by_template[form.template] += 1
        if not self._seen.put(f"{form.template}\0{form.name}"):
            self._duplicate.add(form.name)
        self._missing.discard(form.name)
        if self._expected and form.name not in self._expected:
            self._unknown.add(form.name)

    def roll(self) -> Roll:
        duplicate, missing, unknown = (tuple(sorted(some)) for some in (self._duplicate, self._missing, self._unknown))
        return Roll(self.by_template.total(), duplicate, missing, unknown, tuple(self._incomplete))
