"""Rules of a form: what they say, what holds, what is broken, and what cannot be checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.errors import TemplateError
from inkshift.forms.reading import FieldReading, FormReading, state_of, value_of
from inkshift.forms.rules import Rule, Violation, broken_rules, level_of, mark_rules, parse_rule
from inkshift.forms.template import Template, load_template

NAMES = ["r01", "r02", "A", "B", "C", "list 12", "7"]
RULE = "r01 + r02 = A"
cells = st.text("0123456789X_", min_size=1, max_size=4)


def rule(text: str) -> Rule:
    return parse_rule(text, NAMES)


def check(text: str, written: Mapping[str, str]) -> list[Violation]:
    return broken_rules([rule(text)], written)


def field(name: str, written: str) -> FieldReading:
    state = state_of(written)
    return FieldReading(name, value_of(written) if state == "written" else "", written, state, 0.9)


@pytest.mark.parametrize(
    ("text", "written", "shown"),
    [
        (RULE, {"r01": "_45", "r02": "061", "A": "105"}, "45 + 61 = 106, but A is 105"),
        ("A = r01 + r02", {"A": "105", "r01": "45", "r02": "61"}, "A is 105, but r01 + r02 is 45 + 61 = 106"),
        ("A + B <= C", {"A": "127", "B": "3", "C": "128"}, "127 + 3 = 130, but C is 128"),
        ("10 <= A <= 300", {"A": "412"}, "A is 412"),
        ("10 <= A <= 300", {"A": "XX7"}, "A is 7"),
        ("A = B", {"A": "127", "B": "121"}, "A is 127, but B is 121"),
        ("A + 1 = B", {"A": "127", "B": "121"}, "127 + 1 = 128, but B is 121"),
        ("r01..B = C", {"r01": "1", "r02": "2", "A": "3", "B": "4", "C": "9"}, "1 + 2 + 3 + 4 = 10, but C is 9"),
        ("A = B = C", {"A": "1", "B": "1", "C": "2"}, "B is 1, but C is 2"),
        (
            "A + B = C",
            {"A": "127", "B": "XXX", "C": "128"},
            "127 + 0 = 127, but C is 128 (B counted as 0: crossed-out)",
        ),
    ],
)
def test_a_broken_rule_is_shown_with_its_numbers(text: str, written: dict[str, str], shown: str) -> None:
    (broken,) = check(text, written)
    assert broken.rule == text
    assert broken.fields == rule(text).fields and set(broken.fields) == set(written)
    assert broken.message == f"{broken.code} {text}: {shown}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (RULE, {"r01": "012", "r02": "115", "A": "127"}),
        ("A + B <= C", {"A": "1", "B": "_", "C": "1"}),
        ("10 <= A <= 300", {"A": "300"}),
        ("list 12 + 7 = A", {"list 12": "5", "7": "1", "A": "6"}),
    ],
)
def test_a_rule_that_holds_is_not_returned(text: str, written: dict[str, str]) -> None:
    assert check(text, written) == []


def test_every_field_counted_as_nothing_is_named() -> None:
    (broken,) = check("A + B = C", {"A": "___", "B": "XXX", "C": "1"})
    assert broken.message.endswith("(A counted as 0: blank, B counted as 0: crossed-out)")


@pytest.mark.parametrize("written", [{"r01": "1", "r02": "1"}, {"r01": "1", "r02": "1?", "A": "9"}])
def test_a_missing_or_unreadable_field_leaves_the_rule_unchecked(written: dict[str, str]) -> None:
    assert check(RULE, written) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A + B", "rule 'A \\+ B' must read like"),
        ("A + = B", "must read like"),
        ("A < B", "must read like"),
        ("A = B <= C", "must read like"),
        ("1 <= 2", "names no field"),
        ("r01 + r03 = A", "names the field 'r03'.*did you mean 'r02'"),
        ("r01..D = A", "names the field 'D'"),
        ("B..r01 = C", "'r01' does not come after 'B'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        rule(text)


terms = st.sampled_from([*NAMES, "r01..A", "A..C", "12", "300"])
texts = st.tuples(
    st.lists(st.lists(terms, min_size=1, max_size=3), min_size=2, max_size=3), st.sampled_from(["=", "<="])
).filter(lambda drawn: any(term not in ("12", "300") for side in drawn[0] for term in side))


@given(texts, st.sampled_from(["", " ", "  "]))
def test_a_rule_written_out_reads_as_the_same_rule(drawn: tuple[list[list[str]], str], space: str) -> None:
    sides, operator = drawn
    plus, between = f"{space}+{space}", f"{space}{operator}{space}"
    read = rule(between.join(plus.join(side) for side in sides))
    assert rule(read.text) == read
    assert read.code == rule(read.text.replace(" + ", "+")).code


@given(cells, cells, cells)
def test_a_sum_is_broken_exactly_where_the_numbers_do_not_add_up(a: str, b: str, c: str) -> None:
    numbers = [int("".join(s for s in text if s.isdigit()) or 0) for text in (a, b, c)]
    written = {"r01": a, "r02": b, "A": c}
    assert bool(check(RULE, written)) == (numbers[0] + numbers[1] != numbers[2])
    assert bool(check("A = r02 + r01", written)) == bool(check(RULE, written))
    assert bool(check("r01 + r02 <= A", written)) == (numbers[0] + numbers[1] > numbers[2])


def test_codes_follow_from_kind_and_fields() -> None:
    assert rule(RULE).code == rule("A = r02 + r01").code
    kinds = [rule(text).code.split("-")[0] for text in (RULE, "A = B", "1 <= A", "A <= B")]
    assert kinds == ["sum", "equal", "range", "most"]
    assert len({rule(text).code for text in (RULE, "A + B = C", "A <= B", "B <= A", "A = B", "A + 1 = B")}) == 6


def test_marks_reach_the_fields_concerned_and_no_others() -> None:
    written = {"r01": "045", "r02": "061", "A": "105", "B": "001", "C": "106"}
    form = FormReading("13", tuple(field(*item) for item in written.items()))
    rules = [rule(RULE), rule("A + B = C")]
    marked = mark_rules(form, rules)
    message = f"{rules[0].code} r01 + r02 = A: 45 + 61 = 106, but A is 105"
    assert [f.rules_broken for f in marked.fields] == [(message,), (message,), (message,), (), ()]
    assert mark_rules(marked, rules) == marked
    assert mark_rules(marked, []) == form


def test_a_warning_says_so() -> None:
    (broken,) = broken_rules([parse_rule("A <= 300", NAMES, "W1", "warning")], {"A": "400"})
    assert broken.message == "warning W1 A <= 300: A is 400"
    assert (broken.code, broken.level, level_of(broken.message)) == ("W1", "warning", "warning")
    assert level_of("sum-12ab A + B = C: 1 + 2 = 3, but C is 4") == "error"


def test_a_field_that_overflows_its_box_is_not_added_up() -> None:
    fields = (field("r01", "1"), field("r02", "1"), FieldReading("A", "", "12", "overflow", 0.2))
    form = FormReading("1", fields)
    assert mark_rules(form, [rule(RULE)]) == form


def template(*rules: object) -> dict[str, object]:
    fields = [{"name": name, "box": [10, 10 + 50 * k, 100, 40]} for k, name in enumerate(("p1", "p2", "p3", "total"))]
    page = {"size": [200, 300], "lines": [[0, 5, 9, 5], [0, 9, 9, 9], [5, 0, 5, 9], [9, 0, 9, 9]], "fields": fields}
    return {"name": "tally", "pages": [page], "rules": list(rules)}


def test_a_template_says_rules_as_text_or_with_more() -> None:
    more = {"rule": "p1 <= 300", "code": "W.1", "level": "warning", "slip": 0.1}
    given = Template.model_validate(template("p1..p3 = total", more))
    first, second = given.parsed_rules
    assert first.sides[0].fields == ("p1", "p2", "p3") and (first.level, first.slip) == ("error", 0.02)
    assert (second.code, second.level, second.slip) == ("W.1", "warning", 0.1)
    assert Template.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (["p1 + p4 = total"], "rule 'p1 \\+ p4 = total' names the field 'p4'; known: p1, p2, p3, total"),
        ([{"rule": "p1 = total", "levels": "error"}], "rules.0.levels: unknown key 'levels'; known: .*'level'"),
        ([{"rule": "p1 = total", "slip": 0}], "rules.0.slip: .*greater than 0"),
        ([{"rule": "p1 = total", "code": "warning-1"}], "'warning-1' of rule 'p1 = total' looks like a level"),
        ([5], "rules.0: .*found 5"),
        (["p1 = total", "total = p1"], "two rules have the code 'equal-"),
    ],
)
def test_a_wrong_rule_of_a_template_is_explained(tmp_path: Path, rules: list[object], complaint: str) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template(*rules)), encoding="utf-8")
    with pytest.raises(TemplateError, match=complaint):
        load_template(path)
