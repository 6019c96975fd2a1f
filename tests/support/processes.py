"""Services as real processes, for tests that start, drain and kill them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.tokens import JWT_SECRET

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 50.0


class ServiceProcess:
    """`python -m <module>` with settings from the environment; its log goes to `<directory>/<name>.log`."""

    def __init__(self, module: str, directory: Path, environment: Mapping[str, str], *, name: str = "") -> None:
        self.module = module
        self.name = name or module.rpartition(".")[2]
        self.log_path = directory / f"{self.name}.log"
        self._ready = directory / f"{self.name}.ready"
        self.arguments: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HARNESS_", "REDIS_"))}
        self._environment = {
            **inherited,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "sdk", "gen/python")),
            "HARNESS_LISTEN": "127.0.0.1:0",
            "HARNESS_READY_FILE": str(self._ready),
            "HARNESS_JWT_SECRET": JWT_SECRET,
            "HARNESS_LOG_FORMAT": "json",
            **environment,
        }

    async def start(self) -> str:
        """Start it and wait until it serves; returns its address. Raises RuntimeError, with its log, if it ends."""
        await self.launch()
        return await self.ready()

    async def ready(self) -> str:
        """Wait until it serves; returns its address. Raises as start does."""
        async with asyncio.timeout(_START_SECONDS):
            while not self._ready.exists():
                if self.process.returncode is not None:
                    raise RuntimeError(f"{self.module} ended with {self.process.returncode}:\n{self.log()}")
                await asyncio.sleep(0.02)
        return self._ready.read_text()

    async def launch(self) -> None:
        """Start it without waiting."""
        self._ready.unlink(missing_ok=True)
        with self.log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                *self.arguments,
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    def log(self) -> str:
        return self.log_path.read_text()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end. Returns its exit code. Safe to repeat."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), timeout=30)

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)
