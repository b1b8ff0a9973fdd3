"""The page that holds the paper's findings against a study, on folders made up of random numbers."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="comparing runs needs inkshift[study]")
pytest.importorskip("matplotlib", reason="figures need inkshift[study]")

import kooverjee
import kooverjee_findings as findings
import kooverjee_polarity
import kooverjee_rules as rules
import kooverjee_tables
from inkshift import jobs
from inkshift.datasets.tasks import LABEL_SPACES
from inkshift.studies.report import results
from inkshift.studies.report.analysis import analyse
from inkshift.studies.report.compare import Interval
from inkshift.studies.report.figures import ReportFigure, pictures
from test_study_report import DIGITS, Folder

LETTERS, BOTH = LABEL_SPACES["characters"], LABEL_SPACES["digits+characters"]
ROOT = Path(__file__).parents[1]
LEARNING = ["control", "frozen", "fine-tuned"]


def study_of(path: Path, runs: int = 3) -> Folder:
    """The paper's three sets, set 1 with batch norm that adapts, set 2 for 20 epochs, and as-is; names say nothing."""
    folder = Folder(path, images=620, epochs=4)
    folder.add("z", LETTERS, LEARNING, runs)
    folder.add("y", BOTH, LEARNING, runs)
    folder.add("x", DIGITS, LEARNING, runs)
    folder.add("w", DIGITS, ["frozen"], runs, batch_norm="adapt")
    folder.add("u", DIGITS, ["as-is"], 1)
    folder.epochs = 20
    folder.add("v", BOTH, ["control", "fine-tuned"], 1, epochs=20)
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study_of(tmp_path_factory.mktemp("whole")).index()


def text_of(folder: Path) -> str:
    """The page without its figures, which take most of the time."""
    return "\n".join(kooverjee.page(analyse(results.load(folder)), [], f"{folder} --out out"))


def answers(folder: Path) -> dict[str, rules.Answer]:
    found = results.load(folder)
    return {claim.number: findings.judge(claim, found, findings.roles(found)) for claim in findings.CLAIMS}


def test_sets_are_told_by_their_tasks_and_settings(study: Path) -> None:
    found = results.load(study)
    arms = findings.roles(found)
    by_name = {study_set.name: study_set.arms for study_set in found.sets}
    assert arms["1 control"] is by_name["x"][0] and arms["2 frozen"] is by_name["y"][1]
    assert arms["3 fine-tuned"] is by_name["z"][2] and arms["1 as-is"] is by_name["u"][0]
    assert arms["1 other frozen"] is by_name["w"][0] and arms["2 long control"] is by_name["v"][0]


def test_every_claim_gets_an_answer_from_its_rule(study: Path) -> None:
    found = answers(study)
    assert list(found) == [claim.number for claim in findings.CLAIMS]
    assert found["3a"].holds == found["7a"].holds == found["12a"].holds == "yes"
    assert found["4"].holds == "cannot be told" and found["4"].ours.endswith("; needs SD19 at 128 px")
    assert found["7c"].holds == "cannot be told" and "0 in every run: none" in found["7c"].ours
    assert found["3b"] == rules.Answer("cannot be told", "set 1 frozen ends at epoch 4")
    assert found["6b"].holds == "cannot be told"  # of one run each
    assert "in the long run" in found["6b"].ours and "one run, no interval" in found["6b"].ours
    assert found["2a"].holds == "cannot be told" and "how many steps an epoch takes is not known" in found["2a"].ours
    assert found["5a"].ours.startswith("set 2, fine-tuned − control, at the peak: ")


def test_numbers_on_the_page_are_those_of_the_runs(study: Path) -> None:
    text = text_of(study)
    control = results.load(study).sets[2].arms[0]
    assert f"| x | control | 3 of 3 | {np.mean([run.f1[-1] for run in control.replicates]):.4f} |" in text
    count = re.search(r"Of 25 findings (\d+) hold, (\d+) do not, and of (\d+) it cannot be told at this size", text)
    assert count and sum(map(int, count.groups())) == 25
    assert "All 33 planned runs are finished." in text and "Not complete" not in text
    assert f"| digest of the outcome | {kooverjee.digest(results.load(study))} |" in text
    assert "Set 1 after epoch 4, adapt − freeze_stats: " in text
    assert "as-is" in text and "the overlap audit has not been run" in text


