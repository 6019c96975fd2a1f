"""`kill -9` at any moment: every run ends as it should, and no gated action runs without its approval.

HARNESS_FAULT_SEED repeats a sequence of faults, HARNESS_FAULT_KILLS sets how many there are (default 60).
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import psutil
import pytest
import redis

from harness.approval.v1 import approval_pb2
from harness.orchestrator.v1 import run_pb2
from motherharness import Client, HarnessError
from motherharness.devstack import Stack
from tests.e2e.flows import name, reason, shell, statuses

KILLS = int(os.environ.get("HARNESS_FAULT_KILLS", "60"))
SEED = int(os.environ.get("HARNESS_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
# Runs that are under way at any time.
CONCURRENCY = 8
VICTIMS = ("orchestrator", "worker", "approval")
# Seconds, at most: between faults, and until a killed process is back.
PAUSE, ABSENCE = 0.8, 0.4
# A file system's clock ticks at most this much behind the server's, seconds.
TICK = 0.02
PATIENCE = 120.0
TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED)
STEPS = ("open", "gated", "asked", "both", "last")
ASKED = ("asked", "both")
RISKY = ("gated", "both")

pytestmark = pytest.mark.faults


@pytest.fixture
def stack() -> Iterator[Stack]:
    environment = {
        "orchestrator": {"HARNESS_LEASE_SECONDS": "1"},
        "approval": {"HARNESS_APPROVAL_SWEEP_SECONDS": "0.2", "HARNESS_APPROVAL_PUBLISH_SECONDS": "0.2"},
    }
    with Stack(environment=environment) as running:
        yield running


@dataclass
class Carried:
    """One run, with what was seen of it from outside."""

    key: str
    run_id: str = ""
    events: list[run_pb2.Event] = field(default_factory=list)


class Workload:
    """Starts runs, approves whatever they ask for, and keeps what it saw."""

    def __init__(self, stack: Stack, alice: Client, bob: Client) -> None:
        self.stack = stack
        self.alice = alice
        self.bob = bob
        self.runs: list[Carried] = []
        self.stopping = False

    async def keep_busy(self) -> None:
        """Carry out one run after the other until told to stop."""
        while not self.stopping:
            await self.carry_out()

    async def carry_out(self) -> None:
        """Start a run, approve what it asks for, and follow it to its end."""
        carried = Carried(f"r{len(self.runs)}")
        self.runs.append(carried)
        project = await self.alice.create_project(carried.key)
        task = await self.alice.create_task(project.id, "survive", plan={"steps": self.plan(carried.key)})
        carried.run_id = (await self.alice.start_run(task.id)).id
        async for event in self.alice.watch_run(carried.run_id, patience=PATIENCE):
            carried.events.append(event)
            if event.type == run_pb2.EVENT_TYPE_APPROVAL_REQUESTED:
                await self.approve(carried, event)

    def plan(self, key: str) -> list[dict[str, object]]:
        """Return steps that leave a line with the time in a file of their own whenever they run."""
        retry = {"max_attempts": 50, "initial_backoff": "0.05s", "max_backoff": "0.5s"}

        def mark(step_id: str) -> str:
            return f"date +%s%N >> {key}.{step_id}"

        steps = [
            shell("open", mark("open")),
            shell("gated", f"rm -rf {key}.build; {mark('gated')}", depends_on=["open"]),
            shell("asked", mark("asked"), depends_on=["open"], require_approval=True),
            shell("both", f"rm -rf {key}.build; {mark('both')}", require_approval=True),
            shell("last", mark("last"), depends_on=["gated", "asked", "both"]),
        ]
        return [{**step, "retry": retry} for step in steps]

    async def approve(self, carried: Carried, event: run_pb2.Event) -> None:
        """Approve, as a person would: trying again while the service is away. Looks at the disk first."""
        await self.check_effects(carried, event.step_id)
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                await self.bob.approve(str(event.data["approval_id"]))
            except HarnessError as error:
                if error.code not in TRANSIENT or time.monotonic() > give_up:
                    raise
            else:
                return

    async def check_effects(self, carried: Carried, step_id: str) -> int:
        """A step has run no more often than its grants were redeemed; each redeemed grant had been approved.

        The disk is read first: a grant is redeemed before its action runs, never after.
        """
        ran = self.executions(carried, step_id)
        redeemed = []
        async for approval in self.bob.list_approvals(run_id=carried.run_id):
            command = bool(approval.actions) and approval.actions[0].WhichOneof("kind") == "command"
            if approval.context.step_id == step_id and command:
                assert approval.state != approval_pb2.APPROVAL_STATE_REJECTED
                if approval.state == approval_pb2.APPROVAL_STATE_CONSUMED:
                    assert approval.decision.approved
                    assert approval.decision.decided_by == ("bob" if step_id in RISKY else "policy")
                    redeemed.append(approval.decision.decide_time.ToNanoseconds())
        assert len(ran) <= len(redeemed), f"{carried.key}.{step_id} ran {len(ran)} times with {len(redeemed)} grants"
        for at, decided in zip(sorted(ran), sorted(redeemed), strict=False):
            assert at >= decided - TICK * 1e9, f"{carried.key}.{step_id} ran before its approval"
        return len(ran)

    def executions(self, carried: Carried, step_id: str) -> list[int]:
        """Return when a step ran, by what it left on the disk, Unix nanoseconds."""
        file = self.stack.root / f"{carried.key}.{step_id}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


class Faults:
    """Kills processes and cuts connections at random moments."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def run(self, kills: int) -> None:
        """Make so many kills, with other faults between them."""
        while self.kills < kills:
            await asyncio.sleep(self.random.uniform(0, PAUSE))
            dice = self.random.random()
            if dice < 0.08:
                await asyncio.to_thread(self.cut_connections)
            elif dice < 0.12:
                await asyncio.to_thread(self.restart_redis)
            else:
                victims = self.random.sample(VICTIMS, 2 if dice > 0.85 else 1)
                await self.kill(victims)

    @property
    def kills(self) -> int:
        """How many processes were killed so far."""
        return sum(self.done[victim] for victim in VICTIMS)

    async def kill(self, victims: list[str]) -> None:
        """Kill processes, one right after the other, and bring them back after a while."""
        for victim in victims:
            assert psutil.Process(self.stack.pid(victim)).is_running()
            self.stack.kill(victim)
            self.done[victim] += 1
        await asyncio.sleep(self.random.uniform(0, ABSENCE))
        for victim in victims:
            await asyncio.to_thread(self.stack.launch, victim)

    def cut_connections(self) -> None:
        """Have Redis drop every connection of the services, in the middle of whatever they do."""
        with redis.Redis.from_url(self.stack.redis_url("operator")) as operator:
            for kind in ("normal", "pubsub"):
                operator.client_kill_filter(_type=kind, skipme=True)
        self.done["connections"] += 1

    def restart_redis(self) -> None:
        """Stop Redis in order and start it with what its append-only file says."""
        self.stack.restart("redis")
        self.done["redis"] += 1


