"""The engine under random commands: whatever comes, in whatever order, these things hold."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.orchestrator.engine import commands as cmd
from services.orchestrator.engine.decide import Decision, Timer, decide, start
from services.orchestrator.engine.evolve import ACTIVE, fold
from services.orchestrator.engine.model import FINAL, Event, Header, Retry, Run, RunStatus, Spec, StepStatus
from services.orchestrator.store import codec

STEPS = [f"s{n}" for n in range(6)]
STEP = st.sampled_from(STEPS)
LAG = st.sampled_from([0, 0, 0, 0, 1])
"""How many attempts behind a token is; mostly the current one."""


@st.composite
def plans(draw: st.DrawFn) -> tuple[Spec, ...]:
    specs = []
    for at, name in enumerate(STEPS):
        depends = draw(st.lists(st.sampled_from(STEPS[:at]), unique=True, max_size=3)) if at else []
        retry = Retry(max_attempts=draw(st.integers(1, 3)))
        specs.append(
            Spec(name, "x", depends_on=tuple(depends), gated=draw(st.sampled_from([False, False, True])), retry=retry)
        )
    return tuple(specs)


class Machine(RuleBasedStateMachine):
    """One run, its queue, timers and outbox as a store would hold them."""

    run: Run

    @initialize(specs=plans())
    def begin(self, specs: tuple[Spec, ...]) -> None:
        self.now = 1_000
        self.events: list[Event] = []
        self.queue: set[str] = set()
        self.timers: set[Timer] = set()
        self.outbox: set[str] = set()
        self.approved: set[str] = set()
        self.completed: list[str] = []
        decision = start(Header("run_1", "tsk_1", "prj_1", "alice", "development", "q", specs), self.now)
        self._take(decision)

    def _take(self, decision: Decision) -> None:
        draft, effects = decision.draft, decision.effects
        self.queue |= {step for _, step, _ in effects.queue_add}
        self.queue -= {step for _, step in effects.queue_remove}
        self.timers |= set(effects.timers_set)
        self.timers -= effects.timers_clear
        self.outbox |= set(effects.outbox_add)
        self.outbox -= set(effects.outbox_remove)
        self.events += draft.events
        self.completed += [event.step_id for event in draft.events if event.type == "step_completed"]
        draft.accept(draft.run.version + 1)
        self.run = draft.run

    def _do(self, command: cmd.Command) -> None:
        self.now += 1
        decision = decide(self.run, [command], self.now)
        if not decision.replies[0].ok:
            assert not decision.changes_anything, "a refused command changes nothing"
        self._take(decision)

    def attempt(self, step: str, lag: int) -> int:
        return max(0, self.run.steps[step].attempt - lag)

    @rule(data=st.data())
    def lease_ready(self, data: st.DataObject) -> None:
        if self.queue:
            self.lease(data.draw(st.sampled_from(sorted(self.queue))))

    @rule(step=STEP)
    def lease(self, step: str) -> None:
        was_queued = step in self.queue
        before = self.run.steps[step].status
        self._do(cmd.Lease(step, "w", 1_000))
        if before is not StepStatus.LEASED and self.run.steps[step].status is StepStatus.LEASED:
            assert was_queued
            spec = self.run.index.specs[step]
            assert not spec.gated or step in self.approved, "a gated step was leased without its approval"

    @rule(step=STEP, lag=LAG, full=st.booleans())
    def succeed(self, step: str, lag: int, full: bool) -> None:
        self._do(cmd.Succeed(step, self.attempt(step, lag), {"a": 1} if full else {}))

    @rule(step=STEP, lag=LAG, retryable=st.booleans())
    def fail(self, step: str, lag: int, retryable: bool) -> None:
        self._do(cmd.Fail(step, self.attempt(step, lag), "E", "m", retryable, 0.5))

    @rule(step=STEP, lag=LAG)
    def release(self, step: str, lag: int) -> None:
        self._do(cmd.Release(step, self.attempt(step, lag), "stopping"))

    @rule(step=STEP, lag=LAG)
    def park(self, step: str, lag: int) -> None:
        self._do(cmd.Park(step, self.attempt(step, lag), 1, "sha256:x", 0, f"apr_{step}"))

    @rule(step=STEP, lag=LAG)
    def record(self, step: str, lag: int) -> None:
        self._do(cmd.Record(step, self.attempt(step, lag), 1, "sha256:x", {"exit": 0}))

    @rule(step=STEP, lag=LAG)
    def clear(self, step: str, lag: int) -> None:
        self._do(cmd.Clear(step, self.attempt(step, lag), 1, "sha256:x", 0, "apr"))

    @rule(step=STEP, lag=LAG)
    def deny(self, step: str, lag: int) -> None:
        self._do(cmd.Deny(step, self.attempt(step, lag), "no"))

    @rule(data=st.data())
    def fire(self, data: st.DataObject) -> None:
        ours = sorted(timer for timer in self._timer_keys() if timer[0] != "gate")
        if not ours:
            return
        kind, step, attempt = data.draw(st.sampled_from(ours))
        match kind:
            case "lease":
                self._do(cmd.LeaseExpired(step, attempt))
            case "deadline":
                self._do(cmd.DeadlinePassed(step, attempt, 0.5))
            case _:
                self._do(cmd.Wake(step, attempt))
        assert Timer(kind, step, attempt) not in self.timers, "a timer that fired is gone"

    def _timer_keys(self) -> set[tuple[str, str, int]]:
        return {(timer.kind, timer.step_id, timer.attempt) for timer in self.timers}

    @rule(step=STEP, outcome=st.sampled_from(["auto", "human", "deny"]))
    def answer(self, step: str, outcome: str) -> None:
        gate = self.run.steps[step].gate
        if gate is not None and outcome == "auto":
            self.approved.add(step)
        self._do(cmd.GateAnswered(step, gate.attempt if gate else 0, outcome, f"apr_{step}"))

    @rule(step=STEP, state=st.sampled_from(["approved", "rejected", "expired"]))
    def decision(self, step: str, state: str) -> None:
        gate = self.run.steps[step].gate
        waiting = self.run.steps[step].status is StepStatus.WAITING_APPROVAL
        if waiting and state == "approved":
            self.approved.add(step)
        self._do(cmd.Decided(step, gate.approval_id if gate else "apr_none", state, "bob"))

    @rule()
    def stray_decision(self) -> None:
        before = list(self.events)
        self._do(cmd.Decided(STEPS[0], "apr_of_somebody_else", "approved", "bob"))
        assert self.events == before

    @rule(chance=st.integers(0, 30))
    def cancel(self, chance: int) -> None:
        if chance == 0:
            self._do(cmd.Cancel("alice", ""))

    @invariant()
    def counters_and_indexes_follow_the_steps(self) -> None:
        statuses = [step.status for step in self.run.steps.values()]
        core = self.run.core
        assert core.open == sum(status not in FINAL for status in statuses)
        assert core.active == sum(status in ACTIVE for status in statuses)
        assert core.waiting == sum(status is StepStatus.WAITING_APPROVAL for status in statuses)
        assert (core.status is RunStatus.TERMINATED) == (core.open == 0)
        ready = {
            name for name, step in self.run.steps.items() if step.status is StepStatus.READY and step.error is None
        }
        assert self.queue == ready
        proposed = {name for name, step in self.run.steps.items() if step.status is StepStatus.PROPOSED}
        assert self.outbox == proposed
        leases = {(name, step.attempt) for name, step in self.run.steps.items() if step.status is StepStatus.LEASED}
        assert {(step, attempt) for kind, step, attempt in self._timer_keys() if kind == "lease"} == leases

    @invariant()
    def dependencies_come_first_and_nothing_completes_twice(self) -> None:
        assert len(self.completed) == len(set(self.completed))
        for name, step in self.run.steps.items():
            if step.attempt:
                parents = self.run.index.specs[name].depends_on
                assert all(self.run.steps[parent].status is StepStatus.SUCCEEDED for parent in parents)

    @invariant()
    def the_history_is_the_state(self) -> None:
        stored = [codec.load_event(event.sequence, codec.dump_event(event)) for event in self.events]
        header = codec.load_header(codec.dump_header(self.run.header))
        folded = fold(header, stored)
        assert folded.core == codec.load_core(codec.dump_core(self.run.core)) == self.run.core
        loaded = {name: codec.load_step(codec.dump_step(step)) for name, step in self.run.steps.items()}
        assert folded.steps == loaded == self.run.steps


Machine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMachine = Machine.TestCase
