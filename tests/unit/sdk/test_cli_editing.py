"""An action as the text that people edit, and what becomes of it."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.approval.v1 import approval_pb2
from harness.common.v1 import action_pb2
from harness.common.v1.action_pb2 import Action
from motherharness.cli.editing import EditError, editable, edited, in_editor, pick, revised

SCRIPT = Action(command=action_pb2.CommandAction(script="rm -rf build", working_directory="src"))
PROGRAM = Action(command=action_pb2.CommandAction(argv=["rm", "-rf", "ü"], env={"A": "1"}))
WRITE = Action(file_write=action_pb2.FileWriteAction(path="a.json", content=b'{"a": 1}', mode=0o600))
DELETE = Action(file_delete=action_pb2.FileDeleteAction(path="a", recursive=True))
CODE = Action(code_execution=action_pb2.CodeExecutionAction(language="Python", code="print(1)\n"))
CALL = Action(api_call=action_pb2.ApiCallAction(method="POST", url="https://x.example", body=b"hello"))
PUSH = Action(git_push=action_pb2.GitPushAction(remote="origin", refspecs=["main"], force=True))
FLOW = Action(workflow_creation=action_pb2.WorkflowCreationAction(name="n", definition="on: push"))


@pytest.mark.parametrize("action", [SCRIPT, PROGRAM, WRITE, DELETE, CODE, CALL, PUSH, FLOW])
def test_what_is_not_changed_is_the_same_action(action: Action) -> None:
    assert edited(action, editable(action).text) == action
    assert edited(action, editable(action).text + "\n") == action or editable(action).text.endswith("\n")


def test_only_the_text_changes() -> None:
    changed = edited(SCRIPT, "rm -rf build/tmp\n")
    assert changed.command.script == "rm -rf build/tmp"
    assert changed.command.working_directory == "src"
    assert edited(WRITE, "{}\n").file_write == action_pb2.FileWriteAction(path="a.json", content=b"{}", mode=0o600)
    assert edited(CODE, "print(2)\n").code_execution.code == "print(2)\n"
    given = json.loads(editable(CALL).text)
    assert given == {"method": "POST", "url": "https://x.example", "body": "hello"}
    assert edited(CALL, json.dumps({**given, "body": "bye"})).api_call.body == b"bye"
    assert [editable(each).suffix for each in (SCRIPT, PROGRAM, WRITE, CODE)] == [".sh", ".json", ".json", ".py"]


@pytest.mark.parametrize("path", ["a.\x1b[2J", "a.b\nc", "a." + "x" * 300, "a.;rm", "a"])
def test_a_path_gives_a_file_here_no_odd_name(path: str) -> None:
    assert editable(Action(file_write=action_pb2.FileWriteAction(path=path, content=b"x"))).suffix == ""


@pytest.mark.parametrize(
    ("action", "text", "said"),
    [
        (SCRIPT, " \n", "is empty"),
        (PUSH, "[]", "one JSON object"),
        (PUSH, "{", "is no git_push as JSON"),
        (PUSH, '{"to": "x"}', "is no git_push as JSON"),
        (Action(step_start=action_pb2.StepStartAction(step_id="a")), "x", "cannot be edited"),
        (Action(step_result=action_pb2.StepResultAction(step_id="a")), "x", "cannot be edited"),
        (Action(file_write=action_pb2.FileWriteAction(path="a", content=b"\xff")), "x", "no UTF-8"),
    ],
)
def test_what_is_no_such_action_is_refused(action: Action, text: str, said: str) -> None:
    with pytest.raises(EditError, match=said):
        edited(action, text)


def test_which_action_is_meant() -> None:
    one, two = approval_pb2.Approval(actions=[SCRIPT]), approval_pb2.Approval(actions=[SCRIPT, CODE])
    assert (pick(one, 0), pick(one, 1), pick(two, 2)) == (0, 0, 1)
    for approval, number in ((two, 0), (two, 3), (one, 2), (approval_pb2.Approval(), 0)):
        with pytest.raises(EditError):
            pick(approval, number)
    assert revised(two, 1, "print(3)\n")[0] == SCRIPT
    with pytest.raises(EditError, match="nothing to send"):
        revised(two, 0, "rm -rf build\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip())))
def test_every_script_survives(text: str) -> None:
    assert edited(SCRIPT, text + "\n").command.script == text


def test_the_editor_gets_a_file_of_the_caller_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    notes = f'stat -c %a "$(dirname "$2")" > {tmp_path}/mode\ncat "$2" > {tmp_path}/was\n'
    editor.write_text(f'#!/bin/sh\n{notes}echo new > "$2"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", f"{editor} --wait")
    monkeypatch.delenv("VISUAL", raising=False)
    assert in_editor(editable(SCRIPT)) == "new\n"
    assert (tmp_path / "mode").read_text() == "700\n"
    assert (tmp_path / "was").read_text() == "rm -rf build"
    for command, said in (("false", "ended with 1"), (f"{tmp_path}/none", "set EDITOR"), ("'", "set EDITOR")):
        monkeypatch.setenv("EDITOR", command)
        with pytest.raises(EditError, match=said):
            in_editor(editable(SCRIPT))
