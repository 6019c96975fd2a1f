"""DelegationService."""

from __future__ import annotations

from typing import Any

import grpc

from harness.approval.v1 import delegation_pb2, delegation_pb2_grpc
from services.approval.api.callers import voter_of
from services.approval.delegations import Delegations, Draft
from services.approval.messages import delegation_message
from services.runtime.context import current_caller
from services.runtime.errors import PermissionDenied
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class DelegationServicer(delegation_pb2_grpc.DelegationServiceServicer):
    """Gives, lists and ends delegations."""

    def __init__(self, delegations: Delegations) -> None:
        self._delegations = delegations

    async def CreateDelegation(
        self, request: delegation_pb2.CreateDelegationRequest, context: Context
    ) -> delegation_pb2.CreateDelegationResponse:
        """Give the caller's authority to somebody."""
        draft = Draft(request.request_id, request.delegate, request.expire_time.ToMilliseconds(), request.reason)
        made = await self._delegations.create(draft, voter_of(current_caller()))
        return delegation_pb2.CreateDelegationResponse(delegation=delegation_message(made))

    async def ListDelegations(
        self, request: delegation_pb2.ListDelegationsRequest, context: Context
    ) -> delegation_pb2.ListDelegationsResponse:
        """Return a page of delegations."""
        caller = current_caller()
        if request.all and not caller.is_admin:
            raise PermissionDenied("ADMIN_ONLY", "only an admin sees everybody's delegations; leave `all` out")
        page = page_for(request)
        start = int(page.cursor or 0)
        of = None if request.all else caller.subject
        found = await self._delegations.page(of=of, start=start, limit=page.size + 1)
        more = str(start + page.size) if len(found) > page.size else ""
        return delegation_pb2.ListDelegationsResponse(
            delegations=[delegation_message(one) for one in found[: page.size]], next_page_token=page.next_token(more)
        )

    async def RevokeDelegation(
        self, request: delegation_pb2.RevokeDelegationRequest, context: Context
    ) -> delegation_pb2.RevokeDelegationResponse:
        """End a delegation."""
        caller = current_caller()
        await self._delegations.revoke(request.delegation_id, voter_of(caller), any_of_them=caller.is_admin)
        return delegation_pb2.RevokeDelegationResponse()
