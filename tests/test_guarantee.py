"""Learn then Test: how many labels it takes, p-values, the promise kept where the truth is known, and the command."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from inkshift.cli import calibrate as command
from inkshift.errors import DataError, SettingError
from inkshift.forms.judge import guarantee
from inkshift.forms.judge.evaluate import Case
from inkshift.forms.judge.guarantee import CalibrationSample, needed, p_betting, p_binomial
from inkshift.forms.judge.shift import drift
from inkshift.forms.out.export import row
from inkshift.forms.reading import FieldReading, FormReading, State
from inkshift.forms.trust import load_policy, scores, usual

pytest.importorskip("scipy")
worlds = pytest.importorskip("trust_worlds")


def drawn(forms: int, fields: int, seed: int, risk: float = 3.0) -> CalibrationSample:
    """Labelled forms whose fields hang together; the reader's confidence ranks them well and is too high."""
    rng = np.random.default_rng(seed)
    z = 0.7 * rng.standard_normal((forms, fields)) + 0.7 * rng.standard_normal((forms, 1))
    wrong = rng.random((forms, fields)) < 1 / (1 + np.exp(risk + 2 * z))
    confidence = np.round(1 / (1 + np.exp(-(4.5 + 2 * z))), 4)
    return CalibrationSample(
        np.arange(forms).repeat(fields), confidence.ravel(), wrong.ravel(), np.full(wrong.size, fields)
    )


def calibrated(labelled: CalibrationSample, seed: int = 0) -> guarantee.Calibration:
    learn, test = guarantee.split(labelled, seed)
    return guarantee.Calibration(guarantee.fit_score(learn.confidence, learn.wrong), learn, test, seed)


def test_plain_counting_says_how_many_labels_it_takes() -> None:
    assert [needed(0.01, 0.95, wrong) for wrong in (0, 1, 2)] == [299, 473, 628]
    assert needed(0.05, 0.95) == 59
    assert needed(0.5, 0.9, 3) == 12


@given(st.floats(0.005, 0.3), st.sampled_from([0.8, 0.95, 0.99]), st.integers(0, 5))
def test_as_many_as_needed_suffice_and_one_less_does_not(error: float, confidence: float, wrong: int) -> None:
    n = needed(error, confidence, wrong)
    assert p_binomial(n, wrong, error) <= 1 - confidence < p_binomial(n - 1, wrong, error)


def test_the_score_rises_with_confidence_and_tells_how_often_readings_are_right() -> None:
    labelled = drawn(4000, 1, 1)
    score = scores(guarantee.fit_score(labelled.confidence, labelled.wrong), labelled.confidence)
    assert (np.diff(score[np.argsort(labelled.confidence)]) >= 0).all()
    for part in np.array_split(np.argsort(score), 5):
        assert abs(score[part].mean() - (~labelled.wrong[part]).mean()) < 0.03


def test_the_score_bears_labels_without_one_error() -> None:
    knots = guarantee.fit_score(np.array([0.9, 0.99, 1.0]), np.zeros(3, bool))
    assert 0.5 < scores(knots, 0.9) < scores(knots, 1.0) < 1


def test_a_form_never_both_learns_and_tests() -> None:
    learn, test = guarantee.split(drawn(101, 3, 0), 5)
    assert not set(learn.form) & set(test.form)
    assert (learn.forms, test.forms) == (25, 76)
    assert len(learn.form) + len(test.form) == 303


@pytest.mark.parametrize(("forms", "fields"), [(500, 1), (300, 5)])
def test_few_draws_break_a_promise(forms: int, fields: int) -> None:
    large = drawn(200_000, 1, 99)
    broken = kept = 0
    for seed in range(25):
        calibration = calibrated(drawn(forms, fields, seed), seed)
        promise = calibration.promise(0.05, 0.9)
        if promise.threshold is not None:
            taken = scores(calibration.knots, large.confidence) >= promise.threshold
            broken += large.wrong[taken].mean() > 0.05
            kept += taken.mean() > 0.3
    assert broken <= 7  # at most 2.5 are expected; more than 7 has probability 1 in 400
    assert kept >= 12


UNEQUAL = [w for w in worlds.TABLE if "rows" in w.name or "wholly" in w.name or "edge" in w.name]
CHOSEN = [*worlds.adversary(0.05, 400)[1::2], *worlds.adversary(0.02, 600)[::4]]


@pytest.mark.parametrize("world", [*UNEQUAL, *CHOSEN], ids=lambda world: world.name)
def test_a_promise_holds_whatever_the_sizes_of_forms_and_however_their_errors_hang_together(world: Any) -> None:
    assert worlds.simulate(world, 30, 5).broken <= 4  # of 30 at 5 %, 5 or more have probability 1 in 65 at the edge


