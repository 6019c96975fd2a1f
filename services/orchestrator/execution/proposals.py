"""Whether the actions of a leased step may run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2 as apb
from harness.approval.v1 import approval_pb2_grpc, risk_pb2
from harness.common.v1 import action_pb2
from services.orchestrator.approvals import LATER, STATES, decided, proposal_item
from services.orchestrator.engine.commands import Clear, Deny, Park, Reply
from services.orchestrator.engine.model import Json, Run, StepStatus
from services.orchestrator.execution.executor import Executor
from services.runtime.digest import digest_of, intent_of
from services.runtime.errors import FailedPrecondition, NotFound, ResourceExhausted

CALL_TIMEOUT_S = 10.0

RETRY_AFTER_S = 15.0
"""When a proposal that too many others wait before is worth repeating: people decide in minutes."""

MAX_GENERATIONS = 20
"""Grants for one proposal that may be spent without a recorded result; workers that die this often need a person."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What became of proposed actions. ``outcome``: cleared, parked, denied or performed.

    ``edited`` are the actions that somebody put in their place before approving; ``digest`` is theirs then.
    """

    outcome: str
    digest: str
    approval_id: str = ""
    grant: str = ""
    result: Json = None
    message: str = ""
    edited: Sequence[action_pb2.Action] = ()


class Proposals:
    """Takes workers' proposals to the approval service."""

    def __init__(self, stub: approval_pb2_grpc.ApprovalServiceStub, executor: Executor) -> None:
        self._stub = stub
        self._executor = executor

    async def propose(
        self,
        run_id: str,
        step_id: str,
        attempt: int,
        ordinal: int,
        actions: Sequence[action_pb2.Action],
        reason: str,
        told: risk_pb2.ActionContext,
    ) -> Proposal:
        """Ask, and record the answer. `told` is what the worker says about the place where the actions would run.

        Raises:
            FailedPrecondition: LEASE_LOST, ACTIONS_CHANGED (this proposal was performed with other actions),
                ACTIONS_REFUSED (the approval service cannot take them), GRANTS_SPENT.
            ResourceExhausted: TOO_MANY_PENDING, RATE_LIMITED; the lease is still held.
            grpc.aio.AioRpcError: the approval service did not answer; nothing is cleared.
        """
        run = await self._leased(run_id, step_id, attempt)
        spec, step = run.index.specs[step_id], run.steps[step_id]
        digest = digest_of(actions)
        record = step.records.get(ordinal)
        if record is not None:
            if record["digest"] != intent_of(actions):
                raise FailedPrecondition(
                    "ACTIONS_CHANGED",
                    f"proposal {ordinal} of step {step_id} was performed with other actions; a handler must propose "
                    "the same actions in the same order in every attempt",
                )
            return Proposal("performed", record["digest"], result=record["result"])
        first = step.generations.get(ordinal, 0)
        for generation in range(first, first + MAX_GENERATIONS):
            item = proposal_item(run, spec, attempt, ordinal, generation, digest, actions, reason, told)
            response = await self._stub.RequestApprovals(
                apb.RequestApprovalsRequest(items=[item]), timeout=CALL_TIMEOUT_S
            )
            answer = response.results[0]
            if answer.error_reason in LATER:
                raise ResourceExhausted(
                    answer.error_reason, answer.error_message, retry_after=RETRY_AFTER_S, step_id=step_id
                )
            if answer.error_reason:
                raise FailedPrecondition("ACTIONS_REFUSED", f"{answer.error_reason}: {answer.error_message}")
            if not _spent(answer.approval):
                return await self._settle(run_id, step_id, attempt, ordinal, generation, digest, answer)
        raise FailedPrecondition(
            "GRANTS_SPENT", f"{MAX_GENERATIONS} attempts started these actions and none told the result"
        )

    async def _leased(self, run_id: str, step_id: str, attempt: int) -> Run:
        run = await self._executor.get(run_id)
        if run is None:
            raise NotFound("RUN_NOT_FOUND", f"run {run_id} does not exist")
        step = run.steps.get(step_id)
        if step is None or step.status is not StepStatus.LEASED or step.attempt != attempt:
            raise lease_lost(step_id, attempt)
        return run

    async def _settle(
        self,
        run_id: str,
        step_id: str,
        attempt: int,
        ordinal: int,
        generation: int,
        digest: str,
        answer: apb.RequestedApproval,
    ) -> Proposal:
        approval = answer.approval
        if approval.state == apb.APPROVAL_STATE_APPROVED:
            edited = approval.digest if approval.digest != digest else ""
            clear = Clear(step_id, attempt, ordinal, digest, generation, approval.id, edited)
            _held(await self._executor.submit(run_id, clear), step_id, attempt)
            actions = list(approval.actions) if edited else []
            return Proposal("cleared", approval.digest, approval.id, answer.grant, edited=actions)
        if approval.state == apb.APPROVAL_STATE_DENIED:
            deny = Deny(step_id, attempt, approval.policy_reason)
            _held(await self._executor.submit(run_id, deny), step_id, attempt)
            return Proposal("denied", digest, approval.id, message=approval.policy_reason)
        park = Park(step_id, attempt, ordinal, digest, generation, approval.id)
        _held(await self._executor.submit(run_id, park), step_id, attempt)
        if approval.state in STATES:
            # It was decided before the step could be parked, by a question an earlier attempt asked.
            await self._executor.submit(run_id, decided(step_id, approval))
        return Proposal("parked", digest, approval.id, message=approval.policy_reason)


def _spent(approval: apb.Approval) -> bool:
    if approval.state == apb.APPROVAL_STATE_CONSUMED:
        return True
    return approval.state == apb.APPROVAL_STATE_EXPIRED and approval.decision.approved


def lease_lost(step_id: str, attempt: int) -> FailedPrecondition:
    """Return the error for a fencing token that is not current."""
    return FailedPrecondition(
        "LEASE_LOST",
        f"attempt {attempt} of step {step_id} does not hold the lease; drop its work",
        step_id=step_id,
        attempt=attempt,
    )


def _held(reply: Reply, step_id: str, attempt: int) -> None:
    if not reply.ok:
        raise lease_lost(step_id, attempt)
