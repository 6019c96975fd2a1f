"""Approvals through a run: edits, remembered decisions, rejections that the agent acts on, and who may not decide."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2, audit_pb2, remembered_pb2
from harness.common.v1 import access_pb2, action_pb2
from harness.common.v1.action_pb2 import Action, CommandAction
from motherharness import Client, HarnessError, StepContext, Worker
from motherharness.devstack import Stack
from tests.e2e.asking import ask_two
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.flows import effects, end, history, pending, reason, risky, shell, start, statuses, until, workplace


async def test_what_was_edited_before_it_was_approved_is_what_runs(
    stack: Stack, alice: Client, bob: Client, carol: Client
) -> None:
    place = workplace(stack.root)
    (place / "keep").write_text("needed")
    run = await start(alice, [shell("clean", f"cd {place.name} && rm -rf * && echo clean >> effects")])
    asked = await pending(alice, run.id)
    edited = Action.FromString(asked.actions[0].SerializeToString())
    edited.command.script = f"cd {place.name} && rm -rf build && echo edited >> effects"
    revised = await bob.revise_approval(asked.id, [edited], digest=asked.digest, reason="only the build")
    assert revised.revision == 2
    with pytest.raises(HarnessError) as refused:
        await bob.approve(asked.id, digest=revised.digest)
    assert refused.value.reason == "SELF_APPROVAL"
    with pytest.raises(HarnessError) as refused:
        await carol.approve(asked.id, digest=asked.digest)
    assert refused.value.reason == "DIGEST_MISMATCH"
    await carol.approve(asked.id, digest=revised.digest)

    finished = await end(alice, run.id)
    assert reason(finished) == "COMPLETED"
    assert effects(place) == ["edited"]
    assert (place / "keep").exists()
    assert not (place / "build").exists()
    assert (await bob.get_approval(asked.id)).state == approval_pb2.APPROVAL_STATE_CONSUMED
    assert (await bob.get_approval(asked.id, revision=1)).actions[0] == asked.actions[0]


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack of one test alone, for it changes a policy."""
    with Stack(environment=ENVIRONMENT) as running:
        yield running


async def test_two_people_of_a_quorum_agree_before_anything_runs(
    own_stack: Stack,
) -> None:
    place = workplace(own_stack.root)
    await ask_two(own_stack, action_pb2.ENVIRONMENT_STAGING)
    async with (
        Client(own_stack.connection("alice")) as alice,
        Client(own_stack.connection("bob")) as bob,
        Client(own_stack.connection("carol", "approver")) as carol,
    ):
        project = await alice.create_project("two people", environment=action_pb2.ENVIRONMENT_STAGING)
        task = await alice.create_task(project.id, "clean", plan={"steps": [dict(risky("clean", place))]})
        run = await alice.start_run(task.id)
        asked = await pending(alice, run.id)
        assert [(seat.role, seat.count) for seat in asked.quorum] == [(access_pb2.ROLE_APPROVER, 2)]
        first = await bob.approve(asked.id, digest=asked.digest)
        assert (first.state, [vote.voter for vote in first.votes]) == (approval_pb2.APPROVAL_STATE_PENDING, ["bob"])
        # Somebody who votes again is still one person.
        assert (await bob.approve(asked.id)).state == approval_pb2.APPROVAL_STATE_PENDING
        assert effects(place) == []
        second = await carol.approve(asked.id, digest=asked.digest)
        assert second.state == approval_pb2.APPROVAL_STATE_APPROVED
        assert reason(await end(alice, run.id)) == "COMPLETED"
        assert effects(place) == ["clean"]


async def test_a_remembered_decision_asks_nobody_again(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    command = f"cd {place.name} && rm -rf build && mkdir build && echo again >> effects"
    run = await start(alice, [shell("one", command), shell("two", command, depends_on=["one"])])
    asked = await pending(alice, run.id)
    await bob.approve(asked.id, remember=remembered_pb2.REMEMBER_SCOPE_RUN)
    finished = await end(alice, run.id)
    assert reason(finished) == "COMPLETED"
    assert effects(place) == ["again", "again"]
    approvals = [approval async for approval in bob.list_approvals(run_id=run.id)]
    later = [approval for approval in approvals if approval.remembered_from]
    assert [approval.remembered_from for approval in later] == [asked.id]
    assert later[0].decision.decided_by == "bob"


async def test_a_rejection_that_wants_changes_reaches_the_agent(stack: Stack, alice: Client, bob: Client) -> None:
    seen: list[Any] = []

    async def careful(context: StepContext) -> dict[str, Any]:
        seen.append(context.feedback)
        target = context.feedback[-1].reason if context.feedback else "everything"
        action = Action(command=CommandAction(script=f"rm -rf {target}"))

        async def run(actions: Any) -> dict[str, Any]:
            return {"ran": actions[0].command.script}

        return await context.perform(action, run, "clean up")

    worker = Worker(stack.connection("worker"), concurrency=1)
    worker.agent("careful")(careful)
    working = asyncio.create_task(worker.run())
    try:
        run = await start(alice, [{"id": "clean", "agent": "careful", "retry": {"max_attempts": 2}}])
        first = await pending(alice, run.id)
        await bob.reject(first.id, reason="only/this", code=audit_pb2.REJECT_CODE_NEEDS_CHANGES)
        await until(alice, run.id, "APPROVAL_REJECTED")
        second = first
        while second.id == first.id:
            (second,) = [one async for one in bob.list_approvals(run_id=run.id, mine_to_decide=True)] or [first]
        assert second.actions[0].command.script == "rm -rf only/this"
        await bob.approve(second.id)
        finished = await end(alice, run.id)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert reason(finished) == "COMPLETED"
    (told,) = seen[-1]
    assert (told.code, told.decided_by, told.digest) == ("needs_changes", "bob", first.digest)
    (rejected,) = [event for event in await history(alice, run.id) if event.data.fields.get("code")][:1]
    assert rejected.data["code"] == "needs_changes"


async def test_a_rejection_that_is_meant_ends_the_run_and_says_its_code(
    stack: Stack, alice: Client, bob: Client
) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    asked = await pending(alice, run.id)
    await bob.reject(asked.id, reason="never", code=audit_pb2.REJECT_CODE_UNSAFE)
    finished = await end(alice, run.id)
    assert (reason(finished), statuses(finished)) == ("APPROVAL_REJECTED", {"clean": "FAILED"})
    assert "unsafe" in finished.steps[0].error.message
    assert effects(place) == []


async def test_the_requester_takes_back_what_waits(stack: Stack, alice: Client) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    asked = await pending(alice, run.id)
    await alice.withdraw_approval(asked.id, reason="changed my mind")
    finished = await end(alice, run.id)
    assert reason(finished) == "APPROVAL_REJECTED"
    assert effects(place) == []


async def test_who_started_somebody_elses_task_may_not_approve_it(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    async with Client(stack.connection("root", "admin", "approver")) as root:
        project = await alice.create_project("started by another")
        task = await alice.create_task(project.id, "clean", plan={"steps": [dict(risky("clean", place))]})
        run = await root.start_run(task.id)
        asked = await pending(alice, run.id)
        assert list(asked.initiators) == ["root"]
        with pytest.raises(HarnessError) as refused:
            await root.approve(asked.id)
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SELF_APPROVAL")
    await bob.approve(asked.id)
    assert reason(await end(alice, run.id)) == "COMPLETED"
    assert effects(place) == ["clean"]
