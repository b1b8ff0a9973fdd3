"""A form's fields read together: posteriors as counted one by one, clear digits kept, broken rules left broken."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trust_joint
from crossed import table
from inkshift import Reader
from inkshift.datasets.labels import read_labels
from inkshift.forms.assemble import alone, assemble
from inkshift.forms.joint import linked, tree
from inkshift.forms.joint.domain import prior_of
from inkshift.forms.joint.form import decode_form, solve
from inkshift.forms.joint.tree import WORK, Link, Number, StepBudget
from inkshift.forms.reading import (
    Candidate,
    FieldReading,
    FormReading,
    PageReading,
    page_from_json,
    page_to_json,
    state_of,
    value_of,
)
from inkshift.forms.rules import Rule, mark_rules, parse_rule
from inkshift.forms.template import FieldSpec, Template
from inkshift.forms.trust import acceptable
from specimens.pen import mnist_test_glyphs

System = tuple[list[Number], list[Link]]


@st.composite
def systems(draw: st.DrawFn) -> System:
    """Up to five numbers of up to three values, and up to three links, rings among them."""
    count = draw(st.integers(2, 5))
    share = st.floats(0.01, 1)
    numbers = []
    for _ in range(count):
        values = draw(st.lists(st.integers(0, 6), max_size=3))
        weights = draw(st.lists(share, min_size=len(values) + 1, max_size=len(values) + 1))
        numbers.append(Number(np.array(values, np.int64), np.array(weights)))
    links = []
    for _ in range(draw(st.integers(1, 3))):
        members = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))
        signs = draw(st.lists(st.sampled_from([1, 1, -1, 2]), min_size=len(members), max_size=len(members)))
        broken = draw(st.floats(1e-6, 1))
        lost = draw(st.tuples(st.floats(broken, 1), st.floats(broken, 1)))
        terms = tuple(zip(members, signs, strict=True))
        links.append(Link(terms, draw(st.booleans()), draw(st.integers(-3, 8)), broken, lost))
    return numbers, links


def one_by_one(numbers: list[Number], links: list[Link]) -> dict[tuple[int, ...], float]:
    """The weight of every assignment."""

    def weight(places: tuple[int, ...]) -> float:
        values = [int(n.values[k]) if k < len(n.values) else None for n, k in zip(numbers, places, strict=True)]
        own = np.prod([n.weights[k] for n, k in zip(numbers, places, strict=True)])
        return float(own * np.prod([link.weight(values) for link in links]))

    places = product(*(range(len(number.weights)) for number in numbers))
    return {each: weight(each) for each in places}


@given(systems())
@settings(max_examples=60)
def test_posteriors_are_those_of_all_assignments_counted_one_by_one(system: System) -> None:
    numbers, links = system
    weights = one_by_one(numbers, links)
    whole = sum(weights.values())
    found = solve(numbers, links)
    assert weights[tuple(found.best)] == pytest.approx(max(weights.values()))
    assert found.unsettled == ()
    for v, posterior in enumerate(found.posteriors):
        counted = [sum(w for places, w in weights.items() if places[v] == k) / whole for k in range(len(posterior))]
        assert posterior == pytest.approx(counted, abs=1e-9)
        assert posterior.sum() == pytest.approx(1)


@given(systems())
@settings(max_examples=20)
def test_the_order_of_rules_does_not_matter(system: System) -> None:
    numbers, links = system
    turned = links[::-1]
    for one, other in zip(solve(numbers, links).posteriors, solve(numbers, turned).posteriors, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@st.composite
def rings(draw: st.DrawFn) -> System:
    """Sums of up to five numbers of up to three values as `decode_form` makes them, seldom broken, rings among them."""
    numbers, links = draw(systems())
    some = []
    for link in links:
        broken = draw(st.floats(1e-5, 0.05))
        lost = (broken, min(1.0, broken * 50)) if link.equal else (1.0, 1.0)
        some.append(Link(link.terms, link.equal, link.bound, broken, lost))
    return numbers, some


@given(rings())
@settings(max_examples=40)
def test_the_search_finds_the_likeliest_assignment(system: System) -> None:
    numbers, links = system
    weights = one_by_one(numbers, links)
    posteriors, best = linked.search(numbers, links)
    assert weights[tuple(best)] == pytest.approx(max(weights.values()))
    assert all(posterior.sum() == pytest.approx(1) for posterior in posteriors)


def test_the_search_is_about_as_sure_as_all_cases_counted() -> None:
    off = []
    for seed in range(6):
        numbers, links = table(1, 2, seed)
        few = [Number(n.values[:3], np.append(n.weights[:3], n.weights[3:].sum())) for n in numbers]
        weights = one_by_one(few, links)
        posteriors, best = linked.search(few, links)
        for v, (posterior, k) in enumerate(zip(posteriors, best, strict=True)):
            sure = sum(w for places, w in weights.items() if places[v] == k) / sum(weights.values())
            off.append(posterior[k] - sure)
    assert max(off) < 0.03 and np.mean(np.abs(off)) < 0.01


def small_ring(rng: np.random.Generator) -> System:
    """Four or five numbers of up to three values, mostly the true one the likeliest, and two to four sums of them."""
    truth = rng.integers(0, 9, int(rng.integers(4, 6)))
    numbers = []
    for value in truth.tolist():
        values = np.unique(np.append(rng.integers(0, 9, int(rng.integers(0, 3))), value))
        weights = rng.dirichlet(np.full(len(values) + 1, 0.5)) + 0.005
        if rng.random() < 0.8:
            at, top = values.tolist().index(value), int(weights.argmax())
            weights[[at, top]] = weights[[top, at]]
        numbers.append(Number(values, weights))
    links = []
    for _ in range(int(rng.integers(2, 5))):
        members = rng.choice(len(truth), int(rng.integers(2, 5)), replace=False)
        signs, broken = rng.choice([1, 1, -1, 2], len(members)), float(10 ** rng.uniform(-5, -1.3))
        bound = int((truth[members] * signs).sum()) + int(rng.random() < 0.1)
        terms = tuple(zip(members.tolist(), signs.tolist(), strict=True))
        links.append(Link(terms, True, bound, broken, (broken, min(1.0, 50 * broken))))
    return numbers, links


def test_the_search_is_hardly_surer_than_all_cases_counted_make_it() -> None:
    off = []
    for numbers, links in map(small_ring, map(np.random.default_rng, range(40))):
        weights = one_by_one(numbers, links)
        posteriors, best = linked.search(numbers, links)
        for v, (posterior, k) in enumerate(zip(posteriors, best, strict=True)):
            sure = sum(w for places, w in weights.items() if places[v] == k) / sum(weights.values())
            off.append(posterior[k] - sure)
    assert max(off) < 0.02


def test_links_in_rings_are_searched_where_there_are_too_many_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [Number(np.array([k, k + 1]), np.array([0.6, 0.3, 0.1])) for k in range(3)]
    links = [
        Link(((0, 1), (1, 1), (2, -1)), True, 0, 0.01, (0.01, 0.2)),
        Link(((0, 1), (1, 2), (2, -1)), True, 1, 0.01, (0.01, 0.2)),
    ]
    exact = solve(numbers, links)
    monkeypatch.setattr(tree, "CASES", 1)
    assert solve(numbers, links).best == exact.best


def test_a_form_of_200_fields_in_rings_of_sums_is_settled_by_few_steps() -> None:
    numbers, links = table(13, 13, 0)
    wrong = sum(number.weights[:-1].argmax() != 0 for number in numbers)
    posteriors, best = linked.search(numbers, links)
    assert len(numbers) == 196 and wrong > 5
    assert set(best) == {0}
    assert np.median([posterior[0] for posterior in posteriors]) > 0.99


def test_the_result_is_the_same_beside_busy_processes() -> None:
    numbers, links = table(5, 5, 1)
    quiet = linked.search(numbers, links)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        loaded = linked.search(numbers, links)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert loaded[1] == quiet[1]
    assert [p.tobytes() for p in loaded[0]] == [p.tobytes() for p in quiet[0]]


SPECS = [FieldSpec(name=name, box=(0, 0, 60, 20), cells=3, digits=(0, 3)) for name in ("r01", "r02", "A", "B", "C")]
NAMES = [spec.name for spec in SPECS]
SUMS = ("r01 + r02 = A", "A + B = C")


def rules(*texts: str, slip: float = 0.02) -> list[Rule]:
    return [parse_rule(text, NAMES, slip=slip) for text in texts]


def field(name: str, **candidates: float) -> FieldReading:
    """A field with these candidates, the first of them read: `_045` stands for `045`, `__45` for `_45`."""
    given = tuple(Candidate(text[1:], p) for text, p in candidates.items())
    written, state = given[0].written, state_of(given[0].written)
    value = value_of(written) if state == "written" else ""
    return FieldReading(name, value, written, state, given[0].probability, given)


def form(*fields: FieldReading) -> FormReading:
    return FormReading("13", fields)


def read(given: FormReading, *texts: str) -> FormReading:
    return decode_form(given, rules(*texts), SPECS)


PLAIN = form(field("r01", _012=0.97), field("r02", _115=0.6, _116=0.4), field("A", _128=0.7, _127=0.3))


def test_a_sum_decides_between_candidates() -> None:
    sharp = form(field("r01", _012=0.999), field("r02", _115=0.6, _116=0.4), field("A", _129=0.7, _127=0.3))
    joint = read(sharp, SUMS[0])
    assert [f.value for f in joint.fields] == ["012", "115", "127"]
    assert joint["A"].confidence > 0.9 and joint["r02"].confidence > 0.9
    assert joint["A"].candidates[0] == Candidate("127", joint["A"].confidence)
    assert all(sum(c.probability for c in f.candidates) <= 1 + 1e-9 for f in joint.fields)


def test_a_sum_that_holds_does_not_make_a_page_lie_right() -> None:
    """Those of the next row, or of another form, hold as well."""
    sharp = form(field("r01", _012=0.999), field("r02", _115=0.6, _116=0.4), field("A", _129=0.7, _127=0.3))
    aside = replace(sharp, fields=tuple(replace(f, whose=0.66) for f in sharp.fields))
    joint = read(aside, SUMS[0])
    assert [f.value for f in joint.fields] == [f.value for f in read(sharp, SUMS[0]).fields]
    assert (
        max(f.confidence for f in joint.fields) <= 0.66 < 0.9 < min(f.confidence for f in read(sharp, SUMS[0]).fields)
    )


@pytest.mark.parametrize("sure", [0.78, 0.9, 0.95])
def test_a_total_one_too_high_that_is_plainly_written_is_not_mended_above_09(sure: float) -> None:
    """Who adds up wrong is mostly off by one digit, as who reads wrong is: the sum alone does not tell which it was."""
    total = field("A", _227=sure, _127=(1 - sure) / 2, _221=(1 - sure) / 4)
    joint = read(form(field("r01", _100=0.995), field("r02", _128=0.995), total), SUMS[0])
    assert joint["A"].confidence < 0.9


def test_without_rules_or_where_nobody_keeps_them_each_field_is_read_by_itself() -> None:
    assert read(PLAIN) == PLAIN
    assert decode_form(PLAIN, rules(SUMS[0], slip=1.0), SPECS) == PLAIN
    assert read(PLAIN, SUMS[1]) == PLAIN


def test_a_clear_digit_is_not_overruled_and_the_broken_rule_is_named() -> None:
    """As on form 13 of C1: 150 is written for 105."""
    given = form(
        field("r01", __44=0.98, __49=0.02),
        field("r02", __61=0.99, __81=0.01),
        field("A", _109=0.6, _105=0.4),
        field("B", ____=0.94, ___1=0.02),
        field("C", _150=0.995, _105=0.005),
    )
    joint = mark_rules(read(given, *SUMS), rules(*SUMS))
    assert [f.written for f in joint.fields] == ["_44", "_61", "105", "___", "150"]
    assert joint["B"].state == "blank"
    assert joint["r01"].rules_broken == ()
    assert [len(joint[name].rules_broken) for name in "ABC"] == [1, 1, 1]
    assert all(joint[name].confidence <= p for name, p in (("A", 0.4), ("B", 0.94), ("C", 0.995)))


def test_an_empty_cell_gets_no_digit() -> None:
    given = form(field("A", _105=0.99), field("B", ____=0.9, ___1=0.1), field("C", _106=0.99))
    assert read(given, SUMS[1])["B"].written == "___"


def test_a_number_that_is_no_candidate_is_found_where_one_digit_of_it_is_open() -> None:
    given = form(field("r01", _012=0.999), field("r02", _115=0.999), field("A", _123=0.4, _125=0.3))
    assert read(given, SUMS[0])["A"].value == "127"
    far = form(field("r01", _012=0.999), field("r02", _115=0.999), field("A", _145=0.4, _165=0.3))
    assert read(far, SUMS[0])["A"].value == "145"


def test_a_field_that_cannot_be_read_keeps_its_state_and_shows_what_it_should_hold() -> None:
    given = form(field("r01", _012=0.999), field("r02", _115=0.999), field("A", **{"_1?7": 0.6, "_197": 0.1}))
    joint = read(given, SUMS[0])["A"]
    assert (joint.state, joint.value, joint.written, joint.confidence) == ("overwritten", "", "1?7", 0.6)
    assert joint.candidates[0] == Candidate("1?7", 0.6)
    assert joint.candidates[1].written == "127" and joint.candidates[1].probability > 0.3


def test_an_unreadable_field_tells_nothing_of_the_others() -> None:
    given = form(field("r01", _012=0.9, _072=0.1), field("r02", _115=0.7, _175=0.3), field("A", **{"_???": 0.99}))
    joint = read(given, SUMS[0])
    assert joint["r01"].value == "012" and joint["r01"].confidence == pytest.approx(0.9, abs=0.01)


def test_cells_stay_in_step_with_what_is_written() -> None:
    joint = read(PLAIN, SUMS[0])
    for item in joint.fields:
        assert "".join(cell.symbol for cell in item.cells) in ("", item.written)


def test_copies_are_read_together() -> None:
    given = form(field("A", _127=0.5, _121=0.5), field("B", _127=0.6, _727=0.4))
    joint = read(given, "A = B")
    assert [f.value for f in joint.fields] == ["127", "127"]
    assert min(f.confidence for f in joint.fields) > 0.95


def test_a_prior_learned_from_past_forms_is_heard() -> None:
    given = form(field("A", _900=0.5, _003=0.5), field("B", _900=0.4, _003=0.4))
    prior = prior_of([0, 1, 2, 3, 4, 5, 3, 2] * 5, 999)
    joint = decode_form(given, rules("A <= B"), SPECS, {"A": prior, "B": prior})
    assert [f.value for f in joint.fields] == ["003", "003"]
    assert sum(prior(value) for value in range(1000)) == pytest.approx(1000)


def test_a_page_that_is_a_whole_form_is_decoded_where_it_is_read_with_the_same_result() -> None:
    fields = [{"name": spec.name, "box": spec.box, "cells": 3, "digits": [0, 3]} for spec in SPECS]
    page = {"size": [300, 300], "lines": [[0, 5, 290, 5]], "reference": "x.png", "fields": fields}
    tally = Template.model_validate({"name": "tally", "pages": [page], "rules": list(SUMS)})
    read_ = PageReading("a.png", 1, fields=PLAIN.fields, template="tally")
    (before,) = assemble([read_], tally)
    assert [item.value for item in before] == ["012", "116", "128"]
    there = page_from_json(page_to_json(alone(read_, tally)))
    assert there.together and there.fields == before.fields
    (after,) = assemble([there, PageReading("a.png", 2, blank=True)], tally)
    assert after.fields == before.fields
    for unread in (PageReading("a.png", 1, error="torn"), PageReading("a.png", 1, blank=True)):
        assert alone(unread, tally) == unread
    several = Template.model_validate({"name": "tally", "pages": [page, {**page, "fields": []}], "rules": list(SUMS)})
    assert alone(read_, several) == read_, "what is on the other page belongs to it"


def test_fields_that_cannot_be_settled_stay_as_they_are_and_go_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "CASES", 1)
    monkeypatch.setattr(linked, "STEPS", -1)
    some = rules("r01 + r02 = A", "r01 + A <= r02", "C <= 999")
    beside = field("C", _999=0.9, _998=0.1)
    joint = mark_rules(decode_form(form(*PLAIN.fields, beside), some, SPECS), some)
    for before, after in zip(PLAIN.fields, joint.fields[:3], strict=True):
        assert (after.written, after.confidence) == (before.written, before.confidence)
        assert all("not settled" in message for message in after.rules_broken[:2])
        assert not acceptable(after.state, after.rules_broken)
    assert joint.fields[3].rules_broken == ()


def dense(sums: int, terms: int, seed: int = 0) -> tuple[FormReading, list[Rule], list[FieldSpec]]:
    """196 unclear fields of four cells, and true sums of so many of them each."""
    rng = np.random.default_rng(seed)
    names = [f"f{v}" for v in range(196)]
    values = rng.integers(1000, 9000, len(names))
    fields = []
    for name, value in zip(names, values.tolist(), strict=True):
        texts = [str(value + by) for by in (0, *range(1, 10), *range(10, 100, 10))]
        fields.append(field(name, **{f"_{text}": 0.5 if text == str(value) else 0.02 for text in texts}))
    rules = []
    for _ in range(sums):
        mine = rng.choice(len(names), terms, replace=False)
        text = " + ".join(names[v] for v in mine) + f" = {values[mine].sum()}"
        rules.append(parse_rule(text, names))
    specs = [FieldSpec(name=name, box=(0, 0, 60, 20), cells=4, digits=(0, 4)) for name in names]
    return form(*fields), rules, specs


@pytest.mark.parametrize(("sums", "terms"), [(30, 100), (200, 20), (200, 100)])
def test_dense_rules_end_by_counted_steps_and_go_to_a_person(
    sums: int, terms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    spend = StepBudget.spend

    def noted(own: StepBudget, steps: int) -> None:
        left.append(own.left)
        spend(own, steps)

    monkeypatch.setattr(StepBudget, "spend", noted)
    given, some, specs = dense(sums, terms)
    joint = decode_form(given, some, specs)
    ruled = {name for rule in some for name in rule.fields}
    assert left[0] == WORK and all(steps >= 0 for steps in left), "nothing is done once the steps are used up"
    assert len(left) < WORK / 2
    for before, after in zip(given.fields, joint.fields, strict=True):
        assert (after.written, after.confidence) == (before.written, before.confidence)
        assert any("not settled" in message for message in after.rules_broken) == (after.name in ruled)


def test_what_hangs_together_in_few_terms_is_settled_beside_what_is_not() -> None:
    given, some, specs = dense(60, 100)
    beside = decode_form(form(*given.fields, *PLAIN.fields), [*some, *rules(SUMS[0])], [*specs, *SPECS])
    assert "not settled" in beside["f0"].rules_broken[0]
    by_itself = read(PLAIN, SUMS[0])
    assert [beside[name] for name in ("r01", "r02", "A")] == list(by_itself.fields)


def test_a_rule_that_chains_a_thousand_fields_ends() -> None:
    names = [f"f{v}" for v in range(1100)]
    chain = form(*(field(name, _500=0.7, _501=0.2) for name in names))
    specs = [FieldSpec(name=name, box=(0, 0, 60, 20), cells=3, digits=(0, 3)) for name in names]
    joint = decode_form(chain, [parse_rule(" = ".join(names), names)], specs)
    assert {item.value for item in joint.fields} == {"500"}


def test_the_work_of_a_form_is_the_limit_of_its_proposals_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "WORK", 100)
    joint = read(PLAIN, SUMS[0])
    assert [(f.written, f.confidence) for f in joint.fields] == [(f.written, f.confidence) for f in PLAIN.fields]
    assert all("not settled" in f.rules_broken[0] for f in joint.fields)


def test_real_tallies(shared_data: Path, shipped_model: str) -> None:
    """The pages of C1: as many fields right as alone or more, and the wrong total of form 13 named."""
    folder = shared_data / "c1"
    labels = {(item.form, item.field): item.value for item in read_labels(str(folder / "labels.csv"))}
    template = Path(__file__).parents[1] / "examples" / "c1" / "template.json"
    joint = {item.name: item for item in Reader(template).read([folder / "pages"])}
    right = [item.value == labels[name, item.name] for name, one in joint.items() for item in one.fields]
    assert sum(right) >= 48
    assert [item.value for item in joint["c1-13"].fields] == ["44", "61", "105", "", "150"]
    assert all("A + B = C: 105 + 0 = 105, but C is 150" in joint["c1-13"][name].rules_broken[0] for name in "ABC")


@pytest.mark.slow
def test_rules_mend_most_errors_and_overrule_no_clear_digit(
    shared_data: Path, shipped_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forms put together from readings of blurred MNIST test digits; one in ten has a sum that its writer got wrong."""
    monkeypatch.setattr(trust_joint, "FOLDER", tmp_path)
    monkeypatch.setattr(trust_joint, "BLURS", (2.0,))
    glyphs = mnist_test_glyphs(shared_data / "mnist")
    tally, _ = trust_joint.counted(trust_joint.kinds()[0], glyphs, 200)
    assert tally.wrong > 20
    assert tally.wrong_joint <= 0.4 * tally.wrong
    assert tally.clear > 200 and tally.overruled == 0
