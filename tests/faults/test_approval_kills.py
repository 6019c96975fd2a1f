"""`kill -9` of the approval service at any moment: what was acknowledged holds, nothing is told or redeemed twice.

HARNESS_FAULT_KILLS sets how often it is killed (default 15), HARNESS_FAULT_SEED repeats when, and what clients do.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import approval_pb2, approval_pb2_grpc, audit_pb2, audit_pb2_grpc, policy_pb2, policy_pb2_grpc
from harness.common.v1 import action_pb2
from tests.integration.approval.harness import BOB, ROOT, SERVICE, WORKER, item, reason_of
from tests.support.histories import check_history
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_
from tests.support.warm import WarmProcess

KILLS = int(os.environ.get("HARNESS_FAULT_KILLS", "15"))
SEED = int(os.environ.get("HARNESS_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
CLIENTS = 10
# Seconds, at most: from when it serves until it is killed, and, one time in five, from when it is started.
SERVES, STARTS = 1.0, 0.2
PATIENCE = 60.0
CAROL, ERIN = as_("carol", "approver"), as_("erin", "approver")
TYPES = audit_pb2.AuditEventType
PUBLIC = {
    *(TYPES.AUDIT_EVENT_TYPE_APPROVAL_REQUESTED, TYPES.AUDIT_EVENT_TYPE_VOTED, TYPES.AUDIT_EVENT_TYPE_APPROVED),
    *(TYPES.AUDIT_EVENT_TYPE_REJECTED, TYPES.AUDIT_EVENT_TYPE_WITHDRAWN, TYPES.AUDIT_EVENT_TYPE_REVISED),
    TYPES.AUDIT_EVENT_TYPE_GRANT_REDEEMED,
}
DECISIONS = {
    TYPES.AUDIT_EVENT_TYPE_APPROVED,
    TYPES.AUDIT_EVENT_TYPE_REJECTED,
    TYPES.AUDIT_EVENT_TYPE_WITHDRAWN,
}
VOTES = (TYPES.AUDIT_EVENT_TYPE_VOTED, TYPES.AUDIT_EVENT_TYPE_APPROVED)
# Two must agree about what this agent does.
PAIR = {
    "environment": "ENVIRONMENT_DEVELOPMENT",
    "enabled": True,
    "max_risk_level": "RISK_LEVEL_LOW",
    "rules": [
        {
            "id": "two",
            "outcome": "POLICY_OUTCOME_HUMAN",
            "when": "project == 'pair'",
            "explanation": "Two must agree.",
            "quorum": [{"role": "ROLE_APPROVER", "count": 2}],
        }
    ],
}

pytestmark = pytest.mark.faults


class Line:
    """The way to the service, wherever it is now."""

    def __init__(self) -> None:
        self._channel: grpc.aio.Channel | None = None
        self._serves = asyncio.Event()
        self.interrupted = 0

    async def connect(self, address: str) -> None:
        """The service is there, at another address than before."""
        before, self._channel = self._channel, grpc.aio.insecure_channel(address)
        self._serves.set()
        if before is not None:
            # Whatever is still on it fails by itself: its other end is gone.
            await before.close(grace=5)

    def cut(self) -> None:
        """The service is about to be killed."""
        self._serves.clear()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def stub(self, of: Callable[[Any], Any] = approval_pb2_grpc.ApprovalServiceStub) -> Any:
        """Calls to the service, once it is there."""
        await self._serves.wait()
        return of(self._channel)

    async def call(
        self,
        method: str,
        request: Any,
        who: Any,
        of: Callable[[Any], Any] = approval_pb2_grpc.ApprovalServiceStub,
    ) -> Any:
        """Call until there is an answer, as a client with retries does."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                return await getattr(await self.stub(of), method)(request, metadata=who, timeout=30)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self.interrupted += 1
        raise AssertionError(f"{method} was never answered")


