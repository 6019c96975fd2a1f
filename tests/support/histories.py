"""What a life of an approval must look like, by what was written down of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.approval.v1 import approval_pb2, audit_pb2
from services.approval.record import TRANSITIONS, State

_STATES = {state.name.lower(): state for state in State}
_FIRST = (State.PENDING, State.APPROVED, State.DENIED)
_VOTES = (audit_pb2.AUDIT_EVENT_TYPE_VOTED, audit_pb2.AUDIT_EVENT_TYPE_APPROVED)


def check_history(events: Sequence[audit_pb2.AuditEvent], final: approval_pb2.Approval) -> None:
    """Fail unless the events of an approval are a life that an approval can have, and lead to how it is.

    Every step is one that the state machine allows; revisions count up; nobody votes twice, or on what is their own;
    the votes are those that the approval has.
    """
    states = [_STATES[event.state] for event in events]
    assert states[0] in _FIRST, states[0]
    for before, after in pairwise(states):
        assert after is before or after in TRANSITIONS[before], (before, after)
    assert states[-1].value == final.state
    voters: set[str] = set()
    revision = 1
    authors = {final.requester}
    for event in events:
        if event.type == audit_pb2.AUDIT_EVENT_TYPE_REVISED:
            assert event.revision == revision + 1
            revision, voters = event.revision, set()
            authors.add(event.actor)
        if event.type in _VOTES:
            assert event.actor not in voters, "one person voted twice"
            assert event.actor not in authors, "somebody decided what was their own"
            voters.add(event.actor)
            assert event.votes_for == len(voters)
    assert final.revision == revision
    assert {vote.voter for vote in final.votes if vote.approved} == voters
