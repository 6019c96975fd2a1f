"""PolicyService."""

from __future__ import annotations

from typing import Any

import grpc

from harness.approval.v1 import policy_pb2, policy_pb2_grpc
from services.approval import convert
from services.approval.messages import timestamp
from services.approval.policies import Policies
from services.runtime.context import current_caller
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyServicer(policy_pb2_grpc.PolicyServiceServicer):
    """Reads, saves and tries policies."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def GetPolicy(self, request: policy_pb2.GetPolicyRequest, context: Context) -> policy_pb2.GetPolicyResponse:
        """Return the policy that holds in an environment, or an earlier version."""
        environment = convert.environment_name(request.environment, "")
        return policy_pb2.GetPolicyResponse(policy=await self._policies.get(environment, request.version))

    async def UpdatePolicy(
        self, request: policy_pb2.UpdatePolicyRequest, context: Context
    ) -> policy_pb2.UpdatePolicyResponse:
        """Replace the policy of an environment."""
        saved = await self._policies.replace(request.policy, current_caller())
        return policy_pb2.UpdatePolicyResponse(policy=saved)

    async def ListPolicyVersions(
        self, request: policy_pb2.ListPolicyVersionsRequest, context: Context
    ) -> policy_pb2.ListPolicyVersionsResponse:
        """Return who saved the policy of an environment, and when."""
        environment = convert.environment_name(request.environment, "")
        page = page_for(request)
        saved = await self._policies.versions(environment, int(page.cursor or 0), page.size + 1)
        return policy_pb2.ListPolicyVersionsResponse(
            versions=[
                policy_pb2.PolicyVersion(
                    version=each.version, updated_by=each.updated_by, update_time=timestamp(each.updated_ms)
                )
                for each in saved[: page.size]
            ],
            next_page_token=page.next_token(str(saved[page.size - 1].version) if len(saved) > page.size else None),
        )

    async def TestPolicy(
        self, request: policy_pb2.TestPolicyRequest, context: Context
    ) -> policy_pb2.TestPolicyResponse:
        """Try a draft on examples and on real requests."""
        return await self._policies.try_out(request)