class Client:
    """Asks and has others decide, one request after the other, and keeps what it was told."""

    def __init__(self, line: Line, name: str) -> None:
        self.line = line
        self.name = name
        self.dice = random.Random(f"{SEED} {name}")
        self.told: list[tuple[str, TYPES.ValueType, str]] = []  # approval, type of the event, actor
        self.redeemed: Counter[str] = Counter()
        self.ended: dict[str, int] = {}  # approvals and the state they were left in

    async def run(self, is_over: Callable[[], bool]) -> None:
        lives: Sequence[Callable[[int], Awaitable[None]]]
        lives = (self.passes, self.approved, self.approved, self.pair, self.rejected, self.revised, self.taken_back)
        number = 0
        while not is_over():
            number += 1
            await self.dice.choice(lives)(number)
            await asyncio.sleep(self.dice.uniform(0, 0.05))

    async def ask(self, number: int, script: str, project: str = "") -> tuple[Any, approval_pb2.RequestedApproval]:
        name = f"{self.name}-{number}"
        asked = item(script, requester=self.name, run_id=f"run-{name}", request_id=name)
        asked.context.project_id = project
        request = approval_pb2.RequestApprovalsRequest(items=[asked])
        (result,) = (await self.line.call("RequestApprovals", request, SERVICE)).results
        self.keep(result.approval.id, TYPES.AUDIT_EVENT_TYPE_APPROVAL_REQUESTED)
        return request, result

    def keep(self, approval_id: str, kind: TYPES.ValueType, actor: str = "") -> None:
        self.told.append((approval_id, kind, actor))

    async def vote(self, approval: approval_pb2.Approval, who: Any, name: str, *, approve: bool = True) -> Any:
        verdict = approval_pb2.VERDICT_APPROVE if approve else approval_pb2.VERDICT_REJECT
        request = approval_pb2.DecideApprovalRequest(
            approval_id=approval.id, verdict=verdict, digest=approval.digest, reason="as planned"
        )
        decided = (await self.line.call("DecideApproval", request, who)).approval
        kind = TYPES.AUDIT_EVENT_TYPE_VOTED if approve else TYPES.AUDIT_EVENT_TYPE_REJECTED
        self.keep(approval.id, kind, name)
        return decided

    async def redeem(self, asked: Any, approval: approval_pb2.Approval) -> None:
        """Take the grant, and have two workers redeem it at the same time."""
        (granted,) = (await self.line.call("RequestApprovals", asked, SERVICE)).results
        assert granted.grant, granted
        claim = approval_pb2.RedeemGrantRequest(
            grant=granted.grant,
            digest=granted.approval.digest,
            run_id=approval.context.run_id,
            step_id=approval.context.step_id,
            attempt=1,
        )

        async def worker() -> None:
            try:
                await self.line.call("RedeemGrant", claim, WORKER)
                self.redeemed[approval.id] += 1
            except grpc.aio.AioRpcError as error:
                # Redeemed by the other, or by itself in a call whose answer was lost.
                if reason_of(error) != "GRANT_REDEEMED":
                    raise

        await asyncio.gather(worker(), worker())
        self.ended[approval.id] = approval_pb2.APPROVAL_STATE_CONSUMED

    async def passes(self, number: int) -> None:
        asked, result = await self.ask(number, "echo hello")
        await self.redeem(asked, result.approval)

    async def approved(self, number: int) -> None:
        asked, result = await self.ask(number, "rm -rf build")
        await self.vote(result.approval, BOB, "bob")
        await self.redeem(asked, result.approval)

    async def pair(self, number: int) -> None:
        asked, result = await self.ask(number, "rm -rf build", "pair")
        await asyncio.gather(self.vote(result.approval, BOB, "bob"), self.vote(result.approval, CAROL, "carol"))
        await self.redeem(asked, result.approval)

    async def rejected(self, number: int) -> None:
        _, result = await self.ask(number, "rm -rf build")
        await self.vote(result.approval, BOB, "bob", approve=False)
        self.ended[result.approval.id] = approval_pb2.APPROVAL_STATE_REJECTED

    async def revised(self, number: int) -> None:
        asked, result = await self.ask(number, "rm -rf build", "pair")
        await self.vote(result.approval, BOB, "bob")
        command = action_pb2.CommandAction(script="rm -rf build/old")
        request = approval_pb2.ReviseApprovalRequest(
            approval_id=result.approval.id,
            digest=result.approval.digest,
            actions=[action_pb2.Action(command=command)],
            reason="only the old",
        )
        edited = (await self.line.call("ReviseApproval", request, ERIN)).approval
        self.keep(edited.id, TYPES.AUDIT_EVENT_TYPE_REVISED, "erin")
        assert not edited.votes
        await asyncio.gather(self.vote(edited, BOB, "bob"), self.vote(edited, CAROL, "carol"))
        await self.redeem(asked, edited)

    async def taken_back(self, number: int) -> None:
        _, result = await self.ask(number, "rm -rf build")
        request = approval_pb2.WithdrawApprovalRequest(approval_id=result.approval.id)
        await self.line.call("WithdrawApproval", request, as_(self.name, "user"))
        self.keep(result.approval.id, TYPES.AUDIT_EVENT_TYPE_WITHDRAWN, self.name)
        self.ended[result.approval.id] = approval_pb2.APPROVAL_STATE_WITHDRAWN


