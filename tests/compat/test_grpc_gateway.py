"""Our gateway answers as the real grpc-gateway does, built from the same contracts, in front of the same services."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from motherharness.devstack import Stack
from services.gateway.bindings import bindings_of
from services.gateway.contracts import generated_services
from tests.compat.cases import all_cases
from tests.compat.compare import Comparison, Pair, worlds
from tests.compat.differences import DIFFERENCES, explained
from tests.compat.world import Wire
from tools.grpcgateway import build

DOCUMENT = Path(__file__).parents[2] / "docs" / "http.md"
SECTION = "## Differences from grpc-gateway"
ENOUGH, ENOUGH_OF_EACH = 2000, 15
ADDRESSES = ("orchestrator", "approval", "backup")
# What cannot succeed as the examples have it, for what they are about is made elsewhere, or by nobody.
NEVER_GOOD = frozenset(
    {
        "ApprovalService_RedeemGrant",
        "ApprovalService_ReviewBreakGlass",
        "ApprovalService_WithdrawApproval",
        "BackupService_RestoreBackup",
        "RememberedDecisionService_ForgetDecision",
        "WebhookService_RedeliverDeadLetter",
    }
)


@asynccontextmanager
async def grpc_gateway(stack: Stack) -> AsyncIterator[str]:
    """The real one, in front of a stack; gives its address."""
    where = [f"{name}={stack.address(name)}" for name in ADDRESSES]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        build.BINARY, *where, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def compared() -> list[Pair]:
    """The answers of both to every case."""
    # No lease ends while its step is asked about.
    with Stack(agents="", gateway=True, environment={"orchestrator": {"HARNESS_LEASE_SECONDS": "300"}}) as stack:
        wire = Wire(stack)
        try:
            async with grpc_gateway(stack) as theirs:
                comparison = Comparison(stack, stack.address("gateway"), theirs, await worlds(wire))
                return await comparison.run(all_cases())
        finally:
            await wire.close()


@pytest.mark.compat
@pytest.mark.timeout(300)
async def test_answers_are_those_of_grpc_gateway() -> None:
    if not build.current():
        reason = "the real grpc-gateway is not built from these contracts; `make grpc-gateway` does it (needs Go)"
        assert os.environ.get("HARNESS_GRPC_GATEWAY_REQUIRED") != "true", reason
        pytest.skip(reason)
    pairs = await compared()

    unexplained = [pair for pair in pairs if pair.differs - explained(pair)]
    assert not unexplained, "\n\n".join(map(described, unexplained[:20])) + f"\n\n{len(unexplained)} in all"

    idle = [difference.title for difference in DIFFERENCES if not any(map(difference.explains_some_of, pairs))]
    assert not idle, f"these differences are none any more: {idle}"

    cases = Counter(pair.case.rpc for pair in pairs)
    rpcs = {
        f"{found.method.containing_service.name}_{found.method.name}" for found in bindings_of(generated_services())
    }
    assert len(pairs) >= ENOUGH
    assert {rpc for rpc in rpcs if cases[rpc] < ENOUGH_OF_EACH} == set()
    succeeded = {pair.case.rpc for pair in pairs if pair.ours.status == pair.theirs.status == 200}
    assert rpcs - succeeded == NEVER_GOOD


def described(pair: Pair) -> str:
    """A difference, for whoever has to explain it."""
    lines = [f"{pair.case}", f"  {pair.case.method} {pair.case.target.decode('latin-1')[:200]}"]
    for facet in sorted(pair.differs - explained(pair)):
        lines += [f"  {facet}, ours:   {str(pair.ours.facets[facet])[:400]}"]
        lines += [f"  {facet}, theirs: {str(pair.theirs.facets[facet])[:400]}"]
    return "\n".join(lines)


def test_every_difference_is_documented() -> None:
    section = DOCUMENT.read_text().partition(SECTION)[2].partition("\n## ")[0]
    titles = [line.removeprefix("### ") for line in section.splitlines() if line.startswith("### ")]
    assert titles == [difference.title for difference in DIFFERENCES]
