"""Fixtures of the approval service's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.approval.harness import Approvals, running
from tests.support.redis_server import RedisServer


@pytest.fixture
async def service(fresh_redis: RedisServer) -> AsyncIterator[Approvals]:
    """A service over an empty Redis."""
    async with running(fresh_redis) as approvals:
        yield approvals
