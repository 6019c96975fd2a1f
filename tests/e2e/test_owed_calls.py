"""Calls owed to an approval service that was away: all are made, however large what has piled up."""

import asyncio
import os
import signal
from typing import Any

from harness.orchestrator.v1 import run_pb2
from motherharness import Client, StepContext, Worker
from motherharness.devstack import Stack
from tests.e2e.flows import end, reason, shell, start, until

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
            proposed = 0
            async for event in alice.watch_run(run.id):
                proposed += event.type == run_pb2.EVENT_TYPE_STEP_PROPOSED
                if proposed == STEPS:
                    break
            stack.launch("approval")
            assert reason(await end(alice, run.id)) == "COMPLETED"
            worker.stop()
            await working


async def test_deadlines_are_kept_while_the_approval_service_hangs() -> None:
    with Stack() as stack:
        async with Client(stack.connection("alice")) as alice, asyncio.timeout(60):
            waiting = [shell(f"s{i}", f"rm -rf build{i}") for i in range(4)]
            parked = await start(alice, waiting)
            await until(alice, parked.id, "RUN_WAITING_APPROVAL")
            worker = Worker(stack.connection("worker"))

            @worker.agent("researcher")
            async def research(context: StepContext) -> None:
                await asyncio.sleep(60)

            step = {"id": "slow", "agent": "researcher", "timeout": "5s", "retry": {"max_attempts": 1}}
            run = await start(alice, [step])
            working = asyncio.create_task(worker.run())
            await until(alice, run.id, "STEP_STARTED")
            os.kill(stack.pid("approval"), signal.SIGSTOP)
            try:
                async with asyncio.timeout(8):
                    assert reason(await end(alice, run.id)) == "TIMEOUT"
            finally:
                os.kill(stack.pid("approval"), signal.SIGCONT)
                working.cancel()


async def test_an_approval_that_was_lost_ends_the_run() -> None:
    with Stack() as stack:
        async with Client(stack.connection("alice")) as alice, asyncio.timeout(60):
            run = await start(alice, [shell("clean", "rm -rf build")])
            await until(alice, run.id, "RUN_WAITING_APPROVAL")
            stack.lose_keys("approval")
            assert reason(await end(alice, run.id)) == "APPROVAL_TIMEOUT"
