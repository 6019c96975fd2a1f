"""How the parts of the approval service are put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from harness.approval.v1 import approval_pb2_grpc, policy_pb2_grpc, risk_pb2_grpc
from services.approval.api.approval import ApprovalServicer
from services.approval.api.policy import PolicyServicer
from services.approval.api.risk import RiskServicer
from services.approval.gate import Gate
from services.approval.inbox import Inbox
from services.approval.policies import Policies
from services.approval.risk.rules import RuleBook
from services.approval.settings import ApprovalSettings
from services.approval.store.approvals import ApprovalStore
from services.approval.store.decisions import DecisionLog
from services.approval.store.policies import PolicyStore
from services.approval.sweeper import Sweeper
from services.runtime.server import ServiceRegistration

# What a message needs beside the actions it carries.
_HEADROOM_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Application:
    """What a server runs: `services` beside `background` tasks."""

    services: list[ServiceRegistration]
    background: list[Callable[[], Awaitable[None]]]


def build(settings: ApprovalSettings, redis: Redis, blocking: Redis, rules: RuleBook | None = None) -> Application:
    """Put the service together.

    Args:
        settings: of the service.
        redis: a client.
        blocking: a client of its own, for reads that wait.
        rules: about commands, from `rule_packs`; None means the built-in ones.
    """
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
        rules=rules,
        max_body_bytes=max(settings.max_message_bytes - _HEADROOM_BYTES, settings.max_message_bytes // 2),
    )
    sweeper = Sweeper(
        gate,
        every_seconds=settings.approval_sweep_seconds,
        retention_ms=round(settings.approval_retention_days * 86_400_000),
    )
    return Application(
        services=[
            ServiceRegistration(
                approval_pb2_grpc.add_ApprovalServiceServicer_to_server,
                ApprovalServicer(gate, Inbox(store), decisions),
            ),
            ServiceRegistration(policy_pb2_grpc.add_PolicyServiceServicer_to_server, PolicyServicer(policies)),
            ServiceRegistration(
                risk_pb2_grpc.add_RiskServiceServicer_to_server, RiskServicer(policies, settings.environment, rules)
            ),
        ],
        background=[sweeper.run, decisions.run_publisher, decisions.run_listener],
    )
