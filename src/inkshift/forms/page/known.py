"""What forms are known by, and pages laid on it: on one form or the likeliest of several, one page or several beside
each other on a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from inkshift import jobs
from inkshift.arrays import Matrix, Pixels
from inkshift.errors import RegistrationError, UnknownFormError
from inkshift.forms.page.barcode import barcode_on
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.page.laid import LaidPage, blank_of, darkened
from inkshift.forms.page.which import beside, in_rows, likeliest, unknown_form
from inkshift.forms.registration.apart import shows_other
from inkshift.forms.registration.places import overlap, promise
from inkshift.forms.registration.register import in_mirror, lay_at, reference_of, register
from inkshift.forms.registration.registered import RegisteredPage, without
from inkshift.forms.registration.scan import Scan
from inkshift.forms.template import Template, load_template
from inkshift.reframe import to_gray

# A design of which a page shows this share of what it shows of the best one fits it alike.
_ALIKE = 0.93
# Pages on one picture, at most, and the share of the others' print that tells a page that is not read from no page.
MOST_ON_ONE, _PARTLY = 26, 0.3
# How many times wider, for its height, than the first form of a picture another one is at most, or the other way about:
# paper that bends, or a camera, does less.
_PROPORTION = 1.4
# Places one after another that are no page of the form, after which no more are looked for.
_MISSES = 2


class KnownForm:
    """A form by its template, and the pictures of the blank form that this names; all that is asked of them once is
    kept."""

    def __init__(self, file: str | Path) -> None:
        """file: the template. Raises TemplateError or InputError."""
        self.template = load_template(file)
        self.references = references(self.template, Path(file).parent)
        self._blanks: dict[int, RegisteredPage] = {}

    @property
    def digest(self) -> str:
        """Names what the template says and shows, wherever its files lie."""
        said = self.template.model_dump_json(exclude={"pages": {"__all__": {"reference"}}}).encode()
        pictures = [b"" if one is None else repr(one.shape).encode() + one.tobytes() for one in self.references]
        return jobs.digest(said, *pictures)

    def lay(self, image: Pixels, number: int = 1, count: int = 0, scan: Scan | None = None) -> list[LaidPage]:
        """The page on the design of the template that it proves; two ways up where only what is written can tell.

        number: of the page in its file, which tells designs apart that the page fits alike; not where the file's
        `count` of pages is none of whole forms, so that one is missing or too many. scan: see `register`. Raises
        RegistrationError.
        """
        specs = self.template.pages
        if scan is None and len(specs) > 1:
            scan = Scan(to_gray(image))
        laid: list[list[LaidPage]] = []
        failed: list[RegistrationError] = []
        likely = self.promises(scan) if scan else [0.0]
        for design in sorted(range(len(specs)), key=lambda k: -likely[k]):  # its own first: others end sooner then
            try:
                ways = register(image, specs[design], self.references[design], scan)
                laid.append([LaidPage(design, one, specs[design]) for one in ways])
            except RegistrationError as e:
                failed.append(e)
        if not laid:
            # A design on which the page lies badly says more than one of which it shows nothing.
            raise min(failed, key=lambda e: isinstance(e, UnknownFormError))
        laid.sort(key=lambda one: (-one[0].page.explained, one[0].design))
        best = laid[0][0].page
        alike = [
            one
            for one in laid
            if one[0].page.explained > _ALIKE * best.explained and overlap(one[0].page.outline, best.outline) > 0
        ]
        if len(alike) > 1:
            alike = self._not_others(alike)
        if len(alike) == 1:
            return alike[0]
        expected = (number - 1) % len(specs)
        whole = count % len(specs) == 0
        turn = [one for one in alike if number > 1 and whole and one[0].design == expected]
        if not turn:
            names = " and ".join(str(one[0].design + 1) for one in sorted(alike, key=lambda one: one[0].design))
            raise RegistrationError(
                f"the page fits pages {names} of the template alike"
                + ("" if whole else f", and the file's {count} pages are not whole forms of {len(specs)}")
                + "; give them lines or a reference picture that differ"
            )
        return [replace(one, by_number=True) for one in turn[0]]

    def _not_others(self, alike: list[list[LaidPage]]) -> list[list[LaidPage]]:
        """Of a page on several designs that it fits alike, those of which it shows no other's print; all where each
        does."""
        known = [reference_of(one[0].spec, self.references[one[0].design]) for one in alike if one[0].spec]
        pages = [one[0].page for one in alike]
        both = list(zip(alike, pages, known, strict=True))
        left = [
            one
            for one, page, design in both
            if not any(shows_other(page, design, over, other) for rival, over, other in both if rival is not one)
        ]
        return left or alike

    def lay_at(self, image: Pixels, matrix: Matrix, design: int) -> LaidPage:
        """A page that somebody laid by hand. matrix: 3x3, pixels of page `design` of the template to its own."""
        spec = self.template.pages[design]
        return LaidPage(design, lay_at(image, spec, matrix, self.references[design]), spec)

    def mirrored(self, page: RegisteredPage, design: int) -> list[LaidPage]:
        """A page that lies on a design, as it lies on it in a mirror, with its darkness; see `in_mirror`."""
        spec = self.template.pages[design]
        return [self.darkened(LaidPage(design, way, spec)) for way in in_mirror(page, spec, self.references[design])]

    def darkened(self, found: LaidPage) -> LaidPage:
        """A page with its darkness, and that of the blank form."""
        reference = self.references[found.design]
        if reference is not None and found.design not in self._blanks:
            self._blanks[found.design] = blank_of(self.template.pages[found.design], reference)
        return darkened(found, self._blanks.get(found.design))

    def promises(self, scan: Scan) -> list[float]:
        """For each design of the template how much a scan looks like it: see `promise`."""
        both = zip(self.template.pages, self.references, strict=True)
        return [promise(scan, reference_of(*one)) for one in both]

    def barcode_fits(self, image: Pixels) -> bool:
        """Whether the page has a barcode that names a form of this template."""
        pattern = self.template.identity.pattern
        return pattern is not None and bool(barcode_on(image, pattern))


LaidForm = tuple[KnownForm, list[LaidPage]]


def references(template: Template, folder: Path) -> list[Pixels | None]:
    """The reference picture of each page of a template, (H, W) uint8, where it names one."""
    return [
        to_gray(load_page(PageRef(str(folder / page.reference), 1))) if page.reference else None
        for page in template.pages
    ]


def lay_all(
    forms: Sequence[KnownForm], image: Pixels, number: int, count: int
) -> tuple[list[LaidForm], list[RegistrationError]]:
    """The pages that lie beside each other on a picture, from left to right and row by row, each with its form and the
    others made paper; and why what looks like others is not read. Raises RegistrationError where none is.

    number, count: see `KnownForm.lay`.
    """
    found: list[LaidForm] = []
    failed: list[RegistrationError] = []
    rest: Pixels | None = image
    misses = 0
    while rest is not None and misses < _MISSES and len(found) + len(failed) < MOST_ON_ONE:
        try:
            one = _recognise(forms, rest, number, count)
            outline = one[1][0].page.outline
            if found and not 1 / _PROPORTION < one[1][0].stretch / found[0][1][0].stretch < _PROPORTION:
                raise _out_of_proportion(one[1][0].page)
            found.append(one)
            misses = 0
        except RegistrationError as e:
            misses += 1
            outline = np.array(e.outline).reshape(-1, 2)
            least = _PARTLY * max((laid[0].page.explained for _, laid in found), default=0.0)
            if not found or not isinstance(e, UnknownFormError) or e.explained > least:
                failed.append(e)
        rest = beside(rest, outline)
    if rest is not None and misses < _MISSES:
        failed.append(RegistrationError(f"at most {MOST_ON_ONE} forms are read of one picture; cut it up"))
    if not found:
        raise failed[0]
    if len(found) == 1:
        return found, failed
    outlines = [laid[0].page.outline for _, laid in found]
    apart = [
        (form, [replace(one, page=without(one.page, [*outlines[:k], *outlines[k + 1 :]])) for one in laid])
        for k, (form, laid) in enumerate(found)
    ]
    return [apart[k] for k in in_rows(outlines)], failed


def _recognise(forms: Sequence[KnownForm], image: Pixels, number: int, count: int) -> LaidForm:
    """The page on the form that it proves. Raises RegistrationError where none is."""
    if len(forms) == 1:
        return forms[0], forms[0].lay(image, number, count)
    tried: list[LaidForm] = []
    nearest = UnknownFormError()
    scan = Scan(to_gray(image))
    for form in sorted(forms, key=lambda one: -max(one.promises(scan))):
        try:
            tried.append((form, form.lay(image, number, count, scan)))
        except RegistrationError as e:
            if e.explained > nearest.explained:
                nearest.outline, nearest.explained = e.outline, e.explained
    tried.sort(key=lambda one: forms.index(one[0]))
    if tried:  # what lies beside the best speaks for another page on the picture, not against this one
        best = max(tried, key=lambda one: one[1][0].page.quality)[1][0].page.outline
        tried = [one for one in tried if overlap(one[1][0].page.outline, best) > 0]
    likely = likeliest([laid[0].page.quality for _, laid in tried])
    if len(likely) > 1:  # what is printed does not tell them apart; a barcode may
        likely = [i for i in likely if tried[i][0].barcode_fits(image)] or likely
    if not likely:
        nearest.args = (unknown_form([form.template for form in forms], []),)
        raise nearest
    if len(likely) != 1:
        alike = [tried[i][0].template for i in likely]
        raise RegistrationError(unknown_form([form.template for form in forms], alike))
    return tried[likely[0]]


def _out_of_proportion(page: RegisteredPage) -> RegistrationError:
    """The error of a form that fits a part of a picture only as no paper is stretched beside the first one's."""
    error = RegistrationError("it would be wider or narrower, for its height, than the one beside it; scan it whole")
    error.outline, error.explained = [(float(x), float(y)) for x, y in page.outline], page.explained
    return error
