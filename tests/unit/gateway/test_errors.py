"""Failures as HTTP."""

from __future__ import annotations

import grpc
import orjson
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from services.gateway.errors import TooLarge, TooSlow, failure, http_status, upstream_failure
from services.runtime import errors
from services.runtime.status import DETAILS_KEY, to_status


@pytest.mark.parametrize(
    ("code", "status"),
    list(enumerate([200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500])),
)
def test_every_code_has_the_status_that_grpc_gateway_gives_it(code: int, status: int) -> None:
    assert http_status(code) == status


def test_an_error_of_the_gateway() -> None:
    made = failure(errors.InvalidArgument("BODY_INVALID", "no", violations=[("a.b", "wrong")]), "r1")
    assert (made.http, made.code, made.headers) == (400, "INVALID_ARGUMENT", [])
    assert orjson.loads(made.body()) == {
        "code": 3,
        "message": "no",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "BODY_INVALID",
                "domain": "harness.dev",
                "metadata": {"request_id": "r1"},
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "a.b", "description": "wrong", "reason": "", "localizedMessage": None}],
            },
        ],
    }
    assert failure(TooLarge("BODY_TOO_LARGE", "big"), "").http == 413
    assert failure(TooSlow("BODY_TOO_SLOW", "slow"), "").http == 408


def test_when_to_come_back_and_how_to_log_in() -> None:
    assert failure(errors.Unavailable("AWAY", "later", retry_after=1.2), "").headers == [("retry-after", "2")]
    assert failure(errors.Unauthenticated("TOKEN_MISSING", "send a töken\n"), "").headers == [
        ("www-authenticate", "send a töken\n")
    ]


def rpc_error(code: grpc.StatusCode, text: str, details: bytes | None = None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*([(DETAILS_KEY, details)] if details is not None else []))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text)


def test_what_a_service_says_is_passed_on_as_it_is() -> None:
    said = to_status(errors.FailedPrecondition("SEALED", "sealed", run="r1"), "r2")
    said.details.append(AnyMessage(type_url="type.googleapis.com/of.another.World", value=b"abc"))
    made = upstream_failure(
        rpc_error(grpc.StatusCode.FAILED_PRECONDITION, "sealed", said.SerializeToString()), "s", "r2"
    )
    assert (made.http, made.status) == (400, said)
    assert orjson.loads(made.body())["details"][-1] == {
        "@type": "type.googleapis.com/of.another.World",
        "value": "YWJj",
    }


@pytest.mark.parametrize(
    ("code", "http", "reason", "message"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, "SERVICE_UNAVAILABLE", "the shelf service does not answer; try again"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "TIMEOUT", "the service did not answer in time; try again"),
        (grpc.StatusCode.NOT_FOUND, 404, "RPC_NOT_FOUND", "ipv4:10.0.0.1 said so"),
    ],
)
def test_what_grpc_itself_says_is_in_our_words(code: grpc.StatusCode, http: int, reason: str, message: str) -> None:
    for details in (None, b"\xff\xff"):
        made = upstream_failure(rpc_error(code, "ipv4:10.0.0.1 said so", details), "shelf", "r1")
        assert (made.http, made.status.message) == (http, message)
        assert orjson.loads(made.body())["details"][0]["reason"] == reason
