"""Grants over real gRPC and Redis: issued, published, verified, redeemed once, and refused when anything is off."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2
from motherharness import grants
from motherharness.signing_keys import create
from services.approval.grants.keys import SigningKey, generate, parse, signing_key
from services.approval.grants.token import Claims, sign
from services.approval.store.keys import journal
from tests.integration.approval.harness import BOB, Approvals, item, reason_of, running
from tests.support.processes import ServiceProcess
from tests.support.redis_server import RedisServer

KEYS = approval_pb2.ListGrantKeysRequest()


async def refusal(service: Approvals, grant: str, approval: approval_pb2.Approval, **other: Any) -> str:
    """The reason for which a grant is refused; what is not signed or not for this is never NOT_FOUND."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.redeem(grant, approval, **other)
    reason = reason_of(refused.value)
    expected = grpc.StatusCode.NOT_FOUND if reason == "GRANT_NOT_FOUND" else grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.code() is expected
    return reason


def said_by(grant: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(grant.split(".")[1] + "=="))
    return payload


async def test_a_worker_verifies_a_grant_with_the_published_keys(service: Approvals) -> None:
    (result,) = await service.request(item())
    # Anybody may have the keys: without a token.
    answer = await service.approvals.ListGrantKeys(KEYS)
    context = result.approval.context
    grant = grants.verify(
        result.grant,
        grants.public_keys(answer.keys),
        digest=result.approval.digest,
        run_id=context.run_id,
        step_id=context.step_id,
        attempt=1,
    )
    assert grant.approval_id == result.approval.id
    assert grant.revision == 1
    use_by = result.approval.use_by.ToMilliseconds()
    assert use_by <= grant.expires * 1000 < use_by + 1000
    assert said_by(result.grant)["iat"] == result.approval.create_time.ToMilliseconds() // 1000


async def test_a_grant_after_a_decision_is_signed_too(service: Approvals) -> None:
    asked = item("rm -rf build", request_id="q")
    (waiting,) = await service.request(asked)
    assert waiting.grant == ""
    decided = await service.decide(waiting.approval.id, as_=BOB)
    asked.attempt = 2
    (granted,) = await service.request(asked)
    said = said_by(granted.grant)
    assert (said["sub"], said["attempt"], said["digest"]) == (decided.id, 2, decided.digest)
    use_by = decided.use_by.ToMilliseconds()
    assert use_by <= said["exp"] * 1000 < use_by + 1000
    assert await service.redeem(granted.grant, decided, attempt=2) == decided.id


async def test_a_grant_cannot_be_made_up(service: Approvals) -> None:
    (result,) = await service.request(item())
    approval = result.approval
    header, payload, signature = result.grant.split(".")
    later = base64.urlsafe_b64encode(json.dumps(said_by(result.grant) | {"exp": 9_999_999_999}).encode()).decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"grant+jwt"}').rstrip(b"=").decode()
    claims = Claims(approval.id, 1, approval.digest, "run_1", "step", 1, 0, 9_999_999_999_000, "x" * 22)
    forged = sign(claims, signing_key(generate()))
    made_up = ("x", approval.id, f"{approval.id}.{'A' * 43}", "." * 40, "a.b.c", "ä.ö.ü", forged)
    changed = (
        f"{header}.{later.rstrip('=')}.{signature}",
        f"{none}.{payload}.",
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature[::-1]}",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature}.{signature}",
        f" {result.grant}",
    )
    for grant in (*made_up, *changed):
        assert await refusal(service, grant, approval) == "GRANT_INVALID", grant
    shard = int(approval.id[4:6], 16)
    entries: Any = await service.redis.xrange(journal(shard))
    written = [json.loads(fields[b"e"]) for _, fields in entries]
    refused = [entry for entry in written if entry["type"] == "AUDIT_EVENT_TYPE_REFUSED"]
    assert len(refused) == len(made_up) + len(changed)
    assert {(entry["actor"], entry["error_reason"], entry["run_id"]) for entry in refused} == {
        ("worker", "GRANT_INVALID", "run_1")
    }
    assert await service.redeem(result.grant, approval) == approval.id


