"""The human at the gate: nothing gated runs before its approval, and what was approved runs once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import grpc
import pytest

from harness.approval.v1 import approval_pb2
from harness.common.v1.action_pb2 import ENVIRONMENT_PRODUCTION, Action, CommandAction
from harness.orchestrator.v1 import agent_pb2
from motherharness import Client, HarnessError, StepContext, Worker, digest
from motherharness.devstack import Stack
from motherharness.transport import Transport
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.flows import (
    effects,
    end,
    history,
    name,
    pending,
    reason,
    risky,
    shell,
    start,
    statuses,
    until,
    workplace,
)

# A file system's clock ticks at most this much behind the server's, seconds.
TICK = 0.02


async def refused(call: Awaitable[Any]) -> HarnessError:
    """Return the error that a call ends with."""
    with pytest.raises(HarnessError) as caught:
        await call
    return caught.value


async def test_gated_action_waits_for_its_approval_and_then_runs_once(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    before = place.stat().st_mtime_ns
    run = await start(
        alice,
        [
            shell("look", f"ls {place.name}"),
            risky("clean", place, depends_on=["look"]),
            shell("after", f"echo after >> {place.name}/effects", depends_on=["clean"]),
        ],
    )
    approval = await pending(alice, run.id)
    await until(alice, run.id, "RUN_WAITING_APPROVAL")
    # The worker is free, and has carried out work of others since: it had every chance to run the action.
    assert reason(await end(alice, (await start(alice, [shell("other", "true")])).id)) == "COMPLETED"
    # Whatever is made or removed in a directory changes its time, even if it is undone again.
    assert place.stat().st_mtime_ns == before
    assert (place / "build" / "output").exists()
    assert effects(place) == []

    decided = await bob.approve(approval.id, reason="it is only output", digest=approval.digest)
    finished = await end(alice, run.id)

    assert reason(finished) == "COMPLETED"
    assert effects(place) == ["clean", "after"]
    assert not (place / "build").exists()
    assert (place / "effects").stat().st_mtime >= decided.decision.decide_time.ToNanoseconds() / 1e9 - TICK
    events = [name(event) for event in await history(alice, run.id)]
    order = ["STEP_COMPLETED look", "APPROVAL_REQUESTED clean", "APPROVAL_APPROVED clean", "STEP_COMPLETED clean"]
    assert [event for event in events if event in order] == order
    assert sorted(event for event in events if event.startswith("STEP_COMPLETED")) == [
        "STEP_COMPLETED after",
        "STEP_COMPLETED clean",
        "STEP_COMPLETED look",
    ]
    assert (await bob.get_approval(approval.id)).state == approval_pb2.APPROVAL_STATE_CONSUMED


async def test_approval_shows_what_would_run_and_why_it_is_risky(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    approval = await pending(alice, run.id)

    assert approval.state == approval_pb2.APPROVAL_STATE_PENDING
    assert approval.requester == "alice"
    assert any("rm -rf build" in command for command in approval.preview.commands)
    assert approval.assessment.factors
    assert all(factor.explanation for factor in approval.assessment.factors)
    assert approval.digest == digest(approval.actions)
    listed = [one.id async for one in bob.list_approvals(state=approval_pb2.APPROVAL_STATE_PENDING)]
    assert approval.id in listed
    await alice.cancel_run(run.id)


async def test_rejection_skips_what_depends_on_it(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    run = await start(
        alice,
        [
            risky("clean", place),
            shell("after", f"echo after >> {place.name}/effects", depends_on=["clean"]),
            shell("last", f"echo last >> {place.name}/effects", depends_on=["after"]),
            shell("beside", f"echo beside >> {place.name}/beside"),
        ],
    )
    approval = await pending(alice, run.id)
    await bob.reject(approval.id, reason="keep it")
    finished = await end(alice, run.id)

    assert reason(finished) == "APPROVAL_REJECTED"
    assert statuses(finished) == {"clean": "FAILED", "after": "SKIPPED", "last": "SKIPPED", "beside": "SUCCEEDED"}
    assert effects(place) == []
    assert (place / "build" / "output").exists()
    assert (place / "beside").read_text() == "beside\n"


async def test_first_decision_stands(stack: Stack, alice: Client, bob: Client, carol: Client) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    approval = await pending(alice, run.id)

    other = await refused(bob.approve(approval.id, digest="sha256:" + "0" * 64))
    assert other.code is grpc.StatusCode.FAILED_PRECONDITION
    first = await bob.reject(approval.id, reason="no")
    assert (await refused(carol.approve(approval.id))).code is grpc.StatusCode.FAILED_PRECONDITION
    again = await carol.reject(approval.id, reason="no, too")

    assert again.decision == first.decision
    assert reason(await end(alice, run.id)) == "APPROVAL_REJECTED"
    assert (await refused(bob.approve(approval.id))).code is grpc.StatusCode.FAILED_PRECONDITION
    assert effects(place) == []


async def test_approvals_at_once_have_one_effect(stack: Stack, alice: Client, bob: Client, carol: Client) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    approval = await pending(alice, run.id)

    decisions = await asyncio.gather(*(who.approve(approval.id) for _ in range(8) for who in (bob, carol)))

    assert len({decision.decision.SerializeToString() for decision in decisions}) == 1
    assert reason(await end(alice, run.id)) == "COMPLETED"
    assert effects(place) == ["clean"]
    events = [name(event) for event in await history(alice, run.id)]
    for once in ("APPROVAL_APPROVED clean", "STEP_COMPLETED clean", "ACTION_COMPLETED clean"):
        assert events.count(once) == 1, events


async def test_contrary_decisions_at_once_have_one_winner(
    stack: Stack, alice: Client, bob: Client, carol: Client
) -> None:
    for _ in range(4):
        place = workplace(stack.root)
        run = await start(alice, [risky("clean", place)])
        approval = await pending(alice, run.id)

        answers = await asyncio.gather(bob.approve(approval.id), carol.reject(approval.id), return_exceptions=True)

        won = [answer for answer in answers if isinstance(answer, approval_pb2.Approval)]
        lost = [answer for answer in answers if isinstance(answer, HarnessError)]
        assert [error.code for error in lost] == [grpc.StatusCode.FAILED_PRECONDITION]
        assert len(won) == 1
        finished = await end(alice, run.id)
        approved = won[0].decision.approved
        assert reason(finished) == ("COMPLETED" if approved else "APPROVAL_REJECTED")
        assert effects(place) == (["clean"] if approved else [])


@pytest.mark.parametrize("role", ["approver", "admin"])
async def test_nobody_decides_what_they_asked_for(stack: Stack, alice: Client, bob: Client, role: str) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place)])
    approval = await pending(alice, run.id)
    async with Client(stack.connection("alice", "user", role)) as promoted:
        for decide in (promoted.approve, promoted.reject):
            assert (await refused(decide(approval.id))).code is grpc.StatusCode.PERMISSION_DENIED
    assert (await refused(alice.approve(approval.id))).code is grpc.StatusCode.PERMISSION_DENIED
    assert (await bob.get_approval(approval.id)).state == approval_pb2.APPROVAL_STATE_PENDING
    assert effects(place) == []
    await alice.cancel_run(run.id)


async def test_explicit_gate_asks_whatever_the_policy_says(stack: Stack, alice: Client, bob: Client) -> None:
    run = await start(alice, [shell("harmless", "true", require_approval=True)])
    approval = await pending(alice, run.id)
    await bob.approve(approval.id)

    assert reason(await end(alice, run.id)) == "COMPLETED"
    events = [name(event) for event in await history(alice, run.id)]
    # Not even a worker saw it before.
    assert events.index("STEP_STARTED harmless") > events.index("APPROVAL_APPROVED harmless")
    assert events.count("STEP_STARTED harmless") == 1


async def test_harmless_step_asks_nobody(alice: Client) -> None:
    run = await start(alice, [shell("harmless", "echo hello")])
    finished = await end(alice, run.id)
    assert reason(finished) == "COMPLETED"
    assert finished.steps[0].result["stdout"] == "hello\n"
    assert not any("APPROVAL" in name(event) for event in await history(alice, run.id))


async def test_cancelled_run_takes_its_question_back(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    run = await start(alice, [risky("clean", place), shell("after", "true", depends_on=["clean"])])
    approval = await pending(alice, run.id)
    await alice.cancel_run(run.id, reason="changed my mind")
    finished = await end(alice, run.id)
    assert reason(finished) == "USER_CANCELLED"
    assert set(statuses(finished).values()) == {"CANCELLED"}

    async with Client(stack.connection("watcher", "approver")) as watcher:
        states = await decisions_until(watcher, approval.id)
    assert states == [approval_pb2.APPROVAL_STATE_WITHDRAWN]
    assert (await refused(bob.approve(approval.id))).code is grpc.StatusCode.FAILED_PRECONDITION
    assert effects(place) == []


async def decisions_until(client: Client, approval_id: str) -> list[int]:
    """Follow decisions from the oldest kept until the first about an approval; return it."""
    transport = Transport(client.connection)
    try:
        request = approval_pb2.WatchDecisionsRequest()
        async for message in transport.stream(transport.approvals.WatchDecisions, request):
            if message.approval_id == approval_id:
                return [message.state]
        return []
    finally:
        await transport.close()


async def test_risky_result_waits_before_anything_uses_it(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    worker = Worker(stack.connection("other-worker", "agent"))

    @worker.agent("writer")
    async def write(context: StepContext) -> dict[str, str]:
        return {"language": "bash", "code": f"rm -rf {place}/build"}

    running = asyncio.create_task(worker.run())
    try:
        run = await start(
            alice,
            [
                {"id": "write", "agent": "writer"},
                shell("use", f"echo use >> {place.name}/effects", depends_on=["write"]),
            ],
        )
        approval = await pending(alice, run.id, "write")
        waiting = await alice.get_run(run.id)
        assert statuses(waiting) == {"write": "WAITING_APPROVAL", "use": "PENDING"}
        assert effects(place) == []
        await bob.approve(approval.id)
        assert reason(await end(alice, run.id)) == "COMPLETED"
        assert effects(place) == ["use"]
        events = [name(event) for event in await history(alice, run.id)]
        assert events.index("STEP_STARTED use") > events.index("APPROVAL_APPROVED write")
    finally:
        worker.stop()
        await running


class ManualWorker:
    """A worker that does each call by hand, so that a test can do them wrong."""

    def __init__(self, stack: Stack, agent: str) -> None:
        self.transport = Transport(stack.connection("manual-worker", "agent"))
        self.agent = agent

    async def lease(self) -> agent_pb2.StepLease:
        """Wait for a step."""
        request = agent_pb2.LeaseStepsRequest(worker_id="manual", agents=[self.agent])
        request.wait.FromSeconds(20)
        answer = await self.transport.call(self.transport.agents.LeaseSteps, request, idempotent=False)
        return answer.leases[0]

    async def propose(self, lease: agent_pb2.StepLease, command: str) -> agent_pb2.ProposeActionsResponse:
        """Propose one command."""
        request = agent_pb2.ProposeActionsRequest(
            worker_id="manual", token=lease.token, ordinal=1, actions=[action(command)]
        )
        return await self.transport.call(self.transport.agents.ProposeActions, request, idempotent=False)

    async def redeem(self, lease: agent_pb2.StepLease, grant: str, own_digest: str, attempt: int = 0) -> str:
        """Redeem a grant, for another attempt if one is given."""
        request = approval_pb2.RedeemGrantRequest(
            grant=grant,
            digest=own_digest,
            run_id=lease.token.run_id,
            step_id=lease.token.step_id,
            attempt=attempt or lease.token.attempt,
        )
        answer = await self.transport.call(self.transport.approvals.RedeemGrant, request, idempotent=False)
        return answer.approval_id

    async def report(self, lease: agent_pb2.StepLease) -> int:
        """Report success; return the outcome."""
        request = agent_pb2.ReportStepsRequest(worker_id="manual", reports=[agent_pb2.StepReport(token=lease.token)])
        request.reports[0].result.SetInParent()
        answer = await self.transport.call(self.transport.agents.ReportSteps, request, idempotent=False)
        return answer.results[0].outcome


def action(command: str) -> Action:
    """Return the action of a bash command."""
    return Action(command=CommandAction(script=command))


@pytest.fixture
async def manual(stack: Stack) -> AsyncIterator[ManualWorker]:
    worker = ManualWorker(stack, "manual")
    yield worker
    await worker.transport.close()


async def test_grant_is_for_these_bytes_this_attempt_and_one_use(
    manual: ManualWorker, alice: Client, bob: Client
) -> None:
    command = "rm -rf build"
    run = await start(alice, [{"id": "clean", "agent": "manual"}])
    first = await manual.lease()
    parked = await manual.propose(first, command)
    assert parked.outcome == agent_pb2.PROPOSAL_OUTCOME_PARKED
    assert not parked.grant
    # The lease is over: whoever goes on regardless gets nowhere.
    assert (await refused(manual.propose(first, command))).reason == "LEASE_LOST"
    assert await manual.report(first) == agent_pb2.REPORT_OUTCOME_LEASE_LOST
    await bob.approve(parked.approval_id)

    second = await manual.lease()
    assert second.token.attempt == first.token.attempt + 1
    cleared = await manual.propose(second, command)
    assert cleared.outcome == agent_pb2.PROPOSAL_OUTCOME_CLEARED
    own = digest([action(command)])
    assert cleared.digest == own
    for wrong in (
        manual.redeem(second, cleared.grant, digest([action("rm -rf /")])),
        manual.redeem(second, cleared.grant, own, attempt=first.token.attempt),
        manual.redeem(second, cleared.grant[:-2] + ("AA" if cleared.grant[-2:] != "AA" else "BB"), own),
    ):
        error = await refused(wrong)
        assert error.code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
    answers = await asyncio.gather(
        *(manual.redeem(second, cleared.grant, own) for _ in range(8)), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, str)] == [parked.approval_id]
    reasons = {answer.reason for answer in answers if isinstance(answer, HarnessError)}
    assert reasons == {"GRANT_REDEEMED"}

    assert await manual.report(second) == agent_pb2.REPORT_OUTCOME_RECORDED
    assert await manual.report(second) == agent_pb2.REPORT_OUTCOME_RECORDED
    assert reason(await end(alice, run.id)) == "COMPLETED"


async def test_other_actions_than_those_approved_are_asked_about_anew(
    manual: ManualWorker, alice: Client, bob: Client
) -> None:
    run = await start(alice, [{"id": "clean", "agent": "manual"}])
    parked = await manual.propose(await manual.lease(), "rm -rf build")
    await bob.approve(parked.approval_id)
    other = await manual.propose(await manual.lease(), "rm -rf build dist")
    assert other.outcome == agent_pb2.PROPOSAL_OUTCOME_PARKED
    assert other.approval_id != parked.approval_id
    assert not other.grant
    await alice.cancel_run(run.id)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose approvals expire in a second."""
    impatient = ENVIRONMENT["approval"] | {"HARNESS_APPROVAL_DECIDE_SECONDS": "1"}
    with Stack(environment=ENVIRONMENT | {"approval": impatient}) as running:
        yield running


