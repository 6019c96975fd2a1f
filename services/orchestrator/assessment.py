"""Asks the approval service how risky planned steps are. The answer is for the plan: it starts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import grpc
from google.protobuf.struct_pb2 import Struct

from harness.approval.v1 import risk_pb2, risk_pb2_grpc
from harness.common.v1.action_pb2 import Action, StepStartAction
from services.orchestrator import values
from services.orchestrator.engine.model import Spec
from services.orchestrator.plan import Risk, approval_type_value, environment_value
from services.runtime.errors import FailedPrecondition, Unavailable

MAX_ITEMS = 1000
"""Items of one AssessActions call, as its contract says."""
MAX_BYTES = 3 * 1024 * 1024
"""Size of one call, below the 4 MiB that a message may have by default."""
TIMEOUT_SECONDS = 30.0

PROPOSING_AGENTS = frozenset({"shell", "files", "http"})
"""The built-in agents, which do nothing but propose exact actions and run what was cleared. Their steps start
without being asked about, unless the plan says so: a person is asked once, about the very bytes."""

_UNAVAILABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)


class Assessor:
    """Steps to the approval service's RiskService and back."""

    def __init__(self, stub: risk_pb2_grpc.RiskServiceStub) -> None:
        self._stub = stub

    async def assess(
        self, specs: Sequence[Spec], *, environment: str, project_id: str, task_id: str, run_id: str = ""
    ) -> tuple[list[Spec], dict[str, Risk]]:
        """Return the specs with `gated` set, and the risk of each by id.

        A step is gated when it asks for approval, or when the policy would not let its start pass by itself and
        its agent is not one of PROPOSING_AGENTS.

        Raises:
            FailedPrecondition: POLICY_DENIED, the policy refuses a step.
            Unavailable: the approval service does not answer; nothing passes unassessed.
        """
        ids = risk_pb2.ActionContext(
            environment=environment_value(environment), project_id=project_id, task_id=task_id, run_id=run_id
        )
        items = [_item(spec, ids) for spec in specs]
        answers: list[risk_pb2.AssessedItem] = []
        for chunk in chunks(items):
            answers.extend(await self._call(chunk))
        return judged(specs, answers)

    async def _call(self, items: Sequence[risk_pb2.AssessItem]) -> Sequence[risk_pb2.AssessedItem]:
        try:
            answer = await self._stub.AssessActions(risk_pb2.AssessActionsRequest(items=items), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _UNAVAILABLE:
                raise
            raise Unavailable(
                "APPROVAL_UNAVAILABLE", "the approval service does not answer; nothing was stored, try again"
            ) from error
        return answer.items


def judged(specs: Sequence[Spec], answers: Sequence[risk_pb2.AssessedItem]) -> tuple[list[Spec], dict[str, Risk]]:
    """Apply the service's answers, one a spec in the same order. Raises FailedPrecondition as `Assessor.assess`."""
    gated: list[Spec] = []
    risks: dict[str, Risk] = {}
    for spec, answer in zip(specs, answers, strict=True):
        if answer.outcome == risk_pb2.POLICY_OUTCOME_DENY:
            raise FailedPrecondition(
                "POLICY_DENIED",
                f"step '{spec.id}' is denied by policy: {answer.policy_reason}",
                step_id=spec.id,
                policy_reason=answer.policy_reason,
            )
        # An outcome this version does not know is no permission.
        cleared = answer.outcome == risk_pb2.POLICY_OUTCOME_AUTO or spec.agent in PROPOSING_AGENTS
        asks = spec.require_approval or not cleared
        gated.append(replace(spec, gated=asks))
        risks[spec.id] = _risk(answer.assessment)
    return gated, risks


def _item(spec: Spec, ids: risk_pb2.ActionContext) -> risk_pb2.AssessItem:
    context = risk_pb2.ActionContext()
    context.CopyFrom(ids)
    context.agent = spec.agent
    context.approval_type = approval_type_value(spec.approval_type)
    context.step_id = spec.id
    start = StepStartAction(
        step_id=spec.id,
        agent=spec.agent,
        description=spec.description,
        inputs=values.to_struct(spec.inputs) if spec.inputs else Struct(),
    )
    return risk_pb2.AssessItem(
        actions=[Action(step_start=start)], context=context, require_approval=spec.require_approval
    )


def chunks(items: Sequence[risk_pb2.AssessItem]) -> Iterator[list[risk_pb2.AssessItem]]:
    """Split items into calls that the contract and a message have room for."""
    chunk: list[risk_pb2.AssessItem] = []
    size = 0
    for item in items:
        # Tag and length of the item in the request take a few bytes of their own.
        needed = item.ByteSize() + 8
        if chunk and (len(chunk) == MAX_ITEMS or size + needed > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += needed
    if chunk:
        yield chunk


def _risk(assessment: risk_pb2.Assessment) -> Risk:
    level = risk_pb2.RiskLevel.Name(assessment.level).removeprefix("RISK_LEVEL_")
    return Risk(
        level=level if assessment.level else "UNKNOWN",
        score=assessment.score,
        factors=tuple(factor.id for factor in assessment.factors),
    )
