"""`python -m services.orchestrator`: the orchestrator as a process."""

from __future__ import annotations

from services.orchestrator.assembly import assemble
from services.orchestrator.settings import OrchestratorSettings
from services.runtime.auth import ServiceTokens
from services.runtime.clients import channel
from services.runtime.entry import run_service
from services.runtime.redis import check_durability, connect, readiness, wait_until_reachable
from services.runtime.server import serve

APPROVAL_SERVICES = ("harness.approval.v1.ApprovalService", "harness.approval.v1.RiskService")
# Repeating them is harmless: assessing stores nothing, and a request id names each approval that is asked for.
IDEMPOTENT = (
    "harness.approval.v1.RiskService/AssessActions",
    "harness.approval.v1.ApprovalService/RequestApprovals",
    "harness.approval.v1.ApprovalService/WithdrawApprovals",
)


async def main(settings: OrchestratorSettings) -> None:
    """Serve until told to stop."""
    redis = connect(settings.redis_url, client_name="orchestrator")
    listening = connect(settings.redis_url, client_name="orchestrator-listening", blocking=True)
    approval = channel(
        settings.approval_address,
        settings,
        ServiceTokens(settings, "orchestrator"),
        services=list(APPROVAL_SERVICES),
        idempotent=list(IDEMPOTENT),
    )
    try:
        await wait_until_reachable(redis)
        await check_durability(redis, settings.require_durable_redis)
        parts = await assemble(settings, redis, listening, approval)
        await serve(
            settings,
            name="orchestrator",
            services=parts.services,
            background=parts.background,
            ready=readiness(redis),
            # Long polls and watches look up from their waiting, see that the process drains, and end.
            on_drain=parts.notifications.drain,
        )
    finally:
        await approval.close()
        await listening.aclose()
        await redis.aclose()


if __name__ == "__main__":
    run_service("orchestrator", OrchestratorSettings, main)
