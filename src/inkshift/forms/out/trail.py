"""The trail of each value: from which file, where on it, by which model under which settings, and what else it may be.

A trail is a JSON Lines file that is only ever added to. Each line carries the SHA-256 of the line before it, so that
no line can be changed, taken out or put in without a trace. A run of reading is a line of settings, a line for each
value and each page that was not read, and a line that ends it and says how many there were. A seal beside the trail
says how many runs it has and how the last one ends, so that none can be cut off its end without a trace.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from inkshift.errors import DataError, InkshiftError, InputError, SettingError
from inkshift.files import (
    MOST_SETTINGS,
    file_digest,
    is_file,
    locked,
    opened,
    parse_json,
    read_bytes,
    whole_file,
    write_whole,
)
from inkshift.forms.out.export import AddForm
from inkshift.forms.reader import Progress, Reader
from inkshift.forms.reading import FieldReading, FormReading, State
from inkshift.remote import address_of
from inkshift.scratch import in_scratch, scratch_file

Record = dict[str, Any]
Share = Annotated[float, Field(ge=0, le=1)]
READER = "reader"
NOTHING = "0" * 64

# Candidates at least so probable must come back, with a probability no further off: other processors add up in
# another order.
LIKELY, NEAR = 0.01, 0.005


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line, counted from 1."""

    line: int
    message: str


