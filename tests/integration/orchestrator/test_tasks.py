"""TaskService over gRPC, with steps assessed by the real approval service."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from harness.common.v1.action_pb2 import APPROVAL_TYPE_CODE_EXECUTION, ENVIRONMENT_PRODUCTION
from harness.orchestrator.v1.plan_pb2 import Plan, StepSpec
from harness.orchestrator.v1.project_pb2 import CreateProjectRequest, Project, UpdateProjectRequest
from harness.orchestrator.v1.run_pb2 import StartRunRequest
from harness.orchestrator.v1.task_pb2 import (
    TASK_STATUS_PLANNING,
    CreateTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
)
from services.orchestrator.store import keys
from services.runtime.status import from_rpc
from tests.integration.orchestrator.conftest import Join, Stack, reason_of


async def test_a_task_without_a_plan_is_planned_and_assessed(join: Join) -> None:
    alice = join()
    task = await alice.task("research prices and write code")
    assert task.status == TASK_STATUS_PLANNING
    assert task.owner == alice.subject
    steps = {step.id: step for step in task.plan.steps}
    assert list(steps) == ["researcher", "coder", "critic"]
    assert all(step.inputs["query"] == "research prices and write code" for step in task.plan.steps)
    assert all(step.risk.level for step in task.plan.steps)
    assert steps["coder"].risk.gated
    assert steps["coder"].approval_type == APPROVAL_TYPE_CODE_EXECUTION
    assert not steps["researcher"].risk.gated
    assert (await alice.tasks.GetTask(GetTaskRequest(task_id=task.id))).task == task


async def test_a_task_lives_in_the_shard_of_its_project(join: Join) -> None:
    task = await join().task()
    assert keys.shard_of(task.id) == keys.shard_of(task.project_id)


async def test_an_explicit_plan_is_kept_and_its_risks_seen(join: Join) -> None:
    alice = join()
    project = await alice.project()
    steps = [
        StepSpec(id="look", agent="researcher", description="Read the documentation"),
        StepSpec(id="wipe", agent="coder", description="Run sudo apt-get install package", depends_on=["look"]),
        StepSpec(id="ask", agent="researcher", description="Read on", require_approval=True),
    ]
    steps[0].inputs.update({"nested": {"list": [1, "two", None]}})
    request = CreateTaskRequest(project_id=project.id, query="do it", plan=Plan(steps=steps))
    plan = (await alice.tasks.CreateTask(request)).task.plan
    assert [(s.id, s.agent, s.description, list(s.depends_on), s.inputs) for s in plan.steps] == [
        (s.id, s.agent, s.description, list(s.depends_on), s.inputs) for s in steps
    ]
    assert [step.risk.gated for step in plan.steps] == [False, True, True]
    assert plan.steps[1].risk.factors


async def test_the_projects_environment_counts(join: Join) -> None:
    alice = join()
    step = StepSpec(id="a", agent="coder", description="Deploy changes")
    request = CreateProjectRequest(display_name="p", environment=ENVIRONMENT_PRODUCTION)
    production = (await alice.projects.CreateProject(request)).project
    development = await alice.project()
    score = {}
    for project in (production, development):
        asked = CreateTaskRequest(project_id=project.id, query="deploy", plan=Plan(steps=[step]))
        score[project.id] = (await alice.tasks.CreateTask(asked)).task.plan.steps[0].risk.score
    assert score[production.id] > score[development.id]


async def test_a_cycle_is_refused_and_named(join: Join) -> None:
    alice = join()
    project = await alice.project()
    steps = [StepSpec(id=n, agent="coder", depends_on=[d]) for n, d in (("a", "b"), ("b", "a"))]
    request = CreateTaskRequest(project_id=project.id, query="x", plan=Plan(steps=steps))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await alice.tasks.CreateTask(request)
    error = from_rpc(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations == (("plan.steps[0].depends_on", "cycle: a → b → a"),)
    assert list((await alice.tasks.ListTasks(ListTasksRequest())).tasks) == []


async def test_a_request_id_creates_once(join: Join) -> None:
    alice = join()
    project = await alice.project()
    request = CreateTaskRequest(project_id=project.id, query="once", request_id="r")
    first = (await alice.tasks.CreateTask(request)).task
    assert (await alice.tasks.CreateTask(request)).task == first
    request.query = "other"
    assert await reason_of(alice.tasks.CreateTask(request)) == "REQUEST_ID_REUSED"
    assert len((await alice.tasks.ListTasks(ListTasksRequest())).tasks) == 1


async def test_what_is_others_does_not_exist(join: Join) -> None:
    alice, bob, admin = join(), join(), join("admin")
    task = await alice.task()
    assert await reason_of(bob.tasks.GetTask(GetTaskRequest(task_id=task.id))) == "TASK_NOT_FOUND"
    assert await reason_of(bob.task(project_id=task.project_id)) == "PROJECT_NOT_FOUND"
    request = ListTasksRequest(project_id=task.project_id)
    assert await reason_of(bob.tasks.ListTasks(request)) == "PROJECT_NOT_FOUND"
    assert list((await bob.tasks.ListTasks(ListTasksRequest())).tasks) == []
    assert [found.id for found in (await admin.tasks.ListTasks(request)).tasks] == [task.id]
    assert (await admin.tasks.GetTask(GetTaskRequest(task_id=task.id))).task == task


async def test_lists_are_newest_first_by_project_or_owner_and_without_plans(join: Join) -> None:
    alice = join()
    one, other = await alice.project(), await alice.project()
    made = [(await alice.task(f"t{n}", (one, other)[n % 2].id)).id for n in range(5)]
    page = await alice.tasks.ListTasks(ListTasksRequest(page_size=3))
    assert [task.id for task in page.tasks] == made[:1:-1]
    assert not any(task.HasField("plan") for task in page.tasks)
    rest = await alice.tasks.ListTasks(ListTasksRequest(page_size=3, page_token=page.next_page_token))
    assert [task.id for task in rest.tasks] == made[1::-1]
    of_one = await alice.tasks.ListTasks(ListTasksRequest(project_id=one.id))
    assert [task.id for task in of_one.tasks] == made[::-2]


async def test_nothing_passes_unassessed(stack: Stack, join: Join) -> None:
    alice = join()
    project = await alice.project()
    known = CreateTaskRequest(project_id=project.id, query="known", request_id="r")
    task = (await alice.tasks.CreateTask(known)).task
    async with stack.orchestrator(approval_address="127.0.0.1:1") as other:
        same = alice.at(other.address)
        new = CreateTaskRequest(project_id=project.id, query="new")
        assert await reason_of(same.tasks.CreateTask(new)) == "APPROVAL_UNAVAILABLE"
        assert (await same.tasks.CreateTask(known)).task == task
        assert len((await same.tasks.ListTasks(ListTasksRequest())).tasks) == 1
        await same.channel.close()


async def test_a_task_planned_for_another_environment_is_assessed_again(stack: Stack, join: Join) -> None:
    alice = join()
    project = await alice.project()
    tasks = [await alice.task(project_id=project.id) for _ in range(2)]
    async with stack.orchestrator(approval_address="127.0.0.1:1") as other:
        same = alice.at(other.address)
        await same.runs.StartRun(StartRunRequest(task_id=tasks[0].id))
        change = Project(id=project.id, environment=ENVIRONMENT_PRODUCTION)
        mask = FieldMask(paths=["environment"])
        await same.projects.UpdateProject(UpdateProjectRequest(project=change, update_mask=mask))
        start = same.runs.StartRun(StartRunRequest(task_id=tasks[1].id))
        assert await reason_of(start) == "APPROVAL_UNAVAILABLE"
        await same.channel.close()
    assert (await alice.runs.StartRun(StartRunRequest(task_id=tasks[1].id))).run.id


async def test_a_page_of_large_tasks_fits_into_a_message(join: Join) -> None:
    alice = join()
    project = await alice.project()
    steps = [StepSpec(id="a", agent="researcher")]
    for _ in range(70):
        request = CreateTaskRequest(project_id=project.id, query="x" * 65_000, plan=Plan(steps=steps))
        await alice.tasks.CreateTask(request)
    found, token = 0, ""
    while True:
        page = await alice.tasks.ListTasks(ListTasksRequest(page_size=1000, page_token=token))
        found, token = found + len(page.tasks), page.next_page_token
        if not token:
            break
    assert found == 70
