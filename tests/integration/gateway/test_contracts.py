"""A new call with a rule is served by itself, and a gateway with a wrong rule is not."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from pydantic import SecretStr

from services.gateway.process import Gateway
from services.runtime.errors import ConfigurationError
from services.runtime.server import Server, ServiceRegistration
from services.runtime.settings import ServiceSettings
from tests.integration.gateway.conftest import client_of, gateway_settings
from tests.support.shelf import DESCRIPTOR, add, compile_proto
from tests.support.tokens import JWT_SECRET

GREETER = """
syntax = "proto3";
package harness.greeter.v1;
import "google/api/annotations.proto";
import "harness/common/v1/access.proto";
service GreeterService {
  rpc Greet(GreetRequest) returns (GreetResponse) {
    option (google.api.http) = {get: "/v1/greetings/{name}"};
    option (harness.common.v1.access) = {public: true};
  }
}
message GreetRequest { string name = 1; }
message GreetResponse { string text = 1; }
"""


class Greeter:
    """The servicer of a contract that nothing of the gateway has heard of."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def Greet(self, request: Any, context: Any) -> Any:
        return self.response(text=f"hello {request.name}")


async def test_a_new_call_is_served_without_a_change() -> None:
    file = compile_proto(GREETER, "greeter.proto")
    descriptor = file.services_by_name["GreeterService"]
    servicer = Greeter(GetMessageClass(file.message_types_by_name["GreetResponse"]))
    registration = ServiceRegistration(lambda it, server: add(it, server, descriptor), servicer)
    settings = ServiceSettings(jwt_secret=SecretStr(JWT_SECRET))
    async with (
        Server(settings, name="greeter", services=[registration]) as server,
        Gateway(gateway_settings(), services=[descriptor], upstreams={"greeter": server.address}) as gateway,
        client_of(gateway) as client,
    ):
        assert (await client.get("/v1/greetings/world")).json() == {"text": "hello world"}


async def test_a_service_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ShelfService has HTTP rules, and the gateway knows no address"):
        Gateway(gateway_settings(), services=[DESCRIPTOR], upstreams={})


async def test_the_contracts_of_the_project_are_served() -> None:
    async with Gateway(gateway_settings()) as gateway, client_of(gateway) as client:
        assert (await client.get("/v1/projects")).status_code == 503
        assert set((await client.get("/health")).json()["services"]) == {"orchestrator", "approval", "backup"}
