"""What can happen to an approval: every transition, as plain functions over plain data.

    PENDING ──approve──▶ APPROVED ──redeem──▶ CONSUMED        created by the policy: APPROVED (auto) or DENIED
       │ │ │                 └──use-by passes──▶ EXPIRED
       │ │ └──decide-by passes──▶ EXPIRED
       │ └──reject──▶ REJECTED
       └──run ends──▶ WITHDRAWN

Each function takes a record and the time (milliseconds of the Redis clock) and returns the `Change` to commit, or
raises the error the caller gets. A change names the version it was decided on and the time before which it holds: the
store commits it only if both still do, so two callers can never both win.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from services.approval.risk import Level
from services.runtime.errors import FailedPrecondition, NotFound, PermissionDenied

POLICY = "policy"
CLOCK = "clock"
ORCHESTRATOR = "orchestrator"

HOUR_MS = 3_600_000

# One lease can be answered more than once (a lost response, two replicas): its latest grants all hold, the approval is
# still redeemed once.
GRANTS_KEPT = 4


class State(IntEnum):
    """The states of `harness.approval.v1.ApprovalState`, with the same numbers."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3
    EXPIRED = 4
    CONSUMED = 5
    DENIED = 6
    WITHDRAWN = 7


class Outcome(IntEnum):
    """The outcomes of `harness.approval.v1.PolicyOutcome`, with the same numbers."""

    AUTO = 1
    HUMAN = 2
    DENY = 3


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

# Hours a human has, by level (the predecessor's, with CRITICAL and UNKNOWN as HIGH).
DECIDE_HOURS: Mapping[Level, int] = {
    Level.LOW: 4,
    Level.MEDIUM: 8,
    Level.HIGH: 24,
    Level.CRITICAL: 24,
    Level.UNKNOWN: 24,
}


@dataclass(frozen=True, slots=True)
class Times:
    """How long things last, milliseconds. `decide_ms` replaces the time by level when it is set."""

    use_ms: int = HOUR_MS
    decide_ms: int | None = None

    def to_decide(self, level: Level) -> int:
        """How long a human has to decide about something of this level."""
        return DECIDE_HOURS[level] * HOUR_MS if self.decide_ms is None else self.decide_ms


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided, what, and why. `by` is a subject, or POLICY, CLOCK or ORCHESTRATOR when nobody was asked."""

    approved: bool
    by: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """An approval as it is stored. `body` is what never changes: the actions, their assessment, the preview."""

    id: str
    version: int
    state: State
    requester: str
    request_id: str
    run_id: str
    step_id: str
    digest: str
    created_ms: int
    body: bytes = field(repr=False)
    decide_by_ms: int = 0
    use_by_ms: int = 0
    decision: Decision | None = None
    attempt: int = 0
    grants: tuple[str, ...] = ()

    @property
    def was_asked(self) -> bool:
        """Whether a human was asked, and so somebody waits for the decision."""
        return self.decide_by_ms > 0


@dataclass(frozen=True, slots=True)
class Opening:
    """How an approval begins. Durations, not times: the clock is read where it is stored."""

    state: State
    decide_within_ms: int = 0
    use_within_ms: int = 0
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit: fields left None stay as they are. It holds on `version`, before `before_ms` (0: at any time)."""

    version: int
    state: State
    before_ms: int = 0
    decision: Decision | None = None
    use_by_ms: int | None = None
    attempt: int | None = None
    grants: tuple[str, ...] | None = None


def open_with(outcome: Outcome, level: Level, times: Times) -> Opening:
    """The state an approval begins in: what the policy decided, or pending."""
    match outcome:
        case Outcome.AUTO:
            return Opening(State.APPROVED, use_within_ms=times.use_ms, decided=True)
        case Outcome.DENY:
            return Opening(State.DENIED, decided=True)
        case Outcome.HUMAN:
            return Opening(State.PENDING, decide_within_ms=times.to_decide(level))


def due_ms(record: Record) -> int:
    """When the record expires by itself; 0 if it never does."""
    match record.state:
        case State.PENDING:
            return record.decide_by_ms
        case State.APPROVED:
            return record.use_by_ms
        case _:
            return 0


def apply(record: Record, change: Change) -> Record:
    """The record as it is once the change is committed."""
    return dataclasses.replace(
        record,
        version=change.version + 1,
        state=change.state,
        decision=record.decision if change.decision is None else change.decision,
        use_by_ms=record.use_by_ms if change.use_by_ms is None else change.use_by_ms,
        attempt=record.attempt if change.attempt is None else change.attempt,
        grants=record.grants if change.grants is None else change.grants,
    )


