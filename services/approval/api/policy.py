"""PolicyService."""

from __future__ import annotations

from typing import Any

import grpc

from harness.approval.v1 import policy_pb2, policy_pb2_grpc
from services.approval import convert
from services.approval.policies import Policies
from services.runtime.context import current_caller

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Reads and saves policies."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def GetPolicy(self, request: policy_pb2.GetPolicyRequest, context: Context) -> policy_pb2.GetPolicyResponse:
        """Return the policy that holds in an environment."""
        environment = convert.environment_name(request.environment, "")
        return policy_pb2.GetPolicyResponse(policy=await self._policies.get(environment))

    async def UpdatePolicy(
        self, request: policy_pb2.UpdatePolicyRequest, context: Context
    ) -> policy_pb2.UpdatePolicyResponse:
        """Replace the policy of an environment."""
        saved = await self._policies.replace(request.policy, current_caller().subject)
        return policy_pb2.UpdatePolicyResponse(policy=saved)
