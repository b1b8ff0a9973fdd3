"""Many pages to files: each form is read once and written to all of them; a journal keeps what a stop would cost."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import ModuleType

from inkshift import remote
from inkshift.errors import InputError, SettingError
from inkshift.files import locked, read_csv
from inkshift.forms.assemble import Roll, RollCall, RollEntry
from inkshift.forms.out.columns import address_of
from inkshift.forms.out.export import BINARY, AddForm, Format, Output, format_of, is_address, open_readings, write_forms
from inkshift.forms.out.html import open_report
from inkshift.forms.page.files import ONE_PAGE, Files, find_files, page_refs
from inkshift.forms.reader import Progress, Reader
from inkshift.forms.reading import FormReading
from inkshift.forms.scans import stamp
from inkshift.jobs import digest, digest_of
from inkshift.scratch import no_scratch, scratch

# Fewer pages than this are read before further processes have started.
FEW_PAGES = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Where readings go. out: a file, or the address of a database such as `sqlite:///FILE` or
    `postgresql://USER@HOST/NAME`, with `#TABLE` behind it where that is not `readings`; None is standard output.
    format: None takes the ending of `out`, or csv.

    report: an HTML page beside them. trail: file to which the trail of each value is added. Raises SettingError for
    what cannot be written, before anything is read.
    """

    out: Path | str | None = None
    format: Format | None = None
    report: Path | None = None
    trail: Path | None = None

    def __post_init__(self) -> None:
        if self.out is None and self.format in BINARY:
            raise SettingError(
                f"{self.format} does not go to standard output; give a file with --out, or the format csv or jsonl"
            )
        if is_address(self.out):
            address_of(self.out)
            if self.format:
                raise SettingError(f"--format {self.format}: a table of a database has none; leave it out")
        elif self.out is not None and self.format is None:
            format_of(Path(self.out))
        for path in self.files:
            if path.is_dir() or not path.parent.is_dir():
                found = "a folder" if path.is_dir() else "no folder to put it in"
                raise SettingError(f"{path}: expected a place for a file, found {found}; choose another place")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written."""
        out = None if is_address(self.out) or self.out is None else Path(self.out)
        trail = () if self.trail is None else (self.trail, _trails().seal_of(self.trail))
        return tuple(path for path in (out, self.report, *trail) if path is not None)

    @property
    def shows_crops(self) -> bool:
        """Whether what is written shows the picture of each field."""
        if self.report is not None:
            return True
        return not is_address(self.out) and (self.format or (format_of(Path(self.out)) if self.out else "")) == "xlsx"


@dataclass(frozen=True, slots=True)
class ReadSummary:
    """What was read. unread: a line for each page that was not. broken: form and rule, each once. blank: pages with
    nothing on them. passed_over: files in the folders that are no pages. by_template: forms that each one read.

    accepted: fields that the policy accepted, and straight: forms of which it accepted all; None without a policy.
    """

    fields: int
    roll: Roll
    unread: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]
    accepted: int | None
    straight: int | None
    blank: int
    passed_over: tuple[Path, ...]
    by_template: tuple[tuple[str, int], ...]


def read_into(
    reader: Reader,
    paths: Iterable[str | Path] | Files,
    target: Target,
    *,
    workers: int = 1,
    cluster: str = "",
    expected: Collection[str] = (),
    progress: Progress | None = None,
    watch: AddForm | None = None,
) -> ReadSummary:
    """Read `paths` and write `target`; memory does not grow with the pages, but for the names of what is amiss. watch:
    is called with each form. cluster: see `Reader.read`.

    Finished pages are kept in a hidden journal beside `target.out` until all is written: the same call goes on from
    it after a stop. Raises what `Reader.read` and the writers raise, the trail's before anything is read; a page that
    cannot be read is in the summary.
    """
    files = find_files(paths)
    _keep_apart(reader, files, target)
    if target.trail is not None:
        _trails().end_of(target.trail)
    with _journal(target.out) as journal:
        forms = reader.read(files, workers=workers, journal=journal, progress=progress, cluster=cluster)
        tally = _Tally({template.name: len(template.pages) for template in reader.templates}, RollCall(expected))
        write_forms(
            forms, *_outputs(target, reader, files), nullcontext(tally.add), *([nullcontext(watch)] if watch else [])
        )
    return tally.summary(files.passed_over)


def _trails() -> ModuleType:
    """What trails need, for those who keep one: it takes a while to load."""
    from inkshift.forms.out import trail

    return trail


def _outputs(target: Target, reader: Reader, files: Files) -> Iterator[Output]:
    run = ""
    if is_address(target.out):  # the same files as they are now, read with the same settings
        named = (f"{remote.address_of(f) or f.resolve()}#{stamp(f)}" for f in files)
        run = digest_of(chain([reader.fingerprint()], named))
    # What is opened first is closed last: the trail tells of a reading once the rest of it is there.
    if target.trail is not None:
        yield _trails().open_trail(target.trail, reader)
    if target.report is not None:
        yield open_report(target.report, _title(reader))
    yield open_readings(target.out, target.format, run)


def _keep_apart(reader: Reader, files: Files, target: Target) -> None:
    """Raise SettingError where what is written would take the place of what is read, or of each other."""
    given = (reader.settings.template, *reader.settings.templates, reader.settings.policy)
    written = [Path(os.path.realpath(path)) for path in target.files]  # `resolve` raises where a link leads to itself
    there = set(map(_place, written)) - {None}
    read = chain(files, map(Path, filter(None, given))) if there else ()  # what is not there cannot be read
    taken = {place for path in read if (place := _place(path)) in there}
    for path in written:
        if _place(path) in taken or written.count(path) > 1:
            what = "an input" if _place(path) in taken else "another output"
            raise SettingError(f"{path}: expected a file of its own to write to, found {what}; choose another name")


def _place(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, by whatever name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def journal_path(out: Path) -> Path:
    """Where the finished pages are kept while `out` is made."""
    return out.with_name(f".{out.name}.journal")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(paths: Iterable[str | Path] | Files) -> int:
    """One process for a few pages, else one a core. Raises InputError for a path that is not there.

    A TIFF or PDF in a store counts as many pages: it is not fetched for this.
    """
    pages = 0
    for path in find_files(paths):
        try:
            if remote.address_of(path):
                pages += 1 if path.suffix.lower() in ONE_PAGE else FEW_PAGES
            else:
                pages += len(page_refs(path))
        except InputError:
            continue
        if pages >= FEW_PAGES:
            return cores()
    return 1


def expected_forms(path: Path) -> list[str]:
    """The column `form` of a CSV file, each name once. Raises DataError naming what is missing."""
    return list(dict.fromkeys(row["form"] for _, row in read_csv(path, "form") if row["form"]))


@contextmanager
def _journal(out: Path | str | None) -> Iterator[Path]:
    """A journal that stays where `out` was not finished; without a file to be beside, a temporary one.

    That of a database lies in the folder that one is in, named by the address.
    """
    if out is None:
        with scratch() as folder:
            try:
                yield folder / "journal"
            except InputError as e:
                if isinstance(e.__cause__, OSError) and str(e).startswith(str(folder)):
                    raise no_scratch(e.__cause__) from None
                raise
        return
    path, what = journal_path(Path(out)), str(out)
    if is_address(out):
        path = journal_path(Path(f"inkshift-{digest(out)[:12]}"))
        what = address_of(out)[0].render_as_string(hide_password=True)
    with locked(path, what):
        yield path
        path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Tally:
    """What the forms come to, as they are written. whole: pages that a form of each template has."""

    whole: dict[str, int]
    roll_call: RollCall
    fields: int = 0
    blank: int = 0
    unread: list[str] = field(default_factory=list)
    broken: dict[tuple[str, str], None] = field(default_factory=dict)
    accepted: int | None = None
    straight: int | None = None

    def add(self, form: FormReading) -> None:
        self.fields += len(form.fields)
        if accepted := [item.accepted for item in form.fields if item.accepted is not None]:
            self.accepted = (self.accepted or 0) + sum(accepted)
            self.straight = (self.straight or 0) + all(accepted)
        self.unread += form.errors
        self.broken |= {(form.name, rule): None for item in form.fields for rule in item.rules_broken}
        self.blank += sum(note.blank for note in form.pages)
        pages = sum(not (note.error or note.blank) for note in form.pages)
        self.roll_call.add(RollEntry(form.name, pages, form.template, self.whole.get(form.template, 1)))

    def summary(self, passed_over: Iterable[Path]) -> ReadSummary:
        return ReadSummary(
            self.fields,
            self.roll_call.roll(),
            tuple(self.unread),
            tuple(self.broken),
            self.accepted,
            self.straight,
            self.blank,
            tuple(passed_over),
            tuple((name, self.roll_call.by_template[name]) for name in self.whole),
        )


def _title(reader: Reader) -> str:
    return f"Readings: {', '.join(template.name for template in reader.templates) or reader.settings.read_as}"
