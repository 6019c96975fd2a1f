"""A server of the runtime in this process, and ways to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from pydantic import SecretStr

from services.runtime.server import Server, ServiceRegistration
from services.runtime.settings import ServiceSettings
from tests.integration.runtime.echo import EchoServicer, EchoStub, add_echo
from tests.support.tokens import JWT_SECRET

DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.PreconditionFailure,
)


def echo_settings(**values: Any) -> ServiceSettings:
    return ServiceSettings(**{"jwt_secret": SecretStr(JWT_SECRET), "drain_seconds": 5.0, **values})


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of an error by type name, as a client unpacks them."""
    found: dict[str, Any] = {}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            assert isinstance(value, bytes)
            status = status_pb2.Status.FromString(value)
            assert (status.code, status.message) == (error.code().value[0], error.details())
            for packed in status.details:
                for kind in DETAILS:
                    detail: Message = kind()
                    if packed.Unpack(detail):
                        found[kind.__name__] = detail
    return found


@pytest.fixture
def servicer() -> EchoServicer:
    return EchoServicer()


@pytest.fixture
async def server(servicer: EchoServicer) -> AsyncIterator[Server]:
    settings = echo_settings(max_message_bytes=1024 * 1024)
    async with Server(settings, name="echo", services=[ServiceRegistration(add_echo, servicer)]) as running:
        yield running


@pytest.fixture
async def plain(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A channel without any of our conveniences."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def echo(plain: grpc.aio.Channel) -> EchoStub:
    return EchoStub(plain)
