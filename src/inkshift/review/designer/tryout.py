"""A template tried on pages: each laid straight under it, with what is read in its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from inkshift.arrays import Pixels
from inkshift.errors import InkshiftError, RegistrationError, SettingError
from inkshift.forms.assemble import assemble
from inkshift.forms.out.html import doubts
from inkshift.forms.out.overlay import flattened
from inkshift.forms.out.sheet import png
from inkshift.forms.page.files import load_page, page_refs
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FieldReading, PageReading
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.forms.template import Box, PageSpec
from inkshift.review.web.pagepicture import jpeg

MOST_PAGES = 24
_LONGEST, _QUALITY = 1200, 75


@dataclass(frozen=True, slots=True)
class TriedField:
    """box: x, y, width, height on the template's page. crop: PNG. doubtful: a person should look at it."""

    reading: FieldReading
    box: Box
    crop: bytes | None
    doubtful: bool


@dataclass(frozen=True, slots=True)
class TriedPage:
    """name: of the file as its owner calls it. form: what the page says it is called. picture: JPEG, laid straight
    under the template; quality: 0 to 1; both only where there is no error.
    """

    name: str
    page: int
    form: str
    error: str
    picture: bytes = b""
    size: tuple[int, int] = (0, 0)
    quality: float = 0.0
    fields: tuple[TriedField, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """The rules that are broken on this page, each once."""
        return tuple(dict.fromkeys(rule for field in self.fields for rule in field.reading.rules_broken))


def try_on(reader: Reader, given: Sequence[tuple[str, Path]]) -> list[TriedPage]:
    """Read pages with a reader that has a template and keeps crops, file by file, at most 24.

    given: what each file is called, and where it is. A page that cannot be read says why. Raises SettingError for more.
    """
    refs = [ref for _, path in given for ref in page_refs(path)]
    if len(refs) > MOST_PAGES:
        raise SettingError(f"expected at most {MOST_PAGES} pages to try, found {len(refs)}; send fewer")
    names = {str(path): name for name, path in given}
    assert reader.template is not None
    read: list[tuple[PageReading, bytes]] = []
    for ref in refs:
        try:
            for page, laid in reader.read_laid(load_page(ref), ref.source, ref.page):
                spec = reader.template.pages[page.design]
                read.append((page, jpeg(straight(laid, spec, _LONGEST), _QUALITY) if laid else b""))
        except RegistrationError as e:
            read.append((PageReading(ref.source, ref.page, error=f"{ref.source} page {ref.page}: {e}"), b""))
        except InkshiftError as e:
            read.append((PageReading(ref.source, ref.page, error=str(e)), b""))
    tried, left = [], iter(read)
    for form in assemble((page for page, _ in read), reader.template):
        fields = {item.name: item for item in form.fields}
        for page, picture in islice(left, len(form.pages)):
            shown = names[page.source]
            if page.error:
                tried.append(TriedPage(shown, page.page, "", page.error.replace(page.source, shown)))
            else:
                spec = reader.template.pages[page.design]
                tried.append(_tried(spec, page, picture, form.name, shown, fields))
    return tried


def _tried(
    spec: PageSpec, page: PageReading, picture: bytes, form: str, shown: str, fields: dict[str, FieldReading]
) -> TriedPage:
    items = tuple(
        TriedField(found, one.box, None if found.crop is None else png(found.crop), bool(doubts(found)))
        for one in spec.fields
        if (found := fields.get(one.name))
    )
    return TriedPage(shown, page.page, page.identity and form, "", picture, spec.size, page.quality or 0.0, items)


def straight(laid: RegisteredPage, spec: PageSpec, longest: int) -> Pixels:
    """The page as the template draws it, its longer side `longest` pixels at most."""
    zoom = min(1.0, longest / max(spec.size))
    return flattened(laid.image, laid.matrix, spec.size, zoom)
