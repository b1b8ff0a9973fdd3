"""The queue: what comes first, who holds what, what follows from decisions, and that none is lost or doubled."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import review_forms as forms
from inkshift import review
from inkshift.errors import SettingError
from inkshift.review import intake, queue
from inkshift.review import store as stores
from inkshift.review.agreement import agreement, progress
from inkshift.review.queue import LEASE, Item, TakenError, decide, next_field, renew, settle, undo
from inkshift.review.schema import Decision, Field, Lease
from inkshift.review.store import Store

pytest_plugins = ["review_databases"]


@dataclass
class Clock:
    now: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def people(store: Store, count: int) -> list[int]:
    return [stores.add_user(store, f"keyer {i}", "keyer") for i in range(1, count + 1)]


def taken(store: Store, user: int, batch: int) -> Item:
    item = next_field(store, user, batch)
    assert item is not None
    return item


def key(store: Store, user: int, batch: int, value: str, seconds: float = 0.0) -> str:
    """Decide the next field; how it stands then."""
    return decide(store, user, taken(store, user, batch).field, value, seconds).status


class TestOrder:
    def test_the_most_damaging_first_then_the_least_certain(self, store: Store) -> None:
        batch = intake.add_batch(
            store,
            "one",
            [
                forms.form(
                    "f1", forms.field("sure", confidence=0.99, accepted=True), forms.field("faint", confidence=0.2)
                ),
                forms.form(
                    "f2", forms.field("fair", confidence=0.6), forms.field("sum", rules_broken=("a = b: 1, but 2",))
                ),
                forms.form("f3", forms.field("refused", confidence=0.4, accepted=False)),
            ],
        )
        (user,) = people(store, 1)
        order = []
        while (item := next_field(store, user, batch)) is not None:
            order.append(item.name)
            decide(store, user, item.field, "12")
        assert order == ["sum", "faint", "refused", "fair", "sure"]

    def test_what_a_keyer_sees(self, store: Store) -> None:
        batch = intake.add_batch(
            store, "one", [forms.form("f1", forms.field("a", "07", rules_broken=("a = b: 7, but 8",)))]
        )
        blind = intake.add_batch(
            store, "two", [forms.form("f1", forms.field("a", "07", rules_broken=("a = b",)))], double=True
        )
        ann, bob, cid = people(store, 3)
        seen = taken(store, ann, batch)
        assert (seen.form, seen.name, seen.suggestion, seen.rules_broken) == ("f1", "a", "07", ("a = b: 7, but 8",))
        for user, value in ((ann, "07"), (bob, "blank")):
            item = taken(store, user, blind)
            assert (item.suggestion, item.rules_broken, item.answers, item.settles) == ("", (), (), False)
            decide(store, user, item.field, value)
        item = taken(store, cid, blind)
        assert (item.settles, item.answers, item.suggestion) == (True, ("07", "blank"), "")


class TestDecisions:
    def test_one_keyer_settles_a_field(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 2))
        ann, bob = people(store, 2)
        assert key(store, ann, batch, "crossed-out") == "settled"
        assert key(store, bob, batch, "0012") == "settled"
        with store.reading() as session:
            assert session.execute(sa.select(Field.state, Field.value).order_by(Field.confidence)).all() == [
                ("crossed-out", ""),
                ("written", "0012"),
            ]
        assert next_field(store, ann, batch) is None

    def test_two_must_agree_and_a_third_settles(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1), double=True)
        ann, bob, cid = people(store, 3)
        assert key(store, ann, batch, "7") == "open"
        assert next_field(store, ann, batch) is None
        assert key(store, bob, batch, "07") == "disputed"
        assert next_field(store, bob, batch) is None
        assert key(store, cid, batch, "7") == "settled"
        assert progress(store, batch).settled == 1

    def test_the_model_as_one_of_two(self, store: Store) -> None:
        read = (forms.field("a", "12", 0.1), forms.field("b", "13", 0.2), forms.field("c", "", 0.3))
        unread = read[2].__class__("c", "", "?", "overwritten", 0.3)
        batch = intake.add_batch(store, "one", [forms.form("f", *read[:2], unread)], double=True, model_keys=True)
        ann, bob = people(store, 2)
        assert [key(store, ann, batch, value) for value in ("12", "14", "15")] == ["settled", "disputed", "open"]
        assert [key(store, bob, batch, value) for value in ("14", "15")] == ["settled", "settled"]

    def test_what_is_no_decision(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        (ann,) = people(store, 1)
        item = taken(store, ann, batch)
        for value in ("", "1a", "-1", "empty", "٣", "1" * 21):
            with pytest.raises(SettingError, match="expected 1 to 20 digits or one of blank, crossed-out, unreadable"):
                decide(store, ann, item.field, value)
        for seconds in (-1.0, float("nan"), float("inf")):
            with pytest.raises(SettingError, match="seconds: expected 0 or more"):
                decide(store, ann, item.field, "1", seconds)
        with pytest.raises(SettingError, match="field 999: there is no such field"):
            decide(store, ann, 999, "1")
        with pytest.raises(SettingError, match="expected a keyer or a supervisor, found nobody"):
            next_field(store, 999, batch)

    def test_the_same_answer_again_is_one_decision(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        ann, bob = people(store, 2)
        item = taken(store, ann, batch)
        assert decide(store, ann, item.field, "7") == decide(store, ann, item.field, "7")
        with pytest.raises(TakenError, match="you decided it already; undo that first"):
            decide(store, ann, item.field, "8")
        with pytest.raises(TakenError, match="is settled by now"):
            decide(store, bob, item.field, "7")

    def test_a_supervisor_corrects_what_is_settled(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        (ann,) = people(store, 1)
        boss = stores.add_user(store, "boss", "supervisor")
        item = taken(store, ann, batch)
        decide(store, ann, item.field, "7")
        with pytest.raises(SettingError, match="needs a supervisor, found a keyer"):
            settle(store, ann, item.field, "8")
        assert settle(store, boss, item.field, "8").status == "settled"
        undone = undo(store, ann, batch)
        assert undone is not None and (undone.status, undone.item) == ("settled", None)
        with store.reading() as session:
            assert session.scalars(sa.select(Field.value)).one() == "8"


class TestLeases:
    def test_a_field_held_by_one_goes_to_nobody_else(self, store: Store) -> None:
        store.clock = clock = Clock()
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        ann, bob = people(store, 2)
        item = taken(store, ann, batch)
        assert taken(store, ann, batch) == item, "as when a browser is opened again"
        assert next_field(store, bob, batch) is None
        with pytest.raises(TakenError, match="somebody else has it now"):
            decide(store, bob, item.field, "7")
        clock.now += LEASE - timedelta(seconds=1)
        assert renew(store, ann, item.field)
        clock.now += LEASE - timedelta(seconds=1)
        assert next_field(store, bob, batch) is None
        clock.now += timedelta(seconds=1)
        assert taken(store, bob, batch).field == item.field
        assert not renew(store, ann, item.field)
        with pytest.raises(TakenError, match="somebody else has it now"):
            decide(store, ann, item.field, "7")

    def test_an_answer_that_comes_late_counts_where_nobody_took_the_field(self, store: Store) -> None:
        store.clock = clock = Clock()
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        (ann,) = people(store, 1)
        item = taken(store, ann, batch)
        clock.now += 10 * LEASE
        assert decide(store, ann, item.field, "7").status == "settled"

    def test_letting_go(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1))
        ann, bob = people(store, 2)
        item = taken(store, ann, batch)
        queue.release(store, ann)
        assert taken(store, bob, batch) == item


class TestUndo:
    def test_it_takes_back_one_after_another(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 3))
        (ann,) = people(store, 1)
        items = []
        for value in ("1", "2"):
            items.append(taken(store, ann, batch))
            decide(store, ann, items[-1].field, value)
        for item in reversed(items):
            undone = undo(store, ann, batch)
            assert undone is not None and (undone.item, undone.status) == (item, "open")
        assert undo(store, ann, batch) is None
        with store.reading() as session:
            log = session.execute(sa.select(Decision.kind, Decision.value).order_by(Decision.id)).all()
        assert log == [("key", "1"), ("key", "2"), ("undo", ""), ("undo", "")]

    def test_of_one_of_two_who_agreed(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1), double=True)
        ann, bob = people(store, 2)
        assert [key(store, ann, batch, "7"), key(store, bob, batch, "7")] == ["open", "settled"]
        undone = undo(store, ann, batch)
        assert undone is not None and undone.item is not None
        assert next_field(store, bob, batch) is None
        assert decide(store, ann, undone.field, "8").status == "disputed"

    def test_while_another_has_the_field_on_the_screen(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", forms.many(1, 1), double=True)
        ann, bob = people(store, 2)
        key(store, ann, batch, "7")
        item = taken(store, bob, batch)
        undone = undo(store, ann, batch)
        assert undone is not None and undone.item is None
        assert next_field(store, ann, batch) is None
        assert decide(store, bob, item.field, "8").status == "open"
        assert taken(store, ann, batch).field == item.field


def test_progress_and_agreement(store: Store) -> None:
    read = [forms.field(name, "1", 0.1 * i, accepted=name == "e") for i, name in enumerate("abcde")]
    batch = intake.add_batch(store, "one", [forms.form("f", *read)], double=True)
    ann, bob, cid = people(store, 3)
    for user, values in ((ann, "1122"), (bob, "1121")):
        for value in values:
            key(store, user, batch, value, seconds=float(value))
    now = progress(store, batch)
    assert (now.fields, now.open, now.disputed, now.settled, now.accepted, now.held) == (5, 1, 1, 3, 1, 0)
    assert [(k.name, k.decisions, k.seconds) for k in now.keyers] == [("keyer 1", 4, 1.5), ("keyer 2", 4, 1.0)]
    boss = stores.add_user(store, "boss", "supervisor")
    key(store, cid, batch, "1")
    with store.reading() as session:
        third = session.scalars(sa.select(Field.id).where(Field.name == "c")).one()
    settle(store, boss, third, "1")
    pairs = {(pair.a, pair.b): pair for pair in agreement(store, batch)}
    both = pairs["keyer 1", "keyer 2"]
    assert (both.fields, both.agreed, both.judged, both.a_wrong, both.b_wrong, both.both_wrong) == (4, 3, 4, 2, 1, 1)
    assert (both.judged_agreed, both.alike) == (3, 1), "the model bore two out; the third was wrong in the same way"
    assert both.agreement[0] < 0.75 < both.agreement[1]
    assert both.correlation == pytest.approx(1 / 3**0.5)
    assert pairs["keyer 1", "model"].a_wrong == 2 and pairs["keyer 1", "model"].b_wrong == 0


# --- any order of steps ---


@dataclass
class Known:
    """What should be so of a field. keys: user to answer, in order; settles: user, answer; held: by whom, until."""

    keys: dict[int, str] = field(default_factory=dict)
    settles: list[tuple[int, str]] = field(default_factory=list)
    held: tuple[int, datetime] | None = None
    log: int = 0

    def first_two(self) -> list[int]:
        return list(self.keys)[:2]

    def status(self) -> str:
        answers = [self.keys[user] for user in self.first_two()]
        if self.settles or (len(answers) == 2 and answers[0] == answers[1]):
            return "settled"
        return "disputed" if len(answers) == 2 else "open"

    def answer(self) -> str:
        if self.settles:
            return self.settles[-1][1]
        return next(iter(self.keys.values())) if self.status() == "settled" else ""


class Steps(RuleBasedStateMachine):
    """Four people on six fields that two must agree on, step by step beside a plain account of what should be so."""

    store: Store
    users: list[int]
    boss: int
    batches = 0

    def __init__(self) -> None:
        super().__init__()
        Steps.batches += 1
        self.clock = Clock()
        self.store.clock = self.clock
        self.batch = intake.add_batch(self.store, f"batch {Steps.batches}", forms.many(2, 3), double=True)
        with self.store.reading() as session:
            mine = sa.select(Field.id).where(Field.batch_id == self.batch).order_by(Field.confidence, Field.id)
            self.fields = {i: Known() for i in session.scalars(mine)}
        self.done: dict[int, list[tuple[str, int]]] = {user: [] for user in [*self.users, self.boss]}

    def free(self, user: int, known: Known) -> bool:
        return known.held is None or known.held[0] == user or known.held[1] <= self.clock.now

    def waits(self, user: int, known: Known) -> bool:
        return known.status() != "settled" and user not in known.first_two()

    @rule(who=st.integers(0, 3))
    def take(self, who: int) -> None:
        user = self.users[who]
        item = next_field(self.store, user, self.batch)
        mine = [
            i
            for i, k in self.fields.items()
            if self.waits(user, k) and k.held is not None and k.held[0] == user and k.held[1] > self.clock.now
        ]
        wanted = mine or [i for i, k in self.fields.items() if self.waits(user, k) and self.free(user, k)]
        assert (item.field if item else None) == next(iter(wanted), None)
        if item:
            self.fields[item.field].held = (user, self.clock.now + LEASE)
            assert item.settles == (self.fields[item.field].status() == "disputed")

    @rule(
        who=st.integers(0, 3), which=st.integers(0, 5), value=st.sampled_from(["1", "2", "blank"]), mine=st.booleans()
    )
    def answer(self, who: int, which: int, value: str, mine: bool) -> None:
        user = self.users[who]
        held = [i for i, k in self.fields.items() if k.held is not None and k.held[0] == user]
        chosen = held[0] if mine and held else list(self.fields)[which]
        known = self.fields[chosen]
        before = known.keys.get(user) or next((a for u, a in known.settles if u == user), None)
        if before == value:
            decide(self.store, user, chosen, value)
        elif before is not None or not self.free(user, known) or known.status() == "settled":
            with pytest.raises(TakenError):
                decide(self.store, user, chosen, value)
        else:
            kind = "settle" if known.status() == "disputed" else "key"
            status = decide(self.store, user, chosen, value).status
            self.note(user, chosen, kind, value)
            assert status == known.status()

    @rule(which=st.integers(0, 5), value=st.sampled_from(["1", "2"]))
    def overrule(self, which: int, value: str) -> None:
        chosen = list(self.fields)[which]
        settle(self.store, self.boss, chosen, value)
        self.note(self.boss, chosen, "settle", value)

    def note(self, user: int, chosen: int, kind: str, value: str) -> None:
        known = self.fields[chosen]
        known.log += 1
        self.done[user].append((kind, chosen))
        if kind == "key":
            known.keys[user] = value
        else:
            known.settles.append((user, value))
        if known.status() == "settled" or (known.held and known.held[0] == user):
            known.held = None

    @rule(who=st.integers(0, 4))
    def take_back(self, who: int) -> None:
        user = [*self.users, self.boss][who]
        undone = undo(self.store, user, self.batch)
        if not self.done[user]:
            assert undone is None
            return
        kind, chosen = self.done[user].pop()
        known = self.fields[chosen]
        known.log += 1
        if kind == "key":
            del known.keys[user]
        else:
            last = max(i for i, (u, _) in enumerate(known.settles) if u == user)
            del known.settles[last]
        assert undone is not None and (undone.field, undone.status) == (chosen, known.status())
        back = self.waits(user, known) and self.free(user, known)
        assert (undone.item is not None) == back
        if back:
            known.held = (user, self.clock.now + LEASE)

    @rule(seconds=st.integers(1, 150))
    def wait(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(who=st.integers(0, 3))
    @precondition(lambda self: any(known.held for known in self.fields.values()))
    def let_go(self, who: int) -> None:
        queue.release(self.store, self.users[who])
        for known in self.fields.values():
            if known.held and known.held[0] == self.users[who]:
                known.held = None

    @invariant()
    def all_is_as_noted(self) -> None:
        with self.store.reading() as session:
            mine = Field.batch_id == self.batch
            stands = {
                i: (status, queue.shown(state, value))
                for i, status, state, value in session.execute(
                    sa.select(Field.id, Field.status, Field.state, Field.value).where(mine)
                )
            }
            log = session.execute(sa.select(Decision.field_id, Decision.number).join(Decision.field).where(mine)).all()
            leases = session.execute(
                sa.select(Lease.field_id, Lease.user_id)
                .join(Field, Field.id == Lease.field_id)
                .where(mine, Lease.until > self.clock.now)
            ).all()
        assert stands == {i: (known.status(), known.answer()) for i, known in self.fields.items()}
        assert sorted(log) == [(i, n) for i, known in sorted(self.fields.items()) for n in range(1, known.log + 1)]
        held = {i: k.held[0] for i, k in self.fields.items() if k.held and k.held[1] > self.clock.now}
        assert dict(map(tuple, leases)) == held


def test_any_steps_of_several_people(store: Store) -> None:
    Steps.store, Steps.users = store, people(store, 4)
    Steps.boss = stores.add_user(store, "boss", "supervisor")
    Steps.batches = 0
    run_state_machine_as_test(
        Steps,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


# --- many at once ---


def work(store: Store, user: int, batch: int, answer: Callable[[Item], str], times: list[tuple[float, float]]) -> None:
    """Key until every field of the batch is settled."""
    while True:
        start = time.perf_counter()
        item = next_field(store, user, batch)
        if item is None:
            with store.reading() as session:
                if (
                    session.scalar(sa.select(Field.id).where(Field.batch_id == batch, Field.waiting.is_(True)).limit(1))
                    is None
                ):
                    return
            time.sleep(0.02)
            continue
        middle = time.perf_counter()
        decide(store, user, item.field, answer(item), 0.5)
        times.append((middle - start, time.perf_counter() - middle))


def all_at_once(store: Store, keyers: int, batch: int, wrong: float) -> list[tuple[float, float]]:
    users = people(store, keyers)
    times: list[tuple[float, float]] = []
    failed: list[BaseException] = []

    def one(user: int) -> None:
        chance = random.Random(user)
        try:
            work(store, user, batch, lambda item: "8" if chance.random() < wrong else "7", times)
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=one, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    return times


def check_log(store: Store, batch: int, acknowledged: int, double: bool) -> None:
    """Every decision that was acknowledged is there once, and each field has as many as it needed."""
    with store.reading() as session:
        log = session.execute(
            sa.select(Decision.field_id, Decision.user_id).join(Decision.field).where(Field.batch_id == batch)
        ).all()
        fields = dict(
            map(tuple, session.execute(sa.select(Field.id, Field.status).where(Field.batch_id == batch)).all())
        )
        held = session.scalar(sa.select(sa.func.count(Lease.field_id)))
    assert len(log) == len(set(map(tuple, log))) == acknowledged
    assert set(fields.values()) == {"settled"} and held == 0
    assert set(Counter(field for field, _ in log).values()) <= ({2, 3} if double else {1})


def test_eight_at_once(store: Store) -> None:
    batch = intake.add_batch(store, "one", forms.many(10, 20), double=True)
    times = all_at_once(store, 8, batch, wrong=0.1)
    check_log(store, batch, len(times), double=True)


@pytest.mark.slow
def test_twenty_at_once_over_ten_thousand_fields(store: Store) -> None:
    """Prints how long each step took, where it is run with -s."""
    batch = intake.add_batch(store, "one", forms.many(100, 100))
    (alone,) = [stores.add_user(store, "alone", "keyer")]
    few = intake.add_batch(store, "few", forms.many(5, 100))
    single: list[tuple[float, float]] = []
    work(store, alone, few, lambda item: "7", single)
    times = all_at_once(store, 20, batch, wrong=0.0)
    check_log(store, batch, len(times), double=False)
    assert len(times) == 10_000
    for who, found in (("one keyer", single), ("20 keyers", times)):
        for step, seconds in zip(("next_field", "decide"), zip(*found, strict=True), strict=True):
            cuts = quantiles(seconds, n=100)
            database = store.engine.dialect.name
            print(f"{database}, {who}, {step}: median {cuts[49] * 1e3:.1f} ms, p95 {cuts[94] * 1e3:.1f} ms")


KEYS = """
import sys
from inkshift.review import store as stores
from inkshift.review.queue import decide, next_field

