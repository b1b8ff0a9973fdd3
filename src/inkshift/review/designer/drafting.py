"""A template as a browser sends it while it is being designed, and what is wrong with it so far."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inkshift.forms.kinds import Order
from inkshift.forms.reading import Kind
from inkshift.forms.rules import parse_rule
from inkshift.forms.template import Template, as_said

MOST_PAGES = 20

Number = Annotated[float, Field(ge=-1e5, le=1e5)]
Four = tuple[Number, Number, Number, Number]
Few = Annotated[int, Field(ge=0, le=20)]


class _DraftPart(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DraftField(_DraftPart):
    name: Annotated[str, Field(max_length=100)]
    box: Four
    cells: Few
    digits: tuple[Few, Few]
    max: Annotated[int, Field(ge=0, lt=10**20)] | None = None
    frame: bool = True
    kind: Kind = "number"
    places: Annotated[int, Field(ge=1, le=6)] | None = None
    signed: bool = False
    order: Order | None = None


class DraftMark(_DraftPart):
    x: Number
    y: Number
    size: Number


class DraftPage(_DraftPart):
    """A page as a browser sends it. Its reference picture is the server's to make."""

    marks: Annotated[list[DraftMark], Field(max_length=20)]
    lines: Annotated[list[Four], Field(max_length=200)]
    fields: Annotated[list[DraftField], Field(max_length=2000)]


class DraftIdentity(_DraftPart):
    by: Literal["file", "barcode", "field"] = "file"
    field: Annotated[str, Field(max_length=100)] | None = None
    pattern: Annotated[str, Field(max_length=200)] | None = None


class DraftTemplate(_DraftPart):
    """A template as a browser sends it, whole or not yet. rules: a line each, as in the file, one with more to it as
    JSON. seen: when it was last changed, as far as the browser knows.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    pages: Annotated[list[DraftPage], Field(min_length=1, max_length=MOST_PAGES)]
    identity: DraftIdentity
    rules: Annotated[list[Annotated[str, Field(max_length=4000)]], Field(max_length=500)]
    seen: Annotated[str, Field(max_length=40)]


@dataclass(frozen=True, slots=True)
class TemplateCheck:
    """problems: what keeps a template from being complete, a line each. rules: what is wrong with each, or nothing."""

    problems: tuple[str, ...]
    rules: tuple[str, ...]


def composed(name: str, before: dict[str, Any], given: DraftTemplate) -> dict[str, Any]:
    """A template of what was sent; sizes and names of pictures are the server's."""
    sent = given.model_dump(mode="json")
    sizes = [page["size"] for page in before["pages"]]
    pages = [
        {**page, "fields": list(map(as_said, page["fields"])), "size": size}
        for page, size in zip(sent["pages"], sizes, strict=True)
    ]
    identity = {key: value for key, value in sent["identity"].items() if value}
    rules = [_as_rule(line.strip()) for line in sent["rules"] if line.strip()]
    return {"name": name, "version": 1, "pages": with_references(pages), "identity": identity, "rules": rules}


def with_references(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pages each of which names the picture of what is printed on it."""
    return [{**page, "reference": f"page-{n}-reference.png"} for n, page in enumerate(pages, 1)]


def _as_rule(line: str) -> str | dict[str, Any]:
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return found if isinstance(found, dict) else line


def check(template: dict[str, Any]) -> TemplateCheck:
    """What is wrong with a template as far as it is."""
    names = [field["name"] for page in template["pages"] for field in page["fields"]]
    rules = tuple(_wrong_with(rule, names) for rule in template["rules"])
    try:
        Template.model_validate(template)
    except ValidationError as e:
        return TemplateCheck(tuple(dict.fromkeys(_problem(template, dict(error)) for error in e.errors())), rules)
    return TemplateCheck(() if names else ("there is no field yet; draw one, or take those proposed",), rules)


def rule_line(rule: str | dict[str, Any]) -> str:
    """A rule of a template as a line: the other way round from `DraftTemplate.rules`."""
    return rule if isinstance(rule, str) else json.dumps(rule, ensure_ascii=False)


def _wrong_with(rule: str | dict[str, Any], names: list[str]) -> str:
    try:
        parse_rule(rule if isinstance(rule, str) else str(rule.get("rule", "")), names)
    except ValueError as e:
        return str(e)
    return ""


def _problem(template: dict[str, Any], error: dict[str, Any]) -> str:
    """One line: where it is, and what is wrong."""
    message = str(error["msg"]).removeprefix("Value error, ")
    loc = [part for part in error["loc"] if part not in ("text", "object")]
    where = [str(part) for part in loc if part not in ("pages", "fields")]
    if loc[:1] == ["pages"] and len(loc) > 3 and loc[2] == "fields":
        name = template["pages"][loc[1]]["fields"][loc[3]]["name"]
        where = [name or f"field {loc[3] + 1}", *map(str, loc[4:])]
    elif loc[:1] == ["pages"] and len(loc) > 1:
        where = [f"page {loc[1] + 1}", *map(str, loc[2:])]
    return f"{', '.join(where)}: {message}" if where else message