@pytest.mark.parametrize("world", worlds.TABLE[5:7], ids=lambda world: world.name)
def test_rare_large_forms_go_to_people_and_the_others_keep_their_acceptance(world: Any) -> None:
    count = worlds.simulate(world, 20, 9)
    assert count.accepted > 0.6
    _, promise = worlds.promised(worlds.draw(world, np.random.default_rng(1)), world.error, 1)
    assert promise.threshold is not None and promise.most == 1


def test_nothing_is_promised_of_forms_larger_than_any_that_was_looked_at() -> None:
    for seed in range(20):
        labelled = drawn(400, 3, seed)
        assert calibrated(labelled, seed).promise(0.05, 0.9).most == 3


def test_betting_holds_for_forms_of_any_size_up_to_the_largest() -> None:
    """Pages of 1 or 20 fields, the large ones wholly wrong as often as makes one accepted field in ten wrong."""
    rng = np.random.default_rng(1)
    share = 0.1 / (0.1 + 20 * 0.9)
    low = 0
    for _ in range(400):
        large = rng.random((600, 1)) < share
        accepted, wrong = np.where(large, 20.0, 1.0), np.where(large, 20.0, 0.0)
        low += p_betting(accepted[:150], wrong[:150], accepted[150:], wrong[150:], 0.1, 20)[0] <= 0.1
    assert low <= 54


def test_betting_against_forms_that_are_as_bad_as_the_promise_seldom_pays() -> None:
    rng = np.random.default_rng(0)
    low = 0
    for _ in range(400):
        whole = (rng.random((120, 1)) < 0.1) * 5.0  # all five fields of a form are wrong, or none
        accepted = np.full((120, 1), 5.0)
        low += p_betting(accepted[:40], whole[:40], accepted[40:], whole[40:], 0.1, 5)[0] <= 0.1
    assert low <= 54  # 10 % of 400, and three standard deviations less than 15


def test_betting_pays_where_single_fields_are_seldom_wrong() -> None:
    accepted, wrong = np.full((400, 1), 5.0), np.zeros((400, 1))
    wrong[::50] = 1
    assert p_betting(accepted[:100], wrong[:100], accepted[100:], wrong[100:], 0.05, 5)[0] < 0.001
    assert p_betting(accepted[:100], wrong[:100], accepted[100:], 5 * wrong[100:], 0.01, 5)[0] > 0.5


def test_more_errors_never_make_a_binomial_promise_easier() -> None:
    values = p_binomial(np.full(20, 300), np.arange(20), 0.02)
    assert (np.diff(values) > 0).all()


def test_too_few_labels_promise_nothing_and_say_what_is_missing() -> None:
    calibration = calibrated(drawn(150, 1, 3))
    assert calibration.promise(0.01, 0.95).threshold is None
    lack = calibration.lacking(0.01, 0.95)
    assert lack.accepted + lack.labels == needed(0.01, 0.95, lack.wrong + 1)
    assert lack.forms > lack.labels


def test_what_a_policy_may_not_accept_counts_nowhere() -> None:
    states: tuple[State, ...] = ("written", "overflow", "overwritten")
    cases = [Case(str(i), "A", "1", "", "1", "1", states[i % 3], "right", 1.0) for i in range(90)]
    fields = [FieldReading("A", "1", "1", states[i % 3], 1.0) for i in range(90)]
    calibration = guarantee.calibrate(cases, [row(FormReading(str(i)), f) for i, f in enumerate(fields)])
    part = calibration.part(calibration.test, guarantee.Promise(0.1, 0.0, 1))
    assert part.accepted == (calibration.test.confidence == 1).sum() < 35


def test_a_sample_is_of_whole_forms() -> None:
    rows = [row(FormReading(f"f{i}"), FieldReading(n, "1", "1", "written", 0.9)) for i in range(50) for n in "ABC"]
    sample = guarantee.draw_sample(rows, 20, 1)
    assert len(sample) == 21
    assert len({r["form"] for r in sample}) == 7
    assert sample == guarantee.draw_sample(rows, 20, 1) != guarantee.draw_sample(rows, 20, 2)
    with pytest.raises(DataError, match="150 fields were read"):
        guarantee.draw_sample(rows, 151, 0)


