"""What a reader returns: a tree of frozen dataclasses, FormReading > FieldReading > CellReading.

In `written`, each cell is one symbol: a digit, `X` crossed out, `_` empty, `?` ink that is no digit. A decimal has its
separator there as `.`, and what is negative its minus as `-`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from html import escape
from typing import Any, Literal

import cv2
import numpy as np

from inkshift.arrays import Pixels

State = Literal["written", "blank", "crossed-out", "overwritten", "overflow", "unread"]
Kind = Literal["number", "decimal", "tick", "text", "date"]

DIGITS = "0123456789"
CROSSED, EMPTY, UNREADABLE = "X", "_", "?"
POINT, MINUS = ".", "-"
SIGNS = POINT + MINUS
SYMBOLS = DIGITS + CROSSED + EMPTY + UNREADABLE + SIGNS


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible reading of a field: `written` (see above) and its probability, 0 to 1."""

    written: str
    probability: float


@dataclass(frozen=True, slots=True)
class CellReading:
    """One cell or one digit. box: xmin, ymin, xmax, ymax in pixels of the field's crop."""

    symbol: str
    probability: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FieldReading:
    """One field of a form.

    value: the digits as written, leading zeros kept, or as its kind has it (see `kinds.parse_value`); empty unless
    state is `written`. kind: as the template says. A text or date with ink in it is `unread`: a person is to read it.
    confidence: probability, 0 to 1, that `written` is right as a whole.
    accepted: None without an acceptance policy.
    candidates: most probable first, at most 20; files show five.
    marks: what stands among the digits and is no part of the value, left to right: gap, point, comma, dash,
    slash, percent, brackets, fraction; struck first, where another number beside it was struck out.
    rules_broken: the template's rules that the values of this form break and this field is part of.
    box: xmin, ymin, xmax, ymax of the field in pixels of its page as `pages.load_page` gives it.
    whose: probability, 0 to 1, that what is there was written for this field; no other field of the form can tell.
    crop: (H, W) or (H, W, 3) uint8, what was read; kept only where the reader was asked to.
    """

    name: str
    value: str
    written: str
    state: State
    confidence: float
    candidates: tuple[Candidate, ...] = ()
    cells: tuple[CellReading, ...] = ()
    accepted: bool | None = None
    rules_broken: tuple[str, ...] = ()
    source: str = ""
    page: int = 1
    box: tuple[float, float, float, float] | None = None
    marks: tuple[str, ...] = ()
    kind: Kind = "number"
    whose: float = 1.0
    crop: Pixels | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"<FieldReading {self.name!r}: {self.value or self.state}, {self.confidence:.2f}>"


@dataclass(frozen=True, slots=True)
class PageReading:
    """One page as it was read, before forms are put together.

    template: name of the template that it was read with; design: which page of that it is, from 0. quality: of its
    registration, 0 to 1; None without a template. turn: degrees clockwise that it was turned to stand upright.
    identity: what the page says its form is. error: why it was not read. blank: nothing is on it, which is no error.
    copy: which it is of several of the same design that lie on one picture, from 1. together: its fields were decoded
    together already, see `assemble.alone`. by_number: its design is known by its number in its file alone.
    """

    source: str
    page: int
    design: int = 0
    quality: float | None = None
    turn: int = 0
    identity: str = ""
    fields: tuple[FieldReading, ...] = ()
    error: str = ""
    template: str = ""
    blank: bool = False
    copy: int = 1
    together: bool = False
    by_number: bool = False


@dataclass(frozen=True, slots=True)
class PageNote:
    """How one page went: quality of registration 0 to 1, None without a template, and the error if it was not read.

    turn: degrees clockwise that it was turned to stand upright. blank: nothing is on it, such as on the back of a form.
    """

    source: str
    page: int
    quality: float | None = None
    error: str = ""
    turn: int = 0
    blank: bool = False


