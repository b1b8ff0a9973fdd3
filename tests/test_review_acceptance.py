"""What blind labels promise of a batch, and policies that take fields out of its queue."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from inkshift.datasets.labels import Label
from inkshift.errors import DataError, SettingError
from inkshift.forms.judge import guarantee
from inkshift.forms.judge.guarantee import CalibrationSample
from inkshift.forms.reading import FormReading
from inkshift.forms.trust import Policy, scores
from inkshift.review.acceptance import promise
from inkshift.review.acceptance import promise as acceptance
from inkshift.review.batches.exchange import lines
from inkshift.review.core import agreement, queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch, add_labels
from inkshift.review.core.schema import Field, Reading
from inkshift.review.core.store import Store
from inkshift.review.keying import views
from review_app import PASSWORD, client, logged_in, opened, token
from review_forms import field, form, key, people, taken

FORMS, REST = 240, 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


def readings(forms: int, seed: int = 0) -> tuple[list[FormReading], list[Label]]:
    """Forms of one field read as 12, whose confidence tells how often it is right, and what is really written."""
    rng = np.random.default_rng(seed)
    sure = np.round(1 - 0.5 * rng.random(forms) ** 3, 4)
    names = [f"f{i:04}" for i in range(forms)]
    read = [form(n, field("a", "12", float(c), crop=False)) for n, c in zip(names, sure, strict=True)]
    right = rng.random(forms) < np.where(sure > 0.75, 0.998, sure)
    return read, [Label(n, "a", "12" if ok else "17", "") for n, ok in zip(names, right, strict=True)]


@pytest.fixture(scope="module")
def two_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch 1 is labelled by those who keyed it before; batch 2 is like it and waits."""
    folder = tmp_path_factory.mktemp("two")
    read, labels = readings(FORMS)
    with opened(folder) as found:
        add_labels(found, add_batch(found, "sample", read), labels, "the register")
        add_batch(found, "rest", readings(REST, 1)[0])
    return folder / "review.db"


