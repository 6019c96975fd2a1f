"""A secret in a plan runs as it is written, and nobody but its owner and its worker sees it."""

from harness.approval.v1 import approval_pb2
from harness.orchestrator.v1 import run_pb2
from motherharness import Client, digest
from motherharness.devstack import Stack
from tests.e2e.flows import end, history, reason, shell, workplace

TOKEN = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"
CARD = "4111 1111 1111 1111"
SECRETS = (TOKEN.encode(), CARD.encode())


async def test_a_secret_runs_unmasked_and_is_shown_masked(
    stack: Stack, alice: Client, bob: Client, root: Client
) -> None:
    place = workplace(stack.root)
    command = f"cd {place.name} && rm -rf build && echo {TOKEN} > token && echo paid with {CARD}"
    step = shell("pay", command, description=f"pay with {CARD} as {TOKEN}")
    project = await alice.create_project("masked")
    task = await alice.create_task(project.id, f"pay with {CARD}", plan={"steps": [step]})
    run = await alice.start_run(task.id)

    shown = []
    # One approval for the command, and one for the result, which has a card number in it.
    async for event in alice.watch_run(run.id):
        if event.type == run_pb2.EVENT_TYPE_APPROVAL_REQUESTED:
            asked = await bob.get_approval(str(event.data["approval_id"]))
            assert digest(asked.actions) != asked.digest
            decided = await bob.approve(asked.id, reason=f"fine, {CARD} is ours", digest=asked.digest)
            shown += [asked, decided]
    assert len(shown) == 4
    assert any("echo [secret] > token" in line for line in shown[0].preview.commands)
    finished = await end(alice, run.id)

    assert reason(finished) == "COMPLETED"
    assert (place / "token").read_text() == f"{TOKEN}\n"
    # What is hers, she gets as it is.
    assert f"paid with {CARD}" in str(finished.steps[0].result)
    assert (await alice.get_task(task.id)).plan.steps[0].inputs["command"] == command

    messages = [
        *shown,
        *await history(alice, run.id),
        *[one async for one in bob.list_approvals(state=approval_pb2.APPROVAL_STATE_CONSUMED)],
        *[one async for one in alice.list_tasks(project_id=project.id)],
        *[one async for one in alice.list_runs(project_id=project.id)],
        await root.get_task(task.id),
        await root.get_run(run.id),
    ]
    for message in messages:
        assert not [secret for secret in SECRETS if secret in message.SerializeToString()], message
    logs = b"".join(path.read_bytes() for path in (stack.home / "logs").iterdir())
    assert logs
    assert not [secret for secret in SECRETS if secret in logs]
