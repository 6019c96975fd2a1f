"""What actions are about: their types, and what nobody reads."""

from __future__ import annotations

import pytest

from services.approval import risk
from services.approval.survey import types_of, unread_in


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (risk.Command(argv=("ls", "-la", "a b;c")), set()),
        (risk.Command(script="cat README.md"), set()),
        (risk.Command(script="cat README.md > copy"), {"code_execution"}),
        (risk.Command(script="ls; make"), {"code_execution"}),
        (risk.Command(script="cat $(make)"), {"code_execution"}),
        (risk.Command(script="ls\nmake"), {"code_execution"}),
        (risk.Command(argv=("ls",), env={"LD_PRELOAD": "x.so"}), {"code_execution"}),
        (risk.Command(argv=("./ls",)), {"code_execution"}),
        (risk.Command(argv=("make",)), {"code_execution"}),
        (risk.CodeExecution("python", "1"), {"code_execution"}),
        (risk.FileWrite("a"), {"file_write"}),
        (risk.FileDelete("a"), {"file_write"}),
        (risk.ApiCall("GET", "http://a"), set()),
        (risk.ApiCall("POST", "http://a"), {"api_call"}),
        (risk.GitPush("origin"), {"git_push"}),
        (risk.WorkflowCreation("w"), {"workflow_creation"}),
        (risk.StepStart("coder", "Write code to implement feature"), {"code_execution"}),
        (risk.StepStart("researcher", "Research the topic"), set()),
        (risk.StepResult("coder", "d"), set()),
    ],
)
def test_types(action: risk.Action, expected: set[str]) -> None:
    assert types_of(action, "") == expected
    assert types_of(action, "git_push") == expected | {"git_push"}


def test_what_has_no_reader_is_named() -> None:
    read: list[risk.Action] = [
        risk.CodeExecution("Python", "1"),
        risk.FileWrite("a", "text"),
        risk.ApiCall("POST", "http://a", {}, "{}"),
    ]
    assert unread_in(read) == ()
    unread: list[risk.Action] = [
        risk.CodeExecution("cobol", "x"),
        risk.FileWrite("a", b"\xff"),
        risk.ApiCall("POST", "u", {}, b"\xff"),
    ]
    assert len(unread_in(unread)) == 3