def test_the_digest_is_that_of_all_runs_and_source_networks(tmp_path: Path) -> None:
    folder = Folder(tmp_path, images=50)
    folder.add("one", DIGITS, ["control"], 1)
    config = tmp_path / "runs" / "s1-control-1" / "config.json"
    config.write_text(json.dumps({"seed": 1, "source": "abc"}))
    assert kooverjee.digest(results.load(folder.index())) is None
    (tmp_path / "runs" / "abc").mkdir()
    (tmp_path / "runs" / "abc" / "config.json").write_text("{}")
    (tmp_path / "runs" / "abc" / "done.json").write_text('{"digest": "d"}')
    expected = jobs.digest("abc d", "s1-control-1 s1-control-1")
    assert kooverjee.digest(results.load(tmp_path)) == expected


def test_what_is_missing_is_said_first_and_decides_nothing(tmp_path: Path) -> None:
    folder = study_of(tmp_path)
    for digest in ("s3-control-1", "s3-control-2", *(f"s2-frozen-{i}" for i in (1, 2, 3))):
        (tmp_path / "runs" / digest / "done.json").unlink()
    text = text_of(folder.index())
    assert text.index("Not complete: 28 of 33 planned runs are finished") < text.index("## Verdicts")
    assert "| digest of the outcome | none, since runs are missing |" in text
    found = answers(tmp_path)
    assert found["7b"] == rules.Answer("cannot be told", "no finished run of set 2 frozen")
    assert found["1a"].holds == "cannot be told" and found["1a"].ours.endswith("[set 1 control 1 of 3 runs]")
    assert "needs SD19 at 128 px" in found["9"].ours


def test_a_study_without_a_finished_run_has_a_page(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, LEARNING, 2)
    for path in tmp_path.glob("runs/*/done.json"):
        path.unlink()
    text = text_of(folder.index())
    assert "Not complete: 0 of 6 planned runs are finished" in text
    assert "Of 25 findings 0 hold, 0 do not" in text and "Where ours differs" not in text


def test_overlap_is_told_with_and_without(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 2)
    item = {"name": "one", "pairs": 3, "test_images": 200, "share": 0.015, "threshold": 0.95, "rows": [1, 2, 3]}
    (tmp_path / "overlap.json").write_text(json.dumps({"method": "How.", "sets": [item]}))
    text = text_of(folder.index())
    assert re.search(r"How\. one: 3 of 200 test images \(1\.5 %\); F1 .* control 0\.\d+ with, 0\.\d+ without\.", text)


def test_the_folder_has_page_figures_and_tables_and_no_picture_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kooverjee, "pictures", lambda *given: islice(pictures(*given), 1))
    folder = Folder(tmp_path / "study", images=50)
    folder.add("one", DIGITS, ["control"], 2)
    (folder.path / "overlap-1.png").write_bytes(b"data")
    page = kooverjee.write(folder.index(), tmp_path / "page")
    linked = re.findall(r"\]\((figures/[^)]+)\)", page.read_text("utf-8"))
    assert linked == ["figures/f1-one.svg"]
    names = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*.*")}
    assert {*linked, "figures/f1-one.png", "tables/summary.csv", "README.md"} <= names
    assert not any("overlap" in name for name in names)


