"""The gateway as a real process in front of a stack of real services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from motherharness.devstack import Stack
from tests.support.processes import ServiceProcess


@asynccontextmanager
async def gateway_of(stack: Stack, directory: Path) -> AsyncIterator[str]:
    """Start a gateway that serves a stack, its log in a directory; gives its address as `http://host:port`."""
    process = ServiceProcess(
        "services.gateway",
        directory,
        {f"HARNESS_{name.upper()}_ADDRESS": stack.address(name) for name in ("orchestrator", "approval", "backup")},
    )
    try:
        yield f"http://{await process.start()}"
    finally:
        await process.stop()
