"""Two models on the same held-out numbers: the interval covers, the verdict follows from it."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkshift.errors import DataError
from inkshift.review.core.models import HeldOutNumber, compare, of_json

pytest.importorskip("scipy", reason="comparing two models needs scipy")
numbers = st.lists(
    st.builds(HeldOutNumber, st.sampled_from("abcdefg"), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(numbers)
def test_a_model_is_no_better_than_itself(seen: list[HeldOutNumber]) -> None:
    found = compare([HeldOutNumber(s.form, s.old, s.old) for s in seen])
    assert found.difference == 0 and found.verdict == "undecided" and found.further is None
    assert found.only_old == found.only_new == 0 and found.old_interval == found.new_interval
    assert found.at95[0] <= found.at90[0] < 0 < found.at90[1] <= found.at95[1], "never sure without a difference"


@given(numbers)
def test_who_is_called_old_does_not_matter(seen: list[HeldOutNumber]) -> None:
    one, other = compare(seen), compare([HeldOutNumber(s.form, s.new, s.old) for s in seen])
    assert one.difference == -other.difference and one.at90 == pytest.approx((-other.at90[1], -other.at90[0]))
    assert (one.old, one.only_old, one.old_interval) == (other.new, other.only_new, other.new_interval)
    assert {one.verdict, other.verdict} in ({"better", "worse"}, {"undecided"})
    assert one.new - one.old == one.only_new - one.only_old
    assert -1 <= one.at95[0] <= one.at90[0] <= one.at90[1] <= one.at95[1] <= 1
    assert of_json(json.loads(json.dumps(asdict(one) | {"learned": 1}))) == one


@pytest.mark.parametrize(("each", "gain"), [(1, 0.0), (1, 0.06), (4, 0.0), (4, 0.06)])
def test_intervals_hold_the_truth_as_often_as_they_say(each: int, gain: float) -> None:
    """each: numbers of a form, on which a model does alike: so that they count for less than they are."""
    rng, held, shares = np.random.default_rng(5), {"at90": 0, "at95": 0}, 0
    rounds, forms = 400, 80
    for _ in range(rounds):
        easy = rng.random(forms)
        old, new = easy < 0.8, (easy < 0.8 - 0.05) | (easy > 1 - 0.05 - gain)
        seen = [HeldOutNumber(str(i), bool(old[i]), bool(new[i])) for i in range(forms) for _ in range(each)]
        found = compare(seen)
        for name in held:
            low, high = getattr(found, name)
            held[name] += low <= gain <= high
        shares += found.old_interval[0] <= 0.8 <= found.old_interval[1]
    assert held["at90"] / rounds > 0.87 and held["at95"] / rounds > 0.93
    assert shares / rounds > 0.92


def test_the_form_counts_and_not_the_number() -> None:
    """The same gain on ten numbers: of ten forms it tells, of one form among many it does not."""
    rest = [HeldOutNumber(f"r{i}", True, True) for i in range(40)]
    spread = compare(rest + [HeldOutNumber(f"f{i}", False, True) for i in range(10)])
    heaped = compare(rest + [HeldOutNumber("f", False, True) for _ in range(10)])
    assert spread.verdict == "better" and heaped.verdict == "undecided"
    assert spread.difference == heaped.difference == 0.2


def test_one_form_tells_nothing_and_none_is_refused() -> None:
    assert compare([HeldOutNumber("f", False, True)] * 50).at90 == (-1.0, 1.0)
    with pytest.raises(DataError, match="no number was held out"):
        compare([])


def test_further_numbers_would_tell_it() -> None:
    """As many more of the same kind, and a difference of the same size is told."""
    seen = [HeldOutNumber(str(i), i % 10 != 0, i % 10 != 1 and i % 25 != 2) for i in range(100)]
    found = compare(seen)
    assert found.verdict == "undecided" and found.further
    times = 1 + -(-found.further // 100)
    more = [HeldOutNumber(f"{k}-{s.form}", s.old, s.new) for k in range(times) for s in seen]
    assert compare(more).verdict == "worse"
