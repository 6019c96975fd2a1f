"""Requests for approval without a run: asked for as the orchestrator asks."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import access_pb2, action_pb2
from harness.common.v1.action_pb2 import Action, CommandAction
from motherharness import Client
from motherharness.devstack import Stack
from motherharness.transport import Transport


def command(script: str) -> Action:
    """A shell script."""
    return Action(command=CommandAction(script=script))


def item(
    *actions: Action,
    requester: str = "alice",
    project: str = "prj_1",
    run: str = "",
    environment: action_pb2.Environment.ValueType = action_pb2.ENVIRONMENT_DEVELOPMENT,
    reason: str = "because",
    context: Mapping[str, Any] | None = None,
    **fields: Any,
) -> approval_pb2.ApprovalItem:
    """What somebody asks for, in a run of its own unless one is named."""
    where = risk_pb2.ActionContext(
        environment=environment,
        agent="shell",
        project_id=project,
        run_id=run or f"run_{uuid.uuid4().hex[:12]}",
        step_id="clean",
        **(context or {}),
    )
    return approval_pb2.ApprovalItem(
        request_id=uuid.uuid4().hex,
        requester=requester,
        actions=actions,
        context=where,
        reason=reason,
        attempt=1,
        **fields,
    )


async def ask(stack: Stack, *items: approval_pb2.ApprovalItem) -> list[approval_pb2.Approval]:
    """What became of each."""
    transport = Transport(stack.connection("orchestrator", "service"))
    try:
        request = approval_pb2.RequestApprovalsRequest(items=items)
        answer = await transport.call(transport.approvals.RequestApprovals, request, idempotent=True)
    finally:
        await transport.close()
    assert not [result.error_message for result in answer.results if result.error_reason]
    return [result.approval for result in answer.results]


def asked(stack: Stack, *scripts: str, **fields: Any) -> list[str]:
    """Ids of requests that wait for a human, a script each."""
    items: Sequence[approval_pb2.ApprovalItem] = [item(command(script), **fields) for script in scripts]
    found = asyncio.run(ask(stack, *items))
    assert all(approval.state == approval_pb2.APPROVAL_STATE_PENDING for approval in found), found
    return [approval.id for approval in found]


async def ask_two(stack: Stack, environment: action_pb2.Environment.ValueType) -> None:
    """Have an environment's policy ask for two approvers from now on."""
    async with Client(stack.connection("root")) as root:
        policy = await root.get_policy(environment)
        policy.rules.add(
            id="two-people",
            outcome=risk_pb2.POLICY_OUTCOME_HUMAN,
            when="assessment.level >= MEDIUM",
            explanation="Two people look at what is risky.",
            quorum=[approval_pb2.Seat(role=access_pb2.ROLE_APPROVER, count=2)],
        )
        await root.update_policy(policy)
