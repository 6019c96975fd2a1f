"""The engine's rules by example."""

from __future__ import annotations

import pytest

from services.orchestrator.engine import commands as cmd
from services.orchestrator.engine.decide import Decision, Timer, backoff_ms, decide, start
from services.orchestrator.engine.evolve import fold
from services.orchestrator.engine.model import (
    MAX_LEASE_LOSSES,
    Header,
    Retry,
    Run,
    RunStatus,
    Spec,
    StepStatus,
)

NOW = 1_000_000


def header(*specs: Spec) -> Header:
    return Header("run_1", "tsk_1", "prj_1", "alice", "development", "do it", specs)


def started(*specs: Spec) -> Run:
    decision = start(header(*specs), NOW)
    decision.draft.accept(1)
    return decision.draft.run


def act(run: Run, *batch: cmd.Command, now: int = NOW) -> Decision:
    decision = decide(run, batch, now)
    if decision.changes_anything:
        decision.draft.accept(run.version + 1)
    return decision


def kinds(decision: Decision) -> list[str]:
    return [event.type for event in decision.draft.events]


def lease(run: Run, step_id: str) -> int:
    act(run, cmd.Lease(step_id, "w", 30_000))
    assert run.steps[step_id].status is StepStatus.LEASED
    return run.steps[step_id].attempt


def fail(step_id: str, attempt: int, *, retryable: bool = True) -> cmd.Fail:
    return cmd.Fail(step_id, attempt, "BROKEN", "it broke", retryable, 0.0)


def test_roots_are_queued_and_dependents_wait() -> None:
    decision = start(header(Spec("a", "shell"), Spec("b", "shell", depends_on=("a",))), NOW)
    assert kinds(decision) == ["run_created", "run_started", "step_ready"]
    assert [(agent, step) for agent, step, _ in decision.effects.queue_add] == [("shell", "a")]
    assert decision.draft.core.status is RunStatus.EXECUTING


def test_a_chain_completes_once_and_folds_to_its_state() -> None:
    run = started(Spec("a", "shell"), Spec("b", "shell", depends_on=("a",)))
    events = list(start(run.header, NOW).draft.events)
    for step in ("a", "b"):
        events += act(run, cmd.Lease(step, "w", 30_000)).draft.events
        events += act(run, cmd.Succeed(step, 1, {})).draft.events
    assert run.core.status is RunStatus.TERMINATED
    assert run.core.reason == "completed"
    folded = fold(run.header, events)
    assert (folded.core, folded.steps) == (run.core, run.steps)


def test_a_stale_token_changes_nothing() -> None:
    run = started(Spec("a", "shell"))
    attempt = lease(run, "a")
    act(run, cmd.LeaseExpired("a", attempt))
    assert lease(run, "a") == attempt + 1
    decision = act(run, cmd.Succeed("a", attempt, {"late": True}))
    assert decision.replies[0].code == "LEASE_LOST"
    assert not decision.changes_anything


def test_a_repeated_report_is_answered_as_the_first() -> None:
    run = started(Spec("a", "shell"))
    attempt = lease(run, "a")
    assert act(run, cmd.Succeed("a", attempt, {})).replies[0].ok
    again = act(run, cmd.Succeed("a", attempt, {}))
    assert again.replies[0].ok
    assert not again.changes_anything


def test_two_workers_cannot_lease_the_same_step_in_one_batch() -> None:
    run = started(Spec("a", "shell"))
    decision = act(run, cmd.Lease("a", "w1", 30_000), cmd.Lease("a", "w2", 30_000))
    assert [reply.code for reply in decision.replies] == ["", "NOT_READY"]


def test_retries_wait_out_a_backoff_and_then_end_with_max_retries() -> None:
    run = started(Spec("a", "shell", retry=Retry(max_attempts=2)))
    first = act(run, fail("a", lease(run, "a")))
    assert first.effects.timers_set == {Timer("wake", "a", 1): NOW + 500}
    assert act(run, cmd.Lease("a", "w", 1)).replies[0].code == "NOT_READY"
    act(run, cmd.Wake("a", 1))
    act(run, fail("a", lease(run, "a")))
    assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, "max_retries")
    assert run.steps["a"].error["retryable"], "attempts ran out; trying again could have helped"


def test_a_non_retryable_error_ends_at_once_and_skips_dependents() -> None:
    run = started(
        Spec("a", "shell"), Spec("b", "shell", depends_on=("a",)), Spec("c", "shell", depends_on=("b",)), Spec("d", "x")
    )
    act(run, fail("a", lease(run, "a"), retryable=False))
    assert [run.steps[name].status for name in "abc"] == [StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.SKIPPED]
    assert run.core.status is RunStatus.EXECUTING, "an independent step still runs"
    act(run, cmd.Succeed("d", lease(run, "d"), {}))
    assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, "agent_error")


