"""The `shell` agent: runs cleared commands in a directory below its root."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.common.v1.action_pb2 import Action, CommandAction, FileDigest
from motherharness.agents import operands
from motherharness.agents.observing import of_command
from motherharness.agents.output import DEFAULT_LIMIT, CappedOutput, fit
from motherharness.agents.paths import open_directory, relative
from motherharness.context import StepContext
from motherharness.errors import RetryableError, TerminalError
from motherharness.guardian import Guardian

DEFAULT_TIMEOUT = 300
# Each of the two streams; together with the rest they stay under the 64 KiB of an action's record.
STREAM_JSON_LIMIT = 28 * 1024
# Seconds between asking a process group to end and killing it.
KILL_GRACE = 2.0
# Seconds that output still in the pipes may take to arrive once the command has ended.
PIPE_GRACE = 1.0
READ_SIZE = 65536
INPUTS = frozenset({"command", "argv", "working_directory", "env", "timeout_seconds", "reason"})


class ShellAgent:
    """Runs one command per step, after it was cleared.

    Inputs: {"command": "make test"} (a bash script) or {"argv": ["make", "test"]}, and optionally "working_directory"
    (below the root), "env" (variables added), "timeout_seconds" (default 300), "reason" (for who decides).
    Result: {"exit_code", "stdout", "stderr", "truncated"}.

    The command gets PATH, HOME (the root), LANG and what "env" declares; nothing else of the worker's environment, so
    no secrets. It leads its own process group, which is killed when it times out, when the step is cancelled, when
    the worker is killed, and, for what it left in the background, when it ends.

    The files that it runs or is given are hashed when it is proposed, and again before it runs: it does not run if they
    are not the same.

    Args:
        root: the directory it works in.
        timeout: seconds a command may take when the step says nothing.
        max_operand_bytes: size of the files a command is given, together; larger ones are refused.
    """

    def __init__(
        self, root: Path, *, timeout: int = DEFAULT_TIMEOUT, max_operand_bytes: int = operands.MAX_BYTES
    ) -> None:
        self._root = root.resolve()
        self._timeout = timeout
        self._max_operand_bytes = max_operand_bytes
        self._guardian = Guardian()

    async def __call__(self, context: StepContext) -> dict[str, Any]:
        """Carry out a step.

        Raises:
            TerminalError: COMMAND_FAILED if the command exits with another code than 0, COMMAND_TIMEOUT,
                INVALID_INPUTS, PATH_ESCAPES, COMMAND_NOT_FOUND, OPERAND_CHANGED, OPERANDS_TOO_MANY, OPERANDS_TOO_LARGE,
                OPERAND_UNREADABLE.
        """
        action = await self.bound(command_action(context.inputs))
        reason = str(context.inputs.get("reason") or context.description)
        words = [action.script, *action.argv, *action.env.values()]
        found = await asyncio.to_thread(of_command, words, action.working_directory, self._root)
        result = await context.perform(Action(command=action), self.run, reason, circumstances=found)
        if result["timed_out"]:
            raise TerminalError(failure_message("the command ran out of time", result), "COMMAND_TIMEOUT")
        if result["exit_code"] != 0:
            what = f"the command exited with {result['exit_code']}"
            raise TerminalError(failure_message(what, result), "COMMAND_FAILED")
        return {key: result[key] for key in ("exit_code", "stdout", "stderr", "truncated")}

    async def bound(self, command: CommandAction) -> CommandAction:
        """Return the command with the hashes of the files that it runs or is given.

        Raises:
            TerminalError: PATH_ESCAPES, OPERANDS_TOO_MANY, OPERANDS_TOO_LARGE, OPERAND_UNREADABLE.
        """
        parts = relative(command.working_directory or ".", self._root)
        found: list[FileDigest] = []
        try:
            with open_directory(self._root, parts) as directory:
                found = await self._operands(command, directory, parts)
        except TerminalError as error:
            # Not now, or, for a command that was performed, not any more: that is for whoever runs it to say.
            if error.reason != "PATH_NOT_FOUND":
                raise
        bound = CommandAction()
        bound.CopyFrom(command)
        bound.ClearField("operands")
        bound.operands.extend(found)
        return bound

    async def _operands(self, command: CommandAction, directory: int, parts: tuple[str, ...]) -> list[FileDigest]:
        return await asyncio.to_thread(
            operands.find,
            self._root,
            command,
            # The directory that was opened, wherever it has been moved since.
            working=Path(_path_of(directory, self._root, parts)),
            path=self._environment(command.env)["PATH"],
            max_bytes=self._max_operand_bytes,
        )

    async def run(self, actions: Sequence[Action]) -> dict[str, Any]:
        """Run the command of one action to its end, if the files it is bound to are as they were.

        Returns:
            {"exit_code", "stdout", "stderr", "truncated", "timed_out"}; exit codes of signals are negative.
        """
        command = actions[0].command
        argv = list(command.argv) or [_bash(), "-c", command.script]
        environment = self._environment(command.env)
        if shutil.which(argv[0], path=environment["PATH"]) is None and "/" not in argv[0]:
            raise TerminalError(f"there is no program {argv[0]!r} on the PATH", "COMMAND_NOT_FOUND")
        parts = relative(command.working_directory or ".", self._root)
        with open_directory(self._root, parts) as directory:
            operands.compare(command.operands, await self._operands(command, directory, parts))
            return await self._spawn(
                argv, environment, _path_of(directory, self._root, parts), command.timeout_seconds or self._timeout
            )

    def close(self) -> None:
        """End what still runs; a worker that simply ends has the same effect."""
        self._guardian.close()

    def _environment(self, declared: Mapping[str, str]) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": str(self._root), "LANG": "C.UTF-8", **declared}

    async def _spawn(
        self, argv: list[str], environment: dict[str, str], directory: str, timeout: int
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        stdout, stderr = CappedOutput(DEFAULT_LIMIT // 2), CappedOutput(DEFAULT_LIMIT // 2)
        with contextlib.ExitStack() as pipes:
            out, err = Pipe(loop, stdout), Pipe(loop, stderr)
            pipes.callback(out.close)
            pipes.callback(err.close)
            self._guardian.ready()
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out.write_end,
                    stderr=err.write_end,
                    cwd=directory,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise TerminalError(f"cannot start {argv[0]!r}: {error}", "COMMAND_NOT_FOUND") from error
            self._guardian.started(process.pid)
            pipes.callback(self._guardian.ended, process.pid)
            out.started()
            err.started()
            timed_out = False
            try:
                await asyncio.wait_for(process.wait(), timeout)
            except TimeoutError:
                timed_out = True
                await _end_group(process)
            except asyncio.CancelledError:
                await asyncio.shield(asyncio.create_task(_end_group(process)))
                raise
            # What the command left running in the background ends with the step.
            _signal_group(process.pid, signal.SIGKILL)
            await asyncio.wait({out.drained, err.drained}, timeout=PIPE_GRACE)
        if process.returncode is None:
            raise RetryableError("the command could not be ended", "COMMAND_STUCK")
        return {
            "exit_code": process.returncode,
            "stdout": fit(stdout.text(), STREAM_JSON_LIMIT),
            "stderr": fit(stderr.text(), STREAM_JSON_LIMIT),
            "truncated": stdout.truncated or stderr.truncated,
            "timed_out": timed_out,
        }


class Pipe:
    """Reads one stream of a process into a CappedOutput.

    asyncio's own pipes tie the end of the process to the end of its output, which something in the background can hold
    open for as long as it likes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, output: CappedOutput) -> None:
        self._loop = loop
        self._output = output
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._write_open = True
        self.drained: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._read_end, self._read)

    def started(self) -> None:
        """Close our copy of the write end: the process has its own."""
        os.close(self.write_end)
        self._write_open = False

    def _read(self) -> None:
        try:
            data = os.read(self._read_end, READ_SIZE)
        except BlockingIOError:
            return
        if data:
            self._output.feed(data)
            return
        self._loop.remove_reader(self._read_end)
        if not self.drained.done():
            self.drained.set_result(None)

    def close(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        if self._write_open:
            os.close(self.write_end)
        if not self.drained.done():
            self.drained.cancel()


def command_action(inputs: Mapping[str, Any]) -> CommandAction:
    """Return the action that a step's inputs describe.

    Raises:
        TerminalError: INVALID_INPUTS, naming what is wrong.
    """
    unknown = sorted(set(inputs) - INPUTS)
    if unknown:
        raise _invalid(f"unknown inputs {', '.join(unknown)}; there are {', '.join(sorted(INPUTS))}")
    command, argv = inputs.get("command"), inputs.get("argv")
    if (command is None) == (argv is None):
        raise _invalid('give exactly one of "command" (a bash script) and "argv" (a program and its arguments)')
    if command is not None and (not isinstance(command, str) or not command.strip()):
        raise _invalid('"command" must be a string that is not empty')
    if argv is not None and (not isinstance(argv, list) or not argv or not all(isinstance(a, str) for a in argv)):
        raise _invalid('"argv" must be a list of strings that is not empty')
    env = inputs.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise _invalid('"env" must map names to strings')
    timeout = inputs.get("timeout_seconds", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= 86400:
        raise _invalid('"timeout_seconds" must be a number of seconds up to 86400')
    directory = inputs.get("working_directory", "")
    if not isinstance(directory, str):
        raise _invalid('"working_directory" must be a string')
    return CommandAction(
        script=command or "",
        argv=argv or [],
        working_directory=directory,
        env=env,
        timeout_seconds=int(timeout),
    )


def failure_message(what: str, result: Mapping[str, Any]) -> str:
    """Return what happened with the end of the output, where the cause usually is."""
    tail = str(result["stderr"] or result["stdout"]).strip()[-2000:]
    return f"{what}: {tail}" if tail else what


def _invalid(message: str) -> TerminalError:
    return TerminalError(message, "INVALID_INPUTS")


def _bash() -> str:
    found = shutil.which("bash")
    if found is None:
        raise TerminalError("there is no bash on this worker; give argv instead of command", "COMMAND_NOT_FOUND")
    return found


def _path_of(directory: int, root: Path, parts: tuple[str, ...]) -> str:
    """Return a path to a directory that was opened and checked.

    On Linux the descriptor itself, so that nobody can put a link in its place between the check and the start.
    """
    return f"/proc/self/fd/{directory}" if sys.platform == "linux" else str(root.joinpath(*parts))


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """Ask the process group to end, then kill it."""
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), KILL_GRACE)
    _signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), KILL_GRACE)
