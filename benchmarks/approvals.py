"""How fast approvals go through a real approval service: `python -m benchmarks.approvals`.

Starts Redis and the approval service as processes, then measures, and prints a JSON object for each, one a line:

- "auto": commands that the policy passes, assessed, judged, stored and granted by RequestApprovals in batches, two
  calls under way; `per_s` counts approvals.
- "decide": one approval after the other, asked for and then decided; `p50_ms` and `p99_ms` are of the two calls
  together.
- "inbox": a page of 50 of what is pending, with `pending` approvals waiting; `p50_ms` and `p99_ms` of one call.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from motherharness.devstack import Stack
from motherharness.transport import Transport

BATCH = 200
PAGE = 50


def main() -> int:
    """Measure and print. Exit code 1 means that an answer was not the one expected."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approvals", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement, default %(default)s")
    parser.add_argument("--pending", type=int, default=100_000, help="approvals that wait, default %(default)s")
    arguments = parser.parse_args()
    limits = {"HARNESS_APPROVAL_PENDING_PER_REQUESTER": "0", "HARNESS_APPROVAL_ASKS_PER_MINUTE": "0"}
    with Stack(agents="", environment={"approval": limits}) as stack:
        return asyncio.run(measure(stack, arguments.seconds, arguments.pending))


def items(script: str, count: int, run: str) -> list[approval_pb2.ApprovalItem]:
    """Return requests for the same script, each of its own step."""
    names = numbers()
    return [
        approval_pb2.ApprovalItem(
            request_id=f"{run}/{next(names)}",
            requester="alice",
            actions=[action_pb2.Action(command=action_pb2.CommandAction(script=script))],
            context=risk_pb2.ActionContext(
                environment=action_pb2.ENVIRONMENT_DEVELOPMENT, agent="shell", run_id=f"{run}_{n}", step_id=f"s{n}"
            ),
            attempt=1,
        )
        for n in range(count)
    ]


def numbers() -> Iterator[str]:
    """Yield names that no call of this process has used."""
    while True:
        yield f"{time.monotonic_ns():x}"


async def measure(stack: Stack, seconds: float, pending: int) -> int:
    """Make all measurements against a running stack."""
    service = Transport(stack.connection("orchestrator", "service"), timeout=60.0)
    approver = Transport(stack.connection("bob"), timeout=60.0)
    try:
        rate = await auto(service, seconds)
        print(json.dumps({"measured": "auto", "per_s": round(rate), "batch": BATCH}), flush=True)
        times = await timed(lambda: decide(service, approver), seconds)
        print(json.dumps({"measured": "decide", **quantiles(times)}), flush=True)
        waiting = 0
        while waiting < pending:
            request = approval_pb2.RequestApprovalsRequest(
                items=items("rm -rf /srv/data", min(500, pending - waiting), "w")
            )
            answer = await service.call(service.approvals.RequestApprovals, request, idempotent=True)
            waiting += sum(result.approval.state == approval_pb2.APPROVAL_STATE_PENDING for result in answer.results)
            if any(result.error_reason for result in answer.results):
                print("not all could be asked for:", answer.results[0].error_reason, file=sys.stderr)
                return 1
        times = await timed(lambda: page(approver), seconds)
        print(json.dumps({"measured": "inbox", "pending": waiting, "page": PAGE, **quantiles(times)}), flush=True)
    finally:
        await service.close()
        await approver.close()
    return 0


async def auto(service: Transport, seconds: float) -> float:
    """Approvals a second that the policy gives."""
    until = time.monotonic() + seconds

    async def ask() -> int:
        done = 0
        while time.monotonic() < until:
            request = approval_pb2.RequestApprovalsRequest(items=items("git status && ls -la src", BATCH, "a"))
            answer = await service.call(service.approvals.RequestApprovals, request, idempotent=True)
            if any(result.approval.state != approval_pb2.APPROVAL_STATE_APPROVED for result in answer.results):
                raise SystemExit("a harmless command was not passed")
            done += len(answer.results)
        return done

    begin = time.monotonic()
    return sum(await asyncio.gather(ask(), ask())) / (time.monotonic() - begin)


async def decide(service: Transport, approver: Transport) -> None:
    """Ask for one, and decide it."""
    request = approval_pb2.RequestApprovalsRequest(items=items("rm -rf /srv/data", 1, "d"))
    answer = await service.call(service.approvals.RequestApprovals, request, idempotent=True)
    decision = approval_pb2.DecideApprovalRequest(
        approval_id=answer.results[0].approval.id, verdict=approval_pb2.VERDICT_REJECT, reason="measured"
    )
    await approver.call(approver.approvals.DecideApproval, decision, idempotent=True)


async def page(approver: Transport) -> None:
    """Read the first page of what waits."""
    request = approval_pb2.ListApprovalsRequest(page_size=PAGE, state=approval_pb2.APPROVAL_STATE_PENDING)
    answer = await approver.call(approver.approvals.ListApprovals, request, idempotent=True)
    if len(answer.approvals) != PAGE:
        raise SystemExit(f"a page of {PAGE} had {len(answer.approvals)}")


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
    return {"calls": len(times), "p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}


if __name__ == "__main__":
    sys.exit(main())
