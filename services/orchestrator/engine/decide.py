"""From a run's state and a command to events and their effects. The only place that knows the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.orchestrator.engine import commands as cmd
from services.orchestrator.engine.evolve import Draft
from services.orchestrator.engine.model import (
    MAX_LEASE_LOSSES,
    GateKind,
    Header,
    Json,
    Reason,
    Run,
    RunStatus,
    Spec,
    Step,
    StepStatus,
)

PRIORITY_SPAN = 10**13
"""Between the queue scores of two priorities; more than any Unix time in milliseconds until the year 2286."""

GATE_CHECK_MS = 2_000
"""How soon after parking a step its approval is looked at, in case the decision overtook the parking."""

FEEDBACK_CODES = frozenset({"needs_changes", "needs_information"})
"""Rejections that ask the agent for something else: its step is tried again, and is told why."""

LEASE_LOST = cmd.Reply("LEASE_LOST")
_DONE = cmd.Reply()


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do for a step at a time. ``kind``: lease, deadline, wake or gate."""

    kind: str
    step_id: str
    attempt: int


@dataclass(slots=True)
class Effects:
    """What a commit changes beside the run itself."""

    queue_add: list[tuple[str, str, int]] = field(default_factory=list)
    """Agent, step, score; the lowest score is leased first."""
    queue_remove: list[tuple[str, str]] = field(default_factory=list)
    timers_set: dict[Timer, int] = field(default_factory=dict)
    timers_clear: set[Timer] = field(default_factory=set)
    outbox_add: list[str] = field(default_factory=list)
    outbox_remove: list[str] = field(default_factory=list)
    withdraw: bool = False
    """Pending approvals of the run are to be withdrawn."""


@dataclass(slots=True)
class Decision:
    """Changes to commit together, and the answers to give once they are committed."""

    draft: Draft
    effects: Effects
    replies: list[cmd.Reply]

    @property
    def changes_anything(self) -> bool:
        """Whether there is something to commit."""
        return bool(self.draft.events)


def start(header: Header, now_ms: int) -> Decision:
    """Create a run and make its first steps ready. The run's version in the store will be 1."""
    turn = _Turn(Run.new(header), now_ms)
    turn.emit("run_created", task_id=header.task_id, steps=len(header.specs))
    turn.emit("run_started")
    for spec in header.specs:
        if not spec.depends_on:
            turn.make_ready(spec)
    turn.settle()
    return Decision(turn.draft, turn.effects, [])


def decide(run: Run, batch: Sequence[cmd.Command], now_ms: int) -> Decision:
    """Apply commands to a run, in order. A refused command changes nothing and does not stop the next."""
    turn = _Turn(run, now_ms)
    replies = []
    for command in batch:
        replies.append(turn.handle(command))
        turn.settle()
    return Decision(turn.draft, turn.effects, replies)


def backoff_ms(spec: Spec, failures: int, jitter: float) -> int:
    """Return the wait after the nth failure: exponential, capped, the upper half of it random."""
    retry = spec.retry
    exponent = min(failures - 1, 64)
    wait = min(float(retry.max_ms), retry.initial_ms * max(1.0, retry.multiplier) ** exponent)
    return int(wait * (0.5 + 0.5 * jitter))


