"""Between the contract and the domain: nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.lifecycle import Outcome
from services.approval.policy import ALL_TYPES
from services.approval.record import State

CONTEXT = risk.Context(environment="staging", agent="coder", approval_type="file_write")


def struct(**values: Any) -> Struct:
    made = Struct()
    made.update(values)
    return made


EXAMPLES: dict[str, tuple[action_pb2.Action, risk.Action]] = {
    "command": (
        action_pb2.Action(command=action_pb2.CommandAction(argv=["ls", "-l"], working_directory="/w", env={"A": "b"})),
        risk.Command(argv=("ls", "-l"), cwd="/w", env={"A": "b"}),
    ),
    "file_write": (
        action_pb2.Action(file_write=action_pb2.FileWriteAction(path="a", content=b"\xff")),
        risk.FileWrite("a", b"\xff"),
    ),
    "file_delete": (
        action_pb2.Action(file_delete=action_pb2.FileDeleteAction(path="a", recursive=True)),
        risk.FileDelete("a", recursive=True),
    ),
    "code_execution": (
        action_pb2.Action(code_execution=action_pb2.CodeExecutionAction(language="python", code="1")),
        risk.CodeExecution("python", "1"),
    ),
    "api_call": (
        action_pb2.Action(
            api_call=action_pb2.ApiCallAction(method="post", url="http://a", headers={"h": "v"}, body=b"x")
        ),
        risk.ApiCall("POST", "http://a", {"h": "v"}, "x"),
    ),
    "git_push": (
        action_pb2.Action(git_push=action_pb2.GitPushAction(remote="o", refspecs=["a", "+b"], force=True)),
        risk.GitPush("o", "a +b", force=True),
    ),
    "workflow_creation": (
        action_pb2.Action(workflow_creation=action_pb2.WorkflowCreationAction(name="n", definition="d")),
        risk.WorkflowCreation("n", "d"),
    ),
    "step_start": (
        action_pb2.Action(step_start=action_pb2.StepStartAction(description="d", inputs=struct(a=[1, None, "b"]))),
        risk.StepStart("coder", "d", "file_write", {"a": [1.0, None, "b"]}),
    ),
    "step_result": (
        action_pb2.Action(step_result=action_pb2.StepResultAction(agent="analyst", result=struct(a={"b": True}))),
        risk.StepResult("analyst", "", "file_write", None, {"a": {"b": True}}),
    ),
}


def test_every_kind_of_action_has_an_example() -> None:
    assert set(EXAMPLES) == {field.name for field in action_pb2.Action.DESCRIPTOR.oneofs_by_name["kind"].fields}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_actions(kind: str) -> None:
    message, expected = EXAMPLES[kind]
    assert convert.action_of(message, CONTEXT) == expected


def test_an_action_without_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="None"):
        convert.action_of(action_pb2.Action(), CONTEXT)


def test_enums_have_a_name_on_both_sides() -> None:
    assert {convert.level_number(level) for level in risk.Level} == set(risk_pb2.RiskLevel.values()[1:])
    for kind in action_pb2.ApprovalType.values()[1:]:
        assert convert.type_number(convert.type_name(kind)) == kind
    assert {convert.type_name(kind) for kind in action_pb2.ApprovalType.values()[1:]} == ALL_TYPES
    for environment in action_pb2.Environment.values()[1:]:
        assert convert.environment_number(convert.environment_name(environment, "")) == environment
    assert {f"APPROVAL_STATE_{s.name}": int(s) for s in State} == dict(approval_pb2.ApprovalState.items()[1:])
    assert {f"POLICY_OUTCOME_{o.name}": int(o) for o in Outcome} == dict(risk_pb2.PolicyOutcome.items()[1:])


def test_an_unspecified_environment_is_the_deployments() -> None:
    assert convert.context_of(risk_pb2.ActionContext(), "production").environment == "production"


def test_where_an_action_happens_reaches_the_assessment() -> None:
    message = risk_pb2.ActionContext(
        working_directory="/srv/app", links={"out": "/etc"}, agent_rating=risk_pb2.RISK_LEVEL_HIGH
    )
    context = convert.context_of(message, "development")
    assert context == risk.Context(working_dir="/srv/app", links={"out": "/etc"}, agent_rating=risk.Level.HIGH)
    assert convert.context_of(risk_pb2.ActionContext(), "development").agent_rating is None


def test_a_factor_says_where_it_was_found() -> None:
    factors = (risk.Factor("a.b", "a", "why", 1, span=risk.Span(0, 4)), risk.Factor("a.c", "a", "why", 1))
    message = risk_pb2.Assessment()
    convert.put_assessment(message, risk.Assessment(risk.Level.LOW, 0, factors), "")
    placed, derived = message.factors
    assert (placed.span.start, placed.span.end, placed.HasField("span")) == (0, 4, True)
    assert not derived.HasField("span")


def test_the_content_of_files_is_kept_where_it_is_little() -> None:
    half = "x" * (convert.KEPT_CONTENT_BYTES // 2)
    states = [risk_pb2.FileState(path=f"{n}", exists=True, content=half, size_bytes=5) for n in range(3)]
    kept = convert.kept_context(risk_pb2.ActionContext(agent="coder", observed=states)).observed
    assert [(state.path, state.HasField("content"), state.size_bytes) for state in kept] == [
        ("0", True, 5),
        ("1", True, 5),
        ("2", False, 5),
    ]
