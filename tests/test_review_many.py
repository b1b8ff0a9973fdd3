"""Many people at one queue, in any order of steps, at once, and killed: no decision is lost or doubled."""

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
from inkshift.review.core import intake, queue
from inkshift.review.core import store as stores
from inkshift.review.core.queue import LEASE, Item, TakenError, decide, next_field, settle, undo
from inkshift.review.core.schema import Decision, Field, Lease
from inkshift.review.core.store import Store
from review_forms import Clock, people

pytest_plugins = ["review_databases"]


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
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


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
from inkshift.review.core import store as stores
from inkshift.review.core.queue import decide, next_field

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
