"""A new call needs no change to the gateway: it is in the documents and in Swagger UI once its contract is there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.gateway.documents import routes_of
from tools import contracts

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not contracts.has_go(), reason="the documents come from a tool that is built with Go"),
]

NEW = """
syntax = "proto3";
package harness.orchestrator.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "harness/common/v1/access.proto";

// Greets.
service GreetingService {
  // Greet says hello. NOT_FOUND if nobody has that name. It changes nothing.
  rpc Greet(GreetRequest) returns (GreetResponse) {
    option (google.api.http) = {
      post: "/v1/people/{name}:greet"
      body: "*"
    };
    option (harness.common.v1.access) = {roles: [ROLE_USER]};
  }
}

message GreetRequest {
  string name = 1 [(buf.validate.field).string.max_bytes = 64];
  // In which language.
  string language = 2 [(buf.validate.field).string.pattern = "^[a-z]{2}$"];
  int64 times = 3 [(buf.validate.field).int64.gte = 0];
}

message GreetResponse {
  string greeting = 1;
}
"""


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """The documents of our contracts with one more service in them, as the gateway serves them."""
    root = tmp_path_factory.mktemp("contracts")
    shutil.copytree(contracts.PROTOS, root / "protos")
    (root / "protos/harness/orchestrator/v1/greeting.proto").write_text(NEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contracts, "PROTOS", root / "protos")
        patch.setattr(contracts, "BUILD", root)
        patch.setattr(contracts, "PROTODEPS", root / "protodeps")
        patch.setattr(contracts, "IMAGE", root / "image.binpb")
        contracts.compile_image()
        contracts.generate_openapi(root)
    transport = httpx.ASGITransport(app=Starlette(routes=routes_of(root / "openapi")))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as opened:
        yield opened


@pytest.mark.parametrize("path", ["/documentation/json", "/documentation/orchestrator/json"])
async def test_a_new_call_is_in_the_documents(client: httpx.AsyncClient, path: str) -> None:
    document = (await client.get(path)).json()
    operation: dict[str, Any] = document["paths"]["/v1/people/{name}:greet"]["post"]
    assert operation["operationId"] == "GreetingService_Greet"
    assert operation["summary"] == "Says hello."
    assert operation["description"] == "NOT_FOUND if nobody has that name. It changes nothing.\n\nRoles: user."
    assert operation["responses"]["404"] == {"$ref": "#/components/responses/NotFound"}
    assert operation["parameters"][0]["schema"] == {"type": "string", "maxLength": 64, "minLength": 1}
    body = document["components"]["schemas"]["GreetBody"]
    assert body["required"] == ["language"]
    assert body["properties"]["language"]["description"] == "In which language."
    assert body["properties"]["times"]["pattern"] == "^(0|[1-9][0-9]{0,18})$"
    assert {"name": "GreetingService", "description": "Greets."} in document["tags"]
    # What was there is still there.
    assert "/v1/tasks" in document["paths"]


async def test_a_new_call_is_in_no_document_that_it_does_not_belong_to(client: httpx.AsyncClient) -> None:
    assert "GreetingService" not in (await client.get("/documentation/backup/json")).text