def test_figures_are_those_of_the_three_sets(study: Path) -> None:
    kinds = [("f1", "x"), ("f1", "y"), ("f1", "z"), ("f1", "v"), ("per-class", "y"), ("per-class", "x")]
    drawn = [ReportFigure(f"{kind}-{name}", kind, name, "alt", b"", b"") for kind, name in kinds]  # type: ignore[arg-type]
    drawn += [
        ReportFigure(f"confusion-y-{end}", "confusion", "y", "alt", b"", b"") for end in ("1-control", "2-frozen")
    ]
    drawn += [ReportFigure("frozen", "frozen", "", "alt", b"", b"")]
    text = "\n".join(kooverjee.page(analyse(results.load(study)), drawn, "x"))
    shown = ["f1-x", "f1-y", "f1-z", "per-class-y", "frozen", "confusion-y-1-control"]
    assert re.findall(r"figures/(.+)\.svg", text) == shown


@pytest.mark.parametrize(
    ("low", "high", "limit", "holds"),
    [
        (0.001, 0.04, 0, "yes"),
        (0.001, 0.004, 0, "no"),  # ahead, but by less than counts
        (-0.004, 0.004, 0, "no"),
        (-0.03, -0.02, 0, "no"),
        (-0.02, 0.02, 0, "cannot be told"),
        (None, None, 0, "cannot be told"),
        (0.06, 0.08, 0.05, "yes"),
        (0.04, 0.08, 0.05, "cannot be told"),
        (0.01, 0.02, 0.05, "no"),
    ],
)
def test_an_interval_decides_only_where_it_is_clear_of_the_limit(low: Any, high: Any, limit: float, holds: str) -> None:
    assert rules.beyond(Interval(0.0, low, high, 0.9, 5), limit, 0.01) == holds


def test_one_no_decides_a_claim_about_several() -> None:
    assert rules.all_of(["yes", "cannot be told", "no"]) == "no"
    assert rules.all_of(["yes", "cannot be told"]) == "cannot be told"
    assert rules.all_of(["yes", "yes"]) == "yes"


Scores = dict[str, dict[str, list[list[float]]]]


def scored(tmp_path: Path, sets: Scores, steps: int | None = None) -> dict[str, rules.Answer]:
    """The answers for sets of these classes, with F1 by regime, run and epoch, and so many steps in an epoch."""
    folder = Folder(tmp_path, images=124)
    spaces = {"1": DIGITS, "2": BOTH, "3": LETTERS}
    for name, arms in sets.items():
        regimes = list(arms)
        folder.epochs = max(len(run) for runs in arms.values() for run in runs)
        folder.add(name, spaces[name[0]], regimes, max(map(len, arms.values())))
        for regime, runs in arms.items():
            for i, f1 in enumerate(runs, 1):
                path = tmp_path / "runs" / f"s{len(folder.sets)}-{regime}-{i}" / "epochs.csv"
                lines = path.read_text().splitlines()
                rows = [line.split(",") for line in lines[1:]]
                text = [",".join([*row[:4], repr(value), row[5]]) for row, value in zip(rows, f1, strict=True)]
                path.write_text("\n".join([lines[0], *text]) + "\n")
    path = folder.index()
    if steps:
        index = json.loads((path / "index.json").read_text())
        index["data"] = {f"nist {space} train": {"images": 128 * steps} for space in LABEL_SPACES}
        (path / "index.json").write_text(json.dumps(index))
    return answers(path)


def test_one_run_decides_no_level_and_three_do(tmp_path: Path) -> None:
    runs = [[0.5, 0.978], [0.5, 0.980], [0.5, 0.981]]
    one = scored(tmp_path / "1", {"1": {"control": runs[:1], "fine-tuned": runs[:1]}})
    three = scored(tmp_path / "3", {"1": {"control": runs, "fine-tuned": runs}})
    off = scored(tmp_path / "0", {"1": {"control": [[0.9, 0.9 + i / 1000] for i in range(3)], "fine-tuned": runs}})
    assert [found["1a"].holds for found in (one, three, off)] == ["cannot be told", "yes", "no"]


def test_a_plateau_is_told_from_intervals(tmp_path: Path) -> None:
    flat = [[0.9, 0.97 + i / 1200, 0.971 + i / 1100, 0.972 + i / 1000] for i in range(4)]
    rising = [[0.5, 0.7 + i / 100, 0.8 + i / 90, 0.9 + i / 80] for i in range(4)]
    wild = [[0.9, 0.97, 0.97 - 0.05 * (i % 2), 0.97 - 0.01 * i] for i in range(4)]
    found = [
        scored(tmp_path / str(i), {"1": {"control": flat, "fine-tuned": runs}})["1b"].holds
        for i, runs in enumerate((flat, rising, wild))
    ]
    assert found == ["yes", "no", "cannot be told"]


