"""Pages that were uploaded: a new batch from them, the task that reads them into it, and the one that reads what is
still open anew, with the model that is the default by then; decisions stay as they are."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from inkshift.errors import DataError, InputError, SettingError, TemplateError
from inkshift.files import locked, write_whole
from inkshift.forms.reader import Reader
from inkshift.forms.reading import FormReading, PageNote
from inkshift.forms.template import Template, load_template
from inkshift.review.core import tasks
from inkshift.review.core.intake import add_batch, add_forms, digest_of, reading_row, urgency
from inkshift.review.core.models import default_folder
from inkshift.review.core.schema import Batch, Draft, Field, Form, Page, Reading, TaskRecord
from inkshift.review.core.store import ListPage, Store, listed
from inkshift.review.core.tasks import TaskContext

KIND = "read"
TEMPLATE, NAMES, PAGES = "template.json", "names.json", "pages"
BATCHES = 20  # of a page of those that can be read anew
_NUMBERED = re.compile(r"upload-(\d{4,9})")


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch as it was asked for. template: a key of `templates`; double, model_keys: see `intake.add_batch`."""

    name: str
    template: str
    double: bool = False
    model_keys: bool = False


def templates(store: Store, files: Path) -> dict[str, str]:
    """The templates that were designed, as far as they are saved, and those of earlier batches, each once: their names,
    by where they are from, as `draft-3` or `batch-5`."""
    with store.reading() as session:
        drafts = session.execute(sa.select(Draft.id, Draft.name).order_by(Draft.changed.desc())).all()
        own = sa.select(Batch.id, Batch.template).where(Batch.template.is_not(None))
        batches = session.execute(own.order_by(Batch.id.desc())).all()
    found = {f"draft-{i}": name for i, name in drafts if (_draft(files, i) / TEMPLATE).is_file()}
    seen: set[str] = set()
    for batch, template in batches:
        text = json.dumps(template, sort_keys=True)
        if text not in seen:
            seen.add(text)
            found[f"batch-{batch}"] = template["name"]
    return found


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was sent: where it is kept, what people call it, and why it is no page, if so."""

    path: Path
    name: str
    error: str = ""


def new_batch(store: Store, files: Path, wanted: BatchRequest, take: Callable[[Path], Sequence[SentFile]]) -> int:
    """Make a batch without forms yet, with its template and pages under `files`; its id.

    take: keeps the pages in the folder it is given. Files that are no pages are listed in the batch as pages that were
    not read. Raises SettingError for a template that is not there and a name that is taken, and InputError, which names
    each file, where none of them is a page; then nothing is kept.
    """
    root = files / "batches"
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="batch-", dir=root))
    try:
        _copy_template(store, files, wanted.template, folder)
        template = load_template(folder / TEMPLATE)
        names, refused = _parted(take(folder / PAGES))
        (folder / NAMES).write_text(json.dumps(names), encoding="utf-8")
        batch = add_batch(
            store,
            wanted.name,
            template=template,
            folder=store.kept(folder),
            double=wanted.double,
            model_keys=wanted.model_keys,
        )
        add_forms(store, batch, map(_unread, refused), names={str(one.path): one.name for one in refused})
        return batch
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def add_pages(store: Store, batch_id: int, take: Callable[[Path, int], Sequence[SentFile]]) -> None:
    """Add pages to a batch whose pages were uploaded, to be read by a new task.

    take: keeps the pages in the folder it is given, numbered from a number. Raises SettingError for another batch, and
    InputError, which names each file, where none of them is a page.
    """
    with store.reading() as session:
        folder = store.at(session.get_one(Batch, batch_id).folder)
    if not (folder / NAMES).is_file():
        raise SettingError("this batch was read on the command line; read further pages into a new batch")
    with locked(folder / PAGES, wait=True):  # numbers are given, and names.json is written, by one at a time
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        added, refused = _parted(take(folder / PAGES, _next_number(store, batch_id, folder / PAGES)))
        write_whole(folder / NAMES, json.dumps(names | added).encode())
        add_forms(store, batch_id, map(_unread, refused), names={str(one.path): one.name for one in refused})


def _parted(taken: Sequence[SentFile]) -> tuple[dict[str, str], list[SentFile]]:
    """What people call each page, by its file, and the files that are none. Raises InputError where all of them are."""
    names = {one.path.name: one.name for one in taken if not one.error}
    refused = [one for one in taken if one.error]
    if not names:
        said = "\n".join(one.error for one in refused)
        raise InputError(said or "no page was sent; choose PDF, JPEG, PNG, TIFF, HEIC or WebP files")
    return names, refused


def _next_number(store: Store, batch_id: int, folder: Path) -> int:
    """One more than the number of any page that was ever sent for a batch, those that were refused among them."""
    with store.reading() as session:
        rows = session.scalars(sa.select(Page.source).join(Page.form).where(Form.batch_id == batch_id))
        known = [Path(source).stem for source in rows] + [path.stem for path in folder.glob("upload-*")]
    return 1 + max((int(found[1]) for stem in known if (found := _NUMBERED.fullmatch(stem))), default=0)


def _unread(taken: SentFile) -> FormReading:
    return FormReading(Path(taken.name).stem, (), (PageNote(str(taken.path), 1, error=taken.error),))


def _copy_template(store: Store, files: Path, key: str, folder: Path) -> None:
    """The template and its reference pictures, so that the batch keeps them as they are now."""
    kind, _, number = key.partition("-")
    if kind == "draft":
        source = _draft(files, int(number))
        if not (source / TEMPLATE).is_file():
            raise SettingError(f"template {key}: is not there any more; choose another")
        shutil.copy(source / TEMPLATE, folder / TEMPLATE)
        template = load_template(source / TEMPLATE)
    else:
        batch = store.get(Batch, int(number))
        if batch is None or batch.template is None:
            raise SettingError(f"template {key}: is not there any more; choose another")
        template, source = Template.model_validate(batch.template), store.at(batch.folder)
        (folder / TEMPLATE).write_text(template.model_dump_json(indent=2), encoding="utf-8")
    for page in template.pages:
        if page.reference:
            name = Path(page.reference).name
            if name != page.reference or not (source / name).is_file():
                raise TemplateError(f"template {template.name!r}: its reference picture {name!r} is gone; put it back")
            shutil.copy(source / name, folder / name)


def _draft(files: Path, draft: int) -> Path:
    return files / "templates" / str(draft)


def write_template(template: Template, folder: Path, out: Path) -> Path:
    """The template as a file in `out`, with the whole path of each reference picture, which are in `folder`."""
    pages = [
        page.model_copy(update={"reference": str(folder.resolve() / page.reference) if page.reference else None})
        for page in template.pages
    ]
    path = out / TEMPLATE
    whole = template.model_copy(update={"pages": type(template.pages)(pages)})
    path.write_text(whole.model_dump_json(), encoding="utf-8")
    return path


def open_reader(store: Store, template: Path) -> Reader:
    """The reader of new batches, with the model that is the default."""
    return Reader(template, model=default_folder(store) or "", crops=True)


def model_of(reader: Reader) -> str:
    """The digest of the model that reads a reader's numbers."""
    return (reader.number_model or reader.model).digest


