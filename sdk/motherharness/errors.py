"""What can go wrong: one root exception, and the two a step's handler raises to say whether trying again can
help."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"


@dataclass(frozen=True)
class Violation:
    """A field of the request that breaks a rule, or a precondition that does not hold."""

    field: str
    description: str


class HarnessError(Exception):
    """Root of everything this package raises on purpose.

    Attributes:
        code: canonical gRPC status code.
        reason: stable UPPER_SNAKE reason from google.rpc.ErrorInfo; empty if the server gave none.
        message: what happened and what to do, for people.
        metadata: facts from google.rpc.ErrorInfo, e.g. {"run_id": "run_..."}.
        violations: bad fields (INVALID_ARGUMENT) or unmet preconditions (FAILED_PRECONDITION).
        retry_after: seconds after which trying again may help; None if the server did not say.
        request_id: names the call in the server's log; empty if the call never got there.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id

    def __str__(self) -> str:
        label = f"{self.code.name}/{self.reason}" if self.reason else self.code.name
        # A precondition often only repeats the message.
        told = (violation for violation in self.violations if violation.description != self.message)
        fields = "".join(f"; {violation.field}: {violation.description}" for violation in told)
        return f"{label}: {self.message}{fields}"


class StepFailure(HarnessError):
    """A step's attempt failed; raise TerminalError or RetryableError.

    Args:
        message: why, for people; the server keeps at most 16 KiB of it.
        error_code: stable UPPER_SNAKE code that ends up in the step's error.
    """

    non_retryable: bool
    _code: grpc.StatusCode
    _default_error_code: str

    def __init__(self, message: str, error_code: str = "") -> None:
        super().__init__(message, code=self._code, reason=error_code or self._default_error_code)

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class TerminalError(StepFailure):
    """The attempt failed and trying again cannot help: the step fails at once."""

    non_retryable = True
    _code = grpc.StatusCode.FAILED_PRECONDITION
    _default_error_code = "TERMINAL_ERROR"


class RetryableError(StepFailure):
    """The attempt failed and another may succeed: the step's retry policy says when."""

    non_retryable = False
    _code = grpc.StatusCode.ABORTED
    _default_error_code = "RETRYABLE_ERROR"


def from_rpc(error: grpc.RpcError, request_id: str = "") -> HarnessError:
    """Return the typed form of a failed call, with everything its google.rpc.Status says."""
    code = grpc.StatusCode.UNKNOWN
    message = str(error)
    trailing: Iterable[tuple[str, str | bytes]] = ()
    if isinstance(error, grpc.aio.AioRpcError | grpc.Call):
        code, message = error.code(), error.details() or ""
        trailing = tuple(error.trailing_metadata() or ())
    reason, metadata, violations, retry_after = "", {}, [], None
    for key, value in trailing:
        if key == REQUEST_ID_KEY:
            request_id = value if isinstance(value, str) else value.decode("ascii", "replace")
        if key != STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            kind = detail.TypeName()
            if kind == "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                reason, metadata = info.reason, dict(info.metadata)
            elif kind == "google.rpc.BadRequest":
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                violations += [Violation(entry.field, entry.description) for entry in bad.field_violations]
            elif kind == "google.rpc.PreconditionFailure":
                unmet = error_details_pb2.PreconditionFailure.FromString(detail.value)
                violations += [Violation(entry.subject, entry.description) for entry in unmet.violations]
            elif kind == "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_after = delay.seconds + delay.nanos / 1e9
    return HarnessError(
        message,
        code=code,
        reason=reason,
        metadata=metadata,
        violations=violations,
        retry_after=retry_after,
        request_id=request_id,
    )
