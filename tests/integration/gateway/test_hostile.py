"""Hostile HTTP: nothing crashes, nothing is a 5xx, and whoever never ends is cut off."""

from __future__ import annotations

import asyncio
import gzip
import random
import string
from collections.abc import AsyncIterator

import httpx
import pytest

from services.gateway.process import Gateway
from services.runtime.server import Server
from tests.integration.gateway.conftest import client_of, shelf_gateway
from tests.integration.gateway.raw import exchange, request

LIMITS = {
    "gateway_max_header_bytes": 4096,
    "gateway_max_body_bytes": 100_000,
    "gateway_header_timeout_seconds": 0.3,
    "gateway_body_timeout_seconds": 0.3,
    "gateway_max_connections": 40,
}


@pytest.fixture(scope="module")
async def strict(shelf: Server) -> AsyncIterator[Gateway]:
    """A gateway whose limits are reached quickly."""
    async with shelf_gateway(shelf.address, **LIMITS) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"\r\n",),
        (b"GET / HT",),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ",),
        # A line's end from time to time keeps nobody alive.
        (b"\r\n",) * 20,
        (b"GET /v1/search HTTP/1.1\r\n", *(b"A: b\r\n" for _ in range(20))),
    ],
)
async def test_a_head_that_does_not_end_is_cut_off(strict: Gateway, parts: tuple[bytes, ...]) -> None:
    answer = await exchange(strict, *parts, pause=0.05)
    assert answer.status in (0, 408)
    if answer.data:
        assert answer.json()["details"][0]["reason"] == "HEADERS_TOO_SLOW"


async def test_a_second_head_that_does_not_end_is_cut_off(strict: Gateway) -> None:
    whole = request("/v1/search").replace(b"Connection: close\r\n", b"")
    answer = await exchange(strict, whole, b"GET /v1/search HTTP/1.1\r\n")
    assert answer.data.startswith(b"HTTP/1.1 200 OK")
    assert b"HEADERS_TOO_SLOW" in answer.data


async def test_a_body_that_does_not_end_is_cut_off(strict: Gateway) -> None:
    answer = await exchange(
        strict, request("/v1/things/1:echo", b"Content-Length: 100", method="POST"), *([b" "] * 20), pause=0.05
    )
    assert answer.status in (0, 408)


@pytest.mark.parametrize(
    "data",
    [
        request("/v1/search", b"A: " + b"a" * 5000),
        request("/v1/search", *(b"A%d: b" % number for number in range(1000))),
        request("/v1/search?text=" + "a" * 5000),
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 100_000,
    ],
)
async def test_giant_heads(strict: Gateway, data: bytes) -> None:
    answer = await exchange(strict, data)
    assert answer.status in (0, 400, 431)
    if answer.status == 431:
        assert answer.json()["details"][0]["reason"] == "HEADERS_TOO_LARGE"


async def test_a_head_just_within_the_limit_is_served(strict: Gateway) -> None:
    assert (await exchange(strict, request("/v1/search", b"A: " + b"a" * 3900))).status == 200
    assert (await exchange(strict, request("/v1/search", b"A: " + b"a" * 4090))).status == 431


