"""Two hundred people at the same fifty approvals: each ends once, votes count once, and the trail holds.

HARNESS_CROWD_SECONDS sets how long they are at it (default 30), HARNESS_CROWD_SEED repeats what they do.
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import approval_pb2, audit_pb2, policy_pb2
from harness.common.v1 import action_pb2
from tests.integration.approval.harness import ROOT, Approvals, item, running, until
from tests.support.histories import check_history
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
# So many must agree that votes meet edits, withdrawals and each other for long.
VOTES = 10
POLICY = {
    "environment": "ENVIRONMENT_DEVELOPMENT",
    "enabled": True,
    "max_risk_level": "RISK_LEVEL_LOW",
    "rules": [
        {
            "id": "many",
            "outcome": "POLICY_OUTCOME_HUMAN",
            "when": "true",
            "explanation": "Many must agree.",
            "quorum": [{"role": "ROLE_APPROVER", "count": VOTES}],
        }
    ],
}

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
        acts = (self.approve, self.edit, self.reject, self.withdraw)
        while time.monotonic() < end:
            # An end is rare, so that there is something to meet for long.
            (act,) = dice.choices(acts, (40, 20, 1, 1))
            own = act == self.withdraw and n < REQUESTS
            approval = self.approvals[n if own else dice.randrange(REQUESTS)]
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


async def lives_of(service: Approvals) -> dict[str, list[audit_pb2.AuditEvent]]:
    """What the trail has of each approval, oldest first, without what was refused; watchers were told the same."""
    await until_sealed(service)
    lives: dict[str, list[audit_pb2.AuditEvent]] = defaultdict(list)
    for record in sorted(await service.trail(page_size=1000), key=lambda record: record.sequence):
        if record.event.approval_id and record.event.type != audit_pb2.AUDIT_EVENT_TYPE_REFUSED:
            lives[record.event.approval_id].append(record.event)
    told: dict[str, list[audit_pb2.AuditEvent]] = defaultdict(list)
    for each in await service.watched(sum(map(len, lives.values()))):
        told[each.event.approval_id].append(each.event)
    assert told == lives
    return lives


async def until_sealed(service: Approvals) -> None:
    """Wait until everything that happened is in the audit trail."""

    async def unsealed() -> int:
        return sum(report.unsealed for report in await service.verified())

    await until(unsealed, 0)


async def test_a_crowd_at_the_same_approvals(fresh_redis: RedisServer) -> None:
    print(f"HARNESS_CROWD_SEED={SEED}")
    async with running(fresh_redis, log_level="error") as service:
        save = policy_pb2.UpdatePolicyRequest(policy=ParseDict(POLICY, policy_pb2.Policy()))
        await service.policies.UpdatePolicy(save, metadata=ROOT)
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
        lives = await lives_of(service)
        ended: dict[str, int] = defaultdict(int)
        for approval in approvals:
            final = await service.get(approval.id)
            ended[approval_pb2.ApprovalState.Name(final.state)] += 1
            assert final.state in (
                approval_pb2.APPROVAL_STATE_APPROVED,
                approval_pb2.APPROVAL_STATE_REJECTED,
                approval_pb2.APPROVAL_STATE_WITHDRAWN,
            )
            check_history(lives[approval.id], final)
        reports = await service.verified()
        assert not any(report.HasField("problem") for report in reports)
        assert sum(report.records_checked for report in reports) >= sum(map(len, lives.values()))
        print(dict(crowd.done), dict(ended))
        assert crowd.done["approve"]
        assert crowd.done["edit"]
        assert crowd.done["withdraw"]
        assert crowd.done["refused"]
