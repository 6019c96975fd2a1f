"""Start the approval service: `python -m services.approval`."""

from __future__ import annotations

import structlog

from services.approval.app import build
from services.approval.rule_packs import condensed, rule_book
from services.approval.settings import ApprovalSettings
from services.approval.trials import check_shipped
from services.runtime.entry import run_service
from services.runtime.redis import check_durability, connect, readiness, wait_until_reachable
from services.runtime.server import serve

log = structlog.get_logger(__name__)


async def main(settings: ApprovalSettings) -> None:
    """Serve until told to stop. Raises ConfigurationError for a rule pack that is wrong."""
    check_shipped()
    rules = rule_book(settings.risk_rule_packs)
    log.info("rules_in_force", rule_packs=condensed(rules), packs=rules.versions())
    redis = connect(settings.redis_url, client_name="approval")
    blocking = connect(settings.redis_url, client_name="approval-watch", blocking=True)
    try:
        await wait_until_reachable(redis)
        await check_durability(redis, settings.require_durable_redis)
        app = build(settings, redis, blocking, rules)
        await serve(settings, name="approval", services=app.services, background=app.background, ready=readiness(redis))
    finally:
        await redis.aclose()
        await blocking.aclose()


if __name__ == "__main__":
    run_service("approval", ApprovalSettings, main)
