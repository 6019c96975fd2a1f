"""RunService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from harness.orchestrator.v1 import run_pb2, run_pb2_grpc
from services.orchestrator.api import convert, pages
from services.orchestrator.api.access import listed_owner, may_see, owns, visible_project, visible_task
from services.orchestrator.engine.commands import Cancel
from services.orchestrator.engine.model import Event, Run, RunStatus
from services.orchestrator.execution.executor import Executor
from services.orchestrator.execution.notifications import Notifications
from services.orchestrator.starting import Starter
from services.orchestrator.store import keys, requests
from services.orchestrator.store.projects import ProjectStore, archived
from services.orchestrator.store.run_index import RunIndex
from services.orchestrator.store.runs import RunStore
from services.orchestrator.store.tasks import TaskStore
from services.orchestrator.verification import differences
from services.runtime.context import current_caller, draining
from services.runtime.errors import FailedPrecondition, NotFound, Unavailable
from services.runtime.paging import page_for
from services.runtime.redaction import redact

Context = grpc.aio.ServicerContext[Any, Any]

WATCH_BATCH = 200
"""Events read at a time by a watch, whose reader may be slow."""
VERIFY_BATCH = 1000
WATCH_CHECK_SECONDS = 30.0
"""How often a watch looks whether its run is still there when nothing is announced."""


class RunServicer(run_pb2_grpc.RunServiceServicer):
    """Starts, shows and ends runs."""

    def __init__(
        self,
        *,
        projects: ProjectStore,
        tasks: TaskStore,
        runs: RunStore,
        index: RunIndex,
        starter: Starter,
        executor: Executor,
        notifications: Notifications,
    ) -> None:
        self._projects = projects
        self._tasks = tasks
        self._runs = runs
        self._index = index
        self._starter = starter
        self._executor = executor
        self._notifications = notifications

    async def StartRun(self, request: run_pb2.StartRunRequest, context: Context) -> run_pb2.StartRunResponse:
        task = await visible_task(self._tasks, request.task_id)
        key, mark = "", requests.fingerprint(request)
        if request.request_id:
            shard, subject = keys.shard_of(task.id), current_caller().subject
            key = keys.request(shard, "run", subject, request.request_id)
            # Looked up first: a repeat is answered even if the project was archived since.
            first = await self._tasks.made_by(key, mark)
            if first is not None:
                return run_pb2.StartRunResponse(run=_shown(await self._visible(first)))
        project = await visible_project(self._projects, task.project_id)
        if project.archived:
            raise archived(project.id)
        caller = current_caller()
        by = (caller.subject, caller.actor)
        run_id, run = await self._starter.start(task, project, by=by, request_key=key, fingerprint=mark)
        return run_pb2.StartRunResponse(run=_shown(run or await self._visible(run_id)))

    async def GetRun(self, request: run_pb2.GetRunRequest, context: Context) -> run_pb2.GetRunResponse:
        return run_pb2.GetRunResponse(run=_shown(await self._visible(request.run_id)))

    async def ListRuns(self, request: run_pb2.ListRunsRequest, context: Context) -> run_pb2.ListRunsResponse:
        page = page_for(request)
        if request.project_id:
            await visible_project(self._projects, request.project_id)
        if request.task_id:
            task = await visible_task(self._tasks, request.task_id)
            if request.project_id not in ("", task.project_id):
                return run_pb2.ListRunsResponse()
        entries, more = await self._index.list(
            owner=listed_owner(),
            project_id=request.project_id,
            task_id=request.task_id,
            limit=page.size,
            after=pages.entry_of(page.cursor),
        )
        taken, cursor = await pages.fill(pages.rows(entries, self._messages), more)
        return run_pb2.ListRunsResponse(runs=taken, next_page_token=page.next_token(cursor))

    async def _messages(self, run_ids: Sequence[str]) -> list[run_pb2.Run | None]:
        found = await self._runs.summaries(run_ids)
        return [
            convert.mask_run(convert.run(run, steps=False)) if run is not None and may_see(run.header.owner) else None
            for run in found
        ]

    async def CancelRun(self, request: run_pb2.CancelRunRequest, context: Context) -> run_pb2.CancelRunResponse:
        await self._check_visible(request.run_id)
        command = Cancel(by=current_caller().subject, reason=redact(request.reason))
        reply = await self._executor.submit(request.run_id, command)
        run = await self._visible(request.run_id)
        if not reply.ok:
            raise FailedPrecondition(
                "RUN_ENDED",
                f"run {request.run_id} has already ended ({run.core.reason})",
                run_id=request.run_id,
                termination_reason=run.core.reason,
            )
        return run_pb2.CancelRunResponse(run=_shown(run))

    async def ListEvents(self, request: run_pb2.ListEventsRequest, context: Context) -> run_pb2.ListEventsResponse:
        page = page_for(request)
        run = await self._check_visible(request.run_id)
        after = pages.number_of(page.cursor)
        # To the history as it is now: what happens meanwhile does not make the last page endless.
        until = min(after + page.size, run.core.sequence)
        found = self._events(request.run_id, after, until)
        taken, cursor = await pages.fill(found, more=until < run.core.sequence)
        return run_pb2.ListEventsResponse(events=taken, next_page_token=page.next_token(cursor))

    async def _events(self, run_id: str, after: int, until: int) -> AsyncIterator[tuple[str, run_pb2.Event]]:
        while after < until:
            batch = await self._runs.events(run_id, after, min(pages.READ_BATCH, until - after))
            if not batch:
                return
            for event in batch:
                yield str(event.sequence), convert.event(event)
            after = batch[-1].sequence

    async def WatchRun(
        self, request: run_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[run_pb2.WatchRunResponse]:
        run_id, last = request.run_id, request.after_sequence
        run = await self._check_visible(run_id)
        stopping = draining()
        with self._notifications.subscribe(keys.run_channel(run_id)) as subscription:
            while not _is_over(run, last):
                events = await self._runs.events(run_id, last, WATCH_BATCH)
                for event in events:
                    yield run_pb2.WatchRunResponse(event=convert.event(event))
                    last = event.sequence
                if events and events[-1].type == "run_terminated":
                    return
                if stopping.is_set():
                    raise Unavailable(
                        "SERVER_DRAINING",
                        f"the server is stopping; watch again with after_sequence {last}",
                        after_sequence=last,
                    )
                if len(events) < WATCH_BATCH and not await subscription.wait_wake(WATCH_CHECK_SECONDS):
                    run = await self._check_visible(run_id)

    async def VerifyRun(self, request: run_pb2.VerifyRunRequest, context: Context) -> run_pb2.VerifyRunResponse:
        run = await self._visible(request.run_id)
        # Up to what was loaded: the run may have gone on meanwhile.
        until = run.core.sequence
        events: list[Event] = []
        while len(events) < until:
            batch = await self._runs.events(
                request.run_id, events[-1].sequence if events else 0, min(VERIFY_BATCH, until - len(events))
            )
            if not batch:
                break
            events.extend(batch)
        found = differences(run, events)
        return run_pb2.VerifyRunResponse(consistent=not found, events=len(events), differences=map(redact, found))

    async def _visible(self, run_id: str) -> Run:
        """Return a run. Raises NotFound if there is none that the caller may see."""
        run = await self._runs.load(run_id) if keys.shard_in(keys.RUN_ID, run_id) is not None else None
        return _or_not_found(run_id, run)

    async def _check_visible(self, run_id: str) -> Run:
        """Return a run without the state of its steps. Raises as `_visible`."""
        found = await self._runs.summaries([run_id]) if keys.shard_in(keys.RUN_ID, run_id) is not None else [None]
        return _or_not_found(run_id, found[0])


def _shown(run: Run) -> run_pb2.Run:
    """Return a run's message, masked unless it is the caller's own."""
    message = convert.run(run)
    return message if owns(run.header.owner) else convert.mask_run(message)


def _or_not_found(run_id: str, run: Run | None) -> Run:
    if run is None or not may_see(run.header.owner):
        raise NotFound("RUN_NOT_FOUND", f"run {run_id} does not exist; list runs with ListRuns", run_id=run_id)
    return run


def _is_over(run: Run, last: int) -> bool:
    """Whether nothing follows sequence `last`."""
    return run.core.status is RunStatus.TERMINATED and last >= run.core.sequence
