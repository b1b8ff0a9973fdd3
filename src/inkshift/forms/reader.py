"""The pipeline: pages in, a Reading tree out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

from inkshift import jobs
from inkshift.errors import InkshiftError, InputError, ModelError, RegistrationError, SettingError
from inkshift.forms import as_published, fields, numbers
from inkshift.forms import ink as inks
from inkshift.forms.assemble import assemble
from inkshift.forms.columns import Row, find_rows, row_crop
from inkshift.forms.decode import reading_classes
from inkshift.forms.pages import PageRef, find_files, load_page, page_refs
from inkshift.forms.place import Box, on_page
from inkshift.forms.reading import FieldReading, FormReading, PageReading, page_from_json, page_to_json
from inkshift.forms.register import Registered, cut, register
from inkshift.forms.template import FieldSpec, PageSpec, Template, load_template
from inkshift.forms.trust import apply, load_policy
from inkshift.models.package import AS_PUBLISHED, DEFAULT_MODEL, NUMBER_MODEL, Model, load_model
from inkshift.models.runtime import classifier, softmax
from inkshift.reframe import to_gray

Pixels = npt.NDArray[np.uint8]
ReadAs = Literal["number", "digit", "column"]
Method = Literal["default", "as-published"]
SecondReader = Literal["pp-ocrv6"]
Progress = Callable[[int, int], None]

# Template pixels around a field that are cut with it, as a share of its height: digits leave their boxes.
MARGIN = 0.18


@dataclass(frozen=True, slots=True)
class Settings:
    """What a reader reads with. template: a file; read_as: instead of one, what each picture shows.

    model: a shipped package's name or a package's folder; empty for the method's own. second_reader: another reader
    of whole numbers, reused as it is. policy: the file of an acceptance policy. crops: keep each field's picture in
    its reading.
    """

    template: str = ""
    read_as: ReadAs | None = None
    model: str = ""
    method: Method = "default"
    second_reader: SecondReader | None = None
    policy: str = ""
    crops: bool = False


class Reader:
    """Reads forms. Give a template file, or `read_as="number"` or `"digit"` for pictures that show just that, or
    `"column"` for numbers below each other, which become the fields 1, 2, 3 from the top.

    >>> reader = Reader(template="examples/telegram/template.json")
    >>> for form in reader.read(["scans/"]):
    ...     print(form.name, form["total"].value, form["total"].confidence)

    model: name of a shipped model package or folder of another: a model of digits reads cells, and numbers digit
    by digit; a model of numbers reads numbers whole, and cells are left to `digits`. Without it, cells are read by
    `digits` and numbers by `numbers`. method: `as-published` reads as Pacchiotti et al. 2023 did. second_reader:
    reads numbers too, and the two are weighed against each other. policy: file that `inkshift calibrate` wrote; each
    field is then accepted or not. Raises TemplateError, ModelError, SettingError, InputError or MissingExtraError.
    """

    def __init__(
        self,
        template: str | Path = "",
        *,
        read_as: ReadAs | None = None,
        model: str | Path = "",
        method: Method = "default",
        second_reader: SecondReader | None = None,
        policy: str | Path = "",
        crops: bool = False,
    ) -> None:
        if bool(template) == (read_as is not None):
            raise SettingError(
                "give a template, or say what each picture shows (number, digit or column): one of the two"
            )
        self.settings = Settings(str(template), read_as, str(model), method, second_reader, str(policy), crops)
        self.template = load_template(template) if template else None
        self.policy = load_policy(policy) if policy else None
        self.model, self.number_model = _models(self.settings)
        self._references = _references(self.template, Path(template).parent) if self.template else []
        self._blanks: dict[int, Registered] = {}
        self._classify = classifier(self.model)
        self._frame = self.model.reframing.of_ink()
        self._numbers = numbers.number_reader(self.number_model, second_reader) if self.number_model else None
        try:
            self._ordered = reading_classes(self.model.manifest.classes)
        except ModelError as e:
            raise ModelError(f"{self.model.folder}: {e}") from None
        self.seconds: dict[str, float] = {}

    def read(
        self,
        paths: Sequence[str | Path],
        *,
        workers: int = 1,
        journal: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Generator[FormReading, None, None]:
        """Read files and the images and PDFs in folders, form by form, in order.

        A page that cannot be read costs only itself: its form says why in `errors`. workers: processes.
        journal: file in which finished pages are kept, so that a reading that was stopped goes on.
        progress: called with pages done and pages found.
        """
        refs = list(_all_refs(find_files(list(map(str, paths)))))
        keep = jobs.Journal(journal, self.fingerprint()) if journal else None
        items = ((f"{ref.source}#{ref.page}#{_stamp(ref.source)}", ref) for ref, error in refs if not error)
        try:
            results = jobs.run(
                _read_ref,
                items,
                workers=workers,
                setup=_open_reader,
                setup_args=(self.settings,),
                journal=keep,
                on_crash=_crashed,
            )
            with closing(results):
                together = self.settings.method != "as-published"
                for form in assemble(self._pages(refs, results, progress), self.template, together=together):
                    yield apply(self.policy, form) if self.policy else form
        finally:
            if keep:
                keep.close()

    def fingerprint(self) -> str:
        """Names what a page's reading depends on besides the page: settings, template and model."""
        template = Path(self.settings.template).read_bytes() if self.settings.template else b""
        pictures = b"".join(b"" if picture is None else picture.tobytes() for picture in self._references)
        digests = [model.digest for model in (self.model, self.number_model) if model]
        settings = replace(self.settings, policy="")
        return jobs.digest(version("inkshift"), repr(settings), template, pictures, *digests)

    def _pages(
        self, refs: list[tuple[PageRef, str]], results: Iterator[tuple[str, str]], progress: Progress | None
    ) -> Iterator[PageReading]:
        for done, (ref, error) in enumerate(refs, 1):
            yield PageReading(ref.source, ref.page, error=error) if error else page_from_json(next(results)[1])
            if progress:
                progress(done, len(refs))

    def read_page(self, image: Pixels, source: str = "", page: int = 1) -> PageReading:
        """Read one page, (H, W) or (H, W, 3) RGB uint8. A page that does not register comes back with its error."""
        start = time.perf_counter()
        try:
            laid = self._lay(image)
        except RegistrationError as e:
            return PageReading(source, page, error=f"{source} page {page}: {e}")
        self._spent("register", start)
        tried = [(found, self._fields(found)) for found in laid]
        found, readings = max(tried, key=lambda one: sum(r.confidence for r in one[1])) if len(tried) > 1 else tried[0]
        identity = self._identity(found, readings)
        named = tuple(replace(reading, source=source, page=page) for reading in readings)
        quality = found.page.quality if found.spec else None
        return PageReading(source, page, found.design, quality, found.page.turn, identity, named)

    def _fields(self, found: _Laid) -> list[FieldReading]:
        """All fields of a page that lies on its template, the pictures of all classified at once."""
        start = time.perf_counter()
        work, boxes = self._jobs(found)
        level = inks.ink_level([fields.inner(job) for job in work]) if len(work) > 1 else None
        self._spent("prepare", start)
        whole = [job for job in work if job.kind == "number" and self._numbers]
        readings = {job.name: reading for job, reading in self._whole_numbers(whole, level)}
        pieces = [job for job in work if job.name not in readings]
        readings |= {job.name: reading for job, reading in zip(pieces, self._by_digits(pieces, level), strict=True)}
        kept = [job.crop if self.settings.crops else None for job in work]
        return [replace(readings[job.name], box=b, crop=c) for job, b, c in zip(work, boxes, kept, strict=True)]

    def _by_digits(self, work: Sequence[fields.Job], level: float | None) -> list[FieldReading]:
        """Fields read digit by digit, the pictures of all classified at once."""
        start = time.perf_counter()
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

    def _whole_numbers(
        self, work: Sequence[fields.Job], level: float | None
    ) -> Iterator[tuple[fields.Job, FieldReading]]:
        """The numbers among a page's fields, each read whole, the views of all recognised at once."""
        reader = self._numbers
        if reader is None or not work:
            return
        spelled = self._by_digits(work, level) if reader.spell else []
        start = time.perf_counter()
        prepared = [fields.prepare_number(job, reader, level) for job in work]
        start = self._spent("prepare", start)
        seen = reader.run([picture for item in prepared for picture in item.pictures])
        others = reader.second([item.crop for item in prepared]) if reader.second else []
        start = self._spent("classify", start)
        views = len(reader.views)
        for k, (job, item) in enumerate(zip(work, prepared, strict=True)):
            given = fields.spelled(spelled[k]) if spelled else {}
            yield job, item.finish(seen[k * views : (k + 1) * views], others[k : k + 1], given)
        self._spent("decode", start)

    def _lay(self, image: Pixels) -> list[_Laid]:
        """The page on the design of the template that it fits best; more than once where its way up is open."""
        if self.template is None:
            return [_Laid(0, Registered(image, np.eye(3), 1.0, 0), None)]
        best: list[_Laid] = []
        failed: RegistrationError | None = None
        for design, (spec, reference) in enumerate(zip(self.template.pages, self._references, strict=True)):
            try:
                found = register(image, spec, reference)
            except RegistrationError as e:
                failed = failed or e
                continue
            if not best or found[0].quality > best[0].page.quality:
                best = [_Laid(design, one, spec) for one in found]
        if failed and not best:
            raise failed
        return best

    def _jobs(self, found: _Laid) -> tuple[list[fields.Job], list[Box]]:
        """What is to be read, and where on the page each of it is."""
        if found.spec is not None:
            crops = self.settings.crops or self.settings.method == "as-published"
            dark, blank = self._darkness(found)
            specs = found.spec.fields
            jobs_ = [_job(found.page, dark, spec, crops, blank) for spec in specs]
            return jobs_, [on_page(found.page, s.box) for s in specs]
        image = found.page.image
        if self.settings.read_as == "column":
            rows = find_rows(image)
            return [_row_job(image, row, n) for n, row in enumerate(rows, 1)], [row.box for row in rows]
        kind: fields.Kind = "digit" if self.settings.read_as == "digit" else "number"
        return [_whole(image, kind, kind)], [(0, 0, image.shape[1], image.shape[0])]

    def _darkness(self, found: _Laid) -> tuple[Pixels, Registered | None]:
        """The darkness of a page that lies on its template, and that of the blank form where there is a picture of it.

        Coloured print is not dropped by its colour where the blank form tells where print is: a pen may share it.
        """
        reference = self._references[found.design]
        if reference is None:
            return inks.darkness(found.page.image, _window(found)), None
        if found.design not in self._blanks:
            blank = inks.darkness(reference, _window(replace(found, page=replace(found.page, image=reference))))
            self._blanks[found.design] = Registered(blank, np.eye(3), 1.0, 0, 0)
        return inks.darkness(to_gray(found.page.image), _window(found)), self._blanks[found.design]

    def _identity(self, found: _Laid, readings: list[FieldReading]) -> str:
        """What the page says its form is; empty where it does not say, or its file does."""
        if self.template is None or self.template.identity.by == "file":
            return ""
        rule = self.template.identity
        if rule.by == "field":
            return next((r.value for r in readings if r.name == rule.field), "")
        return _barcode(found.page.image, rule.pattern)

    def _spent(self, step: str, start: float) -> float:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - start
        return now


