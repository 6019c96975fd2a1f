"""What holds for every RPC, read from the descriptors, so that a new RPC is covered by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import grpc
import jwt
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2, status_pb2

from motherharness.devstack import Stack
from motherharness.tokens import ROLES
from tests.e2e.contracts import Rpc, all_rpcs, breaking, keeping, ruled_paths

RPCS = all_rpcs()
# Watches that have nothing to say end by this, which is the client's own deadline.
PATIENCE = 1.0
TIMEOUT = 10.0

every_rpc = pytest.mark.parametrize("rpc", RPCS, ids=str)
every_guarded_rpc = pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if not rpc.public], ids=str)


@dataclass
class Answer:
    """How a call ended."""

    code: grpc.StatusCode
    reason: str = ""
    domain: str = ""
    fields: list[str] = field(default_factory=list)
    details: str = ""


class Wire:
    """Makes calls with bytes, as any client in any language could."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def call(
        self,
        rpc: Rpc,
        data: bytes,
        token: str | None,
        *,
        timeout: float = TIMEOUT,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Make one call; of a stream, read the first message."""
        if rpc.service not in self._channels:
            self._channels[rpc.service] = grpc.aio.insecure_channel(self.stack.address(rpc.service))
        channel = self._channels[rpc.service]
        sent = [*metadata, *([("authorization", f"Bearer {token}")] if token is not None else [])]
        try:
            if rpc.streams:
                watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(rpc.path)
                stream = watch(data, timeout=timeout, metadata=sent)
                async for _ in stream:
                    stream.cancel()
                    break
            else:
                method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(rpc.path)
                await method(data, timeout=timeout, metadata=sent)
        except grpc.aio.AioRpcError as error:
            return _answer(error)
        return Answer(grpc.StatusCode.OK)

    def allowed(self, rpc: Rpc) -> str:
        """Return a token of somebody who may call it."""
        return self.stack.token("somebody", *sorted(rpc.roles or ROLES))

    async def close(self) -> None:
        """Close the channels."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


