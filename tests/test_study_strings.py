"""A study of whole numbers by budget of labels, on drawn numbers and a network that has learned nothing."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inkshift.datasets.catalog import load_numbers
from inkshift.errors import DataError, ModelError, SettingError
from inkshift.models.package import DEFAULT_MODEL, Manifest, save_package, shipped
from inkshift.review.core.words import Words
from inkshift.studies.spec import NumberStudy, Study, Teaching, number_budgets

torch = pytest.importorskip("torch")

from inkshift.cli.app import whole_app  # noqa: E402
from inkshift.models.train import finetune, rehearsal  # noqa: E402
from inkshift.models.train.networks import (  # noqa: E402
    NUMBERS,
    NumberNet,
    weights_bytes,
)
from inkshift.studies import engine  # noqa: E402
from inkshift.studies.kinds import kind_of  # noqa: E402
from inkshift.studies.numbers.plan import NumberPlan, plan  # noqa: E402
from inkshift.studies.numbers.work import deal, edit_distance  # noqa: E402
from inkshift.studies.report import number_page as strings_report  # noqa: E402
from inkshift.studies.report import number_results as strings_results  # noqa: E402
from inkshift.studies.stats import Interval, Verdict  # noqa: E402
from test_study import here  # noqa: E402

STUDIES = Path(__file__).parents[1] / "studies"
SPEC = """
kind = "string"
name = "tiny"
seed = 7
replicates = 2
source = "{root}/source"
data = "{root}/numbers/labels.csv"
budgets = [6, 12]
old_task = 3
composed = "drawn"

[training]
epochs = 2
batch = 8
least = 8
held_out = 0.3

