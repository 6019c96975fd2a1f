"""Start the approval service: `python -m services.approval`."""

from __future__ import annotations

from harness.approval.v1 import approval_pb2_grpc, policy_pb2_grpc, risk_pb2_grpc
from services.approval.api.approval import ApprovalServicer
from services.approval.api.policy import PolicyServicer
from services.approval.api.risk import RiskServicer
from services.approval.gate import Gate
from services.approval.inbox import Inbox
from services.approval.policies import Policies
from services.approval.settings import ApprovalSettings
from services.approval.store.approvals import ApprovalStore
from services.approval.store.decisions import DecisionLog
from services.approval.store.policies import PolicyStore
from services.approval.sweeper import Sweeper
from services.runtime.entry import run_service
from services.runtime.redis import check_durability, connect, readiness, wait_until_reachable
from services.runtime.server import ServiceRegistration, serve

# What a message needs beside the actions it carries.
_HEADROOM_BYTES = 256 * 1024


async def main(settings: ApprovalSettings) -> None:
    """Serve until told to stop."""
    redis = connect(settings.redis_url, client_name="approval")
    blocking = connect(settings.redis_url, client_name="approval-watch", blocking=True)
    try:
        await wait_until_reachable(redis)
        await check_durability(redis, settings.require_durable_redis)
        store = ApprovalStore(redis, settings.approval_shards)
        decisions = DecisionLog(
            redis,
            blocking,
            shards=settings.approval_shards,
            kept=settings.approval_decisions_kept,
            recheck_seconds=settings.approval_publish_seconds,
        )
        policies = Policies(PolicyStore(redis))
        gate = Gate(
            store,
            policies,
            decisions,
            times=settings.times(),
            environment=settings.environment,
            max_body_bytes=max(settings.max_message_bytes - _HEADROOM_BYTES, settings.max_message_bytes // 2),
        )
        sweeper = Sweeper(
            gate,
            every_seconds=settings.approval_sweep_seconds,
            retention_ms=round(settings.approval_retention_days * 86_400_000),
        )
        await serve(
            settings,
            name="approval",
            services=[
                ServiceRegistration(
                    approval_pb2_grpc.add_ApprovalServiceServicer_to_server,
                    ApprovalServicer(gate, Inbox(store), decisions),
                ),
                ServiceRegistration(policy_pb2_grpc.add_PolicyServiceServicer_to_server, PolicyServicer(policies)),
                ServiceRegistration(
                    risk_pb2_grpc.add_RiskServiceServicer_to_server,
                    RiskServicer(policies, settings.environment),
                ),
            ],
            background=[sweeper.run, decisions.run_publisher, decisions.run_listener],
            ready=readiness(redis),
        )
    finally:
        await redis.aclose()
        await blocking.aclose()


if __name__ == "__main__":
    run_service("approval", ApprovalSettings, main)
