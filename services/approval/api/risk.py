"""RiskService."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from harness.approval.v1 import risk_pb2, risk_pb2_grpc
from services.approval import convert
from services.approval.judge import Asked, judge
from services.approval.policies import Policies
from services.approval.risk.rules import RuleBook
from services.runtime.context import current_caller

Context = grpc.aio.ServicerContext[Any, Any]

# From here on, assessing runs beside the event loop instead of in it.
_BIG_BYTES = 64 * 1024


class RiskServicer(risk_pb2_grpc.RiskServiceServicer):
    """Judges actions, and stores nothing. `environment` is for items that name none, `rules` are those in force."""

    def __init__(self, policies: Policies, environment: str, rules: RuleBook | None = None) -> None:
        self._policies = policies
        self._environment = environment
        self._rules = rules

    async def AssessActions(
        self, request: risk_pb2.AssessActionsRequest, context: Context
    ) -> risk_pb2.AssessActionsResponse:
        """Judge a batch of items."""
        assessed_in = [convert.environment_name(item.context.environment, self._environment) for item in request.items]
        decided_in = [convert.environment_name(request.policy_environment, name) for name in assessed_in]
        policies = await self._policies.of(decided_in)
        requester = current_caller().subject

        def judge_all() -> risk_pb2.AssessActionsResponse:
            response = risk_pb2.AssessActionsResponse()
            elsewhere = convert.context_of(risk_pb2.ActionContext(), self._environment, self._rules)
            for item, environment, policy in zip(request.items, assessed_in, decided_in, strict=True):
                judged = judge(
                    item.actions,
                    convert.context_of(item.context, environment, self._rules)
                    if item.HasField("context")
                    else elsewhere,
                    policies[policy],
                    require_approval=item.require_approval,
                    asked=Asked(item.context.project_id, requester, policies.now_ms),
                )
                answer = response.items.add(
                    outcome=risk_pb2.PolicyOutcome.ValueType(int(judged.verdict.outcome)),
                    policy_reason=judged.verdict.reason,
                    digest=judged.digest,
                )
                judged.put_assessment(answer.assessment)
            return response

        return await asyncio.to_thread(judge_all) if request.ByteSize() > _BIG_BYTES else judge_all()
