"""What can happen to an approval: every transition, as plain functions over plain data.

    PENDING ──quorum met──▶ APPROVED ──redeem──▶ CONSUMED     created by the policy: APPROVED (auto) or DENIED
     │ │ │ │   or broken glass  └──use-by passes──▶ EXPIRED
     │ │ │ └──decide-by passes──▶ EXPIRED
     │ │ └──first vote against──▶ REJECTED
     │ └──run ends, or the requester takes it back──▶ WITHDRAWN
     └──vote, edit, escalation──▶ PENDING

Each function takes a record and the time (milliseconds of the Redis clock) and returns the `Change` to commit, or
raises the error the caller gets. A change holds on the version it was decided on and before a time: the store commits
it only if both still hold, so two callers can never both win.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.approval import journal
from services.approval.quorum import Vote, Voter, describe, filled, seats_for, size
from services.approval.record import (
    CLOCK,
    ORCHESTRATOR,
    Decision,
    Facts,
    Glass,
    Record,
    State,
)
from services.approval.remembered import ONCE
from services.approval.risk import Level
from services.runtime.errors import FailedPrecondition, NotFound, PermissionDenied

HOUR_MS = 3_600_000

# One lease can be answered more than once (a lost response, two replicas): its latest grants all hold, the approval is
# still redeemed once.
GRANTS_KEPT = 4

GLASS_USE_MS = 15 * 60_000
"""How long what was approved by breaking the glass can be used: long enough to act, too short to get used to."""

MAX_REVISIONS = 20
"""Of one approval: each starts its clock again, which must end."""


class Outcome(IntEnum):
    """The outcomes of `harness.approval.v1.PolicyOutcome`, with the same numbers."""

    AUTO = 1
    HUMAN = 2
    DENY = 3


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
class Opening:
    """How an approval begins. Durations, not times: the clock is read where it is stored."""

    state: State
    decide_within_ms: int = 0
    use_within_ms: int = 0
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What to commit: the record as it will be. It holds on `before`, and until `before_ms` (0: at any time).

    `event` is the journal's entry; None for what nobody needs to know. `news` is whether watchers are told of it.
    """

    before: Record
    after: Record
    before_ms: int = 0
    event: bytes | None = None
    news: bool = False


def _change(
    record: Record, kind: str = "", *, before_ms: int = 0, said: Mapping[str, Any] | None = None, **fields: Any
) -> Change:
    """A change of some fields; `said` is what its journal entry says beside the record's own facts."""
    after = dataclasses.replace(record, version=record.version + 1, **fields)
    event = journal.about(kind, after, **(said or {})) if kind else None
    return Change(record, after, before_ms, event, journal.is_public(after, kind))


def open_with(
    outcome: Outcome, level: Level, times: Times, *, decide_within_ms: int = 0, use_within_ms: int = 0
) -> Opening:
    """The state an approval begins in: what the policy decided, or pending. Durations of 0 are the service's own."""
    match outcome:
        case Outcome.AUTO:
            return Opening(State.APPROVED, use_within_ms=use_within_ms or times.use_ms, decided=True)
        case Outcome.DENY:
            return Opening(State.DENIED, decided=True)
        case Outcome.HUMAN:
            return Opening(State.PENDING, decide_within_ms=decide_within_ms or times.to_decide(level))


def check_author(record: Record, *people: str) -> None:
    """Raise PermissionDenied (SELF_APPROVAL) if one of these people may not decide: it runs on their initiative."""
    own = record.authors.intersection(people) - {""}
    if own:
        raise PermissionDenied(
            "SELF_APPROVAL",
            f"{record.id} would run on the initiative of {sorted(own)[0]}, so somebody else must decide it",
            approval_id=record.id,
        )