def read(work: TaskContext) -> dict[str, Any]:
    """Read the pages of a batch into it, form by form, so that people may begin; after a stop it goes on.

    Raises SettingError where there is no such batch, InputError where its pages are not where they were.
    """
    batch = work.store.get(Batch, work.about["batch"])
    if batch is None:
        raise SettingError(f"batch {work.about['batch']}: there is no such batch; upload its pages again")
    folder = work.store.at(batch.folder)
    names = _names(folder)
    reader = open_reader(work.store, folder / TEMPLATE)

    forms = reader.read(list(names), journal=work.folder / "journal.jsonl", progress=work.count)
    called = (named(form, names) for form in forms)
    added = add_forms(work.store, batch.id, called, model=model_of(reader), names=names)
    return {"forms": added, "files": len(names)}


def _names(folder: Path) -> dict[str, str]:
    """What people call each page of a batch, by its file."""
    try:
        kept = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"{folder}: the uploaded pages cannot be read ({e.strerror}); put the folder back") from None
    return {str(folder / PAGES / file): name for file, name in kept.items()}


def named(form: FormReading, names: Mapping[str, str]) -> FormReading:
    """The form called as people call its file, where it was called by the name that the server gave that."""
    source = form.pages[0].source if form.pages else ""
    stem = Path(source).stem
    if source not in names or not form.name.startswith(stem):
        return form
    return replace(form, name=Path(names[source]).stem + form.name.removeprefix(stem))


def unique(names: Sequence[str]) -> list[str]:
    """File names without folders, at most 100 characters, each another one: `a.jpg`, `a (2).jpg`."""
    found: list[str] = []
    for name in names:
        plain = Path(name.replace("\\", "/")).name[-100:] or "page"
        stem, ending = Path(plain).stem, Path(plain).suffix
        many = 1
        while plain in found:
            many += 1
            plain = f"{stem} ({many}){ending}"
        found.append(plain)
    return found


def unread(store: Store, batch_id: int) -> bool:
    """Whether pages of a batch were uploaded that nothing began to read, as another batch was being read."""
    with store.reading() as session:
        kept = session.scalar(sa.select(Batch.folder).where(Batch.id == batch_id))
    folder = store.at(kept) if kept else None
    if folder is None or not (folder / NAMES).is_file():
        return False
    task = task_of(store, batch_id)
    if task is None or task.status != "done":
        return task is None
    files = len(_names(folder))
    read: int = (task.result or {}).get("files", files)
    return files > read