async def test_expiry_ends_the_run_and_nothing_runs(hasty: Stack) -> None:
    place = workplace(hasty.root)
    async with Client(hasty.connection("alice")) as alice, Client(hasty.connection("bob")) as bob:
        run = await start(
            alice,
            [risky("clean", place), shell("after", f"echo after >> {place.name}/effects", depends_on=["clean"])],
        )
        approval = await pending(alice, run.id)
        finished = await end(alice, run.id)

        assert reason(finished) == "APPROVAL_TIMEOUT"
        assert statuses(finished) == {"clean": "FAILED", "after": "SKIPPED"}
        assert (await refused(bob.approve(approval.id))).code is grpc.StatusCode.FAILED_PRECONDITION
        assert (await bob.get_approval(approval.id)).state == approval_pb2.APPROVAL_STATE_EXPIRED
        assert "APPROVAL_EXPIRED clean" in [name(event) for event in await history(alice, run.id)]
        assert effects(place) == []


async def test_an_approver_sees_how_a_file_would_change(stack: Stack, alice: Client, bob: Client) -> None:
    place = workplace(stack.root)
    (place / "settings").write_text("debug = true\nport = 80\n")
    path = f"{place.name}/settings"
    inputs = {"operation": "write", "path": path, "content": "debug = false\nport = 80\n", "reason": "for release"}
    step = {"id": "only", "agent": "files", "inputs": inputs}
    project = await alice.create_project("previews", environment=ENVIRONMENT_PRODUCTION)
    task = await alice.create_task(project.id, "change the settings", plan={"steps": [step]})
    run = await alice.start_run(task.id)
    approval = await pending(alice, run.id)
    seen = await bob.get_approval(approval.id)
    (file,) = seen.preview.files
    assert file.diff == (f"--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,2 @@\n-debug = true\n+debug = false\n port = 80\n")
    assert seen.context.working_directory == str(stack.root.resolve())
    await bob.approve(approval.id)
    assert reason(await end(alice, run.id)) == "COMPLETED"
    assert (place / "settings").read_text() == inputs["content"]
