"""Passwords, kept as argon2 hashes only, and none that is soon guessed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from inkshift.errors import SettingError, need

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 10, 256
# Of what zxcvbn gives, from 0 to 4: from 3 on, more than a hundred million guesses come before it.
_HARD = 3
# Characters that it looks at: what takes longer is no quicker to guess.
_LOOKED_AT = 72


@cache
def _hasher() -> PasswordHasher:
    hasher: PasswordHasher = need("argon2", "review", "a password").PasswordHasher()
    return hasher


@cache
def _nobodys() -> str:
    """A hash to check against where there is no user, so that the answer takes as long as for one that is there."""
    return _hasher().hash("nobody has this password")


def hash_password(password: str, *named: str) -> str:
    """The argon2id hash of a password. named: what is tried first, such as its user's name.

    Raises SettingError where it is too short, too long or soon guessed: among the leaked ones and the words that
    zxcvbn knows, with what people put to them (Wheeler, zxcvbn: Low-Budget Password Strength Estimation, 2016).
    """
    if not LEAST <= len(password) <= MOST:
        raise SettingError(f"password: expected {LEAST} to {MOST} characters, found {len(password)}")
    strength = need("zxcvbn", "review", "a password").zxcvbn
    if strength(password[:_LOOKED_AT], user_inputs=[*named, "inkshift"])["score"] < _HARD:
        raise SettingError(
            "password: expected one that is hard to guess, found one of common words, names, dates "
            "or keys in a row; take three or more words that have nothing to do with each other"
        )
    return _hasher().hash(password)


def check_password(stored: str, password: str) -> bool:
    """Whether `password` is the one that was hashed. stored: empty for a user who cannot log in."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _nobodys(), password[: MOST + 1]) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False
