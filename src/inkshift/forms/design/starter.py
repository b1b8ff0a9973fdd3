"""A first template from pages of a form: what is printed on it, what to register on, and fields to correct."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inkshift.arrays import Gray
from inkshift.errors import InputError, RegistrationError
from inkshift.forms.design.printed import FormPrint, blanked, learn_print, level
from inkshift.forms.design.propose import propose, straighten, table_fields
from inkshift.forms.page.files import PageRef, find_files, page_refs
from inkshift.forms.registration.register import register
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.forms.template import Box, FieldSpec, PageSpec, Template
from inkshift.reframe import to_gray

MOST_PAGES = 24
NOTES = (
    "These notes are for you; delete them when you like. Sizes and places are pixels of the reference picture.",
    "Of each field: name; box [x, y, width, height]; cells, where walls between them are printed; digits [fewest, "
    "most] of a free box; max, its largest value; frame false, where the box is not printed; kind, if it is no whole "
    "number: decimal, tick, text or date.",
    'Beside pages say what must add up, such as "rules": ["f01..f12 = f13"]: it is used in reading, and checked.',
    "And what a form is called, if not after its file: "
    '"identity": {"by": "barcode"} or {"by": "field", "field": "f01"}.',
    "Then check it: inkshift template check; see it on a page: inkshift template try; what each key means: inkshift "
    "template schema.",
)
"""Pages that a template is learnt from, at most: more show no more of the print."""

# Less of the page is print on no form: an empty sheet has specks.
_LEAST_PRINT = 0.0005


@dataclass(frozen=True, slots=True)
class StarterTemplate:
    """template: names `reference` as its picture. picture: (H, W) uint8. left_out: which of the pages do not fit."""

    template: Template
    picture: Gray
    used: tuple[int, ...]
    left_out: tuple[int, ...]


def start(pages: Sequence[Gray], name: str, reference: str) -> StarterTemplate:
    """A template from pages of a form as `as_reference` gives them, in the pixels of the clearest of them.

    Of several pages, filled in or not, what they have in common is kept as the reference picture; of one page all but
    what lies in the fields that are proposed. `reference` is what the picture is called. Raises RegistrationError where
    nothing is printed.
    """
    printed = learn_print(pages)
    picture = np.asarray(straighten(printed.picture), np.uint8)
    if float((picture < 160).mean()) < _LEAST_PRINT:
        raise RegistrationError("nothing printed was found; give a page of the form, or three or more filled ones")
    found = propose(picture)
    fields = found.fields
    if not found.marks and len(table := table_fields(picture)) > len(fields) and _has(table, fields):
        fields = table
    if len(printed.used) == 1:
        picture = blanked(picture, [(f.box, f.cells) for f in fields])
    h, w = picture.shape
    # With fewer lines each way a page cannot be laid, and fewer are little to go by.
    plumb = [line for line in found.lines if abs(line[0] - line[2]) < abs(line[1] - line[3])]
    lines = found.lines if min(len(plumb), len(found.lines) - len(plumb)) >= 2 else ()
    example = FieldSpec(
        name="example",
        box=(round(0.4 * w), round(0.48 * h), max(4, round(0.2 * w)), max(4, round(0.04 * h))),
        digits=(1, 3),
        max=999,
        frame=False,
    )
    fields = fields or (example,)
    page = PageSpec(size=(w, h), marks=found.marks, lines=lines, reference=reference, fields=fields)
    return StarterTemplate(Template(name=name, notes=NOTES, pages=(page,)), picture, printed.used, printed.left_out)


def learn_reference(pages: Sequence[Gray], spec: PageSpec) -> FormPrint:
    """The reference picture of a template's page from pages that lie on it, as `flattened` gives them.

    What several pages have in common; of one page, all but what lies in the template's fields.
    """
    printed = learn_print(pages)
    if len(printed.used) > 1:
        return printed
    return replace(printed, picture=blanked(printed.picture, [(f.box, f.cells) for f in spec.fields]))


def flattened(page: RegisteredPage, spec: PageSpec) -> Gray:
    """A page as its template draws it, (H, W) uint8, its paper 255."""
    flat = cv2.warpPerspective(
        to_gray(page.image),
        page.matrix,
        spec.size,
        flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(page.paper,),
    )
    return level(np.asarray(flat, np.uint8))


def register_on_any(
    image: npt.NDArray[np.uint8], template: Template, pictures: Sequence[Gray | None]
) -> tuple[int, RegisteredPage]:
    """The page of a template, from 0, that a picture fits best, and how it lies on it.

    pictures: each page's reference, if it has one. Raises RegistrationError where it fits none.
    """
    found: list[tuple[int, RegisteredPage]] = []
    failed: RegistrationError | None = None
    for design, (spec, picture) in enumerate(zip(template.pages, pictures, strict=True)):
        try:
            found.append((design, register(image, spec, picture)[0]))
        except RegistrationError as e:
            failed = failed or e
    if failed and not found:
        raise failed
    return max(found, key=lambda one: one[1].quality)


def some_pages(paths: Sequence[str | Path]) -> tuple[list[PageRef], int, list[str]]:
    """The pages of files and folders, at most 24 spread evenly over them; how many there are; what cannot be opened."""
    refs: list[PageRef] = []
    wrong: list[str] = []
    for file in find_files(paths):
        try:
            refs += page_refs(file)
        except InputError as e:
            wrong.append(str(e))
    if len(refs) <= MOST_PAGES:
        return refs, len(refs), wrong
    return [refs[round(i)] for i in np.linspace(0, len(refs) - 1, MOST_PAGES)], len(refs), wrong


def with_reference(text: str, page: int, picture: str) -> str:
    """A template's JSON in which its page, from 0, names a reference picture; the rest stays as it is said."""
    data = json.loads(text)
    data["pages"][page]["reference"] = picture
    return _compact(data)


def as_json(template: Template) -> str:
    """The template as a file to edit: a line for each note, mark, line and field, defaults left out."""
    said = {"name": template.name} | ({"notes": list(template.notes)} if template.notes else {})
    return _compact(said | template.model_dump(mode="json", exclude_defaults=True))


def _compact(data: Any) -> str:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return re.sub(r"\[[^][{}]*\]|\{[^{}]*\}", lambda found: _on_one_line(found[0]), text) + "\n"


def _on_one_line(text: str) -> str:
    return " ".join(text.split()).replace("[ ", "[").replace(" ]", "]")


def schema_json() -> str:
    """The JSON schema of template files."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Template.model_json_schema()
    return json.dumps(schema, indent=2) + "\n"


def _has(table: Sequence[FieldSpec], boxes: Sequence[FieldSpec]) -> bool:
    """Whether half of some printed boxes or more are cells of a table; else it is made up of what lies between them."""
    there = sum(any(_shared(box.box, cell.box) > 0.5 for cell in table) for box in boxes)
    return 2 * there >= len(boxes)


def _shared(one: Box, other: Box) -> float:
    """The area that two boxes share, as a share of what they cover together."""
    across, down = (min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    both = max(across, 0.0) * max(down, 0.0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)
