"""`harness demo`: a real scenario through every service, in which each claim is verified and not only made."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.backup.v1 import backup_pb2
from harness.orchestrator.v1 import run_pb2
from motherharness.client import Client
from motherharness.devstack.scenario import CURL, QUERY, RM, make_repository, plan
from motherharness.devstack.stack import Stack
from motherharness.errors import HarnessError
from motherharness.structs import from_struct
from motherharness.tables import Grid
from motherharness.text import safe

T = TypeVar("T")

# Every wait of the scenario; most take well under a second.
PATIENCE = 20.0


class Interrupted(Exception):
    """The scenario cannot go on: a claim on which the rest stands is false."""


@dataclass(frozen=True)
class Claim:
    """Something the demo says, and whether it was found to be so."""

    text: str
    ok: bool
    found: str = ""


class Narrator:
    """Tells what happens, and keeps the claims."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.claims: list[Claim] = []
        self._chapter = 0

    def chapter(self, title: str) -> None:
        """Begin a part."""
        self._chapter += 1
        self.console.print()
        self.console.rule(Text(f"{self._chapter}. {title}", style="bold"), align="left")

    def tell(self, text: str) -> None:
        """Say something that needs no proof."""
        self.console.print(Text(text))

    def claim(self, text: str, ok: bool, found: object = "") -> None:
        """Say something that was checked."""
        self.claims.append(Claim(text, ok, "" if ok else str(found)))
        mark = Text("  ✓ " if ok else "  ✗ ", style="green" if ok else "bold red")
        self.console.print(mark + Text(text, style="" if ok else "bold red"))
        if not ok and str(found):
            self.console.print(Text(f"    found: {found}", style="red"))

    def need(self, text: str, ok: bool, found: object = "") -> None:
        """Say something without which the rest makes no sense.

        Raises:
            Interrupted: it is false.
        """
        self.claim(text, ok, found)
        if not ok:
            raise Interrupted(text)