def test_lost_leases_do_not_count_as_failures_but_end_somewhere() -> None:
    run = started(Spec("a", "shell", retry=Retry(max_attempts=1)))
    for _ in range(MAX_LEASE_LOSSES - 1):
        act(run, cmd.LeaseExpired("a", lease(run, "a")))
        assert run.steps["a"].status is StepStatus.READY
    act(run, cmd.LeaseExpired("a", lease(run, "a")))
    assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, "max_retries")


def test_a_deadline_ends_the_attempt_with_timeout() -> None:
    run = started(Spec("a", "shell", timeout_ms=1_000, retry=Retry(max_attempts=1)))
    act(run, cmd.DeadlinePassed("a", lease(run, "a"), 0.0))
    assert run.core.reason == "timeout"


def test_a_gated_step_is_never_queued_before_its_approval() -> None:
    decision = start(header(Spec("a", "coder", gated=True)), NOW)
    assert decision.effects.queue_add == []
    assert decision.effects.outbox_add == ["a"]
    decision.draft.accept(1)
    run = decision.draft.run
    assert act(run, cmd.Lease("a", "w", 1)).replies[0].code == "NOT_READY"
    waiting = act(run, cmd.GateAnswered("a", 0, "human", "apr_1"))
    assert kinds(waiting) == ["approval_requested", "run_waiting_approval"]
    assert waiting.effects.queue_add == []
    opened = act(run, cmd.Decided("a", "apr_1", "approved", "bob"))
    assert kinds(opened) == ["approval_approved", "step_ready", "run_resumed"]
    assert len(opened.effects.queue_add) == 1


def test_a_decision_for_another_gate_is_ignored() -> None:
    run = started(Spec("a", "coder", gated=True), Spec("b", "coder", gated=True))
    act(run, cmd.GateAnswered("a", 0, "human", "apr_a"), cmd.GateAnswered("b", 0, "human", "apr_b"))
    assert act(run, cmd.Decided("a", "apr_b", "approved", "bob")).replies[0].code == "NOT_WAITING"
    act(run, cmd.Decided("b", "apr_b", "approved", "bob"))
    assert run.steps["a"].status is StepStatus.WAITING_APPROVAL


@pytest.mark.parametrize(
    ("state", "reason"),
    [("rejected", "approval_rejected"), ("withdrawn", "approval_rejected"), ("expired", "approval_timeout")],
)
def test_a_closed_gate_skips_dependents_and_ends_the_run(state: str, reason: str) -> None:
    run = started(Spec("a", "coder", gated=True), Spec("b", "shell", depends_on=("a",)))
    act(run, cmd.GateAnswered("a", 0, "human", "apr_1"))
    act(run, cmd.Decided("a", "apr_1", state, "bob", "no"))
    assert run.steps["b"].status is StepStatus.SKIPPED
    assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, reason)
    late = act(run, cmd.Decided("a", "apr_1", "approved", "eve"))
    assert late.replies[0].code == "NOT_WAITING", "approving after a rejection revives nothing"


def test_a_parked_step_frees_the_worker_and_comes_back_with_its_generation() -> None:
    run = started(Spec("a", "shell"))
    attempt = lease(run, "a")
    parked = act(run, cmd.Park("a", attempt, 1, "sha256:x", 0, "apr_1"))
    assert Timer("lease", "a", attempt) in parked.effects.timers_clear
    assert run.core.status is RunStatus.WAITING_APPROVAL
    act(run, cmd.Decided("a", "apr_1", "approved", "bob"))
    assert lease(run, "a") == attempt + 1
    assert run.steps["a"].failures == 0


def test_a_rejection_that_wants_changes_tries_the_step_again_and_tells_it_why() -> None:
    run = started(Spec("a", "shell", retry=Retry(max_attempts=2)))
    attempt = lease(run, "a")
    act(run, cmd.Park("a", attempt, 3, "sha256:x", 0, "apr_1"))
    act(run, cmd.Decided("a", "apr_1", "rejected", "bob", "not all of it", "needs_changes"))
    assert run.steps["a"].status is StepStatus.READY
    act(run, cmd.Wake("a", attempt))
    attempt = lease(run, "a")
    (told,) = run.steps["a"].feedback
    assert (told["code"], told["reason"], told["by"]) == ("needs_changes", "not all of it", "bob")
    assert (told["ordinal"], told["digest"], told["approval_id"]) == (3, "sha256:x", "apr_1")
    act(run, cmd.Park("a", attempt, 3, "sha256:x", 0, "apr_1"))
    act(run, cmd.Decided("a", "apr_1", "rejected", "bob", "not all of it", "needs_changes"))
    assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, "approval_rejected")


