"""Tokens as development signs them."""

from __future__ import annotations

from collections.abc import Iterable

from services.runtime.auth import sign_token

JWT_SECRET = "a-secret-of-the-tests-that-has-more-than-32-bytes"
_DAY = 86_400.0  # longer than any run of the tests: modules make tokens when they are collected


def token(subject: str, *roles: str, ttl: float = _DAY, groups: Iterable[str] = ()) -> str:
    """A token for a subject with roles as tokens spell them (`"user"`, `"approver"`); `ttl` in seconds."""
    return sign_token(JWT_SECRET, subject, roles, ttl=ttl, groups=groups)


def as_(subject: str, *roles: str, groups: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """Call metadata of a subject: `await stub.GetTask(request, metadata=as_("ann", "user"))`."""
    return (("authorization", f"Bearer {token(subject, *roles, groups=groups)}"),)
