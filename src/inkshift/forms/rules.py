"""The sums of a form: which of a template's rules its readings break.

A rule says that two sides add up, such as `r01 + r02 = A`. A blank or crossed-out field counts as 0, and
the message says so. A rule with a field that was not read, or not for certain, is left unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inkshift.forms.reading import FormReading, state_of, value_of
from inkshift.forms.template import rule_fields

COUNTED = ("written", "blank", "crossed-out")


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not hold, the fields in it, and one line that shows the sum."""

    rule: str
    fields: tuple[str, ...]
    message: str


def broken_rules(rules: Sequence[str], written: Mapping[str, str]) -> list[Broken]:
    """The rules that do not hold, in their order.

    written: field name to its cells as read, such as `X57`. A rule that names a field which is not in
    `written` or has an unreadable cell is unchecked, and not returned. Raises ValueError for a rule that
    does not read like `a + b = c`.
    """
    checked = (_check(rule, written) for rule in rules)
    return [broken for broken in checked if broken is not None]


def mark_rules(form: FormReading, rules: Sequence[str]) -> FormReading:
    """The form with `rules_broken` of each field set to the messages of the broken rules it is part of.

    Fields whose state is `overwritten` or `overflow` leave their rules unchecked.
    """
    broken = broken_rules(rules, {f.name: f.written for f in form.fields if f.state in COUNTED})
    fields = (replace(f, rules_broken=tuple(b.message for b in broken if f.name in b.fields)) for f in form.fields)
    return replace(form, fields=tuple(fields))


def _check(rule: str, written: Mapping[str, str]) -> Broken | None:
    names = rule_fields(rule)
    if any(name not in written or state_of(written[name]) not in COUNTED for name in names):
        return None
    values = [int(value_of(written[name]) or 0) for name in names]
    split = rule.split("=")[0].count("+") + 1
    left, right = (names[:split], values[:split]), (names[split:], values[split:])
    if sum(left[1]) == sum(right[1]):
        return None
    start = _sum(left[1]) if split > 1 else _is(*left)
    zeros = [f"{n} counted as 0: {state_of(written[n])}" for n in dict.fromkeys(names) if not value_of(written[n])]
    note = f" ({', '.join(zeros)})" if zeros else ""
    return Broken(rule, tuple(dict.fromkeys(names)), f"{rule}: {start}, but {_is(*right)}{note}")


def _is(names: Sequence[str], values: Sequence[int]) -> str:
    return f"{' + '.join(names)} is {_sum(values)}"


def _sum(values: Sequence[int]) -> str:
    terms = " + ".join(map(str, values))
    return f"{terms} = {sum(values)}" if len(values) > 1 else terms
