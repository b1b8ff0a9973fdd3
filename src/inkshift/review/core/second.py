"""A second factor: codes of an authenticator app (TOTP, RFC 6238), and codes on paper for when the app is lost."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from typing import NamedTuple
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from sqlalchemy.orm import Session

from inkshift.review.core.schema import SecondFactor
from inkshift.review.core.store import Store

# What every app takes where nothing else is said: seconds that a code lasts, and its digits.
STEP, DIGITS = 30, 6
# Steps by which a telephone's clock may be off, each way.
OFF = 1
# Codes on paper, and their length: 80 random bits, which nobody guesses.
PAPER, LETTERS = 8, 16


class State(NamedTuple):
    """How somebody's second factor stands. proved: it is asked for; paper: codes on paper that are left."""

    proved: bool
    paper: int


def totp(secret: str, step: int) -> str:
    """The code of a step of time (RFC 4226, section 5.3, by SHA-1, which is all that some apps know).

    secret: in base32; step: seconds since 1970 divided by `STEP`.
    """
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}}"


def address(name: str, secret: str) -> str:
    """What the QR code holds: the address by which an app takes the secret in."""
    return f"otpauth://totp/inkshift:{quote(name, safe='')}?{urlencode({'secret': secret, 'issuer': 'inkshift'})}"


def state(store: Store, user: int) -> State:
    with store.reading() as session:
        found = session.get(SecondFactor, user)
    return State(found is not None and found.used is not None, len(found.paper) if found else 0)


def holders(store: Store) -> set[int]:
    """Who has a second factor, by their ids."""
    with store.reading() as session:
        return set(session.scalars(sa.select(SecondFactor.user_id).where(SecondFactor.used.is_not(None))))


def begin(store: Store, user: int) -> str:
    """The secret of a second factor that is not proved yet, in base32; made where there is none."""
    with store.writing() as session:
        found = session.get(SecondFactor, user)
        if found is None:
            found = SecondFactor(user_id=user, secret=base64.b32encode(secrets.token_bytes(20)).decode(), paper=[])
            session.add(found)
        return found.secret


def prove(store: Store, user: int, code: str) -> list[str]:
    """Ask for the second factor from now on, where the app shows the right code: the codes to be kept on paper.

    None of them where the code is not right, or the factor was proved before.
    """
    with store.writing() as session:
        found = _mine(session, user)
        if found is None or found.used is not None or (step := _step(store, found, code)) is None:
            return []
        shown = [base64.b32encode(secrets.token_bytes(LETTERS * 5 // 8)).decode() for _ in range(PAPER)]
        found.used, found.paper = step, [_sealed(found, one) for one in shown]
    return shown


def check(store: Store, user: int, code: str) -> bool:
    """Whether a code is right, of the app or of the paper; no code is right twice."""
    with store.writing() as session:
        found = _mine(session, user)
        if found is None or found.used is None:
            return False
        if (step := _step(store, found, code)) is not None:
            found.used = step
            return True
        sealed = _sealed(found, code)
        left = [one for one in found.paper if not hmac.compare_digest(one, sealed)]
        right = len(left) < len(found.paper)
        found.paper = left
        return right


def remove(store: Store, user: int) -> None:
    with store.writing() as session:
        session.execute(sa.delete(SecondFactor).where(SecondFactor.user_id == user))


def _mine(session: Session, user: int) -> SecondFactor | None:
    return session.get(SecondFactor, user, with_for_update=True)


def _step(store: Store, found: SecondFactor, code: str) -> int | None:
    """The step whose code this is, later than any that was used."""
    now = int(store.clock().timestamp()) // STEP
    steps = range(max(now - OFF, (found.used or 0) + 1), now + OFF + 1)
    given = _plain(code)
    return next((step for step in steps if hmac.compare_digest(totp(found.secret, step).encode(), given)), None)


def _sealed(found: SecondFactor, code: str) -> str:
    """What is kept of a code on paper; the secret is its salt."""
    return hmac.digest(found.secret.encode(), _plain(code), "sha256").hex()


def _plain(code: str) -> bytes:
    """A code without the blanks and dashes by which people read it."""
    return re.sub(r"[\s-]", "", code).upper().encode()
