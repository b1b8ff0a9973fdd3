"""Specifications: what is allowed, what an error says, and that the same settings give the same run."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inkshift.datasets.tasks import Task
from inkshift.errors import InkshiftError, SettingError
from inkshift.studies import engine, kinds
from inkshift.studies.characters.plan import index, plan
from inkshift.studies.spec import Study, write_starter

STUDIES = Path(__file__).parents[1] / "studies"


def settings(**changes: Any) -> dict[str, Any]:
    one = {
        "name": "1",
        "source": {"data": "mnist", "labels": "digits"},
        "target": {"data": "nist_emnist", "labels": "characters"},
        "same_domain": False,
    }
    base = {"name": "s", "seed": 1, "replicates": 3, "protocol": {"precision": "float32"}, "set": [one]}
    return base | changes


def make(**changes: Any) -> Study:
    return Study.model_validate(settings(**changes))


def test_the_papers_study_is_270_runs_and_two_sources() -> None:
    study = Study.load(STUDIES / "kooverjee-2020.toml")
    planned = plan(study.model_copy(update={"protocol": study.protocol.model_copy(update={"precision": "float32"})}))
    assert len(planned.targets) == 270 and len(planned.sources) == 2
    assert [one.spec.source.relation(one.spec.target) for one in planned.sets] == ["equal", "subset", "disjoint"]
    assert {arm.protocol.epochs for one in planned.sets for arm in one.arms} == {20}


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.name)
def test_shipped_studies_load(path: Path) -> None:
    study = Study.load(path)
    assert study.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_a_replicate_is_the_same_alone_or_among_thirty() -> None:
    few, many = plan(make(replicates=8)), plan(make(replicates=30))
    for a, b in zip(few.sets[0].arms, many.sets[0].arms, strict=True):
        assert a.runs == b.runs[:8]
        assert a.runs[7].key == b.runs[7].key
    assert len({run.seed for arm in many.sets[0].arms for run in arm.runs}) == 30


def test_regimes_of_a_replicate_share_their_seed_and_data() -> None:
    arms = {arm.regime: arm for arm in plan(make()).sets[0].arms}
    assert arms["control"].runs[1].seed == arms["fine-tuned"].runs[1].seed == arms["frozen"].runs[1].seed
    assert arms["control"].runs[1].source is None and arms["frozen"].runs[1].source is not None


def test_one_source_network_or_one_each() -> None:
    assert len(plan(make()).sources) == 1
    each = plan(make(protocol={"precision": "float32", "source_networks": "each"}))
    assert len(each.sources) == 3
    assert len({run.source for run in each.sets[0].arms[1].runs}) == 3


def test_runs_that_two_sets_share_are_run_once() -> None:
    twice = settings()["set"][0] | {"name": "2", "protocol": {"batch_norm": "adapt"}}
    planned = plan(make(set=[*settings()["set"], twice]))
    keys = [{run.key for run in arm.runs} for one in planned.sets for arm in one.arms]
    assert keys[0] == keys[3] and keys[2] == keys[5], "batch norm in a frozen network is nothing to the others"
    assert not keys[1] & keys[4]
    assert len(planned.targets) == 12


def test_another_seed_or_setting_is_another_run() -> None:
    keys = {
        plan(study).sets[0].arms[0].runs[0].key
        for study in (make(), make(seed=2), make(protocol={"precision": "float32", "rate": 0.01}))
    }
    assert len(keys) == 3
    assert plan(make(margin=0.02, title="t")).targets == plan(make()).targets


def test_settings_of_a_regime_a_set_and_a_regime_in_it() -> None:
    one = settings()["set"][0] | {"protocol": {"epochs": 9}, "regime": {"control": {"epochs": 4}}}
    study = make(regime={"frozen": {"epochs": 30}, "fine-tuned": {"batch": 7}}, set=[one])
    found = {arm.regime: (arm.protocol.epochs, arm.protocol.batch) for arm in plan(study).sets[0].arms}
    assert found == {"control": (4, 128), "frozen": (9, 128), "fine-tuned": (9, 7)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicate": 3}, "replicate: no such setting; known: .*did you mean 'replicates'"),
        ({"protocol": {"epoch": 3}}, r"protocol.epoch: no such setting; .*did you mean 'epochs'"),
        ({"protocol": {"epochs": 0}}, "protocol.epochs: .* found 0"),
        ({"protocol": {"stop": "held-out"}}, "validation must say how many"),
        ({"protocol": {"reframing": "gray|resise(32)"}}, "did you mean 'resize'"),
        ({"protocol": {"reframing": "gray|trim"}}, r"end the reframing with resize"),
        ({"regime": {"frozen": {"epocs": 3}}}, "set '1', regime frozen: epocs: no such setting; .*'epochs'"),
        ({"regime": {"warm": {}}}, "regime.warm"),
        ({"set": []}, "set"),
        ({"set": settings()["set"] * 2}, "two sets have one name"),
        ({"set": [settings()["set"][0] | {"regimes": ["as-is"]}]}, "as-is needs a class"),
        ({"set": [settings()["set"][0] | {"source": {"data": "mnist", "labels": "digit"}}]}, "mean 'digits'"),
        ({"name": None, "nam": "x"}, "nam: no such setting; .*did you mean 'name'"),
        ({"name": "../x"}, "name"),
        ({"replicates": 10**12}, "replicates: .*less than or equal to 10000"),
        ({"protocol": {"epochs": 10**12}}, "epochs: .*less than or equal to 100000"),
        ({"set": [settings()["set"][0] | {"replicates": 10**12}]}, "replicates: .*less than or equal to 10000"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    spec = tmp_path / "wrong.py"
    spec.write_text(f"study = {settings(**changes)!r}\n", encoding="utf-8")
    with pytest.raises(SettingError, match=message) as caught:
        Study.load(spec)
    assert str(caught.value).startswith(f"{spec}: ") and "\n" not in str(caught.value)


def test_a_data_set_misspelt_is_told_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"no data set is called 'minst'; .*did you mean 'mnist'"):
        Task(data="minst", labels="digits").load("train")


def test_a_data_set_misspelt_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    """By the command, without torch: which file, which set, which name."""
    one = settings()["set"][0] | {"target": {"data": "minst", "labels": "digits"}}
    spec = tmp_path / "wrong.py"
    spec.write_text(f"study = {settings(set=[one])!r}\n", encoding="utf-8")
    found = "set '1', target.data: no data set is called 'minst'; .*did you mean 'mnist'"
    with pytest.raises(SettingError, match=found):
        Study.load(spec)
    command = [sys.executable, "-X", "importtime", "-m", "inkshift", "study", "run", str(spec), "--dry-run"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2 and "'minst'" in told.stderr
    assert not re.search(r"\| +torch$", told.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    "key", [".".join("a" * 100_000), "[" + " . ".join(['"a"', "'a'"] * 50_000) + "]", "[[" + "a." * 99 + "a]]"]
)
def test_a_key_of_endless_parts_is_refused_before_it_takes_hours(key: str, tmp_path: Path) -> None:
    """The parser of TOML takes time by the square of a key's parts."""
    (tmp_path / "s.toml").write_text(f"{key} = 1\n")
    with pytest.raises(SettingError, match="nested too deeply"):
        Study.load(tmp_path / "s.toml")


