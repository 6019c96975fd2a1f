"""Between the engine and the approval service's messages. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2 as apb
from harness.approval.v1 import audit_pb2, risk_pb2
from harness.common.v1 import action_pb2
from harness.orchestrator.v1 import agent_pb2
from services.orchestrator.engine.commands import Decided
from services.orchestrator.engine.model import GateKind, Run, Spec
from services.orchestrator.plan import approval_type_value, environment_value
from services.orchestrator.values import to_struct
from services.runtime.errors import InvalidArgument
from services.runtime.redaction import redact

MAX_CALL_BYTES = 2 * 1024 * 1024
"""Questions of one call: half of what a message may have by default, for the answers show what was asked."""

MAX_OBSERVED_BYTES = 1024 * 1024
"""Content of files that a proposal may carry, as the contract says."""

LATER = frozenset({"TOO_MANY_PENDING", "RATE_LIMITED"})
"""What the approval service refuses for now only."""

STATES = {
    apb.APPROVAL_STATE_APPROVED: "approved",
    apb.APPROVAL_STATE_CONSUMED: "approved",
    apb.APPROVAL_STATE_REJECTED: "rejected",
    apb.APPROVAL_STATE_DENIED: "rejected",
    apb.APPROVAL_STATE_WITHDRAWN: "rejected",
    apb.APPROVAL_STATE_EXPIRED: "expired",
}
"""What each state that ends the waiting means to the engine."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A question for the approval service about a step's start or result."""

    run_id: str
    step_id: str
    attempt: int
    item: apb.ApprovalItem


def start_action(spec: Spec) -> action_pb2.Action:
    """Return the action that a step's start is."""
    return action_pb2.Action(
        step_start=action_pb2.StepStartAction(
            step_id=spec.id,
            agent=spec.agent,
            description=spec.description,
            inputs=to_struct(spec.inputs or {}),
        )
    )


def context_of(run: Run, spec: Spec) -> risk_pb2.ActionContext:
    """Return where a step's actions come from and would land."""
    header = run.header
    return risk_pb2.ActionContext(
        environment=environment_value(header.environment),
        agent=spec.agent,
        approval_type=approval_type_value(spec.approval_type),
        project_id=header.project_id,
        task_id=header.task_id,
        run_id=header.run_id,
        step_id=spec.id,
    )


def told_by(request: agent_pb2.ProposeActionsRequest) -> risk_pb2.ActionContext:
    """Return what a worker says about the place where its actions would run, and nothing that it has no say in.

    Raises:
        InvalidArgument: OBSERVED_TOO_LARGE.
    """
    content = sum(len(state.content.encode()) for state in request.observed)
    if content > MAX_OBSERVED_BYTES:
        text = f"the content of observed files takes {content} bytes; at most {MAX_OBSERVED_BYTES} are taken"
        raise InvalidArgument("OBSERVED_TOO_LARGE", text, violations=[("observed", text)])
    return risk_pb2.ActionContext(
        working_directory=request.working_directory,
        links=request.links,
        agent_rating=request.agent_rating,
        observed=request.observed,
    )


def approval_item(run: Run, step_id: str) -> Owed:
    """Return what to ask about a PROPOSED step.

    Raises:
        ValueError: the step has no gate.
    """
    spec, step = run.index.specs[step_id], run.steps[step_id]
    if step.gate is None:
        raise ValueError(f"step {step_id} is not at a gate")
    attempt = step.gate.attempt
    starting = step.gate.kind is GateKind.START
    if starting:
        action = start_action(spec)
    else:
        result = action_pb2.StepResultAction(step_id=spec.id, agent=spec.agent, result=to_struct(step.result or {}))
        action = action_pb2.Action(step_result=result)
    item = apb.ApprovalItem(
        request_id=f"{run.header.run_id}/{step_id}/{step.gate.kind.value}/{attempt}",
        requester=run.header.owner,
        initiators=run.header.initiators,
        actions=[action],
        context=context_of(run, spec),
        reason=redact(spec.description)[:4096],
        require_approval=starting and spec.require_approval,
        attempt=attempt,
    )
    return Owed(run.header.run_id, step_id, attempt, item)


def batches(owed: Sequence[Owed]) -> Iterator[list[Owed]]:
    """Split questions into calls that a message has room for; one that is larger goes alone."""
    batch: list[Owed] = []
    size = 0
    for entry in owed:
        # Tag and length of the item in the request take a few bytes of their own.
        needed = entry.item.ByteSize() + 8
        if batch and size + needed > MAX_CALL_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += needed
    if batch:
        yield batch


def proposal_item(
    run: Run,
    spec: Spec,
    attempt: int,
    ordinal: int,
    generation: int,
    digest: str,
    actions: Sequence[action_pb2.Action],
    reason: str,
    told: risk_pb2.ActionContext,
) -> apb.ApprovalItem:
    """Return what to ask about actions that a worker proposes, with what it told about the place (`told_by`).

    The request id holds what makes a proposal the same one: its place in the step, its bytes, and how many grants for
    it were spent by attempts that died before they told the result.
    """
    context = context_of(run, spec)
    context.MergeFrom(told)
    name = hashlib.sha256(f"{digest}/{generation}".encode()).hexdigest()[:24]
    return apb.ApprovalItem(
        request_id=f"{run.header.run_id}/{spec.id}/actions/{ordinal}/{name}",
        requester=run.header.owner,
        initiators=run.header.initiators,
        actions=actions,
        context=context,
        reason=reason,
        attempt=attempt,
    )


def answer_of(approval: apb.Approval) -> str:
    """Return the engine's word for what became of a request: auto, human or deny."""
    if approval.state in (apb.APPROVAL_STATE_APPROVED, apb.APPROVAL_STATE_CONSUMED):
        return "auto"
    return "deny" if approval.state == apb.APPROVAL_STATE_DENIED else "human"


def decided(step_id: str, approval: apb.Approval) -> Decided:
    """Return the command that carries a decision to the run."""
    decision = approval.decision
    code = decision.reject_code
    return Decided(
        step_id,
        approval.id,
        STATES[approval.state],
        decision.decided_by or "the system",
        decision.reason,
        audit_pb2.RejectCode.Name(code).removeprefix("REJECT_CODE_").lower() if code else "",
        # Jitter is a matter of load, not of secrecy.
        random.random(),
    )
