"""All that review holds goes into one file and comes back, also into the other kind of database."""

from __future__ import annotations

import hashlib
import json
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkshift.cli import main
from inkshift.errors import InputError, SettingError
from inkshift.review.core import backup, queue
from inkshift.review.core import store as stores
from inkshift.review.core.intake import add_batch
from inkshift.review.core.schema import Base, Page, User
from inkshift.review.core.store import Store
from inkshift.review.serve import demo_batch, read_batch
from inkshift.review.web.sessions import start_session
from review_app import PASSWORD
from review_forms import many, people, taken

pytest_plugins = ["review_databases"]


def filled(store: Store, files: Path) -> None:
    """A batch that was read, pictures and all, decisions one of which was taken back, an account, and files."""
    read_batch(store, demo_batch())
    ana, ben = people(store, 2)
    boss = stores.add_user(store, "sué", "supervisor", PASSWORD)
    batch = add_batch(store, "two", many(2, 2), double=True)
    for person in (ana, ben):
        queue.decide(store, person, taken(store, person, batch).field, "12")
    queue.undo(store, ben, batch)
    user = store.get(User, boss)
    assert user is not None
    start_session(store, user)
    (files / "uploads/1").mkdir(parents=True)
    (files / "uploads/1/año.png").write_bytes(b"\x89PNG" * 1000)
    (files / ".review.lock").touch()
    (files / "models/.1.part").mkdir(parents=True)
    (files / "models/.1.part/half").touch()


def rows(store: Store) -> dict[str, list[Any]]:
    with store.reading() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
            if table.name != "sessions"
        }