def test_files_that_are_no_study(tmp_path: Path) -> None:
    for name, text in (("a.toml", "x = ["), ("b.py", "x = 1")):
        (tmp_path / name).write_text(text)
        with pytest.raises(SettingError, match=name):
            Study.load(tmp_path / name)
    with pytest.raises(SettingError, match="cannot be read"):
        Study.load(tmp_path / "none.toml")


def test_a_python_file_may_leave_a_study(tmp_path: Path) -> None:
    spec = tmp_path / "own.py"
    spec.write_text(f"from inkshift.studies.spec import Study\nstudy = Study.model_validate({settings()!r})\n")
    assert Study.load(spec) == make()


def test_the_index_tells_what_differs() -> None:
    one = settings()["set"][0] | {"protocol": {"epochs": 9}, "regime": {"control": {"epochs": 4}}}
    study = make(set=[one])
    [entry] = index(study, plan(study))["sets"]
    assert entry["relation"] == "disjoint" and entry["settings"] == {}
    assert [arm["settings"] for arm in entry["arms"]] == [{"epochs": 4}, {"epochs": 9}, {"epochs": 9}]


def test_runs_that_are_published_keep_their_keys() -> None:
    """A setting that came later must not make another run of what a study of before asks for."""
    root = Path(__file__).parents[1]
    with (root / "docs/results/kooverjee-2020-small/tables/runs.csv").open(newline="", encoding="utf-8") as file:
        published = {row["digest"] for row in csv.DictReader(file)}
    study = Study.load(root / "studies" / "kooverjee-2020-small.toml")
    assert isinstance(study, Study)
    study = study.model_copy(update={"protocol": study.protocol.model_copy(update={"precision": "float32"})})
    assert {run.key for run in plan(study).targets} == published


def test_the_source_may_be_of_another_polarity() -> None:
    usual = make()
    turned = make(protocol=settings()["protocol"] | {"source_reframing": "gray|light_ink|invert|resize(128)"})
    ours, theirs = (plan(study) for study in (turned, usual))
    assert ours.sources[0].protocol.reframing.endswith("invert|resize(128)")
    assert ours.sources[0].key != theirs.sources[0].key
    for a, b in zip(ours.sets[0].arms, theirs.sets[0].arms, strict=True):
        assert a.runs[0].protocol == b.runs[0].protocol  # the target's pictures are the same
        assert (a.runs[0].key == b.runs[0].key) == (a.regime == "control")
    with pytest.raises(ValidationError, match=r"source_reframing makes 32 px, reframing 128 px"):
        make(protocol=settings()["protocol"] | {"source_reframing": "gray|resize(32)"})


