"""Callers as the domain knows them."""

from __future__ import annotations

from harness.common.v1.access_pb2 import ROLE_ADMIN, ROLE_APPROVER, ROLE_SERVICE
from services.approval.quorum import ADMIN, APPROVER, Voter
from services.runtime.context import Caller

_ROLES = {ROLE_APPROVER: APPROVER, ROLE_ADMIN: ADMIN}


def sees_all(caller: Caller) -> bool:
    """Whether a caller may see everybody's approvals."""
    return caller.has(ROLE_APPROVER, ROLE_ADMIN, ROLE_SERVICE)


def voter_of(caller: Caller) -> Voter:
    """A caller with their own authority."""
    roles = frozenset(name for role, name in _ROLES.items() if role in caller.roles)
    return Voter(caller.subject, roles, caller.groups, caller.actor)
