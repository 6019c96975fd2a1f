"""Between the contract and the domain: actions, contexts, assessments, previews."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from harness.approval.v1 import risk_pb2
from harness.common.v1 import action_pb2
from services.approval import risk
from services.approval.risk.rules import RuleBook
from services.runtime.redaction.messages import redacted

KEPT_CONTENT_BYTES = 64 * 1024
"""Content of observed files that is stored with an approval, in all: approvals are read in pages."""

_ENVIRONMENTS: Mapping[int, str] = {
    action_pb2.ENVIRONMENT_DEVELOPMENT: "development",
    action_pb2.ENVIRONMENT_STAGING: "staging",
    action_pb2.ENVIRONMENT_PRODUCTION: "production",
}
_ENVIRONMENT_NUMBERS = {name: number for number, name in _ENVIRONMENTS.items()}

_TYPES: Mapping[int, str] = {
    number: name.removeprefix("APPROVAL_TYPE_").lower()
    for name, number in action_pb2.ApprovalType.items()
    if number != action_pb2.APPROVAL_TYPE_UNSPECIFIED
}
_TYPE_NUMBERS = {name: number for number, name in _TYPES.items()}

_LEVELS: Mapping[risk.Level, risk_pb2.RiskLevel.ValueType] = {
    level: risk_pb2.RiskLevel.Value(f"RISK_LEVEL_{level.name}") for level in risk.Level
}
_LEVELS_BACK = {number: level for level, number in _LEVELS.items()}


def environment_name(environment: int, default: str) -> str:
    """The domain's name of an environment; `default` when it is unspecified."""
    return _ENVIRONMENTS.get(environment, default)


def environment_number(name: str) -> action_pb2.Environment.ValueType:
    """The contract's number of an environment. Raises KeyError for a name that is none."""
    return action_pb2.Environment.ValueType(_ENVIRONMENT_NUMBERS[name])


def type_name(approval_type: int) -> str:
    """The domain's name of an approval type; empty when it is unspecified."""
    return _TYPES.get(approval_type, "")


def type_number(name: str) -> action_pb2.ApprovalType.ValueType:
    """The contract's number of an approval type; unspecified for the empty name."""
    return action_pb2.ApprovalType.ValueType(_TYPE_NUMBERS.get(name, action_pb2.APPROVAL_TYPE_UNSPECIFIED))


def context_of(
    context: risk_pb2.ActionContext, default_environment: str, rules: RuleBook | None = None
) -> risk.Context:
    """What the assessment looks at. `rules` are those in force; None means the built-in ones."""
    return risk.Context(
        environment=environment_name(context.environment, default_environment),
        agent=context.agent,
        approval_type=type_name(context.approval_type),
        working_dir=context.working_directory,
        links=dict(context.links),
        agent_rating=_LEVELS_BACK.get(context.agent_rating),
        rules=rules,
    )


def kept_context(context: risk_pb2.ActionContext) -> risk_pb2.ActionContext:
    """What is stored of a context: secrets masked, and without the content of files where that is much.

    The preview holds what people need of it; what is kept lets a revision be compared with the file.
    """
    if not context.observed:
        return redacted(context)
    kept = risk_pb2.ActionContext()
    kept.CopyFrom(context)
    left = KEPT_CONTENT_BYTES
    for state in kept.observed:
        size = len(state.content.encode())
        if size > left:
            state.ClearField("content")
        else:
            left -= size
    return redacted(kept)


def action_of(action: action_pb2.Action, context: risk.Context) -> risk.Action:
    """One action as the assessment reads it. Raises ValueError for a kind the domain does not know, or none."""
    match action.WhichOneof("kind"):
        case "command":
            command = action.command
            argv, env = command.argv, command.env  # to copy what is empty takes longer than to ask
            return risk.Command(
                argv=tuple(argv) if argv else (),
                script=command.script,
                cwd=command.working_directory,
                env=dict(env) if env else {},
            )
        case "file_write":
            return risk.FileWrite(action.file_write.path, text_or_bytes(action.file_write.content))
        case "file_delete":
            return risk.FileDelete(action.file_delete.path, action.file_delete.recursive)
        case "code_execution":
            return risk.CodeExecution(action.code_execution.language, action.code_execution.code)
        case "api_call":
            call = action.api_call
            return risk.ApiCall(call.method.upper(), call.url, dict(call.headers), text_or_bytes(call.body))
        case "git_push":
            push = action.git_push
            return risk.GitPush(push.remote, " ".join(push.refspecs), push.force)
        case "workflow_creation":
            return risk.WorkflowCreation(action.workflow_creation.name, action.workflow_creation.definition)
        case "step_start":
            start = action.step_start
            return risk.StepStart(
                agent=start.agent or context.agent,
                description=start.description,
                approval_type=context.approval_type,
                inputs=plain(start.inputs),
            )
        case "step_result":
            result = action.step_result
            return risk.StepResult(
                agent=result.agent or context.agent,
                description="",
                approval_type=context.approval_type,
                result=plain(result.result),
            )
        case kind:
            raise ValueError(f"an action of kind {kind} cannot be assessed")


def text_or_bytes(content: bytes) -> str | bytes:
    """Content as text where it is UTF-8, else as it is."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def plain(struct: Struct) -> dict[str, object]:
    """A Struct as plain Python values. Unlike the JSON form, it has room for every number."""
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: Value) -> object:
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return _plain_list(value.list_value)
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _plain_list(values: ListValue) -> list[object]:
    return [_plain_value(value) for value in values.values]


def level_number(level: risk.Level) -> risk_pb2.RiskLevel.ValueType:
    """The contract's number of a level."""
    return _LEVELS[level]


def level_of(number: int) -> risk.Level:
    """The domain's level of the contract's number; UNKNOWN for one that it has not."""
    return _LEVELS_BACK.get(risk_pb2.RiskLevel.ValueType(number), risk.Level.UNKNOWN)


def put_assessment(message: risk_pb2.Assessment, assessment: risk.Assessment, approval_type: str) -> None:
    """Writes an assessment into an empty message of the contract, wherever that is."""
    message.level = _LEVELS[assessment.level]
    message.score = assessment.score
    message.approval_type = type_number(approval_type)
    for factor in assessment.factors:
        added = message.factors.add(
            id=factor.id,
            category=factor.category,
            explanation=factor.message,
            weight=factor.weight,
            excerpt=factor.excerpt,
            safer_alternative=factor.safer_alternative,
            action=factor.action,
        )
        if factor.span:
            added.span.SetInParent()  # also the empty one at the beginning
            added.span.start, added.span.end = factor.span.start, factor.span.end


def assessment_of(message: risk_pb2.Assessment) -> risk.Assessment:
    """The domain's assessment of the contract's: what `put_assessment` was given."""
    factors = tuple(
        risk.Factor(
            each.id,
            each.category,
            each.explanation,
            each.weight,
            each.excerpt,
            risk.Span(each.span.start, each.span.end) if each.HasField("span") else None,
            each.safer_alternative,
            each.action,
        )
        for each in message.factors
    )
    return risk.Assessment(level_of(message.level), message.score, factors)
