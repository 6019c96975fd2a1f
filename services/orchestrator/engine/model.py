"""The data the engine works on. All times are Unix milliseconds of the Redis server's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any

MAX_LEASE_LOSSES = 20
"""Leases a step may lose (crashed workers) before it fails: a step that kills its workers must end."""


MAX_FEEDBACK = 10
"""Rejections that a step keeps for its agent; a retry policy allows fewer attempts than that in earnest."""


class RunStatus(StrEnum):
    """What a run is doing."""

    CREATED = "created"
    EXECUTING = "executing"
    WAITING_APPROVAL = "waiting_approval"
    TERMINATED = "terminated"


class StepStatus(StrEnum):
    """Where a step is in its life."""

    PENDING = "pending"
    READY = "ready"
    LEASED = "leased"
    PROPOSED = "proposed"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


FINAL = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED})
"""The statuses a step never leaves."""


class GateKind(StrEnum):
    """What an approval that a step waits for is about."""

    START = "start"
    ACTIONS = "actions"
    RESULT = "result"


class Reason(StrEnum):
    """Why a run ended; the values are those of the platform's model."""

    COMPLETED = "completed"
    USER_CANCELLED = "user_cancelled"
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_TIMEOUT = "approval_timeout"
    TIMEOUT = "timeout"
    MAX_RETRIES = "max_retries"
    AGENT_ERROR = "agent_error"
    VALIDATION_ERROR = "validation_error"


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is tried again: after ``initial_ms * multiplier**(n - 1)``, at most ``max_ms``."""

    max_attempts: int = 3
    initial_ms: int = 1_000
    max_ms: int = 60_000
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True)
class Spec:
    """A step as planned. ``gated``: it waits for a human before its first lease."""

    id: str
    agent: str
    description: str = ""
    inputs: Json = None
    depends_on: tuple[str, ...] = ()
    require_approval: bool = False
    approval_type: str = ""
    gated: bool = False
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = 600_000
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What never changes in a run."""

    run_id: str
    task_id: str
    project_id: str
    owner: str
    environment: str
    query: str
    specs: tuple[Spec, ...]
    initiators: tuple[str, ...] = ()
    """Who started the run, if not its owner."""

    def index(self) -> Index:
        """Return the look-up tables of the plan, built once per load."""
        by_id = {spec.id: spec for spec in self.specs}
        children: dict[str, list[str]] = {spec.id: [] for spec in self.specs}
        for spec in self.specs:
            for parent in spec.depends_on:
                children[parent].append(spec.id)
        return Index(by_id, children)


@dataclass(frozen=True, slots=True)
class Index:
    """Specs and dependents by step id."""

    specs: dict[str, Spec]
    children: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Gate:
    """An approval a step needs. ``approval_id`` is empty until the approval service has answered."""

    kind: GateKind
    attempt: int
    approval_id: str = ""
    ordinal: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A step's state."""

    status: StepStatus = StepStatus.PENDING
    unmet: int = 0
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    worker: str = ""
    gate: Gate | None = None
    approval_id: str = ""
    generations: dict[int, int] = field(default_factory=dict)
    """By ordinal, how many of the proposal's grants were spent without a recorded result."""
    result: Json = None
    error: Json = None
    records: dict[int, Json] = field(default_factory=dict)
    feedback: tuple[Json, ...] = ()
    """Rejections that the agent can do something about, oldest first, at most MAX_FEEDBACK."""
    reported: int = 0
    """The attempt whose outcome was recorded last."""


@dataclass(frozen=True, slots=True)
class Core:
    """What changes in a run besides its steps."""

    status: RunStatus = RunStatus.CREATED
    sequence: int = 0
    open: int = 0
    """Steps that have not ended."""
    active: int = 0
    """Steps that are ready, leased or proposed."""
    waiting: int = 0
    """Steps that wait for a human."""
    created_ms: int = 0
    ended_ms: int = 0
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class Run:
    """A run as loaded: its header, its state, and the version the store has."""

    header: Header
    index: Index
    core: Core
    steps: dict[str, Step]
    version: int = 0

    @classmethod
    def new(cls, header: Header) -> Run:
        """Return the state before the first event."""
        return cls(header, header.index(), Core(), {spec.id: Step() for spec in header.specs})


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. ``type`` is the lower-case name of the contract's EventType."""

    sequence: int
    type: str
    time_ms: int
    step_id: str = ""
    attempt: int = 0
    data: dict[str, Json] = field(default_factory=dict)


__all__ = [
    "FINAL",
    "MAX_FEEDBACK",
    "MAX_LEASE_LOSSES",
    "Core",
    "Event",
    "Gate",
    "GateKind",
    "Header",
    "Index",
    "Json",
    "Reason",
    "Retry",
    "Run",
    "RunStatus",
    "Spec",
    "Step",
    "StepStatus",
]
