"""The rules of a form: what its fields must add up to and may hold, and which of these rules its values break.

`broken_rules` is asked of what was read and of what people settled alike.

A rule compares sums of fields: `r01 + r02 = A`, `p01..p12 + blank = total`, `A + B <= C`, `10 <= A <= 300`,
`A = copy_A`. A blank or crossed-out field counts as 0 in a rule, and the message says so. A rule with a field that
was not read, or not for certain, is left unchecked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from inkshift.errors import nearest
from inkshift.forms.kinds import MOST_DIGITS, WITH_DIGITS, digits_of, number_of, parse_value, plain, shown
from inkshift.forms.reading import CROSSED, EMPTY, UNREADABLE, FieldReading, FormReading, Kind, state_of, value_of

Level = Literal["error", "warning"]
Operator = Literal["=", "<="]

COUNTED = ("written", "blank", "crossed-out")
SLIP = 0.02
"""How often a rule is taken to be broken by those who fill in the form, where a template does not say."""

# Fields on one side of a rule, each time it is named.
MOST_TERMS = 4000

_LIKE = "must read like 'a + b = c', 'a <= b', '10 <= a <= 300' or 'p01..p12 = total'"

_UNSETTLED = "not settled, as too many readings fit the rules that hang together"


@dataclass(frozen=True, slots=True)
class Side:
    """What stands on one side of a rule. fields: added up, as often as they are named; number: added to them, in the
    smallest unit of the rule's fields."""

    text: str
    fields: tuple[str, ...]
    number: int

    def value(self, values: Mapping[str, int]) -> int:
        """The sum of this side. Raises KeyError for a field that is not in `values`."""
        return sum(values[name] for name in self.fields) + self.number