def play(*, as_json: bool) -> bool:
    """Play the scenario, clean up, and return whether every claim held."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=as_json, highlight=False)
    narrator = Narrator(console)
    started = time.monotonic()
    opening = (
        "A task is planned, its steps are assessed, a human decides about the dangerous ones, a worker carries out "
        "exactly what was cleared, everything is on record, and the record survives the loss of its database."
    )
    console.print(Panel(opening, title="Mother-Harness", border_style="blue"))
    with Stack() as stack:
        try:
            asyncio.run(scenario(stack, narrator, time.monotonic() - started))
        except (Interrupted, HarnessError, TimeoutError) as error:
            narrator.claim("the scenario was played to its end", False, f"{type(error).__name__}: {error}")
            show_logs(stack, console)
    seconds = time.monotonic() - started
    narrator.claim("everything was stopped, and the temporary folder is gone", not stack.home.exists(), stack.home)
    passed = all(claim.ok for claim in narrator.claims)
    true = sum(claim.ok for claim in narrator.claims)
    verdict = f"{true} of {len(narrator.claims)} claims hold, {seconds:.1f} s"
    console.print()
    console.print(Panel(verdict, border_style="green" if passed else "red"))
    if as_json:
        claims = [asdict(claim) for claim in narrator.claims]
        sys.stdout.write(json.dumps({"passed": passed, "seconds": round(seconds, 1), "claims": claims}) + "\n")
    return passed


async def scenario(stack: Stack, narrator: Narrator, start_up: float) -> None:
    """Play every chapter."""
    make_repository(stack.root)
    narrator.chapter("Start")
    narrator.tell(
        f"Redis, orchestrator, approval, backup and a worker run as processes of their own ({start_up:.1f} s)."
    )
    narrator.tell(f"The worker may touch {stack.root}: a git repository with a stale build/ folder.")
    narrator.need("nothing has ended", not stack.failed(), stack.failed())
    async with (
        Client(stack.connection("alice")) as alice,
        Client(stack.connection("bob")) as bob,
        Client(stack.connection("root")) as root,
    ):
        run = await plan_and_start(alice, narrator)
        await gate_removal(stack, alice, bob, run, narrator)
        await refuse_installation(stack, alice, bob, run, narrator)
        before = await tell_history(alice, run, narrator)
        await lose_and_restore(stack, alice, root, run, before, narrator)


async def plan_and_start(alice: Client, narrator: Narrator) -> run_pb2.Run:
    """Create the task and start its run."""
    narrator.chapter("Plan")
    project = await alice.create_project("widget")
    task = await alice.create_task(project.id, QUERY, plan=plan())
    narrator.tell(f"alice asks: {QUERY}")
    rows = []
    for step in task.plan.steps:
        inputs = from_struct(step.inputs)
        what = inputs.get("command") or f"{inputs.get('operation')} {inputs.get('path')}"
        rows.append((step.id, step.agent, step.risk.level, ", ".join(step.depends_on), what))
    narrator.console.print(Grid(("STEP", "AGENT", "RISK", "AFTER", "WHAT"), rows))
    narrator.claim("the task has seven steps", len(task.plan.steps) == 7, len(task.plan.steps))
    narrator.claim("each was assessed before the task was stored", all(s.risk.level for s in task.plan.steps))
    run = await alice.start_run(task.id, request_id=f"demo-{task.id}")
    again = await alice.start_run(task.id, request_id=f"demo-{task.id}")
    narrator.claim("starting it twice with one request id starts it once", run.id == again.id, again.id)
    return run


async def gate_removal(stack: Stack, alice: Client, bob: Client, run: run_pb2.Run, narrator: Narrator) -> None:
    """Let `rm -rf build` wait, be shown, be approved by somebody else, and run."""
    narrator.chapter("Reading passes, deleting waits")
    approval = await pending(bob, run.id)
    build = stack.root / "build"
    steps = {step.id: step for step in (await alice.get_run(run.id)).steps}
    for name in ("history", "readme", "list-build"):
        succeeded = steps[name].status == run_pb2.STEP_STATUS_SUCCEEDED
        narrator.claim(f"{name} was done without asking anybody", succeeded, steps[name])
    narrator.need(f"{RM} waits for a human", approval.context.step_id == "clean", approval.context.step_id)
    show_request(approval, narrator.console)
    narrator.claim("the request explains itself with factors", len(approval.assessment.factors) > 0)
    narrator.claim("and previews the command", RM in " ".join(approval.preview.commands), approval.preview)
    narrator.claim("build/ is still there", build.is_dir())
    async with Client(stack.connection("alice", "user", "approver")) as alice_as_approver:
        refused = await code_of(alice_as_approver.approve(approval.id, reason="it is mine"))
    denied = refused is grpc.StatusCode.PERMISSION_DENIED
    narrator.claim("alice asked for it, so alice cannot approve it, whatever her roles", denied, refused)
    decided = await bob.approve(approval.id, reason="build output only", digest=approval.digest)
    narrator.claim("bob approves", decided.decision.decided_by == "bob", decided.decision)
    contrary = await code_of(bob.reject(approval.id))
    final = contrary is grpc.StatusCode.FAILED_PRECONDITION
    narrator.claim("the first decision stands: rejecting it now is refused", final, contrary)
    step = await step_ended(alice, run.id, "clean")
    narrator.claim(f"{RM} ran", step.status == run_pb2.STEP_STATUS_SUCCEEDED, step)
    narrator.claim("build/ is gone, and nothing else", not build.exists() and (stack.root / "README.md").exists())
    consumed = await approval_in(bob, approval.id, approval_pb2.APPROVAL_STATE_CONSUMED)
    narrator.claim("the approval is used up: it cannot clear a second run", consumed)


async def refuse_installation(stack: Stack, alice: Client, bob: Client, run: run_pb2.Run, narrator: Narrator) -> None:
    """Reject `curl | sh`; what depends on it is skipped."""
    narrator.chapter("A script from the internet is refused")
    approval = await pending(bob, run.id)
    narrator.need(f"{CURL} waits", approval.context.step_id == "install", approval.context.step_id)
    show_request(approval, narrator.console)
    rejected = await bob.reject(approval.id, reason="never pipe the internet into a shell")
    narrator.claim("bob rejects it", rejected.state == approval_pb2.APPROVAL_STATE_REJECTED, rejected.state)
    async with asyncio.timeout(PATIENCE):
        async for _ in alice.watch_run(run.id):
            pass
    ended = await alice.get_run(run.id)
    reason = run_pb2.TerminationReason.Name(ended.termination_reason)
    expected = ended.termination_reason == run_pb2.TERMINATION_REASON_APPROVAL_REJECTED
    narrator.claim("the run ends with the reason approval_rejected", expected, reason)
    statuses = {step.id: run_pb2.StepStatus.Name(step.status) for step in ended.steps}
    skipped = statuses["release"] == "STEP_STATUS_SKIPPED"
    narrator.claim("release, which depends on it, is skipped", skipped, statuses["release"])
    leases = {step.id: step.attempt for step in ended.steps}
    narrator.claim("and was never handed to a worker", leases["release"] == 0, leases["release"])
    logged = stack.log("worker").read_text(errors="replace")
    narrator.claim("the worker is well", "Traceback" not in logged and "worker" not in stack.failed(), logged[-500:])


async def tell_history(alice: Client, run: run_pb2.Run, narrator: Narrator) -> list[run_pb2.Event]:
    """Print the run's history, and check that it explains the state."""
    narrator.chapter("What is on record")
    events = [event async for event in alice.list_events(run.id)]
    rows = []
    for event in events:
        name = run_pb2.EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
        data = ", ".join(f"{key}={value}" for key, value in from_struct(event.data).items())
        rows.append((event.sequence, name, event.step_id, data))
    narrator.console.print(Grid(("#", "EVENT", "STEP", "DATA"), rows))
    gapless = [event.sequence for event in events] == list(range(1, len(events) + 1))
    narrator.claim("the events are numbered without a gap", gapless)
    outcomes = [event.step_id for event in events if event.type == run_pb2.EVENT_TYPE_STEP_COMPLETED]
    narrator.claim("no step's outcome is recorded twice", len(outcomes) == len(set(outcomes)), outcomes)
    verdict = await alice.verify_run(run.id)
    narrator.claim("folding the events gives exactly the stored state", verdict.consistent, verdict.differences)
    return events


