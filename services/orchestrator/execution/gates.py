"""The orchestrator's side of approvals: asking for them, and hearing what was decided.

A step's start and result are asked about through an outbox that is part of the commit which made them PROPOSED, so that
a crash loses no question; the request id makes a repeated question harmless. Decisions come by a resumable stream, and
every waiting step is looked up now and then as well, so that a gap in the stream loses no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import structlog
from google.rpc import error_details_pb2, status_pb2
from redis.asyncio import Redis

from harness.approval.v1 import approval_pb2 as apb
from harness.approval.v1 import approval_pb2_grpc
from services.orchestrator.approvals import (
    LATER,
    STATES,
    Owed,
    answer_of,
    approval_item,
    batches,
    decided,
)
from services.orchestrator.engine.commands import Command, Decided, GateAnswered
from services.orchestrator.engine.decide import Decision, Timer
from services.orchestrator.engine.model import StepStatus
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.execution.executor import Executor
from services.orchestrator.store import keys
from services.orchestrator.store.schedule import Schedule
from services.runtime.errors import NotFound

log = structlog.get_logger(__name__)

CALL_TIMEOUT_S = 10.0
OVERDUE_MS = 3_000
"""A call that is owed for longer was lost with its process, or failed: any process makes it."""
SCAN_S = 1.0
RECHECK_MS = 30_000
"""Between two look-ups of a waiting approval; the stream is what makes decisions fast, this is for its gaps."""
BATCH = 100
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
"""What says that the service, not the question, is at fault."""
_NEVER = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED})
"""What a question alone is refused with however often it is asked: its content, or its size."""


class Gates:
    """Asks the approval service, and carries its answers to the runs."""

    def __init__(
        self,
        stub: approval_pb2_grpc.ApprovalServiceStub,
        executor: Executor,
        schedule: Schedule,
        redis: Redis,
        clock: RedisClock,
    ) -> None:
        self._stub = stub
        self._executor = executor
        self._schedule = schedule
        self._redis = redis
        self._clock = clock
        self._owed: dict[tuple[str, str], None] = {}
        self._wanted = asyncio.Event()
        executor.on_commit(self._committed)

    def owe(self, decision: Decision) -> None:
        """Make the calls that a decision committed elsewhere asks for, without waiting for the next scan."""
        self._committed(decision)

    def _committed(self, decision: Decision) -> None:
        run_id = decision.draft.run.header.run_id
        for step_id in decision.effects.outbox_add:
            self._owed[run_id, step_id] = None
        if decision.effects.withdraw:
            self._owed[run_id, ""] = None
        if self._owed:
            self._wanted.set()

    async def run_outbox(self) -> None:
        """Make owed calls until cancelled."""
        while True:
            try:
                async with asyncio.timeout(SCAN_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                for call in await self._schedule.due_calls(OVERDUE_MS):
                    self._owed[call] = None
                while self._owed:
                    calls = list(self._owed)[:BATCH]
                    for call in calls:
                        del self._owed[call]
                    await self._make(calls)
            except Exception as error:  # the calls stay owed in the store, and are found by a later scan
                log.warning("approval service not reached; trying again", error=_short(error))

    async def _make(self, calls: list[tuple[str, str]]) -> None:
        for run_id in [run_id for run_id, step_id in calls if not step_id]:
            await self._stub.WithdrawApprovals(apb.WithdrawApprovalsRequest(run_id=run_id), timeout=CALL_TIMEOUT_S)
            await self._schedule.call_done(run_id, "")
        owed: list[Owed] = []
        runs = {run_id: await self._executor.get(run_id) for run_id in {r for r, step_id in calls if step_id}}
        for run_id, step_id in calls:
            if not step_id:
                continue
            run = runs[run_id]
            if run is None or run.steps[step_id].status is not StepStatus.PROPOSED:
                await self._schedule.call_done(run_id, step_id)
                continue
            owed.append(approval_item(run, step_id))
        for batch in batches(owed):
            await self._ask(batch)

    async def _ask(self, owed: Sequence[Owed]) -> None:
        """Ask about steps and carry the answers to their runs. One that cannot be asked about holds up no other."""
        try:
            response = await self._stub.RequestApprovals(
                apb.RequestApprovalsRequest(items=[entry.item for entry in owed]), timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise
            if len(owed) > 1:
                for entry in owed:
                    await self._ask([entry])
                return
            (entry,) = owed
            log.warning("approval not asked for", run_id=entry.run_id, step_id=entry.step_id, error=_short(error))
            if error.code() in _NEVER:
                deny = GateAnswered(entry.step_id, entry.attempt, "deny", "", f"cannot be asked about: {_short(error)}")
                await self._executor.submit(entry.run_id, deny)
            return
        await self._executor.submit_all(_answers(owed, response.results))

    async def watch(self) -> None:
        """Follow decisions until cancelled, from where the last process stopped."""
        while True:
            try:
                cursor = int(await self._redis.get(keys.APPROVAL_CURSOR) or 0)
                stream = self._stub.WatchDecisions(apb.WatchDecisionsRequest(after_sequence=cursor))
                async for message in stream:
                    await self._decision(message)
                    await self._redis.set(keys.APPROVAL_CURSOR, message.sequence)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                    # What was missed is found by the look-ups of `check`.
                    await self._redis.set(keys.APPROVAL_CURSOR, _latest_sequence(error))
                log.info("watch of decisions ended; watching again", error=_short(error))
            except Exception as error:
                log.warning("watch of decisions failed; watching again", error=_short(error))
            await asyncio.sleep(0.5)

    async def _decision(self, message: apb.WatchDecisionsResponse) -> None:
        if not message.run_id or message.state not in STATES:
            return
        approval = apb.Approval(id=message.approval_id, state=message.state, decision=message.decision)
        try:
            await self._executor.submit(message.run_id, decided(message.step_id, approval))
        except (NotFound, ValueError):
            log.info("decision about an unknown run", run_id=message.run_id)

    async def check(self, waiting: Sequence[tuple[str, Timer]]) -> None:
        """Look up approvals whose decision may have been missed."""
        for run_id, timer in waiting:
            run = await self._executor.get(run_id)
            step = run.steps.get(timer.step_id) if run else None
            if step is None or step.gate is None or step.status is not StepStatus.WAITING_APPROVAL:
                await self._schedule.drop_timers([(run_id, timer)])
                continue
            try:
                response = await self._stub.GetApproval(
                    apb.GetApprovalRequest(approval_id=step.gate.approval_id), timeout=CALL_TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    # Lost with the data of the approval service: nobody can decide it any more.
                    gone = Decided(timer.step_id, step.gate.approval_id, "expired", "the system", "it no longer exists")
                    await self._executor.submit(run_id, gone)
                    continue
                log.warning("approval not read; trying again", error=_short(error))
                if error.code() in _AWAY:
                    return  # for the others too: they are looked up when their timers are taken again
                continue
            if response.approval.state in STATES:
                await self._executor.submit(run_id, decided(timer.step_id, response.approval))
            else:
                await self._schedule.postpone(run_id, timer, self._clock.now_ms() + RECHECK_MS)


def _answers(owed: Sequence[Owed], results: Sequence[apb.RequestedApproval]) -> list[tuple[str, Command]]:
    commands: list[tuple[str, Command]] = []
    for entry, result in zip(owed, results, strict=True):
        if result.error_reason in LATER:
            continue  # it stays owed, and is asked again by a later scan
        if result.error_reason:
            message = f"{result.error_reason}: {result.error_message}"
            commands.append((entry.run_id, GateAnswered(entry.step_id, entry.attempt, "deny", "", message)))
            continue
        approval = result.approval
        outcome = answer_of(approval)
        answered = GateAnswered(entry.step_id, entry.attempt, outcome, approval.id, approval.policy_reason)
        commands.append((entry.run_id, answered))
        if outcome == "human" and approval.state != apb.APPROVAL_STATE_PENDING:
            commands.append((entry.run_id, decided(entry.step_id, approval)))
    return commands


def _short(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return repr(error)


def _latest_sequence(error: grpc.aio.AioRpcError) -> int:
    """Return where the stream can be followed from, as the error's ErrorInfo says; 0 if it does not."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.metadata.get("latest_sequence", "").isdigit():
                    return int(info.metadata["latest_sequence"])
    return 0
