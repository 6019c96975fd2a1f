"""The life of an approval: each rule by example, then all of them at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from services.approval import lifecycle
from services.approval.lifecycle import (
    CLOCK,
    CLOSED,
    HOUR_MS,
    TRANSITIONS,
    Decision,
    Outcome,
    Record,
    State,
    Times,
)
from services.approval.risk import Level
from services.runtime.errors import FailedPrecondition, HarnessError, NotFound, PermissionDenied

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
    digest=DIGEST,
    created_ms=0,
    body=b"",
    decide_by_ms=100,
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


def decided(record: Record, *, approve: bool = True, by: str = "bob", now_ms: int = 10) -> Record:
    change = lifecycle.decide(record, approve=approve, by=by, reason="", now_ms=now_ms, times=TIMES)
    return record if change is None else lifecycle.apply(record, change)


def redeem(record: Record, now_ms: int = 20, **other: Any) -> Record:
    claim: dict[str, Any] = {
        "grant_hash": "g",
        "digest": DIGEST,
        "run_id": "run",
        "step_id": "step",
        "attempt": 1,
    } | other
    return lifecycle.apply(record, lifecycle.redeem(record, now_ms=now_ms, **claim))


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
    change = lifecycle.decide(PENDING, approve=True, by="bob", reason="", now_ms=40, times=TIMES)
    assert change is not None
    assert change.before_ms == PENDING.decide_by_ms


def test_rejection_is_final() -> None:
    rejected = decided(PENDING, approve=False)
    assert rejected.state is State.REJECTED
    with pytest.raises(FailedPrecondition) as refused:
        decided(rejected, approve=True, by="carol")
    assert refused.value.reason == "ALREADY_DECIDED"


@pytest.mark.parametrize("approve", [True, False])
def test_the_same_decision_again_is_the_first_result(approve: bool) -> None:
    first = decided(PENDING, approve=approve)
    assert decided(first, approve=approve, by="carol", now_ms=50) is first


@pytest.mark.parametrize("actor", ["alice", ""])
def test_nobody_decides_their_own(actor: str) -> None:
    by = "bob" if actor else "alice"
    with pytest.raises(PermissionDenied) as refused:
        lifecycle.decide(PENDING, approve=False, by=by, actor=actor, reason="", now_ms=1, times=TIMES)
    assert refused.value.reason == "SELF_APPROVAL"


def test_a_decision_about_other_actions_is_refused() -> None:
    with pytest.raises(FailedPrecondition) as refused:
        lifecycle.decide(PENDING, approve=True, by="bob", reason="", now_ms=1, times=TIMES, seen_digest="sha256:1")
    assert refused.value.reason == "DIGEST_MISMATCH"


def test_too_late_is_too_late_even_before_the_sweeper_comes() -> None:
    with pytest.raises(FailedPrecondition) as refused:
        decided(PENDING, now_ms=100)
    assert refused.value.reason == "APPROVAL_EXPIRED"


def test_expiry_is_not_rejection() -> None:
    assert lifecycle.expire(PENDING, 99) is None
    change = lifecycle.expire(PENDING, 100)
    assert change is not None
    expired = lifecycle.apply(PENDING, change)
    assert expired.state is State.EXPIRED
    assert expired.decision is not None
    assert (expired.decision.by, expired.decision.approved) == (CLOCK, False)
    for approve in (True, False):
        with pytest.raises(FailedPrecondition) as refused:
            decided(expired, approve=approve)
        assert refused.value.reason == "APPROVAL_EXPIRED"


def test_an_unused_approval_expires_and_keeps_its_decision() -> None:
    approved = decided(PENDING)
    assert lifecycle.expire(approved, approved.use_by_ms - 1) is None
    change = lifecycle.expire(approved, approved.use_by_ms)
    assert change is not None
    expired = lifecycle.apply(approved, change)
    assert (expired.state, expired.decision) == (State.EXPIRED, approved.decision)


def test_withdrawal_takes_only_what_is_pending() -> None:
    change = lifecycle.withdraw(PENDING, 5)
    assert change is not None
    withdrawn = lifecycle.apply(PENDING, change)
    assert withdrawn.state is State.WITHDRAWN
    assert lifecycle.withdraw(decided(PENDING), 5) is None
    with pytest.raises(FailedPrecondition) as refused:
        decided(withdrawn)
    assert refused.value.reason == "APPROVAL_WITHDRAWN"


def test_a_new_attempt_voids_the_earlier_grant() -> None:
    change = lifecycle.mint(AUTO, attempt=2, grant_hash="h", now_ms=5)
    assert change is not None
    later = lifecycle.apply(AUTO, change)
    assert (later.attempt, later.grants) == (2, ("h",))
    with pytest.raises(NotFound):
        redeem(later)
    assert lifecycle.mint(later, attempt=1, grant_hash="i", now_ms=6) is None


def test_the_same_attempt_keeps_its_latest_grants() -> None:
    record = AUTO
    for n in range(10):
        change = lifecycle.mint(record, attempt=1, grant_hash=str(n), now_ms=5)
        assert change is not None
        record = lifecycle.apply(record, change)
    assert record.grants == ("6", "7", "8", "9")


def test_nothing_is_granted_without_approval_lease_or_time() -> None:
    assert lifecycle.mint(PENDING, attempt=1, grant_hash="h", now_ms=5) is None
    assert lifecycle.mint(AUTO, attempt=0, grant_hash="h", now_ms=5) is None
    assert lifecycle.mint(AUTO, attempt=1, grant_hash="h", now_ms=1000) is None
    assert lifecycle.mint(redeem(AUTO), attempt=2, grant_hash="h", now_ms=5) is None


def test_a_grant_is_redeemed_once() -> None:
    used = redeem(AUTO)
    assert used.state is State.CONSUMED
    with pytest.raises(FailedPrecondition) as refused:
        redeem(used)
    assert refused.value.reason == "GRANT_REDEEMED"


def test_a_grant_is_void_when_its_time_is_over() -> None:
    with pytest.raises(FailedPrecondition) as refused:
        redeem(AUTO, now_ms=1000)
    assert refused.value.reason == "GRANT_EXPIRED"


@pytest.mark.parametrize(
    ("name", "value"), [("digest", "sha256:1"), ("run_id", "other"), ("step_id", "other"), ("attempt", 2)]
)
def test_a_grant_is_for_one_lease_and_one_digest(name: str, value: Any) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        redeem(AUTO, **{name: value})
    assert refused.value.reason == "GRANT_MISMATCH"
    assert refused.value.metadata["mismatch"] == name


class LifeOfAnApproval(RuleBasedStateMachine):
    """Anybody does anything at any time, some on a stale copy, as concurrent callers would."""

    copies = Bundle("copies")

    def __init__(self) -> None:
        super().__init__()
        self.record = PENDING
        self.now = 0
        self.history = [State.PENDING]
        self.redeemed = 0
        self.first: Decision | None = None

    def commit(self, change: lifecycle.Change | None) -> bool:
        if change is None or change.version != self.record.version:
            return False
        if change.before_ms and self.now >= change.before_ms:
            return False
        self.record = lifecycle.apply(self.record, change)
        if self.record.state is not self.history[-1]:
            self.history.append(self.record.state)
        return True

    @rule(target=copies)
    def load(self) -> Record:
        return self.record

    @rule(ms=st.integers(1, 400))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(record=copies, approve=st.booleans(), by=st.sampled_from(["alice", "bob", "carol"]))
    def somebody_decides(self, record: Record, approve: bool, by: str) -> None:
        try:
            change = lifecycle.decide(record, approve=approve, by=by, reason="", now_ms=self.now, times=TIMES)
        except HarnessError:
            return
        assert by != record.requester
        self.commit(change)

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
                digest=DIGEST,
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
            assert self.first.by in ("bob", "carol")


TestLifeOfAnApproval = LifeOfAnApproval.TestCase
TestLifeOfAnApproval.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
