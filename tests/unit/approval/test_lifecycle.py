"""The life of an approval: each rule by example, then all of them at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from services.approval import lifecycle
from services.approval.lifecycle import GLASS_USE_MS, HOUR_MS, MAX_REVISIONS, Change, Outcome, Times
from services.approval.quorum import Seat, Voter, filled, size
from services.approval.record import CLOCK, CLOSED, TRANSITIONS, Decision, Facts, Record, State, due_ms
from services.approval.risk import Level
from services.runtime.errors import FailedPrecondition, HarnessError, NotFound

DIGEST = "sha256:" + "0" * 64
TIMES = Times(use_ms=1000)
PENDING = Record(
    id="apr_00" + "0" * 32,
    version=1,
    state=State.PENDING,
    requester="alice",
    request_id="q",
    run_id="run",
    step_id="step",
    created_ms=0,
    facts=Facts(DIGEST, b""),
    decide_by_ms=100,
    escalate_at_ms=50,
)
AUTO = replace(
    PENDING,
    state=State.APPROVED,
    decide_by_ms=0,
    use_by_ms=1000,
    decision=Decision(True, "policy", "", 0),
    attempt=1,
    grants=("g",),
)


APPROVER = frozenset({"approver"})
TWO = replace(PENDING, facts=replace(PENDING.facts, quorum=(Seat(role="approver"), Seat(group="security"))))


def vote(record: Record, by: str = "bob", *, approve: bool = True, now_ms: int = 10, **other: Any) -> Change | None:
    groups = frozenset(other.pop("groups", ()))
    voter = Voter(by, other.pop("roles", APPROVER), groups, other.pop("acting", ""), other.pop("on_behalf_of", ""))
    return lifecycle.vote(record, voter, approve=approve, reason="", now_ms=now_ms, times=TIMES, **other)


def decided(record: Record, by: str = "bob", **other: Any) -> Record:
    change = vote(record, by, **other)
    return record if change is None else change.after


def refused(reason: str, record: Record, by: str = "bob", **other: Any) -> None:
    with pytest.raises(HarnessError) as raised:
        vote(record, by, **other)
    assert raised.value.reason == reason


def redeem(record: Record, now_ms: int = 20, **other: Any) -> Record:
    claim: dict[str, Any] = {
        "grant_hash": "g",
        "revision": 1,
        "digest": DIGEST,
        "run_id": "run",
        "step_id": "step",
        "attempt": 1,
    } | other
    return lifecycle.redeem(record, now_ms=now_ms, **claim).after


@pytest.mark.parametrize(
    ("level", "hours"),
    [(Level.LOW, 4), (Level.MEDIUM, 8), (Level.HIGH, 24), (Level.CRITICAL, 24), (Level.UNKNOWN, 24)],
)
def test_time_to_decide_is_by_level(level: Level, hours: int) -> None:
    opening = lifecycle.open_with(Outcome.HUMAN, level, Times())
    assert (opening.state, opening.decide_within_ms) == (State.PENDING, hours * HOUR_MS)
    assert Times(decide_ms=5).to_decide(level) == 5


def test_the_policy_opens_approved_or_denied() -> None:
    auto = lifecycle.open_with(Outcome.AUTO, Level.LOW, Times())
    assert (auto.state, auto.use_within_ms, auto.decided) == (State.APPROVED, HOUR_MS, True)
    assert lifecycle.open_with(Outcome.DENY, Level.LOW, Times()).state is State.DENIED


def test_approval_starts_the_time_to_use_it() -> None:
    approved = decided(PENDING, now_ms=40)
    assert (approved.state, approved.use_by_ms) == (State.APPROVED, 1040)
    assert approved.decision == Decision(True, "bob", "", 40)


def test_a_decision_holds_only_until_the_time_to_decide() -> None:
    change = vote(PENDING, now_ms=40)
    assert change is not None
    assert change.before_ms == PENDING.decide_by_ms


def test_rejection_is_final() -> None:
    rejected = decided(PENDING, approve=False)
    assert rejected.state is State.REJECTED
    refused("ALREADY_DECIDED", rejected, approve=True, by="carol")


@pytest.mark.parametrize("approve", [True, False])
def test_the_same_decision_again_is_the_first_result(approve: bool) -> None:
    first = decided(PENDING, approve=approve)
    assert decided(first, approve=approve, by="carol", now_ms=50) is first


@pytest.mark.parametrize("actor", ["alice", ""])
def test_nobody_decides_their_own(actor: str) -> None:
    by = "bob" if actor else "alice"
    refused("SELF_APPROVAL", PENDING, by, approve=False, acting=actor)
    refused("SELF_APPROVAL", PENDING, "bob", on_behalf_of="alice")
    refused("SELF_APPROVAL", replace(PENDING, initiators=("bob",)), "bob")


def test_a_decision_about_other_actions_is_refused() -> None:
    refused("DIGEST_MISMATCH", PENDING, seen_digest="sha256:1")


def test_too_late_is_too_late_even_before_the_sweeper_comes() -> None:
    refused("APPROVAL_EXPIRED", PENDING, now_ms=100)


def test_expiry_is_not_rejection() -> None:
    assert lifecycle.expire(PENDING, 99) is None
    change = lifecycle.expire(PENDING, 100)
    assert change is not None
    expired = change.after
    assert expired.state is State.EXPIRED
    assert expired.decision is not None
    assert (expired.decision.by, expired.decision.approved) == (CLOCK, False)
    for approve in (True, False):
        refused("APPROVAL_EXPIRED", expired, approve=approve)


def test_an_unused_approval_expires_and_keeps_its_decision() -> None:
    approved = decided(PENDING)
    assert lifecycle.expire(approved, approved.use_by_ms - 1) is None
    change = lifecycle.expire(approved, approved.use_by_ms)
    assert change is not None
    expired = change.after
    assert (expired.state, expired.decision) == (State.EXPIRED, approved.decision)


def test_withdrawal_takes_only_what_is_pending() -> None:
    change = lifecycle.withdraw(PENDING, 5)
    assert change is not None
    withdrawn = change.after
    assert withdrawn.state is State.WITHDRAWN
    assert lifecycle.withdraw(decided(PENDING), 5) is None
    refused("APPROVAL_WITHDRAWN", withdrawn)


def test_a_new_attempt_voids_the_earlier_grant() -> None:
    change = lifecycle.mint(AUTO, attempt=2, grant_hash="h", now_ms=5)
    assert change is not None
    later = change.after
    assert (later.attempt, later.grants) == (2, ("h",))
    with pytest.raises(NotFound):
        redeem(later)
    assert lifecycle.mint(later, attempt=1, grant_hash="i", now_ms=6) is None


def test_the_same_attempt_keeps_its_latest_grants() -> None:
    record = AUTO
    for n in range(10):
        change = lifecycle.mint(record, attempt=1, grant_hash=str(n), now_ms=5)
        assert change is not None
        record = change.after
    assert record.grants == ("6", "7", "8", "9")


def test_nothing_is_granted_without_approval_lease_or_time() -> None:
    assert lifecycle.mint(PENDING, attempt=1, grant_hash="h", now_ms=5) is None
    assert lifecycle.mint(AUTO, attempt=0, grant_hash="h", now_ms=5) is None
    assert lifecycle.mint(AUTO, attempt=1, grant_hash="h", now_ms=1000) is None
    assert lifecycle.mint(redeem(AUTO), attempt=2, grant_hash="h", now_ms=5) is None


def test_a_grant_is_redeemed_once() -> None:
    used = redeem(AUTO)
    assert used.state is State.CONSUMED
    with pytest.raises(FailedPrecondition) as raised:
        redeem(used)
    assert raised.value.reason == "GRANT_REDEEMED"


def test_a_grant_is_void_when_its_time_is_over() -> None:
    with pytest.raises(FailedPrecondition) as raised:
        redeem(AUTO, now_ms=1000)
    assert raised.value.reason == "GRANT_EXPIRED"


@pytest.mark.parametrize(
    ("name", "value"),
    [("revision", 2), ("digest", "sha256:1"), ("run_id", "other"), ("step_id", "other"), ("attempt", 2)],
)
def test_a_grant_is_for_one_lease_and_one_digest(name: str, value: Any) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        redeem(AUTO, **{name: value})
    assert raised.value.reason == "GRANT_MISMATCH"
    assert raised.value.metadata["mismatch"] == name


def test_a_quorum_is_met_by_different_people() -> None:
    first = decided(TWO, "bob", groups=["security"])
    assert (first.state, len(first.votes), first.decision) == (State.PENDING, 1, None)
    assert decided(first, "bob", groups=["security"]) == first
    # Carol takes the approver's seat, and bob moves to that of the group.
    second = decided(first, "carol")
    assert (second.state, second.decision and second.decision.by) == (State.APPROVED, "carol")
    assert [cast.voter for cast in second.votes] == ["bob", "carol"]


def test_a_vote_needs_a_seat_that_is_free() -> None:
    refused("NO_SEAT", replace(PENDING, facts=replace(PENDING.facts, quorum=(Seat(group="security"),))))
    refused("SEATS_TAKEN", decided(TWO), "carol")
    admin = Voter("root", frozenset({"admin"}))
    assert lifecycle.can_vote(TWO, admin)
    assert not lifecycle.can_vote(decided(TWO), admin)
    assert not lifecycle.can_vote(TWO, Voter("alice", APPROVER))


def test_the_first_vote_against_is_final_and_needs_no_seat() -> None:
    rejected = decided(decided(TWO), "carol", approve=False, reject_code=2)
    assert rejected.state is State.REJECTED
    assert rejected.decision is not None
    assert (rejected.decision.by, rejected.decision.reject_code) == ("carol", 2)
    refused("NO_SEAT", TWO, "mallory", approve=False, roles=frozenset())


def test_somebody_may_change_a_vote_for_into_one_against() -> None:
    assert decided(decided(TWO), approve=False).state is State.REJECTED


def revised(record: Record, by: str = "bob", digest: str = "sha256:2", now_ms: int = 20) -> Record:
    change = lifecycle.revise(
        record,
        Facts(digest, b"other"),
        by=by,
        acting="",
        reason="",
        seen_digest=record.digest,
        decide_within_ms=1000,
        now_ms=now_ms,
    )
    assert change is not None
    return change.after


def test_an_edit_voids_votes_and_starts_the_clock_again() -> None:
    edited = revised(decided(TWO))
    assert (edited.votes, edited.facts.revision, edited.decide_by_ms, edited.digest) == ((), 2, 1020, "sha256:2")
    refused("SELF_APPROVAL", edited, "bob")
    refused("DIGEST_MISMATCH", edited, "carol", seen_digest=DIGEST)
    assert decided(edited, "carol").state is State.APPROVED


def test_edits_end() -> None:
    record = PENDING
    for n in range(MAX_REVISIONS - 1):
        record = revised(record, digest=f"sha256:{n}")
    with pytest.raises(FailedPrecondition) as raised:
        revised(record, digest="sha256:x")
    assert raised.value.reason == "TOO_MANY_REVISIONS"
    assert record.initiators == ("bob",)


def test_nobody_edits_what_is_decided() -> None:
    with pytest.raises(FailedPrecondition) as raised:
        revised(decided(PENDING))
    assert raised.value.reason == "ALREADY_DECIDED"


def test_half_of_the_time_escalates_once() -> None:
    assert lifecycle.escalate(PENDING, 49) is None
    assert due_ms(PENDING) == 50
    change = lifecycle.escalate(PENDING, 60)
    assert change is not None
    assert (change.after.escalated_ms, due_ms(change.after)) == (60, 100)
    assert lifecycle.escalate(change.after, 70) is None
    assert lifecycle.escalate(PENDING, 100) is None


def test_an_admin_breaks_the_glass_alone_and_somebody_else_reviews_it() -> None:
    root = Voter("root", frozenset({"admin"}))
    change = lifecycle.break_glass(TWO, root, reason="it burns", seen_digest=DIGEST, now_ms=10)
    assert change is not None
    broken = change.after
    assert (broken.state, broken.use_by_ms) == (State.APPROVED, 10 + GLASS_USE_MS)
    assert lifecycle.break_glass(broken, root, reason="it burns", seen_digest=DIGEST, now_ms=11) is None
    with pytest.raises(HarnessError) as raised:
        lifecycle.review_glass(broken, root, justified=True, review="fine", now_ms=12)
    assert raised.value.reason == "SELF_REVIEW"
    review = lifecycle.review_glass(broken, Voter("bob", APPROVER), justified=False, review="no", now_ms=12)
    assert review is not None
    assert review.after.glass is not None
    assert (review.after.glass.reviewed_by, review.after.glass.justified) == ("bob", False)
    assert lifecycle.review_glass(review.after, Voter("carol", APPROVER), justified=True, review="", now_ms=13) is None


def test_there_is_no_glass_for_what_is_ones_own_or_decided() -> None:
    for record, reason in ((PENDING, "SELF_APPROVAL"), (decided(PENDING), "ALREADY_DECIDED")):
        by = "alice" if reason == "SELF_APPROVAL" else "root"
        with pytest.raises(HarnessError) as raised:
            lifecycle.break_glass(record, Voter(by, frozenset({"admin"})), reason="x", seen_digest="", now_ms=10)
        assert raised.value.reason == reason
    with pytest.raises(HarnessError) as raised:
        lifecycle.review_glass(PENDING, Voter("bob", APPROVER), justified=True, review="", now_ms=1)
    assert raised.value.reason == "GLASS_NOT_BROKEN"


class LifeOfAnApproval(RuleBasedStateMachine):
    """Anybody does anything at any time, some on a stale copy, as concurrent callers would."""

    copies = Bundle("copies")

    def __init__(self) -> None:
        super().__init__()
        self.record = TWO
        self.now = 0
        self.history = [State.PENDING]
        self.redeemed = 0
        self.first: Decision | None = None

    def commit(self, change: lifecycle.Change | None) -> bool:
        if change is None or change.before.version != self.record.version:
            return False
        if change.before_ms and self.now >= change.before_ms:
            return False
        self.record = change.after
        if self.record.state is not self.history[-1]:
            self.history.append(self.record.state)
        return True

    @rule(target=copies)
    def load(self) -> Record:
        return self.record

    @rule(ms=st.integers(1, 400))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(
        record=copies,
        approve=st.booleans(),
        by=st.sampled_from(["alice", "bob", "carol", "dave"]),
        groups=st.sampled_from([(), ("security",)]),
    )
    def somebody_votes(self, record: Record, approve: bool, by: str, groups: tuple[str, ...]) -> None:
        try:
            change = vote(record, by, approve=approve, now_ms=self.now, groups=groups)
        except HarnessError:
            return
        assert by not in record.authors
        self.commit(change)

    @rule(record=copies, by=st.sampled_from(["alice", "bob", "carol"]), n=st.integers(0, 3))
    def somebody_edits(self, record: Record, by: str, n: int) -> None:
        facts = Facts(f"sha256:{n}", b"", quorum=TWO.facts.quorum)
        try:
            change = lifecycle.revise(
                record,
                facts,
                by=by,
                acting="",
                reason="",
                seen_digest=record.digest,
                decide_within_ms=100,
                now_ms=self.now,
            )
        except HarnessError:
            return
        if self.commit(change):
            assert self.record.votes == ()
            assert by in self.record.authors

    @rule(record=copies, by=st.sampled_from(["alice", "root"]))
    def an_admin_breaks_the_glass(self, record: Record, by: str) -> None:
        admin = Voter(by, frozenset({"admin"}))
        try:
            change = lifecycle.break_glass(record, admin, reason="", seen_digest=record.digest, now_ms=self.now)
        except HarnessError:
            return
        assert by != "alice"
        self.commit(change)

    @rule(record=copies)
    def half_of_the_time_passes(self, record: Record) -> None:
        self.commit(lifecycle.escalate(record, self.now))

    @rule(record=copies)
    def the_sweeper_comes(self, record: Record) -> None:
        self.commit(lifecycle.expire(record, self.now))

    @rule(record=copies)
    def the_run_ends(self, record: Record) -> None:
        self.commit(lifecycle.withdraw(record, self.now))

    @rule(record=copies, attempt=st.integers(0, 3))
    def a_lease_asks_for_a_grant(self, record: Record, attempt: int) -> None:
        self.commit(lifecycle.mint(record, attempt=attempt, grant_hash=f"g{attempt}", now_ms=self.now))

    @rule(record=copies, attempt=st.integers(1, 3))
    def a_worker_redeems(self, record: Record, attempt: int) -> None:
        try:
            change = lifecycle.redeem(
                record,
                grant_hash=f"g{attempt}",
                revision=self.record.facts.revision,
                digest=self.record.digest,
                run_id="run",
                step_id="step",
                attempt=attempt,
                now_ms=self.now,
            )
        except HarnessError:
            return
        if self.commit(change):
            self.redeemed += 1
            assert self.now < self.record.use_by_ms
            assert self.record.attempt == attempt

    @precondition(lambda self: self.record.decision is not None)
    @invariant()
    def the_first_decision_stays(self) -> None:
        self.first = self.first or self.record.decision
        assert self.record.decision == self.first

    @invariant()
    def the_path_is_allowed_and_used_once(self) -> None:
        for before, after in zip(self.history, self.history[1:], strict=False):
            assert after in TRANSITIONS[before]
        assert all(state not in CLOSED for state in self.history[:-1])
        assert self.redeemed == (State.CONSUMED in self.history) <= 1
        if State.APPROVED in self.history:
            assert self.first is not None
            assert self.first.by not in self.record.authors
            if self.record.glass is None:
                votes = [cast.seats for cast in self.record.votes if cast.approved]
                assert filled(self.record.facts.quorum, votes) == size(self.record.facts.quorum)
                assert len({cast.voter for cast in self.record.votes}) == len(self.record.votes)


TestLifeOfAnApproval = LifeOfAnApproval.TestCase
TestLifeOfAnApproval.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
