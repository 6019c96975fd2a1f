"""An approval as it is stored: plain data, and the states it can be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from services.approval.quorum import DEFAULT_QUORUM, Seat, Vote

POLICY = "policy"
CLOCK = "clock"
ORCHESTRATOR = "orchestrator"
NOBODY = frozenset({POLICY, CLOCK, ORCHESTRATOR})
"""Names in the place of a person where none has decided."""


class State(IntEnum):
    """The states of `harness.approval.v1.ApprovalState`, with the same numbers."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3
    EXPIRED = 4
    CONSUMED = 5
    DENIED = 6
    WITHDRAWN = 7


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.APPROVED, State.REJECTED, State.EXPIRED, State.WITHDRAWN}),
    State.APPROVED: frozenset({State.CONSUMED, State.EXPIRED}),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CONSUMED: frozenset(),
    State.DENIED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
CLOSED = frozenset(state for state, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided, what, and why. `by` is a subject, or POLICY, CLOCK or ORCHESTRATOR when nobody was asked.

    `reject_code` is a number of `harness.approval.v1.RejectCode`.
    """

    approved: bool
    by: str
    reason: str
    at_ms: int
    reject_code: int = 0


@dataclass(frozen=True, slots=True)
class Glass:
    """That an admin approved alone, and what whoever reviewed it said; `reviewed_by` is empty until then."""

    by: str
    reason: str
    reviewed_by: str = ""
    justified: bool = False
    review: str = ""
    reviewed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the actions of one revision are and what was found out about them: all that another revision changes.

    `body` is what people see of it, serialized: the actions, their assessment, the preview. `level` is a number of
    `harness.approval.v1.RiskLevel`, `approval_type` a name of the domain ("git_push"), `group` the same for requests
    that ask for the same kind of thing. `use_within_ms` is how long an approval can be used. `memorable` is whether an
    approval may be used again for the same actions.
    """

    digest: str
    body: bytes = field(repr=False)
    revision: int = 1
    level: int = 0
    score: int = 0
    approval_type: str = ""
    factor_ids: tuple[str, ...] = ()
    group: str = ""
    quorum: tuple[Seat, ...] = DEFAULT_QUORUM
    use_within_ms: int = 0
    policy_rule: str = ""
    policy_etag: str = ""
    memorable: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """An approval. `initiators` are people besides the requester on whose initiative the actions would run.

    Times are milliseconds of the Redis clock, 0 where there is none. `asked_digest` is that of the actions before
    anybody edited them. `grants` are the hashes of those that hold. `version` counts changes; `comments` does not
    belong to what it counts.
    """

    id: str
    version: int
    state: State
    requester: str
    request_id: str
    run_id: str
    step_id: str
    created_ms: int
    facts: Facts
    project_id: str = ""
    environment: str = ""
    agent: str = ""
    asked_digest: str = ""
    initiators: tuple[str, ...] = ()
    decide_by_ms: int = 0
    escalate_at_ms: int = 0
    escalated_ms: int = 0
    use_by_ms: int = 0
    votes: tuple[Vote, ...] = ()
    decision: Decision | None = None
    glass: Glass | None = None
    remembered_from: str = ""
    attempt: int = 0
    grants: tuple[str, ...] = ()
    comments: int = 0

    @property
    def digest(self) -> str:
        """Of the actions as they were asked for, before anything was masked."""
        return self.facts.digest

    @property
    def was_asked(self) -> bool:
        """Whether a human was asked, and so somebody waits for the decision."""
        return self.decide_by_ms > 0

    @property
    def authors(self) -> frozenset[str]:
        """Who may not decide: it runs on their initiative."""
        return frozenset({self.requester, *self.initiators})


def due_ms(record: Record) -> int:
    """When something is to happen by itself: escalation, or expiry; 0 if never."""
    match record.state:
        case State.PENDING:
            escalates = record.escalate_at_ms and not record.escalated_ms
            return record.escalate_at_ms if escalates else record.decide_by_ms
        case State.APPROVED:
            return record.use_by_ms
        case _:
            return 0
