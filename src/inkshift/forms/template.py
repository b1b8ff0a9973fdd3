"""A template: where the fields of a form are, how its pages are found, and what must add up.

All coordinates are in template pixels, x to the right and y down, from the page's top left corner.
A template is geometry, and names a picture of what is printed on each page, by which scans are found.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from inkshift.errors import TemplateError, nearest
from inkshift.files import is_file, parse_json, read_text, reason
from inkshift.forms.kinds import COUNTING, MOST_DIGITS, WITH_DIGITS, Order
from inkshift.forms.reading import Kind
from inkshift.forms.rules import SLIP, Level, Limit, Rule, parse_rule
from inkshift.pictures import KEPT_PIXELS, MAX_SIDE

Box = tuple[float, float, float, float]

_QUIET = re2.Options()
_QUIET.log_errors = False

# What a template may hold at most: far more than paper does, and little enough that a slip of the pen in a file, or
# somebody who means harm, cannot make reading endless.
MOST_PAGES, MOST_FIELDS, MOST_LINES, MOST_RULES = 200, 2000, 2000, 500


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must hold no control characters, which terminals obey and databases refuse")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_controls)]
Place = Annotated[float, Field(ge=-MAX_SIDE, le=2 * MAX_SIDE)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
RuleText = Annotated[str, Field(max_length=4000)]


class _TemplatePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_said(field: dict[str, Any]) -> dict[str, Any]:
    """A field of a template without what goes without saying of a number."""
    unsaid = {"kind": "number", "places": None, "signed": False, "order": None}
    return {key: value for key, value in field.items() if key not in unsaid or value != unsaid[key]}


class FieldSpec(_TemplatePart):
    """A number to read, or another kind of field.

    kind: number, decimal, tick, text or date. places: digits behind a decimal's separator, 2 if not said. signed: a
    dash before the number is a minus. order: of day, month and year in a date's eight cells; one without is not read.
    box: x, y, width, height. cells: how many equal cells with printed walls the box has; 0 for one box
    in which digits stand freely. digits: fewest and most digits, at most 20, those behind a separator too. max: largest
    value, if there is one. What is no number or decimal has none of these three.
    frame: whether the box is printed (its lines are then removed, and count for the page's quality).
    """

    name: Name
    box: tuple[Place, Place, Place, Place]
    cells: Annotated[int, Field(ge=0, le=20)] = 0
    digits: tuple[int, int] = (1, 8)
    max: Annotated[int, Field(ge=0, lt=10**MOST_DIGITS)] | None = None
    frame: bool = True
    kind: Kind = "number"
    places: Annotated[int, Field(ge=1, le=6)] | None = None
    signed: bool = False
    order: Order | None = None

    @model_serializer(mode="wrap")
    def _as_said(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what a number does not need: a template that has none else says the same as ever, byte by byte."""
        return as_said(standard(self))

    @property
    def limit(self) -> Limit:
        """What the field may hold."""
        digits, largest = ((1, 1), 1) if self.kind == "tick" else (self.digits, self.max)
        places = (self.places or 2) if self.kind == "decimal" else 0
        return Limit(self.name, 0 if self.order else self.cells, digits, largest, self.kind, places, self.signed)

    @model_validator(mode="after")
    def _kind_fits(self) -> FieldSpec:
        what = f"field {self.name!r} of kind {self.kind!r}"
        of_digits = (0 if self.order else self.cells, self.digits, self.max, self.signed)
        if self.order and (self.kind != "date" or self.cells != 8):
            raise ValueError(f"{what} and {self.cells} cells has no order; that is for a date in 8 cells")
        if self.kind not in WITH_DIGITS and of_digits != (0, (1, 8), None, False):
            raise ValueError(f"{what} takes no cells, digits, max or signed; leave them out")
        if self.places and self.kind != "decimal":
            raise ValueError(f"{what} has no places; leave them out, or make it a decimal")
        if self.signed and self.cells:
            raise ValueError(f"{what} is signed; a dash in a cell says that it is unused, so leave out cells or signed")
        if self.limit.places >= (self.cells or self.digits[1]) and self.kind == "decimal":
            raise ValueError(f"{what} has {self.limit.places} places; expected room for a digit before them, or more")
        return self

    @model_validator(mode="after")
    def _sane(self) -> FieldSpec:
        if min(self.box[2:]) < 4:
            raise ValueError(f"box of field {self.name!r} must be at least 4 wide and 4 high, found {self.box[2:]}")
        fewest, most = self.digits
        if not 0 <= fewest <= max(most, 1) or most < 1:
            raise ValueError(f"digits of field {self.name!r} must be [fewest, most] with fewest <= most and most >= 1")
        if most > MOST_DIGITS:
            raise ValueError(f"digits of field {self.name!r}: at most {MOST_DIGITS} can be read, found {most}")
        if self.max is not None and fewest > len(str(self.max)) + self.limit.places:
            raise ValueError(f"field {self.name!r} asks for {fewest} digits or more, but max {self.max} has fewer")
        if self.cells and fewest > self.cells:
            raise ValueError(f"field {self.name!r} asks for {fewest} digits or more in {self.cells} cells")
        return self


class Mark(_TemplatePart):
    """A filled square printed in a corner to register on. x, y: its centre; size: its side."""

    x: Place
    y: Place
    size: Annotated[float, Field(gt=0, le=MAX_SIDE)]


class PageSpec(_TemplatePart):
    """One page. Registered by `marks` (four), else by `lines`, else by `reference` (keypoints).

    lines: printed rules as x1, y1, x2, y2. reference: picture of what is printed on
    it, in its pixels, beside the template.
    """

    size: tuple[Side, Side]
    marks: tuple[Mark, ...] = ()
    lines: Annotated[tuple[tuple[Place, Place, Place, Place], ...], Field(max_length=MOST_LINES)] = ()
    reference: Annotated[str, Field(max_length=4096)] | None = None
    fields: Annotated[tuple[FieldSpec, ...], Field(max_length=MOST_FIELDS)] = ()

    @model_validator(mode="after")
    def _sane(self) -> PageSpec:
        if len(self.marks) not in (0, 4):
            raise ValueError(f"a page has four registration marks or none, not {len(self.marks)}")
        if len({(mark.x, mark.y) for mark in self.marks}) != len(self.marks):
            raise ValueError("the four registration marks must lie in four places")
        level = {y1 for _, y1, _, y2 in self.lines if abs(y2 - y1) < 4}
        plumb = {x1 for x1, _, x2, _ in self.lines if abs(x2 - x1) < 4}
        if self.lines and not (self.marks or self.reference) and (len(level) < 2 or len(plumb) < 2):
            raise ValueError("a page registered by lines needs two level and two upright ones or more")
        if not (self.marks or self.lines or self.reference):
            raise ValueError("a page needs marks, lines or a reference picture to register on")
        w, h = self.size
        if w * h > KEPT_PIXELS:
            raise ValueError(f"a page of {w} x {h} is larger than {KEPT_PIXELS // 10**6} megapixels, more than is kept")
        for spec in self.fields:
            x, y, bw, bh = spec.box
            if x < 0 or y < 0 or x + bw > w or y + bh > h:
                raise ValueError(f"box of field {spec.name!r} lies outside the page of {w} x {h}")
        return self


class Identity(_TemplatePart):
    """What names a form: its file, a barcode on it, or one of its number fields.

    pattern: regular expression, of RE2's syntax, that a barcode must match as a whole; its first group, if any, is the
    identity.
    """

    by: Literal["file", "barcode", "field"] = "file"
    field: str | None = None
    pattern: Annotated[str, Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _sane(self) -> Identity:
        if (self.by == "field") != (self.field is not None):
            raise ValueError("identity by 'field' names the field; other identities name none")
        if self.pattern is not None:
            try:
                re2.compile(self.pattern, _QUIET)
            except re2.error as e:
                said = e.args[0].decode() if isinstance(e.args[0], bytes) else e
                raise ValueError(f"identity pattern is not a regular expression of RE2: {said}") from None
        return self


class RuleSpec(_TemplatePart):
    """A rule with what else there is to say about it; a rule alone may be given as a string.

    rule: such as `r01 + r02 = A`. code: names it in messages; without one it follows from its kind and fields.
    level: broken rules of level error are never accepted. slip: how often those who fill in the form break it.
    """

    rule: RuleText
    code: Annotated[str, Field(pattern=r"^[^\s;()]+$", max_length=100)] | None = None
    level: Level = "error"
    slip: Annotated[float, Field(gt=0, le=1)] = SLIP

    @model_validator(mode="after")
    def _sane(self) -> RuleSpec:
        if self.code is not None and self.code.startswith("warning"):
            raise ValueError(f"code {self.code!r} of rule {self.rule!r} looks like a level; begin it otherwise")
        return self


def _form_of(rule: Any) -> str:
    return "text" if isinstance(rule, str) else "object"


AnyRule = Annotated[Annotated[RuleText, Tag("text")] | Annotated[RuleSpec, Tag("object")], Discriminator(_form_of)]


class Template(_TemplatePart):
    """A form design. rules: what its fields must add up to, such as `r01 + r02 = A` (see docs/rules.md).

    notes: for whoever edits the file, which can hold no comments; nothing reads them, and dumps leave them out.
    """

    name: Name
    notes: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    version: int = 1
    pages: Annotated[tuple[PageSpec, ...], Field(min_length=1, max_length=MOST_PAGES)]
    identity: Identity = Identity()
    rules: Annotated[tuple[AnyRule, ...], Field(max_length=MOST_RULES)] = ()

    @model_validator(mode="after")
    def _sane(self) -> Template:
        names = [spec.name for spec in self.fields]
        if len(self.pages) > 1 and not all(page.lines or any(f.frame for f in page.fields) for page in self.pages):
            raise ValueError("pages are told apart by their printed lines; give each page lines or framed fields")
        doubled = sorted(name for name, times in Counter(names).items() if times > 1)
        if doubled:
            raise ValueError(f"field names must differ; more than one field is called {doubled[0]!r}")
        if self.identity.field is not None and self.identity.field not in names:
            raise ValueError(f"identity names the field {self.identity.field!r}; {nearest(self.identity.field, names)}")
        if self.identity.field is not None and (of := self.fields[names.index(self.identity.field)]).kind != "number":
            raise ValueError(f"identity names the field {of.name!r}, of kind {of.kind!r}; a form is called by a number")
        codes = [rule.code for rule in self.parsed_rules]
        if twice := sorted(code for code, times in Counter(codes).items() if times > 1):
            raise ValueError(f"two rules have the code {twice[0]!r}; leave one out, or give it another code")
        return self

    def __repr__(self) -> str:
        return f"<Template {self.name!r}: {len(self.pages)} pages, {len(self.fields)} fields, {len(self.rules)} rules>"

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """All fields, page by page."""
        return tuple(spec for page in self.pages for spec in page.fields)

    @property
    def parsed_rules(self) -> tuple[Rule, ...]:
        """The rules, their runs of fields written out."""
        limits = {spec.name: spec.limit for spec in self.fields}
        given = (RuleSpec(rule=rule) if isinstance(rule, str) else rule for rule in self.rules)
        rules = (parse_rule(spec.rule, list(limits), spec.code, spec.level, spec.slip) for spec in given)
        return tuple(rule.with_places(_places_of(rule, limits)) for rule in rules)

    @property
    def checks(self) -> tuple[Rule | Limit, ...]:
        """All that values must keep, for `broken_rules`: what each field may hold, then the rules."""
        return (*(spec.limit for spec in self.fields), *self.parsed_rules)


def _places_of(rule: Rule, limits: dict[str, Limit]) -> int:
    """How many places the fields of a rule have. Raises ValueError where they differ, or a field counts nothing."""
    for name in rule.fields:
        if limits[name].kind not in COUNTING:
            raise ValueError(
                f"rule {rule.text!r} names {name!r}, of kind {limits[name].kind!r}; rules take {', '.join(COUNTING)}"
            )
    places = {limits[name].places for name in rule.fields}
    if len(places) > 1:
        found = ", ".join(f"{name} {limits[name].places}" for name in rule.fields)
        raise ValueError(f"rule {rule.text!r}: expected fields of like places behind their separator, found {found}")
    return places.pop()


def load_template(path: str | Path) -> Template:
    """Read and check a template file. Raises TemplateError naming file, line and mend."""
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, ValueError) as e:
        raise TemplateError(f"{path}: template cannot be read ({reason(e)}); give the path of a JSON file") from None
    try:
        data = parse_json(text)
    except json.JSONDecodeError as e:
        raise TemplateError(f"{path}:{e.lineno}: not JSON: {e.msg} at column {e.colno}; mend that line") from None
    except ValueError as e:
        raise TemplateError(f"{path}: not a template: {e}; start from `inkshift template new`") from None
    try:
        template = Template.model_validate(data)
    except ValidationError as e:
        inside = {item["loc"][:-1] for item in e.errors() if len(item["loc"]) > 1}
        # Where an error lies below a list, pydantic counts the list as empty that is only wrong.
        above = {loc[:n] for loc in inside for n in range(len(loc) + 1)}
        wrong = [item for item in e.errors() if not (item["type"] == "too_short" and item["loc"] in above)]
        raise TemplateError("\n".join(_explain(path, text, data, item) for item in wrong)) from None
    for page in template.pages:
        if page.reference and not is_file(path.parent / page.reference):
            raise TemplateError(f"{path}: reference picture {page.reference!r} is not beside the template")
    return template


def _explain(path: Path, text: str, data: Any, error: Any) -> str:
    """One line: file, line, setting, what was expected and found, and the nearest valid key."""
    loc = tuple(part for part in error["loc"] if part not in ("text", "object"))
    where = ".".join(str(part) for part in loc) or "template"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"unknown key {loc[-1]!r}; {nearest(str(loc[-1]), _known_keys(loc))}"
    elif error["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, found {json.dumps(error['input'], default=str)[:60]}"
    return f"{path}:{_line_of(text, data, loc)}: {where}: {message}"


def _known_keys(loc: tuple[str | int, ...]) -> list[str]:
    owners: dict[str, type[BaseModel]] = {
        "pages": PageSpec,
        "fields": FieldSpec,
        "marks": Mark,
        "identity": Identity,
        "rules": RuleSpec,
    }
    named = [part for part in loc[:-1] if isinstance(part, str) and part in owners]
    return sorted((owners[named[-1]] if named else Template).model_fields)


def _line_of(text: str, data: Any, loc: tuple[str | int, ...]) -> int:
    """The line of `loc` in the file, found by walking the keys in order of appearance; the last that is found."""
    position, node = 0, data
    with suppress(ValueError, IndexError):  # keys written with escapes, or twice
        for part in loc:
            if isinstance(part, str):
                position = text.index(f'"{part}"', position)
                node = node.get(part) if isinstance(node, dict) else None
            elif isinstance(node, list) and part < len(node):
                decoder, at = json.JSONDecoder(), text.index("[", position) + 1
                for _ in range(part):
                    at = _skip(text, at)
                    at = decoder.raw_decode(text, at)[1]
                position, node = _skip(text, at), node[part]
    return text.count("\n", 0, position) + 1


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n,":
        at += 1
    return at
