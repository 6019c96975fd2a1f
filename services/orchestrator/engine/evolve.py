"""What each event does to a run's state. Folding a run's events with this gives exactly the stored state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from services.orchestrator.engine.model import (
    FINAL,
    MAX_FEEDBACK,
    Core,
    Event,
    Gate,
    GateKind,
    Header,
    Json,
    Run,
    RunStatus,
    Step,
    StepStatus,
)

ACTIVE = frozenset({StepStatus.READY, StepStatus.LEASED, StepStatus.PROPOSED})


class Draft:
    """A run plus changes not yet committed. Only what is touched is copied."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.core: Core = run.core
        self.changed: dict[str, Step] = {}
        self.events: list[Event] = []

    def step(self, step_id: str) -> Step:
        """Return a step as it is now."""
        return self.changed.get(step_id) or self.run.steps[step_id]

    def emit(self, kind: str, now_ms: int, step_id: str = "", attempt: int = 0, **data: Json) -> None:
        """Append an event and apply it."""
        event = Event(self.core.sequence + 1, kind, now_ms, step_id, attempt, data)
        self.events.append(event)
        self.apply(event)

    def apply(self, event: Event) -> None:
        """Apply an event that is already history."""
        self.core = replace(self.core, sequence=event.sequence)
        _EVOLVE[event.type](self, event)

    def put(self, step_id: str, step: Step) -> None:
        """Replace a step, and keep the run's counters in line with its status."""
        old, new = self.step(step_id).status, step.status
        self.changed[step_id] = step
        if old is not new:
            self.core = replace(
                self.core,
                open=self.core.open - (new in FINAL) + (old in FINAL),
                active=self.core.active + (new in ACTIVE) - (old in ACTIVE),
                waiting=self.core.waiting + (new is StepStatus.WAITING_APPROVAL) - (old is StepStatus.WAITING_APPROVAL),
            )

    def accept(self, version: int) -> None:
        """Fold the changes into the run, after they were committed as ``version``."""
        self.run.core = self.core
        self.run.steps.update(self.changed)
        self.run.version = version


def fold(header: Header, events: Iterable[Event]) -> Run:
    """Rebuild a run from its history.

    Raises:
        ValueError: if the sequence has a gap or an event type is not known.
    """
    run = Run.new(header)
    draft = Draft(run)
    for event in events:
        if event.sequence != draft.core.sequence + 1:
            raise ValueError(f"event {draft.core.sequence + 1} is missing; found {event.sequence}")
        if event.type not in _EVOLVE:
            raise ValueError(f"event {event.sequence} has the unknown type {event.type!r}")
        draft.apply(event)
    draft.accept(0)
    return run


def _run_created(draft: Draft, event: Event) -> None:
    specs = draft.run.header.specs
    draft.core = replace(draft.core, created_ms=event.time_ms, open=len(specs))
    for spec in specs:
        draft.changed[spec.id] = Step(unmet=len(spec.depends_on))


def _run_status(status: RunStatus) -> Callable[[Draft, Event], None]:
    def apply(draft: Draft, event: Event) -> None:
        draft.core = replace(draft.core, status=status)

    return apply


def _run_terminated(draft: Draft, event: Event) -> None:
    draft.core = replace(
        draft.core,
        status=RunStatus.TERMINATED,
        ended_ms=event.time_ms,
        reason=event.data["reason"],
        message=event.data.get("message", ""),
    )


def _step_ready(draft: Draft, event: Event) -> None:
    step = replace(draft.step(event.step_id), status=StepStatus.READY, gate=None, worker="", error=None)
    draft.put(event.step_id, step)


def _step_started(draft: Draft, event: Event) -> None:
    draft.put(
        event.step_id,
        replace(
            draft.step(event.step_id),
            status=StepStatus.LEASED,
            attempt=event.attempt,
            worker=event.data["worker"],
            error=None,
        ),
    )