def _answer(error: grpc.aio.AioRpcError) -> Answer:
    answer = Answer(error.code(), details=error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                answer.reason, answer.domain = info.reason, info.domain
            elif detail.Unpack(request):
                answer.fields += [violation.field for violation in request.field_violations]
    return answer


def check(answer: Answer, code: grpc.StatusCode) -> None:
    """The answer is an error with this code, and says why in the way all errors do."""
    assert answer.code is code, answer
    assert answer.domain == "harness.dev", answer
    assert answer.reason.replace("_", "").isalnum(), answer
    assert answer.reason.isupper(), answer


def unsubscripted(path: str) -> str:
    """Return `plan.steps.id` for `plan.steps[2].id`."""
    return "".join(part.partition("]")[2] if index else part for index, part in enumerate(path.split("[")))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of these tests alone: what they change with the smallest requests, a policy say, stays among them."""
    with Stack(agents="") as running:
        yield running


@pytest.fixture(scope="module")
async def wire(stack: Stack) -> AsyncIterator[Wire]:
    made = Wire(stack)
    yield made
    await made.close()


def test_all_three_services_are_covered(stack: Stack) -> None:
    assert {rpc.service for rpc in RPCS} == {"orchestrator", "approval", "backup"}
    assert len(RPCS) >= 42


@every_guarded_rpc
async def test_without_token_is_unauthenticated(wire: Wire, rpc: Rpc) -> None:
    # Even if the request is bad too: a stranger learns nothing about the contract.
    for data in (keeping(rpc.request).SerializeToString(), b"\xff\xff\xff"):
        check(await wire.call(rpc, data, None), grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("rpc", [rpc for rpc in RPCS if rpc.public], ids=str)
async def test_what_is_public_is_open_to_anybody(wire: Wire, rpc: Rpc) -> None:
    # Public keys, and nothing else so far: whatever joins them is named here on purpose.
    assert rpc.path == "/harness.approval.v1.ApprovalService/ListGrantKeys"
    for token in (None, "not.a.token", *(wire.stack.token("somebody", role) for role in ROLES)):
        assert (await wire.call(rpc, b"", token)).code is grpc.StatusCode.OK


@every_guarded_rpc
async def test_token_that_proves_nothing_is_unauthenticated(wire: Wire, rpc: Rpc) -> None:
    now = int(time.time())
    good = {
        "sub": "somebody",
        "roles": sorted(rpc.roles),
        "iss": "harness.dev",
        "aud": "harness",
        "iat": now,
        "exp": now + 60,
    }
    secret = wire.stack.secret
    assert (await wire.call(rpc, b"\xff", jwt.encode(good, secret, "HS256"))).code is grpc.StatusCode.INVALID_ARGUMENT
    bad = {
        "garbage": "not.a.token",
        "empty": "",
        "another key": jwt.encode(good, "x" * 48, "HS256"),
        "no signature": jwt.encode(good, "", "none"),
        "expired": jwt.encode(good | {"exp": now - 3600}, secret, "HS256"),
        "another audience": jwt.encode(good | {"aud": "other"}, secret, "HS256"),
        "another issuer": jwt.encode(good | {"iss": "other"}, secret, "HS256"),
        "no expiry": jwt.encode({key: good[key] for key in good if key != "exp"}, secret, "HS256"),
        "no audience": jwt.encode({key: good[key] for key in good if key != "aud"}, secret, "HS256"),
    }
    data = keeping(rpc.request).SerializeToString()
    for what, token in bad.items():
        answer = await wire.call(rpc, data, token)
        assert answer.code is grpc.StatusCode.UNAUTHENTICATED, (what, answer)
        check(answer, grpc.StatusCode.UNAUTHENTICATED)


@every_guarded_rpc
async def test_roles_that_are_not_allowed_are_denied(wire: Wire, rpc: Rpc) -> None:
    now = int(time.time())
    claims = {"sub": "somebody", "iss": "harness.dev", "aud": "harness", "exp": now + 60}
    # A role nobody knows, none at all, and then every role that the rule leaves out.
    tokens = [jwt.encode(claims | {"roles": roles}, wire.stack.secret, "HS256") for roles in (["janitor"], [])]
    tokens += [wire.stack.token("somebody", role) for role in ROLES if role not in rpc.roles]
    data = keeping(rpc.request).SerializeToString()
    for token in tokens:
        check(await wire.call(rpc, data, token), grpc.StatusCode.PERMISSION_DENIED)


@every_rpc
async def test_every_broken_field_rule_is_refused_and_named(wire: Wire, rpc: Rpc) -> None:
    broken = breaking(rpc.request)
    assert broken.keys() == ruled_paths(rpc.request), "a rule that these tests do not know how to break"
    assert broken or not rpc.request.DESCRIPTOR.fields, "a request whose fields have no rules at all"
    for path, message in broken.items():
        answer = await wire.call(rpc, message.SerializeToString(), wire.allowed(rpc))
        check(answer, grpc.StatusCode.INVALID_ARGUMENT)
        assert path in map(unsubscripted, answer.fields), (path, answer)


@every_rpc
async def test_garbage_is_refused(wire: Wire, rpc: Rpc) -> None:
    token = wire.allowed(rpc)
    for data in (b"\xff" * 64, b"\x0a\x7f", b"\x0a" * 3 + b"\xff" * 11, bytes(range(256)) * 16):
        check(await wire.call(rpc, data, token), grpc.StatusCode.INVALID_ARGUMENT)
    for text in rpc.request.DESCRIPTOR.fields:
        if text.type == FieldDescriptor.TYPE_STRING:
            not_unicode = bytes([text.number << 3 | 2, 4]) + b"\xc3\x28\xff\xfe"
            check(await wire.call(rpc, not_unicode, token), grpc.StatusCode.INVALID_ARGUMENT)


@every_rpc
async def test_smallest_valid_request_works_or_says_why_not(wire: Wire, rpc: Rpc) -> None:
    """It names nothing that exists, so most methods have a reason to refuse; none may be unprepared."""
    request = keeping(rpc.request)
    timeout = PATIENCE if rpc.streams else TIMEOUT
    answer = await wire.call(rpc, request.SerializeToString(), wire.allowed(rpc), timeout=timeout)
    assert answer.code not in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNAUTHENTICATED,
    ), answer
    if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        assert rpc.streams, answer
    elif answer.code is not grpc.StatusCode.OK:
        check(answer, answer.code)


@every_guarded_rpc
async def test_huge_metadata_does_no_harm(wire: Wire, rpc: Rpc) -> None:
    data, token = keeping(rpc.request).SerializeToString(), wire.stack.token("somebody", "user", "agent")
    answers = [
        await wire.call(rpc, b"\xff", token, metadata=[("x-filler", "a" * size)], timeout=5.0)
        for size in (40 * 1024, 256 * 1024)
    ]
    for answer in answers:
        # gRPC refuses the headers itself, before anything of ours sees the call.
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED, answer
    # As much as a long token needs is welcome, and the server is none the worse.
    answer = await wire.call(rpc, data, None, metadata=[("x-filler", "a" * 8 * 1024)])
    check(answer, grpc.StatusCode.UNAUTHENTICATED)
    check(await wire.call(rpc, b"", "a" * 12 * 1024), grpc.StatusCode.UNAUTHENTICATED)


async def test_unknown_method_says_so(wire: Wire) -> None:
    for rpc in {rpc.service: rpc for rpc in RPCS}.values():
        unknown = Rpc(rpc.path + "Not", rpc.service, rpc.request, False, rpc.roles, False)
        check(await wire.call(unknown, b"", wire.allowed(rpc)), grpc.StatusCode.UNIMPLEMENTED)
