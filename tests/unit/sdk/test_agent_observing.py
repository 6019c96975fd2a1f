"""What built-in agents find before they ask: links that decide what a path means, and files they would replace."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from harness.approval.v1.risk_pb2 import RISK_LEVEL_HIGH, FileState
from harness.common.v1.action_pb2 import Action, FileWriteAction
from harness.orchestrator.v1.agent_pb2 import ProposeActionsRequest
from motherharness import Circumstances
from motherharness.agents import observing
from motherharness.agents.observing import file_state, of_command, of_file
from motherharness.circumstances import MAX_CONTENT_BYTES, MAX_PROPOSAL_BYTES


def links(root: Path, *texts: str, folder: str = "") -> dict[str, str]:
    return dict(of_command(texts, folder, root).links)


def test_links_on_the_way_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "here").symlink_to("real")
    (tmp_path / "real" / "deep" / "up").symlink_to("../../out")
    (tmp_path / "unused").symlink_to("/root")
    assert links(tmp_path, "rm -rf 'out/x'") == {"out": "/etc"}
    # What a link leads to may be, or go through, another one; `..` starts from where it leads.
    expected = {"here": "real", "real/deep/up": "../../out", "out": "/etc"}
    assert links(tmp_path, "cat here/deep/up/passwd") == expected
    assert links(tmp_path, f"cat {tmp_path}/here/deep/../deep/up/passwd") == expected
    assert links(tmp_path, "cat real/deep/../../../elsewhere") == {}
    assert links(tmp_path, "ls", "--into=out") == {"out": "/etc"}


def test_links_are_seen_from_where_a_command_goes(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "out").symlink_to("/etc")
    found = {"a/b/out": "/etc"}
    assert links(tmp_path, "rm -rf out/*", folder="a/b") == found
    assert links(tmp_path, "cd a && cd b && rm -rf out") == found
    assert links(tmp_path, "git", "-C", "a/b", "add", "out") == found
    assert links(tmp_path, "rm -rf out") == {}


def test_links_that_lead_round_and_round_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a/b")
    assert links(tmp_path, "cat a") == {"a": "b", "b": "a/b"}


def test_more_than_can_be_looked_up_asks_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_command(["ls src"], "", tmp_path).rating == ""
    monkeypatch.setattr(observing, "MAX_LOOKED_UP", 3)
    assert of_command(["ls a b c d"], "", tmp_path).rating == "unknown"
    assert of_command(["cd x && " * 17], "", tmp_path).rating == "unknown"


def test_a_file_that_would_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("old\n")
    (tmp_path / "notes").chmod(0o640)
    found = of_file("notes", tmp_path)
    (state,) = found.observed
    assert (state.path, state.exists, state.size_bytes, state.content) == ("notes", True, 4, "old\n")
    assert state.sha256 == hashlib.sha256(b"old\n").hexdigest()
    assert (stat.S_ISREG(state.mode), stat.S_IMODE(state.mode)) == (True, 0o640)
    assert found.root == str(tmp_path)


def test_what_cannot_be_shown_is_told_as_far_as_it_can(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * (observing.MAX_CONTENT_BYTES + 1))
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", observing.MAX_HASHED_BYTES + 1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("binary")
    os.mkfifo(tmp_path / "pipe")

    def told(path: str) -> tuple[bool, bool, bool]:
        state = file_state(path, tmp_path)
        assert state is not None
        return state.exists, bool(state.sha256), state.HasField("content")

    assert told("binary") == told("large") == (True, True, False)
    assert told("huge") == told("folder") == told("link") == told("pipe") == (True, False, False)
    assert told("missing") == told("missing/deeper") == (False, False, False)
    for path in ("link/below", "binary/below", "../outside", "/etc/passwd", "", "."):
        assert file_state(path, tmp_path) is None, path
    assert of_file("link", tmp_path).links == {"link": "binary"}


def test_a_proposal_carries_no_more_content_than_it_has_room_for() -> None:
    states = [FileState(path=f"{n}", exists=True, sha256="0" * 64, content="x" * 250_000) for n in range(6)]
    request = ProposeActionsRequest()
    Circumstances("/srv", {"a": "b"}, "high", states).tell(request)
    assert (request.working_directory, dict(request.links), request.agent_rating) == (
        "/srv",
        {"a": "b"},
        RISK_LEVEL_HIGH,
    )
    assert [state.HasField("content") for state in request.observed] == [True] * 4 + [False] * 2
    assert sum(len(state.content) for state in request.observed) <= MAX_CONTENT_BYTES
    assert states[5].HasField("content")
    full = ProposeActionsRequest(
        actions=[Action(file_write=FileWriteAction(path="x", content=bytes(MAX_PROPOSAL_BYTES)))]
    )
    Circumstances(observed=states).tell(full)
    assert not any(state.HasField("content") for state in full.observed)


def test_a_rating_that_is_none_is_a_mistake_of_the_handler() -> None:
    with pytest.raises(ValueError, match="DANGEROUS"):
        Circumstances(rating="dangerous").tell(ProposeActionsRequest())
