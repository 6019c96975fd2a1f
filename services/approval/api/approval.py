"""ApprovalService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from harness.approval.v1 import approval_pb2, approval_pb2_grpc
from services.approval import convert
from services.approval.api.callers import sees_all, voter_of
from services.approval.changes import not_found
from services.approval.desk import MAX_COMMENTS, Desk
from services.approval.gate import Gate
from services.approval.grants.issuer import Grants
from services.approval.inbox import Inbox
from services.approval.lifecycle import can_vote
from services.approval.messages import (
    approval_message,
    comment_message,
    decision_event,
    event_message,
    similar_message,
)
from services.approval.record import Record, State
from services.approval.store.approvals import Query
from services.approval.store.events import Entry, EventLog, EventsLost
from services.runtime.context import current_caller, draining
from services.runtime.errors import HarnessError, OutOfRange, PermissionDenied, Unavailable
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]

# How late a watcher notices an event if the notice of it was lost.
_RECHECK_SECONDS = 5.0


class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """Translates between the contract, the gate and the desk; who may see what is decided here."""

    def __init__(self, gate: Gate, desk: Desk, inbox: Inbox, events: EventLog, grants: Grants) -> None:
        self._gate = gate
        self._desk = desk
        self._inbox = inbox
        self._events = events
        self._grants = grants

    async def RequestApprovals(
        self, request: approval_pb2.RequestApprovalsRequest, context: Context
    ) -> approval_pb2.RequestApprovalsResponse:
        """Take a batch of items."""
        return approval_pb2.RequestApprovalsResponse(results=await self._gate.request(request.items))

    async def _visible(self, approval_id: str) -> Record:
        """An approval that the caller may see. Raises NotFound."""
        record = await self._gate.load(approval_id)
        caller = current_caller()
        if sees_all(caller) or record.requester == caller.subject:
            return record
        if not await self._desk.can_vote(record, voter_of(caller)):
            raise not_found(approval_id)
        return record

    async def GetApproval(
        self, request: approval_pb2.GetApprovalRequest, context: Context
    ) -> approval_pb2.GetApprovalResponse:
        """Return one approval, if the caller may see it."""
        record = await self._visible(request.approval_id)
        if request.revision in (0, record.facts.revision):
            approval = approval_message(record)
            if sees_all(current_caller()):
                approval.preview.similar.extend(map(similar_message, await self._inbox.similar(record)))
                approval.preview.similar_pending = await self._inbox.similar_pending(record)
            return approval_pb2.GetApprovalResponse(approval=approval)
        body = await self._desk.earlier(record, request.revision)
        approval = approval_message(record, body=body)
        approval.revision = request.revision
        # What was voted, and the digest, are of the latest revision.
        approval.ClearField("votes")
        approval.ClearField("digest")
        return approval_pb2.GetApprovalResponse(approval=approval)

    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        """Return a page of the approvals the caller may see."""
        caller = current_caller()
        page = page_for(request)
        state = State(request.state) if request.state else None
        if request.mine_to_decide and state in (None, State.PENDING):
            state = State.PENDING
        requester = request.requester or None
        if not sees_all(caller) and not request.mine_to_decide:
            if requester not in (None, caller.subject):
                return approval_pb2.ListApprovalsResponse()
            requester = caller.subject
        query = Query(
            state=state,
            requester=requester,
            run_id=request.run_id,
            project_id=request.project_id,
            level=request.level,
            approval_type=convert.type_name(request.approval_type),
            group=request.group,
            needs_review=request.needs_review,
        )
        voters = await self._desk.voters(voter_of(caller)) if request.mine_to_decide else []
        found, cursor = await self._inbox.page(
            query,
            size=page.size,
            cursor=page.cursor,
            also=lambda record: not request.mine_to_decide or any(can_vote(record, voter) for voter in voters),
        )
        return approval_pb2.ListApprovalsResponse(approvals=found, next_page_token=page.next_token(cursor))

    async def DecideApproval(
        self, request: approval_pb2.DecideApprovalRequest, context: Context
    ) -> approval_pb2.DecideApprovalResponse:
        """Record the caller's vote."""
        return approval_pb2.DecideApprovalResponse(approval=approval_message(await self._decide(request)))

    async def _decide(self, request: approval_pb2.DecideApprovalRequest) -> Record:
        approve = request.verdict == approval_pb2.VERDICT_APPROVE
        return await self._desk.vote(
            request.approval_id,
            voter_of(current_caller()),
            approve=approve,
            reason=request.reason,
            seen_digest=request.digest,
            reject_code=0 if approve else request.reject_code,
            remember=request.remember if approve else 0,
            remember_until_ms=request.remember_until.ToMilliseconds() if request.HasField("remember_until") else 0,
        )

    async def DecideApprovals(
        self, request: approval_pb2.DecideApprovalsRequest, context: Context
    ) -> approval_pb2.DecideApprovalsResponse:
        """Record the caller's votes, each by itself."""
        response = approval_pb2.DecideApprovalsResponse()
        for decision in request.decisions:
            result = response.results.add(approval_id=decision.approval_id)
            try:
                approval = approval_message(await self._decide(decision), with_actions=False)
            except HarnessError as error:
                result.error_reason, result.error_message = error.reason, error.message
            else:
                approval.ClearField("preview")
                result.approval.CopyFrom(approval)
        return response

    async def ReviseApproval(
        self, request: approval_pb2.ReviseApprovalRequest, context: Context
    ) -> approval_pb2.ReviseApprovalResponse:
        """Replace the actions of a pending approval."""
        record = await self._visible(request.approval_id)
        revised = await self._desk.revise(
            record,
            request.actions,
            by=voter_of(current_caller()),
            reason=request.reason,
            seen_digest=request.digest,
        )
        return approval_pb2.ReviseApprovalResponse(approval=approval_message(revised))

    async def WithdrawApproval(
        self, request: approval_pb2.WithdrawApprovalRequest, context: Context
    ) -> approval_pb2.WithdrawApprovalResponse:
        """Take back what the caller has asked for."""
        record = await self._visible(request.approval_id)
        caller = current_caller()
        if record.requester != caller.subject:
            raise PermissionDenied(
                "NOT_THE_REQUESTER",
                f"only {record.requester} can take {record.id} back; reject it instead",
                approval_id=record.id,
            )
        withdrawn = await self._desk.withdraw_one(record.id, voter_of(caller), request.reason)
        return approval_pb2.WithdrawApprovalResponse(approval=approval_message(withdrawn))

    async def AddComment(
        self, request: approval_pb2.AddCommentRequest, context: Context
    ) -> approval_pb2.AddCommentResponse:
        """Add to a thread."""
        record = await self._visible(request.approval_id)
        comment = await self._desk.comment(record, voter_of(current_caller()), request.text)
        return approval_pb2.AddCommentResponse(comment=comment_message(comment))

    async def ListComments(
        self, request: approval_pb2.ListCommentsRequest, context: Context
    ) -> approval_pb2.ListCommentsResponse:
        """Return a part of a thread."""
        record = await self._visible(request.approval_id)
        page = page_for(request, maximum=MAX_COMMENTS)
        start = int(page.cursor or 0)
        found = await self._desk.comments(record.id, start, page.size + 1)
        more = str(start + page.size) if len(found) > page.size else ""
        return approval_pb2.ListCommentsResponse(
            comments=[comment_message(comment) for comment in found[: page.size]], next_page_token=page.next_token(more)
        )

    async def BreakGlass(
        self, request: approval_pb2.BreakGlassRequest, context: Context
    ) -> approval_pb2.BreakGlassResponse:
        """Approve alone, in an emergency."""
        record = await self._desk.break_glass(
            request.approval_id, voter_of(current_caller()), reason=request.reason, seen_digest=request.digest
        )
        return approval_pb2.BreakGlassResponse(approval=approval_message(record))

    async def ReviewBreakGlass(
        self, request: approval_pb2.ReviewBreakGlassRequest, context: Context
    ) -> approval_pb2.ReviewBreakGlassResponse:
        """Review a broken glass."""
        record = await self._desk.review_glass(
            request.approval_id, voter_of(current_caller()), justified=request.justified, review=request.review
        )
        return approval_pb2.ReviewBreakGlassResponse(approval=approval_message(record))

    async def WithdrawApprovals(
        self, request: approval_pb2.WithdrawApprovalsRequest, context: Context
    ) -> approval_pb2.WithdrawApprovalsResponse:
        """Close what is pending of a run."""
        return approval_pb2.WithdrawApprovalsResponse(withdrawn=await self._gate.withdraw(request.run_id))

    async def WatchDecisions(
        self, request: approval_pb2.WatchDecisionsRequest, context: Context
    ) -> AsyncIterator[approval_pb2.WatchDecisionsResponse]:
        """Stream decisions until the caller leaves or the process drains."""
        async for entry in self._follow(request.after_sequence, context, "DECISIONS_NOT_KEPT"):
            decision = decision_event(entry)
            if decision is not None:
                yield decision

    async def WatchApprovals(
        self, request: approval_pb2.WatchApprovalsRequest, context: Context
    ) -> AsyncIterator[approval_pb2.WatchApprovalsResponse]:
        """Stream what happens, as far as the caller may see it, until they leave or the process drains."""
        caller = current_caller()
        async for entry in self._follow(request.after_sequence, context, "EVENTS_NOT_KEPT"):
            if sees_all(caller) or entry.event.get("requester") == caller.subject:
                yield event_message(entry)

    async def _follow(self, after: int, context: Context, not_kept: str) -> AsyncIterator[Entry]:
        """Published events after a sequence, live. Raises OutOfRange (`not_kept`), Unavailable (DRAINING)."""
        drain = draining()
        # A cancellation can be lost on Python 3.11 (asyncio.wait_for inside the Redis client), so it is looked at too.
        while not drain.is_set() and not context.cancelled():
            news = self._events.news()
            try:
                entries = await self._events.read(after)
            except EventsLost as lost:
                raise OutOfRange(
                    not_kept,
                    f"the events after {after} are not kept; read the approvals, then watch from {lost.latest}",
                    latest_sequence=lost.latest,
                ) from None
            for entry in entries:
                after = entry.sequence
                yield entry
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
            by=current_caller().subject,
        )
        return approval_pb2.RedeemGrantResponse(approval_id=approval_id)

    async def ListGrantKeys(
        self, request: approval_pb2.ListGrantKeysRequest, context: Context
    ) -> approval_pb2.ListGrantKeysResponse:
        """Publish what grants are verified with."""
        return approval_pb2.ListGrantKeysResponse(keys=self._grants.keys())


async def _first_of(*events: asyncio.Event) -> None:
    """Wait for one of the events, or a while."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=_RECHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
