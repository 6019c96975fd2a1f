"""RunService over gRPC: start, list, watch, cancel, verify, and who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from redis.asyncio import Redis

from harness.orchestrator.v1.plan_pb2 import Plan, StepSpec
from harness.orchestrator.v1.project_pb2 import ArchiveProjectRequest
from harness.orchestrator.v1.run_pb2 import (
    EVENT_TYPE_RUN_CREATED,
    EVENT_TYPE_RUN_TERMINATED,
    RUN_STATUS_EXECUTING,
    RUN_STATUS_TERMINATED,
    TERMINATION_REASON_COMPLETED,
    TERMINATION_REASON_USER_CANCELLED,
    CancelRunRequest,
    Event,
    GetRunRequest,
    ListEventsRequest,
    ListRunsRequest,
    Run,
    StartRunRequest,
    VerifyRunRequest,
    WatchRunRequest,
)
from harness.orchestrator.v1.task_pb2 import (
    TASK_STATUS_CANCELLED,
    TASK_STATUS_COMPLETED,
    TASK_STATUS_EXECUTING,
    CreateTaskRequest,
    GetTaskRequest,
    Task,
)
from services.orchestrator.store import keys
from services.runtime.redis import connect
from services.runtime.status import from_rpc
from tests.integration.orchestrator.conftest import Join, Someone, Stack, reason_of


async def simple_task(someone: Someone, agent: str = "researcher") -> Task:
    """A task of two steps, one after the other, which no policy gates."""
    project = await someone.project()
    steps = [StepSpec(id="a", agent=agent), StepSpec(id="b", agent=agent, depends_on=["a"])]
    request = CreateTaskRequest(project_id=project.id, query="read", plan=Plan(steps=steps))
    return (await someone.tasks.CreateTask(request)).task


async def started(someone: Someone, agent: str = "researcher") -> Run:
    task = await simple_task(someone, agent)
    return (await someone.runs.StartRun(StartRunRequest(task_id=task.id))).run


async def cancel(someone: Someone, run: Run) -> Run:
    return (await someone.runs.CancelRun(CancelRunRequest(run_id=run.id, reason="enough"))).run


async def watched(someone: Someone, run: Run, after: int = 0) -> list[Event]:
    return [m.event async for m in someone.runs.WatchRun(WatchRunRequest(run_id=run.id, after_sequence=after))]


async def test_a_run_goes_from_start_to_end_and_its_history_is_consistent(join: Join) -> None:
    alice, worker = join(), join("agent")
    agent = f"agent-{alice.subject[-8:]}"
    run = await started(alice, agent)
    assert (run.status, run.owner, [step.id for step in run.steps]) == (RUN_STATUS_EXECUTING, alice.subject, ["a", "b"])
    assert run == (await alice.runs.GetRun(GetRunRequest(run_id=run.id))).run
    watching = asyncio.create_task(watched(alice, run))
    for _ in range(2):
        await worker.succeed(await worker.lease(agent))
    events = await asyncio.wait_for(watching, 10)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == (EVENT_TYPE_RUN_CREATED, EVENT_TYPE_RUN_TERMINATED)
    run = (await alice.runs.GetRun(GetRunRequest(run_id=run.id))).run
    assert (run.status, run.termination_reason) == (RUN_STATUS_TERMINATED, TERMINATION_REASON_COMPLETED)
    verified = await alice.runs.VerifyRun(VerifyRunRequest(run_id=run.id))
    assert (verified.consistent, verified.events, list(verified.differences)) == (True, len(events), [])
    task = (await alice.tasks.GetTask(GetTaskRequest(task_id=run.task_id))).task
    assert (task.status, task.last_run_id) == (TASK_STATUS_COMPLETED, run.id)
    assert await reason_of(cancel(alice, run)) == "RUN_ENDED"


async def test_a_task_has_one_open_run(join: Join) -> None:
    alice = join()
    task = await simple_task(alice)
    request = StartRunRequest(task_id=task.id)
    outcomes = await asyncio.gather(*(alice.runs.StartRun(request) for _ in range(8)), return_exceptions=True)
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [from_rpc(outcome).reason for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(won) == 1
    assert lost == ["TASK_HAS_ACTIVE_RUN"] * 7
    assert (await alice.tasks.GetTask(GetTaskRequest(task_id=task.id))).task.status == TASK_STATUS_EXECUTING
    await cancel(alice, won[0].run)
    again = (await alice.runs.StartRun(request)).run
    listed = (await alice.runs.ListRuns(ListRunsRequest(task_id=task.id))).runs
    assert [run.id for run in listed] == [again.id, won[0].run.id]
    assert not any(run.steps for run in listed)


async def test_a_request_id_starts_once_even_if_the_project_was_archived_since(join: Join) -> None:
    alice = join()
    task = await simple_task(alice)
    request = StartRunRequest(task_id=task.id, request_id="r")
    run = (await alice.runs.StartRun(request)).run
    await alice.projects.ArchiveProject(ArchiveProjectRequest(project_id=task.project_id))
    assert (await alice.runs.StartRun(request)).run.id == run.id
    await cancel(alice, run)
    assert await reason_of(alice.runs.StartRun(StartRunRequest(task_id=task.id))) == "PROJECT_ARCHIVED"


async def test_cancelling_ends_the_run_and_repeating_it_is_harmless(join: Join) -> None:
    alice = join()
    run = await started(alice)
    ended = await cancel(alice, run)
    assert (ended.status, ended.termination_reason, ended.message) == (
        RUN_STATUS_TERMINATED, TERMINATION_REASON_USER_CANCELLED, "enough",
    )  # fmt: skip
    assert await cancel(alice, run) == ended
    task = (await alice.tasks.GetTask(GetTaskRequest(task_id=run.task_id))).task
    assert task.status == TASK_STATUS_CANCELLED


async def test_what_is_others_does_not_exist(join: Join) -> None:
    alice, bob, admin = join(), join(), join("admin")
    run = await started(alice)
    assert await reason_of(bob.runs.StartRun(StartRunRequest(task_id=run.task_id))) == "TASK_NOT_FOUND"
    assert await reason_of(bob.runs.ListRuns(ListRunsRequest(task_id=run.task_id))) == "TASK_NOT_FOUND"
    assert await reason_of(bob.runs.ListRuns(ListRunsRequest(project_id=run.project_id))) == "PROJECT_NOT_FOUND"
    for call in (
        bob.runs.GetRun(GetRunRequest(run_id=run.id)),
        bob.runs.ListEvents(ListEventsRequest(run_id=run.id)),
        bob.runs.VerifyRun(VerifyRunRequest(run_id=run.id)),
        cancel(bob, run),
        watched(bob, run),
        alice.runs.GetRun(GetRunRequest(run_id=f"{run.id}:events")),
    ):
        assert await reason_of(call) == "RUN_NOT_FOUND"
    assert list((await bob.runs.ListRuns(ListRunsRequest())).runs) == []
    assert [found.id for found in (await alice.runs.ListRuns(ListRunsRequest())).runs] == [run.id]
    by_project = await admin.runs.ListRuns(ListRunsRequest(project_id=run.project_id))
    assert [found.id for found in by_project.runs] == [run.id]
    assert (await cancel(admin, run)).owner == alice.subject


async def test_a_list_of_a_task_in_another_project_is_empty(join: Join) -> None:
    alice = join()
    run, other = await started(alice), await alice.project()
    request = ListRunsRequest(project_id=other.id, task_id=run.task_id)
    assert list((await alice.runs.ListRuns(request)).runs) == []


async def test_events_come_in_pages(join: Join) -> None:
    alice = join()
    run = await started(alice)
    await cancel(alice, run)
    whole = list((await alice.runs.ListEvents(ListEventsRequest(run_id=run.id))).events)
    paged: list[Event] = []
    token = ""
    while True:
        page = await alice.runs.ListEvents(ListEventsRequest(run_id=run.id, page_size=2, page_token=token))
        paged += page.events
        token = page.next_page_token
        if not token:
            break
    assert paged == whole
    assert whole[-1].type == EVENT_TYPE_RUN_TERMINATED


async def test_a_watch_resumes_where_it_stopped_and_ends_with_the_run(join: Join) -> None:
    alice = join()
    run = await started(alice)
    await cancel(alice, run)
    events = await watched(alice, run)
    for after in range(len(events) + 1):
        assert await asyncio.wait_for(watched(alice, run, after), 5) == events[after:]


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[Redis]:
    redis = connect(stack.redis_url("admin"), client_name="admin")
    yield redis
    await redis.aclose()


async def test_a_watch_survives_the_loss_of_its_connection(join: Join, admin: Redis) -> None:
    alice = join()
    run = await started(alice)
    watching = asyncio.create_task(watched(alice, run))
    await asyncio.sleep(0.2)
    assert await admin.client_kill_filter(_type="pubsub") >= 1
    await cancel(alice, run)
    events = await asyncio.wait_for(watching, 10)
    assert events[-1].type == EVENT_TYPE_RUN_TERMINATED


async def test_a_watch_ends_unavailable_when_the_server_drains(stack: Stack, join: Join) -> None:
    alice = join()
    run = await started(alice)
    async with stack.orchestrator() as other:
        same = Someone(other.address, "admin")
        seen: list[int] = []
        caught_up = asyncio.Event()

        async def watch() -> None:
            async for message in same.runs.WatchRun(WatchRunRequest(run_id=run.id)):
                seen.append(message.event.sequence)
                if len(seen) == 3:
                    caught_up.set()

        watching = asyncio.create_task(watch())
        await asyncio.wait_for(caught_up.wait(), 5)
        draining = asyncio.create_task(other.drain())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await watching
        await draining
        await same.channel.close()
    error = from_rpc(raised.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    assert int(error.metadata["after_sequence"]) == seen[-1]


async def test_tampering_is_found(join: Join, admin: Redis) -> None:
    alice = join()
    run = await started(alice)
    (stored,) = await admin.hmget(keys.run(run.id), ["s:a"])
    assert isinstance(stored, bytes)
    await admin.hset(keys.run(run.id), "s:a", stored.replace(b'"ready"', b'"succeeded"'))
    verified = await alice.runs.VerifyRun(VerifyRunRequest(run_id=run.id))
    assert not verified.consistent
    assert len(verified.differences) == 1
    assert "step 'a': status" in verified.differences[0]