def test_worse_is_not_said_of_what_is_alike(tmp_path: Path) -> None:
    control = [[0.97, 0.980 + i / 1000] for i in range(4)]
    frozen = [[0.90, 0.976 + i / 1100] for i in range(4)]
    found = scored(tmp_path, {"1": {"control": control, "frozen": frozen, "fine-tuned": control}})
    assert found["3a"].holds == "no" and "+0.4" in found["3a"].ours


def test_first_epochs_are_compared_only_where_they_take_as_many_steps(tmp_path: Path) -> None:
    control = [[0.80 + i / 100, 0.85 + i / 90] for i in range(4)]
    tuned = [[0.90 + i / 80, 0.93 + i / 70] for i in range(4)]
    sets = {"1": {"control": control, "fine-tuned": tuned}}
    small, whole = scored(tmp_path / "a", sets, steps=79), scored(tmp_path / "b", sets, steps=2690)
    assert small["2a"].holds == "cannot be told" and "an epoch is 79 steps, 2,690 there" in small["2a"].ours
    assert whole["2a"].holds == "yes"


def test_nine_classes_are_all_wrong_only_by_three_runs_of_as_many_steps(tmp_path: Path) -> None:
    def found(name: str, runs: int, steps: int, right: int | None = None) -> rules.Answer:
        """Set 2, frozen, where no letter of the nine is read right after epoch 1, or some of one in every run."""
        folder = Folder(tmp_path / name, images=620)
        folder.add("both", BOTH, ["control", "frozen"], runs)
        for i in range(1, runs + 1):
            path = tmp_path / name / "runs" / f"s1-frozen-{i}" / "confusion.npz"
            kept = dict(np.load(path))
            first = kept["confusions"][0]
            for row in map(BOTH.index, "cfgmopsuv"):
                first[row] = 0
                first[row, 0] = 10
            if right is not None:
                row = BOTH.index("c")
                first[row, row], first[row, 0] = right + i, 10 - right - i
            np.savez(path, **kept)
        index = json.loads((folder.index() / "index.json").read_text())
        index["data"] = {"nist digits+characters train": {"images": 128 * steps}}
        (tmp_path / name / "index.json").write_text(json.dumps(index))
        return answers(tmp_path / name)["7c"]

    assert found("all", 3, 5717).holds == "yes"
    assert found("one run", 1, 5717).holds == "cannot be told"
    some = found("some", 3, 5717, right=4)
    assert some.holds == "no" and "not 0: c 0.600; 0 besides" in some.ours
    few = found("few steps", 3, 79)
    assert few.holds == "cannot be told" and "an epoch is 79 steps, 5,717 there" in few.ours


def test_an_answer_among_many_needs_more_than_one_alone(tmp_path: Path) -> None:
    control = [[0.97, 0.980 + i / 1000] for i in range(4)]
    sure = [[0.5, 0.60 + i / 900] for i in range(4)]
    barely = [[0.5, 0.966 - i * (-1) ** i / 250] for i in range(4)]
    left = []
    for name, frozen in (("sure", sure), ("barely", barely)):
        path = tmp_path / name
        alone = scored(path, {"1": {"control": control, "frozen": frozen, "fine-tuned": control}})["3a"].holds
        found = results.load(path)
        together = findings.held_together(found, findings.roles(found))
        left.append((alone, together[[claim.number for claim in findings.CLAIMS].index("3a")]))
    assert left == [("yes", "yes"), ("yes", "cannot be told")]


