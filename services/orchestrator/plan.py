"""What a valid plan is, and plans between the contract and the engine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from harness.common.v1.action_pb2 import ApprovalType, Environment
from harness.orchestrator.v1 import plan_pb2
from services.orchestrator import values
from services.orchestrator.engine.model import Retry, Spec
from services.runtime.errors import InvalidArgument

MAX_STEP_INPUT_BYTES = 256 * 1024
"""Inputs of one step as JSON, as the contract says."""
MAX_PLAN_INPUT_BYTES = 4 * 1024 * 1024
"""Inputs of all steps: what one message carries by default."""
MAX_STEPS = 1000

DEFAULT_TIMEOUT_MS = 600_000
"""The longest attempt of a step whose plan says nothing, as the contract says."""

Violation = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Risk:
    """The assessment of a step, as its plan shows it."""

    level: str = "UNKNOWN"
    score: int = 0
    factors: tuple[str, ...] = ()


def specs_of(plan: plan_pb2.Plan) -> list[Spec]:
    """Return the engine's specs. Raises InvalidArgument naming every field at fault."""
    violations: list[Violation] = []
    inputs: list[dict[str, Any]] = []
    for position, step in enumerate(plan.steps):
        try:
            inputs.append(values.to_json(step.inputs))
        except (values.ValueTooDeep, values.NotJson) as error:
            violations.append((f"plan.steps[{position}].inputs", str(error)))
    _refuse(violations)
    specs = [_spec(step, given) for step, given in zip(plan.steps, inputs, strict=True)]
    check(specs)
    return specs


def check(specs: Sequence[Spec]) -> None:
    """Raise InvalidArgument, naming every field at fault, unless the specs are a plan that can run."""
    violations = [*_shape(specs), *_sizes(specs)]
    if not violations:
        violations.extend(_cycle(specs))
    _refuse(violations)


def _refuse(violations: list[Violation]) -> None:
    if violations:
        field, problem = violations[0]
        raise InvalidArgument("INVALID_PLAN", f"{field}: {problem}", violations=violations)


def _shape(specs: Sequence[Spec]) -> Iterator[Violation]:
    if not 1 <= len(specs) <= MAX_STEPS:
        yield "plan.steps", f"a plan has 1 to {MAX_STEPS} steps, this one {len(specs)}"
    first: dict[str, int] = {}
    for position, spec in enumerate(specs):
        if spec.id in first:
            yield f"plan.steps[{position}].id", f"'{spec.id}' is also the id of steps[{first[spec.id]}]; ids are unique"
        first.setdefault(spec.id, position)
    for position, spec in enumerate(specs):
        field = f"plan.steps[{position}].depends_on"
        for parent in dict.fromkeys(spec.depends_on):
            if parent == spec.id:
                yield field, f"'{spec.id}' depends on itself"
            elif parent not in first:
                yield field, f"'{parent}' is no step of the plan"
        if len(set(spec.depends_on)) != len(spec.depends_on):
            yield field, "names a step twice"


def _sizes(specs: Sequence[Spec]) -> Iterator[Violation]:
    total = 0
    for position, spec in enumerate(specs):
        size = values.size(spec.inputs)
        total += size
        if size > MAX_STEP_INPUT_BYTES:
            yield f"plan.steps[{position}].inputs", f"{size} bytes as JSON; at most {MAX_STEP_INPUT_BYTES} are taken"
    if total > MAX_PLAN_INPUT_BYTES:
        yield "plan.steps", f"all inputs are {total} bytes as JSON; at most {MAX_PLAN_INPUT_BYTES} are taken"


def _cycle(specs: Sequence[Spec]) -> Iterator[Violation]:
    """Name one cycle, if there is any: take away steps whose dependencies are gone until none is left to take."""
    open_parents = {spec.id: set(spec.depends_on) for spec in specs}
    children: dict[str, list[str]] = {spec.id: [] for spec in specs}
    for spec in specs:
        for parent in spec.depends_on:
            children[parent].append(spec.id)
    free = [step for step, parents in open_parents.items() if not parents]
    while free:
        done = free.pop()
        del open_parents[done]
        for child in children[done]:
            open_parents[child].discard(done)
            if not open_parents[child]:
                free.append(child)
    if open_parents:
        position = {spec.id: index for index, spec in enumerate(specs)}
        path = _walk(open_parents)
        yield f"plan.steps[{position[path[0]]}].depends_on", "cycle: " + " → ".join(path)