def _models(settings: Settings) -> tuple[Model, Model | None]:
    """The model of digits and the model of whole numbers that these settings mean."""
    if settings.method == "as-published":
        if settings.second_reader:
            raise SettingError("second reader: method as-published reads digit by digit; leave one of the two out")
        return load_model(settings.model or AS_PUBLISHED), None
    given = load_model(settings.model) if settings.model else None
    if given is not None and given.manifest.reads == "digit":
        if settings.second_reader:
            raise SettingError(
                f"second reader: needs a model that reads whole numbers beside it, such as {NUMBER_MODEL}; "
                f"{settings.model} reads digits"
            )
        return given, None
    return load_model(DEFAULT_MODEL), given or load_model(NUMBER_MODEL)


@dataclass(frozen=True, slots=True)
class _Laid:
    design: int
    page: Registered
    spec: PageSpec | None


def read(
    paths: Sequence[str | Path] | str | Path, template: str | Path = "", *, read_as: ReadAs | None = None
) -> list[FormReading]:
    """Read files or folders with the default model; see `Reader` for more."""
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    return list(Reader(template, read_as=read_as).read(listed))


def _window(found: _Laid) -> int:
    """Pixels of the page within which paper shows beside the ink: one and a half fields high."""
    assert found.spec is not None
    heights = [spec.box[3] for spec in found.spec.fields]
    scale = found.page.image.shape[0] / found.spec.size[1]
    return round(1.5 * float(np.median(heights)) * scale) if heights else 0