@dataclass(slots=True)
class TrailRun:
    """One run of a trail: its settings and values, each with its line."""

    line: int
    settings: Record
    records: list[tuple[int, Record]] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as it was found. digest: SHA-256 of its last line, which stands for all of them."""

    runs: tuple[TrailRun, ...]
    faults: tuple[Fault, ...]
    digest: str

    @property
    def values(self) -> int:
        return sum(record["kind"] == "value" for run in self.runs for _, record in run.records)


@contextmanager
def open_trail(path: Path, reader: Reader) -> Iterator[AddForm]:
    """A run that is added to the trail at `path`, which is begun where there is none: whole at the end, or not at all.

    Raises DataError where the trail that is there is torn, SettingError where it cannot be written.
    """
    with scratch_file("w+b") as made:

        def add(record: Record) -> None:
            with in_scratch(Path(made.name)):
                made.write(_line(record) + b"\n")

        add({"kind": "settings", "time": _now(), **described(reader)})
        digests = lru_cache(maxsize=64)(_sha256)
        count = 0

        def add_form(form: FormReading) -> None:
            nonlocal count
            for note in form.pages:
                if note.error:
                    count += 1
                    add({"kind": "page", "file": note.source, "page": note.page, "error": note.error})
            for item in form.fields:
                count += 1
                add({"kind": "value", **_value(form.name, item), "sha256": digests(item.source), "time": _now()})

        yield add_form
        add({"kind": "end", "lines": count})
        with in_scratch(Path(made.name)):
            made.seek(0)
        with locked(path, wait=True):  # two readings that end together come one after the other
            _append(path, made)


def described(reader: Reader) -> Record:
    """What a run of this reader depends on: version, settings, and the SHA-256 of the files they name and of models."""
    settings = {name: value for name, value in reader.settings.arguments().items() if name != "crops"}
    named = {name: value for name, value in settings.items() if isinstance(value, str) and is_file(value)}
    named |= {f"template {number}": file for number, file in enumerate(reader.settings.templates, 1)}
    models = {model.manifest.name: model.digest for model in (reader.model, reader.number_model) if model}
    if reader.settings.second_reader:
        from inkshift.models import pp_ocr

        models[reader.settings.second_reader] = _sha256(str(pp_ocr.model_file()))
    files = {name: _sha256(value) for name, value in named.items()}
    return {"inkshift": version("inkshift"), "settings": settings, "files": files, "models": models}


def _value(form: str, item: FieldReading) -> Record:
    return {
        "form": form,
        "field": item.name,
        "file": item.source,
        "page": item.page,
        "box": None if item.box is None else [round(float(v), 1) for v in item.box],
        "value": item.value,
        "written": item.written,
        "state": item.state,
        "confidence": round(item.confidence, 6),
        "candidates": [[c.written, round(c.probability, 6)] for c in item.candidates],
        "rules_broken": list(item.rules_broken),
        "accepted": item.accepted,
        "decided_by": READER,
    }


def _append(path: Path, records: Iterable[bytes]) -> None:
    """Chain the records, each a line, to the trail."""
    try:
        before, size, runs = end_of(path)
        if not seal_of(path).exists():  # who is killed between trail and seal leaves one that holds
            _write_seal(path, runs, before)
        with path.open("ab") as file:
            try:
                for record in records:
                    content = json.loads(record)
                    if content["kind"] == "end":
                        content["runs"] = runs + 1
                    line = _line({"previous": before, **content})
                    before = hashlib.sha256(line).hexdigest()
                    file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
                _write_seal(path, runs + 1, before)
            except (OSError, SettingError):  # a full disk: half a run is none
                os.truncate(path, size)
                raise
    except OSError as e:
        raise SettingError(f"{path}: cannot be written ({e.strerror}); choose another place") from None


def end_of(path: Path) -> tuple[str, int, int]:
    """SHA-256 of a trail's last line, its size, and how many runs it has.

    Raises InputError for what is no file, DataError where that line does not end a run, and where runs are gone that
    the trail's seal tells of.
    """
    last, size, ends = b"", 0, list[str]()
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a trail or nothing, found what is no file; choose another place")
    if path.exists():
        with opened(path) as file:
            for line in _lines(file, path):
                last = line
                size += len(line)
                if _END in line[:_HEAD]:
                    ends.append(_digest(line))
    record = _parsed(last.removesuffix(b"\n"))
    if size and (not last.endswith(b"\n") or record is None or record.get("kind") != "end"):
        raise DataError(
            f"{path}: its last line does not end a run, so nothing is added to it; look at it with "
            "`inkshift verify`, and let `inkshift verify --repair` put what is torn into a file of its own"
        )
    if told := _unsealed(path, ends, "runs" in (record or {})):
        raise DataError(f"{path}: {told}; nothing is added to it: begin another trail, under another name")
    return _digest(last) if size else NOTHING, size, len(ends)


# Where a line says that it ends a run: behind `{"previous": "64 digits", `.
_END, _HEAD = b'"kind": "end"', 100


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def seal_of(path: Path) -> Path:
    """The file beside a trail that says how many runs it has and how the last one ends."""
    return path.with_name(f"{path.name}.seal")


def _write_seal(path: Path, runs: int, digest: str) -> None:
    write_whole(seal_of(path), _line({"runs": runs, "sha256": digest}) + b"\n")


def _unsealed(path: Path, ends: Sequence[str], kept: bool) -> str:
    """What a trail's seal says against it; empty where it holds, or more was added since.

    ends: SHA-256 of the line that ends each run. kept: whether the trail says that it has a seal; older ones have none.
    """
    seal = seal_of(path)
    try:
        found = _Seal.model_validate(parse_json(read_bytes(seal)))
    except FileNotFoundError:
        return f"expected its seal {seal.name} beside it, found none; put it there" if kept else ""
    except (OSError, ValueError):
        return f"expected a seal as it was written in {seal.name}, found another; it was changed"
    if found.runs > len(ends):
        return f"expected {found.runs} runs, as its seal {seal.name} says, found {len(ends)}; the last were taken out"
    if found.runs and ends[found.runs - 1] != found.sha256:
        return f"run {found.runs} does not end as its seal {seal.name} says; it was written anew"
    return ""


class _Seal(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    runs: Annotated[int, Field(ge=0)]
    sha256: str


def repair(path: Path) -> tuple[Path, int] | None:
    """Move what stands after the last run that was ended into `PATH.torn`: that file, and its lines; None if nothing.

    For a trail whose writing was stopped half-way. Raises DataError where no run of it was ended, SettingError where
    the file cannot be written or there is one already.
    """
    torn = path.with_name(f"{path.name}.torn")
    with locked(path, wait=True):  # a run that is being added is not torn
        return _repair_alone(path, torn)


def _repair_alone(path: Path, torn: Path) -> tuple[Path, int] | None:
    try:
        end = place = lines = 0
        with opened(path) as file:
            for line in _lines(file, path):
                place, lines = place + len(line), lines + 1
                record = _parsed(line.removesuffix(b"\n"))
                if record is not None and record["kind"] == "end" and line.endswith(b"\n"):
                    end, lines = place, 0
            if not end:
                raise DataError(f"{path}: expected a trail with a run that was ended, found none; begin another trail")
            if end == place:
                return None
            if torn.exists():
                raise SettingError(f"{torn}: is there already and is not overwritten; move it away")
            file.seek(end)
            with whole_file(torn) as temporary, temporary.open("wb") as out:
                shutil.copyfileobj(file, out)
        os.truncate(path, end)
    except OSError as e:
        raise SettingError(f"{path}: cannot be repaired ({e.strerror}); check its folder and disk") from None
    return torn, lines


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    while line := file.readline(MOST_SETTINGS):
        if len(line) == MOST_SETTINGS:
            raise DataError(f"{path}: expected a trail, found a line without end; check the path")
        yield line


def check(path: Path) -> Trail:
    """Read a trail and check its chain and seal. Raises DataError where there is no such file or nothing in it."""
    runs: list[TrailRun] = []
    ends: list[str] = []
    faults: list[Fault] = []
    before, number, whole, kept = NOTHING, 0, True, False
    try:
        with opened(path) as file:
            for number, line in enumerate(_lines(file, path), 1):
                whole = line.endswith(b"\n")
                content = line.removesuffix(b"\n")
                record = _parsed(content)
                if record is None:
                    faults.append(Fault(number, _NOT_OURS if whole else _TORN))
                else:
                    faults += _linked(number, record, before)
                    faults += _placed(number, record, runs)
                before = _digest(content)
                if record is not None and record["kind"] == "end":
                    ends.append(before)
                    kept |= "runs" in record
                if len(faults) >= _MOST_FAULTS:
                    faults.append(
                        Fault(number, f"is where {_MOST_FAULTS:,} faults were found; what follows was not read")
                    )
                    break
    except OSError as e:
        raise DataError(f"{path}: no trail can be read there ({e.strerror}); check the path") from None
    if not number:
        raise DataError(f"{path}: expected a trail, found an empty file; write one with `inkshift read --trail`")
    if not whole and _TORN not in {fault.message for fault in faults}:
        faults.append(Fault(number, _TORN))
    if runs and not runs[-1].ended:
        faults.append(Fault(runs[-1].line, "the run that begins here has no line that ends it; the rest was cut off"))
    if told := _unsealed(path, ends, kept):
        faults.append(Fault(number, told))
    return Trail(tuple(runs), tuple(faults), before)


# In a trail: no more are of use to anybody, and files of lines that are none of ours would fill the screen for hours.
_MOST_FAULTS = 1000

_TORN = "is torn: it does not end as a line; what was being written when writing stopped, or the file was cut off"
_NOT_OURS = "is not a line of a trail as it was written; it was changed"


def _linked(number: int, record: Record, before: str) -> Iterator[Fault]:
    if record["previous"] == before:
        return
    if number == 1:
        yield Fault(1, "expected the first line of a trail, found one that follows another; lines were taken out")
    else:
        yield Fault(
            number - 1,
            f"was changed after it was written, or line {number}, which carries its SHA-256, was; or lines between the "
            "two were taken out",
        )


def _placed(number: int, record: Record, runs: list[TrailRun]) -> Iterator[Fault]:
    """Put a line into its run; a fault where it cannot be there."""
    kind = record["kind"]
    open_run = bool(runs) and not runs[-1].ended
    if kind == "settings":
        if open_run:
            yield Fault(runs[-1].line, "the run that begins here has no line that ends it")
        runs.append(TrailRun(number, record))
    elif not open_run:
        yield Fault(number, f"expected a line of settings before this one, of the kind {kind!r}; lines were taken out")
    elif kind == "end":
        runs[-1].ended = True
        if record["lines"] != len(runs[-1].records):
            yield Fault(number, f"ends a run of {record['lines']} lines, found {len(runs[-1].records)}")
        if record.get("runs", len(runs)) != len(runs):
            yield Fault(number, f"ends run {record['runs']} of the trail, found it as run {len(runs)}")
    else:
        runs[-1].records.append((number, record))


class _TrailLine(BaseModel):
    """What a line is made of; each kind of line has its own parts. Values stay in the record that was read."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    previous: str


