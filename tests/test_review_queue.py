"""The queue: what comes first, who holds what, and what follows from decisions."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import review_forms as forms
from inkshift.errors import SettingError
from inkshift.forms.template import FieldSpec, PageSpec, Template
from inkshift.review.batches import mend
from inkshift.review.batches.exchange import lines
from inkshift.review.core import intake, queue
from inkshift.review.core import store as stores
from inkshift.review.core.agreement import agreement, progress
from inkshift.review.core.queue import LEASE, Item, TakenError, decide, next_field, renew, settle, undo
from inkshift.review.core.schema import Decision, Field, settled_by_people
from inkshift.review.core.store import Store
from review_forms import Clock, key, people, taken

pytest_plugins = ["review_databases"]


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
        assert key(store, bob, batch, "70") == "disputed"
        assert next_field(store, bob, batch) is None
        assert key(store, cid, batch, "7") == "settled"
        assert progress(store, batch).settled == 1

    @pytest.mark.parametrize(
        ("limit", "first", "second", "stands"),
        [
            ({"cells": 4, "digits": (0, 4)}, "942", "0942", "0942"),
            ({"digits": (1, 4)}, "0942", "942", "0942"),
            ({"digits": (1, 4)}, "0", "00", "00"),
            ({"digits": (1, 4)}, "0", "blank", ""),
            ({"cells": 4, "digits": (4, 4)}, "942", "0942", ""),
            ({"cells": 3, "digits": (0, 3)}, "942", "0942", ""),
            ({"digits": (1, 6), "kind": "decimal"}, "7.50", "007,50", "007.50"),
            ({"digits": (1, 6), "signed": True}, "-7", "-07", "-07"),
            ({"kind": "text"}, "942", "0942", ""),
        ],
    )
    def test_zeros_before_a_number_are_no_disagreement_but_before_a_code_they_are(
        self, store: Store, limit: dict[str, Any], first: str, second: str, stands: str
    ) -> None:
        spec = FieldSpec(name="a", box=(40, 40, 60, 30), **limit)
        template = Template(name="one", pages=(PageSpec(size=(200, 300), marks=forms.MARKS, fields=(spec,)),))
        read = forms.form("f", forms.field("a", "13", 0.1))
        batch = intake.add_batch(store, "one", [read], double=True, template=template)
        ann, bob = people(store, 2)
        for user, value in ((ann, first), (bob, second)):
            status = decide(store, user, taken(store, user, batch).field, value, checked=True).status
        assert status == ("settled" if stands else "disputed")
        (pair,) = (one for one in agreement(store, batch) if one.b != "model")
        assert pair.agreed == bool(stands)
        (line,) = lines(store, batch)
        assert (line.row["decided"], len(line.by)) == (stands, 2 if stands else 0)

    def test_a_number_that_people_typed_without_the_zeros_of_the_model_is_theirs(self, store: Store) -> None:
        read = forms.form("f", forms.field("a", "0942", 0.1))
        batch = intake.add_batch(store, "one", [read], double=True, model_keys=True)
        (ann,) = people(store, 1)
        assert key(store, ann, batch, "942") == "settled"
        with store.reading() as session:
            assert session.scalars(sa.select(Field.value).where(settled_by_people())).all() == ["0942"]

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
        with pytest.raises(TakenError, match="needs nobody by now"):
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

    def test_a_field_taken_between_the_look_and_the_lock(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bob's statement does not see yet that Ann holds the field, and the row's lock is free again by then."""
        if store.engine.dialect.name == "sqlite":
            pytest.skip("SQLite lets one write at a time")
        batch = intake.add_batch(store, "one", forms.many(1, 2))
        ann, bob = people(store, 2)
        looks = threading.Event()

        @sa.event.listens_for(store.engine, "before_cursor_execute")
        def tell(*given: object) -> None:
            if "pg_sleep" in str(given[2]):
                looks.set()

        found: list[Item] = []
        thread = threading.Thread(target=lambda: found.append(taken(store, bob, batch)))
        with monkeypatch.context() as slowly:
            slowly.setattr(queue, "_FREE", queue._FREE.where(sa.text("(SELECT pg_sleep(0.8)) IS NOT NULL")))
            thread.start()
            assert looks.wait(30)
        time.sleep(0.3)
        first = taken(store, ann, batch)
        thread.join()
        assert [first.name, found[0].name] == ["a0", "a1"]


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
    assert (both.fields, both.agreed) == (4, 3)
    assert both.agreement[0] < 0.75 < both.agreement[1]
    assert both.correlation == pytest.approx(1 / 3**0.5), "wrong in 2 and 1 of 4, which others settled; once both"
    assert pairs["keyer 1", "model"].correlation is None, "the model was never wrong"
    mend.put_aside(store, boss, 1, "scanned again")
    assert agreement(store, batch) == [] and progress(store, batch).keyers == ()
