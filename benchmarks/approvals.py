"""How fast approvals go through a real approval service: `python -m benchmarks.approvals`.

Starts Redis and the approval service as processes, then measures, and prints a JSON object for each, one a line. With
`service_ms`, the processor time that the service took for one, a figure means something on a busy machine too (Linux).

- "auto_approved": commands that the policy passes, assessed, judged, stored and granted by RequestApprovals in batches,
  two calls under way; `per_s` counts approvals. "same" asks for the same few commands again and again, as agents do,
  "new" for one that was never seen before each time.
- "ask_decide_ms": one approval after the other, asked for and then decided; of the two calls together.
- "inbox_page_ms": a page of 50 with `pending` approvals waiting, of everything and with each filter; of one call.
- "expiry_late_ms": how long after its time a request expired, by the clock of Redis, with so many others waiting: of
  requests whose time is spread over seconds, and of thousands that all expire at once.
- "rss_mb": what the service has in memory before and after so many automatic approvals (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from harness.approval.v1 import approval_pb2, audit_pb2, policy_pb2, risk_pb2
from harness.common.v1 import action_pb2
from motherharness.devstack import Stack
from motherharness.errors import HarnessError
from motherharness.transport import Transport

BATCH = 200
PAGE = 50
SPREAD, AT_ONCE = 200, 5000
"""Requests that expire one after the other, and together."""
DECIDE_SECONDS = 30.0
"""How long these can be decided: those that expire together are all asked for in this time."""

SAME = ("git status && ls -la src", "grep -rn TODO src | head", "python -m pytest -q tests/unit", "ls", "git diff")
RISKY = ("rm -rf /srv/data", "git push --force origin main", "sudo systemctl stop nginx", "psql -c 'DROP TABLE users'")
PENDING = approval_pb2.APPROVAL_STATE_PENDING
PAGES = {
    "all": {"state": PENDING},
    "mine": {"mine_to_decide": True},
    "level": {"state": PENDING, "level": risk_pb2.RISK_LEVEL_HIGH},
    "type": {"state": PENDING, "approval_type": action_pb2.APPROVAL_TYPE_CODE_EXECUTION},
    "project": {"state": PENDING, "project_id": "prj_3"},
    "requester": {"state": PENDING, "requester": "user-3"},
    "project-and-level": {"state": PENDING, "project_id": "prj_3", "level": risk_pb2.RISK_LEVEL_HIGH},
    "nothing": {"state": PENDING, "requester": "user-3", "project_id": "prj_4"},
}


def main() -> int:
    """Measure and print. Exit code 1 means that an answer was not the one expected."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approvals", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement, default %(default)s")
    parser.add_argument("--pending", type=int, default=100_000, help="approvals that wait, default %(default)s")
    parser.add_argument("--many", type=int, default=200_000, help="automatic ones for memory, default %(default)s")
    arguments = parser.parse_args()
    limits = {"HARNESS_APPROVAL_PENDING_PER_REQUESTER": "0", "HARNESS_APPROVAL_ASKS_PER_MINUTE": "0"}
    with Stack(agents="", environment={"approval": limits}) as stack:
        return asyncio.run(measure(stack, arguments.seconds, arguments.pending, arguments.many))