class _Settings(_TrailLine):
    kind: Literal["settings"]
    time: str
    inkshift: str
    settings: Record
    files: dict[str, str]
    models: dict[str, str]


class _Value(_TrailLine):
    kind: Literal["value"]
    form: str
    field: str
    file: str
    page: Annotated[int, Field(ge=1)]
    box: tuple[float, float, float, float] | None
    value: str
    written: str
    state: State
    confidence: Share
    candidates: list[tuple[str, Share]]
    rules_broken: list[str]
    accepted: bool | None
    decided_by: str
    sha256: str
    time: str


class _Page(_TrailLine):
    kind: Literal["page"]
    file: str
    page: Annotated[int, Field(ge=0)]
    error: str


class _End(_TrailLine):
    kind: Literal["end"]
    lines: Annotated[int, Field(ge=0)]
    runs: Annotated[int, Field(ge=1)] = 1  # an older trail does not say how many there are so far


_LINES: TypeAdapter[Any] = TypeAdapter(Annotated[_Settings | _Value | _Page | _End, Field(discriminator="kind")])


def _parsed(line: bytes) -> Record | None:
    """The record that a line holds, if it is one just as `write_trail` writes it."""
    try:
        record = parse_json(line, halves=True)
        _LINES.validate_python(record)
    except ValueError:
        return None
    return record if isinstance(record, dict) and _line(record) == line else None


