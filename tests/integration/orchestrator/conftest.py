"""The orchestrator over gRPC, on a real Redis with users as in production, with a real approval service beside it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from pydantic import SecretStr

from harness.orchestrator.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    run_pb2_grpc,
    task_pb2,
    task_pb2_grpc,
)
from services.orchestrator.assembly import assemble
from services.orchestrator.settings import OrchestratorSettings
from services.runtime.auth import ServiceTokens
from services.runtime.clients import channel
from services.runtime.redis import connect, readiness
from services.runtime.server import Server
from services.runtime.settings import ServiceSettings
from services.runtime.status import from_rpc
from tests.support.processes import ServiceProcess
from tests.support.redis_server import RedisServer
from tests.support.tokens import JWT_SECRET, token

SHARDS = 4


@dataclass(frozen=True)
class Stack:
    """Redis and the approval service, for as many orchestrators as a test wants."""

    redis: RedisServer
    approval: str

    def redis_url(self, user: str) -> str:
        return self.redis.url(user)

    @property
    def settings(self) -> OrchestratorSettings:
        return OrchestratorSettings(
            redis_url=self.redis_url("orchestrator"),
            jwt_secret=SecretStr(JWT_SECRET),
            listen="127.0.0.1:0",
            approval_address=self.approval,
            shards=SHARDS,
            drain_seconds=2,
        )

    @asynccontextmanager
    async def orchestrator(self, approval_address: str = "") -> AsyncIterator[Server]:
        """Another orchestrator on the same data, by default with the approval service that all share."""
        settings = self.settings
        redis = connect(settings.redis_url, client_name="orchestrator")
        listening = connect(settings.redis_url, client_name="listening", blocking=True)
        approval = channel(approval_address or self.approval, settings, ServiceTokens(settings, "orchestrator"))
        parts = await assemble(settings, redis, listening, approval)
        async with Server(
            settings,
            name="orchestrator",
            services=parts.services,
            background=parts.background,
            ready=readiness(redis),
            on_drain=parts.notifications.drain,
        ) as server:
            yield server
        await approval.close()
        await listening.aclose()
        await redis.aclose()


class Someone:
    """A caller with an identity of its own."""

    def __init__(self, address: str, *roles: str, subject: str = "") -> None:
        self.subject = subject or f"someone:{secrets.token_hex(4)}"
        self.roles = roles or ("user",)
        settings = ServiceSettings(service_token=SecretStr(token(self.subject, *self.roles)))
        self.channel = channel(address, settings, ServiceTokens(settings, "test"))
        self.projects = project_pb2_grpc.ProjectServiceStub(self.channel)
        self.tasks = task_pb2_grpc.TaskServiceStub(self.channel)
        self.runs = run_pb2_grpc.RunServiceStub(self.channel)
        self.agents = agent_pb2_grpc.AgentServiceStub(self.channel)

    def at(self, address: str) -> Someone:
        """Return the same caller at another server."""
        return Someone(address, *self.roles, subject=self.subject)

    async def project(self, name: str = "a project") -> project_pb2.Project:
        response = await self.projects.CreateProject(project_pb2.CreateProjectRequest(display_name=name))
        return response.project

    async def task(self, query: str = "research it", project_id: str = "") -> task_pb2.Task:
        project_id = project_id or (await self.project()).id
        response = await self.tasks.CreateTask(task_pb2.CreateTaskRequest(project_id=project_id, query=query))
        return response.task

    async def lease(self, *agents: str) -> agent_pb2.StepLease:
        """Lease one step as a worker."""
        request = agent_pb2.LeaseStepsRequest(worker_id=self.subject, agents=agents)
        request.wait.FromSeconds(5)
        return (await self.agents.LeaseSteps(request)).leases[0]

    async def succeed(self, lease: agent_pb2.StepLease) -> None:
        """Report a leased step as done, with nothing to show."""
        report = agent_pb2.StepReport(token=lease.token, result=Struct())
        await self.agents.ReportSteps(agent_pb2.ReportStepsRequest(worker_id=self.subject, reports=[report]))


Join = Callable[..., Someone]


async def reason_of(call: Awaitable[object]) -> str:
    """Return the reason a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return from_rpc(raised.value).reason


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """With a Redis of its own: other tests empty the session's, and this approval service would do their work."""
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    approval = ServiceProcess(
        "services.approval", tmp_path_factory.mktemp("approval"), {"HARNESS_REDIS_URL": redis.url("approval")}
    )
    try:
        yield Stack(redis, await approval.start())
        await approval.stop()
    finally:
        redis.stop()


@pytest.fixture(scope="session")
async def server(stack: Stack) -> AsyncIterator[Server]:
    async with stack.orchestrator() as server:
        yield server


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    """Make callers: `join()` is a user, `join("admin")` an admin."""
    joined: list[Someone] = []

    def make(*roles: str) -> Someone:
        joined.append(Someone(server.address, *roles))
        return joined[-1]

    yield make
    for someone in joined:
        await someone.channel.close()