def _job(page: Registered, dark: Pixels, spec: FieldSpec, with_crop: bool, blank: Registered | None) -> fields.Job:
    x, y, w, h = spec.box
    margin = MARGIN * h
    cut_dark, scale = cut(dark, page, (x, y, w, h), margin, 0)
    shown = with_crop or not spec.cells
    crop = cut(page.image, page, (x, y, w, h), margin, page.paper)[0] if shown else cut_dark
    m = round(margin * scale)
    frame = (m, m, m + round(w * scale), m + round(h * scale))
    kind: fields.Kind = "cells" if spec.cells else "number"
    job = fields.Job(spec.name, kind, crop, cut_dark, frame, spec.cells, spec.digits, spec.max, spec.frame)
    return fields.own(job, None if blank is None else _cut_blank(blank, spec, margin, cut_dark.shape[::-1]))


def _cut_blank(blank: Registered, spec: FieldSpec, margin: float, size: tuple[int, ...]) -> Pixels:
    """The darkness of the blank form where a field is, as wide and high as the field's crop."""
    darkness = cut(blank.image, blank, spec.box, margin, 0)[0]
    return np.asarray(cv2.resize(darkness, size[:2], interpolation=cv2.INTER_AREA), np.uint8)


def _whole(image: Pixels, name: str, kind: fields.Kind, struck: float = 0.0) -> fields.Job:
    frame = (0, 0, image.shape[1], image.shape[0])
    return fields.own(fields.Job(name, kind, image, inks.darkness(image), frame, struck=struck))


