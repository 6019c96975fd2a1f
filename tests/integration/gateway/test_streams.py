"""Streams through a gateway: lines of JSON, and events that can be resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.gateway.process import Gateway
from services.runtime.server import Server
from tests.integration.gateway.conftest import client_of, shelf_gateway
from tests.support.shelf import ShelfServicer

PATH = "/v1/shelves/s:watch"
EVENTS = {"accept": "text/event-stream"}


async def test_lines_of_json(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH, params={"count": 3, "after_number": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"result": {"event": {"number": "2", "text": ""}}},
        {"result": {"event": {"number": "3", "text": ""}}},
    ]
    assert answer.text.endswith("}\n")


async def test_events(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH, params={"count": 2}, headers={"accept": "application/json, text/event-stream"})
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("text/event-stream", "no-store")
    assert answer.text == (
        'id: 1\ndata: {"event":{"number":"1","text":""}}\n\n'
        'id: 2\ndata: {"event":{"number":"2","text":""}}\n\n'
        "event: end\ndata: {}\n\n"
    )


async def test_events_are_resumed_after_the_last_that_was_seen(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH, params={"count": 3, "after_number": 1}, headers={**EVENTS, "last-event-id": "2"})
    assert answer.text.startswith("id: 3\n")
    # Nothing is left, which tells a browser not to come back.
    answer = await http.get(PATH, params={"count": 3}, headers={**EVENTS, "last-event-id": "3"})
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await http.get(PATH, params={"count": 3}, headers={**EVENTS, "last-event-id": "x"})
    assert (answer.status_code, "Last-Event-ID" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(("code", "status"), [(5, 404), (16, 401), (14, 503), (13, 500), (8, 429)])
async def test_an_error_before_the_first_message_is_a_status(http: httpx.AsyncClient, code: int, status: int) -> None:
    answer = await http.get(PATH, params={"code": code})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    answer = await http.get(PATH, params={"code": code}, headers={**EVENTS, "last-event-id": "7"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_error_after_it_is_the_last_of_the_stream(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH, params={"code": 9, "count": 1})
    first, last = map(json.loads, answer.text.splitlines())
    assert (answer.status_code, first["result"]["event"]["number"]) == (200, "1")
    assert (last["error"]["code"], last["error"]["details"][0]["reason"]) == (9, "WATCH_BROKEN")
    answer = await http.get(PATH, params={"code": 9, "count": 1}, headers=EVENTS)
    assert json.loads(answer.text.partition("event: error\ndata: ")[2])["code"] == 9


@asynccontextmanager
async def open_stream(client: httpx.AsyncClient, **params: Any) -> AsyncIterator[httpx.Response]:
    async with client.stream("GET", PATH, params={"stay": True, **params}, headers=EVENTS) as answer:
        yield answer


async def test_events_begin_before_there_are_any(shelf: Server) -> None:
    async with (
        shelf_gateway(shelf.address, gateway_event_grace_seconds=0.01) as gateway,
        client_of(gateway) as client,
        open_stream(client) as answer,
    ):
        assert answer.status_code == 200


async def test_an_idle_stream_is_kept_open(shelf: Server) -> None:
    async with (
        shelf_gateway(shelf.address, gateway_heartbeat_seconds=0.02, gateway_event_grace_seconds=0.02) as gateway,
        client_of(gateway) as client,
        open_stream(client) as answer,
    ):
        beats = 0
        async for line in answer.aiter_lines():
            beats += line == ": still here"
            if beats == 3:
                break


async def test_a_client_that_goes_away_cancels_the_call(
    own_shelf: tuple[Server, ShelfServicer], own_gateway: Gateway
) -> None:
    _, servicer = own_shelf
    async with client_of(own_gateway) as client:
        async with open_stream(client, count=1) as answer:
            assert answer.status_code == 200
            await servicer.hanging.wait()
        await asyncio.wait_for(servicer.cancelled.wait(), 50)


async def test_a_client_that_does_not_read_holds_the_service_back(
    own_shelf: tuple[Server, ShelfServicer], own_gateway: Gateway
) -> None:
    _, servicer = own_shelf
    host, _, port = own_gateway.address.rpartition(":")
    # 200 MB in all, of which the sockets and queues on the way hold a few.
    count, size = 2000, 100_000
    reader, writer = await asyncio.open_connection(host, int(port), limit=size * 2)
    writer.write(f"GET {PATH}?count={count}&size={size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    # The service has gone past the first message when the second is here.
    await reader.readuntil(b'"number":"2"')
    previous = -1
    # The sending comes to rest by itself, long before the end.
    while servicer.sent != previous:
        previous = servicer.sent
        await asyncio.sleep(0.5)
    assert 0 < servicer.sent < count / 2
    writer.transport.abort()
    await asyncio.wait_for(servicer.cancelled.wait(), 50)


async def test_a_client_that_never_reads_is_cut_off(own_shelf: tuple[Server, ShelfServicer]) -> None:
    server, servicer = own_shelf
    async with shelf_gateway(server.address, gateway_write_timeout_seconds=0.3) as gateway:
        host, _, port = gateway.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(f"GET {PATH}?count=2000&size=100000 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.wait_for(servicer.cancelled.wait(), 50)
        # Nothing of it is left: the gateway ends at once.
        writer.close()


async def test_as_many_streams_as_there_may_be(shelf: Server) -> None:
    async with shelf_gateway(shelf.address, gateway_max_streams=1) as gateway, client_of(gateway) as client:
        async with open_stream(client, count=1):
            refused = await client.get(PATH)
            assert (refused.status_code, refused.json()["details"][0]["reason"]) == (429, "TOO_MANY_STREAMS")
            assert refused.headers["retry-after"] == "1"
        answer = refused
        while answer.status_code == 429:
            answer = await client.get(PATH)
        assert answer.status_code == 200


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_a_drain_ends_streams_with_a_word(shelf: Server, accept: str) -> None:
    async with shelf_gateway(shelf.address) as gateway, client_of(gateway) as client:
        async with client.stream("GET", PATH, params={"stay": True, "count": 1}, headers={"accept": accept}) as answer:
            lines = answer.aiter_lines()
            assert '"number":"1"' in "".join([await anext(lines), await anext(lines) if accept != "*/*" else ""])
            gateway.draining.set()
            rest = [line async for line in lines]
        assert "DRAINING" in "".join(rest)
        assert (await client.get("/health")).status_code == 503
