"""Two hundred people at the same fifty approvals: each ends once, votes count once, and the trail holds.

HARNESS_CROWD_SECONDS sets how long they are at it (default 30), HARNESS_CROWD_SEED repeats what they do.
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2, audit_pb2
from harness.common.v1 import action_pb2
from services.approval.record import TRANSITIONS, State
from tests.integration.approval.harness import Approvals, item, running, until
from tests.support.redis_server import RedisServer
from tests.support.tokens import as_

SECONDS = float(os.environ.get("HARNESS_CROWD_SECONDS", "30"))
SEED = int(os.environ.get("HARNESS_CROWD_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
PEOPLE, REQUESTS = 200, 50
# What somebody who is late, or not entitled, is told; anything else is a defect.
REFUSALS = {
    *(grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED),
    *(grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED, grpc.StatusCode.INVALID_ARGUMENT),
}
STATES = {state.name.lower(): state for state in State}

pytestmark = pytest.mark.faults


class Crowd:
    """People who do what they like, some of them the requesters."""

    def __init__(self, service: Approvals, approvals: list[approval_pb2.Approval]) -> None:
        self.service = service
        self.approvals = approvals
        self.done: dict[str, int] = defaultdict(int)

    async def person(self, n: int, end: float) -> None:
        """Act at random until a time."""
        dice = random.Random(SEED * 1000 + n)
        name = f"requester{n}" if n < REQUESTS else f"person{n}"
        who = as_(name, "approver", groups=["security"] if n % 3 == 0 else [])
        acts = (self.approve, self.approve, self.approve, self.reject, self.withdraw, self.edit)
        while time.monotonic() < end:
            # Mostly others' approvals; everybody looks at one that may have changed since.
            approval = self.approvals[dice.randrange(REQUESTS)]
            act = dice.choice(acts)
            try:
                await act(approval.id, who, dice)
                self.done[act.__name__] += 1
            except grpc.aio.AioRpcError as error:
                if error.code() not in REFUSALS:
                    raise
                self.done["refused"] += 1
            await asyncio.sleep(dice.random() * 0.2)

    async def approve(self, approval_id: str, who: Any, dice: random.Random) -> None:
        digest = (await self.service.get(approval_id)).digest if dice.random() < 0.5 else ""
        await self.service.decide(approval_id, as_=who, digest=digest)

    async def reject(self, approval_id: str, who: Any, dice: random.Random) -> None:
        if dice.random() < 0.05:
            await self.service.decide(approval_id, approve=False, as_=who)

    async def withdraw(self, approval_id: str, who: Any, dice: random.Random) -> None:
        request = approval_pb2.WithdrawApprovalRequest(approval_id=approval_id)
        await self.service.approvals.WithdrawApproval(request, metadata=who)

    async def edit(self, approval_id: str, who: Any, dice: random.Random) -> None:
        seen = await self.service.get(approval_id)
        script = f"rm -rf build/{dice.randrange(1000)}"
        request = approval_pb2.ReviseApprovalRequest(
            approval_id=approval_id,
            digest=seen.digest,
            actions=[action_pb2.Action(command=action_pb2.CommandAction(script=script))],
            reason="other",
        )
        await self.service.approvals.ReviseApproval(request, metadata=who)


async def events_of(service: Approvals) -> dict[str, list[audit_pb2.AuditEvent]]:
    """Everything that watchers were told, by approval."""
    latest = int(await service.redis.get("approval:{events}:sequence") or 0)
    found: dict[str, list[audit_pb2.AuditEvent]] = defaultdict(list)
    for told in await service.watched(latest):
        found[told.event.approval_id].append(told.event)
    return found


async def until_sealed(service: Approvals) -> None:
    """Wait until everything that happened is in the audit trail."""

    async def unsealed() -> int:
        return sum(report.unsealed for report in await service.verified())

    await until(unsealed, 0)


def check_history(events: list[audit_pb2.AuditEvent], final: approval_pb2.Approval) -> None:
    """Fail unless the events of an approval are a life that an approval can have, and lead to how it is."""
    states = [STATES[event.state] for event in events]
    assert states[0] is State.PENDING
    for before, after in pairwise(states):
        assert after is before or after in TRANSITIONS[before], (before, after)
    assert states[-1].value == final.state
    voters: set[str] = set()
    revision = 1
    authors = {final.requester}
    for event in events:
        if event.type == audit_pb2.AUDIT_EVENT_TYPE_REVISED:
            assert event.revision == revision + 1
            revision, voters = event.revision, set()
            authors.add(event.actor)
        if event.type in (audit_pb2.AUDIT_EVENT_TYPE_VOTED, audit_pb2.AUDIT_EVENT_TYPE_APPROVED):
            assert event.actor not in voters, "one person voted twice"
            assert event.actor not in authors, "somebody decided what was their own"
            voters.add(event.actor)
            assert event.votes_for == len(voters)
    assert final.revision == revision
    assert {vote.voter for vote in final.votes if vote.approved} == voters


async def test_a_crowd_at_the_same_approvals(fresh_redis: RedisServer) -> None:
    print(f"HARNESS_CROWD_SEED={SEED}")
    async with running(fresh_redis, log_level="error") as service:
        results = await service.request(
            *(item("rm -rf build", requester=f"requester{n}", run_id=f"run_{n}") for n in range(REQUESTS))
        )
        approvals = [result.approval for result in results]
        crowd = Crowd(service, approvals)
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(crowd.person(n, end) for n in range(PEOPLE)))
        # Whoever is left is decided now, so that each has an end.
        for approval in approvals:
            if (await service.get(approval.id)).state == approval_pb2.APPROVAL_STATE_PENDING:
                await service.decide(approval.id, approve=False, as_=as_("last", "approver"))
        events = await events_of(service)
        for approval in approvals:
            final = await service.get(approval.id)
            assert final.state in (
                approval_pb2.APPROVAL_STATE_APPROVED,
                approval_pb2.APPROVAL_STATE_REJECTED,
                approval_pb2.APPROVAL_STATE_WITHDRAWN,
            )
            check_history(events[approval.id], final)
        await until_sealed(service)
        reports = await service.verified()
        assert not any(report.HasField("problem") for report in reports)
        assert sum(report.records_checked for report in reports) >= sum(map(len, events.values()))
        print(dict(crowd.done))
        assert crowd.done["approve"]
        assert crowd.done["edit"]
        assert crowd.done["refused"]