Files = tuple[Path, Path]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Readings of 400 forms of one field, eight of them wrong and unsure, and their labels."""
    rng = np.random.default_rng(0)
    readings, labels = tmp_path / "r.csv", tmp_path / "l.csv"
    rows = []
    for i in range(400):
        confidence = 0.5 if i % 50 == 0 else float(rng.uniform(0.9, 1))
        rows.append(row(FormReading(f"f{i}"), FieldReading("A", str(i), str(i), "written", confidence)))
    for path, columns, lines in (
        (readings, list(rows[0]), [list(r.values()) for r in rows]),
        (labels, ["form", "value"], [[f"f{i}", str(i + (i % 50 == 0))] for i in range(400)]),
    ):
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(lines)
    return readings, labels


@pytest.fixture
def run() -> Run:
    app = typer.Typer()
    app.command()(command.calibrate)

    def run_(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run_


def test_the_command_writes_a_policy_that_names_its_data(files: Files, run: Run, tmp_path: Path) -> None:
    status, text = run(*files, "--error", 0.02, "--out", tmp_path / "p.json")
    assert status == 0 and "asked" in text
    policy = load_policy(tmp_path / "p.json")
    assert (policy.error, policy.confidence, policy.unit) == (0.02, 0.95, "form")
    assert policy.for_score.forms + policy.for_threshold.forms == 400
    assert policy.for_threshold.wrong == 0
    assert policy.readings.sha256 != policy.labels.sha256


def test_the_command_fails_where_nothing_can_be_promised(files: Files, run: Run, tmp_path: Path) -> None:
    status, text = run(*files, "--error", 0.001, "--out", tmp_path / "p.json")
    assert status == 1
    assert "needs 2,995 accepted labels without one" in text
    assert "could be promised" in text
    assert not (tmp_path / "p.json").exists()


def test_the_command_draws_fields_to_key_without_what_was_read(files: Files, run: Run, tmp_path: Path) -> None:
    status, _ = run(files[0], "--sample", 30, "--out", tmp_path / "key.csv")
    lines = list(csv.DictReader((tmp_path / "key.csv").read_text().splitlines()))
    assert status == 0 and len(lines) == 30
    assert list(lines[0]) == ["form", "field", "value", "source", "page"]
    assert {line["value"] for line in lines} == {""}


@pytest.mark.parametrize(
    "wrong", [["--sample", "3", "labels.csv"], [], ["labels.csv", "--error", "1.5"], ["--sample", "3"]]
)
def test_wrong_use_is_named(files: Files, run: Run, wrong: list[str]) -> None:
    with pytest.raises(SettingError, match=r"--sample|--error"):
        run(files[0], *wrong)


def test_drift_is_told_where_forms_look_otherwise_and_seldom_where_they_do_not() -> None:
    def readings(seed: int, shift: float = 0.0, fields: int = 2) -> list[tuple[str, float]]:
        rng = np.random.default_rng(seed)
        sure = 1 / (1 + np.exp(-(4.5 - shift + 2 * rng.standard_normal((300, fields)))))
        return [(str(form), float(c)) for form, row_ in enumerate(sure) for c in row_]

    then = usual(readings(0), 2)
    assert sum(bool(drift(then, 2, readings(seed))) for seed in range(1, 41)) <= 2
    assert all("mean confidence" in drift(then, 2, readings(seed, 2.0))[0] for seed in range(5))
    told = drift(then, 2, [*readings(1), *((f"large{i % 9}", 0.99) for i in range(90))])
    assert len(told) == 1 and "more than 2 fields: 2.9 %, 0 % where" in told[0]


def test_digits_that_files_of_readings_leave_out_are_no_drift() -> None:
    """Printed cells are nearly always sure; a policy knows their confidences to four digits."""

    def readings(seed: int) -> list[tuple[str, float]]:
        sure = 1 - 10 ** -np.random.default_rng(seed).uniform(3.5, 6, (3000, 13))
        return [(str(form), float(c)) for form, row_ in enumerate(sure) for c in row_]

    then = usual([(form, round(c, 4)) for form, c in readings(0)], 13)
    assert sum(bool(drift(then, 13, readings(seed))) for seed in range(1, 6)) <= 1


def test_fields_without_a_label_and_readings_without_a_reader_are_told(files: Files, run: Run, tmp_path: Path) -> None:
    with files[0].open("a", newline="") as file:
        more = row(FormReading("f1"), FieldReading("B", "1", "1", "written", 0.99))
        csv.writer(file).writerow(more.values())
    labels = (
        files[1]
        .read_text()
        .replace("form,value", "form,field,value")
        .replace(",", ",A,")
        .replace("A,field,A,", "field,")
    )
    files[1].write_text(labels)
    status, text = run(*files, "--error", 0.02, "--out", tmp_path / "p.json")
    text = " ".join(text.split())
    assert status == 0
    assert "1 field of labelled forms have no label" in text
    assert "do not name their reader" in text
    assert "forms with more than 1 field" in text


def test_readings_of_two_readers_make_no_policy(files: Files, run: Run, tmp_path: Path) -> None:
    with files[0].open("a", newline="") as file:
        other = row(FormReading("other", reader="inkshift 2"), FieldReading("A", "1", "1", "written", 0.99))
        csv.writer(file).writerow(other.values())
    with pytest.raises(DataError, match="readings of one reader, found 2"):
        run(*files, "--error", 0.02, "--out", tmp_path / "p.json")