def test_pace_is_told_from_how_many_runs_got_there_sooner(tmp_path: Path) -> None:
    slow, quick = [[0.5, 0.8, 0.95]] * 5, [[0.5, 0.95, 0.95]] * 5
    every = {n: {"control": slow, "fine-tuned": quick} for n in "123"}
    few = {n: {"control": slow[:4], "fine-tuned": quick[:4]} for n in "123"}
    same = {n: {"control": slow, "fine-tuned": slow} for n in "123"}
    found = [scored(tmp_path / str(i), sets)["13b"].holds for i, sets in enumerate((every, few, same))]
    assert found == ["no", "cannot be told", "yes"]  # four of four may be chance: 6 %


@pytest.fixture
def two_polarities(tmp_path: Path) -> Path:
    """Of one polarity frozen is level with control from the start; of the other far below and still rising, but at
    chance where batch norm does not adapt."""
    folder, other = Folder(tmp_path, images=50, epochs=20), {"source_reframing": "gray|light_ink|invert|resize(32)"}
    folder.add("same", DIGITS, LEARNING, 3)
    folder.add("other", DIGITS, ["control", "frozen"], 3, **other)
    folder.add("chance", DIGITS, ["frozen"], 3, **other, batch_norm="adapt")
    folder.epochs = 40
    folder.add("long", DIGITS, ["frozen"], 3, epochs=40)
    shapes = {"control": np.full(20, 0.96), "s1": np.full(20, 0.958), "s2": 0.3 + 0.025 * np.arange(20)}
    shapes |= {"s3": 0.03 + 0.004 * np.arange(20), "s4": np.full(40, 0.958)}
    for path in tmp_path.glob("runs/*/epochs.csv"):
        number, regime, replicate = path.parent.name[:2], *path.parent.name[3:].rsplit("-", 1)
        shape = shapes[number if regime == "frozen" else "control"] + int(replicate) / 1000 * (1 + (regime == "frozen"))
        shape = shape + np.random.default_rng([int(replicate), regime == "frozen"]).normal(0, 2e-4, len(shape))
        lines = path.read_text().splitlines()
        rows = [line.split(",") for line in lines[1:]]
        text = [",".join([*row[:4], repr(float(v)), row[5]]) for row, v in zip(rows, shape, strict=True)]
        path.write_text("\n".join([lines[0], *text]) + "\n")
    return folder.index()


def test_the_page_says_which_polarity_agrees_with_the_paper(two_polarities: Path) -> None:
    (answer,) = [line for line in text_of(two_polarities).splitlines() if line.startswith("**18.")]
    off = "same polarity, freeze_stats and opposite polarity, adapt"
    assert f"Set 1, agrees with the paper: opposite polarity, freeze_stats; does not agree: {off}." in answer
    assert "Set 1, same polarity, freeze_stats: F1 0.9" in answer


def test_the_page_on_polarity_tells_each_and_the_long_run(two_polarities: Path) -> None:
    text = "\n".join(kooverjee_polarity.page(analyse(results.load(two_polarities)), "FOLDER --out PAGE"))
    off = "same polarity, freeze_stats and opposite polarity, adapt"
    assert (
        f"MNIST to NIST digits: agrees with the paper: opposite polarity, freeze_stats; does not agree: {off}." in text
    )
    assert re.search(r"\| 1 \| opposite polarity, freeze_stats \| 0\.3.*\| yes \| yes \| yes \| \*\*yes\*\* \|", text)
    assert re.search(r"\| long \| 0\.9", text) and "python benchmarks/kooverjee_polarity.py FOLDER" in text


def test_a_published_page_says_what_its_tables_give_by_the_rules_of_today() -> None:
    spec, folder = Path("studies/kooverjee-2020-small.toml"), Path("docs/results/kooverjee-2020-small")
    found = kooverjee_tables.load(ROOT / spec, ROOT / folder)
    printed = (ROOT / folder / "README.md").read_text("utf-8").splitlines()
    missing = [line for line in kooverjee_tables.lines(found, f"{spec} {folder}") if line not in printed]
    assert [line[:40] for line in missing if "were decided on" not in line] == []
    assert sum(len(arm.replicates) for _, arm in found.arms) == 54