async def test_a_signature_alone_redeems_nothing(fresh_redis: RedisServer, tmp_path: Path) -> None:
    """Who stole the signing key still needs a grant id that the record holds."""
    file = create(tmp_path)
    async with running(fresh_redis, approval_signing_keys=tmp_path) as service:
        (result,) = await service.request(item())
        key = parse(file.name, file.read_bytes())
        assert isinstance(key, SigningKey)
        claims = Claims(
            result.approval.id, 1, result.approval.digest, "run_1", "step", 1, 0, 9_999_999_999_000, "guess"
        )
        assert await refusal(service, sign(claims, key), result.approval) == "GRANT_NOT_FOUND"
        unknown = Claims("apr_00" + "0" * 32, 1, result.approval.digest, "run_1", "step", 1, 0, 9_999_999_999_000, "x")
        assert await refusal(service, sign(unknown, key), result.approval) == "GRANT_NOT_FOUND"


async def test_what_is_stored_is_not_the_grant(service: Approvals) -> None:
    (result,) = await service.request(item())
    grant_id = said_by(result.grant)["jti"]
    assert len(base64.urlsafe_b64decode(grant_id + "==")) * 8 >= 128
    shard = result.approval.id[4:6]
    stored = await service.redis.hgetall(f"approval:{{a{shard}}}:apr:{result.approval.id}")
    assert stored[b"grants"] == hashlib.sha256(grant_id.encode()).hexdigest().encode()
    assert all(grant_id.encode() not in value for value in stored.values())


async def test_keys_follow_each_other_without_a_restart(fresh_redis: RedisServer, tmp_path: Path) -> None:
    first = tmp_path / "20231114T000000Z.pem"
    create(tmp_path).rename(first)
    async with (
        running(fresh_redis, approval_signing_keys=tmp_path) as service,
        running(fresh_redis, approval_signing_keys=tmp_path) as replica,
    ):
        (old,) = await service.request(item())
        (revoked,) = await service.request(item())
        create(tmp_path)
        await asyncio.sleep(1.1)
        (new,) = await service.request(item())
        kids = [key.kid for key in (await service.approvals.ListGrantKeys(KEYS)).keys]
        assert [grants.key_id(old.grant), grants.key_id(new.grant)] == kids
        keys = (await replica.approvals.ListGrantKeys(KEYS)).keys
        assert [key.kid for key in keys] == kids
        assert keys[0].not_before.ToJsonString() == "2023-11-14T00:00:00Z"
        assert keys[0].retire_time == keys[1].not_before
        assert not keys[1].HasField("retire_time")
        # The old key's grants hold, at every process, whichever issued them.
        assert await replica.redeem(old.grant, old.approval) == old.approval.id
        assert await replica.redeem(new.grant, new.approval) == new.approval.id
        first.unlink()
        await asyncio.sleep(1.1)
        assert await refusal(service, revoked.grant, revoked.approval) == "GRANT_INVALID"
        assert await refusal(replica, revoked.grant, revoked.approval) == "GRANT_INVALID"


@pytest.mark.parametrize("environment", ["staging", "production"])
async def test_outside_development_it_does_not_start_without_keys(
    fresh_redis: RedisServer, tmp_path: Path, environment: str
) -> None:
    settings = {
        "HARNESS_REDIS_URL": fresh_redis.url("approval"),
        "HARNESS_ENVIRONMENT": environment,
        "HARNESS_JWT_ALGORITHM": "EdDSA" if environment == "production" else "HS256",
        "HARNESS_APPROVAL_SIGNING_KEYS": str(tmp_path),
    }
    if environment == "production":
        del settings["HARNESS_APPROVAL_SIGNING_KEYS"]
    process = ServiceProcess("services.approval", tmp_path, settings)
    with pytest.raises(RuntimeError, match="HARNESS_APPROVAL_SIGNING_KEYS") as ended:
        await process.start()
    assert "ended with 2" in str(ended.value)
