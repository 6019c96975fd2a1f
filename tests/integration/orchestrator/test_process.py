"""`python -m services.orchestrator` as a process."""

from __future__ import annotations

from pathlib import Path

from tests.integration.orchestrator.conftest import Someone, Stack
from tests.support.processes import ServiceProcess


async def test_it_starts_serves_and_stops_in_order(stack: Stack, tmp_path: Path) -> None:
    environment = {
        "HARNESS_REDIS_URL": stack.redis_url("orchestrator"),
        "HARNESS_APPROVAL_ADDRESS": stack.approval,
        "HARNESS_SHARDS": "4",
    }
    process = ServiceProcess("services.orchestrator", tmp_path, environment)
    someone = Someone(await process.start(), "user")
    assert (await someone.task("research it")).plan.steps
    await someone.channel.close()
    assert await process.stop() == 0
    assert "Traceback" not in process.log()
