"""The service as a process that is killed: what was acknowledged holds, and watchers miss nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2, approval_pb2_grpc, audit_pb2, audit_pb2_grpc
from tests.integration.approval.harness import BOB, SERVICE, WORKER, item
from tests.support.redis_server import RedisServer
from tests.support.warm import WarmProcess

KILLS = 8
ANSWER_SECONDS = 60.0  # the service starts anew in between, on a machine that may be busy


async def call(address: list[str], method: str, request: Any, metadata: Any) -> Any:
    """Call until it is answered, as a client with retries does."""
    give_up = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < give_up:
        async with grpc.aio.insecure_channel(address[0]) as channel:
            try:
                stub = approval_pb2_grpc.ApprovalServiceStub(channel)
                return await getattr(stub, method)(request, metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
        await asyncio.sleep(0.05)
    raise AssertionError(f"{method} was never answered")


async def watch(address: list[str], count: int) -> list[approval_pb2.WatchDecisionsResponse]:
    """Follow decisions over any number of servers, resuming after the last one seen."""
    seen: list[approval_pb2.WatchDecisionsResponse] = []
    while len(seen) < count:
        async with grpc.aio.insecure_channel(address[0]) as channel:
            after = seen[-1].sequence if seen else 0
            request = approval_pb2.WatchDecisionsRequest(after_sequence=after)
            try:
                async for decision in approval_pb2_grpc.ApprovalServiceStub(channel).WatchDecisions(
                    request, metadata=SERVICE, timeout=5
                ):
                    seen.append(decision)
                    if len(seen) == count:
                        break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)
    return seen


@pytest.fixture
async def process(fresh_redis: RedisServer, tmp_path: Path) -> AsyncIterator[WarmProcess]:
    environment = {
        "HARNESS_REDIS_URL": fresh_redis.url("approval"),
        "HARNESS_APPROVAL_PUBLISH_SECONDS": "0.2",
        "HARNESS_APPROVAL_AUDIT_SEAL_SECONDS": "0.02",
        "HARNESS_APPROVAL_SIGNING_KEYS": str(tmp_path / "keys"),
    }
    process = WarmProcess("services.approval", tmp_path, environment)
    try:
        await process.warm()
        await process.launch()
        yield process
    finally:
        await process.cool()


@pytest.mark.timeout(180)
async def test_kill_9_at_random_moments(process: WarmProcess) -> None:
    address = [await process.ready()]
    count = 40
    redeemed: list[str] = []

    async def life(n: int) -> str:
        asked = item("rm -rf build", request_id=f"q{n}", run_id=f"run_{n}")
        requested = approval_pb2.RequestApprovalsRequest(items=[asked])
        (result,) = (await call(address, "RequestApprovals", requested, SERVICE)).results
        await asyncio.sleep(random.random())
        verdict = approval_pb2.VERDICT_APPROVE if n % 2 else approval_pb2.VERDICT_REJECT
        decide = approval_pb2.DecideApprovalRequest(approval_id=result.approval.id, verdict=verdict)
        decided = (await call(address, "DecideApproval", decide, BOB)).approval
        if n % 2:
            (granted,) = (await call(address, "RequestApprovals", requested, SERVICE)).results
            redeem = approval_pb2.RedeemGrantRequest(
                grant=granted.grant, digest=decided.digest, run_id=f"run_{n}", step_id="step", attempt=1
            )
            try:
                await call(address, "RedeemGrant", redeem, WORKER)
                redeemed.append(decided.id)
            except grpc.aio.AioRpcError as error:
                # It had run although its answer was lost.
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
        return str(decided.id)

    async def killer() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.1, 0.4))
            await process.kill()
            address[0] = await process.start()

    # A group: when one of them fails, none goes on, least of all the one that starts the service again.
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(address, count))
        killing = tasks.create_task(killer())
        ids = await asyncio.gather(*(tasks.create_task(life(n)) for n in range(count)))
        await killing
        async with asyncio.timeout(ANSWER_SECONDS):
            events = await watching
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert len(events) == count
    assert {event.approval_id for event in events} == set(ids)
    for n, approval_id in enumerate(ids):
        get = approval_pb2.GetApprovalRequest(approval_id=approval_id)
        approval = (await call(address, "GetApproval", get, SERVICE)).approval
        wanted = approval_pb2.APPROVAL_STATE_CONSUMED if n % 2 else approval_pb2.APPROVAL_STATE_REJECTED
        assert approval.state == wanted
    assert len(set(redeemed)) == len(redeemed)
    await check_trail(address[0], ids)
    assert await process.stop() == 0


async def check_trail(address: str, ids: Sequence[str]) -> None:
    """The trail is whole, and has what happened to each approval once, in its order."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        for n, approval_id in enumerate(ids):
            request = audit_pb2.ListAuditEventsRequest(approval_id=approval_id)
            records = (await stub.ListAuditEvents(request, metadata=BOB)).records
            types = [audit_pb2.AuditEventType.Name(record.event.type)[len("AUDIT_EVENT_TYPE_") :] for record in records]
            happened = [name for name in reversed(types) if name not in ("GRANT_ISSUED", "REFUSED")]
            decided = ["APPROVED", "GRANT_REDEEMED"] if n % 2 else ["REJECTED"]
            assert happened == ["APPROVAL_REQUESTED", *decided]
        reports = [report async for report in stub.VerifyAudit(audit_pb2.VerifyAuditRequest(), metadata=SERVICE)]
    assert not [report for report in reports if report.HasField("problem")]
    assert sum(report.done for report in reports) == 16
