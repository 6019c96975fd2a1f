"""Channels to the three services, and how every call is made: deadline, token, retries, typed errors."""

import asyncio
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from harness.approval.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    audit_pb2_grpc,
    delegation_pb2_grpc,
    policy_pb2_grpc,
    remembered_pb2_grpc,
    risk_pb2_grpc,
    webhook_pb2_grpc,
)
from harness.backup.v1 import backup_pb2_grpc
from harness.orchestrator.v1 import agent_pb2_grpc, project_pb2_grpc, run_pb2_grpc, task_pb2_grpc
from motherharness.errors import REQUEST_ID_KEY, HarnessError, from_rpc
from motherharness.grants import KeySet

Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]

DEFAULT_TIMEOUT = 30.0
FIRST_BACKOFF = 0.1
MAX_BACKOFF = 2.0

# gRPC's own defaults let a client wait two minutes before it tries a server that is back again. A ping a
# minute keeps load balancers from dropping idle long polls.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True)
class Connection:
    """Where the services are and who is calling.

    Args:
        orchestrator, approval, backup: "host:port" of each.
        token: a bearer token, or a function that returns the current one (called before every call, so that a
            rotated token is picked up).
        ca_certificate: PEM of the authority that signed the servers' certificates; None calls without TLS.
        client_certificate, client_key: PEM, for mutual TLS.
    """

    orchestrator: str = "127.0.0.1:50051"
    approval: str = "127.0.0.1:50052"
    backup: str = "127.0.0.1:50053"
    token: str | Callable[[], str] = field(default="", repr=False)
    ca_certificate: bytes | None = field(default=None, repr=False)
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Connection":
        """Read HARNESS_ORCHESTRATOR_ADDRESS, _APPROVAL_ADDRESS, _BACKUP_ADDRESS, HARNESS_TOKEN or
        HARNESS_TOKEN_FILE (read again before every call), HARNESS_CLIENT_TLS_CA_FILE, HARNESS_CLIENT_TLS_CERT_FILE and
        HARNESS_CLIENT_TLS_KEY_FILE."""
        env = os.environ if environ is None else environ
        token_file = env.get("HARNESS_TOKEN_FILE")
        token: str | Callable[[], str] = env.get("HARNESS_TOKEN", "")
        if token_file:
            token = lambda: Path(token_file).read_text(encoding="ascii").strip()  # noqa: E731

        def pem(name: str) -> bytes | None:
            return Path(env[name]).read_bytes() if env.get(name) else None

        return cls(
            orchestrator=env.get("HARNESS_ORCHESTRATOR_ADDRESS", cls.orchestrator),
            approval=env.get("HARNESS_APPROVAL_ADDRESS", cls.approval),
            backup=env.get("HARNESS_BACKUP_ADDRESS", cls.backup),
            token=token,
            ca_certificate=pem("HARNESS_CLIENT_TLS_CA_FILE"),
            client_certificate=pem("HARNESS_CLIENT_TLS_CERT_FILE"),
            client_key=pem("HARNESS_CLIENT_TLS_KEY_FILE"),
        )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return TLS credentials; None when the connection is without TLS."""
        if self.ca_certificate is None:
            return None
        return grpc.ssl_channel_credentials(self.ca_certificate, self.client_key, self.client_certificate)

    def metadata(self, request_id: str) -> Metadata:
        """Return the metadata of one call."""
        token = self.token() if callable(self.token) else self.token
        known = ((REQUEST_ID_KEY, request_id),)
        return (*known, ("authorization", f"Bearer {token}")) if token else known


def new_request_id() -> str:
    """Return a fresh id, for a call or for the idempotency of a creation."""
    return uuid.uuid4().hex


def backoff(failures: int) -> float:
    """Return seconds to wait after the nth failure in a row: 0.1 s doubling to 2 s, the upper half jittered.

    Jitter keeps clients that lost the same server from coming back at the same moment.
    """
    ceiling = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    return ceiling * (0.5 + random.random() / 2)


class Transport:
    """Open channels and make calls. Use from one event loop; close when done."""

    def __init__(self, connection: Connection, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.connection = connection
        self.timeout = timeout
        self._channels = [self._open(address) for address in (connection.orchestrator, connection.approval)]
        self._channels.append(self._open(connection.backup))
        orchestrator, approval, backup = self._channels
        self.projects = project_pb2_grpc.ProjectServiceStub(orchestrator)
        self.tasks = task_pb2_grpc.TaskServiceStub(orchestrator)
        self.runs = run_pb2_grpc.RunServiceStub(orchestrator)
        self.agents = agent_pb2_grpc.AgentServiceStub(orchestrator)
        self.approvals = approval_pb2_grpc.ApprovalServiceStub(approval)
        self.audit = audit_pb2_grpc.AuditServiceStub(approval)
        self.delegations = delegation_pb2_grpc.DelegationServiceStub(approval)
        self.remembered = remembered_pb2_grpc.RememberedDecisionServiceStub(approval)
        self.policies = policy_pb2_grpc.PolicyServiceStub(approval)
        self.webhooks = webhook_pb2_grpc.WebhookServiceStub(approval)
        self.risk = risk_pb2_grpc.RiskServiceStub(approval)
        self.backups = backup_pb2_grpc.BackupServiceStub(backup)
        self.grant_keys = KeySet(self._grant_keys)

    def _open(self, address: str) -> grpc.aio.Channel:
        credentials = self.connection.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)

    async def _grant_keys(self) -> Iterable[approval_pb2.GrantKey]:
        answer = await self.call(self.approvals.ListGrantKeys, approval_pb2.ListGrantKeysRequest(), idempotent=True)
        return answer.keys

    async def close(self) -> None:
        """Close the channels; calls that are in flight end as cancelled."""
        for channel in self._channels:
            await channel.close()

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Any, Response],
        request: object,
        *,
        idempotent: bool,
        timeout: float | None = None,
    ) -> Response:
        """Make one call and return its response.

        Args:
            idempotent: try again on UNAVAILABLE and ABORTED, with backoff, until the timeout has passed.
            timeout: seconds for the call with all its tries; default that of the transport.

        Raises:
            HarnessError: the call failed.
        """
        limit = self.timeout if timeout is None else timeout
        give_up = time.monotonic() + limit
        failures = 0
        while True:
            request_id = new_request_id()
            try:
                left = max(0.001, give_up - time.monotonic())
                return await method(request, timeout=left, metadata=self.connection.metadata(request_id))
            except grpc.RpcError as error:
                failure = from_rpc(error, request_id)
            failures += 1
            if not idempotent or not is_transient(failure):
                raise failure
            pause = max(backoff(failures), failure.retry_after or 0.0)
            if time.monotonic() + pause >= give_up:
                raise failure
            await asyncio.sleep(pause)

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Any, Response],
        request: object,
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[Response]:
        """Yield the messages of a server stream once, without retrying; None as timeout means no deadline.

        Raises:
            HarnessError: the stream failed.
        """
        request_id = new_request_id()
        call = method(request, timeout=timeout, metadata=self.connection.metadata(request_id))
        try:
            async for message in call:
                yield message
        except grpc.RpcError as error:
            raise from_rpc(error, request_id) from None
        finally:
            call.cancel()


def is_transient(error: HarnessError) -> bool:
    """Whether the same idempotent call may succeed a moment later."""
    return error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)
