"""The documents and Swagger UI as the gateway serves them: complete, from here only, and asked for again cheaply."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.routing import Route

from services.gateway.documents import routes, routes_of
from services.gateway.documents.files import folder
from services.gateway.settings import GatewaySettings
from services.runtime.errors import ConfigurationError

GEN = Path(__file__).resolve().parents[3] / "gen" / "openapi"
AREAS = ["approval", "backup", "orchestrator"]


@pytest.fixture(scope="module")
def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Starlette(routes=routes_of(folder())))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/documentation/json", "mother-harness.v31"), ("/documentation/v2/json", "mother-harness.swagger")]
    + [(f"/documentation/{area}/json", f"{area}.v31") for area in AREAS]
    + [(f"/documentation/{area}/v2/json", f"{area}.swagger") for area in AREAS],
)
async def test_documents_are_those_of_the_contracts(client: httpx.AsyncClient, path: str, name: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads((GEN / f"{name}.json").read_text())


async def test_yaml_says_the_same(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.yaml")
    assert answer.headers["content-type"] == "application/yaml"
    assert yaml.load(answer.content, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == json.loads(
        (GEN / "mother-harness.v31.json").read_text()
    )


async def test_the_page_loads_from_here_only_and_holds_no_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/documentation")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", "script-src 'self'"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert re.findall(r"<script(?! src=)[^>]*>|<style|style=|\son\w+=", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 7
    for address in loaded:
        assert ":" not in address
        assert not address.startswith("/")
        found = await client.get(f"/{address}")
        assert found.status_code == 200, address
        assert found.headers["x-content-type-options"] == "nosniff"


async def test_the_page_offers_every_document(client: httpx.AsyncClient) -> None:
    setup = (await client.get("/documentation/setup.js")).text
    offered = dict(re.findall(r'"name": "([^"]+)", "url": "([^"]+)"', setup))
    assert offered == {"everything": "documentation/json"} | {a: f"documentation/{a}/json" for a in AREAS}
    assert '"validatorUrl": null' in setup
    assert '"persistAuthorization": false' in setup


async def test_what_the_caller_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/documentation/json")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for has in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        again = await client.get("/documentation/json", headers={"if-none-match": has})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), has
    changed = await client.get("/documentation/json", headers={"if-none-match": '"other"'})
    assert changed.status_code == 200
    assert (await client.get("/documentation/orchestrator/json")).headers["etag"] != etag


async def test_what_has_its_version_in_the_path_is_kept_by_browsers(client: httpx.AsyncClient) -> None:
    page = await client.get("/documentation")
    assert page.headers["cache-control"] == "no-cache"
    script = re.findall(r'src="(documentation/swagger-ui/[\d.]+/swagger-ui-bundle.js)"', page.text)[0]
    assert "immutable" in (await client.get(f"/{script}")).headers["cache-control"]


async def test_compressed_for_who_takes_it(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/documentation/json", headers={"accept-encoding": "br, gzip;q=0.5"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join([part async for part in answer.aiter_raw()])
    for refused in ("identity", "gzip;q=0", "br"):
        plain = await client.get("/documentation/json", headers={"accept-encoding": refused})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "accept-encoding"
        assert gzip.decompress(raw) == plain.content


async def test_a_head_has_no_body_and_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.head("/documentation")).status_code == 200
    assert (await client.post("/documentation/json")).status_code == 405


def test_a_folder_without_documents_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make generate"):
        routes_of(tmp_path)


def test_they_are_served_unless_they_are_switched_off() -> None:
    paths = [route.path for route in routes(GatewaySettings()) if isinstance(route, Route)]
    assert "/documentation" in paths
    assert routes(GatewaySettings(gateway_documents=False)) == []
