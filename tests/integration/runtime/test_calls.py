"""What every RPC goes through: identity, access, field rules, errors, request id, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import jwt
import pytest

from services.runtime.server import Server, ServiceRegistration
from tests.integration.runtime.conftest import details_of, echo_settings
from tests.integration.runtime.echo import SERVICE, EchoServicer, EchoStub, Note, add_echo
from tests.support.tokens import JWT_SECRET, as_

# Header {"alg": "none"}, claims {"sub": "ann", "roles": ["admin"]}, no signature.
UNSIGNED = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbm4iLCJyb2xlcyI6WyJhZG1pbiJdfQ."
USER = as_("ann", "user")
Calls = dict[str, Callable[[EchoStub, Any, Any], Any]]


async def _last(call: Any) -> Any:
    response = None
    async for item in call:
        response = item
    return response


# One way to call each kind of method, so that what holds for one is shown for all.
CALLS: Calls = {
    "Echo": lambda echo, note, metadata: echo.Echo(note, metadata=metadata),
    "Repeat": lambda echo, note, metadata: _last(echo.Repeat(note, metadata=metadata)),
    "Join": lambda echo, note, metadata: echo.Join(iter([note]), metadata=metadata),
    "Chat": lambda echo, note, metadata: _last(echo.Chat(iter([note]), metadata=metadata)),
}
every_kind = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def raw(channel: grpc.aio.Channel, path: str) -> Any:
    """A method that sends bytes as they are."""
    return channel.unary_unary(path)


def reason(error: grpc.aio.AioRpcError) -> str:
    info = details_of(error)["ErrorInfo"]
    assert info.domain == "harness.dev"
    return str(info.reason)


@every_kind
async def test_answers(echo: EchoStub, call: Any) -> None:
    assert (await call(echo, Note(text="hello"), USER)).text == "hello"


@every_kind
async def test_no_token(echo: EchoStub, call: Any) -> None:
    error = await failure(call(echo, Note(), ()))
    assert (error.code(), reason(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")


@every_kind
async def test_wrong_role(echo: EchoStub, call: Any) -> None:
    error = await failure(call(echo, Note(), as_("bob", "approver")))
    assert (error.code(), reason(error)) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")
    assert "user" in details_of(error)["ErrorInfo"].metadata["required_roles"]


@every_kind
async def test_bad_field_is_named(echo: EchoStub, call: Any) -> None:
    note = Note(text="x" * 101, tags=["ok", ""], child=Note(tags=[""]), labels={"team": ""})
    error = await failure(call(echo, note, USER))
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    fields = {violation.field for violation in details_of(error)["BadRequest"].field_violations}
    assert fields == {"text", "tags[1]", "child.tags[0]", 'labels["team"]'}


async def test_identity_comes_before_the_message(echo: EchoStub) -> None:
    """An unknown caller learns nothing of the rules, and their message is not parsed."""
    error = await failure(echo.Echo(Note(text="x" * 101)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_public_method_needs_no_token(echo: EchoStub) -> None:
    assert list((await echo.Open(Note(text="hi"))).tags) == ["", ""]
    # A token is not looked at, so that a stale one does no harm.
    assert (await echo.Open(Note(text="hi"), metadata=(("authorization", "Bearer junk"),))).text == "hi"


async def test_caller_is_the_tokens(echo: EchoStub) -> None:
    assert list((await echo.Echo(Note(), metadata=as_("ann", "user", "approver"))).tags) == [
        "ann",
        "approver",
        "user",
        "",
    ]


async def test_calls_at_once_do_not_mix_up_their_callers(echo: EchoStub) -> None:
    names = [f"user-{number}" for number in range(50)]

    async def ask(name: str) -> None:
        metadata = (*as_(name, "user"), ("x-request-id", name))
        stream = echo.Repeat(Note(text=name), metadata=metadata)
        async for response in stream:
            assert (response.tags[0], response.labels["id"]) == (name, name)
        assert (await echo.Echo(Note(), metadata=metadata)).tags[0] == name
        assert (await echo.Open(Note())).tags[0] == ""

    await asyncio.gather(*map(ask, names))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer a.b.c",
        "Bearer " + "x" * 9000,
        "Bearer ....",
        f"Bearer {UNSIGNED}",
        "Bearer " + "eyJ" + "W" * 4000 + ".e30.x",
    ],
)
async def test_hostile_tokens(echo: EchoStub, authorization: str) -> None:
    error = await failure(echo.Echo(Note(), metadata=(("authorization", authorization),)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason(error) in {"TOKEN_MALFORMED", "TOKEN_INVALID"}


async def test_two_tokens(echo: EchoStub) -> None:
    error = await failure(echo.Echo(Note(), metadata=(*as_("ann", "user"), *as_("root", "admin"))))
    assert reason(error) == "TOKEN_MALFORMED"


async def test_metadata_beyond_every_limit(echo: EchoStub) -> None:
    error = await failure(echo.Echo(Note(), metadata=(("authorization", "Bearer " + "x" * 60_000),)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x03\xff\xfe\xfd", b"\x0a\x7f", bytes(1000)])
async def test_damaged_message(plain: grpc.aio.Channel, data: bytes) -> None:
    error = await failure(raw(plain, f"/{SERVICE}/Echo")(data, metadata=USER))
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


async def test_nested_too_deeply(plain: grpc.aio.Channel) -> None:
    data = b""
    for _ in range(5000):
        size, head = len(data), b"\x1a"
        while size > 0x7F:
            head, size = head + bytes([size & 0x7F | 0x80]), size >> 7
        data = head + bytes([size]) + data
    error = await failure(raw(plain, f"/{SERVICE}/Echo")(data, metadata=USER))
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


async def test_too_large_message(plain: grpc.aio.Channel) -> None:
    error = await failure(raw(plain, f"/{SERVICE}/Echo")(bytes(2 * 1024 * 1024), metadata=USER))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("path", [f"/{SERVICE}/Nope", "/nope.Service/Nope", "/"])
async def test_unknown_method(plain: grpc.aio.Channel, path: str) -> None:
    error = await failure(raw(plain, path)(b""))
    assert (error.code(), reason(error)) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


@pytest.mark.parametrize(
    ("text", "code", "expected", "detail"),
    [
        ("raise:NotFound", grpc.StatusCode.NOT_FOUND, "NOTE_NOT_FOUND", None),
        ("raise:FailedPrecondition", grpc.StatusCode.FAILED_PRECONDITION, "NOTE_SEALED", "PreconditionFailure"),
        ("raise:Unavailable", grpc.StatusCode.UNAVAILABLE, "AWAY", "RetryInfo"),
        ("raise:Redis", grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "RetryInfo"),
        ("raise:OOM", grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "RetryInfo"),
        ("raise:ResponseError", grpc.StatusCode.INTERNAL, "STORE_FAILED", None),
        ("raise:ValueError", grpc.StatusCode.INTERNAL, "INTERNAL", None),
        ("nothing", grpc.StatusCode.INTERNAL, "INTERNAL", None),
    ],
)
async def test_errors(echo: EchoStub, text: str, code: grpc.StatusCode, expected: str, detail: str | None) -> None:
    error = await failure(echo.Echo(Note(text=text), metadata=(*USER, ("x-request-id", "req-7"))))
    assert (error.code(), reason(error)) == (code, expected)
    assert "hunter2" not in repr(error)
    assert "Traceback" not in repr(error)
    details = details_of(error)
    assert details["ErrorInfo"].metadata["request_id"] == "req-7"
    assert detail is None or detail in details
    if code is grpc.StatusCode.INTERNAL:
        assert "req-7" in str(error.details())


@pytest.mark.parametrize("name", ["Repeat", "Chat"])
async def test_errors_of_streams(echo: EchoStub, name: str) -> None:
    error = await failure(CALLS[name](echo, Note(text="raise:NotFound"), USER))
    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "NOTE_NOT_FOUND")


async def test_a_connection_that_breaks_under_what_is_sent_is_no_defect(echo: EchoStub, capfd: Any) -> None:
    error = await failure(CALLS["Repeat"](echo, Note(text="raise:Broken"), USER))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    said = "".join(capfd.readouterr())
    assert "CANCELLED" in said
    assert "Traceback" not in said


async def test_facts_of_an_error(echo: EchoStub) -> None:
    details = details_of(await failure(echo.Echo(Note(text="raise:FailedPrecondition"), metadata=USER)))
    assert details["ErrorInfo"].metadata["note"] == "n1"
    violation = details["PreconditionFailure"].violations[0]
    assert (violation.type, violation.subject) == ("NOTE_SEALED", "n1")
    details = details_of(await failure(echo.Echo(Note(text="raise:Unavailable"), metadata=USER)))
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 2500


async def test_a_huge_error_arrives_clipped(echo: EchoStub) -> None:
    error = await failure(echo.Echo(Note(text="raise:Huge"), metadata=USER))
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "BIG")
    assert details_of(error)["BadRequest"].field_violations[0].field == "f0"


@every_kind
async def test_request_id_comes_back(echo: EchoStub, plain: grpc.aio.Channel, call: Any) -> None:
    error = await failure(call(echo, Note(text="x" * 101), (*USER, ("x-request-id", "req-8"))))
    assert dict(error.trailing_metadata() or ())["x-request-id"] == "req-8"


async def test_request_id_of_a_success(echo: EchoStub) -> None:
    call = echo.Echo(Note(), metadata=(*USER, ("x-request-id", "req-9")))
    assert (await call).labels["id"] == "req-9"
    assert dict(await call.trailing_metadata())["x-request-id"] == "req-9"
    stream = echo.Repeat(Note(), metadata=(*USER, ("x-request-id", "req-10")))
    assert dict(await stream.initial_metadata())["x-request-id"] == "req-10"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"},{"level":"error'])
async def test_an_unfit_request_id_is_replaced(echo: EchoStub, given: str) -> None:
    response = await echo.Echo(Note(), metadata=(*USER, ("x-request-id", given)))
    assert response.labels["id"] != given
    assert len(response.labels["id"]) == 32


async def test_metrics(servicer: EchoServicer) -> None:
    settings = echo_settings(metrics_listen="127.0.0.1:0")
    async with (
        Server(settings, name="echo", services=[ServiceRegistration(add_echo, servicer)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        echo = EchoStub(channel)
        await echo.Echo(Note(), metadata=USER)
        await failure(echo.Echo(Note()))
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{server.metrics_port}/metrics")).text
    labels = f'grpc_method="Echo",grpc_service="{SERVICE}",grpc_type="unary_unary"'
    for code in ("OK", "UNAUTHENTICATED"):
        assert f'grpc_server_handled_total{{grpc_code="{code}",{labels}}}' in text
    assert f"grpc_server_handling_seconds_count{{{labels}}}" in text
    assert f"grpc_server_in_flight{{{labels}}} 0.0" in text


async def test_token_of_another_secret(echo: EchoStub) -> None:
    forged = jwt.encode(
        {"sub": "ann", "roles": ["admin"], "iss": "harness.dev", "aud": "harness", "exp": 4_000_000_000},
        JWT_SECRET[::-1],
        algorithm="HS256",
    )
    error = await failure(echo.Echo(Note(), metadata=(("authorization", f"Bearer {forged}"),)))
    assert reason(error) == "TOKEN_INVALID"