class Watcher:
    """Follows a stream over any number of servers, resuming after the last sequence it has."""

    def __init__(self, line: Line, method: str, request: type[Any]) -> None:
        self.line = line
        self.method = method
        self.request = request
        self.seen: list[Any] = []
        self.resumed = 0
        self._goal: int | None = None
        self._there = asyncio.Event()

    async def run(self) -> None:
        while True:
            after = self.seen[-1].sequence if self.seen else 0
            stub = await self.line.stub()
            call = getattr(stub, self.method)(self.request(after_sequence=after), metadata=SERVICE)
            try:
                async for each in call:
                    self.seen.append(each)
                    self._look()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            self.resumed += 1

    async def until(self, sequence: int) -> None:
        """Wait until it has come so far."""
        self._goal = sequence
        self._look()
        async with asyncio.timeout(PATIENCE):
            await self._there.wait()

    def _look(self) -> None:
        if self._goal is not None and self.seen and self.seen[-1].sequence >= self._goal:
            self._there.set()


@pytest.fixture
async def process(own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[WarmProcess]:
    environment = {
        "HARNESS_REDIS_URL": own_redis.url("approval"),
        "HARNESS_APPROVAL_PUBLISH_SECONDS": "0.2",
        "HARNESS_APPROVAL_AUDIT_SEAL_SECONDS": "0.02",
        "HARNESS_APPROVAL_AUDIT_CHECKPOINT_RECORDS": "20",
        "HARNESS_APPROVAL_SWEEP_SECONDS": "0.1",
        "HARNESS_APPROVAL_SIGNING_KEYS": str(tmp_path / "keys"),
        "HARNESS_APPROVAL_ASKS_PER_MINUTE": "0",
        "HARNESS_LOG_LEVEL": "warning",
    }
    process = WarmProcess("services.approval", tmp_path, environment)
    try:
        await process.warm()
        yield process
    finally:
        await process.cool()


async def kill_again_and_again(process: WarmProcess, line: Line) -> None:
    """Kill it so many times, mostly while it serves, and sometimes while it starts."""
    dice = random.Random(SEED)
    serves = True
    for _ in range(KILLS):
        await asyncio.sleep(dice.uniform(0, SERVES if serves else STARTS))
        assert await process.runs(), process.log()
        line.cut()
        await process.kill()
        await process.launch()
        serves = dice.random() > 0.2
        if serves:
            await line.connect(await process.ready())
    if not serves:
        await line.connect(await process.ready())


@pytest.mark.timeout(240 + 4 * KILLS)
async def test_what_was_acknowledged_holds(process: WarmProcess, own_redis: RedisServer) -> None:
    print(f"HARNESS_FAULT_SEED={SEED}")
    line = Line()
    await process.launch()
    await line.connect(await process.ready())
    save = policy_pb2.UpdatePolicyRequest(policy=ParseDict(PAIR, policy_pb2.Policy()))
    await line.call("UpdatePolicy", save, ROOT, policy_pb2_grpc.PolicyServiceStub)
    clients = [Client(line, f"client{n}") for n in range(CLIENTS)]
    watchers = [
        Watcher(line, "WatchApprovals", approval_pb2.WatchApprovalsRequest),
        Watcher(line, "WatchApprovals", approval_pb2.WatchApprovalsRequest),
        Watcher(line, "WatchDecisions", approval_pb2.WatchDecisionsRequest),
    ]
    # A group: when one of them fails, none goes on, least of all the one that starts the service again.
    async with asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(watcher.run()) for watcher in watchers]
        killing = tasks.create_task(kill_again_and_again(process, line))
        await asyncio.gather(*(tasks.create_task(client.run(killing.done)) for client in clients))
        await killing
        trail = await read_trail(line)
        events = published(own_redis)
        for watcher in watchers[:2]:
            await watcher.until(max(events))
        await watchers[2].until(max(number for number, event in events.items() if kind_of(event) in DECISIONS))
        for task in watching:
            task.cancel()
    check_watchers(watchers, events, trail)
    summary = await check_lives(line, clients, trail)
    await check_chain(line, sum(map(len, trail.values())))
    summary |= {
        "kills": KILLS,
        "calls_interrupted": line.interrupted,
        "events": len(events),
        "streams_resumed": sum(watcher.resumed for watcher in watchers),
    }
    print(json.dumps(summary))
    # Otherwise it was killed while nobody wanted anything of it, which proves nothing.
    assert line.interrupted >= KILLS // 3
    assert all(watcher.resumed >= KILLS // 3 for watcher in watchers)
    await line.close()


def kind_of(event: Mapping[str, Any]) -> int:
    return TYPES.Value(event["type"])


def published(redis_server: RedisServer) -> dict[int, dict[str, Any]]:
    """The events by their number, as Redis has them."""
    with redis_server.admin() as redis:
        found: Any = redis.xrange("approval:{events}:stream")
        return {int(name.split(b"-")[0]): json.loads(fields[b"e"]) for name, fields in found}


async def read_trail(line: Line) -> dict[str, list[audit_pb2.AuditEvent]]:
    """All that was sealed, by approval, oldest first. What is no approval's is under the empty name."""
    records: list[audit_pb2.AuditRecord] = []
    request = audit_pb2.ListAuditEventsRequest(page_size=1000)
    while True:
        page = await line.call("ListAuditEvents", request, BOB, audit_pb2_grpc.AuditServiceStub)
        records += page.records
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    trail: dict[str, list[audit_pb2.AuditEvent]] = defaultdict(list)
    for record in sorted(records, key=lambda record: (record.shard, record.sequence)):
        trail[record.event.approval_id].append(record.event)
    return trail


def check_watchers(
    watchers: Sequence[Watcher],
    events: Mapping[int, Mapping[str, Any]],
    trail: Mapping[str, Sequence[audit_pb2.AuditEvent]],
) -> None:
    """All that happened to what people were asked was published once, and told to every watcher once, in its order."""
    assert list(events) == list(range(1, len(events) + 1))
    facts = {number: (event["approval_id"], kind_of(event), event.get("actor", "")) for number, event in events.items()}
    for watcher in watchers[:2]:
        seen = [(each.sequence, (each.event.approval_id, each.event.type, each.event.actor)) for each in watcher.seen]
        assert seen == list(facts.items())
    decided = [(number, fact[0]) for number, fact in facts.items() if fact[1] in DECISIONS]
    assert [(each.sequence, each.approval_id) for each in watchers[2].seen] == decided
    told: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for fact in facts.values():
        told[fact[0]].append(fact)
    for approval_id, life in trail.items():
        if approval_id and life[0].state == "pending":
            happened = [(approval_id, each.type, each.actor) for each in life if each.type in PUBLIC]
            assert told.pop(approval_id) == happened
    assert not told


async def check_lives(
    line: Line, clients: Sequence[Client], trail: Mapping[str, Sequence[audit_pb2.AuditEvent]]
) -> dict[str, int]:
    """Each life is whole, ends as its client left it, and has once what was acknowledged; returns numbers."""
    unheard = 0
    for client in clients:
        for approval_id, state in client.ended.items():
            get = approval_pb2.GetApprovalRequest(approval_id=approval_id)
            final = (await line.call("GetApproval", get, SERVICE)).approval
            assert final.state == state
            life = [each for each in trail[approval_id] if each.type != TYPES.AUDIT_EVENT_TYPE_REFUSED]
            check_history(life, final)
            used = [each for each in life if each.type == TYPES.AUDIT_EVENT_TYPE_GRANT_REDEEMED]
            assert len(used) == (state == approval_pb2.APPROVAL_STATE_CONSUMED)
            assert client.redeemed[approval_id] <= len(used), "a grant was redeemed twice"
            unheard += len(used) - client.redeemed[approval_id]
        for (approval_id, kind, actor), count in Counter(client.told).items():
            kinds = VOTES if kind in VOTES else (kind,)
            written = [each for each in trail[approval_id] if each.type in kinds and (not actor or each.actor == actor)]
            assert len(written) == count, (approval_id, TYPES.Name(kind), actor)
    requests = {approval_id for approval_id in trail if approval_id}
    assert requests == {approval_id for client in clients for approval_id in client.ended}
    return {
        "requests": len(requests),
        "acknowledged": sum(len(client.told) for client in clients),
        "redeemed": sum(sum(client.redeemed.values()) for client in clients),
        "redeemed_unheard": unheard,
    }


async def check_chain(line: Line, records: int) -> None:
    """The chain of every shard verifies, and has everything."""
    stub = await line.stub(audit_pb2_grpc.AuditServiceStub)
    reports = [report async for report in stub.VerifyAudit(audit_pb2.VerifyAuditRequest(), metadata=SERVICE)]
    done = [report for report in reports if report.done]
    assert len(done) == 16
    assert not [report for report in done if report.HasField("problem")]
    assert not sum(report.unsealed for report in done)
    assert sum(report.records_checked for report in done) == records
    assert sum(report.checkpoints_verified for report in done)
