"""What was approved is what runs: grants and the files they bind, with real services and a real worker process."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.approval.v1 import approval_pb2
from harness.common.v1.action_pb2 import Action, CommandAction
from harness.orchestrator.v1 import run_pb2
from motherharness import Client, RetryableError, StepContext, Worker, digest
from motherharness.agents import ShellAgent
from motherharness.devstack import Stack
from motherharness.signing_keys import create
from motherharness.transport import Transport
from motherharness.worker import Handler
from tests.e2e.flows import effects, end, pending, reason, shell, start, workplace


def deploying(root: Path) -> tuple[Path, str]:
    """Return a workplace with a script in it, and a command that runs the script and that a human is asked about."""
    place = workplace(root)
    (place / "deploy.sh").write_text("echo as-approved >> effects\n")
    return place, f"cd {place.name} && rm -rf build && bash deploy.sh"


async def questions(client: Client, run_id: str) -> AsyncIterator[approval_pb2.Approval]:
    """Follow what a run asks for."""
    async for event in client.watch_run(run_id):
        if event.type == run_pb2.EVENT_TYPE_APPROVAL_REQUESTED:
            yield await client.get_approval(str(event.data["approval_id"]))


@asynccontextmanager
async def working(stack: Stack, handler: Handler) -> AsyncIterator[str]:
    """Run a worker in this process for an agent that no other worker has; yield the agent's name."""
    agent = f"agent-{uuid.uuid4().hex[:8]}"
    worker = Worker(stack.connection("worker"))
    worker.agent(agent)(handler)
    running = asyncio.create_task(worker.run())
    try:
        yield agent
    finally:
        worker.stop()
        await running


async def test_a_script_changed_after_approval_is_asked_about_anew(stack: Stack, alice: Client, bob: Client) -> None:
    place, command = deploying(stack.root)
    run = await start(alice, [shell("deploy", command)])
    asked = questions(alice, run.id)
    first = await anext(asked)
    (operand,) = first.actions[0].command.operands
    assert operand.path == f"{place.name}/deploy.sh"
    assert operand.sha256 == hashlib.sha256((place / "deploy.sh").read_bytes()).hexdigest()
    assert first.digest == digest(first.actions)

    (place / "deploy.sh").write_text("echo something-else >> effects\n")
    await bob.approve(first.id, digest=first.digest)
    second = await anext(asked)

    assert second.id != first.id
    assert second.digest != first.digest
    assert effects(place) == []
    assert (place / "build").exists()
    assert (await bob.get_approval(first.id)).state == approval_pb2.APPROVAL_STATE_APPROVED
    await bob.reject(second.id, reason="what is this?")
    assert reason(await end(alice, run.id)) == "APPROVAL_REJECTED"
    assert effects(place) == []


async def test_an_unchanged_script_runs_once_it_is_approved(stack: Stack, alice: Client, bob: Client) -> None:
    place, command = deploying(stack.root)
    run = await start(alice, [shell("deploy", command)])
    await bob.approve((await pending(alice, run.id)).id)
    assert reason(await end(alice, run.id)) == "COMPLETED"
    assert effects(place) == ["as-approved"]


async def test_a_script_changed_between_redeeming_and_running_does_not_run(
    stack: Stack, alice: Client, bob: Client
) -> None:
    place, command = deploying(stack.root)

    agent = ShellAgent(stack.root)

    async def overtaken(actions: Sequence[Action]) -> dict[str, Any]:
        (place / "deploy.sh").write_text("echo something-else >> effects\n")
        return await agent.run(actions)

    async def handle(context: StepContext) -> dict[str, Any]:
        bound = await agent.bound(CommandAction(script=command))
        return await context.perform(Action(command=bound), overtaken)

    try:
        async with working(stack, handle) as name:
            run = await start(alice, [{"id": "deploy", "agent": name}])
            approval = await pending(alice, run.id)
            await bob.approve(approval.id)
            ended = await end(alice, run.id)
    finally:
        agent.close()
    assert ended.steps[0].error.code == "OPERAND_CHANGED"
    assert f"{place.name}/deploy.sh" in ended.steps[0].error.message
    assert effects(place) == []
    assert (place / "build").exists()
    # The grant is spent: what was approved was this script, this once.
    assert (await bob.get_approval(approval.id)).state == approval_pb2.APPROVAL_STATE_CONSUMED


async def test_what_was_performed_is_known_again_though_it_changed_its_files(stack: Stack, alice: Client) -> None:
    place = workplace(stack.root)
    (place / "data.txt").write_text("a")
    agent = ShellAgent(stack.root)
    bound: list[CommandAction] = []

    async def handle(context: StepContext) -> dict[str, Any]:
        command = CommandAction(script="sed -i s/a/aa/ data.txt", working_directory=place.name)
        bound.append(await agent.bound(command))
        result = await context.perform(Action(command=bound[-1]), agent.run)
        if context.attempt == 1:
            raise RetryableError("crashed after acting")
        return result

    try:
        async with working(stack, handle) as name:
            steps = [{"id": "edit", "agent": name, "retry": {"initial_backoff": "0.05s", "max_attempts": 3}}]
            ended = await end(alice, (await start(alice, steps)).id)
    finally:
        agent.close()
    assert reason(ended) == "COMPLETED", ended.steps[0].error
    assert ended.steps[0].attempt == 2
    assert (place / "data.txt").read_text() == "aa"
    assert [len(command.operands) for command in bound] == [1, 1]
    assert bound[0] != bound[1]


async def test_workers_follow_a_rotation_and_a_restart_keeps_the_keys(stack: Stack, alice: Client) -> None:
    transport = Transport(stack.connection("worker"))
    listing = approval_pb2.ListGrantKeysRequest()

    async def kids() -> list[str]:
        answer = await transport.call(transport.approvals.ListGrantKeys, listing, idempotent=True)
        return [key.kid for key in answer.keys]

    try:
        before = await kids()
        create(stack.signing_keys)
        # The next second, for the service looks at the folder once in one.
        await asyncio.sleep(1.1)
        after = await kids()
        assert after[: len(before)] == before
        assert len(after) == len(before) + 1
        # The worker process has never seen the new key.
        assert reason(await end(alice, (await start(alice, [shell("one", "echo hello")])).id)) == "COMPLETED"
        await asyncio.to_thread(stack.restart, "approval")
        assert await kids() == after
        assert reason(await end(alice, (await start(alice, [shell("two", "echo hello")])).id)) == "COMPLETED"
    finally:
        await transport.close()
