"""The database of review: SQLite in one file, or PostgreSQL for a team. Who may use it, which models there are, and
long lists, a page at a time."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy.orm import Session

from inkshift.errors import InputError, MissingExtraError, SettingError
from inkshift.remote import address_of
from inkshift.review.core.passwords import check_password, hash_password
from inkshift.review.core.schema import MODEL, Base, Batch, Page, Role, TrainedModel, User

MIGRATIONS = Path(__file__).parent / "migrations"
LOCAL = "local"
_BUSY_SECONDS = 30
_CONNECTIONS = 40
_DO_NOT_WAIT = sa.text("SET LOCAL synchronous_commit = off")
Kept = TypeVar("Kept", bound=Base)
Row = TypeVar("Row")
Other = TypeVar("Other")


class Store:
    """A database that is open; made by `open`. Any number of threads may use it.

    files: the folder for what is uploaded and taught, once `use_files` said so. clock: gives the time in UTC; tests put
    another in its place.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.files: Path | None = None
        self.checks: dict[int, tuple[Any, Any]] = {}  # by batch, see `checks.checks_of`
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._writers = {
            durable: engine.execution_options(immediate=True, durable=durable) for durable in (True, False)
        }
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with. It blocks nobody and nobody blocks it."""
        with Session(self.engine) as session:
            yield session

    def get(self, table: type[Kept], key: int | str) -> Kept | None:
        """A row by its key; None where there is none."""
        with self.reading() as session:
            return session.get(table, key)

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[Session]:
        """A session that is one transaction: kept as a whole, on disk, when the block ends, or not at all.

        durable: False does not wait for the disk, as for who holds what: a killed process loses nothing of it, but a
        power cut may. SQLite lets one write at a time: threads take turns here, more fairly and quickly than there.
        """
        with self._turn, Session(self._writers[durable], expire_on_commit=False) as session, session.begin():
            if not durable and self.engine.dialect.name == "postgresql":
                session.execute(_DO_NOT_WAIT)
            yield session

    def use_files(self, files: Path) -> None:
        """Keep what is in this folder by its path within it, so that the folder can be moved; older rows follow."""
        self.files = files.resolve()
        before = f"{self.files}/"
        with self.writing() as session:
            for column in (Batch.folder, Page.source, Page.first_source, TrainedModel.folder):
                inside = sa.func.substr(column, 1, len(before)) == before
                within = sa.func.substr(column, len(before) + 1)
                session.execute(
                    sa.update(column.class_).where(inside).values({column: within}),
                    execution_options={"synchronize_session": False},
                )

    def kept(self, path: str | Path) -> str:
        """A path as the database keeps it: within the folder of files where it is in there, else as it is."""
        if self.files is not None and Path(path).is_relative_to(self.files):
            return Path(path).relative_to(self.files).as_posix()
        return address_of(path) or str(path)

    def at(self, kept: str) -> Path:
        """Where a path leads that the database keeps; the address of a page in a store is one, see `remote`."""
        return Path(kept) if self.files is None or address_of(kept) else self.files / kept

    def close(self) -> None:
        self.engine.dispose()


def open(url: str, connections: int = _CONNECTIONS) -> Store:
    """Open a database, make its tables where it is empty, and bring older ones up to date.

    url: such as `sqlite:///review.db` (a relative path; four slashes for an absolute one), whose file is made for this
    user alone, or `postgresql://user@host/name`. connections: to a server, at most; PostgreSQL takes a hundred of all.
    Raises SettingError for another kind of address, MissingExtraError without the driver or alembic, and InputError
    where the database cannot be opened, was made by a newer inkshift or holds something else.
    """
    address = _address(url)
    shown = address.render_as_string(hide_password=True)
    try:
        engine = _engine(address, connections)
    except ImportError:
        raise MissingExtraError("postgres", "a PostgreSQL database") from None
    store = Store(engine)
    try:
        with store.engine.execution_options(immediate=True).begin() as connection:
            _upgrade(connection, shown)
    except (sa.exc.SQLAlchemyError, UnicodeDecodeError) as e:  # SQLite quotes a damaged file's bytes as they are
        store.close()
        reason = str(getattr(e, "orig", None) or e).strip().splitlines()[0]
        raise InputError(f"{shown}: cannot be opened ({reason}); check the address and who may write there") from None
    except BaseException:
        store.close()
        raise
    return store


def files_beside(store: Store) -> Path:
    """The folder for what is uploaded and taught where none is named: by the database's name, beside its file."""
    database = Path(store.engine.url.database or "review")
    beside = database.with_suffix("") if store.engine.dialect.name == "sqlite" else Path(database.name)
    return beside.with_name(f"{beside.name}-files")