store = stores.open(sys.argv[1])
user, batch = int(sys.argv[2]), int(sys.argv[3])
while (item := next_field(store, user, batch)) is not None:
    done = decide(store, user, item.field, str(item.field))
    print(done.decision, item.field, flush=True)
"""


def test_killed_in_the_middle(url: str) -> None:
    store = stores.open(url)
    batch = intake.add_batch(store, "one", forms.many(10, 20))
    ann, bob = people(store, 2)
    command = [sys.executable, "-c", KEYS, url, str(ann), str(batch)]
    environment = os.environ | {"PYTHONPATH": str(Path(review.__file__).parents[2])}
    acknowledged: dict[int, int] = {}
    for stop in (5, 30):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                decision, of_field = map(int, line.split())
                acknowledged[decision] = of_field
                if len(acknowledged) >= stop:
                    process.kill()
    with store.reading() as session:
        log = dict(map(tuple, session.execute(sa.select(Decision.id, Decision.field_id)).all()))
        settled = session.execute(sa.select(Field.id, Field.value).where(Field.status == "settled")).all()
    assert acknowledged.items() <= log.items()
    assert sorted(settled) == sorted((i, str(i)) for i in log.values())
    times: list[tuple[float, float]] = []
    store.clock = Clock(datetime.now(UTC) + LEASE)
    work(store, bob, batch, lambda item: str(item.field), times)
    check_log(store, batch, len(log) + len(times), double=False)
    store.close()
