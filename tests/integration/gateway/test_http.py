"""What surrounds a call: headers, deadlines, cancellation, errors, gzip, forms, CORS, health, metrics."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from services.gateway.process import Gateway
from services.runtime.server import Server
from tests.integration.gateway.conftest import client_of, shelf_gateway
from tests.integration.gateway.raw import exchange, request
from tests.support.shelf import CODES, ShelfServicer
from tests.support.tokens import token


async def test_headers_become_metadata_and_metadata_headers(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/things/1:echo",
        headers={
            "grpc-metadata-team": "blue",
            "grpc-metadata-x-forwarded-for": "9.9.9.9",
            "x-forwarded-for": "1.2.3.4",
            "user-agent": "tests",
            "x-custom": "dropped",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-request-id": "abc-1",
        },
    )
    metadata = answer.json()["metadata"]
    wanted = {
        "team": "blue",
        "x-forwarded-for": "1.2.3.4, 127.0.0.1",
        "grpcgateway-user-agent": "tests",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-request-id": "abc-1",
    }
    assert {name: metadata.get(name) for name in wanted} == wanted
    assert "x-custom" not in metadata
    assert {name: answer.headers.get(name) for name in ("grpc-metadata-colour", "grpc-metadata-shape-bin")} == {
        "grpc-metadata-colour": "blue",
        "grpc-metadata-shape-bin": "AP8=",
    }
    assert (answer.headers["x-request-id"], "trailer" in answer.headers) == ("abc-1", False)


async def test_trailers_for_those_who_take_them(gateway: Gateway) -> None:
    answer = await exchange(gateway, request("/v1/things/1:echo", b"TE: trailers", method="POST"))
    assert (answer.headers["trailer"], answer.headers["transfer-encoding"]) == ("grpc-trailer-end", "chunked")
    assert answer.body.endswith(b"\r\n0\r\ngrpc-trailer-end: near\r\n\r\n")
    # The connection goes on after them.
    one = request("/v1/things/1:echo", b"TE: trailers", method="POST").replace(b"Connection: close\r\n", b"")
    answer = await exchange(gateway, one + one + request("/v1/nowhere", b"TE: trailers"))
    assert answer.data.count(b"grpc-trailer-end: near") == 2
    assert b"404 Not Found" in answer.data


@pytest.mark.parametrize(
    "name",
    ["te", "content-type", "user-agent", "connection", "host", "date", "grpc-encoding", "a.b_c-d", "cookie", "x" * 200],
)
async def test_any_metadata_key_can_be_named(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get("/v1/search", headers={f"grpc-metadata-{name}": "value"})
    assert answer.status_code == 200


async def test_ids_are_made_where_none_can_be_used(http: httpx.AsyncClient) -> None:
    for given in ("", "a b", "x" * 129, "<script>"):
        answer = await http.get("/v1/nowhere", headers={"x-request-id": given})
        made = answer.headers["x-request-id"]
        assert (len(made), answer.json()["details"][0]["metadata"]["request_id"]) == (32, made)


async def test_the_callers_token_is_passed_on(http: httpx.AsyncClient) -> None:
    assert (
        await http.get("/v1/private", headers={"authorization": f"Bearer {token('ann', 'user')}"})
    ).status_code == 200
    refused = await http.get("/v1/private", headers={"authorization": f"Bearer {token('ann', 'agent')}"})
    assert (refused.status_code, refused.json()["code"]) == (403, 7)
    answer = await http.get("/v1/private")
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert answer.headers["www-authenticate"] == answer.json()["message"]
    twice = await http.get("/v1/private", headers=[("authorization", f"Bearer {token('a', 'user')}")] * 2)
    assert twice.status_code == 401


@pytest.mark.parametrize("code", sorted(CODES))
async def test_errors_of_a_service(http: httpx.AsyncClient, code: int) -> None:
    statuses = {3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 14: 503, 16: 401}
    answer = await http.get(f"/v1/fail/{code}", headers={"x-request-id": "r"})
    assert (answer.status_code, answer.json()["code"]) == (statuses.get(code, 500), code)
    info = answer.json()["details"][0]
    assert (info["reason"], info["metadata"]) == ("BOOK_BROKEN", {"book": "b1", "request_id": "r"})
    assert answer.headers["retry-after"] == "2"


async def test_an_error_without_details(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/fail/2", params={"text": "unknown"})
    assert answer.status_code == 500
    answer = await http.get("/v1/fail/1")
    assert (answer.status_code, answer.json()["code"]) == (500, 13)


async def test_a_service_that_is_not_there() -> None:
    async with shelf_gateway("127.0.0.1:1", gateway_event_grace_seconds=30) as gateway, client_of(gateway) as client:
        answer = await client.post("/v1/things/1:echo")
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (503, "SERVICE_UNAVAILABLE")
        assert "127.0.0.1" not in answer.text
        answer = await client.get("/v1/shelves/s:watch")
        assert (answer.status_code, answer.json()["error"]["details"][0]["reason"]) == (503, "SERVICE_UNAVAILABLE")
        health = await client.get("/health")
        assert (health.status_code, health.json()) == (
            503,
            {"status": "NOT_SERVING", "services": {"shelf": "UNREACHABLE"}},
        )


async def test_deadlines(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/hang", headers={"grpc-timeout": "50m"})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (504, "TIMEOUT")
    answer = await http.get("/v1/search", headers={"grpc-timeout": "5M"})
    assert 75 < answer.json()["secondsLeft"] < 310
    # The default is longer than the longest long poll.
    assert 60 < (await http.get("/v1/search")).json()["secondsLeft"] < 80
    answer = await http.get("/v1/search", headers={"grpc-timeout": "soon"})
    assert (answer.status_code, "Grpc-Timeout" in answer.json()["message"]) == (400, True)


async def test_a_client_that_goes_away_cancels_its_call(
    own_shelf: tuple[Server, ShelfServicer], own_gateway: Gateway
) -> None:
    _, servicer = own_shelf
    async with client_of(own_gateway) as client:
        call = asyncio.ensure_future(client.get("/v1/hang"))
        await servicer.hanging.wait()
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 50)


async def test_gzip_both_ways(http: httpx.AsyncClient) -> None:
    body = json.dumps({"text": "x" * 5000}).encode()
    headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = await http.post("/v1/things/1:echo", content=gzip.compress(body), headers=headers)
    assert answer.json()["request"]["text"] == "x" * 5000
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "accept-encoding")
    assert int(answer.headers["content-length"]) < 1000
    plain = await http.post("/v1/things/1:echo", content=body, headers={"accept-encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.json()) == (False, plain.json())
    small = await http.post("/v1/things/1:echo", headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in small.headers, "vary" in small.headers) == (False, False)
    refused = await http.post("/v1/things/1:echo", content=body, headers={"content-encoding": "br"})
    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (400, "ENCODING_UNKNOWN")


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("path", "headers", "form", "status", "expected"),
    [
        # A query that is too long for a URL goes as a form.
        ("/v1/search?yes=true", {}, "text=a+b&words=1&words=2", 200, {"text": "a b", "words": ["1", "2"], "yes": True}),
        ("/v1/search?text=a", {}, "text=b", 400, None),
        ("/v1/search", {}, "number=x", 400, None),
        ("/v1/search", {}, "a=%zz", 400, None),
        ("/v1/shelves/s/books/b", {"x-http-method-override": "delete"}, "", 200, {}),
        ("/v1/shelves/s/books/b", {"x-http-method-override": "TRACE"}, "", 200, None),
        ("/v1/things/1:echo", {}, "text=b", 400, None),
        ("/v1/tags", {}, "text=b", 501, None),
    ],
)
async def test_forms(
    http: httpx.AsyncClient, path: str, headers: dict[str, str], form: str, status: int, expected: Any
) -> None:
    answer = await http.post(path, content=form, headers={**FORM, **headers})
    assert answer.status_code == status
    if expected is not None:
        got = answer.json().get("request", {})
        assert {name: got[name] for name in expected} == expected


async def test_cors_is_off_unless_configured(shelf: Server, http: httpx.AsyncClient) -> None:
    origin = {"origin": "https://console.example"}
    assert "access-control-allow-origin" not in (await http.get("/v1/search", headers=origin)).headers
    preflight = {**origin, "access-control-request-method": "PATCH", "access-control-request-headers": "authorization"}
    assert (await http.options("/v1/search", headers=preflight)).status_code == 501
    configured = {"gateway_cors_origins": ["https://console.example"]}
    async with shelf_gateway(shelf.address, **configured) as gateway, client_of(gateway) as client:
        answer = await client.get("/v1/search", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://console.example"
        answer = await client.options("/v1/search", headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://console.example")
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        other = await client.options("/v1/search", headers={**preflight, "origin": "https://evil.example"})
        assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


async def test_health_and_metrics(http: httpx.AsyncClient) -> None:
    answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "SERVING", "services": {"shelf": "SERVING"}})
    await http.get("/v1/search")
    metrics = (await http.get("/metrics")).text
    assert 'http_requests_total{rpc="harness.shelf.v1.ShelfService/Search",status="200"}' in metrics
    assert "http_streams_open 0.0" in metrics
