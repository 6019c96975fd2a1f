"""One stack of real processes for all end-to-end tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from motherharness import Client
from motherharness.devstack import Stack

# Short, so that what waits for a lease or a sweep is over within a test.
ENVIRONMENT = {
    "orchestrator": {"HARNESS_LEASE_SECONDS": "3"},
    "approval": {"HARNESS_APPROVAL_SWEEP_SECONDS": "0.2", "HARNESS_APPROVAL_PUBLISH_SECONDS": "0.2"},
}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack(environment=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="session")
async def alice(stack: Stack) -> AsyncIterator[Client]:
    """A user, who owns what the tests make."""
    async with Client(stack.connection("alice")) as client:
        yield client


@pytest.fixture(scope="session")
async def bob(stack: Stack) -> AsyncIterator[Client]:
    """An approver."""
    async with Client(stack.connection("bob")) as client:
        yield client


@pytest.fixture(scope="session")
async def carol(stack: Stack) -> AsyncIterator[Client]:
    """Another approver."""
    async with Client(stack.connection("carol", "approver")) as client:
        yield client


@pytest.fixture(scope="session")
async def root(stack: Stack) -> AsyncIterator[Client]:
    """An admin."""
    async with Client(stack.connection("root")) as client:
        yield client