@pytest.mark.parametrize("other", ["sqlite", "postgresql"])
def test_what_comes_back_is_what_there_was(
    store: Store, tmp_path: Path, other: str, request: pytest.FixtureRequest
) -> None:
    filled(store, tmp_path / "files")
    made = backup.back_up(store, tmp_path / "files", tmp_path / "kept.zip")
    assert made.files == ["uploads/1/año.png"] and made.rows["decisions"] == 3
    address = f"sqlite:///{tmp_path / 'other.db'}"
    if other == "postgresql":
        postgres, schema = request.getfixturevalue("postgres"), f"back{store.engine.dialect.name}"
        engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        engine.dispose()
        address = f"{postgres}?options=-csearch_path%3D{schema}"
    with closing(stores.open(address)) as back:
        backup.restore(tmp_path / "kept.zip", made, back, tmp_path / "back")
        before, after = rows(store), rows(back)
        assert {name: found for name, found in before.items() if after[name] != found} == {}
        assert (tmp_path / "back/uploads/1/año.png").read_bytes() == b"\x89PNG" * 1000
        assert stores.log_in(back, "sué", PASSWORD) is not None
        assert stores.add_user(back, "new", "keyer") > max(row[0] for row in before["users"]), "numbers go on"
        with pytest.raises(SettingError, match="is not empty"):
            backup.restore(tmp_path / "kept.zip", made, back, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    with closing(stores.open(f"sqlite:///{tmp_path / 'review.db'}")) as store:
        add_batch(store, "two", many(2, 2))
        (tmp_path / "files").mkdir()
        (tmp_path / "files/a.txt").write_text("a")
        backup.back_up(store, tmp_path / "files", tmp_path / "kept.zip")
    return tmp_path / "kept.zip"


def changed(kept: Path, name: str, data: bytes | None, **manifest: Any) -> None:
    """The archive with another member, or without it, and something else in what it says of itself."""
    with zipfile.ZipFile(kept) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    said = json.loads(members[backup.MANIFEST])
    members[backup.MANIFEST] = json.dumps(said | manifest).encode()
    members.pop(name, None)
    with zipfile.ZipFile(kept, "w") as archive:
        for one, what in (members | ({} if data is None else {name: data})).items():
            archive.writestr(one, what)


@pytest.mark.parametrize("data", [b"b", None])
def test_what_was_damaged_is_named(kept: Path, data: bytes | None) -> None:
    changed(kept, "files/a.txt", data)
    with pytest.raises(InputError, match=r"kept\.zip: .*files/a\.txt"):
        backup.check(kept)


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-100], lambda whole: b"PK", lambda whole: b""])
def test_what_is_no_backup_is_named(kept: Path, spoil: Any) -> None:
    kept.write_bytes(spoil(kept.read_bytes()))
    with pytest.raises(InputError, match="expected a backup of review, whole"):
        backup.check(kept)


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bit_that_turned_is_found(kept: Path, data: st.DataObject) -> None:
    """Or it is in what says nothing, such as the time of a member: what comes back is as it was."""
    whole = bytearray(kept.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    spoiled = kept.with_name("spoiled.zip")
    spoiled.write_bytes(whole)
    with suppress(InputError):
        assert backup.check(spoiled) == backup.check(kept)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_a_device_is_no_backup() -> None:
    with pytest.raises(InputError, match="/dev/zero: expected a backup of review, whole; found none"):
        backup.check(Path("/dev/zero"))


@pytest.mark.parametrize(
    "lines",
    [
        b"[]\n",
        b"7\n",
        b'{"id": {}}\n',
        b'{"no such column": 1}\n',
        b'{"id": "x", "name": []}\n',
        b"{}\n{",
        b"[" * 9999,
        b"\xff\n",
    ],
)
def test_rows_that_are_none_of_ours_are_told_and_nothing_comes_back(kept: Path, tmp_path: Path, lines: bytes) -> None:
    """Made by hand, with the digests that belong to them."""
    name = "tables/batches.jsonl"
    with zipfile.ZipFile(kept) as archive:
        own = json.loads(archive.read(backup.MANIFEST))["digests"]
    changed(kept, name, lines, digests=own | {name: hashlib.sha256(lines).hexdigest()})
    with closing(stores.open(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        before = rows(other)
        with pytest.raises(InputError, match="expected a backup of review, whole"):
            backup.restore(kept, backup.check(kept), other, tmp_path / "back")
        assert rows(other) == before and not (tmp_path / "back").exists()


def test_a_folder_that_is_missed_is_asked_for(kept: Path, tmp_path: Path) -> None:
    with closing(stores.open(f"sqlite:///{tmp_path / 'review.db'}")) as store:
        with store.writing() as session:
            session.execute(sa.update(Page).values(source="batches/1/a.png"))
        with pytest.raises(SettingError, match=r"gone: no such folder, but review keeps batches/1/a\.png in it"):
            backup.back_up(store, tmp_path / "gone", kept)
    assert kept.stat().st_mode & 0o077 == 0, "what is in it is nobody else's business"


def test_nothing_comes_back_by_half(kept: Path, tmp_path: Path) -> None:
    with closing(stores.open(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        changed(kept, "-", None, tables_of="0001")
        with pytest.raises(InputError, match="its tables have version 0001"):
            backup.restore(kept, backup.check(kept), other, tmp_path / "back")
        digest = hashlib.sha256(b"x").hexdigest()
        with zipfile.ZipFile(kept) as archive:
            own = json.loads(archive.read(backup.MANIFEST))["digests"]
        changed(kept, "files/../out.txt", b"x", digests=own | {"files/../out.txt": digest})
        with pytest.raises(InputError, match="not within its folder"):
            backup.restore(kept, backup.check(kept), other, tmp_path / "back")
        assert not any(rows(other).values()) and not (tmp_path / "back").exists()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_the_commands(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("backup", "all.zip", "--files", "files") == 0
    assert run("restore", "all.zip", "--db", "sqlite:///moved.db") == 0
    assert capsys.readouterr().err.count("all.zip: 4 fields, 0 decisions and 1 file, checked") == 2
    assert (tmp_path / "moved-files/a.txt").read_text() == "a"
    assert run("backup", "none.zip", "--db", "sqlite:///gone.db") == 1
    assert run("restore", "files/a.txt", "--db", "sqlite:///new.db") == 1 and not (tmp_path / "new.db").exists()
    assert "gone.db: no such database" in capsys.readouterr().err and not (tmp_path / "none.zip").exists()
