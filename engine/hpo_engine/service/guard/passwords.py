"""Passwords: what one must be like, and its slow hash (argon2id, RFC 9106)."""

from __future__ import annotations

from functools import cache

import argon2

from hpo_engine.errors import SpecError

LEAST = 16
"""Characters. A few words are long enough, and a machine that may ask ten times a minute does not guess them."""
MOST = 1024
_hasher = argon2.PasswordHasher()


def check_password(password: str) -> None:
    """Raises SpecError."""
    if len(password) < LEAST:
        raise SpecError(
            f"a password has at least {LEAST} characters, such as a few words; this one has {len(password)}"
        )
    if len(password) > MOST:
        raise SpecError(f"a password has at most {MOST} characters")
    if len(set(password)) < 5:
        raise SpecError("this password can be guessed; take a few words")


def hash_of(password: str) -> str:
    """Takes some 50 ms and 64 MiB, on purpose."""
    return _hasher.hash(password)


def matches(password: str, hashed: str | None) -> bool:
    """Whether it is the password; takes as long if there is no user (None), or the password is wrong."""
    try:
        return _hasher.verify(hashed or _nobodys(), password[:MOST]) and hashed is not None
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return hash_of("nobody has this password")
