"""Templates that are being designed: a row in the database, and a folder that `inkshift read` takes.

The folder holds `template.json` as it was when it was last complete, `page-1-reference.png` and so on, which it names:
what is printed on its pages, blank inside the fields. Then `page-1.jpg`, the page as it was sent, and
`proposed-1.json`, what was proposed for it.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from PIL import Image
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from inkshift.errors import InputError, SettingError, TemplateError
from inkshift.files import file_digest, whole_file, write_whole
from inkshift.forms.design.printed import blanked, level
from inkshift.forms.design.propose import propose, straighten
from inkshift.forms.design.starter import as_json
from inkshift.forms.page.files import PageRef, load_page
from inkshift.forms.registration.register import register
from inkshift.forms.template import Box, PageSpec, Template, load_template
from inkshift.pictures import fit_within
from inkshift.reframe import to_gray
from inkshift.review.core.schema import Draft
from inkshift.review.core.store import Store, in_turn
from inkshift.review.core.tasks import set_aside
from inkshift.review.designer.drafting import MOST_PAGES, DraftTemplate, TemplateCheck, check, composed, with_references
from inkshift.review.designer.tryout import straight
from inkshift.review.web.pagepicture import jpeg
from inkshift.review.web.uploads import MOST_BYTES, shown_name, take
from inkshift.scratch import scratch

_LONGEST = 2400
# Names of files that a template may come with.
_PLAIN = re.compile(r"\w[\w .()-]*\.(json|png|jpe?g|tiff?)")
_QUALITY = 88
_NOTHING: dict[str, Any] = {"marks": [], "lines": [], "fields": []}


@dataclass(frozen=True, slots=True)
class _PreparedPage:
    """A page that was taken. picture: JPEG; page: as it begins in a template."""

    picture: bytes
    proposals: dict[str, Any]
    page: dict[str, Any]


class ChangedError(SettingError):
    """Somebody else changed the template meanwhile."""


def folder(files: Path, draft: int) -> Path:
    return files / "templates" / str(draft)


def picture(files: Path, draft: int, page: int) -> Path:
    """The picture of a page of a draft, from 1; perhaps not there."""
    return folder(files, draft) / f"page-{page}.jpg"


def drafts(store: Store) -> list[Draft]:
    """All drafts, the one changed last first."""
    with store.reading() as session:
        return list(session.scalars(sa.select(Draft).order_by(Draft.changed.desc(), Draft.id.desc())))


def begin(store: Store, files: Path, name: str, upload: UploadFile, page: int) -> int:
    """A new draft of one page of a file; its id.

    Raises SettingError for a name that is empty or there already, InputError for a file or page that cannot be had.
    """
    first = _prepared(upload, page)
    template = {"version": 1, "pages": with_references([first.page]), "identity": {"by": "file"}, "rules": []}
    with store.writing() as session:
        draft = _add(session, store, files, {"name": _free_name(session, name), **template})
        _keep(files, draft, 1, first)
        return draft


def _add(session: Session, store: Store, files: Path, template: dict[str, Any]) -> int:
    """A new draft, its folder empty; its id."""
    draft = Draft(name=template["name"], template=template, changed=store.clock())
    session.add(draft)
    session.flush()
    set_aside(folder(files, draft.id))
    return draft.id


def open_made(store: Store, files: Path, sent: Sequence[UploadFile]) -> int:
    """A draft of a template that was made elsewhere; its id.

    sent: its JSON file, or the ZIP file that the designer gives, and for each page a picture: the one that it names, or
    else a scan, which is laid onto it. Raises SettingError, InputError, TemplateError or RegistrationError.
    """
    with scratch() as home:
        scans = _unpacked(sent, home)
        try:
            made = load_template(home / "template.json")
        except TemplateError as e:
            raise TemplateError(str(e).replace(f"{home}/", "").replace(str(home), "")) from None
        if len(made.pages) > MOST_PAGES:
            raise SettingError(f"{made.name}: expected at most {MOST_PAGES} pages, found {len(made.pages)}")
        named = {page.reference for page in made.pages}
        others = [path for name, path in scans.items() if name not in named]
        pictures = [_picture_of(page, home, others, n) for n, page in enumerate(made.pages, 1)]
    plain = made.model_dump(mode="json")
    pages = with_references([{k: v for k, v in page.items() if k != "reference"} for page in plain["pages"]])
    identity = {key: value for key, value in plain["identity"].items() if value}
    with store.writing() as session:
        in_turn(session, "names of templates")
        taken = set(session.scalars(sa.select(Draft.name)))
        name = next(n for k in count(1) if (n := _named(made.name) + (f" ({k})" if k > 1 else "")) not in taken)
        template = {"name": name, "version": 1, "pages": pages, "identity": identity, "rules": plain["rules"]}
        draft = _add(session, store, files, template)
        for number, shown in enumerate(pictures, 1):
            _keep(files, draft, number, _PreparedPage(jpeg(shown, _QUALITY), _NOTHING, {}))
        _write(folder(files, draft), template)
        return draft


def _unpacked(sent: Sequence[UploadFile], home: Path) -> dict[str, Path]:
    """Keep the template and the pictures that it names in a folder; all pages that were sent, by name."""
    scans: dict[str, Path] = {}
    for n, upload in enumerate(sent, 1):
        name = shown_name(upload)
        start = upload.file.read(4)
        upload.file.seek(0)
        if start[:2] == b"PK":
            _unzip(upload, home)
        elif name.lower().endswith(".json"):
            (home / "template.json").write_bytes(upload.file.read(2**22))
        else:
            kept = take(upload, home, f"scan-{n}")
            scans[name] = kept
            if _PLAIN.fullmatch(name) and not (home / name).exists():
                shutil.copy(kept, home / name)
    if not (home / "template.json").is_file():
        raise SettingError("no template was sent; choose its .json file, or the .zip file that a designer gave")
    return scans


def _unzip(upload: UploadFile, home: Path) -> None:
    """Take the template and pictures out of a ZIP file: plain names only, 64 MB together."""
    try:
        with zipfile.ZipFile(upload.file) as packed_:
            inside = [one for one in packed_.infolist() if _PLAIN.fullmatch(one.filename)]
            if sum(one.file_size for one in inside) > MOST_BYTES:
                raise InputError(
                    f"{shown_name(upload)}: expected at most {MOST_BYTES >> 20} MB unpacked; send its files instead"
                )
            for one in inside:
                (home / one.filename).write_bytes(packed_.read(one))
    except zipfile.BadZipFile:
        raise InputError(f"{shown_name(upload)}: the ZIP file is damaged; send it again") from None


def _picture_of(page: PageSpec, home: Path, scans: list[Path], number: int) -> npt.NDArray[np.uint8]:
    """The picture of a page of a template, as large as the template draws it."""
    if page.reference:
        image = load_page(PageRef(str(home / Path(page.reference).name), 1))
        return np.asarray(cv2.resize(image, page.size, interpolation=cv2.INTER_AREA), np.uint8)
    if not scans:
        raise SettingError(f"page {number} of the template names no picture; send a scan of it as well")
    return straight(register(load_page(PageRef(str(scans.pop(0)), 1)), page)[0], page, max(page.size))


def add_page(store: Store, files: Path, draft: int, upload: UploadFile, page: int) -> int:
    """One more page for a draft, out of a file; its number. Raises as `begin` does."""
    added = _prepared(upload, page)
    with store.writing() as session:
        found = _locked(session, draft)
        pages = found.template["pages"]
        if len(pages) >= MOST_PAGES:
            raise SettingError(f"a template has at most {MOST_PAGES} pages; make another template")
        _keep(files, draft, len(pages) + 1, added)
        found.template = {**found.template, "pages": with_references([*pages, added.page])}
        found.changed = store.clock()
        _write(folder(files, draft), found.template)
        return len(pages) + 1


def turn_page(store: Store, files: Path, draft: int, page: int) -> None:
    """Turn a page of a draft by 90 degrees clockwise, with all that was drawn on it; boxes are proposed anew.

    Raises SettingError where there is no such page, or another is in its place by the time it is turned.
    """
    file = picture(files, draft, page)
    digest = file_digest(file) if file.is_file() else ""
    turned = None
    if digest:
        image = load_page(PageRef(str(file), 1))
        turned = _proposed_for(np.asarray(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE), np.uint8))
    with store.writing() as session:
        found = _locked(session, draft)
        pages = list(found.template["pages"])
        if turned is None or not 1 <= page <= len(pages):
            raise SettingError(f"page {page}: the template has {len(pages)}; choose another")
        if file_digest(file) != digest:
            raise SettingError(f"page {page}: somebody changed it meanwhile; turn it again")
        before, high = pages[page - 1], pages[page - 1]["size"][1]
        pages[page - 1] = turned.page | {
            "marks": [{**mark, "x": high - mark["y"], "y": mark["x"]} for mark in before["marks"]],
            "lines": [[high - y1, x1, high - y2, x2] for x1, y1, x2, y2 in before["lines"]],
            "fields": [
                {**field, "box": [high - y - h, x, h, w]} for field in before["fields"] for x, y, w, h in [field["box"]]
            ],
        }
        _keep(files, draft, page, turned)
        found.template = {**found.template, "pages": with_references(pages)}
        found.changed = store.clock()
        (folder(files, draft) / f"page-{page}-reference.png").unlink(missing_ok=True)
        _write_or_take_back(folder(files, draft), found.template)


def drop_page(store: Store, files: Path, draft: int, page: int) -> None:
    """Take a page out of a draft; those after it move up. Raises SettingError for the only page."""
    with store.writing() as session:
        found = _locked(session, draft)
        pages = found.template["pages"]
        if len(pages) < 2 or not 1 <= page <= len(pages):
            raise SettingError("a template has one page at least; delete the template instead")
        left = [one for number, one in enumerate(pages, 1) if number != page]
        for number in range(page, len(pages)):
            for before, after in zip(_files_of(files, draft, number + 1), _files_of(files, draft, number), strict=True):
                before.replace(after)
        found.template = {**found.template, "pages": with_references(left)}
        found.changed = store.clock()
        for old in folder(files, draft).glob("page-*-reference.png"):
            old.unlink()
        _write_or_take_back(folder(files, draft), found.template)


def _write_or_take_back(folder: Path, template: dict[str, Any]) -> None:
    """Write a template whose pictures are others now; where it is not complete, what was written before goes."""
    if _write(folder, template).problems:
        (folder / "template.json").unlink(missing_ok=True)


def delete(store: Store, files: Path, draft: int) -> None:
    with store.writing() as session:
        session.delete(_locked(session, draft))
    shutil.rmtree(folder(files, draft), ignore_errors=True)


def save(store: Store, files: Path, draft: int, given: DraftTemplate) -> tuple[TemplateCheck, str]:
    """Keep what a browser sends, and write the folder's template where it is complete.

    What is wrong with it, and when it was changed. Raises ChangedError where the browser has not seen the last change,
    SettingError for another number of pages or a name that is taken.
    """
    with store.writing() as session:
        found = _locked(session, draft)
        if given.seen != found.changed.isoformat():
            raise ChangedError(f"{found.name}: somebody else changed it meanwhile; load the page again")
        if len(given.pages) != len(found.template["pages"]):
            raise SettingError(
                f"{found.name}: has {len(found.template['pages'])} pages, found {len(given.pages)}; load the page again"
            )
        name = _free_name(session, given.name, draft)
        found.name, found.template, found.changed = name, composed(name, found.template, given), store.clock()
        return _write(folder(files, draft), found.template), found.changed.isoformat()


def proposed(files: Path, draft: int, page: int) -> dict[str, Any]:
    """What was proposed for a page: `marks`, `lines` and `fields` as in a template."""
    try:
        return dict(json.loads(_files_of(files, draft, page)[1].read_text(encoding="utf-8")))
    except OSError:
        return _NOTHING


def packed(files: Path, draft: int) -> bytes:
    """The folder's template and its reference pictures as a ZIP file. Raises InputError where none is complete."""
    home = folder(files, draft)
    if not (home / "template.json").is_file():
        raise InputError("the template is not complete yet; mend what the designer lists first")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for path in (home / "template.json", *sorted(home.glob("page-*-reference.png"))):
            file.write(path, path.name)
    return data.getvalue()