async def test_giant_bodies(strict: Gateway) -> None:
    big = b'{"text": "' + b"a" * 200_000 + b'"}'
    post = "/v1/things/1:echo"
    announced = await exchange(strict, request(post, b"Content-Length: 200000", method="POST"))
    assert (announced.status, announced.json()["details"][0]["reason"]) == (413, "BODY_TOO_LARGE")
    chunks = (b"%x\r\n%s\r\n" % (len(part), part) for part in (big[:60_000], big[60_000:]))
    chunked = await exchange(strict, request(post, b"Transfer-Encoding: chunked", method="POST"), *chunks, b"0\r\n\r\n")
    assert chunked.status in (0, 413)
    packed = gzip.compress(bytes(50_000_000))
    bomb = await exchange(strict, request(post, b"Content-Encoding: gzip", method="POST", body=packed))
    assert (bomb.status, bomb.json()["details"][0]["reason"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe", b'{"text": "\xed\xa0\x80"}', b"[" * 90_000, b'{"child":' * 10_000,
        b'{"child":' * 100 + b"{}" + b"}" * 100,
        b'{"struct":' + b'{"a":' * 60 + b"1" + b"}" * 61, b'{"value":' + b"[" * 90 + b"]" * 90 + b"}", b"null", b"5",
        b'{"text": "a", "text": "b"}', b'{"real": 1e999}', b'{"text": "\\ud800"}', b"\x00" * 100, b'{"number": 1} {}',
    ],
)  # fmt: skip
async def test_hostile_json(strict: Gateway, body: bytes) -> None:
    answer = await exchange(strict, request("/v1/things/1:echo", method="POST", body=body))
    assert answer.status == 400
    assert answer.json()["code"] == 3


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/v1/files/../../etc/passwd", 200),
        (b"/v1/files/..%2f..%2fetc/passwd", 200),
        (b"/v1/files/%2e%2e/%2e%2e", 200),
        (b"/v1/../../etc/passwd", 404),
        (b"/documentation/../../etc/passwd", 404),
        (b"//etc/passwd", 404),
        (b"/v1/books/%00", 200),
        (b"/v1/books/%", 400),
        (b"/v1/books/\xff", 400),
        (b"/v1/books/\xc3\xa9", 400),
        (b"/v1/search?text=%00&text=", 400),
        (b"/v1/search?text=1&text=2&text=3", 400),
        (b"/v1/search?text=1&text=1", 400),
        (b"/v1/search?child" + b".child" * 150 + b".number=1", 400),
        (b"*", 400),
        (b"http://elsewhere/v1/search", 200),
    ],
)
async def test_hostile_targets(strict: Gateway, target: bytes, status: int) -> None:
    answer = await exchange(strict, request(target))
    assert answer.status == status
    if target.startswith(b"/v1/files"):
        # It names a file to the service, and opens none here.
        assert (
            answer.json()["name"]
            == target.removeprefix(b"/v1/files/").replace(b"%2f", b"/").replace(b"%2e", b".").decode()
        )


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the hello of TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/search\r\n\r\n",
        b"GET /v1/search HTTP/9.9\r\n\r\n",
        b"GET /v1/search HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET /v1/search HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        request("/v1/things/1:echo", b"Content-Length: 5", b"Transfer-Encoding: chunked", method="POST"),
        request("/v1/things/1:echo", b"Content-Length: 5", b"Content-Length: 6", method="POST"),
        request("/v1/things/1:echo", b"Content-Length: -1", method="POST"),
        request("/v1/things/1:echo", b"Transfer-Encoding: chunked", method="POST") + b"zz\r\n",
        request("/v1/search", b"Upgrade: websocket", b"Connection: upgrade"),
        request("/v1/search", b"Expect: 100-continue"),
        request("/v1/search", b"Authorization: Bearer \xff\x00"),
        bytes(range(256)) * 8,
    ],
)
async def test_what_is_not_http_is_refused_or_served(strict: Gateway, data: bytes) -> None:
    answer = await exchange(strict, data)
    assert answer.status in (0, 100, 200, 400, 408)


async def test_connections_beyond_the_limit_are_closed_and_others_served(strict: Gateway) -> None:
    host, _, port = strict.address.rpartition(":")
    waiting = [await asyncio.open_connection(host, int(port)) for _ in range(60)]
    # They are cut off at the limit, or for their silence; then there is room again.
    for reader, _ in waiting:
        try:
            await reader.read(-1)
        except ConnectionResetError:
            continue
    assert (await exchange(strict, request("/v1/search"))).status == 200
    for _, writer in waiting:
        writer.close()


PIECES = [
    "/", "v1", "shelves", "books", "things", "1", ":echo", ":watch", "files", "search", "..", "%2F", "%", "%zz", "%00",
    "%C3%A9", "tags", "private", "health", "?", "&", "=", "number", "text", "child.", "[a]", "labels[", "time=",
    "x" * 300, ":",
]  # fmt: skip
STARTS = [
    "/", "/v1/", "/v1/search?", "/v1/things/1:echo?", "/v1/tags", "/v1/shelves/1/books/2", "/v1/shelves/s:watch?",
    "/v1/files/", "/v1/private?",
]  # fmt: skip
BODIES = [b"", b"{}", b"[]", b"null", b'{"text": 5}', b'{"number": "1"}', b"\xff", b'{"child": {"child": {}}}', b"{"]


async def test_hundreds_of_random_requests(shelf: Server) -> None:
    generator = random.Random(5)
    statuses: set[int] = set()

    async def one(client: httpx.AsyncClient) -> None:
        for _ in range(50):
            target = generator.choice(STARTS) + "".join(generator.choices(PIECES, k=generator.randrange(5)))
            method = generator.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "LOCK", "HEAD", "OPTIONS", "QUERY"])
            noise = "".join(generator.choices(string.printable[:94], k=8))
            sent = client.build_request(
                method,
                "/",
                content=generator.choice(BODIES),
                headers={
                    "grpc-metadata-" + generator.choice(["a", "a-bin", "te", "grpc-timeout"]): noise,
                    generator.choice(["content-type", "accept", "te", "grpc-timeout", "content-encoding"]): noise,
                },
            )
            sent.url = sent.url.copy_with(raw_path=target.encode())
            answer = await client.send(sent)
            statuses.add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 501, (method, target, answer.text)

    async with shelf_gateway(shelf.address) as gateway, client_of(gateway) as client:
        await asyncio.gather(*(one(client) for _ in range(8)))
        assert (await client.get("/health")).status_code == 200
        metrics = (await client.get("/metrics")).text
    # Nothing is left of them.
    assert "http_requests_in_flight 0.0" in metrics
    assert "http_streams_open 0.0" in metrics
    assert {200, 400, 401, 404, 501} <= statuses