def _line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=True).encode("ascii")


def files_as_read(trail: Trail, fetch: bool = False) -> Iterator[Fault]:
    """A fault for each file that is not there, or not the one that was read; the line is its first value's.

    fetch: those in a store too, which is any server that the trail names; else one fault says that they were not
    checked.
    """
    seen: dict[tuple[str, str], str] = {}
    left: dict[str, int] = {}
    for run in trail.runs:
        for line, record in run.records:
            key = str(record["file"]), str(record.get("sha256", ""))
            if record["kind"] != "value" or key in seen:
                continue
            if not fetch and _in_store(key[0]):
                left.setdefault(key[0], line)
                continue
            seen[key] = _sha256(key[0])
            if not seen[key]:
                yield Fault(line, f"{key[0]}: the file is missing; run this from the folder where it was read")
            elif seen[key] != key[1]:
                yield Fault(line, f"{key[0]}: the file has changed since it was read (SHA-256 {seen[key][:12]}...)")
    for file, line in islice(left.items(), 1):
        more = f", like {len(left) - 1:,} more" if len(left) > 1 else ""
        yield Fault(line, f"{file}: was not checked, as it lies in a store{more}; --fetch fetches what does")


def read_again(run: TrailRun, progress: Progress | None = None, fetch: bool = False) -> Iterator[Fault]:
    """Read the files of a run anew, with its settings, and name each line that comes out otherwise.

    Files that are not there any more, or changed, or in a store without `fetch`, are left to `files_as_read`.
    """
    try:
        reader = Reader(**run.settings["settings"])
    except (InkshiftError, TypeError, ValueError, LookupError, AttributeError, OSError) as e:  # whatever a line may say
        yield Fault(run.line, f"cannot be read again: {e}")
        return
    differing = list(_other_inputs(run, described(reader)))
    if differing:
        yield from differing
        return
    # Two forms on one picture may bear the same name: their lines are taken in order.
    wanted: dict[tuple[Any, ...], list[tuple[int, Record]]] = {}
    for line, r in run.records:
        if r["kind"] != "value" or r["decided_by"] != READER or (not fetch and _in_store(r["file"])):
            continue
        if _sha256(r["file"]) == r["sha256"]:
            wanted.setdefault((r["form"], r["field"], r["file"], r["page"]), []).append((line, r))
    files = list(dict.fromkeys(key[2] for key in wanted))
    for form in reader.read(files, progress=progress) if files else ():
        for item in form.fields:
            lines = wanted.get((form.name, item.name, item.source, item.page), [])
            line, record = lines.pop(0) if lines else (0, {})
            if not record:
                yield Fault(run.line, f"form {form.name} field {item.name} is read now, but has no line in this run")
            elif told := _difference(record, item):
                yield Fault(line, f"form {form.name} field {item.name}: {told}")
    for (name_of_form, name, *_), lines in wanted.items():
        for line, _ in lines:
            yield Fault(line, f"form {name_of_form} field {name} is not read any more")


def _other_inputs(run: TrailRun, now: Record) -> Iterator[Fault]:
    for what, then in (("file", run.settings["files"]), ("model", run.settings["models"])):
        for name, digest in then.items():
            found = now[f"{what}s"].get(name, "none")
            if found != digest:
                yield Fault(
                    run.line,
                    f"was read with another {what}: {name} had SHA-256 {digest[:12]}..., here it has {found[:12]}...; "
                    "its values were not read again",
                )


def _difference(record: Record, item: FieldReading) -> str:
    """How a reading differs from its line; empty where it does not."""
    now = {"rules_broken": list(item.rules_broken)} | {n: getattr(item, n) for n in ("value", "state", "accepted")}
    for name, found in now.items():
        if record[name] != found:
            return f"{name} {record[name]!r} in the trail, {found!r} read now"
    then, shares = {w: float(p) for w, p in record["candidates"]}, {c.written: c.probability for c in item.candidates}
    for written in then | shares:
        a, b = then.get(written, 0.0), shares.get(written, 0.0)
        if max(a, b) >= LIKELY and abs(a - b) > NEAR:
            return f"candidate {written!r} with probability {a:.4f} in the trail, {b:.4f} read now"
    return ""


def _in_store(path: str) -> bool:
    try:
        return bool(address_of(path))
    except InputError:  # one that is never fetched
        return False


def _sha256(path: str) -> str:
    """The digest of a file; empty where it cannot be read."""
    try:
        return file_digest(path)
    except InputError:
        return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
