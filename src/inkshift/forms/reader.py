"""The pipeline: pages in, a Reading tree out."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import tee
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from PIL.Image import Image

from inkshift import jobs
from inkshift.arrays import Matrix, Pixels
from inkshift.cluster import run
from inkshift.errors import (
    BlankPageError,
    InkshiftError,
    InputError,
    ModelError,
    RegistrationError,
    SettingError,
    nearest,
)
from inkshift.files import file_digest
from inkshift.forms.assemble import alone, assemble
from inkshift.forms.cut import cutout
from inkshift.forms.cut import ink as inks
from inkshift.forms.field import as_published, fields, numbers, whole
from inkshift.forms.field.corrected import with_corrections
from inkshift.forms.field.decode import reading_classes
from inkshift.forms.field.tick import read_tick
from inkshift.forms.kinds import as_date
from inkshift.forms.page.barcode import barcode_on
from inkshift.forms.page.files import Files, PageRef, find_files, load_page
from inkshift.forms.page.known import KnownForm, lay_all
from inkshift.forms.page.laid import LaidPage, cut_out
from inkshift.forms.page.place import Box, on_page
from inkshift.forms.page.upright import is_mirrored, may_be_mirrored, plainly_up, stands
from inkshift.forms.page.which import (
    find_templates,
    is_bare_back,
    is_blank_page,
    why_unfit,
)
from inkshift.forms.reading import (
    FieldReading,
    FormReading,
    PageReading,
    page_from_json,
    page_to_json,
)
from inkshift.forms.registration.registered import RegisteredPage
from inkshift.forms.scans import all_refs, crashed, open_reader, read_away, read_scan, stamp
from inkshift.forms.settings import DIGITS, Method, ReadAs, SecondReader, Settings, checked_digits, models_of
from inkshift.forms.template import FieldSpec, Template
from inkshift.forms.trust import apply, load_policy, refuse_other
from inkshift.models.package import Model
from inkshift.models.runtime import classifier, softmax
from inkshift.pictures import as_pixels

Progress = Callable[[int, int], None]
Source = str | os.PathLike[str] | Pixels | Image

# Hex digits of a SHA-256 that stand for it in a signature.
SIGNED = 12

# From this share of a form's print on, a page that is not laid is a form that is hard to see, not a bare back.
_SEEN = 0.1
# Pixels of a picture that shows one number: 2,000 x 2,000, in which a number a tenth as high has 200; and its side.
NUMBER_PIXELS, NUMBER_SIDE = 4_000_000, 4_000


class Reader:
    """Reads forms. Give a template file, or `read_as="number"` or `"digit"` for pictures that show just that, or
    `"table"` for numbers in rows and columns, which become the fields r01c1, r01c2, ... row by row; a table of one
    `"column"` of numbers has the fields 1, 2, 3 from the top.

    >>> reader = Reader(template="examples/telegram/template.json")
    >>> for form in reader.read("examples/telegram/scan-1.jpg"):
    ...     print(form.name, form["total"].value, f"{form['total'].confidence:.2f}")
    T-0001 212 1.00

    model: name of a shipped model package or folder of another: a model of digits reads cells, and numbers digit
    by digit; a model of numbers reads numbers whole, and is heard too where `digits`, which reads cells and single
    digits, leaves a doubt. Without it, the two are `digits` and `numbers`. method: `as-published` reads as Pacchiotti
    et al. 2023 did. second_reader: reads numbers too, and the two are weighed against each other. policy: file that
    `inkshift calibrate` wrote; each field is then accepted or not. digits: fewest and most digits of a number read
    without a template, 1 to 20; a template says so field by field.

    template may be a folder or a list of files and folders, for forms of several kinds: each page is then read by the
    template that it proves, and `FormReading.template` names it. Raises TemplateError, ModelError, SettingError,
    InputError or MissingExtraError.
    """

    def __init__(
        self,
        template: str | Path | Sequence[str | Path] = "",
        *,
        read_as: ReadAs | None = None,
        model: str | Path = "",
        method: Method = "default",
        second_reader: SecondReader | None = None,
        policy: str | Path = "",
        crops: bool = False,
        digits: Sequence[int] = DIGITS,
    ) -> None:
        if bool(template) == (read_as is not None):
            raise SettingError(
                "give a template, or say what each picture shows (number, digit, table or column): one of the two"
            )
        for name, value, known in (
            ("read_as", read_as, ReadAs),
            ("method", method, Method),
            ("second_reader", second_reader, SecondReader),
        ):
            if value is not None and value not in get_args(known):
                raise SettingError(f"{name}: found {value!r}; {nearest(str(value), get_args(known))}")
        files = find_templates(template)
        fewest, most = checked_digits(digits, read_as)
        self.settings = Settings(
            files[0] if len(files) == 1 else "",
            read_as,
            str(model),
            method,
            second_reader,
            str(policy),
            crops,
            (fewest, most),
            tuple(files) if len(files) > 1 else (),
        )
        self.forms = tuple(KnownForm(file) for file in files)
        _need_names(self.templates)
        self.policy = load_policy(policy) if policy else None
        self.model, self.number_model = models_of(self.settings)
        self._classify = classifier(self.model)
        self._frame = self.model.reframing.of_ink()
        self._numbers = numbers.number_reader(self.number_model, second_reader) if self.number_model else None
        try:
            self._ordered = reading_classes(self.model.manifest.classes)
        except ModelError as e:
            raise ModelError(f"{self.model.folder}: {e}") from None
        self.seconds: dict[str, float] = {}
        if self.policy:
            refuse_other(self.policy, self.signature, policy)

    @property
    def template(self) -> Template | None:
        """The template that pages are read by, where it is one."""
        return self.forms[0].template if len(self.forms) == 1 else None

    @property
    def templates(self) -> tuple[Template, ...]:
        """The templates that pages are read by; none where `read_as` says what they show."""
        return tuple(form.template for form in self.forms)

    def read(
        self,
        pages: Source | Sequence[Source] | Files,
        *,
        workers: int = 1,
        journal: str | Path | None = None,
        progress: Progress | None = None,
        cluster: str = "",
    ) -> Generator[FormReading, None, None]:
        """Read files, and the pictures and PDFs in folders, form by form, in order.

        pages: one of them or several, or what `find_files` gives, for more than the memory should hold; a picture is
        (H, W) or (H, W, 3) RGB uint8, or one of Pillow; the first is named `picture 1`. A page that cannot be read
        costs only itself: its form says why in `errors`. workers: processes.
        journal: file in which finished pages are kept, so that a reading that was stopped goes on.
        progress: called with pages done and pages in all; files have their pages counted shortly before they are read,
        and those to come are taken to have as many as those before. cluster: the address of a Ray cluster whose workers
        read, `local` for one on this machine; 0 workers are one a core of it.
        """
        if isinstance(pages, Files):
            return self._read_files(pages, workers, journal, progress, cluster)
        several = [pages] if isinstance(pages, str | os.PathLike | np.ndarray | Image) else list(pages)
        pictures = [page for page in several if isinstance(page, np.ndarray | Image)]
        if pictures:
            if len(pictures) < len(several) or journal:
                raise SettingError("read: expected files, or pictures without a journal, found both; read them apart")
            return self._signed(self._each_picture(pictures, progress))
        return self._read_files(find_files(map(str, several)), workers, journal, progress, cluster)

    def _each_picture(self, pictures: Sequence[Pixels | Image], progress: Progress | None) -> Iterator[PageReading]:
        for number, picture in enumerate(pictures, 1):
            yield from self.read_pages(as_pixels(picture), f"picture {number}")
            if progress:
                progress(number, len(pictures))

    def _read_files(
        self,
        files: Files,
        workers: int,
        journal: str | Path | None,
        progress: Progress | None,
        cluster: str,
    ) -> Generator[FormReading, None, None]:
        refs, ahead = tee(all_refs(files))  # counted as they are handed out, not all before the first is read
        keep = jobs.Journal(journal, self.fingerprint()) if journal else None
        items = ((f"{ref.source}#{ref.page}#{stamp(ref.source)}", ref) for ref, error in ahead if not error)
        how: dict[str, Any] = {"workers": workers, "journal": keep, "on_crash": crashed, "address": cluster}
        try:
            if workers == 1 and not cluster:
                cv2.setNumThreads(1)
                results = run(self.read_scan, items, **how)
            else:
                work = read_away if cluster else read_scan
                made = partial(Reader, **replace(self.settings, policy="").arguments())
                results = run(work, items, setup=open_reader, setup_args=(made,), **how)
            with closing(results):
                yield from self._signed(self._pages(refs, results, len(files), progress))
        except BaseException:
            if keep:
                with suppress(InkshiftError):  # of a full disk, what failed first is told
                    keep.close()
            raise
        if keep:
            keep.close()

    def read_scan(self, ref: PageRef) -> str:
        """The pages of one scan in lines of JSON, as workers answer and journals keep them."""
        try:
            image = load_page(ref)
        except InputError as e:
            return page_to_json(PageReading(ref.source, ref.page, error=str(e)))
        try:
            pages = self.read_pages(image, ref.source, ref.page, ref.count)
            return "\n".join(page_to_json(self.alone(page)) for page in pages)
        except Exception as e:  # a fault of ours on one page must not cost the others
            said = f"{type(e).__name__}: {' '.join(str(e).split())}"
            failed = f"{ref.source} page {ref.page}: reading failed ({said}); check its template, or report this"
            return page_to_json(PageReading(ref.source, ref.page, error=failed))

    def _signed(self, pages: Iterable[PageReading]) -> Generator[FormReading, None, None]:
        """The forms of the pages, as the policy decides of them."""
        together, signature = self.settings.method != "as-published", self.signature
        for form in assemble(pages, self.templates, together=together):
            signed = replace(form, reader=signature)
            yield apply(self.policy, signed) if self.policy else signed

    def fingerprint(self) -> str:
        """Names what a page's reading depends on besides the page: settings, template and model."""
        known = [form.digest for form in self.forms]
        digests = [model.digest for model in (self.model, self.number_model) if model]
        settings = replace(self.settings, policy="")
        return jobs.digest(version("inkshift"), repr(settings), *known, *digests)

    def __repr__(self) -> str:
        of = ", ".join(repr(template.name) for template in self.templates) or f"each picture as {self.settings.read_as}"
        return f"<Reader of {of}: {self.signature}>"

    @property
    def signature(self) -> str:
        """Who reads: version, method, models by the beginnings of their SHA-256, and templates by that of what they
        say; parts with a semicolon between. What a reader with another signature reads may be right more seldom."""
        fewest, most = self.settings.digits
        what = f"{self.settings.read_as} {fewest}-{most}"
        if self.templates:
            what = f"template {jobs.digest(*sorted(form.digest for form in self.forms))[:SIGNED]}"
        parts = [f"inkshift {version('inkshift')}", what, self.settings.method]
        models = [model for model in (self.model, self.number_model) if model]
        parts += [f"{model.manifest.name} {model.digest[:SIGNED]}" for model in models]
        if self.settings.second_reader:
            from inkshift.models.pp_ocr import model_file

            parts.append(f"{self.settings.second_reader} {file_digest(model_file())[:SIGNED]}")
        return "; ".join(parts)

    def _pages(
        self,
        refs: Iterable[tuple[PageRef, str]],
        results: Iterator[tuple[str, str]],
        files: int,
        progress: Progress | None,
    ) -> Iterator[PageReading]:
        begun = pages = 0
        for done, (ref, error) in enumerate(refs, 1):
            lines = [] if error else next(results)[1].splitlines()
            yield from map(page_from_json, lines) if lines else [PageReading(ref.source, ref.page, error=error)]
            if ref.page == 1:
                begun, pages = begun + 1, pages + max(ref.count, 1)
            if progress:
                progress(done, files * pages // begun)

    def alone(self, page: PageReading) -> PageReading:
        """See `assemble.alone`."""
        if self.settings.method == "as-published":
            return page
        several = self.templates
        named = several if len(several) == 1 else [one for one in several if one.name == page.template]
        return alone(page, named[0] if named else None)

    def read_page(self, image: Pixels, source: str = "", page: int = 1) -> PageReading:
        """The first of the forms that `read_pages` finds on a picture."""
        return self.read_pages(image, source, page)[0]

    def read_pages(self, image: Pixels, source: str = "", page: int = 1, count: int = 0) -> list[PageReading]:
        """Read a picture, (H, W) or (H, W, 3) RGB uint8, of one page, or of several beside each other: from left to
        right, row by row. A page that does not register comes back with its error, or as blank where there is nothing
        on it. page, count: its number in its file, from 1, and how many pages that has, 0 if not known."""
        if self.settings.read_as in ("table", "column"):
            return [self._read_table(image, source, page)]
        try:
            return [reading for reading, _ in self.read_laid(image, source, page, count)]
        except BlankPageError:
            return [PageReading(source, page, blank=True)]
        except RegistrationError as e:
            return [PageReading(source, page, error=f"{source} page {page}: {e}")]

    def read_laid(
        self, image: Pixels, source: str = "", page: int = 1, count: int = 0
    ) -> list[tuple[PageReading, RegisteredPage | None]]:
        """Read a picture as `read_pages` does, and how each page lies; None for one that is not read beside others.

        Raises RegistrationError where none registers.
        """
        start = time.process_time()
        if unfit := why_unfit(image, self.templates):
            raise RegistrationError(unfit)
        found, failed = self._lay(image, page, count)
        self._spent("register", start)
        read: list[tuple[PageReading, RegisteredPage | None]] = []
        copies: Counter[tuple[str, int]] = Counter()
        for form, laid in found:
            try:
                one, lies = self._read_laid(form, laid, source, page)
                self._refuse_mirrored(form, one, lies)
            except RegistrationError as e:
                failed.append(e)
                continue
            copies[one.template, one.design] += 1
            read.append((replace(one, copy=copies[one.template, one.design]), lies))
        if not read:
            raise failed[0]
        for n, error in enumerate(failed, max(copies.values()) + 1):
            why = f"{source} page {page}: of the forms on this picture one was not read: {error}"
            read.append((PageReading(source, page, error=why, copy=n), None))
        return read

    def read_at(self, image: Pixels, matrix: Matrix, design: int = 0, source: str = "", page: int = 1) -> PageReading:
        """Read one page that somebody laid by hand. matrix: 3x3, pixels of page `design` of the template to its own.

        Raises SettingError for a reader without a template.
        """
        if len(self.forms) != 1:
            raise SettingError("a page is laid by hand on a template; give one")
        form = self.forms[0]
        return self._read_laid(form, [form.lay_at(image, matrix, design)], source, page)[0]

    def _lay(
        self, image: Pixels, number: int, count: int
    ) -> tuple[Sequence[tuple[KnownForm | None, list[LaidPage]]], list[RegistrationError]]:
        """The pages on a picture, each on its form, see `lay_all`; without a template the picture as it is. Raises
        BlankPageError or RegistrationError where there is none."""
        if not self.forms:
            return [(None, [LaidPage(0, RegisteredPage(image, np.eye(3), 1.0, 0), None)])], []
        if is_blank_page(image):
            raise BlankPageError("the page is blank: nothing is printed or written on it")
        try:
            return lay_all(self.forms, image, number, count)
        except RegistrationError as e:
            if e.explained < _SEEN and is_bare_back(image):
                raise BlankPageError("the page is blank: nothing but holes or a page number is on it") from e
            raise

    def _read_laid(
        self, form: KnownForm | None, laid: list[LaidPage], source: str, page: int
    ) -> tuple[PageReading, RegisteredPage]:
        """Read a page that lies on its form; where its way up is open, the way that the numbers in it tell."""
        start = time.process_time()
        if form:
            laid = [form.darkened(one) for one in laid]
        self._spent("prepare", start)
        glance = partial(self._fields, glance=True)
        laid = plainly_up(laid, glance)
        tried = [(found, self._fields(found)) for found in laid]
        found, readings = tried[stands(laid, [readings for _, readings in tried], glance)]
        identity = self._identity(form, found, readings)
        named = tuple(replace(reading, source=source, page=page) for reading in readings)
        quality = found.page.quality if found.spec else None
        template = form.template.name if form else ""
        turn = found.page.turn
        reading = PageReading(source, page, found.design, quality, turn, identity, named, template=template)
        return replace(reading, by_number=found.by_number), found.page

    def _refuse_mirrored(self, form: KnownForm | None, reading: PageReading, page: RegisteredPage) -> None:
        """Raises RegistrationError where a page's numbers are surer in a mirror: lines and marks look the same in one,
        and digits often like others."""
        if form is None or not may_be_mirrored(reading.fields):
            return
        for way in form.mirrored(page, reading.design):
            if is_mirrored(reading.fields, self._fields(way, glance=True)):
                raise RegistrationError(
                    "the page is mirrored: its numbers read right in a mirror; turn the picture over"
                )

    def _fields(self, found: LaidPage, glance: bool = False) -> list[FieldReading]:
        """All fields of a page that lies on its template. glance: see `_readings`."""
        start = time.process_time()
        work, boxes = self._jobs(found, glance)
        self._spent("prepare", start)
        page = found.page
        specs = found.spec.fields if found.spec else [None] * len(work)
        read = zip(self._readings(work, glance), boxes, specs, strict=True)
        placed = [_of_kind(replace(one, box=box, whose=page.whose(one.name)), spec) for one, box, spec in read]
        return [fields.less_sure(one, page.fields.get(one.name, 1.0)) for one in placed]

    def read_field(self, job: cutout.FieldJob) -> FieldReading:
        """Read one field again from the crop that was kept of it (see `crops.harvest.job_of`)."""
        return self._readings([job])[0]

    def _readings(self, work: Sequence[cutout.FieldJob], glance: bool = False) -> list[FieldReading]:
        """What is read of each, the pictures of all classified at once. glance: whole numbers by one view alone."""
        start = time.process_time()
        level = inks.ink_level([cutout.inner(job) for job in work]) if len(work) > 1 else None
        self._spent("prepare", start)
        recogniser = self._numbers
        readings: dict[str, FieldReading] = {}
        if recogniser is not None:
            read_whole = partial(whole.read_numbers, recogniser, level=level, spent=self._spent, glance=glance)
            own = [job for job in work if job.kind == "number"]
            found = read_whole(own) if glance else with_corrections(own, read_whole(own), level, read_whole)
            readings = {job.name: reading for job, reading in zip(own, found, strict=True)}
        readings |= {job.name: fields.ink_or_none(job) for job in work if job.kind == "text"}
        readings |= {job.name: read_tick(job, level) for job in work if job.kind == "tick"}
        pieces = [job for job in work if job.name not in readings]
        readings |= {job.name: reading for job, reading in zip(pieces, self._by_digits(pieces, level), strict=True)}
        if recogniser is not None:
            cells = [job for job in pieces if job.kind in ("cells", "digit")]
            heard = whole.hear_cells(recogniser, cells, [readings[job.name] for job in cells], self._spent, glance)
            readings |= {reading.name: reading for reading in heard}
        readings |= {
            job.name: fields.as_amount(job, readings[job.name], level) for job in pieces if job.places or job.signed
        }
        return [replace(readings[job.name], crop=job.crop if self.settings.crops else None) for job in work]

    def _read_table(self, image: Pixels, source: str, page: int) -> PageReading:
        """The cells of a table, row by row; headers and what is printed beside the rows are left out."""
        from inkshift.forms.table.judge import WRITTEN, read_cells
        from inkshift.forms.table.tables import find_table

        start = time.process_time()
        table = find_table(image)
        self._spent("find", start)
        cells = read_cells(table, self.settings.digits, self._readings)
        one = self.settings.read_as == "column"
        columns = {cell.column for cell, _ in cells if cell.kind in WRITTEN}
        if one and len(columns) > 1:
            several = f"{len(columns)} columns of numbers were found, --as column expects one; read it --as table"
            return PageReading(source, page, error=f"{source} page {page}: {several}")
        crop = self.settings.crops
        named = (
            replace(
                reading,
                name=str(cell.row) if one else reading.name,
                crop=cell.crop if crop else None,
                source=source,
                page=page,
            )
            for cell, reading in cells
            if not one or cell.column in columns
        )
        return PageReading(source, page, fields=tuple(named))

    def _by_digits(self, work: Sequence[cutout.FieldJob], level: float | None) -> list[FieldReading]:
        """Fields read digit by digit, the pictures of all classified at once."""
        start = time.process_time()
        constants = self.model.manifest.calibration
        if self.settings.method == "as-published":
            prepared = [as_published.prepare(job, self.model.reframing) for job in work]
        else:
            prepared = [fields.prepare(job, self._frame, constants, level) for job in work]
        start = self._spent("prepare", start)
        pictures = [picture for item in prepared for picture in item.pictures]
        logits = self._classify(np.stack(pictures) if pictures else np.zeros((0, 28, 28), np.uint8))
        probabilities = self._ordered(softmax(logits))
        start = self._spent("classify", start)
        ends = np.cumsum([len(item.pictures) for item in prepared])
        parts = np.split(probabilities, ends[:-1]) if prepared else []
        readings = [item.finish(part) for item, part in zip(prepared, parts, strict=True)]
        self._spent("decode", start)
        return readings

    def _jobs(self, found: LaidPage, glance: bool = False) -> tuple[list[cutout.FieldJob], list[Box]]:
        """What is to be read, and where on the page each of it is. glance: strokes over several fields are not."""
        if found.spec is not None:
            return cut_out(found, strokes=not glance), [on_page(found.page, s.box) for s in found.spec.fields]
        image = found.page.image
        kind: cutout.Kind = "digit" if self.settings.read_as == "digit" else "number"
        return [cutout.as_job(_small(image), kind, kind, self.settings.digits)], [
            (0, 0, image.shape[1], image.shape[0])
        ]

    def _identity(self, form: KnownForm | None, found: LaidPage, readings: list[FieldReading]) -> str:
        """What the page says its form is; empty where it does not say, or its file does."""
        if form is None or form.template.identity.by == "file":
            return ""
        rule = form.template.identity
        if rule.by == "field":
            return next((r.value for r in readings if r.name == rule.field), "")
        start = time.process_time()
        text = barcode_on(found.page.image, rule.pattern)
        self._spent("barcode", start)
        return text

    def _spent(self, step: str, start: float) -> float:
        now = time.process_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - start
        return now


def read(
    pages: Source | Sequence[Source],
    template: str | Path | Sequence[str | Path] = "",
    *,
    read_as: ReadAs | None = None,
) -> list[FormReading]:
    """Read files, folders or pictures with the default model; see `Reader` for more.

    >>> form, = read("examples/telegram/scan-1.jpg", "examples/telegram/template.json")
    >>> form["total"].value
    '212'
    """
    return list(Reader(template, read_as=read_as).read(pages))


def _of_kind(reading: FieldReading, spec: FieldSpec | None) -> FieldReading:
    if spec is None:
        return reading
    return replace(as_date(reading, spec.order) if spec.order else reading, kind=spec.kind)


def _small(image: Pixels) -> Pixels:
    """The picture of one number, shrunk where it has more pixels than one a tenth as high needs to be read."""
    height, width = image.shape[:2]
    scale = min(math.sqrt(NUMBER_PIXELS / (height * width)), NUMBER_SIDE / max(height, width))
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _need_names(templates: Sequence[Template]) -> None:
    """Readings name their template, so two must not be called alike."""
    names = [template.name for template in templates]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(f"two of the templates are called {doubled[0]!r}; give one of them another name")


__all__ = ["Method", "Model", "ReadAs", "Reader", "read"]
