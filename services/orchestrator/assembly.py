"""How the parts of the orchestrator are put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
from redis.asyncio import Redis

from harness.approval.v1 import approval_pb2_grpc, risk_pb2_grpc
from harness.orchestrator.v1 import agent_pb2_grpc, project_pb2_grpc, run_pb2_grpc, task_pb2_grpc
from services.orchestrator.api.agents import AgentServicer
from services.orchestrator.api.projects import ProjectServicer
from services.orchestrator.api.runs import RunServicer
from services.orchestrator.api.tasks import TaskServicer
from services.orchestrator.assessment import Assessor
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.execution.executor import Executor
from services.orchestrator.execution.gates import Gates
from services.orchestrator.execution.leasing import Leasing
from services.orchestrator.execution.notifications import Notifications
from services.orchestrator.execution.proposals import Proposals
from services.orchestrator.execution.retention import Retention
from services.orchestrator.execution.timers import Timers
from services.orchestrator.planner.keyword import KeywordPlanner
from services.orchestrator.settings import OrchestratorSettings
from services.orchestrator.starting import Starter
from services.orchestrator.store.projects import ProjectStore
from services.orchestrator.store.retirement import Retirement
from services.orchestrator.store.run_index import RunIndex
from services.orchestrator.store.runs import RunStore
from services.orchestrator.store.schedule import Schedule
from services.orchestrator.store.tasks import TaskStore
from services.runtime.server import ServiceRegistration


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What a server needs to serve the orchestrator."""

    services: Sequence[ServiceRegistration]
    background: Sequence[Callable[[], Awaitable[None]]]
    notifications: Notifications


async def assemble(
    settings: OrchestratorSettings, redis: Redis, listening: Redis, approval: grpc.aio.Channel
) -> Orchestrator:
    """Put the parts together. `listening`: a client for connections that block; `approval`: the approval service."""
    clock = RedisClock()
    await clock.calibrate(redis)
    runs, schedule = RunStore(redis), Schedule(redis, settings.shards)
    projects, tasks = ProjectStore(redis, settings.shards), TaskStore(redis, settings.shards)
    approvals = approval_pb2_grpc.ApprovalServiceStub(approval)
    assessor = Assessor(risk_pb2_grpc.RiskServiceStub(approval))
    notifications = Notifications(listening)
    executor = Executor(runs, clock)
    gates = Gates(approvals, executor, schedule, redis, clock)
    leasing = Leasing(schedule, executor, notifications, lease_ms=round(settings.lease_seconds * 1000))
    run_servicer = RunServicer(
        projects=projects,
        tasks=tasks,
        runs=runs,
        index=RunIndex(redis, settings.shards),
        starter=Starter(runs, assessor, clock, on_start=gates.owe),
        executor=executor,
        notifications=notifications,
    )
    services = [
        ServiceRegistration(
            add=project_pb2_grpc.add_ProjectServiceServicer_to_server, servicer=ProjectServicer(projects)
        ),
        ServiceRegistration(
            add=task_pb2_grpc.add_TaskServiceServicer_to_server,
            servicer=TaskServicer(projects, tasks, KeywordPlanner(), assessor),
        ),
        ServiceRegistration(add=run_pb2_grpc.add_RunServiceServicer_to_server, servicer=run_servicer),
        ServiceRegistration(
            add=agent_pb2_grpc.add_AgentServiceServicer_to_server,
            servicer=AgentServicer(executor, leasing, Proposals(approvals, executor), schedule, clock),
        ),
    ]
    timers = Timers(schedule, executor, gates)
    retention = Retention(Retirement(redis, runs, settings.shards), clock, settings.run_retention_days)
    background = [executor.run, notifications.run, gates.run_outbox, gates.watch, timers.run, retention.run]
    return Orchestrator(services, background, notifications)