def _named(name: str) -> str:
    name = " ".join(name.split())[:200]
    if not name:
        raise SettingError("a template needs a name; give it one")
    return name


def _free_name(session: Session, name: str, draft: int = 0) -> str:
    """A name for a draft, a new one where no id is given. Raises SettingError for one that is empty or another's."""
    name = _named(name)
    in_turn(session, "names of templates")
    if session.scalar(sa.select(Draft.id).where(Draft.name == name, Draft.id != draft)) is not None:
        raise SettingError(f"{name}: a template of that name is there; choose another name")
    return name


def _locked(session: Session, draft: int) -> Draft:
    found = session.get(Draft, draft, with_for_update=True)
    if found is None:
        raise SettingError(f"template {draft}: is not there any more; choose another under Templates")
    return found


def _prepared(upload: UploadFile, page: int) -> _PreparedPage:
    """A page out of a file, straight and not too large, with what is proposed for it."""
    with scratch() as home:
        kept = take(upload, home, "page")
        try:
            image = load_page(PageRef(str(kept), page))
        except InputError as e:
            raise InputError(str(e).replace(str(kept), shown_name(upload))) from None
    return _proposed_for(straighten(fit_within(image, _LONGEST)))


def _proposed_for(flat: npt.NDArray[np.uint8]) -> _PreparedPage:
    found = propose(flat)
    marks, lines = [mark.model_dump() for mark in found.marks], [list(line) for line in found.lines]
    proposals = {"marks": marks, "lines": lines, "fields": [spec.model_dump(mode="json") for spec in found.fields]}
    sent = {"size": list(flat.shape[1::-1]), "marks": marks, "lines": [] if marks else lines, "fields": []}
    return _PreparedPage(jpeg(flat, _QUALITY), proposals, sent)


