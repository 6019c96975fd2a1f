"""A service process whose imports are done before it starts, for tests that start it a hundred times.

A parent imports the service's modules and forks a child for every start. The child runs `python -m <module>` to the
letter, with a log, settings and connections of its own; what it shares with the others is what an import gives. It is a
process like any other: it drains on SIGTERM, and SIGKILL leaves nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import ROOT, ServiceProcess

_SECONDS = 50.0
_RUNS = 1000  # in place of an exit code


class WarmProcess(ServiceProcess):
    """As `ServiceProcess`; `warm` before anything else, and `cool` at the end."""

    def __init__(self, module: str, directory: Path, environment: Mapping[str, str]) -> None:
        super().__init__(module, directory, environment)
        self._parent: asyncio.subprocess.Process | None = None
        self.pid = 0
        self._code: int | None = None

    async def warm(self) -> None:
        """Start the parent, which imports the service."""
        self._parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, self.module),
            cwd=ROOT,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def launch(self) -> None:
        """Start it without waiting until it serves."""
        self._ready.unlink(missing_ok=True)
        self.pid = await self._ask("fork", str(self.log_path))
        self._code = None

    async def ready(self) -> str:
        """Wait until it serves; returns its address. Raises RuntimeError, with its log, if it ends."""
        async with asyncio.timeout(_SECONDS):
            while not self._ready.exists():
                if not await self.runs():
                    raise RuntimeError(f"{self.module} ended with {self._code}:\n{self.log()}")
                await asyncio.sleep(0.01)
        return self._ready.read_text()

    async def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        if self.pid and self._code is None:
            code = await self._ask("poll", self.pid)
            self._code = None if code == _RUNS else code
        return self.pid > 0 and self._code is None

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end. Returns its exit code. Safe to repeat."""
        if await self.runs():
            os.kill(self.pid, number)
            self._code = await self._ask("wait", self.pid)
        assert self._code is not None, "not started"
        return self._code

    async def cool(self) -> None:
        """End the service, if it runs, and the parent."""
        if self._parent is None:
            return
        try:
            if await self.runs():
                await self.kill()
        finally:
            self._parent.kill()
            await self._parent.wait()

    async def _ask(self, what: str, about: str | int) -> int:
        assert self._parent is not None, "not warm"
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps([what, about]).encode() + b"\n")
        async with asyncio.timeout(_SECONDS):
            return int(await self._parent.stdout.readline())


def _serve(module: str) -> None:
    """Do what each line says: fork a child with a log, or say how a child has ended, at once or when it has."""
    __import__(f"{module}.__main__")
    for line in sys.stdin:
        what, about = json.loads(line)
        if what == "fork":
            answer = os.fork()
            if answer == 0:
                _become(module, Path(about))
        else:
            ended, status = os.waitpid(about, os.WNOHANG if what == "poll" else 0)
            answer = os.waitstatus_to_exitcode(status) if ended else _RUNS
        print(answer, flush=True)


def _become(module: str, log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, place)
    del sys.modules[f"{module}.__main__"]  # it is to run here, not to have been imported
    sys.argv = [module]
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the clean-up of the parent's interpreter, which is not this one's to do.
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