def _row_job(image: Pixels, row: Row, number: int) -> fields.Job:
    return _whole(row_crop(image, row), str(number), "number", row.struck)


def _references(template: Template, folder: Path) -> list[Pixels | None]:
    return [
        to_gray(load_page(PageRef(str(folder / page.reference), 1))) if page.reference else None
        for page in template.pages
    ]


def _barcode(image: Pixels, pattern: str | None) -> str:
    for code in zxingcpp.read_barcodes(image):
        if pattern is None:
            return str(code.text)
        if found := re.fullmatch(pattern, code.text):
            return str(found[1] if found.groups() else found[0])
    return ""


def _all_refs(files: Sequence[Path]) -> Iterator[tuple[PageRef, str]]:
    """Each page of each file, or the file with the error that kept its pages from being counted."""
    for path in files:
        try:
            yield from ((ref, "") for ref in page_refs(path))
        except InkshiftError as e:
            yield PageRef(str(path), 1), str(e)


def _stamp(source: str) -> str:
    try:
        stat = Path(source).stat()
    except OSError:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


_READER: list[Reader] = []


def _open_reader(settings: Settings) -> None:
    cv2.setNumThreads(1)
    _READER[:] = [Reader(**asdict(replace(settings, policy="")))]


def _read_ref(ref: PageRef) -> str:
    try:
        image = load_page(ref)
    except InputError as e:
        return page_to_json(PageReading(ref.source, ref.page, error=str(e)))
    try:
        return page_to_json(_READER[0].read_page(image, ref.source, ref.page))
    except Exception as e:  # a fault of ours on one page must not cost the others
        failed = f"reading failed ({type(e).__name__}: {e}); check its template, or report this"
        return page_to_json(PageReading(ref.source, ref.page, error=f"{ref.source} page {ref.page}: {failed}"))


def _crashed(key: str) -> str:
    source, page = key.rsplit("#", 2)[:2]
    message = f"{source} page {page}: the process reading it died twice; is the picture too large for the memory?"
    return page_to_json(PageReading(source, int(page), error=message))


__all__ = ["Method", "Model", "ReadAs", "Reader", "read"]
