"""Failures as HTTP: the canonical code's status, and `google.rpc.Status` as JSON with its details."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.gateway import jsonwrite
from services.runtime import errors
from services.runtime.errors import HarnessError
from services.runtime.status import DETAILS_KEY, from_rpc, to_status

# The client has gone; nginx's number for it. No one reads it but the log.
CLIENT_CLOSED = 499
# google/rpc/code.proto says which; grpc-gateway answers with the same.
_STATUSES: dict[int, int] = {
    code_pb2.OK: 200,
    code_pb2.CANCELLED: CLIENT_CLOSED,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.UNAVAILABLE: 503,
}


def http_status(code: int) -> int:
    """The HTTP status of a canonical code; 500 for UNKNOWN, INTERNAL, DATA_LOSS and what is no code."""
    return _STATUSES.get(code, 500)


class TooLarge(errors.InvalidArgument):
    """A request that exceeds a limit of the gateway: 413."""

    http_status: ClassVar[int] = 413


class TooSlow(errors.DeadlineExceeded):
    """A client that does not finish its request: 408."""

    http_status: ClassVar[int] = 408


@dataclass(frozen=True)
class Failure:
    """An error as the client gets it."""

    http: int
    status: status_pb2.Status
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def code(self) -> str:
        return code_pb2.Code.Name(code_pb2.Code.ValueType(self.status.code))

    def body(self) -> bytes:
        return jsonwrite.dump(jsonwrite.jsonable(self.status))


def failure(error: HarnessError, request_id: str) -> Failure:
    """An error of the gateway's own."""
    status = to_status(error, request_id)
    return _failure(status, getattr(error, "http_status", http_status(status.code)))


def upstream_failure(exc: grpc.aio.AioRpcError, service: str, request_id: str) -> Failure:
    """What a service answered, as it is; what gRPC itself says (nobody answers, time is up) in our words."""
    for key, value in exc.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            return _failure(status, http_status(status.code))
    if exc.code() is grpc.StatusCode.UNAVAILABLE:
        return failure(
            errors.Unavailable("SERVICE_UNAVAILABLE", f"the {service} service does not answer; try again"), request_id
        )
    if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return failure(errors.DeadlineExceeded("TIMEOUT", "the service did not answer in time; try again"), request_id)
    return failure(from_rpc(exc), request_id)


def _failure(status: status_pb2.Status, http: int) -> Failure:
    headers = []
    if status.code == code_pb2.UNAUTHENTICATED:
        # As grpc-gateway has it: the message, not a challenge by RFC 9110.
        headers.append(("www-authenticate", status.message))
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.TypeName() == retry.DESCRIPTOR.full_name and detail.Unpack(retry):
            headers.append(("retry-after", str(math.ceil(retry.retry_delay.ToNanoseconds() / 1e9))))
    return Failure(http, status, headers)
