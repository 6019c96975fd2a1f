"""Commands run in their directory, without the worker's secrets, and nothing of them outlives the step."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.common.v1.action_pb2 import Action, CommandAction
from motherharness.agents.shell import STREAM_JSON_LIMIT, ShellAgent, command_action
from motherharness.errors import TerminalError

ENDS_SECONDS = 50.0  # far less than the commands would take by themselves


async def run(root: Path, **fields: Any) -> dict[str, Any]:
    """Run one command."""
    agent = ShellAgent(root)
    try:
        return await agent.run([Action(command=CommandAction(**fields))])
    finally:
        agent.close()


async def test_script_and_argv(tmp_path: Path) -> None:
    script = await run(tmp_path, script="echo out; echo err >&2; exit 3")
    assert script == {"exit_code": 3, "stdout": "out\n", "stderr": "err\n", "truncated": False, "timed_out": False}
    argv = await run(tmp_path, argv=["printf", "%s", "$HOME; ls"])
    assert argv["stdout"] == "$HOME; ls"


async def test_environment_is_minimal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TOKEN", "secret")
    result = await run(tmp_path, argv=["env"], env={"DECLARED": "yes"})
    names = {line.split("=")[0] for line in result["stdout"].splitlines()}
    assert names == {"PATH", "HOME", "LANG", "DECLARED"}


async def test_working_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert (await run(tmp_path, script="pwd", working_directory="sub"))["stdout"].strip() == str(tmp_path / "sub")
    assert (await run(tmp_path, argv=["pwd"]))["stdout"].strip() == str(tmp_path)
    (tmp_path / "link").symlink_to("/")
    for directory in ("..", "link", "/"):
        with pytest.raises(TerminalError) as caught:
            await run(tmp_path, script="pwd", working_directory=directory)
        assert caught.value.reason == "PATH_ESCAPES"


async def test_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    script = "trap '' TERM; (trap '' TERM; echo $BASHPID > child; exec sleep 600) & sleep 600"
    async with asyncio.timeout(ENDS_SECONDS):
        result = await run(tmp_path, script=script, timeout_seconds=1)
    assert result["timed_out"]
    gone(int((tmp_path / "child").read_text()))


async def test_cancelling_kills_the_command(tmp_path: Path) -> None:
    task = asyncio.create_task(run(tmp_path, script="echo $$ > pid; exec sleep 60"))
    await asyncio.to_thread(wait_for_content, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone(int((tmp_path / "pid").read_text()))


async def test_background_processes_end_with_the_command(tmp_path: Path) -> None:
    async with asyncio.timeout(ENDS_SECONDS):
        result = await run(tmp_path, script="sleep 600 & echo $! > pid; echo done")
    assert result["stdout"] == "done\n"
    gone(int((tmp_path / "pid").read_text()))


def wait_for_content(path: Path) -> None:
    """Wait until a file has content, for at most five seconds."""
    for _ in range(500):
        if path.exists() and path.read_text().endswith("\n"):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} stays empty")


def gone(pid: int) -> None:
    """Wait until a process has ended, for at most five seconds."""
    for _ in range(500):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} lives on")


async def test_output_is_capped(tmp_path: Path) -> None:
    result = await run(tmp_path, script="echo first; yes é | head -c 5000000; echo last; head -c 100000 /dev/zero >&2")
    assert result["truncated"]
    assert result["stdout"].startswith("first\n")
    assert result["stdout"].endswith("last\n")
    assert "bytes left out" in result["stdout"]
    assert len(result["stdout"].encode()) <= STREAM_JSON_LIMIT
    assert len(result["stderr"]) * 6 <= STREAM_JSON_LIMIT * 1.1


async def test_unknown_program(tmp_path: Path) -> None:
    with pytest.raises(TerminalError) as caught:
        await run(tmp_path, argv=["no-such-program"])
    assert caught.value.reason == "COMMAND_NOT_FOUND"


async def test_no_descriptor_leaks(tmp_path: Path) -> None:
    await run(tmp_path, script="true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await run(tmp_path, script="true")
        with pytest.raises(TerminalError):
            await run(tmp_path, argv=["no-such-program"])
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"command": "ls", "argv": ["ls"]},
        {"command": " "},
        {"argv": []},
        {"argv": [1]},
        {"command": "ls", "env": {"A": 1}},
        {"command": "ls", "timeout_seconds": -1},
        {"command": "ls", "cwd": "/"},
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any]) -> None:
    with pytest.raises(TerminalError) as caught:
        command_action(inputs)
    assert caught.value.reason == "INVALID_INPUTS"


def test_commands_end_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib\n"
        "from harness.common.v1.action_pb2 import Action, CommandAction\n"
        "from motherharness.agents.shell import ShellAgent\n"
        f"agent = ShellAgent(pathlib.Path({str(tmp_path)!r}))\n"
        # The pause gives the worker the moment between starting a command and telling its guardian.
        "script = \"trap '' TERM HUP; sleep 60 & echo $! > child; sleep 1; echo $$ > pid; wait\"\n"
        "asyncio.run(agent.run([Action(command=CommandAction(script=script))]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path) as worker:
        wait_for_content(tmp_path / "pid")
        worker.kill()
    gone(int((tmp_path / "pid").read_text()))
    gone(int((tmp_path / "child").read_text()))
