"""The report of a study: a folder of runs in, one page with figures and tables out."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inkshift.errors import DataError, SettingError
from inkshift.models import metrics
from inkshift.studies.report import figures, results
from inkshift.studies.report import page as report
from inkshift.studies.report.analysis import analyse
from inkshift.studies.report.tables import tables, write_tables, write_whole

pytest.importorskip("scipy", reason="comparing runs needs inkshift[study]")

DIGITS = tuple("0123456789")
MORE = (*DIGITS, "a", "b")
FINAL = {"control": 0.97, "fine-tuned": 0.971, "frozen": 0.75, "as-is": 0.6}


@dataclass
class Folder:
    """A study folder made up of random numbers."""

    path: Path
    images: int = 200
    epochs: int = 3
    sets: list[dict[str, Any]] = field(default_factory=list)

    def run(self, digest: str, regime: str, classes: Sequence[str], seed: int, epochs: int | None = None) -> Path:
        """One finished run; F1 rises to about the regime's own."""
        folder = self.path / "runs" / digest
        folder.mkdir(parents=True)
        count, numbers = len(classes), range(1, (epochs or self.epochs) + 1)
        if regime == "as-is":
            numbers = range(1)
        rng = np.random.default_rng(seed)
        true = np.arange(self.images) % count
        lines, confusions = [["epoch", "training_loss", "test_loss", "validation_loss", "f1", "accuracy"]], []
        for epoch in numbers:
            right = FINAL[regime] - (0.25 if regime == "frozen" else 0.06) * 0.6**epoch
            odds = np.clip(right + 0.08 * np.cos(true), 0.02, 1)
            predicted = np.where(rng.random(self.images) < odds, true, rng.integers(0, count, self.images))
            confusions.append(metrics.confusion(predicted, true, count))
            f1 = metrics.f1_score(confusions[-1])
            losses = ["", "", ""] if regime == "as-is" else [f"{1.2 * (1.02 - f):.4f}" for f in (right, f1, f1 + 0.003)]
            lines.append([str(epoch), *losses, repr(f1), repr(float((predicted == true).mean()))])
        (folder / "epochs.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
        (folder / "config.json").write_text(json.dumps({"seed": seed, "regime": regime}))
        np.savez(
            folder / "confusion.npz",
            confusions=np.stack(confusions).astype(np.int32),
            classes=np.array(classes),
            true=true.astype(np.int16),
            predicted=predicted.astype(np.int16),
        )
        done = {"stopped": "epochs", "epochs": len(confusions), "digest": digest}
        (folder / "done.json").write_text(json.dumps(done))
        return folder

    def add(self, name: str, classes: Sequence[str], regimes: Sequence[str], runs: int, **settings: Any) -> None:
        """A set whose runs are all finished; digests are `s<set>-<regime>-<replicate>`."""
        arms = []
        for regime in regimes:
            digests = [f"s{len(self.sets) + 1}-{regime}-{i}" for i in range(1, runs + 1)]
            for i, digest in enumerate(digests, 1):
                self.run(digest, regime, classes, 1000 * len(self.sets) + i + 17 * list(FINAL).index(regime))
            arms.append({"regime": regime, "settings": {}, "runs": digests})
        self.sets.append(
            {
                "name": name,
                "source": {"data": "mnist", "labels": list(DIGITS)},
                "target": {"data": "nist", "labels": list(classes)},
                "relation": "equal" if tuple(classes) == DIGITS else "subset",
                "relation_text": "Y_S ⊂ Y_T: every source label is a target label.",
                "same_domain": tuple(classes) == DIGITS,
                "settings": settings,
                "arms": arms,
            }
        )

    def index(self) -> Path:
        """Write the index and give the folder."""
        index = {
            "name": "small",
            "title": "A small <study> & its outcome",
            "seed": 2020,
            "margin": 0.01,
            "settings": {"backbone": "resnet18", "batch": 128, "batch_norm": "freeze_stats", "tolerance": 0.003},
            "choices": ["batch", "batch_norm"],
            "versions": {"inkshift": "0.1.0", "numpy": np.__version__},
            "machine": "2 cores",
            "data": {"mnist/train": {"images": 10000, "sha256": "ab" * 32}},
            "sets": self.sets,
        }
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "index.json").write_text(json.dumps(index))
        return self.path