async def lose_and_restore(
    stack: Stack,
    alice: Client,
    root: Client,
    run: run_pb2.Run,
    before: list[run_pb2.Event],
    narrator: Narrator,
) -> None:
    """Back up, lose the orchestrator's keys, restore, and read the same history."""
    narrator.chapter("Backup, loss, restore")
    started = await root.create_backup("orchestrator")
    backup = await last(root.watch_backup(started.backup_id))
    completed = backup.state == backup_pb2.BACKUP_STATE_COMPLETED
    narrator.need(f"a backup is taken: {backup.keys} keys in {backup.archive_bytes} bytes", completed, backup.error)
    checked = await root.verify_backup(backup.backup_id)
    narrator.claim("its archive, read again from disk, is whole", checked.whole, checked.problem)
    await asyncio.to_thread(stack.terminate, "orchestrator")
    lost = await asyncio.to_thread(stack.lose_keys, "orchestrator")
    await asyncio.to_thread(stack.launch, "orchestrator")
    narrator.tell(f"Now an accident: all {lost} keys of the orchestrator are deleted.")
    gone = await code_of(alice.get_run(run.id))
    narrator.claim("the run is gone", lost > 0 and gone is grpc.StatusCode.NOT_FOUND, gone)
    await asyncio.to_thread(stack.terminate, "orchestrator")
    refused = await code_of(root.restore_backup(backup.backup_id, confirm_target="approval"))
    mismatch = refused is grpc.StatusCode.INVALID_ARGUMENT
    narrator.claim("restoring wants the target named, and refuses another name", mismatch, refused)
    restoring = await root.restore_backup(backup.backup_id, confirm_target="orchestrator")
    restored = await last(root.watch_restore(restoring.restore_id))
    done = restored.state == backup_pb2.RESTORE_STATE_COMPLETED
    narrator.need("the restore completes", done, restored.error)
    report = restored.report
    counted = report.counted_keys == report.restored_keys
    narrator.claim(f"it counted {report.counted_keys} keys, and restored {report.restored_keys}", counted)
    narrator.claim("it kept what was there before, to go back", bool(restored.pre_restore_backup_id))
    await asyncio.to_thread(stack.launch, "orchestrator")
    after = [event async for event in alice.list_events(run.id)]
    narrator.claim(f"the same {len(before)} events are there again, byte for byte", after == before, len(after))
    verdict = await alice.verify_run(run.id)
    narrator.claim("and still explain the state", verdict.consistent, verdict.differences)