[regime.control]
rate = 0.002
"""


def write_numbers(folder: Path, count: int = 26, seed: int = 0) -> None:
    """Numbers in a line font, dark on light, two to a form, and the CSV that says what they are."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = ["file,value,form"]
    for i in range(count):
        label = str(rng.integers(0, 10 ** int(rng.integers(1, 4))))
        picture = np.full((30, 12 + 18 * len(label)), 230, np.uint8)
        cv2.putText(picture, label, (5, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30,), 2, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{i}.png"), picture)
        rows.append(f"{i}.png,{label},form {i // 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_package(folder: Path, seed: int = 0) -> None:
    """A number recogniser with random weights; its graph is empty, since a study runs the weights."""
    torch.manual_seed(seed)
    net = NumberNet((4, 5, 6, 8))
    manifest = Manifest(
        name=folder.name,
        summary="Has learned nothing.",
        reads="number",
        architecture=NUMBERS,
        parameters=sum(p.numel() for p in net.parameters()),
        classes=(*"0123456789", "blank"),
        reframing="gray|light_ink|stretch|line(32)",
        licence="none",
    )
    save_package(folder, manifest, weights_bytes(net), b"")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """One drawing of a digit and one paper are enough, and no process is needed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_DRAWN", 1), ("_DRAWN_HELD_OUT", 1)):
            patch.setattr(rehearsal, name, value)
        patch.setattr(engine.jobs, "run", here)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strings")
    write_numbers(folder / "numbers")
    write_package(folder / "source")
    (folder / "tiny.toml").write_text(SPEC.format(root=folder), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def study(root: Path) -> NumberStudy:
    found = Study.load(root / "tiny.toml")
    assert isinstance(found, NumberStudy)
    return found


@pytest.fixture(scope="module")
def done(root: Path, study: NumberStudy) -> tuple[NumberStudy, Path]:
    """The study and its folder, finished."""
    assert engine.run(kind_of(study), study, root / "out") == {}
    return study, root / "out"


def changed(study: NumberStudy, **changes: Any) -> NumberStudy:
    return NumberStudy.model_validate(study.model_dump() | changes)


def keys(planned: NumberPlan) -> set[str]:
    return {run.key for run in planned.runs}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_shipped_study_asks_for_50_100_and_350_labels() -> None:
    found = Study.load(STUDIES / "orand-budget.toml")
    assert isinstance(found, NumberStudy)
    assert (found.budgets, found.data, found.source) == ((50, 100, 350), "orand_car_a", "numbers")
    forms = [str(i) for i in range(693)]
    learn, test = deal(forms, found.test_share, 350, 1, found.data)
    assert len(learn) == 350 and len(test) == 343


def test_defaults_are_those_of_fine_tuning() -> None:
    ours, theirs = Teaching(), finetune.FineTuneSettings()
    assert all(
        getattr(ours, name) == getattr(theirs, name) for name in ("epochs", "patience", "batch", "least", "rate")
    )


def test_halves_are_dealt_by_form_and_budgets_are_nested() -> None:
    forms = [f"form {i // 3}" for i in range(60)]
    learn, test = deal(forms, 0.5, 27, 5, "x")
    assert not {forms[i] for i in learn} & {forms[i] for i in test} and abs(len(test) - 30) <= 2
    assert deal(forms, 0.5, 10, 5, "x") == (learn[:10], test)
    assert deal(forms, 0.5, 10, 6, "x")[1] != test
    with pytest.raises(DataError, match=r"x: 30 numbers are left .* but the budget is 31; lower budgets"):
        deal(forms, 0.5, 31, 5, "x")


def test_a_run_is_its_settings(root: Path, study: NumberStudy, tmp_path: Path) -> None:
    planned = plan(study)
    assert [(arm.name, len(arm.runs)) for arm in planned.arms] == [
        ("as-is", 2),
        ("fine-tuned, 6 labels", 2),
        ("fine-tuned, 12 labels", 2),
        ("control, 6 labels", 2),
        ("control, 12 labels", 2),
    ]
    assert len(keys(planned)) == 10 and len({run.seed for run in planned.runs}) == 2
    assert keys(plan(changed(study, replicates=3))) > keys(planned)
    assert keys(plan(changed(study, margin=0.02, title="t", budgets=[6]))) < keys(planned)
    slower = {run.key: run.regime for run in plan(changed(study, training={"epochs": 3})).runs}
    assert {slower[key] for key in keys(planned) & set(slower)} == {"as-is"}
    write_package(tmp_path / "other", seed=1)
    other = {run.key: run.regime for run in plan(changed(study, source=str(tmp_path / "other"))).runs}
    shared = {other[key] for key in keys(planned) & set(other)}
    assert shared == {"control"}, "other weights of the same shape are nothing to a control"


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        ('kind = "string"', 'kind = "strings"', "kind: no study is of kind 'strings'; known: string; did you mean"),
        ("budgets", "budget", "budget: no such setting; .*did you mean 'budgets'"),
        ("least = 8", "lest = 8", "training.lest: no such setting; .*did you mean 'least'"),
        ("rate = 0.002", "rat = 0.002", "regime control: rat: no such setting; .*did you mean 'rate'"),
        ("[6, 12]", "[12, 6]", "budgets: expected rising numbers of labels"),
        ("{root}/numbers/labels.csv", "orand_car", "data: no set .* 'orand_car'; known: .*did you mean 'orand_car_a'"),
        ("{root}/numbers/labels.csv", "mnist", "data: 'mnist' holds no whole numbers; known: orand_car_a"),
        ("[regime.control]", "[regime.frozen]", "regime.frozen"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, line: str, wrong: str, message: str) -> None:
    spec = tmp_path / "wrong.toml"
    spec.write_text(SPEC.replace(line, wrong).format(root=tmp_path), encoding="utf-8")
    with pytest.raises(SettingError, match=message) as caught:
        Study.load(spec)
    assert str(caught.value).startswith(f"{spec}: ") and "\n" not in str(caught.value)


def test_a_source_that_reads_digits_is_refused(study: NumberStudy) -> None:
    if DEFAULT_MODEL not in shipped():
        pytest.skip(f"no package {DEFAULT_MODEL!r}")
    with pytest.raises(ModelError, match=r"source digits: reads single digits; .* such as numbers"):
        plan(changed(study, source="digits"))


def test_numbers_of_a_csv_and_what_is_wrong_with_one(tmp_path: Path) -> None:
    write_numbers(tmp_path / "n", 3)
    path = tmp_path / "n" / "labels.csv"
    pictures, labels, forms = load_numbers(str(path))
    assert [p.shape[0] for p in pictures] == [30] * 3 and all(map(str.isdigit, labels))
    assert forms == ["form 0", "form 0", "form 1"]
    path.write_text("file,value\n0.png,12\n1.png,1a\n")
    with pytest.raises(DataError, match=r"labels.csv:3: expected a value of digits alone, found '1a'"):
        load_numbers(str(path))
    path.write_text("file,value\n9.png,12\n")
    with pytest.raises(DataError, match=r"labels.csv:2: image '9.png' not found"):
        load_numbers(str(path))
    path.write_text("file,label\n0.png,12\n")
    with pytest.raises(DataError, match=r"no column value, found file, label"):
        load_numbers(str(path))


def test_orand_leaves_out_doubtful_numbers(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKSHIFT_DATA", str(shared_data))
    pictures, labels, forms = load_numbers("orand_car_a")
    assert len(pictures) == len(labels) == len(set(forms)) == 693


def test_every_run_leaves_its_readings(done: tuple[NumberStudy, Path]) -> None:
    study, folder = done
    planned = plan(study)
    assert len(engine.study_digest(plan(study), folder)) == 64
    for arm in planned.arms:
        for run in arm.runs:
            own = folder / "runs" / run.key
            readings, scores = rows_of(own / "readings.csv"), json.loads((own / "scores.json").read_text())
            assert scores["right"] == sum(r["read"] == r["label"] for r in readings) / len(readings)
            assert scores["learned"] + scores["held_out"] == (arm.budget or 0)
            assert len(rows_of(own / "epochs.csv")) == (2 if arm.budget else 0)
            assert (scores["old_task"]["before"] is None) == (arm.regime == "control")
    tested = [[r["row"] for r in rows_of(folder / "runs" / arm.runs[0].key / "readings.csv")] for arm in planned.arms]
    assert all(rows == tested[0] for rows in tested), "all arms of a replicate read the same numbers"


def test_as_is_learns_nothing(done: tuple[NumberStudy, Path]) -> None:
    study, folder = done
    for run in plan(study).arms[0].runs:
        own = folder / "runs" / run.key
        old = json.loads((own / "scores.json").read_text())["old_task"]
        assert old["before"] == old["after"]
        assert json.loads((own / "done.json").read_text())["stopped"] == "nothing learns"


def test_a_study_that_was_killed_goes_on_to_the_same_digest(
    done: tuple[NumberStudy, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = done
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    planned = plan(study)
    lost = planned.arms[1].runs[1]
    shutil.rmtree(copy / "runs" / lost.key)
    judge, calls = finetune.judge, []

    def killed(*arguments: Any) -> tuple[float, float]:
        calls.append(1)
        if len(calls) == 3:  # the old task, one epoch, and no further
            raise KeyboardInterrupt
        return judge(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetune, "judge", killed)
        engine.run(kind_of(study), study, copy)
    assert len(rows_of(copy / "runs" / lost.key / "epochs.csv")) == 1 and not engine.finished(copy, lost)
    [row] = [row for row in engine.status(kind_of(study), planned, copy) if row["regime"] == "fine-tuned, 6 labels"]
    assert (row["finished"], row["begun"], row["epochs"]) == (1, 1, "3/4")
    others = {path: path.stat().st_mtime_ns for path in copy.glob("runs/*/done.json")}
    assert engine.run(kind_of(study), study, copy) == {}
    assert engine.study_digest(planned, copy) == engine.study_digest(plan(study), folder)
    assert all(path.stat().st_mtime_ns == when for path, when in others.items())


def test_what_cannot_run_is_named_and_costs_no_other(study: NumberStudy, tmp_path: Path) -> None:
    more = changed(study, budgets=[6, 40], replicates=1, regimes=["as-is", "fine-tuned"])
    problems = engine.run(kind_of(more), more, tmp_path / "out")
    [(key, text)] = problems.items()
    assert "but the budget is 40" in text and str(tmp_path / "out" / "runs" / key) in text
    [found] = strings_results.load(tmp_path / "out").missing
    assert (found.arm, found.state) == ("fine-tuned, 40 labels", "failed")
    assert "fine-tuned, 40 labels" in strings_report.write(tmp_path / "out").read_text(encoding="utf-8")


def test_data_that_changed_since_the_study_began_are_refused(root: Path, study: NumberStudy, tmp_path: Path) -> None:
    shutil.copytree(root / "numbers", tmp_path / "numbers")
    labels = tmp_path / "numbers" / "labels.csv"
    own = changed(study, data=str(labels))
    assert engine.begin(kind_of(own), own, plan(own), tmp_path / "out") == {}
    labels.write_text(labels.read_text().replace("form 3", "form 4"))
    [(data, problem)] = engine.begin(kind_of(own), own, plan(own), tmp_path / "out").items()
    assert data == str(labels) and "is not what this study began with" in problem


def test_the_report_answers_shows_and_lists(done: tuple[NumberStudy, Path], tmp_path: Path) -> None:
    study, folder = done
    page = study.report(tmp_path / "report.html", folder).read_text(encoding="utf-8")
    for words in ("How many labels", "as-is", "fine-tuned", "control", "of numbers right", "From scratch, 12 labels"):
        assert words in page
    assert "data:image/svg+xml" in page and 'src="http' not in page and "drawn digits alone" in page
    tables = tmp_path / "report" / "tables"
    summary = {(row["regime"], row["labels"]): row for row in rows_of(tables / "summary.csv")}
    assert set(summary) == {(r, b) for r in ("fine-tuned", "control") for b in ("6", "12")} | {("as-is", "")}
    runs = [
        float(row["right"])
        for row in rows_of(tables / "runs.csv")
        if (row["regime"], row["labels"]) == ("control", "6")
    ]
    assert float(summary["control", "6"]["right"]) == pytest.approx(np.mean(runs), abs=1e-5)
    against = {(row["regime"], row["labels"], row["against"]) for row in rows_of(tables / "comparisons.csv")}
    assert {("fine-tuned", "12", "as-is"), ("control", "6", "as-is"), ("fine-tuned", "6", "control")} <= against
    assert len(rows_of(tables / "readings.csv")) == 10 * 14
    assert (tmp_path / "report" / "figures" / "learning-curve.svg").is_file()


def taught(number: int, hits: str, forms: str) -> strings_results.NumberReplicate:
    """A run that read right where `hits` has a 1."""
    read = tuple("1" if hit == "1" else "2" for hit in hits)
    rows = np.arange(len(hits))
    return strings_results.NumberReplicate(
        number, "", Path(), 0, "", 0.0, rows, tuple(forms), ("1",) * len(hits), read, {"right": 0}, ()
    )


def test_differences_are_over_the_same_numbers() -> None:
    a = [taught(1, "11110", "aabbc"), taught(2, "11111", "ddeec")]
    b = [taught(1, "01010", "aabbc"), taught(2, "01011", "ddeec")]
    found = strings_results.over_numbers(list(zip(a, b, strict=True)), 0)
    assert found.mean == pytest.approx(0.4) and found.low is not None and found.high is not None
    assert 0 <= found.low < 0.4 < found.high <= 0.5, "every form but c gains one of its two numbers"


def test_composed_numbers_are_always_the_same() -> None:
    memory = rehearsal.load(drawn=True)
    few, many = memory.check(2), memory.check(3)
    assert few[1] == many[1][:2] and all(map(np.array_equal, few[0].pictures, many[0].pictures))
    pictures, digits = memory.compose(2, 5)
    assert len(pictures) == len(digits) == 2 and {p.shape[0] for p in pictures.pictures} == {32}


def test_glyphs_are_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def prepare(recipe: object, folder: Path) -> None:
        if not (folder / "sources.json").exists():
            folder.mkdir()
            (folder / "sources.json").write_text("[]")
            made.append(folder)

    monkeypatch.setattr(rehearsal, "prepare_glyphs", prepare)
    monkeypatch.setattr(rehearsal, "load_glyphs", lambda recipe, folder, kind="train": (folder, kind))
    monkeypatch.setattr(rehearsal.pooch, "os_cache", lambda name: tmp_path / name)
    first, second = rehearsal.load(drawn=False), rehearsal.load(drawn=False)
    assert first.glyphs == second.glyphs and first.note == "" and len(made) == 1
    assert [path.name for path in (tmp_path / "inkshift").iterdir()] == [first.glyphs[0].name]  # type: ignore[index]


def test_how_far_a_reading_is_off() -> None:
    assert [edit_distance(*pair) for pair in (("12", "12"), ("12", ""), ("123", "13"), ("17", "71"))] == [0, 2, 1, 2]


def test_the_command_line(done: tuple[NumberStudy, Path], root: Path, tmp_path: Path) -> None:
    _, folder = done
    runner, spec = CliRunner(), str(root / "tiny.toml")
    shown = runner.invoke(whole_app(), ["study", "status", spec, "--folder", str(folder), "--json"])
    assert [row["finished"] for row in json.loads(shown.stdout)] == [2] * 5
    assert all(0 <= row["right"] <= 1 for row in json.loads(shown.stdout))
    dry = runner.invoke(whole_app(), ["study", "run", spec, "--folder", str(tmp_path / "none"), "--dry-run"])
    assert dry.exit_code == 0 and "10 runs to do" in dry.stdout and not (tmp_path / "none").exists()
    again = runner.invoke(whole_app(), ["study", "run", spec, "--folder", str(folder)])
    assert again.stdout.strip() == f"digest {engine.study_digest(plan(Study.load(spec)), folder)}"


def test_kinds_go_by_study_and_run(study: NumberStudy) -> None:
    assert kind_of(study) is kind_of(plan(study).runs[0])


def study_answers() -> Iterator[str]:
    """What a report answers, for each verdict, with intervals and without."""
    wide, only = Interval(0.1, 0.05, 0.15, 0.9, 5), Interval(0.1, None, None, 0.9, 1)
    arms = [strings_results.NumberArm("fine-tuned", labels, {}, 1, (taught(1, "110", "abc"),)) for labels in (50, 20)]
    results = strings_results.NumberResults(Path(), "", "", 0, 0.01, {}, {}, "", {}, (), {}, ())
    for verdict, over, numbers in itertools.product(get_args(Verdict), (wide, only), (wide, only)):
        found = strings_results.Difference(arms[0], arms[1], over, numbers, verdict)
        row = strings_results.NumberScores(arms[0], wide, 0.1, 0.7, 0.6, wide, found, found)
        for rows in ((row,), ()):
            yield from strings_report.answers(strings_results.NumberAnalysis(results, rows, (found,), (found,)))
    yield "Nothing to compare: no replicate is finished in two regimes."


def test_review_says_the_answers_in_its_other_languages() -> None:
    texts = {*study_answers()}
    assert len(texts) > 20
    for text in texts:
        said = Words("es").told(text)
        assert not re.search(r"\b(the|of|with|labels|points|over|right|fine-tuned|against)\b", said), said


@pytest.mark.parametrize("each", [1, 13, 60])
def test_the_budgets_that_are_proposed_are_left_to_learn_from(each: int) -> None:
    """Whatever the deal, and of two forms at least: each form has so many numbers."""
    for numbers in (each * n for n in (6, 20, 90)):
        forms = [str(i // each) for i in range(numbers)]
        budgets = number_budgets(each, numbers)
        for seed in range(20):
            learn, test = deal(forms, 0.4, budgets[-1], seed, "x")
            assert len({forms[i] for i in learn[: budgets[0]]}) > 1 and len(test) >= round(0.4 * numbers)