def _address(url: str) -> sa.URL:
    wanted = "expected sqlite:///FILE or postgresql://USER@HOST/NAME"
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise SettingError(f"database address: {wanted}, found one without ://") from None
    kind = address.get_backend_name()
    if kind == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not address.database or address.database == ":memory:":
        raise SettingError(f"database address: {wanted}, found {address.render_as_string(hide_password=True)}")
    return address.set(drivername="sqlite")


def _engine(address: sa.URL, connections: int = _CONNECTIONS) -> sa.Engine:
    if address.get_backend_name() != "sqlite":
        kept = min(10, connections)
        return sa.create_engine(address, pool_size=kept, max_overflow=connections - kept, pool_pre_ping=True)
    path = Path(address.database or "")
    try:
        path.touch(mode=0o600)
    except OSError as e:
        raise InputError(f"{path}: cannot be written ({e.strerror}); choose another place for the database") from None
    engine = sa.create_engine(address, pool_size=10, max_overflow=40, connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver at some later statement
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: Any) -> None:
    """SQLite does not wait for others here: who opens a new file meets whoever else does so at that moment."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes its lock at once: one that has read first might find that another wrote meanwhile."""
    options = connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("immediate", False) else "BEGIN")


def _upgrade(connection: sa.Connection, shown: str) -> None:
    try:
        from alembic import command
        from alembic.config import Config
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory
    except ImportError:
        raise MissingExtraError("review", "review") from None
    if connection.dialect.name == "postgresql":  # two that open an empty database at once
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(1768843123)"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(config)
    head = _version()
    if found is None:
        if others := set(sa.inspect(connection).get_table_names()) & set(Base.metadata.tables):
            raise InputError(f"{shown}: holds a table {min(others)!r} of something else; give an empty database")
        Base.metadata.create_all(connection)
        command.stamp(config, "head")
    elif found not in {script.revision for script in scripts.walk_revisions()}:
        raise InputError(
            f"{shown}: its tables have version {found}, of a newer inkshift or one that was never released, and this "
            f"one knows up to {head}; upgrade inkshift, or give another database"
        )
    elif found != head:
        command.upgrade(config, "head")


@cache
def _version() -> str | None:
    """That of this inkshift's tables."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def why_not_ready(store: Store) -> str:
    """Why the database cannot be worked with: it does not answer, or its tables are not of this version. Else empty."""
    from alembic.migration import MigrationContext

    try:
        with store.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except sa.exc.SQLAlchemyError:
        return "the database does not answer"
    return "" if found == _version() else "the tables of the database are not those of this version; start review anew"


def in_turn(session: Session, what: str) -> None:
    """Let one transaction at a time go on from here among those that name the same; SQLite lets but one write."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(1, sa.func.hashtext(what))))


def new_ids(session: Session, table: type[Base], count: int) -> Sequence[int]:
    """Ids for as many new rows, in their order; nobody else gets them."""
    if session.get_bind().dialect.name == "sqlite":  # lets but one write
        first = (
            session.scalars(sa.select(sa.func.coalesce(sa.func.max(sa.column("id")), 0)).select_from(table)).one() + 1
        )
        return range(first, first + count)
    number = sa.func.nextval(sa.func.pg_get_serial_sequence(table.__tablename__, "id"))
    return session.scalars(sa.select(number).select_from(sa.func.generate_series(1, count).alias())).all()