@pytest.mark.parametrize("code", ["unsafe", "wrong_target", ""])
def test_other_rejections_are_final(code: str) -> None:
    run = started(Spec("a", "shell", retry=Retry(max_attempts=5)))
    attempt = lease(run, "a")
    act(run, cmd.Park("a", attempt, 1, "sha256:x", 0, "apr_1"))
    act(run, cmd.Decided("a", "apr_1", "rejected", "bob", "no", code))
    assert run.core.status is RunStatus.TERMINATED
    assert run.steps["a"].feedback == ()
    assert code in run.steps["a"].error["message"]


def test_a_start_that_is_rejected_cannot_be_proposed_otherwise() -> None:
    run = started(Spec("a", "coder", gated=True))
    act(run, cmd.GateAnswered("a", 0, "human", "apr_1"))
    act(run, cmd.Decided("a", "apr_1", "rejected", "bob", "", "needs_changes"))
    assert run.core.status is RunStatus.TERMINATED


def test_a_result_is_assessed_before_dependents_start() -> None:
    run = started(Spec("a", "coder"), Spec("b", "shell", depends_on=("a",)))
    attempt = lease(run, "a")
    reported = act(run, cmd.Succeed("a", attempt, {"code": "x"}))
    assert reported.effects.outbox_add == ["a"]
    assert run.steps["b"].attempt == 0
    assert reported.effects.queue_add == []
    opened = act(run, cmd.GateAnswered("a", attempt, "auto", "apr_1"))
    assert run.steps["a"].result == {"code": "x"}
    assert [step for _, step, _ in opened.effects.queue_add] == ["b"]


def test_a_performed_proposal_is_recorded_once() -> None:
    run = started(Spec("a", "shell"))
    attempt = lease(run, "a")
    act(run, cmd.Record("a", attempt, 1, "sha256:x", {"exit": 0}))
    again = act(run, cmd.Record("a", attempt, 1, "sha256:x", {"exit": 1}))
    assert again.replies[0].ok
    assert run.steps["a"].records[1]["result"] == {"exit": 0}


def test_cancel_voids_leases_empties_queues_and_withdraws_approvals() -> None:
    run = started(Spec("a", "shell"), Spec("b", "coder", gated=True), Spec("c", "shell", depends_on=("a",)))
    attempt = lease(run, "a")
    act(run, cmd.GateAnswered("b", 0, "human", "apr_1"))
    decision = act(run, cmd.Cancel("alice", "enough"))
    assert decision.effects.withdraw
    assert {step.status for step in run.steps.values()} == {StepStatus.CANCELLED}
    assert act(run, cmd.Succeed("a", attempt, {})).replies[0].code == "LEASE_LOST"
    assert act(run, cmd.Cancel("alice", "again")).replies[0].ok
    assert not act(run, cmd.Cancel("alice", "again")).changes_anything


def test_cancelling_a_completed_run_is_refused() -> None:
    run = started(Spec("a", "shell"))
    act(run, cmd.Succeed("a", lease(run, "a"), {}))
    assert act(run, cmd.Cancel("alice", "")).replies[0].code == "RUN_TERMINATED"


def test_backoff_doubles_is_capped_and_jitters_its_upper_half() -> None:
    spec = Spec("a", "shell", retry=Retry(initial_ms=1_000, max_ms=5_000, multiplier=2.0))
    assert [backoff_ms(spec, n, 1.0) for n in (1, 2, 3, 4, 400)] == [1_000, 2_000, 4_000, 5_000, 5_000]
    assert backoff_ms(spec, 2, 0.0) == 1_000


def test_higher_priority_is_leased_first() -> None:
    decision = start(header(Spec("low", "x"), Spec("high", "x", priority=9)), NOW)
    scores = {step: score for _, step, score in decision.effects.queue_add}
    assert scores["high"] < scores["low"]


def test_fold_refuses_a_gap_and_an_unknown_event() -> None:
    run = started(Spec("a", "shell"))
    events = start(run.header, NOW).draft.events
    with pytest.raises(ValueError, match="event 2 is missing"):
        fold(run.header, [events[0], events[2]])
    odd = type(events[0])(2, "run_exploded", NOW)
    with pytest.raises(ValueError, match="unknown type"):
        fold(run.header, [events[0], odd])