class _Turn:
    """One pass of commands over one run."""

    def __init__(self, run: Run, now_ms: int) -> None:
        self.run = run
        self.now = now_ms
        self.draft = Draft(run)
        self.effects = Effects()

    def emit(self, kind: str, step_id: str = "", attempt: int = 0, **data: Json) -> None:
        self.draft.emit(kind, self.now, step_id, attempt, **data)

    def handle(self, command: cmd.Command) -> cmd.Reply:
        if isinstance(command, cmd.Cancel):
            return self.cancel(command)
        if command.step_id not in self.run.index.specs:
            return LEASE_LOST
        spec, step = self.run.index.specs[command.step_id], self.draft.step(command.step_id)
        match command:
            case cmd.Lease():
                return self.lease(command, spec, step)
            case cmd.GateAnswered():
                return self.gate_answered(command, spec, step)
            case cmd.Decided():
                return self.decided(command, spec, step)
            case cmd.Wake():
                return self.wake(command, spec, step)
            case cmd.Succeed() | cmd.Fail() if (
                step.reported == command.attempt and step.status is not StepStatus.LEASED
            ):
                return _DONE  # the same report again: answered as the first time
            case _ if step.status is not StepStatus.LEASED or step.attempt != command.attempt:
                return LEASE_LOST
            case cmd.Succeed():
                return self.succeed(command, spec)
            case cmd.Fail():
                self.end_lease(spec, command.attempt)
                retryable, jitter = command.retryable, command.jitter
                self.fail(spec, command.attempt, command.code, command.message, retryable, jitter)
            case cmd.DeadlinePassed():
                self.end_lease(spec, command.attempt)
                message = f"the attempt took longer than {spec.timeout_ms / 1000:g} s"
                self.fail(spec, command.attempt, "STEP_TIMEOUT", message, True, command.jitter)
            case cmd.Release():
                self.end_lease(spec, command.attempt)
                self.enqueue(spec, released=command.reason)
            case cmd.LeaseExpired():
                self.lease_expired(command, spec, step)
            case cmd.Clear():
                self.emit(
                    "action_cleared",
                    spec.id,
                    command.attempt,
                    ordinal=command.ordinal,
                    digest=command.digest,
                    generation=command.generation,
                    approval_id=command.approval_id,
                    **({"edited": command.edited} if command.edited else {}),
                )
            case cmd.Park():
                self.park(command, spec)
            case cmd.Deny():
                self.end_lease(spec, command.attempt)
                self.fail(spec, command.attempt, "POLICY_DENIED", command.message, False, 0.0)
            case cmd.Record():
                self.record(command, step)
        return _DONE

    # -- leases ------------------------------------------------------------------------------------

    def lease(self, command: cmd.Lease, spec: Spec, step: Step) -> cmd.Reply:
        if step.status is not StepStatus.READY or self.backing_off(step):
            return cmd.Reply("NOT_READY")
        attempt = step.attempt + 1
        self.emit("step_started", spec.id, attempt, worker=command.worker)
        self.effects.queue_remove.append((spec.agent, spec.id))
        self.effects.timers_set[Timer("lease", spec.id, attempt)] = self.now + command.lease_ms
        self.effects.timers_set[Timer("deadline", spec.id, attempt)] = self.now + spec.timeout_ms
        dependencies = {name: self.draft.step(name).result for name in spec.depends_on}
        leased = self.draft.step(spec.id)
        return cmd.Reply(granted=cmd.Granted(self.run.header, spec, leased, dependencies))

    @staticmethod
    def backing_off(step: Step) -> bool:
        # A failed attempt that will be retried leaves its error on the step until Wake makes it ready again.
        return step.error is not None

    def end_lease(self, spec: Spec, attempt: int) -> None:
        self.clear(Timer("lease", spec.id, attempt))
        self.clear(Timer("deadline", spec.id, attempt))

    def clear(self, timer: Timer) -> None:
        self.effects.timers_set.pop(timer, None)
        self.effects.timers_clear.add(timer)

    def lease_expired(self, command: cmd.LeaseExpired, spec: Spec, step: Step) -> None:
        self.end_lease(spec, command.attempt)
        self.emit("step_lease_expired", spec.id, command.attempt, worker=step.worker)
        if step.losses + 1 >= MAX_LEASE_LOSSES:
            message = f"{MAX_LEASE_LOSSES} workers lost the step"
            self.fail(spec, command.attempt, "LEASES_LOST", message, False, 0.0)
        else:
            self.enqueue(spec)

    def wake(self, command: cmd.Wake, spec: Spec, step: Step) -> cmd.Reply:
        waits = step.status is StepStatus.READY and self.backing_off(step)
        if not waits or step.attempt != command.attempt:
            return cmd.Reply("NOT_WAITING")
        self.clear(Timer("wake", spec.id, command.attempt))
        self.enqueue(spec)
        return _DONE

    # -- outcomes ----------------------------------------------------------------------------------

    def succeed(self, command: cmd.Succeed, spec: Spec) -> cmd.Reply:
        self.end_lease(spec, command.attempt)
        if command.result:
            self.emit("step_proposed", spec.id, command.attempt, gate=GateKind.RESULT.value, result=command.result)
            self.effects.outbox_add.append(spec.id)
        else:
            self.complete(spec, command.attempt, result=command.result)
        return _DONE

    def complete(self, spec: Spec, attempt: int, **data: Json) -> None:
        self.emit("step_completed", spec.id, attempt, **data)
        for child in self.run.index.children[spec.id]:
            below = self.draft.step(child)
            if below.status is StepStatus.PENDING and below.unmet == 0:
                self.make_ready(self.run.index.specs[child])

    def fail(self, spec: Spec, attempt: int, code: str, message: str, retryable: bool, jitter: float) -> None:
        failures = self.draft.step(spec.id).failures + 1
        if retryable and failures < spec.retry.max_attempts:
            wait = backoff_ms(spec, failures, jitter)
            self.emit(
                "step_failed",
                spec.id,
                attempt,
                code=code,
                message=message,
                retryable=True,
                will_retry=True,
                backoff_ms=wait,
            )
            self.effects.timers_set[Timer("wake", spec.id, attempt)] = self.now + wait
            return
        self.emit(
            "step_failed",
            spec.id,
            attempt,
            code=code,
            message=message,
            retryable=retryable,
            will_retry=False,
            reason=_reason(code, retryable).value,
        )
        self.skip_dependents(spec)

    def skip_dependents(self, spec: Spec) -> None:
        stack = list(self.run.index.children[spec.id])
        while stack:
            child = stack.pop()
            if self.draft.step(child).status is StepStatus.PENDING:
                self.emit("step_skipped", child, cause=spec.id)
                stack.extend(self.run.index.children[child])

    # -- readiness and gates -----------------------------------------------------------------------

    def make_ready(self, spec: Spec) -> None:
        if spec.gated:
            self.emit("step_proposed", spec.id, 0, gate=GateKind.START.value)
            self.effects.outbox_add.append(spec.id)
        else:
            self.enqueue(spec)

    def enqueue(self, spec: Spec, **data: Json) -> None:
        self.emit("step_ready", spec.id, self.draft.step(spec.id).attempt, **data)
        score = (9 - spec.priority) * PRIORITY_SPAN + self.now
        self.effects.queue_add.append((spec.agent, spec.id, score))

    def gate_answered(self, command: cmd.GateAnswered, spec: Spec, step: Step) -> cmd.Reply:
        gate = step.gate
        if step.status is not StepStatus.PROPOSED or gate is None or gate.attempt != command.attempt:
            return cmd.Reply("NOT_WAITING")
        self.effects.outbox_remove.append(spec.id)
        if command.outcome == "auto":
            self.pass_gate(gate.kind, spec, gate.attempt)
        elif command.outcome == "human":
            self.emit(
                "approval_requested",
                spec.id,
                gate.attempt,
                gate=gate.kind.value,
                approval_id=command.approval_id,
            )
            self.check_gate_later(spec, gate.attempt)
        else:
            self.fail(spec, gate.attempt, "POLICY_DENIED", command.message, False, 0.0)
        return _DONE

    def pass_gate(self, kind: GateKind, spec: Spec, attempt: int) -> None:
        if kind is GateKind.RESULT:
            self.complete(spec, attempt)
        else:
            self.enqueue(spec)

    def check_gate_later(self, spec: Spec, attempt: int) -> None:
        self.effects.timers_set[Timer("gate", spec.id, attempt)] = self.now + GATE_CHECK_MS

    def park(self, command: cmd.Park, spec: Spec) -> None:
        self.end_lease(spec, command.attempt)
        self.emit(
            "approval_requested",
            spec.id,
            command.attempt,
            gate=GateKind.ACTIONS.value,
            approval_id=command.approval_id,
            ordinal=command.ordinal,
            digest=command.digest,
            generation=command.generation,
        )
        self.check_gate_later(spec, command.attempt)

    def decided(self, command: cmd.Decided, spec: Spec, step: Step) -> cmd.Reply:
        gate = step.gate
        if step.status is not StepStatus.WAITING_APPROVAL or gate is None or gate.approval_id != command.approval_id:
            return cmd.Reply("NOT_WAITING")
        self.clear(Timer("gate", spec.id, gate.attempt))
        facts: dict[str, Json] = {"approval_id": command.approval_id, "by": command.by, "reason": command.reason}
        if command.code:
            facts["code"] = command.code
        if command.state == "approved":
            self.emit("approval_approved", spec.id, gate.attempt, **facts)
            self.pass_gate(gate.kind, spec, gate.attempt)
        elif command.state == "expired":
            self.emit("approval_expired", spec.id, gate.attempt, **facts)
            self.fail(spec, gate.attempt, "APPROVAL_EXPIRED", "nobody decided in time", False, 0.0)
        else:
            # Only what is about actions can be proposed otherwise: the start of a step is what the plan says.
            again = command.code in FEEDBACK_CODES and gate.kind is GateKind.ACTIONS
            if again:
                facts["feedback"] = True
            self.emit("approval_rejected", spec.id, gate.attempt, **facts)
            code = f" ({command.code})" if command.code else ""
            message = f"rejected by {command.by}{code}" + (f": {command.reason}" if command.reason else "")
            self.fail(spec, gate.attempt, "APPROVAL_REJECTED", message, again, command.jitter)
        return _DONE

    def record(self, command: cmd.Record, step: Step) -> None:
        if command.ordinal in step.records:
            return  # recorded by an earlier identical call; the first result stands
        self.emit(
            "action_completed",
            command.step_id,
            command.attempt,
            ordinal=command.ordinal,
            digest=command.digest,
            result=command.result,
        )

    # -- the run as a whole ------------------------------------------------------------------------

    def cancel(self, command: cmd.Cancel) -> cmd.Reply:
        core = self.draft.core
        if core.status is RunStatus.TERMINATED:
            return _DONE if core.reason == Reason.USER_CANCELLED else cmd.Reply("RUN_TERMINATED")
        for spec in self.run.header.specs:
            step = self.draft.step(spec.id)
            if step.status is StepStatus.READY:
                self.effects.queue_remove.append((spec.agent, spec.id))
                self.clear(Timer("wake", spec.id, step.attempt))
            elif step.status is StepStatus.LEASED:
                self.end_lease(spec, step.attempt)
            elif step.status is StepStatus.PROPOSED:
                self.effects.outbox_remove.append(spec.id)
            elif step.status is StepStatus.WAITING_APPROVAL and step.gate is not None:
                self.clear(Timer("gate", spec.id, step.gate.attempt))
            elif step.status is not StepStatus.PENDING:
                continue
            self.emit("step_cancelled", spec.id, step.attempt)
        self.terminate(Reason.USER_CANCELLED, command.reason or f"cancelled by {command.by}", by=command.by)
        return _DONE

    def terminate(self, reason: Reason, message: str, **data: Json) -> None:
        self.effects.withdraw = reason is not Reason.COMPLETED
        self.emit("run_terminated", reason=reason.value, message=message, **data)

    def settle(self) -> None:
        """Bring the run's own status in line with its steps'."""
        core = self.draft.core
        if core.status is RunStatus.TERMINATED:
            return
        if core.open == 0:
            self.terminate(Reason(core.reason) if core.reason else Reason.COMPLETED, core.message)
        elif core.waiting and not core.active and core.status is not RunStatus.WAITING_APPROVAL:
            self.emit("run_waiting_approval", steps=core.waiting)
        elif core.active and core.status is RunStatus.WAITING_APPROVAL:
            self.emit("run_resumed")


def _reason(code: str, retryable: bool) -> Reason:
    """Return why a run ends whose step failed for good with this code."""
    known = {
        "APPROVAL_REJECTED": Reason.APPROVAL_REJECTED,
        "POLICY_DENIED": Reason.APPROVAL_REJECTED,
        "APPROVAL_EXPIRED": Reason.APPROVAL_TIMEOUT,
        "STEP_TIMEOUT": Reason.TIMEOUT,
        "INVALID_RESULT": Reason.VALIDATION_ERROR,
        "LEASES_LOST": Reason.MAX_RETRIES,
    }
    return known.get(code, Reason.MAX_RETRIES if retryable else Reason.AGENT_ERROR)
