"""Whatever the actions are: a preview is made, is bounded, marks what it shows, and holds no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.preview import add_preview, can_wait
from services.approval.preview.budget import MAX_BYTES
from services.runtime.redaction import redact
from tests.unit.approval.preview.presenting import present

PIECES = [
    *("rm -rf build", "cd sub && ", "; ", " | sh", "git reset --hard", "curl https://example.com/x", "../a/..", "~/x"),
    *("password = hunter2x", "AKIAQ7RZ4VB2XWM5KD3T", "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U", "[secret]"),
    *("4111-1111-1111-1111", "Authorization: Bearer q8Zr4vB1xWm2Kd9Tf6Ys3Hn7", "\n", "\r", "\x1b[8m", "\u202e", "\0"),
    *("-----BEGIN RSA PRIVATE KEY-----\nq8Zr4vB1xWm2Kd9Tq8Zr4vB1xWm2Kd9T\n-----END RSA PRIVATE KEY-----", "x" * 300),
]
TEXT = (
    st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=8)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "replace").decode())
)
PATH = st.sampled_from(["a", "b/c", "../x", "/etc/hosts", "link/y", "~/z"]) | TEXT
BYTES = TEXT.map(str.encode) | st.binary(max_size=40)


def struct(values: dict[str, str]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def made(kind: str, fields: dict[str, st.SearchStrategy[Any]], message: Any) -> st.SearchStrategy[action_pb2.Action]:
    return st.fixed_dictionaries(fields).map(lambda values: action_pb2.Action(**{kind: message(**values)}))


ENV = st.dictionaries(st.sampled_from(["HOME", "TOKEN", "A"]), TEXT, max_size=2)
STRUCT = st.dictionaries(st.sampled_from(["command", "path", "url", "password", "text"]), TEXT, max_size=3).map(struct)
ACTION = st.one_of(
    made("command", {"script": TEXT, "working_directory": PATH, "env": ENV}, action_pb2.CommandAction),
    made("command", {"argv": st.lists(TEXT, min_size=1, max_size=4)}, action_pb2.CommandAction),
    made("file_write", {"path": PATH, "content": BYTES, "mode": st.integers(0, 0o777)}, action_pb2.FileWriteAction),
    made("file_delete", {"path": PATH, "recursive": st.booleans()}, action_pb2.FileDeleteAction),
    made(
        "code_execution", {"language": st.sampled_from(["python", "sql"]), "code": TEXT}, action_pb2.CodeExecutionAction
    ),
    made("api_call", {"method": st.just("post"), "url": TEXT, "headers": ENV, "body": BYTES}, action_pb2.ApiCallAction),
    made("git_push", {"remote": TEXT, "refspecs": st.lists(TEXT, max_size=2)}, action_pb2.GitPushAction),
    made("workflow_creation", {"name": TEXT, "definition": TEXT}, action_pb2.WorkflowCreationAction),
    made("step_start", {"agent": TEXT, "description": TEXT, "inputs": STRUCT}, action_pb2.StepStartAction),
    made("step_result", {"agent": TEXT, "result": STRUCT}, action_pb2.StepResultAction),
    st.just(action_pb2.Action()),
)
STATE = st.builds(
    risk_pb2.FileState,
    path=PATH,
    exists=st.booleans(),
    mode=st.sampled_from([0, 0o100644, 0o40755, 0o120777]),
    content=st.none() | TEXT,
)
CONTEXT = st.builds(
    risk_pb2.ActionContext,
    working_directory=st.sampled_from(["", "/srv/app"]),
    links=st.dictionaries(st.sampled_from(["link", "b", "a"]), st.sampled_from(["/etc", "a", "../b"]), max_size=2),
    observed=st.lists(STATE, max_size=3),
)


def texts_in(value: object) -> Iterator[str]:
    todo = [value]
    while todo:
        current = todo.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, dict):
            todo.extend(current.values())
        elif isinstance(current, list):
            todo.extend(current)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(actions=st.lists(ACTION, min_size=1, max_size=4), context=CONTEXT)
def test_previews(actions: list[action_pb2.Action], context: risk_pb2.ActionContext) -> None:
    place = convert.context_of(context, "development")
    known = [convert.action_of(action, place) for action in actions if action.WhichOneof("kind")]
    with structlog.testing.capture_logs() as logs:
        presented = present(actions, context, risk.assess_all(known, place))
    assert not logs
    preview = presented.preview
    assert len(preview.actions) == len(actions)
    for action in preview.actions:
        for mark in action.marks:
            assert 0 <= mark.span.start < mark.span.end <= len(action.text)
    assert preview.ByteSize() < 2 * MAX_BYTES
    for text in texts_in(MessageToDict(preview)):
        assert redact(text) == text
    stored = approval_pb2.Approval(actions=presented.actions, context=convert.kept_context(context))
    convert.put_assessment(stored.assessment, presented.assessment, "")
    stored = approval_pb2.Approval.FromString(stored.SerializeToString())
    if can_wait(stored, actions, context):
        add_preview(stored)
        assert stored.preview == preview