@pytest.mark.timeout(240 + 4 * KILLS)
async def test_runs_survive_kills(stack: Stack) -> None:
    print(f"HARNESS_FAULT_SEED={SEED}")
    faults = Faults(stack, SEED)
    async with Client(stack.connection("alice"), timeout=PATIENCE) as alice, Client(stack.connection("bob")) as bob:
        workload = Workload(stack, alice, bob)
        busy = [asyncio.create_task(workload.keep_busy()) for _ in range(CONCURRENCY)]
        killing = asyncio.create_task(faults.run(KILLS))
        try:
            # A run that fails is told at once, not when all kills are done.
            await asyncio.wait({killing, *busy}, return_when=asyncio.FIRST_COMPLETED)
            if not killing.done():
                await next(task for task in busy if task.done())
            await killing
            workload.stopping = True
            await asyncio.wait(busy, timeout=PATIENCE)
            assert all(task.done() for task in busy), await stuck(workload)
            await asyncio.gather(*busy)
        finally:
            for task in (killing, *busy):
                task.cancel()
            await asyncio.gather(killing, *busy, return_exceptions=True)
        summary = {"seed": SEED, "faults": dict(faults.done), "runs": len(workload.runs)}
        summary |= await check_all(workload)
        print(json.dumps(summary))
        assert faults.kills >= KILLS
        assert all(faults.done[victim] for victim in VICTIMS)
    assert stack.failed() == []
    assert unexpected(stack) == []


async def stuck(workload: Workload) -> str:
    """Say which runs have not ended, and where they are."""
    found = []
    for carried in workload.runs:
        run = await workload.alice.get_run(carried.run_id)
        if run.status != run_pb2.RUN_STATUS_TERMINATED:
            last = [name(event) async for event in workload.alice.list_events(carried.run_id)][-3:]
            found.append(f"{carried.key} {run.id}: {statuses(run)}, last {last}")
    return "\n".join(["runs that never ended:", *found])


async def check_all(workload: Workload) -> dict[str, int]:
    """Check every run against its history, its state and the disk; return what happened, in numbers."""
    repeated = losses = 0
    for carried in workload.runs:
        run = await workload.alice.get_run(carried.run_id)
        assert reason(run) == "COMPLETED", (carried.key, run.message, statuses(run))
        assert set(statuses(run).values()) == {"SUCCEEDED"}
        verdict = await workload.alice.verify_run(carried.run_id)
        assert verdict.consistent, (carried.key, list(verdict.differences))

        # What was seen live is the history: no event came twice, none was lost, none was changed.
        events = [event async for event in workload.alice.list_events(carried.run_id)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.SerializeToString(deterministic=True) for event in carried.events] == [
            event.SerializeToString(deterministic=True) for event in events
        ]
        names = [name(event) for event in events]
        seen = Counter(names)
        assert seen["RUN_TERMINATED"] == 1
        for step_id in STEPS:
            assert seen[f"STEP_COMPLETED {step_id}"] == 1, (carried.key, names)
            assert seen[f"ACTION_COMPLETED {step_id}"] == 1, (carried.key, names)
            ran = await workload.check_effects(carried, step_id)
            assert ran >= 1, (carried.key, step_id)
            repeated += ran - 1
        for step_id in ASKED:
            assert names.index(f"STEP_STARTED {step_id}") > names.index(f"APPROVAL_APPROVED {step_id}")
        for step_id in RISKY:
            assert names.index(f"ACTION_COMPLETED {step_id}") > names.index(f"APPROVAL_APPROVED {step_id}")
        losses += sum(count for key, count in seen.items() if key.startswith("STEP_LEASE_EXPIRED"))
    return {"repeated_executions": repeated, "lost_leases": losses}


def unexpected(stack: Stack) -> list[str]:
    """Return what the services logged as failures that nobody is prepared for."""
    found = []
    for service in ("orchestrator", "approval"):
        for line in stack.log(service).read_text(errors="replace").splitlines():
            if line.startswith("{") and json.loads(line).get("code") in ("INTERNAL", "UNKNOWN"):
                found.append(line[:2000])
            elif line.startswith("Traceback"):
                found.append(f"{service}: a traceback outside of the log")
    return found