def decide(
    record: Record,
    *,
    approve: bool,
    by: str,
    reason: str,
    now_ms: int,
    times: Times,
    actor: str = "",
    seen_digest: str = "",
) -> Change | None:
    """Approve or reject. None: somebody has already decided the same, and that is the answer.

    `actor` is who acts in the name of `by`, if that is somebody else.


    Raises PermissionDenied (SELF_APPROVAL), FailedPrecondition (DIGEST_MISMATCH if `seen_digest` is given and another,
    APPROVAL_EXPIRED, APPROVAL_WITHDRAWN, ALREADY_DECIDED).
    """
    if record.requester in (by, actor):
        raise PermissionDenied(
            "SELF_APPROVAL",
            f"{record.requester} asked for {record.id}, so somebody else must decide it",
            approval_id=record.id,
        )
    if seen_digest and seen_digest != record.digest:
        raise FailedPrecondition(
            "DIGEST_MISMATCH",
            f"{record.id} is for other actions than those you saw; look at it again",
            approval_id=record.id,
            digest=record.digest,
        )
    if record.state is State.WITHDRAWN:
        raise FailedPrecondition(
            "APPROVAL_WITHDRAWN", f"{record.id} was withdrawn: its run has ended", approval_id=record.id
        )
    if record.decision is not None and record.decision.by != CLOCK:
        if record.decision.approved == approve:
            return None
        verdict = "approved" if record.decision.approved else "rejected"
        raise FailedPrecondition(
            "ALREADY_DECIDED",
            f"{record.id} was already {verdict} by {record.decision.by}",
            approval_id=record.id,
            state=record.state.name,
        )
    if record.state is State.EXPIRED or now_ms >= record.decide_by_ms:
        raise FailedPrecondition(
            "APPROVAL_EXPIRED", f"the time to decide {record.id} has passed; ask again", approval_id=record.id
        )
    return Change(
        version=record.version,
        state=State.APPROVED if approve else State.REJECTED,
        before_ms=record.decide_by_ms,
        decision=Decision(approve, by, reason, now_ms),
        use_by_ms=now_ms + times.use_ms if approve else None,
    )


def expire(record: Record, now_ms: int) -> Change | None:
    """Close what nobody decided, or nobody used, in time. None: it is not due."""
    due = due_ms(record)
    if not due or now_ms < due:
        return None
    decision = None
    if record.state is State.PENDING:
        decision = Decision(False, CLOCK, "nobody decided in time", now_ms)
    return Change(version=record.version, state=State.EXPIRED, decision=decision)


def withdraw(record: Record, now_ms: int) -> Change | None:
    """Close what is pending when its run has ended. None: it is not pending."""
    if record.state is not State.PENDING:
        return None
    return Change(
        version=record.version,
        state=State.WITHDRAWN,
        decision=Decision(False, ORCHESTRATOR, "the run has ended", now_ms),
    )


def mint(record: Record, *, attempt: int, grant_hash: str, now_ms: int) -> Change | None:
    """Add a grant for an attempt; grants of earlier attempts are void from then on.

    None: there is nothing to grant (not approved, out of time, no lease named, or a later attempt holds the grant).
    """
    usable = record.state is State.APPROVED and now_ms < record.use_by_ms
    if not usable or attempt < 1 or attempt < record.attempt:
        return None
    kept = record.grants if attempt == record.attempt else ()
    return Change(
        version=record.version,
        state=record.state,
        before_ms=record.use_by_ms,
        attempt=attempt,
        grants=(*kept, grant_hash)[-GRANTS_KEPT:],
    )


def redeem(
    record: Record, *, grant_hash: str, digest: str, run_id: str, step_id: str, attempt: int, now_ms: int
) -> Change:
    """Consume an approval by one of its grants.

    Raises NotFound (GRANT_NOT_FOUND) if the grant is not, or no longer, one of this approval's, and FailedPrecondition:
    GRANT_REDEEMED, GRANT_EXPIRED, or GRANT_MISMATCH if it was given for other actions or another lease.
    """
    if grant_hash not in record.grants:
        raise NotFound("GRANT_NOT_FOUND", "there is no such grant; propose the actions again", approval_id=record.id)
    if record.state is State.CONSUMED:
        raise FailedPrecondition("GRANT_REDEEMED", f"the grant of {record.id} was used", approval_id=record.id)
    if record.state is not State.APPROVED or now_ms >= record.use_by_ms:
        raise FailedPrecondition(
            "GRANT_EXPIRED", f"the time to use {record.id} has passed; ask again", approval_id=record.id
        )
    given = {"digest": record.digest, "run_id": record.run_id, "step_id": record.step_id, "attempt": record.attempt}
    shown = {"digest": digest, "run_id": run_id, "step_id": step_id, "attempt": attempt}
    wrong = [name for name, value in given.items() if shown[name] != value]
    if wrong:
        raise FailedPrecondition(
            "GRANT_MISMATCH",
            f"the grant of {record.id} was given for another {' and '.join(wrong)}",
            approval_id=record.id,
            mismatch=",".join(wrong),
        )
    return Change(version=record.version, state=State.CONSUMED, before_ms=record.use_by_ms)
