"""No secret of an action leaves the approval service or stays in its store; the digest is that of the original.

Every text field of every kind of action is found in the contract itself, so that one that comes later is tested too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from protovalidate import ValidationError, validate

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.runtime.digest import digest_of
from services.runtime.logs import configure_logging
from tests.integration.approval.harness import BOB, SERVICE, Approvals, item
from tests.support.redis_server import RedisServer

SECRETS = {
    "aws": "AKIAQ7RZ4VB2XWM5KD3T",
    "github": "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U",
    "card": "4111-1111-1111-1111",
    "pem": f"-----BEGIN RSA PRIVATE KEY-----\n{'q8Zr4vB1xWm2Kd9T' * 4}\n-----END RSA PRIVATE KEY-----",
}
# What is searched for: the secrets, and parts of the one that has many lines.
NEEDLES = [*(SECRETS[name].encode() for name in ("aws", "github", "card")), b"q8Zr4vB1xWm2Kd9Tq8Zr"]

# Letters only, so nothing can be hidden in it.
NO_SECRETS = {"harness.common.v1.ApiCallAction.method"}

# So that the rest of an action is one that may be asked for.
COMPLETE = {
    "command": {"script": "true"},
    "file_write": {"path": "notes.txt"},
    "file_delete": {"path": "notes.txt"},
    "code_execution": {"language": "python", "code": "print(1)"},
    "api_call": {"method": "GET", "url": "https://api.example.com/"},
    "git_push": {"remote": "origin"},
    "workflow_creation": {"name": "nightly"},
    "step_start": {"description": "look"},
    "step_result": {"agent": "analyst"},
}


def action_with(kind: str, field: FieldDescriptor, secret: str) -> action_pb2.Action:
    """An action with a secret in one of its fields."""
    action = action_pb2.Action()
    inside: Message = getattr(action, kind)
    inside.SetInParent()
    for name, value in COMPLETE[kind].items():
        setattr(inside, name, value)
    if field.name == "argv":
        inside.ClearField("script")
    value = getattr(inside, field.name)
    if isinstance(value, Struct):
        value.update({"deep": [{"value": f"a {secret} b", f"key {secret}": 1, "argv": ["x", secret]}]})
    elif field.message_type is action_pb2.FileDigest.DESCRIPTOR:
        value.add(path=f"a {secret} b", sha256="0" * 64)
    elif field.message_type is not None:
        value[f"name {secret}"] = f"value {secret}"
    elif field.is_repeated:
        value.extend(["x", secret])
    else:
        text = secret if field.name in ("language", "agent") else f"a {secret} b"
        setattr(inside, field.name, text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text)
    return action


def text_fields() -> Iterator[tuple[str, FieldDescriptor]]:
    """Every field of every kind of action that can hold text."""
    kinds: Descriptor = action_pb2.Action.DESCRIPTOR
    for kind in kinds.oneofs_by_name["kind"].fields:
        assert kind.message_type is not None
        for field in kind.message_type.fields:
            texts = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE)
            if field.type in texts and field.full_name not in NO_SECRETS:
                yield kind.name, field


def planted() -> list[approval_pb2.ApprovalItem]:
    """An item for every field and secret that fits into it."""
    items = []
    for kind, field in text_fields():
        fitting = 0
        for name, secret in SECRETS.items():
            action = action_with(kind, field, secret)
            try:
                validate(action)
            except ValidationError:
                continue
            fitting += 1
            asked = item(request_id=f"{field.full_name}/{name}", reason=f"because of {secret}")
            asked.ClearField("actions")
            asked.actions.append(action)
            asked.require_approval = True
            asked.context.working_directory = f"/srv/{secret}"
            asked.context.links[f"/a/{secret}"] = f"/b/{secret}"
            asked.context.observed.add(path=f"/c/{secret}", exists=True, content=f"old {secret}")
            if kind in ("file_write", "file_delete"):
                path = getattr(action, kind).path
                asked.context.observed.add(path=path, exists=True, content=f"old {secret}\n", mode=0o100644)
            items.append(asked)
        assert fitting, f"no secret fits into {field.full_name}"
    return items


def everything_in(server: RedisServer) -> bytes:
    """All keys and all values that the service has stored."""
    parts: list[object] = []
    with server.admin() as redis:
        for key in redis.scan_iter(count=1000):
            parts.append(key)
            match redis.type(key):
                case b"hash":
                    parts.append(redis.hgetall(key))
                case b"string":
                    parts.append(redis.get(key))
                case b"stream":
                    parts.append(redis.xrange(key))
                case b"zset":
                    parts.append(redis.zrange(key, 0, -1))
                case other:
                    raise AssertionError(f"{key!r} is a {other!r}, which this test cannot read")
    return repr(parts).encode("latin-1", "backslashreplace")


def leaks(text: bytes) -> list[bytes]:
    """Which secrets are in a text, also with their line ends written out."""
    return [needle for needle in NEEDLES if needle in text]


async def test_nothing_stored_or_answered_has_a_secret(
    service: Approvals, fresh_redis: RedisServer, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("approval", level="debug", log_format="json")
    try:
        items = planted()
        requested: list[approval_pb2.RequestedApproval] = []
        for start in range(0, len(items), 100):
            requested += await service.request(*items[start : start + 100])
        answers: list[Message] = [*requested]
        assert len(requested) == len(items) > 80
        assert not [each.error_message for each in requested if each.error_reason]
        for asked, taken in zip(items, requested, strict=True):
            assert taken.approval.digest == digest_of(asked.actions), asked.request_id
            approval_id = taken.approval.id
            answers.append(await service.get(approval_id, as_=BOB))
            answers.append(await service.decide(approval_id, approve=False, reason=f"for {SECRETS['github']}"))
        listed = approval_pb2.ListApprovalsRequest(page_size=1000)
        answers.append(await service.approvals.ListApprovals(listed, metadata=BOB))
        answers += await service.decisions(len(items))
        assess = risk_pb2.AssessActionsRequest(
            items=[risk_pb2.AssessItem(actions=asked.actions, context=asked.context) for asked in items]
        )
        answers.append(await service.risk.AssessActions(assess, metadata=SERVICE))
    finally:
        root.handlers[:], root.level = before
    for answer in answers:
        assert not leaks(answer.SerializeToString()), answer
    stored = everything_in(fresh_redis)
    assert b"[secret]" in stored
    assert not leaks(stored)
    output = capfd.readouterr()
    assert not leaks((output.out + output.err).encode())


async def test_the_redaction_shows_where_a_secret_was_and_the_original_is_redeemed(service: Approvals) -> None:
    script = f"curl -H 'Authorization: token {SECRETS['github']}' https://api.example.com/"
    asked = item(script=script, require_approval=True)
    (pending,) = await service.request(asked)
    seen = await service.get(pending.approval.id, as_=BOB)
    shown = "curl -H 'Authorization: token [secret]' https://api.example.com/"
    assert seen.actions[0].command.script == shown
    assert list(seen.preview.commands) == [shown]
    # A factor is found where its text is now, and that of the secret where its mask is.
    places = {
        shown[factor.span.start : factor.span.end] for factor in seen.assessment.factors if factor.HasField("span")
    }
    assert "[secret]" in places
    await service.decide(seen.id, digest=seen.digest)
    (granted,) = await service.request(asked)
    # The worker has the original, and computes the digest over that.
    assert await service.redeem(granted.grant, seen, digest=digest_of(asked.actions)) == seen.id


async def test_what_has_no_secret_is_stored_as_it_is(service: Approvals) -> None:
    pending = await service.pending()
    seen = await service.get(pending.id, as_=BOB)
    assert digest_of(seen.actions) == seen.digest
    assert any(factor.HasField("span") for factor in seen.assessment.factors)
