"""How the parts of the approval service are put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from harness.approval.v1 import (
    approval_pb2_grpc,
    audit_pb2_grpc,
    delegation_pb2_grpc,
    policy_pb2_grpc,
    remembered_pb2_grpc,
    risk_pb2_grpc,
    webhook_pb2_grpc,
)
from services.approval.api.approval import ApprovalServicer
from services.approval.api.audit import AuditServicer
from services.approval.api.delegation import DelegationServicer
from services.approval.api.policy import PolicyServicer
from services.approval.api.remembered import RememberedDecisionServicer
from services.approval.api.risk import RiskServicer
from services.approval.api.webhook import WebhookServicer
from services.approval.audit.sealer import Sealer
from services.approval.audit.trail import Trail
from services.approval.changes import Changes
from services.approval.delegations import Delegations
from services.approval.desk import Desk
from services.approval.gate import Gate
from services.approval.grants.issuer import Grants
from services.approval.grants.ring import KeyRing
from services.approval.history import History
from services.approval.inbox import Inbox
from services.approval.limits import Limits
from services.approval.notifications.courier import Courier
from services.approval.notifications.fanout import FanOut
from services.approval.notifications.sender import Sender
from services.approval.notifications.webhooks import Webhooks
from services.approval.policies import Policies
from services.approval.risk.rules import RuleBook
from services.approval.settings import ApprovalSettings
from services.approval.store.approvals import ApprovalStore
from services.approval.store.audit import AuditStore
from services.approval.store.delegations import DelegationStore
from services.approval.store.deliveries import DeliveryStore
from services.approval.store.events import EventLog
from services.approval.store.journal import Journal
from services.approval.store.policies import PolicyStore
from services.approval.store.remembered import RememberedStore
from services.approval.store.webhooks import WebhookStore
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

    Raises:
        ConfigurationError: there are no keys to sign grants with.
    """
    store = ApprovalStore(redis, settings.approval_shards)
    events = EventLog(
        redis,
        blocking,
        shards=settings.approval_shards,
        kept=settings.approval_events_kept,
        recheck_seconds=settings.approval_publish_seconds,
    )
    deliveries, webhooks = DeliveryStore(redis, settings.approval_shards), WebhookStore(redis)
    ring = KeyRing.open(settings.approval_signing_keys, development=settings.environment == "development")
    chains = AuditStore(redis, settings.approval_shards)
    sealer = Sealer(chains, ring, settings.audit_habits())
    trail = Trail(chains, sealer, ring, settings.audit_habits())
    journal = Journal(redis, settings.approval_shards, [events.published, sealer.sealed, deliveries.read])
    policies = Policies(PolicyStore(redis), History(store, settings.environment), rules)
    grants = Grants(ring)
    changes = Changes(store, events, journal)
    remembered = RememberedStore(redis, settings.approval_shards)
    delegations = Delegations(DelegationStore(redis))
    max_body_bytes = max(settings.max_message_bytes - _HEADROOM_BYTES, settings.max_message_bytes // 2)
    gate = Gate(
        store,
        policies,
        changes,
        remembered,
        grants,
        times=settings.times(),
        environment=settings.environment,
        rules=rules,
        max_body_bytes=max_body_bytes,
        max_pending_of_run=settings.approval_pending_per_run,
        limits=Limits(
            store,
            pending=settings.approval_pending_per_requester,
            asks_per_minute=settings.approval_asks_per_minute,
        ),
    )
    desk = Desk(
        store,
        policies,
        changes,
        delegations,
        remembered,
        times=settings.times(),
        rules=rules,
        max_body_bytes=max_body_bytes,
    )
    sweeper = Sweeper(
        gate,
        journal,
        every_seconds=settings.approval_sweep_seconds,
        retention_ms=round(settings.approval_retention_days * 86_400_000),
    )
    sender = Sender(settings.approval_webhook_timeout_seconds)
    courier = _courier(settings, redis, store, webhooks, deliveries, sender)
    return Application(
        services=[
            ServiceRegistration(
                approval_pb2_grpc.add_ApprovalServiceServicer_to_server,
                ApprovalServicer(gate, desk, Inbox(store), events, grants),
            ),
            ServiceRegistration(audit_pb2_grpc.add_AuditServiceServicer_to_server, AuditServicer(trail)),
            ServiceRegistration(
                delegation_pb2_grpc.add_DelegationServiceServicer_to_server, DelegationServicer(delegations)
            ),
            ServiceRegistration(
                remembered_pb2_grpc.add_RememberedDecisionServiceServicer_to_server,
                RememberedDecisionServicer(remembered),
            ),
            ServiceRegistration(policy_pb2_grpc.add_PolicyServiceServicer_to_server, PolicyServicer(policies)),
            ServiceRegistration(
                risk_pb2_grpc.add_RiskServiceServicer_to_server, RiskServicer(policies, settings.environment, rules)
            ),
            ServiceRegistration(
                webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
                WebhookServicer(
                    Webhooks(webhooks, deliveries, sender, allow_http=settings.approval_webhook_http),
                ),
            ),
        ],
        background=[sweeper.run, sealer.run, events.run_publisher, events.run_listener, courier.run],
    )


def _courier(
    settings: ApprovalSettings,
    redis: Redis,
    approvals: ApprovalStore,
    webhooks: WebhookStore,
    deliveries: DeliveryStore,
    sender: Sender,
) -> Courier:
    fan_out = FanOut(
        webhooks,
        deliveries,
        approvals,
        gather_ms=round(settings.approval_gather_seconds * 1000),
        link=settings.approval_link,
    )
    return Courier(
        redis,
        fan_out,
        webhooks,
        deliveries,
        sender,
        every_seconds=settings.approval_webhook_seconds,
        per_minute=settings.approval_webhooks_per_minute,
        dead_ms=round(settings.approval_dead_letter_days * 86_400_000),
        first_pause_seconds=settings.approval_webhook_retry_seconds,
    )