def check_pending(record: Record, now_ms: int) -> None:
    """Raise FailedPrecondition unless it can still be decided.

    APPROVAL_WITHDRAWN, ALREADY_DECIDED (by the policy as well), APPROVAL_EXPIRED.
    """
    if record.state is State.WITHDRAWN:
        raise FailedPrecondition(
            "APPROVAL_WITHDRAWN", f"{record.id} was withdrawn: nobody wants it any more", approval_id=record.id
        )
    if record.decision is not None and record.decision.by != CLOCK:
        verdict = "approved" if record.decision.approved else "rejected"
        raise FailedPrecondition(
            "ALREADY_DECIDED",
            f"{record.id} was already {verdict} by {record.decision.by}",
            approval_id=record.id,
            state=record.state.name,
        )
    if record.state is not State.PENDING or now_ms >= record.decide_by_ms:
        raise FailedPrecondition(
            "APPROVAL_EXPIRED", f"the time to decide {record.id} has passed; ask again", approval_id=record.id
        )


def check_seen(record: Record, digest: str) -> None:
    """Raise FailedPrecondition (DIGEST_MISMATCH) if somebody saw other actions than those it is for now."""
    if digest and digest != record.digest:
        raise FailedPrecondition(
            "DIGEST_MISMATCH",
            f"{record.id} is for other actions than those you saw; look at it again",
            approval_id=record.id,
            digest=record.digest,
        )


def vote(
    record: Record,
    voter: Voter,
    *,
    approve: bool,
    reason: str,
    now_ms: int,
    times: Times,
    reject_code: int = 0,
    seen_digest: str = "",
    remember: int = 0,
    remember_until_ms: int = 0,
) -> Change | None:
    """Vote for or against. None: the same vote, or the same decision, has been made, and that is the answer.

    A vote against ends it; whoever has an approver's role or a seat can cast one. A vote for it counts if it fills a
    seat. `reason` is stored as it is given.

    Raises PermissionDenied (SELF_APPROVAL, NO_SEAT), FailedPrecondition (DIGEST_MISMATCH if `seen_digest` is given and
    another, NOT_MEMORABLE, SEATS_TAKEN, APPROVAL_EXPIRED, APPROVAL_WITHDRAWN, ALREADY_DECIDED).
    """
    check_author(record, voter.subject, voter.acting, voter.on_behalf_of)
    check_seen(record, seen_digest)
    decision = record.decision
    by_people = decision is not None and decision.by not in (CLOCK, ORCHESTRATOR)
    if decision is not None and by_people and record.state is not State.WITHDRAWN and decision.approved == approve:
        return None
    check_pending(record, now_ms)
    seats = seats_for(record.facts.quorum, voter)
    if not seats and (approve or not voter.roles):
        raise PermissionDenied(
            "NO_SEAT",
            f"{record.id} needs {describe(record.facts.quorum)}; you are none of these",
            approval_id=record.id,
            quorum=describe(record.facts.quorum),
        )
    if approve and remember > ONCE and not record.facts.memorable:
        raise FailedPrecondition(
            "NOT_MEMORABLE",
            f"{record.id} is too grave, touches secrets or must be asked about every time; approve it once",
            approval_id=record.id,
        )
    own = Vote(voter.subject, approve, reason, now_ms, seats, voter.on_behalf_of, remember, remember_until_ms)
    earlier = next((cast for cast in record.votes if cast.voter == voter.subject), None)
    said: dict[str, Any] = {
        "actor": voter.subject,
        "acting": voter.acting,
        "on_behalf_of": voter.on_behalf_of,
        "reason": reason,
        "reject_code": journal.reject_code_name(reject_code),
    }
    others = tuple(cast for cast in record.votes if cast.voter != voter.subject)
    votes = (*others, own)
    if not approve:
        rejection = Decision(False, voter.subject, reason, now_ms, reject_code)
        return _change(
            record,
            "REJECTED",
            before_ms=record.decide_by_ms,
            said=said,
            state=State.REJECTED,
            votes=votes,
            decision=rejection,
        )
    if earlier is not None:
        return None
    quorum = record.facts.quorum
    before, now = (filled(quorum, [cast.seats for cast in cast_votes]) for cast_votes in (others, votes))
    if now == before:
        raise FailedPrecondition(
            "SEATS_TAKEN",
            f"others have filled the seats of {record.id} that you could; it still needs somebody else "
            f"({describe(quorum)})",
            approval_id=record.id,
        )
    said["votes_for"] = now
    if now < size(quorum):
        return _change(record, "VOTED", before_ms=record.decide_by_ms, said=said, votes=votes)
    use_by_ms = now_ms + (record.facts.use_within_ms or times.use_ms)
    return _change(
        record,
        "APPROVED",
        before_ms=record.decide_by_ms,
        said={**said, "use_by_ms": use_by_ms},
        state=State.APPROVED,
        votes=votes,
        decision=Decision(True, voter.subject, reason, now_ms),
        use_by_ms=use_by_ms,
    )


