"""The one place where exceptions become gRPC statuses (AIP-193), and statuses of other services exceptions again."""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import RpcError, StatusCode
from grpc.aio import AioRpcError
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.runtime import errors
from services.runtime.errors import DOMAIN, HarnessError
from services.runtime.redaction import redact

DETAILS_KEY = "grpc-status-details-bin"

# A client drops a response whose headers exceed 8 KiB (gRPC's soft limit), and the details travel in base64.
_MAX_STATUS_BYTES = 4096
_MAX_MESSAGE_CHARS = 1024
_MAX_VALUE_CHARS = 256
_MAX_VIOLATIONS = 32

# What Redis answers while it cannot take writes for now; in a script the word is in the middle of the message.
_PASSING_REDIS_ERRORS = (
    "OOM ", "LOADING ", "READONLY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "BUSY ",
)  # fmt: skip

_CLASSES: dict[StatusCode, type[HarnessError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgument,
        errors.OutOfRange,
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.PermissionDenied,
        errors.Unauthenticated,
        errors.Aborted,
        errors.ResourceExhausted,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Unimplemented,
        errors.Internal,
        errors.DataLoss,
    )
}
_STORE_AWAY = (
    RedisConnectionError,
    RedisTimeoutError,
    ClusterDownError,
    TryAgainError,
    OutOfMemoryError,
    ReadOnlyError,
)
_PASSING_CODES = frozenset({StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED})


def translate(exc: BaseException) -> HarnessError:
    """What the caller is told about an exception that left a servicer; unexpected ones are INTERNAL, without detail."""
    if isinstance(exc, HarnessError):
        return exc
    if isinstance(exc, (AuthenticationError, AuthorizationError)):
        return errors.Unavailable("STORE_REFUSED", "the service is refused by its own store; its operator must act")
    if isinstance(exc, _STORE_AWAY):
        return errors.Unavailable("STORE_UNAVAILABLE", "the service's store does not answer; try again")
    if isinstance(exc, ResponseError) and any(word in f"{exc} " for word in _PASSING_REDIS_ERRORS):
        return errors.Unavailable("STORE_UNAVAILABLE", "the service's store takes no changes for now; try again")
    if isinstance(exc, RedisError):
        return errors.Internal("STORE_FAILED", "the service could not use its store")
    if isinstance(exc, AioRpcError) and exc.code() in _PASSING_CODES:
        return errors.Unavailable("DEPENDENCY_UNAVAILABLE", "a service that this one needs does not answer; try again")
    if isinstance(exc, TimeoutError):
        return errors.DeadlineExceeded("TIMEOUT", "the work did not finish in time; try again")
    return errors.Internal("INTERNAL", "unexpected failure")


def to_status(error: HarnessError, request_id: str = "") -> status_pb2.Status:
    """The error as a `google.rpc.Status` with its details, small enough for response headers."""
    message = redact(error.message)
    if isinstance(error, errors.Internal) and request_id:
        message = f"{message}; report request id {request_id}, the service's log has the cause"
    message = _clip(message, _MAX_MESSAGE_CHARS)
    metadata = {key: _clip(redact(value), _MAX_VALUE_CHARS) for key, value in error.metadata.items()}
    if request_id:
        metadata["request_id"] = request_id
    details: list[AnyMessage] = [
        _pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    ]
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    if isinstance(error, errors.FailedPrecondition):
        details.append(_pack(_precondition(error, message)))
    status = status_pb2.Status(code=error.code.value[0], message=message, details=details)
    if error.violations:
        _add_violations(status, error)
    return status


def _add_violations(status: status_pb2.Status, error: HarnessError) -> None:
    request = error_details_pb2.BadRequest()
    room = _MAX_STATUS_BYTES - status.ByteSize()
    for field, what in error.violations[:_MAX_VIOLATIONS]:
        # The path of a field holds the keys of maps, which are the caller's.
        request.field_violations.add(
            field=_clip(redact(field), _MAX_VALUE_CHARS), description=_clip(redact(what), _MAX_VALUE_CHARS)
        )
        if request.ByteSize() > room and len(request.field_violations) > 1:
            del request.field_violations[-1]
            break
    status.details.append(_pack(request))


def _precondition(error: HarnessError, message: str) -> error_details_pb2.PreconditionFailure:
    failure = error_details_pb2.PreconditionFailure()
    stated = error.precondition
    if stated is not None:
        failure.violations.add(
            type=stated.type,
            subject=_clip(redact(stated.subject), _MAX_VALUE_CHARS),
            description=_clip(redact(stated.description), _MAX_VALUE_CHARS),
        )
    else:
        subject = redact(next(iter(error.metadata.values()), DOMAIN))
        failure.violations.add(type=error.reason, subject=_clip(subject, _MAX_VALUE_CHARS), description=message)
    return failure


def from_rpc(exc: RpcError) -> HarnessError:
    """What another service answered, as an error of ours: same code, reason, facts, violations and retry delay.

    An answer without ErrorInfo (a proxy's, gRPC's own) has the reason RPC_<CODE>.
    """
    if not isinstance(exc, AioRpcError):
        return errors.Internal("RPC_FAILED", "a call to another service failed")
    code = exc.code()
    kind = _CLASSES.get(code, errors.Internal)
    reason, metadata, violations, retry_after = f"RPC_{code.name}", {}, [], None
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in _details(exc):
        if _unpack(detail, info):
            reason, metadata = info.reason, dict(info.metadata)
        elif _unpack(detail, request):
            violations = [(violation.field, violation.description) for violation in request.field_violations]
        elif _unpack(detail, retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    error = kind(reason, exc.details() or code.name, violations=violations, retry_after=retry_after)
    error.metadata.update(metadata)
    return error


def _unpack(detail: AnyMessage, into: Any) -> bool:
    """Unpack a detail if it is of that type."""
    return detail.type_url.rpartition("/")[2] == into.DESCRIPTOR.full_name and detail.Unpack(into)


def _details(exc: AioRpcError) -> list[AnyMessage]:
    for key, value in exc.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def _pack(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
