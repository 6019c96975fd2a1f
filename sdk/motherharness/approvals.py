"""The calls of the async client that are about approvals: finding, deciding, editing, talking, delegating."""

import time
from collections.abc import AsyncIterator, Sequence

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import approval_pb2, audit_pb2, delegation_pb2, remembered_pb2, risk_pb2
from harness.common.v1 import action_pb2
from harness.common.v1.action_pb2 import Action
from motherharness.errors import HarnessError
from motherharness.transport import Transport, new_request_id

PAGE_SIZE = 200
MAX_DECISIONS = 200
"""How many one call of decide_approvals may take, as the contract says."""
# No sequence is as high: the refusal of it says how high the newest is.
_BEYOND = 2**62

ApprovalState = approval_pb2.ApprovalState
RejectCode = audit_pb2.RejectCode
RememberScope = remembered_pb2.RememberScope
RiskLevel = risk_pb2.RiskLevel
ApprovalType = action_pb2.ApprovalType


class ApprovalCalls:
    """What people do with approvals. A part of Client."""

    _transport: Transport

    async def get_approval(self, approval_id: str, *, revision: int = 0) -> approval_pb2.Approval:
        """Return one approval; `revision` asks for an earlier edition of its actions, 0 for the latest."""
        request = approval_pb2.GetApprovalRequest(approval_id=approval_id, revision=revision)
        call = self._transport.call(self._transport.approvals.GetApproval, request, idempotent=True)
        return (await call).approval

    async def list_approvals(
        self,
        *,
        state: ApprovalState.ValueType = approval_pb2.APPROVAL_STATE_UNSPECIFIED,
        level: RiskLevel.ValueType = risk_pb2.RISK_LEVEL_UNSPECIFIED,
        approval_type: ApprovalType.ValueType = action_pb2.APPROVAL_TYPE_UNSPECIFIED,
        run_id: str = "",
        project_id: str = "",
        requester: str = "",
        group: str = "",
        mine_to_decide: bool = False,
        needs_review: bool = False,
    ) -> AsyncIterator[approval_pb2.Approval]:
        """Yield approvals, newest first: all for approvers and admins, a user's own otherwise.

        Args:
            state, level, approval_type: only of this state, level, type.
            run_id, project_id, requester, group: only of these; a group is of similar requests.
            mine_to_decide: only what is pending and the caller can vote on now.
            needs_review: only where the glass was broken and nobody has reviewed it.
        """
        request = approval_pb2.ListApprovalsRequest(
            page_size=PAGE_SIZE,
            state=state,
            level=level,
            approval_type=approval_type,
            run_id=run_id,
            project_id=project_id,
            requester=requester,
            group=group,
            mine_to_decide=mine_to_decide,
            needs_review=needs_review,
        )
        while True:
            page = await self._transport.call(self._transport.approvals.ListApprovals, request, idempotent=True)
            for approval in page.approvals:
                yield approval
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def approve(
        self,
        approval_id: str,
        *,
        reason: str = "",
        digest: str = "",
        remember: RememberScope.ValueType = remembered_pb2.REMEMBER_SCOPE_UNSPECIFIED,
        remember_seconds: float | None = None,
    ) -> approval_pb2.Approval:
        """Vote for it; give the digest that was shown to decide on exactly that.

        Args:
            remember: how far the decision reaches beyond this request; default once.
            remember_seconds: for how long, at most 30 days; needed for a project, a day by default for a run.
        """
        request = approval_pb2.DecideApprovalRequest(
            approval_id=approval_id,
            verdict=approval_pb2.VERDICT_APPROVE,
            reason=reason,
            digest=digest,
            remember=remember,
            remember_until=None if remember_seconds is None else until(remember_seconds),
        )
        return await self.decide(request)

    async def reject(
        self,
        approval_id: str,
        *,
        reason: str = "",
        digest: str = "",
        code: RejectCode.ValueType = audit_pb2.REJECT_CODE_UNSPECIFIED,
    ) -> approval_pb2.Approval:
        """Vote against it, which ends it; the code tells the agent what it may do about it.

        With NEEDS_CHANGES or NEEDS_INFORMATION the step that asked is tried again; otherwise it fails, and its run
        ends.
        """
        request = approval_pb2.DecideApprovalRequest(
            approval_id=approval_id,
            verdict=approval_pb2.VERDICT_REJECT,
            reason=reason,
            digest=digest,
            reject_code=code,
        )
        return await self.decide(request)

    async def decide(self, request: approval_pb2.DecideApprovalRequest) -> approval_pb2.Approval:
        """Vote as a request says that was made elsewhere; approve and reject make one."""
        call = self._transport.call(self._transport.approvals.DecideApproval, request, idempotent=True)
        return (await call).approval

    async def decide_approvals(
        self, decisions: Sequence[approval_pb2.DecideApprovalRequest]
    ) -> list[approval_pb2.DecidedApproval]:
        """Vote on up to MAX_DECISIONS, each by itself; results are in their order."""
        request = approval_pb2.DecideApprovalsRequest(decisions=decisions)
        call = self._transport.call(self._transport.approvals.DecideApprovals, request, idempotent=True)
        return list((await call).results)

    async def revise_approval(
        self, approval_id: str, actions: Sequence[Action], *, digest: str, reason: str
    ) -> approval_pb2.Approval:
        """Replace the actions of a pending approval; whoever does may not vote on the result.

        Args:
            actions: as many, and of the same kinds, as before.
            digest: of the actions that are replaced.
            reason: for those who vote.
        """
        request = approval_pb2.ReviseApprovalRequest(
            approval_id=approval_id, digest=digest, actions=actions, reason=reason
        )
        call = self._transport.call(self._transport.approvals.ReviseApproval, request, idempotent=True)
        return (await call).approval

    async def withdraw_approval(self, approval_id: str, *, reason: str = "") -> approval_pb2.Approval:
        """Take back what the caller has asked for, while it is pending."""
        request = approval_pb2.WithdrawApprovalRequest(approval_id=approval_id, reason=reason)
        call = self._transport.call(self._transport.approvals.WithdrawApproval, request, idempotent=True)
        return (await call).approval

    async def add_comment(self, approval_id: str, text: str) -> approval_pb2.Comment:
        """Add to the thread of an approval."""
        request = approval_pb2.AddCommentRequest(approval_id=approval_id, text=text)
        call = self._transport.call(self._transport.approvals.AddComment, request, idempotent=False)
        return (await call).comment

    async def list_comments(self, approval_id: str) -> AsyncIterator[approval_pb2.Comment]:
        """Yield the thread of an approval, oldest first."""
        request = approval_pb2.ListCommentsRequest(approval_id=approval_id, page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.approvals.ListComments, request, idempotent=True)
            for comment in page.comments:
                yield comment
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def break_glass(self, approval_id: str, *, reason: str, digest: str) -> approval_pb2.Approval:
        """Approve alone, as an admin in an emergency; usable for 15 minutes, and reviewed by somebody else."""
        request = approval_pb2.BreakGlassRequest(approval_id=approval_id, reason=reason, digest=digest)
        call = self._transport.call(self._transport.approvals.BreakGlass, request, idempotent=True)
        return (await call).approval

    async def review_break_glass(self, approval_id: str, *, justified: bool, review: str) -> approval_pb2.Approval:
        """Say whether breaking the glass was right."""
        request = approval_pb2.ReviewBreakGlassRequest(approval_id=approval_id, justified=justified, review=review)
        call = self._transport.call(self._transport.approvals.ReviewBreakGlass, request, idempotent=True)
        return (await call).approval

    async def watch_approvals(self, after_sequence: int = 0) -> AsyncIterator[approval_pb2.WatchApprovalsResponse]:
        """Yield what happens to approvals that ask a human, from after a sequence on, live and without an end.

        Raises:
            HarnessError: the stream failed, or (OUT_OF_RANGE) what comes after the sequence is not kept.
        """
        request = approval_pb2.WatchApprovalsRequest(after_sequence=after_sequence)
        async for event in self._transport.stream(self._transport.approvals.WatchApprovals, request):
            yield event

    async def latest_sequence(self) -> int:
        """Return the sequence of the newest event of watch_approvals; 0 if there was none yet."""
        request = approval_pb2.WatchApprovalsRequest(after_sequence=_BEYOND)
        try:
            async for _ in self._transport.stream(
                self._transport.approvals.WatchApprovals, request, timeout=self._transport.timeout
            ):
                pass
        except HarnessError as error:
            if error.code is not grpc.StatusCode.OUT_OF_RANGE:
                raise
            return int(error.metadata["latest_sequence"])
        raise HarnessError("the stream of events ended without a word", code=grpc.StatusCode.INTERNAL)

    async def create_delegation(
        self, delegate: str, *, seconds: float, reason: str, request_id: str = ""
    ) -> delegation_pb2.Delegation:
        """Let somebody vote with the caller's authority for a time, at most 30 days."""
        request = delegation_pb2.CreateDelegationRequest(
            request_id=request_id or new_request_id(),
            delegate=delegate,
            expire_time=until(seconds),
            reason=reason,
        )
        call = self._transport.call(self._transport.delegations.CreateDelegation, request, idempotent=True)
        return (await call).delegation

    async def list_delegations(self, *, everybodys: bool = False) -> AsyncIterator[delegation_pb2.Delegation]:
        """Yield delegations that hold: the caller's, given and held, or (admins) everybody's."""
        request = delegation_pb2.ListDelegationsRequest(all=everybodys, page_size=PAGE_SIZE)
        while True:
            page = await self._transport.call(self._transport.delegations.ListDelegations, request, idempotent=True)
            for delegation in page.delegations:
                yield delegation
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def revoke_delegation(self, delegation_id: str) -> None:
        """End a delegation."""
        request = delegation_pb2.RevokeDelegationRequest(delegation_id=delegation_id)
        await self._transport.call(self._transport.delegations.RevokeDelegation, request, idempotent=False)

    async def list_remembered(self, project_id: str) -> AsyncIterator[remembered_pb2.RememberedDecision]:
        """Yield the decisions that a project remembers, the first to end first."""
        request = remembered_pb2.ListRememberedDecisionsRequest(project_id=project_id, page_size=PAGE_SIZE)
        while True:
            listing = self._transport.remembered.ListRememberedDecisions
            page = await self._transport.call(listing, request, idempotent=True)
            for decision in page.decisions:
                yield decision
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def forget_decision(self, remembered_id: str) -> None:
        """Have the same actions asked about again."""
        request = remembered_pb2.ForgetDecisionRequest(remembered_id=remembered_id)
        await self._transport.call(self._transport.remembered.ForgetDecision, request, idempotent=False)


def until(seconds: float) -> Timestamp:
    """Return the time that many seconds from now."""
    stamp = Timestamp()
    stamp.FromMilliseconds(round((time.time() + seconds) * 1000))
    return stamp
