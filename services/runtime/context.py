"""Who calls, under which request id, and whether the process is draining: the facts of the call at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from harness.common.v1.access_pb2 import ROLE_ADMIN, ROLE_SERVICE, Role


@dataclass(frozen=True)
class Caller:
    """The verified identity of a call.

    Attributes:
        subject: the token's `sub`; empty for an anonymous caller of a public method.
        roles: `harness.common.v1.Role` values.
        actor: the token's `act.sub` (RFC 8693): who acts in the subject's name; empty where they are the same.
        groups: the token's `groups`: what the subject belongs to, as the identity provider names it.
    """

    subject: str
    roles: frozenset[int]
    actor: str = ""
    groups: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        return ROLE_ADMIN in self.roles

    @property
    def is_service(self) -> bool:
        return ROLE_SERVICE in self.roles

    def has(self, *roles: int) -> bool:
        """True when the caller has at least one of the roles."""
        return not self.roles.isdisjoint(roles)


ANONYMOUS = Caller(subject="", roles=frozenset())

_caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_draining: ContextVar[asyncio.Event | None] = ContextVar("draining", default=None)


def current_caller() -> Caller:
    """The caller of the RPC being served; `ANONYMOUS` (no roles) outside of one, so that a mistake denies."""
    return _caller.get()


def current_request_id() -> str:
    """The id of the RPC being served (log, errors and outgoing calls carry it); empty outside of one."""
    return _request_id.get()


def draining() -> asyncio.Event:
    """Set once the process has been told to stop: long polls answer empty and streams end when it is.

    Works in servicers and in background tasks; elsewhere it is an event that is never set.
    """
    return _draining.get() or asyncio.Event()


def role_names(roles: Iterable[int]) -> list[str]:
    """Roles as tokens spell them (`ROLE_APPROVER` -> `approver`), sorted."""
    return sorted(Role.Name(role).removeprefix("ROLE_").lower() for role in map(Role.ValueType, roles))


def bind_caller(caller: Caller) -> None:
    """Set the caller for the current task. For the server pipeline."""
    _caller.set(caller)


def bind_request_id(request_id: str) -> None:
    """Set the request id for the current task. For the server pipeline."""
    _request_id.set(request_id)


def bind_draining(event: asyncio.Event) -> None:
    """Set the drain event for the current task. For the server pipeline."""
    _draining.set(event)


@contextmanager
def acting_as(caller: Caller, request_id: str = "") -> Iterator[None]:
    """Run a block as a caller: background work in someone's name, and servicers called without a server."""
    caller_token, id_token = _caller.set(caller), _request_id.set(request_id or _request_id.get())
    try:
        yield
    finally:
        _caller.reset(caller_token)
        _request_id.reset(id_token)
