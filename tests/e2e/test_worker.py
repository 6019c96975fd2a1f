"""The agent SDK against real services: what a handler can rely on."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import pytest

from harness.common.v1.action_pb2 import Action, CommandAction
from harness.orchestrator.v1 import run_pb2
from motherharness import Client, HarnessError, RetryableError, StepContext, TerminalError, Worker
from motherharness.devstack import Stack
from tests.e2e.flows import end, history, name, pending, reason, start, statuses, until

Handler = Callable[[StepContext], Any]
LIST = Action(command=CommandAction(script="ls"))
REMOVE = Action(command=CommandAction(script="rm -rf build"))


@pytest.fixture
def agent() -> str:
    """A capability that no other worker has."""
    return f"agent-{uuid.uuid4().hex[:8]}"


@contextlib.asynccontextmanager
async def working(stack: Stack, agent: str, handler: Handler, **options: Any) -> AsyncIterator[Worker]:
    """Run a worker of ours as long as the block lasts."""
    worker = Worker(stack.connection("worker"), **options)
    worker.agent(agent)(handler)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


def step(agent: str, name: str = "only", **more: Any) -> dict[str, Any]:
    """Return a step for an agent that retries fast."""
    return {"id": name, "agent": agent, "retry": {"initial_backoff": "0.05s", "max_attempts": 3}, **more}


async def test_a_handler_gets_its_step_and_gives_its_result(stack: Stack, alice: Client, agent: str) -> None:
    seen: list[StepContext] = []

    async def handle(context: StepContext) -> dict[str, Any]:
        seen.append(context)
        return {"count": 2, "of": context.inputs.get("of", 0)}

    async with working(stack, agent, handle):
        steps = [step(agent, "first", inputs={"of": 3}), step(agent, "second", depends_on=["first"])]
        run = await end(alice, (await start(alice, steps)).id)
    assert reason(run) == "COMPLETED"
    first, second = seen
    assert (first.step_id, first.attempt, first.agent, first.inputs) == ("first", 1, agent, {"of": 3})
    assert second.dependencies == {"first": {"count": 2, "of": 3}}
    assert second.query == "do what the plan says"


async def test_a_blocked_event_loop_keeps_its_lease(stack: Stack, alice: Client, agent: str) -> None:
    async def handle(context: StepContext) -> dict[str, Any]:
        # Longer than the lease of 3 s, and nothing of the event loop runs meanwhile.
        time.sleep(4.5)  # noqa: ASYNC251
        return {"attempt": context.attempt}

    async with working(stack, agent, handle):
        run = await end(alice, (await start(alice, [step(agent)])).id)
    assert reason(run) == "COMPLETED"
    assert run.steps[0].result["attempt"] == 1


async def test_a_failure_says_whether_to_try_again(stack: Stack, alice: Client, agent: str) -> None:
    async def handle(context: StepContext) -> dict[str, Any]:
        if context.inputs["kind"] == "terminal":
            raise TerminalError("never", "BROKEN")
        if context.inputs["kind"] == "retryable" and context.attempt < 3:
            raise RetryableError("not yet", "BUSY")
        if context.inputs["kind"] == "bug" and context.attempt < 2:
            raise KeyError("bug")
        if context.inputs["kind"] == "large":
            return {"text": "x" * 300_000}
        return {}

    async with working(stack, agent, handle):
        for kind, attempts, outcome in (
            ("terminal", 1, "BROKEN"),
            ("retryable", 3, ""),
            ("bug", 2, ""),
            ("large", 1, "RESULT_TOO_LARGE"),
        ):
            run = await end(alice, (await start(alice, [step(agent, inputs={"kind": kind})])).id)
            assert (run.steps[0].attempt, run.steps[0].error.code) == (attempts, outcome), kind


async def test_cancelling_a_run_cancels_the_handler(stack: Stack, alice: Client, agent: str) -> None:
    cancelled = asyncio.Event()

    async def handle(context: StepContext) -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    async with working(stack, agent, handle):
        run = await start(alice, [step(agent)])
        await until(alice, run.id, "STEP_STARTED")
        await alice.cancel_run(run.id)
        # One heartbeat: a third of the lease.
        await asyncio.wait_for(cancelled.wait(), 5)
    assert reason(await end(alice, run.id)) == "USER_CANCELLED"


async def test_a_worker_that_stops_finishes_or_gives_back(stack: Stack, alice: Client, agent: str) -> None:
    handed_back = asyncio.Event()

    async def slow(context: StepContext) -> dict[str, Any]:
        await asyncio.sleep(0.5 if context.step_id == "short" else 60)
        return {}

    async def fast(context: StepContext) -> dict[str, Any]:
        handed_back.set()
        return {}

    async with working(stack, agent, slow, drain=1.0) as worker:
        run = await start(alice, [step(agent, "short"), step(agent, "long")])
        await until(alice, run.id, "STEP_STARTED", "short")
        await until(alice, run.id, "STEP_STARTED", "long")
        worker.stop()
    assert statuses(await alice.get_run(run.id)) == {"short": "SUCCEEDED", "long": "READY"}
    async with working(stack, agent, fast):
        # At once, and not when the lease of the first worker would have run out.
        await asyncio.wait_for(handed_back.wait(), 2)
        ended = await end(alice, run.id)
    assert reason(ended) == "COMPLETED"
    assert not [event for event in await history(alice, run.id) if name(event).startswith("STEP_FAILED")]


async def test_what_was_performed_is_not_performed_again(stack: Stack, alice: Client, agent: str) -> None:
    performed: list[int] = []

    async def runner(actions: Sequence[Action]) -> dict[str, Any]:
        performed.append(len(actions))
        return {"number": len(performed)}

    async def handle(context: StepContext) -> dict[str, Any]:
        first = await context.perform(LIST, runner, "to see")
        second = await context.perform([LIST, LIST], runner)
        if context.attempt == 1:
            raise RetryableError("crashed after acting")
        return {"first": first["number"], "second": second["number"], "attempt": context.attempt}

    async with working(stack, agent, handle):
        run = await end(alice, (await start(alice, [step(agent)])).id)
    assert reason(run) == "COMPLETED"
    assert performed == [1, 2]
    assert dict(run.steps[0].result) == {"first": 1, "second": 2, "attempt": 2}


async def test_other_actions_in_the_same_place_are_refused(stack: Stack, alice: Client, agent: str) -> None:
    async def runner(actions: Sequence[Action]) -> dict[str, Any]:
        return {}

    async def handle(context: StepContext) -> dict[str, Any]:
        await context.perform(Action(command=CommandAction(script=f"echo {context.attempt}")), runner)
        raise RetryableError("again")

    async with working(stack, agent, handle):
        run = await end(alice, (await start(alice, [step(agent)])).id)
    assert reason(run) == "AGENT_ERROR"
    assert run.steps[0].error.code == "ACTIONS_CHANGED"


async def test_a_parked_handler_ends_and_starts_anew(stack: Stack, alice: Client, bob: Client, agent: str) -> None:
    went_on: list[int] = []
    attempts: list[int] = []

    async def runner(actions: Sequence[Action]) -> dict[str, Any]:
        return {"ran": actions[0].command.script}

    async def handle(context: StepContext) -> dict[str, Any]:
        attempts.append(context.attempt)
        try:
            result = await context.perform(REMOVE, runner)
        except Exception:
            went_on.append(context.attempt)
            raise
        return result

    async with working(stack, agent, handle):
        run = await start(alice, [step(agent)])
        approval = await pending(alice, run.id)
        assert went_on == []
        await bob.approve(approval.id)
        ended = await end(alice, run.id)
    assert attempts == [1, 2]
    assert ended.steps[0].result["ran"] == "rm -rf build"


async def test_the_digest_is_of_what_runs_whatever_the_handler_changes(stack: Stack, alice: Client, agent: str) -> None:
    async def handle(context: StepContext) -> dict[str, Any]:
        action = Action(command=CommandAction(script="ls"))

        async def runner(actions: Sequence[Action]) -> dict[str, Any]:
            return {"ran": actions[0].command.script}

        performing = asyncio.create_task(context.perform(action, runner))
        await asyncio.sleep(0)
        action.command.script = "rm -rf /"
        return await performing

    async with working(stack, agent, handle):
        run = await end(alice, (await start(alice, [step(agent)])).id)
    assert run.steps[0].result["ran"] == "ls"


async def test_work_goes_on_over_a_restart_of_the_orchestrator(stack: Stack, alice: Client, agent: str) -> None:
    async def handle(context: StepContext) -> dict[str, Any]:
        await asyncio.sleep(0.3)
        return {"attempt": context.attempt}

    async with working(stack, agent, handle):
        run = await start(alice, [step(agent, "a"), step(agent, "b", depends_on=["a"])])
        await until(alice, run.id, "STEP_STARTED", "a")
        watching = asyncio.create_task(end(alice, run.id))
        await asyncio.to_thread(stack.restart, "orchestrator")
        ended = await watching
    assert reason(ended) == "COMPLETED"
    completed = [event for event in await history(alice, run.id) if event.type == run_pb2.EVENT_TYPE_STEP_COMPLETED]
    assert sorted(event.step_id for event in completed) == ["a", "b"]


async def test_a_worker_that_may_not_lease_ends_and_says_so(stack: Stack, agent: str) -> None:
    worker = Worker(stack.connection("alice"))

    @worker.agent(agent)
    async def handle(context: StepContext) -> dict[str, Any]:
        return {}

    with pytest.raises(HarnessError) as caught:
        await asyncio.wait_for(worker.run(), 10)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