class Service:
    """The approval service, and what its process has used."""

    def __init__(self, stack: Stack) -> None:
        self.asks = Transport(stack.connection("orchestrator", "service"), timeout=60.0)
        self.approver = Transport(stack.connection("bob", "approver"), timeout=60.0)
        self.admin = Transport(stack.connection("root", "admin"), timeout=60.0)
        self._proc = Path(f"/proc/{stack.pid('approval')}")

    async def close(self) -> None:
        """Close the connections."""
        for each in (self.asks, self.approver, self.admin):
            await each.close()

    def cpu_seconds(self) -> float:
        """Processor time since it was started; 0 where the system does not tell."""
        if not self._proc.exists():
            return 0.0
        # Behind the name, which may hold anything: utime and stime are the 14th and 15th.
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory; 0 where the system does not tell."""
        if not self._proc.exists():
            return 0.0
        pages = int((self._proc / "statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)

    async def request(self, items: list[approval_pb2.ApprovalItem]) -> list[approval_pb2.Approval]:
        """Ask; every item must be taken."""
        request = approval_pb2.RequestApprovalsRequest(items=items)
        answer = await self.asks.call(self.asks.approvals.RequestApprovals, request, idempotent=True)
        for result in answer.results:
            if result.error_reason:
                raise SystemExit(f"not all could be asked for: {result.error_reason}: {result.error_message}")
        return [result.approval for result in answer.results]


_numbers = count()


def items(scripts: Iterator[str], amount: int, run: str, requester: str = "") -> list[approval_pb2.ApprovalItem]:
    """Return requests, each of its own run and step, of ten projects and people unless a requester is named."""
    made = []
    for script, n in zip(scripts, _numbers, strict=False):
        made.append(
            approval_pb2.ApprovalItem(
                request_id=f"{run}/{n}",
                requester=requester or f"user-{n % 10}",
                actions=[action_pb2.Action(command=action_pb2.CommandAction(script=script))],
                context=risk_pb2.ActionContext(
                    environment=action_pb2.ENVIRONMENT_DEVELOPMENT,
                    agent="shell",
                    run_id=f"{run}_{n}",
                    step_id=f"s{n}",
                    project_id=f"prj_{n // 10 % 10}",
                ),
                attempt=1,
            )
        )
        if len(made) == amount:
            return made
    return made


def again(scripts: tuple[str, ...]) -> Iterator[str]:
    """Yield the same scripts for ever."""
    return (scripts[n % len(scripts)] for n in count())


def never_seen() -> Iterator[str]:
    """Yield scripts that differ from each other."""
    return (f"git status && ls -la src/module_{n}" for n in count())


async def measure(stack: Stack, seconds: float, pending: int, many: int) -> int:
    """Make all measurements against a running stack."""
    service = Service(stack)
    try:
        for commands, scripts in (("same", again(SAME)), ("new", never_seen())):
            show(measured="auto_approved", commands=commands, **await auto(service, scripts, seconds=seconds))
        show(measured="ask_decide_ms", **quantiles(await timed(lambda: decide(service), seconds)))
        before = service.rss_mb()
        await auto(service, again(SAME), most=many)
        show(measured="rss_mb", approvals=many, before=before, after=service.rss_mb())
        await fill(service, pending)
        for name, fields in PAGES.items():
            cpu = service.cpu_seconds()
            times = await timed(lambda fields=fields: page(service, fields), max(1.0, seconds / 4))  # type: ignore[misc]
            used = round((service.cpu_seconds() - cpu) * 1000 / len(times), 2)
            show(measured="inbox_page_ms", of=name, pending=pending, page=PAGE, **quantiles(times), service_ms=used)
        for name, amount, together in (("one by one", SPREAD, False), ("at once", AT_ONCE, True)):
            late = await expiry(service, amount, together=together)
            show(measured="expiry_late_ms", when=name, pending=pending, **quantiles(late), max=round(max(late), 1))
    finally:
        await service.close()
    return 0


def show(**facts: object) -> None:
    """Print one object."""
    print(json.dumps(facts), flush=True)


async def auto(service: Service, scripts: Iterator[str], *, seconds: float = 0, most: int = 0) -> dict[str, float]:
    """Approvals that the policy gives, for some seconds or up to a number."""
    until = time.monotonic() + seconds
    done = 0

    async def ask() -> None:
        nonlocal done
        while done < most if most else time.monotonic() < until:
            done += BATCH
            approvals = await service.request(items(scripts, BATCH, "a"))
            if any(approval.state != approval_pb2.APPROVAL_STATE_APPROVED for approval in approvals):
                raise SystemExit("a harmless command was not passed")

    begin, cpu = time.monotonic(), service.cpu_seconds()
    await asyncio.gather(ask(), ask())
    took = time.monotonic() - begin
    return {
        "per_s": round(done / took),
        "service_ms": round((service.cpu_seconds() - cpu) * 1000 / done, 3),
        "batch": BATCH,
    }


async def fill(service: Service, pending: int) -> None:
    """Ask for what will wait."""
    scripts = again(RISKY)
    left = pending

    async def ask() -> None:
        nonlocal left
        while left > 0:
            amount = min(500, left)
            left -= amount
            approvals = await service.request(items(scripts, amount, "w"))
            if any(approval.state != PENDING for approval in approvals):
                raise SystemExit("a risky command did not wait for a human")

    await asyncio.gather(ask(), ask())


async def decide(service: Service) -> None:
    """Ask for one, and decide it."""
    (approval,) = await service.request(items(again(RISKY), 1, "d"))
    decision = approval_pb2.DecideApprovalRequest(
        approval_id=approval.id, verdict=approval_pb2.VERDICT_REJECT, reason="measured"
    )
    await service.approver.call(service.approver.approvals.DecideApproval, decision, idempotent=True)


async def page(service: Service, fields: dict[str, object]) -> None:
    """Read the first page of what waits."""
    request = approval_pb2.ListApprovalsRequest(page_size=PAGE, **fields)  # type: ignore[arg-type]
    await service.approver.call(service.approver.approvals.ListApprovals, request, idempotent=True)


async def hurry(service: Service, seconds: float) -> None:
    """Let what "hurry" asks for expire in so long."""
    within = Duration()
    within.FromMicroseconds(round(seconds * 1e6))
    rule = policy_pb2.PolicyRule(
        id="hurry",
        when="requester == 'hurry'",
        outcome=risk_pb2.POLICY_OUTCOME_HUMAN,
        explanation="so that something expires",
        decide_within=within,
    )
    policy = policy_pb2.Policy(
        environment=action_pb2.ENVIRONMENT_DEVELOPMENT, max_risk_level=risk_pb2.RISK_LEVEL_LOW, rules=[rule]
    )
    await service.admin.call(
        service.admin.policies.UpdatePolicy, policy_pb2.UpdatePolicyRequest(policy=policy), idempotent=False
    )


async def expiry(service: Service, amount: int, *, together: bool) -> list[float]:
    """How late so many requests expired, ms."""
    latest = await latest_sequence(service)
    until = time.monotonic() + DECIDE_SECONDS
    due: dict[str, int] = {}
    await hurry(service, DECIDE_SECONDS / 3)
    while len(due) < amount:
        if together:
            await hurry(service, max(1.0, until - time.monotonic()))
        number = min(BATCH, amount - len(due)) if together else 1
        for approval in await service.request(items(again(RISKY), number, "e", "hurry")):
            due[approval.id] = approval.decide_by.ToMilliseconds()
    late: list[float] = []
    request = approval_pb2.WatchApprovalsRequest(after_sequence=latest)
    async for told in service.asks.stream(service.asks.approvals.WatchApprovals, request):
        if told.event.type == audit_pb2.AUDIT_EVENT_TYPE_EXPIRED and told.event.approval_id in due:
            late.append(told.time.ToMilliseconds() - due[told.event.approval_id])
            if len(late) == amount:
                break
    return late


async def latest_sequence(service: Service) -> int:
    """The last event so far: what a watch that begins beyond it is told."""
    beyond = approval_pb2.WatchApprovalsRequest(after_sequence=2**60)
    try:
        async for _ in service.asks.stream(service.asks.approvals.WatchApprovals, beyond):
            break
    except HarnessError as error:
        return int(error.metadata["latest_sequence"])
    raise SystemExit("a watch from beyond the last event was not refused")


async def timed(call: Callable[[], Awaitable[None]], seconds: float) -> list[float]:
    """Milliseconds that a call takes, again and again, one at a time."""
    until, times = time.monotonic() + seconds, []
    while time.monotonic() < until:
        begin = time.perf_counter()
        await call()
        times.append((time.perf_counter() - begin) * 1000)
    return times


def quantiles(times: list[float]) -> dict[str, float]:
    """Half, and all but one of a hundred, are at most this long."""
    cuts = statistics.quantiles(times, n=100)
    return {"calls": len(times), "p50": round(cuts[49], 2), "p99": round(cuts[98], 2)}


if __name__ == "__main__":
    sys.exit(main())