def _step_proposed(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    kind = GateKind(event.data["gate"])
    step = replace(step, status=StepStatus.PROPOSED, gate=Gate(kind, event.attempt))
    if kind is GateKind.RESULT:
        step = replace(step, result=event.data["result"], reported=event.attempt)
    draft.put(event.step_id, step)


def _approval_requested(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    data = event.data
    gate = Gate(
        GateKind(data["gate"]),
        event.attempt,
        data["approval_id"],
        data.get("ordinal", 0),
        data.get("digest", ""),
    )
    step = replace(step, status=StepStatus.WAITING_APPROVAL, gate=gate, approval_id=data["approval_id"], worker="")
    if gate.ordinal:
        step = replace(step, generations={**step.generations, gate.ordinal: data["generation"]})
    draft.put(event.step_id, step)


def _approval_rejected(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    feedback = step.feedback
    if event.data.get("feedback") and step.gate is not None:
        told = {name: event.data.get(name, "") for name in ("approval_id", "code", "reason", "by")}
        told |= {"ordinal": step.gate.ordinal, "digest": step.gate.digest}
        feedback = (*feedback, told)[-MAX_FEEDBACK:]
    draft.put(event.step_id, replace(step, gate=None, feedback=feedback))


def _approval_decided(draft: Draft, event: Event) -> None:
    draft.put(event.step_id, replace(draft.step(event.step_id), gate=None))


def _action_cleared(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    generations = {**step.generations, event.data["ordinal"]: event.data["generation"]}
    draft.put(event.step_id, replace(step, approval_id=event.data["approval_id"], generations=generations))


def _action_completed(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    record = {"digest": event.data["digest"], "result": event.data["result"]}
    draft.put(event.step_id, replace(step, records={**step.records, event.data["ordinal"]: record}))


def _step_completed(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    step = replace(step, status=StepStatus.SUCCEEDED, gate=None, error=None, reported=event.attempt)
    if "result" in event.data:
        step = replace(step, result=event.data["result"])
    draft.put(event.step_id, step)
    for child in draft.run.index.children[event.step_id]:
        below = draft.step(child)
        draft.put(child, replace(below, unmet=below.unmet - 1))


def _step_failed(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    data = event.data
    step = replace(
        step,
        failures=step.failures + 1,
        error={"code": data["code"], "message": data["message"], "retryable": data["retryable"]},
        gate=None,
        reported=event.attempt,
        status=StepStatus.READY if data["will_retry"] else StepStatus.FAILED,
    )
    draft.put(event.step_id, step)
    if not data["will_retry"] and not draft.core.reason:
        draft.core = replace(draft.core, reason=data["reason"], message=data["message"])


def _lease_expired(draft: Draft, event: Event) -> None:
    step = draft.step(event.step_id)
    draft.put(event.step_id, replace(step, losses=step.losses + 1))


def _step_ended(status: StepStatus) -> Callable[[Draft, Event], None]:
    def apply(draft: Draft, event: Event) -> None:
        draft.put(event.step_id, replace(draft.step(event.step_id), status=status, gate=None))

    return apply


_EVOLVE: dict[str, Callable[[Draft, Event], None]] = {
    "run_created": _run_created,
    "run_started": _run_status(RunStatus.EXECUTING),
    "run_waiting_approval": _run_status(RunStatus.WAITING_APPROVAL),
    "run_resumed": _run_status(RunStatus.EXECUTING),
    "run_terminated": _run_terminated,
    "step_ready": _step_ready,
    "step_started": _step_started,
    "step_proposed": _step_proposed,
    "step_completed": _step_completed,
    "step_failed": _step_failed,
    "step_skipped": _step_ended(StepStatus.SKIPPED),
    "step_cancelled": _step_ended(StepStatus.CANCELLED),
    "step_lease_expired": _lease_expired,
    "action_cleared": _action_cleared,
    "action_completed": _action_completed,
    "approval_requested": _approval_requested,
    "approval_approved": _approval_decided,
    "approval_rejected": _approval_rejected,
    "approval_expired": _approval_decided,
}

EVENT_TYPES = frozenset(_EVOLVE)
"""Every type an event of a run can have."""