def _keep(files: Path, draft: int, page: int, prepared: _PreparedPage) -> None:
    """Write the picture of a page, and what is proposed for it, into the draft's folder."""
    shown, notes = _files_of(files, draft, page)
    write_whole(shown, prepared.picture)
    write_whole(notes, json.dumps(prepared.proposals).encode())


def _files_of(files: Path, draft: int, page: int) -> tuple[Path, Path]:
    shown = picture(files, draft, page)
    return shown, shown.with_name(f"proposed-{page}.json")


def _write(home: Path, template: dict[str, Any]) -> TemplateCheck:
    """Write the template and its reference pictures where it is complete; what is wrong with it otherwise."""
    checked = check(template)
    if not checked.problems:
        made = Template.model_validate(template)
        _write_references(home, made)
        write_whole(home / "template.json", as_json(made).encode())
    return checked


def _write_references(home: Path, template: Template) -> None:
    """What is printed on each page, blank inside its fields: where it is not there yet, or its fields have moved."""
    try:
        before = [_places(page) for page in load_template(home / "template.json").pages]
    except TemplateError:
        before = []
    for n, page in enumerate(template.pages, 1):
        out, shown = home / f"page-{n}-reference.png", home / f"page-{n}.jpg"
        if out.is_file() and before[n - 1 : n] == [_places(page)]:
            continue
        print_ = blanked(level(to_gray(load_page(PageRef(str(shown), 1)))), _places(page))
        with whole_file(out) as temporary:
            Image.fromarray(print_).save(temporary, "PNG")


def _places(page: PageSpec) -> list[tuple[Box, int]]:
    return [(spec.box, spec.cells) for spec in page.fields]