async def pending(client: Client, run_id: str) -> approval_pb2.Approval:
    """Wait for a request of the run that nobody has decided."""
    async with asyncio.timeout(PATIENCE):
        while True:
            state = approval_pb2.APPROVAL_STATE_PENDING
            async for approval in client.list_approvals(state=state, run_id=run_id):
                return approval
            await asyncio.sleep(0.1)


async def step_ended(client: Client, run_id: str, step_id: str) -> run_pb2.Step:
    """Wait until a step has ended one way or another."""
    running = (run_pb2.STEP_STATUS_SUCCEEDED, run_pb2.STEP_STATUS_FAILED, run_pb2.STEP_STATUS_CANCELLED)
    async with asyncio.timeout(PATIENCE):
        while True:
            for step in (await client.get_run(run_id)).steps:
                if step.id == step_id and step.status in running:
                    return step
            await asyncio.sleep(0.1)


async def approval_in(client: Client, approval_id: str, state: approval_pb2.ApprovalState.ValueType) -> bool:
    """Whether an approval is in a state."""
    return (await client.get_approval(approval_id)).state == state


async def last(stream: AsyncIterator[T]) -> T:
    """Return the last message of a stream that ends."""
    messages = [message async for message in stream]
    return messages[-1]


async def code_of(call: Awaitable[object]) -> grpc.StatusCode | None:
    """Return the status with which a call fails; None if it succeeds."""
    try:
        await call
    except HarnessError as error:
        return error.code
    return None


def show_request(approval: approval_pb2.Approval, console: Console) -> None:
    """Print a request as an approver sees it."""
    level = risk_pb2.RiskLevel.Name(approval.assessment.level).removeprefix("RISK_LEVEL_")
    text = Text()
    for command in approval.preview.commands:
        text.append(f"$ {safe(command)}\n", style="bold")
    text.append(f"risk {level}, score {approval.assessment.score}; {approval.policy_reason}\n")
    for factor in approval.assessment.factors:
        text.append(f"- {factor.explanation} [{factor.id}]\n")
        if factor.safer_alternative:
            text.append(f"  safer: {factor.safer_alternative}\n", style="green")
    text.append(f"{approval.digest}", style="dim")
    title = f"step {approval.context.step_id}, asked for by {approval.requester}"
    console.print(Panel(text, title=title, border_style="yellow"))


def show_logs(stack: Stack, console: Console) -> None:
    """Print the end of every log, to find out why."""
    for name in ("orchestrator", "approval", "backup", "worker"):
        if Path(stack.log(name)).exists():
            console.print(Panel(Text(stack.end_of_log(name)), title=f"log of {name}", border_style="red"))
