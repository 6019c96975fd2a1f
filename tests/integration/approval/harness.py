"""An approval service in this process, and the calls that tests make to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from pydantic import SecretStr
from redis.asyncio import Redis

from harness.approval.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    delegation_pb2_grpc,
    policy_pb2_grpc,
    remembered_pb2_grpc,
    risk_pb2,
    risk_pb2_grpc,
    webhook_pb2_grpc,
)
from harness.common.v1 import action_pb2
from services.approval.app import build
from services.approval.rule_packs import rule_book
from services.approval.settings import ApprovalSettings
from services.runtime.redis import connect, readiness
from services.runtime.server import Server
from tests.support.redis_server import RedisServer
from tests.support.tokens import JWT_SECRET, as_

SERVICE = as_("service:orchestrator", "service")
WORKER = as_("worker", "agent")
BOB = as_("bob", "approver")
ROOT = as_("root", "admin")


@dataclass
class Approvals:
    """Stubs of a running service; `redis` is a client with the service's own rights."""

    approvals: Any
    policies: Any
    risk: Any
    delegations: Any
    remembered: Any
    webhooks: Any
    audit: Any
    redis: Redis
    server: Server

    async def request(self, *items: approval_pb2.ApprovalItem) -> list[approval_pb2.RequestedApproval]:
        """Ask, as the orchestrator does."""
        request = approval_pb2.RequestApprovalsRequest(items=items)
        return list((await self.approvals.RequestApprovals(request, metadata=SERVICE)).results)

    async def pending(self, **fields: Any) -> approval_pb2.Approval:
        """An approval that waits for a human."""
        (result,) = await self.request(item(script="rm -rf build", **fields))
        assert result.approval.state == approval_pb2.APPROVAL_STATE_PENDING, result
        return result.approval

    async def decide(
        self, approval_id: str, *, approve: bool = True, as_: Any = BOB, **fields: Any
    ) -> approval_pb2.Approval:
        """Decide, as a person does."""
        verdict = approval_pb2.VERDICT_APPROVE if approve else approval_pb2.VERDICT_REJECT
        request = approval_pb2.DecideApprovalRequest(approval_id=approval_id, verdict=verdict, **fields)
        answer: approval_pb2.DecideApprovalResponse = await self.approvals.DecideApproval(request, metadata=as_)
        return answer.approval

    async def get(self, approval_id: str, as_: Any = SERVICE) -> approval_pb2.Approval:
        """Read one."""
        request = approval_pb2.GetApprovalRequest(approval_id=approval_id)
        answer: approval_pb2.GetApprovalResponse = await self.approvals.GetApproval(request, metadata=as_)
        return answer.approval

    async def redeem(self, grant: str, approval: approval_pb2.Approval, **other: Any) -> str:
        """Redeem a grant, by default for exactly what it was given for."""
        claim: dict[str, Any] = {
            "digest": approval.digest,
            "run_id": approval.context.run_id,
            "step_id": approval.context.step_id,
            "attempt": 1,
        } | other
        request = approval_pb2.RedeemGrantRequest(grant=grant, **claim)
        answer: approval_pb2.RedeemGrantResponse = await self.approvals.RedeemGrant(request, metadata=WORKER)
        return answer.approval_id

    async def trail(self, as_: Any = BOB, page_size: int = 0, **fields: Any) -> list[audit_pb2.AuditRecord]:
        """The audit trail, newest first, page by page."""
        found: list[audit_pb2.AuditRecord] = []
        request = audit_pb2.ListAuditEventsRequest(page_size=page_size, **fields)
        while True:
            page: audit_pb2.ListAuditEventsResponse = await self.audit.ListAuditEvents(request, metadata=as_)
            found += page.records
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def verified(self, *known: str) -> list[audit_pb2.VerifyAuditResponse]:
        """What the verification of the trail says of each shard at its end."""
        request = audit_pb2.VerifyAuditRequest(known_checkpoints=known)
        return [report async for report in self.audit.VerifyAudit(request, metadata=SERVICE) if report.done]

    async def exported(self, as_: Any = ROOT) -> list[bytes]:
        """The lines of an export."""
        call = self.audit.ExportAudit(audit_pb2.ExportAuditRequest(), metadata=as_)
        return b"".join([part.data async for part in call]).splitlines()

    async def ids(self, as_: Any = SERVICE, **fields: Any) -> list[str]:
        """All ids, page by page."""
        ids: list[str] = []
        token = ""
        while True:
            request = approval_pb2.ListApprovalsRequest(page_token=token, **fields)
            page: approval_pb2.ListApprovalsResponse = await self.approvals.ListApprovals(request, metadata=as_)
            ids += [approval.id for approval in page.approvals]
            token = page.next_page_token
            if not token:
                return ids

    def watch(self, after: int = 0) -> Any:
        """Follow decisions."""
        request = approval_pb2.WatchDecisionsRequest(after_sequence=after)
        return self.approvals.WatchDecisions(request, metadata=SERVICE, timeout=20)

    async def watched(
        self, count: int, after: int = 0, as_: Any = SERVICE
    ) -> list[approval_pb2.WatchApprovalsResponse]:
        """The next events after a sequence."""
        request = approval_pb2.WatchApprovalsRequest(after_sequence=after)
        call = self.approvals.WatchApprovals(request, metadata=as_, timeout=20)
        found = []
        async for event in call:
            found.append(event)
            if len(found) == count:
                break
        call.cancel()
        return found

    async def decisions(self, count: int, after: int = 0) -> list[approval_pb2.WatchDecisionsResponse]:
        """The next decisions after a sequence."""
        call = self.watch(after)
        found = []
        async for decision in call:
            found.append(decision)
            if len(found) == count:
                break
        call.cancel()
        return found


