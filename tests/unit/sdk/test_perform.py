"""A worker runs nothing that the approval service has not granted, whatever the orchestrator says."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import pytest

from harness.approval.v1 import approval_pb2
from harness.common.v1.action_pb2 import Action, CommandAction
from harness.orchestrator.v1 import agent_pb2
from motherharness import StepContext, StepFailure, digest
from motherharness.grants import KeySet
from services.approval.grants.issuer import Grants
from services.approval.grants.keys import generate, signing_key
from services.approval.grants.ring import KeyRing
from services.approval.grants.token import Claims, sign

KEY = signing_key(generate())
ACTION = Action(command=CommandAction(script="rm -rf build"))
GRANTED = Claims("apr_1", 1, digest([ACTION]), "run_1", "step", 2, 0, round(time.time() + 3600) * 1000, "id")


class Server:
    """Both services: clears everything with one grant, and remembers what it was asked."""

    def __init__(self, grant: str) -> None:
        self.grant = grant
        self.calls: list[str] = []
        self.agents = self.approvals = self
        self.grant_keys = KeySet(self._keys)

    def __getattr__(self, method: str) -> str:
        return method

    async def _keys(self) -> Sequence[approval_pb2.GrantKey]:
        self.calls.append("ListGrantKeys")
        return Grants(KeyRing([KEY])).keys()

    async def call(self, method: str, request: Any, *, idempotent: bool) -> Any:
        """Answer one call."""
        self.calls.append(method)
        if method == "ProposeActions":
            cleared = agent_pb2.PROPOSAL_OUTCOME_CLEARED
            return agent_pb2.ProposeActionsResponse(outcome=cleared, grant=self.grant, digest=digest(request.actions))
        return None


async def perform(grant: str) -> tuple[list[str], list[str], StepFailure | None]:
    """Perform an action; what was called, what was run, and the failure."""
    server, ran = Server(grant), []
    token = agent_pb2.LeaseToken(run_id="run_1", step_id="step", attempt=2)
    context = StepContext(agent_pb2.StepLease(token=token), "worker", server)  # type: ignore[arg-type]

    async def runner(actions: Sequence[Action]) -> dict[str, Any]:
        ran.append(actions[0].command.script)
        return {}

    try:
        await context.perform(ACTION, runner)
    except StepFailure as failure:
        return server.calls, ran, failure
    return server.calls, ran, None


async def test_a_grant_is_verified_then_redeemed_then_the_action_runs() -> None:
    calls, ran, failure = await perform(sign(GRANTED, KEY))
    assert failure is None
    assert calls == ["ProposeActions", "ListGrantKeys", "RedeemGrant", "RecordActions"]
    assert ran == ["rm -rf build"]


@pytest.mark.parametrize(
    ("grant", "code", "retry"),
    [
        ("", "GRANT_INVALID", False),
        ("apr_1.secret", "GRANT_INVALID", False),
        (sign(GRANTED, signing_key(generate())), "GRANT_INVALID", False),
        (sign(GRANTED, KEY)[:-1], "GRANT_INVALID", False),
        (sign(dataclasses.replace(GRANTED, digest="sha256:" + "0" * 64), KEY), "GRANT_MISMATCH", False),
        (sign(dataclasses.replace(GRANTED, run_id="run_2"), KEY), "GRANT_MISMATCH", False),
        (sign(dataclasses.replace(GRANTED, step_id="other"), KEY), "GRANT_MISMATCH", False),
        (sign(dataclasses.replace(GRANTED, attempt=1), KEY), "GRANT_MISMATCH", False),
        (sign(dataclasses.replace(GRANTED, expires_ms=1000), KEY), "GRANT_UNUSABLE", True),
    ],
)
async def test_anything_else_is_neither_redeemed_nor_run(grant: str, code: str, retry: bool) -> None:
    calls, ran, failure = await perform(grant)
    assert failure is not None
    assert (failure.reason, failure.non_retryable) == (code, not retry)
    assert "RedeemGrant" not in calls
    assert ran == []
