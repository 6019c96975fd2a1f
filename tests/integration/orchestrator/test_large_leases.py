"""Leases with more data than a message has room for."""

from __future__ import annotations

import asyncio

from google.protobuf.struct_pb2 import Struct

from harness.orchestrator.v1 import agent_pb2, plan_pb2, run_pb2, task_pb2
from tests.integration.orchestrator.conftest import Join, Someone

SOME = 16
LARGE = "word " * 50_000


async def _started(someone: Someone, steps: list[plan_pb2.StepSpec]) -> str:
    project = await someone.project()
    request = task_pb2.CreateTaskRequest(project_id=project.id, query="read", plan=plan_pb2.Plan(steps=steps))
    task = (await someone.tasks.CreateTask(request)).task
    return (await someone.runs.StartRun(run_pb2.StartRunRequest(task_id=task.id))).run.id


async def _leased(worker: Someone, agent: str) -> list[agent_pb2.StepLease]:
    request = agent_pb2.LeaseStepsRequest(worker_id="w", agents=[agent], max_steps=SOME)
    request.wait.FromSeconds(10)
    return list((await worker.agents.LeaseSteps(request)).leases)


async def _report(worker: Someone, lease: agent_pb2.StepLease, text: str) -> None:
    result = Struct()
    if text:
        result.update({"text": text})
    report = agent_pb2.StepReport(token=lease.token, result=result)
    await worker.agents.ReportSteps(agent_pb2.ReportStepsRequest(worker_id="w", reports=[report]))


async def test_steps_that_no_message_carries_together_are_leased_one_message_after_another(join: Join) -> None:
    someone, worker = join(), join("agent")
    steps = [plan_pb2.StepSpec(id="root", agent="fan")]
    steps += [plan_pb2.StepSpec(id=f"s{i}", agent="fan", depends_on=["root"]) for i in range(SOME)]
    run_id = await _started(someone, steps)
    await _report(worker, (await _leased(worker, "fan"))[0], LARGE)
    done = 0
    async with asyncio.timeout(20):
        while done < SOME:
            leases = await _leased(worker, "fan")
            assert all(lease.dependency_results["root"]["text"] == LARGE for lease in leases)
            for lease in leases:
                await _report(worker, lease, "")
            done += len(leases)
    run = (await someone.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))).run
    assert run.termination_reason == run_pb2.TERMINATION_REASON_COMPLETED


async def test_a_step_that_no_message_carries_fails_and_says_why(join: Join) -> None:
    someone, worker = join(), join("agent")
    names = [f"s{i}" for i in range(SOME)]
    steps = [plan_pb2.StepSpec(id=name, agent="funnel") for name in names]
    run_id = await _started(someone, [*steps, plan_pb2.StepSpec(id="all", agent="lastone", depends_on=names)])
    for lease in await _leased(worker, "funnel"):
        await _report(worker, lease, LARGE)
    assert await _leased(worker, "lastone") == []
    run = (await someone.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))).run
    assert run.status == run_pb2.RUN_STATUS_TERMINATED
    assert {step.id: step.error.code for step in run.steps}["all"] == "LEASE_TOO_LARGE"
