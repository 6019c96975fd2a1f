"""The error taxonomy: what a service raises, and what a caller can rely on.

Every failure that a caller may see is a `HarnessError`: a canonical gRPC status, a stable UPPER_SNAKE reason, a message
that says what to do, and facts as metadata. `services.runtime.status` renders it (AIP-193); servicers only raise.

    raise NotFound("RUN_NOT_FOUND", f"run {run_id} does not exist; list runs with ListRuns", run_id=run_id)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import grpc

DOMAIN = "harness.dev"


@dataclass(frozen=True)
class Precondition:
    """What has to change before the call can succeed; becomes a `PreconditionFailure.Violation`."""

    type: str
    subject: str
    description: str


class HarnessError(Exception):
    """A failure with a meaning for the caller.

    Args:
        reason: stable UPPER_SNAKE identifier of the cause; never changes once released.
        message: for a person; says what is wrong and what to do. Reaches the caller: no secrets, no internals.
        violations: `(field path, what is wrong)` pairs of the request.
        retry_after: seconds after which repeating the call may help; None where it does not.
        precondition: what has to change first; FAILED_PRECONDITION always carries one, by default built from the
            reason, the metadata and the message.
        metadata: facts for programs; values are rendered with `str`.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_retry_after: ClassVar[float | None] = None

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: Sequence[tuple[str, str]] = (),
        retry_after: float | None = None,
        precondition: Precondition | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        self.precondition = precondition
        self.metadata = {key: str(value) for key, value in metadata.items()}

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class InvalidArgument(HarnessError):
    """The request is wrong whatever the state; name the fields in `violations`."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class OutOfRange(HarnessError):
    """A position beyond the end, e.g. a history that retention has removed."""

    code = grpc.StatusCode.OUT_OF_RANGE


class NotFound(HarnessError):
    """The resource does not exist, or the caller may not know that it does."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(HarnessError):
    """The resource to be created exists, with other content."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(HarnessError):
    """The state forbids it; repeating the call without changing the state does not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class PermissionDenied(HarnessError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(HarnessError):
    """The caller is not known: no token, or one that is not valid."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Aborted(HarnessError):
    """A concurrent change won; read again and repeat."""

    code = grpc.StatusCode.ABORTED
    default_retry_after = 0.1


class ResourceExhausted(HarnessError):
    """A limit is reached."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_retry_after = 1.0


class Unavailable(HarnessError):
    """Something that the service depends on does not answer; the same call may succeed later."""

    code = grpc.StatusCode.UNAVAILABLE
    default_retry_after = 1.0


class DeadlineExceeded(HarnessError):
    """The work did not finish in the time given."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(HarnessError):
    """The method does not exist here."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(HarnessError):
    """A defect. The log has the cause under the request id; the caller gets the id only."""

    code = grpc.StatusCode.INTERNAL


class DataLoss(HarnessError):
    """Stored data is damaged beyond recovery."""

    code = grpc.StatusCode.DATA_LOSS


class ConfigurationError(Exception):
    """The process cannot start with the settings it was given; the message names the setting and the remedy."""