def test_what_an_accelerator_has_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for own, emulated in ((False, True), (True, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda own=own: {"avx512_f": True, "avx512_bf16": own})
        monkeypatch.setattr(torch.cuda, "is_available", lambda emulated=emulated: emulated)
        found.append(plan(make(protocol={})).runs[0].protocol.precision)
    assert found == ["float32", "bfloat16"]
    hidden = {"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": False}  # a virtual machine without the host's AMX
    for has, precision in ((hidden, "float32"), (hidden | {"amx_bf16": True}, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert plan(make(protocol={})).runs[0].protocol.precision == precision


def test_a_study_without_a_title_is_called_by_its_name() -> None:
    study = make()
    assert index(study, plan(study))["title"] == study.name


def test_budgets_make_an_arm_each_and_share_what_they_can() -> None:
    regimes = ["control", "frozen", "as-is", "pooled"]
    one = settings()["set"][0] | {"regimes": regimes, "budgets": [20, 50, "all"]}
    one["target"] = {"data": "swiss", "labels": "digits"}
    base = {"precision": "float32", "samples": "each", "least": 256}
    planned = plan(make(set=[one], protocol=base))
    assert [(arm.regime, arm.protocol.labels) for arm in planned.sets[0].arms] == [
        *[("control", budget) for budget in (20, 50, None)],
        *[("frozen", budget) for budget in (20, 50, None)],
        ("as-is", None),
        *[("pooled", budget) for budget in (20, 50, None)],
    ]
    names = [name for _, name, _ in planned.groups[1:5]]
    assert names == ["control (labels 20)", "control (labels 50)", "control", "frozen (labels 20)"]
    assert len(planned.sources) == 1  # of all labels, whatever the budget
    seeds = [{run.labels_seed for run in arm.runs} for arm in planned.sets[0].arms if arm.regime != "as-is"]
    assert all(one == seeds[0] and len(one) == 3 for one in seeds)  # a draw for each replicate, the same in all arms
    pooled = planned.sets[0].arms[-1].runs[0]
    assert pooled.source is None and pooled.source_task is not None


def test_replicates_are_added_to_sets_that_are_undecided_up_to_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = settings()["set"][0]
    named = [one | {"name": "soon"}, one | {"name": "never"}, one | {"name": "many", "replicates": 50}]
    study = make(set=named, replicates=3, most_replicates=10, protocol={"precision": "float32"})
    assert [study.looks(each) for each in study.sets] == [[3, 6, 10], [3, 6, 10], [50]]
    assert index(study, plan(study))["sets"][0]["looks"] == 3 and "looks" not in index(study, plan(study))["sets"][2]
    open_sets = iter([{"soon", "never", "many"}, {"never"}, {"never"}])
    monkeypatch.setattr(kinds, "_undecided", lambda folder: next(open_sets))
    counts: list[list[int]] = []

    def run(kind: engine.Kind, *given: Any, **how: Any) -> dict[str, str]:
        counts.append([len(planned.arms[0].runs) for planned in kind.plan(study).sets])
        return {}

    monkeypatch.setattr(engine, "run", run)
    assert study.run(tmp_path) == tmp_path
    assert counts == [[3, 3, 50], [6, 6, 50], [6, 10, 50]]
    assert len(list(kinds.stages(make(), tmp_path))) == 1


def test_what_nothing_learns_is_one_run_whatever_the_depth() -> None:
    one = settings()["set"][0] | {"regimes": ["as-is"], "target": {"data": "swiss", "labels": "digits"}}
    protocols: list[dict[str, Any]] = [{"precision": "float32"}, {"precision": "float32", "depth": 1, "least": 9}]
    found = [plan(make(set=[one], protocol=protocol)).targets[0].key for protocol in protocols]
    assert found[0] == found[1]


@pytest.mark.parametrize(("target", "split"), [("swiss", None), ("ufpr", 0.25), ("own", 0.25), ("parted", None)])
def test_a_study_to_begin_with_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, split: float | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "train" / "7").mkdir(parents=True)
    (tmp_path / "parted").mkdir()
    for part in ("train", "test"):
        (tmp_path / "parted" / f"{part}.csv").touch()
    write_starter(Path("My First Study.toml"), "mnist", target)
    study = Study.load(Path("My First Study.toml"))
    assert isinstance(study, Study) and study.name == "my-first-study"
    assert [(one.source.data, one.target.data, one.target.test_share) for one in study.sets] == [
        ("mnist", target, split)
    ]


def test_a_study_to_begin_with_replaces_nothing_and_knows_its_sets(tmp_path: Path) -> None:
    there = tmp_path / "there.toml"
    there.write_text("mine")
    with pytest.raises(SettingError, match="is there already"):
        write_starter(there, "mnist", "ufpr")
    with pytest.raises(InkshiftError, match="mnist"):
        write_starter(tmp_path / "new.toml", "minst", "ufpr")
    with pytest.raises(InkshiftError, match="train of class folders"):
        write_starter(tmp_path / "new.toml", "mnist", str(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["there.toml"] and there.read_text() == "mine"