def item(
    script: str = "echo hello",
    *,
    requester: str = "alice",
    run_id: str = "run_1",
    step_id: str = "step",
    attempt: int = 1,
    request_id: str = "",
    environment: action_pb2.Environment.ValueType = action_pb2.ENVIRONMENT_DEVELOPMENT,
    **fields: Any,
) -> approval_pb2.ApprovalItem:
    """An item that runs a script."""
    return approval_pb2.ApprovalItem(
        request_id=request_id or uuid4().hex,
        requester=requester,
        actions=[action_pb2.Action(command=action_pb2.CommandAction(script=script))],
        context=risk_pb2.ActionContext(environment=environment, agent="shell", run_id=run_id, step_id=step_id),
        attempt=attempt,
        **fields,
    )


async def until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Wait until a look gives what is wanted; fail with what it gave last after ten seconds."""
    for _ in range(500):
        found = await look()
        if found == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{found!r} instead of {wanted!r}")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The stable reason of a failure."""
    return info_of(error).reason


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """What a failure says to programs."""
    info = error_details_pb2.ErrorInfo()
    assert _detail(error, info), f"no ErrorInfo in {error}"
    return info


def violations_of(error: grpc.aio.AioRpcError) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """The fields that a failure names, and what is wrong with each."""
    bad = error_details_pb2.BadRequest()
    assert _detail(error, bad), f"no BadRequest in {error}"
    return list(bad.field_violations)


def _detail(error: grpc.aio.AioRpcError, into: Message) -> bool:
    """Read the detail of a message's kind into it; whether there is one."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return any(detail.Unpack(into) for detail in status_pb2.Status.FromString(value).details)
    return False


@asynccontextmanager
async def running(redis_server: RedisServer, **settings: Any) -> AsyncIterator[Approvals]:
    """A service with its background tasks, on a Redis that is there."""
    configured = ApprovalSettings(
        redis_url=redis_server.url("approval"),
        jwt_secret=SecretStr(JWT_SECRET),
        listen="127.0.0.1:0",
        drain_seconds=0.2,
        **{"approval_sweep_seconds": 0.05, "approval_publish_seconds": 0.1, **settings},
    )
    redis = connect(configured.redis_url, client_name="approval")
    blocking = connect(configured.redis_url, client_name="approval-watch", blocking=True)
    app = build(configured, redis, blocking, rule_book(configured.risk_rule_packs))
    server = Server(
        configured, name="approval", services=app.services, background=app.background, ready=readiness(redis)
    )
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        yield Approvals(
            approval_pb2_grpc.ApprovalServiceStub(channel),
            policy_pb2_grpc.PolicyServiceStub(channel),
            risk_pb2_grpc.RiskServiceStub(channel),
            delegation_pb2_grpc.DelegationServiceStub(channel),
            remembered_pb2_grpc.RememberedDecisionServiceStub(channel),
            webhook_pb2_grpc.WebhookServiceStub(channel),
            audit_pb2_grpc.AuditServiceStub(channel),
            redis,
            server,
        )
    await redis.aclose()
    await blocking.aclose()