def can_vote(record: Record, voter: Voter) -> bool:
    """Whether a vote for it would count now: it is pending, not theirs, and a seat is free for them."""
    if record.state is not State.PENDING or record.authors & {voter.subject, voter.acting, voter.on_behalf_of}:
        return False
    seats = seats_for(record.facts.quorum, voter)
    if not seats or any(cast.voter == voter.subject for cast in record.votes):
        return False
    cast_seats = [cast.seats for cast in record.votes]
    return filled(record.facts.quorum, [*cast_seats, seats]) > filled(record.facts.quorum, cast_seats)


def break_glass(record: Record, voter: Voter, *, reason: str, seen_digest: str, now_ms: int) -> Change | None:
    """Approve alone, as an admin in an emergency. None: this admin has already done it.

    Raises as `vote`, but for the seats.
    """
    check_author(record, voter.subject, voter.acting)
    check_seen(record, seen_digest)
    if record.glass is not None and record.glass.by == voter.subject:
        return None
    check_pending(record, now_ms)
    use_by_ms = now_ms + GLASS_USE_MS
    return _change(
        record,
        "GLASS_BROKEN",
        before_ms=record.decide_by_ms,
        said={"actor": voter.subject, "acting": voter.acting, "reason": reason, "use_by_ms": use_by_ms},
        state=State.APPROVED,
        decision=Decision(True, voter.subject, reason, now_ms),
        glass=Glass(voter.subject, reason),
        use_by_ms=use_by_ms,
    )


def review_glass(record: Record, voter: Voter, *, justified: bool, review: str, now_ms: int) -> Change | None:
    """Say whether breaking the glass was right. None: it has been reviewed, and that review stands.

    Raises PermissionDenied (SELF_APPROVAL for the author, SELF_REVIEW for who broke it), FailedPrecondition
    (GLASS_NOT_BROKEN).
    """
    check_author(record, voter.subject, voter.acting)
    if record.glass is None:
        raise FailedPrecondition("GLASS_NOT_BROKEN", f"nobody broke the glass of {record.id}", approval_id=record.id)
    if record.glass.by in (voter.subject, voter.acting):
        raise PermissionDenied(
            "SELF_REVIEW", f"you broke the glass of {record.id}; somebody else must review it", approval_id=record.id
        )
    if record.glass.reviewed_by:
        return None
    reviewed = dataclasses.replace(
        record.glass, reviewed_by=voter.subject, justified=justified, review=review, reviewed_ms=now_ms
    )
    said = {
        "actor": voter.subject,
        "acting": voter.acting,
        "reason": review,
        "subject_name": "justified" if justified else "not justified",
    }
    return _change(record, "GLASS_REVIEWED", said=said, glass=reviewed)


def revise(
    record: Record,
    facts: Facts,
    *,
    by: str,
    acting: str,
    reason: str,
    seen_digest: str,
    decide_within_ms: int,
    now_ms: int,
    rule_packs: str = "",
) -> Change | None:
    """Replace the actions: votes are void, the clock starts again, and `by` may not vote any more.

    `facts` is what was found out about the new actions, with the rules of `rule_packs`; their revision is set here.
    None: they are those it has.

    Raises FailedPrecondition: DIGEST_MISMATCH, TOO_MANY_REVISIONS, and what `check_pending` raises.
    """
    check_pending(record, now_ms)
    if facts.digest == record.digest:
        return None
    check_seen(record, seen_digest)
    if record.facts.revision >= MAX_REVISIONS:
        raise FailedPrecondition(
            "TOO_MANY_REVISIONS",
            f"{record.id} was edited {MAX_REVISIONS - 1} times; reject it, and ask anew",
            approval_id=record.id,
        )
    editors = {by, acting} - {"", record.requester, *record.initiators}
    return _change(
        record,
        "REVISED",
        before_ms=record.decide_by_ms,
        said={
            "actor": by,
            "acting": acting,
            "reason": reason,
            "decide_by_ms": now_ms + decide_within_ms,
            "score": facts.score,
            "factor_ids": list(facts.factor_ids),
            "rule_packs": rule_packs,
            "policy_rule": facts.policy_rule,
            "policy_etag": facts.policy_etag,
        },
        facts=dataclasses.replace(facts, revision=record.facts.revision + 1),
        initiators=(*record.initiators, *sorted(editors)),
        votes=(),
        decide_by_ms=now_ms + decide_within_ms,
        escalate_at_ms=now_ms + decide_within_ms // 2,
        escalated_ms=0,
    )


