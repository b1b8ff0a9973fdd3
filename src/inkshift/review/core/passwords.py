"""Passwords, kept as argon2 hashes only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from inkshift.errors import SettingError, need

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 10, 256


@cache
def _hasher() -> PasswordHasher:
    hasher: PasswordHasher = need("argon2", "review", "a password").PasswordHasher()
    return hasher


@cache
def _nobodys() -> str:
    """A hash to check against where there is no user, so that the answer takes as long as for one that is there."""
    return _hasher().hash("nobody has this password")


def hash_password(password: str) -> str:
    """The argon2id hash of a password. Raises SettingError where it is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        raise SettingError(f"password: expected {LEAST} to {MOST} characters, found {len(password)}")
    return _hasher().hash(password)


def check_password(stored: str, password: str) -> bool:
    """Whether `password` is the one that was hashed. stored: empty for a user who cannot log in."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _nobodys(), password[: MOST + 1]) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False
