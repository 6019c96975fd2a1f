"""A failed call tells everything that the server said."""

import asyncio

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from motherharness.errors import HarnessError, RetryableError, TerminalError, Violation, from_rpc
from motherharness.structs import from_struct, to_struct
from motherharness.transport import backoff


def packed(message: Message) -> Any:
    """Return a detail of a status."""
    detail = Any()
    detail.Pack(message)
    return detail


def test_details_are_typed() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="plan.steps", description="has a cycle")
    details = [
        packed(error_details_pb2.ErrorInfo(reason="PLAN_INVALID", domain="harness.dev", metadata={"step": "a"})),
        packed(error_details_pb2.BadRequest(field_violations=[violation])),
        packed(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))),
    ]
    status = status_pb2.Status(code=3, message="no", details=details)
    trailing = grpc.aio.Metadata(
        ("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "from-server")
    )
    code = grpc.StatusCode.INVALID_ARGUMENT
    error = from_rpc(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details="no"), "from-client")
    assert (error.code, error.reason, error.message) == (code, "PLAN_INVALID", "no")
    assert error.metadata == {"step": "a"}
    assert error.violations == (Violation("plan.steps", "has a cycle"),)
    assert error.retry_after == 1.5
    assert error.request_id == "from-server"
    assert "plan.steps: has a cycle" in str(error)


def test_a_step_says_whether_another_try_can_help() -> None:
    assert TerminalError("x").non_retryable
    assert not RetryableError("x", "BUSY").non_retryable
    assert RetryableError("x", "BUSY").reason == "BUSY"
    assert isinstance(TerminalError("x"), HarnessError)


def test_backoff_grows_and_is_bounded() -> None:
    for failures in range(1, 2000):
        ceiling = min(2.0, 0.1 * 2.0 ** min(failures - 1, 10))
        assert ceiling / 2 <= backoff(failures) <= ceiling


def test_whole_numbers_survive_a_struct() -> None:
    value = {"a": 1, "b": [2, 2.5, {"c": -3}], "d": True, "e": None, "f": "1.0", "g": 1e300}
    assert from_struct(to_struct(value, 1000, "it")) == value
    assert type(from_struct(to_struct(value, 1000, "it"))["a"]) is int


def test_results_that_are_no_json_are_refused() -> None:
    for bad in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(TerminalError) as caught:
            to_struct(bad, 1000, "it")
        assert caught.value.reason == "INVALID_RESULT"
    with pytest.raises(TerminalError) as caught:
        to_struct({"a": "x" * 1000}, 1000, "it")
    assert caught.value.reason == "RESULT_TOO_LARGE"


async def test_handlers_must_be_coroutine_functions() -> None:
    from motherharness import Connection, StepContext, Worker

    worker = Worker(Connection())
    with pytest.raises(TypeError, match="async def"):
        worker.agent("plain")(lambda context: asyncio.sleep(0))

    @worker.agent("good")
    async def handle(context: StepContext) -> dict[str, str]:
        return {}

    with pytest.raises(ValueError, match="already"):
        worker.agent("good")(handle)
