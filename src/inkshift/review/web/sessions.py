"""Who is logged in, kept in the store so that a restart logs nobody out; and who tried to log in how often."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.review.core.schema import OpenSession, Role, SecondFactor, Try, User
from inkshift.review.core.store import Store, in_turn

HOURS, IDLE = 12, timedelta(minutes=30)
# For as long the password counts while a second factor is looked for.
WAITS = timedelta(minutes=5)
TRIES, PAUSE = 10, timedelta(minutes=1)
# What somebody does is noted that seldom, and ten times while they may be idle.
_NOTED = timedelta(minutes=1)
# Characters of an address by which tries are counted.
_LONGEST = 100

_FIND = (
    sa.select(OpenSession, User.name, User.role, User.password, SecondFactor.used.is_not(None))
    .join(User, User.id == OpenSession.user_id)
    .outerjoin(SecondFactor, SecondFactor.user_id == OpenSession.user_id)
    .where(OpenSession.key == sa.bindparam("key"), OpenSession.waits == sa.bindparam("waits"))
    .where(OpenSession.until > sa.bindparam("now", type_=OpenSession.until.type))
)


class LoginOrigin(NamedTuple):
    """Where somebody logs in: the address that they come from, and their browser in few words."""

    address: str = ""
    browser: str = ""


class SessionView(NamedTuple):
    """A session as its user sees it. key: by which it is ended. here: it is the one that asks."""

    key: str
    began: datetime
    place: LoginOrigin
    here: bool


class Login(NamedTuple):
    """Whose session it is. csrf: its token against forged requests. password: whether the user has one.

    second: they have a second factor. longer: it goes on longer than its cookie knows.
    """

    csrf: str
    user: int
    name: str
    role: Role
    password: bool
    second: bool
    longer: bool


def start_session(
    store: Store, user: User, idle: timedelta = IDLE, *, waits: bool = False, place: LoginOrigin = LoginOrigin()
) -> tuple[str, str]:
    """Log a user in for 12 hours: what the cookie is to hold, and the token against forged requests.

    idle: it ends before, once nothing was done for so long; that of a user without a password does not. waits: nobody
    is in by it, it only says for `WAITS` who gave the right password; see `who_waits`.
    """
    token, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), store.clock()
    with store.writing(durable=False) as session:
        session.execute(sa.delete(OpenSession).where(OpenSession.until <= now))
        ends = now + (WAITS if waits else timedelta(hours=HOURS))
        until = min(ends, now + idle) if user.password else ends
        made = {"stamp": _digest(user.password), "csrf": csrf, "until": until, "ends": ends, "waits": waits}
        made |= {"address": place.address[:_LONGEST], "browser": place.browser}
        session.add(OpenSession(key=_digest(token), user_id=user.id, **made))
    return token, csrf


def find_session(store: Store, token: str, idle: timedelta = IDLE, used: bool = True) -> Login | None:
    """Who is logged in with a cookie; None where it is over, or the password is another one since.

    used: somebody did something, by which the session goes on; not their browser by itself.
    """
    with store.reading() as session:
        found = _find(store, session, token, waits=False)
    if found is None:
        return None
    one, name, role, password, second = found
    until = min(one.ends, store.clock() + idle)
    longer = bool(used and password and until - one.until > min(_NOTED, idle / 10))
    if longer:
        with store.writing(durable=False) as session:
            session.execute(sa.update(OpenSession).where(OpenSession.key == one.key).values(until=until))
    return Login(one.csrf, one.user_id, name, role, bool(password), second, longer)


def who_waits(store: Store, token: str) -> User | None:
    """Who gave the right password a few minutes ago, and no second factor yet."""
    with store.reading() as session:
        found = _find(store, session, token, waits=True)
        return session.get(User, found[0].user_id) if found else None


def _find(
    store: Store, session: Session, token: str, *, waits: bool
) -> tuple[OpenSession, str, Role, str, bool] | None:
    """The session of a cookie, and its user's name, role, password and whether they have a second factor."""
    if not token:
        return None
    found = session.execute(_FIND, {"key": _digest(token), "now": store.clock(), "waits": waits}).first()
    if found is None:
        return None
    one, name, role, password, second = found
    return (one, name, role, password, second) if one.stamp == _digest(password) else None


def end_session(store: Store, token: str) -> None:
    """Log out."""
    with store.writing() as session:
        session.execute(sa.delete(OpenSession).where(OpenSession.key == _digest(token)))


def sessions_of(store: Store, user: User, token: str) -> list[SessionView]:
    """Where somebody is logged in, the newest first. token: what the cookie of the browser that asks holds."""
    with store.reading() as session:
        stamped = sa.select(OpenSession).where(OpenSession.user_id == user.id, OpenSession.until > store.clock())
        stamped = stamped.where(OpenSession.stamp == _digest(user.password), OpenSession.waits.is_(False))
        return [
            SessionView(
                one.key,
                one.ends - timedelta(hours=HOURS),
                LoginOrigin(one.address, one.browser),
                one.key == _digest(token),
            )
            for one in session.scalars(stamped.order_by(OpenSession.ends.desc(), OpenSession.key))
        ]


def end_sessions(store: Store, user: int, *, key: str = "", but: str = "") -> None:
    """Log somebody out wherever they are. key: only there; but: everywhere else than where the cookie holds this."""
    ended = sa.delete(OpenSession).where(OpenSession.user_id == user, OpenSession.key != _digest(but))
    with store.writing() as session:
        session.execute(ended.where(OpenSession.key == key) if key else ended)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def may_try(store: Store, *whose: str) -> bool:
    """Whether somebody may try a password or a code; false for a minute after ten that were not right.

    whose: the address that it comes from, and who else tries are counted for. A try counts from its beginning, so that
    many at once, each a costly hash, are no way around the limit.
    """
    now = store.clock()
    with store.writing(durable=False) as session:
        for one in whose:
            in_turn(session, f"tries {one}")
            session.execute(sa.delete(Try).where(Try.at <= now - PAUSE))
            counted = sa.select(sa.func.count()).where(Try.address == one[:_LONGEST])
            if session.scalars(counted).one() >= TRIES:
                return False
            session.add(Try(address=one[:_LONGEST], at=now))
    return True


def tried_right(store: Store, *whose: str) -> None:
    """The last try was right, and counts no more."""
    with store.writing(durable=False) as session:
        for one in whose:
            in_turn(session, f"tries {one}")
            last = sa.select(sa.func.max(Try.id)).where(Try.address == one[:_LONGEST]).scalar_subquery()
            session.execute(sa.delete(Try).where(Try.id == last), execution_options={"synchronize_session": False})
