"""Nothing a step says makes a file operation leave the root."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.v1.action_pb2 import Action, FileDeleteAction, FileWriteAction
from motherharness.agents.files import FilesAgent
from motherharness.agents.paths import open_directory
from motherharness.errors import TerminalError

parts = st.sampled_from(["..", ".", "", "a", "b", "out", "in", "up", "etc", "~", "a b", "ü", "\0", "-rf"])
paths = st.lists(parts, min_size=1, max_size=6).map("/".join)


def snapshot(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory with its content."""
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@given(st.sampled_from(["", "/"]), paths)
@settings(max_examples=300)
def test_no_path_reaches_outside(prefix: str, path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outside, root = Path(folder, "outside"), Path(folder, "root")
        (outside / "a").mkdir(parents=True)
        (outside / "secret").write_text("secret")
        (outside / "a" / "b").write_text("secret")
        (root / "a").mkdir(parents=True)
        (root / "out").symlink_to(outside)
        (root / "a" / "up").symlink_to("../..")
        (root / "in").symlink_to("a")
        before = snapshot(outside)
        agent = FilesAgent(root)
        for action in (
            Action(file_write=FileWriteAction(path=prefix + path, content=b"x")),
            Action(file_delete=FileDeleteAction(path=prefix + path, recursive=True)),
        ):
            with contextlib.suppress(TerminalError, OSError, IndexError):
                asyncio.run(agent.run([action]))
        assert snapshot(outside) == before
        assert sorted(os.listdir(folder)) == ["outside", "root"]


def reason_of(root: Path, action: Action) -> str:
    """Return the code with which an action is refused."""
    with pytest.raises(TerminalError) as caught:
        asyncio.run(FilesAgent(root).run([action]))
    return caught.value.reason


def test_refusals_say_why(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "file-link").symlink_to(tmp_path / "target")

    def write(path: str) -> Action:
        return Action(file_write=FileWriteAction(path=path, content=b"x"))

    assert reason_of(root, write("../x")) == "PATH_ESCAPES"
    assert reason_of(root, write("dir/../x")) == "PATH_ESCAPES"
    assert reason_of(root, write("/etc/passwd")) == "PATH_ESCAPES"
    assert reason_of(root, write("link/x")) == "PATH_ESCAPES"
    assert reason_of(root, write("file-link")) == "PATH_ESCAPES"
    assert reason_of(root, write("dir")) == "IS_A_DIRECTORY"
    assert reason_of(root, Action(file_delete=FileDeleteAction(path="dir"))) == "IS_A_DIRECTORY"
    assert reason_of(root, Action(file_delete=FileDeleteAction(path="none"))) == "PATH_NOT_FOUND"
    assert not (tmp_path / "target").exists()


def test_a_link_is_deleted_and_not_its_target(tmp_path: Path) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    (target / "kept").write_text("kept")
    (root / "link").symlink_to(target)
    asyncio.run(FilesAgent(root).run([Action(file_delete=FileDeleteAction(path="link", recursive=True))]))
    assert not (root / "link").is_symlink()
    assert (target / "kept").read_text() == "kept"


def test_an_absolute_path_below_the_root_is_that_file(tmp_path: Path) -> None:
    write = FileWriteAction(path=str(tmp_path / "new" / "file"), content=b"x", mode=0o600)
    asyncio.run(FilesAgent(tmp_path).run([Action(file_write=write)]))
    assert (tmp_path / "new" / "file").read_bytes() == b"x"
    assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "new") == ["file"]


def test_read_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    agent: Any = FilesAgent(tmp_path)
    with pytest.raises(TerminalError, match="not a regular file"):
        agent._read(("pipe",), 0, 0)


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (tmp_path / "file").write_text("outside")
    (root / "dir").rmdir()
    (root / "dir").symlink_to(tmp_path)
    with pytest.raises(TerminalError) as caught, open_directory(root, ("dir",)):
        pass
    assert caught.value.reason == "PATH_ESCAPES"
