"""What can be asked of a run. Each command names the step and, where a lease is needed, its fencing token."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.orchestrator.engine.model import Header, Json, Spec, Step


@dataclass(frozen=True, slots=True)
class Lease:
    """Give a ready step to a worker for ``lease_ms`` unless extended."""

    step_id: str
    worker: str
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Succeed:
    """The attempt succeeded with ``result`` (a JSON object; empty ones are not assessed)."""

    step_id: str
    attempt: int
    result: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed. ``jitter`` in [0, 1) spreads the retries."""

    step_id: str
    attempt: int
    code: str
    message: str
    retryable: bool
    jitter: float


@dataclass(frozen=True, slots=True)
class Release:
    """The worker gives the lease back unworked."""

    step_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """Nobody extended the lease in time."""

    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The attempt took longer than the step's timeout."""

    step_id: str
    attempt: int
    jitter: float


@dataclass(frozen=True, slots=True)
class Wake:
    """The backoff after ``attempt`` is over."""

    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GateAnswered:
    """The approval service answered for a step's start or result. ``outcome``: auto, human or deny."""

    step_id: str
    attempt: int
    outcome: str
    approval_id: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """An approval was decided. ``state``: approved, rejected, expired or withdrawn.

    ``code`` is the name of the contract's RejectCode in lower case, without its prefix; empty where none was given.
    """

    step_id: str
    approval_id: str
    state: str
    by: str
    reason: str = ""
    code: str = ""
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Clear:
    """The policy, or an approval given earlier, lets the actions of a leased step run.

    ``edited`` is the digest of what somebody put in their place before approving; empty where nobody did.
    """

    step_id: str
    attempt: int
    ordinal: int
    digest: str
    generation: int
    approval_id: str
    edited: str = ""


@dataclass(frozen=True, slots=True)
class Park:
    """The actions of a leased step need a human; the lease ends."""

    step_id: str
    attempt: int
    ordinal: int
    digest: str
    generation: int
    approval_id: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The policy refuses the actions of a leased step."""

    step_id: str
    attempt: int
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a performed proposal brought back."""

    step_id: str
    attempt: int
    ordinal: int
    digest: str
    result: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the run."""

    by: str
    reason: str


Command = (
    Lease
    | Succeed
    | Fail
    | Release
    | LeaseExpired
    | DeadlinePassed
    | Wake
    | GateAnswered
    | Decided
    | Clear
    | Park
    | Deny
    | Record
    | Cancel
)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a worker needs to carry out the step it leased."""

    header: Header
    spec: Spec
    step: Step
    dependencies: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command.

    ``code``: empty when it was done (or had been done by an identical command), else LEASE_LOST, NOT_READY,
    NOT_WAITING or RUN_TERMINATED, and nothing was changed.
    """

    code: str = ""
    granted: Granted | None = None

    @property
    def ok(self) -> bool:
        """Whether the command took effect."""
        return not self.code