@pytest.fixture
def labelled(two_batches: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(two_batches, tmp_path / "review.db")
    with opened(tmp_path) as found:
        yield found


def asked(store: Store, batch: int, error: float = 0.05) -> promise.Outcome:
    return promise.ask(store, promise.evidence(store, batch, promise.sources(store, batch)), error, 0.95)


def test_the_promise_is_that_of_calibrate(labelled: Store) -> None:
    outcome = asked(labelled, 2)
    assert outcome.policy is not None
    tested = outcome.policy.for_threshold
    assert tested.forms == FORMS * 3 // 4
    assert guarantee.p_binomial(tested.accepted, tested.wrong, 0.05) <= 0.05
    given = promise.evidence(labelled, 2, promise.sources(labelled, 2))
    cases = promise.match(given.rows, given.labels)[0]
    assert outcome.policy.threshold == guarantee.calibrate(cases, given.rows).promise(0.05, 0.95).threshold
    share = np.mean([one.confidence >= outcome.at for one in given.fields])
    assert outcome.accepted == outcome.straight == pytest.approx(share, abs=0.01)
    assert 0.2 < outcome.accepted < 1


def test_too_few_labels_say_how_many_are_missing(labelled: Store) -> None:
    outcome = asked(labelled, 2, 0.002)
    assert outcome.policy is None and outcome.lack is not None and outcome.lack.labels > 0
    assert outcome.possible is not None and outcome.possible > 0.002


def test_a_policy_takes_fields_out_of_the_queue_and_gives_them_back(labelled: Store) -> None:
    outcome = asked(labelled, 2)
    assert outcome.policy is not None
    sue = stores.local_user(labelled)
    accepted = acceptance.accept(labelled, sue, 2, outcome.policy)
    assert accepted == round(outcome.accepted * REST)
    assert views.left(labelled, 2) == REST - accepted
    now = agreement.progress(labelled, 2)
    assert (now.fields, now.open, now.accepted, now.settled) == (REST, REST - accepted, accepted, 0)
    shown = [line for line in lines(labelled, 2) if line.by == ("model",)]
    assert len(shown) == accepted
    assert {(line.row["decided"], line.row["accepted"], line.keyers) for line in shown} == {("12", "true", 0)}
    with pytest.raises(SettingError, match="no field that waits"):
        acceptance.accept(labelled, sue, 2, outcome.policy)
    acceptance.take_back(labelled, sue, 2, 1)
    assert views.left(labelled, 2) == REST
    assert agreement.progress(labelled, 2).accepted == 0
    assert all(line.row["decided_state"] == "" for line in lines(labelled, 2))
    with pytest.raises(SettingError, match="is not applied"):
        acceptance.take_back(labelled, sue, 2, 1)
    noted = acceptance.acceptances(labelled, 2)
    assert [(one.fields, one.undone is None, Policy.model_validate_json(json.dumps(one.policy))) for one in noted] == [
        (accepted, False, outcome.policy)
    ]


def test_what_people_keyed_or_broke_a_rule_stays_in_the_queue(labelled: Store) -> None:
    """Two keyers: one field is keyed once, one is held, one breaks a rule; the policy accepts the last alone."""
    ana, ben = people(labelled, 2)
    rules = ("a = 7: a is 1",)
    fields = [field("broken", "1", 1.0, rules_broken=rules), field("held", "1", 0.99), field("free", "1", 1.0)]
    fields.append(field("keyed", "1", 0.5))
    batch = add_batch(labelled, "twice", [form(f"g-{one.name}", one) for one in fields], double=True)
    policy = asked(labelled, 2).policy
    assert policy is not None
    assert scores(policy.score, 0.99) >= policy.threshold
    key(labelled, ana, batch, "1")  # the broken one, the most urgent
    key(labelled, ana, batch, "1")  # the least sure
    held = taken(labelled, ana, batch)
    assert held.name == "held"
    assert acceptance.accept(labelled, stores.local_user(labelled), batch, policy) == 2
    with pytest.raises(queue.TakenError):
        queue.decide(labelled, ana, held.field, "1")
    assert {taken(labelled, ben, batch).name} == {"broken"}
    assert views.left(labelled, batch) == 2


def test_a_keyer_cannot_apply_a_policy(labelled: Store) -> None:
    policy = asked(labelled, 2).policy
    assert policy is not None
    (ana,) = people(labelled, 1)
    with pytest.raises(SettingError, match="supervisor"):
        acceptance.accept(labelled, ana, 2, policy)
    assert acceptance.acceptances(labelled, 2) == [] and views.left(labelled, 2) == REST


def test_labels_typed_with_the_reading_in_view_do_not_count(store: Store) -> None:
    (ana,) = people(store, 1)
    batch = add_batch(store, "single", [form(f"f{i}", field("a")) for i in range(3)])
    for _ in range(3):
        key(store, ana, batch, "12")
    assert promise.sources(store, batch) == [promise.LabelSource(batch, "single", 0, 3, 0)]
    with pytest.raises(DataError, match="no field was labelled blind"):
        asked(store, batch)


def test_what_a_supervisor_alone_settled_counts_as_wrong(store: Store) -> None:
    ana, ben = people(store, 2)
    sue = stores.local_user(store)
    batch = add_batch(store, "twice", [form(f"f{i}", field("a", "12", 0.9)) for i in range(3)], double=True)
    queue.settle(store, sue, 1, "12")
    for who in (ana, ben):
        key(store, who, batch, "12")
        key(store, who, batch, "12")
    assert promise.sources(store, batch) == [promise.LabelSource(batch, "twice", 2, 1, 0)]
    level = promise.levels(promise.evidence(store, batch, promise.sources(store, batch)), 0.95)[0]
    assert (level.labels, level.wrong) == (3, 1)
    assert level.bound == pytest.approx(bound(3, 1, 0.95))


def test_levels_fall_and_count_forms_that_go_straight_through(store: Store) -> None:
    forms = [form("f", field("a", confidence=0.9999), field("b", confidence=0.6)), form("g", field("a"), field("b"))]
    batch = add_batch(store, "b", forms)
    levels = promise.levels(promise.evidence(store, batch, promise.sources(store, batch)), 0.95)
    assert [level.threshold for level in levels] == sorted(promise.LEVELS)
    assert (levels[0].accepted, levels[0].straight, levels[0].bound) == (1.0, 1.0, 1.0)
    at = {level.threshold: (level.accepted, level.straight) for level in levels}
    assert at[next(t for t in at if 0.6 < t < 0.9)] == (0.75, 0.5)
    assert levels[-1].straight == 0.0


def bound(accepted: int, wrong: int, confidence: float, fields: int = 1) -> float:
    """The upper bound for forms all of which are accepted, `wrong` of them in all fields."""
    size = np.full(accepted * fields, fields)
    labelled = CalibrationSample(
        np.arange(accepted).repeat(fields), np.ones(len(size)), np.arange(len(size)) < wrong * fields, size
    )
    return float(guarantee.upper_bounds(labelled, [0.5], confidence)[0])


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_the_bound_is_the_inverse_of_the_labels_needed(error: float) -> None:
    for wrong in (0, 2):
        n = guarantee.needed(error, 0.95, wrong)
        assert bound(n, wrong, 0.95) <= error < bound(n - 1, wrong, 0.95)
        assert bound(n, wrong, 0.95, fields=5) >= error * 0.99
    assert bound(0, 0, 0.95) == 1.0


def test_the_page_asks_downloads_applies_and_takes_back_without_scripts(labelled: Store) -> None:
    browser = client(labelled)
    page = browser.get("/batches/2/acceptance?error=5&confidence=95&ask=true").text
    assert "At most 5 % of accepted numbers wrong, with 95 % confidence" in page
    address = re.search(r'action="(/batches/2/acceptance\?[^"]*)"', page)
    assert address
    path = address[1].replace("&amp;", "&")
    policy = Policy.model_validate_json(browser.get(path.replace("acceptance?", "acceptance/policy.json?")).text)
    assert policy == asked(labelled, 2).policy
    assert browser.post(path).status_code == 403
    assert browser.post(path, data={"csrf": token(browser)}).status_code == 303
    assert views.left(labelled, 2) < REST
    assert "Take back" in browser.get("/batches/2/acceptance").text
    assert browser.post("/batches/2/acceptance/1/undo", data={"csrf": token(browser)}).status_code == 303
    assert views.left(labelled, 2) == REST
    assert "taken back: this computer" in browser.get("/batches/2/acceptance").text


def test_the_slider_knows_each_step_and_a_form_shows_any(labelled: Store) -> None:
    browser = client(labelled)
    page = browser.get("/batches/2/acceptance?at=0").text
    data = re.search(r'data-levels="([^"]*)"', page)
    assert data
    steps = json.loads(data[1].replace("&#34;", '"'))
    assert len(steps) == len(promise.LEVELS)
    assert steps[0]["accepted"] == "100.0 %" and 'aria-valuetext="Least confidence 0.0000: 100.0 % accepted' in page
    assert f'<dd data-show="accepted">{steps[40]["accepted"]}' in browser.get("/batches/2/acceptance?at=40").text


def test_a_batch_that_still_waits_promises_nothing(store: Store) -> None:
    read, labels = readings(FORMS)
    batch = add_batch(store, "half", read)
    add_labels(store, batch, labels[: FORMS // 2], "the register")
    browser = client(store)
    page = browser.get(f"/batches/{batch}/acceptance?error=5&ask=true").text
    assert "no fair sample" in page and "of accepted numbers wrong" not in page
    answer = browser.get(f"/batches/{batch}/acceptance/policy.json?error=5")
    assert answer.status_code == 400 and "no fair sample" in answer.text


def test_only_labels_of_the_same_reader_are_offered(store: Store) -> None:
    read, labels = readings(10)
    add_labels(store, add_batch(store, "other", read, model="d" * 64), labels, "the register")
    batch = add_batch(store, "this", read)
    assert [one.name for one in promise.sources(store, batch)] == ["this"]
    assert "Nobody typed" in client(store).get(f"/batches/{batch}/acceptance").text
    with store.writing() as session:
        for one in session.scalars(sa.select(Field).where(Field.batch_id == batch)):
            again = session.scalars(sa.select(Reading).where(Reading.field_id == one.id)).one()
            kept = {c.key: getattr(again, c.key) for c in sa.inspect(Reading).columns if c.key != "id"}
            session.add(Reading(**kept | {"model": "d" * 64}))
    assert [one.name for one in promise.sources(store, batch)] == ["this", "other"]


def test_the_page_is_for_supervisors_and_takes_no_nonsense(labelled: Store) -> None:
    for query in ("error=0", "error=1e-9", "confidence=100", "at=999", "at=-1", "labels=x", "ask=2"):
        assert client(labelled).get(f"/batches/2/acceptance?{query}").status_code == 400
    assert client(labelled).get("/batches/9/acceptance").status_code == 404
    stores.add_user(labelled, "sue", "supervisor", PASSWORD)
    stores.add_user(labelled, "ana", "keyer", PASSWORD)
    ana = logged_in(labelled, "ana")
    for path in ("", "/policy.json"):
        assert ana.get(f"/batches/2/acceptance{path}").status_code == 403
    assert ana.post("/batches/2/acceptance", data={"csrf": token(ana)}).status_code == 403
    assert views.left(labelled, 2) == REST
