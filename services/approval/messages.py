"""A stored approval as the contract has it."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import approval_pb2
from services.approval.lifecycle import Change, Decision, Record, State, apply
from services.approval.store.approvals import Commit

# What those who asked, and others, wait for. Redeeming is no decision.
_DECIDED = frozenset({State.APPROVED, State.REJECTED, State.EXPIRED, State.WITHDRAWN})


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
    )


def approval_message(record: Record, *, with_actions: bool = True) -> approval_pb2.Approval:
    """An approval as the contract has it."""
    message = approval_pb2.Approval.FromString(record.body)
    if not with_actions:
        message.ClearField("actions")
    message.id = record.id
    message.state = state_number(record.state)
    message.requester = record.requester
    message.digest = record.digest
    message.create_time.CopyFrom(timestamp(record.created_ms))
    if record.decide_by_ms:
        message.decide_by.CopyFrom(timestamp(record.decide_by_ms))
    if record.use_by_ms:
        message.use_by.CopyFrom(timestamp(record.use_by_ms))
    if record.decision is not None:
        message.decision.CopyFrom(decision_message(record.decision))
    return message


def commit_of(record: Record, change: Change) -> Commit:
    """The change with the decision that watchers get: none where no human was asked, so that nobody waits."""
    after = apply(record, change)
    is_news = record.was_asked and change.state is not record.state and change.state in _DECIDED
    if not is_news:
        return Commit(record, change)
    event = approval_pb2.WatchDecisionsResponse(
        approval_id=record.id,
        state=state_number(after.state),
        run_id=record.run_id,
        step_id=record.step_id,
        decision=decision_message(after.decision) if after.decision else None,
    )
    return Commit(record, change, event.SerializeToString())
