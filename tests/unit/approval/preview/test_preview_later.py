"""What nobody is asked about gets its preview when somebody looks, where it is the same then."""

from __future__ import annotations

from typing import Any

import pytest

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert
from services.approval.facts import facts_of
from services.approval.judge import judge
from services.approval.policy import ALL_TYPES, Policy
from services.approval.preview import add_preview
from services.approval.preview.later import MAX_BYTES
from services.approval.risk import Level
from tests.unit.approval.preview.presenting import present

TOKEN = "ghp_q8Zr4vB1xWm2Kd9Tf6Ys3Hn7Lc5Pj0Ga1E2U"
OPEN = Policy(enabled=True, max_level=Level.HIGH, allowed_types=ALL_TYPES)


def stored(action: action_pb2.Action, *, asks: bool = False, **context: Any) -> approval_pb2.Approval:
    """What is stored of an action that passes, or that a person is asked about."""
    where = risk_pb2.ActionContext(**context)
    judged = judge([action], convert.context_of(where, "development"), OPEN, require_approval=asks)
    return approval_pb2.Approval.FromString(facts_of([action], where, judged, "to see").body)


def command(script: str) -> action_pb2.Action:
    return action_pb2.Action(command=action_pb2.CommandAction(script=script))


def write(content: bytes) -> action_pb2.Action:
    return action_pb2.Action(file_write=action_pb2.FileWriteAction(path="a/../b", content=content))


@pytest.mark.parametrize(
    "action", [command("ls && rm notes.txt"), command("cat ../x"), write(b"x = 1\n")], ids=["delete", "path", "write"]
)
def test_it_is_the_one_that_would_have_been_made(action: action_pb2.Action) -> None:
    where: dict[str, Any] = {"working_directory": "/srv/app"}
    later, at_once = stored(action, **where), stored(action, asks=True, **where)
    assert not later.HasField("preview")
    assert at_once.preview.actions
    add_preview(later)
    assert later.preview == at_once.preview
    add_preview(at_once)
    assert later.preview == at_once.preview


@pytest.mark.parametrize(
    ("action", "context"),
    [
        (command(f"echo {TOKEN} && ls"), {}),
        (command("ls"), {"working_directory": f"/srv/{TOKEN}"}),
        (write(f"key = {TOKEN}".encode()), {}),
        (write(b"x = 1\n"), {"observed": [risk_pb2.FileState(path="b", exists=True, content=f"key = {TOKEN}")]}),
        (write(b"y\n"), {"observed": [risk_pb2.FileState(path="b", exists=True, content="x\n" * 40_000)]}),
        (command("ls " + "a" * MAX_BYTES), {}),
    ],
    ids=["secret", "secret-folder", "secret-content", "secret-before", "content-not-kept", "large"],
)
def test_what_is_masked_or_left_out_is_previewed_at_once(action: action_pb2.Action, context: dict[str, Any]) -> None:
    found = stored(action, **context)
    assert found.HasField("preview")
    assert TOKEN not in str(found)
    where = risk_pb2.ActionContext(**context)
    judged = judge([action], convert.context_of(where, "development"), OPEN, require_approval=False)
    assert found.preview == present([action], where, judged.assessment).preview
