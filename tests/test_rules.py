"""Sums of a form: what holds, what is broken, and what cannot be checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.forms.reading import FieldReading, FormReading, state_of, value_of
from inkshift.forms.rules import broken_rules, mark_rules

RULE = "r01 + r02 = A"
cells = st.text("0123456789X_", min_size=1, max_size=4)


def field(name: str, written: str) -> FieldReading:
    state = state_of(written)
    return FieldReading(name, value_of(written) if state == "written" else "", written, state, 0.9)


def test_a_broken_sum_is_shown_with_its_numbers() -> None:
    (broken,) = broken_rules([RULE], {"r01": "_45", "r02": "061", "A": "105"})
    assert broken.rule == RULE
    assert broken.fields == ("r01", "r02", "A")
    assert broken.message == "r01 + r02 = A: 45 + 61 = 106, but A is 105"


def test_a_sum_that_holds_is_not_returned() -> None:
    assert broken_rules([RULE], {"r01": "012", "r02": "115", "A": "127"}) == []


def test_a_field_counted_as_nothing_is_named() -> None:
    (broken,) = broken_rules(["A + B = C"], {"A": "127", "B": "XXX", "C": "128"})
    assert broken.message == "A + B = C: 127 + 0 = 127, but C is 128 (B counted as 0: crossed-out)"
    (broken,) = broken_rules(["A + B = C"], {"A": "___", "B": "XXX", "C": "1"})
    assert broken.message.endswith("(A counted as 0: blank, B counted as 0: crossed-out)")


def test_the_total_may_stand_on_the_left() -> None:
    (broken,) = broken_rules(["A = r01 + r02"], {"A": "105", "r01": "45", "r02": "61"})
    assert broken.message == "A = r01 + r02: A is 105, but r01 + r02 is 45 + 61 = 106"


@pytest.mark.parametrize("written", [{"r01": "1", "r02": "1"}, {"r01": "1", "r02": "1?", "A": "9"}])
def test_a_missing_or_unreadable_field_leaves_the_rule_unchecked(written: dict[str, str]) -> None:
    assert broken_rules([RULE], written) == []


def test_a_malformed_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="must read like"):
        broken_rules(["A + B"], {"A": "1", "B": "2"})


@given(cells, cells, cells)
def test_a_rule_is_broken_exactly_where_the_numbers_do_not_add_up(a: str, b: str, c: str) -> None:
    numbers = [int("".join(s for s in text if s.isdigit()) or 0) for text in (a, b, c)]
    broken = broken_rules([RULE], {"r01": a, "r02": b, "A": c})
    assert bool(broken) == (numbers[0] + numbers[1] != numbers[2])


@given(cells, cells, cells)
def test_turning_a_rule_round_changes_nothing(a: str, b: str, c: str) -> None:
    written = {"r01": a, "r02": b, "A": c}
    assert bool(broken_rules([RULE], written)) == bool(broken_rules(["A = r02 + r01"], written))


def test_marks_reach_the_fields_concerned_and_no_others() -> None:
    fields = [
        field("r01", "045"),
        field("r02", "061"),
        field("A", "105"),
        field("B", "001"),
        field("C", "106"),
    ]
    form = FormReading("13", tuple(fields))
    marked = mark_rules(form, [RULE, "A + B = C"])
    message = "r01 + r02 = A: 45 + 61 = 106, but A is 105"
    assert [f.rules_broken for f in marked.fields] == [(message,), (message,), (message,), (), ()]
    assert mark_rules(marked, [RULE, "A + B = C"]) == marked
    assert mark_rules(marked, []) == form


def test_a_field_that_overflows_its_box_is_not_added_up() -> None:
    fields = (field("r01", "1"), field("r02", "1"), FieldReading("A", "", "12", "overflow", 0.2))
    form = FormReading("1", fields)
    assert mark_rules(form, [RULE]) == form
