"""AgentService: what agent workers call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from harness.approval.v1 import audit_pb2
from harness.orchestrator.v1 import agent_pb2 as pb
from harness.orchestrator.v1 import agent_pb2_grpc
from services.orchestrator import values
from services.orchestrator.approvals import told_by
from services.orchestrator.engine.commands import Command, Fail, Granted, Record, Release, Reply, Succeed
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.execution.executor import Executor
from services.orchestrator.execution.leasing import Leasing
from services.orchestrator.execution.proposals import Proposals, lease_lost
from services.orchestrator.store import keys
from services.orchestrator.store.schedule import Schedule
from services.runtime.context import draining
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.redaction import redact

MAX_RESULT_BYTES = 256 * 1024
"""A step's result as JSON, as the contract says."""
MAX_RECORD_BYTES = 64 * 1024
"""A performed proposal's result as JSON, as the contract says."""
MAX_LEASE_BYTES = 3 * 1024 * 1024
"""All leases of one answer: a message has 4 MiB by default, and reports are answered in the same one."""

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOMES = {
    "cleared": pb.PROPOSAL_OUTCOME_CLEARED,
    "parked": pb.PROPOSAL_OUTCOME_PARKED,
    "denied": pb.PROPOSAL_OUTCOME_DENIED,
    "performed": pb.PROPOSAL_OUTCOME_PERFORMED,
}


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Leases, heartbeats, reports and proposals."""

    def __init__(
        self,
        executor: Executor,
        leasing: Leasing,
        proposals: Proposals,
        schedule: Schedule,
        clock: RedisClock,
    ) -> None:
        self._executor = executor
        self._leasing = leasing
        self._proposals = proposals
        self._schedule = schedule
        self._clock = clock

    async def LeaseSteps(
        self,
        request: pb.LeaseStepsRequest,
        context: Context,
    ) -> pb.LeaseStepsResponse:
        """Hand out ready steps."""
        wait_s = request.wait.seconds + request.wait.nanos / 1e9
        granted = await self._leasing.lease(
            request.worker_id, request.agents, request.max_steps or 1, wait_s, draining()
        )
        return pb.LeaseStepsResponse(leases=await self._leases(granted))

    async def HeartbeatSteps(
        self,
        request: pb.HeartbeatStepsRequest,
        context: Context,
    ) -> pb.HeartbeatStepsResponse:
        """Extend leases."""
        known = [token for token in request.tokens if keys.shard_in("run", token.run_id) is not None]
        held = await self._schedule.extend_leases(
            [(token.run_id, token.step_id, token.attempt) for token in known],
            self._clock.now_ms() + self._leasing.lease_ms,
        )
        alive = {id(token) for token, ok in zip(known, held, strict=True) if ok}
        return pb.HeartbeatStepsResponse(lost=[token for token in request.tokens if id(token) not in alive])

    async def ReportSteps(
        self,
        request: pb.ReportStepsRequest,
        context: Context,
    ) -> pb.ReportStepsResponse:
        """Record outcomes, and lease more."""
        results = await asyncio.gather(*(self._report(report) for report in request.reports))
        granted: list[Granted] = []
        if request.HasField("lease") and not draining().is_set():
            granted = await self._leasing.lease(
                request.worker_id, request.lease.agents, request.lease.max_steps, 0.0, draining()
            )
        return pb.ReportStepsResponse(results=results, leases=await self._leases(granted))

    async def ProposeActions(
        self,
        request: pb.ProposeActionsRequest,
        context: Context,
    ) -> pb.ProposeActionsResponse:
        """Ask whether actions may run."""
        token = request.token
        _known_run(token.run_id)
        proposal = await self._proposals.propose(
            token.run_id,
            token.step_id,
            token.attempt,
            request.ordinal,
            request.actions,
            request.reason,
            told_by(request),
        )
        response = pb.ProposeActionsResponse(
            outcome=_OUTCOMES[proposal.outcome],
            approval_id=proposal.approval_id,
            grant=proposal.grant,
            digest=proposal.digest,
            message=proposal.message,
            actions=proposal.edited,
        )
        if proposal.outcome == "performed":
            response.record.CopyFrom(
                pb.ActionRecord(
                    ordinal=request.ordinal, digest=proposal.digest, result=values.to_struct(proposal.result)
                )
            )
        return response

    async def RecordActions(
        self,
        request: pb.RecordActionsRequest,
        context: Context,
    ) -> pb.RecordActionsResponse:
        """Store what performed proposals brought back."""
        token = request.token
        _known_run(token.run_id)
        commands: list[tuple[str, Command]] = []
        for position, record in enumerate(request.records):
            result = _bounded(record.result, MAX_RECORD_BYTES, f"records[{position}].result")
            commands.append(
                (
                    token.run_id,
                    Record(token.step_id, token.attempt, record.ordinal, record.digest, result),
                )
            )
        replies = await self._executor.submit_all(commands)
        if not all(reply.ok for reply in replies):
            raise lease_lost(token.step_id, token.attempt)
        return pb.RecordActionsResponse()

    # -- helpers ---------------------------------------------------------------------------------------

    async def _report(self, report: pb.StepReport) -> pb.ReportResult:
        token = report.token
        outcome, message = pb.REPORT_OUTCOME_RECORDED, ""
        command: Command
        match report.WhichOneof("outcome"):
            case "result":
                try:
                    result = _bounded(report.result, MAX_RESULT_BYTES, "result")
                    command = Succeed(token.step_id, token.attempt, result)
                except InvalidArgument as error:
                    outcome, message = pb.REPORT_OUTCOME_INVALID, error.message
                    command = Fail(token.step_id, token.attempt, "INVALID_RESULT", message, False, 0.0)
            case "error":
                failed = report.error
                # Jitter is a matter of load, not of secrecy.
                command = Fail(
                    token.step_id,
                    token.attempt,
                    failed.code,
                    redact(failed.message),
                    not failed.non_retryable,
                    random.random(),
                )
            case _:
                command = Release(token.step_id, token.attempt, redact(report.released.reason))
        reply = await self._submit(token.run_id, command)
        if not reply.ok:
            outcome = pb.REPORT_OUTCOME_LEASE_LOST
            message = "the lease is not held; nothing was recorded"
        return pb.ReportResult(token=token, outcome=outcome, message=message)

    async def _submit(self, run_id: str, command: Command) -> Reply:
        if keys.shard_in("run", run_id) is None:
            return Reply("LEASE_LOST")
        try:
            return await self._executor.submit(run_id, command)
        except NotFound:
            return Reply("LEASE_LOST")

    async def _leases(self, granted: Iterable[Granted]) -> Sequence[pb.StepLease]:
        """Return what a message has room for; the rest is given back, and what never fits fails."""
        expires = Timestamp()
        expires.FromMilliseconds(self._clock.now_ms() + self._leasing.lease_ms)
        leases: list[pb.StepLease] = []
        returned: list[tuple[str, Command]] = []
        size = 0
        for entry in granted:
            lease = _lease(entry, expires, self._leasing.lease_ms)
            run_id, step_id, attempt = entry.header.run_id, entry.spec.id, entry.step.attempt
            needed = lease.ByteSize()
            if needed > MAX_LEASE_BYTES:
                message = f"its inputs and the results it depends on take {needed} bytes; at most {MAX_LEASE_BYTES} fit"
                returned.append((run_id, Fail(step_id, attempt, "LEASE_TOO_LARGE", message, False, 0.0)))
            elif size + needed > MAX_LEASE_BYTES:
                returned.append((run_id, Release(step_id, attempt, "the message to the worker was full")))
            else:
                leases.append(lease)
                size += needed
        if returned:
            await self._executor.submit_all(returned)
        return leases


def _known_run(run_id: str) -> None:
    if keys.shard_in("run", run_id) is None:
        raise NotFound("RUN_NOT_FOUND", f"run {run_id!r} does not exist")


def _bounded(struct: Struct, limit: int, field: str) -> dict[str, object]:
    try:
        plain = values.to_json(struct)
    except (values.ValueTooDeep, values.NotJson) as error:
        raise InvalidArgument("VALUE_NOT_JSON", f"{field}: {error}", violations=[(field, str(error))]) from error
    if (size := values.size(plain)) > limit:
        text = f"{size} bytes as JSON; at most {limit} are taken"
        raise InvalidArgument("VALUE_TOO_LARGE", f"{field}: {text}", violations=[(field, text)])
    return plain


def _lease(granted: Granted, expires: Timestamp, lease_ms: int) -> pb.StepLease:
    header, spec, step = granted.header, granted.spec, granted.step
    lease = pb.StepLease(
        token=pb.LeaseToken(run_id=header.run_id, step_id=spec.id, attempt=step.attempt),
        agent=spec.agent,
        description=spec.description,
        lease_expire_time=expires,
        task_id=header.task_id,
        project_id=header.project_id,
        query=header.query,
    )
    lease.lease_duration.FromMilliseconds(lease_ms)
    lease.timeout.FromMilliseconds(spec.timeout_ms)
    if spec.inputs:
        lease.inputs.update(spec.inputs)
    for name, result in granted.dependencies.items():
        lease.dependency_results[name].update(result or {})
    for told in step.feedback:
        lease.feedback.add(
            approval_id=told["approval_id"],
            ordinal=told["ordinal"],
            digest=told["digest"],
            code=audit_pb2.RejectCode.Value(f"REJECT_CODE_{told['code'].upper()}"),
            reason=told["reason"],
            decided_by=told["by"],
        )
    for ordinal, record in step.records.items():
        entry = lease.records.add(ordinal=ordinal, digest=record["digest"])
        entry.result.update(record["result"])
    return lease
