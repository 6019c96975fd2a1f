"""A stored approval, and what happened to it, as the contract has them."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import approval_pb2, audit_pb2, delegation_pb2, remembered_pb2
from harness.common.v1 import access_pb2
from services.approval import convert
from services.approval.preview import add_preview
from services.approval.quorum import ADMIN, Seat
from services.approval.record import Decision, Record, State
from services.approval.remembered import Remembered
from services.approval.store.approvals import Comment
from services.approval.store.delegations import Delegation
from services.approval.store.events import Entry

# What those who asked, and others, wait for. Redeeming is no decision.
_DECISIONS = {
    "AUDIT_EVENT_TYPE_APPROVED": True,
    "AUDIT_EVENT_TYPE_GLASS_BROKEN": True,
    "AUDIT_EVENT_TYPE_REJECTED": False,
    "AUDIT_EVENT_TYPE_EXPIRED": False,
    "AUDIT_EVENT_TYPE_WITHDRAWN": False,
}


def timestamp(ms: int) -> Timestamp:
    """A time in milliseconds as a Timestamp."""
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp


def state_number(state: State) -> approval_pb2.ApprovalState.ValueType:
    """The contract's number of a state: the same."""
    return approval_pb2.ApprovalState.ValueType(int(state))


def decision_message(decision: Decision) -> approval_pb2.Decision:
    """A decision as the contract has it."""
    return approval_pb2.Decision(
        approved=decision.approved,
        decided_by=decision.by,
        reason=decision.reason,
        decide_time=timestamp(decision.at_ms),
        reject_code=audit_pb2.RejectCode.ValueType(decision.reject_code),
    )


def seat_message(seat: Seat) -> approval_pb2.Seat:
    """A seat as the contract has it."""
    if seat.group:
        return approval_pb2.Seat(group=seat.group, count=seat.count)
    role = access_pb2.ROLE_ADMIN if seat.role == ADMIN else access_pb2.ROLE_APPROVER
    return approval_pb2.Seat(role=role, count=seat.count)


def similar_message(record: Record) -> approval_pb2.SimilarDecision:
    """An approval that was decided, as it is shown beside another one."""
    decision = decision_message(record.decision) if record.decision else None
    return approval_pb2.SimilarDecision(
        approval_id=record.id, state=state_number(record.state), requester=record.requester, decision=decision
    )


def comment_message(comment: Comment) -> approval_pb2.Comment:
    """A comment as the contract has it."""
    return approval_pb2.Comment(author=comment.author, text=comment.text, create_time=timestamp(comment.at_ms))


def delegation_message(delegation: Delegation) -> delegation_pb2.Delegation:
    """A delegation as the contract has it."""
    return delegation_pb2.Delegation(
        id=delegation.id,
        delegator=delegation.delegator,
        delegate=delegation.delegate,
        groups=delegation.groups,
        reason=delegation.reason,
        create_time=timestamp(delegation.created_ms),
        expire_time=timestamp(delegation.until_ms),
    )


def remembered_message(remembered: Remembered, remembered_id: str) -> remembered_pb2.RememberedDecision:
    """A remembered decision as the contract has it."""
    return remembered_pb2.RememberedDecision(
        id=remembered_id,
        scope=remembered_pb2.RememberScope.ValueType(remembered.scope),
        project_id=remembered.project_id,
        run_id=remembered.run_id,
        digest=remembered.digest,
        agent=remembered.agent,
        environment=convert.environment_number(remembered.environment),
        approval_id=remembered.approval_id,
        voters=remembered.voters,
        create_time=timestamp(remembered.created_ms),
        expire_time=timestamp(remembered.until_ms),
    )


def approval_message(record: Record, *, with_actions: bool = True, body: bytes | None = None) -> approval_pb2.Approval:
    """An approval as the contract has it; `body` replaces that of the record, for an earlier revision.

    Without its actions, it is also without what is there to show them.
    """
    facts = record.facts
    message = approval_pb2.Approval.FromString(facts.body if body is None else body)
    if not with_actions:
        message.ClearField("actions")
        message.ClearField("preview")
        message.context.ClearField("observed")
    else:
        add_preview(message)
    message.id = record.id
    message.state = state_number(record.state)
    message.requester = record.requester
    message.digest = facts.digest
    message.revision = facts.revision
    message.initiators.extend(record.initiators)
    message.group = facts.group
    message.policy_rule = facts.policy_rule
    message.policy_etag = facts.policy_etag
    message.remembered_from = record.remembered_from
    message.comments = record.comments
    message.create_time.CopyFrom(timestamp(record.created_ms))
    if record.decide_by_ms:
        message.quorum.extend(seat_message(seat) for seat in facts.quorum)
        message.decide_by.CopyFrom(timestamp(record.decide_by_ms))
    if record.use_by_ms:
        message.use_by.CopyFrom(timestamp(record.use_by_ms))
    if record.escalated_ms:
        message.escalate_time.CopyFrom(timestamp(record.escalated_ms))
    if record.decision is not None:
        message.decision.CopyFrom(decision_message(record.decision))
    for vote in record.votes:
        message.votes.add(
            voter=vote.voter,
            approved=vote.approved,
            on_behalf_of=vote.on_behalf_of,
            reason=vote.reason,
            vote_time=timestamp(vote.at_ms),
        )
    if record.glass is not None:
        glass = record.glass
        message.broken_glass.broken_by = glass.by
        message.broken_glass.reason = glass.reason
        if glass.reviewed_by:
            message.broken_glass.reviewed_by = glass.reviewed_by
            message.broken_glass.justified = glass.justified
            message.broken_glass.review = glass.review
            message.broken_glass.review_time.CopyFrom(timestamp(glass.reviewed_ms))
    return message


def event_message(entry: Entry) -> approval_pb2.WatchApprovalsResponse:
    """A published event as watchers get it."""
    # A release that writes more must not stop one that reads less.
    event = ParseDict(entry.event, audit_pb2.AuditEvent(), ignore_unknown_fields=True)
    return approval_pb2.WatchApprovalsResponse(sequence=entry.sequence, time=timestamp(entry.time_ms), event=event)


def decision_event(entry: Entry) -> approval_pb2.WatchDecisionsResponse | None:
    """A published event as those get it who wait for decisions; None if it is none."""
    event = entry.event
    approved = _DECISIONS.get(event["type"])
    if approved is None:
        return None
    found = approval_pb2.WatchDecisionsResponse(
        sequence=entry.sequence,
        approval_id=event.get("approval_id", ""),
        state=approval_pb2.ApprovalState.Value(f"APPROVAL_STATE_{event.get('state', '').upper()}"),
        run_id=event.get("run_id", ""),
        step_id=event.get("step_id", ""),
    )
    found.decision.approved = approved
    found.decision.decided_by = event.get("actor", "")
    found.decision.reason = event.get("reason", "")
    found.decision.decide_time.CopyFrom(timestamp(entry.time_ms))
    if event.get("reject_code"):
        found.decision.reject_code = audit_pb2.RejectCode.Value(event["reject_code"])
    return found