def incomplete(store: Store, batch_id: int) -> bool:
    """Whether some of the pages that were uploaded for a batch are not read yet."""
    task = task_of(store, batch_id)
    return unread(store, batch_id) or (task is not None and task.status != "done")


def task_of(store: Store, batch_id: int) -> TaskRecord | None:
    """The task that read, or reads, the pages of a batch; None where they were not uploaded."""
    return next((task for task in tasks.tasks(store, KIND) if task.about["batch"] == batch_id), None)


def reread(work: TaskContext) -> dict[str, Any]:
    """Read the pages of a batch again whose fields wait for people, and give each such field another reading.

    Its confidence and urgency, and so its place in the queue, follow. A page whose file is gone or is another one by
    now is passed over. Raises SettingError where there is no such batch, or it has no template, DataError where no page
    is left.
    """
    template, sources, skipped = _to_read(work)
    reader = Reader(template, model=default_folder(work.store) or "")
    fields, seen = 0, Counter[tuple[str, int, str]]()
    for form in reader.read(sources, progress=work.count):
        place = form.pages[0].source, form.pages[0].page, form.name
        fields += _add_readings(work.store, work.about["batch"], form, model_of(reader), seen[place])
        seen[place] += 1
    return {"fields": fields, "skipped": skipped}


def _to_read(work: TaskContext) -> tuple[Path, list[str], int]:
    """The batch's template as a file, the files to read, and how many files are not as they were."""
    batch_id = work.about["batch"]
    with work.store.reading() as session:
        batch = session.get(Batch, batch_id)
        if batch is None or not batch.template:
            raise SettingError(f"batch {batch_id}: has no template to read with; read its pages into a new batch")
        template = Template.model_validate(batch.template)
        waiting = sa.select(Field.form_id).where(Field.batch_id == batch_id, Field.waiting.is_(True))
        found = sa.select(Page.source, Page.sha256).where(Page.form_id.in_(waiting), Page.sha256 != "")
        in_order = found.group_by(Page.source, Page.sha256).order_by(sa.func.min(Page.id))
        pages = session.execute(in_order).all()
        folder = work.store.at(batch.folder)
    there = [(str(work.store.at(source)), digest) for source, digest in pages]
    usable = [source for source, digest in there if digest_of(source) == digest]
    if not usable:
        raise DataError("no page to read: all fields are settled, or the scans are not where they were; put them back")
    return write_template(template, folder, work.folder), usable, len(pages) - len(usable)


def _add_readings(store: Store, batch_id: int, form: FormReading, digest: str, before: int) -> int:
    """Another reading for each field of a form that waits, unless its latest is of this reader; how many there were.

    before: how many forms of its name came before it on the picture.
    """
    added = 0
    with store.writing() as session:
        note = form.pages[0]
        begin = Page.source == store.kept(note.source), Page.number == note.page
        wanted = sa.select(Form.id, Form.name, Form.read_as).join(Page).where(Form.batch_id == batch_id, *begin)
        there = session.execute(wanted.distinct().order_by(Form.id)).all()
        # Several forms may lie on one picture: then their names tell them apart, else their order.
        same = [row.id for row in there if len(there) == 1 or form.name in (row.name, row.read_as)]
        for form_id in same[before : before + 1]:
            wait = sa.select(Field).where(Field.form_id == form_id, Field.waiting.is_(True)).with_for_update()
            waiting = {
                f.name: f for f in session.scalars(wait) if not f.readings or f.readings[-1].reader != form.reader
            }
            for item in form.fields:
                if field := waiting.get(item.name):
                    session.add(Reading(**reading_row(item, digest, form.reader, field.id)))
                    field.confidence, field.urgency = item.confidence, urgency(item)
                    added += 1
            session.execute(sa.update(Form).where(Form.id == form_id).values(broken=None))
    return added


def batches_with_pages(store: Store, page: int = 1) -> ListPage[tuple[int, str, int]]:
    """Id, name and number of fields that wait, of each batch that can be read anew, the newest first."""
    waiting = sa.and_(Field.batch_id == Batch.id, Field.waiting.is_(True))
    some = sa.select(Batch.id, Batch.name).where(Batch.template.is_not(None), sa.exists().where(waiting))
    count = sa.select(sa.func.count(Field.id)).join(Batch, waiting)
    with store.reading() as session:
        found = listed(session.execute(some.order_by(Batch.id.desc())).all(), page, BATCHES)
        return found.each(lambda row: (row.id, row.name, session.scalar(count.where(Batch.id == row.id)) or 0))
