"""When two arms are said to be alike, ahead, behind, and when nothing is said."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inkshift.models import metrics
from inkshift.studies.report.analysis import f1_without, first_small_change, forgotten, reaches, stop_costs
from inkshift.studies.report.compare import (
    Comparison,
    Resampler,
    against_control,
    between_settings,
    main_rows,
    resampled_f1,
    summarise,
    with_holm,
)
from inkshift.studies.report.results import Arm, Replicate, Results, Set
from inkshift.studies.stats import (
    Interval,
    Verdict,
    at_each_of,
    basic_interval,
    chance_f1,
    claim_values,
    decide,
    decide_both,
    holm,
    t_interval,
)
from kooverjee_rules import share_interval

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
        calibration=nothing,
        seconds=np.arange(1.0, len(f1) + 1),
    )


def arm(regime: str, runs: list[Replicate], planned: int = 0, **settings: str) -> Arm:
    return Arm(regime, regime, settings, planned or len(runs), tuple(runs))


def study(*sets: tuple[dict[str, str], list[Arm]]) -> Results:
    """A study of sets with one source and one target task, and the settings given for each."""
    made = tuple(
        Set(f"set {i}", {"data": "a"}, {"data": "b"}, "equal", "", True, settings, tuple(arms))
        for i, (settings, arms) in enumerate(sets, 1)
    )
    return Results(Path("none"), "s", "S", 1, 0.01, {"precision": "float32"}, {}, "", {}, (), choices=(), sets=made)


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


def test_a_basic_interval_mirrors_what_was_drawn_and_stays_where_a_score_can_be() -> None:
    interval = basic_interval(50, np.arange(101.0) - 10, 0.9)  # drawn ten too low: the interval goes ten up
    assert (interval.low, interval.high) == pytest.approx((15, 105))
    assert basic_interval(0.99, np.linspace(0.9, 0.99, 101), 0.9, (0, 1)).high == 1.0
    wide = t_interval([0.2, 0.99, 0.98], 0.95, (0, 1))
    assert (wide.low, wide.high) == (0.0, 1.0)


def test_arms_are_paired_by_replicate_and_lost_ones_left_out() -> None:
    control = [run(1, [0.6, 0.90]), run(2, [0.6, 0.80]), run(3, [0.6, 0.10]), run(4, [0.6, 0.85])]
    tuned = [run(2, [0.7, 0.803]), run(1, [0.7, 0.902]), run(4, [0.7, 0.851])]
    results = study(({}, [arm("control", control), arm("fine-tuned", tuned, planned=4)]))
    rows = against_control(results, Resampler(1))
    last = at(rows, "last epoch")
    assert last.interval.n == 3
    assert last.interval.mean == pytest.approx(0.002)
    assert decide(last.interval, 0.01) == "alike"
    assert last.note == "3 of 4 pairs"
    assert at(rows, "epoch 1").interval.mean == pytest.approx(0.1)


def test_pairs_without_spread_or_too_few_decide_nothing() -> None:
    same = t_interval([0.2, 0.2, 0.2], 0.9)
    assert (decide(same, 0.01), decide_both(same, None, 0.01)) == ("ahead", "undecided")
    two = t_interval([0.2, 0.2001], 0.9)
    assert (decide(two, 0.01), decide_both(two, None, 0.01)) == ("ahead", "undecided")
    control = [run(i, [0.8]) for i in (1, 2, 3)]
    found = study(({}, [arm("control", control), arm("frozen", [run(i, [0.8], f"f{i}") for i in (1, 2, 3)])]))
    last = at(against_control(found, Resampler(1)), "last epoch")
    assert decide(last.interval, 0.01) == "alike" and last.verdict == "undecided"
    assert last.note == "every pair differs by the same, so there is no spread to judge by"
    assert set(last.values.values()) == {1.0}


def test_arms_that_read_no_better_than_chance_are_not_called_alike() -> None:
    def guessing(number: int, digest: str) -> Replicate:
        """Reads everything as 0: F1 1/3 over two even classes, which is what chance would give its readings."""
        made = run(number, [1 / 3 + 1e-4 * number * (digest == "f")], f"{digest}{number}")
        nothing = np.zeros_like(made.true)
        return replace(made, predicted=nothing, confusions=metrics.confusion(nothing, made.true, 2)[None])

    arms = [arm(name, [guessing(i, name[0]) for i in (1, 2, 3)]) for name in ("control", "fine-tuned")]
    last = at(against_control(study(({}, arms)), Resampler(1)), "last epoch")
    assert decide_both(last.interval, last.images, 0.01) == "alike" and last.verdict == "undecided"
    assert last.note.startswith("fine-tuned reads no better than chance; control reads no better than chance")
    learned = arm("control", [run(i, [0.9 + i / 100]) for i in (1, 2, 3)])
    last = at(against_control(study(({}, [learned, arms[1]])), Resampler(1)), "last epoch")
    assert last.verdict == "behind"  # one that learned and one that did not do differ


def test_chance_is_the_mean_over_readings_dealt_out_at_random() -> None:
    rng = np.random.default_rng(3)
    true, predicted = rng.choice(4, 300, p=[0.6, 0.2, 0.1, 0.1]), rng.choice(4, 300, p=[0.1, 0.5, 0.2, 0.2])
    for average in ("macro", "weighted"):
        dealt = [metrics.f1_score(metrics.confusion(rng.permutation(predicted), true, 4), average) for _ in range(2000)]
        expected = chance_f1(metrics.confusion(predicted, true, 4), average)
        assert expected == pytest.approx(np.mean(dealt), abs=4 * np.std(dealt) / np.sqrt(2000))


def test_arms_are_held_against_each_other_where_validation_images_choose() -> None:
    """The last epoch swings; the chosen one does not."""
    chosen = [0.90, 0.91, 0.92]
    control = [run(i, [f, 0.95], validation=[0.1, 0.2]) for i, f in enumerate(chosen, 1)]
    tuned = [run(i, [f + 0.001 * i, 0.6 + 0.1 * i], f"t{i}", validation=[0.1, 0.2]) for i, f in enumerate(chosen, 1)]
    rows = against_control(study(({}, [arm("control", control), arm("fine-tuned", tuned)])), Resampler(1))
    assert at(rows, "chosen epoch").interval.mean == pytest.approx(0.002)
    assert (at(rows, "chosen epoch").verdict, at(rows, "last epoch").verdict) == ("alike", "undecided")
    assert at(rows, "chosen epoch").images is None  # these runs kept no readings but the last epoch's
    assert [row.measure for row in main_rows(rows)] == ["chosen epoch"]
    blind = study(({}, [arm("control", [run(1, [0.9])]), arm("frozen", [run(1, [0.8])])]))
    assert [row.measure for row in main_rows(against_control(blind, Resampler(1)))] == ["last epoch"]


def test_a_verdict_needs_the_interval_over_test_images_too() -> None:
    replicates = t_interval([0.030, 0.031, 0.032], 0.9)
    wide, narrow = Interval(0.03, -0.02, 0.08, 0.9, 1000), Interval(0.03, 0.02, 0.04, 0.9, 1000)
    assert decide_both(replicates, None, 0.01) == decide_both(replicates, narrow, 0.01) == "ahead"
    assert decide_both(replicates, wide, 0.01) == "undecided"


@given(GAPS, MARGINS)
def test_a_claim_holds_where_its_p_value_is_below_five_percent(values: list[float], margin: float) -> None:
    assume(np.std(values) > 1e-6)
    interval = t_interval(values, 0.9)
    found = claim_values(interval, margin)
    assume(all(abs(value - 0.05) > 1e-6 for value in found.values()))
    said = [claim for claim, value in found.items() if value < 0.05]
    assert said == ([] if decide(interval, margin) == "undecided" else [decide(interval, margin)])


def test_holm_holds_the_chance_of_any_wrong_verdict() -> None:
    """Thirty comparisons whose true difference is the margin: each claim alone is wrong in up to 5 % of them."""
    rng = np.random.default_rng(8)
    plain = together = 0
    for _ in range(60):
        intervals = [t_interval(rng.normal(0.01, 0.01, 6), 0.9) for _ in range(30)]
        plain += any(decide(one, 0.01) != "undecided" for one in intervals)
        together += any(one != "undecided" for one in holm([claim_values(one, 0.01) for one in intervals]))
    assert plain > 45 and together <= 3 + 3 * np.sqrt(0.05 * 0.95 * 60)
    sure: dict[Verdict, float] = {"alike": 1.0, "ahead": 1e-6, "behind": 1.0}
    assert holm([sure, *[{**sure, "ahead": 0.04}] * 3]) == ["ahead", *["undecided"] * 3]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
    def is_alike(values: list[float]) -> None:
        found = holm([{"alike": 1.0, "ahead": value, "behind": 1.0} for value in values])
        ones = [1.0] * (2 * len(values))
        wanted = multipletests([*values, *ones], 0.05, "holm")[0][: len(values)].tolist()
        assert [one == "ahead" for one in found] == wanted

    gc.freeze()  # statsmodels collects garbage at each call: a minute, where all of the suite is loaded
    try:
        is_alike()
    finally:
        gc.unfreeze()


def test_only_main_comparisons_are_tested_together() -> None:
    control = [run(i, [0.7, 0.8 + i / 100]) for i in (1, 2, 3, 4)]
    frozen = [run(i, [0.7, 0.6 + i / 90], f"f{i}") for i in (1, 2, 3, 4)]
    main, other = with_holm(
        against_control(study(({}, [arm("control", control), arm("frozen", frozen)])), Resampler(1)), []
    )
    assert [(row.measure, row.holm is None) for row in main] == [
        ("last epoch", False),
        ("peak", True),
        ("epoch 1", True),
        ("epoch 2", True),
    ]
    assert other == []


def test_the_interval_over_images_covers_the_score_of_all_images() -> None:
    """62 classes of very different size, as SD19 has them, of which each is read right with its own odds."""
    rng = np.random.default_rng(62)
    share = rng.dirichlet(np.ones(62)) * 0.6 + 0.4 / 62
    odds = rng.uniform(0.5, 0.98, 62)
    table = np.diag(odds) + (1 - odds)[:, None] * rng.dirichlet(np.full(62, 0.3), 62)
    whole = share[:, None] * table
    truth = float((2 * np.diag(whole) / (whole.sum(0) + whole.sum(1))).mean())
    held = {"basic": 0, "percentile": 0}
    for trial in range(100):
        cells = rng.choice(62 * 62, 1000, p=whole.ravel())
        true, predicted = cells // 62, cells % 62
        mean = metrics.f1_score(metrics.confusion(predicted, true, 62))
        draws = resampled_f1(true, predicted[None], 62, draws=150, seed=trial)[0]
        basic = basic_interval(mean, draws, 0.95, (0, 1))
        low, high = np.quantile(draws, [0.025, 0.975])
        assert basic.low is not None and basic.high is not None
        held["basic"] += basic.low <= truth <= basic.high
        held["percentile"] += bool(low <= truth <= high)
    assert held["basic"] >= 88  # 95 % of 100 less three standard deviations
    assert held["basic"] > held["percentile"] + 8


def test_replicates_added_until_decided_give_no_more_wrong_verdicts_than_one_look() -> None:
    """Differences that are just the margin, so that neither alike nor ahead is true, looked at with 3, 6, 12 and 24
    replicates: a verdict is wrong whenever there is one."""
    rng, looks = np.random.default_rng(7), (3, 6, 12, 24)

    def wrong(values: np.ndarray[Any, Any], level: float) -> bool:
        return any(decide(t_interval(values[:n], level), 0.01) != "undecided" for n in looks)

    drawn = rng.normal(0.01, 0.004, (1000, looks[-1]))
    spent = np.mean([wrong(values, at_each_of(len(looks))) for values in drawn])
    plain = np.mean([wrong(values, 0.9) for values in drawn])
    assert spent <= 0.10 + 3 * np.sqrt(0.1 * 0.9 / len(drawn))  # alike or ahead, 5 % each
    assert plain > 0.10 + 3 * np.sqrt(0.1 * 0.9 / len(drawn))
    assert at_each_of(1) == 0.9


def test_a_set_that_is_looked_at_more_often_needs_wider_intervals() -> None:
    scores = {"control": [0.9, 0.902, 0.904], "frozen": [0.9305, 0.9345, 0.9348]}
    arms = [arm(regime, [run(i, [f1]) for i, f1 in enumerate(each, 1)]) for regime, each in scores.items()]
    found = []
    for looks in (1, 2000):
        results = study(({}, arms))
        results = replace(results, sets=tuple(replace(one, looks=looks) for one in results.sets))
        (row,) = main_rows(against_control(results, Resampler(1)))
        found.append((row.verdict, row.note))
    assert found == [
        ("ahead", ""),
        ("undecided", "of 2000 looks, so its intervals are at 100.0 %"),
    ]


def test_an_exact_share_interval_is_that_of_statsmodels() -> None:
    confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint
    for hits in (0, 3, 5):
        found = share_interval(hits, 5, 0.9)
        assert (found.low, found.high) == pytest.approx(confint(hits, 5, 0.1, method="beta"))


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


def test_an_interval_that_is_given_one_source_network_says_so() -> None:
    control = arm("control", [run(1, [0.8]), run(2, [0.9]), run(3, [0.85])])
    frozen = arm("frozen", [run(1, [0.7]), run(2, [0.81]), run(3, [0.74])])
    for networks, note in (("one", "given one source network"), ("each", "")):
        rows = against_control(study(({"source_networks": networks}, [control, frozen])), Resampler(1))
        assert at(rows, "last epoch").note == note


def test_curves_of_a_study_share_their_range_and_say_their_steps_and_where_they_end() -> None:
    figures = pytest.importorskip("inkshift.studies.report.figures", reason="figures need matplotlib")
    arms = [arm("control", [run(1, [0.5, 0.9])]), arm("frozen", [run(1, [0.3, 0.7, 0.6])])]
    figure = figures.f1_by_epoch(study(({}, arms)).sets[0], arms, (0.1, 0.95), 79)
    (axes,) = figure.axes
    assert axes.get_ylim() == (0.1, 0.95) and axes.child_axes[0].get_xlabel() == "steps"
    assert [text.get_text() for text in axes.texts] == ["frozen", "control (to epoch 2)"]
    _, scale = figures.confusion(study(({}, arms)).sets[0], arms[0]).axes
    assert scale.get_yticklabels()[-1].get_text() == "100 %"


def test_a_setting_that_does_not_touch_an_arm_is_not_compared_on_it() -> None:
    same = [run(1, [0.8]), run(2, [0.9])]
    results = study(({}, [arm("control", same)]), ({"batch_norm": "adapt"}, [arm("control", same)]))
    assert between_settings(results, Resampler(1)) == []


def test_the_same_tasks_under_two_settings_are_compared() -> None:
    plain = arm("frozen", [run(1, [0.70]), run(2, [0.72]), run(3, [0.71])])
    quick = arm("frozen", [run(1, [0.701], "x"), run(2, [0.722], "y"), run(3, [0.7115], "z")])
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
    assert (first.median_seconds, first.whole_seconds, second.median_seconds) == (2.0, 2.0, None)


def test_a_source_network_s_seconds_are_shared_by_the_runs_that_start_from_it() -> None:
    control = arm("control", [run(1, [0.5, 0.9]), run(2, [0.5, 0.9])])
    tuned = [
        Replicate(
            **{**run(k, [0.9, 0.9]).__dict__, "source": "s", "source_seconds": 8.0, "source_f1": (0.9, 0.9 - k / 10)}
        )
        for k in (1, 2)
    ]
    other = Replicate(**{**run(3, [0.9]).__dict__, "source": "t", "source_seconds": NAN})
    results = study(({}, [control, arm("fine-tuned", tuned), arm("frozen", [other])]))
    own, carried, unknown = reaches(results)
    assert (own.source, carried.median_seconds, carried.whole_seconds) == (0.0, 1.0, 5.0)
    assert (unknown.median_seconds, unknown.whole_seconds) == (1.0, None)
    (lost,) = forgotten(results)
    assert (lost.arm, lost.before, lost.after) == ("fine-tuned", pytest.approx(0.9), pytest.approx(0.75))
    assert lost.difference.mean == pytest.approx(-0.15)


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
