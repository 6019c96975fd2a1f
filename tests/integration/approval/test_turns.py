"""Judging holds nobody else up: others get their turn between items, and what takes long is judged beside the loop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from harness.approval.v1 import policy_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import gate
from services.approval import judge as judge_module
from tests.integration.approval.harness import ROOT, Approvals, item

RULES = 100


async def save_rules(service: Approvals) -> None:
    """A policy with as many rules as it is measured with."""
    policy = policy_pb2.Policy(
        environment=action_pb2.ENVIRONMENT_DEVELOPMENT, enabled=True, max_risk_level=risk_pb2.RISK_LEVEL_LOW
    )
    for n in range(RULES):
        policy.rules.add(
            id=f"r{n}",
            outcome=risk_pb2.POLICY_OUTCOME_HUMAN,
            when=f"action.words.exists(each, each == 'never-{n}')",
            explanation="never",
        )
    await service.policies.UpdatePolicy(policy_pb2.UpdatePolicyRequest(policy=policy), metadata=ROOT)


async def test_others_get_their_turn_between_items(service: Approvals, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = 0
    judged_in: Counter[int] = Counter()

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    real = judge_module.judge

    def judge(*args: Any, **more: Any) -> Any:
        judged_in[turn] += 1
        return real(*args, **more)

    monkeypatch.setattr(gate, "judge", judge)
    busy = asyncio.create_task(others())
    await service.request(*(item(f"ls {n}") for n in range(200)))
    # Rules take their time too.
    small = max(judged_in.values())
    await save_rules(service)
    judged_in.clear()
    await service.request(*(item(f"ls {n}") for n in range(100)))
    busy.cancel()
    assert sum(judged_in.values()) == 100
    assert max(judged_in.values()) <= 4 < small <= 20


async def test_many_actions_under_many_rules_are_judged_beside_the_loop(
    service: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    real = judge_module.judge

    def judge(*args: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return real(*args, **more)

    monkeypatch.setattr(gate, "judge", judge)
    await save_rules(service)
    many = item()
    many.actions.extend(action_pb2.Action(command=action_pb2.CommandAction(script=f"ls {n}")) for n in range(31))
    long = item("# " + "x" * 20_000)
    few, wide, large = await service.request(item(), many, long)
    assert len({few.approval.id, wide.approval.id, large.approval.id}) == 3
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False, False]
