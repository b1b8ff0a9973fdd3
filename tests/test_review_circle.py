"""The circle: settled fields teach a model in the background, it is compared, chosen, used, and given up again."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image as Pillow

from inkshift.errors import DataError, ModelError, SettingError
from inkshift.forms.crops.harvest import split_of
from inkshift.forms.judge.evaluate import wilson
from inkshift.forms.template import Template
from inkshift.models.package import GRAPH, NUMBER_MODEL, WEIGHTS, load_model, save_package
from inkshift.review import datasets, studies, teach
from inkshift.review.app import AppSettings
from inkshift.review.batches.reading import reread
from inkshift.review.core import models, queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.models import PairedComparison
from inkshift.review.core.schema import MODEL, Field, Reading, TaskRecord
from inkshift.review.core.store import Store, named_user
from inkshift.review.core.tasks import TaskContext, Tasks
from inkshift.review.serve import demo_batch, read_batch
from inkshift.studies.spec import NumberStudy, Study
from review_app import PASSWORD, client, logged_in, opened, token
from review_circle import ROUND, settled, still, studied, teacher, wait
from review_forms import field, form

SAME = PairedComparison(20, 20, 15, 15, (0.5, 0.9), (0.5, 0.9), 0, 0, 0.0, (-0.1, 0.1), (-0.2, 0.2), "undecided", None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


def compared(verdict: str) -> dict[str, object]:
    return asdict(replace(SAME, verdict=verdict)) | {"learned": 80, "composed": [0.76, 0.73]}  # type: ignore[arg-type]


def other_package(folder: Path) -> str:
    """A package of its own that reads as the shipped one; its digest."""
    base = load_model(NUMBER_MODEL)
    manifest = base.manifest.model_copy(update={"name": folder.name, "digests": {}})
    weights, graph = ((base.folder / name).read_bytes() for name in (WEIGHTS, GRAPH))
    return save_package(folder, manifest, weights, graph).digest


class TestWhatTeaches:
    def test_a_model_alone_teaches_nobody(self, store: Store, tmp_path: Path) -> None:
        batch = add_batch(store, "b", [form("f", field("a"), field("b"))])
        with store.writing() as session:
            model = named_user(session, MODEL, "model", store.clock()).id
            for one in session.scalars(sa.select(Field)):
                queue.record(session, store, one, model, "model", ("written", "12"))
        with pytest.raises(DataError, match="no number is settled"):
            datasets.write_labelled(store, [batch], tmp_path / "out")
        queue.settle(store, stores.local_user(store), 2, "13")
        assert datasets.write_labelled(store, [batch], tmp_path / "out").numbers == 1
        assert [n.id for n in datasets._numbers(tmp_path / "out" / "numbers.csv", 0)] == [2]
        (counted,) = datasets.available_page(store).rows
        assert counted.train + counted.test == 1

    def test_an_answer_that_was_taken_back_teaches_nobody(self, store: Store, tmp_path: Path) -> None:
        batch = add_batch(store, "b", [form("f", field("a"))])
        user = stores.local_user(store)
        queue.settle(store, user, 1, "13")
        assert sum(one.train + one.test for one in datasets.available_page(store).rows) == 1
        queue.undo(store, user, batch)
        assert sum(one.train + one.test for one in datasets.available_page(store).rows) == 0

    def test_fields_of_cells_teach_as_well_and_are_compared_as_cells(self, store: Store, tmp_path: Path) -> None:
        boxes = [{"name": n, "box": [9, 9, 90, 30], "cells": cells} for n, cells in (("a", 3), ("b", 0))]
        page = {"size": [200, 200], "lines": [], "reference": "blank.png", "fields": boxes}
        template = Template.model_validate({"name": "t", "pages": [page]})
        batch = add_batch(store, "b", [form("f", field("a"), field("b"))], template=template)
        for number in (1, 2):
            queue.settle(store, stores.local_user(store), number, "12")
        written = datasets.write_labelled(store, [batch], tmp_path / "out")
        assert (written.numbers, written.left_out) == (2, 0)
        assert [one.train + one.test for one in datasets.available_page(store).rows] == [2]
        kept = [number for number in datasets.settled_numbers(store, [batch], "all") if number]
        assert [(number.job.kind, number.job.cells) for number in kept] == [("cells", 3), ("number", 0)]

    def test_a_batch_that_teaches_nothing_says_why(self, store: Store, tmp_path: Path) -> None:
        settled(store)
        held = [name for name in map("g{}".format, range(40)) if split_of(name, datasets.TEST_SHARE) == "test"][:2]
        learn = [name for name in map("g{}".format, range(40)) if split_of(name, datasets.TEST_SHARE) == "train"][:2]
        why = {
            "lacks_numbers": add_batch(store, "no number", [form("x", field("a"))]),
            "lacks_forms": add_batch(store, "one form", [form(learn[0], field("a"), field("b"))]),
            "lacks_held_out": add_batch(store, "none held out", [form(name, field("a")) for name in learn]),
            "": add_batch(store, "enough", [form(name, field("a")) for name in (*learn, *held)]),
        }
        with store.reading() as session:
            ids = sa.select(Field.id).where(Field.batch_id.in_([*why.values()][1:]))
            waiting = list(session.scalars(ids))
        for one in waiting:
            queue.settle(store, stores.local_user(store), one, "12")
        assert {one.lacks: one.batch for one in datasets.available_page(store).rows if one.batch > 1} == why
        browser = client(store, AppSettings(files=tmp_path / "files"))
        for code, said in (("en", "no number is held out"), ("es", "no hay números reservados")):
            text = browser.get("/models", headers={"Accept-Language": code}).text
            assert text.count(said) == 1 and text.count('name="batches"') == 5
            assert text.count(" disabled>") == 3


class TestAdvice:
    """What stands beside each batch that can be taught from."""

    @pytest.fixture
    def browser(self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
        monkeypatch.chdir(tmp_path)
        return client(store, AppSettings(files=tmp_path / "files"))

    def test_all_that_people_settled_counts_for_a_model_that_ships(self, store: Store, browser: TestClient) -> None:
        digest = load_model(NUMBER_MODEL).digest
        batch = settled(store, model=digest, wrong=6)
        low, high = (f"{100 * end:.1f} %" for end in wilson(24, 30))
        for code, said in (("en", "24 of 30 right: 80.0 %"), ("es", "24 de 30 bien: 80.0 %")):
            text = browser.get("/models", headers={"Accept-Language": code}).text
            assert said in text and low in text and high in text, "where a form has one number, Wilson's interval"
        assert "of all that people settled" in browser.get("/models").text
        again = {"model": digest, "state": "written", "confidence": 0.9, "candidates": [], "rules_broken": []}
        with store.writing() as session:
            for one in session.scalars(sa.select(Field).where(Field.batch_id == batch)):
                session.add(Reading(field_id=one.id, value=one.value, written=one.value, **again))
        assert "24 of 30 right" in browser.get("/models").text, "what it reads once more does not count"

    def test_zeros_before_a_number_are_no_error(self, store: Store, browser: TestClient) -> None:
        settled(store, model=load_model(NUMBER_MODEL).digest)
        with store.writing() as session:
            session.execute(sa.update(Reading).where(Reading.id == 3).values(value="00" + Reading.value))
            session.execute(sa.update(Reading).where(Reading.id == 4).values(state="crossed-out", value=""))
        assert "29 of 30 right" in browser.get("/models").text

    def test_only_what_is_held_out_counts_for_one_that_was_taught_here(
        self, store: Store, browser: TestClient, tmp_path: Path
    ) -> None:
        shipped = load_model(NUMBER_MODEL).digest
        first = settled(store, model=shipped)
        digest = other_package(tmp_path / "models" / "1")
        with store.writing() as session:
            done = {"about": {"batches": [first]}, "status": "done", "started": store.clock()}
            session.add(TaskRecord(kind="teach", **done))
        stores.add_model(
            store, digest, "mine", str(tmp_path / "models" / "1"), based_on=shipped, comparison=compared("better")
        )
        models.choose(store, digest)
        settled(store, name="Later", model=digest, wrong=30)
        text = browser.get("/models").text
        assert "of those held out" in text and "has read none of its numbers" in text and "0 of 10 right: 0.0 %" in text
        assert models.learned(store) == {"Cheques"} and "learned from this batch" in text
        assert 'href="/studies?batch=2#study"' in text and 'href="/studies?batch=1#study"' not in text
        for code, said in (("en", "learned from Cheques"), ("es", "aprendió de Cheques")):
            given = {"csrf": token(browser), "batch": first}
            refused = browser.post("/studies", data=given, headers={"Accept-Language": code})
            assert refused.status_code == 400 and said in refused.text
        assert datasets.listing(tmp_path / "files") == []
        given = {"csrf": token(browser), "data": datasets.make(store, tmp_path / "files", [1, 2], "both")}
        assert browser.post("/studies", data=given).status_code == 400

    @pytest.mark.parametrize(("gain", "said"), [(5, "teaching helps, from 50"), (0, "undecided, even with 50")])
    def test_what_a_study_of_it_says(
        self, store: Store, browser: TestClient, tmp_path: Path, gain: int, said: str
    ) -> None:
        settled(store, 100, model=load_model(NUMBER_MODEL).digest)
        settled(store, name="Other", model=load_model(NUMBER_MODEL).digest)
        data = datasets.make(store, tmp_path / "files", [1], "Spring")
        studied(store, tmp_path / "files", data, gain)
        (answer,) = studies.answers(store, tmp_path / "files", load_model(NUMBER_MODEL).digest).values()
        assert answer.labels == 50 and answer.before == pytest.approx(0.8)
        text = browser.get("/models").text
        assert f"Study “Spring”: {said} settled numbers" in text and f'href="/studies/{answer.study}"' in text
        assert browser.get(f"/studies/{answer.study}").text == "<h1>Cheques</h1>"
        assert 'href="/studies?batch=1#study"' not in text and 'href="/studies?batch=2#study"' in text
        assert studies.answers(store, tmp_path / "files", "of another model") == {}
        (tmp_path / "files" / "studies" / "1" / "runs" / "as-is-1" / "done.json").unlink()
        studies._told.cache_clear()
        assert "Study “Spring”" not in browser.get("/models").text, "one that is not finished says nothing"

    def test_a_study_begins_from_it(
        self, store: Store, browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[tuple[str, object]] = []
        monkeypatch.setattr(Tasks, "start", lambda _, kind, about: begun.append((kind, about)))
        settled(store, 120)
        page = browser.get("/studies?batch=1").text
        assert "120 settled numbers become a data set" in page and "About 9 to 27 minutes" in page
        given = {"csrf": token(browser), "batch": 1}
        assert browser.post("/studies", data=given).headers["location"] == "/studies"
        assert begun == [("study", {"dataset": 1, "name": "Cheques"})]
        assert datasets.listing(tmp_path / "files")[0].numbers == 120
        unknown = browser.get("/studies?batch=9"), browser.post("/studies", data=given | {"batch": 9})
        assert [answer.status_code for answer in unknown] == [404, 404]


class TestModels:
    def test_the_shipped_one_reads_until_another_is_chosen(self, store: Store, tmp_path: Path) -> None:
        digest = other_package(tmp_path / "mine")
        assert models.default_folder(store) is None and models.before(store) is None
        with pytest.raises(SettingError, match="no other model was the default"):
            models.go_back(store)
        with pytest.raises(SettingError, match="is not among the models"):
            models.choose(store, digest)
        stores.add_model(store, digest, "mine", str(tmp_path / "mine"), based_on="x")
        with pytest.raises(SettingError, match="'mine': was not compared"):
            models.choose(store, digest)
        stores.add_model(store, digest, "mine", str(tmp_path / "mine"), comparison=compared("better"))
        models.choose(store, digest, stores.local_user(store))
        models.choose(store, digest)
        assert models.default_folder(store) == str(tmp_path / "mine")
        assert models.before(store) == ("", NUMBER_MODEL)
        models.go_back(store)
        assert models.default_folder(store) is None
        assert [(c.name, c.user) for c in models.history(store).rows] == [(NUMBER_MODEL, ""), ("mine", "local")]
        assert models.before(store) == (digest, "mine")

    def test_a_worse_one_is_chosen_knowingly_or_not_at_all(self, store: Store) -> None:
        stores.add_model(store, "a" * 64, "poor", "models/poor", comparison=compared("worse"))
        with pytest.raises(SettingError, match="read fewer held-out numbers right"):
            models.choose(store, "a" * 64)
        assert models.default_folder(store) is None
        models.choose(store, "a" * 64, although_worse=True)
        assert models.default_folder(store) == "models/poor"

    def test_a_package_that_is_gone_is_named(self, store: Store, tmp_path: Path) -> None:
        stores.add_model(store, "a" * 64, "mine", str(tmp_path / "gone"), comparison=compared("better"))
        models.choose(store, "a" * 64)
        (mine,) = models.taught(store).rows
        assert "gone" in mine.problem and mine.default
        with pytest.raises(ModelError, match="gone"):
            read_batch(store, demo_batch())

    def test_the_chosen_one_reads_and_reads_open_fields_anew(self, store: Store, tmp_path: Path) -> None:
        batch = read_batch(store, demo_batch())
        user = stores.local_user(store)
        queue.settle(store, user, 1, "118")
        digest = other_package(tmp_path / "mine")
        stores.add_model(store, digest, "mine", str(tmp_path / "mine"), comparison=compared("better"))
        models.choose(store, digest)
        with store.writing() as session:
            session.execute(sa.update(Field).values(confidence=0.123, urgency=2))
        said: list[float | None] = []
        work = TaskContext(store, tmp_path, tmp_path, {"batch": batch}, lambda share, note: said.append(share))
        done = reread(work)
        with store.reading() as session:
            fields = session.scalars(sa.select(Field).order_by(Field.id)).all()
            readings = {f.id: [r.model for r in f.readings] for f in fields}
            assert done == {"fields": len(fields) - 1, "skipped": 0} and said[-1] == 1
            assert readings.pop(1) == [load_model(NUMBER_MODEL).digest], "a settled field stays as it is"
            assert {tuple(m) for m in readings.values()} == {(load_model(NUMBER_MODEL).digest, digest)}
            assert (fields[0].confidence, fields[0].value) == (0.123, "118")
            assert all(f.confidence != 0.123 and f.urgency < 2 for f in fields[1:])
            latest = sa.select(Reading).where(Reading.field_id == 2).order_by(Reading.id)
            first, second = session.scalars(latest)
            assert (first.value, first.state) == (second.value, second.state)
        assert reread(work)["fields"] == 0, "what goes on after a stop reads nothing twice"

    def test_what_cannot_be_read_anew(self, store: Store, tmp_path: Path) -> None:
        batch = add_batch(store, "b", [form("f", field("a"))])
        with pytest.raises(SettingError, match="has no template"):
            reread(TaskContext(store, tmp_path, tmp_path, {"batch": batch}, lambda *_: None))


class TestTeaching:
    @pytest.fixture
    def running(self, store: Store, tmp_path: Path) -> Iterator[Tasks]:
        found = Tasks(store, tmp_path / "files")
        yield found
        found.close()

    def test_it_is_stopped_goes_on_and_is_compared(
        self, store: Store, running: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        how = teacher(monkeypatch, tmp_path)
        how("waits")
        batch = settled(store)
        task = running.start("teach", teach.request(store, [batch], "mine"))
        at = wait(store, task, lambda one: one.note.startswith("round 2 of"))
        assert at.note == ROUND and at.share is not None and 0.05 < at.share < teach.TRAINED
        with pytest.raises(SettingError, match="one is running already"):
            running.start("teach", teach.request(store, [batch], "again"))
        running.stop(task)
        assert wait(store, task).status == "stopped" and stores.models(store) == []
        how("better")
        running.go_on(task)
        ended = wait(store, task)
        assert ended.status == "done", ended.note
        (model,) = stores.models(store)
        assert ended.result == {"model": model.digest, "verdict": "undecided"}
        assert model.based_on == load_model(NUMBER_MODEL).digest and model.name == "mine"
        facts = model.comparison
        assert facts and facts["difference"] == 0 and facts["old"] == facts["new"] == facts["numbers"]
        (counted,) = datasets.available_page(store).rows
        assert (facts["learned"], facts["numbers"]) == (counted.train, counted.test)
        assert facts["composed"] == [0.76, 0.738]

    def test_what_fails_says_why_in_one_line(
        self, store: Store, running: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        teacher(monkeypatch, tmp_path)("fails")
        ended = wait(store, running.start("teach", teach.request(store, [settled(store)], "mine")))
        line = "labelled numbers: all are from one form; label numbers of at least two forms"
        assert (ended.status, ended.note) == ("failed", line)
        empty = add_batch(store, "empty", [form("f", field("a"))])
        about = teach.request(store, [empty], "mine")
        with pytest.raises(DataError, match="no settled number to learn from"):
            teach.teach(TaskContext(store, tmp_path, tmp_path / "empty", about, lambda *_: None))

    def test_a_task_of_a_killed_server_is_interrupted_and_ends(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        how = teacher(monkeypatch, tmp_path)
        how("waits")
        batch = settled(store)
        url, files = store.engine.url.render_as_string(), str(tmp_path / "files")
        code = (
            "import sys, time; from pathlib import Path; from inkshift.review import teach\n"
            "from inkshift.review.core import store as s, tasks\n"
            f"opened = s.open({url!r}); running = tasks.Tasks(opened, Path({files!r}))\n"
            f"sys.executable = {sys.executable!r}\n"
            f"print(running.start('teach', teach.request(opened, [{batch}], 'mine')), flush=True); time.sleep(600)"
        )
        python = str(Path(sys.prefix) / "bin" / "python")
        with subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            task = int(server.stdout.readline())
            wait(store, task, lambda one: one.note.startswith("round 2 of"))
            server.send_signal(signal.SIGKILL)
        running = Tasks(store, tmp_path / "files")
        assert wait(store, task).status == "interrupted"
        end = time.monotonic() + 30
        while still(str(tmp_path / "files")) and time.monotonic() < end:
            time.sleep(0.1)
        assert not still(str(tmp_path / "files")), "the task's own process outlives its server"
        how("better")
        running.go_on(task)
        assert wait(store, task).status == "done"
        running.close()


class TestPages:
    @pytest.fixture
    def browser(self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
        monkeypatch.chdir(tmp_path)
        settled(store)
        return client(store, AppSettings(files=tmp_path / "files"))

    def send(self, browser: TestClient, path: str, **data: object) -> str:
        answer = browser.post(path, data={"csrf": token(browser), **data})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    @pytest.mark.parametrize("code", ["en", "es"])
    def test_every_page_shows(self, store: Store, browser: TestClient, tmp_path: Path, code: str) -> None:
        assert self.send(browser, "/data", batches=[1], name="<one>") == "/data/1"
        digest = other_package(tmp_path / "mine")
        stores.add_model(store, digest, "mine", str(tmp_path / "mine"), comparison=compared("worse"))
        shipped = load_model(NUMBER_MODEL).digest
        for path in (
            "/data",
            "/data/1",
            "/data/1/audit",
            "/models",
            f"/models/{digest}",
            f"/models/{shipped}",
            "/studies",
        ):
            answer = browser.get(path, headers={"Accept-Language": code})
            assert answer.status_code == 200, path
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert " style=" not in answer.text and "<one>" not in answer.text
        for path in ("/data/9", "/data/1/crops/99.png", f"/models/{'0' * 64}", "/studies/0123456789abcdef", "/tasks/9"):
            assert browser.get(path).status_code == 404, path

    def test_keyers_see_none_of_it(self, store: Store) -> None:
        for name, role in (("sue", "supervisor"), ("ana", "keyer")):
            stores.add_user(store, name, role, PASSWORD)  # type: ignore[arg-type]
        ana = logged_in(store, "ana")
        for path in ("/data", "/data/1", "/models", "/studies", "/tasks/1"):
            assert ana.get(path).status_code == 403, path
        for path in ("/models/choose", "/models/back", "/models/teach", "/data", "/studies", "/tasks/1/stop"):
            assert ana.post(path, data={"csrf": token(ana)}).status_code == 403, path

    def test_a_data_set_is_looked_through_and_taken_away(
        self, store: Store, browser: TestClient, tmp_path: Path
    ) -> None:
        self.send(browser, "/data", batches=[1], name="one")
        rows = datasets.numbers(tmp_path / "files", 1)
        seven = [n for n in rows if "7" in n.value and len(n.value) == 3]
        page = browser.get("/data/1?digits=7&length=3").text
        assert page.count("<li>") == len(seven) > 0 and f"Numbers: {len(seven)} of 30" in page
        picture = browser.get(f"/data/1/crops/{seven[0].row}.png")
        assert Pillow.open(io.BytesIO(picture.content)).size[1] == 44
        with zipfile.ZipFile(io.BytesIO(browser.get("/data/1/download").content)) as file:
            names = file.namelist()
        assert len(names) == 33 and "numbers-1/numbers.csv" in names
        assert self.send(browser, "/data", batches=[1], name="two") == "/data/2"
        assert [one.id for one in datasets.listing(tmp_path / "files")] == [2, 1]
        refused = browser.post("/data", data={"csrf": token(browser), "name": "none"})
        assert refused.status_code == 400 and "at least one batch" in refused.text

    def test_wrong_labels_are_found_and_settled_anew(self, store: Store, browser: TestClient, tmp_path: Path) -> None:
        user = stores.local_user(store)
        with store.reading() as session:
            values = {row[0]: row[1] for row in session.execute(sa.select(Field.id, Field.value))}
        far = "4" if values[7] != "4" else "5"
        queue.settle(store, user, 7, values[7][:-1] + str((int(values[7][-1]) + 1) % 10))
        queue.settle(store, user, 9, far * 7)
        self.send(browser, "/data", batches=[1], name="one")
        doubts = datasets.doubts(store, datasets.numbers(tmp_path / "files", 1))
        assert {d.number.id for d in doubts} == {7, 9} and doubts[0].wrong >= doubts[1].wrong > 0
        queue.settle(store, user, 7, values[7])
        page = browser.get("/data/1/audit").text
        assert "#field-7" in page and f"now {values[7]}" in page

    def test_what_was_typed_stays_beside_the_error(self, browser: TestClient) -> None:
        for path, page in (("/data", "/data"), ("/models/teach", "/models")):
            answer = browser.post(path, data={"csrf": token(browser), "name": "Votes of May"})
            assert answer.status_code == 400 and "expected at least one batch" in answer.text
            assert 'value="Votes of May"' in answer.text and f'action="{path}"' in answer.text, page

    def test_open_fields_are_read_anew_from_the_page(self, store: Store, browser: TestClient) -> None:
        assert self.send(browser, "/batches/1/reread") == "/models"
        assert 'aria-label="Reading open fields anew"' in browser.get("/models").text
        wait(store, 1)
        assert 'aria-label="Reading open fields anew"' in browser.get("/models").text

    def test_models_are_taught_chosen_and_given_up(
        self, store: Store, browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        how = teacher(monkeypatch, tmp_path)
        how("waits")
        assert self.send(browser, "/models/teach", batches=[1], name="mine") == "/models"
        wait(store, 1, lambda task: task.note.startswith("round 2 of"))
        part = browser.get("/tasks/1")
        assert f"learning · {ROUND}<" in part.text and "hx-refresh" not in part.headers
        assert "vuelta 2 de 24 como máximo" in browser.get("/tasks/1", headers={"Accept-Language": "es"}).text
        assert 'action="/tasks/1/stop"' in browser.get("/models").text
        self.send(browser, "/tasks/1/stop")
        wait(store, 1)
        assert browser.get("/tasks/1").headers["hx-refresh"] == "true"
        how("worse")
        assert 'action="/tasks/1/again"' in browser.get("/models").text
        self.send(browser, "/tasks/1/again")
        wait(store, 1)
        (model,) = stores.models(store)
        facts = model.comparison
        assert facts and facts["verdict"] == "worse" and facts["only_old"] > facts["only_new"] and facts["at90"][1] < 0
        refused = browser.post("/models/choose", data={"csrf": token(browser), "digest": model.digest})
        assert refused.status_code == 400 and "fewer held-out numbers" in refused.text
        self.send(browser, "/models/choose", digest=model.digest, although_worse="true")
        assert f"--model {store.at(model.folder)}" in browser.get("/models").text
        self.send(browser, "/models/back")
        assert models.default_folder(store) is None
        browser.app.state.tasks.close()  # type: ignore[attr-defined]

    def test_finished_studies_are_shown_with_a_policy_of_their_own(
        self, store: Store, browser: TestClient, tmp_path: Path
    ) -> None:
        index = (
            '{"name": "s", "title": "Does <it> carry over?", "seed": 1, "margin": 0.01, "settings": {}, "choices": [], '
            '"sets": [], "versions": {}, "machine": "x", "data": {}}'
        )
        answer = '<section class="answer"><ul><li>Yes, it &amp; that does.</li></ul></section><li>no</li>'
        for folder, text in ((tmp_path / "runs" / "a", index), (tmp_path / "files" / "studies" / "7", "{}")):
            folder.mkdir(parents=True)
            (folder / "index.json").write_text(text)
            (folder / "report.html").write_text(answer)
        (tmp_path / "runs" / "b").mkdir()
        (only,) = studies.found(tmp_path / "files").rows
        assert (only.title, only.lines) == ("Does <it> carry over?", ("Yes, it & that does.",))
        assert "Does &lt;it&gt; carry over?" in browser.get("/studies").text
        report = browser.get(f"/studies/{only.id}")
        policy = report.headers["content-security-policy"]
        assert report.text == answer and "sandbox;" in policy and "script" not in policy

    def test_a_study_of_a_data_set(self, store: Store, browser: TestClient, tmp_path: Path) -> None:
        self.send(browser, "/data", batches=[1], name='quote " and\nline')
        work = TaskContext(
            store, tmp_path / "files", tmp_path / "files" / "tasks" / "5", {"dataset": 1, "name": 'q " \n'}, print
        )
        work.folder.mkdir(parents=True)
        (work.folder / "study.toml").write_text(studies._spec(work))
        spec = Study.load(work.folder / "study.toml")
        assert isinstance(spec, NumberStudy)
        assert (spec.source, spec.budgets, spec.name) == (NUMBER_MODEL, (18,), "study-5")


def test_a_number_whose_field_is_gone_is_not_doubted(store: Store) -> None:
    add_batch(store, "b", [form("f", field("a", "7"))])
    assert datasets.doubts(store, [datasets.LabelledNumber(0, "x.png", "7", "f", "a", 99)]) == []