def escalate(record: Record, now_ms: int) -> Change | None:
    """Note that half of the time to decide has passed. None: it is not time, or it is noted."""
    if record.state is not State.PENDING or record.escalated_ms or not record.escalate_at_ms:
        return None
    if not record.escalate_at_ms <= now_ms < record.decide_by_ms:
        return None
    return _change(record, "ESCALATED", before_ms=record.decide_by_ms, said={"actor": CLOCK}, escalated_ms=now_ms)


def expire(record: Record, now_ms: int) -> Change | None:
    """Close what nobody decided, or nobody used, in time. None: it is not due."""
    due = {State.PENDING: record.decide_by_ms, State.APPROVED: record.use_by_ms}.get(record.state, 0)
    if not due or now_ms < due:
        return None
    decision, reason = record.decision, "nobody used it in time"
    if record.state is State.PENDING:
        reason = "nobody decided in time"
        decision = Decision(False, CLOCK, reason, now_ms)
    return _change(record, "EXPIRED", said={"actor": CLOCK, "reason": reason}, state=State.EXPIRED, decision=decision)


def withdraw(
    record: Record, now_ms: int, *, by: str = ORCHESTRATOR, reason: str = "the run has ended"
) -> Change | None:
    """Close what is pending because nobody wants it any more. None: it is not pending."""
    if record.state is not State.PENDING:
        return None
    return _change(
        record,
        "WITHDRAWN",
        said={"actor": by, "reason": reason},
        state=State.WITHDRAWN,
        decision=Decision(False, by, reason, now_ms),
    )


def mint(record: Record, *, attempt: int, grant_hash: str, now_ms: int) -> Change | None:
    """Add a grant for an attempt; grants of earlier attempts are void from then on.

    None: there is nothing to grant (not approved, out of time, no lease named, or a later attempt holds the grant).
    """
    usable = record.state is State.APPROVED and now_ms < record.use_by_ms
    if not usable or attempt < 1 or attempt < record.attempt:
        return None
    kept = record.grants if attempt == record.attempt else ()
    return _change(
        record,
        "GRANT_ISSUED",
        before_ms=record.use_by_ms,
        said={"actor": ORCHESTRATOR, "attempt": attempt, "grant_id": grant_hash},
        attempt=attempt,
        grants=(*kept, grant_hash)[-GRANTS_KEPT:],
    )


def redeem(
    record: Record,
    *,
    grant_hash: str,
    revision: int,
    digest: str,
    run_id: str,
    step_id: str,
    attempt: int,
    now_ms: int,
    by: str = "",
) -> Change:
    """Consume an approval by one of its grants; `revision` is what the grant says, the rest what the worker says.

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
    given = {
        "revision": record.facts.revision,
        "digest": record.digest,
        "run_id": record.run_id,
        "step_id": record.step_id,
        "attempt": record.attempt,
    }
    shown = {"revision": revision, "digest": digest, "run_id": run_id, "step_id": step_id, "attempt": attempt}
    wrong = [name for name, value in given.items() if shown[name] != value]
    if wrong:
        raise FailedPrecondition(
            "GRANT_MISMATCH",
            f"the grant of {record.id} was given for another {' and '.join(wrong)}",
            approval_id=record.id,
            mismatch=",".join(wrong),
        )
    return _change(
        record,
        "GRANT_REDEEMED",
        before_ms=record.use_by_ms,
        said={"actor": by, "attempt": attempt, "grant_id": grant_hash},
        state=State.CONSUMED,
    )