def whole_study(path: Path, images: int = 200, epochs: int = 3) -> Path:
    """Three sets, of which two differ in batch norm alone; one run failed, one unfinished, one not begun."""
    folder = Folder(path, images, epochs)
    folder.add("1 MNIST to NIST Digits", DIGITS, ["control", "frozen", "fine-tuned", "as-is"], 4)
    folder.add("2 MNIST to both", MORE, ["control", "frozen"], 4)
    folder.add("2 with adapt", MORE, ["frozen"], 4, batch_norm="adapt")
    failed, unfinished = path / "runs" / "s1-frozen-2", path / "runs" / "s2-control-3"
    (failed / "done.json").unlink()
    (failed / "error.json").write_text(json.dumps({"error": "loss became <NaN> in epoch 2"}))
    (unfinished / "done.json").unlink()
    shutil.rmtree(path / "runs" / "s2-frozen-4")
    return folder.index()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def written(study: Path) -> Path:
    return report.write(study)


def without_figures(folder: Path) -> str:
    """The page of the study in `folder`; drawing takes most of the time."""
    return report.page(analyse(results.load(folder)), [], "report")


class Page(HTMLParser):
    """The text of a page and its tags, all closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_runs_that_are_not_finished_are_named_and_counted_nowhere(study: Path) -> None:
    found = results.load(study)
    assert [(run.set[0], run.arm, run.replicate, run.state) for run in found.missing] == [
        ("1", "frozen", 2, "failed"),
        ("2", "control", 3, "unfinished"),
        ("2", "frozen", 4, "not begun"),
    ]
    assert found.missing[0].error == "loss became <NaN> in epoch 2"
    assert [len(arm.replicates) for arm in found.sets[0].arms] == [4, 3, 4, 4]
    assert [run.number for run in found.sets[0].arms[1].replicates] == [1, 3, 4]


def test_the_page_names_every_missing_run_with_its_error_and_folder(written: Path) -> None:
    text = Page(written.read_text("utf-8")).text
    assert "25 of 28 planned runs finished" in text
    assert "3 of 28 planned runs are missing" in text
    assert "loss became <NaN> in epoch 2" in text
    assert "runs/s1-frozen-2" in text and "runs/s2-control-3" in text


def test_the_page_answers_first_and_in_words(written: Path) -> None:
    text = Page(written.read_text("utf-8")).text
    assert (
        text.index("Frozen is behind control: −") < text.index("Not all of the study is here") < text.index("Results")
    )
    assert "As-is is behind control" in text
    assert "batch_norm freeze_stats to adapt" in text
    assert "Frozen is behind control of 2 MNIST to both (batch_norm freeze_stats to adapt): −" in text


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(written: Path) -> None:
    raw = written.read_text("utf-8")
    page = Page(raw)
    assert "A small &lt;study&gt; &amp; its outcome" in raw and "<study>" not in raw
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == len(list((written.parent / "report" / "figures").glob("*.svg")))
    assert all(str(item["src"]).startswith("data:image/svg+xml;base64,") and item["alt"] for item in pictures)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}


def test_the_page_tells_our_choices_relation_and_data(written: Path) -> None:
    text = Page(written.read_text("utf-8")).text
    assert text.count("our choice") == 4  # the legend, batch, batch_norm, and batch_norm of the third set
    assert "Label spaces: equal. Y_S ⊂ Y_T: every source label is a target label." in text
    assert "declared to be the same" in text and "declared to be different" in text
    assert "ab" * 32 in text and "seed 2020" in text


def test_the_same_study_gives_the_same_files(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "study")
    folder.add("one", MORE, ["as-is"], 2)
    first, again = (report.write(folder.index(), tmp_path / name / "report.html") for name in ("1", "2"))
    assert again.read_bytes() == first.read_bytes()
    kept = [path for path in (tmp_path / "1" / "report").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".svg", ".png", ".csv"}
    for path in kept:
        assert (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes() == path.read_bytes()


def test_tables_hold_every_number(study: Path, written: Path) -> None:
    tables = written.parent / "report" / "tables"
    found = results.load(study)
    control = found.sets[0].arms[0]
    summary = rows(tables / "summary.csv")
    assert len(summary) == 7
    assert float(summary[0]["f1_last"]) == pytest.approx(np.mean([run.f1[-1] for run in control.replicates]), rel=1e-5)
    assert float(summary[0]["images_low_95"]) < float(summary[0]["f1_last"]) < float(summary[0]["images_high_95"])
    epochs = [row for row in rows(tables / "epochs.csv") if row["regime"] == "control" and row["replicate"] == "1"]
    assert [row["epoch"] for row in epochs] == ["1", "2", "3"] * 2
    per_class = [row for row in rows(tables / "per_class.csv") if row["set"][0] == "1" and row["regime"] == "control"]
    assert len(per_class) == 4 * 3 * 10
    confusion = rows(tables / "confusion-1-mnist-to-nist-digits-1-control-last.csv")
    assert sum(int(row[name]) for row in confusion for name in DIGITS) == 4 * 200
    runs = rows(tables / "runs.csv")
    assert [row["state"] for row in runs].count("finished") == 25 and len(runs) == 28
    assert {row["seed"] for row in runs[:4]} == {"1", "2", "3", "4"}
    verdicts = {(row["regime"], row["measure"]): row["verdict"] for row in rows(tables / "comparisons.csv")}
    assert verdicts["frozen", "epoch 1"] == "behind"


def test_no_network_is_averaged_in_that_saw_other_images(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 2)
    shutil.rmtree(tmp_path / "runs" / "s1-control-2")
    folder.images = 100
    folder.run("s1-control-2", "control", DIGITS, 5)
    found = results.load(folder.index())
    assert len(found.sets[0].arms[0].replicates) == 1
    assert found.missing[0].state == "damaged"
    assert "its classes or test images are not those of replicate 1" in found.missing[0].error


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("epochs.csv", "epoch,f1\n1,0.5\n", "training_loss"),
        ("epochs.csv", "", "0 epochs in epochs.csv"),
        ("confusion.npz", "PK", "not as a run leaves it"),
        ("done.json", "{", "not JSON"),
        ("done.json", "[]", "expected an object, found list"),
        ("done.json", "{}", "stopped"),
    ],
)
def test_a_run_cut_short_or_altered_is_damaged_and_stops_nothing(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 2)
    (tmp_path / "runs" / "s1-control-2" / name).write_text(content)
    found = results.load(folder.index())
    assert [run.number for run in found.sets[0].arms[0].replicates] == [1]
    (lost,) = found.missing
    assert lost.state == "damaged" and said in lost.error and "\n" not in lost.error


def test_predictions_that_do_not_fit_their_confusion_matrix_are_damaged(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 1)
    path = tmp_path / "runs" / "s1-control-1" / "confusion.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(path, **{**kept, "predicted": np.zeros_like(kept["predicted"])})
    assert "do not add up" in results.load(folder.index()).missing[0].error


def test_a_source_network_that_failed_is_listed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 1)
    (tmp_path / "runs" / "source").mkdir()
    (tmp_path / "runs" / "source" / "error.json").write_text('{"error": "disk full"}')
    (lost,) = results.load(folder.index()).missing
    assert (lost.arm, lost.digest, lost.error) == ("", "source", "disk full")


def test_a_study_with_nothing_finished_still_has_a_report(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control", "frozen"], 3)
    folder.sets[0]["arms"][1]["runs"] = [None] * 3
    shutil.rmtree(tmp_path / "runs")
    text = Page(without_figures(folder.index())).text
    assert "No run is finished yet." in text
    assert "6 of 6 planned runs are missing" in text
    assert "1 to 3" in text


def test_one_replicate_decides_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control", "frozen"], 1)
    text = Page(without_figures(folder.index())).text
    assert "Frozen against control is undecided" in text and "in the only pair, which gives no interval" in text
    assert "every planned run is finished" in text


def test_an_arm_that_went_further_is_not_compared_in_silence(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 2)
    folder.epochs = 5
    folder.add("two", DIGITS, ["frozen"], 2, epochs=5)
    text = Page(without_figures(folder.index())).text
    assert "2 pairs; last epochs 5 against 3)." in text
    assert "Nothing to compare: no replicate is finished both in a control and in another regime." in text


def test_the_overlap_audit_is_shown_with_scores_without_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 2)
    item = {"name": "one", "pairs": 3, "test_images": 200, "share": 0.015, "threshold": 0.95, "rows": [1, 2, 3]}
    (tmp_path / "overlap.json").write_text(json.dumps({"sets": [{**item, "by_class": {"1": 2, "2": 1}}]}))
    text = Page(without_figures(folder.index())).text
    assert "3 pairs at a correlation of 0.950 or more; 3 of 200 test images" in text
    write_tables(tables(analyse(results.load(tmp_path)), ["one"]), tmp_path / "tables")
    (row,) = rows(tmp_path / "tables" / "overlap.csv")
    control = results.load(tmp_path).sets[0].arms[0]
    kept = [
        metrics.f1_score(metrics.confusion(np.delete(r.predicted, [1, 2, 3]), np.delete(r.true, [1, 2, 3]), 10))
        for r in control.replicates
    ]
    assert float(row["f1_without"]) == pytest.approx(np.mean(kept), rel=1e-5)
    (tmp_path / "overlap.json").write_text(json.dumps({"sets": [{**item, "rows": [500]}]}))
    with pytest.raises(DataError, match="test image 500 of 200"):
        report.write(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("{", "not JSON"), ("{}", "'sets' is not there")]
)
def test_a_folder_without_a_whole_index_is_an_error_that_names_it(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        results.load(tmp_path)
    assert str(tmp_path / "index.json") in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("sets", 0, "target", "labels"), ["0", ["a", "b"]]),
        (("sets", 0, "source"), []),
        (("sets", 0, "settings"), {"train_images": "all"}),
        (("sets", 0, "arms", 0, "settings"), {"labels": [1]}),
        (("settings", "batch"), 0),
        (("data", "mnist/train", "images"), "many"),
        (("data", "mnist/train"), 3),
    ],
)
def test_an_index_whose_parts_are_of_another_type_is_told_before_the_report(
    place: tuple[Any, ...], value: Any, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    folder.add("one", DIGITS, ["control"], 1)
    path = folder.index() / "index.json"
    index = inside = json.loads(path.read_text())
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    path.write_text(json.dumps(index))
    with pytest.raises(DataError, match="not an index of a study") as caught:
        results.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be written"):
        write_whole(tmp_path / "file" / "report.html", b"")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SettingError, match="cannot be written"):
        write_whole(tmp_path / "report.html", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "report.html"]


def test_set_names_become_different_file_names() -> None:
    assert report.slugs_of(["A / b", "a-b", "../..", "α"]) == ["a-b", "a-b-2", "set", "set-4"]


@pytest.mark.parametrize(("value", "text"), [(0.00123, "+0.12"), (-0.5, "−50.00"), (-1e-9, "0.00"), (None, "–")])
def test_differences_are_signed_points(value: float | None, text: str) -> None:
    assert report.gap(value) == text


def test_a_set_with_several_numbers_of_labels_says_with_which_transfer_helps(tmp_path: Path) -> None:
    folder = Folder(tmp_path, images=400)
    for labels in (20, None):
        folder.add("few and all", DIGITS, ["control", "frozen"], 3)
        for arm in folder.sets[-1]["arms"] if labels else ():
            arm["settings"] = {"source_networks": "one", "labels": labels}
            for i, digest in enumerate(arm["runs"]):  # with few labels control reads little
                path = tmp_path / "runs" / digest / "epochs.csv"
                rows = [line.split(",") for line in path.read_text().splitlines()]
                for row in rows[1:]:
                    row[4] = repr(0.2 + i / 1000 if arm["regime"] == "control" else 0.7 + i / 900)
                path.write_text("\n".join(map(",".join, rows)) + "\n")
    more = folder.sets.pop()["arms"]
    for arm in more:
        arm["settings"] = {"source_networks": "one"}
    folder.sets[0]["arms"] += more
    found = results.load(folder.index())
    analysis = analyse(found)
    assert [arm.name for arm in found.sets[0].arms] == [
        "control (labels 20)",
        "frozen (labels 20)",
        "control",
        "frozen",
    ]
    assert report.by_labels(found.sets[0], analysis) == ["Frozen against control, by labels: 20 helps, all hurts."]
    assert report.answers(found.sets[0], analysis)[0].startswith("Frozen against control, by labels: ")
    drawn_once = [row for row in analysis.comparisons if "given one draw of labels" in row.note]
    assert {row.arm for row in drawn_once} == {"frozen (labels 20)"}
    assert [(arm.regime, label) for arm, label in figures.labels_of(found, found.sets[0])] == [
        ("control", 20),
        ("frozen", 20),
        ("control", None),
        ("frozen", None),
    ]
    (drawn,) = [one for one in figures.pictures(found, ["few"]) if one.kind == "budget"]
    assert drawn.name == "labels-few" and drawn.svg.startswith(b"<?xml")
    assert not report.by_labels(results.load(whole_study(tmp_path / "other")).sets[0], analysis)