@dataclass(frozen=True, slots=True)
class FormReading:
    """All that was read of one form: its fields in order; `form["A"]` is the field named A.

    template: the name of its template. reader: who read it, see `Reader.signature`.

    Blank pages that follow no form make one without fields, whose notes are all `blank`.
    """

    name: str
    fields: tuple[FieldReading, ...] = ()
    pages: tuple[PageNote, ...] = ()
    template: str = ""
    reader: str = ""

    def __iter__(self) -> Iterator[FieldReading]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: object) -> bool:
        """Whether there is a field of this name."""
        return any(item.name == name for item in self.fields)

    def __bool__(self) -> bool:
        """A form is one also where nothing on it was read."""
        return True

    def __repr__(self) -> str:
        values = ", ".join(f"{item.name}={item.value or item.state}" for item in self.fields[:8])
        more = f", ... {len(self.fields)} fields" if len(self.fields) > 8 else ""
        errors = f"; {len(self.errors)} pages not read" if self.errors else ""
        return f"<FormReading {self.name!r}: {values or 'no fields'}{more}{errors}>"

    def to_dict(self) -> dict[str, Any]:
        """The form as plain dictionaries and lists, as JSON takes them; without crops."""
        return {
            "form": self.name,
            "template": self.template,
            "reader": self.reader,
            "errors": list(self.errors),
            "fields": {item.name: _plain_field(item) for item in self.fields},
        }

    def to_frame(self) -> Any:
        """The fields as a table of pandas, indexed by their names. Raises ImportError without pandas."""
        import pandas

        rows = self.to_dict()["fields"]
        return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("field")

    def _repr_html_(self) -> str:
        """What a notebook shows: each field's picture, where it was kept, beside its value."""
        rows = "".join(
            f"<tr><td>{escape(f.name)}</td><td>{_as_img(f.crop)}</td><td>{f.value or f.state}</td>"
            f"<td>{f.confidence:.2f}</td></tr>"
            for f in self.fields
        )
        problems = "".join(f"<p>Not read: {escape(error)}</p>" for error in self.errors)
        head = "<tr><th>field</th><th></th><th>value</th><th>confidence</th></tr>"
        return f"<p><b>{escape(self.name)}</b></p>{problems}<table>{head}{rows}</table>"

    def __getitem__(self, name: str) -> FieldReading:
        for item in self.fields:
            if item.name == name:
                return item
        raise KeyError(f"form {self.name!r} has no field {name!r}; it has {[f.name for f in self.fields]}")

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each page that was not read."""
        return tuple(note.error for note in self.pages if note.error)


def _plain_field(item: FieldReading) -> dict[str, Any]:
    return {
        "value": item.value,
        "state": item.state,
        "confidence": item.confidence,
        "accepted": item.accepted,
        "written": item.written,
        "candidates": [[one.written, one.probability] for one in item.candidates],
        "marks": list(item.marks),
        "rules_broken": list(item.rules_broken),
        "source": item.source,
        "page": item.page,
        "box": item.box and list(item.box),
    }


def _as_img(crop: Pixels | None) -> str:
    if crop is None or not crop.size:
        return ""
    return f'<img style="max-height: 3em" src="data:image/png;base64,{_as_base64(crop)}" alt="">'


def page_to_json(page: PageReading) -> str:
    """The page as a line of JSON; crops as PNG."""
    return json.dumps(page, default=_plain)


def _plain(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return _as_base64(item)
    return {f.name: getattr(item, f.name) for f in fields(item)}


def _as_base64(picture: Pixels) -> str:
    """A PNG file of it, as text."""
    channels = picture[..., ::-1] if picture.ndim == 3 else picture
    return base64.b64encode(cv2.imencode(".png", channels)[1].tobytes()).decode()


def page_from_json(line: str) -> PageReading:
    """The page that `page_to_json` wrote."""
    data = json.loads(line)
    return PageReading(**{**data, "fields": tuple(_field(item) for item in data["fields"])})


def _field(data: dict[str, Any]) -> FieldReading:
    data["candidates"] = tuple(Candidate(**c) for c in data["candidates"])
    data["cells"] = tuple(CellReading(c["symbol"], c["probability"], tuple(c["box"])) for c in data["cells"])
    data["rules_broken"], data["marks"] = tuple(data["rules_broken"]), tuple(data.get("marks", ()))
    data["box"] = tuple(data["box"]) if data.get("box") else None
    if data["crop"]:
        packed = np.frombuffer(base64.b64decode(data["crop"]), np.uint8)
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)
        data["crop"] = np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3 else picture)
    return FieldReading(**data)


def value_of(written: str) -> str:
    """The digits of `written`, in order, with separator and minus, without unused cells; `X57` is `57`."""
    value = "".join(c for c in written if c in DIGITS or c in SIGNS)
    return f"0{value}" if value[:1] == POINT else value


def state_of(written: str) -> State:
    """The state of a field from its cells: any digit makes it `written` unless a cell is unreadable."""
    if UNREADABLE in written:
        return "overwritten"
    if any(c in DIGITS for c in written):
        return "written"
    return "crossed-out" if CROSSED in written else "blank"