@dataclass(frozen=True, slots=True)
class Rule:
    """Sides that are equal, or none larger than the next.

    code: names the rule and does not change when others come or go. slip: share of forms, over 0 to 1, whose writer
    breaks it. places: of its fields behind their separator; it counts in that unit.
    """

    text: str
    operator: Operator
    sides: tuple[Side, ...]
    code: str
    level: Level
    slip: float
    places: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields concerned, each once, in their order."""
        return tuple(dict.fromkeys(name for side in self.sides for name in side.fields))

    def broken_at(self, values: Mapping[str, int]) -> tuple[Side, Side] | None:
        """The first two sides that do not keep the rule; None where all do."""
        for left, right in pairwise(self.sides):
            a, b = left.value(values), right.value(values)
            if a > b or (self.operator == "=" and a != b):
                return left, right
        return None

    def with_places(self, places: int) -> Rule:
        """The rule over fields with so many places behind their separator; its own whole numbers stay what they are."""
        sides = tuple(replace(side, number=side.number * 10**places) for side in self.sides)
        return replace(self, sides=sides, places=places)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one field may hold. cells: how many it has, 0 for none; digits: fewest and most; largest: value, if any.

    kind, places, signed: see `kinds.parse_value`.
    """

    field: str
    cells: int = 0
    digits: tuple[int, int] = (1, MOST_DIGITS)
    largest: int | None = None
    kind: Kind = "number"
    places: int = 0
    signed: bool = False

    def parse(self, text: str) -> str:
        """The value that a text gives; see `kinds.parse_value`."""
        return parse_value(text, self.kind, self.places, self.signed)

    def compared(self, value: str) -> str:
        """What two values of the field are compared by: 0942 is 942, unless the field must have four digits or has no
        room for them, as a code has."""
        fewest, most = self.digits
        if self.kind not in WITH_DIGITS or len(digits_of(value)) > min(most, self.cells or most):
            return value
        return plain(value, fewest)


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold, the fields in it, and one line that begins with its code and shows the sum.

    left, right: what that line says the two sides come to, in figures alone, right empty where one side is a number;
    of a limit, whose code is `cells`, `digits` or `max`, what is there and what may be. zeros: fields that counted as
    0, and their states.
    """

    rule: str
    code: str
    level: Level
    fields: tuple[str, ...]
    message: str
    left: str
    right: str
    zeros: tuple[tuple[str, str], ...] = ()


def parse_rule(
    text: str, names: Sequence[str], code: str | None = None, level: Level = "error", slip: float = SLIP
) -> Rule:
    """A rule over the fields called `names`, in the template's order, by which a run such as `p01..p12` goes.

    A term that is a field's name is that field, else a whole number is a number. Raises ValueError with one line
    that names the rule, what is wrong, and the nearest field.
    """
    parts = [part.strip() for part in re.split(r"(<=|=)", text)]
    found, operators = parts[::2], sorted(set(parts[1::2]))
    terms = [[term.strip() for term in side.split("+")] for side in found]
    if len(operators) != 1 or not all(term for side in terms for term in side):
        raise ValueError(f"rule {text!r} {_LIKE}")
    operator: Operator = "=" if operators == ["="] else "<="
    sides = tuple(_side(text, side, names) for side in terms)
    if not any(side.fields for side in sides):
        raise ValueError(f"rule {text!r} names no field; it {_LIKE}")
    plain = f" {operator} ".join(side.text for side in sides)
    return Rule(plain, operator, sides, code or _code(operator, sides), level, slip)


def _side(rule: str, terms: Sequence[str], names: Sequence[str]) -> Side:
    fields: list[str] = []
    number = 0
    for term in terms:
        first, dots, last = (part.strip() for part in term.partition(".."))
        if term in names:
            fields.append(term)
        elif re.fullmatch(r"[0-9]+", term):
            if len(term) > MOST_DIGITS:
                raise ValueError(f"rule {rule[:60]!r}: expected at most {MOST_DIGITS} digits, found {len(term)}")
            number += int(term)
        elif dots:
            start, end = (names.index(_known(rule, name, names)) for name in (first, last))
            if end <= start:
                raise ValueError(
                    f"rule {rule!r}: {last!r} does not come after {first!r} in the template; turn them round"
                )
            fields += names[start : end + 1]
        else:
            fields.append(_known(rule, term, names))
        if len(fields) > MOST_TERMS:
            raise ValueError(f"rule {rule[:60]!r}: expected at most {MOST_TERMS:,} fields on a side; name each once")
    return Side(" + ".join(terms), tuple(fields), number)


def _known(rule: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise ValueError(f"rule {rule!r} names the field {name!r}; {nearest(name, names)}")
    return name


def _code(operator: Operator, sides: Sequence[Side]) -> str:
    """What kind of rule it is and four digits that follow from its fields, whichever way round they are written."""
    plain = [(sorted(side.fields), side.number) for side in sides]
    if operator == "=":
        kind = "sum" if any(len(side.fields) != 1 or side.number for side in sides) else "equal"
        plain.sort()
    else:
        kind = "range" if any(not side.fields for side in sides) else "most"
    return f"{kind}-{hashlib.sha256(repr((operator, plain)).encode()).hexdigest()[:4]}"


def broken_rules(rules: Sequence[Rule | Limit], written: Mapping[str, str]) -> list[Violation]:
    """The rules that do not hold, in their order.

    written: field name to its cells as read, such as `X57`. A rule that names a field which is not in
    `written` or has an unreadable cell is unchecked, and not returned.
    """
    named = {name for rule in rules if isinstance(rule, Rule) for name in rule.fields}  # dates and texts are in none
    counted = {n: number_of(cells) for n, cells in written.items() if n in named and state_of(cells) in COUNTED}
    checked = (_over(rule, written) if isinstance(rule, Limit) else _check(rule, written, counted) for rule in rules)
    return [broken for broken in checked if broken is not None]


def side_sums(rule: Rule, written: Mapping[str, str]) -> tuple[list[str], bool]:
    """What the sides of a rule come to by the fields that are known, and whether all are; see `broken_rules`."""
    known = {name: number_of(written[name]) for name in rule.fields if state_of(written.get(name, "?")) in COUNTED}
    sums = [sum(known.get(name, 0) for name in side.fields) + side.number for side in rule.sides]
    return [shown(number, rule.places) for number in sums], all(name in known for name in rule.fields)


def mark_rules(form: FormReading, rules: Sequence[Rule | Limit]) -> FormReading:
    """The form with `rules_broken` of each field set to the messages of the broken rules it is part of.

    Fields whose state is `overwritten` or `overflow` leave their rules unchecked. What is `unsettled` stays so.
    """
    broken = broken_rules(rules, {f.name: f.written for f in form.fields if f.state in COUNTED})
    of_field: dict[str, list[str]] = {}
    for each in broken:
        for name in dict.fromkeys(each.fields):
            of_field.setdefault(name, []).append(each.message)

    def messages(field: FieldReading) -> tuple[str, ...]:
        open_ = [message for message in field.rules_broken if _UNSETTLED in message]
        return (*open_, *of_field.get(field.name, ()))

    return replace(form, fields=tuple(replace(field, rules_broken=messages(field)) for field in form.fields))


def unsettled(rule: Rule) -> str:
    """What fields of a rule say that too many readings fit: in `rules_broken`, so that a person looks at them."""
    return f"{rule.code} {rule.text}: {_UNSETTLED}; look at its fields"


def level_of(message: str) -> Level:
    """Whether a message of `rules_broken` is an error or a warning."""
    return "warning" if message.startswith("warning ") else "error"


def as_written(state: str, value: str = "") -> str:
    """An answer as cells, so that rules can be asked of it: its digits, else one cell that is as `state` says."""
    return value or {"blank": EMPTY, "crossed-out": CROSSED}.get(state, UNREADABLE)


def _over(limit: Limit, written: Mapping[str, str]) -> Violation | None:
    cells = written.get(limit.field, "")
    if limit.kind not in WITH_DIGITS or state_of(cells) != "written":
        return None
    count, (fewest, most) = len(digits_of(cells)), limit.digits
    if limit.cells and count > limit.cells:
        code, found, may, said = "cells", str(count), str(limit.cells), f"{count} digits do not fit {limit.cells} cells"
    elif count > most or (count < fewest and not limit.cells):
        may = f"{fewest}-{most}" if fewest < most else str(most)
        code, found, said = "digits", str(count), f"{count} digits, expected {may}"
    elif limit.largest is not None and number_of(cells) > limit.largest * 10**limit.places:
        value = value_of(cells)
        code, found, may, said = "max", value, str(limit.largest), f"{value}, expected at most {limit.largest}"
    else:
        return None
    name = limit.field
    return Violation(name, code, "error", (name,), f"{code} {name}: {said}", found, may)


def _check(rule: Rule, written: Mapping[str, str], values: Mapping[str, int]) -> Violation | None:
    names = rule.fields
    if not all(name in values for name in names):
        return None
    sides = rule.broken_at(values)
    if sides is None:
        return None
    left, right = sides

    def terms(side: Side) -> str:
        numbers = [values[name] for name in side.fields] + [side.number] * bool(side.number)
        sum_ = [sum(numbers)] if len(numbers) > 1 else []
        return " = ".join([" + ".join(shown(n, rule.places) for n in numbers), *(shown(n, rule.places) for n in sum_)])

    if left.fields and right.fields:
        first = terms(left) if _several(left) else f"{left.text} is {terms(left)}"
        said = f"{first}, but {right.text} is {terms(right)}"
    else:
        side = left if left.fields else right
        said = f"{side.text} is {terms(side)}"
    zeros = tuple((n, state_of(written[n])) for n in names if not (values[n] or value_of(written[n])))
    note = f" ({', '.join(f'{name} counted as 0: {state}' for name, state in zeros)})" if zeros else ""
    head = f"warning {rule.code}" if rule.level == "warning" else rule.code
    message = f"{head} {rule.text}: {said}{note}"
    figures = [f"{side.text} = {terms(side)}" for side in (left, right) if side.fields]
    if len(figures) > 1 and _several(left):
        figures[0] = terms(left)
    right_figures = figures[1] if len(figures) > 1 else ""
    return Violation(rule.text, rule.code, rule.level, names, message, figures[0], right_figures, zeros)


def _several(side: Side) -> bool:
    return len(side.fields) + bool(side.number) > 1
