"""TaskService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from harness.orchestrator.v1 import task_pb2, task_pb2_grpc
from services.orchestrator import plan as plans
from services.orchestrator.api import convert, pages
from services.orchestrator.api.access import listed_owner, may_see, owns, visible_project, visible_task
from services.orchestrator.assessment import Assessor
from services.orchestrator.planner.interface import Planner
from services.orchestrator.store import keys, tasks
from services.orchestrator.store.projects import ProjectStore, archived
from services.orchestrator.store.requests import fingerprint
from services.orchestrator.store.tasks import Task, TaskStore
from services.runtime.context import current_caller
from services.runtime.ids import new_id
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class TaskServicer(task_pb2_grpc.TaskServiceServicer):
    """Plans, has assessed, and stores tasks."""

    def __init__(self, projects: ProjectStore, task_store: TaskStore, planner: Planner, assessor: Assessor) -> None:
        self._projects = projects
        self._tasks = task_store
        self._planner = planner
        self._assessor = assessor

    async def CreateTask(self, request: task_pb2.CreateTaskRequest, context: Context) -> task_pb2.CreateTaskResponse:
        project = await visible_project(self._projects, request.project_id)
        owner, mark = current_caller().subject, fingerprint(request)
        if request.request_id:
            # Looked up before the work, so that a repeat costs no assessment and needs no approval service.
            key = self._tasks.request_key(project.id, owner, request.request_id)
            first = await self._tasks.made_by(key, mark)
            if first is not None:
                return await self._created(first)
        if project.archived:
            raise archived(project.id)
        if request.HasField("plan"):
            specs = plans.specs_of(request.plan)
        else:
            specs = await self._planner.plan(request.query)
            plans.check(specs)
        task_id = new_id(keys.TASK_ID, keys.shard_of(project.id))
        specs, risks = await self._assessor.assess(
            specs, environment=project.environment, project_id=project.id, task_id=task_id
        )
        task = Task(
            id=task_id,
            project_id=project.id,
            owner=owner,
            query=request.query,
            environment=project.environment,
            specs=tuple(specs),
            risks=risks,
        )
        return await self._created(await self._tasks.create(task, request_id=request.request_id, fingerprint=mark))

    async def _created(self, task_id: str) -> task_pb2.CreateTaskResponse:
        task = await self._tasks.load(task_id)
        if task is None:
            raise tasks.not_found(task_id)
        return task_pb2.CreateTaskResponse(task=_shown(task))

    async def GetTask(self, request: task_pb2.GetTaskRequest, context: Context) -> task_pb2.GetTaskResponse:
        return task_pb2.GetTaskResponse(task=_shown(await visible_task(self._tasks, request.task_id)))

    async def ListTasks(self, request: task_pb2.ListTasksRequest, context: Context) -> task_pb2.ListTasksResponse:
        page = page_for(request)
        if request.project_id:
            await visible_project(self._projects, request.project_id)
        entries, more = await self._tasks.list(
            owner=listed_owner(),
            project_id=request.project_id,
            limit=page.size,
            after=pages.entry_of(page.cursor),
        )
        taken, cursor = await pages.fill(pages.rows(entries, self._messages), more)
        return task_pb2.ListTasksResponse(tasks=taken, next_page_token=page.next_token(cursor))

    async def _messages(self, task_ids: Sequence[str]) -> list[task_pb2.Task | None]:
        found = await self._tasks.summaries(task_ids)
        return [
            convert.mask_task(convert.task(task)) if task is not None and may_see(task.owner) else None
            for task in found
        ]


def _shown(task: Task) -> task_pb2.Task:
    """Return a task's message, masked unless it is the caller's own."""
    message = convert.task(task)
    return message if owns(task.owner) else convert.mask_task(message)
