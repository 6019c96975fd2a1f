"""A gateway in this process, in front of a service of the tests, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.process import Gateway
from services.gateway.settings import GatewaySettings
from services.runtime.server import Server, ServiceRegistration
from services.runtime.settings import ServiceSettings
from tests.support.shelf import DESCRIPTOR, ShelfServicer, add_shelf
from tests.support.tokens import JWT_SECRET


def gateway_settings(**values: Any) -> GatewaySettings:
    return GatewaySettings(
        **{"listen": "127.0.0.1:0", "drain_seconds": 5.0, "gateway_event_grace_seconds": 30.0, **values}
    )


@asynccontextmanager
async def shelf_gateway(upstream: str, **values: Any) -> AsyncIterator[Gateway]:
    """A gateway in front of the service at an address."""
    settings = gateway_settings(**values)
    async with Gateway(settings, services=[DESCRIPTOR], upstreams={"shelf": upstream}) as gateway:
        yield gateway


@asynccontextmanager
async def client_of(gateway: Gateway, **values: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{gateway.address}", timeout=50, **values) as client:
        yield client


@pytest.fixture(scope="session")
async def shelf() -> AsyncIterator[Server]:
    """The service of the tests; its servicer answers with what it got."""
    settings = ServiceSettings(jwt_secret=SecretStr(JWT_SECRET), drain_seconds=1)
    async with Server(settings, name="shelf", services=[ServiceRegistration(add_shelf, ShelfServicer())]) as server:
        yield server


@pytest.fixture(scope="session")
async def gateway(shelf: Server) -> AsyncIterator[Gateway]:
    async with shelf_gateway(shelf.address) as running:
        yield running


@pytest.fixture(scope="session")
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway) as client:
        yield client


@pytest.fixture
async def own_shelf() -> AsyncIterator[tuple[Server, ShelfServicer]]:
    """The service for one test alone, and what it sees."""
    servicer = ShelfServicer()
    settings = ServiceSettings(jwt_secret=SecretStr(JWT_SECRET), drain_seconds=1)
    async with Server(settings, name="shelf", services=[ServiceRegistration(add_shelf, servicer)]) as server:
        yield server, servicer


@pytest.fixture
async def own_gateway(own_shelf: tuple[Server, ShelfServicer]) -> AsyncIterator[Gateway]:
    async with shelf_gateway(own_shelf[0].address) as running:
        yield running