def add_rows(session: Session, table: type[Base], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows in bulk, as they come: to PostgreSQL by COPY. All have the same columns, in the same order; the database
    fills in the others."""
    coming = iter(rows)
    first = next(coming, None)
    if first is None:
        return
    made, connection = Base.metadata.tables[table.__tablename__], session.connection()
    lines = _as_kept(connection.dialect, [made.c[name] for name in first], chain([first], coming))
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(first))
        connection.exec_driver_sql(f"INSERT INTO {made.name} ({', '.join(first)}) VALUES ({marks})", [*lines])
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {made.name} ({', '.join(first)}) FROM STDIN") as copy:
        for line in lines:
            copy.write_row(line)


def _as_kept(
    dialect: sa.Dialect, columns: Sequence[sa.Column[Any]], rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Any, ...]]:
    """The values of rows as the driver takes them. SQLAlchemy's own way takes SQLite as long as all the rest."""
    ways = [
        _as_json
        if isinstance(column.type, sa.JSON)
        else column.type.dialect_impl(dialect).bind_processor(dialect)
        if dialect.name == "sqlite"  # to PostgreSQL the driver knows the way
        else None
        for column in columns
    ]
    odd = [(k, way) for k, way in enumerate(ways) if way]
    for row in rows:
        values = list(row.values())
        for k, way in odd:
            values[k] = way(values[k])
        yield tuple(values)


def _as_json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return to_json(value).decode()
    except PydanticSerializationError:  # half a character, as in the name of a file
        return json.dumps(value)


@contextmanager
def log_open(session: Session) -> Iterator[None]:
    """Let decisions be deleted within a transaction, as a whole batch goes."""
    if session.get_bind().dialect.name == "sqlite":
        trigger = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'decisions_no_delete'"
        made = session.scalar(sa.text(trigger))
        session.execute(sa.text("DROP TRIGGER decisions_no_delete"))
        yield
        session.connection().exec_driver_sql(made)
        return
    session.execute(sa.text("ALTER TABLE decisions DISABLE TRIGGER decisions_stand"))
    yield
    session.execute(sa.text("ALTER TABLE decisions ENABLE TRIGGER decisions_stand"))


def add_user(store: Store, name: str, role: Role, password: str = "") -> int:
    """A new user's id. Without a password nobody can log in as that user.

    Raises SettingError for a name that is taken or empty, and for a password that is too short or soon guessed.
    """
    name = name.strip()
    if not name or len(name) > 100 or name == MODEL:
        raise SettingError(f"user: expected a name of 1 to 100 characters that is not {MODEL!r}, found {name[:100]!r}")
    stored = hash_password(password, name) if password else ""
    with store.writing() as session:
        if session.scalar(sa.select(User.id).where(User.name == name)) is not None:
            raise SettingError(f"user {name!r}: is there already; choose another name")
        user = User(name=name, role=role, password=stored, created=store.clock())
        session.add(user)
        session.flush()
        return user.id


def set_password(store: Store, user_id: int, password: str) -> None:
    """Give a user another password; an empty one shuts the user out, and what they decided stays.

    Raises SettingError for one that is too short or soon guessed.
    """
    known = store.get(User, user_id)
    stored = hash_password(password, known.name if known else "") if password else ""
    with store.writing() as session:
        session.execute(sa.update(User).where(User.id == user_id).values(password=stored))


def log_in(store: Store, name: str, password: str) -> User | None:
    """The user of that name and password. It takes as long for a name that is not there."""
    with store.reading() as session:
        user = session.scalar(sa.select(User).where(User.name == name.strip()))
    return user if check_password(user.password if user else "", password) else None


def users(store: Store) -> list[User]:
    """Everybody who may log in or could, by name; no models and sources."""
    with store.reading() as session:
        people = sa.select(User).where(User.role.in_(("keyer", "supervisor"))).order_by(User.name)
        return list(session.scalars(people))


def local_user(store: Store) -> int:
    """The one user, a supervisor, of a review without accounts."""
    with store.writing() as session:
        return named_user(session, LOCAL, "supervisor", store.clock()).id


def named_user(session: Session, name: str, role: Role, now: datetime) -> User:
    """The user of that name, made where there is none. Raises SettingError where the name has another role."""
    found = session.scalar(sa.select(User).where(User.name == name))
    if found is None:
        found = User(name=name, role=role, password="", created=now)
        session.add(found)
        session.flush()
    if found.role != role:
        raise SettingError(f"{role} {name!r}: a {found.role} has that name; choose another")
    return found


def add_model(
    store: Store, digest: str, name: str, folder: str, *, based_on: str = "", comparison: dict[str, Any] | None = None
) -> None:
    """Note a model package, or what a comparison says of one that is noted already. It is not the default by that."""
    with store.writing() as session:
        known = session.get(TrainedModel, digest)
        if known is None:
            known = TrainedModel(digest=digest, created=store.clock())
            session.add(known)
        known.name, known.folder = name, store.kept(folder)
        known.based_on, known.comparison = based_on, comparison


def models(store: Store) -> list[TrainedModel]:
    """The models that were taught here, the newest first; see `models` for which of them is the default."""
    with store.reading() as session:
        return list(session.scalars(sa.select(TrainedModel).order_by(TrainedModel.created.desc())))


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Row]):
    """A page of a list. count: of all its rows; page: from 1, of `pages`."""

    rows: tuple[Row, ...]
    count: int
    page: int
    pages: int

    def each(self, make: Callable[[Row], Other]) -> ListPage[Other]:
        """What is made of each row of the page, and of no other."""
        return ListPage(tuple(map(make, self.rows)), self.count, self.page, self.pages)


def listed(rows: Sequence[Row], page: int, size: int) -> ListPage[Row]:
    """A page of a list, the last where it has fewer."""
    page, pages = at_most(page, len(rows), size)
    return ListPage(tuple(rows[(page - 1) * size : page * size]), len(rows), page, pages)


def at_most(page: int, count: int, size: int) -> tuple[int, int]:
    """A page of a list that is there, from 1, and how many there are."""
    pages = max(1, -(-count // size))
    return min(max(page, 1), pages), pages
