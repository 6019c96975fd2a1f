"""ApprovalService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from harness.approval.v1 import approval_pb2, approval_pb2_grpc
from harness.common.v1.access_pb2 import ROLE_ADMIN, ROLE_APPROVER, ROLE_SERVICE
from services.approval.gate import Gate, not_found
from services.approval.inbox import Inbox
from services.approval.lifecycle import Record, State
from services.approval.messages import approval_message
from services.approval.store.decisions import DecisionLog, DecisionsLost
from services.runtime.context import Caller, current_caller, draining
from services.runtime.errors import OutOfRange, Unavailable
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]

# How late a watcher notices a decision if the notice of it was lost.
_RECHECK_SECONDS = 5.0


def _sees_all(caller: Caller) -> bool:
    return caller.has(ROLE_APPROVER, ROLE_ADMIN, ROLE_SERVICE)


class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """Translates between the contract and the gate; who may see what is decided here."""

    def __init__(self, gate: Gate, inbox: Inbox, decisions: DecisionLog) -> None:
        self._gate = gate
        self._inbox = inbox
        self._decisions = decisions

    async def RequestApprovals(
        self, request: approval_pb2.RequestApprovalsRequest, context: Context
    ) -> approval_pb2.RequestApprovalsResponse:
        """Take a batch of items."""
        return approval_pb2.RequestApprovalsResponse(results=await self._gate.request(request.items))

    async def GetApproval(
        self, request: approval_pb2.GetApprovalRequest, context: Context
    ) -> approval_pb2.GetApprovalResponse:
        """Return one approval, if the caller may see it."""
        record = await self._gate.load(request.approval_id)
        caller = current_caller()
        if not _sees_all(caller) and record.requester != caller.subject:
            raise not_found(request.approval_id)
        return approval_pb2.GetApprovalResponse(approval=approval_message(record))

    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        """Return a page of the approvals the caller may see."""
        caller = current_caller()
        page = page_for(request)
        found, cursor = await self._inbox.page(
            size=page.size,
            cursor=page.cursor,
            state=State(request.state) if request.state else None,
            requester=None if _sees_all(caller) else caller.subject,
            run_id=request.run_id,
        )
        return approval_pb2.ListApprovalsResponse(
            approvals=[approval_message(record) for record in found], next_page_token=page.next_token(cursor)
        )

    async def DecideApproval(
        self, request: approval_pb2.DecideApprovalRequest, context: Context
    ) -> approval_pb2.DecideApprovalResponse:
        """Record the caller's decision."""
        caller = current_caller()
        record: Record = await self._gate.decide(
            request.approval_id,
            approve=request.verdict == approval_pb2.VERDICT_APPROVE,
            by=caller.subject,
            actor=caller.actor,
            reason=request.reason,
            seen_digest=request.digest,
        )
        return approval_pb2.DecideApprovalResponse(approval=approval_message(record))

    async def WithdrawApprovals(
        self, request: approval_pb2.WithdrawApprovalsRequest, context: Context
    ) -> approval_pb2.WithdrawApprovalsResponse:
        """Close what is pending of a run."""
        return approval_pb2.WithdrawApprovalsResponse(withdrawn=await self._gate.withdraw(request.run_id))

    async def WatchDecisions(
        self, request: approval_pb2.WatchDecisionsRequest, context: Context
    ) -> AsyncIterator[approval_pb2.WatchDecisionsResponse]:
        """Stream decisions until the caller leaves or the process drains."""
        after, drain = request.after_sequence, draining()
        # A cancellation can be lost on Python 3.11 (asyncio.wait_for inside the Redis client), so it is looked at too.
        while not drain.is_set() and not context.cancelled():
            news = self._decisions.news()
            try:
                entries = await self._decisions.read(after)
            except DecisionsLost as lost:
                raise OutOfRange(
                    "DECISIONS_NOT_KEPT",
                    f"the decisions after {after} are not kept; read the approvals, then watch from {lost.latest}",
                    latest_sequence=lost.latest,
                ) from None
            for entry in entries:
                decision = approval_pb2.WatchDecisionsResponse.FromString(entry.body)
                decision.sequence = after = entry.sequence
                yield decision
            if not entries:
                await _first_of(news, drain)
        raise Unavailable("DRAINING", "this process is stopping; call again", after_sequence=after)

    async def RedeemGrant(
        self, request: approval_pb2.RedeemGrantRequest, context: Context
    ) -> approval_pb2.RedeemGrantResponse:
        """Consume a grant."""
        approval_id = await self._gate.redeem(
            request.grant,
            digest=request.digest,
            run_id=request.run_id,
            step_id=request.step_id,
            attempt=request.attempt,
        )
        return approval_pb2.RedeemGrantResponse(approval_id=approval_id)


async def _first_of(*events: asyncio.Event) -> None:
    """Wait for one of the events, or a while."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=_RECHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