def _walk(open_parents: Mapping[str, set[str]]) -> list[str]:
    """Follow dependencies, each of which has one itself, until a step comes again."""
    path = [min(open_parents)]
    seen = {path[0]: 0}
    while True:
        parent = min(open_parents[path[-1]])
        if parent in seen:
            return [*path[seen[parent] :], parent]
        seen[parent] = len(path)
        path.append(parent)


def _spec(step: plan_pb2.StepSpec, inputs: dict[str, Any]) -> Spec:
    return Spec(
        id=step.id,
        agent=step.agent,
        description=step.description,
        inputs=inputs,
        depends_on=tuple(step.depends_on),
        require_approval=step.require_approval,
        approval_type=approval_type_name(step.approval_type),
        retry=_retry(step.retry),
        timeout_ms=_milliseconds(step.timeout) if step.HasField("timeout") else DEFAULT_TIMEOUT_MS,
        priority=step.priority,
    )


def _retry(policy: plan_pb2.RetryPolicy) -> Retry:
    default = Retry()
    initial = _milliseconds(policy.initial_backoff) if policy.HasField("initial_backoff") else default.initial_ms
    longest = _milliseconds(policy.max_backoff) if policy.HasField("max_backoff") else default.max_ms
    return Retry(
        max_attempts=policy.max_attempts or default.max_attempts,
        initial_ms=initial,
        max_ms=longest,
        multiplier=max(1.0, policy.multiplier) if policy.multiplier else default.multiplier,
    )


def plan_of(specs: Iterable[Spec], risks: Mapping[str, Risk]) -> plan_pb2.Plan:
    """Return the contract's form of a plan."""
    return plan_pb2.Plan(steps=[_step(spec, risks.get(spec.id, Risk())) for spec in specs])


def _step(spec: Spec, risk: Risk) -> plan_pb2.StepSpec:
    return plan_pb2.StepSpec(
        id=spec.id,
        description=spec.description,
        agent=spec.agent,
        inputs=values.to_struct(spec.inputs or {}),
        depends_on=spec.depends_on,
        require_approval=spec.require_approval,
        approval_type=approval_type_value(spec.approval_type),
        retry=plan_pb2.RetryPolicy(
            max_attempts=spec.retry.max_attempts,
            initial_backoff=_duration(spec.retry.initial_ms),
            max_backoff=_duration(spec.retry.max_ms),
            multiplier=spec.retry.multiplier,
        ),
        timeout=_duration(spec.timeout_ms),
        priority=spec.priority,
        risk=plan_pb2.StepRisk(level=risk.level, score=risk.score, factors=risk.factors, gated=spec.gated),
    )


def _milliseconds(duration: Duration) -> int:
    # Up, so that a duration above nothing stays above nothing.
    return duration.seconds * 1000 + -(-duration.nanos // 1_000_000)


def _duration(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def approval_type_name(value: ApprovalType.ValueType) -> str:
    """Return `code_execution` for APPROVAL_TYPE_CODE_EXECUTION, nothing for unspecified."""
    return ApprovalType.Name(value).removeprefix("APPROVAL_TYPE_").lower() if value else ""


def approval_type_value(name: str) -> ApprovalType.ValueType:
    """Return the contract's value for a name that approval_type_name gave."""
    return ApprovalType.Value(f"APPROVAL_TYPE_{name.upper()}") if name else ApprovalType.APPROVAL_TYPE_UNSPECIFIED


def environment_name(value: Environment.ValueType) -> str:
    """Return `production` for ENVIRONMENT_PRODUCTION; unspecified means development."""
    return Environment.Name(value or Environment.ENVIRONMENT_DEVELOPMENT).removeprefix("ENVIRONMENT_").lower()


def environment_value(name: str) -> Environment.ValueType:
    """Return the contract's value for a name that environment_name gave."""
    return Environment.Value(f"ENVIRONMENT_{name.upper()}")
