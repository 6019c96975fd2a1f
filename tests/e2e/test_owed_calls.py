"""Calls owed to an approval service that was away: all are made, however large what has piled up."""

import asyncio
from typing import Any

from harness.orchestrator.v1 import run_pb2
from motherharness import Client, StepContext, Worker
from motherharness.devstack import Stack
from tests.e2e.flows import end, reason, start

# Together more than any message carries, each alone within what a result may have.
STEPS = 20
LARGE = "word " * 50_000


async def test_results_that_no_message_carries_together_are_all_assessed() -> None:
    with Stack(agents="") as stack:
        worker = Worker(stack.connection("worker"), concurrency=STEPS)

        @worker.agent("researcher")
        async def research(context: StepContext) -> dict[str, Any]:
            return {"text": LARGE}

        async with Client(stack.connection("alice")) as alice, asyncio.timeout(60):
            run = await start(alice, [{"id": f"s{i}", "agent": "researcher"} for i in range(STEPS)])
            stack.kill("approval")
            working = asyncio.create_task(worker.run())
            while await _proposed(alice, run.id) < STEPS:
                await asyncio.sleep(0.2)
            stack.launch("approval")
            assert reason(await end(alice, run.id)) == "COMPLETED"
            worker.stop()
            await working


async def _proposed(client: Client, run_id: str) -> int:
    run = await client.get_run(run_id)
    return sum(step.status == run_pb2.STEP_STATUS_PROPOSED for step in run.steps)
