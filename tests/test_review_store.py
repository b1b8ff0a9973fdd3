"""The database of review: made, brought up to date, refused; users, passwords, models; a log that only grows."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from inkshift.errors import InputError, SettingError
from inkshift.review.core import intake, queue
from inkshift.review.core import store as stores
from inkshift.review.core.passwords import check_password, hash_password
from inkshift.review.core.schema import Base, Decision, User
from inkshift.review.core.store import Store
from review_first_release import first_release
from review_forms import field, form

pytest_plugins = ["review_databases"]
PASSWORD = "correct horse battery"


class TestOpen:
    def test_the_tables_are_those_of_the_schema(self, store: Store) -> None:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []

    def test_what_is_there_stays(self, url: str) -> None:
        for _ in range(2):
            store = stores.open(url)
            stores.local_user(store)
            store.close()
        store = stores.open(url)
        assert [user.name for user in stores.users(store)] == ["local"]
        store.close()

    def test_two_at_once_make_one_set_of_tables(self, url: str) -> None:
        opened: list[Store] = []
        threads = [threading.Thread(target=lambda: opened.append(stores.open(url))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 4
        for store in opened:
            store.close()

    def test_a_newer_database_is_refused_in_one_line(self, url: str) -> None:
        store = stores.open(url)
        with store.engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        store.close()
        with pytest.raises(InputError, match=r"version 9999, of a newer inkshift.*upgrade inkshift") as caught:
            stores.open(url)
        assert "\n" not in str(caught.value)

    def test_tables_of_something_else_are_left_alone(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
            connection.execute("CREATE TABLE users (x)")
        connection.close()
        with pytest.raises(InputError, match="holds a table 'users' of something else"):
            stores.open(f"sqlite:///{tmp_path}/other.db")

    @pytest.mark.parametrize(
        ("url", "found"),
        [("review.db", "one without ://"), ("sqlite://", "sqlite://"), ("mysql://me:secret@host/x", "mysql://me:")],
    )
    def test_other_addresses_are_wrong(self, url: str, found: str) -> None:
        with pytest.raises(SettingError, match="expected sqlite:///FILE or postgresql://") as caught:
            stores.open(url)
        assert found in str(caught.value) and "secret" not in str(caught.value)

    def test_a_file_that_is_no_database_and_no_place_for_one(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("these are notes, and long enough to be no empty database\n" * 40)
        with pytest.raises(InputError, match=r"notes\.txt: cannot be opened"):
            stores.open(f"sqlite:///{tmp_path}/notes.txt")
        with pytest.raises(InputError, match="cannot be written"):
            stores.open(f"sqlite:///{tmp_path}/nowhere/review.db")
        with pytest.raises(InputError, match=r"\*\*\*@127\.0\.0\.1:1/x\S*: cannot be opened"):
            stores.open("postgresql://me:secret@127.0.0.1:1/x?connect_timeout=2")

    def test_the_file_is_the_users_alone(self, tmp_path: Path) -> None:
        stores.open(f"sqlite:///{tmp_path}/review.db").close()
        assert (tmp_path / "review.db").stat().st_mode & 0o077 == 0


class TestLog:
    def test_nothing_in_it_is_changed_or_deleted(self, store: Store) -> None:
        batch = intake.add_batch(store, "one", [form("f", field("a"))])
        user = stores.local_user(store)
        item = queue.next_field(store, user, batch)
        assert item is not None
        queue.decide(store, user, item.field, "12")
        for change in (sa.update(Decision).values(value="13"), sa.delete(Decision)):
            with pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"), store.writing() as session:
                session.execute(change)
        with store.reading() as session:
            assert session.scalars(sa.select(Decision.value)).all() == ["12"]

    def test_a_transaction_that_fails_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.writing() as session:
            session.add(User(name="x", role="keyer", created=store.clock()))
            session.flush()
            _ = 1 / 0
        assert stores.users(store) == []

    def test_moments_keep_their_zone(self, store: Store) -> None:
        noon = datetime(2026, 3, 1, 12, 0, 0, 123456, timezone(timedelta(hours=-5)))
        store.clock = lambda: noon
        user = store.get(User, stores.local_user(store))
        assert user is not None and user.created == noon and user.created.tzinfo is not None


class TestUsers:
    def test_who_may_log_in(self, store: Store) -> None:
        ann = stores.add_user(store, " Ann ", "keyer", PASSWORD)
        found = stores.log_in(store, "Ann", PASSWORD)
        assert found is not None and (found.id, found.role) == (ann, "keyer")
        assert PASSWORD not in found.password and found.password.startswith("$argon2id$")
        assert stores.log_in(store, "Ann", PASSWORD + "x") is None
        assert stores.log_in(store, "Bob", PASSWORD) is None
        stores.local_user(store)
        assert stores.log_in(store, "local", "") is None

    def test_another_password_and_none(self, store: Store) -> None:
        ann = stores.add_user(store, "Ann", "supervisor", PASSWORD)
        stores.set_password(store, ann, "another one, as long")
        assert stores.log_in(store, "Ann", PASSWORD) is None
        assert stores.log_in(store, "Ann", "another one, as long") is not None
        stores.set_password(store, ann, "")
        assert stores.log_in(store, "Ann", "") is None

    def test_names_are_taken_once(self, store: Store) -> None:
        stores.add_user(store, "Ann", "keyer")
        with pytest.raises(SettingError, match="'Ann': is there already"):
            stores.add_user(store, "Ann", "supervisor")
        for name in ("", " ", "x" * 101, "model"):
            with pytest.raises(SettingError, match="expected a name of 1 to 100 characters"):
                stores.add_user(store, name, "keyer")

    def test_passwords(self) -> None:
        assert check_password(hash_password("ñandú 0123"), "ñandú 0123")
        assert not check_password("", "") and not check_password("no hash", "no hash at all")
        for password in ("short", "x" * 257):
            with pytest.raises(SettingError, match="expected 10 to 256 characters"):
                hash_password(password)


def test_models_by_when_they_were_made(store: Store) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = iter(range(100))
    store.clock = lambda: start + timedelta(hours=next(ticks))
    stores.add_model(store, "a" * 64, "one", "models/one")
    stores.add_model(store, "b" * 64, "two", "models/two", based_on="a" * 64)
    stores.add_model(store, "a" * 64, "one", "models/one", comparison={"better": True})
    assert [(m.name, m.based_on[:1], m.comparison) for m in stores.models(store)] == [
        ("two", "a", None),
        ("one", "", {"better": True}),
    ]


def _all_of(engine: sa.Engine) -> dict[str, object]:
    """All that a database says of its tables; in which order columns lie is not told."""
    found = sa.inspect(engine)
    tables: dict[str, object] = {}
    for table in found.get_table_names():
        columns = {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)}
        keys = {(*key["constrained_columns"], key["referred_table"]) for key in found.get_foreign_keys(table)}
        unique = {tuple(one["column_names"]) for one in found.get_unique_constraints(table)}
        indexes = {one["name"]: one["column_names"] for one in found.get_indexes(table)}
        checks = {one["name"] for one in found.get_check_constraints(table)}
        tables[table] = columns, found.get_pk_constraint(table)["constrained_columns"], keys, unique, indexes, checks
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        else:
            wanted = (
                "SELECT tgname, pg_get_triggerdef(t.oid, true), attstorage FROM pg_trigger t, pg_attribute a "
                "WHERE NOT tgisinternal AND tgrelid = 'decisions'::regclass "
                "AND attrelid = 'fields'::regclass AND attname = 'crop'"
            )
        tables["beside"] = [tuple(row) for row in connection.execute(sa.text(wanted))]
        tables["version"] = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return tables


def test_a_database_of_the_first_release_ends_at_the_tables_of_a_new_one(url: str, other_url: str) -> None:
    first_release(url).dispose()
    older, new = stores.open(url), stores.open(other_url)
    found = _all_of(older.engine)
    assert found == _all_of(new.engine)
    older.close()
    assert len(found["beside"]) == (2 if new.engine.dialect.name == "sqlite" else 1)  # type: ignore[arg-type]
    new.close()


def test_tables_that_a_migration_does_not_know_are_not_passed_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    engine = first_release(url)
    with engine.execution_options(immediate=True).begin() as connection:
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        connection.exec_driver_sql(
            "UPDATE sqlite_schema SET sql = replace(sql, 'KEY(page_id)', 'KEY (\"page_id\")') WHERE name = 'fields'"
        )
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    engine.dispose()
    with pytest.raises(RuntimeError, match="fields: expected one key to pages to take out, found 0"):
        stores.open(url)
