"""When two arms are said to be alike, ahead, behind, and when nothing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inkshift.models import metrics
from inkshift.studies.report.compare import (
    Comparison,
    Interval,
    Resampler,
    against_control,
    between_settings,
    decide,
    percentile_interval,
    resampled_f1,
    summarise,
    t_interval,
)
from inkshift.studies.report.duplicates import f1_without
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.report.stopping import first_small_change, reaches, stop_costs

stats = pytest.importorskip("scipy.stats", reason="comparing runs needs inkshift[study]")

NAN = float("nan")
GAPS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=12)
MARGINS = st.floats(0.001, 0.2)
FLIPPED = {"ahead": "behind", "behind": "ahead", "alike": "alike", "undecided": "undecided"}


def run(number: int, f1: list[float], digest: str = "", **losses: list[float]) -> Replicate:
    """A run of two classes and eight test images, all read right; F1 as given, whatever the images say."""
    true = np.arange(8) % 2
    epochs = np.arange(1, len(f1) + 1)
    nothing = np.full(len(f1), NAN)
    return Replicate(
        number=number,
        digest=digest or f"{number}-{f1}",
        folder=Path("none"),
        seed=number,
        stopped="epochs",
        epochs=epochs,
        training_loss=nothing,
        test_loss=np.array(losses.get("test", nothing)),
        validation_loss=np.array(losses.get("validation", nothing)),
        f1=np.array(f1),
        accuracy=np.array(f1),
        classes=("0", "1"),
        confusions=np.stack([metrics.confusion(true, true, 2)] * len(f1)),
        true=true,
        predicted=true,
    )


def arm(regime: str, runs: list[Replicate], planned: int = 0, **settings: str) -> Arm:
    return Arm(regime, regime, settings, planned or len(runs), tuple(runs))


def study(*sets: tuple[dict[str, str], list[Arm]]) -> Results:
    """A study of sets with one source and one target task, and the settings given for each."""
    made = tuple(
        Set(f"set {i}", {"data": "a"}, {"data": "b"}, "equal", "", True, settings, tuple(arms))
        for i, (settings, arms) in enumerate(sets, 1)
    )
    return Results(Path("none"), "s", "S", 1, 0.01, {"precision": "float32"}, (), {}, "", {}, made, ())


def at(rows: list[Comparison], measure: str) -> Comparison:
    (found,) = [row for row in rows if row.measure == measure]
    return found


@given(GAPS, st.sampled_from([0.9, 0.95]))
def test_an_interval_contains_its_mean(values: list[float], level: float) -> None:
    interval = t_interval(values, level)
    assert interval.low is not None and interval.high is not None
    assert interval.low <= interval.mean <= interval.high
    assert interval.mean == pytest.approx(np.mean(values))


def test_the_interval_is_student_s() -> None:
    interval = t_interval([1, 2, 3, 4, 5], 0.95)  # sd 1.5811, t(4) = 2.7764
    assert (interval.low, interval.high) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-4)


def test_one_value_has_no_interval_and_decides_nothing() -> None:
    interval = t_interval([0.4], 0.9)
    assert (interval.low, interval.high, interval.n) == (None, None, 1)
    assert decide(interval, 0.01) == "undecided"


@given(GAPS, MARGINS)
def test_alike_is_two_one_sided_tests_at_five_percent(values: list[float], margin: float) -> None:
    assume(np.std(values) > 1e-6)
    larger = max(
        stats.ttest_1samp(values, -margin, alternative="greater").pvalue,
        stats.ttest_1samp(values, margin, alternative="less").pvalue,
    )
    assume(abs(larger - 0.05) > 1e-6)
    assert (decide(t_interval(values, 0.9), margin) == "alike") == (larger < 0.05)


@given(GAPS, MARGINS)
def test_swapping_the_arms_flips_sign_and_verdict(values: list[float], margin: float) -> None:
    one, other = t_interval(values, 0.9), t_interval([-value for value in values], 0.9)
    assert one.low is not None and other.high is not None
    assert (other.mean, other.high) == pytest.approx((-one.mean, -one.low), abs=1e-12)
    assert decide(other, margin) == FLIPPED[decide(one, margin)]


@given(st.floats(-0.1, 0.1), st.floats(0, 0.1), MARGINS)
def test_a_verdict_says_where_the_whole_interval_lies(low: float, width: float, margin: float) -> None:
    high = low + width
    verdict = decide(Interval(low, low, high, 0.9, 5), margin)
    assert (verdict == "alike") == (max(abs(low), abs(high)) < margin)
    assert (verdict == "ahead") == (low > margin)
    assert (verdict == "behind") == (high < -margin)


@given(
    st.integers(1, 40), st.integers(2, 6), st.integers(1, 3), st.integers(0, 99), st.sampled_from(["macro", "weighted"])
)
def test_resampling_counts_what_the_metrics_count(
    images: int, classes: int, runs: int, seed: int, average: str
) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, classes, images), rng.integers(0, classes, (runs, images))
    found = resampled_f1(true, predicted, classes, draws=3, seed=seed, average=average)
    drawn = np.random.default_rng(seed).integers(0, images, (3, images))
    for i, row in enumerate(predicted):
        expected = [metrics.f1_score(metrics.confusion(row[some], true[some], classes), average) for some in drawn]
        assert found[i] == pytest.approx(expected)


def test_resampling_in_blocks_gives_as_many_draws_as_asked_for() -> None:
    true = np.array([0, 1, 1])
    assert resampled_f1(true, true[None], 2, draws=250).tolist() == [[1.0] * 250]


def test_identical_predictions_differ_by_nothing_over_test_images() -> None:
    runs = [run(1, [0.5, 0.9]), run(2, [0.5, 0.8])]
    others = [run(1, [0.5, 0.9], "a"), run(2, [0.5, 0.8], "b")]
    results = study(({}, [arm("control", runs), arm("frozen", others)]))
    images = at(against_control(results, Resampler(1)), "last epoch").images
    assert images is not None and (images.mean, images.low, images.high) == (0, 0, 0)


def test_a_percentile_interval_leaves_the_tails_out() -> None:
    interval = percentile_interval(50, np.arange(101.0), 0.9)
    assert (interval.low, interval.high) == pytest.approx((5, 95))


def test_arms_are_paired_by_replicate_and_lost_ones_left_out() -> None:
    control = [run(1, [0.5, 0.90]), run(2, [0.5, 0.80]), run(3, [0.5, 0.10])]
    tuned = [run(2, [0.6, 0.803]), run(1, [0.6, 0.902])]
    results = study(({}, [arm("control", control), arm("fine-tuned", tuned, planned=3)]))
    rows = against_control(results, Resampler(1))
    last = at(rows, "last epoch")
    assert last.interval.n == 2
    assert last.interval.mean == pytest.approx(0.0025)
    assert last.verdict == "alike"
    assert last.note == "2 of 3 pairs"
    assert at(rows, "epoch 1").interval.mean == pytest.approx(0.1)
    assert at(rows, "epoch 1").note == "every pair differs by the same; 2 of 3 pairs"
    assert at(rows, "epoch 1").verdict == "ahead"


def test_the_peak_and_the_last_epoch_are_not_the_same_measure() -> None:
    results = study(({}, [arm("control", [run(1, [0.9, 0.8])]), arm("frozen", [run(1, [0.3, 0.7, 0.6])])]))
    rows = against_control(results, Resampler(1))
    assert at(rows, "peak").interval.mean == pytest.approx(-0.2)
    assert at(rows, "last epoch").interval.mean == pytest.approx(-0.2)
    assert at(rows, "last epoch").note == "one pair: no interval; last epochs 3 against 2"
    assert {row.verdict for row in rows} == {"undecided"}


def test_replicates_that_share_one_network_count_it_once() -> None:
    shared = [run(i, [0.6], "one") for i in (1, 2, 3)]
    results = study(({}, [arm("as-is", shared)]))
    summary = summarise(results.sets[0], results.sets[0].arms[0], Resampler(1))
    assert (summary.last.n, summary.last.low, summary.spread) == (1, None, None)


def test_one_network_that_does_not_learn_stands_against_every_control() -> None:
    control = [run(1, [0.8]), run(2, [0.9]), run(3, [0.85])]
    results = study(({}, [arm("control", control), arm("as-is", [run(1, [0.6], "one")])]))
    last = at(against_control(results, Resampler(1)), "last epoch")
    assert (last.interval.n, last.verdict) == (3, "behind")
    assert last.interval.mean == pytest.approx(-0.25)
    assert last.note == "one network against each run of control"


def test_a_setting_that_does_not_touch_an_arm_is_not_compared_on_it() -> None:
    same = [run(1, [0.8]), run(2, [0.9])]
    results = study(({}, [arm("control", same)]), ({"batch_norm": "adapt"}, [arm("control", same)]))
    assert between_settings(results, Resampler(1)) == []


def test_the_same_tasks_under_two_settings_are_compared() -> None:
    plain = arm("frozen", [run(1, [0.70]), run(2, [0.72])])
    quick = arm("frozen", [run(1, [0.701], "x"), run(2, [0.722], "y")])
    results = study(({}, [plain]), ({"precision": "bfloat16"}, [quick, arm("control", [])]))
    rows = between_settings(results, Resampler(1))
    assert {row.setting for row in rows} == {"precision float32 to bfloat16"}
    assert at(rows, "last epoch").interval.mean == pytest.approx(0.0015)
    assert (rows[0].set, rows[0].baseline_set, rows[0].verdict) == ("set 2", "set 1", "alike")
    assert between_settings(study(({}, [plain]), ({}, [quick])), Resampler(1)) == []


def test_curves_average_the_replicates_that_have_an_epoch() -> None:
    curve = arm("control", [run(1, [0.2, 0.4, 0.9]), run(2, [0.4, 0.6])]).curve("f1")
    assert curve.n.tolist() == [2, 2, 1]
    assert curve.mean.tolist() == pytest.approx([0.3, 0.5, 0.9])
    assert np.isnan(curve.sd[2]) and curve.sd[0] == pytest.approx(0.141421, abs=1e-6)
    assert len(arm("control", [run(1, [0.2])]).curve("validation_loss").epochs) == 0


def test_what_choosing_on_test_data_gains() -> None:
    runs = [
        run(1, [0.5, 0.9, 0.8], test=[2.0, 1.0, 1.5], validation=[2.0, 1.5, 1.0]),
        run(2, [0.5, 0.8, 0.8], test=[2.0, 1.0, 1.0], validation=[2.0, 1.0, 1.5]),
    ]
    (cost,) = stop_costs(study(({}, [arm("control", runs), arm("as-is", [run(1, [0.5])])])))
    assert (cost.on_test, cost.on_validation, cost.last) == pytest.approx((0.85, 0.8, 0.8))
    assert cost.optimism is not None and cost.optimism.mean == pytest.approx(0.05)
    assert cost.fired == (None, 3)
    assert cost.held_out == (None, None)


def test_without_a_validation_loss_there_is_no_cost_to_tell() -> None:
    (cost,) = stop_costs(study(({}, [arm("control", [run(1, [0.5, 0.6], test=[2.0, 1.0])])])))
    assert (cost.on_test, cost.on_validation, cost.optimism, cost.held_out) == (0.6, None, None, None)


def test_the_rule_fires_on_a_small_change_either_way() -> None:
    loss = np.array([2.0, 1.0, 1.5, 1.500001])
    assert first_small_change(np.arange(1, 5), loss, 1e-5) == 4
    assert first_small_change(np.arange(1, 5), loss, 1e-7) is None


def test_epochs_to_reach_control_s_peak() -> None:
    control = arm("control", [run(1, [0.5, 0.9]), run(2, [0.895, 0.9])])
    frozen = arm("frozen", [run(1, [0.5, 0.6]), run(2, [0.5, 0.89])])
    first, second = reaches(study(({}, [control, frozen])))
    assert first.target == pytest.approx(0.89)
    assert (first.epochs, first.median) == ((2, 1), 1.5)
    assert (second.epochs[0], second.median) == (None, None)


def test_scores_without_near_duplicates() -> None:
    good = run(1, [1.0])
    predicted = good.true.copy()
    predicted[0] = 1
    worse = Replicate(**{**good.__dict__, "predicted": predicted})
    whole, without = f1_without(arm("control", [worse]), np.array([0]))
    assert (round(whole, 3), without) == (0.873, 1.0)
    with pytest.raises(ValueError, match="test image 8 of 8"):
        f1_without(arm("control", [worse]), np.array([8]))


def test_the_verdict_is_that_of_two_one_sided_tests() -> None:
    ttost = pytest.importorskip("statsmodels.stats.weightstats").ttost_paired
    rng = np.random.default_rng(4)
    for spread in (0.001, 0.005, 0.01, 0.03):
        a = 0.9 + rng.normal(0, spread, 6)
        b = a + rng.normal(0.002, spread, 6)
        larger = ttost(b, a, -0.01, 0.01)[0]
        interval = t_interval(b - a, 0.90)
        assert interval.low is not None and interval.high is not None
        assert (larger < 0.05) == (interval.low > -0.01 and interval.high < 0.01)


def test_macro_f1_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    from inkshift.models.metrics import confusion, f1_score

    rng = np.random.default_rng(5)
    true, predicted = rng.integers(0, 7, 400), rng.integers(0, 8, 400)
    for average in ("macro", "weighted"):
        expected = metrics.f1_score(true, predicted, average=average, labels=range(7), zero_division=0)
        assert f1_score(confusion(predicted, true, 8), average) == pytest.approx(expected)
